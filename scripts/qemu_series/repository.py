# SPDX-License-Identifier: GPL-2.0-or-later
"""This repository's side: the files `series` and `base`, patches, the files that they add."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from . import patchfile
from .git import Refusal, Refusals
from .patchfile import Patch

# Folders of QEMU's tree that hold other things here
OWN = {"about", "scripts", "tests"}
NAME_FORM = re.compile(r"[\w+][\w.+-]*(/[\w+][\w.+-]*)+\.patch", re.ASCII)
PATH_FORM = re.compile(r"[\w.+@,=-]+(/[\w.+@,=-]+)*", re.ASCII)
PART_FORM = re.compile(r"[a-z0-9][a-z0-9-]*")
PART_LINE = re.compile(r"\[([^]]*)\]\s*(.*)")
LEFTOVERS = re.compile(r"~$|^\.|\.(orig|rej|pyc)$")
HEAD = """\
# The series, in the order in which it applies, in the parts in which it is mailed.
# `scripts/qemu save` writes this file; titles and these lines are yours.
"""


@dataclass
class Part:
    name: str
    title: str
    patches: list[str] = field(default_factory=list)


@dataclass
class Contents:
    """The files of the series, as they are here or as they are to be."""

    head: str
    parts: list[Part]
    patches: dict[str, bytes]
    added: dict[str, tuple[str, bytes]]        # path: (mode, data)

    def order(self) -> list[tuple[str, Part]]:
        return [(name, part) for part in self.parts for name in part.patches]

    def series(self) -> bytes:
        text = self.head
        for part in self.parts:
            text += f"\n[{part.name}] {part.title}".rstrip() + "\n"
            text += "".join(f"{name}\n" for name in part.patches)
        return text.encode()

    def files(self) -> dict[str, tuple[str, bytes]]:
        return {"series": ("100644", self.series()), **self.added,
                **{name: ("100644", data) for name, data in self.patches.items()}}

    def digest(self) -> str:
        total = hashlib.sha256()
        for path, (mode, data) in sorted(self.files().items()):
            total.update(f"{mode} {len(data)} {path}\n".encode() + data)
        return total.hexdigest()

    def parsed(self) -> list[Patch]:
        return [patchfile.parse(name, self.patches[name]) for name, _ in self.order()]

    def part(self, name: str) -> Part:
        for part in self.parts:
            if part.name == name:
                return part
        raise Refusal(f"no part '{name}'", "the parts are: " + " ".join(p.name for p in self.parts))


@dataclass(frozen=True)
class Base:
    """The QEMU that the series is for."""

    version: str
    archive: str = ""
    sha256: str = ""

    def text(self) -> str:
        lines = [f"version {self.version}"]
        if self.archive:
            lines += [f"archive {self.archive}", f"sha256 {self.sha256}"]
        return "".join(line + "\n" for line in lines)


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root

    # ---- reading ---------------------------------------------------

    def base(self) -> Base:
        fields = {}
        for number, line in enumerate(self.lines("base"), 1):
            key, _, value = line.partition(" ")
            if line.startswith("#") or not line:
                continue
            if key not in ("version", "archive", "sha256") or not value.strip():
                raise Refusal(f"base:{number}: '{line}'",
                              "it wants version, archive or sha256, and a value")
            fields[key] = value.strip()
        if "version" not in fields:
            raise Refusal("base has no line 'version'", "write one, for example 'version 11.1.1'")
        return Base(**fields)

    def lines(self, name: str) -> list[str]:
        try:
            return (self.root / name).read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            raise Refusal(f"no file {name} in {self.root}", "take it from git again") from None

    def parts(self) -> tuple[str, list[Part]]:
        """Of the file `series`: the comment that it begins with, the parts."""
        head = ""
        parts: list[Part] = []
        seen: set[tuple[str, str]] = set()
        for number, line in enumerate(self.lines("series"), 1):
            line = line.rstrip()
            found = PART_LINE.fullmatch(line)
            if line.startswith("#") and not parts:
                head += line + "\n"
            elif not line or line.startswith("#"):
                continue
            elif found:
                self.check_name(number, found[1], PART_FORM, "part", seen)
                parts.append(Part(found[1], found[2].strip()))
            elif not parts:
                raise Refusal(f"series:{number}: {line} is in no part",
                              "write a line '[part] title' before it")
            else:
                self.check_name(number, line, NAME_FORM, "patch", seen)
                parts[-1].patches.append(line)
        return head, parts

    @staticmethod
    def check_name(number: int, name: str, form: re.Pattern[str], what: str,
                   seen: set[tuple[str, str]]) -> None:
        if not form.fullmatch(name):
            raise Refusal(f"series:{number}: '{name}' cannot be the name of a {what}",
                          "FOLDER/NAME.patch, and [name-of-part], are names")
        if (what, name) in seen:
            raise Refusal(f"series:{number}: {name} is there twice", "remove one")
        seen.add((what, name))

    def contents(self) -> Contents:
        head, parts = self.parts()
        all_of_it = Contents(head, parts, {}, {})
        for name, _ in all_of_it.order():
            try:
                all_of_it.patches[name] = (self.root / name).read_bytes()
            except FileNotFoundError:
                raise Refusal(f"series names {name}, which is not there",
                              "remove the line, or take the file from git again") from None
        for patch in all_of_it.parsed():
            for path in patch.adds:
                all_of_it.added[path] = self.added_file(patch, path, all_of_it.added)
        return all_of_it

    def added_file(self, patch: Patch, path: str,
                   others: dict[str, tuple[str, bytes]]) -> tuple[str, bytes]:
        if not PATH_FORM.fullmatch(path) or ".." in path.split("/"):
            raise Refusal(f"{patch.name}: 'Adds: {path}' is no path",
                          "name a file of this repository")
        if path in others:
            raise Refusal(f"{patch.name}: adds {path}, which another patch adds", "drop one line")
        file = self.root / path
        if not file.is_file() or file.is_symlink():
            raise Refusal(f"{patch.name}: adds {path}, which is not a file here",
                          "remove the line 'Adds:', or take the file from git again")
        return "100755" if file.stat().st_mode & 0o100 else "100644", file.read_bytes()

    def old_contents(self) -> Contents:
        """What `save` replaces: there may be nothing yet."""
        if not (self.root / "series").is_file():
            return Contents(HEAD, [], {}, {})
        return self.contents()

    def check_strays(self, now: Contents, folders: set[str]) -> None:
        """In a folder that mirrors QEMU's, everything is of a patch."""
        lines = []
        for folder in sorted(folders - OWN):
            for directory, _, names in os.walk(self.root / folder):
                for name in sorted(names):
                    path = os.path.relpath(os.path.join(directory, name), self.root)
                    if LEFTOVERS.search(name) or path in now.patches or path in now.added:
                        continue
                    todo = ("put it into series, or remove it" if name.endswith(".patch")
                            else f"write 'Adds: {path}' in its patch, or remove it")
                    lines.append((f"no patch of the series has {path}", todo))
        if lines:
            raise Refusals(lines)

    # ---- writing ---------------------------------------------------

    def check_foreign(self, old: Contents, new: Contents,
                      folders: set[str]) -> list[tuple[str, str]]:
        """Files of this repository that are not the series' to write."""
        lines = []
        for path, (_, data) in new.added.items():
            file = self.root / path
            ours = path.split("/")[0] in folders - OWN and "/" in path
            if not ours and path not in old.added and file.exists() and (
                    not file.is_file() or file.read_bytes() != data):
                lines.append((f"a commit adds {path}, which is another file in this repository",
                              "give it another name"))
        return lines

    def write(self, old: Contents, new: Contents, base: Base | None = None) -> list[str]:
        """The paths that changed."""
        before, after = old.files(), new.files()
        changed: list[str] = []
        if base:
            self.replace("base", "100644", base.text().encode(), changed)
        for path, (mode, data) in after.items():
            self.replace(path, mode, data, changed)
        for path in sorted(set(before) - set(after)):
            (self.root / path).unlink(missing_ok=True)
            changed.append(path)
            for folder in Path(path).parents:
                here = self.root / folder
                if folder != Path(".") and here.is_dir() and not any(here.iterdir()):
                    here.rmdir()
        return changed

    def replace(self, path: str, mode: str, data: bytes, changed: list[str]) -> None:
        file = self.root / path
        wanted = mode == "100755"
        if file.is_file() and file.read_bytes() == data:
            if bool(file.stat().st_mode & 0o100) == wanted:
                return
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        new.write_bytes(data)
        new.chmod(0o755 if wanted else 0o644)
        new.replace(file)
        changed.append(path)
