"""Compiling that takes long is told while it goes on, and a program that fails where Python does not."""

import time
from functools import partial

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compiler.run import runner
from tapegrad.compiler.run.messages import told_after


@pytest.mark.parametrize("slow", [False, True])
def test_long_compiling_is_told(
    slow: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    emit = runner.emit

    def emit_slowly(*args: object) -> object:
        time.sleep(0.5 * slow)
        return emit(*args)

    monkeypatch.setattr(runner, "emit", emit_slowly)
    monkeypatch.setattr(runner, "SLOW", 0.01 if slow else 100.0)

    @tg.jit(emitter="numpy")
    def twice(x: tg.Tensor) -> tg.Tensor:
        return 2.0 * x

    for _ in range(2):
        twice(tg.ones(3))
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["twice: compiling takes longer than 0.01 s, once for this kind of call"] * slow


def test_a_machine_without_threads_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(timer: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Timer.start", refuse)
    with told_after(0.0, "never"):
        pass


@pytest.mark.parametrize("strict", [False, True])
def test_a_program_that_raises_alone_is_told_and_used_no_more(strict: bool) -> None:
    step = tg.jit(lambda x: x * 2.0 + 1.0, emitter="numpy", strict=strict)
    x = tg.tensor([1.0, 2.0])
    for _ in range(2):
        step(x)

    # No code of the test's, whose errors would be those of the user's.
    step.cases[0].runner.step = partial(np.add, np.ones(2), np.ones(3))
    assert [step(x).tolist() for _ in range(2)] == [[3.0, 5.0]] * 2
    with pytest.warns(
        tg.JitWarning, match=r"raised in 3 calls what Python did not raise, ValueError: operands"
    ):
        assert step(x).tolist() == [3.0, 5.0]
    step.cases[0].runner.step = lambda *arrays: pytest.fail("it runs no more")
    assert step(x).tolist() == [3.0, 5.0]
    assert "please report it" in step.explain()
