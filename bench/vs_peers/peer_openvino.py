# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: exported by optimum-intel, its weights compressed by NNCF, run as optimum-intel runs it (one stateful
request), except that the logits of a prompt are those of its last position only, as openvino-genai does it."""
import os

import numpy
import openvino
from openvino import opset13

import peer

SETTINGS = {
    "fp16": None,
    "int8": {"bits": 8, "sym": False},
    "int4": {"bits": 4, "sym": False, "group_size": 128, "ratio": 1.0},
}
EMBEDDING_BYTES = {"fp16": 2, "int8": 1, "int4": 1}


def keep_last_position(model):
    """[batch, tokens, width] into the head becomes [batch, 1, width]."""
    head = model.output("logits").node
    while head.get_type_name() != "MatMul":
        head = head.input_value(0).get_node()
    one = numpy.array([1], dtype=numpy.int64)
    end = numpy.iinfo(numpy.int64).max
    last = opset13.slice(head.input_value(0), one * -1, one * end, one, one)
    head.input(0).replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()


class OpenVINO(peer.Peer):
    def convert(self, directory):
        import optimum.intel  # not above: it loads PyTorch, which measuring does not need

        settings = SETTINGS[self.args.variant]
        model = optimum.intel.OVModelForCausalLM.from_pretrained(
            self.args.checkpoint,
            export=True,
            compile=False,
            load_in_8bit=False,
            quantization_config=optimum.intel.OVWeightQuantizationConfig(**settings) if settings else None,
        )
        model.save_pretrained(directory)

    def load(self, directory):
        core = openvino.Core()
        model = core.read_model(os.path.join(directory, "openvino_model.xml"))
        keep_last_position(model)
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": self.args.threads})
        self.request = compiled.create_infer_request()
        size = os.path.getsize(os.path.join(directory, "openvino_model.bin"))
        embedding = peer.VOCABULARY * 4096 * EMBEDDING_BYTES[self.args.variant]
        return {"version": peer.version("openvino") + ", " + peer.version("optimum-intel"), "bytes": size - embedding}

    def forward(self, ids):
        batch, tokens = ids.shape
        end = self.position + tokens
        inputs = {
            "input_ids": ids,
            "attention_mask": numpy.ones((batch, end), dtype=numpy.int64),
            "position_ids": numpy.tile(numpy.arange(self.position, end), (batch, 1)),
            "beam_idx": numpy.arange(batch, dtype=numpy.int32),
        }
        self.request.infer(inputs, share_inputs=True)
        self.position = end
        self.next = self.request.get_tensor("logits").data[:, -1].argmax(-1)[:, None]

    def read_prompt(self, batch, tokens):
        self.request.reset_state()
        self.position = 0
        self.forward(numpy.array(peer.random_ids(batch, tokens)))

    def step(self):
        self.forward(self.next)


peer.main(OpenVINO, SETTINGS)
