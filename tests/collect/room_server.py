"""A server of rooms alone, to be killed; takes a database's URL and prints its port."""

from __future__ import annotations

import socket
import sys

import uvicorn

from emdpo.collect.database import Database
from emdpo.collect.routes import collect_app

if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(collect_app(Database(sys.argv[1])), log_level="error"))
    server.run(sockets=[listening])
