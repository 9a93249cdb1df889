# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory and breakpoints: x, m, M, X, Z0, z0."""

from __future__ import annotations

from common import (FIRST, LIMIT, Bench, Gdb, Guest, answers, check, is_error, on, pc_of, place,
                    refused)
from rsp import checksum, escape

UNMAPPED = 0x7000000000
NOP = 0x60000000
ADDI_R5_100 = 0x38a50064        # addi r5, r5, 100


def fill(guest: Guest, gdb: Gdb, length: int) -> bytes:
    """Every byte that there is, at `buffer`; first all that are special."""
    data = (b"}#$*\x03+-\x00\x7d\x7d**" + bytes(range(256)) * (length // 256 + 1))[:length]
    for at in range(0, length, 1024):
        gdb.write_memory(guest.buffer + at, data[at:at + 1024])
    return data


def read_binary(bench: Bench) -> None:
    """item 8: x is what m is, escaped; any length and place"""
    with bench.stopped() as (guest, gdb):
        data = fill(guest, gdb, 2048)
        for at, length in ((0, 1), (0, 2), (1, 11), (0, 12), (3, 256), (7, 1000), (0, 2000)):
            answer = gdb.request(f"x{guest.buffer + at:x},{length:x}")
            check(f"x of {length} bytes", answer[:1], b"b")
            check(f"x of {length} bytes at {at}", answer[1:], data[at:at + length])
            check("and m", gdb.read_memory(guest.buffer + at, length), answer[1:])
        # Raw: what has to be escaped is
        gdb.link.sock.sendall(b"$x%x,5#%02x" % (guest.buffer, checksum(
            b"x%x,5" % guest.buffer)))
        raw = b""
        gdb.link.sock.settimeout(LIMIT)
        while b"#" not in raw or len(raw) < raw.index(b"#") + 3:
            raw += gdb.link.sock.recv(4096)
        gdb.link.sock.sendall(b"+")
        body = b"b" + escape(data[:5])
        check("raw answer", raw, b"+$%b#%02x" % (body, checksum(body)))


def read_binary_much(bench: Bench) -> None:
    """item 8: fewer bytes than asked for when they do not fit, never more than a packet"""
    with bench.stopped() as (guest, gdb):
        size = gdb.packet_size
        # The buffer is the end of the guest: behind it there is memory only
        data = fill(guest, gdb, 3 * size)
        for length in (size // 2, size, size + 1, 2 * size, 0xffffffff):
            answer = gdb.request(f"x{guest.buffer:x},{length:x}")
            got = answer[1:]
            check("x", answer[:1], b"b")
            check(f"x of {length} bytes", got, data[:min(length, len(got))])
            if not size // 4 <= len(got) <= length:
                raise AssertionError(f"x of {length} bytes gives {len(got)}")
            check("it fits a packet", len(escape(got)) + 1 <= size, True)
        # In pieces, all of it
        whole = b""
        while len(whole) < len(data):
            whole += gdb.request(f"x{guest.buffer + len(whole):x},"
                                 f"{len(data) - len(whole):x}")[1:]
        check("all of it", whole, data)
        # The worst to escape
        for at in range(0, size, 1024):
            gdb.write_memory(guest.buffer + at, b"}" * 1024)
        answer = gdb.request(f"x{guest.buffer:x},{size:x}")
        check("x", answer[:1] == b"b" and set(answer[1:]) == {0x7d}, True)
        check("it fits a packet", 2 * (len(answer) - 1) + 1 <= size, True)


def read_binary_wrong(bench: Bench) -> None:
    """item 8: E14 where nothing is; no data for malformed ones"""
    with bench.stopped() as (guest, gdb):
        check("m of it", gdb.text(f"m{UNMAPPED:x},4"), "E14")
        check("x of it", gdb.text(f"x{UNMAPPED:x},4"), "E14")
        for packet in ("x", "x1000", f"x{guest.buffer:x}", "xzz,4"):
            answer = gdb.text(packet)
            check(f"{packet}: {answer!r} is no data", answer == "" or is_error(answer), True)
        check("pc", pc_of(gdb), guest.ready)


def read_much(bench: Bench) -> None:
    """item 9: m gives as much as fits a packet, never an error for its size"""
    with bench.stopped() as (guest, gdb):
        size = gdb.packet_size
        data = fill(guest, gdb, size)
        for length in (size // 2 - 4, size // 2 - 1, size // 2, size // 2 + 1, size,
                       2 * size, 0xffffffff):
            answer = gdb.text(f"m{guest.buffer:x},{length:x}")
            if is_error(answer):
                raise AssertionError(f"m of {length} bytes: {answer}")
            got = bytes.fromhex(answer)
            check(f"m of {length} bytes", got, data[:len(got)])
            check(f"m of {length} bytes fits", len(answer) <= size, True)
            if len(got) < min(length, size // 2 - 4):
                raise AssertionError(f"m of {length} bytes gives {len(got)}")


def write_packet(address: int, data: bytes, size: int) -> str:
    """An M packet of `size` characters, with zeros in front of the address."""
    rest = f",{len(data):x}:{data.hex()}"
    return f"M{address:0{size - 1 - len(rest)}x}{rest}"


def full_packet(bench: Bench) -> None:
    """item 9: a packet of PacketSize characters, and just below, is taken"""
    with bench.stopped() as (guest, gdb):
        size = gdb.packet_size
        for short in (2, 1, 0):
            data = bytes((n * 7 + short) & 0xff for n in range(size // 2 - 20))
            packet = write_packet(guest.buffer, data, size - short)
            check("size of the packet", len(packet), size - short)
            try:
                answer = gdb.text(packet, LIMIT)
            except Exception as err:
                raise AssertionError(f"{len(packet)} characters: {err}") from None
            check(f"{len(packet)} characters", answer, "OK")
            check("memory", gdb.text(f"m{guest.buffer:x},{len(data):x}"), data.hex())


def large_packet(bench: Bench) -> None:
    """item 9: a longer packet is an error, and nothing else happens"""
    with bench.stopped() as (guest, gdb):
        size = gdb.packet_size
        gdb.link.timeout = LIMIT
        before = fill(guest, gdb, 1024)
        for more in (1, 2, 100, size, 3 * size):
            packet = write_packet(guest.buffer, bytes(size // 2 - 20), size + more)
            try:
                answer = gdb.text(packet, LIMIT)
            except Exception as err:
                raise AssertionError(f"{len(packet)} characters: {err}") from None
            check(f"{len(packet)} characters are an error", is_error(answer), True)
            check("memory", gdb.read_memory(guest.buffer, 1024), before)
            check("pc", pc_of(gdb), guest.ready)


def under_breakpoint(bench: Bench) -> None:
    """item 10: memory under a Z0 reads as it was; writes go under it (also unpatched)"""
    with bench.stopped() as (guest, gdb):
        at = guest.straight + 8
        before = gdb.read_memory(guest.straight, 32)
        gdb.insert(at)
        check("m over it", gdb.read_memory(guest.straight, 32), before)
        check("m of a part of it", gdb.read_memory(at + 1, 2), before[9:11])
        place(gdb, guest.straight)
        answers(gdb, "vCont;c")
        check("m at the stop", gdb.read_memory(guest.straight, 32), before)
        # Another instruction under it, alone and with its neighbours
        for around in (0, 4):
            word = (NOP if around else ADDI_R5_100).to_bytes(4, "big")
            start = 8 - around
            data = before[start:8] + word + before[12:12 + around]
            gdb.write_memory(at - around, data)
            check("read back", gdb.read_memory(at - around, len(data)), data)
            place(gdb, guest.straight)
            answers(gdb, "vCont;c")
            check("it is hit", pc_of(gdb), at)
            check("read at the stop", gdb.read_memory(at, 4), word)
        gdb.write_memory(at, ADDI_R5_100.to_bytes(4, "big"))
        gdb.remove(at)
        check("without it", gdb.read_memory(at, 4), ADDI_R5_100.to_bytes(4, "big"))
        place(gdb, guest.straight)
        gdb.write("r5", 0)
        gdb.run_to(guest.straight_end, LIMIT)
        check("r5", on(gdb, FIRST, "r5"), [12 + 100])


def under_breakpoint_binary(bench: Bench) -> None:
    """item 10: the same with x, and with X where that is offered"""
    with bench.stopped() as (guest, gdb):
        at = guest.straight + 8
        before = gdb.read_memory(guest.straight, 32)
        gdb.insert(at)
        check("x over it", gdb.request(f"x{guest.straight:x},20"), b"b" + before)
        word = ADDI_R5_100.to_bytes(4, "big")
        answer = gdb.text(b"X%x,4:%b" % (at, escape(word)))
        if answer == "":
            gdb.write_memory(at, word)
        else:
            check("X", answer, "OK")
        check("x", gdb.request(f"x{at:x},4"), b"b" + word)
        place(gdb, guest.straight)
        answers(gdb, "vCont;c")
        check("it is hit", pc_of(gdb), at)
        gdb.remove(at)
        check("x without it", gdb.request(f"x{at:x},4"), b"b" + word)


def remove_what_is_not_there(bench: Bench) -> None:
    """item 12: z of what was never put in, or is gone, is an error (also unpatched)"""
    with bench.stopped() as (guest, gdb):
        gdb.insert(guest.spin)
        refused(gdb, [f"z0,{guest.straight:x},4", f"z1,{guest.straight:x},4",
                      f"z2,{guest.counter:x},8"])
        place(gdb, guest.spin + 4)
        answers(gdb, "vCont;c")
        gdb.remove(guest.spin)
        refused(gdb, [f"z0,{guest.spin:x},4"])


# Many breakpoints

def many(gdb: Gdb, letter: str, addresses: list[int]) -> None:
    """Insert or remove them, many packets on their way at a time."""
    for first in range(0, len(addresses), 100):
        part = addresses[first:first + 100]
        gdb.link.send_many(f"{letter}0,{at:x},4" for at in part)
        for at in part:
            if gdb.link.unacked:
                gdb.link.ack()
            check(f"{letter}0,{at:x}", gdb.link.receive(), b"OK")


def many_breakpoints(bench: Bench) -> None:
    """item 13: inserting, hitting, removing costs the same with 10,000 present"""
    with bench.stopped() as (guest, gdb):
        room = list(range(guest.crowd_room, guest.crowd_room + 4 * 10000, 4))
        few, block = 10, 500
        early, late = room[few:few + block], room[-block:]
        bulk = room[few + block:-block]

        def cost(what: list[int], letter: str) -> float:
            begun = guest.processor_time()
            many(gdb, letter, what)
            return (guest.processor_time() - begun) / len(what) * 1e6

        def hit() -> float:
            place(gdb, guest.crowd)
            gdb.insert(guest.crowd_end)
            begun = guest.processor_time()
            answers(gdb, "vCont;c", timeout=30)
            spent = guest.processor_time() - begun
            gdb.remove(guest.crowd_end)
            check("pc and r3", on(gdb, FIRST, "pc", "r3"), [guest.crowd_end, 10000])
            return spent * 1e3

        many(gdb, "Z", room[:few])
        cost(late, "Z")                 # warms up
        cost(late, "z")
        hit()
        hit_few = min(hit() for _ in range(3))
        insert_few = cost(early, "Z")
        many(gdb, "Z", bulk)
        insert_many = cost(late, "Z")
        hit_many = min(hit() for _ in range(3))
        remove_many = cost(early, "z")          # the oldest, with all others there
        many(gdb, "z", bulk)
        remove_few = cost(late, "z")
        bench.notes.append(
            f"breakpoints, 10 and 10,000 present: insert {insert_few:.1f} and "
            f"{insert_many:.1f} us, remove {remove_few:.1f} and {remove_many:.1f} us, "
            f"30,000 instructions beside them {hit_few:.1f} and {hit_many:.1f} ms")
        for what, little, much in (("insert", insert_few, insert_many),
                                   ("remove", remove_few, remove_many),
                                   ("hit", hit_few, hit_many)):
            if much > 2 * little + (2 if what == "hit" else 10):
                raise AssertionError(f"{what}: {little:.1f} with 10, {much:.1f} with 10,000")
