# SPDX-License-Identifier: Apache-2.0
"""Bad requests against a living federation: each gets its status and a sentence, the processes
live, nothing enters the sum: the run completes, and its model is that of an undisturbed one."""

import os
import random
import signal
import socket

import cairn
from cairn import batch_bytes, frame_bytes, raw, request, until

TREE = [[cairn.CLIENT] * 3]


class Bad(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)
        self.config = cairn.make_config(self.net, TREE, rounds=3, server={"autostart": False})
        self.root = self.config["aggregator"]["ip"]
        self.switch, *self.clients = self.config["others"]

    def undisturbed(self):
        """The digest that the run must have; from a run before the nodes of the test are up."""
        config = dict(self.config, server={"autostart": True})
        return self.run_config(config, name="quiet.json")["model_digest"]

    def begin(self):
        self.expected = self.undisturbed()
        self.nodes = self.start_nodes(self.config)
        self.agg = self.start_agg(self.config)
        self.wait_until_ready(self.root)

    def end(self):
        digest = self.finish(self.agg)["model_digest"]
        self.assertEqual(digest, self.expected)
        for address, node in self.nodes.items():
            self.assertIsNone(node.poll(), f"{address} has ended: {self.words(node)}")

    def open_round(self):
        """Start, with one client held up, so that round 1 stays open at the switch."""
        self.held = self.nodes[self.clients[0]]
        self.held.send_signal(signal.SIGSTOP)
        self.assertEqual(request(self.root, "POST", "/a/train", b"").status, 200)
        until("the others have delivered", lambda: all(
            request(c, "GET", "/status").json["state"] == "sent" for c in self.clients[1:]))
        session = request(self.clients[1], "GET", "/config").json["session"]
        self.experiment = bytes.fromhex(session["id"])
        switch = request(self.switch, "GET", "/config").json["session"]
        self.streams = [stream["origin"] for stream in switch["streams"]]

    def post(self, address, path, body):
        return request(address, "POST", path, body,
                       {"Content-Type": "application/octet-stream"})

    def test_before_a_config(self):
        address = self.clients[0]
        node = self.start_node(address)
        until("it listens", lambda: cairn.listens(address))
        for path in ("/c/model", "/s/receive", "/a/receive", "/s/model"):
            self.assert_problem(self.post(address, path, b"x" * 100), 425)
        for path in ("/log", "/config"):
            self.assert_problem(request(address, "GET", path), 425)
        self.assert_problem(request(address, "GET", "/nonsense"), 404)
        self.assertEqual(request(address, "GET", "/healthz").status, 200)
        self.assertEqual(request(address, "GET", "/status").json["role"], "none")
        self.assertIsNone(node.poll())

    def test_bad_configs_posted(self):
        address = self.clients[0]
        node = self.start_node(address)
        until("it listens", lambda: cairn.listens(address))
        for body in (b"", b"{", b"not json", b"\xff\xff", b"{}{}", b'{"a":1,"a":2}', b"[" * 5000):
            self.assert_problem(self.post(address, "/config", body), 400)
        for body in (b"{}", b"[]", b'{"type": "client"}', b'{"type": "emperor"}'):
            answer = self.post(address, "/config", body)
            self.assertIn(answer.status, (400, 422), body)
            self.assert_problem(answer, answer.status)
        self.assertEqual(request(address, "GET", "/status").json["role"], "none")
        self.assertIsNone(node.poll())

    def test_wrong_routes_and_contents(self):
        self.begin()
        client = self.clients[0]
        for address, path in (
            (client, "/s/receive"), (client, "/a/receive"), (client, "/s/model"),
            (self.switch, "/c/model"), (self.switch, "/a/receive"), (self.switch, "/a/train"),
            (self.root, "/s/receive"), (self.root, "/c/model"), (client, "/nonsense"),
            (client, "/c/model/../../etc/passwd"), (client, "/" + "x" * 2000),
        ):
            self.assert_problem(self.post(address, path, b"x" * 10), 404)
        self.assert_problem(self.post(client, "/c/model%00", b"x"), 400)
        for method in ("PUT", "DELETE", "PATCH"):
            answer = request(client, method, "/c/model", b"x")
            self.assertIn(answer.status, (404, 405))
        for address, path in ((client, "/c/model"), (self.switch, "/s/model"),
                              (self.switch, "/s/receive"), (self.root, "/a/receive")):
            for body in (b"", b"x", b"CRNM" + bytes(200), b"CRNB" + bytes(200), b"{}",
                         random.Random(3).randbytes(900)):
                answer = self.post(address, path, body)
                self.assertIn(answer.status, (400, 422), (path, body[:10]))
                self.assert_problem(answer, answer.status)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n"
            self.assert_problem(raw(address, head.encode()), 413)  # refused before it is sent
        answer = self.post(self.root, "/config", b"{}")
        self.assertIn(answer.status, (400, 422))
        self.assertEqual(request(self.root, "POST", "/a/train", b"").status, 200)
        self.end()

    def test_raw_requests(self):
        self.begin()
        client, switch = self.clients[0], self.switch
        post = b"POST /s/receive HTTP/1.1\r\nHost: x\r\n"
        for text, statuses in (
            (post + b"\r\n", (411, 400)),
            (post + b"Content-Length: -1\r\n\r\n", (400, 0)),
            (post + b"Content-Length: 18446744073709551616\r\n\r\n", (400, 413, 0)),
            (post + b"Content-Length: 99999999999\r\n\r\n", (413, 400)),
            (post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx", (400, 0)),
            (post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
             (400, 411, 0)),
            (post + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", (400, 411, 0)),
            (post + b"Transfer-Encoding: chunked\r\n\r\n80000000\r\n", (400, 411, 0)),
            (b"nonsense\r\n\r\n", (400, 0)),
            (b"GET / HTTP/9.9\r\n\r\n", (400, 404, 505, 0)),
            (b"\r\n\r\n\r\n", (400, 0)),
            (b"\x16\x03\x01\x02\x00\x01\x00" + bytes(50), (400, 0)),  # somebody speaks TLS
        ):
            with self.subTest(text=text):
                try:
                    answer = raw(switch, text, timeout=3)
                except (TimeoutError, OSError):
                    continue  # it waits for the rest of something that looks unfinished
                self.assertIn(answer.status, statuses)
        # a body that ends too early: the sender goes away, the node does not
        with socket.create_connection(cairn.split(switch)) as s:
            s.sendall(post + b"Content-Length: 5000\r\n\r\nonly this")
        # a file name in an upload is nobody's business
        form = (b'--x\r\nContent-Disposition: form-data; name="f"; filename="../../evil"\r\n\r\n'
                b"evil\r\n--x--\r\n")
        answer = request(switch, "POST", "/s/receive", form,
                         {"Content-Type": "multipart/form-data; boundary=x"})
        self.assertIn(answer.status, (400, 422))
        for folder, _, files in os.walk(os.path.dirname(self.folder)):
            if folder.count(os.sep) > 3:
                continue
            self.assertNotIn("evil", files)
        self.assertEqual(request(client, "GET", "/healthz").status, 200)
        self.assertEqual(request(self.root, "POST", "/a/train", b"").status, 200)
        self.end()

    def test_frames_that_do_not_belong(self):
        self.begin()
        self.open_round()
        held, other = self.streams[0], self.streams[1]
        payload = bytes(64)

        def frame(index=0, experiment=self.experiment, round_=1, members=b"\x01", content=payload):
            return frame_bytes(experiment, round_, index, 1, 100, 0, content, members)

        def batch(origin, frames, first=0, experiment=self.experiment, round_=1):
            return batch_bytes(experiment, round_, origin, first, frames)

        post = lambda body: self.post(self.switch, "/s/receive", body)

        stranger = bytes(16)
        self.assert_problem(
            post(batch(held, [frame(experiment=stranger)], experiment=stranger)), 404)
        self.assert_problem(post(batch(9999, [frame()])), 404)
        late = post(batch(held, [frame(round_=0)], round_=0))
        self.assertIn(late.status, (400, 410))
        early = post(batch(held, [frame(round_=2)], round_=2))
        self.assertIn(early.status, (410, 503))
        self.assert_problem(early, early.status)

        answer = post(batch(held, [frame(index=5)], first=5))
        self.assert_problem(answer, 409)
        self.assertEqual(answer.json["next"], 0)
        # a client that has delivered everything delivers again
        answer = post(batch(other, [frame()]))
        self.assert_problem(answer, 409)
        self.assertEqual(answer.json["next"], 1)

        good = frame()
        for at in (0, 5, 40, len(good) - 1):  # in the header, the payload, the digest
            bad = bytearray(good)
            bad[at] ^= 1
            answer = post(batch(held, [bytes(bad)]))
            self.assertIn(answer.status, (400, 409, 422))
            self.assert_problem(answer, answer.status)
        bad = bytearray(good)
        bad[-1] ^= 1
        self.assert_problem(post(batch(held, [bytes(bad)])), 422)

        self.assert_problem(post(batch(held, [frame()])), 422)  # wrong set and length of payload
        self.assert_problem(post(batch(held, [frame()])[:-3]), 400)
        self.assert_problem(post(batch(held, [frame()]) + b"more"), 400)
        self.assert_problem(post(batch(held, [])), 400)

        self.held.send_signal(signal.SIGCONT)
        self.end()

    def test_round_that_is_over(self):
        self.config["aggregator"]["iteration"] = 40
        self.begin()
        self.open_round()
        body = batch_bytes(self.experiment, 1, self.streams[0], 0,
                           [frame_bytes(self.experiment, 1, 0, 1, 100, 0, bytes(64), b"\x01")])
        self.held.send_signal(signal.SIGCONT)
        until("round 1 is over", lambda: request(self.switch, "GET", "/status").json["round"] > 1)
        answer = self.post(self.switch, "/s/receive", body)
        self.assert_problem(answer, 410)
        self.assertGreater(answer.json["round"], 1)
        self.end()


if __name__ == "__main__":
    cairn.main()
