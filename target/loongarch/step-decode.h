/*
 * LoongArch instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_LOONGARCH_STEP_DECODE_H
#define TARGET_LOONGARCH_STEP_DECODE_H

/*
 * Everything here is pure: it looks at instruction words and register values
 * that the caller has fetched, and describes.  It reads no memory, keeps no
 * state and knows nothing of KVM.  Names are those of the LoongArch Reference
 * Manual, Volume 1; LBT and LVZ have no public manual, and what is here of them
 * is what binutils knows.  Bit 0 is the least significant one.
 *
 * Classes are given to what a stepper has to treat apart: what does not go on
 * behind itself, what sees or changes CRMD, which has the interrupt enable,
 * what waits, what KVM handles itself, and what belongs to a reservation.
 *
 * PRMD and TLBRPRMD have copies of the interrupt enable, but an instruction
 * that reads or writes them sees what an earlier exception has left there, or
 * the guest.  So these are CSRs as all others.
 */

/**
 * LoongArchStepClass: what a stepper has to treat apart
 * @LOONGARCH_STEP_PLAIN: completes at the next address or raises an exception.
 *     Also any word that is no instruction
 * @LOONGARCH_STEP_BRANCH: a branch to an address that the instruction holds: b,
 *     bl, beq, bne, blt, bge, bltu, bgeu, beqz, bnez, bceqz, bcnez
 * @LOONGARCH_STEP_JIRL: jirl, to a general register and a displacement
 * @LOONGARCH_STEP_JISCR: jiscr0, jiscr1, to a scratch register of LBT and a
 *     displacement
 * @LOONGARCH_STEP_SYSCALL: syscall
 * @LOONGARCH_STEP_BREAK: break
 * @LOONGARCH_STEP_DBCL: dbcl, an exception for a debugger that the machine has
 * @LOONGARCH_STEP_HVCL: hvcl, a hypercall (LVZ)
 * @LOONGARCH_STEP_ERTN: ertn
 * @LOONGARCH_STEP_IDLE: idle
 * @LOONGARCH_STEP_CSRRD: csrrd: @rd becomes @csr
 * @LOONGARCH_STEP_CSRWR: csrwr: @rd and @csr are exchanged
 * @LOONGARCH_STEP_CSRXCHG: csrxchg: the same for the bits that are set in @rj;
 *     @rd becomes all of the old @csr
 * @LOONGARCH_STEP_GCSR: gcsrrd, gcsrwr, gcsrxchg (LVZ)
 * @LOONGARCH_STEP_TLB: tlbsrch, tlbrd, tlbwr, tlbfill, tlbclr, tlbflush,
 *     invtlb, and those of LVZ for a guest
 * @LOONGARCH_STEP_WALK: lddir, ldpte
 * @LOONGARCH_STEP_CACOP: cacop
 * @LOONGARCH_STEP_IOCSR: iocsrrd, iocsrwr
 * @LOONGARCH_STEP_CPUCFG: cpucfg
 * @LOONGARCH_STEP_RDTIME: rdtimel.w, rdtimeh.w, rdtime.d
 * @LOONGARCH_STEP_LL: ll.w, ll.d, llacq.w, llacq.d
 * @LOONGARCH_STEP_SC: sc.w, sc.d, sc.q, screl.w, screl.d
 */
typedef enum LoongArchStepClass {
    LOONGARCH_STEP_PLAIN,
    LOONGARCH_STEP_BRANCH,
    LOONGARCH_STEP_JIRL,
    LOONGARCH_STEP_JISCR,
    LOONGARCH_STEP_SYSCALL,
    LOONGARCH_STEP_BREAK,
    LOONGARCH_STEP_DBCL,
    LOONGARCH_STEP_HVCL,
    LOONGARCH_STEP_ERTN,
    LOONGARCH_STEP_IDLE,
    LOONGARCH_STEP_CSRRD,
    LOONGARCH_STEP_CSRWR,
    LOONGARCH_STEP_CSRXCHG,
    LOONGARCH_STEP_GCSR,
    LOONGARCH_STEP_TLB,
    LOONGARCH_STEP_WALK,
    LOONGARCH_STEP_CACOP,
    LOONGARCH_STEP_IOCSR,
    LOONGARCH_STEP_CPUCFG,
    LOONGARCH_STEP_RDTIME,
    LOONGARCH_STEP_LL,
    LOONGARCH_STEP_SC,
    LOONGARCH_STEP_CLASS_MAX,
} LoongArchStepClass;

/**
 * LoongArchStepTest: what a LOONGARCH_STEP_BRANCH depends on
 */
typedef enum LoongArchStepTest {
    LOONGARCH_STEP_TEST_NONE,   /* nothing: b, bl */
    LOONGARCH_STEP_TEST_EQ,     /* @rj == @rd; beqz has 0 for @rd */
    LOONGARCH_STEP_TEST_NE,
    LOONGARCH_STEP_TEST_LT,     /* signed */
    LOONGARCH_STEP_TEST_GE,
    LOONGARCH_STEP_TEST_LTU,    /* unsigned */
    LOONGARCH_STEP_TEST_GEU,
    LOONGARCH_STEP_TEST_FCC0,   /* FCC @fcc is 0: bceqz */
    LOONGARCH_STEP_TEST_FCC1,   /* FCC @fcc is not 0: bcnez */
} LoongArchStepTest;

/*
 * Exceptions that an instruction may raise, by what raises them, beside those
 * of its fetch, and of syscall and break (table "Exception codes").  One that
 * this decoder does not know may raise them all.
 */
#define LOONGARCH_STEP_EXC_DATA    0x01 /* PIL PIS PME PNR PPI ADEM ALE BCE */
#define LOONGARCH_STEP_EXC_PROGRAM 0x02 /* INE IPE */
#define LOONGARCH_STEP_EXC_FP      0x04 /* FPD FPE */
#define LOONGARCH_STEP_EXC_VEC     0x08 /* SXD ASXD, and FPE for VFPE */
#define LOONGARCH_STEP_EXC_BT      0x10 /* BTD BTE */
#define LOONGARCH_STEP_EXC_ALL     0x1f

/**
 * LoongArchStepInsn: the description of one instruction
 * @cls: its class
 * @exceptions: LOONGARCH_STEP_EXC_* that it may raise, never too few
 * @test: what a LOONGARCH_STEP_BRANCH depends on
 * @disp: sign-extended displacement of a branch in bytes
 * @link: the address of the next instruction goes to a register: to @rd of jirl
 *     if that is not 0, to register 1 of bl
 * @rd: bits 4:0, of branches with a test, jirl and CSR accesses
 * @rj: bits 9:5, of the same, csrrd and csrwr excepted
 * @fcc: the condition flag of bceqz and bcnez, 0 to 7
 * @scr: the scratch register of jiscr0 and jiscr1, 0 or 1
 * @csr: the number of the CSR of CSR accesses, and of gcsrrd and so on
 * @imm: the 15 bits of syscall, break, dbcl, hvcl and idle
 * @context: it may change what addresses translate to, and where exceptions go,
 *     other than by CRMD: it writes a CSR or the TLB, or is a hypercall
 * @mem: it accesses memory at the address that loongarch_step_mem_va() gives.
 *     False for an access whose address this decoder does not know; @exceptions
 *     has LOONGARCH_STEP_EXC_DATA in either case.  The other mem_* fields mean
 *     nothing when it is false.  A prefetch is no access
 * @mem_base: RJ
 * @mem_index: RK, or -1 for a form without an index
 * @mem_disp: displacement in bytes
 * @mem_size: bytes that may be accessed from the address on, 1 to 32
 * @mem_align: the address is rounded down to a multiple of this power of two:
 *     1 (not rounded), or the operand size for those of LBT that access a part
 *     of an aligned operand
 *
 * A field that does not belong to the class is 0 or false.
 */
typedef struct LoongArchStepInsn {
    LoongArchStepClass cls;
    uint8_t exceptions;
    LoongArchStepTest test;
    int64_t disp;
    bool link;
    uint8_t rd;
    uint8_t rj;
    uint8_t fcc;
    uint8_t scr;
    uint16_t csr;
    uint16_t imm;
    bool context;
    bool mem;
    uint8_t mem_base;
    int8_t mem_index;
    int64_t mem_disp;
    uint8_t mem_size;
    uint8_t mem_align;
} LoongArchStepInsn;

/**
 * loongarch_step_decode() - describe an instruction
 * @word: the instruction
 * @insn: filled in completely
 *
 * Never fails: a word that is no instruction is LOONGARCH_STEP_PLAIN with
 * LOONGARCH_STEP_EXC_ALL.  It knows the instructions of all extensions, whether
 * or not the processor has them.
 */
void loongarch_step_decode(uint32_t word, LoongArchStepInsn *insn);

/**
 * LoongArchStepBranchRegs: what a branch depends on
 * @pc: address of the instruction
 * @gpr: the 32 general registers
 * @fcc: bits 0 to 7 for FCC0 to FCC7
 * @scr: SCR0 and SCR1
 * @va32: addresses have 32 bits (MISC.VA32)
 */
typedef struct LoongArchStepBranchRegs {
    uint64_t pc;
    const uint64_t *gpr;
    uint8_t fcc;
    uint64_t scr[2];
    bool va32;
} LoongArchStepBranchRegs;

/**
 * loongarch_step_successor() - the address at which an instruction completes
 * @insn: a description
 * @regs: the registers before it
 *
 * A target that is no multiple of 4 is branched to, and raises an exception
 * there.  For classes other than branches it is the address of the next
 * instruction, which is meaningless for syscall, break, dbcl and ertn.
 */
uint64_t loongarch_step_successor(const LoongArchStepInsn *insn,
                                  const LoongArchStepBranchRegs *regs);

/**
 * loongarch_step_mem_va() - the address of a memory access
 * @insn: a description with @mem set
 * @gpr: the 32 general registers before it
 * @va32: addresses have 32 bits
 */
uint64_t loongarch_step_mem_va(const LoongArchStepInsn *insn,
                               const uint64_t *gpr, bool va32);

#endif /* TARGET_LOONGARCH_STEP_DECODE_H */
