# SPDX-License-Identifier: Apache-2.0
"""cairn demo on MNIST: what a newcomer sees first must hold. Needs tools/fetch-mnist.sh."""

import os
import unittest

import cairn

DATA = os.environ.get("CAIRN_DATA", os.path.join(cairn.SOURCE, "data"))
SANITIZED = cairn.SANITIZED


@unittest.skipUnless(os.path.exists(os.path.join(DATA, cairn.FILES["train-images"][0])),
                     "MNIST is not here; tools/fetch-mnist.sh fetches it")
class Demo(cairn.CairnCase):
    def test_demo(self):
        document = self.cairn("demo", "--json", "--data-dir", DATA, timeout=250).json
        self.assertEqual((document["clients"], document["switches"], document["rounds"]),
                         (12, 2, 10))
        self.assertEqual((document["profile"], document["in_network"]), ("capsule", True))
        self.assertGreaterEqual(document["accuracy"], 0.965)
        self.assertEqual(document["params"], 101770)
        # 22.5 bits and what surrounds them: less than float32
        self.assertLess(document["upload_bytes_per_client_round"], document["float32_bytes"])
        self.assertEqual({n["address"] for n in document["nodes"]},
                         {f"127.0.0.{i}:5000" for i in range(1, 16)})
        if not SANITIZED:  # sanitizers multiply both
            self.assertLess(document["wall_s"], 60)
            for node in document["nodes"]:
                self.assertLess(node["peak_rss_bytes"], 150_000_000, node)
        self.assert_nobody_left()

    def test_few_clients(self):
        out = self.cairn("demo", "--clients", "3", "--rounds", "1", "--data-dir", DATA).out
        self.assertIn("3 clients trained a model", out)


if __name__ == "__main__":
    cairn.main()
