"""Model.profile(): every step has a time, a kernel and a reason; the trace has a track a thread; the page works in a browser."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from browser import looked_at, needs_browser
from graph_helper import floats, model, node

import fastcnn
from fastcnn.analysis import profile as profiles
from fastcnn.analysis.page import graph_svg, page, roofline_svg
from fastcnn.analysis.profile import Profile
from fastcnn.analysis.roofline import Roof
from fastcnn.analysis.timing import Timed, TimedEngine

DIGITS = Path(__file__).parent.parent / "models" / "trained" / "digits.onnx"


@pytest.fixture(scope="module")
def profile() -> Profile:
    with fastcnn.load(DIGITS, threads=2) as net:
        return net.profile({"image": floats(4, 1, 8, 8)}, runs=3)


def test_profile_names_kernel_time_and_reason_of_every_step(profile):
    assert [timing.nodes for timing in profile.timings] == [(name,) for name in (
        "conv0", "conv1", "maxpool_0", "conv2", "conv3", "maxpool_1", "flatten_0", "fc", "softmax_0")]
    assert all(timing.ms > 0 and timing.algorithm for timing in profile.timings)
    assert profile.timings[0].op_type == "Conv + BatchNormalization + Relu"
    convolutions = [timing for timing in profile.timings if timing.flops]
    assert len(convolutions) == 5 and sum(timing.flops for timing in convolutions) == 2 * 4 * 1_495_552
    for timing in convolutions:
        assert sum(candidate.picked for candidate in timing.candidates) == 1
        assert timing.bound in ("arithmetic", "traffic") and timing.perfect_ms > 0
    assert [timing.reads for timing in profile.timings[:4]] == [(), (0,), (1,), (2,)]


def test_profile_steps_and_what_is_around_them_add_up_to_the_run(profile):
    assert sum(timing.ms for timing in profile.timings) + profile.outside_ms == pytest.approx(profile.total_ms)


@pytest.mark.parametrize("l2, near, far", [
    (64 << 20, ("maps", "weights"), ()), (100_000, ("maps",), ("weights",)), (1000, (), ("maps", "weights"))],
    ids=["all in L2", "maps in L2", "nothing in L2"])
def test_profile_traffic_counts_maps_once_and_weights(monkeypatch, l2, near, far):
    monkeypatch.setattr(profiles, "roof", lambda threads: Roof(threads, 100.0, 50.0, 10.0, l2))
    with fastcnn.load(DIGITS, threads=1) as net:
        first = net.profile({"image": floats(4, 1, 8, 8)}, runs=3).timings[0]
    count = {"maps": 4 * 4 * 64 * (1 + 32), "weights": 4 * (9 * 32 + 32)}        # x and y; BatchNormalization is folded into the weights
    assert (first.near, first.far) == (sum(count[name] for name in near), sum(count[name] for name in far))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_profile_steps_add_up_to_their_stage(threads):
    """By construction: a step ends where the next begins, so nothing is lost between them."""
    with fastcnn.load(DIGITS, threads=threads) as net:
        engine = TimedEngine(net._default)
        feeds = {"image": floats(64, 1, 8, 8)}
        wanted = net.run(None, feeds)
        got = engine.run(feeds)
    np.testing.assert_array_equal(got[0], wanted[0])
    for timed in engine.timed:
        seconds, spans = timed.seconds(), timed.spans
        assert (seconds >= 0).all() and seconds.sum() <= timed.end - timed.begin
        assert seconds.sum() == pytest.approx(spans[:, -1, 1].max() - spans[spans[:, 0, 1] > 0, 0, 0].min())
        ran = spans[spans[:, 0, 1] > 0]
        assert (ran[:, :, 1] >= ran[:, :, 0]).all() and (np.diff(ran[:, :, 0], axis=1) >= 0).all()


def test_profile_steps_begin_with_the_thread_that_comes_first():
    """The caller's thread may be without a CPU while another does its share; one that had no part at all has zeros."""
    spans = np.array([[[9.0, 9.1], [9.1, 9.2]], [[1.0, 4.0], [4.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]]])
    timed = Timed(None, 0.5, 9.5, spans)                        # type: ignore[arg-type]
    np.testing.assert_allclose(timed.seconds(), [3.0, 5.2])


def test_profile_fused_neighbours_are_one_step():
    nodes = [node("Conv", ["x", "w"], ["a"], "first", strides=[2, 2], pads=[3, 3, 3, 3]), node("Relu", ["a"], ["b"], "relu"),
             node("MaxPool", ["b"], ["y"], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])]
    proto = model(nodes, {"x": [1, 3, 64, 64]}, ["y"], {"w": floats(32, 3, 7, 7)})
    with fastcnn.load(proto, threads=1) as net:
        kinds = {kind.kind for kind in next(iter(net._default.plans.values())).direct.steps}
        timings = net.profile({"x": floats(1, 3, 64, 64)}, runs=3).timings
    if "conv_pool" in kinds:
        assert [timing.nodes for timing in timings] == [("first", "pool")]
        assert timings[0].near == 4 * (3 * 64 * 64 + 32 * 16 * 16), "what one hands to the other is not written"
    assert sum(timing.flops for timing in timings) == 2 * 32 * 32 * 32 * 3 * 49


def test_profile_fallbacks_and_later_stages_have_a_row():
    proto = model([node("Relu", ["x"], ["r"], "r"), node("Det", ["r"], ["d"], "det"), node("Exp", ["d"], ["y"], "exp")],
                  {"x": [4, 3, 3]}, ["y"], opset=13)
    with pytest.warns(RuntimeWarning, match="no native kernel"):
        net = fastcnn.load(proto, threads=1)
    timings = {timing.name: timing for timing in net.profile({"x": floats(4, 3, 3)}, runs=3).timings}
    assert timings["det"].algorithm == "onnx.reference" and timings["det"].ms > 0 and {"r", "exp"} <= timings.keys()
    proto = model([node("NonZero", ["x"], ["z"], "z"), node("Cast", ["z"], ["c"], "c", to=1), node("Exp", ["c"], ["y"], "e")],
                  {"x": [20, 20]}, ["y"])
    with fastcnn.load(proto, threads=1) as net:
        assert len(net.profile({"x": np.ones((20, 20), np.float32)}, runs=3).timings) >= 2


def test_profile_trace_has_a_track_for_each_thread(profile):
    trace = json.loads(json.dumps(profile.trace()))
    names = {event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {"stages", "thread 0"} <= names
    assert {event["name"] for event in spans if event["tid"] == 1} >= {"conv0", "softmax_0"}
    assert all(event["ts"] >= 0 and event["dur"] >= 0 for event in spans)


def test_profile_as_text_and_json(profile):
    text = str(profile)
    assert "perfect kernels would take" in text and "conv3" in text and "ms predicted" in text
    found = json.loads(json.dumps(profile.to_dict()))
    assert found["roof"]["threads"] == 2 and len(found["timings"]) == 9 and "events" not in found


def test_roof_takes_the_time_of_arithmetic_and_of_both_kinds_of_traffic():
    roof = Roof(threads=1, gflops=100.0, near_gbs=50.0, far_gbs=10.0, near_bytes=1 << 20)
    assert roof.seconds(2e9, 1e9, 1e9) == pytest.approx((0.02, 0.02 + 0.1))


def test_profile_pictures_have_a_mark_a_step(profile):
    assert roofline_svg(profile).count("<circle") == sum(1 for timing in profile.timings if timing.flops)
    assert graph_svg(profile).count("<rect") == len(profile.timings)


@pytest.mark.parametrize("taken, least, runs", [
    ([0.021] * 99, 0.021, 5),                                        # a quiet machine
    ([0.3, 0.3, 0.01, 0.3, 0.01, 0.0105, 0.01, 0.01] + [1.0] * 9, 0.01, 8),    # a busy one: until enough are near to the shortest
    ([0.9, 0.1, 0.9, 0.9], 0.1, 4),                                 # never
])
def test_roof_believes_the_shortest_run_when_others_come_near(taken, least, runs):
    from fastcnn.analysis.roofline import settled_seconds
    now, calls = [5.0], iter(taken)

    def run() -> None:
        now[0] += next(calls)

    assert settled_seconds(run, lambda: now[0]) == pytest.approx(least)
    assert len(taken) - len(list(calls)) == runs


CLICKS = """
  const column=k=>[...document.querySelectorAll('tbody tr')].map(row=>row.children[k].textContent);
  document.querySelectorAll('th')[2].click();seen.up=column(2);
  document.querySelectorAll('th')[2].click();seen.down=column(2);
  document.querySelectorAll('th')[0].click();seen.names=column(0);
  document.querySelector('tr[data-k="3"]').click();seen.marked=document.querySelectorAll('.on').length;
  seen.circle=document.querySelectorAll('circle.on').length;"""


@needs_browser
def test_profile_page_sorts_and_marks_in_a_browser(profile, tmp_path):
    file = tmp_path / "profile.html"
    file.write_text(page(profile))
    seen = looked_at(file, CLICKS)
    times = [float(value) for value in seen["up"]]
    assert seen["errors"] == [] and times == sorted(times) and [float(v) for v in seen["down"]] == times[::-1]
    assert seen["names"] == sorted(seen["names"]) and len(times) == len(profile.timings)
    assert seen["marked"] == 3 and seen["circle"] == 1, "row, circle and box of the step"
