"""What a participant's phone asks of the server: the page, the room, answers and withdrawal.

Paths below where this is mounted. There are no cookies: a token in the header `Authorization` says
who asks, so no other site can ask in somebody's name. Everything people typed travels as JSON.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from emdpo.collect import people
from emdpo.collect.database import Database
from emdpo.collect.export import person_table
from emdpo.collect.people import ClosedError, ConflictError, NoPersonError
from emdpo.collect.plans import MOST_GROUPS, MOST_QUESTIONS
from emdpo.collect.rooms import NoRoomError, Room, room_by_code
from emdpo.core.errors import EmdpoError

log = logging.getLogger("emdpo.collect")

PAGE = Path(__file__).parent / "page"

MOUNTED_AT = "/join"
"""Where the app has these paths; short, since people type it."""

LARGEST_BODY = 16_384
"""Bytes; the largest honest one has a tenth of it."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every response: nothing but our own script, style and connections, and no frames."""

POSITIONS = frozenset(map(str, range(MOST_QUESTIONS)))

STATUS = {NoRoomError: 404, NoPersonError: 401, ConflictError: 409, ClosedError: 410}

SCRIPTS = ("page", "server", "dom", "sorting", "order", "types", "sortable")

ASSETS = {"page.css": "text/css", **{f"{name}.js": "text/javascript" for name in SCRIPTS}}

Types = Callable[[Room, pd.DataFrame], Mapping[str, Any] | None]
"""From a room and the canonical table of one person in it: what they are told of the types and of
their own, None as long as there is nothing to tell."""


Model = TypeVar("Model", bound=BaseModel)


class Joining(BaseModel):
    """What a page sends when somebody begins."""

    model_config = ConfigDict(strict=True, extra="forbid")
    token: str
    agreed: bool
    groups: dict[str, str] = {}


class Answering(BaseModel):
    """What a page sends when somebody has answered."""

    model_config = ConfigDict(strict=True, extra="forbid")
    token: str
    outcome: str
    order: list[list[int]] = []
    replaces: str | None = None


class Rooms:
    """The endpoints over one database."""

    def __init__(self, database: Database, types: Types, withdrawn: Callable[[], None]) -> None:
        self._database, self._types, self._withdrawn = database, types, withdrawn

    def room(self, code: str) -> dict[str, Any]:
        """Return what anybody with the code may know."""
        with self._database.reading() as connection:
            room = room_by_code(connection, code)
        groups = [{"name": each.name, "choices": list(each.choices)} for each in room.groups]
        return {
            "title": room.title,
            "consent": room.consent,
            "groups": groups,
            "per_person": room.per_person,
            "closed": room.closed,
        }

    def join(self, code: str, body: bytes) -> dict[str, Any]:
        """Let somebody in and return where they stand."""
        said = _read(Joining, body)
        if not said.agreed:
            raise EmdpoError("nobody can take part without having agreed")
        if len(said.groups) > MOST_GROUPS:
            raise EmdpoError("that are more answers than questions")
        rng = np.random.default_rng(secrets.randbits(128))
        people.join(self._database, code, said.token, said.groups, rng)
        return self.me(code, said.token)

    def me(self, code: str, token: str) -> dict[str, Any]:
        """Return where somebody stands: their questions, and what they have said."""
        room, who = people.person(self._database, code, token)
        return {"closed": room.closed, "tasks": [_task(task) for task in who.tasks]}

    def answer(self, code: str, token: str, position: int, body: bytes) -> dict[str, Any]:
        """Keep an answer; once this has returned it is on disk."""
        said = _read(Answering, body)
        order = tuple(tuple(tied) for tied in said.order)
        kept = people.Answer(said.token, said.outcome, order)
        people.answer(self._database, code, token, position, kept, said.replaces)
        return {"saved": said.token}

    def withdraw(self, code: str, token: str) -> dict[str, Any]:
        """Delete all of somebody, and the fits that knew of them."""
        people.withdraw(self._database, code, token)
        self._withdrawn()
        return {"withdrawn": True}

    def types(self, code: str, token: str) -> dict[str, Any]:
        """Return the types found, and somebody's own; null while there are none."""
        room, who = people.person(self._database, code, token)
        return {"found": self._types(room, person_table(self._database, room, who.user_id))}


def _task(task: people.Task) -> dict[str, Any]:
    said = task.answer
    answer = said and {"token": said.token, "outcome": said.outcome, "order": said.order}
    return {"prompt": task.prompt, "responses": task.responses, "answer": answer}


def _read(model: type[Model], body: bytes) -> Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])[:40]
        raise EmdpoError(f"the page sent something else than expected {where}".strip()) from None


def collect_app(
    database: Database,
    types: Types = lambda room, table: None,
    withdrawn: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Return the participant's page and what it asks for, to be mounted at `MOUNTED_AT`.

    Parameters
    ----------
    database
    types
        What people are told of a finished run.
    withdrawn
        Called when somebody has withdrawn: the runs that know of them are to go.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    rooms = Rooms(database, types, withdrawn)
    _add_pages(app)

    @app.get("/{code}/room")
    async def room(code: str) -> Response:
        return await _told(rooms.room, code)

    @app.post("/{code}/people")
    async def join(code: str, request: Request) -> Response:
        return await _told(rooms.join, code, await _body(request))

    @app.get("/{code}/me")
    async def me(code: str, request: Request) -> Response:
        return await _told(rooms.me, code, _token(request))

    @app.put("/{code}/me/answers/{position}")
    async def answer(code: str, position: str, request: Request) -> Response:
        if position not in POSITIONS:
            raise HTTPException(404, "there is no such question")
        return await _told(rooms.answer, code, _token(request), int(position), await _body(request))

    @app.delete("/{code}/me")
    async def withdraw(code: str, request: Request) -> Response:
        return await _told(rooms.withdraw, code, _token(request))

    @app.get("/{code}/me/types")
    async def own_types(code: str, request: Request) -> Response:
        return await _told(rooms.types, code, _token(request))

    return app


def _add_pages(app: FastAPI) -> None:
    """Add the page itself, its script and style, and the headers of everything."""

    @app.middleware("http")
    async def headers(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.get("/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404, "there is nothing of that name")
        return FileResponse(PAGE / name, media_type=ASSETS[name])

    @app.api_route("/", methods=["GET", "HEAD"])
    @app.api_route("/{code}", methods=["GET", "HEAD"])
    async def page() -> Response:
        return FileResponse(PAGE / "page.html", media_type="text/html")


async def _body(request: Request) -> bytes:
    """Return what was sent, as far as it is not too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, "that is too long")
    return body


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip()


async def _told(act: Callable[..., Mapping[str, Any]], *given: Any) -> Response:
    """Return what an endpoint says, or one line about why not."""
    try:
        return JSONResponse(await run_in_threadpool(act, *given))
    except EmdpoError as error:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
        return JSONResponse({"error": str(error)}, status)
    except Exception as error:  # noqa: BLE001 - the boundary: nothing else may leave the server
        log_id = secrets.token_hex(4)
        log.error("log id %s", log_id, exc_info=error)
        return JSONResponse({"error": f"something went wrong here (log id {log_id})"}, 500)
