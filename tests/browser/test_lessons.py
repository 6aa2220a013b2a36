"""The steps of every lesson are followed on the real page, word for word.

docs/lessons/README.md lists the sentences that are understood.
"""

from __future__ import annotations

import re

import pytest

from emdpo.learn.lessons import LESSONS, MARK, lesson_file

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

VERBS = ("Open", "Press", "Set", "Choose", "Type", "Read")


def steps(number):
    """Return the numbered steps of a lesson in order, each as one line."""
    text = lesson_file(number).read_text("utf-8")
    found = re.findall(r"^\d+\. (.+(?:\n   .+)*)", text, re.M)
    return [" ".join(step.split()) for step in found]


def orders(step):
    """Return the sentences of a step that begin with a verb, whole quotations included."""
    verbs = "|".join(VERBS)
    return re.findall(rf'(?:^|(?<=[.:]\s))((?:{verbs})\b(?:"[^"]*"|[^".]|\.(?=\w))*)', step)


def named(order):
    return re.findall(r"\*\*(.+?)\*\*", order)


def typed(order):
    return re.findall(r"`(.+?)`", order)


class Visitor:
    """Somebody who does what a lesson says."""

    def __init__(self, page):
        self.page = page

    def follow(self, order):
        getattr(self, re.match(r"\w+", order)[0].lower())(order)

    def seen(self, *locators):
        """Return the first visible element of several kinds."""
        both = locators[0]
        for other in locators[1:]:
            both = both.or_(other)
        return both.locator("visible=true").first

    def open(self, order):
        for name in named(order):
            exact = {"name": name, "exact": True}
            self.seen(
                self.page.get_by_role("tab", **exact),
                self.page.get_by_role("link", **exact),
                self.page.get_by_role("button", name=name),
                self.page.locator("summary", has_text=name),
            ).click()

    def press(self, order):
        for _ in range(int(*typed(order) or "1")):
            for name in named(order):
                button = self.seen(self.page.get_by_role("button", name=name, exact=True))
                expect(button).to_be_enabled()
                button.click()

    def set(self, order):
        label, value = named(order)[0], typed(order)[0]
        slider = self.page.get_by_label(f"number input for {label}", exact=True)
        field = self.seen(slider, self.page.get_by_label(label, exact=True))
        field.fill(value)
        field.press("Enter")

    def choose(self, order):
        option, *menu = named(order)
        if not menu:
            self.seen(self.page.get_by_label(option, exact=True)).check()
            return
        self.seen(self.page.get_by_label(menu[0], exact=True)).click()
        self.page.get_by_role("option", name=option).click()

    def type(self, order):
        row, column = named(order)
        table = self.page.locator(".table-wrap:visible, table:visible").first
        headers = [text.strip() for text in table.get_by_role("columnheader").all_inner_texts()]
        place = next(i for i, text in enumerate(headers) if text.split("\n")[0] == column)
        cells = table.get_by_role("row").filter(has_text=row).get_by_role("gridcell")
        cells.nth(place).dblclick()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(typed(order)[0])
        self.page.keyboard.press("Enter")

    def read(self, order):
        for quoted in re.findall(r'"([^"]+)"', order):
            text = MARK.sub("", quoted).replace("**", "")
            expect(self.page.locator("body")).to_contain_text(
                text, use_inner_text=True, timeout=60_000
            )


@pytest.mark.parametrize("number", LESSONS)
def test_every_step_of_a_lesson_can_be_done_and_shows_what_it_says(shared_page, address, number):
    """Every lesson begins by opening Learn, which loads the page anew."""
    if shared_page.url == "about:blank":
        shared_page.goto(address)
    visitor = Visitor(shared_page)
    assert len(steps(number)) >= 8
    for step in steps(number):
        assert orders(step), step
        for order in orders(step):
            visitor.follow(order)
