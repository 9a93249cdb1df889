# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of QEMU's gdbstub under TCG, with raw packets and with gdb itself.

    python3 -m pytest -v tests/gdbstub --qemu FILE [--pc-bios DIR] --work DIR

A test whose docstring ends with "(also unpatched)" is about what QEMU could do before.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common import Bench
from lablib import Children


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("QEMU under test").addoption("--gdb", default="gdb-multiarch")


@pytest.fixture(scope="session", name="bench")
def _bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    children = Children()
    yield Bench(request.config.option, children)
    children.stop_all()
