#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The fuzz targets under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, one after the
# other, each from its own seed inputs. What a target finds worth keeping stays in build/fuzz/corpus/NAME,
# and the next run begins with it; an input that breaks something is left in build/fuzz/findings.
#
#   run.sh RUNS [NAME...]    RUNS executions of each target, or of those named (fuzz_batch is "batch")
#
# Prints a line per target. Exit status: 0 nothing found, 1 something found
set -eu -o pipefail

if [ $# -eq 0 ] || [[ ! $1 =~ ^[0-9]+$ ]]; then
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
runs=$1
shift
cd "$(dirname "$0")/../.."

if [ $# -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        [ "$name" = fuzz_replay ] || set -- "$@" "${name#fuzz_}"
    done
fi

# The seeds come from the ordinary build of a target: libFuzzer brings a main of its own.
build() {
    local preset=$1
    mkdir -p "build/$preset"
    if ! { [ -e "build/$preset/build.ninja" ] || cmake --preset "$preset"; } > "build/$preset/fuzz.log" 2>&1 ||
        ! cmake --build --preset "$preset" --target "${@:2}" > "build/$preset/fuzz.log" 2>&1; then
        tail -n 40 "build/$preset/fuzz.log"
        exit 2
    fi
}
build release "${@/#/fuzz_}"
build fuzz "${@/#/fuzz_}"

# Options of single targets.
options() {
    case $1 in
    # 42 patches are enough to meet any two others; with thousands a run is only slower
    payload) echo -max_len=505 ;;
    esac
}

mkdir -p build/fuzz/findings
failed=0
for name in "$@"; do
    corpus=build/fuzz/corpus/$name
    log=build/fuzz/$name.log
    mkdir -p "$corpus"
    "build/release/tests/fuzz/fuzz_$name" -w "$corpus"
    # shellcheck disable=SC2046
    if "build/fuzz/tests/fuzz/fuzz_$name" -runs="$runs" -timeout=20 $(options "$name") \
        -artifact_prefix="build/fuzz/findings/$name-" "$corpus" > "$log" 2>&1; then
        echo "$name: $(sed -n 's/^Done //p' "$log"), $(find "$corpus" -type f | wc -l) inputs kept"
    else
        tail -n 30 "$log"
        echo "$name: FAILED; the whole log is $log"
        failed=1
    fi
done
exit $failed
