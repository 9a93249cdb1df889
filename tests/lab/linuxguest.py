# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux as a guest: what a debugger's tests have to know of each architecture."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rsp import RspError

if TYPE_CHECKING:
    from soak import Session

EE, PR, SE, BE = 1 << 15, 1 << 14, 1 << 10, 1 << 9
DAIF, SS = 0xf << 6, 1 << 21
MASK = (1 << 64) - 1


class Linux:
    """The same for all, or to be said by each architecture."""

    names: tuple[str, ...]      # registers that tell where an instruction goes
    told: tuple[str, ...]       # more, of a vCPU that does not answer
    still: tuple[str, ...]      # some that must not change in a vCPU that waits
    hot: tuple[str, ...]        # functions for breakpoints
    getppid: str
    init: tuple[str, ...] = ()  # lines of init, for symbols()
    probes: tuple[str, ...]     # the line of init that starts linux/probes.c
    waits: frozenset[int]       # the words that wait for an interrupt
    idle: int                   # how far behind it the pc is of one that waits
    sound: str                  # a round of linux/ptrace.c: a pattern with one group
    debugger_on: int | None = None      # the CPU it should be on, if that matters
    # One in which a debugger outside has taken something away: lost, again, missed
    disturbed: str = "(never)"
    SYMBOL = re.compile(r"([0-9a-f]{16}) [A-Za-z] (\S+)$")      # of /proc/kallsyms

    def __init__(self, vmlinux: Path, tools: str) -> None:
        self.vmlinux = vmlinux
        self.tools = tools

    def symbols(self, session: Session, names: Iterable[str]) -> dict[str, int]:
        """Addresses of kernel functions, those of `names` that there are: init has said them."""
        said = {found[2]: int(found[1], 16) for line in session.console.lines
                if (found := self.SYMBOL.match(line))}
        return {name: said[name] for name in names if name in said}

    def entry(self, session: Session, address: int) -> int:
        """Where a function begins for all callers."""
        return address

    def attached(self, session: Session) -> None:
        """Look at what does not change."""

    def word(self, session: Session, regs: dict[str, int]) -> int | None:
        """The instruction at the selected vCPU's pc."""
        try:
            return int.from_bytes(session.gdb.read_memory(regs["pc"], 4), "little")
        except RspError:
            return None

    def successors(self, word: int, regs: dict[str, int]) -> set[int] | None:
        """Where an instruction may go but to a vector, or None: too many to say."""
        raise NotImplementedError

    def may_stay(self, session: Session, word: int | None, before: dict[str, int]) -> bool:
        """May a step end where it has begun (but for an instruction that leads there)?"""
        raise NotImplementedError

    def vector(self, pc: int) -> int | None:
        """The vector at this address, if it is one."""
        raise NotImplementedError

    def asynchronous(self, vector: int) -> bool:
        raise NotImplementedError

    def comes_anyway(self, vector: int, before: dict[str, int]) -> bool:
        """Is this an asynchronous interrupt that a step does not hold back?"""
        return False

    def left_behind(self, session: Session, thread: int, word: int, before: dict[str, int],
                    after: dict[str, int]) -> str:
        """What of the step itself is still to be seen."""
        return ""

    def kernel_text(self, session: Session, functions: Iterable[int]) -> dict[int, bytes]:
        """The vectors and the beginnings of functions."""
        raise NotImplementedError

    def look(self, session: Session, thread: int) -> None:
        """Count what is worth it."""

    def callers(self, session: Session, regs: dict[str, int]) -> list[int]:
        """Of the selected vCPU, the kernel's return addresses, the latest first."""
        return []


class Ppc64Linux(Linux):
    names = ("pc", "msr", "lr", "ctr")
    told = ("srr0", "srr1")
    still = ("pc", "r1", "r3", "r31", "lr", "ctr", "srr0", "srr1", "msr")
    hot = ("sys_getppid", "do_sched_yield", "hrtimer_interrupt", "timer_interrupt",
           "system_call_exception", "timerfd_read_iter", "update_process_times")
    getppid = "sys_getppid"
    probes = ("/bin/probes sys_umask+8 $(/bin/busybox nproc) &",)
    waits = frozenset([0x44000022])     # H_CEDE among others
    idle = 4
    sound = r"ptrace round \d+ (hash \S+ steps \d+ blocks \d+)"
    ASYNCHRONOUS = frozenset([0x500, 0x900, 0x980, 0xa00, 0xe60, 0xe80, 0xea0, 0xf00])

    def symbols(self, session: Session, names: Iterable[str]) -> dict[str, int]:
        out = subprocess.run([f"{self.tools}nm", self.vmlinux], capture_output=True, text=True,
                             check=True).stdout
        found = {}
        wanted = set(names)
        for line in out.splitlines():
            address, _, name = line.split(" ", 2) if line[:1] != " " else ("", "", "")
            if name in wanted:
                found[name] = int(address, 16)
        return found

    def entry(self, session: Session, address: int) -> int:
        """Some skip two instructions."""
        code = session.physical(address & 0x0fffffffffffffff, 4)
        return address + (8 if int.from_bytes(code, "little") >> 16 == 0x3c4c else 0)

    def word(self, session: Session, regs: dict[str, int]) -> int | None:
        """RTAS is big-endian."""
        try:
            code = session.gdb.read_memory(regs["pc"], 4)
        except RspError:
            return None
        return int.from_bytes(code, "little" if regs["msr"] & 1 else "big")

    def successors(self, word: int, regs: dict[str, int]) -> set[int] | None:
        """None: rfid, l*arx"""
        pc = regs["pc"]
        opcode, extended = word >> 26, word >> 1 & 0x3ff
        aa = 0 if word & 2 else pc
        if opcode == 18:
            return {(aa + (word & 0x3fffffc) - ((word & 0x2000000) << 1)) & MASK}
        if opcode == 16:
            return {pc + 4, (aa + (word & 0xfffc) - ((word & 0x8000) << 1)) & MASK}
        if opcode == 19 and extended in (16, 528, 560):
            to = {16: "lr", 528: "ctr", 560: "tar"}[extended]
            return {pc + 4, regs[to] & ~3} if to in regs else None
        if opcode == 17 or opcode == 19 and extended in (18, 82, 274):
            return None
        if opcode == 31 and extended in (20, 52, 84, 116, 276):
            return None
        return {pc + 8} if opcode == 1 else {pc + 4}

    def may_stay(self, session: Session, word: int | None, before: dict[str, int]) -> bool:
        """One that has ceded itself, which answers without having moved."""
        return word in self.waits or session.word_before(before) in self.waits

    def left_behind(self, session: Session, thread: int, word: int, before: dict[str, int],
                    after: dict[str, int]) -> str:
        """SE, BE and EE, which few instructions change."""
        allowed = self.successors(word, before)
        if allowed is None or word >> 26 == 31 and word >> 1 & 0x3ff in (146, 178):
            return ""                   # rfid, sc; mtmsr, mtmsrd
        old, new, where = before["msr"], after["msr"], "MSR"
        if after["pc"] not in allowed:
            new, where = session.regs(thread, "srr1")["srr1"], "SRR1"
        changed = (old ^ new) & (SE | BE | EE)
        return f"MSR {old:#x}, then {where} {new:#x}" if changed else ""

    def comes_anyway(self, vector: int, before: dict[str, int]) -> bool:
        """A performance monitor interrupt, in problem state."""
        return vector == 0xf00 and bool(before["msr"] & PR)

    def vector(self, pc: int) -> int | None:
        offset = pc & 0xfff
        if pc & ~0xfff in (0, 0xc000000000004000) and 0x100 <= offset < 0x1000:
            return offset
        return 0x3000 if pc == 0xc000000000003000 else None

    def asynchronous(self, vector: int) -> bool:
        return vector in self.ASYNCHRONOUS

    def kernel_text(self, session: Session, functions: Iterable[int]) -> dict[int, bytes]:
        places = [(0x100, 0x1f00), (0x3000, 0x100), (0x4000, 0x2000)]
        places += [(at & 0x0fffffffffffffff, 64) for at in functions]
        return {at: session.physical(at, length) for at, length in places}

    def look(self, session: Session, thread: int) -> None:
        msr = session.regs(thread, "msr")["msr"]
        if msr & SE and not msr & PR:
            # The guest's own kprobes run with EE off and out of line
            session.counts["SE in the kernel"] += 1


class Arm64Linux(Linux):
    names = (*(f"x{n}" for n in range(31)), "pc", "cpsr")
    told = ("ELR_EL1", "SPSR_EL1")
    still = (*(f"x{n}" for n in range(31)), "sp", "pc", "cpsr")
    hot = ("__arm64_sys_getppid", "do_sched_yield", "hrtimer_interrupt",
           "arch_timer_handler_virt", "el0_svc", "invoke_syscall", "timerfd_read_iter",
           "update_process_times")
    getppid = "__arm64_sys_getppid"
    KNOWN = ("_text", "panic", *hot)
    # Debian's package has neither an ELF file nor a System.map
    init = (f"/bin/busybox grep -E ' ({'|'.join(KNOWN)})$' /proc/kallsyms",
            "/bin/busybox grep 'Kernel code' /proc/iomem")
    probes = ("/bin/probes __arm64_sys_umask+20 $(/bin/busybox nproc) &",)
    waits = frozenset([0xd503207f])     # wfi
    idle = 4
    sound = r"ptrace round \d+ (hash \S+ steps \d+ points \d+) lost 0 again 0 missed 0$"
    debugger_on = 1
    disturbed = r"ptrace round .*((?:lost|again|missed) [1-9].*)"
    CODE = re.compile(r" *([0-9a-f]+)-[0-9a-f]+ : Kernel code")

    def __init__(self, vmlinux: Path, tools: str) -> None:
        super().__init__(vmlinux, tools)
        self.vectors: set[int] = set()

    def attached(self, session: Session) -> None:
        if not self.vectors:
            self.vectors = {session.regs(thread, "VBAR_EL1")["VBAR_EL1"]
                            for thread in session.threads}

    def successors(self, word: int, regs: dict[str, int]) -> set[int] | None:
        """None: eret, signed branches, load-exclusive"""
        pc = regs["pc"]

        def offset(low: int, bits: int) -> int:
            value = word >> low & (1 << bits) - 1
            return ((value ^ 1 << bits - 1) - (1 << bits - 1)) * 4

        if word & 0x7c000000 == 0x14000000:                             # b, bl
            return {pc + offset(0, 26) & MASK}
        if word & 0xff000000 == 0x54000000 or word & 0x7e000000 == 0x34000000:
            return {pc + 4, pc + offset(5, 19) & MASK}                  # b.cond, cbz, cbnz
        if word & 0x7e000000 == 0x36000000:                             # tbz, tbnz
            return {pc + 4, pc + offset(5, 14) & MASK}
        if word & 0xff9ffc1f == 0xd61f0000:                             # br, blr, ret
            reg = word >> 5 & 31
            return {regs[f"x{reg}"] if reg < 31 else 0}
        if word >> 25 == 0x6b:                                          # eret, braa, ...
            return None
        if word & 0xffe0001c == 0xd4000000 or word & 0xffe0001f == 0xd4200000:
            return {pc + 4} if word & 3 == 2 else set()                 # svc, hvc, brk
        if word & 0x3fc00000 == 0x08400000:                             # ldxr, ldaxr, ldxp, ...
            return None
        return {pc + 4}

    def may_stay(self, session: Session, word: int | None, before: dict[str, int]) -> bool:
        """One that copies or sets memory, and has not come to its end."""
        return word is not None and word & 0x3b200c00 == 0x19000400

    def vector(self, pc: int) -> int | None:
        base = pc & ~0x7ff
        return pc & 0x7ff if base in self.vectors and not pc & 0x7f else None

    def asynchronous(self, vector: int) -> bool:
        """IRQ, FIQ and SError, from any state"""
        return vector & 0x180 != 0

    def left_behind(self, session: Session, thread: int, word: int, before: dict[str, int],
                    after: dict[str, int]) -> str:
        """SS and the masks of interrupts, which few instructions change."""
        old, new = before["cpsr"], after["cpsr"]
        where = "PSTATE"
        if self.vector(after["pc"]) is not None:
            new, where = session.regs(thread, "SPSR_EL1")["SPSR_EL1"], "SPSR_EL1"
            old &= new | ~SS            # the guest's own may be over
        elif word >> 25 == 0x6b or word & 0xfffff0df == 0xd50340df or (
                word & 0xffffffe0 == 0xd51b4220):       # eret; DAIFSet, DAIFClr, DAIF
            return ""
        changed = (old ^ new) & (DAIF | SS)
        return f"PSTATE {old:#x}, then {where} {new:#x}" if changed else ""

    def kernel_text(self, session: Session, functions: Iterable[int]) -> dict[int, bytes]:
        """By physical addresses, so that breakpoints are seen."""
        text = self.symbols(session, ["_text"])["_text"]
        code, = [int(found[1], 16) for line in session.console.lines
                 if (found := self.CODE.match(line))]
        places = [(at, 0x800) for at in self.vectors] + [(at, 64) for at in functions]
        found = {at: session.physical(at - text + code, length) for at, length in places}
        at, data = next(iter(found.items()))
        for thread in session.threads:
            session.gdb.select(session.threads[thread])
            if session.gdb.read_memory(at, 64) != data[:64]:
                raise AssertionError(f"{at:#x} is not at physical {at - text + code:#x}")
        return found

    def callers(self, session: Session, regs: dict[str, int]) -> list[int]:
        """By frame records, as offsets from _text."""
        text = self.symbols(session, ["_text"])["_text"]
        found, frame = [regs["pc"] - text], regs["x29"]
        for _ in range(40):
            try:
                record = session.gdb.read_memory(frame, 16)
            except RspError:
                break
            frame, back = (int.from_bytes(record[at:at + 8], "little") for at in (0, 8))
            found.append((back | 0xffff << 48) - text)      # without its PAC
        return found

    def look(self, session: Session, thread: int) -> None:
        regs = session.regs(thread, "cpsr", "MDSCR_EL1")
        if regs["cpsr"] & 0xf == 0 and regs["MDSCR_EL1"] & 1:
            session.counts["SS of the guest's own"] += 1


class Loong64Linux(Linux):
    names = (*(f"r{n}" for n in range(32)), "pc")
    told = ("badv",)
    still = (*names, "badv")
    hot = ("sys_getppid", "do_sched_yield", "hrtimer_interrupt", "constant_timer_interrupt",
           "do_syscall", "timerfd_read_iter", "update_process_times")
    getppid = "sys_getppid"
    # Debian's package has neither an ELF file nor a System.map
    init = (f"/bin/busybox grep -E ' ({'|'.join(hot)})$' /proc/kallsyms",)
    probes = ("/bin/probes sys_umask+24 $(/bin/busybox nproc) &",)
    waits = frozenset([0x06488000])     # idle
    idle = 4
    sound = r"ptrace round \d+ (hash \S+ points \d+)$"
    # gdb has no CSR, but QEMU's monitor
    ENTRY = re.compile(r"\bEENTRY +([0-9a-f]+)")
    REFILL_ENTRY = re.compile(r"\bTLBRENTRY +([0-9a-f]+)")
    SIZE, COUNT, REFILL = 0x200, 80, 0x3f           # of the entries; a code of its own

    def __init__(self, vmlinux: Path, tools: str) -> None:
        super().__init__(vmlinux, tools)
        self.entries: set[int] = set()
        self.refill: set[int] = set()

    def attached(self, session: Session) -> None:
        if not self.entries:
            said = session.gdb.monitor("info registers -a", 30)
            self.refill = {int(at, 16) for at in self.REFILL_ENTRY.findall(said)}
            self.entries = {int(at, 16) for at in self.ENTRY.findall(said)}

    def successors(self, word: int, regs: dict[str, int]) -> set[int] | None:
        """None: ertn, load-linked"""
        pc, opcode = regs["pc"], word >> 26
        source = regs[f"r{word >> 5 & 31}"]

        def target(value: int, bits: int, base: int = pc) -> int:
            return base + ((value ^ 1 << bits - 1) - (1 << bits - 1)) * 4 & MASK

        if opcode in (0x14, 0x15):                                      # b, bl
            return {target(word >> 10 & 0xffff | (word & 0x3ff) << 16, 26)}
        if opcode in (0x10, 0x11, 0x12):                                # beqz, bnez, bceqz
            return {pc + 4, target(word >> 10 & 0xffff | (word & 31) << 16, 21)}
        if opcode == 0x13:                                              # jirl
            return {target(word >> 10 & 0xffff, 16, source)}
        if 0x16 <= opcode <= 0x1b:                                      # beq, ...
            return {pc + 4, target(word >> 10 & 0xffff, 16)}
        if word == 0x06483800 or word & 0xfd000000 == 0x20000000:       # ertn, ll
            return None
        if word >> 15 in (0x54, 0x56):                                  # break, syscall
            return set()
        return {pc + 4}

    def may_stay(self, session: Session, word: int | None, before: dict[str, int]) -> bool:
        """One that waits, which answers without having moved."""
        return word in self.waits or session.word_before(before) in self.waits

    def vector(self, pc: int) -> int | None:
        if pc in self.refill:
            return self.REFILL
        for base in self.entries:
            at = pc - base
            if 0 <= at < self.SIZE * self.COUNT and not at % self.SIZE:
                return at // self.SIZE
        return None

    def asynchronous(self, vector: int) -> bool:
        """Those of interrupts are behind all of exceptions."""
        return vector >= 64

    def kernel_text(self, session: Session, functions: Iterable[int]) -> dict[int, bytes]:
        """By physical addresses, which a direct mapped window has in the lower bits."""
        places = [(at, 0x400) for at in sorted(self.entries)] + [(at, 64) for at in functions]
        return {at: session.physical(at & (1 << 48) - 1, length) for at, length in places}


LINUX = {"ppc64el": Ppc64Linux, "arm64": Arm64Linux, "loong64": Loong64Linux}
