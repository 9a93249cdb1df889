# SPDX-License-Identifier: GPL-2.0-or-later
"""Those tests of gdb's own that step, and that a bare guest can run, under TCG.

    python3 -m pytest -v tests/peers/peers_gdb.py --testsuite DIR --qemu FILE --pc-bios DIR
        --work DIR

DIR is gdb/testsuite of gdb's source, of the version of --gdb.  The tests run in
DejaGnu with boards/pseries.exp.  A test file passes if all of its checks do but
those of KNOWN, which have to fail: README.md says why.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
sys.path[:0] = [str(HERE), str(TESTS / "lab")]

from lablib import L2_MACHINE                                   # noqa: E402
from runner import Runner                                       # noqa: E402

FILES = """advance break-always break-idempotent breakpoint-shadow consecutive display finish
    range-stepping return return2 sss-bp-on-user-bp step-break step-bt step-line
    step-resume-infcall step-test until-nodebug watch-cond watch-non-mem watch-read""".split()
KNOWN = {
    "watch-read": {"read watchpoint triggers on first read",
                   "read watchpoint triggers on read after value changed",
                   "read watchpoint triggers when value doesn't change, trapping reads "
                   "and writes"},
}
TOOLS = "powerpc64le-linux-gnu-"
# The programs' own `_start` is start.S of tests/gdbstub
PAYLOAD = TESTS / "gdbstub/payload"


@pytest.fixture(scope="module", name="environment")
def _environment(runner: Runner) -> dict[str, str]:
    options, work = runner.options, runner.options.work
    for name, command in {
            "start.o": [f"{TOOLS}as", "-a64", "-mpower9", "-mregnames", "-mlittle", "-I",
                        TESTS / "lab/payload", PAYLOAD / "start.S"],
            "libc.o": [f"{TOOLS}gcc", "-O1", "-ffreestanding", "-fno-builtin", "-w",
                       "-mno-vsx", "-mno-altivec", "-mcpu=power9", "-fno-pie",
                       "-fno-stack-protector", "-fno-tree-loop-distribute-patterns", "-c",
                       HERE / "libc.c"]}.items():
        status, text = runner.run([*map(str, command), "-o", str(work / name)], work, 60)
        assert not status, text
    (work / "site.exp").write_text("".join(f"set {name} {value}\n" for name, value in {
        "host_triplet": "x86_64-pc-linux-gnu", "build_triplet": "x86_64-pc-linux-gnu",
        "target_triplet": "powerpc64le-unknown-linux-gnu",
        "target_alias": "powerpc64le-unknown-linux-gnu", "tool": "gdb",
        "srcdir": options.testsuite, "objdir": work, "boards_dir": HERE / "boards",
        "GDB_DATA_DIRECTORY": "/usr/share/gdb"}.items()))
    return {
        "PEERS_QEMU": f"{options.qemu} -M {L2_MACHINE} -accel tcg,thread=single "
                      "-cpu power9 -m 512M -nographic -nodefaults -monitor none "
                      f"-serial none -L {options.pc_bios}",
        "PEERS_WORK": str(work),
        "PEERS_LD": f"-T {PAYLOAD / 'guest.ld'} {work / 'start.o'} {work / 'libc.o'}",
        "TERM": "dumb", "LC_ALL": "C", "HOME": str(work)}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.timeout(360)
def test_gdb_base(name: str, runner: Runner, environment: dict[str, str],
                  record_property: Callable[[str, object], None]) -> None:
    work = runner.options.work
    for old in work.glob("gdb[0-9]*"):
        old.unlink()
    status, text = runner.run(["runtest", "--tool", "gdb", "--target_board", "pseries",
                               f"GDB={shutil.which(runner.options.gdb)}",
                               f"gdb.base/{name}.exp"], work, 300, environment)
    print(text)
    summary = (work / "gdb.sum").read_text(errors="replace")
    shutil.copy(work / "gdb.log", work / f"{name}.log")
    found = re.findall(rf"^([A-Z]+): (?:gdb\.base/{name}\.exp: )?(.*)", summary, re.M)
    wrong = {what for verdict, what in found
             if verdict in ("FAIL", "ERROR", "UNRESOLVED", "KPASS", "XPASS")}
    assert wrong == KNOWN.get(name, set()), "what failed, what has to"
    passed = sum(verdict == "PASS" for verdict, _ in found)
    assert passed, f"status {status}: {found}"
    record_property("about", f"{passed} checks")
