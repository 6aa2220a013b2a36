"""What the work is done on, in words."""

from __future__ import annotations

import os
import shutil
from functools import cache


@cache
def device_text() -> str:
    """Return the GPU that adapters are trained on, or the number of CPU cores."""
    cores = os.cpu_count() or 1
    return _gpu() or f"CPU, {cores} core{'s' * (cores != 1)}"


def _gpu() -> str | None:
    """Return the GPU's name; torch takes seconds to import, and is asked only where one can be."""
    if shutil.which("nvidia-smi") is None:
        return None
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
