"""What an installed wheel has to do, from outside of the clone: python .ci/smoke.py CLONE. Needs nothing but numpy and onnx."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

clone = Path(sys.argv[1]).resolve()
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() not in (clone, clone / ".ci")]
import fastcnn  # noqa: E402
from fastcnn import _native  # noqa: E402

assert Path(fastcnn.__file__).resolve().parent != clone / "fastcnn", "that is the clone, not what was installed"
assert _native.HAS_OPENMP, "built without OpenMP"
model = fastcnn.load(clone / "models" / "trained" / "digits.onnx", threads=2)
info, = model.get_inputs()
image = np.random.default_rng(0).random([d if isinstance(d, int) else 1 for d in info.shape], np.float32)
want = model(image)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "digits.fcnn")
    model.save(path)
    assert np.array_equal(fastcnn.load(path, threads=1)(image), want), "a compiled model computes something else"
for isa in _native.isas():
    program = ("import sys, numpy as np, fastcnn; x = np.random.default_rng(0).random(eval(sys.argv[2]), np.float32);"
               "np.save(sys.argv[3], fastcnn.load(sys.argv[1])(x))")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "y.npy")
        subprocess.run([sys.executable, "-c", program, str(clone / "models" / "trained" / "digits.onnx"), str(image.shape), out],
                       cwd=folder, env={**os.environ, "FASTCNN_ISA": isa}, check=True)
        assert np.allclose(np.load(out), want, rtol=1e-4, atol=1e-5), f"{isa} computes something else"
print(f"fastcnn {fastcnn.__version__}, CPython {sys.version.split()[0]}, numpy {np.__version__}: {', '.join(_native.isas())} agree")
