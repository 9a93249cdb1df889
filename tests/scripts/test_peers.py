# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/peers/run-qemu-tests: how many tries of a flaky test have to pass."""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[1] / "peers" / "run-qemu-tests"
PASSED = (0, "Ran 1 test in 2 s\n\nOK\n")
HUNG = (-9, "no end in time")
WRONG = (1, "INFO: Invalid PC (read 100 instead of 104)\nAssertionError: Reverse stepping failed!")


def tried(tmp_path: Path, results: Callable[[int], tuple[int, str]]) -> tuple[int, int, int]:
    """Tests passed and failed, and how many tries it took."""
    loader = importlib.machinery.SourceFileLoader("run_qemu_tests", str(FILE))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    peers = module.Peers(argparse.Namespace(work=tmp_path, only=""))
    tries = []

    def run(*_: object) -> tuple[int, str]:
        tries.append(0)
        return results(len(tries))

    peers.run = run
    peers.reverse("reverse", "test", {})
    return peers.passed, peers.failed, len(tries)


@pytest.mark.parametrize("name, results, wanted", [
    ("all pass", lambda n: PASSED, (1, 0, 5)),
    ("every other one hangs", lambda n: PASSED if n % 2 else HUNG, (1, 0, 9)),
    ("one of 20 passes", lambda n: PASSED if n == 20 else HUNG, (0, 1, 16)),
    ("the first one of 20 passes", lambda n: PASSED if n == 1 else HUNG, (0, 1, 17)),
    ("none passes", lambda n: HUNG, (0, 1, 16)),
    ("a wrong address, then all pass", lambda n: WRONG if n == 3 else PASSED, (0, 1, 3)),
])
def test_tries(tmp_path: Path, name: str, results: Callable[[int], tuple[int, str]],
               wanted: tuple[int, int, int]) -> None:
    assert tried(tmp_path, results) == wanted, name
