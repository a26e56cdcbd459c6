# SPDX-License-Identifier: Apache-2.0
"""ggml's GPT-J, as ctransformers ships it. The file is written here: random blocks in ggml's layout."""
import os
import struct

import ctransformers
import numpy

import peer

D, F, ROTARY, HEADS, CONTEXT = 4096, 16384, 64, 16, 2048
QUANTIZATION_VERSION = 2
# ggml's number for the file's type, its number for the tensor's type, weights in a block.
TYPES = {"f16": (1, 1, 1), "q8_0": (7, 8, 32), "q4_0": (2, 2, 32)}


def random_blocks(generator, variant, count):
    """`count` weights of a standard deviation of about 0.02: every block is a fp16 scale, then its integers."""
    if variant == "f16":
        return (generator.standard_normal(count, dtype=numpy.float32) * 0.02).astype(numpy.float16)
    payload, scale = {"q8_0": (32, 0.02 / 73.6), "q4_0": (16, 0.02 / 4.6)}[variant]
    blocks = numpy.empty(count // 32, dtype=[("scale", numpy.float16), ("values", numpy.uint8, payload)])
    blocks["scale"] = scale
    blocks["values"] = generator.integers(0, 256, (count // 32, payload), dtype=numpy.uint8)
    return blocks


class Writer:
    def __init__(self, file, variant):
        self.file, self.variant = file, variant
        self.file_type, self.tensor_type, _ = TYPES[variant]
        self.generator = numpy.random.default_rng(0)

    def header(self, layers):
        file_type = self.file_type + (0 if self.variant == "f16" else 1000 * QUANTIZATION_VERSION)
        self.file.write(b"lmgg")
        self.file.write(struct.pack("<7i", peer.VOCABULARY, CONTEXT, D, HEADS, layers, ROTARY, file_type))
        self.file.write(struct.pack("<i", peer.VOCABULARY))
        for token in range(peer.VOCABULARY):
            text = str(token).encode()
            self.file.write(struct.pack("<I", len(text)) + text)

    def tensor(self, name, data, sizes, kind):
        self.file.write(struct.pack("<3i", len(sizes), len(name), kind))
        self.file.write(struct.pack(f"<{len(sizes)}i", *sizes) + name.encode())
        self.file.write(data.tobytes())

    def vector(self, name, size, value):
        self.tensor(name, numpy.full(size, value, dtype=numpy.float32), [size], 0)

    def matrix(self, name, outputs, inputs):
        blocks = random_blocks(self.generator, self.variant, outputs * inputs)
        self.tensor(name, blocks, [inputs, outputs], self.tensor_type)

    def model(self, layers):
        self.header(layers)
        self.matrix("transformer.wte.weight", peer.VOCABULARY, D)
        self.vector("transformer.ln_f.weight", D, 1)
        self.vector("transformer.ln_f.bias", D, 0)
        self.matrix("lm_head.weight", peer.VOCABULARY, D)
        self.vector("lm_head.bias", peer.VOCABULARY, 0)
        for i in range(layers):
            self.layer(f"transformer.h.{i}.")

    def layer(self, prefix):
        self.vector(prefix + "ln_1.weight", D, 1)
        self.vector(prefix + "ln_1.bias", D, 0)
        for name in "qkv":
            self.matrix(f"{prefix}attn.{name}_proj.weight", D, D)
        self.matrix(prefix + "attn.out_proj.weight", D, D)
        self.matrix(prefix + "mlp.fc_in.weight", F, D)
        self.vector(prefix + "mlp.fc_in.bias", F, 0)
        self.matrix(prefix + "mlp.fc_out.weight", D, F)
        self.vector(prefix + "mlp.fc_out.bias", D, 0)


class Ggml(peer.Peer):
    def convert(self, directory):
        with open(os.path.join(directory, "model.bin"), "wb") as file:
            Writer(file, self.args.variant).model(self.args.layers)

    def load(self, directory):
        path = os.path.join(directory, "model.bin")
        self.model = ctransformers.AutoModelForCausalLM.from_pretrained(path, model_type="gptj", local_files_only=True)
        size = os.path.getsize(path)
        matrices = self.args.layers * (4 * D * D + 2 * D * F) + 2 * peer.VOCABULARY * D
        embedding = size * peer.VOCABULARY * D // matrices
        return {"version": "ggml in " + peer.version("ctransformers"), "bytes": size - embedding}

    def eval(self, ids):
        self.model.eval(ids, batch_size=len(ids), threads=self.args.threads)
        self.next = self.model.sample(top_k=1)

    def read_prompt(self, batch, tokens):
        if batch > 1:
            raise peer.Unsupported("one sequence at a time")
        self.model.reset()
        self.eval(peer.random_ids(1, tokens)[0])

    def step(self):
        self.eval([self.next])


peer.main(Ggml, TYPES)
