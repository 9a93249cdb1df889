# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that write over breakpoints."""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "gdbstub")]

from bench import Bench, check, on_arm64, on_x86, pc_of         # noqa: E402
from ci_boot import SIZE, assembled                             # noqa: E402
from ci_gdbstub import SOFTWARE, KvmBench                       # noqa: E402
from common import FIRST, answers, on, place                    # noqa: E402
from rsp import Gdb                                             # noqa: E402

FW_CFG_DIRECTORY = 0x19


def dma_code(descriptor: int, target: int) -> bytes:
    """fw_cfg's address register has the high half at 0x514, the low one at 0x518."""
    return bytes.fromhex("66ba1405 31c0 ef 66ba1805 b8") + descriptor.to_bytes(4, "big") + (
        b"\xef\xbb" + target.to_bytes(4, "little") + bytes.fromhex("ffe3"))


@pytest.mark.host(*on_x86.args)
def written_by_dma(bench: Bench) -> None:
    """code that a device writes over a breakpoint, with a DMA that the guest begins"""
    code = b"P" * SIZE          # push %rax
    with KvmBench(bench).stopped(extra=("-fw_cfg", f"name=opt/code,string={code.decode()}")
                                 ) as (target, gdb):
        begin = target.data + 0x2000 + 63 & ~63
        descriptor, loop, there = (begin + 0x1000 * n for n in (1, 2, 4))
        gdb.write_memory(loop, bytes.fromhex("ebfe"))

        def read(key: int, length: int, to: int, then: int) -> None:
            gdb.write_memory(descriptor, (key << 16 | 0xa).to_bytes(4, "big")
                             + length.to_bytes(4, "big") + to.to_bytes(8, "big"))
            gdb.write_memory(begin, dma_code(descriptor, then))
            place(gdb, begin)

        read(FW_CFG_DIRECTORY, 0x1000, there, loop)
        gdb.run_to(loop)
        listed = gdb.read_memory(there, 0x1000)
        key, = (int.from_bytes(listed[at + 4:at + 6], "big")
                for at in range(4, 0x1000 - 64, 64)
                if listed[at + 8:].startswith(b"opt/code\0"))
        gdb.insert(there, SOFTWARE, 1)
        stack = gdb.read(["r4"])["r4"]
        read(key, SIZE, there, loop)            # noticed, and looked for from then on
        gdb.resume("vCont;c")
        time.sleep(1)
        gdb.interrupt(10)
        for number in range(30):
            gdb.write_memory(there, bytes(SIZE))
            read(key, SIZE, there, there)
            gdb.write("r4", stack)
            answers(gdb, "vCont;c")
            check(f"{number}: pc", pc_of(gdb), there)
            check(f"{number}: memory", gdb.read_memory(there, SIZE), code)
            gdb.step()
            check(f"{number}: rsp", gdb.read(["r4"])["r4"], stack - 8)
        gdb.remove(there, SOFTWARE, 1)
        check("memory", gdb.read_memory(there, SIZE), code)


# What a driver of a virtio disk, and of its only queue, writes to its registers
VIRTIO_DISK = 0x0a000000        # virtio-mmio-bus.0 of QEMU's virt machine
RAM = 0x50000000
QUEUE, USED, HEADER, STATUS = (RAM + 0x1000 * n for n in (1, 3, 4, 5))
VIRTIO_SETUP = {
    "Status": ((0x70, 0), (0x70, 1), (0x70, 3)),
    "DriverFeatures: VERSION_1": ((0x24, 1), (0x20, 1), (0x24, 0), (0x20, 0)),
    "FEATURES_OK": ((0x70, 11),),
    "Queue": ((0x30, 0), (0x38, 4), (0x80, QUEUE), (0x84, 0), (0x90, QUEUE + 0x1000),
              (0x94, 0), (0xa0, USED), (0xa4, 0), (0x44, 1)),
    "DRIVER_OK": ((0x70, 15),)}
VIRTIO_NOTIFY = ((0x50, 0),)
SECTOR = 512
# 1: ldp x2, x3, [x0], 16; cbz x2, 2f; str w3, [x2]; b 1b; 2: ldrh w5, [x6]; cmp w5, w7;
# b.ne 2b; dsb; ic ialluis; dsb; isb; br x4
VIRTIO_CODE = ("a8c10c02 b4000062 b9000043 17fffffd 794000c5 6b0700bf 54ffffc1 "
               "d5033b9f d508711f d5033b9f d5033fdf d61f0080")


class Disk:
    """A guest that lets a virtio disk write code, and goes there as soon as it has."""

    there, loop, begin, table = (RAM + 0x10000 * n for n in range(1, 5))

    def __init__(self, gdb: Gdb) -> None:
        self.gdb = gdb
        self.requests = 0
        gdb.write_memory(self.begin, assembled(VIRTIO_CODE, "little"))
        gdb.write_memory(self.loop, assembled("14000000", "little"))
        # Address, length, flags (2: the device writes; 1: there is a next one), next
        descriptors = ((HEADER, 16, 1, 1), (self.there, SECTOR, 3, 2), (STATUS, 1, 2, 0))
        gdb.write_memory(QUEUE, b"".join(struct.pack("<QIHH", *one) for one in descriptors))

    @staticmethod
    def code(number: int) -> bytes:
        words = 0x52800005 | number << 5, 0x14000000            # mov w5, number; b .
        return struct.pack("<2I", *words).ljust(SECTOR, b"\0")

    def reads(self, number: int, then: int) -> None:
        """A sector is to be read, and the guest goes to `then`."""
        writes = () if self.requests else tuple(sum(VIRTIO_SETUP.values(), ()))
        self.requests += 1
        table = [(VIRTIO_DISK + at, value) for at, value in (*writes, *VIRTIO_NOTIFY)]
        self.gdb.write_memory(self.table, b"".join(struct.pack("<2Q", *one)
                                                   for one in (*table, (0, 0))))
        self.gdb.write_memory(HEADER, struct.pack("<IIQ", 0, 0, number))
        self.gdb.write_memory(QUEUE + 0x1000, struct.pack("<2H4H", 0, self.requests, *[0] * 4))
        for register, value in {"r0": self.table, "r4": then, "r6": USED + 2,
                                "r7": self.requests}.items():
            self.gdb.write(register, value)
        place(self.gdb, self.begin)


def disk_writes(bench: Bench, rounds: int) -> None:
    image = bench.options.work / "code.img"
    image.write_bytes(b"".join(map(Disk.code, range(64))))
    options = ("-global", "virtio-mmio.force-legacy=false", "-drive",
               f"if=none,id=code,format=raw,read-only=on,file={bench.lab.push(image)}",
               "-device", "virtio-blk-device,drive=code,bus=virtio-mmio-bus.0")
    with KvmBench(bench).stopped(extra=options) as (_, gdb):
        disk = Disk(gdb)
        gdb.insert(disk.there, SOFTWARE, 4)
        disk.reads(63, disk.loop)               # noticed, and looked for from then on
        gdb.resume("vCont;c")
        time.sleep(1)
        gdb.interrupt(10)
        check("pc", pc_of(gdb), disk.loop)
        check("memory", gdb.read_memory(disk.there, SECTOR), disk.code(63))
        for number in (number % 63 for number in range(rounds)):
            disk.reads(number, disk.there)
            answers(gdb, "vCont;c")
            check(f"{number}: pc", pc_of(gdb), disk.there)
            check(f"{number}: memory", gdb.read_memory(disk.there, SECTOR), disk.code(number))
            answers(gdb, f"vCont;s:{FIRST}")
            check(f"{number}: what runs", on(gdb, FIRST, "r5"), [number])
        gdb.remove(disk.there, SOFTWARE, 4)
        check("the disk's status", gdb.read_memory(STATUS, 1), b"\0")
        check("memory", gdb.read_memory(disk.there, SECTOR), disk.code((rounds - 1) % 63))


@pytest.mark.host(*on_arm64.args)
def written_by_virtio(bench: Bench) -> None:
    """code that a virtio disk writes over a breakpoint, which the guest waits for"""
    disk_writes(bench, 30)


@pytest.mark.host(*on_arm64.args)
@pytest.mark.by_hand
@pytest.mark.timeout(3600)
def written_by_virtio_long(bench: Bench) -> None:
    """the same 10,000 times"""
    disk_writes(bench, 10000)
