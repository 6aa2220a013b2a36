"""The main job by a program: gradio_client against a server, with ids instead of a session."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from emdpo.demo import demo_file

gradio_client = pytest.importorskip("gradio_client")

ENDPOINTS = {
    "/load_demo",
    "/load_file",
    "/start_fit",
    "/fit_status",
    "/stop_fit",
    "/select_types",
    "/types",
    "/audit",
    "/chat",
}


@pytest.fixture(scope="module")
def address(place):
    from emdpo.ui.app import build_app, launch_settings

    app = build_app(place)
    _, address, _ = app.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_settings(place)
    )
    yield address
    app.close()


@pytest.fixture(scope="module")
def client(address):
    return gradio_client.Client(address, verbose=False)


def finished(client, run_id):
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        status = client.predict(run_id, api_name="/fit_status")
        if status["state"] not in ("queued", "running", "stopping"):
            return status
        time.sleep(0.3)
    raise AssertionError(status)


def test_exactly_these_endpoints_are_public_and_described(client):
    told = client.view_api(return_format="dict")
    assert set(told["named_endpoints"]) == ENDPOINTS and not told["unnamed_endpoints"]
    for name, endpoint in told["named_endpoints"].items():
        assert endpoint["description"], name
        assert all(item["parameter_name"] for item in endpoint["parameters"]), name


def test_demo_fit_types_audit(client):
    demo = client.predict(api_name="/load_demo")
    assert demo["summary"]["n_users"] == 240 and demo["errors"] == []
    started = client.predict(demo["data_id"], n_types=3, restarts=2, api_name="/start_fit")
    assert started["state"] in ("queued", "running")
    status = finished(client, started["run_id"])
    assert status["state"] == "done", status["message"]
    assert status["fit"]["n_types"] == 3 and status["config"]["restarts"] == 2
    types = client.predict(started["run_id"], api_name="/types")
    assert [portrait["number"] for portrait in types] == [1, 2, 3]
    assert sum(portrait["weight"] for portrait in types) == pytest.approx(1)
    audit = client.predict(started["run_id"], api_name="/audit")
    assert audit["worst"]["share"]["consensus"] < audit["worst"]["share"]["pooled"]
    assert audit["findings"] and len(audit["regret_matrix"]) == 3
    json.dumps([demo, status, types, audit], allow_nan=False)


def test_an_own_file_with_users_and_columns(client, tmp_path):
    rankings, users = tmp_path / "mine.csv", tmp_path / "users.csv"
    rows = [f"u{i},p,{answer},{rank}" for i in range(3) for rank, answer in enumerate("abc", 1)]
    rankings.write_text("\n".join(["who,prompt,response,rank", *rows]))
    users.write_text("user_id,age\nu0,1\nu1,2\nu2,3\n")
    handle = gradio_client.handle_file
    loaded = client.predict(
        handle(str(rankings)), handle(str(users)), {"user_id": "who"}, api_name="/load_file"
    )
    assert loaded["errors"] == [] and loaded["columns"]["user_id"] == "who"
    assert [group["attribute"] for group in loaded["summary"]["groups"]] == ["age"]


def test_bad_input_is_one_line(client):
    with pytest.raises(Exception, match="not a run id"):
        client.predict("../../etc", api_name="/fit_status")
    demo = client.predict(api_name="/load_demo")
    with pytest.raises(Exception, match="at most 12"):
        client.predict(demo["data_id"], n_types=99, api_name="/start_fit")


def post(url, data):
    body, headers = json.dumps({"data": data}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request) as response:  # noqa: S310 - our own server
        return json.load(response)


def call(address, name, data):
    """Return what the server answers to a program that does as it likes."""
    url = f"{address}gradio_api/call/{name}"
    event = post(url, data)["event_id"]
    with urllib.request.urlopen(f"{url}/{event}") as response:  # noqa: S310 - our own server
        return response.read().decode()


def test_a_server_file_cannot_be_loaded_by_its_path(address):
    """The file exists and is readable, but was not uploaded."""
    own = str(demo_file())
    assert "event: complete" in call(address, "load_demo", [])
    for value in (own, {"path": own}, {"path": own, "meta": {"_type": "gradio.FileData"}}):
        answer = call(address, "load_file", [value, None, None])
        assert "event: error" in answer and "data_id" not in answer


def test_stop_and_selection(client):
    demo = client.predict(api_name="/load_demo")
    started = client.predict(demo["data_id"], restarts=100, n_types=6, api_name="/start_fit")
    choice = client.predict(demo["data_id"], restarts=1, api_name="/select_types")
    assert choice["state"] == "queued" and choice["kind"] == "selection"
    client.predict(choice["run_id"], api_name="/stop_fit")
    client.predict(started["run_id"], api_name="/stop_fit")
    assert finished(client, started["run_id"])["state"] == "stopped"
    assert finished(client, choice["run_id"])["state"] == "stopped"


def test_no_request_may_skip_the_queue_and_no_file_of_ours_is_served(address):
    for path in ("gradio_api/file=/etc/passwd", "gradio_api/file=pyproject.toml"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address + path)  # noqa: S310 - our own server
        assert refused.value.code == 403
        refused.value.close()
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(address + "gradio_api/run/load_demo", [])
    assert refused.value.code == 404
    refused.value.close()


def test_the_page_asks_nobody_else_for_anything(address):
    with urllib.request.urlopen(address) as response:  # noqa: S310 - our own server
        page = response.read().decode()
    assert "fonts.googleapis.com" not in page
