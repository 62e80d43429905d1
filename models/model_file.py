"""A whole model in one file: `Sequential.save` and `Sequential.load`.

The file is `autograd.files`'s (tensors and a checksum, no pickle). Its tensors are "weights.<path>" and
"optimizer.<name>"; its metadata entry "model" is a JSON object:

    layers     [{"class": "Dense", "config": {"units": 64, "activation": "relu", …}}, …]
    training   {"optimizer": {"class": "Adam", "options": {…}}, "loss": …, "metrics": […], "emitter": …,
               "run_eagerly": …, "steps": …}, or null. "steps" is how far each kind of batch has come to be compiled
    random     where the random streams stood

Only names are stored for what is code, and `load` looks them up in fixed tables. So layers of a user's own, and
activations that are a user's function, are refused by `save`; with a loss, metric or optimizer of a user's own the
model is saved without its training, and `compile` is to be called again after loading.
"""

import json
import warnings
from pathlib import Path
from typing import Any

from tapegrad import nn, optim
from tapegrad.autograd import files, random
from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.emit.available import EMITTERS, checked
from tapegrad.compiler.errors import JitWarning
from tapegrad.data import metrics as metric_table
from tapegrad.nn.lookup import NAMES

LAYERS: dict[str, type[nn.Module]] = {
    name: kind
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, nn.Module) and kind is not nn.Module
}


def save(model: Any, path: str | Path, metadata: dict[str, str]) -> None:
    if "model" in metadata:
        raise ValueError("save: metadata: the name 'model' is taken by the model itself: choose another one")
    tensors = {f"weights.{name}": value for name, value in model.state_dict().items()}
    training = described_training(model)
    if training is not None and model.optimizer.groups:
        tensors |= {f"optimizer.{name}": value for name, value in model.optimizer.state_dict().items()}
    description = {"layers": described(model), "training": training, "random": random.get_state()}
    files.save(path, tensors, metadata={**metadata, "model": json.dumps(description)})


def described(model: nn.Sequential) -> list[dict[str, Any]]:
    """The layers as plain data; TypeError for what a file cannot hold."""
    found: list[dict[str, Any]] = []
    for number, layer in enumerate(model.layers):
        kind = type(layer).__name__
        if isinstance(layer, nn.Sequential):
            found.append({"class": "Sequential", "layers": described(layer)})
            continue
        if LAYERS.get(kind) is not type(layer):
            raise TypeError(
                f"save: layer {number} is a {kind}, which is not one of tapegrad.nn's layers: a file stores names, "
                "never code. Save its weights with tg.save(path, model.state_dict()) and make the model in a program"
            )
        # Initializers have done their work; those without a name are left out.
        config = {k: v for k, v in layer.config().items() if not (k.endswith("_initializer") and callable(v))}
        for name, value in config.items():
            if callable(value):
                raise TypeError(
                    f"save: {name} of layer {number}, {kind}, is the function {getattr(value, '__name__', value)!r}: "
                    "only those that have a name in tapegrad.nn can be saved"
                )
        found.append({"class": kind, "config": config})
    return found


def described_training(model: Any) -> dict[str, Any] | None:
    """The compile settings as names, or None if the model has none or they cannot be named."""
    optimizer, loss = model.optimizer, NAMES.get(model.loss)
    names = [m.name for m in model.metrics]
    unnamed = any(isinstance(m, metric_table.Custom) for m in model.metrics)
    if (
        optimizer is None
        or loss is None
        or unnamed
        or optim.BY_NAME.get(type(optimizer).__name__.lower()) is not type(optimizer)
    ):
        return None
    return {
        "optimizer": {"class": type(optimizer).__name__, "options": optimizer.config()},
        "loss": loss,
        "metrics": names,
        "emitter": model.emitter,
        "run_eagerly": model.run_eagerly,
        "steps": model.steps().state(),
    }


def load(kind: type, path: str | Path, resume: bool) -> Any:
    metadata, tensors = files.read_metadata(path), files.load(path)
    if "model" not in metadata:
        raise files.FileError(f"{path}: this file holds tensors, not a model that Sequential.save wrote")
    description = json.loads(metadata["model"])
    with random.own_streams(0):  # for initial weights, which are replaced below
        model = kind(*made(path, description["layers"]))
    if resume:  # for good
        random.set_state(description["random"])
    model.load_state_dict(part(tensors, "weights."))
    if (training := description["training"]) is not None:
        options = training["optimizer"]["options"]
        model.compile(
            optim.get(training["optimizer"]["class"], **options),
            training["loss"],
            training["metrics"],
            run_eagerly=training.get("run_eagerly", False),
            emitter=emitter_here(path, training.get("emitter")),
        )
        if state := part(tensors, "optimizer."):
            model.bind_optimizer()
            model.optimizer.load_state_dict(state)
        if resume and "steps" in training:
            model.steps().restore(training["steps"])
    return model


def emitter_here(path: str | Path, emitter: str | None) -> str | None:
    """The emitter that a file names, or None, with a warning, where it cannot be used."""
    if emitter is None or emitter not in EMITTERS:
        return emitter  # which `compile` looks at
    try:
        return checked(emitter)
    except (ValueError, ImportError, RuntimeError) as error:
        warnings.warn(
            f"{path}: this model was compiled with emitter={emitter!r}, which cannot be used here: {error}. It goes on "
            'with "auto", whose numbers may differ in the last bits',
            JitWarning,
            stacklevel=4,
        )
        return None


def made(path: str | Path, layers: list[dict[str, Any]]) -> list[nn.Module]:
    """The layers of a description; FileError for a class that is not one of tapegrad.nn's."""
    found: list[nn.Module] = []
    for layer in layers:
        name = layer["class"]
        if name not in LAYERS:
            raise files.FileError(f"{path}: unknown layer {name!r}; known: {', '.join(sorted(LAYERS))}")
        if "layers" in layer:
            found.append(nn.Sequential(*made(path, layer["layers"])))
        else:
            found.append(LAYERS[name](**layer["config"]))
    return found


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
