# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab's tests share: guests to run, and checks that say what is wrong."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "payload")]

from build import VARIANTS, Image, build                        # noqa: E402
from lablib import PPC64, L2, L2Config, Lab, LabError, tail            # noqa: E402
from rsp import Gdb, RspError                                   # noqa: E402

TRAP = bytes.fromhex("00dddd00")        # KVM HV's; the same in either byte order


class Skip(Exception):
    """This host does not have what the test is about; the reason."""


class Bench:
    """What every test gets: the lab, the binaries, the payloads."""

    def __init__(self, lab: Lab, options: argparse.Namespace) -> None:
        self.lab = lab
        self.options = options
        self.payloads = {name: build(name, options.work / "payloads")
                         for name in VARIANTS if lab.arch is PPC64}
        self.notes: list[str] = []

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


def run_tests(bench: Any, tests: Iterable[Callable[[Any], None]],
              expected: dict[str, str] | None = None) -> int:
    """Every test, with what it says of itself; a failure with the ends of bench.logs.
    Then bench.notes, and the sum as the last line.  Returns: the exit status.
    A test that raises Skip has neither passed nor failed.
    `expected`: why a test has to fail here; one that does not is a failure."""
    passed = failed = foreseen = skipped = 0
    expected = expected or {}
    for number, test in enumerate(tests, 1):
        begun = time.monotonic()
        try:
            test(bench)
        except Skip as reason:
            skipped += 1
            print(f"skipped {number} - {test.__name__}: {reason}")
        except (AssertionError, RspError, LabError, OSError) as err:
            if cause := expected.get(test.__name__):
                foreseen += 1
                print(f"expected failure {number} - {test.__name__}: {cause} ({err})")
                continue
            failed += 1
            print(f"not ok {number} - {test.__name__}: {err}")
            if not isinstance(err, AssertionError):
                traceback.print_exc(file=sys.stdout)
            for log in bench.logs:
                if log.stat().st_size:
                    print(f"  {log}:", *tail(log, 8), sep="\n    ")
        else:
            if cause := expected.get(test.__name__):
                failed += 1
                print(f"not ok {number} - {test.__name__}: passed, though {cause}")
                continue
            passed += 1
            print(f"ok {number} - {test.__name__}: {(test.__doc__ or '').strip()} "
                  f"({time.monotonic() - begun:.1f} s)")
        sys.stdout.flush()
    for note in bench.notes:
        print(f"# {note}")
    print(f"{passed} passed, {failed} failed"
          + (f", {foreseen} failed as expected" if foreseen else "")
          + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


def check(what: str, got: object, want: object) -> None:
    if got != want:
        shown = [f"{x:#x}" if isinstance(x, int) else repr(x) for x in (got, want)]
        raise AssertionError(f"{what}: {shown[0]}, should be {shown[1]}")


def pc_of(gdb: Gdb) -> int:
    return gdb.read(["pc"])["pc"]


def low_memory(gdb: Gdb) -> bytes:
    """The vectors, as memory has them, and the code of the spinning payload."""
    return gdb.raw_memory(0, 0x1000) + gdb.raw_memory(0x400000, 0x18)


Test = Callable[[Bench], None]
