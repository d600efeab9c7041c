# SPDX-License-Identifier: Apache-2.0
"""The server of the app: adds encrypted updates up, and has no key."""
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from client import CLASSES, FEATURES, FEWEST, PARAMS, rows

app = ServerApp()


def ask(grid, node, what, record):
    """Send a query to one client. @return the content of its answer"""
    message = Message(RecordDict({"config": ConfigRecord(record)}), dst_node_id=node, message_type=f"query.{what}")
    (reply,) = grid.send_and_receive([message])
    if reply.has_error():
        raise RuntimeError(f"the holder of the key: {reply.error.reason}")
    return reply.content


class EncryptedFedAvg(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        self.grid, self.model, self.config = grid, arrays.to_numpy_ndarrays(), config
        messages = super().configure_train(server_round, arrays, config, grid)  # waits for the nodes
        if "public-key" not in config:
            self.holder = min(grid.get_node_ids())
            config.update(ask(grid, self.holder, "keys", {})["keys"])  # the messages carry this very config
        return messages

    def aggregate_train(self, server_round, replies):
        contents = [reply.content for reply in replies if not reply.has_error()]
        if len(contents) < FEWEST:
            return None, None  # the model stays as it is
        n = sum(array.size for array in self.model)
        total = bytearray(PARAMS.payload_size(n))  # zeros: the sum of nobody
        for content in contents:
            PARAMS.add(total, content["update"]["payload"], n)
        weight = sum(content["metrics"]["num-examples"] for content in contents)
        asked = {**self.config, "sum": bytes(total), "contributors": len(contents), "weight": weight, "values": n}
        mean = ask(self.grid, self.holder, "open", asked)["mean"].to_numpy_ndarrays()[0]
        updates = np.split(mean, np.cumsum([array.size for array in self.model])[:-1])
        model = [array + update.reshape(array.shape) for array, update in zip(self.model, updates)]
        return ArrayRecord(model), self.train_metrics_aggr_fn(contents, self.weighted_by_key)


@app.main()
def main(grid: Grid, context: Context) -> None:
    model = [np.zeros((CLASSES, FEATURES), np.float32), np.zeros(CLASSES, np.float32)]
    config = ConfigRecord({"range": 1.0, "largest-samples": 1000})
    settings = context.run_config  # pyproject.toml
    strategy = EncryptedFedAvg(fraction_evaluate=0.0, min_train_nodes=FEWEST, min_available_nodes=settings["clients"])
    result = strategy.start(grid, ArrayRecord(model), num_rounds=settings["rounds"], train_config=config)
    weight, bias = result.arrays.to_numpy_ndarrays()
    x, y = rows(1000, 1000)
    print(f"accuracy {((x @ weight.T + bias).argmax(1) == y).mean():.3f}")
