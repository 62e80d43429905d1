"""A fit of batches that goes on in another process sees the batches that one without a stop sees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.data import Batches, CsvRows, DataLoader
from tapegrad.models import LambdaCallback, Sequential

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3)).astype("float32")
Y = X[:, :1] * 2
EPOCHS = 5


def noisy(batch: Any, generator: np.random.Generator) -> Any:
    return batch[0] + generator.normal(size=batch[0].shape).astype("float32"), batch[1]


def loader(**options: Any) -> Any:
    return DataLoader(X, Y, batch_size=8, **{"shuffle": True, "seed": 5, **options})


# what makes the batches in each process; options of fit
BATCHES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "a loader": (loader, {}),
    "with threads": (lambda: loader(workers=2), {}),
    "with a transform that draws": (lambda: loader(shuffle=False, transform=noisy), {}),
    "fewer steps than a pass": (loader, {"steps_per_epoch": 3}),
    "more steps than a pass": (loader, {"steps_per_epoch": 5}),
    "as many steps": (loader, {"steps_per_epoch": 4}),
    "Batches": (lambda: Batches(X, Y, batch_size=8), {}),
}
VALIDATED: dict[str, dict[str, Any]] = {
    "each epoch": {},
    "some epochs": {"validation_freq": 2},
    "in part": {"validation_steps": 2},
}


def fit(model: Sequential, batches: Any, **options: Any) -> Any:
    return model.fit(batches, epochs=EPOCHS, verbose=0, **options)


def whole(path: Path, batches: Any, **options: Any) -> tuple[Sequential, Any]:
    """A fit without a stop, saved after each epoch, and its History."""
    tg.manual_seed(0)
    model = Sequential(nn.Dense(4, "tanh", in_features=3), nn.Dense(1))
    model.compile("adam", "mse")
    save = LambdaCallback(on_epoch_end=lambda epoch, logs: model.save(path / f"{epoch + 1}"))
    return model, fit(model, batches, callbacks=save, **options)


def resumed(path: Path, cut: int) -> Sequential:
    tg.manual_seed(9)
    return Sequential.load(path / f"{cut}", resume=True)


def same(a: Sequential, b: Sequential) -> bool:
    return all((p == q).all() for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.mark.parametrize("name", BATCHES)
def test_a_fit_that_goes_on_sees_the_batches_of_one_without_a_stop(name: str, tmp_path: Path) -> None:
    make, options = BATCHES[name]
    model, _ = whole(tmp_path, make(), **options)
    for cut in range(1, EPOCHS):
        again = resumed(tmp_path, cut)
        fit(again, make(), initial_epoch=cut, **options)
        assert same(again, model), cut


@pytest.mark.parametrize("name", VALIDATED)
def test_validations_that_go_on_are_those_without_a_stop(name: str, tmp_path: Path) -> None:
    held = lambda: loader(transform=noisy)
    _, history = whole(tmp_path, loader(), validation_data=held(), **VALIDATED[name])
    for cut in range(1, EPOCHS):
        options = {"validation_data": held(), **VALIDATED[name]}
        later = fit(resumed(tmp_path, cut), loader(), initial_epoch=cut, **options)
        np.testing.assert_array_equal(
            later.history.get("val_loss", [np.nan] * (EPOCHS - cut)), history["val_loss"][cut:]
        )


def test_a_loader_that_is_there_or_further_stays(tmp_path: Path) -> None:
    """Another fit of the same loader goes on in new orders, and so does one whose state was loaded."""
    model, made = Sequential(nn.Dense(1, in_features=3)), loader()
    model.compile("sgd", "mse")
    orders = []
    for start, epochs, begins in ((0, 2, 0), (2, 4, 2), (0, 1, 4), (1, 2, 5)):
        seen = LambdaCallback(on_train_batch_begin=lambda batch, logs: orders.append(made.epoch))
        model.fit(made, epochs=epochs, initial_epoch=start, verbose=0, callbacks=seen)
        assert orders[0] == begins and orders[-1] == begins + epochs - start - 1
        orders.clear()
    other = loader()
    other.load_state_dict({**made.state_dict(), "epoch": 3, "batch": 2})
    steps = []
    count = LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(other.epoch))
    model.fit(other, epochs=2, initial_epoch=1, verbose=0, callbacks=count)
    assert steps == [3, 3]


def test_a_stream_with_steps_says_that_its_place_is_not_known(tmp_path: Path) -> None:
    lines = [",".join(map(str, [*x, *y])) for x, y in zip(X, Y, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,t", *lines]))
    model, made = (
        Sequential(nn.Dense(1, in_features=3)),
        DataLoader(CsvRows(tmp_path / "rows.csv", target="t")),
    )
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"2 epochs of steps_per_epoch=1 have had.*state_dict\(\)"):
        model.fit(made, epochs=3, initial_epoch=2, steps_per_epoch=1, verbose=0)
