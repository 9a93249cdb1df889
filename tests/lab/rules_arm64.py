# SPDX-License-Identifier: GPL-2.0-or-later
"""What lockstep.py has to know of arm64."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Literal

from build import Image
from lablib import ARM64
from rsp import Register
from rules import Ranges, Rules

HIGH = 0xffffff8000000000
VECTORS = {0x00: "unknown", 0x01: "wfi", 0x07: "FP unavailable", 0x0d: "branch target",
           0x0e: "illegal state", 0x15: "svc", 0x18: "system register",
           0x19: "SVE unavailable", 0x1c: "pointer authentication",
           0x20: "instruction abort from EL0", 0x21: "instruction abort",
           0x22: "PC alignment", 0x24: "data abort from EL0", 0x25: "data abort",
           0x26: "SP alignment", 0x2c: "floating point", 0x3c: "brk",
           0x40: "interrupt"}

# What `p` gives, and both sides must agree on: the state that instructions of EL1 and
# EL0 work with.  The rest names the processor, counts, or is a hypervisor's; and TCG keeps
# the current SP elsewhere than in SP_EL0 or SP_EL1.
SYSTEM = ("ELR_EL1", "SPSR_EL1", "ESR_EL1", "FAR_EL1", "TPIDR_EL0",
          "TPIDRRO_EL0", "TPIDR_EL1", "CONTEXTIDR_EL1", "SCTLR_EL1", "CPACR_EL1", "TTBR0_EL1",
          "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "VBAR_EL1", "AFSR0_EL1", "AFSR1_EL1",
          "ZCR_EL1", "PAR_EL1", "FPCR", "FPSR")

HVC = 0xd4000002
ALLINT = 1 << 13
NZCV = 0xf << 28


def classify_branch(word: int) -> str:
    """Branches, exceptions, and the system's instructions."""
    if word >> 24 == 0xd4:
        return {1: "brk", 2: "hlt"}.get(
            word >> 21 & 7, {1: "svc", 2: "hvc", 3: "smc"}.get(word & 0xe0001f, "unallocated"))
    if word >> 24 == 0xd6 or word >> 24 == 0xd7:
        if word >> 21 & 15 == 4:
            return "eret"
        return "branch to a register" if not word & 0xc00 else "branch, authenticated"
    if word >> 22 == 0x354:
        if word >> 12 == 0xd5032:
            return "hint"
        if word >> 12 == 0xd5033:
            return "barrier"
        if word & 0xfff8f01f == 0xd500401f:
            return "msr of PSTATE"
        if word >> 19 & 3 == 1:
            return "cache, TLB and address translation"
        return "mrs" if word >> 21 & 1 else "msr"
    return "branch"


def classify_memory(word: int) -> str:
    if word >> 26 & 1:
        return "load and store of vectors"
    if word >> 24 & 0x3f == 8:
        if word & 0x800000 or word >> 31 == 0 and word >> 21 & 1:
            return "compare and swap" if word >> 21 & 1 else "acquire and release"
        return "store-exclusive" if not word >> 22 & 1 else "load-exclusive"
    if word >> 24 & 0x3b == 0x19:
        return "copy and set" if word >> 10 & 3 == 1 else "acquire and release"
    if word >> 24 & 0x3b == 0x18:
        return "load of a literal"
    if word >> 27 & 7 == 5:
        return "load and store of pairs"
    if word >> 24 & 1 == 0 and word >> 21 & 1:
        form = word >> 10 & 3
        return {0: "atomic", 2: "load and store by index"}.get(form, "load, authenticated")
    if word >> 24 & 1 == 0:
        return {0: "load and store, unscaled", 2: "load and store, unprivileged"}.get(
            word >> 10 & 3, "load and store with update")
    return "load and store"


class Arm64(Rules):
    arch = ARM64
    cpu = "max"
    state = "cpsr"
    excluded = {"vg": "a length, not the guest's"}
    few = ("ELR_EL1", "SPSR_EL1", "ESR_EL1", "FAR_EL1", "fpsr", "fpcr")
    every_few = 40                      # one `p` has QEMU read the whole vCPU
    shown = ("pc", "cpsr", "sp", "x30", "ELR_EL1", "SPSR_EL1", "ESR_EL1", "FAR_EL1")
    vectors = VECTORS
    disassembler = ("-m", "aarch64")
    physical = True                     # at EL0 unpatched QEMU reads nothing of EL1's

    def normal(self, g: bytes, at: int) -> bytes:
        """The processor has FEAT_NMI, but KVM's guests, and what QEMU knows of them,
        have not: without PSTATE.ALLINT."""
        at += 2
        return g[:at] + b"%x" % (int(g[at:at + 1], 16) & ~(ALLINT >> 12)) + g[at + 1:]

    def data_order(self, image: Image) -> Literal["little", "big"]:
        return "big" if image.symbols.get("BE") else "little"

    def low(self, address: int) -> int:
        return address & ~HIGH

    def compared(self, reg: Register) -> bool:
        return reg.name not in self.excluded and (
            reg.group in ("fpu", "sve") or reg.name in SYSTEM)

    def classify(self, word: int) -> str:
        group = word >> 25 & 15
        if group == 0:
            return "udf" if not word >> 16 else "unallocated"
        if group in (1, 3):
            return "unallocated"
        if group == 2:
            return "SVE"
        if group >> 1 == 4:
            return "integer, immediate"
        if group >> 1 == 5:
            return classify_branch(word)
        if group & 5 == 4:
            return classify_memory(word)
        return "integer, register" if group & 7 == 5 else "FP and Advanced SIMD"

    def volatile(self, word: int) -> tuple[Set[str], int]:
        """PSCI's answers, and what names the processor: set anew right behind it."""
        if word & 0xffe0001f == HVC:
            return {"x0", "x1", "x2", "x3"}, 4
        if word >> 19 == 0x1aa7 and not word & 0xf000:
            return {f"x{word & 31}"}, 1
        return frozenset(), 0

    def agree(self, symbols: dict[str, int], pc: int, name: str, one: int, two: int) -> bool:
        """An exception leaves NZCV as they are (AArch64.TakeException()), and so does KVM
        where it raises one itself; TCG clears them.  The vectors begin with a cmp."""
        return (name == "cpsr" and not (one ^ two) & ~NZCV
                and self.is_vector(symbols, 0, pc))

    def slips(self, word: int) -> bool:
        """yield, wfe: they end the translated code by EXCP_YIELD, not EXCP_DEBUG."""
        return word in (0xd503203f, 0xd503205f)

    def begins_sequence(self, word: int) -> bool:
        return word & 0x3fe00000 in (0x08400000, 0x08600000) and (
            not word & 0x200000 or bool(word >> 31))

    def lost(self, found: dict[str, tuple[int, int]]) -> bool:
        return len(found) == 1 and all(
            re.fullmatch("x[0-9]+", name) and values == (0, 1) for name, values in found.items())

    def describe(self, state: int, pc: int, little: bool) -> str:
        level = state >> 2 & 3
        return (f"EL{level}" + ("th"[state & 1] if level else "")
                + "".join(f" {name}" for bit, name in (
                    (22, "PAN"), (23, "UAO"), (24, "DIT"), (12, "SSBS"), (20, "IL"))
                    if state >> bit & 1)
                + (" BTYPE" if state & 0xc00 else "")
                + ("" if state & 0x80 else " I=0") + (" high" if pc >= HIGH else ""))

    def is_vector(self, symbols: dict[str, int], pc: int, after: int) -> bool:
        at = self.low(after) - symbols.get("vectors", 0)
        return 0 <= at < 0x800 and not at & 0x7f and after != pc + 4

    def vector(self, symbols: dict[str, int], pc: int, after: int,
               apart: dict[str, int]) -> int | None:
        """Counted where `few` has been read."""
        if "ESR_EL1" not in apart or not self.is_vector(symbols, pc, after):
            return None
        return 0x40 if after & 0x180 else apart["ESR_EL1"] >> 26

    def memory(self, symbols: dict[str, int]) -> Ranges:
        return [(symbols["_start"], symbols["data_others"]),
                (symbols["private"], symbols["data_end"])]
