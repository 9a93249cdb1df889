# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux guests under a stepping debugger."""

from __future__ import annotations

import contextlib
import functools
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import Bench, check, on_arm64, on_loong64, on_power
from lablib import L2, L2Config, l2_program
from linuxguest import BE, SE
from rsp import Gdb, RspError
from soak import (Console, Session, Soak, Trouble, check_hashes, linux_of, load_run,
                  own_debugger, thread_number)

HERE = Path(__file__).resolve().parent
VECTORS = 0xc000000000004000    # AIL=3

shared: dict[str, tuple[L2, Console]] = {}


@contextlib.contextmanager
def linux(bench: Bench, cpus: int, run: tuple[str, ...]) -> Iterator[tuple[L2, Console]]:
    """A Linux guest that has come up; the next test of the same kind gets the
    same one, unless this one fails."""
    kind = f"{cpus} {run}"
    guest, console = shared.pop(kind, (None, None))
    if guest is None or console is None or bench.lab.guests.get(0) is not guest:
        guest = bench.lab.start_l2(L2Config(qemu=bench.options.qemu, cpus=cpus, stopped=False,
                                            run=linux_of(bench.lab).init + run))
        guest.wait_console(r"tick 2\b", 150)
        console = Console(guest.console)
        names = sum(line.count("/bin/") - line.count("busybox") for line in run)
        console.wait("all programs", lambda: len(console.counters) > names, 90)
    try:
        yield guest, console
        console.progress()
    except BaseException:
        guest.stop()
        raise
    shared[kind] = guest, console


def busy(bench: Bench, cpus: int = 2) -> contextlib.AbstractContextManager[tuple[L2, Console]]:
    """With the load, and a debugger and probes of its own."""
    return linux(bench, cpus, load_run(cpus) + own_debugger(bench.lab))


@contextlib.contextmanager
def debugged(guest: L2, console: Console) -> Iterator[Session]:
    """A debugger attached to a guest that was running, and detached again."""
    session = Session(guest, console)
    try:
        yield session
        console.poll()
    except Trouble:
        console.aftermath(session.gdb)
        raise
    session.detach()


def random_steps(session: Session, seconds: float, seed: int) -> None:
    """Runs of steps at random moments, of all vCPUs by turns, others running or not."""
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        session.run_for(chance.uniform(0, 0.3))
        thread = chance.choice(sorted(session.threads))
        others = chance.random() < 0.5
        for _ in range(chance.choice((1, 10, 50))):
            session.step(thread, others)
        session.console.poll()


def debugs_itself(bench: Bench, cpus: int, seconds: float) -> None:
    arch = linux_of(bench.lab)
    run = own_debugger(bench.lab, arch.debugger_on if cpus > 1 else None)
    with linux(bench, cpus, run) as (guest, console):
        console.progress(by=2)                  # without gdb
        alone = check_hashes(console, arch)
        with debugged(guest, console) as session:
            random_steps(session, seconds, 1)
        console.progress(by=2)
        rounds = check_hashes(console, arch)
        bench.notes.append(
            f"{cpus} vCPU: {session.counts['steps']} steps over {rounds - alone} rounds of "
            f"ptrace and {console.counters['probes round']} of probes, all as without gdb "
            f"but {len(console.values(arch.disturbed))} rounds; {dict(session.counts)}")
        if rounds < alone + 3 or session.counts["steps"] < 50:
            raise AssertionError(f"only {rounds - alone} rounds, {session.counts} steps")


def guest_debugs_itself(bench: Bench) -> None:
    """clause 5: ptrace, kprobes and uprobes in a guest with 1 vCPU under random steps"""
    debugs_itself(bench, 1, 300 if bench.options.full else 15)


def guest_debugs_itself_smp(bench: Bench) -> None:
    """clause 5: the same with 2 vCPUs"""
    debugs_itself(bench, 2, 300 if bench.options.full else 15)


@on_arm64
def traced_elsewhere(bench: Bench) -> None:
    """clause 5: the guest's own steps and points while gdb stops it and steps another vCPU"""
    arch = linux_of(bench.lab)
    pattern = r"ptrace round .*(lost \d+ again \d+ missed \d+)"
    with linux(bench, 2, own_debugger(bench.lab, arch.debugger_on)) as (guest, console), \
            debugged(guest, console) as session:
        assert arch.debugger_on == 1
        never = session.symbol("panic")

        def meanwhile(action: Callable[[], None], rounds: int = 4) -> set[str]:
            """What three whole rounds have lost."""
            first = len(console.values(pattern))
            end = time.monotonic() + 60
            while len(console.values(pattern)) < first + rounds:
                action()
                console.poll()
                if time.monotonic() > end:
                    raise AssertionError(f"no {rounds} rounds in 60 s")
            return set(console.values(pattern)[first + 1:])

        def steps() -> None:
            for turn in range(6):
                session.step(1, others=turn % 2 == 0)
            session.run_for(0.2)

        def point(kind: int) -> None:
            session.gdb.insert(never, kind)
            session.run_for(0.5)
            session.gdb.remove(never, kind)

        nothing = {"lost 0 again 0 missed 0"}
        check("after stops", meanwhile(lambda: session.run_for(0.2)), nothing)
        check("after steps of the other vCPU", meanwhile(steps), nothing)
        # KVM's doing, and no more than that: the table of docs/devel/guest-debug.rst.
        # Of the guest's three hardware points the step off the first runs past the others
        takes_points = bench.lab.kernel.version >= (6, 14)
        for kind, what in enumerate(("breakpoint", "hardware breakpoint", "watchpoint")):
            lost = meanwhile(functools.partial(point, kind))
            bench.notes.append(f"the guest's own debugger, with a {what} set: {sorted(lost)}")
            missed = 3 if kind or takes_points else 2
            wrong = [said for said in lost if not re.fullmatch(
                rf"lost [1-9]\d* again 0 missed {missed}", said)]
            check(f"a {what}: its steps run on, {missed} of its points are missed", wrong, [])
        check("after points", meanwhile(lambda: session.run_for(0.2)), nothing)


# Where the traced process of linux/ptrace.c is stepped, the interrupt which its own
# tracer then gets, and SRR0, by what that has set.  BE is for branches only.
TRACED = {
    "traced_mid": ((SE, 0xd00, 4), (BE, None, 4)),
    "traced_branch": ((SE, 0xd00, 8), (BE, 0xd00, 8)),
    "traced_sc": ((SE, 0xc00, 4), (BE, 0xc00, 4)),
    "traced_trap": ((SE, 0x700, 0), (BE, 0x700, 0)),
    "traced_reserve": ((SE, 0xd00, 4),),
}


def into_traced(session: Session, kernel: int, places: dict[str, int], name: str) -> int:
    """Run to a place in the traced process; the vCPU that is there."""
    gdb = session.gdb
    gdb.insert(kernel)
    for _ in range(2000):
        gdb.resume("vCont;c")
        stop = session.wait()
        thread = session.hit(kernel, stop)
        # pt_regs begins with 32 GPRs, NIP and MSR
        frame = gdb.read_memory(session.regs(thread, "r3")["r3"] + 32 * 8, 16)
        nip, msr = (int.from_bytes(frame[at:at + 8], "little") for at in (0, 8))
        # With BE only, it does not go to `traced_reserve`
        if places["traced"] <= nip < places[name] and (msr & SE or len(TRACED[name]) > 1):
            break
        gdb.remove(kernel)
        session.step(thread, others=False)
        gdb.insert(kernel)
    else:
        raise AssertionError("the traced process does not come by")
    gdb.remove(kernel)
    gdb.insert(places[name])
    try:
        gdb.resume("vCont;c")
        return session.hit(places[name], session.wait())
    finally:
        gdb.remove(places[name])


@on_power
def traced_process(bench: Bench) -> None:
    """clause 5: gdb steps a process that the guest steps: its tracer gets its interrupt"""
    program = l2_program(HERE / "linux" / "ptrace.c", bench.lab.cache)
    out = subprocess.run(["powerpc64le-linux-gnu-nm", program], capture_output=True,
                         text=True, check=True).stdout
    places = {name: int(address, 16) for address, _, name in
              (line.split() for line in out.splitlines() if "traced" in line)}
    seen: dict[tuple[str, int], int] = {}
    with linux(bench, 2, own_debugger(bench.lab)) as (guest, console):
        with debugged(guest, console) as session:
            kernel = session.symbol("single_step_exception")
            for turn in range(40 if bench.options.full else 12):
                session.run_for(0.05)
                name = list(TRACED)[turn % len(TRACED)]
                thread = into_traced(session, kernel, places, name)
                own = session.regs(thread, "msr")["msr"] & (SE | BE)
                wanted = {bits: (trap, offset) for bits, trap, offset in TRACED[name]}
                if own not in wanted:
                    raise AssertionError(f"at {name}: the tracer's MSR bits are {own:#x}")
                trap, offset = wanted[own]
                session.step(thread, others=turn % 2 == 0, check=False)
                after = session.regs(thread, "pc", "srr0", "srr1", "msr")
                next_pc = places[name] + offset
                what = f"{name}, MSR bits {own:#x}"
                if trap is None:
                    check(f"pc after {what}", after["pc"], next_pc)
                    check(f"MSR bits after {what}", after["msr"] & (SE | BE), own)
                else:
                    check(f"pc after {what}", after["pc"], VECTORS + trap)
                    check(f"SRR0 after {what}", after["srr0"], next_pc)
                    check(f"bits in SRR1 after {what}", after["srr1"] & (SE | BE), own)
                    check(f"bits in MSR after {what}", after["msr"] & (SE | BE), 0)
                seen[name, own] = seen.get((name, own), 0) + 1
        console.progress(by=2)
        check_hashes(console, linux_of(bench.lab))
    bench.notes.append("traced process stepped: " + ", ".join(
        f"{name} with {'SE' if own == SE else 'BE'} {n}" for (name, own), n in seen.items()))


def scheduler_locking(bench: Bench) -> None:
    """clause 4: locking on: the other stays as it is; off: it runs; step: by turns"""
    names = linux_of(bench.lab).still
    with busy(bench) as (guest, console), debugged(guest, console) as session:
        for thread in session.threads:
            other = next(t for t in session.threads if t != thread)
            session.run_for(0.2)
            before = session.regs(other, *names)
            for _ in range(30):
                session.step(thread, others=False)
            check(f"vCPU {other} with locking on", session.regs(other, *names), before)
            # Now and then the other one waits for a lock that the stepped one
            # holds, and then stands in H_CONFER at each stop: another moment.
            for _ in range(5):
                places = {session.pc(other)}
                for _ in range(30):
                    session.step(thread, others=True)
                    places.add(session.pc(other))
                if len(places) >= 3:
                    break
                session.run_for(0.05)
            else:
                raise AssertionError(f"vCPU {other} did not run: {sorted(places)}")
            for turn in range(30):              # as "set scheduler-locking step" has it
                if turn % 5 == 4:
                    session.run_for(0.01)
                session.step(thread, others=False)
        bench.notes.append(f"scheduler-locking: {dict(session.counts)}")


def two_at_once(bench: Bench) -> None:
    """clause 4: two vCPUs by one packet: one stop, neither goes further than one step"""
    both = 0
    with busy(bench) as (guest, console), debugged(guest, console) as session:
        for turn in range(60):
            if turn % 6 == 0:
                session.run_for(0.05)
            both += session.step_two(*session.threads)
            with contextlib.suppress(RspError):
                late = session.gdb.link.receive(0.05)
                raise AssertionError(f"a second stop reply: {late!r}")
        bench.notes.append(f"two at once: in {both} of 60 both had got on")
        # 32 to 50 were seen.  The first of the two has moved in any case
        check(f"both have got on in many of 60 ({both})", both >= 10, True)


def breakpoint_while_other_steps(bench: Bench) -> None:
    """clause 4: a breakpoint that one vCPU hits while the other steps"""
    hits = steps = moved = 0
    with busy(bench) as (guest, console), debugged(guest, console) as session:
        arch = session.arch
        place = session.symbol(arch.getppid)
        end = time.monotonic() + (1200 if bench.options.full else 40)
        for turn in range(2000 if bench.options.full else 120):
            if time.monotonic() > end and steps > 10 and hits > 2:
                break
            thread = 1 + turn % 2
            if turn % 10 < 2:
                session.run_for(0.02)
            # Whoever stands on it would be stepped over it first
            for on in session.threads:
                if session.pc(on) == place:
                    session.step(on, others=False)
            session.gdb.insert(place)
            before = session.regs(thread, *arch.names)
            word = session.word(before)
            if place in session.pcs().values() or word is None:
                session.gdb.remove(place)
                session.run_for(0.001)
                continue
            session.gdb.resume(f"vCont;s:{session.threads[thread]};c")
            stop = session.wait()
            after, at = session.pc(thread), session.pc(thread_number(stop.thread))
            session.gdb.remove(place)
            if thread_number(stop.thread) == thread:
                steps += 1
                check(f"{stop.raw}: signal", stop.signal, 5)
                session.check_step(thread, before, word, session.regs(thread, *arch.names))
            else:
                check("where the breakpoint is", at, place)
                hits += 1
                moved += after != before["pc"]
            allowed = arch.successors(word, before)
            if (after != before["pc"] and allowed is not None and after not in allowed
                    and arch.vector(after) is None):
                raise AssertionError(f"{stop.raw}: {before['pc']:#x} ({word:#010x}) -> "
                                     f"{after:#x}")
        if not steps:
            raise AssertionError("no step was first")
        bench.notes.append(f"breakpoint against step: the step first {steps}, the breakpoint "
                           f"first {hits} (the stepped one had got on in {moved})")


def at_once(gdb: Gdb, what: str, packet: str, limit: float = 2.0) -> None:
    begun = time.monotonic()
    gdb.resume(packet)
    try:
        gdb.wait(10)
    except RspError as err:
        raise AssertionError(f"{what}: {packet}: {err}") from err
    spent = time.monotonic() - begun
    if spent > limit:
        raise AssertionError(f"{what}: {packet} took {spent:.1f} s")


@on_power
def step_stopped_vcpu(bench: Bench) -> None:
    """clause 4: a vCPU that was never started: its step answers at once, nothing moves"""
    with bench.spinning(cpus=2) as (_, gdb, image):
        threads = gdb.threads()
        names = ("pc", "msr", "r1", "srr0", "srr1")
        gdb.select(threads[1])
        before = gdb.read(names)
        for packet in (f"vCont;s:{threads[1]}", f"vCont;s:{threads[1]};c",
                       f"vCont;s:{threads[1]};s:{threads[0]}"):
            for _ in range(3):
                at_once(gdb, "a vCPU that is off", packet)
                gdb.select(threads[1])
                check("registers", gdb.read(names), before)
        gdb.select(threads[0])
        places = [image.symbols["spin"] + 4 * n for n in range(3)]
        for _ in range(9):
            pc = gdb.read(["pc"])["pc"]
            gdb.step(threads[0])
            check("the next step of the other", gdb.read(["pc"])["pc"],
                  places[(places.index(pc) + 1) % 3])


def step_idle_vcpu(bench: Bench) -> None:
    """clause 4: vCPUs that wait (H_CEDE, wfi): a step answers at once, they still wake up"""
    arch = linux_of(bench.lab)
    waiting = 0
    wait = 0
    # Where the debugger stays on one vCPU, the other is idle enough
    run = own_debugger(bench.lab, 1) if arch.debugger_on == 1 else ("true",)
    with linux(bench, 2, run) as (guest, console), \
            debugged(guest, console) as session:
        gdb = session.gdb
        for turn in range(20):
            session.run_for(0.1)
            for thread, name in session.threads.items():
                regs = session.regs(thread, *arch.names)
                at = regs["pc"] - arch.idle
                if session.word(regs | {"pc": at}) in arch.waits:
                    wait = at
                    waiting += 1
                at_once(gdb, "an idle vCPU", f"vCont;s:{name}" + (";c" if turn % 2 else ""))
        if not waiting:
            raise AssertionError("no vCPU was idle")
        for _ in range(10):
            session.run_for(0.1)
            both = "".join(f";s:{name}" for name in session.threads.values())
            at_once(gdb, "two idle vCPUs", f"vCont{both}")
        for turn in range(10):                  # the instruction itself
            session.gdb.insert(wait)
            gdb.resume("vCont;c")
            thread = session.hit(wait, session.wait())
            session.gdb.remove(wait)
            at_once(gdb, "waiting", f"vCont;s:{session.threads[thread]}" +
                    (";c" if turn % 2 else ""))
            if session.pc(thread) not in (wait, wait + 4):
                raise AssertionError(f"{wait:#x} -> {session.pc(thread):#x}")
        bench.notes.append(f"idle vCPUs: {waiting} of 40 waited when stepped")


def stop_at_el0(session: Session) -> str:
    """A vCPU that a ^C has found at EL0."""
    for _ in range(400):
        session.run_for(0.01)
        for thread, name in session.threads.items():
            if session.regs(thread, "cpsr")["cpsr"] & 0xf == 0:
                return name
    raise AssertionError("no vCPU at EL0")


def text_at(session: Session, place: int) -> bytes:
    """As memory has it, breakpoints and all."""
    return session.arch.kernel_text(session, [place])[place]


@on_arm64
def kernel_from_el0(bench: Bench) -> None:
    """clause 2: a kernel's breakpoint set and taken out by way of a vCPU at EL0"""
    with busy(bench) as (guest, console), debugged(guest, console) as session:
        gdb = session.gdb
        place = session.symbol(session.arch.getppid)
        code = text_at(session, place)
        for _ in range(3):
            user = stop_at_el0(session)
            for hits in (False, True):
                gdb.select(user)
                check("the kernel's code, read at EL0", gdb.read_memory(place, len(code)), code)
                check("where nothing is for anybody", gdb.text("m0,4"), "E14")
                gdb.insert(place)
                check("the code as gdb sees it", gdb.read_memory(place, len(code)), code)
                check("memory at the stop", text_at(session, place), code)
                if hits:
                    gdb.resume("vCont;c")
                    session.hit(place, session.wait())
                else:
                    gdb.select(user)
                gdb.remove(place)
                check("the memory without it", text_at(session, place), code)


@on_arm64
def user_from_el1(bench: Bench) -> None:
    """memory of the process, read and written by way of a vCPU at EL1 with PAN"""
    with busy(bench) as (guest, console), debugged(guest, console) as session:
        gdb = session.gdb
        place = session.symbol("el0_svc")
        gdb.insert(place)
        for _ in range(5):
            gdb.resume("vCont;c")
            thread = session.hit(place, session.wait())
            regs = session.regs(thread, "cpsr", "ELR_EL1")
            check("PAN is set", regs["cpsr"] >> 22 & 1, 1)
            at = regs["ELR_EL1"] - 4
            svc = gdb.read_memory(at, 4)
            check("svc of the process", int.from_bytes(svc, "little"), 0xd4000001)
            gdb.write_memory(at, svc)
            gdb.resume(f"vCont;s:{session.threads[thread]}")
            check("a step off it", session.wait().signal, 5)
        gdb.remove(place)


# There it wants a machine with no other load
@pytest.mark.by_hand(*on_power.args, *on_loong64.args)
def soak_short(bench: Bench) -> None:
    """clauses 3, 4, 5: 4 vCPUs under load, random steps, breakpoints, stops (soak.py)"""
    with busy(bench, 4) as (guest, console):
        soak = Soak(Session(guest, console), seed=1)
        try:
            soak.run(600 if bench.options.full else 35)
        finally:
            bench.notes.append(f"soak: {soak.figures()}")
        soak.session.detach()
        console.progress(by=2)
        bench.notes.append(f"soak: {soak.ticks()}")
        check_hashes(console, soak.session.arch)
