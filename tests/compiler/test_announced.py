"""Compiling that takes long is told while it goes on."""

import time

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
