# SPDX-License-Identifier: Apache-2.0
"""The program's side of train.type command: tasks come as files, or over a socket when the program is kept.

A trainer is a function from a model to a model. This module reads task.json and model.safetensors, calls it,
and leaves trained.safetensors and metrics.json, checked before they are written, so that a mistake is a
Python traceback here and not a refusal there.
"""

import json
import os
import socket
import struct
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Union, overload

import numpy as np
from numpy.typing import NDArray

from . import safetensors

Model = Dict[str, NDArray[Any]]
Metrics = Mapping[str, float]
Train = Callable[[Model, "Context"], Tuple[Mapping[str, NDArray[Any]], int, Metrics]]
Evaluate = Callable[[Model, "Context"], Metrics]
Initial = Union[Mapping[str, NDArray[Any]], Callable[["Context"], Mapping[str, NDArray[Any]]]]

_MESSAGE_MOST = 1 << 20


class TrainerError(RuntimeError):
    """The trainer's function gave something that cannot be a result."""


@dataclass
class Context:
    """What is known of a task besides the model."""

    task: str = "train"
    round: int = 0
    index: int = 0            # of this client, 0 .. client_number-1
    client_number: int = 1    # of all clients
    samples: int = 0          # most that may be reported (train.samples)
    seed: int = 0             # of the run
    seconds: float = 0.0      # until the task must be done
    proximal_mu: float = 0.0  # FedProx: weight of the pull back to the round's model (train.proximal_mu)
    settings: Dict[str, Any] = field(default_factory=dict)  # train.settings
    data_dir: str = "data"    # where this machine keeps its data
    _send: Optional[Callable[[Dict[str, Any]], None]] = None

    def progress(self, text: str) -> None:
        """Tell people how it goes: in the node's log and its GET /status."""
        line = " ".join(str(text).split())
        if self._send is not None:
            self._send({"progress": line})
        else:
            print(line, flush=True)

    def rng(self) -> np.random.Generator:
        """Randomness that is the same when the round is repeated, and different for each client and round.
        For training only: it is told by seed, round and index, and so no secret."""
        return np.random.default_rng([self.seed, self.round, self.index])

    def share(self, rows: int) -> slice:
        """This client's part of so many rows: every client_number-th, beginning at its index."""
        return slice(self.index, rows, max(self.client_number, 1))


def _checked(trained: Mapping[str, Any], asked: Mapping[str, Tuple[Tuple[int, ...], Any]]) -> Model:
    """What came back, as the arrays that went in: same names, shapes and dtypes, nothing but numbers."""
    if set(trained) != set(asked):
        wrong = sorted(set(trained) ^ set(asked))
        raise TrainerError(f"the trained model has other tensors than the one that was given: {wrong[:5]}")
    out: Model = {}
    for name, (shape, dtype) in asked.items():
        after = np.asarray(trained[name])
        if after.shape != shape:
            raise TrainerError(f'tensor "{name}" came back with shape {after.shape}, not {shape}')
        out[name] = after.astype(dtype, copy=False)
        if out[name].dtype.kind == "f" and not np.isfinite(out[name]).all():
            raise TrainerError(f'tensor "{name}" came back with NaN or infinity: training has diverged')
    return out


def _numbers(metrics: Metrics) -> Dict[str, float]:
    out: Dict[str, float] = {}
    for key, value in metrics.items():
        number = float(value)
        if not np.isfinite(number):
            raise TrainerError(f'metric "{key}" is {number}')
        out[str(key)] = int(number) if number.is_integer() else number
    return out


def _write_json(path: str, document: Any) -> None:
    with open(path + ".part", "w", encoding="utf-8") as out:
        json.dump(document, out)
    os.replace(path + ".part", path)


class Trainer:
    """A decorated training function; calling it calls the function."""

    def __init__(self, train: Train, initial: Optional[Initial] = None,
                 evaluate: Optional[Evaluate] = None):
        self.train, self.initial, self.evaluate = train, initial, evaluate
        self.__name__ = getattr(train, "__name__", "trainer")
        self.__doc__ = train.__doc__

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.train(*arguments, **named)

    # ---- tasks ----

    def _make_initial(self, ctx: Context) -> None:
        if self.initial is None:
            raise TrainerError("no initial model: give @cairn.trainer(initial=...), or set model.file in the config")
        tensors = self.initial(ctx) if callable(self.initial) else self.initial
        # arrays keep their dtype, in which the final model will be; plain numbers have none
        arrays = {name: value if isinstance(value, (np.ndarray, np.generic)) else np.asarray(value, np.float32)
                  for name, value in tensors.items()}
        for name, value in arrays.items():
            if value.dtype.kind in "iu" and value.ndim > 0:
                print(f'tensor "{name}" holds whole numbers: of those the largest of all clients\' is taken, not the '
                      "mean; make it float32 if they are weights", file=sys.stderr)
        safetensors.write("trained.safetensors", arrays, bf16=getattr(tensors, "bf16", ()))

    def _train(self, ctx: Context) -> None:
        model = safetensors.read("model.safetensors")
        asked = {name: (value.shape, value.dtype) for name, value in model.items()}
        result = self.train(model, ctx)
        if not isinstance(result, tuple) or len(result) != 3:
            raise TrainerError("a training function returns (model, samples, metrics)")
        trained, samples, metrics = result
        if int(samples) < 1:
            raise TrainerError(f"trained on {samples} samples")
        safetensors.write("trained.safetensors", _checked(trained, asked))
        _write_json("metrics.json", {**_numbers(metrics), "samples": int(samples)})

    def _evaluate(self, ctx: Context) -> None:
        if self.evaluate is None:
            raise TrainerError("nothing to evaluate with: give @cairn.trainer(evaluate=...)")
        metrics = _numbers(self.evaluate(safetensors.read("model.safetensors"), ctx))
        if metrics.get("samples", 0) < 1:
            raise TrainerError('an evaluation returns "samples", "loss", and where there are classes "accuracy" or "correct"')
        _write_json("metrics.json", metrics)

    def do(self, ctx: Context) -> None:
        """Do one task in the current folder."""
        if ctx.task == "initial":
            self._make_initial(ctx)
        elif ctx.task == "train":
            self._train(ctx)
        elif ctx.task == "evaluate":
            self._evaluate(ctx)
        else:
            raise TrainerError(f"there is no task {ctx.task!r}")

    # ---- being run ----

    def run(self) -> None:
        """Be the program of train.command. To be called last in a script."""
        if "CAIRN_WORK_DIR" not in os.environ:
            sys.exit("this trainer is started by cairn: name it in train.command of a config")
        os.chdir(os.environ["CAIRN_WORK_DIR"])
        if "CAIRN_SOCKET" in os.environ:
            self._serve(socket.socket(fileno=int(os.environ["CAIRN_SOCKET"])))
        else:
            with open("task.json", encoding="utf-8") as file:
                self.do(_context(json.load(file)))

    def _serve(self, channel: socket.socket) -> None:
        """Task after task, until the other end closes."""
        def send(message: Dict[str, Any]) -> None:
            text = json.dumps(message).encode("utf-8")
            channel.sendall(struct.pack("<I", len(text)) + text)

        while True:
            task = _receive(channel)
            if task is None:
                return
            try:
                self.do(_context(task, send))
            except Exception as error:  # of the user's function: the node is told, and the next round comes
                traceback.print_exc()
                sys.stderr.flush()
                send({"error": f"{type(error).__name__}: {error}"[:400]})
            else:
                send({"done": True})


def _context(task: Mapping[str, Any], send: Optional[Callable[[Dict[str, Any]], None]] = None) -> Context:
    known = ("task", "round", "index", "client_number", "samples", "seed", "seconds", "proximal_mu", "settings")
    values = {key: task[key] for key in known if key in task}
    return Context(**values, data_dir=os.environ.get("CAIRN_DATA_DIR", "data"), _send=send)


def _receive(channel: socket.socket) -> Optional[Dict[str, Any]]:
    head = channel.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return None
    length = struct.unpack("<I", head)[0]
    if length > _MESSAGE_MOST:
        raise TrainerError("a message longer than any of cairn's")
    message: Dict[str, Any] = json.loads(channel.recv(length, socket.MSG_WAITALL))
    return message


@overload
def trainer(function: Train) -> Trainer: ...
@overload
def trainer(function: None = None, *, initial: Optional[Initial] = None,
            evaluate: Optional[Evaluate] = None) -> Callable[[Train], Trainer]: ...


def trainer(function: Optional[Train] = None, *, initial: Optional[Initial] = None,
            evaluate: Optional[Evaluate] = None) -> Union[Trainer, Callable[[Train], Trainer]]:
    """Decorator: `train(model, ctx) -> (model, samples, metrics)` becomes a trainer.

    model     arrays by name, in and out the same names and shapes; they may be changed in place. Floats go back to the
              dtype in which they came
    samples   rows that were trained on, at least 1: the weight of the update
    metrics   numbers by name, "loss" and any others
    initial   the model to begin with, or a function (ctx) -> model; not needed where the config has model.file
    evaluate  function (model, ctx) -> {"samples", "loss", and where there are classes "accuracy" or "correct"}, for
              train.evaluate

    What cannot be a result (other tensors or shapes, NaN, no samples) is a TrainerError, with its traceback in the
    node's log: that client sits the round out.
    """
    if function is not None:
        return Trainer(function)
    return lambda train: Trainer(train, initial, evaluate)
