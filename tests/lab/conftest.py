# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's tests: one host for all of them, several guests, real gdb packets.

    python3 -m pytest -v tests/lab --qemu FILE --kernel-dir DIR --work DIR
        [--unpatched FILE --pc-bios DIR | --machine arm64 | --machine x86]
    python3 -m pytest -v tests/lab --qemu FILE --host FILE --work DIR ...
                                        on the host that `lab up` keeps

Run are those tests that --machine is among the hosts of: its own marker `host`, or what
MODULES says.  --full steps the whole payloads instead of one round of each.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import Bench, on_all, on_arm64, on_linux, on_loong64, on_power, on_x86
from lablib import HOSTS, X86, Children, Lab, LabConfig, LabError, Progress
from rsp import RspError

# In this order
MODULES = {"ci_steps": on_power, "ci_interrupts": on_power, "ci_places": on_power,
           "ci_points": on_power, "ci_arm64": on_arm64, "ci_x86": on_x86,
           "ci_left_in": on_all, "ci_boot": pytest.mark.host(*on_linux.args, *on_x86.args),
           "ci_dma": pytest.mark.host(*on_arm64.args, *on_x86.args), "ci_gdbstub": on_power,
           "ci_migration": on_power,
           "ci_lockstep": on_power,
           "ci_linux": pytest.mark.host(*on_linux.args, *on_loong64.args)}
FULL_LIMIT = 3600
LAB = pytest.StashKey[Lab]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("the lab").addoption
    add("--machine", choices=HOSTS, default="powernv9", help="the host")
    add("--kernel-dir", type=Path, metavar="DIR", help="kernel and busybox, to boot a host")
    add("--host", type=Path, metavar="FILE", help="one that is up: scripts/lab up printed it")
    add("--l0", type=Path, metavar="FILE", help="the emulated host's QEMU")
    add("--unpatched", type=Path, metavar="FILE", help="QEMU to compare with, for POWER")
    add("--full", action="store_true", help="whole payloads, long soaks; all by_hand")


def pytest_configure(config: pytest.Config) -> None:
    for machine in HOSTS:
        config.addinivalue_line("markers", f"{machine}: the tests that run on such a host")


def make_lab(option: argparse.Namespace) -> Lab:
    """The lab to be booted, or one that is up, whose machine is meant then."""
    option.pc_bios = option.pc_bios or Path("/usr/share/qemu")
    # sys.stderr is pytest's, which keeps it for failures
    ours = Progress(sys.__stderr__), Children()                 # type: ignore[arg-type]
    if option.host:
        lab = Lab.attach(option.host, option.work, option.pc_bios, *ours)
        option.machine = lab.config.machine
        return lab
    # TCG of the distribution's QEMU lacks what KVM needs: for breakpoints, or at all
    l0 = str(option.l0 or (option.qemu if HOSTS[option.machine].l0_under_test else ""))
    return Lab(LabConfig(option.kernel_dir, option.work, option.pc_bios, option.machine, l0),
               *ours)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    option = config.option
    if not option.collectonly:
        if not (option.qemu and option.work and (option.host or option.kernel_dir)):
            raise pytest.UsageError("--qemu, --work, and --kernel-dir or --host are wanted")
        try:
            config.stash[LAB] = make_lab(option)
        except LabError as err:
            raise pytest.UsageError(str(err)) from None
    asked = (option.full or option.only or option.keyword or option.markexpr
             or any("::" in arg for arg in config.args))
    chosen, others = [], []
    for item in items:
        hosts = item.get_closest_marker("host") or MODULES.get(item.path.stem)
        if not hosts:
            raise pytest.UsageError(f"{item.nodeid}: no host: add its module to MODULES")
        for host in hosts.args:
            item.add_marker(host)
        if option.full:
            item.add_marker(pytest.mark.timeout(FULL_LIMIT), append=False)
        by_hand = item.get_closest_marker("by_hand")
        kept_back = by_hand and not asked and option.machine in (by_hand.args or hosts.args)
        (chosen if option.machine in hosts.args and not kept_back else others).append(item)
    config.hook.pytest_deselected(items=others)
    order = [*MODULES, *(item.path.stem for item in chosen)]
    items[:] = sorted(chosen, key=lambda item: order.index(item.path.stem))


@pytest.fixture(scope="session", name="booted")
def _booted(request: pytest.FixtureRequest) -> Iterator[Bench]:
    lab = request.config.stash[LAB]
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    try:
        with contextlib.ExitStack() as stack:
            with capture.global_and_fixture_disabled():     # it takes a while
                print(flush=True)
                stack.enter_context(lab)
            yield Bench(lab, request.config.option)
    except LabError as err:
        err.report(sys.__stderr__)                              # type: ignore[arg-type]
        pytest.fail(f"no host: {err}", pytrace=False)
    finally:
        lab.children.stop_all()


@pytest.fixture(name="bench")
def _bench(request: pytest.FixtureRequest, booted: Bench) -> Iterator[Bench]:
    """The lab, if it is still there: a test that fails leaves no guest behind."""
    if booted.lost:
        pytest.fail(f"the host is lost: {booted.lost}", pytrace=False)
    for mark in request.node.iter_markers("fails_since"):
        since, cause = mark.args
        if booted.lab.kernel.version >= since:
            request.applymarker(pytest.mark.xfail(
                reason=cause, strict=True, raises=(AssertionError, RspError)))
    booted.lab.forget_ended()
    failed = request.session.testsfailed
    yield booted
    if request.session.testsfailed > failed:
        try:
            booted.lab.stop_guests()
        except LabError as err:
            booted.lost = str(err)
