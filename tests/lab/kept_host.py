# SPDX-License-Identifier: GPL-2.0-or-later
"""A host (L1) that stays booted between runs: `lab up` keeps it; see Host.attach().

The keeper has the emulated machine and L1's control connection.  It listens on a UNIX
socket.  One client at a time gets a line of JSON (what it has to know of the host) and
the control connection itself, as a file descriptor.  The client has the host for as long
as it keeps the UNIX socket open.  However it ends, the keeper then drops the control
connection, so that L1's init starts a new shell, and ends what the client left running.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from lablib import Lab, LabError

PATH_MAX = 100                  # a UNIX socket's name has 107 bytes
BUSY = {"error": "another run has it"}


def keep(lab: Lab, path: Path, idle_limit: float) -> str:
    """Hand out the host of `lab` until nobody has asked for `idle_limit` seconds.

    Returns: why it is over.  Raises LabError if the host is lost.
    """
    with listening(path) as server:
        print(f"the host is up: --host {path} (until ^C, or {idle_limit:g} s without a run)",
              flush=True)
        deadline = time.monotonic() + idle_limit
        while time.monotonic() < deadline:
            lab.check_alive()
            if not select.select([server], [], [], 0.5)[0]:
                continue
            with server.accept()[0] as client:
                session(lab, server, client)
            lab.renew_shell()
            deadline = time.monotonic() + idle_limit
    return f"no run for {idle_limit:g} s"


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """The socket at `path`, which is there only while somebody listens."""
    if len(os.fsencode(path)) > PATH_MAX:
        raise LabError(f"{path}: a socket's name has {PATH_MAX} bytes at most; choose a "
                       "shorter one by --host")
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise LabError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX) as server:
        if answers(path):
            raise LabError(f"a host is up at {path} already")
        path.unlink(missing_ok=True)
        server.bind(os.fspath(path))
        try:
            server.listen()
            yield server
        finally:
            path.unlink(missing_ok=True)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True


def session(lab: Lab, server: socket.socket, client: socket.socket) -> None:
    """One client's, until it hangs up.  Others are told that the host is busy."""
    assert lab.shell is not None
    line = json.dumps(lab.description()).encode()
    with contextlib.suppress(OSError):
        socket.send_fds(client, [line], [lab.shell.sock.fileno()])
        while True:
            lab.check_alive()
            ready = select.select([server, client], [], [], 0.5)[0]
            if server in ready:
                with server.accept()[0] as other, contextlib.suppress(OSError):
                    other.sendall(json.dumps(BUSY).encode())
            if client in ready and not client.recv(1):
                return
