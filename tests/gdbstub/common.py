# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gdbstub's tests share: guests under TCG, and checks."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable

HERE = Path(__file__).resolve().parent
LAB = HERE.parent / "lab"
sys.path[:0] = [str(HERE), str(LAB), str(LAB / "payload")]

import payloads                                                 # noqa: E402
from bench import check, pc_of                                  # noqa: E402
from build import Image                                         # noqa: E402
from lablib import Children, TcgReference, tail                 # noqa: E402
from proxy import Packet, Proxy, resumes, sent                                 # noqa: E402
from rsp import Gdb, RspError, RspTimeout, Stop                 # noqa: E402

__all__ = ["Bench", "FIRST", "Gdb", "GdbRun", "Guest", "LIMIT", "PC", "Plain", "RspError",
           "RspTimeout", "SECOND", "SP", "Stop", "Test", "answers", "check", "check_thread",
           "goes_on", "is_error", "nothing_more", "on", "other_than", "pc_of", "place", "refused",
           "same_thread", "thread_of"]

FIRST, SECOND = "p1.1", "p1.2"
LIMIT = 5.0                     # seconds in which anything must have answered
CALM = 0.25                     # seconds in which nothing must come
PC, SP = 64, 1                  # their numbers in `g`


class Plain(Gdb):
    """A client that knows of no stop reasons."""

    FEATURES = "qSupported:multiprocess+;vContSupported+;xmlRegisters=powerpc"


class Monitor:
    """QMP: what the guest is up to, without asking the stub."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(LIMIT)
        self.events: list[str] = []             # that have come before an answer
        self.file = self.sock.makefile("rw")
        self.file.readline()
        self.run("qmp_capabilities")

    @classmethod
    def at(cls, path: Path) -> Monitor:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(os.fspath(path))
        return cls(sock)

    def run(self, command: str, **arguments: Any) -> Any:
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while "event" in (answer := json.loads(self.file.readline())):
            self.events.append(answer["event"])
        if "error" in answer:
            raise AssertionError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def state(self) -> str:
        return self.run("query-status")["status"]

    def human(self, command: str) -> str:
        """A command of the monitor for people; what it says."""
        return str(self.run("human-monitor-command", **{"command-line": command}))

    def memory(self, address: int, length: int) -> bytes:
        """Guest physical memory, as it is."""
        text = self.human(f"xp /{length}bx {address:#x}")
        return bytes(int(byte, 16) for line in text.splitlines()
                     for byte in line.partition(":")[2].split())

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@dataclass
class Guest:
    """One QEMU, its stub's clients, and its payload's symbols."""

    reference: TcgReference
    image: Image
    monitor: Monitor
    clients: list[Gdb] = field(default_factory=list)

    def __getattr__(self, name: str) -> int:
        """The address of a symbol."""
        try:
            return self.image.symbols[name]
        except KeyError:
            raise AttributeError(name) from None

    def connect(self, kind: type[Gdb] = Gdb) -> Gdb:
        """A (new) client; there can be one at a time."""
        gdb = kind.connect(self.reference.gdb_port, timeout=LIMIT)
        self.clients.append(gdb)
        return gdb

    def number(self, gdb: Gdb, address: int) -> int:
        """The doubleword there."""
        order = "little" if self.image.little else "big"
        return int.from_bytes(gdb.read_memory(address, 8), order)   # type: ignore[arg-type]

    def number_while_running(self, address: int) -> int:
        """The doubleword at a physical address, by the monitor."""
        data = self.monitor.memory(address, 8)
        order = "little" if self.image.little else "big"
        return int.from_bytes(data, order)      # type: ignore[arg-type]

    def processor_time(self) -> float:
        """Seconds that its threads have used; no other process counts."""
        # clock_getcpuclockid(3), which Python has for threads only
        return time.clock_gettime(~self.reference.process.pid << 3 | 2)

    def plug(self) -> None:
        """A second vCPU, where -smp has room for one."""
        slot = min((slot for slot in self.monitor.run("query-hotpluggable-cpus")
                    if "qom-path" not in slot), key=lambda slot: slot["props"]["core-id"])
        self.monitor.run("device_add", driver=slot["type"], id="plugged", **slot["props"])

    def unplug(self) -> None:
        """The guest has not used it, and does not have to let it go."""
        self.monitor.run("device_del", id="plugged")
        check("vCPUs", len(self.monitor.run("query-cpus-fast")), 1)

    def bring_up_second(self, gdb: Gdb) -> None:
        """Both vCPUs stopped in their loops."""
        gdb.select(FIRST)               # a stop may have chosen the other one
        place(gdb, self.start_second)
        gdb.insert(self.second)
        check_thread(gdb.cont(LIMIT), SECOND)
        check("pc of the second vCPU", pc_of(gdb), self.second)
        gdb.remove(self.second)
        gdb.select(FIRST)
        place(gdb, self.spin)
        gdb.write("r3", 0)


@dataclass
class GdbRun:
    """What a session of gdb did."""

    said: dict[str, Any]
    proxy: Proxy
    output: str

    def packets(self, mark: str) -> list[Packet]:
        """What was sent and received in a script's `with mark(...)`."""
        return self.proxy.between(f"vMark;{mark}".encode(), f"vMark;end-{mark}".encode())


class Bench:
    """What every test gets."""

    READY_KIND = 0              # of the breakpoint at `ready`
    KINDS: tuple[int, ...] = (0, 1)     # of breakpoints that there are: software, hardware

    def __init__(self, options: argparse.Namespace, children: Children) -> None:
        self.options = options
        self.children = children
        self.notes: list[str] = []
        self.logs: list[Path] = []
        self._serial = itertools.count(1)
        self.payloads = self.build_payloads(options.work / "payloads")
        self.lines = payloads.lines()

    def build_payloads(self, out: Path) -> dict[str, Path]:
        return {name: payloads.build(name, out) for name in payloads.NAMES}

    @contextlib.contextmanager
    def guest(self, payload: str = payloads.ASSEMBLY, cpus: int | str = 1,
              thread: str = "single", icount: str = "",
              extra: Iterable[str] = ()) -> Iterator[Guest]:
        """A guest that has run nothing yet, without a client."""
        self.logs = []
        name = f"q{next(self._serial)}"
        qmp = self.options.work / f"{name}.qmp"
        extra = ["-smp", str(cpus), "-qmp", f"unix:{qmp},server=on,wait=off", *extra]
        if icount:
            extra += ["-icount", icount]
        if self.options.pc_bios:
            extra += ["-L", str(self.options.pc_bios)]
        reference = TcgReference(self.payloads[payload], self.options.work, self.children,
                                 str(self.options.qemu), memory="256M", name=name,
                                 thread=thread, extra=extra)
        self.logs = [reference.log]
        guest = None
        try:
            reference.socket.close()
            guest = Guest(reference, Image.load(self.payloads[payload]), Monitor.at(qmp))
            yield guest
        finally:
            if guest:
                guest.monitor.close()
                for gdb in guest.clients:
                    gdb.close()
            reference.close()
            qmp.unlink(missing_ok=True)

    @contextlib.contextmanager
    def stopped(self, cpus: int = 1, thread: str = "single", kind: type[Gdb] = Gdb,
                **more: Any) -> Iterator[tuple[Guest, Gdb]]:
        """A guest that is set up; both vCPUs in their loops when there are two."""
        with self.guest(cpus=cpus, thread=thread, **more) as guest:
            gdb = guest.connect(kind)
            gdb.run_to(guest.ready, kind=self.READY_KIND)
            if cpus == 2:
                guest.bring_up_second(gdb)
            yield guest, gdb

    def gdb(self, payload: str, script: str, interrupt_in: str | None = None,
            timeout: float = 20) -> GdbRun:
        """Run gdb on a guest that is about to call main, with a script in Python.

        interrupt_in: send gdb SIGINT half a second after the mark of this name.
        """
        with self.guest(payload) as guest, Proxy(guest.reference.gdb_port) as proxy:
            client = guest.connect()
            client.run_to(guest.calling)
            client.close()
            name = guest.reference.log.with_suffix("")
            source = name.with_suffix(".py")
            source.write_text(f"LINES = {self.lines!r}\n"
                              + (HERE / "gdb_side.py").read_text() + script)
            log = name.with_suffix(".gdb.log")
            log.write_bytes(b"")
            self.logs.append(log)
            child = self.children.start(
                [self.options.gdb, "-nx", "-q", "-batch", "-iex", "set remotetimeout 10",
                 "-iex", "set debuginfod enabled off", "-iex", "set width 0",
                 "-ex", f"target remote 127.0.0.1:{proxy.port}", "-x", str(source),
                 str(self.payloads[payload])], log)
            deadline = time.monotonic() + timeout
            try:
                if interrupt_in and proxy.wait_for(
                        lambda seen: sent(seen, f"vMark;{interrupt_in}"), 15):
                    # gdb may lose one between two steps.
                    for _ in range(6):
                        time.sleep(0.5)
                        if sent(proxy.packets, f"vMark;end-{interrupt_in}"):
                            break
                        os.kill(child.pid, signal.SIGINT)
                child.wait(max(1.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise AssertionError(
                    f"gdb did not end in {timeout:g} s, having let the target run "
                    f"{resumes(proxy.packets)} times:\n" + "\n".join(tail(log))) from None
            finally:
                self.children.stop(child)
            output = log.read_text(errors="replace")
            if child.returncode or "@@done" not in output:
                raise AssertionError(f"gdb: status {child.returncode}:\n"
                                     + "\n".join(tail(log)))
            said: dict[str, Any] = {}
            for found in re.finditer(r"^@@ (.*)$", output, re.M):
                said |= json.loads(found[1])
            return GdbRun(said, proxy, output)


# Checks

def on(gdb: Gdb, thread: str, *names: str) -> list[int]:
    """Registers of a thread; it stays selected."""
    gdb.select(thread)
    values = gdb.read(names)
    return [values[name] for name in names]


def place(gdb: Gdb, address: int) -> None:
    gdb.write("pc", address)


def answers(gdb: Gdb, action: str, signal: int = 5, timeout: float = LIMIT) -> Stop:
    """The target runs, and stops by itself."""
    gdb.resume(action)
    try:
        stop = gdb.wait(timeout)
    except RspTimeout:
        raise AssertionError(f"{action}: no answer in {timeout:g} s") from None
    except RspError as err:
        raise AssertionError(f"{action}: {err}") from None
    if stop.kind != "T" or stop.signal != signal:
        raise AssertionError(f"{action}: {stop.raw}, should be T{signal:02x}")
    return stop


def goes_on(gdb: Gdb, action: str = "vCont;c", seconds: float = CALM,
            meanwhile: Callable[[], None] = lambda: None) -> Stop:
    """The target runs until ^C."""
    gdb.resume(action)
    try:
        stop = gdb.wait(seconds)
    except RspTimeout:
        pass
    except RspError as err:
        raise AssertionError(f"{action}: {err}") from None
    else:
        raise AssertionError(f"{action}: stopped by itself: {stop.raw}")
    meanwhile()
    try:
        stop = gdb.interrupt(LIMIT)
    except RspTimeout:
        raise AssertionError(f"{action}: ^C does not stop it") from None
    check(f"signal of {stop.raw}", stop.signal, 2)
    return stop


def nothing_more(gdb: Gdb, seconds: float = CALM) -> None:
    """No byte comes that was not asked for."""
    gdb.link.sock.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        data = gdb.link.sock.recv(4096)
        raise AssertionError(f"unasked: {data!r}")


def is_error(answer: str) -> bool:
    return re.fullmatch(r"E[0-9a-fA-F]{2}|E\..+", answer) is not None


def refused(gdb: Gdb, packets: Iterable[str]) -> None:
    for packet in packets:
        try:
            answer = gdb.text(packet, LIMIT)
        except RspTimeout:
            raise AssertionError(f"{packet[:80]}: no answer") from None
        if not is_error(answer):
            raise AssertionError(f"{packet[:80]}: {answer[:80]!r}, should be an error")


def same_thread(stop: Stop, thread: str) -> bool:
    """p01.02 and p1.2 are the same."""
    def numbers(name: str) -> list[int]:
        return [int(part, 16) for part in name.lstrip("p").split(".")]
    return numbers(stop.thread) == numbers(thread)


def other_than(thread: str) -> str:
    return SECOND if thread == FIRST else FIRST


def thread_of(stop: Stop) -> str:
    """FIRST or SECOND"""
    return FIRST if same_thread(stop, FIRST) else SECOND


def check_thread(stop: Stop, thread: str) -> None:
    if not same_thread(stop, thread):
        raise AssertionError(f"{stop.raw}: should be about {thread}")


Test = Callable[[Bench], None]
