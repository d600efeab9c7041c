# SPDX-License-Identifier: Apache-2.0
"""Trainers in Python for cairn.

    import cairn

    @cairn.trainer(initial=first_model)
    def train(model, ctx):          # model: dict of numpy arrays, by name
        ...
        return model, samples, {"loss": loss}

    if __name__ == "__main__":
        train.run()

`cairn.pytorch` does the same for torch modules, `cairn.safetensors` reads and writes model files,
and `cairn.he` is libcairn: keys, encryption and exact encrypted sums.
"""

from ._trainer import Context, Model, Trainer, TrainerError, trainer

__all__ = ["Context", "Model", "Trainer", "TrainerError", "trainer"]
__version__ = "0.1.0"
