# SPDX-License-Identifier: GPL-2.0-or-later
"""Single steps of bare guests: the contract's plain cases (about/CONTRACT.md)."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import TRAP, Bench, check, low_memory, pc_of
from build import Image
from lablib import L2, l2_program
from rsp import Gdb, RspError

HERE = Path(__file__).resolve().parent
SE = 1 << 10
LOCKSTEP_LIMIT = 900            # seconds; it takes 125 by itself
KVM_RUN, GET_REGS, SET_REGS = "0x2000ae80", "0x4188ae81", "0x8188ae82"
GET_ONE_REG = "0x8010aeab"
CAP_PPC_SMT = 64

def unpatched_step_never_returns(bench: Bench) -> None:
    """BASELINE P1: why any of this exists"""
    with bench.spinning(qemu=bench.unpatched) as (_, gdb, _image):
        try:
            gdb.step(timeout=4)
        except RspError as err:
            check("the answer", str(err), "no answer in time")
        else:
            raise AssertionError("unpatched QEMU steps: is it unpatched?")


def lockstep(bench: Bench, payload: str) -> None:
    with bench.guest(payload) as guest:
        done = subprocess.run(
            [sys.executable, HERE / "lockstep.py", "--payload", bench.payloads[payload],
             "--work", bench.options.work, "--time-limit", str(LOCKSTEP_LIMIT), "tcg",
             f":{guest.gdb_port}"], capture_output=True, text=True, check=False)
    last = (done.stdout.strip() or "nothing printed").splitlines()[-1]
    bench.notes.append(f"{payload}: {last}")
    if done.returncode:
        raise AssertionError(f"{payload}:\n{done.stdout}{done.stderr}")
    steps = int(last.split()[0])
    if steps < 2000:
        raise AssertionError(f"{payload}: only {steps} steps")


@pytest.mark.timeout(LOCKSTEP_LIMIT)
def lockstep_big_endian(bench: Bench) -> None:
    """clauses 1, 2, 3: every class, faults, AIL 0 and 3, IR/DR, as TCG; BE"""
    lockstep(bench, "be" if bench.options.full else "be-short")


@pytest.mark.timeout(LOCKSTEP_LIMIT)
def lockstep_little_endian(bench: Bench) -> None:
    """clauses 1, 2, 3: the same, LE"""
    lockstep(bench, "le" if bench.options.full else "le-short")


@pytest.mark.timeout(LOCKSTEP_LIMIT)
def lockstep_self_tracing(bench: Bench) -> None:
    """clause 5: a guest that sets MSR[SE] itself, as TCG"""
    lockstep(bench, "be-selftrace")


def no_trace_in_memory(bench: Bench) -> None:
    """clause 2: memory after steps, and after continue and ^C"""
    with bench.spinning() as (_, gdb, _image):
        before = low_memory(gdb)
        if TRAP in before:
            raise AssertionError("a trap before the first step")
        for _ in range(30):
            gdb.step()
            registers = gdb.read(["msr", "srr1"])
            check("SE in MSR and SRR1", (registers["msr"] | registers["srr1"]) & SE, 0)
        check("memory after 30 steps", low_memory(gdb) == before, True)
        gdb.resume("vCont;c")
        time.sleep(0.5)
        gdb.interrupt()
        if TRAP in low_memory(gdb):
            raise AssertionError("a trap after continue and ^C")
        gdb.step()


def step_interrupted(bench: Bench) -> None:
    """a step cut short: ^C sent together with it; afterwards steps are exact"""
    with bench.spinning() as (_, gdb, image):
        spin = image.symbols["spin"]
        for _ in range(20):
            pc = pc_of(gdb)
            gdb.link.send("vCont;s:p1.1")
            gdb.link.sock.sendall(b"\x03")
            stop = gdb.wait()
            check("stop", stop.signal in (2, 5), True)
            with contextlib.suppress(RspError):
                gdb.wait(0.2)           # the ^C, if it came after the step
            after = pc_of(gdb)
            want = spin if pc == spin + 8 else pc + 4
            if after not in (pc, want):
                raise AssertionError(f"{pc:#x} -> {after:#x}")
            if TRAP in low_memory(gdb):
                raise AssertionError("a trap is left")


def disconnect(bench: Bench) -> None:
    """clause 2: gdb dies with a breakpoint inserted, and within a step"""
    image = Image.load(bench.payloads["spin"])
    with bench.spinning() as (guest, gdb, _):
        vectors = low_memory(gdb)
        gdb.insert(0x400000)            # behind us: never reached
        check("as the guest would read it", gdb.read_memory(0x400000, 0x18),
              vectors[0x1000:])
        gdb.resume("vCont;c")
        time.sleep(0.3)
        gdb.close()
        time.sleep(0.5)
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        check("memory after gdb died", low_memory(gdb) == vectors, True)
        gdb.link.send("vCont;s:p1.1")
        gdb.close()
        time.sleep(0.5)
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        check("memory after gdb died in a step", low_memory(gdb) == vectors, True)
        pc = pc_of(gdb)
        gdb.step()
        check("a step", pc_of(gdb),
              image.symbols["spin"] if pc == image.symbols["spin"] + 8 else pc + 4)


def detach(bench: Bench) -> None:
    """clause 2: after a detach the guest runs on"""
    with bench.spinning() as (guest, gdb, image):
        for _ in range(5):
            gdb.step()
        gdb.detach()
        time.sleep(0.5)
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        first = gdb.read_memory(image.symbols["counter"], 8)
        gdb.detach()
        time.sleep(0.5)
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        second = gdb.read_memory(image.symbols["counter"], 8)
        if int.from_bytes(second, "big") <= int.from_bytes(first, "big"):
            raise AssertionError("the guest does not count any more")


def refused(bench: Bench) -> None:
    """clause 9: an instruction that can't be read: E, one line, no change"""
    with bench.spinning() as (guest, gdb, image):
        before = gdb.read()
        nowhere = 0x0700000000000000
        gdb.write("pc", nowhere)
        gdb.link.send("vCont;s:p1.1")
        check("the answer to a step", gdb.link.receive(10), b"E22")
        check("pc", pc_of(gdb), nowhere)
        gdb.write("pc", before["pc"])
        after = gdb.read()
        changed = [name for name in ("msr", "srr0", "srr1", "r3", "lr", "ctr")
                   if before[name] != after[name]]
        check("changed registers", changed, [])
        gdb.step()
        check("the next step", pc_of(gdb), image.symbols["spin"] + 4)
        lines = [line for line in guest.log.read_text(errors="replace").splitlines()
                 if "can't step" in line]
        check("error lines", len(lines), 1)
        bench.notes.append(f"refused: {lines[0].split(': ', 1)[-1]}")


def own_breakpoints(bench: Bench) -> None:
    """gdb's breakpoints on the instruction, the next, and the Trace vector"""
    with bench.spinning() as (_, gdb, image):
        spin = image.symbols["spin"]
        before = low_memory(gdb)
        for place in (spin, spin + 4, spin + 8, 0xd00):
            gdb.insert(place)
        for n in range(1, 10):
            gdb.step()
            check(f"pc after step {n}", pc_of(gdb), spin + 4 * (n % 3))
        for place in (spin, spin + 4, spin + 8, 0xd00):
            gdb.remove(place)
        check("memory", low_memory(gdb) == before, True)
        gdb.insert(spin)
        gdb.step()
        gdb.step()
        gdb.cont()
        check("continue still stops", pc_of(gdb), spin)


def monitor_between_steps(bench: Bench) -> None:
    """`info registers` of the monitor between steps"""
    with bench.spinning() as (_, gdb, image):
        spin = image.symbols["spin"]
        gdb.step()
        gdb.monitor("info registers")
        gdb.step()
        check("pc", pc_of(gdb), spin + 8)


def sstepbits(bench: Bench) -> None:
    """NOIRQ is offered, and may be turned off"""
    with bench.spinning() as (_, gdb, _image):
        check("qqemu.sstepbits", gdb.text("qqemu.sstepbits"), "ENABLE=1,NOIRQ=2")
        check("Qqemu.sstep=1", gdb.text("Qqemu.sstep=1"), "OK")
        pc = pc_of(gdb)
        gdb.step()
        check("pc", pc_of(gdb) != pc, True)


def count_ioctls(guest: L2) -> Counter[str]:
    """How many of each type the QEMU under test has traced so far."""
    time.sleep(1)
    return Counter(re.findall(r"^kvm\w*_ioctl .*?type (0x[0-9a-f]+)",
                              guest.log.read_text(errors="replace"), re.M))


def ioctls_of(guest: L2, action: Callable[[], object], times: int = 1) -> Counter[str]:
    """What that takes, of a guest with -trace kvm_*ioctl."""
    before = count_ioctls(guest)
    for _ in range(times):
        action()
    return count_ioctls(guest) - before


def ioctls(bench: Bench) -> None:
    """what a step costs in KVM ioctls of all kinds: bare, with `g`, with x/i"""
    actions: dict[str, Callable[[Gdb], object]] = {
        "bare": lambda gdb: None,
        "with `g`": lambda gdb: gdb.read_g(),
        "with `g`, `p srr1` and `m`": lambda gdb: (
            gdb.read(["pc", "srr1"]), gdb.read_memory(0x400000, 4)),
    }
    with bench.spinning(extra=["-trace", "kvm_*ioctl"]) as (guest, gdb, _):
        for name, action in actions.items():
            def step() -> None:
                gdb.step()
                action(gdb)

            for _ in range(2):
                step()
            taken = ioctls_of(guest, step, 10)
            total = taken.total() / 10
            runs = taken[KVM_RUN] / 10
            bench.notes.append(f"ioctls for a step {name}: {total:g}, of these "
                               f"KVM_RUN {runs:g}")
            # Each step has one; one more is a kick's now and then
            if not 1 <= runs <= 1.1 or total > 12:
                raise AssertionError(f"{total} ioctls for a step {name}: {taken}")
            # A step inside QEMU: one to write registers, KVM_RUN, one to read
            # them.  The rest is the time base, when the VM stops and starts.
            if name == "bare":
                for kind in (GET_REGS, SET_REGS):
                    check(f"ioctls {kind} for 10 steps", taken.pop(kind), 10)
                if taken.total() / 10 - runs > 2:
                    raise AssertionError(f"a step by itself: also {taken}")


def unattached(bench: Bench) -> None:
    """clause 8: without a debugger, the same ioctls as unpatched QEMU"""
    counts = []
    for qemu in (bench.unpatched, bench.options.qemu):
        with bench.guest("be-short", qemu=qemu, stopped=False,
                         extra=["-trace", "kvm_*ioctl"]) as guest:
            time.sleep(3)
            counts.append(count_ioctls(guest))
    for count in counts:
        if count.total() < 200:
            raise AssertionError(f"only {count.total()} ioctls traced")
        # How often a vCPU is kicked out of it depends on time
        bench.notes.append(f"ioctls of a guest without debugger: {count.total()}, of "
                           f"these KVM_RUN {count.pop(KVM_RUN, 0)}")
    check("ioctls by type, unpatched and patched", counts[1], counts[0])


def debugged(bench: Bench, qemu: Path) -> Counter[str]:
    """The ioctls of a debugger's breakpoints, registers and memory where KVM has no
    SMT modes; but for KVM_RUN, whose number depends on time."""
    nocap = bench.lab.push(l2_program(HERE / "host" / "nocap.c", bench.lab.cache),
                           executable=True)
    spin = Image.load(bench.payloads["spin"]).symbols["spin"]
    with bench.guest("spin", qemu=qemu, under=(nocap, str(CAP_PPC_SMT)),
                     extra=["-trace", "kvm_*ioctl"]) as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        gdb.run_to(spin + 8)        # behind what connecting takes
        before = count_ioctls(guest)
        for place in (spin, spin + 8) * 4:
            gdb.run_to(place)
            check("pc", pc_of(gdb), place)
            gdb.write_memory(0x1000, gdb.read_memory(spin, 16))
        gdb.resume("vCont;c")
        time.sleep(1)
        gdb.interrupt()
        pc_of(gdb)
        count = count_ioctls(guest) - before
        count.pop(KVM_RUN)
        gdb.detach()
        return count


def kvm_that_steps(bench: Bench) -> None:
    """clause 8: PR and Book E step by themselves: the ioctls of unpatched QEMU"""
    before, now = (debugged(bench, qemu) for qemu in (bench.unpatched, bench.options.qemu))
    bench.notes.append(f"KVM without SMT modes: {now.total()} ioctls of a debugger, "
                       f"unpatched {before.total()}")
    # At each of the 9 stops the time base is read: see hw/ppc/tb-offset.patch
    before[GET_ONE_REG] += 9
    check("ioctls by type, patched and unpatched", now, before)


def linux_smp(bench: Bench) -> None:
    """smoke: Linux with 2 vCPUs, one stepped while the other runs"""
    with bench.guest(None, cpus=2, stopped=False) as guest:
        guest.wait_console(r"tick 2\b", 150)
        gdb = Gdb.connect(guest.gdb_port, timeout=30)
        threads = gdb.threads()
        check("threads", len(threads), 2)
        for _ in range(4):
            for thread in threads:
                for _ in range(10):
                    gdb.resume(f"vCont;s:{thread};c")
                    check("stop", gdb.wait(30).signal, 5)
            gdb.resume("vCont;c")
            time.sleep(0.5)
            gdb.interrupt()
        gdb.detach()
        seen = max(int(n) for n in re.findall(r"tick (\d+)", guest.console.read_text()))
        guest.wait_console(rf"tick {seen + 3}\b", 60)
        text = guest.console.read_text(errors="replace")
        for bad in ("Oops", "BUG:", "Kernel panic", "rcu_sched", "soft lockup", "segfault"):
            if bad in text:
                raise AssertionError(f"'{bad}' in the guest's console: {guest.console}")
