# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a real client, switch and aggregator in mid-round, and the same model afterwards.

The updates follow from the seed (train.type synthetic) and nothing is owed between rounds, so a run in which every
client takes part in every frame has one result, whatever happened on the way.
"""

import json
import random
import signal
import time
import unittest

import cairn
from cairn import request, until

TREE = [[cairn.CLIENT, cairn.CLIENT], [cairn.CLIENT, cairn.CLIENT]]
ROUNDS = 4


class Restart(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        self.config = cairn.make_config(
            self.net, TREE, rounds=ROUNDS, name="restart",
            model={"params": 300000}, train={"type": "synthetic", "step_s": 0.4},
            encryption={"error_feedback": False},
            round={"frame_params": 16384, "deadline_s": 60},
            server={"batch_bytes": 131072, "heartbeat_s": 1})
        del self.config["model"]["layers"], self.config["train"]["batch"]
        self.root = self.config["aggregator"]["ip"]
        self.nodes = {}
        for address in self.config["others"]:
            self.start_again(address)

    def start_again(self, address):
        self.nodes[address] = self.start_node(address)
        until(f"{address} listens", lambda: cairn.listens(address))

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def wait_for_round(self, number):
        until(f"round {number}", lambda: cairn.listens(self.root) and
              request(self.root, "GET", "/status").json.get("round", 0) >= number)

    def rounds(self):
        with open(self.path("runs/restart/rounds.jsonl")) as lines:
            return [json.loads(line) for line in lines]

    def check(self, document, expected):
        self.assertEqual(document["model_digest"], expected)
        rounds = self.rounds()
        self.assertEqual([line["round"] for line in rounds], list(range(1, ROUNDS + 1)))
        for line in rounds:
            self.assertEqual(line["fewest_contributors"], 4, line)
            self.assertEqual(sum(f["last"] - f["first"] + 1 for f in line["frames"]),
                             line["frames"][-1]["last"] + 1)

    def undisturbed(self):
        document = self.finish(self.start_agg(self.config, "restart.json"))
        self.assertGreater(self.rounds()[0]["frames"][-1]["last"], 8)  # several frames
        return document["model_digest"]

    def test_f3_aggregator_killed_again_and_again(self):
        expected = self.undisturbed()
        seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        moments = random.Random(seed)
        for _ in range(4):
            agg = self.start_agg(self.config, "restart.json")
            until("the aggregator listens, or has ended by then",
                  lambda: agg.poll() is not None or cairn.listens(self.root))
            time.sleep(0.2 + moments.random())
            if agg.poll() is not None:
                break
            self.kill(agg)
        self.check(self.finish(self.start_agg(self.config, "restart.json")), expected)

    def test_f1_client_killed_and_started_again(self):
        self.config["train"]["step_s"] = 1.5  # it comes back before anybody has an update
        expected = self.undisturbed()
        agg = self.start_agg(self.config, "restart.json")
        client = next(a for a, n in self.config["others"].items() if n["type"] == "client")
        self.wait_for_round(2)
        self.kill(self.nodes[client])
        self.start_again(client)
        self.check(self.finish(agg), expected)

    def test_f2_switch_killed_and_started_again(self):
        expected = self.undisturbed()
        agg = self.start_agg(self.config, "restart.json")
        switch = next(a for a, n in self.config["others"].items() if n["type"] == "switch")
        self.wait_for_round(2)
        self.kill(self.nodes[switch])
        self.start_again(switch)
        self.check(self.finish(agg), expected)

    def test_f7_a_silent_client_is_not_waited_for(self):
        agg = self.start_agg(self.config, "restart.json")
        client = next(a for a, n in self.config["others"].items() if n["type"] == "client")
        self.wait_for_round(2)
        self.nodes[client].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            document = self.finish(agg, timeout=90)
        finally:
            self.nodes[client].send_signal(signal.SIGCONT)
        self.assertLess(time.monotonic() - began, 45)  # neither a deadline nor the wait for its log
        self.assertEqual(document["rounds"], ROUNDS)
        self.assertEqual(self.rounds()[-1]["fewest_contributors"], 3)

    def test_resume_wants_an_unfinished_run(self):
        self.undisturbed()
        path = self.write(self.config, "restart.json")
        result = self.cairn("agg", path, "--resume", "--data-dir", self.data, "--log-dir",
                            self.path("log"), "--runs-dir", self.path("runs"), expect=3)
        self.assertIn("there is no unfinished run", result.err)

    def test_f22_a_second_aggregator_is_refused(self):
        self.start_agg(self.config, "restart.json")
        self.wait_for_round(1)
        path = self.write(dict(self.config), "restart.json")
        other = self.net + ".200"
        result = self.cairn("agg", path, "--listen", other, "--data-dir", self.data, "--log-dir",
                            self.path("log"), "--runs-dir", self.path("runs"), expect=5)
        self.assertIn("is held by aggregator", result.err)
        self.assertIn(self.root, result.err)


if __name__ == "__main__":
    unittest.main()
