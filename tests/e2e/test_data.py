# SPDX-License-Identifier: Apache-2.0
"""What clients train on: formats, partitions, models by type, cairn check and cairn eval."""

import glob
import json
import os
import random
import struct

import cairn
from cairn import CLIENT, request

FOUR = [CLIENT] * 4


def float32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def npy(descr, shape, content):
    shape = "".join(f"{n}, " for n in shape).rstrip(" " if len(shape) == 1 else ", ")
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


class Data(cairn.CairnCase):
    def put(self, name, content):
        os.makedirs(self.data, exist_ok=True)
        with open(os.path.join(self.data, name), "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())

    def make_lines(self, train="a,b,y\n", test="a,b,y\n"):
        """y = 2 a - 3 b + 1, exactly."""
        rng = random.Random(5)
        for name, text, n in (("train.csv", train, 400), ("test.csv", test, 50)):
            for _ in range(n):
                a, b = rng.randrange(-50, 51) / 50, rng.randrange(-50, 51) / 50
                text += f"{a!r},{b!r},{2 * a - 3 * b + 1!r}\n"
            self.put(name, text)

    def linear(self, partition="contiguous", **sections):
        return cairn.make_config(self.net, FOUR, rounds=10, model={"type": "linear", "layers": []},
                                 data={"label": "y", "partition": partition}, **sections)

    def check(self, config, *arguments, expect=0):
        return self.cairn("check", self.write(config), "--data-dir", self.data, *arguments,
                          expect=expect)

    def test_partitions_are_what_check_says(self):
        """Status and log of every client name the rows that cairn check gave it."""
        cairn.make_data(self.data)
        seen = set()
        for partition in ("contiguous", "iid", "dirichlet", "shards"):
            data = {"partition": partition, "alpha": 0.3, "min_samples": 20}
            config = cairn.make_config(self.net, FOUR, rounds=1, name=partition, data=data)
            shares = self.check(config, "--json").json["shares"]
            self.assertEqual(sum(share["samples"] for share in shares), 600)
            for share in shares:
                self.assertEqual(sum(share["classes"]), share["samples"])
                self.assertGreaterEqual(share["samples"], 20)
            prints = {share["address"]: share["fingerprint"] for share in shares}
            self.assertEqual(len(set(prints.values())), 4)
            seen |= set(prints.values())
            self.run_config(config, name=f"{partition}.json")
            for path in glob.glob(self.path("log", partition, "*.json")):
                with open(path) as file:
                    log = json.load(file)
                if log["role"] == "client":
                    self.assertEqual(log["samples_fingerprint"], prints.pop(log["address"]))
            self.assertEqual(prints, {})
        self.assertEqual(len(seen), 16)
        text = self.check(config).out
        self.assertIn("shards of few classes, seed 1; rows of each class", text)

    def test_fingerprint_in_status(self):
        cairn.make_data(self.data)
        config = cairn.make_config(self.net, FOUR, rounds=1, data={"partition": "iid"},
                                   server={"autostart": False})
        shares = self.check(config, "--json").json["shares"]
        self.start_nodes(config)
        agg = self.start_agg(config)
        self.wait_until_ready(config["aggregator"]["ip"])
        for share in shares:
            status = request(share["address"], "GET", "/status").json
            self.assertEqual(status["samples_fingerprint"], share["fingerprint"])
            self.assertEqual(status["samples"], share["samples"])
        request(config["aggregator"]["ip"], "POST", "/a/train")
        self.finish(agg)

    def test_partitions_that_cannot_be(self):
        cairn.make_data(self.data)
        config = cairn.make_config(self.net, FOUR, data={"partition": "dirichlet", "alpha": 1e-4,
                                                         "min_samples": 149})
        self.assertIn("data.min_samples: 1000 draws with data.alpha 0.0001",
                      self.check(config, expect=8).err)
        cairn.make_data(self.data, train=30, test=30)
        for data, words in (
            ({"min_samples": 8}, "data.min_samples: 4 clients with 8 rows"),
            ({"partition": "shards", "shards_per_client": 8}, "data.shards_per_client"),
        ):
            config = cairn.make_config(self.net, FOUR, data=data)
            self.assertIn(words, self.check(config, expect=8).err)
        config = cairn.make_config(self.net, [CLIENT] * 31)
        self.assertIn("train-images-idx3-ubyte: client_number: 31 clients cannot share 30 rows",
                      self.check(config, expect=8).err)
        config = cairn.make_config(self.net, FOUR, data={"alpha": 0})
        self.assertIn("data.alpha: 0", self.check(config, expect=3).err)

    def test_one_model_from_three_formats(self):
        """The same images as IDX, .npy of bytes and CSV: the same model, bit for bit."""
        digests = []
        cairn.make_data(self.data)
        parts = {"train": cairn.make_rows(600, 8, 1), "test": cairn.make_rows(200, 8, 2)}
        scale = float32(1 / 255)
        for form in ("idx", "npy", "csv"):
            if form != "idx":
                for name in os.listdir(self.data):
                    os.unlink(os.path.join(self.data, name))
            for part, (pixels, labels) in parts.items():
                n = len(labels)
                if form == "npy":
                    self.put(f"{part}-features.npy", npy("|u1", (n, 8, 8), pixels))
                    self.put(f"{part}-labels.npy",
                             npy("<i8", (n,), struct.pack(f"<{n}q", *labels)))
                elif form == "csv":
                    lines = ["\ufefflabel," + ",".join(f"p{i}" for i in range(64))]
                    for row in range(n):
                        values = (float32(p * scale) for p in pixels[64 * row : 64 * row + 64])
                        lines.append(f'"{labels[row]}",' + ",".join(f"{v:.9g}" for v in values))
                    self.put(f"{part}.csv", "\r\n".join(lines))
            config = cairn.make_config(self.net, FOUR, data={"partition": "iid"}, name=form)
            document = self.run_config(config, name=f"{form}.json")
            digests.append(document["model_digest"])
            evaluated = self.cairn("eval", self.path("runs", form, "model.safetensors"),
                                   "--data-dir", self.data, "--json").json
            self.assertEqual(evaluated["accuracy"], document["accuracy"])
            self.assertEqual(evaluated["model_digest"], document["model_digest"])
        self.assertEqual(len(set(digests)), 1, digests)

    def test_linear_regression(self):
        self.make_lines()
        document = self.run_config(self.linear(name="lines"))
        self.assertIsNone(document["accuracy"])
        self.assertLess(document["loss"], 1e-3)  # from 5
        model = self.path("runs/lines/model.safetensors")
        evaluated = self.cairn("eval", model, self.path("test.json"), "--data-dir", self.data,
                               "--json").json
        self.assertIsNone(evaluated["accuracy"])
        self.assertEqual((evaluated["loss"], evaluated["samples"]), (document["loss"], 50))
        self.assertIn("mean squared error",
                      self.cairn("eval", model, self.path("test.json"), "--data-dir",
                                 self.data).out)
        shares = self.check(self.linear(), "--json").json["shares"]
        self.assertEqual([share["samples"] for share in shares], [100] * 4)
        self.assertNotIn("classes", shares[0])
        self.check(self.linear(partition="shards"), expect=3)

    def test_cnn(self):
        cairn.make_data(self.data, train=400, test=100, side=12)
        config = cairn.make_config(self.net, FOUR, rounds=4, name="cnn",
                                   model={"type": "cnn", "layers": [144, 4, 8, 16, 10]},
                                   train={"epochs": 5, "learning_rate": 0.05,
                                          "proximal_mu": 0.01})
        document = self.run_config(config)
        self.assertGreater(document["accuracy"], 0.8)
        evaluated = self.cairn("eval", self.path("runs/cnn/model.safetensors"), "--data-dir",
                               self.data, "--json").json
        self.assertEqual(evaluated["accuracy"], document["accuracy"])
        found = self.cairn("inspect", self.path("runs/cnn/model.safetensors"), "--json").json
        self.assertEqual([t["shape"] for t in found["tensors"] if t["name"] == "conv2.weight"],
                         [[8, 4, 3, 3]])

    def test_bad_files(self):
        """Said by check, before anything runs, with file and line."""
        for text, words in (
            ("a,b,y\n1,2,3\n1,2\n", "train.csv:3: 2 fields"),
            ("a,b,y\n1,,3\n", "train.csv:2: no value for \"b\""),
            ("a,b,y\n1,\"2,3\n", "train.csv:2: a quote"),
            ("a,b,y\n1,x,3\n", "train.csv:2: \"x\" for \"b\" is no finite number"),
            ("a,b,y\n1,2,3,4\n", "train.csv:2: 4 fields"),
            ("a,b,y\n1,2,\n", "train.csv:2: no value for \"y\""),
            ("a,b,y\n1,\"2\"3,4\n", "train.csv:2: a quote"),
            ("a,b,y\n1,2,3\n1,2,cat\n", "train.csv:3: \"cat\" for \"y\" is no finite number"),
            ("a,b,y\n\n", "train.csv:2: this line is empty"),
            ("a,b,y\n", "train.csv has no rows"),
            ("a,b,y\r1,2,3\r", "train.csv:1: a carriage return within the line"),
            ("a,b,y\n1,2,3\n".encode("utf-16"), "train.csv:1: a zero byte; is this UTF-16"),
            ("a,a,y\n1,2,3\n", "train.csv:1: two columns are named \"a\""),
            ("a,b,label\n1,2,3\n", "no column is named \"y\""),
            ("a;b;y\n1;2;3\n", "commas separate the columns"),
        ):
            self.make_lines()
            self.put("train.csv", text)
            self.assertIn(words, self.check(self.linear(), expect=8).err)
        self.make_lines()
        for text in (b"\xef\xbb\xbfa,b,y\n1,2,3\n", b"a,b,y\r\n1,\"2\",3\r\n"):
            self.put("test.csv", text)
            self.check(self.linear())
        self.make_lines(test="b,a,y\n")
        self.assertIn("name other columns", self.check(self.linear(), expect=8).err)
        self.make_lines()
        config = cairn.make_config(self.net, FOUR, model={"layers": [2, 4, 3]},
                                   data={"label": "y"})
        self.assertRegex(self.check(config, expect=8).err,
                         r"train.csv:\d+: the label is .*, expected a whole number, 0..2")

    def test_bad_arrays(self):
        """Said by check, or by the first client that reads them: no round begins."""
        features, labels = struct.pack("<80f", *range(80)), bytes(i % 3 for i in range(40))
        good = {"train-features.npy": npy("<f4", (40, 2), features), "train-labels.npy": npy("|u1", (40,), labels),
                "test-features.npy": npy("<f4", (40, 2), features), "test-labels.npy": npy("|u1", (40,), labels)}
        config = cairn.make_config(self.net, FOUR, rounds=1, name="arrays",
                                   model={"type": "logistic", "layers": [2, 3]})
        for name, content, words in (
            ("train-features.npy", npy("|O", (40, 2), features), "an array of Python objects"),
            ("train-labels.npy", npy("|O", (40,), labels), "an array of Python objects"),
            ("train-features.npy", npy("<f4", (40, 2), features).replace(b"False", b"True "), "Fortran order"),
            ("train-features.npy", npy(">f4", (40, 2), features), "big-endian"),
            ("train-features.npy", npy("<f4", (40, 2), features[:-1]), "its shape takes 320 bytes, the file has 319"),
            ("train-labels.npy", npy("|u1", (39,), labels[:39]), "has 39 labels"),
            ("train-labels.npy", npy("<f4", (40,), features[:120] + struct.pack("<10f", *[1.5] * 10)),
             "the label of row 3 is 3"),
            ("train-labels.npy", npy("<f4", (40,), struct.pack("<40f", *[1] * 39, 1.5)),
             "the label of row 39 is 1.5"),
        ):
            for path, bytes_ in {**good, name: content}.items():
                self.put(path, bytes_)
            err = self.check(config, expect=8).err
            self.assertIn(words, err)
            self.assertIn(os.path.join(self.data, name), err)
        for path, bytes_ in good.items():
            self.put(path, bytes_)
        self.put("train-features.npy", npy("<f4", (40, 2), features[:-4] + struct.pack("<f", float("nan"))))
        self.run_config(config, expect=8)
        self.assertIn("train-features.npy: feature 1 of row 39 is nan", self.err)
        self.assertFalse(os.path.exists(self.path("runs", "arrays", "model.safetensors")))

    def test_eval_refuses(self):
        cairn.make_data(self.data)
        self.run_config(cairn.make_config(self.net, FOUR, rounds=1, name="m"))
        model = self.path("runs/m/model.safetensors")
        self.cairn("eval", model, expect=2)
        self.cairn("eval", self.path("nothing"), "--data-dir", self.data, expect=8)
        self.cairn("eval", self.path("test.json"), "--data-dir", self.data, expect=8)
        self.cairn("eval", model, "--data-dir", self.path("nowhere"), expect=8)
        other = cairn.make_config(self.net, FOUR, model={"type": "logistic", "layers": [64, 10]})
        self.assertIn("linear.weight", self.cairn("eval", model, self.write(other, "other.json"),
                                                  "--data-dir", self.data, expect=9).err)
        synthetic = cairn.make_config(self.net, FOUR, train={"type": "synthetic"})
        self.cairn("eval", model, self.write(synthetic, "s.json"), "--data-dir", self.data,
                   expect=3)


if __name__ == "__main__":
    cairn.main()
