#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps, breakpoints and stops at random, on a Linux guest under load.

    soak.py --qemu FILE [--seconds N] [--seed N] [--cpus N] [--no-steps]

The guest runs, on every vCPU, a program that counts system calls in four ways
and one that holds a fast timer against the clock, and a debugger of its own.
Each action stops the guest and lets it go again; now and then all programs
must show progress.  --no-steps makes a stop and a continue of every step: the
two runs tell what steps cost beyond the stops.  The last line tells how to
repeat a failure; the order of actions is the seed's, their timing is not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "payload")]

from lablib import (HOSTS, L2, Children, L2Config, Lab, LabConfig,  # noqa: E402
                    LabError, Progress, Watchdog, tail)
from linuxguest import LINUX, Linux                                         # noqa: E402
from rsp import Gdb, RspError, RspTimeout, Stop                             # noqa: E402

LIMIT = 30.0                    # seconds for any answer, and for any progress
COUNTER = re.compile(r"^(tick|ptrace round|probes round|load \d+ n|timer \d+ n) (\d+)")
TROUBLE = re.compile(r"Oops|BUG:|Kernel panic|WARNING: CPU|Call Trace|segfault|unhandled "
                     r"(signal|trap)|Unable to handle|WRONG|FAILED|list_\w+ corruption")
# What a guest may also say because it has been stopped for long
STALLED = re.compile(r"soft lockup|hard LOCKUP|rcu_sched|rcu: INFO|blocked for more than|"
                     r"interrupt took|hogged CPU|clocksource .*unstable", re.I)
TIMER = re.compile(r"timer (\d+) n (\d+) reads (\d+) missing (\d+) extra (\d+) off (\d+) "
                   r"late (\d+) us very (\d+)")


def load_run(cpus: int) -> tuple[str, ...]:
    """Lines of init: load on every CPU.  The lab's host has two processors."""
    period = 1000 if cpus <= 2 else 4000
    return tuple(f"/bin/load {cpu} & /bin/timer {cpu} {period} &" for cpu in range(cpus))


def linux_of(lab: Lab) -> Linux:
    return LINUX[lab.arch.name](lab.kernel.vmlinux, lab.arch.tools)


def own_debugger(lab: Lab, cpu: int | None = None) -> tuple[str, ...]:
    """Lines of init: a debugger of the guest's own, of one CPU or all, and probes."""
    on = "" if cpu is None else f"/bin/busybox taskset {1 << cpu:x} "
    return (f"{on}/bin/ptrace &",) + linux_of(lab).probes


class Trouble(AssertionError):
    """The guest says that something is wrong."""


class Stuck(AssertionError):
    """What was waited for has not come."""


class Console:
    """What a guest's console has said: counters, and trouble."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self.counters: dict[str, int] = {}
        self.lines: list[str] = []
        self.trouble: list[str] = []
        self.stalled: list[str] = []
        self.timers: dict[int, list[int]] = {}
        self.latest: dict[int, int] = {}

    def poll(self) -> None:
        """Take in what is new; AssertionError if it is trouble."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self.at += end
        for line in data[:end].decode("utf-8", "replace").splitlines():
            self.lines.append(line)
            if found := COUNTER.match(line):
                self.counters[found[1]] = int(found[2])
            if found := TIMER.match(line):
                cpu, *values = map(int, found.groups())
                self.timers[cpu] = values
                self.latest[cpu] = max(values[5], self.latest.get(cpu, 0))
            if STALLED.search(line):
                self.stalled.append(line)
            elif TROUBLE.search(line):
                self.trouble.append(line)
        if self.trouble:
            raise Trouble(f"in {self.path.name}: {self.trouble[0]}")

    def wait(self, what: str, met: Callable[[], bool], limit: float = LIMIT) -> None:
        deadline = time.monotonic() + limit
        while True:
            self.poll()
            if met():
                return
            if time.monotonic() > deadline:
                raise Stuck(f"{what}: not in {limit:g} s, {self.counters}")
            time.sleep(0.1)

    def progress(self, limit: float = LIMIT, by: int = 1) -> None:
        """All counters go on (of a guest that runs)."""
        self.poll()
        before = dict(self.counters)
        stuck: list[str] = []

        def moved() -> bool:
            stuck[:] = [name for name, value in before.items()
                        if self.counters[name] < value + by]
            return not stuck

        try:
            self.wait("progress", moved, limit)
        except Stuck as err:
            if stuck:
                raise Stuck(f"no progress in {limit:g} s: {', '.join(stuck)}") from err
            raise

    def aftermath(self, gdb: Gdb) -> None:
        """After trouble: let the guest, stopped or not, say the rest."""
        with contextlib.suppress(OSError):
            gdb.close()
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and b"end trace" not in self.path.read_bytes():
            time.sleep(1)

    def values(self, pattern: str) -> list[str]:
        """The first group of every line that matches."""
        return [found[1] for line in self.lines if (found := re.match(pattern, line))]


def thread_number(name: str) -> int:
    """1 of p1.1, p01.01 or 01."""
    return int(name.rpartition(".")[2], 16)


class Session:
    """A debugger of a Linux guest: knows its vCPUs, checks every answer."""

    def __init__(self, guest: L2, console: Console) -> None:
        self.guest = guest
        self.console = console
        self.arch = linux_of(guest.lab)
        self.counts: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0
        self.attach()
        self.arch.attached(self)

    def attach(self) -> None:
        self.gdb = Gdb.connect(self.guest.gdb_port, timeout=LIMIT)
        self.threads = {thread_number(name): name for name in self.gdb.threads()}

    # Looking

    def regs(self, thread: int, *names: str) -> dict[str, int]:
        self.gdb.select(self.threads[thread])
        return self.gdb.read(names)

    def pc(self, thread: int) -> int:
        return self.regs(thread, "pc")["pc"]

    def pcs(self) -> dict[int, int]:
        return {thread: self.pc(thread) for thread in self.threads}

    def word(self, regs: dict[str, int]) -> int | None:
        """The selected vCPU's instruction."""
        return self.arch.word(self, regs)

    def word_before(self, regs: dict[str, int]) -> int | None:
        """The one that it waits in, if it is a vCPU that waits."""
        return self.word(regs | {"pc": regs["pc"] - self.arch.idle})

    def symbol(self, name: str) -> int:
        """Where that kernel function begins for all callers."""
        return self.arch.entry(self, self.arch.symbols(self, [name])[name])

    def physical(self, address: int, length: int) -> bytes:
        """Memory by guest physical address, whatever the vCPU's mode."""
        gdb = self.gdb
        if gdb.text("Qqemu.PhyMemMode:1") != "OK":
            raise AssertionError("Qqemu.PhyMemMode is refused")
        try:
            return b"".join(gdb.read_memory(address + at, min(0x400, length - at))
                            for at in range(0, length, 0x400))
        finally:
            gdb.text("Qqemu.PhyMemMode:0")

    # Running

    def wait(self) -> Stop:
        begun = time.monotonic()
        try:
            stop = self.gdb.wait(LIMIT)
        except RspTimeout as err:
            raise AssertionError(f"{err}; then ^C: {self.whereabouts()}") from err
        self.slowest = max(self.slowest, time.monotonic() - begun)
        return stop

    def whereabouts(self) -> str:
        """Of a guest that does not answer: what ^C gives, and where all vCPUs are."""
        said = []
        try:
            self.gdb.link.sock.sendall(b"\x03")
            said.append(self.gdb.wait(10).raw)
            for thread in self.threads:
                regs = self.regs(thread, *self.arch.names, *self.arch.told)
                word = self.word(regs)
                said.append(f"vCPU {thread} "
                            f"({'unreadable' if word is None else f'{word:08x}'}) " +
                            " ".join(f"{name} {value:#x}" for name, value in regs.items()))
                said.append("called from " +
                            " ".join(f"{at:#x}" for at in self.arch.callers(self, regs)))
            for _ in range(3):
                self.gdb.resume("vCont;c")
                time.sleep(0.5)
                self.gdb.interrupt(10)
                said.append("half a second later at " +
                            " ".join(f"{pc:#x}" for pc in self.pcs().values()))
        except (RspError, OSError) as err:
            said.append(f"{err}; QEMU's threads: {self.qemu_threads()}")
        return "; ".join(said)

    def qemu_threads(self) -> str:
        """What the threads of a QEMU that hangs wait for."""
        shell = self.guest.lab.shell
        assert shell is not None
        return " | ".join(shell.run(
            f"for t in /proc/$(cat {self.guest.pid_file})/task/*; do "
            "echo $(cat $t/comm) $(cut -d' ' -f3,14,15 $t/stat) $(cat $t/wchan) "
            "$(cat $t/syscall); done")[1].splitlines())

    def run_for(self, seconds: float) -> Stop:
        """Continue all, then ^C; the stop may be a breakpoint's."""
        self.gdb.resume("vCont;c")
        time.sleep(seconds)
        self.counts["continues"] += 1
        self.gdb.link.sock.sendall(b"\x03")
        return self.wait()

    def step(self, thread: int, others: bool, check: bool = True) -> int:
        """One step, of the others running or not; the pc after it.

        No breakpoint may be set.  With `check` the pc must be where that
        instruction goes, or at a vector.
        """
        name = self.threads[thread]
        if check:
            before = self.regs(thread, *self.arch.names)
            word = self.word(before)
        self.gdb.resume(f"vCont;s:{name};c" if others else f"vCont;s:{name}")
        stop = self.wait()
        self.counts["steps"] += 1
        if (stop.signal, thread_number(stop.thread)) != (5, thread):
            raise AssertionError(f"step of {name}: {stop.raw}")
        if not check:
            return 0
        after = self.regs(thread, *self.arch.names)
        self.check_step(thread, before, word, after)
        return after["pc"]

    def step_two(self, one: int, two: int, others: bool = False) -> bool:
        """A step each by one packet, which ends with the first of them.

        Returns: have both moved?
        """
        before = {thread: self.regs(thread, *self.arch.names) for thread in (one, two)}
        words = {}
        for thread, regs in before.items():
            self.gdb.select(self.threads[thread])
            words[thread] = self.word(regs)
        self.gdb.resume(f"vCont;s:{self.threads[one]};s:{self.threads[two]}"
                        f"{';c' if others else ''}")
        stop = self.wait()
        self.counts["double steps"] += 1
        first = thread_number(stop.thread)
        if stop.signal != 5 or first not in before:
            raise AssertionError(f"steps of {one} and {two}: {stop.raw}")
        moved = 0
        for thread, regs in before.items():
            after = self.regs(thread, *self.arch.names)
            moved += after["pc"] != regs["pc"]
            # The other one may not have begun
            if thread == first or after["pc"] != regs["pc"]:
                self.check_step(thread, regs, words[thread], after)
        return moved == 2

    def check_step(self, thread: int, before: dict[str, int], word: int | None,
                   after: dict[str, int]) -> None:
        """A step with NOIRQ has led where its instruction goes, or to its exception."""
        pc, to = before["pc"], after["pc"]
        shown = f"{word:#010x}" if word is not None else "unreadable"
        step = f"step of vCPU {thread}: {pc:#x} ({shown}) -> {to:#x}"
        trap = self.arch.vector(to)
        if word is not None:
            left = self.arch.left_behind(self, thread, word, before, after)
            if left and to != pc:
                raise AssertionError(f"{step}: {left}")
            allowed = self.arch.successors(word, before)
            # No instruction leads to where an interrupt would be taken
            if to in allowed if allowed is not None else (
                    to != pc and (trap is None or not self.arch.asynchronous(trap))):
                return
        if to == pc:
            self.gdb.select(self.threads[thread])
            if not self.arch.may_stay(self, word, before):
                raise AssertionError(f"{step}: it has not moved")
            self.counts["stayed"] += 1
            return
        if trap is None:
            raise AssertionError(step)
        if self.arch.asynchronous(trap):
            if not self.arch.comes_anyway(trap, before):
                raise AssertionError(f"{step}: an interrupt, in spite of NOIRQ")
            self.counts[f"into {trap:#x}"] += 1

    def hit(self, address: int, stop: Stop) -> int:
        """The vCPU that has hit the breakpoint at `address`."""
        thread = thread_number(stop.thread)
        pc = self.pc(thread)
        if stop.signal != 5 or pc != address:
            raise AssertionError(f"breakpoint at {address:#x}: {stop.raw}, pc {pc:#x}")
        self.counts["hits"] += 1
        return thread

    def detach(self) -> None:
        self.gdb.detach()
        self.counts["detaches"] += 1


class Soak:
    """Actions at random; the guest is stopped between them."""

    def __init__(self, session: Session, seed: int,
                 steps: bool = True, without: str = "") -> None:
        self.session = session
        self.actions = {action: weight for action, weight in self.WEIGHTS
                        if action.__name__.removeprefix("do_") not in without.split(",")
                        and (action is not Soak.do_two or len(session.threads) > 1)}
        self.random = random.Random(seed)
        self.steps = steps
        self.action = "begin"
        self.number = 0
        arch = session.arch
        self.functions = {name: arch.entry(session, at)
                          for name, at in sorted(arch.symbols(session, arch.hot).items())}
        self.text = arch.kernel_text(session, self.functions.values())
        session.console.stalled.clear()         # what booting cost

    def any_thread(self) -> int:
        return self.random.choice(sorted(self.session.threads))

    # Actions

    def do_steps(self) -> None:
        """A run of steps of one vCPU; the others run, stay, or both by turns"""
        thread = self.any_thread()
        mode = self.random.choice(("off", "on", "mixed"))
        count = self.random.choice((1, 2, 5, 20, 60))
        check = self.random.random() < 0.5
        self.action = f"{count} steps of {thread}, locking {mode}"
        for _ in range(count):
            others = mode == "off" or mode == "mixed" and self.random.random() < 0.5
            if self.steps:
                self.session.step(thread, others, check)
            else:
                self.session.run_for(0)

    def do_two(self) -> None:
        """Two vCPUs stepped by one packet"""
        s = self.session
        one, two = self.random.sample(sorted(s.threads), 2)
        others = self.random.choice((True, False))
        self.action = f"both {one} and {two}"
        for _ in range(self.random.choice((1, 10))):
            if self.steps:
                s.step_two(one, two, others)
            else:
                s.run_for(0)

    def do_run(self) -> None:
        """Continue, then ^C"""
        seconds = self.random.choice((0, 0.001, 0.02, 0.2, 1))
        self.action = f"run for {seconds} s"
        self.session.run_for(seconds)

    def do_breakpoint(self) -> None:
        """A hot function; each hit is stepped over as gdb does, with steps between"""
        s = self.session
        name = self.random.choice(sorted(self.functions))
        address = self.functions[name]
        over = self.random.randint(0, 4)
        self.action = f"breakpoint at {name}, {over} times over"
        s.gdb.insert(address)
        s.counts["breakpoints"] += 1
        try:
            for turn in range(over + 1):
                s.gdb.resume("vCont;c")
                s.counts["continues"] += 1
                thread = s.hit(address, s.wait())
                if turn < over:
                    s.gdb.remove(address)
                    if self.steps:
                        s.step(thread, others=False)
                    else:
                        s.run_for(0)
                    s.gdb.insert(address)
        finally:
            s.gdb.remove(address)

    def do_breakpoint_and_steps(self) -> None:
        """A vCPU stepped while the others may hit a breakpoint"""
        s = self.session
        name = self.random.choice(sorted(self.functions))
        address = self.functions[name]
        thread = self.any_thread()
        self.action = f"steps of {thread} with a breakpoint at {name}"
        for _ in range(self.random.choice((5, 20))):
            if s.pc(thread) == address or not self.steps:
                s.run_for(0.001)
                continue
            before = s.regs(thread, *s.arch.names)
            word = s.word(before)
            s.gdb.insert(address)
            try:
                s.gdb.resume(f"vCont;s:{s.threads[thread]};c")
                stop = s.wait()
            finally:
                s.gdb.remove(address)
            s.counts["steps"] += 1
            if thread_number(stop.thread) != thread:
                s.hit(address, stop)
            elif stop.signal != 5:
                raise AssertionError(f"step of {thread}: {stop.raw}")
            else:
                s.check_step(thread, before, word, s.regs(thread, *s.arch.names))

    def do_look(self) -> None:
        """All registers of a vCPU, some memory, the monitor"""
        s = self.session
        thread = self.any_thread()
        self.action = f"looking at {thread}"
        s.arch.look(s, thread)
        s.gdb.read()
        s.gdb.monitor("info registers", LIMIT)
        s.counts["looks"] += 1

    def do_detach(self) -> None:
        """Detach, or die, and attach again"""
        s = self.session
        seconds = self.random.choice((0, 0.1, 1))
        clean = self.random.random() < 0.7
        self.action = f"{'detach' if clean else 'disconnect'} for {seconds} s"
        if clean:
            s.detach()
        else:
            s.gdb.close()
            s.counts["disconnects"] += 1
        time.sleep(seconds)
        s.attach()

    WEIGHTS = ((do_steps, 40), (do_two, 5), (do_run, 15), (do_breakpoint, 12),
               (do_breakpoint_and_steps, 8), (do_look, 5), (do_detach, 3))

    def breathe(self) -> None:
        """Let go: every program must get on"""
        s = self.session
        self.action = "run until all programs get on"
        s.gdb.resume("vCont;c")
        try:
            s.console.progress()
        except Stuck as err:
            raise Stuck(f"{err}; then ^C: {s.whereabouts()}") from err
        s.gdb.link.sock.sendall(b"\x03")
        s.wait()

    def check_memory(self) -> None:
        now = self.session.arch.kernel_text(self.session, self.functions.values())
        for at, data in self.text.items():
            if now[at] != data:
                first = next(i for i, (a, b) in enumerate(zip(now[at], data)) if a != b) & ~3
                raise AssertionError(
                    f"memory at {at + first:#x}: {now[at][first:first + 4].hex()}, "
                    f"was {data[first:first + 4].hex()}")

    def once(self) -> None:
        action, = self.random.choices(list(self.actions), list(self.actions.values()))
        self.number += 1
        action(self)
        self.session.console.poll()

    def run(self, seconds: float, show: Callable[[str], None] = lambda line: None) -> None:
        """Actions for that long; trouble raises, with the action's number."""
        begun = time.monotonic()
        shown = breath = begun
        try:
            while time.monotonic() < begun + seconds:
                self.once()
                if time.monotonic() > breath + 8:
                    self.breathe()
                    self.check_memory()
                    breath = time.monotonic()
                if time.monotonic() > shown + 10:
                    shown = time.monotonic()
                    show(f"{shown - begun:6.0f} s  {self.figures()}")
            self.breathe()
            self.check_memory()
        except Trouble as err:
            self.session.console.aftermath(self.session.gdb)
            raise Trouble(f"action {self.number}, {self.action}: {err}") from err
        except (AssertionError, RspError, LabError, OSError) as err:
            raise AssertionError(f"action {self.number}, {self.action}: {err}") from err

    def figures(self) -> str:
        counts = ", ".join(f"{name} {value}"
                           for name, value in sorted(self.session.counts.items()))
        return f"{self.number} actions: {counts}; slowest answer {self.session.slowest:.2f} s"

    def ticks(self) -> str:
        """The timers' account, of a guest that runs: no tick may have been lost."""
        console = self.session.console
        lines = []
        for cpu, values in sorted(console.timers.items()):
            total, reads, missing, extra, off, _, very = values
            if missing or extra:
                raise AssertionError(f"timer {cpu}: {missing} missing, {extra} too many")
            lines.append(f"CPU {cpu}: {total} ticks in {reads} reads, {off} off, {very} over "
                         f"100 ms late, latest {console.latest[cpu] / 1000:.0f} ms")
        if console.stalled:
            lines.append(f"{len(console.stalled)} messages about stalls")
        return "; ".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--qemu", type=Path, required=True)
    add("--seconds", type=float, default=60)
    add("--seed", type=int, default=1)
    add("--cpus", type=int, default=4)
    add("--machine", choices=HOSTS, default="powernv9")
    add("--no-steps", action="store_true")
    add("--without", default="", help="actions to leave out, as two,detach")
    add("--trace", action="store_true", help="trace the steps to the guest's QEMU log")
    options = parser.parse_args(argv)
    children = Children()
    config = LabConfig.from_environment(machine=options.machine)
    lab = Lab(config, Progress(), children)
    watchdog = Watchdog(options.seconds * 1.2 + 300, children, lambda: lab.logs)
    soak = console = None
    try:
        with lab:
            guest = lab.start_l2(L2Config(
                qemu=options.qemu, cpus=options.cpus, stopped=False,
                extra=["-trace", "kvm_step*"] if options.trace else [],
                run=linux_of(lab).init + load_run(options.cpus) + own_debugger(lab)))
            guest.wait_console(r"tick 3\b", 180)
            console = Console(guest.console)
            console.progress()
            soak = Soak(Session(guest, console), options.seed,
                        steps=not options.no_steps, without=options.without)
            soak.run(options.seconds, lambda line: print(line, flush=True))
            soak.session.detach()
            console.progress(by=2)
            print(soak.figures())
            print(soak.ticks())
            for line in console.stalled:
                print(f"  {line}")
            arch = soak.session.arch
            print(f"ptrace: {check_hashes(console, arch)} rounds, all the same; besides "
                  f"{len(console.values(arch.disturbed))} that were disturbed")
    except (AssertionError, RspError, LabError, OSError, subprocess.SubprocessError) as err:
        if soak:
            print(soak.figures())
        print(f"FAILED: {err}")
        for log in lab.logs:
            print(f"  {log}:", *tail(log, 12), sep="\n    ")
        print(f"again: soak.py --qemu {options.qemu} --cpus {options.cpus} --machine "
              f"{options.machine} --seed {options.seed} --seconds {options.seconds:g}"
              f"{' --no-steps' if options.no_steps else ''}"
              f"{f' --without {options.without}' if options.without else ''}")
        return 1
    finally:
        watchdog.cancel()
        children.stop_all()
    print("passed")
    return 0


def check_hashes(console: Console, arch: Linux, least: int = 2) -> int:
    """The guest's own debugger has seen the same in all sound rounds; how many."""
    hashes = console.values(arch.sound)
    if len(set(hashes)) > 1 or len(hashes) < least:
        raise AssertionError(f"ptrace: {len(hashes)} rounds, {sorted(set(hashes))}")
    return len(hashes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
