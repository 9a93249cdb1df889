# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that stops for a debugger that nobody has started."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from common import LIMIT, Bench, Monitor, check
from lablib import reserve_port

# For an AVR that has no `lac`, which QEMU takes for a breakpoint:
#   inc r16; lac Z, r16
PROGRAM = struct.pack("<HH", 0x9503, 0x9306)


@contextlib.contextmanager
def unattended(bench: Bench) -> Iterator[Monitor]:
    """An Arduino with a monitor, and without a gdbserver."""
    work: Path = bench.options.work
    program, qmp, log = work / "avr.bin", work / "avr.qmp", work / "avr.log"
    program.write_bytes(PROGRAM)
    log.write_bytes(b"")
    bench.logs = [log]
    child = bench.children.start(
        [str(bench.options.qemu.with_name("qemu-system-avr")), "-M", "uno", "-nodefaults",
         "-nographic", "-bios", str(program), "-qmp", f"unix:{qmp},server=on,wait=off"], log)
    deadline = time.monotonic() + 20
    try:
        while True:
            with contextlib.suppress(OSError):
                monitor = Monitor.at(qmp)
                break
            if child.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("qemu-system-avr did not start")
            time.sleep(0.05)
        yield monitor
        monitor.close()
    finally:
        bench.children.stop(child)
        qmp.unlink(missing_ok=True)


def stops(monitor: Monitor) -> int:
    """The guest comes to its breakpoint; r16 there."""
    deadline = time.monotonic() + LIMIT
    while (state := monitor.state()) != "debug":
        if time.monotonic() > deadline:
            raise AssertionError(f"{state}; it should have come to its breakpoint")
        time.sleep(0.02)
    text = monitor.human("info registers")
    found = re.search(r"R\[16\]:\s*([0-9a-f]+)", text, re.I)
    if not found:
        raise AssertionError(f"no r16 in {text}")
    return int(found[1], 16)


def without_gdbserver(bench: Bench) -> None:
    """item 17: a vCPU that stops for a debugger runs on when the user says so"""
    with unattended(bench) as monitor:
        count = stops(monitor)
        for n in range(1, 4):
            monitor.run("cont")
            time.sleep(0.05)
            check("r16, counted once more", stops(monitor), count + n)
        monitor.run("system_reset")
        monitor.run("cont")
        stops(monitor)


def gdbserver_later(bench: Bench) -> None:
    """item 17: also when a gdbserver is started, has had a client, and is ended"""
    port = reserve_port()
    with unattended(bench) as monitor:
        count = stops(monitor)
        for n, device in enumerate((f"tcp:127.0.0.1:{port}", "", "none"), 1):
            if device:
                monitor.human(f"gdbserver {device}")
            else:
                socket.create_connection(("127.0.0.1", port), LIMIT).close()
                time.sleep(0.1)
            monitor.run("cont")
            time.sleep(0.05)
            check("r16, counted once more", stops(monitor), count + n)
