# SPDX-License-Identifier: GPL-2.0-or-later
"""Breakpoints that are set before the guest has what they are in."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gdbstub")]

from bench import Bench, check, on_arm64, on_x86, pc_of         # noqa: E402
from ci_gdbstub import KvmBench                                 # noqa: E402
from common import FIRST, answers, on, place                    # noqa: E402
from lablib import ARM64                                        # noqa: E402
from linuxguest import Arm64Linux                               # noqa: E402
from rsp import Gdb                                             # noqa: E402
from soak import linux_of                                       # noqa: E402

# In the order in which Linux comes to them
FUNCTIONS = ("start_kernel", "rest_init", "kernel_init", "run_init_process")


def symbols(bench: Bench) -> dict[str, int]:
    """The addresses, at which all callers come by."""
    linux = linux_of(bench.lab)
    if not isinstance(linux, Arm64Linux):
        return {name: at + 8 for name, at in
                linux.symbols(None, FUNCTIONS).items()}          # type: ignore[arg-type]
    pattern = f" ({'|'.join(FUNCTIONS)})$"
    with bench.guest(None, append="nokaslr", stopped=False,
                     run=(f"/bin/busybox grep -E '{pattern}' /proc/kallsyms",)) as guest:
        guest.wait_console(r"tick 1\b", 150)
        found = {line.split()[2]: int(line.split()[0], 16)
                 for line in guest.console.read_text(errors="replace").splitlines()
                 if len(line.split()) == 3 and line.split()[2] in FUNCTIONS}
    return found


def boots(gdb: Gdb, places: dict[str, int], leaves_in: bool) -> None:
    """Each is met, in order; a client as gdb takes all out at each stop."""
    for place in places.values():
        gdb.insert(place)
    for name, place in places.items():
        gdb.cont(150)
        check(f"{name}: pc", pc_of(gdb), place)
        if not leaves_in:
            for at in places.values():
                gdb.remove(at)
            for at in places.values():
                gdb.insert(at)
    for place in places.values():
        gdb.remove(place)


def breakpoints_before_boot(bench: Bench) -> None:
    """Z0 at four functions of Linux, set with -S: all met, in order; again after a reset"""
    found = symbols(bench)
    places = {name: found[name] for name in FUNCTIONS}
    with bench.guest(None, append="nokaslr") as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        boots(gdb, places, True)
        gdb.monitor("system_reset")
        boots(gdb, places, False)
        gdb.detach()
        guest.wait_console(r"tick 2\b", 150)


# Copy r2 bytes, one by one and eight by eight, and go there.  What is copied: a
# register gets the number of the round.
X86_COPY = {"bytes": "f3a4 ffe0", "words": "48c1e903 f348a5 ffe0"}
ARM64_COPY = {
    # ldrb w3, [x1], 1; strb w3, [x0], 1; subs x2, x2, 1; b.ne; dsb; ic; dsb; isb; br x4
    "bytes": "23144038 03140038 420400f1 a1ffff54 9f3b03d5 1f7108d5 9f3b03d5 df3f03d5 80001fd6",
    # ldr x3, [x1], 8; str x3, [x0], 8; subs x2, x2, 8
    "words": "238440f8 038400f8 422000f1 a1ffff54 9f3b03d5 1f7108d5 9f3b03d5 df3f03d5 80001fd6"}
SIZE = 64


def copied(arm64: bool, number: int) -> bytes:
    if arm64:
        code = (0x52800005 | number << 5).to_bytes(4, "little") + bytes.fromhex("00000014")
    else:
        code = b"\xb8" + number.to_bytes(4, "little") + bytes.fromhex("ebfe")
    return code.ljust(SIZE, b"\0")


@dataclass
class Copier:
    """A guest that copies code over other code, and goes somewhere."""

    gdb: Gdb
    arm64: bool
    begin: int

    def __post_init__(self) -> None:
        self.copies = ARM64_COPY if self.arm64 else X86_COPY
        self.here, self.there, self.loop = (self.begin + 0x100 * n for n in (1, 2, 3))
        self.gdb.write_memory(self.loop,
                              bytes.fromhex("00000014" if self.arm64 else "ebfe"))

    def ready(self, number: int, then: int) -> None:
        # to, from, how many, where then; on x86 rdi, rsi, rcx, rax
        values = zip((0, 1, 2, 4) if self.arm64 else (5, 4, 2, 0),
                     (self.there, self.here, SIZE, then))
        self.gdb.write_memory(self.begin,
                              bytes.fromhex(self.copies["words" if number % 2 else "bytes"]))
        self.gdb.write_memory(self.here, copied(self.arm64, number))
        for register, value in values:
            self.gdb.write(f"r{register}", value)
        place(self.gdb, self.begin)

    def check_memory(self, number: int) -> None:
        check(f"{number}: memory", self.gdb.read_memory(self.there, SIZE),
              copied(self.arm64, number))


@pytest.mark.host(*on_arm64.args, *on_x86.args)
def written_over(bench: Bench) -> None:
    """code that the guest writes over a breakpoint: noticed, and then met at once"""
    arm64 = bench.lab.config.machine in ARM64.hosts
    result = "r5" if arm64 else "r0"
    with KvmBench(bench).stopped() as (target, gdb):
        begin = (target.buffer if arm64 else target.data + 0x2000) + 63 & ~63
        guest = Copier(gdb, arm64, begin)
        gdb.insert(guest.there)
        guest.ready(1000, guest.loop)
        gdb.resume("vCont;c")
        time.sleep(1)
        gdb.interrupt(10)
        check("pc", pc_of(gdb), guest.loop)
        guest.check_memory(1000)
        for number in range(100):
            guest.ready(number, guest.there)
            answers(gdb, "vCont;c")
            check(f"{number}: pc", pc_of(gdb), guest.there)
            guest.check_memory(number)
            gdb.write(result, 1000)
            answers(gdb, f"vCont;s:{FIRST}")
            check(f"{number}: what runs", on(gdb, FIRST, result), [number])
        gdb.remove(guest.there)
        guest.check_memory(99)
