"""`Tape.what_if` where numbers reach the output past the recorded calls: by closures of functions that are one call, by
arrays, files, loaders and threads. It raises and says so, or gives what the program gives on the new numbers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd.tapes.births import Births, made_since
from what_if_pairs import Program, check_change, numbers, taped

PLACE = Path()  # of the files that programs write


# ---- functions under checkpoint and custom_gradient ----
def closed_over(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.checkpoint(lambda w: tg.tanh(w * x))(w)


def closed_over_what_was_made_of_it(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    double = x * 2.0
    return tg.checkpoint(lambda w: tg.tanh(w * double))(w)


def closed_over_without_gradients(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    def f(w: tg.Tensor) -> tg.Tensor:
        with tg.no_grad():
            total = x.sum()
        return w * total

    return tg.checkpoint(f)(w)


def read_inside(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.checkpoint(lambda w: w * 2.0 if x[0].item() > 2.0 else w * 3.0)(w)


def by_keyword(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.checkpoint(lambda w, scale: w * scale)(w, scale=x)


def nested(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.checkpoint(lambda w: tg.checkpoint(lambda w: w * x + tg.exp(w))(w))(w)


def by_position(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    """What has no gradient, in and out, is followed as well."""
    y, largest = tg.checkpoint(lambda x, w: (tg.tanh(x * w), tg.argmax(x)))(x * 1.5, w)
    return y * (largest + 1)


def custom(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    @tg.custom_gradient
    def f(w: tg.Tensor) -> Any:
        return w * x, lambda g: g * x

    return tg.tanh(f(w))


def custom_by_keyword(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    @tg.custom_gradient
    def f(w: tg.Tensor, scale: tg.Tensor) -> Any:
        return w * scale, lambda g: g * scale

    return f(w, scale=x)


def custom_without_gradients(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    @tg.custom_gradient
    def f(y: tg.Tensor) -> Any:
        return y * x, lambda g: g * 2.0

    return f(numbers(1.0, 1.0)) * w


def writing(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    count = numbers(0.0)

    def f(w: tg.Tensor) -> tg.Tensor:
        count.assign(count + 1.0)
        return w * 2.0

    return tg.checkpoint(f)(w)


def looping(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    """What a loop reads in the runs that look at it first is not the program's to read."""
    slices = numbers(1.0, -1.0)
    return tg.scan(lambda h, s: (tg.tanh(h * w + s) if s.item() > 0 else h * w, None), x * 2.0, slices)[0]


# ---- transforms of what has no gradient of its own ----
def slope(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.grad(lambda y: (y**3 * w).sum())(x * 2.0)


def both(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    value, gradient = tg.value_and_grad(lambda y: (y**3 * w).sum())(x * 2.0)
    return value * gradient


def forward_mode(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    y, tangent = tg.jvp(lambda y: y**3 * w, (x * 2.0,), (x + 1.0,))
    return y * tangent


def curvature(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.hessian(lambda y: (y**3 * w).sum())(x * 2.0).sum(axis=0)


def curvature_along(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    """Of what depends on some elements alone: the zeros of the others are made inside."""
    return tg.hvp(lambda y: (y * y).sum() * y[0], (w,), (tg.ones(2, dtype="float64"),)) * x


# ---- what leaves the tensors and comes back ----
def added_to_an_array(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    array = np.zeros(2)
    array += x
    return tg.tensor(array) * w


def written_by_numpy(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    array = np.zeros(2)
    np.multiply(x, 2.0, out=array)
    return w * array


def saved(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    tg.save(PLACE / "x", {"x": x})
    return tg.load(PLACE / "x")["x"] * w


def caught(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    try:
        return w[(x * 2.0).astype("int64")]
    except IndexError:
        return w * 3.0


def caught_anomaly(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    try:
        with tg.detect_anomaly(), np.errstate(invalid="ignore"):
            return tg.sqrt(x[1]) * w
    except FloatingPointError:
        return w * 3.0


def in_batches(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return next(batch for (batch,) in tg.data.Batches(x, batch_size=2, shuffle=False)) * w


def loaded(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return next(batch for (batch,) in tg.data.DataLoader(x, batch_size=2, workers=1)) * w


POOL = ThreadPoolExecutor(1)


def in_a_thread(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return POOL.submit(lambda: x * 2.0).result() * w


def read_in_a_thread(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return w * POOL.submit(lambda: x[0].item()).result()


def listed_in_a_thread(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.tensor(POOL.submit(x.tolist).result(), dtype="float64") * w


USES = r"uses .* without getting it.*change reaches it"
READS, UNKNOWN = "the program reads", "where no note is taken"
# What becomes of another x, and of another w: the message of an error, or "" where it is the program's result.
OUTSIDE: dict[Program, tuple[str, str]] = {
    closed_over: (USES, ""), closed_over_what_was_made_of_it: (USES, ""), closed_over_without_gradients: (USES, ""),
    read_inside: (USES + "|" + READS, ""), by_keyword: (USES, ""), nested: (USES, ""), by_position: ("", ""),
    custom: (USES, ""), custom_by_keyword: (USES, ""), custom_without_gradients: (USES, ""),
    writing: ("which it did not make", "which it did not make"), slope: ("", ""), both: ("", ""),
    forward_mode: ("", ""), curvature: ("", ""), curvature_along: ("", ""), looping: ("", ""),
    added_to_an_array: (READS, ""), written_by_numpy: (READS, ""), caught: (READS, READS),
    caught_anomaly: (READS, ""), saved: (READS, ""), in_batches: ("shares the memory", ""), loaded: (READS, ""),
    in_a_thread: (UNKNOWN, UNKNOWN), read_in_a_thread: (UNKNOWN, UNKNOWN), listed_in_a_thread: (READS, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ["x", "w"])
@pytest.mark.parametrize("program", OUTSIDE, ids=lambda program: program.__name__)
def test_what_goes_past_the_tape_is_followed_or_refused(
    program: Program, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PLACE", tmp_path)
    check_change(program, name, OUTSIDE[program]["xw".index(name)])


def test_what_only_the_pullback_uses_is_refused_by_the_backward_pass() -> None:
    x, w = numbers(1.0, -2.0), numbers(0.5, 3.0)

    @tg.custom_gradient
    def f(w: tg.Tensor) -> Any:
        return w * 2.0, lambda g: g * x

    tape = tg.tape(taped(lambda x, w: tg.checkpoint(lambda w: tg.tanh(f(w)))(w), x, w), {"x": x, "w": w})
    for use in (lambda changed: changed.output.backward(), lambda changed: changed.html()):
        changed = tape.what_if({"x": numbers(4.0, 7.0)})
        with pytest.raises(RuntimeError, match=USES):
            use(changed)
    tape.what_if({"w": numbers(4.0, 7.0)}).html()


def test_what_a_function_uses_and_is_not_changed_is_on_the_new_tape() -> None:
    """And so a backward pass of it leaves the first tape as it was."""

    def program(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
        used = tg.exp(w)
        return tg.checkpoint(lambda x: x * used)(x * 2.0) * used

    x, w = numbers(1.0, -2.0), numbers(0.5, 3.0)
    tape = tg.tape(taped(program, x, w), {"x": x, "w": w})
    for _ in range(2):
        changed = tape.what_if({"x": numbers(4.0, 7.0)})
        assert [changed.call(node) for node in changed.nodes] == [tape.call(node) for node in tape.nodes]
        changed.output.backward()
    expected = taped(program, numbers(4.0, 7.0), v := numbers(0.5, 3.0))
    expected.backward()
    assert v.grad is not None and w.grad is not None and w.grad.tolist() == (2.0 * v.grad).tolist()


@pytest.mark.parametrize("kind", ["checkpoint", "scan"])
def test_a_page_shows_no_gradient_of_another_function(kind: str) -> None:
    x, factor = numbers(1.0, -2.0).requires_grad_(), [2.0]
    f = lambda h, s=None: (h * h * factor[0], None)
    y = tg.checkpoint(f)(x)[0] if kind == "checkpoint" else tg.scan(f, x, length=2)[0]
    tape = tg.tape(y)
    tape.html()
    factor[0] = 3.0
    with pytest.raises(RuntimeError, match=r"gave other (numbers|results)"):
        tape.html()


def number_inside() -> tuple[Program, Callable[[], None]]:
    factor = [2.0]
    return lambda x, w: tg.checkpoint(lambda w: w * factor[0])(w), lambda: factor.append(factor.pop() + 1.0)


def array_inside() -> tuple[Program, Callable[[], None]]:
    array = np.ones(2)
    return lambda x, w: tg.checkpoint(lambda w: w * array)(w), lambda: array.fill(2.0)


def mode_inside() -> tuple[Program, Callable[[], None]]:
    layer = nn.Dropout(0.5).eval()
    return lambda x, w: tg.checkpoint(layer)(w), lambda: layer.train() and None


def tensor_inside() -> tuple[Program, Callable[[], None]]:
    kept = numbers(1.0, 1.0)
    return lambda x, w: tg.checkpoint(lambda w: w * kept)(w), lambda: kept.assign([2.0, 2.0])


@pytest.mark.parametrize("case", [number_inside, array_inside, mode_inside, tensor_inside])
def test_what_a_function_uses_is_as_it_was(case: Any) -> None:
    program, change = case()
    x, w = numbers(1.0, -2.0), numbers(0.5, 3.0)
    tape = tg.tape(taped(program, x, w), {"x": x, "w": w})
    tape.what_if({"w": numbers(4.0, 7.0)})
    change()
    for name in "xw":
        with pytest.raises(RuntimeError, match=r"other numbers now|written to since"):
            tape.what_if({name: numbers(4.0, 7.0)})


def test_draws_after_it_are_those_of_a_run_without_it() -> None:
    def drawn(ask: bool) -> Any:
        tg.manual_seed(0)
        x, w = numbers(1.0, -2.0), numbers(0.5, 3.0)
        tape = tg.tape(taped(lambda x, w: tg.checkpoint(lambda w: w * tg.rand(2))(w), x, w), {"w": w})
        if ask:
            tape.what_if({"w": numbers(4.0, 7.0)}).output.backward()
        return tg.rand(3).tolist()

    assert drawn(True) == drawn(False)


def test_tensors_are_stamped_inside_of_keep_lines_alone() -> None:
    assert numbers(1.0).detach()._version == 0
    with tg.keep_lines():
        with tg.keep_lines():
            assert numbers(1.0).detach()._version < 0
        assert POOL.submit(lambda: numbers(1.0).detach()).result()._version < 0
    assert numbers(1.0).detach()._version == 0


def test_a_block_of_another_thread_ends_its_own_stamps_alone() -> None:
    def block() -> tg.Tensor:
        with Births():
            return numbers(1.0).detach()

    one = numbers(1.0)
    with Births() as begun:
        assert made_since(POOL.submit(block).result(), begun) and made_since(one.detach(), begun)
    assert not made_since(one.detach(), begun) and not made_since(one, begun)


def test_memory_shared_from_outside_raises() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    outside = x.detach()
    with tg.keep_lines():
        loss = (x * outside).sum()
    tape = tg.tape(loss, {"x": x, "outside": outside})
    with pytest.raises(
        RuntimeError, match=r"x shares the memory of outside.*if it was made of x, make it inside"
    ):
        tape.what_if({"x": [1.0, 1.0]})
    assert tape.what_if({"x": [1.0, 1.0], "outside": [2.0, 3.0]}).output.item() == 5.0


def test_an_error_of_the_program_is_none_of_ours() -> None:
    """Whatever its text begins with; and a refusal inside of another call keeps its own words."""

    def f(t: tg.Tensor) -> tg.Tensor:
        if t.numpy()[0] > 2:
            raise RuntimeError("what_if: of the program")
        return t * 1.0

    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.keep_lines():
        y = tg.checkpoint(f)(x).sum()
    with pytest.raises(RuntimeError, match=r"^what_if: the program (reads|raises an error)"):
        tg.tape(y, {"x": x}).what_if({"x": [3.0, 4.0]})
    with tg.keep_lines():
        z = x * 2.0
        y = tg.checkpoint(lambda q: tg.checkpoint(lambda r: r * z)(q) * 1.0)(x).sum()
    with pytest.raises(RuntimeError, match=r"^what_if: checkpoint.* uses float32.* without getting it"):
        tg.tape(y, {"x": x}).what_if({"x": [3.0, 4.0]})
