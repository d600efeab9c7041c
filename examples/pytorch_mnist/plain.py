# SPDX-License-Identifier: Apache-2.0
import functools
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

@functools.lru_cache(None)
def load(folder, part):
    x = np.fromfile(f"{folder}/{part}-images-idx3-ubyte", np.uint8, offset=16).reshape(-1, 1, 28, 28)
    y = np.fromfile(f"{folder}/{part}-labels-idx1-ubyte", np.uint8, offset=8)
    return torch.tensor(x / np.float32(255)), torch.tensor(y.astype(np.int64))

def Net():
    return nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 64), nn.ReLU(), nn.Linear(64, 10))

def test(net, ctx):
    x, y = load(ctx.data_dir, "t10k")
    out = net(x)
    return {"samples": len(y), "correct": (out.argmax(1) == y).sum(), "loss": F.cross_entropy(out, y)}

def train(net, ctx):
    x, y = (t[ctx.share(len(t))] for t in load(ctx.data_dir, "train"))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for batch in torch.randperm(len(y)).split(64):
        loss = F.cross_entropy(net(x[batch]), y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return len(y), {"loss": loss.item()}

if __name__ == "__main__":
    class all_rows:
        data_dir, share = "data", slice
    net = Net()
    print(*(train(net, all_rows) and test(net, all_rows) for _ in range(3)), sep="\n")
