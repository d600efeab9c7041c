# SPDX-License-Identifier: Apache-2.0
"""What is on the wire. Every node is behind a TCP proxy of this test that keeps all bytes.

A plain run shows what must not be seen: the quantised values of each client's update. The same run
again, encrypted, with the same seed, so with the same updates, must not contain them. And what the
aggregator sends must consist of nothing but what it is known to send, so that there is no room for
a secret key.
"""

import json
import re
import socket
import struct
import threading

import cairn
from cairn import until

PROXY_PORT, NODE_PORT = 5000, 6000
TREE = [[cairn.CLIENT] * 3]


class Proxy:
    """Listens on address:5000, passes everything to address:6000 and keeps it."""

    def __init__(self, address):
        self.address = address
        self.lock = threading.Lock()
        self.streams = []  # one bytearray for each direction of each connection
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind((address, PROXY_PORT))
        self.server.listen(64)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                left, _ = self.server.accept()
            except OSError:
                return
            try:
                right = socket.create_connection((self.address, NODE_PORT))
            except OSError:
                left.close()
                continue
            threading.Thread(target=self.connect, args=(left, right), daemon=True).start()

    def connect(self, left, right):
        with left, right:
            back = threading.Thread(target=self.copy, args=(right, left))
            back.start()
            self.copy(left, right)
            back.join()

    def copy(self, a, b):
        kept = bytearray()
        with self.lock:
            self.streams.append(kept)
        try:
            while more := a.recv(65536):
                kept += more
                b.sendall(more)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.thread.join()
        self.server.close()

    def captured(self):
        with self.lock:
            return [bytes(s) for s in self.streams]


def bodies(stream, path):
    """Bodies of the requests to a path in one direction of a connection."""
    found = []
    for match in re.finditer(rb"POST (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", stream, re.S):
        length = re.search(rb"content-length: *(\d+)", match[2], re.I)
        body = stream[match.end() : match.end() + int(length[1])]
        if match[1].partition(b"?")[0] == path:
            found.append(body)
    return found


def windows(values, code, n):
    """Runs of n values that are no accident: several differ, and none is 0 as headers have it."""
    found = set()
    for i in range(0, len(values) - n, n):
        run = values[i : i + n]
        if len(set(run)) >= max(3, n // 2) and 0 not in run:
            found.add(struct.pack(f"<{n}{code}", *run))
    return found


def forms_of(updates):
    """The quantised updates as fields of 32, 16 and 64 bits and as floats."""
    needles = set()
    for values in updates:
        needles |= windows(values, "i", 4) | windows(values, "q", 3)
        needles |= windows(values, "h", 8) | windows([float(v) for v in values], "f", 4)
    return needles


def count(needles, captured):
    everything = b"\0".join(s for streams in captured.values() for s in streams)
    return sum(needle in everything for needle in needles)


class Capture(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        cairn.make_data(self.data)
        self.config = cairn.make_config(self.net, TREE, rounds=2)
        self.addresses = [self.config["aggregator"]["ip"], *self.config["others"]]

    def capture(self, profile, **encryption):
        proxies = {a: Proxy(a) for a in self.addresses}
        config = dict(self.config, encryption=dict(encryption, profile=profile))
        for address in config["others"]:
            self.start("node", "--listen", address, "--port", str(NODE_PORT), "--advertise",
                       f"{address}:{PROXY_PORT}", "--data-dir", self.data, "--log-dir",
                       self.path("log"))
            until("it listens", lambda: cairn.listens(f"{address}:{NODE_PORT}"))
        document = self.finish(self.start_agg(config, f"{profile}.json", "--port", str(NODE_PORT)))
        self.stop_nodes()
        self.started.clear()
        for proxy in proxies.values():
            proxy.close()
        return document, {a: p.captured() for a, p in proxies.items()}

    def uploads(self, captured):
        """Batches, by the address that they were posted to."""
        return {
            address: [b for stream in streams for path in (b"/s/receive", b"/a/receive")
                      for b in bodies(stream, path)]
            for address, streams in captured.items()
        }

    def test_nothing_readable_goes_up(self):
        plain, plain_bytes = self.capture("none")
        switch = self.addresses[1]
        batches = [b for b in self.uploads(plain_bytes)[switch] if len(b) > 80]
        self.assertEqual(len(batches), 6)  # 3 clients, 2 rounds

        updates = [self.values(batch) for batch in batches]
        needles = forms_of(updates)
        steps = self.steps(plain_bytes)
        for values, step in zip(updates, steps):
            needles |= windows([v * step for v in values], "f", 4)
        self.assertGreater(len(needles), 200)
        self.assertGreater(count(needles, plain_bytes), 100)  # it finds them where they are
        for profile in ("capsule", "bfv"):
            document, captured = self.capture(profile)
            self.assertEqual(document["model_digest"], plain["model_digest"])
            self.assertEqual(count(needles, captured), 0, profile)
            self.check_randomness(captured)
            self.check_what_the_aggregator_sends(captured)

    def test_what_encryption_only_names_cannot_be_read(self):
        plain, plain_bytes = self.capture("none", only=["layer2.*"])
        switch = self.addresses[1]
        before = [self.values(b) for b in self.uploads(plain_bytes)[switch] if len(b) > 80]
        document, captured = self.capture("capsule", only=["layer2.*"])
        self.assertEqual(document["model_digest"], plain["model_digest"])
        in_plain = document["params_in_plain"]
        self.assertGreater(in_plain, 900)
        self.assertLess(in_plain, 1810 - 100)
        secret = forms_of([values[:-in_plain] for values in before])
        self.assertGreater(count(secret, plain_bytes), 10)
        self.assertEqual(count(secret, captured), 0)
        # the rest is there as it is: as few bits as a sum of 3 values of 16 bits needs
        after = [self.second_frame(b, 18) for b in self.uploads(captured)[switch] if len(b) > 80]
        self.assertCountEqual([v[:in_plain] for v in after], [v[-in_plain:] for v in before])

    def values(self, batch):
        """What a batch of one frame in plain holds."""
        length = struct.unpack_from("<I", batch, 80 + 20)[0]
        values = struct.unpack(f"<{length // 4}i", batch[112 : 112 + length])
        self.assertGreater(len(set(values)), 20)
        return values

    def second_frame(self, batch, bits):
        """The fields of the second of a batch's two frames, as signed numbers."""
        at = 80
        for _ in range(2):
            payload, extensions = struct.unpack_from("<II", batch, at + 20)
            begin, at = at + 32, at + 32 + payload + extensions + 16
        self.assertEqual(at, len(batch))
        packed = int.from_bytes(batch[begin : begin + payload], "little")
        fields = [packed >> bits * i & (1 << bits) - 1 for i in range(payload * 8 // bits)]
        return tuple(f - (f >> bits - 1 << bits) for f in fields)

    def steps(self, captured):
        """Quantiser steps of the model messages, one a round; the first tensor's serves."""
        found = []
        for stream in captured[self.addresses[1]]:
            for body in bodies(stream, b"/s/model"):
                found.append(struct.unpack_from("<d", body, 96)[0])
        return found

    def check_randomness(self, captured):
        """Encrypted payloads look like noise: no byte is much more frequent than another."""
        for body in self.uploads(captured)[self.addresses[1]]:
            payload = body[200:-200]
            counts = [payload.count(bytes([v])) for v in range(256)]
            mean = len(payload) / 256
            # 8 standard deviations of a Poisson count
            self.assertLess(max(counts), mean + 8 * mean**0.5 + 8)

    def check_what_the_aggregator_sends(self, captured):
        """Configs, whose members are all known, and model messages of exactly the known size."""
        params = 1810
        for address in self.addresses[1:]:
            for stream in captured[address]:
                for body in bodies(stream, b"/config"):
                    self.check_config_document(json.loads(body))
                for path in (b"/s/model", b"/c/model"):
                    for body in bodies(stream, path):
                        self.assertEqual(len(body), 96 + 4 * 8 + 4 * params + 16)
        # a ternary key in bytes, words or longs: a long run of 0, 1 and -1 with all three in it
        for streams in captured.values():
            for stream in streams:
                for pattern in (
                    rb"[\x00\x01\xff]{48,}",
                    rb"(?:\x00\x00\x00\x00|\x01\x00\x00\x00|\xff\xff\xff\xff){24,}",
                    rb"(?:\x00{8}|\x01\x00{7}|\xff{8}){16,}",
                ):
                    for match in re.finditer(pattern, stream):
                        run = match[0]
                        self.assertFalse(b"\x01" in run and b"\xff" in run, run[:64])

    def check_config_document(self, document):
        session = document["session"]
        self.assertLessEqual(
            set(session),
            {"id", "nonce", "node", "iterations", "n_clients", "parent", "parent_type", "children",
             "streams", "clients", "public_key", "n_params", "n_tensors", "n_words", "n_plain",
             "aggregator", "tensors",
             "grace_s"},
        )
        self.assertLessEqual(set(session["clients"]), {0, 1, 2})  # indices, nothing else
        self.assertEqual(session["tensors"], [])  # this trainer knows its own model
        self.assertIn(session["aggregator"].split(":")[0], [a.split(":")[0] for a in self.addresses])
        # there is no grace: no room in it, either
        self.assertEqual(session["grace_s"], 0)
        # header, seed and 2048 coefficients of 50 bits, digest: no room for a second polynomial
        import base64
        self.assertLess(len(base64.b64decode(session["public_key"])), 2048 * 50 // 8 + 256)


if __name__ == "__main__":
    cairn.main()
