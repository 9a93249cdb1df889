# SPDX-License-Identifier: GPL-2.0-or-later
"""A small, strict client of the gdb remote serial protocol.

It checks what a debugger forgives: every packet's checksum, an ack for every
packet sent, no byte outside a packet, no reply that the request does not
allow.  See "Remote Protocol" in gdb's manual; section names are given below.
"""

from __future__ import annotations

import re
import socket
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Iterable, Self


# What QEMU before 11 calls registers that arm64 and AArch32 share: for it to be
# compared with a newer one
RENAMED = {"SCTLR": "SCTLR_EL1", "CPACR": "CPACR_EL1", "VBAR": "VBAR_EL1",
           "CNTKCTL": "CNTKCTL_EL1", "AMAIR0": "AMAIR_EL1"}
# x86's general registers have numbers in its instructions; what else the tests name
X86_NAMES = {name: f"r{n}" for n, name in enumerate(
    ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"))} | {"rip": "pc"}


class RspError(Exception):
    """The stub broke the protocol, or answered with an error."""


class RspTimeout(RspError):
    """No complete answer in time."""


@dataclass(frozen=True)
class Register:
    """One register of the target description."""

    name: str
    number: int
    size: int               # bytes
    group: str              # its <feature>, without "org.gnu.gdb." or such
    offset: int | None      # in the reply to `g`; None: only `p` gives it


@dataclass(frozen=True)
class Stop:
    """A stop reply (T, S, W or X)."""

    kind: str
    signal: int
    thread: str = ""
    details: tuple[tuple[str, str], ...] = ()
    raw: str = ""


def checksum(data: bytes) -> int:
    return sum(data) & 0xff


def escape(data: bytes) -> bytes:
    """Binary data: $, #, } and * become } and the byte ^ 0x20."""
    out = bytearray()
    for byte in data:
        out += bytes((0x7d, byte ^ 0x20)) if byte in b"$#}*" else bytes((byte,))
    return bytes(out)


def expand(data: bytes) -> bytes:
    """Undo escapes and run-length encoding ("Overview" of the protocol)."""
    out = bytearray()
    at = 0
    while at < len(data):
        byte = data[at]
        if byte == 0x7d:
            at += 1
            if at == len(data):
                raise RspError("escape at the end of a packet")
            out.append(data[at] ^ 0x20)
        elif byte == 0x2a:
            at += 1
            if not out or at == len(data) or data[at] < 32:
                raise RspError("malformed run length")
            out += out[-1:] * (data[at] - 29)
        else:
            out.append(byte)
        at += 1
    return bytes(out)


class Connection:
    """Packets over one TCP connection, with acks until `acks` is cleared."""

    def __init__(self, sock: socket.socket, timeout: float = 10.0) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.timeout = timeout
        self.pending = b""
        self.unacked = 0
        self.acks = True

    def _fill(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise RspTimeout("no answer in time")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            raise RspTimeout("no answer in time") from None
        if not data:
            raise RspError("the stub closed the connection")
        self.pending += data

    def _take_ack(self, deadline: float) -> None:
        if not self.pending:
            self._fill(deadline)
        if self.pending[:1] != b"+":
            raise RspError(f"no ack but {self.pending[:40]!r}")
        self.pending = self.pending[1:]

    def receive(self, timeout: float | None = None) -> bytes:
        """One packet's data, acked; run lengths and escapes expanded."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not self.pending:
            self._fill(deadline)
        if self.pending[:1] != b"$":
            raise RspError(f"outside of a packet: {self.pending[:40]!r}")
        while (end := self.pending.find(b"#")) < 0 or len(self.pending) < end + 3:
            self._fill(deadline)
        data = self.pending[1:end]
        given = self.pending[end + 1:end + 3]
        self.pending = self.pending[end + 3:]
        if int(given, 16) != checksum(data):
            raise RspError(f"checksum {given!r} of {data[:40]!r}")
        if self.acks:
            self.sock.sendall(b"+")
        return expand(data)

    def send(self, data: bytes | str) -> None:
        self.send_many([data])

    def send_many(self, packets: Iterable[bytes | str]) -> None:
        """Send packets at once; the replies still come one by one."""
        if self.pending:
            raise RspError(f"unasked: {self.pending[:40]!r}")
        raw = [p.encode() if isinstance(p, str) else p for p in packets]
        self.sock.sendall(b"".join(b"$%b#%02x" % (p, checksum(p)) for p in raw))
        self.unacked = len(raw) if self.acks else 0
        if self.unacked == 1:
            self.ack()

    def ack(self) -> None:
        self._take_ack(time.monotonic() + self.timeout)
        self.unacked -= 1


class Gdb:
    """A stub's client.  The constructor asks for features and registers."""

    FEATURES = "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=powerpc"

    def __init__(self, sock: socket.socket, timeout: float = 10.0) -> None:
        self.link = Connection(sock, timeout)
        self.timeout = timeout
        self.features = self._features(self.text(self.FEATURES))
        self.packet_size = int(self.features.get("PacketSize", "400"), 16)
        self.stop = self._stop(self.text("?"))
        self.registers: list[Register] = []
        if self.features.get("qXfer:features:read") == "+":
            self.registers = self._describe()
        # QEMU lists some twice (lr is in the core and in the spr feature).
        self.by_name: dict[str, Register] = {}
        for reg in self.registers:
            self.by_name.setdefault(reg.name, reg)
            # The tests call a general register so on any target
            if re.fullmatch("x[0-9]+", reg.name):
                self.by_name.setdefault("r" + reg.name[1:], reg)
            elif reg.name in X86_NAMES:
                self.by_name.setdefault(X86_NAMES[reg.name], reg)
        self.vcont = self.text("vCont?").split(";")[1:]

    @classmethod
    def connect(cls, port: int, host: str = "127.0.0.1", timeout: float = 10.0) -> Self:
        return cls(socket.create_connection((host, port), timeout), timeout)

    # Requests

    def request(self, data: bytes | str, timeout: float | None = None) -> bytes:
        self.link.send(data)
        return self.link.receive(timeout)

    def text(self, data: bytes | str, timeout: float | None = None) -> str:
        return self.request(data, timeout).decode("latin-1")

    def _ok(self, data: bytes | str) -> None:
        answer = self.text(data)
        if answer != "OK":
            shown = data if isinstance(data, str) else data.decode("latin-1")
            raise RspError(f"{shown[:60]}: {answer or 'not supported'!r}")

    @staticmethod
    def _hex(answer: bytes, what: str) -> bytes:
        try:
            return bytes.fromhex(answer.decode())
        except ValueError:
            raise RspError(f"{what}: {answer[:40]!r}") from None

    @staticmethod
    def _features(answer: str) -> dict[str, str]:
        features = {}
        for item in answer.split(";"):
            name, equals, value = item.partition("=")
            features[name if equals else item[:-1]] = value if equals else item[-1:]
        return features

    def start_no_ack(self) -> None:
        """QStartNoAckMode: the answer is the last thing that is acked."""
        self._ok("QStartNoAckMode")
        self.link.acks = False

    def transfer(self, name: str, annex: str) -> bytes:
        """qXfer:NAME:read ("General Query Packets")."""
        data = b""
        while True:
            answer = self.request(f"qXfer:{name}:read:{annex}:{len(data):x},"
                                  f"{self.packet_size - 8:x}")
            if answer[:1] not in (b"l", b"m"):
                raise RspError(f"qXfer:{name}:read:{annex}: {answer[:40]!r}")
            data += answer[1:]
            if answer[:1] == b"l":
                return data

    # Registers

    def _describe(self) -> list[Register]:
        """Name and lay out all registers ("Target Descriptions")."""
        found: list[tuple[int, str, int, str]] = []
        number = 0

        def feature(node: ElementTree.Element) -> None:
            nonlocal number
            group = node.get("name", "").rpartition(".")[2]
            for reg in node.iter("reg"):
                number = int(reg.get("regnum", number))
                found.append((number, RENAMED.get(reg.attrib["name"], reg.attrib["name"]),
                              int(reg.attrib["bitsize"]) // 8, group))
                number += 1

        def document(annex: str) -> None:
            # QEMU uses the prefix of XInclude without declaring it.
            text = self.transfer("features", annex).replace(b"xi:include", b"include")
            root = ElementTree.fromstring(text)
            if root.tag == "feature":
                feature(root)
                return
            for node in root:
                if node.tag == "feature":
                    feature(node)
                elif node.tag == "include":
                    document(node.attrib["href"])

        document("target.xml")
        total = len(self.read_g())
        offset = 0
        registers = []
        for number, name, size, group in sorted(found):
            inside = offset + size <= total
            registers.append(Register(name, number, size, group,
                                      offset if inside else None))
            offset = offset + size if inside else total
        return registers

    def read_g(self) -> bytes:
        return self._hex(self.request("g"), "g")

    def read_raw(self, numbers: Iterable[int]) -> list[bytes]:
        """`p` for many registers, sent together; one round trip."""
        wanted = list(numbers)
        values: list[bytes] = []
        for first in range(0, len(wanted), 64):
            part = wanted[first:first + 64]
            self.link.send_many(f"p{number:x}" for number in part)
            for number in part:
                if self.link.unacked:
                    self.link.ack()
                values.append(self._hex(self.link.receive(), f"p{number:x}"))
        return values

    def byteorder(self, g: bytes) -> str:
        """QEMU sends ppc registers in the guest's present byte order: MSR[LE]
        is the lowest bit of MSR's first byte then, and else its last one's."""
        if "msr" not in self.by_name:
            return "little"             # arm64's are never sent otherwise
        offset = self.by_name["msr"].offset
        assert offset is not None
        return "little" if g[offset] & 1 else "big"

    def read(self, names: Iterable[str] | None = None) -> dict[str, int]:
        """Registers as numbers, all of them by default."""
        wanted = ({name: self.by_name[name] for name in names} if names is not None
                  else {reg.name: reg for reg in self.registers})
        g = self.read_g()
        order = self.byteorder(g)
        single = [reg for reg in wanted.values() if reg.offset is None]
        apart = dict(zip((reg.name for reg in single),
                         self.read_raw(reg.number for reg in single)))
        for reg in single:
            if len(apart[reg.name]) != reg.size:
                raise RspError(f"p{reg.number:x}: {len(apart[reg.name])} bytes; {reg.name} "
                               f"has {reg.size}")
        values = {}
        for name, reg in wanted.items():
            raw = (apart[reg.name] if reg.offset is None
                   else g[reg.offset:reg.offset + reg.size])
            values[name] = int.from_bytes(raw, order)  # type: ignore[arg-type]
        return values

    def write(self, name: str, value: int) -> None:
        """Set one register with `P`."""
        reg = self.by_name[name]
        order = self.byteorder(self.read_g())
        raw = value.to_bytes(reg.size, order)  # type: ignore[arg-type]
        self._ok(f"P{reg.number:x}={raw.hex()}")

    # Memory and breakpoints

    def read_memory(self, address: int, length: int) -> bytes:
        data = b""
        chunk = min(1024, (self.packet_size - 8) // 2)
        while len(data) < length:
            size = min(chunk, length - len(data))
            answer = self.request(f"m{address + len(data):x},{size:x}")
            part = self._hex(answer, f"m{address + len(data):x}")
            if len(part) != size:
                raise RspError(f"m: {len(part)} of {size} bytes")
            data += part
        return data

    def raw_memory(self, address: int, length: int) -> bytes:
        """Guest physical memory as it is, by the monitor: `m` shows no trap.

        Both must be multiples of 8; the target is big-endian for the monitor."""
        data = b""
        for line in self.monitor(f"xp /{length // 8}xg {address:#x}").splitlines():
            place, colon, values = line.partition(": ")
            if colon:
                data += b"".join(int(value, 16).to_bytes(8, "big")
                                 for value in values.split())
        if len(data) != length:
            raise RspError(f"xp: {len(data)} of {length} bytes")
        return data

    def write_memory(self, address: int, data: bytes) -> None:
        self._ok(f"M{address:x},{len(data):x}:{data.hex()}")

    def insert(self, address: int, kind: int = 0, length: int = 4) -> None:
        """Z0 software, Z1 hardware, Z2 write, Z3 read, Z4 access."""
        self._ok(f"Z{kind},{address:x},{length:x}")

    def remove(self, address: int, kind: int = 0, length: int = 4) -> None:
        self._ok(f"z{kind},{address:x},{length:x}")

    # Running

    @staticmethod
    def _stop(answer: str) -> Stop:
        if answer[:1] not in ("T", "S", "W", "X"):
            raise RspError(f"no stop reply but {answer[:60]!r}")
        pairs = tuple((key, value) for key, colon, value in
                      (item.partition(":") for item in answer[3:].split(";")) if colon)
        return Stop(answer[0], int(answer[1:3], 16), dict(pairs).get("thread", ""),
                    pairs, answer)

    def wait(self, timeout: float | None = None) -> Stop:
        """The stop reply of what resume() started; O packets are skipped."""
        while True:
            answer = self.link.receive(timeout).decode("latin-1")
            if answer[:1] != "O" or answer == "OK":
                self.stop = self._stop(answer)
                return self.stop

    def resume(self, action: str) -> None:
        """Send a packet that lets the target run, such as `vCont;c`."""
        self.link.send(action)

    def cont(self, timeout: float | None = None) -> Stop:
        self.resume("vCont;c" if "c" in self.vcont else "c")
        return self.wait(timeout)

    def step(self, thread: str = "p1.1", timeout: float | None = None) -> Stop:
        """One instruction of one thread; the others stay stopped."""
        self.resume(f"vCont;s:{thread}" if "s" in self.vcont else "s")
        return self.wait(timeout)

    def interrupt(self, timeout: float | None = None) -> Stop:
        """^C, and the stop that it brings."""
        self.link.sock.sendall(b"\x03")
        return self.wait(timeout)

    def run_to(self, address: int, timeout: float | None = None, kind: int = 0) -> Stop:
        """Continue to a breakpoint of our own, a software one by default."""
        self.insert(address, kind)
        try:
            return self.cont(timeout)
        finally:
            self.remove(address, kind)

    def threads(self) -> list[str]:
        names: list[str] = []
        answer = self.text("qfThreadInfo")
        while answer[:1] == "m":
            names += answer[1:].split(",")
            answer = self.text("qsThreadInfo")
        if answer != "l":
            raise RspError(f"qsThreadInfo: {answer!r}")
        return names

    def select(self, thread: str) -> None:
        """The thread that registers are read from and written to."""
        self._ok(f"Hg{thread}")

    def monitor(self, command: str, timeout: float | None = None) -> str:
        """A command of QEMU's monitor (qRcmd); what it printed."""
        self.link.send(f"qRcmd,{command.encode().hex()}")
        text = b""
        while (answer := self.link.receive(timeout)) != b"OK":
            if answer[:1] != b"O":
                raise RspError(f"qRcmd: {answer[:40]!r}")
            text += self._hex(answer[1:], "qRcmd")
        return text.decode("utf-8", "replace")

    def detach(self) -> None:
        """Detach and close; the target runs on."""
        self._ok("D;1")
        self.link.sock.close()

    def close(self) -> None:
        """Close without a word, as a debugger that died."""
        self.link.sock.close()
