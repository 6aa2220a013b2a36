"""Where things made once are kept between runs: the converted base model, digests of weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "EMDPO_CACHE"


def cache_folders() -> list[Path]:
    """Return where to look, best first: the user's own folder, then one for temporary files."""
    return [*_own_folder(), *_temporary_folder()]


def writable_cache() -> Path | None:
    """Return the first cache folder that can be written to, made if need be; None without one."""
    return next((folder for folder in cache_folders() if _can_write(folder)), None)


def _own_folder() -> Iterator[Path]:
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE]).expanduser()
    elif os.environ.get("XDG_CACHE_HOME"):
        yield Path(os.environ["XDG_CACHE_HOME"]) / "emdpo"
    else:
        home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
        if home != "~":
            yield Path(home) / ".cache" / "emdpo"


def _temporary_folder() -> Iterator[Path]:
    """Yield a folder of this user's; one that somebody else made could hold anything."""
    owner = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"emdpo-{owner}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return
    is_ours = not hasattr(os, "getuid") or found.st_uid == owner
    if is_ours and folder.is_dir() and not folder.is_symlink():
        yield folder


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
