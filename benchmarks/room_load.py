"""A class of 60 at once: seconds until `emdpo app` says that an answer is saved."""

from __future__ import annotations

import http.client
import json
import secrets
import tempfile
import threading
import time

import numpy as np

from benchmarks.serving import served

N_PEOPLE, N_QUESTIONS = 60, 8


def run() -> list[dict[str, object]]:
    """Return the rows of the table; every person sends the next answer as soon as one is saved."""
    with tempfile.TemporaryDirectory(prefix="emdpo-load-") as folder:
        database_url = f"sqlite:///{folder}/rooms.sqlite"
        code = _open_room(database_url)
        with served(more={"EMDPO_COLLECT_URL": database_url}) as (port, _):
            joins, submits, seconds = _class(port, code)
        n_kept = _n_kept(database_url)
    assert n_kept == len(submits) == N_PEOPLE * N_QUESTIONS
    return [_row("begin", joins, seconds), _row("save an answer", submits, seconds)]


def _row(what: str, waits: list[float], seconds: float) -> dict[str, object]:
    middle, high = np.percentile(waits, [50, 95])
    return {
        "case": f"{N_PEOPLE} people at once, {N_QUESTIONS} answers each, nobody pausing",
        "what": what,
        "seconds": float(high),
        "result": f"95th percentile; median {middle:.3f} s, slowest {max(waits):.3f} s, "
        f"n = {len(waits)}; all took {seconds:.1f} s",
    }


def _open_room(database_url: str) -> str:
    from emdpo.collect.database import Database
    from emdpo.collect.plans import RoomPlan
    from emdpo.collect.reading import demo_questions
    from emdpo.collect.rooms import open_room, room_by_key

    database = Database(database_url)
    key = open_room(database, RoomPlan("Load", demo_questions(), N_QUESTIONS))
    code = room_by_key(database, key).code
    database.close()
    return code


def _n_kept(database_url: str) -> int:
    from sqlalchemy import func, select

    from emdpo.collect.database import Database
    from emdpo.collect.schema import ANSWERS

    database = Database(database_url)
    with database.reading() as connection:
        n_kept = connection.execute(select(func.count()).select_from(ANSWERS)).scalar_one()
    database.close()
    return n_kept


def _asked(
    line: http.client.HTTPConnection, method: str, path: str, token: str = "", body: object = None
) -> tuple[int, bytes]:
    line.request(method, path, json.dumps(body), {"Authorization": f"Bearer {token}"})
    response = line.getresponse()
    return response.status, response.read()


def _class(port: int, code: str) -> tuple[list[float], list[float], float]:
    """Return the waits of joining and of saving, and the seconds of the whole class."""
    joins: list[float] = []
    submits: list[float] = []
    start = threading.Barrier(N_PEOPLE + 1)

    def person() -> None:
        line, token = http.client.HTTPConnection("127.0.0.1", port), secrets.token_urlsafe(24)

        def timed(method: str, path: str, body: object, waits: list[float]) -> bytes:
            began = time.perf_counter()
            status, said = _asked(line, method, f"/join/{code}/{path}", token, body)
            waits.append(time.perf_counter() - began)
            assert status == 200, said
            return said

        start.wait()
        me = timed("POST", "people", {"token": token, "agreed": True}, joins)
        for position, task in enumerate(json.loads(me)["tasks"]):
            order = [[place] for place in range(len(task["responses"]))]
            said = {"token": secrets.token_urlsafe(24), "outcome": "ranked", "order": order}
            timed("PUT", f"me/answers/{position}", said, submits)
        line.close()

    people = [threading.Thread(target=person) for _ in range(N_PEOPLE)]
    for each in people:
        each.start()
    start.wait()
    began = time.perf_counter()
    for each in people:
        each.join()
    return joins, submits, time.perf_counter() - began
