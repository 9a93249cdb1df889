# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps on LoongArch KVM, by raw packets: gdb itself asks for none."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import Bench, check, pc_of
from build import Image
from ci_steps import ioctls_of
from lablib import L2, L2Config, TcgReference
from rsp import Gdb, RspError

pytestmark = [pytest.mark.host("loongarch64")]

TOOLS = "loongarch64-linux-gnu-"
HERE = Path(__file__).resolve().parent
GENERAL = [*(f"r{n}" for n in range(32)), "pc"]
A0, T1, T2, T3, T4, T7 = "r4", "r13", "r14", "r15", "r16", "r19"
ALL_ONES = (1 << 64) - 1


def build(bench: Bench) -> Path:
    out = bench.options.work / "payloads"
    out.mkdir(parents=True, exist_ok=True)
    obj, elf = out / "loongarch64.o", out / "loongarch64.elf"
    subprocess.run([f"{TOOLS}as", "-o", obj, HERE / "payload" / "loongarch64.S"], check=True)
    # Above the device tree and the boot code of the board
    subprocess.run([f"{TOOLS}ld", "-static", "-N", "--no-warn-rwx-segments",
                    "-Ttext=0x1000000", "-o", elf, obj], check=True)
    return elf


@contextlib.contextmanager
def ready(bench: Bench, **changes: object) -> Iterator[tuple[L2, Gdb, dict[str, int]]]:
    """A guest that stands on `ready`."""
    elf = build(bench)
    guest = bench.lab.start_l2(L2Config(qemu=bench.options.qemu, payload=elf,
                                        **changes))            # type: ignore[arg-type]
    try:
        gdb = Gdb.connect(guest.gdb_port, timeout=30)
        symbols = Image.load(elf).symbols
        gdb.run_to(symbols["ready"])
        yield guest, gdb, symbols
    finally:
        guest.stop()


def same_as_tcg(bench: Bench) -> None:
    """clauses 1, 2, 3, 6: each step as TCG's: direct, mapped, PLV3, under a timer"""
    reference = TcgReference(build(bench), bench.options.work, bench.lab.children,
                             qemu=bench.lab.config.l0, cpu="la464", arch=bench.lab.arch)
    try:
        with ready(bench) as (_, gdb, symbols):
            other = Gdb(reference.socket)
            other.run_to(symbols["ready"])
            for steps in range(2000):
                got, want = gdb.read(GENERAL), other.read(GENERAL)
                for _ in range(20):
                    # A sequence is one step
                    if got["pc"] == want["pc"]:
                        break
                    other.step()
                    want = other.read(GENERAL)
                while got["pc"] == want["pc"] and not got[T7] and want[T7] == 1:
                    # The host was interrupted between ll and sc: the guest's loop
                    # comes here again
                    gdb.step()
                    gdb.step()
                    got = gdb.read(GENERAL)
                check(f"registers after {steps} steps",
                      {name: value for name, value in got.items() if value != want[name]}, {})
                if got["pc"] == symbols["end"]:
                    break
                gdb.step()
                other.step()
            check("at the end", pc_of(gdb), symbols["end"])
            check("memory", gdb.read_memory(symbols["data"], 64),
                  other.read_memory(symbols["data"], 64))
            bench.notes.append(f"loongarch64: {steps} steps as under TCG")
    finally:
        reference.close()


def number(gdb: Gdb, address: int) -> int:
    return int.from_bytes(gdb.read_memory(address, 8), "little")


def put(gdb: Gdb, address: int, **registers: int) -> None:
    gdb.write("pc", address)
    for name, value in registers.items():
        gdb.write(name, value)


def at_user(gdb: Gdb, symbols: dict[str, int]) -> None:
    """PLV3, interrupts on, a timer running"""
    gdb.run_to(symbols["user"], timeout=60)


def held_back(bench: Bench) -> None:
    """clause 3: no tick in a hundred steps with NOIRQ, all come behind them"""
    with ready(bench) as (_, gdb, symbols):
        at_user(gdb, symbols)
        put(gdb, symbols["loop"], **{T4: 1 << 40})
        before = number(gdb, symbols["ticks"])
        for _ in range(100):
            gdb.step()
        check("ticks in steps", number(gdb, symbols["ticks"]), before)
        gdb.resume("vCont;c")
        time.sleep(1)
        gdb.interrupt()
        check("ticks come", number(gdb, symbols["ticks"]) > before + 10, True)
        check("Qqemu.sstep", gdb.text("Qqemu.sstep=1"), "OK")
        put(gdb, symbols["loop"])
        inside = range(symbols["loop"], symbols["loop_end"])
        outside = 0
        for _ in range(50):
            gdb.step()
            outside += pc_of(gdb) not in inside
        check("without NOIRQ a step ends in the handler", outside > 10, True)


def offers(bench: Bench) -> None:
    """clause 9: sstepbits and vCont? are what there is"""
    with ready(bench) as (_, gdb, _):
        check("sstepbits", gdb.text("qqemu.sstepbits"), "ENABLE=1,NOIRQ=2")
        check("vCont?", gdb.text("vCont?"), "vCont;c;C;s;S;r")


def own_trap(bench: Bench) -> None:
    """clause 5: the guest's own hvcl 0x101, stepped, run, under a breakpoint"""
    with ready(bench) as (_, gdb, symbols):
        own, end = symbols["own"], symbols["own_end"]
        put(gdb, own)
        gdb.step()
        gdb.step()
        check("stepped", gdb.read([A0, "pc"]), {A0: ALL_ONES, "pc": own + 8})
        put(gdb, own)
        gdb.run_to(end)
        check("run, with a breakpoint elsewhere", gdb.read([A0, "r5"]),
              {A0: ALL_ONES, "r5": 0})
        put(gdb, own)
        gdb.insert(own + 4)
        gdb.cont()
        check("it has not run", gdb.read([A0, "pc"]), {A0: 77, "pc": own + 4})
        gdb.step()
        check("stepped off", gdb.read([A0, "pc"]), {A0: ALL_ONES, "pc": own + 8})


def stays(bench: Bench) -> None:
    """clause 1: a branch to itself, idle, a breakpoint that is stepped off"""
    with ready(bench) as (_, gdb, symbols):
        put(gdb, symbols["spin"])
        gdb.step()
        check("b .", pc_of(gdb), symbols["spin"])
        put(gdb, symbols["idling"])
        gdb.step()
        check("idle", pc_of(gdb), symbols["idling"] + 4)
        put(gdb, symbols["loop"])
        gdb.insert(symbols["loop"])
        gdb.step()
        check("stepped off", pc_of(gdb), symbols["loop"] + 4)
        check("memory underneath", gdb.read_memory(symbols["loop"], 4).hex(), "ce05c002")


def not_possible(bench: Bench) -> None:
    """clause 9: an instruction that reads the next one is refused, nothing changed"""
    with ready(bench) as (guest, gdb, symbols):
        put(gdb, symbols["touch"], **{T1: symbols["touch"] + 4})
        before = gdb.read(GENERAL)
        try:
            gdb.step()
        except RspError:
            pass
        else:
            raise AssertionError("it is not refused")
        check("registers", gdb.read(GENERAL), before)
        deadline = time.monotonic() + 10
        while "accesses the next one" not in guest.log.read_text():
            if time.monotonic() > deadline:
                raise AssertionError("the log does not say why")
            time.sleep(0.1)


def ranges(bench: Bench) -> None:
    """clauses 1, 8: a range in one packet; what it costs, and a step with `g`"""
    with ready(bench, extra=["-trace", "kvm_*ioctl"]) as (guest, gdb, symbols):
        at_user(gdb, symbols)
        loop, end = symbols["loop"], symbols["loop_end"]

        def step() -> None:
            gdb.step()
            gdb.read_g()

        put(gdb, loop, **{T4: 1000})
        step()
        each = ioctls_of(guest, step, 20).total() / 20
        put(gdb, loop, **{T2: 0, T3: 0, T4: 300})

        def run() -> None:
            gdb.resume(f"vCont;r{loop:x},{end:x}:p1.1")
            gdb.wait(60)

        taken = ioctls_of(guest, run).total() / 1200
        check("the loop is done", gdb.read([T2, T3, T4, "pc"]),
              {T2: 300, T3: 300, T4: 0, "pc": end})
        bench.notes.append(f"loongarch64: {each:.1f} ioctls for a step with `g`, "
                           f"{taken:.2f} for an instruction of a range")
        check("at most 6 and 3", (each <= 6, taken <= 3), (True, True))


def entries_move(bench: Bench) -> None:
    """clause 1: EENTRY and ECFG.VS written: the next exception ends at the new entry"""
    with ready(bench) as (_, gdb, symbols):
        new = symbols["entries"] + 0x40 * 512
        for vs in (0, 3, 7):
            put(gdb, symbols["set_entries"], **{T1: vs << 16, T2: new})
            for n in range(1, 4):
                gdb.step()
            # syscall: 0xb
            check(f"VS {vs}: pc", pc_of(gdb), new + (0xb * (4 << vs) if vs else 0))
            put(gdb, symbols["set_entries"],
                **{T1: 7 << 16, T2: symbols["entries"]})
            gdb.step()
            gdb.step()
