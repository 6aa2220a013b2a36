"""Every word of the glossary is explained shortly and leads to what computes it."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

TEXT = (Path(__file__).parent.parent / "docs" / "glossary.md").read_text("utf-8")
ENTRIES = re.findall(r"^\*\*(.+?)\*\*([^*]*?)(?=\n\n|\Z)", TEXT, re.M | re.S)
POINTER = re.compile(r"`(emdpo[\w.]*)`")


def resolved(pointer):
    module, _, rest = pointer.partition(".")
    return resolve_name(f"{module}.{rest}")


@pytest.mark.parametrize("pointer", sorted(set(POINTER.findall(TEXT))))
def test_a_pointer_leads_to_a_documented_function_or_class(pointer):
    target = resolved(pointer)
    assert callable(target) and target.__doc__


def test_every_entry_has_a_pointer_and_one_or_two_sentences():
    assert len(ENTRIES) >= 35
    for word, told in ENTRIES:
        assert POINTER.search(told), word
        sentences = re.findall(r"[.:](?=\s|$)", POINTER.sub("x", told))
        assert len(sentences) <= 4, (word, told)


def test_a_wrong_pointer_is_seen():
    with pytest.raises(AttributeError):
        resolved("emdpo.core.em.no_such_step")


def test_words_stand_once():
    words = [word for word, _ in ENTRIES]
    assert len(words) == len(set(words))
