# SPDX-License-Identifier: Apache-2.0
"""The file commands with --format seal and tenseal, judged by node-seal and TenSEAL.

files.py JUDGE CAIRN HOME WORK, with JUDGE node or tenseal
"""
import array
import json
import os
import random
import shutil
import struct
import subprocess
import sys

N = 9000  # two lanes of 2048 and slots of 4096: three chunks, the last one not full
STEP = 1 / 32767


def npy(values):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(values)},), }}"
    text += " " * (-(10 + len(text) + 1) % 64) + "\n"
    return (b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode()
            + array.array("f", values).tobytes())


def read_npy(name):
    data = get(name)
    values = array.array("f")
    values.frombytes(data[10 + struct.unpack_from("<H", data, 8)[0]:])
    return values


def put(name, data):
    with open(name, "wb") as f:
        f.write(data)


def get(name):
    with open(name, "rb") as f:
        return f.read()


def require(ok, what):
    if not ok:
        sys.exit(f"interop: {what}")


class Files:
    def __init__(self, cairn, form):
        self.program, self.form = cairn, form

    def cairn(self, command, *arguments):
        subprocess.run([self.program, command, "--format", self.form, *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def sum(self, name, models, *keygen):
        """Everything up to NAME.sum, opened as sum in NAME.npy."""
        self.cairn("keygen", "--contributors", "4", "--out", name, *keygen)
        for i in range(len(models)):
            self.cairn("encrypt", "--key", f"{name}.public", "--index", str(i), "--in",
                       f"m{i}.npy", "--out", f"{name}.{i}")
        self.cairn("add", "--out", f"{name}.sum", *(f"{name}.{i}" for i in range(len(models))))
        self.open(name)

    def open(self, name):
        self.cairn("decrypt", "--sum", "--key", f"{name}.secret", "--in", f"{name}.sum", "--out",
                   f"{name}.npy")


def check_sum(found, models, what):
    exact = [sum(m[i] for m in models) for i in range(N)]
    worst = max(abs(a - b) for a, b in zip(found, exact))
    require(len(found) == N and worst < (len(models) + 1) * STEP, f"{what}: {worst}")
    print(f"{what}: largest error {worst:.2e}")


def numbers(name, kind):
    result = array.array(kind)
    result.frombytes(get(name))
    return result


def check_lanes(words, sums, plain_modulus):
    """Coefficients are v0 + v1 r with one radix r, whatever it is."""
    radixes = set()
    for i, word in enumerate(words):
        chunk, place = divmod(i, 2048)
        at = chunk * 4096 + place
        v0 = sums[at] if at < N else 0
        v1 = sums[at + 2048] if at + 2048 < N else 0
        word -= plain_modulus if 2 * word > plain_modulus else 0
        require((word == v0) if v1 == 0 else (word - v0) % v1 == 0, f"coefficient {i}")
        if v1 != 0:
            radixes.add((word - v0) // v1)
    require(len(radixes) == 1 and min(radixes) > 4 * 32767, f"radix {radixes}")
    print(f"node-seal: {len(words)} coefficients are the sums in lanes of radix {min(radixes)}")


def node(cairn, home, models):
    judge = os.path.join(os.path.dirname(os.path.abspath(__file__)), "judge_files.js")
    files = Files(cairn, "seal")
    for name, *keygen in (("bfv", "--profile", "bfv"), ("ckks", "--profile", "seal-ckks"),
                          ("ckks37", "--profile", "seal-ckks", "--seal-version", "3.7")):
        files.sum(name, models, *keygen)
        check_sum(read_npy(f"{name}.npy"), models, f"cairn, {name}")
        note = json.loads(get(f"{name}.sum.json"))
        node_program = os.environ.get("CAIRN_NODE", "node")
        subprocess.run([node_program, judge, home, name], check=True)
        sums = [round(v / STEP) for v in read_npy(f"{name}.npy")]
        if name == "bfv":
            modulus = struct.unpack_from("<Q", get("bfv.public.parms"), 73)[0]
            check_lanes(numbers("bfv.words", "Q"), sums, modulus)
        else:
            slots = numbers(f"{name}.slots", "d")
            require(all(abs(s - v) < 1e-5 for s, v in zip(slots, sums)), f"slots of {name}")
            print(f"node-seal: {N} slots of {name} are the sums")
        # and node-seal's own update, client 3, joins: its file holds zeros but for 5 in front
        note.update(contributors=1, weight=1, set="08")
        del note["digest"]
        put(f"{name}.3.json", json.dumps(note).encode())
        files.cairn("add", "--out", f"{name}.all", f"{name}.sum", f"{name}.3")
        files.cairn("decrypt", "--sum", "--key", f"{name}.secret", "--in", f"{name}.all", "--out",
                    f"{name}.all.npy")
        more = [round(v / STEP) for v in read_npy(f"{name}.all.npy")]
        require([a - b for a, b in zip(more, sums)] == [5] + [0] * (N - 1), f"sum with {name}.3")
        print(f"cairn: {name}: an update that node-seal encrypted is in the sum")


def tenseal(cairn, models):
    import tenseal as ts
    files = Files(cairn, "tenseal")
    files.sum("ts", models)
    check_sum(read_npy("ts.npy"), models, "cairn, tenseal")
    secret = ts.context_from(get("ts.secret"))
    opened = ts.ckks_vector_from(secret, get("ts.sum")).decrypt()
    check_sum(opened, models, "TenSEAL opens cairn's sum")

    # a client that is TenSEAL, without the secret key and without a note
    context = ts.context_from(get("ts.public"))
    own = [random.Random(9).uniform(-0.5, 0.5) for _ in range(N)]
    put("ts.3", ts.ckks_vector(context, own).serialize())
    files.cairn("add", "--key", "ts.public", "--out", "ts.all", "ts.sum", "ts.3")
    files.cairn("decrypt", "--sum", "--key", "ts.secret", "--in", "ts.all", "--out", "ts.all.npy")
    check_sum(read_npy("ts.all.npy"), models + [own], "cairn adds and opens TenSEAL's vector")

    # TenSEAL clients only
    vectors = []
    for i in range(3):
        put(f"ts.only{i}", ts.ckks_vector(context, list(models[i])).serialize())
        vectors.append(f"ts.only{i}")
    files.cairn("add", "--key", "ts.public", "--out", "ts.only", *vectors)
    files.cairn("decrypt", "--sum", "--key", "ts.secret", "--in", "ts.only", "--out",
                "ts.only.npy")
    check_sum(read_npy("ts.only.npy"), models, "cairn adds TenSEAL's vectors only")


def main():
    judge, cairn, home, work = sys.argv[1:]
    home, cairn = os.path.abspath(home), os.path.abspath(cairn)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    os.chdir(work)
    noise = random.Random(20)
    models = [array.array("f", [noise.uniform(-0.9, 0.9) for _ in range(N)]) for _ in range(3)]
    for i, model in enumerate(models):
        put(f"m{i}.npy", npy(model))
    node(cairn, home, models) if judge == "node" else tenseal(cairn, models)


main()
