# SPDX-License-Identifier: Apache-2.0
"""TenSEAL clients (examples/tenseal_client.py) in real runs beside cairn's own: their vectors are
summed by cairn's switches, folding and dumb, and the aggregator opens the right mean.

CAIRN_BIN=... python federation.py, with TenSEAL
"""
import json
import os
import struct
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../e2e"), os.path.join(HERE, "../../examples")]

import tenseal as ts
import tenseal_client
from cairn import CLIENT, CairnCase, blake2b, make_config, until, listens

SEED, PARAMS = 7, 9001
U32 = 0xffffffff


def chacha20(key, block):
    """64 bytes of the keystream under nonce 0 (Bernstein, ChaCha, a variant of Salsa20)."""
    start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key),
             block & U32, block >> 32, 0, 0]
    x = list(start)

    def step(a, b, d, turn):
        x[a] = (x[a] + x[b]) & U32
        x[d] ^= x[a]
        x[d] = (x[d] << turn | x[d] >> 32 - turn) & U32

    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            step(a, b, d, 16)
            step(c, d, b, 12)
            step(a, b, d, 8)
            step(c, d, b, 7)
    return [(a + b) & U32 for a, b in zip(x, start)]


def synthetic_update(config, round_, index):
    """What train.type synthetic makes up (src/train/synthetic.h), written down a second time."""
    key = blake2b(b"cairn replay v1", b"synthetic".ljust(32, b"\0"),
                  struct.pack("<QII", SEED, round_, index))
    words = [w for k in range((PARAMS + 15) // 16) for w in chacha20(key, k)]
    out = []
    for t, size in enumerate(tenseal_client.tensor_sizes(config)):
        for w in words[len(out):len(out) + size]:
            out.append((w - (w >> 31 << 32)) * 2.0 ** -31 * 0.01 / (t + 1))
    return out


class Federation(CairnCase):
    update = staticmethod(lambda config, round_, weights: synthetic_update(config, round_,
                                                                           config["index"]))

    def run_with(self, tree, tenseal, dumb=False, rounds=3):
        """tenseal: indices of the clients that are TenSEAL's. Checks the final model."""
        config = make_config(self.net, tree, rounds, dumb,
                             model={"params": PARAMS}, train={"type": "synthetic"}, seed=SEED,
                             encryption={"profile": "seal-ckks"},
                             round={"frame_params": 4096, "privacy_floor": 3})
        del config["model"]["layers"]
        samples, clients = {}, {}
        for address, node in config["others"].items():
            index = node.get("index")
            if index is not None:
                samples[index] = 10 + index  # cairn's synthetic clients have just that
            if index in tenseal:
                self.client = clients[index] = tenseal_client.Client(
                    address, samples[index], lambda *round_: self.update(*round_))
                self.addCleanup(self.client.server.server_close)
                self.addCleanup(self.client.server.shutdown)
            else:
                self.start_node(address)
        for address in config["others"]:
            until(f"{address} listens", lambda: listens(address))
        self.finish(self.start_agg(config), timeout=200)
        folder = self.path("runs", "test")
        self.assertEqual([c.trouble for c in clients.values()], [None] * len(clients))
        until("all have the final model", lambda: all(c.state == "finished"
                                                      for c in clients.values()))
        with open(os.path.join(folder, "rounds.jsonl")) as f:
            self.assertEqual(len(f.readlines()), rounds)
        self.check_model(folder, samples, self.client.config, rounds)

    def check_model(self, folder, samples, config, rounds):
        """The weighted mean of all updates of all rounds. What rounding lost is owed, so all but the
        last round's is in it: at most a step of each client's, and float32's own rounding. Steps
        of later rounds come from the mean before, and in a tensor of few values that is too small
        at times: what is clamped there comes later, so these are held to the first round only."""
        total = sum(samples.values())
        found = self.read_model(os.path.join(folder, "model.safetensors"))
        self.assertEqual(len(found), PARAMS)
        expected = [0.0] * PARAMS
        for index, n in samples.items():
            for round_ in range(1, rounds + 1):
                for i, u in enumerate(synthetic_update(config, round_, index)):
                    expected[i] += u * n / total
        step = (1 if rounds == 1 else 3 * 0.01) / 32767
        allowed = step * max(samples.values()) * len(samples) / total + 1e-8
        checked = sum(size for size in tenseal_client.tensor_sizes(config)
                      if size >= 100 or rounds == 1)
        worst = max(abs(a - b) for a, b in zip(found[:checked], expected))
        self.assertLess(worst, allowed)
        self.assertGreater(max(map(abs, expected)), 40 * allowed)
        print(f"largest error {worst:.2e} of {max(map(abs, expected)):.2e}, allowed {allowed:.2e}")

    @staticmethod
    def read_model(path):
        with open(path, "rb") as f:
            data = f.read()
        (size,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8:8 + size])
        header.pop("__metadata__", None)
        out = []
        for tensor in sorted(header.values(), key=lambda t: t["data_offsets"]):
            begin, end = tensor["data_offsets"]
            out += struct.unpack_from(f"<{(end - begin) // 4}f", data, 8 + size + begin)
        return out

    def test_a_folding_switch(self):
        self.run_with([[CLIENT, CLIENT, CLIENT], [CLIENT]], {1, 3})

    def test_a_dumb_switch_and_the_aggregator(self):
        self.run_with([[CLIENT, CLIENT], CLIENT], {0, 2}, dumb=True)

    def test_refusals(self):
        """What a switch says to vectors that it cannot sum, while the round is open; then a good
        one comes, and counts once."""
        said = []

        def update(config, round_, weights):
            client = self.client
            good = ts.ckks_vector(client.context, [5] * 4096).serialize()
            short = ts.ckks_vector(client.context, [5] * 100).serialize()
            scaled = ts.ckks_vector(client.context, [5] * 4096, scale=2 ** 30).serialize()
            own = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 30, 30, 60])
            own.global_scale = 2 ** 40
            other = ts.ckks_vector(own, [5] * 4096).serialize()
            for body, changes in (
                (good, {"first": 1}), (good, {"round": 2}), (good, {"origin": 99}),
                (good, {"digest": "0" * 64}), (good, {"client": 3}), (good, {"weight": ""}),
                (good, {"form": "seal"}), (short, {}), (scaled, {}), (other, {}), (good[:-9], {}),
                (bytes(2 * len(good)), {}),
            ):
                values = {"round": 1, "origin": config["session"]["node"], "first": 0,
                          "form": "tenseal", "client": config["index"], "weight": 10,
                          "digest": tenseal_client.blake2b(body), **changes}
                query = "&".join(f"{k}={v}" for k, v in values.items())
                status, answer = client.ask("receive", query, body)
                said.append((status, json.loads(answer)["error"]))
            return synthetic_update(config, round_, config["index"])

        self.update = update
        self.run_with([[CLIENT, CLIENT, CLIENT]], {0}, rounds=1)
        wanted = ((409, "frame 1"), (503, "round 2"), (404, "99"), (422, "digest"),
                  (422, "client 3 of 3"), (400, "weight"), (400, "form=tenseal"), (422, "holds 100"),
                  (422, "scale"), (422, "object 0"), (400, "TenSEAL"), (400, "TenSEAL"))
        self.assertEqual(len(said), len(wanted))
        for (status, error), (code, word) in zip(said, wanted):
            self.assertEqual(status, code, error)
            self.assertIn(word, error)


if __name__ == "__main__":
    unittest.main(verbosity=2)
