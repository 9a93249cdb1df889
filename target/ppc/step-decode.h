/*
 * PowerPC instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_PPC_STEP_DECODE_H
#define TARGET_PPC_STEP_DECODE_H

/*
 * Everything here is pure: it looks at instruction words and register values
 * that the caller has fetched, and describes.  It reads no memory, keeps no
 * state and knows nothing of KVM.  Section numbers are those of the Power ISA,
 * Version 3.1B; bit numbers are the Power ISA's (bit 0 is the most
 * significant one) unless a mask is given.
 */

/**
 * PPCStepClass: what a stepper has to treat apart
 * @PPC_STEP_PLAIN: runs, completes at the next address, sees no MSR or SRRn
 * @PPC_STEP_BRANCH: b, bc, bclr, bcctr, bctar and their forms (Book I, 2.4)
 * @PPC_STEP_SC: sc that goes to the guest's own vector (Book III, 4.3.1):
 *     LEV = 0, or any other LEV whose last two bits are 0, since the bits
 *     before them are treated as reserved (Book I, 2.4)
 * @PPC_STEP_HCALL: sc with any other LEV.  1 is a hypervisor call and 2 an
 *     ultravisor call; processors before Power ISA 3.0C treat all but the last
 *     bit as reserved, so 2 may reach the guest's own vector there
 * @PPC_STEP_SCV: scv (Book III, 4.3.1)
 * @PPC_STEP_RFID: rfid (Book III, 4.3.2)
 * @PPC_STEP_RFSCV: rfscv (Book III, 4.3.2)
 * @PPC_STEP_MFMSR: mfmsr (Book III, 5.4.4)
 * @PPC_STEP_MTMSR: mtmsr, either L
 * @PPC_STEP_MTMSRD: mtmsrd, either L
 * @PPC_STEP_MFSRR: mfspr from SRR0 or SRR1, also when encoded as mftb
 * @PPC_STEP_MTSRR: mtspr to SRR0 or SRR1
 * @PPC_STEP_LARX: l[bhwdq]arx (Book II, 4.6.2)
 * @PPC_STEP_STCX: st[bhwdq]cx.
 * @PPC_STEP_RFEBB: rfebb, which completes at the address in EBBRR (Book II, 7)
 */
typedef enum PPCStepClass {
    PPC_STEP_PLAIN,
    PPC_STEP_BRANCH,
    PPC_STEP_SC,
    PPC_STEP_HCALL,
    PPC_STEP_SCV,
    PPC_STEP_RFID,
    PPC_STEP_RFSCV,
    PPC_STEP_MFMSR,
    PPC_STEP_MTMSR,
    PPC_STEP_MTMSRD,
    PPC_STEP_MFSRR,
    PPC_STEP_MTSRR,
    PPC_STEP_LARX,
    PPC_STEP_STCX,
    PPC_STEP_RFEBB,
    PPC_STEP_CLASS_MAX,
} PPCStepClass;

/**
 * PPCStepBranch: where a branch takes its target from
 */
typedef enum PPCStepBranch {
    PPC_STEP_BRANCH_REL,   /* current instruction address + disp */
    PPC_STEP_BRANCH_ABS,   /* disp (AA = 1) */
    PPC_STEP_BRANCH_LR,
    PPC_STEP_BRANCH_CTR,
    PPC_STEP_BRANCH_TAR,
} PPCStepBranch;

/*
 * Synchronous interrupts that an instruction may raise (Book III, 7.5).  An
 * instruction that this decoder does not know may raise them all.  Prefixed
 * instructions have PPC_STEP_INT_DATA even if they are no loads or stores:
 * crossing a 64-byte boundary is an alignment interrupt.
 */
#define PPC_STEP_INT_DATA     0x01  /* 0x300, 0x380 and 0x600 (alignment) */
#define PPC_STEP_INT_FETCH    0x02  /* 0x400, 0x480 */
#define PPC_STEP_INT_PROGRAM  0x04  /* 0x700 */
#define PPC_STEP_INT_FP       0x08  /* 0x800 */
#define PPC_STEP_INT_VEC      0x10  /* 0xf20 */
#define PPC_STEP_INT_VSX      0x20  /* 0xf40 */
#define PPC_STEP_INT_FACILITY 0x40  /* 0xf60 */
#define PPC_STEP_INT_ALL      0x7f

/**
 * PPCStepInsn: the description of one instruction
 * @cls: its class
 * @length: 4, or 8 for a prefixed instruction (Book I, 1.6.3)
 * @interrupts: PPC_STEP_INT_* that it may raise, never too few
 * @branch: source of the target, for PPC_STEP_BRANCH
 * @disp: sign-extended displacement of a branch in bytes
 * @bo: BO field; 0x14 (branch always) for the I-form
 * @bi: BI field, a CR bit 0..31
 * @link: LK = 1
 * @reg: RT or RS of the MSR and SRRn moves
 * @spr: 26 (SRR0) or 27 (SRR1) for PPC_STEP_MFSRR and PPC_STEP_MTSRR
 * @l: the L field of mtmsr and mtmsrd, the LEV field of sc and scv
 * @context: it may change what addresses translate to beside MSR: the process
 *     (PIDR, Book III, 6.7.1), the SLB (6.9.3), or by a hypercall anything
 * @mem: it accesses storage at the address that ppc_step_mem_ea() gives.
 *     False for an access whose address this decoder does not compute, and
 *     for invalid forms (update with RA = 0, R = 1 with RA other than 0);
 *     @interrupts has PPC_STEP_INT_DATA in either case.  The other mem_*
 *     fields mean nothing when it is false
 * @mem_base: RA, 0 meaning the value 0; 32 for the address of the
 *     instruction itself (prefixed, R = 1)
 * @mem_index: RB, where 0 means GPR 0, or -1 for a form without an index
 * @mem_disp: displacement in bytes
 * @mem_size: bytes that may be accessed from the address on, at least 1
 * @mem_align: the address is rounded down to a multiple of this power of two:
 *     1 (not rounded), the operand size for the vector loads and stores that
 *     ignore low address bits, 128 for a cache-block operation
 */
typedef struct PPCStepInsn {
    PPCStepClass cls;
    uint8_t length;
    uint8_t interrupts;
    PPCStepBranch branch;
    int64_t disp;
    uint8_t bo;
    uint8_t bi;
    bool link;
    uint8_t reg;
    uint16_t spr;
    uint8_t l;
    bool context;
    bool mem;
    uint8_t mem_base;
    int8_t mem_index;
    int64_t mem_disp;
    uint8_t mem_size;
    uint8_t mem_align;
} PPCStepInsn;

/**
 * ppc_step_is_prefix() - is this word the first of a prefixed instruction?
 * @word: the word, as a number in the CPU's current byte order
 *
 * Primary opcode 1 (Book I, 1.6.3).  On processors before Power ISA 3.1 such
 * a word is illegal; describing it as eight bytes is harmless there, since it
 * never completes.
 */
bool ppc_step_is_prefix(uint32_t word);

/**
 * ppc_step_decode() - describe an instruction
 * @word: the instruction, or the prefix of a prefixed one
 * @suffix: the second word of a prefixed instruction, else ignored
 * @insn: filled in completely
 *
 * Never fails: a word that is no instruction is PPC_STEP_PLAIN with
 * PPC_STEP_INT_ALL, since running it raises one of those.
 */
void ppc_step_decode(uint32_t word, uint32_t suffix, PPCStepInsn *insn);

/**
 * PPCStepBranchRegs: what a branch depends on
 */
typedef struct PPCStepBranchRegs {
    uint64_t pc;
    uint64_t lr;
    uint64_t ctr;
    uint64_t tar;
    uint32_t cr;        /* CR bit 0 is the most significant bit */
    bool sf;            /* MSR[SF]: addresses and CTR tests have 64 bits */
} PPCStepBranchRegs;

/**
 * ppc_step_successor() - the address at which an instruction completes
 * @insn: a description
 * @regs: the registers before it
 *
 * Exact for PPC_STEP_BRANCH (Book I, 2.4: CTR is decremented first when BO
 * says so, and the target has its low two bits cleared; with @regs.sf false
 * the result is taken modulo 2^32).  The invalid form of bcctr that also
 * decrements CTR tests it before, as the processors do that implement it.
 * For all other classes it is the next sequential address, which is
 * meaningless for PPC_STEP_SC, PPC_STEP_SCV, PPC_STEP_RFID, PPC_STEP_RFSCV
 * and PPC_STEP_RFEBB.
 */
uint64_t ppc_step_successor(const PPCStepInsn *insn,
                            const PPCStepBranchRegs *regs);

/**
 * ppc_step_mem_ea() - the effective address of a storage access
 * @insn: a description with @mem set
 * @pc: address of the instruction
 * @gpr: the 32 general purpose registers before it
 * @sf: MSR[SF]
 */
uint64_t ppc_step_mem_ea(const PPCStepInsn *insn, uint64_t pc,
                         const uint64_t *gpr, bool sf);

#endif /* TARGET_PPC_STEP_DECODE_H */
