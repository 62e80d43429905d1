"""What is read with its axes exchanged and reshaped lies in memory in the order of these axes, and is not copied."""

import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from pass_text import parsed
from tapegrad.compiler.passes.layouts import lay_out

START = "x: float32[2, 3, 4]\nw: float32[2, 4, 5]\na = matmul(x, w)\n"
CASES: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "a product": (
        "t = permute_dims(a, axes=(1, 0, 2))\nr = reshape(t, shape=(3, 10))\nb = exp(r)\nreturn b",
        {"a": (1, 0, 2)},
    ),
    "twice in one order": (
        """t = permute_dims(a, axes=(0, 2, 1))\nr = reshape(t, shape=(30,))\nb = exp(r)
        u = permute_dims(a, axes=(0, 2, 1))\ns = reshape(u, shape=(10, 3))\nc = exp(s)\nreturn b, c""",
        {"a": (0, 2, 1)},
    ),
    "what is worked out of it": (
        "m = multiply(a, 2.0)\nt = permute_dims(m, axes=(1, 0, 2))\nr = reshape(t, shape=(30,))\nb = exp(r)\nreturn b",
        {"a": (1, 0, 2), "m": (1, 0, 2)},
    ),
    "in two orders": (
        """t = permute_dims(a, axes=(0, 2, 1))\nr = reshape(t, shape=(30,))\nb = exp(r)
        u = permute_dims(a, axes=(1, 0, 2))\ns = reshape(u, shape=(30,))\nc = exp(s)\nreturn b, c""",
        {},
    ),
    "also as it is": (
        "t = permute_dims(a, axes=(1, 0, 2))\nr = reshape(t, shape=(30,))\nb = exp(r)\nc = sum(a, axis=1)\nreturn b, c",
        {},
    ),
    "not reshaped": ("t = permute_dims(a, axes=(0, 2, 1))\nb = matmul(t, x)\nreturn b", {}),
    "returned": ("t = permute_dims(a, axes=(1, 0, 2))\nr = reshape(t, shape=(30,))\nb = exp(r)\nreturn a, b", {}),
    "its view returned": (
        "t = permute_dims(a, axes=(1, 0, 2))\nr = reshape(t, shape=(30,))\nb = exp(r)\nreturn t, b", {},
    ),
    "made larger": (
        """v: float32[6, 2, 3, 5]\nm = multiply(v, a)\nt = permute_dims(m, axes=(1, 0, 2, 3))
        r = reshape(t, shape=(180,))\nb = exp(r)\nreturn b""",
        {"m": (1, 0, 2, 3)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layouts(name: str) -> None:
    text, wanted = CASES[name]
    before = parsed(START + text)
    after = lay_out(before)
    assert {op.out.name: op.out.laid_out for op in after.ops if op.out.laid_out} == wanted
    assert not any(op.out.laid_out for op in before.ops)  # the list before is as it was
    assert all(
        (f"{list(op.out.shape)} as {op.out.laid_out}" in str(after)) for op in after.ops if op.out.laid_out
    )
    made = {op.out for op in after.ops}
    assert all(v in made or v.kind != "made" for op in after.ops for v in op.vars)


def attention(x: Any, w: Any) -> Any:
    q, k, v = ((x @ part).reshape((2, 6, 2, 4)).permute_dims((0, 2, 1, 3)) for part in w)
    scores = tg.softmax(q @ k.mT * 0.5, axis=-1)
    return (scores @ v).permute_dims((0, 2, 1, 3)).reshape((2, 6, 8))


def test_the_heads_of_attention_are_not_copied() -> None:
    pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    rng = np.random.default_rng(0)
    w = [tg.nn.Parameter(rng.normal(size=(8, 8))) for _ in range(3)]
    x = tg.tensor(rng.normal(size=(2, 6, 8)))

    def step(x: Any) -> Any:
        for each in w:
            each.grad = None
        loss = (attention(x, w) ** 2).sum()
        loss.backward()
        return loss

    want = [step(x).numpy(), *(each.grad.numpy() for each in w)]
    compiled = tg.jit(step, emitter="native", strict=True)
    for _ in range(3):
        got = [compiled(x).numpy(), *(each.grad.numpy() for each in w)]
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert compiled.stats()["programs"] == ["native"]
    source = compiled.source()
    assert "_memory.transpose(" in source
    assert not re.search(r"_source\b", source), "a copy of what a reshape asks for"
