"""onnx.backend.base.Backend over fastcnn.load: what onnx's own test suite, and tools written against it, call.

    import fastcnn.backend
    outputs = fastcnn.backend.run_model(model, [image])
"""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from fastcnn.ir.errors import ConfigurationError, FastCNNError, InputError
from fastcnn.loading import load
from fastcnn.model import Model
from fastcnn.onnx_proto.types import element_name, tensor_type


class FastCNNBackendRep(BackendRep):
    """A prepared model: run(inputs) for as many inputs as the model has, in order or by name."""

    def __init__(self, model: Model):
        self.model = model
        self._names = [info.name for info in model.get_inputs()]
        self._outputs = tuple(info.name for info in model.get_outputs())

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs as a named tuple, which is indexed by position and by name.

        inputs  a sequence of arrays in the order of the model's inputs, a mapping by name, or the array of the only input
        Raises what Model.run raises.
        """
        if isinstance(inputs, Mapping):
            feeds = dict(inputs)
        else:
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(given) > len(self._names):
                raise InputError(f"{len(given)} inputs given, the model has {len(self._names)}: {', '.join(self._names)}")
            feeds = dict(zip(self._names, given))
        return namedtupledict("Outputs", list(self._outputs))(*self.model.run(None, feeds))


class FastCNNBackend(Backend):
    """The engine as an ONNX backend on the device "CPU"."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether the model can be loaded: its operators are known and its shapes agree."""
        try:
            cls.prepare(model, device, **kwargs)
        except FastCNNError:
            return False
        return True

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> FastCNNBackendRep:
        """A model (path, bytes, ModelProto or fastcnn.Model) ready to run.

        kwargs  `threads` and `precision` as fastcnn.load takes them; others, which test suites pass to every backend, mean nothing
        Raises what fastcnn.load raises, ConfigurationError for a device other than the CPU.
        """
        if not cls.supports_device(device):
            raise ConfigurationError(f"device {device!r}: fastcnn runs on the CPU")
        if isinstance(model, Model):
            return FastCNNBackendRep(model)
        source = model if isinstance(model, (str, bytes, os.PathLike, ModelProto)) else model.SerializeToString()
        return FastCNNBackendRep(load(source, **{k: v for k, v in kwargs.items() if k in ("threads", "precision")}))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """prepare(model).run(inputs)."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node: NodeProto, inputs: Any, device: str = "CPU",
                 outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of one node.

        inputs        arrays in the node's order, omitted ones left out, or a mapping by name
        outputs_info  (dtype, shape) of each output, where the caller knows them
        kwargs        opset_version: of the node's domain, the newest by default; the rest goes to prepare
        """
        opset = kwargs.pop("opset_version", None) or onnx.defs.onnx_opset_version()
        names = [name for name in dict.fromkeys(node.input) if name]
        by_name = dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, [np.asarray(x) for x in inputs]))
        model = _model_of(node, {name: np.asarray(x) for name, x in by_name.items()}, outputs_info, opset)
        return cls.prepare(model, device, **kwargs).run(by_name)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """True for "CPU" and "CPU:0"."""
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


def _model_of(node: NodeProto, inputs: Mapping[str, np.ndarray],
              outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None, opset: int) -> ModelProto:
    """A model of the one node for these inputs."""
    fed = [helper.make_value_info(name, tensor_type(element_name(x.dtype), x.shape)) for name, x in inputs.items()]
    names = [name for name in node.output if name]
    known: Sequence[Any] = outputs_info if outputs_info is not None else [None] * len(names)
    made = [helper.make_empty_tensor_value_info(name) if info is None else
            helper.make_value_info(name, tensor_type(element_name(np.dtype(info[0])), tuple(info[1])))
            for name, info in zip(names, known)]
    graph = helper.make_graph([node], node.op_type, fed, made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, opset)])


is_compatible = FastCNNBackend.is_compatible
prepare = FastCNNBackend.prepare
run = run_model = FastCNNBackend.run_model
run_node = FastCNNBackend.run_node
supports_device = FastCNNBackend.supports_device
