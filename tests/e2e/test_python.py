# SPDX-License-Identifier: Apache-2.0
"""The Python package and the examples that use it. Each test needs an interpreter that has what it uses (numpy,
torch), this one or Debian's, and is skipped with a message where there is none."""

import difflib
import functools
import json
import os
import py_compile
import re
import subprocess
import sys
import textwrap
import unittest

import cairn
from cairn import SOURCE, CairnCase

PACKAGE = os.path.join(SOURCE, "python")
EXAMPLES = os.path.join(SOURCE, "examples")
DATA = os.environ.get("CAIRN_DATA", os.path.join(SOURCE, "data"))
SANITIZED = os.environ.get("CAIRN_SANITIZED") == "1"


@functools.lru_cache(None)
def python_with(*modules):
    """Path of an interpreter that can import these."""
    for path in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([path, "-c", f"import {', '.join(modules)}"], capture_output=True)
        if done.returncode == 0:
            return path
    raise unittest.SkipTest(f"no Python here has {' and '.join(modules)} "
                            f"(Debian: apt-get install {' '.join('python3-' + m for m in modules)})")


BATCHNORM = """
import cairn.pytorch, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.5))
        self.small = torch.nn.Linear(3, 4).half()
        self.bn = torch.nn.BatchNorm1d(4)
        self.brain = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))

    def forward(self, x):
        y = x @ self.small.weight.float().T + self.small.bias.float()
        return self.bn(y) * self.scale * self.brain.float()

@cairn.pytorch.trainer(Net)
def train(net, ctx):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        x = torch.randn(8, 3) + ctx.index
        loss = (net(x) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 8 - ctx.index, {"loss": float(loss)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    train.run()
"""


class Package(CairnCase):
    def test_its_own_tests(self):
        environment = {**os.environ, "PYTHONPATH": PACKAGE,
                       "CAIRN_LIBRARY": os.path.join(os.path.dirname(cairn.BIN), "libcairn.so.0")}
        tests = ["test_safetensors.py", "test_trainer.py"]
        if not SANITIZED:  # a library with sanitizers does not load into an interpreter without
            tests.append("test_he.py")
        for test in tests:
            done = subprocess.run([python_with("numpy"), "-B", os.path.join(PACKAGE, "tests", test)],
                                  capture_output=True, text=True, env=environment, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)


class Examples(CairnCase):
    def run_example(self, name, python, rounds):
        with open(os.path.join(EXAMPLES, name, "config.json")) as file:
            config = json.loads(file.read().replace("127.0.0.", self.net + "."))
        config["aggregator"]["iteration"] = rounds
        config["train"]["command"] = [python, "-B", os.path.join(EXAMPLES, name, "train.py")]
        config["train"]["environment"]["PYTHONPATH"] = PACKAGE
        if not os.path.exists(os.path.join(DATA, "train-images-idx3-ubyte")):
            raise unittest.SkipTest(f"no digits in {DATA}; tools/fetch-mnist.sh fetches them")
        self.data = DATA
        result = self.cairn("run", self.write(config), "--json", "--data-dir", DATA, timeout=280).json
        self.assertEqual(result["clients"], 4)
        self.assertEqual(result["profile"], "capsule")
        self.assert_nobody_left()
        return result

    @unittest.skipIf(SANITIZED, "the release build's test says it all")
    def test_numpy_logistic(self):
        result = self.run_example("numpy_logistic", python_with("numpy"), 2)
        self.assertGreater(result["accuracy"], 0.9)

    @unittest.skipIf(SANITIZED, "the release build's test says it all")
    def test_pytorch_mnist(self):
        """The example's ten rounds promise 0.98; four reach it, in less than half of the time."""
        result = self.run_example("pytorch_mnist", python_with("torch"), 4)
        self.assertGreaterEqual(result["accuracy"], 0.98)

    @unittest.skipIf(SANITIZED, "the release build's test says it all")
    def test_pytorch_with_batchnorm_half_and_counter(self):
        """The same bytes in plain and encrypted: statistics, a float16 and a bfloat16 tensor, a counter, a scalar."""
        script = self.path("bn.py")
        with open(script, "w") as out:
            out.write(BATCHNORM)
        files = []
        for profile, dumb in (("none", True), ("capsule", False)):
            config = cairn.make_config(self.net, [[cairn.CLIENT] * 3], 3, dumb, name="bn", encryption={"profile": profile},
                                       train={"type": "command", "command": [python_with("torch"), "-B", script],
                                              "samples": 8, "environment": {"PYTHONPATH": PACKAGE}})
            del config["model"]
            self.cairn("run", self.write(config), "--json", timeout=200)
            with open(self.path("runs", "bn", "model.safetensors"), "rb") as file:
                files.append(file.read())
        self.assertEqual(files[0], files[1])
        header = json.loads(files[0][8 : 8 + int.from_bytes(files[0][:8], "little")])
        types = {name: entry["dtype"] for name, entry in header.items()}
        self.assertEqual(types, {"scale": "F32", "small.weight": "F16", "small.bias": "F16", "bn.weight": "F32",
                                 "bn.bias": "F32", "bn.running_mean": "F32", "bn.running_var": "F32",
                                 "bn.num_batches_tracked": "I64", "brain": "BF16"})
        begin = len(files[0]) - max(e["data_offsets"][1] for e in header.values())
        at = header["bn.num_batches_tracked"]["data_offsets"]
        counted = int.from_bytes(files[0][begin + at[0] : begin + at[1]], "little")
        self.assertEqual(counted, 2 * 3)  # two batches in each of three rounds

    def test_pytorch_needs_a_decorator_and_an_entry(self):
        texts = []
        for name in ("plain.py", "train.py"):
            with open(os.path.join(EXAMPLES, "pytorch_mnist", name)) as file:
                texts.append(file.read())
        self.assertLessEqual(texts[1].count("\n"), 40)
        body = [text.partition("if __name__")[0].splitlines() for text in texts]
        changed = [x for x in difflib.ndiff(*body) if x[0] in "+-"]
        self.assertEqual(changed, ["+ import cairn.pytorch", "+ @cairn.pytorch.trainer(Net, evaluate=test)"])
        self.assertEqual(texts[1].partition("if __name__")[2], ' == "__main__":\n    train.run()\n')

    @unittest.skipIf(SANITIZED, "the release build's test says it all")
    def test_from_a_script_to_a_run(self):
        """docs/trainers.md, done as it says; the package is found by PYTHONPATH, and the addresses are this test's."""
        python = python_with("torch")
        with open(os.path.join(SOURCE, "docs", "trainers.md")) as file:
            section = file.read().partition("## From your script to a run")[2].partition("\n## ")[0]
        blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.MULTILINE)]
        _, script, config, commands, load = (block.strip() + "\n" for block in blocks)
        folder, programs = self.path("mine"), self.path("bin")
        for new in (folder, programs):
            os.mkdir(new)
        os.symlink(python, os.path.join(programs, "python3"))
        os.symlink(cairn.BIN, os.path.join(programs, "cairn"))
        config = json.loads(config.replace("127.0.0.", self.net + "."))
        config["train"]["environment"] = {"PYTHONPATH": PACKAGE}
        for name, text in (("train.py", script), ("config.json", config), ("load.py", load)):
            self.write(text, os.path.join(folder, name))
        environment = {**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"], "PYTHONPATH": PACKAGE,
                       "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(["sh", "-e", "-c", commands + "python3 load.py"], cwd=folder, env=environment,
                              capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        losses = re.findall(r"^round \d of 5: 3 of 3 clients, loss ([0-9.]+)", done.stdout + done.stderr, re.MULTILINE)
        self.assertEqual(len(losses), 5, done.stderr + done.stdout)
        self.assertLess(float(losses[4]), 0.2)
        self.assert_nobody_left()

    def test_every_example_compiles(self):
        for name in ("pytorch_mnist/plain.py", "pytorch_mnist/train.py", "numpy_logistic/train.py",
                     "flower_client/client.py", "flower_client/server.py"):
            py_compile.compile(os.path.join(EXAMPLES, name), self.path("out.pyc"), doraise=True)


if __name__ == "__main__":
    cairn.main()
