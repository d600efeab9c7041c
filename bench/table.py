# SPDX-License-Identifier: Apache-2.0
"""table.py [--json] FOLDER: what the runs of bench/compare.sh left in the folder, as one table."""

import datetime
import json
import os
import sys

BASE = "cairn capsule"  # what the others are divided by
FLOATS = BASE + ", floats to floats"
VECTOR = "TenSEAL ckks_vector"
WANTED = {"encrypt": 100, "upload": 25}  # times faster, times smaller than VECTOR


def load(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def note(profile):
    if profile["profile"] == "none":
        return "no encryption"
    if profile["profile"] == "seal-ckks":
        return f"N={profile['n']}, a parameter in a slot, SEAL's parameters"
    return f"N={profile['n']}, parameters in a coefficient: {profile['lanes']}"


def cairn_rows(bench):
    """cairn adds integers exactly, and has checked that in the run: its error is 0 steps."""
    rows = []
    for p in bench["profiles"]:
        rows.append({
            "name": "cairn " + p["profile"],
            "note": note(p),
            "params": p["params"],
            "clients": p["contributors"],
            "encrypt_ns": p["encrypt_ns_per_param"],
            "serialise_ns": 0,
            "add_ns": p["fold_ns_per_param"],
            "decrypt_ns": p["open_ns_per_param"],
            "bytes": p["bits_per_param"] / 8,
            "max_error_steps": 0,
        })
        if rows[-1]["name"] == BASE:
            rows.append({
                **rows[-1],
                "name": FLOATS,
                "note": "the same, with the quantiser before and after it",
                "encrypt_ns": p["encrypt_ns_per_param"] + bench["quantise_ns_per_param"],
                "decrypt_ns": p["open_ns_per_param"] + bench["apply_ns_per_param"],
            })
    return sorted(rows, key=lambda row: not row["name"].startswith(BASE))


def add_ratios(rows):
    base = rows[0]
    for row in rows:
        row["ratios"] = {key: row[key] / base[key]
                         for key in ("encrypt_ns", "add_ns", "decrypt_ns", "bytes")}


def skipped(folder):
    with open(os.path.join(folder, "skipped"), encoding="utf-8") as f:
        return [dict(zip(("name", "reason"), line.rstrip("\n").split("\t"))) for line in f]


def verdicts(rows):
    vector = next((row for row in rows if row["name"] == VECTOR), None)
    if vector is None:
        return None
    found = {"encrypt": vector["ratios"]["encrypt_ns"], "upload": vector["ratios"]["bytes"]}
    verdict = {key: {"times": found[key], "wanted": WANTED[key], "met": found[key] >= WANTED[key]}
               for key in WANTED}
    floats = next(row for row in rows if row["name"] == FLOATS)
    verdict["encrypt"]["times_with_quantiser"] = vector["encrypt_ns"] / floats["encrypt_ns"]
    return verdict


def collect(folder):
    bench = load(folder, "cairn.json")
    rows = cairn_rows(bench)
    versions = {}
    for name, file in (("TenSEAL", "tenseal.json"), ("node-seal", "node-seal.json")):
        other = load(folder, file)
        if other:
            versions[name] = other["version"]
            rows += other["results"]
    add_ratios(rows)
    return {
        "cpu": bench["cpu"],
        "date": datetime.date.today().isoformat(),
        "rung": bench["rung"],
        "threads": 1,
        "versions": versions,
        "results": rows,
        "against_ckks_vector": verdicts(rows),
        "skipped": skipped(folder),
    }


# ---- for people ----


def number(value):
    if value == 0:
        return "0"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def times(value):
    return f"{value:,.0f}x" if value >= 10 else f"{value:.1f}x"


def cells(row):
    def both(key):
        return f"{number(row[key])} {times(row['ratios'][key]):>10}"

    error = row["max_error_steps"]
    return [row["name"], both("encrypt_ns"), number(row["serialise_ns"]), both("add_ns"),
            both("decrypt_ns"), both("bytes"), "exact" if error == 0 else f"{error:.1g}"]


def print_table(document):
    head = ["", "encrypt ns", "serialise ns", "add ns", "decrypt ns", "bytes", "error"]
    lines = [head] + [cells(row) for row in document["results"]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(c.rjust(w) if i else c.ljust(w)
                        for i, (c, w) in enumerate(zip(line, widths))).rstrip())


def print_document(document):
    first = document["results"][0]
    versions = "".join(f", {name} {version}" for name, version in document["versions"].items())
    print(f"{document['cpu']}, {document['date']}, cairn's rung {document['rung']}{versions}")
    print(f"{first['clients']} updates of {first['params']:,} parameters on a 16-bit grid, one "
          f"thread; per parameter, with how many times {BASE}'s")
    print()
    print_table(document)
    print()
    for row in document["results"]:
        print(f"{row['name']}: {row['note']}")
    print("error: the largest of the sum, in steps of the grid. serialise: objects to bytes "
          "(zstd); cairn encrypts\ninto bytes, the others' encrypt ns are without it.")
    for entry in document["skipped"]:
        print(f"skipped: {entry['name']}: {entry['reason']}")
    verdict = document["against_ckks_vector"]
    if verdict:
        print()
        for key, text in (("encrypt", "encrypting is {:.0f} times faster"),
                          ("upload", "the upload is {:.1f} times smaller")):
            v = verdict[key]
            print(text.format(v["times"]), f"than {VECTOR}'s; wanted: at least {v['wanted']}:",
                  "yes" if v["met"] else "NO")
        print(f"(from floats, with the quantiser's stochastic rounding and error feedback: "
              f"{verdict['encrypt']['times_with_quantiser']:.0f} times faster)")


def main():
    arguments = sys.argv[1:]
    as_json = "--json" in arguments
    document = collect([a for a in arguments if a != "--json"][0])
    if as_json:
        json.dump(document, sys.stdout, indent=1)
        print()
    else:
        print_document(document)


if __name__ == "__main__":
    main()
