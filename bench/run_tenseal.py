# SPDX-License-Identifier: Apache-2.0
"""The work of bench/compare.sh through TenSEAL, one thread: encrypt, add, decrypt. Prints JSON.

Updates are multiples of 2^-15 in (-1, 1), what a 16-bit quantiser makes of floats, so the true sum
is known exactly and errors can be given in steps.
"""

import argparse
import json
import statistics
import sys
import time

import tenseal as ts

DEGREE, MODULI, SCALE = 8192, [60, 40, 40, 60], 2**40
SLOTS = DEGREE // 2
STEP = 2.0**-15
REPEATS = 5  # of what is done once per sum


def update(client, n):
    """Integers in +-32767 that look random and are the same in every language."""
    return [(i * 7919 + client * 104729) % 65535 - 32767 for i in range(n)]


def timed(function):
    begin = time.perf_counter_ns()
    result = function()
    return result, time.perf_counter_ns() - begin


def make_context(encryption):
    context = ts.context(ts.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=MODULI,
                         encryption_type=encryption, n_threads=1)
    context.global_scale = SCALE
    return context


def measure(name, context, encrypt, n, clients, per_cipher, note):
    """encrypt(context, list of floats) -> one TenSEAL object."""
    times = {"encrypt": [], "serialise": [], "add": []}
    total = [0] * n
    sums, size = None, 0
    encrypt(context, [0.5] * min(n, per_cipher))  # warms up
    for client in range(clients):
        values = update(client, n)
        total = [a + b for a, b in zip(total, values)]
        pieces = [[v * STEP for v in values[i : i + per_cipher]]
                  for i in range(0, n, per_cipher)]
        ciphers, ns = timed(lambda: [encrypt(context, piece) for piece in pieces])
        times["encrypt"].append(ns)
        sent, ns = timed(lambda: [cipher.serialize() for cipher in ciphers])
        times["serialise"].append(ns)
        size = sum(len(s) for s in sent)
        if sums is None:
            sums = ciphers
            continue

        def add():
            for i, cipher in enumerate(ciphers):
                sums[i] += cipher

        times["add"].append(timed(add)[1])
    opened, _ = timed(lambda: [s.decrypt() for s in sums])
    decrypts = [timed(lambda: [s.decrypt() for s in sums])[1] for _ in range(REPEATS)]
    values = [v for piece in opened for v in (piece if isinstance(piece, list) else piece.tolist())]
    return {
        "name": name,
        "note": note,
        "params": n,
        "clients": clients,
        "encrypt_ns": statistics.median(times["encrypt"]) / n,
        "serialise_ns": statistics.median(times["serialise"]) / n,
        "add_ns": statistics.median(times["add"]) / n,
        "decrypt_ns": statistics.median(decrypts) / n,
        "bytes": size / n,
        "max_error_steps": max(abs(v / STEP - t) for v, t in zip(values, total)),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=int, default=200000)
    parser.add_argument("--clients", type=int, default=15)
    parser.add_argument("--scalars", type=int, default=32,
                        help="parameters for the way that makes one ciphertext of each")
    arguments = parser.parse_args()
    public = make_context(ts.ENCRYPTION_TYPE.ASYMMETRIC)
    symmetric = make_context(ts.ENCRYPTION_TYPE.SYMMETRIC)
    results = []
    for name, context, note in (
        ("TenSEAL ckks_vector", public, "4096 parameters a ciphertext, public key"),
        ("TenSEAL ckks_vector, symmetric", symmetric, "4096 parameters a ciphertext, secret key"),
    ):
        print(f"compare: {name}, {arguments.params} parameters", file=sys.stderr)
        results.append(measure(name, context, ts.ckks_vector, arguments.params, arguments.clients,
                               SLOTS, note))
    name = "TenSEAL ckks_tensor"
    print(f"compare: {name}, {arguments.scalars} parameters", file=sys.stderr)
    results.append(measure(
        name, public, lambda context, values: ts.ckks_tensor(context, values, batch=False),
        arguments.scalars, min(3, arguments.clients), arguments.scalars,
        f"one ciphertext a parameter; measured on {arguments.scalars}, extrapolated"))
    json.dump({"version": ts.__version__, "results": results}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
