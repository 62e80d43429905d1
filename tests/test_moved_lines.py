"""Lines as other libraries have them that are no names of theirs: what is said, and what to write."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import models, nn, optim
from tapegrad.models import monitors

X = tg.ones((2, 2))


def fit(callback: Any) -> Callable[[], object]:
    def run() -> object:
        model = models.Sequential([nn.Dense(1, in_features=2)])
        model.compile("sgd", "mse", metrics=["accuracy"])
        x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
        return model.fit(x, y, validation_split=0.5, verbose=0, callbacks=[callback()])

    return run


CASES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "torch.save": (
        lambda: tg.save({"a": X}, "m.pt"), TypeError,  # type: ignore[arg-type]
        "save: path: expected a text, got a dict: the path comes first, save('m.pt', tensors)",
    ),
    "torch.save of a model": (
        lambda: tg.save(nn.ReLU(), "m.pt"), TypeError,  # type: ignore[arg-type]
        "save: path: expected a text, got a ReLU: the path comes first, save('m.pt', module.state_dict())",
    ),
    "a misspelt monitor": (
        fit(lambda: monitors.EarlyStopping(monitor="val_los")), ValueError,
        "EarlyStopping: monitor='val_los' is not measured: did you mean 'val_loss'?",
    ),
    "a misspelt metric": (
        fit(lambda: monitors.EarlyStopping(monitor="val_acuracy")), ValueError, "did you mean 'val_accuracy'?",
    ),
    "a misspelt monitor and its way": (
        fit(lambda: monitors.EarlyStopping(monitor="val_los", mode="min")), ValueError, "did you mean 'val_loss'? Else",
    ),
    "flatten(1)": (lambda: X.flatten(1), TypeError, "PyTorch's flatten(1) is x.reshape(x.shape[0], -1)"),
    "where(c)": (lambda: tg.where(X > 0), TypeError, "where(condition, x1, x2); the places are nonzero(condition)"),
    "a GPU": (lambda: X.to("gpu"), tg.BackendError, "; a GPU is \"cuda\" or \"cupy\""),
    "static_argnums": (lambda: tg.jit(abs, static_argnums=0), TypeError, "jit has no keyword 'static_argnums': values"),
    "fullgraph": (lambda: tg.jit(abs, fullgraph=True), TypeError, "jit: tapegrad's word for fullgraph is strict"),
    "no parameters": (lambda: optim.Adam([]), ValueError, "there are no parameters: give a Module or its parameters()"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_what_to_write(case: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call, kind, said = CASES[case]
    with pytest.raises(kind) as caught:
        call()
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())
