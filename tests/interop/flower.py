# SPDX-License-Identifier: Apache-2.0
"""examples/flower_client in Flower itself: flower.py LIBCAIRN WORK, run by a Python that has flwr.

First in one process, where the result can be compared with plain federated averaging of the same training and everything
that the server sends and gets is looked at; then as its README has it for many machines, with a SuperLink and SuperNodes
on loopback addresses.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

LIBRARY, WORK = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
APP = os.path.join(ROOT, "examples", "flower_client")
PYTHON = os.path.join(ROOT, "python")
CLIENTS, ROUNDS = 4, 2
os.environ.update(CAIRN_LIBRARY=LIBRARY, FLWR_TELEMETRY_ENABLED="0", FLWR_HOME=os.path.join(WORK, "home"),
                  PYTHONPATH=PYTHON, PYTHONDONTWRITEBYTECODE="1")
sys.path[:0] = [APP, PYTHON]

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

import client
import server


class OneProcess(Grid):
    """Nodes 1, 2, ... that are called where they are asked; keeps what went either way."""

    run = None

    def __init__(self):
        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1  # what messages come from
        self.seen = []
        self.nodes = {k + 1: Context(1, k + 1, {"partition-id": k}, RecordDict(), {}) for k in range(CLIENTS)}

    def get_node_ids(self):
        return list(self.nodes)

    def answer(self, message):
        try:
            reply = client.app(message, self.nodes[message.metadata.dst_node_id])
        except Exception as error:
            return Message(Error(0, f"{type(error).__name__}: {error}"), reply_to=message)
        self.seen += [message.content, reply.content]
        return reply

    def send_and_receive(self, messages, *, timeout=None):
        return [self.answer(message) for message in messages]

    def set_run(self, run): ...
    def create_message(self, *arguments): ...
    def push_messages(self, messages): ...
    def pull_messages(self, message_ids): ...


def plain_rounds(model):
    """What federated averaging makes of the same training. @return the model, and the smallest weight of a round"""
    for _ in range(ROUNDS):
        results = [client.my_training(model, k) for k in range(CLIENTS)]
        weight = sum(samples for _, samples in results)
        model = [m + sum(samples * (trained[i] - m).astype(float) for trained, samples in results) / weight
                 for i, m in enumerate(model)]
        model = [m.astype(np.float32) for m in model]
    return model, weight


def refused(grid, record):
    try:
        server.ask(grid, 1, "open", record)
    except RuntimeError as error:
        return "only sums of 3 clients" in str(error)
    return False


def in_one_process():
    grid, model = OneProcess(), [np.zeros((client.CLASSES, client.FEATURES), np.float32),
                                 np.zeros(client.CLASSES, np.float32)]
    config = ConfigRecord({"range": 1.0, "largest-samples": 1000})
    strategy = server.EncryptedFedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=CLIENTS)
    result = strategy.start(grid, server.ArrayRecord(model), num_rounds=ROUNDS, train_config=config)

    plain, weight = plain_rounds(model)
    # with what is owed each client is off by less than a step after any number of rounds; training may enlarge that
    step = 1.0 / client.PARAMS.limit * 1000 / weight
    off = max(np.abs(a - b).max() for a, b in zip(result.arrays.to_numpy_ndarrays(), plain))
    assert 0 < off < 2 * CLIENTS * step, (off, step)
    owed = [grid.nodes[k].state["owed"].to_numpy_ndarrays()[0] for k in grid.nodes]
    assert all(np.abs(o).max() > 0 for o in owed), "nothing is owed after rounding"

    secret = grid.nodes[1].state["secret"]["key"]
    bytes_seen = [value for content in grid.seen for record in content.config_records.values()
                  for value in record.values() if isinstance(value, bytes)]
    assert bytes_seen and all(secret not in value for value in bytes_seen), "the secret key was sent"
    asked = {**strategy.config, "sum": b"", "weight": 1, "values": 1}
    assert refused(grid, {**asked, "contributors": 2, "server-round": ROUNDS + 1})
    assert refused(grid, {**asked, "contributors": CLIENTS, "server-round": ROUNDS})
    print(f"flower: {ROUNDS} rounds in one process, off by at most {off:.1e} from plain averaging")


def free_ports(n):
    held = [socket.socket() for _ in range(n)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def start(name, *arguments):
    with open(os.path.join(WORK, f"{name}.log"), "w") as log:
        program = os.path.join(os.path.dirname(sys.executable), arguments[0])
        return subprocess.Popen([program, *arguments[1:]], cwd=WORK, stdout=log, stderr=log, start_new_session=True)


def end(process):
    """It and what it has started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def wait_for(port, until):
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("flower: the SuperLink does not listen")


def with_superlink(until):
    port, *own = free_ports(1 + CLIENTS)
    os.makedirs(os.environ["FLWR_HOME"])
    with open(os.path.join(os.environ["FLWR_HOME"], "config.toml"), "w") as out:
        out.write(f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n')
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    started = [start("superlink", "flower-superlink", "--insecure", "--port", str(port),
                     "--disable-runtime-dependency-installation")]
    try:
        wait_for(port, until)
        started += [start(f"node-{k}", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}",
                          "--port", str(own[k]), "--node-config", f"partition-id={k}") for k in range(CLIENTS)]
        run = start("run", "flwr", "run", APP, "here", "--stream", "--run-config", f"rounds={ROUNDS}")
        started.append(run)
        code = run.wait(until - time.monotonic())
    finally:
        for process in reversed(started):
            end(process)
    with open(os.path.join(WORK, "run.log")) as log:
        text = log.read()
    accuracy = re.search(r"accuracy (\d\.\d+)", text)
    assert code == 0 and accuracy and float(accuracy[1]) > 0.9, text[-3000:]
    print(f"flower: {ROUNDS} rounds through a SuperLink and {CLIENTS} SuperNodes, {accuracy[0]}")


if __name__ == "__main__":
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    in_one_process()
    with_superlink(time.monotonic() + 240)
