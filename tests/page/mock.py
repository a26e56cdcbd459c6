# SPDX-License-Identifier: Apache-2.0
"""A stand-in for `gptjt serve` that the page's test can make fail: the same paths and shapes, answers from a table.

What a prompt holds chooses the trouble: "[busy]" answers 429 once, "[gone]" breaks the stream after two tokens, "[bad]"
is refused with 422, "[slow]" takes 0.2 s a token. With a key set, requests without it get 401. Settings are checked
here as the server does it: unknown names are refused, so that the page cannot send any.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PARAMETERS = {
    "max_new_tokens",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "seed",
    "repetition_penalty",
    "stop",
    "prompt_mask",
    "details",
    "top_n_tokens",
    "decoder_input_details",
}
CLASSIFY = {
    "inputs",
    "labels",
    "instruction",
    "list_labels",
    "text_name",
    "label_name",
    "shots",
    "normalize",
    "calibrate",
    "prompt_mask",
    "details",
}
ANSWERS = [  # what the prompt holds, the answer of each mask
    ("India", {"prefix": " Indian Rupee", "causal": " Indian Pound"}),
    ("festive", {"prefix": " joy", "causal": " love"}),
    ("Vikash", {"prefix": " Seattle, Portland, Vikash", "causal": " Seattle, Portland, Pacific Northwest, Vikash"}),
    (
        "Peter Lee",
        {"prefix": " Peter Lee,peter@yahoo.com,510-333-2429", "causal": " Peter Lee,peter@yahoo.com,510-333-2429"},
    ),
    ("hysterical", {"prefix": " hate speech", "causal": " not hate speech"}),
]
INFO = {
    "model_id": "togethercomputer/GPT-JT-6B-v1",
    "model_dtype": "q8",
    "max_concurrent_requests": 128,
    "max_input_tokens": 2047,
    "max_total_tokens": 2048,
    "max_stop_sequences": 16,
    "max_best_of": 8,
    "max_client_batch_size": 4,
    "validation_workers": 1,
    "version": "0.1.0",
    "router": "gptjt",
    "sha": None,
    "docker_label": None,
    "prompt_mask": "prefix",
    "prompt_mask_reason": "attn.bias in the checkpoint is all ones",
    "weights": "q8",
    "compute": "int8",
    "cpu": "avx512",
    "threads": 16,
    "vocab_size": 50400,
}


def tokens_of(text: str) -> list[dict]:
    """Pieces of up to seven letters, as a tokenizer with few merges has them."""
    pieces = re.findall(r" ?[^\W\d_]{1,7}| ?\d{1,3}| ?[^\w\s]|\s|_", text)
    out, at = [], 0
    for piece in pieces:
        out.append({"id": sum(piece.encode()) % 50000, "text": piece, "start": at, "stop": at + len(piece)})
        at += len(piece)
    return out


def sureness(index: int, text: str) -> float:
    return math.log(0.35 + 0.64 * (math.sin(7 * index + len(text)) ** 2))


class Mock(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status: int, body, kind: str = "application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def allowed(self) -> bool:
        key = self.server.key
        if key is None or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self.answer(401, {"error": "no or unknown API key"})
        return False

    def do_GET(self):
        if self.path == "/":
            page, policy = self.server.page
            self.answer(200, page, "text/html; charset=utf-8", Content_Security_Policy=policy)
        elif self.path == "/info":
            if self.allowed():
                self.answer(200, INFO)
        else:
            self.answer(404, {"error": f"nothing is at {self.path}"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body))
        if not self.allowed():
            return
        if self.path == "/tokenize":
            self.answer(200, tokens_of(body["inputs"]))
        elif self.path == "/classify":
            self.classify(body)
        elif self.path in ("/generate", "/generate_stream"):
            self.generate(body, self.path.endswith("stream"))
        else:
            self.answer(404, {"error": f"nothing is at {self.path}"})

    def refuse(self, message: str):
        self.answer(422, {"error": message, "error_type": "validation"})

    def generate(self, body: dict, stream: bool):
        prompt, parameters = body["inputs"], body["parameters"]
        unknown = set(parameters) - PARAMETERS
        if unknown:
            return self.refuse(f"unknown parameter {unknown.pop()}")
        if "[bad]" in prompt:
            return self.refuse("temperature: 7 is more than it may be, 5")
        if "[busy]" in prompt and self.server.busy:
            self.server.busy -= 1
            return self.answer(429, {"error": "the queue is full", "error_type": "overloaded"}, Retry_After="1")
        mask = parameters.get("prompt_mask", INFO["prompt_mask"])
        said = next((words[mask] for key, words in ANSWERS if key in prompt), " a long answer that goes on and on" * 40)
        pieces = tokens_of(said)[: parameters["max_new_tokens"]]
        if "\n" in parameters.get("stop", []) and len(pieces) < parameters["max_new_tokens"]:
            pieces.append({"id": tokens_of("\n")[0]["id"], "text": ""})  # the text of a stop string is not told
        tokens = [{**self.token(p, i, mask), "special": False} for i, p in enumerate(pieces)]
        end = {
            "finish_reason": "stop_sequence",
            "generated_tokens": len(tokens),
            "input_length": len(tokens_of(prompt)),
            "seed": None,
        }
        if stream:
            return self.stream(prompt, tokens, end)
        prefill = [
            {"id": p["id"], "text": p["text"], "logprob": sureness(i, p["text"]) if i else None}
            for i, p in enumerate(tokens_of(prompt))
        ]
        self.answer(
            200,
            {
                "generated_text": "".join(t["text"] for t in tokens),
                "details": {**end, "prefill": prefill, "tokens": tokens},
            },
        )

    @staticmethod
    def token(piece: dict, i: int, mask: str) -> dict:
        return {"id": piece["id"], "text": piece["text"], "logprob": sureness(i + (mask == "causal"), piece["text"])}

    def stream(self, prompt: str, tokens: list[dict], end: dict):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        for i, token in enumerate(tokens):
            time.sleep(0.2 if "[slow]" in prompt else 0.02)
            if "[gone]" in prompt and i == 2:
                return
            left = 1 - math.exp(token["logprob"])
            top = [{**token, "text": token["text"] or "\n"}] + [
                {"id": 9000 + k, "text": f" other{k}", "logprob": math.log(left * share + 1e-9), "special": False}
                for k, share in enumerate((0.6, 0.2, 0.1, 0.05))
            ]
            last = i == len(tokens) - 1
            event = {
                "index": i + 1,
                "token": token,
                "top_tokens": top,
                "generated_text": "".join(t["text"] for t in tokens) if last else None,
                "details": end if last else None,
            }
            data = f"data:{json.dumps(event)}\n\n".encode()
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
            except OSError:
                self.server.hung_up.append(prompt)
                return
        self.wfile.write(b"0\r\n\r\n")

    def classify(self, body: dict):
        unknown = set(body) - CLASSIFY
        if unknown:
            return self.refuse(f"unknown field {unknown.pop()}")
        inputs = body["inputs"] if isinstance(body["inputs"], list) else [body["inputs"]]
        if len(inputs) > INFO["max_client_batch_size"]:
            return self.refuse("too many inputs")
        time.sleep(0.05)
        mask = body.get("prompt_mask", INFO["prompt_mask"])
        results = []
        for text in inputs:
            scores = {
                label: 1.5 * math.sin(len(text) + 3 * i + (mask == "causal")) - 6
                for i, label in enumerate(body["labels"])
            }
            total = sum(math.exp(s) for s in scores.values())
            probabilities = {label: math.exp(s) / total for label, s in scores.items()}
            best = max(probabilities, key=probabilities.get)
            results.append(
                {
                    "label": best,
                    "score": probabilities[best],
                    "probabilities": probabilities,
                    "log_likelihoods": scores,
                    "prompt_tokens": 57 + len(tokens_of(text)),
                    "n_shots": len(body.get("shots", [])),
                    "n_dropped": 0,
                    "prompt": f"{body.get('instruction', '')}\n\n{body.get('text_name', 'Text')}: {text}\n{body.get('label_name', 'Label')}:",
                }
            )
        self.answer(200, {"results": results, "prompt_mask": mask})


def start(directory: Path) -> ThreadingHTTPServer:
    """Serves the packed page in directory; .url, .seen (requests), .hung_up, .busy, .key are for tests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mock)
    server.daemon_threads = True
    server.page = ((directory / "page.html").read_bytes(), (directory / "page.policy").read_text())
    server.seen, server.hung_up, server.busy, server.key = [], [], 0, None
    server.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
