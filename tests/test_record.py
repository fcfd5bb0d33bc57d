"""fastcnn.ir.record.dataclass against the standard library's."""
from __future__ import annotations

import dataclasses
import inspect
import pickle
import threading
from dataclasses import FrozenInstanceError, field

import pytest

from fastcnn.ir import record

BOTH = [dataclasses.dataclass, record.dataclass]


@pytest.fixture(autouse=True, params=["native", "compiled"])
def maker(request, monkeypatch):
    """Classes with an __init__ of the native module, and with one that is compiled where there is none."""
    if request.param == "compiled":
        monkeypatch.setattr(record, "_makers", [])


def classes(dataclass):
    """Frozen with every kind of field, one that inherits from it, one that may be written to."""
    @dataclass(frozen=True)
    class Base:
        """A base."""

        a: int
        b: tuple[int, ...] = (1, 2)
        c: list[int] = field(default_factory=list)
        hidden: int = field(default=7, repr=False, compare=False)
        later: int = field(default=3, init=False)
        named: str = field(default="n", kw_only=True)

        def __post_init__(self) -> None:
            self.__dict__["b"] = tuple(self.b)

    @dataclass(frozen=True)
    class Derived(Base):
        """More."""

        d: float = 0.5

    @dataclass
    class Open:
        """One field."""

        value: object

    return Base, Derived, Open


@pytest.mark.parametrize("arguments, named", [((1,), {}), ((1, [2, 3], [4]), {"named": "x"}), ((), {"a": 5, "hidden": 8})])
def test_record_is_what_dataclasses_makes(arguments, named):
    theirs, ours = ([kind(*arguments, **named) for kind in classes(dataclass)[:2]] for dataclass in BOTH)
    for one, other in zip(theirs, ours):
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
        assert repr(one).split(">.")[1] == repr(other).split(">.")[1]
        assert dataclasses.replace(one, a=9).a == dataclasses.replace(other, a=9).a == 9
        assert [f.name for f in dataclasses.fields(one)] == [f.name for f in dataclasses.fields(other)]


def test_record_compares_and_hashes_by_the_fields_that_count():
    base, derived, opened = classes(record.dataclass)
    assert base(1, c=()) == base(1, (1, 2), (), 99) != base(2, c=())
    assert hash(base(1, c=())) == hash(base(1, c=(), hidden=0))
    assert base(1) != derived(1)
    assert opened(1) == opened(1) != opened(2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(opened(1))


@pytest.mark.parametrize("dataclass", BOTH)
def test_record_refuses_what_dataclasses_refuses(dataclass):
    base, _, opened = classes(dataclass)
    one = base(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'a'"):
        one.a = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'a'"):
        del one.a
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        base()
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        base(1, e=1)
    made = opened(1)
    made.value = 2
    assert made.value == 2


def test_record_defaults_are_made_for_each_instance():
    base, *_ = classes(record.dataclass)
    assert base(1).c is not base(1).c


def test_record_keeps_methods_of_the_class():
    @record.dataclass(frozen=True)
    class Own:
        """With a hash and a text of its own."""

        a: int

        def __hash__(self) -> int:
            return 5

        def __repr__(self) -> str:
            return "own"

    assert hash(Own(1)) == 5
    assert repr(Own(1)) == "own"


def test_record_first_instances_of_several_threads():
    base, *_ = classes(record.dataclass)
    made, barrier = [], threading.Barrier(8)

    def make():
        barrier.wait()
        made.append(base(1, (2,)))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and all(one == base(1, (2,)) for one in made)


def test_record_without_fields_and_with_identity():
    @record.dataclass(frozen=True)
    class Empty:
        """Nothing."""

    @record.dataclass(frozen=True, eq=False)
    class Identity:
        """Equal to itself alone."""

        a: int

    assert Empty() == Empty() and repr(Empty()).endswith("Empty()")
    assert Identity(1) != Identity(1)


def test_record_pickles_and_tells_its_parameters():
    from fastcnn.ir.spec import F32, Spec
    spec = Spec(F32, (1, 2))
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert list(inspect.signature(Spec).parameters) == ["dtype", "shape"]


def test_record_of_another_class_inside_has_its_own_parameters():
    _, derived, _ = classes(record.dataclass)

    class Own(derived):
        """Not made by the decorator."""

        def __init__(self, x: int) -> None:
            super().__init__(x)

    assert list(inspect.signature(Own).parameters) == ["x"]
    assert list(inspect.signature(derived).parameters) == ["a", "b", "c", "hidden", "d", "named"]
    assert Own(3).a == 3


def test_record_changed_has_the_named_attributes_only():
    base, *_ = classes(record.dataclass)
    one = base(1, named="x")
    object.__setattr__(one, "seen", 5)
    other = record.changed(one, ("a", "b", "named"), {"a": 2})
    assert vars(other) == {"a": 2, "b": (1, 2), "named": "x"} and type(other) is base


def test_record_positional_and_named_arguments_that_do_not_fit():
    base, derived, _ = classes(record.dataclass)
    for wrong, named in (((1, 2), {"a": 3}), ((1, (2,), [], 7, "x"), {}), ((1,), {"later": 4}), ((1, 2, 3, 4, 5, 6), {})):
        with pytest.raises(TypeError):
            base(*wrong, **named)
    assert derived(1, d=2.0).d == 2.0 and derived(1).later == 3


def test_record_replace_is_that_of_dataclasses():
    base, derived, opened = classes(record.dataclass)
    cases = (derived(1, [3], d=2.0), {"b": [4, 5], "d": 3.0}), (opened(1), {"value": 2}), (base(1, named="x"), {"named": "y"})
    for one, changes in cases:
        object.__setattr__(one, "seen", 5)          # what is remembered of an instance does not belong to another
        ours, theirs = record.replace(one, **changes), dataclasses.replace(one, **changes)
        assert vars(ours) == vars(theirs) and type(ours) is type(theirs)
    for wrong in ({"nothing": 1}, {"later": 1}):
        with pytest.raises((TypeError, ValueError)):
            record.replace(base(1), **wrong)
    from fastcnn.convolve.shape import ConvShape
    shape = ConvShape(1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 0, 0, 8, 8, 4, 4)
    assert record.replace(shape, kh=1, oh=8).dh == 1
