# SPDX-License-Identifier: Apache-2.0
"""What every measured program shares: the command line, the protocol and the clock.

run.py starts each program as a process of its own. First with --prepare, which converts the checkpoint into the
program's own format unless that was done before; then without, to measure: the process loads the model, says so in
one JSON line, and answers every JSON line on stdin ({"phase": "prefill", "prompt": 256, "repeats": 1} or
{"phase": "decode", "batch": 8, "context": 64, "tokens": 32}) with one on stdout ({"seconds": [...]}, one number for
each repeat or each step). Libraries that print to stdout find stderr there.
"""
import argparse
import importlib.metadata
import json
import os
import random
import resource
import shutil
import sys
import time

VOCABULARY = 50400
WARM_UP_STEPS = 3


class Unsupported(Exception):
    """This program has no such mode; the row stays empty."""


class Peer:
    """A program that reads a prompt, then decodes step by step. What cannot be driven so overrides prefill, decode."""

    def __init__(self, args):
        self.args = args

    def convert(self, directory):
        """Writes the program's own format into an empty directory."""

    def load(self, directory):
        """Returns {"version": ..., "bytes": what decoding a token reads of the weights}."""
        raise NotImplementedError

    def read_prompt(self, batch, tokens):
        """Reads `batch` prompts of as many tokens into an empty cache, up to the logits of the last position."""
        raise NotImplementedError

    def step(self):
        """Decodes one token of each sequence: forward pass, logits, argmax."""
        raise NotImplementedError

    def prefill(self, prompt, repeats):
        return [timed(self.read_prompt, 1, prompt) for _ in range(repeats)]

    def decode(self, batch, context, tokens):
        self.read_prompt(batch, context)
        for _ in range(WARM_UP_STEPS):
            self.step()
        return [timed(self.step) for _ in range(tokens)]


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def random_ids(batch, tokens, seed=0):
    generator = random.Random(seed)
    return [[generator.randrange(VOCABULARY) for _ in range(tokens)] for _ in range(batch)]


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


def converted(peer, name):
    """The directory of the converted model, made now if it is missing. An interrupted conversion leaves none."""
    directory = os.path.join(peer.args.work, name)
    if not os.path.isdir(directory):
        partial = directory + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        peer.convert(partial)
        os.rename(partial, directory)
    return directory


def answer(peer, request):
    try:
        # While others ran, the system may have dropped pages of weights mapped from files.
        peer.prefill(2, 1)
        if request["phase"] == "prefill":
            seconds = peer.prefill(request["prompt"], request["repeats"])
        else:
            seconds = peer.decode(request["batch"], request["context"], request["tokens"])
        return {"seconds": seconds}
    except Unsupported as reason:
        return {"skip": str(reason)}


def take_stdout():
    """Where replies go; what libraries print there is on stderr from now on."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return replies


def serve(replies, ready, answer_to):
    print(json.dumps(ready), file=replies)
    for line in sys.stdin:
        reply = answer_to(json.loads(line))
        reply["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(reply), file=replies)


def main(peer_class, variants):
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", choices=variants, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--prepare", action="store_true")
    args = parser.parse_args()

    replies = take_stdout()
    name = f"{os.path.splitext(os.path.basename(sys.argv[0]))[0]}-{args.variant}"
    peer = peer_class(args)
    directory = converted(peer, name)
    if args.prepare:
        return

    serve(replies, peer.load(directory), lambda request: answer(peer, request))
