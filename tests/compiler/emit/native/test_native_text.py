"""The text of native programs: how long it is, what its lines carry out, and the names that it uses."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from native_programs import interpreted, machine_code, native
from tapegrad.compiler.emit.native import alike, cuts, machine
from tapegrad.compiler.emit.native.alike import likeness
from tapegrad.compiler.emit.native.emitter import NativeEmitter
from tapegrad.compiler.emit.native.signatures import signature

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")


def text_of(f: Callable[..., Any], *arrays: Any) -> tuple[str, Any]:
    """The LLVM IR of a function on arrays, and the compiled function."""
    step = native(f)
    for _ in range(3):
        step(*map(tg.tensor, arrays))
    return step.shown().runner.build.text, step


def functions(text: str) -> list[int]:
    """The lines of each function of loops."""
    found = re.findall(r"^define i32 @loops_\d+\(.*?^}", text, re.MULTILINE | re.DOTALL)
    return [function.count("\n") for function in found]


def chain(count: int) -> Callable[[Any], Any]:
    def loss(x: Any) -> Any:
        y = x
        for k in range(count):
            y = tg.tanh(y) * (1.0 + k / 100)
        return y.sum()

    return tg.grad(loss)


def side_by_side(count: int) -> Callable[[Any], Any]:
    return lambda x: sum((tg.sin(x * (k + 0.5)) for k in range(count)), x)


@pytest.mark.parametrize("make", [chain, side_by_side])
def test_a_long_chain_of_functions_is_several_short_loops(make: Any) -> None:
    """LLVM's time grows faster than the text of one function: no loop is long, and the whole grows as the program."""
    x = np.linspace(-1, 1, 100).astype("float32")
    short, long = (functions(text_of(make(n), x)[0]) for n in (30, 90))
    assert len(long) > 6 and max(long) < 3000
    assert max(long) <= 1.3 * max(short)
    assert sum(long) <= 3.5 * sum(short)


def test_equal_instructions_stand_once() -> None:
    """What sine and cosine have in common, for one: LLVM's passes do not look for it."""
    x = np.linspace(-1, 1, 100).astype("float32")
    text, _ = text_of(lambda x: tg.sin(x) * tg.cos(x) + tg.sinh(x) / tg.cosh(x), x)
    for block in re.split(r"^\S*:$|^define.*$", text, flags=re.MULTILINE):
        made = [
            line
            for line in re.findall(r" = (.*)", block)
            if not re.match("load|phi|alloca|call .*masked", line)
        ]
        assert sorted(made) == sorted(set(made))


def test_what_is_cut_gives_the_same_numbers() -> None:
    x = np.linspace(-1, 1, 100).astype("float32")
    _, step = text_of(chain(40), x)
    want = chain(40)(tg.tensor(x)).numpy()
    assert np.allclose(step(tg.tensor(x)).numpy(), want, rtol=1e-4)
    (case,) = step.cases
    assert interpreted(case.runner, [x]) == machine_code(case.runner, [x])


def trained() -> Callable[[Any], Any]:
    model = tg.nn.Sequential([tg.nn.Dense(6, "tanh", in_features=4), tg.nn.Dense(6, "relu"), tg.nn.Dense(2)])
    opt = tg.optim.Adam(model.parameters(), lr=0.01)

    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (model(x)[:, 1:] ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    return step


def recurrent() -> Callable[[Any], Any]:
    w = tg.nn.Parameter(np.eye(4, dtype="float32"))

    def step(x: Any) -> Any:
        h = x * 0.0
        for _ in range(6):
            h = tg.tanh(h @ w + x)
        return tg.concat([h, x], axis=0).reshape(-1).sum().detach()

    return step


@pytest.mark.parametrize("make", [trained, recurrent])
def test_every_line_knows_its_operations(make: Any) -> None:
    """All operations are carried out by a line; in a loop, one that makes an element says whose it is."""
    _, step = text_of(make(), np.ones((5, 4), "float32"))
    emitter = NativeEmitter(step.shown().runner.program, "step")
    lines = emitter.source().splitlines()
    carried_out: set[int] = set()
    for number, ops in emitter.operations_by_line:
        carried_out |= {id(op) for op in ops}
        if made := re.match(r"\s+(\w+) = (?!lanes\(|folded\()(?!\w+\[[^\]]*\](\s|$))", lines[number - 1]):
            names = {op.out.name for op in ops}
            assert made[1] in names or re.sub(r"_value$", "", made[1]) in names, lines[number - 1]
    assert carried_out == {id(op) for op in emitter.program.ops}


NAMES = [
    *(
        "LANES",
        "lanes",
        "folded",
        "put",
        "np",
        "j0",
        "i0",
        "i1",
        "k1",
        "given_x",
        "given",
        "given_given_x",
        "x_",
    ),
    *(
        "given_x_",
        "x_row",
        "x_part",
        "x_value",
        "x_at",
        "x_source",
        "tanh",
        "exp",
        "sigmoid",
        "product_power",
        "inf",
    ),
    *(
        "power",
        "nan",
        "step",
        "build",
        "loop_1",
        "buffer_1",
        "constant_1",
        "copyto",
        "matmul",
        "sin",
        "sum_1",
    ),
    *("max_1", "range", "float", "bool", "list", "zip", "IndexError", "ValueError", "argmax_1_first"),
]


@pytest.mark.parametrize("argument", ["x", "x_", "LANES", "given_x", "tanh", "i0", "buffer_1"])
def test_any_name_of_the_user_s_is_possible(argument: str) -> None:
    """The printed source runs whatever the captured arrays and the argument are called."""
    scope: dict[str, Any] = {"tg": tg}
    for k, name in enumerate(NAMES):
        scope[name] = tg.tensor(np.linspace(-1, 1, 12).reshape(3, 4).astype("float32") + k / 10)
    others = [name for name in NAMES if name != argument]
    lines = [
        f"def f({argument}):",
        f"    total = {argument} * 0.5 + {' + '.join(others)}",
        "    place = tg.argmax(total, axis=1) % 3",
        "    summed = tg.tanh(total) + total.sum(axis=0)",
        "    return summed, total.max(), total.sum(), total**3, tg.sigmoid(total), tg.power(total, 1.3), total[place]",
    ]
    exec("\n".join(lines), scope)
    step, x = native(scope["f"]), np.ones((3, 4), "float32")
    want = scope["f"](tg.tensor(x))
    for _ in range(3):
        got = step(tg.tensor(x))
    assert all(np.allclose(a.numpy(), b.numpy(), rtol=1e-5) for a, b in zip(got, want, strict=True))
    (case,) = step.cases
    assert interpreted(case.runner, [x]) == machine_code(case.runner, [x])


def test_a_choice_of_what_is_there_is_no_masked_store() -> None:
    """AMD's processors take ten times as long for these, and LLVM makes them of a choice written where it was read: a
    gradient of relu in the memory of what it is a gradient of."""
    x, w = (np.random.default_rng(0).normal(size=(32, 32)).astype("float32") for _ in range(2))
    last = tg.tensor(w[:, :16])
    text, _ = text_of(
        lambda x, w, b: tg.grad(lambda w, b: (tg.relu(x @ w + b) @ last).sum(), (0, 1))(w, b), x, w, w[0]
    )
    assembly = machine.compiler().emit_assembly(machine.llvm().parse_assembly(text))
    assert "store volatile" in text
    assert "maskmov" not in assembly


def unrolled(how: str) -> tuple[Callable[..., Any], list[np.ndarray]]:
    """Programs of many nests: equal ones, and such that differ in one thing alone."""
    x, w = np.full((6, 16, 16), 0.25, "float32"), np.full((16, 16), 0.25, "float32")
    if how == "steps":
        return lambda x, w: [tg.tanh(x[t] @ w + x[0]) for t in range(6)], [x, w]
    product = lambda x, k: x[k] @ x[k].T  # each is an array of its own, and so the loop behind it
    if how == "numbers":
        return lambda x: [tg.exp(product(x, k)) + c for k, c in enumerate((1.0, 2.0, 3.0, 1.0, 0.5))], [x]
    if how == "dtypes":
        return lambda x: [tg.astype(product(x, k) * 3.0, f"int{8 << k}") for k in range(4)], [x]
    if how == "operations":
        kinds = (tg.add, tg.multiply, tg.less, tg.power, tg.maximum, tg.minimum)
        return lambda x: [f(product(x, k), 2.5) for k, f in enumerate(kinds)], [x]
    if how == "orders":
        return lambda x: [y - x[5] if k % 2 else x[5] - y for k in range(5) for y in [product(x, k)]], [x]
    if how == "at an index":
        i = tg.tensor(np.array([2, 0, 1]))
        return lambda x: [product(x, k)[i, j] for k in range(3) for j in (i, 1, slice(None))], [x]
    if how == "reductions":
        return lambda x: [
            f(x @ x, axis=a) for f in (tg.sum, tg.max, tg.mean, tg.prod) for a in (0, 1, 2, None)
        ], [x]
    if how == "views":
        return lambda x, w: [(x[k].mT if k % 2 else w) + product(x, k) for k in range(4)], [x, w]
    if how == "shapes":
        return lambda x: [product(x, k) + x[5, :n] for k, n in enumerate((1, 16, 1, 16))], [x]
    # The first result takes the memory of what it is made of, which the second one leaves.
    if how == "in place":
        return lambda x: [tg.tanh(x @ x) @ x, *(y for c in [x @ x.mT] for y in (tg.tanh(c) @ x, c @ x))], [x]
    # Strides.
    return lambda x: [(x[t].T @ x[0]).sum() + (x[t, ::2] @ x[0, :, ::2]).sum() for t in range(6)], [x]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize(
    "how",
    ["steps", "numbers", "dtypes", "at an index", "operations", "orders", "reductions", "strides"]
    + ["in place", "views", "shapes"],
)
def test_equal_signatures_are_equal_texts(how: str, threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of a program is what it is if each nest is written by itself."""
    monkeypatch.setenv("TAPEGRAD_THREADS", threads)
    monkeypatch.setattr(cuts, "NEST", 1)
    f, arrays = unrolled(how)
    with tg.no_grad():
        text, step = text_of(f, *arrays)
        nests = len(step.shown().runner.build.emitter.calls)
        found: dict[Any, int] = {}
        apart = lambda nest: (found.setdefault(signature(nest), len(found)), id(nest))
        monkeypatch.setattr(alike, "signature", apart)
        monkeypatch.setattr(alike, "likeness", lambda *block: (object(), likeness(*block)[1]))
        assert text_of(f, *arrays)[0] == text
    assert how not in ("steps", "numbers", "strides") or len(found) < nests / 2


@pytest.mark.parametrize(("rows", "wide"), [(3, False), (1023, False), (1024, True)])
def test_what_is_added_up_in_float32_is_not_widened_on_the_way(rows: int, wide: bool) -> None:
    """A sum over outer loops: a short one as NumPy adds, row after row, and a long one in float64."""
    x = np.random.default_rng(0).normal(size=(rows, 5)).astype("float32")
    _, step = text_of(lambda x: (x * x).sum(axis=0), x)
    (line,) = (line for line in step.source().splitlines() if " + " in line)
    assert line.strip() == (
        "sum_1_total[i1] = sum_1_total[i1] + np.float64(multiply_1)"
        if wide
        else "buffer_1[i1] = buffer_1[i1] + multiply_1"
    )
    runner = step.shown().runner
    assert machine_code(runner, [x]) == interpreted(runner, [x])
    if not wide:
        assert np.array_equal(step(tg.tensor(x)).numpy(), np.add.accumulate(x * x, axis=0)[-1])


def test_the_first_lines_say_what_the_source_is() -> None:
    """It is not what runs, nor what `save` writes; and numbers that an optimizer worked out say what they are."""
    model = tg.nn.Dense(1, in_features=2)
    optimizer = tg.optim.Adam(model.parameters())

    @tg.jit(emitter="native")
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(tg.ones((4, 2)))
    lines = step.source().splitlines()
    assert lines[0] == '"""step, as recorded by tapegrad' and lines[2].startswith(
        "This is the program as Python, to read"
    )
    (number,) = (n for n, line in enumerate(lines) if "np.float64(1.8262276088714193e+19)" in line)
    assert lines[number - 1].strip().startswith("# 1.8262276088714193e+19: about the largest float32")
