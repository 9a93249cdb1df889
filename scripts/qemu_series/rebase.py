# SPDX-License-Identifier: GPL-2.0-or-later
"""The series onto another QEMU."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

from .git import Refusal, identity, own_env
from .repository import Base
from .save import collected, write
from .store import WHO, Store, say, tagged, version_of
from .trees import RENAMES, State, Tree, settle


def onto(store: Store, tree: Tree, wanted: str) -> None:
    """wanted: a version, or a directory with QEMU's source."""
    state = tree.state()
    if state.target:
        raise Refusal(f"a rebase in {tree.directory} is not ended",
                      "qemu rebase --continue, or --abort")
    tree.check_clean()
    old = store.repository.contents()
    if state.digest != old.digest():
        raise Refusal("the series here is not the one that the tree came from",
                      "qemu up, or qemu save, first")
    # what could not be saved in the end is said at the beginning
    collected(tree.git, state.base, tree.head(), old)
    commit, base = target(store, tree, state, wanted)
    if commit == state.base:
        raise Refusal(f"{tree.directory} stands on that QEMU already", "nothing to do")
    state.target = {"commit": commit, **asdict(base)}
    tree.remember(state)
    run(store, tree, state, "--no-autosquash", "--reapply-cherry-picks", "--no-fork-point",
        "--empty=drop", "--onto", commit, state.base)


def target(store: Store, tree: Tree, state: State, wanted: str) -> tuple[str, Base]:
    """The commit to go to, in the tree."""
    source = Path(wanted)
    if source.is_dir():
        base = Base(version_of(source))
    elif state.clone:
        return tagged(tree.git, wanted), Base(wanted)
    else:
        source = store.cache / "src" / f"qemu-{wanted}"
        if not source.is_dir():
            source = store.get_qemu("--version", wanted)
        base = Base(version_of(source), *archive_of(store, version_of(source)))
    with store.locked():
        if base.archive:
            ref = store.base_ref(base)
            commit = store.git.commit(ref) or store.imported(ref, source, base.version)
        else:
            commit = store.base(base, source)
        if state.clone:
            tree.git("fetch", "-q", "--no-tags", str(store.git.directory), commit)
        else:
            store.share(tree.git)
    return commit, base


def archive_of(store: Store, version: str) -> tuple[str, str]:
    """What get-qemu unpacked: its name and hash; empty if it is not kept."""
    for file in sorted(store.cache.glob(f"*/qemu_{version}[+.]*orig.tar.*")):
        if file.suffix != ".asc":
            return file.name, hashlib.sha256(file.read_bytes()).hexdigest()
    return "", ""


def run(store: Store, tree: Tree, state: State, *args: str) -> None:
    """git rebase, to its end or to the next conflict."""
    who = identity(tree.directory)
    if not who:
        name, _, address = WHO.decode().partition(" <")
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", name), ("EMAIL", address[:-1]))}
    env = {**own_env(), **{key: value for key, value in who.items() if "COMMITTER" in key},
           "GIT_EDITOR": "true"}
    done = subprocess.run(["git", "-c", f"merge.renameLimit={RENAMES}", "-c",
                           "rebase.updateRefs=false", "rebase", *args],
                          cwd=tree.directory, env=env, check=False)
    if tree.git.path("rebase-merge").exists():
        raise Refusal("the rebase has stopped at a conflict",
                      f"resolve it in {tree.directory}, git add, qemu rebase --continue "
                      "(or --skip, --abort)")
    if done.returncode:
        forget(tree, state)
        raise Refusal(f"git rebase failed in {tree.directory}", "see what it said")
    finish(store, tree, state)


def go_on(store: Store, tree: Tree, how: str) -> None:
    """how: --continue, --skip or --abort."""
    state = tree.state()
    if not state.target:
        raise Refusal(f"no rebase has begun in {tree.directory}", "qemu rebase VERSION")
    begun = tree.git.path("rebase-merge").exists()
    if how == "--abort":
        if begun:
            tree.git("rebase", "--abort")
        forget(tree, state)
    elif begun:
        run(store, tree, state, how)
    elif tree.git.ok("merge-base", "--is-ancestor", state.target["commit"], "HEAD"):
        finish(store, tree, state)
    else:
        forget(tree, state)
        raise Refusal(f"the rebase in {tree.directory} was given up", "begin it again")


def forget(tree: Tree, state: State) -> None:
    state.target = None
    tree.remember(state)


def finish(store: Store, tree: Tree, state: State) -> None:
    """All patches are on the new base: the repository gets them, and the base."""
    assert state.target
    tree.check_clean()
    commit = state.target["commit"]
    base = Base(**{key: value for key, value in state.target.items() if key != "commit"})
    after = replace(state, base=commit, version=base.version, target=None)
    write(store, tree, commit, after, False, base)
    settle(tree, after, commit, base.version)
    tree.remember(after)
    if not base.archive:
        say("base names no archive now: write its lines 'archive' and 'sha256', for get-qemu")
