"""A publication holds everything but the rankings: every byte of it is looked at."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import planted_table
from plotly.offline import get_plotlyjs

import emdpo
from emdpo.bundles import unpack
from emdpo.core.errors import RunError
from emdpo.demo import demo_run
from emdpo.predicting import evidence
from emdpo.publication import publish
from emdpo.spreadsheets import restored

KINDS = ("items", "text", "columns")
WORDS = ("zorblax", "quimpery", "vandrosk", "jelthorn")
"""In the answers, often enough to name topics."""

FORMULA = "=HYPERLINK(1)"


def secret_table():
    """Return rankings in which each private thing bears a word that stands nowhere else.

    Of 36 users, 3 are of team tinyteam and 10 of team bystander, which would give it away.
    """
    table = planted_table()
    user = table["user_id"].str[1:].astype(int)
    answer = table["response_id"].str[-1].astype(int)
    said = answer.map(lambda n: f"{WORDS[n]} {WORDS[n - 1]} ")
    return table.assign(
        user_id="uidsecret" + table["user_id"],
        ranking_id="ridsecret" + table["ranking_id"],
        prompt_id="pidsecret" + table["prompt_id"],
        prompt="promptsecret " + table["prompt"],
        response_id="aidsecret" + table["response_id"],
        response=said * (answer + 1) + "answersecret " + table["response"],
        team=np.select([user < 3, user < 13], ["tinyteam", "bystander"], FORMULA),
        x_a=table["x_a"] + 0.123456789,
    )


SECRETS = ("secret", "tinyteam", "bystander", *WORDS, "3456789")


@pytest.fixture(scope="module")
def rankings():
    return emdpo.load(secret_table())


@pytest.fixture(scope="module", params=KINDS)
def published(request, rankings, tmp_path_factory):
    """Return a fit, its audit and the publication of both."""
    fit = emdpo.fit(rankings, 2, features=request.param, restarts=1)
    audit = emdpo.audit(fit, n_bootstrap=50)
    path = tmp_path_factory.mktemp("publication") / "audit.zip"
    return fit, audit, publish(audit, fit, path)


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def found_in(path, words):
    """Return the files and words of a zip where a private word stands, also as bytes of the zip."""
    plotly = get_plotlyjs().encode()
    files = contents(path) | {"the zip itself": path.read_bytes()}
    return [
        (name, word)
        for name, content in files.items()
        for word in words
        if word.encode() in content.replace(plotly, b"")
    ]


def test_nothing_private_is_in_any_byte(published):
    _, _, path = published
    assert found_in(path, SECRETS) == []


def test_what_is_private_would_be_found(published):
    """The same look finds texts where they were asked for; people and small groups never are."""
    fit, audit, path = published
    whole = publish(audit, fit, path.with_name("texts.zip"), texts=True)
    assert {word for _, word in found_in(whole, SECRETS)} >= {"secret", *WORDS}
    assert not any(word in ("tinyteam", "bystander") for _, word in found_in(whole, SECRETS))
    assert found_in(whole, ["uidsecret", "ridsecret"]) == []


def test_it_holds_what_it_says(published):
    fit, _, path = published
    names = set(contents(path))
    tables = {f"audit/{name}.csv" for name in ("types", "groups", "regret_matrix", "policies")}
    policies = {f"policy/{name}" for name in ("theta.csv", "pooled.csv", "README.md")}
    rest = {"README.md", "datasheet.md", "report.html", "fit.json", "trace.csv"}
    assert names == tables | policies | rest | {"audit/audit.json", "responsibilities.csv"}
    readme = contents(path)["README.md"].decode()
    for told in ("arXiv 2510.15716", fit.data_sha256, "docs/audit.md", "No ranking"):
        assert told in readme
    assert all(name.split("/")[0] in readme for name in names - {"README.md"})


def test_users_and_answers_are_numbered_in_the_order_of_the_file(published):
    fit, _, path = published
    held = contents(path)
    users = pd.read_csv(io.BytesIO(held["responsibilities.csv"]))
    assert users["user"].tolist() == list(range(1, 37))
    assert users["type_1"].tolist() == fit.responsibilities[:, 0].tolist()
    policies = pd.read_csv(io.BytesIO(held["audit/policies.csv"]))
    assert policies["prompt_id"].iloc[0] == "prompt 1"
    assert policies["response_id"].tolist() == [f"answer {n}" for n in range(1, 25)]


def test_suppressed_groups_have_no_name_and_no_size_and_the_rest_is_whole(published):
    _, audit, path = published
    told = json.loads(contents(path)["audit/audit.json"])
    whole = json.loads(audit.to_json())
    assert len(told["suppressed"]) == len(audit.suppressed) > 0
    assert all(group["value"] is None and group["n"] is None for group in told["suppressed"])
    del told["suppressed"], whole["suppressed"]
    assert told == whole


def test_cells_are_neutral_and_numbers_whole(published):
    _, audit, path = published
    held = contents(path)
    for name, content in held.items():
        if name.endswith(".csv"):
            assert not re.search(rb'(^|,)"?[=+@]', content, re.M)
    groups = pd.read_csv(io.BytesIO(held["audit/groups.csv"]))
    assert FORMULA in set(groups["value"].map(restored))
    first = groups.query("attribute == 'age' and kind == 'plain' and rule == 'pooled'").iloc[0]
    assert first["regret"] == audit.groups[0].regret["plain"]["pooled"]


def test_the_same_run_gives_the_same_bytes(published, tmp_path):
    fit, audit, path = published
    assert publish(audit, fit, tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_it_is_told_from_a_run_in_one_line(published, tmp_path):
    _, _, path = published
    with pytest.raises(RunError, match="publication of a run.*rankings.*missing") as told:
        unpack(path, tmp_path / "run")
    assert "\n" not in str(told.value) and not (tmp_path / "run").exists()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "opened")
    with pytest.raises(RunError, match="publication of a run"):
        emdpo.load_fit(tmp_path / "opened")


def test_texts_are_in_it_only_if_asked_for(published):
    fit, audit, path = published
    whole = contents(publish(audit, fit, path.with_name("texts.zip"), texts=True))
    answers = pd.read_csv(io.BytesIO(whole["answers.csv"]))
    assert (
        answers["response"].map(restored).tolist() == fit.rankings.candidates["response"].tolist()
    )
    assert b"promptsecret" in whole["report.html"]
    assert "answers.csv" not in contents(path)


def test_evidence_and_refits_leave_without_what_is_private_too(rankings, tmp_path):
    fit = emdpo.fit(rankings, 2, features="columns", restarts=1)
    tested = evidence(fit, folds=2, n_bootstrap=20)
    audit = replace(emdpo.audit(fit, n_bootstrap=20, refits=2), evidence=tested)
    path = publish(audit, fit, tmp_path / "audit.zip")
    assert found_in(path, SECRETS) == []
    held = contents(path)
    told = json.loads(held["audit/audit.json"])["evidence"]["suppressed"]
    assert told and all(group["value"] is None for group in told)
    for section in ("On rankings that nobody fitted", "With the types found anew"):
        assert f">{section}</h2>" in held["report.html"].decode()
    assert b"refitted_low" in held["audit/groups.csv"] and held["audit/evidence.csv"]


@pytest.fixture(scope="module")
def adapters_run(tmp_path_factory):
    """Return a copy of the shipped run, whose base model is said to lie in somebody's folder."""
    run = tmp_path_factory.mktemp("adapters") / "run"
    shutil.copytree(demo_run(), run)
    about = json.loads((run / "fit.json").read_text("utf-8"))
    folder = "/home/secretuser/models/small"
    about["base_model"] |= {"name": folder, "hub_id": None}
    about["config"]["base_model"] = folder
    (run / "fit.json").write_text(json.dumps(about), "utf-8")
    return run


def test_adapters_leave_with_cards_and_without_people_texts_or_folders(adapters_run, tmp_path):
    fit = emdpo.load_fit(adapters_run)
    path = publish(emdpo.audit(fit, n_bootstrap=20), fit, tmp_path / "audit.zip", run=adapters_run)
    held, data = contents(path), fit.rankings
    for name in ("type-1", "type-2", "type-3", "pooled"):
        assert held[f"policy/{name}/adapter_model.safetensors"]
        assert b"preference" in held[f"policy/{name}/README.md"]
        config = json.loads(held[f"policy/{name}/adapter_config.json"])
        assert config["base_model_name_or_path"] == "small"
    assert found_in(path, ["secretuser", "/home"]) == []
    plotly = get_plotlyjs().encode()
    texts = [*data.prompts["prompt"], *data.candidates["response"]]
    for name, content in held.items():
        if not name.endswith(".safetensors"):  # tensors hold no text
            said = content.replace(plotly, b"").decode()
            assert not [text for text in texts if " ".join(text.split()[:5]) in said], name
            assert not set(re.findall(r"\bu[0-9]{3}\b", said)) & set(data.users.index), name
