# SPDX-License-Identifier: Apache-2.0
import json
import os
import struct
import tempfile
import unittest

import numpy as np

from cairn import safetensors
from cairn.safetensors import SafetensorsError, from_bf16, to_bf16


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin, end, dtype="F32", shape=None):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape,
            "data_offsets": [begin, end]}


class Safetensors(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "model.safetensors")

    def refuse(self, data, words):
        with open(self.path, "wb") as out:
            out.write(data)
        with self.assertRaises(SafetensorsError) as caught:
            safetensors.read(self.path)
        self.assertIn(words, str(caught.exception))
        self.assertIn(self.path, str(caught.exception))

    def test_round_trip(self):
        tensors = {
            "z": np.arange(6, dtype=np.float32).reshape(2, 3), "scalar": np.array(2.5, np.float32),
            "empty": np.zeros((0, 3), np.float32), "half": np.array([1.5, -2], np.float16),
            "double": np.array([1e300]), "count": np.array(7, np.int64), "flag": np.array([True, False]),
            "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T, "big": np.array([1], ">f4"),
        }
        safetensors.write(self.path, tensors, {"made": "here"})
        back, metadata = safetensors.read_with_metadata(self.path)
        self.assertEqual(metadata, {"made": "here"})
        self.assertEqual(list(back), list(tensors))
        for name, value in tensors.items():
            self.assertEqual(back[name].shape, value.shape)
            np.testing.assert_array_equal(back[name], value)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["model.safetensors"])

    def test_known_bytes(self):
        # by hand: the header is 64 bytes with its padding, then 1.0f and -2.0f
        safetensors.write(self.path, {"w": np.array([1, -2], np.float32)})
        with open(self.path, "rb") as file:
            data = file.read()
        self.assertEqual(data[:8], struct.pack("<Q", len(data) - 16))
        self.assertEqual(data[-8:], bytes.fromhex("0000803f000000c0"))
        self.assertEqual((len(data) - 8) % 8, 0)

    def test_bf16_rounds_to_nearest_even(self):
        # bits worked by hand: 1 + 2^-8 is half-way between 3F80 and 3F81 and goes to the even one;
        # 1 + 3 * 2^-8 is half-way between 3F81 and 3F82; the largest float32 rounds up to infinity
        x = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -0.0, 3.4028235e38, np.inf], np.float32)
        self.assertEqual([hex(v) for v in to_bf16(x)],
                         ["0x3f80", "0x3f80", "0x3f82", "0x3f81", "0x8000", "0x7f80", "0x7f80"])
        self.assertTrue(np.isnan(from_bf16(to_bf16(np.array([np.nan], np.float32))))[0])
        every = np.arange(65536, dtype=np.uint32).astype(np.uint16)
        finite = every[np.isfinite(from_bf16(every))]
        np.testing.assert_array_equal(to_bf16(from_bf16(finite)), finite)

    def test_bf16_in_a_file(self):
        safetensors.write(self.path, {"w": np.array([[1, 2]], np.float32)}, bf16=["w"])
        with open(self.path, "rb") as file:
            data = file.read()
        self.assertIn(b'"BF16"', data)
        self.assertEqual(data[-4:], bytes.fromhex("803f0040"))
        np.testing.assert_array_equal(safetensors.read(self.path)["w"], [[1, 2]])

    def test_what_is_refused(self):
        self.refuse(b"", "no header")
        self.refuse(struct.pack("<Q", 1 << 60), "no header")
        self.refuse(struct.pack("<Q", 5) + b"{}", "no header")
        self.refuse(raw(b"{no json"), "no JSON")
        self.refuse(raw(b"\xff\xfe"), "no JSON")
        self.refuse(raw(b"[1]"), "no object")
        self.refuse(raw(b'{"a":1,"a":2}'), "twice")
        self.refuse(raw({"w": 3}), "not just")
        self.refuse(raw({"w": {**entry(0, 4), "more": 1}}, bytes(4)), "not just")
        self.refuse(raw({"w": entry(0, 4, "F8")}, bytes(4)), "unknown dtype")
        self.refuse(raw({"w": entry(0, 4, shape=[-1])}, bytes(4)), "no list of sizes")
        self.refuse(raw({"w": entry(0, 4, shape=[True])}, bytes(4)), "no list of sizes")
        self.refuse(raw({"w": entry(0, 4, shape=[2])}, bytes(4)), "does not fit")
        self.refuse(raw({"w": entry(0, 8), "v": entry(4, 12)}, bytes(12)), "overlaps")
        self.refuse(raw({"w": entry(0, 4), "v": entry(8, 12)}, bytes(12)), "gap")
        self.refuse(raw({"w": entry(0, 4)}, bytes(5)), "end at byte")
        self.refuse(raw({"w": entry(0, 8)}, bytes(4)), "end at byte")
        self.refuse(raw({"__metadata__": {"a": 1}}), "object of texts")

    def test_what_is_not_written(self):
        for bad in ({"w": np.array(["text"])}, {"w": np.array([1j])}, {"__metadata__": np.zeros(1)},
                    {"w": np.array([None])}):
            with self.assertRaises(SafetensorsError):
                safetensors.write(self.path, bad)
            self.assertFalse(os.path.exists(self.path))


if __name__ == "__main__":
    unittest.main()
