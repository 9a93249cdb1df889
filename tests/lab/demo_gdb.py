# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb's half of demo.py: `gdb -batch -nx -x demo_gdb.py VMLINUX`, DEMO_* say what.

Every step is traced in one line and checked: gdb's `stepi` must have gone where
the instruction leads, which is worked out here from its word and the registers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gdb

MASK = (1 << 64) - 1
KERNEL = 0xC000000000000000
VECTORS = KERNEL + 0x4000       # where interrupts go with LPCR[AIL] = 3
SCV_VECTOR = KERNEL + 0x3000
HEAD = range(KERNEL, KERNEL + 0x8000)
MSR_EE, MSR_PR, MSR_SE = 0x8000, 0x4000, 0x400
MSR_BITS = {MSR_EE: "EE", MSR_PR: "PR", MSR_SE: "SE", 0x2: "RI", 0x20: "IR", 0x10: "DR",
            0x2000: "FP", 0x2000000: "VEC", 0x800000: "VSX"}
SYNCHRONOUS = {0x300: "data storage", 0x380: "data segment", 0x400: "instruction storage",
               0x480: "instruction segment", 0x600: "alignment", 0x700: "program",
               0x800: "floating point unavailable", 0xF20: "vector unavailable",
               0xF40: "VSX unavailable", 0xF60: "facility unavailable"}
ASYNCHRONOUS = {0x500: "external", 0x900: "decrementer", 0xA00: "doorbell",
                0xEA0: "virtualization", 0xF00: "performance monitor"}
FLOW = ("lr", "ctr", "msr")     # old -> new in the trace
SHOWN = [f"r{n}" for n in range(32)] + ["cr", "lr", "ctr", "xer", "msr"]
RFID, RFSCV = 0x4C000024, 0x4C0000A4
STEP_LIMIT = 10.0               # seconds in which a step must have returned
CONTINUE_LIMIT = 40.0
BOOT_LIMIT = 120.0

Registers = dict[str, int]


class Failure(Exception):
    """The demo can't go on."""


# The target, through gdb

def quiet(command: str) -> str:
    return str(gdb.execute(command, to_string=True))


def register(name: str) -> int:
    return int(gdb.newest_frame().read_register(name)) & MASK


def registers() -> Registers:
    frame = gdb.newest_frame()
    return {name: int(frame.read_register(name)) & MASK for name in ["pc", *SHOWN]}


def raw_memory(address: int, size: int) -> bytes:
    """Guest memory as the stub sees it: gdb's own reads hide its breakpoints."""
    answer = quiet(f"maint packet m{address:x},{size:x}")
    found = re.search(r'received: "([0-9a-f]*)"', answer)
    if not found or len(found[1]) != 2 * size:
        raise Failure(f"can't read {size} bytes at {address:016x}: "
                      + " ".join(answer.split()))
    return bytes.fromhex(found[1])


def raw_word(address: int) -> int:
    return int.from_bytes(raw_memory(address, 4), "little")


def symbol(name: str) -> int | None:
    found = re.search(r"is at 0x([0-9a-f]+)", quiet(f"info address {name}"))
    return int(found[1], 16) if found else None


def need_symbol(*names: str) -> tuple[str, int]:
    for name in names:
        try:
            address = symbol(name)
        except gdb.error:
            continue
        if address is not None:
            return name, address
    raise Failure(f"the kernel has none of: {' '.join(names)}")


def instruction_at(address: int) -> tuple[str, str]:
    """(<symbol+offset>, disassembly)"""
    text = quiet(f"x/i 0x{address:x}").replace("=>", "").strip()
    found = re.fullmatch(r"0x[0-9a-f]+\s*(<.*?>)?:\s*(.*)", text)
    if not found:
        return "", text
    asm = re.sub(r"0x[0-9a-f]+ (<.*>)", r"\1", found[2]).split("\t")
    return found[1] or "", f"{asm[0].strip():<8}{' '.join(asm[1:])}".rstrip()


class Limit:
    """^C after some seconds, or when it is in vain to wait any longer; once."""

    def __init__(self, seconds: float, in_vain: Callable[[], bool]) -> None:
        self.over = False
        self.deadline = time.monotonic() + seconds
        self.in_vain = in_vain
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self.ended.wait(min(1.0, max(0.0, self.deadline - time.monotonic()))):
            if time.monotonic() >= self.deadline or self.in_vain():
                self.over = True
                os.kill(os.getpid(), signal.SIGINT)
                return

    def __enter__(self) -> Limit:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()


def resume(command: str, seconds: float,
           in_vain: Callable[[], bool] = lambda: False) -> bool:
    """Run `stepi` or `continue`; False when only ^C ended it."""
    with Limit(seconds, in_vain) as limit:
        try:
            quiet(command)
        except KeyboardInterrupt:
            pass
    return not limit.over


# Where an instruction leads

def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def branch_taken(word: int, regs: Registers, counts: bool = True) -> bool:
    bo, bi = word >> 21 & 31, word >> 16 & 31
    zero = regs["ctr"] == 1
    count_ok = bool(bo & 4) or not counts or zero == bool(bo & 2)
    return count_ok and (bool(bo & 16) or (regs["cr"] >> (31 - bi) & 1) == (bo >> 3 & 1))


def to_register(word: int, pc: int, regs: Registers) -> int:
    """Where primary opcode 19 leads."""
    kind = word >> 1 & 0x3FF
    if kind == 18:
        return register("srr0") & ~3
    if kind == 82:
        return regs["lr"] & ~3
    if kind in (16, 528, 560) and branch_taken(word, regs, counts=kind != 528):
        return (regs["lr"] if kind == 16 else regs["ctr"] if kind == 528
                else register("tar")) & ~3
    return pc + 4


def system_call(word: int, pc: int) -> int:
    level = word >> 5 & 0x7F
    if word & 3 == 1:
        return SCV_VECTOR + 0x20 * level
    return VECTORS + 0xC00 if level == 0 else pc + 4


def is_reserve(word: int) -> bool:
    return word >> 26 == 31 and word >> 1 & 0x3FF in (20, 52, 84, 116, 276)


def is_conditional_store(word: int) -> bool:
    return word >> 26 == 31 and word & 1 == 1 and word >> 1 & 0x3FF in (
        150, 214, 182, 694, 726)


def reserve_ends(pc: int) -> Iterator[int]:
    """gdb runs a load-reserve sequence as a whole; where that may end."""
    yield pc + 4
    for at in range(pc + 4, pc + 4 * 17, 4):
        word = raw_word(at)
        if word >> 26 == 16:
            yield at + signed(word & 0xFFFC, 16)
        if is_conditional_store(word):
            yield at + 4
            return


def successors(word: int, pc: int, regs: Registers) -> set[int]:
    opcode = word >> 26
    if opcode == 18:
        return {signed(word & 0x3FFFFFC, 26) + (0 if word & 2 else pc)}
    if opcode == 16:
        target = signed(word & 0xFFFC, 16) + (0 if word & 2 else pc)
        return {target if branch_taken(word, regs) else pc + 4}
    if opcode == 19:
        return {to_register(word, pc, regs)}
    if opcode == 17:
        return {system_call(word, pc)}
    if is_reserve(word):
        return set(reserve_ends(pc))
    return {pc + (8 if opcode == 1 else 4)}


def interrupt(old: Registers, new: Registers, after: set[int]) -> str | None:
    """The name of the interrupt at whose vector the step ended, if it may."""
    offset, user = new["pc"] - VECTORS, bool(old["msr"] & MSR_PR)
    if offset in SYNCHRONOUS and register("srr0") == old["pc"]:
        return SYNCHRONOUS[offset]
    if user and offset in ASYNCHRONOUS and register("srr0") in {old["pc"], *after}:
        return ASYNCHRONOUS[offset]
    return None


# Memory

class Image:
    """The loaded bytes of vmlinux."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        offset, = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        heads = [struct.unpack_from("<IIQQQQ", self.data, offset + n * size)
                 for n in range(count)]
        self.loads = [(at, place, length)
                      for kind, _, place, at, _, length in heads if kind == 1]

    def word(self, address: int) -> int | None:
        for at, place, length in self.loads:
            if at <= address < at + length - 3:
                return int(struct.unpack_from("<I", self.data, place + address - at)[0])
        return None


class Memory:
    """What was in memory before it was touched, to compare in the end."""

    def __init__(self) -> None:
        self.before: dict[int, int] = {}
        self.head = self._head()

    @staticmethod
    def _head() -> bytes:
        return b"".join(raw_memory(at, 0x400) for at in range(HEAD.start, HEAD.stop, 0x400))

    def note(self, address: int, word: int) -> None:
        self.before.setdefault(address, word)

    def changed(self, wanted: Callable[[int], bool]) -> Iterator[str]:
        """One line for each address that differs; forgets what it looked at."""
        pages: dict[int, bytes] = {}
        for address in sorted(filter(wanted, self.before)):
            page = address & ~0x3FF
            if page not in pages:
                pages[page] = raw_memory(page, 0x400)
            now, = struct.unpack_from("<I", pages[page], address - page)
            if now != self.before[address]:
                yield f"memory at {address:016x} is {now:08x}, was {self.before[address]:08x}"

    def head_changed(self) -> Iterator[str]:
        for place, (was, now) in enumerate(zip(self.head, self._head())):
            if was != now:
                yield f"memory at {KERNEL + place:016x} is {now:02x}, was {was:02x}"


# The trace

class Trace:
    """Prints the first lines, the last, and those where MSR changes."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.kept: deque[str] = deque(maxlen=last)
        self.hidden = 0
        self.count = 0

    def line(self, text: str, notable: bool) -> None:
        self.count += 1
        if self.count <= self.first or notable:
            self.close()
            show(text)
            return
        if len(self.kept) == self.kept.maxlen:
            self.hidden += 1
        self.kept.append(text)

    def close(self) -> None:
        if self.hidden:
            show(f"    ... {self.hidden} more ...")
        for text in self.kept:
            show(text)
        self.kept.clear()
        self.hidden = 0


def show(text: str = "") -> None:
    os.write(int(os.environ["DEMO_OUT"]), (text + "\n").encode())


def heading(text: str) -> None:
    show(f"\n{text}")


def change(name: str, old: int, new: int) -> str:
    if name not in FLOW:
        return f"{name}={new:x}"
    text = f"{name} {old:x} -> {new:x}"
    if name == "msr":
        bits = [("+" if new & bit else "-") + word for bit, word in MSR_BITS.items()
                if (old ^ new) & bit]
        text += f" ({' '.join(bits)})"
    return text


def trace_line(place: str, asm: str, old: Registers, new: Registers) -> str:
    changes = "  ".join(change(name, old[name], new[name]) for name in SHOWN
                        if old[name] != new[name])
    return f"  {old['pc']:016x} {place:<34} {asm:<26} {changes}".rstrip()


# Steps

class Stepper:
    def __init__(self) -> None:
        self.memory = Memory()
        self.steps = 0
        self.checked = 0
        self.problems: list[str] = []
        self.seconds = 0.0
        self.trace = Trace(10, 4)

    def figures(self) -> dict[str, object]:
        return {"steps": self.steps, "checked": self.checked,
                "problems": self.problems, "seconds": self.seconds}

    def wrong(self, text: str) -> None:
        self.problems.append(text)
        show(f"  WRONG: {text}")

    def expect(self, good: bool, text: str) -> None:
        if not good:
            self.wrong(text)

    def step(self) -> str | None:
        """One `stepi`, traced and checked; the interrupt that it met, if any."""
        old = registers()
        pc = old["pc"]
        word = raw_word(pc)
        self.memory.note(pc, word)
        after = successors(word, pc, old)
        place, asm = instruction_at(pc)     # behind it, it may be out of reach
        begun = time.monotonic()
        if not resume("stepi", STEP_LIMIT):
            raise Failure(f"stepi at {pc:016x} did not return within {STEP_LIMIT:g} s; "
                          f"after ^C pc is {register('pc'):016x}")
        self.seconds += time.monotonic() - begun
        self.steps += 1
        new = registers()
        self.trace.line(trace_line(place, asm, old, new), notable=old["msr"] != new["msr"])
        return self.check(old, new, after)

    def check(self, old: Registers, new: Registers, after: set[int]) -> str | None:
        self.checked += 1
        if new["msr"] & MSR_SE:
            self.wrong(f"MSR[SE] is visible after the step at {old['pc']:016x}")
        if new["pc"] in after:
            return None
        name = interrupt(old, new, after)
        if name is None:
            legal = " or ".join(f"{at:016x}" for at in sorted(after))
            self.wrong(f"the step at {old['pc']:016x} led to {new['pc']:016x}, not {legal}")
        elif register("srr1") & MSR_SE:
            self.wrong(f"SRR1 has SE at {new['pc']:016x}")
        return name

    def section(self, first: int, last: int) -> int:
        self.trace.close()
        self.trace = Trace(first, last)
        return self.steps

    def end_section(self, begun: int) -> None:
        self.trace.close()
        show(f"  {self.steps - begun} steps")

    def run_to(self, *addresses: int, condition: str = "") -> None:
        """Continue to a breakpoint at one of them; all are gone again afterwards."""
        points = []
        for address in addresses:
            self.memory.note(address, raw_word(address))
            points.append(gdb.Breakpoint(f"*0x{address:x}", internal=True))
            if condition:
                points[-1].condition = condition
        begun = time.monotonic()
        reached = resume("continue", CONTINUE_LIMIT) and register("pc") in addresses
        for point in points:
            point.delete()
        if not reached:
            places = " or ".join(f"{address:016x}" for address in addresses)
            raise Failure(f"no stop at the breakpoint at {places} in "
                          f"{time.monotonic() - begun:.0f} s; pc {register('pc'):016x}")

    def after_interrupt(self, name: str) -> None:
        """From an interrupt's vector back to the user space that it came from."""
        back = register("srr0")
        self.trace.close()
        show(f"  {name} interrupt: the step ends at its vector; on to {back:x}")
        self.expect(back < KERNEL, f"an interrupt of user space with SRR0 {back:016x}")
        self.run_to(*exits("interrupt_return_srr_user", RFID),
                    condition=f"$srr0 == 0x{back:x}")
        self.step()
        self.step()

    def user_step(self) -> None:
        """In problem state another interrupt may come first."""
        for _ in range(20):
            name = self.step()
            if name is None:
                return
            self.after_interrupt(name)
        raise Failure(f"interrupt after interrupt at {register('pc'):x}")


def find_word(function: str, wanted: int) -> int:
    """The address of an instruction: the first behind a symbol."""
    _, start = need_symbol(function)
    for at in range(start, start + 0x800, 0x400):
        words = struct.unpack("<256I", raw_memory(at, 0x400))
        if wanted in words:
            return at + 4 * words.index(wanted)
    raise Failure(f"no {wanted:08x} behind {function}")


def exits(function: str, leave: int) -> list[int]:
    """The last instruction but one on the function's ways out: it may go by the one
    that flushes the cache first.  Not the last: where a condition is false gdb steps
    over a breakpoint and sets it again, which it can't from user space."""
    other = "rfscv_flush_fallback" if leave == RFSCV else "rfi_flush_fallback"
    return [find_word(function, leave) - 4, find_word(other, leave) - 4]


# The parts of the demonstration

def into_the_kernel() -> None:
    """From a user program its kernel's memory can't be reached: stop elsewhere."""
    for _ in range(100):
        if not register("msr") & MSR_PR:
            return
        resume("continue", 0.05)
    raise Failure("always in user space")

def function_part(stepper: Stepper) -> None:
    name, entry = need_symbol("sys_getppid", "__se_sys_getppid", "__do_sys_getppid")
    heading(f"1. A breakpoint at the kernel's {name}, then stepi until it returns")
    stepper.run_to(entry)
    begun = stepper.section(10, 4)
    back, stack = register("lr"), register("r1")
    for _ in range(200):
        stepper.step()
        if register("pc") == back and register("r1") == stack:
            break
    else:
        stepper.wrong(f"{name} has not returned to {back:016x} after 200 steps")
    stepper.end_section(begun)
    show(f"  returned to {instruction_at(register('pc'))[0]} with r3={register('r3'):x}")


@dataclass(frozen=True)
class SystemCall:
    """One way into the kernel and out of it."""

    word: str
    common: str             # all of them come by here
    vector: int
    leave: int              # the instruction that goes back
    behind: str             # the register with the user's next address, at `common`
    target: str             # and at `leave`
    condition: str = ""     # which of them we want, at `common`


# r0 = 64: getppid, which a program in the guest calls in a loop
SC = SystemCall("sc", "system_call_common", VECTORS + 0xC00, RFID, "srr0", "srr0",
                "$r0 == 64")
# r0 = 4: write, which prints the guest's next line
SCV = SystemCall("scv", "system_call_vectored_common", SCV_VECTOR, RFSCV, "r11", "lr",
                 "$r0 == 4")


def to_user(stepper: Stepper, call: SystemCall, user: int) -> int:
    """Run to the kernel's last instruction of this call, and step over it."""
    stepper.run_to(*exits(call.common, call.leave),
                   condition=f"${call.target} == 0x{user + 4:x}")
    leave = register("pc") + 4
    begun = stepper.section(12, 4)
    stepper.step()
    stepper.step()
    pc, msr = register("pc"), register("msr")
    stepper.expect(pc == user + 4 and bool(msr & MSR_PR),
                   f"from {leave:016x} to {pc:x} with MSR {msr:x}, not user space")
    show(f"  now in user space: pc {pc:x}, MSR[PR] = {msr >> 14 & 1}")
    return begun


def exit_part(stepper: Stepper, call: SystemCall, number: int) -> int:
    heading(f"{number}. Back to user space: stepi over the kernel's "
            f"{'rfid' if call.leave == RFID else 'rfscv'}")
    into_the_kernel()
    stepper.run_to(need_symbol(call.common)[1], condition=call.condition)
    user = register(call.behind) - 4
    show(f"  a stop at {call.common}: the user's {call.word} is at {user:x}")
    begun = to_user(stepper, call, user)
    for _ in range(5):
        pc = register("pc")
        if pc == user - 4 or raw_word(pc) >> 26 == 17:
            break               # the next part comes to `user` by a breakpoint
        stepper.user_step()
    stepper.end_section(begun)
    return user


def entry_part(stepper: Stepper, call: SystemCall, number: int, user: int,
               steps: int) -> None:
    heading(f"{number}. Into the kernel: a breakpoint at the user's {call.word}, stepi "
            f"over it and {steps} further")
    stepper.run_to(user)
    begun = stepper.section(16, 4)
    stepper.expect(bool(register("msr") & MSR_PR), "MSR[PR] is 0 in user space")
    stepper.user_step()
    stepper.expect(register("pc") == call.vector and not register("msr") & MSR_PR,
                   f"{call.word} led to {register('pc'):016x} with MSR "
                   f"{register('msr'):x}, not to {call.vector:016x}")
    for _ in range(steps):
        stepper.step()
        skip_flush(stepper)
    stepper.end_section(begun)
    show("  and back again:")
    stepper.end_section(to_user(stepper, call, user))
    user_memory(stepper)


def skip_flush(stepper: Stepper) -> None:
    """Where the processor wants its cache flushed, that is a loop of hundreds of steps."""
    place, _ = instruction_at(register("pc"))
    if re.fullmatch(r"<\w*entry_flush_fallback>", place):
        back = register("lr")
        stepper.trace.close()
        show(f"    ... {place} up to its return: by a breakpoint, not stepped ...")
        stepper.run_to(back)


def user_memory(stepper: Stepper) -> None:
    """Only from user space: the kernel has no access to it, nor a debugger then."""
    wrong = list(stepper.memory.changed(lambda address: address < KERNEL))
    for text in wrong:
        stepper.wrong(text)
    words = [at for at in stepper.memory.before if at < KERNEL]
    if not wrong:
        show(f"  user memory, {len(words)} addresses: as before")
    for at in words:
        del stepper.memory.before[at]


def memory_part(stepper: Stepper, image: Image, number: int) -> None:
    heading(f"{number}. No breakpoints left: memory, and the guest goes on")
    into_the_kernel()
    memory = stepper.memory
    count = len(stepper.problems)
    for text in [*memory.changed(lambda _: True), *memory.head_changed()][:10]:
        stepper.wrong(text)
    same = sum(image.word(at) == word for at, word in memory.before.items())
    if len(stepper.problems) == count:
        show(f"  {len(memory.before)} kernel addresses that were stepped or trapped are as "
             f"before, {same} as in vmlinux\n  (it patches the others at boot); so are "
             f"all {len(HEAD) // 1024} KiB with its interrupt vectors")


def connect() -> None:
    for command in ("pagination off", "confirm off", "height 0", "width 0",
                    "remotetimeout 20", "print symbol off"):
        quiet(f"set {command}")
    quiet(f"target remote 127.0.0.1:{os.environ['DEMO_PORT']}")


def session(stepper: Stepper) -> None:
    image = Image(Path(os.environ["DEMO_VMLINUX"]))
    function_part(stepper)
    entry_part(stepper, SC, 3, exit_part(stepper, SC, 2), 90)
    entry_part(stepper, SCV, 5, exit_part(stepper, SCV, 4), 30)
    memory_part(stepper, image, 6)


def boot() -> dict[str, object]:
    """The guest has not run yet: break start_kernel, continue, and a few steps there."""
    connect()
    point = gdb.Breakpoint("start_kernel", internal=True)
    begun = time.monotonic()
    resume("continue", BOOT_LIMIT, in_vain=lambda: ticks() >= 2)
    seconds, pc = time.monotonic() - begun, register("pc")
    hit = point.hit_count == 1
    result: dict[str, object] = {"hit": hit, "pc": pc, "boot": seconds, "ticks": ticks(),
                                 "steps": 0, "checked": 0, "problems": [], "seconds": 0.0}
    if hit:
        stepper = Stepper()
        begun_at = stepper.section(6, 0)
        for _ in range(6):
            stepper.step()
        stepper.end_section(begun_at)
        result |= stepper.figures()
    with contextlib.suppress(gdb.error):        # QEMU may not be able to take it out
        point.delete()
        quiet("detach")
    return result


def patched() -> dict[str, object]:
    connect()
    into_the_kernel()
    stepper = Stepper()
    try:
        session(stepper)
    except (Failure, gdb.error, gdb.MemoryError) as err:
        stepper.trace.close()
        stepper.wrong(str(err))
    quiet("delete")
    quiet("detach")
    return stepper.figures()


def ticks() -> int:
    text = Path(os.environ["DEMO_CONSOLE"]).read_text(errors="replace")
    return len(re.findall(r"^tick \d+", text, re.M))


def unpatched() -> dict[str, object]:
    connect()
    into_the_kernel()
    _, entry = need_symbol("sys_getppid", "__se_sys_getppid", "__do_sys_getppid")
    point = gdb.Breakpoint(f"*0x{entry:x}", internal=True)
    if not resume("continue", CONTINUE_LIMIT) or register("pc") != entry:
        raise Failure(f"no stop at {entry:016x}")
    after = successors(raw_word(entry), entry, registers())
    point.delete()
    before = ticks()
    returned = resume("stepi", STEP_LIMIT)
    pc = register("pc")
    quiet("detach")
    return {"returned": returned, "limit": STEP_LIMIT, "pc": pc, "from": entry,
            "stepped": pc in after, "ticks": ticks() - before}


def main() -> None:
    result: dict[str, object]
    try:
        result = {"boot": boot, "patched": patched, "unpatched": unpatched}[os.environ["DEMO_PART"]]()
    except (Failure, gdb.error, gdb.MemoryError) as err:
        result = {"error": str(err)}
    Path(os.environ["DEMO_RESULT"]).write_text(json.dumps(result))


main()
