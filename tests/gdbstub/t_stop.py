# SPDX-License-Identifier: GPL-2.0-or-later
"""Stop replies: what they say, and the registers that come with them."""

from __future__ import annotations

import re

import t_state
from common import (FIRST, LIMIT, PC, SECOND, SP, Bench, Gdb, Guest, Plain, Stop, answers, check,
                    check_thread, goes_on, on, other_than, pc_of, place, thread_of)

SOFTWARE, HARDWARE, WRITE, READ, ACCESS = range(5)
REASONS = ("swbreak", "hwbreak", "watch", "rwatch", "awatch")


class Software(Gdb):
    FEATURES = "qSupported:multiprocess+;swbreak+;xmlRegisters=powerpc"


class Hardware(Gdb):
    FEATURES = "qSupported:multiprocess+;hwbreak+;xmlRegisters=powerpc"


class Silent(Gdb):
    """A client that says nothing of itself; it has its registers from another one."""

    FEATURES = "qAttached"


def reasons(stop: Stop) -> list[str]:
    return [key for key, _ in stop.details if key in REASONS]


def offered(bench: Bench) -> None:
    """item 5: what qSupported says, and to whom"""
    with bench.stopped() as (guest, gdb):
        for kind in (Gdb, Plain, Gdb):
            gdb.close()
            gdb = guest.connect(kind)
            for name in ("swbreak", "hwbreak", "QStartNoAckMode", "binary-upload"):
                check(f"{name} for {kind.__name__}", gdb.features.get(name), "+")


def breakpoint_words(bench: Bench) -> None:
    """item 5: swbreak and hwbreak, for clients that said so; anew for each connection"""
    with bench.stopped() as (guest, gdb):
        kinds: list[tuple[type[Gdb], list[str]]] = [
            (Gdb, ["swbreak", "hwbreak"]), (Software, ["swbreak"]), (Plain, []),
            (Hardware, ["hwbreak"]), (Plain, []), (Gdb, ["swbreak", "hwbreak"]), (Silent, [])]
        described = gdb.registers, gdb.by_name
        for kind, known in kinds:
            gdb.close()
            gdb = guest.connect(kind)
            gdb.registers, gdb.by_name = described
            for point, word in ((SOFTWARE, "swbreak"), (HARDWARE, "hwbreak")):
                place(gdb, guest.spin)
                gdb.insert(guest.spin + 8, point)
                stop = answers(gdb, "vCont;c")
                check(f"pc at {stop.raw}", pc_of(gdb), guest.spin + 8)
                check(f"{kind.__name__}: {stop.raw}", reasons(stop),
                      [word] if word in known else [])
                if word in known:
                    check(f"value of it in {stop.raw}", dict(stop.details)[word], "")
                gdb.remove(guest.spin + 8, point)


def breakpoint_words_of_second(bench: Bench) -> None:
    """item 5: of the vCPU that came to it; none at the end of a step"""
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            gdb.insert(guest.second + 8)
            stop = answers(gdb, "vCont;c")
            check_thread(stop, SECOND)
            check(stop.raw, reasons(stop), ["swbreak"])
            gdb.remove(guest.second + 8)
            for which in (FIRST, SECOND):
                stop = answers(gdb, f"vCont;s:{which}")
                check(stop.raw, reasons(stop), [])


def no_words(bench: Bench) -> None:
    """item 5: the end of a step, ^C and `?` have no reason (also unpatched)"""
    with bench.stopped() as (guest, gdb):
        gdb.insert(guest.rounds)                # elsewhere
        for action in (f"vCont;s:{FIRST}", "s"):
            stop = answers(gdb, action)
            check(stop.raw, reasons(stop), [])
        stop = goes_on(gdb)
        check(stop.raw, reasons(stop), [])


def step_onto(bench: Bench) -> None:
    """items 5, 11: a step onto a breakpoint has not met it; then it is met and reported once"""
    with bench.stopped() as (guest, gdb):
        for point, word in ((SOFTWARE, "swbreak"), (HARDWARE, "hwbreak")):
            gdb.insert(guest.spin + 4, point)
            for step in (f"vCont;s:{FIRST}", "s"):
                place(gdb, guest.spin)
                gdb.write("r3", 0)
                for action, said, count in ((step, [], 1), ("vCont;c", [word], 1),
                                            ("vCont;c", [word], 2)):
                    stop = answers(gdb, action)
                    check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.spin + 4, count])
                    check(f"{action}: {stop.raw}", reasons(stop), said)
            gdb.remove(guest.spin + 4, point)


class Watched:
    """Both vCPUs' counters are watched: each store is to be reported."""

    def __init__(self, guest: Guest, gdb: Gdb) -> None:
        self.guest, self.gdb = guest, gdb
        self.counters = {FIRST: guest.counter, SECOND: guest.second_counter}
        for thread, at in ((FIRST, guest.spin), (SECOND, guest.second)):
            gdb.select(thread)
            place(gdb, at)
            gdb.write("r3", 0)
            gdb.insert(self.counters[thread], WRITE, 8)
        self.told = dict.fromkeys(self.counters, 0)

    def stored(self, thread: str) -> int:
        self.gdb.select(thread)
        # One that stands on its store has counted and not stored
        pc, count = on(self.gdb, thread, "pc", "r3")
        first = self.guest.spin if thread == FIRST else self.guest.second
        return count - (pc == first + 4)

    def hit(self, action: str = "vCont;c") -> str:
        """Who is reported."""
        stop = answers(self.gdb, action)
        thread = thread_of(stop)
        check(f"{action}: {stop.raw}", reasons(stop), ["watch"])
        check(stop.raw, int(dict(stop.details)["watch"], 16), self.counters[thread])
        self.told[thread] += 1
        return thread

    def untold(self, thread: str) -> int:
        return self.stored(thread) - self.told[thread]

    def until_untold(self) -> str:
        """Both have hit theirs, and one was reported; the other one."""
        for _ in range(400):
            other = other_than(self.hit())
            if self.untold(other):
                return other
        raise AssertionError("the vCPUs never hit theirs at the same time")


def watched_by_two(bench: Bench) -> None:
    """item 5: of two vCPUs that hit watchpoints at the same time each is reported"""
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            watched = Watched(guest, gdb)
            for n in range(100):
                watched.hit()
                for which in (FIRST, SECOND):
                    check(f"{which}: stores that were not reported, after {n + 1} stops",
                          watched.untold(which) in (0, 1), True)


def watched_and_kept(bench: Bench) -> None:
    """item 5: what one has hit waits until that vCPU is resumed"""
    with bench.stopped(2, "multi") as (guest, gdb):
        watched = Watched(guest, gdb)
        other = watched.until_untold()
        first = other_than(other)
        for _ in range(3):
            check("who is reported", watched.hit(f"vCont;c:{first}"), first)
        check("stores that were not reported", watched.untold(other), 1)
        check("who is reported", watched.hit(), other)
        check("stores that were not reported", watched.untold(other), 0)
        # `s` resumes all; it has not stepped then
        other = watched.until_untold()
        counts = [watched.stored(which) for which in (FIRST, SECOND)]
        gdb._ok(f"Hc{first}")
        check("who is reported", watched.hit("s"), other)
        check("stores", [watched.stored(which) for which in (FIRST, SECOND)], counts)


def watched_and_gone(bench: Bench) -> None:
    """item 5: not if its watchpoint has been removed, or the client was another one"""
    with bench.stopped(2, "multi") as (guest, gdb):
        watched = Watched(guest, gdb)
        other = watched.until_untold()
        gdb.remove(watched.counters[other], WRITE, 8)
        for _ in range(3):
            check("who is reported", watched.hit(), other_than(other))
        gdb.remove(watched.counters[other_than(other)], WRITE, 8)
        watched = Watched(guest, gdb)
        other = watched.until_untold()
        gdb.close()
        gdb = guest.connect()
        gdb.insert(watched.counters[other], WRITE, 8)
        before = on(gdb, other, "r3")[0]
        check_thread(answers(gdb, "vCont;c"), other)
        check("it has run", on(gdb, other, "r3")[0] > before, True)


def watch_words(bench: Bench) -> None:
    """item 5: watch, awatch, rwatch and the address; gone with the watchpoint"""
    with bench.stopped() as (guest, gdb):
        for point, word in ((WRITE, "watch"), (ACCESS, "awatch")):
            place(gdb, guest.spin)
            gdb.insert(guest.counter, point, 8)
            stop = answers(gdb, "vCont;c")
            check(stop.raw, reasons(stop), [word])
            check(stop.raw, int(dict(stop.details)[word], 16), guest.counter)
            check_thread(stop, FIRST)
            gdb.remove(guest.counter, point, 8)
        gdb.write("r30", guest.data)
        place(gdb, guest.mixed)
        gdb.insert(guest.data + 8, READ, 8)
        stop = answers(gdb, "vCont;c")
        check(stop.raw, reasons(stop), ["rwatch"])
        check(stop.raw, int(dict(stop.details)["rwatch"], 16), guest.data + 8)
        gdb.remove(guest.data + 8, READ, 8)
        # Gone, and not said again
        gdb.insert(guest.spin)
        stop = answers(gdb, "vCont;c")
        check("watch in " + stop.raw, [r for r in reasons(stop) if "watch" in r], [])


def expedited(stop: Stop) -> dict[int, str]:
    return {int(key, 16): value for key, value in stop.details
            if re.fullmatch("[0-9a-fA-F]+", key)}


def check_expedited(gdb: Gdb, stop: Stop) -> None:
    """pc and stack pointer, and each of them as `p` and `g` have it."""
    given = expedited(stop)
    check(f"{stop.raw}: pc and stack pointer are there", {PC, SP} <= given.keys(), True)
    check(f"{stop.raw}: registers", given.keys() - {PC, SP}, set())
    check(f"{stop.raw}: each once", sum(1 for key, _ in stop.details
                                        if re.fullmatch("[0-9a-fA-F]+", key)), len(given))
    gdb.select(stop.thread)
    g = gdb.read_g()
    for reg in gdb.registers:
        if reg.number in given:
            check(f"{reg.name} in {stop.raw}", given[reg.number], gdb.text(f"p{reg.number:x}"))
            assert reg.offset is not None
            check(f"{reg.name} in {stop.raw}", given[reg.number],
                  g[reg.offset:reg.offset + reg.size].hex())


def expedited_registers(bench: Bench) -> None:
    """item 6: pc and r1 in each stop reply, of the vCPU that is reported"""
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            for which, value in ((FIRST, 0x123456789abcdef0), (SECOND, 0x0fedcba987654321)):
                gdb.select(which)
                gdb.write("r1", value)
            for which, at in ((FIRST, guest.spin), (SECOND, guest.second)):
                check_expedited(gdb, answers(gdb, f"vCont;s:{which}"))
                for point in (SOFTWARE, HARDWARE):
                    gdb.insert(at, point)
                    stop = answers(gdb, "vCont;c")
                    check_thread(stop, which)
                    check_expedited(gdb, stop)
                    gdb.remove(at, point)
                counter = guest.counter if which == FIRST else guest.second_counter
                gdb.insert(counter, WRITE, 8)
                stop = answers(gdb, "vCont;c")
                check_thread(stop, which)
                check_expedited(gdb, stop)
                gdb.remove(counter, WRITE, 8)
                check_expedited(gdb, goes_on(gdb))


def expedited_in_range(bench: Bench) -> None:
    """item 6: after vCont;r, and they follow pc and r1"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.straight)
        stop = answers(gdb, f"vCont;r{guest.straight:x},{guest.straight_end:x}:{FIRST}")
        check_expedited(gdb, stop)
        check("pc in " + stop.raw, int(expedited(stop)[PC], 16), guest.straight_end)
        gdb.write("r1", 0x1122334455667788)
        stop = answers(gdb, f"vCont;s:{FIRST}")
        check("r1 in " + stop.raw, int(expedited(stop)[SP], 16), 0x1122334455667788)


def expedited_little_endian(bench: Bench) -> None:
    """item 6: in the guest's byte order, as `p` has it"""
    with bench.guest("loop-O0") as guest:
        gdb = guest.connect()
        gdb.run_to(guest.calling, LIMIT)
        stop = answers(gdb, f"vCont;s:{FIRST}")
        check_expedited(gdb, stop)
        raw = bytes.fromhex(expedited(stop)[PC])
        check("pc", int.from_bytes(raw, "little"), pc_of(gdb))


def continue_off(guest: Guest, gdb: Gdb, point: int) -> None:
    """On one's own breakpoint c runs that instruction, and comes to it again."""
    for resume in ("vCont;c", "c"):
        place(gdb, guest.spin + 4)
        gdb.write("r3", 0)
        gdb.insert(guest.spin, point)
        for n in range(4):
            answers(gdb, resume)
            check(f"Z{point}, {resume}: pc and r3", on(gdb, FIRST, "pc", "r3"),
                  [guest.spin, n])
        gdb.remove(guest.spin, point)


def step_along(guest: Guest, gdb: Gdb, step: str) -> None:
    """With breakpoints on all of the loop each step is one instruction of it."""
    place(gdb, guest.spin)
    gdb.write("r3", 0)
    for n in range(1, 7):
        answers(gdb, step)
        check(f"{step}: pc", pc_of(gdb), guest.spin + 4 * (n % 3))
    check("r3", on(gdb, FIRST, "r3"), [2])


def step_off(bench: Bench) -> None:
    """item 11: c and s at one's own Z0, Z1 run that instruction, and stop at the next one"""
    with bench.stopped() as (guest, gdb):
        for point in (SOFTWARE, HARDWARE):
            continue_off(guest, gdb, point)
            for step in (f"vCont;s:{FIRST}", "s"):
                for at in range(guest.spin, guest.spin_end, 4):
                    gdb.insert(at, point)
                step_along(guest, gdb, step)
                for at in range(guest.spin, guest.spin_end, 4):
                    gdb.remove(at, point)
    # The others wait for that one instruction, and no longer
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            for point in (SOFTWARE, HARDWARE):
                for off, at in ((FIRST, guest.straight), (SECOND, guest.straight + 4)):
                    gdb.select(off)
                    place(gdb, at)
                    gdb.insert(at, point)
                    check_thread(answers(gdb, "vCont;c"), off)
                    check("pc", pc_of(gdb), at)
                    t_state.both_run(guest, gdb)
                    gdb.remove(at, point)
                    t_state.at_loops(guest, gdb)


def moved_onto(bench: Bench) -> None:
    """item 11: one that the client has put on a breakpoint meets it first"""
    with bench.stopped() as (guest, gdb):
        for point in bench.KINDS:
            place(gdb, guest.spin + 4)
            gdb.write("r3", 0)
            gdb.insert(guest.spin, point)
            place(gdb, guest.spin)
            for n in range(3):
                answers(gdb, "vCont;c")
                check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.spin, n])
            gdb.remove(guest.spin, point)


def come_to_by_step(bench: Bench) -> None:
    """item 11: one that came to a breakpoint by a step, or had it put under it, meets it"""
    with bench.stopped() as (guest, gdb):
        for point in (SOFTWARE, HARDWARE):
            for before in (True, False):
                place(gdb, guest.spin)
                if before:
                    gdb.insert(guest.spin + 4, point)
                answers(gdb, f"vCont;s:{FIRST}")
                if not before:
                    gdb.insert(guest.spin + 4, point)
                gdb.write("r3", 0)
                for n in range(3):
                    answers(gdb, "vCont;c")
                    check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.spin + 4, n])
                gdb.remove(guest.spin + 4, point)
