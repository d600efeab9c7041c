# SPDX-License-Identifier: Apache-2.0
"""A federation for tests that harm it: real processes that are killed and started again, each behind a proxy.

The trainer is the synthetic one and nothing is owed between rounds (encryption.error_feedback is off), so the
model follows from the config and the logged contributor sets alone: what `recompute` says.
"""

import json
import os
import signal
import unittest

import cairn
from cairn import request, split, until
from faultproxy import FaultProxy


def make_config(net, tree, rounds, name, params=300000, frame_params=16384, step_s=0.3,
                deadline_s=20, heartbeat_s=0.3, **sections):
    """About 20 frames of a model, several of them to a batch."""
    settings = {"model": {"params": params}, "train": {"type": "synthetic", "step_s": step_s},
                "encryption": {"error_feedback": False},
                "round": {"frame_params": frame_params, "deadline_s": deadline_s},
                "server": {"batch_bytes": 131072, "heartbeat_s": heartbeat_s}}
    for section, values in sections.items():
        settings.setdefault(section, {}).update(values)
    config = cairn.make_config(net, tree, rounds=rounds, name=name, **settings)
    del config["model"]["layers"], config["train"]["batch"]
    return config


def inner(address):
    """Where a node that is behind a proxy listens itself."""
    host, port = split(address)
    return f"{host}:{port + 1}"


def of_type(config, kind):
    return [a for a, node in config["others"].items() if node["type"] == kind]


class Resources:
    def __init__(self, pid):
        self.files = len(os.listdir(f"/proc/{pid}/fd"))
        with open(f"/proc/{pid}/statm") as statm:
            self.rss = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Bed:
    """The nodes of a config, of a test case that starts and stops processes (cairn.CairnCase)."""

    def __init__(self, case, config, behind=()):
        """behind: addresses that get a proxy in front of them; the aggregator's may be one."""
        self.case = case
        self.config = config
        self.root = config["aggregator"]["ip"]
        self.nodes = {}
        self.agg = None
        self.proxies = {}
        for address in behind:
            self.proxies[address] = FaultProxy(
                ":".join(map(str, split(address))), inner(address))
            case.addCleanup(self.proxies[address].stop)

    # ---- nodes ----

    def listening(self, address):
        return inner(address) if address in self.proxies else address

    def start(self, address):
        more = ("--advertise", ":".join(map(str, split(address)))) if address in self.proxies else ()
        self.nodes[address] = self.case.start_node(self.listening(address), *more)

    def start_all(self):
        for address in self.config["others"]:
            self.start(address)
        for address in self.config["others"]:
            until(f"{address} listens", lambda: cairn.listens(self.listening(address)))
        return self

    def kill(self, address):
        self.end(self.nodes.pop(address))

    def end(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()

    def restart(self, address):
        self.kill(address)
        self.start(address)

    # ---- the aggregator ----

    def start_agg(self):
        host, port = split(self.listening(self.root))
        self.agg = self.case.start_agg(self.config, f"{self.config['experiment']}.json",
                                       "--listen", host, "--port", str(port))
        return self.agg

    def kill_agg(self):
        self.end(self.agg)

    def agg_status(self):
        """{} when there is no answer."""
        try:
            return request(self.listening(self.root), "GET", "/status", timeout=3).json
        except (OSError, ValueError):
            return {}

    def wait_for_round(self, number, seconds=30):
        def reached():
            status = self.agg_status()
            return status.get("round", 0) >= number and status["state"] == "collecting"

        try:
            until(f"round {number}", reached, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.agg_status()}\n"
                                 f"{self.case.words(self.agg)}\n{self.node_statuses()}") from None

    def node_statuses(self):
        lines = []
        for address in self.nodes:
            try:
                answer = request(self.listening(address), "GET", "/status", timeout=2)
                lines.append(answer.body.decode())
            except OSError as error:
                lines.append(f"{address}: {error}")
        return "\n".join(lines)

    def finish(self, timeout=120):
        """The run's end, its summary, checked against its log."""
        document = self.case.finish(self.agg, timeout=timeout)
        self.check(document)
        return document

    # ---- what came out ----

    def run_path(self, *parts):
        return self.case.path("runs", self.config["experiment"], *parts)

    def rounds(self):
        with open(self.run_path("rounds.jsonl")) as lines:
            return [json.loads(line) for line in lines]

    def check(self, document):
        """The model is the sum over the logged contributor sets, and each round ended in its time."""
        expected = cairn.recompute(self.run_path("config.json"), self.run_path("rounds.jsonl"))
        self.case.assertEqual(document["model_digest"], expected, "the digest that recompute prints")
        rounds = self.rounds()
        n = self.config["aggregator"]["iteration"]
        self.case.assertEqual([line["round"] for line in rounds], list(range(1, n + 1)))
        longest = self.config["round"]["deadline_s"] + 5  # the last sums are opened after it
        for line in rounds:
            self.case.assertLess(line["wall_s"], longest, line)


# ---- what the tests of the fault table share ----

TREE = [[cairn.CLIENT, cairn.CLIENT], [cairn.CLIENT, cairn.CLIENT]]
ROUNDS = 3
SLOW = 300000  # bytes a second: a client's update in two or three


# Runs that take ten seconds or more and whose row has a quicker test, too.
slow = unittest.skipUnless(os.environ.get("CAIRN_SOAK") == "1", "left to the label soak (CAIRN_SOAK=1)")


class DisturbedCase(cairn.CairnCase):
    def lay(self, behind=(), rounds=ROUNDS, **sections):
        """A bed of seven nodes; behind: "root", "switch" (the first), "client" (the first below it)."""
        sections.setdefault("round", {})["privacy_floor"] = 2  # a whole subtree may be missing
        self.config = make_config(self.net, TREE, rounds, "restart", **sections)
        self.root = self.config["aggregator"]["ip"]
        self.switch = of_type(self.config, "switch")[0]
        self.client = of_type(self.config, "client")[0]
        self.bed = Bed(self, self.config, [getattr(self, who) for who in behind]).start_all()
        return self.bed

    def undisturbed(self):
        self.bed.start_agg()
        document = self.bed.finish()
        self.assertGreater(self.bed.rounds()[0]["frames"][-1]["last"], 8)  # several frames
        return document["model_digest"]

    def fewest(self):
        return [line["fewest_contributors"] for line in self.bed.rounds()]

    def in_mid_upload(self, whose, proxy, number=2, size=150000):
        """From here on whoever sends to `whose` is slow, and has sent `size` bytes of this round."""
        self.bed.wait_for_round(number)
        proxy.say(f"rate up {SLOW}")
        before = proxy.stats()["up"]
        until(f"{size} bytes went up to {whose}", lambda: proxy.stats()["up"] > before + size)

    def status_of(self, address):
        for node in self.bed.agg_status().get("nodes", []):
            if cairn.split(node["address"]) == cairn.split(address):
                return node["state"]
        return None
