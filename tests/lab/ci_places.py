# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps in special places.

Each case runs twice, from the same registers and memory: at full speed on the
unpatched QEMU, with nothing but a breakpoint behind it, and stepped on the one
under test.  Where it says so the addresses of the steps are checked, too: they
follow from the Power ISA and are written down here.  The guest is
payload/places.S.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from bench import TRAP, Bench, check, low_memory
from build import Image
from rsp import Gdb, RspError

SF, EE, PR, ME, SE, IR, DR = (1 << n for n in (63, 15, 14, 12, 10, 5, 4))
USER = EE | PR | IR | DR
TRACE = 0xd00
AIL_BASE = 0xc000000000004000
PAGE, PAGE_PHYS = 0x40000000, 0x900000  # the page behind it is not mapped
DATA_PAGE = 0x905000                    # for nothing else
VECTORS = (0x300, 0x380, 0x400, 0x480, 0x500, 0x600, 0x700, 0x800, 0x900, 0xa00,
           0xc00, 0xf00, 0xf20, 0xf40, 0xf60, 0xf80)
PREFIXED = ("paddi", "pld", "pstw", "pnop")
CHUNK = 0x400                           # of memory, for a packet
FIRST, SECOND = "p1.1", "p1.2"
# Beside all that `g` has: general, floating point, pc, msr, cr, lr, ctr, xer, fpscr
SPRS = ("srr0", "srr1", "dar", "dsisr", "sprg0", "sprg1", "sprg2", "sprg3", "tar")


@dataclass(frozen=True)
class Case:
    """A piece of code, where to put it, how to start it, where it goes."""

    name: str
    start: int
    end: int
    words: tuple[str, ...] = ()         # to be copied to `place`
    place: int = 0                      # a real address
    msr: int = 0                        # bits to set beside SF, ME, FP, VEC, VSX
    clear: int = 0                      # bits to clear
    registers: dict[str, int] = field(default_factory=dict)
    path: tuple[int, ...] | None = None     # where each step goes, or only the first
    breakpoint: bool = True             # False: the end is a branch to itself
    refused: bool = False               # it may be refused, with all left as it was
    limit: int = 1500


def together(gdb: Gdb, packets: list[str]) -> list[bytes]:
    """The answers to packets that are sent at once: one round trip."""
    gdb.link.send_many(packets)
    answers = []
    for _ in packets:
        if gdb.link.unacked:
            gdb.link.ack()
        answers.append(gdb.link.receive())
    return answers


class Side:
    """One guest: places.S at its `ready`."""

    def __init__(self, gdb: Gdb, image: Image) -> None:
        self.gdb = gdb
        self.at = at = image.symbols
        self.code: dict[str, bytes] = {}
        self.now: list[bytes] | None
        gdb.run_to(at["ready"])
        check("the process table is in use",
              int.from_bytes(gdb.read_memory(at["setup"], 8)), 0)
        self.msr = gdb.read(["msr"])["msr"]
        self.areas = [(0x100, 0x1100), (0x4100, 0x1100), (PAGE_PHYS, 0x100),
                      (PAGE_PHYS + 0xf00, 0x100), (DATA_PAGE, 0x100),
                      (at["data"], at["data_end"] - at["data"])]
        self.clean = self.now = self.memory()

    def memory(self) -> list[bytes]:
        parts = [(address + n, min(CHUNK, length - n)) for address, length in self.areas
                 for n in range(0, length, CHUNK)]
        data = b"".join(bytes.fromhex(answer.decode()) for answer in together(
            self.gdb, [f"m{address:x},{length:x}" for address, length in parts]))
        lengths = [length for _, length in self.areas]
        self.now = [data[sum(lengths[:n]):sum(lengths[:n + 1])]
                    for n in range(len(lengths))]
        return self.now

    def write(self, values: dict[str, int]) -> None:
        """`P` for many registers; the guest is big-endian."""
        names = self.gdb.by_name
        answers = together(self.gdb, [
            f"P{names[name].number:x}={value.to_bytes(names[name].size).hex()}"
            for name, value in values.items()])
        check("P", set(answers), {b"OK"})

    def word(self, name: str) -> bytes:
        if name not in self.code:
            self.code[name] = self.gdb.read_memory(self.at["w_" + name],
                                                   8 if name in PREFIXED else 4)
        return self.code[name]

    def begin(self, case: Case) -> None:
        """Memory as it was at `ready`, registers as the case wants them."""
        self.write({"msr": self.msr})
        for (address, _), clean, now in zip(self.areas, self.clean,
                                          self.now or self.memory()):
            for n in range(0, len(clean), 0x100):
                if clean[n:n + 0x100] != now[n:n + 0x100]:
                    self.gdb.write_memory(address + n, clean[n:n + 0x100])
        self.now = None
        code = b"".join(self.word(name) for name in case.words)
        if code:
            self.gdb.write_memory(case.place, code)
        values = {f"r{n}": 0x0101010101010101 * n for n in range(30)}
        values |= {"lr": self.at["stop"], "ctr": 2, "cr": 0x42000000, "xer": 0,
                   "srr0": 0x123450, "srr1": 0x8000000000001032, "dar": 0, "dsisr": 0,
                   "sprg0": 0, "tar": self.at["stop"]}
        values |= {"msr": (self.msr | case.msr) & ~case.clear}
        self.write(values | case.registers | {"pc": case.start})

    def run(self, case: Case) -> None:
        """At full speed."""
        if case.breakpoint:
            self.gdb.run_to(case.end, 10)
        else:
            self.gdb.resume("vCont;c")
            time.sleep(0.15)
            self.gdb.interrupt()
        check(f"{case.name}: the end, at full speed", self.gdb.read(["pc"])["pc"], case.end)

    def step(self, case: Case, whole: bool) -> int:
        """By steps; behind the path that is given, and not `whole`, without handlers."""
        path = case.path or ()
        was = case.start
        for n in range(1, case.limit + 1):
            try:
                self.gdb.step()
            except RspError as err:
                if case.refused and str(err) == "no stop reply but 'E22'":
                    return 0
                raise AssertionError(f"{case.name}: step {n}, from {was:#x}: "
                                     f"{err}") from None
            pc = self.gdb.read(["pc"])["pc"]
            if n <= len(path):
                check(f"{case.name}: step {n}, from {was:#x}", pc, path[n - 1])
            if pc == case.end:
                return n
            was = pc
            base = AIL_BASE if pc >> 12 == AIL_BASE >> 12 else 0
            if whole or n < len(path) or pc - base not in VECTORS:
                continue
            # The handlers are the same for all: stepped with --full only
            self.gdb.run_to(base + 0x100 + self.at["back"] - self.at["low_begin"], 10)
            self.gdb.step()
            was = self.gdb.read(["pc"])["pc"]
            if was == case.end:
                return n
        raise AssertionError(f"{case.name}: not at {case.end:#x} after {case.limit} "
                             f"steps, but at {was:#x}")

    def state(self) -> tuple[dict[str, int], list[bytes]]:
        names = [r.name for r in self.gdb.registers if r.offset is not None]
        return self.gdb.read([*names, *SPRS]), self.memory()


def past_the_page(bench: Bench, end: int) -> tuple[int, ...]:
    """An instruction that ends at `end`, where nothing is mapped, and the next step.

    A POWER10 that TCG plays reads the instruction at SRR0 when it takes a Trace
    interrupt, to set SRR1's bit for prefixed ones, and so takes the instruction
    storage interrupt in its place: what are two steps is one there.
    """
    return (0x400,) if bench.options.machine == "powernv10" else (end, 0x400)


class Places:
    """Both sides."""

    def __init__(self, reference: Side, tested: Side, whole: bool) -> None:
        self.whole = whole
        self.reference = reference
        self.tested = tested
        self.at = tested.at
        self.cases = self.steps = self.refused = 0
        self.wrong: list[str] = []

    def set_ail(self, value: int) -> None:
        for side in (self.reference, self.tested):
            side.begin(Case("ail", self.at[f"s_ail_{value}"], 0))
            side.gdb.run_to(self.at["ready"])
            check("H_SET_MODE", side.gdb.read(["r3"])["r3"], 0)

    def compare(self, case: Case) -> None:
        want, want_memory = self.reference.state()
        got, got_memory = self.tested.state()
        for name, value in want.items():
            check(f"{case.name}: {name} in the end", got[name], value)
        for (address, length), one, other in zip(self.tested.areas, want_memory,
                                                 got_memory):
            for n in range(0, length, 4):
                check(f"{case.name}: memory at {address + n:#x}",
                      other[n:n + 4].hex(), one[n:n + 4].hex())

    def run(self, case: Case) -> None:
        """All cases run; what went wrong is told at the end."""
        try:
            self.tested.begin(case)
            taken = self.tested.step(case, self.whole)
            self.reference.begin(case)
            if taken:
                self.reference.run(case)
            self.compare(case)
            self.steps += taken
            self.refused += not taken
        except AssertionError as err:
            self.wrong.append(str(err))
        except RspError as err:
            raise RspError(f"{case.name}: {err}") from err
        self.cases += 1


def without_register_gaps(gdb: Gdb) -> Gdb:
    """QEMU 11.1 as it is does not count the gap between the core's registers and the
    FPU's (gdbstub/register-gaps.patch): it takes one number less than it describes for
    VMX and VSX, and VR0 cannot be reached.  The SPRs are described with the numbers that
    it takes.  Where VR31 has a vector's size by its own number, that is mended."""
    last = gdb.by_name["vr31"]
    if len(gdb.read_raw([last.number])[0]) == last.size:
        return gdb
    for name, reg in gdb.by_name.items():
        if re.fullmatch(r"vr\d+|vscr|vs\d+h", name):
            gdb.by_name[name] = replace(reg, number=reg.number - 1)
    return gdb


@contextlib.contextmanager
def places(bench: Bench, what: str) -> Iterator[Places]:
    image = Image.load(bench.payloads["places"])
    with (bench.guest("places", qemu=bench.unpatched, slot=1) as one,
          bench.guest("places") as other):
        both = Places(Side(without_register_gaps(Gdb.connect(one.gdb_port, timeout=20)),
                           image),
                      Side(Gdb.connect(other.gdb_port, timeout=20), image),
                      bench.options.full)
        yield both
    bench.notes.append(f"{what}: {both.cases} cases, {both.steps} steps, "
                       f"{both.refused} refused, {len(both.wrong)} wrong")
    if both.wrong:
        raise AssertionError("\n  ".join([f"{len(both.wrong)} of {both.cases} cases",
                                          *both.wrong]))


def trace_handler_cases(both: Places, base: int, msr: int) -> Iterator[Case]:
    """One word at the Trace vector, and where it goes from there (Book I, 2.4)."""
    at, here = both.at, base + TRACE
    place = here & 0xffff
    stop = at["stop"]

    def case(word: str, end: int, path: tuple[int, ...] | None = None,
             refused: bool = False, **registers: int) -> Case:
        return Case(f"Trace vector {here:#x}: {word}", here, end, (word,), place, msr,
                    registers=registers, path=(end,) if path is None else path,
                    refused=refused)

    plain = ("addi", "mtsprg", "mfsrr0", "mfsrr1", "mtsrr0", "mtsrr1", "mfmsr", "nop", "isync")
    for word in plain:
        yield case(word, here + 4)
    yield case("mtmsrd", here + 4, r7=(both.tested.msr | msr) ^ 2)
    yield case("mtmsrd1", here + 4, r7=2)
    for word in ("b", "bl", "bdnz", "bc"):
        yield case(word, here + 0x40, cr=0x42000000)
    yield case("bcl", here + 0x40, cr=0x42000000)
    yield case("back", here - 0x40)
    yield case("bdnz", here + 4, ctr=1)
    yield case("bc", here + 4, cr=0)
    yield case("bcl", here + 4, cr=0)
    for word in ("bclr", "bctar"):
        yield case(word, stop)
    yield case("bcctr", stop, ctr=stop + 3)
    yield case("bcctrl", here + 0x80, ctr=here + 0x80)
    mode = both.tested.msr
    yield case("rfid", stop, srr0=stop, srr1=mode)
    yield case("rfid", stop, srr0=stop, srr1=mode | IR | DR)
    yield case("rfid", stop, srr0=stop, srr1=mode | USER)
    yield case("rfid", here + 4, srr0=here + 4, srr1=mode | msr)
    # back to itself, then on
    for word in ("trap", "illegal", "attn"):
        yield case(word, here + 4, (base + 0x700, base + 0x704))
    yield case("sc", here + 4, (base + 0xc00, base + 0xc04), r0=0)
    if msr & DR:
        for word in ("load_fault", "store_fault"):
            yield case(word, here + 4, (base + 0x300, base + 0x304))
    yield case("load_self", here + 4, r9=place)
    yield case("store_self", here + 4, r9=place)
    yield case("stb_self", here + 4, r9=place)
    # What touches both, the Trace vector and the next word, leaves no place for a trap
    yield case("ld", here + 4, refused=True, r9=place)
    yield case("store_next", here + 4, refused=True, r9=place, r4=0x60000000)


def trace_handler(bench: Bench) -> None:
    """clauses 1, 2, 5: stepping inside the Trace handler, its first instruction any, AIL 0"""
    with places(bench, "Trace handler, AIL 0") as both:
        for msr in (0, IR | DR):
            for case in trace_handler_cases(both, 0, msr):
                both.run(case)
        self_tracing(both)


def trace_handler_ail(bench: Bench) -> None:
    """clauses 1, 2, 5: the same, AIL 3"""
    with places(bench, "Trace handler, AIL 3") as both:
        both.set_ail(3)
        for case in trace_handler_cases(both, AIL_BASE, IR | DR):
            both.run(case)
        # and the other one, which real mode still uses
        for case in trace_handler_cases(both, 0, 0):
            both.run(case)
        self_tracing(both)


def self_tracing(both: Places) -> None:
    """A guest with MSR[SE], its handler and all stepped."""
    at = both.at
    for msr in (0, IR | DR):
        both.run(Case(f"traces itself, MSR {msr:#x}", at["s_traced"], at["traced_end"],
                      msr=msr))


def vectors(bench: Bench) -> None:
    """clause 1: the first instruction of every vector"""
    with places(bench, "vectors") as both:
        for vector in VECTORS:
            for msr in (0, IR | DR):
                both.run(Case(f"vector {vector:#x}, MSR {msr:#x}", vector, vector + 4,
                              msr=msr, path=(vector + 4,)))
            both.run(Case(f"vector {vector:#x}: b", vector, vector + 0x40, ("b",), vector,
                          path=(vector + 0x40,)))
            both.run(Case(f"vector {vector:#x}: trap", vector, vector + 4, ("trap",), vector,
                          path=(0x700,) if vector != 0x700 else None)
                     if vector != 0x700 else
                     Case("vector 0x700: bdnz to itself", vector, vector + 4, ("bdnz",),
                          vector, registers={"ctr": 1}, path=(vector + 4,)))
        both.set_ail(3)
        for vector in VECTORS:
            here = AIL_BASE + vector
            both.run(Case(f"vector {here:#x}", here, here + 4, msr=IR | DR,
                          path=(here + 4,)))


def page_end(bench: Bench) -> None:
    """clause 1: the last word of a page, the next one not mapped"""
    with places(bench, "page end") as both:
        stop, last, place = both.at["stop"], PAGE + 0xffc, PAGE_PHYS + 0xffc
        gone = PAGE + 0x1000
        for msr in (IR | DR, USER):
            for word in ("addi", "nop", "load_self", "mtsprg", "mfmsr", "isync", "bdnz"):
                user = msr & PR
                path = past_the_page(bench, gone)
                if word in ("mtsprg", "mfmsr") and user:
                    path = (0x700,)
                elif word == "mfmsr":   # done by QEMU
                    path = (gone, 0x400)
                both.run(Case(f"last word: {word}, MSR {msr:#x}", last, stop, (word,), place,
                              msr, registers={"r9": last, "ctr": 1}, path=path,
                              breakpoint=False))
            both.run(Case(f"last word: trap, MSR {msr:#x}", last, stop, ("trap",), place,
                          msr, path=(0x700,), breakpoint=False))
            both.run(Case(f"last word: sc, MSR {msr:#x}", last, stop, ("sc",), place,
                          msr, registers={"r0": 0}, path=(0xc00,), breakpoint=False))
            both.run(Case(f"last word: load fault, MSR {msr:#x}", last, stop,
                          ("load_fault",), place, msr, path=(0x300,), breakpoint=False))
            both.run(Case(f"last word: blr, MSR {msr:#x}", last, stop, ("bclr",), place,
                          msr, path=(stop,), breakpoint=False))
            both.run(Case(f"last word: b to the unmapped page, MSR {msr:#x}", last, stop,
                          ("b",), place, msr, path=past_the_page(bench, last + 0x40),
                          breakpoint=False))


def prefixed(bench: Bench) -> None:
    """clause 1: prefixed instructions at a page's end and over a 64-byte boundary"""
    if bench.options.machine != "powernv10":
        pytest.skip("POWER9 has no prefixed instructions")
    with places(bench, "prefixed") as both:
        stop = both.at["stop"]
        for msr in (IR | DR, USER):
            for word in PREFIXED:
                registers = {"r9": DATA_PAGE}
                at = PAGE + 0xff8
                both.run(Case(f"{word} at the end of a page, MSR {msr:#x}", at, stop,
                              (word,), PAGE_PHYS + 0xff8, msr, registers=registers,
                              path=past_the_page(bench, at + 8), breakpoint=False))
                # Book I, 1.6: it may not cross a 64-byte boundary (alignment, 7.5.8)
                at = PAGE + 0x3c
                both.run(Case(f"{word} over a boundary, MSR {msr:#x}", at, at + 4,
                              (word, "nop"), PAGE_PHYS + 0x3c, msr, registers=registers,
                              path=(0x600,)))
                both.run(Case(f"{word} over the end of a page, MSR {msr:#x}",
                              PAGE + 0xffc, stop, (word,), PAGE_PHYS + 0xffc, msr,
                              registers=registers, path=(0x600,), breakpoint=False))


def own_code(bench: Bench) -> None:
    """clauses 1, 2: an instruction that overwrites the next one, or itself"""
    with places(bench, "code that changes code") as both:
        # The new word does nothing, like the old one: without icbi and isync it is
        # open which of them runs (Book II, 1.8)
        new = 0x68000000                # xori r0, r0, 0
        values = {"r4": new * 0x100000001, "r5": 0x68, "f1": new * 0x100000001,
                  "vs1h": new * 0x100000001, "vr1": new * 0x1000000010000000100000001}
        values |= {f"r{n}": new for n in range(28, 32)}
        for msr in (0, IR | DR, USER):
            for place, shown in ((DATA_PAGE, "in text"), (PAGE_PHYS + 0x40, "in a page")):
                start = place if place == DATA_PAGE else PAGE + 0x40
                if start != place and not msr & IR:
                    continue
                for word, count in (("store_next", 3), ("store_next2", 4), ("stb_next", 2),
                                    ("store_self", 2), ("stb_self", 2), ("std_over", 3),
                                    ("stmw", 5), ("stvx", 5), ("stxvd2x", 5),
                                    ("stdu", 3)):
                    words = (word, *["nop"] * 6)
                    both.run(Case(f"{word} {shown}, MSR {msr:#x}", start,
                                  start + 4 * count, words, place, msr,
                                  registers=values | {"r9": start},
                                  path=(start + 4,)))
                zero_next(both, start, place, msr)


def zero_next(both: Places, start: int, place: int, msr: int) -> None:
    """dcbz clears itself and the next word, which is illegal then."""
    what = f"dcbz at {start:#x}, MSR {msr:#x}"
    side = both.tested
    side.begin(Case(what, start, 0, ("dcbz", "nop"), place, msr, registers={"r9": start}))
    block = place & ~0x7f
    try:
        side.gdb.step()
        check(f"{what}: pc", side.gdb.read(["pc"])["pc"], start + 4)
        side.gdb.step()
        now = side.gdb.read(["pc", "srr0"])
        check(f"{what}: pc then", now["pc"], 0x700)
        check(f"{what}: SRR0", now["srr0"], start + 4)
        check(f"{what}: memory", side.gdb.read_memory(block, 128), bytes(128))
    except AssertionError as err:
        both.wrong.append(str(err))
    both.cases += 1
    both.steps += 2


LOADS = ("load_self", "lbz", "lhz", "lwbrx", "ld", "ldm4", "ldm1", "ldu", "lq", "lmw",
         "lswi", "lvx", "lxvd2x", "lfd")
STORES = ("store_self", "stb_self", "std_over", "stdu", "stmw", "dcbz", "stvx", "stxvd2x")
SOME = ("load_self", "ld", "lq", "std_over", "dcbz")


def trapped_words(bench: Bench) -> None:
    """clause 2: loads and stores that touch the vectors see and leave the guest's words"""
    with places(bench, "loads and stores of vectors") as both:
        full = bench.options.full
        for ail in (0, 3):
            if ail:
                both.set_ail(ail)
            for msr in (0, IR | DR, USER):
                base = 0x4000 if ail and msr & IR else 0
                for vector in (0xd00, 0x300, 0x700) if full else (0xd00, 0x300):
                    every = full or vector == 0xd00 and (ail, msr) in ((0, 0), (3, USER))
                    for alias in ((0, 0xc000000000000000)
                                  if msr == IR | DR and full else (0,)):
                        where = alias + base + vector
                        for word in LOADS + STORES if every else SOME:
                            both.run(Case(
                                f"{word} at {where:#x}, MSR {msr:#x}, AIL {ail}",
                                DATA_PAGE, DATA_PAGE + 4, (word, "nop"), DATA_PAGE, msr,
                                registers={"r9": where, "r10": -1 & (1 << 64) - 1,
                                           "r11": where}, path=(DATA_PAGE + 4,)))


def no_breakpoint_there(bench: Bench) -> None:
    """clause 5: illegal words, attn and KVM's own trap word in guest code are the guest's"""
    with places(bench, "illegal words") as both:
        at, tested = both.at, both.tested
        for ail in (0, 3):
            if ail:
                both.set_ail(ail)
            for msr in (0, IR | DR, USER):
                base = AIL_BASE if ail and msr & IR else 0
                for word in ("illegal", "attn", "kvm_trap"):
                    # behind it: blr, to the branch to itself
                    case = Case(f"{word}, MSR {msr:#x}, AIL {ail}", DATA_PAGE, at["stop"],
                                (word, "bclr", "bclr"), DATA_PAGE, msr, breakpoint=False,
                                path=(base + 0x700, base + 0x704))
                    both.run(case)
                    # at full speed, with gdb's breakpoints elsewhere
                    tested.gdb.insert(at["s_modes"])
                    try:
                        tested.begin(case)
                        tested.run(case)
                        both.compare(case)
                    except AssertionError as err:
                        both.wrong.append(f"at full speed, a breakpoint elsewhere: {err}")
                    tested.gdb.remove(at["s_modes"])
                    # again, after a step has been taken elsewhere
                    tested.write({"pc": at["ready"]})
                    tested.gdb.step()
                    try:
                        tested.begin(case)
                        tested.run(case)
                        both.compare(case)
                    except AssertionError as err:
                        both.wrong.append(f"at full speed, after a step: {err}")


def modes(bench: Bench) -> None:
    """clause 1: IR and DR in every combination, AIL 0 and 3, 32-bit mode"""
    with places(bench, "IR, DR, AIL, SF") as both:
        for ail in (0, 3):
            if ail:
                both.set_ail(ail)
            for msr in (0, IR, DR, IR | DR, USER):
                for clear in (0, SF):
                    both.run(Case(f"modes, MSR {msr:#x} without {clear:#x}, AIL {ail}",
                                  both.at["s_modes"], both.at["stop"], msr=msr,
                                  clear=clear, breakpoint=False))


def another_pid(bench: Bench) -> None:
    """clause 1: problem state with another PID: steps, breakpoints, memory"""
    with places(bench, "PID 1") as both:
        at, gdb = both.at, both.tested.gdb
        user = PAGE + 0x2000
        size = at["user_1"] - at["user_0"]
        whole = Case("PID 1", at["s_pid"], at["stop"], breakpoint=False)
        both.run(whole)
        ours = {n: both.tested.gdb.read_memory(at[f"user_{n}"], size) for n in (0, 1)}
        check("the two differ", ours[0] != ours[1], True)
        both.tested.begin(whole)
        for _ in range(20):
            gdb.step()
            if gdb.read(["pc"])["pc"] == user:
                break
        check("the user's code, as gdb reads it",
              gdb.read_memory(user, size) == ours[1], True)
        gdb.insert(user + 8)
        check("PID 0's page", gdb.read_memory(0x902000, size) == ours[0], True)
        check("PID 1's page, as gdb reads it",
              gdb.read_memory(user, size) == ours[1], True)
        gdb.cont(5)
        check("continue stops at the breakpoint", gdb.read(["pc"])["pc"], user + 8)
        check("what ran was PID 1's", gdb.read(["r20"])["r20"], 200)
        gdb.step()
        check("the load faults", gdb.read(["pc"])["pc"], 0x300)
        gdb.run_to(at["pid_back"], 5)
        gdb.remove(user + 8)
        check("PID 1's page, afterwards", gdb.read_memory(0x904000, size) == ours[1], True)


def unmapped_by_another(bench: Bench) -> None:
    """clauses 1, 4: another vCPU unmaps the page while its instructions are stepped"""
    steps = 1000 if bench.options.full else 60
    image = Image.load(bench.payloads["places"])
    at, page = image.symbols, PAGE + 0x3000
    with bench.guest("places", cpus=2) as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        side = Side(gdb, image)
        side.begin(Case("start the other", at["s_second"], 0))
        gdb.run_to(at["ready"])
        check("H_RTAS start-cpu", gdb.read(["r3"])["r3"], 0)
        side.write({"msr": side.msr | IR | DR, "pc": page, "r20": 0, "r21": 0})
        pc, met, ran = page, 0, 0
        for n in range(steps):
            gdb.resume("vCont;s:p1.1;c")
            gdb.wait()
            check("who stopped", gdb.stop.thread, "p01.01")
            now = gdb.read(["pc", "srr0", "r20", "r21"])
            what = f"step {n} from {pc:#x}"
            if now["pc"] == 0x400:
                met += 1
                check(f"{what}: SRR0", now["srr0"], pc)
                gdb.run_to(side.at["back"] - side.at["low_begin"] + 0x100)
                gdb.resume("vCont;s:p1.1;c")
                gdb.wait()
                now = gdb.read(["pc"])
                check(f"{what}: back", now["pc"], pc)
                continue
            ran += 1
            check(what, now["pc"], page if pc == page + 8 else pc + 4)
            pc = now["pc"]
            check(f"{what}: r20, r21", (now["r20"], now["r21"]),
                  ((ran + 2) // 3, 3 * ((ran + 1) // 3)))
        check("it was unmapped now and then", met > 0 and ran > 0, True)
        check("a trap is left", TRAP in low_memory(gdb) or
              TRAP in gdb.raw_memory(0x903000, 16), False)
        bench.notes.append(f"unmapped by another vCPU: {ran} steps, {met} times at 0x400")


@contextlib.contextmanager
def two_vcpus(bench: Bench) -> Iterator[Side]:
    """places.S with a second vCPU, stopped; p1.1 is selected."""
    image = Image.load(bench.payloads["places"])
    with bench.guest("places", cpus=2) as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        side = Side(gdb, image)
        side.begin(Case("start the other", side.at["s_second"], 0))
        gdb.run_to(side.at["second"])
        check("who has been started", gdb.stop.thread, "p01.02")
        gdb.select(FIRST)
        yield side


def ail_moved_by_another(bench: Bench) -> None:
    """clauses 1, 3, 4: another vCPU moves the vectors all the time: each interrupt is met"""
    steps = 2000 if bench.options.full else 100
    with two_vcpus(bench) as side:
        gdb, at = side.gdb, side.at
        # One that is due at each step in problem state, and held back
        side.begin(Case("decrementer", at["s_decrementer"], 0, registers={"r25": 1}))
        gdb.run_to(at["ready"])
        gdb.select(SECOND)
        side.write({"pc": at["s_to_and_fro"], "r24": 0})
        gdb.select(FIRST)
        log = gdb.read_memory(at["log_at"], 8)
        low = high = 0
        for n in range(steps):
            insn, msr = ("w_addi", USER) if n % 2 else ("w_sc", IR | DR)
            given = {"msr": side.msr | msr, "pc": at[insn], "srr0": 0x123450, "srr1": 0x123}
            side.write(given)
            gdb.resume(f"vCont;s:{FIRST};c")
            gdb.wait(20)
            what = f"step {n}, {insn}"
            check(f"{what}: who stopped", gdb.stop.thread, "p01.01")
            now = gdb.read(list(given))
            check(f"{what}: a handler has run", gdb.read_memory(at["log_at"], 8), log)
            if n % 2:
                check(what, now, given | {"pc": at[insn] + 4})
                continue
            low += now["pc"] == 0xc00
            high += now["pc"] == AIL_BASE + 0xc00
            check(f"{what}: pc {now['pc']:#x} is a vector's", low + high, n // 2 + 1)
            check(f"{what}: SRR0", now["srr0"], at[insn] + 4)
            check(f"{what}: SRR1", now["srr1"], given["msr"])
        gdb.select(SECOND)
        turns = gdb.read(["r24"])["r24"]
        bench.notes.append(f"vectors moved to and fro {turns} times in {steps} steps, of sc "
                           f"{low} to 0xc00 and {high} to {AIL_BASE + 0xc00:#x}")
        check(f"both vectors were met ({low}, {high})", low > 0 and high > 0, True)


def two_at_a_vector(bench: Bench) -> None:
    """clause 4: a vCPU is stepped at the Trace vector while another one's step needs it"""
    both = 0
    with two_vcpus(bench) as side:
        gdb, at = side.gdb, side.at
        before = gdb.read_memory(at["log_at"], 8)
        for n in range(20):
            for thread, pc in ((SECOND, TRACE), (FIRST, at["w_addi"])):
                gdb.select(thread)
                side.write({"msr": side.msr, "pc": pc})
            threads = (FIRST, SECOND) if n % 2 else (SECOND, FIRST)
            gdb.resume("vCont" + "".join(f";s:{thread}" for thread in threads))
            gdb.wait(20)
            moved = 0
            for thread, pc in ((SECOND, TRACE), (FIRST, at["w_addi"])):
                gdb.select(thread)
                now = gdb.read(["pc", "msr"])
                check(f"{thread}: pc", now["pc"] in (pc, pc + 4), True)
                check(f"{thread}: MSR", now["msr"], side.msr)
                moved += now["pc"] != pc
            check("one or both have moved", moved > 0, True)
            both += moved == 2
            check("the guest's log of interrupts", gdb.read_memory(at["log_at"], 8), before)
        bench.notes.append(f"two at the Trace vector: in {both} of 20 both had got on")
