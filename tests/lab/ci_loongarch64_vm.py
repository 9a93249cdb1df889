# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on LoongArch KVM beside another vCPU, migrated, and in snapshots."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gdbstub")]

from bench import Bench, check                                  # noqa: E402
from ci_gdbstub import KvmBench, Target                         # noqa: E402
from ci_left_in import wait_for                                 # noqa: E402
from ci_loongarch64_step import GENERAL                         # noqa: E402
from ci_migration import XCPU                                   # noqa: E402
from common import FIRST, SECOND, answers, check_thread, on, place          # noqa: E402
from rsp import Gdb                                             # noqa: E402

pytestmark = [pytest.mark.host("loongarch64")]

STATE = "/tmp/migrated"         # in the host
STRAIGHT = 13                   # instructions


def foreign_traps(bench: Bench) -> None:
    """clause 4: a vCPU that meets the traps of another's steps loses and repeats nothing"""
    with KvmBench(bench).stopped(2) as (target, gdb):
        inside = 0
        for turn in range(6):
            for thread in (FIRST, SECOND):
                gdb.select(thread)
                place(gdb, target.straight)
                gdb.write("r5", 0)
            for n in range(1, STRAIGHT):
                check_thread(answers(gdb, f"vCont;s:{FIRST};c:{SECOND}"), FIRST)
                check("pc and r5", on(gdb, FIRST, "pc", "r5"), [target.straight + 4 * n, n])
                pc, r5 = on(gdb, SECOND, "pc", "r5")
                done = (pc - target.straight) // 4
                check(f"turn {turn}, step {n}: r5 of the other at {pc:#x}", r5,
                      done if 0 <= done <= STRAIGHT else STRAIGHT)
                inside += 0 <= done < STRAIGHT
            check("the other has come to its loop",
                  target.spin <= on(gdb, SECOND, "pc")[0] < target.spin_end, True)
        bench.notes.append(f"foreign traps: the other was among them at {inside} stops")


def locking(bench: Bench) -> None:
    """clause 4: locking on: the other stays as it is; off: it runs; step: by turns"""
    with KvmBench(bench).stopped(2) as (target, gdb):
        for mode in ("on", "off", "step"):
            gdb.select(SECOND)
            before = gdb.read(GENERAL)
            count = target.number(gdb, target.second_counter)
            for n in range(9):
                pc = on(gdb, FIRST, "pc")[0]
                answers(gdb, f"vCont;s:{FIRST}" + (f";c:{SECOND}" if mode == "off" else ""))
                check(f"{mode}: pc", on(gdb, FIRST, "pc"),
                      [target.spin + (pc - target.spin + 4) % 12])
                if mode == "step" and n % 3 == 2:
                    gdb.resume("vCont;c")
                    time.sleep(0.05)
                    gdb.interrupt()
                    gdb.select(FIRST)
                    place(gdb, target.spin)
            gdb.select(SECOND)
            moved = target.number(gdb, target.second_counter) - count
            if mode == "on":
                check("registers of the other", gdb.read(GENERAL), before)
            check(f"{mode}: the other has counted ({moved})", moved > 0, mode != "on")


def in_rounds(gdb: Gdb, target: Target) -> None:
    """At the top of a loop that does not end soon."""
    place(gdb, target.rounds)
    gdb.run_to(target.rounds_top)
    gdb.write("r5", 1 << 40)


def check_rounds(gdb: Gdb, target: Target) -> None:
    """It stands in the loop, without a loss, and can be stepped there."""
    regs = gdb.read(["pc", "r3"])
    at = regs["pc"] - target.rounds_top
    check("pc", at in (0, 4, 8, 12), True)
    check("counter", target.number(gdb, target.counter), regs["r3"] - (at == 4))
    for n in range(1, 5):
        gdb.step()
        check("pc of a step", gdb.read(["pc"])["pc"], target.rounds_top + (at + 4 * n) % 16)
    rounds = gdb.read(["r3"])["r3"] + 30
    gdb.write("r5", rounds)
    answers(gdb, f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST}", timeout=60)
    check("pc and r3", on(gdb, FIRST, "pc", "r3"), [target.rounds_end, rounds])


def range_on(gdb: Gdb, target: Target) -> None:
    """Steps, until something ends them."""
    gdb.resume(f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST}")
    time.sleep(0.3)


def migrated(bench: Bench) -> None:
    """clause 7: migrated behind a step, and within a range of them"""
    kvm = KvmBench(bench)
    for within in (False, True):
        with kvm.stopped() as (target, gdb):
            in_rounds(gdb, target)
            for _ in range(9):
                gdb.step()
            if within:
                range_on(gdb, target)
            target.monitor.run("migrate", uri=f"file:{STATE}")
            if within:
                check("the stop is migration's: signal", gdb.wait(30).signal, XCPU)
            wait_for("migration", lambda: target.monitor.run("query-migrate").get("status"),
                     "completed")
            registers = gdb.read(GENERAL)
            with kvm.guest(extra=["-incoming", f"file:{STATE}"], slot=1) as moved:
                wait_for("arrived", lambda: moved.monitor.state() != "inmigrate", True)
                other = moved.connect()
                check("registers", other.read(GENERAL), registers)
                check_rounds(other, moved)


def snapshots(bench: Bench) -> None:
    """clause 7: savevm and loadvm behind a step, and within a range of them"""
    with KvmBench(bench).stopped() as (target, gdb):
        bench.add_disk(gdb)
        in_rounds(gdb, target)
        for _ in range(9):
            gdb.step()
        registers = gdb.read(GENERAL)
        check("savevm", gdb.monitor("savevm one", timeout=60), "")
        range_on(gdb, target)
        target.monitor.sock.settimeout(60)
        check("savevm in a range", target.monitor.human("savevm two"), "")
        check("^C ends the range: signal", gdb.interrupt().signal, 2)
        for tag in ("one", "two"):
            check("loadvm", gdb.monitor(f"loadvm {tag}", timeout=60), "")
            if tag == "one":
                check("registers", gdb.read(GENERAL), registers)
            check_rounds(gdb, target)
