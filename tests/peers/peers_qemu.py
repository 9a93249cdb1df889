# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own tests of its gdbstub, as far as they can run on this host.

    python3 -m pytest -v tests/peers/peers_qemu.py --tree QEMU-SOURCES --build BUILD --work DIR
        --pc-bios DIR

From TREE: tests/tcg/**/gdbstub by their own make rules and run-test.py, for each target
with a QEMU in BUILD and a compiler here; with QEMU_TEST_FLAKY_TESTS set, as QEMU asks it to be
for these, tests/functional/*/*reverse_debug*, those without assets.
run-test.py forgives a gdb that crashed and one that never connected; here only a script
that reports its own end counts as passed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import Runner

COMPILERS = {"ppc64le-linux-user": "powerpc64le-linux-gnu-gcc",
             "x86_64-linux-user": "x86_64-linux-gnu-gcc",
             "aarch64-linux-user": "aarch64-linux-gnu-gcc",
             "s390x-linux-user": "s390x-linux-gnu-gcc",
             "x86_64-softmmu": "x86_64-linux-gnu-gcc",
             "aarch64-softmmu": "aarch64-linux-gnu-gcc"}
# In tests/tcg there is no boot.S for ppc64-softmmu
REVERSE = ("ppc64", "x86_64", "aarch64")
ENDLESS = {"test_ppc64_powernv": "its reverse-continue took more than 6 minutes, unpatched"}
# Of one that upstream calls flaky: so many have to pass, of so many.  With half of the runs
# sound, one time in 170 they do not
ENOUGH, TRIES = 5, 20
WRONG = r"Invalid PC \(read .*|AssertionError: '?reverse-continue'? did not hit .*"


def lacks(build: Path, target: str) -> str:
    """Why a target's tests can't be run."""
    if not os.access(build / emulator(target), os.X_OK):
        return f"{target}: no QEMU for it in the build"
    if not shutil.which(COMPILERS[target]):
        return f"{target}: no {COMPILERS[target]}"
    return ""


def emulator(target: str) -> str:
    arch, kind = target.split("-", 1)
    return f"qemu-system-{arch}" if kind == "softmmu" else f"qemu-{arch}"


def rules(tree: Path, target: str) -> list[str]:
    """What make can run for it."""
    arch, kind = target.split("-", 1)
    name = "Makefile.softmmu-target" if kind == "softmmu" else "Makefile.target"
    common = "multiarch/system" if kind == "softmmu" else "multiarch"
    files = [tree / "tests/tcg" / part / name for part in (common, arch)]
    text = "".join(path.read_text() for path in files if path.exists())
    return list(dict.fromkeys(re.findall(r"^run-(gdbstub-[\w-]+):", text, re.M)))


def reverse_source(tree: Path, arch: str) -> str:
    return (tree / "tests/functional" / arch / "test_reverse_debug.py").read_text()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.option
    tree = option.tree
    if "rule" in metafunc.fixturenames:
        metafunc.parametrize("target, rule", [
            pytest.param(target, rule, marks=[pytest.mark.skip(reason=why)] if why else [])
            for target in COMPILERS for why in [lacks(option.build, target)]
            for rule in (["all"] if why else rules(tree, target))])
    if "method" in metafunc.fixturenames:
        metafunc.parametrize("arch, method", [
            (arch, method) for arch in REVERSE
            for method in re.findall(r"^    def (test_\w+)", reverse_source(tree, arch), re.M)])


def prepared(runner: Runner, target: str) -> Path:
    """A directory with what configure would write."""
    options = runner.options
    work: Path = options.work / target
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "Makefile").symlink_to(options.tree / "tests/tcg/Makefile.target")
    version = subprocess.run([options.gdb, "--version"], capture_output=True, text=True,
                             check=True).stdout.split("\n")[0].split()[-1]
    mte = "y" if int(version.split(".")[0]) >= 16 else ""
    (work / "config-target.mak").write_text(
        f"TARGET_NAME={target.split('-')[0]}\nTARGET={target}\nBUILD_STATIC=y\n"
        f"QEMU={runner.qemu(emulator(target))}\n"
        f"CC={COMPILERS[target]}\nGDB={shutil.which(options.gdb)}\n"
        f"GDB_HAS_MTE={mte}\nGDB_SUPPORTS_MTE_IN_BAREMETAL={mte}\n")
    return work


def test_tcg(runner: Runner, target: str, rule: str) -> None:
    work = prepared(runner, target)
    status, text = runner.run(["make", "-rR", f"SRC_PATH={runner.options.tree}", "V=1",
                               f"run-{rule}"], work, 150)
    text = "\n".join([text, *(path.read_text(errors="replace") for path in
                              sorted([*work.glob("*.out"), *work.glob("*.err")]))])
    print(text)
    if skip := re.search(r"^SKIP: .*|SKIPPED .*|No rule to make target 'run-.*", text, re.M):
        pytest.skip(f"{target}: {skip[0]}")
    assert not status, f"exit status {status}"
    if "--test" in text:
        assert "All tests complete: 0 failures" in text, "its script did not come to its end"
    else:
        assert "Sending packet: $qSupported" in text, "gdb never connected"


def test_reverse(runner: Runner, arch: str, method: str) -> None:
    options = runner.options
    tree, qemu = options.tree, runner.qemu(f"qemu-system-{arch}")
    source = reverse_source(tree, arch)
    for reason in ((not qemu, "no QEMU for it in the build"),
                   ("Asset(" in source, "needs a kernel from the network"),
                   (not os.environ.get("QEMU_TEST_FLAKY_TESTS"),
                    "QEMU_TEST_FLAKY_TESTS is not set"),
                   (method in ENDLESS, ENDLESS.get(method))):
        if reason[0]:
            pytest.skip(f"{arch}: {reason[1]}")
    functional = tree / "tests/functional"
    kind = re.search(r"^class (\w+)", source, re.M)
    assert kind
    env = dict(PYTHONPATH=os.pathsep.join(map(str, (tree / "python", functional,
                                                    functional / arch))),
               QEMU_TEST_FLAKY_TESTS="1", PYTHONDONTWRITEBYTECODE="1",
               QEMU_TEST_GDB=str(shutil.which(options.gdb)),
               QEMU_TEST_QEMU_BINARY=str(qemu), QEMU_BUILD_ROOT=str(options.work))
    command = [sys.executable, "-m", "unittest", "-v", f"test_reverse_debug.{kind[1]}.{method}"]
    tried(lambda: runner.run(command, options.work, 20, env))


def tried(run: Callable[[], tuple[int, str]]) -> None:
    """Upstream skips them as flaky: replay ends early or hangs, one time in two.
    A wrong address is no flake."""
    passed = 0
    for attempt in range(1, TRIES + 1):
        status, text = run()
        print(text)
        if skip := re.search(r"skipped ['\"].*", text):
            pytest.skip(skip[0])
        if wrong := re.search(WRONG, text):
            raise AssertionError(f"{wrong[0]} (try {attempt})")
        passed += not status and re.search(r"^Ran 1 test", text, re.M) is not None
        if passed == ENOUGH:
            return
        if passed + TRIES - attempt < ENOUGH:
            break
    raise AssertionError(f"{passed} of {attempt} tries passed, {ENOUGH} of {TRIES} should; "
                         f"exit status {status} in the last one")
