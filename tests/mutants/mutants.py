#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutants: patches that break a promise, each with the test that has to notice.

    mutants.py list [--by KIND] [--slice K/N] [NAME...]
                                name, kind and test of each, a line for each mutant
    mutants.py apply NAME DIR   to a tree with the series
    mutants.py check DIR        does each still fit such a tree?
    mutants.py native --work DIR [--slice K/N] [NAME...]
                                those that native tests catch: break, build, run, one by one

A mutant is a file like a patch of the series: what it breaks, "Caught-by: KIND TEST",
hunks that fit in one place only.  It is caught if that test fails; a mutant that does not
build, or that the test passes with, is a failure.  The last line of `native` is
"N passed, N failed".
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPO / "scripts"))

from qemu_series import patchfile                               # noqa: E402
from qemu_series.git import Refusal                             # noqa: E402

KINDS = ("native", "gdbstub", "lvz", "power", "arm64", "loongarch64", "x86")
CAUGHT_BY = re.compile(r"^Caught-by: (\S+) (\S+)$", re.MULTILINE)
SOURCES = ("accel", "include", "meson.build", "target", "tests/model", "tests/unit")
LIMIT = 120                     # seconds; a test that hangs has noticed


@dataclass(frozen=True)
class Mutant:
    patch: patchfile.Patch
    kind: str
    test: str

    @property
    def name(self) -> str:
        return self.patch.name

    def broken(self, tree: Path) -> dict[Path, tuple[bytes, bytes]]:
        """The files of a tree that it changes, before and after."""
        files = {}
        for change in self.patch.changes:
            data = (tree / change.old).read_bytes()
            files[tree / change.old] = data, patchfile.applied(self.patch, change, data)
        return files

    def apply(self, tree: Path) -> dict[Path, bytes]:
        """Break a tree.  What its files were."""
        files = self.broken(tree)
        for path, (_, after) in files.items():
            path.write_bytes(after)
        return {path: before for path, (before, _) in files.items()}


def load(file: Path) -> Mutant:
    patch = patchfile.parse(file.stem, file.read_bytes())
    found = CAUGHT_BY.findall(patch.message)
    if len(found) != 1 or found[0][0] not in KINDS:
        raise Refusal(f"{file.name}: one line 'Caught-by: KIND TEST' is wanted",
                      f"KIND is one of {', '.join(KINDS)}")
    return Mutant(patch, *found[0])


def chosen(args: argparse.Namespace, kind: str | None) -> list[Mutant]:
    mutants = [load(file) for file in sorted(HERE.glob("*.patch"))]
    missing = set(args.names) - {mutant.name for mutant in mutants}
    if missing:
        raise Refusal(f"no mutant {', '.join(sorted(missing))}", "see mutants.py list")
    mutants = [m for m in mutants if (not kind or m.kind == kind)
               and (not args.names or m.name in args.names)]
    part, parts = map(int, args.slice.split("/"))
    return mutants[part % parts::parts]


class Native:
    """A copy of what the native tests are built from."""

    def __init__(self, work: Path) -> None:
        self.source, self.build = work / "source", work / "build"
        shutil.rmtree(self.source, ignore_errors=True)
        for name in SOURCES:
            place = self.source / name
            place.parent.mkdir(parents=True, exist_ok=True)
            # With times of their own: what was built last may be a mutant
            if (REPO / name).is_dir():
                shutil.copytree(REPO / name, place, copy_function=shutil.copy)
            else:
                shutil.copy(REPO / name, place)
        if not (self.build / "build.ninja").exists():
            # What a mutant no longer uses is no error
            self.run("meson", "setup", "-Dwerror=false", self.build, self.source)

    def run(self, *command: str | Path, limit: float | None = None) -> tuple[int, str]:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=limit, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    def fails(self, test: str) -> str | None:
        """How a test fails; None if it passes."""
        target = next(str(path.relative_to(self.source).parent / test)
                      for path in (self.source / "tests").rglob(test + ".c"))
        status, output = self.run("ninja", "-C", self.build, target)
        if status:
            errors = [line for line in output.splitlines() if "error" in line]
            raise AssertionError("\n  ".join(["does not build:", *errors[:3]]))
        try:
            status, output = self.run(self.build / target, "--tap", limit=LIMIT)
        except subprocess.TimeoutExpired:
            return f"hangs for {LIMIT} s"
        said = [line for line in output.splitlines()
                if line.startswith("not ok") or "ERROR:" in line]
        said = [re.sub(r".*/(?=test-)", "", line) for line in said]
        return (said or [f"status {status}"])[0][:150] if status else None

    def check(self, mutant: Mutant) -> str:
        """How it was caught."""
        old = mutant.apply(self.source)
        try:
            how = self.fails(mutant.test)
        finally:
            for path, data in old.items():
                path.write_bytes(data)
        if how is None:
            raise AssertionError(f"{mutant.test} passes with it")
        return how


def do_native(args: argparse.Namespace) -> int:
    mutants = chosen(args, "native")
    native = Native(args.work)
    failed = 0
    for test in sorted({mutant.test for mutant in mutants}):
        how = native.fails(test)
        if how:
            print(f"not ok - {test} fails without a mutant: {how}")
            failed += 1
    passed = 0
    for mutant in mutants:
        try:
            print(f"ok - {mutant.name}: {mutant.test}: {native.check(mutant)}", flush=True)
            passed += 1
        except (AssertionError, Refusal) as err:
            print(f"not ok - {mutant.name}: {err}", flush=True)
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return failed != 0


def do_list(args: argparse.Namespace) -> int:
    for mutant in chosen(args, args.by):
        print(mutant.name, mutant.kind, mutant.test)
    return 0


def do_check(args: argparse.Namespace) -> int:
    failed = 0
    mutants = [load(file) for file in sorted(HERE.glob("*.patch"))]
    for mutant in mutants:
        try:
            mutant.broken(args.tree)
        except Refusal as err:
            print(f"not ok - {err.lines[0][0]}")
            failed += 1
    print(f"{len(mutants) - failed} passed, {failed} failed")
    return failed != 0


def do_apply(args: argparse.Namespace) -> int:
    load(HERE / f"{args.name}.patch").apply(args.tree)
    return 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("--slice", default="0/1", metavar="K/N", help="each Nth, from the Kth on")
    some.add_argument("names", nargs="*", metavar="NAME")
    command = commands.add_parser("list", parents=[some])
    command.add_argument("--by", choices=KINDS)
    command.set_defaults(do=do_list)
    command = commands.add_parser("native", parents=[some])
    command.add_argument("--work", type=Path, required=True)
    command.set_defaults(do=do_native)
    command = commands.add_parser("apply")
    command.add_argument("name")
    command.add_argument("tree", type=Path)
    command.set_defaults(do=do_apply)
    command = commands.add_parser("check")
    command.add_argument("tree", type=Path)
    command.set_defaults(do=do_check)
    args = parser.parse_args(argv)
    try:
        return args.do(args)
    except Refusal as err:
        for what, todo in err.lines:
            print(f"mutants: {what}: {todo}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
