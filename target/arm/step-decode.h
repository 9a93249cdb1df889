/*
 * A64 instruction description for single-stepping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_ARM_STEP_DECODE_H
#define TARGET_ARM_STEP_DECODE_H

/*
 * Everything here is pure: it looks at instruction words and register values
 * that the caller has fetched, and describes.  It reads no memory, keeps no
 * state and knows nothing of KVM.  It is for AArch64 state only.  Names of
 * sections and of instruction classes are those of the Arm Architecture
 * Reference Manual for A-profile architecture (DDI 0487); bit 0 is the least
 * significant one.
 *
 * Classes are given to what a stepper has to treat apart.  Beside the flow of
 * control that is what would see, or lose, the changes that a step makes to
 * the guest's state: PSTATE.I and PSTATE.F are set to hold back interrupts,
 * and the hypervisor steps with PSTATE.SS and MDSCR_EL1.SS.
 *
 * - DAIF, DAIFSet and DAIFClr see and change the masks.  ALLINT is the mask
 *   of the same interrupts with FEAT_NMI.
 * - The exception returns replace the masks by those of SPSR_EL1.
 * - An exception that is taken to EL1 saves the masks in SPSR_EL1, with
 *   PSTATE.SS: that is still 1 if the instruction has not completed, and 0
 *   after svc ("Software Step exceptions", chapter D2).  Taking an exception
 *   also ends the step, so that SPSR_EL1 is put right before the guest reads
 *   it, and nothing else writes the masks or SS to it.  Hence mrs and msr of
 *   SPSR_EL1 and ELR_EL1 are plain, and so are those of SPSR_EL12 and
 *   ELR_EL12, which are the same registers to a guest's hypervisor.
 * - PSTATE.SS is in no register that an instruction reads outside of Debug
 *   state.  An exception return takes it from SPSR_EL1 only if software step
 *   was disabled before the return and is enabled after it, which is not so
 *   for a step routed to EL2: that is enabled in EL1 and EL0 alike.
 * - MDSCR_EL1 and OSLAR_EL1 are plain: to be stepped by the hypervisor the
 *   guest runs with MDCR_EL2.TDE = 1, which acts as TDA = 1 and TDOSA = 1
 *   too.  Accesses are trapped, and the guest is given its own values.
 */

/**
 * ArmStepClass: what a stepper has to treat apart
 * @ARM_STEP_PLAIN: completes at the next address or raises an exception, and
 *     sees no interrupt mask.  Also any word that is no instruction
 * @ARM_STEP_BRANCH: a branch to an address that the instruction holds: b, bl,
 *     b.cond, bc.cond (FEAT_HBC), cbz, cbnz, tbz, tbnz, and with FEAT_CMPBR
 *     cb<cc>, cbb<cc>, cbh<cc>
 * @ARM_STEP_BRANCH_REG: a branch to the address in a register: br, blr, ret,
 *     and with FEAT_PAuth and FEAT_PAuth_LR their forms that authenticate it
 * @ARM_STEP_SVC: svc, whose preferred return address is the next instruction
 * @ARM_STEP_HVC: hvc, likewise
 * @ARM_STEP_SMC: smc, likewise unless it is trapped to EL2
 * @ARM_STEP_BRK: brk, whose preferred return address is its own
 * @ARM_STEP_HLT: hlt, which is UNDEFINED where halting is not allowed
 * @ARM_STEP_UDF: udf
 * @ARM_STEP_ERET: eret, eretaa, eretab; UNDEFINED in EL0
 * @ARM_STEP_DRPS: drps, which is UNDEFINED outside of Debug state
 * @ARM_STEP_WFI: wfi
 * @ARM_STEP_WFE: wfe
 * @ARM_STEP_WFIT: wfit (FEAT_WFxT)
 * @ARM_STEP_WFET: wfet (FEAT_WFxT)
 * @ARM_STEP_YIELD: yield
 * @ARM_STEP_MRS_DAIF: mrs from DAIF: D, A, I and F in bits 9 to 6.  In EL0
 *     this and the next three are trapped to EL1 unless SCTLR_EL1.UMA is 1
 * @ARM_STEP_MSR_DAIF: msr to DAIF from a register
 * @ARM_STEP_MSR_DAIFSET: msr daifset, which sets the masks that @imm names
 * @ARM_STEP_MSR_DAIFCLR: msr daifclr, which clears them
 * @ARM_STEP_MRS_ALLINT: mrs from ALLINT: the mask in bit 13.  In EL0 this and
 *     the next two are UNDEFINED
 * @ARM_STEP_MSR_ALLINT: msr to ALLINT from a register
 * @ARM_STEP_MSR_ALLINT_IMM: msr to ALLINT of @imm
 * @ARM_STEP_LDXR: a load-exclusive: ldxr, ldaxr, their forms with b, h and
 *     p, and with FEAT_LSUI ldtxr, ldatxr
 * @ARM_STEP_STXR: a store-exclusive: stxr, stlxr and so on
 * @ARM_STEP_CLREX: clrex
 */
typedef enum ArmStepClass {
    ARM_STEP_PLAIN,
    ARM_STEP_BRANCH,
    ARM_STEP_BRANCH_REG,
    ARM_STEP_SVC,
    ARM_STEP_HVC,
    ARM_STEP_SMC,
    ARM_STEP_BRK,
    ARM_STEP_HLT,
    ARM_STEP_UDF,
    ARM_STEP_ERET,
    ARM_STEP_DRPS,
    ARM_STEP_WFI,
    ARM_STEP_WFE,
    ARM_STEP_WFIT,
    ARM_STEP_WFET,
    ARM_STEP_YIELD,
    ARM_STEP_MRS_DAIF,
    ARM_STEP_MSR_DAIF,
    ARM_STEP_MSR_DAIFSET,
    ARM_STEP_MSR_DAIFCLR,
    ARM_STEP_MRS_ALLINT,
    ARM_STEP_MSR_ALLINT,
    ARM_STEP_MSR_ALLINT_IMM,
    ARM_STEP_LDXR,
    ARM_STEP_STXR,
    ARM_STEP_CLREX,
    ARM_STEP_CLASS_MAX,
} ArmStepClass;

/**
 * ArmStepGroup: the main encoding groups ("A64 instruction set encoding")
 * @ARM_STEP_GROUP_RESERVED: reserved, which has udf, and unallocated
 * @ARM_STEP_GROUP_SME: SME
 * @ARM_STEP_GROUP_SVE: SVE
 * @ARM_STEP_GROUP_IMM: data processing, immediate
 * @ARM_STEP_GROUP_BRANCH: branches, exception generating and system
 *     instructions, which have the cache maintenance and dc zva
 * @ARM_STEP_GROUP_LDST: loads and stores, which have the atomics
 * @ARM_STEP_GROUP_REG: data processing, register
 * @ARM_STEP_GROUP_SIMD: data processing, scalar floating-point and Advanced
 *     SIMD
 */
typedef enum ArmStepGroup {
    ARM_STEP_GROUP_RESERVED,
    ARM_STEP_GROUP_SME,
    ARM_STEP_GROUP_SVE,
    ARM_STEP_GROUP_IMM,
    ARM_STEP_GROUP_BRANCH,
    ARM_STEP_GROUP_LDST,
    ARM_STEP_GROUP_REG,
    ARM_STEP_GROUP_SIMD,
    ARM_STEP_GROUP_MAX,
} ArmStepGroup;

/**
 * ArmStepTest: what an ARM_STEP_BRANCH depends on
 */
typedef enum ArmStepTest {
    ARM_STEP_TEST_NONE,     /* nothing: b, bl */
    ARM_STEP_TEST_FLAGS,    /* PSTATE.NZCV */
    ARM_STEP_TEST_IMM,      /* the low @bits of @reg, compared with @imm */
    ARM_STEP_TEST_REG,      /* the same, compared with those of @rm */
    ARM_STEP_TEST_BIT,      /* bit @imm of @reg, compared with 0 */
} ArmStepTest;

/**
 * ArmStepInsn: the description of one instruction
 * @cls: its class
 * @group: its encoding group
 * @test: what an ARM_STEP_BRANCH depends on
 * @cond: the condition under which it branches, as in b.cond: 0 is EQ, 15 NV
 *     (ConditionHolds()).  That of a comparison is one of EQ, NE, HS, LO, HI,
 *     GE, LT and GT; ARM_STEP_TEST_BIT has EQ or NE.  14 (AL) for b and bl
 * @bits: how many bits ARM_STEP_TEST_IMM and ARM_STEP_TEST_REG compare: 8,
 *     16, 32 or 64
 * @disp: sign-extended displacement of an ARM_STEP_BRANCH in bytes
 * @link: the address of the next instruction goes to X30 (bl, blr)
 * @pac: the address of an ARM_STEP_BRANCH_REG or ARM_STEP_ERET has a pointer
 *     authentication code, which is checked and removed before it is used
 * @context: it may change what addresses translate to, other than by an
 *     exception return: an msr from a register, or a sys (tlbi, ic, dc ...).
 *     Which system register that is does not matter, so this is true too
 *     often, but not for the classes of DAIF and ALLINT
 * @reg: Rt, or the register of an ARM_STEP_BRANCH_REG, 30 for those without
 *     such a field.  It belongs to ARM_STEP_BRANCH with a test of a register,
 *     ARM_STEP_BRANCH_REG, ARM_STEP_WFIT, ARM_STEP_WFET, ARM_STEP_MRS_*,
 *     ARM_STEP_MSR_* from a register, ARM_STEP_LDXR and ARM_STEP_STXR.  31 is
 *     the zero register
 * @rm: the other register of ARM_STEP_TEST_REG, 31 being the zero register
 * @imm: what it is compared with, or the number of the bit, see @test; the
 *     16 bits of svc, hvc, smc, brk, hlt and udf; the 4 bits of daifset and
 *     daifclr, which stand for D, A, I and F, D being bit 3; the 1 of ALLINT
 * @rn: the base register of ARM_STEP_LDXR and ARM_STEP_STXR, 31 being SP
 * @rs: the status register of ARM_STEP_STXR, 31 being the zero register
 * @rt2: the second register of a pair, 31 being the zero register
 * @pair: two registers are loaded or stored: ldxp, ldaxp, stxp, stlxp
 * @size: bytes that ARM_STEP_LDXR and ARM_STEP_STXR access, 1 to 16
 *
 * A field that does not belong to the class is 0 or false.
 */
typedef struct ArmStepInsn {
    ArmStepClass cls;
    ArmStepGroup group;
    ArmStepTest test;
    uint8_t cond;
    uint8_t bits;
    int64_t disp;
    bool link;
    bool pac;
    bool context;
    uint8_t reg;
    uint8_t rm;
    uint16_t imm;
    uint8_t rn;
    uint8_t rs;
    uint8_t rt2;
    bool pair;
    uint8_t size;
} ArmStepInsn;

/**
 * arm_step_decode() - describe an instruction
 * @word: the instruction; they are little-endian whatever the data is
 * @insn: filled in completely
 *
 * Never fails: a word that is no instruction is ARM_STEP_PLAIN.  It knows the
 * instructions of all extensions, whether or not the processor has them.
 */
void arm_step_decode(uint32_t word, ArmStepInsn *insn);

/**
 * ArmStepBranchRegs: what a branch depends on
 * @pc: address of the instruction
 * @pstate: N, Z, C and V in bits 31 to 28, as in SPSR_EL1; the others do not
 *     matter
 * @x: X0 to X30
 */
typedef struct ArmStepBranchRegs {
    uint64_t pc;
    uint64_t pstate;
    const uint64_t *x;
} ArmStepBranchRegs;

/**
 * arm_step_successor() - the address at which an instruction completes
 * @insn: a description
 * @regs: the registers before it
 *
 * Exact for ARM_STEP_BRANCH.  For ARM_STEP_BRANCH_REG it is the value of the
 * register: what the processor removes from it is the caller's to remove,
 * that is the pointer authentication code if @insn.pac is true, and the
 * address tag if the top byte is ignored (BranchAddr()).  A target that is no
 * multiple of 4 is branched to, and raises an exception there.
 *
 * For all other classes it is the address of the next instruction, which is
 * meaningless for those that raise an exception and for ARM_STEP_ERET.
 */
uint64_t arm_step_successor(const ArmStepInsn *insn,
                            const ArmStepBranchRegs *regs);

#define ARM_STEP_WRITES_SP (1u << 31)

/**
 * arm_step_writes() - the general-purpose registers that it may change
 * @insn: a description
 * @word: the instruction
 *
 * For an instruction that completes; one that raises an exception to EL1
 * changes none.  What a hypervisor may do for hvc and smc is counted as
 * theirs.
 *
 * Returns: a mask of bits 0 to 30 for X0 to X30 and ARM_STEP_WRITES_SP for
 * the current stack pointer.  It has all that are changed, and may have more:
 * fields are taken for registers where some instruction of the class has one.
 */
uint32_t arm_step_writes(const ArmStepInsn *insn, uint32_t word);

#endif /* TARGET_ARM_STEP_DECODE_H */
