"""The table of machines: a row per processor family, chosen by cpuid and never by measuring, so that equal processors plan alike.

Rows marked `measured` were fitted to timed layers and networks (bench/notes/machine.md). The others have their processor's documented
vector units and caches; their other numbers come from the nearest measured row.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastcnn.ir.record import dataclass
from fastcnn.machine.numbers import Core, Machine

KB, MB = 1 << 10, 1 << 20
NO_BOUND = 1000.0           # of a rate, or cycles, not measured
NOT_MEASURED = 0.01         # cycles that count for nothing

# Measured: Intel Xeon with 48 KB L1, 2 MB L2, two 512-bit FMAs a cycle at 3.3 GHz (family 6 model 167 by its hypervisor), gcc 12.2, one
# thread, 2026-11-21; reproduce with python -m bench.layers --cold.
# Register tiles (load, chains, panel, tile, l2_read): 608 layers of thirteen networks at AVX-512 and AVX2 with cold weights; the pick takes
# 0.5 % more time than the best width on average. line, l2_read and tile: the least time of 320 layers of 25 networks, weights from beyond
# L2, 36 widths and blocks each: 1.1 % by weight, 2.8 without line (112x112, 16 to 64 channels 244 -> 167 us; 56x56, 64 to 256 with
# residual 691 -> 590).
# Winograd: least squares over 26 layers (224x224x64 to 4x4x256), then the least regret on 70 3x3 layers of six networks.
# memory: weights come from there at 13 GB/s inside a network, where the fit to single layers gave 10 bytes a cycle. With 5, in one process
# and interleaved rounds: resnet50 1.01, resnet152 1.01 and resnet18 1.04 times as fast on one thread, resnet50 1.09 and resnet152 1.22 on
# two. prefetch: MobileNetV3's layers at 1.3, 2.6, 3.8, 6.4 bytes a cycle: 3.10, 3.08, 3.06, 3.09 ms, without 3.15.
# kept_bytes: 2 MB and 4 of L3, of which a core of today's servers has 1.4 to 5. Planned so, networks of 2 to 5 MB are 1.00 to 1.11 times
# as fast; GoogLeNet (28 MB) 0.93, ResNet-18 (47 MB) 0.73 (bench/notes/small_networks.md). The other rows: by L2 and L3 divided by cores.
# gather of 512 bits: python -m fastcnn.machine --measure on Emerald Rapids, 2026-11-30.
# widened: 5.3 to 5.7 by itself, but networks of bytes are faster with 9 (bench/notes/int8.md).
# halves: python -m bench.layers.byte_picks, 2026-11-30 (bench/notes/bytes.md).
_GOLDEN_COVE = Core(fmas=2.0, load=0.6, chains=5.5, panel=0.5, products=1.06, both_in=12.0, both_out=7.0, one_in=10.0,
                    one_out=5.0, band=2.0, depthwise=1.5, gather=4.9, widened=9.0, halves=2.0, pairs=3.1, dots=4.0, quantise=6.0,
                    dequantise=3.0)
_SAPPHIRE_RAPIDS = Machine("sapphire_rapids", 48 * KB, 2 * MB, 32 * MB, wide=_GOLDEN_COVE,
                           narrow=replace(_GOLDEN_COVE, gather=2.0, widened=4.2), tile=55.0, line=13.5,
                           l2_read=32.0, l2_weights=10.0, l3_weights=25.0, memory=4.0, kept_bytes=6 * MB, again=25.0, stream=NO_BOUND,
                           spill=4.0, prefetch=3.84, turns=NO_BOUND, ring_bytes=64 * KB)

# One 512-bit FMA a cycle: the second unit is missing (Intel's clients), or two of 256 bits take it together (mobile Zen 5).
_ONE_WIDE = replace(_GOLDEN_COVE, fmas=1.0, load=0.75, chains=5.0, panel=0.5, halves=NOT_MEASURED, gather=2.0, widened=5.1,
                    pairs=2.7)
# pairs, widened, dots of Intel and of Zen 3: python -m fastcnn.machine --check, three runs each, 2026-11-30 (family 6 model 207).
_ZEN = replace(_GOLDEN_COVE, load=0.5, halves=NOT_MEASURED, gather=2.0, widened=3.1, pairs=2.6, dots=1.0)

# Measured: AMD EPYC of family 26 model 2 (48 KB L1, 1 MB L2, two 512-bit FMAs a cycle at 4.2 GHz), gcc 12.2, one thread, 2026-11-29.
# What a core does by python -m fastcnn.machine --measure; chains, line, spill and the rates of weights by the least regret on 380 layers
# at AVX-512 and 270 at AVX2, and by whole networks: bench/notes/machine.md. widened: 198 and 84 GMAC/s of bytes without dot
# products, 131 and 66 of floats.
_ZEN5 = replace(_SAPPHIRE_RAPIDS, name="zen5", l2_bytes=1 * MB, line=6.0, l2_weights=15.0, l3_weights=18.0, memory=10.5, kept_bytes=5 * MB,
                again=18.0, spill=7.0, turns=1.5,
                wide=replace(_ZEN, chains=4.0, both_in=6.0, both_out=6.5, one_in=4.5, one_out=6.3, band=0.5, depthwise=1.1, gather=3.0,
                             widened=2.65),
                narrow=replace(_ZEN, both_in=3.4, both_out=4.9, one_in=3.4, one_out=5.8, band=0.5, depthwise=0.85, gather=1.95))
# Measured: AMD EPYC (Zen 4: 32 KB L1, 1 MB L2, one 512-bit FMA a cycle), one thread. The Xeon's numbers in FMA times, which there are twice
# as long, but for the transforms and memory: 1.9 % regret on 59 3x3 layers, where the Xeon's own lose 9.7 %, and 1.02 times as fast on
# average of 13 networks (resnet18 1.18, resnet50 and googlenet 1.05). again, stream: Winograd's products wait for
# their weights in blocks of 14 tiles, hardly at all in blocks of 28 (2026-11-30): 1.8 % regret by time on 380 layers, 1.1 with them.
_ZEN4 = replace(_SAPPHIRE_RAPIDS, name="zen4", l1d_bytes=32 * KB, l2_bytes=1 * MB, narrow=_ZEN, tile=110.0, line=27.0, l2_read=16.0,
                memory=6.0, kept_bytes=5 * MB, again=100.0, stream=2.8, turns=1.5,
                wide=replace(_GOLDEN_COVE, fmas=1.0, load=1.2, chains=11.0, panel=1.0, halves=NOT_MEASURED, both_in=14.0, both_out=9.0,
                             gather=2.0, widened=2.65, dots=1.0))

# Measured: AMD EPYC of family 25 model 1 (Zen 3: 32 KB L1, 512 KB L2, two 256-bit FMAs a cycle at 3.05 GHz), gcc 12.2, one thread,
# 2026-11-30. What a core does by python -m fastcnn.machine --measure; load, chains, panel, tile, line, products and the rates of weights
# by the least regret on 326 layers; then load and panel for tiles three vectors wide, as fast alone and 1.01 to 1.09 times in networks
# beside a busy neighbour: bench/notes/machine.md.
_MILAN = replace(_ZEN, load=0.78, chains=4.2, panel=0.5, products=1.12, both_in=6.6, both_out=9.0, one_in=6.3, one_out=10.0,
                 band=0.5, depthwise=1.38, gather=2.5, widened=3.2, pairs=3.0, quantise=3.5,
                 dequantise=2.7)
_ZEN3 = replace(_SAPPHIRE_RAPIDS, name="zen3", l1d_bytes=32 * KB, l2_bytes=512 * KB, wide=_MILAN, narrow=_MILAN, tile=150.0, line=10.0,
                l2_weights=5.0, memory=5.2, kept_bytes=4608 * KB, again=500.0, stream=2.3, spill=2.2, ring_bytes=48 * KB)

_ROWS = (
    _SAPPHIRE_RAPIDS,
    replace(_SAPPHIRE_RAPIDS, name="ice_lake", l2_bytes=1280 * KB, kept_bytes=2816 * KB),
    replace(_SAPPHIRE_RAPIDS, name="skylake_server", l1d_bytes=32 * KB, l2_bytes=1 * MB, kept_bytes=2304 * KB, ring_bytes=48 * KB),
    replace(_SAPPHIRE_RAPIDS, name="ice_lake_client", wide=_ONE_WIDE, l2_bytes=512 * KB, l3_bytes=8 * MB, memory=6.0, kept_bytes=2560 * KB,
            ring_bytes=48 * KB),
    replace(_SAPPHIRE_RAPIDS, name="alder_lake", l2_bytes=1280 * KB, l3_bytes=24 * MB, memory=8.0, kept_bytes=3328 * KB),
    replace(_SAPPHIRE_RAPIDS, name="haswell", l1d_bytes=32 * KB, l2_bytes=256 * KB, l3_bytes=8 * MB, memory=5.0, kept_bytes=2304 * KB,
            ring_bytes=32 * KB),
    replace(_ZEN3, name="zen2", l3_bytes=16 * MB),          # Zen 3's nearest relative: vectors of 256 bits, the same L1 and L2
    _ZEN3,
    _ZEN4,
    _ZEN5,
    replace(_SAPPHIRE_RAPIDS, name="zen5_mobile", l2_bytes=1 * MB, l3_bytes=16 * MB, wide=replace(_ONE_WIDE, dots=1.0), narrow=_ZEN,
            memory=10.0, kept_bytes=3 * MB),
    replace(_SAPPHIRE_RAPIDS, name="zen1", l1d_bytes=32 * KB, l2_bytes=512 * KB, l3_bytes=8 * MB, wide=_ONE_WIDE, narrow=_ONE_WIDE,
            kept_bytes=2560 * KB, ring_bytes=48 * KB),
)
ROWS: Mapping[str, Machine] = {row.name: row for row in _ROWS}


@dataclass(frozen=True)
class Family:
    """The processors of one row: a vendor and family, these models (all if empty), with at least this much L2."""

    row: str
    vendor: str
    family: int
    models: frozenset[int] = frozenset()
    least_l2: int = 0

    def has(self, cpu: Mapping[str, Any]) -> bool:
        known = cpu["vendor"] == self.vendor and cpu["family"] == self.family and cpu["l2_bytes"] >= self.least_l2
        return known and (not self.models or cpu["model_number"] in self.models)


def _models(*ranges: int | tuple[int, int]) -> frozenset[int]:
    """Model numbers: single ones, and (first, last)."""
    return frozenset(n for r in ranges for n in (range(r[0], r[1] + 1) if isinstance(r, tuple) else (r,)))


INTEL, AMD, HYGON = "GenuineIntel", "AuthenticAMD", "HygonGenuine"
# Read from top to bottom. Models as in the vendors' tables and in Linux' intel-family.h and AMD's revision guides.
FAMILIES = (
    Family("sapphire_rapids", INTEL, 6, _models(0x8F, 0xCF, 0xAD, 0xAE)),           # and Emerald, Granite Rapids
    Family("sapphire_rapids", INTEL, 6, _models(0xA7, 0x6A, 0x6C), 2 * MB),         # under the name that some hypervisors give it
    Family("ice_lake", INTEL, 6, _models(0x6A, 0x6C)),
    Family("skylake_server", INTEL, 6, _models(0x55)),                              # and Cascade, Cooper Lake
    Family("ice_lake_client", INTEL, 6, _models(0x7D, 0x7E, 0x8C, 0x8D, 0xA7, 0x66)),       # and Tiger, Rocket, Cannon Lake
    Family("alder_lake", INTEL, 6, _models(0x97, 0x9A, 0xB7, 0xBA, 0xBF, 0xBE, 0xAA, 0xAC, 0xB5, 0xC5, 0xC6, 0xBD, 0xCC, 0xAF, 0xB6)),
    Family("haswell", INTEL, 6, _models(0x3C, 0x3F, 0x45, 0x46, 0x3D, 0x47, 0x4F, 0x56, 0x4E, 0x5E, 0x8E, 0x9E, 0xA5, 0xA6)),
    Family("zen1", AMD, 0x17, _models((0x00, 0x2F))),
    Family("zen2", AMD, 0x17),
    Family("zen4", AMD, 0x19, _models((0x10, 0x1F), (0x60, 0x7F), (0xA0, 0xAF))),
    Family("zen3", AMD, 0x19),
    Family("zen5_mobile", AMD, 0x1A, _models((0x20, 0x3F), (0x60, 0x6F))),          # two units of 256 bits
    Family("zen5", AMD, 0x1A),
    Family("zen1", HYGON, 0x18),
)


def row_of(cpu: Mapping[str, Any]) -> str:
    """The name of the row for a processor described by _native.cpu(); unknown families get a row by their features."""
    for family in FAMILIES:
        if family.has(cpu):
            return family.row
    if "avx512f" in cpu["features"]:
        return "zen5" if cpu["vendor"] == AMD else "ice_lake"
    return "zen3" if cpu["vendor"] == AMD else "haswell"


def machine_of(cpu: Mapping[str, Any]) -> Machine:
    """The processor's row, with the cache sizes that the processor itself reports."""
    own = {name: cpu[name] for name in ("l1d_bytes", "l2_bytes", "l3_bytes") if cpu[name] > 0}
    return replace(ROWS[row_of(cpu)], **own)
