# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/get-qemu: the release that `base` pins, from the pool; or another."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import pytest

from mirror import Mirror, Scripts

REPO = Path(__file__).resolve().parents[2]
ARCHIVE = "qemu_9.8.1+ds.orig.tar.xz"


def archive(mirror: Mirror, name: str, version: str) -> Path:
    path = mirror.root / "pool/main/q/qemu" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:xz") as tar:
        info = tarfile.TarInfo(f"qemu-{version}+ds/VERSION")
        info.size = len(version)
        tar.addfile(info, io.BytesIO(version.encode()))
    return path


@pytest.fixture(name="scripts")
def _scripts(tmp_path: Path, mirror: Mirror) -> Scripts:
    repo = tmp_path / "repo"
    shutil.copytree(REPO / "scripts", repo / "scripts")
    pin(repo, archive(mirror, ARCHIVE, "9.8.1"))
    return Scripts(tmp_path, mirror, repo, "suites one\ntier tools\nhow root\n")


def pin(repo: Path, path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (repo / "base").write_text(f"version 9.8.1\narchive {path.name}\nsha256 {digest}\n")


def test_from_the_pool(mirror: Mirror, scripts: Scripts) -> None:
    """No list names it; a second time, nobody is asked."""
    done = scripts.run("get-qemu")
    assert done.status == 0, done.said
    assert (done.paths[0] / "VERSION").read_text() == "9.8.1"
    mirror.stop()
    shutil.rmtree(done.paths[0])
    assert scripts.run("get-qemu").paths == done.paths
    assert (done.paths[0] / "VERSION").read_text() == "9.8.1"


def test_a_sibling(mirror: Mirror, scripts: Scripts) -> None:
    """The pool has it no more: one of the same series, which a list has."""
    (mirror.root / "pool/main/q/qemu" / ARCHIVE).unlink()
    for version in ("9.7.5", "9.8.3", "9.9.0"):
        name = f"qemu_{version}+ds.orig.tar.xz"
        mirror.add_source("one", "qemu", f"1:{version}+ds-1", archive(mirror, name, version))
    mirror.publish("one")
    done = scripts.run("get-qemu")
    assert done.status == 0, done.said
    assert (done.paths[0] / "VERSION").read_text() == "9.8.3"
    assert "404" in done.said
    assert "using QEMU 9.8.3 instead of 9.8.1" in done.said


def test_listed_but_not_there(mirror: Mirror, scripts: Scripts) -> None:
    (mirror.root / "pool/main/q/qemu" / ARCHIVE).unlink()
    name = "qemu_9.8.3+ds.orig.tar.xz"
    mirror.add_source("one", "qemu", "1:9.8.3+ds-1", archive(mirror, name, "9.8.3"))
    mirror.publish("one")
    (mirror.root / "pool/main/q/qemu" / name).unlink()
    done = scripts.run("get-qemu")
    assert (done.status, done.paths) == (1, [])
    assert done.said.count("404 to") == 2
    assert "--tree DIR" in done.said.splitlines()[-1]


def test_another_archive_than_pinned(mirror: Mirror, scripts: Scripts) -> None:
    archive(mirror, ARCHIVE, "9.8.1-changed")
    done = scripts.run("get-qemu")
    assert (done.status, done.paths) == (1, [])
    assert "Hash Sum mismatch" in done.said


def test_a_version(mirror: Mirror, scripts: Scripts) -> None:
    """What a person wants to move the series to: that release, and none like it."""
    for version in ("9.7.5", "9.7.50", "9.8.3"):
        name = f"qemu_{version}+ds.orig.tar.xz"
        mirror.add_source("one", "qemu", f"1:{version}+ds-1", archive(mirror, name, version))
    mirror.publish("one")
    done = scripts.run("get-qemu", "--version", "9.7.5")
    assert done.status == 0, done.said
    assert (done.paths[0] / "VERSION").read_text() == "9.7.5"
    for other in ("9.7", "9.7.6", "9x7.5"):
        assert scripts.run("get-qemu", "--version", other).status != 0
