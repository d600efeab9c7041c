# SPDX-License-Identifier: Apache-2.0
"""The proxy of tests/faultproxy as an object: a bad network between two nodes, changed while it runs.

A node's address in the config is where the proxy listens; the node itself listens on another port
of the same address. So everything that is sent to this node goes through the proxy:

    proxy = proxy_for(self, "127.80.1.2")               # listens on :5000, forwards to :5001
    self.start_node("127.80.1.2:5001", "--advertise", "127.80.1.2:5000")
    proxy.say("only /s/receive", "cut up 1000 once")
"""

import json
import os
import subprocess

import cairn

BIN = os.environ.get(
    "CAIRN_FAULTPROXY", os.path.join(cairn.SOURCE, "build/release/tests/faultproxy/faultproxy")
)


class FaultProxy:
    def __init__(self, listen, target):
        self.process = subprocess.Popen([BIN, listen, target], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        first = self.process.stdout.readline()
        if not first:
            raise AssertionError(f"faultproxy {listen} {target} did not start")
        self.address = json.loads(first)["listening"]

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()

    def say(self, *lines):
        """Commands, in effect when this returns."""
        for line in lines:
            answer = self.ask(line)
            if answer != "ok":
                raise AssertionError(f"{line}: {answer}")

    def stats(self):
        return json.loads(self.ask("stats"))

    def stop(self):
        """Its exit code, which is 1 when a sanitizer had something to say."""
        self.process.stdin.close()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.process.stdout.close()


def proxy_for(case, address, target=None):
    """A proxy at a node's configured address, stopped when the test case ends."""
    host, port = cairn.split(address)
    proxy = FaultProxy(f"{host}:{port}", target or f"{host}:{port + 1}")

    def stop():
        case.assertEqual(proxy.stop(), 0, "the proxy's exit code")

    case.addCleanup(stop)
    return proxy
