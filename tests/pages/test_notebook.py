"""What a notebook shows of each object: the same numbers as the object has."""

import re
from typing import Any

import numpy as np
import pytest

import page_programs as programs
import tapegrad as tg
import tapegrad.models
from tapegrad import nn
from tapegrad.models.history import History


def text_of(thing: Any) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", thing._repr_html_()))


def history() -> History:
    made = History()
    for epoch, (loss, accuracy) in enumerate([(3.0, 0.5), (1.0, 0.9), (2.0, 0.8)]):
        made.append(epoch, {"loss": loss, "val_accuracy": accuracy})
    return made


def gaps() -> History:
    made = History()
    made.append(0, {"note": "a"})
    made.append(1, {"note": "b", "loss": 2.0})
    return made


def numpys() -> History:
    made = History()
    for epoch, loss in enumerate((3.0, 1.0, 2.0)):
        made.append(epoch, {"loss": np.float32(loss), "steps": np.int64(4 + epoch // 2)})
    return made


def edited() -> History:
    made = one_epoch()
    made.history |= {"none": [], "val_loss": [3.0, 1.0, 9.0]}
    return made


def one_epoch() -> History:
    made = History()
    made.append(0, {"loss": 2.0})
    return made


def trained() -> nn.Module:
    loss, model = programs.mlp()
    loss.backward()
    return model  # type: ignore[no-any-return]


def compiled() -> Any:
    return programs.train_step("numpy")[0]


def weights(values: list[list[float]]) -> nn.Module:
    layer = nn.Dense(2, in_features=2, dtype="float64")
    layer.kernel.assign(values)
    return layer


def exploded() -> nn.Module:
    layer = nn.Dense(2, in_features=3, use_bias=False)
    layer.kernel.assign(tg.zeros((3, 2)))
    layer.kernel.grad = tg.full((3, 2), float("inf"))
    return layer


def freed() -> Any:
    tape = programs.taped(programs.mlp())
    tape.output.backward()
    return tape


SHOWN = {
    "a tensor": (lambda: tg.tensor([[1.0, -2.5]]), ["1 -2.5", "float32[1, 2]: min -2.5, max 1, mean -0.75"]),
    "a large tensor": (lambda: tg.zeros((20, 20)), ["float32[20, 20], a corner of it"]),
    "not finite": (lambda: tg.tensor([1.0, float("nan")]), ["nan", "1 not finite"]),
    "an empty tensor": (lambda: tg.zeros((0, 3)), ["float32[0, 3]"]),
    "integers": (lambda: tg.tensor([12345, 2**60]), [f"12345 {2**60}", f"min 12345, max {2**60}, mean"]),
    "truths": (lambda: tg.tensor([True, False]), ["True False", "mean 0.5"]),
    "the range of weights": (lambda: weights([[1.0, -0.25], [0.0, 1e-8]]), ["-0.25 … 1", "all 0"]),
    "weights that are not finite": (
        lambda: weights([[float("nan"), float("inf")], [0.5, 2.0]]),
        ["0.5 … 2, 2 not finite"],
    ),
    "weights that are nearly the same": (
        lambda: weights([[1.0, 1.0000001], [1.0, 1.0]]),
        ["1 … 1.0000001"],
    ),
    "no weight that is finite": (lambda: weights([[float("nan")] * 2] * 2), ["6 4 not finite all 0"]),
    "gradients that are not finite": (exploded, ["all 0 6 not finite"]),
    "a module": (trained, ["layers.0 Dense (batch, 16) 80", "total 243 parameters, 243 of them trained"]),
    "a module without weights": (lambda: nn.Sequential(nn.Dense(2)), ["not built", "total 0 parameters"]),
    "weights of all sizes": (
        lambda: weights([[1.7e308, -1.7e308], [1.7e308, 5e-324]]),
        ["Dense (batch, 2) 6"],
    ),
    "subnormal weights": (lambda: weights([[5e-324, 0.0], [0.0, 0.0]]), ["Dense (batch, 2) 6"]),
    "a mean of large numbers": (lambda: tg.tensor([1.7e308, 1.5e308], dtype="float64"), ["mean 1.6e+308"]),
    "a history": (history, ["loss 3 2 1 in epoch 2", "val_accuracy 0.5 0.8 0.9 in epoch 2"]),
    "a history with gaps": (gaps, ["loss nan 2 2 in epoch 2", "note a b"]),
    "a history of NumPy's numbers": (numpys, ["loss 3 2 1 in epoch 2", "steps 4 5"]),
    "an empty history": (History, ["0 epochs"]),
    "a history with lists of the user's": (edited, ["none val_loss 3 9 1 in epoch 2"]),
    "a history of one epoch": (one_epoch, ["1 epoch first", "loss 2"]),
    "a mean of the largest integers": (
        lambda: tg.tensor([-(2**63), 2**63 - 1]),
        ["mean -0.5"],
    ),
    "an optimizer": (lambda: tg.optim.SGD(trained().parameters(), lr=0.25), ["SGD, 0 steps", "lr 0.25"]),
    "LBFGS": (
        lambda: tg.optim.LBFGS(trained().parameters()),
        ["LBFGS, 0 iterations", "6, of 243 numbers", "0 of 10"],
    ),
    "an optimizer of one number": (
        lambda: tg.optim.SGD([tg.ones((), requires_grad=True)], lr=0.25),
        ["1, of 1 number lr"],
    ),
    "an optimizer alone": (lambda: tg.optim.Adam(lr=0.5), ["Adam lr 0.5"]),
    "a compiled function": (compiled, ["calls 3 compiled 1 eager 2 recordings 1", "the first call"]),
    "a tape that was freed": (freed, ["A tape of 9 calls", "cannot be made", "pass retain_graph=True"]),
    "one that was not called": (lambda: tg.jit(abs), ["calls 0"]),
    "one that runs as Python": (lambda: python(), ["runs as Python", "print"]),
}


def python() -> Any:
    def f(x: tg.Tensor) -> tg.Tensor:
        print("seen")
        return x * 2.0

    step = tg.jit(f)
    with pytest.warns(tg.JitWarning):
        for _ in range(3):
            step(tg.ones((2,)))
    return step


@pytest.mark.parametrize("case", SHOWN)
def test_a_notebook_shows(case: str) -> None:
    make, expected = SHOWN[case]
    text = text_of(make())
    for part in expected:
        assert part in text, text


def test_a_history_with_an_empty_list_has_a_repr() -> None:
    assert repr(edited()) == "<History of 1 epoch: loss 2, val_loss 9>"


def test_a_module_has_a_histogram_for_each_weight_and_gradient() -> None:
    model = trained()
    assert model._repr_html_().count("<svg") == 2 * len(model.parameters())
    model.zero_grad()
    assert model._repr_html_().count("<svg") == len(model.parameters())


def test_looking_at_a_model_makes_no_weights() -> None:
    model = nn.Sequential(nn.Dense(2))
    model._repr_html_()
    assert not model.layers[0].built


def test_a_tensor_on_another_device(elsewhere: str) -> None:
    assert "3" in text_of(tg.tensor([3.0], device=elsewhere))


def test_the_progress_of_a_fit_is_one_line_that_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stdout of Jupyter's kernel is no terminal, and draws over a line after a carriage return."""
    written: list[str] = []
    stream = type(
        "OutStream", (), {"write": written.append, "__module__": "ipykernel.iostream", "encoding": "utf-8"}
    )
    monkeypatch.setattr("sys.stdout", stream())
    monkeypatch.setattr("tapegrad.models.progress.REDRAW_SECONDS", 0.0)
    model = tg.models.Sequential([nn.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    model.fit(tg.ones((8, 2)), tg.ones((8, 1)), epochs=2, batch_size=2)
    assert "".join(written).count("\n") == 2 and len(written) == 10
    assert all(text.startswith("\r") for text in written)


def test_a_long_tape_says_where_to_look() -> None:
    tape = tg.tape(*programs.unlike(1200))
    assert "write tape.html('tape.html')" in text_of(tape)
