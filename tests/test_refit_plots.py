"""Figures and words of types found anew: the numbers they show, intervals, n, and hostile text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import planted_table

import emdpo
from emdpo import plots
from emdpo.core.refit_contrasts import differences, widening, worst_fixed, worst_types
from emdpo.plots.theme import type_colour
from emdpo.refit_words import refit_findings, refit_group_rows, refit_note, refit_rule_rows

HOSTILE = "<b>$x$</b>"


@pytest.fixture(scope="module")
def audit():
    table = planted_table(n_users=60, answers=3)
    half = table["user_id"].str[1:].astype(int) % 2
    table = table.assign(half=np.where(half, "odd", "even"))
    fit = emdpo.fit(emdpo.load(table), 3, features="columns", restarts=2)
    return emdpo.audit(fit, n_bootstrap=100, refits=6, crossed=False)


def changed(audit, value, anew, *, fixed=(0.1, 0.5), above=0.3, p=0.001):
    """Return an audit whose groups of this value differ so from all others, by every kind."""

    def every(value):
        return {kind: dict.fromkeys(audit.rules, value) for kind in audit.regret}

    groups = tuple(
        replace(
            group,
            above_rest=every(above),
            above_rest_interval=every(fixed),
            p_value=every(p),
        )
        if group.value == value
        else group
        for group in audit.groups
    )
    refits = tuple(
        replace(each, above_rest_interval=every(anew)) if each.value == value else each
        for each in audit.refit.groups
    )
    return replace(audit, groups=groups, refit=replace(audit.refit, groups=refits))


def named(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def subtitle(figure):
    return figure.layout.title.subtitle.text.replace("<br>", " ")


def test_every_figure_asks_a_question_and_says_n_and_draws(audit):
    for figure in (plots.refit_worst_figure(audit), plots.refit_groups_figure(audit, "age")):
        content = figure.to_dict()
        assert content["layout"]["title"]["text"].endswith("?</b>")
        assert content["layout"]["height"] >= 250
        assert "n = " in json.dumps(content, default=str)
        assert "6 draws" in subtitle(figure) and "95% intervals" in subtitle(figure)
        assert {trace["type"] for trace in content["data"]} == {"scatter"}


@pytest.mark.parametrize("kind", ["share", "clipped"])
def test_the_worst_type_of_a_rule_has_both_intervals_in_its_colour(audit, kind):
    figure = plots.refit_worst_figure(audit, kind)
    rules = list(figure.layout.yaxis.ticktext)
    row = rules.index("Pooled DPO")
    k = int(audit.regret[kind]["pooled"].argmax())
    mark = named(figure)[f"Type {k + 1} is worst served"]
    place = list(mark.y).index(row)
    assert mark.x[place] == audit.worst(kind)["pooled"]
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    bars = next(trace for trace in lines if trace.line.color == type_colour(k))
    ends = [bars.x[i] for i in range(len(bars.x)) if abs((bars.y[i] or 0) - row) < 0.3]
    assert tuple(ends[:2]) == audit.refit.worst[kind]["pooled"]
    fixed = named(figure)["Types held fixed"]
    assert list(fixed.x[3 * row : 3 * row + 2]) == list(audit.regret_interval[kind]["pooled"][k])


def test_with_one_prompt_nothing_is_said_of_prompts(audit):
    one = replace(audit, regret_interval=None)
    assert np.isnan(worst_fixed(one, "share", ["pooled"])).all()
    figure = plots.refit_worst_figure(one)
    assert "Types held fixed" not in named(figure)
    assert "prompts" not in subtitle(figure)


def test_a_difference_has_both_intervals_side_by_side_and_is_hollow_where_it_may_be_nothing(audit):
    sure = changed(audit, "old", (0.05, 0.6))
    unsure = changed(audit, "old", (-0.05, 0.6))
    for given, symbol in ((sure, "octagon"), (unsure, "octagon-open")):
        figure = plots.refit_groups_figure(given, "age")
        row = list(figure.layout.yaxis.ticktext).index("old<br>n = 20")
        fixed, anew = named(figure)["Types held fixed"], named(figure)["Types found anew"]
        assert tuple(fixed.x[3 * row : 3 * row + 2]) == (0.1, 0.5)
        (found,) = (each for each in differences(given, "age", "share", "pooled") if each.n == 20
                    and each.value == "old")  # fmt: skip
        assert tuple(anew.x[3 * row : 3 * row + 2]) == found.anew
        assert fixed.y[3 * row] < row < anew.y[3 * row]
        assert figure.data[-1].marker.symbol[row] == symbol


def test_findings_that_stand_and_that_do_not_are_told_with_both_intervals(audit):
    summary, told = about_groups(changed(audit, "old", (0.05, 0.6)))
    assert summary.startswith("Of 1 finding that a group") and "1 stands where" in summary
    assert told == (
        "Stands: people with age old (n = 20), 30 points more (10 to 50 with types held fixed, 5 "
        "to 60 found anew)."
    )
    summary, told = about_groups(changed(audit, "old", (-0.05, 0.6)))
    assert "0 stand where" in summary
    assert told.startswith("Does not stand: people with age old") and "-5 to 60" in told


def about_groups(audit):
    return [told for told in refit_findings(audit) if "stand" in told.lower()]


def test_where_no_group_is_said_to_lose_more_none_is_taken_back(audit):
    given = audit
    for value in ("old", "older", "young", "odd", "even"):
        given = changed(given, value, (-0.1, 0.1), fixed=(-0.1, 0.1), above=0.0, p=1.0)
    assert any("there was none to take back" in told for told in refit_findings(given))


def test_agreement_other_types_and_sizes_are_told(audit):
    refit = replace(audit.refit, agreement=0.5, n_fresh=3, weights=np.full((3, 2), (0.2, 0.4)))
    words = list(refit_findings(replace(audit, refit=refit)))
    assert "not the same from draw to draw" in words[0] and "index of 0.50" in words[0]
    assert "n = 6 draws of 60 users" in words[0]
    assert words[1].startswith("In 3 of 6 draws (50%) other types")
    share = f"{audit.prevalence[0]:.0%}"
    assert f"(n = 60): Type 1 {share} (20% to 40%)" in words[2]
    agreed = replace(audit, refit=replace(refit, agreement=0.95, n_fresh=0))
    words = list(refit_findings(agreed))
    assert "almost person by person" in words[0]
    assert words[1].startswith("In none of 6 draws")


def test_the_least_bad_rule_is_set_beside_pooled(audit):
    """Pooled 90% (80 to 99%); the other 50%, at 40 to 60%, then at 40 to 85%."""
    shares = {rule: np.full(3, 0.95) for rule in audit.rules}
    shares |= {"pooled": np.full(3, 0.9), "mixture": np.full(3, 0.5)}
    worst = dict.fromkeys(audit.rules, (0.8, 0.99))

    def told(ends):
        refit = replace(audit.refit, worst={"share": worst | {"mixture": ends}})
        regret = {**audit.regret, "share": shares}
        return next(
            words
            for words in refit_findings(replace(audit, regret=regret, refit=refit))
            if words.startswith("Pooled DPO")
        )

    assert told((0.4, 0.6)) == (
        "Pooled DPO costs its worst-served type 90% (80% to 99%) of its own gain, Min-max mixture, "
        "the least of all rules, 50% (40% to 60%) (n = 6 draws): less also where types are found "
        "anew."
    )
    assert told((0.4, 0.85)).endswith("these intervals overlap.")


def test_how_much_wider_intervals_are_is_a_median_over_groups(audit):
    """Every group by one attribute at 0.4 held fixed and 1.2 found anew: three times as wide."""
    given = audit
    for value in ("old", "older", "young", "odd", "even"):
        given = changed(given, value, (-0.6, 0.6), fixed=(-0.2, 0.2))
    assert widening(given) == (pytest.approx(3.0), 5)
    assert widening(replace(audit, refit=None)) is None


def test_tables_have_the_same_numbers(audit):
    rows = refit_rule_rows(audit, "kl").set_index("rule")
    low, high = audit.refit.worst["kl"]["pooled"]
    assert rows.loc["Pooled DPO", "types found anew"] == f"{low:.3f} to {high:.3f}"
    (k,) = worst_types(audit, "kl", ["pooled"])
    assert rows.loc["Pooled DPO", "worst type"].startswith(f"Type {k + 1}: ")
    groups = refit_group_rows(changed(audit, "old", (-0.05, 0.6)), "age").set_index("group")
    assert groups.loc["old"].tolist() == [
        "20", "+30.0%", "10.0% to 50.0%", "0.001", "-5.0% to 60.0%", "within",
    ]  # fmt: skip
    assert refit_group_rows(audit, None).empty
    assert isinstance(groups, pd.DataFrame)


def test_the_note_says_what_was_drawn(audit):
    assert refit_note(audit) == (
        "n = 60 users drawn with replacement, 6 times (seed 0); types, pooled model and rules were "
        "found anew in each draw. 95% percentile intervals."
    )
    assert refit_note(replace(audit, refit=None)) == ""
    assert list(refit_findings(replace(audit, refit=None))) == []


def test_without_refits_there_is_nothing_to_draw(audit):
    with pytest.raises(ValueError, match="not found anew"):
        plots.refit_worst_figure(replace(audit, refit=None))


def test_names_of_groups_stay_text(audit):
    group = replace(audit.groups[0], attribute=HOSTILE, value=HOSTILE)
    again = replace(audit.refit.groups[0], attribute=HOSTILE, value=HOSTILE)
    given = replace(audit, groups=(group,), refit=replace(audit.refit, groups=(again,)))
    content = json.dumps(plots.refit_groups_figure(given, HOSTILE).to_dict(), default=str)
    assert "<b>$x" not in content and "&lt;b&gt;" in content


def test_of_very_many_groups_those_that_differ_most_are_drawn(audit):
    (group,) = [each for each in audit.groups if each.value == "old"]
    (again,) = [each for each in audit.refit.groups if each.value == "old"]
    many = [f"g{i}" for i in range(60)]
    given = replace(
        audit,
        groups=tuple(
            replace(group, value=name, above_rest={"share": {"pooled": i / 60}})
            for i, name in enumerate(many)
        ),
        refit=replace(audit.refit, groups=tuple(replace(again, value=name) for name in many)),
    )
    figure = plots.refit_groups_figure(given, "age")
    assert len(figure.layout.yaxis.ticktext) == 40
    assert "The 40 of 60 groups" in subtitle(figure)
    assert figure.layout.yaxis.ticktext[0].startswith("g59")
