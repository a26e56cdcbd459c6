#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the training data and the held-out tasks of the small GPT-JT: build.py OUT_DIR. See README.md beside it."""
from __future__ import annotations

import argparse
import importlib
import sys
from itertools import islice
from pathlib import Path

from builder import check, entities, families, sources, write

EXAMPLES = Path(__file__).resolve().parents[2] / "models" / "examples"
MISSING_PACKAGES = 77  # what test programs take for "skipped"


def write_texts(out: Path, seed: int, data: entities.Entities) -> None:
    """The text stream and the chains of thought."""
    for name in ("stream", "cot"):
        module = importlib.import_module(f"builder.{name}")
        module.write(out, write.rng_of(seed, name), data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="directory of the files")
    parser.add_argument("--seed", type=int, default=1, help="other numbers, other records (1)")
    parser.add_argument("--small", action="store_true", help="a hundredth of it, to try the builder")
    args = parser.parse_args()

    if missing := sources.missing_packages():
        print(f"apt-get install {' '.join(missing)}", file=sys.stderr)
        return MISSING_PACKAGES
    data = entities.load()
    tasks = families.load(data)
    sizes = write.SMALL if args.small else write.FULL
    write.write_tasks(args.out, args.seed, tasks, sizes)
    write.write_ni(args.out, args.seed, tasks, sizes)
    write.write_p3(args.out, args.seed, tasks, sizes)
    if not args.small:
        write_texts(args.out, args.seed, data)

    wrong = list(islice(check.problems(args.out, tasks, EXAMPLES), 50))
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    print(check.report(args.out, tasks))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
