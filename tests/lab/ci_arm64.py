# SPDX-License-Identifier: GPL-2.0-or-later
"""arm64 KVM, where the host's kernel steps: what the gdbstub does for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gdbstub")]

import pytest                                                   # noqa: E402

import common                                                   # noqa: E402
import t_range                                                  # noqa: E402
import t_state                                                  # noqa: E402
from bench import Bench, check, on_nested, pc_of                # noqa: E402
from ci_gdbstub import KvmBench, Target                         # noqa: E402
from ci_migration import XCPU                                   # noqa: E402
from ci_steps import count_ioctls, ioctls_of                    # noqa: E402
from common import FIRST, SECOND, answers, goes_on, on, place, refused     # noqa: E402
from lablib import ARM64, TcgReference                          # noqa: E402
from rsp import Gdb, Stop                                       # noqa: E402
from t_stop import ACCESS, READ, WRITE                          # noqa: E402

ALLINT = 1 << 13
DAIF, SS = 0x3c0, 1 << 21
STATE = "/tmp/migrated"         # in the host
KVM_RUN = "0xae80"
CORE = [*(f"x{n}" for n in range(31)), "sp", "pc", "cpsr"]


def both_step(target: Target, gdb: Gdb, other: Gdb, start: int, end: int) -> int:
    """How many steps it takes; the registers are compared at each."""
    for side in (gdb, other):
        for name in CORE[:31]:
            side.write(name, 0)
        side.write("x28", target.data)
        side.write("sp", target.buffer_end)
        place(side, start)
    for steps in range(1000):
        got, want = gdb.read(CORE), other.read(CORE)
        # The processor has FEAT_NMI, but KVM's guests, and what QEMU knows of them,
        # have not
        for values in (got, want):
            values["cpsr"] &= ~ALLINT
        wrong = [f"{name} {got[name]:#x}, should be {want[name]:#x}"
                 for name in CORE if got[name] != want[name]]
        check(f"registers after {steps} steps from {start:#x}", wrong, [])
        if pc_of(gdb) == end:
            return steps
        gdb.step()
        other.step()
    raise AssertionError(f"{end:#x} is never reached")


def same_as_tcg(bench: Bench) -> None:
    """clause 1: branches, loads, stores, brk, svc, udf, eret, MMIO, hvc: each step as TCG's"""
    kvm = KvmBench(bench)
    with kvm.stopped() as (target, gdb):
        # The host's processor
        cpu = "max" if bench.options.machine == "arm64" else bench.options.machine
        reference = TcgReference(Path(kvm.payloads["guest"]), bench.options.work,
                                 bench.lab.children, cpu=cpu, arch=ARM64)
        try:
            other = Gdb(reference.socket)
            other.run_to(target.ready)
            steps = both_step(target, gdb, other, target.mixed, target.mixed_end)
            check("steps are many", steps > 25 * 8, True)
            steps += both_step(target, gdb, other, target.special, target.special_end)
            steps += both_step(target, gdb, other, target.masks, target.masks_end)
            steps += both_step(target, gdb, other, target.emulated, target.emulated_end)
            check("memory", gdb.read_memory(target.data, 32),
                  other.read_memory(target.data, 32))
            bench.notes.append(f"arm64: {steps} steps as under TCG")
        finally:
            reference.close()


def own_brk(bench: Bench) -> None:
    """clauses 1, 5: the guest's own brk ends its step at the guest's handler"""
    with KvmBench(bench).stopped() as (target, gdb):
        for way in (f"vCont;s:{FIRST}", "s",
                    f"vCont;r{target.special:x},{target.special_end:x}:{FIRST}"):
            place(gdb, target.special_brk)
            answers(gdb, way)
            check(f"{way}: pc and ELR_EL1", on(gdb, FIRST, "pc", "ELR_EL1"),
                  [target.synchronous, target.special_brk])
        gdb.write("r7", 0)
        place(gdb, target.special)
        gdb.run_to(target.special_end)
        check("interrupts", on(gdb, FIRST, "r7"), [3])


def clock(gdb: Gdb, target: Target) -> int:
    """The virtual counter; no interrupt is taken."""
    before = gdb.read(["cpsr"])["cpsr"]
    gdb.write("cpsr", DAIF | before)
    gdb.write("x7", 0)
    place(gdb, target.until)
    gdb.run_to(target.until_over)
    gdb.write("cpsr", before)
    return on(gdb, FIRST, "x6")[0]


def clock_stops(bench: Bench) -> None:
    """virtual time stands still between steps"""
    with KvmBench(bench).stopped() as (target, gdb):
        place(gdb, target.ticking)
        gdb.run_to(target.ticking_top)
        second = 10_000 * target.number(gdb, target.period)
        before = clock(gdb, target)
        begun = time.monotonic()
        for _ in range(20):
            place(gdb, target.spin)
            gdb.step()
            time.sleep(0.1)
        spent = (clock(gdb, target) - before) / second
        wall = time.monotonic() - begun
        bench.notes.append(f"arm64: 20 steps in {wall:.3f} s: {spent:.3f} s for the guest")
        check(f"{spent:.3f} s of {wall:.3f} s is without the 2 s between", spent < wall - 2,
              True)


@on_nested
def nested(bench: Bench) -> None:
    """a guest that has EL2: steps are the kernel's, without NOIRQ; its SP there is SP_EL2"""
    with KvmBench(bench).stopped(extra=["-machine", "virtualization=on"]) as (target, gdb):
        check("sstepbits", gdb.text("qqemu.sstepbits"), "ENABLE=1")
        refused(gdb, ["Qqemu.sstep=3"])
        check("PSTATE.M", gdb.read(["cpsr"])["cpsr"] & 0xf, 9)
        place(gdb, target.spin)
        rounds = on(gdb, FIRST, "x3")[0]
        for n in range(1, 31):
            gdb.step()
            check(f"pc after {n} steps", pc_of(gdb), target.spin + n % 3 * 4)
        check("x3", on(gdb, FIRST, "x3"), [rounds + 10])
        answers(gdb, f"vCont;r{target.spin:x},{target.spin + 8:x}:{FIRST}")
        check("pc behind a range", pc_of(gdb), target.spin + 8)
        # Nothing is masked, and nothing of a step is left
        gdb.write("cpsr", 9)
        gdb.write("sp", target.buffer_end)
        place(gdb, target.at_el2)
        while pc_of(gdb) != target.el2_svc:
            gdb.step()
        check("SP as the guest sees it, and behind that",
              on(gdb, FIRST, "x5", "sp"), [target.buffer_end, target.buffer_end - 16])
        check("SP_EL1", on(gdb, FIRST, "SP_EL1"), [0])
        gdb.step()
        check("pc, ELR_EL2, SPSR_EL2", on(gdb, FIRST, "pc", "ELR_EL2", "SPSR_EL2"),
              [target.synchronous, target.el2_svc + 4, 9])
        gdb.step()
        check("pc in the handler", pc_of(gdb), target.from_el1)
        check("what QEMU says", target.l2.log.read_text(), "")


@pytest.mark.fails_since(
    (6, 14), "since Linux 6.14 KVM owns the debug registers while the user has any "
             "breakpoint, and the guest's own do nothing")
def own_points(bench: Bench) -> None:
    """clause 5: the guest's own hardware points while the user has a breakpoint"""
    with KvmBench(bench).stopped() as (target, gdb):
        gdb.write("x28", target.data)
        place(gdb, target.own_points)
        gdb.insert(target.synchronous)
        # Exception classes of "without a change in Exception level"; a store to [2]
        for ec, elr in ((0x35, target.own_store), (0x31, target.own_place)):
            answers(gdb, "vCont;c")
            check("pc, ELR_EL1", on(gdb, FIRST, "pc", "ELR_EL1"), [target.synchronous, elr])
            check("EC", on(gdb, FIRST, "ESR_EL1")[0] >> 26, ec)
            if ec == 0x35:
                check("FAR_EL1", on(gdb, FIRST, "FAR_EL1"), [target.data + 21])
                check("WnR", on(gdb, FIRST, "ESR_EL1")[0] >> 6 & 1, 1)
        gdb.remove(target.synchronous)
        gdb.run_to(target.own_over)


def held_back(bench: Bench) -> None:
    """clause 3: with a timer of 100 us every step stays in the loop; the ticks come later"""
    with KvmBench(bench).stopped() as (target, gdb):
        check("sstepbits", gdb.text("qqemu.sstepbits"), "ENABLE=1,NOIRQ=2")
        place(gdb, target.ticking)
        gdb.run_to(target.ticking_top)
        gdb.write("x5", 1 << 40)                # for ever
        before = target.number(gdb, target.ticks)
        loop = [target.ticking_top + 4 * n for n in range(4)]
        gdb.write("r3", 0)
        place(gdb, loop[0])
        steps = 10_000 if bench.options.full else 600
        for n in range(1, steps + 1):
            gdb.step()
            check(f"pc after {n} steps", pc_of(gdb), loop[n % 4])
        check("rounds", on(gdb, FIRST, "r3"), [(steps + 3) // 4])
        check("PSTATE.DAIF", gdb.read(["cpsr"])["cpsr"] & 0x3c0, 0x340)
        check("interrupts taken", target.number(gdb, target.ticks), before)
        gdb.resume(f"vCont;r{loop[0]:x},{loop[3] + 4:x}:{FIRST}")
        time.sleep(0.3)
        gdb.interrupt()
        check("interrupts taken in a range", target.number(gdb, target.ticks), before)
        goes_on(gdb)
        # Out of the handler, where ^C may have found it: clock() puts it elsewhere
        if gdb.read(["cpsr"])["cpsr"] & 0x80:
            gdb.run_to(target.from_timer_eret)
            gdb.step()
        passed = clock(gdb, target) - target.number(gdb, target.began)
        ticks, wanted = (target.number(gdb, target.ticks),
                         passed // target.number(gdb, target.period))
        # The last ones may be pending; most have come due since `before`
        check(f"{ticks} ticks come, of {wanted}", 0.9 * wanted < ticks <= wanted, True)
        check("interrupts without a tick", target.number(gdb, target.spurious), 0)
        bench.notes.append(f"arm64: {steps} steps with a timer of 100 us: {ticks} ticks of "
                           f"{wanted}, {before} of them before")
        # Where it has to be run to see DAIF, or is not allowed to
        pstate = gdb.read(["cpsr"])["cpsr"]
        ticks = target.number(gdb, target.ticks)
        place(gdb, target.pending)
        for end in (target.pending + 4, target.pending_mrs, target.pending_mrs + 4):
            gdb.step()
            check("DAIF behind a branch: pc", pc_of(gdb), end)
        check("DAIF behind a branch", on(gdb, FIRST, "x9"), [0x340])
        gdb.write("x9", 0)
        while pc_of(gdb) != target.pending_el0:
            gdb.step()
        gdb.step()
        check("DAIF at EL0: pc", pc_of(gdb), target.from_el0)
        check("DAIF at EL0: SPSR_EL1, x9", on(gdb, FIRST, "SPSR_EL1", "x9"), [0, 0])
        check("interrupts taken", target.number(gdb, target.ticks), ticks)
        gdb.write("cpsr", pstate)
        # Without NOIRQ a step may end at the vector
        gdb._ok("Qqemu.sstep=1")
        seen = set()
        place(gdb, loop[0])
        for _ in range(30):
            gdb.step()
            seen.add(pc_of(gdb))
        check(f"the vector is among {sorted(map(hex, seen))}", target.irq in seen, True)


def kick_all_the_time(bench: Bench, target: Target) -> None:
    """The signal by which QEMU takes a vCPU out of KVM_RUN, for as long as the guest lives."""
    shell = bench.lab.shell
    assert shell is not None
    shell.check(f"(while kill -USR1 $(cat {target.l2.pid_file}); do :; done) >/dev/null 2>&1 &")


def cut_short(bench: Bench) -> None:
    """a step that ^C cuts short is done or not begun; with a breakpoint set the next one moves"""
    turns = 1000 if bench.options.full else 150
    with KvmBench(bench).stopped() as (target, gdb):
        kick_all_the_time(bench, target)
        gdb.insert(target.crowd_room)           # KVM_GUESTDBG_ENABLE is never taken back
        place(gdb, target.trapped)
        length = target.trapped_end - target.trapped
        for turn in range(turns):
            gdb.resume(f"vCont;r{target.trapped:x},{target.trapped_end:x}:{FIRST}")
            time.sleep(turn % 7 * 0.001)
            check("signal", gdb.interrupt().signal, 2)
            before = pc_of(gdb)
            answers(gdb, f"vCont;s:{FIRST}")
            check(f"turn {turn}: pc of a step from {before:#x}", pc_of(gdb),
                  target.trapped + (before + 4 - target.trapped) % length)


def kicked(bench: Bench) -> None:
    """clause 1: signals that end KVM_RUN within a step, a device's register having been read"""
    steps = 2000 if bench.options.full else 300
    with KvmBench(bench).stopped() as (target, gdb):
        kick_all_the_time(bench, target)
        place(gdb, target.devices)
        gdb.step()
        top = target.devices + 4
        check("pc", pc_of(gdb), top)
        for n in range(1, steps + 1):
            gdb.step()
            check(f"pc after {n} steps", pc_of(gdb), top + n % 5 * 4)
        check("what QEMU says", target.l2.log.read_text(), "")


def waiting(bench: Bench) -> None:
    """a step of wfi, and of a vCPU that is off, answers at once"""
    with KvmBench(bench).guest(cpus=2, extra=["-trace", "kvm_*ioctl"]) as target:
        gdb = target.connect()
        gdb.run_to(target.ready)
        for way in ("s", f"vCont;s:{FIRST}",
                    f"vCont;r{target.wait:x},{target.wait_behind:x}:{FIRST}"):
            place(gdb, target.wait)
            before = count_ioctls(target.l2)
            answers(gdb, way)
            check(f"{way}: pc", pc_of(gdb), target.wait_behind)
            if FIRST in way:
                # The processor of an emulated host does not wait in a step, real ones do
                check(f"{way}: KVM_RUN", (count_ioctls(target.l2) - before)[KVM_RUN], 0)
        gdb.monitor("trace-event kvm_*ioctl off")
        before = on(gdb, SECOND, "pc")
        for way in (f"vCont;s:{SECOND}", f"vCont;r0,ffffffff:{SECOND}"):
            answers(gdb, way)
            check(f"{way}: pc", on(gdb, SECOND, "pc"), before)
        # It can be started, and range-stepped
        target.bring_up_second(gdb)
        gdb.select(SECOND)
        gdb.write("r5", 0)
        place(gdb, target.straight)
        answers(gdb, f"vCont;r{target.straight:x},{target.straight_end:x}:{SECOND}")
        check("pc and r5", on(gdb, SECOND, "pc", "r5"), [target.straight_end, 13])


def exclusives(bench: Bench) -> None:
    """clause 6: a step from a load-exclusive completes the sequence, or leaves it"""
    def along(gdb: Gdb, target: Target, pc: int, end: int, rounds: int) -> int:
        """How often the store has succeeded."""
        done = 0
        for _ in range(rounds):
            place(gdb, pc)
            gdb.write("r4", 7)
            answers(gdb, f"vCont;s:{FIRST}")
            check("pc", pc_of(gdb), end)
            done += on(gdb, FIRST, "r4") == [0]
        return done

    with KvmBench(bench).stopped() as (target, gdb):
        gdb.write("r28", target.data)
        gdb.write_memory(target.data, bytes(16))
        for name in ("exclusive", "pair"):
            before = target.number(gdb, target.data)
            done = along(gdb, target, getattr(target, name), getattr(target, f"{name}_end"), 20)
            check(f"{name}: stored", target.number(gdb, target.data), before + done)
            check(f"{name}: most succeed ({done})", done > 15, True)
        # Left by a branch, or not
        gdb.write_memory(target.data, bytes(16))
        for value, end in ((0, target.left_end), (1, target.left_out)):
            gdb.write("r5", value)
            gdb.write("r6", 0)
            place(gdb, target.left)
            answers(gdb, f"vCont;s:{FIRST}")
            check(f"compared with {value}: pc", pc_of(gdb), end)
        # Left backwards: a spin lock that another processor has, and that it has not
        gdb.write("r6", 0)
        for value, end in ((1, target.wait_for_lock), (0, target.lock_taken)):
            gdb.write_memory(target.data, bytes([value]) + bytes(15))
            check(f"lock {value}: stored", along(gdb, target, target.take_lock, end, 5) > 2,
                  not value)
        # In a range, and on one's own breakpoint
        for n in (1, 2):
            place(gdb, target.exclusive)
            answers(gdb, f"vCont;r{target.exclusive:x},{target.exclusive_end:x}:{FIRST}")
            check("range: pc", pc_of(gdb), target.exclusive_end)
        gdb.insert(target.exclusive)
        place(gdb, target.exclusive)
        answers(gdb, f"vCont;s:{FIRST}")
        check("on a breakpoint: pc", pc_of(gdb), target.exclusive_end)
        gdb.remove(target.exclusive)
        # One that is in it is met; of nested ones the inner one is a sequence
        gdb.insert(target.exclusive + 4)
        place(gdb, target.exclusive)
        answers(gdb, f"vCont;s:{FIRST}")
        check("a breakpoint in it: pc", pc_of(gdb), target.exclusive + 4)
        gdb.remove(target.exclusive + 4)
        place(gdb, target.nested)
        for end in (target.nested + 4, target.nested_end):
            answers(gdb, f"vCont;s:{FIRST}")
            check("nested: pc", pc_of(gdb), end)
        log = target.l2.log.read_text()
        check("it is said", "it has another load-exclusive" in log, True)
        # A fault in it ends at the guest's handler
        place(gdb, target.faulting)
        for end in (target.faulting + 4, target.synchronous):
            answers(gdb, f"vCont;s:{FIRST}")
            check("fault: pc", pc_of(gdb), end)
        # Of the load or the store, whichever the host finds fault with
        check("ELR_EL1 is in it", on(gdb, FIRST, "ELR_EL1")[0] - target.faulting in (4, 8), True)


def cost(bench: Bench) -> None:
    """a step takes at most 12 KVM ioctls with the `g` behind it, 4 in a range"""
    with KvmBench(bench).stopped(extra=["-trace", "kvm_*ioctl"]) as (target, gdb):
        actions: dict[str, Callable[[], object]] = {
            "bare": lambda: None, "with `g`": gdb.read_g,
            "with `g` and `m`": lambda: (gdb.read_g(), gdb.read_memory(target.spin, 4))}
        for name, action in actions.items():
            def step() -> None:
                gdb.step()
                action()

            place(gdb, target.mixed)
            gdb.read_g()
            for _ in range(3):
                step()
            taken = ioctls_of(target.l2, step, 40)
            bench.notes.append(f"arm64: ioctls for a step {name}: {taken.total() / 40:g}, "
                               f"of these KVM_RUN {taken[KVM_RUN] / 40:g}")
            # One is a kick's now and then
            if not 40 <= taken[KVM_RUN] <= 44 or taken.total() > 12 * 40:
                raise AssertionError(f"{taken.total()} ioctls for 40 steps {name}: {taken}")
        counts = []
        for rounds in (10, 110):
            place(gdb, target.rounds_top)
            gdb.write("r3", 0)
            gdb.write("r5", rounds)
            gdb.step()
            ranged = f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST}"
            counts.append(ioctls_of(target.l2, lambda: answers(gdb, ranged, timeout=60)))
            check("r3", on(gdb, FIRST, "r3"), [rounds])
        each = (counts[1] - counts[0]).total() / 400
        bench.notes.append(f"arm64: {each:.2f} ioctls an instruction in a range")
        if each > 4:
            raise AssertionError(f"{each} ioctls an instruction: {counts[1]}")


def watched(gdb: Gdb, target: Target, at: int, size: int) -> Stop | None:
    """Store `size` bytes there and stop behind that: the stop before that, if any."""
    stores = {1: target.store1, 2: target.store2, 4: target.store4, 8: target.store8}
    gdb.write("r1", at)
    place(gdb, stores[size])
    stop = answers(gdb, "vCont;c")
    if pc_of(gdb) == target.stored:
        return None
    check("pc, before the store", pc_of(gdb), stores[size])
    return stop


def watch(bench: Bench) -> None:
    """watchpoints of 1 to 8 bytes at any byte: what touches them stops, nothing else does"""
    with KvmBench(bench).stopped() as (target, gdb):
        gdb.insert(target.stored)
        for length in range(1, 9) if bench.options.full else (1, 2, 3, 5, 8):
            for offset in range(8):
                low = target.buffer + 64 + offset
                gdb.insert(low, WRITE, length)
                for at, size in ((low - 1, 1), (low, 1), (low + length - 1, 1),
                                 (low + length, 1), (low & -8, 8), ((low & -8) - 8, 8),
                                 (low + length - 1 & -4, 4), (low & -2, 2)):
                    touches = at < low + length and low < at + size
                    stop = watched(gdb, target, at, size)
                    what = f"{size} bytes at {at:#x}, watched: {length} at {low:#x}"
                    check(f"{what}: stops", bool(stop), touches)
                    if stop:
                        check(what, dict(stop.details).get("watch"), f"{low:x}")
                gdb.remove(low, WRITE, length)
                check("after z2", watched(gdb, target, low, 1), None)


def watch_more(bench: Bench) -> None:
    """kinds of access, large regions, two side by side; what cannot be watched is refused"""
    with KvmBench(bench).stopped() as (target, gdb):
        low = target.buffer
        gdb.insert(target.stored)
        gdb.insert(low, WRITE, 4)
        gdb.insert(low, READ, 4)
        gdb.insert(low + 4, WRITE, 4)
        # Each of them by its own address, length and type
        refused(gdb, [f"z2,{low:x},8", f"z2,{low + 1:x},4", f"z4,{low:x},4"])
        gdb.remove(low, READ, 4)
        for at in (low, low + 4):
            stop = watched(gdb, target, at, 4)
            check("watch", stop and dict(stop.details).get("watch"), f"{at:x}")
        gdb.remove(low, WRITE, 4)
        check("gone", watched(gdb, target, low, 4), None)
        stop = watched(gdb, target, low + 4, 4)
        check("the other", stop and dict(stop.details).get("watch"), f"{low + 4:x}")
        gdb.remove(low + 4, WRITE, 4)
        for length in (16, 64, 4096):
            region = -(-low // length) * length
            gdb.insert(region, ACCESS, length)
            for at in (region - 8, region, region + length - 8, region + length):
                stop = watched(gdb, target, at, 8)
                check(f"{length} bytes: {at - region:#x}",
                      stop and dict(stop.details).get("awatch"),
                      f"{region:x}" if region <= at < region + length else None)
            gdb.remove(region, ACCESS, length)
        before = gdb.read_g()
        refused(gdb, [f"Z2,{low:x},0", f"Z2,{low:x},9", f"Z2,{low:x},18", f"Z2,{low + 8:x},10",
                      f"Z2,{low:x},100000000"])
        check("nothing is watched", watched(gdb, target, low + 8, 8), None)
        check("registers", len(gdb.read_g()), len(before))


def ranges(bench: Bench) -> None:
    """vCont;r: its edges, two vCPUs, what is malformed"""
    kvm = KvmBench(bench)
    kvm.all_of([t_range.range_offered, t_range.range_straight, t_range.range_as_steps,
                t_range.range_empty, t_range.range_from_outside, t_range.range_malformed,
                t_range.range_interrupted])
    kvm.all_of([t_range.range_one_of_two, t_range.range_and_other_stop], 2)


def range_off(bench: Bench) -> None:
    """a range that begins on a breakpoint, and one that comes back to it"""
    def loop(kvm: common.Bench) -> None:
        with kvm.stopped() as (guest, gdb):
            for point in (0, 1):
                gdb.insert(guest.spin, point)
                place(gdb, guest.spin)
                gdb.write("r3", 0)
                for n in range(1, 5):
                    answers(gdb, f"vCont;r{guest.spin:x},{guest.spin_end:x}:{FIRST}")
                    check(f"Z{point}: pc and r3", on(gdb, FIRST, "pc", "r3"),
                          [guest.spin, n])
                check("memory", guest.number(gdb, guest.counter), n)
                gdb.remove(guest.spin, point)

    KvmBench(bench).all_of([loop])


def registers(bench: Bench) -> None:
    """each register has the size that it is described with"""
    KvmBench(bench).all_of([t_state.described])


def no_stale_step(bench: Bench) -> None:
    """nothing of a step stays after any stop; what is not resumed waits, over a dump, too"""
    KvmBench(bench).all_of(
        [t_state.stale_step, t_state.stale_other_stop, t_state.stale_two_steps,
         t_state.stale_plain, t_state.stale_detach, t_state.disconnect_stopped,
         t_state.held_over_dump], 2)


def in_rounds(gdb: Gdb, target: Target) -> None:
    """A loop of four instructions, in which nothing is masked."""
    gdb.write("cpsr", 5)                        # EL1h
    place(gdb, target.rounds)
    gdb.run_to(target.rounds_top)


def check_rounds(gdb: Gdb, target: Target) -> None:
    """Behind some whole steps in it, without anything of them left, and it goes on."""
    regs = gdb.read(["pc", "cpsr", "x3"])
    check("PSTATE.DAIF and SS", regs["cpsr"] & (DAIF | SS), 0)
    check("pc is in the loop", target.rounds_top <= regs["pc"] < target.rounds_end, True)
    stored = regs["pc"] not in (target.rounds_top + 4, target.rounds_end)
    check("counter", target.number(gdb, target.counter), regs["x3"] - (not stored))
    for n in range(1, 5):
        gdb.step()
        check("pc", pc_of(gdb),
              target.rounds_top + (regs["pc"] - target.rounds_top + 4 * n) % 16)
    rounds = gdb.read(["x3"])["x3"] + 30
    gdb.write("x5", rounds)
    answers(gdb, f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST}", timeout=30)
    check("pc and x3", on(gdb, FIRST, "pc", "x3"), [target.rounds_end, rounds])


def wait_state(target: Target, command: str, meant: str, not_yet: tuple[str, ...]) -> None:
    deadline = time.monotonic() + 30
    while (status := target.monitor.run(command).get("status")) != meant:
        if status not in not_yet or time.monotonic() > deadline:
            raise AssertionError(f"{command}: {status}, should be {meant}")
        time.sleep(0.1)


def migrate(bench: Bench) -> None:
    """clause 7: migrated behind a step, and within a range of them"""
    kvm = KvmBench(bench)
    for within in (False, True):
        with kvm.stopped() as (target, gdb):
            in_rounds(gdb, target)
            for _ in range(9):
                gdb.step()
            if within:
                gdb.resume(f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST}")
                time.sleep(0.2)
            target.monitor.run("migrate", uri=f"file:{STATE}")
            if within:
                check("the stop is migration's: signal", gdb.wait(20).signal, XCPU)
            wait_state(target, "query-migrate", "completed",
                       (None, "setup", "active", "device"))     # type: ignore[arg-type]
            registers = gdb.read(CORE)
            with kvm.guest(extra=["-incoming", f"file:{STATE}"], slot=1) as moved:
                wait_state(moved, "query-status", "paused", ("inmigrate",))
                other = moved.connect()
                check("registers", other.read(CORE), registers)
                check_rounds(other, moved)


def snapshot(bench: Bench) -> None:
    """clause 7: savevm and loadvm behind a step, and within a range of them"""
    with KvmBench(bench).stopped() as (target, gdb):
        bench.add_disk(gdb)
        in_rounds(gdb, target)
        for _ in range(9):
            gdb.step()
        registers = gdb.read(CORE)
        check("savevm", gdb.monitor("savevm one", timeout=60), "")
        gdb.resume(f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST}")
        time.sleep(0.2)
        target.monitor.sock.settimeout(60)
        said = target.monitor.human("savevm two")
        check("savevm in a range", said, "")
        check("^C ends the range: signal", gdb.interrupt().signal, 2)
        for tag in ("one", "two"):
            check("loadvm", gdb.monitor(f"loadvm {tag}", timeout=60), "")
            if tag == "one":
                check("registers", gdb.read(CORE), registers)
            check_rounds(gdb, target)


A32 = [4 * n for n in range(4)]
T32 = [0x10, 0x12, 0x14]


def aarch32(bench: Bench) -> None:
    """clause 1: A32 and T32 code of EL0, its conditional branch, and svc from there"""
    with KvmBench(bench).stopped() as (target, gdb):
        for way in ("vCont;s:p1.1", "vCont;r0,1:p1.1"):
            place(gdb, target.to_aarch32)
            gdb.run_to(target.to_aarch32_eret)
            for offset in A32 + T32:
                answers(gdb, way)
                check(f"{way}: pc", pc_of(gdb), target.aarch32 + offset)
            answers(gdb, way)
            check("vector", pc_of(gdb), target.from_aarch32)
            check("SPSR_EL1: EL0, T32, nothing masked",
                  on(gdb, FIRST, "SPSR_EL1")[0] & 0x2001ff, 0x30)
            check("X0, X1 and ELR_EL1", on(gdb, FIRST, "x0", "x1", "ELR_EL1"),
                  [target.aarch32 + 0x11, 6, target.aarch32 + 0x16])
            gdb.run_to(target.aarch32_over)
