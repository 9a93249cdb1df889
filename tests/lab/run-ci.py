#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's part of CI: one host, several guests, real gdb packets.

    run-ci.py --qemu FILE --kernel-dir DIR --work DIR
        [--unpatched FILE --pc-bios DIR | --machine arm64 | --machine x86]
    run-ci.py --qemu FILE --host FILE --work DIR ...    on the host that `lab up` keeps

Each test names the clause of the step contract (about/CONTRACT.md) that it
checks.  The last line is "N passed, N failed", and how many were skipped.
--full steps the whole payloads instead of one round of each.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "payload")]

import ci_arm64                                                 # noqa: E402
import ci_gdbstub                                               # noqa: E402
import ci_interrupts                                            # noqa: E402
import ci_linux                                                 # noqa: E402
import ci_lockstep                                              # noqa: E402
import ci_migration                                             # noqa: E402
import ci_places                                                # noqa: E402
import ci_points                                                # noqa: E402
import ci_steps                                                 # noqa: E402
import ci_x86                                                   # noqa: E402
from bench import Bench, run_tests                              # noqa: E402
from lablib import (ARM64, HOSTS, PPC64, X86, Children, Lab, LabConfig,   # noqa: E402
                    LabError, Progress, Watchdog)

PPC64_TESTS = [test for part in (ci_steps, ci_interrupts, ci_places, ci_points, ci_gdbstub,
                                 ci_migration, ci_lockstep, ci_linux)
               for test in part.TESTS]
BY_HAND = ci_migration.BY_HAND + ci_linux.BY_HAND


def make_lab(options: argparse.Namespace, children: Children) -> Lab:
    """The lab to be booted, or one that is up, whose machine is meant then."""
    if options.host:
        lab = Lab.attach(options.host, options.work, options.pc_bios, Progress(), children)
        options.machine = lab.config.machine
        return lab
    # TCG of the distribution's QEMU lacks what KVM needs for breakpoints
    l0 = str(options.qemu) if HOSTS[options.machine] is X86 else ""
    return Lab(LabConfig(options.kernel_dir, options.work, options.pc_bios,
                         options.machine, l0), Progress(), children)


def expected_failures(lab: Lab) -> dict[str, str]:
    """What this host's kernel is known not to do."""
    if lab.arch is not ARM64:
        return {}
    return {name: cause for name, (since, cause) in ci_arm64.FAILS_SINCE.items()
            if lab.kernel.version >= since}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--qemu", type=Path, required=True)
    add("--unpatched", type=Path, help="for POWER; with --only for the tests that want it")
    add("--pc-bios", type=Path, help="for POWER, and for x86 what qemu-system-data has")
    host = parser.add_mutually_exclusive_group(required=True)
    host.add_argument("--kernel-dir", type=Path)
    host.add_argument("--host", type=Path, help="that scripts/lab up has printed")
    add("--work", type=Path, required=True)
    add("--machine", choices=HOSTS, default="powernv9")
    add("--full", action="store_true")
    add("--no-linux", action="store_true",
        help="for arm64, without Linux guests: kernels before 6.1 have no console for them")
    add("--only", help="names of tests that match this expression")
    add("--time-limit", type=float, default=2400)
    options = parser.parse_args(argv)
    options.work = options.work.resolve()
    if HOSTS[options.machine] is X86 and not options.pc_bios:
        options.pc_bios = Path("/usr/share/qemu")
    children = Children()
    try:
        lab = make_lab(options, children)
    except LabError as err:
        err.report()
        print("0 passed, 1 failed")
        return 1
    tests = ci_arm64.TESTS + ci_lockstep.ARM64_TESTS
    tests += [] if options.no_linux else ci_linux.ARM64_TESTS
    if HOSTS[options.machine] is X86:
        tests = ci_x86.TESTS
    if options.machine == "arm64-nested":
        tests = ci_arm64.NESTED_TESTS
    if HOSTS[options.machine] is PPC64:
        if not options.pc_bios or not (options.unpatched or options.only):
            parser.error(f"{options.machine} wants --unpatched and --pc-bios")
        tests = PPC64_TESTS + (BY_HAND if options.full or options.only else [])
    tests = [t for t in tests
             if not options.only or re.search(options.only, t.__name__)]
    if not tests:
        parser.error(f"no test of {options.machine} has a name like {options.only}")
    watchdog = Watchdog(options.time_limit, children, lambda: lab.logs)
    try:
        with lab:
            return run_tests(Bench(lab, options), tests, expected_failures(lab))
    except LabError as err:
        err.report()
        print(f"0 passed, {len(tests)} failed")
        return 1
    finally:
        watchdog.cancel()
        children.stop_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
