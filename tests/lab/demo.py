#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Show gdb stepping a Linux guest of KVM HV: the QEMU under test, and one without.

    demo.py --qemu FILE --unpatched FILE --pc-bios DIR --kernel-dir DIR --work DIR

Boots an emulated POWER host, starts Linux in the QEMU under test there, and runs
gdb on it: from -S to start_kernel; when it is up, through a kernel function, into the
kernel by `sc` and `scv`, and back to user space.  Then the breakpoint at start_kernel
and one `stepi` with the other QEMU.  Status 0: all that it promises was seen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from lablib import (L2, Children, L2Config, Lab, LabConfig, LabError,   # noqa: E402
                    Progress, Watchdog)

TROUBLE = re.compile(r"Oops|BUG[: ]|WARNING: CPU|rcu.*stall|soft lockup|hard LOCKUP|"
                     r"Kernel panic|Unrecoverable|Unable to handle|segfault|blocked for")
GDB_LIMIT = 240.0
AFTER_SECONDS = 3.0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo.py", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--qemu", type=Path, required=True, metavar="FILE", help="QEMU with the series")
    add("--unpatched", type=Path, required=True, metavar="FILE", help="QEMU without it")
    add("--pc-bios", type=Path, required=True, metavar="DIR", help="has vof.bin")
    add("--kernel-dir", type=Path, required=True, metavar="DIR",
        help="ppc64el kernel and busybox packages, unpacked")
    add("--work", type=Path, required=True, metavar="DIR", help="logs and cached images")
    add("--machine", choices=["powernv9", "powernv10"], default="powernv9")
    add("--gdb", default="gdb-multiarch", metavar="COMMAND")
    add("--time-limit", type=float, default=600, metavar="SECONDS",
        help="then everything is killed (default %(default)g)")
    return parser.parse_args(argv)


class Demo:
    def __init__(self, options: argparse.Namespace, lab: Lab) -> None:
        self.options = options
        self.lab = lab
        self.work: Path = lab.config.work
        self.gdb_log = self.work / "gdb.log"
        self.failures: list[str] = []

    def fail(self, text: str) -> None:
        self.failures.append(text)
        print(f"  FAILED: {text}", flush=True)

    def start_guest(self, qemu: Path) -> tuple[L2, dict[str, Any]]:
        """From -S, with a breakpoint at start_kernel, to userland; what gdb has seen."""
        guest = self.lab.start_l2(L2Config(qemu=qemu))
        print("\nA guest that waits with -S; gdb: break start_kernel, continue:", flush=True)
        result = self.gdb("boot", guest)
        if "error" in result:
            raise LabError(result["error"], self.logs)
        with self.lab.progress.phase("L2 boot, until it says tick 2"):
            guest.wait_console(r"(?m)^tick 2\b")
        return guest, result

    def gdb(self, part: str, guest: L2) -> dict[str, Any]:
        """Run demo_gdb.py; its trace goes to our stdout, its result comes back."""
        result = self.work / f"{part}.json"
        result.unlink(missing_ok=True)
        vmlinux = str(self.lab.kernel.vmlinux)
        out = os.dup(sys.stdout.fileno())       # gdb's own words go to its log
        environment = os.environ | {
            "DEMO_PART": part, "DEMO_PORT": str(guest.gdb_port), "DEMO_VMLINUX": vmlinux,
            "DEMO_CONSOLE": str(guest.console), "DEMO_RESULT": str(result),
            "DEMO_OUT": str(out)}
        sys.stdout.flush()
        child = self.lab.children.start(
            [self.options.gdb, "-batch", "-nx", "-x", str(HERE / "demo_gdb.py"), vmlinux],
            self.gdb_log, env=environment, pass_fds=[out])
        os.close(out)
        try:
            child.wait(GDB_LIMIT)
        except subprocess.TimeoutExpired:
            raise LabError(f"gdb did not end in {GDB_LIMIT:g} s", self.logs) from None
        finally:
            self.lab.children.stop(child)
        if not result.exists():
            raise LabError(f"gdb ended with status {child.returncode}, and without a result",
                           self.logs)
        return dict(json.loads(result.read_text()))

    @property
    def logs(self) -> list[Path]:
        """The guests' and gdb's; the host's when there was no guest."""
        return [*(self.lab.logs[2:] or self.lab.logs), self.gdb_log]

    def patched(self) -> str:
        """The stepping; returns the summary."""
        guest, booted = self.start_guest(self.options.qemu)
        if booted["hit"]:
            print(f"  hit, {booted['boot']:.0f} s after continue", flush=True)
        else:
            self.fail(f"start_kernel was not hit, {booted['boot']:.0f} s, "
                      f"{booted['ticks']} ticks, pc {booted['pc']:x}")
        print("\nLinux, a guest of KVM HV, in the QEMU with the series:")
        result = self.gdb("patched", guest)
        if "error" in result:
            raise LabError(result["error"], self.logs)
        self.failures += booted["problems"] + result["problems"]
        self.lives_on(guest)
        steps, checked = (booted[key] + result[key] for key in ("steps", "checked"))
        each = 1000 * (booted["seconds"] + result["seconds"]) / max(steps, 1)
        return (f"start_kernel hit; {steps} steps ({each:.0f} ms each), {checked} checked, "
                f"{len(booted['problems']) + len(result['problems'])} wrong")

    def lives_on(self, guest: L2) -> None:
        """The guest must go on by itself and not have complained."""
        last, begun = console_ticks(guest)[-1], time.monotonic()
        deadline = begun + 30
        seen: list[int] = []
        while time.monotonic() < deadline:
            time.sleep(0.1)
            seen = [n for n in console_ticks(guest) if n > last]
            if len(seen) >= 2 and time.monotonic() - begun >= AFTER_SECONDS:
                break
        else:
            self.fail(f"the guest printed {len(seen)} lines in 30 s after gdb had left")
        for number in seen[-2:]:
            print(f"  guest, {time.monotonic() - begun:.0f} s after gdb: tick {number}")
        trouble = [line for line in console_lines(guest) if TROUBLE.search(line)]
        for line in trouble[:5]:
            self.fail(f"on the guest's console: {line}")
        if not trouble:
            print("  nothing bad on the guest's console")

    def unpatched(self) -> None:
        print("\nThe same breakpoints and one stepi in QEMU without the series:", flush=True)
        guest, booted = self.start_guest(self.options.unpatched)
        if booted["hit"]:
            self.fail("unpatched QEMU: start_kernel was hit, as it should")
        else:
            print(f"  unpatched QEMU: start_kernel was not hit; after {booted['boot']:.0f} s "
                  f"the guest was in userland ({booted['ticks']} ticks)", flush=True)
        result = self.gdb("unpatched", guest)
        if "error" in result:
            raise LabError(result["error"], self.logs)
        limit, pc, ticks = f"{result['limit']:g} s", result["pc"], result["ticks"]
        if result["returned"]:
            self.fail(f"unpatched QEMU: stepi returned, from {result['from']:x} to {pc:x}"
                      + (", as it should" if result["stepped"] else ""))
        elif ticks == 0 or result["stepped"]:
            self.fail(f"unpatched QEMU: stepi did not return within {limit}, but the "
                      f"guest did not run: {ticks} ticks, pc {pc:x} after ^C")
        else:
            print(f"  unpatched QEMU: stepi did not return within {limit}; guest ran away "
                  f"({ticks} ticks meanwhile, pc {pc:x} after ^C)", flush=True)


def console_lines(guest: L2) -> list[str]:
    return [line.strip() for line in guest.console.read_text(errors="replace").splitlines()]


def console_ticks(guest: L2) -> list[int]:
    """The numbers of the guest's tick lines; the last may be half a line."""
    text = guest.console.read_text(errors="replace")
    return [int(number) for number in re.findall(r"(?m)^tick (\d+)\r?\n", text)]


def run(options: argparse.Namespace, lab: Lab) -> int:
    demo = Demo(options, lab)
    demo.gdb_log.parent.mkdir(parents=True, exist_ok=True)
    demo.gdb_log.write_bytes(b"")
    with lab:
        summary = demo.patched()
        demo.unpatched()
    print(f"\n{summary}", flush=True)
    if not demo.failures:
        return 0
    LabError(f"failed, first: {demo.failures[0]}", demo.logs).report()
    return 1


def main(argv: list[str]) -> int:
    options = parse(argv)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _frame: sys.exit(128 + number))
    children = Children()
    config = LabConfig(kernel_dir=options.kernel_dir, work=options.work.resolve(),
                       pc_bios=options.pc_bios, machine=options.machine, slots=1)
    lab = Lab(config, Progress(sys.stdout), children)
    watchdog = Watchdog(options.time_limit, children, lambda: lab.logs)
    try:
        return run(options, lab)
    except LabError as err:
        err.logs = err.logs or lab.logs
        err.report()
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        watchdog.cancel()
        with contextlib.suppress(ProcessLookupError):
            children.stop_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
