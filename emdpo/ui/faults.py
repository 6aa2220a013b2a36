"""What people are told when something goes wrong: the one line meant for them, or a log id."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from emdpo.core.errors import EmdpoError

log = logging.getLogger("emdpo.ui")


def one_line(error: Exception) -> str:
    """Return the message of an error of ours; of any other only the id of its log entry."""
    if isinstance(error, EmdpoError):
        return " ".join(str(error).split())
    log_id = secrets.token_hex(4)
    log.error("log id %s", log_id, exc_info=error)
    return f"Something went wrong here, and it is not your fault (log id {log_id})."


@contextmanager
def told_to_clients() -> Iterator[None]:
    """Turn errors into what an API client may read."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the boundary: nothing else may leave the server
        raise gr.Error(one_line(error), print_exception=False) from None
