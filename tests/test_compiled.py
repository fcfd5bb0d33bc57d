"""Model.save: a compiled file computes the same bits without packing anything, and is refused where it is not what it was."""
from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node, random_feeds
from onnx import TensorProto, helper

import fastcnn
from fastcnn.compiled import container, read
from fastcnn.convolve import ladder
from fastcnn.ir.errors import FormatError

SYMBOLS = {"n": 2, "h": 20, "w": 21}


def convolutions():
    """Winograd's, a strided one, depthwise ones, groups, a residual, a Gemm: what the rungs pack."""
    weights = {"a": floats(32, 16, 3, 3) / 12, "b": floats(64, 32, 3, 3) / 16, "c": floats(64, 1, 3, 3), "d": floats(64, 4, 3, 3) / 6,
               "e": floats(64, 64, 1, 1) / 8, "v": floats(64), "g": floats(64, 10) / 8}
    nodes = [node("Conv", ["x", "a"], ["t1"], pads=[1] * 4), node("Relu", ["t1"], ["r1"]),
             node("Conv", ["r1", "b"], ["t2"], strides=[2, 2], pads=[1] * 4),
             node("Conv", ["t2", "c"], ["t3"], group=64, pads=[1] * 4), node("Conv", ["t3", "d"], ["t4"], group=16, pads=[1] * 4),
             node("Conv", ["t4", "e", "v"], ["t5"]), node("Add", ["t5", "t4"], ["t6"]), node("LeakyRelu", ["t6"], ["t7"], alpha=0.25),
             node("GlobalAveragePool", ["t7"], ["t8"]), node("Flatten", ["t8"], ["t9"]), node("Gemm", ["t9", "g"], ["y"])]
    return model(nodes, {"x": ("n", 16, "h", "w")}, ["y"], weights)


def quantized():
    """A Conv between DequantizeLinear and QuantizeLinear."""
    weights = {"w": (40 * floats(8, 4, 3, 3)).clip(-127, 127).astype(np.int8), "s": np.float32(0.05), "z": np.uint8(128),
               "ws": np.float32(0.01), "wz": np.int8(0)}
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]),
             node("DequantizeLinear", ["w", "ws", "wz"], ["dw"]), node("Conv", ["d", "dw"], ["c"]),
             node("QuantizeLinear", ["c", "s", "z"], ["cq"]), node("DequantizeLinear", ["cq", "s", "z"], ["y"])]
    return model(nodes, {"x": ("n", 4, 9, 10)}, ["y"], weights)


def control_flow():
    """An If whose branches have weights and capture a value."""
    def branch(name):
        graph = helper.make_graph([node("Conv", ["t", f"w_{name}"], [f"{name}_y"])], name, [], [onnx.ValueInfoProto(name=f"{name}_y")],
                                  [onnx.numpy_helper.from_array(floats(5, 4, 1, 1), f"w_{name}")])
        return graph
    nodes = [node("Relu", ["x"], ["t"]), node("ReduceMax", ["x"], ["m"], keepdims=0), node("Greater", ["m", "zero"], ["c"]),
             node("If", ["c"], ["y"], then_branch=branch("then"), else_branch=branch("other"))]
    return model(nodes, {"x": (2, 4, 6, 5)}, ["y"], {"zero": np.float32(0)})


def half():
    return model([node("Conv", ["x", "w"], ["t"], pads=[1] * 4), node("Sigmoid", ["t"], ["y"])], {"x": ("n", 3, "h", "w")}, ["y"],
                 {"w": floats(8, 3, 3, 3).astype(np.float16)}, types={"x": TensorProto.FLOAT16})


def recurrent():
    return model([node("LSTM", ["x", "w", "r"], ["y"], hidden_size=6)], {"x": (5, 2, 4)}, ["y"],
                 {"w": floats(1, 24, 4), "r": floats(1, 24, 6)})


MODELS = {made.__name__: made for made in (convolutions, quantized, control_flow, half, recurrent)}


def feeds_of(proto):
    feeds = random_feeds(proto, SYMBOLS)
    kinds = {info.name: info.type for info in fastcnn.load(proto.SerializeToString()).get_inputs()}
    return {name: array.astype(np.float16) if kinds[name] == "tensor(float16)" else array for name, array in feeds.items()}


@pytest.fixture
def saved(tmp_path):
    """A model from a file, its inputs and outputs, and the compiled file of it."""
    proto = convolutions()
    feeds = feeds_of(proto)
    onnx.save(proto, tmp_path / "m.onnx")
    loaded = fastcnn.load(tmp_path / "m.onnx", threads=1)
    want, = loaded.run(None, feeds)
    loaded.save(tmp_path / "m.fcnn")
    return tmp_path / "m.fcnn", feeds, want


def same(left, right):
    return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=True)


def refuse_to_pack(monkeypatch):
    def refused(choice, w, out=None):
        raise AssertionError(f"{choice.rung} packs what the file has")
    monkeypatch.setattr(ladder, "pack", refused)


@pytest.mark.parametrize("kind", ["path", "bytes"])
@pytest.mark.parametrize("name", list(MODELS))
def test_compiled_computes_the_same_bits(tmp_path, monkeypatch, name, kind):
    proto = MODELS[name]()
    loaded, feeds, path = fastcnn.load(proto.SerializeToString(), threads=1), feeds_of(proto), tmp_path / "m.fcnn"
    want = loaded.run(None, feeds)
    loaded.save(path)
    if name != "control_flow":              # whose bodies pack their own
        refuse_to_pack(monkeypatch)
    compiled = fastcnn.load(path if kind == "path" else path.read_bytes(), threads=1, verify=True)
    assert [same(a, b) for a, b in zip(want, compiled.run(None, feeds), strict=True)] == [True] * len(want)
    assert compiled.get_inputs() == loaded.get_inputs() and compiled.get_outputs() == loaded.get_outputs()
    assert compiled.metadata == loaded.metadata


def test_compiled_weights_are_read_where_they_are_mapped(saved):
    path, feeds, want = saved
    compiled = fastcnn.load(path, threads=1)
    assert same(compiled.run(None, feeds)[0], want)
    taken = [pack for key, pack in compiled._packs.items() if key in compiled._packs.specs]
    assert len(taken) >= 5 and not any(pack.flags.owndata or pack.flags.writeable for pack in taken)
    with open("/proc/self/maps") as lines:
        ranges = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in lines if line.rstrip().endswith(str(path))]
    assert all(any(begin <= pack.ctypes.data < end for begin, end in ranges) and pack.ctypes.data % 64 == 0 for pack in taken)


def test_compiled_takes_other_shapes_and_threads(saved):
    path, _, _ = saved
    plain, compiled = fastcnn.load(path.with_suffix(".onnx"), threads=2), fastcnn.load(path, threads=2)
    for shape in ((1, 16, 8, 9), (5, 16, 40, 33)):
        x = floats(*shape)
        assert np.allclose(compiled(x), plain(x), rtol=1e-4, atol=1e-5)


def test_compiled_plans_nothing_before_it_is_told_shapes_and_all_where_they_are_fixed(tmp_path):
    fixed = model([node("Conv", ["x", "w"], ["y"])], {"x": (1, 4, 9, 9)}, ["y"], {"w": floats(8, 4, 3, 3)})
    fastcnn.load(fixed).save(tmp_path / "fixed.fcnn")
    assert fastcnn.load(tmp_path / "fixed.fcnn").choices()
    fastcnn.load(convolutions()).save(tmp_path / "open.fcnn", shapes=(1, 16, 20, 20))
    compiled = fastcnn.load(tmp_path / "open.fcnn")
    assert not compiled.choices() and compiled.prepare((1, 16, 20, 20)).choices()


def test_compiled_pickles(saved):
    path, feeds, want = saved
    for compiled in (fastcnn.load(path, threads=1), fastcnn.load(path.read_bytes(), threads=1)):
        assert same(pickle.loads(pickle.dumps(compiled)).run(None, feeds)[0], want)


def test_compiled_gives_values_that_are_left_in_the_graph_and_names_those_that_are_not(saved):
    path, feeds, _ = saved
    plain, compiled = fastcnn.load(path.with_suffix(".onnx"), threads=1), fastcnn.load(path, threads=1)
    assert np.allclose(compiled.run(["t3"], feeds)[0], plain.run(["t3"], feeds)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(fastcnn.InputError, match="no value 't1'"):
        compiled.run(["t1"], feeds)


def test_compiled_is_saved_again(saved, tmp_path):
    path, feeds, want = saved
    fastcnn.load(path, threads=1).save(tmp_path / "again.fcnn")
    assert same(fastcnn.load(tmp_path / "again.fcnn", threads=1).run(None, feeds)[0], want)


def test_compiled_keeps_options_and_refuses_others(tmp_path):
    path = tmp_path / "m.fcnn"
    fastcnn.load(convolutions(), accuracy="strict").save(path, shapes=(1, 16, 20, 20))
    strict = fastcnn.load(path).prepare((1, 16, 20, 20))
    assert not any(choice.algorithm.startswith("Winograd") for choice in strict.choices())
    fastcnn.load(path, accuracy="strict")
    with pytest.raises(fastcnn.ConfigurationError, match="compiled with 'strict'"):
        fastcnn.load(path, accuracy={"Conv_0": "strict"})
    with pytest.raises(fastcnn.ConfigurationError, match="compiled with 'fp32'"):
        fastcnn.load(path, precision="bf16")


# ---- what does not fit, and damage ----


def changed(path: Path, change, form: int | None = None) -> Path:
    """The file with another header, its checksums made right again."""
    data = path.read_bytes()
    values = list(container.PRELUDE.unpack(data[:container.PRELUDE.size]))
    at, size, source_at, source_size = values[3], values[4], values[6], values[7]
    header = json.loads(data[at:at + size])
    text = json.dumps(change(header) or header).encode()
    source = data[source_at:source_at + source_size]
    values[1:] = [form or values[1], zlib.crc32(text), at, len(text), at + len(text) + len(source), at + len(text), len(source)]
    prelude = container.PRELUDE.pack(*values)
    check = container.CHECK.pack(zlib.crc32(prelude))
    body = data[len(prelude) + len(check):at]
    path.write_bytes(prelude + check + body + text + source)
    return path


def test_compiled_for_another_cpu_or_build_is_packed_again(saved, monkeypatch):
    path, feeds, want = saved
    changed(path, lambda header: header["made_for"].update(instruction_set="another"))
    compiled = fastcnn.load(path, threads=1)
    assert same(compiled.run(None, feeds)[0], want)
    assert not compiled._packs.stored
    refuse_to_pack(monkeypatch)
    with pytest.raises(AssertionError, match="packs what the file has"):
        fastcnn.load(path, threads=1)._default.plan({"x": fastcnn.ir.spec.Spec(np.dtype(np.float32), (1, 16, 9, 9))})


@pytest.mark.parametrize("form", [None, 99])
def test_compiled_by_another_version_is_loaded_from_its_onnx_file(saved, form):
    path, feeds, want = saved
    changed(path, lambda header: header.update(version="another"), form)
    assert same(fastcnn.load(path, threads=1).run(None, feeds)[0], want)


@pytest.mark.parametrize("form", [None, 99])
def test_compiled_by_another_version_without_the_onnx_file_is_refused(tmp_path, form):
    fastcnn.load(convolutions()).save(tmp_path / "m.fcnn")
    changed(tmp_path / "m.fcnn", lambda header: header.update(version="another"), form)
    with pytest.raises(FormatError, match=r"m\.fcnn.*compiled by 'another.*compile it again"):
        fastcnn.load(tmp_path / "m.fcnn")


def test_compiled_source_is_the_file_that_was_loaded_or_none(tmp_path):
    proto = convolutions()
    onnx.save(proto, tmp_path / "m.onnx")
    loaded, whole, bare = fastcnn.load(tmp_path / "m.onnx"), tmp_path / "whole.fcnn", tmp_path / "bare.fcnn"
    loaded.save(whole)
    assert container.open_container(whole).onnx() == (tmp_path / "m.onnx").read_bytes()
    loaded.save(bare, source=False)
    assert container.open_container(bare).onnx() is None
    with pytest.raises(fastcnn.ConfigurationError, match="not loaded from an ONNX file"):
        fastcnn.load(proto).save(bare, source=True)
    onnx.save(half(), tmp_path / "other.onnx")
    os.replace(tmp_path / "other.onnx", tmp_path / "m.onnx")
    with pytest.raises(fastcnn.ConfigurationError, match="another model by now"):
        loaded.save(bare, source=True)
    loaded.save(bare)
    assert container.open_container(bare).onnx() is None


def test_compiled_pack_of_another_size_or_type_is_not_taken(saved):
    """What a step reads of a pack is never more than is there."""
    path, feeds, want = saved

    def shorter(header):
        for _, k in header["packs"]:
            header["arrays"][k]["shape"] = [1]

    changed(path, shorter)
    compiled = fastcnn.load(path, threads=1)
    assert len(compiled._packs.stored) >= 5
    assert same(compiled.run(None, feeds)[0], want)
    assert not any(pack is compiled._packs.stored.get(key) for key, pack in compiled._packs.items())


@pytest.mark.parametrize("count", [0, 4, 8, 40, 63, 64, 65, 1000, -1, -200])
def test_compiled_that_is_cut_off_is_refused(saved, count):
    path, _, _ = saved
    path.write_bytes(path.read_bytes()[:count])
    with pytest.raises(FormatError):
        fastcnn.load(path)


def test_compiled_with_a_byte_changed_is_refused(saved):
    """In what says how to read it at once, in arrays when it is asked to look."""
    path, _, _ = saved
    data = path.read_bytes()
    at, size = container.PRELUDE.unpack(data[:container.PRELUDE.size])[3:5]
    places = [*range(8, container.PRELUDE.size + 4), *range(at, at + size, 97)]
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1:])
        with pytest.raises(FormatError, match="damaged"):
            fastcnn.load(path)
    first = json.loads(data[at:at + size])["arrays"][0]["offset"]
    path.write_bytes(data[:first] + bytes([data[first] ^ 1]) + data[first + 1:])
    fastcnn.load(path)
    with pytest.raises(FormatError, match="another checksum"):
        fastcnn.load(path, verify=True)


WRONG = {
    "no graph": lambda h: h.update(graph=None),
    "no arrays": lambda h: h.update(arrays={}),
    "a header that is a list": lambda h: [1],
    "an array past the end": lambda h: h["arrays"][0].update(offset=1 << 40),
    "an array of negative extent": lambda h: h["arrays"][0].update(shape=[-1]),
    "an array of too many elements": lambda h: h["arrays"][0].update(shape=[1 << 40, 1 << 40]),
    "an array at an odd place": lambda h: h["arrays"][0].update(offset=h["arrays"][0]["offset"] + 1),
    "an array in the prelude": lambda h: h["arrays"][0].update(offset=0),
    "an array of objects": lambda h: h["arrays"][0].update(type="string"),
    "an array of no type": lambda h: h["arrays"][0].update(type="nonsense"),
    "a constant that is none": lambda h: h["graph"]["constants"].update({next(iter(h["graph"]["constants"])): 10 ** 6}),
    "a node of nine": lambda h: h["graph"]["nodes"][0].append(1),
    "a node with an input that nobody makes": lambda h: h["graph"]["nodes"][0].__setitem__(4, ["nobody"]),
    "a value made twice": lambda h: h["graph"]["nodes"].append(h["graph"]["nodes"][0]),
    "an operator that is none": lambda h: h["graph"]["nodes"][0].__setitem__(0, "Nonsense"),
    "an attribute that is none": lambda h: h["graph"]["nodes"][0][6].update(nonsense=1),
    "an attribute out of range": lambda h: h["graph"]["nodes"][0][6].update(group=0),
    "strides of another length": lambda h: h["graph"]["nodes"][1][6].update(strides=[1]),
    "an activation that is none": lambda h: h["graph"]["nodes"][0].__setitem__(8, ["Nonsense", 0.0, 0.0]),
    "an output that nobody makes": lambda h: h["graph"]["outputs"].append(["nobody", "tensor(float)", None]),
    "an input listed twice": lambda h: h["graph"]["inputs"].append(h["graph"]["inputs"][0]),
    "opsets that are none": lambda h: h["graph"].update(opsets=[]),
    "a pack key that is none": lambda h: h["packs"].append([{"arithmetic": "nonsense"}, 0]),
    "weights of another size": lambda h: h["arrays"][h["graph"]["constants"]["a"]].update(shape=[16, 16, 3, 3]),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_compiled_with_nonsense_in_it_is_refused(saved, what):
    path, feeds, _ = saved
    changed(path, WRONG[what])
    with pytest.raises(fastcnn.FastCNNError):
        fastcnn.load(path, threads=1).run(None, feeds)


# ---- writing ----


def test_save_replaces_a_file_whole_or_not_at_all(saved, monkeypatch):
    path, feeds, want = saved
    before = path.read_bytes()
    monkeypatch.setattr(container.Writer, "finish", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fastcnn.load(path, threads=1).save(path)
    assert path.read_bytes() == before and sorted(p.name for p in path.parent.iterdir()) == ["m.fcnn", "m.onnx"]
    monkeypatch.undo()
    mapped = fastcnn.load(path, threads=1)
    mapped.save(path, shapes=(1, 16, 30, 30))
    assert same(mapped.run(None, feeds)[0], want) and same(fastcnn.load(path, threads=1).run(None, feeds)[0], want)


def test_save_to_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastcnn.load(recurrent()).save(tmp_path / "none" / "m.fcnn")


def test_loading_a_compiled_file_imports_no_passes_and_no_onnx(saved):
    path, _, _ = saved
    code = f"import sys, fastcnn; fastcnn.load({str(path)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    needless = ("onnx", "google", "decimal", "fractions", "fastcnn.passes", "fastcnn.reader", "fastcnn.tune")
    assert not [name for name in done.stdout.split() if name.startswith(needless)]


def test_other_files_are_no_compiled_ones(tmp_path):
    assert read.opened(b"") is None and read.opened(tmp_path / "none.fcnn") is None
    assert read.opened(convolutions().SerializeToString()) is None
    with pytest.raises(FormatError, match="cannot be read"):
        fastcnn.load(tmp_path / "none.fcnn")


USER = """
import sys, numpy as np, fastcnn
model = fastcnn.load(sys.argv[1], threads=1)
model.run(None, {"x": np.ones((1, 64, 8, 8), np.float32)})
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="no /proc/self/smaps on this system")
def test_compiled_weights_are_one_copy_for_all_processes(tmp_path):
    weights = np.random.default_rng(0).standard_normal((512, 64, 3, 3)).astype(np.float32)
    proto = model([helper.make_node("Conv", ["x", "w"], ["y"], "conv")], {"x": [1, 64, 8, 8]}, ["y"], {"w": weights})
    path = tmp_path / "shared.fcnn"
    fastcnn.load(proto, threads=1).save(path)
    users = [subprocess.Popen([sys.executable, "-c", USER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        assert [user.stdout.readline() for user in users] == [b"ready\n"] * 2
        for user in users:
            resident, shared = kilobytes_of(user.pid, path)
            assert resident > weights.nbytes / 1000 and shared < 0.75 * resident
    finally:
        for user in users:
            user.communicate()


def kilobytes_of(process: int, path: Path) -> tuple[int, int]:
    """Of the pages of a file that a process has mapped: those in memory, and its share of them."""
    found, mapped = {"Rss": 0, "Pss": 0}, False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            mapped = line.endswith(str(path))
        elif mapped and first[:-1] in found:
            found[first[:-1]] += int(rest[0])
    return found["Rss"], found["Pss"]
