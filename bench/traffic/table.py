#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of bench/traffic/run.sh, as Markdown; --best NAME prints an algorithm's learning rate with the lowest loss.

Bytes are what the transport has counted, of a rank and step in the mean. They are compared with gradients summed in
fp16 by a ring, 2 (D - 1) / D x 2 bytes a parameter. A loss is the validation's after the last step, of the model that
replicas agree on; its interval is over seeds, by Student's t, and its difference from allreduce's is paired by seed.
"""
from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "recipes" / "tiny"))
from summary import Estimate, estimate  # noqa: E402

RUNS = Path("runs/traffic")
ORDER = ["allreduce", "proxskip", "cocktail", "diloco-fp16", "diloco-int4", "streaming-int4", "sparse"]
REPLICAS = 4


def last_loss(run: Path) -> float:
    lines = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    return [line["validation_loss"] for line in lines if "validation_loss" in line][-1]


def steps(run: Path) -> int:
    return json.loads((run / "recipe.json").read_text())["steps"]


def parameters(run: Path) -> int:
    checkpoint = next(run.glob("checkpoint-*"))
    with (checkpoint / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def sent(run: Path) -> float:
    """Bytes of a rank and step, for gradients and synchronisation."""
    found = re.findall(r"sent for (?:gradients|sync\w*): .*?, ([\d,]+) B in all", (run / "report").read_text())
    if len(found) != 2:
        raise SystemExit(f"{run}/report: does not say what was sent")
    return sum(int(n.replace(",", "")) for n in found) / REPLICAS / steps(run)


def finished(name: str) -> dict[str, dict[int, Path]]:
    """Runs by learning rate and seed."""
    runs: dict[str, dict[int, Path]] = {}
    for report in sorted((RUNS / name).glob("*/report")):
        rate, seed = report.parent.name.rsplit("-", 1)
        runs.setdefault(rate, {})[int(seed)] = report.parent
    return runs


def best(name: str) -> str:
    return min((last_loss(seeds[1]), rate) for rate, seeds in finished(name).items() if 1 in seeds)[1]


def interval(e: Estimate, digits: int) -> str:
    return f"{e.mean:.{digits}f} ± {e.half:.{digits}f}"


def row(name: str, dense: dict[int, float] | None) -> tuple[str, dict[int, float]]:
    rate = best(name)
    runs = finished(name)[rate]
    losses = {seed: last_loss(run) for seed, run in runs.items()}
    bytes_a_step = sum(map(sent, runs.values())) / len(runs)  # proxskip's meetings are drawn by the seed
    fp16_ring = 2 * (REPLICAS - 1) / REPLICAS * 2 * parameters(runs[1])
    loss = interval(estimate(list(losses.values())), 4)
    more = ""
    if dense is not None:
        more = interval(estimate([100 * (losses[s] / dense[s] - 1) for s in losses if s in dense]), 2) + " %"
    cells = (name, rate, f"{bytes_a_step / 1e3:,.1f}", f"{fp16_ring / bytes_a_step:.1f}", loss, more)
    return f"| {' | '.join(cells)} |", losses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--best", metavar="NAME")
    args = parser.parse_args()
    if args.best:
        print(best(args.best))
        return 0
    names = [name for name in ORDER if finished(name)]
    if not names:
        print(f"{RUNS}: no runs; see bench/traffic/run.sh", file=sys.stderr)
        return 1
    print("| sync | learning rate | kB a rank and step | less than fp16 gradients | validation loss | against allreduce |")
    print("|---|---|---|---|---|---|")
    dense = None
    for name in names:
        line, losses = row(name, dense)
        dense = losses if name == "allreduce" else dense
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
