#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of QEMU's gdbstub under TCG, with raw packets and with gdb itself.

    run-tcg.py --qemu FILE [--pc-bios DIR] --work DIR [--only REGEX] [--gdb gdb-multiarch]

The last line is "N passed, N failed".  A test whose docstring ends with "(also
unpatched)" is about what QEMU could do before.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from common import Bench                                        # noqa: E402
import t_gdb                                                    # noqa: E402
import t_memory                                                 # noqa: E402
import t_migration                                              # noqa: E402
import t_protocol                                               # noqa: E402
import t_range                                                  # noqa: E402
import t_state                                                  # noqa: E402
import t_stop                                                   # noqa: E402
import t_unattended                                             # noqa: E402
import t_user                                                   # noqa: E402
from bench import run_tests                                     # noqa: E402
from lablib import Children, Watchdog                           # noqa: E402

TESTS = [test for part in (t_range, t_state, t_stop, t_memory, t_protocol, t_gdb, t_user,
                              t_unattended, t_migration)
         for test in part.TESTS]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--qemu", type=Path, required=True)
    add("--pc-bios", type=Path)
    add("--work", type=Path, required=True)
    add("--only", help="names of tests that match this expression")
    add("--gdb", default="gdb-multiarch")
    add("--time-limit", type=float, default=400)
    options = parser.parse_args(argv)
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    tests = [t for t in TESTS if not options.only or re.search(options.only, t.__name__)]
    children = Children()
    bench = Bench(options, children)
    watchdog = Watchdog(options.time_limit, children, lambda: bench.logs)
    try:
        return run_tests(bench, tests)
    finally:
        watchdog.cancel()
        children.stop_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
