# SPDX-License-Identifier: Apache-2.0
"""Nodes that are killed in mid-round and started again, or not, and the same model afterwards: rows F1 to F3
and F25 of the fault table.

Every run's model is compared with what `recompute` works out from the logged contributor sets (bed.py); where all
clients took part, with an undisturbed run's, too. Uploads are slowed down by the proxy in front of their target, so
that "in mid-upload" is a second long and not a moment.
"""

import os
import random
import re
import time
import unittest

import cairn
from bed import ROUNDS, SLOW, DisturbedCase, Resources, slow
from cairn import until


class Restart(DisturbedCase):
    # ---- F1: a client ----

    def test_f1_client_killed_in_mid_upload_and_started_again(self):
        b = self.lay(["switch"])
        b.start_agg()
        self.in_mid_upload("the switch", b.proxies[self.switch])
        b.restart(self.client)
        b.proxies[self.switch].say("pass")
        b.finish()
        self.assertEqual(self.fewest()[-1], 4)

    @slow
    def test_f1_client_killed_while_it_trains_and_started_again(self):
        b = self.lay(train={"step_s": 1.5})  # it comes back before anybody has an update
        expected = self.undisturbed()
        b.start_agg()
        b.wait_for_round(2)
        b.restart(self.client)
        document = b.finish()
        self.assertEqual(self.fewest(), [4] * ROUNDS)
        self.assertEqual(document["model_digest"], expected)

    def test_f1_client_killed_in_mid_upload_and_gone(self):
        b = self.lay(["switch"])
        b.start_agg()
        self.in_mid_upload("the switch", b.proxies[self.switch])
        before = Resources(b.nodes[self.switch].pid)
        b.kill(self.client)
        b.proxies[self.switch].say("pass")
        b.finish()
        self.assertEqual(self.fewest()[-1], 3)
        self.assertLess(max(line["wall_s"] for line in b.rounds()), 10)  # not the deadline's 20
        until("descriptors are back", lambda:
              Resources(b.nodes[self.switch].pid).files <= before.files + 2)

    def test_f1_an_upload_cut_at_its_first_middle_and_last_byte(self):
        b = self.lay(["switch"], rounds=4)
        expected = self.undisturbed()
        b.start_agg()
        proxy = b.proxies[self.switch]
        for number, at in ((1, 1), (2, 60000), (3, 130000)):
            b.wait_for_round(number)
            proxy.say("only /s/receive", f"cut up {at} once")
            time.sleep(0.1)
        self.assertEqual(b.finish()["model_digest"], expected)
        self.assertEqual(self.fewest(), [4] * 4)
        self.assertGreater(proxy.stats()["cut"], 0)

    # ---- F2: a switch ----

    def test_f2_switch_killed_in_mid_round_and_started_again(self):
        b = self.lay(["switch"])
        expected = self.undisturbed()
        b.start_agg()
        self.in_mid_upload("the switch", b.proxies[self.switch])
        b.restart(self.switch)
        b.proxies[self.switch].say("pass")
        document = b.finish()
        self.assertEqual(self.fewest(), [4] * ROUNDS)
        self.assertEqual(document["model_digest"], expected)

    def test_f2_switch_killed_in_mid_round_and_gone(self):
        b = self.lay(["switch"])
        b.start_agg()
        self.in_mid_upload("the switch", b.proxies[self.switch])
        b.kill(self.switch)
        b.finish()
        self.assertEqual(self.fewest()[-1], 2)

    def test_f2_switch_killed_after_forwarding_before_it_answered(self):
        b = self.lay(["root", "switch"])
        expected = self.undisturbed()
        b.start_agg()
        b.wait_for_round(2)
        proxy = b.proxies[self.switch]
        proxy.say("only /s/receive", "stall down 0")  # the children's answers do not arrive
        time.sleep(1.5)
        b.kill(self.switch)
        proxy.say("pass", "drop")
        b.start(self.switch)
        document = b.finish()
        self.assertGreater(proxy.stats()["stall"], 0)
        self.assertEqual(self.fewest(), [4] * ROUNDS)
        self.assertEqual(document["model_digest"], expected)

    # ---- F3: the aggregator ----

    def test_f3_aggregator_killed_again_and_again(self):
        b = self.lay(rounds=6)
        expected = self.undisturbed()
        seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        moments = random.Random(seed)
        for _ in range(6):
            b.start_agg()
            until("the aggregator listens, or is through", lambda: cairn.listens(self.root) or b.agg.poll() is not None)
            time.sleep(0.1 + moments.random())
            if b.agg.poll() is not None:
                break
            b.kill_agg()
        b.start_agg()
        document = b.finish()
        self.assertEqual(self.fewest(), [4] * 6)
        self.assertEqual(document["model_digest"], expected)

    def test_f3_aggregator_killed_with_half_a_round_in_its_journal(self):
        b = self.lay(["root"])
        expected = self.undisturbed()
        self.killed_with_half_a_round()
        b.start_agg()
        document = b.finish()
        said = re.search(r"round 2 goes on at frame (\d+) of", self.words(b.agg))
        self.assertGreater(int(said.group(1)), 0, self.words(b.agg))
        self.assertEqual(self.fewest(), [4] * ROUNDS)
        self.assertEqual(document["model_digest"], expected)

    def test_f3_aggregator_started_again_while_a_client_is_away(self):
        """A run that goes on has a quorum; it does not wait for everybody once more and give up."""
        b = self.lay(server={"start_timeout_s": 8})
        b.start_agg()
        b.wait_for_round(2)
        b.kill_agg()
        b.kill(self.client)
        b.start_agg()
        b.finish(timeout=60)
        self.assertEqual(self.fewest()[-1], 3)

    def test_f3_resume_wants_an_unfinished_run(self):
        self.lay()
        self.undisturbed()
        path = self.write(self.config, "restart.json")
        result = self.cairn("agg", path, "--resume", "--data-dir", self.data, "--log-dir",
                            self.path("log"), "--runs-dir", self.path("runs"), expect=3)
        self.assertIn("there is no unfinished run", result.err)

    # ---- F25: what a power loss leaves of the journal ----

    def killed_with_half_a_round(self):
        """The journal's size, with some frames of round 2 in it and the root's link still slow."""
        b = self.bed
        b.start_agg()
        b.wait_for_round(2)
        b.proxies[self.root].say(f"rate up {SLOW}")
        until("half a round is in the journal", lambda:
              os.path.getsize(b.run_path("journal")) > 300000)
        b.kill_agg()
        b.proxies[self.root].say("pass")
        return os.path.getsize(b.run_path("journal"))

    def cut_off(self, *lengths):
        b = self.lay(["root"], rounds=2)
        expected = self.undisturbed()
        for missing in lengths:
            with self.subTest(missing=missing):
                size = self.killed_with_half_a_round()
                os.truncate(b.run_path("journal"), size - missing)
                b.start_agg()
                document = b.finish()
                self.assertEqual(self.fewest(), [4] * 2)
                self.assertEqual(document["model_digest"], expected)

    def test_f25_a_journal_without_its_last_byte(self):
        self.cut_off(1)

    @slow
    def test_f25_a_journal_cut_off_anywhere(self):
        self.cut_off(10000, 150000, 290000)

    def test_f25_the_power_fails_for_all_nodes(self):
        b = self.lay(["root"])
        self.killed_with_half_a_round()
        for address in self.config["others"]:
            b.restart(address)
        b.start_agg()
        b.finish()
        self.assertEqual(self.fewest()[-1], 4)
        self.assertLess(max(line["wall_s"] for line in b.rounds()), 10)

    def test_f25_a_journal_without_its_beginning_is_refused(self):
        b = self.lay()
        b.start_agg()
        b.wait_for_round(2)
        b.kill_agg()
        os.truncate(b.run_path("journal"), 10)
        b.start_agg()
        out, _ = b.agg.communicate(timeout=30)
        self.assertEqual(b.agg.returncode, 9, self.words(b.agg))
        self.assertIn("journal", self.words(b.agg))


if __name__ == "__main__":
    unittest.main()
