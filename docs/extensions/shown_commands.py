"""The directive `shown`: commands and Python lines that run when the site is built, with what they print.

    ```{shown}
    :last: 12
    fastcnn summary digits.onnx
    ```

They run in one folder, in the order of the pages, where the shipped networks and pictures lie. A command that fails fails the build.
`last`, `first`: so many lines of the output. `python`: the lines are Python, in one namespace a page. `keep`: files that pages show.
"""
from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from PIL import Image

import fastcnn_cli

DOCS = Path(__file__).parent.parent
WORK = DOCS / "generated" / "work"
PICTURES = DOCS / "generated" / "pictures"


class Shown(Directive):
    """See the module."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"first": directives.positive_int, "last": directives.positive_int,
                                             "python": directives.flag, "keep": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        if "python" in self.options:
            output = self._python(text)
            shown = [nodes.literal_block(text, text, language="python")]
        else:
            output = "".join(_run(line) for line in self.content)
            listed = "\n".join(f"$ {line}" for line in self.content)
            shown = [nodes.literal_block(listed, listed, language="console")]
        for name in self.options.get("keep", "").split():
            PICTURES.mkdir(parents=True, exist_ok=True)
            shutil.copy(WORK / name, PICTURES / Path(name).name)
        output = self._cut(output.rstrip())
        return [*shown, *([nodes.literal_block(output, output, language="text")] if output else [])]

    def _python(self, text: str) -> str:
        settings = self.state.document.settings.env
        names: dict[str, Any] = settings.temp_data.setdefault("shown_names", {})
        printed, before = io.StringIO(), os.getcwd()
        os.chdir(WORK)
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(text, "<tour>", "exec"), names)
        finally:
            os.chdir(before)
        return printed.getvalue()

    def _cut(self, output: str) -> str:
        lines = [line.rstrip() for line in output.splitlines()]
        first, last = self.options.get("first", 0), self.options.get("last", 0)
        if not first + last or first + last >= len(lines):
            return "\n".join(lines)
        return "\n".join([*lines[:first], "...", *lines[len(lines) - last:]])


def _run(line: str) -> str:
    """What a command prints; `fastcnn` is that of this interpreter."""
    program, *arguments = shlex.split(line)
    if program != "fastcnn":
        raise ValueError(f"{line!r}: only fastcnn runs here")
    environment = {**os.environ, "NO_COLOR": "1", "ORT_DISABLE_TELEMETRY": "1"}
    environment.pop("COLUMNS", None)
    done = subprocess.run([sys.executable, str(DOCS.parent / "fastcnn_cli.py"), *arguments], cwd=WORK, env=environment, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{line!r} exited with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def prepare(*_: object) -> None:
    """The folder in which the commands run: networks that ship with fastcnn, and their images as pictures. A list of all options."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "digits").mkdir(parents=True)
    trained = DOCS.parent / "models" / "trained"
    for name in ("digits.onnx", "superres.onnx"):
        shutil.copy(trained / name, WORK / name)
    stored = np.load(trained / "digits.npz")
    for k, (image, label) in enumerate(zip(stored["images"], stored["labels"])):
        Image.fromarray(np.rint(image[0] / 16 * 255).astype(np.uint8)).save(WORK / "digits" / f"{k:02d}-{label}.png")
    low = np.load(trained / "superres.npz")["low"][0, 0]
    Image.fromarray(np.rint(low * 255).astype(np.uint8)).save(WORK / "small.png")
    helps = [f"### {name}\n```{{shown}}\nfastcnn {name} --help\n```\n" for name in fastcnn_cli.COMMANDS]
    (DOCS / "generated" / "options.md").write_text("\n".join(helps))


def setup(app: object) -> dict[str, bool]:
    app.add_directive("shown", Shown)                               # type: ignore[attr-defined]
    app.connect("builder-inited", prepare)                          # type: ignore[attr-defined]
    return {"parallel_read_safe": False}
