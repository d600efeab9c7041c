# SPDX-License-Identifier: Apache-2.0
"""Fifteen nodes, the aggregator among them, started in a random order with random pauses: a run begins
within ten seconds of the last start, whatever the order.

    start_order.py [--orders N | --soak] [--seed S]
"""

import argparse
import os
import random
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import cairn  # noqa: E402
from bed import Bed, make_config  # noqa: E402

CONVERGES_S = 10
PAUSE_S = 0.3  # the longest between two starts
TREE = [[cairn.CLIENT] * 6, [cairn.CLIENT] * 6]


class StartOrder(cairn.CairnCase):
    orders = 10
    seed = None

    def test_f10_any_order_converges(self):
        seed = random.randrange(1 << 30) if self.seed is None else self.seed
        print(f"start_order.py --orders {self.orders} --seed {seed}", flush=True)
        order = random.Random(seed)
        took = [self.one_order(order, number) for number in range(self.orders)]
        print(f"{len(took)} orders: {max(took):.2f} s at most from the last start to the first round, "
              f"{sum(took) / len(took):.2f} s on average")

    def one_order(self, order, number):
        config = make_config(self.net, TREE, 1, f"order{number}", params=4096, frame_params=4096,
                             step_s=0, heartbeat_s=1)
        bed = Bed(self, config)
        starts = [*config["others"], bed.root]
        order.shuffle(starts)
        if number == 0:  # the original's own order
            starts.remove(bed.root)
            starts.append(bed.root)
        for address in starts:
            bed.start_agg() if address == bed.root else bed.start(address)
            time.sleep(order.uniform(0, PAUSE_S))
        last = time.monotonic()
        cairn.until(f"order {number} converges: {starts}", lambda: self.has_begun(bed),
                    CONVERGES_S, every=0.02)
        took = time.monotonic() - last
        bed.finish()
        self.assertEqual(bed.rounds()[0]["fewest_contributors"], 12)
        for address in config["others"]:
            bed.kill(address)
        return took

    def has_begun(self, bed):
        return bed.agg.poll() is not None or bed.agg_status().get("round", 0) > 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--soak", action="store_true", help="a hundred orders")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    StartOrder.orders, StartOrder.seed = 100 if options.soak else options.orders, options.seed
    unittest.main(argv=sys.argv[:1])
