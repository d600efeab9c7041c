# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: small data sets, configs, processes, HTTP.

Every test has loopback addresses of its own, 127.a.b.N with a and b from its name and process, so
tests can run side by side. The data is made up: 8x8 images of ten classes that a small network learns in a
round or two.
"""

import ctypes
import gzip
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANITIZED = os.environ.get("CAIRN_SANITIZED") == "1"  # times and memory are not what they are
BIN = os.environ.get("CAIRN_BIN", os.path.join(SOURCE, "build/release/cairn"))
RECOMPUTE = os.environ.get(
    "CAIRN_RECOMPUTE", os.path.join(SOURCE, "build/release/tests/recompute/recompute")
)
IMAGES, LABELS = 2051, 2049
FILES = {
    "train-images": ("train-images-idx3-ubyte", IMAGES),
    "train-labels": ("train-labels-idx1-ubyte", LABELS),
    "test-images": ("t10k-images-idx3-ubyte", IMAGES),
    "test-labels": ("t10k-labels-idx1-ubyte", LABELS),
}


# ---- data ----


def make_rows(n, side, seed):
    """n images, each the pattern of its class with noise, and their labels."""
    patterns = random.Random(7)
    centres = [bytes(patterns.randrange(256) for _ in range(side * side)) for _ in range(10)]
    noise = random.Random(seed)
    pixels = bytearray()
    labels = bytearray()
    for i in range(n):
        label = noise.randrange(10)
        labels.append(label)
        pixels += bytes((p + noise.randrange(120)) // 2 for p in centres[label])
    return bytes(pixels), bytes(labels)


def idx_images(n, side, pixels):
    return struct.pack(">IIII", IMAGES, n, side, side) + pixels


def idx_labels(n, labels):
    return struct.pack(">II", LABELS, n) + labels


def make_data(folder, train=600, test=200, side=8, compress=False):
    os.makedirs(folder, exist_ok=True)
    for part, n, seed in (("train", train, 1), ("test", test, 2)):
        pixels, labels = make_rows(n, side, seed)
        for kind, content in (
            ("images", idx_images(n, side, pixels)),
            ("labels", idx_labels(n, labels)),
        ):
            path = os.path.join(folder, FILES[f"{part}-{kind}"][0])
            with open(path, "wb") as out:
                out.write(gzip.compress(content) if compress else content)


# ---- trees ----

CLIENT = "client"
TWO_LEVELS = [[CLIENT, CLIENT], [CLIENT, CLIENT]]
# three levels of switches; 3 children under one, 1 under another, and a client beside a switch
THREE_LEVELS = [[[[CLIENT, CLIENT, CLIENT], [CLIENT]], CLIENT], [[CLIENT]]]


def make_config(net, tree, rounds=3, dumb=False, order=None, name=None, port=None, **sections):
    """A config in the original's form. tree: lists are switches, CLIENT a client.
    net: "127.a.b". order: index of each client, in the order of the tree."""
    clients = count_clients(tree)
    order = list(order or range(clients))
    tail = f":{port}" if port else ""
    numbers = iter(range(2, 250))
    others = {}

    def add(node, parent):
        address = f"{net}.{next(numbers)}{tail}"
        if node == CLIENT:
            others[address] = {
                "type": "client",
                "client_number": clients,
                "index": order.pop(0),
                "send": parent,
                "ip": address,
            }
        else:
            others[address] = None  # keeps its place before its children's
            receive = [add(child, address) for child in node]
            others[address] = {
                "type": "switch",
                "receive": receive,
                "send": parent,
                "ip": address,
                "dumb": dumb,
            }
        return address

    root = f"{net}.1{tail}"
    for child in tree:
        add(child, root)
    config = {
        "aggregator": {"iteration": rounds, "ip": root},
        "others": others,
        "model": {"layers": [64, 24, 10]},
        "train": {"batch": 16},
        "log": {},
    }
    if name:
        config["experiment"] = name
    for section, values in sections.items():
        if isinstance(values, dict):
            config.setdefault(section, {}).update(values)
        else:
            config[section] = values
    return config


def count_clients(tree):
    return 1 if tree == CLIENT else sum(count_clients(child) for child in tree)


# ---- HTTP, by hand where a client would not let us ----


class Answer:
    def __init__(self, status, body):
        self.status = status
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


def split(address):
    host, _, port = address.partition(":")
    return host, int(port or 5000)


def request(address, method, path, body=None, headers=None, timeout=20):
    connection = http.client.HTTPConnection(*split(address), timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read())
    finally:
        connection.close()


def raw(address, text, timeout=20):
    """Send bytes as they are. Status 0 in the answer: closed without one."""
    with socket.create_connection(split(address), timeout=timeout) as s:
        s.sendall(text)
        answer = b""
        try:
            while b"\r\n\r\n" not in answer or not complete(answer):
                more = s.recv(65536)
                if not more:
                    break
                answer += more
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]) if head else 0, body)


def complete(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def until(what, condition, seconds=20, every=0.05):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(every)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


def listens(address):
    try:
        socket.create_connection(split(address), timeout=1).close()
        return True
    except OSError:
        return False


# ---- wire bytes, written down a second time so that the C code is not its own judge ----


class Xxh3(ctypes.Structure):
    """Of a 128-bit checksum, the halves in which libxxhash returns it."""

    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def checksum(content, context=b""):
    """XXH3-128, seeded with XXH3-64 of what the content belongs to, if anything."""
    library = ctypes.CDLL("libxxhash.so.0")
    one, two = library.XXH3_64bits, library.XXH3_128bits_withSeed
    one.argtypes, one.restype = (ctypes.c_char_p, ctypes.c_size_t), ctypes.c_uint64
    two.argtypes, two.restype = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64), Xxh3
    found = two(content, len(content), one(context, len(context)) if context else 0)
    return struct.pack(">QQ", found.high, found.low)


def blake2b(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def frame_bytes(experiment, round_, index, contributors, weight, params_id, payload, members=b""):
    extension = struct.pack("<HHI", 1, 0, len(members)) + members if members else b""
    head = struct.pack(
        "<IIQIIII", index, contributors, weight, params_id, len(payload), len(extension), 0
    )
    content = head + payload + extension
    domain = b"cairn frame v2\0\0" + experiment + struct.pack("<II", round_, 1)
    return content + checksum(content, domain)


def batch_bytes(experiment, round_, origin, first, frames):
    size = 80 + sum(len(f) for f in frames)
    head = b"CRNB" + struct.pack("<HH", 2, 1) + experiment
    head += struct.pack("<IIIIQ", round_, origin, len(frames), first, size) + bytes(16)
    return head + checksum(head) + b"".join(frames)


# ---- processes ----


def recompute(config, rounds, data=None):
    """Digest of the model that a run must have come to, from its config and its rounds.jsonl."""
    done = subprocess.run([RECOMPUTE, config, rounds] + (["--data", data] if data else []),
                          stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    return done.stdout.strip()


def children_of_mine(marker):
    """Processes that have the marker, a path of this test, on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read()
            with open(f"/proc/{pid}/stat") as f:
                state = f.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in line and b"cairn" in line and state != "Z":
            found.append(int(pid))
    return found


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)


class CairnCase(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="cairn-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        number = zlib.crc32(f"{self.id()} {os.getpid()}".encode())
        self.net = f"127.{80 + number % 120}.{1 + (number >> 8) % 250}"
        self.data = os.path.join(self.folder, "data")
        self.started = []
        self.addCleanup(self.check_sanitizers)
        self.addCleanup(self.stop_nodes)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, config, name="test.json"):
        path = self.path(name)
        text = config if isinstance(config, (str, bytes)) else json.dumps(config, indent=1)
        with open(path, "wb") as out:
            out.write(text.encode() if isinstance(text, str) else text)
        return path

    def cairn(self, *arguments, expect=0, timeout=120):
        done = subprocess.run(
            [BIN, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=timeout
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        if expect is not None:
            self.assertEqual(result.code, expect, f"{arguments}\n{result.out}\n{result.err}")
        return result

    def run_config(self, config, *arguments, expect=0, command="run", name="test.json"):
        """`cairn run --json` on this test's data; its document. self.err has what it said."""
        result = self.cairn(
            command, self.write(config, name), "--json", *arguments, "--data-dir", self.data,
            expect=expect,
        )
        self.err = result.err
        return result.json

    def start(self, *arguments):
        """A cairn process in the background; its output goes to a file of its own."""
        log = open(self.path(f"process-{len(self.started)}.log"), "wb+")
        process = subprocess.Popen([BIN, *arguments], cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=log)
        process.log = log
        self.started.append(process)
        return process

    def start_node(self, address, *more):
        host, port = split(address)
        return self.start("node", "--listen", host, "--port", str(port), "--data-dir", self.data,
                          "--log-dir", self.path("log"), *more)

    def start_nodes(self, config):
        nodes = {address: self.start_node(address) for address in config["others"]}
        for address in nodes:
            until(f"{address} listens", lambda: listens(address))
        return nodes

    def start_agg(self, config, name="test.json", *more):
        return self.start("agg", self.write(config, name), "--json", "--data-dir", self.data,
                          "--log-dir", self.path("log"), "--runs-dir", self.path("runs"), *more)

    def wait_until_ready(self, root):
        """Until the aggregator has given every node its config and waits for POST /a/train."""
        until("the aggregator is ready", lambda: listens(root) and
              request(root, "GET", "/status").json.get("state") == "ready")

    def finish(self, process, expect=0, timeout=60):
        out, _ = process.communicate(timeout=timeout)
        self.assertEqual(process.returncode, expect, f"{out}\n{self.words(process)}")
        return json.loads(out)

    def words(self, process):
        process.log.seek(0)
        return process.log.read().decode(errors="replace")

    def stop_nodes(self):
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.started:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.log.close()
            if process.stdout:
                process.stdout.close()
        for pid in children_of_mine(self.folder):  # what a failed test has left behind
            os.kill(pid, signal.SIGKILL)

    def check_sanitizers(self):
        """What AddressSanitizer and its siblings said in any process of this test."""
        for folder, _, files in os.walk(self.folder):
            for name in files:
                if name.endswith((".err", ".log")):
                    with open(os.path.join(folder, name), "rb") as file:
                        text = file.read()
                    for word in (b"Sanitizer", b"runtime error:"):
                        self.assertNotIn(word, text, text.decode(errors="replace"))

    def assert_nobody_left(self):
        until("every process has ended", lambda: not children_of_mine(self.folder), 10)

    def assert_problem(self, answer, status):
        """An HTTP error as the interface promises it: this status, and JSON with error and hint."""
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn("error", answer.json)
        self.assertIn("hint", answer.json)


def main():
    unittest.main(verbosity=2)
