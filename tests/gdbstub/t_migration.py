# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of a virtual machine that is being migrated."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from common import FIRST, LIMIT, Bench, Gdb, Guest, answers, check, goes_on, pc_of, refused

RESUMES = ("vCont;c", f"vCont;s:{FIRST}", f"vCont;s:{FIRST};c", "c", "s", "C05")
DISK = "disk0"


def wait_for(guest: Guest, *states: str) -> None:
    """Until the migration is there."""
    deadline = time.monotonic() + 20
    while (state := guest.monitor.run("query-migrate").get("status")) not in states:
        if state == "failed" or time.monotonic() > deadline:
            raise AssertionError(f"migration: {state}, should be {' or '.join(states)}")
        time.sleep(0.02)


def begin(guest: Guest, file: Path) -> None:
    """Migrate to a file, up to where all is stopped and the end is waited for."""
    guest.monitor.run("migrate-set-capabilities", capabilities=[
        {"capability": "pause-before-switchover", "state": True}])
    guest.monitor.run("migrate", uri=f"file:{file}")
    wait_for(guest, "pre-switchover")
    check("state", guest.monitor.state(), "finish-migrate")


def end(guest: Guest) -> None:
    guest.monitor.run("migrate-continue", state="pre-switchover")
    wait_for(guest, "completed")
    check("state", guest.monitor.state(), "postmigrate")


def steps(guest: Guest, gdb: Gdb) -> None:
    """One instruction at a time, and on."""
    at = pc_of(gdb)
    for n in range(1, 3):
        answers(gdb, f"vCont;s:{FIRST}")
        check("pc of a step", pc_of(gdb), guest.spin + (at - guest.spin + 4 * n) % 12)
    goes_on(gdb)


@contextlib.contextmanager
def source(bench: Bench, name: str, running: bool = False) -> Iterator[tuple[Guest, Gdb, Path]]:
    """A guest at its loop, with a disk, while it is migrated to a file."""
    file = bench.options.work / f"{name}.state"
    disk = bench.options.work / f"{name}.raw"
    disk.write_bytes(bytes(1 << 20))
    extra = ["-blockdev", f"driver=file,node-name={DISK},filename={disk}"]
    with bench.stopped(extra=extra) as (guest, gdb):
        gdb.run_to(guest.spin)
        if running:
            gdb.resume("vCont;c")
        begin(guest, file)
        if running:
            check("signal of the stop", gdb.wait(LIMIT).signal, 24)
        yield guest, gdb, file


def disk_is_active(guest: Guest) -> bool:
    nodes = guest.monitor.run("query-named-block-nodes")
    return next(node["active"] for node in nodes if node["node-name"] == DISK)


def resumed_while_it_migrates(bench: Bench) -> None:
    """clause 7: nothing runs between the stop and the end of a migration"""
    for running in (False, True):
        with source(bench, "leaving", running) as (guest, gdb, _):
            at = pc_of(gdb)
            refused(gdb, RESUMES)
            check("state", guest.monitor.state(), "finish-migrate")
            end(guest)
            check("pc", pc_of(gdb), at)


def resumed_behind_migration(bench: Bench) -> None:
    """clause 7: the source runs on, and has its disks"""
    with source(bench, "staying") as (guest, gdb, _):
        end(guest)
        check("the disk is active", disk_is_active(guest), False)
        steps(guest, gdb)
        check("the disk is active", disk_is_active(guest), True)


def detached_while_it_migrates(bench: Bench) -> None:
    """clause 7: a client that goes does not let it run"""
    with source(bench, "detached") as (guest, gdb, _):
        check("D", gdb.text("D;1", LIMIT), "OK")
        check("state", guest.monitor.state(), "finish-migrate")
        end(guest)


@contextlib.contextmanager
def destination(bench: Bench, file: Path) -> Iterator[Guest]:
    """One that the guest has not come to yet, and that would run it."""
    with bench.guest(extra=["-incoming", "defer"]) as guest:
        guest.monitor.run("cont")
        yield guest


def arrive(guest: Guest, file: Path, state: str) -> None:
    guest.monitor.run("migrate-incoming", uri=f"file:{file}")
    deadline = time.monotonic() + 20
    while (now := guest.monitor.state()) == "inmigrate":
        if time.monotonic() > deadline:
            raise AssertionError("it has not arrived")
        time.sleep(0.02)
    check("state", now, state)


def attached_to_a_destination(bench: Bench) -> None:
    """clause 7: it arrives stopped for a client that is there already, running if it went"""
    with source(bench, "arriving", running=True) as (here, gdb, file):
        at = pc_of(gdb)
        end(here)
        with destination(bench, file) as there:
            moved = there.connect()
            refused(moved, RESUMES)
            check("state", there.monitor.state(), "inmigrate")
            arrive(there, file, "paused")
            check("pc", pc_of(moved), at)
            steps(there, moved)
        with destination(bench, file) as there:
            moved = there.connect()
            check("D", moved.text("D;1", LIMIT), "OK")
            arrive(there, file, "running")
