# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb itself over a proxy that counts: C code with loops of 10,000 rounds."""

from __future__ import annotations

from common import Bench, GdbRun, check
from proxy import resumes, show


def at_most(run: GdbRun, mark: str, most: int) -> None:
    """So many packets that let the target run."""
    packets = run.packets(mark)
    if resumes(packets) > most:
        raise AssertionError(f"{mark}: {resumes(packets)} packets that resume, should be "
                             f"{most} or fewer:\n{show(packets)}")


def both(bench: Bench, script: str, timeout: float = 20) -> list[GdbRun]:
    return [bench.gdb(name, script, timeout=timeout) for name in ("loop-O0", "loop-O1")]


def next_over_loops(bench: Bench) -> None:
    """item 2: `next` over a line of 10,000 rounds is one vCont;r"""
    for run in both(bench, """
to_line("nested")
with mark("next"):
    quiet("next")
say(line=line(), total=value("total"))
done()
"""):
        check("line", run.said["line"], bench.lines["nested_after"])
        check("total", run.said["total"], 100 * sum(range(100)))
        at_most(run, "next", 2)


def next_over_call(bench: Bench) -> None:
    """item 2: `next` over a line that calls a function ten times"""
    for run in both(bench, """
to_line("calls")
with mark("next"):
    quiet("next")
say(line=line(), total=value("total"))
done()
"""):
        check("line", run.said["line"], bench.lines["calls_after"])
        check("total", run.said["total"], sum(range(10)))
        # In, up to its caller, on: three each
        at_most(run, "next", 10 * 4 + 4)


def step_and_finish(bench: Bench) -> None:
    """item 2: `step` into a function and `finish`"""
    run = bench.gdb("loop-O0", """
to_line("calls")
with mark("step"):
    quiet("step")
say(into=function(), line=line(), a=value("a"), b=value("b"))
with mark("finish"):
    quiet("finish")
say(back=function(), back_line=line(), result=value("$"))
done()
""")
    check("function", run.said["into"], "add")
    check("line", run.said["line"], bench.lines["add"])
    check("arguments", (run.said["a"], run.said["b"]), (0, 0))
    check("function after finish", run.said["back"], "calls")
    check("line after finish", run.said["back_line"], bench.lines["calls"])
    check("result", run.said["result"], 0)
    at_most(run, "step", 4)
    at_most(run, "finish", 2)


def next_through_switch(bench: Bench) -> None:
    """item 2: `next` through a switch, to the case that is taken (also unpatched)"""
    run = bench.gdb("loop-O0", """
to_line("choose")
n = value("n")
quiet("next")
at = line()
quiet("next")
quiet("next")
say(n=n, at=at, back=function(), choice=value("choice"))
quiet("next")
say(choice=value("choice"))
done()
""")
    check("n", run.said["n"], 2)
    check("line", run.said["at"], bench.lines["choose_2"])
    check("function", run.said["back"], "choices")
    check("choice", run.said["choice"], 33)


def until_the_end(bench: Bench) -> None:
    """item 2: `until` at a loop's end runs through all of its rounds"""
    run = bench.gdb("loop-O0", """
to_line("lines_body")
with mark("head"):
    quiet("until")
say(head=line())
with mark("until"):
    quiet("until")
say(line=line(), total=value("total"), i=value("i"))
done()
""")
    check("line of the head", run.said["head"], bench.lines["lines_head"])
    check("line", run.said["line"], bench.lines["lines_after"])
    check("total and i", (run.said["total"], run.said["i"]), (20000, 10000))
    at_most(run, "until", 2)


def stepi(bench: Bench) -> None:
    """item 2: `stepi` is one instruction (also unpatched)"""
    run = bench.gdb("loop-O0", """
to_line("thousand")
first = pc()
where = []
with mark("stepi"):
    for _ in range(20):
        quiet("stepi")
        where.append(pc())
say(first=first, where=where)
done()
""")
    first = run.said["first"]
    # li, mtctr, then nop and bdnz in turns
    want = [first + 4, *([first + 8, first + 12] * 10)][:20]
    check("pc", run.said["where"], want)
    packets = run.packets("stepi")
    sent = [p for p in packets if p.from_gdb]
    bench.notes.append(f"gdb's stepi: {len(sent) / 20:.1f} packets, "
                       f"{run.said['time_stepi'] / 20 * 1000:.1f} ms each")


def breakpoint_in_range(bench: Bench) -> None:
    """items 2, 11: a breakpoint in the line that is stepped over stops there"""
    run = bench.gdb("loop-O0", """
to_line("thousand")
inside = pc() + 12
gdb.execute(f"break *{inside}")
stops = []
for n in range(4):
    with mark(f"next-{n}"):
        quiet("next")
    stops.append((pc() - inside, value("$ctr")))
quiet("delete")
with mark("last"):
    quiet("next")
say(stops=stops, line=line())
done()
""")
    check("places and CTR", run.said["stops"], [[0, 499 - n] for n in range(4)])
    check("line", run.said["line"], bench.lines["thousand_after"])
    for n in range(4):
        at_most(run, f"next-{n}", 2)
    at_most(run, "last", 2)


def breakpoint_in_callee(bench: Bench) -> None:
    """item 2: `next` stops at a breakpoint in a function that the line calls (also unpatched)"""
    run = bench.gdb("loop-O0", """
to_line("calls")
quiet(f"break loop.c:{LINES['add_return']}")
quiet("next")
say(function=function(), line=line(), sum=value("sum"))
quiet("next")
quiet("delete")
quiet("finish")
quiet("next")
say(end=line())
done()
""")
    check("function", run.said["function"], "add")
    check("line", run.said["line"], bench.lines["add_return"])
    check("sum", run.said["sum"], 0)


def interrupted_range(bench: Bench) -> None:
    """item 2: SIGINT while `next` is in an endless line"""
    run = bench.gdb("loop-O0", """
to_line("nested_before")
quiet(f"set var $pc = {value('(long)&forever')}")
to_line("forever")
quiet("maint packet vMark;next")
seen = interrupted("next")
quiet("maint packet vMark;end-next")
say(seen=seen, line=line(), function=function(), total=value("total"))
first = pc()
quiet("stepi")
say(stepped=pc() != first)
quiet(f"set var $pc = {value('(long)&nested')}")
to_line("nested_after")
say(after=line())
done()
""", interrupt_in="next")
    check("SIGINT was seen", run.said["seen"], True)
    check("function and line", (run.said["function"], run.said["line"]),
          ("forever", bench.lines["forever"]))
    check("it ran", run.said["total"] > 10, True)
    check("stepi afterwards", run.said["stepped"], True)
    check("continue afterwards", run.said["after"], bench.lines["nested_after"])
    at_most(run, "next", 2)


# Times fewer packets, of both sides, that a range of 1,000 instructions takes: without
# ranges gdb asks for each step and is answered; around them both ways are the same
FEWER = 80


def thousand_instructions(bench: Bench) -> None:
    """item 2: `next` over a line of 1,000 instructions, with range stepping and without"""
    ways = ("on", "off", "on-2", "on-3")
    run = bench.gdb("loop-O0", f"for way in {ways}:" + """
    quiet(f"set range-stepping {way.partition('-')[0]}")
    to_line("thousand")
    begin = pc()
    with mark(way):
        quiet("next")
    say(**{f"line_{way}": line()})
done()
""")
    counts = {}
    for way in ways:
        check("line", run.said[f"line_{way}"], bench.lines["thousand_after"])
        packets = run.packets(way)
        counts[way] = len(packets)
        bench.notes.append(
            f"next over 1,000 instructions, range-stepping {way}: {resumes(packets)} resumes, "
            f"{len(packets)} packets, {run.said[f'time_{way}'] * 1000:.0f} ms")
    check("steps without", resumes(run.packets("off")), 1000)
    for way in ways:
        if way != "off":
            at_most(run, way, 1)
            fewer = counts["off"] / counts[way]
            if fewer < FEWER:
                raise AssertionError(f"range-stepping {way}: {counts[way]} packets, only "
                                     f"{fewer:.1f} times fewer than {counts['off']}:\n"
                                     + show(run.packets(way)))
