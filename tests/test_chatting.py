"""Talking to a run from Python and from the command line."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from adapter_runs import CONSENSUS, MIXTURE, SHARES, make_base, make_run

from emdpo import chatting, cli
from emdpo.adapters.answers import Blend, Ending, Sampling
from emdpo.chatting import ask, cast_of, open_run
from emdpo.chosen import Chosen, save_chosen
from emdpo.core.errors import EmdpoError, RunError

NAMES = ["base", "type-1", "type-2", "mixture", "consensus"]


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, base_folder):
    return make_run(tmp_path_factory.mktemp("run"), base_folder)


@pytest.fixture(scope="module")
def talkable(run):
    return open_run(run)


def edited(run, tmp_path, change, file="fit.json"):
    """Return a copy of the run with one JSON file changed."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    about = json.loads((copy / file).read_text())
    change(about)
    (copy / file).write_text(json.dumps(about))
    return copy


def test_a_run_says_who_can_speak_with_the_weights_of_its_audit(run):
    cast = cast_of(run)
    assert list(cast.speakers) == NAMES and cast.shares == SHARES
    assert cast.speakers["mixture"].weights == MIXTURE
    assert cast.speakers["consensus"].weights == CONSENSUS
    assert cast.speakers["consensus"].blend is Blend.CONSENSUS
    with pytest.raises(EmdpoError, match="no policy 'type-3' in this run: base, type-1"):
        cast.speaker("type-3")


@pytest.mark.parametrize("form", list(Blend))
def test_a_policy_that_was_chosen_speaks_as_given(run, talkable, tmp_path, capsys, form):
    """With the weights of the run's own consensus (or mixture), word for word as that one."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    weights = {Blend.MIXTURE: MIXTURE, Blend.CONSENSUS: CONSENSUS}[form]
    save_chosen(copy, Chosen(form.value, weights, "Ours"))
    cast = cast_of(copy)
    assert list(cast.speakers) == [*NAMES, "given"]
    assert cast.speakers["given"].blend is form and cast.speakers["given"].weights == weights
    assert cast.speakers["given"].title == "Ours"
    *_, expected = ask(talkable, form.value, "Why?", Sampling(12, 0.9, 3))
    options = ["--as", "given", "--max-tokens", "12", "--temperature", "0.9", "--seed", "3"]
    assert cli.main(["chat", str(copy), "Why?", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == expected.text and told["weights"] == list(weights)


def test_a_damaged_choice_is_one_line(run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "audit" / "chosen.json").write_text('{"form": "mixture", "weights": [1]}')
    assert cli.main(["chat", str(copy), "Why?", "--as", "base"]) == 2
    assert "1 weights, but the run 2 types" in capsys.readouterr().err


def test_without_an_audit_the_weights_are_computed_as_the_audit_does(tmp_path):
    """A log-linear run has the same scores and weights; only its policies write nothing."""
    import numpy as np

    import emdpo

    found = emdpo.fit(emdpo.load("assets/demo/classroom.csv"), 2, restarts=2)
    found.save(tmp_path)
    computed = chatting._computed_weights(tmp_path)
    audit = emdpo.audit(found, n_bootstrap=10)
    for rule in ("mixture", "consensus"):
        np.testing.assert_allclose(computed[rule], audit.weights[rule])


def test_every_policy_answers_and_the_posterior_is_of_the_mixture_only(talkable):
    history = [{"role": "user", "content": "Why?"}]
    *_, last = talkable.answers([history] * 5, NAMES, Sampling(6, 1.0, 0))
    assert [partial.posterior is not None for partial in last] == [n == "mixture" for n in NAMES]
    assert all(partial.ending for partial in last)


def test_a_base_model_that_is_loaded_already_is_used(run, base_folder):
    from emdpo.adapters.base_model import load_base_model

    base = load_base_model(str(base_folder))
    assert open_run(run, base).adapted.base is base


def test_an_empty_question_is_refused(talkable):
    with pytest.raises(EmdpoError, match="question is empty"):
        list(ask(talkable, "base", "  \n", Sampling()))


def test_another_base_model_is_refused_in_one_line(run, tmp_path):
    other = make_base(tmp_path / "other", seed=1)

    def change(about):
        about["config"]["base_model"] = str(other)

    with pytest.raises(
        RunError, match=r"trained on another base model than .* \(fingerprint"
    ) as refused:
        open_run(edited(run, tmp_path, change))
    assert "\n" not in str(refused.value)


def test_a_loglinear_run_is_refused(run, tmp_path):
    changed = edited(run, tmp_path, lambda about: about.update(policy="loglinear"))
    with pytest.raises(RunError, match="log-linear and score answers without writing any"):
        cast_of(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("weights"),
        lambda about: about.update(weights=[0.5, "x"]),
        lambda about: about.update(config=[]),
        lambda about: about.update(weights=[0.5, 0.3, 0.2]),
    ],
)
def test_a_damaged_run_is_one_line(run, tmp_path, change):
    with pytest.raises(RunError, match="damaged run folder"):
        cast_of(edited(run, tmp_path, change))


def test_adapters_that_were_changed_since_are_refused(run, tmp_path):
    digests = {"policy/type-2/adapter_model.safetensors": "0" * 64}
    changed = edited(run, tmp_path, lambda about: about.update(files=digests))
    with pytest.raises(RunError, match=r"type-2/adapter_model\.safetensors is damaged"):
        open_run(changed)


def test_the_command_streams_what_the_library_says(run, talkable, capsys):
    *_, expected = ask(talkable, "type-1", "Why?", Sampling(20, 0.9, 3))
    options = ["--as", "type-1", "--max-tokens", "20", "--temperature", "0.9", "--seed", "3"]
    assert cli.main(["chat", str(run), "Why?", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == expected.text and told["policy"] == "type-1" and told["seed"] == 3
    assert told["ending"] in set(Ending) and told["weights"] is None
    assert cli.main(["chat", str(run), "Why?", *options]) == 0
    streamed = capsys.readouterr().out
    from emdpo.core.json_values import visible

    assert streamed == visible(expected.text) + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--as", "type-9"], "no policy 'type-9' in this run"),
        (["--as", "base", "--temperature", "9"], "temperature must be in"),
        (["--as", "base", "--max-tokens", "0"], "max_tokens must be"),
        (["--as", "base", "--max-tokens", "2000"], "start a new conversation"),
        ([], "required: --as"),
    ],
)
def test_bad_input_to_the_command_is_one_line(run, capsys, arguments, message):
    try:
        code = cli.main(["chat", str(run), "Why?", *arguments])
    except SystemExit as ended:
        code = ended.code
    told = capsys.readouterr()
    assert code == 2 and told.out == ""
    assert told.err.startswith("error: ") and message in told.err and told.err.count("\n") == 1


def test_a_folder_that_is_no_run_is_one_line(tmp_path, capsys):
    assert cli.main(["chat", str(tmp_path), "Why?", "--as", "base"]) == 2
    assert "not finished" in capsys.readouterr().err
