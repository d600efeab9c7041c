#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# python/cairn as others get it: package.sh LIBCAIRN HOME WORK. A wheel is made of it, installed into a folder, imported
# from there, and its types are checked there.
set -eu

library=$1
python="$2/venv/bin/python"
work=$3
root=$(cd "$(dirname "$0")/../.." && pwd)

cp -r "$root/python" "$work/source" # building leaves things behind
rm -rf "$work/source/build" "$work/source"/*.egg-info
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps -w "$work" "$work/source"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/site" "$work"/*.whl
for file in py.typed __init__.py he.py pytorch.py safetensors.py; do
    [ -f "$work/site/cairn/$file" ] || {
        echo "interop: the wheel has no cairn/$file"
        exit 1
    }
done

cd "$work/site"
CAIRN_LIBRARY=$library "$python" -c 'import cairn.he; assert cairn.__version__ == cairn.he.version(), "another version"'
"$python" -m mypy --config-file "$work/source/pyproject.toml" --cache-dir "$work/cache" cairn
cat > "$work/caller.py" << 'EOF'
import cairn


@cairn.trainer(initial={})
def train(model: cairn.Model, ctx: cairn.Context) -> tuple[cairn.Model, int, dict[str, float]]:
    return model, 1, {"loss": 0.0}


reveal_type(train)
EOF
MYPYPATH=$work/site "$python" -m mypy --strict --cache-dir "$work/cache" "$work/caller.py" > "$work/caller.log" ||
    {
        cat "$work/caller.log"
        exit 1
    }
grep -q 'Revealed type is "cairn._trainer.Trainer"' "$work/caller.log"
