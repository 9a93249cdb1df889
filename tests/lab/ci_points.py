# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware breakpoints and watchpoints.

An emulated POWER host raises CIABR's interrupt before the instruction; the
Power ISA has it behind (Book III, 10.3).  Either is accepted here.
"""

from __future__ import annotations

import time

from bench import Bench, Test, check, low_memory, pc_of
from lablib import L2
from rsp import Gdb, RspError

HARDWARE, WRITE, READ, ACCESS = 1, 2, 3, 4


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


def watch(bench: Bench) -> None:
    """DAWR: type, address, bytes beside; refused where there is none"""
    with bench.spinning() as (guest, gdb, image):
        counter = image.symbols["counter"]
        store = image.symbols["spin"] + 4
        if bench.options.machine == "powernv9":
            refused(gdb, f"Z2,{counter:x},8", "a watchpoint on POWER9")
            gdb.step()
            said(guest, "no watchpoint register")
            return
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
    if bench.options.machine == "powernv9":
        return
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


TESTS: list[Test] = [hbreak, watch, watch_stepped]
