"""The exported audit: whole, quiet on the network, and deaf to hostile text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from plotly.offline import get_plotlyjs

import emdpo
from emdpo.core.audit import SuppressedGroup
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


@pytest.mark.browser
def test_hostile_text_does_not_run_in_a_browser(hostile, tmp_path):
    """Chromium loads the page: the title is the page's own and all figures are drawn."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here")
    page = tmp_path / "audit.html"
    page.write_text(audit_page(*hostile), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    done = subprocess.run(  # noqa: S603
        [chromium, *flags, "--dump-dom", page.as_uri()], capture_output=True, timeout=90
    )
    dom = done.stdout.decode()
    assert "<title>Preference audit</title>" in dom
    drawn = dom[dom.index("</head>") :]
    assert drawn.count('class="gtitle"') == drawn.count("data-from=")
    assert "<img" not in drawn


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
