# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps and migration, to a file and into a second QEMU beside the first.

The stop that migration makes ends a step as "not begun" or "done"; there is
nothing of it to migrate.  These tests would see what was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ci_interrupts
from bench import TRAP, Bench, check, low_memory, pc_of
from build import Image
from ci_gdbstub import KvmBench
from lablib import L2, L2_MACHINE, l2_program
from rsp import Gdb, RspError, Stop

HERE = Path(__file__).resolve().parent
STATE = "/tmp/migrated"
MONITOR = 4444                  # L1's own port; not forwarded
SE = 1 << 10
DPDES = 0x10300000000000a9      # KVM_REG_PPC_DPDES
XCPU = 24                       # the signal of a stop that migration makes


def monitor(guest: L2, command: str, port: int = MONITOR) -> str:
    """A command of a monitor that is not gdb's, whose connection may be busy."""
    assert guest.lab.shell is not None
    return guest.lab.shell.run(f"(echo '{command}'; sleep 1) | "
                               f"nc 127.0.0.1 {port}", 30)[1]


def wait_migrated(guest: L2) -> None:
    deadline = time.monotonic() + 30
    while "completed" not in (answer := monitor(guest, "info migrate")):
        if "failed" in answer or time.monotonic() > deadline:
            raise AssertionError(f"migration: {answer}")


def state(gdb: Gdb) -> tuple[dict[str, int], bytes]:
    names = [f"r{n}" for n in range(32)] + ["pc", "msr", "lr", "ctr", "cr", "xer", "srr0",
                                            "srr1", "sprg0", "dar", "dsisr"]
    return gdb.read(names), low_memory(gdb)


@contextlib.contextmanager
def source(bench: Bench, payload: str, **changes: object) -> Iterator[tuple[L2, Gdb, Image]]:
    image = Image.load(bench.payloads[payload])
    extra = ["-monitor", f"tcp:127.0.0.1:{MONITOR},server=on,wait=off"]
    with bench.guest(payload, extra=extra, **changes) as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        gdb.run_to(image.symbols["begin"])
        yield guest, gdb, image


@contextlib.contextmanager
def destination(bench: Bench, payload: str, **changes: object) -> Iterator[Gdb]:
    extra = ["-incoming", f"file:{STATE}",
             "-monitor", f"tcp:127.0.0.1:{MONITOR + 1},server=on,wait=off"]
    with bench.guest(payload, slot=1, extra=extra, **changes) as guest:
        deadline = time.monotonic() + 20
        # A gdb that attaches during this ends any QEMU ('inmigrate' -> 'debug')
        while "VM status" not in (answer := monitor(guest, "info status", MONITOR + 1)) \
                or "inmigrate" in answer:
            if time.monotonic() > deadline:
                raise AssertionError(f"the destination: {answer}")
        yield Gdb.connect(guest.gdb_port, timeout=20)


def check_clean(gdb: Gdb) -> None:
    registers, memory = state(gdb)
    check("SE in MSR and SRR1", (registers["msr"] | registers["srr1"]) & SE, 0)
    if TRAP in memory:
        raise AssertionError(f"a trap in migrated memory at {memory.index(TRAP):#x}")


def check_counts(gdb: Gdb, image: Image) -> None:
    """It runs on, and can be stepped.

    Not looked at: whether memory that a running guest writes is migrated.  The
    emulated host loses some of it, with unpatched QEMU as well.
    """
    place = image.symbols["begin"]
    gdb.run_to(place, 20)
    for n in range(1, 3):
        gdb.step()
        check("pc of a step", pc_of(gdb), place + 4 * n)
    check("counter", int.from_bytes(gdb.read_memory(image.symbols["counter"], 8), "big"),
          gdb.read(["r3"])["r3"])


def migrate_stopped(bench: Bench) -> None:
    """clause 7: stopped behind a step; to patched and to unpatched QEMU"""
    for qemu in (bench.options.qemu, bench.unpatched):
        with source(bench, "spin") as (guest, gdb, image):
            for _ in range(4):
                gdb.step()
            before = state(gdb)
            monitor(guest, f"migrate file:{STATE}")
            wait_migrated(guest)
            with destination(bench, "spin", qemu=qemu) as moved:
                check("registers and memory", state(moved), before)
                if qemu == bench.options.qemu:
                    check_counts(moved, image)


def migrate_unpatched(bench: Bench) -> None:
    """clause 7: from unpatched QEMU, then stepped"""
    with source(bench, "spin", qemu=bench.unpatched) as (guest, gdb, image):
        before = state(gdb)
        monitor(guest, f"migrate file:{STATE}")
        wait_migrated(guest)
        with destination(bench, "spin") as moved:
            check("registers and memory", state(moved), before)
            check_counts(moved, image)


def migrate_running(bench: Bench) -> None:
    """clause 7: while a stepped guest runs on"""
    with source(bench, "spin") as (guest, gdb, image):
        for _ in range(4):
            gdb.step()
        gdb.resume("vCont;c")
        time.sleep(0.3)
        monitor(guest, f"migrate file:{STATE}")
        wait_migrated(guest)
        with destination(bench, "spin") as moved:
            check_clean(moved)
            check_counts(moved, image)


def step_until_migrated(gdb: Gdb, call: int) -> Stop:
    """The call is stepped again and again: the stop that migration makes, or the last
    one of 5 s if migration has come between two steps.  What is asked of the source
    between that stop and the end is refused."""
    end = time.monotonic() + 5
    while True:
        gdb.resume("vCont;s:p1.1")
        try:
            stop = gdb.wait(20)
        except RspError:
            assert gdb.stop
            return gdb.stop
        if time.monotonic() > end:
            return stop
        if stop.signal == XCPU:
            answer = gdb.text("vCont;s:p1.1", 20)
            check(f"{answer}: refused, or a step behind it", answer[:3] in ("E22", "T05"), True)
            return stop
        check(f"signal of {stop.raw}", stop.signal, 5)
        gdb.write("pc", call)


def migrate_from_call(bench: Bench, delay: float, step: Callable[[Gdb, int], Stop]) -> Stop:
    """Migrate `delay` seconds after the steps of the call begin; the stop that `step`
    has got.  The destination is at the call or behind it, and steps are exact there."""
    with source(bench, "cede") as (guest, gdb, image):
        call, begin = image.symbols["call"], image.symbols["begin"]
        while pc_of(gdb) != call:
            gdb.step()
        assert guest.lab.shell is not None
        # The command is on its way when the first step begins
        guest.lab.shell.check(f"(usleep {round((0.2 + delay) * 1e6)}; "
                              f"echo 'migrate file:{STATE}'; sleep 1) | "
                              f"nc 127.0.0.1 {MONITOR} >/dev/null 2>&1 &")
        time.sleep(0.2)
        stop = step(gdb, call)
        wait_migrated(guest)
        with destination(bench, "cede") as moved:
            check_clean(moved)
            if pc_of(moved) not in (call, call + 4):
                raise AssertionError(f"pc is {pc_of(moved):#x} after {stop.raw}")
            moved.write("pc", begin)
            for n in range(1, 3):
                moved.step()
                check("pc of a step", pc_of(moved), begin + 4 * n)
    return stop


# Takes a minute
@pytest.mark.by_hand
def migrate_in_step(bench: Bench) -> None:
    """clause 7: within a step: H_CEDE, which waits, at several moments of it"""
    within, wanted = 0, 4 if bench.options.full else 2
    for turn in range(3 * wanted):
        if within == wanted:
            break
        stop = migrate_from_call(bench, turn * 0.03, step_until_migrated)
        within += stop.signal == XCPU
    bench.notes.append(f"migrated within a step: {within} times")
    check("migrated within a step: times", within, wanted)


def step_once(gdb: Gdb, call: int) -> Stop:
    gdb.resume("vCont;s:p1.1")
    return gdb.wait(20)


def migrate_about_a_step(bench: Bench) -> None:
    """clause 7: about the time of a step of H_CEDE, which waits, or within it"""
    delays = (0.0, 0.03, 0.06, 0.1) if bench.options.full else (0.0, 0.05)
    within = sum(migrate_from_call(bench, delay, step_once).signal != 5 for delay in delays)
    bench.notes.append(f"migrated about a step: {within} times within it")


@contextlib.contextmanager
def kvm_refuses(guest: L2, register: int) -> Iterator[None]:
    """KVM does not write this register: see host/fail-ioctl.c."""
    shell = guest.lab.shell
    assert shell is not None
    program = guest.lab.push(l2_program(HERE / "host" / "fail-ioctl.c", guest.lab.cache),
                             executable=True)
    pid = shell.check(f"{program} $(cat {guest.pid_file}) {register:x} >/tmp/refuses 2>&1 & "
                      "echo $!").strip()
    try:
        shell.check("n=0; until grep -q ready /tmp/refuses; do n=$((n+1)); "
                    "[ $n -lt 100 ] || exit 1; usleep 50000; done")
        yield
    finally:
        shell.check(f"kill {pid}")


@contextlib.contextmanager
def refused_doorbell(bench: Bench, steps: int) -> Iterator[tuple[L2, ci_interrupts.Guest,
                                                                 dict[str, object]]]:
    """A doorbell is held back over steps in problem state, and KVM does not take it back."""
    where: dict[str, object] = {"machine": f"{L2_MACHINE},{ci_interrupts.XICS}",
                                "host_cpu": ci_interrupts.HOST_CPU}
    clock = ci_interrupts.HostClock(bench.lab)
    with source(bench, "irq", **where) as (guest, gdb, image):
        irq = ci_interrupts.Guest(gdb, image, ci_interrupts.PROBLEM, ci_interrupts.SLOW,
                                  ci_interrupts.DEC | ci_interrupts.DOORBELL, False, clock)
        ci_interrupts.enter_round(irq)
        counters = irq.counters()
        check("doorbells that wait", counters["doorbells_sent"],
              counters["doorbells_taken"] + 1)
        with kvm_refuses(guest, DPDES):
            for n in range(1, steps + 1):
                gdb.step()
                check(f"pc of step {n}", pc_of(gdb), irq.at["loop"] + 4 * (n % 5))
            check("counters", irq.counters(), counters)
        yield guest, irq, where


def held_and_refused(bench: Bench) -> None:
    """clause 3: KVM does not take back what was held: it comes when KVM takes it"""
    with refused_doorbell(bench, 3) as (guest, irq, _):
        irq.finish_round("behind the steps")
        told = guest.log.read_text(errors="replace")
        check(f"the user is told, once: {told}", told.count("interrupt of CPU 0"), 1)


def migrate_held(bench: Bench) -> None:
    """clauses 3, 7: what KVM does not take back goes along, and comes at the destination"""
    with refused_doorbell(bench, 3) as (guest, irq, where):
        counters = irq.counters()
        monitor(guest, f"migrate file:{STATE}")
        wait_migrated(guest)
        with destination(bench, "irq", **where) as moved:
            irq.gdb = moved
            irq.spurious += 1           # KVM's ICP was set: migrated
            check("pc", pc_of(moved), irq.at["loop"] + 4 * 3)
            check("counters", irq.counters(), counters)
            irq.finish_round("behind migration")


# A pending external interrupt of QEMU's own XICS is lost in migration by unpatched QEMU
# as well
@pytest.mark.by_hand
def migrate_pending(bench: Bench) -> None:
    """clauses 3, 7: behind steps in problem state with interrupts held back: none is lost"""
    wanted = ci_interrupts.DEC | ci_interrupts.DOORBELL | ci_interrupts.EXTERNAL
    for mode in (ci_interrupts.XICS, ci_interrupts.XIVE):
        machine = f"{L2_MACHINE},{mode}"
        clock = ci_interrupts.HostClock(bench.lab)
        where: dict[str, object] = {"machine": machine, "host_cpu": ci_interrupts.HOST_CPU}
        with source(bench, "irq", **where) as (guest, gdb, image):
            irq = ci_interrupts.Guest(gdb, image, ci_interrupts.PROBLEM,
                                      ci_interrupts.FAST, wanted,
                                      mode == ci_interrupts.XIVE, clock)
            ci_interrupts.at_full_speed(irq, "before", 0.3)
            ci_interrupts.enter_round(irq)
            for n in range(1, 8):
                gdb.step()
                check(f"{mode}: pc of step {n}", pc_of(gdb), irq.at["loop"] + 4 * (n % 5))
            registers, counters = state(gdb)[0], irq.counters()
            monitor(guest, f"migrate file:{STATE}")
            wait_migrated(guest)
            with destination(bench, "irq", **where) as moved:
                irq.gdb = moved
                # One for each time that KVM's ICP was set: held, or migrated
                irq.spurious += 2 * (mode == ci_interrupts.XICS)
                check(f"{mode}: registers", state(moved)[0], registers)
                check(f"{mode}: counters", irq.counters(), counters)
                for n in range(8, 12):
                    moved.step()
                    check(f"{mode}: pc of step {n}", pc_of(moved),
                          irq.at["loop"] + 4 * (n % 5))
                irq.finish_round(f"{mode}: behind migration")
                ci_interrupts.at_full_speed(irq, f"{mode}: behind migration", 0.5)


def snapshot(bench: Bench) -> None:
    """clause 7: savevm and loadvm, stopped and within a step"""
    with KvmBench(bench).guest("cede") as target:
        gdb, image = target.connect(), target.image
        gdb.run_to(target.begin)
        bench.add_disk(gdb)
        for _ in range(3):
            gdb.step()
        before = state(gdb)
        answer = gdb.monitor("savevm one", timeout=60)
        check("savevm", answer, "")
        for _ in range(4):
            gdb.step()
        gdb.monitor("loadvm one", timeout=60)
        check("registers and memory after loadvm", state(gdb), before)
        target.monitor.sock.settimeout(60)
        for _ in range(2):
            # Behind its hypercall it would go on to wait
            gdb.write("pc", target.begin)
            while pc_of(gdb) != target.call:
                gdb.step()
            target.monitor.state()              # behind it no event is left over
            target.monitor.events.clear()
            # This one waits, and is given 200 ms
            gdb.resume("vCont;s:p1.1")
            target.monitor.human("savevm two")
            events = list(target.monitor.events)
            try:
                stop = gdb.wait(20)
            except RspError as err:
                raise AssertionError(f"savevm within a step: {err}; {events}") from None
            check("the step's stop", stop.signal, 5)
            gdb.monitor("loadvm two", timeout=60)
            check_clean(gdb)
            bench.notes.append(f"savevm in a step: {', '.join(events)}")
        gdb.write("pc", image.symbols["begin"])
        gdb.step()
        check("pc of a step", pc_of(gdb), image.symbols["begin"] + 4)
