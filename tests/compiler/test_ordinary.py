"""Ordinary code is compiled: what is looked at for effects and hidden state does not turn it down."""

import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F = tg.nn.functional


def test_what_a_module_does_as_it_is_imported_is_not_what_the_function_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But what it holds then is looked at."""
    module = tmp_path / "imported_inside.py"
    module.write_text(
        "import time\n\nSTART = time.time()\nprint('imported')\nscale = 2.0\n\n\ndef scaled(x):\n    return x * scale\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def f(x: Any) -> Any:
        import imported_inside

        return imported_inside.scaled(x)

    compiled = tg.jit(f, emitter="numpy", strict=True)
    for _ in range(4):
        assert compiled(tg.tensor([1.0])).tolist() == [2.0]
    assert compiled.stats()["compiled"] == 2
    sys.modules["imported_inside"].scale = 3.0  # type: ignore[attr-defined]
    assert compiled(tg.tensor([1.0])).tolist() == [3.0]


ORDINARY: dict[str, Callable[[Any], Any]] = {
    "map of ours": lambda x: sum(map(tg.tanh, [x, x]), tg.zeros(1)),
    "map beside a loss": lambda x: F.mse_loss(x, x * 2.0) + sum(map(lambda t: t.sum(), [x, x])),
    "a branch that prints, beside map": lambda x: (
        print(x) if F is None else sum(map(lambda t: t * 2.0, [x]), x)
    ),
    "a function of NumPy's with the name of one of inspect's": lambda x: (
        x * float(np.stack([1.0, 2.0]).sum())
    ),
    "a partial of ours": lambda x: partial(F.leaky_relu, negative_slope=0.5)(x),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_code_is_compiled(name: str) -> None:
    f = ORDINARY[name]
    compiled, x = tg.jit(f, emitter="numpy", strict=True), tg.tensor([1.0])
    with tg.no_grad():
        for _ in range(5):
            assert compiled(x).tolist() == f(x).tolist()
    assert compiled.stats()["compiled"] == 3


def test_a_cached_helper_that_others_use_is_compiled() -> None:
    @cache
    def share(n: int) -> float:
        return 1.0 / n

    compiled = tg.jit(lambda x: x * share(4), emitter="numpy", strict=True)
    for n in range(6):
        share(100 + n)
        assert compiled(tg.tensor([1.0])).tolist() == [0.25]
    assert compiled.stats()["compiled"] == 4
