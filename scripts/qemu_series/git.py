# SPDX-License-Identifier: GPL-2.0-or-later
"""Git as a tool of ours: a known environment, and errors that say what to do."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Iterable

# Nothing of these may run or ask in what a command of ours does.
QUIET = {"core.hooksPath": "/dev/null", "commit.gpgSign": "false", "tag.gpgSign": "false",
         "core.fsmonitor": "false", "core.quotePath": "false", "core.autocrlf": "false",
         "core.attributesFile": "/dev/null", "advice.detachedHead": "false",
         "gc.autoDetach": "false"}
IDENTITY = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


class Refusal(Exception):
    """What the user is told, a line for each: (what failed, what to do)."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.lines = [(what, todo)]


class Refusals(Refusal):
    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        Exception.__init__(self, "several")
        self.lines = list(lines)


class GitError(Exception):
    """A git command failed; what it said last."""

    def __init__(self, directory: Path, command: str, said: str) -> None:
        lines = [line for line in said.splitlines() if line.strip()]
        self.said = next((line for line in lines if line.startswith(("error:", "fatal:"))),
                         lines[-1] if lines else "no message")
        super().__init__(f"git {command} in {directory}: {self.said}")


def user_env() -> dict[str, str]:
    """The user's, but for what would lead git to another repository."""
    keep = IDENTITY + ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
    return {name: value for name, value in os.environ.items()
            if not name.startswith("GIT_") or name in keep}


@functools.lru_cache(maxsize=None)
def safe_directories() -> tuple[str, ...]:
    """Whose repositories the user trusts: that setting is not ours to drop."""
    done = subprocess.run(["git", "config", "--get-all", "safe.directory"], cwd="/",
                          capture_output=True, check=False)
    return tuple(done.stdout.decode().splitlines())


def own_env(user: bool = False) -> dict[str, str]:
    """With user: the user's configuration too, but still none of their hooks."""
    env = user_env()
    if not user:
        env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
        env.pop("GIT_CONFIG_SYSTEM", None)
    settings = list(QUIET.items())
    if user:
        del settings[[name for name, _ in settings].index("core.attributesFile")]
    settings += [("safe.directory", value) for value in safe_directories()]
    env.update(GIT_CONFIG_COUNT=str(len(settings)), LC_ALL="C", GIT_TERMINAL_PROMPT="0")
    for number, (name, value) in enumerate(settings):
        env[f"GIT_CONFIG_KEY_{number}"] = name
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env


def identity(directory: Path) -> dict[str, str]:
    """The user's name and address there, as environment; empty if git does not know them."""
    found: dict[str, str] = {}
    for who in ("AUTHOR", "COMMITTER"):
        done = subprocess.run(["git", "-c", "user.useConfigOnly=true", "var", f"GIT_{who}_IDENT"],
                              cwd=directory, env=user_env(), capture_output=True, check=False)
        if done.returncode:
            return {}
        name, _, rest = done.stdout.decode().rpartition(" <")
        found[f"GIT_{who}_NAME"] = name
        found[f"GIT_{who}_EMAIL"] = rest.partition(">")[0]
    return found


class Git:
    """Git in one directory, which may be a repository's or a work tree's."""

    def __init__(self, directory: Path, extra: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.extra = extra or {}

    def run(self, *args: str, data: bytes | None = None, extra: dict[str, str] | None = None,
            user: bool = False) -> subprocess.CompletedProcess[bytes]:
        env = {**own_env(user), **self.extra, **(extra or {})}
        return subprocess.run(["git", *args], cwd=self.directory, env=env, capture_output=True,
                              input=data or b"", check=False)

    def __call__(self, *args: str, data: bytes | None = None,
                 extra: dict[str, str] | None = None, user: bool = False) -> bytes:
        done = self.run(*args, data=data, extra=extra, user=user)
        if done.returncode:
            raise GitError(self.directory, args[0], done.stderr.decode(errors="replace"))
        return done.stdout

    def text(self, *args: str, user: bool = False) -> str:
        return self(*args, user=user).decode().strip()

    def ok(self, *args: str) -> bool:
        return self.run(*args).returncode == 0

    def commit(self, name: str) -> str | None:
        """The full name of a commit, if there is one of that name."""
        done = self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return done.stdout.decode().strip() or None

    def path(self, name: str) -> Path:
        """A file of git's own, for this work tree."""
        return self.paths(name)[0]

    def paths(self, *names: str) -> list[Path]:
        args = [word for name in names for word in ("--git-path", name)]
        return [self.directory / line for line in self.text("rev-parse", *args).split("\n")]


class Objects:
    """Reads objects, many of them, by one process."""

    def __init__(self, git: Git) -> None:
        self.process = subprocess.Popen(
            ["git", "cat-file", "--batch"], cwd=git.directory, env={**own_env(), **git.extra},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def get(self, name: str) -> bytes:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(name.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            raise KeyError(name)
        data = self.process.stdout.read(int(answer[2]))
        self.process.stdout.read(1)
        return data


def tree_of(git: Git, commit: str) -> dict[str, tuple[str, str]]:
    """path: (mode, blob) of a commit."""
    files = {}
    for entry in git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        if entry:
            about, _, path = entry.partition(b"\t")
            mode, _, blob = about.decode().split(" ")
            files[os.fsdecode(path)] = (mode, blob)
    return files
