# SPDX-License-Identifier: Apache-2.0
"""Fifteen nodes, a proxy in front of each, and everything that can happen to them, at random.

    chaos.py [--seconds N] [--seed S]

One run after another on the same nodes: the first undisturbed, then disturbed ones until N seconds are over,
then a quiet one. In a disturbed run there are storms, in which processes are killed and started again, stopped and
continued, connections refused, cut, reset, stalled and delayed, requests sent twice, bytes flipped; after each storm
everything is healed. Asked of every run:

  - the aggregator, started again with the same command whenever it was killed, finishes it,
  - its model is the sum over the contributor sets that it logged, worked out again (recompute),
  - every round ended by its deadline, and the one that is open when a storm ends long before: it may wait for what
    the storm has done to somebody, and for nothing else.

And at the end no node has more descriptors or memory than the nodes had after the first run.
"""

import argparse
import collections
import json
import os
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import cairn  # noqa: E402
from bed import Bed, Resources, make_config, of_type  # noqa: E402

SANITIZED = os.environ.get("CAIRN_SANITIZED") == "1"
SWITCH_OF_SIX = [cairn.CLIENT] * 6
ROUNDS = 12
BATCH = 131072
DEADLINE_S = 90
RUN_S = 300  # for one run: a dozen rounds, each with a storm or two, and the aggregator's restarts
STORM_S = (3, 12)
# The round that a storm leaves behind: six heartbeats until the dead are known, an exchange that has to run into
# its timeout, a backoff; far from the deadline.
SETTLES_S = 60 if SANITIZED else 30
CLIENTS_DOWN = 4  # at a time, so that a quorum is left even beside a switch that is down
QUORUM_LOST = 7  # exit code: rounds without a quorum; the aggregator asks to be started again
MORE_FILES = 12  # kept connections come and go
MORE_RSS = 1.5


class Chaos(cairn.CairnCase):
    seconds = 600
    seed = None

    def setUp(self):
        super().setUp()
        if self.seed is None:
            self.seed = random.randrange(1 << 30)
        print(f"chaos.py --seconds {self.seconds:g} --seed {self.seed}", flush=True)
        self.random = random.Random(self.seed)
        self.counts = collections.Counter()
        self.undo = []  # (when, what)
        self.down = set()  # nodes that a process fault has struck and that are not well yet
        self.bad_links = set()
        self.runs = 0
        self.slowest = 0
        config = self.make(0)
        addresses = [config["aggregator"]["ip"], *config["others"]]
        self.bed = Bed(self, config, behind=addresses).start_all()
        self.clients, self.switches = of_type(config, "client"), of_type(config, "switch")

    def make(self, number):
        return make_config(self.net, [SWITCH_OF_SIX, SWITCH_OF_SIX], ROUNDS, f"chaos{number}",
                           deadline_s=DEADLINE_S, heartbeat_s=1.0 if SANITIZED else 0.5)

    # ---- faults of processes ----

    def later(self, seconds, what):
        self.undo.append((time.monotonic() + seconds, what))

    def fault_kill(self, address):
        self.down.add(address)
        self.bed.kill(address)

        def again():
            self.bed.start(address)
            self.down.discard(address)

        self.later(self.random.uniform(0, 5), again)

    def fault_stop(self, address):
        process = self.bed.nodes[address]
        self.down.add(address)
        process.send_signal(signal.SIGSTOP)

        def go_on():
            process.send_signal(signal.SIGCONT)
            self.down.discard(address)

        self.later(self.random.uniform(0.2, 5), go_on)

    def fault_kill_aggregator(self):
        self.down.add(self.bed.root)
        self.bed.kill_agg()

        def again():
            self.bed.start_agg()
            self.down.discard(self.bed.root)

        self.later(self.random.uniform(0, 2), again)

    def fault_stop_aggregator(self):
        process = self.bed.agg
        self.down.add(self.bed.root)
        process.send_signal(signal.SIGSTOP)

        def go_on():
            process.send_signal(signal.SIGCONT)
            self.down.discard(self.bed.root)

        self.later(self.random.uniform(0.2, 5), go_on)

    # ---- faults of links ----

    def link(self, address, seconds, *commands):
        proxy = self.bed.proxies[address]
        self.bad_links.add(address)
        proxy.say(*commands)

        def heal():
            proxy.say("pass")
            self.bad_links.discard(address)

        self.later(seconds, heal)

    def fault_link(self, address):
        r = self.random
        at = r.choice((1, r.randrange(400), r.randrange(BATCH), r.randrange(4 * BATCH)))
        way = r.choice(("up", "down"))
        mask = 1 << r.randrange(8)
        kind, commands = r.choice((
            ("cut", (f"cut {way} {at} once",)),
            ("reset", (f"reset {way} {at} once",)),
            ("stall", (f"stall {way} {at} once",)),
            ("halfopen", (f"halfopen {way} {at} once",)),
            ("flip", ("only /s/receive", f"flip up {at} {mask} once")),
            ("flip", ("only /a/receive", f"flip up {at} {mask} once")),
            ("flip", ("only /s/model", f"flip {way} {at} {mask} once")),
            ("flip", ("only /c/model", f"flip {way} {at} {mask} once")),
            ("duplicate", (f"duplicate {r.choice((0, 50, 500))}",)),
            ("delay", (f"delay both {r.randrange(1, 120)}",)),
            ("rate", (f"rate both {r.randrange(200000, 2000000)}",)),
            ("refuse", ("refuse",)),
            ("drop", ("drop",)),
        ))
        self.counts[kind] += 1
        self.link(address, r.uniform(0.2, 4), *commands)

    # ---- what next ----

    def may_strike(self, address):
        if address in self.down:
            return False
        if address in self.switches:
            return not any(s in self.down for s in self.switches)
        return len(self.down & set(self.clients)) < CLIENTS_DOWN

    def strike(self):
        r = self.random
        kind = r.choices(("kill client", "stop client", "kill switch", "stop switch",
                          "kill aggregator", "stop aggregator", "link"),
                         (6, 4, 2, 2, 2, 1, 20))[0]
        if kind == "link":
            address = r.choice([self.bed.root, *self.switches, *self.switches, *self.clients])
            if address not in self.bad_links:
                self.fault_link(address)
            return
        verb, what = kind.split()
        if what == "aggregator":
            if self.bed.root in self.down or self.bed.agg.poll() is not None:
                return
            self.counts[kind] += 1
            getattr(self, f"fault_{verb}_aggregator")()
            return
        address = r.choice(self.clients if what == "client" else self.switches)
        if self.may_strike(address):
            self.counts[kind] += 1
            getattr(self, f"fault_{verb}")(address)

    def undo_due(self, everything=False):
        now = time.monotonic()
        due = [u for u in self.undo if everything or u[0] <= now]
        self.undo = [u for u in self.undo if u not in due]
        for _, what in due:
            what()

    # ---- storms ----

    def storm(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.bed.agg.poll() is None or self.bed.root in self.down:
            self.strike()
            self.undo_due()
            time.sleep(self.random.uniform(0.05, 0.4))
        self.undo_due(everything=True)

    def settle(self):
        """Nothing is the matter any more: the open round has to end, by itself and soon."""
        began = time.monotonic()
        first = None
        while self.bed.agg.poll() is None:
            number = self.bed.agg_status().get("round", 0)
            first = first or number
            if number > first:
                break
            if time.monotonic() - began > SETTLES_S:
                self.fail(f"round {number} waits without a cause\n{self.story()}")
            time.sleep(0.1)
        self.slowest = max(self.slowest, time.monotonic() - began)

    def story(self):
        """What everybody has said lately."""
        told = [f"{self.bed.agg_status()}", self.bed.node_statuses()]
        for address, process in [(self.bed.root, self.bed.agg), *self.bed.nodes.items()]:
            told.append(f"---- {address}\n{self.words(process)[-2500:]}")
        return "\n".join(told)

    # ---- runs ----

    def agg_ended(self):
        """The summary when the run is over; an aggregator that lost its quorum is started again."""
        agg = self.bed.agg
        if self.bed.root in self.down or agg.poll() is None:
            return None
        out = agg.stdout.read()
        if agg.returncode == QUORUM_LOST:
            self.counts["quorum lost"] += 1
            self.bed.start_agg()
            return None
        self.assertEqual(agg.returncode, 0, f"{out}\n{self.words(agg)}")
        return json.loads(out)

    def run_once(self, disturbed_until):
        self.bed.config = self.make(self.runs)
        self.runs += 1
        self.bed.start_agg()
        began = time.monotonic()
        while (summary := self.agg_ended()) is None:
            now = time.monotonic()
            if now - began > RUN_S:
                self.fail(f"run {self.runs} does not end\n{self.story()}")
            if now < disturbed_until and now - began < RUN_S / 2:
                self.storm(self.random.uniform(*STORM_S))
                self.settle()
            time.sleep(0.1)
        self.bed.check(summary)
        rounds = self.bed.rounds()
        print(f"run {self.runs}: {time.monotonic() - began:.1f} s, contributors "
              f"{min(line['fewest_contributors'] for line in rounds)} to "
              f"{max(line['most_contributors'] for line in rounds)}, "
              f"{sum(line['frames_kept'] for line in rounds)} frames kept", flush=True)

    def resources(self):
        found = collections.defaultdict(list)
        for address, process in self.bed.nodes.items():
            found["switch" if address in self.switches else "client"].append(Resources(process.pid))
        return found

    def test_chaos(self):
        end = time.monotonic() + self.seconds
        self.run_once(0)
        before = self.resources()
        while time.monotonic() < end:
            self.run_once(end)
        self.run_once(0)
        self.assertEqual(self.bed.rounds()[-1]["fewest_contributors"], len(self.clients))
        cairn.until("connections are let go", lambda: self.back_to(before), 40, every=1)
        print(f"{sum(self.counts.values())} faults: " +
              ", ".join(f"{n} {kind}" for kind, n in sorted(self.counts.items())))
        print(f"{self.slowest:.1f} s at most from the end of a storm to the end of its round")

    def back_to(self, before):
        for role, now in self.resources().items():
            files = max(r.files for r in before[role]) + MORE_FILES
            rss = max(r.rss for r in before[role]) * MORE_RSS
            self.worst = (role, max(r.files for r in now), files, max(r.rss for r in now), rss)
            if self.worst[1] > files or (not SANITIZED and self.worst[3] > rss):
                print("still", self.worst, flush=True)
                return False
        return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    Chaos.seconds, Chaos.seed = options.seconds, options.seed
    unittest.main(argv=sys.argv[:1])
