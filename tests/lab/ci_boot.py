# SPDX-License-Identifier: GPL-2.0-or-later
"""Breakpoints that are set before the guest has what they are in."""

from __future__ import annotations

import contextlib
import functools
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gdbstub")]

from bench import TRAP, Bench, check, on_linux, on_power, on_x86, pc_of         # noqa: E402
from ci_gdbstub import SOFTWARE, KvmBench, Target               # noqa: E402
from ci_left_in import kind_of, memory_of                       # noqa: E402
from common import FIRST, answers, on, place                    # noqa: E402
from lablib import ARM64, PPC64, X86, L2                        # noqa: E402
from rsp import Gdb, RspTimeout                                 # noqa: E402
from soak import linux_of                                       # noqa: E402

# In the order in which Linux comes to them
FUNCTIONS = ("start_kernel", "rest_init", "kernel_init", "run_init_process")


def said_symbols(guest: L2, names: Iterable[str]) -> dict[str, int]:
    """What `grep ... /proc/kallsyms` has written to the console."""
    lines = guest.console.read_text(errors="replace").splitlines()
    return {words[2]: int(words[0], 16) for words in map(str.split, lines)
            if len(words) >= 3 and words[2] in names}


@functools.cache
def symbols(bench: Bench) -> dict[str, int]:
    """The addresses, at which all callers come by."""
    if bench.lab.arch is PPC64:
        return {name: at + 8 for name, at in
                linux_of(bench.lab).symbols(None, FUNCTIONS).items()}    # type: ignore
    pattern = f" ({'|'.join(FUNCTIONS)})$"
    with bench.guest(None, append="nokaslr", stopped=False,
                     run=(f"/bin/busybox grep -E '{pattern}' /proc/kallsyms",)) as guest:
        guest.wait_console(r"tick 1\b", 150)
        return said_symbols(guest, FUNCTIONS)


def boots(gdb: Gdb, kind: int, places: dict[str, int], leaves_in: bool) -> None:
    """Each is met, in order; a client as gdb takes all out at each stop."""
    for place in places.values():
        gdb.insert(place, SOFTWARE, kind)
    for name, place in places.items():
        gdb.cont(150)
        check(f"{name}: pc", pc_of(gdb), place)
        if not leaves_in:
            for at in places.values():
                gdb.remove(at, SOFTWARE, kind)
            for at in places.values():
                gdb.insert(at, SOFTWARE, kind)
    for place in places.values():
        gdb.remove(place, SOFTWARE, kind)


def breakpoints_before_boot(bench: Bench) -> None:
    """Z0 at four functions of Linux, set with -S: all met, in order; again after a reset"""
    found = symbols(bench)
    places = {name: found[name] for name in FUNCTIONS}
    with bench.guest(None, append="nokaslr") as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        boots(gdb, kind_of(bench), places, True)
        gdb.monitor("system_reset")
        boots(gdb, kind_of(bench), places, False)
        gdb.detach()
        guest.wait_console(r"tick 2\b", 150)


# Debian's kernels for POWER and arm64 do not have kexec_file_load
@pytest.mark.host(*on_x86.args)
@pytest.mark.by_hand
@pytest.mark.timeout(1200)
def another_kernel(bench: Bench) -> None:
    """kexec: Linux starts Linux without a reset; the same breakpoints are met again"""
    found = symbols(bench)
    places = [found[name] for name in ("start_kernel", "rest_init", "kernel_init")]
    kind, console = kind_of(bench), bench.lab.arch.l2_console[0]
    with bench.guest(None, append="nokaslr", memory="1G",
                     run=(f"/bin/kexec /kernel 'console={console} nokaslr'",)) as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        for place in places:
            gdb.insert(place, SOFTWARE, kind)
        for kernel in ("first", "second"):
            for place in places:
                gdb.cont(150)
                check(f"the {kernel} kernel: pc", pc_of(gdb), place)
        text = guest.console.read_text(errors="replace")
        check("kernels", text.count("Linux version"), 2)


def idle_functions(bench: Bench, count: int) -> list[int]:
    """Places in the kernel by which no boot comes."""
    lab = bench.lab
    said = subprocess.run([f"{lab.arch.tools}nm", lab.kernel.vmlinux], capture_output=True,
                          text=True, check=True).stdout
    found = sorted(int(line.split()[0], 16) for line in said.splitlines()
                   if re.search(r" [tT] (keyctl|userfaultfd|ptrace|sysrq_handle|kexec|xmon|"
                                r"hibernate|swsusp|coredump|elf_core)_"
                                r"(?!\w*(init|setup|alloc|regist))\w*$", line))
    check("enough functions", len(found) >= count, True)
    return [at + 12 for at in found[:count]]        # ftrace reads what is 8 bytes behind


LOADED_AT = 0x400000            # pseries loads a kernel there, which copies itself to 0


@on_power
def image_copied(bench: Bench) -> None:
    """clause 2: 100 breakpoints set with -S: the kernel copies its image without traps"""
    places = idle_functions(bench, 100)
    with bench.guest(None, append="nokaslr") as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        for place in places:
            gdb.insert(place)
        gdb.resume("vCont;c")
        guest.wait_console("Run /init as init process", 150)
        gdb.interrupt(10)
        copies = [gdb.read_memory(place - LOADED_AT, 4) for place in places
                  if place & 0xfffffff >= LOADED_AT]
        check("places in the image", len(copies) > 20, True)
        check("traps in the copy", copies.count(TRAP), 0)
        for place in places:
            gdb.remove(place)


def exits_of(gdb: Gdb) -> int:
    found = re.search(r"\b(?:sum_)?exits\b.*: *(\d+)", gdb.monitor("info stats vcpu"))
    return int(found[1]) if found else -1


def never_met(bench: Bench, places: list[int]) -> list[int]:
    """Those that a boot does not meet."""
    left = list(places)
    with bench.guest(None, append="nokaslr") as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        for place in places:
            gdb.insert(place)
        with contextlib.suppress(RspTimeout):
            while True:
                gdb.cont(150)
                gdb.remove(pc_of(gdb))
                left.remove(pc_of(gdb))
        guest.wait_console(r"tick 1\b", 10)
    return left


@on_power
@pytest.mark.by_hand
@pytest.mark.timeout(3600)
def boot_cost(bench: Bench) -> None:
    """clause 8: seconds and exits of a boot with 0, 1 and 100 breakpoints, by turns"""
    places = never_met(bench, idle_functions(bench, 100))
    check("places", len(places) >= 90, True)
    for _ in range(4):
        for count in (0, 1, 100):
            with bench.guest(None, append="nokaslr") as guest:
                gdb = Gdb.connect(guest.gdb_port, timeout=20)
                for place in places[:count]:
                    gdb.insert(place)
                begun = time.monotonic()
                gdb.resume("vCont;c")
                guest.wait_console(r"tick 1\b", 150)
                seconds = time.monotonic() - begun
                gdb.interrupt(10)
                bench.notes.append(f"{count} breakpoints: {seconds:.1f} s, "
                                   f"{exits_of(gdb)} exits")


# Code that copies some bytes, waits for some time, and goes somewhere.  What is copied: a
# register gets the number of the round.
@dataclass(frozen=True)
class CopyCode:
    copies: dict[str, str]      # by what it copies with
    order: str                  # of the bytes of these words, which are written as numbers
    registers: tuple[int, ...]  # to, from, how many bytes, where then, how long to wait
    result: int
    there: str                  # what is copied: the number goes in at `at`
    at: int


X86_WAIT = "41ffc8 75fb ffe0"                           # dec %r8d; jnz; jmp *%rax
ARM64_WAIT = ("d5033b9f d508711f d5033b9f d5033fdf "    # dsb; ic iallu; dsb; isb
              "f10004c6 54ffffe1 d61f0080")             # subs x6, x6, 1; b.ne; br x4
# addi r3, r3, -64; dcbst; sync; icbi; sync; isync; addic. r21, r21, -1; bne; then a
# hypercall that nobody knows, to have an exit; mtctr r20; bctr
PPC_WAIT = ("3863ffc0 7c00186c 7c0004ac 7c001fac 7c0004ac 4c00012c 36b5ffff 4082fffc "
            "38607ff0 44000022 7e8903a6 4e800420")
COPY_CODE = {
    X86.name: CopyCode({"bytes": f"f3a4 {X86_WAIT}", "words": f"48c1e903 f348a5 {X86_WAIT}"},
                  "", (7, 6, 1, 0, 8), 3, "bb00000000 ebfe", 1),
    # ldr x3, [x1], n; str x3, [x0], n; subs x2, x2, n; b.ne
    ARM64.name: CopyCode({"bytes": f"38401423 38001403 f1000442 54ffffa1 {ARM64_WAIT}",
                     "words": f"f8408423 f8008403 f1002042 54ffffa1 {ARM64_WAIT}",
                     "pairs": f"a8c11c23 a8811c03 f1004042 54ffffa1 {ARM64_WAIT}"},
                    "little", (0, 1, 2, 4, 6), 5, "52800005 14000000", 0),
    # l r7, 0(r4); st r7, 0(r3); addi r4, r4, n; addi r3, r3, n; addic. r5, r5, -n; bne
    PPC64.name: CopyCode({
        "bytes": f"88e40000 98e30000 38840001 38630001 34a5ffff 4082ffec {PPC_WAIT}",
        "words": f"e8e40000 f8e30000 38840008 38630008 34a5fff8 4082ffec {PPC_WAIT}",
        "quadwords": f"e1040000 f9030002 38840010 38630010 34a5fff0 4082ffec {PPC_WAIT}",
        # KVMPPC_H_LOGICAL_MEMOP: QEMU itself copies.  r4 is from, r3 to
        "by QEMU": "7c852378 7c641b78 38c00000 38e00040 39000000 3c600000 "
                   "6063f001 44000022 7e8903a6 4e800420"},
        "big", (3, 4, 5, 20, 21), 25, "3b200000 48000000", 0)}
SIZE = 64


def assembled(words: str, order: str) -> bytes:
    if not order:
        return bytes.fromhex(words)
    return b"".join(int(word, 16).to_bytes(4, order) for word in words.split())


class Copier:
    """A guest that copies code over other code, and goes there or to a loop."""

    def __init__(self, bench: Bench, target: Target, gdb: Gdb) -> None:
        self.gdb = gdb
        self.code = COPY_CODE[bench.lab.arch.name]
        self.kind = kind_of(bench)
        self.random = random.Random(1)
        # 16 KiB of RAM that the guest's own code does not use
        self.begin = 0x800000 if bench.lab.arch is PPC64 else (
            (target.buffer if bench.lab.arch is ARM64 else target.data + 0x2000) + 63 & ~63)
        self.here, self.there, self.loop = (self.begin + 0x100 * n for n in (1, 2, 3))
        self.length = self.code.at + 4          # of the instruction that has the number
        gdb.write_memory(self.loop, assembled(self.code.there.split()[-1], self.code.order))

    def copied(self, number: int) -> bytes:
        code, at = assembled(self.code.there, self.code.order), self.code.at
        if not self.code.order:
            code = code[:at] + number.to_bytes(4, "little") + code[at + 4:]
        else:
            first = int.from_bytes(code[:4], self.code.order)     # type: ignore[arg-type]
            first |= number << (5 if self.code.order == "little" else 0)
            code = first.to_bytes(4, self.code.order) + code[4:]  # type: ignore[arg-type]
        return code.ljust(SIZE, b"\0")

    def ready(self, number: int, then: int, there: int = 0, data: bytes = b"") -> None:
        names = list(self.code.copies)
        copy = self.code.copies[names[number % len(names)]]
        values = zip(self.code.registers,
                     (there or self.there, self.here, SIZE, then,
                      self.random.choice((1, 1, 10, 1000, 100000))))
        self.gdb.write_memory(self.begin, assembled(copy, self.code.order))
        self.gdb.write_memory(self.here, data or self.copied(number))
        for register, value in values:
            self.gdb.write(f"r{register}", value)
        place(self.gdb, self.begin)

    def check_memory(self, number: int) -> None:
        check(f"{number}: memory", self.gdb.read_memory(self.there, SIZE),
              self.copied(number))

    def goes_there(self, number: int) -> None:
        """It meets the breakpoint there, and then runs what it has written."""
        result = f"r{self.code.result}"
        self.ready(number, self.there)
        answers(self.gdb, "vCont;c")
        check(f"{number}: pc", pc_of(self.gdb), self.there)
        self.check_memory(number)
        self.gdb.write(result, 1000)
        answers(self.gdb, f"vCont;s:{FIRST}")
        check(f"{number}: what runs", on(self.gdb, FIRST, result), [number])


def writes_over(bench: Bench, rounds: int) -> None:
    with KvmBench(bench).stopped() as (target, gdb):
        guest = Copier(bench, target, gdb)
        gdb.insert(guest.there, SOFTWARE, guest.kind)
        guest.ready(1000, guest.loop)
        gdb.resume("vCont;c")
        time.sleep(1)
        gdb.interrupt(10)
        check("pc", pc_of(gdb), guest.loop)
        guest.check_memory(1000)
        for number in range(rounds):
            guest.goes_there(number & 0x3ff)
        gdb.remove(guest.there, SOFTWARE, guest.kind)
        guest.check_memory(rounds - 1 & 0x3ff)


def written_over(bench: Bench) -> None:
    """code that the guest, or a hypercall, writes over a breakpoint: noticed, met at once"""
    writes_over(bench, 40)


@pytest.mark.by_hand
@pytest.mark.timeout(3600)
def written_over_long(bench: Bench) -> None:
    """the same 10,000 times"""
    writes_over(bench, 10000)


def s_records(address: int, data: bytes) -> str:
    """Motorola's format, which gdb loads as it loads ELF files."""
    def record(kind: int, place: int, part: bytes) -> str:
        body = bytes([len(part) + 5]) + place.to_bytes(4, "big") + part
        return f"S{kind}{(body + bytes([~sum(body) & 0xff])).hex().upper()}"

    return "\n".join([record(3, address + at, data[at:at + 16])
                      for at in range(0, len(data), 16)] + [record(7, address, b""), ""])


def gdb_loads_over(bench: Bench) -> None:
    """gdb's `load` and `restore` over a breakpoint that is in: met, and the new code runs"""
    kvm = KvmBench(bench)
    with kvm.stopped() as (target, gdb):
        guest = Copier(bench, target, gdb)
        length = guest.length
        gdb.close()
        files = [bench.options.work / name for name in ("code.srec", "code.bin")]
        codes = [guest.copied(n)[:length] + guest.copied(n + 1) for n in (5, 7)]
        files[0].write_text(s_records(guest.there, codes[0]))
        files[1].write_bytes(codes[1])
        name = {X86.name: "rbx", ARM64.name: "x5"}.get(bench.lab.arch.name, "r25")
        shown = f'printf "seen %x %x\\n", $pc, ${name}'
        go = [f"set $pc = {guest.there:#x}", "continue", shown, "stepi", shown]
        commands = ["set pagination off", "set breakpoint always-inserted on",
                    f"target remote 127.0.0.1:{target.l2.gdb_port}",
                    f"break *{guest.there + length:#x}", f"load {files[0]}", *go,
                    f"restore {files[1]} binary {guest.there:#x}", *go, "delete", "detach"]
        run = subprocess.run(["gdb-multiarch", "-batch", "-nx", str(next(iter(
            kvm.payloads.values()))), *(arg for command in commands for arg in ("-ex", command))],
            capture_output=True, text=True, timeout=60, check=False)
        seen = re.findall(r"^seen (\w+) (\w+)$", run.stdout, re.MULTILINE)
        places = (guest.there + length, guest.there + 2 * length)
        check(f"pc and {name}, in {run.stdout}{run.stderr}", seen,
              [(f"{place:x}", f"{number}") for code in (5, 7)
               for place, number in zip(places, (code, code + 1))])
        gdb = target.connect()
        check("memory", gdb.read_memory(guest.there, len(codes[1])), codes[1])


# Space A of guest-x86.S has 1 GiB of memory at these addresses, too; so has B then
X86_ALIAS = 0x800000            # of what A has at OTHER, in both
X86_UPPER = 0xffffff8000000000  # of all of the first 512 GiB
OTHER_CODE = bytes.fromhex("90" * 8 + "ebfe" + "90" * 54)
SOME_DATA = bytes(range(1, SIZE + 1))


def x86_aliases(target: Target, gdb: Gdb) -> None:
    for space in (target.SPACE_A, target.SPACE_B):
        gdb.write_memory(space + 511 * 8, gdb.read_memory(space, 8))
        entry = gdb.read_memory(target.SPACE_A + 0x2000 + (target.OTHER >> 21) * 8, 8)
        gdb.write_memory(space + 0x2000 + (X86_ALIAS >> 21) * 8, entry)
    gdb.write_memory(target.IN_A, OTHER_CODE)
    gdb.write_memory(target.IN_B, OTHER_CODE)


def into_b(target: Target, gdb: Gdb) -> None:
    place(gdb, target.to_b)
    for _ in range(2):
        gdb.step()
    check("pc", pc_of(gdb), target.in_b)


@pytest.mark.host(*on_x86.args)
def used_otherwise(bench: Bench) -> None:
    """clause 2: a process's breakpoint, whose memory another one gets: not written there"""
    with KvmBench(bench).stopped() as (target, gdb):
        x86_aliases(target, gdb)
        guest, at = Copier(bench, target, gdb), target.OTHER + 4
        gdb.insert(at, SOFTWARE, 1)
        place(gdb, target.OTHER)
        answers(gdb, "vCont;c")
        check("pc", pc_of(gdb), at)
        into_b(target, gdb)
        guest.ready(0, guest.loop, X86_ALIAS, SOME_DATA)
        gdb.resume("vCont;c")
        deadline = time.monotonic() + 20
        while memory_of(target, target.IN_A, SIZE) != SOME_DATA:
            check("copied in time", time.monotonic() < deadline, True)
        for _ in range(20):
            check("memory", memory_of(target, target.IN_A, SIZE), SOME_DATA)
            check("the other's", memory_of(target, target.IN_B, SIZE), OTHER_CODE)
            time.sleep(0.5)
        gdb.interrupt(10)
        check("pc", pc_of(gdb), guest.loop)
        gdb.remove(at, SOFTWARE, 1)
        check("memory", memory_of(target, target.IN_A, SIZE), SOME_DATA)
        said = target.l2.log.read_text()
        check("warnings", said.count("the guest uses the memory of the breakpoint"), 1)


@pytest.mark.host(*on_x86.args)
def goes_elsewhere(bench: Bench) -> None:
    """a kernel's breakpoint, whose address gets other memory: met there, gone here"""
    with KvmBench(bench).stopped() as (target, gdb):
        x86_aliases(target, gdb)
        at = X86_UPPER + target.OTHER + 4
        trapped = OTHER_CODE[:4] + b"\xcc" + OTHER_CODE[5:]
        gdb.insert(at, SOFTWARE, 1)
        place(gdb, X86_UPPER + target.OTHER)
        answers(gdb, "vCont;c")
        check("pc", pc_of(gdb), at)
        into_b(target, gdb)
        place(gdb, target.spin)
        gdb.resume("vCont;c")
        time.sleep(2)
        check("here", memory_of(target, target.IN_A, SIZE), OTHER_CODE)
        check("there", memory_of(target, target.IN_B, SIZE), trapped)
        gdb.interrupt(10)
        place(gdb, X86_UPPER + target.OTHER)
        answers(gdb, "vCont;c")
        check("pc", pc_of(gdb), at)
        gdb.remove(at, SOFTWARE, 1)
        for memory in (target.IN_A, target.IN_B):
            check("memory", memory_of(target, memory, SIZE), OTHER_CODE)


MODULE_ROUNDS = ("n=0", "while :; do", "n=$((n + 1))",
                 "/bin/busybox insmod /lib/dummy.ko numdummies=0",
                 'echo "round $n $(/bin/busybox grep -w dummy_setup /proc/kallsyms)"',
                 "/bin/busybox sleep 2", "/bin/busybox ip link add d0 type dummy",
                 "/bin/busybox ip link del d0", "/bin/busybox rmmod dummy", "done &")


LOADED = re.compile(r"round (\d+) ([0-9a-f]+) t dummy_setup")


@pytest.mark.host(*on_linux.args)
def module_again(bench: Bench) -> None:
    """a module that is loaded again and again, two seconds before it runs: met each time"""
    kind = kind_of(bench)
    with bench.guest(None, append="nokaslr", stopped=False, modules=("dummy",),
                     run=MODULE_ROUNDS) as guest:
        guest.wait_console(r"round 2 \S+ t dummy_setup", 150)

        def loaded() -> list[tuple[int, int]]:
            return [(int(number), int(place, 16)) for number, place in
                    LOADED.findall(guest.console.read_text(errors="replace"))]

        at = loaded()[-1][1] + (8 if bench.lab.arch is PPC64 else 0)
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        gdb.insert(at, SOFTWARE, kind)
        before = 0
        for _ in range(3):
            gdb.cont(60)
            check("pc", pc_of(gdb), at)
            number = loaded()[-1][0]
            check("another round", number > before, True)
            before = number
        gdb.remove(at, SOFTWARE, kind)
        gdb.detach()
        guest.wait_console(rf"round {before + 2}\b", 60)
        bench.notes.append(f"{len({place for _, place in loaded()})} addresses in "
                           f"{len(loaded())} rounds")
