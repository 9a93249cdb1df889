# SPDX-License-Identifier: GPL-2.0-or-later
"""A small signed Debian archive, and a server for it that can fail."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import socketserver
import subprocess
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

ARCH = "arm64"


class Key:
    """A key of its own; `public` is for signed-by."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.public = home / "public.gpg"
        home.chmod(0o700)
        self._gpg("--passphrase", "", "--quick-gen-key", "test <test@example.org>",
                  "ed25519", "sign", "never")
        self.public.write_bytes(self._gpg("--export"))

    def _gpg(self, *arguments: str, text: bytes = b"") -> bytes:
        return subprocess.run(
            ["gpg", "--batch", "--quiet", "--homedir", self.home, *arguments],
            input=text, stdout=subprocess.PIPE, check=True).stdout

    def sign(self, text: str) -> bytes:
        return self._gpg("--clearsign", text=text.encode())

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=True)


@dataclass
class Suite:
    packages: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


def _sums(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


class Mirror:
    """`add` packages to suites, `publish` them, `serve`; `root` is what is served."""

    def __init__(self, root: Path, key: Key) -> None:
        self.root, self.key = root, key
        self.suites: dict[str, Suite] = {}
        self.cut: set[str] = set()              # files that break off in the middle
        self.asked: list[str] = []              # what was asked for
        root.mkdir()
        mirror = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=root)

            def do_GET(self) -> None:
                mirror.asked.append(Path(self.path).name)
                if Path(self.path).name not in mirror.cut:
                    return super().do_GET()
                data = (root / self.path.lstrip("/")).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:len(data) // 2])
                return None

            def log_message(self, *_: object) -> None:
                pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """From now on nobody answers."""
        self.server.shutdown()
        self.server.server_close()

    def add(self, suite: str, name: str, *, depends: str = "", version: str = "1",
            files: dict[str, bytes] | None = None) -> Path:
        """A package with `files` (default: one that tells name and suite)."""
        tree = self.root.parent / "package"
        for path, data in (files or {f"usr/share/{name}": suite.encode()}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        control = (f"Package: {name}\nVersion: {version}\nArchitecture: {ARCH}\n"
                   "Maintainer: test <test@example.org>\nDescription: test\n"
                   + (f"Depends: {depends}\n" if depends else ""))
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(control)
        deb = self.root / f"pool/main/{suite}/{name}_{version}_{ARCH}.deb"
        deb.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, deb],
                       stdout=subprocess.DEVNULL, check=True)
        shutil.rmtree(tree)
        size, digest = _sums(deb)
        self.suites.setdefault(suite, Suite()).packages.append(
            control + f"Filename: {deb.relative_to(self.root)}\n"
            f"Size: {size}\nSHA256: {digest}\n")
        return deb

    def add_source(self, suite: str, name: str, version: str, archive: Path) -> None:
        """A source package of `archive`, which is in the pool."""
        dsc = archive.parent / f"{name}_{version}.dsc"
        dsc.write_text(f"Source: {name}\n")
        lines = "".join(f" {digest} {size} {path.name}\n" for path in (archive, dsc)
                        for size, digest in [_sums(path)])
        self.suites.setdefault(suite, Suite()).sources.append(
            f"Package: {name}\nBinary: {name}\nVersion: {version}\nArchitecture: any\n"
            f"Format: 3.0 (quilt)\nDirectory: {archive.parent.relative_to(self.root)}\n"
            f"Checksums-Sha256:\n{lines}")

    def publish(self, suite: str, *, key: Key | None = None,
                valid_for: timedelta = timedelta(days=7)) -> None:
        what = self.suites.setdefault(suite, Suite())
        top = self.root / "dists" / suite
        sums = ""
        for name, stanzas in ((f"main/binary-{ARCH}/Packages", what.packages),
                              ("main/source/Sources", what.sources)):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text("\n".join(stanzas))
            size, digest = _sums(top / name)
            sums += f" {digest} {size} {name}\n"
        now = datetime.now(timezone.utc)
        dates = {"Date": now - timedelta(days=30), "Valid-Until": now + valid_for}
        release = (f"Origin: test\nSuite: {suite}\nCodename: {suite}\n"
                   f"Architectures: {ARCH}\nComponents: main\n"
                   + "".join(f"{name}: {format_datetime(date, usegmt=True)}\n"
                             for name, date in dates.items())
                   + f"SHA256:\n{sums}")
        (top / "InRelease").write_bytes((key or self.key).sign(release))


@dataclass
class Result:
    status: int
    paths: list[Path]           # the lines of stdout
    said: str                   # stderr


class Scripts:
    """Run scripts of `repo` on a machine whose apt knows `mirror` only."""

    def __init__(self, home: Path, mirror: Mirror, repo: Path, tiers: str) -> None:
        self.repo, self.cache, self.tiers = repo, home / "cache", home / "tiers"
        self.tiers.write_text(tiers)
        sources = home / "sources.list"
        # "stable": whatever this machine's own release is called
        sources.write_text(f"deb [signed-by={mirror.key.public}] {mirror.uri} stable main\n")
        config = home / "apt.conf"
        config.write_text(f'Dir::Etc::sourcelist "{sources}";\n'
                          'Dir::Etc::sourceparts "/dev/null";\n'
                          'Acquire::Retries "0";\n')
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "APT_CONFIG": str(config),
            "QGD_CACHE": str(self.cache), "QGD_TIERS": str(self.tiers)}

    def run(self, name: str, *arguments: str) -> Result:
        done = subprocess.run(
            [self.repo / "scripts" / name, *arguments],
            env=self.environment, capture_output=True, text=True, check=False, timeout=120)
        return Result(done.returncode, [Path(line) for line in done.stdout.splitlines()],
                      done.stderr)
