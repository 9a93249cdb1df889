# SPDX-License-Identifier: GPL-2.0-or-later
"""The series as mail, and the checks of it."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import patchfile
from .git import Git, Refusal, identity, own_env
from .repository import Contents, Part
from .save import collected
from .store import Step, Store, commit_steps, is_git, series_steps
from .trees import Tree

CHECKER = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "Series Check"), ("EMAIL", "check@localhost"))}
# QEMU links the events of all directories together: `disable name(`
EVENT = re.compile(r"^(?:disable |vcpu )*(\w+)\(", re.MULTILINE)
REROLL = re.compile(r"(v\d+-)?\d{4}-")


@dataclass
class Mailable:
    """The series as commits without our trailers, by one author."""

    git: Git
    base: str
    tips: dict[str, str]            # of each part, its last commit
    contents: Contents
    version: str
    author: dict[str, str]

    def before(self, part: Part) -> str:
        """The commit that a part stands on."""
        at = self.base
        for other in self.contents.parts:
            if other.name == part.name:
                break
            at = self.tips[other.name]
        return at


@contextmanager
def mailable(store: Store, source: Path | None, author: dict[str, str]) -> Iterator[Mailable]:
    contents, base = store.repository.contents(), store.repository.base()
    with store.locked():
        commit = store.base(base, source)
    steps = series_steps(contents, store.git, commit, store.repository)
    for step in steps:
        step.message = patchfile.untied(step.message)[0]
    with tempfile.TemporaryDirectory(prefix="qemu-") as scratch:
        git = Git(Path(scratch), author)
        git("init", "-q", "--bare", "--template=")
        objects = store.git.directory / "objects"
        (Path(scratch) / "objects" / "info").mkdir(exist_ok=True)
        (Path(scratch) / "objects" / "info" / "alternates").write_text(f"{objects}\n")
        tips = commit_parts(git, contents, commit, steps, author)
        yield Mailable(git, commit, tips, contents, base.version, author)


def commit_parts(git: Git, contents: Contents, base: str, steps: list[Step],
                 author: dict[str, str]) -> dict[str, str]:
    who = f"{author['GIT_AUTHOR_NAME']} <{author['GIT_AUTHOR_EMAIL']}>".encode()
    tips, at, now = {}, 0, int(time.time()) - len(steps)
    for part in contents.parts:
        own = steps[at:at + len(part.patches)]
        base = tips[part.name] = commit_steps(git, base, own, who, now + at)
        at += len(own)
    return tips


# ---- export ------------------------------------------------------------


def cover(store: Store, series: Mailable, part: Part) -> str:
    """Subject and text of a part's cover letter, with what it needs."""
    file = store.repository.root / "about" / "cover" / part.name
    if not file.is_file() or not part.title:
        raise Refusal(f"part {part.name} has no cover letter",
                      f"write about/cover/{part.name}, and its subject in series")
    parts = series.contents.parts
    number = parts.index(part) + 1
    text = f"{part.title}\n\n{file.read_text(encoding='utf-8').strip()}\n\n"
    if number == 1:
        return text + f"This applies to QEMU {series.version}.\n"
    text += f"This applies to QEMU {series.version} with these, in this order:\n"
    return text + "".join(f" - {earlier.title or earlier.name}\n" for earlier in parts[:number - 1])


def format_part(series: Mailable, part: Part, directory: Path, *options: str) -> list[Path]:
    """git format-patch of a part; the paths of what it wrote."""
    git, branch = series.git, f"refs/heads/{part.name}"
    git("update-ref", branch, series.tips[part.name])
    out = git("format-patch", "--signoff", "-N", "-n", "-o", str(directory), *options,
              f"{series.before(part)}..{part.name}")
    return [Path(line) for line in out.decode().splitlines()]


def export(store: Store, name: str | None, directory: Path, source: Path | None,
           options: list[str]) -> None:
    author = identity(store.repository.root)
    if not author:
        raise Refusal("git does not know who signs off",
                      "git config --global user.name 'Your Name', and user.email")
    with mailable(store, source, author) as series:
        parts = [series.contents.part(name)] if name else series.contents.parts
        for part in parts:
            text = cover(store, series, part)
            series.git("config", f"branch.{part.name}.description", text)
        honest = [f"--base={series.base}"] if source and is_git(source) else []
        for part in parts:
            target = directory.absolute() / part.name
            with tempfile.TemporaryDirectory(prefix="qemu-") as scratch:
                made = format_part(series, part, Path(scratch), "--cover-letter",
                                   "--cover-from-description=subject", *honest, *options)
                deliver(made, target)
            print(f"{target}: {len(part.patches)} patches and a cover letter")


def deliver(made: list[Path], target: Path) -> None:
    """Put the patches there, beside none that an earlier export left."""
    names = {file.name for file in made}
    kind = {found[1] for name in names if (found := REROLL.match(name))}
    target.mkdir(parents=True, exist_ok=True)
    stale = [file.name for file in sorted(target.glob("*.patch"))
             if file.name not in names and (found := REROLL.match(file.name)) and found[1] in kind]
    if stale:
        raise Refusal(f"{target} has patches of an earlier export ({stale[0]})",
                      "remove them, or name another directory by -o")
    for file in made:
        (target / file.name).write_bytes(file.read_bytes())


# ---- check -------------------------------------------------------------

# What build-qemu --for builds, and which changes concern it.
ALL = ("lab", "lab-arm64", "check-x86", "tcg", "check-tcg")
CONCERN = (
    (r"docs/|MAINTAINERS$|tests/|scripts/", ()),
    (r"accel/kvm/|include/system/kvm", ("lab", "lab-arm64", "check-x86")),
    (r"accel/tcg/", ("check-x86", "tcg", "check-tcg")),
    (r"(target|hw|include/hw|linux-user)/ppc/|configs/targets/ppc", ("lab", "tcg", "check-tcg")),
    (r"(target|hw|include/hw)/arm/|configs/targets/(arm|aarch64)", ("lab-arm64", "check-tcg")),
    (r"(target|hw|include/hw|linux-user)/i386/|configs/targets/(i386|x86_64)",
     ("check-x86", "tcg", "check-tcg")),
    (r"(target|hw|include/hw)/(loongarch|riscv)/|configs/targets/(loongarch|riscv)",
     ("check-tcg",)),
)


def builds_for(paths: list[str]) -> list[str]:
    wanted: set[str] = set()
    for path in paths:
        wanted |= next((set(builds) for form, builds in CONCERN if re.match(form, path)), set(ALL))
    return [build for build in ALL if build in wanted]


class Results:
    def __init__(self) -> None:
        self.passed = self.failed = 0

    def add(self, good: bool, what: str, said: str = "") -> bool:
        self.passed += good
        self.failed += not good
        print(f"{'ok' if good else 'FAILED':6} {what}", flush=True)
        if not good and said.strip():
            print("\n".join("       " + line for line in said.strip().splitlines()[-40:]))
        return good


def check(store: Store, name: str | None, source: Path | None, build: bool) -> bool:
    results = Results()
    with mailable(store, source, identity(store.repository.root) or CHECKER) as series:
        parts = [series.contents.part(name)] if name else series.contents.parts
        check_saved(store, series, results)
        tree = pristine(store, series)
        for part in parts:
            check_part(series, part, tree, results, build, store)
            check_events(series, part, results)
    print(f"{results.passed} passed, {results.failed} failed")
    return not results.failed


def check_saved(store: Store, series: Mailable, results: Results) -> None:
    """What `up` makes of the files, `save` makes these files of."""
    steps = series_steps(series.contents, store.git, series.base, store.repository)
    tip = commit_steps(series.git, series.base, steps)
    again = collected(series.git, series.base, tip, series.contents)
    old, new = series.contents.files(), again.files()
    old["series"] = ("100644", (store.repository.root / "series").read_bytes())
    differ = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
    results.add(not differ, "up; save changes nothing", "\n".join(differ))


def pristine(store: Store, series: Mailable) -> Tree:
    """QEMU's source in a git of its own; kept, so that the next build is not from nothing."""
    tree = Tree(store.cache / "work" / "check-tree")
    if not (tree.directory / ".git" / "check-tree").is_file():
        tree.make(store, series.base)
        tree.fill(series.base)
        (tree.directory / ".git" / "check-tree").touch()
    else:
        with store.locked():
            store.share(tree.git)
        tree.git.run("am", "--abort")
        tree.git("clean", "-q", "-f", "-d", "-x")
    return tree


def check_part(series: Mailable, part: Part, tree: Tree, results: Results, build: bool,
               store: Store) -> None:
    tree.git("fetch", "-q", "--no-tags", str(series.git.directory), series.before(part))
    tree.git("checkout", "-q", "-f", "--detach", series.before(part))
    with tempfile.TemporaryDirectory(prefix="qemu-") as scratch:
        for patch, name in zip(format_part(series, part, Path(scratch)), part.patches):
            done = tree.git.run("am", "-q", str(patch), extra=series.author)
            if not results.add(done.returncode == 0, f"{name}: git am",
                               (done.stdout + done.stderr).decode(errors="replace")):
                tree.git.run("am", "--abort")
                return
            checkpatch(tree, patch, name, results)
            if build:
                build_commit(store, tree, name, results)
    same = tree.git.text("rev-parse", "HEAD^{tree}") == series.git.text(
        "rev-parse", f"{series.tips[part.name]}^{{tree}}")
    results.add(same, f"{part.name}: as mailed, it gives the tree that `up` gives")


def check_events(series: Mailable, part: Part, results: Results) -> None:
    """Two events of one name are found by the linker only, and only in some builds."""
    old, new = (repeated_events(series.git, commit)
                for commit in (series.base, series.tips[part.name]))
    results.add(new <= old, f"{part.name}: trace events have names of their own",
                "\n".join(sorted(new - old)))


def repeated_events(git: Git, commit: str) -> set[str]:
    found = git.run("grep", "-h", "-E", "^[^#]", commit, "--", "trace-events", "*/trace-events")
    names = EVENT.findall(found.stdout.decode())
    return {name for name in names if names.count(name) > 1}


def checkpatch(tree: Tree, patch: Path, name: str, results: Results) -> None:
    done = subprocess.run(["perl", "scripts/checkpatch.pl", "--no-color", str(patch)],
                          cwd=tree.directory, env=own_env(), capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    results.add("total: 0 errors, 0 warnings" in said, f"{name}: checkpatch", said)


def build_commit(store: Store, tree: Tree, name: str, results: Results) -> None:
    paths = tree.git("diff-tree", "-r", "--name-only", "HEAD^", "HEAD").decode().splitlines()
    for what in builds_for(paths):
        done = subprocess.run([str(store.repository.root / "scripts" / "build-qemu"), "--for", what,
                               "--tree", str(tree.directory), "--no-warnings"],
                              stdout=subprocess.PIPE, check=False)
        results.add(done.returncode == 0, f"{name}: builds ({what})")
