"""Copies that visitors download: in a folder of one server, gone with it or as the next begins."""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

from emdpo.core.errors import RunError
from emdpo.locks import alone_in


class Copies:
    """A folder below `home` that this process holds until it is closed, or ends."""

    def __init__(self, home: Path) -> None:
        self._held = ExitStack()
        everybodys = home / "copies"
        with alone_in(everybodys, wait=True):
            _remove_left_over(everybodys)
            self.folder = everybodys / secrets.token_hex(8)
            self._held.enter_context(alone_in(self.folder))

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._held.close()


def _remove_left_over(everybodys: Path) -> None:
    """Remove the folders of servers that were killed."""
    for folder in everybodys.iterdir():
        with suppress(RunError), alone_in(folder):  # one that is held is in use
            shutil.rmtree(folder, ignore_errors=True)
