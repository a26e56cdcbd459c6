# SPDX-License-Identifier: Apache-2.0
"""The task families, the five of the model card first."""
from __future__ import annotations

from ..entities import Entities
from . import contacts, countries, emotion, extraction, hate, numbers, sentences, words
from .base import Family, Phrasing, Row

CARD = ("emotion", "currency", "hate", "entities", "csv")


def load(data: Entities) -> list[Family]:
    modules = (emotion, countries, hate, extraction, contacts, sentences, words, numbers)
    found = [family for module in modules for family in module.families(data)]
    return sorted(found, key=lambda f: CARD.index(f.name) if f.name in CARD else len(CARD))


__all__ = ["CARD", "Family", "Phrasing", "Row", "load"]
