# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/peers/peers_qemu.py: how many tries of a flaky test have to pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

from peers_qemu import tried                                    # noqa: E402

PASSED = (0, "Ran 1 test in 2 s\n\nOK\n")
HUNG = (-9, "no end in time")
WRONG = (1, "INFO: Invalid PC (read 100 instead of 104)\nAssertionError: Reverse stepping failed!")


@pytest.mark.parametrize("name, results, passes, wanted", [
    ("all pass", lambda n: PASSED, True, 5),
    ("every other one hangs", lambda n: PASSED if n % 2 else HUNG, True, 9),
    ("one of 20 passes", lambda n: PASSED if n == 20 else HUNG, False, 16),
    ("the first one of 20 passes", lambda n: PASSED if n == 1 else HUNG, False, 17),
    ("none passes", lambda n: HUNG, False, 16),
    ("a wrong address, then all pass", lambda n: WRONG if n == 3 else PASSED, False, 3),
])
def test_tries(name: str, results: Callable[[int], tuple[int, str]], passes: bool,
               wanted: int) -> None:
    tries = []

    def run() -> tuple[int, str]:
        tries.append(0)
        return results(len(tries))

    try:
        tried(run)
        passed = True
    except AssertionError:
        passed = False
    assert (passed, len(tries)) == (passes, wanted), name
