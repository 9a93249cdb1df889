# SPDX-License-Identifier: GPL-2.0-or-later
"""Stands in for those parts of avocado.utils that QEMU's reverse debugging tests use.

Like avocado's, this client never acks a reply; a stub takes its next packet for the ack.
"""

from __future__ import annotations

import logging
import shlex
import socket
import subprocess
import threading
from collections.abc import Callable
from types import SimpleNamespace


class GDBRemote:
    def __init__(self, host: str, port: int, no_ack_mode: bool = True,
                 extended_mode: bool = True) -> None:
        if no_ack_mode or extended_mode:
            raise NotImplementedError("QEMU's tests use neither")
        self.address = host, port

    def connect(self) -> None:
        self.sock = socket.create_connection(self.address)

    def cmd(self, data: bytes, expected: bytes | None = None) -> bytes:
        self.sock.sendall(b"$%b#%02x" % (data, sum(data) & 0xff))
        if (ack := self.sock.recv(1)) != b"+":
            raise AssertionError(f"{data!r}: {ack!r} for an ack")
        raw = b""
        while len(raw) < 4 or raw[-3:-2] != b"#":
            part = self.sock.recv(65536)
            if not part:
                raise AssertionError(f"{data!r}: the stub closed after {raw!r}")
            raw += part
        answer = raw[1:-3]
        if raw[:1] != b"$" or int(raw[-2:], 16) != sum(answer) & 0xff:
            raise AssertionError(f"{data!r}: {raw!r} is no packet")
        if expected is not None and answer != expected:
            raise AssertionError(f"{data!r}: {answer!r}, not {expected!r}")
        return answer


class LineLogger(threading.Thread):
    """Logs what comes from a file descriptor, lest its writer block."""

    def __init__(self, fd: int, logger: logging.Logger,
                 stop_check: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.file = socket.socket(fileno=socket.dup(fd))
        self.file.settimeout(1)
        self.logger, self.stop_check = logger, stop_check

    def run(self) -> None:
        while not self.stop_check():
            try:
                data = self.file.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
            if not data:
                break
            self.logger.debug("%r", data)


def run(command: str) -> None:
    subprocess.run(shlex.split(command), check=True, stdout=subprocess.DEVNULL)


gdb = SimpleNamespace(GDBRemote=GDBRemote)
datadrainer = SimpleNamespace(LineLogger=LineLogger)
process = SimpleNamespace(run=run)
