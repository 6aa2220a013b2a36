"""What people in a room are told: the types, and their own posterior, against the fit's own."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from class_room import class_plan
from collecting import join, token
from starlette.applications import Starlette
from starlette.testclient import TestClient

from emdpo.collect import people
from emdpo.collect.export import person_table, rankings_table
from emdpo.collect.rooms import delete_room, open_room, room_by_key, set_shares_run
from emdpo.jobs import folder_of
from emdpo.ui.app import launch_settings
from emdpo.ui.collect.told import told


@pytest.fixture(scope="module")
def phone(place):
    """Return a client of what the app serves beside Gradio, mounted as at every launch."""
    routes = launch_settings(place)["app_kwargs"]["routes"]
    with TestClient(Starlette(routes=routes)) as client:
        yield client


def asked(phone, room, name, path, method="GET"):
    """Return status and JSON of what a person's phone asks for."""
    headers = {"Authorization": f"Bearer {token(name)}"}
    response = phone.request(method, f"/join/{room.code}/{path}", headers=headers)
    return response.status_code, response.json()


def user_of(place, room, name):
    return people.person(place.rooms, room.code, token(name))[1].user_id


def test_a_fitted_persons_posterior_is_the_fits_responsibility(place, class_room):
    """Who is in the fit and has ranked nothing since has the E-step's own row."""
    _, room, run_id = class_room
    fit = place.fit(run_id)
    rows = dict(zip(fit.rankings.users.index, fit.responsibilities, strict=True))
    for name in ("person-0", "person-11"):
        user_id = user_of(place, room, name)
        said = told(place, room, person_table(place.rooms, room, user_id))
        assert said["you"]["posterior"] == pytest.approx(rows[user_id].tolist(), abs=1e-9)
        best = int(np.argmax(rows[user_id])) + 1
        assert said["you"]["verdict"].endswith(f"Type {best}.")
        assert [each["prompt"][:8] for each in said["you"]["rests_on"]] == ["Question"] * 4
    json.dumps(said, allow_nan=False)


def test_the_types_are_told_with_shares_and_what_they_rest_on(place, class_room):
    """Planted: 8 of 12 like long answers best, 4 short ones; nobody may open the run."""
    _, room, run_id = class_room
    said = told(place, room, rankings_table(place.rooms, room).head(0))
    assert said["you"] is None and said["run"] is None and not said["chat"]
    assert (said["n_people"], said["n_rankings"]) == (12, 48)
    assert [each["share"] for each in said["types"]] == pytest.approx([8 / 12, 4 / 12], abs=0.02)
    assert all(each["low"] <= each["share"] <= each["high"] for each in said["types"])
    assert "longer" in " ".join(said["types"][0]["wishes"])


def test_rankings_of_answers_that_the_fit_does_not_know_tell_nothing(place, class_room):
    _, room, run_id = class_room
    table = person_table(place.rooms, room, user_of(place, room, "person-0"))
    strange = table.assign(response_id=[f"other-{n}" for n in range(len(table))])
    said = told(place, dataclasses.replace(room, shares_run=True), strange)
    assert said["you"] is None and said["run"] == run_id


def test_while_there_is_no_result_nothing_is_told(place):
    from emdpo.collect.fits import add_fit

    room = room_by_key(place.rooms, open_room(place.rooms, class_plan()))
    table = rankings_table(place.rooms, room)
    assert told(place, room, table) is None
    add_fit(place.rooms, room, "y" * 22, [])
    assert told(place, room, table) is None
    delete_room(place.rooms, room)


def test_a_phone_asks_for_its_type_and_nobody_elses(place, phone, class_room):
    _, room, run_id = class_room
    status, said = asked(phone, room, "person-0", "me/types")
    assert status == 200 and said["found"]["you"]["verdict"].startswith("You are")
    assert said["found"]["run"] is None
    set_shares_run(place.rooms, room, True)
    assert asked(phone, room, "person-0", "me/types")[1]["found"]["run"] == run_id
    set_shares_run(place.rooms, room, False)
    assert asked(phone, room, "nobody", "me/types")[0] == 401


def test_withdrawing_on_a_phone_deletes_the_run_at_once(place, phone, class_room):
    from emdpo.collect.fits import add_fit

    key = open_room(place.rooms, class_plan())
    room = room_by_key(place.rooms, key)
    for name in ("stays", "goes"):
        join(place.rooms, room.code, name)
    run_id = place._copy(folder_of(place.home, class_room[2]), "a copy")
    add_fit(place.rooms, room, run_id, {user_of(place, room, "goes")})
    assert asked(phone, room, "stays", "me/types")[1]["found"]["n_people"] == 12
    assert asked(phone, room, "goes", "me", "DELETE") == (200, {"withdrawn": True})
    assert not (place.home / run_id).exists()
    assert asked(phone, room, "stays", "me/types")[1] == {"found": None}
    delete_room(place.rooms, room)
