"""The exported audit: whole, quiet on the network, and deaf to hostile text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

import emdpo
from emdpo.core.audit import SuppressedGroup
from emdpo.core.refits import RefitAudit
from emdpo.report import audit_page

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>{{7*7}}${x}"


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(emdpo.load("assets/demo/rankings.csv"), 2, restarts=1)


@pytest.fixture(scope="module")
def audit(fit):
    return emdpo.audit(fit, n_bootstrap=100)


@pytest.fixture(scope="module")
def hostile(fit, audit):
    """Hostile prompts, answers, group names and values, fitted and suppressed."""
    rankings = fit.rankings
    candidates = rankings.candidates.assign(response=HOSTILE)
    prompts = rankings.prompts.assign(prompt=HOSTILE)
    users = rankings.users.rename(columns={"region": HOSTILE}).replace("North", HOSTILE)
    bad = replace(rankings, candidates=candidates, prompts=prompts, users=users)
    fit = replace(fit, rankings=bad)
    audit = emdpo.audit(fit, n_bootstrap=50)
    return replace(audit, suppressed=(SuppressedGroup(HOSTILE, HOSTILE, 3),)), fit


def without_plotly(page):
    return page.replace(get_plotlyjs(), "")


def test_the_page_is_whole_and_small_enough_to_send(audit, fit):
    page = audit_page(audit, fit)
    assert len(page.encode()) < 8e6
    assert page.count(get_plotlyjs()) == 1
    body = without_plotly(page)
    for heading in ("What the audit found", "By group", "What the types want", "How this was made"):
        assert re.search(f'<h2 id="[a-z]+">{heading}</h2>', body)
    assert "arXiv 2510.15716" in body
    assert "prefers-color-scheme: dark" in body and "@media print" in body


def test_to_html_is_the_page_without_the_fit(audit):
    assert audit.to_html() == audit_page(audit)
    assert "What the types want" not in without_plotly(audit.to_html())


def test_the_page_asks_nothing_of_the_network(audit, fit):
    body = without_plotly(audit_page(audit, fit))
    assert "default-src 'none'" in body
    assert not re.search(r"""src\s*=|href\s*=\s*"?[^"#]|url\(|@import""", body)


def test_every_figure_is_there_as_json(audit, fit):
    """By rule: two and the matrix; two attributes, twice, and crossed; style; posterior: ten."""
    body = without_plotly(audit_page(audit, fit))
    found = re.findall(r'<script type="application/json" id="(figure-\d+)">(.*?)</script>', body)
    assert len(found) == 10
    for name, data in found:
        assert f'data-from="{name}"' in body
        assert json.loads(data)["layout"]["title"]["text"]


def test_hostile_text_stays_text(hostile):
    body = without_plotly(audit_page(*hostile))
    assert "<script>document.title" not in body
    assert "<img" not in body
    assert "&lt;/script&gt;&lt;script&gt;document.title" in body
    # Opened and closed only by the page itself: plotly, drawing, and one for each figure.
    assert body.count("<script") == body.count("</script>") == 2 + body.count("data-from=")


def test_one_type_and_no_groups_make_a_page():
    """Nothing to compare, so there is no matrix and no posterior, and it says so."""
    fit = emdpo.fit(emdpo.load("assets/demo/classroom.csv"), 1)
    body = without_plotly(audit_page(emdpo.audit(fit, groups=[]), fit))
    assert "Nothing that the intervals support." in body
    assert ">By group</h2>" not in body
    assert "with each type's model" not in body


def row(name, value):
    return f'<th scope="row" dir="auto">{name}</th><td dir="auto">{value}</td>'


def test_settings_of_audit_and_fit_are_listed(audit, fit):
    body = without_plotly(audit_page(audit, fit))
    assert row("audit: n_bootstrap", 100) in body
    assert row("fit: n_types", 2) in body
    assert fit.data_sha256 in body


def test_the_same_audit_gives_the_same_page(audit, fit):
    assert audit_page(audit, fit) == audit_page(audit, fit)


def test_every_setting_version_and_fingerprint_is_told(audit, fit):
    body = without_plotly(audit_page(audit, fit))
    for name in vars(audit.config):
        assert f">audit: {name}</th>" in body
    for name in fit.config.to_dict():
        assert f">fit: {name}</th>" in body
    for name in fit.versions:
        assert f">{name}</th>" in body
    assert fit.stop_reason.value in body and "adjusted Rand index" in body


def test_headings_come_in_order(audit, fit):
    body = without_plotly(audit_page(audit, fit))
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", body)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_figure_and_scrolled_table_has_a_name_of_its_own(audit, fit):
    body = without_plotly(audit_page(audit, fit))
    figures = re.findall(r'class="figure" role="img" aria-label="([^"]+)"', body)
    tables = re.findall(r'class="scroll" role="region" tabindex="0" aria-label="([^"]+)"', body)
    assert len(figures) == body.count('class="figure"') and len(set(figures)) == len(figures)
    assert len(tables) == body.count("<table>") and len(set(tables)) == len(tables)
    assert all("n = " in label or "interval" in label for label in figures)


def test_every_regret_of_a_type_or_group_has_its_interval(audit, fit):
    """The figure and its ends as the audit has them, in percent with one decimal."""
    body = without_plotly(audit_page(audit, fit))

    def told(value, low, high):
        return f"{value:.1%} ({low:.1%} to {high:.1%})"

    for rule in ("pooled", "consensus", "lottery"):
        value, ends = audit.regret["share"][rule][1], audit.regret_interval["share"][rule][1]
        assert told(value, *ends) in body
        group = audit.groups[2]
        assert told(group.regret["share"][rule], *group.interval["share"][rule]) in body


def test_cautions_and_refits_are_told_where_there_are_any(audit, fit):
    again = RefitAudit(
        n_refits=7,
        seed=3,
        confidence=0.95,
        agreement=0.5,
        n_fresh=0,
        weights=np.array([[0.4, 0.6]] * 2),
        regret={"share": {rule: np.array([[0.1, 0.9]] * 2) for rule in audit.rules}},
        worst={"share": dict.fromkeys(audit.rules, (0.123, 0.987))},
        groups=(),
    )
    assert "With the types found anew" not in without_plotly(audit_page(audit, fit))
    body = without_plotly(audit_page(replace(audit, refit=again, cautions=("Beware of it.",)), fit))
    assert "<li>Beware of it.</li>" in body
    assert "drawn again 7 times" in body and "(12.3% to 98.7%)" in body


def test_without_texts_no_answer_is_quoted(audit, fit):
    body = without_plotly(audit_page(audit, fit, texts=False))
    assert "A telling pair" not in body and "<blockquote" not in body
    assert "<blockquote" in without_plotly(audit_page(audit, fit))


def test_many_groups_with_long_names_do_not_make_it_too_large(audit, fit):
    """Twenty attributes of 300 groups each, with names of 10,000 characters."""
    group = audit.groups[0]
    groups = tuple(
        replace(group, attribute=f"{i} {'y' * 10_000}", value=f"{j} {'x' * 10_000}")
        for i in range(20)
        for j in range(300)
    )
    page = audit_page(replace(audit, groups=groups), fit)
    assert len(page.encode()) < 8e6 and "200 more rows are in the CSV." in page
