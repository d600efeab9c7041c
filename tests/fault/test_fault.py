# SPDX-License-Identifier: Apache-2.0
"""Count the calls that can fail, then fail one after the other.

A small federation on loopback (aggregator, switch, three clients) runs again and again; each time one
call of one process fails (fault.c): the n-th malloc, write, recv and so on. Whatever call it is:

  - no process is ended by a signal or says anything through a sanitizer,
  - either the run ends, with the model of an undisturbed one or a record of what is missing in it,
  - or a process ends it with an exit code that is documented and a sentence that says why,
  - or a node cannot go on and its status says why; when calls go on failing (site:n+), or its server
    is out of descriptors, it may also just wait for better times. Either way it ends when told to,
  - and the others are as they were: alive, no descriptor and no thread more, nothing in CLOSE-WAIT.

By default as many calls are tried as fit into --seconds, spread over roles, sites and time; --all
tries every one. A failure prints the line that tries it again.
"""

import argparse
import errno
import os
import random
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import cairn  # noqa: E402

BIN = os.environ.get(
    "CAIRN_FAULT_BIN", os.path.join(cairn.SOURCE, "build/release/tests/fault/cairn_fault")
)
LEAKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "leaks.supp")
ROLES = ("agg", "switch", "client")
DOCUMENTED = {2, 3, 4, 5, 6, 7, 8, 9, 10}  # include/cairn/err.h; 70 would be a bug
# libsodium aborts when the kernel gives randomness and then does not; libgcrypt with these lines when
# it cannot be set up, which random_prepare() has it do before anything else.
ABORTS = ("Fatal error: Cannot allocate memory", "fips_enabled' in libgcrypt")
RUN_S = 8  # an undisturbed run takes 0.2 s; retries after a reset add a second or two
LASTING_S = 1.5
# Kept connections, one or two to each of four neighbours. What leaks one a run still comes to light:
# most nodes live through all runs.
MORE_SOCKETS = 8
EVERY_NTH_LASTS = 4  # so many of the faults are of the kind that stays (site:n+)


def sockets_in(state, net):
    """How many TCP sockets of these addresses are in a state, as /proc/net/tcp numbers it."""
    a, b, c = (int(part) for part in net.split("."))
    prefix = f"{c:02X}{b:02X}{a:02X}"  # the kernel prints the address as one little-endian number
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(1 for row in rows if row[1][2:8] == prefix and row[3] == state)


class Resources:
    """What a process holds. Kept connections come and go, so only their number is bounded."""

    def __init__(self, pid):
        links = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
            except FileNotFoundError:
                pass
        self.sockets = sum(link.startswith("socket:") for link in links)
        self.others = sorted(link for link in links if not link.startswith("socket:"))
        self.threads = len(os.listdir(f"/proc/{pid}/task"))

    def grown_from(self, before):
        grown = []
        self.others = [link for link in self.others if link != "/dev/urandom"]  # without getrandom
        if len(self.others) > len(before.others):
            grown.append(f"descriptors {before.others} -> {self.others}")
        if self.sockets > before.sockets + MORE_SOCKETS:
            grown.append(f"sockets {before.sockets} -> {self.sockets}")
        if self.threads > before.threads:
            grown.append(f"threads {before.threads} -> {self.threads}")
        return ", ".join(grown)


class Faults(cairn.CairnCase):
    def setUp(self):
        super().setUp()
        cairn.make_data(self.data, train=90, test=30)
        # A run that a fault has cut off is gone on with by the next one, whose client may be another
        # process: with error feedback that one has forgotten what rounding lost in round 1.
        self.config = cairn.make_config(self.net, [[cairn.CLIENT] * 3], rounds=2,
                                        encryption={"error_feedback": False})
        self.path_of_config = self.write(self.config)
        switch, *clients = self.config["others"]
        self.victims = {"agg": self.config["aggregator"]["ip"], "switch": switch,
                        "client": clients[1]}
        self.nodes = {}
        self.found = []

    # ---- processes ----

    def launch(self, role, arguments, rule=None, count=None):
        """role: of the victim, or None. Its lines are in a file, as those of CairnCase.start."""
        environment = dict(os.environ)
        # whole stacks, through libraries without frame pointers, so that the suppressions can tell
        for name, more in (("ASAN_OPTIONS", "fast_unwind_on_malloc=0"),
                           ("LSAN_OPTIONS", f"print_suppressions=0:suppressions={LEAKS}")):
            environment[name] = ":".join(filter(None, (os.environ.get(name), more)))
        if rule:
            environment["CAIRN_FAULT"] = rule
        if count:
            environment["CAIRN_FAULT_COUNT"] = count
        log = open(self.path(f"{role or 'node'}-{len(self.started)}.log"), "wb+")
        process = subprocess.Popen([BIN, *arguments], cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=log, env=environment, text=True)
        process.log = log
        self.started.append(process)
        return process

    def launch_node(self, address, role=None, **fault):
        host, port = cairn.split(address)
        node = self.launch(role, ["node", "--listen", host, "--port", str(port), "--data-dir",
                                  self.data, "--log-dir", self.path("log")], **fault)
        end = time.monotonic() + 10
        while node.poll() is None and not cairn.listens(address):
            if time.monotonic() > end:
                break
            time.sleep(0.005)
        return node

    def launch_agg(self, role=None, **fault):
        return self.launch(role, ["agg", self.path_of_config, "--json", "--data-dir", self.data,
                                  "--log-dir", self.path("log"), "--runs-dir", self.path("runs")],
                           **fault)

    def start_others(self, role):
        for address in self.config["others"]:
            if address != self.victims[role] and address not in self.nodes:
                self.nodes[address] = self.launch_node(address)

    def end_process(self, process, number=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(timeout=8)
            return True
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False

    # ---- one run ----

    def judge_exit(self, process, what, stopped_by=None, rule=None):
        """None, or what is wrong with how it ended."""
        code, words = process.returncode, self.words(process)
        if code == -signal.SIGABRT and ((rule or "").startswith("getrandom") or
                                        any(line in words for line in ABORTS)):
            return None
        if "Sanitizer" in words or "runtime error:" in words:
            return f"{what}: a sanitizer's report"
        if code == 0 or (stopped_by and code in (128 + stopped_by, -stopped_by)):
            return None  # the last: told to end before it had a handler for that
        if code < 0:
            return f"{what}: ended by signal {-code}"
        if code not in DOCUMENTED:
            return f"{what}: exit code {code} is none of the documented ones"
        lines = [line for line in words.splitlines()
                 if line.startswith("cairn") and ": " in line and len(line) > 20]
        return None if lines else f"{what}: exit code {code} without a sentence"

    def wait_for_run(self, agg, victim, role, seconds):
        """Until the run or the victim has ended, or the victim says that it cannot go on. False:
        nothing of that."""
        begin = time.monotonic()
        look = begin + 1
        while time.monotonic() < begin + seconds:
            if agg.poll() is not None:
                return True
            if victim is not agg and victim.poll() is not None:
                time.sleep(0.05)
                return True
            if time.monotonic() > look:
                look += 1
                if b'"trouble"' in self.status_of(role):
                    return True
            time.sleep(0.005)
        return False

    def run_once(self, role, rule=None, **fault):
        """One run with this victim. Returns the victim, the aggregator, and what was wrong."""
        lasting = (rule or "").endswith("+") or (rule or "").startswith("socket")
        fault["rule"] = rule
        self.start_others(role)
        if role == "agg":
            agg = victim = self.launch_agg(role, **fault)
        else:
            victim = self.launch_node(self.victims[role], role, **fault)
            if victim.poll() is not None:  # it did not get as far as listening
                return victim, None, [self.judge_exit(victim, role, rule=rule)]
            agg = self.launch_agg()
        wrong = []
        seconds = LASTING_S if lasting else RUN_S
        if not self.wait_for_run(agg, victim, role, seconds) and not lasting:
            wrong.append(f"the run hangs; status of the {role}: {self.status_of(role)}")
        if victim is not agg:
            if agg.poll() is not None and victim.poll() is None:
                wrong.append(self.compare(Resources(victim.pid), role))
            if not self.end_process(victim):
                wrong.append(f"{role}: does not end on SIGTERM")
            wrong.append(self.judge_exit(victim, role, rule=rule))
        stopped = agg.poll() is None and signal.SIGTERM
        if not self.end_process(agg):
            wrong.append("agg: does not end on SIGTERM")
        wrong.append(self.judge_exit(agg, "agg", stopped, rule if agg is victim else None))
        if agg.returncode == 0:
            wrong.append(self.judge_result(agg))
        return victim, agg, wrong

    def status_of(self, role):
        try:
            return cairn.request(self.victims[role], "GET", "/status", timeout=2).body
        except OSError as error:
            return str(error).encode()

    def judge_result(self, agg):
        agg.out = agg.stdout.read()
        try:
            document = cairn.json.loads(agg.out)
        except ValueError:
            return f"agg: exit code 0 without a result: {agg.out!r}"
        expected = getattr(self, "digest", document["model_digest"])
        self.digest = expected
        if document["model_digest"] != expected and not self.is_recorded():
            return "the model is not that of an undisturbed run, and nothing says so"
        return None

    def is_recorded(self):
        """Does the run's own record say that something is missing in the model?"""
        with open(self.path("runs/test/rounds.jsonl")) as lines:
            rounds = [cairn.json.loads(line) for line in lines]
        return any(r["fewest_contributors"] < 3 or r["frames_discarded"] or r["frames_kept"]
                   for r in rounds)

    def compare(self, now, role):
        grown = now.grown_from(self.usual[role]) if role in self.usual else ""
        return f"{role}: leaks {grown}" if grown else None

    def judge_others(self):
        """They are to be as they were; connections that were cut may take a moment to go."""
        wrong = []
        end = time.monotonic() + 3
        while True:
            wrong = []
            for address, node in list(self.nodes.items()):
                if node.poll() is not None:
                    wrong.append(self.judge_exit(node, address) or f"{address}: has ended")
                    del self.nodes[address]
                    continue
                grown = Resources(node.pid).grown_from(self.quiet[address])
                if grown:
                    wrong.append(f"{address}: leaks {grown}")
            if sockets_in("08", self.net):
                wrong.append("sockets in CLOSE-WAIT")
            if not wrong or time.monotonic() > end:
                return wrong
            time.sleep(0.05)

    # ---- all of them ----

    def count_calls(self, role):
        """Calls of each site in an undisturbed run; also what the processes hold then."""
        self.usual, self.quiet = getattr(self, "usual", {}), {}
        path = self.path("calls")
        for _ in range(2):  # the first run opens the connections that are kept
            victim, agg, wrong = self.run_once(role, count=path)
            self.assertEqual([w for w in wrong if w], [], self.words(victim))
            self.assertEqual(agg.returncode, 0, self.words(agg))
        for address, node in self.nodes.items():
            self.quiet[address] = Resources(node.pid)
        with open(path) as lines:
            return {site: int(n) for site, n in (line.split() for line in lines)}

    def measure_usual(self, role):
        if role == "agg":
            return
        victim = self.launch_node(self.victims[role], role)
        agg = self.launch_agg()
        agg.wait(timeout=RUN_S)
        self.usual[role] = Resources(victim.pid)
        self.end_process(victim)

    def try_one(self, role, rule):
        victim, agg, wrong = self.run_once(role, rule=rule)
        struck = "fault: " in self.words(victim)
        wrong = [w for w in wrong if w] + self.judge_others()
        if wrong:
            self.found.append((role, rule, wrong))
            print(f"  {role}:{rule}: {'; '.join(wrong)}", flush=True)
            if options.only or any("sanitizer" in w or "signal" in w for w in wrong):
                print(self.words(victim), agg and agg is not victim and self.words(agg))
        for process in [p for p in self.started if p not in self.nodes.values()]:
            process.log.close()
            process.stdout.close()
            self.started.remove(process)
        if not wrong:
            for name in os.listdir(self.folder):
                if name.startswith(role + "-"):
                    os.unlink(self.path(name))
        return struck

    def rules_of(self, calls, dice):
        """Rules to try, the n spread at random, the kind that lasts among them."""
        for site, n in calls.items():
            numbers = list(range(1, n + 1))
            dice.shuffle(numbers)
            yield site, [f"{site}:{i}{'+' if k % EVERY_NTH_LASTS == 0 else ''}"
                         for k, i in enumerate(numbers)]

    def test_f19_one_call_fails(self):
        dice = random.Random(options.seed)
        if options.only:
            role, _, rule = options.only.partition(":")
            self.count_calls(role)
            self.measure_usual(role)
            self.try_one(role, rule)
            self.assertEqual(self.found, [])
            return
        for role in options.roles:
            self.stop_nodes()
            self.started.clear()
            self.nodes.clear()
            calls = self.count_calls(role)
            self.measure_usual(role)
            lists = [rules for site, rules in self.rules_of(calls, dice)
                     if rules and site in (options.sites or calls)]
            end = time.monotonic() + options.seconds / len(options.roles)
            if role == "agg":
                self.assertNotIn(0, calls.values(), f"a site is not reached: {calls}")
            tried = struck = 0
            while any(lists) and (options.all or time.monotonic() < end):
                for rules in lists:
                    if rules and (options.all or time.monotonic() < end):
                        struck += self.try_one(role, rules.pop())
                        tried += 1
            text = ", ".join(f"{site} {n}" for site, n in calls.items() if n)
            print(f"{role}: {tried} tried, {struck} struck, of the calls: {text}", flush=True)
            self.assertGreater(struck, 0)
        again = "\n".join(f"{sys.argv[0]} --only {role}:{rule}" for role, rule, _ in self.found)
        self.assertEqual(self.found, [], f"\nagain:\n{again}")


class Switch(cairn.CairnCase):
    """The switch itself: fault.c."""

    def cairn_fault(self, *arguments, program=BIN, **environment):
        return subprocess.run([program, *arguments], cwd=self.folder, capture_output=True,
                              text=True, timeout=30, env=dict(os.environ, **environment))

    def test_nth_and_all_after_it(self):
        for rule, lines in (("malloc:400", 1), ("malloc:400+", None), ("open:1:EACCES", 1),
                            ("malloc:99999999", 0)):
            done = self.cairn_fault("schema", CAIRN_FAULT=rule)
            if lines is not None:
                self.assertEqual(done.stderr.count("fault: "), lines, done.stderr)
            else:
                self.assertIn("fault: malloc call 401 fails: ENOMEM", done.stderr)
        self.assertEqual(done.returncode, 0)

    def test_errno(self):
        with open(self.path("c.json"), "w") as file:
            file.write("{}")
        calls = self.path("calls")
        self.cairn_fault("check", "c.json", CAIRN_FAULT_COUNT=calls)
        with open(calls) as lines:
            opened = int(dict(line.split() for line in lines)["open"])
        said = [self.cairn_fault("check", "c.json", CAIRN_FAULT=f"open:{i}:ELOOP").stderr
                for i in range(1, opened + 1)]
        self.assertIn(os.strerror(errno.ELOOP), "".join(said))

    def test_nonsense(self):
        for rule in ("malloc", "malloc:", "malloc:0", "malloc:x", "malloc:1x", "brew:1", "x" * 600,
                     "malloc:1:ENOSUCH", "malloc:1,brew:2", ",malloc:1"):
            done = self.cairn_fault("schema", CAIRN_FAULT=rule)
            self.assertEqual((done.returncode, done.stdout), (2, ""), rule)
            self.assertIn("CAIRN_FAULT is not", done.stderr)

    def test_shipped_binary_has_nothing_of_it(self):
        with open(cairn.BIN, "rb") as program:
            self.assertNotIn(b"CAIRN_FAULT", program.read())
        with open(BIN, "rb") as program:
            self.assertIn(b"CAIRN_FAULT", program.read())
        done = self.cairn_fault("schema", program=cairn.BIN, CAIRN_FAULT="malloc:1+")
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", help="role:site:n, as a failure prints it")
    parser.add_argument("--roles", nargs="*", default=ROLES)
    parser.add_argument("--sites", nargs="*", default=None)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    unittest.main(argv=sys.argv[:1], verbosity=2)
