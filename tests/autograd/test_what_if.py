"""`Tape.what_if`: the same calls on other numbers give what the program gives on them, or it raises."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd.tapes.adjoint import Adjoint
from tapegrad.autograd.tapes.sites import outputs_of
from tapegrad.autograd.tapes.tape import Tape

F = nn.functional
Leaves = dict[str, tg.Tensor]


def numbers(*shape: int, seed: int = 0, dtype: str = "float64") -> tg.Tensor:
    return tg.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def taped(program: Callable[[Leaves], tg.Tensor], leaves: Leaves) -> Tape:
    tg.manual_seed(0)
    with tg.keep_lines():
        loss = program(leaves)
    return tg.tape(loss, leaves)


# --- what the program computes on these numbers is what the tape then has ---


def mlp(p: Leaves) -> tg.Tensor:
    hidden = tg.relu(p["x"] @ p["w"] + 0.1)
    return F.cross_entropy(tg.tanh(hidden) @ p["v"], tg.tensor([0, 1, 2, 0])) + 0.01 * (p["w"] ** 2).sum()


def layers(p: Leaves) -> tg.Tensor:
    tg.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2D(3, 3, activation="relu", in_features=2), nn.BatchNormalization(in_features=3), nn.MaxPooling2D(2),
        nn.Dropout(0.5), nn.Flatten(),
        nn.Dense(2, in_features=12),
    )  # fmt: skip
    return (model(p["x"].astype(tg.float32)) ** 2).mean()


def evaluated(p: Leaves) -> tg.Tensor:
    model = nn.Sequential(nn.BatchNormalization(in_features=3), nn.Dropout(0.5)).eval()
    return (model(p["x"].astype(tg.float32)) ** 3).mean()


def recurrent(p: Leaves) -> tg.Tensor:
    tg.manual_seed(1)
    return nn.LSTM(3, in_features=2)(p["x"].astype(tg.float32)).sum()


def scanned(p: Leaves) -> tg.Tensor:
    carry, ys = tg.scan(lambda h, x: (tg.tanh(x @ p["w"] + h * p["a"]), h.sum()), p["h"], p["x"])
    return (carry**2).sum() + ys.mean()


def branches(p: Leaves) -> tg.Tensor:
    if p["x"].sum() > -100:  # holds for all numbers of the test
        return tg.where(p["x"] > 0, tg.exp(p["x"]), p["x"] * 0.1).sum() * (1.0 if float(p["x"].ndim) else 2.0)
    return p["x"].sum()


def draws(p: Leaves) -> tg.Tensor:
    noise = tg.randn(p["x"].shape, dtype="float64")
    return (F.dropout(p["x"] * noise, 0.3) ** 2).sum()


def stopped(p: Leaves) -> tg.Tensor:
    """A target that no gradient goes through: its own calls are on no tape."""
    target = tg.tanh(p["x"] * 3.0).detach() + tg.exp(p["x"]).detach()
    with tg.no_grad():
        scale = tg.abs(p["x"]).max() + 1.0
    return ((p["x"] / scale - target) ** 2).sum()


def integers(p: Leaves) -> tg.Tensor:
    best = tg.argmax(p["x"], axis=1)
    return F.cross_entropy(p["x"] * 2.0, best) + p["x"][tg.arange(3), best].sum()


def prepared(p: Leaves) -> tg.Tensor:
    """Calls on data that requires no gradient."""
    x = (p["x"] - p["x"].mean()) / p["x"].std()
    return (tg.round(x) @ p["w"]).sum() + (x[1:] * p["w"].sum()).mean()


def updated(p: Leaves) -> tg.Tensor:
    table = tg.zeros(4, dtype="float64")
    table[0] = p["x"][0]
    table[2] = p["x"][1] * 3.0
    total = (table**2).sum()
    total += p["x"].sum()
    return total


@tg.custom_gradient
def noisy(x: tg.Tensor, by: float = 1.0) -> Any:
    noise = tg.rand(x.shape, dtype="float64")
    return tg.exp(x) * noise, lambda g: tg.clip(g * noise * tg.exp(x), -by, by)


def custom(p: Leaves) -> tg.Tensor:
    return (noisy(p["x"] * 2.0, by=0.7) * p["x"]).sum()


def checkpointed(p: Leaves) -> tg.Tensor:
    def f(x: tg.Tensor, w: tg.Tensor) -> Any:
        return tg.tanh(x @ w) * tg.rand(3, dtype="float64"), tg.argmax(x)

    y, _ = tg.checkpoint(f)(p["x"] * 1.5, p["w"])
    return (y**2).sum()


def derived(p: Leaves) -> tg.Tensor:
    """A gradient inside of the program."""
    slope = tg.grad(lambda x: tg.where(x > 0.5, x**3, tg.sin(x)).sum())(p["x"])
    return (slope**2).sum() + p["x"].sum()


def several(p: Leaves) -> tg.Tensor:
    """Calls with several results."""
    carry, ys = tg.checkpoint(lambda x, w: (x @ w, tg.sin(x)))(p["x"], p["w"])
    parts = tg.split(p["x"], 3)
    return carry[0, 1] + (ys**2).sum() + parts[0].sum() * parts[2].sum()


@tg.jit
def compiled(x: tg.Tensor) -> tg.Tensor:
    return tg.tanh(x) * tg.where(x > 0, 2.0, 0.5)


def inside_of_jit(p: Leaves) -> tg.Tensor:
    return compiled(p["x"]).sum()


def shapes(p: Leaves) -> tg.Tensor:
    x = p["x"].reshape(-1)
    return (tg.cumulative_sum(tg.sort(x)) * tg.concat([x[:3], x[3:]])).sum() + tg.einsum(
        "ij,ik->", p["x"], p["x"]
    )


def half(p: Leaves) -> tg.Tensor:
    return (p["x"].astype(tg.float16) * 3.0).astype(tg.float32).sum() + p["x"].sum()


S = {"x": (4, 3), "w": (3, 2), "v": (2, 3)}
PROGRAMS: dict[Callable[[Leaves], tg.Tensor], dict[str, tuple[int, ...]]] = {
    mlp: S, layers: {"x": (2, 6, 6, 2)}, evaluated: {"x": (4, 3)}, recurrent: {"x": (2, 4, 2)},
    scanned: {"x": (5, 3), "w": (3, 2), "a": (), "h": (2,)}, branches: {"x": (4, 3)}, draws: {"x": (4, 3)},
    stopped: {"x": (5,)}, integers: {"x": (3, 4)}, prepared: {"x": (4, 3), "w": (3, 2)}, updated: {"x": (2,)},
    custom: {"x": (4,)}, checkpointed: {"x": (4, 3), "w": (3, 3)}, derived: {"x": (4,)},
    several: {"x": (3, 3), "w": (3, 2)}, inside_of_jit: {"x": (3,)}, shapes: {"x": (2, 3)}, half: {"x": (3,)},
}  # fmt: skip


def leaves_of(program: Callable[[Leaves], tg.Tensor], seed: int) -> Leaves:
    made = {name: numbers(*shape, seed=seed + i) for i, (name, shape) in enumerate(PROGRAMS[program].items())}
    for name, leaf in made.items():
        leaf.requires_grad_(program is not prepared or name != "x")
    return made


def assert_alike(a: Tape, b: Tape) -> None:
    """Values and cotangents of all calls and leaves, to the last bit."""
    assert str(a) == str(b)
    for x, y in zip(a.nodes, b.nodes, strict=True):
        if x.primitive.name != "index_update":  # a later one writes into the result of an earlier one
            assert all(map(np.array_equal, outputs_of(x), outputs_of(y))), a.call(x)
    for (x, name), (y, _) in zip(a.leaves.items(), b.leaves.items(), strict=True):
        assert np.array_equal(x.data, y.data), name
    mine, theirs = (list(Adjoint(t).cotangents.values()) for t in (a, b))
    assert [g.shape for g in mine] == [g.shape for g in theirs] and mine
    assert all(np.array_equal(g.data, h.data) for g, h in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_changed_tape_is_that_of_the_program_run_on_the_new_numbers(program: Any) -> None:
    tape = taped(program, before := leaves_of(program, 0))
    recorded = [tuple(map(np.copy, outputs_of(node))) for node in tape.nodes]
    for seed in (10, 20):
        other = leaves_of(program, seed)
        for names in [[*other], *([name] for name in other)]:
            leaves = leaves_of(program, 0) | {name: other[name] for name in names}
            changed = tape.what_if({before[name]: leaves[name] for name in names})
            assert_alike(changed, taped(program, leaves))
    for node, values in zip(tape.nodes, recorded, strict=True):
        assert all(map(np.array_equal, outputs_of(node), values)), "the first tape stays as it is"


def test_a_changed_tape_is_changed_again_and_back() -> None:
    first = leaves_of(checkpointed, 0)
    tape = taped(checkpointed, first)
    other = numbers(4, 3, seed=7)
    assert_alike(tape.what_if({"x": other}).what_if({"x": first["x"]}), tape)
    assert tape.what_if({}).output.item() == tape.output.item()


def test_it_has_lines_modules_and_a_page_as_the_first() -> None:
    tape = taped(layers, leaves_of(layers, 0))
    changed = tape.what_if({"x": numbers(2, 6, 6, 2, seed=3)})
    assert [node.line for node in changed.nodes] == [node.line for node in tape.nodes]
    assert "Conv2D" in changed.html() and changed.leaves.keys() - tape.leaves.keys()


def test_gradients_go_to_the_leaves_of_the_changed_tape() -> None:
    w, x = (tg.tensor([k, k + 1.0], requires_grad=True) for k in (1.0, 3.0))
    changed = taped(lambda p: (p["w"] * p["x"]).sum(), {"w": w, "x": x}).what_if({"x": [5, 6]})
    changed.output.backward()
    (new,) = changed.leaves.keys() - {w}
    assert new.grad is not None and new.grad.tolist() == [1.0, 2.0]
    assert w.grad is not None and w.grad.tolist() == [5.0, 6.0] and x.grad is None


# --- where the recorded calls would not be the program's, it raises ---


def if_positive(p: Leaves) -> tg.Tensor:
    return (p["x"] * 2.0).sum() if p["x"][0] > 0 else p["x"].sum()


def as_float(p: Leaves) -> tg.Tensor:
    return (p["x"] * float(p["x"][0].detach())).sum()


def as_array(p: Leaves) -> tg.Tensor:
    return (p["x"] * tg.tensor(p["x"].numpy() ** 2)).sum()


def closed_over(p: Leaves) -> tg.Tensor:
    return tg.checkpoint(lambda y: y * p["x"])(p["y"]).sum()


def read_in_between(p: Leaves) -> tg.Tensor:
    table = tg.zeros(2, dtype="float64")
    table[0] = p["x"][0]
    seen = table[0] * 2.0
    table[1] = p["x"][1]
    return seen + table.sum()


def written(p: Leaves) -> tg.Tensor:
    kept = tg.zeros(2, dtype="float64")
    kept[0] = p["x"][0].detach()
    return (p["y"] * kept).sum()


def accumulated(p: Leaves) -> tg.Tensor:
    kept = tg.zeros(2, dtype="float64")
    with tg.no_grad():
        kept += p["x"]
    return (p["y"] * kept).sum() + p["x"].sum()


ANOTHER_WAY: dict[Any, str] = {
    if_positive: r"reads bool\[\].*go another way.*\n.*if p\[\"x\"\]\[0\] > 0",
    as_float: r"reads float64\[\].*\n.*float\(p", as_array: "reads float64", closed_over: "make it a positional",
    written: "in place", accumulated: "written to since", read_in_between: "written to since",
}  # fmt: skip


@pytest.mark.parametrize("program", ANOTHER_WAY, ids=lambda program: program.__name__)
def test_a_program_that_may_do_something_else_raises(program: Any) -> None:
    leaves = {name: tg.tensor([1.0, 2.0], dtype="float64", requires_grad=True) for name in "xy"}
    tape = taped(program, leaves)
    with pytest.raises(RuntimeError, match=ANOTHER_WAY[program]):
        tape.what_if({leaves["x"]: [-1.0, 2.0]})
    if program is if_positive:
        assert tape.what_if({"x": [3.0, -9.0]}).output.item() == -12.0


def made(keep: bool = True) -> tuple[Tape, tg.Tensor]:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.keep_lines() if keep else tg.enable_grad():
        loss = (x * x)[tg.tensor([0, 1])].sum()
    return tg.tape(loss, {"x": x, "n": next(t for t in tg.tape(loss).leaves if t is not x)}), x


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "no leaf": ({"y": 1.0}, ValueError, "'y' is no leaf of this tape, which has x, n"),
    "another tensor": ({tg.ones(2): [1.0, 2.0]}, ValueError, r"float32\[2\] is no leaf"),
    "no name": ({3: 1.0}, ValueError, "a int is no leaf"),
    "no dict": ([1.0, 2.0], TypeError, "a dict .*got list"),
    "another shape": ({"x": [1.0, 2.0, 3.0]}, ValueError, r"x has shape \(2,\), its new value \(3,\)"),
    "a number for two": ({"x": 1.0}, ValueError, r"its new value \(\)"),
    "ragged": ({"x": [[1.0], 2.0]}, ValueError, "the new value of x has lists of several lengths"),
    "another dtype": (
        {"x": np.ones(2)},
        TypeError,
        r"float32, its new value float64: write .astype\('float32'\)",
    ),
    "a Tensor of another dtype": (
        {"x": tg.ones(2, dtype="int32")},
        TypeError,
        "float32, its new value int32",
    ),
    "words": ({"x": ["a", "b"]}, TypeError, "x is float32, its new value holds <U1"),
    "too large": ({"x": [1e39, 1.0]}, ValueError, "x is float32, which does not hold"),
    "a fraction among integers": ({"n": [0.5, 1.0]}, TypeError, "n is int.*holds float64"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_named(case: str) -> None:
    changes, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        made()[0].what_if(changes)


def test_a_leaf_has_one_new_value() -> None:
    tape, x = made()
    with pytest.raises(ValueError, match="x is there twice, as a name and as a tensor"):
        tape.what_if({"x": [1.0, 1.0], x: [2.0, 2.0]})


def test_a_name_that_was_given_is_known_behind_a_leaf() -> None:
    """The tape starts from what the layer made of the indices."""
    layer, index = nn.Embedding(5, 2), tg.tensor([3, 1])
    with tg.keep_lines():
        loss = (layer(index.astype("int32") - 1) ** 2).sum()
    tape = tg.tape(loss, {"index": index})
    assert not tape.unseen
    changed = tape.what_if({"index": [4, 4]})
    assert changed.output.item() == (layer(tg.tensor([3, 3])) ** 2).sum().item() != loss.item()
    assert changed.what_if({"index": [3, 1]}).output.item() == loss.item()


def test_calls_outside_of_keep_lines_raise() -> None:
    with pytest.raises(RuntimeError, match=r"multiply was recorded without a note.*tg.keep_lines"):
        made(keep=False)[0].what_if({"x": [1.0, 1.0]})


def test_calls_of_two_blocks_raise() -> None:
    """The branch between them was not noted."""
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.keep_lines():
        y = x * 2.0
    positive = y[0].item() > 0
    with tg.keep_lines():
        with tg.keep_lines():
            inner = y * 2.0
        loss = inner.sum() if positive else y.sum()
    with pytest.raises(RuntimeError, match=r"under 2 blocks .*put the whole forward pass under one"):
        tg.tape(loss).what_if({x: [-1.0, 2.0]})


def test_a_leaf_that_was_written_to_raises() -> None:
    tape, x = made()
    x.assign([5.0, 5.0])
    with pytest.raises(RuntimeError, match="written to since"):
        tape.what_if({"n": [1, 0]})


def test_a_freed_tape_raises() -> None:
    tape, _ = made()
    tape.output.backward()
    with pytest.raises(RuntimeError, match="freed"):
        tape.what_if({"x": [1.0, 1.0]})


def test_on_another_backend(elsewhere: str) -> None:
    x, y = (tg.tensor([1.0, k], requires_grad=True, device=elsewhere) for k in (2.0, 3.0))
    with tg.keep_lines():
        loss = (tg.where(x > 1.5, x, 2.0 * x) * y).sum()
    changed = tg.tape(loss, {"x": x, "y": y}).what_if({"x": [2.0, 1.0]})
    assert changed.output.device == x.device and changed.output.item() == 8.0


def test_notes_go_with_their_tensors() -> None:
    """Training under keep_lines holds no more from step to step."""
    from tapegrad.autograd.tapes import origins

    model, x = nn.Dense(2, in_features=3), tg.ones((4, 3))
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    counts, others = [], len(origins._alive)  # other tests may have left some
    with tg.keep_lines():
        for _ in range(6):
            loss = F.cross_entropy(model(x), tg.argmax(model(x), axis=1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            counts.append(len(origins._alive))
    assert counts[2] == counts[-1] < others + 1000
