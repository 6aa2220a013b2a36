"""The policy that somebody chose: kept whole, read with suspicion, audited as `given`."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import emdpo
from emdpo import cli
from emdpo.audit_files import save_audit
from emdpo.auditing import with_kept_sampled
from emdpo.chosen import CHOSEN, LONGEST_NAME, MOST_BYTES, Chosen, load_chosen, save_chosen
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.sampled_regret import SampledRegret
from emdpo.demo import demo_file


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(emdpo.load(demo_file("classroom.csv")), 2, restarts=2)


@pytest.fixture
def run(fit, tmp_path):
    return fit.save(tmp_path / "run")


def written(run, content):
    path = run / "audit" / CHOSEN
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_is_saved_comes_back(run):
    assert load_chosen(run, 2) is None
    chosen = Chosen("consensus", (0.3, 0.7), "Fair to <b>all</b>")
    path = save_chosen(run, chosen)
    assert json.loads(path.read_text()) == {
        "form": "consensus", "weights": [0.3, 0.7], "name": "Fair to <b>all</b>"
    }  # fmt: skip
    assert load_chosen(run, 2) == chosen
    assert [each.name for each in path.parent.iterdir()] == [CHOSEN]  # no temporary file stays


def test_rounding_is_taken_off_and_names_are_one_line():
    chosen = Chosen("mixture", (0.1, 0.2, 0.7000001), " mine\n\x1b[31m \u202e too ")
    assert sum(chosen.weights) == pytest.approx(1, abs=1e-15)
    assert chosen.name == "mine [31m too"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "median"}, "form must be mixture or consensus"),
        ({"form": None}, "form must be"),
        ({"weights": [0.5, 0.6]}, "sum to 1"),
        ({"weights": [1.5, -0.5]}, "numbers >= 0"),
        ({"weights": [True, False]}, "numbers >= 0"),
        ({"weights": ["0.5", "0.5"]}, "numbers >= 0"),
        ({"weights": [float("nan"), 1.0]}, "numbers >= 0"),
        ({"weights": [10**400, 0]}, "numbers >= 0"),
        ({"weights": "01"}, "numbers >= 0"),
        ({"weights": {}}, "numbers >= 0"),
        ({"weights": []}, "numbers >= 0"),
        ({"weights": [0.2, 0.3, 0.5]}, "3 weights, but the run 2 types"),
        ({"name": 7}, "name must be text"),
        ({"name": "x" * (LONGEST_NAME + 1)}, "at most 60 characters, got 61"),
    ],
)
def test_what_is_no_policy_of_the_run_is_one_line(run, change, message):
    written(run, {"form": "mixture", "weights": [0.5, 0.5], "name": ""} | change)
    with pytest.raises(RunError, match=message) as refused:
        load_chosen(run, 2)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("[1]", "not a JSON object"),
        ("[" * 10_000, "cannot be read"),
        ("{}", "has no 'form'"),
        ('{"form": "mixture"}', "has no 'weights'"),
        (" " * (MOST_BYTES + 1), "at most 20,000 bytes"),
    ],
)
def test_a_damaged_file_is_one_line(run, content, message):
    written(run, content)
    with pytest.raises(RunError, match=message):
        load_chosen(run, 2)


def test_a_folder_that_cannot_be_written_to_is_one_line(run):
    (run / "audit").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written to"):
        save_chosen(run, Chosen("mixture", (0.5, 0.5)))


def test_a_new_fit_forgets_what_was_chosen_for_another(fit, run):
    save_chosen(run, Chosen("mixture", (0.5, 0.5)))
    fit.save(run)
    assert load_chosen(run, 2) is None


@pytest.mark.parametrize("form", ["mixture", "consensus"])
def test_the_audit_of_the_command_line_has_what_was_chosen(fit, run, capsys, form):
    save_chosen(run, Chosen(form, (0.25, 0.75)))
    assert cli.main(["audit", str(run), "--bootstrap", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["weights"]["given"] == [0.25, 0.75]
    assert told["config"]["weights_form"] == form
    expected = emdpo.audit(fit, n_bootstrap=5, weights=(0.25, 0.75), weights_form=form)
    np.testing.assert_allclose(told["regret"]["kl"]["given"], expected.regret["kl"]["given"])


def test_weights_of_the_command_come_first(run, capsys):
    save_chosen(run, Chosen("consensus", (0.25, 0.75)))
    weights = ["--weights", "0.5,0.5"]
    assert cli.main(["audit", str(run), "--bootstrap", "5", "--json", *weights]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["weights"]["given"] == [0.5, 0.5] and told["config"]["weights_form"] == "mixture"


def test_a_damaged_choice_is_one_line_of_the_command(run, capsys):
    written(run, {"form": "mixture", "weights": [1.0]})
    assert cli.main(["audit", str(run)]) == 2
    assert "error: " in (told := capsys.readouterr().err) and "1 weights, but the run 2" in told


def test_regrets_of_answers_drawn_with_other_weights_are_not_kept(fit, run):
    """Of the rule `given` only: the other rules have not changed."""
    table = {kind: dict.fromkeys(("pooled", "given"), np.zeros(2)) for kind in ("kl", "plain")}
    drawn = SampledRegret(1, 1, 2, 8, 0, table, table, {})
    before = emdpo.audit(fit, n_bootstrap=5, weights=(0.5, 0.5))
    save_audit(replace(before, sampled=drawn), run)
    assert with_kept_sampled(before, run).sampled.rules == ("pooled", "given")
    others = [{"weights": (0.4, 0.6)}, {}]
    others += [{"weights": (0.5, 0.5), "weights_form": "consensus"}]
    for settings in others:
        after = emdpo.audit(fit, n_bootstrap=5, **settings)
        assert with_kept_sampled(after, run).sampled.rules == ("pooled",)


def test_a_choice_must_be_sound_before_it_is_saved():
    with pytest.raises(EmdpoError, match="sum to 1"):
        Chosen("mixture", (0.5, 0.4))
