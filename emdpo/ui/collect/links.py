"""The way into a room: its address, as text and as a picture for phones."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import gradio as gr
import segno

from emdpo.collect.routes import MOUNTED_AT
from emdpo.core.errors import EmdpoError

HERE = "collect"
"""Last part of this page's own address."""

LONGEST_ADDRESS = 300


def site_of(request: gr.Request) -> str:
    """Return the address of the whole site as the visitor's browser knows it, without a slash.

    Proxies may change every other header; the browser itself says where the page came from.
    """
    page = urlsplit(request.headers.get("referer", ""))
    path = page.path.rstrip("/").removesuffix(f"/{HERE}")
    host = page.netloc or request.headers.get("host", "")
    return f"{page.scheme or 'http'}://{host}{path}".rstrip("/")


def checked_site(address: str) -> str:
    """Return an address that somebody typed, without a slash; EmdpoError where it is none."""
    address = address.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or any(sign in address for sign in " \"'<>\\"):
        raise EmdpoError("an address looks like http://192.168.1.20:7860 or https://example.org")
    if len(address) > LONGEST_ADDRESS:
        raise EmdpoError(f"an address has at most {LONGEST_ADDRESS} characters")
    return address


def is_only_here(site: str) -> bool:
    """Return whether no other device can reach an address.

    >>> is_only_here("http://127.0.0.1:7860"), is_only_here("http://192.168.1.20:7860")
    (True, False)
    """
    host = urlsplit(site).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def room_link(site: str, code: str) -> str:
    """Return the address at which people take part.

    >>> room_link("https://example.org/emdpo", "AB2CD3")
    'https://example.org/emdpo/join/AB2CD3'
    """
    return f"{site}{MOUNTED_AT}/{code}"


def qr_svg(link: str) -> str:
    """Return an address as a QR picture, black on white whatever the page's colours.

    A quarter of it may be covered or badly lit.
    """
    picture = segno.make(link, error="q", micro=False)
    return picture.svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True)
