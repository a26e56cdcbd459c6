#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures training steps of gptjt against PyTorch: the same shape, one machine, one run. See README.md.

A step is forward pass, loss, backward pass, clipping and AdamW on one sequence whose every token has a target, causal.
Every model is measured by each program in turn, round after round, so that a machine that drifts drifts for all alike.
"""
import json
import math
import pathlib
import signal
import statistics
import sys

import run

# name: layers, width, heads, rotary dimensions, vocabulary, as `gptjt bench --synthetic` has them
SHAPES = {
    "tiny": (2, 64, 4, 8, 512),
    "125m": (12, 768, 12, 32, 50400),
    "350m": (24, 1024, 16, 32, 50400),
    "1.3b": (24, 2048, 16, 64, 50400),
    "6b": (28, 4096, 16, 64, 50400),
}
PEERS = ["eager-fp32", "compiled-fp32", "eager-bf16", "compiled-bf16"]
BITS = {"fp32": 32, "bf16": 16}
COMPILE_SECONDS = 1200  # that torch.compile may take besides its first step
PROBE_TOKENS = 32  # a length that nearly all finish
PROBE_DOUBT = 4  # so much faster a peer may be than judged by it: compiled, on a long sequence


def parse_row(name):
    """("6b:2", 2048): two layers of the 6 B shape."""
    preset, _, layers = name.partition(":")
    return preset, int(layers) if layers else SHAPES[preset][0]


def parameters(row):
    preset, layers = parse_row(row[0])
    _, width, _, _, vocabulary = SHAPES[preset]
    return layers * 12 * width * width + 2 * vocabulary * width


# ---- Programs ----


class TrainProgram(run.Program):
    """That is in use for `row`, if for any."""

    row = None

    def resident_bytes(self):
        """Weights, gradients, moments; scores and what the head makes of every token, several times over."""
        if not self.row:
            return 0
        preset, layers = parse_row(self.row[0])
        _, width, heads, _, vocabulary = SHAPES[preset]
        seq = self.row[1]
        kept = layers * (4 * heads * seq + 60 * width) * seq + 4 * seq * vocabulary
        return max(self.peak_bytes, 4 * (4 * parameters(self.row) + kept) + (1 << 29))


class Ours(TrainProgram):
    """`gptjt bench --train`, started for every turn: its probes of the machine are then as near as can be."""

    def __init__(self, args, precision):
        super().__init__(args, "gptjt", precision, BITS[precision])

    def prepare(self):
        run.json_of([self.args.gptjt, "bench", "--synthetic", "tiny", "--train", "32", "--repeats", "1", "--json"])

    def measure(self, row):
        preset, layers = parse_row(row[0])
        result = run.json_of([self.args.gptjt, "bench", "--synthetic", preset, "--layers", str(layers),
                              "--train", str(row[1]), "--precision", self.weights, "--threads", str(self.args.threads),
                              "--repeats", str(self.args.repeats), "--quiet", "--json"])  # fmt: skip
        if result["layers"] != layers:
            raise run.Failed(f"measures no fewer than {result['layers']} layers")
        self.version = f"{result['isa']} kernels"
        self.tries.setdefault(row, []).append(result)


class Peer(TrainProgram, run.Peer):
    """One process for one row at a time. What is too slow for a row is not asked again."""

    judged = {}  # (precision, row): seconds that a step might take, for the compiled peer, too

    def __init__(self, args, name):
        mode, precision = name.split("-")
        super().__init__(args, f"pytorch-{mode}", precision, BITS[precision])
        self.is_compiled = mode == "compiled"

    def command(self):
        preset, layers = parse_row(self.row[0])
        _, width, heads, rotary, vocabulary = SHAPES[preset]
        return [self.args.python, str(run.HERE / "peer_pytorch_train.py"), "--variant", self.weights,
                *(["--compile"] if self.is_compiled else []), "--layers", str(layers), "--width", str(width),
                "--heads", str(heads), "--rotary", str(rotary), "--vocabulary", str(vocabulary),
                "--positions", str(self.row[1]), "--threads", str(self.args.threads)]  # fmt: skip

    def environment(self):
        # Compiled programs are kept, so that each is compiled once, by this process: idle workers would hold memory.
        return super().environment() | {"TORCHINDUCTOR_CACHE_DIR": str(self.args.work / "inductor"),
                                        "TORCHINDUCTOR_COMPILE_THREADS": "1"}  # fmt: skip

    def prepare(self):
        self.log.unlink(missing_ok=True)

    def warm_up(self, seq):
        """The first step of a length, which is compiled for it."""
        return self.ask({"seq": seq}, self.args.longest + (COMPILE_SECONDS if self.is_compiled else 0))

    def judge(self, row):
        """Finds the seconds of a step by a short one that is not compiled; infinite if even that one takes too long."""
        key = self.weights, row
        for _ in range(0 if key in self.judged else 2):  # the first one warms up
            try:
                reply = self.ask({"seq": PROBE_TOKENS, "eager": True}, self.args.longest)
            except run.TooSlow:
                self.judged[key] = math.inf
                raise
            self.judged[key] = reply["seconds"] * row[1] / PROBE_TOKENS + reply["update_s"]
            if self.is_hopeless(row):
                break

    def is_hopeless(self, row):
        return self.judged.get((self.weights, row), 0) > PROBE_DOUBT * self.args.longest

    def skip(self, row, reason):
        if self.is_hopeless(row):
            expected = self.judged[self.weights, row]
            reason = f"about {expected:.0f} s, " if expected < math.inf else ""
            reason += f"judged by {PROBE_TOKENS} tokens, not compiled"
        self.skips[row] = f"slower than {self.args.longest:.0f} s a step: {reason}"
        self.stop()

    def measure(self, row):
        try:
            if not self.process:
                self.begin(row)
            if self.is_hopeless(row):
                self.skip(row, "")
            else:
                self.measure_steps(row)
        except run.TooSlow as late:
            self.skip(row, str(late))

    def begin(self, row):
        self.row = row
        if self.is_hopeless(row):
            return
        self.start()
        if row[1] > PROBE_TOKENS:
            self.judge(row)
        if not self.is_hopeless(row):
            self.warm_up(row[1])

    def measure_steps(self, row):
        steps = [self.ask({"seq": row[1]}, self.args.longest) for _ in range(self.args.repeats)]
        step = sorted(steps, key=lambda s: s["seconds"] + s["update_s"])[(len(steps) - 1) // 2]
        self.peak_bytes = step["peak_bytes"]
        seconds = step["seconds"] + step["update_s"]
        self.tries.setdefault(row, []).append(step | {"tokens_per_s": row[1] / seconds, "ms": seconds * 1e3})


# ---- Results ----


def peaks(programs, row):
    """precision: TFLOP/s of the unit that computes it, as our probes measured it beside the steps of this row."""
    ours = [p for p in programs if isinstance(p, Ours) and p.tries.get(row)]
    return {p.weights: statistics.median(t["peak_tflops"] for t in p.tries[row]) for p in ours}


def flop_per_token(programs, row):
    return next((t["tflops"] * 1e12 / t["tokens_per_s"] for p in programs if isinstance(p, Ours)
                 for t in p.tries.get(row, [])), None)  # fmt: skip


def fraction(programs, program, row):
    """Of the peak, operations counted as ours counts them."""
    rate = run.tokens_per_s(program, row)
    if not rate:
        return None
    if isinstance(program, Ours):
        return statistics.median(t["fraction"] for t in program.tries[row])
    peak, flop = peaks(programs, row).get(program.weights), flop_per_token(programs, row)
    return rate * flop / (peak * 1e12) if peak and flop else None


def percent(value):
    return f"{100 * value:.1f} %" if value is not None else "-"


def comparisons(programs, rows):
    """Ours, the best peer of its precision, and the best of that or a wider one: a machine without units for bf16 runs
    PyTorch faster in fp32."""
    for row in rows:
        for ours in [p for p in programs if isinstance(p, Ours) and p.tries.get(row)]:
            peers = [p for p in programs if isinstance(p, Peer) and p.bits >= ours.bits]
            yield row, ours, run.best([p for p in peers if p.bits == ours.bits], row), run.best(peers, row)


def print_ratios(programs, rows):
    lines = [["model", "seq", "ours", "tokens/s", "of peak", "best peer of this precision", "tokens/s", "of peak",
              "ours/peer", "best of this or wider", "tokens/s", "ours/it"]]  # fmt: skip
    for row, ours, same, wider in comparisons(programs, rows):
        lines.append([row[0], str(row[1]), ours.label, run.figure(ours, row), percent(fraction(programs, ours, row)),
                      run.label(same), run.figure(same, row), percent(same and fraction(programs, same, row)),
                      run.ratio_text(ours, same, row), run.label(wider), run.figure(wider, row),
                      run.ratio_text(ours, wider, row)])  # fmt: skip
    run.print_table(lines)


def print_programs(programs, rows):
    lines = [["model", "seq", "program", "tokens/s", "s a step", "of peak", "peak GB", "loss", "version"]]
    for row in rows:
        for p in programs:
            rate, tries = run.tokens_per_s(p, row), p.tries.get(row)
            peak = max((t.get("peak_bytes", 0) for t in tries), default=0) if tries else 0
            lines.append([row[0], str(row[1]), p.label, run.figure(p, row), f"{row[1] / rate:.2f}" if rate else "-",
                          percent(fraction(programs, p, row)), f"{peak * 1e-9:.1f}" if peak else "-",
                          f"{tries[0]['loss']:.3f}" if tries else "-",
                          p.version if tries else p.skips.get(row) or p.failure or ""])  # fmt: skip
    run.print_table(lines)
    for row in rows:
        print(f"{row[0]}: " + ", ".join(f"{name} peak {p:.3f} TFLOP/s" for name, p in peaks(programs, row).items()))


def report(args, programs, rows):
    """Everything, for --json."""
    return run.report_head(args) | {
        "longest": args.longest,
        "programs": [
            {"program": p.label, "precision": p.weights, "version": p.version, "failure": p.failure} for p in programs
        ],
        "rows": [
            {"model": row[0], "seq": row[1], "program": p.label, "precision": p.weights,
             "tokens_per_s": run.tokens_per_s(p, row), "fraction": fraction(programs, p, row), "skip": p.skips.get(row),
             "tries": p.tries.get(row, [])}
            for row in rows for p in programs
        ],
        "ratios": [
            {"model": row[0], "seq": row[1], "ours": ours.label, "peer": run.label(same),
             "ratio": run.ratio(ours, same, row), "peer_of_this_or_wider": run.label(wider),
             "ratio_to_it": run.ratio(ours, wider, row)}
            for row, ours, same, wider in comparisons(programs, rows)
        ],
    }  # fmt: skip


# ---- The run ----


def read_arguments():
    parser = run.argument_parser(__doc__)
    parser.add_argument("--presets", type=run.words, default=["125m", "6b:2"], metavar="SIZE[:LAYERS],...",
                        help="of " + ", ".join(SHAPES))  # fmt: skip
    parser.add_argument("--seq", type=run.numbers, default=[2048], metavar="N,...")
    parser.add_argument("--ours", type=run.words, default=list(BITS), metavar="PRECISION,...")
    parser.add_argument("--peers", type=run.words, default=PEERS, metavar="NAME,...")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="steps of a turn, after one to warm up")
    parser.add_argument("--longest", type=float, default=300, metavar="SECONDS", help="skip what takes more a step")
    parser.add_argument("--quick", action="store_true", help="tests the script: a tiny model, 1 round")
    args = parser.parse_args()
    if args.quick:
        args.presets, args.seq, args.rounds = ["tiny"], [256], 1
    unknown = [n for n in args.presets if n.partition(":")[0] not in SHAPES]
    unknown += [n for n in args.peers if n not in PEERS] + [n for n in args.ours if n not in BITS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    return args


def measure(args, programs, rows):
    for program in programs:
        program.is_prepared = run.attempt(program, program.prepare)
    for row in rows:
        for turn in range(args.rounds):
            for program in programs:
                if not isinstance(program, Peer) or not program.is_running():
                    program.row = row
            run.measure_group(args, programs, programs, [row], turn)
        for program in programs:
            program.stop()


def main():
    args = read_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    held = run.lock(args.work)
    args.python = args.python or run.make_python(args)
    programs = [Ours(args, precision) for precision in args.ours] + [Peer(args, name) for name in args.peers]
    rows = [(name, seq) for name in args.presets for seq in args.seq]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    try:
        measure(args, programs, rows)
    except KeyboardInterrupt:
        run.say("interrupted; what was measured until now:")
        status = 130
    finally:
        for program in programs:
            program.stop()
    print_ratios(programs, rows)
    print_programs(programs, rows)
    held.close()
    if args.json:
        text = json.dumps(report(args, programs, rows), indent=1)
        pathlib.Path(args.json).write_text(text + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
