#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables and pictures of the experiment that make.sh runs: summary.py runs/tiny/experiment [--svg FILE].

Every trained model has been asked the same questions, so a family's accuracy is a mean over seeds, and a way's mean is
over its families first. Intervals are over seeds, by Student's t: a seed draws the first weights, the order of the data
and their splits, so they hold for training again, not for other families.
"""
from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

# How a model was trained (its directory) and how it was run.
WAYS = [
    ("prefix", "prefix", "UL2R then split, run prefix"),
    ("prefix", "causal", "UL2R then split, run causal"),
    ("split", "prefix", "split only, run prefix"),
    ("split", "causal", "split only, run causal"),
    ("causal", "causal", "causal, run causal"),
]
# 97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom.
STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]


@dataclass(frozen=True)
class Estimate:
    mean: float
    half: float  # of the 95 % interval; NaN for a single seed

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.half:.1f}" if math.isfinite(self.half) else f"{100 * self.mean:.1f}"


def estimate(values: list[float]) -> Estimate:
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return Estimate(mean, math.nan)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return Estimate(mean, STUDENT[min(n - 2, len(STUDENT) - 1)] * deviation / math.sqrt(n))


Results = dict[tuple[str, str], dict[str, list[float]]]  # (trained, run) -> family -> accuracy by seed


def read(directory: Path, name: str) -> tuple[Results, list[str], list[str]]:
    """All accuracies in files of that name, the families with labels, and those with free answers."""
    results: Results = {}
    kinds: dict[str, str] = {}
    for trained in dict.fromkeys(way[0] for way in WAYS):
        for path in sorted(directory.glob(f"{trained}-*/{name}")):
            for task in json.loads(path.read_text())["tasks"]:
                kinds[task["name"]] = task["answer"]
                for mask, numbers in task["masks"].items():
                    value = numbers["accuracy" if task["answer"] == "choice" else "exact_match"]
                    results.setdefault((trained, mask), {}).setdefault(task["name"], []).append(value)
    return results, *(sorted(n for n in kinds if (kinds[n] == "choice") == c) for c in (True, False))


def means(results: Results, way: tuple[str, str], families: list[str]) -> list[float]:
    """The mean over families, seed by seed."""
    columns = [results[way][family] for family in families]
    return [sum(seed) / len(seed) for seed in zip(*columns, strict=True)]


def table(results: Results, title: str, families: list[str]) -> str:
    ways = [way for way in WAYS if way[:2] in results]
    lines = [f"| {title} | " + " | ".join(way[2] for way in ways) + " |", "|---|" + "---|" * len(ways)]
    for family in families:
        lines.append(f"| {family} | " + " | ".join(str(estimate(results[way[:2]][family])) for way in ways) + " |")
    lines.append("| **mean** | " + " | ".join(f"**{estimate(means(results, way[:2], families))}**" for way in ways) + " |")
    return "\n".join(lines)


def differences(results: Results, families: list[str]) -> str:
    """Each way against the first, paired by seed."""
    first = means(results, WAYS[0][:2], families)
    lines = []
    for way in WAYS[1:]:
        if way[:2] not in results:
            continue
        delta = estimate([a - b for a, b in zip(first, means(results, way[:2], families), strict=True)])
        lines.append(f"* {WAYS[0][2]}, minus {way[2]}: {delta} points")
    return "\n".join(lines)


COLOURS = ["#1f6fb2", "#8ec1e8", "#2a8f4f", "#9bd3ae", "#c4572f"]


def picture(results: Results, families: list[str]) -> str:
    """A line a family, a dot a way, a bar its interval."""
    ways = [(i, way) for i, way in enumerate(WAYS) if way[:2] in results]
    rows = ["mean", *families]
    left, width, step, top = 130, 560, 34, 30 + 16 * len(ways)
    height = top + step * len(rows) + 30
    x = lambda share: left + width * share  # noqa: E731
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 30} {height}" font-family="sans-serif" '
        'font-size="12" role="img">',
        "<title>Accuracy of the held-out families, by how a model was trained and run</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for k, (i, way) in enumerate(ways):
        out.append(f'<circle cx="{left}" cy="{16 + 16 * k}" r="4" fill="{COLOURS[i]}"/>')
        out.append(f'<text x="{left + 10}" y="{20 + 16 * k}">{way[2]}</text>')
    for tenth in range(0, 11, 2):
        out.append(f'<line x1="{x(tenth / 10)}" x2="{x(tenth / 10)}" y1="{top}" y2="{height - 25}" stroke="#ddd"/>')
        out.append(f'<text x="{x(tenth / 10)}" y="{height - 8}" text-anchor="middle">{tenth * 10} %</text>')
    for r, family in enumerate(rows):
        middle = top + step * r + step / 2
        weight = ' font-weight="bold"' if family == "mean" else ""
        out.append(f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end"{weight}>{family}</text>')
        for k, (i, way) in enumerate(ways):
            e = estimate(means(results, way[:2], families) if family == "mean" else results[way[:2]][family])
            y = middle + 5 * (k - (len(ways) - 1) / 2)
            if math.isfinite(e.half):
                low, high = (x(min(max(e.mean + s * e.half, 0), 1)) for s in (-1, 1))
                out.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{COLOURS[i]}"/>')
            out.append(f'<circle cx="{x(e.mean):.1f}" cy="{y}" r="3" fill="{COLOURS[i]}"/>')
    return "\n".join([*out, "</svg>\n"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--svg", type=Path, help="write the picture there")
    args = parser.parse_args()
    results, choices, free = read(args.directory, "tests.json")
    after_five, *_ = read(args.directory, "tests-5.json")
    if WAYS[0][:2] not in results or WAYS[0][:2] not in after_five:
        print(f"{args.directory}: no prefix-SEED/tests.json and tests-5.json", file=sys.stderr)
        return 1
    for what, title, families in (
        (after_five, "classification after five examples, % right", choices),
        (results, "classification after one example, % right", choices),
        (results, "answers in words after one example, % exactly right", free),
    ):
        print(table(what, title, families), "\n")
        print(differences(what, families), "\n")
    if args.svg:
        args.svg.write_text(picture(after_five, choices))
    return 0


if __name__ == "__main__":
    sys.exit(main())
