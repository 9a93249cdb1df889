#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of generated LoongArch instructions: seed and cell -> an ELF file.

    stream_loongarch64.py [--seed N] [--sections N] [--out DIR] CELL...

A cell names what a guest is, such as la464-paged-1cpu.  The same seed and cell always
give the same guest.  Everything that it does is defined by the LoongArch Reference
Manual, Volume 1, or is what an emulator does that both sides share, and nothing
depends on time.
"""

from __future__ import annotations

import itertools
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import generator
from generator import SECTIONS, Generator, assemble, table
from lablib import LOONG64

MODES = ("direct", "window", "paged")
IE, DA, PG = 4, 8, 0x10                                 # CRMD; PIE is IE's bit, too
TI = 1 << 11
HIGH = {"window": 0x9000000000000000, "paged": 0xffffff8000000000}
UNMAPPED = {"direct": 0, "window": 0xffffff8020000000, "paged": 0x20000000}
BEYOND = 0x5000000000000000                             # no address at all (ADEM)

# The area, as in stream-loongarch64.S
BUFFER, WIDE, LOCKS, POOL = 0x600, 0xa00, 0xe00, 0x2a00
UART_SCRATCH = 0x80000000_1fe001e7
MAILBOX = 0x1028                                        # of this vCPU, the second one

# Bits of r2, for rules_loongarch64.py
USER, ENABLED, UP = 1, 2, 4


@dataclass(frozen=True)
class Cell:
    """A guest."""

    mode: str = "paged"
    cpus: int = 1

    arch = LOONG64
    host = "loongarch64"
    cpu = "la464"
    machine = LOONG64.machine
    memory = "512M"
    fetches_early = False
    NAME = re.compile(rf"la464-({'|'.join(MODES)})-([124])cpu")

    @classmethod
    def parse(cls, name: str) -> Cell:
        found = cls.NAME.fullmatch(name)
        if not found:
            raise ValueError(f"'{name}' is no cell; such as la464-paged-1cpu")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"la464-{self.mode}-{self.cpus}cpu"

    def build(self, seed: int, out: Path, sections: int = SECTIONS) -> Path:
        """The ELF file of its guest."""
        return build_stream(self, seed, out, sections)


ALL_CELLS = [Cell(*cell) for cell in itertools.product(MODES, (1, 2, 4))]

# What instructions look like.  D and s are a destination and a source; f, c and V a
# floating-point, a condition flag and a vector register; uN and sN immediates of N bits,
# a14 one of 14 bits that counts words, field two that name bits.
INTEGER = """
add.w D,s,s; add.d D,s,s; sub.w D,s,s; sub.d D,s,s; slt D,s,s; sltu D,s,s; maskeqz D,s,s
masknez D,s,s; nor D,s,s; and D,s,s; or D,s,s; xor D,s,s; orn D,s,s; andn D,s,s; sll.w D,s,s
srl.w D,s,s; sra.w D,s,s; sll.d D,s,s; srl.d D,s,s; sra.d D,s,s; rotr.w D,s,s; rotr.d D,s,s
mul.w D,s,s; mulh.w D,s,s; mulh.wu D,s,s; mul.d D,s,s; mulh.d D,s,s; mulh.du D,s,s
mulw.d.w D,s,s; mulw.d.wu D,s,s; div.w D,s,s; mod.w D,s,s; div.wu D,s,s; mod.wu D,s,s
div.d D,s,s; mod.d D,s,s; div.du D,s,s; mod.du D,s,s; crc.w.b.w D,s,s; crc.w.h.w D,s,s
crc.w.w.w D,s,s; crc.w.d.w D,s,s; crcc.w.b.w D,s,s; crcc.w.h.w D,s,s; crcc.w.w.w D,s,s
crcc.w.d.w D,s,s; alsl.w D,s,s,p2; alsl.wu D,s,s,p2; alsl.d D,s,s,p2; bytepick.w D,s,s,u2
bytepick.d D,s,s,u3; clo.w D,s; clz.w D,s; cto.w D,s; ctz.w D,s; clo.d D,s; clz.d D,s
cto.d D,s; ctz.d D,s; revb.2h D,s; revb.4h D,s; revb.2w D,s; revb.d D,s; revh.2w D,s
revh.d D,s; bitrev.4b D,s; bitrev.8b D,s; bitrev.w D,s; bitrev.d D,s; ext.w.h D,s
ext.w.b D,s; slli.w D,s,u5; slli.d D,s,u6; srli.w D,s,u5; srli.d D,s,u6; srai.w D,s,u5
srai.d D,s,u6; rotri.w D,s,u5; rotri.d D,s,u6; bstrins.w D,s,field32; bstrins.d D,s,field64
bstrpick.w D,s,field32; bstrpick.d D,s,field64; slti D,s,s12; sltui D,s,s12; addi.w D,s,s12
addi.d D,s,s12; lu52i.d D,s,s12; andi D,s,u12; ori D,s,u12; xori D,s,u12; addu16i.d D,s,s16
lu12i.w D,s20; lu32i.d D,s20; pcaddi D,s20; pcalau12i D,s20; pcaddu12i D,s20
pcaddu18i D,s20
"""
FLOATING = "".join(f"""
fadd.{t} f,f,f; fsub.{t} f,f,f; fmul.{t} f,f,f; fdiv.{t} f,f,f; fmax.{t} f,f,f; fmin.{t} f,f,f
fmaxa.{t} f,f,f; fmina.{t} f,f,f; fmadd.{t} f,f,f,f; fmsub.{t} f,f,f,f; fnmadd.{t} f,f,f,f
fnmsub.{t} f,f,f,f; fabs.{t} f,f; fneg.{t} f,f; fsqrt.{t} f,f; frecip.{t} f,f
frsqrt.{t} f,f; fcopysign.{t} f,f,f; fscaleb.{t} f,f,f; flogb.{t} f,f; fclass.{t} f,f
fmov.{t} f,f; fcmp.ceq.{t} c,f,f; fcmp.slt.{t} c,f,f; fcmp.cule.{t} c,f,f; fcmp.sor.{t} c,f,f
fcmp.cun.{t} c,f,f; fcmp.cne.{t} c,f,f; ftint.w.{t} f,f; ftint.l.{t} f,f; ftintrm.w.{t} f,f
ftintrp.l.{t} f,f; ftintrz.w.{t} f,f; ftintrz.l.{t} f,f; ftintrne.l.{t} f,f; ffint.{t}.w f,f
ffint.{t}.l f,f; frint.{t} f,f
""" for t in "sd") + """
fsel f,f,f,c; fcvt.s.d f,f; fcvt.d.s f,f; movgr2fr.w f,s; movgr2fr.d f,s; movgr2frh.w f,s
movfr2gr.s D,f; movfr2gr.d D,f; movfrh2gr.s D,f; movfr2cf c,f; movcf2fr f,c; movgr2cf c,s
movcf2gr D,c; movfcsr2gr D,$fcsr0; movfcsr2gr D,$fcsr2
"""
VECTORS_SAME = {        # by the elements that they have
    "b h w d": """vadd vsub vsadd vssub vabsd vavg vavgr vmax vmin vmul vmuh vdiv vmod vmadd
        vmsub vsll vsrl vsra vrotr vsrlr vsrar vseq vsle vslt vpackev vpackod vpickev vpickod
        vilvl vilvh vbitclr vbitset vbitrev vsigncov""",
    "bu hu wu du": "vsadd vssub vabsd vavg vavgr vmax vmin vmuh vdiv vmod vsle vslt",
    "h.b w.h d.w h.bu w.hu d.wu": """vaddwev vaddwod vsubwev vsubwod vmulwev vmulwod vmaddwev
        vmaddwod""",
    "h.b w.h d.w hu.bu wu.hu du.wu": "vhaddw vhsubw",
    "s d": """vfadd vfsub vfmul vfdiv vfmax vfmin vfmaxa vfmina vfcmp.ceq vfcmp.slt vfcmp.cule
        vfcmp.cun""",
    "v": "vand vor vxor vnor vandn vorn",
    "b.h h.w w.d": "vssrln vssran vsrln vsran",
    "q": "vadd vsub",
}
VECTORS_TWO = {
    "b h w d": "vneg vclo vclz vpcnt vmskltz",
    "s d": "vfsqrt vfrecip vfrsqrt vfclass vflogb vfrint vfrintrm vfrintrz",
    "w.s l.d": "vftint vftintrz vftintrm", "s.w d.l": "vffint",
}
VECTORS_OTHER = """
vaddi.bu V,V,u5; vsubi.du V,V,u5; vslli.b V,V,u3; vslli.d V,V,u6; vsrli.h V,V,u4
vsrai.w V,V,u5; vrotri.d V,V,u6; vmaxi.b V,V,s5; vmini.hu V,V,u5; vseqi.w V,V,s5
vslei.d V,V,s5; vslti.bu V,V,u5; vbitclri.h V,V,u4; vbitseti.w V,V,u5; vbitrevi.b V,V,u3
vandi.b V,V,u8; vori.b V,V,u8; vxori.b V,V,u8; vnori.b V,V,u8; vbitseli.b V,V,u8
vbitsel.v V,V,V,V; vshuf.b V,V,V,V; vshuf.w V,V,V; vshuf4i.b V,V,u8; vshuf4i.d V,V,u8
vpermi.w V,V,u8; vextrins.h V,V,u8; vreplgr2vr.b V,s; vreplgr2vr.d V,s; vldi V,u8
vsllwil.h.b V,V,u3; vsllwil.du.wu V,V,u5; vsrlni.b.h V,V,u4; vssrani.h.w V,V,u5
vbsll.v V,V,u4; vbsrl.v V,V,u4; vfmadd.s V,V,V,V; vfnmsub.d V,V,V,V; vfcvt.h.s V,V,V
vfcvtl.d.s V,V; vexth.h.b V,V; vextl.q.d V,V; vfrstp.b V,V,V; vsetnez.v c,V
vsetanyeqz.b c,V; vsetallnez.w c,V
"""
NARROW = """
vinsgr2vr.b V,s,u4; vinsgr2vr.d V,s,u1; vpickve2gr.b D,V,u4; vpickve2gr.hu D,V,u3
vpickve2gr.d D,V,u1; vreplvei.h V,V,u3; vreplve.b V,V,s
"""
WIDER = """
xvinsgr2vr.w V,s,u3; xvpickve2gr.w D,V,u3; xvpickve2gr.du D,V,u2; xvreplve0.b V,V
xvinsve0.w V,V,u3; xvpickve.d V,V,u2; xvpermi.q V,V,u8; xvpermi.d V,V,u8; xvperm.w V,V,V
vext2xv.h.b V,V; xvreplve.d V,V,s
"""
# Bytes, then the instruction, by how it gives the address
DISPLACED = """
1 ld.b D; 2 ld.h D; 4 ld.w D; 8 ld.d D; 1 ld.bu D; 2 ld.hu D; 4 ld.wu D; 1 st.b s; 2 st.h s
4 st.w s; 8 st.d s; 8 ld.d D; 8 st.d s; 4 fld.s f; 8 fld.d f; 4 fst.s f; 8 fst.d f; 16 vld v
16 vst v; 32 xvld x; 32 xvst x
"""
INDEXED = """
1 ldx.b D; 2 ldx.h D; 4 ldx.w D; 8 ldx.d D; 1 ldx.bu D; 2 ldx.hu D; 4 ldx.wu D; 1 stx.b s
2 stx.h s; 4 stx.w s; 8 stx.d s; 4 fldx.s f; 8 fldx.d f; 4 fstx.s f; 8 fstx.d f; 16 vldx v
16 vstx v; 32 xvldx x; 32 xvstx x
"""
BOUND = """
1 ldgt.b D; 2 ldgt.h D; 4 ldgt.w D; 8 ldgt.d D; 1 ldle.b D; 8 ldle.d D; 1 stgt.b s; 8 stgt.d s
2 stle.h s; 4 stle.w s; 4 fldgt.s f; 8 fldle.d f; 8 fstgt.d f; 4 fstle.s f
"""
ATOMICS = ("amswap amadd amand amor amxor ammax ammin").split()

# The last two are jiscr0 and jiscr1 of LBT, which the emulated processor has not
ILLEGAL = (0xffffffff, 0x00000000, 0x2d000000, 0x3fffffff, 0x05000000, 0x48000200, 0x48000300)
# What is left out, as it is no business of a step or the two sides may differ:
#   hvcl: with TCG without LVZ no instruction, under KVM a call.
#   tlbrd, tlbwr, tlbclr, tlbflush by what TLBIDX says, and lddir, ldpte beside the
#     refill's: these depend on which refills there were, and which entry tlbfill took.
#   iocsrrd.w of a negative number, which TCG does not sign-extend.
#   CRMD.WE: by 7.4.1 and 7.4.2 an exception clears it and ertn restores it, by which KVM's
#     step goes; TCG does neither.
#   Enabled floating-point exceptions beside a few: their cause stays, and each
#     instruction raises one.
SAVES = tuple(f"SAVE0+{n}" for n in (4, 5, 6, 7))


def sized(text: str) -> list[tuple[int, str, str]]:
    """(bytes, mnemonic, kind of the register)."""
    return [(int(size), mnemonic, kind) for size, mnemonic, kind in
            (item.split() for item in re.split(r"[;\n]", text) if item.strip())]


def arranged(groups: dict[str, str], operands: int) -> list[tuple[str, list[str]]]:
    return [(f"{name}.{element}", ["V"] * operands) for elements, names in groups.items()
            for name, element in itertools.product(names.split(), elements.split())]


class Stream(Generator):
    """The generated part of a guest, as text for the assembler."""

    def __init__(self, cell: Cell, seed: int, timer: bool) -> None:
        super().__init__(f"{seed}/{cell}")
        self.cell = cell
        self.timer = timer
        self.mapped = cell.mode != "direct"
        self.user = False               # this section is at PLV3
        self.high = False               # it runs at HIGH
        self.vector = "vr"
        self.begun = False
        self.integer = table(INTEGER)
        self.floating = table(FLOATING)
        vectors = (arranged(VECTORS_SAME, 3) + arranged(VECTORS_TWO, 2)
                   + table(VECTORS_OTHER) * 2)
        self.narrow = vectors + table(NARROW) * 3
        self.wide = [("x" + name, kinds) for name, kinds in vectors
                     if not name.startswith(("vreplgr", "vset"))] + table(WIDER) * 3
        self.displaced, self.indexed, self.bound = (
            sized(text) for text in (DISPLACED, INDEXED, BOUND))

    # Small things

    def register(self, *but: int) -> int:
        """One that is free, and none of `but`."""
        return self.random.choice([n for n in range(1, 32) if n not in (2, 21, 22, *but)])

    def operand(self, kind: str) -> str:
        pick = self.random
        if kind == "D":
            return f"$r{0 if self.chance(0.03) else self.register()}"
        if kind == "s":
            return f"$r{pick.randrange(32)}"
        if kind in "fvxV":
            name = {"f": "f", "v": "vr", "x": "xr", "V": self.vector}[kind]
            return f"${name}{pick.randrange(32)}"
        if kind == "c":
            return f"$fcc{pick.randrange(8)}"
        if kind == "p2":
            return str(pick.randrange(1, 5))
        if kind.startswith("field"):
            high = pick.randrange(int(kind[5:]))
            return f"{high}, {pick.randrange(high + 1)}"
        return self.immediate(kind)

    def one(self, choice: list[tuple[str, list[str]]]) -> str:
        mnemonic, kinds = self.random.choice(choice)
        return f"{mnemonic} {', '.join(self.operand(kind) for kind in kinds)}"

    def filler(self) -> None:
        """Something short that leaves r23 and up alone."""
        register = self.random.randrange(4, 12)
        self.out(self.random.choice((
            f"addi.d $r{register}, $r{register}, {self.random.randrange(1, 99)}",
            f"xori $r{register}, $r{register}, {self.random.randrange(4096)}",
            f"mul.d $r{register}, $r{register}, $r{self.random.randrange(32)}")))

    def refresh(self) -> None:
        for _ in range(self.random.randrange(1, 4)):
            register = self.register()
            self.out(f"li.w $r{register}, {POOL + 8 * self.random.randrange(128)}",
                     f"ldx.d $r{register}, $r21, $r{register}")

    def rarely(self) -> bool:
        """At PLV3 it is but an exception: not worth the handler's steps each time."""
        return self.user and self.chance(0.8)

    def crmd(self, enabled: bool) -> int:
        return (PG if self.mapped else DA) | enabled * IE

    # What a guest consists of

    def do_integer(self) -> None:
        self.out(self.one(self.integer))

    def do_branch(self) -> None:
        self.random.choice((self.branch_ahead, self.branch_ahead, self.branch_back,
                            self.branch_register, self.branch_call, self.branch_loop))()

    def branch_to(self, target: str) -> str:
        one, two = self.operand("s"), self.operand("s")
        return self.random.choice((
            *(f"{name} {one}, {two}, {target}" for name in
              ("beq", "bne", "blt", "bge", "bltu", "bgeu")),
            f"beqz {one}, {target}", f"bnez {one}, {target}",
            f"bceqz {self.operand('c')}, {target}", f"bcnez {self.operand('c')}, {target}"))

    def branch_register(self) -> None:
        target = self.label()
        register = self.register()
        offset = 4 * self.random.randrange(-8, 8)
        self.out(f"la.pcrel $r{register}, {target}",
                 f"addi.d $r{register}, $r{register}, {-offset}",
                 f"jirl $r{self.random.choice((0, 1, register, self.register()))}, "
                 f"$r{register}, {offset}")
        self.skipped()
        self.out(f"{target}:")

    def branch_call(self) -> None:
        outer, inner, out = (self.label() for _ in "abc")
        self.out(f"bl {outer}", f"b {out}", f"{outer}:", "move $r23, $ra")
        self.skipped(2)
        self.out(f"bl {inner}", "move $ra, $r23", "ret", f"{inner}:")
        self.skipped(2)
        self.out("ret", f"{out}:")

    def branch_loop(self) -> None:
        top = self.label()
        self.out(f"li.w $r24, {self.random.randrange(1, 6)}", f"{top}:")
        for _ in range(self.random.randrange(1, 4)):
            self.filler()
        if self.chance(0.4):
            self.access(24)
        self.out("addi.d $r24, $r24, -1",
                 self.random.choice((f"bnez $r24, {top}", f"blt $zero, $r24, {top}")))

    def register_but(self, kind: str, *but: int) -> str:
        """An operand, and a source of these only."""
        while True:
            name = self.operand(kind)
            if kind != "D" or int(name[2:]) not in but:
                return name

    def middle(self) -> int:
        """The middle of an area: room for a displacement, aligned or not."""
        stray = 0 if self.chance(0.6) else self.random.randrange(16)
        return self.random.choice((BUFFER, WIDE)) + 0x180 + stray

    def at(self, register: int, offset: int) -> None:
        """The address of a place in the area."""
        if offset < 2048:
            self.out(f"addi.d $r{register}, $r21, {offset}")
        else:
            self.out(f"li.w $r{register}, {offset}", f"add.d $r{register}, $r{register}, $r21")

    def access(self, *but: int) -> None:
        """One load or store inside of the area; loads none of `but`."""
        base, index = self.random.sample(range(4, 20), 2)
        self.at(base, self.middle())
        if self.chance(0.6):
            size, mnemonic, kind = self.random.choice(self.displaced)
            where = f"$r{base}, {self.random.randrange(-0x100, 0x100)}"
        else:
            size, mnemonic, kind = self.random.choice(self.indexed)
            count = 0x80 // size
            self.out(f"li.w $r{index}, {size * self.random.randrange(-count, count)}")
            where = f"$r{base}, $r{index}"
        self.out(f"{mnemonic} {self.register_but(kind, base, index, *but)}, {where}")

    def do_memory(self) -> None:
        self.access()

    def do_special(self) -> None:
        """Displacements of words, bounds, prefetches, replicating loads, elements."""
        base = self.random.randrange(4, 20)
        kind = self.random.randrange(4)
        self.at(base, self.middle())
        if kind == 0:
            name, what = self.random.choice((("ldptr.w", "D"), ("ldptr.d", "D"),
                                             ("stptr.w", "s"), ("stptr.d", "s")))
            self.out(f"{name} {self.operand(what)}, $r{base}, "
                     f"{4 * self.random.randrange(-64, 64)}")
        elif kind == 1:
            _, name, what = self.random.choice(self.bound)
            bound = self.random.choice((0, base, 21, self.random.randrange(32)))
            self.out(f"{name} {self.operand(what)}, $r{base}, $r{bound}")
        elif kind == 2:
            self.out(self.random.choice((
                f"preld 0, $r{base}, 64", "preld 8, $r22, -8", f"preldx 0, $r{base}, $zero")))
        else:
            vector = self.random.choice(("", "x"))
            name = f"${vector or 'v'}r{self.random.randrange(32)}"
            size, unit = self.random.choice((("b", 1), ("h", 2), ("w", 4), ("d", 8)))
            offset = unit * self.random.randrange(-16, 16)
            lane = self.random.randrange((32 if vector else 16) // unit)
            self.out(self.random.choice((
                f"{vector}vldrepl.{size} {name}, $r{base}, {offset}",
                f"{vector}vstelm.{size} {name}, $r{base}, {offset}, {lane}")))

    def do_floating(self) -> None:
        if self.chance(0.1):
            # Rounding; now and then an exception enabled
            value = self.random.randrange(4) << 8 | (
                1 << self.random.randrange(5) if self.chance(0.1) else 0)
            self.out(f"li.w $r24, {value}", "movgr2fcsr $fcsr0, $r24")
        if self.chance(0.25):
            self.out(f"li.w $r24, {POOL + 0x600 + 8 * self.random.randrange(64)}",
                     f"fldx.d $f{self.random.randrange(32)}, $r21, $r24")
        self.out(self.one(self.floating))

    def do_narrow(self) -> None:
        self.vector = "vr"
        self.out(self.one(self.narrow))

    def do_wide(self) -> None:
        self.vector = "xr"
        self.out(self.one(self.wide))

    def do_random(self) -> None:
        """Any word of the groups that only use registers."""
        while True:
            word = self.random.getrandbits(32)
            word = self.random.choice((word & 0x3fffff, word & 0x3fffff, word & 0xffffff,
                                       word & 0x0fffffff | 0x70000000,
                                       word & 0x03ffffff | 0x0c000000))
            opcode = word >> 15
            if word & 31 in (2, 21, 22) or word < 0x40000 and 0x6000 <= word & 0xffff < 0x7000:
                continue                # rdtime, cpucfg
            if opcode in (0x54, 0x55, 0x56, 0x57):      # break, dbcl, syscall, hvcl
                continue
            self.out(f".word {word:#x}")
            return

    def do_atomic(self) -> None:
        base = self.random.randrange(4, 20)
        self.at(base, LOCKS + 0x100 + 16 * self.random.randrange(8)
                + (4 if self.chance(0.02) else 0))
        source = self.register(base)
        target = self.register(base, source)
        name = self.random.choice(ATOMICS)
        barrier = self.random.choice(("", "_db"))
        size = self.random.choice("wd")
        if name in ("ammax", "ammin") and self.chance(0.4):
            size += "u"
        self.out(f"{name}{barrier}.{size} $r{target}, $r{source}, $r{base}")

    def do_sequence(self) -> None:
        """Load-linked, some work, store-conditional, again if it failed."""
        base, value, other = self.random.sample(range(4, 20), 3)
        size = self.random.choice("wd")
        top = self.label()
        self.at(base, LOCKS + 0x80 * self.random.randrange(2))
        self.out(f"{top}:", f"ll.{size} $r{value}, $r{base}, 0")
        form = self.random.randrange(4)
        if form == 0:
            self.out(f"addi.d $r{value}, $r{value}, {self.random.randrange(1, 9)}")
        elif form == 1:                 # leave when it is taken, as a lock does
            self.out(f"andi $r{other}, $r{value}, {self.random.choice((1, 2, 3))}",
                     f"bnez $r{other}, {top}x", f"xori $r{value}, $r{value}, 6")
        elif form == 2:                 # a branch inside
            self.out(f"bgeu $r{value}, $r{self.random.randrange(32)}, {top}i",
                     f"addi.d $r{value}, $r{value}, 3", f"{top}i:")
        else:
            self.out(*(f"alsl.d $r{value}, $r{value}, $r{other}, {n % 4 + 1}"
                       for n in range(self.random.randrange(12))))
        self.out(f"sc.{size} $r{value}, $r{base}, 0", f"beqz $r{value}, {top}")
        if form == 1:
            self.out(f"{top}x:", "syscall 5")   # ertn ends the link

    def do_broken(self) -> None:
        """Sequences without the end that they should have.  Whoever steps them one by
        one loses the link; so does everyone, by ertn or another address, before the
        store could succeed."""
        self.at(25, LOCKS)
        self.at(26, LOCKS + 0x80)
        kind = self.random.randrange(5)
        if kind == 0:                   # never used
            self.out("ll.d $r27, $r25, 0")
            self.skipped()
            self.out("syscall 6")
        elif kind == 1:                 # the inner one breaks the outer one
            self.out("ll.d $r27, $r25, 0", "ll.w $r28, $r26, 0", "sc.d $r27, $r25, 0",
                     "syscall 6")
        elif kind == 2:                 # never made
            self.out("syscall 6", "sc.d $r27, $r25, 0", "sc.w $r28, $r26, 0")
        elif kind == 3:
            self.out("ll.w $r27, $r25, 0", "syscall 7", "sc.w $r27, $r25, 0")
        else:                           # too long
            self.out("ll.w $r27, $r25, 0", *["addi.w $r27, $r27, 1"] * 17, "syscall 6",
                     "sc.w $r27, $r25, 0")

    def do_system(self) -> None:
        """CSRs that a guest keeps something in, and those that matter to exceptions."""
        if self.rarely():
            return
        register = self.register()
        name = self.random.choice(SAVES + ("TID", "BADV", "ERA", "PRMD", "ESTAT", "ECFG",
                                           "EUEN"))
        kind = self.random.randrange(3)
        if name == "PRMD" and kind < 2:         # without PWE
            self.out(f"li.w $r{register}, {self.random.randrange(8)}")
            kind = 0
        if name == "ECFG":              # VS; no interrupt but the timer's is pending
            value = self.random.randrange(8) << 16 | self.random.getrandbits(13) | TI
            self.out(f"li.w $r24, {value}", f"csrwr $r24, {name}")
        elif name == "EUEN":
            if self.user:
                return
            self.out(f"li.w $r24, {self.random.randrange(8)}", f"csrwr $r24, {name}")
            self.do_floating()
            self.random.choice((self.do_narrow, self.do_wide, self.do_floating))()
        elif kind == 0:
            self.out(f"csrwr $r{register}, {name}")
        elif kind == 1:
            mask = self.register(register, 1)   # csrrd and csrwr have 0 and 1 there
            self.out(f"csrxchg $r{register}, $r{mask}, {name}")
        self.out(f"csrrd $r{self.register()}, {name}")

    def do_crmd(self) -> None:
        """The interrupt enable in all forms."""
        if self.rarely():
            return
        register = self.register(24)
        for _ in range(self.random.randrange(1, 4)):
            on = self.random.randrange(2)
            value = self.crmd(bool(on))
            self.out(*self.random.choice((
                [f"li.w $r24, {IE}", f"csrxchg $r{register}, $r24, CRMD"],
                [f"li.w $r24, {IE}", "csrxchg $zero, $r24, CRMD"],
                [f"li.w $r24, {IE}", "csrxchg $r24, $r24, CRMD"],
                [f"li.w $r{register}, {value}", f"csrwr $r{register}, CRMD"],
                [f"csrrd $r{register}, CRMD"], [f"csrrd $r{register}, PRMD"])))

    def do_identifier(self) -> None:
        """What names the processor, or the time: set anew at once."""
        register, other = self.register(24), self.register(24)
        if self.chance(0.5):
            self.out(f"li.w $r24, {self.random.choice((0, 1, 2, 3, 4, 5, 16, 20, 99))}",
                     f"cpucfg $r{register}, $r24", f"addi.d $r{register}, $zero, 5")
        else:
            name = self.random.choice(("rdtime.d", "rdtimel.w", "rdtimeh.w"))
            self.out(f"{name} $r{register}, $r{other}", f"addi.d $r{register}, $zero, 6",
                     f"addi.d $r{other}, $zero, 7")

    def do_hint(self) -> None:
        hints = ["dbar 0", "dbar 0x700", "ibar 0", "nop", "nop"]
        if self.timer and not self.user:
            # The timer has to be let in, or TCG waits; its step takes the nop, too
            self.out(f"li.w $r24, {TI}", "csrxchg $r24, $r24, ECFG", "idle 0", "nop")
            return
        if self.user and self.chance(0.1):
            hints = ["idle 0"]
        self.out(self.random.choice(hints))

    def do_tlb(self) -> None:
        if self.rarely():
            return
        base = self.random.randrange(4, 20)
        self.at(base, BUFFER)
        choice = [["invtlb 0, $zero, $zero"], ["invtlb 1, $zero, $zero"],
                  ["invtlb 2, $zero, $zero"], ["invtlb 3, $zero, $zero"],
                  ["invtlb 0, $zero, $zero", "syscall 5"],
                  [f"li.w $r24, {self.random.randrange(4)}", "invtlb 4, $r24, $zero"],
                  [f"invtlb 5, $zero, $r{base}"], [f"invtlb 6, $zero, $r{base}"], ["tlbsrch"],
                  [f"cacop {self.random.choice((0, 1, 8, 9, 16, 17))}, $r{base}, 0"]]
        if self.cell.mode == "paged":
            choice += [[f"li.w $r24, {self.random.randrange(4)}", "csrwr $r24, ASID"]] * 2
        if self.mapped and not self.user:
            # A window more
            choice += [["li.d $r24, 0xa000000000000011", "csrwr $r24, DMW0 + 3",
                        "li.d $r24, 0xa000000000000000", "or $r24, $r24, $r21",
                        f"ld.d $r{base}, $r24, {BUFFER}", f"st.w $r{base}, $r24, {BUFFER + 8}",
                        "csrwr $zero, DMW0 + 3"]] * 2
        self.out(*self.random.choice(choice))

    def do_exception(self) -> None:
        number = self.random.choice((0, 2, 3, 0x7fff))
        self.out(self.random.choice((
            f"syscall {number}", f"syscall {number}", f"break {number}",
            f".word {self.random.choice(ILLEGAL):#x}", f"asrtle.d {self.operand('s')}, $zero",
            f"asrtgt.d {self.operand('s')}, {self.operand('s')}",
            f"csrrd $r{self.register()}, TID" if self.user else ".word 0xffffffff",
            "ertn" if self.user else f"break {number}")))

    def do_fault(self) -> None:
        """Data or code without a mapping; unaligned where that is not done."""
        register = self.register(24)
        back = self.label()
        kinds = ["pc", "link", "atomic"]
        if self.mapped:
            kinds += ["data", "data", "data", "private", "fetch", "fetch", "beyond"]
        if self.cell.mode == "paged":
            kinds += ["code", "execute"]
        kind = self.random.choice(kinds)
        if kind == "pc":
            self.out(f"la.pcrel $ra, {back}", f"addi.d $r24, $ra, {self.random.randrange(1, 4)}",
                     "jirl $zero, $r24, 0", f"{back}:")
        elif kind == "link":
            self.at(24, LOCKS + self.random.choice((1, 2, 4)))
            self.out(f"{self.random.choice(('ll.d', 'sc.d'))} $r{register}, $r24, 0")
        elif kind == "atomic":
            self.at(24, LOCKS + 2)
            self.out(f"amadd.w $r{register}, $zero, $r24")
        elif kind == "data":
            _, name, what = self.random.choice(self.displaced)
            self.out(f"{name} {self.operand(what)}, $r22, {8 * self.random.randrange(16)}")
        elif kind == "private":         # not for PLV3
            self.out("la.pcrel $r24, private", f"ld.d $r{register}, $r24, 0")
        elif kind == "code":            # read only.  The next instruction has a trap
            self.out(f"la.pcrel $r24, {back}", f"{back}: st.w $r{register}, $r24, 0")
        elif kind == "beyond":
            self.out(f"li.d $r24, {BEYOND:#x}", f"ld.d $r{register}, $r24, 0")
        elif kind == "execute":         # data
            self.out(f"la.pcrel $ra, {back}", "jirl $zero, $r21, 0", f"{back}:")
        else:
            self.out(f"la.pcrel $ra, {back}", "jirl $zero, $r22, 0", f"{back}:")

    def do_ertn(self) -> None:
        """To right here, with other bits in PRMD."""
        target = self.label()
        if self.rarely():
            return
        if not self.user:
            self.out(f"la.pcrel $r24, {target}", "csrwr $r24, ERA",
                     f"li.w $r24, {self.random.choice((0, IE))}", "csrwr $r24, PRMD")
        self.out("ertn")
        self.skipped()
        self.out(f"{target}:", "nop")

    def do_mmio(self) -> None:
        """The UART's scratch register, the vCPU's own mailbox."""
        register = self.register(24)
        if self.user:
            return
        if self.mapped and self.chance(0.6):
            self.out(f"li.d $r24, {UART_SCRATCH:#x}", f"st.b $r{register}, $r24, 0",
                     f"ld.bu $r{self.register(24)}, $r24, 0")
        else:
            self.out(f"li.w $r24, {MAILBOX}", f"iocsrwr.d $r{register}, $r24",
                     f"iocsrrd.d $r{self.register(24)}, $r24")

    def do_control(self) -> None:
        """Direct addresses for some instructions."""
        if self.user or self.high or not self.mapped:
            return
        self.out(f"li.w $r23, {DA | PG}", f"li.w $r24, {DA}", "csrxchg $r24, $r23, CRMD")
        for _ in range(self.random.randrange(1, 4)):
            self.skipped()
            self.out(f"ld.d $r{self.random.randrange(4, 20)}, $r21, {BUFFER}",
                     f"st.w $r{self.random.randrange(4, 20)}, $r21, {BUFFER + 32}")
        if self.chance(0.3):
            self.out("syscall 5")
        self.out(f"li.w $r23, {DA | PG}", f"li.w $r24, {PG}", "csrxchg $r24, $r23, CRMD")

    WEIGHTS = {
        "integer": 30, "branch": 14, "memory": 12, "special": 4, "floating": 7, "narrow": 5,
        "wide": 5, "random": 1.5, "atomic": 3, "sequence": 2.5, "broken": 0.5, "system": 4,
        "crmd": 3, "identifier": 0.6, "hint": 2, "tlb": 1.5, "exception": 1.2, "fault": 1.2,
        "ertn": 1, "mmio": 0.7, "control": 0.5}

    # Sections

    def section(self) -> None:
        """A change of state, some instructions, and home again."""
        if not self.begun and self.cell.mode == "paged":
            # In the first steps already: an exception whose handler has no page in the TLB
            self.begun = True
            self.out(f"li.w $r13, {IE}", "csrxchg $r13, $r13, CRMD", "invtlb 0, $zero, $zero",
                     "syscall 5", f"li.w $r13, {IE}", "csrxchg $zero, $r13, CRMD")
        self.user = self.chance(0.5)
        self.high = self.mapped and self.chance(0.4) and not (
            self.user and self.cell.mode == "window")
        enabled = self.chance(0.7)
        target = self.label()
        where = self.user * USER | enabled * ENABLED | self.high * UP
        self.out(f"la.pcrel $r12, {target}", f"li.w $r2, {where}",
                 f"li.w $r13, {self.user * 3 | enabled * IE}", "csrwr $r13, PRMD")
        if self.high:
            self.out(f"li.d $r13, {HIGH[self.cell.mode]:#x}", "or $r12, $r12, $r13")
        self.out("csrwr $r12, ERA", "ertn", f"{target}:")
        self.body(self.random.randrange(20, 70), set())
        self.home()

    def home(self) -> None:
        """syscall 1 leads home from everywhere, but at this address."""
        self.out("syscall 1", "move $r2, $zero")
        if self.high:
            target = self.label()
            self.out(f"la.pcrel $r12, {target}", "bstrpick.d $r12, $r12, 37, 0",
                     "jirl $zero, $r12, 0", f"{target}:")
        self.high = self.user = False
        self.out("bl look")

    def text(self, sections: int) -> str:
        self.code(sections, "b .")
        values = [struct.pack("<Q", value) for value in self.integers(0x600 // 8)]
        values += [struct.pack("<d", value) for value in self.doubles(64)]
        self.out(*(".byte " + ", ".join(map(hex, value)) for value in values),
                 ".balign 128", "data_end:", "")
        return "\n".join(self.lines)


def build_stream(cell: Cell, seed: int, out: Path, sections: int = SECTIONS,
                 tools: str = LOONG64.tools) -> Path:
    """The ELF file of a cell's guest."""
    timer = bool(seed % 2)
    defines = {"MAPPED": MODES.index(cell.mode), "OTHERS": cell.cpus - 1, "TIMER": int(timer),
               "UNMAPPED": UNMAPPED[cell.mode]}
    return assemble(
        out / f"{cell}-{seed}", Stream(cell, seed, timer).text(sections), [f"{tools}as"],
        [f"{tools}ld"], "stream-loongarch64.S", "stream-loongarch64.ld", defines)


if __name__ == "__main__":
    sys.exit(generator.main(sys.argv[1:], __doc__, Cell.parse))
