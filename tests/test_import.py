"""What `import fastcnn` imports, and that every name is there when it is asked for."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn

ROOT = Path(__file__).parent.parent


def printed(code):
    """What a new process prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_import_leaves_what_reads_and_plans_models_for_later():
    rooms = {name.split(".")[1] for name in printed("import sys, fastcnn; print(*[m for m in sys.modules if m.startswith('fastcnn.')])")}
    assert rooms == {"_native", "cpu", "ir", "locks", "machine", "version"}


@pytest.mark.parametrize("module", ["onnx", "google", "onnxruntime", "decimal", "pathlib", "json", "logging", "socket", "subprocess"])
def test_import_takes_nothing_that_most_programs_never_need(module):
    """Beyond what numpy imports itself."""
    code = f"import sys, numpy; before = {module!r} in sys.modules; import fastcnn; print(before, {module!r} in sys.modules)"
    before, after = printed(code)
    assert before == after


def test_import_of_what_loads_models_makes_its_dataclasses_the_quick_way():
    """fastcnn.ir.record's: the standard library's take 0.4 ms each."""
    names = printed("import sys, fastcnn.loading, fastcnn.passes, fastcnn.ops as ops; [ops.OPS[key] for key in ops.OPS]\n"
                    "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('fastcnn.') and n != 'fastcnn.ir.record'])")
    files = [Path(name) for name in names if name.endswith(".py")]
    assert len(files) > 100
    assert not [file.name for file in files if re.search(r"^from dataclasses import .*\bdataclass\b", file.read_text(), re.MULTILINE)]


def test_import_of_a_name_imports_its_room():
    assert printed("import sys, fastcnn; fastcnn.load; print('fastcnn.model' in sys.modules, 'fastcnn.compat' in sys.modules)") == [
        "True", "False"]


def test_import_finds_every_name_once():
    """From the table, by `from fastcnn import *` and in dir(); what was found stays."""
    names = printed("import fastcnn\nfrom fastcnn import *\nimport fastcnn as f\n"
                    "print(*[n for n in f.__all__ if n in globals() and n in dir(f) and n in vars(f)])")
    assert sorted(names) == sorted(fastcnn.__all__)


def test_import_of_any_module_may_be_the_first():
    """No module needs another to have been imported before it: each in a process of its own."""
    code = """
import os, pkgutil, sys, traceback
import numpy, onnx, fastcnn
for found in pkgutil.walk_packages(["fastcnn"], "fastcnn."):
    if found.name.endswith("__main__"):
        continue
    child = os.fork()
    if not child:
        try:
            __import__(found.name)
        except ModuleNotFoundError as error:        # an extra that is not installed
            os._exit(error.name.startswith("fastcnn"))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(found.name)
"""
    assert printed(code) == []


def test_import_refuses_names_that_are_not_there():
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        fastcnn.nonsense  # noqa: B018
    assert not hasattr(fastcnn, "training")


def test_import_of_later_names_may_be_cut_by_no_fork():
    """What a thread imports for the first time is whole in children that others fork meanwhile."""
    code = """
import os, threading, sys
import fastcnn
begun = threading.Event()
def first():
    begun.set()
    fastcnn.load
thread = threading.Thread(target=first)
thread.start()
begun.wait()
child = os.fork()
if not child:
    os._exit(0 if callable(fastcnn.InferenceSession) and callable(fastcnn.load) else 1)
thread.join()
print(os.waitpid(child, 0)[1])
"""
    assert printed(code) == ["0"]
