"""Mutations of a model: what a broken exporter, or somebody who means harm, writes into a valid one."""
from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

INTS = [0, 1, -1, 2, -2, 3, 7, 8, 63, 64, 65, 127, 1000, 1 << 16, (1 << 31) - 1, 1 << 31, -(1 << 31), 1 << 33, 1 << 40, 1 << 62,
        (1 << 63) - 1, -(1 << 63)]
FLOATS = [0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"), 3.4e38]
WORDS = [b"", b"NOTSET", b"SAME_UPPER", b"VALID", b"constant", b"linear", b"nearest", b"cubic", b"reverse", b"bidirectional", b"add",
         b"ij,jk->ik", b"->", b"...ii->...i", b"\xff\xfe", b"x" * 3000, b"Relu", b"none"]
DIMS = [0, 1, 2, 3, 5, 17, 64, 1000, 1 << 20, 1 << 31, 1 << 40, 1 << 62]
TYPES = list(range(0, 30))


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A model with one to four things changed; now and then bytes of the file instead."""
    if rng.random() < 0.05:
        return _bytes(data, rng)
    proto = ModelProto.FromString(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        graph = _some_graph(proto, rng)
        for _ in range(5):                       # until one applies
            if rng.choices(MUTATIONS, WEIGHTS)[0](proto, graph, rng):
                break
    try:
        return proto.SerializeToString()
    except Exception:                            # a string that is no text
        return data


def _bytes(data: bytes, rng: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(broken))
        if rng.random() < 0.7:
            broken[at] = rng.randrange(256)
        elif rng.random() < 0.5:
            del broken[at:at + rng.randint(1, 20)]
        else:
            broken[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 6)))
        if not broken:
            return b""
    return bytes(broken)


def _some_graph(proto: ModelProto, rng: random.Random) -> GraphProto:
    graphs = [proto.graph]
    for node in proto.graph.node:
        graphs += [a.g for a in node.attribute if a.HasField("g")]
    return rng.choice(graphs)


def _int(rng: random.Random) -> int:
    return rng.choice(INTS) if rng.random() < 0.8 else rng.randint(-20, 20)


def _node(graph: GraphProto, rng: random.Random) -> NodeProto | None:
    return rng.choice(graph.node) if graph.node else None


def _values(graph: GraphProto) -> list[str]:
    return [*(i.name for i in graph.input), *(t.name for t in graph.initializer), *(o for n in graph.node for o in n.output), ""]


# ---- attributes ----

def attribute_value(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """Another value of the same kind."""
    node = _node(graph, rng)
    if node is None or not node.attribute:
        return False
    attribute = rng.choice(node.attribute)
    if attribute.type == AttributeProto.INT:
        attribute.i = _int(rng)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice(FLOATS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = rng.choice(WORDS)
    elif attribute.type == AttributeProto.INTS:
        values = list(attribute.ints)
        if values and rng.random() < 0.7:
            values[rng.randrange(len(values))] = _int(rng)
        else:
            values = values[:-1] if rng.random() < 0.5 else values + [_int(rng)] * rng.choice((1, 2, 70))
        attribute.ClearField("ints")
        attribute.ints.extend(values)
    elif attribute.type == AttributeProto.TENSOR:
        return _tensor(attribute.t, rng)
    else:
        return False
    return True


def attribute_kind(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """A value of another kind under a name that the operator knows."""
    node = _node(graph, rng)
    if node is None or not node.attribute:
        return False
    attribute = rng.choice(node.attribute)
    value = rng.choice([_int(rng), rng.choice(FLOATS), rng.choice(WORDS), [_int(rng)], [1.0], np.float32(3), [b"a"]])
    if isinstance(value, np.float32):
        value = numpy_helper.from_array(np.asarray(value))
    attribute.CopyFrom(helper.make_attribute(attribute.name, value))
    return True


def attribute_added(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """One that the schema has and the node had not, or none that it has any more."""
    node = _node(graph, rng)
    if node is None:
        return False
    if node.attribute and rng.random() < 0.4:
        del node.attribute[rng.randrange(len(node.attribute))]
        return True
    try:
        schema = onnx.defs.get_schema(node.op_type, 28, node.domain)
    except Exception:
        return False
    names = [name for name in schema.attributes if name not in {a.name for a in node.attribute}]
    if not names:
        return False
    name = rng.choice(names)
    kind = schema.attributes[name].type.value
    makers: dict[int, Callable[[], object]] = {
        AttributeProto.INT: lambda: _int(rng), AttributeProto.FLOAT: lambda: rng.choice(FLOATS),
        AttributeProto.STRING: lambda: rng.choice(WORDS),
        AttributeProto.INTS: lambda: [_int(rng) for _ in range(rng.randint(1, 5))], AttributeProto.FLOATS: lambda: [rng.choice(FLOATS)],
        AttributeProto.STRINGS: lambda: [rng.choice(WORDS)]}
    if kind not in makers:
        return False
    node.attribute.append(helper.make_attribute(name, makers[kind]()))
    return True


# ---- the graph ----

def rewired(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """An input that is another value, left out, added or exchanged."""
    node = _node(graph, rng)
    if node is None:
        return False
    what = rng.randrange(4)
    if what == 0 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(_values(graph))
    elif what == 1:
        node.input.append(rng.choice(_values(graph)))
    elif what == 2 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif len(node.input) > 1:
        names = list(node.input)
        rng.shuffle(names)
        node.input[:] = names
    return True


def other_operator(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """The node as another operator."""
    node = _node(graph, rng)
    if node is None:
        return False
    node.op_type = rng.choice(OPERATORS)
    if rng.random() < 0.5:
        node.ClearField("attribute")
    return True


def between(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """A node of one input before another's input."""
    node = _node(graph, rng)
    if node is None or not node.input:
        return False
    k = rng.randrange(len(node.input))
    kind = rng.choice(["Identity", "Cast", "Transpose", "Relu", "Flatten", "Squeeze", "NonZero", "Shape", "Neg", "Dropout", "Cast"])
    name = f"between{rng.randrange(10**6)}"
    made = helper.make_node(kind, [node.input[k]], [name], **({"to": rng.choice(TYPES)} if kind == "Cast" else {}))
    node.input[k] = name
    graph.node.insert(0, made)
    return True


def outputs(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """Outputs listed twice, inner values, inputs or constants as outputs, or of another type than they are."""
    values = [v for v in _values(graph) if v]
    what = rng.randrange(3)
    if what == 0 and values:
        graph.output.append(onnx.ValueInfoProto(name=rng.choice(values)))
    elif what == 1 and graph.output:
        graph.output.append(rng.choice(graph.output))
    elif graph.output:
        info = rng.choice(graph.output)
        info.CopyFrom(helper.make_tensor_value_info(info.name, rng.choice(TYPES[1:17]), [rng.choice(DIMS)] * rng.randint(0, 4)))
    return True


def repeated(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """A node twice, gone, or with more or fewer outputs."""
    node = _node(graph, rng)
    if node is None:
        return False
    what = rng.randrange(4)
    if what == 0:
        graph.node.append(node)
    elif what == 1:
        graph.node.remove(node)
    elif what == 2:
        node.output.append(f"more{rng.randrange(10**6)}")
    elif node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice(_values(graph))
    return True


# ---- types, shapes, data ----

def input_type(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """An input of another element type or shape."""
    if not graph.input:
        return False
    info = rng.choice(graph.input)
    tensor = info.type.tensor_type
    if rng.random() < 0.4:
        tensor.elem_type = rng.choice(TYPES)
        return True
    dims = tensor.shape.dim
    what = rng.randrange(4)
    if what == 0 and dims:
        dims[rng.randrange(len(dims))].dim_value = rng.choice(DIMS)
    elif what == 1:
        dims.add().dim_value = rng.choice(DIMS[:6])
    elif what == 2 and dims:
        del dims[-1]
    elif dims:
        dim = dims[rng.randrange(len(dims))]
        dim.ClearField("dim_value")
        dim.dim_param = rng.choice(("n", "m", "x.0", ""))
    return True


def constant(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """An initializer of other data, shape or type."""
    if not graph.initializer:
        return False
    return _tensor(rng.choice(graph.initializer), rng)


def fixed(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """An input as an initializer, or an initializer as an input."""
    if graph.initializer and rng.random() < 0.5:
        tensor = rng.choice(graph.initializer)
        graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        graph.initializer.remove(tensor)
        return True
    if not graph.input:
        return False
    info = rng.choice(graph.input)
    shape = [d.dim_value or 2 for d in info.type.tensor_type.shape.dim]
    if np.prod([float(d) for d in shape]) > 10_000 or len(shape) > 20:
        return False
    kind = info.type.tensor_type.elem_type
    if kind in (TensorProto.INT64, TensorProto.INT32):
        array = np.array([_int(rng) for _ in range(int(np.prod(shape)))], np.int64).reshape(shape)
    elif kind == TensorProto.FLOAT:
        array = np.full(shape, rng.choice(FLOATS), np.float32)
    else:
        return False
    graph.initializer.append(numpy_helper.from_array(array if kind != TensorProto.INT32 else array.astype(np.int32), info.name))
    graph.input.remove(info)
    return True


def _tensor(tensor: TensorProto, rng: random.Random) -> bool:
    what = rng.randrange(5)
    if what == 0:
        tensor.data_type = rng.choice(TYPES)
    elif what == 1 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(DIMS)
    elif what == 2:
        tensor.dims.append(rng.choice((1, 1, 2, 0)))
    else:
        try:
            array = numpy_helper.to_array(tensor).copy()
        except Exception:
            return False
        if not array.size or array.size > 100_000 or array.dtype.kind not in "iuf":
            return False
        flat = array.reshape(-1)
        for _ in range(rng.randint(1, 3)):
            value = rng.choice(FLOATS) if array.dtype.kind == "f" else _int(rng)
            with np.errstate(all="ignore"):
                flat[rng.randrange(flat.size)] = value if array.dtype.kind == "f" else np.array(value & (1 << 63) - 1).astype(array.dtype)
        tensor.CopyFrom(numpy_helper.from_array(array.reshape(array.shape), tensor.name))
    return True


def opset(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """Another opset, which has other attributes and inputs."""
    for entry in proto.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = rng.randint(1, 28)
    return True


def body(proto: ModelProto, graph: GraphProto, rng: random.Random) -> bool:
    """The nodes of the graph as those of a branch."""
    if graph is not proto.graph or not graph.node or not graph.output:
        return False
    inner = GraphProto(name="inner", node=graph.node, output=graph.output)
    empty = helper.make_graph([], "none", [], list(graph.output))
    graph.initializer.append(numpy_helper.from_array(np.array(rng.random() < 0.9), "condition"))
    made = helper.make_node("If", ["condition"], [o.name for o in graph.output], then_branch=inner,
                            else_branch=inner if rng.random() < 0.8 else empty)
    graph.ClearField("node")
    graph.node.append(made)
    return True


OPERATORS = sorted({s.name for s in onnx.defs.get_all_schemas() if not s.domain})
MUTATIONS = [attribute_value, attribute_kind, attribute_added, rewired, other_operator, between, outputs, repeated, input_type, constant,
             fixed, opset, body]
WEIGHTS = [8, 2, 5, 5, 2, 3, 3, 2, 6, 6, 4, 2, 1]
