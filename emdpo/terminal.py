"""What a command writes: on the terminal, one line at a time, and to files that it was told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emdpo.core.errors import EmdpoError
from emdpo.core.json_values import as_json, visible


def say(text: str, stream: Any = None, end: str = "\n") -> None:
    """Write a line; what the terminal's encoding lacks is replaced, never an error."""
    stream = stream or sys.stdout
    if stream is None:  # closed by whoever started the command
        return
    encoding = stream.encoding or "utf-8"
    text = visible(text)
    stream.write(text.encode(encoding, "replace").decode(encoding) + end)
    stream.flush()


def print_json(value: dict[str, Any]) -> None:
    """Write a result as indented JSON."""
    say(as_json(value))


def one_line(error: BaseException) -> str:
    """Return an error's message without line breaks."""
    return " ".join(str(error).split())


def show_progress(done: int, steps: int) -> None:
    """Say on the terminal's last line how many fits are done."""
    end = "\n" if done == steps else ""
    sys.stderr.write(f"\r{done} of {steps} fits{end}")
    sys.stderr.flush()


def show_stage(event: str, **facts: Any) -> None:
    """Say on the terminal's last line what goes on."""
    about = f" {facts['policy']}" if "policy" in facts else ""
    share = f" {facts['done']:.0%}" if "done" in facts else ""
    end = "\n" if event == "epoch" else ""
    sys.stderr.write(f"\r\x1b[K{event}{about}{share}{end}")
    sys.stderr.flush()


def write_to(target: str, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file that a user named; anything else there is an EmdpoError."""
    try:
        path = Path(os.path.realpath(target))  # through a link, to what it stands for
        if not path.parent.is_dir() or (path.exists() and not path.is_file()):
            raise EmdpoError(f"{target}: not a regular file in an existing folder")
        write(path)
    except OSError as error:
        raise EmdpoError(f"{target}: cannot be written ({error.strerror})") from None
