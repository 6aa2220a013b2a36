"""The run folder: its contract key by key, figures recomputed from files alone, damage, crashes."""

from __future__ import annotations

import errno
import io
import itertools
import json
import math
import os
import re
import tokenize
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from panels import planted, planted_table

import emdpo
from emdpo import files
from emdpo.audit_files import save_audit
from emdpo.core.errors import RunError
from emdpo.demo import demo_file
from emdpo.fitting import data_fingerprint
from emdpo.spreadsheets import restored

PACKAGE = Path(emdpo.__file__).parent
TYPES = ["type_1", "type_2", "type_3"]


def panel_with_everything():
    """Return rankings with ties, unranked candidates, weights, held-out rankings and features."""
    table = planted_table(n_users=24)
    rng = np.random.default_rng(5)
    table["rank"] = table["rank"].where(rng.random(len(table)) > 0.15, 2)  # ties
    kind = table["ranking_id"].str[-1]
    table["rank"] = table["rank"].where((kind != "1") | (table["rank"] < 3), np.nan)  # best of
    table["weight"] = np.where(kind == "2", 0.5, 1.0)
    table["split"] = np.where(table["ranking_id"] == "r3-0", "test", "train")
    return emdpo.load(table)


def fitted(kind):
    if kind == "text":
        return emdpo.fit(emdpo.load(demo_file("classroom.csv")), 2, features="text", restarts=2)
    return emdpo.fit(panel_with_everything(), 3, features=kind, restarts=2, beta=0.3, l2=0.5)


@pytest.fixture(scope="module", params=["columns", "items", "text"])
def saved(request, tmp_path_factory):
    """Return a fit and its run folder."""
    fit = fitted(request.param)
    return fit, fit.save(tmp_path_factory.mktemp("runs") / "deep" / request.param)


@pytest.fixture(scope="module")
def columns_fit():
    return fitted("columns")


@pytest.fixture
def run(columns_fit, tmp_path):
    return columns_fit.save(tmp_path / "run")


def read_json(path):
    return json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)


def test_the_folder_has_the_files_of_the_contract(saved):
    fit, run = saved
    there = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    expected = {"fit.json", "responsibilities.csv", "trace.csv", "README.md"}
    expected |= {"policy/theta.csv", "policy/pooled.csv", "policy/features.json"}
    expected |= {"policy/features.parquet"} if fit.features.kind != "items" else set()
    names = ("rows", "rankings", "users", "prompts", "candidates")
    assert there == expected | {f"data/{name}.parquet" for name in names}


def test_fit_json_key_by_key(saved):
    fit, run = saved
    about = read_json(run / "fit.json")
    assert about["n_types"] == fit.n_types
    assert about["weights"] == fit.weights.tolist()
    assert about["weights"] == sorted(about["weights"], reverse=True)
    assert sum(about["weights"]) == pytest.approx(1)
    assert about["log_likelihood"] == fit.log_likelihood
    n_users, n_rankings = (24, 72) if fit.features.kind == "text" else (24, 71)
    assert (about["n_users"], about["n_rankings"]) == (n_users, n_rankings)
    assert about["n_iter"] == fit.n_iter > 0
    assert about["stop_reason"] == "converged"
    assert about["seed"] == 0
    assert about["policy"] == "loglinear"
    assert about["features"] == fit.features.kind
    settings = "n_types policy features beta l2 restarts max_iter seed"
    assert set(about["config"]) == set(settings.split())
    assert about["config"] == fit.config.to_dict()
    assert re.fullmatch("[0-9a-f]{64}", about["data_sha256"])
    assert about["base_model"] is None
    assert about["versions"].keys() >= {"emdpo", "python", "numpy", "scipy", "pandas"}


def test_responsibilities_are_whole_and_one_row_per_user(saved):
    fit, run = saved
    table = pd.read_csv(run / "responsibilities.csv", dtype={"user_id": str})
    assert list(table.columns) == ["user_id", *TYPES[: fit.n_types]]
    assert table["user_id"].tolist() == fit.rankings.users.index.tolist()
    np.testing.assert_array_equal(table.iloc[:, 1:].to_numpy(), fit.responsibilities)


def test_the_trace_has_every_iteration_of_every_start(saved):
    fit, run = saved
    table = pd.read_csv(run / "trace.csv")
    weights = [f"weight_{k + 1}" for k in range(fit.n_types)]
    assert list(table.columns) == ["restart", "iteration", "log_likelihood", *weights]
    assert len(table) == len(fit.trace)
    for _, of_start in table.groupby("restart"):
        assert of_start["iteration"].tolist() == list(range(len(of_start)))
    assert table["restart"].unique().tolist() == [0, 1]
    np.testing.assert_allclose(table[weights].sum(axis=1), 1)
    ends = table.groupby("restart")["log_likelihood"].last()
    assert ends.tolist().count(pytest.approx(fit.log_likelihood, abs=1e-6)) >= 1


def raw_features(run):
    """Return phi (A, D) in the units of theta.csv, its feature names, and the candidates."""
    candidates = pd.read_parquet(run / "data" / "candidates.parquet")
    theta = pd.read_csv(run / "policy" / "theta.csv", dtype={"feature": str}, keep_default_na=False)
    kind = read_json(run / "fit.json")["features"]
    names = theta["feature"].tolist()
    if kind == "items":
        ids = candidates["response_id"].to_numpy(object)
        return theta, (ids[:, None] == np.array(names, object)).astype(float)
    if kind == "columns":
        return theta, candidates[names].to_numpy(float)
    return theta, pd.read_parquet(run / "policy" / "features.parquet")[names].to_numpy(float)


def scores_from_files(run):
    """Return s_k = theta_k . phi of every candidate, (K, A), by plain NumPy."""
    theta, phi = raw_features(run)
    return theta[[name for name in TYPES if name in theta]].to_numpy(float).T @ phi.T


def test_scores_can_be_recomputed_from_theta_csv(saved):
    """Up to a constant per prompt, which no likelihood and no policy sees."""
    fit, run = saved
    ours, theirs = scores_from_files(run), fit.policies.candidate_scores()
    prompt = pd.read_parquet(run / "data" / "candidates.parquet")["prompt"].to_numpy()
    for code in np.unique(prompt):
        here = prompt == code
        difference = ours[:, here] - theirs[:, here]
        np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-9)


def test_theta_csv_has_every_digit(saved):
    fit, run = saved
    theta, _ = raw_features(run)
    expected = fit.features.raw_theta(fit.policies.theta).T
    np.testing.assert_array_equal(theta.iloc[:, 1:].to_numpy(float), expected)
    if fit.features.kind == "columns":
        assert theta["feature"].tolist() == ["x_a", "x_b"]
        assert theta["type_1"].abs().max() > 0.5


def log_plackett_luce(ranks, scores):
    """Return log P of one ranking by the definition, with loops: Efron's ties, last group free.

    Rank 0 is shown but not ranked: below all others, tied.
    """
    groups = {}
    for rank, score in zip(ranks, scores, strict=True):
        groups.setdefault(math.inf if rank == 0 else rank, []).append(score)
    ordered = [groups[rank] for rank in sorted(groups)]
    total = 0.0
    for place, tied in enumerate(ordered[:-1]):
        left = sum(math.exp(s) for group in ordered[place:] for s in group)
        of_tied = sum(math.exp(s) for s in tied)
        for gone, score in enumerate(tied):
            total += score - math.log(left - gone / len(tied) * of_tied)
    return total


def log_likelihood_from_files(run):
    """Return sum_i log sum_k w_k prod_j P_k(ranking_ij)^weight and responsibilities, by loops."""
    rows, rankings, users = (
        pd.read_parquet(run / "data" / f"{name}.parquet") for name in ("rows", "rankings", "users")
    )
    scores = scores_from_files(run)
    weights = read_json(run / "fit.json")["weights"]
    by_user = np.tile(np.log(weights), (len(users), 1))
    for ranking, part in rows.groupby("ranking"):
        user, weight = rankings["user"][ranking], rankings["weight"][ranking]
        for k, score in enumerate(scores):
            log_p = log_plackett_luce(part["rank"].tolist(), score[part["candidate"]].tolist())
            by_user[user, k] += weight * log_p
    log_marginal = np.log(np.exp(by_user).sum(axis=1))
    return log_marginal.sum(), np.exp(by_user - log_marginal[:, None])


def test_the_log_likelihood_can_be_recomputed_from_files_alone(saved):
    """Unpenalised, of the rankings fitted, with their ties, unranked candidates and weights."""
    _, run = saved
    total, responsibilities = log_likelihood_from_files(run)
    assert read_json(run / "fit.json")["log_likelihood"] == pytest.approx(total, abs=1e-8)
    stored = pd.read_csv(run / "responsibilities.csv").iloc[:, 1:].to_numpy(float)
    np.testing.assert_allclose(stored, responsibilities, atol=1e-8)


def test_loading_gives_the_fit_back(saved):
    fit, run = saved
    again = emdpo.load_fit(run)
    assert again.config == fit.config
    for name in ("log_likelihood", "stop_reason", "n_iter", "remaining_gain", "restarts"):
        assert getattr(again, name) == getattr(fit, name), name
    for name in ("information", "trace", "data_sha256", "versions"):
        assert getattr(again, name) == getattr(fit, name), name
    np.testing.assert_array_equal(again.weights, fit.weights)
    np.testing.assert_array_equal(again.responsibilities, fit.responsibilities)
    np.testing.assert_allclose(again.policies.theta, fit.policies.theta, rtol=1e-14)
    assert (again.features.kind, again.features.names) == (fit.features.kind, fit.features.names)
    assert data_fingerprint(again.rankings) == fit.data_sha256
    assert again.rankings.attributes == fit.rankings.attributes
    assert again.identifiability.to_dict() == fit.identifiability.to_dict()


def flattened(value, path=""):
    """Return every leaf of nested JSON with its path."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in flattened(value[key], f"{path}/{key}")]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in flattened(item, f"{path}/{i}")]
    return [(path, value)]


def test_the_audit_of_a_loaded_fit_is_that_of_the_fit(saved):
    """To rounding: theta is stored on the file's scale."""
    fit, run = saved
    first, second = (
        flattened(emdpo.audit(found, n_bootstrap=50).to_dict())
        for found in (fit, emdpo.load_fit(run))
    )
    assert [path for path, _ in first] == [path for path, _ in second]
    for (path, ours), (_, theirs) in zip(first, second, strict=True):
        expected = pytest.approx(theirs, abs=1e-7) if isinstance(theirs, float) else theirs
        assert ours == expected, path


def test_loading_twice_audits_to_the_same_bytes(run):
    texts = {emdpo.audit(emdpo.load_fit(run), n_bootstrap=20).to_json() for _ in range(2)}
    assert len(texts) == 1


STRANGE = [
    "007", "7", "NA", "None", "nan", "null", "a\nb", "a\rb", "a\r\nb", 'q"uote', "x,y", " lead",
    "trail ", "=1+1", "tab\tbed", "\u2028line", "naïve", "例", "🙂", "1e3", "True", "#", "-",
]  # fmt: skip


def test_strange_ids_survive(tmp_path):
    """As user ids, response ids, prompt ids and attribute values; null stays apart from "None"."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "user_id": user,
            "prompt_id": f"{STRANGE[prompt]}",
            "prompt": f"p{prompt}\r\n",
            "response_id": STRANGE[prompt * 4 + candidate],
            "response": STRANGE[-candidate] * prompt,
            "rank": place,
            "group": user if user != "007" else None,
        }
        for user in STRANGE
        for prompt in range(5)
        for candidate, place in enumerate((rng.permutation(4) + 1).tolist())
        if prompt * 4 + candidate < len(STRANGE) and (prompt, candidate) != (0, 3)
    ]
    fit = emdpo.fit(emdpo.load(pd.DataFrame(rows)), 2, features="items", restarts=1)
    again = emdpo.load_fit(fit.save(tmp_path / "run"))
    assert again.rankings.users.index.tolist() == STRANGE
    assert again.rankings.users["group"].tolist() == [None, *STRANGE[1:]]
    assert again.features.names == fit.features.names
    assert set(again.features.names) <= set(STRANGE)
    np.testing.assert_array_equal(again.policies.theta, fit.policies.theta)
    assert data_fingerprint(again.rankings) == fit.data_sha256
    stored = pd.read_csv(
        tmp_path / "run" / "responsibilities.csv", dtype=str, keep_default_na=False
    )
    assert stored["user_id"].tolist() == STRANGE
    save_audit(emdpo.audit(again, min_group=1, n_bootstrap=5), tmp_path / "run")
    table = pd.read_csv(tmp_path / "run" / "audit" / "groups.csv", dtype=str, keep_default_na=False)
    assert set(table["value"].map(restored)) == {"not known", *STRANGE[1:]}


def test_messages_survive(tmp_path):
    lines = [
        {
            "user_id": f"u{user}",
            "prompt": [{"role": "user", "content": f"Hi {user % 2}"}] if user < 8 else "Hi",
            "response": "abc"[c],
            "rank": (user + c) % 3 + 1,
        }
        for user in range(12)
        for c in range(3)
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    fit = emdpo.fit(emdpo.load(path), 2, features="items", restarts=1)
    again = emdpo.load_fit(fit.save(tmp_path / "run"))
    assert again.rankings.prompts["messages"].tolist() == fit.rankings.prompts["messages"].tolist()
    assert again.rankings.prompts["messages"][0] == [{"role": "user", "content": "Hi 0"}]
    assert data_fingerprint(again.rankings) == fit.data_sha256


def refused(run):
    """Return the one line that loading a run is refused with."""
    with pytest.raises(RunError) as caught:
        emdpo.load_fit(run)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


READ = [
    "fit.json", "responsibilities.csv", "trace.csv", "policy/theta.csv", "policy/pooled.csv",
    "policy/features.json", "policy/features.parquet", "data/rows.parquet",
    "data/rankings.parquet", "data/users.parquet", "data/prompts.parquet",
    "data/candidates.parquet",
]  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_missing_file_is_named(run, name):
    (run / name).unlink()
    assert Path(name).name in refused(run)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_a_truncated_file_is_refused(run, name, share):
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: int(share * len(content))])
    refused(run)


@pytest.mark.parametrize("name", READ[1:])
def test_a_single_flipped_bit_anywhere_is_refused(run, name):
    """Of every file but fit.json, which holds the fingerprints of the others."""
    content = bytearray((run / name).read_bytes())
    for place in np.random.default_rng(len(name)).integers(len(content), size=4):
        flipped = content.copy()
        flipped[place] ^= 1 << int(place) % 8
        (run / name).write_bytes(flipped)
        assert name in refused(run)


FIT_JSON_DAMAGE = {
    "not JSON": lambda text: text.replace("{", "(", 1),
    "a list": lambda text: f"[{text}]",
    "nothing": lambda text: "{}",
    "not UTF-8": lambda text: text.encode().replace(b"converged", b"\xff" * 9),
    "deep": lambda text: "[" * 100_000,
    "stop reason": lambda text: text.replace('"converged"', '"conxerged"', 1),
    "weights": lambda text: text.replace('"weights": [', '"weights": ["x",', 1),
    "a key lost": lambda text: text.replace('"n_iter"', '"n_itex"', 1),
    "config": lambda text: text.replace('"config": {', '"config": {"evil": 1,', 1),
    "config is a list": lambda text: text.replace('"config": {', '"config": [], "x": {', 1),
    "beta": lambda text: text.replace('"beta": 0.3', '"beta": -3', 1),
    "no format": lambda text: text.replace('"format"', '"fxrmat"', 1),
    "format as text": lambda text: text.replace('"format": 1', '"format": "1"', 1),
    "files is a list": lambda text: text.replace('"files": {', '"files": [], "x": {', 1)
    .replace('"restarts": {', '"restarts": {"z": 1,', 1),
}  # fmt: skip


@pytest.mark.parametrize("damage", FIT_JSON_DAMAGE)
def test_a_damaged_fit_json_is_refused(run, damage):
    path = run / "fit.json"
    text = path.read_text("utf-8")
    changed = FIT_JSON_DAMAGE[damage](text)
    assert changed != text
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    refused(run)


def test_a_newer_format_is_named(run):
    path = run / "fit.json"
    path.write_text(path.read_text("utf-8").replace('"format": 1', '"format": 2', 1), "utf-8")
    assert "newer" in refused(run)


def test_fit_json_cannot_make_other_files_be_read(run):
    """Names of files come from the program, never from the folder."""
    about = read_json(run / "fit.json")
    about["files"]["../../../../dev/zero"] = "0" * 64
    (run / "fit.json").write_text(json.dumps(about), "utf-8")
    emdpo.load_fit(run)


def test_no_folder_no_fit(tmp_path):
    assert "no such run folder" in refused(tmp_path / "nowhere")
    assert "not finished" in refused(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "no such run folder" in refused(tmp_path / "file")
    assert "no such run folder" in refused(tmp_path / ("x" * 300))


def test_a_folder_in_the_place_of_a_file(run):
    (run / "trace.csv").unlink()
    (run / "trace.csv").mkdir()
    assert "trace.csv" in refused(run)


FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


ALLOWED = {"workers.py": {"joblib"}}
"""It hands work to processes that it starts itself, and reads no file."""


def test_nothing_in_the_package_can_run_what_a_file_holds():
    """No pickle under any name, no eval or exec, no loader that falls back to one."""
    calls = re.compile(r"(?<![\w.])(eval|exec|compile|__import__)\(")
    loaders = re.compile(
        r"(torch|np|numpy)\.(load|savez?|fromfile)\(|read_pickle|to_pickle|allow_pickle"
        r"|read_hdf|yaml\.load|trust_remote_code=True|from joblib import .*\b(load|dump)\b"
    )
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text("utf-8")
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        names = {token.string for token in tokens if token.type == tokenize.NAME}
        assert not (names & FORBIDDEN) - ALLOWED.get(path.name, set()), path
        assert not calls.search(source), path
        assert not loaders.search(source), path


def test_no_file_of_a_run_is_a_pickle(saved):
    _, run = saved
    assert {path.suffix for path in run.rglob("*") if path.is_file()} <= {
        ".json", ".csv", ".parquet", ".md"
    }  # fmt: skip
    assert not any(path.read_bytes()[:1] == b"\x80" for path in run.rglob("*") if path.is_file())


class Crash(BaseException):
    """As if the process ended there."""


def temporaries(folder):
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


def fail_at(monkeypatch, n, error):
    """Let the n-th rename, from 0, fail."""
    count = itertools.count()
    replace = Path.replace

    def failing(self, target):
        if next(count) == n:
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    return count


def test_fit_json_is_written_last_whatever_fails(columns_fit, tmp_path, monkeypatch):
    """For every n, the n-th of the renames fails: no fit.json, and loading says "not finished"."""
    for n in itertools.count():
        run = tmp_path / f"run{n}"
        with monkeypatch.context() as patch:
            count = fail_at(patch, n, Crash())
            try:
                columns_fit.save(run)
            except Crash:
                assert not (run / "fit.json").exists()
                assert "not finished" in refused(run)
                assert not temporaries(run)
                continue
        assert n == next(count) == 13  # twelve files and README.md, none failed
        emdpo.load_fit(run)
        return


def test_an_earlier_fit_json_never_stands_beside_new_files(columns_fit, tmp_path, monkeypatch):
    other = emdpo.fit(planted(n_users=9), 2, features="columns", restarts=1)
    for n in range(13):
        run = columns_fit.save(tmp_path / f"run{n}")
        with monkeypatch.context() as patch, pytest.raises(Crash):
            fail_at(patch, n, Crash())
            other.save(run)
        assert "not finished" in refused(run)
    assert emdpo.load_fit(other.save(run)).n_types == 2


@pytest.mark.parametrize("moment", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_no_temporary_files(columns_fit, tmp_path, monkeypatch, moment):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for n in (0, 5, 9, 12):
        run = tmp_path / f"run{n}"
        with monkeypatch.context() as patch:
            if moment == "rename":
                fail_at(patch, n, full)
            else:
                fill_disk(patch, n, full, moment)
            with pytest.raises(OSError, match="No space"):
                columns_fit.save(run)
        assert not temporaries(run)
        assert not (run / "fit.json").exists()


def fill_disk(patch, n, full, moment):
    """Let the n-th file be written by half, or not reach the disk."""
    count = itertools.count()
    if moment == "fsync":
        fsync = os.fsync

        def failing_fsync(descriptor):
            if next(count) == n:
                raise full
            fsync(descriptor)

        patch.setattr(os, "fsync", failing_fsync)
        return
    write_with = files.write_with

    def failing_write_with(path, write):
        def half(temporary):
            write(temporary)
            content = temporary.read_bytes()
            temporary.write_bytes(content[: len(content) // 2])
            raise full

        write_with(path, half if next(count) == n else write)

    patch.setattr(files, "write_with", failing_write_with)


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1.5})
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        fill_disk(patch, 0, OSError(errno.ENOSPC, "No space"), "write")
        files.write_json(path, {"x": 2.5})
    assert files.read_json(path) == {"x": 1.5}
    assert os.listdir(tmp_path) == ["a.json"]  # noqa: PTH208 - dot files too


def test_json_has_no_nan_and_keeps_text(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": [math.nan, np.inf, np.float64(0.1)], "b": "é", "c": np.int64(3)})
    assert path.read_text("utf-8").count("null") == 2
    assert read_json(path) == {"a": [None, None, 0.1], "b": "é", "c": 3}


def test_csv_keeps_every_bit_of_every_number(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=2000) * 10.0 ** rng.integers(-300, 300, 2000)
    table = pd.DataFrame({"name": "x", "number": numbers})
    files.write_csv(tmp_path / "a.csv", table)
    np.testing.assert_array_equal(files.read_csv(tmp_path / "a.csv", ("name",))["number"], numbers)
    files.write_csv(tmp_path / "b.csv", pd.DataFrame({"number": [1.0, np.nan]}))
    assert np.isnan(files.read_csv(tmp_path / "b.csv")["number"][1])


def test_the_model_card_shows_text_as_text(tmp_path):
    """Ids with Markdown or HTML in them stay on their line of the table, escaped."""
    table = planted_table(n_users=12)
    evil = "<script>|[x](y)\n# head"
    table["response_id"] = table["response_id"].replace("p0-0", evil)
    table["prompt_id"] = table["prompt"] = "one"
    table = table.drop_duplicates(["ranking_id", "response_id"])
    fit = emdpo.fit(emdpo.load(table), 1, features="items", l2=0.1)
    card = (fit.save(tmp_path / "run") / "README.md").read_text("utf-8")
    assert "<script>" not in card.replace("\\<script\\>", "")
    assert "\n# head" not in card
    assert card.count("\n# ") == 0
    assert card.startswith("# ")
