# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache's side: QEMU's source as a commit, the series as commits on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import patchfile
from .git import Git, GitError, Objects, Refusal, own_env, tree_of
from .patchfile import Patch
from .repository import Base, Contents, Repository

WHO = b"qemu-guest-debug <qemu-guest-debug@localhost>"
STARTED = int(time.time())
EPOCH = 1767225600              # the date of a base made from an archive
SKIPPED = {".git", ".pc", "build"}      # at the top of a source tree: not QEMU's source
Files = dict[str, "tuple[str, bytes] | None"]   # path: (mode, data), None if removed


def say(text: str) -> None:
    """A progress line as the other scripts have it."""
    start = int(os.environ.get("QGD_START") or STARTED)
    print(f"[{int(time.time()) - start:4d} s] {text}", file=sys.stderr, flush=True)


def cache_dir() -> Path:
    """As scripts/lib.sh has it."""
    named = os.environ.get("QGD_CACHE")
    if named:
        return Path(named).absolute()
    if os.getuid() == 0:
        return Path("/var/cache/qemu-guest-debug")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home).absolute() / "qemu-guest-debug"


def is_source(directory: Path) -> bool:
    return all((directory / name).is_file() for name in ("configure", "VERSION", "qemu-options.hx"))


def is_git(directory: Path) -> bool:
    return (directory / ".git").exists() or (directory / "objects").is_dir()


def version_of(source: Path) -> str:
    if not is_source(source):
        raise Refusal(f"{source} is not QEMU's source",
                      "name the directory that has QEMU's configure")
    return (source / "VERSION").read_text().strip()


# ---- fast-import -------------------------------------------------------


def fast_import(git: Git, stream: Iterator[bytes], *options: str) -> None:
    with subprocess.Popen(
            ["git", "-c", "pack.compression=1", *options, "fast-import", "--quiet", "--force"],
            cwd=git.directory, env={**own_env(), **git.extra}, stdin=subprocess.PIPE,
            stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stderr
        with contextlib.suppress(BrokenPipeError):
            for piece in stream:
                process.stdin.write(piece)
            process.stdin.close()
        said = process.stderr.read().decode(errors="replace")
    if process.returncode:
        raise GitError(git.directory, "fast-import", said)


def data_of(text: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(text), text)


def source_stream(ref: str, source: Path, version: str) -> Iterator[bytes]:
    """All of a source tree, whatever its .gitignore says, as one commit."""
    yield b"commit %b\ncommitter %b %d +0000\n" % (ref.encode(), WHO, EPOCH)
    yield data_of(f"QEMU {version}\n".encode())
    for directory, folders, files in os.walk(source):
        if Path(directory) == source:
            folders[:] = [name for name in folders if name not in SKIPPED]
            files = [name for name in files if name not in SKIPPED]
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        for name in sorted(files + links):
            file = os.path.join(directory, name)
            path = os.fsencode(os.path.relpath(file, source))
            if os.path.islink(file):
                yield b"M 120000 inline %b\n" % path + data_of(os.fsencode(os.readlink(file)))
            else:
                mode = 0o100755 if os.stat(file).st_mode & 0o100 else 0o100644
                yield b"M %o inline %b\n" % (mode, path) + data_of(Path(file).read_bytes())


# ---- the series as commits ---------------------------------------------


@dataclass
class Step:
    """One commit that is to be made."""

    message: str
    files: Files


class Overlay:
    """The files of a commit, and what patches have made of them since."""

    def __init__(self, git: Git, commit: str, objects: Objects) -> None:
        self.files = tree_of(git, commit)
        self.objects = objects
        self.changed: Files = {}

    def get(self, path: str) -> tuple[str, bytes] | None:
        if path in self.changed:
            return self.changed[path]
        if path not in self.files:
            return None
        mode, blob = self.files[path]
        return mode, self.objects.get(blob)

    def folders(self) -> set[str]:
        return {path.partition("/")[0] for path in self.files if "/" in path}


def result_of(patch: Patch, added: dict[str, tuple[str, bytes]], overlay: Overlay) -> Files:
    """What a patch makes of the files."""
    files: Files = {}
    for path in patch.adds:
        if overlay.get(path):
            raise Refusal(f"{patch.name}: adds {path}, which QEMU has",
                          "give ours another name, or change QEMU's by hunks")
        files[path] = added[path]
    for change in patch.changes:
        before = overlay.get(change.old)
        if not before or change.old in added:
            theirs = "this series adds it: change the file itself" if before else (
                "rename it in the patch, or move the series by `qemu rebase`")
            raise patchfile.bad(patch.name, change.line, f"changes {change.old}, which QEMU "
                                "has not", theirs)
        after = patchfile.applied(patch, change, before[1])
        files[change.old] = None
        if change.new:
            files[change.new] = (change.mode or before[0], after)
    return files


def steps_of(contents: Contents, overlay: Overlay) -> list[Step]:
    steps = []
    for patch, (name, part) in zip(contents.parsed(), contents.order()):
        files = result_of(patch, contents.added, overlay)
        overlay.changed.update(files)
        steps.append(Step(patchfile.tied(patch.message, name, part.name), files))
    return steps


def commit_stream(ref: str, base: str, date: int, who: bytes,
                  steps: list[Step]) -> Iterator[bytes]:
    yield f"reset {ref}\nfrom {base}\n\n".encode()
    for number, step in enumerate(steps, 1):
        stamp = b"%b %d +0000\n" % (who, date + number)
        yield b"commit %b\nauthor %bcommitter %b" % (ref.encode(), stamp, stamp)
        yield data_of(step.message.encode())
        # removals first: a file may become a folder
        for path, entry in sorted(step.files.items(), key=lambda item: item[1] is not None):
            if entry is None:
                yield b"D %b\n" % path.encode()
            else:
                yield b"M %b inline %b\n" % (entry[0].encode(), path.encode()) + data_of(entry[1])


def commit_steps(git: Git, base: str, steps: list[Step], who: bytes = WHO,
                 date: int | None = None) -> str:
    """The last of these commits.  The same input gives the same commits."""
    if date is None:
        date = int(git.text("show", "-s", "--format=%ct", base))
    ref = f"refs/qemu/new-{os.getpid()}"
    try:
        fast_import(git, commit_stream(ref, base, date, who, steps))
        return git.text("rev-parse", ref)
    finally:
        git.run("update-ref", "-d", ref)


def series_steps(contents: Contents, git: Git, base: str, repository: Repository) -> list[Step]:
    with Objects(git) as objects:
        overlay = Overlay(git, base, objects)
        repository.check_strays(contents, overlay.folders())
        return steps_of(contents, overlay)


# ---- the store ---------------------------------------------------------


class Store:
    """$cache/git: a commit for each base, which trees share by links to its packs."""

    def __init__(self, repository: Repository, cache: Path) -> None:
        self.repository = repository
        self.cache = cache
        self.git = Git(cache / "git")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            lock = (self.cache / "git.lock").open("w")
        except OSError as error:
            raise Refusal(f"cannot write {self.cache} ({error.strerror})",
                          "set QGD_CACHE to a directory that you may write") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.git.directory / "HEAD").is_file():
                Git(self.cache)("init", "-q", "--bare", "--template=", str(self.git.directory))
            yield

    def base(self, base: Base, source: Path | None = None) -> str:
        """The base as a commit in the store.  source: a user's own, tree or clone."""
        if source and is_git(source):
            return self.fetched(base.version, source)
        if source:
            self.check_version(base, source)
            return self.imported(f"refs/bases/own-{base.version}", source, base.version)
        ref = self.base_ref(base)
        return self.git.commit(ref) or self.from_get_qemu(base, ref)

    @staticmethod
    def base_ref(base: Base) -> str:
        return f"refs/bases/{base.version}-{base.sha256[:12] or 'any'}"

    def from_get_qemu(self, base: Base, ref: str) -> str:
        source = self.get_qemu()
        version = version_of(source)
        if version == base.version:
            return self.imported(ref, source, version)
        if version.split(".")[:2] != base.version.split(".")[:2]:
            self.check_version(base, source)
        # asked for again each time: the base itself may be had by then
        say(f"QEMU {version} stands in for {base.version}")
        other = f"refs/bases/{version}-instead"
        return self.git.commit(other) or self.imported(other, source, version)

    @staticmethod
    def check_version(base: Base, source: Path) -> None:
        version = version_of(source)
        if version != base.version:
            raise Refusal(f"{source} is QEMU {version}, the series is for {base.version}",
                          f"name a source of {base.version}, or move the series by `qemu rebase`")

    def imported(self, ref: str, source: Path, version: str) -> str:
        say(f"putting QEMU {version} into {self.git.directory}, once for all trees")
        # always a pack: share() gives those to trees
        fast_import(self.git, source_stream(ref, source, version),
                    "-c", "fastimport.unpackLimit=1")
        return self.git.text("rev-parse", ref)

    def fetched(self, version: str, clone: Path) -> str:
        """From a clone: the commit is QEMU's own."""
        ref = f"refs/bases/clone-{version}"
        tagged(Git(clone), version)
        self.git("fetch", "-q", "--depth=1", "--no-tags", f"file://{clone}",
                 f"+refs/tags/v{version}:{ref}")
        return self.git.text("rev-parse", f"{ref}^{{commit}}")

    def get_qemu(self, *options: str) -> Path:
        script = self.repository.root / "scripts" / "get-qemu"
        done = subprocess.run([str(script), *options], stdout=subprocess.PIPE, check=False)
        path = Path(done.stdout.decode().strip().split("\n")[-1])
        if done.returncode or not is_source(path):
            raise Refusal("scripts/get-qemu has no source of QEMU for this",
                          "see what it said, or name a source with --from")
        return path

    def share(self, tree: Git) -> None:
        """Give a tree the packs of the store, so that it lives without the store."""
        packs = Path("objects") / "pack"
        target = tree.path(str(packs))
        target.mkdir(parents=True, exist_ok=True)
        # the index of a pack last: with it git begins to use the pack
        for file in sorted((self.git.directory / packs).iterdir(),
                           key=lambda file: file.suffix == ".idx"):
            copy = target / file.name
            if not copy.exists() and file.suffix in (".pack", ".idx"):
                link_or_copy(file, copy)


def link_or_copy(file: Path, copy: Path) -> None:
    try:
        os.link(file, copy)
    except OSError:
        new = copy.with_suffix(".new")
        new.write_bytes(file.read_bytes())
        new.rename(copy)


def tagged(clone: Git, version: str) -> str:
    found = clone.commit(f"refs/tags/v{version}")
    if not found:
        raise Refusal(f"{clone.directory} has no tag v{version}",
                      f"git -C {clone.directory} fetch --tags, or name another clone")
    return found
