# SPDX-License-Identifier: Apache-2.0
"""keygen, encrypt, add, decrypt and inspect with --format seal and tenseal."""

import json
import os
import random
import stat
import struct

from cairn import main
from test_files import FilesCase, npy, read_safetensors, safetensors

HEADER = 16


def objects(data):
    """SEAL's objects, one after the other: each says how long it is."""
    result, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at + 8)
        result.append(data[at:at + size])
        at += size
    return result


class FormatsCase(FilesCase):
    form = "seal"
    profile = "bfv"
    n = 3

    def setUp(self):
        super().setUp()
        noise = random.Random(3)
        self.models = [{"bias": ([9], [noise.uniform(-1, 1) for _ in range(9)]),
                        "weight": ([90, 100], [noise.uniform(-1, 1) for _ in range(9000)])}
                       for _ in range(self.n)]
        for i, model in enumerate(self.models):
            self.put(f"m{i}", safetensors(model))

    def option(self):
        return "--format", self.form

    def pair(self, name="cairn", *arguments, n=3):
        return self.keygen(*self.option(), "--profile", self.profile, *arguments, out=name, n=n)

    def updates(self, name="cairn", n=3):
        for i in range(n):
            self.encrypt(i, f"m{i}", *self.option(), key=f"{name}.public", out=f"u{i}")
        return [f"u{i}" for i in range(n)]

    def total(self, out, *sources, expect=0):
        return self.cairn("add", "--json", *self.option(), "--out", out, *sources, expect=expect)

    def open(self, source, out, expect=0, key="cairn.secret", *arguments):
        return self.decrypt(source, out, *self.option(), *arguments, key=key, expect=expect)

    def check_mean(self, out):
        mean = read_safetensors(self.path(out))
        self.assertEqual(sorted(mean), ["bias", "weight"])
        for name, (shape, values) in mean.items():
            self.assertEqual(shape, self.models[0][name][0])
            for k, value in enumerate(values):
                exact = sum(m[name][1][k] for m in self.models) / self.n
                self.assertLess(abs(value - exact), 1.01 / 32767)

    def change_note(self, name, **members):
        note = json.loads(self.get(f"{name}.json"))
        for key, value in members.items():
            if value is None:
                note.pop(key)
            else:
                note[key] = value
        self.put(f"{name}.json", json.dumps(note).encode())

    def refused(self, result, *words, out="sum"):
        self.says(result, *words)
        self.assertFalse(os.path.exists(self.path(out)), out)
        self.assertFalse(os.path.exists(self.path(f"{out}.json")), out)


class RoundTrips:
    def test_mean(self):
        self.pair()
        self.total("ab", *self.updates()[:2])
        self.assertEqual(self.total("sum", "ab", "u2").json["contributors"], 3)
        self.assertEqual(self.open("sum", "mean").json["contributors"], 3)
        self.check_mean("mean")

    def test_same_integers_as_cairns_own_format(self):
        self.pair()
        self.keygen("--profile", self.profile, out="own")
        for i in range(3):
            self.encrypt(i, f"m{i}", "--seed", "5", *self.option(), out=f"u{i}")
            self.encrypt(i, f"m{i}", "--seed", "5", key="own.public", out=f"o{i}")
        self.total("sum", "u0", "u1", "u2")
        self.add("own.sum", "o0", "o1", "o2")
        self.open("sum", "mean")
        self.decrypt("own.sum", "own.mean", key="own.secret")
        self.assertEqual(self.get("mean"), self.get("own.mean"))

    def test_secret_file(self):
        self.pair()
        self.assertEqual(stat.S_IMODE(os.stat(self.path("cairn.secret")).st_mode), 0o600)
        before = self.get("cairn.secret")
        self.says(self.cairn("keygen", "--json", *self.option(), "--profile", self.profile,
                             "--contributors", "3", expect=None), "is there already")
        self.assertEqual(self.get("cairn.secret"), before)
        self.total("sum", *self.updates())
        os.chmod(self.path("cairn.secret"), 0o640)
        self.refused(self.open("sum", "mean", expect=None), "cairn.secret has mode 0640",
                     out="mean")

    def test_another_key(self):
        self.pair()
        self.pair("other")
        self.total("sum", *self.updates())
        self.refused(self.open("sum", "mean", expect=None, key="other.secret"),
                     "is of key pair", out="mean")
        self.put("other.secret.json", self.get("cairn.secret.json"))
        self.refused(self.open("sum", "mean", expect=None, key="other.secret"),
                     "is not the key that its note", out="mean")

    def test_floor(self):
        self.pair()
        self.updates()
        self.refused(self.open("u0", "mean", expect=None), "the floor is 3", out="mean")

    def test_outputs_are_no_keys(self):
        self.pair()
        self.updates()
        for key in ("cairn.public", "cairn.secret"):
            before = self.get(key)
            self.says(self.total(key, "u0", "u1", expect=None), "is a key")
            self.says(self.encrypt(0, "m0", *self.option(), out=key, expect=None), "is a key")
            self.assertEqual(self.get(key), before)

    def test_other_pair_and_same_client(self):
        self.pair()
        self.pair("other")
        self.updates()
        self.encrypt(1, "m1", *self.option(), key="other.public", out="x1")
        self.refused(self.total("sum", "u0", "x1", expect=None), "the key differs", "x1")
        self.refused(self.total("sum", "u0", "u1", "u0", expect=None), "client 0 is in u0")

    def test_damage(self):
        self.pair()
        self.updates()
        good = self.get("u1")
        self.put("u1", good[:-1])
        self.refused(self.total("sum", "u0", "u1", expect=None), "u1")
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        self.put("u1", bytes(flipped))
        self.refused(self.total("sum", "u0", "u1", expect=None), "u1", "is damaged")
        self.put("u1", good)
        os.remove(self.path("u1.json"))
        self.refused(self.total("sum", "u0", "u1", expect=None), "u1.json")

    def test_other_files_stay(self):
        self.pair()
        self.updates()
        self.put("sum.json", b'{"iteration": []}')
        self.says(self.total("sum", "u0", "u1", expect=None), "sum.json is there", "another name")
        self.assertEqual(self.get("sum.json"), b'{"iteration": []}')
        self.assertFalse(os.path.exists(self.path("sum")))
        os.remove(self.path("sum.json"))
        self.total("sum", "u0", "u1")
        self.total("sum", "u0", "u2")  # its own note is written over

    def test_capsule_says_why(self):
        result = self.cairn("keygen", "--json", *self.option(), "--profile", "capsule",
                            "--contributors", "3", expect=None)
        self.says(result, "one-time key", "--profile seal-ckks")
        self.assertEqual([f for f in os.listdir(self.path(".")) if f.startswith("cairn.")], [])

    def test_too_many_contributors(self):
        self.pair()
        self.updates()
        self.change_note("u0", contributors=4)
        self.refused(self.total("sum", "u0", "u1", expect=None), "u0.json", "contributors")


class SealBfv(RoundTrips, FormatsCase):
    def test_objects(self):
        self.pair("cairn", "--seal-version", "3.7")
        self.total("sum", *self.updates())
        for name in ("cairn.public", "cairn.public.parms", "cairn.secret", "u0", "sum"):
            for one in objects(self.get(name)):
                self.assertEqual(one[:5], b"\x5e\xa1\x10\x03\x07", name)
        report = self.cairn("inspect", "--json", "sum").json
        self.assertEqual((report["objects"], report["contributors"]), (3, 3))
        self.assertEqual(report["seal"][0]["object"], "ciphertext or public key")
        kinds = {"cairn.public.parms": "parameters", "cairn.secret": "secret key"}
        for name, kind in kinds.items():
            row = self.cairn("inspect", "--json", name).json["seal"][0]
            self.assertEqual((row["object"], row["version"]), (kind, "3.7"))

    def refuse_object(self, number, one, *words):
        """The file u1 with another object; the error names both."""
        parts = objects(self.get("u1"))
        parts[number] = one
        self.put("x1", b"".join(parts))
        note = json.loads(self.get("u1.json"))
        del note["digest"]  # as other programs may
        self.put("x1.json", json.dumps(note).encode())
        self.put("sum", b"before")
        result = self.total("sum", "u0", "x1", expect=None)
        self.says(result, f"x1: object {number}", *words)
        self.assertEqual(self.get("sum"), b"before")
        os.remove(self.path("sum"))

    def test_objects_that_are_refused(self):
        self.pair()
        self.updates()
        c = objects(self.get("u1"))[1]
        # 89: header and count of the words, which are c0 and then c1, 2048 of 8 bytes each
        words, half = 113, 8 * 2048
        self.refuse_object(1, c[:words + half] + bytes(half), "second polynomial")
        self.refuse_object(1, c[:16] + bytes([c[16] ^ 1]) + c[17:], "parms_id", "other parameters")
        seed = b"\x5e\xa1\x10\x04\x01\0\0\0" + struct.pack("<Q", 81) + b"\x01" + bytes(64)
        seeded = (c[:8] + struct.pack("<Q", words + half + 81) + c[16:97]
                  + struct.pack("<QQ", 24 + half, 2048) + c[words:words + half] + seed)
        self.refuse_object(1, seeded, "it is seeded")
        self.refuse_object(2, self.get("cairn.public"), "is_ntt_form")
        (q,) = struct.unpack_from("<Q", self.get("cairn.public.parms"), 49)
        other = objects(self.get("u0"))[0]
        second = struct.unpack_from("<2048Q", other, words + half)
        against = struct.pack("<2048Q", *((q - w) % q for w in second))
        self.refuse_object(0, other[:words + half] + against, "would not be encrypted")


class SealCkks(RoundTrips, FormatsCase):
    profile = "seal-ckks"

    def test_scale(self):
        self.pair()
        self.updates()
        parts = objects(self.get("u1"))
        scaled = parts[0][:73] + struct.pack("<d", 2.0 ** 39) + parts[0][81:]
        self.put("x1", scaled + b"".join(parts[1:]))
        self.put("x1.json", self.get("u1.json"))
        self.change_note("x1", digest=None)
        for order in (("u0", "x1"), ("x1", "u0"), ("x1",)):
            self.refused(self.total("sum", *order, expect=None), "x1: object 0", "scale")


class TenSeal(RoundTrips, FormatsCase):
    form = "tenseal"
    profile = "seal-ckks"

    def test_inspect(self):
        self.pair()
        self.updates()
        self.assertEqual(self.cairn("inspect", "--json", "u0").json["values"], 9009)
        context = self.cairn("inspect", "--json", "cairn.public").json
        self.assertEqual((context["public_key"], context["secret_key"]), (True, False))
        context = self.cairn("inspect", "--json", "cairn.secret").json
        self.assertEqual((context["public_key"], context["secret_key"]), (True, True))

    def bare(self, name):
        os.remove(self.path(f"{name}.json"))
        return name

    def test_vectors_without_notes(self):
        self.pair()
        self.updates()
        self.pair("other")
        self.bare("u1")
        self.bare("u2")
        for key, words in (((), ("u1 has no note", "give keygen's public file")),
                           (("--key", "other.public"), ("other.public is not the key of u0",))):
            self.refused(self.total("sum", *key, "u0", "u1", "u2", expect=None), *words)
        key = "--key", "cairn.public"
        self.total("sum", *key, "u0", "u1", "u2")
        self.open("sum", "mean")
        self.check_mean("mean")
        self.bare("u0")
        self.refused(self.total("sum2", "u0", "u1", expect=None), "u0 has no note", out="sum2")
        report = self.total("sum3", *key, "u0", "u1", "u2").json
        self.assertEqual((report["contributors"], report["params"]), (3, 9009))

    def test_the_same_vector_twice(self):
        self.pair()
        self.updates()
        self.put("again", self.get("u1"))
        key = "--key", "cairn.public"
        self.refused(self.total("sum", *key, "u0", "u1", "again", expect=None),
                     "again is the same update as u1")
        self.bare("u1")
        self.refused(self.total("sum", *key, "u0", "u1", "again", expect=None),
                     "is the same update as")

    def test_one_vector_too_many(self):
        self.pair(n=2)
        self.updates(n=2)
        self.put("u2", self.get("u1"))
        self.refused(self.total("sum", "--key", "cairn.public", "u0", "u1", "u2", expect=None),
                     "u2 would be more than", "2 clients")

    def test_another_model(self):
        self.pair()
        self.updates()
        self.put("small.npy", npy((3,), [0.5, 0.25, 0.125]))
        self.encrypt(2, "small.npy", *self.option(), out="x2")
        self.bare("x2")
        self.refused(self.total("sum", "--key", "cairn.public", "u0", "x2", expect=None), "x2",
                     "1 ciphertexts")

    def test_steps_that_slots_cannot_hold(self):
        for value, words in (("0.001", ("a step of", "larger range")),
                             ("5e6", ("slots at scale 2^40", "smaller range"))):
            result = self.cairn("keygen", "--json", *self.option(), "--profile", self.profile,
                                "--contributors", "3", "--range", value, expect=None)
            self.says(result, *words)


class Options(FilesCase):
    def test_names(self):
        for words, say in ((("--format", "zip"), "no format"),
                           (("--format", "seal", "--seal-version", "4.2"), "4.1 and 3.7"),
                           (("--format", "tenseal", "--seal-version", "4.1"), "TenSEAL"),
                           (("--format", "tenseal", "--profile", "bfv"), "profile bfv"),
                           (("--seal-version", "3.7"), "--format seal")):
            result = self.cairn("keygen", "--json", "--contributors", "3", *words, expect=None)
            self.says(result, say)
        self.assertEqual(os.listdir(self.path(".")), [])


if __name__ == "__main__":
    main()
