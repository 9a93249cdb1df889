#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Step two targets side by side and compare them after every instruction.

    lockstep.py [--cell CELL --seed N | --payload FILE.elf] REFERENCE TESTED

A target is HOST:PORT or :PORT of a gdbstub that waits at its first instruction,
`tcg` for a QEMU started here under TCG, or `lab` for the guest that `lab run`
started around us (LAB_GDB_PORT).  Both run to the payload's symbol `begin`,
then are stepped to `done`.

After each step: all that `g` gives (general registers, pc, the processor's state).  A
few others now and then (`few` in rules*.py); everything else, and memory, at the end
of each section of a generated guest, which stores it itself (`look`), at full speed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

HERE = Path(__file__).resolve().parent
STEPS = 100_000                 # more than any payload takes
sys.path[:0] = [str(HERE), str(HERE / "payload")]

from build import Image                                         # noqa: E402
from cells import RULES, parse_cell                             # noqa: E402
from generator import SECTIONS, AnyCell                         # noqa: E402
from lablib import PPC64, Children, LabError, TcgReference, Watchdog    # noqa: E402
from rsp import Gdb, Register, RspError                         # noqa: E402
from rules import Rules                                         # noqa: E402

# A store-conditional may fail for reasons of the host's, an interrupt of its own
# for one.  The sequence is run again from its load-reserve then, this often at most.
LOST_AGAIN = 4
MOST_DETOURS = 4                # of one instruction, see Rules.detour
TRAIL = 20                      # steps that are shown before one that differs

def frame(packet: str) -> bytes:
    data = packet.encode()
    return b"$%b#%02x" % (data, sum(data) & 0xff)


@dataclass
class Options:
    """How much is compared, and when."""

    max_steps: int = STEPS
    every_few: int | None = None        # None: as the rules have it
    every_full: int = 0
    every_memory: int = 500
    timeout: float = 20.0
    quiet: bool = False
    only_end: bool = False
    cpus: int = 1               # of the tested guest
    repeat: str = ""            # the command that runs this again
    seconds: float = 0.0        # stop stepping then; 0: no limit
    # An emulated POWER10 host looks at the instruction at SRR0 to deliver a Trace
    # interrupt (is_prefix_insn_excp() in QEMU 10).  Where none is mapped it raises
    # the instruction storage interrupt instead; after a branch Trace comes first
    # (Power ISA v3.1B Book III, 7.5.15 and 7.9).  The step ends at that vector.
    fetches_early: bool = False


@dataclass
class Result:
    steps: int = 0
    divergences: int = 0
    seconds: float = 0.0
    looks: int = 0
    rules: Rules | None = None
    done: bool = False          # came to the end
    early: int = 0              # see Options.fetches_early
    detours: int = 0            # see Rules.detour
    lost: int = 0               # reservations, see LOST_AGAIN
    others: list[int] = field(default_factory=list)     # rounds of the other vCPUs
    words: Counter[int] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    vectors: Counter[int] = field(default_factory=Counter)

    def classes(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for word, count in self.words.items():
            found[self.rules.classify(word) if self.rules else "?"] += count
        return found

    def add(self, other: Result) -> None:
        self.steps += other.steps
        self.divergences += other.divergences
        self.seconds += other.seconds
        self.looks += other.looks
        self.lost += other.lost
        self.detours += other.detours
        for mine, more in ((self.words, other.words), (self.modes, other.modes),
                           (self.vectors, other.vectors)):
            mine.update(more)

    def coverage(self) -> list[str]:
        """What was stepped, counted."""
        def listed(counts: Iterable[tuple[str, int]]) -> str:
            return ", ".join(f"{name} {count}" for name, count in counts)

        names = self.rules.vectors if self.rules else {}
        return ["classes: " + listed(self.classes().most_common()),
                "interrupts: " + listed((f"{names.get(v, 'vector')} {v:#x}", n)
                                        for v, n in sorted(self.vectors.items())),
                "states: " + listed(self.modes.most_common())]


class Target:
    """A stub.  Requests are written together, and no reply is acked: the `$` of
    the next request is an ack, too ("Packet Acknowledgment")."""

    def __init__(self, name: str, gdb: Gdb, rules: Rules) -> None:
        self.name = name
        self.gdb = gdb
        self.rules = rules
        self.buffer = b""
        self.running = False
        self.g = b""                            # as hexadecimal text
        self.apart: dict[str, bytes] = {}       # what `p` gave at the last step
        self.frames: dict[str, bytes] = {}
        self.step_frame = frame("vCont;s:p1.1" if "s" in gdb.vcont else "s")
        pc, state = gdb.by_name["pc"].offset, gdb.by_name[rules.state].offset
        assert pc is not None and state is not None
        self.pc_at, self.state_at = 2 * pc, 2 * state
        self.state_size = 2 * gdb.by_name[rules.state].size

    def write(self, packets: Iterable[str], step: bool = False) -> None:
        data = b""
        for packet in packets:
            known = self.frames.get(packet)
            if known is None:
                known = self.frames[packet] = frame(packet)
            data += known
        if step:
            data += self.step_frame
            self.running = True
        self.gdb.link.sock.sendall(data)

    def read(self, timeout: float) -> bytes:
        """The next packet's data, as sent."""
        sock = self.gdb.link.sock
        buffer = self.buffer
        while True:
            if (end := buffer.find(b"#")) >= 0 and len(buffer) >= end + 3:
                break
            sock.settimeout(timeout)
            try:
                data = sock.recv(65536)
            except TimeoutError:
                raise RspError("no answer in time") from None
            if not data:
                raise RspError("the stub closed the connection")
            buffer += data
        begin = buffer.find(b"$")
        if begin < 0 or buffer[:begin].strip(b"+"):
            raise RspError(f"no packet but {buffer[:40]!r}")
        data = buffer[begin + 1:end]
        if int(buffer[end + 1:end + 3], 16) != sum(data) & 0xff:
            raise RspError(f"checksum of {data[:40]!r}")
        self.buffer = buffer[end + 3:]
        return data

    def stopped(self, timeout: float) -> None:
        """Wait for the end of a step or a continue."""
        answer = self.read(timeout)
        while answer[:1] == b"O":
            answer = self.read(timeout)
        self.running = False
        if answer[:3] != b"T05":
            raise RspError(f"answers {answer[:60].decode('latin-1')}")
        if b"thread:" in answer and b"thread:p01.01;" not in answer \
                and b"thread:p1.1;" not in answer:
            raise RspError(f"another vCPU stopped: {answer[:60].decode('latin-1')}")

    def take(self, apart: list[Register], timeout: float) -> None:
        """The replies to g, and to a p for each of `apart`."""
        self.g = self.rules.normal(self.read(timeout), self.state_at)
        if len(self.g) < self.state_at + self.state_size:
            raise RspError(f"g: {self.g[:40]!r}")
        self.apart = {reg.name: self.read(timeout) for reg in apart}

    def ask(self, apart: list[Register], step: bool = False) -> None:
        """For g, and for each of `apart`; its numbers may not be the same on both sides."""
        self.write(["g", *(f"p{self.gdb.by_name[reg.name].number:x}" for reg in apart)], step)

    def finish(self, apart: list[Register], timeout: float) -> None:
        """Wait for the end of a step, and read the registers."""
        self.stopped(timeout)
        self.fetch(apart, timeout)

    def step(self, apart: list[Register], timeout: float) -> None:
        self.write([], step=True)
        self.finish(apart, timeout)

    def fetch(self, apart: list[Register], timeout: float) -> None:
        self.ask(apart)
        self.take(apart, timeout)

    @property
    def order(self) -> Literal["little", "big"]:
        return self.rules.byteorder(self.g[self.state_at:self.state_at + self.state_size])

    def number(self, at: int, size: int = 16) -> int:
        return int.from_bytes(bytes.fromhex(self.g[at:at + size].decode()), self.order)

    @property
    def pc(self) -> int:
        return self.number(self.pc_at)

    @property
    def state(self) -> int:
        return self.number(self.state_at, self.state_size)

    def values(self) -> dict[str, int]:
        found = {name: bytes.fromhex(raw.decode()) if raw[:1] != b"E" else raw
                 for name, raw in self.apart.items()}
        for reg in self.gdb.registers:
            if reg.offset is not None:
                found[reg.name] = bytes.fromhex(
                    self.g[2 * reg.offset:2 * (reg.offset + reg.size)].decode())
        return {name: int.from_bytes(raw, self.order) for name, raw in found.items()}

    def apart_values(self) -> dict[str, int]:
        """What `p` gave, but errors."""
        return {name: int.from_bytes(bytes.fromhex(raw.decode()), self.order)
                for name, raw in self.apart.items() if raw[:1] != b"E"}

    def memory(self, ranges: Iterable[tuple[int, int]], timeout: float) -> list[bytes]:
        """Memory, in pieces that both sides are asked for alike; hexadecimal."""
        pieces = [(at, min(0x400, end - at)) for begin, end in ranges
                  for at in range(begin, end, 0x400)]
        packets = [f"m{at:x},{size:x}" for at, size in pieces]
        if self.rules.physical:
            packets = ["Qqemu.PhyMemMode:1", *packets, "Qqemu.PhyMemMode:0"]
        self.write(packets)
        answers = [self.read(timeout) for _ in packets]
        if self.rules.physical and [answers.pop(0), answers.pop()] != [b"OK", b"OK"]:
            raise RspError("no Qqemu.PhyMemMode")
        return answers


class Lockstep:
    def __init__(self, image: Image, reference: Target, tested: Target,
                 options: Options) -> None:
        self.image = image
        self.reference = reference
        self.tested = tested
        self.options = options
        self.rules = tested.rules
        if options.every_few is None:
            options.every_few = self.rules.every_few
        self.result = Result(rules=self.rules)
        self.report: list[str] = []             # what to say of a divergence
        self.begun = time.monotonic()
        self.shown = 0.0
        self.volatile: Set[str] = frozenset()   # not compared before that step
        self.volatile_until = 0
        self.trail: deque[tuple[int, int]] = deque(maxlen=TRAIL + 1)
        self.code: dict[int, bytes] = {}
        self.at = 0                             # the instruction that is stepped
        known = {reg.name for reg in tested.gdb.registers}
        self.all = [reg for reg in reference.gdb.registers if reg.offset is None
                    and self.rules.compared(reg) and reg.name in known]
        self.few = [reg for reg in self.all if reg.name in self.rules.few]
        if options.cpus > 1:
            tested.step_frame = frame("vCont;s:p1.1;c")
        self.check_one_sided(known)
        # (first, last) instruction of what one side may do more
        self.detour = [image.symbols[name] for name in self.rules.detour or ()
                       if name in image.symbols]

    def check_one_sided(self, known: set[str]) -> None:
        """What is to be compared, both have."""
        both = {reg.name: reg for target in (self.reference, self.tested)
                for reg in target.gdb.registers}
        only = {reg.name for reg in self.reference.gdb.registers} ^ known
        if missing := [name for name in sorted(only) if self.rules.compared(both[name])]:
            raise LabError(f"registers of one side only: {' '.join(missing)}")
        if only:
            self.say(f"registers of one side only, not compared: {' '.join(sorted(only))}")

    def say(self, text: str) -> None:
        if not self.options.quiet:
            print(text, flush=True)

    # What is compared

    def ranges(self) -> list[tuple[int, int]]:
        """What changes all the time."""
        return self.rules.changing(self.image.symbols)

    def all_memory(self) -> list[tuple[int, int]]:
        """For the end."""
        return self.rules.memory(self.image.symbols)

    def compare_memory(self, ranges: list[tuple[int, int]]) -> list[str]:
        timeout = self.options.timeout
        left = self.reference.memory(ranges, timeout)
        right = self.tested.memory(ranges, timeout)
        if left == right:
            return []
        found = []
        pieces = [at for begin, end in ranges for at in range(begin, end, 0x400)]
        for begin, one, two in zip(pieces, left, right):
            for at in range(0, max(len(one), len(two)), 16):
                a, b = one[at:at + 16], two[at:at + 16]
                if a != b:
                    found.append(f"memory {begin + at // 2:#x} "
                                 f"<{self.image.nearest(begin + at // 2)}>: "
                                 f"{a.decode()} {b.decode()}")
        return found

    def differences(self, skip: Set[str] = frozenset()) -> dict[str, tuple[int, int]]:
        """What both have, where that is not the same."""
        left, right = self.reference, self.tested
        if left.g == right.g and left.apart == right.apart:
            return {}
        mine, other = left.values(), right.values()
        return {name: (value, other.get(name, 0)) for name, value in mine.items()
                if name not in skip and value != other.get(name)
                and not self.rules.agree(self.image.symbols, left.pc, name, value,
                                         other.get(name, 0))}

    def compare_registers(self) -> list[str]:
        skip = (self.volatile if self.result.steps < self.volatile_until
                else frozenset())
        return [f"{name}: {one:#x} {two:#x}"
                for name, (one, two) in self.differences(skip).items()]

    # Saying it

    def nearest(self, pc: int) -> str:
        return self.image.nearest(self.rules.low(pc))

    def fault(self, pc: int, lines: list[str]) -> None:
        result = self.result
        result.divergences += 1
        word = self.word_at(pc, self.reference.state)
        report = [f"step {result.steps}: {pc:#x} <{self.nearest(pc)}> "
                  f"{word:08x} {self.rules.disassemble(word, pc)}",
                  f"  {self.reference.name} then {self.tested.name}:"]
        report += [f"  {line}" for line in lines[:24]]
        if len(lines) > 24:
            report.append(f"  and {len(lines) - 24} more")
        report += ["  before it:", *(f"    {at:#x} {word:08x} {self.rules.disassemble(word, at)}"
                                     for at, word in list(self.trail)[:-1])]
        if self.options.repeat:
            report.append(f"  repeat: {self.options.repeat} --steps {result.steps + 1}")
        self.report += report
        print("", *report, sep="\n", flush=True)

    def progress(self, pc: int, end: bool = False) -> None:
        now = time.monotonic()
        live = sys.stdout.isatty()
        if self.options.quiet or not end and now - self.shown < (0.2 if live else 10):
            return
        self.shown = now
        spent = now - self.begun
        steps = self.result.steps
        text = (f"{steps} steps, {spent:.1f} s, {steps / max(spent, .001):.0f}/s, "
                f"at {self.nearest(pc):<28}")
        print(f"\r{text}" if live else text.rstrip(), end="" if live and not end else "\n",
              flush=True)

    def whereabouts(self) -> list[str]:
        """Where the tested target is that did not come back from a step."""
        target = self.tested
        try:
            if target.running:
                target.gdb.link.sock.sendall(b"\x03")
                target.read(5)
                target.running = False
            target.fetch(self.few, 5)
        except (RspError, OSError) as err:
            return [f"and ^C: {err}"]
        values = target.values()
        return [f"{name}: {values[name]:#x}"
                for name in self.rules.shown if name in values]

    # Code, which does not change but for what payload.S overwrites

    def read_code(self) -> None:
        ranges = self.all_memory()
        for (begin, end) in ranges:
            parts = self.reference.memory([(begin, end)], self.options.timeout)
            data = bytes.fromhex(b"".join(parts).decode())
            for at in range(0, len(data) - 3, 4):
                self.code[begin + at] = data[at:at + 4]

    def word_at(self, pc: int, state: int) -> int:
        """The instruction word; 0 where we know none."""
        raw = self.code.get(self.rules.low(pc), b"\0\0\0\0")
        return int.from_bytes(raw, self.rules.code_order(state))

    # Running

    def run_to(self, target: Target, address: int) -> None:
        for packet in (f"Z0,{address:x},4", "vCont;c", f"z0,{address:x},4"):
            target.write([packet])
            if packet == "vCont;c":
                target.running = True
                target.stopped(self.options.timeout)
            elif (answer := target.read(self.options.timeout)) != b"OK":
                raise RspError(f"{packet}: {answer.decode('latin-1') or 'not supported'}")

    def start(self) -> None:
        begin = self.image.symbols["begin"]
        for target in (self.reference, self.tested):
            # gdb's own acks end here: the next `$` stands for one
            self.run_to(target, begin)
            target.fetch(self.all, self.options.timeout)
            if target.pc != begin:
                raise LabError(f"{target.name} stopped at {target.pc:#x}, "
                               f"not at begin ({begin:#x})")
        self.read_code()
        if lines := self.compare_registers() + self.compare_memory(self.all_memory()):
            self.fault(begin, ["before the first step", *lines])

    def count(self, word: int, pc: int, state: int, after: int,
              apart: dict[str, int]) -> None:
        result = self.result
        result.words[word] += 1
        result.modes[self.rules.describe(state, pc, self.image.little)] += 1
        if (vector := self.rules.vector(self.image.symbols, pc, after, apart)) is not None:
            result.vectors[vector] += 1

    def run(self) -> Result:
        try:
            self.start()
            if not self.result.divergences:
                if self.options.only_end:
                    for target in (self.reference, self.tested):
                        self.run_to(target, self.image.symbols["done"])
                    self.result.done = True
                else:
                    self.steps()
        except RspError as err:
            self.fault(self.at, [f"{self.tested.name}: {err}", *self.whereabouts()])
        if not self.result.divergences:
            self.finish()
        self.result.seconds = time.monotonic() - self.begun
        self.progress(self.reference.pc, end=True)
        return self.result

    def steps(self) -> None:
        options, result = self.options, self.result
        reference, tested = self.reference, self.tested
        timeout = options.timeout
        symbols = self.image.symbols
        done, look, unmapped = (symbols.get(name) for name in ("done", "look", "UNMAPPED"))
        pc, state = reference.pc, reference.state
        begun = time.monotonic()
        while result.steps < options.max_steps and pc != done:
            if options.seconds and not tested.running \
                    and time.monotonic() - begun > options.seconds:
                break                           # at a multiple of 64, see below
            if pc == look:
                self.look()
                pc, state = reference.pc, reference.state
                continue
            self.at = pc
            word = self.word_at(pc, state)
            if not tested.running:
                tested.write([], step=True)
            result.steps += 1
            names, last = self.rules.volatile(word)
            if last:
                self.volatile, self.volatile_until = names, result.steps + last
            apart = self.few if options.every_few and (
                result.steps % options.every_few == 0) else []
            if options.every_full and result.steps % options.every_full == 0:
                apart = self.all
            if self.rules.begins_sequence(word):
                self.catch_up(apart)
                after = reference.pc
            else:
                reference.step(apart, timeout)
                after = reference.pc
                if self.few and not apart and self.rules.is_vector(symbols, pc, after):
                    apart = self.few
                    reference.fetch(apart, timeout)
                tested.stopped(timeout)
                if after != pc + 4 and self.rules.slips(word):
                    tested.fetch([], timeout)
                    if tested.pc == pc + 4:
                        tested.write([], step=True)
                        tested.stopped(timeout)
                # The next step begins before this one is looked at.
                going = not (self.detour or after in (done, look, unmapped)
                             or options.every_memory
                             and result.steps % options.every_memory == 0
                             or result.steps >= options.max_steps
                             or options.seconds and result.steps % 64 == 0)
                tested.ask(apart, step=going)
                tested.take(apart, timeout)
                if self.detour:
                    self.take_detours(pc, apart)
                    after = reference.pc
                if options.fetches_early and after == unmapped != tested.pc:
                    result.early += 1
                    reference.step(apart, timeout)
                    after = reference.pc
            self.count(word, pc, state, after, reference.apart_values())
            self.trail.append((pc, word))
            lines = self.compare_registers()
            if not lines and not tested.running and options.every_memory \
                    and result.steps % options.every_memory == 0:
                lines = self.compare_memory(self.ranges())
            if lines:
                if tested.running:
                    with contextlib.suppress(RspError):
                        tested.stopped(timeout)
                self.fault(pc, lines)
                return
            pc, state = after, reference.state
            self.progress(pc)
        result.done = pc == done

    def catch_up(self, apart: list[Register]) -> None:
        """The tested side steps a whole sequence: go where it is then."""
        timeout = self.options.timeout
        before = self.tested.g.decode()
        self.tested.finish(apart, timeout)
        self.reference.step(apart, timeout)
        if self.detour:
            self.take_detours(self.at, apart)
        goal = self.tested.pc
        for _ in range(self.rules.sequence):
            if self.reference.pc == goal:
                break
            self.reference.step(apart, timeout)
            if self.detour:
                self.take_detours(self.at, apart)
        for _ in range(LOST_AGAIN):
            if not self.rules.lost(self.differences()):
                return
            self.result.lost += 1
            self.tested.write([f"G{before}"])
            if (answer := self.tested.read(timeout)) != b"OK":
                raise RspError(f"G: {answer.decode('latin-1')}")
            self.tested.step(apart, timeout)

    def take_detours(self, begun: int, apart: list[Register]) -> None:
        """Of a step from `begun`: what one side did more, until it is back.

        That side may have been there for the instruction, which has not run then, or for
        the fetch of where it has led; the other one goes there at another time.
        """
        first, last = self.detour
        for target in (self.reference, self.tested):
            for _ in range(MOST_DETOURS):
                if target.pc != first:
                    break
                self.result.detours += 1
                if target is self.reference:
                    self.run_to(target, last)
                    target.fetch(apart, self.options.timeout)
                while first <= target.pc <= last:
                    target.step(apart, self.options.timeout)
                if target.pc != begun:
                    break
                target.step(apart, self.options.timeout)

    def look(self) -> None:
        """Let both store what `g` does not give, and compare that."""
        self.result.looks += 1
        for target in (self.reference, self.tested):
            self.run_to(target, self.image.symbols["look_end"])
            target.fetch([], self.options.timeout)
        if lines := self.compare_registers() + self.compare_memory(self.ranges()):
            self.fault(self.image.symbols["look"],
                       ["since the last time here (see `look` in the payload)", *lines])
            self.result.steps = self.options.max_steps

    def finish(self) -> None:
        """The end: every register, all memory, and what other vCPUs say."""
        timeout = self.options.timeout
        for target in (self.reference, self.tested):
            target.fetch(self.all, timeout)
        if lines := self.compare_registers() + self.compare_memory(self.all_memory()):
            self.fault(self.reference.pc, ["at the end", *lines])
        done = self.image.symbols.get("done")
        if not self.result.done and done is not None \
                and self.options.max_steps >= STEPS and not self.result.divergences:
            self.fault(self.reference.pc, [f"not at done ({done:#x})"])
        rules, first = self.rules, self.image.symbols.get("data_others", 0)
        for other in range(self.options.cpus - 1):
            at = first + other * rules.area
            data, = self.tested.memory([(at, at + 0x80)], timeout)
            raw = bytes.fromhex(data.decode())
            rounds, wrong = (int.from_bytes(raw[n:n + 8], rules.data_order(self.image))
                             for n in (rules.rounds, rules.wrong))
            self.result.others.append(rounds)
            if wrong or not rounds:
                self.fault(self.reference.pc, [
                    f"vCPU {other + 1}: {rounds} rounds, its interrupts are off by {wrong:#x}"])


def connect(spec: str, number: int, options: argparse.Namespace, children: Children,
            stack: contextlib.ExitStack) -> Target:
    cell: AnyCell | None = options.cell
    rules = RULES[(cell.arch if cell else PPC64).name]
    if spec == "tcg":
        reference = TcgReference(
            options.payload, options.work, children, qemu=os.environ.get("QGD_L0", ""),
            cpu=options.cpu or rules.cpu, name=f"tcg{number}",
            machine=cell.machine if cell else "", memory=cell.memory if cell else "512M",
            arch=rules.arch)
        stack.callback(reference.close)
        return Target(f"tcg{number}", Gdb(reference.socket), rules)
    if spec == "lab":
        spec = ":" + os.environ.get("LAB_GDB_PORT", "")
    host, colon, port = spec.rpartition(":")
    if not colon or not port.isdigit():
        raise LabError(f"'{spec}' is none of HOST:PORT, tcg, lab")
    try:
        return Target(spec, Gdb.connect(int(port), host or "127.0.0.1", timeout=30), rules)
    except OSError as err:
        raise LabError(f"{spec}: {err.strerror}") from None


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("reference", help="HOST:PORT, tcg or lab")
    add("tested", help="the same")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--payload", type=Path, metavar="FILE.elf")
    what.add_argument("--cell", type=parse_cell, help="generate the payload, see stream*.py")
    add("--seed", type=int, default=1, help="for --cell")
    add("--sections", type=int, default=SECTIONS, help="for --cell")
    add("--work", type=Path, default=os.environ.get("QGD_LAB_WORK", "lab-work"))
    add("--cpu", default="", help="of a TCG reference (default: the cell's)")
    add("--steps", "--max-steps", type=int, default=STEPS)
    add("--every-few", type=int, metavar="K",
        help="compare a few other registers each K steps")
    add("--every-full", type=int, default=500, metavar="K",
        help="compare all registers each K steps (0: only at the end)")
    add("--every-memory", type=int, default=500, metavar="K",
        help="compare the data area each K steps (0: only at the end)")
    add("--timeout", type=float, default=20, help="seconds for one step")
    add("--time-limit", type=float, default=1800, help="seconds for everything")
    add("--only-end", action="store_true",
        help="no steps: run to done at full speed, compare there")
    add("--coverage", action="store_true", help="say what was stepped")
    add("--quiet", action="store_true")
    options = parser.parse_args(argv)
    options.work = Path(options.work)
    children = Children()
    watchdog = Watchdog(options.time_limit, children)
    cell: AnyCell | None = options.cell
    try:
        if cell:
            options.cpu = options.cpu or cell.cpu
            options.payload = cell.build(options.seed, options.work / "streams",
                                         options.sections)
        with contextlib.ExitStack() as stack:
            image = Image.load(options.payload)
            targets = [connect(spec, number, options, children, stack)
                       for number, spec in enumerate((options.reference, options.tested))]
            cpus = len(targets[1].gdb.threads())
            result = Lockstep(image, targets[0], targets[1], Options(
                options.steps, options.every_few, options.every_full, options.every_memory,
                options.timeout, options.quiet, options.only_end, cpus,
                fetches_early=bool(cell and cell.fetches_early))).run()
        if options.coverage:
            print(*result.coverage(), sep="\n")
        print(f"{result.steps} steps compared, {result.divergences} divergences")
        return 1 if result.divergences else 0
    except LabError as err:
        err.report()
    except (RspError, OSError, ValueError, subprocess.CalledProcessError) as err:
        print(f"lockstep: {err}", file=sys.stderr)
    finally:
        watchdog.cancel()
        children.stop_all()
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
