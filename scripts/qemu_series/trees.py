# SPDX-License-Identifier: GPL-2.0-or-later
"""Work trees: the ones in which people edit, and the one that build-qemu builds."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from .git import Git, GitError, Refusal
from .repository import Base, Contents
from .store import Store, commit_steps, is_git, say, series_steps, tagged

# Conflicts are found with renames across versions of QEMU followed
RENAMES = "50000"
UNFINISHED = {"rebase-merge": "rebase", "rebase-apply": "rebase or am", "MERGE_HEAD": "merge",
              "CHERRY_PICK_HEAD": "cherry-pick", "REVERT_HEAD": "revert"}


@dataclass
class State:
    """What we know of an editing tree, kept beside its index."""

    base: str                   # the commit of QEMU
    version: str
    saved: str                  # the commit that has nothing which the repository has not
    digest: str                 # of the repository's files then
    branch: str
    clone: bool = False         # a work tree of a clone of the user's
    target: dict[str, str] | None = None    # of a rebase that has begun: commit, and the new base


class Tree:
    """A work tree in which people edit."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.git = Git(directory)

    # ---- state -----------------------------------------------------

    def state(self) -> State:
        found = self.known()
        if not found:
            raise Refusal(f"{self.directory} is not a tree that `qemu up` made",
                          "name one; or make one by qemu up DIR")
        return found

    def known(self) -> State | None:
        if not (self.directory / ".git").exists():
            return None
        try:
            return State(**json.loads(self.git.path("qemu-up.json").read_text()))
        except (FileNotFoundError, GitError):
            return None

    def remember(self, state: State) -> None:
        file = self.git.path("qemu-up.json")
        new = file.with_suffix(".new")
        new.write_text(json.dumps(asdict(state), indent=1) + "\n")
        new.replace(file)

    # ---- is there anything that is not saved? ----------------------

    def check_settled(self) -> None:
        """Nothing begun and not ended."""
        if self.git("ls-files", "--unmerged"):
            raise Refusal(f"{self.directory} has files with conflicts",
                          "resolve them, git add, and end what git status names")
        for file, what in zip(self.git.paths(*UNFINISHED), UNFINISHED.values()):
            if file.exists():
                raise Refusal(f"a {what} in {self.directory} is not ended",
                              f"git {what.split()[0]} --continue or --abort (see git status)")

    def check_clean(self) -> None:
        self.check_settled()
        # with the user's configuration: their ignored files are ignored
        status = self.git("status", "--porcelain", "-z", "--untracked-files=normal", user=True)
        names = [entry[3:].decode(errors="replace") for entry in status.split(b"\0")
                 if entry[2:3] == b" "]
        if names:
            more = f" and {len(names) - 1} more" if names[1:] else ""
            raise Refusal(f"{self.directory} has changes that are in no commit ({names[0]}{more})",
                          "git commit them (--fixup COMMIT), or git stash -u")

    def check_applied(self) -> None:
        """A patch that stgit has popped would be taken for one that was dropped."""
        refs = self.git.text("for-each-ref", "--format=%(refname)", "--no-merged=HEAD",
                             f"refs/patches/{self.branch()}/").split()
        names = [ref.rpartition("/")[2] for ref in refs if not ref.endswith(".log")]
        if names:
            raise Refusal(f"{self.directory} has patches that are not applied ({names[0]})",
                          "stg push -a, or stg delete them")

    def head(self) -> str:
        return self.git.text("rev-parse", "HEAD")

    def branch(self) -> str:
        return self.git.run("symbolic-ref", "--short", "-q", "HEAD").stdout.decode().strip()

    def check_saved(self, state: State) -> None:
        if state.target:
            raise Refusal(f"a rebase in {self.directory} is not ended",
                          "qemu rebase --continue, or --abort")
        self.check_clean()
        if self.branch() != state.branch:
            raise Refusal(f"{self.directory} is on another branch than {state.branch}",
                          f"git checkout {state.branch}")
        if self.head() != state.saved:
            raise Refusal(f"{self.directory} has commits that are not saved",
                          "qemu save, or drop them with qemu up --force")

    # ---- making and moving -----------------------------------------

    def move(self, commit: str, branch: str, force: bool) -> int:
        """Go to a commit; touch only the files that differ.  How many did."""
        old = self.head()
        if force:
            self.git("checkout", "-q", "-f", "-B", branch, commit)
        else:
            try:
                self.git("read-tree", "-m", "-u", old, commit)
            except GitError as error:
                raise Refusal(f"cannot move {self.directory}: {error.said}",
                              "move your file away, and run again") from None
            self.git("update-ref", "-m", "qemu up", "HEAD", commit)
        return len(self.git("diff-tree", "-r", "--name-only", old, commit).splitlines())

    def make(self, store: Store, base: str) -> None:
        """A repository of its own, with the objects of the store but not its life."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "--template=")
        (self.git.path("info")).mkdir(exist_ok=True)
        for key, value in (("core.autocrlf", "false"), ("merge.renameLimit", RENAMES)):
            self.git("config", key, value)
        self.take_base(store, base)
        self.git("symbolic-ref", "HEAD", "refs/heads/series")
        self.track("series", "refs/tags/base")

    def take_base(self, store: Store, base: str) -> None:
        store.share(self.git)
        shallow = store.git.directory / "shallow"
        if shallow.exists():
            self.git.path("shallow").write_bytes(shallow.read_bytes())
        self.git("update-ref", "refs/tags/base", base)

    def track(self, branch: str, upstream: str) -> None:
        """So that git rebase -i needs no argument, and git status counts the patches."""
        self.git("config", f"branch.{branch}.remote", ".")
        self.git("config", f"branch.{branch}.merge", upstream)

    def make_in_clone(self, clone: Path, version: str, branch: str) -> str:
        git = Git(clone)
        base = tagged(git, version)
        if git.commit(f"refs/heads/{branch}"):
            raise Refusal(f"{clone} has a branch {branch} already",
                          "name another by --branch, or delete it")
        git("worktree", "add", "-q", "--no-checkout", "--detach", str(self.directory), base)
        self.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self.track(branch, f"refs/tags/v{version}")
        return base

    def fill(self, commit: str) -> None:
        self.git("update-ref", "-m", "qemu up", "HEAD", commit)
        self.git("-c", "checkout.workers=0", "read-tree", "-m", "-u", "HEAD")


# ---- up ----------------------------------------------------------------


def up(store: Store, directory: Path, source: Path | None, branch: str, force: bool) -> None:
    """An editing tree at the series that the repository has."""
    contents, base = store.repository.contents(), store.repository.base()
    tree = Tree(directory)
    state = tree.known()
    if state:
        refresh(store, tree, state, contents, base, force)
    elif directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refusal(f"{directory} is there already, and not by `qemu up`",
                      "name a directory that is empty or new")
    elif source and is_git(source):
        new_in_clone(store, tree, contents, base, source.absolute(), branch)
    else:
        new_tree(store, tree, contents, base, source)


def new_tree(store: Store, tree: Tree, contents: Contents, base: Base,
             source: Path | None) -> None:
    with store.locked():
        commit = store.base(base, source)
        # here too, so that a patch that does not fit leaves no tree behind
        steps = series_steps(contents, store.git, commit, store.repository)
        tree.make(store, commit)
    finish_new(tree, contents, State(commit, base.version, "", "", "series"),
               commit_steps(tree.git, commit, steps))


def new_in_clone(store: Store, tree: Tree, contents: Contents, base: Base, clone: Path,
                 branch: str) -> None:
    commit = tagged(Git(clone), base.version)
    steps = series_steps(contents, Git(clone), commit, store.repository)
    tree.make_in_clone(clone, base.version, branch)
    finish_new(tree, contents, State(commit, base.version, "", "", branch, clone=True),
               commit_steps(tree.git, commit, steps))


def finish_new(tree: Tree, contents: Contents, state: State, commit: str) -> None:
    tree.fill(commit)
    state.saved, state.digest = commit, contents.digest()
    tree.remember(state)
    say(f"{tree.directory}: {len(contents.order())} patches on QEMU {state.version}")


def base_in(store: Store, tree: Tree, state: State, base: Base) -> str:
    """The commit of a base, in the tree."""
    if state.clone:
        return tagged(tree.git, base.version)
    with store.locked():
        commit = store.base(base)
        store.share(tree.git)
    return commit


def refresh(store: Store, tree: Tree, state: State, contents: Contents, base: Base,
            force: bool) -> None:
    if not force:
        tree.check_saved(state)
    elif state.target:
        raise Refusal(f"a rebase in {tree.directory} is not ended", "qemu rebase --abort")
    else:
        tree.check_settled()
    commit = state.base
    if base.version != state.version:
        commit = base_in(store, tree, state, base)
    new = commit_steps(tree.git, commit,
                       series_steps(contents, tree.git, commit, store.repository))
    number = tree.move(new, state.branch, force)
    settle(tree, state, commit, base.version)
    state.saved, state.digest = new, contents.digest()
    tree.remember(state)
    say(f"{tree.directory}: {len(contents.order())} patches on QEMU {base.version}; "
        f"{number} files changed")


def settle(tree: Tree, state: State, commit: str, version: str) -> None:
    """The tree stands on this base now."""
    state.base, state.version = commit, version
    if state.clone:
        tree.track(state.branch, f"refs/tags/v{version}")
    else:
        tree.git("update-ref", "refs/tags/base", commit)


# ---- the tree that is built --------------------------------------------


def up_for_build(store: Store) -> Path:
    """The tool's own tree.  Its git is outside: QEMU's build looks for .git, and takes a
    tree that has it for a clone with submodules."""
    contents, base = store.repository.contents(), store.repository.base()
    directory = store.cache / "work" / f"tree-{base.version}"
    with store.locked():
        commit = store.base(base)
        steps = series_steps(contents, store.git, commit, store.repository)
        new = commit_steps(store.git, commit, steps)
        BuildTree(store, directory).go_to(new)
        store.git("gc", "-q", "--auto")
    return directory


class BuildTree:
    def __init__(self, store: Store, directory: Path) -> None:
        self.store = store
        self.directory = directory
        self.index = directory.with_name(directory.name + ".index")
        self.ref = f"refs/trees/{directory.name}"
        self.moving = f"refs/moving/{directory.name}"
        self.git = self.git_for(directory)

    def git_for(self, directory: Path) -> Git:
        """--work-tree, and an index outside of it."""
        return Git(directory, {"GIT_DIR": str(self.store.git.directory),
                               "GIT_WORK_TREE": str(directory), "GIT_INDEX_FILE": str(self.index)})

    def go_to(self, commit: str) -> None:
        old = self.store.git.commit(self.ref)
        if not old or not self.directory.is_dir() or not self.index.is_file():
            self.make(commit)
            return
        # left by a run of ours that was killed; the lock of the cache is ours now
        self.index.with_name(self.index.name + ".lock").unlink(missing_ok=True)
        if self.store.git.commit(self.moving):
            self.git("read-tree", "--reset", "-u", commit)
        else:
            self.check_unedited()
            self.store.git("update-ref", self.moving, commit)
            self.move(old, commit)
        self.store.git("update-ref", self.ref, commit)
        self.store.git("update-ref", "-d", self.moving)
        number = len(self.store.git("diff-tree", "-r", "--name-only", old, commit).splitlines())
        say(f"{self.directory}: {number} files changed")

    def move(self, old: str, commit: str) -> None:
        try:
            self.git("read-tree", "-m", "-u", old, commit)
        except GitError as error:
            self.store.git("update-ref", "-d", self.moving)
            raise Refusal(f"cannot move {self.directory}: {error.said}",
                          "remove that file: this tree is the build's own") from None

    def make(self, commit: str) -> None:
        new = self.directory.with_name(self.directory.name + ".new")
        for old in (self.directory, new):
            shutil.rmtree(old, ignore_errors=True)
        self.index.unlink(missing_ok=True)
        new.mkdir(parents=True)
        say(f"making {self.directory}")
        self.git_for(new)("-c", "checkout.workers=0", "read-tree", "-m", "-u", commit)
        self.store.git("update-ref", self.ref, commit)
        new.rename(self.directory)

    def check_unedited(self) -> None:
        self.git.run("update-index", "-q", "--refresh")
        entries = self.git("diff-files", "--name-status").decode().splitlines()
        edited = [path for status, _, path in (entry.partition("\t") for entry in entries)
                  if status != "D"]
        if edited:
            more = f" and {len(edited) - 1} more" if edited[1:] else ""
            raise Refusal(f"{self.directory}/{edited[0]}{more} was edited, in the build's own tree",
                          "edit in a tree of `qemu up DIR`; remove the file here, it comes back")
        if entries:
            self.git("checkout-index", "-a", "-q", "-u")
