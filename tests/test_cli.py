"""The command line: every command, exit codes, one line for bad input, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from panels import planted_table

from emdpo import cli
from emdpo.cli import main
from emdpo.demo import demo_file

CLASSROOM, DEMO = str(demo_file("classroom.csv")), str(demo_file())
QUICK = ("--restarts", "2")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def emdpo(capsys):
    """Return a function that runs a command in this process: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def is_one_error_line(text):
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.fixture
def refused(emdpo):
    """Return a function that runs a command, expects exit 2 with one line, and returns it."""

    def run(*arguments):
        code, out, err = emdpo(*arguments)
        assert code == 2, (out, err)
        assert is_one_error_line(err), err
        assert out == ""
        return err

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the run folder of the classroom."""
    run = tmp_path_factory.mktemp("cli") / "run"
    assert main(["fit", CLASSROOM, "--types", "2", "--out", str(run), *QUICK]) == 0
    return run


@pytest.fixture(scope="module")
def columns_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("columns") / "data.csv"
    planted_table().to_csv(path, index=False)
    return path


def parsed(text):
    """Return JSON that holds no NaN."""
    return json.loads(text, parse_constant=pytest.fail)


def test_check_in_words(emdpo):
    code, out, err = emdpo("check", CLASSROOM)
    assert (code, err) == (0, "")
    assert "24 users, 72 rankings" in out


@pytest.mark.parametrize("file", [CLASSROOM, DEMO])
def test_check_as_json(emdpo, file):
    code, out, err = emdpo("check", file, "--json")
    assert (code, err) == (0, "")
    told = parsed(out)
    assert told["errors"] == []
    assert told["summary"]["n_users"] in (24, 240)
    assert told["identifiability"]


def test_check_reports_every_error_and_names_the_first_on_stderr(emdpo, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("user_id,prompt,response,rank\na,p,x,first\na,p,y,2\n,p,z,3\n")
    code, _, err = emdpo("check", path)
    assert code == 2
    assert is_one_error_line(err)
    assert "bad.csv" in err
    assert "row" in err
    assert "column 'rank'" in err or "column 'user_id'" in err
    code, out, err = emdpo("check", path, "--json")
    assert code == 2
    assert is_one_error_line(err)
    assert len(parsed(out)["errors"]) >= 1


def test_check_with_a_users_file(emdpo, tmp_path):
    users = tmp_path / "users.csv"
    users.write_text("user_id,town\n" + "".join(f"p{i:02d},x\n" for i in range(1, 25)))
    code, out, _ = emdpo("check", CLASSROOM, "--users", users)
    assert code == 0
    assert "group town: x 24" in out


def test_fit_in_words(emdpo, tmp_path):
    run = tmp_path / "run"
    code, out, err = emdpo("fit", CLASSROOM, "--types", 2, "--out", run, *QUICK)
    assert (code, err) == (0, "")
    assert "Type 1" in out
    assert "Type 2" in out
    assert "24 users" in out
    assert str(run) in out
    assert (run / "fit.json").exists()


def test_fit_as_json_is_fit_json(emdpo, columns_file, tmp_path):
    run = tmp_path / "run"
    options = ("--beta", 0.2, "--l2", 0.7, "--max-iter", 30, "--seed", 5, "--features", "columns")
    code, out, err = emdpo(
        "fit", columns_file, "--types", 3, "--out", run, *QUICK, *options, "--json"
    )
    assert (code, err) == (0, "")
    told, held = parsed(out), parsed((run / "fit.json").read_text("utf-8"))
    assert told["run"] == str(run)
    assert {key: held[key] for key in told if key != "run"} == {
        key: value for key, value in told.items() if key != "run"
    }
    assert told["config"] == {
        "n_types": 3, "policy": "loglinear", "features": "columns", "beta": 0.2, "l2": 0.7,
        "restarts": 2, "max_iter": 30, "seed": 5,
    }  # fmt: skip


def test_fit_defaults_are_those_of_the_library(emdpo, tmp_path):
    from emdpo.fitting import FitConfig

    options = cli.build_parser().parse_args(["fit", "f", "--types", "2", "--out", "r"])
    for name, value in FitConfig(n_types=2).to_dict().items():
        assert getattr(options, "types" if name == "n_types" else name) == value
    assert FitConfig(n_types=2).beta == 0.1
    assert FitConfig(n_types=2).restarts == 10


def test_fit_does_not_overwrite_and_resume_says_finished(emdpo, refused, run):
    again = ("fit", CLASSROOM, "--types", 2, "--out", run, *QUICK)
    assert "finished" in refused(*again)
    code, out, err = emdpo(*again, "--resume")
    assert (code, err) == (0, "")
    assert "finished already" in out
    code, out, _ = emdpo(*again, "--resume", "--json")
    assert code == 0
    assert parsed(out)["stop_reason"] == "converged"
    assert "other data" in refused("fit", DEMO, "--types", 2, "--out", run, *QUICK, "--resume")
    assert "seed" in refused(*again, "--resume", "--seed", 1)


def test_resume_where_nothing_was_started_begins(emdpo, tmp_path):
    code, _, err = emdpo(
        "fit", CLASSROOM, "--types", 2, "--out", tmp_path / "new", *QUICK, "--resume"
    )
    assert (code, err) == (0, "")
    assert (tmp_path / "new" / "fit.json").exists()


@pytest.mark.parametrize(
    ("types", "words"),
    [("0", "n_types"), ("-1", "n_types"), ("99999", "24 users"), ("25", "24 users"), ("two", "int"),
     ("2.5", "int"), ("", "int"), ("1" * 5000, "")],
)  # fmt: skip
def test_numbers_of_types_out_of_range(refused, tmp_path, types, words):
    assert words in refused("fit", CLASSROOM, f"--types={types}", "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "fit.json").exists()


def test_after_a_refusal_the_same_folder_works(emdpo, refused, tmp_path):
    refused("fit", CLASSROOM, "--types", 99, "--out", tmp_path)
    code, _, err = emdpo("fit", CLASSROOM, "--types", 2, "--out", tmp_path, *QUICK)
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    "options",
    [("--beta", 0), ("--beta", "nan"), ("--beta", "x"), ("--l2", -1), ("--l2", "inf"),
     ("--restarts", 0), ("--max-iter", -1), ("--seed", -1), ("--features", "magic"),
     ("--features", "columns"), ("--policy", "magic"), ("--seed", 1.5)],
)  # fmt: skip
def test_settings_out_of_range(refused, tmp_path, options):
    line = refused("fit", CLASSROOM, "--types", 2, "--out", tmp_path / "run", *options)
    name = options[0].removeprefix("--").replace("-iter", "_iter")
    assert name in line or options[0] in line


def test_pairs_are_refused_unless_forced(emdpo, refused, tmp_path):
    path = tmp_path / "pairs.csv"
    table = planted_table(n_users=20, answers=1, n_candidates=2)
    table.to_csv(path, index=False)
    command = ("fit", path, "--types", 2, "--out", tmp_path / "run", *QUICK)
    assert "--force" in refused(*command)
    assert emdpo(*command, "--force")[0] == 0


def test_select_in_words_and_as_json(emdpo, columns_file):
    code, out, err = emdpo("select", columns_file, "--types", "1:2", *QUICK)
    assert (code, err) == (0, "")
    assert "recommended: K = " in out
    assert "nan" not in out.lower()
    assert "None" not in out
    code, out, err = emdpo("select", columns_file, "--types", "2", *QUICK, "--json")
    assert (code, err) == (0, "")
    told = parsed(out)
    assert [row["n_types"] for row in told["table"]] == [1, 2]
    assert told["recommended"] in (1, 2)


@pytest.mark.parametrize(
    ("text", "numbers"), [("1:6", [1, 2, 3, 4, 5, 6]), ("3", [3]), ("1,2,4", [1, 2, 4])]
)
def test_ranges_of_types(text, numbers):
    options = cli.build_parser().parse_args(["select", "f", "--types", text])
    assert list(options.types) == numbers


@pytest.mark.parametrize(
    "types",
    ["0:3", "abc", "3:1", "1:", ":", "1:2:3", "-1:2", "1,,2", "1.5", "", "1:10000000000000"],
)
def test_ranges_that_are_none(refused, types):
    assert "--types" in refused("select", CLASSROOM, f"--types={types}")


@pytest.mark.parametrize("types", ["1:25", "99999"])
def test_select_refuses_more_types_than_users(refused, types):
    assert "24 users" in refused("select", CLASSROOM, "--types", types)


def test_audit_in_words(emdpo, run):
    code, out, err = emdpo("audit", run, "--bootstrap", 50)
    assert (code, err) == (0, "")
    assert "consensus" in out
    assert "class" in out
    names = {path.name for path in (run / "audit").iterdir()}
    assert names >= {"audit.json", "groups.csv", "types.csv", "regret_matrix.csv"}
    parsed((run / "audit" / "audit.json").read_text("utf-8"))


def test_audit_json_is_printed_or_written(emdpo, run, tmp_path):
    code, out, err = emdpo("audit", run, "--bootstrap", 50, "--json")
    assert (code, err) == (0, "")
    told = parsed(out)
    assert told == parsed((run / "audit" / "audit.json").read_text("utf-8"))
    assert {group["attribute"] for group in told["groups"]} == {"class"}
    target = tmp_path / "audit.json"
    code, out, _ = emdpo("audit", run, "--bootstrap", 50, "--json", target)
    assert code == 0
    assert parsed(target.read_text("utf-8")) == told
    assert "consensus" in out  # words, as the JSON went elsewhere


def test_audit_of_weights_of_one_s_own(emdpo, refused, run):
    code, out, _ = emdpo("audit", run, "--bootstrap", 20, "--weights", "0.25,0.75", "--json")
    told = parsed(out)
    assert code == 0 and told["weights"]["given"] == [0.25, 0.75]
    for k in range(2):
        mixed = 0.25 * told["regret_matrix"][k][0] + 0.75 * told["regret_matrix"][k][1]
        assert told["regret"]["plain"]["given"][k] == pytest.approx(mixed)
    assert "2 numbers" in refused("audit", run, "--weights", "1")
    assert "sum to 1" in refused("audit", run, "--weights", "0.5,0.6")
    assert "expected numbers" in refused("audit", run, "--weights", "a,b")


def test_audit_report_is_one_page(emdpo, run, tmp_path):
    target = tmp_path / "report.html"
    code, _, err = emdpo("audit", run, "--bootstrap", 20, "--report", target)
    assert (code, err) == (0, "")
    page = target.read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?http", page)


def test_audit_zip_is_for_publication_and_has_texts_only_if_asked(emdpo, refused, run, tmp_path):
    target = tmp_path / "audit.zip"
    code, _, err = emdpo("audit", run, "--bootstrap", 20, "--zip", target)
    assert (code, err) == (0, "")
    with zipfile.ZipFile(target) as archive:
        plain = set(archive.namelist())
    code, _, err = emdpo("audit", run, "--bootstrap", 20, "--zip", target, "--with-texts")
    with zipfile.ZipFile(target) as archive:
        assert set(archive.namelist()) - plain == {"answers.csv"}
        archive.extractall(tmp_path / "opened")
    assert "publication of a run" in refused("audit", tmp_path / "opened")
    assert "--zip" in refused("audit", run, "--with-texts")


def test_audit_groups(emdpo, refused, run):
    code, out, _ = emdpo("audit", run, "--bootstrap", 20, "--groups", "class", "--json")
    assert code == 0
    assert len(parsed(out)["groups"]) == 2
    line = refused("audit", run, "--groups", "class,shoe size")
    assert "'shoe size'" in line
    assert "class" in line
    code, out, _ = emdpo("audit", run, "--bootstrap", 20, "--min-group", 13, "--json")
    assert parsed(out)["groups"] == []
    assert [group["n"] for group in parsed(out)["suppressed"]] == [12, 12]


@pytest.mark.parametrize(
    "options",
    [("--bootstrap", 0), ("--min-group", 0), ("--seed", -1), ("--bootstrap", "many"),
     ("--json", "/nowhere/at/all.json"), ("--report", "/nowhere/at/all.html"),
     ("--zip", "/nowhere/at/all.zip"), ("--zip", "/"),
     ("--json", "/proc/audit.json"), ("--report", "/"), ("--json", "x" * 300)],
)  # fmt: skip
def test_audit_options_that_cannot_be(refused, run, options):
    refused("audit", run, *options)


def test_audit_of_what_is_no_finished_run(refused, tmp_path, run):
    assert "no such run folder" in refused("audit", tmp_path / "nowhere")
    assert "not finished" in refused("audit", tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "identity.json").write_text("{}")
    assert "not finished" in refused("audit", tmp_path)
    assert "no such run folder" in refused("audit", CLASSROOM)
    assert "no such run folder" in refused("audit", "x" * 300)


def test_audit_where_it_cannot_write(refused, emdpo, tmp_path):
    run = tmp_path / "run"
    emdpo("fit", CLASSROOM, "--types", 1, "--out", run)
    (run / "audit").write_text("in the way")
    assert "cannot be written" in refused("audit", run, "--bootstrap", 5)


def test_fit_where_it_cannot_write(refused, tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "run", "/proc/run", tmp_path / ("x" * 300)):
        refused("fit", CLASSROOM, "--types", 2, "--out", out, *QUICK)
    assert (tmp_path / "file").read_text() == "x"


def test_demo_is_the_main_job(emdpo, monkeypatch, tmp_path):
    """On the classroom in place of the demo rankings, which take longer."""
    monkeypatch.setattr("emdpo.demo.demo_file", lambda: demo_file("classroom.csv"))
    code, out, err = emdpo("demo", "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert "Type 3" in out
    assert (tmp_path / "run" / "audit" / "audit.json").exists()
    code, out, _ = emdpo("demo", "--out", tmp_path / "run", "--json")
    assert code == 0
    assert parsed(out)["n_types"] == 3


BAD_FILES = {
    "no such file.csv": None,
    "empty.csv": b"",
    "header.csv": b"user_id,prompt,response,rank\n",
    "binary.csv": bytes(range(256)),
    "excel.xlsx": b"PK\x03\x04",
    "data.csv.gz": b"\x1f\x8b\x08",
    "broken.parquet": b"PAR1PAR1",
    "broken.jsonl": b'{"user_id": ',
    "utf16.csv": "user_id,prompt,response,rank\n".encode("utf-16"),
    "rank.csv": b"user_id,prompt,response,rank\na,p,x,best\na,p,y,2\n",
    "twice.csv": b"user_id,prompt,response,rank\na,p,x,1\na,p,x,2\n",
    "new\nline.csv": b"user_id,prompt\na,p\n",
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", ["check", "fit", "select"])
def test_bad_files(emdpo, tmp_path, name, command):
    path = tmp_path / name
    if BAD_FILES[name] is not None:
        path.write_bytes(BAD_FILES[name])
    more = ("--types", "2", "--out", tmp_path / "run") if command == "fit" else ()
    code, _, err = emdpo(command, path, *more)
    assert code == 2
    assert is_one_error_line(err)
    assert name.split()[0].split(".")[0][:3] in err
    assert not (tmp_path / "run").exists()


def test_an_address_or_a_folder_is_no_file(refused, tmp_path):
    refused("check", "http://127.0.0.1:9/data.csv")
    refused("check", tmp_path)
    refused("check", CLASSROOM, "--users", tmp_path / "nobody.csv")


@pytest.mark.parametrize(
    "arguments",
    [(), ("nonsense",), ("fit",), ("fit", CLASSROOM), ("fit", CLASSROOM, "--types", "2"),
     ("check",), ("check", "a", "b"), ("audit",), ("demo",), ("check", CLASSROOM, "--nonsense"),
     ("fit", CLASSROOM, "--types"), ("app", "--port", "http"), ("app", "--port", "99999"),
     ("check", CLASSROOM, "two\nlines")],
)  # fmt: skip
def test_usage_errors_are_one_line(refused, arguments):
    assert "--help" in refused(*arguments)


@pytest.mark.parametrize("command", [None, "check", "fit", "select", "audit", "demo", "app"])
def test_help(emdpo, command):
    code, out, err = emdpo(*([command] if command else []), "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: ")
    if command is None:
        assert all(name in out for name in ("check", "fit", "select", "audit", "demo", "app"))


def test_anything_else_is_exit_1_with_one_line(emdpo, monkeypatch):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("emdpo.core.checks.check", broken)
    code, out, err = emdpo("check", CLASSROOM)
    assert (code, out) == (1, "")
    assert is_one_error_line(err)
    assert "ZeroDivisionError" in err
    monkeypatch.setenv("EMDPO_DEBUG", "1")
    assert "Traceback" in emdpo("check", CLASSROOM)[2]


def test_a_full_disk_is_one_line_and_can_be_resumed(emdpo, refused, monkeypatch, tmp_path):
    def full(*_args):
        raise OSError(28, "No space left on device")

    command = ("fit", CLASSROOM, "--types", 2, "--out", tmp_path, *QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left on device" in refused(*command)
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "fit.json").exists()
    code, _, err = emdpo(*command, "--resume")
    assert (code, err) == (0, "")


def test_interrupting_is_exit_1(emdpo, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("emdpo.core.checks.check", interrupt)
    code, _, err = emdpo("check", CLASSROOM)
    assert code == 1
    assert is_one_error_line(err)


def child(*arguments, **options):
    command = [sys.executable, "-m", "emdpo", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, **options)  # noqa: S603


def test_a_terminal_that_knows_ascii_only(tmp_path):
    """Results and errors with letters that it lacks are shown with question marks."""
    path = tmp_path / "é例.csv"
    rows = [
        f"u{u},p,{c},{(u + i) % 3 + 1},ä{u % 2}" for u in range(24) for i, c in enumerate("éßž")
    ]
    path.write_text("\n".join(["user_id,prompt,response,rank,größe", *rows]), "utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    fitted = child("fit", path, "--types", "1", "--out", tmp_path / "ü", "--features", "items",
                   env=environment)  # fmt: skip
    assert fitted.returncode == 0, fitted.stderr
    assert fitted.stdout.isascii()
    assert b"?" in fitted.stdout
    audited = child("audit", tmp_path / "ü", "--json", "--bootstrap", "5", env=environment)
    assert audited.returncode == 0, audited.stderr
    parsed(audited.stdout)
    wrong = child("audit", tmp_path / "ü", "--groups", "straße", env=environment)
    assert wrong.returncode == 2
    assert is_one_error_line(wrong.stderr.decode("ascii"))


def test_a_reader_that_goes_away(tmp_path):
    """`emdpo check ... | head -0`: no traceback, and no complaint at exit."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "emdpo", "check", CLASSROOM]
    done = subprocess.run(  # noqa: S603 - our own program
        command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""


def test_the_module_is_the_command():
    done = child("--help")
    assert done.returncode == 0
    assert done.stdout.startswith(b"usage: emdpo")
    assert child("nonsense").returncode == 2
