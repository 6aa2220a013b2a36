"""Figures: the numbers they show, the words around them, and what they do to hostile text."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

import emdpo
from emdpo import plots
from emdpo.core.composition import composition
from emdpo.core.em import TraceRow
from emdpo.core.tastes import StyleProfile, style_profile
from emdpo.core.tradeoff import audit_trade_off
from emdpo.plots.theme import LABEL_LIMIT, TYPE_SYMBOLS, text_on, type_symbol
from emdpo.what_if import what_if

BASIC = {"scatter", "bar", "heatmap", "scatterternary"}
HOSTILE = r"$\href{javascript:alert(1)}{x}$ <b>`a`</b> <a href='javascript:x'>&lt;%{x}</a>"
TRACE = [
    TraceRow(0, 0, -20.0, (0.5, 0.5)),
    TraceRow(0, 1, -12.0, (0.6, 0.4)),
    TraceRow(1, 0, -25.0, (0.5, 0.5)),
    TraceRow(1, 1, -10.0, (0.7, 0.3)),
]


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(emdpo.load("assets/demo/rankings.csv"), 3, restarts=2)


@pytest.fixture(scope="module")
def audit(fit):
    return emdpo.audit(fit, n_bootstrap=100)


@pytest.fixture(scope="module")
def selection():
    return emdpo.select(emdpo.load("assets/demo/classroom.csv"), range(1, 3), restarts=1)


ROUNDS = [
    {"round": 0, "guard": -30.0, "pooled_guard": -30.0, "n_guard": 10},
    {"round": 1, "guard": -20.0, "pooled_guard": None, "n_guard": 10},
]
"""Of adapters: what `emdpo.adapters.rounds.facts_of` gives, as JSON."""


def blend(fit, audit):
    """What an even mixture does to everybody."""
    return what_if(fit, audit).regret("mixture", np.full(3, 1 / 3))


@pytest.fixture(scope="module")
def figures(fit, audit, selection):
    """Every figure of the library, by name."""
    resp = fit.responsibilities
    profile = style_profile(fit.rankings, fit.policies, resp, fit.weights)
    return {
        "trace": plots.trace_figure(fit.trace),
        "weights": plots.weights_figure(fit.trace),
        "trace of rounds": plots.trace_figure(fit.trace, "round"),
        "rounds": plots.rounds_figure(ROUNDS),
        "selection": plots.selection_figure(selection),
        "histogram": plots.posterior_figure(resp[:, :2] / resp[:, :2].sum(axis=1, keepdims=True)),
        "triangle": plots.posterior_figure(resp),
        "heatmap": plots.posterior_figure(np.hstack([resp / 2, resp / 2])),
        "style": plots.style_figure(profile),
        "composition": plots.composition_figure(
            composition(resp, fit.rankings.users["age_band"].tolist(), "age_band")
        ),
        "rules": plots.regret_by_rule_figure(audit, "kl"),
        "groups": plots.group_regret_figure(audit, "age_band"),
        "matrix": plots.regret_matrix_figure(audit),
        "tradeoff": plots.tradeoff_figure(audit),
        "trade-off with a choice": plots.tradeoff_figure(audit, "plain", chosen=(0.1, 0.2)),
        "what if": plots.what_if_figure(audit, blend(fit, audit), "kl", "age_band"),
        "data": plots.data_figure(fit.rankings),
    }


def test_every_figure_asks_a_question_and_says_how_to_read_it(figures):
    for name, figure in figures.items():
        layout = figure.to_dict()["layout"]
        assert layout["title"]["text"].endswith("?</b>"), name
        assert len(layout["title"]["subtitle"]["text"]) > 30, name
        assert layout["height"] >= 300, name


def test_every_figure_shows_n(figures):
    for name, figure in figures.items():
        text = json.dumps(figure.to_dict(), default=str)
        assert "n = " in text or name in {"selection", "weights", "matrix"}, name


def test_every_figure_uses_basic_traces_and_suits_light_and_dark(figures):
    for name, figure in figures.items():
        content = figure.to_dict()
        assert {trace["type"] for trace in content["data"]} <= BASIC, name
        assert content["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)", name
        assert content["layout"]["plot_bgcolor"] == "rgba(0,0,0,0)", name


def contrast(first, second):
    """Return the WCAG 2 contrast of two "#rrggbb" colours."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    bright, dim = sorted([luminance(first), luminance(second)], reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#0b0f19", "#18181b"])
def test_text_and_types_stand_out_on_light_and_on_dark(page):
    """Text of figures 3.9 to 1 or more; marks, which also carry an outline, 1.9 to 1."""
    assert contrast(plots.theme.INK, page) > 3.9
    for colour in plots.TYPE_COLOURS:
        assert contrast(colour, page) > 1.9


def test_shares_are_readable_on_their_bars():
    for colour in plots.TYPE_COLOURS:
        assert contrast(text_on(colour), colour) > 4.5


def test_a_type_keeps_its_colour_and_symbol_on_every_figure(figures):
    for name in ("weights", "triangle", "style", "composition", "rules"):
        traces = [t for t in figures[name].data if str(t.name).startswith("Type ")]
        assert len(traces) == 3, name
        for k, trace in enumerate(traces):
            assert trace.name.startswith(f"Type {k + 1}"), name
            assert trace.marker.color == plots.type_colour(k), name
            if trace.type != "bar":
                assert trace.marker.symbol == plots.type_symbol(k), name


def test_types_beyond_the_palette_differ_in_symbol():
    looks = {(plots.type_colour(k), type_symbol(k)) for k in range(3 * len(TYPE_SYMBOLS))}
    assert len(looks) == 3 * len(TYPE_SYMBOLS)


@given(st.text(max_size=200))
def test_labels_hold_no_markup_and_keep_their_text(text):
    """Decoded as plotly does, a label is the text again, on one line, cut to 80 characters."""
    label = plots.label_text(text)
    assert not set("<>$`") & set(label)
    shown = html.unescape(label)
    assert len(shown) <= LABEL_LIMIT
    assert all(unicodedata.category(char)[0] != "C" for char in shown)
    if shown != "(empty)" and not shown.endswith("…"):
        assert (
            shown.split()
            == "".join(
                " " if unicodedata.category(char)[0] in "CZ" else char for char in text
            ).split()
        )


def test_direction_and_control_characters_go():
    assert plots.label_text("a\u202eb\x00c\nd\u2028e") == "a b c d e"


@pytest.mark.browser
def test_hostile_text_is_shown_as_text_in_a_browser(fit, audit, tmp_path):
    """Chromium draws hostile group names; what it shows is the names, and no link is made."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here")
    group = replace(audit.groups[0], attribute=HOSTILE, value=HOSTILE)
    figure = plots.group_regret_figure(replace(audit, groups=(group,)), HOSTILE)
    page = tmp_path / "page.html"
    page.write_text(
        f"<meta charset=utf-8><script>{get_plotlyjs()}</script><div id=place></div>"
        f"<script>Plotly.newPlot('place', {figure.to_json()})</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    done = subprocess.run(  # noqa: S603
        [chromium, *flags, "--dump-dom", page.as_uri()], capture_output=True, timeout=60
    )
    dom = done.stdout.decode()
    drawn = "".join(re.findall(r"<svg.*?</svg>", dom, re.DOTALL))
    shown = html.unescape("".join(re.findall(r">([^<>]*)<", drawn)))
    assert r"$\href{javascript:" in shown  # the value, beside its mark
    assert HOSTILE[:29] in shown  # the attribute, in the title
    assert not re.search(r"<a\b|href=", drawn)


def test_the_best_start_is_highlighted():
    """Start 2 ends at -10, above -12."""
    figure = plots.trace_figure(TRACE)
    best = max(figure.data, key=lambda trace: trace.line.width)
    assert best.name == "best start (2)"
    assert list(best.y) == [-25.0, -10.0]
    assert [trace.showlegend for trace in figure.data] == [True, True]


def test_of_equally_good_starts_the_longest_is_shown():
    short, long = [(0, 0, -10.0), (0, 1, -9.0)], [(1, 0, -20.0), (1, 1, -12.0), (1, 2, -9.001)]
    frame = pd.DataFrame([*short, *long], columns=["restart", "iteration", "log_likelihood"])
    trace = frame.assign(weight_1=0.6, weight_2=0.4)
    best = max(plots.trace_figure(trace).data, key=lambda line: line.line.width)
    assert best.name == "best start (2)"


def test_rows_and_table_give_the_same_trace(fit):
    rows, table = plots.trace_figure(fit.trace), plots.trace_figure(fit.trace_table())
    assert rows.to_json() == table.to_json()


def test_weights_of_the_best_or_of_a_chosen_start():
    assert [list(t.y) for t in plots.weights_figure(TRACE).data] == [[0.5, 0.7], [0.5, 0.3]]
    assert [list(t.y) for t in plots.weights_figure(TRACE, start=0).data] == [
        [0.5, 0.6],
        [0.5, 0.4],
    ]


def test_a_fit_that_has_not_begun_has_empty_figures():
    assert len(plots.trace_figure([]).data) == 0
    assert len(plots.weights_figure([]).data) == 0


def test_one_type_has_no_posterior_figure():
    assert plots.posterior_figure(np.ones((5, 1))) is None


def test_the_histogram_counts_every_user():
    """0.5 falls in the bin from 0.5 on, whose middle is above one half."""
    resp = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.99, 0.01]])
    second, first = plots.posterior_figure(resp).data
    assert (first.name, second.name) == ("more likely Type 1", "more likely Type 2")
    assert (sum(first.y), sum(second.y)) == (3, 1)
    assert first.y[-1] == 2


def test_a_triangle_of_many_users_is_thinned_and_says_so():
    resp = np.random.default_rng(0).dirichlet([1, 1, 1], size=12_000)
    figure = plots.posterior_figure(resp)
    assert sum(len(trace.a) for trace in figure.data) == 5_000
    assert "sample of 5,000" in figure.layout.title.subtitle.text.replace("<br>", " ")


def test_a_heatmap_of_many_users_averages_neighbours():
    """2,000 users in 500 rows of 4; sorted by type, so each row belongs to one type."""
    resp = np.eye(4)[np.random.default_rng(0).integers(4, size=2_000)]
    figure = plots.posterior_figure(resp)
    rows = np.array(figure.data[0].z)
    assert rows.shape == (500, 4)
    assert rows.sum(axis=0) * 4 == pytest.approx(resp.sum(axis=0))


def test_the_style_figure_shows_the_features_that_differ_most():
    """Gaps between the types are 0.2, 3 and 1: with two places, the second and third feature."""
    strength = np.array([[0.1, 1.0, 0.5], [-0.1, -2.0, 1.5]])
    profile = StyleProfile(("a", "b", "c"), strength, strength - 1, strength + 2, np.array([9, 1]))
    figure = plots.style_figure(profile, top=2)
    assert list(figure.layout.yaxis.ticktext) == ["b", "c"]
    assert list(figure.data[0].x) == [1.0, 0.5]
    assert list(figure.data[0].error_x.array) == [2.0, 2.0]
    assert list(figure.data[0].error_x.arrayminus) == [1.0, 1.0]
    assert plots.style_table(profile)["strength"].tolist() == strength.ravel().tolist()


def test_without_intervals_no_bars_are_drawn():
    nowhere = np.full((1, 2), np.nan)
    profile = StyleProfile(("a", "b"), np.ones((1, 2)), nowhere, nowhere, np.ones(1), note="why")
    assert plots.style_figure(profile).data[0].error_x.array is None


def test_groups_have_their_intervals_and_n(audit):
    figure = plots.group_regret_figure(audit, "age_band", "kl", ["pooled"])
    groups = [group for group in audit.groups if group.attribute == "age_band"]
    band, trace = figure.data
    assert band.line.width < trace.error_x.thickness
    assert "thin: for all these groups at once" in (
        figure.layout.title.subtitle.text.replace("<br>", " ")
    )
    for i, group in enumerate(groups):
        assert tuple(band.x[3 * i : 3 * i + 2]) == group.simultaneous["kl"]["pooled"]
        assert band.y[3 * i] == trace.y[i]
        low, high = group.interval["kl"]["pooled"]
        assert trace.x[i] == group.regret["kl"]["pooled"]
        assert trace.x[i] - trace.error_x.arrayminus[i] == pytest.approx(low)
        assert trace.x[i] + trace.error_x.array[i] == pytest.approx(high)
        assert figure.layout.yaxis.ticktext[i] == f"{group.value}<br>n = {group.n}"


def test_values_of_groups_by_two_attributes_have_a_line_each_and_rows_have_room(audit):
    """Cut together after 44 characters, the second would be lost."""
    group = replace(audit.groups[0], value="a" * 40 + " \u00d7 young", attribute="x \u00d7 age")
    two = replace(audit, groups=(group, group))
    figure = plots.group_regret_figure(two, "x \u00d7 age", rules=["pooled"])
    label = f"{'a' * 23}\u2026<br>\u00d7 young<br>n = {group.n}"
    assert figure.layout.yaxis.ticktext[0] == label
    margins = figure.layout.margin
    assert figure.layout.height - margins.t - margins.b == 2 * 57 + 30


def test_rules_that_the_audit_lacks_are_left_out(audit):
    figure = plots.group_regret_figure(audit, "age_band", rules=["no such rule", "pooled"])
    assert [trace.name for trace in figure.data if trace.name] == ["Pooled DPO"]


def test_the_tradeoff_by_hand(audit):
    """With weights 3/4 and 1/4: means 0.5, 0.45 and 0.9, worsts 2, 0.9 and 1.

    The first is beaten by the second on both counts, and so is the third.
    """
    shares = {"a": np.array([0.0, 2.0]), "b": np.array([0.3, 0.9]), "c": np.array([1.0, 0.6])}
    small = replace(
        audit, rules=("a", "b", "c"), prevalence=np.array([0.75, 0.25]), regret={"share": shares}
    )
    table = plots.tradeoff_table(small, "share")
    assert table["mean"].tolist() == pytest.approx([0.5, 0.45, 0.9])
    assert table["worst"].tolist() == pytest.approx([2.0, 0.9, 1.0])
    assert table["dominated"].tolist() == [True, False, True]


def test_the_tradeoff_draws_the_curve_under_the_rules_and_the_choice_on_top(audit):
    figure = plots.tradeoff_figure(audit, "share", chosen=(0.5, 0.7))
    first, *rules, last = figure.data
    assert first.name == "Best mixtures" and first.mode == "lines+markers"
    curve = audit_trade_off(audit, "share")
    np.testing.assert_allclose(first.x, curve.mean)
    np.testing.assert_allclose(first.y, curve.worst)
    assert len(rules) == len(audit.rules) and last.name == "Your weights"
    assert (list(last.x), list(last.y)) == ([0.5], [0.7])
    assert "Line: no mixture" in figure.layout.title.subtitle.text.replace("<br>", " ")
    without = plots.tradeoff_figure(audit, "kl")
    assert len(without.data) == len(audit.rules) and "Line:" not in str(without.layout.title)


def test_the_kl_curve_says_that_it_is_over_all_policies(fit, audit):
    curve = what_if(fit, audit).curve("kl")
    figure = plots.tradeoff_figure(audit, "kl", curve)
    assert figure.data[0].name == "Best policies of all"
    for mark in figure.data[1:]:
        bound = max(mark.y[0], curve.worst[-1])
        assert mark.x[0] >= curve.least_mean(bound) - curve.duality_gap - 0.05 * np.ptp(curve.mean)


def test_the_what_if_shows_types_and_groups_before_and_after(fit, audit):
    found = blend(fit, audit)
    figure = plots.what_if_figure(audit, found, "share", "region")
    _, before, after = figure.data
    regions = [g for g, group in enumerate(audit.groups) if group.attribute == "region"]
    expected = [*found.types["share"], *found.groups["share"][regions]]
    np.testing.assert_allclose(after.x, expected)
    ends = [*found.type_interval["share"], *found.group_interval["share"][regions]]
    np.testing.assert_allclose(after.customdata, ends)
    np.testing.assert_allclose(before.x[:3], audit.regret["share"]["pooled"])
    labels = figure.layout.yaxis.ticktext
    assert labels[0] == f"Type 1 ({audit.prevalence[0]:.0%})" and len(labels) == 3 + len(regions)
    assert "n = " in labels[3] and "n = 60" in figure.layout.title.subtitle.text


def test_the_what_if_of_very_many_groups_shows_those_that_lose_most(fit, audit):
    one = next(group for group in audit.groups if group.attribute == "region")
    many = replace(audit, groups=tuple(replace(one, value=f"g{i}") for i in range(50)))
    found = blend(fit, audit)
    losses = np.arange(50.0)
    found = replace(
        found, groups={"kl": losses}, group_interval={"kl": np.column_stack([losses, losses])}
    )
    figure = plots.what_if_figure(many, found, "kl", "region")
    assert len(figure.data[2].x) == 3 + 40 and min(figure.data[2].x[3:]) == 10.0
    assert "40 of 50 groups" in figure.layout.title.subtitle.text.replace("<br>", " ")


def test_types_without_users_are_in_no_figure_of_the_audit(audit, fit):
    """The third type is left with 0.1% of 240 users, 0.24 of a person."""
    prevalence = np.array([0.6, 0.399, 0.001])
    small = replace(audit, prevalence=prevalence)
    matrix = plots.regret_matrix_figure(small).data[0]
    assert list(matrix.y) == ["Type 1", "Type 2"]
    np.testing.assert_array_equal(matrix.z, audit.regret_matrix[:2, :2])
    assert "type-3" not in plots.tradeoff_table(small)["rule"].tolist()
    assert "Type 3" not in plots.regret_by_rule_figure(small).to_json()
    resp = np.tile([0.6, 0.399, 0.001], (240, 1))
    shares = composition(resp, fit.rankings.users["age_band"].tolist(), "age_band")
    assert [bar.name for bar in plots.composition_figure(shares).data] == ["Type 1", "Type 2"]


def test_indifferent_types_leave_no_mark_and_raise_no_warning(audit):
    """A type that gains nothing has no share: nan in every rule."""
    shares = {rule: np.full(3, np.nan) for rule in audit.rules}
    figure = plots.regret_by_rule_figure(replace(audit, regret={"share": shares}))
    assert "NaN" not in figure.to_json()


def test_the_data_table_counts(fit):
    """The demo has 240 raters with 6 rankings of 4 answers each."""
    table = plots.data_table(fit.rankings)
    assert table.to_dict("records") == [
        {"what": "rankings per user", "size": 6, "count": 240},
        {"what": "candidates per list", "size": 4, "count": 1440},
    ]


def test_the_selection_marks_its_recommendation(selection):
    figure = plots.selection_figure(selection)
    at = selection.table["n_types"].tolist().index(selection.n_types)
    for trace in figure.data:
        assert [symbol == "star" for symbol in trace.marker.symbol].index(True) == at


def test_groups_whose_names_start_alike_stay_apart(fit):
    """Two values that share their first 60 characters are two rows of 120 users each."""
    values = ["x" * 60 + half for half in "ab"] * 120
    figure = plots.composition_figure(composition(fit.responsibilities, values))
    assert list(figure.data[0].y) == [0, 1]
    assert [text.endswith("n = 120") for text in figure.layout.yaxis.ticktext] == [True, True]


def test_of_very_many_groups_those_that_lose_most_are_drawn(audit):
    """Group i of 60 loses i / 60, so with room for 40 the last is 20 / 60."""
    groups = tuple(
        replace(
            audit.groups[0],
            value=f"g{i}",
            regret={"share": {"pooled": i / 60}},
            interval={"share": {"pooled": (0.0, 1.0)}},
        )
        for i in range(60)
    )
    figure = plots.group_regret_figure(replace(audit, groups=groups), "age_band", rules=["pooled"])
    assert list(figure.data[1].x) == pytest.approx([i / 60 for i in range(59, 19, -1)])
    assert "40 of 60 groups" in figure.layout.title.subtitle.text.replace("<br>", " ")


def test_a_long_title_does_not_cut_an_entity():
    """Thirty "<" are thirty entities without a space to break at."""
    figure = plots.theme.question_figure(plots.label_text("<" * 30), "how to read it", 100)
    assert figure.layout.title.text == f"<b>{'&lt;' * 30}</b>"


def test_the_composition_table_matches_the_bars(fit):
    values = fit.rankings.users["region"].tolist()
    shares = composition(fit.responsibilities, values, "region")
    table, figure = plots.composition_table(shares), plots.composition_figure(shares)
    assert table["type_2"].tolist() == list(figure.data[1].x)
    assert "Cramér's V" in figure.layout.title.subtitle.text


def test_rounds_are_shown_a_ranking_and_what_is_not_known_is_left_out():
    """-30 nats over 10 rankings are -3; cross-fitted rounds have no pooled figure."""
    types, pooled = plots.rounds_figure(ROUNDS).data
    assert list(types.y) == [-3.0, -2.0] and list(pooled.y) == [-3.0]
    alone = [{**row, "pooled_guard": None} for row in ROUNDS]
    assert len(plots.rounds_figure(alone).data) == 1
