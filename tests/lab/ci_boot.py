# SPDX-License-Identifier: GPL-2.0-or-later
"""Breakpoints that are set before the guest has what they are in."""

from __future__ import annotations

from bench import Bench, check, pc_of
from lablib import L2
from linuxguest import Arm64Linux
from rsp import Gdb
from soak import linux_of

# In the order in which Linux comes to them
FUNCTIONS = ("start_kernel", "rest_init", "kernel_init", "run_init_process")


def symbols(bench: Bench) -> dict[str, int]:
    """The addresses, at which all callers come by."""
    linux = linux_of(bench.lab)
    if not isinstance(linux, Arm64Linux):
        return {name: at + 8 for name, at in
                linux.symbols(None, FUNCTIONS).items()}          # type: ignore[arg-type]
    pattern = f" ({'|'.join(FUNCTIONS)})$"
    with bench.guest(None, append="nokaslr", stopped=False,
                     run=(f"/bin/busybox grep -E '{pattern}' /proc/kallsyms",)) as guest:
        guest.wait_console(r"tick 1\b", 150)
        found = {line.split()[2]: int(line.split()[0], 16)
                 for line in guest.console.read_text(errors="replace").splitlines()
                 if len(line.split()) == 3 and line.split()[2] in FUNCTIONS}
    return found


def boots(gdb: Gdb, guest: L2, places: dict[str, int], leaves_in: bool) -> None:
    """Each is met, in order; a client as gdb takes all out at each stop."""
    for place in places.values():
        gdb.insert(place)
    for name, place in places.items():
        gdb.cont(150)
        check(f"{name}: pc", pc_of(gdb), place)
        if not leaves_in:
            for at in places.values():
                gdb.remove(at)
            for at in places.values():
                gdb.insert(at)
    for place in places.values():
        gdb.remove(place)


def breakpoints_before_boot(bench: Bench) -> None:
    """Z0 at four functions of Linux, set with -S: all met, in order; again after a reset"""
    found = symbols(bench)
    places = {name: found[name] for name in FUNCTIONS}
    with bench.guest(None, append="nokaslr") as guest:
        gdb = Gdb.connect(guest.gdb_port, timeout=20)
        boots(gdb, guest, places, True)
        gdb.monitor("system_reset")
        boots(gdb, guest, places, False)
        gdb.detach()
        guest.wait_console(r"tick 2\b", 150)
