# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisor of one page, run once for all tests."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCES = [HERE / name for name in ("start.S", "guest.S", "main.c")]
GCC = ("loongarch64-linux-gnu-gcc -O1 -Wall -Werror -ffreestanding -fno-pic -nostdlib "
       "-static -mno-lsx -mno-lasx -msoft-float -mabi=lp64s "
       "-Wl,--build-id=none,--no-warn-rwx-segments")
MACHINE = "-M virt -m 1G -display none -monitor none -nic none"
LIMIT = 120                     # seconds


def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.05)


class Machine:
    """One that runs, and its monitor.  A context manager."""

    def __init__(self, argv: list[str | Path], work: Path, name: str) -> None:
        self.console, monitor = work / f"{name}.txt", work / f"{name}.qmp"
        for path in (self.console, monitor):
            path.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*argv, "-serial", f"file:{self.console}",
             "-qmp", f"unix:{monitor},server=on,wait=off"], stdin=subprocess.DEVNULL)
        until(monitor.exists, "the monitor")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(monitor))
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.command("qmp_capabilities")

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def command(self, name: str, **arguments: object) -> dict[str, object]:
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while "event" in (answer := json.loads(self.file.readline())):
            pass
        assert "return" in answer, answer
        return answer["return"]                         # type: ignore[no-any-return]

    def said(self) -> str:
        return self.console.read_text() if self.console.exists() else ""

    def beats(self, count: int) -> None:
        until(lambda: self.said().count("beat\n") >= count, "beats")


class Bench:
    """What each test gets: what the hypervisor has printed, and the QEMU."""

    def __init__(self, qemu: Path, work: Path) -> None:
        self.qemu, self.work = qemu, work
        self.notes: list[str] = []
        self.said = self.run()

    @property
    def logs(self) -> list[Path]:
        return []

    def argv(self) -> list[str | Path]:
        return [self.qemu, *MACHINE.split(), "-cpu", "la464,lvz=on",
                "-kernel", self.work / "lvz.elf"]

    def machine(self, name: str, *options: str) -> Machine:
        return Machine([*self.argv(), *options], self.work, name)

    def run(self) -> str:
        """Up to "done", or what there is of it when the time is over."""
        subprocess.run([*GCC.split(), "-T", HERE / "lvz.ld", "-o", self.work / "lvz.elf",
                        *SOURCES], check=True)
        with subprocess.Popen([*self.argv(), "-serial", "stdio"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as process:
            late = threading.Timer(LIMIT, process.kill)
            late.start()
            said = ""
            assert process.stdout
            for line in process.stdout:
                said += line
                if line == "done\n":
                    break
            late.cancel()
            process.kill()
        return said

    def bare(self, name: str) -> str:
        """The first line that a program of its own prints, without LVZ; or what QEMU says."""
        elf = self.work / f"{name}.elf"
        subprocess.run([*GCC.split(), "-Ttext=0x1000000", "-Wl,-N", "-o", elf,
                        HERE / f"{name}.S"], check=True)
        with subprocess.Popen([self.qemu, *MACHINE.split(), "-cpu", "la464", "-kernel", elf,
                               "-serial", "stdio"], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            late = threading.Timer(LIMIT, process.kill)
            late.start()
            assert process.stdout
            said = process.stdout.readline()
            late.cancel()
            process.kill()
        return said

    def refusal(self, *options: str) -> str:
        """What QEMU says, which does not start."""
        done = subprocess.run([self.qemu, *MACHINE.split(), *options], timeout=30,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 1
        return done.stderr


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest) -> Bench:
    option = request.config.option
    if not (option.qemu and option.work):
        raise pytest.UsageError("--qemu and --work are wanted")
    return Bench(option.qemu, option.work)
