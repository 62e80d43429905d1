"""The printed tape: what it says is what runs."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.tapes.adjoint import Adjoint
from tapegrad.autograd.tapes.tape import Tape


def loss_of(w: tg.Tensor, b: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    return ((tg.relu(x @ w + b) - 1.0) ** 2).mean()


@pytest.fixture
def parts() -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    rng = np.random.default_rng(0)
    w = tg.tensor(rng.normal(size=(3, 2)), requires_grad=True)
    return w, tg.tensor([0.1, 0.2], dtype="float64", requires_grad=True), tg.tensor(rng.normal(size=(5, 3)))


def test_text_lists_calls_and_adjoints(parts: tuple) -> None:
    w, b, x = parts
    text = str(tg.tape(loss_of(*parts), {"w": w, "b": b, "x": x}))
    for line in ("v1 = matmul(x, w)", "v2 = add(v1, b)", "v3 = relu(v2)", "v6 = mean(v5)", "float64[5, 2]",
                 "w = leaf  float64[3, 2], requires grad", "db = sum(dv2, axis=(0,))"):  # fmt: skip
        assert line in text, text
    assert text.count("\n") < 30


REUSING = (
    loss_of,
    lambda w, b, x: ((w @ w[:2]) * w).sum() + (w + b).sum(),
    lambda w, b, x: (b * b + b * (b + b)).sum() + (w * w).sum(),
    lambda w, b, x: tg.concat([b, b * b, b]).sum() + w.sum(),
)


@pytest.mark.parametrize("loss_of", REUSING)
def test_the_adjoint_program_computes_the_gradient(parts: tuple, loss_of: Any) -> None:
    """Run the right-hand column as the program it claims to be, and compare with backward()."""
    from tapegrad.autograd.primitive import REGISTRY

    w, b, x = parts
    loss = loss_of(*parts)
    tape = tg.tape(loss, {"w": w, "b": b, "x": x})
    values: dict[str, object] = {"w": w, "b": b, "x": x, "sum": tg.sum}
    values |= {name: tg.Tensor(node.out) for node, name in tape.calls.items()}
    values[f"d{tape.name(loss)}"] = tg.ones((), dtype="float64")
    program = tape.adjoint()
    with tg.no_grad():
        for node in reversed(tape.nodes):
            for line in program[node]:
                target, sign, call = line.split(" ", 2)
                result = eval(call, {**REGISTRY, **values})
                values[target] = result if sign == "=" else values[target] + result
    loss.backward()
    for name, leaf in (("w", w), ("b", b)):
        found = values[f"d{name}"]
        assert isinstance(found, tg.Tensor) and leaf.grad is not None
        assert np.allclose(found.numpy(), leaf.grad.numpy(), rtol=1e-14)


def test_graphs(parts: tuple) -> None:
    tape = tg.tape(loss_of(*parts))
    mermaid, dot = tape.mermaid(), tape.dot()
    assert mermaid.startswith("flowchart TD") and "v1 --> v2" in mermaid and "p1 --> v1" in mermaid
    assert dot.startswith("digraph tape {") and dot.endswith("}") and '"v1" -> "v2"' in dot
    drawn = set(re.findall(r"^    (\w+)[\[(]", mermaid, re.M))
    for a, b in re.findall(r"(\w+) --> (\w+)", mermaid):
        assert {a, b} <= drawn


def test_a_modules_names() -> None:
    model = tg.nn.Sequential(tg.nn.Dense(2, in_features=3))
    loss = model(tg.ones((4, 3))).sum()
    assert all(name in str(tg.tape(loss, model)) for name, _ in model.named_parameters())


def test_refusals() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="leaf"):
        tg.tape(x)
    y = (x * 2.0).sum()
    y.backward()
    with pytest.raises(ValueError, match="retain_graph"):
        tg.tape(y)
    with pytest.raises(TypeError, match="expected a Tensor"):
        tg.tape(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names", [["w"], "w", {"w": 3.0}, {3: tg.ones(())}, {"a": {"w": tg.ones(())}}], ids=repr
)
def test_names_of_another_form_raise(names: Any) -> None:
    x = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="tape: names: expected a"):
        tg.tape(x * 2.0, names)


def test_modules_by_name_give_their_parameters_longer_names() -> None:
    one, two = (tg.nn.Dense(2, in_features=2, use_bias=False) for _ in range(2))
    x = tg.ones((1, 2))
    tape = tg.tape(two(one(x)), {"one": one, "two": two, "x": x})
    assert list(tape.leaves.values()) == ["x", "one.kernel", "two.kernel"]
    for names in ({"one": one, "one.kernel": x}, {"one.kernel": x, "one": one}):
        with pytest.raises(ValueError, match=r"two tensors are called 'one\.kernel'"):
            tg.tape(one(x), names)
    with pytest.raises(ValueError, match=r"'one\.kernel' and 'two\.kernel' are one tensor"):
        tg.tape(one(x), {"one": one, "two": one})


@pytest.mark.parametrize("shown", [str, Tape.mermaid, Tape.dot])
def test_a_tape_whose_graph_was_freed_since_raises(shown: Any) -> None:
    x = tg.tensor([1.0], requires_grad=True)
    tape = tg.tape((x * 2.0).sum())
    tape.output.backward()
    with pytest.raises(RuntimeError, match="freed the graph since"):
        shown(tape)


def test_the_adjoint_starts_with_the_cotangent_that_is_given() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.keep_lines():
        y = x * x
    tape = tg.tape(y, {"x": x}, cotangent=[1.0, 5.0])
    assert "dv1 = given" in str(tape) and "dv1 = ones" in str(tg.tape(y))
    assert Adjoint(tape).cotangents[x].tolist() == [2.0, 20.0]
    changed = tape.what_if({"x": [3.0, 3.0]})
    assert [g.tolist() for t, g in Adjoint(changed).cotangents.items() if t in changed.leaves] == [
        [6.0, 30.0]
    ]
    with pytest.raises(ValueError, match=r"cotangent: expected the tensor's shape \(2,\), got \(3,\)"):
        tg.tape(y, cotangent=[1.0, 2.0, 3.0])


def test_no_name_stands_for_two() -> None:
    leaves = {
        name: tg.tensor([1.0, 2.0], requires_grad=True) for name in ("v1", "x1", "t1", "a.b", "a_b", "end")
    }
    other = tg.tensor([3.0, 4.0])
    with tg.keep_lines():
        v3 = tg.tensor([5.0, 6.0])
        total = other * v3
        for leaf in leaves.values():
            total = total + leaf * leaf * v3
    tape = tg.tape(total.sum(), leaves)
    names = [*tape.leaves.values(), *tape.calls.values()]
    assert len(set(names)) == len(names) and set(leaves) < set(names)
    made = re.findall(r"\| (\S+) = ", str(tape))
    assert not set(made) & set(names)
    ids = re.findall(r"^    (\w+)[\[(]", tape.mermaid(), re.M)
    assert len(set(ids)) == len(ids) == len(names) and "end" not in ids


ODD = [
    "params['w']",
    'say "w"',
    "Gewicht µ",
    "a\\b",
    "two\nlines",
    "w" * 300,
    "**b**",
    "$$x$$",
    "fa:fa-car",
]
KEYWORDS = ["__proto__", "end", "graph", "style", "click", "call", "_self", "constructor"]


@pytest.mark.parametrize("name", [*ODD, *KEYWORDS])
def test_odd_names_are_drawn(name: str) -> None:
    w = tg.tensor([1.0], requires_grad=True)
    tape = tg.tape((w * w).sum(), {name: w})
    (leaf,) = re.findall(r'^    (\w+)\(\["([^"\n]*)<br/>float32 \[1\]"\]\)$', tape.mermaid(), re.M)
    assert re.fullmatch(r"leaf_\w+", leaf[0], re.ASCII) and f"{leaf[0]} --> v1" in tape.mermaid()
    assert re.sub(r"#(\d+);", lambda m: chr(int(m[1])), leaf[1]).replace("\ufeff", "") == name
    assert not re.search(r"[*$:]|__", leaf[1]), "Mermaid reads Markdown in labels"
    drawn = re.findall(r'^    "((?:[^"\\\n]|\\.)*)" \[shape=ellipse', tape.dot(), re.M)
    assert len(drawn) == 1 and f'"{drawn[0]}" -> "v1"' in tape.dot()


def test_what_is_added_stands_as_an_addition() -> None:
    w = tg.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    text = str(tg.tape((w @ w).sum(), {"w": w}))
    assert "| dw += t" in text and "| dw = matmul" in text and "add(" not in text


def test_every_array_with_a_name_is_alive() -> None:
    """Names go by the ids of arrays: that of a sum which the next sum replaced would soon be another array's."""
    from tapegrad.autograd.tapes.adjoint import Adjoint
    from tapegrad.autograd.tapes.sites import outputs_of

    w, b = (tg.tensor(np.full(shape, 0.1), requires_grad=True) for shape in ((8, 8), (8,)))
    h = tg.zeros((3, 8), dtype="float64")
    for _ in range(6):
        h = tg.tanh(h @ w + b)
    tape = tg.tape((h * h).sum())
    adjoint = Adjoint(tape)
    alive = [t.data for t in (*adjoint.kept, *adjoint.cotangents.values(), *tape.leaves)]
    alive += [out for node in tape.nodes for out in outputs_of(node)]
    assert set(adjoint.names) <= set(map(id, alive))


class Counted(tg.nn.Module):
    """Counts its calls in a buffer, through a view of it, too."""

    def __init__(self) -> None:
        self.calls = tg.nn.Buffer(tg.zeros(3))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        self.calls[1] = self.calls[1] + 1.0
        view = self.calls.reshape((3, 1))
        view += 1.0
        return x * x


class DrawnGradient(tg.nn.Module):
    """Draws in its pullback, and counts there."""

    def __init__(self) -> None:
        self.calls = tg.nn.Buffer(tg.zeros(()))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        @tg.custom_gradient
        def f(x: tg.Tensor) -> Any:
            def pullback(g: tg.Tensor) -> tg.Tensor:
                self.calls.assign(self.calls + 1.0)
                return g * tg.rand(3, 2)

            return x * 2.0, pullback

        return f(x)


MOVED_BY_RULES = {
    "statistics": (lambda: tg.nn.BatchNorm1d(2), tg.checkpoint),
    "a buffer": (Counted, tg.checkpoint),
    "a pullback": (DrawnGradient, lambda model: model),
}  # fmt: skip
LOOKS = {"text": str, "page": Tape.html, "lines": Tape.adjoint}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("case", MOVED_BY_RULES)
def test_to_look_at_a_tape_changes_nothing(case: str, look: str) -> None:
    """Its rules run once more, and functions under checkpoint with them."""
    make, wrap = MOVED_BY_RULES[case]
    found = []
    for looks in (0, 2):
        tg.manual_seed(0)
        model = make()
        x = tg.rand(3, 2).requires_grad_()
        y = (wrap(model)(x) ** 3).sum()
        before = {name: t.tolist() for name, t in model.state_dict().items()}
        for _ in range(looks):
            LOOKS[look](tg.tape(y, {"x": x}))
        assert {name: t.tolist() for name, t in model.state_dict().items()} == before
        y.backward()
        assert x.grad is not None
        found.append(
            (x.grad.tolist(), tg.rand(2).tolist(), [t.tolist() for t in model.state_dict().values()])
        )
    assert found[0] == found[1]


# Names for a leaf x, for h = x * x and for a tensor that is on no tape.
NAMED: dict[str, tuple[Any, str]] = {
    "a result": (lambda x, h, other: {"hidden": h}, "'hidden' is no leaf but the result of multiply"),
    "no text": (lambda x, h, other: {"": x}, "'' is no name"),
    "a space": (lambda x, h, other: {" ": tg.nn.Dense(2, in_features=2)}, "' ' is no name: give the Dense"),
    "the output": (lambda x, h, other: {"x": x, "loss": h.sum()}, "'loss' is no leaf but the result of sum"),
    "not there": (lambda x, h, other: {"x": x, "w": other, "b": x.detach()}, ""),
    "of a Module that is not there": (lambda x, h, other: {"x": x, "m": tg.nn.Dense(2, in_features=2)}, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_a_name_of_no_leaf_is_told(case: str) -> None:
    names, refused = NAMED[case]
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    h = x * x
    if refused:
        with pytest.raises(ValueError, match=refused):
            tg.tape(h.sum(), names(x, h, tg.ones(2)))
        return
    tape = tg.tape(h.sum(), names(x, h, tg.ones(2)))
    assert ("  w, b: not on this tape\n" in str(tape)) == (case == "not there")
    assert ('"unseen":"w, b"' in tape.html()) == (case == "not there")


# A use of x and k, the numbers and the dtype of k, and the names of the leaves
CONVERTED: dict[str, tuple[Callable[..., tg.Tensor], list[int], str, list[str]]] = {
    "integers": (lambda x, k: (x * k).sum(), [1, 2, 0], "int64", ["x", "k"]),
    "truths": (lambda x, k: (x * k).sum(), [1, 0, 1], "bool", ["x", "k"]),
    "another float": (lambda x, k: (x * k).sum(), [1, 2, 0], "float32", ["x", "k"]),
    "by hand": (lambda x, k: (x * k.astype("float64")).sum(), [1, 2, 0], "int64", ["x", "k"]),
    "twice": (lambda x, k: (x * k.astype("int8")).sum(), [1, 2, 0], "int64", ["x", "k"]),
    "two copies": (lambda x, k: (x * k + x**k).sum(), [1, 2, 0], "int64", ["x", "k", "k_float64"]),
    "an index, too": (lambda x, k: (x[k] * k).sum(), [1, 1, 0], "int64", ["x", "k", "k_float64"]),
}


@pytest.mark.parametrize("case", CONVERTED)
@pytest.mark.parametrize("lines", [False, True])
def test_a_named_tensor_names_its_copy_in_another_dtype(case: str, lines: bool) -> None:
    f, numbers, dtype, names = CONVERTED[case]
    x = tg.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    k = tg.tensor(numbers, dtype=dtype)
    with tg.keep_lines() if lines else nullcontext():
        y = f(x, k)
    tape = tg.tape(y, {"x": x, "k": k})
    assert sorted(tape.leaves.values()) == sorted(names) and tape.unseen == []
    if lines:
        news = tg.tensor([1 - (n > 0) for n in numbers], dtype=dtype)
        assert tape.what_if({"k": news}).output.item() == f(x, news).item()


def test_a_name_of_several_lines_is_in_one_line() -> None:
    x = tg.ones((2,), requires_grad=True)
    text = str(tg.tape(x * x, {"a\nb\u2028c": x}))
    assert "\n  a b c = leaf" in text and "v1 = multiply(a b c, a b c)  float32[2]  | da b c" in text


def test_one_call_of_one_leaf() -> None:
    x = tg.ones((2,), requires_grad=True)
    assert str(tg.tape(tg.sin(x))).startswith("float32[2], made by 1 call from 1 leaf\n")


def test_one_tensor_has_one_name() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="'a' and 'b' are one tensor"):
        tg.tape((x * x).sum(), {"a": x, "b": x})
