# SPDX-License-Identifier: GPL-2.0-or-later
"""How tests are found, shown and summed; for pytest.

A test of the lab or of the gdbstub is a function `NAME(bench: Bench) -> None` of a module
ci_*.py or t_*.py.  Its docstring says what it tests; one that begins with "clause 3:" or
"clauses 1, 2:" gives it the markers of these clauses of about/CONTRACT.md.

The last line is the sum, "N passed, N failed", behind the reasons of what was skipped
and of what failed as expected.  A run without any test is a failure.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "lab"))

from lablib import tail                                         # noqa: E402

A_TEST = {"bench": "Bench", "return": "None"}
LOG_LINES = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("QEMU under test").addoption
    add("--qemu", type=Path, metavar="FILE", help="the binary")
    add("--pc-bios", type=Path, metavar="DIR", help="its firmware")
    add("--work", type=Path, metavar="DIR", help="logs, payloads, cached images")
    add("--only", metavar="REGEX", help="tests whose own names match; -k sees markers, too")


def pytest_configure(config: pytest.Config) -> None:
    for clause in range(1, 10):
        config.addinivalue_line("markers", f"clause{clause}: of the step contract")
    if config.option.work:
        config.option.work = config.option.work.resolve()
        config.option.work.mkdir(parents=True, exist_ok=True)


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> Any:
    if not collector.path.name.startswith(("ci_", "t_")):
        return None
    if (not inspect.isfunction(obj) or obj.__module__ != collector.obj.__name__
            or obj.__annotations__ != A_TEST):
        return []
    if not obj.__doc__:
        raise collector.CollectError(f"{name} does not say what it tests")
    item = pytest.Function.from_parent(collector, name=name, callobj=obj)
    item.user_properties.append(("about", " ".join(obj.__doc__.split())))
    if found := re.match(r"clauses? ([\d, ]+):", obj.__doc__):
        for clause in re.findall(r"\d+", found[1]):
            item.add_marker(f"clause{clause}")
    return item


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.only:
        keep(config, items, lambda item: re.search(config.option.only, item.name))


def keep(config: pytest.Config, items: list[pytest.Item], wanted: Any) -> None:
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = filter(wanted, items)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """What tests noted, and of a failure the ends of the logs; and at once why."""
    bench = getattr(item, "funcargs", {}).get("bench")
    if bench:
        item.user_properties += [("note", note) for note in bench.notes]
        bench.notes.clear()
    report = (yield).get_result()                               # type: ignore[misc]
    if report.failed:
        error = call.excinfo and call.excinfo.value             # LabError has logs, too
        logs = getattr(bench, "logs", []) + getattr(error, "logs", [])
        report.sections += [(f"the end of {log}", "\n".join(tail(log, LOG_LINES)))
                            for log in dict.fromkeys(logs)
                            if log.exists() and log.stat().st_size]
        item.user_properties.append(("failed", str(error).partition("\n")[0]))
    if call.when == "teardown" and (why := dict(item.user_properties).get("failed")):
        item.config.pluginmanager.get_plugin("terminalreporter").write_line(f"    {why}")


def pytest_report_teststatus(report: pytest.TestReport) -> Any:
    about = dict(getattr(report, "user_properties", ())).get("about")
    if about and report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
        return "passed", ".", f"PASSED: {about} ({report.duration:.1f} s)"
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.option.collectonly:       # behind what pytest says itself
        session.config.add_cleanup(functools.partial(closing_lines, session.config))


def closing_lines(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    found = {name: reporter.stats.get(name, [])
             for name in ("passed", "failed", "error", "skipped", "xfailed")}
    for report in sum(found.values(), []):
        for what, note in getattr(report, "user_properties", ()):
            if what == "note":
                reporter.write_line(f"# {note}")
    for report in found["skipped"]:
        reason = report.longrepr[2].removeprefix("Skipped: ")
        reporter.write_line(f"skipped - {name_of(report)}: {reason}")
    for report in found["xfailed"]:
        reporter.write_line(f"expected failure - {name_of(report)}: {report.wasxfail}")
    count = {name: len(reports) for name, reports in found.items()}
    failed = count["failed"] + count["error"] or not any(count.values())
    reporter.write_line(
        f"{count['passed']} passed, {int(failed)} failed"
        + (f", {count['xfailed']} failed as expected" if count["xfailed"] else "")
        + (f", {count['skipped']} skipped" if count["skipped"] else ""))


def name_of(report: Any) -> str:
    return report.nodeid.rpartition("::")[2]
