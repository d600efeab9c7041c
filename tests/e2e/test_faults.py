# SPDX-License-Identifier: Apache-2.0
"""Nodes that are silent, cut off, lied to and told things twice in mid-round, and the same model afterwards:
rows F4 to F22 of the fault table that want a whole federation. (F6, F15 and F24 are in test_abuse.py, F10 in
tests/chaos, F19 in tests/fault.)
"""

import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
import unittest
from unittest import mock

import bed
import cairn
import test_capture
from bed import ROUNDS, TREE, Bed, DisturbedCase, make_config, of_type, slow
from cairn import request, until

JUMPS = ("+3600", "-3650d", "+3650d", "+0")
SANITIZED = os.environ.get("CAIRN_SANITIZED") == "1"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


class Faults(DisturbedCase):
    # ---- F4, F5, F13: what comes twice, late, or from another run ----

    def test_f4_every_request_sent_twice(self):
        for milliseconds in (0, 300):
            with self.subTest(milliseconds=milliseconds):
                b = self.lay(["root", "switch"]) if milliseconds == 0 else self.bed
                if milliseconds == 0:
                    self.expected = self.undisturbed()
                for address in (self.root, self.switch):
                    b.proxies[address].say(f"duplicate {milliseconds}")
                b.start_agg()
                document = b.finish()
                self.assertEqual(self.fewest(), [4] * ROUNDS)
                self.assertEqual(document["model_digest"], self.expected)
                self.assertGreater(b.proxies[self.switch].stats()["duplicate"], 0)
                for address in (self.root, self.switch):
                    b.proxies[address].say("pass")

    def captured_uploads(self, proxy):
        """Whole requests POST /s/receive as they went over the wire."""
        found = []
        for stream in proxy.captured():
            for start in re.finditer(rb"POST /s/receive\?\S*round=(\d+)", stream):
                head = stream.find(b"\r\n\r\n", start.start()) + 4
                length = re.search(rb"content-length: *(\d+)", stream[start.start():head].lower())
                end = head + int(length.group(1))
                if end <= len(stream):
                    text = re.sub(rb"Expect:[^\r]*\r\n", b"", stream[start.start():head])
                    found.append((int(start.group(1)), text + stream[head:end]))
        return found

    def test_f5_f13_a_captured_upload_sent_late_and_into_another_run(self):
        self.config = bed.make_config(self.net, TREE, 4, "restart")
        self.root = self.config["aggregator"]["ip"]
        self.switch = of_type(self.config, "switch")[0]
        proxy = test_capture.Proxy(self.switch)
        self.addCleanup(proxy.close)
        self.bed = b = Bed(self, self.config)
        for address in self.config["others"]:
            b.start(address) if address != self.switch else None
        inner = f"{self.switch}:{test_capture.NODE_PORT}"
        b.nodes[self.switch] = self.start_node(inner, "--advertise", f"{self.switch}:5000")
        until("the switch listens", lambda: cairn.listens(inner))
        b.start_agg()
        b.wait_for_round(3)
        late = next(text for number, text in self.captured_uploads(proxy) if number == 1)
        answer = cairn.raw(inner, late)
        self.assert_problem(answer, 410)
        self.assertGreaterEqual(answer.json["round"], 2)  # which may not have come down yet
        b.finish()
        first = request(inner, "GET", "/config").json["session"]["id"]

        b.start_agg()
        b.wait_for_round(1)
        second = request(inner, "GET", "/config").json["session"]["id"]
        self.assertNotEqual(first, second)
        answer = cairn.raw(inner, late)
        self.assertIn(answer.status, (404, 409), answer.body)
        self.assertIn(first, answer.json["error"])
        self.assertIn(second, answer.json["error"])
        b.finish()
        self.assertEqual(self.fewest(), [4] * 4)

    def test_f7_a_stalled_parent_leaves_a_switch_its_threads(self):
        """Twenty clients ask their switch for pieces of the model that do not come: it goes on answering."""
        config = make_config(self.net, [[cairn.CLIENT] * 20], 2, "stall", round={"deadline_s": 60},
                             train={"step_s": 0}, params=100000, frame_params=8192)
        root, switch = config["aggregator"]["ip"], of_type(config, "switch")[0]
        b = Bed(self, config, [root]).start_all()
        proxy = b.proxies[root]
        proxy.say("only /a/model", "stall down 1000")
        b.start_agg()
        until("the model is asked for", lambda: proxy.stats()["stall"] > 0)
        time.sleep(1)
        began = time.monotonic()
        for _ in range(20):
            self.assertEqual(request(switch, "GET", "/status", timeout=3).status, 200)
        self.assertLess(time.monotonic() - began, 2)
        proxy.say("pass")
        b.finish()
        self.assertEqual([line["fewest_contributors"] for line in b.rounds()], [20, 20])

    def test_f5_an_upload_held_past_the_deadline(self):
        """Two clients' uploads are held until their round is over: the round ends in time, without them."""
        b = self.lay(["switch"], rounds=4, round={"deadline_s": 3}, server={"heartbeat_s": 5})
        b.start_agg()
        b.wait_for_round(2)
        b.proxies[self.switch].say("only /s/receive", "delay up 4000")
        b.wait_for_round(3)
        late = max(line["wall_s"] for line in b.rounds())
        b.proxies[self.switch].say("pass")
        b.finish()
        self.assertGreater(late, 2)
        self.assertGreater(request(b.listening(self.switch), "GET", "/status").json["refused"], 0)
        self.assertLess(min(self.fewest()), 4)
        self.assertEqual(self.fewest()[-1], 4)

    # ---- F7, F9, F11, F12: silence, clocks, networks ----

    def test_f7_a_silent_client_is_not_waited_for_and_comes_back(self):
        b = self.lay(rounds=12)
        b.start_agg()
        b.wait_for_round(2)
        b.nodes[self.client].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        until("it is dead", lambda: self.status_of(self.client) == "dead", 10)
        self.assertGreater(time.monotonic() - began, 1)  # six heartbeats of 0.3 s
        here = b.agg_status()["round"]
        b.wait_for_round(here + 2)
        b.nodes[self.client].send_signal(signal.SIGCONT)
        b.finish()
        self.assertEqual(min(self.fewest()), 3)
        self.assertEqual(self.fewest()[-1], 4)
        self.assertLess(max(line["wall_s"] for line in b.rounds()), 10)

    # ---- F8: a full disk ----

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small disk takes root")
    def test_f8_a_full_disk_is_waited_for(self):
        """The aggregator's runs and everybody's logs are on it; it fills up, and somebody makes room."""
        b = self.lay()
        expected = self.undisturbed()
        for name in ("runs", "log"):
            os.makedirs(self.path("disk", name))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", self.path("disk")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("disk")])
        for name in ("runs", "log"):
            shutil.rmtree(self.path(name))
            os.makedirs(self.path("disk", name))
            os.symlink(self.path("disk", name), self.path(name))
        b.start_agg()
        b.wait_for_round(2)
        with open(self.path("disk", "ballast"), "wb", buffering=0) as ballast:
            with self.assertRaises(OSError):
                while True:
                    ballast.write(bytes(4096))
        until("it says what it waits for", lambda: "waiting for the disk" in self.words(b.agg), 20)
        time.sleep(1)
        self.assertIsNone(b.agg.poll(), self.words(b.agg))
        os.unlink(self.path("disk", "ballast"))
        document = b.finish()
        self.assertEqual(self.fewest(), [4] * ROUNDS)
        self.assertEqual(document["model_digest"], expected)
        for address, node in b.nodes.items():
            self.assertIsNone(node.poll(), address)

    # ---- F9: the wall clock ----

    @unittest.skipUnless(os.path.exists(FAKETIME) and not SANITIZED,
                         "wants libfaketime, and no sanitizer that has to be loaded before it")
    def test_f9_the_wall_clock_jumps(self):
        """An hour or ten years, there and back, for all nodes at once, in mid-round."""
        stamp = self.path("wall-clock")

        def jump(to):
            with open(stamp + ".new", "w") as file:
                file.write(to + "\n")
            os.rename(stamp + ".new", stamp)

        jump("+0")
        settings = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": stamp, "FAKETIME_CACHE_DURATION": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        with mock.patch.dict(os.environ, settings):
            b = self.lay(rounds=20)  # 6 s or more, of which the jumps take five
            b.start_agg()
            b.wait_for_round(2)
            for to in JUMPS:
                jump(to)
                time.sleep(1.2)  # the file is read once a second
            b.finish()
        self.assertEqual(self.fewest(), [4] * 20)
        self.assertLess(max(line["wall_s"] for line in b.rounds()), 5)
        self.assertNotIn("is dead", self.words(b.agg))
        with open(glob.glob(b.run_path("nodes", f"*{self.client}*"))[0]) as file:
            years = {entry["end_time"][:4] for entry in json.load(file)["iteration"]}
        self.assertGreater(len(years), 1)  # the clock did jump

    def harm_and_heal(self, seconds, *commands):
        b = self.lay(["switch"], rounds=16, train={"step_s": 0.2}, server={"heartbeat_s": 0.2})
        b.start_agg()
        b.wait_for_round(2)
        b.proxies[self.switch].say(*commands)
        time.sleep(seconds)
        b.proxies[self.switch].say("pass")
        self.assertNotEqual(b.agg_status(), {})  # there are rounds left
        b.finish()
        self.assertEqual(self.fewest()[-1], 4)

    @slow
    def test_f11_a_switch_that_cannot_be_reached(self):
        self.harm_and_heal(1.0, "refuse", "drop")

    def test_f11_a_switch_cut_off_until_it_is_dead(self):
        self.harm_and_heal(2.5, "refuse", "drop")

    @slow
    def test_f11_a_switch_behind_a_link_that_swallows_everything(self):
        self.harm_and_heal(2.5, "stall up 0", "stall down 0")

    def test_f11_a_switch_that_hears_nothing_but_is_heard(self):
        self.harm_and_heal(2.5, "stall up 0")

    def test_f12_flipped_bytes_are_refused_and_sent_again(self):
        """In the head of a batch, in that of a frame, and in its payload."""
        places = (3, 40, 90, 1000, 30000, 60000)
        b = self.lay(["root", "switch"], rounds=len(places))
        expected = self.undisturbed()
        b.start_agg()
        for number, at in enumerate(places, 1):
            b.wait_for_round(number)
            proxies = [b.proxies[self.switch], b.proxies[self.root]]
            before = [proxy.stats()["flip"] for proxy in proxies]
            for proxy, route in zip(proxies, ("/s/receive", "/a/receive")):
                proxy.say(f"only {route}", f"flip up {at} 16 once")
            until(f"byte {at} was flipped on both links", lambda: all(
                proxy.stats()["flip"] > n for proxy, n in zip(proxies, before)), every=0.01)
        document = b.finish()
        self.assertEqual(self.fewest(), [4] * len(places))
        self.assertEqual(document["model_digest"], expected)

    # ---- F16, F17: a config that is edited, and signals ----

    def test_f16_config_edited_while_it_runs(self):
        """Read once; SIGHUP has the file looked at, and whatever is in it the run goes on as it began."""
        b = self.lay(rounds=24)  # 8 s, for five looks
        agg = b.start_agg()
        b.wait_for_round(2)
        path = self.path("restart.json")
        with open(path) as file:
            good = file.read()

        def look(text, *words):
            with open(path, "w") as file:
                file.write(text)
            said = len(self.words(agg))
            agg.send_signal(signal.SIGHUP)
            until(f"it says {words}", lambda: all(w in self.words(agg)[said:] for w in words))

        look(good, "is what this run goes by")
        look(good.replace('"deadline_s": 20', '"deadline_s": 1'), "round.deadline_s: 20", "1 in the file",
             "is valid; its 1 change ")
        look(good.replace(f'"send": "{self.root}"', '"send": "10.9.9.9"'), "restart.json:", "error", "send",
             "fault", "goes on as it began")
        look(good[:len(good) // 2], "fault", "goes on as it began")  # in the middle of being written
        os.unlink(path)
        agg.send_signal(signal.SIGHUP)
        until("it cannot be read", lambda: "No such file" in self.words(agg))
        self.assertIsNone(agg.poll())
        b.finish()
        self.assertEqual(self.fewest(), [4] * 24)

    def test_f17_signals(self):
        """SIGUSR1 and SIGPIPE end nobody; SIGTERM and SIGINT end a node soon and orderly, wherever it is, and
        the run goes on when it is started again."""
        b = self.lay(rounds=10)
        b.start_agg()
        b.wait_for_round(1)
        for process, words in ((b.agg, ('role "aggregator"', "state ", "waiting_for")),
                               (b.nodes[self.switch], ('role "switch"', "digest ")),
                               (b.nodes[self.client], ('role "client"', "byte_send "))):
            for number in (signal.SIGPIPE, signal.SIGUSR1):
                process.send_signal(number)
            until(f"its status has {words}", lambda: all(
                f"status: {word}" in self.words(process) for word in words))
        moments = random.Random(random.randrange(1 << 30))
        for number, address in ((signal.SIGTERM, self.client), (signal.SIGINT, self.switch),
                                (signal.SIGTERM, self.switch)):
            time.sleep(moments.random() / 2)
            node = b.nodes.pop(address)
            node.send_signal(number)
            self.assertEqual(node.wait(5), 0, self.words(node))
            b.start(address)
        for number in (signal.SIGTERM, signal.SIGINT):
            time.sleep(moments.random() / 2)
            b.agg.send_signal(number)
            self.assertEqual(b.agg.wait(5), 128 + number, self.words(b.agg))
            self.assertIn("before the run was over", self.words(b.agg))
            b.start_agg()
            until("the aggregator listens", lambda: cairn.listens(self.root))
        b.finish()
        self.assertEqual(len(b.rounds()), 10)

    def test_f17_a_node_in_the_middle_of_a_long_step_ends_all_the_same(self):
        """Training does not hear signals: SIGTERM is obeyed after a grace of 5 s, the second one at once."""
        b = self.lay(train={"step_s": 60}, round={"deadline_s": 120})
        b.start_agg()
        b.wait_for_round(1)
        clients = of_type(self.config, "client")[:2]
        for address in clients:
            until("it trains", lambda: request(address, "GET", "/status").json["state"] == "training")
        began = time.monotonic()
        patient, hurried = (b.nodes.pop(address) for address in clients)
        for node in (patient, hurried):
            node.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.assertIsNone(hurried.poll())
        hurried.send_signal(signal.SIGTERM)
        self.assertEqual(hurried.wait(2), -signal.SIGTERM)
        self.assertEqual(patient.wait(10), -signal.SIGTERM)
        self.assertGreater(time.monotonic() - began, 4)
        b.kill_agg()

    # ---- F22: two of them ----

    def second_agg(self, address, runs):
        path = self.write(self.config, "restart.json")
        return self.cairn("agg", path, "--listen", address, "--data-dir", self.data, "--log-dir",
                          self.path("log"), "--runs-dir", self.path(runs), expect=None)

    def test_f22_a_second_aggregator_is_refused(self):
        b = self.lay()
        b.start_agg()
        b.wait_for_round(1)
        result = self.second_agg(self.net + ".200", "runs")
        self.assertEqual(result.code, 5)
        self.assertIn("is held by aggregator", result.err)
        self.assertIn(self.root, result.err)
        b.finish()
        self.assertEqual(self.fewest(), [4] * ROUNDS)

    def test_f22_an_aggregator_elsewhere_does_not_get_the_nodes(self):
        """Another address, another folder, another experiment: only the nodes can tell that there are two."""
        b = self.lay()
        b.start_agg()
        b.wait_for_round(1)
        other = json.loads(json.dumps(self.config).replace(f'"{self.root}"', f'"{self.net}.200"'))
        other["experiment"] = "other"
        result = self.cairn("agg", self.write(other, "other.json"), "--data-dir", self.data, "--log-dir",
                            self.path("other-log"), "--runs-dir", self.path("other"), expect=None)
        self.assertNotEqual(result.code, 0)
        boot = b.agg_status()["boot"]
        for word in ('experiment "restart"', self.root, boot, 'experiment "other"'):
            self.assertIn(word, result.err)
        result = self.cairn("push", self.write(other, "other.json"), self.client, expect=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn('experiment "restart"', result.out + result.err)
        b.finish()
        self.assertEqual(self.fewest(), [4] * ROUNDS)

    def test_f22_nodes_of_a_dead_aggregator_are_free(self):
        b = self.lay()
        b.start_agg()
        b.wait_for_round(1)
        b.kill_agg()
        other = json.loads(json.dumps(self.config).replace(f'"{self.root}"', f'"{self.net}.200"'))
        other["experiment"] = "other"
        self.finish(self.start_agg(other, "other.json"))

    def test_f22_a_port_in_use(self):
        b = self.lay()
        b.start_agg()
        b.wait_for_round(1)
        result = self.second_agg(self.root, "other")
        self.assertIn(result.code, (4, 5), result.err)
        self.assertIn("in use", result.err)
        self.assertIn(self.root, result.err)
        b.finish()
        self.assertEqual(self.fewest(), [4] * ROUNDS)


if __name__ == "__main__":
    unittest.main()
