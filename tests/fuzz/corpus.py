#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs for gdbstub-fuzz from sessions of gdb: corpus.py OUT LOG...

LOG is what gdb wrote with `set remotelogfile LOG`; OUT a directory.  Of every
session the packets that gdb sent are kept, in its order; a run that the stub
has answered becomes an instruction and a stop of the model's.  Addresses stay
as they were but for the highest digits, so that many are in the model's memory.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from typing import Iterator

LIMIT = 1500            # bytes of an input; longer sessions become several
RESUMES = re.compile(rb"[cCsS]|vCont;|bs|bc")
ADDRESS = re.compile(rb"^([mMXxzZ]\d?,?|vCont;r)([0-9a-f]+),")
ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t", b"\\a": b"\a",
           b"\\b": b"\b", b"\\f": b"\f", b"\\v": b"\v", b"\\e": b"\x1b"}


def unescape(text: bytes) -> bytes:
    """gdb's log has what is not printable as \\n, \\\\ or \\ooo or \\xhh."""
    def one(found: re.Match[bytes]) -> bytes:
        code = found[0]
        if code in ESCAPES:
            return ESCAPES[code]
        if code[1:2] == b"x":
            return bytes((int(code[2:], 16),))
        return bytes((int(code[1:], 8) & 0xff,)) if code[1:2].isdigit() else code[1:]
    return re.sub(rb"\\(?:x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", one, text)


def directions(log: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(b"w" or b"r", bytes) in the order of the log, each as long as it may be."""
    before, data = b"", b""
    for line in log.splitlines():
        found = re.match(rb"([wrc]) (.*)", line, re.S)
        if not found:
            continue
        if found[1] != before and data:
            yield before, data
            data = b""
        before = found[1]
        data += unescape(found[2])
    if data:
        yield before, data


def packets(data: bytes) -> list[bytes]:
    """Without acks; ^C is one, too."""
    return [found[1] if found[1] is not None else b"^"
            for found in re.finditer(rb"\$([^#]*)#..|\x03", data, re.S)]


def nearer(packet: bytes) -> bytes:
    """The same at an address of the model's."""
    def one(found: re.Match[bytes]) -> bytes:
        return b"%b%x," % (found[1], int(found[2], 16) & 0x3fff)
    return ADDRESS.sub(one, packet)


def session(log: bytes) -> Iterator[list[bytes]]:
    """Groups of events that belong together: a packet and what comes of it."""
    running = b""
    for direction, data in directions(log):
        for packet in packets(data):
            if direction == b"r":
                if running and packet[:1] in b"TS":
                    other = b"1" if packet.endswith(b".02;") else b"0"
                    yield [b"r" + other + b"\x21", b"p"]
                    running = b""
            elif packet == b"^":
                yield [packet]
            elif b"\n" not in packet:
                yield [b"$" + nearer(packet)]
                running = packet if RESUMES.match(packet) else b""


def inputs(log: bytes) -> Iterator[bytes]:
    """At most LIMIT bytes each, from the beginning of the session and from later."""
    start = b"T0\n$qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+\n$?\n"
    now, known = b"", set()
    for events in session(log):
        text = b"\n".join(events) + b"\n"
        # Of packets that repeat, some will do
        if text in known and len(text) > 40:
            continue
        known.add(text)
        if len(text) > LIMIT:
            continue
        if now and len(now) + len(text) > LIMIT:
            yield now
            now = b""
        now = (now or start) + text
    if now:
        yield now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("logs", type=Path, nargs="+", metavar="log")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for log in options.logs:
        for data in inputs(log.read_bytes()):
            name = f"{log.stem}-{hashlib.sha256(data).hexdigest()[:8]}"
            (options.out / name).write_bytes(data)


if __name__ == "__main__":
    main()
