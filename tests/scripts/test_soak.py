# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/lab/soak.py: what its checks of a step let pass, on a debugger that is made up."""

from __future__ import annotations

import collections
import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest

LAB = Path(__file__).resolve().parents[1] / "lab"
sys.path[:0] = [str(LAB), str(LAB / "payload")]

from linuxguest import Arm64Linux, Linux, Ppc64Linux            # noqa: E402
from rsp import Stop                                            # noqa: E402
from soak import Session                                        # noqa: E402

ARM64, PPC64 = (kind(Path("none"), "") for kind in (Arm64Linux, Ppc64Linux))
ARM64.vectors = {0xffff800080010800 & ~0x7ff}
VECTORS, = ARM64.vectors
AT = 0xffff800080200000
MSR, PROBLEM = 1 << 63 | 1, 1 << 63 | 1 << 14 | 1
NOP, SELF, BRANCH, SET, WFI = 0xd503201f, 0x14000000, 0x14000004, 0x19c10440, 0xd503207f
ERET = 0xd69f03e0
PPC_NOP, CEDE, SC, RFID, LWARX = 0x60000000, 0x44000022, 0x44000002, 0x4c000024, 0x7c001828
SE, EE = 1 << 10, 1 << 15


class MadeUp:
    """Two vCPUs, each with registers; what a step of both makes of them."""

    def __init__(self, regs: dict[int, dict[str, int]], words: dict[int, int]) -> None:
        self.regs, self.words = regs, words
        self.thread = 1
        self.after: dict[int, int] = {}
        self.also: dict[str, int] = {}          # other registers of both
        self.first = 1

    def select(self, name: str) -> None:
        self.thread = int(name)

    def read(self, names: tuple[str, ...]) -> dict[str, int]:
        return {name: self.regs[self.thread].get(name, 0) for name in names}

    def read_memory(self, address: int, length: int) -> bytes:
        return self.words.get(address, 0).to_bytes(length, "little")

    def resume(self, packet: str) -> None:
        assert packet in ("vCont;s:1;s:2", "vCont;s:1")
        for thread, pc in self.after.items():
            self.regs[thread] |= self.also | {"pc": pc}

    def wait(self, _: float) -> Stop:
        return Stop("T", 5, f"{self.first:02x}", raw=f"T05thread:{self.first:02x};")


def session(arch: Linux, words: dict[int, int], cpsr: int = 5, msr: int = MSR) -> Any:
    made: Any = object.__new__(Session)
    made.gdb = MadeUp({thread: {"pc": AT, "cpsr": cpsr, "msr": msr} for thread in (1, 2)},
                      words)
    made.arch, made.threads = arch, {1: "1", 2: "2"}
    made.counts, made.slowest = collections.Counter(), 0.0
    return made


def fails(what: str) -> contextlib.AbstractContextManager[object]:
    return pytest.raises(AssertionError, match=what)


@pytest.mark.parametrize("arch, word, msr, to, wrong", [
    (ARM64, NOP, 0, AT + 4, ""),
    (ARM64, NOP, 0, AT + 8, "->"),
    (ARM64, NOP, 0, AT, "not moved"),
    (ARM64, WFI, 0, AT, "not moved"),
    (ARM64, SELF, 0, AT, ""),
    (ARM64, BRANCH, 0, AT + 16, ""),
    (ARM64, BRANCH, 0, AT, "not moved"),
    (ARM64, SET, 0, AT, ""),
    (ARM64, NOP, 0, VECTORS + 0x200, ""),
    (ARM64, NOP, 0, VECTORS + 0x280, "NOIRQ"),
    (ARM64, NOP, 0, VECTORS + 0x480, "NOIRQ"),
    (ARM64, ERET, 0, AT + 400, ""),
    (ARM64, ERET, 0, VECTORS + 0x480, "NOIRQ"),
    (PPC64, PPC_NOP, MSR, AT + 4, ""),
    (PPC64, PPC_NOP, MSR, AT, "not moved"),
    (PPC64, CEDE, MSR, AT, ""),
    (PPC64, PPC_NOP, MSR, 0xc000000000004900, "NOIRQ"),
    (PPC64, PPC_NOP, PROBLEM, 0xc000000000004500, "NOIRQ"),
    (PPC64, PPC_NOP, MSR, 0xc000000000004f00, "NOIRQ"),
    (PPC64, PPC_NOP, PROBLEM, 0xc000000000004f00, ""),
    (PPC64, PPC_NOP, MSR, 0xc000000000004300, ""),
    (PPC64, SC, MSR, 0xc000000000004c00, ""),
    (PPC64, SC, MSR, 0xc000000000004900, "NOIRQ"),
    (PPC64, RFID, MSR, AT + 400, ""),
    (PPC64, RFID, MSR, AT, "not moved"),
    (PPC64, RFID, MSR, 0xc000000000004500, "NOIRQ"),
    (PPC64, LWARX, MSR, 0xc000000000004a00, "NOIRQ"),
])
def test_step(arch: Linux, word: int, msr: int, to: int, wrong: str) -> None:
    made = session(arch, {AT: word}, msr=msr)
    made.gdb.after = {1: to}
    with fails(wrong) if wrong else contextlib.nullcontext():
        made.step(1, others=False)


@pytest.mark.parametrize("word, to, before, after, wrong", [
    (PPC_NOP, AT + 4, MSR | EE, {"msr": MSR | EE}, ""),
    (PPC_NOP, AT + 4, MSR | EE, {"msr": MSR}, "then MSR"),
    (PPC_NOP, AT + 4, MSR, {"msr": MSR | SE}, "then MSR"),
    (PPC_NOP, 0xc000000000004300, MSR | EE, {"msr": MSR, "srr1": MSR | EE}, ""),
    (PPC_NOP, 0xc000000000004300, MSR | EE, {"msr": MSR, "srr1": MSR}, "then SRR1"),
    (PPC_NOP, 0xc000000000004300, MSR, {"msr": MSR, "srr1": MSR | SE}, "then SRR1"),
    (PPC_NOP, 0xc000000000004d00, MSR | SE, {"msr": MSR, "srr1": MSR | SE}, ""),
    (RFID, AT + 400, MSR, {"msr": MSR | EE}, ""),
])
def test_left_behind(word: int, to: int, before: int, after: dict[str, int],
                     wrong: str) -> None:
    made = session(PPC64, {AT: word}, msr=before)
    made.gdb.after, made.gdb.also = {1: to}, after
    with fails(wrong) if wrong else contextlib.nullcontext():
        made.step(1, others=False)


def test_ceded() -> None:
    """On POWER the program counter is behind the call in which a vCPU waits."""
    made = session(PPC64, {AT - 4: CEDE, AT: PPC_NOP})
    made.gdb.after = {1: AT}
    made.step(1, others=False)
    assert made.counts["stayed"] == 1


@pytest.mark.parametrize("after, first, wrong, both", [
    ({1: AT + 4, 2: AT + 4}, 1, "", True),
    ({1: AT + 4, 2: AT}, 1, "", False),
    ({1: AT, 2: AT + 4}, 2, "", False),
    ({1: AT, 2: AT + 4}, 1, "not moved", False),
    ({1: AT, 2: AT}, 1, "not moved", False),
    ({1: AT + 4, 2: AT + 8}, 1, "->", False),
    ({1: AT + 4, 2: AT + 4}, 3, "T05", False),
])
def test_two(after: dict[int, int], first: int, wrong: str, both: bool) -> None:
    made = session(ARM64, {AT: NOP})
    made.gdb.after, made.gdb.first = after, first
    with fails(wrong) if wrong else contextlib.nullcontext():
        assert made.step_two(1, 2) is both
