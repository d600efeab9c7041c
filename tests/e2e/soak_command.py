# SPDX-License-Identifier: Apache-2.0
"""10^8 parameters through a program that adds 1 to each of them: exact, and clients hold little more than
what they owe. Takes a minute, and 4 GB in TMPDIR."""

import json
import struct
import subprocess

import cairn
from cairn import CLIENT, CairnCase
from test_python import python_with

N = 100_000_000
ADD_ONE = """
import json
import numpy as np
with open("model.safetensors", "rb") as model, open("trained.safetensors", "wb") as out:
    header = model.read(8)
    out.write(header + model.read(int.from_bytes(header, "little")))
    while run := model.read(1 << 22):
        out.write((np.frombuffer(run, np.float32) + np.float32(1)).tobytes())
with open("metrics.json", "w") as out:
    json.dump({"samples": 1}, out)
"""
# Values are multiples of 2^-10 below 2, so that 1 is added without rounding.
MAKE = """
import sys
import numpy as np
n = int(sys.argv[2])
with open(sys.argv[1], "ab") as out:
    for first in range(0, n, 1 << 20):
        i = np.arange(first, min(n, first + (1 << 20)), dtype=np.uint64)
        out.write((((i * 2654435761 >> 7) % 4096).astype(np.float32) / 1024 - 2).tobytes())
"""
COMPARE = """
import sys
import numpy as np
def data(path):
    with open(path, "rb") as file:
        file.seek(int.from_bytes(file.read(8), "little"), 1)
        return np.fromfile(file, np.float32)
before, after = data(sys.argv[1]), data(sys.argv[2])
assert len(before) == len(after) == int(sys.argv[3])
assert np.array_equal(before + np.float32(1), after)
"""


class Large(CairnCase):
    def python(self, program, *arguments):
        done = subprocess.run([python_with("numpy"), "-c", program, *arguments], capture_output=True,
                                    text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_adding_one_to_all_of_them(self):
        first = self.path("first.safetensors")
        header = json.dumps({"a": {"dtype": "F32", "shape": [N - 1], "data_offsets": [0, 4 * N - 4]},
                             "b": {"dtype": "F32", "shape": [1], "data_offsets": [4 * N - 4, 4 * N]}}).encode()
        with open(first, "wb") as out:
            out.write(struct.pack("<Q", len(header)) + header)
        self.python(MAKE, first, str(N))
        with open(self.path("add_one.py"), "w") as out:
            out.write(ADD_ONE)
        config = cairn.make_config(
            self.net, [CLIENT] * 3, 1, name="large", round={"deadline_s": 900},
            train={"type": "command", "command": [python_with("numpy"), self.path("add_one.py")], "samples": 1})
        config["model"] = {"file": first}
        document = self.cairn("run", self.write(config), "--json", timeout=1500).json
        self.python(COMPARE, first, self.path("runs", "large", "model.safetensors"), str(N))
        for node in document["nodes"]:
            if node["role"] == "client":  # what it owes is as large as the model
                self.assertLess(node["peak_rss_bytes"], 4 * N + 200_000_000)


if __name__ == "__main__":
    cairn.main()
