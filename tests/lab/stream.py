#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests made of generated instructions: seed and cell -> an ELF file.

    stream.py [--seed N] [--sections N] [--out DIR] CELL...

A cell names what a guest and its host are, such as p9-be-radix-ail0-1cpu.  The
same seed and cell always give the same guest.  Everything that it does is
defined by the Power ISA, but for results of an emulator that both sides share
(upper halves of 32-bit products and the like), and nothing depends on time.
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
from lablib import L2_MACHINE, PPC64

MSR_HV, MSR_SF = 1 << 60, 1 << 63
MSR_VEC, MSR_VSX = 1 << 25, 1 << 23
MSR_EE, MSR_PR, MSR_FP = 0x8000, 0x4000, 0x2000
MSR_FE0, MSR_SE, MSR_BE, MSR_FE1 = 0x800, 0x400, 0x200, 0x100
MSR_IR, MSR_DR, MSR_RI = 0x20, 0x10, 2
# SRR1's bits 33:36 and 42:47, which an interrupt sets and rfid does not take.
NOT_IN_MSR = 0x78000000 | 0x3f0000
HIGH = 0xc000000000000000       # leads to the same memory

BUFFER, VECTORS, LOCKS, LINES, POOL = 0x600, 0x800, 0xa00, 0xc00, 0x1600
BLOCKS = 0x600                  # of the pool: 64 blocks of 16 bytes, then doubles


@dataclass(frozen=True)
class Cell:
    """A guest and the host that it needs."""

    power: int = 9
    little: bool = False
    hash: bool = False
    ail: int = 0
    cpus: int = 1

    arch = PPC64
    NAME = re.compile(r"p(9|10)-(be|le)-(radix|hash)-ail([03])-([1-8])cpu")

    @classmethod
    def parse(cls, name: str) -> Cell:
        found = cls.NAME.fullmatch(name)
        if not found:
            raise ValueError(f"'{name}' is no cell; such as p9-be-radix-ail0-1cpu")
        power, order, mmu, ail, cpus = found.groups()
        return cls(int(power), order == "le", mmu == "hash", int(ail), int(cpus))

    def __str__(self) -> str:
        return (f"p{self.power}-{'le' if self.little else 'be'}-"
                f"{'hash' if self.hash else 'radix'}-ail{self.ail}-{self.cpus}cpu")

    @property
    def host(self) -> str:
        return f"powernv{self.power}"

    @property
    def cpu(self) -> str:
        """For a reference under TCG."""
        return f"power{self.power}"

    @property
    def machine(self) -> str:
        """A hash guest's VRMA wants no resizing, and stream.S the size of its HPT."""
        return L2_MACHINE + ",resize-hpt=disabled" if self.hash else L2_MACHINE

    @property
    def memory(self) -> str:
        return "512M,slots=1,maxmem=4G" if self.hash else "512M"

    @property
    def fetches_early(self) -> bool:
        return self.power == 10

    def build(self, seed: int, out: Path, sections: int = SECTIONS) -> Path:
        """The ELF file of its guest."""
        return build_stream(self, seed, out, sections)


ALL_CELLS = [Cell(power, little, hashed, ail, cpus)
             for power, little, hashed, ail, cpus in itertools.product(
                 (9, 10), (False, True), (False, True), (0, 3), (1, 2, 4))]


# What instructions look like.  After a mnemonic, `?` stands for Rc or not and
# `!` for OE or not; r GPR, a GPR or the number 0, f FPR, v VR, x VSR, e even VSR,
# c CR field, b CR bit, uN and sN immediates of N bits.
INTEGER = """
add!? r,r,r; addc!? r,r,r; adde!? r,r,r; subf!? r,r,r; subfc!? r,r,r; subfe!? r,r,r
mullw!? r,r,r; mulld!? r,r,r; mulhw? r,r,r; mulhwu? r,r,r; mulhd? r,r,r; mulhdu? r,r,r
addze!? r,r; addme!? r,r; subfze!? r,r; subfme!? r,r; neg!? r,r
addi r,a,s16; addis r,a,s16; addic r,r,s16; addic. r,r,s16; subfic r,r,s16; mulli r,r,s16
addpcis r,s16; maddld r,r,r,r; maddhd r,r,r,r; maddhdu r,r,r,r; addex r,r,r,0
and? r,r,r; nand? r,r,r; nor? r,r,r; xor? r,r,r; eqv? r,r,r; andc? r,r,r; orc? r,r,r
or. r,r,r; andi. r,r,u16; andis. r,r,u16; ori r,r,u16; oris r,r,u16; xori r,r,u16
xoris r,r,u16; extsb? r,r; extsh? r,r; extsw? r,r; cntlzw? r,r; cntlzd? r,r
cnttzw? r,r; cnttzd? r,r; popcntb r,r; popcntw r,r; popcntd r,r; prtyw r,r; prtyd r,r
bpermd r,r,r; cmpb r,r,r; extswsli? r,r,u6; isel r,a,r,b; setb r,c
slw? r,r,r; srw? r,r,r; sraw? r,r,r; srawi? r,r,u5; sld? r,r,r; srd? r,r,r
srad? r,r,r; sradi? r,r,u6; rlwinm? r,r,u5,u5,u5; rlwnm? r,r,r,u5,u5
rlwimi? r,r,u5,u5,u5; rldicl? r,r,u6,u6; rldicr? r,r,u6,u6; rldic? r,r,u6,u6
rldimi? r,r,u6,u6; rldcl? r,r,r,u6; rldcr? r,r,r,u6; mfxer r; mfctr r; mflr r
cmpw c,r,r; cmpd c,r,r; cmplw c,r,r; cmpld c,r,r; cmpwi c,r,s16; cmpdi c,r,s16
cmplwi c,r,u16; cmpldi c,r,u16; cmpeqb c,r,r; cmprb c,u1,r,r
"""
INTEGER_10 = """
brh r,r; brw r,r; brd r,r; cfuged r,r,r; cntlzdm r,r,r; cnttzdm r,r,r; pdepd r,r,r
pextd r,r,r; setbc r,b; setbcr r,b; setnbc r,b; setnbcr r,b
"""
CONDITION = """
crand b,b,b; cror b,b,b; crxor b,b,b; crnand b,b,b; crnor b,b,b; creqv b,b,b
crandc b,b,b; crorc b,b,b; mcrf c,c; mfcr r; mfocrf r,bit8; mtocrf bit8,r
mtcrf u8,r; mcrxrx c
"""
FLOATING = """
fadd? f,f,f; fsub? f,f,f; fmul? f,f,f; fdiv? f,f,f; fmadd? f,f,f,f; fmsub? f,f,f,f
fnmadd? f,f,f,f; fnmsub? f,f,f,f; fsqrt? f,f; frsp? f,f; fadds? f,f,f; fsubs? f,f,f
fmuls? f,f,f; fdivs? f,f,f; fmadds? f,f,f,f; fnmsubs? f,f,f,f; fsqrts f,f; fctid? f,f
fctidz? f,f; fctiw? f,f; fctiwz? f,f; fctidu f,f; fcfid? f,f; fcfidu f,f; fcfids f,f
fneg? f,f; fabs? f,f; fnabs f,f; fmr? f,f; fcpsgn f,f,f; fsel? f,f,f,f; frin f,f
friz f,f; frip f,f; frim f,f; fcmpu c,f,f; fcmpo c,f,f; ftdiv c,f,f; ftsqrt c,f
mffs? f; mcrfs c,c; mtfsb0 fpbit; mtfsb1 fpbit; mtfsfi 7,u2; fmrgew f,f,f; fmrgow f,f,f
"""
VMX = """
vaddubm v,v,v; vadduhm v,v,v; vadduwm v,v,v; vaddudm v,v,v; vaddsws v,v,v
vsububm v,v,v; vsubuws v,v,v; vmuleuh v,v,v; vmulosb v,v,v; vmuluwm v,v,v
vmladduhm v,v,v,v; vmsumubm v,v,v,v; vperm v,v,v,v; vsel v,v,v,v; vsldoi v,v,v,u4
vcmpequb? v,v,v; vcmpgtsw? v,v,v; vcmpgtud? v,v,v; vcmpneb? v,v,v; vspltisb v,s5
vspltisw v,s5; vsplth v,v,u3; vsl v,v,v; vsro v,v,v; vsld v,v,v; vsraw v,v,v
vrlw v,v,v; vand v,v,v; vxor v,v,v; vnor v,v,v; vorc v,v,v; veqv v,v,v; vpkuhum v,v,v
vpkswss v,v,v; vupkhsb v,v; vmrghw v,v,v; vmrglb v,v,v; vsum4ubs v,v,v; vsumsws v,v,v
vmaddfp v,v,v,v; vaddfp v,v,v; vcmpgefp? v,v,v; vcfsx v,v,u5; vctuxs v,v,u5; vrfiz v,v
vmaxsw v,v,v; vminud v,v,v; vavguh v,v,v; vclzd v,v; vpopcntw v,v; vgbbd v,v
vadduqm v,v,v; vsubcuq v,v,v; vabsdub v,v,v; vbpermq v,v,v; vextractuw v,v,u3
vinsertb v,v,u3; mfvscr v; mtvscr v; vnegw v,v; vextsb2d v,v; vprtybq v,v
"""
VMX_10 = "vmulld v,v,v; vdivuw v,v,v; vmodsd v,v,v; vcfuged v,v,v; vstribr? v,v; vslq v,v,v"
VSX = """
xvadddp x,x,x; xvsubsp x,x,x; xvmuldp x,x,x; xvdivdp x,x,x; xvmaddadp x,x,x
xvnmsubmsp x,x,x; xvsqrtdp x,x; xsadddp x,x,x; xssubsp x,x,x; xsmuldp x,x,x
xsdivdp x,x,x; xsmaddasp x,x,x; xssqrtdp x,x; xscmpudp c,x,x; xscmpeqdp x,x,x
xvcmpeqdp? x,x,x; xvcmpgtsp? x,x,x; xscvdpsxds x,x; xvcvdpsxws x,x; xvcvsxddp x,x
xscvdpsp x,x; xscvspdpn x,x; xsrdpi x,x; xvrspiz x,x; xvabsdp x,x; xvnegsp x,x
xscpsgndp x,x,x; xxland x,x,x; xxlxor x,x,x; xxlnor x,x,x; xxleqv x,x,x; xxsel x,x,x,x
xxpermdi x,x,x,u2; xxsldwi x,x,x,u2; xxspltw x,x,u2; xxmrghw x,x,x; xxperm x,x,x
xxbrd x,x; xxspltib x,u8; xxextractuw x,x,u3; xxinsertw x,x,u3; xvtstdcdp x,x,u7
xsmaxdp x,x,x; xviexpdp x,x,x; xvxsigdp x,x; xststdcdp c,x,u7; mfvsrd r,x; mfvsrwz r,x
mfvsrld r,x; mtvsrd x,r; mtvsrwa x,r; mtvsrdd x,r,r; mtvsrws x,r; xsaddqp v,v,v
xsmulqp v,v,v; xscvdpqp v,v; xvtdivdp c,x,x
"""
VSX_10 = "xscmpgtqp v,v,v; xvtlsbb c,x; lxvkq x,u4; xsmaxcqp v,v,v; mtvsrbmi v,u16"
PREFIXED = """
pli r,s34; paddi r,a,s34,0; xxspltiw x,s32; xxspltidp x,s31; xxsplti32dx x,u1,s32
xxeval x,x,x,x,u8; xxblendvb x,x,x,x; xxblendvd x,x,x,x; xxpermx x,x,x,x,u3; pnop
"""
PREFIXED_MEMORY = """
plbz r,M; plhz r,M; plha r,M; plwz r,M; plwa r,M; pld r,M; pstb r,M; psth r,M; pstw r,M
pstd r,M; plfs f,M; plfd f,M; pstfs f,M; pstfd f,M; plxv x,V; pstxv x,V; plxsd v,M
plxssp v,M; pstxsd v,M; plxvp e,V; pstxvp e,V
"""
# M: displacement(base), U: the same with update, D: a multiple of 4, X: base and
# index, Y: index with update; V, W: the same for multiples of 16.
MEMORY = """
lbz r,M; lbzu r,U; lhz r,M; lhzu r,U; lha r,M; lhau r,U; lwz r,M; lwzu r,U; lwa r,D
ld r,D; ldu r,DU; stb r,M; stbu r,U; sth r,M; sthu r,U; stw r,M; stwu r,U; std r,D
stdu r,DU; lbzx r,X; lbzux r,Y; lhzx r,X; lhzux r,Y; lhax r,X; lhaux r,Y; lwzx r,X
lwzux r,Y; lwax r,X; lwaux r,Y; ldx r,X; ldux r,Y; lhbrx r,X; lwbrx r,X; ldbrx r,X
stbx r,X; stbux r,Y; sthx r,X; sthux r,Y; stwx r,X; stwux r,Y; stdx r,X; stdux r,Y
sthbrx r,X; stwbrx r,X; stdbrx r,X
"""
FP_MEMORY = """
lfs f,M; lfsu f,U; lfd f,M; lfdu f,U; stfs f,M; stfsu f,U; stfd f,M; stfdu f,U; lfsx f,X
lfdx f,X; lfdux f,Y; stfsx f,X; stfdx f,X; stfdux f,Y; lfiwax f,X; lfiwzx f,X; stfiwx f,X
"""
VECTOR_MEMORY = """
lvx v,X; lvxl v,X; lvebx v,X; lvehx v,X; lvewx v,X; stvx v,X; stvebx v,X; stvewx v,X
lvsl v,X; lvsr v,X
"""
VSX_MEMORY = """
lxvd2x x,X; lxvw4x x,X; lxvx x,X; lxvh8x x,X; lxvb16x x,X; lxsdx x,X; lxsspx x,X
lxsiwax x,X; lxvdsx x,X; lxvwsx x,X; stxvd2x x,X; stxvw4x x,X; stxvx x,X; stxvb16x x,X
stxsdx x,X; stxsspx x,X; stxsibx x,X; lxv x,V; stxv x,V; lxsd v,D; stxsd v,D; lxssp v,D
"""

# Words that no processor of the cell knows: opcodes without a meaning.
ILLEGAL = (0x00000000, 0x00000001, 0x58000000, 0x4c0007fe, 0x7c0007fe, 0xec00003a,
           0x14000000)
ILLEGAL_9 = (0x06000000, 0x04000000, 0x18000000)

USER_SPRS = (1, 8, 9, 256, 815)             # XER LR CTR VRSAVE TAR
SPRS = USER_SPRS + (17, 18, 19, 26, 27, 272, 273, 274, 275)
BO = (0, 2, 4, 6, 7, 8, 10, 12, 14, 15, 16, 18, 20, 24, 25, 26, 27)

# What is left out, as TCG, the reference and the host's processor, does it
# otherwise than the Power ISA (v3.1B) has it:
#   SPR 3, DSCR of problem state (Book III, 5.4.4): unknown to TCG; a privileged
#     instruction program interrupt, or from KVM an illegal instruction one.
#   lwat, stwat with signed minimum or maximum (Book II, 4.5): TCG with one vCPU
#     compares zero-extended words.
#   Enabled FP exceptions (Book III, 7.5.9): TCG keeps one that the host's kernel
#     restored with MSR[FE0,FE1] = 0, and raises it with a later instruction.
#   sc 1 from problem state: TCG's hypercall returns H_PRIVILEGE, KVM raises the
#     privileged instruction program interrupt.


class Stream(Generator):
    """The generated part of a guest, as text for the assembler."""

    def __init__(self, cell: Cell, seed: int) -> None:
        super().__init__(f"{seed}/{cell.power}/{cell.little}/{cell.hash}")
        self.cell = cell
        self.msr = 0                    # what of home's state is changed here
        self.high = False               # running at HIGH
        ten = cell.power >= 10
        self.integer = table(INTEGER, INTEGER_10 if ten else "")
        self.condition = table(CONDITION)
        self.floating = table(FLOATING)
        self.vmx = table(VMX, VMX_10 if ten else "")
        self.vsx = table(VSX, VSX_10 if ten else "")
        self.prefixed = table(PREFIXED)
        self.memory = table(MEMORY)
        self.fp_memory = table(FP_MEMORY)
        self.vector_memory = table(VECTOR_MEMORY)
        self.vsx_memory = table(VSX_MEMORY)
        self.prefixed_memory = table(PREFIXED_MEMORY)

    # Small things

    def gpr(self, *but: int, low: int = 3) -> int:
        """A register that is free, and none of `but`."""
        return self.random.choice([n for n in range(low, 29) if n not in but])

    @property
    def privileged(self) -> bool:
        return not self.msr & MSR_PR

    def operand(self, kind: str) -> str:
        pick = self.random
        if kind == "r":
            return f"r{pick.randrange(29)}"
        if kind == "a":
            return pick.choice(("0", f"r{pick.randrange(1, 29)}"))
        if kind in ("f", "v"):
            return f"{kind}{pick.randrange(32)}"
        if kind == "x":
            return f"vs{pick.randrange(64)}"
        if kind == "e":
            return f"vs{pick.randrange(0, 64, 2)}"
        if kind == "c":
            return f"cr{pick.randrange(8)}"
        if kind == "b":
            return str(pick.randrange(32))
        if kind == "bit8":
            return str(1 << pick.randrange(8))
        if kind == "fpbit":             # no enable, see above; no summary
            return str(pick.choice([0, *range(3, 20), *range(21, 24), 29, 30, 31]))
        return self.immediate(kind)

    def one(self, forms: list[tuple[str, list[str]]]) -> str:
        """An instruction out of a table; none whose operands make it a hint."""
        while True:
            mnemonic, kinds = self.random.choice(forms)
            operands = [self.operand(kind) for kind in kinds]
            if mnemonic != "or." or len(set(operands)) > 1:
                return f"{mnemonic} {', '.join(operands)}"

    def filler(self) -> None:
        """Something short that leaves r20 and up alone, and CR, LR and CTR."""
        register = self.random.randrange(3, 20)
        self.out(self.random.choice((
            f"addi r{register}, r{register}, {self.random.randrange(1, 99)}",
            f"xori r{register}, r{register}, {self.random.randrange(1, 99)}",
            f"mulld r{register}, r{register}, r{self.random.randrange(20)}")))

    def refresh(self) -> None:
        """New values for some registers: results tend to 0 and -1."""
        for _ in range(self.random.randrange(1, 4)):
            self.out(f"ld r{self.random.randrange(29)}, "
                     f"{POOL + 8 * self.random.randrange(128)}(r31)")

    # What a guest consists of

    def do_integer(self) -> None:
        self.out(self.one(self.integer))

    def do_division(self) -> None:
        a, b = self.gpr(), self.gpr()
        kind = self.random.randrange(3)
        rc, oe = self.random.choice(("", ".")), self.random.choice(("", "o"))
        if kind == 0:
            self.out(f"rldicl r{b}, r{b}, 0, 33", f"ori r{b}, r{b}, 1")
            name = self.random.choice(("divw", "divwu", "divd", "divdu"))
            self.out(f"{name}{oe}{rc} r{self.gpr()}, r{a}, r{b}")
        elif kind == 1:
            self.out(f"rldicl r{b}, r{b}, 0, 33", f"ori r{b}, r{b}, 1")
            name = self.random.choice(("modsw", "moduw", "modsd", "modud"))
            self.out(f"{name} r{self.gpr()}, r{a}, r{b}")
        else:
            b = self.gpr(a)
            wide = self.random.choice(("divwe", "divweu", "divde", "divdeu"))
            self.out(f"rldicl r{a}, r{a}, 0, 40", f"lis r{b}, 0x7000")
            if "d" in wide[3:]:
                self.out(f"sldi r{b}, r{b}, 32")
            self.out(f"{wide}{oe}{rc} r{self.gpr()}, r{a}, r{b}")

    def do_condition(self) -> None:
        self.out(self.one(self.condition))

    def counted(self, bo: int) -> None:
        if not bo & 4:
            self.out(f"li r20, {self.random.choice((0, 1, 2, 3))}", "mtctr r20")

    def do_branch(self) -> None:
        kind = self.random.choice((self.branch_ahead, self.branch_ahead, self.branch_back,
                                   self.branch_register, self.branch_register,
                                   self.branch_absolute, self.branch_call,
                                   self.branch_loop))
        kind()

    def branch_ahead(self) -> None:
        bo, target = self.random.choice(BO), self.label()
        self.counted(bo)
        link = self.random.choice(("", "l"))
        if self.chance(0.2):
            self.out(f"b{link} {target}")
        else:
            self.out(f"bc{link} {bo}, {self.random.randrange(32)}, {target}")
        self.skipped()
        self.out(f"{target}:")

    def branch_back(self) -> None:
        bo, ahead, back, out = self.random.choice(BO), *(self.label() for _ in "abc")
        self.counted(bo)
        self.out(f"b {ahead}", f"{back}:")
        self.skipped()
        self.out(f"b {out}", f"{ahead}:",
                 f"bc{self.random.choice(('', 'l'))} {bo}, {self.random.randrange(32)}, {back}")
        self.skipped()
        self.out(f"{out}:")

    def branch_register(self) -> None:
        name, number = self.random.choice((("bclr", 8), ("bcctr", 9), ("bctar", 815)))
        bo, target = self.random.choice(BO), self.label()
        if name == "bcctr":
            bo |= 4
            if bo & 0x14 == 0x14:
                bo = 20
        else:
            self.counted(bo)
        self.out(f"addr r21, {target}", f"mtspr {number}, r21",
                 f"{name}{self.random.choice(('', 'l'))} {bo}, {self.random.randrange(32)}")
        self.skipped()
        self.out(f"{target}:")
        if self.msr & (MSR_IR | MSR_PR) and self.high:
            self.to_high()

    def to_high(self) -> None:
        """Absolute targets lead down; the same code at HIGH goes on."""
        target = self.label()
        self.out(f"addr r21, {target}", "lis r22, 0xc000", "sldi r22, r22, 32",
                 "or r21, r21, r22", "mtctr r21", "bctr", f"{target}:")

    def branch_absolute(self) -> None:
        target = self.label()
        kind = self.random.randrange(3)
        if kind == 0:
            self.out(f"b{self.random.choice(('', 'l'))}a {target}")
        elif kind == 1:
            self.out(f"bcla {self.random.choice((4, 12, 20))}, "
                     f"{self.random.randrange(32)}, 0x1f00")
        else:
            self.out(f"addr r21, {target}", "mtlr r21",
                     f"bca {self.random.choice((4, 12, 20))}, "
                     f"{self.random.randrange(32)}, 0x1f00")
        self.skipped(1)
        self.out(f"{target}:")
        if self.high:
            self.to_high()

    def branch_call(self) -> None:
        outer, inner, out = (self.label() for _ in "abc")
        self.out(f"bl {outer}", f"b {out}", f"{outer}:", "mflr r22")
        self.skipped(2)
        self.out(f"bl {inner}", "mtlr r22", "blr", f"{inner}:")
        self.skipped(2)
        self.out(f"b{self.random.choice(('lr', 'clr 20, 31'))}", f"{out}:")

    def branch_loop(self) -> None:
        top = self.label()
        self.out(f"li r20, {self.random.randrange(1, 6)}", "mtctr r20", f"{top}:")
        for _ in range(self.random.randrange(1, 4)):
            self.filler()
        if self.chance(0.4):
            self.access(self.memory)
        self.out(self.random.choice(
            (f"bdnz {top}", f"bdnz- {top}", f"bdnz+ {top}",
             f"bc 0, {self.random.randrange(32)}, {top}",
             f"bc 8, {self.random.randrange(32)}, {top}")))

    def access(self, forms: list[tuple[str, list[str]]], area: int = BUFFER) -> None:
        """One load or store inside of the area, aligned or not."""
        mnemonic, kinds = self.random.choice(forms)
        kind = kinds[-1]
        base, index = self.random.sample(range(3, 20), 2)
        register = self.operand(kinds[0])
        while register in (f"r{base}", f"r{index}"):
            register = self.operand(kinds[0])
        # 0x60 from either end: room for every displacement below, and 32 bytes
        middle = area + 0x100 + self.random.choice((0, 0, 0, 4, 8, 1, 3, 5))
        unit = {"M": 1, "U": 1, "D": 4, "DU": 4, "V": 16, "X": 1, "Y": 1}[kind]
        offset = self.random.randrange(-0x90 // unit, 0x90 // unit) * unit
        if self.chance(0.6):
            offset &= ~7
        self.out(f"addi r{base}, r31, {middle}")
        if kind in "XY":
            self.out(f"li r{index}, {offset}", f"{mnemonic} {register}, r{base}, r{index}")
        else:
            self.out(f"{mnemonic} {register}, {offset}(r{base})")

    def do_memory(self) -> None:
        self.access(self.memory)

    def do_multiple(self) -> None:
        """lmw, stmw and strings: big-endian only, else an alignment interrupt,
        for which the assembler has no words."""
        base = self.random.randrange(20, 24)                    # no filler's
        self.out(f"addi r{base}, r31, {BUFFER + 0x80}")
        first = self.random.randrange(24, 30)
        for opcode in (47, 46):                                 # stmw, lmw
            self.out(f".long {opcode << 26 | first << 21 | base << 16 | 0x20:#x}")
            self.skipped(1)
        count = self.random.randrange(1, 17)
        start = self.random.randrange(4, 12)
        base = self.gpr(*range(3, 20))
        self.out(f"addi r{base}, r31, {BUFFER + 0x80 + self.random.randrange(4)}")
        for code in self.random.sample((597, 725), 2):          # lswi, stswi
            self.out(f".long {31 << 26 | start << 21 | base << 16 | count << 11 | code << 1:#x}")
        index = self.gpr(*range(3, 20), base)
        self.out(f"li r{index}, {count}", f"mtxer r{index}", f"li r{index}, 4")
        code = self.random.choice((533, 661))                   # lswx, stswx
        self.out(f".long {31 << 26 | start << 21 | base << 16 | index << 11 | code << 1:#x}")

    def do_quadword(self) -> None:
        base, pair = self.gpr(low=20), self.random.randrange(4, 18, 2)
        offset = self.random.randrange(-8, 7) * 16
        name = self.random.choice(("lq", "stq"))
        self.out(f"addi r{base}, r31, {BUFFER + 0x100}", f"{name} r{pair}, {offset}(r{base})")

    def do_floating(self) -> None:
        if self.chance(0.25):
            self.out(f"lfd f{self.random.randrange(32)}, "
                     f"{POOL + BLOCKS + 8 * self.random.randrange(64)}(r31)")
        if self.chance(0.3):
            self.access(self.fp_memory)
        else:
            self.out(self.one(self.floating))

    def do_vmx(self) -> None:
        if self.chance(0.3):
            self.access(self.vector_memory, VECTORS)
        else:
            self.out(self.one(self.vmx))

    def do_vsx(self) -> None:
        if self.chance(0.35):
            self.access(self.vsx_memory, VECTORS)
        else:
            self.out(self.one(self.vsx))

    def do_prefixed(self) -> None:
        kind = self.random.randrange(8)
        if kind < 3:
            self.access(self.prefixed_memory, VECTORS)
        elif kind == 3:                 # relative to itself; data is in reach
            self.out(f"pld r{self.gpr()}, data_begin + {POOL + 8 * self.random.randrange(99)}"
                     "@pcrel")
        elif kind == 4:                 # near the end of 64 bytes, or across it
            words, target = self.random.choice((13, 14, 14, 15, 15)), self.label()
            self.out(".balign 64", f"b {target}", *["nop"] * (words - 1), f"{target}:",
                     f".long 0x06000000, {0x38000000 | self.gpr() << 21 | 77:#x}")    # pli
        else:
            self.out(self.one(self.prefixed))

    def do_cache(self) -> None:
        base, index = self.random.sample(range(3, 20), 2)
        self.out(f"addi r{base}, r31, {LINES + self.random.randrange(0x200)}",
                 f"li r{index}, {self.random.choice((0, -8, -64))}")
        self.out(self.random.choice((
            f"dcbt 0, r{base}", f"dcbtst 0, r{base}", f"dcbf 0, r{base}",
            f"dcbst 0, r{base}", f"dcbz 0, r{base}", f"icbi 0, r{base}",
            f"dcbf r{base}, r{index}", f"dcbt r{base}, r{index}", f"icbt 0, 0, r{base}",
            "sync", "lwsync", "eieio", "isync", "nop", "xnop", "ori r0, r0, 0",
            "ptesync" if self.privileged else "sync")))

    def do_spr(self) -> None:
        register = self.gpr()
        number = self.random.choice(SPRS if self.privileged or self.chance(0.15)
                                    else USER_SPRS)
        if self.chance(0.7):
            source = self.gpr()
            if number == 17:            # DSCR has few bits
                self.out(f"rldicl r{source}, r{source}, 0, 39")
            if number == 18:            # DSISR
                self.out(f"rldicl r{source}, r{source}, 0, 32")
            self.out(f"mtspr {number}, r{source}")
            self.skipped(1)
        self.out(f"mfspr r{register}, {number}")
        if self.chance(0.1):
            self.out(f"mfspr r{register}, 259")
        if self.privileged and self.chance(0.15) and not self.cell.hash:
            self.out(f"li r20, {self.random.randrange(4)}", "mtspr 48, r20", "isync")
        if self.privileged and self.chance(0.15):
            # Without a facility its use raises 0xf60, whose handler enables all.
            bits = self.random.choice((0, 0x100, 0x1000, 0x1100, 0x2000))
            self.out(f"li r20, {bits}", "mtspr 153, r20", "isync",
                     f"mfspr r{register}, 815")

    def do_msr(self) -> None:
        if self.chance(0.3):
            self.out(f"mfmsr r{self.gpr()}")
            return
        if not self.privileged:
            if self.chance(0.3):
                self.out(f"{self.random.choice(('mtmsr', 'mtmsrd'))} r{self.gpr()}")
            return
        register = self.gpr()
        if self.chance(0.4):
            value = self.random.choice((0, MSR_RI, MSR_EE, MSR_EE | MSR_RI))
            self.out(f"li r{register}, 0", f"ori r{register}, r{register}, {value}",
                     f"{self.random.choice(('mtmsrd', 'mtmsr'))} r{register}, 1")
            return
        change = 0
        choices = [MSR_FP, MSR_VEC, MSR_VSX, MSR_EE, MSR_RI]
        if not self.high:
            choices += [MSR_IR, MSR_DR, MSR_IR | MSR_DR, MSR_IR | MSR_DR]
        for _ in range(self.random.randrange(1, 3)):
            change ^= self.random.choice(choices)
        wide = not self.high and self.chance(0.15)
        if self.chance(0.06):
            change |= MSR_PR            # this way, too, it comes with EE, IR and DR
        self.out(f"mfmsr r{register}")
        other = self.gpr(register)
        if wide:
            change |= MSR_SF
        self.out(f"imm64 r{other}, {change:#x}", f"xor r{register}, r{register}, r{other}",
                 f"{'mtmsrd' if wide or self.chance(0.6) else 'mtmsr'} r{register}")
        self.msr ^= change & (MSR_IR | MSR_DR | MSR_PR | MSR_SF)
        if self.msr & MSR_PR:
            self.msr |= MSR_IR | MSR_DR
        if self.chance(0.4):
            self.out(self.random.choice(("isync", "nop", f"mfmsr r{register}")))

    def do_trap(self) -> None:
        a, b = self.gpr(), self.gpr()
        to = self.random.randrange(1, 32)
        self.out(self.random.choice((
            f"tw {to}, r{a}, r{b}", f"td {to}, r{a}, r{b}",
            f"twi {to}, r{a}, {self.random.randrange(-99, 99)}",
            f"tdi {to}, r{a}, {self.random.randrange(-99, 99)}", "trap",
            f".long {self.random.choice(self.illegal()):#x}")))

    def illegal(self) -> tuple[int, ...]:
        return ILLEGAL + (ILLEGAL_9 if self.cell.power == 9 else ())

    def do_call(self) -> None:
        if self.chance(0.5):
            self.out("li r0, 0", "sc")
        else:
            self.out(f"scv {self.random.randrange(4)}")

    def do_fault(self) -> None:
        """Data or code without a mapping; unaligned where that is not done."""
        register = self.gpr()
        if self.msr & MSR_DR and self.chance(0.6):
            name, kinds = self.random.choice(self.memory + self.fp_memory)
            kind = kinds[-1]
            what = self.operand(kinds[0])
            if kind in ("M", "U", "D", "DU"):
                self.out(f"{name} {what}, {8 * self.random.randrange(64)}(r30)"
                         if what != "r30" else "nop")
            else:
                self.out(f"li r20, {8 * self.random.randrange(64)}",
                         f"{name} {what if what != 'r20' else 'r21'}, r30, r20")
        elif self.msr & MSR_DR and self.chance(0.3):
            self.out(self.random.choice(("dcbz 0, r30", "dcbst 0, r30", "dcbt 0, r30",
                                         f"lwarx r{register}, 0, r30", "icbi 0, r30")))
        elif self.msr & MSR_IR and self.chance(0.5):
            self.out("mtctr r30", "bctrl")
        else:
            self.out(f"addi r20, r31, {BUFFER + 1 + self.random.randrange(3)}",
                     f"{self.random.choice(('lwarx', 'ldarx'))} r{register}, 0, r20")

    def do_reserve(self) -> None:
        """Load-reserve, some work, store-conditional, again if it failed."""
        base, value = self.random.sample(range(3, 20), 2)
        lock = LOCKS + 0x80 * self.random.randrange(3)
        size = self.random.choice("bhwdq")
        top = self.label()
        if size == "q":
            value = 4 + 2 * self.random.randrange(8)
            base = 20
        self.out(f"addi r{base}, r31, {lock}")
        form = self.random.randrange(3)
        self.out(f"{top}:", f"l{size}arx r{value}, 0, r{base}")
        if form == 0:
            self.out(f"addi r{value}, r{value}, {self.random.randrange(1, 9)}")
        elif form == 1:                 # leave when it is taken, as a lock does
            self.out(f"cmpwi r{value}, {self.random.randrange(9)}",
                     f"beq- {top}x", f"xori r{value}, r{value}, 5")
        else:
            self.out(f"rlwinm r21, r{value}, 3, 5, 28", f"add r{value}, r{value}, r21",
                     f"nop")
        self.out(f"st{size}cx. r{value}, 0, r{base}", f"bne- {top}")
        if form == 1:
            self.out(f"{top}x:")

    def do_broken(self) -> None:
        """Reservations without the end that they should have."""
        self.out(f"addi r20, r31, {LOCKS}", f"addi r21, r31, {LOCKS + 0x80}")
        kind = self.random.randrange(4)
        if kind == 0:                   # never used
            self.out(f"lwarx r{self.gpr(20, 21)}, 0, r20")
            self.skipped()
        elif kind == 1:                 # the inner one breaks the outer one
            self.out("lwarx r22, 0, r20", "ldarx r23, 0, r21", "stwcx. r22, 0, r20")
        elif kind == 2:                 # never made
            self.out(f"addi r20, r31, {LOCKS + 0x140}", "stdcx. r22, 0, r20")
        else:
            target = self.label()
            self.out("ldarx r22, 0, r20", f"b {target}", f"{target}:", "li r0, 0", "sc",
                     "lwarx r23, 0, r21")

    def do_amo(self) -> None:
        base = self.gpr(low=20)
        first = self.random.randrange(4, 16)
        width = self.random.choice("wd")
        self.out(f"addi r{base}, r31, {LOCKS + 0x100}")
        # 5 and 7 are signed: not for words, see above
        codes = [0, 1, 2, 3, 4, 6] + ([5, 7] if width == "d" else [])
        if self.chance(0.5):
            self.out(f"l{width}at r{first}, r{base}, {self.random.choice([*codes, 8])}")
        else:
            self.out(f"st{width}at r{first}, r{base}, {self.random.choice(codes)}")

    def do_hypercall(self) -> None:
        if not self.privileged or self.high and self.chance(0.5):
            return
        kind = self.random.randrange(4)
        if kind == 0:
            ail = 3 - self.cell.ail
            self.out(f"set_ail {ail}")
            for _ in range(self.random.randrange(3)):
                self.random.choice((self.do_call, self.do_trap, self.do_integer))()
            self.out(f"set_ail {self.cell.ail}")
        elif kind == 1:
            self.out("li r3, -8", "hcall")                      # no such call
        elif kind == 2:
            self.out("set_mode 77, 0", "hcall")                 # no such resource
        else:                                                   # H_PUT_TERM_CHAR
            self.out("li r3, 0x58", "li r4, 0", "li r5, 1", "lis r6, 0x7800",
                     "sldi r6, r6, 32", "li r7, 0", "hcall")

    def do_endian(self) -> None:
        """Some instructions in the other byte order."""
        if not self.privileged or self.high:
            return
        there, back = self.label(), self.label()
        self.out("mfmsr r21", "xori r22, r21, 1", f"addr r20, {there}", "mtsrr0 r20",
                 "mtsrr1 r22", f"addr r20, {back}", "rfid", f"{there}:")
        words = [0x38630001,                                    # addi r3, r3, 1
                 0xe89f0000 | BUFFER + 8 * self.random.randrange(32),   # ld r4, (r31)
                 0x7ca000a6,                                    # mfmsr r5
                 0x38000000, 0x44000002,                        # li r0, 0; sc
                 0x7fe00008,                                    # trap
                 0x90df0000 | BUFFER + 8 * self.random.randrange(32)]   # stw r6, (r31)
        words = self.random.sample(words[:3], 2) + self.random.choice(
            (words[3:5], words[5:6], words[6:7], []))
        words += [0x7e9a03a6, 0x7ebb03a6, 0x4c000024]           # mtsrr0 r20 mtsrr1 r21 rfid
        self.out(".long " + ", ".join(f"{int.from_bytes(w.to_bytes(4, 'little'), 'big'):#x}"
                                      for w in words))
        self.out(f"{back}:")

    WEIGHTS: dict[str, float] = {
        "integer": 30, "division": 3, "condition": 8, "branch": 12, "memory": 14,
        "multiple": 0.7, "quadword": 1, "floating": 7, "vmx": 4, "vsx": 5, "prefixed": 6,
        "cache": 4, "spr": 4, "msr": 3, "trap": 1, "call": 1.2, "fault": 1.5, "reserve": 2,
        "broken": 0.7, "amo": 1, "hypercall": 1.2, "endian": 1.2}

    def has(self, name: str) -> bool:
        return name != "prefixed" or self.cell.power >= 10

    def section(self) -> None:
        """A change of state, some instructions, and home again."""
        if self.chance(0.15):
            self.body(self.random.randrange(20, 60), set())
            if self.msr:
                self.home()
            return
        msr = 0
        self.msr = self.random.choice((
            0, MSR_IR, MSR_DR, MSR_IR | MSR_DR, MSR_IR | MSR_DR,
            MSR_PR | MSR_IR | MSR_DR, MSR_PR | MSR_IR | MSR_DR, MSR_PR | MSR_IR | MSR_DR))
        self.high = False
        if self.msr & MSR_PR:
            msr |= MSR_PR | MSR_EE
            if self.chance(0.7):        # else rfid itself sets them
                msr |= MSR_IR | MSR_DR
        else:
            msr |= self.msr
            if self.chance(0.3):
                msr |= MSR_EE
        if self.chance(0.15):
            msr |= MSR_SF               # a toggle: to 32-bit mode
            self.msr |= MSR_SF
        elif self.msr & MSR_IR and self.chance(0.4):
            self.high = True
        for bit in (MSR_FP, MSR_VEC, MSR_VSX):
            if self.chance(0.3):
                msr |= bit              # toggles, too
        if self.chance(0.25):
            fe = self.random.choice((MSR_FE0, MSR_FE1, MSR_FE0 | MSR_FE1))
            msr |= fe
            self.msr |= fe
        if self.chance(0.3):
            msr |= self.random.getrandbits(64) & NOT_IN_MSR
        if self.chance(0.1):
            msr |= MSR_HV               # not for a guest to set
        traced = 0
        if self.chance(0.08):
            msr |= self.random.choice((MSR_SE, MSR_SE, MSR_BE, MSR_SE | MSR_BE))
            traced = self.random.randrange(1, 9)
            self.out(f"li r3, {traced}", "std r3, A_TRACE(r31)")
        target = self.label()
        self.out("ld r3, A_HOME(r31)", f"imm64 r4, {msr:#x}", "xor r3, r3, r4",
                 "mtsrr1 r3", f"addr r4, {target}")
        if self.high:
            self.out("lis r3, 0xc000", "sldi r3, r3, 32", "or r4, r4, r3")
        self.out("mtsrr0 r4", "rfid", f"{target}:")
        if traced:
            self.body(self.random.randrange(3, 9),
                      {"reserve", "broken", "hypercall", "endian", "fault", "prefixed"})
        else:
            self.body(self.random.randrange(20, 80), set())
        self.home()

    def home(self) -> None:
        """The handler of sc leads home from everywhere, but at this address."""
        self.out("li r0, 1", "sc")
        if self.high:
            target = self.label()
            self.out(f"ba {target}", f"{target}:")
        self.out("bl look")
        self.msr = 0
        self.high = False

    def text(self, sections: int) -> str:
        self.code(sections, "b .")
        values, doubles = self.integers(BLOCKS // 8), self.doubles(64)
        self.out(*(f".quad {value:#x}" for value in values), "pool_doubles:",
                 *(f".quad {struct.unpack('>Q', struct.pack('>d', value))[0]:#x}"
                   for value in doubles), ".balign 128", "data_end:", "")
        return "\n".join(self.lines)


def build_stream(cell: Cell, seed: int, out: Path, sections: int = SECTIONS,
                 tools: str = "powerpc64le-linux-gnu-") -> Path:
    """The ELF file of a cell's guest."""
    defines = {"LE": int(cell.little), "AIL": cell.ail, "HASH": int(cell.hash),
               "OTHERS": int(cell.cpus > 1), "FSCR": 0x3104 if cell.power >= 10 else 0x1104,
               "UNMAPPED": 0x0ff00000 if cell.hash and seed % 2 else 0x40000000}
    return assemble(
        out / f"{cell}-{seed}", Stream(cell, seed).text(sections),
        [f"{tools}as", "-mlittle" if cell.little else "-mbig", "-a64",
         f"-mpower{cell.power}", "-mregnames"],
        [f"{tools}ld", "-EL" if cell.little else "-EB",
         "-m", "elf64lppc" if cell.little else "elf64ppc"],
        "stream.S", "payload.ld", defines)


if __name__ == "__main__":
    sys.exit(generator.main(sys.argv[1:], __doc__, Cell.parse))
