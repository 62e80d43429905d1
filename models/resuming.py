"""How far a fit had come when its model was saved, and how another fit goes on from there.

epoch      how many epochs were whole
epochs     how many the fit was to have; of one that has ended, how many it had
callbacks  [{"class": …, "monitor": …, "state": …, "unseen": …}, …] of those that have a state. "unseen" is the end of
           an epoch that a callback had not seen yet, since one before it saved the file, or since it was saved in the
           validation of the epoch. That is made again where it was not "measured"

A fit that a callback ended by `stop_training` has ended for the one that goes on, too, if the callback's `restore` sets
it again, as EarlyStopping's does: no epoch is trained. Any other end, such as that of a limit of time, is in no file.
"""

from typing import TYPE_CHECKING

from tapegrad.autograd import random
from tapegrad.autograd.diagnostics import warn_user
from tapegrad.data.aliases import PlainData
from tapegrad.models.aliases import Model
from tapegrad.models.callbacks import Callback
from tapegrad.models.monitors import ModelCheckpoint

if TYPE_CHECKING:
    from tapegrad.models.fitting import Fit

NOTHING: PlainData = {"epoch": None, "epochs": None, "callbacks": []}


def progress_of(model: Model) -> PlainData:
    """How far the fit of a model is: the one to be gone on with, the one that runs, or the last one."""
    if model.interrupted is not None:
        return {name: model.interrupted[name] for name in NOTHING}
    if model.fitting is not None:
        return progress(model.fitting)
    return model.ended or NOTHING


def progress(training: "Fit", ended: bool = False) -> PlainData:
    """How far a fit is, with the states of its callbacks."""
    moments, seen = training.callbacks, []
    for callback in moments.callbacks:
        if (state := callback.state()) is not None:
            late = None if moments.unseen is None else moments.unseen.state_for(callback)
            seen.append(identity(callback) | {"state": state} | ({} if late is None else {"unseen": late}))
    epochs = training.whole if ended else training.epochs
    return {"epoch": training.whole, "epochs": epochs, "callbacks": seen}


def identity(callback: Callback) -> PlainData:
    """By what a callback is known in a file."""
    monitor = getattr(callback, "monitor", None)
    return {"class": type(callback).__name__} | ({"monitor": monitor} if isinstance(monitor, str) else {})


def paired(
    callbacks: list[Callback], kept: list[PlainData]
) -> tuple[list[tuple[Callback, PlainData]], list[PlainData]]:
    """Each callback with the next state that was kept of its kind, and the states that are left."""
    left, pairs = list(kept), []
    for callback in callbacks:
        mine = identity(callback)
        for place, one in enumerate(left):
            # Files of before have no monitors.
            if all(one.get(name, value) == value for name, value in mine.items()):
                pairs.append((callback, left.pop(place)))
                break
    return pairs, left


def check_goes_on(model: Model, initial_epoch: int, callbacks: list[Callback]) -> None:
    """Raise ValueError where a fit begins at another epoch than the one to be gone on with; warn of lost states."""
    stood = model.interrupted
    if stood is None or stood["epoch"] is None:
        return
    done, ended = stood["epoch"], stood["epoch"] == stood["epochs"]
    if ended and initial_epoch == 0:
        return
    if initial_epoch != done:
        raise ValueError(
            f"fit: initial_epoch={initial_epoch}: this model was saved after {done} epochs of a fit and loaded to "
            f"resume it: write initial_epoch={done}, or load it without resume=True"
        )
    # Which files the one before was to write changes no number.
    lost = [
        one for one in paired(callbacks, stood["callbacks"])[1] if one["class"] != ModelCheckpoint.__name__
    ]
    if lost:
        names = [one["class"] + (f"({one['monitor']!r})" if "monitor" in one else "") for one in lost]
        warn_user(
            f"fit: callbacks: the fit that goes on had {', '.join(names)}, too, whose state in the file is left out "
            "now: give what it had, or load the model without resume=True",
            UserWarning,
        )


def validated_epochs(model: Model, initial_epoch: int) -> int:
    """How many epochs before the first one of a fit have been validated: where the file was saved in the midst of a
    validation, that one is made again."""
    stood = model.interrupted
    if stood is None or stood["epoch"] != initial_epoch:
        return initial_epoch
    again = any(not one["unseen"].get("measured", True) for one in stood["callbacks"] if "unseen" in one)
    return initial_epoch - again


def go_on(training: "Fit") -> bool:
    """Put callbacks and random streams where they stood in the fit that is gone on with. Returns whether a callback had
    ended it before the file was saved, or ends it by the epoch before, which it had not seen then."""
    model, seed = training.model, training.seed
    stood, model.interrupted = model.interrupted, None
    if stood is None:
        return False
    if seed is not None and seed == stood["seed"]:
        random.set_state(stood["random"])
    if stood["epoch"] not in (None, training.initial_epoch):  # a fit of its own
        return False
    stopping, model.stop_training = model.stop_training, False
    late, unseen = [], None
    for callback, kept in paired(training.callbacks.callbacks, stood["callbacks"])[0]:
        callback.restore(kept["state"])
        if kept.get("unseen"):
            late.append(callback)
            unseen = kept["unseen"]
    if unseen is not None:
        logs = {name: float(value) for name, value in unseen["logs"].items()}
        if not unseen.get("measured", True):
            training.validate(unseen["epoch"], logs)
        training.callbacks.epoch_end(unseen["epoch"], logs, late)
    ended, model.stop_training = model.stop_training, model.stop_training or stopping
    return bool(ended)
