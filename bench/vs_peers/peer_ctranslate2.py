# SPDX-License-Identifier: Apache-2.0
"""CTranslate2. It offers whole generations only, so a step of decoding is the difference of two lengths."""
import os

import ctranslate2
import ctranslate2.converters.transformers as transformers_converter
import torch
import transformers

import peer

SHORT = 4


class Converter(ctranslate2.converters.TransformersConverter):
    """The library's own converter, for a checkpoint that comes without a tokenizer: token i is called str(i)."""

    def _load(self):
        loader = transformers_converter._MODEL_LOADERS["GPTJConfig"]
        model = transformers.AutoModelForCausalLM.from_pretrained(self._model_name_or_path, dtype=torch.float16)
        with torch.no_grad():
            spec = loader.get_model_spec(model)
        spec.register_vocabulary([str(i) for i in range(peer.VOCABULARY)])
        spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = str(peer.VOCABULARY - 1)
        return spec


class CTranslate2(peer.Peer):
    def convert(self, directory):
        Converter(self.args.checkpoint).convert(directory, quantization=self.args.variant, force=True)

    def load(self, directory):
        self.model = ctranslate2.Generator(
            directory, device="cpu", compute_type=self.args.variant, inter_threads=1, intra_threads=self.args.threads
        )
        size = os.path.getsize(os.path.join(directory, "model.bin"))
        embedding = peer.VOCABULARY * 4096 * {"int8": 1, "float32": 4}[self.args.variant]
        return {"version": peer.version("ctranslate2"), "bytes": size - embedding}

    def generate(self, batch, prompt, tokens):
        ids = [[str(i) for i in row] for row in peer.random_ids(batch, prompt)]
        self.model.generate_batch(
            ids, min_length=tokens, max_length=tokens, include_prompt_in_result=False, sampling_topk=1
        )

    def prefill(self, prompt, repeats):
        return [peer.timed(self.generate, 1, prompt, 1) for _ in range(repeats)]

    def decode(self, batch, context, tokens):
        self.generate(batch, context, SHORT)
        short = peer.timed(self.generate, batch, context, SHORT)
        whole = peer.timed(self.generate, batch, context, SHORT + tokens)
        return [(whole - short) / tokens]


peer.main(CTranslate2, ["int8", "float32"])
