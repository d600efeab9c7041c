#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The parts without sockets on 64-bit ARM: built with Debian's cross compiler, their unit tests run under
# qemu. The libraries are Debian's for arm64, unpacked into a folder; the system's own apt and dpkg learn
# nothing of them.
#
#   run.sh FOLDER [CTEST ARGUMENT...]    where libraries and objects go; what is there is used again
#   CAIRN_MIRROR                         a Debian mirror (http://deb.debian.org/debian)
#
# Exit status: 0 all passed, 77 a tool or the libraries cannot be had, else something failed
set -eu -o pipefail

if [ $# -eq 0 ]; then
    sed -n '3,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/../.."

for tool in aarch64-linux-gnu-gcc qemu-aarch64 cmake ninja pkg-config apt-get dpkg-deb; do
    if ! command -v "$tool" > /dev/null 2>&1; then
        echo "skipped: there is no $tool here (Debian: gcc-aarch64-linux-gnu, qemu-user)"
        exit 77
    fi
done

# ---- the libraries ----

# apt with a state, a cache and a list of sources of its own, on a system where nothing is installed
private_apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::State="$out/apt/state" -o Dir::State::status="$out/apt/status" \
        -o Dir::Cache="$out/apt/cache" -o Dir::Etc::sourcelist="$out/apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User= \
        -o Debug::NoLocking=1 -o Acquire::Languages=none "$@"
}

# all that these need, down to the C library
download() {
    mkdir -p "$out/apt/state/lists/partial" "$out/apt/cache/archives/partial"
    : > "$out/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "${CAIRN_MIRROR:-http://deb.debian.org/debian} bookworm main" > "$out/apt/sources.list"
    private_apt update -o APT::Update::Error-Mode=any &&
        private_apt install -y --download-only --no-install-recommends libc6-dev libmicrohttpd-dev \
            libcurl4-gnutls-dev libjansson-dev libsodium-dev libxxhash-dev libgcrypt20-dev libopenblas-dev \
            zlib1g-dev libminizip-dev libzstd-dev libcmocka-dev
}

# A link to /lib/... means the folder's own.
relative_links() {
    local link
    find "$1" -lname '/*' | while read -r link; do
        ln -sfnr "$1$(readlink "$link")" "$link"
    done
}

unpack() {
    local package
    rm -rf "$out/sysroot.new"
    mkdir -p "$out/sysroot.new"
    for package in "$out"/apt/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$out/sysroot.new"
    done
    relative_links "$out/sysroot.new"
    mv "$out/sysroot.new" "$out/sysroot"
}

if [ ! -d "$out/sysroot" ]; then
    if ! download > "$out/apt.log" 2>&1; then
        tail -n 3 "$out/apt.log"
        echo "skipped: the arm64 packages cannot be had; the whole log is $out/apt.log"
        exit 77
    fi
    unpack
fi

# ---- the tests ----

export CAIRN_SYSROOT="$out/sysroot"
parts='base|cpu|wire|kern|nn|data|ring|model|he|train|seal|fed|files'
if ! {
    cmake -G Ninja -B "$out/build" -DCMAKE_TOOLCHAIN_FILE="$PWD/tests/aarch64/toolchain.cmake" \
        -DCMAKE_BUILD_TYPE=Release &&
        ninja -C "$out/build" -t targets all | sed -nE "s/^(unit_($parts)_[a-z0-9_]+): phony\$/\1/p" |
        xargs ninja -C "$out/build" -j 2
} > "$out/build.log" 2>&1; then
    tail -n 40 "$out/build.log"
    echo "aarch64: does not build; the whole log is $out/build.log"
    exit 1
fi
# the rungs by name are what x86 processors have; fed_config holds seconds against a limit; a trainer's guard is
# /proc/self/exe, which is qemu here
ctest --test-dir "$out/build" -j 2 --no-tests=error --output-on-failure \
    -R "^unit_($parts)_" -E '_(c|avx2)$|^unit_fed_config$|^unit_train_command_(trainer|home)$' -LE slow "$@"
