# SPDX-License-Identifier: Apache-2.0
"""Softmax regression in plain numpy on the digits of data.dir, a mini-batch at a time."""
import numpy as np

import cairn


def load(ctx, part):
    x = np.fromfile(f"{ctx.data_dir}/{part}-images-idx3-ubyte", np.uint8)
    y = np.fromfile(f"{ctx.data_dir}/{part}-labels-idx1-ubyte", np.uint8, offset=8)
    return x[16:].reshape(len(y), -1) / np.float32(255), y


def probabilities(model, x):
    z = x @ model["weight"].T + model["bias"]
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def loss(p, y):
    return -np.log(p[np.arange(len(y)), y] + 1e-9).mean()


def first(ctx):
    features = load(ctx, "t10k")[0].shape[1]
    return {"weight": np.zeros((10, features)), "bias": np.zeros(10)}


def test(model, ctx):
    x, y = load(ctx, "t10k")
    p = probabilities(model, x)
    return {"samples": len(y), "correct": (p.argmax(1) == y).sum(), "loss": loss(p, y)}


@cairn.trainer(initial=first, evaluate=test)
def train(model, ctx):
    x, y = (a[ctx.share(len(a))] for a in load(ctx, "train"))
    rate = ctx.settings.get("learning_rate", 0.1)
    for batch in np.array_split(ctx.rng().permutation(len(y)), max(1, len(y) // 32)):
        p = probabilities(model, x[batch])
        p[np.arange(len(batch)), y[batch]] -= 1
        model["weight"] -= rate / len(batch) * p.T @ x[batch]
        model["bias"] -= rate * p.mean(0)
    return model, len(y), {"loss": loss(probabilities(model, x), y)}


if __name__ == "__main__":
    train.run()
