"""What a step writes or reads of a tape, or of another compiled function, it writes and reads at each call."""

import warnings
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg

OTHER = tg.jit(lambda x: tg.sin(x) * 2.0, emitter="numpy")


@pytest.fixture(autouse=True)
def other_is_compiled() -> None:
    for _ in range(3):
        OTHER(tg.ones(2))


# What a step does with its loss and a path; what the message names; whether it writes a file.
INSIDE: dict[str, tuple[Callable[[tg.Tensor, Any], Any], str, bool]] = {
    "a page": (lambda loss, path: tg.tape(loss).html(path), "tape.html", True),
    "a page under keep_lines": (tg.keep_lines(lambda loss, path: tg.tape(loss * 2.0).html(path)), "tape.html", True),
    "the text of a page": (lambda loss, path: path.write_text(tg.tape(loss).html()), "tape.html", True),
    "what a notebook shows of a tape": (lambda loss, path: tg.tape(loss)._repr_html_(), "_repr_html_ of a tape", False),
    "a result on a tape": (lambda loss, path: float(tg.tape(loss).nodes[-1].out), ".out of a recorded call", False),
    "a result of a node": (lambda loss, path: float(loss.node.out), ".out of a recorded call", False),
    "an argument": (lambda loss, path: tg.tape(loss).nodes[0].arrays[0].sum(), ".arrays of a recorded call", False),
    "by a name in a text": (lambda loss, path: getattr(loss.node, "out").sum(), ".out of a recorded call", False),  # noqa: B009
    "by a getter": (lambda loss, path: attrgetter("node.out")(loss).sum(), ".out of a recorded call", False),
    "a page of a program": (lambda loss, path: OTHER.html(path), "what a compiled function tells", True),
    "a file": (lambda loss, path: OTHER.save(str(path.with_suffix(".py"))), "what a compiled function tells", True),
    "counts": (lambda loss, path: OTHER.stats()["calls"], "stats of a compiled function", False),
    "counts in a notebook": (lambda loss, path: OTHER._repr_html_(), "stats of a compiled function", False),
}  # fmt: skip


@pytest.mark.parametrize("case", INSIDE)
def test_it_is_done_at_each_call(case: str, tmp_path: Path) -> None:
    act, what, writes = INSIDE[case]
    w, path, seen = tg.tensor([1.0, 2.0], requires_grad=True), tmp_path / "page.html", []

    @tg.jit(emitter="numpy")
    def step(x: tg.Tensor) -> Any:
        loss = ((w * x) ** 2).sum()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = act(loss, path)
        loss.backward()
        w.grad = None
        return found if isinstance(found, (str, float)) else 0.0

    with pytest.warns(tg.JitWarning, match=f"runs as Python: it calls {what}|it looks at {what}") as told:
        for number in (1.0, 1.0, 10.0, 100.0):
            seen.append(step(tg.tensor(number)))
            written = [*tmp_path.iterdir()]
            assert bool(written) == writes
            for file in written:
                file.unlink()
    assert len(told) == 1 and "test_tapes_inside.py:" in str(told[0].message)
    assert step.stats()["compiled"] == 0
    if isinstance(seen[0], float) and seen[0]:
        assert seen == [5.0, 5.0, 500.0, 50000.0]


def test_node_is_as_before_when_the_recording_is_over() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    step = tg.jit(lambda y: getattr(y.node, "out", None), emitter="numpy")
    with pytest.warns(tg.JitWarning, match="out of a recorded call"):
        step(x * 2.0)
    y = x * 3.0
    assert y.node.out is y.data and y.node.arrays[0] is x.data
    y.node.free()
    assert y.node.out is None
