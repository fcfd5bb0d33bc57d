"""The checked build: what AddressSanitizer, UndefinedBehaviorSanitizer and assertions have to see, in child processes that they end."""
from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastcnn
from fastcnn import _native

checked = pytest.mark.skipif(not _native.CHECKED, reason="the plain build has no guards: make asan")
FLOATS = 40


def ended_by(program: str) -> str:
    """What a Python program says on stderr when it ends in any way but well, "" otherwise."""
    head = "import numpy as np\nfrom fastcnn import _native\n"
    folder = str(Path(fastcnn.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", head + textwrap.dedent(program)], cwd=folder, capture_output=True, text=True, timeout=120)
    return done.stderr if done.returncode else ""


def copied(target: str, source: str, threads: int = 1) -> str:
    """A program that copies floats from one place of the arena to another: (1, offset), or with begin and end of a buffer there."""
    return f"""
        fields = dict(ndim=1, shape=({FLOATS},), y_strides=(1,), x_strides=(1,), elem_bytes=4)
        program = _native.Program([("copy", ({target}, {source}), {threads}, fields)], 4096, {threads}, 0)
        assert program.run(_native.Workspace(), []) == 0"""


WHOLE = f"(1, 0, 0, {4 * FLOATS})", f"(1, 1024, 1024, {1024 + 4 * FLOATS})"


def test_operands_inside_their_buffers_are_let_through():
    assert ended_by(copied(*WHOLE)) == ""
    assert ended_by(copied("(1, 0)", "(1, 1024)")) == ""


@checked
@pytest.mark.parametrize("target, source, what", [
    (WHOLE[0], f"(1, 1024, 1024, {1024 + 4 * FLOATS - 4})", "READ"), (WHOLE[0], f"(1, 1020, 1024, {1024 + 4 * FLOATS})", "READ"),
    (f"(1, 0, 0, {4 * FLOATS - 4})", WHOLE[1], "WRITE"), (WHOLE[0], f"(1, 2048, 1024, {1024 + 4 * FLOATS})", "READ")],
    ids=["behind", "before", "written behind", "another tensor"])
def test_accesses_between_the_tensors_of_the_arena_are_seen(target, source, what):
    said = ended_by(copied(target, source))
    assert "AddressSanitizer: use-after-poison" in said and f"{what} of size" in said


@checked
def test_reads_beyond_a_constant_are_seen():
    assert "AddressSanitizer: heap-buffer-overflow" in ended_by(copied(WHOLE[0], f"np.ones({FLOATS - 1}, np.float32)"))


@checked
def test_undefined_behaviour_is_seen():
    """Indices that do not lie at multiples of 8."""
    said = ended_by("""
        indices, fields = np.zeros(80, np.uint8)[1:73].view(np.int64), dict(outer=9, depth=2, inner=1, elem_bytes=4)
        steps = [("one_hot", (np.zeros(18, np.float32), indices, np.zeros(2, np.float32)), 1, fields)]
        _native.Program(steps, 0, 1, 0).run(_native.Workspace(), [])""")
    assert "runtime error" in said and "misaligned" in said


@checked
def test_assertions_are_compiled_in():
    """The largest of no elements, of whom the kernel wants one at least."""
    said = ended_by("""
        fields = dict(ndim=1, shape=(1,), y_strides=(1,), x_strides=(1,), axis=0, x_axis=1, dtype=0, smallest=0, last=0)
        _native.Program([("arg", (np.zeros(1, np.int64), np.zeros(1, np.float32)), 1, fields)], 0, 1, 0).run(_native.Workspace(), [])""")
    assert "Assertion" in said
