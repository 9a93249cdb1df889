# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes of this machine: children, their logs and ports, the time they may take."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

TAIL_LINES = 15


class LabError(Exception):
    """What went wrong, in one line, and the logs that tell more."""

    def __init__(self, message: str, logs: Iterable[Path] = ()) -> None:
        super().__init__(message)
        self.logs = list(logs)

    def report(self, stream: TextIO = sys.stderr) -> None:
        print(f"lab: {self}", file=stream)
        for log in self.logs:
            print(f"lab: last lines of {log}:", file=stream)
            for line in tail(log):
                print(f"    {line}", file=stream)


def tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a console log, without control characters."""
    try:
        text = path.read_bytes()[-65536:].decode("utf-8", "replace")
    except OSError as err:
        return [f"({err.strerror})"]
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    kept = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    return [line for line in kept if line][-lines:] or ["(empty)"]


class Progress:
    """One line a phase: updated in place on a terminal, plain otherwise."""

    def __init__(self, stream: TextIO = sys.stderr, quiet: bool = False) -> None:
        self.stream = stream
        self.quiet = quiet
        self.live = stream.isatty()
        self.begun = time.monotonic()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        done = threading.Event()

        def show(end: str, word: str) -> None:
            if not self.quiet:
                spent = time.monotonic() - begun
                total = time.monotonic() - self.begun
                lead = "\r" if self.live else ""
                print(f"{lead}[{total:6.1f} s] {name:<34} {spent:6.1f} s {word}",
                      end=end, file=self.stream, flush=True)

        def tick() -> None:
            while not done.wait(0.5):
                show("", "   ")

        ticker = threading.Thread(target=tick, daemon=True)
        if self.live:
            ticker.start()
        word = "failed"
        try:
            yield
            word = "ok "
        finally:
            done.set()
            if self.live:
                ticker.join()
            show("\n", word)


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Children:
    """The processes we started, each the leader of its own process group."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, argv: list[str], log: Path, own_group: bool = True,
              **popen: Any) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                process_group=0 if own_group else None,
                preexec_fn=_die_with_parent, **popen)
        self.running.append(child)
        return child

    def adopt(self, child: subprocess.Popen[bytes]) -> None:
        self.running.append(child)

    @staticmethod
    def _kill(child: subprocess.Popen[bytes], sig: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, sig)
            else:
                os.kill(child.pid, sig)

    def stop(self, child: subprocess.Popen[bytes], grace: float = 2.0) -> None:
        if child.poll() is None:
            self._kill(child, signal.SIGTERM)
            try:
                child.wait(grace)
            except subprocess.TimeoutExpired:
                self._kill(child, signal.SIGKILL)
                child.wait()
        if child in self.running:
            self.running.remove(child)

    def stop_all(self) -> None:
        for child in reversed(self.running[:]):
            self.stop(child)

    def kill_all(self) -> list[int]:
        """From a watchdog: no waiting, and says which pids it killed."""
        killed = []
        for child in self.running:
            if child.poll() is None:
                self._kill(child, signal.SIGKILL)
                killed.append(child.pid)
        return killed


class Watchdog:
    """After `limit` seconds: kill every child, say so, leave with status 124."""

    STATUS = 124

    def __init__(self, limit: float, children: Children,
                 logs: Callable[[], Iterable[Path]] = lambda: ()) -> None:
        self.limit = limit
        self.children = children
        self.logs = logs
        self.timer = threading.Timer(limit, self._bark)
        self.timer.daemon = True
        self.timer.start()

    def _bark(self) -> None:
        killed = self.children.kill_all()
        pids = " ".join(map(str, killed)) or "none left"
        LabError(f"time limit of {self.limit:g} s reached; killed pids: {pids}",
                 self.logs()).report()
        sys.stderr.flush()
        os._exit(self.STATUS)

    def cancel(self) -> None:
        self.timer.cancel()


def reserve_port(wanted: int = 0) -> int:
    """A free TCP port of 127.0.0.1, or LabError when `wanted` is busy."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", wanted))
        except OSError as err:
            raise LabError(f"port {wanted} of 127.0.0.1 is not free: "
                           f"{err.strerror}") from None
        return sock.getsockname()[1]


class LogSink:
    """A TCP port of 127.0.0.1; all that connects is written to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.write_bytes(b"")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self._drain, args=(peer,),
                                 daemon=True).start()

    def _drain(self, peer: socket.socket) -> None:
        with peer, self.path.open("ab", buffering=0) as out:
            with contextlib.suppress(OSError):
                while data := peer.recv(65536):
                    out.write(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
