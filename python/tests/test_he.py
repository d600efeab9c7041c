# SPDX-License-Identifier: Apache-2.0
"""cairn.he against the library that CAIRN_LIBRARY names."""
import os
import unittest

import numpy as np

from cairn import he


class He(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.seed = int.from_bytes(os.urandom(4), "little")
        print(f"seed {cls.seed}")

    def test_sums_are_exact(self):
        rng = np.random.default_rng(self.seed)
        for profile in ("capsule", "bfv", "none"):
            params = he.Params(profile, 16, 4)
            secret, public = (None, None) if profile == "none" else params.keygen()
            nonce = he.new_nonce()
            n = 3000
            updates = [rng.integers(-params.limit, params.limit + 1, n) for _ in range(4)]
            payloads = [params.encrypt(public, nonce, 1, 0, u) for u in updates]
            total = bytearray(payloads[0])
            for payload in payloads[1:]:
                params.add(total, payload, n)
            sums = params.decrypt(secret, nonce, 1, 0, total, 4, n)
            np.testing.assert_array_equal(sums, np.sum(updates, axis=0))
            if profile != "none":
                self.assertGreaterEqual(params.security_bits, 128)
                self.assertNotEqual(params.encrypt(public, nonce, 1, 0, updates[0]), payloads[0])

    def test_keys_as_bytes(self):
        params = he.Params("capsule", 8, 3)
        secret, public = params.keygen()
        public = he.PublicKey.from_bytes(params, bytes(public))
        secret = he.SecretKey.from_bytes(params, bytes(secret))
        nonce = he.new_nonce()
        values = np.arange(-100, 100)
        payload = params.encrypt(public, nonce, 3, 2, values)
        np.testing.assert_array_equal(params.decrypt(secret, nonce, 3, 2, payload, 1, 200), values)

    def test_what_is_refused(self):
        params = he.Params("capsule", 8, 3)
        secret, public = params.keygen()
        nonce = he.new_nonce()
        good = params.encrypt(public, nonce, 1, 0, np.zeros(10, np.int32))
        for values in (np.array([128]), np.array([-128]), np.array([1 << 40]), np.array([0.5]), np.zeros((2, 2), int)):
            with self.assertRaises(ValueError):
                params.encrypt(public, nonce, 1, 0, values)
        with self.assertRaises(ValueError):
            params.encrypt(public, nonce[:-1], 1, 0, np.zeros(10, int))
        with self.assertRaises(ValueError):
            params.add(bytearray(good), good[:-1], 10)
        with self.assertRaises(ValueError):
            params.decrypt(secret, nonce, 1, 0, good[:-1], 1, 10)
        with self.assertRaises(he.CairnError) as caught:
            params.decrypt(secret, nonce, 1, 0, good, 4, 10)
        self.assertEqual(caught.exception.name, "REFUSED")
        with self.assertRaises(he.CairnError) as caught:
            he.PublicKey.from_bytes(params, bytes(public)[:-1])
        self.assertIn(caught.exception.name, ("MALFORMED", "INTEGRITY"))
        with self.assertRaises(he.CairnError):
            he.Params("capsule", 99, 3)
        with self.assertRaises(ValueError):
            he.Params("rot13")

    def test_weighted_mean(self):
        rng = np.random.default_rng(self.seed)
        params = he.Params("capsule", 16, 3)
        secret, public = params.keygen()
        nonce = he.new_nonce()
        weights = [10, 20, 30]
        updates = [rng.uniform(-1, 1, 500).astype(np.float32) for _ in weights]
        total = None
        for k, (w, u) in enumerate(zip(weights, updates)):
            q = he.Quantiser(1.0, 16, 30, 1, w, client=k, seed=self.seed)
            residual = np.zeros(500, np.float32)
            payload = params.encrypt(public, nonce, 1, 0, q.quantise(u, residual))
            self.assertLess(np.abs(residual).max(), 3 / params.limit * 30 / w)
            if total is None:
                total = bytearray(payload)
            else:
                params.add(total, payload, 500)
        sums = params.decrypt(secret, nonce, 1, 0, total, 3, 500)
        mean = he.Quantiser(1.0, 16, 30, 1, 10).mean(60, sums)
        exact = sum(w * u.astype(float) for w, u in zip(weights, updates)) / 60
        self.assertLess(np.abs(mean - exact).max(), 3 * 30 / 60 / params.limit * 2)


if __name__ == "__main__":
    unittest.main()
