# SPDX-License-Identifier: GPL-2.0-or-later
"""A process of several threads (user mode), which runs beside the one that has stopped."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import payloads
from build import Image
from common import LIMIT, Bench, Gdb, answers, check
from lablib import reserve_port

THREADS = 4
ROUNDS = 60
# What is freed is overwritten, so that a look-up in it does not come off by luck
PERTURBED = os.environ | {"MALLOC_PERTURB_": "165"}


class User(Gdb):
    FEATURES = "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386"


@dataclass
class Process:
    image: Image
    gdb: Gdb

    def at(self, name: str) -> int:
        return self.image.symbols[name]

    def counts(self) -> list[int]:
        data = self.gdb.read_memory(self.at("counts"), 8 * THREADS)
        return [int.from_bytes(data[n:n + 8], "little") for n in range(0, len(data), 8)]

    def pc(self, thread: str) -> int:
        self.gdb.select(thread)
        return self.gdb.read(["rip"])["rip"]

    def meets(self) -> str:
        """The first thread has come to `meet`; its name."""
        stop = answers(self.gdb, "vCont;c", timeout=4 * LIMIT)
        check(f"pc at {stop.raw}", self.pc(stop.thread), self.at("meet"))
        return stop.thread

    def ends(self) -> None:
        self.gdb.write_memory(self.at("ending"), b"\1\0\0\0")
        self.gdb.resume("vCont;c")
        stop = self.gdb.wait(4 * LIMIT)
        check("how it ended", (stop.kind, stop.signal), ("W", 0))


@contextlib.contextmanager
def process(bench: Bench) -> Iterator[Process]:
    """All threads count, and the first is at `meet`."""
    elf = payloads.build_user(bench.options.work / "payloads")
    port = reserve_port()
    log = bench.options.work / "user.log"
    log.write_bytes(b"")
    bench.logs = [log]
    child = bench.children.start(
        [str(bench.options.qemu.with_name("qemu-x86_64")), "-g", str(port), str(elf)],
        log, env=PERTURBED)
    deadline = time.monotonic() + 20
    try:
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                gdb = User.connect(port, timeout=LIMIT)
                break
            if child.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("qemu-x86_64 did not start")
            time.sleep(0.05)
        found = Process(Image.load(elf), gdb)
        gdb.insert(found.at("meet"), length=1)
        found.meets()
        while not all(found.counts()):
            step_off(found)
        yield found
        gdb.close()
    finally:
        bench.children.stop(child)


def step_off(found: Process, thread: str = "") -> str:
    """The first thread has left `meet` and has come to it again, as gdb would do it."""
    thread = thread or found.gdb.stop.thread
    found.gdb.remove(found.at("meet"), length=1)
    found.gdb.step(thread, 4 * LIMIT)
    found.gdb.insert(found.at("meet"), length=1)
    return found.meets()


def threads_wait(bench: Bench) -> None:
    """item 16: while the client is served no thread runs; each goes on behind that"""
    with process(bench) as found:
        for _ in range(5):
            before = found.counts()
            time.sleep(0.1)
            check("counters of a process that has stopped", found.counts(), before)
            # A step is short: on a busy host others may not wake up for many of them
            deadline = time.monotonic() + 4 * LIMIT
            while not all(new > old for new, old in zip(found.counts(), before)):
                if time.monotonic() > deadline:
                    raise AssertionError(f"all threads count: {before}, {found.counts()}")
                step_off(found)
        found.gdb.remove(found.at("meet"), length=1)
        found.ends()


def breakpoints_beside_threads(bench: Bench) -> None:
    """item 16: breakpoints come and go, up to the last one, while threads look them up"""
    with process(bench) as found:
        room, gdb = found.at("room"), found.gdb
        for n in range(ROUNDS):
            places = range(room, room + 1 + n % 100)
            for place in places:
                gdb.insert(place, length=1)
            step_off(found)
            for place in places:
                gdb.remove(place, length=1)
            step_off(found)
        gdb.remove(found.at("meet"), length=1)
        found.ends()


def threads_meet(bench: Bench) -> None:
    """item 16: of threads that meet a breakpoint at the same time one is reported, then another"""
    with process(bench) as found:
        gdb, inner = found.gdb, found.at("inner")
        gdb.remove(found.at("meet"), length=1)
        gdb.insert(inner, length=1)
        for _ in range(ROUNDS):
            stop = answers(gdb, "vCont;c", timeout=4 * LIMIT)
            check(f"pc at {stop.raw}", found.pc(stop.thread), inner)
        gdb.remove(inner, length=1)
        # Those that have met it, too
        gdb.insert(found.at("meet"), length=1)
        for _ in range(THREADS + 1):
            stop = answers(gdb, "vCont;c", timeout=4 * LIMIT)
            if found.pc(stop.thread) == found.at("meet"):
                break
            check(f"pc at {stop.raw}", found.pc(stop.thread), inner)
        gdb.remove(found.at("meet"), length=1)
        gdb.write_memory(found.at("ending"), b"\1\0\0\0")
        for _ in range(THREADS + 1):
            gdb.resume("vCont;c")
            if (stop := gdb.wait(4 * LIMIT)).kind == "W":
                break
        check("how it ended", (stop.kind, stop.signal), ("W", 0))
