# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/conftest.py, tests/lab/conftest.py and scripts/run-tests: what a run of tests says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from lablib import LabError, Shell

TESTS = Path(__file__).resolve().parents[1]
RUN_TESTS = TESTS.parent / "scripts" / "run-tests"
HEAD = """
from __future__ import annotations
import contextlib, time
from pathlib import Path
from types import SimpleNamespace
import pytest
from lablib import LabError
here = Path(__file__).parent
"""
# In place of a host.  A guest of it is a file.
HOST = """
class Lab(SimpleNamespace):
    def forget_ended(self):
        pass

    def stop_guests(self):
        if (here / "dead").exists():
            raise LabError("L0 ended")

@pytest.fixture(scope="session")
def booted():
    (here / "l0.log").write_text("oops in L1")
    lab = Lab(kernel=SimpleNamespace(version=(6, 12)))
    return SimpleNamespace(lab=lab, logs=[here / "l0.log"], notes=[], lost="")

@contextlib.contextmanager
def guest():
    (here / "guest").touch()
    try:
        yield
    finally:
        (here / "guest").unlink()
"""


@dataclass
class Ran:
    status: int
    output: str

    @property
    def last(self) -> str:
        return self.output.splitlines()[-1]


def run(work: Path, source: str, *options: str, head: str = HEAD + HOST) -> Ran:
    """A module of the lab with these tests."""
    for name in ("pytest.ini", "conftest.py", "lab/conftest.py"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).unlink(missing_ok=True)
        (work / name).symlink_to(TESTS / name)
    (work / "lab" / "ci_steps.py").write_text(head + textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-v", "lab", "--qemu", "none", "--kernel-dir",
         "none", "--work", work / "work", *options],
        cwd=work, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stderr + done.stdout)


PASSES = '''
def passes(bench: Bench) -> None:
    """clauses 2, 3: it is well"""
    bench.notes.append("12 steps")
'''


def test_passes(tmp_path: Path) -> None:
    ran = run(tmp_path, PASSES)
    assert re.search(r"::passes PASSED: clauses 2, 3: it is well \(0\.\d s\)", ran.output)
    assert "\n# 12 steps\n" in ran.output
    assert (ran.status, ran.last) == (0, "1 passed, 0 failed")


def test_hangs(tmp_path: Path) -> None:
    """Its limit ends that test alone, which cleans up."""
    ran = run(tmp_path, '''
        @pytest.mark.timeout(1)
        def hangs(bench: Bench) -> None:
            """waits for ever"""
            with guest():
                time.sleep(60)
    ''' + textwrap.indent(PASSES, " " * 8))
    assert re.search(r"^FAILED .*::hangs - .*Timeout", ran.output, re.M), ran.output
    assert "oops in L1" in ran.output
    assert re.search(r"::hangs FAILED +\[ 50%\]\n    Timeout .*\n+.*::passes PASSED", ran.output)
    assert not (tmp_path / "lab" / "guest").exists()
    assert (ran.status, ran.last) == (1, "1 passed, 1 failed")


def test_dead_host(tmp_path: Path) -> None:
    """The rest fails at once, and says why."""
    ran = run(tmp_path, '''
        def kills(bench: Bench) -> None:
            """ends the host"""
            (here / "dead").touch()
            raise LabError("no answer")

        def waits(bench: Bench) -> None:
            """would take a minute"""
            time.sleep(60)
    ''')
    assert re.search(r"^ERROR .*::waits - .*the host is lost: L0 ended", ran.output,
                     re.M), ran.output
    assert (ran.status, ran.last) == (1, "0 passed, 2 failed")


def test_no_host(tmp_path: Path) -> None:
    ran = run(tmp_path, PASSES + PASSES.replace("passes", "also"), head=HEAD)
    assert re.search(r"^ERROR .*::also - Failed: no host: no \S+ under none", ran.output, re.M)
    assert (ran.status, ran.last) == (1, "0 passed, 2 failed")


@pytest.mark.parametrize("since, body, status, last", [
    ("6, 10", "assert False", 0, "0 passed, 0 failed, 1 failed as expected"),
    ("6, 10", "pass", 1, "0 passed, 1 failed"),
    ("6, 10", "raise OSError", 1, "0 passed, 1 failed"),
    ("6, 14", "assert False", 1, "0 passed, 1 failed"),
    ("6, 14", "pass", 0, "1 passed, 0 failed"),
])
def test_expected(tmp_path: Path, since: str, body: str, status: int, last: str) -> None:
    ran = run(tmp_path, f'''
        @pytest.mark.fails_since(({since}), "the kernel lacks it")
        def odd(bench: Bench) -> None:
            """what some kernels lack"""
            {body}
    ''')
    assert (ran.status, ran.last) == (status, last), ran.output
    assert (status == 0 and "expected" in last) == (
        "\nexpected failure - odd: the kernel lacks it\n" in ran.output)


def test_skipped(tmp_path: Path) -> None:
    ran = run(tmp_path, '''
        def absent(bench: Bench) -> None:
            """what this host lacks"""
            pytest.skip("this host lacks it")
    ''')
    assert "\nskipped - absent: this host lacks it\n" in ran.output
    assert (ran.status, ran.last) == (0, "0 passed, 0 failed, 1 skipped")


CHOICE = PASSES + '''
@pytest.mark.by_hand
def soaks(bench: Bench) -> None:
    """takes long"""

@pytest.mark.host("arm64")
def elsewhere(bench: Bench) -> None:
    """clause 4: something of arm64"""

def helper(bench: Bench, more: int) -> None:
    """is no test"""
'''


@pytest.mark.parametrize("options, names", [
    ((), "passes"),
    (("--full",), "passes soaks"),
    (("--only", "^.o.*s$"), "soaks"),
    (("-k", "soaks"), "soaks"),
    (("-m", "clause3"), "passes"),
    (("-m", "clause1"), ""),
    (("--machine", "arm64", "--only", "."), "elsewhere"),
    (("--machine", "x86"), ""),
])
def test_chosen(tmp_path: Path, options: tuple[str, ...], names: str) -> None:
    """And without any test it has failed."""
    ran = run(tmp_path, CHOICE, *options)
    assert re.findall(r"::(\w+) PASSED", ran.output) == names.split(), ran.output
    passed = len(names.split())
    assert ran.last == f"{passed} passed, {int(not passed)} failed"
    assert (ran.status == 0) == bool(passed)


@pytest.mark.parametrize("source, what", [
    ("import nothing_of_this_name\n" + PASSES, "nothing_of_this_name"),
    (PASSES.replace('"""clauses 2, 3: it is well"""', ""), "passes does not say what it tests"),
])
def test_broken_module(tmp_path: Path, source: str, what: str) -> None:
    ran = run(tmp_path, source)
    assert what in ran.output
    assert ran.status != 0 and ran.last == "0 passed, 1 failed", ran.output


def test_unknown_module(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "ci_new.py").write_text(HEAD + PASSES)
    ran = run(tmp_path, "")
    assert "ERROR: lab/ci_new.py::passes: no host" in ran.output
    assert ran.status != 0 and ran.last == "0 passed, 1 failed"


def test_junit(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    run(tmp_path, PASSES, "--junitxml", str(file))
    assert '<testcase classname="lab.ci_steps" name="passes"' in file.read_text()


def test_command_cut_short() -> None:
    """A test was ended while L1 did something for it: what that says late is nobody's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        l1 = socket.create_connection(server.getsockname())
        shell = Shell(server.accept()[0])
    process = subprocess.Popen(["sh"], stdin=l1, stdout=l1)
    try:
        with pytest.raises(LabError, match="no answer"):
            shell.run("sleep 1; echo late", timeout=0.2)
        assert shell.run("echo next; false", timeout=5) == (1, "next\n")
    finally:
        process.kill()


MUTANT = """
logs=$1 passed=0 failed=0
result broken "$2" "$3" log
echo "$passed $failed"
"""


def functions_of(script: Path, tmp_path: Path, more: str, *arguments: str) -> list[str]:
    """What bash says with the functions of a script, and more."""
    functions = tmp_path / "functions"
    functions.write_text(script.read_text().replace('\nmain "$@"', ""))
    done = subprocess.run(["bash", "-c", f". {functions}{more}", script, tmp_path, *arguments],
                          capture_output=True, text=True, check=False)
    return done.stdout.splitlines() or [done.stderr]


@pytest.mark.parametrize("before, body, said, counts", [
    ("", "assert False", r"ok - broken: FAILED .*::odd - assert False", "1 0"),
    ("", "time.sleep(60)", r"ok - broken: FAILED .*::odd - .*Timeout.*", "1 0"),
    ("", "pass", r"not ok - broken: odd passes with it", "0 1"),
    ("", "pytest.skip('not here')", r"not ok - broken: odd was not run.*", "0 1"),
    ("raise LabError('the host is not there')", "pass", r"not ok .* was not run.*", "0 1"),
])
def test_mutant(tmp_path: Path, before: str, body: str, said: str, counts: str) -> None:
    """scripts/mutants: a test that fails has caught it, one that was not run has not."""
    ran = run(tmp_path, f'''
        @pytest.fixture(autouse=True)
        def _before(): {before or "pass"}

        def odd(bench: Bench) -> None:
            """fails"""
            {body}
    ''', "-rfp", "--timeout", "1")
    (tmp_path / "log").write_text(ran.output)
    first, second = functions_of(RUN_TESTS.with_name("mutants"), tmp_path, MUTANT, "odd",
                                 str(ran.status))
    assert re.fullmatch(said, first) and second == counts, ran.output


COUNTED = """
logs=$1 skipped='' foreseen='' minutes='' passed=0 failed=0
counted what what.log sh -c "$2" 2>/dev/null
echo "$passed $failed $skipped$foreseen"
"""


@pytest.mark.parametrize("command, wanted", [
    ("echo 2 passed, 0 failed", "2 0 "),
    ("echo 2 passed, 1 failed; exit 1", "2 1 "),
    ("echo 2 passed, 0 failed; exit 3", "2 1 "),
    ("echo 0 passed, 0 failed; exit 5", "0 1 "),
    ("echo ImportError: conftest; exit 4", "0 1 "),
    ("true", "0 1 "),
    ("echo 'skipped - a: no DAWR'; echo 0 passed, 0 failed, 1 skipped", "0 0   a: no DAWR"),
    ("echo 'expected failure - b: KVM'; echo 1 passed, 0 failed", "1 0   b: KVM"),
])
def test_counted(tmp_path: Path, command: str, wanted: str) -> None:
    """What run-tests makes of it."""
    said = functions_of(RUN_TESTS, tmp_path, COUNTED, command)
    assert "\n".join(said).rstrip() == wanted.rstrip()
