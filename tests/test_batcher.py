"""Batcher: requests become batches, each gets its own rows or its own error, and nobody waits for ever."""
from __future__ import annotations

import asyncio
import gc
import multiprocessing
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from graph_helper import model
from onnx import helper
from processes import METHODS, image, network
from test_forks import in_child, needs_fork

import fastcnn

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def loaded() -> fastcnn.Model:
    return fastcnn.load(network(), threads=1)


class Gate:
    """A model whose runs note the shape that they get and begin when they are let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: fastcnn.Model):
        self.shapes, self.entered, self.open = list[tuple[int, ...]](), threading.Semaphore(0), threading.Event()
        run = model.run

        def gated(names: None, feeds: dict[str, np.ndarray], **how: Any) -> list[np.ndarray]:
            self.shapes.append(feeds["x"].shape)
            self.entered.release()
            self.open.wait()
            return run(names, feeds, **how)

        monkeypatch.setattr(model, "run", gated)

    @contextmanager
    def first(self, batcher: fastcnn.calls.batcher.Batcher) -> Iterator[None]:
        """While one request is at work."""
        future = batcher.submit({"x": image(7)})
        self.entered.acquire()
        try:
            yield
        finally:
            self.open.set()
            future.result()


@pytest.fixture
def gate(monkeypatch, loaded) -> Gate:
    return Gate(monkeypatch, loaded)


def test_what_came_while_one_ran_becomes_batches_of_equal_shapes(loaded, gate):
    heights = [20, 20, 21, 20, 20, 21, 20]
    with loaded.batcher(max_batch=4) as batcher:
        with gate.first(batcher):
            futures = [batcher.submit({"x": image(h)}) for h in heights]
            assert batcher.waiting == len(heights)
        results = [future.result()[0] for future in futures]
    assert [shape[0] for shape in gate.shapes] == [1, 4, 2, 1]
    for height, got in zip(heights, results):
        assert got.shape == (1, 16, height, 29)
        np.testing.assert_allclose(got, fastcnn.load(network(), threads=1)(image(height)), rtol=1e-4, atol=1e-4)
    assert batcher.stats() == {"requests": 8, "images": 8, "batches": 4, "refused": 0}


def test_every_request_gets_its_own_rows_whatever_their_number(loaded, gate):
    sizes = [3, 1, 2, 5, 1]
    xs = [np.concatenate([image(20) + k + 10 * j for j in range(n)]) for k, n in enumerate(sizes)]
    with loaded.batcher(max_batch=6) as batcher:
        with gate.first(batcher):
            futures = [batcher.submit({"x": x}) for x in xs]
        results = [future.result()[0] for future in futures]
    assert [shape[0] for shape in gate.shapes] == [1, 6, 6]
    plain = fastcnn.load(network(), threads=1)
    for x, got in zip(xs, results):
        np.testing.assert_allclose(got, plain(x), rtol=1e-4, atol=1e-3)


def test_a_request_larger_than_a_batch_runs_alone(loaded, gate):
    gate.open.set()
    with loaded.batcher(max_batch=2) as batcher:
        assert batcher.run({"x": np.concatenate([image(20)] * 5)})[0].shape[0] == 5
    assert gate.shapes == [(5, 16, 20, 29)]


def test_a_delay_waits_for_a_full_batch(loaded, gate):
    """An hour, unless the batch is full."""
    gate.open.set()
    with loaded.batcher(max_batch=3, max_delay_ms=3_600_000) as batcher:
        futures = [batcher.submit({"x": image(20)}) for _ in range(3)]
        for future in futures:
            future.result()
        assert [shape[0] for shape in gate.shapes] == [3]
        last = batcher.submit({"x": image(20)})
    assert last.done() and len(gate.shapes) == 2            # closing does not wait for the delay


def mixing_models() -> dict[str, Any]:
    """Models of which an image has a part in what is computed of another, or may, and why."""
    def one(*nodes: Any, shape: list[Any] = ["n", 4], **constants: np.ndarray) -> Any:  # noqa: B006
        return model(list(nodes), {"x": shape}, ["y"], constants)
    node = helper.make_node
    return {
        "softmax over images": one(node("Softmax", ["x"], ["y"], axis=0)),
        "difference to the mean image": one(node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1), node("Sub", ["x", "m"], ["y"])),
        "images by images": one(node("Transpose", ["x"], ["t"]), node("MatMul", ["x", "t"], ["y"])),
        "no images come out": one(node("ReduceSum", ["x"], ["y"], keepdims=0)),
        "what is nonzero": one(node("NonZero", ["x"], ["y"])),
        "a fixed number of images": one(node("Relu", ["x"], ["y"]), shape=[1, 4]),
    }


@pytest.mark.parametrize("name", mixing_models())
def test_requests_of_models_that_mix_images_run_one_by_one(name, monkeypatch, caplog):
    loaded = fastcnn.load(mixing_models()[name], threads=1)
    gate = Gate(monkeypatch, loaded)
    xs = [np.random.default_rng(k).standard_normal((1, 4)).astype(np.float32) for k in range(4)]
    with caplog.at_level("INFO", "fastcnn"), loaded.batcher() as batcher:
        futures = [batcher.submit({"x": x}) for x in xs]
        gate.open.set()
        results = [future.result()[0] for future in futures]
    assert all(shape == (1, 4) for shape in gate.shapes)
    assert "not joined" in caplog.text
    plain = fastcnn.load(mixing_models()[name], threads=1)
    for x, got in zip(xs, results):
        np.testing.assert_array_equal(got, plain(x))


# ---- errors ----


def test_an_error_reaches_only_the_request_that_causes_it(monkeypatch, loaded):
    """A model that refuses NaN when it runs."""
    run = loaded.run

    def refusing(names: None, feeds: dict[str, np.ndarray], **how: Any) -> list[np.ndarray]:
        if np.isnan(feeds["x"]).any():
            raise fastcnn.ExecutionError("NaN")
        return run(names, feeds, **how)

    monkeypatch.setattr(loaded, "run", refusing)
    gate = Gate(monkeypatch, loaded)
    with loaded.batcher() as batcher:
        with gate.first(batcher):
            futures = [batcher.submit({"x": x}) for x in (image(20), image(20) * np.nan, 2 * image(20))]
        with pytest.raises(fastcnn.ExecutionError, match="NaN"):
            futures[1].result()
        for factor, future in ((1, futures[0]), (2, futures[2])):
            np.testing.assert_array_equal(future.result()[0], run(None, {"x": factor * image(20)})[0])
    assert [shape[0] for shape in gate.shapes] == [1, 3, 1, 1, 1]


@pytest.mark.parametrize("feeds, message", [({}, "missing"), ({"x": image(20), "z": 1}, "no input"), ({"x": image(20)[0]}, "shape"),
                                            ({"x": image(20).astype(np.float64)}, "float64")])
def test_feeds_that_do_not_fit_are_refused_at_once(loaded, feeds, message):
    with loaded.batcher() as batcher:
        with pytest.raises(fastcnn.InputError, match=message):
            batcher.submit(feeds)
        with pytest.raises(fastcnn.InputError, match=message):
            asyncio.run(batcher.arun(feeds))


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"max_batch": 1.5}, {"max_delay_ms": -1}, {"max_queue": True}, {"workers": 0},
                                     {"max_delay_ms": float("nan")}])
def test_options_without_meaning_are_refused(loaded, options):
    with pytest.raises(fastcnn.ConfigurationError, match=next(iter(options))):
        loaded.batcher(**options)


# ---- the queue ----


def test_a_full_queue_refuses_or_makes_wait(loaded, gate):
    with loaded.batcher(max_batch=1, max_queue=2) as batcher, ThreadPoolExecutor(2) as others:
        with gate.first(batcher):
            futures = [batcher.submit({"x": image(20)}) for _ in range(2)]
            with pytest.raises(fastcnn.OverloadedError, match="2 requests wait"):
                batcher.submit({"x": image(20)})
            with pytest.raises(fastcnn.TimeLimitError, match="place in the queue"):
                batcher.run({"x": image(20)}, timeout=0.01)
            with pytest.raises(fastcnn.TimeLimitError, match="place in the queue"):
                asyncio.run(batcher.arun({"x": image(20)}, timeout=0.01))
            waiting = [others.submit(batcher.run, {"x": image(20)}), others.submit(asyncio.run, batcher.arun({"x": image(20)}))]
            assert batcher.waiting == 2
        for future in (*futures, *waiting):
            assert future.result()[0].shape == (1, 16, 20, 29)
    assert batcher.stats()["refused"] == 1


def test_requests_that_nobody_waits_for_are_not_run_and_leave_room(loaded, gate):
    with loaded.batcher(max_batch=1, max_queue=2) as batcher:
        with gate.first(batcher):
            cancelled = batcher.submit({"x": image(20)})
            late = batcher.submit({"x": image(21)}, timeout=0)
            assert cancelled.cancel()
            kept = batcher.submit({"x": image(22)})
        kept.result()
    with pytest.raises(fastcnn.TimeLimitError, match="waited for its turn"):
        late.result()
    assert [shape[2] for shape in gate.shapes] == [7, 22]


def test_a_cancelled_coroutine_is_not_run(loaded, gate):
    async def cancelled() -> None:
        task = asyncio.ensure_future(batcher.arun({"x": image(20)}))
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with loaded.batcher(max_batch=1) as batcher, gate.first(batcher):
        asyncio.run(cancelled())
    assert [shape[2] for shape in gate.shapes] == [7]


def test_thousands_of_requests_from_threads_and_coroutines_each_get_their_answer(loaded):
    """x + k for request k comes back as the answer of x + k."""
    add = fastcnn.load(model([helper.make_node("Add", ["x", "one"], ["y"])], {"x": ["n", 3]}, ["y"], {"one": np.float32(1)}), threads=1)

    async def many(base: int) -> None:
        got = await asyncio.gather(*[batcher.arun({"x": np.full((1 + k % 3, 3), base + k, np.float32)}) for k in range(500)])
        for k, (y,) in enumerate(got):
            assert y.shape == (1 + k % 3, 3) and (y == base + k + 1).all()

    with add.batcher(max_batch=16, max_queue=64, workers=2) as batcher, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, many(1000 * j)) for j in range(4)]:
            done.result()
    assert batcher.stats()["requests"] == 2000 and batcher.waiting == 0


# ---- the end, other processes ----


def test_closing_runs_what_waits_or_cancels_it(loaded, monkeypatch):
    gate = Gate(monkeypatch, loaded)
    batcher = loaded.batcher(max_batch=1)
    with gate.first(batcher):
        future = batcher.submit({"x": image(20)})
    batcher.close()
    assert future.done() and not future.cancelled()
    batcher.close()
    for call in (lambda: batcher.submit({"x": image(20)}), lambda: asyncio.run(batcher.arun({"x": image(20)}))):
        with pytest.raises(fastcnn.FastCNNError, match="closed"):
            call()
    gate = Gate(monkeypatch, loaded)
    batcher = loaded.batcher(max_batch=1)
    with gate.first(batcher), ThreadPoolExecutor(1) as other:
        future = batcher.submit({"x": image(20)})
        closing = other.submit(batcher.close, cancel=True)
        while not future.done():
            threading.Event().wait(0.001)
        assert future.cancelled()
        gate.open.set()
        closing.result()


def test_a_batcher_that_nobody_holds_ends_its_threads(loaded):
    batcher = loaded.batcher()
    batcher.run({"x": image(20)})
    thread, = batcher._state._threads
    del batcher
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


@needs_fork
def test_a_child_begins_anew(loaded, gate):
    with loaded.batcher(max_batch=2) as batcher:
        with gate.first(batcher):
            waiting = batcher.submit({"x": image(20)})

            def child() -> bool:
                gate.open.set()
                return batcher.waiting == 0 and batcher.run({"x": image(21)})[0].shape == (1, 16, 21, 29)

            assert in_child(child) == 0
        assert waiting.result()[0].shape == (1, 16, 20, 29)


def test_batchers_do_not_pickle_and_say_so(loaded):
    with loaded.batcher() as batcher, pytest.raises(TypeError, match="pickle its model"):
        pickle.dumps(batcher)


def _answer(loaded: fastcnn.Model, height: int) -> np.ndarray:
    with loaded.batcher() as batcher:
        return batcher.run({"x": image(height)})[0]


@pytest.mark.parametrize("method", METHODS)
def test_models_go_to_worker_processes_which_batch(loaded, method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.starmap(_answer, [(loaded, 20 + k) for k in range(4)])
    for k, got in enumerate(results):
        np.testing.assert_array_equal(got, loaded(image(20 + k)))
