"""Generalised EM over adapters: guarded, honest about how it ends, and able to go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from text_panels import text_rankings

from emdpo.adapters import training
from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.fitting import fit_adapters
from emdpo.adapters.generalised_em import GeneralisedEM
from emdpo.adapters.lora import carry
from emdpo.adapters.m_steps import falling, worthwhile_prompts
from emdpo.adapters.rounds import Course, Round, facts_of, trainees
from emdpo.adapters.saved import type_name
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.tokens import tokenise
from emdpo.core.em import EMState, StopReason, e_step, user_totals
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.settings import FitConfig

N_USERS = 12
TRUTH = np.arange(N_USERS) % 2
SETTINGS = AdapterConfig(rank=2, top_layers=None, learning_rate=3e-3, rounds=3, prompts_per_step=2)


@pytest.fixture(scope="module")
def fit(tiny_models):
    """Return a function that fits two types to twelve users of two kinds."""

    def run(panel=None, *, n_types=2, start=None, beta=0.1, adapters=SETTINGS, **watching):
        panel = text_rankings(n_users=N_USERS) if panel is None else panel
        config = FitConfig(
            n_types=n_types,
            policy="adapters",
            base_model=str(tiny_models["llama"]),
            adapters=adapters,
            beta=beta,
        )
        log_resp = np.log(leaning(panel.n_users, 0.8) if start is None else start)[:, :n_types]
        if n_types == 1:
            log_resp = np.zeros((panel.n_users, 1))
        state = EMState(None, np.log(np.exp(log_resp).mean(axis=0)), log_resp, 0.0)
        return fit_adapters(panel, state, config, **watching)

    return run


@pytest.fixture(scope="module")
def fitted(fit):
    """Return the outcome of a fit as it is, to be read only."""
    return fit()


def leaning(n_users, certainty, wrong=0):
    """Return responsibilities (N, 2) that lean to the truth, but for the first `wrong` users."""
    kind = np.arange(n_users) % 2
    kind[:wrong] = 1 - kind[:wrong]
    return np.where(np.eye(2)[kind] == 1, certainty, 1 - certainty)


def test_types_are_found_and_the_likelihood_rises(fitted):
    outcome = fitted
    found = outcome.log_resp.argmax(axis=1)
    assert adjusted_rand_score(TRUTH, found) == 1
    assert outcome.trace[-1].log_likelihood > outcome.trace[0].log_likelihood + 10
    assert [row.iteration for row in outcome.trace] == [0, 1, 2, 3]


def test_stored_responsibilities_match_stored_scores(fitted):
    panel, outcome = text_rankings(n_users=N_USERS), fitted
    log_lik = log_likelihoods(panel.stages, outcome.scores[:, panel.candidate])
    log_resp, log_marginal = e_step(user_totals(panel, log_lik), outcome.log_weights)
    np.testing.assert_array_equal(log_resp, outcome.log_resp)
    assert log_marginal.sum() == outcome.log_likelihood


def test_the_start_is_uniform(fit):
    """Untrained policies put equal odds on every order: -log 4! for each of 36 rankings."""
    outcome = fit(adapters=replace(SETTINGS, rounds=0))
    assert outcome.stop_reason is StopReason.MAX_ITER
    assert np.isclose(outcome.log_likelihood, -36 * np.log(24))
    assert not outcome.scores.any()


def test_one_type_is_the_pooled_policy(fit):
    outcome = fit(n_types=1)
    np.testing.assert_array_equal(outcome.scores[0], outcome.pooled_scores)
    assert set(outcome.adapters) == {"type-1", "pooled"}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT 0.21
def test_adapters_give_the_scores_that_were_stored(fitted, tiny_models, tmp_path):
    """PEFT alone, from the saved folder, on a plain row: beta log( pi / pi_ref )."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from emdpo.adapters.base_model import load_base_model
    from emdpo.adapters.saved import save_adapter
    from emdpo.adapters.tokens import tokenise

    panel, outcome = text_rankings(n_users=N_USERS), fitted
    save_adapter(outcome.adapters["type-2"], tmp_path / "type-2", "# card")
    base = load_base_model(str(tiny_models["llama"]), device="cpu")
    tokens = tokenise(panel, base, tmp_path / "tokens")
    plain = AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
    candidate = int(panel.candidate[0])
    prompt = tokens.prompt_ids(tokens.candidate_prompt[candidate])
    response = tokens.response_ids(candidate)

    def log_prob(model):
        ids = torch.tensor(np.concatenate([prompt, response]))[None]
        with torch.inference_mode():
            logits = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(dim=1)
        return float(logits[torch.arange(len(response)), torch.tensor(response)].sum())

    reference = log_prob(plain)
    tuned = log_prob(PeftModel.from_pretrained(plain, tmp_path / "type-2"))
    assert np.isclose(outcome.scores[1, candidate], 0.1 * (tuned - reference), atol=1e-5)
    assert abs(tuned - reference) > 0.1


def held_out_prompts(panel, prompts):
    """Return the panel fitted where all rankings on some prompts are held out."""
    return replace(panel, held_out=np.isin(panel.prompt, prompts)).fitted()


@pytest.mark.parametrize("settings", [{}, {"top_layers": 2}, {"cross_fit": "always", "rounds": 1}])
def test_answers_that_only_held_out_rankings_show_are_scored_too(
    fit, tiny_models, tmp_path, settings
):
    panel = held_out_prompts(text_rankings(n_users=N_USERS), [1, 4])
    also = np.ones(panel.n_candidates, bool)
    outcome = fit(panel, also=also, adapters=replace(SETTINGS, **settings))
    base = load_base_model(str(tiny_models["llama"]), device="cpu")
    adapted = carry(base, outcome.adapters)
    tokens = tokenise(panel, base, tmp_path, wanted=np.ones(panel.n_candidates, bool))
    scorer = ResponseScorer(adapted, tokens, np.arange(panel.n_candidates), folder=tmp_path)
    reference = scorer.score_all(None)
    expected = [0.1 * (scorer.score_all(f"type-{k}") - reference) for k in (1, 2)]
    pooled = 0.1 * (scorer.score_all("pooled") - reference)
    np.testing.assert_allclose(outcome.scores, expected, atol=1e-5)
    np.testing.assert_allclose(outcome.pooled_scores, pooled, atol=1e-5)
    held_out = np.isin(panel.candidates["prompt"], [1, 4])
    assert (np.abs(outcome.scores[:, held_out]) > 1e-3).mean() > 0.9
    assert not outcome.warnings
    unasked = fit(panel, adapters=replace(SETTINGS, **{**settings, "rounds": 1}))
    assert not unasked.scores[:, held_out].any() and not unasked.warnings


def test_a_stop_while_they_are_scored_is_told_and_can_be_resumed(fit, tmp_path):
    panel = held_out_prompts(text_rankings(n_users=N_USERS), [1, 4])
    also = np.ones(panel.n_candidates, bool)
    whole = fit(panel, also=also)
    stage = []
    stopped = fit(
        panel,
        also=also,
        folder=tmp_path,
        on_progress=lambda event, **facts: stage.append(event),
        should_stop=lambda: stage.count("held_out") > 0,
    )
    held_out = np.isin(panel.candidates["prompt"], [1, 4])
    assert stopped.stop_reason is StopReason.CANCELLED
    assert not stopped.scores[:, held_out].any()
    np.testing.assert_array_equal(stopped.scores[:, ~held_out], whole.scores[:, ~held_out])
    assert "8 candidates that only held-out rankings show" in stopped.warnings[0]
    resumed = fit(panel, also=also, folder=tmp_path)
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    assert resumed.stop_reason is whole.stop_reason
    assert not resumed.warnings


@pytest.mark.parametrize(("depth", "layers"), [(None, "0123"), (0.5, "23"), (1, "3"), (0.1, "3")])
def test_adapters_sit_on_the_layers_asked_for(fit, depth, layers):
    outcome = fit(adapters=replace(SETTINGS, rounds=0, top_layers=depth))
    names = outcome.adapters["type-1"].tensors
    assert {name.split(".layers.")[1][0] for name in names} == set(layers)


def test_few_prompts_are_passed_over_often_enough(fit):
    """Six prompts, five of them learnt, two a step: three steps a pass, so four passes make 12."""
    told = []
    fit(
        adapters=replace(SETTINGS, rounds=1),
        on_progress=lambda event, **facts: told.append((event, facts.get("adapter"))),
    )
    assert told.count(("step", "type-1")) == 12


def test_the_same_seed_gives_the_same_bytes(fit, fitted):
    first, second = fitted, fit()
    np.testing.assert_array_equal(first.scores, second.scores)
    for name, adapter in first.adapters.items():
        for key, tensor in adapter.tensors.items():
            np.testing.assert_array_equal(tensor, second.adapters[name].tensors[key])


@pytest.mark.parametrize("depth", [None, 0.5])
def test_going_on_after_a_stop_at_any_step_gives_the_same_bytes(
    fit, fitted, tmp_path, monkeypatch, depth
):
    monkeypatch.setattr("emdpo.adapters.store.SECONDS_BETWEEN", 0.0)
    settings = replace(SETTINGS, top_layers=depth)
    whole = fitted if depth is None else fit(adapters=settings)
    asked = iter(range(10**6))
    stops = 0
    while True:
        limit = next(asked) + 9
        outcome = fit(
            adapters=settings,
            folder=tmp_path,
            should_stop=lambda limit=limit: next(asked) >= limit,
        )
        if outcome is not None and outcome.stop_reason is not StopReason.CANCELLED:
            break
        stops += 1
    assert stops > 5
    np.testing.assert_array_equal(outcome.scores, whole.scores)
    assert outcome.trace == whole.trace
    assert outcome.evidence == whole.evidence
    for name, adapter in whole.adapters.items():
        for key, tensor in adapter.tensors.items():
            np.testing.assert_array_equal(tensor, outcome.adapters[name].tensors[key])


def test_a_fall_is_named_and_the_best_round_kept(fit, monkeypatch):
    """From the second round on, every user's held-out prompts are ten nats less likely."""
    evaluate, scores = GeneralisedEM.evaluate, {}

    def lower(self, number, log_weights):
        scores[number] = np.stack([self._scores[type_name(k)] for k in (0, 1)])
        found = evaluate(self, number, log_weights)
        return replace(found, guard=found.guard - 10.0 * (number > 1))

    monkeypatch.setattr(GeneralisedEM, "evaluate", lower)
    outcome = fit(adapters=replace(SETTINGS, cross_fit="never", rounds=4))
    assert outcome.stop_reason is StopReason.DECREASED
    best = outcome.evidence["best_round"]
    assert best < outcome.n_iter < 4
    np.testing.assert_array_equal(outcome.scores, scores[best])


def test_the_monitor_can_cancel_after_a_round(fit):
    outcome = fit(monitor=lambda row: row.iteration == 1)
    assert outcome.stop_reason is StopReason.CANCELLED
    assert outcome.n_iter == 1


def test_steps_without_a_finite_gradient_roll_back_then_stop(fit, monkeypatch):
    """The first pass of type 1 meets nothing but nan; after the roll-back so does the second."""
    told = []

    def broken(self, *_args):
        return np.nan, 1

    monkeypatch.setattr(training.AdapterTrainer, "_gradient", broken)
    outcome = fit(on_progress=lambda event, **facts: told.append(event))
    assert outcome.stop_reason is StopReason.NON_FINITE
    assert told.count("rolled_back") == 1
    assert not outcome.scores.any()


def test_a_round_of_no_use_twice_over_is_convergence():
    """Guarding gains of 50, then 0.1 and 0.1 of 100 rankings: 0.001 nats each is under GAIN."""
    reasons = []
    course = course_of([-300.0])
    for total in (-250.0, -249.9, -249.8):
        course = course.after(round_of(course.now.number + 1, total), 0.0, n_guard=100)
        reasons.append(course.reason(100, rounds=9))
    assert reasons == [None, None, StopReason.CONVERGED]
    assert course.best.number == 3


def test_nothing_gained_at_all_is_not_convergence():
    course = course_of([-300.0])
    for _ in range(4):
        course = course.after(round_of(course.now.number + 1, -300.0), 0.0, n_guard=100)
    assert course.reason(100, rounds=9) is None
    assert course.reason(100, rounds=4) is StopReason.MAX_ITER


def test_a_fall_within_the_noise_is_no_fall():
    """Ten users: 5 lose 1 and 5 gain 0.9: a fall of 0.5 with a standard error of 3."""
    course = course_of([-300.0]).after(round_of(1, -200.0), 0.0, n_guard=10)
    wobbly = round_of(2, -200.0)
    wobbly.guard[:] += np.where(np.arange(10) < 5, -1.0, 0.9)
    assert course.after(wobbly, 0.0, n_guard=10).reason(10, rounds=9) is None
    fallen = round_of(2, -201.0)
    assert course.after(fallen, 0.0, n_guard=10).reason(10, rounds=9) is StopReason.DECREASED


def test_a_likelihood_that_is_not_finite_is_named():
    course = course_of([-300.0]).after(round_of(1, np.nan), 0.0, n_guard=10)
    assert course.reason(10, rounds=9) is StopReason.NON_FINITE
    assert course.best.number == 0


def round_of(number, total):
    return Round(
        number=number,
        log_weights=np.log([0.5, 0.5]),
        log_resp=np.log(np.full((10, 2), 0.5)),
        log_likelihood=total,
        guard=np.full(10, total / 10),
        pooled=np.nan,
    )


def course_of(totals):
    states = [round_of(number, total) for number, total in enumerate(totals)]
    return Course(states[-1], states[-1], tuple(facts_of(state, 0.0, 0) for state in states))


def test_a_course_comes_back_from_its_tensors():
    course = course_of([-300.0]).after(round_of(1, -200.0), 1.5, n_guard=10)
    again = Course.from_tensors(*course.to_tensors())
    assert again.rows == course.rows
    assert again.best is again.now
    np.testing.assert_array_equal(again.now.guard, course.now.guard)


def test_cross_fitted_rounds_train_each_type_on_either_half():
    names = [one.name for one in trainees(2, True)]
    assert names == [
        *("type-1-half-1", "type-1-half-2", "type-2-half-1", "type-2-half-2"),
        "pooled",
    ]
    assert [one.name for one in trainees(2, True, final=True)] == ["type-1", "type-2"]
    assert [one.name for one in trainees(1, False)] == ["type-1"]


def test_the_learning_rate_falls_within_rounds_and_from_round_to_round():
    first, second = (falling(1, before, 6) for before in (0, 3))  # two passes of three steps
    shares = [fall(step) for fall in (first, second) for step in range(3)]
    np.testing.assert_allclose(shares, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert [falling(number, 0, 6)(0) for number in (1, 2, 4)] == [1, 1 / 2, 1 / 4]


def test_prompts_that_weigh_nothing_are_passed_over():
    panel = text_rankings(n_users=4, answers=1, shared=False)
    weights = np.array([1.0, 0.5, 1e-4, 0.0])
    assert worthwhile_prompts(panel, weights).tolist() == panel.prompt[:2].tolist()
    assert len(worthwhile_prompts(panel, np.zeros(4))) == 0


@pytest.mark.parametrize(
    ("cross_fit", "moved", "agreement"), [("never", 0, 0.08), ("always", 5, 1)]
)
def test_only_cross_fitting_moves_users_whose_prompts_are_their_own(
    fit, cross_fit, moved, agreement
):
    """Sixteen users of two kinds, six prompts of their own each; five begin in the wrong type.

    Adapters learn their users' rankings by heart (four passes a round), so that scored by these
    nobody moves. Scored by adapters trained on the other half all five do.
    """
    panel = text_rankings(n_users=16, answers=6, shared=False)
    start = leaning(16, 0.95, wrong=5)
    adapters = AdapterConfig(
        rank=8,
        learning_rate=7e-3,
        rounds=2,
        epochs=4,
        prompts_per_step=4,
        cross_fit=cross_fit,
        held_out_share=0.0,
    )
    outcome = fit(panel, start=start, adapters=adapters)
    found = outcome.log_resp.argmax(axis=1)
    assert (found != start.argmax(axis=1)).sum() == moved
    assert np.isclose(adjusted_rand_score(np.arange(16) % 2, found), agreement, atol=0.01)
    assert outcome.evidence["cross_fitted"] == (cross_fit == "always")
