"""A page served by a child process on a free port, for benchmarks that visit it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent

EMDPO = ("-m", "emdpo", "app", "--port", "{port}")
"""What Python is given to serve the app."""


@contextmanager
def served(
    arguments: tuple[str, ...] = EMDPO, more: Mapping[str, str] | None = None
) -> Iterator[tuple[int, float]]:
    """Yield the port of a server and the seconds until its first page; end it afterwards.

    `arguments` are those of Python, `{port}` for the port; `more` is added to the environment.
    """
    port = _free_port()
    command = [sys.executable, *(each.format(port=port) for each in arguments)]
    with tempfile.TemporaryDirectory(prefix="emdpo-served-") as home:
        env = {**os.environ, "EMDPO_HOME": home, "PYTHONPATH": str(TREE)}
        env |= {"GRADIO_ANALYTICS_ENABLED": "False", **(more or {})}
        began = time.perf_counter()
        server = subprocess.Popen(  # noqa: S603 - our own command
            command, env=env, cwd=home, stdout=subprocess.DEVNULL
        )
        try:
            _wait_for(port, server)
            yield port, time.perf_counter() - began
        finally:
            server.terminate()
            server.wait(30)


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def _wait_for(port: int, server: subprocess.Popen[bytes], patience: float = 120.0) -> None:
    limit = time.monotonic() + patience
    while time.monotonic() < limit and server.poll() is None:
        line = http.client.HTTPConnection("127.0.0.1", port)
        try:
            line.request("GET", "/")
            if line.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            line.close()
    raise TimeoutError("the page was not served")
