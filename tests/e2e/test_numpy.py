# SPDX-License-Identifier: Apache-2.0
"""Models that numpy has written, .npz and .npy, where a run reads a model: each is what the same model as safetensors
is. Needs an interpreter with numpy and is skipped with a message where there is none."""

import json
import os
import struct
import subprocess
import sys
import unittest
import zipfile

import cairn
from cairn import CLIENT
from test_command import TRAINER
from test_python import python_with

COMMON = """
import json, struct, sys
import numpy as np

TYPES = {"f2": "F16", "f4": "F32", "f8": "F64", "i8": "I64", "u1": "U8", "b1": "BOOL"}

def read(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    return {name: np.frombuffer(raw[8 + size:][slice(*e["data_offsets"])], np.float32).reshape(e["shape"])
            for name, e in json.loads(raw[8:8 + size]).items()}

def write(path, tensors):
    header, data = {}, b""
    for name, value in tensors.items():
        value = np.asarray(value)
        raw = value.tobytes()
        header[name] = {"dtype": TYPES[value.dtype.str[1:]], "shape": value.shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)

def write_all(stem, tensors):
    write(stem + ".safetensors", tensors)
    np.savez(stem + ".npz", **tensors)
    np.savez_compressed(stem + "-packed.npz", **tensors)
"""


class Numpy(cairn.CairnCase):
    def numpy(self, program, *arguments):
        done = subprocess.run([python_with("numpy"), "-B", "-c", COMMON + program, *arguments], cwd=self.folder,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def config(self, name, **sections):
        config = cairn.make_config(self.net, [CLIENT, CLIENT], rounds=1, name=name, **sections)
        config["log"].setdefault("dir", self.path("log"))
        config["log"].setdefault("runs", self.path("runs"))
        return config

    def run_agg(self, config, *more):
        self.start_nodes(config)
        document = self.finish(self.start_agg(config, "test.json", *more))
        self.stop_nodes()
        self.started = []
        return document

    def result(self, config, name):
        with open(self.path("runs", config["experiment"], name), "rb") as file:
            return file.read()

    def test_a_run_begins_with_arrays(self):
        cairn.make_data(self.data)
        config = self.config("first")
        self.run_agg(config)
        self.numpy("tensors = read('runs/first/model.safetensors')\n"
                   "write_all('full', tensors)\n"
                   "write_all('half', {n: tensors[n].astype('f2') for n in reversed(list(tensors))})\n")
        for stem, other in (("full", ".npz"), ("half", "-packed.npz")):
            documents, models, evaluated = [], set(), set()
            for form in (".safetensors", other):
                config = self.config(stem)
                documents.append(self.run_agg(config, "--anew", "--init", self.path(stem + form)))
                models.add(self.result(config, "model.safetensors"))
                evaluated.add(self.cairn("eval", self.path(stem + form), "--data-dir", self.data).out)
            self.assertEqual(len({d["model_digest"] for d in documents}), 1, documents)
            self.assertEqual((len(models), len(evaluated)), (1, 1))
        self.assertEqual(models.pop().count(b'"F16"'), 4)

    def test_a_programs_model(self):
        """Floats, counters and flags: model.file."""
        self.numpy("write_all('m', {'w': np.array([[1, 2], [3, -4]], 'f8'), 'n': np.int64(-3),\n"
                   "                'u': np.array([7, 8], 'u1')})\n"
                   "np.save('w.npy', np.array([1, 2.5, -4], 'f4'))\n"
                   "write('w.safetensors', {'array': np.array([1, 2.5, -4], 'f4')})\n"
                   "write('other.safetensors', {'w': np.zeros(3, 'f4')})\n")
        train = {"type": "command", "command": [sys.executable, "-B", "-S", TRAINER], "samples": 5,
                 "batch": 1, "evaluate": True}
        config = self.config("program", train=train)

        def made(file, *more):
            config["model"] = {"file": self.path(file)}
            for address in config["others"]:
                self.start_node(address, "--train-command", json.dumps(train["command"]))
            for address in config["others"]:
                cairn.until(f"{address} listens", lambda a=address: cairn.listens(a))
            self.finish(self.start_agg(config, "test.json", "--anew", *more))
            self.stop_nodes()
            self.started = []
            return self.result(config, "model.safetensors")

        self.assertEqual(len({made("m" + form) for form in (".safetensors", ".npz")}), 1)
        alone = made("w.npy")
        self.assertEqual(alone, made("w.safetensors"))
        self.assertEqual(struct.unpack("<3f", alone[-12:]), (2, 3.5, -3))
        named = made("other.safetensors", "--init", self.path("w.npy"))
        self.assertEqual(named[-12:], alone[-12:])
        self.assertIn(b'"w"', named)
        config["model"] = {"file": self.path("m.npz")}
        checked = self.cairn("check", self.write(config))
        self.assertIn("model.file", checked.out)

    def test_inspect(self):
        """All formats of a model show the same of it."""
        self.numpy("write_all('m', {'w': np.array([[1, 2], [3, -4]], 'f8'), 'n': np.int64(-3),\n"
                   "                'e': np.zeros((0, 2), 'f2')})\n"
                   "np.save('w.npy', np.array([1, 2.5, -4], 'f4'))\n"
                   "write('w.safetensors', {'array': np.array([1, 2.5, -4], 'f4')})\n")
        known = [{"name": "w", "dtype": "F64", "shape": [2, 2], "count": 4},
                 {"name": "n", "dtype": "I64", "shape": [], "count": 1},
                 {"name": "e", "dtype": "F16", "shape": [0, 2], "count": 0}]
        digest = cairn.blake2b(struct.pack("<4f", 1, 2, 3, -4)).hex()
        for file, kind in (("m.safetensors", "safetensors model"), ("m.npz", ".npz archive"),
                           ("m-packed.npz", ".npz archive")):
            found = self.cairn("inspect", "--json", self.path(file)).json
            self.assertEqual((found["kind"], found["params"]), (kind, 4))
            self.assertEqual((found["tensors"], found["model_digest"]), (known, digest))
        array, model = (self.cairn("inspect", "--json", self.path(f)).json
                        for f in ("w.npy", "w.safetensors"))
        self.assertEqual(array["kind"], ".npy array")
        for key in ("params", "model_digest", "tensors"):
            self.assertEqual(array[key], model[key])
        for name, content in (("cut.npz", b"PK\x03\x04" + bytes(40)), ("cut.npy", b"\x93NUMPY" + bytes(9)),
                              ("cut.safetensors", b"\x40" + bytes(7) + b'{"a":')):
            with open(self.path(name), "wb") as file:
                file.write(content)
            self.cairn("inspect", self.path(name), expect=8)

    def test_an_unfinished_run_goes_on_without_its_file(self):
        """What it began with is kept, as safetensors; the same model in another format is the same beginning."""
        cairn.make_data(self.data)
        self.run_agg(self.config("first"))
        self.numpy("tensors = {n: t.astype('f2') for n, t in reversed(read('runs/first/model.safetensors').items())}\n"
                   "write_all('m', tensors)\n"
                   "np.savez('other.npz', **{n: t + t.dtype.type(1) for n, t in tensors.items()})\n")
        config = self.config("kept")
        config["aggregator"]["iteration"] = 100
        self.run_agg(config, "--anew", "--init", self.path("m.safetensors"))
        whole = self.result(config, "model.safetensors")
        self.start_nodes(config)
        lines = self.path("runs", "kept", "rounds.jsonl")

        def lines_there():
            if not os.path.exists(lines):
                return 0
            with open(lines) as file:
                return len(file.readlines())

        for rounds, arguments in ((5, ("--anew", "--init", self.path("m.npz"))),
                                  (20, ("--resume", "--init", self.path("m-packed.npz")))):
            agg = self.start_agg(config, "test.json", *arguments)
            cairn.until("it has made some rounds", lambda n=rounds: n <= lines_there() < 90)
            agg.kill()
            agg.communicate()
        other = self.start_agg(config, "test.json", "--resume", "--init", self.path("other.npz"))
        self.assertIn("has another config", self.finish(other, expect=3)["error"])
        self.finish(self.start_agg(config, "test.json", "--resume"))
        self.assertEqual(self.result(config, "model.safetensors"), whole)
        self.assertEqual(whole.count(b'"F16"'), 4)

    def test_bad_files(self):
        """Said with file and member before anything is begun."""
        cairn.make_data(self.data)
        self.numpy("""
ok = np.zeros(2, "f4")
np.savez("object.npz", a=ok, b=np.array([{}, 1], object))
np.savez("fortran.npz", a=ok, b=np.asfortranarray(np.ones((2, 3), "f4")))
np.savez("big.npz", a=ok, b=ok.astype(">f4"))
np.savez("fields.npz", a=ok, b=np.zeros(2, [("x", "f4"), ("y", "i4")]))
np.savez("complex.npz", a=ok, b=ok.astype("c8"))
np.savez("text.npz", a=ok, b=np.array(["x"]))
np.savez("other.npz", a=ok, b=ok)
np.savez("empty.npz")
np.save("object.npy", np.array([{}, 1], object))
np.save("fortran.npy", np.asfortranarray(np.ones((2, 3), "f4")))
np.save("one.npy", ok)
""")
        with open(self.path("other.npz"), "rb") as file:
            good = file.read()
        with zipfile.ZipFile(self.path("other.npz")) as archive:
            member = archive.read("a.npy")

        def archive(name, members, method=zipfile.ZIP_STORED):
            with zipfile.ZipFile(self.path(name), "w", method) as out:
                for member_name, content in members:
                    out.writestr(member_name, content)

        archive("text-member.npz", [("a.npy", member), ("notes.txt", b"hello")])
        archive("pickle.npz", [("archive/data.pkl", b"\x80\x02.")])
        archive("climbs.npz", [("../../a.npy", member)])
        archive("bzip2.npz", [("a.npy", member)], zipfile.ZIP_BZIP2)
        locked = good.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0")
        locked = locked.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0")
        for name, content in (("locked.npz", locked), ("short.npz", good[:-5]),
                              ("flipped.npz", good.replace(b"\0" * 8 + b"PK", b"\0" * 7 + b"\1PK"))):
            self.assertNotEqual(content, good, name)
            with open(self.path(name), "wb") as out:
                out.write(content)
        with self.assertWarns(UserWarning):
            archive("twice.npz", [("a.npy", member), ("a.npy", member)])
        config = self.config("bad")
        for name, words in (
            ("object.npz", 'member "b.npy": an array of Python objects'),
            ("fortran.npz", 'member "b.npy": its elements are in Fortran order'),
            ("big.npz", 'member "b.npy": its elements are big-endian'),
            ("fields.npz", 'member "b.npy": a structured array'),
            ("complex.npz", 'member "b.npy": its dtype is <c8'),
            ("text.npz", 'member "b.npy": its dtype is <U1'),
            ("other.npz", "has no tensor"),
            ("empty.npz", "the zip archive is empty"),
            ("text-member.npz", 'member "notes.txt" is no .npy array'),
            ("pickle.npz", 'member "archive/data.pkl" is no .npy array'),
            ("climbs.npz", 'member "../../a.npy" is named like a path'),
            ("bzip2.npz", 'member "a.npy" is packed by method 12'),
            ("locked.npz", 'member "a.npy" is encrypted'),
            ("short.npz", "the zip archive is empty, cut off or damaged"),
            ("flipped.npz", 'member "a.npy" is damaged'),
            ("twice.npz", 'two tensors are called "a"'),
            ("object.npy", "an array of Python objects"),
            ("fortran.npy", "Fortran order"),
            ("one.npy", "has no tensor"),
        ):
            agg = self.start_agg(config, "bad.json", "--init", self.path(name))
            out, _ = agg.communicate(timeout=20)
            self.assertEqual(agg.returncode, 8, (name, out))
            error = json.loads(out)["error"]
            self.assertIn(words, error)
            self.assertIn(self.path(name), error)
            self.assertFalse(os.path.exists(self.path("runs/bad/config.json")), name)
            evaluated = self.cairn("eval", self.path(name), "--data-dir", self.data, expect=8)
            self.assertIn(self.path(name), evaluated.err)


if __name__ == "__main__":
    cairn.main()
