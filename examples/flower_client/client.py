# SPDX-License-Identifier: Apache-2.0
"""The clients of a Flower app whose updates are encrypted by cairn.he, for people who stay with Flower (README.md).

One of the clients makes the keys, keeps the secret one and opens one sum a round, of three clients or more. The
server (server.py) adds payloads up without a key.
"""
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from cairn import he

VALUE_BITS, CONTRIBUTORS, FEWEST = 16, 100, 3
PARAMS = he.Params("capsule", VALUE_BITS, CONTRIBUTORS)
FEATURES, CLASSES = 20, 4
app = ClientApp()


def rows(number, count):
    """Put your own data here. Made up: points around one centre for each class."""
    centres = np.random.default_rng(1).normal(size=(CLASSES, FEATURES))
    rng = np.random.default_rng([2, number])
    y = rng.integers(CLASSES, size=count)
    return (centres[y] + rng.normal(size=(count, FEATURES))).astype(np.float32), y


def my_training(model, number):
    """Put your own training here: (arrays, client) -> (trained arrays, samples). One pass of softmax regression."""
    weight, bias = (array.copy() for array in model)
    x, y = rows(number, 100 + 50 * number)
    for batch in np.split(np.arange(len(y)), range(10, len(y), 10)):
        z = np.exp(x[batch] @ weight.T + bias)
        error = z / z.sum(1, keepdims=True) - np.eye(CLASSES)[y[batch]]
        weight -= 0.1 / len(batch) * error.T.astype(np.float32) @ x[batch]
        bias -= 0.1 * error.mean(0).astype(np.float32)
    return [weight, bias], len(y)


def quantiser(config, samples, number=0):
    return he.Quantiser(config["range"], VALUE_BITS, config["largest-samples"], config["server-round"], samples,
                        client=number)


@app.train()
def train(message: Message, context: Context) -> Message:
    config, number = message.content["config"], int(context.node_config["partition-id"])
    model = message.content["arrays"].to_numpy_ndarrays()
    trained, samples = my_training(model, number)
    update = np.concatenate([(t - m).ravel() for t, m in zip(trained, model)]).astype(np.float32)
    owed = np.zeros_like(update)  # what rounding has lost so far
    if "owed" in context.state:
        owed += context.state["owed"].to_numpy_ndarrays()[0]
    values = quantiser(config, samples, number).quantise(update, owed)
    context.state["owed"] = ArrayRecord([owed])
    key = he.PublicKey.from_bytes(PARAMS, config["public-key"])
    payload = PARAMS.encrypt(key, config["nonce"], config["server-round"], 0, values)
    reply = {"update": ConfigRecord({"payload": payload}), "metrics": MetricRecord({"num-examples": samples})}
    return Message(RecordDict(reply), reply_to=message)


@app.query("keys")
def keys(message: Message, context: Context) -> Message:
    """Make the run's keys; the secret one stays here."""
    secret, public = PARAMS.keygen()
    context.state["secret"] = ConfigRecord({"key": bytes(secret), "opened": 0})
    reply = ConfigRecord({"public-key": bytes(public), "nonce": he.new_nonce()})
    return Message(RecordDict({"keys": reply}), reply_to=message)


@app.query("open")
def open_sum(message: Message, context: Context) -> Message:
    """The weighted mean update behind a sum; each round once."""
    config, own = message.content["config"], context.state["secret"]
    if config["contributors"] < FEWEST or config["server-round"] <= own["opened"]:
        raise ValueError(f"only sums of {FEWEST} clients and more are opened, once in each round")
    own["opened"] = config["server-round"]
    secret = he.SecretKey.from_bytes(PARAMS, own["key"])
    sums = PARAMS.decrypt(secret, config["nonce"], config["server-round"], 0, config["sum"], config["contributors"],
                          config["values"])
    mean = quantiser(config, 1).mean(config["weight"], sums)
    return Message(RecordDict({"mean": ArrayRecord([mean])}), reply_to=message)
