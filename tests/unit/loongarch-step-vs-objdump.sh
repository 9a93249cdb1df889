#!/bin/sh
#
# Comparison of the description of LoongArch instructions with objdump
#
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: loongarch-step-vs-objdump.sh LOONGARCH-STEP-DUMP [OBJDUMP [N [SEED]]]
#        loongarch-step-vs-objdump.sh LOONGARCH-STEP-DUMP OBJDUMP \
#            --top BITS TOP STRIDE
#
# Compares class, target, registers, immediates, CSR numbers, and of accesses to
# memory the address and the size.  Exceptions have to have what the operands
# ask for.  The aliases that objdump prefers are known.  A word that objdump
# does not know has to be plain, and may be no instruction.  See
# loongarch-step-dump.c for which words.

set -eu

dump=$1
objdump=${2:-loongarch64-linux-gnu-objdump}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if [ "${3:-}" = --top ]; then
    "$dump" --top "$4" "$5" "$6" "$dir/blob" > "$dir/described"
else
    "$dump" "${3:-400000}" "${4:-1}" "$dir/blob" > "$dir/described"
fi
n=$(wc -l < "$dir/described")
"$objdump" -b binary -m loongarch64 -EL -D -z -M numeric \
    --adjust-vma=0x100000000 "$dir/blob" > "$dir/disassembled"

awk -v n="$n" -v described="$dir/described" '
BEGIN {
    DATA = 1; PROGRAM = 2; FP = 4; VEC = 8; BT = 16
    sizes["b"] = 1; sizes["h"] = 2; sizes["w"] = 4; sizes["d"] = 8
    sizes["s"] = 4; sizes["q"] = 16; sizes["bu"] = 1; sizes["hu"] = 2
    sizes["wu"] = 4; sizes["du"] = 8
}

function size_of(m) {
    if (m ~ /^v(ld|st)x?$/) {
        return 16
    } else if (m ~ /^xv(ld|st)x?$/) {
        return 32
    }
    sub(/.*\./, "", m)
    return sizes[m]
}

# The memory access that the operands show, or nothing
function memory(m,    part) {
    part = m ~ /^(ld|st)[lr]\./ ? " part" : ""
    if (m ~ /^am/) {
        return " mem " size_of(m) " " op[3] " 0"
    } else if (m ~ /^(llacq|screl)/) {
        return " mem " size_of(m) " " op[2] " 0"
    } else if (m == "sc.q") {
        return " mem 16 " op[3] " 0"
    } else if (m ~ /^f?(ld|st)(gt|le)\./) {
        return " mem " size_of(m) " " op[2] " 0"
    } else if (m ~ /^(f|x?v)?(ld|st)x/ || m ~ /^(ld|st)x\./) {
        return " mem " size_of(m) " " op[2] " " op[3]
    } else if (m ~ /^(f|x?v)?(ld|st)\.?/ && m !~ /^vldi|^xvldi/ ||
               m ~ /^(ll|sc)\./) {
        return " mem " size_of(m) part " " op[2] " " op[3]
    }
    return ""
}

# What objdump shows, as loongarch-step-dump describes it
function shown(m,    target) {
    target = comment
    sub(/.* /, "", target)
    if (m == "b" || m == "bl") {
        return m " " target
    } else if (m == "beqz" || m == "bnez") {
        return substr(m, 2, 2) " " op[1] " $r0 " target
    } else if (m == "bceqz" || m == "bcnez") {
        return "fcc" (m == "bcnez") " " op[1] " " target
    } else if (m ~ /^b(eq|ne|lt|ge|ltu|geu)$/) {
        return substr(m, 2) " " op[1] " " op[2] " " target
    } else if (m ~ /^b(ltz|gez)$/) {
        return substr(m, 2, 2) " " op[1] " $r0 " target
    } else if (m == "bgtz" || m == "blez") {
        return (m == "bgtz" ? "lt" : "ge") " $r0 " op[1] " " target
    } else if (m == "jr" || m == "ret") {
        return "jirl $r0 " (count ? op[1] : "$r1") " 0"
    } else if (m == "jirl") {
        return "jirl " op[1] " " op[2] " " op[3]
    } else if (m ~ /^jiscr[01]$/) {
        return m " " op[1]
    } else if (m ~ /^(syscall|break|dbcl|hvcl|idle)$/ || m == "csrrd" ||
               m == "csrwr") {
        return m " " op[1] (count > 1 ? " " op[2] : "")
    } else if (m == "csrxchg") {
        return m " " op[1] " " op[2] " " op[3]
    } else if (m ~ /^gcsr/) {
        return "gcsr"
    } else if (m ~ /^g?tlb/ || m == "invtlb") {
        return "tlb"
    } else if (m == "lddir" || m == "ldpte") {
        return "walk"
    } else if (m ~ /^iocsr/) {
        return "iocsr"
    } else if (m ~ /^rdtime/) {
        return "rdtime"
    } else if (m == "cacop" || m == "cpucfg" || m == "ertn") {
        return m
    } else if (m ~ /^(ll|llacq)\./) {
        return "ll" memory(m)
    } else if (m ~ /^(sc|screl)\./) {
        return "sc" memory(m)
    }
    return "plain" memory(m)
}

function has(mask, bit) {
    return int(mask / bit) % 2
}

# Those of LBT that access no memory
function is_bt(m) {
    return m ~ /^(x86|arm|setx86|setarm|movscr2gr|movgr2scr|jiscr|adc|sbc|rcr)/ ||
           m ~ /^(rotri?\.[bh]|addu12i)/ || m ~ /^(ld|st)[lr]\.[wd]/ ||
           m ~ /^fcvt\.(ud|ld|d\.ld)/
}

function exceptions_fit(m, mask) {
    if (all ~ /\$(f[0-9c]|fcsr)/ && !has(mask, FP)) {
        return 0
    }
    if (all ~ /\$[vx]r/ && !has(mask, VEC)) {
        return 0
    }
    if ((memory(m) || m ~ /^(asrt|lddir|ldpte|cacop)/) && !has(mask, DATA)) {
        return 0
    }
    if (m ~ /^(am|iocsr|csr|gcsr|g?tlb|invtlb|ertn|idle|rdtime|lddir|ldpte|cacop)/ &&
        !has(mask, PROGRAM)) {
        return 0
    }
    return !is_bt(m) || has(mask, BT)
}

function fail(why) {
    if (failed++ < 50) {
        print why ": " described_line " | " text > "/dev/stderr"
    }
}

function compare(    description, mask, m) {
    if ((getline described_line < described) <= 0) {
        fail("too many words")
        return
    }
    description = described_line
    mask = description
    sub(/.*\|/, "", mask)
    sub(/\|.*/, "", description)
    description = substr(description, 10)
    if (substr(described_line, 1, 8) != word) {
        fail("another word")
        return
    }
    if (text ~ /^\.word/) {
        unknown++
        if (description == "tlb" && word ~ /^0648[23][048c]01$/) {
            # binutils 2.44 has gtlbflush of these alone
            guest_tlb++
        } else if (description != "plain" || !has(mask, PROGRAM)) {
            fail("not in objdump")
        }
        return
    }
    comment = text ~ /#/ ? text : ""
    sub(/\t*#.*/, "", text)
    m = text
    sub(/[ \t].*/, "", m)
    all = text
    sub(/^[^ \t]*[ \t]*/, "", all)
    gsub(/ /, "", all)
    count = split(all, op, ",")
    if (shown(m) != description) {
        fail("differs (" shown(m) ")")
    } else if (!exceptions_fit(m, mask)) {
        fail("exceptions")
    } else {
        passed++
        known += description != "plain"
    }
}

/^ *[0-9a-f]+:\t/ {
    split($0, f, "\t")
    word = f[2]
    sub(/ *$/, "", word)
    text = $0
    sub(/^[^\t]*\t[^\t]*\t/, "", text)
    compare()
    words++
}

END {
    if (words != n) {
        print "objdump shows " words " words instead of " n
        failed++
    }
    print unknown - guest_tlb " not in objdump, and plain; " guest_tlb + 0 \
          " not, and gtlbclr and so on (LVZ)"
    print passed + 0 " passed, " known + 0 " of them not plain, " \
          failed + 0 " failed"
    exit failed != 0 || !passed
}' "$dir/disassembled"
