#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Step two targets side by side and compare them after every instruction.

    lockstep.py --payload FILE.elf REFERENCE TESTED

A target is HOST:PORT or :PORT of a gdbstub that waits at its first instruction,
`tcg` for a QEMU started here under TCG, or `lab` for the guest that `lab run`
started around us (LAB_GDB_PORT).  Both run to the payload's symbol `begin`,
then are stepped to `done`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = 100_000                 # more than any payload takes
sys.path[:0] = [str(HERE), str(HERE / "payload")]

from build import Image                                         # noqa: E402
from lablib import Children, LabError, TcgReference, Watchdog   # noqa: E402
from rsp import Gdb, Register, RspError                         # noqa: E402

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
    "vscr": "KVM_REG_PPC_VSCR reads 0 on a little-endian host; the payload uses mfvscr",
    **dict.fromkeys(("ctrl", "uctrl"), "the run latch, which KVM drives"),
    **dict.fromkeys(("ppr", "ppr32"), "thread priority, which TCG does not keep"),
}

# What a hypercall may change, and for how many steps the payload's `hcall` has
# not yet set all of it again.
HYPERCALL = 0x44000022
VOLATILE = {"cr", "ctr", "xer", "srr0", "srr1"}
VOLATILE_STEPS = 6

# Looked at after every step although only `p` gives them.
ALWAYS = ("srr0", "srr1", "sprg0", "sprg1", "sprg2", "sprg3", "dar", "dsisr",
          "dscr", "tar", "fscr")

# Primary opcodes that touch FP, VMX and VSX registers; those of 31 and
# 19 are seen at the next full comparison.
VECTOR_OPCODES = {4, 48, 49, 50, 51, 52, 53, 54, 55, 57, 59, 60, 61, 62, 63}


@dataclass
class Target:
    name: str
    gdb: Gdb
    g: bytes = b""
    values: dict[str, bytes] = field(default_factory=dict)

    def snapshot(self, apart: list[Register]) -> None:
        """All of `g`, and by `p` what it leaves out; as the stub sent them."""
        self.g = self.gdb.read_g()
        raw = self.gdb.read_raw(reg.number for reg in apart)
        self.values = {reg.name: value for reg, value in zip(apart, raw)}
        for reg in self.gdb.registers:
            if reg.offset is not None:
                self.values[reg.name] = self.g[reg.offset:reg.offset + reg.size]

    @property
    def order(self) -> str:
        return self.gdb.byteorder(self.g, self.gdb.by_name["msr"])

    def number(self, name: str) -> int:
        return int.from_bytes(self.values[name], self.order)  # type: ignore[arg-type]


def disassemble(word: int, pc: int, objdump: str = "powerpc64le-linux-gnu-objdump") -> str:
    if shutil.which(objdump) is None:
        return "(no objdump)"
    raw = Path(f"/tmp/lockstep-{os.getpid()}.bin")
    raw.write_bytes(word.to_bytes(4, "big"))
    try:
        out = subprocess.run([objdump, "-D", "-b", "binary", "-m", "powerpc:common64",
                              "-EB", "-M", "power9", f"--adjust-vma={pc:#x}", raw],
                             capture_output=True, text=True, check=False).stdout
    finally:
        raw.unlink()
    return " ".join(out.strip().splitlines()[-1].split()[5:]) if out.strip() else "?"


class Lockstep:
    def __init__(self, image: Image, reference: Target, tested: Target,
                 options: argparse.Namespace) -> None:
        self.image = image
        self.pair = (reference, tested)
        self.options = options
        self.steps = 0
        self.divergences = 0
        self.begun = time.monotonic()
        self.shown = 0.0
        self.hypercall = -VOLATILE_STEPS        # the last one's step
        known = {reg.name for reg in tested.gdb.registers}
        self.apart = [reg for reg in reference.gdb.registers if reg.offset is None
                      and reg.name not in EXCLUDED and reg.name in known]
        self.few = [reg for reg in self.apart if reg.name in ALWAYS]
        only = {reg.name for reg in reference.gdb.registers} ^ known
        if only:
            print(f"registers of one side only, not compared: {' '.join(sorted(only))}")

    def ranges(self) -> list[tuple[int, int]]:
        """What changes all the time: the data and what the handlers keep."""
        symbols = self.image.symbols
        if "data_begin" not in symbols:
            return []
        return [(symbols["data_begin"], symbols["data_end"]), (0x2000, 0x2800)]

    def all_memory(self) -> list[tuple[int, int]]:
        """For the end: the vectors and the code too."""
        if not self.ranges():
            return []
        return [(0x100, 0x3080), (0x4100, 0x6000), (0x17000, 0x17080),
                (0x400000, self.image.symbols["data_end"])]

    def digest(self, target: Target, ranges: list[tuple[int, int]]) -> list[str]:
        return [hashlib.sha256(target.gdb.read_memory(a, b - a)).hexdigest()
                for a, b in ranges]

    def compare_memory(self, ranges: list[tuple[int, int]]) -> list[str]:
        left, right = (self.digest(target, ranges) for target in self.pair)
        found = []
        for (begin, end), one, two in zip(ranges, left, right):
            if one == two:
                continue
            for at in range(begin, end, 512):
                size = min(512, end - at)
                a, b = (t.gdb.read_memory(at, size) for t in self.pair)
                for n in range(0, size, 8):
                    if a[n:n + 8] != b[n:n + 8]:
                        found.append(f"memory {at + n:#x}: {a[n:n + 8].hex()} "
                                     f"{b[n:n + 8].hex()}")
        return found

    def compare_registers(self) -> list[str]:
        left, right = self.pair
        found = []
        skip = VOLATILE if self.steps - self.hypercall < VOLATILE_STEPS else set()
        for name, value in left.values.items():
            if name not in skip and value != right.values.get(name):
                other = right.values.get(name, b"")
                found.append(
                    f"{name}: {int.from_bytes(value, left.order):#x} "    # type: ignore[arg-type]
                    f"{int.from_bytes(other, right.order):#x}")           # type: ignore[arg-type]
        return found

    def fault(self, pc: int, word: int, lines: list[str]) -> None:
        self.divergences += 1
        print(f"\nstep {self.steps}: {pc:#x} <{self.image.nearest(pc)}> {word:08x} "
              f"{disassemble(word, pc)}")
        print(f"  {self.pair[0].name} then {self.pair[1].name}:")
        for line in lines[:24]:
            print(f"  {line}")
        if len(lines) > 24:
            print(f"  and {len(lines) - 24} more")

    def progress(self, pc: int, end: bool = False) -> None:
        now = time.monotonic()
        live = sys.stdout.isatty()
        if self.options.quiet or not end and now - self.shown < (0.2 if live else 10):
            return
        self.shown = now
        spent = now - self.begun
        text = (f"{self.steps} steps, {spent:.1f} s, {self.steps / max(spent, .001):.0f}"
                f"/s, at {self.image.nearest(pc):<28}")
        print(f"\r{text}" if live else text.rstrip(), end="" if live and not end else "\n",
              flush=True)

    def word_at(self, pc: int) -> int:
        """The instruction word; 0 where nothing is mapped."""
        try:
            raw = self.pair[0].gdb.read_memory(pc, 4)
        except RspError:
            return 0
        return int.from_bytes(raw, self.pair[0].order)          # type: ignore[arg-type]

    def start(self) -> None:
        begin = self.image.symbols["begin"]
        for target in self.pair:
            target.gdb.run_to(begin, self.options.timeout)
            target.snapshot(self.apart)
            if target.number("pc") != begin:
                raise LabError(f"{target.name} stopped at {target.number('pc'):#x}, "
                               f"not at begin ({begin:#x})")
        if lines := self.compare_registers():
            self.fault(begin, 0, ["before the first step", *lines])

    def run(self) -> int:
        options = self.options
        self.start()
        done = self.image.symbols.get("done")
        left, right = self.pair
        pc = left.number("pc")
        if options.only_end and done is not None:
            for target in self.pair:
                target.gdb.run_to(done, options.timeout)
            pc = done
        while self.steps < options.max_steps and pc != done:
            word = self.word_at(pc)
            for target in self.pair:            # both run at the same time
                target.gdb.resume(self.packet(target))
            for target in self.pair:
                try:
                    stop = target.gdb.wait(options.timeout)
                except RspError as err:
                    self.fault(pc, word, [f"{target.name}: {err}", *self.whereabouts(target)])
                    return self.summary()
                if stop.kind not in "TS" or stop.signal != 5:
                    raise LabError(f"step {self.steps + 1}: {target.name} answers "
                                   f"{stop.raw}")
            self.steps += 1
            if word == HYPERCALL:
                self.hypercall = self.steps
            opcode = word >> 26
            full = opcode in VECTOR_OPCODES or self.steps % options.every_full == 0
            for target in self.pair:
                target.snapshot(self.apart if full else self.few)
            lines = self.compare_registers()
            if not lines and options.every_memory and self.steps % options.every_memory == 0:
                lines = self.compare_memory(self.ranges())
            if lines:
                self.fault(pc, word, lines)
                if self.divergences >= options.max_divergences:
                    break
                if left.number("pc") != right.number("pc"):
                    print("the paths part here; no more to compare")
                    break
            pc = left.number("pc")
            self.progress(pc)
        for target in self.pair:
            target.snapshot(self.apart)
        lines = self.compare_registers() + self.compare_memory(self.all_memory())
        if lines and (options.only_end or not self.divergences):
            self.fault(pc, self.word_at(pc), ["at the end", *lines])
        self.progress(pc, end=True)
        if done is not None and pc != done and not self.divergences \
                and options.max_steps == STEPS:
            print(f"not at done ({done:#x})")
            self.divergences += 1
        return self.summary()

    def summary(self) -> int:
        print(f"{self.steps} steps compared, {self.divergences} divergences")
        return 1 if self.divergences else 0

    def whereabouts(self, target: Target) -> list[str]:
        """Where a target is that did not come back from a step."""
        try:
            target.gdb.interrupt(5)
            target.snapshot(self.few)
        except (RspError, OSError) as err:
            return [f"and ^C: {err}"]
        return [f"{name}: {target.number(name):#x}"
                for name in ("pc", "msr", "srr0", "srr1", "lr", "ctr")]

    @staticmethod
    def packet(target: Target) -> str:
        return "vCont;s:p1.1" if "s" in target.gdb.vcont else "s"


def connect(spec: str, payload: Path, work: Path, number: int, children: Children,
            cpu: str, stack: contextlib.ExitStack) -> Target:
    if spec == "tcg":
        reference = TcgReference(payload, work, children, cpu=cpu, name=f"tcg{number}")
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
    add("--payload", type=Path, required=True, metavar="FILE.elf")
    add("--work", type=Path, default=os.environ.get("QGD_LAB_WORK", "lab-work"))
    add("--cpu", default="power9", help="of a TCG reference (default %(default)s)")
    add("--max-steps", type=int, default=STEPS)
    add("--max-divergences", type=int, default=1, metavar="N", help="then stop")
    add("--every-full", type=int, default=32, metavar="K",
        help="compare all registers each K steps (and after FP and vector ones)")
    add("--every-memory", type=int, default=100, metavar="K",
        help="compare the data area each K steps (0: only at the end)")
    add("--timeout", type=float, default=20, help="seconds for one step")
    add("--time-limit", type=float, default=1800, help="seconds for everything")
    add("--only-end", action="store_true",
        help="no steps: run to done at full speed, compare there")
    add("--quiet", action="store_true")
    options = parser.parse_args(argv)
    children = Children()
    watchdog = Watchdog(options.time_limit, children)
    try:
        with contextlib.ExitStack() as stack:
            image = Image.load(options.payload)
            targets = [connect(spec, options.payload, options.work, number, children,
                               options.cpu, stack)
                       for number, spec in enumerate((options.reference, options.tested))]
            return Lockstep(image, targets[0], targets[1], options).run()
    except LabError as err:
        err.report()
    except (RspError, OSError, ValueError) as err:
        print(f"lockstep: {err}", file=sys.stderr)
    finally:
        watchdog.cancel()
        children.stop_all()
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
