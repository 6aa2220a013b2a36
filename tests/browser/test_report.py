"""The exported report as a reader opens it: from disk, without a network, by eye, key and ear."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytestmark = pytest.mark.browser

pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

import emdpo  # noqa: E402
from emdpo.demo import demo_file  # noqa: E402
from emdpo.report import audit_page  # noqa: E402

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>{{7*7}}${x}"
    "$\\href{javascript:alert(1)}{x}$\u202eesrever"
)
LONG = "x" * 10_000


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the path of a report of the demo."""
    fit = emdpo.fit(emdpo.load(demo_file()), 3, restarts=1)
    return written(emdpo.audit(fit, n_bootstrap=50), fit, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return the path of a report in which every text of the data is hostile, or very long."""
    fit = emdpo.fit(emdpo.load(demo_file("classroom.csv")), 2, restarts=1)
    users = fit.rankings.users
    values = [HOSTILE if n % 2 else LONG for n in range(len(users))]
    rankings = replace(
        fit.rankings,
        users=users.assign(**{HOSTILE: values, LONG: values[::-1]}),
        prompts=fit.rankings.prompts.assign(prompt=HOSTILE),
        candidates=fit.rankings.candidates.assign(response=HOSTILE),
    )
    bad = replace(fit, rankings=rankings, warnings=(HOSTILE, LONG))
    audit = emdpo.audit(bad, n_bootstrap=20)
    audit = replace(audit, cautions=(HOSTILE, LONG))
    return written(audit, bad, tmp_path_factory.mktemp("hostile"))


def written(audit, fit, folder):
    path = folder / "report.html"
    path.write_text(audit_page(audit, fit), "utf-8")
    assert path.stat().st_size < 8e6
    return path


@pytest.fixture
def open_page(browser):
    """Return a function that opens a file offline; any request, dialog or complaint fails."""
    complaints: list[str] = []
    contexts = []

    def open_offline(path, width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda r: None if r.url == path.as_uri() else complaints.append(r.url))
        page.goto(path.as_uri())
        page.wait_for_function(
            "document.querySelectorAll('.figure .main-svg .gtitle').length === "
            "document.querySelectorAll('.figure').length"
        )
        return page

    yield open_offline
    for context in contexts:
        context.close()
    assert [each for each in complaints if not each.startswith(("data:", "blob:"))] == []


def open_all(page):
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


def violations(page, *rules):
    options = {"runOnly": {"type": "rule", "values": rules}} if rules else None
    context = {"exclude": [".main-svg"]}  # pictures: `test_text_of_figures` looks at these
    found = axe.Axe().run(page, context, options).response["violations"]
    return [(each["id"], node["html"][:200]) for each in found for node in each["nodes"]]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_axe_finds_nothing_to_complain_of(open_page, report, width, scheme):
    """Contrast (AA), names, landmarks, order of headings, focus: also in what opens on a click."""
    page = open_page(report, width, scheme)
    open_all(page)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_axe_would_complain(open_page, report):
    """Of pale text, a heading out of order and a table that keys cannot scroll."""
    page = open_page(report, 400)
    page.evaluate(
        """() => {
          document.querySelector("h2").outerHTML = "<h4>Out of order</h4>";
          document.documentElement.style.setProperty("--soft", "#bbbbbb");
          for (const place of document.querySelectorAll(".scroll")) {
            place.removeAttribute("tabindex");
          }
        }"""
    )
    open_all(page)
    rules = ("color-contrast", "heading-order", "scrollable-region-focusable")
    assert {name for name, _ in violations(page, *rules)} == set(rules)


def test_text_of_figures_follows_the_page(open_page, report):
    """Axe leaves pictures out: every title and tick has the ink of the page, light and dark."""
    page = open_page(report)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours = page.evaluate(
            """() => [...document.querySelectorAll(
              ".figure :is(.gtitle, .xtitle, .ytitle, .legendtext, .xtick text, .ytick text)"
            )].map((each) => getComputedStyle(each).fill)"""
        )
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert len(colours) > 50 and set(colours) == {ink}


def test_keys_reach_everything(open_page, report):
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the findings"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")
    page.keyboard.press("Tab")
    focused = "document.activeElement"
    assert page.evaluate(f"{focused}.getAttribute('role')") == "region"
    assert "regret of each type" in page.evaluate(f"{focused}.getAttribute('aria-label')")


def test_links_of_the_contents_lead_to_sections(open_page, report):
    page = open_page(report)
    targets = page.evaluate(
        "[...document.querySelectorAll('nav a')].map((link) => link.getAttribute('href'))"
    )
    assert "#datasheet" in targets and "#methods" in targets
    assert all(page.locator(f"h2{target}").count() == 1 for target in targets)


def test_on_paper_everything_is_open_and_fits(open_page, report):
    page = open_page(report, 718)  # A4 less its margins, in CSS pixels
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(500)
    assert page.evaluate("[...document.querySelectorAll('details')].every((part) => part.open)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert page.locator("nav").is_hidden()


def test_hostile_text_is_shown_and_never_run(open_page, hostile):
    page = open_page(hostile, 400)
    open_all(page)
    assert page.title() == "Preference audit"
    strange = "img, iframe, mjx-container, .katex, [onerror], a:not([href^='#']), svg a"
    assert page.locator(strange).count() == 0
    text = page.locator("main").inner_text()
    assert "<img src=x onerror=alert(1)>{{7*7}}${x}" in text and "\u202e" not in text
    assert LONG not in page.content() and "(10,000 characters)" in text
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
