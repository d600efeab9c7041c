# SPDX-License-Identifier: Apache-2.0
"""What nodes hold in memory while a model goes down and its updates come up, sampled.

A switch holds a window of frames and a few pieces of the model, whatever the model's size; a client holds
what it owes, a model's size, and the trainer that makes its updates up holds nothing.
"""

import datetime
import os
import statistics
import time
import unittest

import cairn
from cairn import CLIENT, TWO_LEVELS

MB = 1_000_000
LARGE = os.environ.get("CAIRN_LARGE") == "1"
PARAMS = 100_000_000 if LARGE else 20_000_000
# How full a window is, is chance: it is narrow where growth is to be seen, and filled soon.
NARROW, USUAL = 8 * 1024 * 1024, 64 * 1024 * 1024
NOISE = 8 * MB  # batches that happen to be on their way


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Run:
    """One round: samples of each process, and the time in which updates went up."""

    def __init__(self, case, params, window=NARROW):
        name = f"params-{params}"
        config = cairn.make_config(case.net, TWO_LEVELS, rounds=1, name=name, train={},
                                   server={"window_bytes": window})
        config["model"] = {"params": params}
        config["train"] = {"type": "synthetic"}
        nodes = case.start_nodes(config)
        agg = case.start_agg(config, f"{name}.json")
        self.of = {"aggregator": [agg.pid]}
        for address, node in config["others"].items():
            self.of.setdefault(node["type"], []).append(nodes[address].pid)
        self.samples = {pid: [] for pids in self.of.values() for pid in pids}
        while agg.poll() is None:
            now = datetime.datetime.now(datetime.timezone.utc).timestamp()
            for pid, samples in self.samples.items():
                try:
                    samples.append((now, rss(pid)))
                except (OSError, IndexError):
                    pass  # it has just ended
            try:
                agg.wait(timeout=0.02)
            except cairn.subprocess.TimeoutExpired:
                pass
        case.finish(agg)
        logs = [cairn.request(a, "GET", "/log").json["iteration"][0]
                for a, node in config["others"].items() if node["type"] == CLIENT]
        case.stop_nodes()
        case.started.clear()
        self.begin = min(seconds(e["start_time"]) + e["fetch_s"] + e["train_s"] for e in logs)
        self.end = max(seconds(e["end_time"]) for e in logs)

    def peak(self, role):
        return max(size for pid in self.of[role] for _, size in self.samples[pid])

    def halves(self, pid):
        """Samples of the first and the second half of the time in which it adds up."""
        middle = (self.begin + self.end) / 2
        inside = [(t, size) for t, size in self.samples[pid] if self.begin <= t <= self.end]
        return [size for t, size in inside if t < middle], [size for t, size in inside if t >= middle]

    def tell(self):
        print(f"\n{len(next(iter(self.samples.values())))} samples of each process; "
              f"updates went up for {self.end - self.begin:.2f} s")
        for role, pids in self.of.items():
            for pid in pids:
                sizes = [size for _, size in self.samples[pid]]
                line = f"  {role:10}  peak {max(sizes) / MB:6.1f} MB"
                first, second = self.halves(pid)
                if first and second:
                    line += "".join(
                        f", {half} half median {statistics.median(s) / MB:6.1f} highest {max(s) / MB:6.1f}"
                        for half, s in (("first", first), ("second", second)))
                print(line)


@unittest.skipIf(cairn.SANITIZED, "memory is not what it is")
class Memory(cairn.CairnCase):
    def test_a_switch_is_flat_through_a_round_and_does_not_grow_with_the_model(self):
        run = Run(self, PARAMS)
        run.tell()
        for pid in run.of["switch"]:
            first, second = run.halves(pid)
            self.assertGreater(min(len(first), len(second)), 5)
            # The window fills in the first half, which its median sees; one batch more makes the highest.
            # What is kept of a frame that has gone up would raise both.
            growth = min(measure(second) - measure(first) for measure in (statistics.median, max))
            self.assertLess(growth, NOISE)
        self.assertLess(run.peak("client"), 4 * PARAMS + 200 * MB)
        if LARGE:
            usual = Run(self, PARAMS, USUAL)
            usual.tell()
            self.assertLess(usual.peak("switch"), 200 * MB)
        else:
            smaller = Run(self, PARAMS // 4)
            smaller.tell()
            self.assertLess(run.peak("switch"), smaller.peak("switch") + NOISE)  # their updates differ by 34 MB


def peak(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0  # it has just ended


@unittest.skipIf(cairn.SANITIZED or LARGE, "memory is not what it is, or it has been measured")
class Estimate(cairn.CairnCase):
    """`cairn check` beside what is measured: never below it, and near it but for switches, whose sums come and go as fast as
    their children are. The window is as small as can be, for the same reason."""

    def compare(self, name, model, train, rows, **sections):
        cairn.make_data(self.data, rows, 600, 28)
        config = cairn.make_config(self.net, TWO_LEVELS, rounds=1, name=name, train=train,
                                   server={"window_bytes": 65536}, **sections)
        config["model"] = model
        checked = self.cairn("check", self.write(config), "--json", "--data-dir", self.data).json
        estimates = {node["address"].split(":")[0]: node["memory_bytes"] for node in checked["nodes"]}
        nodes = self.start_nodes(config)
        agg = self.start_agg(config, f"{name}.json")
        root, peaks = config["aggregator"]["ip"], {}
        while agg.poll() is None:
            peaks[root] = max(peak(agg.pid), peaks.get(root, 0))
            time.sleep(0.02)
        self.finish(agg)
        peaks.update((address, peak(process.pid)) for address, process in nodes.items())
        self.stop_nodes()
        self.started.clear()
        for address, measured in peaks.items():
            role = config["others"].get(address, {"type": "aggregator"})["type"]
            share = estimates[address] / measured
            print(f"\n  {name}, {role:10}  peak {measured / MB:6.1f} MB, estimate {share:.3f} of it", end="")
            self.assertGreaterEqual(share, 1)
            if role != "switch":
                self.assertLessEqual(share, 1.2)

    def test_a_cnn_with_large_batches(self):
        self.compare("cnn", {"type": "cnn"}, {"batch": 400}, 2400)

    def test_a_large_mlp(self):
        self.compare("mlp", {"layers": [784, 3000, 3000, 10]}, {}, 300)

    def test_an_mlp_that_is_shared_in_another_order(self):
        self.compare("only", {"layers": [784, 3000, 3000, 10]}, {}, 300, encryption={"only": ["layer2*"]})


if __name__ == "__main__":
    cairn.main()
