#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Step two targets side by side and compare them after every instruction.

    lockstep.py [--cell CELL --seed N | --payload FILE.elf] REFERENCE TESTED

A target is HOST:PORT or :PORT of a gdbstub that waits at its first instruction,
`tcg` for a QEMU started here under TCG, or `lab` for the guest that `lab run`
started around us (LAB_GDB_PORT).  Both run to the payload's symbol `begin`,
then are stepped to `done`.

After each step: all that `g` gives (GPRs, pc, MSR, CR, LR, CTR, XER).  SRR0, SRR1
and SPRG0-3 now and then; everything else, and memory, at the end of each section
of a generated guest, which stores it itself (`look`), at full speed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = 100_000                 # more than any payload takes
sys.path[:0] = [str(HERE), str(HERE / "payload")]

from build import Image                                         # noqa: E402
from lablib import (L2_MACHINE, Children, LabError,             # noqa: E402
                    TcgReference, Watchdog)
from rsp import Gdb, Register, RspError                         # noqa: E402
from stream import SECTIONS, Cell, build_stream                 # noqa: E402

# Registers that are not compared, and why.
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(("tb", "tbl", "tbu", "tbu40", "vtb"), "time base"),
    **dict.fromkeys(("dec", "hdec"), "count down with time"),
    **dict.fromkeys(("purr", "spurr", "ic"), "count cycles or instructions"),
    "cfar": "TCG and KVM do not keep it over a stop",
    **dict.fromkeys((f"{kind}{n}" for kind in ("pmc", "upmc", "spmc")
                     for n in range(1, 7)), "performance counter"),
    **dict.fromkeys(("mmcr0", "mmcr1", "mmcr2", "mmcra", "mmcrs", "mmcrc", "mmcrh",
                     "siar", "sdar", "sier", "ummcr0", "ummcr1", "ummcr2", "ummcra",
                     "usiar", "usdar", "usier"), "performance monitor"),
    **dict.fromkeys(("pir", "pvr", "tir"), "names the processor"),
    **dict.fromkeys(("lpcr", "lpidr", "hmer", "hmeer", "hrmor", "amor", "hfscr", "hid0",
                     "ptcr", "pcr", "hsprg0", "hsprg1", "hsrr0", "hsrr1", "hdsisr",
                     "hdar", "heir", "psscr", "ldbar", "asdr", "rpr", "tfmr", "trig1",
                     "trig2", "tscr", "ttr", "wort", "rwmr", "pmsr", "pmcr", "sprc",
                     "sprd", "dpdes"), "the hypervisor's, not the guest's"),
    "hashpkeyr": "random at reset (POWER10)",
    "vscr": "KVM_REG_PPC_VSCR reads 0 on a little-endian host; the guest uses mfvscr",
    **dict.fromkeys(("ctrl", "uctrl"), "the run latch, which KVM drives"),
    **dict.fromkeys(("ppr", "ppr32"), "thread priority, which TCG does not keep"),
}

# What a hypercall may change, and for how many steps the payload's `hcall` has
# not yet set all of it again.
HYPERCALL = 0x44000022
VOLATILE = {"cr", "ctr", "xer", "srr0", "srr1"}
VOLATILE_STEPS = 6

# Looked at every few steps, as the stub has them from the same call as `g`.
FEW = ("srr0", "srr1", "sprg0", "sprg1", "sprg2", "sprg3")

# A step from a load-reserve ends behind its store-conditional (clause 6), which
# the reference reaches in this many steps at most.
LARX = {20, 52, 84, 116, 276}
SEQUENCE = 24

# A store-conditional may fail for reasons of the host's, an interrupt of its own
# for one: CR0[EQ] is 0 (Power ISA v3.1B Book II, 1.7.3.1).  The sequence is run
# again from its load-reserve then, this often at most.
STORED = 1 << 29
LOST_AGAIN = 4
TRAIL = 20                      # steps that are shown before one that differs

HIGH = 0xc000000000000000
VECTORS = {0x200: "machine check", 0x300: "data storage", 0x380: "data segment",
           0x400: "instruction storage", 0x480: "instruction segment",
           0x500: "external", 0x600: "alignment", 0x700: "program",
           0x800: "FP unavailable", 0x900: "decrementer",
           0xc00: "system call", 0xd00: "trace", 0xf20: "VMX unavailable",
           0xf40: "VSX unavailable", 0xf60: "facility unavailable"}

OTHERS_ROUNDS, OTHERS_WRONG, OTHERS_SIZE = 0x70, 0x78, 0x600    # as in stream.S


def frame(packet: str) -> bytes:
    data = packet.encode()
    return b"$%b#%02x" % (data, sum(data) & 0xff)


def classify(word: int) -> str:
    """The class of an instruction, for counting; as coarse as the report."""
    opcode, xo = word >> 26, word >> 1 & 0x3ff
    if opcode == 1:
        return "prefixed"
    if opcode in (16, 18) or opcode == 19 and xo in (16, 528, 560):
        return "branch"
    if opcode == 17:
        return {2: "sc", 0x22: "hypercall"}.get(word & 0x3f, "scv")
    if opcode == 19:
        return {18: "rfid", 82: "rfid", 150: "barrier"}.get(
            xo, "integer" if word >> 1 & 0x1f == 2 else "cr")
    if opcode in (2, 3) or opcode == 31 and xo & 0x1f == 4 and xo in (4, 68):
        return "trap"
    if opcode == 4:
        return "integer" if word & 0x3f in (48, 49, 51) else "vmx"
    if opcode in (59, 63) or opcode in range(48, 56):
        return "fp"
    if opcode in (57, 60, 61):
        return "vsx"
    if opcode in (46, 47):
        return "multiple and string"
    if opcode in range(32, 46) or opcode in (56, 58, 62):
        return "load and store"
    if opcode != 31:
        return "integer" if opcode in (*range(7, 16), *range(20, 31)) else "illegal"
    for name, codes in CLASSES_31.items():
        if xo in codes:
            return name
    return "fp" if xo in (*range(535, 600, 32), 567, 599, 631, 663, 695, 727, 759, 855,
                          887, 983) else "vsx" if xo & 0x1f in (12, 19, 13) else "integer"


CLASSES_31: dict[str, set[int]] = {
    "load-reserve": LARX,
    "store-conditional": {150, 182, 214, 694, 726},
    "msr": {83, 146, 178},
    "spr": {339, 467},
    "cr": {19, 144, 576},
    "cache": {22, 54, 86, 246, 278, 982, 1014, 470},
    "barrier": {598, 854},
    "multiple and string": {533, 597, 661, 725},
    "atomic memory operation": {582, 614, 710, 742},
    "vmx": {6, 38, 7, 39, 71, 103, 135, 167, 199, 231, 359, 487},
    "load and store": {21, 23, 53, 55, 87, 119, 149, 151, 181, 183, 215, 247, 279, 311, 341,
                       343, 373, 375, 407, 439, 532, 534, 660, 662, 790, 918},
}


@dataclass
class Options:
    """How much is compared, and when."""

    max_steps: int = STEPS
    every_few: int = 16
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
    done: bool = False          # came to the end
    early: int = 0              # see Options.fetches_early
    lost: int = 0               # reservations, see LOST_AGAIN
    others: list[int] = field(default_factory=list)     # rounds of the other vCPUs
    words: Counter[int] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    vectors: Counter[int] = field(default_factory=Counter)

    def classes(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for word, count in self.words.items():
            found[classify(word)] += count
        return found

    def add(self, other: Result) -> None:
        self.steps += other.steps
        self.divergences += other.divergences
        self.seconds += other.seconds
        self.looks += other.looks
        self.lost += other.lost
        for mine, more in ((self.words, other.words), (self.modes, other.modes),
                           (self.vectors, other.vectors)):
            mine.update(more)

    def coverage(self) -> list[str]:
        """What was stepped, counted."""
        def listed(counts: Iterable[tuple[str, int]]) -> str:
            return ", ".join(f"{name} {count}" for name, count in counts)

        return ["classes: " + listed(self.classes().most_common()),
                "interrupts: " + listed((f"{VECTORS.get(v, 'vector')} {v:#x}", n)
                                        for v, n in sorted(self.vectors.items())),
                "states: " + listed(self.modes.most_common())]


class Target:
    """A stub.  Requests are written together, and no reply is acked: the `$` of
    the next request is an ack, too ("Packet Acknowledgment")."""

    def __init__(self, name: str, gdb: Gdb) -> None:
        self.name = name
        self.gdb = gdb
        self.buffer = b""
        self.running = False
        self.g = b""                            # as hexadecimal text
        self.apart: dict[str, bytes] = {}       # what `p` gave at the last step
        self.frames: dict[str, bytes] = {}
        self.step_frame = frame("vCont;s:p1.1" if "s" in gdb.vcont else "s")
        place = {name: gdb.by_name[name].offset for name in ("pc", "msr")}
        assert place["pc"] is not None and place["msr"] is not None
        self.pc_at, self.msr_at = 2 * place["pc"], 2 * place["msr"]

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
        self.g = self.read(timeout)
        if len(self.g) < self.msr_at + 16:
            raise RspError(f"g: {self.g[:40]!r}")
        self.apart = {reg.name: self.read(timeout) for reg in apart}

    def finish(self, packets: list[str], apart: list[Register], timeout: float) -> None:
        """Wait for the end of a step, and read what `packets` ask for."""
        self.stopped(timeout)
        self.write(packets)
        self.take(apart, timeout)

    def step(self, packets: list[str], apart: list[Register], timeout: float) -> None:
        self.write([], step=True)
        self.finish(packets, apart, timeout)

    def fetch(self, apart: list[Register], timeout: float) -> None:
        self.write(["g", *(f"p{reg.number:x}" for reg in apart)])
        self.take(apart, timeout)

    @property
    def little(self) -> bool:
        """QEMU's registers come in the present byte order: see rsp.Gdb."""
        return self.g[self.msr_at + 1:self.msr_at + 2] in b"13579bdf"

    def number(self, at: int) -> int:
        raw = bytes.fromhex(self.g[at:at + 16].decode())
        return int.from_bytes(raw, "little" if self.little else "big")

    @property
    def pc(self) -> int:
        return self.number(self.pc_at)

    @property
    def msr(self) -> int:
        return self.number(self.msr_at)

    def values(self) -> dict[str, int]:
        order = "little" if self.little else "big"
        found = {name: bytes.fromhex(raw.decode()) if raw[:1] != b"E" else raw
                 for name, raw in self.apart.items()}
        for reg in self.gdb.registers:
            if reg.offset is not None:
                found[reg.name] = bytes.fromhex(
                    self.g[2 * reg.offset:2 * (reg.offset + reg.size)].decode())
        return {name: int.from_bytes(raw, order)                # type: ignore[arg-type]
                for name, raw in found.items()}

    def memory(self, ranges: Iterable[tuple[int, int]], timeout: float) -> list[bytes]:
        """Memory, in pieces that both sides are asked for alike; hexadecimal."""
        pieces = [(at, min(0x400, end - at)) for begin, end in ranges
                  for at in range(begin, end, 0x400)]
        self.write(f"m{at:x},{size:x}" for at, size in pieces)
        return [self.read(timeout) for _ in pieces]


def disassemble(word: int, pc: int, objdump: str = "powerpc64le-linux-gnu-objdump") -> str:
    if shutil.which(objdump) is None:
        return "(no objdump)"
    raw = Path(f"/tmp/lockstep-{os.getpid()}.bin")
    raw.write_bytes(word.to_bytes(4, "big"))
    try:
        out = subprocess.run([objdump, "-D", "-b", "binary", "-m", "powerpc:common64",
                              "-EB", "-M", "power10", f"--adjust-vma={pc:#x}", raw],
                             capture_output=True, text=True, check=False).stdout
    finally:
        raw.unlink()
    return " ".join(out.strip().splitlines()[-1].split()[5:]) if out.strip() else "?"


class Lockstep:
    def __init__(self, image: Image, reference: Target, tested: Target,
                 options: Options) -> None:
        self.image = image
        self.reference = reference
        self.tested = tested
        self.options = options
        self.result = Result()
        self.report: list[str] = []             # what to say of a divergence
        self.begun = time.monotonic()
        self.shown = 0.0
        self.hypercall = -VOLATILE_STEPS        # the last one's step
        self.trail: deque[tuple[int, int]] = deque(maxlen=TRAIL)
        self.code: dict[int, bytes] = {}
        self.at = 0                             # the instruction that is stepped
        known = {reg.name for reg in tested.gdb.registers}
        self.all = [reg for reg in reference.gdb.registers if reg.offset is None
                    and reg.name not in EXCLUDED and reg.name in known]
        self.few = [reg for reg in self.all if reg.name in FEW]
        if options.cpus > 1:
            tested.step_frame = frame("vCont;s:p1.1;c")
        only = {reg.name for reg in reference.gdb.registers} ^ known
        if only:
            self.say(f"registers of one side only, not compared: {' '.join(sorted(only))}")

    def say(self, text: str) -> None:
        if not self.options.quiet:
            print(text, flush=True)

    # What is compared

    def ranges(self) -> list[tuple[int, int]]:
        """What changes all the time."""
        symbols = self.image.symbols
        if "look" in symbols:
            return [(symbols["data_begin"], symbols["pool"])]
        if "data_begin" in symbols:
            return [(symbols["data_begin"], symbols["data_end"]), (0x2000, 0x2800)]
        return []

    def all_memory(self) -> list[tuple[int, int]]:
        """For the end: the vectors and the code too, but not what other vCPUs own."""
        if not self.ranges():
            return []
        symbols = self.image.symbols
        low = [(0x100, 0x3080), (0x4100, 0x6000), (0x17000, 0x17080)]
        if "data_others" not in symbols:
            return [*low, (0x400000, symbols["data_end"])]
        return [*low, (0x400000, symbols["data_others"]),
                (symbols["data_begin"], symbols["data_end"])]

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
                if name not in skip and value != other.get(name)}

    def compare_registers(self) -> list[str]:
        skip = (VOLATILE if self.result.steps - self.hypercall < VOLATILE_STEPS
                else frozenset())
        return [f"{name}: {one:#x} {two:#x}"
                for name, (one, two) in self.differences(skip).items()]

    # Saying it

    def fault(self, pc: int, lines: list[str]) -> None:
        result = self.result
        result.divergences += 1
        word = self.word_at(pc, self.reference.little)
        report = [f"step {result.steps}: {pc:#x} <{self.image.nearest(pc & ~HIGH)}> "
                  f"{word:08x} {disassemble(word, pc)}",
                  f"  {self.reference.name} then {self.tested.name}:"]
        report += [f"  {line}" for line in lines[:24]]
        if len(lines) > 24:
            report.append(f"  and {len(lines) - 24} more")
        report += ["  before it:", *(f"    {at:#x} {word:08x} {disassemble(word, at)}"
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
                f"at {self.image.nearest(pc & ~HIGH):<28}")
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
                for name in ("pc", "msr", "srr0", "srr1", "lr", "ctr") if name in values]

    # Code, which does not change but for what payload.S overwrites

    def read_code(self) -> None:
        ranges = self.all_memory()
        for (begin, end) in ranges:
            parts = self.reference.memory([(begin, end)], self.options.timeout)
            data = bytes.fromhex(b"".join(parts).decode())
            for at in range(0, len(data) - 3, 4):
                self.code[begin + at] = data[at:at + 4]

    def word_at(self, pc: int, little: bool) -> int:
        """The instruction word; 0 where we know none."""
        raw = self.code.get(pc & ~HIGH, b"\0\0\0\0")
        return int.from_bytes(raw, "little" if little else "big")

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

    def count(self, word: int, pc: int, msr: int, after: int) -> None:
        result = self.result
        result.words[word] += 1
        state = (("64" if msr >> 63 else "32") + (" IR" if msr & 0x20 else "")
                 + (" DR" if msr & 0x10 else "") + (" PR" if msr & 0x4000 else "")
                 + (" SE" if msr & 0x400 else "") + (" BE" if msr & 0x200 else "")
                 + (" EE" if msr & 0x8000 else "")
                 + (" other-endian" if (msr & 1) != self.image.little else "")
                 + (" high" if pc >= HIGH else ""))
        result.modes[state] += 1
        low = after & ~HIGH
        if after != pc + 4 and (low < 0x1000 or HIGH + 0x4000 <= after < HIGH + 0x5000):
            result.vectors[low & 0xfff] += 1

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
        done = self.image.symbols.get("done")
        look = self.image.symbols.get("look")
        unmapped = self.image.symbols.get("UNMAPPED")
        pc, msr = reference.pc, reference.msr
        while result.steps < options.max_steps and pc != done:
            if options.seconds and not tested.running \
                    and time.monotonic() - self.begun > options.seconds:
                break                           # at a multiple of 64, see below
            if pc == look:
                self.look()
                pc, msr = reference.pc, reference.msr
                continue
            self.at = pc
            word = self.word_at(pc, bool(msr & 1))
            larx = word >> 26 == 31 and word >> 1 & 0x3ff in LARX
            if not tested.running:
                tested.write([], step=True)
            result.steps += 1
            if word == HYPERCALL:
                self.hypercall = result.steps
            apart = self.few if options.every_few and (
                result.steps % options.every_few == 0) else []
            if options.every_full and result.steps % options.every_full == 0:
                apart = self.all
            packets = ["g", *(f"p{reg.number:x}" for reg in apart)]
            if larx:
                self.catch_up(packets, apart)
                after = reference.pc
            else:
                reference.step(packets, apart, timeout)
                after = reference.pc
                tested.stopped(timeout)
                # The next step begins before this one is looked at.
                going = not (after in (done, look, unmapped) or options.every_memory
                             and result.steps % options.every_memory == 0
                             or result.steps >= options.max_steps
                             or options.seconds and result.steps % 64 == 0)
                tested.write(packets, step=going)
                tested.take(apart, timeout)
                if options.fetches_early and after == unmapped != tested.pc:
                    result.early += 1
                    reference.step(packets, apart, timeout)
                    after = reference.pc
            self.count(word, pc, msr, after)
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
            pc, msr = after, reference.msr
            self.progress(pc)
        result.done = pc == done

    def has_lost(self) -> bool:
        """The store-conditional has failed, on the tested side only."""
        found = self.differences()
        if set(found) != {"cr"}:
            return False
        expected, got = found["cr"]
        return expected ^ got == STORED and bool(expected & STORED)

    def catch_up(self, packets: list[str], apart: list[Register]) -> None:
        """The tested side steps a whole sequence: go where it is then."""
        timeout = self.options.timeout
        before = self.tested.g.decode()
        self.tested.finish(packets, apart, timeout)
        goal = self.tested.pc
        for _ in range(SEQUENCE):
            self.reference.step(packets, apart, timeout)
            if self.reference.pc == goal:
                break
        for _ in range(LOST_AGAIN):
            if not self.has_lost():
                return
            self.result.lost += 1
            self.tested.write([f"G{before}"])
            if (answer := self.tested.read(timeout)) != b"OK":
                raise RspError(f"G: {answer.decode('latin-1')}")
            self.tested.step(packets, apart, timeout)

    def look(self) -> None:
        """Let both store what `g` does not give, and compare that."""
        self.result.looks += 1
        for target in (self.reference, self.tested):
            self.run_to(target, self.image.symbols["look_end"])
            target.fetch([], self.options.timeout)
        if lines := self.compare_registers() + self.compare_memory(self.ranges()):
            self.fault(self.image.symbols["look"],
                       ["since the last time here (see `look` in stream.S)", *lines])
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
        order = "little" if self.image.little else "big"
        for other in range(self.options.cpus - 1):
            at = self.image.symbols["data_others"] + other * OTHERS_SIZE
            data, = self.tested.memory([(at, at + 0x80)], timeout)
            raw = bytes.fromhex(data.decode())
            rounds, wrong = (int.from_bytes(raw[n:n + 8], order)    # type: ignore[arg-type]
                             for n in (OTHERS_ROUNDS, OTHERS_WRONG))
            self.result.others.append(rounds)
            if wrong or not rounds:
                self.fault(self.reference.pc, [
                    f"vCPU {other + 1}: {rounds} rounds, its interrupts are off by {wrong:#x}"])


def tcg(payload: Path, work: Path, children: Children, name: str, cpu: str = "power9",
        hashed: bool = False) -> TcgReference:
    """The reference for a payload."""
    machine, memory = guest_machine(hashed)
    return TcgReference(payload, work, children, cpu=cpu, name=name, machine=machine,
                        memory=memory)


def guest_machine(hashed: bool) -> tuple[str, str]:
    """-M and -m of a guest; a hash guest's VRMA wants the first without resizing,
    and stream.S the size of its HPT."""
    if hashed:
        return L2_MACHINE + ",resize-hpt=disabled", "512M,slots=1,maxmem=4G"
    return L2_MACHINE, "512M"


def connect(spec: str, number: int, options: argparse.Namespace, children: Children,
            stack: contextlib.ExitStack) -> Target:
    if spec == "tcg":
        reference = tcg(options.payload, options.work, children, f"tcg{number}",
                        options.cpu, options.hash)
        stack.callback(reference.close)
        return Target(f"tcg{number}", Gdb(reference.socket))
    if spec == "lab":
        spec = ":" + os.environ.get("LAB_GDB_PORT", "")
    host, colon, port = spec.rpartition(":")
    if not colon or not port.isdigit():
        raise LabError(f"'{spec}' is none of HOST:PORT, tcg, lab")
    try:
        return Target(spec, Gdb.connect(int(port), host or "127.0.0.1", timeout=30))
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
    what.add_argument("--cell", type=Cell.parse, help="generate the payload, see stream.py")
    add("--seed", type=int, default=1, help="for --cell")
    add("--sections", type=int, default=SECTIONS, help="for --cell")
    add("--work", type=Path, default=os.environ.get("QGD_LAB_WORK", "lab-work"))
    add("--cpu", default="power9", help="of a TCG reference (default %(default)s)")
    add("--hash", action="store_true", help="the payload uses the hash MMU")
    add("--steps", "--max-steps", type=int, default=STEPS)
    add("--every-few", type=int, default=16, metavar="K",
        help="compare SRR0, SRR1 and SPRGs each K steps")
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
    cell: Cell | None = options.cell
    try:
        if cell:
            options.cpu, options.hash = cell.cpu, cell.hash
            options.payload = build_stream(cell, options.seed, options.work / "streams",
                                           options.sections)
        with contextlib.ExitStack() as stack:
            image = Image.load(options.payload)
            targets = [connect(spec, number, options, children, stack)
                       for number, spec in enumerate((options.reference, options.tested))]
            cpus = len(targets[1].gdb.threads())
            result = Lockstep(image, targets[0], targets[1], Options(
                options.steps, options.every_few, options.every_full, options.every_memory,
                options.timeout, options.quiet, options.only_end, cpus,
                fetches_early=bool(cell and cell.power == 10))).run()
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
