"""Which tests share a worker."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items):
    """Tests of one file share what they set up; on two cores, two browsers starve each other."""
    for item in items:
        browser = item.get_closest_marker("browser") is not None
        group = "browser" if browser else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
