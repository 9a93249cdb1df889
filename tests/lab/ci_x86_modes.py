# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on x86 KVM as under TCG: in every mode of the processor, and under interrupts."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import Bench, check, pc_of
from build import Image
from lablib import X86, L2Config, TcgReference
from rsp import Gdb

pytestmark = [pytest.mark.host("x86")]

HERE = Path(__file__).resolve().parent / "payload"
HARDWARE = 1
GENERAL = [*(f"r{n}" for n in range(16)), "pc", "eflags", "cs", "ss", "ds", "es"]
LIMIT = 400                     # steps


def build(bench: Bench) -> Path:
    out = bench.options.work / "payloads"
    out.mkdir(parents=True, exist_ok=True)
    obj, elf = out / "x86-modes.o", out / "x86-modes.elf"
    tools = X86.tools
    subprocess.run([f"{tools}as", "--64", "-o", obj, HERE / "x86-modes.S"], check=True)
    subprocess.run([f"{tools}ld", "-static", "-z", "max-page-size=4096",
                    "--no-warn-rwx-segments", "-T", HERE / "x86-modes.ld", "-o", elf, obj],
                   check=True)
    subprocess.run([f"{tools}objcopy", "-O", "binary", elf, elf.with_suffix(".rom")],
                   check=True)
    return elf


@contextlib.contextmanager
def both(bench: Bench) -> Iterator[tuple[Gdb, Gdb, dict[str, int]]]:
    """The guest, and the same under TCG, before their first instruction."""
    elf = build(bench)
    reference = TcgReference(elf, bench.options.work, bench.lab.children,
                             qemu=str(bench.options.qemu), cpu="max", arch=X86,
                             extra=["-L", str(bench.options.pc_bios)])
    try:
        guest = bench.lab.start_l2(L2Config(qemu=bench.options.qemu, payload=elf))
        try:
            yield (Gdb.connect(guest.gdb_port, timeout=30), Gdb(reference.socket, 30),
                   Image.load(elf).symbols)
        finally:
            guest.stop()
    finally:
        reference.close()


def run_to(sides: tuple[Gdb, Gdb], at: int) -> None:
    for side in sides:
        side.run_to(at, kind=HARDWARE)
        check("pc", pc_of(side), at)


def differences(gdb: Gdb, other: Gdb) -> list[str]:
    got, want = gdb.read(GENERAL), other.read(GENERAL)
    return [f"{name} {got[name]:#x}, should be {want[name]:#x}"
            for name in GENERAL if got[name] != want[name]]


def lockstep(gdb: Gdb, other: Gdb, symbols: dict[str, int], name: str) -> int:
    """From NAME_begin to NAME_end; how many steps."""
    sides = (gdb, other)
    run_to(sides, symbols[f"{name}_begin"])
    low, high = symbols["stack_low"], symbols["stack_high"]
    before = pc_of(gdb)
    for steps in range(LIMIT):
        where = f"{name}: behind step {steps}, of {before:#x}"
        check(where, differences(gdb, other), [])
        before = pc_of(other)
        if before == symbols[f"{name}_end"]:
            check(f"{name}: the stacks", gdb.read_memory(low, high - low),
                  other.read_memory(low, high - low))
            return steps
        for side in sides:
            side.step(timeout=30)
    raise AssertionError(f"{name}: not at its end after {LIMIT} steps")


def modes(bench: Bench, *names: str) -> None:
    with both(bench) as (gdb, other, symbols):
        total = sum(lockstep(gdb, other, symbols, name) for name in names)
    bench.notes.append(f"x86: {total} steps of {', '.join(names)} as under TCG")


def modes_64(bench: Bench) -> None:
    """clauses 1 and 2: 64-bit code: faults, INT n, flags, SYSCALL, at CPL 0 and 3"""
    modes(bench, "long", "user64")


def modes_compatibility(bench: Bench) -> None:
    """clauses 1 and 2: 32-bit code in long mode, with SYSCALL, at CPL 0 and 3"""
    modes(bench, "compat", "user_compat")


def modes_32(bench: Bench) -> None:
    """clauses 1 and 2: 32-bit code, with SYSENTER, at CPL 0 and 3"""
    modes(bench, "protected", "user32")


def modes_16(bench: Bench) -> None:
    """clauses 1 and 2: 16-bit code: protected, virtual-8086, real mode"""
    modes(bench, "code16", "v86", "real")


def own_breakpoints(bench: Bench) -> None:
    """clause 5: a step ends at the guest's own #DB, of its debug registers

    TCG, when it is stepped, raises that of a watchpoint twice.
    """
    with both(bench) as (gdb, _, symbols):
        gdb.run_to(symbols["own_begin"], kind=HARDWARE)
        handlers = {symbols[f"{name}_64"]: name for name in ("debug", "plain", "fault")}
        met = []
        for _ in range(LIMIT):
            gdb.step(timeout=30)
            pc, esi, sp = gdb.read(["pc", "r6", "r4"]).values()
            if pc in handlers:
                frame = gdb.read_memory(sp, 24)
                met.append((handlers[pc], int.from_bytes(frame[:8], "little")))
                check("TF in the frame", frame[17] & 1, 0)
            if pc == symbols["own_end"]:
                break
        check("handlers", met, [("debug", symbols["own_watched"]),
                                ("debug", symbols["own_break"]),
                                ("plain", symbols["own_int"]),
                                ("fault", symbols["own_div"])])
        check("esi", esi, 1)


def interrupts(bench: Bench, sstep: str) -> tuple[int, int]:
    """How many steps, and interrupts on them, with these flags."""
    with both(bench) as (gdb, other, symbols):
        for side in (gdb, other):
            check("Qqemu.sstep", side.text(f"Qqemu.sstep={sstep}"), "OK")
        steps = lockstep(gdb, other, symbols, "irq")
        counts = [int.from_bytes(side.read_memory(symbols["irqs"], 4), "little")
                  for side in (gdb, other)]
        check("interrupts", counts[0], counts[1])
        return steps, counts[0]


def interrupts_let_in(bench: Bench) -> None:
    """clause 1: X8: without NOIRQ a step ends at the handler of an interrupt"""
    steps, count = interrupts(bench, "1")
    bench.notes.append(f"x86: {steps} steps, {count} interrupts as under TCG")
    check("interrupts", count, 4)


def interrupts_held_back(bench: Bench) -> None:
    """clause 3: with NOIRQ a step runs its instruction, and no interrupt is lost"""
    with both(bench) as (gdb, other, symbols):
        lockstep(gdb, other, symbols, "irq")
        irqs = symbols["irqs"]
        check("interrupts", gdb.read_memory(irqs, 4), bytes(4))
        # Where they are enabled for the first time: what is pending comes now
        for side in (gdb, other):
            side.write("pc", symbols["irq_begin"])
        run_to((gdb, other), symbols["irq_end"])
        check("interrupts", gdb.read_memory(irqs, 4), other.read_memory(irqs, 4))
        check("one came", gdb.read_memory(irqs, 4) != bytes(4), True)
