# SPDX-License-Identifier: Apache-2.0
"""The four scenarios give one model, bit for bit, whatever the tree and the order."""

import json
import signal
import time

import cairn
from cairn import CLIENT, THREE_LEVELS, TWO_LEVELS

NAMES = ["plain/dumb", "encrypted/dumb", "plain/folding", "encrypted/folding"]


class Compare(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)

    def compare(self, tree, **sections):
        config = cairn.make_config(self.net, tree, rounds=2, **sections)
        document = self.run_config(config, command="compare")
        self.assertEqual([s["name"] for s in document["scenarios"]], NAMES)
        self.assertIs(document["same_model"], True)
        digests = {s["model_digest"] for s in document["scenarios"]}
        self.assertEqual(len(digests), 1)
        for scenario in document["scenarios"]:
            self.assertIs(scenario["dumb"], scenario["name"].endswith("/dumb"))
            self.assertIs(scenario["in_network"], not scenario["dumb"])
            self.assertEqual(scenario["profile"] == "none", scenario["name"].startswith("plain"))
            self.assertEqual(scenario["rounds"], 2)
        self.assert_nobody_left()
        return document

    def test_two_levels(self):
        document = self.compare(TWO_LEVELS)
        # folding is what it is for: the aggregator receives half as much from two switches of two
        received = {s["name"]: s["nodes"][0]["byte_received"] for s in document["scenarios"]}
        self.assertLess(received["encrypted/folding"], 0.6 * received["encrypted/dumb"])
        ratios = document["folding_to_plain"]
        self.assertAlmostEqual(ratios["bytes_in"],
                               received["encrypted/folding"] / received["plain/dumb"], places=6)
        self.assertGreater(ratios["round_wall"], 0)
        for scenario in document["scenarios"]:
            self.check_times(scenario)

    def check_times(self, scenario):
        """Where the time goes, per node: it adds up to the rounds' time, and each does its own."""
        parts = ["fetch_s", "train_s", "encrypt_s", "send_s", "journal_s", "decrypt_s", "commit_s"]
        own = {"aggregator": {"journal_s", "decrypt_s", "commit_s"},
               "switch": {"send_s"}, "client": set(parts[:4])}
        for node in scenario["nodes"]:
            self.assertEqual(node["rounds"], 2)
            done = {part for part in parts if node[part] > 0}
            self.assertLessEqual(done, own[node["role"]], node)
            self.assertLessEqual(own[node["role"]] - {"fetch_s"}, done, node)
            # what one thread does; adding is done by others beside it
            explained = sum(node[part] for part in parts)
            self.assertLessEqual(explained, 1.05 * node["wall_s"] + 0.002, node)
            self.assertLessEqual(node["fold_s"], 1.05 * node["wall_s"] + 0.002, node)
            total = explained + node["fold_s"] + node["wait_s"]
            self.assertGreaterEqual(total, 0.95 * node["wall_s"] - 0.002, node)

    def test_three_levels_uneven(self):
        self.compare(THREE_LEVELS)

    def test_bfv(self):
        self.compare(TWO_LEVELS, encryption={"profile": "bfv"})

    def test_few_bits_small_frames(self):
        """8-bit values, and frames of one chunk, so that there are several of them."""
        self.compare(
            TWO_LEVELS,
            encryption={"value_bits": 8},
            model={"layers": [64, 128, 64, 10]},
            round={"frame_params": 2048},
            server={"batch_bytes": 131072},
        )

    def test_tree_and_order_do_not_matter(self):
        order = [4, 0, 5, 2, 1, 3]
        digests = set()
        for tree, indices in (
            ([CLIENT] * 6, range(6)),
            ([[CLIENT] * 3, [CLIENT] * 3], range(6)),
            ([[CLIENT] * 3, [CLIENT] * 3], order),
            (THREE_LEVELS, order),
        ):
            config = cairn.make_config(self.net, tree, rounds=2, order=indices)
            digests.add(self.run_config(config)["model_digest"])
        self.assertEqual(len(digests), 1)

    def test_table(self):
        path = self.write(cairn.make_config(self.net, TWO_LEVELS, rounds=1))
        out = self.cairn("compare", path, "--data-dir", self.data).out
        for name in NAMES:
            self.assertIn(name, out)
        self.assertIn("identical, bit for bit", out)
        for column in ("peak memory", "largest upload", "time saved", "bytes in", "accuracy",
                       "where the time goes", "model down", "encrypting", "committing",
                       "a round takes", "bytes into the aggregator"):
            self.assertIn(column, out)


class ShuffledFinish(cairn.CairnCase):
    """Clients that are held up finish in another order; the model is the same."""

    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)

    def run_held_up(self, order):
        config = cairn.make_config(self.net, THREE_LEVELS, rounds=2, server={"autostart": False})
        root = config["aggregator"]["ip"]
        nodes = self.start_nodes(config)
        clients = [nodes[a] for a, n in config["others"].items() if n["type"] == "client"]
        agg = self.start_agg(config)
        self.wait_until_ready(root)
        for client in clients:
            client.send_signal(signal.SIGSTOP)
        cairn.request(root, "POST", "/a/train", b"")
        for k in order:
            time.sleep(0.15)
            clients[k].send_signal(signal.SIGCONT)
        digest = self.finish(agg)["model_digest"]
        self.stop_nodes()
        self.started.clear()
        return digest

    def test_shuffled_finish(self):
        orders = [[0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 2, 0], [2, 5, 0, 3, 4, 1]]
        self.assertEqual(len({self.run_held_up(order) for order in orders}), 1)


if __name__ == "__main__":
    cairn.main()
