# SPDX-License-Identifier: Apache-2.0
"""cairn run: a whole federation on loopback, and how it ends when something is wrong."""

import glob
import json
import os
import re
import signal
import socket
import time
import unittest

import cairn
from cairn import CLIENT, TWO_LEVELS, until

MEMBERS = """experiment profile key_holder in_network clients switches rounds params value_bits
accuracy loss model_digest bits_per_param upload_bytes_per_client_round float32_bytes failure_log2
security_bits wall_s nodes""".split()
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


class Run(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)

    def test_seed_form_runs_unchanged(self):
        """The original's config: 4 clients, 2 switches, 10 rounds, at 127.0.0.1..7:5000."""
        example = os.path.join(cairn.SOURCE, "examples", "seed.json")
        document = self.cairn("run", example, "--json", "--data-dir", self.data).json
        self.assertEqual((document["experiment"], document["rounds"]), ("seed", 10))
        self.assertEqual((document["clients"], document["switches"]), (4, 2))
        for folder in ("log/seed", "runs/seed/nodes"):
            logs = glob.glob(self.path(folder, "*.json"))
            self.assertEqual(len(logs), 7, folder)
            for path in logs:
                self.check_log(path, rounds=10)
        for name in ("config.json", "summary.json", "rounds.jsonl", "model.safetensors"):
            self.assertTrue(os.path.getsize(self.path("runs/seed", name)) > 0, name)
        with open(self.path("runs/seed/rounds.jsonl")) as lines:
            self.assertEqual(len([json.loads(line) for line in lines]), 10)
        found = self.cairn("inspect", self.path("runs/seed/model.safetensors"), "--json").json
        self.assertEqual(found["model_digest"], document["model_digest"])
        self.assert_nobody_left()

    def check_log(self, path, rounds):
        with open(path) as file:
            entries = json.load(file)["iteration"]
        self.assertEqual(len(entries), rounds, path)
        for entry in entries:
            self.assertRegex(entry["start_time"], TIME)
            self.assertRegex(entry["end_time"], TIME)
            self.assertLessEqual(entry["start_time"], entry["end_time"])
            self.assertGreater(entry["byte_received"], 0)
            self.assertGreater(entry["byte_send"], 0)

    def test_document(self):
        config = cairn.make_config(self.net, TWO_LEVELS, rounds=3, name="doc")
        document = self.run_config(config)
        for member in MEMBERS:
            self.assertIn(member, document)
        self.assertEqual(document["profile"], "capsule")
        self.assertEqual(document["key_holder"], "aggregator")
        self.assertIs(document["in_network"], True)
        self.assertEqual(document["params"], 64 * 24 + 24 + 24 * 10 + 10)
        self.assertEqual(document["float32_bytes"], 4 * document["params"])
        self.assertGreater(document["accuracy"], 0.9)
        self.assertGreaterEqual(document["security_bits"], 128)
        self.assertLessEqual(document["failure_log2"], -64)
        self.assertEqual(len(document["nodes"]), 7)
        for node in document["nodes"]:
            self.assertIn(node["role"], ("aggregator", "switch", "client"))
            self.assertGreater(node["byte_send"], 0)
            self.assertGreater(node["byte_received"], 0)
            self.assertGreater(node["cpu_s"], 0)
            # a process of this size: a page count or kilobytes taken for bytes would fall out
            self.assertGreater(node["peak_rss_bytes"], 2_000_000)

    def test_synthetic_updates_need_no_data(self):
        digests = set()
        for profile in ("none", "capsule"):
            config = cairn.make_config(self.net, TWO_LEVELS, rounds=2, seed=3, name=profile,
                                       train={"type": "synthetic"},
                                       encryption={"profile": profile})
            config["model"] = {"params": 700001}  # two frames
            document = self.cairn("run", self.write(config), "--json", "--data-dir",
                                  self.path("nothing")).json
            self.assertEqual(document["params"], 700001)
            self.assertIsNone(document["accuracy"])
            digests.add(document["model_digest"])
        self.assertEqual(len(digests), 1)

    def test_same_seed_same_model(self):
        one = self.run_config(cairn.make_config(self.net, TWO_LEVELS, seed=5))
        two = self.run_config(cairn.make_config(self.net, TWO_LEVELS, seed=5))
        other = self.run_config(cairn.make_config(self.net, TWO_LEVELS, seed=6))
        self.assertEqual(one["model_digest"], two["model_digest"])
        self.assertNotEqual(one["model_digest"], other["model_digest"])

    def test_text_output(self):
        path = self.write(cairn.make_config(self.net, TWO_LEVELS, rounds=2))
        result = self.cairn("run", path, "--data-dir", self.data)
        self.assertIn("accuracy", result.out)
        self.assertRegex(result.out, r"client +4 ")
        self.assertNotIn("round 1 of", result.out)  # progress is stderr's
        self.assertIn("round 1 of 2", result.err)

    def test_other_networks_are_remapped(self):
        config = cairn.make_config(self.net, TWO_LEVELS, rounds=2)
        here = self.run_config(config)["model_digest"]
        text = json.dumps(config)
        _, a, b = self.net.split(".")
        text = text.replace(f"{self.net}.", f"10.{a}.{b}.")  # each 10.a.b.N runs at 127.a.b.N
        text = text.replace(f"10.{a}.{b}.4", "client-one.example")
        document = self.run_config(text)
        self.assertEqual(document["model_digest"], here)
        addresses = [node["address"] for node in document["nodes"]]
        self.assertIn(f"{self.net}.1:5000", addresses)
        self.assertTrue(all(a.startswith("127.") for a in addresses), addresses)

    def test_gzip_data_is_told_by_content(self):
        config = cairn.make_config(self.net, TWO_LEVELS, rounds=1)
        raw = self.run_config(config)["model_digest"]
        cairn.make_data(self.data, compress=True)
        self.assertEqual(self.run_config(config)["model_digest"], raw)

    def test_uneven_slices_use_every_row(self):
        """600 rows over 7 clients leave a remainder."""
        config = cairn.make_config(self.net, [[CLIENT] * 4, [CLIENT] * 3], rounds=1)
        document = self.run_config(config)
        self.assertEqual(document["clients"], 7)
        self.assertIn("7 clients ready, 600 training samples", self.err)

    def test_clients_without_switches(self):
        document = self.run_config(cairn.make_config(self.net, [CLIENT] * 3, rounds=2))
        self.assertEqual((document["switches"], document["in_network"]), (0, False))


class RunEnds(cairn.CairnCase):
    """However a run ends, it says why and leaves nobody behind."""

    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)
        self.long = cairn.make_config(self.net, TWO_LEVELS, rounds=5000)

    def start_run(self, config):
        return self.start("run", self.write(config), "--json", "--data-dir", self.data)

    def wait_for_rounds(self, process):
        log = self.path("runs/test/rounds.jsonl")
        until("the first rounds or the end",
              lambda: process.poll() is not None or os.path.exists(log) and os.path.getsize(log))
        self.assertIsNone(process.poll(), self.words(process))

    def check_port_taken(self, address):
        with socket.socket() as taken:
            taken.bind((address, 5000))
            taken.listen()
            result = self.cairn("run", self.write(self.long), "--json", "--data-dir", self.data,
                                expect=4, timeout=30)
        self.assertIn("5000", result.json["error"])
        self.assertIn(address, result.json["error"])
        self.assertEqual(result.json["exit"], 4)
        self.assert_nobody_left()

    def test_port_of_a_node_taken(self):
        self.check_port_taken(f"{self.net}.4")

    def test_port_of_the_aggregator_taken(self):
        self.check_port_taken(f"{self.net}.1")

    def pid_of_node(self, address):
        for pid in cairn.children_of_mine(self.folder):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue  # it has just ended
            if words[1] == b"node" and address.encode() in words:
                return pid
        self.fail(f"no process of {address}")

    def test_node_that_dies_ends_the_run(self):
        process = self.start_run(self.long)
        self.wait_for_rounds(process)
        victim = f"{self.net}.4"
        os.kill(self.pid_of_node(victim), signal.SIGKILL)
        begin = time.monotonic()
        document = self.finish(process, expect=4, timeout=15)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertIn(victim, document["error"])
        self.assertIn("signal 9", document["error"])
        self.assert_nobody_left()

    def test_interrupt(self):
        process = self.start_run(self.long)
        self.wait_for_rounds(process)
        process.send_signal(signal.SIGINT)
        self.finish(process, expect=130, timeout=15)
        self.assert_nobody_left()

    def test_killed_outright(self):
        process = self.start_run(self.long)
        self.wait_for_rounds(process)
        process.kill()
        process.communicate()
        self.assert_nobody_left()

    def test_no_temporary_files_left(self):
        os.makedirs(self.path("tmp"))
        os.environ["TMPDIR"] = self.path("tmp")
        self.addCleanup(os.environ.pop, "TMPDIR")
        self.run_config(cairn.make_config(self.net, TWO_LEVELS, rounds=1))
        self.assertEqual(os.listdir(self.path("tmp")), [])


class BadData(cairn.CairnCase):
    """Exit code 8, and a sentence with expected and found."""

    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)
        self.config = cairn.make_config(self.net, TWO_LEVELS, rounds=1)

    def file(self, which):
        return os.path.join(self.data, cairn.FILES[which][0])

    def read(self, which):
        with open(self.file(which), "rb") as file:
            return file.read()

    def put(self, which, content):
        with open(self.file(which), "wb") as file:
            file.write(content)

    def check(self, *expected):
        document = self.run_config(self.config, expect=8)
        self.assertEqual(document["exit"], 8)
        for pattern in expected:
            self.assertRegex(document["error"], pattern)
        self.assert_nobody_left()

    def test_truncated(self):
        whole = self.read("train-images")
        self.put("train-images", whole[: 16 + 64 * 599 + 32])  # the last image is cut in half
        self.check("train-images", str(len(whole)), str(len(whole) - 32))

    def test_trailing_bytes(self):
        self.put("train-images", self.read("train-images") + b"\0" * 10)
        self.check("train-images")

    def test_html(self):
        self.put("train-images", b"<!DOCTYPE html><html><body>404</body></html>")
        self.check("HTML")

    def test_empty(self):
        self.put("test-labels", b"")
        self.check("empty")

    def test_wrong_magic(self):
        self.put("train-images", b"\x12\x34\x56\x78" + self.read("train-images")[4:])
        self.check("train-images")

    def test_swapped(self):
        images, labels = self.read("train-images"), self.read("train-labels")
        self.put("train-images", labels)
        self.put("train-labels", images)
        self.check("2051", "2049")

    def test_counts_differ(self):
        self.put("train-labels", cairn.idx_labels(599, self.read("train-labels")[8 : 8 + 599]))
        self.check("600", "599")

    def test_label_out_of_range(self):
        labels = bytearray(self.read("train-labels"))
        labels[8 + 250] = 10
        self.put("train-labels", bytes(labels))
        self.check("10")

    def test_missing(self):
        os.unlink(self.file("train-labels"))
        self.check("train-labels")

    def test_layers_do_not_fit(self):
        self.config["model"]["layers"] = [65, 10]
        self.check("65", "64")


class CommandLine(cairn.CairnCase):
    def test_nearest_command(self):
        result = self.cairn("comapre", expect=2)
        self.assertIn("cairn compare", result.err)
        self.assertEqual(result.out, "")

    def test_nearest_option(self):
        self.assertIn("--data-dir", self.cairn("run", "x", "--data-dri", "y", expect=2).err)

    def test_bad_numbers(self):
        for value in ("0", "70000", "-1", "5000x", "", "99999999999999999999"):
            self.cairn("node", "--port", value, expect=2)

    def test_missing_argument(self):
        self.assertIn("cairn run config.json", self.cairn("run", expect=2).err)

    def test_failures_are_json_too(self):
        document = self.cairn("run", "--json", expect=2).json
        self.assertEqual((document["code"], document["exit"]), ("USAGE", 2))
        document = self.cairn("nonsense", "--json", expect=2).json
        self.assertEqual(document["code"], "USAGE")
        document = self.cairn("run", "not-there.json", "--json", expect=3).json
        self.assertIn("not-there.json", document["error"])

    def test_help_of_every_command(self):
        text = self.cairn("--help").out
        for name in "agg node demo run compare check push status log schema eval inspect".split():
            self.assertIn(f"cairn {name} ", text)
            self.assertIn("--json", self.cairn(name, "--help").out)

    def test_settings_as_a_table(self):
        self.assertIn("encryption.value_bits", self.cairn("schema", "--table").out)

    def test_schema(self):
        schema = self.cairn("schema", "--json").json
        self.assertIn("aggregator", json.dumps(schema))

    def test_check(self):
        cairn.make_data(self.data)
        path = self.write(cairn.make_config(self.net, cairn.THREE_LEVELS, rounds=2))
        document = self.cairn("check", path, "--json", "--data-dir", self.data).json
        self.assertEqual(document["params"], 1810)
        self.assertGreaterEqual(document["parameters"]["security_bits"], 128)
        self.assertIs(document["settings"]["train.batch"]["default"], False)
        self.assertIs(document["settings"]["train.epochs"]["default"], True)
        text = self.cairn("check", path, "--data-dir", self.data).out
        self.assertIn(f"|- {self.net}.2:5000  switch", text)
        # what check promises is what a client then sends, but for the small answers to its requests
        run = self.run_config(cairn.make_config(self.net, cairn.THREE_LEVELS, rounds=2))
        promised = document["upload_bytes_per_client_round"]
        self.assertAlmostEqual(run["upload_bytes_per_client_round"], promised, delta=1000)

    def test_demo_without_data(self):
        result = self.cairn("demo", "--data-dir", self.path("nowhere"), expect=8)
        self.assertIn("./demo.sh", result.err)

    def test_inspect_strange_files(self):
        with open(self.path("strange"), "wb") as file:
            file.write(b"\x00\x01\x02nothing known")
        self.cairn("inspect", self.path("strange"), expect=8)
        self.cairn("inspect", self.path("nowhere"), expect=10)


if __name__ == "__main__":
    cairn.main()
