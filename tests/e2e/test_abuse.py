# SPDX-License-Identifier: Apache-2.0
"""HTTP that cannot be abused, on the real binary: peers that drip, vanish, lie about lengths or take
every place. The names F6 and so on are rows of one table of faults: slow peers, half-open
connections, lengths, exhausted descriptors and ports."""

import json
import os
import resource
import selectors
import socket
import threading
import time
import unittest

import cairn
from cairn import CLIENT, listens, raw, request, split, until
from faultproxy import proxy_for

SANITIZED = cairn.SANITIZED


def close_waits(address):
    """Sockets of an address whose peer has closed and whose own side has not."""
    host, _ = split(address)
    name = "".join(f"{int(part):02X}" for part in reversed(host.split(".")))
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(1 for row in rows if row[1].startswith(name + ":") and row[3] == "08")


class Drips(threading.Thread):
    """So many connections to one address, half of them with a head that never ends, half with a
    body; each gets a byte a second, and another one takes its place when it is cut off."""

    HEAD = b"GET /status HTTP/1.1\r\nX: "
    BODY = b"POST /config HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n"

    def __init__(self, source, target, n):
        super().__init__(daemon=True)
        self.source, self.target, self.n = source, split(target), n
        self.selector = selectors.DefaultSelector()
        self.open = set()
        self.opened = self.cut = 0
        self.stopping = False

    def add(self):
        s = socket.socket()
        s.bind((self.source, 0))
        try:
            s.connect(self.target)
            s.sendall(self.BODY if self.opened % 2 else self.HEAD)
            s.setblocking(False)
        except OSError:  # turned away at once
            s.close()
            return
        self.opened += 1
        self.open.add(s)
        self.selector.register(s, selectors.EVENT_READ)

    def drop(self, s):
        self.cut += 1
        self.open.discard(s)
        self.selector.unregister(s)
        s.close()

    def run(self):
        next_byte = next_fill = time.monotonic()
        while not self.stopping:
            if self.opened < self.n or time.monotonic() > next_fill:
                next_fill = time.monotonic() + 0.05  # later on, 400 a second
                for _ in range(min(20, self.n - len(self.open))):
                    self.add()
            for key, _ in self.selector.select(0.05):
                self.drop(key.fileobj)  # an answer, an end or a reset
            if time.monotonic() > next_byte:
                next_byte += 1
                for s in list(self.open):
                    try:
                        s.send(b"x")
                    except OSError:
                        self.drop(s)
        for s in list(self.open):
            s.close()

    def stop(self):
        self.stopping = True
        self.join()


class F6SlowPeers(cairn.CairnCase):
    SOCKETS = 1000

    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 4 * self.SOCKETS
        if hard != resource.RLIM_INFINITY and hard < wanted:
            self.skipTest(f"ulimit -Hn is {hard}, {wanted} descriptors are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        cairn.make_data(self.data)
        self.config = cairn.make_config(self.net, [[CLIENT] * 3],
                                        rounds=100 if SANITIZED else 300)
        self.switch = list(self.config["others"])[0]

    def timed_run(self):
        start = time.monotonic()
        document = self.finish(self.start_agg(self.config))
        return time.monotonic() - start, document["model_digest"]

    def test_f6_dripping_sockets_beside_a_run(self):
        self.start_nodes(self.config)
        quiet = [self.timed_run() for _ in range(2)]
        drips = Drips(f"{self.net}.240", self.switch, self.SOCKETS)
        drips.start()
        try:
            until("the first were cut off", lambda: drips.cut > 0, 15)
            most = len(drips.open)
            loud = [self.timed_run() for _ in range(2)]
            until("they are cut off again and again", lambda: drips.cut > self.SOCKETS, 30)
            self.assertTrue(request(self.switch, "GET", "/healthz").status == 200)
        finally:
            drips.stop()
        quiet_s, loud_s = min(t for t, _ in quiet), min(t for t, _ in loud)
        print(f"\na run takes {quiet_s:.2f} s, beside {most} dripping connections {loud_s:.2f} s; "
              f"{drips.opened} were opened, {drips.cut} cut off")
        self.assertEqual(len({digest for _, digest in quiet + loud}), 1)
        self.assertGreater(most, 500)
        if not SANITIZED:
            self.assertLess(loud_s, 2 * quiet_s)
        until("none of them is left half closed", lambda: close_waits(self.switch) == 0, 15)


class F7HalfOpen(cairn.CairnCase):
    def test_f7_uploads_that_stop_are_sent_again(self):
        """A client's bytes stop half-way, as they would behind a cable that was pulled; the switch
        frees the place, the client sends again, and the model is that of an undisturbed run. At the
        same time somebody has sent half a body and gone."""
        cairn.make_data(self.data)
        config = cairn.make_config(self.net, [[CLIENT] * 3], rounds=2)
        root, switch = config["aggregator"]["ip"], list(config["others"])[0]
        expected = self.run_config(config, name="quiet.json")["model_digest"]
        proxy = proxy_for(self, switch)
        self.start_node(f"{split(switch)[0]}:5001", "--advertise", f"{split(switch)[0]}:5000")
        until("the switch listens", lambda: listens(switch))
        for address in list(config["others"])[1:]:
            self.start_node(address)
            until(f"{address} listens", lambda: listens(address))
        proxy.say("only /s/receive", "stall up 100 once")
        with socket.create_connection((split(switch)[0], 5001)) as gone:
            gone.sendall(b"POST /config HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\nhalf")
        start = time.monotonic()
        document = self.finish(self.start_agg(config))
        took = time.monotonic() - start
        print(f"\na stalled upload cost {took:.1f} s")
        self.assertEqual(document["model_digest"], expected)
        self.assertEqual(proxy.stats()["stall"], 1)
        self.assertLess(took, 30)
        until("nothing is half closed", lambda: close_waits(switch) == 0, 15)
        self.assertIsNotNone(root)


class F15Lengths(cairn.CairnCase):
    """What test_http.py asks of one route of a running federation, here of every route of every role,
    with and without Expect: the answer has to come before the body, whatever the length says."""

    def test_f15_no_refusal_costs_an_upload(self):
        cairn.make_data(self.data)
        config = cairn.make_config(self.net, [[CLIENT] * 3], rounds=1,
                                   server={"autostart": False})
        nodes = self.start_nodes(config)
        agg = self.start_agg(config)
        root = config["aggregator"]["ip"]
        self.wait_until_ready(root)
        switch, client = list(config["others"])[:2]
        no_number = b"Content-Length: 0x3\r\n"
        huge = b"Content-Length: 9000000000000000\r\n"
        for address, path in ((root, "/a/receive"), (switch, "/s/receive"), (switch, "/s/model"),
                              (client, "/c/model"), (client, "/config"), (client, "/nonsense")):
            unknown = path == "/nonsense"
            for lengths, statuses in (
                (huge, (404,) if unknown else (413,)),
                (huge + huge, (400,)),
                (b"Content-Length: 3\r\nContent-Length: 3\r\n", (400,)),
                (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", (400,)),
                (b"Transfer-Encoding: chunked\r\n", (411,)),
                (b"", (411,)),
                (no_number, (400,)),
            ):
                for expect in (b"", b"Expect: 100-continue\r\n"):
                    head = b"POST %s HTTP/1.1\r\nHost: h\r\n%s%s\r\n" % (
                        path.encode(), lengths, expect)
                    start = time.monotonic()
                    answer = raw(address, head)  # not one byte of a body
                    with self.subTest(address=address, path=path, head=head):
                        self.assertIn(answer.status, statuses, answer.body)
                        self.assertLess(time.monotonic() - start, 1)
                        if lengths != no_number:  # the library answers this one by itself
                            self.assertIn("hint", answer.json)
        self.assertEqual(request(root, "POST", "/a/train", b"").status, 200)
        self.finish(agg)
        for address, node in nodes.items():
            self.assertIsNone(node.poll(), address)


class F24Exhaustion(cairn.CairnCase):
    def limited(self, descriptors):
        """Processes that are started from now on may open so many."""
        original = getattr(self, "original", cairn.BIN)
        self.original = original
        wrapper = self.path("cairn-limited")
        with open(wrapper, "w") as file:
            file.write(f'#!/bin/sh\nexec prlimit --nofile={descriptors}: "{original}" "$@"\n')
        os.chmod(wrapper, 0o755)
        cairn.BIN = wrapper
        self.addCleanup(setattr, cairn, "BIN", original)

    def open_many(self, address, n):
        """From addresses of their own, so that only the number in all counts."""
        held = []
        for i in range(n):
            s = socket.socket()
            s.bind((f"{self.net}.{100 + i}", 0))
            s.settimeout(5)
            s.connect(split(address))
            held.append(s)
        return held

    def answers(self, address):
        try:
            return request(address, "GET", "/healthz", timeout=1).status == 200
        except OSError:
            return False

    def test_f24_32_descriptors(self):
        """A node serves as long as there are places, lets the rest wait, and recovers."""
        cairn.make_data(self.data)
        config = cairn.make_config(self.net, [[CLIENT] * 3], rounds=2)
        expected = self.run_config(config, name="quiet.json")["model_digest"]
        self.limited(32)
        nodes = self.start_nodes(config)
        switch = list(config["others"])[0]
        self.assertTrue(self.answers(switch))
        held = self.open_many(switch, 60)
        time.sleep(0.3)
        self.assertFalse(self.answers(switch))  # more than it has places
        for s in held:
            s.close()
        until("it answers again", lambda: self.answers(switch), 10)
        self.assertEqual(self.finish(self.start_agg(config))["model_digest"], expected)
        for address, node in nodes.items():
            self.assertIsNone(node.poll(), f"{address}: {self.words(node)}")

    def test_f24_hardly_any_descriptors(self):
        """Too few to start: a documented exit code and a sentence, never a crash or a node that
        listens and cannot answer."""
        started = 0
        for descriptors in range(5, 21):
            self.limited(descriptors)
            address = f"{self.net}.{descriptors}"
            node = self.start_node(address)
            until("it listens or ends", lambda: node.poll() is not None or listens(address))
            if node.poll() is None:
                started += 1
                until("it answers", lambda: self.answers(address), 5)
                continue
            words = self.words(node)
            if node.returncode == 127 or "cannot open shared object" in words:
                continue  # the dynamic linker gave up
            self.assertEqual(node.returncode, 4, f"{descriptors}: {words}")
            self.assertIn("ulimit -n", words)
        self.assertGreater(started, 0)

    def test_f24_port_in_use(self):
        address = f"{self.net}.2"
        with socket.create_server((address, 5000)):
            result = self.cairn("node", "--listen", address, "--json", expect=4)
        document = json.loads(result.out)
        self.assertIn(f"{address}:5000", document["error"])
        self.assertIn("another process listens there", document["hint"])
        self.assertIn("--port", document["hint"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
