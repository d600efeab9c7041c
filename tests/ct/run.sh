#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Constant time: the program of this folder under valgrind, as two compilers make it at every optimisation
# level, with the portable kernels and those for AVX2. (valgrind 3.19 does not know AVX-512.)
#
#   run.sh FOLDER    where objects and logs go; what is there is used again
#
# Exit status: 0 nothing found, 1 something found, 77 a tool is missing
set -eu -o pipefail

if [ $# -ne 1 ]; then
    sed -n '3,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"

for tool in valgrind gcc clang make objdump; do
    if ! command -v "$tool" > /dev/null 2>&1; then
        echo "skipped: there is no $tool here; tools/install-packages.sh test installs it"
        exit 77
    fi
done
if ! echo '#include <valgrind/memcheck.h>' | gcc -E - > /dev/null 2>&1; then
    echo "skipped: valgrind's header memcheck.h is missing"
    exit 77
fi

# How long a division takes depends on its operands, and valgrind does not look at that.

# Does this object file divide, by an instruction like this or by a call into the compiler's library?
divides() {
    objdump -d --no-show-raw-insn "$1" | awk -F'\t' -v like="$2" '$2 ~ like {found = 1} END {exit !found}' ||
        nm -u "$1" | grep -qE ' __u?(div|mod)'
}

# The portable kernels do not divide at all. The others divide public numbers, one at a time and before their loops:
# there it is the division of vectors that may not be, as in the slots of profile seal-ckks. kern_const.c divides, and shows that it would be seen.
check_divisions() {
    local folder=$1 object
    divides "$folder/kern_const.o" '^[a-z]*div' || echo "no division seen in kern_const.o, where there are some"
    ! divides "$folder/kern_c.o" '^[a-z]*div' || echo "division in kern_c.o"
    ! divides "$folder/kern_wide128.o" '^[a-z]*div' || echo "division in kern_wide128.o"
    ! divides "$folder/../he/ckks_encoder.o" '^v?divp' || echo "division of vectors in ckks_encoder.o"
    for object in "$folder"/x86/*.o; do
        [ ! -e "$object" ] || ! divides "$object" '^v?divp' || echo "division of vectors in $object"
    done
}

failed=0

# check COMPILER LEVEL
check() {
    local name=$1$2
    local folder=$out/$name
    mkdir -p "$folder"
    if ! make -s -j2 OUT="$folder" CC="$1" OPT="$2" > "$folder/make.log" 2>&1; then
        cat "$folder/make.log"
        echo "$name: does not build"
        failed=1
        return
    fi

    local rung status
    for rung in c avx2; do
        status=0
        CAIRN_CPU=$rung valgrind --error-limit=no --num-callers=20 --log-file="$folder/$rung.log" \
            "$folder/constant_time" > "$folder/$rung.out" || status=$?
        case $status in
        0) echo "$name, rung $rung: nothing found, and both planted leaks seen" ;;
        77) echo "$name, rung $rung: not on this processor" ;;
        *)
            sed -n '1,60p' "$folder/$rung.log"
            cat "$folder/$rung.out"
            echo "$name, rung $rung: FAILED; the whole log is $folder/$rung.log"
            failed=1
            ;;
        esac
    done

    local divisions
    divisions=$(check_divisions "$folder/src/kern")
    if [ -n "$divisions" ]; then
        echo "$name: $divisions"
        failed=1
    fi
}

for compiler in gcc clang; do
    for level in -O0 -O1 -O2 -O3 -Os; do
        check "$compiler" "$level"
    done
done
exit $failed
