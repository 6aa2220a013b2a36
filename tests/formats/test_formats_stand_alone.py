"""Formats are read and written without torch, gradio or a language model's libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_imports import BLOCK, HEAVY, imported, is_within

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "emdpo/formats").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_module_of_formats_imports_what_is_heavy(path):
    assert not {name for name in imported(path) if any(is_within(name, heavy) for heavy in HEAVY)}


def test_a_run_is_exported_with_torch_and_gradio_blocked(tmp_path):
    code = f"""{BLOCK}
import emdpo
from emdpo.formats.commands import export, import_
found = emdpo.import_rankings("assets/demo/classroom.csv")
pairs = emdpo.export_rankings("checkpoints/demo", {str(tmp_path / "pairs.jsonl")!r}, "trl")
page = emdpo.export_rankings("checkpoints/demo", {str(tmp_path / "two.json")!r}, "llm-comparator")
print(found.rankings.n_rankings, pairs.counts["pairs"], page.counts["prompts"])
"""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == ["72", "8640", "60"], done.stderr
