# SPDX-License-Identifier: GPL-2.0-or-later
"""From the commits of a tree to the files of the repository."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from . import patchfile
from .git import Git, Objects, Refusal, Refusals, tree_of
from .patchfile import Change, Edit
from .repository import NAME_FORM, OWN, PART_FORM, PATH_FORM, Base, Contents, Part
from .store import Store, say
from .trees import State, Tree

REGULAR = ("100644", "100755")
LEFT_OVER = re.compile(r"(fixup|squash|amend)! ")
EDIT = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
DIFF = ("-r", "-M", "-l0", "--no-commit-id")
PATCH = ("-p", "-U0", "--text", "--no-ext-diff", "--no-textconv", "--diff-filter=MR",
         "--diff-algorithm=myers", "--indent-heuristic", "--src-prefix=a/", "--dst-prefix=b/")


@dataclass
class Touched:
    """A file that a commit changes, as git tells it."""

    status: str
    old: str
    new: str
    modes: tuple[str, str]
    blobs: tuple[str, str]


@dataclass
class Commit:
    commit: str
    parents: list[str]
    message: str                # a patch's
    names: list[str]
    parts: list[str]
    touched: list[Touched] = field(default_factory=list)

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]

    def said(self) -> str:
        return f"commit {self.commit[:10]} \"{self.subject}\""


# ---- reading the commits -----------------------------------------------


def commits_of(git: Git, objects: Objects, base: str, head: str) -> list[Commit]:
    names = git.text("rev-list", "--reverse", "--topo-order", f"{base}..{head}").split()
    commits = [read_commit(objects, name) for name in names]
    check_line(commits, base)
    for commit in commits:
        commit.touched = touched_by(git, commit)
    return commits


def read_commit(objects: Objects, name: str) -> Commit:
    head, _, text = objects.get(name).partition(b"\n\n")
    fields = [line.split(" ", 1) for line in head.decode(errors="replace").split("\n")]
    encoding = next((value for key, value in fields if key == "encoding"), "utf-8")
    message, names, parts = patchfile.untied(text.decode(encoding, errors="replace"))
    return Commit(name, [value for key, value in fields if key == "parent"], message, names, parts)


def check_line(commits: list[Commit], base: str) -> None:
    """One behind the other, from the base on."""
    merges = [(f"{commit.said()} is a merge", "the series is a line: git rebase")
              for commit in commits if len(commit.parents) > 1]
    if merges:
        raise Refusals(merges)
    if commits and commits[0].parents != [base]:
        raise Refusal(f"the commits do not stand on the base ({base[:10]})",
                      "git rebase --onto base, or name theirs by --base")


def touched_by(git: Git, commit: Commit) -> list[Touched]:
    out = git("diff-tree", *DIFF, "--raw", "-z", commit.parents[0], commit.commit).split(b"\0")
    fields = iter([entry.decode(errors="surrogateescape") for entry in out if entry])
    touched = []
    for about in fields:
        old_mode, new_mode, old_blob, new_blob, status = about[1:].split(" ")
        old = next(fields)
        new = next(fields) if status[0] in "RC" else old
        touched.append(Touched(status[0], old, new, (old_mode, new_mode), (old_blob, new_blob)))
    return touched


# ---- what is refused ---------------------------------------------------


def problems(commits: list[Commit], folders: set[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    named: dict[str, Commit] = {}
    adder: dict[str, Commit] = {}
    for commit in commits:
        own = naming_problems(commit, folders) or part_problems(commit)
        if not own and commit.names[0] in named:
            own = [(f"{commit.said()} and {named[commit.names[0]].said()} are both "
                    f"{commit.names[0]}", "git rebase -i: squash one into the other, or rename it")]
        if not own:
            named[commit.names[0]] = commit
        found += own + message_problems(commit)
        found += file_problems(commit, adder)
    return found or order_problems(commits)


def naming_problems(commit: Commit, folders: set[str]) -> list[tuple[str, str]]:
    if LEFT_OVER.match(commit.subject):
        return [(f"{commit.said()} waits to be squashed", "git rebase -i --autosquash")]
    if not commit.names:
        return [(f"{commit.said()} has no name", "git commit --amend --trailer "
                 "'Patch-file: FOLDER/NAME.patch' --trailer 'Part: PART', or squash it")]
    if len(commit.names) > 1:
        return [(f"{commit.said()} has the names {' and '.join(commit.names)}",
                 "git commit --amend: leave one line Patch-file")]
    name = commit.names[0]
    if not NAME_FORM.fullmatch(name):
        return [(f"{commit.said()}: '{name}' cannot be the name of a patch",
                 "Patch-file: FOLDER/NAME.patch")]
    if name.partition("/")[0] not in folders - OWN:
        return [(f"{commit.said()}: {name} is in no folder that mirrors one of QEMU's",
                 "put it where the subsystem has its source, for example gdbstub/")]
    return []


def part_problems(commit: Commit) -> list[tuple[str, str]]:
    if len(commit.parts) != 1:
        number = f"{len(commit.parts)} parts" if commit.parts else "no part"
        return [(f"{commit.said()} is in {number}",
                 "git commit --amend: write one line 'Part: PART'")]
    if not PART_FORM.fullmatch(commit.parts[0]):
        return [(f"{commit.said()}: '{commit.parts[0]}' cannot be the name of a part",
                 "small letters, digits and '-' only")]
    return []


def message_problems(commit: Commit) -> list[tuple[str, str]]:
    found = []
    if not commit.subject:
        found.append((f"commit {commit.commit[:10]} has no message", "git commit --amend"))
    for line in commit.message.split("\n"):
        if patchfile.ENDS_MESSAGE.match(line) or line.startswith("Adds: "):
            found.append((f"{commit.said()}: the message has a line '{line}', which would end it",
                          "git commit --amend: indent that line"))
    return found


def file_problems(commit: Commit, adder: dict[str, Commit]) -> list[tuple[str, str]]:
    """Also notes in adder what this commit adds."""
    found = []
    if not commit.touched:
        found.append((f"{commit.said()} changes nothing", "git rebase -i: drop it"))
    for file in commit.touched:
        for path in sorted({file.old, file.new}):
            if not PATH_FORM.fullmatch(path):
                found.append((f"{commit.said()} changes '{path}'", "a patch file cannot hold this "
                              "name: rename the file"))
            elif path in adder:
                found.append((f"{commit.said()} changes {path}, which "
                              f"{adder[path].said()} adds",
                              f"git commit --fixup {adder[path].commit[:10]} for this file"))
        used = [mode for mode in file.modes if mode != "000000"]
        if not set(used) <= set(REGULAR):
            found.append((f"{commit.said()}: {file.new} is a link or a submodule",
                          "change or add plain files only"))
        if file.status == "A":
            adder[file.new] = commit
    return found


def order_problems(commits: list[Commit]) -> list[tuple[str, str]]:
    """Only for commits that have their names and parts."""
    found: list[tuple[str, str]] = []
    ended: set[str] = set()
    last = ""
    for commit in commits:
        part = commit.parts[0]
        if part != last and part in ended:
            found.append((f"{commit.said()} is of part {part}, behind patches of {last}",
                          "git rebase -i: put the patches of a part together"))
        if last:
            ended.add(last)
        last = part
    return found


# ---- writing -----------------------------------------------------------


def render(git: Git, objects: Objects,
           commit: Commit) -> tuple[bytes, dict[str, tuple[str, bytes]]]:
    """A patch file, and the files that it adds."""
    added = {file.new: (file.modes[1], objects.get(file.blobs[1]))
             for file in commit.touched if file.status == "A"}
    edits = edits_of(git, commit)
    changes = []
    for file in commit.touched:
        if file.status == "A":
            continue
        before = objects.get(file.blobs[0])
        after = b"" if file.status == "D" else objects.get(file.blobs[1])
        if b"\0" in before + after:
            raise Refusal(f"{commit.said()} changes {file.old}, which is no text",
                          "add a file of another name instead")
        mode = file.modes[1] if file.modes[0] != file.modes[1] else None
        change = Change(0, file.old, None if file.status == "D" else file.new, mode, ())
        changes.append(patchfile.change_text(change, file.modes[0],
                                             edits.get((file.old, file.new), []), before, after))
    text = patchfile.patch_text(commit.message, sorted(added), changes)
    check_rendered(commit, objects, text)
    return text, added


def edits_of(git: Git, commit: Commit) -> dict[tuple[str, str], list[Edit]]:
    """Which lines become which: git's diff without context."""
    found: dict[tuple[str, str], list[Edit]] = {}
    edits: list[Edit] = []
    for line in git("diff-tree", *DIFF, *PATCH, commit.parents[0], commit.commit).split(b"\n"):
        if line.startswith(b"diff --git "):
            named = patchfile.DIFF.match(line)
            assert named, line
            edits = found.setdefault((named[1].decode(), named[2].decode()), [])
        elif line.startswith(b"@@ "):
            numbers = EDIT.match(line)
            assert numbers, line
            edits.append(Edit(lines_of(numbers[1], numbers[2]), lines_of(numbers[3], numbers[4])))
    return found


def lines_of(first: bytes, count: bytes | None) -> range:
    number = 1 if count is None else int(count)
    # of no lines: the line before them is named
    start = int(first) - 1 if number else int(first)
    return range(start, start + number)


def check_rendered(commit: Commit, objects: Objects, text: bytes) -> None:
    """The file that is about to be written gives this commit's files, to the bit."""
    patch = patchfile.parse(commit.names[0], text)
    touched = {file.old: file for file in commit.touched if file.status != "A"}
    assert patch.message == commit.message, (patch.message, commit.message)
    assert set(touched) == {change.old for change in patch.changes}
    for change in patch.changes:
        file = touched[change.old]
        if change.new is not None:
            after = patchfile.applied(patch, change, objects.get(file.blobs[0]))
            assert after == objects.get(file.blobs[1]), change.new
            assert (change.mode or file.modes[0]) == file.modes[1], change.new


def collected(git: Git, base: str, head: str, old: Contents) -> Contents:
    """The repository's files as these commits have them."""
    with Objects(git) as objects:
        commits = commits_of(git, objects, base, head)
        folders = {path.partition("/")[0] for path in tree_of(git, base) if "/" in path}
        lines = problems(commits, folders)
        if lines:
            raise Refusals(lines)
        titles = {part.name: part.title for part in old.parts}
        new = Contents(old.head, [], {}, {})
        for commit in commits:
            name, part = commit.names[0], commit.parts[0]
            if not new.parts or new.parts[-1].name != part:
                new.parts.append(Part(part, titles.get(part, "")))
            new.parts[-1].patches.append(name)
            new.patches[name], added = render(git, objects, commit)
            new.added.update(added)
    return new


def save(store: Store, tree: Tree, base_name: str | None, force: bool) -> None:
    state = None if base_name else tree.state()
    if state and state.target:
        raise Refusal(f"a rebase in {tree.directory} is not ended",
                      "qemu rebase --continue, which saves; or --abort")
    tree.check_clean()
    tree.check_applied()
    base = tree.git.commit(base_name) if base_name else state.base if state else None
    if not base:
        raise Refusal(f"{tree.directory} has no commit {base_name}",
                      "name the commit of QEMU's source")
    write(store, tree, base, state, force)


def write(store: Store, tree: Tree, base: str, state: State | None, force: bool,
          new_base: Base | None = None) -> None:
    repository, head = store.repository, tree.head()
    old = repository.old_contents()
    if state and state.digest != old.digest() and not force:
        raise Refusal("the series here is not the one that the tree came from",
                      "git stash the changes here, save, git stash pop; or save --force to "
                      "overwrite them")
    new = collected(tree.git, base, head, old)
    folders = {path.partition("/")[0] for path in tree_of(tree.git, base) if "/" in path}
    lines = repository.check_foreign(old, new, folders)
    if lines:
        raise Refusals(lines)
    changed = repository.write(old, new, new_base)
    if state:
        state.saved, state.digest = head, new.digest()
        tree.remember(state)
    for path in changed:
        print(path if (repository.root / path).exists() else f"{path} (removed)")
    for part in new.parts:
        if not part.title:
            say(f"part {part.name} has no title: write it behind [{part.name}] in series")
    say(f"{len(new.order())} patches, {len(new.added)} added files; {len(changed)} files changed")
