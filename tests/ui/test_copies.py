"""Copies for downloads: they outlive neither their server nor, if it is killed, the next start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from emdpo import locks
from emdpo.ui import app
from emdpo.ui.copies import Copies
from emdpo.ui.workplace import Workplace

KILLED = """
import os, sys
from pathlib import Path
from emdpo.ui.copies import Copies

(Copies(Path(sys.argv[1])).folder / "rankings.csv").write_text("own words")
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(locks.fcntl is None, reason="no locks on this platform")
def test_what_a_killed_server_leaves_goes_when_another_begins(tmp_path):
    alive = Copies(tmp_path)
    (alive.folder / "of somebody else.csv").touch()
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)  # noqa: S603
    assert len(list(tmp_path.rglob("*.csv"))) == 2
    after = Copies(tmp_path)
    assert [path.parent for path in tmp_path.rglob("*.csv")] == [alive.folder]
    after.close()
    alive.close()
    assert list((tmp_path / "copies").iterdir()) == []


def test_all_copies_of_a_server_are_in_its_folder_and_go_with_it(tmp_path, monkeypatch):
    place = Workplace(tmp_path)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    monkeypatch.setattr(app, "Workplace", lambda: place)
    monkeypatch.setattr(app.atexit, "register", lambda _: None)
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    caches = []
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **_: caches.append(self.GRADIO_CACHE))
    app.launch()
    folders = [*map(Path, caches), place.room_downloads(), place.talk_downloads("a talk")]
    assert [place.copies in folder.parents for folder in folders] == [True] * 3
    place.close()
    assert list((tmp_path / "copies").iterdir()) == []
