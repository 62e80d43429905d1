"""Write docs/keras.md: what of Keras's Sequential is the same here, what differs, and what is refused.
Run: python docs/make_keras.py"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tapegrad import models, nn
from tapegrad.data import metrics
from tapegrad.models import Sequential
from tapegrad.models.callbacks import MOMENTS

ROOT = Path(__file__).resolve().parent.parent

# Keras's signatures, which tests/models/test_keras.py compares with the installed one.
METHODS: dict[str, list[str]] = {
    "__init__": ["layers", "trainable", "name"],
    "compile": [
        "optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly", "steps_per_execution",
        "jit_compile", "auto_scale_loss",
    ],
    "fit": [
        "x", "y", "batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data", "shuffle",
        "class_weight", "sample_weight", "initial_epoch", "steps_per_epoch", "validation_steps",
        "validation_batch_size", "validation_freq",
    ],
    "evaluate": ["x", "y", "batch_size", "verbose", "sample_weight", "steps", "callbacks", "return_dict"],
    "predict": ["x", "batch_size", "verbose", "steps", "callbacks"],
    "train_on_batch": ["x", "y", "sample_weight", "class_weight", "return_dict"],
    "test_on_batch": ["x", "y", "sample_weight", "return_dict"],
    "predict_on_batch": ["x"],
    "get_layer": ["name", "index"],
    "get_weights": [],
    "set_weights": ["weights"],
    "add": ["layer", "rebuild"],
    "train_step": ["data"],
    "test_step": ["data"],
}  # fmt: skip
CALLBACKS: dict[str, list[str]] = {
    "EarlyStopping": [
        "monitor", "min_delta", "patience", "verbose", "mode", "baseline", "restore_best_weights", "start_from_epoch",
    ],
    "ModelCheckpoint": [
        "filepath", "monitor", "verbose", "save_best_only", "save_weights_only", "mode", "save_freq",
        "initial_value_threshold",
    ],
    "LearningRateScheduler": ["schedule", "verbose"],
    "ReduceLROnPlateau": [
        "monitor", "factor", "patience", "verbose", "mode", "min_delta", "cooldown", "min_lr",
    ],
    "CSVLogger": ["filename", "separator", "append"],
    "LambdaCallback": [
        "on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end", "on_train_batch_begin",
        "on_train_batch_end",
    ],
    "TerminateOnNaN": ["raise_error"],
}  # fmt: skip
NO_CALLBACK = [
    "BackupAndRestore", "OrbaxCheckpoint", "ProgbarLogger", "RemoteMonitor", "SwapEMAWeights", "TensorBoard",
]  # fmt: skip
ATTRIBUTES = [
    "layers", "trainable", "name", "input_shape", "output_shape", "weights", "trainable_weights",
    "non_trainable_weights", "variables", "trainable_variables", "non_trainable_variables", "count_params", "metrics",
    "metrics_names", "loss", "losses", "optimizer", "run_eagerly",
    "stop_training", "history", "build", "summary", "save", "save_weights", "load_weights", "export", "pop", "call",
    "compute_loss",
    "reset_metrics", "to_json", "get_config", "from_config", "quantize", "add_loss", "predict_step",
]  # fmt: skip

# What has the same name and does something else: (method, argument) -> how it differs.
DIFFERS: dict[tuple[str, str], str] = {
    (
        "fit",
        "x",
    ): "one array, no dict; `(x, y)`, `(x, y, sample_weight)` and any iterable of such batches are taken",
    ("fit", "class_weight"): "a list of all factors or a Series, too; keys that are no class raise",
    (
        "fit",
        "validation_freq",
    ): "epochs without validation are NaN in the History, so that all lists are equally long",
    ("fit", "validation_batch_size"): "1024 by default; the result does not depend on it",
    ("fit", "verbose"): "1 draws a bar on a terminal and is 2 elsewhere",
    (
        "compile",
        "optimizer",
    ): "options have tapegrad's names, `lr` for learning_rate; another one's name is refused",
    (
        "compile",
        "metrics",
    ): "third by position; know from the loss whether outputs are logits; two of one name raise",
    ("evaluate", "batch_size"): "1024 by default; the result does not depend on it",
    ("predict", "batch_size"): "1024 by default",
    ("predict", "verbose"): "0 by default",
    ("train_on_batch", "return_dict"): "the numbers are of this batch alone",
    ("add", "layer"): "layers make their weights as soon as the input's shape is known",
    (
        "EarlyStopping",
        "restore_best_weights",
    ): "`best_weights` is a state dict, None again after the training",
    (
        "ModelCheckpoint",
        "filepath",
    ): "a safetensors file; a name such as `best.keras` is refused; folders are made before the first epoch",
    ("ModelCheckpoint", "save_freq"): '"epoch" only',
    (
        "ModelCheckpoint",
        "save_best_only",
    ): "a second fit starts anew, but for one that goes on with a file; an epoch "
    "without validation, as `validation_freq` leaves some out, is not saved (Keras saves it)",
    ("CSVLogger", "append"): "a file of other columns raises",
}
HEAD = """# Sequential and Keras

Made from the code by `python docs/make_keras.py`; tests compare it with the code, and Keras's lists with Keras 3.

`tapegrad.models.Sequential` keeps the contract of Keras's `Sequential`: the same words, the same order of arguments,
the same numbers from equal weights and batches (`tests/models/test_keras.py`). What it does not do, it refuses, and
the error says what to write. Nothing is taken and ignored.

## What is called how

- A loss or metric function of your own gets `(y_true, y_pred)`, Tensors. A loss returns one number, or one per row,
  which is weighed by `class_weight` and `sample_weight` and averaged. Parameter names that say the opposite order
  raise.
- tapegrad's own functions (`nn.losses.huber_loss(prediction, target)`) take the prediction first, wherever they are
  called by hand. Models know them by identity, also inside `functools.partial` and wrappers with `__wrapped__`.
- Metric functions are averaged over batches by their rows; metrics by name, and scikit-learn's functions, are exact
  over all rows. An object with `update_state`, `result` and `reset_state` is taken.
- `train_step(self, data)` and `test_step(self, data)` of a subclass are called with `(x, y)` or `(x, y,
  sample_weight)`, and return a dict of numbers. A class that defines `call`, `predict_step`, `compute_loss` or the
  like is refused.
- After `fit`, `evaluate` and `predict` every layer is in the mode, training or evaluation, that it was in before.
  They may be called from callbacks, losses, metrics and layers while a training runs; a fit that a callback calls has a
  History of its own. `model(x, training=True)` runs the layers in that mode for this call. Several threads may predict
  and evaluate with a model at once; while one trains it, the others raise RuntimeError.
- `fit` refuses what Keras takes: targets that the loss does not (2 for a binary cross-entropy), shapes that would be
  broadcast, NaN, class weights of no class, and the columns of a table in another order than in the fit before. It
  warns of a softmax over one unit, of a sigmoid before a loss on logits or a hinge, and of a linear output before one
  on probabilities.
- `mode="auto"` of `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau` asks the model's metric of the monitored
  name, without `val_`, as Keras does: metrics and losses of tapegrad know which way is better under any `name=`, and so
  do scikit-learn's functions by their endings (`_score`, `_loss`, `_error`, `_deviance`), objects of Keras's kind that
  have Keras's `_direction`, "up" or "down", and your own subclasses of `Metric` that set `larger_is_better`. A function
  of your own, or a number of your own `train_step`, counts as the metric of tapegrad's that has exactly its name.
  Otherwise `fit` raises ValueError before the first epoch: write `mode="max"` or `mode="min"`.
- The three raise where the monitored number is not measured, and take a number for better than a NaN that came first:
  Keras warns, and stays with the NaN.
- `LearningRateScheduler` and `ReduceLROnPlateau` add `learning_rate` to the logs and the History, as Keras 3 does.
- `validation_data` is taken where `validation_split` is given as well. Freezing, unfreezing, adding or popping a layer
  needs another `compile`, and `fit` says so: Keras goes on without a word. A callback may do so in the midst of a fit:
  freezing takes effect at once, and for new weights it compiles the model with a new optimizer, or the fit raises.
- To go on with a `CSVLogger`'s file: `CSVLogger(path, append=True)` in the program that goes on. Lines of epochs after
  the one that was saved stay in the file; the first column tells them.
- `ModelCheckpoint` writes at its turn in the list of callbacks, as in Keras. The file holds the model and the logs as
  they are then, with what callbacks before it have changed. The states of all callbacks stand in it, too, and a fit
  that goes on from it gives the end of this epoch to those behind it that have a state: `EarlyStopping`,
  `ReduceLROnPlateau`, and your own that define `state`. What a callback without one changes in the model at the end
  of an epoch is in the file only if it stands before: put `ModelCheckpoint` last.
- A file saved after a fit holds the states of its callbacks, too. A fit of the model that `load(path, resume=True)`
  gave takes them up, by their classes and monitors, if it begins with the next epoch. From epoch 0 it is another fit
  where the one before had ended; any other epoch raises, and a state that no callback takes up is warned of. A fit that
  `EarlyStopping` or `TerminateOnNaN` had ended is ended still: no epoch is trained, unless `patience` is larger now,
  or the model is loaded without `resume=True`. In the program that called `fit` before, callbacks begin anew, as in
  Keras.
- `save` writes one safetensors file with the training's state. Code of your own is named in it: mark it with
  `@tapegrad.models.register`, where it is saved and where it is loaded, or leave the training out by
  `training=False`. `Sequential.load(path, resume=True)` and `fit(…, initial_epoch=…)` go on bit for bit; after a fit
  with a seed, `fit(…, initial_epoch=…, seed=…)` does, loaded or not. The position in a pass that `steps_per_epoch` cut
  is not kept: cut at a whole pass. A new `DataLoader` of the same seed is put at the pass of `initial_epoch`, and at
  its batch with `steps_per_epoch`; one that a `for` loop or a fit has brought further stays where it is. Other
  batches, a generator's or another library's, come as they are given: put them where they stood.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def refusal(act: Callable[[], Any], name: str) -> str:
    """What the error says for a name of Keras's, as a remark."""
    try:
        act()
    except (TypeError, AttributeError, ValueError) as error:
        text = str(error)
        remark = text.partition(": ")[2] or text
        return remark.replace(f"tapegrad's word for {name} is", "here it is called").removesuffix(".")
    raise AssertionError(f"{name} is taken, and nothing says what it does")


def table(title: str, head: str, rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cell(part) for part in row)} |" for row in rows]
    dashes = "|".join("---" for _ in head.split("|"))
    return f"\n## {title}\n\n| {head} |\n|{dashes}|\n" + "\n".join(lines) + "\n"


def arguments(owner: str, keras: list[str], ours: Any, call: Callable[..., Any]) -> tuple[str, str, str, str]:
    """(same, differs, refused, added) for a function: names and remarks."""
    parameters = inspect.signature(ours).parameters
    own = [name for name in parameters if name != "self"]
    several = [p.name for p in parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    taken = [name for name in keras if name in own or several == ["moments"]]
    differing = {name: DIFFERS[owner, name] for name in taken if (owner, name) in DIFFERS}
    refused = {
        name: refusal(lambda name=name: call(**{name: 1}), name) for name in keras if name not in taken
    }
    return (
        ", ".join(f"`{name}`" for name in taken if name not in differing) or "–",
        "; ".join(f"`{name}`: {remark}" for name, remark in differing.items()),
        "; ".join(f"`{name}`: {remark}" for name, remark in refused.items()),
        ", ".join(f"`{name}`" for name in own if name not in keras and name not in several),
    )


def method_rows() -> list[tuple[str, ...]]:
    rows = []
    for method, keras in METHODS.items():
        model = Sequential(nn.Dense(1, in_features=1))
        if method == "compile":
            call: Callable[..., Any] = lambda **options: Sequential().compile("sgd", "mse", **options)
        elif method == "__init__":
            call = Sequential
        else:
            call = lambda method=method, model=model, **options: getattr(model, method)(1, **options)
        rows.append((f"`{method}`", *arguments(method, keras, getattr(Sequential, method), call)))
    return rows


def callback_rows() -> list[tuple[str, ...]]:
    rows = []
    for name, keras in CALLBACKS.items():
        kind = getattr(models, name)
        rows.append((f"`{name}`", *arguments(name, keras, kind, kind)))
    for name in NO_CALLBACK:
        assert not hasattr(models, name)
        rows.append((f"`{name}`", "none", "", "", ""))
    return rows


# Attributes that differ.
REMARKS = {
    "input_shape": "of one sample, without the batch",
    "output_shape": "of one sample, without the batch",
}


def attribute_rows() -> list[tuple[str, ...]]:
    model, rows = Sequential(nn.Dense(1, in_features=1)), []
    for name in ATTRIBUTES:
        if hasattr(model, name):
            rows.append((f"`{name}`", "here, too" + (f"; {REMARKS[name]}" if name in REMARKS else "")))
        else:
            rows.append((f"`{name}`", refusal(lambda name=name: getattr(model, name), name)))
    return rows


def page() -> str:
    names = ", ".join(f"`{name}`" for name in {**metrics.MEANS, **metrics.ROOTS, **metrics.WHOLES})
    head = "name | as in Keras | differs | refused, with what the error says | only here"
    return (
        HEAD
        + table("Methods and their arguments", head, method_rows())
        + table("Callbacks", head, callback_rows())
        + "\nEvery moment of Keras's is called: "
        + ", ".join(f"`{name}({', '.join(given)})`" for name, given in MOMENTS.items())
        + ". `logs` may be left out of a signature. A method named `on_…` that is no moment is refused.\n"
        + table("Other attributes and methods", "Keras's name | here", attribute_rows())
        + f"\n## Metrics by name\n\n{names}; and every loss of `nn.losses` by its name.\n"
    )


if __name__ == "__main__":
    (ROOT / "docs" / "keras.md").write_text(page())
