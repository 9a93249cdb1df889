# SPDX-License-Identifier: GPL-2.0-or-later
"""What lockstep.py has to know of ppc64."""

from __future__ import annotations

from collections.abc import Set
from typing import Literal

from lablib import PPC64
from rules import Ranges, Rules

# Registers that are not compared, and why.
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(("tb", "tbl", "tbu", "tbu40", "vtb"), "time base"),
    **dict.fromkeys(("dec", "hdec"), "count down with time"),
    **dict.fromkeys(("purr", "spurr", "ic"), "count cycles or instructions"),
    "cfar": "TCG and KVM do not keep it over a stop",
    **dict.fromkeys((f"{kind}{n}" for kind in ("pmc", "upmc", "spmc")
                     for n in range(1, 7)), "performance counter"),
    **dict.fromkeys(("mmcr0", "mmcr1", "mmcr2", "mmcra", "mmcrs", "mmcrc", "mmcrh",
                     "siar", "sdar", "sier", "ummcr0", "ummcr1", "ummcr2", "ummcra",
                     "usiar", "usdar", "usier"), "performance monitor"),
    **dict.fromkeys(("pir", "pvr", "tir"), "names the processor"),
    **dict.fromkeys(("lpcr", "lpidr", "hmer", "hmeer", "hrmor", "amor", "hfscr", "hid0",
                     "ptcr", "pcr", "hsprg0", "hsprg1", "hsrr0", "hsrr1", "hdsisr",
                     "hdar", "heir", "psscr", "ldbar", "asdr", "rpr", "tfmr", "trig1",
                     "trig2", "tscr", "ttr", "wort", "rwmr", "pmsr", "pmcr", "sprc",
                     "sprd", "dpdes"), "the hypervisor's, not the guest's"),
    "hashpkeyr": "random at reset (POWER10)",
    "vscr": "KVM_REG_PPC_VSCR reads 0 on a little-endian host; the guest uses mfvscr",
    **dict.fromkeys(("ctrl", "uctrl"), "the run latch, which KVM drives"),
    **dict.fromkeys(("ppr", "ppr32"), "thread priority, which TCG does not keep"),
}

# What a hypercall may change, and for how many steps the payload's `hcall` has
# not yet set all of it again.
HYPERCALL = 0x44000022
VOLATILE = frozenset({"cr", "ctr", "xer", "srr0", "srr1"})
VOLATILE_STEPS = 6

# A step from a load-reserve ends behind its store-conditional (clause 6)
LARX = {20, 52, 84, 116, 276}

# A store-conditional may fail for reasons of the host's, an interrupt of its own
# for one: CR0[EQ] is 0 (Power ISA v3.1B Book II, 1.7.3.1).
STORED = 1 << 29

HIGH = 0xc000000000000000
VECTORS = {0x200: "machine check", 0x300: "data storage", 0x380: "data segment",
           0x400: "instruction storage", 0x480: "instruction segment",
           0x500: "external", 0x600: "alignment", 0x700: "program",
           0x800: "FP unavailable", 0x900: "decrementer",
           0xc00: "system call", 0xd00: "trace", 0xf20: "VMX unavailable",
           0xf40: "VSX unavailable", 0xf60: "facility unavailable"}


def classify(word: int) -> str:
    """The class of an instruction, for counting; as coarse as the report."""
    opcode, xo = word >> 26, word >> 1 & 0x3ff
    if opcode == 1:
        return "prefixed"
    if opcode in (16, 18) or opcode == 19 and xo in (16, 528, 560):
        return "branch"
    if opcode == 17:
        return {2: "sc", 0x22: "hypercall"}.get(word & 0x3f, "scv")
    if opcode == 19:
        return {18: "rfid", 82: "rfid", 150: "barrier"}.get(
            xo, "integer" if word >> 1 & 0x1f == 2 else "cr")
    if opcode in (2, 3) or opcode == 31 and xo & 0x1f == 4 and xo in (4, 68):
        return "trap"
    if opcode == 4:
        return "integer" if word & 0x3f in (48, 49, 51) else "vmx"
    if opcode in (59, 63) or opcode in range(48, 56):
        return "fp"
    if opcode in (57, 60, 61):
        return "vsx"
    if opcode in (46, 47):
        return "multiple and string"
    if opcode in range(32, 46) or opcode in (56, 58, 62):
        return "load and store"
    if opcode != 31:
        return "integer" if opcode in (*range(7, 16), *range(20, 31)) else "illegal"
    for name, codes in CLASSES_31.items():
        if xo in codes:
            return name
    return "fp" if xo in (*range(535, 600, 32), 567, 599, 631, 663, 695, 727, 759, 855,
                          887, 983) else "vsx" if xo & 0x1f in (12, 19, 13) else "integer"


CLASSES_31: dict[str, set[int]] = {
    "load-reserve": LARX,
    "store-conditional": {150, 182, 214, 694, 726},
    "msr": {83, 146, 178},
    "spr": {339, 467},
    "cr": {19, 144, 576},
    "cache": {22, 54, 86, 246, 278, 982, 1014, 470},
    "barrier": {598, 854},
    "multiple and string": {533, 597, 661, 725},
    "atomic memory operation": {582, 614, 710, 742},
    "vmx": {6, 38, 7, 39, 71, 103, 135, 167, 199, 231, 359, 487},
    "load and store": {21, 23, 53, 55, 87, 119, 149, 151, 181, 183, 215, 247, 279, 311, 341,
                       343, 373, 375, 407, 439, 532, 534, 660, 662, 790, 918},
}


class Ppc64(Rules):
    arch = PPC64
    cpu = "power9"
    state = "msr"
    excluded = EXCLUDED
    # The stub has these from the same call as `g`
    few = ("srr0", "srr1", "sprg0", "sprg1", "sprg2", "sprg3")
    shown = ("pc", "msr", "srr0", "srr1", "lr", "ctr")
    vectors = VECTORS
    disassembler = ("-m", "powerpc:common64", "-M", "power10")

    def byteorder(self, state: bytes) -> Literal["little", "big"]:
        """QEMU's registers come in the present byte order: see rsp.Gdb."""
        return "little" if state[1:2] in b"13579bdf" else "big"

    def code_order(self, state: int) -> Literal["little", "big"]:
        return "little" if state & 1 else "big"

    def low(self, address: int) -> int:
        return address & ~HIGH

    def classify(self, word: int) -> str:
        return classify(word)

    def volatile(self, word: int) -> tuple[Set[str], int]:
        return (VOLATILE, VOLATILE_STEPS) if word == HYPERCALL else (frozenset(), 0)

    def begins_sequence(self, word: int) -> bool:
        return word >> 26 == 31 and word >> 1 & 0x3ff in LARX

    def lost(self, found: dict[str, tuple[int, int]]) -> bool:
        if set(found) != {"cr"}:
            return False
        expected, got = found["cr"]
        return expected ^ got == STORED and bool(expected & STORED)

    def describe(self, state: int, pc: int, little: bool) -> str:
        return (("64" if state >> 63 else "32") + (" IR" if state & 0x20 else "")
                + (" DR" if state & 0x10 else "") + (" PR" if state & 0x4000 else "")
                + (" SE" if state & 0x400 else "") + (" BE" if state & 0x200 else "")
                + (" EE" if state & 0x8000 else "")
                + (" other-endian" if (state & 1) != little else "")
                + (" high" if pc >= HIGH else ""))

    def vector(self, symbols: dict[str, int], pc: int, after: int,
               apart: dict[str, int]) -> int | None:
        low = after & ~HIGH
        if after != pc + 4 and (low < 0x1000 or HIGH + 0x4000 <= after < HIGH + 0x5000):
            return low & 0xfff
        return None

    def changing(self, symbols: dict[str, int]) -> Ranges:
        if "look" not in symbols and "data_begin" in symbols:
            return [(symbols["data_begin"], symbols["data_end"]), (0x2000, 0x2800)]
        return super().changing(symbols)

    def memory(self, symbols: dict[str, int]) -> Ranges:
        """The vectors and the code too."""
        if not self.changing(symbols):
            return []
        low = [(0x100, 0x3080), (0x4100, 0x6000), (0x17000, 0x17080)]
        if "data_others" not in symbols:
            return [*low, (0x400000, symbols["data_end"])]
        return [*low, (0x400000, symbols["data_others"]),
                (symbols["data_begin"], symbols["data_end"])]
