"""What a participant's phone asks of the server, by its own paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from collecting import plan, token
from starlette.testclient import TestClient

from emdpo.collect import rooms, routes
from emdpo.collect.plans import Candidate, Question
from emdpo.collect.routes import PAGE, collect_app

HOSTILE = "</script><img src=x onerror=alert(1)>${alert(1)}{{7*7}}"


@pytest.fixture
def phone(database):
    with TestClient(collect_app(database)) as client:
        yield client


def as_(name):
    return {"Authorization": f"Bearer {token(name)}"}


def begin(phone, room, name, **changes):
    said = {"token": token(name), "agreed": True, "groups": {}, **changes}
    return phone.post(f"/{room.code}/people", json=said)


def put(phone, room, name, position, order, outcome="ranked", of=None, replaces=None):
    said = {"token": of or token(f"{name}-{position}"), "outcome": outcome, "order": order}
    path = f"/{room.code}/me/answers/{position}"
    return phone.put(path, json={**said, "replaces": replaces}, headers=as_(name))


def test_from_the_code_to_the_last_answer(phone, database, room):
    told = phone.get(f"/{room.code.lower()}/room").json()
    assert told["title"] == "Tea" and told["per_person"] == 2 and not told["closed"]
    assert told["groups"][0] == {"name": "age", "choices": ["young", "old"]}
    me = begin(phone, room, "ann", groups={"age": "old"}).json()
    assert [task["answer"] for task in me["tasks"]] == [None, None]
    q = me["tasks"][0]["prompt"][9]
    assert sorted(me["tasks"][0]["responses"]) == [f"Answer {c} to {q}" for c in range(3)]
    assert put(phone, room, "ann", 0, [[2], [0, 1]]).json() == {"saved": token("ann-0")}
    assert put(phone, room, "ann", 1, [], "cannot_say").status_code == 200
    tasks = phone.get(f"/{room.code}/me", headers=as_("ann")).json()["tasks"]
    assert tasks[0]["answer"] == {
        "token": token("ann-0"),
        "outcome": "ranked",
        "order": [[2], [0, 1]],
    }
    assert tasks[1]["answer"]["outcome"] == "cannot_say"
    assert rooms.counts(database, room) == rooms.Counts(1, 1, 1, 1, 0)
    assert phone.get(f"/{room.code}/me/types", headers=as_("ann")).json() == {"found": None}


def test_twice_late_and_from_two_windows(phone, database, room):
    begin(phone, room, "ann")
    assert begin(phone, room, "ann").status_code == 200
    for _ in range(2):
        assert put(phone, room, "ann", 0, [[0], [1], [2]]).status_code == 200
    assert put(phone, room, "ann", 0, [[1], [0], [2]], of=token("other")).status_code == 409
    rooms.set_closed(database, room, True)
    assert put(phone, room, "ann", 0, [[0], [1], [2]]).status_code == 200, "it was kept before"
    late = put(phone, room, "ann", 1, [[0], [1], [2]])
    assert late.status_code == 410 and "too late" in late.json()["error"]
    assert begin(phone, room, "ben").status_code == 410
    assert rooms.counts(database, room) == rooms.Counts(1, 0, 1, 0, 0)


def test_who_withdraws_is_nobody_and_the_owner_is_told(database, room):
    calls = []
    with TestClient(collect_app(database, withdrawn=lambda: calls.append(1))) as phone:
        begin(phone, room, "ann")
        answer = phone.delete(f"/{room.code}/me", headers=as_("ann"))
        assert answer.json() == {"withdrawn": True} and calls == [1]
        assert phone.get(f"/{room.code}/me", headers=as_("ann")).status_code == 401
        assert put(phone, room, "ann", 0, [[0], [1], [2]]).status_code == 401
    assert rooms.counts(database, room).people == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"agreed": False}, "without having agreed"),
        ({"agreed": "yes"}, "expected agreed"),
        ({"more": 1}, "expected more"),
        ({"token": 7}, "expected token"),
        ({"token": "short"}, "a token is"),
        ({"groups": {"age": "middle"}}, "no answer to a question"),
        ({"groups": {str(n): "x" for n in range(6)}}, "more answers than questions"),
    ],
)
def test_joining_with_something_else_is_refused(phone, database, room, changes, says):
    answer = begin(phone, room, "ann", **changes)
    assert answer.status_code == 422 and says in answer.json()["error"]
    assert rooms.counts(database, room).people == 0


@pytest.mark.parametrize("position", ["-1", "00", "1.0", "x", "999999", "%F0%9F%98%80"])
def test_places_that_are_none(phone, room, position):
    begin(phone, room, "ann")
    path = f"/{room.code}/me/answers/{position}"
    assert phone.put(path, json={}, headers=as_("ann")).status_code == 404


def test_bodies_that_are_none(phone, room):
    begin(phone, room, "ann")
    path = f"/{room.code}/me/answers/0"
    for body in (b"", b"{", b"[]", b"\xff\xfe", b"[" * 9_000, b'{"order": [[1e999]]}'):
        assert phone.put(path, content=body, headers=as_("ann")).status_code == 422, body[:9]
    assert phone.put(path, content=b"x" * 20_000, headers=as_("ann")).status_code == 413


def test_texts_travel_as_json_and_pages_hold_none(phone, database):
    texts = (Candidate("a", HOSTILE), Candidate("b", "b"))
    key = rooms.open_room(
        database, plan(title=HOSTILE, per_person=1, questions=(Question("q", HOSTILE, texts),))
    )
    room = rooms.room_by_key(database, key)
    begin(phone, room, "ann")
    for path in ("room", "me"):
        answer = phone.get(f"/{room.code}/{path}", headers=as_("ann"))
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["tasks"][0]["prompt"] == HOSTILE
    assert HOSTILE not in phone.get(f"/{room.code}").text
    assert phone.get(f"/{HOSTILE.replace('/', '')}").text == phone.get("/").text


def test_every_response_forbids_foreign_and_inline_code(phone, room):
    for path in ("/", f"/{room.code}", f"/{room.code}/room", "/NOROOM/room", "/assets/page.js"):
        headers = phone.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["cache-control"] == "no-store" and "set-cookie" not in headers


def test_the_page_needs_nothing_from_elsewhere_and_all_of_its_files_are_served(phone):
    html = phone.get("/").text
    names = {path.name for path in PAGE.iterdir()} - {"page.html", "sortable.LICENSE"}
    assert names == set(routes.ASSETS)
    assert set(re.findall(r'(?:src|href)="assets/([^"]+)"', html)) <= names
    for name in names:
        assert phone.get(f"/assets/{name}").status_code == 200
        source = (PAGE / name).read_text("utf-8")
        imported = set(re.findall(r'from "\./([^"]+)"', source))
        assert imported <= names
        if name != "sortable.js":
            assert not re.search(
                r"innerHTML|insertAdjacent|document\.write|eval\(|https?://", source
            )
    assert " style=" not in html and "onclick" not in html
    for name in ("page.html", "sortable.LICENSE", "..%2Froutes.py"):
        assert phone.get(f"/assets/{name}").status_code == 404


def test_the_vendored_library_says_its_version_and_has_its_licence():
    assert (PAGE / "sortable.js").read_text().startswith("/*! Sortable 1.15.7 - MIT")
    assert "MIT License" in (PAGE / "sortable.LICENSE").read_text()


def test_faults_of_the_server_show_a_log_id_only(phone, room, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError(f"secret of {Path.home()}")

    monkeypatch.setattr(routes, "room_by_code", fails)
    answer = phone.get(f"/{room.code}/room")
    assert answer.status_code == 500
    assert re.fullmatch(r"something went wrong here \(log id \w{8}\)", answer.json()["error"])
    assert "secret of" in caplog.text
