"""Lowering: one native stage of a bound graph becomes a program: steps, their tensors, arena offsets, packed weights."""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.budget import MOST_STEPS, MOST_WORK
from fastcnn.convolve import ladder
from fastcnn.convolve.arithmetic import FLOAT32
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.decision import Decision, Selection
from fastcnn.convolve.kept_width import keep_width, layouts
from fastcnn.convolve.shape import Problem
from fastcnn.ir.errors import LimitError
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.spec import F32, Capped, Spec
from fastcnn.ir.tensor import HALF, Buffer, Strides, Tensor, dense_strides, matches, span, walk
from fastcnn.mapping import VIEWED_BYTES, check_file, give_back, recall, resident
from fastcnn.ops.base import BoundNode, Unit
from fastcnn.plan import arena
from fastcnn.plan.bind import Bound
from fastcnn.plan.choices import ONLY, SHOWN, Chosen
from fastcnn.plan.half_storage import half_values, takes
from fastcnn.plan.in_place import add_in_place
from fastcnn.plan.layouts import is_placeable, lies, settled, strides_of
from fastcnn.plan.placement import place_concats
from fastcnn.plan.planning import Planning
from fastcnn.plan.prefetch import prefetches

# Steps with less work (multiply-adds or elements) stay on one thread: a barrier costs 0.2 us, a second thread saves half of
# 4000 multiply-adds per us and element rates of the same order.
SINGLE_THREAD_WORK = 20_000
# Programs with less work altogether stay on one thread: LeNet-5 (0.4 million) takes 19 us there, but 12 ms as the median with two
# threads on two CPUs that other processes want as well, because its barriers then wait for time slices (2026-11-20).
SINGLE_THREAD_PROGRAM = 2_000_000
# Bytes that kernels of 8-bit values may read after the last one.
SLACK = 3


@dataclass(frozen=True)
class StepInfo:
    """A step's kind and node, for profiles and summaries. unit: one output of each node that runs as part of the same step."""

    kind: str
    node: str
    work: int
    unit: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A native program with the names of its inputs and outputs in the order of its bases, and (shape, dtype) of the outputs.

    trims  (index of an output, axis whose extent the data decide); those extents are written to as many more bases, int64
    chosen  what computes its convolutions, and why
    """

    program: _native.Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    allocations: tuple[tuple[tuple[int, ...], np.dtype], ...]
    steps: tuple[StepInfo, ...]
    trims: tuple[tuple[int, int], ...] = ()
    chosen: tuple[Chosen, ...] = ()

    def trimmed(self, results: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs cut to the extents that the run found, from everything that the program wrote."""
        kept = results[:len(self.outputs)]
        for (k, axis), count in zip(self.trims, results[len(self.outputs):]):
            shape = (*kept[k].shape[:axis], int(count[0]), *kept[k].shape[axis + 1:])
            kept[k] = kept[k].reshape(-1)[:math.prod(shape)].reshape(shape).copy()
        return kept


class StageLowering:
    """Implements fastcnn.ops.base.Lowering for the units of one stage, one after the other.

    selected  by the name of an output: what was measured of the nodes that make it and could run as one (fastcnn.plan.fusion_trials)
    inner     layouts of the inputs and outputs that only stages of the same plan see, "" for what the first of them decides
    """

    def __init__(self, planning: Planning, bound: Bound, units: Sequence[Unit], inputs: Sequence[str], outputs: Sequence[str],
                 selected: Mapping[str, tuple[Unit, Selection]] = MappingProxyType({}), inner: MutableMapping[str, str] | None = None):
        self.bound, self.units, self.inputs, self.outputs, self.selected = bound, units, tuple(inputs), tuple(outputs), selected
        self.most, self.threads, self.inner = planning.threads, planning.sharing, {} if inner is None else inner
        self.packs, self.chooser = planning.packs, planning.chooser
        self.tensors: dict[str, Tensor] = {}
        self.converted: dict[tuple[str, str], Tensor] = {}
        self.derived: dict[Hashable, Tensor] = {}
        self.named: dict[int, str] = {}          # id of a constant's buffer -> its name
        self.lasting: set[int] = set()           # ids of packs, which are resident
        self.steps: list[tuple[str, list[Tensor | None], int, dict[str, Any]]] = []
        self.info: list[StepInfo] = []
        self.trims: list[tuple[int, int]] = []
        self.chosen: list[Chosen] = []
        self.buffers: list[Buffer] = []
        self.recalled: list[np.ndarray] = []     # long constants of the unit whose contents were looked at
        self.placement = place_concats(units)
        kept = {*self.outputs, *self.placement, *(whole for whole, _ in self.placement.values())}
        self.halves = half_values(units, kept, planning.chooser.accuracy, planning.sharing)
        for k, name in enumerate(self.inputs):
            self.tensors[name] = self._io(bound.spec(name), k, self.inner.get(name) or "dense")
        self.unit: Unit = units[0]
        self.made: tuple[str, ...] = ()          # by the unit
        self.emitted = itertools.count(1)        # steps of this unit

    def lower(self) -> Stage:
        """Lower every node, copy out what does not lie in its output yet, and build the program."""
        for unit in self.units:
            before, self.emitted, self.made = len(self.chosen), itertools.count(1), _made_by(unit)
            self._turn_to(unit, unit.name)
            unit.lower(self)
            self._note_selection(before)
            self._forget_weights()
        for name in self.outputs:
            target = self._output(name, self.tensors[name].strides)
            if self.tensors[name].buffer.io != target.buffer.io:
                self.made = (name,)
                self.copy(target, self.tensors[name])
        allocations = [self._allocation(name) for name in self.outputs]
        counts = [((1,), np.dtype(np.int64))] * len(self.trims)
        return Stage(self._program(), self.inputs, self.outputs, (*allocations, *counts), tuple(self.info), tuple(self.trims),
                     tuple(self.chosen))

    # ---- what operators may ask: see Lowering ----

    def part(self, unit: Unit, name: str = "") -> StageLowering:
        part = object.__new__(type(self))         # all that grows is shared; copy.copy is slower
        part.__dict__.update(self.__dict__)
        part._turn_to(unit, name or unit.name)
        return part

    @property
    def strict(self) -> bool:
        return self.chooser.accuracy.is_strict(self.node.name)

    @property
    def rounds(self) -> bool:
        return self.chooser.accuracy.rounds(self.node.name)

    @property
    def weights(self) -> str:
        return self.chooser.accuracy.weights_of(self.node.name)

    def read(self, i: int, layout: str = "any") -> Tensor:
        name = self.node.input(i)
        tensor = self._tensor(name)
        if lies(tensor, layout):
            return settled(tensor, layout)
        if (name, layout) not in self.converted:
            target = self.temp(tensor.shape, tensor.dtype, layout)
            self.copy(target, tensor)
            self.converted[name, layout] = target
        return self.converted[name, layout]

    def output_spec(self, i: int = 0) -> Spec:
        return self.bound.spec(self.node.outputs[i])

    def write(self, i: int = 0, layout: str | Strides = "channels_last") -> Tensor:
        name = self.node.outputs[i]
        if name in self.tensors:              # a Concat whose inputs already lie in it
            return settled(self.tensors[name], layout)
        spec = self.bound.spec(name) if name not in self.halves else Spec(HALF, self.bound.spec(name).shape)
        strides = strides_of(spec.shape, layout, spec.dtype)
        if name in self.outputs and matches(spec.shape, strides, self._output(name, strides).strides):
            self.tensors[name] = self._output(name, strides)
        elif name in self.placement and is_placeable(spec.shape, layout, strides):
            self.tensors[name] = self._placed(name)
        else:
            self.tensors[name] = self.temp(spec.shape, spec.dtype, strides)
        return settled(self.tensors[name], layout)

    def alias(self, i: int, tensor: Tensor) -> None:
        assert tensor.shape == self.output_spec(i).shape, f"{self.node.where()}: {tensor.shape} for {self.output_spec(i)}"
        self.tensors[self.node.outputs[i]] = tensor

    def count(self, i: int) -> Tensor:
        name, spec = self.node.outputs[i], self.output_spec(i)
        one = Spec(np.dtype(np.int64), (1,))
        if name not in self.outputs or not isinstance(spec, Capped):
            return self.temp(one.shape, one.dtype)
        self.trims.append((self.outputs.index(name), spec.axis))
        return self._io(one, len(self.inputs) + len(self.outputs) + len(self.trims) - 1)

    def temp(self, shape: tuple[int, ...], dtype: np.dtype = F32, layout: str | Strides = "dense") -> Tensor:
        strides = strides_of(shape, layout, dtype := np.dtype(dtype))
        buffer = Buffer(dtype, span(shape, strides) + (SLACK if dtype.itemsize == 1 else 0))
        self.buffers.append(buffer)
        return Tensor(buffer, tuple(shape), strides)

    def once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        if key not in self.derived:
            self.derived[key] = make()
        return self.derived[key]

    def constant(self, array: np.ndarray) -> Tensor:
        if not array.flags.c_contiguous:
            self.bound.budget.check(array.nbytes, self.node.where())
            array = np.array(array, order="C")
        return Tensor(Buffer(array.dtype, array.size, array), array.shape, dense_strides(array.shape))

    def packed(self, key: Hashable, make: Callable[[], np.ndarray], spec: Spec | None = None) -> Tensor:
        return self._packed(key, lambda out: make(), spec)

    def packed_weights(self, key: Hashable, choice: Choice, w: np.ndarray) -> Tensor:
        return self._packed((key, *choice.layout), lambda out: ladder.pack(choice, w, out), ladder.packed_spec(choice, w.shape))

    def contents(self, i: int) -> np.ndarray:
        self._recall_weights()
        return self.args.constant(i)

    def copy(self, target: Tensor, source: Tensor) -> None:
        shape, (y, x) = walk(target.shape, target.strides, source.strides)
        self.emit("copy", [target, source], target.size, ndim=len(shape), shape=shape, y_strides=y, x_strides=x,
                  elem_bytes=target.dtype.itemsize)

    def widths(self, key: Hashable, groups: int = 1) -> list[int]:
        return [nv for nv, layout in layouts(groups) if self.packs.has((key, *layout))]

    def decide(self, problem: Problem, key: Hashable) -> Choice:
        measurable = problem.constant and problem.shape.arithmetic is FLOAT32 and not problem.half
        decision = self.chooser.conv(problem) if measurable else Decision(problem, ladder.choose(problem))
        if problem.constant and decision.source == "model" and decision.choice.kind == "conv":
            widths = self.widths(key, decision.choice.packing[0])
            if widths:
                decision = replace(decision, choice=keep_width(decision.choice, problem.places, widths, self.threads))
        if not ladder.changes_layout(problem, decision.choice):
            self.chosen.append(Chosen(self.name, self.unit.op_type, decision.choice.kind, decision.choice.fields, self.most, decision))
        return decision.choice

    def emit(self, kind: str, operands: Sequence[Tensor | None], work: int, /, **fields: Any) -> None:
        if next(self.emitted) > MOST_STEPS:
            raise LimitError(f"{self.unit.where()}: more than {MOST_STEPS} steps")
        assert not self.halves or takes(kind, operands, fields), f"{kind} of {self.name} reads bfloat16 as floats"
        if work > MOST_WORK:
            raise LimitError(f"{self.unit.where()}: {work} operations in one step")
        if operands[0] is None or operands[0].size == 0:
            return
        for tensor in operands:
            if tensor is not None:
                buffer, at = tensor.buffer, len(self.steps)
                buffer.first, buffer.last = at if buffer.first is None else buffer.first, at
        self.steps.append((kind, list(operands), 1 if work < SINGLE_THREAD_WORK else self.most, fields))
        self.info.append(StepInfo(kind, self.name, work, self.made))
        if kind in ONLY or (not isinstance(self.unit, BoundNode) and kind != "copy"):
            shown = {name: fields[name] for name in SHOWN if name in fields}
            self.chosen.append(Chosen(self.name, self.unit.op_type, kind, shown, self.most))

    def dense_output(self, i: int = 0) -> bool:
        name = self.node.outputs[i]
        return name in self.outputs and name not in self.tensors and name not in self.inner

    # ---- inside ----

    def _turn_to(self, unit: Unit, name: str) -> None:
        """Starts lowering a unit. Fused nodes are asked through part(), so there is no single node then."""
        self.unit, self.name = unit, name
        if isinstance(unit, BoundNode):
            self.node, self.args = unit.node, unit.args
        elif "node" in self.__dict__:
            del self.node, self.args

    def _note_selection(self, before: int) -> None:
        """The seconds of the variants with the unit's fused step, or as an entry of their own where it has none or several."""
        tried, selection = self.selected.get(self.unit.outputs[0], (self.unit, None))
        if selection is None or not selection.seconds:
            return
        fused = [k for k in range(before, len(self.chosen)) if self.chosen[k].decision is None]
        for k in fused:
            self.chosen[k] = replace(self.chosen[k], seconds=selection.seconds)
        if not fused:
            self.chosen.append(Chosen(tried.name, tried.op_type, selection.name, {}, self.most, seconds=selection.seconds))

    def _tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            self.tensors[name] = self.constant(self.bound.values[name])
            if name in self.bound.constants:
                self.named[id(self.tensors[name].buffer)] = name
        return self.tensors[name]

    def _packed(self, key: Hashable, make: Callable[[np.ndarray | None], np.ndarray], spec: Spec | None) -> Tensor:
        """See Lowering.packed; make() may write to the memory that it is given, where there is a Spec."""
        given = zip(self.node.inputs, self.args.values)
        if [name for name, value in given if value is not None and name not in self.bound.constants]:
            self._recall_weights()
            return self.constant(make(None))      # it depends on this shape: not to be kept for others
        pack = self.packs.get(key)
        if pack is None:
            pack = self._new_pack(key, make, spec)
        self.lasting.add(id(pack))
        return Tensor(Buffer(pack.dtype, pack.size, pack), pack.shape, dense_strides(pack.shape))

    def _new_pack(self, key: Hashable, make: Callable[[np.ndarray | None], np.ndarray], spec: Spec | None) -> np.ndarray:
        """A pack that is asked for the first time: stored, borrowed or made, and kept."""
        packs, own = self.packs, (self.node.inputs, self.args.values, self.bound.constants)
        if packs.takes(key, spec) or packs.borrows(key, *own):
            return packs[key]
        self._recall_weights()
        pack = resident(make(room := packs.pages.room(spec) if spec is not None else None))
        assert spec is None or (pack.dtype, pack.shape) == (spec.dtype, spec.shape), f"{pack.dtype}{pack.shape} packed, not {spec}"
        for value in self.recalled:           # a pack of what was changed meanwhile is not kept
            check_file(value)
        packs[key] = pack = packs.pages.placed(pack, room)
        if pack.nbytes > self.bound.budget.free >> 8:
            self.bound.budget.check(sum(p.nbytes for p in packs.values()), f"{self.node.where()}: with its weights the model")
        packs.lends(key, *own)
        return pack

    def _recall_weights(self) -> None:
        for value in self.args.values:
            if value is not None and value.nbytes >= VIEWED_BYTES and not any([value is other for other in self.recalled]):
                self.recalled.append(value)
                recall(value)

    def _forget_weights(self) -> None:
        """Releases the pages of weights that have just been packed."""
        for value in self.recalled:
            give_back(value)
        self.recalled.clear()

    def _io(self, spec: Spec, index: int, layout: str = "dense") -> Tensor:
        return Tensor(Buffer(spec.dtype, spec.size, io=index), spec.shape, strides_of(spec.shape, layout, spec.dtype))

    def _allocation(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of an output's memory: images by floats where it lies channels last."""
        spec = self.bound.spec(name)
        if self.inner.get(name) != "channels_last":
            return spec.shape, spec.dtype
        return (spec.shape[0], strides_of(spec.shape, "channels_last", spec.dtype)[0]), spec.dtype

    def _output(self, name: str, strides: Strides) -> Tensor:
        """The memory of an output; one that nobody outside sees lies as it does at first."""
        spec = self.bound.spec(name)
        if self.inner.get(name) == "":
            pixels = matches(spec.shape, strides, strides_of(spec.shape, "channels_last", spec.dtype))
            self.inner[name] = "channels_last" if pixels else "dense"
        return self._io(spec, len(self.inputs) + self.outputs.index(name), self.inner.get(name, "dense"))

    def _placed(self, name: str) -> Tensor:
        """The slice of a Concat's output where this value belongs; the output is allocated with the first of its slices."""
        whole, channel = self.placement[name]
        if whole not in self.tensors:
            self.tensors[whole] = self._placed(whole) if whole in self.placement else self._whole(whole)
        return self.tensors[whole].slice(1, channel, self.bound.spec(name).shape[1])

    def _whole(self, name: str) -> Tensor:
        """The output of a Concat whose inputs lie in it."""
        spec = self.bound.spec(name)
        strides = strides_of(spec.shape, "channels_last", spec.dtype)
        inner = name in self.outputs and name in self.inner and self._output(name, strides).strides == strides
        return self._output(name, strides) if inner else self.temp(spec.shape, spec.dtype, strides)

    def _program(self) -> _native.Program:
        add_in_place(self.steps)
        arena_bytes = arena.place((b for b in self.buffers if b.array is None and b.shared is None), arena.ALIGN if _native.CHECKED else 0)
        small = sum(info.work for info in self.info) < SINGLE_THREAD_PROGRAM
        threads = 1 if small else max((limit for _, _, limit, _ in self.steps), default=1)
        steps = [(kind, tuple(self._operand(t) for t in operands), limit, fields) for kind, operands, limit, fields in self.steps]
        fetched = prefetches(steps, [info.work for info in self.info], min(threads, self.threads))
        fetching = [(*step, ranges) for step, ranges in zip(steps, fetched)]
        program = _native.Program(fetching, arena_bytes, threads, len(self.inputs) + len(self.outputs) + len(self.trims))
        made = sum(math.prod(shape) * dtype.itemsize for shape, dtype in map(self._allocation, self.outputs))
        self.bound.budget.check(arena_bytes + program.scratch_bytes + made, f"the part from {self.units[0].where()} to "
                                f"{self.units[-1].where()}")
        return program

    def _operand(self, tensor: Tensor | None) -> Any:
        if tensor is None:
            return None
        buffer = tensor.buffer
        if buffer.array is not None:
            array = buffer.array if id(buffer.array) in self.lasting else self._resident(buffer, buffer.array)
            return array if tensor.offset == 0 else array.reshape(-1)[tensor.offset:]
        offset = tensor.offset * buffer.dtype.itemsize
        if buffer.io is not None:
            return _native.BASE_FIRST_IO + buffer.io, offset
        if _native.CHECKED:
            return _native.BASE_ARENA, buffer.place.offset + offset, buffer.place.offset, buffer.place.offset + buffer.nbytes
        return _native.BASE_ARENA, buffer.place.offset + offset

    def _resident(self, buffer: Buffer, array: np.ndarray) -> np.ndarray:
        """A constant in memory of its own; one copy for all plans of those that the model brought."""
        name = self.named.get(id(buffer))
        if name is None:
            return resident(array)
        if ("resident", name) not in self.packs:
            self.packs["resident", name] = resident(array)
        return self.packs["resident", name]


def _made_by(unit: Unit) -> tuple[str, ...]:
    """A value of each node of a unit."""
    parts: Sequence[Unit] = () if isinstance(unit, BoundNode) else getattr(unit, "parts", ())
    return tuple([name for part in parts for name in _made_by(part)]) if parts else tuple([name for name in unit.outputs if name][:1])
