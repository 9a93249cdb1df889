# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/qemu on a small tree that stands for QEMU's: python3 -m pytest tests/scripts

Each test has a repository, a cache and an editing tree of its own, copied from ones that are
made once.  The user's git configuration is hostile: hooks that fail, signing without a key."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from qemu_series import patchfile, trees                        # noqa: E402

LOADER = importlib.machinery.SourceFileLoader("qemu", str(SCRIPTS / "qemu"))
qemu = importlib.util.module_from_spec(importlib.util.spec_from_loader("qemu", LOADER))
LOADER.exec_module(qemu)

SYSTEM, STUB = "gdbstub/system.c", "gdbstub/gdbstub.c"
REASON, RANGE = "gdbstub/stop-reason.patch", "gdbstub/range-step.patch"
STEP = "accel/guest-debug/step.patch"
ARCHIVE = "qemu_{}+ds.orig.tar.xz"
SYSTEM_C = "".join(f"""\
static int handle_{name}(int arg)
{{
    int ret = 0;

    if (arg) {{
        return -1;
    }}
    return ret;
}}

""" for name in ("first", "second", "third", "fourth", "fifth"))
KVM_C = "#include <kvm.h>\n\n" + "".join(
    f"int kvm_{n}(void)\n{{\n    return {n};\n}}\n\n" for n in range(40))
QEMU = {
    "configure": "#!/bin/sh\n", "VERSION": "11.1.1\n", "qemu-options.hx": "HXCOMM\n",
    ".gitignore": "*.patch\n/roms\n*.log\n",
    "roms/vof.bin": "firmware\n",
    "gdbstub/system.c": SYSTEM_C, "gdbstub/gdbstub.c": SYSTEM_C.replace("handle", "packet"),
    "gdbstub/meson.build": "files('gdbstub.c')\n",
    "accel/meson.build": "subdir('kvm')\nsubdir('tcg')\n",
    "target/ppc/trace-events": "kvm_exit(int why) \"\"\nsame_before(void) \"\"\n",
    "target/arm/trace-events": "# kvm.c\ndisable same_before(void) \"\"\n",
    "target/ppc/kvm.c": KVM_C, "hw/ppc/table.h": "    0,\n" * 60, "docs/no-newline.txt": "one\ntwo",
    "docs/index.rst": "Title\n=====\n", "stubs/empty.c": "",
    "hw/ppc/latin.c": "/* \udce9t\udce9 */\nint a;\n",
    "scripts/run.sh": "#!/bin/sh\n",
    "scripts/checkpatch.pl": """\
my $bad = grep { /^\\+.*BAD/ } <>;
print "total: ", $bad, " errors, 0 warnings, 9 lines checked\\n";
exit $bad;
""",
}
GET_QEMU = """\
#!/bin/sh
here=$(dirname "$0")/../..
echo "$*" >>"$here/get-qemu.log"
version=11.1.1
[ "$1" != --version ] || version=$2
[ -d "$here/src/qemu-$version" ] || { echo "get-qemu: 404" >&2; exit 1; }
cd "$here/src/qemu-$version" && pwd
"""
BUILD_QEMU = """\
#!/bin/sh
echo "$2 $(cat "$4/gdbstub/meson.build" | wc -l) $5" >>"$(dirname "$0")/../../build-qemu.log"
[ "$2" != "$(cat "$(dirname "$0")/../../breaks" 2>/dev/null)" ]
"""


@contextlib.contextmanager
def working(directory: Path, env: dict[str, str]) -> Iterator[None]:
    before, cwd = dict(os.environ), os.getcwd()
    try:
        os.environ.clear()
        os.environ.update(env)
        os.chdir(directory)
        yield
    finally:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def captured() -> Iterator[Callable[[], str]]:
    """Everything that is written to the descriptors 1 and 2, by git too."""
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile("w+") as out, contextlib.redirect_stdout(out), \
            contextlib.redirect_stderr(out):
        try:
            for number in (1, 2):
                os.dup2(out.fileno(), number)
            yield lambda: (out.flush(), out.seek(0), out.read())[2]
        finally:
            for number, old in enumerate(saved, 1):
                os.dup2(old, number)
                os.close(old)


@dataclass
class Place:
    """One user's machine."""

    root: Path

    @property
    def repo(self) -> Path:
        return self.root / "repo"

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def build_tree(self) -> Path:
        return self.cache / "work" / "tree-11.1.1"

    def env(self, **more: str) -> dict[str, str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return {**keep, "HOME": str(self.root), "QGD_CACHE": str(self.cache), "LC_ALL": "C.UTF-8",
                "GIT_CONFIG_GLOBAL": str(self.root / "gitconfig"), **more}

    def run(self, *args: object, cwd: Path | None = None, fails: int = 0,
            **more: str) -> str:
        """scripts/qemu; what it said.  fails: the status with which it must."""
        with working(cwd or self.root, self.env(**more)), captured() as out:
            status = qemu.main([*map(str, args)], self.repo)
            said = out()
        assert status == fails, said
        return said

    def refused(self, *args: object, **more: str) -> str:
        """It must change nothing here."""
        before = self.digest()
        said = self.run(*args, fails=1, **more)
        assert self.digest() == before
        ours = [line for line in said.splitlines() if line.startswith("qemu: ")]
        assert ours and all(line.count(": ") >= 2 for line in ours), said
        return said

    def digest(self) -> str:
        total = hashlib.sha256()
        for file in sorted(self.repo.rglob("*")):
            if file.is_file():
                total.update(f"{file} {file.stat().st_mtime_ns}".encode() + file.read_bytes())
        return total.hexdigest()

    def git(self, *args: str, cwd: Path | None = None, fails: bool = False, **more: str) -> str:
        """The user's git, in the tree."""
        env = self.env(**{"GIT_EDITOR": "true", "GIT_SEQUENCE_EDITOR": "true", **more})
        done = subprocess.run(["git", "-c", "core.hooksPath=/dev/null",
                               "-c", "commit.gpgSign=false", *args], cwd=cwd or self.tree,
                              env=env, text=True, capture_output=True, check=False)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout.strip()

    def write(self, path: str, text: str, where: Path | None = None, mode: int = 0o644) -> None:
        file = (where or self.tree) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode(errors="surrogateescape"))
        file.chmod(mode)

    def edit(self, path: str, old: str, new: str, where: Path | None = None) -> None:
        file = (where or self.tree) / path
        text = file.read_bytes().decode(errors="surrogateescape")
        assert old in text
        self.write(path, text.replace(old, new, 1), where, file.stat().st_mode & 0o777)

    def commit(self, subject: str, name: str = "", part: str = "features", *options: str) -> None:
        self.git("add", "-A")
        trailers = f"\nPatch-file: {name}\nPart: {part}\n" if name else ""
        self.git("commit", "-q", "-m", f"{subject}\n\nBecause.\n{trailers}", *options)

    def fixup(self, subject: str) -> None:
        """Into the commit of that subject."""
        self.git("add", "-A")
        self.git("commit", "-q", "--fixup", f":/^{subject}")
        self.git("rebase", "-q", "-i", "--autosquash")

    def todo(self, script: str) -> None:
        """git rebase -i, its list changed by sed."""
        self.git("rebase", "-q", "-i", GIT_SEQUENCE_EDITOR=f"sed -i '{script}'")

    def head(self, cwd: Path | None = None) -> str:
        return self.git("rev-parse", "HEAD", cwd=cwd)

    def series(self) -> str:
        return (self.repo / "series").read_text()

    def patch(self, name: str) -> str:
        return (self.repo / name).read_bytes().decode(errors="surrogateescape")


def make_source(root: Path, version: str, **changes: str) -> Path:
    source = root / "src" / f"qemu-{version}"
    for path, text in {**QEMU, "VERSION": f"{version}\n", **changes}.items():
        file = source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode(errors="surrogateescape"))
    (source / "scripts/run.sh").chmod(0o755)
    (source / "docs/link").symlink_to("index.rst")
    archive = root / "cache" / "src" / ARCHIVE.format(version)
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_text(f"archive of {version}\n")
    return source


def make_repository(place: Place) -> None:
    place.write("scripts/get-qemu", GET_QEMU, place.repo, 0o755)
    place.write("scripts/build-qemu", BUILD_QEMU, place.repo, 0o755)
    place.write("README.md", "ours\n", place.repo)
    place.write("tests/unit/own.c", "ours\n", place.repo)
    place.write("series", "# Ours to keep.\n\n[fixes] target/ppc: fixes\n"
                "[features] gdbstub: more\n", place.repo)
    place.write("base", f"version 11.1.1\narchive {ARCHIVE.format('11.1.1')}\n"
                "sha256 0b1376e75dbe\n", place.repo)
    for part in ("fixes", "features"):
        place.write(f"about/cover/{part}", f"What {part} is.\n", place.repo)


def make_commits(place: Place) -> None:
    place.edit("target/ppc/kvm.c", "return 7;", "return 77;")
    place.git("add", "-A")
    place.git("commit", "-q", "-m", "target/ppc: kvm: seven\n\nIt was wrong.\n\n"
              "Fixes: 1234567890 (\"seven\")\nPatch-file: target/ppc/seven.patch\nPart: fixes\n")
    place.edit("accel/meson.build", "subdir('tcg')", "subdir('guest-debug')\nsubdir('tcg')")
    place.write("accel/guest-debug/step.c", "int step(void);\n")
    place.write("accel/guest-debug/step.sh", "#!/bin/sh\n", mode=0o755)
    place.commit("accel: add steps", "accel/guest-debug/step.patch", "fixes")
    place.edit(SYSTEM, "handle_second(int arg)\n{\n", "handle_second(int arg)\n{\n    stop();\n")
    place.commit("gdbstub: say why", REASON)
    place.edit(SYSTEM, "handle_fourth(int arg)\n{\n", "handle_fourth(int arg)\n{\n    range();\n")
    place.edit(STUB, "packet_first(int arg)", "packet_first(long arg)")
    place.commit("gdbstub: range stepping", RANGE)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("made"))
    place.write("hooks/pre-commit", "#!/bin/sh\nexit 1\n", place.root, 0o755)
    place.write("hooks/post-checkout", "#!/bin/sh\nexit 1\n", place.root, 0o755)
    place.write("hooks/reference-transaction", "#!/bin/sh\nexit 1\n", place.root, 0o755)
    place.write("ignored", "*.mine\n", place.root)
    (place.root / "gitconfig").write_text(f"""\
[user]\n name = A User\n email = user@example.org
[core]\n hooksPath = {place.root}/hooks\n autocrlf = true\n excludesFile = ~/ignored
[commit]\n gpgSign = true
[gpg]\n program = false
[init]\n templateDir = {place.root}/hooks\n defaultBranch = other
[diff]\n noprefix = true\n context = 0\n renames = false\n external = false\n algorithm = patience
[format]\n signOff = false\n subjectPrefix = OTHER\n attach = true
[rebase]\n autoSquash = false\n updateRefs = true
[status]\n showUntrackedFiles = no
[log]\n showSignature = true
""")
    make_source(place.root, "11.1.1")
    make_repository(place)
    place.run("up", place.tree)
    make_commits(place)
    place.run("save", place.tree)
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Iterator[Place]:
    shutil.copytree(made.root, tmp_path / "p", symlinks=True)
    yield Place(tmp_path / "p")


# ---- round trip --------------------------------------------------------


def test_files(place: Place) -> None:
    assert place.series() == (
        "# Ours to keep.\n\n[fixes] target/ppc: fixes\ntarget/ppc/seven.patch\n"
        "accel/guest-debug/step.patch\n\n[features] gdbstub: more\ngdbstub/stop-reason.patch\n"
        "gdbstub/range-step.patch\n")
    assert place.patch("target/ppc/seven.patch") == """\
target/ppc: kvm: seven

It was wrong.

Fixes: 1234567890 ("seven")
---
diff --git a/target/ppc/kvm.c b/target/ppc/kvm.c
--- a/target/ppc/kvm.c
+++ b/target/ppc/kvm.c
@@ -2,7 +2,7 @@ int kvm_6(void)
\x20
 int kvm_7(void)
 {
-    return 7;
+    return 77;
 }
\x20
 int kvm_8(void)
"""
    assert place.patch("accel/guest-debug/step.patch") == """\
accel: add steps

Because.

Adds: accel/guest-debug/step.c
Adds: accel/guest-debug/step.sh
---
diff --git a/accel/meson.build b/accel/meson.build
--- a/accel/meson.build
+++ b/accel/meson.build
@@ -2,2 +2,3 @@
 subdir('kvm')
+subdir('guest-debug')
 subdir('tcg')
"""
    assert place.patch("accel/guest-debug/step.c") == "int step(void);\n"
    assert os.access(place.repo / "accel/guest-debug/step.sh", os.X_OK)


def test_save_up_save(place: Place) -> None:
    saved = place.git("rev-parse", "HEAD^{tree}")
    before = place.digest()
    place.run("up", place.tree)
    assert place.git("rev-parse", "HEAD^{tree}") == saved
    assert place.git("status", "--porcelain") == ""
    place.run("save", place.tree)
    assert place.digest() == before


def test_tree(place: Place) -> None:
    """All of the source is there, whatever its .gitignore says; what git shows."""
    place.run("up", "new")
    new = place.root / "new"
    assert (new / "roms/vof.bin").is_file() and os.access(new / "scripts/run.sh", os.X_OK)
    assert os.readlink(new / "docs/link") == "index.rst"
    assert (new / "hw/ppc/latin.c").read_bytes() == b"/* \xe9t\xe9 */\nint a;\n"
    assert place.git("log", "--format=%s", "base..series", cwd=new).split("\n") == [
        "gdbstub: range stepping", "gdbstub: say why", "accel: add steps", "target/ppc: kvm: seven"]
    assert "ahead of 'base' by 4 commits" in place.git("status", cwd=new)
    assert place.git("show", "-s", "--format=%B", "series~3", cwd=new).endswith(
        "Fixes: 1234567890 (\"seven\")\nPatch-file: target/ppc/seven.patch\nPart: fixes")


def test_same_input_same_commits(place: Place) -> None:
    place.run("up", "one")
    shutil.rmtree(place.cache)
    place.run("up", "two")
    assert place.head(place.root / "one") == place.head(place.root / "two")


def test_tree_outlives_the_cache(place: Place) -> None:
    shutil.rmtree(place.cache)
    place.git("fsck", "--connectivity-only")
    place.edit(SYSTEM, "stop();", "why();")
    place.fixup("gdbstub: say why")
    place.run("save", place.tree)
    assert "+    why();" in place.patch(REASON)


def test_base_is_made_once(place: Place) -> None:
    place.run("up", "one")
    place.run("up", "--for-build")
    place.run("up", "two")
    assert (place.root / "get-qemu.log").read_text().count("\n") == 1


def test_from_inside(place: Place) -> None:
    """No name needed in the tree; git's variables, as in a hook or rebase --exec, are no trap."""
    place.edit(SYSTEM, "stop();", "why();")
    place.fixup("gdbstub: say why")
    place.run("save", cwd=place.tree / "gdbstub", GIT_DIR="/nowhere", GIT_INDEX_FILE="/nothing")
    assert "why();" in place.patch(REASON)
    place.run("up", cwd=place.tree)


def test_default_tree(place: Place) -> None:
    assert str(place.cache / "qemu") in place.run("up").splitlines()
    place.run("save")


# ---- what a patch may do -----------------------------------------------


def change_lines(place: Place) -> None:
    place.edit(STUB, "packet_third(int arg)\n{\n", "packet_third(int arg)\n{\n    x();\n")


def change_repeated(place: Place) -> None:
    lines = ["    0,\n"] * 60
    lines[30] = "    1,\n"
    place.write("hw/ppc/table.h", "".join(lines))


def change_top_and_bottom(place: Place) -> None:
    place.edit("target/ppc/kvm.c", "#include <kvm.h>", "#include <first.h>\n#include <kvm.h>")
    place.edit("target/ppc/kvm.c", "    return 39;\n}\n\n", "    return 39;\n}\n\n/* end */\n")


def change_no_newline(place: Place) -> None:
    place.write("docs/no-newline.txt", "one\nthree")


def add_newline(place: Place) -> None:
    place.write("docs/no-newline.txt", "one\ntwo\n")


def remove_newline(place: Place) -> None:
    place.write("docs/index.rst", "Title\n=====")


def fill_empty(place: Place) -> None:
    place.write("stubs/empty.c", "int a;\n")


def empty_file(place: Place) -> None:
    place.write("docs/index.rst", "")


def change_bytes(place: Place) -> None:
    place.write("hw/ppc/latin.c", "/* \udce9t\udce9\r\x0c */\nint b;\r\n")


def change_mode(place: Place) -> None:
    (place.tree / "docs/index.rst").chmod(0o755)


def change_mode_and_lines(place: Place) -> None:
    place.write("scripts/run.sh", "#!/bin/sh\n# more\n")


def add_files(place: Place) -> None:
    place.write("tests/unit/test-new.c", "int main;")
    place.write("include/accel/new.h", "")
    place.write("hw/ppc/blob.bin", "\0\x01")


def remove_file(place: Place) -> None:
    (place.tree / STUB).unlink()


def rename_file(place: Place) -> None:
    place.git("mv", "target/ppc/kvm.c", "target/ppc/kvm-all.c")
    place.edit("target/ppc/kvm-all.c", "return 30;", "return 31;")


def lines_like_headers(place: Place) -> None:
    place.edit(STUB, "packet_third(int arg)\n{\n", "packet_third(int arg)\n{\n"
               "-- a/x\n++ b/x\n@@ -1 +1 @@\ndiff --git a/x b/x\n")
    place.commit("gdbstub: more", "gdbstub/before.patch")
    place.edit(STUB, "-- a/x\n++ b/x\n", "")


def file_becomes_folder(place: Place) -> None:
    (place.tree / "gdbstub/meson.build").unlink()
    place.write("gdbstub/meson.build/x.h", "")


CHANGES = [change_lines, change_repeated, change_top_and_bottom, change_no_newline, add_newline,
           remove_newline, fill_empty, empty_file, change_bytes, change_mode,
           change_mode_and_lines, add_files, remove_file, rename_file, file_becomes_folder,
           lines_like_headers]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_change(place: Place, change: Callable[[Place], None]) -> None:
    """Saved, made again from nothing: the same to the bit; and no more of QEMU than needed."""
    change(place)
    place.commit("gdbstub: a change", "gdbstub/a-change.patch")
    place.run("save", place.tree)
    place.run("up", "again")
    again = place.root / "again"
    assert place.git("rev-parse", "HEAD^{tree}", cwd=again) == place.git("rev-parse", "HEAD^{tree}")
    assert place.git("status", "--porcelain", cwd=again) == ""
    before = place.digest()
    place.run("save", again)
    assert place.digest() == before


def test_others_source_is_not_stored(place: Place) -> None:
    """Neither of a file that goes nor of one that moves."""
    remove_file(place)
    rename_file(place)
    place.commit("target/ppc: tidy", "target/ppc/tidy.patch")
    place.run("save", place.tree)
    text = place.patch("target/ppc/tidy.patch")
    assert "packet_" not in text and text.count("kvm_") < 6
    assert not (place.repo / "target/ppc/kvm-all.c").exists()


@pytest.mark.parametrize("tool", ["git apply", "patch -p1 -s -f --no-backup-if-mismatch -i"])
def test_other_tools_take_the_patches(place: Place, tool: str) -> None:
    """What scripts/qemu writes without line numbers, git apply and patch put where it belongs."""
    if not shutil.which(tool.split()[0]):
        pytest.fail(f"no {tool.split()[0]} here")
    for number, change in enumerate((change_lines, change_repeated, change_top_and_bottom,
                                     change_no_newline, fill_empty, change_bytes)):
        change(place)
        place.commit(f"gdbstub: change {number}", f"gdbstub/change-{number}.patch")
    place.run("save", place.tree)
    work = place.root / "work"
    shutil.copytree(place.root / "src/qemu-11.1.1", work, symlinks=True)
    for name in place.series().split():
        if name.endswith(".patch"):
            subprocess.run([*tool.split(), str(place.repo / name)], cwd=work, check=True,
                           env=place.env(GIT_CEILING_DIRECTORIES=str(place.root),
                                         GIT_CONFIG_GLOBAL="/dev/null"))
    for path in (SYSTEM, STUB, "hw/ppc/table.h", "target/ppc/kvm.c",
                 "docs/no-newline.txt", "stubs/empty.c", "hw/ppc/latin.c"):
        assert (work / path).read_bytes() == (place.tree / path).read_bytes(), path


# ---- editing -----------------------------------------------------------


def test_fixup_changes_one_file(place: Place) -> None:
    """Lines that an early patch gets do not change the patches behind it."""
    place.edit(SYSTEM, "    stop();\n", "    stop();\n    why();\n    because();\n")
    place.fixup("gdbstub: say why")
    said = place.run("save", place.tree)
    assert said.splitlines()[0] == "gdbstub/stop-reason.patch"
    assert "; 1 files changed" in said


def test_edit_of_an_added_file(place: Place) -> None:
    place.edit("accel/guest-debug/step.c", "void", "int")
    place.fixup("accel: add steps")
    assert place.run("save", place.tree).splitlines()[0] == "accel/guest-debug/step.c"


def test_reorder_move_drop_rename(place: Place) -> None:
    place.todo("3{h;d};4G")
    place.git("commit", "-q", "--amend", "-m", "gdbstub: why\n\nPatch-file: gdbstub/why.patch\n"
              "Part: features\n")
    place.run("save", place.tree)
    assert place.series().endswith("gdbstub/range-step.patch\ngdbstub/why.patch\n")
    assert not (place.repo / REASON).exists()
    assert place.patch("gdbstub/why.patch").startswith("gdbstub: why\n---\n")
    place.todo("/accel: add steps/d")
    said = place.run("save", place.tree)
    assert "accel/guest-debug/step.c (removed)" in said
    assert not (place.repo / "accel").exists()
    assert (place.repo / "tests/unit/own.c").exists()


def test_new_part(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: more", "gdbstub/more.patch", "more")
    assert "part more has no title" in place.run("save", place.tree)
    place.edit("series", "[more]", "[more] gdbstub: yet more", place.repo)
    place.run("up", place.tree)
    place.run("save", place.tree)
    assert place.series().endswith("\n[more] gdbstub: yet more\ngdbstub/more.patch\n")


def test_squash_of_two_patches(place: Place) -> None:
    place.todo("4s/^pick/squash/")
    said = place.refused("save", place.tree)
    assert f"has the names {REASON} and {RANGE}: git commit" in said
    place.git("commit", "-q", "--amend", "-m", "gdbstub: both\n\nPatch-file: gdbstub/both.patch\n"
              "Part: features\n")
    place.run("save", place.tree)
    assert place.series().endswith("step.patch\n\n[features] gdbstub: more\ngdbstub/both.patch\n")


def test_sign_off_behind_the_trailers(place: Place) -> None:
    place.git("commit", "-q", "--amend", "-s", "--no-edit")
    place.run("save", place.tree)
    assert place.patch(RANGE).startswith(
        "gdbstub: range stepping\n\nBecause.\n\nSigned-off-by: A User <user@example.org>\n---\n")


def test_same_name_twice_in_a_message(place: Place) -> None:
    """As `git rebase -i` has it from a squash! that repeats the message."""
    text = place.git("show", "-s", "--format=%B")
    place.git("commit", "-q", "--amend", "-m", text + "\n\n" + text)
    place.run("save", place.tree)


# ---- refusals of save --------------------------------------------------


def unnamed(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: no name")


def no_part(place: Place) -> None:
    change_lines(place)
    place.git("commit", "-qam", "gdbstub: x\n\nPatch-file: gdbstub/x.patch")


def two_parts(place: Place) -> None:
    change_lines(place)
    place.git("commit", "-qam", "gdbstub: x\n\nPatch-file: gdbstub/x.patch\nPart: a\nPart: b")


def bad_part(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x", "gdbstub/x.patch", "a b")


def duplicate(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: again", RANGE)


def elsewhere(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x", "scripts/x.patch")


def no_such_folder(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x", "nothing/x.patch")


def top_level(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x", "x.patch")


def outside(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x", "gdbstub/../../x.patch")


def fixup_left(place: Place) -> None:
    change_lines(place)
    place.git("commit", "-qa", "--fixup", "HEAD")


def squash_left(place: Place) -> None:
    change_lines(place)
    place.git("commit", "-qa", "--squash", "HEAD")


def edits_added(place: Place) -> None:
    place.edit("accel/guest-debug/step.c", "void", "int")
    place.commit("accel: x", "accel/x.patch")


def moves_added(place: Place) -> None:
    place.git("mv", "accel/guest-debug/step.c", "accel/guest-debug/other.c")
    place.commit("accel: x", "accel/x.patch")


def merge(place: Place) -> None:
    place.git("checkout", "-q", "-b", "side", "HEAD~1")
    change_top_and_bottom(place)
    place.commit("target/ppc: x", "target/ppc/x.patch")
    place.git("checkout", "-q", "series")
    place.git("merge", "-q", "side")


def part_split(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x", "gdbstub/x.patch", "fixes")


def uncommitted(place: Place) -> None:
    change_lines(place)


def staged(place: Place) -> None:
    change_lines(place)
    place.git("add", "-A")


def untracked(place: Place) -> None:
    place.write("gdbstub/forgotten.c", "")


def conflict(place: Place) -> None:
    place.edit(SYSTEM, "range();", "other();")
    place.git("commit", "-qam", "gdbstub: x")
    place.git("rebase", "-q", "--onto", "HEAD~2", "HEAD~1", fails=True)


def stopped_rebase(place: Place) -> None:
    place.git("rebase", "-q", "-i", GIT_SEQUENCE_EDITOR="sed -i 4s/^pick/edit/")


def empty(place: Place) -> None:
    place.commit("gdbstub: x", "gdbstub/x.patch", "features", "--allow-empty")


def ended_message(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x\n\n---\nnot for the log", "gdbstub/x.patch")


def adds_in_message(place: Place) -> None:
    change_lines(place)
    place.commit("gdbstub: x\n\nAdds: nothing", "gdbstub/x.patch")


def link(place: Place) -> None:
    (place.tree / "gdbstub/link.c").symlink_to("system.c")
    place.commit("gdbstub: x", "gdbstub/x.patch")


def strange_path(place: Place) -> None:
    place.write("gdbstub/a b.c", "")
    place.commit("gdbstub: x", "gdbstub/x.patch")


def own_file(place: Place) -> None:
    place.write("README.md", "theirs\n")
    place.commit("docs: x", "docs/x.patch")


def popped(place: Place) -> None:
    """As stgit leaves it."""
    place.git("update-ref", "refs/patches/series/range-stepping", "HEAD")
    place.git("update-ref", "refs/patches/series/say-why", "HEAD~1")
    place.git("reset", "-q", "--hard", "HEAD~1")


def off_base(place: Place) -> None:
    place.git("checkout", "-q", "--orphan", "alone")
    place.commit("all: new", "gdbstub/x.patch")


REFUSED = [
    (unnamed, '"gdbstub: no name" has no name: git commit --amend --trailer'),
    (no_part, "is in no part: git commit --amend"), (two_parts, "is in 2 parts: git commit"),
    (bad_part, "'a b' cannot be the name of a part: "),
    (duplicate, "are both gdbstub/range-step.patch: git rebase -i"),
    (elsewhere, "scripts/x.patch is in no folder that mirrors one of QEMU's: put it"),
    (no_such_folder, "nothing/x.patch is in no folder that mirrors one of QEMU's: put it"),
    (top_level, "'x.patch' cannot be the name of a patch: "),
    (outside, "'gdbstub/../../x.patch' cannot be the name of a patch: "),
    (fixup_left, "waits to be squashed: git rebase -i --autosquash"),
    (squash_left, "waits to be squashed: git rebase -i --autosquash"),
    (edits_added, "changes accel/guest-debug/step.c, which commit"),
    (moves_added, "changes accel/guest-debug/step.c, which commit"),
    (merge, "is a merge: "), (part_split, "is of part fixes, behind patches of features: "),
    (uncommitted, "changes that are in no commit (gdbstub/gdbstub.c): git commit"),
    (staged, "changes that are in no commit (gdbstub/gdbstub.c): git commit"),
    (untracked, "changes that are in no commit (gdbstub/forgotten.c): git commit"),
    (conflict, "has files with conflicts: resolve them"),
    (stopped_rebase, "is not ended: git rebase --continue or --abort"),
    (empty, "changes nothing: git rebase -i: drop it"),
    (ended_message, "the message has a line '---', which would end it: "),
    (adds_in_message, "the message has a line 'Adds: nothing', which would end it: "),
    (link, "gdbstub/link.c is a link or a submodule: "),
    (strange_path, "changes 'gdbstub/a b.c': "),
    (own_file, "a commit adds README.md, which is another file in this repository: "),
    (popped, "has patches that are not applied (range-stepping): stg push -a"),
    (off_base, "do not stand on the base"),
]


@pytest.mark.parametrize("make, said", REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_save_refuses(place: Place, make: Callable[[Place], None], said: str) -> None:
    make(place)
    assert said in place.refused("save", place.tree)


def test_save_names_all_problems(place: Place) -> None:
    unnamed(place)
    place.edit("accel/guest-debug/step.c", "void", "int")
    place.commit("accel: x", "accel/x.patch")
    said = place.refused("save", place.tree)
    assert "has no name" in said and "which commit" in said and len(said.splitlines()) == 2


def test_ignored_files_are_ignored(place: Place) -> None:
    """By QEMU's list and by the user's own."""
    place.write("x.log", "")
    place.write("notes.mine", "")
    place.run("save", place.tree)


def test_save_into_a_changed_repository(place: Place) -> None:
    place.edit(REASON, "Because.", "Because of that.", place.repo)
    place.edit(SYSTEM, "stop();", "why();")
    place.fixup("gdbstub: say why")
    assert "is not the one that the tree came from: git stash" in place.refused("save", place.tree)
    place.run("save", "--force", place.tree)
    assert "Because." in place.patch(REASON)


def test_save_of_any_git_tree(place: Place) -> None:
    """One that `up` did not make, as when a series is brought here."""
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", place.tree, place.root / "clone"],
                   env=place.env(GIT_CONFIG_GLOBAL="/dev/null"), check=True)
    clone = place.root / "clone"
    assert "is not a tree that `qemu up` made: " in place.refused("save", clone)
    assert "has no commit v1: " in place.refused("save", clone, "--base", "v1")
    before = place.digest()
    place.run("save", clone, "--base", "base")
    assert place.digest() == before


# ---- up ----------------------------------------------------------------


def times(directory: Path) -> dict[str, int]:
    return {str(file.relative_to(directory)): file.stat().st_mtime_ns
            for file in directory.rglob("*") if file.is_file() and ".git/" not in str(file)}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


@pytest.mark.parametrize("for_build", [False, True])
def test_up_touches_what_changed(place: Place, for_build: bool) -> None:
    tree = place.build_tree if for_build else place.root / "other"
    up = ("up", "--for-build") if for_build else ("up", tree)
    place.run(*up)
    assert (tree / ".git").exists() != for_build
    before = times(tree)
    place.edit(RANGE, "range();", "ranges();", place.repo)
    place.edit("accel/guest-debug/step.c", "void", "int", place.repo)
    place.run(*up)
    assert changed(before, times(tree)) == {"gdbstub/system.c", "accel/guest-debug/step.c"}
    assert "ranges();" in (tree / SYSTEM).read_text()
    before = times(tree)
    assert "0 files changed" in place.run(*up)
    assert changed(before, times(tree)) == set()


def test_hunks_by_hand(place: Place) -> None:
    """A patch may be edited: counts in headers need not be right, nor empty lines have a space."""
    more = "+    more();\n" * 2
    place.edit(RANGE, "+    range();\n", "+    range();\n" + more, place.repo)
    place.edit(RANGE, "\n \n", "\n\n", place.repo)
    place.run("up", place.tree)
    assert (place.tree / SYSTEM).read_text().count("more();") == 2
    place.run("save", place.tree)
    assert "\n \n" in place.patch(RANGE)


@pytest.mark.parametrize("make, said", [
    (uncommitted, "changes that are in no commit"), (unnamed, "has commits that are not saved: "),
    (stopped_rebase, "a rebase in"), (conflict, "has files with conflicts: ")],
    ids=lambda value: getattr(value, "__name__", ""))
def test_up_keeps_the_users_work(place: Place, make: Callable[[Place], None], said: str) -> None:
    make(place)
    before = times(place.tree)
    assert said in place.refused("up", place.tree)
    assert times(place.tree) == before


def test_up_on_another_branch(place: Place) -> None:
    place.git("checkout", "-q", "-b", "mine")
    said = place.refused("up", place.tree)
    assert "is on another branch than series: git checkout series" in said


def test_up_force(place: Place) -> None:
    unnamed(place)
    place.edit(SYSTEM, "stop();", "why();")
    place.run("up", "--force", place.tree)
    assert place.git("status", "--porcelain") == ""
    assert place.git("log", "-1", "--format=%s") == "gdbstub: range stepping"
    assert "stop();" in (place.tree / SYSTEM).read_text()


def test_up_keeps_an_untracked_file(place: Place) -> None:
    """One that the user's list of ignored files hides, and that the series is to have."""
    place.write("gdbstub/x.mine", "the user's\n")
    place.write("gdbstub/x.mine", "ours\n", place.repo)
    place.edit(RANGE, "Because.\n", "Because.\n\nAdds: gdbstub/x.mine\n", place.repo)
    assert "cannot move" in place.refused("up", place.tree)
    assert (place.tree / "gdbstub/x.mine").read_text() == "the user's\n"


def test_up_somewhere_else(place: Place) -> None:
    place.write("something/there", "")
    place.write("something/there", "", place.root)
    assert "is there already, and not by `qemu up`" in place.refused("up", "something")


def test_build_tree_is_not_for_edits(place: Place) -> None:
    place.run("up", "--for-build")
    place.edit(SYSTEM, "stop();", "why();", place.build_tree)
    said = place.refused("up", "--for-build")
    assert "/gdbstub/system.c was edited, in the build's own tree: " in said
    (place.build_tree / SYSTEM).unlink()
    place.run("up", "--for-build")
    assert "stop();" in (place.build_tree / SYSTEM).read_text()


def test_build_tree_of_a_killed_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left with some files moved, the index locked: the next run ends it."""
    place.run("up", "--for-build")
    place.edit(RANGE, "range();", "ranges();", place.repo)

    def killed(tree: trees.BuildTree, *_: str) -> None:
        place.edit(SYSTEM, "range();", "ranges", place.build_tree)
        place.write("work/tree-11.1.1.index.lock", "", place.cache)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trees.BuildTree, "move", killed)
        assert place.run("up", "--for-build", fails=130) == ""
    place.edit(RANGE, "ranges();", "range();", place.repo)
    before = times(place.build_tree)
    place.run("up", "--for-build")
    assert changed(before, times(place.build_tree)) == {SYSTEM}
    assert "range();" in (place.build_tree / SYSTEM).read_text()
    place.edit(SYSTEM, "stop();", "why();", place.build_tree)
    place.refused("up", "--for-build")


def test_another_release_of_the_same_series(place: Place) -> None:
    """get-qemu may have to take one; what it is, is said, and it does not pass for the base."""
    shutil.rmtree(place.cache)
    (place.root / "src/qemu-11.1.1").rename(place.root / "src/qemu-11.1.3")
    place.write("qemu-11.1.3/VERSION", "11.1.3\n", place.root / "src")
    place.edit("scripts/get-qemu", "version=11.1.1", "version=11.1.3", place.repo)
    assert "QEMU 11.1.3 stands in for 11.1.1" in place.run("up", "new")
    assert (place.root / "new/VERSION").read_text() == "11.1.3\n"
    (place.root / "src/qemu-11.1.3").rename(place.root / "src/qemu-11.1.1")
    place.write("qemu-11.1.1/VERSION", "11.1.1\n", place.root / "src")
    place.edit("scripts/get-qemu", "version=11.1.3", "version=11.1.1", place.repo)
    place.run("up", "newer")
    assert (place.root / "newer/VERSION").read_text() == "11.1.1\n"
    place.write("qemu-11.1.1/VERSION", "11.0.1\n", place.root / "src")
    shutil.rmtree(place.cache)
    assert "is QEMU 11.0.1, the series is for 11.1.1: " in place.refused("up", "newest")


def spoil(name: str, old: str, new: str) -> Callable[[Place], None]:
    return lambda place: place.edit(name, old, new, place.repo)


@pytest.mark.parametrize("break_it, said", [
    (spoil(RANGE, "---\ndiff", "---\nDiff"), "range-step.patch:5: not the beginning of a change: "),
    (spoil(RANGE, "-static int packet_first", "-static int no_such_name"),
     "range-step.patch:8: this hunk's lines are not in gdbstub/gdbstub.c (line 1 is nearest): "),
    (spoil(RANGE, " \n static int handle_fourth(int arg)\n {\n+", " {\n+"),
     "range-step.patch:17: this hunk's lines are in 4 places of gdbstub/system.c: "),
    (spoil(RANGE, "+    range();\n", ""), "this hunk changes nothing: "),
    (spoil(RANGE, "+    range();\n", "    range();\n+    more();\n"),
     "range-step.patch:17: this hunk's lines are not in gdbstub/system.c"),
    (spoil(RANGE, "+    range();\n", "*    range();\n"), "this line is not of a hunk: "),
    (spoil(RANGE, "diff --git a/gdbstub/system.c", "@@ -2,2 +2,1 @@\n"
           "-static int packet_first(int arg)\n {\ndiff --git a/gdbstub/system.c"),
     f"{RANGE}:14: this hunk of {STUB} is not behind the one before it: "),
    (spoil(RANGE, "@@ -2,6", "@@ 2,6"), "not the header of a hunk: "),
    (spoil(RANGE, "\n---\n", "\n"), "no '---' line behind the message: "),
    (spoil(RANGE, "gdbstub: range stepping\n\nBecause.\n", ""), "range-step.patch:1: no message: "),
    (spoil(RANGE, "--- a/gdbstub/gdbstub.c", "new file mode 100644"),
     "adds gdbstub/gdbstub.c by a hunk"),
    (spoil(RANGE, "diff --git a/gdbstub/gdbstub.c b/gdbstub/gdbstub.c", "diff --git a/no.c b/no.c"),
     "changes no.c, which QEMU has not: "),
    (spoil(STEP, "Adds: accel/guest-debug/step.c", "Adds: accel/no.c"),
     "adds accel/no.c, which is not a file"),
    (spoil(STEP, "Adds: accel/guest-debug/step.c", "Adds: ../x"), "'Adds: ../x' is no path: "),
    (spoil(STEP, "Adds: accel/guest-debug/step.c\n", ""),
     "no patch of the series has accel/guest-debug/step.c: write 'Adds: "),
    (spoil("series", "gdbstub/range-step.patch\n", ""),
     "no patch of the series has gdbstub/range-step"),
    (spoil("series", "range-step", "no-such"),
     "series names gdbstub/no-such.patch, which is not there: "),
    (spoil("series", RANGE, REASON), "is there twice: "),
    (spoil("series", "[features]", "[Features!]"), "'Features!' cannot be the name of a part: "),
    (spoil("series", "[fixes] target/ppc: fixes\n", ""), "seven.patch is in no part: "),
    (spoil("base", "version", "revision"), "base:1: 'revision 11.1.1': "),
    (spoil("base", "version 11.1.1\n", ""), "base has no line 'version': "),
    (lambda place: (place.repo / "base").unlink(), "no file base in"),
    (lambda place: (place.repo / "series").unlink(), "no file series in"),
], ids=lambda value: "" if callable(value) else value[:40])
def test_files_that_are_wrong(place: Place, break_it: Callable[[Place], None], said: str) -> None:
    """Said with the file and the line; no tree is left half-made."""
    break_it(place)
    assert said in place.refused("up", "new")
    assert not (place.root / "new").exists()


def test_no_source(place: Place) -> None:
    shutil.rmtree(place.cache)
    shutil.rmtree(place.root / "src")
    said = place.refused("up", "new")
    assert "get-qemu: 404" in said and "scripts/get-qemu has no source of QEMU" in said


def test_cache_that_cannot_be_written(place: Place) -> None:
    place.write("file", "", place.root)
    said = place.refused("up", "new", QGD_CACHE=str(place.root / "file" / "cache"))
    assert "cannot write" in said


# ---- a clone of the user's, a source of the user's ---------------------


def make_clone(place: Place, version: str = "11.1.1") -> Path:
    """Stands for a clone of QEMU's repository."""
    clone = place.root / "clone"
    if not clone.exists():
        clone.mkdir()
        place.git("init", "-q", "--template=", cwd=clone)
        for hook in ("post-checkout", "reference-transaction", "post-index-change"):
            place.write(f".git/hooks/{hook}", "#!/bin/sh\ntouch ../hook-ran\nexit 1\n",
                        clone, 0o755)
        place.git("config", "core.autocrlf", "true", cwd=clone)
        place.git("config", "diff.noprefix", "true", cwd=clone)
    (clone / "docs/link").unlink(missing_ok=True)
    shutil.copytree(place.root / "src" / f"qemu-{version}", clone, symlinks=True,
                    dirs_exist_ok=True)
    place.git("add", "-A", cwd=clone)
    place.git("commit", "-q", "-m", f"Update version for v{version}", cwd=clone)
    place.git("tag", "-a", "-m", version, f"v{version}", cwd=clone)
    return clone


def test_work_tree_of_a_clone(place: Place) -> None:
    clone = make_clone(place)
    tree = place.root / "new"
    place.run("up", "--from", clone, tree)
    tagged = place.git("rev-parse", "v11.1.1^{}", cwd=clone)
    assert place.git("rev-parse", "series~4", cwd=tree) == tagged
    assert "ahead of" in place.git("status", cwd=tree)
    before = place.digest()
    place.run("save", tree)
    place.run("up", tree)
    assert place.digest() == before
    assert not place.git("for-each-ref", "refs/qemu", cwd=clone)
    assert not (place.root / "hook-ran").exists()
    assert b"\r" not in (tree / SYSTEM).read_bytes()
    assert "has a branch series already: " in place.refused("up", "--from", clone, "third")
    place.run("up", "--from", clone, "--branch", "third", "third")
    place.git("tag", "-d", "v11.1.1", cwd=clone)
    assert "has no tag v11.1.1: git -C" in place.refused("up", "--from", clone, "fourth")


def test_source_of_the_users(place: Place) -> None:
    mine = place.root / "mine"
    shutil.copytree(place.root / "src/qemu-11.1.1", mine, symlinks=True)
    place.edit("gdbstub/meson.build", "gdbstub.c", "mine.c", mine)
    place.run("up", "--from", mine, "new")
    assert "mine.c" in (place.root / "new/gdbstub/meson.build").read_text()
    place.write("VERSION", "10.0.0\n", mine)
    said = place.refused("up", "--from", mine, "newer")
    assert "is QEMU 10.0.0, the series is for 11.1.1: " in said
    assert "is not QEMU's source: " in place.refused("up", "--from", place.repo, "newer")
    assert "no directory" in place.refused("up", "--from", "nowhere", "newer")


# ---- rebase ------------------------------------------------------------


def test_rebase(place: Place) -> None:
    """A file that moved, one that grew; the new base is pinned."""
    source = make_source(place.root, "11.2.0", **{"target/ppc/kvm.c": "/* more */\n" * 9 + KVM_C,
                                                  "gdbstub/stub.c": SYSTEM_C + "/* moved */\n"})
    (source / SYSTEM).unlink()
    place.run("rebase", "11.2.0", cwd=place.tree)
    sha256 = hashlib.sha256(b"archive of 11.2.0\n").hexdigest()
    assert (place.repo / "base").read_text() == (
        f"version 11.2.0\narchive {ARCHIVE.format('11.2.0')}\nsha256 {sha256}\n")
    assert "diff --git a/gdbstub/stub.c b/gdbstub/stub.c" in place.patch(RANGE)
    assert place.git("show", "base:VERSION") == "11.2.0"
    before = place.digest()
    place.run("up", place.tree)
    place.run("save", place.tree)
    place.run("up", "new")
    assert place.digest() == before
    assert place.head() == place.head(place.root / "new")


@pytest.mark.parametrize("by_git", [False, True])
def test_rebase_with_a_conflict(place: Place, by_git: bool) -> None:
    theirs = SYSTEM_C.replace("handle_fourth(int arg)\n{\n    int ret = 0;\n",
                              "handle_fourth(int arg)\n{\n    long ret;\n")
    make_source(place.root, "11.2.0", **{"gdbstub/system.c": theirs})
    said = place.refused("rebase", "11.2.0", place.tree)
    assert "stopped at a conflict: resolve it in" in said and "CONFLICT" in said
    assert "a rebase in" in place.refused("save", place.tree)
    assert "a rebase in" in place.refused("up", place.tree)
    assert "a rebase in" in place.refused("up", "--force", place.tree)
    assert "a rebase in" in place.refused("rebase", "11.2.0", place.tree)
    assert "stopped at a conflict" in place.refused("rebase", "--continue", place.tree)
    ours = theirs.replace("    long ret;\n", "    range();\n    long ret;\n")
    place.write(SYSTEM, ours)
    place.git("add", "-A")
    if by_git:
        place.git("rebase", "--continue")
    place.run("rebase", "--continue", place.tree)
    assert "version 11.2.0\n" in (place.repo / "base").read_text()
    assert " long ret;" in place.patch(RANGE).replace("    ", " ")
    assert place.git("log", "-1", "--format=%cn") == "A User"
    assert "no rebase has begun" in place.refused("rebase", "--continue", place.tree)


@pytest.mark.parametrize("by_git", [False, True])
def test_rebase_given_up(place: Place, by_git: bool) -> None:
    make_source(place.root, "11.2.0", **{"gdbstub/system.c": "/* new */\n"})
    head = place.head()
    place.refused("rebase", "11.2.0", place.tree)
    if by_git:
        place.git("rebase", "--abort")
        assert "was given up: begin it again" in place.refused("rebase", "--continue", place.tree)
    else:
        place.run("rebase", "--abort", place.tree)
    assert place.head() == head
    before = place.digest()
    place.run("save", place.tree)
    assert place.digest() == before


def test_rebase_drops_what_is_upstream(place: Place) -> None:
    theirs = KVM_C.replace("return 7;", "return 77;")
    source = make_source(place.root, "11.2.0", **{"target/ppc/kvm.c": theirs})
    said = place.run("rebase", source, place.tree)
    assert "target/ppc/seven.patch (removed)" in said and "base names no archive now" in said
    assert "seven" not in place.series()


def test_rebase_in_a_clone(place: Place) -> None:
    clone = make_clone(place)
    tree = place.root / "new"
    place.run("up", "--from", clone, tree)
    make_source(place.root, "11.2.0", **{"target/ppc/kvm.c": "/* more */\n" + KVM_C})
    make_clone(place, "11.2.0")
    assert "has no tag v11.3.0" in place.refused("rebase", "11.3.0", tree)
    place.run("rebase", "11.2.0", tree)
    tagged = place.git("rev-parse", "v11.2.0^{}", cwd=clone)
    assert place.git("rev-parse", "series~4", cwd=tree) == tagged


def test_rebase_wants_a_tree_that_can_be_saved(place: Place) -> None:
    make_source(place.root, "11.2.0")
    assert "onto which QEMU?" in place.refused("rebase", cwd=place.tree)
    assert "has no source of QEMU" in place.refused("rebase", "11.3.0", place.tree)
    unnamed(place)
    assert "has no name" in place.refused("rebase", "11.2.0", place.tree)


# ---- mail --------------------------------------------------------------


def test_export_and_am(place: Place) -> None:
    place.run("export", "-o", "out", "--", "--rfc", "-v2")
    assert sorted(path.name for path in (place.root / "out").rglob("*.patch")) == [
        "v2-0000-cover-letter.patch", "v2-0000-cover-letter.patch",
        "v2-0001-gdbstub-say-why.patch", "v2-0001-target-ppc-kvm-seven.patch",
        "v2-0002-accel-add-steps.patch", "v2-0002-gdbstub-range-stepping.patch"]
    tree = place.root / "pristine"
    shutil.copytree(place.root / "src/qemu-11.1.1", tree, symlinks=True)
    place.git("init", "-q", "--template=", cwd=tree)
    place.git("add", "-A", "-f", cwd=tree)
    place.git("commit", "-qm", "base", cwd=tree)
    for part in ("fixes", "features"):
        patches = sorted(map(str, (place.root / "out" / part).glob("v2-*[!r].patch")))
        place.git("am", "-q", *patches, cwd=tree)
    assert place.git("rev-parse", "HEAD^{tree}", cwd=tree) == place.git("rev-parse", "HEAD^{tree}")
    assert place.git("show", "-s", "--format=%an %B", "HEAD~3", cwd=tree) == (
        "A User target/ppc: kvm: seven\n\nIt was wrong.\n\nFixes: 1234567890 (\"seven\")\n"
        "Signed-off-by: A User <user@example.org>")


def test_cover_letters(place: Place) -> None:
    place.run("export", "-o", "out")
    first, second = ((place.root / "out" / part / "0000-cover-letter.patch").read_text()
                     for part in ("fixes", "features"))
    assert "Subject: [PATCH 0/2] target/ppc: fixes\n" in first
    assert "\nWhat fixes is.\n\nThis applies to QEMU 11.1.1.\n" in first
    assert "Subject: [PATCH 0/2] gdbstub: more\n" in second
    assert "QEMU 11.1.1 with these, in this order:\n - target/ppc: fixes\n" in second
    assert "Part:" not in first + second and "Patch-file:" not in first + second


def test_export_of_a_part(place: Place) -> None:
    place.run("export", "features", "-o", "out")
    assert [path.name for path in (place.root / "out").iterdir()] == ["features"]
    assert "no part 'none': the parts are: fixes features" in place.refused("export", "none")


def test_export_from_a_clone(place: Place) -> None:
    clone = make_clone(place)
    place.run("export", "features", "-o", "out", "--from", clone)
    cover = (place.root / "out/features/0000-cover-letter.patch").read_text()
    assert "base-commit: " + place.git("rev-parse", "v11.1.1^{}", cwd=clone) in cover
    assert cover.count("prerequisite-patch-id: ") == 2


def test_export_refuses(place: Place) -> None:
    place.run("export", "-o", "out")
    place.run("export", "-o", "out")
    place.edit(RANGE, "gdbstub: range stepping", "gdbstub: step ranges", place.repo)
    said = place.refused("export", "-o", "out")
    assert "has patches of an earlier export (0002-gdbstub-range" in said
    (place.repo / "about/cover/features").unlink()
    said = place.refused("export")
    assert "part features has no cover letter: write about/cover/features" in said
    assert "git does not know who signs off: git config" in place.refused(
        "export", GIT_CONFIG_GLOBAL="/dev/null")


def test_check(place: Place) -> None:
    said = place.run("check", GIT_CONFIG_GLOBAL="/dev/null")
    assert said.splitlines()[-14:-1] == [
        "ok     up; save changes nothing",
        "ok     target/ppc/seven.patch: git am", "ok     target/ppc/seven.patch: checkpatch",
        "ok     accel/guest-debug/step.patch: git am",
        "ok     accel/guest-debug/step.patch: checkpatch",
        "ok     fixes: as mailed, it gives the tree that `up` gives",
        "ok     fixes: trace events have names of their own",
        "ok     gdbstub/stop-reason.patch: git am", "ok     gdbstub/stop-reason.patch: checkpatch",
        "ok     gdbstub/range-step.patch: git am", "ok     gdbstub/range-step.patch: checkpatch",
        "ok     features: as mailed, it gives the tree that `up` gives",
        "ok     features: trace events have names of their own"]
    assert said.splitlines()[-1] == "13 passed, 0 failed"
    assert place.run("check", "features").splitlines()[-1] == "7 passed, 0 failed"


def test_check_fails(place: Place) -> None:
    place.edit(RANGE, "range();", "BAD();", place.repo)
    place.edit(REASON, "-2,", "-3,", place.repo)
    said = place.run("check", fails=1)
    assert "FAILED gdbstub/range-step.patch: checkpatch" in said
    assert "FAILED up; save changes nothing\n       gdbstub/stop-reason.patch\n" in said
    assert said.splitlines()[-1] == "11 passed, 2 failed"


def test_check_trace_events(place: Place) -> None:
    """Two targets that have an event of one name do not link, where both are linked."""
    place.edit("target/arm/trace-events", "# kvm.c\n", "# kvm.c\nkvm_exit(int cpu) \"\"\n")
    place.commit("target/arm: trace exits", "target/arm/exits.patch")
    place.run("save", place.tree)
    said = place.run("check", fails=1)
    assert "FAILED features: trace events have names of their own\n       kvm_exit\n" in said
    assert "ok     fixes: trace events have names of their own" in said


def test_check_builds(place: Place) -> None:
    """Each commit, in its own state, for what it touches."""
    place.edit("gdbstub/meson.build", "files", "# one\nfiles")
    place.commit("gdbstub: one", "gdbstub/one.patch")
    place.edit("docs/index.rst", "Title", "Titles")
    place.commit("docs: one", "docs/one.patch")
    place.run("save", place.tree)
    place.run("check", "--build")
    ppc = ["lab", "tcg", "check-tcg"]
    everything = ["lab", "lab-arm64", "check-x86", "tcg", "check-tcg"]
    log = (place.root / "build-qemu.log").read_text().splitlines()
    assert log == ([f"{name} 1 --no-warnings" for name in ppc + 3 * everything]
                   + [f"{name} 2 --no-warnings" for name in everything])
    place.write("breaks", "check-x86\n", place.root)
    said = place.run("check", "features", "--build", fails=1)
    assert "FAILED gdbstub/one.patch: builds (check-x86)" in said
    assert "ok     gdbstub/one.patch: builds (tcg)" in said


# ---- patch files by themselves -----------------------------------------


def edit_of(before: bytes, after: bytes) -> list[patchfile.Edit]:
    """One edit: what is between the lines that both begin and end with."""
    old, new = patchfile.split(before), patchfile.split(after)
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    return [patchfile.Edit(range(first, len(old) - last), range(first, len(new) - last))]


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_every_small_edit(size: int) -> None:
    """Of a file with few different lines, any line changed, removed, or put in: what is
    written applies, and in that one place."""
    lines = [b"a\n", b"b\n", b"a\n", b"a\n", b"b\n", b"a\n", b"a\n", b"b\n", b"a\n"][:size]
    for end in (b"", b"a", b"c"):
        before = b"".join(lines) + end
        for at in range(size + 1):
            for new in (lines[:at] + [b"a\n"] + lines[at:], lines[:at] + lines[at + 1:],
                        lines[:at] + [b"x\n"] + lines[at + 1:]):
                after = b"".join(new) + end
                if after == before:
                    continue
                change = patchfile.Change(0, "f.c", "f.c", None, ())
                text = patchfile.patch_text("s\n", [], [patchfile.change_text(
                    change, "100644", edit_of(before, after), before, after)])
                patch = patchfile.parse("p.patch", text)
                assert patchfile.applied(patch, patch.changes[0], before) == after, text


@pytest.mark.parametrize("message", [
    "s\n", "s\n\nbody\n", "s\n\nbody\n\nFixes: x\n", "s\n\nFixes: x\n",
    "s\n\nbody: of\nmore than\n", "s\n\nBody\nhas: a colon\n"])
def test_messages_and_trailers(message: str, tmp_path: Path) -> None:
    tied = patchfile.tied(message, "a/b.patch", "p")
    assert patchfile.untied(tied) == (message, ["a/b.patch"], ["p"])
    for adds in ([], ["a/c.c", "a/d.c"]):
        patch = patchfile.parse("a/b.patch", patchfile.patch_text(message, adds, []))
        assert (patch.message, list(patch.adds)) == (message, adds)
    done = subprocess.run(["git", "interpret-trailers", "--parse"], input=tied, text=True,
                          cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.endswith("Patch-file: a/b.patch\nPart: p\n")
