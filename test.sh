#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything that is tested, on a fresh clone or a tree that is being worked on: install what is
# missing, fetch MNIST, build, run. Goes through all of it; fails at the end when anything failed.
#
# The longest tests run in one of the two builds: those with the label sanitized with the sanitizers, those with the
# label plain in the release build.
#
#   --fast   the release build only, and all tests in it
#   --soak   also, in the release build, the tests that take minutes each (label soak)
#   --hours  also those that take hours (label hours)
set -eu -o pipefail
cd "$(dirname "$0")"

fast=0
beyond="soak|hours" # labels of tests that are not run
for argument in "$@"; do
    case "$argument" in
    --fast) fast=1 ;;
    --soak) beyond="hours" ;;
    --hours) beyond="" ;;
    -h | --help)
        sed -n '3,12s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "test: there is no option $argument; --fast, --soak and --hours are the ones" >&2
        exit 2
        ;;
    esac
done

case "$beyond" in
*soak*) tools/install-packages.sh test ;;
*) tools/install-packages.sh soak ;;
esac
tools/fetch-mnist.sh data

failed=""

# build PRESET [TARGET...]
build() {
    local preset=$1
    shift
    local targets=()
    [ $# -eq 0 ] || targets=(--target "$@")
    echo "test: building $preset"
    mkdir -p "build/$preset"
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset" "${targets[@]}"; } \
        > "build/$preset/build.log" 2>&1; then
        tail -n 40 "build/$preset/build.log"
        echo "test: building $preset failed; the whole log is build/$preset/build.log"
        failed="$failed build-$preset"
        return 1
    fi
}

# run PRESET [CTEST ARGUMENT...]
run() {
    local preset=$1
    shift
    echo "test: testing $preset"
    ctest --preset "$preset" -j 2 --no-tests=error "$@" || failed="$failed test-$preset"
}

# The sanitizers first, so that the whole suite's closing lines are the last thing to be seen.
if [ $fast -eq 0 ]; then
    # leaks and undefined behaviour end a test; no core file of a process that held secrets
    export ASAN_OPTIONS=detect_leaks=1:disable_coredump=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export TSAN_OPTIONS=halt_on_error=1
    build dev && run dev -LE "soak|hours|plain"
    build tsan story threaded && run tsan -L threaded
fi
[ $fast -eq 1 ] || beyond="${beyond:+$beyond|}sanitized"
build release && run release ${beyond:+-LE "$beyond"}

if [ -n "$failed" ]; then
    echo "test: FAILED:$failed"
    exit 1
fi
