# SPDX-License-Identifier: Apache-2.0
"""TenSEAL opens what seal_tool wrote, and writes what seal_tool then has to read.

judge.py FOLDER-OF-3.7 FOLDER-OF-4.1
"""
import sys

import tenseal as ts

TOLERANCE = 1e-6  # noise at scale 2^40 was measured at 7e-9
MESSAGE = [0.001 * j - 1 for j in range(4096)]


def read(folder, name):
    with open(f"{folder}/{name}", "rb") as f:
        return f.read()


def write(folder, name, data):
    with open(f"{folder}/{name}", "wb") as f:
        f.write(data)


def check(found, times):
    assert len(found) == len(MESSAGE), len(found)
    worst = max(abs(f - times * m) for f, m in zip(found, MESSAGE))
    assert worst < TOLERANCE, worst
    return worst


def save(context, symmetric=False):
    return context.serialize(save_public_key=not symmetric, save_secret_key=True,
                             save_galois_keys=False, save_relin_keys=False)


def judge_ours(folder):
    context = ts.context_from(read(folder, "context.tenseal"))
    vector = ts.ckks_vector_from(context, read(folder, "vector.tenseal"))
    print("ours, opened by TenSEAL: largest error", check(vector.decrypt(), 1))
    fresh = ts.ckks_vector(context, MESSAGE)
    total = vector + fresh
    print("ours + TenSEAL's under our key:", check(total.decrypt(), 2))
    write(folder, "tenseal.ours.context", save(context))
    write(folder, "tenseal.ours.vector", total.serialize())


def write_own(folder, name, kind):
    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40, 60],
                         encryption_type=kind)
    context.global_scale = 2**40
    write(folder, f"tenseal.{name}.context", save(context, kind == ts.ENCRYPTION_TYPE.SYMMETRIC))
    write(folder, f"tenseal.{name}.vector", ts.ckks_vector(context, MESSAGE).serialize())


def main():
    folder, folder_4_1 = sys.argv[1:]
    judge_ours(folder)
    write_own(folder, "own", ts.ENCRYPTION_TYPE.ASYMMETRIC)
    write_own(folder, "symmetric", ts.ENCRYPTION_TYPE.SYMMETRIC)
    try:
        ts.context_from(read(folder_4_1, "context.tenseal"))
        print("this TenSEAL also reads version 4.1")
    except Exception as e:  # the reason why 3.7 is offered
        print("this TenSEAL does not read version 4.1:", e)


main()
