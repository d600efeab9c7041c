# SPDX-License-Identifier: Apache-2.0
"""cairn bench: one document with the promised fields, on the rungs that were asked for."""

import json
import math
import os
import shutil
import subprocess
from unittest import mock

import cairn

RUNGS = ["c", "avx2", "avx512"]
PROFILES = ["none", "bfv", "capsule", "seal-ckks"]
POSITIVE = ["encrypt_ns_per_param", "fold_ns_per_param", "fold_gb_s", "open_ns_per_param",
            "bits_per_param", "value_bits", "contributors", "lanes", "threads", "params"]


class Bench(cairn.CairnCase):
    def bench(self, *arguments, rung=None, expect=0):
        with mock.patch.dict(os.environ):
            os.environ.pop("CAIRN_CPU", None)
            if rung is not None:
                os.environ["CAIRN_CPU"] = rung
            return self.cairn("bench", "--quick", *arguments, expect=expect, timeout=250)

    def assert_positive(self, number):
        self.assertIsInstance(number, (int, float))
        self.assertTrue(math.isfinite(number) and number > 0, number)

    def check_kernels(self, document, rungs):
        kernels = document["kernels"]
        names = {k["name"] for k in kernels}
        self.assertTrue({"ntt_fwd", "ntt_inv", "mul", "add_packed", "open_step"} <= names)
        self.assertEqual([(k["name"], k["rung"]) for k in kernels[: len(rungs)]],
                         [(kernels[0]["name"], rung) for rung in rungs])
        self.assertEqual(len(kernels), len(names) * len(rungs))
        for k in kernels:
            self.assert_positive(k["ns"])
            self.assert_positive(k["n"])
            self.assertLessEqual(RUNGS.index(k["code"]), RUNGS.index(k["rung"]))

    def check_profiles(self, document, rung, sets):
        profiles = document["profiles"]
        self.assertEqual([(p["profile"], p["value_bits"], p["threads"]) for p in profiles], sets)
        for p in profiles:
            for field in POSITIVE:
                self.assert_positive(p[field])
            self.assertEqual(p["rung"], rung)
            if p["profile"] == "none":
                self.assertEqual((p["n"], p["security_bits"], p["failure_log2"]), (0, 0, None))
            else:
                ckks = p["profile"] == "seal-ckks"
                self.assertIn(p["n"], (8192,) if ckks else (2048, 4096))
                self.assertGreater(p["security_bits"], 128)
                if ckks:  # no tail: it cannot happen
                    self.assertIsNone(p["failure_log2"])
                else:
                    self.assertLess(p["failure_log2"], -64)

    def test_everything_in_portable_c(self):
        document = self.bench("--json", "--threads", "2", rung="c").json
        self.assertIsInstance(document["cpu"], str)
        for field in ("memcpy_gb_s", "memcpy_threads_gb_s", "memcpy_bytes",
                      "quantise_ns_per_param", "apply_ns_per_param"):
            self.assert_positive(document[field])
        self.assertEqual((document["rung"], document["threads"]), ("c", 2))
        self.check_kernels(document, ["c"])
        self.check_profiles(document, "c", [(p, bits, threads) for p in PROFILES
                                            for bits in (8, 16) for threads in (1, 2)])
        sent = {(p["profile"], p["value_bits"]): p["bits_per_param"]
                for p in document["profiles"]}
        self.assertEqual(sent["none", 16], 32)
        # less than a float32, capsule and padding of 131,072 parameters included
        self.assertLess(sent["capsule", 16], 24)
        self.assertLess(sent["capsule", 8], 15)

    def test_every_rung_of_this_machine(self):
        document = self.bench("--json", "--threads", "1", "--profile", "capsule",
                              "--value-bits", "16", "--params", "5000").json
        best = RUNGS.index(document["rung"])
        self.check_kernels(document, RUNGS[: best + 1])
        self.check_profiles(document, RUNGS[best], [("capsule", 16, 1)])
        self.assertEqual(document["profiles"][0]["params"], 5000)

    def test_small_frames_and_few_clients(self):
        for contributors in (1, 2, 16):
            document = self.bench("--json", "--threads", "3", "--profile", "bfv", "--value-bits",
                                  "12", "--params", "1", "--contributors", str(contributors),
                                  rung="c").json
            self.check_profiles(document, "c", [("bfv", 12, 1), ("bfv", 12, 3)])
            self.assertEqual(document["profiles"][0]["contributors"], contributors)

    def test_tables_for_people(self):
        result = self.bench("--threads", "1", "--profile", "capsule", "--value-bits", "8",
                            "--params", "5000", rung="c")
        for word in ("memcpy", "ntt_fwd", "c ns", "encrypt ns", "capsule", "GB/s"):
            self.assertIn(word, result.out)
        self.assertNotIn("avx", result.out)
        self.assertIn("bench: ", result.err)

    def test_compare_without_the_others(self):
        """bench/compare.sh where nothing can be fetched: cairn's rows, and what is missing."""
        shutil.copytree(os.path.join(cairn.SOURCE, "bench"), self.path("bench"))
        done = subprocess.run(
            [self.path("bench", "compare.sh"), "--offline", "--json", "--params", "5000",
             "--clients", "3", "--cairn", os.path.abspath(cairn.BIN)],
            capture_output=True, text=True, timeout=250)
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual([s["name"] for s in document["skipped"]], ["TenSEAL", "node-seal"])
        self.assertIsNone(document["against_ckks_vector"])
        rows = {row["name"]: row for row in document["results"]}
        self.assertEqual(set(rows), {"cairn capsule", "cairn capsule, floats to floats",
                                     "cairn bfv", "cairn seal-ckks", "cairn none"})
        for row in rows.values():
            for field in ("encrypt_ns", "add_ns", "decrypt_ns", "bytes"):
                self.assert_positive(row[field])
                self.assert_positive(row["ratios"][field])
            self.assertEqual((row["params"], row["clients"]), (5000, 3))
            self.assertEqual(row["max_error_steps"], 0)

    def test_what_is_refused(self):
        for arguments, code, word in (
            (["--profile", "rot13"], 2, "rot13"),
            (["--value-bits", "25"], 2, "--value-bits"),
            (["--threads", "0"], 2, "--threads"),
            (["--contributors", "10001"], 2, "--contributors"),
            (["--params", "0"], 2, "--params"),
        ):
            result = self.bench(*arguments, rung="c", expect=code)
            self.assertIn(word, result.err)
        self.assertIn("CAIRN_CPU", self.bench(rung="mmx", expect=2).err)


if __name__ == "__main__":
    cairn.main()
