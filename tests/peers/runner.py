# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs programs of others' tests, each in a session of its own."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Runner:
    options: argparse.Namespace

    def qemu(self, name: str) -> Path | None:
        """A script that runs this QEMU of the build with its firmware."""
        binary = self.options.build / name
        if not os.access(binary, os.X_OK):
            return None
        firmware = f" -L {self.options.pc_bios}" if "system" in name else ""
        script = self.options.work / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec {binary}{firmware} "$@"\n')
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
            finally:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            status = child.wait()
            log.seek(0)
            return status, log.read() + ("\nno end in time\n" if status == -9 else "")
