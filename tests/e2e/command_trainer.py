# SPDX-License-Identifier: Apache-2.0
"""A trainer for test_command.py, with nothing but the standard library: adds 1 to every weight, and does
what settings.faults says instead, by round and client."""

import array
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

SHAPES = {"w": [3, 2], "b": [2], "e": [0], "s": []}
TYPES = {"F32": "f", "I64": "q", "U8": "B"}
NAMES = {code: name for name, code in TYPES.items()}


def write(path, tensors, metadata=None):
    header, data, at = {"__metadata__": metadata} if metadata else {}, b"", 0
    for name, (shape, values) in tensors.items():
        raw = values.tobytes()
        header[name] = {"dtype": NAMES[values.typecode], "shape": shape, "data_offsets": [at, at + len(raw)]}
        data += raw
        at += len(raw)
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def read(path):
    with open(path, "rb") as file:
        raw = file.read()
    length = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__", None)
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = array.array(TYPES[entry["dtype"]])
        values.frombytes(raw[8 + length + begin : 8 + length + end])
        tensors[name] = (entry["shape"], values)
    return tensors, metadata


def metadata_of(task):
    """As text, because a config has no zero bytes."""
    return json.loads(task["settings"].get("metadata", "null"))


def count(shape):
    n = 1
    for size in shape:
        n *= size
    return n


def sleeper():
    """A grandchild in a session of its own, whose parent is gone."""
    code = ("import subprocess, sys; subprocess.Popen([sys.executable, sys.argv[1], 'sleep'],"
            " start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)")
    subprocess.run([sys.executable, "-c", code, os.path.abspath(__file__)], check=True)


def do(task, fault):
    if task["task"] == "initial":
        tensors = {name: (shape, array.array("f", [0.0] * count(shape))) for name, shape in SHAPES.items()}
        if task["settings"].get("counter"):
            tensors["n"] = ([], array.array("q", [-3]))
            tensors["p.n"] = ([2], array.array("B", [7, 8]))
        write("trained.safetensors", tensors, metadata_of(task))
        return
    model, metadata = read("model.safetensors")
    if metadata != metadata_of(task):
        sys.exit(f"metadata are {metadata}")
    metrics = {"samples": 2 + task["index"] if task["settings"].get("uneven") else 5, "loss": 0.5}
    if task["task"] == "evaluate":
        metrics["accuracy"] = 0.8
    for name in task["settings"].get("own", []):  # of this client alone, from its own training before
        begun = task["settings"]["own"][name]
        if task["task"] == "train" and list(model[name][1]) != [x + task["round"] - 1 for x in begun]:
            sys.exit(f"{name} is {model[name][1]} in round {task['round']}")
    trained = {n: (shape, array.array(values.typecode, [v + 1 for v in values]))
               for n, (shape, values) in reversed(list(model.items()))}
    if fault:
        print(f"about to do {fault}", file=sys.stderr, flush=True)
    if fault == "exit":
        sys.exit(3)
    elif fault == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fault == "slow":
        time.sleep(3)
    elif fault == "hang":
        sleeper()
        time.sleep(1000)
    elif fault == "memory":
        bytearray(1 << 40)
    elif fault == "junk":
        with open("trained.safetensors", "wb") as out:
            out.write(os.urandom(500))
        trained = None
    elif fault == "no model":
        trained = None
    elif fault == "missing":
        del trained["w"]
    elif fault == "shape":
        trained["w"] = ([2, 3], trained["w"][1])
    elif fault == "nan":
        trained["w"][1][4] = float("nan")
    elif fault == "no samples":
        metrics["samples"] = 0
    elif fault == "no metrics":
        metrics = None
    elif fault == "many samples":
        metrics["samples"] = 6
    elif fault == "words in metrics":
        metrics["loss"] = "low"
    elif fault == "in place":
        os.chmod("model.safetensors", 0o600)
        with open("model.safetensors", "r+b") as file:
            file.seek(-4, 2)
            file.write(b"1234")
    elif fault == "flood":
        while True:
            os.write(2, b"no end of this\n" * 500)
    elif fault == "children":
        sleeper()
    if trained is not None:
        write("trained.safetensors", trained)
    if metrics is not None:
        with open("metrics.json", "w") as out:
            json.dump(metrics, out)
    # a line of progress is cut at some length, and tests have many CAIRN_* of their own
    names = sorted(n for n in os.environ if not n.startswith("CAIRN_") or n.endswith("_DIR"))
    print(f"client {task['index']} round {task['round']} environment {names}", flush=True)


def fault_of(task):
    faults = task["settings"].get("faults", [])
    mine = task["task"] == "train" and task["index"] == 0 and task["round"] <= len(faults)
    return faults[task["round"] - 1] if mine else ""


def kept():
    s = socket.socket(fileno=int(os.environ["CAIRN_SOCKET"]))
    started = time.monotonic_ns()

    def send(message):
        text = json.dumps(message).encode()
        s.sendall(struct.pack("<I", len(text)) + text)

    while True:
        head = s.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return
        task = json.loads(s.recv(struct.unpack("<I", head)[0], socket.MSG_WAITALL))
        fault = fault_of(task)
        send({"progress": f"process {os.getpid()} since {started}"})
        if fault == "error":
            send({"error": "out of luck"})
        elif fault == "nonsense":
            s.sendall(b"\xff\xff\xff\xff")
        else:
            do(task, fault)
            send({"done": True})


if __name__ == "__main__":
    if sys.argv[1:] == ["sleep"]:
        time.sleep(1000)
    elif "CAIRN_SOCKET" in os.environ:
        kept()
    else:
        with open("task.json") as file:
            job = json.load(file)
        do(job, fault_of(job))
