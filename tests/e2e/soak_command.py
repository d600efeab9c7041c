# SPDX-License-Identifier: Apache-2.0
"""10^8 parameters through a program that adds 1 to each of them: exact, and clients hold little more than
what they owe, also where a part of the model stays with them. Takes some minutes, and 8 GB in TMPDIR."""

import json
import struct
import subprocess

import cairn
from cairn import CLIENT, CairnCase
from test_python import python_with

N = 100_000_000
SIZES = {"F64": 8, "F32": 4, "F16": 2}
SHARED = """
import json
import numpy as np
TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
def entries(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    return {name: (TYPES[e["dtype"]], 8 + size + e["data_offsets"][0], e["data_offsets"][1] - e["data_offsets"][0])
            for name, e in sorted(header.items(), key=lambda item: item[1]["data_offsets"])}
def runs(path, entry):
    kind, at, left = entry
    with open(path, "rb") as file:
        file.seek(at)
        while left > 0:
            run = np.frombuffer(file.read(min(left, 1 << 22)), kind)
            yield run
            left -= run.nbytes
"""
# What it keeps for itself has gone through each of its trainings in its own type.
ADD_ONE = SHARED + """
import shutil
with open("task.json") as file:
    task = json.load(file)
first = task["settings"]["first"]
if task["task"] == "initial":
    shutil.copyfile(first, "trained.safetensors")
    raise SystemExit
with open("model.safetensors", "rb") as model, open("trained.safetensors", "wb") as out:
    size = model.read(8)
    out.write(size + model.read(int.from_bytes(size, "little")))
    for name, entry in entries("model.safetensors").items():
        begun = runs(first, entries(first)[name])
        for run in runs("model.safetensors", entry):
            if name.startswith("own"):
                expected = next(begun)
                for _ in range(task["round"] - 1):
                    expected = expected + expected.dtype.type(1)
                assert run.tobytes() == expected.tobytes(), f"{name} in round {task['round']}"
            out.write((run + run.dtype.type(1)).tobytes())
with open("metrics.json", "w") as out:
    json.dump({"samples": 1}, out)
"""
# Multiples of 2^-9 below 2, to which 1 is added without rounding in any type; of "own" thirds of them.
# The first round's steps are whole parts of 1, later ones need not be.
MAKE = SHARED + """
import sys
path = sys.argv[1]
with open(path, "ab") as out:
    for name, (kind, at, size) in entries(path).items():
        n = size // np.dtype(kind).itemsize
        for first in range(0, n, 1 << 20):
            i = np.arange(first, min(n, first + (1 << 20)), dtype=np.uint64)
            values = ((i * 2654435761 >> 7) % 2048).astype(np.float64) / 512 - 2
            out.write((values / 3 if name.startswith("own") else values).astype(kind).tobytes())
"""
COMPARE = SHARED + """
import sys
before, after, rounds = entries(sys.argv[1]), entries(sys.argv[2]), int(sys.argv[3])
assert list(before) == list(after)
for name in before:
    assert before[name][0] == after[name][0] and before[name][2] == after[name][2]
    if not name.startswith("own"):
        for a, b in zip(runs(sys.argv[1], before[name]), runs(sys.argv[2], after[name])):
            apart = np.abs(a + a.dtype.type(rounds) - b).max()
            assert apart == 0 or rounds > 1 and apart < 0.01, f"{name} is {apart} off"
"""


class Large(CairnCase):
    def python(self, program, *arguments):
        done = subprocess.run([python_with("numpy"), "-c", program, *arguments], capture_output=True,
                              text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)

    def make(self, tensors):
        """A model, name -> (type, elements)."""
        header, at = {}, 0
        for name, (kind, n) in tensors.items():
            header[name] = {"dtype": kind, "shape": [n], "data_offsets": [at, at + SIZES[kind] * n]}
            at += SIZES[kind] * n
        text = json.dumps(header).encode()
        with open(self.path("first.safetensors"), "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
        self.python(MAKE, self.path("first.safetensors"))

    def add_one(self, tensors, rounds=1, **model):
        first = self.path("first.safetensors")
        self.make(tensors)
        with open(self.path("add_one.py"), "w") as out:
            out.write(ADD_ONE)
        config = cairn.make_config(
            self.net, [CLIENT] * 3, rounds, name="large", round={"deadline_s": 900},
            train={"type": "command", "command": [python_with("numpy"), self.path("add_one.py")], "samples": 1,
                   "settings": {"first": first}})
        config["model"] = {"file": first, **model}
        document = self.cairn("run", self.write(config), "--json", timeout=1700).json
        with open(self.path("runs", "large", "rounds.jsonl")) as lines:
            self.assertEqual([json.loads(line)["fewest_contributors"] for line in lines], [3] * rounds)
        shared = sum(n for name, (_, n) in tensors.items() if not name.startswith("own"))
        peaks = {node["address"]: node["peak_rss_bytes"] for node in document["nodes"]}
        print("peak resident bytes", peaks, flush=True)
        self.python(COMPARE, first, self.path("runs", "large", "model.safetensors"), str(rounds))
        for node in document["nodes"]:
            if node["role"] == "client":  # what it owes is as large as what it shares
                self.assertLess(node["peak_rss_bytes"], 4 * shared + 200_000_000)

    def test_adding_one_to_all_of_them(self):
        self.add_one({"a": ("F32", N - 1), "b": ("F32", 1)})

    def test_in_half_precision(self):
        self.add_one({"a": ("F16", N - 1), "b": ("F16", 1)})

    def test_a_tenth_of_them_at_home(self):
        self.add_one({"a": ("F32", N // 2), "own": ("F64", N // 10), "b": ("F32", N - N // 2 - N // 10)},
                     rounds=3, exclude=["own"])


if __name__ == "__main__":
    cairn.main()
