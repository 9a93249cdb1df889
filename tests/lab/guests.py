# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests: those of the QEMU under test, in L1, and the reference under TCG, here."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from architectures import PPC64, Architecture
from initramfs import HOST_FROM_L1
from processes import Children, LabError, LogSink, reserve_port

if TYPE_CHECKING:
    from hosts import Lab

L1_GDB_PORT = 1234              # slot n listens on L1_GDB_PORT + n


@dataclass
class L2Config:
    """One guest for the QEMU under test: a bare payload or Linux.

    machine: "" for the architecture's
    host_cpu: the only processor of the host that it may run on; None: any
    under: a program, in L1, and its arguments, that QEMU is run by
    """

    qemu: Path
    payload: Path | None = None         # None: L1's kernel as a guest
    append: str = ""
    cpus: int = 1
    memory: str = "512M"
    machine: str = ""
    extra: list[str] = field(default_factory=list)
    stopped: bool = True                # -S
    slot: int = 0
    run: tuple[str, ...] = ()           # Linux: lines of init, see l2_initramfs()
    modules: tuple[str, ...] = ()       # Linux: for `run`, as /lib/NAME.ko
    host_cpu: int | None = None
    under: tuple[str, ...] = ()


class L2:
    """A guest of the QEMU under test, made by Lab.start_l2()."""

    def __init__(self, lab: Lab, config: L2Config, serial: int) -> None:
        self.lab = lab
        self.config = config
        self.gdb_port = lab.gdb_ports[config.slot]
        self.console = lab.config.work / f"l2-{serial}-console.log"
        self.log = lab.config.work / f"l2-{serial}-qemu.log"
        self.console_sink = LogSink(self.console)
        self.log_sink = LogSink(self.log)
        self.pid_file = f"/tmp/l2-{serial}.pid"

    def launch(self, argv: list[str], timeout: float) -> None:
        shell = self.lab.shell
        assert shell is not None
        argv = [*self.config.under, *argv]
        if self.config.host_cpu is not None:
            argv = ["taskset", f"{1 << self.config.host_cpu:x}", *argv]
        inner = f"echo $$ > {self.pid_file}; exec {shlex.join(argv)}"
        shell.check(f"( setsid sh -c {shlex.quote(inner)} 2>&1 </dev/null | "
                    f"nc {HOST_FROM_L1} {self.log_sink.port} ) >/dev/null 2>&1 &")
        port = f"{L1_GDB_PORT + self.config.slot:04X}"
        deadline = time.monotonic() + timeout
        while shell.run(f"grep -q ':{port} [0-9A-F:]* 0A' /proc/net/tcp*")[0]:
            if shell.run(f"test -s {self.pid_file}")[0] == 0 and not self.alive():
                time.sleep(0.5)
                raise LabError("the QEMU under test ended before its gdbstub "
                               "listened", [self.log])
            if time.monotonic() > deadline:
                raise LabError(f"no gdbstub after {timeout:g} s",
                               [self.log, self.console])
            time.sleep(0.1)

    def alive(self) -> bool:
        assert self.lab.shell is not None
        return self.lab.shell.run(f"kill -0 $(cat {self.pid_file})")[0] == 0

    def wait_console(self, pattern: str, timeout: float = 120.0) -> str:
        """Wait for a regular expression in the guest's console; its match."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.console.read_text(errors="replace"))):
            if time.monotonic() > deadline:
                raise LabError(f"'{pattern}' is not in the guest's console after "
                               f"{timeout:g} s", [self.console, self.log])
            time.sleep(0.1)
        return found[0]

    def stop(self, grace: float = 5.0) -> None:
        """End the guest's QEMU: SIGTERM, and SIGKILL when that is not enough."""
        shell = self.lab.shell
        if shell is not None:
            pid = f"$(cat {self.pid_file})"
            rounds = int(grace * 10)
            shell.run(f"kill {pid}; n=0; while kill -0 {pid}; do n=$((n+1)); "
                      f"[ $n -gt {rounds} ] && kill -9 {pid}; "
                      f"[ $n -gt {rounds + 50} ] && exit 1; usleep 100000; done",
                      grace + 20)
        self.forget()

    def forget(self) -> None:
        self.console_sink.close()
        self.log_sink.close()
        if self.lab.guests.get(self.config.slot) is self:
            del self.lab.guests[self.config.slot]


class TcgReference:
    """The same payload under TCG on this machine: what a step should do."""

    def __init__(self, payload: Path, work: Path, children: Children | None = None,
                 qemu: str = "", cpu: str = "power9",
                 machine: str = "", memory: str = "512M",
                 name: str = "tcg", thread: str = "single",
                 extra: Iterable[str] = (), arch: Architecture = PPC64) -> None:
        self.children = children or Children()
        self.gdb_port = reserve_port()
        work.mkdir(parents=True, exist_ok=True)
        self.console = work / f"{name}-console.log"
        self.log = work / f"{name}-qemu.log"
        self.log.write_bytes(b"")
        self.process = self.children.start([
            qemu or arch.qemu, "-M", machine or arch.machine,
            "-accel", f"tcg,thread={thread}", "-cpu", cpu,
            "-m", memory, "-nographic", "-nodefaults",
            "-chardev", f"file,id=con,path={self.console}",
            *arch.uart.split(), *map(str, arch.boot(payload)),
            "-S", "-gdb", f"tcp:127.0.0.1:{self.gdb_port}", *extra], self.log)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                self.socket = socket.create_connection(("127.0.0.1", self.gdb_port))
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise LabError("the TCG reference did not start", [self.log])
            time.sleep(0.05)

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.socket.close()
        self.children.stop(self.process)
