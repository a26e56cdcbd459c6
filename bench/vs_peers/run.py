#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures gptjt against other programs: the same shape, random weights, one machine, one run. See README.md.

Every row (a phase and its size) is measured by each program in turn, round after round, so that a machine that drifts
drifts for all alike. Programs stay loaded between their turns as long as memory allows.
"""
import argparse
import datetime
import fcntl
import json
import os
import pathlib
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
LAYER_WEIGHTS = 4 * 4096 * 4096 + 2 * 4096 * 16384
VOCABULARY_WEIGHTS = 2 * 50400 * 4096
CONTEXT = 32  # tokens in the cache before decoding is timed, as in `gptjt bench`
SETTLE_SECONDS = 0.5  # for the last program's threads to stop spinning

# Weights of as many bits compete in one table. fp32 is no width of its own: it is how a machine without bf16 units
# runs this model fastest in PyTorch.
PEERS = [
    ("pytorch", "bf16", 16),
    ("pytorch", "fp32", 32),
    ("openvino", "fp16", 16),
    ("ggml", "f16", 16),
    ("openvino", "int8", 8),
    ("ctranslate2", "int8", 8),
    ("ggml", "q8_0", 8),
    ("openvino", "int4", 4),
    ("ggml", "q4_0", 4),
]
OUR_BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "q8": 8, "q4": 4}
GROUPS = {16: (16, 32), 8: (8,), 4: (4,)}


class Failed(Exception):
    """A program that cannot go on; the others do."""


class TooSlow(Exception):
    """No answer in time; the program was stopped."""


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# ---- Programs ----


class Program:
    """Measures one row at a time. `tries` of a row collects (tokens/s, extra) of every round."""

    def __init__(self, args, name, weights, bits):
        self.args, self.name, self.weights, self.bits = args, name, weights, bits
        self.label = f"{name} {weights}"
        self.failure = None
        self.is_prepared = False
        self.version = ""
        self.read_bytes = None
        self.peak_bytes = 0
        self.last_used = 0
        self.skips = {}
        self.tries = {}

    def resident_bytes(self):
        weights = self.args.layers * LAYER_WEIGHTS + VOCABULARY_WEIGHTS
        return max(self.peak_bytes, weights * self.bits // 8 * 5 // 4 + (1 << 30))

    def prepare(self):
        """Once, before anything is timed."""

    def is_running(self):
        return False

    def stop(self):
        """Gives its memory back."""

    def measure(self, row):
        """Adds to self.tries[row] or sets self.skips[row]."""
        raise NotImplementedError


def json_of(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return json.loads(done.stdout)


class Ours(Program):
    """`gptjt bench`, started for every row: the probes of the machine around its row are then as near as can be."""

    def __init__(self, args, weights, compute):
        super().__init__(args, "gptjt", weights, OUR_BITS[weights])
        self.compute = compute
        if compute != "default":
            self.label += f" --compute {compute}"
        self.machines = []

    def prepare(self):
        help_text = subprocess.run([self.args.gptjt, "help", "bench"], capture_output=True, check=False)
        if help_text.returncode:
            raise Failed(f"{self.args.gptjt} has no bench command")

    def command(self, row):
        phase, size = row
        if phase == "prefill":
            shape = ["--prompt", str(size), "--decode", "0"]
        else:
            shape = ["--prompt", "0", "--batch", str(size), "--decode", str(self.args.decode)]
        compute = [] if self.compute == "default" else ["--compute", self.compute]
        return [self.args.gptjt, "bench", "--synthetic", "6b", "--weights", self.weights, *compute, *shape,
                "--layers", str(self.args.layers), "--threads", str(self.args.threads),
                "--repeats", str(repeats(row)), "--quiet", "--json"]  # fmt: skip

    def measure(self, row):
        report = json_of(self.command(row))
        self.machines.append(report["machine"])
        result = next(r for r in report["rows"] if r["phase"] == row[0])
        if result.get("layers", self.args.layers) != self.args.layers:
            raise Failed(f"measures no fewer than {result['layers']} layers")
        self.tries.setdefault(row, []).append(result)
        self.version = result.get("compute", "")


class Peer(Program):
    def __init__(self, args, name, weights, bits):
        super().__init__(args, name, weights, bits)
        self.process = None
        self.log = args.work / f"{name}-{weights}.log"

    def command(self):
        return [self.args.python, str(HERE / f"peer_{self.name}.py"), "--variant", self.weights,
                "--checkpoint", str(self.args.checkpoint), "--work", str(self.args.models),
                "--layers", str(self.args.layers), "--threads", str(self.args.threads)]  # fmt: skip

    def environment(self):
        threads = str(self.args.threads)
        return os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1",
                             "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip

    def prepare(self):
        if (self.args.models / f"peer_{self.name}-{self.weights}").is_dir():
            return
        with open(self.log, "w", encoding="utf-8") as log:
            done = subprocess.run([*self.command(), "--prepare"], stderr=log, env=self.environment(), check=False)
        if done.returncode:
            raise Failed(f"conversion failed, see {self.log}")

    def is_running(self):
        return self.process is not None

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            env=self.environment(), text=True)  # fmt: skip
        ready = self.read()
        self.version, self.read_bytes = ready["version"], ready["bytes"]

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def read(self, limit=None):
        """The next reply, after `limit` seconds at most."""
        if not select.select([self.process.stdout], [], [], limit)[0]:
            self.stop()
            raise TooSlow(f"no answer for {limit:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.process = None
            raise Failed(f"ended, see {self.log}")
        return json.loads(line)

    def ask(self, request, limit=None):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # read() says so
        return self.read(limit)

    def expected_seconds(self, row):
        """From the slowest prompt so far; only prompts get long."""
        rates = [t["tokens_per_s"] for (phase, _), tries in self.tries.items() if phase == "prefill" for t in tries]
        return repeats(row) * row[1] / min(rates) if rates and row[0] == "prefill" else 0

    def measure(self, row):
        phase, size = row
        if self.expected_seconds(row) > self.args.longest:
            self.skips[row] = f"would take {self.expected_seconds(row):.0f} s"
            return
        if not self.process:
            self.start()
        if phase == "prefill":
            reply = self.ask({"phase": phase, "prompt": size, "repeats": repeats(row)})
        else:
            reply = self.ask({"phase": phase, "batch": size, "context": CONTEXT, "tokens": self.args.decode})
        self.peak_bytes = reply["peak_bytes"]
        if "skip" in reply:
            self.skips[row] = reply["skip"]
            return
        seconds = min(reply["seconds"]) if phase == "prefill" else statistics.median(reply["seconds"])
        result = {"tokens_per_s": size / seconds, "ms": seconds * 1e3}
        if phase == "decode":
            result["gbps"] = self.read_bytes / seconds * 1e-9
        self.tries.setdefault(row, []).append(result)


def repeats(row):
    """Short prompts are measured more often, by all programs alike."""
    phase, size = row
    return max(1, min(4, 256 // size)) if phase == "prefill" else 1


# ---- The run ----


def make_room(program, programs, budget):
    """Stops those that were not used for longest until the program fits beside the rest."""
    running = sorted((p for p in programs if p.is_running() and p is not program), key=lambda p: p.last_used)
    while running and sum(p.resident_bytes() for p in running) + program.resident_bytes() > budget:
        running.pop(0).stop()


def attempt(program, action, *arguments):
    """True if it worked."""
    try:
        action(*arguments)
    except Failed as failure:
        program.failure = str(failure)
        say(f"{program.label}: {failure}; goes on without it")
        return False
    return True


def measure_group(args, programs, group, rows, turn):
    failed = set()  # in this round; what killed a process may not come again
    for row in rows:
        # Nobody is always the one that comes after the same other.
        for program in group if turn % 2 == 0 else reversed(group):
            if not program.is_prepared or program in failed or row in program.skips:
                continue
            make_room(program, programs, args.memory * 1e9)
            time.sleep(SETTLE_SECONDS)
            if not attempt(program, program.measure, row):
                failed.add(program)
                continue
            program.last_used = time.monotonic()
            show_try(program, row, turn)


def show_try(program, row, turn):
    name = f"round {turn + 1}: {row[0]} {row[1]:4d}  {program.label:24s}"
    if row in program.skips:
        say(f"{name} skipped: {program.skips[row]}")
    else:
        say(f"{name} {program.tries[row][-1]['tokens_per_s']:9.2f} tokens/s")


def run(args, programs, rows):
    for program in programs:
        say(f"{program.label}: preparing")
        program.is_prepared = attempt(program, program.prepare)
    for turn in range(args.rounds):
        for bits in GROUPS.values():
            group = [p for p in programs if p.bits in bits]
            measure_group(args, programs, group, rows, turn)
            for program in group:
                program.stop()


# ---- Results ----


def tokens_per_s(program, row):
    """That of the best round: what disturbs a machine only slows it, and memory may have two speeds."""
    return max((t["tokens_per_s"] for t in program.tries.get(row, [])), default=None)


def best(programs, row):
    measured = [p for p in programs if tokens_per_s(p, row)]
    return max(measured, key=lambda p: tokens_per_s(p, row), default=None)


def comparisons(programs, rows):
    """For each row and each of our programs: the best peer whose weights have as many bits, and the best whose weights
    have at least as many (what a user who can afford the memory may choose)."""
    peers = [p for p in programs if isinstance(p, Peer)]
    for row in rows:
        for bits in GROUPS:
            same = best([p for p in peers if p.bits == bits], row)
            wider = best([p for p in peers if p.bits >= bits], row)
            ours = [p for p in programs if isinstance(p, Ours) and p.bits == bits and tokens_per_s(p, row)]
            for program in ours or ([None] if same else []):
                yield row, bits, program, same, wider


def figure(program, row):
    return f"{tokens_per_s(program, row):.2f}" if program and tokens_per_s(program, row) else "-"


def ratio(ours, peer, row):
    return tokens_per_s(ours, row) / tokens_per_s(peer, row) if ours and peer else None


def ratio_text(ours, peer, row):
    return f"{ratio(ours, peer, row):.2f}" if ours and peer else "-"


def label(program):
    return program.label if program else "-"


def print_table(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print()


def print_ratios(programs, rows):
    lines = [["row", "bits", "ours", "tokens/s", "best peer", "tokens/s", "ours/peer", "best, as many bits or more",
              "tokens/s", "ours/it"]]  # fmt: skip
    for row, bits, ours, same, wider in comparisons(programs, rows):
        lines.append([f"{row[0]} {row[1]}", str(bits), label(ours), figure(ours, row), label(same), figure(same, row),
                      ratio_text(ours, same, row), label(wider), figure(wider, row),
                      ratio_text(ours, wider, row)])  # fmt: skip
    print_table(lines)


def decode_gbps(program):
    rates = [t["gbps"] for t in program.tries.get(("decode", 1), []) if "gbps" in t]
    return f"{max(rates):.1f}" if rates else "-"


def print_programs(programs, rows):
    head = ["tokens/s", *(f"{phase} {size}" for phase, size in rows), "GB/s at decode 1", "peak GB", "version"]
    lines = [head]
    for p in programs:
        peak = f"{p.peak_bytes * 1e-9:.1f}" if p.peak_bytes else "-"
        lines.append([p.label, *(figure(p, row) for row in rows), decode_gbps(p), peak, p.failure or p.version])
    print_table(lines)


def print_machine(programs):
    machines = [m for p in programs if isinstance(p, Ours) for m in p.machines]
    for key in ("read_gbps", "fp32_tflops", "bf16_tflops", "int8_tops"):
        values = [m[key] for m in machines if m.get(key)]
        if values:
            print(f"{key}: {min(values):.3g} to {max(values):.3g}, median {statistics.median(values):.3g}")


def text_of(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    return done.stdout.strip()


def cpu_name():
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def report_head(args):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": text_of(["git", "describe", "--always", "--dirty"]),
        "cpu": cpu_name(),
        "threads": args.threads,
        "rounds": args.rounds,
    }


def report(args, programs, rows):
    """Everything, for --json."""
    return report_head(args) | {
        "layers": args.layers,
        "machine": [m for p in programs if isinstance(p, Ours) for m in p.machines],
        "programs": [
            {"program": p.label, "bits": p.bits, "version": p.version, "failure": p.failure, "peak_bytes": p.peak_bytes}
            for p in programs
        ],
        "rows": [
            {"phase": row[0], "size": row[1], "program": p.label, "bits": p.bits, "tokens_per_s": tokens_per_s(p, row),
             "skip": p.skips.get(row), "tries": p.tries.get(row, [])}
            for row in rows for p in programs
        ],
        "ratios": [
            {"phase": row[0], "size": row[1], "bits": bits, "ours": label(ours), "peer": label(same),
             "ratio": ratio(ours, same, row), "peer_of_more_bits": label(wider), "ratio_to_it": ratio(ours, wider, row)}
            for row, bits, ours, same, wider in comparisons(programs, rows)
        ],
    }  # fmt: skip


# ---- Preparing ----


def make_python(args):
    """The interpreter of a virtual environment that holds exactly requirements.txt."""
    home = args.work / "venv"
    stamp = home / REQUIREMENTS.name
    python = home / "bin" / "python"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        say(f"installing the peers into {home} (about 6 GB)")
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        shutil.copy(REQUIREMENTS, stamp)
    return str(python)


def make_checkpoint(args):
    """What the peers convert or load."""
    if not (args.checkpoint / "config.json").exists():
        say(f"writing a random checkpoint of {args.layers} layers")
        partial = args.checkpoint.with_name("checkpoint.partial")
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run([args.gptjt, "synth", "--preset", "6b", "--n-layer", str(args.layers), "--dtype", "bf16",
                        "--quiet", "-o", partial], check=True)  # fmt: skip
        partial.rename(args.checkpoint)


def lock(directory):
    """Two runs would spoil each other's times and files. Held until the process ends."""
    file = open(directory / "lock", "w", encoding="utf-8")  # pylint: disable=consider-using-with
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"another run uses {directory}")
    return file


def available_gb():
    lines = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024e-9


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def words(text):
    return [word for word in text.split(",") if word]


def argument_parser(description):
    """With what train.py has, too."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gptjt", default=str(HERE.parent.parent / "build" / "gptjt"), metavar="FILE")
    parser.add_argument("--work", type=pathlib.Path, default=cache / "gptjt-peers", metavar="DIR",
                        help="environment, checkpoint, converted models: 25 GB for 8 layers")  # fmt: skip
    parser.add_argument("--python", metavar="FILE", help="has requirements.txt; instead of an environment in DIR")
    parser.add_argument("--memory", type=float, default=round(0.8 * available_gb(), 1), metavar="GB",
                        help="for all programs that stay loaded at a time")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="also write everything there")
    return parser


def read_arguments():
    parser = argument_parser(__doc__)
    parser.add_argument("--layers", type=int, default=8, help="of the 28; the head is always whole")
    parser.add_argument("--prompt", type=numbers, default=[32, 256, 1024], metavar="N,...")
    parser.add_argument("--batch", type=numbers, default=[1, 8], metavar="N,...")
    parser.add_argument("--decode", type=int, default=32, metavar="N", help="steps")
    parser.add_argument("--quick", action="store_true", help="tests the script: 2 layers, 1 round, short prompts")
    parser.add_argument("--peers", type=words, default=words(",".join(f"{n}-{w}" for n, w, _ in PEERS)),
                        metavar="NAME-WEIGHTS,...")  # fmt: skip
    parser.add_argument("--ours", type=words, default=["fp16", "bf16", "q8", "q4"], metavar="WEIGHTS,...")
    parser.add_argument("--compute", type=words, default=["default"], metavar="TYPE,...", help="for ours, one row each")
    parser.add_argument("--longest", type=float, default=120, metavar="SECONDS", help="skip prompts that take longer")
    parser.add_argument("--clean", action="store_true", help="remove DIR and stop")
    args = parser.parse_args()
    if args.quick:
        args.layers, args.rounds, args.prompt = 2, 1, [n for n in args.prompt if n <= 256]
    args.models = args.work / f"layers-{args.layers}"
    args.checkpoint = args.models / "checkpoint"
    return args


def main():
    args = read_arguments()
    if args.clean:
        shutil.rmtree(args.work, ignore_errors=True)
        return 0
    args.models.mkdir(parents=True, exist_ok=True)
    held = lock(args.work)
    args.python = args.python or make_python(args)
    make_checkpoint(args)
    programs = [Ours(args, weights, compute) for weights in args.ours for compute in args.compute]
    programs += [Peer(args, *peer) for peer in PEERS if f"{peer[0]}-{peer[1]}" in args.peers]
    rows = [("prefill", n) for n in args.prompt] + [("decode", n) for n in args.batch]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    try:
        run(args, programs, rows)
    except KeyboardInterrupt:
        say("interrupted; what was measured until now:")
        status = 130
    finally:
        for program in programs:
            program.stop()
    print_ratios(programs, rows)
    print_programs(programs, rows)
    print_machine(programs)
    held.close()
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(report(args, programs, rows), indent=1) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
