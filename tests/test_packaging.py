"""What packages are made of is there: files that lists name, options of the container's command, interpreters that wheels are for."""
from __future__ import annotations

import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_packaging_files_that_a_source_distribution_lists_exist():
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        kind, *names = line.split()
        if kind == "include":
            assert not [name for name in names if not (ROOT / name).exists()]


def test_packaging_wheels_are_for_the_interpreters_that_the_script_tries():
    config, script = (ROOT / "pyproject.toml").read_text(), (ROOT / ".ci" / "wheels").read_text()
    built = {f"3.{minor}" for minor in re.findall(r'"cp3(\d+)-\*"', config)}
    tried = set(re.findall(r"python(3\.\d+)", next(line for line in script.splitlines() if line.lstrip().startswith("for name in"))))
    least = re.search(r'requires-python = ">=([\d.]+)"', config)[1]
    assert built == tried and least in built
    assert ".ci/smoke.py" in config and ".ci/smoke.py" in script and os.access(ROOT / ".ci" / "wheels", os.X_OK)


def test_packaging_container_calls_the_server_with_options_that_it_has():
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1])
    assert entry[:2] == ["fastcnn", "serve"]
    options = re.findall(r'click\.option\("(--[\w-]+)"', (ROOT / "fastcnn" / "cli" / "serve.py").read_text())
    assert [word for word in entry[2:] if word.startswith("--")] and not {w for w in entry if w.startswith("--")} - set(options)
