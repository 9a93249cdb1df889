# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/lab/ci_migration.py: a test of steps that migration never meets fails."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LAB = Path(__file__).resolve().parents[1] / "lab"
sys.path[:0] = [str(LAB), str(LAB / "payload")]

import ci_migration                                             # noqa: E402
from ci_migration import XCPU                                   # noqa: E402
from rsp import Stop                                            # noqa: E402

CALL, BEGIN = 0x400020, 0x400000


class MadeUp:
    """A vCPU whose steps end by the signals that it is given."""

    def __init__(self, signals: Callable[[int], int]) -> None:
        self.signals = signals
        self.steps = 0
        self.pc = CALL

    def resume(self, packet: str) -> None:
        assert packet == "vCont;s:p1.1"

    def wait(self, _: float) -> Stop:
        self.steps += 1
        signal = self.signals(self.steps)
        self.pc = CALL + 4 * (signal == 5)
        return Stop("T", signal, "01", raw=f"T{signal:02x}")

    def text(self, packet: str, _: float) -> str:
        """Between the stop that migration makes and its end."""
        assert packet == "vCont;s:p1.1"
        return "E22"

    def step(self) -> None:
        self.pc += 4

    def read(self, _: list[str]) -> dict[str, int]:
        return {"pc": self.pc}

    def write(self, name: str, value: int) -> None:
        assert name == "pc"
        self.pc = value


@pytest.mark.parametrize("what, signals, fails", [
    ("the first step", lambda n: XCPU, ""),
    ("the third step", lambda n: XCPU if n == 3 else 5, ""),
    ("none", lambda n: 5, "times"),
    ("another signal", lambda n: 2, "signal"),
])
def test_within(monkeypatch: pytest.MonkeyPatch, what: str, signals: Callable[[int], int],
                fails: str) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(ci_migration, "time", SimpleNamespace(
        sleep=lambda _: None, monotonic=lambda: next(clock)))
    image = SimpleNamespace(symbols={"call": CALL, "begin": BEGIN})
    shell = SimpleNamespace(check=lambda _: None)
    guest: Any = SimpleNamespace(lab=SimpleNamespace(shell=shell))

    @contextlib.contextmanager
    def source(*_: object) -> Iterator[tuple[Any, MadeUp, Any]]:
        yield guest, MadeUp(signals), image

    @contextlib.contextmanager
    def destination(*_: object) -> Iterator[MadeUp]:
        yield MadeUp(signals)

    monkeypatch.setattr(ci_migration, "source", source)
    monkeypatch.setattr(ci_migration, "destination", destination)
    monkeypatch.setattr(ci_migration, "wait_migrated", lambda _: None)
    monkeypatch.setattr(ci_migration, "check_clean", lambda _: None)
    bench: Any = SimpleNamespace(options=SimpleNamespace(full=False), notes=[])
    with pytest.raises(AssertionError, match=fails) if fails else contextlib.nullcontext():
        ci_migration.migrate_in_step(bench)
