# SPDX-License-Identifier: GPL-2.0-or-later
"""What lockstep.py has to know of an architecture."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Set
from pathlib import Path
from typing import Literal

from build import Image
from lablib import Architecture
from rsp import Register

Ranges = list[tuple[int, int]]


class Rules:
    """How it names things, and what two processors need not agree on."""

    arch: Architecture
    cpu: str                            # of a reference
    state: str                          # the register with the processor's state
    excluded: dict[str, str]            # registers that are not compared, and why
    few: tuple[str, ...]                # looked at every few steps
    every_few = 16                      # how many
    shown: tuple[str, ...]              # if a step does not end
    vectors: dict[int, str]             # what Result.vectors counts
    # The reference reaches the end of a load-reserve's sequence in so many steps
    sequence = 24
    # The area of another vCPU, as stream*.S have it
    area = 0x600
    rounds, wrong = 0x70, 0x78
    disassembler: tuple[str, ...]       # objdump's options
    # Symbols: the first and the last instruction of an exception's handler, which goes back
    # to what raised it.  It may be raised on one side only, as the TLBs are not the same
    detour: tuple[str, str] | None = None
    # Is the payload where its addresses say, whatever the mode may access?
    physical = False

    def normal(self, g: bytes, at: int) -> bytes:
        """`g` without what is not compared; the state register is at `at` of it."""
        return g

    def byteorder(self, state: bytes) -> Literal["little", "big"]:
        """Of the registers that a stub sends now; `state`: the register as sent."""
        return "little"

    def code_order(self, state: int) -> Literal["little", "big"]:
        """Of the instructions in this state."""
        return "little"

    def data_order(self, image: Image) -> Literal["little", "big"]:
        """Of what the payload stores."""
        return "little" if image.little else "big"

    def compared(self, reg: Register) -> bool:
        """Of those that only `p` gives."""
        return reg.name not in self.excluded

    def low(self, address: int) -> int:
        """Where the image has what is at `address`."""
        return address

    def classify(self, word: int) -> str:
        """The class of an instruction, for counting; as coarse as the report."""
        raise NotImplementedError

    def volatile(self, word: int) -> tuple[Set[str], int]:
        """What an instruction may change as it likes, and for how many steps the
        payload has not yet set all of it again."""
        return frozenset(), 0

    def agree(self, symbols: dict[str, int], pc: int, name: str, one: int, two: int) -> bool:
        """Are these two values of a register right, though not the same?"""
        return False

    def slips(self, word: int) -> bool:
        """A step of TCG's takes the next instruction, too."""
        return False

    def begins_sequence(self, word: int) -> bool:
        """A step of it ends behind its store-conditional."""
        raise NotImplementedError

    def lost(self, found: dict[str, tuple[int, int]]) -> bool:
        """The store-conditional has failed, on the tested side only."""
        raise NotImplementedError

    def describe(self, state: int, pc: int, little: bool) -> str:
        """The state, for counting."""
        raise NotImplementedError

    def is_vector(self, symbols: dict[str, int], pc: int, after: int) -> bool:
        """Has a step from `pc` raised an exception that is worth reading `few`?"""
        return False

    def vector(self, symbols: dict[str, int], pc: int, after: int,
               apart: dict[str, int]) -> int | None:
        """Which exception has led from `pc` to `after`."""
        raise NotImplementedError

    def changing(self, symbols: dict[str, int]) -> Ranges:
        """Memory that changes all the time."""
        if "look" in symbols:
            return [(symbols["data_begin"], symbols["pool"])]
        return []

    def memory(self, symbols: dict[str, int]) -> Ranges:
        """All of it, but not what other vCPUs own."""
        raise NotImplementedError

    def disassemble(self, word: int, pc: int) -> str:
        objdump = f"{self.arch.tools}objdump"
        if shutil.which(objdump) is None:
            return "(no objdump)"
        raw = Path(f"/tmp/lockstep-{os.getpid()}.bin")
        raw.write_bytes(word.to_bytes(4, "little"))
        try:
            out = subprocess.run([objdump, "-D", "-b", "binary", *self.disassembler, "-EL",
                                  f"--adjust-vma={pc:#x}", raw],
                                 capture_output=True, text=True, check=False).stdout
        finally:
            raw.unlink()
        line = out.strip().splitlines()[-1] if out.strip() else "?"
        return " ".join(line.split("\t", 2)[2].split()) if line.count("\t") > 1 else "?"
