"""The strip on top: where the work is done, on what, and which run is looked at."""

from __future__ import annotations

from emdpo.core.errors import RunError
from emdpo.ui.device import device_text
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.markup import pill, shortened, text
from emdpo.ui.workplace import Workplace

LONGEST_PATH = 40


def strip_html(place: Workplace, data_id: str, run_id: str) -> str:
    """Return device, base model, current data and current run."""
    run = status_or_none(place, run_id)
    shown, model = "none yet", None
    if run is not None:
        model = run.config.get("base_model")
        types = text(run.config.get("n_types", "?"))
        shown = f"{types} types of {shortened(run.name, 40)} {pill(run.state)}"
    items = {
        "Device": text(device_text()),
        "Base model": "none needed (log-linear)" if model is None else _end_of(str(model)),
        "Data": shortened(_data_name(place, data_id), 60),
        "Run": shown,
    }
    cells = (f"<div><span>{name}</span>{value}</div>" for name, value in items.items())
    return f'<div class="strip">{"".join(cells)}</div>'


def _end_of(path: str) -> str:
    """Return a folder or id whose end is kept: there it differs from others."""
    return text(path if len(path) <= LONGEST_PATH else f"…{path[-LONGEST_PATH:]}")


def _data_name(place: Workplace, data_id: str) -> str:
    try:
        return place.data(data_id).name if data_id else "none yet"
    except RunError:
        return "none yet"
