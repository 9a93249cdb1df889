# SPDX-License-Identifier: GPL-2.0-or-later
"""vCont;r: range stepping."""

from __future__ import annotations

import time

from common import (FIRST, LIMIT, SECOND, Bench, Gdb, Guest, Stop, answers, check, check_thread,
                    goes_on, nothing_more, on, pc_of, place, refused)

SOFTWARE, HARDWARE, WRITE = 0, 1, 2


def ranged(gdb: Gdb, start: int, end: int, thread: str = FIRST, signal: int = 5) -> Stop:
    """One thread alone in a range."""
    stop = answers(gdb, f"vCont;r{start:x},{end:x}:{thread}", signal)
    check_thread(stop, thread)
    return stop


def range_offered(bench: Bench) -> None:
    """item 1: what vCont? says"""
    with bench.stopped() as (_, gdb):
        check("vCont?", gdb.text("vCont?"), "vCont;c;C;s;S;r")


def range_straight(bench: Bench) -> None:
    """item 2: ends at END, not before and not behind"""
    with bench.stopped() as (guest, gdb):
        for instructions in (1, 2, 13):
            place(gdb, guest.straight)
            gdb.write("r5", 0)
            end = guest.straight + 4 * instructions
            ranged(gdb, guest.straight, end)
            check("pc and r5", on(gdb, FIRST, "pc", "r5"), [end, instructions])
        # From the middle of it
        place(gdb, guest.straight + 20)
        gdb.write("r5", 0)
        ranged(gdb, guest.straight, guest.straight_end)
        check("pc and r5", on(gdb, FIRST, "pc", "r5"), [guest.straight_end, 8])


def range_loop(bench: Bench) -> None:
    """item 2: 40,002 instructions, one packet there and one back"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.rounds)
        begun = time.monotonic()
        ranged(gdb, guest.rounds, guest.rounds_end)
        spent = time.monotonic() - begun
        nothing_more(gdb)
        check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_end, 10000])
        check("memory", guest.number(gdb, guest.counter), 10000)
        bench.notes.append(f"vCont;r over 40,002 instructions: {spent * 1000:.0f} ms, "
                           f"{spent / 40002 * 1e6:.2f} us an instruction")


def range_as_steps(bench: Bench) -> None:
    """item 2: branches, loads and stores: all registers as single steps leave them"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.mixed)
        begin = gdb.read_g()
        ranged(gdb, guest.mixed, guest.mixed_end)
        got = gdb.read_g()
        memory = gdb.read_memory(guest.data, 32)
        gdb._ok(f"G{begin.hex()}")
        steps = 0
        while guest.mixed <= pc_of(gdb) < guest.mixed_end:
            gdb.step()
            steps += 1
        check("steps are many", steps > 25 * 8, True)
        check("pc", pc_of(gdb), guest.mixed_end)
        check("g", got.hex(), gdb.read_g().hex())
        check("memory", memory, gdb.read_memory(guest.data, 32))


def range_empty(bench: Bench) -> None:
    """item 2: START == END is one step, in and out of the range"""
    with bench.stopped() as (guest, gdb):
        for start in (guest.straight, guest.straight + 4, guest.data, 0):
            place(gdb, guest.straight)
            ranged(gdb, start, start)
            check("pc", pc_of(gdb), guest.straight + 4)


def range_from_outside(bench: Bench) -> None:
    """item 2: one step at least; goes on when that leads into the range"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.straight)
        ranged(gdb, guest.rounds, guest.rounds_end)
        check("pc, not into it", pc_of(gdb), guest.straight + 4)
        ranged(gdb, guest.straight, guest.straight + 4)
        check("pc, just behind it", pc_of(gdb), guest.straight + 8)
        ranged(gdb, guest.straight + 12, guest.straight + 24)
        check("pc, through it", pc_of(gdb), guest.straight + 24)


def range_left_by_call(bench: Bench) -> None:
    """item 2: the first pc outside is where a call goes, or an interrupt"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.call)
        ranged(gdb, guest.call, guest.call_end)
        check("pc and lr", on(gdb, FIRST, "pc", "lr"), [guest.leaf, guest.call_end])
        ranged(gdb, guest.leaf, guest.leaf + 8)
        check("pc", pc_of(gdb), guest.call_end)
        place(gdb, guest.program)
        ranged(gdb, guest.program, guest.program_end)
        check("pc and srr0", on(gdb, FIRST, "pc", "srr0"), [0x700, guest.program + 4])


def range_malformed(bench: Bench) -> None:
    """item 2: E22, and nothing has run; good ones work behind it"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.straight)
        before = gdb.read_g()
        s, e = f"{guest.straight:x}", f"{guest.straight_end:x}"
        for tail in ("", s, f"{s},", f",{e}", ",", f"{e},{s}", f"zz,{e}", f"{s},zz",
                     f"{s};{e}", f"{s},{e},{e}", f"{s} {e}", f"-{s},{e}", f"{s},-1",
                     f"{s},1{'0' * 16}", f"1{'0' * 16},2{'0' * 16}"):
            for thread in (f":{FIRST}", ""):
                refused(gdb, [f"vCont;r{tail}{thread}"])
                check(f"pc after r{tail}{thread}", pc_of(gdb), guest.straight)
        for action in (f"r{s},{e}:", f"r{s},{e}:p1.7", f"r{s},{e}:pz", f"r{s},{e}:p1.1;r{e},{s}",
                       f"r{e},{s}:p1.1;c", f"s:p1.1;r{e},{s}:p1.1"):
            refused(gdb, [f"vCont;{action}"])
        nothing_more(gdb)
        check("state", guest.monitor.state() in ("paused", "debug"), True)
        check("g", gdb.read_g().hex(), before.hex())
        ranged(gdb, guest.straight, guest.straight_end)
        check("pc", pc_of(gdb), guest.straight_end)


def points(bench: Bench, kind: int) -> None:
    with bench.stopped() as (guest, gdb):
        gdb.insert(guest.rounds_store, kind)
        place(gdb, guest.rounds)
        for n in range(1, 4):
            ranged(gdb, guest.rounds, guest.rounds_end)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_store, n])
            check("memory, not stored yet", guest.number(gdb, guest.counter), n - 1)
        gdb.remove(guest.rounds_store, kind)
        ranged(gdb, guest.rounds, guest.rounds_end)
        check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_end, 10000])
        # In the whole address space
        gdb.insert(guest.rounds_end, kind)
        place(gdb, guest.rounds)
        ranged(gdb, 0, (1 << 64) - 1)
        check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_end, 10000])


def range_breakpoint(bench: Bench) -> None:
    """items 2, 11: stops at each Z0 in the range, before it; steps off it"""
    points(bench, SOFTWARE)


def range_hardware_breakpoint(bench: Bench) -> None:
    """items 2, 11: the same with Z1"""
    points(bench, HARDWARE)


def range_ends_at_breakpoint(bench: Bench) -> None:
    """items 5, 11: a range that a breakpoint ends says so, and has met it; its last step has not"""
    with bench.stopped() as (guest, gdb):
        for kind, word in ((SOFTWARE, "swbreak"), (HARDWARE, "hwbreak")):
            place(gdb, guest.rounds)
            gdb.insert(guest.rounds_store, kind)
            stop = ranged(gdb, guest.rounds, guest.rounds_end)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_store, 1])
            check(stop.raw, [key for key, _ in stop.details if "break" in key], [word])
            answers(gdb, "vCont;c")
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_store, 2])
            # Out of the range to where one is
            place(gdb, guest.rounds_top)
            stop = ranged(gdb, guest.rounds_top, guest.rounds_store)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_store, 3])
            check(stop.raw, [key for key, _ in stop.details if "break" in key], [])
            answers(gdb, "vCont;c")
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_store, 3])
            gdb.remove(guest.rounds_store, kind)


def range_watchpoint(bench: Bench) -> None:
    """item 2: stops at a store that is watched"""
    with bench.stopped() as (guest, gdb):
        gdb.insert(guest.counter, WRITE, 8)
        place(gdb, guest.rounds)
        for n in range(1, 4):
            stop = ranged(gdb, guest.rounds, guest.rounds_end)
            check(f"{stop.raw}: pc in the range",
                  guest.rounds <= pc_of(gdb) < guest.rounds_end, True)
            check("r3", on(gdb, FIRST, "r3"), [n])
            # Past it, whichever side of the store this was
            gdb.remove(guest.counter, WRITE, 8)
            while pc_of(gdb) != guest.rounds_top:
                gdb.step()
            check("memory", guest.number(gdb, guest.counter), n)
            gdb.insert(guest.counter, WRITE, 8)


def range_interrupted(bench: Bench) -> None:
    """items 2, 3: ^C ends an endless range, inside of it; nothing stays"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.spin)
        for _ in range(3):
            before = guest.number(gdb, guest.counter)
            stop = goes_on(gdb, f"vCont;r{guest.spin:x},{guest.spin_end:x}:{FIRST}")
            check_thread(stop, FIRST)
            check("pc in it", guest.spin <= pc_of(gdb) < guest.spin_end, True)
            check("it ran", guest.number(gdb, guest.counter) > before + 10, True)
        goes_on(gdb)


def range_one_of_two(bench: Bench) -> None:
    """item 2: the other vCPU stays where it is, or runs when told to"""
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            action = f"vCont;r{guest.spin:x},{guest.spin_end:x}:{FIRST}"
            for other, moves in (("", False), (";c", True), (f";c:{SECOND}", True)):
                before = guest.number(gdb, guest.second_counter)
                goes_on(gdb, action + other, 0.5)
                moved = guest.number(gdb, guest.second_counter) - before
                check(f"{action}{other}: the other vCPU moves", moved > 0, moves)
                check("pc in the range", guest.spin <= on(gdb, FIRST, "pc")[0] < guest.spin_end,
                      True)
            goes_on(gdb)


def range_beside_by_count(bench: Bench) -> None:
    """item 2: with icount the other vCPU's turns come at fixed places, however fast the host is"""
    with bench.stopped(2, icount="shift=5,sleep=off") as (guest, gdb):
        place(gdb, guest.beside)
        answers(gdb, f"vCont;r{guest.beside:x},{guest.beside_end:x}:{FIRST};c:{SECOND}",
                timeout=60)
        pc, end = on(gdb, FIRST, "pc", "r8")
        check("pc", pc, guest.beside_end)
        rounds = [guest.number(gdb, at) for at in range(guest.buffer, end, 8)]
        # The first turn may have begun anywhere
        turns = [after - before for before, after in zip(rounds[1:], rounds[2:])]
        check(f"many turns: {rounds}", len(turns) > 8, True)
        check(f"turns of equal length: {turns}", max(turns) - min(turns) <= 2, True)


def range_and_other_stop(bench: Bench) -> None:
    """items 2, 3: another vCPU's breakpoint ends the range; nothing stays"""
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            action = f"vCont;r{guest.spin:x},{guest.spin_end:x}:{FIRST};c:{SECOND}"
            for _ in range(5):
                gdb.insert(guest.second + 4)
                check_thread(answers(gdb, action), SECOND)
                check("pc of it", on(gdb, SECOND, "pc"), [guest.second + 4])
                gdb.remove(guest.second + 4)
                goes_on(gdb)
                on(gdb, SECOND)
                place(gdb, guest.second)
                on(gdb, FIRST)
                place(gdb, guest.spin)


def range_of_all(bench: Bench) -> None:
    """items 2, 3: no thread named: all step; the first one out of it stops them"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.rounds)
        answers(gdb, f"vCont;r{guest.rounds:x},{guest.rounds_end:x}")
        check("pc", pc_of(gdb), guest.rounds_end)
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            both = f"vCont;r{guest.spin:x},{guest.second_end:x}"
            goes_on(gdb, both)
            for counter in (guest.counter, guest.second_counter):
                check("both ran", guest.number(gdb, counter) > 10, True)
            answers(gdb, f"vCont;r{guest.spin:x},{guest.spin_end:x}")
            goes_on(gdb)


def range_two_ranges(bench: Bench) -> None:
    """item 2: a range each; the one that is left first stops both"""
    for thread in ("single", "multi"):
        with bench.stopped(2, thread) as (guest, gdb):
            # A range is over in some milliseconds, less than a busy machine may
            # let the other vCPU wait for
            count = 0
            for _ in range(100):
                gdb.select(FIRST)
                place(gdb, guest.rounds)
                stop = answers(gdb, f"vCont;r{guest.rounds:x},{guest.rounds_end:x}:{FIRST};"
                                    f"r{guest.second:x},{guest.second_end:x}:{SECOND}")
                check_thread(stop, FIRST)
                check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.rounds_end, 10000])
                pc, count = on(gdb, SECOND, "pc", "r3")
                check("the other's pc", guest.second <= pc < guest.second_end, True)
                if count > 10:
                    break
            check("the other ran", count > 10, True)
            # The leftmost action that fits a thread is the one that counts
            gdb.select(FIRST)
            place(gdb, guest.straight)
            gdb.write("r5", 0)
            ranges = "".join(f";r{guest.straight:x},{end:x}:{FIRST}"
                             for end in (guest.straight + 12, guest.straight_end))
            answers(gdb, f"vCont{ranges}")
            check("pc", pc_of(gdb), guest.straight + 12)
            goes_on(gdb)


def ticking(guest: Guest, gdb: Gdb, flags: int) -> None:
    """In a loop with interrupts, which all have come until now."""
    place(gdb, guest.ticking)
    gdb.run_to(guest.ticking_top, LIMIT)
    gdb._ok(f"Qqemu.sstep={flags:x}")


def range_without_interrupts(bench: Bench) -> None:
    """item 2: NOIRQ holds for each instruction, with and without timers"""
    with bench.stopped() as (guest, gdb):
        for flags in (7, 3):
            ticking(guest, gdb, flags)
            before = guest.number(gdb, guest.ticks)
            ranged(gdb, guest.ticking_top, guest.ticking_end)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.ticking_end, 10000])
            check("interrupts taken", guest.number(gdb, guest.ticks), before)
            goes_on(gdb)
            check("taken later", guest.number(gdb, guest.ticks) > before, True)


def range_with_interrupts(bench: Bench) -> None:
    """item 2: without NOIRQ an interrupt leads out of the range"""
    with bench.stopped() as (guest, gdb):
        ticking(guest, gdb, 1)
        time.sleep(0.01)
        ranged(gdb, guest.ticking_top, guest.ticking_end)
        check("pc", pc_of(gdb), 0x900)


def range_reconnect(bench: Bench) -> None:
    """items 2, 14: a client that goes away in a range leaves a guest that runs"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.spin)
        gdb.resume(f"vCont;r{guest.spin:x},{guest.spin_end:x}:{FIRST}")
        time.sleep(0.2)
        gdb.close()
        time.sleep(0.2)
        check("state", guest.monitor.state(), "running")
        gdb = guest.connect()
        before = guest.number(gdb, guest.counter)
        goes_on(gdb)
        check("it runs", guest.number(gdb, guest.counter) > before + 1000, True)
