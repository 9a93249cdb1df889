# SPDX-License-Identifier: GPL-2.0-or-later
"""What lockstep.py has to know of LoongArch."""

from __future__ import annotations

import re
from collections.abc import Set

from lablib import LOONG64
from rsp import Register
from rules import Ranges, Rules

VECTORS = {0x1: "PIL", 0x2: "PIS", 0x3: "PIF", 0x4: "PME", 0x5: "PNR", 0x6: "PNX", 0x7: "PPI",
           0x8: "ADE", 0x9: "ALE", 0xa: "BCE", 0xb: "SYS", 0xc: "BRK", 0xd: "INE", 0xe: "IPE",
           0xf: "FPD", 0x10: "SXD", 0x11: "ASXD", 0x12: "FPE", 0x0: "interrupt"}
CODES = 64

# Bits 31:26 of what is not told apart further
BY_OPCODE = {0x02: "FP and vectors", 0x03: "FP and vectors", 0x04: "integer", 0x05: "integer",
             0x06: "integer", 0x07: "integer", 0x09: "load and store", 0x0c: "FP and vectors",
             0x10: "branch", 0x11: "branch", 0x12: "branch", 0x13: "jirl", 0x1c: "LSX",
             0x1d: "LASX"}
# The first that fits
BY_WORD = (
    (0xffff8000, 0x002a0000, "break"), (0xffff8000, 0x002b0000, "syscall"),
    (0xffff8000, 0x002b8000, "hvcl"), (0xfffff000, 0x00006000, "time and identification"),
    (0xff000000, 0x01000000, "FP and vectors"), (0xfc000000, 0x00000000, "integer"),
    (0xff0003e0, 0x04000000, "csrrd"), (0xff0003e0, 0x04000020, "csrwr"),
    (0xff000000, 0x04000000, "csrxchg"), (0xff000000, 0x05000000, "illegal"),
    (0xffc00000, 0x06000000, "cache and TLB"), (0xfff80000, 0x06400000, "lddir and ldpte"),
    (0xffffe000, 0x06480000, "iocsr"), (0xffffffff, 0x06483800, "ertn"),
    (0xffff8000, 0x06488000, "idle"), (0xfc000000, 0x04000000, "cache and TLB"),
    (0xfd000000, 0x20000000, "load-linked"), (0xfd000000, 0x21000000, "store-conditional"),
    (0xffc00000, 0x2ac00000, "hint"), (0xff000000, 0x2b000000, "load and store of vectors"),
    (0xfc000000, 0x28000000, "load and store"),
    (0xfc000000, 0x2c000000, "load and store of vectors"),
    (0xffe00000, 0x30000000, "load and store of vectors"),
    (0xfc000000, 0x30000000, "load and store of vectors"),
    (0xffff8000, 0x38720000, "barrier"), (0xffff8000, 0x38728000, "barrier"),
    (0xffe00000, 0x38600000, "atomic"),
    (0xfff00000, 0x38300000, "load and store of vectors"),
    (0xfc000000, 0x38000000, "load and store"))


class LoongArch(Rules):
    arch = LOONG64
    cpu = "la464"
    # gdb gets no CSR.  The payload says in this register where its section is
    state = "r2"
    excluded: dict[str, str] = {}
    few = ()
    every_few = 0
    shown = ("pc", "r1", "r2", "badv")
    vectors = VECTORS
    # Each instruction may need its page, and that of its data, refilled
    sequence = 80
    disassembler = ("-m", "loongarch64")
    detour = ("refill", "refill_done")

    def low(self, address: int) -> int:
        return address & 0x3fffffffff if address >> 60 in (0x9, 0xf) else address

    def compared(self, reg: Register) -> bool:
        return re.fullmatch(r"(f|fcc|vr|xr)\d+|fcsr", reg.name) is not None

    def classify(self, word: int) -> str:
        for mask, value, name in BY_WORD:
            if word & mask == value:
                return name
        return BY_OPCODE.get(word >> 26, "branch" if word >> 30 == 1 else "illegal")

    def volatile(self, word: int) -> tuple[Set[str], int]:
        """The time, and what names the processor: set anew right behind it."""
        if 0x6000 <= word < 0x7000:
            both = {f"r{word & 31}"} | ({f"r{word >> 5 & 31}"} if word < 0x6c00 else set())
            return both, len(both)
        return frozenset(), 0

    def slips(self, word: int) -> bool:
        """idle: TCG's processor is woken and takes the next instruction."""
        return word >> 15 == 0x06488000 >> 15

    def begins_sequence(self, word: int) -> bool:
        return word & 0xfd000000 == 0x20000000

    def lost(self, found: dict[str, tuple[int, int]]) -> bool:
        return len(found) == 1 and all(
            re.fullmatch("r[0-9]+", name) and values == (1, 0) for name, values in found.items())

    def describe(self, state: int, pc: int, little: bool) -> str:
        if not state:
            return "home"
        return ("PLV3" if state & 1 else "PLV0") + (" IE" if state & 2 else "") + (
            " high" if state & 4 else "")

    def is_vector(self, symbols: dict[str, int], pc: int, after: int) -> bool:
        return False

    def vector(self, symbols: dict[str, int], pc: int, after: int,
               apart: dict[str, int]) -> int | None:
        """By the handler's jump table; TLB refills are Result.detours."""
        code = pc - symbols.get("kinds", 0) >> 2
        return code if 0 <= code < CODES else None

    def memory(self, symbols: dict[str, int]) -> Ranges:
        return [(symbols["_start"], symbols["data_others"]),
                (symbols["private"], symbols["data_end"])]
