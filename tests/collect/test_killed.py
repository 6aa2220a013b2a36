"""kill -9 of a server while a class answers: what it has acknowledged is there, once; no more."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from collecting import plan, token
from sqlalchemy import select

from emdpo.collect.rooms import digest, open_room, room_by_key
from emdpo.collect.schema import ANSWERS, PERSONS, TASKS

SERVER = Path(__file__).with_name("room_server.py")

N_PEOPLE, N_QUESTIONS, N_KILLS = 12, 25, 2

ORDERS = ([[0], [1], [2]], [[2], [0, 1]], [[1, 2], [0]], [[0, 1, 2]], [[1], [2], [0]])


class Server:
    """A child process that serves a database, and that can be killed and started again."""

    def __init__(self, url):
        self._url, self.port, self._child = url, 0, None

    def start(self):
        tree = str(Path(__file__).parents[2])
        self._child = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, str(SERVER), self._url],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": tree},
        )
        self.port = int(self._child.stdout.readline())

    def kill(self):
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()
        self._child.stdout.close()


class Phone(threading.Thread):
    """Joins and answers as the page does: each until it is acknowledged, with the same token."""

    def __init__(self, server, code, name):
        super().__init__(daemon=True)
        self._server, self._code, self._name = server, code, name
        self._rng = random.Random(name)  # noqa: S311 - a simulated person
        self._line = None
        self.acknowledged, self.repeats, self.fault = {}, 0, None

    def run(self):
        try:
            self._until_answered("POST", "people", {"token": token(self._name), "agreed": True})
            for position in self._rng.sample(range(N_QUESTIONS), N_QUESTIONS):
                order = self._rng.choice(ORDERS)
                said = {"token": token(f"{self._name}-{position}"), "outcome": "ranked"}
                path = f"me/answers/{position}"
                self._until_answered("PUT", path, {**said, "order": order, "replaces": None})
                self.acknowledged[position] = (said["token"], order)
        except Exception as fault:
            self.fault = fault
        finally:
            self._hang_up()

    def _until_answered(self, method, path, body):
        limit = time.monotonic() + 60
        while True:
            try:
                status, text = self._ask(method, path, body)
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < limit, "the server never came back"
                self.repeats += 1
                self._hang_up()
                time.sleep(0.02)
                continue
            assert status == 200, text
            return

    def _hang_up(self):
        if self._line is not None:
            self._line.close()
            self._line = None

    def _ask(self, method, path, body):
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=20)
        headers = {"Authorization": f"Bearer {token(self._name)}"}
        self._line.request(method, f"/{self._code}/{path}", json.dumps(body), headers)
        response = self._line.getresponse()
        return response.status, response.read()


def ranks_of(order, shown):
    """Return the rank of each candidate: the place of its group in the order, by what was shown."""
    rank = {shown[place]: n for n, tied in enumerate(order, start=1) for place in tied}
    return [rank[candidate] for candidate in sorted(shown)]


def test_of_a_killed_server_every_acknowledged_answer_is_there_once(database):
    """Twelve phones answer 25 questions each while the server is killed twice.

    After each kill, before it starts again, all acknowledged answers are in the database with the
    ranks that were sent, and nothing that nobody sent; at the end all 300 are, each once.
    """
    room = room_by_key(database, open_room(database, plan(N_QUESTIONS, N_QUESTIONS)))
    url = database._engine.url.render_as_string(hide_password=False)
    database.close()  # so that the killed server was the only one to have the file open
    server = Server(url)
    server.start()
    phones = [Phone(server, room.code, f"phone-{n}") for n in range(N_PEOPLE)]
    for phone in phones:
        phone.start()
    for kill in range(1, N_KILLS + 1):
        goal = kill * N_PEOPLE * N_QUESTIONS // (N_KILLS + 1)
        while sum(len(phone.acknowledged) for phone in phones) < goal:
            assert all(phone.fault is None for phone in phones), [p.fault for p in phones]
            time.sleep(0.002)
        server.kill()
        told = {phone._name: dict(phone.acknowledged) for phone in phones}
        check(database, room, phones, told)
        database.close()
        server.start()
    for phone in phones:
        phone.join(90)
    server.kill()
    assert [phone.fault for phone in phones if phone.fault] == []
    assert sum(phone.repeats for phone in phones) >= N_KILLS, "nobody noticed the kills"
    assert [len(phone.acknowledged) for phone in phones] == [N_QUESTIONS] * N_PEOPLE
    rows = check(database, room, phones, {p._name: p.acknowledged for p in phones})
    assert len(rows) == N_PEOPLE * N_QUESTIONS


def check(database, room, phones, told):
    """Check all acknowledged answers against the database, and return its rows."""
    query = (
        select(PERSONS.c.token_sha256, TASKS.c.position, TASKS.c.shown)
        .add_columns(ANSWERS.c.token, ANSWERS.c.ranks)
        .join(TASKS, TASKS.c.person_id == PERSONS.c.id)
        .join(ANSWERS, ANSWERS.c.task_id == TASKS.c.id)
        .where(PERSONS.c.room_id == room.room_id)
    )
    with database.reading() as connection:
        rows = connection.execute(query).all()
    there = Counter((row.token_sha256, row.position) for row in rows)
    assert set(there.values()) <= {1}
    assert max(Counter(row.token for row in rows).values()) == 1
    names = {digest(token(phone._name)): phone._name for phone in phones}
    found = {(names[row.token_sha256], row.position): row for row in rows}
    for name, answers in told.items():
        for position, (of, order) in answers.items():
            row = found[name, position]
            assert (row.token, row.ranks) == (of, ranks_of(order, row.shown))
    return rows
