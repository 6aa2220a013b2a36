"""docs/audit.md recomputes the audit in thirty lines of NumPy and pandas: they are run here."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest

import emdpo
from emdpo.audit_files import save_audit
from emdpo.core.audit import KINDS
from emdpo.demo import demo_file, demo_run
from emdpo.publication import publish

GUIDE = Path(__file__).parent.parent / "docs" / "audit.md"
CODE = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL).group(1)


@pytest.fixture(scope="module")
def log_linear(tmp_path_factory):
    """Return a fit of the demo, its audit, and its run folder with the rankings beside it."""
    fit = emdpo.fit(emdpo.load(demo_file()), 3, restarts=2)
    return fit, *audited(fit, fit.save(tmp_path_factory.mktemp("demo")))


def audited(fit, run, **settings):
    result = emdpo.audit(fit, n_bootstrap=20, **settings)
    save_audit(result, run, fit=fit)
    shutil.copy(demo_file(), run / "rankings.csv")
    return result, run


def redo(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(CODE, names)  # noqa: S102 - the guide's own code
    return names


def test_thirty_lines_are_enough():
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 30


def test_the_demo_run_is_recomputed(log_linear, monkeypatch):
    """By every kind, rule, type and group: what the guide's last `same` has seen is all of it."""
    _, result, run = log_linear
    names = redo(run, monkeypatch)
    assert set(names["kinds"]) | {"preference"} == set(KINDS)
    assert len(names["shares"]) == len(result.groups) > 10
    assert names["rule"] == result.rules[-1]


def test_a_run_with_adapters_is_recomputed(tmp_path, monkeypatch):
    shutil.copytree(demo_run(), tmp_path / "run")
    audited(emdpo.load_fit(tmp_path / "run"), tmp_path / "run")
    redo(tmp_path / "run", monkeypatch)


def test_a_publication_is_recomputed(log_linear, tmp_path, monkeypatch):
    """Its users are numbered in the order of the file, so that groups are found."""
    fit, result, run = log_linear
    with zipfile.ZipFile(publish(result, fit, tmp_path / "audit.zip")) as archive:
        archive.extractall(tmp_path / "opened")
    shutil.copy(run / "rankings.csv", tmp_path / "opened")
    redo(tmp_path / "opened", monkeypatch)


def test_a_type_without_users_is_recomputed(log_linear, tmp_path, monkeypatch):
    fit = emdpo.fit(emdpo.load(demo_file()), 5, restarts=1, l2=300.0, features="text")
    assert fit.empty_types
    audited(fit, fit.save(tmp_path), weights=[0.5, 0.5, 0.0, 0.0, 0.0])
    redo(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["regret", "worst", "mean", "groups"])
def test_a_number_that_is_off_by_a_millionth_is_found(
    log_linear, tmp_path, monkeypatch, place, kind
):
    shutil.copytree(log_linear[-1], tmp_path / "run")
    path = tmp_path / "run" / "audit" / "audit.json"
    told = json.loads(path.read_text("utf-8"))
    if place == "groups":
        told["groups"][3]["regret"][kind]["nash"] *= 1 + 1e-6
    elif place == "regret":
        told["regret"][kind]["lottery"][1] *= 1 + 1e-6
    else:
        told[place][kind]["pooled"] *= 1 + 1e-6
    path.write_text(json.dumps(told), "utf-8")
    with pytest.raises(AssertionError, match="Mismatch|mismatch"):
        redo(tmp_path / "run", monkeypatch)


@pytest.mark.parametrize("rule", ["mixture", "consensus", "maximin"])
def test_weights_that_do_not_make_the_policy_are_found(log_linear, tmp_path, monkeypatch, rule):
    shutil.copytree(log_linear[-1], tmp_path / "run")
    path = tmp_path / "run" / "audit" / "audit.json"
    told = json.loads(path.read_text("utf-8"))
    told["weights"][rule] = told["weights"][rule][::-1]
    path.write_text(json.dumps(told), "utf-8")
    with pytest.raises(AssertionError, match="Mismatch|mismatch"):
        redo(tmp_path / "run", monkeypatch)
