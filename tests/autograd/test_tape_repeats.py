"""The backward pass of many steps as text: few lines, which say what all of them are, and compute the gradients."""

import random
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.primitive import REGISTRY
from tapegrad.autograd.tapes.adjoint import Adjoint
from tapegrad.autograd.tapes.repeats import NUMBER, fold_repeats

NOTE = re.compile(r"… ([\d,]+) more steps alike, of ([\d,]+) lines? each: (.+)")


def whole(lines: list[str]) -> list[str]:
    """All the lines of a text that was shortened: each step goes on as the two before it say."""
    made: list[str] = []
    for line in lines:
        found = NOTE.fullmatch(line)
        if found is None:
            made.append(line)
            continue
        step = int(found[2].replace(",", ""))
        for _ in range(int(found[1].replace(",", "")) * step):
            made.append(gone_on(made[-2 * step], made[-step]))
    return made


def gone_on(earlier: str, line: str) -> str:
    before = iter(NUMBER.finditer(earlier))

    def by_as_much(now: re.Match[str]) -> str:
        then = next(before)
        return ("t" if now[1] else "") + str(2 * int(now[1] or now[2]) - int(then[1] or then[2]))

    return NUMBER.sub(by_as_much, line)


# f(c, x, w) of a scan: what it carries on, and what it gives
Step = Callable[[Any, tg.Tensor, tg.Tensor], tuple[Any, Any]]
STEPS: dict[str, Step] = {
    "one carry": lambda c, x, w: (tg.tanh(c @ w + x), c),
    "the carry alone": lambda c, x, w: (c * tg.sin(x @ w), None),
    "twice the same": lambda c, x, w: (c + tg.tanh(x) @ w + x, (c * x).sum()),
    "two carries": lambda c, x, w: ((tg.sigmoid(c[0] @ w) * c[1], c[0] + x), x[0] * c[1][2]),
    "a slice": lambda c, x, w: (tg.tanh(c[1:] @ w[:2] + x), c[0] * x[2]),
}
WAYS = {"forward": {}, "backward": {"reverse": True}}


def total(step: Step, w: tg.Tensor, c: tg.Tensor, xs: tg.Tensor, **options: Any) -> tg.Tensor:
    first = (c, c * 0.5) if step is STEPS["two carries"] else c
    return sum(t.sum() for t in tg.tree.flatten(tg.scan(lambda c, x: step(c, x, w), first, xs, **options))[0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STEPS)
def test_the_text_of_many_steps_computes_the_gradients(name: str, way: str) -> None:
    rng = np.random.default_rng(0)
    leaves = {
        name: tg.tensor(rng.normal(size=shape) * 0.3, requires_grad=True)
        for name, shape in (("w", (3, 3)), ("c", (3,)), ("xs", (40, 3)))
    }
    y = total(STEPS[name], *leaves.values(), **WAYS[way])
    tape = tg.tape(y, leaves)
    adjoint = Adjoint(tape)
    values: dict[str, Any] = {**REGISTRY, "sum": tg.sum, "ones": tg.ones_like(y)}
    values |= {name: t.detach() for t, name in tape.leaves.items()}
    for node, called in tape.calls.items():
        out = node.out if isinstance(node.out, tuple) else (node.out,)
        values[called] = [tg.tensor(a) for a in out] if len(out) > 1 else tg.tensor(out[0])
    short = [line for node in reversed(tape.nodes) for line in fold_repeats(adjoint.lines[node])]
    assert len(short) < 250 < len(whole(short)) and sum("more steps alike" in line for line in short) == 1
    text = str(tape)
    assert all(f"| {line}" in text for line in short)
    for line in [f"{tape.cotangent(y)} = ones", *whole(short)]:
        target, sign, call = re.fullmatch(r"(\S+) (\+?=) (.*)", line).groups()  # type: ignore[union-attr]
        result = eval(
            re.sub(r"\b(d\w+\[\d+\])", lambda m: f"values[{m[1]!r}]", call), {"values": values}, values
        )
        values[target] = result if sign == "=" else values[target] + result
    y.backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        np.testing.assert_allclose(values["d" + name].numpy(), leaf.grad.numpy(), rtol=1e-12)


def test_a_page_shows_the_same_lines() -> None:
    w, c, xs = (tg.full(shape, 0.1, requires_grad=True) for shape in ((3, 3), (3,), (500, 3)))
    page = tg.tape(total(STEPS["one carry"], w, c, xs), {"w": w}).html()
    assert page.count("more steps alike") == 2 and len(page) < 60_000


def random_lines(choose: random.Random) -> list[str]:
    """Lines with one or two repetitions between others, in which some numbers go on and some do not, with faults."""
    numbers = count(choose.randint(1, 300))
    new = lambda: f"t{next(numbers)}"
    lines = [f"{new()} = zeros_like(v{i})" for i in range(choose.randint(0, 30))]
    for _ in range(choose.randint(1, 2)):
        body = [choose.choice(["add", "sin", "getitem", "matmul"]) for _ in range(choose.randint(1, 9))]
        last, by = "dv1", choose.choice([1, -1, 3, 0])
        for i in range(choose.randint(0, 80)):
            for called in body:
                index = f"index=({500 + by * i}, Ellipsis)" if called == "getitem" else "1e-05"
                if body == ["add"]:
                    lines.append("dw += t1")
                    continue
                name = new()
                lines.append(f"{name} = {called}({last}, w, {index})")
                last = name
        lines += [f"d{c} += {last}" for c in "abc"[: choose.randint(0, 3)]]
    for _ in range(choose.choice([0, 0, 1, 3])):
        i = choose.randrange(len(lines) + 1)
        lines.insert(i, f"{new()} = fault(t{choose.randint(1, 99)})")
    return lines


@pytest.mark.parametrize("start", range(0, 1000, 250))
def test_nothing_is_lost(start: int) -> None:
    def each() -> Iterator[int]:
        for seed in range(start, start + 250):
            lines = random_lines(random.Random(seed))
            short = fold_repeats(lines)
            assert whole(short) == lines, seed
            yield len(lines) - len(short)

    assert sum(saved > 50 for saved in each()) > 60
