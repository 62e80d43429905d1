"""Attributes that are set on a compiled function or on a tensor: they act, or say where to set them."""

from collections.abc import Callable
from typing import Any

import pytest

import tapegrad as tg


def scaled(x: Any, k: float = 2.0, *, q: float = 1.0) -> Any:
    return x * k * q


OF_FUNCTION: dict[str, Any] = {
    "__defaults__": (5.0,),
    "__kwdefaults__": {"q": 3.0},
    "__code__": (lambda x, k=2.0, *, q=1.0: x - k * q).__code__,
}


@pytest.mark.parametrize("name", OF_FUNCTION)
def test_what_changes_a_function_is_set_on_that_function(name: str) -> None:
    step, x = tg.jit(scaled, emitter="numpy"), tg.ones(3)
    for _ in range(4):
        step(x)
    before = getattr(scaled, name)
    with pytest.raises(AttributeError, match=rf"as in scaled.__wrapped__.{name} = …"):
        setattr(step, name, OF_FUNCTION[name])
    assert not hasattr(step, name)
    try:
        setattr(step.__wrapped__, name, OF_FUNCTION[name])
        for _ in range(4):
            assert step(x).tolist() == scaled(x).tolist() != [2.0, 2.0, 2.0]
        assert step.stats()["compiled"] == 4
    finally:
        setattr(scaled, name, before)


def test_another_emitter_writes_the_next_programs() -> None:
    step, x = tg.jit(scaled, emitter="numpy"), tg.ones(3)
    for emitter in ("numpy", "auto", "numpy"):
        step.emitter = emitter
        for _ in range(4):
            assert step(x).tolist() == [2.0, 2.0, 2.0]
        assert step.stats()["programs"] == ["numpy"] and f"emitter {emitter!r}" in repr(step)
    assert (step.stats()["compiled"], step.stats()["recordings"]) == (6, 3)
    with pytest.raises(ValueError, match="emitter must be one of"):
        step.emitter = "numba"
    assert step.emitter == "numpy"


def test_a_function_that_runs_as_python_raises_once_it_is_strict() -> None:
    step = tg.jit(lambda x: x * float(x.sum()), emitter="numpy")
    with pytest.warns(tg.JitWarning):
        step(tg.ones(2))
    step.strict = True
    with pytest.raises(tg.TraceError, match=r"float\(\)"):
        step(tg.ones(2))
    with pytest.raises(TypeError, match="strict"):
        step.strict = "yes"  # type: ignore[assignment]


KINDS: dict[str, tuple[Callable[[Any], Any], type]] = {
    "a Buffer": (tg.nn.Buffer, tg.nn.Parameter),
    "a Parameter": (tg.nn.Parameter, tg.nn.Buffer),
    "a Tensor": (tg.tensor, tg.nn.Parameter),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_tensor_stays_of_its_class(name: str) -> None:
    make, other = KINDS[name]
    t = make(tg.ones(2))
    with pytest.raises(TypeError, match=rf"make another tensor, as in {other.__name__}\(t\)"):
        t.__class__ = other
    assert type(t) is t.__class__ is not other and isinstance(t, tg.Tensor)
