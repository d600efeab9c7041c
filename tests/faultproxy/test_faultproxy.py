# SPDX-License-Identifier: Apache-2.0
"""Each fault of the proxy, seen from both ends: a target of this test behind it, plain sockets in front."""

import os
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import faultproxy  # noqa: E402
from faultproxy import FaultProxy  # noqa: E402

NET = f"127.{200 + os.getpid() % 40}.{1 + os.getpid() // 40 % 250}"
CLOSED, RESET, OPEN = "closed", "reset", "open"


def read(s, wanted=None, seconds=5):
    """What comes, until `wanted` bytes are there, and how it ended: CLOSED, RESET, or still OPEN."""
    got = b""
    end = time.monotonic() + seconds
    while wanted is None or len(got) < wanted:
        s.settimeout(max(0.001, end - time.monotonic()))
        try:
            more = s.recv(65536 if wanted is None else wanted - len(got))
        except socket.timeout:
            return got, OPEN
        except ConnectionResetError:
            return got, RESET
        if not more:
            return got, CLOSED
        got += more
    return got, OPEN


class Case(unittest.TestCase):
    def setUp(self):
        self.server = socket.create_server((f"{NET}.1", 0))
        self.server.settimeout(5)
        self.addCleanup(self.server.close)
        self.target = "%s:%d" % self.server.getsockname()
        self.proxy = FaultProxy(f"{NET}.2:0", self.target)
        self.addCleanup(self.stop)

    def stop(self):
        self.assertEqual(self.proxy.stop(), 0)

    def connect(self):
        """Both ends of a connection through the proxy."""
        host, port = self.proxy.address.split(":")
        client = socket.create_connection((host, int(port)), timeout=5)
        self.addCleanup(client.close)
        target, _ = self.server.accept()
        self.addCleanup(target.close)
        return client, target

    def pair(self, direction):
        """The end that sends in a direction, and the one that receives."""
        client, target = self.connect()
        return (client, target) if direction == "up" else (target, client)


class Plain(Case):
    def test_passes_bytes_and_ends(self):
        for direction in ("up", "down"):
            sender, receiver = self.pair(direction)
            content = os.urandom(3_000_000)
            thread = threading.Thread(target=sender.sendall, args=(content,))
            thread.start()
            got, how = read(receiver, len(content))
            thread.join()
            self.assertEqual((got == content, how), (True, OPEN))
            sender.shutdown(socket.SHUT_WR)  # the other direction stays open
            self.assertEqual(read(receiver), (b"", CLOSED))
            receiver.sendall(b"answer")
            self.assertEqual(read(sender, 6), (b"answer", OPEN))
            receiver.close()
            self.assertEqual(read(sender), (b"", CLOSED))
        stats = self.proxy.stats()
        self.assertEqual((stats["connections"], stats["up"], stats["down"]),
                         (2, 3_000_006, 3_000_006))
        self.assertEqual(stats["open"], 0)

    def test_passes_a_reset_on(self):
        sender, receiver = self.pair("up")
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sender.close()
        self.assertEqual(read(receiver), (b"", RESET))

    def test_target_that_is_not_there(self):
        self.server.close()
        host, port = self.proxy.address.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5) as client:
                self.assertEqual(read(client), (b"", RESET))
        except ConnectionResetError:
            pass  # so soon that connect() itself has heard of it
        self.assertEqual(self.proxy.stats()["unreachable"], 1)

    def test_many_connections(self):
        pairs = [self.connect() for _ in range(200)]
        for i, (client, target) in enumerate(pairs):
            client.sendall(b"%d" % i)
        for i, (client, target) in enumerate(pairs):
            self.assertEqual(read(target, len(str(i)))[0], b"%d" % i)

    def test_idle_costs_nothing(self):
        """Nor do connections that are stalled, half open or closed on one side spin."""
        self.proxy.say("stall up 1 once")
        stalled, _ = self.connect()
        stalled.sendall(b"xx")
        stalled.close()
        self.proxy.say("halfopen up 1 once")
        half, other = self.connect()
        half.sendall(b"xx")
        half.close()
        other.close()
        quiet, _ = self.connect()
        quiet.shutdown(socket.SHUT_WR)

        def ticks():
            with open(f"/proc/{self.proxy.process.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        time.sleep(0.1)
        before = ticks()
        time.sleep(0.5)
        self.assertLessEqual(ticks() - before, 1)


class Faults(Case):
    def test_delay(self):
        for direction in ("up", "down"):
            sender, receiver = self.pair(direction)
            self.proxy.say("pass", f"delay {direction} 200")
            start = time.monotonic()
            sender.sendall(b"a")
            receiver.sendall(b"b")
            self.assertEqual(read(sender, 1), (b"b", OPEN))
            self.assertLess(time.monotonic() - start, 0.15)
            self.assertEqual(read(receiver, 1), (b"a", OPEN))
            self.assertGreater(time.monotonic() - start, 0.199)
            self.assertLess(time.monotonic() - start, 0.5)

    def test_rate(self):
        for direction in ("up", "down"):
            senders, receivers = zip(self.pair(direction), self.pair(direction))
            self.proxy.say("pass", f"rate {direction} 100000")
            start = time.monotonic()
            for sender in senders:  # they share it
                sender.sendall(bytes(20000))
            for receiver in receivers:
                self.assertEqual(len(read(receiver, 20000)[0]), 20000)
            took = time.monotonic() - start
            self.assertGreater(took, 0.37)  # 40000 bytes, of which 2000 go at once
            self.assertLess(took, 0.8)

    def test_cut(self):
        for direction in ("up", "down"):
            self.proxy.say("pass", f"cut {direction} 1000")
            for _ in range(2):
                sender, receiver = self.pair(direction)
                sender.sendall(bytes(1000))
                self.assertEqual(read(receiver), (bytes(1000), CLOSED))
                self.assertEqual(read(sender), (b"", CLOSED))
        self.assertEqual(self.proxy.stats()["cut"], 4)

    def test_cut_once(self):
        sender, receiver = self.pair("up")
        sender.sendall(bytes(300))
        self.assertEqual(len(read(receiver, 300)[0]), 300)
        self.proxy.say("cut up 500 once")  # counts from now on
        sender.sendall(bytes(400))
        self.assertEqual(len(read(receiver, 400)[0]), 400)
        sender.sendall(bytes(400))
        self.assertEqual(len(read(receiver)[0]), 100)
        sender, receiver = self.pair("up")
        sender.sendall(bytes(2000))
        self.assertEqual(read(receiver, 2000), (bytes(2000), OPEN))

    def test_reset(self):
        for direction in ("up", "down"):
            self.proxy.say("pass", f"reset {direction} 1000")
            sender, receiver = self.pair(direction)
            sender.sendall(bytes(1000))
            self.assertEqual(read(receiver)[1], RESET)
            self.assertEqual(read(sender), (b"", RESET))

    def test_flip(self):
        for direction in ("up", "down"):
            sender, receiver = self.pair(direction)
            self.proxy.say("pass", f"flip {direction} 7 0x81")
            for part in (b"\xff" * 5, b"\xff" * 3, b"\xff" * 2):  # it is the last of its part
                sender.sendall(part)
                time.sleep(0.05)
            self.assertEqual(read(receiver, 10)[0], b"\xff" * 7 + b"\x7e" + b"\xff" * 2)
        self.assertEqual(self.proxy.stats()["flip"], 2)

    def test_stall(self):
        for direction in ("up", "down"):
            sender, receiver = self.pair(direction)
            self.proxy.say("pass", f"stall {direction} 10")
            sender.sendall(b"0123456789abcdef")
            self.assertEqual(read(receiver, 16, 0.2), (b"0123456789", OPEN))
            receiver.sendall(b"the other way")
            self.assertEqual(read(sender, 13), (b"the other way", OPEN))
            sender.settimeout(0.2)
            with self.assertRaises(socket.timeout):  # nobody reads
                sender.sendall(bytes(30_000_000))
            self.proxy.say("pass")
            self.assertEqual(read(receiver, 6)[0], b"abcdef")
        self.assertEqual(self.proxy.stats()["stall"], 2)  # and not once more for all that followed

    def test_halfopen(self):
        for direction in ("up", "down"):
            sender, receiver = self.pair(direction)
            self.proxy.say("pass", f"halfopen {direction} 10")
            sender.settimeout(5)
            sender.sendall(bytes(5_000_000))  # all is taken
            self.assertEqual(read(receiver, 16, 0.2), (bytes(10), OPEN))
            receiver.sendall(b"x")
            self.assertEqual(read(sender, 1, 0.2), (b"", OPEN))
            sender.shutdown(socket.SHUT_RDWR)
            self.assertEqual(read(receiver, 1, 0.2), (b"", OPEN))  # it does not hear of it
            self.proxy.say("pass")
            self.assertEqual(read(receiver), (b"", RESET))

    def test_refuse(self):
        client, target = self.connect()
        self.proxy.say("refuse")
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        client.sendall(b"x")  # who is in stays in
        self.assertEqual(read(target, 1)[0], b"x")
        self.proxy.say("drop")
        self.assertEqual(read(client), (b"", RESET))
        self.assertEqual(read(target), (b"", RESET))
        self.proxy.say("pass")
        self.connect()


def post(path, body):
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path, len(body), body)


class Http(Case):
    def test_only(self):
        """Bytes are counted behind the heads of the requests that are meant."""
        self.proxy.say("only /s/receive", "cut up 100 once")
        client, target = self.connect()
        others = post(b"/s/model", bytes(500)) + b"GET /log HTTP/1.1\r\nHost: x\r\n\r\n"
        wanted = post(b"/s/receive?x", bytes(500))
        head = wanted[:-500]
        client.sendall(others + wanted[:-300])
        self.assertEqual(read(target), (others + head + bytes(100), CLOSED))

    def test_only_tells_when_bodies_came_and_left(self):
        client, target = self.connect()
        self.proxy.say("only /b", "rate up 100000")
        self.assertEqual(self.proxy.stats()["only"]["bytes"], 0)
        head = b"POST %s HTTP/1.1\r\nContent-Length: 20000\r\n\r\n"
        before = time.monotonic()
        client.sendall((head % b"/a") + bytes(20000) + (head % b"/b") + bytes(20000))
        got, _ = read(target, 2 * len(head % b"/a") + 40000)
        after = time.monotonic()
        only = self.proxy.stats()["only"]
        self.assertEqual(only["bytes"], 20000)
        self.assertGreaterEqual(only["first_s"], before - 1e-6)
        self.assertLessEqual(only["last_s"], after + 0.01)
        # it came in with what was before it, and left at 100,000 bytes a second behind it
        self.assertGreater(only["last_s"] - only["first_s"], 0.3)

    def test_only_counts_each_request_anew(self):
        self.proxy.say("only /b", "cut up 510")
        client, target = self.connect()
        wanted = post(b"/b", bytes(500))
        for _ in range(3):
            client.sendall(wanted)
            self.assertEqual(read(target, len(wanted)), (wanted, OPEN))

    def test_only_nothing_of_the_body(self):
        self.proxy.say("only /b", "cut up 0")
        client, target = self.connect()
        wanted = post(b"/b", bytes(500))
        for i in range(0, len(wanted) - 500):
            client.sendall(wanted[i : i + 1])
        self.assertEqual(read(target), (wanted[:-500], CLOSED))

    def test_only_the_answer(self):
        self.proxy.say("only /b", "flip down 2 1")
        client, target = self.connect()
        for path, answer in ((b"/a", b"0000"), (b"/b", b"0010"), (b"/a", b"0000")):
            client.sendall(post(path, b"xyz"))
            read(target, len(post(path, b"xyz")))
            target.sendall(b"0000")
            self.assertEqual(read(client, 4)[0], answer)

    def answer(self, target, request, status):
        self.assertEqual(read(target, len(request))[0], request)
        target.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 %d X\r\n\r\n" % status)

    def test_duplicate_side_by_side(self):
        self.proxy.say("only /b", "duplicate 0 once")
        client, target = self.connect()
        wanted = post(b"/b", os.urandom(5000))
        client.sendall(post(b"/a", b"x") + wanted[:2000])
        read(target, len(post(b"/a", b"x")))
        copy, _ = self.server.accept()
        self.addCleanup(copy.close)
        self.assertEqual(read(copy, 2000)[0], wanted[:2000])
        client.sendall(wanted[2000:])
        self.answer(copy, wanted[2000:], 409)
        self.answer(target, wanted, 200)
        self.assertIn(b" 200 ", read(client, 43)[0])  # the client sees its own answer only
        self.assertEqual(read(client, 1, 0.1), (b"", OPEN))
        client.sendall(wanted)
        self.answer(target, wanted, 200)
        stats = self.proxy.stats()
        self.assertEqual((stats["duplicate"], stats["answers"]), (1, [409]))

    def test_duplicate_later(self):
        self.proxy.say("duplicate 300")
        client, target = self.connect()
        start = time.monotonic()
        wanted = post(b"/b", os.urandom(50000))
        client.sendall(wanted)
        self.answer(target, wanted, 200)
        client.close()  # nobody cares
        copy, _ = self.server.accept()
        self.addCleanup(copy.close)
        self.assertGreater(time.monotonic() - start, 0.29)
        self.answer(copy, wanted, 410)
        while not self.proxy.stats()["answers"]:
            self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(self.proxy.stats()["answers"], [410])

    def test_half_a_request_is_not_repeated(self):
        for after in (0, 100):
            self.proxy.say(f"duplicate {after} once")
            client, target = self.connect()
            client.sendall(post(b"/b", bytes(5000))[:-1])
            if after == 0:
                copy, _ = self.server.accept()
                self.addCleanup(copy.close)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            self.assertEqual(read(target)[1], RESET)
            if after == 0:
                self.assertEqual(read(copy)[1], RESET)
            else:
                self.server.settimeout(0.3)
                with self.assertRaises(socket.timeout):
                    self.server.accept()

    def test_what_is_no_http_passes(self):
        self.proxy.say("only /b", "cut up 0", "duplicate 0")
        client, target = self.connect()
        content = os.urandom(100_000)
        client.sendall(content)
        self.assertEqual(read(target, len(content))[0], content)


class Commands(Case):
    def test_nonsense(self):
        for line in ("", "explode", "cut", "cut up", "cut both 3", "cut up -1", "cut up 1x",
                     "cut up 18446744073709551616", "flip up 3", "flip up 3 0", "flip up 3 256",
                     "delay up", "delay sideways 3", "rate up x", "only", "only x", "duplicate",
                     "pass 3", "stats now", "a b c d e f", "x" * 5000, "once", "/" * 900):
            self.assertTrue(self.proxy.ask(line).startswith("error: "), line)
        sender, receiver = self.pair("up")
        sender.sendall(b"abc")
        self.assertEqual(read(receiver, 3)[0], b"abc")

    def test_addresses(self):
        for arguments in ([], ["x", "y"], ["127.0.0.1:0"], ["127.0.0.1:0", "127.0.0.1:70000"],
                          ["127.0.0.1", "127.0.0.1:5"], ["0.0.0.0:0", "127.0.0.1:5000"]):
            done = subprocess.run([faultproxy.BIN, *arguments], capture_output=True, timeout=5)
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(b"--help", done.stderr)
        done = subprocess.run([faultproxy.BIN, "--help"], capture_output=True, timeout=5)
        self.assertIn(b"halfopen", done.stdout)
        done = subprocess.run([faultproxy.BIN, self.target, self.target], capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=5)
        self.assertIn(b"in use", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
