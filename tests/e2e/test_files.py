# SPDX-License-Identifier: Apache-2.0
"""The cryptography on files: keygen, encrypt, add, decrypt, inspect."""

import array
import json
import math
import os
import random
import stat
import struct
import subprocess
import unittest

import cairn
from cairn import BIN, CairnCase, main

MB = 1 << 20


def safetensors(tensors):
    """tensors: name -> (shape, floats), in the order of the bytes."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        content = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def read_safetensors(path):
    with open(path, "rb") as f:
        content = f.read()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)
    result = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = array.array("f")
        values.frombytes(content[8 + length + begin:8 + length + end])
        result[name] = (entry["shape"], values)
    return result


def npy(shape, values, descr="<f4", fortran=False, version=1, typecode="f"):
    text = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {tuple(shape)}, }}"
    prefix = 10 if version == 1 else 12
    text += " " * (-(prefix + len(text) + 1) % 64) + "\n"
    head = b"\x93NUMPY" + bytes([version, 0])
    head += struct.pack("<H" if version == 1 else "<I", len(text))
    return head + text.encode() + array.array(typecode, values).tobytes()


class FilesCase(CairnCase):
    def put(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return name

    def get(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def keygen(self, *arguments, n=3, out="cairn"):
        return self.cairn("keygen", "--json", "--contributors", str(n), "--out", out,
                          *arguments).json

    def encrypt(self, index, source, *arguments, out=None, key="cairn.public", expect=0):
        out = out or f"update-{index}.cairn"
        return self.cairn("encrypt", "--json", "--key", key, "--index", str(index), "--in", source,
                          "--out", out, *arguments, expect=expect)

    def add(self, out, *sources, expect=0):
        return self.cairn("add", "--json", "--out", out, *sources, expect=expect)

    def decrypt(self, source, out, *arguments, key="cairn.secret", expect=0):
        return self.cairn("decrypt", "--json", "--key", key, "--in", source, "--out", out,
                          *arguments, expect=expect)

    def says(self, result, *words):
        """A failure: JSON on stdout, and on stderr what happened with these words in it."""
        self.assertIn("error", result.json)
        for word in words:
            self.assertIn(word, result.err)


class RoundTrips(FilesCase):
    def models(self, n, size=5000, seed=1):
        noise = random.Random(seed)
        result = []
        for i in range(n):
            tensors = {
                "layer.weight": ([size // 50, 50], [noise.uniform(-1, 1) for _ in range(size)]),
                "layer.bias": ([7], [noise.uniform(-1, 1) for _ in range(7)]),
                "scale": ([], [0.25 * i]),
                "empty": ([0, 5], []),
            }
            if i % 2:  # another program, another order
                tensors = dict(reversed(tensors.items()))
            result.append(tensors)
            self.put(f"m{i}", safetensors(tensors))
        return result

    def test_the_four_lines_of_the_readme(self):
        models = self.models(3)
        self.cairn("keygen", "--contributors", "3")
        for i in range(3):
            self.encrypt(i, f"m{i}")
        self.add("sum.cairn", *(f"update-{i}.cairn" for i in range(3)))
        report = self.decrypt("sum.cairn", "mean.safetensors").json
        self.assertEqual(report["contributors"], 3)
        mean = read_safetensors(self.path("mean.safetensors"))
        self.assertEqual(list(mean), ["empty", "layer.bias", "layer.weight", "scale"])
        for name, (shape, values) in mean.items():
            self.assertEqual(shape, models[0][name][0])
            for k, value in enumerate(values):
                exact = sum(m[name][1][k] for m in models) / 3
                self.assertLess(abs(value - exact), 1.01 / 32767)

    def test_profiles_agree_bit_for_bit(self):
        """Weighted, in another grouping each: equal to profile none."""
        n = 5
        self.models(n, size=6000)
        samples = [1, 9, 90, 0, 100]
        groupings = {
            "none": [("a", 0, 1), ("b", "a", 2), ("c", "b", 3), ("sum", "c", 4)],
            "bfv": [("a", 4, 2), ("b", 3, 0), ("c", "a", "b"), ("sum", 1, "c")],
            "capsule": [("sum", 2, 0, 4, 3, 1)],
            "seal-ckks": [("a", 3, 1), ("b", 4, 0, 2), ("sum", "b", "a")],
        }
        means = {}
        for profile, steps in groupings.items():
            self.keygen("--profile", profile, "--value-bits", "11", "--largest-samples", "100",
                        "--force", n=n)
            for i in range(n):
                self.encrypt(i, f"m{i}", "--samples", str(samples[i]), "--seed", "5", out=str(i))
            for out, *sources in steps:
                self.add(out, *map(str, sources))
            key = [] if profile == "none" else ["--key", "cairn.secret"]
            report = self.cairn("decrypt", "--json", *key, "--in", "sum", "--out", "mean").json
            self.assertEqual(report["samples"], 200)
            means[profile] = self.get("mean")
            self.assertEqual(report["encrypted"], profile != "none")
        self.assertEqual(means["none"], means["bfv"])
        self.assertEqual(means["none"], means["capsule"])
        self.assertEqual(means["none"], means["seal-ckks"])

    def test_the_wide_ring(self):
        made = self.keygen("--value-bits", "24", n=10000)
        self.assertIn("4096", made["parameters"])
        for i in range(3):
            self.put(f"m{i}", npy([3], [0.5, -0.25, 0.125 * i]))
            self.encrypt(9990 + i, f"m{i}", out=f"u{i}")
        self.add("sum", "u0", "u1", "u2")
        self.decrypt("sum", "mean.npy")
        mean = array.array("f", self.get("mean.npy")[128:])
        for value, exact in zip(mean, [0.5, -0.25, 0.125]):
            self.assertLess(abs(value - exact), 1e-6)

    def test_npy_in_npy_out(self):
        self.keygen()
        values = [0.5, -1, 1, 0, 0.25, -0.125]
        for version in (1, 2, 3):
            self.put("m.npy", npy([2, 3], values, version=version))
            self.encrypt(0, "m.npy")
            self.decrypt("update-0.cairn", "mean.npy", "--floor", "1")
            content = self.get("mean.npy")
            self.assertTrue(content.startswith(b"\x93NUMPY\x01\x00"))
            self.assertIn(b"'shape': (2, 3)", content)
            got = array.array("f", content[-24:])
            for a, b in zip(got, values):
                self.assertLess(abs(a - b), 1 / 32767)

    def test_sum_instead_of_mean(self):
        self.keygen("--largest-samples", "4")
        self.put("m.npy", npy([1], [0.5]))
        self.encrypt(0, "m.npy", "--samples", "4")
        self.encrypt(1, "m.npy", "--samples", "2")
        self.add("s", "update-0.cairn", "update-1.cairn")
        self.decrypt("s", "sum.npy", "--sum", "--floor", "2")
        self.assertLess(abs(array.array("f", self.get("sum.npy")[128:])[0] - 3), 1e-3)
        self.decrypt("s", "mean.npy", "--floor", "2")
        self.assertLess(abs(array.array("f", self.get("mean.npy")[128:])[0] - 0.5), 1e-3)

    def test_base(self):
        self.keygen()
        self.put("base", npy([2], [10, 20]))
        for i in range(3):
            self.put("m", npy([2], [10 + 0.25 * i, 19.5]))
            self.encrypt(i, "m", "--base", "base")
        self.add("s", "update-0.cairn", "update-1.cairn", "update-2.cairn")
        self.decrypt("s", "new", "--base", "base")
        new = array.array("f", self.get("new")[128:])
        self.assertLess(abs(new[0] - 10.25), 1e-4)
        self.assertLess(abs(new[1] - 19.5), 1e-4)
        self.says(self.decrypt("s", "none", "--base", "m", expect=9), "another base")
        self.assertFalse(os.path.exists(self.path("none")))


class Inspect(FilesCase):
    def test_every_kind(self):
        made = self.keygen()
        self.put("m.npy", npy([4], [0.5] * 4))
        self.encrypt(2, "m.npy")
        public = self.cairn("inspect", "--json", "cairn.public").json
        secret = self.cairn("inspect", "--json", "cairn.secret").json
        update = self.cairn("inspect", "--json", "update-2.cairn").json
        array_ = self.cairn("inspect", "--json", "m.npy").json
        self.assertEqual(public["kind"], "public file of a key pair")
        self.assertEqual(secret["kind"], "secret key")
        self.assertEqual(update["kind"], "update file")
        self.assertEqual(array_["kind"], ".npy array")
        self.assertEqual(public["parameters"], made["parameters"])
        self.assertEqual(public["key"], secret["key"])
        self.assertEqual(public["key"], update["key"])
        self.assertEqual(update["members"], [2])
        self.assertEqual(update["params"], 4)
        # of the secret key nothing but which pair it belongs to
        self.assertEqual(set(secret), {"file", "bytes", "kind", "key"})
        for text in (self.cairn("inspect", "update-2.cairn").out,
                     self.cairn("inspect", "cairn.secret").out):
            self.assertNotIn("\x1b", text)

    def test_damage(self):
        self.keygen()
        self.put("m.npy", npy([4], [0.5] * 4))
        self.encrypt(0, "m.npy")
        content = bytearray(self.get("update-0.cairn"))
        content[-100] ^= 1
        self.put("update-0.cairn", content)
        self.cairn("inspect", "update-0.cairn", expect=9)


class Refusals(FilesCase):
    def setUp(self):
        super().setUp()
        self.keygen("--largest-samples", "10")
        self.put("m.npy", npy([4], [0.5] * 4))

    def test_usage(self):
        for arguments in (
            ["keygen"],
            ["keygen", "--contributors", "0"],
            ["keygen", "--contributors", "3", "--profile", "rot13", "--out", "x"],
            ["keygen", "--contributors", "3", "--value-bits", "1", "--out", "x"],
            ["keygen", "--contributors", "3", "--value-bits", "25", "--out", "x"],
            ["keygen", "--contributors", "3", "--range", "0", "--out", "x"],
            ["keygen", "--contributors", "3", "--range", "nan", "--out", "x"],
            ["keygen", "--contributors", "3", "--largest-samples", "0", "--out", "x"],
            ["encrypt", "--key", "cairn.public", "--in", "m.npy", "--out", "u"],
            ["encrypt", "--key", "cairn.public", "--in", "m.npy", "--index", "0"],
            ["encrypt", "--key", "cairn.public", "--in", "m.npy", "--out", "u", "--index", "3"],
            ["encrypt", "--key", "cairn.public", "--in", "m.npy", "--out", "u", "--index", "0",
             "--samples", "11"],
            ["encrypt", "--key", "cairn.public", "--in", "m.npy", "--out", "m.npy", "--index", "0"],
            ["encrypt", "--key", "cairn.public", "--in", "m.npy", "--out", "cairn.secret",
             "--index", "0"],
            ["add", "--out", "s"],
            ["add", "u"],
            ["decrypt", "--in", "u"],
        ):
            with self.subTest(arguments=arguments):
                before = sorted(os.listdir(self.folder))
                self.cairn(*arguments, expect=2)
                self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_wrong_kinds_of_file(self):
        self.encrypt(0, "m.npy")
        self.says(self.encrypt(1, "m.npy", key="cairn.secret", expect=8), "is a secret key")
        self.says(self.encrypt(1, "cairn.public", expect=8), "is the public file")
        self.says(self.encrypt(1, "nowhere", expect=8), "nowhere", "No such file")
        self.says(self.encrypt(1, self.folder, expect=8), "no regular file")
        self.says(self.add("s", "update-0.cairn", "m.npy", expect=8), "m.npy is a .npy array")
        self.says(self.decrypt("m.npy", "x", expect=8), "an update file is needed")
        self.says(self.decrypt("update-0.cairn", "x", "--floor", "1", key="cairn.public", expect=4),
                  "mode 0644")
        self.says(self.decrypt("update-0.cairn", "x", "--floor", "1", key="nowhere", expect=8),
                  "nowhere")
        self.assertFalse(os.path.exists(self.path("x")))

    def test_models(self):
        complex64 = b'{"w":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}'
        counter = b'{"w":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}'
        twice = (b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                 b'"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}')
        for content, words in (
            (npy([3], [math.nan, 0, 0]), ["array", "element 0 is"]),
            (npy([3], [0, -math.inf, 0]), ["element 1 is -inf"]),
            (npy([3], [0, 0, 1.5]), ["element 2: 1.5 is outside +-1", "--range"]),
            (npy([3], [0] * 3, descr="<f8", typecode="d"), ["<f8"]),
            (npy([3], [0] * 3, descr=">f4"), ["big-endian"]),
            (npy([2, 2], [0] * 4, fortran=True), ["Fortran order"]),
            (npy([3], [0] * 3, descr="|O"), ["Python objects"]),
            (npy([0], []), ["no parameters"]),
            (npy([4], [0] * 3), ["16 bytes"]),
            (npy([2], [0] * 3), ["8 bytes"]),
            (safetensors({}), ["no parameters"]),
            (struct.pack("<Q", len(complex64)) + complex64 + bytes(8), ["C64"]),
            (struct.pack("<Q", len(counter)) + counter + bytes(4), ["I32", "only floats"]),
            (struct.pack("<Q", len(twice)) + twice + bytes(4), ["w"]),
            (struct.pack("<Q", 1 << 62) + b"{}", ["header length"]),
            (safetensors({"w": ([2], [0, 0])})[:-1], ["cut off"]),
            (b"PK\x03\x04" + bytes(40), ["zip archive"]),
            (b"<html>not found</html>", ["HTML"]),
            (b"", ["empty"]),
        ):
            with self.subTest(words=words):
                self.put("bad", content)
                self.put("old", b"old")
                self.says(self.encrypt(0, "bad", out="old", expect=8), "bad", *words)
                self.assertEqual(self.get("old"), b"old")
        self.assertEqual([n for n in os.listdir(self.folder) if n.endswith(".tmp")], [])

    def test_clip(self):
        self.put("m", npy([3], [7, -7, 0.5]))
        report = self.encrypt(0, "m", "--clip", "--samples", "10").json
        self.assertEqual(report["clamped"], 2)

    def test_what_does_not_belong_together(self):
        self.encrypt(0, "m.npy")
        self.keygen(out="other")
        for arguments, words in (
            (["--round", "2"], ["the round differs: 1 in update-0.cairn, 2 in"]),
            (["--range", "2"], ["--range"]),
            (["--largest-samples", "9"], ["10 in update-0.cairn, 9 in"]),
            (["--profile", "bfv"], ["capsule-2048", "bfv-2048"]),
            (["--base", "m.npy"], ["--base"]),
        ):
            self.encrypt(1, "m.npy", *arguments)
            self.says(self.add("s", "update-0.cairn", "update-1.cairn", expect=9), *words)
        self.encrypt(1, "m.npy", key="other.public")
        self.says(self.add("s", "update-0.cairn", "update-1.cairn", expect=9), "the key differs")
        self.encrypt(0, "m.npy", out="again")
        self.says(self.add("s", "update-0.cairn", "again", expect=9), "client 0", "again")
        self.says(self.decrypt("update-1.cairn", "x", "--floor", "1", expect=6), "key pair")
        self.assertFalse(os.path.exists(self.path("s")))

    def test_floor(self):
        self.encrypt(0, "m.npy")
        self.encrypt(1, "m.npy")
        self.add("s", "update-0.cairn", "update-1.cairn")
        self.says(self.decrypt("s", "x", expect=7), "2 clients", "--floor")
        self.assertFalse(os.path.exists(self.path("x")))
        self.encrypt(2, "m.npy", "--samples", "0")
        self.says(self.decrypt("update-2.cairn", "x", "--floor", "1", expect=7), "samples")

    def test_keys_on_disk(self):
        mode = stat.S_IMODE(os.stat(self.path("cairn.secret")).st_mode)
        self.assertEqual(mode, 0o600)
        self.encrypt(0, "m.npy")
        self.cairn("keygen", "--contributors", "3", expect=10)
        os.chmod(self.path("cairn.secret"), 0o640)
        self.says(self.decrypt("update-0.cairn", "x", "--floor", "1", expect=4),
                  "mode 0640", "chmod 600")
        os.chmod(self.path("cairn.secret"), 0o600)
        os.symlink("cairn.secret", self.path("link"))
        self.says(self.decrypt("update-0.cairn", "x", "--floor", "1", key="link", expect=4),
                  "symbolic link")
        before = self.get("cairn.secret")
        self.cairn("keygen", "--contributors", "3", "--force")
        self.assertNotEqual(self.get("cairn.secret"), before)

    def test_cut_and_flipped(self):
        self.encrypt(0, "m.npy")
        content = self.get("update-0.cairn")
        (header,) = struct.unpack_from("<I", content, 8)
        step = 9  # unit/files takes every byte
        said = set()
        for n in list(range(0, header + 40, step)) + [len(content) - 1]:
            self.put("bad", content[:n])
            result = self.decrypt("bad", "x", "--floor", "1", expect=None)
            self.assertIn(result.code, (8, 9), n)
        for at in range(0, len(content), len(content) // 60):
            flipped = bytearray(content)
            flipped[at] ^= 0x10
            self.put("bad", flipped)
            result = self.decrypt("bad", "x", "--floor", "1", expect=None)
            self.assertIn(result.code, (8, 9), at)
            if at >= header:
                said.add(result.err)
        self.assertEqual(len(said), 1)  # of openings no more is told
        self.assertFalse(os.path.exists(self.path("x")))

    def test_disk_full(self):
        for out in ("/dev/full/x", "/nowhere/x"):
            result = self.encrypt(0, "m.npy", out=out, expect=10)
            self.assertIn("error", result.json)

    def test_profile_none_says_so(self):
        made = self.cairn("keygen", "--json", "--contributors", "3", "--profile", "none", "--out",
                          "plain")
        self.assertIn("nothing will be encrypted", made.err)
        self.assertFalse(os.path.exists(self.path("plain.secret")))
        result = self.encrypt(0, "m.npy", key="plain.public")
        self.assertIn("NOT encrypted", result.err)
        result = self.encrypt(0, "m.npy", "--profile", "none")
        self.assertIn("NOT encrypted", result.err)
        self.assertIs(result.json["encrypted"], False)
        self.says(self.encrypt(0, "m.npy", "--profile", "bfv", key="plain.public", expect=2),
                  "no key")

    def test_update_holds_no_weights(self):
        """The bytes of an encrypted update: as random as they are long, and never twice the same."""
        self.put("m", npy([4096], [0.5] * 4096))
        self.encrypt(0, "m", "--seed", "1", out="a")
        self.encrypt(0, "m", "--seed", "1", out="b")
        a, b = self.get("a"), self.get("b")
        (header,) = struct.unpack_from("<I", a, 8)
        self.assertEqual(a[:header], b[:header])
        body = a[header + 32:-32]
        counts = [body.count(bytes([k])) for k in range(256)]
        expected = len(body) / 256
        chi = sum((c - expected) ** 2 / expected for c in counts)
        self.assertLess(chi, 255 + 8 * math.sqrt(2 * 255))  # 8 deviations
        same = sum(x == y for x, y in zip(body, b[header + 32:-32]))
        self.assertLess(same, len(body) / 256 + 8 * math.sqrt(len(body) / 256))


class Memory(FilesCase):
    """200 MB of model, in less memory than that."""

    SIZE = 50_000_000

    def peak(self, *arguments):
        """Run cairn; its peak RSS in bytes."""
        process = subprocess.Popen([BIN, *arguments], cwd=self.folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, arguments)
        return usage.ru_maxrss * 1024

    @unittest.skipIf(cairn.SANITIZED, "memory is not what it is")
    def test_a_model_larger_than_memory(self):
        text = json.dumps({"w": {"dtype": "F32", "shape": [self.SIZE],
                                 "data_offsets": [0, 4 * self.SIZE]}}).encode()
        with open(self.path("big"), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            f.truncate(8 + len(text) + 4 * self.SIZE)  # zeros
            f.seek(8 + len(text) + 4 * 30_000_000)
            f.write(struct.pack("<f", 0.5))
        self.keygen()
        limit = 60 * MB
        for i in range(2):
            self.assertLess(self.peak("encrypt", "--key", "cairn.public", "--in", "big", "--index",
                                      str(i), "--out", f"u{i}"), limit)
        self.assertLess(self.peak("add", "--out", "sum", "u0", "u1"), limit)
        self.assertLess(self.peak("inspect", "sum"), limit)
        self.assertLess(self.peak("decrypt", "--key", "cairn.secret", "--in", "sum", "--out",
                                  "mean", "--floor", "2"), limit)
        with open(self.path("mean"), "rb") as f:
            (length,) = struct.unpack("<Q", f.read(8))
            f.seek(8 + length + 4 * 30_000_000 - 4)
            before, value, after = struct.unpack("<fff", f.read(12))
        self.assertLess(abs(value - 0.5), 1 / 32767)
        self.assertLess(max(abs(before), abs(after)), 1 / 32767)


if __name__ == "__main__":
    main()
