# SPDX-License-Identifier: GPL-2.0-or-later
"""What passes between gdb and a stub: a TCP proxy that keeps every packet."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import Callable

INTERRUPT = b"\x03"


@dataclass(frozen=True)
class Packet:
    when: float
    from_gdb: bool
    data: bytes                 # between $ and #, as sent; or INTERRUPT


class Splitter:
    """Packets out of a stream of bytes; acks are left out."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.take = take
        self.pending = b""

    def feed(self, data: bytes) -> None:
        self.pending += data
        while self.pending:
            first = self.pending[:1]
            if first != b"$":
                if first == INTERRUPT:
                    self.take(INTERRUPT)
                self.pending = self.pending[1:]
                continue
            end = self.pending.find(b"#")
            if end < 0 or len(self.pending) < end + 3:
                return
            self.take(self.pending[1:end])
            self.pending = self.pending[end + 3:]


class Proxy:
    """Passes on one connection; a context manager."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.packets: list[Packet] = []
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for sock in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            gdb, _ = self.listener.accept()
            stub = socket.create_connection(("127.0.0.1", self.target_port))
            self.sockets = [gdb, stub]
            for sock in self.sockets:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pair in ((gdb, stub, True), (stub, gdb, False)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, from_gdb: bool) -> None:
        splitter = Splitter(lambda data: self._keep(from_gdb, data))
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
                splitter.feed(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def _keep(self, from_gdb: bool, data: bytes) -> None:
        with self.changed:
            self.packets.append(Packet(time.monotonic(), from_gdb, data))
            self.changed.notify_all()

    # What was seen

    def wait_for(self, seen: Callable[[list[Packet]], bool], timeout: float) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: seen(self.packets), timeout)

    def between(self, first: bytes, last: bytes) -> list[Packet]:
        """gdb's and the stub's packets behind gdb's `first` and before its `last`."""
        with self.changed:
            packets = self.packets[:]
        ends = {p.data: n for n, p in enumerate(packets) if p.from_gdb}
        if first not in ends or last not in ends:
            raise AssertionError(f"{first!r} or {last!r} was never sent")
        # The first one's answer is not part of it.
        return packets[ends[first] + 2:ends[last]]


def resumes(packets: list[Packet]) -> int:
    """How often gdb let the target run."""
    return sum(1 for p in packets
               if p.from_gdb and p.data.startswith((b"vCont;", b"s", b"c")))


def sent(packets: list[Packet], data: str) -> bool:
    return any(p.from_gdb and p.data == data.encode() for p in packets)


def show(packets: list[Packet], most: int = 40) -> str:
    """One line a packet."""
    lines = [f"{p.when - packets[0].when:9.4f} {'->' if p.from_gdb else '<-'} "
             f"{p.data[:90].decode('latin-1')}" for p in packets[:most]]
    if len(packets) > most:
        lines.append(f"... and {len(packets) - most} more")
    return "\n".join(lines)
