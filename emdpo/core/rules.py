"""Every aggregation rule: one policy for everybody out of K type policies.

docs/rules.md says of each where it comes from, whom it protects and whom it can hurt. Letters: K
types, A candidates; `prompt` holds (A,) codes 0..P-1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emdpo.core.aggregation import kl_consensus, min_max_regret_mixture, mixture
from emdpo.core.regret import (
    Codes,
    Floats,
    log_normalise,
    log_policies,
    log_reference,
    plain_regret,
)
from emdpo.core.welfare import gains, lottery_policy, maximin_mixture, nash_mixture

GIVEN = "given"
"""The blend whose form and weights a user chose."""

MIXTURE, CONSENSUS = FORMS = ("mixture", "consensus")
"""How one policy is made of the types': sum_k a_k pi_k, or proportional to prod_k pi_k^a_k. Also
the names of the rules whose weights make the worst regret least."""

RULE_NOTES = {
    "type-k": (
        "Everybody gets the policy of one type. It serves that type perfectly and shows what the "
        "others would lose; nobody should deploy it unasked."
    ),
    "pooled": (
        "Plain DPO (Rafailov et al. 2023): one policy fitted to all rankings. It protects nobody "
        "in particular: it orders answers much as Borda counts do, so that a minority is outvoted "
        "on every prompt at once."
    ),
    "uniform": (
        "A type is drawn, each with the same chance, and its policy answers. It protects small "
        "types whatever their size, at the cost of the many."
    ),
    "prevalence": (
        "A type is drawn by its share of users. Each type gets its own policy as often as it is "
        "large: fair as a lottery, and a small type mostly meets others' answers."
    ),
    "maximin": (
        "The mixture under which the type that gains least over the untuned model gains most "
        "(Rawls; Chakraborty et al. 2024, MaxMin-RLHF). It protects whoever has least, and lets a "
        "type that gains little under any policy dictate to all. Beware: preferences fix scores "
        "only up to a constant per prompt, so that levels of different types cannot be compared; "
        "zero gain is put at the untuned model here, by choice."
    ),
    "nash": (
        "The mixture with the greatest product of gains over the untuned model, weighted by users "
        "(Nash 1950). It leaves no type worse off than the untuned model, and does not depend on "
        "how strongly a type scores; large types get more. Its zero level is the same choice as "
        "for maximin. Where no mixture makes every type better off, it is the untuned model."
    ),
    "mixture": (
        "The mixture with the least worst regret (min-max regret aggregation, Chidambaram et al. "
        "2026). It protects the type that would lose most against its own policy, in nats: where "
        "types differ in strength, by share another rule can be kinder, and the average pays."
    ),
    "consensus": (
        "One policy, the types' policies multiplied with exponents that make the worst KL regret "
        "least. It protects like the mixture, but every answer is a compromise instead of "
        "somebody's favourite; types close to the compromise lose most of what they had."
    ),
    "lottery": (
        "At every prompt the maximal lottery over answers: no other answer would win a majority "
        "against it (Fishburn 1984; Maura-Rivero et al. 2025). It needs no scores, only who "
        "prefers what, and is safe from vote splitting; a minority can be left with nothing, and "
        "answers that win are given without restraint, far from the untuned model."
    ),
    "given": (
        "The mixture, or the consensus, whose weights were chosen by the user: in the what-if of "
        "the Audit tab or with --weights. It protects whom its weights protect."
    ),
}
"""What each rule does, where it comes from, whom it protects and whom it can hurt."""

OF_OTHER_ORIGIN = "A policy of other origin, given as its probabilities over the candidates."
"""What is said of a policy that is no rule."""


class RulePolicy(NamedTuple):
    """What one aggregation rule answers with."""

    policy: Floats
    """(A,) probabilities."""
    weights: Floats | None
    """(K,) weights over types (exponents for the consensus); None where there are none."""


def rule_note(rule: str) -> str:
    """Return what a rule does, whom it protects and whom it can hurt.

    >>> rule_note("type-2").split(".")[0]
    'Everybody gets the policy of one type'
    """
    return RULE_NOTES.get("type-k" if rule.startswith("type-") else rule, OF_OTHER_ORIGIN)


def rule_policies(
    scores: Floats,
    pooled_scores: Floats,
    prevalence: Floats,
    prompt: Codes,
    beta: float,
    given: Floats | None = None,
    given_form: str = MIXTURE,
) -> tuple[dict[str, RulePolicy], dict[str, float]]:
    """Return every aggregation rule's policy and the duality gaps of the optimised ones.

    Parameters
    ----------
    scores, pooled_scores : (K, A) float and (A,) float
        DPO scores of the types and of the one model fitted to everybody (K = 1), nats.
    prevalence : (K,) float
        Share of users of each type, summing to one.
    prompt, beta : (A,) int and float > 0
        Prompt codes and DPO inverse temperature.
    given : (K,) float, optional
        Weights of the user's own, a point of the simplex; of a `mixture` or, as `given_form` says,
        the exponents of a `consensus`.

    Returns
    -------
    rules : dict of str to RulePolicy
        `type-1` .. `type-K`, `pooled`, `uniform`, `prevalence`, `maximin`, `nash`, `mixture`,
        `consensus`, `lottery` and, where asked for, `given`: in this order. Where no mixture makes
        every type better off, `nash` is the point of disagreement: the reference.
    duality_gap : dict of str to float
        Of `maximin`, `nash`, `mixture` and `consensus`, nats (see there). Raises as these do.

    Examples
    --------
    >>> scores = np.log([[3.0, 1.0], [1.0, 3.0]])
    >>> one_prompt, pooled = np.array([0, 0]), np.zeros(2)
    >>> rules, gaps = rule_policies(scores, pooled, np.array([0.7, 0.3]), one_prompt, beta=1.0)
    >>> ", ".join(list(rules)[2:])
    'pooled, uniform, prevalence, maximin, nash, mixture, consensus, lottery'
    >>> rules["prevalence"].policy.round(3)
    array([0.6, 0.4])
    """
    log_types = log_policies(scores, prompt, beta)
    types, n_types = np.exp(log_types), len(log_types)
    best = min_max_regret_mixture(plain_regret(scores, log_types, types, prompt), prevalence)
    consensus = kl_consensus(log_types, prompt, beta)
    gain = gains(scores, types, prompt)
    maximin, nash = maximin_mixture(gain, prevalence), nash_mixture(gain, prevalence)

    def mixed(weights: Floats) -> RulePolicy:
        return RulePolicy(mixture(log_types, weights), np.asarray(weights, dtype=np.float64))

    rules = {f"type-{k + 1}": RulePolicy(types[k], np.eye(n_types)[k]) for k in range(n_types)}
    rules["pooled"] = RulePolicy(np.exp(log_policies(pooled_scores, prompt, beta)), None)
    rules["uniform"] = mixed(np.full(n_types, 1.0 / n_types))
    rules["prevalence"] = mixed(prevalence)
    rules["maximin"] = mixed(maximin.weights)
    disagreement = RulePolicy(np.exp(log_reference(prompt)), None)
    rules["nash"] = disagreement if nash.weights is None else mixed(nash.weights)
    rules["mixture"] = mixed(best.weights)
    rules["consensus"] = RulePolicy(np.exp(consensus.log_policy), consensus.weights)
    rules["lottery"] = RulePolicy(lottery_policy(scores, prevalence, prompt), None)
    if given is not None:
        compromise = np.exp(log_normalise(given @ log_types, prompt))
        rules[GIVEN] = mixed(given) if given_form == MIXTURE else RulePolicy(compromise, given)
    optimised = {"maximin": maximin, "nash": nash, "mixture": best, "consensus": consensus}
    return rules, {name: solution.duality_gap for name, solution in optimised.items()}
