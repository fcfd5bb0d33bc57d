"""More than one process or machine, by Ray, Spark, Dask and joblib, each where it is installed."""
from __future__ import annotations

import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import spark

DIGITS = Path(__file__).parent.parent / "models" / "trained" / "digits.onnx"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return (np.load(DIGITS.with_suffix(".npz"))["images"][:50] / 16).astype(np.float32)


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False,
             runtime_env={"env_vars": {"PYTHONPATH": str(Path(fastcnn.__file__).parent.parent) + os.pathsep + str(Path(__file__).parent)}})
    yield ray
    ray.shutdown()


def rows_of(dataset) -> dict[int, np.ndarray]:
    rows = dataset.take_all()
    assert len({row["k"] for row in rows}) == len(rows)
    return {row["k"]: row["probabilities"] for row in rows}


def numbered(ray, images):
    return ray.data.from_items([{"k": k, "image": image} for k, image in enumerate(images)], override_num_blocks=8)


@pytest.mark.parametrize("source", ["path", "model"])
def test_two_actors_predict_every_row(cluster, images, source):
    import fastcnn.ray
    model = str(DIGITS) if source == "path" else fastcnn.load(DIGITS.read_bytes(), threads=1)
    found = rows_of(fastcnn.ray.predict(numbered(cluster, images), model, "image", actors=2, batch_size=7))
    want = fastcnn.load(DIGITS, threads=1)(images)
    assert sorted(found) == list(range(len(images)))
    for k, row in found.items():
        np.testing.assert_allclose(row, want[k], rtol=1e-5, atol=1e-6)


def test_a_folder_of_pictures(cluster, images, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    import fastcnn.ray
    for k, image in enumerate(images[:10]):
        Image.fromarray((image[0] * 255).astype(np.uint8)).save(tmp_path / f"{k}.png")
    loaded = fastcnn.load(DIGITS, threads=1)
    how = fastcnn.Preprocess.guess(loaded)
    pictures = cluster.data.read_images(str(tmp_path), mode="L", include_paths=True)
    rows = fastcnn.ray.predict(pictures, str(DIGITS), "image", preprocess=True, actors=2, batch_size=4, keep=True).take_all()
    assert len(rows) == 10 and "image" in rows[0]
    for row in rows:
        np.testing.assert_allclose(row["probabilities"], loaded(how(row["path"]))[0], rtol=1e-4, atol=1e-5)


def test_an_actor_that_is_killed_loses_no_row(cluster, images, tmp_path):
    """The first actor that gets a batch ends its process in the middle of it."""
    import fastcnn.ray
    marker = str(tmp_path / "killed")

    class Killed(fastcnn.ray.Predictor):
        def __call__(self, batch):
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return super().__call__(batch)
            os._exit(1)

    dataset = numbered(cluster, images).map_batches(
        Killed, batch_size=7, zero_copy_batch=True, num_cpus=1, fn_constructor_args=(str(DIGITS), "image"),
        compute=cluster.data.ActorPoolStrategy(size=2))
    assert sorted(rows_of(dataset)) == list(range(len(images))) and os.path.exists(marker)


def test_actors_take_as_many_threads_as_they_have_cpus(cluster):
    import fastcnn.ray
    task = cluster.remote(fastcnn.ray.own_threads)
    assert [cluster.get(task.options(num_cpus=n).remote()) for n in (1, 2, 0.5)] == [1, 2, 1]


def test_columns_of_several_inputs_are_asked_for(cluster):
    from graph_helper import model
    from onnx import helper

    import fastcnn.ray
    two = fastcnn.load(model([helper.make_node("Sub", ["a", "b"], ["y"])], {"a": ["n", 2], "b": ["n", 2]}, ["y"]))
    with pytest.raises(fastcnn.ConfigurationError, match="2 inputs"):
        fastcnn.ray.Predictor(two, "a")
    batch = {"left": np.ones((3, 2), np.float32), "right": np.zeros((3, 2), np.float32)}
    found = fastcnn.ray.Predictor(two, {"a": "left", "b": "right"})(batch)
    assert set(found) == {"y"} and (found["y"] == 1).all()


def test_a_deployment_answers_many_at_once(cluster, images):
    serve = pytest.importorskip("ray.serve")
    import fastcnn.ray
    handle = serve.run(fastcnn.ray.deployment(str(DIGITS), replicas=2, max_batch=4), name="digits", route_prefix=None)
    try:
        answers = [handle.remote({"image": image[None]}) for image in images]
        want = fastcnn.load(DIGITS, threads=1)(images)
        for k, answer in enumerate(answers):
            np.testing.assert_allclose(answer.result()["probabilities"][0], want[k], rtol=1e-5, atol=1e-6)
    finally:
        serve.shutdown()


# ---- Spark ----


@pytest.mark.parametrize("source", [str(DIGITS), DIGITS.read_bytes()], ids=["path", "model"])
def test_sparks_function_of_a_batch(images, source):
    """As predict_batch_udf uses it: the maker travels pickled, columns may be of another type."""
    cloudpickle = pytest.importorskip("cloudpickle")
    model = source if isinstance(source, str) else fastcnn.load(source, threads=1)
    predict = pickle.loads(cloudpickle.dumps(spark.predict_batch_fn(model)))()
    np.testing.assert_array_equal(predict(images.astype(np.float64)), fastcnn.load(DIGITS, threads=1)(images))
    with pytest.raises(ValueError, match="zip"):
        predict(images, images)


@pytest.fixture(scope="module")
def session():
    """Spark on this machine: two task slots, each with Python workers of its own."""
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark runs on Java, which is not installed")
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1",
                   "PYTHONPATH": os.pathsep.join([str(Path(fastcnn.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])}
    found = (sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
             .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").getOrCreate())
    yield found
    found.stop()


@pytest.mark.parametrize("source", [str(DIGITS), DIGITS.read_bytes()], ids=["path", "model"])
def test_spark_predicts_every_row(session, images, source):
    pytest.importorskip("pandas")
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, FloatType
    model = source if isinstance(source, str) else fastcnn.load(source, threads=1)
    predict = predict_batch_udf(spark.predict_batch_fn(model), return_type=ArrayType(FloatType()), batch_size=7,
                                input_tensor_shapes=[list(images.shape[1:])])
    rows = [(k, image.ravel().tolist()) for k, image in enumerate(images)]
    frame = session.createDataFrame(rows, "k int, image array<float>").repartition(4)
    found = {row.k: row.y for row in frame.select("k", predict("image").alias("y")).collect()}
    want = fastcnn.load(DIGITS, threads=1)(images)
    assert sorted(found) == list(range(len(images)))
    for k, row in found.items():
        np.testing.assert_allclose(row, want[k], rtol=1e-5, atol=1e-6)


# ---- models as they are ----


@pytest.mark.parametrize("source", [str(DIGITS), DIGITS.read_bytes()], ids=["path", "weights"])
def test_dasks_workers_get_models_as_they_are(images, source):
    distributed = pytest.importorskip("distributed")
    loaded = fastcnn.load(source, threads=1)
    with distributed.LocalCluster(2, threads_per_worker=2, dashboard_address=None) as cluster, distributed.Client(cluster) as client:
        model = client.scatter(loaded, broadcast=True)
        futures = [client.submit(_probabilities, model, part) for part in np.array_split(images, 5)]
        got = np.concatenate(client.gather(futures))
    np.testing.assert_allclose(got, loaded(images), rtol=1e-5, atol=1e-6)


def test_joblibs_processes_get_models_as_they_are(images):
    joblib = pytest.importorskip("joblib")
    loaded = fastcnn.load(DIGITS, threads=1)
    got = joblib.Parallel(2)(joblib.delayed(loaded.run)(None, {"image": part}) for part in np.array_split(images, 5))
    np.testing.assert_allclose(np.concatenate([y for y, in got]), loaded(images), rtol=1e-5, atol=1e-6)


def _probabilities(model: fastcnn.Model, part: np.ndarray) -> np.ndarray:
    return model(part)
