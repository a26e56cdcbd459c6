#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures GPT-J on one NVIDIA GPU by other programs: transformers, and a plain PyTorch stack written for speed.

    bench/vs_peers/cuda_peer.py --train --budget 90                        # on the machine with the GPU
    bench/vs_peers/cuda_peer.py --device cpu --dtype fp32 --tiny          # does the script still work

Every row is one JSON line on stdout, printed once it is measured; a row that fails or takes too long says so, and the
next one follows. Quick rows come first, whole-model compilations ("slow": true) last, so that --budget cuts those.

  hf-*     transformers' GPTJForCausalLM. It has one attention that needs no further package, "eager": scores written
           out, in fp32. No sdpa. A static cache and torch.compile(fullgraph=True) work.
  plain-*  the same weights in `Stack` below: q, k, v as one product, scaled_dot_product_attention, a static cache.
           torch.compile sees one block and reuses it for all layers, which takes seconds, not a minute; blocks hand
           over their residual unadded, so kernels are those of a compiled whole. A step is then one CUDA graph.

Weights are random. Seconds are medians: of all steps (decode) or of --repeats. first_s is the first call, compilation
included. "fraction" is weights read / time of a step against the copy bandwidth measured here, or FLOP/s against the
measured peak of a matrix product; attention counts as causal, half of all pairs.
"""
import argparse
import contextlib
import gc
import importlib
import itertools
import json
import re
import signal
import statistics
import sys
import time
import typing

START = time.perf_counter()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
PHASES = ("machine", "decode", "prefill", "train")
WARM_UP_STEPS = 4
DEVICE = torch.device("cuda")  # named in every call: a default device costs time in all of them


class Late(BaseException):
    """The row's time is over. No Exception: torch.compile must not catch it."""


def out_of_time(*_):
    raise Late


def say(**row):
    row = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}
    print(json.dumps(row), flush=True)


# ---- Clock ----


def is_cuda():
    return DEVICE.type == "cuda"


def synchronize():
    if is_cuda():
        torch.cuda.synchronize()


def mark():
    if not is_cuda():
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def timed(function, count, warm=0):
    """Seconds of each of `count` calls, and of the very first one (of the warm ones)."""
    synchronize()
    start = time.perf_counter()
    first = None
    for _ in range(warm):
        function()
        if first is None:
            synchronize()
            first = time.perf_counter() - start
    marks = [mark()]
    for _ in range(count):
        function()
        marks.append(mark())
    synchronize()
    pairs = zip(marks, marks[1:])
    return [a.elapsed_time(b) / 1e3 if is_cuda() else b - a for a, b in pairs], first


# ---- A plain stack ----


class Shape(typing.NamedTuple):
    layers: int
    width: int
    heads: int
    rotary: int
    vocabulary: int
    positions: int


class Layer(typing.NamedTuple):
    norm: torch.Tensor
    norm_bias: torch.Tensor
    qkv: torch.Tensor
    out: torch.Tensor
    up: torch.Tensor
    up_bias: torch.Tensor
    down: torch.Tensor
    down_bias: torch.Tensor


def linear(x, weight, bias):
    # Compiled, a product with one row is a kernel of its own only without a bias.
    return F.linear(x, weight) + bias if x.shape[:-1].numel() == 1 else F.linear(x, weight, bias)


def rotate(x, sin_cos):
    """x: batch, heads, tokens, head size; sin_cos: tokens, 2, half of what is rotated. Pairs are neighbours."""
    sin, cos = sin_cos.unbind(1)
    turned, rest = x[..., : 2 * sin.shape[-1]].unflatten(-1, (-1, 2)).float(), x[..., 2 * sin.shape[-1] :]
    a, b = turned.unbind(-1)
    turned = torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)
    return torch.cat((turned.type_as(x), rest), -1)


def block(x, a, m, w, sin_cos, heads, cache=None, position=None, mask=None):
    """x, a, m: the residual and what attention and MLP of the block before add to it. Causal if there is no mask."""
    x = x + a + m
    h = F.layer_norm(x, x.shape[-1:], w.norm, w.norm_bias)
    q, k, v = F.linear(h, w.qkv).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = rotate(q, sin_cos), rotate(k, sin_cos)
    if cache is not None:
        keys, values = (kept.index_copy_(2, position, new) for kept, new in zip(cache, (k, v)))
        if mask is not None:
            k, v = keys, values
    a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    a = F.linear(a.transpose(1, 2).flatten(-2), w.out)
    m = linear(F.gelu(linear(h, w.up, w.up_bias), approximate="tanh"), w.down, w.down_bias)
    return x, a, m


def logits_of(x, a, m, end):
    norm, norm_bias, head, head_bias = end
    return linear(F.layer_norm(x + a + m, x.shape[-1:], norm, norm_bias), head, head_bias)


def last_logits(x, a, m, end):
    return logits_of(x[:, -1:], a[:, -1:], m[:, -1:], end)


def loss_of(x, a, m, end, targets):
    return F.cross_entropy(logits_of(x, a, m, end).float().flatten(0, 1), targets.flatten())


class Stack:
    """layers, embedding and end (final norm, head) are given; the functions it runs are set, compiled or not."""

    def __init__(self, shape, embedding, layers, end):
        self.shape, self.embedding, self.layers, self.end = shape, embedding, layers, end
        half = shape.rotary // 2
        angles = torch.arange(shape.positions).float().outer(1e4 ** -(torch.arange(half).float() / half))
        self.table = torch.stack((angles.sin(), angles.cos()), 1).to(DEVICE)
        self.block, self.last, self.loss = block, last_logits, loss_of

    def compile(self, **options):
        self.block, self.last, self.loss = (torch.compile(f, fullgraph=True, dynamic=False, **options)
                                            for f in (block, last_logits, loss_of))  # fmt: skip

    def run(self, ids, caches=None, position=None, mask=None):
        x = F.embedding(ids, self.embedding)
        dtype = torch.bfloat16 if torch.is_autocast_enabled(x.device.type) else x.dtype
        # Two tensors, with gradients: as the later blocks have it, else the first is compiled for itself.
        a, m = (torch.zeros_like(x, dtype=dtype, requires_grad=torch.is_grad_enabled()) for _ in "am")
        sin_cos = self.table[: ids.shape[1]] if position is None else self.table[position]
        for i, w in enumerate(self.layers):
            x, a, m = self.block(x, a, m, w, sin_cos, self.shape.heads, caches and caches[i], position, mask)
        return x, a, m

    def caches(self, batch, slots):
        size = (batch, self.shape.heads, slots, self.shape.width // self.shape.heads)
        return [tuple(torch.zeros(size, dtype=self.embedding.dtype, device=DEVICE) for _ in "kv") for _ in self.layers]

    def prefill(self, ids, caches=None, position=None):
        return self.last(*self.run(ids, caches, position), self.end)

    def step(self, ids, caches, position):
        """The next token into `ids`; a token further. All in place, as a graph needs it."""
        mask = mask_of(caches[0][0].shape[2], position, self.embedding.dtype)
        ids.copy_(self.last(*self.run(ids, caches, position, mask), self.end).argmax(-1))
        position.add_(1)


def mask_of(slots, position, dtype):
    """What the token at `position` sees of as many slots."""
    mask = torch.zeros(1, 1, 1, slots, dtype=dtype, device=DEVICE)
    return mask.masked_fill_(torch.arange(slots, device=DEVICE) > position, torch.finfo(dtype).min)


def graph_of(step, warm=3):
    """`step` as a CUDA graph, after as many calls (compilation, cuBLAS)."""
    if not is_cuda():
        for _ in range(warm):
            step()
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warm):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


# ---- Models ----


def transformers_model(shape, dtype):
    import transformers
    from transformers.models.gptj.modeling_gptj import create_sinusoidal_positions

    config = transformers.GPTJConfig(n_layer=shape.layers, n_embd=shape.width, n_head=shape.heads,
                                     rotary_dim=shape.rotary, vocab_size=shape.vocabulary,
                                     n_positions=shape.positions, bos_token_id=None, eos_token_id=None)  # fmt: skip
    table = create_sinusoidal_positions(shape.positions, shape.rotary)  # in fp16 its angles would be wrong
    torch.set_default_dtype(dtype)
    try:
        with DEVICE:
            model = transformers.GPTJForCausalLM(config).eval()  # made and initialised where it stays
    finally:
        torch.set_default_dtype(torch.float32)
    for layer in model.transformer.h:
        layer.attn.embed_positions = table.to(DEVICE)
    with torch.device("meta"):
        offered = {}
        for name in ("sdpa", "flash_attention_2"):
            small = transformers.GPTJConfig(n_layer=1, n_embd=64, n_head=4, rotary_dim=8)
            try:
                transformers.GPTJForCausalLM._from_config(small, attn_implementation=name)
                offered[name] = True
            except Exception as error:
                offered[name] = str(error).split(". ")[0][:160]
    return model, {"attention": model.config._attn_implementation, "offers": offered,
                   "static_cache_compile": getattr(model, "_can_compile_fullgraph", False)}  # fmt: skip


def stack_like(model, shape):
    """The same weights, shared where the layout is the same."""
    def layer_of(h):
        at, mlp = h.attn, h.mlp
        qkv = torch.cat([at.q_proj.weight, at.k_proj.weight, at.v_proj.weight])
        return Layer(h.ln_1.weight, h.ln_1.bias, qkv, at.out_proj.weight, mlp.fc_in.weight, mlp.fc_in.bias,
                     mlp.fc_out.weight, mlp.fc_out.bias)  # fmt: skip

    t = model.transformer
    end = (t.ln_f.weight, t.ln_f.bias, model.lm_head.weight, model.lm_head.bias)
    return Stack(shape, t.wte.weight, [layer_of(h) for h in t.h], end)


def random_stack(shape, dtype):
    d, v = shape.width, shape.vocabulary

    def new(*size):
        return torch.nn.Parameter(torch.empty(size, dtype=dtype, device=DEVICE).normal_(0, 0.02))

    def ones():
        return torch.nn.Parameter(torch.ones(d, dtype=dtype, device=DEVICE))

    layers = [Layer(ones(), new(d), new(3 * d, d), new(d, d), new(4 * d, d), new(4 * d), new(d, 4 * d), new(d))
              for _ in range(shape.layers)]  # fmt: skip
    return Stack(shape, new(v, d), layers, (ones(), new(d), new(v, d), new(v)))


# ---- Rows ----


class Bench:
    def __init__(self, args):
        self.args = args
        self.shape = Shape(args.layers, args.width, args.heads, args.rotary, args.vocabulary, args.positions)
        self.dtype = DTYPES[args.dtype]
        self.copy = self.peak = None
        self.model = self.stack = None

    def load(self):
        """The model, when the first row needs it; a row of its own says what it took."""
        if self.model:
            return
        start = time.perf_counter()
        with torch.no_grad():
            self.model, about = transformers_model(self.shape, self.dtype)
            self.stack = stack_like(self.model, self.shape)
            ids = self.random_ids(1, self.args.prompt)
            theirs = self.model(ids, use_cache=False, logits_to_keep=1).logits.float()
            ours = self.stack.prefill(ids).float()
        read = [p for n, p in self.model.named_parameters() if "wte" not in n]
        self.weight_bytes = sum(p.nbytes for p in read)
        import transformers

        say(phase="load", seconds=time.perf_counter() - start, dtype=self.args.dtype, shape=self.shape._asdict(),
            transformers=transformers.__version__, weight_bytes=self.weight_bytes,
            plain_off_by=((ours - theirs).norm() / theirs.norm()).item(), **about)  # fmt: skip

    def unload(self):
        self.model = self.stack = None

    def random_ids(self, batch, tokens):
        return torch.randint(self.shape.vocabulary, (batch, tokens), device=DEVICE)

    def slots(self):
        slots = self.args.prompt + self.args.tokens
        return (slots + 7) // 8 * 8  # that fast kernels take the mask as it is

    # Machine

    def machine(self):
        size = int((4e9 if is_cuda() else 4e7) / 4)
        source, target = torch.ones(size, device=DEVICE), torch.empty(size, device=DEVICE)
        seconds, _ = timed(lambda: target.copy_(source), 10, 3)
        self.copy = 2 * source.nbytes / statistics.median(seconds)
        n = 8192 if is_cuda() else 256
        self.peak = {}
        for name in ("bf16", "fp16") if is_cuda() else ("bf16", "fp16", "fp32"):
            a, b = (torch.randn(n, n, device=DEVICE).to(DTYPES[name]) for _ in "ab")
            seconds, _ = timed(lambda: a @ b, 10, 3)
            self.peak[name] = 2 * n**3 / statistics.median(seconds)
        name = torch.cuda.get_device_name() if is_cuda() else "cpu"
        return {"device": name, "torch": torch.__version__, "copy_gbps": self.copy / 1e9,
                **{f"{k}_tflops": v / 1e12 for k, v in self.peak.items()}}  # fmt: skip

    # Decode: a prompt, then steps

    def decoded(self, batch, step, graph=False):
        """graph: captured after some steps."""
        first = 0
        if graph:
            start = time.perf_counter()
            step = graph_of(step, WARM_UP_STEPS - 1)
            synchronize()
            first = time.perf_counter() - start
        seconds, first_call = timed(step, self.args.tokens - WARM_UP_STEPS, 1 if graph else WARM_UP_STEPS)
        s = statistics.median(seconds)
        keys = self.shape.layers * 2 * self.shape.width * self.dtype.itemsize
        cache = batch * keys * (self.args.prompt + self.args.tokens / 2)
        return {"batch": batch, "prompt": self.args.prompt, "steps": len(seconds), "step_ms": s * 1e3,
                "mean_ms": statistics.mean(seconds) * 1e3, "tokens_per_s": batch / s,
                "weight_gbps": self.weight_bytes / s / 1e9,
                "fraction": self.copy and self.weight_bytes / s / self.copy,
                "gbps_with_cache": (self.weight_bytes + cache) / s / 1e9,
                "first_s": first + first_call}  # fmt: skip

    def hf_decode(self, batch, how):
        """how: eager, with a cache that grows; graph: a static cache, captured; compiled: a static cache, both."""
        import transformers

        cache = None
        if how != "eager":
            cache = transformers.StaticCache(config=self.model.config, max_cache_len=self.slots())
        out = self.model(self.random_ids(batch, self.args.prompt), past_key_values=cache, use_cache=True,
                         logits_to_keep=1)  # fmt: skip
        cache, ids = out.past_key_values, out.logits.argmax(-1)

        position = torch.full((1, 1), self.args.prompt, device=DEVICE)

        def forward(ids):
            more = {}
            if how == "graph":  # its own mask copies from the CPU, which a graph cannot hold
                more = {"attention_mask": mask_of(self.slots(), position, self.dtype), "position_ids": position}
            logits = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **more).logits
            return logits.argmax(-1)

        if how == "compiled":
            forward = torch.compile(forward, mode="reduce-overhead" if is_cuda() else None, fullgraph=True,
                                    dynamic=False)  # fmt: skip

        def step():
            if how == "compiled":
                torch.compiler.cudagraph_mark_step_begin()
            ids.copy_(forward(ids))
            position.add_(1)

        return {"attention": "eager", **self.decoded(batch, step, graph=how == "graph")}

    def plain_decode(self, batch, whole=False, **options):
        caches, position = self.stack.caches(batch, self.slots()), torch.arange(self.args.prompt, device=DEVICE)
        self.stack.block, self.stack.last = block, last_logits
        ids = self.stack.prefill(self.random_ids(batch, self.args.prompt), caches, position).argmax(-1)
        position = torch.tensor([self.args.prompt], device=DEVICE)
        if not whole:
            self.stack.compile(**options)

        def step():
            self.stack.step(ids, caches, position)

        if whole:
            for tensor in (ids, position, *itertools.chain(*caches), self.stack.embedding, self.stack.table,
                           *itertools.chain(*self.stack.layers), *self.stack.end):  # fmt: skip
                torch._dynamo.mark_static_address(tensor)
            inner = torch.compile(step, mode="reduce-overhead" if is_cuda() else None, fullgraph=True, dynamic=False)

            def marked():
                torch.compiler.cudagraph_mark_step_begin()
                inner()

            return {"attention": "sdpa", **self.decoded(batch, marked)}
        return {"attention": "sdpa", **self.decoded(batch, step, graph=True)}

    def gemv_decode(self):
        """One sequence as gpt-fast does it: products and attention are generated, their tiles searched for."""
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            row = self.plain_decode(1, options={"coordinate_descent_tuning": True})
        return {**row, "attention": "sdpa (math, generated)"}

    # Prefill: a prompt into an empty cache, to the logits of its last position

    def prefilled(self, tokens, forward):
        seconds, first = timed(forward, self.args.repeats, 2)
        s = statistics.median(seconds)
        d, layers = self.shape.width, self.shape.layers
        flop = 2 * tokens * 12 * d * d * layers + 4 * tokens * tokens * d * layers / 2
        peak = self.peak and self.peak.get(self.args.dtype)
        return {"tokens": tokens, "ms": s * 1e3, "tokens_per_s": tokens / s, "tflops": flop / s / 1e12,
                "fraction": peak and flop / s / peak, "first_s": first}  # fmt: skip

    def hf_prefill(self, tokens, compiled):
        """Compiled without a cache: keys and values are then not kept."""
        ids = self.random_ids(1, tokens)

        def forward():
            return self.model(ids, use_cache=not compiled, logits_to_keep=1).logits

        if compiled:
            forward = torch.compile(forward, fullgraph=True, dynamic=False)
        return {"attention": "eager", **self.prefilled(tokens, forward)}

    def plain_prefill(self, tokens, compiled):
        ids, position = self.random_ids(1, tokens), torch.arange(tokens, device=DEVICE)
        caches = self.stack.caches(1, tokens)
        self.stack.block, self.stack.last = block, last_logits
        if compiled:
            self.stack.compile()
        return {"attention": "sdpa", **self.prefilled(tokens, lambda: self.stack.prefill(ids, caches, position))}

    # Training: forward pass, loss, backward pass, clipping, AdamW

    def train(self, precision):
        args = self.args
        shape = Shape(*(int(n) for n in args.train_shape.split(",")), args.vocabulary, args.seq)
        stack = random_stack(shape, torch.float32 if precision == "autocast" else torch.bfloat16)
        weights = [stack.embedding, *(p for layer in stack.layers for p in layer), *stack.end]
        optimizer = torch.optim.AdamW(weights, lr=1e-5, eps=1e-6, weight_decay=0.01, fused=True)
        tokens = torch.randint(shape.vocabulary, (args.batch, args.seq + 1), device=DEVICE)
        ids, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        stack.compile()
        flash = torch.nn.attention.SDPBackend.FLASH_ATTENTION
        losses = []

        def step():
            optimizer.zero_grad(set_to_none=True)
            cast = torch.autocast(DEVICE.type, torch.bfloat16) if precision == "autocast" else contextlib.nullcontext()
            with cast:
                loss = stack.loss(*stack.run(ids), stack.end, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
            optimizer.step()
            losses.append(loss.detach())

        with torch.enable_grad(), torch.nn.attention.sdpa_kernel(flash):
            seconds, first = timed(step, args.repeats, 2)
        s = statistics.median(seconds)
        t, d, layers = args.batch * args.seq, shape.width, shape.layers
        matrices = layers * 12 * d * d + shape.vocabulary * d
        flop = 6 * matrices * t + 12 * layers * d * t * args.seq / 2
        peak = self.peak and self.peak["bf16"]
        kept = {"autocast": "fp32 weights and moments, bf16 by autocast", "bf16": "bf16 weights and moments"}
        return {"shape": shape._asdict(), "batch": args.batch, "seq": args.seq, "precision": kept[precision],
                "attention": "sdpa flash", "step_ms": s * 1e3, "tokens_per_s": t / s, "tflops": flop / s / 1e12,
                "fraction": peak and flop / s / peak, "first_s": first, "first_loss": losses[0].item(),
                "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if is_cuda() else None}  # fmt: skip

    # All of them

    def rows(self):
        """(phase, name, function, slow)"""
        prompts = [int(n) for n in self.args.prompts.split(",")]
        batches = [int(n) for n in self.args.batches.split(",")]
        yield "machine", "machine", self.machine, False
        for b in batches:
            yield "decode", f"hf-eager-b{b}", lambda b=b: self.hf_decode(b, "eager"), False
            yield "decode", f"plain-compiled-b{b}", lambda b=b: self.plain_decode(b), False
            if b == 1:
                yield "decode", "plain-gemv-b1", self.gemv_decode, False
            yield "decode", f"hf-graph-b{b}", lambda b=b: self.hf_decode(b, "graph"), False
            yield "decode", f"hf-compiled-b{b}", lambda b=b: self.hf_decode(b, "compiled"), True
            yield "decode", f"plain-whole-b{b}", lambda b=b: self.plain_decode(b, whole=True), True
        for t in prompts:
            yield "prefill", f"hf-eager-t{t}", lambda t=t: self.hf_prefill(t, False), False
            yield "prefill", f"plain-eager-t{t}", lambda t=t: self.plain_prefill(t, False), False
            yield "prefill", f"plain-compiled-t{t}", lambda t=t: self.plain_prefill(t, True), False
            yield "prefill", f"hf-compiled-t{t}", lambda t=t: self.hf_prefill(t, True), True
        for p in self.args.precision.split(","):
            yield "train", f"plain-compiled-{p}", lambda p=p: self.train(p), False

    def measure(self, phase, name, function, slow):
        about = {"phase": phase, "row": name, **({"slow": True} if slow else {})}
        left = self.args.budget - (time.perf_counter() - START)
        if left <= 0:
            say(**about, skipped="budget")
            return
        limit = min(left, self.args.row_limit)
        began = time.perf_counter()
        try:
            signal.setitimer(signal.ITIMER_REAL, limit)
            if phase in ("decode", "prefill"):
                self.load()
            if phase == "train":
                self.unload()
                gc.collect()
            with torch.no_grad():
                row = function()
        except Late:
            row = {"late": True, "limit_s": limit}
        except Exception as error:
            row = {"error": f"{type(error).__name__}: {error}"[:500]}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        say(**about, **row, row_s=time.perf_counter() - began)
        with contextlib.suppress(Exception):
            torch.compiler.reset()
            gc.collect()
            if is_cuda():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()

    def run(self):
        chosen = set(self.args.phases.split(","))
        rows = [r for r in self.rows() if r[0] in chosen and re.search(self.args.rows, r[1]) or r[0] == "machine"]
        rows = [r for r in rows if not r[3] or self.args.slow]
        for row in sorted(rows, key=lambda r: r[3]):
            self.measure(*row)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--phases", default="machine,decode,prefill", help=f"of {','.join(PHASES)}; machine always runs")
    add("--train", action="store_true", help="the phase train, too")
    add("--rows", default="", metavar="REGEX", help="only rows whose name has a match, such as 'plain|eager'")
    add("--slow", action="store_true", help="compilations of whole models, too")
    add("--budget", type=float, default=100, metavar="SECONDS", help="since the start, imports and all; then rows stop")
    add("--row-limit", type=float, default=60, metavar="SECONDS", help="for each row")
    add("--repeats", type=int, default=5)
    add("--device", default="cuda")
    add("--dtype", choices=DTYPES, default="fp16")
    add("--tiny", action="store_true", help="a tiny shape; its numbers mean nothing")
    for name, default in (("layers", 28), ("width", 4096), ("heads", 16), ("rotary", 64), ("vocabulary", 50400),
                          ("positions", 2048), ("prompt", 128), ("tokens", 64)):  # fmt: skip
        add(f"--{name}", type=int, default=default)
    add("--batches", default="1,64", help="to decode")
    add("--prompts", default="2048,256", help="to prefill, in tokens")
    add("--train-shape", default="24,2048,16,64", metavar="LAYERS,WIDTH,HEADS,ROTARY")
    add("--batch", type=int, default=4, help="sequences of a training step")
    add("--seq", type=int, default=2048, help="tokens of each")
    add("--precision", default="autocast", help="of training: autocast (fp32 weights), bf16 (all of it), or both (a,b)")
    if "--tiny" in sys.argv:
        parser.set_defaults(layers=2, width=64, heads=4, rotary=8, vocabulary=512, positions=128, prompt=16, tokens=12,
                            batches="1,4", prompts="64,16", train_shape="2,64,4,8", batch=2, seq=32,
                            repeats=2)  # fmt: skip
    args = parser.parse_args()
    args.phases += ",train" * args.train
    for chosen, known in ((args.phases, PHASES), (args.precision, ("autocast", "bf16"))):
        if unknown := set(chosen.split(",")) - set(known):
            parser.error(f"{', '.join(unknown)}: none of {', '.join(known)}")
    global DEVICE
    DEVICE = torch.device(args.device)
    torch.manual_seed(0)
    signal.signal(signal.SIGALRM, out_of_time)
    with contextlib.suppress(Exception):
        importlib.import_module("torch._inductor.async_compile")  # its workers start while the model is made
    say(phase="start", imports_s=time.perf_counter() - START)
    Bench(args).run()
    say(phase="end", seconds=time.perf_counter() - START)


if __name__ == "__main__":
    sys.exit(main())
