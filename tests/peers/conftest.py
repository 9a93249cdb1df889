# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's and gdb's own tests.  README.md says how they are run, and which."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import Runner


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("QEMU under test").addoption
    add("--gdb", default="gdb-multiarch")
    add("--testsuite", type=Path, metavar="DIR", help="gdb/testsuite of gdb's source")
    add("--tree", type=Path, metavar="DIR", help="QEMU's source")
    add("--build", type=Path, metavar="DIR", help="QEMU's build, made from it")


def pytest_configure(config: pytest.Config) -> None:
    for name in ("testsuite", "tree", "build", "qemu", "pc_bios"):
        if path := getattr(config.option, name):
            setattr(config.option, name, path.resolve())
    if "system" in str(config.option.work):
        raise pytest.UsageError("run-test.py takes every path with `system` in it for a "
                                "system emulator")


@pytest.fixture(scope="session", name="runner")
def _runner(request: pytest.FixtureRequest) -> Runner:
    return Runner(request.config.option)
