"""What a piece of code names is the same on each Python, whatever instructions it is compiled to."""

import dis
import sys
from collections.abc import Callable
from typing import Any

import pytest

import tapegrad as tg
from tapegrad.compiler.watch.code import instructions, part_of


def stores(a: Any, b: Any) -> Any:
    a[0] = b
    c = d = b
    return c, d, a


def changes(a: Any) -> None:
    LIST[0] = a


LIST: list[Any] = [None]
IDENTITY: dict[str, tuple[Callable[..., Any], bool]] = {
    "with a number": (lambda x: x == 3, False),
    "with a large number": (lambda x: x == 3_000_000, False),
    "with a text": (lambda x: x == "a", False),
    "in order": (lambda x, y: x < y, False),
    "any": (lambda x: any(v > 1 for v in x), False),
    "of two": (lambda x, y: x == y, True),
    "is": (lambda x, y: x is y, True),
}


def test_an_instruction_loads_or_stores_one_local_variable() -> None:
    names = {i.opname for i in instructions(stores.__code__) if "_FAST" in i.opname}
    assert names == {"LOAD_FAST", "STORE_FAST"}
    order = [i.argval for i in instructions(stores.__code__) if i.opname in names]
    assert order == ["b", "a", "b", "c", "d", "c", "d", "a"]
    assert {i.opcode for i in instructions(stores.__code__)} >= {dis.opmap[name] for name in names}


def test_what_is_changed_is_named() -> None:
    assert part_of(stores.__code__).changes == "" and part_of(changes.__code__).changes == "LIST"


@pytest.mark.parametrize("case", IDENTITY)
def test_by_identity(case: str) -> None:
    function, expected = IDENTITY[case]
    assert part_of(function.__code__).by_identity is expected


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated where they stand")
def test_annotations_may_name_what_is_not_there() -> None:
    scope: dict[str, Any] = {"tg": tg}
    exec(
        "def g(x: Later) -> Later: return x * 2.0\n"
        "class Layer(tg.nn.Module):\n"
        "    def __init__(self, size: Later): self.size = size\n"
        "    def forward(self, x: Later) -> Later: return x * self.size\n"
        "layer = Layer(3.0)\n"
        "def f(x: Later) -> Later: return layer(g(x))\n",
        scope,
    )
    f = tg.jit(scope["f"], strict=True)
    assert [f(tg.ones(1)).item() for _ in range(3)] == [6.0] * 3 and f.stats()["compiled"]
