"""Repeated lines of a program become loops: the same calls on the same arrays in the same order, to the bit."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import flat
from tapegrad.compiler.emit import folding
from tapegrad.compiler.emit.folding import Body, Folding, Line
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Origin, Var

F = tg.nn.functional


class Cell(tg.nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.x = tg.nn.Dense(units, in_features=units)
        self.h = tg.nn.Dense(units, in_features=units)

    def forward(self, x: Any, h: Any) -> Any:
        return tg.tanh(self.x(x) + self.h(h))


class Recurrent(tg.nn.Module):
    """Cells one above the other, over time; the first states are zeros, or given."""

    def __init__(self, layers: int, units: int) -> None:
        super().__init__()
        self.cells = tg.nn.Sequential(*[Cell(units) for _ in range(layers)])
        self.out = tg.nn.Dense(1, in_features=units)

    def forward(self, steps: Any, states: Any = None) -> Any:
        states = states or [tg.zeros(steps[0].shape) for _ in self.cells]
        for x in steps:
            for k, cell in enumerate(self.cells):
                x = states[k] = cell(x, states[k])
        return self.out(x)


def training(model: Any, call: Callable[..., Any]) -> tuple[Any, Callable[[], Any]]:
    opt = tg.optim.Adam(model.parameters())

    def step(*xs: Any) -> Any:
        opt.zero_grad()
        loss = (call(model, *xs) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    return step, lambda: [p.detach() for p in model.parameters()]


def array(*shape: int) -> Any:
    return tg.tensor(np.random.default_rng(0).normal(size=shape).astype("float32"))


def layers(count: int, activation: Any = None, units: int = 2, dropout: float = 0.0) -> Any:
    rows = [
        [tg.nn.Dense(units, activation, in_features=units), *([tg.nn.Dropout(dropout)] * bool(dropout))]
        for _ in range(count)
    ]
    return tg.nn.Sequential(*[layer for row in rows for layer in row])


def call_model(model: Any, x: Any) -> Any:
    return model(x)


def linear_layers() -> Any:
    return *training(layers(12), call_model), [array(4, 2)]


def relu_layers() -> Any:
    """Its gradients are results of np.where, which are made anew at each call."""
    return *training(layers(12, "relu"), call_model), [array(4, 2)]


def dropout_layers() -> Any:
    return *training(layers(8, "tanh", dropout=0.3), call_model), [array(4, 2)]


def large_layers() -> Any:
    """Elementwise runs in parts, in loops of their own."""
    return *training(layers(6, "gelu", units=64), call_model), [array(4096, 64)]


def recurrent() -> Any:
    return *training(Recurrent(1, 4), lambda m, x: m(tg.unstack(x))), [array(12, 3, 4)]


def recurrent_by_index() -> Any:
    return *training(Recurrent(2, 4), lambda m, x: m([x[t] for t in range(12)])), [array(12, 3, 4)]


def recurrent_from_a_state() -> Any:
    """The first state is an argument, and each step is one."""
    xs = [array(3, 4) for _ in range(12)]
    return *training(Recurrent(2, 4), lambda m, a, b, *x: m(x, [a, b])), [array(3, 4), array(3, 4), *xs]


def assigned() -> Any:
    buffers = [tg.tensor(np.full(3, k, "float32")) for k in range(20)]

    def step(x: Any) -> Any:
        for b in buffers:
            b.assign(b + x)
        return x * 2.0

    return step, lambda: buffers, [array(3)]


def chain() -> Any:
    def step(x: Any) -> Any:
        for _ in range(60):
            x = x * 0.5 + 1.0
        return x

    return step, list, [array(3)]


def results_of_each_layer() -> Any:
    weights = [array(3, 3) * (k + 1.0) for k in range(8)]

    def step(x: Any) -> Any:
        found = []
        for w in weights:
            x = tg.tanh(x @ w)
            found.append(x)
        return found

    return step, list, [array(2, 3)]


def gradients_of_a_list() -> Any:
    def loss(params: Any, x: Any) -> Any:
        for w in params:
            x = tg.tanh(x @ w)
        return (x**2).mean()

    def step(*given: Any) -> Any:
        params, x = list(given[:-1]), given[-1]
        value, grads = tg.value_and_grad(loss)(params, x)
        return value, [w - 0.1 * g for w, g in zip(params, grads)]

    return step, list, [*(array(3, 3) * (k + 1.0) for k in range(8)), array(2, 3)]


def picked_and_stacked() -> Any:
    """Elements picked by index arrays, which are made anew at each call."""
    table = array(10, 4)

    def step(x: Any, i: Any) -> Any:
        found = []
        for _ in range(10):
            x = tg.sin(table[i] + x)
            found.append(x.sum(axis=0))
        return tg.stack(found)

    return step, list, [array(5, 4), tg.tensor(np.array([0, 3, 3, 9, 1]))]


def two_widths() -> Any:
    """A loop has two layers in each turn: its lines make arrays of one shape each."""
    widths = [2, 3] * 8
    rows = [tg.nn.Dense(after, in_features=before) for before, after in pairwise(widths)]
    return *training(tg.nn.Sequential(*rows), call_model), [array(4, 2)]


PROGRAMS = [
    linear_layers, two_widths, relu_layers, dropout_layers, large_layers, recurrent, recurrent_by_index,
    recurrent_from_a_state, assigned, chain, results_of_each_layer, gradients_of_a_list, picked_and_stacked,
]  # fmt: skip


def run(make: Callable[[], Any], fewest: int) -> tuple[list[bytes], str]:
    """What five calls return and leave, and the source."""
    tg.manual_seed(7)
    step, state, xs = make()
    compiled = tg.jit(step, emitter="numpy")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "FEWEST", fewest)
        for _ in range(5):
            found += [a.tobytes() for a in flat(compiled(*xs))]
    found += [a.tobytes() for a in flat(state())]
    assert compiled.stats()["recordings"] <= 2
    return found, compiled.source()


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_loops_give_the_bits_of_the_lines(make: Any) -> None:
    folded, source = run(make, folding.FEWEST)
    straight, long = run(make, 10**9)
    assert folded == straight
    assert re.search(r"# \d+ times: test_folding\.py:\d+: ", source) and "times:" not in long
    assert len(source.splitlines()) < len(long.splitlines())


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_as_many_loops_as_there_can_be(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "LEAST_SAVED", 1)
    assert run(make, 2)[0] == run(make, 10**9)[0]


@pytest.mark.parametrize("fewest", [folding.FEWEST, 10**9], ids=["loops", "lines"])
@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_every_emitted_line_knows_its_operations(
    make: Any, fewest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitters = []
    written = NumpyEmitter.source
    monkeypatch.setattr(NumpyEmitter, "source", lambda self: emitters.append(self) or written(self))
    texts = run(make, fewest)[1].splitlines()
    emitter = emitters[-1]
    carried_out = []
    for number, ops in emitter.operations_by_line:
        text = texts[number - 1]
        assert re.match(r" +(for .* in |\w+(\[[\w()]+\])? = |[\w.]+\()", text), text
        if (made := re.search(r"^ +(?!for | ).*  # (\w+)(\[[\d, ]*\])$", text)) is not None:
            own = [op for op in ops if op.kind not in (Kind.VIEW, Kind.WRITE, Kind.JOIN)] or ops[:1]
            assert {(made[1], made[2])} == {(str(op.out.dtype), str(list(op.out.shape))) for op in own}
        carried_out += ops
    assert {id(op) for op in carried_out} == {id(op) for op in emitter.program.ops}


# ---- random modules ----
def line(text: str) -> Line:
    return Line(
        text, [Op("op", [], {}, Var("out", (2, 2), np.dtype("float32")), Origin("here.py:1: x", "op"))]
    )


class RandomBody:
    """Lines in groups that nearly repeat: arrays go on by a step, come in turn, or are any."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.definitions = {f"buffer_{k}": "np.zeros((2, 2), 'float32')" for k in range(30)}
        self.captured = [f"w_{k}" for k in range(12)]
        self.arguments = ["x", "y"]
        self.definitions |= {f"turned_{k}": f"buffer_{int(self.rng.integers(30))}.T" for k in range(8)}
        self.definitions |= {f"w_turned_{k}": f"w_{k}.T" for k in range(12)}
        self.lines: list[Line] = []
        self.per_call: list[str] = []
        for _ in range(int(self.rng.integers(1, 5))):
            self.group(int(self.rng.integers(1, 5)), int(self.rng.integers(1, 12)))
        self.results = [f"{self.any()}.copy()" for _ in range(3)]
        self.gradients = [f"buffer_{k}" for k in range(4)]

    def any(self) -> str:
        kinds = [[*self.definitions], self.captured, self.arguments, self.per_call[-6:] or ["x"]]
        names = kinds[int(self.rng.choice(4, p=[0.5, 0.2, 0.1, 0.2]))]
        return str(self.rng.choice(names))

    def walk(self) -> Callable[[int], str]:
        """The array at each turn."""
        kind = self.rng.choice(["step", "back", "turn", "same", "any", "last"])
        names = [*self.definitions] if self.rng.random() < 0.7 else self.captured
        first, fixed = int(self.rng.integers(len(names))), self.any()
        if kind == "same":
            return lambda turn: fixed
        if kind == "turn":
            return lambda turn: names[(first + turn % 2) % len(names)]
        if kind == "last":
            return lambda turn: self.per_call[-1] if self.per_call else "x"
        if kind == "any":
            return lambda turn: self.any()
        return lambda turn: names[(first + (turn if kind == "step" else -turn)) % len(names)]

    def group(self, length: int, turns: int) -> None:
        forms = [
            (self.rng.choice(["out", "new", "index"]), self.walk(), self.walk(), self.walk())
            for _ in range(length)
        ]
        for turn in range(turns):
            for form, a, b, c in forms:
                made = f"made_{len(self.per_call) + 1}"
                if form == "out":
                    target = c(turn)
                    if target not in self.definitions and target not in self.captured:
                        target = "buffer_0"
                    self.lines.append(line(f"tanh(add({a(turn)}, {b(turn)}), out={target})"))
                    continue
                text = f"add({a(turn)}, {b(turn)})" if form == "new" else f"{a(turn)}[:, ...] * {turn % 3}"
                self.lines.append(line(f"{made} = {text}"))
                self.per_call.append(made)

    def source(self, body: Body) -> str:
        """A function of what is captured."""
        made = [f"    {name} = {text}" for name, text in body.definitions.items()]
        lines = [f"        {one.text}" for one in body.lines]
        return "\n".join([
            "import numpy as np", "from numpy import add, tanh", f"def build({', '.join(self.captured)}):", *made,
            f"    def step({', '.join(self.arguments)}):", *lines, f"        return {', '.join(body.results)}",
            f"    return step, ({', '.join(body.gradients)},)",
        ])  # fmt: skip

    def outcome(self, source: str) -> list[bytes]:
        names: dict[str, Any] = {}
        exec(source, names)
        rng = np.random.default_rng(1)
        captured = [rng.normal(size=(2, 2)).astype("float32") for _ in self.captured]
        step, gradients = names["build"](*captured)
        found = []
        for _ in range(2):
            found += step(*(rng.normal(size=(2, 2)).astype("float32") for _ in self.arguments))
        return [array.tobytes() for array in (*found, *captured, *gradients)]


def test_random_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "FEWEST", 2)
    monkeypatch.setattr(folding, "LEAST_SAVED", 1)
    loops = 0
    for seed in range(400):
        random = RandomBody(seed)
        straight = Body(
            dict(random.definitions), list(random.lines), list(random.results), list(random.gradients)
        )
        folded = Folding(straight, random.captured, random.arguments, ()).folded()
        want, source = random.outcome(random.source(straight)), random.source(folded)
        assert random.outcome(source) == want, f"seed {seed}\n{random.source(straight)}\n{source}"
        loops += source.count("        for ")
        ops = [id(op) for one in folded.lines if not one.lead for op in one.ops]
        assert sorted(ops) == sorted(id(op) for one in random.lines for op in one.ops)
    assert loops > 400
