"""All methods by name, and those that could not be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emdpo.core.errors import EmdpoError
from emdpo.methods.adapters.policies import (
    AdapterClusterDPO,
    AdapterDPO,
    AdapterEMDPO,
    AdapterMixDPO,
)
from emdpo.methods.cluster_dpo import ClusterDPO
from emdpo.methods.dpo import DPO, Reference
from emdpo.methods.em_dpo import EMDPO, CrossFittedEMDPO
from emdpo.methods.group_dpo import GroupDPO
from emdpo.methods.known_types import KnownTypes
from emdpo.methods.lore import LoRe
from emdpo.methods.maxmin import MaxMinRLHF
from emdpo.methods.mixdpo import MixDPO
from emdpo.methods.pal import PAL
from emdpo.methods.reward_model import RewardModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.methods.base import Method

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        *(Reference, DPO, RewardModel, ClusterDPO, EMDPO, CrossFittedEMDPO),
        *(MaxMinRLHF, PAL, LoRe, MixDPO, GroupDPO, KnownTypes),
    )
}

ADAPTER_METHODS: dict[str, type[Method]] = {
    method.name: method for method in (AdapterDPO, AdapterClusterDPO, AdapterEMDPO, AdapterMixDPO)
}
"""Those on a language model, which take minutes: compared where they are named."""

MISSING = {
    "vpl": "VPL (Poddar et al. 2024, arXiv 2408.10075): its code of a user is made by a trained "
    "attention encoder of pairs, which its equations leave open",
}
"""Methods of the field that are not compared, with the reason."""


def method_named(name: str) -> type[Method]:
    """Return a method; EmdpoError for a name that is none."""
    known = {**METHODS, **ADAPTER_METHODS}
    if name in known:
        return known[name]
    if name in MISSING:
        raise EmdpoError(f"{name} is missing: {MISSING[name]}")
    raise EmdpoError(f"no method {name!r:.60}; known are {', '.join(known)}")


def methods_named(names: Sequence[str | type[Method]]) -> list[type[Method]]:
    """Return methods in the order given, each once; those given as a class as they are."""
    return [method_named(name) if isinstance(name, str) else name for name in dict.fromkeys(names)]
