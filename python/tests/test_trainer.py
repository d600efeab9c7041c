# SPDX-License-Identifier: Apache-2.0
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from cairn import safetensors

SCRIPT = """
import cairn, numpy as np
def first(ctx):
    return {"w": np.full((2, 2), ctx.seed, np.float16), "b": 0.0, "n": np.int64(ctx.seed), "m": np.arange(2)}
def judge(model, ctx):
    return {"samples": 10, "accuracy": float(model["b"]), "loss": 1}
@cairn.trainer(initial=first, evaluate=judge)
def train(model, ctx):
    what = ctx.settings.get("what")
    ctx.progress("at it")
    if what == "raise": raise ValueError("no luck")
    if what == "nan": model["w"][0, 1] = np.nan
    if what == "shape": model["w"] = model["w"][0]
    if what == "missing": del model["w"]
    if what == "none": return model
    if what == "zero": return model, 0, {}
    if what == "metric": return model, 1, {"loss": float("inf")}
    model["b"] = np.float64(ctx.rng().random())
    return {k: v + 1 for k, v in model.items()}, 7, {"loss": np.float32(0.5)}
if __name__ == "__main__":
    train.run()
"""


class Trainer(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(self.path("t.py"), "w") as out:
            out.write(SCRIPT)
        safetensors.write(self.path("model.safetensors"),
                          {"w": np.ones((2, 2), np.float32), "b": np.zeros((), np.float32)})

    def path(self, name):
        return os.path.join(self.folder, name)

    def environment(self, **more):
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return {"PATH": os.environ["PATH"], "PYTHONPATH": package, "CAIRN_WORK_DIR": self.folder, **more}

    def once(self, task, expect=0, **settings):
        with open(self.path("task.json"), "w") as out:
            json.dump({"version": 1, "task": task, "round": 2, "index": 1, "client_number": 3, "samples": 9,
                       "seed": 5, "seconds": 10.0, "settings": settings}, out)
        done = subprocess.run([sys.executable, "-B", self.path("t.py")], capture_output=True, text=True,
                              env=self.environment(), timeout=60)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def metrics(self):
        with open(self.path("metrics.json")) as file:
            return json.load(file)

    def test_one_task(self):
        done = self.once("train")
        self.assertEqual(done.stdout, "at it\n")
        self.assertEqual(self.metrics(), {"samples": 7, "loss": 0.5})
        trained = safetensors.read(self.path("trained.safetensors"))
        np.testing.assert_array_equal(trained["w"], np.full((2, 2), 2))
        expected = np.float32(np.random.default_rng([5, 2, 1]).random() + 1)
        self.assertEqual((trained["b"].dtype, float(trained["b"])), (np.float32, expected))

    def test_initial_and_evaluate(self):
        self.once("initial")
        first = safetensors.read(self.path("trained.safetensors"))
        self.assertEqual([first[name].dtype.name for name in "wbnm"], ["float16", "float32", "int64", "int64"])
        np.testing.assert_array_equal(first["w"], np.full((2, 2), 5))
        self.once("evaluate")
        self.assertEqual(self.metrics(), {"samples": 10, "accuracy": 0, "loss": 1})

    def test_mistakes_are_told_and_leave_nothing(self):
        for what, words in (("raise", "no luck"), ("nan", "NaN"), ("shape", '"w" came back with shape (2,)'),
                            ("missing", "other tensors"), ("none", "returns (model, samples, metrics)"),
                            ("zero", "0 samples"), ("metric", '"loss" is inf')):
            with self.subTest(what=what):
                done = self.once("train", 1, what=what)
                self.assertIn(words, done.stderr)
                self.assertFalse(os.path.exists(self.path("metrics.json")))

    def test_started_by_hand(self):
        environment = self.environment()
        del environment["CAIRN_WORK_DIR"]
        done = subprocess.run([sys.executable, "-B", self.path("t.py")], capture_output=True, text=True,
                              env=environment, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("started by cairn", done.stderr)

    def test_kept(self):
        ours, theirs = socket.socketpair()
        process = subprocess.Popen([sys.executable, "-B", self.path("t.py")], pass_fds=[theirs.fileno()],
                                   env=self.environment(CAIRN_SOCKET=str(theirs.fileno())),
                                   stderr=subprocess.PIPE, text=True)
        theirs.close()
        ours.settimeout(60)

        def receive():
            length = struct.unpack("<I", ours.recv(4, socket.MSG_WAITALL))[0]
            return json.loads(ours.recv(length, socket.MSG_WAITALL))

        def send(**task):
            text = json.dumps(task).encode()
            ours.sendall(struct.pack("<I", len(text)) + text)

        for settings, last in (({}, {"done": True}), ({"what": "raise"}, {"error": "ValueError: no luck"}),
                               ({}, {"done": True})):
            send(task="train", round=1, settings=settings)
            self.assertEqual(receive(), {"progress": "at it"})
            self.assertEqual(receive(), last)
        ours.close()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertIn("Traceback", errors)


if __name__ == "__main__":
    unittest.main()
