"""Which base models a server may be asked to load.

On a public Space a stranger must not make the server load a folder or fetch a model of their own
choosing: there it is the embedded one, or one of the owner's list.
"""

from __future__ import annotations

import os

from emdpo.core.errors import EmdpoError
from emdpo.settings import EMBEDDED

SPACE, MODELS = "SPACE_ID", "EMDPO_MODELS"
"""Environment variables: set on every Hugging Face Space; ids or folders, with commas between."""


def is_public() -> bool:
    """Return whether strangers use this server."""
    return bool(os.environ.get(SPACE))


def models_on_offer() -> list[str]:
    """Return the base models that anybody may use here."""
    listed = (name.strip() for name in os.environ.get(MODELS, "").split(","))
    return list(dict.fromkeys([EMBEDDED, *filter(None, listed)]))


def check_base_model(name: str | None, *, from_file: bool = False) -> None:
    """Raise EmdpoError where this server may not load a base model.

    Parameters
    ----------
    name
        As asked for; None = none.
    from_file
        Whether a file that was brought here names it, which may be anybody's even on a laptop.
    """
    if name is None or name in models_on_offer() or not (from_file or is_public()):
        return
    offered = ", ".join(models_on_offer())
    if from_file:
        raise EmdpoError(
            f"this run came as a file and names the base model {name!r:.60}: here such runs "
            f"answer on {offered} only; use emdpo chat, or list it in {MODELS}"
        )
    raise EmdpoError(f"the base model here is {offered}; {name!r:.60} needs a copy of your own")
