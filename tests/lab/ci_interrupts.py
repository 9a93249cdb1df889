# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts and steps: what is held back, what is lost, what is doubled.

The guest is payload/irq.S, which counts what it sends itself and what it takes.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import TRAP, Bench, check, pc_of
from build import Image
from lablib import L2_MACHINE, Lab, l2_program
from rsp import Gdb

HERE = Path(__file__).resolve().parent

EE, PR, SE, IR, DR = 1 << 15, 1 << 14, 1 << 10, 1 << 5, 1 << 4
DEC, DOORBELL, EXTERNAL = 1, 2, 4
# LoPAR: external, decrementer, doorbell
ASYNCHRONOUS = (0x500, 0x900, 0xa00)
# The Power ISA, 7.4.3: bits 33:36 and 42:47 of SRR1 tell about the interrupt;
# an asynchronous one sets them to 0
SRR1_INFO = 0x783f0000
XICS, XIVE = "ic-mode=xics", "ic-mode=xive"
XICS_IN_QEMU = "ic-mode=xics,kernel-irqchip=off"
AT_ONCE = 10_000                # rounds of the loop, of 5 instructions: one or none was seen
FAST, SLOW = 0x20000, 0x10000000        # 256 us and half a second, at 512 MHz

COUNTERS = ("ticks", "periods", "early", "doubled", "doorbells_sent", "doorbells_taken",
            "externals_sent", "externals_taken", "spurious", "unexpected_count",
            "unexpected_vector", "unexpected_srr0", "rounds", "flags", "start",
            "deadline", "earliest", "setup")


@dataclass(frozen=True)
class State:
    """Where the guest waits for its interrupts."""

    name: str
    msr: int
    ail: int = 0

    @property
    def vectors(self) -> int:
        relocated = self.msr & IR and self.msr & DR
        return 0xc000000000004000 if self.ail == 3 and relocated else 0


PRIVILEGED = State("privileged", EE)
RELOCATED = State("privileged, AIL 3", EE | IR | DR, 3)
PROBLEM = State("problem state", EE | PR | IR | DR)
PROBLEM_AIL = State("problem state, AIL 3", EE | PR | IR | DR, 3)


# KVM HV adds the guest's offset to the time base by its upper 40 bits.  If the lower 24
# have carried since it read the time base, it takes their old value for the present one,
# and sets a decrementer that is up to so many ticks too small (kvmhv_vcpu_entry_p9() of
# Linux 7.2): the less often, the faster the host.
CARRY = 1 << 24
# Of the host's two processors the only one that runs such a guest
HOST_CPU = 1


class HostClock:
    """What the emulated processor HOST_CPU has lost of its time base: see
    host/timebase.c.  The other one runs no guest, and has lost nothing."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.program = lab.push(l2_program(HERE / "host" / "timebase.c", lab.cache),
                                executable=True)
        self.begun = self.apart()

    def apart(self) -> int:
        """How far ahead it is, in units of 2^24 ticks."""
        assert self.lab.shell is not None
        return int(self.lab.shell.check(self.program))

    def lost(self) -> int:
        """How often it has lost 2^24 ticks."""
        return self.begun - self.apart()


class Guest:
    """irq.S, stopped at its `begin` and configured."""

    def __init__(self, gdb: Gdb, image: Image, state: State, period: int,
                 wanted: int, xive: bool, clock: HostClock) -> None:
        self.gdb = gdb
        self.presenter = "KVM"          # of external interrupts
        self.spurious = 0               # how many there may be
        self.clock = clock
        self.period = period
        self.finished = self.hurried = 0        # rounds, and those with an early tick
        self.at = image.symbols
        self.state = state
        self.wanted = wanted
        if pc_of(gdb) != self.at["begin"]:
            gdb.run_to(self.at["begin"])
        gdb.write_memory(self.at["config"], struct.pack(
            ">5Q", period, state.msr, wanted, state.ail, xive))
        self.msr = gdb.read(["msr"])["msr"] | state.msr
        check("the process table is in use", self.counters()["setup"], 0)

    def counters(self) -> dict[str, int]:
        data = self.gdb.read_memory(self.at["counters"], 8 * len(COUNTERS))
        return dict(zip(COUNTERS, struct.unpack(f">{len(COUNTERS)}q", data)))

    def check_counts(self, where: str, taken: bool = True) -> dict[str, int]:
        """None doubled; and with `taken`, none lost."""
        now = self.counters()
        check(f"{where}: spurious ({now})", now["spurious"] <= self.spurious, True)
        check(f"{where}: unexpected ({now})", now["unexpected_count"], 0)
        self.check_early(where, now)
        if taken:
            check(f"{where}: doorbells", now["doorbells_taken"], now["doorbells_sent"])
            check(f"{where}: externals", now["externals_taken"], now["externals_sent"])
        return now

    def check_early(self, where: str, now: dict[str, int]) -> None:
        """The host's KVM lets a decrementer run out early by less than CARRY, now and
        then.  What is doubled comes while it has not run out, or by a whole period
        early; or, if something makes it run out, in each round."""
        check(f"{where}: doubled ({now})", now["doubled"], 0)
        if not now["early"]:
            return
        if self.period > 2 * CARRY:
            # KVM's error and a loss of the host's that it makes good before we look may
            # come together: seen once, early by 29,260,281 with nothing lost
            most = CARRY * (2 + self.clock.lost())
            check(f"{where}: early by {-now['earliest']}, less than {most} ({now})",
                  -now["earliest"] < most < self.period, True)
        else:
            check(f"{where}: early ({now})", now["early"] <= 1 + now["ticks"] // 20, True)
            check(f"{where}: early in {self.hurried} of {self.finished} rounds",
                  self.hurried <= 1 + self.finished // 4, True)

    def finish_handler(self, scv: int | None = None) -> None:
        """From within a handler to where its rfid goes; scv: where the one of scv,
        which has its own rfscv, begins."""
        at, gdb = self.at, self.gdb
        place = (self.state.vectors + 0x100 + at["return"] - at["low_begin"]
                 if scv is None else scv + at["scv_return"] - at["scv_begin"])
        gdb.run_to(place)
        check("the handler's return", gdb.read(["pc"])["pc"], place)
        gdb.step()

    def finish_round(self, what: str) -> dict[str, int]:
        """Let the guest take all that is pending."""
        before = self.counters()["early"]
        self.gdb.insert(self.at["leave"])
        self.gdb.cont(10)
        self.gdb.remove(self.at["leave"])
        check(f"{what}: stop after continue", self.gdb.read(["pc"])["pc"], self.at["leave"])
        self.finished += 1
        self.hurried += self.counters()["early"] > before
        now = self.check_counts(what)
        check(f"{what}: flags", now["flags"], self.wanted)
        return now


@contextlib.contextmanager
def irq_guest(bench: Bench, state: State, period: int, wanted: int,
              qemu: Path | None = None, machine: str = XICS) -> Iterator[Guest]:
    changes: dict[str, object] = {"machine": f"{L2_MACHINE},{machine}", "host_cpu": HOST_CPU}
    if qemu is not None:
        changes["qemu"] = qemu
    clock = HostClock(bench.lab)
    with bench.guest("irq", **changes) as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        irq = Guest(gdb, Image.load(bench.payloads["irq"]), state, period, wanted,
                    machine == XIVE, clock)
        # As for XIVE on a host with pages of 4 KiB: its own are of 64 KiB
        if "off" in machine or "kernel-irqchip=off" in guest.log.read_text(errors="replace"):
            irq.presenter = "QEMU"
        yield irq


def at_full_speed(guest: Guest, what: str, seconds: float = 1.0,
                  rounds: int = 10) -> dict[str, int]:
    """Rounds without a step: the guest itself counts right."""
    before = guest.counters()["rounds"]
    guest.gdb.resume("vCont;c")
    time.sleep(seconds)
    guest.gdb.interrupt()
    guest.check_counts(what, taken=False)
    now = guest.finish_round(what)
    check(f"{what}: {rounds} rounds", now["rounds"] >= before + rounds, True)
    return now


def enter_round(guest: Guest) -> None:
    """From wherever it is to `loop`, with everything sent: the last steps are
    steps, so that no interrupt gets in between."""
    gdb, at = guest.gdb, guest.at
    gdb.run_to(at["enter"])
    pc = at["enter"]
    while pc != at["loop"]:
        if not at["enter"] <= pc < at["loop"]:
            raise AssertionError(f"{pc:#x}, should be between enter and loop")
        gdb.step()
        after = gdb.read(["pc"])["pc"]
        check(f"a step back from {pc:#x}", after > pc, True)
        pc = after


def held_back(bench: Bench, state: State, machine: str = XICS,
              quick: int = 500) -> None:
    """Step the loop with everything pending; then let it be delivered."""
    wanted = DEC | DOORBELL | EXTERNAL
    steps, each = (10_000, 100) if bench.options.full else (quick, 50)
    what_irq = f"{state.name}, {machine.partition(',')[0]}"
    with irq_guest(bench, state, FAST, wanted, machine=machine) as guest:
        gdb, at = guest.gdb, guest.at
        at_full_speed(guest, "at full speed")
        names = ["pc", "msr", "r20", "srr0", "srr1"]
        begun = time.monotonic()
        most = 0
        for number in range(steps // each):
            enter_round(guest)
            counts = guest.counters()
            first = gdb.read(names)
            check("MSR in the loop", first["msr"], guest.msr)
            for n in range(1, each + 1):
                gdb.step()
                now = gdb.read(names)
                what = f"{what_irq}, round {number}, step {n}"
                check(f"{what}: pc", now["pc"], at["loop"] + 4 * (n % 5))
                check(f"{what}: r20", now["r20"], first["r20"] + (n + 4) // 5)
                for name in ("msr", "srr0", "srr1"):
                    check(f"{what}: {name}", now[name], first[name])
            check(f"{what_irq}, round {number}: counters after the steps",
                  guest.counters(), counts)
            if machine == XICS and state.msr & PR:
                # KVM's way of setting the ICP raises a pending IPI once more, and
                # says so (kvmppc_xive_set_icp): there is nothing in XIRR then
                guest.spurious += 1
            what = f"{what_irq}, round {number}"
            after = guest.finish_round(what)
            for name in ("doorbells_taken", "externals_taken"):
                check(f"{what}: {name}", after[name], counts[name] + 1)
            # All was due before it ran on: it has not waited in the loop
            spun = gdb.read(["r20"])["r20"] - first["r20"] - (each + 4) // 5
            check(f"{what}: {spun} times round the loop, less than {AT_ONCE}",
                  spun < AT_ONCE, True)
            most = max(most, spun)
            # And nothing comes again: a step with all taken, and the end of the loop once more
            gdb.step()
            gdb.write("pc", at["loop"])
            gdb.run_to(at["leave"])
            guest.check_counts(f"{what}, behind one more step")
        spent = (time.monotonic() - begun) / steps
        last = at_full_speed(guest, "at full speed, after the steps")
        check("a trap is left", TRAP in gdb.raw_memory(0x100, 0xf00), False)
        bench.notes.append(
            f"{what_irq} in {guest.presenter}: {steps} steps with all pending, "
            f"{spent * 1000:.1f} ms each; "
            f"{last['ticks']} ticks, {last['doorbells_taken']} doorbells, "
            f"{last['externals_taken']} externals, none lost or doubled"
            + f", {last['spurious']} spurious" * bool(last["spurious"])
            + f"; up to {most} times round the loop before all were taken")


def held_back_privileged(bench: Bench) -> None:
    """clause 3: decrementer, doorbell, external are held back and come after: privileged"""
    held_back(bench, PRIVILEGED)


def held_back_relocated(bench: Bench) -> None:
    """clause 3: the same, privileged with translation and AIL 3"""
    held_back(bench, RELOCATED)


def held_back_problem_state(bench: Bench) -> None:
    """clause 3: the same in problem state"""
    held_back(bench, PROBLEM)


def held_back_problem_state_ail(bench: Bench) -> None:
    """clause 3: the same in problem state, AIL 3"""
    held_back(bench, PROBLEM_AIL)


def held_back_xive(bench: Bench) -> None:
    """clause 3: the same, external interrupts by XIVE (in KVM if the host has 64 KiB pages)"""
    held_back(bench, PRIVILEGED, XIVE, 100)
    held_back(bench, PROBLEM, XIVE)


def held_back_presented_by_qemu(bench: Bench) -> None:
    """clause 3: the same, external interrupts from QEMU's own XICS"""
    held_back(bench, PRIVILEGED, XICS_IN_QEMU, 100)
    held_back(bench, PROBLEM, XICS_IN_QEMU)


def let_through(bench: Bench, state: State) -> None:
    """NOIRQ off: whole rounds by steps, handlers and all."""
    wanted = DEC | DOORBELL | EXTERNAL
    rounds = 20 if bench.options.full else 4
    with irq_guest(bench, state, SLOW, wanted) as guest:
        gdb, at = guest.gdb, guest.at
        vectors = {state.vectors + v for v in ASYNCHRONOUS}
        taken: dict[int, int] = dict.fromkeys(vectors, 0)
        steps = 0
        for number in range(rounds):
            enter_round(guest)
            check("Qqemu.sstep=1", gdb.text("Qqemu.sstep=1"), "OK")
            pc = at["loop"]
            limit = time.monotonic() + 60
            while pc != at["leave"]:
                what = f"{state.name}, round {number}, step at {pc:#x}"
                if time.monotonic() > limit:
                    raise AssertionError(f"{what}: the round does not end: "
                                         f"{guest.counters()}")
                check(f"{what}: in the loop", at["loop"] <= pc < at["leave"], True)
                gdb.step()
                steps += 1
                now = gdb.read(["pc", "msr", "srr0", "srr1"])
                check(f"{what}: SE", (now["msr"] | now["srr1"]) & SE, 0)
                after = {pc + 4, at["loop"]} if pc == at["leave"] - 4 else {pc + 4}
                if now["pc"] not in vectors:
                    check(f"{what}: goes on", now["pc"] in after, True)
                    pc = now["pc"]
                    continue
                taken[now["pc"]] += 1
                if bench.options.machine == "powernv10":
                    # Unpatched, too, a stop there now and then lets a POWER10 that
                    # TCG plays present the interrupt once more: nothing in XIRR
                    guest.spurious += 1
                check(f"{what}: SRR0", now["srr0"] in {pc} | after, True)
                check(f"{what}: SRR1", now["srr1"], guest.msr & ~SRR1_INFO)
                check(f"{what}: MSR[EE]", now["msr"] & EE, 0)
                for n in range(1, 4):
                    gdb.step()
                    if n < 3:
                        check(f"{what}: handler", gdb.read(["pc"])["pc"], now["pc"] + 4 * n)
                guest.finish_handler()
                pc = gdb.read(["pc"])["pc"]
                check(f"{what}: back", pc, now["srr0"])
            now = guest.check_counts(f"{state.name}, round {number}")
            check("flags", now["flags"], wanted)
            check("Qqemu.sstep=3", gdb.text("Qqemu.sstep=3"), "OK")
        check("doorbells, externals taken by steps",
              [taken[state.vectors + v] for v in (0xa00, 0x500)], [rounds, rounds])
        check("decrementer taken by steps", taken[state.vectors + 0x900] >= rounds, True)
        at_full_speed(guest, "at full speed, after the steps", 4, 2)
        bench.notes.append(f"{state.name}: NOIRQ off: {steps} steps, {rounds} rounds, "
                           f"stops at vectors: {sum(taken.values())}")


def let_through_privileged(bench: Bench) -> None:
    """clauses 1, 2, 3: with NOIRQ off a step may end at an interrupt: privileged"""
    let_through(bench, PRIVILEGED)


def let_through_problem_state(bench: Bench) -> None:
    """clauses 1, 2, 3: the same in problem state, AIL 3"""
    let_through(bench, PROBLEM_AIL)


# What the Power ISA says `faults` raises, in its order (7.5)
EVERYWHERE = [0xc00] + [0x700] * 5 + [0x800] * 2 + [0xf20] * 2 + [0xf40]


def expected_vectors(state: State) -> list[int]:
    # FSCR speaks of problem state only (7.2.5)
    return (EVERYWHERE + ([0xf60] * 2 if state.msr & PR else []) + [0x600, 0x17000] +
            ([0x300] * 6 if state.msr & DR else []) +
            ([0x400] * 2 if state.msr & IR else []) +
            ([0x700] * 8 if state.msr & PR else []))


def read_log(guest: Guest) -> list[tuple[int, ...]]:
    """(vector, SRR0, SRR1, DAR, DSISR) of each interrupt, as its handler saw them."""
    log, end = guest.at["log"], guest.at["log_end"]
    last, = struct.unpack(">Q", guest.gdb.read_memory(
        guest.at["counters"] + 8 * len(COUNTERS), 8))
    check("the log", log <= last <= end, True)
    data = guest.gdb.read_memory(log, last - log)
    return list(struct.iter_unpack(">5Q", data))


def logged_at_full_speed(bench: Bench, state: State) -> list[tuple[int, ...]]:
    """By the unpatched QEMU, with one breakpoint behind it all and no step."""
    with irq_guest(bench, state, SLOW, 0, qemu=bench.unpatched) as guest:
        start_faults(guest)
        guest.gdb.run_to(guest.at["faults_done"])
        return read_log(guest)


def start_faults(guest: Guest) -> None:
    """Through `begin`, so that AIL is what config says."""
    guest.gdb.run_to(guest.at["enter"])
    guest.gdb.write("pc", guest.at["faults"])


def synchronous(bench: Bench, state: State) -> None:
    want = logged_at_full_speed(bench, state)
    check(f"{state.name}: vectors at full speed", [entry[0] for entry in want],
          expected_vectors(state))
    with irq_guest(bench, state, SLOW, 0) as guest:
        gdb, at = guest.gdb, guest.at
        start_faults(guest)
        vector_of = {state.vectors + v: v for v in
                     (0x300, 0x380, 0x400, 0x480, 0x600, 0x700, 0x800, 0xc00,
                      0xf20, 0xf40, 0xf60, *ASYNCHRONOUS)}
        vector_of[0xc000000000003000 if state.vectors else 0x17000] = 0x17000
        names = ["pc", "msr", "srr0", "srr1", "dar", "dsisr"]
        pc, seen = at["faults"], 0
        for _ in range(4000):
            gdb.step()
            now = gdb.read(names)
            what = f"{state.name}: {pc:#x} -> {now['pc']:#x}"
            check(f"{what}: SE", (now["msr"] | now["srr1"]) & SE, 0)
            pc = now["pc"]
            if pc == at["faults_done"]:
                break
            if pc not in vector_of or seen == len(want):
                continue        # the last sc is the way back and not logged
            vector, srr0, srr1, dar, dsisr = want[seen]
            check(f"{what}: vector", vector_of[pc], vector)
            if vector == 0x17000:
                now |= gdb.read(["lr", "ctr"])
                check(f"{what}: LR", now["lr"], srr0)
                check(f"{what}: CTR", now["ctr"], srr1)
            else:
                check(f"{what}: SRR0", now["srr0"], srr0)
                check(f"{what}: SRR1", now["srr1"], srr1)
                check(f"{what}: DAR", now["dar"], dar)
                check(f"{what}: DSISR", now["dsisr"], dsisr)
            seen += 1
            guest.finish_handler(pc if vector == 0x17000 else None)
            pc = gdb.read(["pc"])["pc"]
        check(f"{state.name}: the end", pc, at["faults_done"])
        check(f"{state.name}: the guest's log", read_log(guest), want)
        bench.notes.append(f"{state.name}: {seen} synchronous interrupts as at full speed")


def synchronous_privileged(bench: Bench) -> None:
    """clauses 1, 2: SRR0, SRR1, DAR, DSISR as unpatched at full speed: privileged"""
    synchronous(bench, PRIVILEGED)
    synchronous(bench, RELOCATED)


def synchronous_problem_state(bench: Bench) -> None:
    """clauses 1, 2: the same in problem state, AIL 0 and 3"""
    synchronous(bench, PROBLEM)
    synchronous(bench, PROBLEM_AIL)
