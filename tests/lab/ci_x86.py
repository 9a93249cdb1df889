# SPDX-License-Identifier: GPL-2.0-or-later
"""x86 KVM, where the host's kernel steps: ranges, and breakpoints in memory."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gdbstub")]

import ci_left_in                                                # noqa: E402
import t_range                                                  # noqa: E402
import t_state                                                  # noqa: E402
import t_stop                                                   # noqa: E402
from bench import Bench, check, pc_of                           # noqa: E402
from ci_gdbstub import KvmBench, Target                         # noqa: E402
from ci_steps import ioctls_of                                  # noqa: E402
from common import FIRST, answers, check_thread, on, place      # noqa: E402
from lablib import X86, TcgReference                            # noqa: E402
from rsp import Gdb                                             # noqa: E402

SOFTWARE, HARDWARE, WRITE = 0, 1, 2
INT3 = 0xcc
CORE = [f"r{n}" for n in range(16)] + ["pc", "eflags"]
CODE = bytes([0x90]) * 16               # in one address space
OTHER_CODE = bytes([0xf8]) * 16         # clc: in the other


@contextlib.contextmanager
def beside_tcg(bench: Bench) -> Iterator[tuple[Target, Gdb, Gdb]]:
    """The guest, and the same under TCG."""
    kvm = KvmBench(bench)
    with kvm.stopped() as (target, gdb):
        reference = TcgReference(Path(kvm.payloads["guest"]), bench.options.work,
                                 bench.lab.children, qemu=str(bench.options.qemu),
                                 cpu="max", arch=X86,
                                 extra=["-L", str(bench.options.pc_bios)])
        try:
            other = Gdb(reference.socket)
            other.run_to(target.ready)
            yield target, gdb, other
        finally:
            reference.close()


def begin(target: Target, sides: tuple[Gdb, Gdb], start: int) -> None:
    for side in sides:
        for name in CORE[:16]:
            side.write(name, 0)
        side.write("r12", target.data)
        side.write("r14", target.counter)
        side.write("r4", target.data + 0x100)
        side.write("eflags", 2)
        place(side, start)


def compare(what: str, gdb: Gdb, other: Gdb, names: list[str] = CORE) -> None:
    got, want = gdb.read(names), other.read(names)
    wrong = [f"{name} {got[name]:#x}, should be {want[name]:#x}"
             for name in names if got[name] != want[name]]
    check(f"registers {what}", wrong, [])


def same_as_tcg(bench: Bench) -> None:
    """clause 1: branches, loads, stores, strings, ports, MMIO: steps and ranges as TCG's"""
    with beside_tcg(bench) as (target, gdb, other):
        sides = (gdb, other)
        total = 0
        for start, end in ((target.mixed, target.mixed_end),
                           (target.emulated, target.emulated_end)):
            # In the second, what cpuid says of the processor is left out
            names = CORE if start == target.mixed else CORE[4:]
            begin(target, sides, start)
            steps = 0
            while pc_of(other) != end:
                compare(f"after {steps} steps from {start:#x}", gdb, other, names)
                for side in sides:
                    side.step()
                steps += 1
            check("steps are many", steps > 30, True)
            total += steps
            want = gdb.read(CORE)
            begin(target, sides, start)
            for side in sides:
                stop = answers(side, f"vCont;r{start:x},{end:x}:{FIRST}", timeout=30)
                check_thread(stop, FIRST)
            compare(f"after the range from {start:#x}", gdb, other)
            check("registers behind the steps", gdb.read(CORE), want)
        check("memory", gdb.read_memory(target.data, 32), other.read_memory(target.data, 32))
        bench.notes.append(f"x86: {total} steps as under TCG")


def ranges(bench: Bench) -> None:
    """vCont;r: its edges, straight code, a call, ^C, two vCPUs, what is malformed"""
    kvm = KvmBench(bench)
    kvm.all_of([t_range.range_offered, t_range.range_straight, t_range.range_as_steps,
                t_range.range_empty, t_range.range_from_outside, t_range.range_malformed,
                range_call, range_loop, t_range.range_interrupted])
    kvm.all_of([t_range.range_one_of_two, t_range.range_and_other_stop], 2)


def range_call(bench: KvmBench) -> None:
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.call)
        gdb.write("r6", 0)
        answers(gdb, f"vCont;r{guest.call:x},{guest.call_end:x}:{FIRST}")
        check("pc", pc_of(gdb), guest.leaf)
        # Back by the return, and on: only the call and what it calls is in the range
        answers(gdb, f"vCont;r{guest.leaf:x},{guest.leaf + 5:x}:{FIRST}")
        check("pc and rsi", on(gdb, FIRST, "pc", "r6"), [guest.call_end, 1])


def range_loop(bench: KvmBench) -> None:
    """Some hundred instructions in one packet."""
    with bench.stopped() as (guest, gdb):
        gdb.write("r3", 0)
        gdb.write("r5", 100)
        place(gdb, guest.rounds_top)
        answers(gdb, f"vCont;r{guest.rounds_top:x},{guest.rounds_end:x}:{FIRST}", timeout=30)
        check("pc and rbx", on(gdb, FIRST, "pc", "r3"), [guest.rounds_end, 100])
        check("memory", guest.number(gdb, guest.counter), 100)


def range_points(bench: Bench) -> None:
    """a range stops at each breakpoint in it, and steps off; Z0 and Z1"""
    def loop(kvm: KvmBench) -> None:
        with kvm.stopped() as (guest, gdb):
            for kind in (SOFTWARE, HARDWARE):
                # One inside, then one where each round begins
                for point in (guest.rounds_store, guest.rounds_top):
                    gdb.insert(point, kind, 1)
                    gdb.write_memory(guest.counter, bytes(8))
                    gdb.write("r3", 0)
                    gdb.write("r5", 5)
                    place(gdb, guest.rounds_top)
                    first = 1 if point == guest.rounds_top else 0
                    for n in range(1, 4):
                        answers(gdb, f"vCont;r{guest.rounds_top:x},{guest.rounds_end:x}"
                                     f":{FIRST}")
                        check(f"Z{kind}: pc and rbx", on(gdb, FIRST, "pc", "r3"), [point, n])
                        check("memory", guest.number(gdb, guest.counter), n - 1 + first)
                    gdb.remove(point, kind, 1)
                    answers(gdb, f"vCont;r{guest.rounds_top:x},{guest.rounds_end:x}:{FIRST}")
                    check("pc and rbx", on(gdb, FIRST, "pc", "r3"), [guest.rounds_end, 5])
                    gdb.write("r3", guest.number(gdb, guest.counter))

    KvmBench(bench).all_of([loop])                              # type: ignore[list-item]


def range_watchpoint(bench: Bench) -> None:
    """a range, and a step, say that they have met a watchpoint"""
    def stepped(kvm: KvmBench) -> None:
        with kvm.stopped() as (guest, gdb):
            gdb.insert(guest.counter, WRITE, 8)
            place(gdb, guest.rounds_store)
            stop = gdb.step()
            check("watch", dict(stop.details).get("watch"), f"{guest.counter:x}")
            gdb.step()
            gdb.remove(guest.counter, WRITE, 8)

    KvmBench(bench).all_of([stepped, t_range.range_watchpoint])     # type: ignore[list-item]


def memory_at(gdb: Gdb, address: int) -> bytes:
    """16 bytes of guest physical memory, as they are."""
    text = gdb.monitor(f"xp /16bx {address:#x}")
    return bytes(int(byte, 16) for line in text.splitlines()
                 for byte in line.partition(":")[2].split())


def look_at(target: Target, gdb: Gdb, at: int) -> None:
    check("m", gdb.read_memory(target.OTHER, 16), OTHER_CODE)


def write_over(target: Target, gdb: Gdb, at: int) -> None:
    gdb.write_memory(target.OTHER, OTHER_CODE)


def step_there(target: Target, gdb: Gdb, at: int) -> None:
    place(gdb, at)
    gdb.step()
    check("pc", pc_of(gdb), at + 1)


def range_there(target: Target, gdb: Gdb, at: int) -> None:
    """It ends at the address of the breakpoint, as under TCG, and goes on from there."""
    place(gdb, at - 2)
    for end in (at, at + 4):
        answers(gdb, f"vCont;r{at - 2:x},{at + 4:x}:{FIRST}")
        check("pc", pc_of(gdb), end)


def run_there(target: Target, gdb: Gdb, at: int) -> None:
    """While the guest runs the breakpoint is in memory, in its own address space."""
    place(gdb, target.spin)
    gdb.resume("vCont;c")
    time.sleep(0.2)
    check("running: the other one", ci_left_in.memory_of(target, target.IN_B), OTHER_CODE)
    check("running: its own", ci_left_in.memory_of(target, target.IN_A),
          CODE[:4] + bytes([INT3]) + CODE[5:])
    gdb.interrupt()


def other_space(bench: Bench) -> None:
    """a breakpoint is in the address space that it was set in, and in no other"""
    with KvmBench(bench).stopped() as (target, gdb):
        at = target.OTHER + 4
        gdb.write_memory(target.IN_A, CODE)
        gdb.write_memory(target.IN_B, OTHER_CODE)
        check("one address space", gdb.read_memory(target.OTHER, 16), CODE)
        gdb.insert(at, SOFTWARE, 1)
        place(gdb, target.to_b)
        for _ in range(2):
            gdb.step()
        check("pc", pc_of(gdb), target.in_b)
        for action in (look_at, write_over, step_there, range_there, run_there):
            action(target, gdb, at)
            name = action.__name__
            check(f"{name}: the other one", memory_at(gdb, target.IN_B), OTHER_CODE)
            check(f"{name}: its own", memory_at(gdb, target.IN_A), CODE)
        place(gdb, target.in_b)
        for _ in range(3):
            gdb.step()
        check("pc", pc_of(gdb), target.in_a)
        check("m", gdb.read_memory(target.OTHER, 16), CODE)
        place(gdb, target.OTHER)
        answers(gdb, "vCont;c")
        check("pc", pc_of(gdb), at)
        # Removed and inserted from where its address is another page
        place(gdb, target.to_b)
        for _ in range(2):
            gdb.step()
        gdb.remove(at, SOFTWARE, 1)
        place(gdb, target.spin)
        gdb.resume("vCont;c")
        time.sleep(0.2)
        check("nothing is left", ci_left_in.memory_of(target, target.IN_A), CODE)
        gdb.interrupt()
        # A page that both have
        at = target.straight + 8
        gdb.insert(at, SOFTWARE, 1)
        for steps in (0, 3):
            place(gdb, target.in_b)
            for _ in range(steps):
                gdb.step()
            place(gdb, target.straight)
            answers(gdb, "vCont;c")
            check("met in a page that both have", pc_of(gdb), at)
        gdb.remove(at, SOFTWARE, 1)


def no_stale_step(bench: Bench) -> None:
    """nothing of a step stays after any stop; what is not resumed waits"""
    KvmBench(bench).all_of(
        [t_state.stale_step, t_state.stale_other_stop, t_state.stale_two_steps,
         t_state.stale_plain, t_state.stale_detach, t_state.disconnect_stopped], 2)


def watched_by_two(bench: Bench) -> None:
    """of two vCPUs that hit watchpoints at the same time each is reported, with its address"""
    KvmBench(bench).all_of([t_stop.watched_by_two, t_stop.watched_and_kept], 2)


# An instruction, where its step has to end: a symbol, or a vector; the registers it wants
Exact = tuple[str, str | int, dict[str, int]]
GATE = 0x8e << 40 | 24 << 16            # a 64-bit interrupt gate, present


def gates(target: Target) -> bytes:
    """An IDT, whose handlers are at `handlers`."""
    table = b""
    for vector in range(64):
        at = target.handlers + 4 * vector
        low = GATE | at & 0xffff | at >> 16 << 48
        table += low.to_bytes(8, "little") + (at >> 32).to_bytes(8, "little")
    return table


def prepare(target: Target, side: Gdb) -> None:
    """Handlers and SYSCALL are there."""
    side.write_memory(target.idt, gates(target))
    place(side, target.setup)
    side.insert(target.setup_end, HARDWARE, 1)
    answers(side, "vCont;c", timeout=30)
    side.remove(target.setup_end, HARDWARE, 1)
    check("setup is done", pc_of(side), target.setup_end)


@contextlib.contextmanager
def ready_for_exact(bench: Bench) -> Iterator[tuple[Target, Gdb, Gdb]]:
    with beside_tcg(bench) as (target, gdb, other):
        for side in (gdb, other):
            prepare(target, side)
        yield target, gdb, other


def exact(bench: Bench, *cases: Exact, points: tuple[tuple[int, int], ...] = ()) -> None:
    """Each ends where TCG's does, and TF is in no register and on no stack.

    points: kinds of breakpoints, and how many there are, somewhere else.
    """
    wrong = []
    with ready_for_exact(bench) as (target, gdb, other):
        for kind, count in points:
            for n in range(count):
                gdb.insert(target.idt + 8 * n, kind, 1)
        sides = (gdb, other)
        top = target.data + 0x100
        for name, end, registers in cases:
            begin(target, sides, getattr(target, name))
            for side in sides:
                side.write_memory(top - 64, bytes(64))
                for register, value in registers.items():
                    side.write(register, value)
            want = getattr(target, end) if isinstance(end, str) else target.handlers + 4 * end
            for side in sides:
                answers(side, "vCont;s:p1.1", timeout=20)
            if pc_of(gdb) != want:
                wrong.append(f"{name}: pc {pc_of(gdb):#x}, should be {want:#x}")
            got, ref = gdb.read([*CORE, "ss"]), other.read([*CORE, "ss"])
            wrong += [f"{name}: {register} {got[register]:#x}, should be {ref[register]:#x}"
                      for register in got if got[register] != ref[register]]
            if (stack := gdb.read_memory(top - 64, 64)) != other.read_memory(top - 64, 64):
                wrong.append(f"{name}: on the stack {stack.hex()}")
        check("steps", wrong, [])


def exact_pushf(bench: Bench) -> None:
    """clause 2: X1: pushf does not show TF"""
    exact(bench, ("pushf_", "pushf_end", {}), ("pushfw_", "pushfw_end", {}))


def exact_int(bench: Bench) -> None:
    """clause 1: X2: int ends at its handler"""
    exact(bench, ("int_", 0x21, {}))


def exact_int3(bench: Bench) -> None:
    """clause 1: X2: int3 ends at its handler"""
    exact(bench, ("int3_", 3, {}))


def exact_int1(bench: Bench) -> None:
    """clause 1: X2: int1 ends at its handler"""
    exact(bench, ("int1_", 1, {}))


def exact_divide(bench: Bench) -> None:
    """clause 1: X3: a division by 0 ends at its handler"""
    exact(bench, ("div_", 0, {"r1": 0}))


def exact_fault(bench: Bench) -> None:
    """clause 1: X3: ud2 and a page fault end at their handlers"""
    exact(bench, ("ud_", 6, {}), ("fault_", 14, {"r3": 0x80000000}))


def exact_syscall(bench: Bench) -> None:
    """clauses 1 and 2: X4: syscall ends where it leads, with TF in SFMASK, and not in r11"""
    exact(bench, ("syscall_", "kernel", {}))


def exact_beside_breakpoints(bench: Bench) -> None:
    """clause 1: the user's hardware breakpoints leave a step the debug registers"""
    exact(bench, ("int_", 0x21, {}), ("div_", 0, {"r1": 0}), ("ud_", 6, {}),
          ("fault_", 14, {"r3": 0x80000000}), ("syscall_", "kernel", {}),
          points=((HARDWARE, 4),))


def exact_beside_watchpoints(bench: Bench) -> None:
    """clause 1: with three watchpoints a division by 0, with four INT n ends at its handler"""
    exact(bench, ("div_", 0, {"r1": 0}), ("int3_", 3, {}), points=((WRITE, 3),))
    exact(bench, ("int_", 0x21, {}), ("syscall_", "kernel", {}), points=((WRITE, 4),))


def exact_beside_running(bench: Bench) -> None:
    """clause 4: steps end at handlers while another vCPU runs, which goes on"""
    with KvmBench(bench).stopped(2) as (target, gdb):
        gdb.select(FIRST)
        prepare(target, gdb)
        for round_ in range(3):
            before = target.number(gdb, target.second_counter)
            for name, end in (("int_", target.handlers + 4 * 0x21), ("sti_", target.sti_end),
                              ("div_", target.handlers), ("pushf_", target.pushf_end),
                              ("syscall_", target.kernel)):
                gdb.select(FIRST)
                place(gdb, getattr(target, name))
                gdb.write("r1", 0)
                gdb.write("r4", target.data + 0x100)
                check_thread(answers(gdb, f"vCont;s:{FIRST};c", timeout=30), FIRST)
                check(f"{name}: pc", on(gdb, FIRST, "pc"), [end])
                if name == "pushf_":
                    saved = gdb.read_memory(target.data + 0xf8, 8)
                    check("saved TF", int.from_bytes(saved, "little") & 0x100, 0)
            check(f"round {round_}: the other one runs",
                  target.number(gdb, target.second_counter) > before, True)


def exact_in_handler(bench: Bench) -> None:
    """clause 1: a handler's first instruction is stepped, whose address a step traps"""
    with ready_for_exact(bench) as (target, gdb, other):
        sides = (gdb, other)
        begin(target, sides, target.fault_)
        for side in sides:
            side.write("r3", 0x80000000)
        for n in range(4):
            for side in sides:
                answers(side, "vCont;s:p1.1", timeout=20)
            compare(f"behind step {n}", gdb, other)
        check("pc", pc_of(gdb), target.handlers + 4 * 14 + 3)


def exact_mov_ss(bench: Bench) -> None:
    """clause 1: X5: mov to ss is one instruction; so is sti"""
    exact(bench, ("mov_ss", "mov_ss_end", {"r0": 16}), ("sti_", "sti_end", {}))


def exact_hlt(bench: Bench) -> None:
    """clause 1: X6: hlt ends behind itself, and the processor waits there"""
    with ready_for_exact(bench) as (target, gdb, other):
        begin(target, (gdb, other), target.hlt_)
        for n in range(3):
            for side in (gdb, other):
                answers(side, "vCont;s:p1.1", timeout=20)
            check(f"pc after {n + 1} steps", pc_of(gdb), target.hlt_end)
            compare(f"after {n + 1} steps", gdb, other)


def own_trap_flag(bench: Bench) -> None:
    """clause 5: X7: the guest's own TF: its #DB comes, and the step ends at its handler"""
    with ready_for_exact(bench) as (target, gdb, other):
        sides = (gdb, other)
        top = target.data + 0x100
        begin(target, sides, target.popf_)
        for side in sides:
            side.write_memory(top, (0x102).to_bytes(8, "little"))
            answers(side, "vCont;s:p1.1", timeout=20)
        check("pc", pc_of(gdb), target.popf_end)
        compare("behind popf", gdb, other)
        for side in sides:
            answers(side, "vCont;s:p1.1", timeout=20)
        check("pc", pc_of(gdb), target.handlers + 4)
        compare("in the handler", gdb, other)
        frame = gdb.read_memory(gdb.read(["r4"])["r4"] + 16, 8)
        check("saved flags", int.from_bytes(frame, "little"), 0x102)


def exact_ioctls(bench: Bench) -> None:
    """a step with `g` takes at most 6 KVM ioctls beside the machine's, one of a range 2"""
    # KVM_CHECK_EXTENSION, the clock, the TSC, the PIT: when the machine stops and starts
    machine = {"0xae03": 3, "0x8030ae7c": 1, "0x4030ae7b": 1, "0xaead": 1, "0xc008ae88": 1,
               "0x8070ae9f": 1, "0x4070aea0": 1}
    with KvmBench(bench).stopped(extra=["-trace", "kvm_*ioctl"]) as (target, gdb):
        prepare(target, gdb)
        place(gdb, target.straight)
        gdb.step()
        taken = ioctls_of(target.l2, lambda: (gdb.step(), gdb.read_g()), 5)
        total = taken.total() / 5
        own = total - sum(min(count, taken[kind] / 5) for kind, count in machine.items())
        sizes = (5, 25)
        ranges_ = []
        for rounds in sizes:
            place(gdb, target.rounds_top)
            gdb.write("r3", 0)
            gdb.write("r5", rounds)
            ranges_.append(ioctls_of(target.l2, lambda: answers(
                gdb, f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST}",
                timeout=30)).total())
        each = (ranges_[1] - ranges_[0]) / 4 / (sizes[1] - sizes[0])
        bench.notes.append(f"x86: {total:g} ioctls for a step and `g`, {own:g} of them not the "
                           f"machine's; {each:g} for an instruction of a range")
        check("ioctls of a step and `g`", own <= 6, True)
        check("ioctls of an instruction of a range", each <= 2.1, True)
