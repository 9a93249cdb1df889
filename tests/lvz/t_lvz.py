# SPDX-License-Identifier: GPL-2.0-or-later
"""LVZ in TCG: a hypervisor of one page (main.c) checks it, and prints what it finds.

    pytest tests/lvz --qemu qemu-system-loongarch64 --work DIR
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from conftest import until

if TYPE_CHECKING:
    from conftest import Bench

ROWS = re.compile(r'{ "(\w+)", t_\w+ }, /\* (.*) \*/')


def test_of(name: str, about: str) -> Callable[[Bench], None]:
    def test(bench: Bench) -> None:
        assert f"ok {name}\n" in bench.said, bench.said
    test.__name__, test.__doc__ = name, about
    return test


for _row in ROWS.findall((Path(__file__).parent / "main.c").read_text()):
    globals()[_row[0]] = test_of(*_row)


def no_walker(bench: Bench) -> None:
    """The hardware page walk, which guests would not have, is refused beside LVZ"""
    assert "lvz=on needs ptw=off" in bench.refusal("-cpu", "max,lvz=on")


def unaligned(bench: Bench) -> None:
    """without LVZ: ll, atomics and jumps to an unaligned address raise ALE, and ADEF"""
    assert bench.bare("unaligned") == "ok\n"


def migrates(bench: Bench) -> None:
    """A machine in guest mode, with a guest's timer running, goes on at the destination"""
    state = bench.work / "state"
    with bench.machine("source") as source:
        source.beats(2)
        source.command("stop")
        mode = source.command("human-monitor-command", **{"command-line": "info registers"})
        assert re.search(r"GSTAT +[0-9a-f]*[13579bdf]\b", str(mode)), "not in guest mode"
        source.command("migrate", uri=f"file:{state}")
        until(lambda: source.command("query-migrate").get("status") == "completed",
              "the migration")
    with bench.machine("destination", "-incoming", f"file:{state}") as destination:
        until(lambda: destination.command("query-status")["status"] != "inmigrate", "arrival")
        destination.command("cont")
        destination.beats(3)
        assert "FAIL" not in destination.said(), destination.said()
