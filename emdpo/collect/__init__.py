"""Collect: rooms in which a class, a lab or a crowd gives rankings; no gradio and no torch here."""
