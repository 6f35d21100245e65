#!/usr/bin/env python3
"""Holds every dependency of both lock files against deny.toml: licence, origin, bans.

usage: .ci/dependencies.py      exits 1 and names each offender when there is one
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The lock of the fuzz crate follows the crates that it tests: it may be behind, and is then completed.
MANIFESTS = {"Cargo.toml": ["--locked"], "fuzz/Cargo.toml": []}


def packages(manifest):
    """All packages a lock file can bring, ours included."""
    command = ["cargo", "metadata", "--format-version", "1", "--manifest-path", ROOT / manifest]
    return json.loads(subprocess.run(command + MANIFESTS[manifest], check=True, stdout=subprocess.PIPE).stdout)["packages"]


def is_allowed(expression, allowed):
    """True when the SPDX expression can be satisfied; `/` is the old way to write OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either():
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value = both() or value
        return value

    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        token = tokens.pop(0)
        if token == "(":
            value = either()
            tokens.pop(0)
            return value
        if tokens[:1] == ["WITH"]:
            del tokens[:2]
        return token in allowed

    return either()


def faults(package, rules, exceptions):
    """What is wrong with one package, in words."""
    name = package["name"]
    allowed = set(rules["licenses"]["allow"]) | exceptions.get(name, set())
    licence = package["license"]
    if licence is None or not is_allowed(licence, allowed):
        yield f"licence {licence}"
    origin = package["source"]
    if origin is not None and origin.removeprefix("registry+") not in rules["sources"]["allow-registry"]:
        yield f"comes from {origin}"
    if name in {ban["crate"] for ban in rules["bans"]["deny"]}:
        yield "is banned"
    for dependency in package["dependencies"]:
        if origin is None and dependency["req"] == "*" and dependency["source"] is not None:
            yield f"takes any version of {dependency['name']}"


def main():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    exceptions = {e["crate"]: set(e["allow"]) for e in rules["licenses"]["exceptions"]}
    checked, wrong = 0, 0
    for manifest in MANIFESTS:
        for package in packages(manifest):
            checked += 1
            for fault in faults(package, rules, exceptions):
                wrong += 1
                print(f"{manifest}: {package['name']} {package['version']} {fault}")
    print(f"{checked} packages, {wrong} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
