# SPDX-License-Identifier: GPL-2.0-or-later
"""What the generators of guests for all architectures have in common."""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from lablib import Architecture

HERE = Path(__file__).resolve().parent

SECTIONS = 80                  # about 20,000 steps


class AnyCell(Protocol):
    """A guest and the host that it needs; its name is the cell's."""

    @property
    def arch(self) -> Architecture: ...

    @property
    def cpus(self) -> int: ...

    @property
    def host(self) -> str:
        """One of lablib.HOSTS."""

    @property
    def cpu(self) -> str:
        """For a reference under TCG."""

    @property
    def machine(self) -> str:
        """-M of the guest."""

    @property
    def memory(self) -> str:
        """-m of the guest."""

    @property
    def fetches_early(self) -> bool:
        """See lockstep.Options."""

    @classmethod
    def parse(cls, name: str) -> Self: ...

    def build(self, seed: int, out: Path, sections: int = SECTIONS) -> Path:
        """The ELF file of its guest."""


def table(*texts: str) -> list[tuple[str, list[str]]]:
    """(mnemonic, operands) of every form in `texts`."""
    found = []
    for item in re.split(r"[;\n]", ";".join(texts)):
        mnemonic, _, operands = item.strip().partition(" ")
        if not mnemonic:
            continue
        bare = mnemonic.rstrip("!?")
        for oe in ("", "o") if "!" in mnemonic else ("",):
            for rc in ("", ".") if "?" in mnemonic else ("",):
                found.append((bare + oe + rc, [x for x in operands.split(",") if x]))
    return found


class Generator:
    """Text for the assembler, a line at a time."""

    WEIGHTS: dict[str, float] = {}      # of the methods do_*

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.labels = 0

    def out(self, *lines: str) -> None:
        self.lines += lines

    def label(self) -> str:
        self.labels += 1
        return f".L{self.labels}"

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def immediate(self, kind: str) -> str:
        """uN and sN: immediates of N bits."""
        pick = self.random
        if kind[0] == "u" and kind[1:].isdigit():
            return str(pick.randrange(1 << int(kind[1:])))
        if kind[0] == "s" and kind[1:].isdigit():
            half = 1 << int(kind[1:]) - 1
            return str(pick.choice((0, 1, -1, -half, half - 1, pick.randrange(-half, half))))
        return kind

    def operand(self, kind: str) -> str:
        return self.immediate(kind)

    def filler(self) -> None:
        """Something short that leaves most registers alone."""
        raise NotImplementedError

    def refresh(self) -> None:
        """New values for some registers: results tend to 0 and -1."""
        raise NotImplementedError

    def section(self) -> None:
        """A change of state, some instructions, and home again."""
        raise NotImplementedError

    def skipped(self, most: int = 3) -> None:
        for _ in range(self.random.randrange(most + 1)):
            self.filler()

    def branch_to(self, target: str) -> str:
        """A conditional branch."""
        raise NotImplementedError

    def branch_ahead(self) -> None:
        target = self.label()
        self.out(f"{self.random.choice(('b', 'bl'))} {target}" if self.chance(0.2)
                 else self.branch_to(target))
        self.skipped()
        self.out(f"{target}:")

    def branch_back(self) -> None:
        ahead, back, out = (self.label() for _ in "abc")
        self.out(f"b {ahead}", f"{back}:")
        self.skipped()
        self.out(f"b {out}", f"{ahead}:", self.branch_to(back))
        self.skipped()
        self.out(f"{out}:")

    def has(self, name: str) -> bool:
        """Is there a do_`name` in this guest?"""
        return True

    def body(self, items: int, without: set[str]) -> None:
        names = [name for name in self.WEIGHTS if name not in without and self.has(name)]
        weights = [self.WEIGHTS[name] for name in names]
        for n in range(items):
            if n % 6 == 0:
                self.refresh()
            name, = self.random.choices(names, weights)
            getattr(self, f"do_{name}")()

    def code(self, sections: int, end: str) -> None:
        self.out('.section .text', "begin:")
        for _ in range(sections):
            self.section()
        self.out("nop", "done:", end, ".section .data", "pool:")

    def integers(self, count: int) -> list[int]:
        """For the pool."""
        pick = self.random
        special = (0, 1, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, 0x80000000, 0x7fffffff)
        return [pick.choice(special) if self.chance(0.15) else
                pick.getrandbits(pick.choice((8, 16, 32, 64, 64, 64)))
                for _ in range(count)]

    def doubles(self, count: int) -> list[float]:
        pick = self.random
        return [pick.choice((0.0, -0.0, 1.0, -1.5, float("inf"), 5e-324, 1e300, 3.4e38))
                if self.chance(0.3) else pick.uniform(-1, 1) * 10.0 ** pick.randrange(-40, 40)
                for _ in range(count)]


def assemble(name: Path, text: str, assembler: list[str], linker: list[str],
             fixed: str, script: str, defines: dict[str, int]) -> Path:
    """`text` behind the payload `fixed`, linked; the ELF file."""
    name.parent.mkdir(parents=True, exist_ok=True)
    # A cell's name may have dots
    source, obj, elf = (name.with_name(name.name + end) for end in (".s", ".o", ".elf"))
    source.write_text(text)
    symbols = [word for key, value in defines.items()
               for word in ("--defsym", f"{key}={value}")]
    subprocess.run([*assembler, *symbols, "-I", HERE / "payload", "-o", obj,
                    HERE / "payload" / fixed, source], check=True)
    subprocess.run([*linker, "-static", "-z", "max-page-size=4096",
                    "--no-warn-rwx-segments", "-T", HERE / "payload" / script, "-o", elf, obj],
                   check=True)
    obj.unlink()
    return elf


def main(argv: list[str], description: str | None, parse: Callable[[str], AnyCell]) -> int:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sections", type=int, default=SECTIONS)
    parser.add_argument("--out", type=Path, default=Path("payload-build"))
    parser.add_argument("cells", nargs="+", metavar="CELL")
    options = parser.parse_args(argv)
    try:
        for name in options.cells:
            print(parse(name).build(options.seed, options.out, options.sections), flush=True)
    except (ValueError, subprocess.CalledProcessError) as err:
        print(f"stream: {err}", file=sys.stderr)
        return 2
    return 0
