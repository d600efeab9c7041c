# SPDX-License-Identifier: Apache-2.0
"""Bad configs: every fault at once, with its place, before anything is started; exit code 3."""

import copy
import json

import cairn
from cairn import TWO_LEVELS

# As in the root config of the project that cairn descends from: no comma at the end of line 4.
MISSING_COMMA = """{
  "aggregator": {"iteration": 10, "ip": "127.0.0.1"},
  "others": {
    "127.0.0.2": {"type": "client", "client_number": 2, "index": 0, "send": "127.0.0.1"}
    "127.0.0.3": {"type": "client", "client_number": 2, "index": 1, "send": "127.0.0.1"}
  }
}
"""


class BadConfig(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        self.good = cairn.make_config(self.net, TWO_LEVELS)

    def faults(self, config, command="check"):
        result = self.cairn(command, self.write(config), "--json", expect=3, timeout=20)
        faults = [f for f in result.json["faults"] if not f["warning"]]
        self.assertTrue(faults)
        for fault in faults:
            where = f"test.json:{fault['line']}:{fault['column']}: error: "
            if fault["line"]:
                self.assertIn(where, result.err)
            self.assertIn(fault["text"].split("\n")[0][:60], result.err)
        return faults

    def check(self, config, *patterns):
        faults = self.faults(config)
        text = "\n".join(f["text"] for f in faults)
        for pattern in patterns:
            self.assertRegex(text, pattern)
        return faults

    def changed(self, change):
        config = copy.deepcopy(self.good)
        change(config, config["others"])
        return config

    def node(self, n):
        return f"{self.net}.{n}"

    def test_good(self):
        self.cairn("check", self.write(self.good), "--json")

    def test_round_rules(self):
        """Aggregator over two switches over two clients each; the numbers are by hand."""
        path = self.write(self.changed(lambda c, o: c.update(
            round={"deadline_s": 100, "quorum": 0.6, "grace_s": 2.5},
            server={"heartbeat_s": 2})))
        document = self.cairn("check", path, "--json").json
        rules = document["round"]
        self.assertEqual((rules["quorum"], rules["fewest_contributors"]), (3, 3))
        self.assertEqual((rules["suspect_s"], rules["dead_s"]), (6, 12))
        self.assertEqual([(level["depth"], level["nodes"]) for level in rules["levels"]],
                         [(0, 1), (1, 2)])
        nodes = {node["address"].split(":")[0]: node for node in document["nodes"]}
        for n, quorum, deadline, grace in ((1, 3, 100, 5), (2, 2, 90, 2.5)):
            node = nodes[self.node(n)]
            self.assertEqual((node["fewest_quorum"], node["quorum"], node["grace_s"]), (quorum, quorum, grace))
            self.assertAlmostEqual(node["deadline_s"], deadline)
            self.assertGreaterEqual(node["window_frames"], 1)
            self.assertGreater(node["window_bytes"], 0)
        self.assertNotIn("window_frames", nodes[self.node(3)])
        text = self.cairn("check", path).out
        self.assertRegex(text, "quorum +3 of 4 clients")
        self.assertRegex(text, r"switches at depth 1 +2 +90 s +2\.5 s")

    def test_quorums_where_a_share_takes_part(self):
        """Two switches over six clients each, of which a round chooses six: a switch has none of them, or up to six."""
        for quorum in (0.5, 3):
            config = cairn.make_config(self.net, [[cairn.CLIENT] * 6] * 2, round={"fraction": 0.5, "quorum": quorum})
            document = self.cairn("check", self.write(config), "--json").json
            self.assertEqual((document["round"]["clients"], document["round"]["quorum"]), (6, 3))
            of = {node["role"]: (node["fewest_quorum"], node["quorum"])
                  for node in document["nodes"] if "quorum" in node}
            self.assertEqual(of, {"aggregator": (3, 3), "switch": (1, 3)})

    def test_a_quorum_below_the_floor_is_told(self):
        path = self.write(self.changed(lambda c, o: c.update(round={"quorum": 1})))
        result = self.cairn("check", path)
        self.assertIn("1 of 4 clients are fewer than round.privacy_floor, 3", result.err)
        self.assertIn("the privacy floor asks for more", result.out)

    def test_a_model_that_this_machine_cannot_hold(self):
        """cairn check allows it, since an estimate is no measurement, and says so."""
        for params, warned in ((10**6, False), (10**10, True)):
            config = copy.deepcopy(self.good)
            config["train"] = {"type": "synthetic"}
            config["model"] = {"params": params}
            result = self.cairn("check", self.write(config), "--json", expect=0)
            texts = [w["text"] for w in result.json["warnings"]]
            self.assertEqual(any("this machine has" in text for text in texts), warned, texts)
            self.assertEqual("this machine has" in result.err, warned)
            self.assertEqual(result.json["params"], params)
            self.assertEqual(result.json["params_source"], "model.params")
            client = [n for n in result.json["nodes"] if n["role"] == "client"][0]
            self.assertGreater(client["memory_bytes"], 4 * params)

    def test_missing_comma(self):
        fault = self.check(MISSING_COMMA, "comma")[0]
        self.assertIn(fault["line"], (4, 5))
        self.assertGreater(fault["column"], 0)

    def test_misspelt_keys(self):
        text = json.dumps(self.good).replace('"aggregator"', '"aggregaotr"')
        self.check(text, "aggregaotr", '"?aggregator"?')
        text = json.dumps(self.good).replace('"send"', '"sned"')
        self.check(text, "sned", "send")
        self.check(self.changed(lambda c, o: c["train"].update(lerning_rate=1)), "learning_rate")

    def test_duplicate_key(self):
        text = json.dumps(self.good, indent=1).replace(
            '"aggregator": {', '"aggregator": {"iteration": 5, ', 1
        )
        self.check(text, "iteration")
        first = f'"{self.node(2)}": {{"type": "client"}}, '
        text = json.dumps(self.good).replace('"others": {', '"others": {' + first, 1)
        self.check(text, self.node(2))

    def test_indices(self):
        clients = [a for a, n in self.good["others"].items() if n["type"] == "client"]
        self.check(self.changed(lambda c, o: o[clients[0]].update(index=1)), "index")
        self.check(self.changed(lambda c, o: o[clients[3]].update(index=4)), "index")
        self.check(self.changed(lambda c, o: o[clients[3]].update(index=-1)), "index")

    def test_client_number(self):
        self.check(
            self.changed(lambda c, o: [n.update(client_number=5) for n in o.values()
                                       if n["type"] == "client"]),
            "client_number",
        )

    def test_receive_and_send_disagree(self):
        self.check(self.changed(lambda c, o: o[self.node(3)].update(send=self.node(5))),
                   self.node(3).replace(".", r"\."))
        self.check(self.changed(lambda c, o: o[self.node(2)]["receive"].pop()), r"receive")

    def test_cycle(self):
        def change(config, others):
            others[self.node(2)].update(send=self.node(5), receive=[self.node(5)])
            others[self.node(5)].update(send=self.node(2), receive=[self.node(2)])

        self.faults(self.changed(change))

    def test_orphans(self):
        self.faults(self.changed(lambda c, o: o[self.node(3)].update(send="127.250.1.1")))
        self.faults(self.changed(lambda c, o: o[self.node(2)].update(receive=[])))

    def test_iterations(self):
        for rounds in (0, -1, 10**9, 1.5, "10", None, 10**30):
            self.check(self.changed(lambda c, o: c["aggregator"].update(iteration=rounds)),
                       "iteration")

    def test_value_bits(self):
        for bits in (0, 1, 33, 64):
            self.check(self.changed(lambda c, o: c.update(encryption={"value_bits": bits})),
                       "value_bits")

    def test_values_out_of_range(self):
        for section, values in (
            ("train", {"momentum": 1}),
            ("train", {"learning_rate": 0}),
            ("train", {"batch": 0}),
            ("encryption", {"profile": "rot13"}),
            ("encryption", {"profile": True}),
            ("round", {"privacy_floor": 5}),
            ("round", {"deadline_s": 0}),
            ("round", {"quorum": 5}),
            ("round", {"quorum": 1.5}),
            ("round", {"grace_s": -1}),
            ("server", {"heartbeat_s": 0}),
            ("server", {"window_bytes": 1}),
            ("model", {"layers": [64]}),
            ("model", {"layers": "64,10"}),
            ("server", {"workers": 0}),
        ):
            with self.subTest(section=section, values=values):
                key = next(iter(values))
                self.check(self.changed(lambda c, o: c.update({section: values})), key)

    def test_experiment_names_no_folder_elsewhere(self):
        for name in ("../other", "a/b", ".hidden", "", "x" * 100, "/etc"):
            self.check(self.changed(lambda c, o: c.update(experiment=name)), "experiment")

    def test_zero_in_a_name(self):
        self.check(self.changed(lambda c, o: c.update(experiment="a\u0000b")), "u0000")

    def test_all_at_once(self):
        def change(config, others):
            config["aggregator"]["iteration"] = 0
            config["trian"] = {}
            config["encryption"] = {"profile": "capsul"}
            others[self.node(3)]["index"] = 1

        faults = self.faults(self.changed(change))
        text = "\n".join(f["text"] for f in faults)
        for word in ("iteration", "trian", "capsul", "index"):
            self.assertIn(word, text)

    def test_no_json_at_all(self):
        for text in (b"", b"   ", b"[]", b"{", b"null", b"\xff\xfe{}", b"{}{}", b"{'a':1}",
                     b'{"aggregator": NaN}', b"\x00" * 10, b"[" * 100000):
            with self.subTest(text=text[:20]):
                self.faults(text)

    def test_byte_order_mark(self):
        self.cairn("check", self.write(b"\xef\xbb\xbf" + json.dumps(self.good).encode()), "--json")

    def test_every_command_refuses(self):
        bad = self.changed(lambda c, o: c["aggregator"].update(iteration=0))
        for command in ("run", "agg", "compare", "push", "inspect"):
            self.faults(bad, command)

    def test_nothing_is_contacted(self):
        """The agg of a bad config never says a word to a node that listens."""
        cairn.make_data(self.data)
        address = self.node(3)
        self.start_node(address)
        cairn.until("the node listens", lambda: cairn.listens(address))
        self.faults(self.changed(lambda c, o: c["aggregator"].update(iteration=0)), "agg")
        self.assertEqual(cairn.request(address, "GET", "/status").json["byte_received"], 0)


if __name__ == "__main__":
    cairn.main()
