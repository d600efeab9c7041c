#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what is missing to build cairn on Debian 12; with the argument "test" also what its tests
# need, with "soak" those that take long, and with "torch" PyTorch, which one example uses. Installs
# nothing when nothing is missing. Run as root, or as a user who may use sudo.
set -eu

packages="build-essential cmake ninja-build pkg-config ca-certificates
  libmicrohttpd-dev libcurl4-gnutls-dev libjansson-dev libsodium-dev libxxhash-dev libgcrypt20-dev
  libopenblas-dev zlib1g-dev libminizip-dev libzstd-dev"
if [ "${1:-}" = test ] || [ "${1:-}" = soak ]; then
    packages="$packages libcmocka-dev clang libclang-rt-14-dev python3 python3-venv python3-numpy
      valgrind libfaketime"
fi
if [ "${1:-}" = torch ]; then
    packages="$packages python3-torch" # half a gigabyte, so only where it is asked for
fi
if [ "${1:-}" = soak ]; then
    packages="$packages gcc-aarch64-linux-gnu qemu-user"
fi

# npm is there when its command is: it may come from another package than Debian's.
command -v npm > /dev/null 2>&1 || packages="$packages npm"

if ! command -v dpkg-query > /dev/null 2>&1 || ! command -v apt-get > /dev/null 2>&1; then
    echo "install-packages: this is no Debian system. Needed are the equivalents of:" >&2
    echo "  "$packages >&2
    exit 4
fi

is_installed() {
    dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2> /dev/null | grep -q '^.i'
}

missing=""
for package in $packages; do
    is_installed "$package" || missing="$missing $package"
done
# another BLAS flavour of OpenBLAS serves as well
case "$missing" in
*libopenblas-dev*)
    if pkg-config --exists 'openblas >= 0.3.21' 2> /dev/null; then
        missing=$(printf '%s' "$missing" | sed 's/ libopenblas-dev//')
    fi
    ;;
esac

if [ -z "$missing" ]; then
    echo "install-packages: everything is installed"
    exit 0
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null 2>&1; then
        echo "install-packages: missing:$missing" >&2
        echo "install-packages: run as root, or install sudo" >&2
        exit 4
    fi
    as_root="sudo"
fi

install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 $missing > "$log" 2>&1
}

echo "install-packages: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The lists may be absent or too old for what the mirror has: then fetch them, once, and try again.
if ! install; then
    $as_root apt-get update -q > "$log" 2>&1 || cat "$log" >&2
    if ! install; then
        cat "$log" >&2
        echo "install-packages: apt-get could not install:$missing" >&2
        exit 4
    fi
fi
echo "install-packages: done"
