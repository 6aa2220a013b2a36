"""Which tests share a worker."""

from __future__ import annotations

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give a file's tests to one worker, for they share what they set up, and the browser's too.

    Two browsers starve each other on two cores.
    """
    from xdist.scheduler import LoadFileScheduling

    class OneBrowser(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "browser" if file.startswith("tests/browser/") else file

    return OneBrowser(config, log)
