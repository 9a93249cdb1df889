# SPDX-License-Identifier: GPL-2.0-or-later
"""The cells of all architectures."""

from __future__ import annotations

import stream
from generator import AnyCell
from lablib import PPC64
from rules import Rules
from rules_ppc64 import Ppc64

# By the architecture's name
RULES: dict[str, Rules] = {PPC64.name: Ppc64()}
ALL_CELLS: dict[str, list[AnyCell]] = {PPC64.name: [*stream.ALL_CELLS]}


def parse_cell(name: str) -> AnyCell:
    """Raises ValueError if there is none of that name."""
    return stream.Cell.parse(name)
