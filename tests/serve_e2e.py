# SPDX-License-Identifier: Apache-2.0
"""The server from end to end, with the small model and nothing but Python's standard library:

    tests/serve_e2e.py build/gptjt [--only NAME]

Starts `gptjt serve`, asks it in every dialect, and compares with what the commands print for the same. Each check is a
function named for what it claims. Prints a line for each; exits 1 if one failed."""
import argparse, atexit, concurrent.futures, http.client, json, os, random, signal, socket, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = os.path.join(ROOT, "models", "gpt-jt-tiny")
INDIA = "Input: India\nOutput:"


class Server:
    """A server of its own, on a port of its own."""

    def __init__(self, gptjt, *options):
        self.log = tempfile.TemporaryFile("w+")
        command = [gptjt, "serve", "-m", MODEL, "--port", "0", "--threads", "1", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        atexit.register(self.process.kill)  # one that a failed check left behind
        self.port = self.wait_for("listening on ")
        self.wait_for("a page to try it: ")

    def text(self):
        self.log.flush()
        with open(f"/proc/self/fd/{self.log.fileno()}") as f:
            return f.read()

    def wait_for(self, begin):
        until = time.time() + 60
        while time.time() < until:
            for line in self.text().splitlines():
                if line.startswith(begin):
                    return int(line.rstrip("/").rsplit(":", 1)[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.text()}")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def lines(self):
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]

    def line_of(self, request):
        """The log's line of a request. It is written when the answer has been sent, so the client may be here before."""
        until = time.time() + 10
        while time.time() < until:
            for line in self.lines():
                if line["id"] == request:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line of {request} in the log:\n{self.text()}")


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


def ask(server, path, body=None, headers=None, method=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    connection.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def events(answer):
    found = []
    for block in answer.body.decode().split("\n\n"):
        if block:
            assert block.startswith("data:"), block
            data = block[5:].strip()
            found.append(data if data == "[DONE]" else json.loads(data))
    return found


def run(gptjt, *arguments):
    more = [] if arguments[0] == "tokenize" else ["--threads", "1", "--quiet"]
    result = subprocess.run([gptjt, *arguments, *more, "-m", MODEL], capture_output=True, check=True)
    return result.stdout.decode()


def generated(gptjt, prompt, *options):
    return json.loads(run(gptjt, "generate", "-p", prompt, "--json", *options))


def close(a, b):
    return len(a) == len(b) and all(abs(x - y) <= 1e-8 * abs(y) for x, y in zip(a, b))


# ---- Checks: s is a server, g the program ----


def texts_are_those_of_generate(s, g):
    for options, parameters in [
        (["--max-new-tokens", "8"], {"max_new_tokens": 8}),
        (["--max-new-tokens", "12", "--stop", "\n"], {"max_new_tokens": 12, "stop": ["\n"]}),
        (["--max-new-tokens", "12", "--do-sample", "--seed", "7", "--top-k", "0"], {"max_new_tokens": 12, "do_sample": True, "seed": 7}),
        (
            ["--max-new-tokens", "9", "--temperature", "0.7", "--top-k", "9", "--top-p", "0.9", "--repetition-penalty", "1.3", "--seed", "3"],
            {"max_new_tokens": 9, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "repetition_penalty": 1.3, "seed": 3},
        ),
        (["--max-new-tokens", "5", "--prompt-mask", "causal"], {"max_new_tokens": 5, "prompt_mask": "causal"}),
    ]:
        truth = generated(g, INDIA, *options)
        got = ask(s, "/generate", {"inputs": INDIA, "parameters": {**parameters, "details": True}}).json()
        assert got["generated_text"] == truth["generated_text"], (parameters, got)
        assert got["details"]["finish_reason"] == truth["finish_reason"]
        assert [t["id"] for t in got["details"]["tokens"]] == truth["tokens"]
        assert [t["logprob"] for t in got["details"]["tokens"]] == truth["logprobs"], parameters


def streams_concatenate_to_the_whole(s, g):
    for parameters in [{"max_new_tokens": 30}, {"max_new_tokens": 30, "do_sample": True, "seed": 5}, {"stop": ["Rup"], "max_new_tokens": 30}]:
        whole = ask(s, "/generate", {"inputs": INDIA, "parameters": parameters}).json()["generated_text"]
        answer = ask(s, "/generate_stream", {"inputs": INDIA, "parameters": parameters})
        assert answer.headers["Content-Type"] == "text/event-stream"
        got = events(answer)
        assert "".join(e["token"]["text"] for e in got if not e["token"]["special"]) == whole, (got, whole)
        assert [e["index"] for e in got] == list(range(1, len(got) + 1))
        assert all(e["generated_text"] is None and e["details"] is None for e in got[:-1])
        assert got[-1]["generated_text"] == whole and got[-1]["details"]["generated_tokens"] == len(got)
        seed = parameters.get("seed", 0)
        body = {"prompt": INDIA, "max_tokens": 30, "temperature": 1 if seed else 0, "seed": seed, "stream": True}
        if "stop" in parameters:
            body["stop"] = parameters["stop"]
        chunks = events(ask(s, "/v1/completions", body))
        assert chunks[-1] == "[DONE]"
        assert "".join(c["choices"][0]["text"] for c in chunks[:-1]) == whole
        assert chunks[-2]["choices"][0]["finish_reason"] in ("stop", "length")


def the_inference_api_answers_lists(s, g):
    greedy = {"do_sample": False, "max_new_tokens": 4}
    one = ask(s, "/", {"inputs": INDIA, "parameters": greedy}).json()
    two = ask(s, "/models/owner/gpt-jt-tiny", {"inputs": [INDIA, "x"], "parameters": greedy, "options": {"use_cache": False}})
    assert two.status == 404  # it is gpt-jt-tiny, without an owner
    two = ask(s, "/models/gpt-jt-tiny", {"inputs": [INDIA, "x"], "parameters": greedy, "options": {"use_cache": False}}).json()
    assert two[0] == one and one[0]["generated_text"].startswith(INDIA)
    truth = generated(g, INDIA, "--max-new-tokens", "4", "--do-sample", "--num-return-sequences", "3", "--seed", "11", "--top-k", "0")
    three = ask(s, "/", {"inputs": INDIA, "parameters": {"max_new_tokens": 4, "num_return_sequences": 3, "seed": 11, "return_full_text": False}}).json()
    assert [t["generated_text"] for t in three] == [t["generated_text"] for t in truth["results"]]


def hugging_faces_javascript_is_understood(s, g):
    """The bodies of @huggingface/inference 2.8 and 4.13, as their sources make them."""
    truth = generated(g, INDIA, "--max-new-tokens", "6")["generated_text"]
    old = ask(s, "/", {"inputs": INDIA, "parameters": {"max_new_tokens": 6, "do_sample": False, "return_full_text": False}, "options": {"use_cache": True}})
    assert old.json() == [{"generated_text": truth}]
    body = {"model": f"http://127.0.0.1:{s.port}", "max_tokens": 6, "do_sample": False, "return_full_text": False, "prompt": INDIA}
    assert ask(s, "/v1/completions", body).json()["choices"][0]["text"] == truth
    chunks = events(ask(s, "/v1/completions", {**body, "stream": True}))
    assert chunks[-1] == "[DONE]" and "".join(c["choices"][0]["text"] for c in chunks[:-1]) == truth


def echo_scores_are_those_of_score(s, g):
    ids = [int(i) for i in run(g, "tokenize", "-p", INDIA + " Indian Rupee").split()]
    truth = json.loads(run(g, "score", "--prompt-ids", str(ids[0]), "--continuation-ids", ",".join(map(str, ids[1:])), "--prompt-mask", "causal", "--json"))
    for max_tokens in (0, 1):
        body = {"prompt": [ids], "max_tokens": max_tokens, "temperature": 0, "logprobs": 1, "echo": True, "seed": 1234}
        choice = ask(s, "/v1/completions", body).json()["choices"][0]
        scores = choice["logprobs"]["token_logprobs"]
        assert scores[0] is None and choice["logprobs"]["top_logprobs"][0] is None
        assert scores[1 : len(ids)] == truth["logprobs"] and len(scores) == len(ids) + max_tokens
        assert choice["text"].startswith(INDIA + " Indian Rupee")
        for i, offset in enumerate(choice["logprobs"]["text_offset"]):
            token = choice["logprobs"]["tokens"][i]
            assert choice["text"][offset : offset + len(token)] == token
    n = len(run(g, "tokenize", "-p", INDIA).split())
    truth = json.loads(run(g, "score", "-p", INDIA, "-c", " Indian Rupee", "--prompt-mask", "prefix", "--json"))
    got = ask(s, "/v1/completions", {"prompt": ids, "max_tokens": 0, "logprobs": 1, "echo": True, "prefix_tokens": n}).json()
    scores = got["choices"][0]["logprobs"]["token_logprobs"]
    assert scores[:n] == [None] * n and scores[n:] == truth["logprobs"]
    got = ask(s, "/generate", {"inputs": INDIA, "parameters": {"decoder_input_details": True, "max_new_tokens": 1, "prompt_mask": "causal"}}).json()
    assert got["details"]["prefill"][0]["logprob"] is None and len(got["details"]["prefill"]) == n


def classes_are_those_of_classify(s, g):
    for options, body in [
        (["--labels", "positive,negative"], {"labels": ["positive", "negative"]}),
        (
            ["--labels", "a,b,c", "--calibrate", "--normalize", "length", "--text-name", "T", "--instruction", "Which?"],
            {"labels": ["a", "b", "c"], "calibrate": True, "normalize": "length", "text_name": "T", "instruction": "Which?"},
        ),
    ]:
        truth = json.loads(run(g, "classify", "-p", "I love it", "--json", *options))
        got = ask(s, "/classify", {"inputs": ["I love it", "x"], **body}).json()
        assert len(got["results"]) == 2 and got["prompt_mask"] == truth["prompt_mask"]
        for key in ("label", "probabilities", "log_likelihoods", "prompt_tokens"):
            assert got["results"][0][key] == truth[key], key


def tokens_are_those_of_tokenize(s, g):
    text = "Input: h\u00e9llo \U0001f600 x"
    got = ask(s, "/tokenize", {"inputs": text}).json()
    assert [t["id"] for t in got] == [int(i) for i in run(g, "tokenize", "-p", text).split()]
    assert "".join(t["text"] for t in got) == text
    assert all(text[t["start"] : t["stop"]] == t["text"] for t in got) and got[-1]["stop"] == len(text)


def everybody_at_once_gets_what_each_gets_alone(s, g):
    bodies = []
    for i in range(40):
        prompt = "Input: " + "word " * (i * 7 % 60) + "\nOutput:"
        bodies.append({"inputs": prompt, "parameters": {"max_new_tokens": 3 + i % 20, "do_sample": i % 2 == 0, "seed": i, "details": True}})
    alone = [ask(s, "/generate", b).json() for b in bodies]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        together = list(pool.map(lambda b: ask(s, "/generate", b).json(), bodies))
    assert together == alone


def n_and_best_of_choose(s, g):
    body = {"prompt": INDIA, "max_tokens": 6, "seed": 4, "logprobs": 0, "n": 4}
    four = ask(s, "/v1/completions", body).json()["choices"]
    best = ask(s, "/v1/completions", {**body, "n": 2, "best_of": 4}).json()
    mean = lambda c: sum(c["logprobs"]["token_logprobs"]) / len(c["logprobs"]["token_logprobs"])
    expected = sorted(four, key=mean, reverse=True)[:2]
    assert [c["text"] for c in best["choices"]] == [c["text"] for c in expected]
    assert best["usage"]["completion_tokens"] == sum(len(c["logprobs"]["tokens"]) for c in four)
    same = ask(s, "/v1/completions", {"prompt": [INDIA, "x"], "max_tokens": 3, "temperature": 0, "n": 2}).json()["choices"]
    assert [c["index"] for c in same] == [0, 1, 2, 3] and same[0]["text"] == same[1]["text"]


def what_is_wrong_is_said_in_the_dialect(s, g):
    for path, body, status, part in [
        ("/generate", '{"inputs": "\xff"}'.encode("latin-1"), 422, "unable to decode"),
        ("/generate", '{"inputs": "\\ud800"}', 422, "invalid Unicode"),
        ("/generate", "[" * 100000, 422, "maximum parsing depth"),
        ("/generate", '{"inputs": "x", "parameters": {"temperature": NaN}}', 422, "invalid token"),
        ("/generate", '{"inputs": "x", "parameters": {"temperature": 1e999}}', 422, "overflow"),
        ("/generate", {"inputs": "x" * 5000}, 422, "tokens"),
        ("/generate", {"inputs": ""}, 422, "empty"),
        ("/generate", {"inputs": INDIA, "parameters": {"max_new_tokens": 600}}, 422, "do not fit in the window of 512"),
        ("/v1/completions", {"prompt": "x", "temperature": -1}, 400, "not within"),
        ("/v1/completions", {"prompt": "x", "model": "gpt-5"}, 404, "is not served here"),
        ("/v1/chat/completions", {"messages": []}, 400, "no chat template"),
        ("/classify", {"inputs": "x", "labels": ["a"]}, 422, "two or more"),
        ("/nothing", {}, 404, "nothing at this path"),
    ]:
        answer = ask(s, path, body)
        assert answer.status == status and part in answer.body.decode(), (path, answer.status, answer.body[:300])
        error = answer.json()["error"]
        assert (isinstance(error, dict) and error["type"]) if path.startswith("/v1") else isinstance(error, str)
    assert ask(s, "/generate", method="GET").status == 405
    large = ask(s, "/generate", "x" * (3 << 20))
    assert large.status == 413 and large.json()["error_type"] == "validation"


def ids_of_requests_are_kept(s, g):
    assert ask(s, "/health", headers={"X-Request-Id": "my-id.7"}).headers["X-Request-Id"] == "my-id.7"
    bad = ask(s, "/health", headers={"X-Request-Id": 'a"b'}).headers["X-Request-Id"]
    assert len(bad) == 16 and bad.isalnum()


def the_log_has_no_prompts(s, g):
    ask(s, "/generate", {"inputs": "a very secret prompt", "parameters": {"max_new_tokens": 3}}, {"X-Request-Id": "secret"})
    line = s.line_of("secret")
    assert line["status"] == 200 and line["new_tokens"] == 3 and line["path"] == "/generate" and line["client"] == "127.0.0.1"
    assert "secret prompt" not in s.text()


def metrics_count(s, g):
    ask(s, "/generate", {"inputs": "x", "parameters": {"max_new_tokens": 3}})
    text = ask(s, "/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['gptjt_requests_total{path="/generate",status="200"}']) >= 1
    assert float(values["gptjt_new_tokens_total"]) >= 3 and float(values["gptjt_queue_requests"]) == 0
    assert float(values["gptjt_time_to_first_token_seconds_count"]) >= 1
    assert values['gptjt_time_to_first_token_seconds_bucket{le="+Inf"}'] == values["gptjt_time_to_first_token_seconds_count"]


def who_goes_away_is_forgotten(s, g):
    """Streams abandoned half-way make room: the model soon has nothing to do."""
    for i in range(10):
        connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=60)
        connection.request("POST", "/generate_stream" if i % 2 else "/generate", json.dumps({"inputs": INDIA, "parameters": {"max_new_tokens": 400}}))
        if i % 2:
            connection.getresponse().fp.readline()
        connection.close()
    until = time.time() + 30
    while time.time() < until:
        text = ask(s, "/metrics").body.decode()
        if "gptjt_batch_requests 0\n" in text and "gptjt_queue_requests 0\n" in text:
            break
        time.sleep(0.05)
    else:
        raise AssertionError(text)
    assert ask(s, "/generate", {"inputs": INDIA}).status == 200


def time_limits_end_texts(s, g):
    answer = ask(s, "/", {"inputs": INDIA, "parameters": {"max_time": 0.000001}})
    assert answer.status in (200, 503)  # before the first token, or right after it
    own = Server(g, "--time-limit", "0.05")
    got = events(ask(own, "/v1/completions", {"prompt": INDIA, "max_tokens": 480, "stream": True, "n": 8, "seed": 1}))
    assert got[-1] == "[DONE]", got[-3:]
    finished = {c["choices"][0]["index"] for c in got[:-1] if c["choices"][0]["finish_reason"]}
    assert finished == set(range(8))
    assert own.stop() == 0


def only_keys_open(s, g):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as keys:
        keys.write("# ours\nsk-0123456789 alice\nsk-abcdefghij\n")
        keys.flush()
        own = Server(g, "--api-keys", keys.name)
        body = {"inputs": "x", "parameters": {"max_new_tokens": 2}}
        for headers in ({}, {"Authorization": "Bearer sk-0123456780"}, {"Authorization": "Basic sk-0123456789"}, {"Authorization": "Bearer "}):
            assert ask(own, "/generate", body, headers).status == 401
            assert ask(own, "/v1/completions", {"prompt": "x"}, headers).json()["error"]["code"] == "invalid_api_key"
        assert ask(own, "/metrics").status == 401 and ask(own, "/health").status == 200 and ask(own, "/").status == 200
        assert ask(own, "/generate", body, {"Authorization": "Bearer sk-0123456789"}).status == 200
        assert ask(own, "/metrics", headers={"Authorization": "bearer sk-abcdefghij"}).status == 200
        assert own.stop() == 0  # by then the log is complete
        assert {"alice", "key 2"} <= {line["client"] for line in own.lines()}
        assert "sk-0" not in own.text()


def a_full_queue_says_so(s, g):
    own = Server(g, "--max-queue", "4", "--max-batch", "1")
    body = {"inputs": [INDIA] * 4, "parameters": {"max_new_tokens": 100}}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(own, "/", body), range(16)))
    assert {a.status for a in answers} == {200, 429}, [a.status for a in answers]
    refused = next(a for a in answers if a.status == 429)
    assert refused.json()["error_type"] == "overloaded" and refused.headers["Retry-After"]
    assert ask(own, "/", {**body, "inputs": [INDIA] * 5}).status == 429
    assert own.stop() == 0


def a_server_that_ends_lets_answers_end(s, g):
    for seconds, body, finish in [
        ("30", {"prompt": INDIA, "max_tokens": 300, "stream": True, "n": 8, "seed": 1}, None),
        ("0", {"prompt": INDIA, "max_tokens": 480, "stream": True, "n": 8, "seed": 1}, "length"),
    ]:
        # answers that are to be cut off come from the slowest kernels, or a fast machine has them done before it is told
        own = Server(g, "--drain-time", seconds, *(["--cpu", "ref"] if finish else []))
        connection = http.client.HTTPConnection("127.0.0.1", own.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(body))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        begun = response.fp.readline()  # a chunk's size
        own.process.send_signal(signal.SIGTERM)
        rest = response.fp.read().decode()
        assert begun and rest.rstrip().endswith("data: [DONE]\n\n\r\n0"), rest[-200:]
        ends = rest.count('"finish_reason":"')
        assert ends == body["n"], ends
        if finish:
            assert rest.count('"finish_reason":"length"') >= 1
        assert own.process.wait(60) == 0
        assert "ending: running requests have" in own.text()


def bytes_at_random_do_no_harm(s, g):
    dice = random.Random(8)
    good = json.dumps({"inputs": INDIA, "prompt": "x", "parameters": {"max_new_tokens": 2}, "labels": ["a", "b"]}).encode()
    for i in range(300):
        text = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            text[dice.randrange(len(text))] = dice.randrange(256)
        path = dice.choice(["/", "/generate", "/generate_stream", "/v1/completions", "/classify", "/tokenize"])
        assert ask(s, path, bytes(text)).status in (200, 400, 404, 422)


CHECKS = [value for value in list(globals().values()) if callable(value) and getattr(value, "__code__", None) and value.__code__.co_varnames[:2] == ("s", "g")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gptjt")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    gptjt = os.path.abspath(arguments.gptjt)
    server = Server(gptjt)
    failed = 0
    checks = [check for check in CHECKS if arguments.only in (None, check.__name__)]
    for check in checks:
        try:
            check(server, gptjt)
            print("ok     ", check.__name__.replace("_", " "), flush=True)
        except Exception as error:
            failed += 1
            print("FAILED ", check.__name__.replace("_", " "), f"{type(error).__name__}: {str(error)[:1500]}", flush=True)
    if server.stop() != 0 or "Sanitizer" in server.text():
        failed += 1
        print("FAILED  the server's end:", server.text()[-3000:])
    print(f"{len(checks) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    socket.setdefaulttimeout(120)
    sys.exit(main())
