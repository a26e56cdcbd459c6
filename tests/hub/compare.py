#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gptjt pull against huggingface_hub itself, on the same stand-in: both make the same cache, each takes what the other
has made for its own, and they wait for each other's locks.

    compare.py GPTJT

Exits with 77 where huggingface_hub is not installed (pip install huggingface_hub).
"""
import importlib.util
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import warnings

if not importlib.util.find_spec("huggingface_hub"):
    print("huggingface_hub is not installed")
    sys.exit(77)
HERE = pathlib.Path(__file__).resolve().parent
GPTJT = os.path.abspath(sys.argv[1])
WORK = pathlib.Path(tempfile.mkdtemp(prefix="gptjt-compare-"))
for name in list(os.environ):
    if name.startswith(("HF_", "HUGGING")) or name.lower().endswith("_proxy"):
        del os.environ[name]


def serve():
    models = WORK / "root/models/org/tiny"
    shutil.copytree(HERE / "../../models/gpt-jt-tiny", models / "main")
    (models / "main/onnx").mkdir()
    (models / "main/onnx/a model%.onnx").write_text("onnx")
    (models / "main/empty.txt").write_text("")
    shutil.copytree(models / "main", models / "feat%2Fx")
    (models / "feat%2Fx/generation_config.json").write_text("{}")
    server = subprocess.Popen([sys.executable, HERE / "hub.py", WORK / "root"])
    while not (WORK / "root/ports").exists():
        time.sleep(0.05)
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:" + (WORK / "root/ports").read_text().split()[0]
    return server


SERVER = serve()
os.environ["HF_HOME"] = str(WORK / "theirs")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
import filelock  # noqa: E402 (they read the environment when they are imported)
import huggingface_hub  # noqa: E402


def gptjt(home, *arguments, **options):
    return subprocess.Popen([GPTJT, *arguments], env={**os.environ, "HF_HOME": str(WORK / home)}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def pull(home, *arguments):
    process = gptjt(home, "pull", *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.strip(), err


def requests(part):
    """How many requests since the last call have this in their path."""
    log = WORK / "root/log"
    lines = [json.loads(line)["path"] for line in log.read_text().splitlines()]
    log.write_text("")
    return sum(part in path for path in lines)


def faults(table):
    (WORK / "root/faults.tmp").write_text(json.dumps(table))
    (WORK / "root/faults.tmp").rename(WORK / "root/faults.json")


def tree(home):
    """All that is below a cache: kind, mode, and target or content."""
    root, found = WORK / home / "hub", {}
    for path in sorted(root.glob("**/*")):
        name = str(path.relative_to(root))
        if "/trees" in name:  # newer versions keep the list of files, to tell whether a snapshot has all of them
            continue
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = "directory"
        else:
            content = path.read_bytes() if name != "CACHEDIR.TAG" else b""
            found[name] = (oct(stat.S_IMODE(path.stat().st_mode)), content)
    return found


def compare_trees():
    for revision, choice in (("main", {}), ("feat/x", {})):
        ours, _ = pull("ours", "org/tiny@" + revision, "--all")
        theirs = huggingface_hub.snapshot_download("org/tiny", revision=revision, **choice)
        assert os.path.basename(ours) == os.path.basename(theirs)
    a, b = tree("ours"), tree("theirs")
    assert set(a) == set(b), set(a) ^ set(b)
    for name, what in a.items():
        assert what == b[name], (name, what[:100], b[name][:100])
    assert len([v for v in a.values() if isinstance(v, str) and v.startswith("../")]) == 25
    print("the same cache: %d entries" % len(a))


def they_take_ours():
    cache = WORK / "ours/hub"
    requests("")
    for revision in ("main", "feat/x"):
        path = huggingface_hub.snapshot_download("org/tiny", revision=revision, cache_dir=cache, local_files_only=True)
        assert path == pull("ours", "org/tiny@" + revision)[0]
        path = huggingface_hub.try_to_load_from_cache("org/tiny", "config.json", revision=revision, cache_dir=cache)
        assert os.path.exists(path)
    requests("")
    huggingface_hub.snapshot_download("org/tiny", cache_dir=cache)
    assert requests("/resolve/") == 0, "they download what we have downloaded"
    found = huggingface_hub.scan_cache_dir(cache)
    assert not found.warnings, found.warnings
    (repository,) = found.repos
    assert repository.repo_id == "org/tiny"
    assert sorted(next(iter(r.refs)) for r in repository.revisions) == ["feat/x", "main"]
    print("huggingface_hub takes ours")


def we_take_theirs():
    requests("")
    path, said = pull("theirs", "org/tiny", "--all")
    assert said.endswith("all there\n"), said
    assert requests("/resolve/") == 0, "we download what they have downloaded"
    tokenize = gptjt("theirs", "tokenize", "-m", "org/tiny@feat/x", "-p", "a")
    assert tokenize.communicate()[0] and tokenize.returncode == 0
    print("gptjt takes theirs")


def a_part_is_enough_for_both():
    """What gptjt takes without --all is a snapshot to them too, also after it was cut off and taken up again."""
    faults({"org/tiny pytorch_model.bin": {"stall_at": 3000000}})
    process = gptjt("part", "pull", "org/tiny")
    while not any(p.stat().st_size >= 3000000 for p in (WORK / "part").glob("hub/*/blobs/*.incomplete")):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    found = huggingface_hub.scan_cache_dir(WORK / "part/hub")
    assert not found.warnings and len(found.incomplete_files) == 1
    faults({})
    path, _ = pull("part", "org/tiny")
    assert path == huggingface_hub.snapshot_download("org/tiny", cache_dir=WORK / "part/hub", local_files_only=True)
    found = huggingface_hub.scan_cache_dir(WORK / "part/hub")
    assert not found.warnings and not found.incomplete_files
    print("a part is enough for both")


def lock_of(home):
    (path,) = (WORK / home / "hub/.locks/models--org--tiny").glob("?" * 64 + ".lock")
    return path


def locks_are_the_same():
    theirs = WORK / "locks/hub/.locks/models--org--tiny" / lock_of("ours").name
    theirs.parent.mkdir(parents=True)
    lock = filelock.FileLock(theirs)
    lock.acquire()
    process = gptjt("locks", "pull", "org/tiny")
    while "another process is downloading it; waiting" not in process.stderr.readline():
        assert process.poll() is None
    lock.release()
    process.communicate()
    assert process.returncode == 0

    shutil.rmtree(WORK / "locks")
    faults({"org/tiny pytorch_model.bin": {"stall_at": 3000000}})
    process = gptjt("locks", "pull", "org/tiny")
    while not list((WORK / "locks").glob("hub/*/blobs/%s.incomplete" % lock_of("ours").stem)):
        time.sleep(0.05)
    try:
        filelock.FileLock(lock_of("locks")).acquire(timeout=0.2)
        assert False, "filelock gets a lock that gptjt has"
    except filelock.Timeout:
        pass
    faults({})
    process.communicate()
    assert process.returncode == 0
    print("locks are the same")


try:
    warnings.simplefilter("error")
    print("huggingface_hub", huggingface_hub.__version__)
    compare_trees()
    they_take_ours()
    we_take_theirs()
    a_part_is_enough_for_both()
    locks_are_the_same()
finally:
    SERVER.terminate()
    SERVER.wait()
    shutil.rmtree(WORK)
