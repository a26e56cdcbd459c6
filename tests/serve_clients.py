# SPDX-License-Identifier: Apache-2.0
"""The clients that people already have, against the server with the small model:

    tests/serve_clients.py build/gptjt

huggingface_hub's InferenceClient, openai's Python client, lm-evaluation-harness (local-completions on a task made here,
compared with `gptjt score --prompt-mask causal`), and curl. Each is skipped where it is not installed (pip install
huggingface_hub openai "lm_eval[api]"); with none of them the test is skipped as a whole (exit 77)."""
import asyncio, importlib.util, json, os, shutil, subprocess, sys, tempfile

os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
from serve_e2e import INDIA, MODEL, Server, generated, run


class Skip(Exception):
    pass


def need(*modules):
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise Skip(f"no {module}")


def curl(s, g):
    if not shutil.which("curl"):
        raise Skip("no curl")
    url = f"http://127.0.0.1:{s.port}"
    body = json.dumps({"inputs": INDIA, "parameters": {"max_new_tokens": 8}})
    out = subprocess.run(["curl", "-sfN", f"{url}/generate_stream", "-d", body], capture_output=True, check=True).stdout.decode()
    last = json.loads([line for line in out.splitlines() if line][-1][5:])
    assert last["generated_text"] == generated(g, INDIA, "--max-new-tokens", "8")["generated_text"]
    refused = subprocess.run(["curl", "-sf", f"{url}/generate", "-d", "{"], capture_output=True)
    assert refused.returncode == 22  # what curl says for a 4xx
    large = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/generate", "--data-binary", "@-"], input=b"x" * (100 << 20), capture_output=True)
    assert large.stdout == b"413", large


def huggingface_hub(s, g):
    need("huggingface_hub")
    from huggingface_hub import AsyncInferenceClient, InferenceClient
    from huggingface_hub.errors import HfHubHTTPError, ValidationError

    url = f"http://127.0.0.1:{s.port}"
    client = InferenceClient(url)
    truth = generated(g, INDIA, "--max-new-tokens", "8")
    assert client.text_generation(INDIA, max_new_tokens=8, return_full_text=False, stream=False) == truth["generated_text"]
    assert client.text_generation(INDIA, max_new_tokens=8, return_full_text=False, do_sample=False) == truth["generated_text"]
    got = client.text_generation(INDIA, max_new_tokens=8, details=True, return_full_text=False, stream=False, decoder_input_details=False, top_n_tokens=2)
    assert got.generated_text == truth["generated_text"] and got.details.finish_reason == truth["finish_reason"]
    assert [t.id for t in got.details.tokens] == truth["tokens"] and len(got.details.top_tokens) == len(truth["tokens"])
    assert "".join(client.text_generation(INDIA, max_new_tokens=8, stream=True)) == truth["generated_text"]
    last = list(client.text_generation(INDIA, max_new_tokens=8, stream=True, details=True))[-1]
    assert last.generated_text == INDIA + truth["generated_text"] or last.generated_text == truth["generated_text"]
    assert last.details.generated_tokens == len(truth["tokens"])
    sampled = client.text_generation(INDIA, max_new_tokens=8, do_sample=True, seed=7, temperature=0.8, top_p=0.9, repetition_penalty=1.1, stop=["\n"], return_full_text=False)
    options = ["--max-new-tokens", "8", "--seed", "7", "--temperature", "0.8", "--top-p", "0.9", "--top-k", "0", "--repetition-penalty", "1.1", "--stop", "\n"]
    assert sampled == generated(g, INDIA, *options)["generated_text"]
    for wrong in ({"top_p": 2.0}, {"max_new_tokens": 100000}, {"grammar": {"type": "regex", "value": "a"}}):
        try:
            client.text_generation(INDIA, **wrong)
            raise AssertionError(wrong)
        except (ValidationError, HfHubHTTPError) as error:
            assert "parameters" in str(error) or "window" in str(error), error
    async def stream():
        client = AsyncInferenceClient(url)  # which closes the stream when it goes
        tokens = await client.text_generation(INDIA, max_new_tokens=8, stream=True)
        return "".join([token async for token in tokens])
    assert asyncio.run(stream()) == truth["generated_text"]


def openai(s, g):
    need("openai")
    import openai as package

    client = package.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=0)
    truth, causal = (generated(g, INDIA, "--max-new-tokens", "8", *mask) for mask in ([], ["--prompt-mask", "causal"]))
    assert [m.id for m in client.models.list()] == ["gpt-jt-tiny"] and client.models.retrieve("gpt-jt-tiny").owned_by == "gptjt"
    got = client.completions.create(model="gpt-jt-tiny", prompt=INDIA, max_tokens=8, temperature=0, logprobs=2, echo=True)
    choice = got.choices[0]
    assert choice.text == INDIA + causal["generated_text"] and choice.finish_reason in ("stop", "length")  # scored, so causal
    assert choice.logprobs.token_logprobs[0] is None and len(choice.logprobs.tokens) == got.usage.total_tokens
    assert got.object == "text_completion" and got.usage.completion_tokens == len(causal["tokens"])
    chunks = list(client.completions.create(model="gpt-jt-tiny", prompt=INDIA, max_tokens=8, temperature=0, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == truth["generated_text"]
    assert chunks[-1].usage.completion_tokens == len(truth["tokens"])
    several = client.completions.create(model="gpt-jt-tiny", prompt=[INDIA, "x"], n=2, best_of=3, max_tokens=4, seed=1, logit_bias={"262": -100}, presence_penalty=0.5, frequency_penalty=0.5, user="me")
    assert [c.index for c in several.choices] == [0, 1, 2, 3]
    ids = [int(i) for i in run(g, "tokenize", "-p", INDIA).split()]
    assert client.completions.create(model="gpt-jt-tiny", prompt=ids, max_tokens=8, temperature=0).choices[0].text == truth["generated_text"]
    extra = client.completions.create(model="gpt-jt-tiny", prompt=INDIA, max_tokens=8, temperature=0, extra_body={"prompt_mask": "causal"})
    assert extra.choices[0].text == causal["generated_text"]
    for call, kind in [
        (lambda: client.completions.create(model="other", prompt="x"), package.NotFoundError),
        (lambda: client.completions.create(model="gpt-jt-tiny", prompt="x", temperature=3), package.BadRequestError),
        (lambda: client.completions.create(model="gpt-jt-tiny", prompt="x", suffix="y"), package.BadRequestError),
        (lambda: client.chat.completions.create(model="gpt-jt-tiny", messages=[{"role": "user", "content": "x"}]), package.BadRequestError),
    ]:
        try:
            call()
            raise AssertionError(kind)
        except kind as error:
            assert error.body and error.body["message"], error


TASK = """task: gptjt_nations
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "Input: {{{{country}}}}\\nOutput:"
doc_to_target: label
doc_to_choice: "{{{{choices}}}}"
target_delimiter: " "
metric_list:
  - metric: acc
"""


def lm_eval(s, g):
    need("lm_eval", "datasets", "transformers", "tenacity", "aiohttp")
    import lm_eval as package
    from lm_eval.tasks import TaskManager

    rows = [{"country": c, "choices": ["Indian Rupee", "Euro", "Yen"], "label": i} for i, c in enumerate(["India", "France", "Japan"])]
    with tempfile.TemporaryDirectory() as directory:
        data = os.path.join(directory, "nations.jsonl")
        with open(data, "w") as f:
            f.writelines(json.dumps(row) + "\n" for row in rows)
        with open(os.path.join(directory, "nations.yaml"), "w") as f:
            f.write(TASK.format(data=data))
        os.environ["HF_DATASETS_CACHE"] = os.path.join(directory, "cache")
        arguments = {"base_url": f"http://127.0.0.1:{s.port}/v1/completions", "model": "gpt-jt-tiny", "tokenizer": MODEL, "tokenizer_backend": "huggingface", "num_concurrent": 1, "max_length": 512, "batch_size": 2}
        results = package.simple_evaluate(model="local-completions", model_args=arguments, tasks=["gptjt_nations"], task_manager=TaskManager(include_path=directory, include_defaults=False), log_samples=True, bootstrap_iters=0)
        pairs, found = os.path.join(directory, "pairs.jsonl"), []
        with open(pairs, "w") as f:
            for sample in results["samples"]["gptjt_nations"]:
                for (context, continuation), response in zip(sample["arguments"], sample["filtered_resps"]):
                    f.write(json.dumps({"prompt": context, "continuation": continuation}) + "\n")
                    found.append((float(response[0]), str(response[1]) == "True"))
        truth = [json.loads(line) for line in run(g, "score", "-i", pairs, "--prompt-mask", "causal").splitlines()]
    assert len(found) == len(truth) == 9
    for (score, greedy), expected in zip(found, truth):
        assert abs(score - expected["log_likelihood"]) <= 1e-6 * abs(expected["log_likelihood"]), (score, expected)
        assert greedy == expected["greedy"]


def main():
    gptjt = os.path.abspath(sys.argv[1])
    server = Server(gptjt)
    passed = failed = skipped = 0
    for check in (curl, huggingface_hub, openai, lm_eval):
        try:
            check(server, gptjt)
            passed += 1
            print("ok     ", check.__name__, flush=True)
        except Skip as reason:
            skipped += 1
            print("SKIPPED", check.__name__, reason, flush=True)
        except Exception as error:
            failed += 1
            print("FAILED ", check.__name__, f"{type(error).__name__}: {str(error)[:2000]}", flush=True)
    server.stop()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0 if passed else 77


if __name__ == "__main__":
    sys.exit(main())
