# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware breakpoints and watchpoints.

An emulated POWER host raises CIABR's interrupt before the instruction; the
Power ISA has it behind (Book III, 10.3).  Either is accepted here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from bench import TRAP, Bench, check, low_memory, pc_of
from ci_gdbstub import KvmBench, Target
from lablib import L1_GDB_PORT, L2, PPC64
from rsp import Gdb, RspError
from soak import linux_of

HARDWARE, WRITE, READ, ACCESS = 1, 2, 3, 4
COUNTS = ("rounds", "traces", "faults")         # of payload/points.S
REGISTERS = ("ciabr", "dawr0", "dawrx0")


def refused(gdb: Gdb, packet: str, what: str) -> None:
    answer = gdb.text(packet)
    if answer[:1] != "E":
        raise AssertionError(f"{what} is answered {answer!r}")


def said(guest: L2, text: str) -> int:
    """In how many lines QEMU says so; its log comes over the network."""
    deadline = time.monotonic() + 10
    while not (count := guest.log.read_text(errors="replace").count(text)):
        if time.monotonic() > deadline:
            raise AssertionError(f"QEMU does not say '{text}'")
        time.sleep(0.2)
    return count


def hbreak(bench: Bench) -> None:
    """CIABR: stops there each time, leaves nothing, one at a time"""
    with bench.spinning() as (guest, gdb, image):
        place = image.symbols["spin"] + 4
        before = low_memory(gdb)
        gdb.insert(place, HARDWARE)
        check("memory with it inserted", low_memory(gdb) == before, True)
        refused(gdb, f"Z1,{place + 4:x},4", "a second one")
        for _ in range(3):
            gdb.cont(10)
            if pc_of(gdb) not in (place, place + 4):
                raise AssertionError(f"stopped at {pc_of(gdb):#x}, not {place:#x}")
            check("memory at the stop", low_memory(gdb) == before, True)
            gdb.remove(place, HARDWARE)
            for n in range(3):
                gdb.step()
            gdb.insert(place, HARDWARE)
        gdb.remove(place, HARDWARE)
        gdb.resume("vCont;c")
        try:
            stop = gdb.wait(2)
        except RspError:
            gdb.interrupt()
        else:
            raise AssertionError(f"removed, and stops: {stop.raw}")
        check("lines about the second one", said(guest, "breakpoint register"), 1)


def want_dawr(machine: str) -> None:
    if machine == "powernv9":
        pytest.skip("POWER9 has no watchpoint register that may be used")


def watch_refused(bench: Bench) -> None:
    """no DAWR: refused, and said why"""
    if bench.options.machine != "powernv9":
        pytest.skip("this processor has DAWR")
    with bench.spinning() as (guest, gdb, image):
        refused(gdb, f"Z2,{image.symbols['counter']:x},8", "a watchpoint on POWER9")
        gdb.step()
        said(guest, "no watchpoint register")


def watch(bench: Bench) -> None:
    """DAWR: type, address, bytes beside"""
    want_dawr(bench.options.machine)
    with bench.spinning() as (_, gdb, image):
        counter = image.symbols["counter"]
        store = image.symbols["spin"] + 4
        for kind, name in ((WRITE, "watch"), (ACCESS, "awatch")):
            gdb.insert(counter, kind, 8)
            for _ in range(3):
                stop = gdb.cont(10)
                found = [(key, int(value, 16)) for key, value in stop.details
                         if key.endswith("watch")]
                check("the stop", found, [(name, counter)])
                check("pc", pc_of(gdb), store)
                gdb.remove(counter, kind, 8)
                value = gdb.read(["r3"])["r3"]
                gdb.step()
                check("pc behind it", pc_of(gdb), store + 4)
                check("memory", int.from_bytes(gdb.read_memory(counter, 8), "big"), value)
                gdb.insert(counter, kind, 8)
            stop = gdb.step() if pc_of(gdb) == store else gdb.cont(10)
            gdb.remove(counter, kind, 8)
        # What is not accessed in this way, or only beside the range
        for address, kind, length in ((counter, READ, 8), (counter + 8, WRITE, 8)):
            gdb.insert(address, kind, length)
            gdb.resume("vCont;c")
            try:
                stop = gdb.wait(2)
            except RspError:
                gdb.interrupt()
            else:
                raise AssertionError(f"Z{kind},{address:x},{length}: {stop.raw}")
            gdb.remove(address, kind, length)
        gdb.insert(counter, WRITE, 8)
        gdb.insert(counter + 64, WRITE, 8)
        refused(gdb, f"Z2,{counter + 128:x},8", "a third one")
        refused(gdb, f"Z2,{counter & ~511 | 508:x},8", "one over a multiple of 512")


def watch_stepped(bench: Bench) -> None:
    """DAWR: a step of the instruction that it is about says so, and stays"""
    want_dawr(bench.options.machine)
    with bench.spinning() as (_, gdb, image):
        counter = image.symbols["counter"]
        gdb.step()
        before = gdb.read(["pc", "msr", "srr0", "srr1"])
        gdb.insert(counter, WRITE, 8)
        stop = gdb.step()
        check("the stop", [key for key, _ in stop.details if key.endswith("watch")],
              ["watch"])
        check("registers", gdb.read(["pc", "msr", "srr0", "srr1"]), before)
        gdb.remove(counter, WRITE, 8)
        gdb.step()
        check("pc", pc_of(gdb), before["pc"] + 4)


@dataclass
class Counting:
    """payload/points.S, which takes interrupts of its own at the vectors that points borrow."""

    target: Target
    vectors: bytes = b""

    def hmp(self, line: str) -> str:
        return self.target.monitor.human(line)

    def counter(self, name: str) -> int:
        return self.target.number_while_running(self.target.image.symbols[name])

    def low_memory(self, gdb: Gdb) -> bytes:
        return gdb.raw_memory(0, 0x1000) + gdb.raw_memory(0x4000, 0x1000)

    def restart_server(self) -> None:
        self.hmp(f"gdbserver tcp::{L1_GDB_PORT + self.target.l2.config.slot}")

    def set_point(self, gdb: Gdb, kind: int) -> None:
        """One that the guest does not meet unless `unused` is set."""
        if kind == HARDWARE:
            gdb.insert(self.target.never, kind)
        else:
            gdb.insert(self.target.visits, kind, 8)

    def goes_on(self, what: str) -> None:
        """It runs, and its own interrupts are all that it gets."""
        begun = {name: self.counter(name) for name in COUNTS}
        deadline = time.monotonic() + 10
        while not all(self.counter(name) > begun[name] + 50 for name in COUNTS):
            check(f"{what}: interrupts that are not the guest's own; the last is "
                  f"{self.counter('stranger'):#x}", self.counter("stranges"), 0)
            if time.monotonic() > deadline:
                now = {name: self.counter(name) for name in COUNTS}
                raise AssertionError(f"{what}: the guest has counted {begun}, and 10 s later "
                                     f"{now}: {self.target.monitor.state()}")
            time.sleep(0.05)
        check(f"{what}: interrupts that are not the guest's own",
              self.counter("stranges"), 0)

    def clean(self, what: str) -> None:
        """Nothing of a point is left; the next client looks, and detaches."""
        gdb = self.target.connect()
        names = [name for name in REGISTERS if name in gdb.by_name]
        check(f"{what}: is CIABR known", names[:1], ["ciabr"])
        check(f"{what}: debug registers", gdb.read(names), dict.fromkeys(names, 0))
        check(f"{what}: vectors", self.low_memory(gdb) == self.vectors, True)
        visits = self.target.number(gdb, self.target.visits)
        gdb.write_memory(self.target.unused, (1).to_bytes(8))
        gdb.resume("vCont;c")
        deadline = time.monotonic() + 10
        while self.counter("visits") == visits and time.monotonic() < deadline:
            time.sleep(0.05)
        gdb.interrupt()
        check(f"{what}: passed where the point was",
              self.target.number(gdb, self.target.visits), visits + 1)
        check(f"{what}: interrupts that are not the guest's own",
              self.target.number(gdb, self.target.stranges), 0)
        gdb.detach()


@contextlib.contextmanager
def counting(bench: Bench) -> Iterator[Counting]:
    """That guest, behind its `begin`, without a client."""
    with KvmBench(bench).guest("points") as target:
        gdb = target.connect()
        gdb.run_to(target.begin)
        guest = Counting(target)
        guest.vectors = guest.low_memory(gdb)
        check("a trap in its memory", TRAP in guest.vectors, False)
        gdb.detach()
        yield guest


def kinds(bench: Bench) -> tuple[int, ...]:
    """The points that this host has: POWER9's watchpoint register can't be used."""
    return (HARDWARE,) if bench.options.machine == "powernv9" else (HARDWARE, WRITE, READ, ACCESS)


def leave(bench: Bench, what: str, go: Callable[[Counting, Gdb], None],
          back: Callable[[Counting], None], running: tuple[bool, ...] = (True, False)) -> None:
    """A client goes, in this way, with a point set."""
    with counting(bench) as guest:
        for kind in kinds(bench):
            for runs in running:
                name = f"{what}, Z{kind}, {'running' if runs else 'stopped'}"
                gdb = guest.target.connect()
                guest.set_point(gdb, kind)
                if runs:
                    gdb.resume("vCont;c")
                    guest.goes_on(f"{name}: before")
                go(guest, gdb)
                time.sleep(0.3)
                if guest.target.monitor.state() != "running":
                    guest.target.monitor.run("cont")
                guest.goes_on(name)
                back(guest)
                guest.clean(name)


def point_killed(bench: Bench) -> None:
    """gdb dies with a hardware breakpoint or watchpoint set: nothing of it is left"""
    leave(bench, "killed", lambda _, gdb: gdb.close(), lambda _: None)


def point_detached(bench: Bench) -> None:
    """gdb detaches with one set"""
    leave(bench, "detached", lambda _, gdb: gdb.detach(), lambda _: None, (False,))


def point_no_server(bench: Bench) -> None:
    """`gdbserver none` with one set"""
    leave(bench, "gdbserver none", lambda guest, _: guest.hmp("gdbserver none") and None,
          Counting.restart_server)


def point_killed_there(bench: Bench) -> None:
    """gdb dies while the guest is meeting its hardware breakpoint: nobody gets the match"""
    with counting(bench) as guest:
        stopped = 0
        for number in range(20):
            gdb = guest.target.connect()
            gdb.insert(guest.target.hot, HARDWARE)
            gdb.resume("vCont;c")
            time.sleep(number % 5 / 1000)
            gdb.close()
            time.sleep(0.1)
            if guest.target.monitor.state() != "running":
                stopped += 1
                guest.target.monitor.run("cont")
            guest.goes_on(f"round {number}")
        guest.clean("killed there")
        bench.notes.append(f"gdb killed at an hbreak: 20 times, {stopped} with the guest "
                           "stopped by it before")


def point_before_vectors(bench: Bench) -> None:
    """hbreak set before the guest has written its vectors, as with -S: it stops there"""
    with KvmBench(bench).guest("points") as target:
        gdb = target.connect()
        gdb.insert(target.begin, HARDWARE)
        gdb.cont(20)
        check("pc", pc_of(gdb) in (target.begin, target.begin + 4), True)
        gdb.remove(target.begin, HARDWARE)
        guest = Counting(target)
        guest.vectors = guest.low_memory(gdb)
        check("a trap in its memory", TRAP in guest.vectors, False)
        gdb.detach()
        guest.goes_on("behind it")
        guest.clean("behind it")


def point_reset(bench: Bench) -> None:
    """system_reset with an hbreak set: it is met again, and its traps are not in the way"""
    with KvmBench(bench).guest("points") as target:
        gdb = target.connect()
        gdb.run_to(target.begin)
        gdb.insert(target.begin, HARDWARE)
        gdb.resume("vCont;c")
        time.sleep(0.5)
        target.monitor.run("system_reset")
        gdb.wait(20)
        check("pc", pc_of(gdb) in (target.begin, target.begin + 4), True)
        gdb.remove(target.begin, HARDWARE)
        guest = Counting(target)
        check("a trap in its memory", TRAP in guest.low_memory(gdb), False)
        gdb.detach()
        guest.goes_on("after the reset")


def start_kernel(bench: Bench, boots: bool, **changes: object) -> None:
    with bench.guest(None, **changes) as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        place = linux_of(bench.lab).symbols(
            None, ["start_kernel"])["start_kernel"] + 8         # type: ignore[arg-type]
        gdb.insert(place, HARDWARE)
        gdb.cont(60)
        check("pc", pc_of(gdb) in (place, place + 4), True)
        gdb.remove(place, HARDWARE)
        gdb.resume("vCont;c")
        if boots:
            guest.wait_console(r"tick 2\b", 100)
        else:
            time.sleep(1)
        gdb.interrupt(20)
        check("a trap in its vectors", TRAP in low_memory(gdb) + gdb.raw_memory(0x4000, 0x1000),
              False)


def hbreak_before_boot(bench: Bench) -> None:
    """hbreak at start_kernel, set with -S: Linux stops there, and boots"""
    start_kernel(bench, True)


def hbreak_before_boot_hash(bench: Bench) -> None:
    """the same with the hash MMU; it stops there"""
    start_kernel(bench, False, append="disable_radix", machine=f"{PPC64.machine},resize-hpt=disabled",
                 memory="512M,slots=1,maxmem=4G")


def hbreak_never_met(bench: Bench) -> None:
    """hbreak at a function that is not called, set with -S: Linux boots, ^C stops it"""
    linux = linux_of(bench.lab)
    with bench.guest(None, append="nokaslr") as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        gdb.insert(linux.symbols(None, ["panic"])["panic"] + 8, HARDWARE)     # type: ignore
        gdb.resume("vCont;c")
        guest.wait_console(r"tick 2\b", 100)
        gdb.interrupt(20)
        gdb.detach()
        guest.wait_console(r"tick 4\b", 20)
