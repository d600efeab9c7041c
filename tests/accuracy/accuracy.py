# SPDX-License-Identifier: Apache-2.0
"""Accuracy on MNIST after each round: grids of 8 and 16 bits beside plain float32, and uneven data with three strategies.

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
ROUNDS = 10
ALLOWED = 0.002
UNEVEN = {"data": {"partition": "dirichlet", "alpha": 0.1, "min_samples": 100}}


def make_config(**sections):
    """CLIENTS under one switch, with a learning rate for one epoch a round."""
    net = "127.61.7"
    clients = [f"{net}.{3 + k}" for k in range(CLIENTS)]
    others = {f"{net}.2": {"type": "switch", "receive": clients, "send": f"{net}.1", "ip": f"{net}.2", "dumb": False}}
    for k, address in enumerate(clients):
        others[address] = {"type": "client", "client_number": CLIENTS, "index": k, "send": f"{net}.2", "ip": address}
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


def run_cairn(config):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([BIN, "run", write(folder, config), "--json", "--data-dir", DATA], cwd=folder,
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"accuracy: cairn run ended with {done.returncode}: {done.stderr}{done.stdout}")
        with open(os.path.join(folder, "runs/accuracy/rounds.jsonl")) as lines:
            return [json.loads(line)["accuracy"] for line in lines]


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


def strategies():
    return {
        "FedAvg": run_cairn(make_config(**UNEVEN)),
        "FedProx, mu 0.1": run_cairn(make_config(train={"proximal_mu": 0.1}, **UNEVEN)),
        "FedAdam, rate 0.01": run_cairn(make_config(strategy={"name": "fedadam", "learning_rate": 0.01}, **UNEVEN)),
    }


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
        print_table(f"{CLIENTS} clients, Dirichlet(0.1) by label, at least 100 rows each", strategies())


if __name__ == "__main__":
    main()
