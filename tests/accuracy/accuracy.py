# SPDX-License-Identifier: Apache-2.0
"""Accuracy on MNIST after each round: grids of 8 and 16 bits beside plain float32, uneven data with all strategies, and
privacy noise with the epsilon that it comes to.

    accuracy.py            everything, as Markdown: the tables of docs/accuracy.md
    accuracy.py --check    the first table only; fails when a grid ends more than 0.2 points away from float32

CAIRN_BIN, CAIRN_FLOAT_FEDAVG and CAIRN_DATA name the binary, the yardstick and the folder with MNIST."""

import argparse
import json
import os
import subprocess
import sys
import tempfile

BIN = os.path.abspath(os.environ.get("CAIRN_BIN", "build/release/cairn"))
FLOAT = os.path.abspath(os.environ.get("CAIRN_FLOAT_FEDAVG", "build/release/tests/accuracy/float_fedavg"))
DATA = os.path.abspath(os.environ.get("CAIRN_DATA", "data"))
CLIENTS = 8
MANY_CLIENTS = 32
ROUNDS = 10
ALLOWED = 0.002
UNEVEN = {"data": {"partition": "dirichlet", "alpha": 0.1, "min_samples": 100}}


def make_config(n_clients=CLIENTS, **sections):
    """Clients under one switch, with a learning rate for one epoch a round."""
    net = "127.61.7"
    clients = [f"{net}.{3 + k}" for k in range(n_clients)]
    others = {f"{net}.2": {"type": "switch", "receive": clients, "send": f"{net}.1", "ip": f"{net}.2", "dumb": False}}
    for k, address in enumerate(clients):
        others[address] = {"type": "client", "client_number": n_clients, "index": k, "send": f"{net}.2", "ip": address}
    config = {"aggregator": {"iteration": ROUNDS, "ip": f"{net}.1"}, "others": others, "experiment": "accuracy", "seed": 1,
              "train": {"learning_rate": 0.05}}
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    return config


def write(folder, config):
    path = os.path.join(folder, "accuracy.json")
    with open(path, "w") as file:
        json.dump(config, file)
    return path


def ask_cairn(folder, *arguments):
    done = subprocess.run([BIN, *arguments, "--json", "--data-dir", DATA], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"accuracy: cairn {arguments[0]} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def run_rounds(config):
    """The lines of rounds.jsonl."""
    with tempfile.TemporaryDirectory() as folder:
        ask_cairn(folder, "run", write(folder, config))
        with open(os.path.join(folder, "runs/accuracy/rounds.jsonl")) as lines:
            return [json.loads(line) for line in lines]


def run_cairn(config):
    return [line["accuracy"] for line in run_rounds(config)]


def rows_of_clients(config):
    with tempfile.TemporaryDirectory() as folder:
        return [share["samples"] for share in json.loads(ask_cairn(folder, "check", write(folder, config)))["shares"]]


def run_float(config):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([FLOAT, write(folder, config), "--data", DATA], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"accuracy: {done.stderr}")
    return [float(line) for line in done.stdout.split()]


def print_table(title, curves):
    print(f"\n{title}\n")
    print("| |" + "".join(f" {r} |" for r in range(1, ROUNDS + 1)))
    print("|---|" + "---|" * ROUNDS)
    for name, curve in curves.items():
        print(f"| {name} |" + "".join(f" {100 * a:.2f} |" for a in curve), flush=True)


def compare_grids(data):
    config = make_config(**data)
    curves = {"float32, no grid": run_float(config)}
    for bits in (16, 8):
        curves[f"{bits} bits"] = run_cairn(make_config(encryption={"value_bits": bits}, **data))
    return curves


def worst_gap(curves):
    last = [curve[-1] for curve in curves.values()]
    return max(abs(a - last[0]) for a in last)


def compare_strategies():
    """With their defaults; FedProx, which has none, with three weights."""
    curves = {"FedAvg": run_cairn(make_config(**UNEVEN))}
    for mu in (0.001, 0.01, 0.1):
        curves[f"FedProx, mu {mu}"] = run_cairn(make_config(train={"proximal_mu": mu}, **UNEVEN))
    for name in ("FedAvgM", "FedAdam", "FedYogi", "FedAdagrad"):
        curves[name] = run_cairn(make_config(strategy={"name": name.lower()}, **UNEVEN))
    return curves


def compare_noise():
    """Of each client's whole update, clipped to a length of 1."""
    few = {"data": {"partition": "iid"}}
    many = {"n_clients": MANY_CLIENTS, "model": {"type": "logistic"}, **few}
    curves = {}
    for name, where, privacy in (
            (f"logistic, {MANY_CLIENTS} clients", many, {}),
            (f"logistic, {MANY_CLIENTS} clients, clipped", many, {"clip_norm": 1}),
            (f"logistic, {MANY_CLIENTS} clients, noise 1", many, {"clip_norm": 1, "noise_multiplier": 1}),
            (f"logistic, {MANY_CLIENTS} clients, noise 2", many, {"clip_norm": 1, "noise_multiplier": 2}),
            (f"784-128-10, {CLIENTS} clients, noise 1", few, {"clip_norm": 1, "noise_multiplier": 1})):
        lines = run_rounds(make_config(privacy=privacy, **where))
        told = f", epsilon {lines[-1]['epsilon']:.2f}" if "epsilon" in lines[-1] else ""
        curves[name + told] = [line["accuracy"] for line in lines]
    return curves


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="the first table, and fail when a grid is far off")
    check = parser.parse_args().check
    curves = compare_grids({"data": {"partition": "iid"}})
    print_table(f"{CLIENTS} clients, shuffled rows: accuracy in % after each round", curves)
    gap = worst_gap(curves)
    print(f"\nlargest difference to float32 in the end: {100 * gap:.2f} points, allowed {100 * ALLOWED:.1f}")
    if gap > ALLOWED:
        sys.exit("accuracy: a grid is too far off")
    if not check:
        rows = rows_of_clients(make_config(**UNEVEN))
        print_table(f"{CLIENTS} clients, Dirichlet(0.1) by label, {min(rows)} to {max(rows)} rows each", compare_strategies())
        print_table("Privacy noise, epsilon at delta 1e-5", compare_noise())


if __name__ == "__main__":
    main()
