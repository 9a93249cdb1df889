# SPDX-License-Identifier: GPL-2.0-or-later
"""LoongArch KVM on an emulated LVZ: does a Linux guest compute what it should?"""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path

import pytest

from bench import Bench, check, pc_of
from lablib import LOONG64, LabError, l2_program
from rsp import Gdb

pytestmark = [pytest.mark.host("loongarch64")]

ROUNDS, ALL_ROUNDS = 20, 200     # the second with --full
# On each vCPU md5, gzip and floating point, each time with the results of the first
WORK = """
work() {
    n=0 wrong=0 first=
    while [ $n -lt ROUNDS ]; do
        n=$((n + 1))
        got="$(/bin/busybox md5sum </bin/busybox) $(/bin/sums)
            $(/bin/busybox gzip -c /bin/sums | /bin/busybox gunzip -c | /bin/busybox md5sum)"
        : ${first:=$got}
        if [ "$got" != "$first" ]; then
            wrong=$((wrong + 1))
            echo "vcpu $1 round $n: $got, first: $first"
        fi
    done
    echo "vcpu $1: $n rounds, $wrong wrong: "$first
}
"""
RESULT = r"vcpu %d: %d rounds, (\d+) wrong: ([0-9a-f]{32} - [0-9a-f]{16} \S+ [0-9a-f]{32} -)"


def rounds(bench: Bench, cpus: int) -> None:
    count = ALL_ROUNDS if bench.options.full else ROUNDS
    run = (WORK.replace("ROUNDS", str(count)), *(f"work {cpu} &" for cpu in range(cpus)))
    started = time.monotonic()
    with bench.guest(None, cpus=cpus, memory="1G", stopped=False, run=run) as guest:
        guest.wait_console(r"tick 2\b", 150)
        up = time.monotonic() - started
        results = set()
        for cpu in range(cpus):
            pattern = RESULT % (cpu, count)
            found = re.search(pattern, guest.wait_console(pattern, 1200))
            assert found
            check(f"vCPU {cpu}: wrong rounds", found[1], "0")
            results.add(found[2])
        check("results of the vCPUs", len(results), 1)
        # PRCFG1-3 that read 0, say
        found = re.search("UBSAN|shift-out|Oops|BUG:|stall|lockup", guest.console.read_text())
        check("what the kernel says", found and found[0], None)
        bench.notes.append(f"{cpus} vCPUs: up in {up:.1f} s, {count} rounds each in "
                           f"{time.monotonic() - started - up:.0f} s")


@pytest.mark.timeout(1500)
def rounds_1(bench: Bench) -> None:
    """Linux with one vCPU: rounds of md5, gzip and floating point, no difference"""
    rounds(bench, 1)


@pytest.mark.by_hand
@pytest.mark.timeout(1500)
def rounds_2(bench: Bench) -> None:
    """Linux with two vCPUs: the same on each"""
    rounds(bench, 2)


@pytest.mark.by_hand
@pytest.mark.timeout(2400)
def rounds_4(bench: Bench) -> None:
    """Linux with four vCPUs on a host of two processors: the same on each"""
    rounds(bench, 4)


SUMS = Path(__file__).parent / "linux" / "sums.c"


def code_at(program: bytes, address: int) -> bytes | None:
    """The instruction that a program has there."""
    at, = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for n in range(count):
        kind, flags, offset, start, _, length = struct.unpack_from("<IIQQQQ", program,
                                                                   at + n * size)
        if kind == 1 and flags & 1 and start <= address < start + length:
            return program[offset + address - start:][:4]
    return None


def mapped_memory(bench: Bench) -> None:
    """A debugger of a QEMU without TCG reads what a page table maps: a program's code"""
    program = l2_program(SUMS, bench.lab.cache, LOONG64.tools).read_bytes()
    run = ("while :; do /bin/sums >/dev/null; done &",)
    with bench.guest(None, memory="1G", stopped=False, run=run) as guest:
        guest.wait_console(r"tick 2\b", 150)
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        read = 0
        for _ in range(100):
            code = code_at(program, pc := pc_of(gdb))
            if code:
                check(f"code at {pc:#x}", gdb.read_memory(pc, 4).hex(), code.hex())
                read += 1
            if read == 5:
                break
            gdb.resume("c")
            time.sleep(0.05)
            gdb.interrupt()
        check("places", read, 5)
        gdb.detach()


def no_lvz_with_kvm(bench: Bench) -> None:
    """lvz=on with KVM: QEMU says that it needs TCG, and does not start"""
    with pytest.raises(LabError) as error, bench.guest(None, extra=["-cpu", "la464,lvz=on"]):
        pass
    said = error.value.logs[0].read_text()
    check("what QEMU says", "KVM has no LVZ for its guests: lvz=on needs TCG" in said, True)
