"""The values on a page are those of the calls when they ran, or there is no page."""

from collections.abc import Callable

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.pages.record import record_of
from tapegrad.autograd.tapes.tape import Tape

Program = Callable[[tg.Tensor], tg.Tensor]


# ---- t[i] = v, which writes over what earlier calls gave ----
def one_by_one(x: tg.Tensor) -> tg.Tensor:
    z = tg.zeros(3)
    for i in range(3):
        z[i] = x[i] * 10.0
    return (z * z).sum()


def over_a_result(x: tg.Tensor) -> tg.Tensor:
    z = x * 1.0
    z[0] *= 3.0
    z[1] += x[0]
    return z.sum()


def over_itself(x: tg.Tensor) -> tg.Tensor:
    z = x * 1.0
    z[0] = x[1]
    z[0] = x[2]
    z[1:] = z[0]
    return z.sum()


def by_arrays(x: tg.Tensor) -> tg.Tensor:
    z = tg.zeros(3)
    z[tg.tensor([2, 0])] = x[:2]
    z[x.detach() > 2.0] = x[0] * 7.0
    return z.sum()


def with_numbers_between(x: tg.Tensor) -> tg.Tensor:
    z = tg.zeros(3)
    z[0] = x[0]
    z[1] = 9.0
    return z.sum()


def read_between(x: tg.Tensor) -> tg.Tensor:
    z = tg.zeros(3)
    z[0] = x[1]
    part = z[:2] + 1.0
    z[1] = x[2]
    return z.sum() + part.sum()


def two_of_one_call(x: tg.Tensor) -> tg.Tensor:
    z, w = tg.zeros(3), tg.zeros(2)
    z[0] = x[0]
    w[0] = z[0] * 5.0
    z[1] = w[0] + x[1]
    w[1] = z[1] * 2.0
    return z.sum() + w.sum()


# program -> what each t[i] = v gives, and each index that reads from such a t
WRITES: dict[Program, list[list[float]]] = {
    one_by_one: [[10, 0, 0], [10, 20, 0], [10, 20, 30]],
    over_a_result: [[3, 2, 3], [3, 3, 3]],
    over_itself: [[2, 2, 3], [3, 2, 3], [3, 3, 3]],
    by_arrays: [[2, 0, 1], [2, 0, 7]],
    with_numbers_between: [[1, 0, 0], [1, 9, 0]],
    read_between: [[2, 0, 0], [2, 3, 0]],
    two_of_one_call: [[1, 0, 0], [5, 0], [1, 7, 0], [5, 14]],
}
READS: dict[Program, list[list[float]]] = {
    over_a_result: [[1], [2]],
    over_itself: [[3]],
    read_between: [[2, 0]],
    two_of_one_call: [[1], [5], [7]],
}


@pytest.mark.parametrize("scope", [tg.enable_grad, tg.keep_lines])
@pytest.mark.parametrize("program", WRITES, ids=lambda program: program.__name__)
def test_each_write_shows_what_it_made(program: Program, scope: Callable[[], tg.no_grad]) -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with scope():
        y = program(x)
    tape = tg.tape(y, {"x": x})
    rows = record_of(tape, "").rows
    names = {name: node for node, name in tape.calls.items()}
    made = [row.values[0].corner[0] for row in rows if row.primitive == "index_update"]
    read = [
        row.values[0].corner[0]
        for row in rows
        if row.primitive == "getitem" and names[row.name].recorded_inputs()[0] is not x
    ]
    assert made == WRITES[program]
    assert read == READS.get(program, [])
    # The sum of all is what was computed: nothing of the page is written into the tape.
    assert rows[-1].values[0].corner == [[y.item()]]
    y.backward()


@pytest.mark.parametrize("name", ["x", "w"])
@pytest.mark.parametrize("program", WRITES, ids=lambda program: program.__name__)
def test_on_other_numbers_the_rows_are_those_of_the_program(program: Program, name: str) -> None:
    """Also where the change does not reach the writes."""

    def shown(**leaves: tg.Tensor) -> tuple[Tape, list[object]]:
        with tg.keep_lines():
            y = program(leaves["x"]) * leaves["w"]
        tape = tg.tape(y, leaves)
        return tape, rows_of(tape)

    def rows_of(tape: Tape) -> list[object]:
        return [(row.call, row.values, row.cotangents) for row in record_of(tape, "").rows]

    def leaf(*numbers: float) -> tg.Tensor:
        return tg.tensor(numbers if len(numbers) > 1 else numbers[0], requires_grad=True)

    new = {"x": leaf(1.5, 2.5, 3.5), "w": leaf(7.0)}[name]
    tape, first = shown(x=leaf(1.0, 2.0, 3.0), w=leaf(2.0))
    if program is read_between:
        with pytest.raises(RuntimeError, match="which getitem was given, was written to since"):
            tape.what_if({name: new})
        return
    changed = tape.what_if({name: new})
    assert rows_of(changed) == shown(**{"x": leaf(1.0, 2.0, 3.0), "w": leaf(2.0)} | {name: new})[1]
    assert rows_of(tape) == first


# ---- other writes, after which nobody knows what was there ----
def of_a_leaf(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return (x + 1.0).sum(), x


def of_a_constant(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    c = tg.ones(3)
    return (x + c).sum(), c


def of_a_result(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    m = x + 1.0
    return m.sum(), m


def of_what_a_view_shows(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return x.reshape((3, 1)).sum(), x


def of_a_view(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    m = (x * 1.0).reshape((3, 1))
    return m.sum(), m


def of_what_was_written_to(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    z = tg.zeros(3)
    z[0] = x[0]
    z[1] = x[1]
    return z.sum(), z


def of_the_output(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    y = (x + 1.0).sum()
    return y, y


TOUCHED = [
    of_a_leaf, of_a_constant, of_a_result, of_what_a_view_shows, of_a_view, of_what_was_written_to, of_the_output,
]  # fmt: skip


@pytest.mark.parametrize("program", TOUCHED)
def test_after_a_write_there_is_no_page(
    program: Callable[[tg.Tensor], tuple[tg.Tensor, tg.Tensor]],
) -> None:
    """Also where no rule reads what was there."""
    y, touched = program(tg.tensor([1.0, 2.0, 3.0], requires_grad=True))
    tape = tg.tape(y)
    tape.html()
    with tg.no_grad():
        touched *= 5.0
    with pytest.raises(RuntimeError, match="was written to after"):
        tape.html()


def test_a_write_behind_another_of_the_same_memory_is_seen() -> None:
    """The note of a later `t[i] = v` stands in the place of that of the write."""
    x, z = tg.tensor([1.0, 2.0, 3.0], requires_grad=True), tg.zeros(3)
    z[1] = x[1]
    with tg.no_grad():
        z[0:3] = 7.0
    z[::2] = x[::2]
    with pytest.raises(RuntimeError, match="was written to after"):
        tg.tape(z.sum()).html()


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_leaf_that_got_another_array_has_no_page(power: float) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    tape = tg.tape((x + 1.0).sum() * (x**power).sum(), {"x": x})
    x.data = tg.tensor([5.0, 5.0]).data
    with pytest.raises(RuntimeError, match="was written to after"):
        tape.html()


def test_an_optimizer_that_is_made_since_changes_nothing() -> None:
    model = tg.nn.Dense(1, in_features=2)
    tape = tg.tape(model(tg.ones((3, 2))).sum(), model)
    first = tape.html()
    tg.optim.Adam(model.parameters())
    assert tape.html() == first


def test_the_largest_number_is_no_infinity_when_it_is_rounded() -> None:
    largest = float(np.finfo("float64").max)
    x = tg.tensor([largest, 1.0], dtype="float64", requires_grad=True)
    assert "1.7976931348623157e+308" in tg.tape((x * 1.0).sum() * 0.0, {"x": x}).html()
