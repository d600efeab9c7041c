# SPDX-License-Identifier: Apache-2.0
"""Trainers that work on a torch module. Imported only where it is used, so cairn itself needs no torch.

    @cairn.pytorch.trainer(Net, evaluate=test)
    def train(net, ctx):            # net: a Net with the global model in it
        ...
        return samples, {"loss": loss}
"""

from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

import numpy as np
import torch
from numpy.typing import NDArray

from ._trainer import Context, Metrics, Model, Trainer

TrainModule = Callable[[Any, Context], Tuple[int, Metrics]]
EvaluateModule = Callable[[Any, Context], Metrics]


class Arrays(Dict[str, NDArray[Any]]):
    """Tensors as numpy arrays of the same dtypes; those of bfloat16, which numpy does not have, as float32."""

    bf16: FrozenSet[str] = frozenset()  # their names


def to_arrays(state: Mapping[str, torch.Tensor]) -> Arrays:
    """A state_dict as numpy arrays: copies of the same names, shapes and dtypes, on the processor."""
    out = Arrays()
    out.bf16 = frozenset(name for name, value in state.items() if value.dtype == torch.bfloat16)
    for name, value in state.items():
        tensor = value.detach().cpu()
        out[name] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()
    return out


def load(module: torch.nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put arrays into a module: all of its names, each in the module's own shape and dtype and on its device.

    Raises KeyError where the names differ, RuntimeError where an array has another number of elements.
    """
    state = module.state_dict()
    missing = sorted(set(state) ^ set(arrays))
    if missing:
        raise KeyError(f"the model and the module have different tensors: {missing[:5]}")
    module.load_state_dict({name: _tensor(arrays[name], value) for name, value in state.items()})


def _tensor(array: NDArray[Any], like: torch.Tensor) -> torch.Tensor:
    flat = torch.from_numpy(np.ascontiguousarray(array))
    tensor: torch.Tensor = flat.reshape(like.shape).to(dtype=like.dtype, device=like.device)
    return tensor


def trainer(make: Callable[[], torch.nn.Module], evaluate: Optional[EvaluateModule] = None
            ) -> Callable[[TrainModule], Trainer]:
    """Decorator: `train(net, ctx) -> (samples, metrics)` becomes a trainer of the modules that `make` makes.

    samples   rows that were trained on, at least 1: the weight of the update
    metrics   numbers by name; tensors of one element will do
    evaluate  function (net, ctx) -> {"samples", "loss", and where there are classes "accuracy" or "correct"}, called
              without gradients and with net.eval(), for train.evaluate

    The same module is used for each task of a kept program; torch's seed is set from the run's, the round and
    the client before each.
    """
    nets: List[torch.nn.Module] = []

    def initial(ctx: Context) -> Model:
        torch.manual_seed(ctx.seed)
        return to_arrays(make().state_dict())

    def fill(model: Model, ctx: Context) -> torch.nn.Module:
        if not nets:
            nets.append(make())
        torch.manual_seed(int(ctx.rng().integers(1 << 62)))
        load(nets[0], model)
        return nets[0]

    def decorate(train: TrainModule) -> Trainer:
        def train_arrays(model: Model, ctx: Context) -> Tuple[Model, int, Metrics]:
            net = fill(model, ctx)
            net.train()
            samples, metrics = train(net, ctx)
            return to_arrays(net.state_dict()), samples, metrics

        def evaluate_arrays(model: Model, ctx: Context) -> Metrics:
            net = fill(model, ctx)
            net.eval()
            with torch.no_grad():
                return evaluate(net, ctx)  # type: ignore[misc]

        return Trainer(train_arrays, initial,
                       evaluate_arrays if evaluate is not None else None)

    return decorate
