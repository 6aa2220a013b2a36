"""Bundles: what leaves comes back the same, and nothing hostile gets in."""

from __future__ import annotations

import json
import stat
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import emdpo
from emdpo import bundles
from emdpo.bundles import pack, unpack
from emdpo.chosen import CHOSEN, Chosen, load_chosen, save_chosen
from emdpo.core.errors import RunError
from emdpo.demo import demo_file


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    fit = emdpo.fit(emdpo.load(demo_file("classroom.csv")), 2, restarts=2)
    return fit.save(tmp_path_factory.mktemp("run"))


@pytest.fixture
def bundle(run, tmp_path):
    return pack(run, tmp_path / "run.zip")


def add(bundle, name, content=b"x", mode=0):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(entry, content)


def replaced(bundle, target, name, content):
    """Return a copy of the bundle in which one file has other content."""
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, content if entry.filename == name else old.read(entry))
    return target


def test_there_and_back_is_the_same_fit(run, bundle, tmp_path):
    fit, again = emdpo.load_fit(run), unpack(bundle, tmp_path / "back")
    assert again.log_likelihood == fit.log_likelihood
    assert (again.policies.theta == fit.policies.theta).all()
    assert (tmp_path / "back" / "fit.json").exists()


def test_only_files_of_a_run_leave(run, tmp_path):
    (run / "job").mkdir(exist_ok=True)
    (run / "job" / "stderr").write_text("secret")
    with zipfile.ZipFile(pack(run, tmp_path / "run.zip")) as archive:
        assert not [name for name in archive.namelist() if name.startswith("job")]
        assert "fit.json" in archive.namelist()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "/etc/cron.d/x",
        "policy/../../x",
        "C:\\x",
        "data/rows.parquet/..",
        "job/job.json",
    ]
    + ["policy/theta.pkl", "fit.json\n", ".fit.json", "state/identity.json", "stop"],
)
def test_a_file_that_no_run_has_is_refused(bundle, tmp_path, name):
    add(bundle, name)
    with pytest.raises(RunError, match="no file of a run"):
        unpack(bundle, tmp_path / "out" / "run")
    assert not (tmp_path / "out").exists() and not (tmp_path / "evil.py").exists()


def test_a_link_is_refused(bundle, tmp_path):
    add(bundle, "audit/audit.json", b"/etc/passwd", stat.S_IFLNK | 0o777)
    with pytest.raises(RunError, match="link"):
        unpack(bundle, tmp_path / "run")


def test_an_audit_in_a_bundle_is_made_again_not_taken_over(bundle, tmp_path):
    add(bundle, "audit/report.html", b"<script>alert(1)</script>")
    unpack(bundle, tmp_path / "back")
    assert not (tmp_path / "back" / "audit").exists()


def test_a_chosen_policy_leaves_and_comes_back_and_nothing_else_with_it(run, tmp_path):
    chosen = Chosen("consensus", (0.25, 0.75), "Ours")
    save_chosen(run, chosen)
    bundle = pack(run, tmp_path / "run.zip")
    (run / "audit" / CHOSEN).unlink()
    told = {"form": "consensus", "weights": [0.25, 0.75], "name": "Ours", "more": "x" * 999}
    content = json.dumps(told).encode()
    unpack(replaced(bundle, tmp_path / "b.zip", f"audit/{CHOSEN}", content), tmp_path / "back")
    assert load_chosen(tmp_path / "back", 2) == chosen
    assert [path.name for path in (tmp_path / "back" / "audit").iterdir()] == [CHOSEN]
    assert "more" not in (tmp_path / "back" / "audit" / CHOSEN).read_text()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"form": "mixture", "weights": [0.2, 0.3, 0.5]}',
        b'{"form": "mixture", "weights": [NaN, 1]}',
        b'{"form": "__import__", "weights": [0.5, 0.5]}',
        b'{"form": "mixture", "weights": [0.5, 0.5], "name": "%s"}' % (b"x" * 30_000),
    ],
)
def test_a_chosen_policy_that_is_none_is_refused(bundle, tmp_path, content):
    add(bundle, f"audit/{CHOSEN}", content)
    with pytest.raises(RunError, match="the bundle") as refused:
        unpack(bundle, tmp_path / "run")
    assert "chosen.json" in str(refused.value) and "bundle-" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_chosen_policy_of_a_type_without_users_is_refused(tmp_path):
    """Its audit could not be shown."""
    fit = emdpo.fit(emdpo.load(demo_file("classroom.csv")), 2, restarts=2)
    only = np.eye(2)[np.zeros(fit.rankings.n_users, int)]
    emptied = replace(fit, weights=np.array([1.0, 0.0]), responsibilities=only)
    run = emptied.save(tmp_path / "empty")
    save_chosen(run, Chosen("mixture", (0.5, 0.5)))
    with pytest.raises(RunError, match="chosen policy is refused .*a type without users"):
        unpack(pack(run, tmp_path / "run.zip"), tmp_path / "back")


def test_too_many_or_repeated_files_are_refused(bundle, tmp_path):
    for number in range(bundles.MAX_FILES):
        add(bundle, f"audit/table_{'x' * number}.csv")
    with pytest.raises(RunError, match="at most"):
        unpack(bundle, tmp_path / "run")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(bundle, tmp_path):
    add(bundle, "fit.json", b"{}")
    with pytest.raises(RunError, match="once"):
        unpack(bundle, tmp_path / "run")


def test_size_is_counted_as_it_comes_out(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "MAX_BYTES", 1000)
    with pytest.raises(RunError, match="unpacks to more"):
        unpack(bundle, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 40])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(RunError, match="not a sound zip"):
        unpack(path, tmp_path / "run")


def test_a_bundle_without_a_finished_run_is_refused(tmp_path):
    add(tmp_path / "x.zip", "README.md")
    with pytest.raises(RunError, match="no finished run"):
        unpack(tmp_path / "x.zip", tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("fit.json", b"{}"),
        ("fit.json", b'{"config": {"n_types": 99}}'),
        ("data/rows.parquet", b"PAR1"),
        ("policy/features.json", b"[" * 10000),
        ("responsibilities.csv", b"user_id\n"),
        ("policy/theta.csv", b"feature,type_1,type_2\nx,1,2\n"),
    ],
)
def test_damaged_content_is_one_line(bundle, tmp_path, name, content):
    broken = replaced(bundle, tmp_path / "broken.zip", name, content)
    with pytest.raises(RunError, match="the bundle") as refused:
        unpack(broken, tmp_path / "run")
    assert "\n" not in str(refused.value) and "bundle-" not in str(refused.value)


def test_a_table_of_equal_values_is_counted_by_its_cells(bundle, tmp_path):
    """Four million zeros compress to a few kB; rankings of over three million rows are not read."""
    rows = pd.DataFrame({name: np.zeros(4_000_000, np.int32) for name in ("ranking", "candidate")})
    rows.to_parquet(tmp_path / "rows.parquet")
    content = (tmp_path / "rows.parquet").read_bytes()
    assert len(content) < 100_000
    bomb = replaced(bundle, tmp_path / "bomb.zip", "data/rows.parquet", content)
    with pytest.raises(RunError, match="rows.parquet is refused"):
        unpack(bomb, tmp_path / "out")
