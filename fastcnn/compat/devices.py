"""Names of devices, their memory and its allocators. There is one device, the CPU; memory is planned per input shape."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastcnn.compat.exceptions import InvalidArgument
from fastcnn.compat.options import OrtAllocatorType, OrtMemType

CPU_NAMES = ("cpu", "cpu_pinned")


def require_cpu(device_type: str) -> None:
    """Raises InvalidArgument for the name of any other device."""
    if str(device_type).lower() not in CPU_NAMES:
        raise InvalidArgument(f"device {device_type!r}: fastcnn runs on the CPU")


def get_ort_device_type(device_type: str) -> int:
    """The number of the CPU among devices. Raises InvalidArgument for others."""
    require_cpu(device_type)
    return OrtDevice.cpu()


@dataclass(frozen=True)
class OrtDevice:
    """The CPU: OrtDevice.make("cpu", 0), or by numbers as OrtDevice(OrtDevice.cpu(), OrtDevice.default_memory(), 0)."""

    type_number: int = 0
    memory: int = 0
    number: int = 0

    @staticmethod
    def make(ort_device_name: str, device_id: int, vendor_id: int = -1) -> OrtDevice:
        """The device of this name. Raises InvalidArgument unless it is the CPU."""
        return OrtDevice(get_ort_device_type(ort_device_name), OrtDevice.default_memory(), device_id)

    @staticmethod
    def cpu() -> int:
        """The number of the CPU as a kind of device."""
        return 0

    @staticmethod
    def default_memory() -> int:
        """The number of ordinary memory."""
        return 0

    def device_type(self) -> int:
        """Which kind of device: 0, the CPU."""
        return self.type_number

    def device_id(self) -> int:
        """The number of the device: 0."""
        return self.number

    def device_mem_type(self) -> int:
        """Which memory: 0, the ordinary one."""
        return self.memory

    def device_vendor_id(self) -> int:
        """0: none is named."""
        return 0


@dataclass
class OrtMemoryInfo:
    """Name and kind of memory; kept, since there is one memory."""

    name: str
    allocator_type: OrtAllocatorType
    device_id: int
    mem_type: OrtMemType


class OrtArenaCfg:
    """Sizes of an arena, kept without effect.

    By position (max_mem, arena_extend_strategy, initial_chunk_size_bytes, max_dead_bytes_per_chunk) or in a dict.
    """

    def __init__(self, *sizes: Any) -> None:
        names = ("max_mem", "arena_extend_strategy", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk")
        given = dict(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Mapping) else dict(zip(names, sizes))
        for name in (*names, "initial_growth_chunk_size_bytes", "max_power_of_two_extend_bytes"):
            setattr(self, name, int(given.get(name, -1)))


def create_and_register_allocator(mem_info: OrtMemoryInfo, arena_cfg: OrtArenaCfg | None) -> None:
    """Without effect."""


def create_and_register_allocator_v2(provider: str, mem_info: OrtMemoryInfo, options: Mapping[str, str],
                                     arena_cfg: OrtArenaCfg | None) -> None:
    """Without effect."""
