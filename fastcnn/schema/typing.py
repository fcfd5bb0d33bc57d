"""Element types of a node's outputs from those of its inputs. Types that the operator does not take are refused."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass
from fastcnn.onnx_proto.types import ELEMENT_NAMES, element_name, tensor_of
from fastcnn.operators.epilogue import onnx_arity
from fastcnn.schema.element_types import ELEMENT_TYPES, LETTERS, NEWEST_TYPED

Types = Sequence["str | None"]
FLOAT = "tensor(float)"
ONNX_DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")
_TYPES = {"[": "seq", "~": "optional", **{letter: f"tensor({name})" for letter, name in LETTERS.items()}}
_MAP = re.compile(r"map\((\w+), (\w+)\)")
# What passes write beyond ONNX: integer convolutions spelled out of quantised ones. Models cannot have them.
SPELLED_OUT = {("Conv", "tensor(int32)")}
# What is remembered of nodes seen: operators, opsets and types of a few models.
REMEMBERED = 4096


@dataclass(frozen=True)
class Typing:
    """An operator's type constraints: the variable of each input and output, the types of each variable, inputs that need not agree."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    allowed: Mapping[str, frozenset[str]]
    mixed: frozenset[int] = frozenset()

    def variable(self, i: int) -> str:
        """The type variable of input i; the last one may repeat."""
        return self.inputs[min(i, len(self.inputs) - 1)]

    def allows(self, variable: str, kind: str) -> bool:
        """Whether a variable may stand for a type."""
        allowed = self.allowed[variable]
        return kind in allowed or kind.partition("(")[0] in allowed


class Mismatch(Exception):
    """The type of an input does not fit: (position, what is wrong with it)."""


def output_types(node: Node, types: Types, beyond: bool = False) -> list[str | None]:
    """Type strings of the outputs for those of the inputs, None where they are unknown (or omitted).

    beyond  take what passes write, too (SPELLED_OUT)
    Raises ModelError naming the node and the input when the operator does not take these types, or not together.
    """
    types = tuple(types[:onnx_arity(node)])
    try:
        found = list(_solved(node.op_type, node.version, node.domain, types, len(node.outputs), beyond))
    except Mismatch as mismatch:
        i, what = mismatch.args
        raise ModelError(f"{node.where()}: input {i} ({node.input(i)!r}) {what}") from None
    rule = _BY_ATTRIBUTE.get(node.op_type) if node.domain in ONNX_DOMAINS else None
    if rule is not None and found:
        found[0] = _checked(node, rule(node, types), found[0])
    if node.op_type == "LayerNormalization" and not node.domain:
        found[1:] = [_named("stash_type", _float)(node, types)] * (len(found) - 1)
    return found


def by_attributes(node: Node) -> bool:
    """Whether attributes decide types of outputs too."""
    return node.op_type in _BY_ATTRIBUTE or node.op_type == "LayerNormalization"


def check_dtypes(node: Node, dtypes: tuple[np.dtype | None, ...]) -> None:
    """Raises ModelError as output_types() does, for arrays or what is planned for them; operators of other domains go unchecked."""
    if node.domain:
        return
    try:
        _fit(node.op_type, node.version, dtypes[:onnx_arity(node)])
    except Mismatch as mismatch:
        i, what = mismatch.args
        raise ModelError(f"{node.where()}: input {i} ({node.input(i)!r}) {what}") from None


@lru_cache(maxsize=REMEMBERED)
def _fit(op_type: str, version: int, dtypes: tuple[np.dtype | None, ...]) -> None:
    _solved(op_type, version, "", tuple(None if d is None else tensor_of(d) for d in dtypes), 0, beyond=True)


@lru_cache(maxsize=REMEMBERED)
def _solved(op_type: str, version: int, domain: str, types: tuple[str | None, ...], outputs: int,
            beyond: bool = False) -> tuple[str | None, ...]:
    typing = typing_of(op_type, version, domain)
    if typing is None:
        return (None,) * outputs
    bound: dict[str, tuple[str, int]] = {}
    for i, kind in enumerate(types):
        if kind is None:
            continue
        variable = typing.variable(i)
        if not typing.allows(variable, kind) and not (beyond and (op_type, kind) in SPELLED_OUT):
            raise Mismatch(i, f"is {kind}, the operator takes {_listed(typing.allowed[variable])}")
        if min(i, len(typing.inputs) - 1) in typing.mixed:
            continue
        first, where = bound.setdefault(variable, (kind, i))
        if first != kind:
            raise Mismatch(i, f"is {kind}, it has to be of one type with input {where}, which is {first}")
    relation = _RELATIONS.get(op_type) if not domain else None
    if relation is not None:
        return (relation(types), *[None] * (outputs - 1))[:outputs]
    formal = [*typing.outputs, *[typing.outputs[-1]] * outputs][:outputs] if typing.outputs else []
    return tuple(bound[v][0] if v in bound else _only(typing.allowed[v]) for v in formal)


def _only(allowed: frozenset[str]) -> str | None:
    return next(iter(allowed)) if len(allowed) == 1 else None


def _listed(allowed: frozenset[str]) -> str:
    names = sorted(allowed)
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}" if len(names) < 16 else f"one of {len(names)} other types"


@cache
def typing_of(op_type: str, version: int, domain: str) -> Typing | None:
    """The operator's typing at an opset; None for unknown operators."""
    row = ELEMENT_TYPES.get(op_type) if not domain and version <= NEWEST_TYPED else None
    if row is None:
        return _of_schema(op_type, version, domain)
    found, signature = None, ""
    for entry in row.split("; "):
        since, _, rest = entry.partition(" ")
        if int(since) > version:
            break
        head, bar, letters = rest.rpartition("|")
        found, signature = letters, head if bar else signature
    return _typing(signature, found) if found is not None else None


@cache
def _typing(signature: str, letters: str) -> Typing:
    """The Typing in a row of ELEMENT_TYPES."""
    left, _, right = signature.partition(">")
    inputs, mixed = left.split(), frozenset[int]()
    allowed: dict[str, frozenset[str]] = {}
    if "*" in left or "=" in left:
        mixed = frozenset([i for i, name in enumerate(inputs) if name[-1] == "*" or name[0] == "="])
        inputs = [name.rstrip("*") for name in inputs]
    outputs, kinds = right.split(), iter(letters.split())
    for name in (*inputs, *outputs):
        if name not in allowed:
            allowed[name] = _types(name[1:] if name[0] == "=" else next(kinds))
    return Typing(tuple(inputs), tuple(outputs), allowed, mixed)


@cache
def _types(letters: str) -> frozenset[str]:
    return frozenset([_TYPES[letter] for letter in letters])


def _of_schema(op_type: str, version: int, domain: str) -> Typing | None:
    if domain not in ONNX_DOMAINS:
        return None
    import onnx
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
    allowed = {c.type_param_str: frozenset(map(_spelled, c.allowed_type_strs)) for c in schema.type_constraints}
    formal = [(p.type_str, p.is_homogeneous) for p in (*schema.inputs, *schema.outputs)]
    allowed.update((name, frozenset({name})) for name, _ in formal if name not in allowed)
    count = len(schema.inputs)
    return Typing(tuple(name for name, _ in formal[:count]), tuple(name for name, _ in formal[count:]), allowed,
                  frozenset(i for i, (_, same) in enumerate(formal[:count]) if not same))


def _spelled(kind: str) -> str:
    """onnxruntime's spelling of a map, "map(int64,tensor(float))", for onnx's "map(int64, float)"."""
    return _MAP.sub(r"map(\1,tensor(\2))", kind)


# ---- outputs whose types the inputs alone do not say ----

def _by_labels(kind: str) -> Callable[[Node, Types], str | None]:
    """The output types of a classifier, by the type of its labels."""
    def rule(node: Node, types: Types) -> str | None:
        return kind.format("string" if node.attrs.get("classlabels_strings") else "int64")
    return rule


def _encoded(node: Node, types: Types) -> str | None:
    """Output type of LabelEncoder and CategoryMapper: that of the values; without keys and values, strings give integers, else strings."""
    values = node.attrs.get("values_tensor")
    if values is not None:
        return f"tensor({element_name(values.dtype)})"
    named = [kind for kind in ("string", "int64", "float") if f"values_{kind}s" in node.attrs]
    if named:
        return f"tensor({named[0]})"
    return None if types[0] is None else "tensor(int64)" if types[0] == "tensor(string)" else "tensor(string)"


def _of_map(node: Node, types: Types) -> str | None:
    """Output type of DictVectorizer: map(key,value) -> value."""
    return None if types[0] is None else types[0].partition(",")[2][:-1]


def _cast_map(node: Node, types: Types) -> str | None:
    return {"TO_FLOAT": FLOAT, "TO_INT64": "tensor(int64)", "TO_STRING": "tensor(string)"}.get(node.attrs.get("cast_to", "TO_FLOAT"))


def _named(attribute: str, default: Callable[[Types], str | None]) -> Callable[[Node, Types], str | None]:
    """The element type whose number an attribute has."""
    def kind(node: Node, types: Types) -> str | None:
        number = node.attrs.get(attribute)
        if number is None:
            return default(types)
        if number not in ELEMENT_NAMES:
            raise ModelError(f"{node.where()}: {attribute}={number} is no element type")
        return f"tensor({ELEMENT_NAMES[number]})"
    return kind


def _float(types: Types) -> str | None:
    return FLOAT


def _first(types: Types) -> str | None:
    return types[0] if types else None


def _quantized(node: Node, types: Types) -> str | None:
    """Output type of QuantizeLinear: that of the zero point where there is one, else by the attribute."""
    if len(types) > 2 and types[2] is not None:
        return types[2]
    number = node.attrs.get("output_dtype", 0)
    return _named("output_dtype", lambda _: None)(node, types) if number else "tensor(uint8)" if len(types) < 3 else None


def _dequantized(node: Node, types: Types) -> str | None:
    number = node.attrs.get("output_dtype", 0)
    return _named("output_dtype", lambda _: None)(node, types) if number else types[1] if len(types) > 1 else None


def _filled(node: Node, types: Types) -> str | None:
    value = node.attrs.get("value")
    return FLOAT if value is None else f"tensor({element_name(value.dtype)})"


_BY_ATTRIBUTE: dict[str, Callable[[Node, Types], str | None]] = {
    "BitCast": _named("to", lambda _: None),
    "Cast": _named("to", lambda _: None),
    "ConstantOfShape": _filled,
    **dict.fromkeys(("EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli"), _named("dtype", _first)),
    **dict.fromkeys(("RandomNormal", "RandomUniform"), _named("dtype", _float)),
    "Multinomial": _named("dtype", lambda _: "tensor(int32)"),
    **dict.fromkeys(("BlackmanWindow", "HannWindow", "HammingWindow", "MelWeightMatrix"), _named("output_datatype", _float)),
    "SequenceEmpty": lambda node, types: f"seq({_named('dtype', _float)(node, types)})",
    "QuantizeLinear": _quantized,
    "DequantizeLinear": _dequantized,
    **dict.fromkeys(("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"), _by_labels("tensor({})")),
    "CastMap": _cast_map,
    **dict.fromkeys(("CategoryMapper", "LabelEncoder"), _encoded),
    "DictVectorizer": _of_map,
    "ZipMap": _by_labels("seq(map({},tensor(float)))"),
}


def _checked(node: Node, kind: str | None, bound: str | None) -> str | None:
    """The type that an attribute says, if it is one that the output may have; else what was known of the output."""
    typing = typing_of(node.op_type, node.version, node.domain)
    if kind is None or typing is None:
        return bound
    if not typing.allows(typing.outputs[0], kind):
        raise ModelError(f"{node.where()}: its output cannot be {kind}, only {_listed(typing.allowed[typing.outputs[0]])}")
    return kind


def _element(types: Types) -> str | None:
    """The element type of a sequence or an optional: seq(x) -> x."""
    kind = types[0]
    return None if kind is None else kind.partition("(")[2][:-1]


def _held(types: Types) -> str | None:
    return _element(types) if types[0] is not None and types[0].startswith("optional(") else types[0]


def _sequence(types: Types) -> str | None:
    return None if types[0] is None else f"seq({types[0]})"


def _inserted(types: Types) -> str | None:
    if types[0] is not None and types[1] is not None and types[0] != f"seq({types[1]})":
        raise Mismatch(1, f"is {types[1]}, the sequence is {types[0]}")
    return types[0]


# Operators between sequences, optionals and tensors: the schema has variables of their own for each.
_RELATIONS: dict[str, Callable[[Types], str | None]] = {
    "SequenceAt": _element,
    "ConcatFromSequence": _element,
    "SequenceConstruct": _sequence,
    "SplitToSequence": _sequence,
    "SequenceInsert": _inserted,
    "OptionalGetElement": _held,
    "SequenceMap": lambda _: None,           # its body decides
}
