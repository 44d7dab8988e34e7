"""The crates in the binaries, as cargo resolves them. Compiles nothing."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = ["webhook", "proxy", "proxy-init", "azwi"]
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def metadata():
    """Cargo's metadata, with the packages that any of the targets needs."""
    filters = [f"--filter-platform={target}" for target in TARGETS]
    return json.loads(cargo("metadata", "--format-version=1", *filters))


def crates(binary, edges="normal,no-proc-macro"):
    """Names and versions of the crates in a binary, for all targets, without crates that only run at build time."""
    found = set()
    for target in TARGETS:
        # One binary at a time, as they are built: features of one are not in the others.
        tree = cargo("tree", f"--package={binary}", f"--target={target}", f"--edges={edges}", "--prefix=none", "--format={p}")
        for line in filter(None, tree.splitlines()):
            name, version = line.split()[:2]
            found.add((name, version.removeprefix("v")))
    return found
