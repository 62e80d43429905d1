"""What stands in a file that ModelCheckpoint writes, and how a fit goes on from files of running and of ended fits."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.data import DataLoader
from tapegrad.models import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
    Sequential,
    TerminateOnNaN,
)
from tapegrad.models.callbacks import MOMENTS

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 4)).astype("float32")
Y = RNG.normal(size=(60, 1)).astype("float32")


def model() -> Sequential:
    tg.manual_seed(0)
    made = Sequential([nn.Dense(8, "relu", input_shape=(4,)), nn.Dense(1)])
    made.compile("adam", "mse")
    return made


def fit(made: Sequential, epochs: int, start: int = 0, callbacks: Any = ()) -> Sequential:
    made.fit(X, Y, epochs=epochs, initial_epoch=start, verbose=0, callbacks=list(callbacks))
    return made


def weights_in(path: Path, weights_only: bool) -> list[np.ndarray]:
    if weights_only:
        return [t.numpy() for t in tg.load(path).values()]
    return Sequential.load(path).get_weights()


def alike(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Whether two lists hold the same arrays, in any order."""
    return len(a) == len(b) and all(any(np.array_equal(x, y) for y in b) for x in a)


# ---- the file is written at ModelCheckpoint's turn ----
@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.parametrize("name", ["{epoch}", "last"])
def test_callbacks_behind_a_checkpoint_find_its_file(name: str, weights_only: bool, tmp_path: Path) -> None:
    found = []

    def look(epoch: int, logs: Any) -> None:
        there = weights_in(tmp_path / name.format(epoch=epoch + 1), weights_only)
        found.append(alike(there, made.get_weights()))

    made = model()
    checkpoint = ModelCheckpoint(tmp_path / name, save_weights_only=weights_only)
    fit(made, 3, callbacks=[checkpoint, LambdaCallback(on_epoch_end=look)])
    assert found == [True] * 3


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_file_has_the_weights_that_were_measured(weights_only: bool, tmp_path: Path) -> None:
    measured = []

    def zero(epoch: int, logs: Any) -> None:
        measured.extend(made.get_weights())
        made.set_weights([0 * w for w in measured])

    made = model()
    checkpoint = ModelCheckpoint(tmp_path / "a", save_weights_only=weights_only)
    fit(made, 1, callbacks=[checkpoint, LambdaCallback(on_epoch_end=zero)])
    assert alike(weights_in(tmp_path / "a", weights_only), measured)


def test_an_epoch_is_saved_where_a_callback_behind_raises(tmp_path: Path) -> None:
    def fail(epoch: int, logs: Any) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        fit(model(), 3, callbacks=[ModelCheckpoint(tmp_path / "{epoch}"), LambdaCallback(on_epoch_end=fail)])
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


# ---- fits that go on ----
class Counting(Callback):
    """With a state of its own, the epochs that it has seen, and a rate that depends on them."""

    def __init__(self) -> None:
        self.seen = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen += 1
        self.model.optimizer.lr = 0.01 / (1 + self.seen)

    def state(self) -> Any:
        return {"seen": self.seen}

    def restore(self, state: Any) -> None:
        self.seen = state["seen"]


def plateau() -> ReduceLROnPlateau:
    return ReduceLROnPlateau("loss", patience=1, min_delta=0.5, factor=0.5)


def stopping(patience: int = 4) -> EarlyStopping:
    return EarlyStopping("loss", patience=patience, min_delta=0.5)


# callbacks of the fit before, and in what order the fit that goes on is given them
GIVEN: dict[str, tuple[Callable[[], list[Any]], list[int]]] = {
    "none": (lambda: [], []),
    "rates": (lambda: [plateau()], [0]),
    "rates and an end": (lambda: [plateau(), stopping()], [0, 1]),
    "in another order": (lambda: [plateau(), stopping()], [1, 0]),
    "two of a class": (lambda: [stopping(4), stopping(9)], [0, 1]),
    "of two monitors": (lambda: [stopping(4), EarlyStopping("val_loss", patience=20)], [1, 0]),
    "of one's own": (lambda: [Counting(), stopping()], [0, 1]),
    "of one's own behind": (lambda: [stopping(), Counting()], [1, 0]),
}


def gone_on(model_before: Sequential, path: Path, cut: int, callbacks: list[Any]) -> Sequential:
    model_before.save(path)
    tg.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fit_validated(Sequential.load(path, resume=True), 8, cut, callbacks)


def fit_validated(made: Sequential, epochs: int, start: int, callbacks: list[Any]) -> Sequential:
    made.fit(X, Y, epochs=epochs, initial_epoch=start, verbose=0, validation_split=0.2, callbacks=callbacks)
    return made


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
@pytest.mark.parametrize("name", GIVEN)
def test_a_file_saved_after_a_fit_goes_on_with_its_callbacks(name: str, cut: int, tmp_path: Path) -> None:
    make, order = GIVEN[name]
    whole = fit_validated(model(), 8, 0, make())
    callbacks = make()
    again = gone_on(
        fit_validated(model(), cut, 0, make()), tmp_path / "a", cut, [callbacks[i] for i in order]
    )
    assert whole.history is not None and again.history is not None
    assert cut + len(again.history.epoch) == len(whole.history.epoch)
    assert again.optimizer.lr == whole.optimizer.lr
    assert all((a == b).all() for a, b in zip(again.get_weights(), whole.get_weights(), strict=True))


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("name", GIVEN)
def test_a_checkpoint_at_any_place_goes_on(name: str, place: int, tmp_path: Path) -> None:
    make, _ = GIVEN[name]

    def callbacks(folder: str) -> list[Any]:
        made = make()
        made.insert(place, ModelCheckpoint(tmp_path / folder))
        return made

    whole = fit_validated(model(), 8, 0, callbacks("{epoch}"))
    assert whole.history is not None
    ended = len(whole.history.epoch)
    for cut in range(1, ended + 1):
        again = Sequential.load(tmp_path / f"{cut}", resume=True)
        fit_validated(again, 8, cut, callbacks("again-{epoch}"))
        assert cut + len(again.history.epoch) == ended and again.optimizer.lr == whole.optimizer.lr
        assert all((a == b).all() for a, b in zip(again.get_weights(), whole.get_weights(), strict=True))


class SaveIn(Callback):
    """Saves the model at a moment of each validation, in a file named by the epochs that have been trained."""

    def __init__(self, moment: str, folder: Path) -> None:
        self.folder, self.epochs = folder, 0
        setattr(self, moment, self.save)

    def save(self, *arguments: Any) -> None:
        self.model.save(self.folder / f"{self.epochs}")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epochs = epoch + 1


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("moment", [name for name in MOMENTS if name.startswith("on_test_")])
def test_a_file_saved_in_a_validation_goes_on_behind_its_epoch(
    moment: str, name: str, tmp_path: Path
) -> None:
    """It has the whole training of the epoch, whose end its callbacks see when the fit goes on."""
    make, _ = GIVEN[name]
    whole = fit_validated(model(), 8, 0, [SaveIn(moment, tmp_path), *make()])
    assert whole.history is not None
    ended = len(whole.history.epoch)
    for cut in range(1, ended + 1):
        again = Sequential.load(tmp_path / f"{cut}", resume=True)
        with pytest.raises(ValueError, match=f"write initial_epoch={cut},"):
            fit_validated(again, 8, cut - 1, make())
        fit_validated(again, 8, cut, make())
        assert cut + len(again.history.epoch) == ended and again.optimizer.lr == whole.optimizer.lr
        assert all((a == b).all() for a, b in zip(again.get_weights(), whole.get_weights(), strict=True))


def test_a_loader_of_the_validation_gives_a_pass_again(tmp_path: Path) -> None:
    """The validation that the file was saved in has the batches that it had."""

    def loss_of(made: Sequential, start: int, callbacks: list[Any]) -> list[float]:
        loader = DataLoader(X, Y, batch_size=8, shuffle=True, seed=3)
        seen: list[float] = []
        look = LambdaCallback(on_test_batch_end=lambda batch, logs: seen.append(logs["loss"]))
        made.fit(
            X,
            Y,
            epochs=4,
            initial_epoch=start,
            verbose=0,
            validation_data=loader,
            callbacks=[look, *callbacks],
        )
        return seen

    whole = loss_of(model(), 0, [SaveIn("on_test_begin", tmp_path), Counting()])
    again = loss_of(Sequential.load(tmp_path / "2", resume=True), 2, [Counting()])
    assert again == whole[8:]


def test_weights_that_were_gone_back_to_are_the_best_ones_still(tmp_path: Path) -> None:
    """A fit that goes on without an improvement ends where it began."""
    best = lambda: EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    fit(model(), 4, callbacks=[best()]).save(tmp_path / "a")
    again = Sequential.load(tmp_path / "a", resume=True)
    before = again.get_weights()
    fit(again, 8, 4, callbacks=[best()])
    assert all((a == b).all() for a, b in zip(again.get_weights(), before, strict=True))


# whether the fit had ended when the model was saved, after three epochs; where it goes on; what is said
STARTS = [
    (False, 3, None),
    (False, 0, "write initial_epoch=3"),
    (False, 2, "write initial_epoch=3"),
    (False, 4, "fit: initial_epoch=4: this model was saved after 3 epochs of a fit.*write initial_epoch=3"),
    (True, 3, None),
    (True, 0, None),
    (True, 2, "write initial_epoch=3"),
    (True, 4, "or load it without resume=True"),
]


@pytest.mark.parametrize(("ended", "start", "said"), STARTS)
def test_another_epoch_than_the_next_one_is_told(
    ended: bool, start: int, said: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "3"
    made = fit(model(), 3 if ended else 6, callbacks=[Counting(), ModelCheckpoint(tmp_path / "{epoch}")])
    if ended:
        made.save(path)
    again, counting = Sequential.load(path, resume=True), Counting()
    if said is not None:
        with pytest.raises(ValueError, match=said):
            fit(again, 6, start, callbacks=[counting])
        again = Sequential.load(path)
    fit(again, 6, start, callbacks=[counting])
    # A fit from epoch 0 after one that has ended is another fit.
    assert counting.seen == (6 if start == 3 and said is None else 6 - start)


# callbacks of the fit before, those given now, and what is warned of
LEFT_OUT: dict[str, tuple[Callable[[], list[Any]], Callable[[], list[Any]], str]] = {
    "one": (lambda: [plateau(), stopping()], lambda: [stopping()], r"had ReduceLROnPlateau\('loss'\), too"),
    "all": (lambda: [Counting(), stopping()], lambda: [], r"had Counting, EarlyStopping\('loss'\), too"),
    "one of two": (lambda: [Counting(), Counting()], lambda: [Counting()], "had Counting, too"),
    "another monitor": (
        lambda: [stopping()],
        lambda: [EarlyStopping("mae", mode="min")],
        r"had EarlyStopping\('loss'\), too",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_state_that_no_callback_takes_up_is_told(name: str, tmp_path: Path) -> None:
    before, now, said = LEFT_OUT[name]
    fit(model(), 2, callbacks=before()).save(tmp_path / "a")
    again = Sequential.load(tmp_path / "a", resume=True)
    again.compile(again.optimizer, "mse", ["mae"])
    with pytest.warns(UserWarning, match=f"fit: callbacks: the fit that goes on {said}, whose state") as seen:
        fit(again, 3, 2, callbacks=now())
    assert len(seen) == 1 and seen[0].filename == __file__


# ---- fits that a callback ended ----
def best() -> EarlyStopping:
    return EarlyStopping("loss", patience=2, min_delta=0.5, restore_best_weights=True)


def limit() -> LambdaCallback:
    """Ends a fit after its third epoch, as a limit of time does, which another fit does not know of."""

    def end(epoch: int, logs: Any) -> None:
        made.model.stop_training = made.model.stop_training or epoch == 2

    made = LambdaCallback(on_epoch_end=end)
    return made


def poison() -> LambdaCallback:
    """Makes the loss of the third epoch NaN."""

    def write(epoch: int, logs: Any) -> None:
        if epoch == 2:
            made.model.set_weights([w * np.nan for w in made.model.get_weights()])

    made = LambdaCallback(on_epoch_begin=write)
    return made


def veto() -> LambdaCallback:
    """Has a fit go on that another callback ends before its sixth epoch."""

    def go_on(epoch: int, logs: Any) -> None:
        made.model.stop_training = made.model.stop_training and epoch >= 5

    made = LambdaCallback(on_epoch_end=go_on)
    return made


# callbacks of the fit before, and of the one that goes on; how many epochs that one has after the file of each epoch,
# and after one that is saved when the fit has ended
ENDED: dict[str, tuple[Callable[[], list[Any]], Callable[[], list[Any]], list[int]]] = {
    "by EarlyStopping": (lambda: [stopping(2)], lambda: [stopping(2)], [2, 1, 0, 0]),
    "with the best weights": (lambda: [best()], lambda: [best()], [2, 1, 0, 0]),
    "by one of two": (
        lambda: [stopping(9), stopping(2)],
        lambda: [stopping(9), stopping(2)],
        [2, 1, 0, 0],
    ),
    "not by the one that wanted it": (
        lambda: [stopping(1), veto()],
        lambda: [stopping(1), veto()],
        [5, 4, 3, 2, 1, 0, 0],
    ),
    "a larger patience now": (lambda: [stopping(2)], lambda: [stopping(3)], [3, 2, 1, 1]),
    "by a loss that is NaN": (
        lambda: [poison(), TerminateOnNaN()],
        lambda: [poison(), TerminateOnNaN()],
        [2, 1, 0, 0],
    ),
    "by one that keeps no state": (lambda: [stopping(4), limit()], lambda: [stopping(4)], [4, 3, 2, 2]),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_fit_that_a_callback_ended_has_ended(name: str, tmp_path: Path) -> None:
    before, now, epochs = ENDED[name]
    ended = len(epochs) - 1
    first = fit(model(), 8, callbacks=[*before(), ModelCheckpoint(tmp_path / "{epoch}")])
    assert first.history is not None and len(first.history.epoch) == ended
    first.save(tmp_path / f"{ended + 1}")
    whole = fit(model(), 8, callbacks=now())
    for cut, more in enumerate(epochs, 1):
        again = fit(Sequential.load(tmp_path / f"{cut}", resume=True), 8, min(cut, ended), now())
        assert again.history is not None and len(again.history.epoch) == more, cut
        pairs = zip(again.get_weights(), whole.get_weights(), strict=True)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def test_a_fit_that_has_ended_has_ended_in_each_file_of_it(tmp_path: Path) -> None:
    made = fit(model(), 8, callbacks=[stopping(2)])
    for name in ("a", "b"):
        made.save(tmp_path / name)
        made, callback = Sequential.load(tmp_path / name, resume=True), stopping(2)
        fit(made, 8, 3, [callback])
        assert made.history is not None and made.history.epoch == [] and callback.stopped_epoch == 2


def test_a_second_file_before_the_fit_goes_on_is_the_first(tmp_path: Path) -> None:
    fit(model(), 5, callbacks=[ModelCheckpoint(tmp_path / "{epoch}"), Counting(), stopping()])
    Sequential.load(tmp_path / "3", resume=True).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "3").read_bytes()
