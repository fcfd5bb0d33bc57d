"""NeuralTalk2: Karpathy's image captioner (github.com/karpathy/neuraltalk2) after Vinyals, Toshev, Bengio, Erhan, "Show and tell: a
neural image caption generator", CVPR 2015.

Input (N, 3, 224, 224), outputs words (16, N), indices into the vocabulary with 9567 for the end, and logprobs (16, N).  VGG-16 up to
its second linear layer, an image embedding of 512 with ReLU, and an LSTM of 512 units that is shown the image first and then in an ONNX
Loop, sixteen times, the word it just said (ArgMax, then Gather of an embedding), greedily.  Released for COCO with 9567 words:
136,358,208 parameters in the image network and 11,908,448 in the language model, 148,266,656 together, as the release's layers give.
"""
from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from models.layers import flatten_maps
from models.vgg_trunk import scaled, torchvision_index, vgg_stage
from models.writer import Writer, he_spread

VOCABULARY = 9567
UNITS = 512
STEPS = 16
LSTM_GAIN, DECODER_GAIN = 12.0, 30.0  # large enough for one word to lead to another


def _image_code(net: Writer, x: str, units: int, width: float) -> str:
    """(N, units): VGG-16 without its last layer, linear, ReLU."""
    for stage in range(5):
        x = vgg_stage(net, x, stage, width=width, name=lambda s, i: f"cnn.features.{torchvision_index(s, i)}")
        x = net.max_pool(x, 2, 2)
    x = flatten_maps(net, x)
    x = net.dropout(net.relu(net.gemm("cnn.classifier.0", x, scaled(4096, width))), 0.5)
    x = net.dropout(net.relu(net.gemm("cnn.classifier.3", x, scaled(4096, width))), 0.5)
    return net.relu(net.gemm("cnn.embedding", x, units))


def _body(net: Writer, units: int, lstm: list[str], embedding: str, decoder: list[str]) -> onnx.GraphProto:
    """One turn: (turn, go, word, h, c) -> (go, word, h, c, what was said, its log-probability); weights are those of the graph around."""
    make, state = helper.make_node, [1, None, units]
    nodes = [
        make("Identity", ["go"], ["go_on"]),
        make("Gather", [embedding, "word"], ["embedded"]),
        make("Unsqueeze", ["embedded", net.ints(0)], ["step"]),
        make("LSTM", ["step", *lstm, "", "h", "c"], ["", "h_next", "c_next"], hidden_size=units),
        make("Squeeze", ["h_next", net.ints(0)], ["state"]),
        make("Gemm", ["state", *decoder], ["scores"], transB=1),
        make("LogSoftmax", ["scores"], ["logs"], axis=1),
        make("ArgMax", ["logs"], ["column"], axis=1, keepdims=1),
        make("Squeeze", ["column", net.ints(1)], ["word_next"]),
        make("GatherElements", ["logs", "column"], ["log_column"], axis=1),
        make("Squeeze", ["log_column", net.ints(1)], ["log"]),
        make("Identity", ["word_next"], ["said"]),
    ]
    value, words, logs = helper.make_tensor_value_info, (TensorProto.INT64, [None]), (TensorProto.FLOAT, [None])
    inputs = [value("turn", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("word", *words),
              value("h", TensorProto.FLOAT, state), value("c", TensorProto.FLOAT, state)]
    outputs = [value("go_on", TensorProto.BOOL, []), value("word_next", *words), value("h_next", TensorProto.FLOAT, state),
               value("c_next", TensorProto.FLOAT, state), value("said", *words), value("log", *logs)]
    return helper.make_graph(nodes, "say_a_word", inputs, outputs)


def neuraltalk2(net: Writer, x: str, width: float = 1.0, vocabulary: int = VOCABULARY, units: int = UNITS, steps: int = STEPS) -> None:
    """(N, 3, H, W) -> words (steps, N), logprobs (steps, N)."""
    batch = net.graph.input[0].type.tensor_type.shape.dim[0]
    image = net.node("Unsqueeze", [_image_code(net, x, units, width), net.ints(0)])
    lstm = [net.weight("lstm.W", (1, 4 * units, units), 0.0, he_spread(units, LSTM_GAIN)),
            net.weight("lstm.R", (1, 4 * units, units), 0.0, he_spread(units, LSTM_GAIN)),
            net.weight("lstm.B", (1, 8 * units), 0.0, 0.1)]
    embedding = net.weight("embedding.weight", (vocabulary + 1, units), 0.0, 3.0)
    decoder = [net.weight("decoder.weight", (vocabulary + 1, units), 0.0, he_spread(units, DECODER_GAIN)),
               net.weight("decoder.bias", (vocabulary + 1,), 0.0, 0.1)]
    _, h, c = net.nodes("LSTM", [image, *lstm], (0, 0, 0), "look", hidden_size=units)
    number = net.node("Slice", [net.node("Shape", [x]), net.ints(0), net.ints(1)])
    start = net.node("Expand", [net.ints(vocabulary), number], name="start")
    turns, go = net.constant("turns", np.array(steps, np.int64)), net.constant("go_ahead", np.array(True))
    body = _body(net, units, lstm, embedding, decoder)
    *_, said, logs = net.nodes("Loop", [turns, go, start, h, c], (0,) * 5, "talk", body=body)
    shape = (steps, batch.dim_param or batch.dim_value)
    net.output(said, "words", shape, TensorProto.INT64)
    net.output(logs, "logprobs", shape)
