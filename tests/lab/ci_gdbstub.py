# SPDX-License-Identifier: GPL-2.0-or-later
"""The gdbstub's features on KVM HV: ranges, memory under breakpoints, stepping off.

Where a test of ../gdbstub fits a guest of KVM, it is run as it is, many of them on one
guest; what costs too many steps, or asks KVM itself, is here.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "gdbstub")]

import common                                                   # noqa: E402
import payloads                                                 # noqa: E402
import t_gdb                                                    # noqa: E402
import t_memory                                                 # noqa: E402
import t_protocol                                               # noqa: E402
import t_range                                                  # noqa: E402
import t_state                                                  # noqa: E402
import t_stop                                                   # noqa: E402
from bench import TRAP, Bench, check, on_all, pc_of             # noqa: E402
from build import Image                                         # noqa: E402
from ci_interrupts import DEC, DOORBELL, EXTERNAL, PRIVILEGED     # noqa: E402
from ci_interrupts import ASYNCHRONOUS, FAST, enter_round, irq_guest         # noqa: E402
from ci_steps import (GET_REGS, KVM_RUN, SET_REGS, count_ioctls,       # noqa: E402
                      ioctls_of)
from common import (FIRST, SECOND, answers, check_thread, goes_on, on, place,  # noqa: E402
                    other_than, refused, thread_of)
from lablib import (ARM64, HOST_FROM_L1, LOONG64, X86, L2, L2Config,  # noqa: E402
                    TcgReference)
from rsp import Gdb, RspError, RspTimeout, Stop                 # noqa: E402

SOFTWARE, HARDWARE = 0, 1
IOCTLS = {KVM_RUN: "KVM_RUN", GET_REGS: "KVM_GET_REGS", SET_REGS: "KVM_SET_REGS",
          "0x8010aeab": "KVM_GET_ONE_REG", "0x8010aeac": "KVM_SET_ONE_REG"}
ROUNDS = 8                      # of range.S
RFID = bytes.fromhex("4c000024")
LONG = 30.0                     # seconds for a range of thousands of instructions
# Compared with TCG: what the code of guest.S has and changes
PLAIN = [f"r{n}" for n in range(32)] + ["pc", "msr", "cr", "lr", "ctr", "xer", "srr0", "srr1"]

# What it is for under TCG: there a vCPU each has its thread, or all have one
t_state.THREADS = ("kvm",)
t_state.ROUNDS = 4


class Target(common.Guest):
    """A guest of the lab, as the tests of ../gdbstub have theirs."""

    l2: L2

    def connect(self, kind: type[Gdb] = Gdb) -> Gdb:
        gdb = kind.connect(self.l2.gdb_port, timeout=20)
        self.clients.append(gdb)
        return gdb


class KvmBench(common.Bench):
    """Runs tests of ../gdbstub on KVM."""

    def __init__(self, bench: Bench) -> None:
        self.lab = bench
        super().__init__(SimpleNamespace(work=bench.options.work, gdb="gdb-multiarch"),
                         bench.lab.children)        # type: ignore[arg-type]
        self.notes = bench.notes
        self.kept: Target | None = None

    def build_payloads(self, out: Path) -> dict[str, Path]:
        if self.lab.lab.arch is ARM64:
            return {payloads.ASSEMBLY: payloads.build_arm64(out)}
        if self.lab.lab.arch is X86:
            self.READY_KIND = HARDWARE          # the code is not in RAM before that
            return {payloads.ASSEMBLY: payloads.build_x86(out)}
        if self.lab.lab.arch is LOONG64:
            self.KINDS = (SOFTWARE,)            # KVM has no others
            return {payloads.ASSEMBLY: payloads.build_loong64(out)}
        return super().build_payloads(out) | {name: self.lab.payloads[name]
                                              for name in ("range", "points", "places", "cede")}

    @contextlib.contextmanager
    def guest(self, payload: str = payloads.ASSEMBLY, cpus: int | str = 1, thread: str = "",
              extra: Iterable[str] = (), slot: int = 0) -> Iterator[Target]:
        if self.kept and payload == payloads.ASSEMBLY:
            yield self.kept
            return
        elf = self.payloads[payload]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            qmp = f"tcp:{HOST_FROM_L1}:{listener.getsockname()[1]}"
            l2 = self.lab.lab.start_l2(L2Config(
                qemu=self.lab.options.qemu, payload=elf, cpus=cpus, slot=slot,  # type: ignore
                extra=["-qmp", qmp, *extra]))
            # QEMU connects from within the lab
            listener.settimeout(20)
            monitor = common.Monitor(listener.accept()[0])
        target = Target(SimpleNamespace(gdb_port=l2.gdb_port, log=l2.log),  # type: ignore
                        Image.load(elf), monitor)
        target.l2 = l2
        try:
            yield target
        finally:
            monitor.close()
            for gdb in target.clients:
                gdb.close()
            l2.stop()

    @contextlib.contextmanager
    def stopped(self, cpus: int = 1, thread: str = "", kind: type[Gdb] = Gdb,
                extra: Iterable[str] = ()) -> Iterator[tuple[Target, Gdb]]:
        if not self.kept:
            with super().stopped(cpus, thread, kind, extra=extra) as pair:
                yield pair                                      # type: ignore[misc]
            return
        # Another test on the guest that there is
        target = self.kept
        gdb = target.connect(kind)
        if cpus == 2:
            gdb.select(SECOND)
            place(gdb, target.second)
            gdb.write("r3", target.number(gdb, target.second_counter))
        gdb.select(FIRST)
        place(gdb, target.spin if cpus == 2 else target.ready)
        gdb.write("r3", target.number(gdb, target.counter))
        try:
            yield target, gdb
        finally:
            for gdb in target.clients:
                gdb.close()
            target.clients.clear()

    def all_of(self, tests: Iterable[common.Test], cpus: int = 1) -> None:
        """Tests of ../gdbstub, on one guest."""
        with self.stopped(cpus) as (target, gdb):
            gdb.close()
            self.kept = target
            try:
                for test in tests:
                    try:
                        test(self)
                    except (AssertionError, RspError, OSError) as err:
                        raise AssertionError(f"{test.__name__}: {err}") from err
            finally:
                self.kept = None

    def gdb(self, payload: str, script: str, interrupt_in: str | None = None,
            timeout: float = 80) -> common.GdbRun:
        return super().gdb(payload, script, interrupt_in, timeout)


def rounds_of(target: Target, gdb: Gdb, rounds: int) -> None:
    """Before a loop of so many rounds, four instructions each."""
    gdb.select(FIRST)
    place(gdb, target.rounds_top)
    gdb.write("r3", 0)
    gdb.write("r5", rounds)


def ranged(gdb: Gdb, start: int, end: int, thread: str = FIRST, also: str = "") -> Stop:
    return answers(gdb, f"vCont;r{start:x},{end:x}:{thread}{also}", timeout=LONG)


def stepped_to_the_end(gdb: Gdb, start: int, end: int) -> int:
    """Single steps instead of a range; how many."""
    for n in range(1, 10_000):
        pc = int(t_stop.expedited(gdb.step())[common.PC], 16)       # big-endian
        if not start <= pc < end:
            return n
    raise AssertionError(f"{n} steps, and still in it")


def named(counts: Counter[str]) -> str:
    return ", ".join(f"{IOCTLS.get(kind, kind)} {count}" for kind, count in
                     counts.most_common())


# Ranges

def range_cost(bench: Bench) -> None:
    """clause 3 of the gdbstub's: a range takes at most 3 KVM ioctls an instruction"""
    with KvmBench(bench).stopped(extra=["-trace", "kvm_*ioctl"]) as (target, gdb):
        taken: list[Counter[str]] = []
        sizes = (50, 350)
        for rounds in sizes:
            rounds_of(target, gdb, rounds)
            gdb.step()                  # KVM has the registers now
            taken.append(ioctls_of(
                target.l2, lambda: ranged(gdb, target.rounds_top, target.rounds_end)))
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [target.rounds_end, rounds])
        instructions = 4 * (sizes[1] - sizes[0])
        more = taken[1] - taken[0]
        each = more.total() / instructions
        bench.notes.append(
            f"vCont;r of {4 * sizes[1] - 1} instructions: {taken[1].total()} ioctls "
            f"({named(taken[1])}); {each:.3f} for each further instruction")
        check("each instruction was run by KVM", more[KVM_RUN] >= instructions, True)
        # And once what a step has around it: see ci_steps.ioctls
        if each > 3 or taken[1].total() > 3 * 4 * sizes[1] + 12:
            raise AssertionError(f"{each:.3f} ioctls an instruction: {named(taken[1])}")


def range_loop(bench: Bench) -> None:
    """1,000 rounds in one packet: registers, memory as under TCG; the time"""
    kvm = KvmBench(bench)
    rounds = 1000
    with kvm.stopped() as (target, gdb):
        reference = TcgReference(kvm.payloads["guest"], bench.options.work,
                                 bench.lab.children, memory="512M")
        try:
            tcg = Gdb(reference.socket, 20)
            tcg.run_to(target.ready)
            for client in (gdb, tcg):
                for n in (*range(3), *range(4, 30)):
                    client.write(f"r{n}", 0x0101010101010101 * n)
                for name in ("srr0", "srr1"):
                    client.write(name, 0)
                rounds_of(target, client, rounds)
            begun = time.monotonic()
            stop = ranged(gdb, target.rounds_top, target.rounds_end)
            spent = time.monotonic() - begun
            check_thread(stop, FIRST)
            tcg.run_to(target.rounds_end)
            ours, theirs = gdb.read(PLAIN), tcg.read(PLAIN)
            for name in PLAIN:
                check(f"{name}, as TCG has it", ours[name], theirs[name])
            check("r3", ours["r3"], rounds)
            check("memory", [target.number(c, target.counter) for c in (gdb, tcg)],
                  [rounds, rounds])
        finally:
            reference.close()
        begun = time.monotonic()
        for _ in range(100):
            gdb.step()
        step = (time.monotonic() - begun) / 100
        bench.notes.append(f"vCont;r of {4 * rounds} instructions: {spent:.2f} s, "
                           f"{spent / 4 / rounds * 1e6:.0f} us each; a vCont;s "
                           f"{step * 1e6:.0f} us")


def range_edges(bench: Bench) -> None:
    """ends, edges, ^C, malformed packets, as the tests under TCG have it"""
    def interrupted(kvm: common.Bench) -> None:
        with kvm.stopped() as (target, gdb):
            for _ in range(3):
                place(gdb, target.spin)
                before = target.number(gdb, target.counter)
                check_thread(goes_on(gdb, f"vCont;r{target.spin:x},{target.spin_end:x}:{FIRST}",
                                     1.0), FIRST)
                check("pc in it", target.spin <= pc_of(gdb) < target.spin_end, True)
                check("it ran", target.number(gdb, target.counter) > before + 10, True)
            goes_on(gdb)

    KvmBench(bench).all_of([
        t_range.range_offered, t_range.range_straight, t_range.range_empty,
        t_range.range_from_outside, t_range.range_left_by_call, t_range.range_malformed,
        interrupted])


def range_as_steps(bench: Bench) -> None:
    """branches, loads and stores: all registers as single steps leave them"""
    with KvmBench(bench).stopped() as (target, gdb):
        place(gdb, target.mixed)
        begin = gdb.read_g()
        ranged(gdb, target.mixed, target.mixed_end)
        got, memory = gdb.read_g(), gdb.read_memory(target.data, 32)
        gdb._ok(f"G{begin.hex()}")
        steps = stepped_to_the_end(gdb, target.mixed, target.mixed_end)
        check(f"{steps} steps are many", steps > 25 * 8, True)
        check("pc", pc_of(gdb), target.mixed_end)
        check("g", got.hex(), gdb.read_g().hex())
        check("memory", memory, gdb.read_memory(target.data, 32))


def range_points(bench: Bench) -> None:
    """Z0 and Z1 in the range stop it each time, before the instruction"""
    with KvmBench(bench).stopped() as (target, gdb):
        for kind in (SOFTWARE, HARDWARE):
            rounds_of(target, gdb, 100)
            gdb.insert(target.rounds_store, kind)
            for n in range(1, 4):
                ranged(gdb, target.rounds_top, target.rounds_end)
                check(f"Z{kind}: pc and r3", on(gdb, FIRST, "pc", "r3"),
                      [target.rounds_store, n])
                check("memory, not stored yet", target.number(gdb, target.counter) == n, False)
            gdb.remove(target.rounds_store, kind)
            ranged(gdb, target.rounds_top, target.rounds_end)
            check(f"Z{kind}: pc and r3", on(gdb, FIRST, "pc", "r3"), [target.rounds_end, 100])
            # In the whole address space
            gdb.insert(target.rounds_end, kind)
            rounds_of(target, gdb, 20)
            ranged(gdb, 0, (1 << 64) - 1)
            check(f"Z{kind}: pc and r3", on(gdb, FIRST, "pc", "r3"), [target.rounds_end, 20])
            gdb.remove(target.rounds_end, kind)
        check("a trap is left", TRAP in gdb.raw_memory(0x400000, 0x400), False)


def range_two_vcpus(bench: Bench) -> None:
    """the other vCPU stays, runs, or ends it; two ranges at once"""
    kvm = KvmBench(bench)

    def beside(_: common.Bench) -> None:
        with kvm.stopped(2) as (target, gdb):
            rounds_of(target, gdb, 250)
            before = target.number(gdb, target.second_counter)
            begun = time.monotonic()
            stop = ranged(gdb, target.rounds_top, target.rounds_end, also=";c")
            spent = time.monotonic() - begun
            check_thread(stop, FIRST)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [target.rounds_end, 250])
            moved = target.number(gdb, target.second_counter) - before
            bench.notes.append(f"vCont;r of 1000 instructions beside a vCPU that runs: "
                               f"{spent:.2f} s, in which that counts to {moved}")
            check("the other one ran", moved > 1000, True)
            pc = on(gdb, SECOND, "pc")[0]
            check("its pc", target.second <= pc < target.second_end, True)
            goes_on(gdb)

    def two(_: common.Bench) -> None:
        with kvm.stopped(2) as (target, gdb):
            rounds_of(target, gdb, 50)
            begin = on(gdb, SECOND, "r3")[0]
            ranges = (f"vCont;r{target.rounds_top:x},{target.rounds_end:x}:{FIRST};"
                      f"r{target.second:x},{target.second_end:x}:{SECOND}")
            check_thread(answers(gdb, ranges, timeout=LONG), FIRST)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [target.rounds_end, 50])
            pc, count = on(gdb, SECOND, "pc", "r3")
            check("the other's pc", target.second <= pc < target.second_end, True)
            check(f"the other ran ({count - begin})", count - begin > 5, True)
            goes_on(gdb)

    def same(_: common.Bench) -> None:
        """both through the same instructions"""
        with kvm.stopped(2) as (target, gdb):
            for _ in range(5):
                for thread in (FIRST, SECOND):
                    gdb.select(thread)
                    place(gdb, target.straight)
                    gdb.write("r5", 0)
                stop = ranged(gdb, target.straight, target.straight_end, FIRST,
                              f";r{target.straight:x},{target.straight_end:x}:{SECOND}")
                one = thread_of(stop)
                check("pc and r5", on(gdb, one, "pc", "r5"), [target.straight_end, 13])
                pc, r5 = on(gdb, other_than(one), "pc", "r5")
                check(f"the other's r5 at {pc:#x}", r5, (pc - target.straight) // 4)

    kvm.all_of([beside, two, same, t_range.range_one_of_two, t_range.range_and_other_stop], 2)


def range_holds_interrupts(bench: Bench) -> None:
    """clause 3: decrementer, doorbell, external wait at each instruction, and come after"""
    wanted = DEC | DOORBELL | EXTERNAL
    with irq_guest(bench, PRIVILEGED, FAST, wanted) as guest:
        gdb, at = guest.gdb, guest.at
        action = f"vCont;r{at['loop']:x},{at['leave']:x}:{FIRST}"
        rounds, steps = 5, 0
        for number in range(rounds):
            enter_round(guest)
            counts, first = guest.counters(), gdb.read(["r20", "msr", "srr0", "srr1"])
            # All is pending, and the loop waits for it
            goes_on(gdb, action, 0.6)
            now = gdb.read(["pc", "r20", "msr", "srr0", "srr1"])
            what = f"round {number}"
            check(f"{what}: counters after the range", guest.counters(), counts)
            check(f"{what}: pc", at["loop"] <= now["pc"] < at["leave"], True)
            done = now["r20"] - first["r20"]
            check(f"{what}: {done} rounds of the loop", done > 20, True)
            for name in ("msr", "srr0", "srr1"):
                check(f"{what}: {name}", now[name], first[name])
            steps += 5 * done
            guest.finish_round(what)
        bench.notes.append(f"vCont;r with decrementer, doorbell and external pending: "
                           f"{steps} instructions in {rounds} ranges, none taken inside, "
                           f"{guest.counters()['ticks']} ticks, none lost or doubled")
        # And without NOIRQ one of them leads out of it, at once
        enter_round(guest)
        gdb._ok("Qqemu.sstep=1")
        answers(gdb, action, timeout=10)
        now = gdb.read(["pc", "srr0"])
        check(f"pc {now['pc']:#x} is a vector's", now["pc"] in ASYNCHRONOUS, True)
        check("SRR0", at["loop"] <= now["srr0"] < at["leave"], True)
        gdb._ok("Qqemu.sstep=3")
        check("a trap is left", TRAP in gdb.raw_memory(0x100, 0xf00), False)


def hot_plugged(bench: Bench) -> None:
    """clause 4: a vCPU is plugged while another is stepped, meets a breakpoint, is unplugged"""
    kvm = KvmBench(bench)
    with kvm.guest("places", cpus="1,maxcpus=2") as target:
        gdb = target.connect()

        def vcpus() -> int:
            return len(target.monitor.run("query-cpus-fast"))

        for turn in ("first", "second"):
            gdb.run_to(target.ready)
            gdb.insert(target.second)
            # A branch to itself: it begins steps while the other is made
            gdb.resume(f"vCont;r{target.ready:x},{target.ready + 4:x}:{FIRST}")
            time.sleep(0.3)
            target.monitor.run("device_add", driver="host-spapr-cpu-core", id="c1",
                               **{"core-id": 1})
            time.sleep(0.5)
            gdb.interrupt(20)
            check(f"vCPUs, {turn} time", vcpus(), 2)
            gdb.select(FIRST)
            place(gdb, target.s_second)
            check_thread(gdb.cont(20), SECOND)
            gdb.select(SECOND)
            check("pc of the plugged one", pc_of(gdb), target.second)
            gdb.remove(target.second)
            gdb.step(SECOND, 20)
            check("pc behind a step", pc_of(gdb), target.second + 4)
            check("a trap is left", TRAP in gdb.raw_memory(0x100, 0xf00), False)
            # Nothing is chosen that is about to go (tests/gdbstub has that case)
            gdb._ok(f"Hc{FIRST}")
            gdb.select(FIRST)
            # This guest does not answer; at a reset nobody has to
            target.monitor.run("device_del", id="c1")
            target.monitor.run("system_reset")
            deadline = time.monotonic() + 10
            while vcpus() != 1 and time.monotonic() < deadline:
                time.sleep(0.1)
            check(f"vCPUs after device_del, {turn} time", vcpus(), 1)


def range_emulated(bench: Bench) -> None:
    """hypercall, sc, rfid, mtmsr in a range: as by single steps, and as TCG"""
    kvm = KvmBench(bench)
    with kvm.guest("range") as target:
        gdb = target.connect()
        gdb.run_to(target.ready)
        place(gdb, target.special)
        begin = gdb.read_g()
        ranged(gdb, 0, target.special_end)
        got, few = gdb.read(), gdb.read(PLAIN)
        check("pc and r5", (few["pc"], few["r5"]), (target.special_end, ROUNDS))
        memory = gdb.read_memory(target.data, 24)
        check("system calls", target.number(gdb, target.calls), ROUNDS)
        # The same by steps
        gdb._ok(f"G{begin.hex()}")
        gdb.write_memory(target.data, bytes(24))
        steps = stepped_to_the_end(gdb, 0, target.special_end)
        check(f"{steps} steps are many", steps > ROUNDS * 20, True)
        after = gdb.read()
        for name in PLAIN:
            check(f"{name}, as by {steps} steps", got[name], after[name])
        check("memory", memory, gdb.read_memory(target.data, 24))
        # Out of the range, and into it again
        gdb._ok(f"G{begin.hex()}")
        for n in range(1, 4):
            ranged(gdb, target.special, target.special_end)
            check("pc, srr0, r5", on(gdb, FIRST, "pc", "srr0", "r5"),
                  [0xc00, target.special_call + 4, n])
            ranged(gdb, 0xc00, 0xc10)
            check("pc", pc_of(gdb), target.special_call + 4)
        check("a trap is left", TRAP in gdb.raw_memory(0x100, 0xf00), False)
        reference = TcgReference(kvm.payloads["range"], bench.options.work,
                                 bench.lab.children, memory="512M")
        try:
            tcg = Gdb(reference.socket, 20)
            tcg.run_to(target.ready)
            place(tcg, target.special)
            tcg.run_to(target.special_end)
            # A hypercall may change these; CR is set by the last cmpdi
            theirs = tcg.read(PLAIN)
            for name in set(PLAIN) - {"ctr", "xer", "r4", "r6"}:
                check(f"{name}, as TCG has it", few[name], theirs[name])
        finally:
            reference.close()


def range_waiting(bench: Bench) -> None:
    """a vCPU that cedes itself, or has done so, answers; KVM_RUN wakes it up"""
    kvm = KvmBench(bench)

    def ceded(_: common.Bench) -> None:
        for cpus in (1, 2):
            with kvm.stopped(cpus) as (target, gdb):
                # H_CEDE sets MSR[EE]; an emulated POWER10 then presents an external
                # interrupt once more at a stop now and then: see ci_interrupts
                gdb.write_memory(0x500, RFID)
                place(gdb, target.cede)
                gdb.write("r5", 0)
                action = f"vCont;r{target.cede:x},{target.cede_end:x}:{FIRST}"
                also = f";c:{SECOND}" if cpus == 2 else ""
                # Into it, and from there
                check_thread(answers(gdb, action + also, timeout=2), FIRST)
                check("pc and r5", on(gdb, FIRST, "pc", "r5"), [target.cede_behind, 0])
                check_thread(answers(gdb, action + also, timeout=2), FIRST)
                waiting = ([target.cede_behind, 0], [target.cede_end, 1])
                check("pc and r5 behind it", on(gdb, FIRST, "pc", "r5") in waiting, True)
                # It waits, and ^C finds it behind its hypercall
                place(gdb, target.cede)
                gdb.write("r5", 0)
                goes_on(gdb)
                check("pc and r5", on(gdb, FIRST, "pc", "r5"), [target.cede_behind, 0])
                for step in (action + also, f"vCont;s:{FIRST}{also}"):
                    place(gdb, target.cede_behind)
                    gdb.write("r5", 0)
                    check_thread(answers(gdb, step, timeout=2), FIRST)
                    check(f"pc and r5 after {step}", on(gdb, FIRST, "pc", "r5") in waiting,
                          True)
                place(gdb, target.spin)
                goes_on(gdb)

    kvm.all_of([ceded], 2)
    kvm.all_of([t_state.range_into_wait])


def over_anothers_trap(bench: Bench) -> None:
    """clause 4: a vCPU meets the trap of another one's step: it runs that instruction, once"""
    with KvmBench(bench).stopped(2) as (target, gdb):
        for n in range(5):
            gdb.select(FIRST)
            place(gdb, target.cede)
            gdb.insert(target.cede_call)
            check_thread(answers(gdb, f"vCont;c:{FIRST}"), FIRST)
            gdb.remove(target.cede_call)
            gdb.select(SECOND)
            place(gdb, target.cede_behind)
            gdb.write("r5", 0)
            gdb.write("r3", 0)
            # H_CEDE waits, for up to 200 ms, and has its trap where the other one stands
            check_thread(answers(gdb, f"vCont;s:{FIRST};c:{SECOND}"), FIRST)
            what = f"turn {n}"
            check(f"{what}: pc", on(gdb, FIRST, "pc"), [target.cede_behind])
            pc, r5 = on(gdb, SECOND, "pc", "r5")
            check(f"{what}: r5 of the other, at {pc:#x}", r5, 1)
            check(f"{what}: its pc", pc == target.cede_end or
                  target.spin <= pc < target.spin_end, True)
            check(f"{what}: a trap is left", TRAP in gdb.raw_memory(target.cede_behind & ~7, 16),
                  False)


# gdb

def gdb_next(bench: Bench) -> None:
    """gdb's `next` over 1,000 instructions: 1 resume, few packets; a breakpoint in it"""
    kvm = KvmBench(bench)
    t_gdb.thousand_instructions(kvm)
    t_gdb.breakpoint_in_range(kvm)


# Memory

def under_breakpoints(bench: Bench) -> None:
    """m, x, M over a Z0: as the tests under TCG have it"""
    KvmBench(bench).all_of([
        t_memory.under_breakpoint, t_memory.under_breakpoint_binary,
        t_memory.remove_what_is_not_there])


@contextlib.contextmanager
def mapped(bench: Bench) -> Iterator[tuple[Target, Gdb, Callable[[int], None]]]:
    """A guest with a radix tree, stopped; and what relocates it to an address."""
    with KvmBench(bench).guest("range") as target:
        gdb = target.connect()
        gdb.run_to(target.ready)
        msr = gdb.read(["msr"])["msr"]

        def relocated(address: int) -> None:
            gdb.write("msr", msr | 0x30)
            place(gdb, address)

        yield target, gdb, relocated


ALIAS = 0xc000000000000000
TREE_NEXT = 0x820008            # the second GiB's entry of payload/bare.inc's tree
FIRST_GIB = 0xc000000000000187


def under_an_alias(bench: Bench) -> None:
    """written over, and hit by its own address, whichever addresses memory has"""
    with mapped(bench) as (target, gdb, relocated):
        at, word = target.free + 8, (0x38c60064).to_bytes(4, "big")  # addi r6, r6, 100
        before = gdb.read_memory(target.free, 16)
        check("raw", gdb.raw_memory(target.free, 16), before)
        relocated(target.free)
        gdb.insert(ALIAS + at)
        check("memory as it is", gdb.raw_memory(target.free, 16), before)
        for base in (0, ALIAS):
            check("m", gdb.read_memory(base + target.free, 16), before)
            check("m of a part", gdb.read_memory(base + at + 1, 2), before[9:11])
            check("x", gdb.request(f"x{base + target.free:x},10"), b"b" + before)
        gdb._ok("Qqemu.PhyMemMode:1")
        check("m, physical", gdb.read_memory(target.free, 16), before)
        gdb.write_memory(at, word)
        check("m, written physically", gdb.read_memory(at, 4), word)
        gdb._ok("Qqemu.PhyMemMode:0")
        after = before[:8] + word + before[12:]
        for base in (0, ALIAS):
            check("m", gdb.read_memory(base + target.free, 16), after)
        check("memory as it is", gdb.raw_memory(target.free, 16), after)
        # Hit by its address; not by another, which runs what is underneath
        for n in range(3):
            relocated(ALIAS + target.free)
            gdb.write("r6", 0)
            answers(gdb, "vCont;c")
            check("pc and r6", on(gdb, FIRST, "pc", "r6"), [ALIAS + at, 0])
            relocated(target.free)
            goes_on(gdb)
            r5, r6 = on(gdb, FIRST, "r5", "r6")
            check("r6 has its hundreds", r6 > 0 and r6 % 100 == 0, True)
        # Written through the other address, with its neighbours
        for base, value in ((0, b"\x38\xc6\x00\x07"), (ALIAS, word)):
            gdb.write_memory(base + at - 2, before[6:8] + value + before[12:14])
            check("m", gdb.read_memory(ALIAS + at, 4), value)
            check("memory as it is", gdb.raw_memory(target.free, 16),
                  before[:8] + value + before[12:])
        gdb.remove(ALIAS + at)
        check("memory without it", gdb.raw_memory(target.free, 16), after)
        gdb.write("r6", 0)
        gdb.run_to(target.free + 12)
        check("r6", on(gdb, FIRST, "r6")[0] % 100, 0)


def not_mapped_yet(bench: Bench) -> None:
    """Z0 where nothing is mapped: it waits, and is met when it is; z0 takes it back"""
    with mapped(bench) as (target, gdb, relocated):
        nowhere = 0x40000000 + target.free
        check("m in real mode", gdb.text(f"m{nowhere:x},4"), "E14")
        for at in (nowhere, 0x700000000000):
            gdb.insert(at)
        relocated(target.free)
        before = gdb.raw_memory(target.free, 16)
        gdb.insert(nowhere + 8)
        check("memory", gdb.raw_memory(target.free, 16), before)
        for at in (nowhere, 0x700000000000):
            gdb.remove(at)
            refused(gdb, [f"z0,{at:x},4"])
        # It runs on where the same code is mapped already
        answers(gdb, f"vCont;s:{FIRST}")
        check("pc", pc_of(gdb), target.free + 4)
        gdb.write_memory(TREE_NEXT, FIRST_GIB.to_bytes(8, "big"))
        check("memory", gdb.raw_memory(target.free, 16), before)
        relocated(nowhere)
        answers(gdb, "vCont;c")
        check("pc", pc_of(gdb), nowhere + 8)
        check("and off it", on(gdb, FIRST, "r6") == on(gdb, FIRST, "r5"), False)
        answers(gdb, "vCont;c")
        check("pc", pc_of(gdb), nowhere + 8)
        gdb.remove(nowhere + 8)
        check("memory", gdb.raw_memory(target.free, 16), before)
        gdb.write_memory(TREE_NEXT, bytes(8))
        relocated(target.free)
        # A translation that was used stays until the guest forgets it; a step
        # of another address shows that all goes on
        gdb.step()
        check("pc", pc_of(gdb), target.free + 4)


def refused_beside_emulated(bench: Bench) -> None:
    """clause 9: of two steps in a packet one is refused; the other's instruction, emulated, is not done"""
    with KvmBench(bench).stopped(2) as (target, gdb):
        nowhere = 0x40000000                    # behind the end of memory
        for at in (target.ticking_msr, target.straight):
            gdb.select(SECOND)
            place(gdb, nowhere)
            gdb.select(FIRST)
            place(gdb, at)
            gdb.write("r4", 1)
            before = gdb.read()
            for _ in range(3):
                refused(gdb, [f"vCont;s:{FIRST};s:{SECOND}"])
                now = gdb.read()
                check("registers that have changed",
                      {name: value for name, value in now.items() if value != before[name]}, {})
            check("a trap is left", TRAP in gdb.raw_memory(0x100, 0xf00) +
                  gdb.raw_memory(target.straight & ~7, 16), False)
            # Neither is still to be stepped
            gdb.select(SECOND)
            place(gdb, target.second)
            gdb.select(FIRST)
            place(gdb, target.spin)
            goes_on(gdb)
        gdb.select(FIRST)
        # By itself, and with the other's
        for action in (f"vCont;s:{FIRST}", f"vCont;s:{FIRST};c:{SECOND}"):
            place(gdb, target.ticking_msr)
            gdb.write("r4", 1)
            check_thread(answers(gdb, action), FIRST)
            check("pc and r4", on(gdb, FIRST, "pc", "r4"),
                  [target.ticking_msr + 4, before["msr"]])
        place(gdb, target.spin)
        goes_on(gdb)


# Stepping off

@on_all
def step_off(bench: Bench) -> None:
    """c and s on one's own Z0, Z1 run that instruction"""
    def single(kvm: common.Bench) -> None:
        with kvm.stopped() as (target, gdb):
            for kind in kvm.KINDS:
                t_stop.continue_off(target, gdb, kind)
            for step in (f"vCont;s:{FIRST}", "s"):
                for point in range(target.spin, target.spin_end, 4):
                    gdb.insert(point)
                t_stop.step_along(target, gdb, step)
                # And c from each to the next; one that was put there meets it first
                place(gdb, target.spin + 4)
                for n in range(1, 8):
                    answers(gdb, "vCont;c")
                    check("c: pc", pc_of(gdb), target.spin + 4 * (n % 3))
                for point in range(target.spin, target.spin_end, 4):
                    gdb.remove(point)
            for n in range(3 if HARDWARE in kvm.KINDS else 0):
                place(gdb, target.spin + 4)
                gdb.insert(target.spin + 4, HARDWARE)
                answers(gdb, f"vCont;s:{FIRST}")
                check("s on a Z1: pc", pc_of(gdb), target.spin + 8)
                gdb.remove(target.spin + 4, HARDWARE)
            goes_on(gdb)

    KvmBench(bench).all_of([single, t_stop.moved_onto])


@on_all
def step_off_two(bench: Bench) -> None:
    """two vCPUs on breakpoints: each gets off its own and stops at its next one"""
    kvm = KvmBench(bench)

    def loops(_: common.Bench) -> None:
        """breakpoints all over both loops: each stop is the next one of that vCPU"""
        with kvm.stopped(2) as (target, gdb):
            begin = {FIRST: target.spin, SECOND: target.second}
            at = {}
            for thread in (FIRST, SECOND):
                gdb.select(thread)
                place(gdb, begin[thread])
                gdb.write("r3", 0)
                at[thread] = 0
            for thread in (FIRST, SECOND):
                answers(gdb, f"vCont;s:{thread}")
                at[thread] = 1
                for n in range(3):
                    gdb.insert(begin[thread] + 4 * n)
            stops: Counter[str] = Counter()
            # Those that they came to by a step, or that were set there since, are met
            told = {FIRST: False, SECOND: False}
            for _ in range(60):
                stop = answers(gdb, "vCont;c")
                which = thread_of(stop)
                stops[which] += 1
                for thread in (FIRST, SECOND):
                    pc, r3 = on(gdb, thread, "pc", "r3")
                    # r3 says how often it was at its first instruction
                    now = (pc - begin[thread]) // 4 + 3 * (r3 - (pc != begin[thread]))
                    if thread == which:
                        # One that came there beside another's stop is told of now
                        if now != at[thread] or told[thread]:
                            check(f"{stop.raw}: where it is", now, at[thread] + 1)
                        told[thread] = True
                    elif now == at[thread] + 1:
                        told[thread] = False
                    elif now != at[thread]:
                        raise AssertionError(f"{stop.raw}: the other one, {thread}, is at "
                                             f"{pc:#x} with r3 {r3}: {now}, after "
                                             f"{at[thread]}")
                    at[thread] = now
            check(f"both get on ({stops})", min(stops.values(), default=0) > 5, True)
            for thread in (FIRST, SECOND):
                for n in range(3):
                    gdb.remove(begin[thread] + 4 * n)
            goes_on(gdb)

    def beside(_: common.Bench) -> None:
        """one is stepped, or steps off, the other one runs"""
        with kvm.stopped(2) as (target, gdb):
            gdb.insert(target.spin)
            before = target.number(gdb, target.second_counter)
            gdb.select(FIRST)
            place(gdb, target.spin + 4)
            gdb.write("r3", 0)
            for n in range(8):
                check_thread(answers(gdb, f"vCont;c:{FIRST};c:{SECOND}"), FIRST)
                check("pc and r3", on(gdb, FIRST, "pc", "r3"), [target.spin, n])
            check_thread(answers(gdb, f"vCont;s:{FIRST};c:{SECOND}"), FIRST)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [target.spin + 4, 8])
            moved = target.number(gdb, target.second_counter) - before
            check(f"the other one counts ({moved})", moved > 100, True)
            gdb.remove(target.spin)
            goes_on(gdb)

    kvm.all_of([beside, loops], 2)


@on_all
def step_off_one_by_two(bench: Bench) -> None:
    """two vCPUs on the same breakpoint: both get off, none misses the next one"""
    kvm = KvmBench(bench)

    def both_on_one(_: common.Bench) -> None:
        with kvm.stopped(2) as (target, gdb):
            first, last = target.straight + 4, target.straight_end
            for kind in kvm.KINDS:
                for n in range(6):
                    gdb.insert(first, kind)
                    gdb.insert(last)
                    for thread in (FIRST, SECOND):
                        gdb.select(thread)
                        place(gdb, target.straight)
                        gdb.write("r5", -1 & (1 << 64) - 1)
                        check_thread(answers(gdb, f"vCont;c:{thread}"), thread)
                        check("pc and r5", on(gdb, thread, "pc", "r5"), [first, 0])
                    seen = set()
                    for _ in range(2):
                        stop = answers(gdb, "vCont;c")
                        which = thread_of(stop)
                        check(f"Z{kind}, {stop.raw}: pc and r5", on(gdb, which, "pc", "r5"),
                              [last, 12])
                        seen.add(which)
                        # Out of the way
                        place(gdb, target.spin if which == FIRST else target.second)
                        pc, r5 = on(gdb, other_than(which), "pc", "r5")
                        if len(seen) == 1:
                            check(f"the other one's r5 at {pc:#x}", r5, (pc - first) // 4)
                    check("both came off it and to the other one", seen, {FIRST, SECOND})
                    gdb.remove(first, kind)
                    gdb.remove(last)
            goes_on(gdb)

    kvm.all_of([both_on_one], 2)


@on_all
def met_together(bench: Bench) -> None:
    """two vCPUs come to a breakpoint at the same time: each of them is reported"""
    kvm = KvmBench(bench)

    def together(_: common.Bench) -> None:
        with kvm.stopped(2) as (target, gdb):
            for n in range(10):
                for thread in (FIRST, SECOND):
                    gdb.select(thread)
                    place(gdb, target.straight)
                gdb.insert(target.straight_end)
                seen = []
                for _ in range(2):
                    gdb.resume("vCont;c")
                    try:
                        stop = gdb.wait(2)
                    except RspTimeout:
                        gdb.interrupt()
                        raise AssertionError(
                            f"round {n}: {seen[0]} was reported at the breakpoint at "
                            f"{target.straight_end:#x}, {other} was at {after:#x} then, and "
                            "has never been reported") from None
                    seen.append(thread_of(stop))
                    check("pc", on(gdb, seen[-1], "pc"), [target.straight_end])
                    other = other_than(seen[-1])
                    after = on(gdb, other, "pc")[0]
                    gdb.select(seen[-1])
                    place(gdb, target.spin if seen[-1] == FIRST else target.second)
                check("who was there", set(seen), {FIRST, SECOND})
                gdb.remove(target.straight_end)
            goes_on(gdb)

    kvm.all_of([together], 2)


@on_all
def put_on_breakpoint(bench: Bench) -> None:
    """a vCPU that was put on a breakpoint meets it, though the other has stepped since"""
    kvm = KvmBench(bench)

    def put_there(_: common.Bench) -> None:
        with kvm.stopped(2) as (target, gdb):
            gdb.insert(target.second + 4)
            gdb.select(SECOND)
            place(gdb, target.second + 4)
            count = on(gdb, SECOND, "r3")[0]
            check_thread(answers(gdb, f"vCont;s:{FIRST}"), FIRST)
            check_thread(answers(gdb, "vCont;c"), SECOND)
            check("pc and r3", on(gdb, SECOND, "pc", "r3"), [target.second + 4, count])
            gdb.remove(target.second + 4)
            goes_on(gdb)

    kvm.all_of([put_there], 2)


# Many breakpoints

def many_breakpoints(bench: Bench) -> None:
    """insert, hit and remove: as many ioctls with 10,000 present as with 10"""
    with KvmBench(bench).stopped(extra=["-trace", "kvm_*ioctl"]) as (target, gdb):
        room = list(range(target.crowd_room, target.crowd_room + 4 * 10000, 4))
        some = list(range(room[-1] + 4, room[-1] + 4 + 4 * 20, 4))
        gdb.start_no_ack()

        def counted(action: Callable[[], None]) -> tuple[Counter[str], float]:
            gdb.monitor("trace-event kvm_*ioctl on")
            before = count_ioctls(target.l2)
            begun = time.monotonic()
            action()
            spent = time.monotonic() - begun
            taken = count_ioctls(target.l2) - before
            gdb.monitor("trace-event kvm_*ioctl off")
            return taken, spent

        def hit() -> None:
            for n in range(5):
                answers(gdb, "vCont;c")
                check("pc", pc_of(gdb), target.spin)

        gdb.insert(target.spin)
        hit()
        gdb.monitor("trace-event kvm_*ioctl off")
        present, costs = 0, {}
        for wanted in (10, 1000, 10000):
            begun = time.monotonic()
            t_memory.many(gdb, "Z", room[present:wanted])
            spent = time.monotonic() - begun
            costs[wanted] = [counted(lambda: t_memory.many(gdb, "Z", some)), counted(hit),
                             counted(lambda: t_memory.many(gdb, "z", some))]
            words = ", ".join(
                f"{what} {count.total() / times:g} ioctls, {seconds / times * 1e3:.2f} ms"
                for what, times, (count, seconds) in zip(
                    ("insert", "hit", "remove"), (20, 5, 20), costs[wanted]))
            bench.notes.append(f"{wanted} breakpoints present: {words} each; the last "
                               f"{wanted - present} of them in {spent:.2f} s")
            present = wanted
        # The oldest and the newest go alone, the rest with the client
        t_memory.many(gdb, "z", room[:100] + room[-100:])
        check("those that are in", TRAP in gdb.raw_memory(room[0], 40080), False)
        gdb.close()
        gdb = target.connect()
        check("all are out", TRAP in gdb.raw_memory(room[0], 40080), False)
        for wanted in (1000, 10000):
            for what, now, then in zip(("insert", "hit", "remove"), costs[wanted], costs[10]):
                # How often a vCPU is kicked out of it depends on time
                counts = [{kind: n for kind, n in c.items() if kind != KVM_RUN}
                          for c in (now[0], then[0])]
                check(f"{what} with {wanted} present: ioctls", *counts)


# Stops, registers, step state, protocol

def stop_words(bench: Bench) -> None:
    """swbreak, hwbreak; expedited registers are those of p and g"""
    kvm = KvmBench(bench)

    def expedited(_: common.Bench) -> None:
        with kvm.stopped(2) as (target, gdb):
            places = {FIRST: target.spin, SECOND: target.second}
            for thread, value in ((FIRST, 0x123456789abcdef0), (SECOND, 0xfedcba987654321)):
                gdb.select(thread)
                gdb.write("r1", value)
            for thread, at in places.items():
                t_stop.check_expedited(gdb, answers(gdb, f"vCont;s:{thread}"))
                for kind, word in ((SOFTWARE, "swbreak"), (HARDWARE, "hwbreak")):
                    gdb.insert(at, kind)
                    for _ in range(3):
                        stop = answers(gdb, "vCont;c")
                        check_thread(stop, thread)
                        check(stop.raw, t_stop.reasons(stop), [word])
                        t_stop.check_expedited(gdb, stop)
                        check("pc", on(gdb, thread, "pc"), [at])
                    gdb.remove(at, kind)
                stop = goes_on(gdb)
                check(stop.raw, t_stop.reasons(stop), [])
                t_stop.check_expedited(gdb, stop)
            gdb.select(FIRST)
            place(gdb, target.straight)
            stop = ranged(gdb, target.straight, target.straight_end)
            check(stop.raw, t_stop.reasons(stop), [])
            t_stop.check_expedited(gdb, stop)
            gdb.write("r1", 0x1122334455667788)
            t_stop.check_expedited(gdb, answers(gdb, f"vCont;s:{FIRST}"))

    kvm.all_of([expedited], 2)
    kvm.all_of([t_stop.offered, t_stop.breakpoint_words])


def registers_everywhere(bench: Bench) -> None:
    """p and P on every vCPU after any stop: as g, and none is lost"""
    with KvmBench(bench).stopped(2) as (target, gdb):
        places = {FIRST: target.spin, SECOND: target.second}
        inside = [reg for reg in gdb.registers if reg.offset is not None]
        numbers = [reg.number for reg in inside]

        def alike(what: str) -> None:
            # p before g, and the other way round
            for threads in ((FIRST, SECOND), (SECOND, FIRST)):
                for thread in threads:
                    gdb.select(thread)
                    if threads[0] == FIRST:
                        single, g = gdb.read_raw(numbers), gdb.read_g()
                    else:
                        g, single = gdb.read_g(), gdb.read_raw(numbers)
                    for reg, value in zip(inside, single):
                        assert reg.offset is not None
                        check(f"{what}, {thread}: p of {reg.name}", value.hex(),
                              g[reg.offset:reg.offset + reg.size].hex())

        def stops() -> Iterator[tuple[str, Callable[[], object]]]:
            for thread, at in places.items():
                yield f"step of {thread}", lambda: answers(gdb, f"vCont;s:{thread}")
                yield (f"step of {thread} beside the other",
                       lambda: answers(gdb, f"vCont;s:{thread};c"))
                yield f"breakpoint of {thread}", lambda: gdb.run_to(at)
            yield "^C", lambda: goes_on(gdb)
            yield "range", lambda: answers(
                gdb, f"vCont;r{target.spin:x},{target.spin + 8:x}:{FIRST}")

        for n, (what, stop) in enumerate(stops()):
            stop()
            alike(what)
            # P by itself, first to the one that is not reported
            values = {}
            for thread in (SECOND, FIRST) if n % 2 else (FIRST, SECOND):
                values[thread] = {name: n << 40 | k << 8 | int(thread[-1]) for k, name in
                                  enumerate(("r20", "r7", "ctr", "srr0", "sprg1"), 1)}
                gdb.select(thread)
                for name, value in values[thread].items():
                    raw = value.to_bytes(gdb.by_name[name].size, "big")
                    gdb._ok(f"P{gdb.by_name[name].number:x}={raw.hex()}")
            for thread in places:
                gdb.select(thread)
                check(f"{what}: written", gdb.read(values[thread]), values[thread])
            alike(f"{what} and P")
            answers(gdb, f"vCont;s:{FIRST};c:{SECOND}")
            for thread in places:
                gdb.select(thread)
                check(f"{what}: {thread} has run with it", gdb.read(values[thread]),
                      values[thread])


def registers_by_name(bench: Bench) -> None:
    """numbers and sizes are those described: floating-point, VMX, VSX; the guest has them"""
    KvmBench(bench).all_of([t_state.described, t_state.by_name])


def no_stale_step(bench: Bench) -> None:
    """nothing of a step stays after any stop; what is not resumed waits, over a dump, too"""
    kvm = KvmBench(bench)
    kvm.all_of([t_state.stale_step, t_state.stale_other_stop, t_state.stale_two_steps,
                t_state.stale_plain, t_state.stale_detach, t_state.disconnect_stopped,
                t_state.held_over_dump], 2)
    t_state.disconnect_stepping(kvm)


def powered_off(bench: Bench) -> None:
    """steps and ranges of a vCPU that was not started answer at once; it can be started"""
    kvm = KvmBench(bench)
    with kvm.guest(cpus=2) as target:
        gdb = target.connect()
        for begun in (False, True):
            if begun:
                gdb.select(FIRST)
                check_thread(gdb.run_to(target.ready), FIRST)
            here, there = on(gdb, FIRST, "pc"), on(gdb, SECOND, "pc")
            for action in (f"s:{SECOND}", f"r0,ffffffff:{SECOND}"):
                stop = answers(gdb, f"vCont;{action}", timeout=2)
                check_thread(stop, SECOND)
                check("pc", on(gdb, SECOND, "pc"), there)
                check("pc of the other", on(gdb, FIRST, "pc"), here)
        for action in (f"s:{SECOND};c:{FIRST}", f"s:{SECOND};c",
                       f"r{target.spin:x},{target.spin_end:x}:{SECOND};c:{FIRST}"):
            check_thread(answers(gdb, f"vCont;{action}", timeout=2), SECOND)
            check("pc", on(gdb, SECOND, "pc"), there)
        for _ in range(3):
            answers(gdb, "vCont;s", timeout=2)
        gdb._ok(f"Hc{SECOND}")
        answers(gdb, "s", timeout=2)
        target.bring_up_second(gdb)
        t_state.both_run(target, gdb)


def no_acks(bench: Bench) -> None:
    """QStartNoAckMode, and acks without it"""
    KvmBench(bench).all_of([t_protocol.acks, t_protocol.no_ack_mode, t_protocol.no_ack_raw,
                            t_protocol.no_ack_ends])
