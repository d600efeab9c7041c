# SPDX-License-Identifier: Apache-2.0
"""Models in and out: beginning with a file, models of rounds, an end at an accuracy, what stays at home."""

import json
import os
import struct
import unittest

import cairn

FLOATS = {"F64": "d", "F32": "f", "F16": "e"}


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> (dtype, shape, values)."""
    header = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, (dtype, shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}{FLOATS[dtype]}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    with open(path, "rb") as source:
        raw = source.read()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    metadata = header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        part = raw[8 + size + begin:8 + size + end]
        kind = FLOATS[entry["dtype"]]
        values = struct.unpack(f"<{len(part) // struct.calcsize(kind)}{kind}", part)
        tensors[name] = (entry["dtype"], entry["shape"], list(values))
    return tensors, metadata


class Models(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)

    def config(self, name, rounds=3, **sections):
        config = cairn.make_config(self.net, [[cairn.CLIENT, cairn.CLIENT], cairn.CLIENT],
                                   rounds=rounds, name=name, **sections)
        config["log"].setdefault("dir", self.path("log"))
        config["log"].setdefault("runs", self.path("runs"))
        return config

    def run_agg(self, config, *more, expect=0):
        self.start_nodes(config)
        agg = self.start_agg(config, f"{config['experiment']}.json", *more)
        document = self.finish(agg, expect=expect)
        self.stop_nodes()
        self.started = []
        return document

    def test_models_of_rounds_and_an_end_at_an_accuracy(self):
        config = self.config("short", rounds=40, round={"stop_at_accuracy": 0.5},
                             log={"checkpoint_every": 2})
        document = self.run_agg(config)
        rounds = document["rounds"]
        self.assertLess(rounds, 40)
        with open(self.path("runs/short/rounds.jsonl")) as lines:
            accuracies = [json.loads(line)["accuracy"] for line in lines]
        self.assertEqual(len(accuracies), rounds)
        self.assertGreaterEqual(accuracies[-1], 0.5)
        self.assertTrue(all(a < 0.5 for a in accuracies[:-1]), accuracies)
        kept = sorted(n for n in os.listdir(self.path("runs/short")) if n.startswith("round-"))
        self.assertEqual(kept, sorted(f"round-{k}.safetensors" for k in range(2, rounds + 1, 2)))
        # a new run of it leaves none of the earlier one's behind
        config["aggregator"]["iteration"] = 1
        self.run_agg(config)
        kept = [n for n in os.listdir(self.path("runs/short")) if n.startswith("round-")]
        self.assertEqual(kept, [])

    def test_begins_with_a_file(self):
        self.run_agg(self.config("first", rounds=2))
        model, metadata = read_safetensors(self.path("runs/first/model.safetensors"))
        self.assertIsNone(metadata)
        names = list(model)
        halves = {n: ("F16", model[n][1], model[n][2]) for n in reversed(names)}
        path = self.path("halves.safetensors")
        write_safetensors(path, halves, {"format": "pt", "who": "me"})
        before, _ = read_safetensors(path)
        self.run_agg(self.config("second", rounds=1, train={"batch": 16, "learning_rate": 1e-6}),
                     "--init", path)
        after, metadata = read_safetensors(self.path("runs/second/model.safetensors"))
        self.assertEqual(metadata, {"format": "pt", "who": "me"})
        self.assertEqual(list(after), list(reversed(names)))
        for name in names:
            self.assertEqual(after[name][:2], ("F16", model[name][1]))
            # next to nothing was learned: it did begin there
            self.assertLess(max(abs(a - b) for a, b in zip(after[name][2], before[name][2])), 0.01)

    def test_refuses_files_of_other_models(self):
        config = self.config("bad", rounds=1)
        path = self.path("bad.safetensors")
        shapes = {"one": ("F32", [2], [1, 2])}
        for content, words in (
            (shapes, ["has no tensor"]),
            (None, ["\"one\" ends at byte 8, the file holds 7"]),
        ):
            write_safetensors(path, content or shapes)
            if content is None:
                with open(path, "rb+") as out:
                    out.truncate(os.path.getsize(path) - 1)
            agg = self.start_agg(config, "bad.json", "--init", path)
            out, _ = agg.communicate(timeout=20)
            self.assertEqual(agg.returncode, 8, out)
            for word in words + ["bad.safetensors"]:
                self.assertIn(word, json.loads(out)["error"])
            self.assertFalse(os.path.exists(self.path("runs/bad/config.json")))
        agg = self.start_agg(config, "bad.json", "--init", self.path("not there"))
        out, _ = agg.communicate(timeout=20)
        self.assertEqual(agg.returncode, 8, out)

    def test_what_stays_at_home(self):
        config = self.config("home", rounds=2)
        self.run_agg(config)
        model, _ = read_safetensors(self.path("runs/home/model.safetensors"))
        last = list(model)[-1]
        config["model"]["exclude"] = [last[:-1] + "?"]
        shared = self.run_agg(config)
        part, _ = read_safetensors(self.path("runs/home/model.safetensors"))
        self.assertEqual(list(part), list(model))
        self.assertEqual(shared["params"],
                         sum(len(t[2]) for name, t in model.items() if name != last))
        config["aggregator"]["iteration"] = 1
        self.run_agg(config)
        again, _ = read_safetensors(self.path("runs/home/model.safetensors"))
        self.assertEqual(part[last], again[last])  # its initial values in both
        self.assertNotEqual(part[list(model)[0]], again[list(model)[0]])
        checked = self.cairn("check", "--json", self.path("home.json"), "--data-dir", self.data).json
        self.assertEqual(checked["params"], shared["params"])
        self.assertEqual(checked["params_at_home"], len(model[last][2]))
        config["model"]["exclude"] = ["layer9.*"]
        refused = self.cairn("check", self.write(config, "typo.json"), expect=3)
        self.assertIn("\"layer9.*\"", refused.err)
        agg = self.start_agg(config, "home.json")
        out, _ = agg.communicate(timeout=20)
        self.assertEqual(agg.returncode, 3, out)
        self.assertIn("\"layer9.*\"", json.loads(out)["error"])


if __name__ == "__main__":
    cairn.main()
