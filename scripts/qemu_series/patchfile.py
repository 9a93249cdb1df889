# SPDX-License-Identifier: GPL-2.0-or-later
"""Patch files: a commit's message, the files that it adds, hunks for QEMU's own files.

Where a hunk applies is where its lines are, and they are in one place only: whoever writes
a hunk gives it as much context as that takes.  So line numbers, which any earlier patch
would change, are not needed.  A hunk's header says line 2 (or 0 of an empty file), which
git apply and patch take as a place to begin the search; line 1 would mean the top only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .git import Refusal

CONTEXT = 3
HEADER = re.compile(rb"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@")
DIFF = re.compile(rb"diff --git a/(\S+) b/(\S+)$")
NO_NEWLINE = b"\\ No newline at end of file\n"
C_FILE = re.compile(r"\.(c|h)(\.inc)?$")
FUNCTION = re.compile(rb"[A-Za-z_$].*[^:\s]\s*$")

# A message line at which git am would take the message to end
ENDS_MESSAGE = re.compile(r"---(\s|$)|diff -|Index: ")


@dataclass(frozen=True)
class Hunk:
    line: int                   # of the patch file
    old: bytes
    new: bytes


@dataclass(frozen=True)
class Change:
    """What a patch does to one of QEMU's files."""

    line: int
    old: str
    new: str | None             # None: it is removed
    mode: str | None            # None: as it was
    hunks: tuple[Hunk, ...]


@dataclass(frozen=True)
class Patch:
    name: str
    message: str                # without the trailers that tie a commit to its file
    adds: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


# ---- reading -----------------------------------------------------------


def bad(name: str, line: int, what: str, todo: str) -> Refusal:
    return Refusal(f"{name}:{line}: {what}", todo)


def parse(name: str, data: bytes) -> Patch:
    lines = split(data)
    try:
        end = [line.rstrip() for line in lines].index(b"---")
    except ValueError:
        raise bad(name, len(lines), "no '---' line behind the message", "add one") from None
    head = b"".join(lines[:end]).decode(errors="replace").rstrip("\n").split("\n")
    adds = []
    while head and head[-1].startswith("Adds: "):
        adds.append(head.pop()[len("Adds: "):].strip())
    message = "\n".join(head).strip("\n") + "\n"
    if not message.strip():
        raise bad(name, 1, "no message", "write a subject line, an empty line, the reasons")
    while lines and not lines[-1].strip():
        lines.pop()
    return Patch(name, message, tuple(reversed(adds)), tuple(parse_changes(name, lines, end + 1)))


def parse_changes(name: str, lines: list[bytes], at: int) -> list[Change]:
    changes = []
    while at < len(lines):
        found = DIFF.match(lines[at].rstrip())
        if not found:
            raise bad(name, at + 1, "not the beginning of a change",
                      "it wants a line 'diff --git a/FILE b/FILE'")
        change, at = parse_change(name, lines, at, *(path.decode() for path in found.groups()))
        changes.append(change)
    return changes


def parse_change(name: str, lines: list[bytes], at: int, old: str,
                 new: str) -> tuple[Change, int]:
    first, mode, removed, hunks = at + 1, None, False, []
    at += 1
    while at < len(lines) and not lines[at].startswith((b"@@ ", b"diff --git ")):
        line = lines[at].decode(errors="replace").rstrip()
        if line.startswith("new file mode"):
            raise bad(name, at + 1, f"adds {new} by a hunk",
                      f"make it a file of this repository, and write 'Adds: {new}'")
        if line.startswith("new mode "):
            mode = line[len("new mode "):]
        elif line.startswith("deleted file mode"):
            removed = True
        elif not line.startswith(("index ", "old mode", "rename ", "similarity ", "--- ", "+++ ")):
            raise bad(name, at + 1, f"'{line}' is nothing of a patch", "remove the line")
        at += 1
    while at < len(lines) and lines[at].startswith(b"@@ "):
        hunk, at = parse_hunk(name, lines, at)
        hunks.append(hunk)
    return Change(first, old, None if removed else new, mode, tuple(hunks)), at


def parse_hunk(name: str, lines: list[bytes], at: int) -> tuple[Hunk, int]:
    """The counts in its header are not used: they are wrong after an edit by hand."""
    if not HEADER.match(lines[at]):
        raise bad(name, at + 1, "not the header of a hunk", "it wants '@@ -2,7 +2,8 @@'")
    first, sides = at + 1, {b"-": [b""], b"+": [b""]}
    last: tuple[bytes, ...] = ()
    at += 1
    while at < len(lines) and not lines[at].startswith((b"@@ ", b"diff --git ")):
        kind, text = lines[at][:1], lines[at][1:]
        if kind == b"\\":
            for side in last:
                sides[side][-1] = sides[side][-1].rstrip(b"\n")
        elif kind in b" \n":
            last = (b"-", b"+")
            for side in last:       # an editor may have taken the space of an empty line
                sides[side].append(text if kind == b" " else b"\n")
        elif kind in sides:
            last = (kind,)
            sides[kind].append(text)
        else:
            raise bad(name, at + 1, "this line is not of a hunk",
                      "it wants ' ', '+' or '-' in the first column")
        at += 1
    hunk = Hunk(first, b"".join(sides[b"-"]), b"".join(sides[b"+"]))
    if hunk.old == hunk.new:
        raise bad(name, first, "this hunk changes nothing", "remove it")
    return hunk, at


# ---- applying ----------------------------------------------------------


def places(lines: bytes, data: bytes) -> list[int]:
    """The offsets in data at which these lines are."""
    if not lines:
        return [] if data else [0]
    found, at = [], data.find(lines)
    while at >= 0:
        if ((at == 0 or data[at - 1:at] == b"\n")
                and (lines.endswith(b"\n") or at + len(lines) == len(data))):
            found.append(at)
        at = data.find(lines, at + 1)
    return found


def applied(patch: Patch, change: Change, data: bytes) -> bytes:
    """QEMU's file after a change to it."""
    pieces, done = [], 0
    for hunk in change.hunks:
        found = places(hunk.old, data)
        if len(found) != 1:
            raise bad(patch.name, hunk.line, misfit(hunk, len(found), change.old, data),
                      "make the hunk fit; to move the series to another QEMU: qemu rebase")
        if found[0] < done:
            raise bad(patch.name, hunk.line, f"this hunk of {change.old} is not behind the one"
                      " before it", "put the hunks in the file's order, none on top of another")
        pieces += [data[done:found[0]], hunk.new]
        done = found[0] + len(hunk.old)
    return b"".join(pieces) + data[done:]


def misfit(hunk: Hunk, found: int, path: str, data: bytes) -> str:
    if found:
        return f"this hunk's lines are in {found} places of {path}"
    near = nearest(hunk.old, data)
    return f"this hunk's lines are not in {path}" + (f" (line {near} is nearest)" if near else "")


def nearest(lines: bytes, data: bytes) -> int | None:
    """The line of data where most of these lines are, each at its distance."""
    where: dict[bytes, list[int]] = {}
    for number, line in enumerate(data.split(b"\n")):
        where.setdefault(line, []).append(number)
    votes: dict[int, int] = {}
    for number, line in enumerate(lines.split(b"\n")):
        if line.strip() and len(where.get(line, ())) < 20:
            for at in where.get(line, ()):
                votes[at - number] = votes.get(at - number, 0) + 1
    return max(votes, key=lambda at: votes[at]) + 1 if votes else None


# ---- writing -----------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """Lines old of the old file become lines new of the new one, both counted from 0."""

    old: range
    new: range


@dataclass
class Group:
    """Edits that share a hunk."""

    edits: list[Edit]
    context: int

    def lines(self, total: int) -> range:
        return range(max(0, self.edits[0].old.start - self.context),
                     min(total, self.edits[-1].old.stop + self.context))


def grouped(edits: list[Edit], data: bytes, lines: list[bytes]) -> list[Group]:
    """Hunks whose lines are in one place of the file only."""
    groups = [Group([edit], CONTEXT) for edit in edits]
    while True:
        merged: list[Group] = []
        for group in groups:
            if merged and group.lines(len(lines)).start <= merged[-1].lines(len(lines)).stop:
                merged[-1].edits += group.edits
                merged[-1].context = max(merged[-1].context, group.context)
            else:
                merged.append(group)
        groups = merged
        vague = [group for group in groups if len(places(old_text(group, lines), data)) != 1]
        if not vague:
            return groups
        for group in vague:
            group.context += CONTEXT


def old_text(group: Group, lines: list[bytes]) -> bytes:
    span = group.lines(len(lines))
    return b"".join(lines[span.start:span.stop])


def split(data: bytes) -> list[bytes]:
    """Lines as git has them: no other character than a newline ends one."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return lines + ([last] if last else [])


def hunk_text(group: Group, old: list[bytes], new: list[bytes], path: str) -> bytes:
    span, at, body = group.lines(len(old)), 0, []
    at = span.start
    for edit in group.edits:
        body += [(b" ", line) for line in old[at:edit.old.start]]
        body += [(b"-", line) for line in old[edit.old.start:edit.old.stop]]
        body += [(b"+", line) for line in new[edit.new.start:edit.new.stop]]
        at = edit.old.stop
    body += [(b" ", line) for line in old[at:span.stop]]
    counts = [sum(kind in kinds for kind, _ in body) for kinds in (b" -", b" +")]
    numbers = b" ".join(b"%c%d,%d" % (sign, 2 if count else 0, count)
                        for sign, count in zip(b"-+", counts))
    head = b"@@ " + numbers + b" @@" + function(old, span.start, path) + b"\n"
    return head + b"".join(kind + (line if line.endswith(b"\n") else line + b"\n" + NO_NEWLINE)
                           for kind, line in body)


def function(lines: list[bytes], at: int, path: str) -> bytes:
    """What a C file's hunk is in, for the reader.  Elsewhere the line that git takes for
    this is any line that an unrelated change may move."""
    if not C_FILE.search(path):
        return b""
    for line in reversed(lines[:at]):
        if FUNCTION.match(line):
            return b" " + line.rstrip()[:80].decode(errors="ignore").rstrip().encode()
    return b""


def change_text(change: Change, old_mode: str, edits: list[Edit], before: bytes,
                after: bytes) -> bytes:
    """A change as it is written; change.hunks is not used."""
    text = [f"diff --git a/{change.old} b/{change.new or change.old}\n".encode()]
    if change.new is None:
        # the lines of a file that goes are QEMU's, and not needed
        return text[0] + f"deleted file mode {old_mode}\n".encode()
    if change.mode:
        text.append(f"old mode {old_mode}\nnew mode {change.mode}\n".encode())
    if change.new != change.old:
        text.append(f"rename from {change.old}\nrename to {change.new}\n".encode())
    if edits:
        old, new = split(before), split(after)
        text.append(f"--- a/{change.old}\n+++ b/{change.new}\n".encode())
        text += [hunk_text(group, old, new, change.old) for group in grouped(edits, before, old)]
    return b"".join(text)


def patch_text(message: str, adds: list[str], changes: list[bytes]) -> bytes:
    head = message.rstrip("\n") + "\n"
    if adds:
        head += "" if has_trailers(message) else "\n"
        head += "".join(f"Adds: {path}\n" for path in adds)
    return head.encode() + b"---\n" + b"".join(changes)


# ---- trailers ----------------------------------------------------------

TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]*: \S")
NAME, PART = "Patch-file", "Part"


def has_trailers(message: str) -> bool:
    """Is the last paragraph one of trailers?"""
    head, _, last = message.rstrip("\n").rpartition("\n\n")
    return bool(head) and all(TRAILER.match(line) for line in last.split("\n"))


def tied(message: str, name: str, part: str) -> str:
    """A commit's message, from a patch's."""
    between = "" if has_trailers(message) else "\n"
    return f"{message.rstrip()}\n{between}{NAME}: {name}\n{PART}: {part}\n"


def untied(message: str) -> tuple[str, list[str], list[str]]:
    """A patch's message, from a commit's; the names and the parts that it gave."""
    found: dict[str, list[str]] = {NAME: [], PART: []}
    kept = []
    for line in message.split("\n"):
        key, colon, value = line.partition(": ")
        if colon and key in found:
            if value.strip() not in found[key]:
                found[key].append(value.strip())
        else:
            kept.append(line)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(kept))
    return text.strip("\n") + "\n", found[NAME], found[PART]
