#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetch the judges into a folder: install.sh FOLDER. What is there already is left alone.
# Exit 0 when at least one is there, 77 when none can be had.
#   CAIRN_INTEROP_HOME   a folder to use instead
#   CAIRN_NODE_SEAL   version of node-seal (6.0.3, the last that runs on Node 18 and 20)
#   CAIRN_TENSEAL     version of TenSEAL (0.3.18)
#   CAIRN_SAFETENSORS version of safetensors (0.5.3)
#   CAIRN_NODE24=1    also node-seal 7 and the Node 24 that it needs (190 MB)
set -eu

home=${CAIRN_INTEROP_HOME:-$1}
node_seal=${CAIRN_NODE_SEAL:-6.0.3}
tenseal=${CAIRN_TENSEAL:-0.3.18}
safetensors=${CAIRN_SAFETENSORS:-0.5.3}
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
    if [ -n "${CAIRN_NODE24:-}" ] && [ ! -x node7/node_modules/.bin/node ]; then
        mkdir -p node7
        echo '{ "private": true }' > node7/package.json
        (cd node7 &&
            npm install --no-audit --no-fund --loglevel=error node@24 node-seal@7.0.0) || true
    fi
else
    echo "interop: no node or no npm here"
fi

# Exactly that version; the judge runs the interpreter of this folder.
if [ ! -x venv/bin/python ] && command -v python3 > /dev/null 2>&1; then
    python3 -m venv venv || rm -rf venv
fi
if [ -x venv/bin/python ]; then
    venv/bin/python -c 'import tenseal' 2> /dev/null ||
        venv/bin/pip install --quiet --disable-pip-version-check "tenseal==$tenseal" || true
    if venv/bin/python -c 'import tenseal' 2> /dev/null; then
        have="$have tenseal"
    else
        echo "interop: pip could not install tenseal==$tenseal"
    fi
    venv/bin/python -c 'import safetensors, numpy' 2> /dev/null ||
        venv/bin/pip install --quiet --disable-pip-version-check "safetensors==$safetensors" numpy || true
    if venv/bin/python -c 'import safetensors, numpy' 2> /dev/null; then
        have="$have safetensors"
    else
        echo "interop: pip could not install safetensors==$safetensors"
    fi
else
    echo "interop: no python3 with venv here"
fi

if [ -z "$have" ]; then
    echo "interop: no judge can be had, skipped"
    exit 77
fi
echo "interop: judges:$have"
