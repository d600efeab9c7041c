#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a finished federation: install what is missing, fetch MNIST, build, run
# `cairn demo`. Arguments go to it (--rounds N, --clients N, --json). Can be run again at any time.
set -eu
cd "$(dirname "$0")"

# What this script says goes to stderr: stdout is the demo's.
{
    tools/install-packages.sh
    tools/fetch-mnist.sh data
    echo "demo: building release into build/demo"
    mkdir -p build/demo
    if ! { cmake --preset release -B build/demo -DCAIRN_TESTS=OFF && cmake --build build/demo; } \
        > build/demo/build.log 2>&1; then
        tail -n 40 build/demo/build.log
        echo "demo: the build failed; the whole log is build/demo/build.log"
        exit 4
    fi
    echo "demo: running cairn demo $*"
} >&2

exec build/demo/cairn demo "$@"
