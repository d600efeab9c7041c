# SPDX-License-Identifier: Apache-2.0
"""Nodes and the aggregator as commands of their own: start order, experiments, daemons."""

import json
import os
import signal
import socket
import subprocess
import time

import cairn
from cairn import TWO_LEVELS, listens, request, until


class Nodes(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)
        self.config = cairn.make_config(self.net, TWO_LEVELS, rounds=2)
        self.root = self.config["aggregator"]["ip"]

    def expected(self, config=None):
        return self.run_config(config or self.config, name="quiet.json")["model_digest"]

    def test_nodes_first(self):
        digest = self.expected()
        self.start_nodes(self.config)
        self.assertEqual(self.finish(self.start_agg(self.config))["model_digest"], digest)

    def test_aggregator_first(self):
        digest = self.expected()
        agg = self.start_agg(self.config)
        until("the aggregator listens", lambda: listens(self.root))
        for address in reversed(list(self.config["others"])):  # clients before switches
            self.start_node(address)
            time.sleep(0.2)
        self.assertEqual(self.finish(agg)["model_digest"], digest)

    def test_missing_node_is_named(self):
        self.config["server"] = {"start_timeout_s": 2}
        missing = f"{self.net}.4"
        for address in self.config["others"]:
            if address != missing:
                self.start_node(address)
        document = self.finish(self.start_agg(self.config), expect=5)
        self.assertIn(missing, document["error"])
        self.assertNotIn(f"{self.net}.3:", document["error"])

    def test_next_experiment_on_the_same_nodes(self):
        """The aggregator again with an edited config.json is the next experiment."""
        edited = json.loads(json.dumps(self.config))
        edited["experiment"] = "second"
        edited["seed"] = 2
        edited["encryption"] = {"profile": "none"}
        edited["aggregator"]["iteration"] = 3
        digests = self.expected(), self.expected(edited)
        nodes = self.start_nodes(self.config)
        first = self.finish(self.start_agg(self.config))
        second = self.finish(self.start_agg(edited))
        again = self.finish(self.start_agg(self.config))
        self.assertEqual((first["model_digest"], second["model_digest"]), digests)
        self.assertEqual(again["model_digest"], first["model_digest"])
        self.assertEqual((second["experiment"], second["rounds"]), ("second", 3))
        for address in nodes:
            self.assertIsNone(nodes[address].poll())
        with open(self.path("log/second", f"{self.net}.4.json")) as file:
            self.assertEqual(len(json.load(file)["iteration"]), 3)

    def test_roles_can_change(self):
        """What was a client may be a switch in the next experiment."""
        self.start_nodes(self.config)
        self.finish(self.start_agg(self.config))
        other = cairn.make_config(self.net, [["client"], ["client", "client"]], rounds=1, name="b")
        digest = self.finish(self.start_agg(other))["model_digest"]
        self.stop_nodes()
        self.started.clear()
        self.assertEqual(self.expected(other), digest)

    def test_restart_while_it_runs(self):
        """An aggregator that is stopped in the middle and started anew begins anew."""
        digest = self.expected()
        self.start_nodes(self.config)
        long = json.loads(json.dumps(self.config))
        long["aggregator"]["iteration"] = 5000
        agg = self.start_agg(long, "long.json")
        log = self.path("runs/long/rounds.jsonl")
        until("some rounds", lambda: os.path.exists(log) and os.path.getsize(log) > 0)
        agg.send_signal(signal.SIGTERM)
        self.finish(agg, expect=128 + signal.SIGTERM)
        self.assertEqual(self.finish(self.start_agg(self.config))["model_digest"], digest)

    def test_status_log_push(self):
        nodes = list(self.config["others"])
        path = self.write(self.config)
        failed = self.cairn("push", path, "--json", expect=5).json
        self.assertEqual([n["configured"] for n in failed["nodes"]], [False] * len(nodes))
        self.start_nodes(self.config)
        done = self.cairn("push", path, nodes[1], "--json").json
        self.assertEqual([n["configured"] for n in done["nodes"]], [True])
        done = self.cairn("push", path)
        self.assertIn("makes its own key", done.err)
        part = dict(self.config, encryption={"profile": "capsule", "only": ["layer2.*"]})
        self.cairn("push", self.write(part, "part.json"))
        posted = request(nodes[1], "GET", "/config").json
        self.assertGreater(posted["session"]["n_plain"], 0)
        # more in plain than the patterns come to: no client lends itself to that
        posted["session"]["n_plain"] += 1
        refused = request(nodes[1], "POST", "/config", json.dumps(posted))
        self.assertEqual(refused.status // 100, 4)
        self.assertIn("encryption.only comes to", refused.json["error"])
        self.cairn("push", path)
        status = self.cairn("status", nodes[1], "--json").json
        self.assertEqual((status["role"], status["experiment"]), ("client", "test"))
        self.assertIn("client", self.cairn("status", f"http://{nodes[1]}:5000/status").out)
        self.finish(self.start_agg(self.config))
        log = self.cairn("log", nodes[0], "--json").json
        self.assertEqual((log["role"], len(log["iteration"])), ("switch", 2))
        self.assertIn("contributors", self.cairn("log", nodes[0]).out)
        # nothing secret is told: the config that a node shows has the public key only
        text = json.dumps(request(nodes[1], "GET", "/config").json)
        self.assertNotIn("secret", text)
        missing = self.cairn("status", f"{self.net}.200", "--json", expect=5).json
        self.assertIn(f"{self.net}.200", missing["error"])
        self.cairn("status", "no such:address", expect=2)

    def test_port_taken(self):
        address = f"{self.net}.9"
        with socket.socket() as taken:
            taken.bind((address, 5000))
            taken.listen()
            result = self.cairn("node", "--listen", address, expect=4)
            self.assertIn("5000", result.err)
            self.assertIn(address, result.err)
            config = cairn.make_config(self.net, TWO_LEVELS)
            config["aggregator"]["ip"] = address
            for node in config["others"].values():
                if node["send"] == f"{self.net}.1":
                    node["send"] = address
            result = self.cairn("agg", self.write(config), "--data-dir", self.data, expect=4)
            self.assertIn("5000", result.err)

    def test_idle_nodes_use_no_cpu(self):
        node = self.start_node(f"{self.net}.9")
        until("it listens", lambda: listens(f"{self.net}.9"))
        configured = list(self.config["others"])[1]  # a client that waits for a model
        other = self.start_node(configured)
        until("it listens", lambda: listens(configured))
        self.cairn("push", self.write(self.config), configured)
        time.sleep(0.3)

        def ticks(process):
            with open(f"/proc/{process.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        def switches(process):
            total = 0
            for task in os.listdir(f"/proc/{process.pid}/task"):
                with open(f"/proc/{process.pid}/task/{task}/status") as file:
                    total += sum(int(line.split()[1]) for line in file
                                 if "ctxt_switches" in line)
            return total

        before = [(ticks(p), switches(p)) for p in (node, other)]
        time.sleep(3)
        for process, (cpu, wakes) in zip((node, other), before):
            self.assertLessEqual(ticks(process) - cpu, 1)
            # once a second and thread would be about 20
            self.assertLess(switches(process) - wakes, 40)


class Daemon(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        self.address = f"{self.net}.2"
        self.pid = None
        self.addCleanup(self.end)

    def end(self):
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def start_daemon(self, expect=0):
        # a shell of its own session, that ends at once
        command = f"{cairn.BIN} node --daemon --listen {self.address} --log-dir log --json; exit $?"
        done = subprocess.run(["sh", "-c", command], cwd=self.folder, capture_output=True,
                              text=True, start_new_session=True, timeout=20)
        self.assertEqual(done.returncode, expect, done.stderr)
        return json.loads(done.stdout), done

    def test_survives_the_shell(self):
        document, _ = self.start_daemon()
        self.pid = document["pid"]
        self.assertTrue(listens(self.address))  # at once: it was told only when it listened
        self.assertEqual(document["port"], 5000)
        os.kill(self.pid, signal.SIGHUP)
        time.sleep(0.2)
        self.assertEqual(request(self.address, "GET", "/healthz").status, 200)
        self.assertEqual(os.getsid(self.pid), self.pid)
        for fd, target in ((0, "/dev/null"), (1, "cairn-5000.log"), (2, "cairn-5000.log")):
            self.assertTrue(os.readlink(f"/proc/{self.pid}/fd/{fd}").endswith(target))
        with open(self.path("log/cairn-5000.log")) as log:
            self.assertIn("waiting for a config", log.read())

        second, done = self.start_daemon(expect=4)
        self.assertIn("5000", second["error"])
        self.assertIn(self.address, done.stderr)

        os.kill(self.pid, signal.SIGTERM)
        until("it has ended", lambda: not listens(self.address), 10)
        self.pid = None


if __name__ == "__main__":
    cairn.main()
