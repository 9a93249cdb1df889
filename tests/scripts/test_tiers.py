# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/buildroot on mirrors that are broken in one way each."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from mirror import ARCH, Key, Mirror, Scripts

REPO = Path(__file__).resolve().parents[2]
TIERS = f"""
suites one two
tier devel-{ARCH}
how unpack
packages libx-dev
tier tool-{ARCH}
how unpack
packages tool
tier guest-{ARCH}
how guest
packages linux-image-{ARCH} busybox-static
"""
DEVEL, TOOL, GUEST = (f"{name}-{ARCH}" for name in ("devel", "tool", "guest"))


@pytest.fixture(name="scripts")
def _scripts(tmp_path: Path, mirror: Mirror) -> Scripts:
    return Scripts(tmp_path, mirror, REPO, TIERS)


def add_all(mirror: Mirror, *suites: str) -> None:
    for suite in suites:
        mirror.add(suite, "libx")
        mirror.add(suite, "libx-dev", depends="libx")
        mirror.add(suite, "tool")
        mirror.publish(suite)


def line_with(said: str, *words: str) -> str:
    """The one line that has all of `words`."""
    lines = [line for line in said.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, said
    return lines[0]


def want_more(scripts: Scripts, tier: str, package: str) -> None:
    """From now on `tier` has `package`, too, and has to be made again."""
    text = scripts.tiers.read_text()
    scripts.tiers.write_text(text.replace(f"tier {tier}\n", f"tier {tier}\npackages {package}\n"))


def test_first_suite(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one", "two")
    done = scripts.run("buildroot", DEVEL, TOOL)
    assert done.status == 0, done.said
    assert [path.name.rsplit("-", 1)[0] for path in done.paths] == [DEVEL, TOOL]
    assert (done.paths[0] / "usr/share/libx").read_text() == "one"
    assert (done.paths[0] / "usr/share/libx-dev").read_text() == "one"
    assert (done.paths[0] / ".tier").read_text().startswith("suite one\n")
    # what is there is not made again
    mirror.asked.clear()
    again = scripts.run("buildroot", DEVEL, TOOL)
    assert (again.paths, again.said, mirror.asked) == (done.paths, "", [])


def test_exactly_that_suite(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one", "two")
    done = scripts.run("buildroot", f"{TOOL}@two", TOOL)
    assert [(path / "usr/share/tool").read_text() for path in done.paths] == ["two", "one"]


def test_404_is_named_and_the_next_suite_serves(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one", "two")
    (mirror.root / f"pool/main/one/libx_1_{ARCH}.deb").unlink()
    done = scripts.run("buildroot", DEVEL, TOOL)
    assert done.status == 0, done.said
    line_with(done.said, DEVEL, "one", "404 to libx;", "trying two")
    assert "network" not in done.said
    # all of the tier is of one suite, and the other tier lost nothing
    assert (done.paths[0] / "usr/share/libx-dev").read_text() == "two"
    assert (done.paths[0] / "usr/share/libx").read_text() == "two"
    assert (done.paths[1] / "usr/share/tool").read_text() == "one"


def test_missing_suite(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "two")
    done = scripts.run("buildroot", TOOL)
    assert (done.paths[0] / "usr/share/tool").read_text() == "two"
    line_with(done.said, TOOL, "one", "404", "Release file", "trying two")


def test_expired_release(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one")
    mirror.publish("one", valid_for=timedelta(days=-3))
    done = scripts.run("buildroot", TOOL)
    assert done.status == 0, done.said
    line_with(done.said, "one", "past its Valid-Until")


@pytest.mark.parametrize("days", [7, -3])
def test_bad_signature(mirror: Mirror, scripts: Scripts, keys: tuple[Key, Key],
                       days: int) -> None:
    """Refused, be it expired as well."""
    add_all(mirror, "one", "two")
    mirror.publish("one", key=keys[1], valid_for=timedelta(days=days))
    done = scripts.run("buildroot", TOOL)
    line_with(done.said, "one", "signature", "not valid", "trying two")
    assert (done.paths[0] / "usr/share/tool").read_text() == "two"


def test_changed_list(mirror: Mirror, scripts: Scripts) -> None:
    """A list that the signed Release does not vouch for."""
    add_all(mirror, "one")
    packages = mirror.root / f"dists/one/main/binary-{ARCH}/Packages"
    packages.write_text(packages.read_text().replace("Version: 1", "Version: 2"))
    done = scripts.run("buildroot", TOOL)
    assert (done.status, done.paths) == (1, []), done.said


def test_changed_package(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one")
    deb = mirror.root / f"pool/main/one/tool_1_{ARCH}.deb"
    deb.write_bytes(deb.read_bytes().replace(b"one", b"eno"))
    done = scripts.run("buildroot", TOOL)
    assert (done.status, done.paths) == (1, []), done.said


def test_changed_package_in_the_cache(mirror: Mirror, scripts: Scripts) -> None:
    """Fetched again, not used."""
    add_all(mirror, "one")
    tier = scripts.run("buildroot", TOOL).paths[0]
    shutil.rmtree(tier)
    deb = scripts.cache / f"archives/tool_1_{ARCH}.deb"
    deb.write_bytes(deb.read_bytes().replace(b"one", b"eno"))
    assert scripts.run("buildroot", TOOL).paths == [tier]
    assert (tier / "usr/share/tool").read_text() == "one"


def test_download_cut_off(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one")
    mirror.add("one", "extra", files={"usr/share/extra": bytes(1 << 20)})
    mirror.publish("one")
    old = scripts.run("buildroot", TOOL).paths[0]
    want_more(scripts, TOOL, "extra")
    mirror.cut.add(f"extra_1_{ARCH}.deb")
    done = scripts.run("buildroot", TOOL)
    assert (done.status, done.paths) == (1, [])
    line_with(done.said, TOOL, "CANNOT BE HAD")
    assert (old / "usr/share/tool").exists()
    assert sorted(scripts.cache.glob("tool-*")) == [old]
    # when the mirror works again, so does this
    mirror.cut.clear()
    new = scripts.run("buildroot", TOOL).paths[0]
    assert (new / "usr/share/extra").stat().st_size == 1 << 20
    assert sorted(scripts.cache.glob("tool-*")) == [new]


def test_full_disk(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one", "two")
    for suite in ("one", "two"):
        mirror.add(suite, "extra", files={"usr/share/extra": bytes(8 << 20)})
        mirror.publish(suite)
    more = scripts.tiers.with_name("more")
    more.write_text(scripts.tiers.read_text().replace("packages tool", "packages tool extra"))
    scripts.cache.mkdir()
    script = """
        set -u
        buildroot=$1 tier=$2 more=$3
        mount -t tmpfs -o size=4m none "$QGD_CACHE" || exit 99
        old=$("$buildroot" "$tier") || exit 98
        QGD_TIERS=$more "$buildroot" "$tier"
        status=$?
        cat "$old/usr/share/tool" && exit $status
    """
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, "--mount", "sh", "-c", script, "sh",
         REPO / "scripts/buildroot", TOOL, more],
        env=scripts.environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (1, "one"), done.stderr
    line_with(done.stderr, TOOL, "no space left in")
    # another suite takes no less
    assert "trying two" not in done.stderr


def test_not_enough_space(scripts: Scripts) -> None:
    scripts.tiers.write_text(TIERS.replace("how unpack", "how unpack\nspace 999999"))
    done = scripts.run("buildroot", TOOL)
    assert done.status == 1
    line_with(done.said, "GB free", "999999 GB needed")


def test_architecture_that_cannot_be_had(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one", "two")
    for suite in ("one", "two"):
        (mirror.root / f"pool/main/{suite}/libx_1_{ARCH}.deb").unlink()
    done = scripts.run("buildroot", DEVEL, TOOL)
    assert done.status == 1
    line_with(done.said, DEVEL, "CANNOT BE HAD")
    assert [path.name.rsplit("-", 1)[0] for path in done.paths] == [TOOL]


def test_package_that_is_in_no_list(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one", "two")
    want_more(scripts, TOOL, "nowhere")
    done = scripts.run("buildroot", TOOL)
    assert done.status == 1
    line_with(done.said, TOOL, "one", "nowhere", "trying two")


def test_kernel_that_is_in_no_list(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one", "two")
    kernel(mirror, suite="two", split=True)
    done = scripts.run("buildroot", GUEST)
    assert done.status == 0, done.said
    line_with(done.said, GUEST, "one", f"no kernel linux-image-{ARCH}", "trying two")


def test_second_build_needs_no_mirror(mirror: Mirror, scripts: Scripts) -> None:
    """Also where the first suite's packages never came."""
    add_all(mirror, "one", "two")
    (mirror.root / f"pool/main/one/libx_1_{ARCH}.deb").unlink()
    first = scripts.run("buildroot", DEVEL, TOOL)
    for path in first.paths:
        shutil.rmtree(path)
    mirror.stop()
    again = scripts.run("buildroot", DEVEL, TOOL)
    assert (again.status, again.paths) == (0, first.paths), again.said
    assert (again.paths[0] / "usr/share/libx").read_text() == "two"
    assert "using the lists that the cache has" in again.said


def test_local_mirror(mirror: Mirror, scripts: Scripts) -> None:
    """Packages of a file: mirror are copied into the cache, too."""
    add_all(mirror, "one")
    sources = scripts.tiers.with_name("sources.list")
    sources.write_text(sources.read_text().replace(mirror.uri, f"file:{mirror.root}"))
    tier = scripts.run("buildroot", TOOL).paths[0]
    shutil.rmtree(tier)
    shutil.rmtree(mirror.root)
    again = scripts.run("buildroot", TOOL)
    assert again.paths == [tier], again.said


def test_old_packages_are_forgotten(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one")
    scripts.run("buildroot", TOOL, DEVEL)
    mirror.suites.clear()
    mirror.add("one", "tool", version="2")
    mirror.publish("one")
    want_more(scripts, TOOL, "tool")
    scripts.run("buildroot", TOOL)
    assert sorted(path.name for path in scripts.cache.glob("archives/*.deb")) == [
        f"libx-dev_1_{ARCH}.deb", f"libx_1_{ARCH}.deb", f"tool_2_{ARCH}.deb"]


def kernel(mirror: Mirror, *, split: bool, suite: str = "one") -> None:
    """As Debian has it: one package, or since forky three."""
    image, binary, modules = (f"linux-{name}-7-{ARCH}" for name in ("image", "binary", "modules"))
    mirror.add(suite, f"linux-image-{ARCH}", depends=f"{image} (= 1)")
    module = {f"usr/lib/modules/7-{ARCH}/kernel/net.ko.xz": b"module"}
    if split:
        mirror.add(suite, image, depends=f"{binary} (= 1), {modules} (= 1), kmod")
        mirror.add(suite, binary, files={f"usr/lib/modules/7-{ARCH}/vmlinuz": b"MZ kernel"})
        mirror.add(suite, modules, files=module)
    else:
        mirror.add(suite, image, depends="kmod",
                   files=module | {f"boot/vmlinuz-7-{ARCH}": b"MZ kernel"})
    mirror.add(suite, "busybox-static", files={"usr/bin/busybox": b"shell"})
    mirror.publish(suite)


@pytest.mark.parametrize("split", [False, True])
def test_guest_kernel(mirror: Mirror, scripts: Scripts, split: bool) -> None:
    """Where lablib.KernelPackage looks; what the packages depend on is not fetched."""
    kernel(mirror, split=split)
    done = scripts.run("buildroot", GUEST)
    assert done.status == 0, done.said
    root = done.paths[0]
    assert (root / f"boot/vmlinuz-7-{ARCH}").read_bytes() == b"MZ kernel"
    assert (root / f"usr/lib/modules/7-{ARCH}/kernel/net.ko.xz").read_bytes() == b"module"
    assert (root / "usr/bin/busybox").read_bytes() == b"shell"


def test_guest_kernel_in_elf(mirror: Mirror, scripts: Scripts) -> None:
    kernel(mirror, split=True)
    image = {f"usr/lib/modules/8-{ARCH}/vmlinuz": b"\x7fELF kernel"}
    mirror.add("one", f"linux-image-{ARCH}", version="2", depends=f"linux-image-8-{ARCH}")
    mirror.add("one", f"linux-image-8-{ARCH}", files=image)
    mirror.publish("one")
    root = scripts.run("buildroot", GUEST).paths[0]
    assert [path.name for path in root.glob("boot/*")] == [f"vmlinux-8-{ARCH}"]


def test_what_a_killed_run_left(mirror: Mirror, scripts: Scripts) -> None:
    add_all(mirror, "one")
    tier = scripts.run("buildroot", TOOL).paths[0]
    tier.rename(f"{tier}.new")
    Path(f"{tier}.new", "junk").touch()
    assert scripts.run("buildroot", TOOL).paths == [tier]
    assert sorted(path.name for path in tier.iterdir()) == [".tier", "usr"]
    assert list(scripts.cache.glob("*.new")) == []


def test_no_network(mirror: Mirror, scripts: Scripts) -> None:
    mirror.stop()
    done = scripts.run("buildroot", TOOL)
    assert (done.status, done.paths) == (1, [])
    line_with(done.said, TOOL, "one", "connect", "trying two")
    assert "404" not in done.said


def test_unknown_tier(scripts: Scripts) -> None:
    done = scripts.run("buildroot", "nonsense")
    assert done.status == 1
    line_with(done.said, "no tier nonsense", TOOL)
