#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same work through cairn, TenSEAL (PyPI) and node-seal (npm) on this machine, one thread each,
# and one table: 15 clients' updates of 200,000 parameters are encrypted, added and decrypted.
# What cannot be fetched is left out, with a message.
#
#   --json         one JSON document instead of the table
#   --params N     parameters of an update (200000)
#   --clients N    clients, 1 to 15 (15)
#   --cairn FILE   the program to measure (build/release/cairn)
#   --offline      fetch nothing: only what an earlier run has installed
#
# Packages are installed into build/bench and nowhere else. CAIRN_CPU=c|avx2|avx512 forces a rung.
set -eu -o pipefail
start=$PWD
cd "$(dirname "$0")/.."

tenseal="tenseal==0.3.18"
node_seal="node-seal@6.0.3" # 7 needs Node 24, 6.0.3 runs on Node 18 and later
work=build/bench

json=0
params=200000
clients=15
offline=0
cairn=build/release/cairn

usage() {
    echo "compare: $1" >&2
    exit 2
}

# number TEXT LEAST MOST NAME
number() {
    [[ "$1" =~ ^[0-9]{1,8}$ ]] && ((10#$1 >= $2 && 10#$1 <= $3)) ||
        usage "$4 takes a whole number from $2 to $3"
}

while [ $# -gt 0 ]; do
    case "$1" in
    --json) json=1 ;;
    --offline) offline=1 ;;
    --params | --clients | --cairn)
        [ $# -ge 2 ] || usage "$1 needs a value"
        case "$1" in
        --params) number "$2" 1 8388608 "$1" && params=$2 ;;
        --clients) number "$2" 1 15 "$1" && clients=$2 ;;
        --cairn) [[ "$2" == /* ]] && cairn=$2 || cairn=$start/$2 ;;
        esac
        shift
        ;;
    -h | --help)
        sed -n '3,13s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) usage "there is no option $1; --help lists them" ;;
    esac
    shift
done

if [ ! -x "$cairn" ]; then
    echo "compare: $cairn is not there; build it with" >&2
    echo "  cmake --preset release && cmake --build --preset release" >&2
    exit 4
fi
mkdir -p "$work"
rm -f "$work"/*.json
: > "$work/skipped"

# skip NAME REASON
skip() {
    echo "compare: without $1: $2" >&2
    printf '%s\t%s\n' "$1" "$2" >> "$work/skipped"
}

# One thread each, whatever a library would like.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

echo "compare: cairn, $params parameters" >&2
"$cairn" bench --json --threads 1 --value-bits 16 --contributors "$clients" --params "$params" \
    > "$work/cairn.json" 2> "$work/cairn.log" || {
    code=$?
    cat "$work/cairn.log" >&2
    exit $code
}

run_tenseal() {
    local python=$work/venv/bin/python
    if ! "$python" -c "import tenseal" 2> /dev/null; then
        if [ $offline -eq 1 ]; then
            skip TenSEAL "it is not installed in $work"
            return
        fi
        echo "compare: installing $tenseal into $work/venv" >&2
        rm -rf "$work/venv"
        if ! { python3 -m venv "$work/venv" &&
            "$python" -m pip install --quiet --disable-pip-version-check "$tenseal"; } \
            > "$work/pip.log" 2>&1; then
            skip TenSEAL "pip cannot install $tenseal for $(python3 --version 2>&1) ($work/pip.log)"
            return
        fi
    fi
    "$python" -B bench/run_tenseal.py --params "$params" --clients "$clients" \
        > "$work/tenseal.json.part" || {
        skip TenSEAL "it is installed and failed, see above"
        return
    }
    mv "$work/tenseal.json.part" "$work/tenseal.json"
}

run_node_seal() {
    if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
        skip node-seal "node and npm are needed"
        return
    fi
    if [ ! -e "$work/node/node_modules/node-seal/package.json" ]; then
        if [ $offline -eq 1 ]; then
            skip node-seal "it is not installed in $work"
            return
        fi
        echo "compare: installing $node_seal into $work/node" >&2
        mkdir -p "$work/node"
        if ! npm install --prefix "$work/node" --no-save --no-audit --no-fund --silent \
            "$node_seal" > "$work/npm.log" 2>&1; then
            skip node-seal "npm cannot install $node_seal ($work/npm.log)"
            return
        fi
    fi
    NODE_PATH=$work/node/node_modules node bench/run_node_seal.js "$params" "$clients" \
        > "$work/node-seal.json.part" || {
        skip node-seal "it is installed and failed, see above"
        return
    }
    mv "$work/node-seal.json.part" "$work/node-seal.json"
}

run_tenseal
run_node_seal
if [ $json -eq 1 ]; then
    exec python3 -B bench/table.py --json "$work"
fi
exec python3 -B bench/table.py "$work"
