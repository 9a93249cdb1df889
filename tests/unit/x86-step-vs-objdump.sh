#!/bin/sh
#
# Comparison of the description of x86 instructions with objdump
#
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: x86-step-vs-objdump.sh X86-STEP-DUMP [OBJDUMP [N [SEED]]]
#
# Compares lengths, in 16, 32 and 64 bit code.  What objdump does not know is
# counted.

set -eu

dump=$1
objdump=${2:-objdump}
n=${3:-20000}
seed=${4:-1}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

compare() {
    awk -v mode="$1" -v n="$n" '
NR == FNR {
    length_of[$1] = $2
    class_of[$1] = $3
    next
}
{
    at = $1
    sub(/:$/, "", at)
    if (!(at in length_of)) {
        next
    }
    split($0, part, "\t")
    seen++
    if (part[3] ~ /\(bad\)/ || part[3] == "") {
        bad++
    } else if (part[3] ~ /rex2?(\.[WRXB0-9]+)? *$/ || part[2] ~ /^9b [^ ]/) {
        # A REX that does not count, and FWAIT with what is behind it
        apart++
    } else if (split(part[2], byte, " ") == length_of[at]) {
        same++
    } else if (wrong++ < 40) {
        print mode "-bit: " part[2] ": " part[3] ", here " length_of[at] \
              " bytes, class " class_of[at]
    }
}
END {
    printf "%s-bit: %d the same, %d objdump does not know, %d it " \
           "shows otherwise, %d wrong\n", mode, same, bad, apart, wrong
    exit wrong || seen != n || same < n / 3 || apart > n / 50
}' "$dir/described" "$dir/disassembled"
}

status=0
for mode in 16 32 64; do
    case $mode in
    16) machine=i8086 ;;
    32) machine=i386 ;;
    64) machine=i386:x86-64 ;;
    esac
    "$dump" "$mode" "$n" "$seed" "$dir/blob" > "$dir/described"
    "$objdump" -b binary -m "$machine" -D -z -w --insn-width=16 "$dir/blob" \
        > "$dir/disassembled"
    compare "$mode" || status=1
done
exit $status
