"""Rankings with planted types, fitted with a trainer that trains nothing."""

from __future__ import annotations

import pytest
from panels import planted
from trainers import ADAPTERS, QUICK, ByHand, install

import emdpo


@pytest.fixture(scope="session")
def rankings():
    return planted()


@pytest.fixture(scope="session")
def loglinear(rankings):
    return emdpo.fit(rankings, 3, **QUICK)


@pytest.fixture(scope="session")
def fit(rankings):
    with pytest.MonkeyPatch.context() as patch:
        install(patch, ByHand())
        return emdpo.fit(rankings, 3, **ADAPTERS)


@pytest.fixture
def by_hand(monkeypatch):
    trainer = ByHand()
    install(monkeypatch, trainer)
    return trainer
