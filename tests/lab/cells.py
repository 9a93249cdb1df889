# SPDX-License-Identifier: GPL-2.0-or-later
"""The cells of all architectures."""

from __future__ import annotations

import stream
import stream_arm64
import stream_loongarch64
from generator import AnyCell
from lablib import ARM64, LOONG64, PPC64
from rules import Rules
from rules_arm64 import Arm64
from rules_loongarch64 import LoongArch
from rules_ppc64 import Ppc64

# By the architecture's name
RULES: dict[str, Rules] = {PPC64.name: Ppc64(), ARM64.name: Arm64(),
                           LOONG64.name: LoongArch()}
ALL_CELLS: dict[str, list[AnyCell]] = {PPC64.name: [*stream.ALL_CELLS],
                                       ARM64.name: [*stream_arm64.ALL_CELLS],
                                       LOONG64.name: [*stream_loongarch64.ALL_CELLS]}


def parse_cell(name: str) -> AnyCell:
    """Raises ValueError if there is none of that name."""
    for kind in (stream_arm64.Cell, stream_loongarch64.Cell):
        if kind.NAME.fullmatch(name):
            return kind.parse(name)
    return stream.Cell.parse(name)
