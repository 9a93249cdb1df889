# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab's tests share: guests to run, and checks that say what is wrong."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "payload")]

from build import VARIANTS, Image, build                        # noqa: E402
from lablib import ARM64, LOONG64, PPC64, X86, L2, L2Config, Lab   # noqa: E402
from rsp import Gdb                                             # noqa: E402

TRAP = bytes.fromhex("00dddd00")        # KVM HV's; the same in either byte order

# Where a test runs, if not where its module does
on_power = pytest.mark.host(*PPC64.hosts)
on_nested = pytest.mark.host("arm64-nested")
on_arm64 = pytest.mark.host(*ARM64.hosts.keys() - on_nested.args)
on_x86 = pytest.mark.host(*X86.hosts)
on_loong64 = pytest.mark.host(*LOONG64.hosts)
on_linux = pytest.mark.host(*on_power.args, *on_arm64.args)
on_all = pytest.mark.host(*on_linux.args, *on_x86.args, *on_loong64.args)


class Bench:
    """What every test gets: the lab, the binaries, the payloads."""

    def __init__(self, lab: Lab, options: argparse.Namespace) -> None:
        self.lab = lab
        self.options = options
        self.payloads = {name: build(name, options.work / "payloads")
                         for name in VARIANTS if lab.arch is PPC64}
        self.notes: list[str] = []
        self.lost = ""                  # why the host is

    @property
    def logs(self) -> list[Path]:
        return self.lab.logs

    @property
    def unpatched(self) -> Path:
        if not self.options.unpatched:
            raise AssertionError("wants --unpatched")
        return self.options.unpatched

    @contextlib.contextmanager
    def guest(self, payload: str | None, **changes: object) -> Iterator[L2]:
        config = L2Config(
            qemu=changes.pop("qemu", self.options.qemu),    # type: ignore[arg-type]
            payload=self.payloads[payload] if payload else None,
            **changes)                                      # type: ignore[arg-type]
        guest = self.lab.start_l2(config)
        try:
            yield guest
        finally:
            guest.stop()

    @contextlib.contextmanager
    def spinning(self, **changes: object) -> Iterator[tuple[L2, Gdb, Image]]:
        """A guest that counts, stopped in its loop."""
        image = Image.load(self.payloads["spin"])
        with self.guest("spin", **changes) as guest:
            gdb = Gdb.connect(guest.gdb_port, timeout=20)
            gdb.run_to(image.symbols["spin"])
            yield guest, gdb, image

    def add_disk(self, gdb: Gdb) -> None:
        """An empty disk for a guest's snapshots."""
        disk = self.options.work / "snapshots.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1G"], check=True)
        name = self.lab.push(disk)
        check("drive_add", gdb.monitor(f'drive_add 0 "if=none,id=d,file={name},format=qcow2"')
              .strip(), "OK")


def check(what: str, got: object, want: object) -> None:
    if got != want:
        shown = [f"{x:#x}" if isinstance(x, int) else repr(x) for x in (got, want)]
        raise AssertionError(f"{what}: {shown[0]}, should be {shown[1]}")


def pc_of(gdb: Gdb) -> int:
    return gdb.read(["pc"])["pc"]


def low_memory(gdb: Gdb) -> bytes:
    """The vectors, as memory has them, and the code of the spinning payload."""
    return gdb.raw_memory(0, 0x1000) + gdb.raw_memory(0x400000, 0x18)
