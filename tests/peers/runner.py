# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one test in a session of its own, keeps its log, counts."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Runner:
    options: argparse.Namespace
    passed: int = 0
    failed: int = 0

    def wanted(self, name: str) -> bool:
        return bool(re.search(self.options.only, name))

    def verdict(self, name: str, text: str, problem: str | None) -> None:
        (self.options.work / (re.sub(r"\W+", "-", name) + ".log")).write_text(text)
        if problem:
            self.failed += 1
            print(f"not ok - {name}: {problem}", *text.strip().splitlines()[-8:],
                  sep="\n    ", flush=True)
        else:
            self.passed += 1
            print(f"ok - {name}", flush=True)

    def not_run(self, name: str, reason: str) -> None:
        print(f"# not run: {name}: {reason}", flush=True)

    def qemu(self, name: str) -> Path | None:
        """A script that runs this QEMU of the build with its firmware."""
        binary = self.options.build / name
        if not os.access(binary, os.X_OK):
            return None
        firmware = "".join(f" -L {path.resolve()}" for path in self.options.firmware)
        script = self.options.work / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec {binary}{firmware if "system" in name else ""} "$@"\n')
        script.chmod(0o755)
        return script

    def run(self, command: list[str], cwd: Path, limit: float,
            env: dict[str, str] | None = None) -> tuple[int, str]:
        """Exit status and output; nothing that it has started outlives it."""
        with open(cwd / "run.log", "w+", errors="replace") as log:
            child = subprocess.Popen(command, cwd=cwd, env=os.environ | (env or {}), stdout=log,
                                     stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                     start_new_session=True)
            try:
                child.wait(limit)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            status = child.wait()
            log.seek(0)
            return status, log.read() + ("\nno end in time\n" if status == -9 else "")
