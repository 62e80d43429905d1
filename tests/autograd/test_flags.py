"""Scopes (no_grad and its relatives): as blocks, and as decorators of functions of every kind."""

import asyncio
import inspect
from typing import Any

import pytest

import tapegrad as tg
from tapegrad.autograd.flags import current
from tapegrad.backends import default_place

# name, the scope without and with parentheses (None: it takes an argument), whether it holds here
SCOPES: dict[str, tuple[Any, Any, Any]] = {
    "no_grad": (tg.no_grad, tg.no_grad, lambda: not current.get().grad),
    "enable_grad": (tg.enable_grad, tg.enable_grad, lambda: current.get().grad),
    "detect_anomaly": (tg.detect_anomaly, tg.detect_anomaly, lambda: current.get().anomaly),
    "keep_lines": (tg.keep_lines, tg.keep_lines, lambda: current.get().recorder is not None),
    "use_backend": (None, lambda: tg.use_backend("cpu"), lambda: default_place() == "cpu"),
}
DECORATORS = [(name, bare if bare else scope(), holds) for name, (bare, scope, holds) in SCOPES.items()] + [
    (name, scope(), holds) for name, (_, scope, holds) in SCOPES.items()
]


@pytest.fixture(autouse=True)
def outside(request: pytest.FixtureRequest) -> Any:
    """enable_grad is told from nothing under no_grad alone."""
    if "enable_grad" in request.node.name:
        with tg.no_grad():
            yield
    else:
        yield


def test_every_public_scope_has_a_row() -> None:
    def is_scope(value: Any) -> bool:
        try:
            made = value("cpu") if inspect.isclass(value) else value()
        except Exception:
            return False
        return hasattr(made, "__enter__")

    public = {n for n in vars(tg) if n in ("use_backend",) or is_scope(getattr(tg, n))}
    assert public == set(SCOPES)


@pytest.mark.parametrize(("name", "decorate", "holds"), DECORATORS, ids=[d[0] for d in DECORATORS])
def test_decorates_functions_of_every_kind(name: str, decorate: Any, holds: Any) -> None:
    @decorate
    def function(a: int, *, b: int) -> tuple[int, bool]:
        return a + b, holds()

    assert function(1, b=2) == (3, True) and function.__name__ == "function" and not holds()

    @decorate
    def generator(n: int) -> Any:
        got = []
        for _ in range(n):
            got.append((yield holds()))
        try:
            yield got
        except KeyError as error:
            yield type(error), holds()
        finally:
            closed.append(holds())
        return "end"

    closed: list[bool] = []
    steps = generator(2)
    assert inspect.isgenerator(steps) and not holds()
    assert next(steps) is True and not holds()
    assert steps.send("sent") is True and not holds()
    assert next(steps) == ["sent", None]
    assert steps.throw(KeyError("k")) == (KeyError, True) and not holds()
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "end" and closed == [True] and not holds()
    half = generator(2)
    next(half)
    half.close()
    with pytest.raises(TypeError):
        generator()  # at the call, as of any function

    class Class:
        @decorate
        def method(self) -> bool:
            return holds()

        @staticmethod
        @decorate
        def static() -> bool:
            return holds()

        @property
        @decorate
        def attribute(self) -> bool:
            return holds()

    assert Class().method() and Class.static() and Class().attribute

    @decorate
    async def coroutine() -> bool:
        await asyncio.sleep(0)
        return holds()

    async def both() -> list[Any]:
        return await asyncio.gather(coroutine(), sees())

    async def sees() -> bool:
        return holds()

    assert inspect.iscoroutinefunction(coroutine) and asyncio.run(both()) == [True, False]


@pytest.mark.parametrize("decorate", [d[1] for d in DECORATORS], ids=[d[0] for d in DECORATORS])
def test_refuses_what_it_cannot_decorate(decorate: Any) -> None:
    async def steps() -> Any:
        yield 1

    for wrong in (type("C", (), {}), staticmethod(len), classmethod(len), property(len), steps):
        with pytest.raises(TypeError):
            decorate(wrong)


@pytest.mark.parametrize("name", ["no_grad", "enable_grad", "detect_anomaly"])
def test_what_is_no_function_is_told_the_two_forms(name: str) -> None:
    with pytest.raises(TypeError, match=rf"with tg.{name}\(\):.*@tg.{name}\(\)"):
        getattr(tg, name)(True)


def test_a_generator_under_no_grad_makes_no_graph_and_takes_none_away() -> None:
    x = tg.tensor([1.0], requires_grad=True)

    @tg.no_grad
    def halves() -> Any:
        yield (x * 0.5).requires_grad

    for inside in halves():
        assert inside is False and (x * 2).requires_grad
