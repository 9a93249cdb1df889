# SPDX-License-Identifier: GPL-2.0-or-later
"""Breakpoints that the client leaves in: out of memory while the machine is stopped.

On every host.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gdbstub")]

from bench import Bench, check, pc_of                           # noqa: E402
from ci_gdbstub import KvmBench, Target                         # noqa: E402
from ci_steps import KVM_RUN, ioctls_of                               # noqa: E402
from common import answers, place                               # noqa: E402
from lablib import (ARM64, L1_GDB_PORT, LOONG64, PPC64, X86,     # noqa: E402
                    Architecture)
from rsp import Gdb                                             # noqa: E402

STATE = "/tmp/left-in"                  # in the host
XCPU = 24                               # the signal of a stop that migration makes
STOPPED_STATES = ("paused", "postmigrate", "prelaunch", "debug")

# Memory that no payload uses, and an instruction that does nothing
SCRATCH = {PPC64.name: 0x4000000, ARM64.name: 0x44000000, X86.name: 0x400000,
           LOONG64.name: 0x4000000}
NOP = {PPC64.name: bytes.fromhex("60000000"), ARM64.name: bytes.fromhex("1f2003d5"),
       X86.name: bytes.fromhex("3e3e3e90"), LOONG64.name: bytes.fromhex("00004003")}
SIZE = 4                                # of each instruction of `straight`
# What counts, and where that is stored
REGISTERS = {PPC64.name: ("r3", "r31"), ARM64.name: ("x3", "x27"), X86.name: ("r3", "r14"),
             LOONG64.name: ("r3", "r27")}


def arch_of(bench: Bench) -> Architecture:
    return bench.lab.arch


def kind_of(bench: Bench) -> int:
    """The length in a Z packet."""
    return 1 if arch_of(bench) is X86 else SIZE


def human(target: Target, command: str) -> str:
    target.monitor.sock.settimeout(60)
    return target.monitor.human(command)


def memory_of(target: Target, address: int, length: int = 16) -> bytes:
    """Guest physical memory, as it is."""
    return target.monitor.memory(address, length)


def wait_for(what: str, look: Callable[[], object], want: object) -> None:
    deadline = time.monotonic() + 30
    while (got := look()) != want and time.monotonic() < deadline:
        time.sleep(0.1)
    check(what, got, want)


def hit(target: Target, gdb: Gdb, start: int, at: int, code: bytes) -> None:
    """From `start` on, the breakpoint at `at` is met, and `code` is what is there."""
    place(gdb, start)
    answers(gdb, "vCont;c")
    check("pc", pc_of(gdb), at)
    check("memory when it is hit", memory_of(target, start, len(code)), code)
    check("m", gdb.read_memory(start, len(code)), code)


def out_when_stopped(bench: Bench) -> None:
    """clause 7: a breakpoint that is left in is in memory while the guest runs only"""
    with KvmBench(bench).stopped() as (target, gdb):
        start, at, length = target.straight, target.straight + SIZE, kind_of(bench)
        code = memory_of(target, start)
        gdb.insert(at, 0, length)
        check("memory behind Z0", memory_of(target, start), code)
        hit(target, gdb, start, at, code)
        gdb.step()
        check("memory behind a step", memory_of(target, start), code)
        gdb.resume("vCont;c")
        time.sleep(0.2)
        check("in memory while the guest runs", memory_of(target, start) != code, True)
        gdb.interrupt()
        check("memory behind ^C", memory_of(target, start), code)
        # In the guest's way: met each time, off it, and counted
        gdb.insert(target.spin, 0, length)
        place(gdb, target.ready)
        counter = REGISTERS[arch_of(bench).name][0]
        count = gdb.read([counter])[counter]
        for n in range(5):
            answers(gdb, "vCont;c")
            check("pc and counter", (pc_of(gdb), gdb.read([counter])[counter]),
                  (target.spin, count + n))
        gdb.remove(target.spin, 0, length)
        gdb.remove(at, 0, length)
        gdb.resume("vCont;c")
        time.sleep(0.2)
        check("removed: memory while the guest runs", memory_of(target, start), code)
        gdb.interrupt()


def gdb_always_inserted(bench: Bench) -> None:
    """clause 7: gdb's `breakpoint always-inserted on`: no trap in memory at a stop"""
    kvm = KvmBench(bench)
    with kvm.stopped() as (target, gdb):
        code = memory_of(target, target.spin, 4)
        gdb.close()
        look = f"monitor xp /4bx {target.spin:#x}"
        commands = ["set pagination off", "set breakpoint always-inserted on",
                    f"target remote 127.0.0.1:{target.l2.gdb_port}",
                    f"break *{target.spin:#x}", look, "continue", look, "stepi", look,
                    "continue", look, "info registers pc", "delete", "detach"]
        run = subprocess.run(["gdb-multiarch", "-batch", "-nx", str(kvm.payloads["guest"]),
                              *(arg for command in commands for arg in ("-ex", command))],
                             capture_output=True, text=True, timeout=60, check=False)
        seen = [bytes(int(byte, 16) for byte in line.partition(":")[2].split())
                for line in (run.stdout + run.stderr).splitlines()
                if ":" in line and line.partition(":")[2].split()[:1] != []
                and all(word.startswith("0x") for word in line.partition(":")[2].split())]
        check(f"memory as gdb's monitor shows it, in {run.stdout}{run.stderr}", seen, [code] * 4)
        check("breakpoints hit", run.stdout.count("Breakpoint 1, "), 2)


def migrated_left_in(bench: Bench) -> None:
    """clause 7: migrated to a second QEMU, stopped on one, and running with one set"""
    kvm, length = KvmBench(bench), kind_of(bench)
    for running in (False, True):
        with kvm.stopped() as (target, gdb):
            at = target.straight + SIZE if running else target.spin
            code = memory_of(target, at)
            gdb.insert(at, 0, length)
            if running:
                gdb.resume("vCont;c")
                time.sleep(0.2)
            else:
                hit(target, gdb, at, at, code)
            target.monitor.run("migrate", uri=f"file:{STATE}")
            if running:
                check("the stop is migration's: signal", gdb.wait(20).signal, XCPU)
            wait_for("migration", lambda: target.monitor.run("query-migrate").get("status"),
                     "completed")
            check("memory of the source", memory_of(target, at), code)
            with kvm.guest(extra=["-incoming", f"file:{STATE}"], slot=1) as moved:
                wait_for("arrived", lambda: moved.monitor.state() != "inmigrate", True)
                check("memory of the destination", memory_of(moved, at), code)
                other = moved.connect()
                if not running:
                    check("pc", pc_of(other), at)
                counter = REGISTERS[arch_of(bench).name][0]
                count = other.read([counter])[counter]
                other.resume("vCont;c")
                time.sleep(0.3)
                other.interrupt()
                check("it runs on, without a breakpoint",
                      other.read([counter])[counter] > count, True)
                check("memory of the destination", memory_of(moved, at), code)


def snapshots_left_in(bench: Bench) -> None:
    """clause 7: savevm with one set; loadvm of a snapshot with other code there"""
    with KvmBench(bench).stopped() as (target, gdb):
        bench.add_disk(gdb)
        start, at, length = target.straight, target.straight + SIZE, kind_of(bench)
        new = memory_of(target, start)
        old = new[:SIZE] + NOP[arch_of(bench).name] + new[2 * SIZE:]
        gdb.write_memory(start, old)
        check("savevm", gdb.monitor("savevm old", timeout=60), "")
        gdb.write_memory(start, new)
        gdb.insert(at, 0, length)
        hit(target, gdb, start, at, new)
        check("savevm", gdb.monitor("savevm new", timeout=60), "")
        for name, code in (("old", old), ("new", new), ("old", old)):
            # pseries warns of its page sizes
            check("loadvm", "Error" in gdb.monitor(f"loadvm {name}", timeout=60), False)
            check(f"memory behind loadvm {name}", memory_of(target, start), code)
            hit(target, gdb, start, at, code)
            gdb.remove(at, 0, length)
            check(f"memory behind z0, {name}", memory_of(target, start), code)
            gdb.insert(at, 0, length)
            hit(target, gdb, start, at, code)


def reset_left_in(bench: Bench) -> None:
    """clause 2: system_reset loads the kernel over one, running and stopped: still there"""
    arch = arch_of(bench)
    reloaded, length = arch is not X86, kind_of(bench)
    with KvmBench(bench).stopped() as (target, gdb):
        # On x86 the guest is a ROM that copies itself; memory elsewhere stays
        start = target.straight if reloaded else SCRATCH[arch.name]
        at, image = start + SIZE, memory_of(target, target.straight, 8)
        gdb.write_memory(start, image)
        for running in (True, False):
            if reloaded:
                gdb.write_memory(start, NOP[arch.name] * 2)
            gdb.insert(at, 0, length)
            if running:
                place(gdb, target.spin)
                gdb.resume("vCont;c")
                time.sleep(0.2)
                target.monitor.run("system_reset")
            else:
                target.monitor.run("system_reset")
                wait_for("memory behind the reset", lambda: memory_of(target, start, 8), image)
                gdb.resume("vCont;c")
            time.sleep(1)
            now = memory_of(target, start, 8)
            check(f"in memory while the guest runs, {now.hex()}",
                  now[:SIZE] == image[:SIZE] and now != image, True)
            gdb.interrupt()
            hit(target, gdb, start, at, image)
            gdb.remove(at, 0, length)
            check("memory behind z0", memory_of(target, start, 8), image)
        if reloaded:
            gdb.insert(target.ready, 0, length)
            place(gdb, target.spin)
            gdb.resume("vCont;c")
            target.monitor.run("system_reset")
            gdb.wait(30)
            check("pc behind the reset", pc_of(gdb), target.ready)


def loaded_over_left_in(bench: Bench) -> None:
    """clause 2: the client loads other code over one: that is there, and it is hit"""
    with KvmBench(bench).stopped() as (target, gdb):
        start, at, length = target.straight, target.straight + SIZE, kind_of(bench)
        code = NOP[arch_of(bench).name] * 4
        for physical in (False, True):
            gdb.insert(at, 0, length)
            hit(target, gdb, start, at, memory_of(target, start))
            gdb._ok(f"Qqemu.PhyMemMode:{int(physical)}")
            gdb.write_memory(start, code)
            gdb._ok("Qqemu.PhyMemMode:0")
            check("memory behind M", memory_of(target, start), code)
            hit(target, gdb, start, at, code)
            gdb.remove(at, 0, length)
            check("memory behind z0", memory_of(target, start), code)
            code = code[:12] + memory_of(target, target.straight + 16, 4)


def guest_writes_over(bench: Bench) -> None:
    """clause 2: what the guest has written over one stays, and it is back at the next start"""
    arch = arch_of(bench)
    counter, pointer = REGISTERS[arch.name]
    order = "big" if arch is PPC64 else "little"
    code = NOP[arch.name] * 2
    with KvmBench(bench).stopped() as (target, gdb):
        start, length = SCRATCH[arch.name], kind_of(bench)
        for at in (start, start + SIZE):
            where = gdb.read([pointer])[pointer]
            gdb.write_memory(start, memory_of(target, target.straight, 8))
            gdb.insert(at, 0, length)
            gdb.write(counter, int.from_bytes(code, order))     # type: ignore[arg-type]
            gdb.write(pointer, start)
            place(gdb, target.rounds_store)
            gdb.step()
            gdb.write(pointer, where)
            check("memory behind a step that writes over it", memory_of(target, start, 8), code)
            hit(target, gdb, start, at, code)
            gdb.remove(at, 0, length)
            check("memory behind z0", memory_of(target, start, 8), code)


def client_gone(bench: Bench) -> None:
    """clause 2: none stays behind when the client goes: connection, D, k, gdbserver none"""
    def close(target: Target, gdb: Gdb) -> None:
        gdb.close()

    def no_server(target: Target, gdb: Gdb) -> None:
        human(target, "gdbserver none")

    with KvmBench(bench).stopped() as (target, gdb):
        start, at, length = target.straight, target.straight + SIZE, kind_of(bench)
        code = memory_of(target, start)
        for running in (True, False):
            for leave in (close, lambda target, gdb: gdb.detach(), no_server):
                if running and leave not in (close, no_server):
                    continue
                gdb.insert(at, 0, length)
                if running:
                    gdb.resume("vCont;c")
                    time.sleep(0.2)
                    check("in memory", memory_of(target, start) != code, True)
                leave(target, gdb)
                wait_for("memory", lambda: memory_of(target, start), code)
                if leave is no_server:
                    human(target, f"gdbserver tcp::{L1_GDB_PORT}")
                if target.monitor.state() not in STOPPED_STATES:
                    check("memory while it runs", memory_of(target, start), code)
                gdb = target.connect()
                place(gdb, target.spin)


def cost_left_in(bench: Bench) -> None:
    """clause 8: a step with 1,000 left in takes as many ioctls as with one"""
    with KvmBench(bench).stopped(extra=["-trace", "kvm_*ioctl"]) as (target, gdb):
        start, length = SCRATCH[arch_of(bench).name], kind_of(bench)
        costs, times, present = {}, {}, 0
        for wanted in (0, 1, 100, 1000):
            gdb.monitor("trace-event kvm_*ioctl off")
            for n in range(present, wanted):
                gdb.insert(start + 16 * n, 0, length)
            present = wanted
            place(gdb, target.straight)
            begun = time.monotonic()
            for _ in range(10):
                gdb.step()
            times[wanted] = (time.monotonic() - begun) / 10
            gdb.monitor("trace-event kvm_*ioctl on")
            place(gdb, target.straight)
            gdb.step()
            taken = ioctls_of(target.l2, gdb.step, 5)
            # How often a vCPU is kicked out of it depends on time
            costs[wanted] = {kind: n for kind, n in taken.items() if kind != KVM_RUN}
        bench.notes.append("a step with breakpoints left in: " + ", ".join(
            f"{n}: {seconds * 1e3:.1f} ms" for n, seconds in times.items()))
        for wanted in (100, 1000):
            check(f"ioctls of 5 steps with {wanted}", costs[wanted], costs[1])
