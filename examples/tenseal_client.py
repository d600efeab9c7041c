#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client of a cairn run that encrypts with TenSEAL: pip install tenseal xxhash

    tenseal_client.py ADDRESS[:PORT] SAMPLES

waits at ADDRESS for its config, as `cairn node` does, and sends its updates to its parent as
CKKSVectors, which the switch adds to everybody else's. The run's config needs
"encryption": {"profile": "seal-ckks"}. Replace `make_update` by training on your own data.
"""
import hashlib
import json
import math
import random
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import tenseal as ts
import xxhash

SLOTS = 4096  # values in a ciphertext
FINAL = 1     # flag of a model that is not to be trained any more


def blake2b(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


class Model:
    """A piece of the model on its way down: the bytes of src/wire/model_message.h."""

    def __init__(self, data):
        if data[:4] != b"CRNM" or xxhash.xxh3_128_digest(data[:-16]) != data[-16:]:
            raise ValueError("no piece of a model, or a damaged one")
        (self.flags, self.experiment, self.round, tensors, self.parameters, self.largest_samples,
         self.first, self.count, self.next_frame) = struct.unpack_from("<6xH16sIIQQQQI", data)
        at = 96
        self.steps = []
        if self.first == 0:
            self.steps = struct.unpack_from(f"<{tensors}d", data, at)
            at += 8 * tensors
        self.weights = list(struct.unpack_from(f"<{self.count}f", data, at))


def tensor_sizes(config):
    """Parameters of each tensor, in the order in which the model is flattened."""
    if config["train"]["type"] == "builtin":
        layers = config["model"]["layers"]
        return [n for a, b in zip(layers, layers[1:]) for n in (a * b, b)]
    sizes, left = [], config["model"]["params"]  # of the made-up model to measure with
    while left > 0 and len(sizes) < 15:
        sizes.append(left - left // 2)
        left //= 2
    return sizes + [left] if left > 0 else sizes


class Client:
    """make_update(config, round, weights) -> what training has added to each weight."""

    def __init__(self, address, samples, make_update):
        host, _, port = address.partition(":")
        self.address, self.samples, self.make_update = address, samples, make_update
        self.boot = f"{random.SystemRandom().getrandbits(64):016x}"  # another after every start
        self.config, self.digest, self.experiment = None, "", b""
        self.round, self.state, self.trouble = 0, "none", None
        self.opening = None  # a first piece that nobody has taken yet
        self.rounds = []     # for GET /log
        self.changed = threading.Condition()
        self.server = ThreadingHTTPServer((host, int(port or 5000)), self.make_handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.work, daemon=True).start()

    # ---- what the aggregator and the parent ask ----

    def make_handler(self):
        client = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, document, status=200):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                documents = {"/status": client.status, "/log": client.log,
                             "/healthz": lambda: {"status": "ok"}}
                path = self.path.partition("?")[0]
                if path in documents:
                    self.answer(documents[path]())
                else:
                    self.answer({"error": f"no route {path}", "hint": ""}, 404)

            def do_POST(self):
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    if path == "/config":
                        client.take_config(json.loads(body), query.partition("digest=")[2])
                        self.answer(client.status())
                    elif path == "/c/model":
                        self.answer({"round": client.take_model(Model(body))})
                    else:
                        self.answer({"error": f"no route {path}", "hint": ""}, 404)
                except (KeyError, ValueError, struct.error) as e:
                    self.answer({"error": f"{path}: {e!r}", "hint": "", "code": "MALFORMED"}, 400)

            def log_message(self, *_):
                pass

        return Handler

    def status(self):
        return {"address": self.address, "role": "client" if self.config else "none",
                "digest": self.digest, "boot": self.boot, "state": self.state,
                "round": self.round, "samples": self.samples,
                **({"trouble": self.trouble} if self.trouble else {})}

    def log(self):
        return {"address": self.address, "role": "client", "finished": self.state == "finished",
                "byte_send": sum(r["byte_send"] for r in self.rounds), "byte_received": 0,
                "iteration": self.rounds}

    def take_config(self, config, digest):
        if config["encryption"]["profile"] != "seal-ckks":
            raise ValueError("TenSEAL's ciphertexts are of profile seal-ckks")
        with self.changed:
            if digest != self.digest:
                self.config, self.digest, self.round, self.state = config, digest, 0, "waiting"
                self.experiment = bytes.fromhex(config["session"]["id"])
                self.rounds = []

    def take_model(self, model):
        """The first piece opens a round; once more, it says from which frame to send again."""
        if self.config is None or model.experiment != self.experiment:
            raise ValueError("a model of another experiment")
        with self.changed:
            if model.flags & FINAL:
                self.state = "finished"
            elif model.round >= self.round:
                self.round, self.opening = model.round, model
                self.changed.notify()
            return self.round

    # ---- a round ----

    def ask(self, route, query="", body=None):
        """@return status and body of the parent's answer; 503 for one that does not come"""
        parent = self.config["session"]["parent"]
        side = "a" if self.config["session"]["parent_type"] == "aggregator" else "s"
        url = f"http://{parent}/{side}/{route}?exp={self.experiment.hex()}&{query}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
        except OSError as e:
            return 503, json.dumps({"error": str(e)}).encode()

    def fetch_context(self):
        """The run's public key and parameters."""
        status, body = self.ask("tenseal")
        if status != 200:
            raise RuntimeError(body.decode())
        return ts.context_from(body)

    def fetch(self, opening):
        """The whole model's weights."""
        weights = list(opening.weights)
        while len(weights) < opening.parameters:
            status, body = self.ask("model", f"round={opening.round}&first={len(weights)}")
            if status == 200:
                weights += Model(body).weights
            elif status == 503:
                time.sleep(0.2)
            else:
                raise RuntimeError(body.decode())
        return weights

    def quantise(self, owed, opening):
        """Whole numbers, rounded up or down at random so that no direction is favoured, and what
        each of them stands for."""
        limit = 2 ** (self.config["encryption"]["value_bits"] - 1) - 1
        share = self.samples / opening.largest_samples
        numbers, units, chance = [], [], random.SystemRandom()
        for step, size in zip(opening.steps, tensor_sizes(self.config)):
            for x in owed[len(numbers):len(numbers) + size]:
                q = math.floor(x * share / step + chance.random())
                numbers.append(max(-limit, min(limit, q)))
                units.append(step / share)
        return numbers, units

    def send_frame(self, opening, numbers, frame, size):
        """@return the frame that the parent wants next; None when the round is over"""
        part = numbers[frame * size:(frame + 1) * size]
        part += [0] * (-len(part) % SLOTS)  # TenSEAL would repeat the vector there
        body = ts.ckks_vector(self.context, part).serialize()
        session = self.config["session"]
        status, answer = self.ask(
            "receive", f"round={opening.round}&origin={session['node']}&first={frame}"
            f"&form=tenseal&client={self.config['index']}&weight={self.samples}"
            f"&digest={blake2b(body)}", body)
        if status == 410:
            return None
        document = json.loads(answer)
        if status == 503 or document.get("code") == "INTEGRITY":  # no room yet; damaged on its way
            time.sleep(0.2)
            return document.get("next", frame)
        if status not in (200, 409):
            raise RuntimeError(answer.decode())
        self.rounds[-1]["byte_send"] += len(body)
        return document["next"]

    def work(self):
        owed, sent, units, numbers, trained = [], [], [], [], (None, 0)
        while True:
            with self.changed:
                while self.opening is None:
                    self.changed.wait()
                opening, self.opening = self.opening, None
            try:
                now = self.digest, opening.round
                if now != trained:
                    if now[0] != trained[0]:  # another run, and nothing is owed in it
                        owed, sent, units = [], [], []
                        self.context = self.fetch_context()
                    start = time.time()
                    update = self.make_update(self.config, opening.round, self.fetch(opening))
                    # what rounding lost in the round before is owed
                    owed = [o - q * u for o, q, u in zip(owed, sent, units)] or [0] * len(update)
                    owed = [o + x for o, x in zip(owed, update)]
                    numbers, units = self.quantise(owed, opening)
                    sent, trained = numbers, now
                    self.rounds.append({"round": opening.round, "start_time": stamp(start),
                                        "byte_received": 0, "byte_send": 0})
                self.state = "sending"
                size = self.config["round"]["frame_params"] // SLOTS * SLOTS
                frame = opening.next_frame
                while frame is not None and frame * size < len(numbers) and self.opening is None:
                    frame = self.send_frame(opening, numbers, frame, size)
                self.rounds[-1]["end_time"] = stamp(time.time())
                self.state = "finished" if self.state == "finished" else "sent"
            except Exception as e:  # the next model is another chance
                self.state, self.trouble = "stalled", repr(e)
                print(f"round {opening.round}: {e!r}", file=sys.stderr, flush=True)


def stamp(t):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1e6):06d}Z"


def make_update(config, round_, weights):
    """Your training. Here: one step towards zero."""
    return [-0.001 * w for w in weights]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Client(sys.argv[1], int(sys.argv[2]), make_update)
    threading.Event().wait()
