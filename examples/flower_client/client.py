# SPDX-License-Identifier: Apache-2.0
"""A Flower ClientApp whose updates are encrypted by cairn.he, for people who stay with Flower.

The server's strategy adds payloads up without a key (`add_up` below) and never sees an update. Whoever holds
the secret key, not the server, opens the sum (`open_mean`). What all must agree on comes to the clients in the
config of each fit: the public key and nonce as hex, the round, the largest sample count and the range.
"""
import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context

from cairn import he

VALUE_BITS, CONTRIBUTORS = 16, 100
PARAMS = he.Params("capsule", VALUE_BITS, CONTRIBUTORS)


def quantiser(config, samples, client=0):
    return he.Quantiser(float(config["range"]), VALUE_BITS, int(config["largest_samples"]),
                        int(config["round"]), samples, client=client)


class EncryptedClient(NumPyClient):
    def __init__(self, number, train):
        self.number, self.train = number, train
        self.owed = None  # what rounding has lost so far

    def fit(self, parameters, config):
        trained, samples = self.train([p.copy() for p in parameters])
        update = np.concatenate([(t - p).ravel() for t, p in zip(trained, parameters)]).astype(np.float32)
        self.owed = np.zeros_like(update) if self.owed is None else self.owed
        values = quantiser(config, samples, self.number).quantise(update, self.owed)
        key = he.PublicKey.from_bytes(PARAMS, bytes.fromhex(config["public_key"]))
        payload = PARAMS.encrypt(key, bytes.fromhex(config["nonce"]), int(config["round"]), 0, values)
        return [np.frombuffer(payload, np.uint8)], samples, {}


def add_up(results, n):
    """For the server's strategy, in aggregate_fit: [([payload], samples)] -> (sum, samples, contributors)."""
    (first, *_), weight = results[0]
    total = bytearray(first.tobytes())
    for (payload, *_), samples in results[1:]:
        PARAMS.add(total, payload, n)
        weight += samples
    return bytes(total), weight, len(results)


def open_mean(secret, config, total, weight, contributors, n):
    """For who holds the secret key: the weighted mean update, flat. Once for each round."""
    sums = PARAMS.decrypt(secret, bytes.fromhex(config["nonce"]), int(config["round"]), 0, total, contributors, n)
    return quantiser(config, 1).mean(weight, sums)


def my_training(parameters):
    """Put your own here: parameters -> (trained parameters, samples)."""
    return [p + np.float32(0.01) for p in parameters], 1


def client_fn(context: Context):
    return EncryptedClient(int(context.node_config["partition-id"]), my_training).to_client()


app = ClientApp(client_fn=client_fn)
