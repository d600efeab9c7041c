#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One round with a judge: judge.sh node|node7|tenseal SEAL_TOOL HOME WORK CAIRN
#                         judge.sh safetensors SAFETENSORS_TOOL HOME WORK CAIRN
#                         judge.sh flower|package LIBCAIRN HOME WORK CAIRN
# Our objects are written, the judge opens them and writes its own, and those are read.
set -eu

judge=$1
tool=$2
home=${CAIRN_INTEROP_HOME:-$3}
work=$4
cairn=$5
here=$(dirname "$0")

case $judge in
node)
    node=${CAIRN_NODE:-node}
    if [ ! -d "$home/node_modules/node-seal" ] || ! command -v "$node" > /dev/null 2>&1; then
        echo "interop: node-seal is not here, skipped"
        exit 77
    fi
    ;;
node7)
    if [ ! -x "$home/node7/node_modules/.bin/node" ]; then
        echo "interop: Node 24 and node-seal 7 are not here (install.sh), skipped"
        exit 77
    fi
    ;;
tenseal)
    if ! "$home/venv/bin/python" -c 'import tenseal, xxhash' 2> /dev/null; then
        echo "interop: TenSEAL or xxhash is not here, skipped"
        exit 77
    fi
    ;;
safetensors)
    if ! "$home/venv/bin/python" -c 'import safetensors, numpy' 2> /dev/null; then
        echo "interop: the reference library of safetensors is not here, skipped"
        exit 77
    fi
    ;;
flower)
    if ! "$home/flower/bin/python" -c 'import flwr.serverapp' 2> /dev/null; then
        echo "interop: flwr is not here, skipped"
        exit 77
    fi
    ;;
package)
    if ! "$home/venv/bin/python" -c 'import mypy, numpy' 2> /dev/null; then
        echo "interop: mypy is not here, skipped"
        exit 77
    fi
    ;;
esac

rm -rf "$work"
mkdir -p "$work"
case $judge in
node | node7 | tenseal) "$tool" write "$work" ;;
esac
case $judge in
node)
    "$node" "$here/judge.js" "$home" "$work"
    "$tool" read "$work"
    python3 "$here/files.py" node "$cairn" "$home" "$work/files"
    ;;
node7)
    "$home/node7/node_modules/.bin/node" "$here/judge7.mjs" "$home/node7" "$work"
    ;;
tenseal)
    "$home/venv/bin/python" "$here/judge.py" "$work/ckks_v37" "$work/ckks"
    "$tool" read-tenseal "$work"
    "$home/venv/bin/python" "$here/files.py" tenseal "$cairn" "$home" "$work/files"
    CAIRN_BIN=$cairn "$home/venv/bin/python" -B "$here/federation.py"
    ;;
safetensors)
    "$home/venv/bin/python" "$here/judge_safetensors.py" "$tool" "$work"
    ;;
flower)
    "$home/flower/bin/python" -B "$here/flower.py" "$tool" "$work"
    ;;
package)
    sh "$here/package.sh" "$tool" "$home" "$work"
    ;;
esac
echo "interop: $judge agrees"
