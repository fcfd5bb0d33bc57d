"""What fastcnn makes of the processor, the affinity mask, cgroups and its environment variables."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_threads import needs_openmp

import fastcnn
from fastcnn import _native, cpu


def test_cpu_info_says_what_is_there_and_in_use():
    info = fastcnn.cpu_info()
    assert info["instruction_set"] in info["instruction_sets"] and info["instruction_sets"][0] == "scalar"
    assert info["threads"] >= 1 and isinstance(info["openmp"], bool) and isinstance(info["features"], list)
    assert all(info[f"{level}_bytes"] >= 0 for level in ("l1d", "l2", "l3"))


def in_child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process that runs `code` from the tree, with more environment variables."""
    clean = {k: v for k, v in os.environ.items() if k not in ("FASTCNN_ISA", "FASTCNN_THREADS")}
    return subprocess.run([sys.executable, "-c", code],
                          env={**clean, "PYTHONPATH": str(Path(fastcnn.__file__).parent.parent), **environment},
                          capture_output=True, text=True, timeout=60)


def test_environment_isa_unknown_is_refused_at_import():
    result = in_child("import fastcnn", FASTCNN_ISA="mmx")
    assert result.returncode
    assert all(part in result.stderr for part in ("ConfigurationError", "FASTCNN_ISA='mmx'", "scalar"))


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_environment_isa_selects_the_kernels(isa):
    if isa not in _native.isas():
        pytest.skip(f"this CPU or build lacks {isa}")
    assert in_child("import fastcnn; print(fastcnn.cpu_info()['instruction_set'])",
                    FASTCNN_ISA=isa).stdout.strip() == isa


@needs_openmp
def test_environment_threads():
    code = "import fastcnn; print(fastcnn.cpu_info()['threads'])"
    assert in_child(code, FASTCNN_THREADS="7").stdout.strip() == "7"
    assert in_child(code, FASTCNN_THREADS="100000").stdout.strip() == str(_native.MAX_THREADS)
    assert "FASTCNN_THREADS='many'" in in_child(code, FASTCNN_THREADS="many").stderr


@needs_openmp
def test_default_threads_follow_the_affinity_mask(monkeypatch):
    monkeypatch.delenv("FASTCNN_THREADS", raising=False)
    monkeypatch.setattr(cpu, "cgroup_quota", lambda: None)
    monkeypatch.setattr(cpu, "physical_cores", len)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert cpu.default_threads() == 3
    monkeypatch.setattr(cpu, "physical_cores", lambda cpus: 2)
    assert cpu.default_threads() == 2
    for quota, threads in ((0.5, 1), (1.5, 2), (64.0, 2)):
        monkeypatch.setattr(cpu, "cgroup_quota", lambda quota=quota: quota)
        assert cpu.default_threads() == threads


def test_physical_cores_counts_siblings_once(tmp_path):
    for number, siblings in enumerate(["0,4", "1,5", "2", "3", "0,4", "1,5"]):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert cpu.physical_cores({0, 1, 2, 3, 4, 5}, tmp_path) == 4
    assert cpu.physical_cores({0, 4}, tmp_path) == 1
    assert cpu.physical_cores({0, 9}, tmp_path) == 2                # the system says nothing of 9


@pytest.mark.parametrize("files, own, quota", [
    ({}, "", None),
    ({"cpu.max": "max 100000"}, "0::/", None),
    ({"cpu.max": "150000 100000"}, "0::/", 1.5),
    ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000", "cpu.max": "max 100000"}, "0::/a/b", 2.0),
    ({"a/cpu.max": "300000 100000", "a/b/cpu.max": "50000 100000"}, "0::/a/b", 0.5),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/", None),
    ({"cpu/job/cpu.cfs_quota_us": "400000", "cpu/job/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/job", 4.0),
    ({"cpu.max": "nonsense"}, "0::/", None),
], ids=["none", "v2 max", "v2", "v2 ancestor", "v2 tightest", "v1 none", "v1", "unreadable"])
def test_cgroup_quota(tmp_path, files, own, quota):
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    (tmp_path / "self").write_text(own + "\n" if own else "")
    assert cpu.cgroup_quota(root, tmp_path / "self") == quota


def test_an_instruction_set_asks_for_every_flag_it_is_compiled_with():
    root = Path(fastcnn.__file__).parent.parent
    table = (root / "setup.py").read_text().split("ISA_FLAGS = {")[1].split("}")[0]
    compiled = {isa: set(re.findall(r"-m(\w+)", flags)) - {"prefer"} for isa, flags in re.findall(r'"(\w+)": \[([^\]]*)\]', table)}
    asked = {name.lower(): set(re.findall(r"cpu->(\w+)", condition))
             for name, condition in re.findall(r"case FC_ISA_(\w+): return (cpu[^;]*);", (root / "fastcnn_c" / "dispatch.c").read_text())}
    assert asked and all(asked[isa] >= flags for isa, flags in compiled.items() if flags), (asked, compiled)
