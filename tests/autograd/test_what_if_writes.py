"""`Tape.what_if` where the program writes in place, copies, or takes gradients: it raises, or gives what the program
gives on the new numbers."""

import copy

import pytest

import tapegrad as tg
from tapegrad import nn
from what_if_pairs import Program, check_change, numbers


def added(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    y = x * 2.0
    y += 1.0
    return y * w


def scaled_without_gradients(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    with tg.no_grad():
        y = x * w
        y *= 3.0
    return y * w


def written_thrice(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    y = x * 2.0
    y += 1.0
    y *= 2.0
    y -= 3.0
    return y * w


def written_through_a_view(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    y = x * 2.0
    first = y[:1]
    first += 1.0
    return y * w


def gradient_of_backward(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    q = numbers(1.0, 2.0).requires_grad_()
    (x * q * q).sum().backward()
    return w * q.grad  # type: ignore[operator]


def made_before_a_backward_pass(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    y = x * w
    (y * y).sum().backward()
    return y.detach() * w


def updated_in_one_place(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    y = x * 2.0
    y[0] = w[1]
    return y * w


def trained(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    q = tg.Parameter(numbers(1.0, 2.0))
    optimizer = tg.optim.SGD([q], lr=0.1)
    (x * q * q).sum().backward()
    optimizer.step()
    return w * q


def trained_itself(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    slope = tg.grad(lambda w: (x * w * w).sum())(w)
    with tg.no_grad():
        w -= 0.1 * slope
    return x * w


def copied(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return copy.copy(x) * w + copy.deepcopy(x) * w * w


def kept(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.Parameter(x * 2.0) * w + nn.Buffer(x * 3.0) * w * w


# What becomes of another x, and of another w: the message of an error, or "" where it is the program's result.
WRITES: dict[Program, tuple[str, str]] = {
    added: ("written to since", ""), scaled_without_gradients: ("written to since", "written to since"),
    written_thrice: ("more than once", "more than once"),
    written_through_a_view: ("y was written to inside", "y was written to inside"),
    gradient_of_backward: (r"gradient that was computed", r"gradient that was computed"),
    made_before_a_backward_pass: ("has freed how it was made", "has freed how it was made"),
    updated_in_one_place: ("", ""), trained: ("q was written to inside", "q was written to inside"),
    trained_itself: ("written to since", "w was written to inside"), copied: ("", ""), kept: ("", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ["x", "w"])
@pytest.mark.parametrize("program", WRITES, ids=lambda program: program.__name__)
def test_what_was_written_or_copied_is_not_taken_as_it_was(program: Program, name: str) -> None:
    check_change(program, name, WRITES[program]["xw".index(name)])


def test_what_was_written_under_an_earlier_with_stays() -> None:
    layer, x, w = nn.BatchNormalization(), numbers(1.0, -2.0), numbers(0.5, 3.0).requires_grad_()
    for _ in range(3):
        with tg.keep_lines():
            layer((x * w)[:, None])
    layer.eval()

    def evaluated(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
        with tg.keep_lines():
            return (layer((x * w)[:, None]) ** 2).sum()

    tape = tg.tape(evaluated(x, w), {"x": x, "w": w})
    new = numbers(4.0, 7.0)
    assert tape.what_if({"x": new}).output.item() == evaluated(new, w).item() != tape.output.item()
    assert tape.what_if({"w": new}).output.item() == evaluated(x, new.requires_grad_()).item()


def test_what_was_built_under_an_earlier_with_and_trained_stays() -> None:
    tg.manual_seed(0)
    model, x, new = nn.Sequential(nn.Dense(3, "tanh"), nn.Dense(1)), tg.rand(4, 2), tg.rand(4, 2)

    def loss_of(x: tg.Tensor) -> tg.Tensor:
        with tg.keep_lines():
            return (model(x) ** 2).mean()

    loss_of(x)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(x).backward()
        optimizer.step()
    tape = tg.tape(loss_of(x), model)
    assert tape.what_if({x: new}).output.item() == loss_of(new).item() != tape.output.item()
    bias = tape.what_if({"layers.1.bias": [3.0]}).output.item()
    model.layers[1].bias.assign([3.0])
    assert bias == loss_of(x).item()


def test_what_was_done_before_the_with_stays() -> None:
    x, w = numbers(1.0, -2.0), tg.Parameter(numbers(0.5, 3.0))
    optimizer = tg.optim.SGD([w], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        with tg.keep_lines():
            tape = tg.tape(((x * w) ** 2).sum(), {"x": x, "w": w})
            value = tape.what_if({"x": [1.0, 1.0]}).output.item()
            assert value == (w.detach() ** 2).sum().item()
            assert tape.what_if({"w": [1.0, 1.0]}).output.item() == 5.0
            tape.output.backward()
            optimizer.step()
