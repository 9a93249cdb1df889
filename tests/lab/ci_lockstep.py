# SPDX-License-Identifier: GPL-2.0-or-later
"""Generated streams, in lockstep with TCG: a slice of matrix.py's cells."""

from __future__ import annotations

import stream_arm64
import stream_loongarch64
from bench import Bench, on_arm64, on_loong64
from generator import AnyCell
from lockstep import Options, Result
from matrix import run_stream
from stream import Cell

SEED = 1
FULL_STEPS = 20_000


def run_cell(bench: Bench, cell: AnyCell, steps: int, seconds: float,
             classes: set[str], least: int = 200) -> None:
    """Some seconds of one cell on the machine that the bench has booted."""
    full = bench.options.full
    options = Options(max_steps=FULL_STEPS if full else steps, every_memory=0, quiet=True,
                      seconds=0 if full else seconds,
                      repeat=f"tests/lab/matrix.py --arch {cell.arch.name} --only '^{cell}$' "
                             f"--seed {SEED}")
    result, report = run_stream(bench.lab, bench.options.qemu, cell, SEED,
                                bench.options.work, options)
    bench.notes.append(f"{cell}: {said(result)}")
    if result.divergences:
        raise AssertionError("\n".join([str(cell), *report]))
    if result.steps < least:
        raise AssertionError(f"{cell}: only {result.steps} steps in {result.seconds:.0f} s")
    missing = classes - set(result.classes())
    if missing:
        raise AssertionError(f"{cell}: no step of {', '.join(sorted(missing))}")


def stream(bench: Bench, little: bool, hashed: bool, ail: int, cpus: int,
           steps: int, seconds: float) -> None:
    power = int(bench.options.machine.removeprefix("powernv"))
    run_cell(bench, Cell(power, little, hashed, ail, cpus), steps, seconds,
             {"integer", "load and store", "branch", "rfid"})


def stream_a64(bench: Bench, little: bool, mmu: bool, cpus: int) -> None:
    cell = stream_arm64.Cell(bench.options.machine == "arm64", little, mmu, cpus)
    run_cell(bench, cell, 2000, 10, {"integer, register", "load and store", "branch", "eret"}, 60)


def said(result: Result) -> str:
    counts = ", ".join(f"{name} {n}" for name, n in result.classes().most_common())
    interrupts = ", ".join(f"{v:#x} {n}" for v, n in sorted(result.vectors.items()))
    others = f"; rounds of the others {result.others}" if result.others else ""
    return (f"{result.steps} steps, {result.steps / max(result.seconds, .001):.0f}/s; "
            f"{counts}; interrupts {interrupts}{others}")


def stream_big_endian(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; BE, radix, AIL 0"""
    stream(bench, False, False, 0, 1, 6000, 30)


def stream_little_endian(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; LE, radix, AIL 3"""
    stream(bench, True, False, 3, 1, 6000, 30)


def stream_hash(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; LE, hash MMU, AIL 3"""
    stream(bench, True, True, 3, 1, 4000, 25)


def stream_smp(bench: Bench) -> None:
    """clauses 1, 2, 4: the same while another vCPU takes interrupts; BE, radix, AIL 0"""
    stream(bench, False, False, 0, 2, 3000, 25)


@on_arm64
def stream_arm64_little_endian(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; arm64, LE, translation"""
    stream_a64(bench, True, True, 1)


@on_arm64
def stream_arm64_big_endian(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; arm64, BE, no translation"""
    stream_a64(bench, False, False, 1)


@on_arm64
def stream_arm64_smp(bench: Bench) -> None:
    """clauses 1, 2, 4: the same while another vCPU takes exceptions; arm64, BE, translation"""
    stream_a64(bench, False, True, 2)


def stream_la(bench: Bench, mode: str, cpus: int = 1, seconds: float = 10) -> None:
    run_cell(bench, stream_loongarch64.Cell(mode, cpus), 3000, seconds,
             {"integer", "load and store", "ertn"}, 30)


@on_loong64
def stream_loongarch64_direct(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; LoongArch, direct addresses"""
    stream_la(bench, "direct")


@on_loong64
def stream_loongarch64_window(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; LoongArch, mapped by windows"""
    stream_la(bench, "window")


@on_loong64
def stream_loongarch64_paged(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: generated instructions as TCG; LoongArch, mapped by page tables"""
    stream_la(bench, "paged")


@on_loong64
def stream_loongarch64_smp(bench: Bench) -> None:
    """clauses 1, 2, 4: the same while another vCPU takes exceptions; LoongArch, windows"""
    stream_la(bench, "window", 2, 15)
