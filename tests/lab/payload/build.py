#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the bare test guests: build.py [--out DIR] [NAME...]; see VARIANTS."""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

DEFAULTS = {"LE": 0, "AIL": 1, "SCV": 1, "SMC_NEXT": 0, "SELFTRACE": 0,
            "PRIORITY": 0, "LLSC": 0, "LOOPS": 3}

# name -> (source, what differs from DEFAULTS)
VARIANTS: dict[str, tuple[str, dict[str, int]]] = {
    "be": ("payload.S", {}),
    "le": ("payload.S", {"LE": 1}),
    "be-short": ("payload.S", {"LOOPS": 1}),
    "le-short": ("payload.S", {"LE": 1, "LOOPS": 1}),
    "be-smc-next": ("payload.S", {"SMC_NEXT": 1, "LOOPS": 1}),
    "be-selftrace": ("payload.S", {"SELFTRACE": 1, "LOOPS": 1}),
    "be-llsc": ("payload.S", {"LLSC": 1, "LOOPS": 1}),
    "spin": ("spin.S", {}),
    "cede": ("cede.S", {}),
    "irq": ("irq.S", {}),
    "places": ("places.S", {}),
    "points": ("points.S", {}),
    "range": ("range.S", {}),
}


def build(name: str, out: Path, tools: str = "powerpc64le-linux-gnu-") -> Path:
    """Assemble and link one variant; the ELF file's path."""
    source, changes = VARIANTS[name]
    defines = DEFAULTS | changes
    little = defines["LE"]
    out.mkdir(parents=True, exist_ok=True)
    obj, elf = out / f"{name}.o", out / f"{name}.elf"
    symbols = [word for key, value in defines.items()
               for word in ("--defsym", f"{key}={value}")]
    subprocess.run([f"{tools}as", "-mlittle" if little else "-mbig", "-a64",
                    "-mpower9", "-mregnames", "-I", HERE, *symbols, "-o", obj, HERE / source],
                   check=True)
    subprocess.run([f"{tools}ld", "-EL" if little else "-EB",
                    "-m", "elf64lppc" if little else "elf64ppc", "-static",
                    "-z", "max-page-size=4096", "--no-warn-rwx-segments",
                    "-T", HERE / "payload.ld", "-o", elf, obj], check=True)
    return elf


@dataclass(frozen=True)
class Image:
    """What a debugger wants to know of a payload: its symbols."""

    path: Path
    symbols: dict[str, int]
    little: bool

    @classmethod
    def load(cls, path: Path) -> Image:
        data = path.read_bytes()
        if data[:5] != b"\x7fELF\x02":
            raise ValueError(f"{path}: not a 64-bit ELF file")
        little = data[5] == 1
        order = "<" if little else ">"
        sections_at, = struct.unpack_from(order + "Q", data, 40)
        size, count = struct.unpack_from(order + "HH", data, 58)
        sections = [struct.unpack_from(order + "IIQQQQIIQQ", data,
                                       sections_at + n * size) for n in range(count)]
        symbols = {}
        for section in sections:
            if section[1] != 2:         # SHT_SYMTAB
                continue
            names = sections[section[6]][4]
            for at in range(section[4], section[4] + section[5], 24):
                name, _, _, _, value, _ = struct.unpack_from(order + "IBBHQQ", data, at)
                end = data.index(b"\0", names + name)
                symbols[data[names + name:end].decode()] = value
        return cls(path, symbols, little)

    def nearest(self, address: int) -> str:
        """`symbol+0x10` for an address inside of the payload."""
        base = self.symbols.get("_start", 0) & ~0xfffff or 0x400000
        below = [(value, name) for name, value in self.symbols.items()
                 if name and base <= value <= address]
        if not below or address > base + 0x100000:
            return f"{address:#x}"
        value, name = max(below)
        return f"{name}+{address - value:#x}"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("payload-build"))
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=", ".join(VARIANTS))
    options = parser.parse_args(argv)
    for name in options.names or VARIANTS:
        print(build(name, options.out), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
