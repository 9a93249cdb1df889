# SPDX-License-Identifier: GPL-2.0-or-later
"""What a step leaves behind, and steps of vCPUs that do not run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from common import (FIRST, LIMIT, SECOND, Bench, Gdb, Guest, RspTimeout, answers, check,
                    check_thread, goes_on, on, pc_of, place, refused)

ROUNDS = 6
THREADS = ("single", "multi")
SOFTWARE, HARDWARE, WRITE = range(3)


def at_loops(guest: Guest, gdb: Gdb) -> None:
    """Both vCPUs at the first instruction of their loops."""
    gdb.select(SECOND)
    place(gdb, guest.second)
    gdb.select(FIRST)
    place(gdb, guest.spin)


def counts(guest: Guest, gdb: Gdb) -> list[int]:
    return [guest.number(gdb, at) for at in (guest.counter, guest.second_counter)]


def both_count(guest: Guest, before: list[int], places: Sequence[int] = ()) -> None:
    """Both vCPUs run.  One that is held, or steps, counts by one at most, however long
    it is waited for; one that runs may be slow."""
    deadline = time.monotonic() + LIMIT
    while True:
        now = [guest.number_while_running(at)
               for at in places or (guest.counter, guest.second_counter)]
        if all(new > old + 1000 for old, new in zip(before, now)):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"both run freely: from {before} to {now} in {LIMIT} s")
        time.sleep(0.02)


def both_run(guest: Guest, gdb: Gdb) -> None:
    before = counts(guest, gdb)
    goes_on(gdb, meanwhile=lambda: both_count(guest, before))


def stale_step(bench: Bench) -> None:
    """item 3: one steps, one continues, the step ends it; nothing stays (also unpatched)"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            for n in range(ROUNDS):
                stepped, other = (FIRST, SECOND) if n % 2 else (SECOND, FIRST)
                check_thread(answers(gdb, f"vCont;s:{stepped};c:{other}"), stepped)
                both_run(guest, gdb)


def stale_other_stop(bench: Bench) -> None:
    """item 3: the same, ended by the other one's breakpoint"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            places = {FIRST: guest.spin + 4, SECOND: guest.second + 4}
            for n in range(ROUNDS):
                stepped, other = (FIRST, SECOND) if n % 2 else (SECOND, FIRST)
                at_loops(guest, gdb)
                gdb.insert(places[other])
                answers(gdb, f"vCont;s:{stepped};c:{other}")
                gdb.remove(places[other])
                both_run(guest, gdb)


def stale_two_steps(bench: Bench) -> None:
    """item 3: both step, one is reported"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            for action in ("vCont;s", f"vCont;s:{FIRST};s:{SECOND}",
                           f"vCont;s:{SECOND};s:{FIRST}") * 2:
                answers(gdb, action)
                both_run(guest, gdb)


def stale_plain(bench: Bench) -> None:
    """item 3: s of the vCPU that Hc chose, ended by the other's breakpoint, then c"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            places = {FIRST: guest.spin + 4, SECOND: guest.second + 4}
            for n in range(ROUNDS):
                stepped, other = (FIRST, SECOND) if n % 2 else (SECOND, FIRST)
                at_loops(guest, gdb)
                gdb.insert(places[other])
                gdb._ok(f"Hc{stepped}")
                answers(gdb, "s")
                gdb.remove(places[other])
                goes_on(gdb, "c")
                both_run(guest, gdb)


def stale_after_interrupt(bench: Bench) -> None:
    """item 3: a step of a vCPU that waits, ended by ^C or by its own stop"""
    for thread in THREADS:
        with bench.guest(cpus=2, thread=thread) as guest:
            gdb = guest.connect()
            gdb.run_to(guest.ready)
            gdb.resume(f"vCont;s:{SECOND};c:{FIRST}")
            try:
                gdb.wait(1)
            except RspTimeout:
                gdb.interrupt(LIMIT)
            guest.bring_up_second(gdb)
            both_run(guest, gdb)


def stale_detach(bench: Bench) -> None:
    """items 3, 14: after D the guest runs, whatever was stepped last"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            for n in range(4):
                stepped, other = (FIRST, SECOND) if n % 2 else (SECOND, FIRST)
                at_loops(guest, gdb)
                gdb.insert((guest.second if n % 2 else guest.spin) + 4)
                answers(gdb, f"vCont;s:{stepped};c:{other}")
                before = counts(guest, gdb)
                # The breakpoint is still there
                gdb.detach()
                both_count(guest, before)
                check("state", guest.monitor.state(), "running")
                gdb = guest.connect()


def disconnect_stopped(bench: Bench) -> None:
    """item 14: a guest that was stopped stays so, and forgets steps and breakpoints"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            for n in range(4):
                stepped, other = (FIRST, SECOND) if n % 2 else (SECOND, FIRST)
                at_loops(guest, gdb)
                gdb.insert((guest.second if n % 2 else guest.spin) + 4)
                answers(gdb, f"vCont;s:{stepped};c:{other}")
                before = counts(guest, gdb)
                gdb.close()
                time.sleep(0.2)
                check("it stays stopped", guest.monitor.state() != "running", True)
                gdb = guest.connect()
                check("counters", counts(guest, gdb), before)
                both_run(guest, gdb)


def disconnect_running(bench: Bench) -> None:
    """item 14: a guest that ran runs on, over breakpoints that were left in"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.until)
        gdb.write("r7", gdb.read(["tbl"])["tbl"] + 150_000_000)     # 0.3 s
        gdb.insert(guest.until_over)
        gdb.resume("vCont;c")
        gdb.close()
        time.sleep(0.1)
        check("state", guest.monitor.state(), "running")
        time.sleep(0.9)
        check("state later", guest.monitor.state(), "running")
        gdb = guest.connect()
        check("it came there and went on", guest.number(gdb, guest.late) > 1000, True)


def disconnect_stepping(bench: Bench) -> None:
    """item 14: a client that goes away before its step has answered"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            for _ in range(4):
                gdb.resume(f"vCont;s:{FIRST};c:{SECOND}")
                gdb.close()
                time.sleep(0.1)
                gdb = guest.connect()
                both_run(guest, gdb)
        # One that has nothing to do for its step
        with bench.guest(cpus=2, thread=thread) as guest:
            gdb = guest.connect()
            gdb.run_to(guest.ready)
            gdb.resume(f"vCont;s:{SECOND};c:{FIRST}")
            gdb.close()
            time.sleep(0.1)
            gdb = guest.connect()
            guest.bring_up_second(gdb)
            both_run(guest, gdb)
        # A range that would come to its end, in a second, with nobody to stop for
        with bench.stopped(2, thread) as (guest, gdb):
            place(gdb, guest.until)
            gdb.step()                          # r6 is the time base
            gdb.write("r7", gdb.read(["r6"])["r6"] + 512_000_000)
            before = counts(guest, gdb)[1]
            gdb.resume(f"vCont;r{guest.until:x},{guest.until_over:x}:{FIRST};c:{SECOND}")
            gdb.close()
            both_count(guest, [0, before], [guest.late, guest.second_counter])
        # One that was not resumed
        with bench.stopped(2, thread) as (guest, gdb):
            before = counts(guest, gdb)
            gdb.resume(f"vCont;c:{FIRST}")
            gdb.close()
            both_count(guest, before)


def step_powered_off(bench: Bench) -> None:
    """item 4: a step of a vCPU that was not started answers at once, pc unchanged"""
    for thread in THREADS:
        with bench.guest(cpus=2, thread=thread) as guest:
            gdb = guest.connect()
            gdb.run_to(guest.ready)
            pc = on(gdb, SECOND, "pc")
            here = on(gdb, FIRST, "pc")
            for action in (f"s:{SECOND}", f"s:{SECOND}", f"r0,ffffffff:{SECOND}"):
                check_thread(answers(gdb, f"vCont;{action}", timeout=2), SECOND)
                check("pc", on(gdb, SECOND, "pc"), pc)
                check("pc of the other", on(gdb, FIRST, "pc"), here)
            gdb._ok(f"Hc{SECOND}")
            answers(gdb, "s", timeout=2)
            check("pc", on(gdb, SECOND, "pc"), pc)
            # It can still be started
            guest.bring_up_second(gdb)
            both_run(guest, gdb)


def step_powered_off_first(bench: Bench) -> None:
    """item 4: the same before anything has run"""
    for thread in THREADS:
        with bench.guest(cpus=2, thread=thread) as guest:
            gdb = guest.connect()
            pc = on(gdb, SECOND, "pc")
            check_thread(answers(gdb, f"vCont;s:{SECOND}", timeout=2), SECOND)
            check("pc", on(gdb, SECOND, "pc"), pc)
            gdb.select(FIRST)
            check_thread(gdb.run_to(guest.ready, LIMIT), FIRST)
            guest.bring_up_second(gdb)
            both_run(guest, gdb)


def step_powered_off_beside(bench: Bench) -> None:
    """item 4: at once, too, while the other vCPU runs"""
    for thread in THREADS:
        with bench.guest(cpus=2, thread=thread) as guest:
            gdb = guest.connect()
            gdb.run_to(guest.ready)
            pc = on(gdb, SECOND, "pc")
            for action in (f"s:{SECOND};c:{FIRST}", f"s:{SECOND};c",
                           f"r{guest.spin:x},{guest.spin_end:x}:{SECOND};c:{FIRST}"):
                check_thread(answers(gdb, f"vCont;{action}", timeout=2), SECOND)
                check("pc", on(gdb, SECOND, "pc"), pc)
            gdb.select(FIRST)
            goes_on(gdb)


def step_all_one_off(bench: Bench) -> None:
    """item 4: a step of all, one of which was not started; nothing stays"""
    for thread in THREADS:
        with bench.guest(cpus=2, thread=thread) as guest:
            gdb = guest.connect()
            gdb.run_to(guest.ready)
            for _ in range(4):
                answers(gdb, "vCont;s", timeout=2)
            guest.bring_up_second(gdb)
            both_run(guest, gdb)


def step_into_wait(bench: Bench) -> None:
    """item 4: a step of H_CEDE ends behind it, further ones stay there"""
    for thread in THREADS:
        with bench.stopped(thread=thread) as (guest, gdb):
            place(gdb, guest.cede)
            gdb.run_to(guest.cede_call, LIMIT)
            gdb.write("r5", 0)
            waits = [guest.cede_behind, 0]
            for _ in range(3):
                check_thread(answers(gdb, f"vCont;s:{FIRST}", timeout=2), FIRST)
                check("pc and r5", on(gdb, FIRST, "pc", "r5"), waits)
            answers(gdb, "s", timeout=2)
            check("pc and r5", on(gdb, FIRST, "pc", "r5"), waits)
            goes_on(gdb)
            check("it still waits", on(gdb, FIRST, "pc", "r5"), waits)


def range_into_wait(bench: Bench) -> None:
    """items 2, 4: a range with H_CEDE in it ends behind that"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.cede)
        gdb.write("r5", 0)
        answers(gdb, f"vCont;r{guest.cede:x},{guest.cede_end:x}:{FIRST}", timeout=2)
        check("pc and r5", on(gdb, FIRST, "pc", "r5"), [guest.cede_behind, 0])


def interrupt_waiting(bench: Bench) -> None:
    """item 4: ^C stops vCPUs that all wait (also unpatched)"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.cede)
        for _ in range(3):
            goes_on(gdb)
            check("pc", pc_of(gdb), guest.cede_behind)
    for thread in THREADS:
        with bench.guest(cpus=2, thread=thread) as guest:
            gdb = guest.connect()
            gdb.run_to(guest.ready)
            goes_on(gdb, f"vCont;c:{SECOND}")
            check("pc", on(gdb, FIRST, "pc"), [guest.ready])


def held_over_dump(bench: Bench) -> None:
    """item 3: a vCPU that is not resumed waits while the guest is dumped, and behind that"""
    for thread in THREADS:
        with bench.stopped(2, thread) as (guest, gdb):
            at_loops(guest, gdb)
            for runs, held, counter in ((FIRST, SECOND, guest.counter),
                                        (SECOND, FIRST, guest.second_counter)):
                gdb.select(held)
                registers, before = gdb.read_g(), guest.number(gdb, counter)
                gdb.resume(f"vCont;c:{runs}")
                guest.monitor.run("dump-guest-memory", paging=False, begin=guest.ready & -4096,
                                  length=4096, protocol="file:/dev/null")
                check("status behind the dump", guest.monitor.state(), "running")
                time.sleep(0.2)
                gdb.interrupt(LIMIT)
                check(f"{runs} ran", guest.number(gdb, counter) > before + 1000, True)
                gdb.select(held)
                check(f"registers of {held}", gdb.read_g(), registers)


# TCG unplugs only a vCPU that has a thread of its own, and does not use its place again
ROOM = "1,maxcpus=4"


def plugged(bench: Bench) -> None:
    """item 18: a vCPU that is plugged meets what the client has inserted, until that is removed"""
    for thread in THREADS:
        with bench.guest(cpus=ROOM, thread=thread) as guest:
            gdb = guest.connect()
            gdb.run_to(guest.ready)
            for kind, at in ((SOFTWARE, guest.second_ready), (HARDWARE, guest.second)):
                gdb.insert(at, kind)
            gdb.insert(guest.second_counter, WRITE, 8)
            guest.plug()
            gdb.select(FIRST)
            place(gdb, guest.start_second)
            for at in (guest.second_ready, guest.second):
                check_thread(answers(gdb, "vCont;c"), SECOND)
                check("pc", pc_of(gdb), at)
            stop = answers(gdb, "vCont;c")
            check_thread(stop, SECOND)
            check(stop.raw, int(dict(stop.details).get("watch", "0"), 16),
                  guest.second_counter)
            for kind, at in ((SOFTWARE, guest.second_ready), (HARDWARE, guest.second)):
                gdb.remove(at, kind)
            gdb.remove(guest.second_counter, WRITE, 8)
            both_run(guest, gdb)


def unplugged(bench: Bench) -> None:
    """item 18: nothing is kept of a vCPU that was chosen and is unplugged; the others go on"""
    with bench.guest(cpus=ROOM, thread="multi") as guest:
        gdb = guest.connect()
        gdb.run_to(guest.ready)
        for _ in range(2):
            guest.plug()
            gdb._ok(f"Hc{SECOND}")
            gdb.select(SECOND)
            pc_of(gdb)
            check("threads", gdb.text("qfThreadInfo"), "mp01.01")
            guest.unplug()
            check("more threads", gdb.text("qsThreadInfo"), "l")
            # What is meant for it is for no other one
            refused(gdb, ("g", "p40", "P40=" + 16 * "0", f"m{guest.spin:x},4",
                          f"M{guest.buffer:x},1:00", "s", f"vCont;s:{SECOND}",
                          f"Hg{SECOND}", f"T{SECOND}"))
            # And these are for all of them
            for kind in (SOFTWARE, HARDWARE):
                gdb.insert(guest.spin + 4, kind)
                stop = answers(gdb, "vCont;c")
                check_thread(stop, FIRST)
                check("pc", pc_of(gdb), guest.spin + 4)
                gdb.remove(guest.spin + 4, kind)
                place(gdb, guest.spin)
        guest.plug()
        gdb.select(SECOND)
        guest.unplug()
        gdb.detach()
        check("state", guest.monitor.state(), "running")


def unplugged_running(bench: Bench) -> None:
    """item 18: a vCPU is unplugged that was resumed, and would have been reported"""
    with bench.guest(cpus=ROOM, thread="multi") as guest:
        gdb = guest.connect()
        gdb.run_to(guest.ready)
        for action in (f"vCont;c:{FIRST};c:{SECOND}", "c"):
            guest.plug()
            gdb._ok(f"Hc{SECOND}")
            check_thread(goes_on(gdb, action, meanwhile=guest.unplug), FIRST)
            check("it has run", guest.number(gdb, guest.counter) > 0, True)
            goes_on(gdb)


def described(bench: Bench) -> None:
    """item 15: `p` gives of each register as many bytes as it is described with (also unpatched)"""
    with bench.stopped() as (_, gdb):
        check("many", len(gdb.read()) > 70, True)


MSR_FP, MSR_VEC, MSR_VSX = 1 << 13, 1 << 25, 1 << 23


def by_name(bench: Bench) -> None:
    """item 15: what `P` writes is in the register of that name, for the guest, too (also unpatched)"""
    values = {name: int.from_bytes(bytes(range(n, n + size)), "big") for n, (name, size)
              in enumerate({"f0": 8, "f31": 8, "vr0": 16, "vr31": 16, "vs0h": 8}.items(), 17)}
    with bench.stopped() as (guest, gdb):
        msr = gdb.read(["msr"])["msr"]
        gdb.write("msr", msr | MSR_FP | MSR_VEC | MSR_VSX)
        for name, value in values.items():
            gdb.write(name, value)
        check("read", gdb.read(values), values)
        place(gdb, guest.named)
        gdb.run_to(guest.named_end)
        check("read when it has run", gdb.read(values), values)
        stored = gdb.read_memory(guest.buffer, 64)
        sizes = {"f0": 8, "f31": 8, "vr0": 16, "vr31": 16, "f0 of vs0": 8, "vs0h": 8}
        for name, size in sizes.items():
            check(f"{name} as the guest has it", stored[:size].hex(),
                  f"{values[name.split()[0]]:0{2 * size}x}")
            stored = stored[size:]
