"""The way into a room: whose address it has, and the picture of it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from emdpo.core.errors import EmdpoError
from emdpo.ui.collect.links import checked_site, is_only_here, qr_svg, room_link, site_of


def asked_from(**headers):
    return SimpleNamespace(headers=headers)


@pytest.mark.parametrize(
    ("page", "site"),
    [
        ("http://192.168.1.20:7860/collect", "http://192.168.1.20:7860"),
        ("https://somebody-space.hf.space/collect?__theme=dark", "https://somebody-space.hf.space"),
        ("https://example.org/tools/emdpo/collect/", "https://example.org/tools/emdpo"),
        ("https://example.org/", "https://example.org"),
    ],
)
def test_the_site_is_where_the_browser_says_that_the_page_came_from(page, site):
    """Also behind proxies, whose inner host is another."""
    assert site_of(asked_from(referer=page, host="10.0.0.1:80")) == site


def test_without_that_the_site_is_the_host_asked():
    assert site_of(asked_from(host="127.0.0.1:7860")) == "http://127.0.0.1:7860"


def test_an_address_that_is_typed_loses_its_slash():
    assert checked_site(" https://example.org/emdpo/ ") == "https://example.org/emdpo"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "example.org",
        "javascript:alert(1)",
        "http://",
        "http://a b",
        "http://x/?q",
        "http://x/#y",
    ]
    + ['http://x/"onload="', "http://x:0", "http://x:y", "http://[", "http://" + "x" * 300],
)
def test_what_is_no_address_of_a_site_is_refused(address):
    with pytest.raises(EmdpoError, match="address"):
        checked_site(address)


@pytest.mark.parametrize(
    ("site", "only_here"),
    [
        ("http://localhost:7860", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:7860", True),
        ("http://0.0.0.0:7860", True),
        ("http://192.168.1.20:7860", False),
        ("https://example.org", False),
    ],
)
def test_addresses_that_no_phone_can_reach_are_known(site, only_here):
    assert is_only_here(site) is only_here


def test_the_picture_has_the_size_and_margin_that_the_standard_asks_for():
    """ISO 18004: version 3 at level Q holds 32 bytes, version 4 holds 46; version v has 17 + 4 v
    modules a side, and four more on every side are left white.
    """
    for path, side in (("ab", 17 + 4 * 3 + 8), ("abcdefghij", 17 + 4 * 4 + 8)):
        link = room_link(f"https://example.org/{path}", "AB23")
        assert (len(link) <= 32) is (path == "ab")
        box = re.search(r'viewBox="0 0 (\d+) (\d+)"', qr_svg(link))
        assert [int(number) / 4 for number in box.groups()] == [side, side]
