# SPDX-License-Identifier: Apache-2.0
"""Load for a server: many clients with requests of mixed lengths, some of which go away in the middle of a stream, some of
which talk nonsense.

    bench/serve/load.py build/gptjt --clients 64 --seconds 300 [--gone 0.10] [--malformed 0.05] [--json FILE] [-- OPTIONS]
    bench/serve/load.py build/gptjt --sweep 1,8,32 [--requests 48] [--rounds 3] [--json FILE] [-- OPTIONS]

Starts `gptjt serve OPTIONS` (or uses --port of one that runs, whose process is --pid), and says: requests by outcome,
p50 and p95 of the time to the first token and between tokens, tokens a second, and the server's memory at the beginning,
in the middle and at the end. A server that it started is told to end (SIGTERM) while all clients wait for answers, which
must all come to a proper end, and is started again. Exits 1 if a valid request failed, if nonsense was accepted, or if the
server did not end well.

With --sweep so many clients, one number after the other and all that --rounds times, take the next of the same requests
as soon as they have their answer. What counts is the time for as many answers as there are requests, from the moment
on when there was one for each client: neither the beginning nor the end, when some clients have nothing to do. Told as
requests a second, and as a multiple of the first number's, a median over rounds. Python's standard library only."""
import argparse, asyncio, itertools, json, random, signal, statistics, subprocess, sys, tempfile, time, urllib.error, urllib.request

MALFORMED = [
    b'{"inputs": "x"',
    b'{"inputs": "\xff"}',
    b'{"inputs": "\\ud800"}',
    b'{"inputs": "x", "parameters": {"temperature": -1}}',
    b'{"inputs": "x", "parameters": {"top_kk": 3}}',
    b"[" * 5000,
    b"",
    b'{"inputs": 3}',
    b'{"inputs": "x", "parameters": {"max_new_tokens": 1000000}}',
]
WORDS = "the market in the morning was full of people who had come from far away to sell what they had made".split()


class Refused(Exception):
    """No answer (status None), or one that is not 200."""

    def __init__(self, what, status=None):
        super().__init__(what)
        self.status = status


class Tally:
    def __init__(self):
        self.outcomes, self.first, self.between, self.tokens, self.failures = {}, [], [], 0, []

    def count(self, outcome):
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def fail(self, what):
        self.count("failed")
        self.failures.append(what)


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(p * len(values)))] if values else None


def make_request(dice, most_words, most_new):
    """A path and a body: short prompts and long ones, in three dialects."""
    prompt = " ".join(dice.choice(WORDS) for _ in range(int(most_words ** dice.random())))
    new = max(1, int(most_new ** dice.random()))
    kind = dice.randrange(4)
    parameters = {"max_new_tokens": new, "do_sample": dice.random() < 0.5, "seed": dice.randrange(1000)}
    if kind == 0:
        return "/generate", {"inputs": prompt, "parameters": parameters}, False
    if kind == 1:
        return "/generate_stream", {"inputs": prompt, "parameters": parameters}, True
    if kind == 2:
        return "/v1/completions", {"prompt": prompt, "max_tokens": new, "temperature": dice.choice([0, 1]), "stream": True, "seed": 1}, True
    return "/classify", {"inputs": prompt, "labels": ["yes", "no"]}, False


async def send(port, path, body):
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        await writer.drain()
        first_line = await reader.readline()
        if not first_line:
            raise ConnectionError("closed without an answer")
    except OSError as error:
        if writer:
            await close(writer)
        raise Refused(f"{path}: {error}") from error
    status = int(first_line.split()[1])
    while (await reader.readline()).strip():
        pass
    return reader, writer, status


async def close(writer):
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


async def talk_nonsense(port, tally, dice):
    path = dice.choice(["/", "/generate", "/v1/completions", "/classify"])
    reader, writer, status = await send(port, path, dice.choice(MALFORMED))
    await reader.read()
    await close(writer)
    if 400 <= status < 500:
        tally.count("malformed, refused")
    else:
        tally.fail(f"nonsense to {path}: status {status}")


async def read_stream(reader, tally, begun, leave_after):
    """Event by event; True if it came to its end."""
    last, n, ended = None, 0, False
    async for line in reader:
        if not line.startswith(b"data:"):
            continue
        now = time.perf_counter()
        data = line[5:].strip()
        if data == b"[DONE]":
            return True
        event = json.loads(data)
        if event.get("error"):
            tally.failures.append(str(event["error"]))
            return False
        n += 1
        tally.tokens += 1
        if last is None:
            tally.first.append(now - begun)
        else:
            tally.between.append(now - last)
        last = now
        ended = ended or event.get("details") is not None
        if n == leave_after:
            return None
    return ended


async def one_request(port, tally, request, leave_after=-1):
    path, body, stream = request
    begun = time.perf_counter()
    reader, writer, status = await send(port, path, json.dumps(body).encode())
    if status != 200:
        text = (await reader.read())[:200]
        await close(writer)
        raise Refused(f"{path}: status {status}: {text}", status)
    if stream:
        ended = await read_stream(reader, tally, begun, leave_after)
        if ended is None:
            tally.count("gone in the middle")
        elif ended:
            tally.count("streamed")
        else:
            tally.fail(f"{path}: a stream without an end")
    else:
        answer = await reader.read()
        json.loads(answer)
        tally.count("whole")
    await close(writer)


async def client(number, port, tally, options, until):
    dice = random.Random(1000 + number)
    while time.monotonic() < until:
        try:
            if dice.random() < options.malformed:
                await asyncio.wait_for(talk_nonsense(port, tally, dice), 120)
            else:
                request = make_request(dice, options.most_words, options.most_new)
                leaves = request[2] and dice.random() < options.gone * 2 # about half of the requests are streams
                await asyncio.wait_for(one_request(port, tally, request, dice.randrange(1, 4) if leaves else -1), 120)
        except Exception as error:
            tally.fail(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.1)


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


async def watch_memory(pid, samples, until):
    while pid and time.monotonic() < until:
        samples.append(memory(pid))
        await asyncio.sleep(1)


async def load(port, pid, options):
    tally, samples = Tally(), []
    until = time.monotonic() + options.seconds
    begun = time.perf_counter()
    await asyncio.gather(watch_memory(pid, samples, until), *(client(i, port, tally, options, until) for i in range(options.clients)))
    return tally, samples, time.perf_counter() - begun


async def end_under_load(process, port, options):
    """Every client asks again and again until a request fails; after two seconds the server is told to end. What it had
    begun to answer must come to a proper end."""
    tally, told = Tally(), asyncio.Event()

    async def client(number):
        dice = random.Random(2000 + number)
        while True:
            begun_before = not told.is_set()
            try:
                await asyncio.wait_for(one_request(port, tally, make_request(dice, options.most_words, options.most_new)), 120)
                if told.is_set() and begun_before:
                    tally.count("came to their end after SIGTERM")
            except Exception as error:
                if told.is_set() and isinstance(error, Refused) and error.status in (None, 503):
                    tally.count("turned away")
                else:
                    tally.fail(f"{type(error).__name__}: {error}")
                return

    clients = [asyncio.create_task(client(i)) for i in range(options.clients)]
    await asyncio.sleep(2)
    process.send_signal(signal.SIGTERM)
    told.set()
    begun = time.perf_counter()
    await asyncio.gather(*clients)
    return tally, {"outcomes": tally.outcomes, "exit": process.wait(120), "seconds": time.perf_counter() - begun}


def start_again(gptjt, port, options):
    """Seconds until a server on the same port is ready, which is then ended; None if it is not within a minute."""
    begun = time.perf_counter()
    process, _, _ = start(gptjt, [*options, "--port", str(port)])
    seconds = None
    while seconds is None and time.perf_counter() - begun < 60:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60):
                seconds = time.perf_counter() - begun
        except urllib.error.URLError: # 503 while the model loads
            time.sleep(0.01)
    process.terminate()
    process.wait(120)
    return seconds


async def throughput(port, clients, requests, tally):
    """Requests a second with so many clients, all of whom are busy all the time; NaN if one failed."""
    source, times, done = itertools.cycle(requests), [], asyncio.Event()

    async def client():
        while not tally.failures and len(times) < clients + len(requests):
            try:
                await one_request(port, tally, next(source))
            except Exception as error:
                tally.fail(f"{type(error).__name__}: {error}")
            times.append(time.perf_counter())
        done.set()

    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    await done.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return float("nan") if tally.failures else len(requests) / (times[clients + len(requests) - 1] - times[clients - 1])


def sweep(port, options):
    dice = random.Random(1)
    requests = [make_request(dice, options.most_words, options.most_new) for _ in range(options.requests)]
    tally, rounds = Tally(), []
    asyncio.run(throughput(port, 1, requests[:2], tally))
    for _ in range(options.rounds):
        rounds.append([asyncio.run(throughput(port, clients, requests, tally)) for clients in options.sweep])
        print("  ".join(f"{clients}: {rate:.3f}/s" for clients, rate in zip(options.sweep, rounds[-1])), file=sys.stderr)
    by_clients = list(zip(*rounds))
    return {
        "requests": options.requests,
        "most_words": options.most_words,
        "most_new": options.most_new,
        "failures": tally.failures[:10],
        "clients": [
            {
                "clients": clients,
                "requests_per_s": statistics.median(rates),
                "times": statistics.median(rate / one for rate, one in zip(rates, by_clients[0])),
                "rounds": rates,
            }
            for clients, rates in zip(options.sweep, by_clients)
        ],
    }


def start(gptjt, options):
    log = tempfile.TemporaryFile("w+")
    process = subprocess.Popen([gptjt, "serve", "--port", "0", "--no-log-requests", *options], stdin=subprocess.DEVNULL, stderr=log)
    while process.poll() is None:
        with open(f"/proc/self/fd/{log.fileno()}") as f:
            text = f.read()
        if "a page to try it: " in text:
            line = next(line for line in text.splitlines() if line.startswith("a page"))
            return process, int(line.rstrip("/").rsplit(":", 1)[1]), log
        time.sleep(0.05)
    sys.exit("the server did not start")


def report(tally, samples, seconds, options):
    third = max(1, len(samples) // 3)
    mean = lambda values: sum(values) / len(values) if values else None
    return {
        "clients": options.clients,
        "seconds": seconds,
        "outcomes": tally.outcomes,
        "failures": tally.failures[:10],
        "streamed_tokens_per_s": tally.tokens / seconds,
        "first_token_s": {"p50": percentile(tally.first, 0.5), "p95": percentile(tally.first, 0.95)},
        "inter_token_s": {"p50": percentile(tally.between, 0.5), "p95": percentile(tally.between, 0.95)},
        "rss_mib": {"first": mean(samples[:third]), "middle": mean(samples[third : 2 * third]), "last": mean(samples[-third:])},
    }


def main():
    own, more = (sys.argv[1:], []) if "--" not in sys.argv else (sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :])
    parser = argparse.ArgumentParser()
    parser.add_argument("gptjt", nargs="?")
    parser.add_argument("--port", type=int)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--gone", type=float, default=0.10)
    parser.add_argument("--malformed", type=float, default=0.05)
    parser.add_argument("--most-words", type=int, default=200)
    parser.add_argument("--most-new", type=int, default=64)
    parser.add_argument("--sweep", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args(own)
    process, log = None, None
    if options.gptjt:
        process, options.port, log = start(options.gptjt, more)
        options.pid = process.pid
    if options.sweep:
        result = sweep(options.port, options)
    else:
        tally, samples, seconds = asyncio.run(load(options.port, options.pid, options))
        result = report(tally, samples, seconds, options)
    if process:
        tally, result["end_under_load"] = asyncio.run(end_under_load(process, options.port, options))
        again = start_again(options.gptjt, options.port, more)
        result["end_under_load"]["seconds_to_serve_again"] = again
        result["failures"] += tally.failures[:10] + (["the server did not start again"] if again is None else [])
        with open(f"/proc/self/fd/{log.fileno()}") as f:
            text = f.read()
        if "Sanitizer" in text or result["end_under_load"]["exit"]:
            result["failures"].append("the server did not end well")
        if result["failures"]:
            print(text[-5000:], file=sys.stderr)
    print(json.dumps(result, indent=2))
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=2)
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
