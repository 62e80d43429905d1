"""What is on the pages, before a browser shows it: values, folds, lines, and how large they are."""

import io
import json
import re
from time import process_time
from typing import Any

import numpy as np
import pytest

import page_programs as programs
import tapegrad as tg
from tapegrad.autograd.pages.folds import Fold, folded
from tapegrad.autograd.pages.numbers import numbers_of
from tapegrad.autograd.pages.record import Tables, record_of
from tapegrad.autograd.tapes.sites import site_of
from tapegrad.autograd.tapes.tape import Tape

PROGRAMS = {"mlp": programs.mlp, "rnn": programs.rnn, "unlike": lambda: programs.unlike(60)}


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


# --- values and cotangents ---


@pytest.mark.parametrize("program", PROGRAMS)
def test_cotangents_of_leaves_are_their_gradients(program: str) -> None:
    loss, names = PROGRAMS[program]()
    tape = tg.tape(loss, names)
    rows = {row.name: row for row in record_of(tape, "").rows}
    loss.backward()
    looked_at = 0
    for leaf, name in tape.leaves.items():
        found = rows[name].cotangents[0]
        if leaf.grad is None:
            assert found is None
            continue
        assert found == numbers_of(leaf.grad.data, len(found.corner), len(found.corner[0])), name
        looked_at += 1
    assert looked_at


def test_values_are_those_of_the_calls() -> None:
    loss, names = programs.mlp()
    tape = tg.tape(loss, names)
    rows = {row.name: row for row in record_of(tape, "").rows}
    for node, name in tape.calls.items():
        value = rows[name].values[0]
        assert value.low == node.out.min() and value.high == node.out.max()
        assert value.mean == pytest.approx(node.out.mean(dtype="float64"), rel=1e-12)
        assert value.shape == node.out.shape and not value.nonfinite


ARRAYS = {
    "not finite": (np.array([[1.0, np.nan], [-np.inf, 4.0]]), (1.0, 4.0, 2.5, 2)),
    "nothing finite": (np.array([np.nan]), (None, None, None, 1)),
    "empty": (np.zeros((0, 3)), (None, None, None, 0)),
    "a number": (np.array(3.0), (3.0, 3.0, 3.0, 0)),
    "booleans": (np.array([True, False]), (0.0, 1.0, 0.5, 0)),
    "integers": (np.array([[-3, 2**40]]), (-3, 2**40, (2**40 - 3) / 2, 0)),
    "integers of more digits than a float": (np.array([2**60 + 1, 1]), (1, 2**60 + 1, float(2**59 + 1), 0)),
    "half": (np.array([60000.0, 60000.0], dtype="float16"), (60000.0, 60000.0, 60000.0, 0)),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_numbers(case: str) -> None:
    array, expected = ARRAYS[case]
    n = numbers_of(array, 4, 4)
    assert (n.low, n.high, n.mean, n.nonfinite) == expected
    assert n.shape == array.shape and n.dtype == str(array.dtype)


# Integers and truths are shown as they are, other numbers to four digits: [low, high, mean] and the corner.
EXACT: dict[str, tuple[Any, list[Any], str]] = {
    "integers": ([12345, 99999, 100000], [12345, 100000, 7.078e4], "12345 99999 100000"),
    "long integers": ([2**60 + 1, 1234567], ["1234567", str(2**60 + 1), 5.765e17],
                      f"{2**60 + 1} 1234567"),
    "truths": ([True, False], [0, 1, 0.5], "True False"),
    "floats": ([12345.0, 0.123456], [0.1235, 12340, 6173], "1.234e+04 0.1235"),
}  # fmt: skip


@pytest.mark.parametrize("case", EXACT)
def test_integers_are_exact(case: str) -> None:
    values, expected, corner = EXACT[case]
    packed: Any = Tables().packed(numbers_of(np.array(values), 4, 4))
    assert packed[1:3] == expected[:2] and packed[3] == pytest.approx(expected[2], rel=1e-3)
    assert packed[6] == corner


def test_a_corner_is_cut_from_the_last_two_axes() -> None:
    n = numbers_of(np.arange(2 * 3 * 5.0).reshape(2, 3, 5), 2, 3)
    assert n.corner == [[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]] and n.cut
    assert not numbers_of(np.arange(6.0).reshape(2, 3), 2, 3).cut


def test_values_on_another_device(elsewhere: str) -> None:
    x = tg.tensor([[1.0, 2.0]], requires_grad=True, device=elsewhere)
    rows = record_of(tg.tape((x * x).sum(), {"x": x}), "").rows
    assert rows[0].name == "x" and rows[0].cotangents[0].corner == [[2.0, 4.0]]  # type: ignore[union-attr]


def test_written_to_since_then_raises() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    tape = tg.tape(loss)
    tape.html()
    with tg.no_grad():
        x += 1.0
    with pytest.raises(RuntimeError, match="written to"):
        tape.html()


# --- folds ---


def shown(items: list[Any]) -> Any:
    return [i if isinstance(i, int) else (i.kind, i.label, shown(i.items)) for i in items]


def test_each_of_fifty_layers_is_one_row() -> None:
    with tg.keep_lines():
        made = programs.deep(50)
    tree = record_of(tg.tape(*made), "").tree
    labels = [item.label for item in tree if isinstance(item, Fold)]
    assert labels == [f"layers.{i} (Dense)" for i in range(50)]
    assert len(tree) == 51


@pytest.mark.parametrize("lines", [True, False])
def test_time_steps_fold_to_a_loop(lines: bool) -> None:
    if lines:
        with tg.keep_lines():
            made = programs.rnn(50)
    else:
        made = programs.rnn(50)
    loops = [i for i in record_of(tg.tape(*made), "").tree if isinstance(i, Fold)]
    assert [(loop.kind, len(loop.items)) for loop in loops] == [("loop", 50)]


M, N = (("Net", 1), ("m", 2)), (("Net", 1), ("n", 3))
FOLDED = {
    "nothing": ([(), ()], "ab", [0, 1]),
    "a module": ([(), M, M, ()], "abcd", [0, ("module", "m", [1, 2]), 3]),
    "one call of a module": ([(), M, ()], "abc", [0, 1, 2]),
    "two turns are none": ([()] * 8, "abcdabcd", list(range(8))),
    "three turns": (
        [()] * 14, "xabcdabcdabcdy",
        [0, ("loop", "", [("turn", "", list(range(1 + 4 * k, 5 + 4 * k))) for k in range(3)]), 13],
    ),
    "a leaf is part of the call behind it": (
        [()] * 10, ["a", "b", None, "c", "a", "b", "c", "a", "b", "c"],
        [("loop", "", [("turn", "", [0, 1, 2, 3]), ("turn", "", [4, 5, 6]), ("turn", "", [7, 8, 9])])],
    ),
    "two modules": ([M, M, N, N], "abab", [("module", "m", [0, 1]), ("module", "n", [2, 3])]),
    "a module called again and again": (
        [(("Net", 1), ("m", k)) for k in range(2, 9) for _ in "ab"], "ab" * 7,
        [("loop", "", [("turn", "m", [2 * k, 2 * k + 1]) for k in range(7)])],
    ),
    "a loop in a module": (
        [M[:1]] + [M, M] * 7, "x" + "ab" * 7,
        [0, ("module", "m", [("loop", "", [("turn", "", [1 + 2 * k, 2 + 2 * k]) for k in range(7)])])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDED)
def test_folds(case: str) -> None:
    paths, kinds, expected = FOLDED[case]
    assert shown(folded(paths, list(kinds))) == expected


def test_every_row_is_somewhere_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 60))
        paths = [
            (("Net", 0), *(("m", int(k)) for k in rng.integers(0, 2, rng.integers(0, 3)))) for _ in range(n)
        ]
        kinds = [None if k == 0 else int(k) for k in rng.integers(0, 3, n)]
        flat: list[int] = []

        def collect(items: list[Any], flat: list[int] = flat) -> None:
            for item in items:
                flat.append(item) if isinstance(item, int) else collect(item.items)

        collect(folded(paths, kinds))
        assert flat == list(range(n))


STARTS: dict[str, tuple[Any, str]] = {
    "a number": (lambda y: tg.tape(y.sum()), ""),
    "a number, given one": (lambda y: tg.tape(y.sum(), cotangent=1.0), ""),
    "several": (tg.tape, "Cotangents are those of the sum of the result"),
    "several, given ones": (
        lambda y: tg.tape(y, cotangent=[1, 1]),
        "Cotangents are those of the sum of the result",
    ),
    "several, given others": (lambda y: tg.tape(y, cotangent=[1, 2]), "Cotangents start from the given one"),
    "zeros": (
        lambda y: tg.tape(y, cotangent=[0, 0]),
        "All cotangents are zero, for the pass starts from zeros. tg.jvp "
        "and tg.hvp make such a pass, which the next one differentiates: its tape has what they compute",
    ),
    "two": (lambda y: Tape(y, {}, [(y, None), (y * 2.0, None)]), "Cotangents start at v1, v2"),
}


@pytest.mark.parametrize("case", STARTS)
def test_where_the_cotangents_start(case: str) -> None:
    make, words = STARTS[case]
    assert record_of(make(tg.tensor([1.0, 2.0], requires_grad=True) * 3.0), "").start == words


# --- lines, modules and names ---


def test_keep_lines_keeps_line_module_and_names() -> None:
    with tg.keep_lines():
        loss, model = programs.mlp()
    tape = tg.tape(loss)
    assert set(tape.leaves.values()) >= {path for path, _ in model.named_parameters()}
    assert all(node.line and "page_programs.py" in node.line for node in tape.nodes)
    assert [type(run.module).__name__ for run in site_of(tape.nodes[0]).runs] == ["Sequential", "Dense"]
    assert not hasattr(programs.mlp()[0].node, "site")


def test_keep_lines_names_variables_and_what_is_in_them() -> None:
    w, params = tg.ones((2,), requires_grad=True), {"b": tg.ones((2,), requires_grad=True)}
    with tg.keep_lines():
        loss = (w * params["b"]).sum()
    assert set(tg.tape(loss).leaves.values()) == {"w", "params['b']"}


def test_two_models_keep_their_names_apart() -> None:
    first, second = tg.nn.Dense(3, in_features=3), tg.nn.Dense(1, in_features=3)
    with tg.keep_lines():
        loss = second(first(tg.ones((2, 3)))).sum()
    tape = tg.tape(loss)
    assert set(tape.leaves.values()) == {
        "x1",
        *(f"{m}.{p}" for m in ("first", "second") for p in ("kernel", "bias")),
    }
    labels = [item.label for item in record_of(tape, "").tree if isinstance(item, Fold)]
    assert labels == ["first (Dense)", "second (Dense)"]


def test_each_call_of_a_shared_module_is_a_turn() -> None:
    model = tg.nn.Sequential(*[tg.nn.Dense(3, "sigmoid", in_features=3)] * 8)
    with tg.keep_lines():
        loss = model(tg.ones((2, 3))).sum()
    (loop,) = [item for item in record_of(tg.tape(loss), "").tree if isinstance(item, Fold)]
    assert loop.kind == "loop" and [turn.label for turn in loop.items] == ["layers.0 (Dense)"] * 8  # type: ignore[union-attr]


def test_keep_lines_inside_of_a_compiled_function_changes_nothing() -> None:
    @tg.jit
    def f(x: tg.Tensor) -> tg.Tensor:
        with tg.keep_lines():
            return x * 2.0 + 1.0

    for _ in range(3):
        assert f(tg.ones((2,))).tolist() == [3.0, 3.0]


def test_keep_lines_takes_a_function_alone() -> None:
    with pytest.raises(TypeError, match="keep_lines"):
        tg.keep_lines(3)


# --- the emitted program ---


@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_lines_of_a_step_belong_to_the_calls(emitter: str) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite")
    step, loss_of, batch = programs.train_step(emitter)
    tape = tg.tape(loss_of(*batch))
    data = data_of(tape.html(step=step))
    source = data["program"]["text"].split("\n")
    assert data["program"]["text"] == step.source()
    done: dict[tuple[str, int], str] = {}
    for line, *calls in data["program"]["lines"]:
        for row, back in calls:
            name = data["rules"][data["rows"][row][1]][0]
            done[name, back] = done.get((name, back), "") + source[line - 1]
    assert "matmul" in done["linear", 0] and "matmul" in done["linear", 1]
    assert (
        "matmul" in done["dense_relu", 0]
        and "max" in done["dense_relu", 0]
        and {("square", 0), ("square", 1), ("mean", 0)} <= done.keys()
    )
    assert not any("parameters" in text for text in done.values()), "the update is part of no call"


def test_a_step_with_a_loop_has_the_lines_of_a_tape_with_that_loop() -> None:
    w = tg.ones((2,), requires_grad=True)

    def loss_of() -> tg.Tensor:
        return (tg.scan(lambda h, _: (tg.tanh(h * w), None), tg.ones((2,)), length=4)[0] ** 2).sum()

    @tg.jit
    def step() -> tg.Tensor:
        loss = loss_of()
        loss.backward()
        return loss

    for _ in range(3):
        step()
    assert data_of(tg.tape(loss_of()).html(step=step))["program"]["lines"]
    with tg.keep_lines():
        tape = tg.tape(loss_of())
    assert data_of(tape.html(step=step))["program"]["lines"]


def test_a_step_that_computes_something_else_raises() -> None:
    step, loss_of, _ = programs.train_step("numpy")
    other = tg.tape(loss_of(programs.numbers(5, 3), tg.ones((5, 1))))
    with pytest.raises(ValueError, match=r"does not compute this tape.*dense_relu.*\[5, 16\]"):
        other.html(step=step)
    with pytest.raises(TypeError, match=r"tg\.jit"):
        other.html(step=len)


def test_the_program_page_has_every_stage() -> None:
    step, *_ = programs.train_step("numpy")
    data = data_of(step.html())
    for name, _, _, numbers in data["stages"]:
        listed = [line.split("  ")[0] for line in step.program(name).split("\n")]
        assert [data["ops"][k][1] for k in numbers] == listed
    assert data["text"] == step.source()


# --- sizes and what is in a page ---

LIMITS = {"mlp": (programs.mlp, 40_000), "1,000 calls": (lambda: programs.unlike(1000), 1_000_000)}


@pytest.mark.parametrize("case", LIMITS)
def test_a_page_is_small(case: str) -> None:
    program, most = LIMITS[case]
    with tg.keep_lines():
        made = program()
    assert len(tg.tape(*made).html().encode()) <= most


def test_a_page_is_made_in_no_time_that_is_seen() -> None:
    """A second for 1,000 calls is the goal; here with a wide margin, for slow machines."""
    tape = programs.taped(programs.unlike(1000))
    begun = process_time()
    tape.html()
    assert process_time() - begun < 3.0


def test_a_page_asks_for_nothing() -> None:
    step, loss_of, batch = programs.train_step("numpy")
    for page in (tg.tape(loss_of(*batch)).html(step=step), step.html()):
        assert "default-src 'none'" in page and "http:" not in page and "https:" not in page
        assert not re.search(r"<(link|script|img|iframe)[^>]*\b(src|href)=(?!\"data:)", page)


def test_text_of_the_user_ends_no_script() -> None:
    x = tg.ones((2,), requires_grad=True)
    page = tg.tape((x * x).sum(), {"</script><b>": x}).html(title="</title>&<b>")
    assert page.count("</script>") == 2 and "<title>&lt;/title&gt;&amp;&lt;b&gt;</title>" in page


@pytest.mark.parametrize("title", [3, None, b"loss", ["loss"]], ids=repr)
def test_a_title_is_a_text(title: Any) -> None:
    x = tg.ones((2,), requires_grad=True)
    with pytest.raises(TypeError, match="html: title: expected a text, got"):
        tg.tape(x * x).html(title=title)


@pytest.mark.parametrize("path", [b"tape.html", 3, io.StringIO()], ids=["bytes", "number", "file"])
def test_a_path_is_a_text_or_a_path(path: Any) -> None:
    step, loss_of, batch = programs.train_step("numpy")
    for html in (tg.tape(loss_of(*batch)).html, step.html):
        with pytest.raises(TypeError, match="html: path: expected a text or a Path, got"):
            html(path)


def test_a_page_is_written_and_returned(tmp_path: Any) -> None:
    tape = tg.tape(*programs.mlp())
    assert (tmp_path / "t.html").exists() is False
    page = tape.html(tmp_path / "t.html")
    assert (tmp_path / "t.html").read_text(encoding="utf-8") == page
    with pytest.raises(FileNotFoundError, match="html"):
        tape.html(tmp_path / "no" / "t.html")
