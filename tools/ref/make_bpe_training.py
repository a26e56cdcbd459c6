"""tests/data/tokenizer/learned-*.txt: what Hugging Face tokenizers' BpeTrainer learns from the texts of cases.jsonl and cases_hf.jsonl.

    python3 tools/ref/make_bpe_training.py tests/data/tokenizer
    python3 tools/ref/make_bpe_training.py --check build/gptjt --size 8000 FILES...

The second form compares gptjt tokenizer train with it on any .txt and .jsonl files, in all three ways of cutting texts."""
import argparse, json, subprocess, sys, tempfile
from tokenizers import Regex, Tokenizer, __version__
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

WAYS = {"whole": [], "lines": ["--by-line"], "digits": ["--digits", "apart"]}


def texts(path, way):
    with open(path, encoding="utf-8", newline="\n") as f:
        documents = [json.loads(line)["text"] for line in f] if path.endswith(".jsonl") else [f.read()]
    for d in documents:
        yield from lines(d) if way == "lines" else [d]


def lines(text):
    """Each with its end, as Hugging Face's train() reads files."""
    parts = text.split("\n")
    return [p + "\n" for p in parts[:-1]] + [p for p in parts[-1:] if p]


def learn(paths, way, size, min_frequency):
    """The vocabulary and the lines of merges.txt."""
    t = Tokenizer(BPE())
    t.pre_tokenizer = ByteLevel(add_prefix_space=False)
    if way == "digits":
        t.pre_tokenizer = Sequence([t.pre_tokenizer, Split(Regex("[0-9]"), "isolated")])
    trainer = BpeTrainer(vocab_size=size, min_frequency=min_frequency, show_progress=False, initial_alphabet=ByteLevel.alphabet())
    t.train_from_iterator((text for p in paths for text in texts(p, way)), trainer)
    with tempfile.TemporaryDirectory() as d:
        t.model.save(d)
        return json.load(open(f"{d}/vocab.json", encoding="utf-8")), open(f"{d}/merges.txt", encoding="utf-8").read().split("\n")[1:-1]


def check(program, paths, size, min_frequency):
    for way, options in WAYS.items():
        vocab, merges = learn(paths, way, size, min_frequency)
        with tempfile.TemporaryDirectory() as d:
            subprocess.run([program, "tokenizer", "train", *paths, *options, "--vocab-size", str(size + 1), "--min-frequency",
                            str(min_frequency), "-o", d + "/t", "--quiet"], check=True, stdout=subprocess.DEVNULL)
            ours = json.load(open(f"{d}/t/vocab.json", encoding="utf-8"))
            del ours["<|endoftext|>"]
            same = ours == vocab and open(f"{d}/t/merges.txt", encoding="utf-8").read().split("\n")[1:-1] == merges
        print(f"{way}: {len(merges)} merges, {'the same' if same else 'DIFFERENT'}")
        if not same:
            sys.exit(1)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--check", metavar="PROGRAM")
    a.add_argument("--size", type=int, default=2000)
    a.add_argument("--min-frequency", type=int, default=2)
    a.add_argument("paths", nargs="+")
    a = a.parse_args()
    if a.check:
        return check(a.check, a.paths, a.size, a.min_frequency)
    d = a.paths[0]
    for way in WAYS:
        _, merges = learn([f"{d}/cases.jsonl", f"{d}/cases_hf.jsonl"], way, 1200, 2)
        with open(f"{d}/learned-{way}.txt", "w", encoding="utf-8") as f:
            f.write("\n".join([f"#version: 0.2 - learned by tokenizers {__version__}", *merges, ""]))
        print(way, len(merges))


main()
