# SPDX-License-Identifier: Apache-2.0
"""train.type command: somebody else's program as trainer, and everything that it may do wrong."""

import base64
import json
import os
import signal
import struct
import sys
import time
import unittest

import cairn
from cairn import CLIENT, CairnCase, request, until

TRAINER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "command_trainer.py")
FOUR = [[CLIENT, CLIENT], [CLIENT, CLIENT]]

# fault: (what is said of it, does the update count?)
FAULTS = {
    "exit": ("ended with exit status 3", False),
    "signal": ("was ended by signal 11 (Segmentation fault)", False),
    "hang": ("was not done after", False),
    "memory": ("MemoryError", False),
    "junk": ("trained.safetensors: header length", False),
    "no model": ("trained.safetensors: cannot open", False),
    "missing": ('has no tensor "w"', False),
    "shape": ('tensor "w" has another shape', False),
    "nan": ('tensor "w", element 4', False),
    "no samples": ('"samples" is not a whole number from 1 on', False),
    "no metrics": ("metrics.json: cannot open", False),
    "many samples": ("train.samples is 5", False),
    "words in metrics": ('"loss" is no number', False),
    "in place": ("has changed model.safetensors", False),
    "flood": ("no end of this", False),
    "children": ("left 1 processes behind", True),
}


def trainer_processes():
    """Ids, environments and last arguments of processes that run this trainer: its path is one of Python's arguments."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if b"python" in words[0] and any(w.endswith(b"command_trainer.py") for w in words):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    found.append((int(pid), file.read(), words[-2]))
            except OSError:
                continue
    return found


class Command(CairnCase):
    def setUp(self):
        super().setUp()
        os.environ["CAIRN_MARK"] = self.folder  # goes on to trainers, by which they are known
        self.addCleanup(os.environ.pop, "CAIRN_MARK")
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = self.folder  # where work folders are
        self.addCleanup(os.environ.pop, "TMPDIR") if before is None else self.addCleanup(
            os.environ.__setitem__, "TMPDIR", before)

    def trainers(self):
        return [pid for pid, environment, _ in trainer_processes() if self.folder.encode() in environment]

    def wait_for_a_grandchild(self):
        """Until the others have trained, and one hangs with a grandchild that sleeps."""
        def there():
            mine = [last for _, environment, last in trainer_processes() if self.folder.encode() in environment]
            return len(mine) == 2 and b"sleep" in mine
        until("a grandchild sleeps", there)

    def config(self, rounds, **train):
        command = {"type": "command", "command": [sys.executable, "-B", "-S", TRAINER], "samples": 5,
                   "batch": 1, "evaluate": True}
        command.update(train)
        config = cairn.make_config(self.net, FOUR, rounds, train=command, name="command",
                                   server={"heartbeat_s": 0.2}, round={"deadline_s": 60})
        del config["model"]
        return config

    def run_by_hand(self, config, *more):
        """Nodes that stay when the aggregator has ended. @return the aggregator's document and words"""
        for address in config["others"]:
            self.start_node(address, "--train-command", json.dumps(config["train"]["command"]), *more)
        for address in config["others"]:
            until(f"{address} listens", lambda a=address: cairn.listens(a))
        aggregator = self.start_agg(config)
        document = self.finish(aggregator, timeout=120)
        return document, self.words(aggregator)

    def first_client(self, config):
        return next(a for a, n in config["others"].items() if n["type"] == "client" and n["index"] == 0)

    def words_of(self, address):
        number = list(self.addresses).index(address)
        return self.words(self.started[number])

    def model(self, name="command"):
        with open(self.path("runs", name, "model.safetensors"), "rb") as file:
            raw = file.read()
        length = struct.unpack("<Q", raw[:8])[0]
        return {k: (v["shape"], struct.unpack(f"<{(v['data_offsets'][1] - v['data_offsets'][0]) // 4}f",
                                              raw[8 + length:][slice(*v["data_offsets"])]))
                for k, v in json.loads(raw[8:8 + length]).items() if k != "__metadata__"}

    def rounds(self):
        with open(self.path("runs", "command", "rounds.jsonl")) as file:
            return [json.loads(line) for line in file]

    def test_one_round_adds_one(self):
        document = self.run_config(self.config(1))
        self.assertEqual(document["accuracy"], 0.8)
        expected = {"b": ([2], (1.0,) * 2), "s": ([], (1.0,)), "w": ([3, 2], (1.0,) * 6), "e": ([0], ())}
        self.assertEqual(self.model(), expected)
        self.assertEqual(self.trainers(), [])
        self.assertEqual([x for x in os.listdir(self.folder) if x.startswith("cairn-")], [])

    def test_a_round_weighs_what_its_programs_say(self):
        self.run_config(self.config(1, settings={"uneven": True}))
        self.assertEqual(self.rounds()[0]["frames"][0]["weight"], 2 + 3 + 4 + 5)
        for _, values in self.model().values():
            for value in values:
                self.assertAlmostEqual(value, 1, 3)

    def test_the_environment_is_clean(self):
        os.environ["SECRET_OF_THE_SHELL"] = "1"
        self.addCleanup(os.environ.pop, "SECRET_OF_THE_SHELL")
        config = self.config(1, environment={"MINE": "yes"})
        self.run_config(config)
        with open(self.path("log", "command", os.path.basename(self.err_file(config)))) as file:
            line = next(x for x in file if "environment" in x)
        for name in ("PATH", "HOME", "MINE", "CAIRN_DATA_DIR", "CAIRN_WORK_DIR"):
            if name != "CAIRN_DATA_DIR" or os.path.isdir(self.data):
                self.assertIn(f"'{name}'", line)
        self.assertNotIn("SECRET", line)

    def err_file(self, config):
        return self.path("log", "command", self.first_client(config).partition(":")[0] + ".err")

    def test_f21_every_fault(self):
        faults = list(FAULTS)
        config = self.config(len(faults), timeout_s=8, memory_bytes=1 << 32, settings={"faults": faults})
        self.addresses = config["others"]
        document, words = self.run_by_hand(config)
        first = self.first_client(config)
        log = request(first, "GET", "/log").json["iteration"]
        own = self.words_of(first)
        for number, (fault, (says, counts)) in enumerate(FAULTS.items(), 1):
            with self.subTest(fault=fault):
                entry = log[number - 1]
                self.assertEqual(entry["contributors"], 1 if counts else 0)
                self.assertIn(says, entry["trouble"])
                told = [x for x in words.splitlines() if f"{first}:5000, round {number}: " in x]
                self.assertEqual(len(told), 1, words)
                self.assertIn(says, told[0])
                self.assertTrue(f"trainer: about to do {fault}" in own or fault == "flood")
                sums = self.rounds()[number - 1]["frames"]
                self.assertEqual(sums[0]["contributors"], 4 if counts else 3)
        self.assertIn("trainer: no end of this", own)
        # a program's last words are in the sentence itself
        self.assertIn("about to do exit", log[0]["trouble"])
        self.assertIn("about to do hang", log[2]["trouble"])
        status = request(first, "GET", "/status").json
        self.assertEqual(status["last_trouble"]["round"], len(faults))
        self.assertIn("left 1 processes", status["last_trouble"]["what"])
        self.assertEqual(status["metrics"]["samples"], 5)
        self.assertIn("client 0", status["progress"])
        self.assertEqual(document["rounds"], len(faults))
        self.assertEqual(self.trainers(), [])

    def test_a_kept_program_is_started_once_and_again_after_a_fault(self):
        faults = ["", "", "error", "", "exit", "nonsense", "hang", ""]
        config = self.config(len(faults), keep=True, timeout_s=6, settings={"faults": faults})
        self.addresses = config["others"]
        _, words = self.run_by_hand(config)
        first = self.first_client(config)
        log = request(first, "GET", "/log").json["iteration"]
        self.assertEqual([e["contributors"] for e in log], [1, 1, 0, 1, 0, 0, 0, 1])
        for entry, says in zip(log, ["", "", "reports: out of luck", "", "exit status 3", "no message",
                                     "not done after", ""]):
            self.assertIn(says, entry.get("trouble", ""))
        lines = [x.split("process ")[1] for x in self.words_of(first).splitlines() if "process " in x]
        self.assertEqual(len(lines), len(faults))
        self.assertEqual(lines[0], lines[1])
        self.assertEqual(lines[1], lines[2])
        self.assertEqual(len(set(lines)), 5)
        self.stop_nodes()
        until("every trainer has ended", lambda: not self.trainers())

    def start_nodes(self, config):
        self.addresses = config["others"]
        for address in config["others"]:
            self.start_node(address, "--train-command", json.dumps(config["train"]["command"]))

    def test_a_node_that_is_asked_for_its_status_goes_on_training(self):
        config = self.config(1, evaluate=False, settings={"faults": ["slow"]})
        self.start_nodes(config)
        aggregator = self.start_agg(config)
        until("the first client alone trains", lambda: len(self.trainers()) == 1 and "round 1" in "".join(
            self.words_of(a) for a in config["others"] if a != self.first_client(config)))
        node = self.started[list(config["others"]).index(self.first_client(config))]
        for _ in range(3):
            node.send_signal(signal.SIGUSR1)
            time.sleep(0.1)
        self.finish(aggregator, timeout=60)
        self.assertEqual(self.rounds()[0]["fewest_contributors"], 4)
        self.assertIn("status: ", self.words_of(self.first_client(config)))

    def test_a_killed_node_leaves_nothing(self):
        config = self.config(1, settings={"faults": ["hang"]})
        self.start_nodes(config)
        self.start_agg(config)
        self.wait_for_a_grandchild()
        for process in self.started:
            process.kill()
        until("every trainer has ended", lambda: not self.trainers())

    def test_a_node_that_is_asked_to_end_does_not_wait_for_its_trainer(self):
        config = self.config(1, settings={"faults": ["hang"]})
        self.start_nodes(config)
        self.start_agg(config)
        self.wait_for_a_grandchild()
        node = self.started[list(config["others"]).index(self.first_client(config))]
        node.terminate()
        self.assertEqual(node.wait(timeout=10), 0)
        # the aggregator goes on without it and may just have one evaluate
        until("every trainer has ended", lambda: not self.trainers())

    def test_nobody_on_the_network_names_a_program(self):
        config = self.config(1)
        address = self.first_client(config)
        self.start_node(address)
        until("it listens", lambda: cairn.listens(address))
        document = {"type": "client", "client_number": 1, "index": 0, "send": self.net + ".1:5000",
                    "ip": address, "experiment": "x", "train": config["train"],
                    "session": {}}
        answer = request(address, "POST", "/config", json.dumps(document))
        self.assert_problem(answer, 422)
        document["train"] = {"type": "command", "samples": 5}
        document["session"] = {
            "id": "00" * 16, "nonce": "00" * 32, "node": 1, "iterations": 1, "n_clients": 1, "n_params": 2,
            "n_tensors": 1, "parent": self.net + ".1:5000", "parent_type": "aggregator",
            "grace_s": 0, "children": [], "streams": [], "clients": [], "public_key": "",
            "tensors": [{"name": "w", "shape": [2]}]}
        document["encryption"] = {"profile": "none"}
        answer = request(address, "POST", "/config", json.dumps(document))
        self.assert_problem(answer, 422)
        self.assertIn("no command", answer.json["error"])
        document["train"]["command"] = config["train"]["command"]
        answer = request(address, "POST", "/config", json.dumps(document))
        self.assert_problem(answer, 422)
        self.assertIn("every machine's own", answer.json["error"])

    def test_push(self):
        """Nodes that have a program take the config of a model that a file shows; nothing is run."""
        config = self.config(1, settings={"faults": ["exit"]})
        result = self.cairn("push", self.write(config), expect=3)
        self.assertIn("push runs nothing", result.err)
        self.assertIn("model.file", result.err)
        header = json.dumps({
            "w": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
            "n": {"dtype": "I64", "shape": [], "data_offsets": [4, 12]},
            "own": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]},
            "__metadata__": {"format": "pt"}}).encode()
        with open(self.path("first.safetensors"), "wb") as out:
            out.write(struct.pack("<Q", len(header)) + header + bytes(16))
        config["model"] = {"file": self.path("first.safetensors"), "exclude": ["own"]}
        first = self.first_client(config)
        for address in config["others"]:
            more = [] if address == first else ["--train-command", json.dumps(config["train"]["command"])]
            self.start_node(address, *more)
        for address in config["others"]:
            until(f"{address} listens", lambda a=address: cairn.listens(a))
        told = self.cairn("push", self.write(config), "--json", expect=3).json
        self.assertEqual([n["address"] for n in told["nodes"] if not n["configured"]], [first + ":5000"])
        refused = next(n["error"] for n in told["nodes"] if not n["configured"])
        self.assertIn("there is no command", refused)
        other = next(a for a, n in config["others"].items() if n["type"] == "client" and a != first)
        session = request(other, "GET", "/config").json["session"]
        self.assertEqual([t["name"] for t in session["tensors"]], ["w", "own", "n"])
        self.assertEqual((session["n_params"], session["n_tensors"], session["n_words"]), (2, 1, 1))
        self.assertEqual(base64.b64decode(session["metadata"]), b'{"format": "pt"}')
        self.assertEqual(self.trainers(), [])

    def test_config_faults(self):
        config = self.config(1, samples=0)
        result = self.cairn("check", self.write(config), expect=3)
        self.assertIn("train.samples", result.out + result.err)
        for wrong in ("python3", ["python3", 3], [""], {"a": "b"}):
            config = self.config(1, command=wrong)
            result = self.cairn("check", self.write(config), expect=3)
            self.assertIn("command", result.out + result.err)

    def test_a_command_that_is_not_there(self):
        config = self.config(1, command=["no-such-program-anywhere"])
        result = self.cairn("run", self.write(config), expect=8)
        self.assertIn("cannot start no-such-program-anywhere: No such file", result.err)

    def test_a_model_from_a_file(self):
        header = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
        with open(self.path("first.safetensors"), "wb") as out:
            out.write(struct.pack("<Q", len(header)) + header + struct.pack("<4f", 1, 2, 3, -4))
        config = self.config(1)
        config["model"] = {"file": self.path("first.safetensors")}
        self.run_config(config)
        self.assertEqual(self.model(), {"w": ([2, 2], (2.0, 3.0, 4.0, -3.0))})
        checked = self.cairn("check", self.write(config))
        self.assertIn("model.file", checked.out)

    METADATA = {"format": "pt", "zero": "\0 \0", "": "no name", "\U0001f600": "\u2028 \\ \" \x7f", "a": ""}

    def metadata(self, name):
        with open(self.path("runs", "command", name), "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        return list(header["__metadata__"].items())

    def assert_metadata_kept(self, config, *more):
        """In the program's files, which says so itself, and in the run's."""
        config["train"]["settings"] = {"metadata": json.dumps(self.METADATA)}
        config["log"] = {"checkpoint_every": 2}
        document = self.run_config(config, *more)
        self.assertEqual(document["accuracy"], 0.8)
        self.assertEqual([r["fewest_contributors"] for r in self.rounds()], [4, 4])
        for name in ("model.safetensors", "round-2.safetensors"):
            self.assertEqual(self.metadata(name), list(self.METADATA.items()))

    def put_model(self, metadata):
        header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                             "__metadata__": metadata}).encode()
        with open(self.path("first.safetensors"), "wb") as out:
            out.write(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2))

    def test_metadata_of_a_file(self):
        self.put_model(self.METADATA)
        config = self.config(2)
        config["model"] = {"file": self.path("first.safetensors")}
        self.assert_metadata_kept(config)

    def test_metadata_of_the_program_itself(self):
        self.assert_metadata_kept(self.config(2))

    def test_metadata_of_another_beginning(self):
        """--init has the last word."""
        config = self.config(2)
        self.put_model({"other": "model"})
        config["model"] = {"file": self.path("first.safetensors")}
        config["train"]["settings"] = {"metadata": json.dumps(self.METADATA)}
        config["log"] = {"checkpoint_every": 2}
        self.start_nodes(config)
        self.put_model(self.METADATA)
        os.rename(self.path("first.safetensors"), self.path("init.safetensors"))
        self.put_model({"other": "model"})
        aggregator = self.start_agg(config, "test.json", "--init", self.path("init.safetensors"))
        self.assertEqual(self.finish(aggregator, timeout=60)["accuracy"], 0.8)
        self.assertEqual([r["fewest_contributors"] for r in self.rounds()], [4, 4])
        self.assertEqual(self.metadata("model.safetensors"), list(self.METADATA.items()))

    def test_metadata_that_no_client_can_be_told(self):
        self.put_model({"a": "x" * 300000})
        config = self.config(1)
        config["model"] = {"file": self.path("first.safetensors")}
        result = self.cairn("run", self.write(config), expect=8)
        self.assertIn("__metadata__ has 300009 bytes", result.err)
        self.assertFalse(os.path.exists(self.path("runs", "command")))

    def test_a_model_in_half_precision(self):
        """The program gets float32, the result is written in half again; what it cannot do is refused."""
        def put(tensors):
            header, data = {}, b""
            for name, (dtype, raw, shape) in tensors.items():
                header[name] = {"dtype": dtype, "shape": shape,
                                "data_offsets": [len(data), len(data) + len(raw)]}
                data += raw
            text = json.dumps(header).encode()
            with open(self.path("first.safetensors"), "wb") as out:
                out.write(struct.pack("<Q", len(text)) + text + data)
        put({"v": ("F16", struct.pack("<2e", 7, 8), [2]), "w": ("F16", struct.pack("<3e", 1, 2, -4), [3])})
        config = self.config(3)
        config["model"] = {"file": self.path("first.safetensors")}
        self.run_config(config)
        with open(self.path("runs", "command", "model.safetensors"), "rb") as file:
            raw = file.read()
        self.assertEqual(raw[-10:], struct.pack("<5e", 10, 11, 4, 5, -1))
        self.assertEqual(raw.count(b'"F16"'), 2)

    def test_integers_and_what_stays_with_a_client(self):
        """Counters are carried; b, s and p.n are each client's own: every round begins with what its last one left."""
        found = {}
        for profile in ("none", "capsule"):
            config = self.config(3, settings={"counter": True, "own": {"b": [0, 0], "s": [0], "p.n": [7, 8]}})
            config["model"] = {"exclude": ["b", "s", "p.*"]}
            config["encryption"] = {"profile": profile}
            self.run_config(config)
            self.assertEqual([r["fewest_contributors"] for r in self.rounds()], [4] * 3)
            with open(self.path("runs", "command", "model.safetensors"), "rb") as file:
                found[profile] = file.read()
        self.assertEqual(found["none"], found["capsule"])
        raw = found["none"]
        length = struct.unpack("<Q", raw[:8])[0]
        entries = json.loads(raw[8:8 + length])
        data = {name: raw[8 + length:][slice(*e["data_offsets"])] for name, e in entries.items() if name[0] != "_"}
        self.assertEqual(struct.unpack("<q", data["n"]), (0,))  # -3, three rounds
        self.assertEqual(struct.unpack("<2f", data["b"]), (0, 0))  # as it began
        self.assertEqual(data["p.n"], bytes([7, 8]))
        for value in struct.unpack("<6f", data["w"]):
            self.assertAlmostEqual(value, 3, 3)
        self.assertEqual([entries[name]["dtype"] for name in ("n", "p.n", "w")], ["I64", "U8", "F32"])


if __name__ == "__main__":
    cairn.main()
