"""How figures find their size."""

from __future__ import annotations

FIT_FIGURES = """() => {
    for (const delay of [50, 600]) {
        setTimeout(() => window.dispatchEvent(new Event("resize")), delay);
    }
}"""
"""Figures drawn while their tab was hidden, or drawn anew, take the size of their place."""
