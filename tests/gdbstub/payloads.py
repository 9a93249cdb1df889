# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the guests of payload/."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent / "payload"
LAB = HERE.parent.parent / "lab" / "payload"            # bare.inc

ASSEMBLY = "guest"              # big-endian
ARM64 = "guest-arm64"
X86 = "guest-x86"
LOONG64 = "guest-loongarch64"
C = {"loop-O0": "-O0", "loop-O1": "-O1"}                # little-endian
NAMES = (ASSEMBLY, *C)


def build(name: str, out: Path, tools: str = "powerpc64le-linux-gnu-") -> Path:
    """Compile and link one guest; the ELF file's path."""
    out.mkdir(parents=True, exist_ok=True)
    obj, elf = out / f"{name}.o", out / f"{name}.elf"
    assemble = [f"{tools}as", "-a64", "-mpower9", "-mregnames", "-I", LAB]
    link = [f"{tools}ld", "-static", "-z", "max-page-size=4096",
            "--no-warn-rwx-segments", "-T", HERE / "guest.ld", "-o", elf]
    if name == ASSEMBLY:
        subprocess.run([*assemble, "-mbig", "-o", obj, HERE / "guest.S"], check=True)
        subprocess.run([*link, "-EB", "-m", "elf64ppc", obj], check=True)
        return elf
    start = out / "start.o"
    subprocess.run([*assemble, "-mlittle", "-o", start, HERE / "start.S"], check=True)
    subprocess.run([f"{tools}gcc", C[name], "-g", "-Wall", "-Werror", "-std=gnu11",
                    "-ffreestanding", "-fno-pie", "-fno-stack-protector",
                    "-fno-asynchronous-unwind-tables", "-mlittle", "-mcpu=power9",
                    "-msoft-float", "-mno-vsx", "-mno-altivec",
                    "-c", "-o", obj, HERE / "loop.c"], check=True)
    subprocess.run([*link, "-EL", "-m", "elf64lppc", start, obj], check=True)
    return elf


def build_elf(name: str, out: Path, tools: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    obj, elf = out / f"{name}.o", out / f"{name}.elf"
    subprocess.run([f"{tools}as", "-o", obj, HERE / f"{name}.S"], check=True)
    subprocess.run([f"{tools}ld", "-static", "-z", "max-page-size=4096",
                    "--no-warn-rwx-segments", "-T", HERE / f"{name}.ld", "-o", elf, obj],
                   check=True)
    return elf


def build_arm64(out: Path, tools: str = "aarch64-linux-gnu-") -> Path:
    """The same for arm64: ASSEMBLY only."""
    return build_elf(ARM64, out, tools)


def build_loong64(out: Path, tools: str = "loongarch64-linux-gnu-") -> Path:
    """The same for LoongArch, with what every host's tests need."""
    return build_elf(LOONG64, out, tools)


def build_user(out: Path, tools: str = "x86_64-linux-gnu-") -> Path:
    """A process of several threads, for qemu-x86_64."""
    out.mkdir(parents=True, exist_ok=True)
    elf = out / "threads"
    subprocess.run([f"{tools}gcc", "-O1", "-Wall", "-Werror", "-static", "-no-pie", "-pthread",
                    "-o", elf, HERE / "threads.c"], check=True)
    return elf


def build_x86(out: Path, tools: str = "x86_64-linux-gnu-") -> Path:
    """The same for x86, and the ROM that it is beside the ELF file."""
    out.mkdir(parents=True, exist_ok=True)
    obj, elf, rom = (out / f"{X86}{suffix}" for suffix in (".o", ".elf", ".rom"))
    subprocess.run([f"{tools}as", "--64", "-o", obj, HERE / f"{X86}.S"], check=True)
    subprocess.run([f"{tools}ld", "-static", "-z", "max-page-size=4096",
                    "--no-warn-rwx-segments", "-T", HERE / f"{X86}.ld", "-o", elf, obj],
                   check=True)
    subprocess.run([f"{tools}objcopy", "-O", "binary", elf, rom], check=True)
    return elf


def lines() -> dict[str, int]:
    """Where loop.c's marks are."""
    text = (HERE / "loop.c").read_text().splitlines()
    return {found[1]: number for number, line in enumerate(text, 1)
            if (found := re.search(r"/\* @(\w+) \*/", line))}
