# SPDX-License-Identifier: Apache-2.0
"""What the tests share. They run in the source root, with the library in $GPTJT_LIBRARY and the program in $GPTJT."""

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy  # noqa: F401
except ImportError:
    print("SKIPPED: there is no numpy")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TINY = os.path.join(ROOT, "models", "gpt-jt-tiny")
GOLDENS = os.path.join(ROOT, "tests", "data", "goldens")
MICRO = os.path.join(GOLDENS, "micro-a", "bin-fp16-prefix")
CURRENCY = "Country: India\nCurrency:"
os.environ.pop("GPTJT_MODEL", None)


def cli(*arguments):
    """What the program prints."""
    done = subprocess.run([os.environ["GPTJT"], *arguments], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"gptjt {arguments}: {done.stderr}")
    return done.stdout


def cli_json(*arguments):
    return json.loads(cli(*arguments, "--json", "--quiet"))


def as_printed(number):
    """With the nine digits that the program prints."""
    return float(f"{number:.9g}")


@contextlib.contextmanager
def hub_cache(model=TINY, name="togethercomputer/GPT-JT-6B-v1"):
    """A Hugging Face cache in which the name is that model."""
    with tempfile.TemporaryDirectory() as home:
        repository = os.path.join(home, "hub", "models--" + name.replace("/", "--"))
        commit = "0123456789abcdef0123456789abcdef01234567"
        os.makedirs(os.path.join(repository, "refs"))
        os.makedirs(os.path.join(repository, "snapshots"))
        with open(os.path.join(repository, "refs", "main"), "w") as f:
            f.write(commit)
        os.symlink(os.path.abspath(model), os.path.join(repository, "snapshots", commit))
        before = os.environ.get("HF_HOME")
        os.environ["HF_HOME"] = home
        try:
            yield home
        finally:
            os.environ.pop("HF_HOME")
            if before is not None:
                os.environ["HF_HOME"] = before


def run_quick_start(name, package="gptjt"):
    """Runs a quick start of the model card as an interactive Python would: its names, and what it shows."""
    path = os.path.join(HERE, "quick_start", name)
    with open(path) as f:
        source = f.read().replace("from gptjt import", f"from {package} import")
    names, shown = {}, io.StringIO()
    with contextlib.redirect_stdout(shown):
        for statement in ast.parse(source).body:
            exec(compile(ast.Interactive([statement]), path, "single"), names)
    return names, shown.getvalue()


def main():
    unittest.main(verbosity=2)
