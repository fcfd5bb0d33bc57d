"""The processor as fastcnn sees it: features, caches, and how many threads a process may use."""
from __future__ import annotations

import math
import os
import resource
from dataclasses import asdict
from typing import Any

import fastcnn._native as _native
from fastcnn.ir.errors import ConfigurationError
from fastcnn.machine.current import current, measured_before

SMALL_FILE = 1 << 16
Name = str | os.PathLike[str]           # of a file: `import pathlib` takes 4 ms that nothing else on the way to a loaded model asks for


def cpu_info() -> dict[str, Any]:
    """A dict of facts about this CPU and build: vendor, model, features, cache sizes in bytes, usable instruction sets, the one in use ...

    threads is the default of load(): min(affinity mask, cgroup CPU quota, physical cores). machine holds the numbers that plans are made
    with: those of the processor's family, or of FASTCNN_MACHINE; measured those of `python -m fastcnn.machine --measure`, or None.
    """
    measured = measured_before()
    return {**_native.cpu(), "instruction_sets": _native.levels(), "instruction_set": _native.current_isa(),
            "openmp": _native.HAS_OPENMP, "threads": default_threads(), "machine": asdict(current()),
            "measured": asdict(measured) if measured else None}


def default_threads() -> int:
    """FASTCNN_THREADS, else min(affinity mask, cgroup CPU quota, physical cores), at least 1; 1 in a build without OpenMP."""
    if not _native.HAS_OPENMP:
        return 1
    forced = os.environ.get("FASTCNN_THREADS")
    if forced:
        if not forced.isdigit() or int(forced) < 1:
            raise ConfigurationError(f"FASTCNN_THREADS={forced!r}: expected a positive integer")
        return min(int(forced), _native.MAX_THREADS)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    quota = cgroup_quota()
    return max(1, min(len(allowed), physical_cores(allowed), math.ceil(quota) if quota else len(allowed), _native.MAX_THREADS))


def respect_quota(threads: int = _native.MAX_THREADS) -> None:
    """Limits all later runs to the CPUs of the cgroup's quota, also those of models that were loaded for more threads.

    For one thread no quota is asked for: it takes a dozen files of the system.
    """
    if threads > 1:
        quota = cgroup_quota()
        _native.set_cpu_quota(math.ceil(quota) if quota else 0)


def physical_cores(cpus: set[int], root: Name = "/sys/devices/system/cpu") -> int:
    """Distinct cores among the given logical CPUs; each counts as a core where the system does not say."""
    cores = set()
    for cpu in cpus:
        cores.add(_content(f"{root}/cpu{cpu}/topology/thread_siblings_list") or str(cpu))
    return len(cores)


def cgroup_quota(root: Name = "/sys/fs/cgroup", own: Name = "/proc/self/cgroup") -> float | None:
    """CPUs that the cgroup (v2 or v1) allows this process, the tightest of its ancestors; None without a limit."""
    limits = []
    for folder in _cgroup_folders(root, own):
        quota, _, period = _content(f"{folder}/cpu.max").partition(" ")
        if not quota:
            quota, period = _content(f"{folder}/cpu.cfs_quota_us"), _content(f"{folder}/cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0:            # no number: "max", "-1"
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def memory_limit(root: Name = "/sys/fs/cgroup", own: Name = "/proc/self/cgroup") -> int:
    """Bytes that this process may have at most: the machine's memory, or less by its cgroups or by its address space (ulimit -v)."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft = resource.getrlimit(limit)[0]
        limits += [soft] if soft != resource.RLIM_INFINITY else []
    for folder in _cgroup_folders(root, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _content(f"{folder}/{name}")
            limits += [int(text)] if text.isdigit() and int(text) else []
    return min(limits)


def default_memory() -> int:
    """The default of load(max_memory=): three quarters of memory_limit(), in bytes."""
    return memory_limit() // 4 * 3


def _content(path: Name) -> str:
    """The text of a small system file, "" where it does not exist. Plain os calls, because every load reads a dozen such files."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, SMALL_FILE).decode(errors="replace").strip()
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _cgroup_folders(root: Name, own: Name, controller: str = "cpu") -> list[str]:
    """The process's cgroup and its ancestors, v2 paths and those of one of v1's controllers."""
    folders = [str(root), f"{root}/{controller}"]
    for line in _content(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            base = str(root) if controllers == "" else f"{root}/{controller}"
            parts = [part for part in path.split("/") if part]
            folders += ["/".join([base, *parts[:count]]) for count in range(len(parts), -1, -1)]
    return list(dict.fromkeys(folders))


def select_instruction_set() -> None:
    """Uses the instruction set of FASTCNN_ISA, else the best that the CPU has. Raises ConfigurationError."""
    available = _native.levels()
    wanted = os.environ.get("FASTCNN_ISA") or available[-1]
    if wanted not in available:
        raise ConfigurationError(f"FASTCNN_ISA={wanted!r}: this CPU and build have {', '.join(available)}")
    _native.set_isa(wanted)
