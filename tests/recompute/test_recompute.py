# SPDX-License-Identifier: Apache-2.0
"""The judge judged: recompute agrees with undisturbed runs, and with no other log or config."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import cairn  # noqa: E402

SYNTHETIC = {"model": {"params": 20000, "layers": None}, "train": {"type": "synthetic", "batch": None}}


class Recompute(cairn.CairnCase):
    def run_once(self, **sections):
        config = cairn.make_config(self.net, cairn.TWO_LEVELS, name="again",
                                   round={"frame_params": 2048}, **sections)
        for section in ("model", "train"):
            config[section] = {k: v for k, v in config[section].items() if v is not None}
        summary = self.run_config(config, "--runs-dir", self.path("runs"))
        return config, summary["model_digest"], self.path("runs/again/rounds.jsonl")

    def edited(self, rounds, edit):
        with open(rounds) as lines:
            documents = [json.loads(line) for line in lines]
        edit(documents)
        path = self.path("edited.jsonl")
        with open(path, "w") as out:
            out.writelines(json.dumps(document) + "\n" for document in documents)
        return path

    def test_a_synthetic_run(self):
        config, digest, rounds = self.run_once(**SYNTHETIC)
        path = self.write(config)
        self.assertEqual(cairn.recompute(path, rounds), digest)
        changed = self.write(dict(config, seed=config.get("seed", 1) + 1), "seed.json")
        self.assertNotEqual(cairn.recompute(changed, rounds), digest)

    def test_without_error_feedback(self):
        config, digest, rounds = self.run_once(encryption={"error_feedback": False}, **SYNTHETIC)
        self.assertEqual(cairn.recompute(self.write(config), rounds), digest)

    def test_a_trained_run(self):
        cairn.make_data(self.data)
        config, digest, rounds = self.run_once()
        self.assertEqual(cairn.recompute(self.write(config), rounds, self.data), digest)

    def test_strategies_and_clipping(self):
        base = {"encryption": {"error_feedback": False}, "privacy": {"clip_norm": 0.5}, **SYNTHETIC}
        digests = set()
        for name in ("fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad"):
            config, digest, rounds = self.run_once(strategy={"name": name}, **base)
            self.assertEqual(cairn.recompute(self.write(config), rounds), digest)
            digests.add(digest)
        self.assertEqual(len(digests), 5)

    def test_noise_is_never_made_again(self):
        config, digest, rounds = self.run_once(privacy={"clip_norm": 1, "noise_multiplier": 1}, **SYNTHETIC)
        _, again, _ = self.run_once(privacy={"clip_norm": 1, "noise_multiplier": 1}, **SYNTHETIC)
        self.assertNotEqual(digest, again)
        with self.assertRaises(subprocess.CalledProcessError):
            cairn.recompute(self.write(config), rounds)

    def test_a_log_that_does_not_add_up(self):
        config, digest, rounds = self.run_once(encryption={"error_feedback": False}, **SYNTHETIC)
        path = self.write(config)

        def one_less(documents):  # the same clients, and the weight of others
            documents[1]["frames"][0]["set"] = "0e"

        def a_gap(documents):
            documents[0]["frames"][0]["first"] += 1

        def kept(documents):
            documents[2]["frames"][0]["outcome"] = "fewer contributors than the quorum"

        for edit in (one_less, a_gap):
            with self.assertRaises(subprocess.CalledProcessError):
                cairn.recompute(path, self.edited(rounds, edit))
        self.assertNotEqual(cairn.recompute(path, self.edited(rounds, kept)), digest)


if __name__ == "__main__":
    unittest.main()
