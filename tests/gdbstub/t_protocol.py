# SPDX-License-Identifier: GPL-2.0-or-later
"""Acks, and packets that are no packets."""

from __future__ import annotations

import time

from common import (FIRST, LIMIT, Bench, Gdb, RspTimeout, answers, check, goes_on, nothing_more,
                    on, pc_of, place, refused)
from rsp import checksum


def raw(gdb: Gdb, data: bytes, want: bytes) -> None:
    """Bytes as they are, and exactly these for an answer."""
    gdb.link.sock.sendall(data)
    gdb.link.sock.settimeout(LIMIT)
    got = b""
    while len(got) < len(want):
        try:
            part = gdb.link.sock.recv(4096)
        except TimeoutError:
            break
        if not part:
            break
        got += part
    check(f"answer to {data[:60]!r}", got, want)
    nothing_more(gdb, 0.15)


def packet(data: bytes) -> bytes:
    return b"$%b#%02x" % (data, checksum(data))


def no_ack_mode(bench: Bench) -> None:
    """item 7: no acks from either side, for steps, stops and memory"""
    with bench.stopped() as (guest, gdb):
        gdb.start_no_ack()
        for _ in range(5):
            answers(gdb, f"vCont;s:{FIRST}")
        gdb.insert(guest.spin)
        answers(gdb, "vCont;c")
        check("pc", pc_of(gdb), guest.spin)
        gdb.remove(guest.spin)
        goes_on(gdb)
        gdb.write_memory(guest.buffer, b"abcd")
        check("memory", gdb.read_memory(guest.buffer, 4), b"abcd")
        check("many at a time", len(gdb.read_raw(range(32))), 32)
        nothing_more(gdb)


def no_ack_raw(bench: Bench) -> None:
    """item 7: the OK is acked, then wrong checksums are dropped silently"""
    with bench.stopped() as (guest, gdb):
        pc = b"%016x" % guest.ready
        raw(gdb, packet(b"QStartNoAckMode"), b"+" + packet(b"OK"))
        gdb.link.sock.sendall(b"+")
        gdb.link.acks = False
        raw(gdb, packet(b"p40"), packet(pc))
        raw(gdb, packet(b"p40"), packet(pc))
        raw(gdb, b"$p40#00", b"")
        raw(gdb, b"$p40#00" + packet(b"p40"), packet(pc))
        # Acks of a client that still sends them
        raw(gdb, b"+" + packet(b"p40") + b"+", packet(pc))
        raw(gdb, b"-", b"")
        raw(gdb, packet(b"QStartNoAckMode"), packet(b"OK"))


def no_ack_ends(bench: Bench) -> None:
    """item 7: a new connection starts with acks"""
    with bench.stopped() as (guest, gdb):
        gdb.start_no_ack()
        gdb.close()
        gdb = guest.connect()           # checks all acks
        answers(gdb, f"vCont;s:{FIRST}")
        gdb.start_no_ack()
        gdb.text("?")
        gdb.detach()
        gdb = guest.connect()
        answers(gdb, f"vCont;s:{FIRST}")


def acks(bench: Bench) -> None:
    """item 7: a wrong checksum is refused; `-` has the last answer again (also unpatched)"""
    with bench.stopped() as (guest, gdb):
        pc = b"%016x" % guest.ready
        raw(gdb, b"$p40#00", b"-")
        raw(gdb, packet(b"p40"), b"+" + packet(pc))
        raw(gdb, b"-", packet(pc))
        raw(gdb, b"-", packet(pc))
        raw(gdb, b"+", b"")
        raw(gdb, b"+", b"")
        check("pc", pc_of(gdb), guest.ready)


def nonsense(bench: Bench) -> None:
    """items 2, 8, 9: malformed packets are answered, change nothing, and run nothing"""
    with bench.stopped() as (guest, gdb):
        before = gdb.read_g()
        silent = []
        for text in ("vCont", "vCont;", "vCont;;", "vCont;q", "vCont;s:", "vCont;s:pz.1",
                     "vCont;C", "vCont;Szz", "vCont;s:p1.1:p1.1", "vCont;r", "vContr1,2",
                     "Z", "Z0", "Z0,", "Z9,0,4", "z", "M", "M0", "M0,4:", "M0,4:00", "M0,zz:",
                     "m", "m0", "m0,", "p", "pzz", "P", "P40", "Hc", "Hg", "H", "Hgp9.9",
                     "T", "x", "X", "X0,4:", "QStart", "Qqemu.sstep", "qXfer:features:read",
                     "qXfer:features:read:none:0,10", "\x01", "}", "vFile"):
            try:
                answer = gdb.text(text, 0.5)
            except RspTimeout:
                silent.append(text)
                continue
            if answer[:1] in ("T", "S", "O", "W"):
                raise AssertionError(f"{text!r}: {answer!r}")
        check("packets that have no answer", silent, [])
        nothing_more(gdb)
        check("state", guest.monitor.state() != "running", True)
        gdb.select(FIRST)
        check("g", gdb.read_g().hex(), before.hex())
        answers(gdb, f"vCont;s:{FIRST}")
        check("pc", on(gdb, FIRST, "pc"), [guest.ready + 4])
        # Detached from, it has no vCPU that could be resumed
        gdb._ok("D;1")
        gdb.link.sock.sendall(b"\x03")
        nothing_more(gdb)
        check("state", guest.monitor.state(), "paused")
        refused(gdb, ("vCont;c", "vCont;s", "c", "s"))
        check("state", guest.monitor.state(), "paused")


def truncated(bench: Bench) -> None:
    """items 9, 14: a connection that ends in the middle of a packet is forgotten with it"""
    with bench.stopped() as (guest, gdb):
        place(gdb, guest.spin)
        for part in (b"$", b"$vCont;r", b"$m4000", b"$p40#", b"$p40#2", b"$X0,4:}"):
            gdb.link.sock.sendall(part)
            time.sleep(0.05)
            gdb.close()
            gdb = guest.connect()
            check("pc", pc_of(gdb), guest.spin)
        goes_on(gdb)
