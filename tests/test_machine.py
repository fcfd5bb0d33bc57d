"""The machine as numbers: every processor has a row, equal numbers give equal plans, files and FASTCNN_MACHINE say what is wrong."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

import fastcnn
from fastcnn import _native
from fastcnn.convolve.choice import Choice
from fastcnn.convolve.ladder import choose
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.convolve.tile import best_nv
from fastcnn.machine import __main__ as command
from fastcnn.machine import clock, measure
from fastcnn.machine.current import current, measured_file, named, using
from fastcnn.machine.numbers import Core, Machine, from_json
from fastcnn.machine.table import FAMILIES, ROWS, machine_of, row_of

KB, MB = 1 << 10, 1 << 20


def processor(vendor: str, family: int, model: int, l2_bytes: int = 0, features: tuple[str, ...] = ("avx2", "fma")) -> dict[str, Any]:
    """What _native.cpu() says of another processor."""
    return {"vendor": vendor, "family": family, "model_number": model, "features": list(features), "l1d_bytes": 0, "l2_bytes": l2_bytes,
            "l3_bytes": 0}


INTEL, AMD = "GenuineIntel", "AuthenticAMD"
PROCESSORS = {      # vendor, family, model, where it matters L2; row
    "Haswell": (INTEL, 6, 60, "haswell"), "Broadwell-EP": (INTEL, 6, 79, "haswell"), "Coffee Lake": (INTEL, 6, 158, "haswell"),
    "Cascade Lake": (INTEL, 6, 85, "skylake_server"), "Ice Lake-SP": (INTEL, 6, 106, 1280 * KB, "ice_lake"),
    "Rocket Lake": (INTEL, 6, 167, 512 * KB, "ice_lake_client"), "a Xeon called 167": (INTEL, 6, 167, 2 * MB, "sapphire_rapids"),
    "Tiger Lake": (INTEL, 6, 140, 1280 * KB, "ice_lake_client"), "Sapphire Rapids": (INTEL, 6, 143, "sapphire_rapids"),
    "Granite Rapids": (INTEL, 6, 173, "sapphire_rapids"), "Alder Lake": (INTEL, 6, 151, "alder_lake"),
    "Raptor Lake": (INTEL, 6, 183, "alder_lake"), "Zen": (AMD, 23, 1, "zen1"), "Zen+": (AMD, 23, 8, "zen1"),
    "Hygon": ("HygonGenuine", 24, 0, "zen1"), "Rome": (AMD, 23, 49, "zen2"), "Renoir": (AMD, 23, 96, "zen2"), "Milan": (AMD, 25, 1, "zen3"),
    "Cezanne": (AMD, 25, 80, "zen3"), "Genoa": (AMD, 25, 17, "zen4"), "Raphael": (AMD, 25, 97, "zen4"), "Bergamo": (AMD, 25, 160, "zen4"),
    "Turin": (AMD, 26, 2, "zen5"), "Granite Ridge": (AMD, 26, 68, "zen5"), "Strix Point": (AMD, 26, 36, "zen5_mobile"),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processor_has_the_row_of_its_family(name: str) -> None:
    *numbers, row = PROCESSORS[name]
    assert row_of(processor(*numbers)) == row


def test_every_row_belongs_to_a_processor_and_is_called_by_its_key() -> None:
    assert {family.row for family in FAMILIES} == ROWS.keys() == {row for *_, row in PROCESSORS.values()}
    assert all(row.name == key for key, row in ROWS.items())
    assert len({replace(row, name="") for row in ROWS.values()}) == len(ROWS)


@pytest.mark.parametrize("vendor, features, row", [
    (INTEL, ("avx2", "avx512f"), "ice_lake"), (INTEL, ("avx2",), "haswell"), (AMD, ("avx2", "avx512f"), "zen5"),
    (AMD, ("avx2",), "zen3"), ("CentaurHauls", ("avx2",), "haswell"), ("unknown", (), "haswell")])
def test_an_unknown_family_has_a_row_by_its_features(vendor: str, features: tuple[str, ...], row: str) -> None:
    assert row_of(processor(vendor, 99, 1, features=features)) == row


def test_caches_are_those_of_the_processor_where_it_says_them() -> None:
    milan = processor(AMD, 25, 1)
    assert machine_of(milan) == ROWS["zen3"]
    assert machine_of({**milan, "l2_bytes": 256 * KB}) == replace(ROWS["zen3"], l2_bytes=256 * KB)


def test_this_machine_is_its_processors_row_by_default() -> None:
    code = "import fastcnn; from fastcnn.machine.current import current; print(current().name, fastcnn.cpu_info()['machine']['l2_bytes'])"
    name, l2_bytes = in_child(code).stdout.split()
    assert name == row_of(_native.cpu()) and int(l2_bytes) == machine_of(_native.cpu()).l2_bytes


SHAPES = [
    ConvShape(1, 1, 256, 256, 3, 3, 1, 1, 1, 1, 1, 1, 14, 14, 14, 14), ConvShape(1, 1, 512, 512, 3, 3, 1, 1, 1, 1, 1, 1, 7, 7, 7, 7),
    ConvShape(1, 1, 64, 256, 1, 1, 1, 1, 1, 1, 0, 0, 56, 56, 56, 56), ConvShape(1, 1, 64, 64, 3, 3, 1, 1, 1, 1, 1, 1, 224, 224, 224, 224),
]


def picks() -> list[Choice]:
    return [choose(Problem(shape, own_places(shape), threads)) for shape in SHAPES for threads in (1, 2)]


def test_the_same_numbers_give_the_same_plan_and_others_another(isa: str) -> None:
    """Also when they were asked for before, between others and under another name."""
    with using(ROWS["sapphire_rapids"]):
        first = picks()
    with using(replace(ROWS["haswell"], memory=40.0)):
        other = picks()
    with using(replace(ROWS["sapphire_rapids"], name="called otherwise")):
        again = picks()
    assert first == again and first != other


def test_choices_that_are_kept_are_kept_for_their_machine(isa: str) -> None:
    slow_loads = replace(ROWS["sapphire_rapids"], **{name: replace(ROWS["sapphire_rapids"].wide, load=9.0, fmas=64.0, chains=0.1)
                                                      for name in ("wide", "narrow")})
    widths = []
    for machine in (ROWS["sapphire_rapids"], slow_loads, ROWS["sapphire_rapids"]):
        with using(machine):
            widths.append([best_nv(64, ow, 100) for ow in range(1, 60)])
    assert widths[0] == widths[2] != widths[1]


def test_using_ends_with_the_block_even_by_an_error() -> None:
    before = current()
    with pytest.raises(KeyError), using(ROWS["zen2"]):
        assert current() == ROWS["zen2"]
        raise KeyError
    assert current() is before


def test_a_file_holds_all_numbers(tmp_path: Path) -> None:
    for row in ROWS.values():
        (tmp_path / "row.json").write_text(row.to_json())
        assert named(str(tmp_path / "row.json")) == row and hash(from_json(row.to_json(), "")) == hash(row)


def changed(**numbers: Any) -> str:
    return json.dumps({**asdict(ROWS["zen4"]), **numbers})


@pytest.mark.parametrize("text, message", [
    ("{", "no JSON"), ("[1]", "expected an object"), ("{}", "missing or unknown"), (changed(turbo=1.0), "turbo"),
    (changed(memory=0), "memory=0"), (changed(memory=-1.5), "memory=-1.5"), (changed(l2_bytes="many"), "l2_bytes='many'"),
    (changed(tile=True), "tile=True"), (changed(tile=float("inf")), "tile=inf"), (changed(line=float("nan")), "line=nan"),
    (changed(wide=2.0), "wide=2.0"), (changed(wide={"fmas": 1.0}), "file, wide"), (changed(l2_bytes=1.5), "l2_bytes=1.5"),
    (changed(narrow={**asdict(ROWS["zen4"].wide), "load": None}), "load=None"), (changed(name=7), "name=7"),
], ids=lambda text: text if len(text) < 30 else "")
def test_a_file_with_other_numbers_is_refused(text: str, message: str) -> None:
    with pytest.raises(fastcnn.ConfigurationError, match=message):
        from_json(text, "file")


def test_measured_numbers_lie_beside_the_answers_of_tuning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FASTCNN_CACHE", str(tmp_path))
    assert measured_file().parent == tmp_path and fastcnn.cpu_info()["measured"] is None
    with pytest.raises(fastcnn.ConfigurationError, match="'measured'"):
        named("measured")
    measured_file().write_text(ROWS["zen2"].to_json())
    assert named("measured") == ROWS["zen2"] and fastcnn.cpu_info()["measured"]["name"] == "zen2"
    measured_file().write_text("{")
    assert fastcnn.cpu_info()["measured"] is None


def in_child(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process that runs `code` from the tree, with more environment variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FASTCNN_")}
    return subprocess.run([sys.executable, "-c", code, *arguments],
                          env={**clean, "PYTHONPATH": str(Path(fastcnn.__file__).parent.parent), **environment},
                          capture_output=True, text=True, timeout=60)


def test_environment_machine_names_a_row_or_a_file(tmp_path: Path) -> None:
    code = "import fastcnn; m = fastcnn.cpu_info()['machine']; print(m['name'], m['l2_bytes'])"
    assert in_child(code, FASTCNN_MACHINE="zen4").stdout.split() == ["zen4", str(MB)]
    (tmp_path / "tiny.json").write_text(replace(ROWS["haswell"], name="tiny", l2_bytes=1000).to_json())
    assert in_child(code, FASTCNN_MACHINE=str(tmp_path / "tiny.json")).stdout.split() == ["tiny", "1000"]


def test_environment_machine_unknown_is_refused_at_import() -> None:
    result = in_child("import fastcnn", FASTCNN_MACHINE="abacus")
    assert result.returncode
    assert all(part in result.stderr for part in ("ConfigurationError", "FASTCNN_MACHINE='abacus'", "zen4", "measured"))


def slower(machine: Machine) -> Machine:
    """What a measurement on a machine with half the memory bandwidth would give."""
    return replace(machine, name="measured, slower", memory=machine.memory / 3)


def test_command_shows_measures_and_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FASTCNN_CACHE", str(tmp_path / "folder"))
    monkeypatch.setattr(command, "measured", slower)
    own = machine_of(_native.cpu())
    assert command.main([]) == 0 and own.name in capsys.readouterr().out and not measured_file().exists()
    assert command.main(["--measure"]) == 0
    assert "FASTCNN_MACHINE=measured" in capsys.readouterr().out and named("measured") == slower(own)


@pytest.mark.parametrize("within, status", [(2.0, 1), (4.0, 0)])
def test_command_checks_the_machine_against_its_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], within: float,
                                                    status: int) -> None:
    monkeypatch.setattr(command, "measured", slower)
    assert command.main(["--check", "--within", str(within)]) == status
    printed = capsys.readouterr().out
    assert ("memory" in printed.splitlines()[-1]) == (printed.count("<--") == 1) == bool(status)


def test_measuring_gives_numbers_that_plans_can_be_made_with(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock says: it runs, leaves the instruction set, replaces what it measures and nothing else."""
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    monkeypatch.setattr(measure, "LARGEST", 1 << 22)
    row = ROWS["zen4"]
    found = measure.measured(row)
    assert _native.current_isa() == isa and from_json(found.to_json(), "") == found
    timed = ("name", "wide", "narrow", "tile", "memory")
    assert replace(found, **{name: getattr(row, name) for name in timed}) == row
    assert (found.wide == row.wide) == ("avx512" not in _native.isas())
    for core, known in ((found.wide, row.wide), (found.narrow, row.narrow)):
        assert all(getattr(core, name) == getattr(known, name) for name in ("products", "chains", "panel"))
    with using(found):
        assert picks()


class MadeUpCore:
    """A core of another clock in every call, whose runs are disturbed now and then; it stands for the modules time and _native."""

    def __init__(self, hertz: Sequence[float], disturbed: Sequence[float] = (0.0,)):
        self.now, self.calls, self.hertz, self.disturbed = 0.0, 0, hertz, disturbed

    def perf_counter(self) -> float:
        return self.now

    def spend(self, cycles: float) -> None:
        self.now += cycles / self.hertz[self.calls % len(self.hertz)] + self.disturbed[self.calls % len(self.disturbed)]
        self.calls += 1

    def multiply_chain(self, count: int) -> None:
        self.spend(3 * count)

    def run(self, cycles: float) -> Callable[[], None]:
        return lambda: self.spend(cycles)


@pytest.mark.parametrize("hertz, disturbed", [
    ([3e9], [0.0]), ([3e9] * 200 + [2e9] * 10_000, [0.0]), ([2e9] * 200 + [3e9] * 10_000, [0.0]), ([3e9], [0.0, 1e-4, 0.0, 0.0, 3e-3]),
    ([2e9, 2e9, 2e9, 3e9, 3e9, 3e9, 3e9], [0.0]), ([2.5e9] * 50 + [3e9] * 50, [1e-3, 0.0])],
    ids=["steady", "slower", "faster", "disturbed", "every other", "both"])
def test_cycles_are_those_of_the_work_whatever_the_clock_does(monkeypatch: pytest.MonkeyPatch, hertz: list[float],
                                                              disturbed: list[float]) -> None:
    core = MadeUpCore(hertz, disturbed)
    monkeypatch.setattr(clock, "time", core)
    monkeypatch.setattr(clock, "_native", core)
    assert clock.cycles_in_turn([core.run(40_000), core.run(90_000)], 0.02) == pytest.approx([40_000, 90_000])


def test_a_core_is_not_measured_faster_than_its_vector_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """The long row took its turn while the clock was up, so a step of k seems to take half its time."""
    monkeypatch.setattr(measure, "cycles", lambda *runs, seconds=0.0: [200 * 32.0 * 6, 200 * 64.0 * 6] * (len(runs) // 2))
    monkeypatch.setattr(measure, "_convolutions", lambda core, vector: {})
    assert measure._core(ROWS["zen3"], 8).fmas == measure.MOST_FMAS == 2.0


def test_multiplications_follow_each_other() -> None:
    for count in (0, 1, 7, 1000):
        assert _native.multiply_chain(count) == 3 * pow(5, count, 2 ** 32) % 2 ** 32


def test_every_number_is_said_what_it_is(plan_for: Callable[..., Machine]) -> None:
    for kind in (Core, Machine):
        assert all(field.name in (kind.__doc__ or "") for field in fields(kind))
