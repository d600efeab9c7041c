# SPDX-License-Identifier: Apache-2.0
"""The reference library as a judge: its files are read here, and what is written here it reads.

judge_safetensors.py SAFETENSORS_TOOL WORK
"""

import json
import random
import struct
import subprocess
import sys

from safetensors import deserialize, safe_open, serialize

SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4,
         "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1}


def some_bytes(rng, dtype, count):
    if dtype == "bool":
        return bytes(rng.randrange(2) for _ in range(count))
    if dtype == "float64":  # those that float32 can tell apart, because models are float32 here
        return b"".join(struct.pack("<d", struct.unpack("<f", struct.pack("<f", rng.gauss(0, 1)))[0])
                        for _ in range(count))
    if dtype.endswith(("float32", "float16")):  # any but NaN: those may change in their payload
        top = {"float32": 0x7F800000, "float16": 0x7C00, "bfloat16": 0x7F80}[dtype]
        values = (rng.randrange(top + 1) | rng.randrange(2) << (8 * SIZES[dtype] - 1)
                  for _ in range(count))
        return b"".join(v.to_bytes(SIZES[dtype], "little") for v in values)
    return rng.randbytes(count * SIZES[dtype])


def in_order(path):
    """Names by where their bytes are; of empty tensors only that they are there."""
    with open(path, "rb") as source:
        size = struct.unpack("<Q", source.read(8))[0]
        header = json.loads(source.read(size))
    header.pop("__metadata__")
    places = sorted((*entry["data_offsets"], name) for name, entry in header.items())
    return [name for begin, end, name in places if begin < end], sorted(header)


def main(tool, work):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    tensors = {}
    for dtype, size in SIZES.items():
        for shape in ([], [0], [3], [2, 0, 4], [5, 7], [1, 2, 3, 4], [5000]):
            count = 1
            for n in shape:
                count *= n
            tensors[f"{dtype}.{'x'.join(map(str, shape)) or 'scalar'}"] = {
                "dtype": dtype, "shape": shape, "data": some_bytes(rng, dtype, count)}
    metadata = {"format": "pt", "": "empty name", "ä": "\u2028\"\\\x7f", "zero": "\0 and \0",
                "\U0001f600": "\ufffe\U0010ffff", "long": "x" * 200000}
    theirs, ours = f"{work}/theirs.safetensors", f"{work}/ours.safetensors"
    with open(theirs, "wb") as out:
        out.write(serialize(tensors, metadata=metadata))
    subprocess.run([tool, theirs, ours], check=True)
    with open(theirs, "rb") as one, open(ours, "rb") as two:
        expected, found = dict(deserialize(one.read())), dict(deserialize(two.read()))
    assert in_order(ours) == in_order(theirs)
    for name, a in expected.items():
        b = found[name]
        assert a["dtype"] == b["dtype"] and a["shape"] == b["shape"], name
        assert bytes(a["data"]) == bytes(b["data"]), name
    with safe_open(ours, framework="np") as opened:
        assert opened.metadata() == metadata
    print(f"{len(found)} tensors of {len(SIZES)} types")


if __name__ == "__main__":
    main(*sys.argv[1:])
