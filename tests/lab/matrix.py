#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Generated guests in lockstep with TCG, over all kinds of guests and hosts.

    matrix.py --qemu FILE --pc-bios DIR --kernel-dir DIR [--arch ARCH]
        [--steps N | --total N]

A cell of ppc64el is {POWER9, POWER10} x {BE, LE} x {radix, hash} x {AIL 0, 3} x {1, 2,
4 vCPUs}.  Each runs guests with the seeds --seed, --seed + 1... until it has its
number of steps.  One host is booted for each machine and serves all its cells.
What is done is kept in --resume FILE, one JSON object a line, for this QEMU; a
run that was stopped goes on there.  The status is 1 after a divergence.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "payload")]

from build import Image                                         # noqa: E402
from cells import ALL_CELLS, RULES                              # noqa: E402
from generator import SECTIONS, AnyCell                         # noqa: E402
from lablib import (PPC64, Children, L2Config, Lab, LabConfig,  # noqa: E402
                    LabError, Progress, TcgReference, Watchdog)
from lockstep import Lockstep, Options, Result, Target          # noqa: E402
from rsp import Gdb, RspError                                   # noqa: E402


def run_stream(lab: Lab, qemu: Path, cell: AnyCell, seed: int, work: Path,
               options: Options, sections: int = SECTIONS) -> tuple[Result, list[str]]:
    """One generated guest in lockstep; what happened, and what diverged."""
    payload = cell.build(seed, work / "streams", sections)
    rules = RULES[cell.arch.name]
    options.cpus = cell.cpus
    options.fetches_early = cell.fetches_early
    guest = lab.start_l2(L2Config(qemu=qemu, payload=payload, cpus=cell.cpus,
                                  machine=cell.machine, memory=cell.memory))
    try:
        reference = TcgReference(payload, work, lab.children, qemu=lab.config.l0, cpu=cell.cpu,
                                 name="reference", machine=cell.machine, memory=cell.memory,
                                 arch=cell.arch)
        try:
            lockstep = Lockstep(Image.load(payload),
                                Target("tcg", Gdb(reference.socket), rules),
                                Target("kvm", Gdb.connect(guest.gdb_port, timeout=30), rules),
                                options)
            return lockstep.run(), lockstep.report
        finally:
            reference.close()
    finally:
        guest.stop()


class Book:
    """The resume file: a line for every guest that ran, of this QEMU only."""

    def __init__(self, path: Path, qemu: Path, fresh: bool) -> None:
        self.path = path
        self.qemu = hashlib.sha256(qemu.read_bytes()).hexdigest()[:16]
        self.lines: list[dict[str, object]] = []
        if fresh:
            path.unlink(missing_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError):           # cut short by a kill
                    entry = json.loads(line)
                    if entry.get("qemu") == self.qemu:
                        self.lines.append(entry)

    def of(self, cell: AnyCell) -> list[dict[str, object]]:
        return [line for line in self.lines if line["cell"] == str(cell)]

    def steps(self, cell: AnyCell) -> int:
        return sum(int(str(line["steps"])) for line in self.of(cell))

    def add(self, cell: AnyCell, seed: int, result: Result) -> None:
        line: dict[str, object] = {
            "cell": str(cell), "seed": seed, "steps": result.steps,
            "divergences": result.divergences, "seconds": round(result.seconds, 1),
            "rate": round(result.steps / max(result.seconds, .001)), "early": result.early,
            "lost": result.lost, "detours": result.detours, "others": result.others,
            "classes": dict(result.classes()),
            "interrupts": {f"{v:#x}": n for v, n in result.vectors.items()},
            "qemu": self.qemu}
        self.lines.append(line)
        with self.path.open("a") as out:
            out.write(json.dumps(line) + "\n")

    def table(self, cells: list[AnyCell], rst: bool) -> str:
        head = ["cell", "seeds", "steps", "divergences", "steps/s"]
        rows, total = [], [0, 0, 0.0]
        for cell in cells:
            lines = self.of(cell)
            if not lines:
                continue
            steps, wrong, spent = (sum(float(str(line[key])) for line in lines)
                                   for key in ("steps", "divergences", "seconds"))
            seeds = sorted(int(str(line["seed"])) for line in lines)
            rows.append([str(cell), f"{seeds[0]}..{seeds[-1]}" if len(seeds) > 1
                         else str(seeds[0]), f"{steps:.0f}", f"{wrong:.0f}",
                         f"{steps / max(spent, .001):.0f}"])
            total = [total[0] + steps, total[1] + wrong, total[2] + spent]
        rows.append(["all", "", f"{total[0]:.0f}", f"{total[1]:.0f}",
                     f"{total[0] / max(total[2], .001):.0f}"])
        widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
        gap, edge = ("  ", "") if rst else (" | ", "| ")

        def line(row: list[str]) -> str:
            return (edge + gap.join(text.ljust(width) for text, width
                                    in zip(row, widths)) + edge[::-1]).rstrip()

        rule = (gap.join("=" * width for width in widths) if rst else
                "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        body = [line(row) for row in rows]
        if rst:
            return "\n".join([rule, line(head), rule, *body, rule])
        return "\n".join([line(head), rule, *body])

    def coverage(self) -> list[str]:
        found = []
        for key in ("classes", "interrupts"):
            counts: Counter[str] = Counter()
            for entry in self.lines:
                counts.update(entry[key])                       # type: ignore[call-overload]
            found.append(f"{key}: " + ", ".join(f"{name} {n}"
                                                for name, n in counts.most_common()))
        return found


@contextlib.contextmanager
def host(config: LabConfig, children: Children, machine: str) -> Iterator[Lab]:
    config.machine = machine
    config.work.mkdir(parents=True, exist_ok=True)
    with Lab(config, Progress(), children) as lab:
        yield lab


def run_cells(options: argparse.Namespace, cells: list[AnyCell], book: Book, config: LabConfig,
              children: Children, deadline: float) -> None:
    for machine in sorted({cell.host for cell in cells}, key=len):
        todo = [cell for cell in cells
                if cell.host == machine and book.steps(cell) < options.steps]
        if not todo or time.monotonic() > deadline:
            continue
        with host(config, children, machine) as lab:
            for number, cell in enumerate(todo, 1):
                seed = options.seed + len(book.of(cell))
                while (left := options.steps - book.steps(cell)) > 0:
                    if time.monotonic() > deadline:
                        print("matrix: time is up; the same command goes on here")
                        return
                    repeat = (f"tests/lab/matrix.py --arch {options.arch} --qemu "
                              f"{options.qemu} --kernel-dir {options.kernel_dir} "
                              + (f"--l0 {options.l0} " if options.l0 else "") +
                              f"--resume /dev/null "
                              f"--only '^{cell}$' --seed {seed}")
                    result, _ = run_stream(
                        lab, options.qemu, cell, seed, options.work,
                        Options(max_steps=left, every_few=options.every_few,
                                every_full=options.every_full, quiet=options.quiet,
                                every_memory=options.every_memory,
                                only_end=options.only_end, repeat=repeat,
                                seconds=max(1, deadline - time.monotonic())),
                        options.sections)
                    book.add(cell, seed, result)
                    print(f"[{number}/{len(todo)} on {machine}] {cell} seed {seed}: "
                          f"{result.steps} steps, {result.divergences} divergences, "
                          f"{result.steps / max(result.seconds, .001):.0f}/s"
                          + (f", others' rounds {result.others}" if result.others else ""),
                          flush=True)
                    seed += 1
                    if result.divergences or options.only_end:
                        break


def main(argv: list[str]) -> int:
    env = os.environ.get
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--qemu", type=Path, default=env("QGD_QEMU"), required="QGD_QEMU" not in os.environ)
    add("--pc-bios", type=Path, default=env("QGD_PC_BIOS", "/usr/share/qemu"))
    add("--kernel-dir", type=Path, default=env("QGD_KERNEL_DIR", "kernel"))
    add("--arch", choices=ALL_CELLS, default=PPC64.name)
    add("--work", type=Path, default=env("QGD_LAB_WORK", "lab-work"))
    add("--steps", type=int, metavar="N", help="for each cell")
    add("--total", type=int, default=1_000_000, metavar="N",
        help="for all chosen cells together (default %(default)s)")
    add("--seed", type=int, default=1)
    add("--l0", default=env("QGD_L0", ""), metavar="FILE",
        help="the emulated host's QEMU, and the reference (default: the distribution's)")
    add("--host-cpus", type=int, default=2, metavar="N",
        help="of the emulated host; 1: may share a machine (default %(default)s)")
    add("--sections", type=int, default=SECTIONS, help="of a guest: about 250 steps each")
    add("--only", default="", help="cells that match this expression")
    add("--resume", type=Path, help="default: matrix.jsonl in --work")
    add("--fresh", action="store_true", help="forget what was done before")
    add("--time-limit", type=float, default=86400)
    add("--rst", action="store_true", help="the table as reStructuredText")
    add("--every-few", type=int, help="see lockstep.py")
    add("--every-full", type=int, default=0, help="the same")
    add("--every-memory", type=int, default=0, help="the same; 0: at a guest's `look`")
    add("--only-end", action="store_true",
        help="one guest a cell at full speed: does it do the same unstepped?")
    add("--quiet", action="store_true")
    options = parser.parse_args(argv)
    options.work = Path(options.work).resolve()
    cells = [cell for cell in ALL_CELLS[options.arch] if re.search(options.only, str(cell))]
    if not cells:
        parser.error(f"no cell matches {options.only}")
    if options.steps is None:
        options.steps = -(-options.total // len(cells))
    options.work.mkdir(parents=True, exist_ok=True)
    resume = options.resume or options.work / "matrix.jsonl"
    children = Children()
    watchdog = Watchdog(options.time_limit + 120, children)
    begun = time.monotonic()
    try:
        book = Book(resume, options.qemu, options.fresh and resume.is_file())
        config = LabConfig(kernel_dir=Path(options.kernel_dir), work=options.work,
                           pc_bios=Path(options.pc_bios), l1_cpus=options.host_cpus,
                           l0=options.l0)
        run_cells(options, cells, book, config, children, begun + options.time_limit)
    except LabError as err:
        err.report()
        return 2
    except (RspError, OSError, ValueError, subprocess.CalledProcessError) as err:
        print(f"matrix: {err}", file=sys.stderr)
        return 2
    finally:
        watchdog.cancel()
        children.stop_all()
    print("", *book.coverage(), "", book.table(cells, options.rst), sep="\n")
    short = [str(cell) for cell in cells if book.steps(cell) < options.steps]
    if any(line["divergences"] for cell in cells for line in book.of(cell)):
        return 1
    if short and not options.only_end:
        print(f"{len(short)} cells are not done")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
