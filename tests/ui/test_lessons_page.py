"""What the tab of lessons shows."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

import gradio as gr

from emdpo.core.errors import EmdpoError
from emdpo.learn import lessons as texts
from emdpo.ui.learn import lessons


class Asked:
    def __init__(self, **query):
        self.query_params = query


@pytest.mark.parametrize("name", texts.LESSONS)
def test_a_lesson_is_shown_without_marks_and_with_links_that_the_page_knows(name):
    shown = lessons.told(name)
    assert "<!--" not in shown and ".md)" not in shown
    assert f'href="?figure={texts.LESSONS[name][1]}"' in shown
    assert "(?lesson=glossary)" in shown
    assert shown.count("<details>") == shown.count("</details>") >= 6


def test_the_glossary_is_shown_as_it_is():
    assert lessons.told("glossary").startswith("# Glossary")


def test_the_address_names_a_lesson():
    assert lessons._asked_for(Asked(lesson="1")) == "1"
    assert lessons._asked_for(Asked(lesson="../../etc")) == gr.skip()
    assert lessons._asked_for(Asked()) == gr.skip()


def test_a_name_that_is_no_lesson_is_refused():
    with pytest.raises(EmdpoError, match="lesson must be one of"):
        texts.lesson_file("../glossary")


def test_an_installation_without_lessons_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(texts, "__file__", str(tmp_path / "a" / "b" / "lessons.py"))
    monkeypatch.setattr(texts.sys, "prefix", str(tmp_path))
    with pytest.raises(EmdpoError, match="not installed"):
        texts.lesson_file("1")
    with gr.Blocks() as app:
        lessons.build(app)
    assert [block.value for block in app.blocks.values()] == [lessons.NOT_INSTALLED]


def test_an_installed_package_finds_them_beside_the_demo(monkeypatch, tmp_path):
    folder = tmp_path / "share" / "emdpo" / "lessons"
    folder.mkdir(parents=True)
    (folder / texts.LESSONS["1"][0]).write_text("# Lesson 1: here")
    monkeypatch.setattr(texts, "__file__", str(tmp_path / "a" / "b" / "lessons.py"))
    monkeypatch.setattr(texts.sys, "prefix", str(tmp_path))
    assert texts.lesson_title("1") == "Lesson 1: here"
