"""One process at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emdpo.core.errors import RunError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None


@contextmanager
def alone_in(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder, made if need be; the system lets go when the process ends, however it does.

    Nothing is held where the platform or the file system has no such locks.

    Parameters
    ----------
    folder : path
    wait : bool
        Until whoever holds it has done, for work of a moment.

    Raises
    ------
    RunError
        Another process (or another fit of this one) holds it and is not waited for, or it cannot be
        made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written to ({error.strerror})") from None
    if fcntl is None:
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: another fit is at work in this folder") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(held)
