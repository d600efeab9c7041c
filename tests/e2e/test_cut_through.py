# SPDX-License-Identifier: Apache-2.0
"""Frames do not wait for each other: through two switches an update takes little longer than over one link.

    client ── switch ─┐
    client ── switch ─┴─ switch ── aggregator

In front of each switch and of the aggregator stands a proxy that lets so many bytes a second through, for each
update that passes it. It notes when the first byte of a batch came in and when the last one left.
"""

import unittest

import cairn
from cairn import CLIENT
from faultproxy import proxy_for

PARAMS = 10_000_000  # 22.5 MB encrypted, 20 frames
RATE = 10_000_000  # bytes a second for each update: a link's time is 2.3 s, several times what the nodes compute


@unittest.skipIf(cairn.SANITIZED, "under a sanitizer, computing takes longer than the links")
class CutThrough(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        # the proxies have the addresses of the config, the nodes are a port further
        self.far = [proxy_for(self, f"{self.net}.{n}:5000") for n in (3, 5)]
        self.near = proxy_for(self, f"{self.net}.2:5000")
        self.root = proxy_for(self, f"{self.net}.1:5000")

    def upload(self, name, **sections):
        """Seconds of the first link, and from the first byte there to the last one at the aggregator."""
        config = cairn.make_config(self.net, [[[CLIENT], [CLIENT]]], rounds=1, name=name, **sections)
        config["model"] = {"params": PARAMS}
        config["train"] = {"type": "synthetic"}
        for link, updates, side in ((self.far[0], 1, "s"), (self.far[1], 1, "s"), (self.near, 2, "s"),
                                    (self.root, 1, "a")):
            link.say(f"only /{side}/receive", f"rate up {updates * RATE}")
        for address, node in config["others"].items():
            behind = ["--advertise", f"{address}:5000"] if node["type"] == "switch" else []
            self.start_node(f"{address}:{5001 if behind else 5000}", *behind)
        agg = self.start_agg(config, f"{name}.json", "--port", "5001")
        self.finish(agg)
        far = [link.stats()["only"] for link in self.far]
        near, root = self.near.stats()["only"], self.root.stats()["only"]
        self.stop_nodes()
        self.started.clear()
        # nothing was sent twice, but for headers of batches
        self.assertLess(max(far[1]["bytes"], near["bytes"] / 2, root["bytes"]), 1.001 * far[0]["bytes"])
        begin = min(link["first_s"] for link in far)
        return max(link["last_s"] for link in far) - begin, root["last_s"] - begin

    def test_two_levels(self):
        for attempt in range(3):  # a machine that is busy with other things as well is slow for a while
            hop, through = self.upload(f"cut-through-{attempt}")
            if through < 1.3 * hop:
                break
        # one frame that holds most of the update: nothing goes on before all of it is there
        held_hop, held = self.upload("held", round={"frame_params": 1 << 23}, server={"batch_bytes": 1 << 26})
        print(f"\ncut-through: one link {hop:.2f} s, all three {through:.2f} s, {through / hop:.2f} times"
              f"\nheld back:   one link {held_hop:.2f} s, all three {held:.2f} s, {held / held_hop:.2f} times")
        self.assertGreater(hop, 0.9 * PARAMS * 2.25 / RATE)  # the links are what takes the time
        self.assertLess(through, 1.3 * hop)
        self.assertGreater(held, 2 * held_hop)  # else this measures something else


class WithinABatch(cairn.CairnCase):
    """A parent takes the frames of a batch as they come, not when the batch has ended."""

    FRAME = 32 + 4 * 32768 + 9 + 16  # header, payload, set of contributors, digest

    def setUp(self):
        super().setUp()
        self.config = cairn.make_config(self.net, [[CLIENT] * 3], rounds=1,
                                        encryption={"profile": "none"}, round={"frame_params": 32768})
        self.config["model"] = {"params": 3 * 32768}
        self.config["train"] = {"type": "synthetic"}
        self.expected = self.run_config(self.config, name="quiet.json")["model_digest"]
        self.root, self.switch = f"{self.net}.1", f"{self.net}.2"
        self.proxy = proxy_for(self, f"{self.switch}:5000")

    def begin(self, *faults):
        self.proxy.say("only /s/receive", *faults)
        for address in self.config["others"]:
            behind = address == self.switch
            self.start_node(f"{address}:{5001 if behind else 5000}",
                            *(["--advertise", f"{address}:5000"] if behind else []))
        self.agg = self.start_agg(self.config)

    def next_of(self, address, side, origin):
        """The frame that a node expects from one of its children; -1 before there is a round."""
        session = cairn.request(f"{self.net}.3", "GET", "/config").json.get("session", {})
        if not session:
            return -1
        answer = cairn.request(address, "GET", f"/{side}/next?exp={session['id']}&round=1"
                                               f"&origin={origin}&first=99")
        return answer.json.get("next", -1)

    def test_a_whole_frame_of_a_stalled_batch_goes_up(self):
        self.begin(f"stall up {80 + self.FRAME + 2000} once")
        cairn.until("two clients are through, one has stalled behind its first frame",
                    lambda: cairn.listens(self.root) and sorted(
                        self.next_of(self.switch, "s", origin) for origin in (2, 3, 4)) == [1, 3, 3])
        cairn.until("the aggregator has that frame's sum",
                    lambda: self.next_of(self.root, "a", 1) == 1)
        self.assertEqual(self.proxy.stats()["stall"], 1)
        self.proxy.say("pass")
        self.assertEqual(self.finish(self.agg)["model_digest"], self.expected)

    def test_nothing_is_sent_twice(self):
        self.begin()
        self.assertEqual(self.finish(self.agg)["model_digest"], self.expected)
        self.assertEqual(self.proxy.stats()["only"]["bytes"], 3 * (80 + 3 * self.FRAME))

    def test_what_is_damaged_behind_a_taken_frame_is_sent_again(self):
        self.begin(f"flip up {80 + self.FRAME + 2000} 1 once")
        self.assertEqual(self.finish(self.agg)["model_digest"], self.expected)
        self.assertEqual(self.proxy.stats()["flip"], 1)

    def test_what_is_cut_behind_a_taken_frame_goes_on_there(self):
        self.begin(f"reset up {80 + self.FRAME + 2000} once")
        self.assertEqual(self.finish(self.agg)["model_digest"], self.expected)
        self.assertEqual(self.proxy.stats()["reset"], 1)


if __name__ == "__main__":
    cairn.main()
