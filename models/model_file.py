"""A whole model in one file: `Sequential.save` and `Sequential.load`.

The file is `autograd.files`'s (tensors and a checksum, no pickle). Its tensors are "weights.<path>",
"optimizer.<name>", and "values.<number>", those among the options; its metadata entry "model" is a JSON object:

    class      the model's class and, if it is made from options, those
    layers     [{"class": "Dense", "config": {"units": 64, "activation": "relu", …}}, …], as `models.description` says
    input      the shape of one sample
    tied       {path: path of the parameter that stands there, too}
    frozen     the paths of parameters that are not trained
    columns    the columns of the table that it was trained on, or null
    training   {"optimizer": {"class": "Adam", "options": {…}, "groups": […]}, "loss": …, "metrics": […], "emitter": …,
               "run_eagerly": …, "steps": …}, or null. "steps" is how far each kind of batch has come to be compiled
    fit        {"epoch": …, "epochs": …}, how far the fit is that runs, or that ended last, as `models.resuming` says
    callbacks  of that fit: their classes, what they have seen, and the end of an epoch that they had not seen yet
    random     where the random streams stood, and "fit_seed", the seed of a fit that has streams of its own

Only names are stored for what is code, and `load` looks them up in fixed tables and among what the program registered.
`save` makes the model from its description once, and compares, before it writes: it refuses what `load` would refuse.
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.autograd import files, random
from tapegrad.autograd.diagnostics import warn_user
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.compiler.emit.available import EMITTERS, checked
from tapegrad.compiler.errors import JitWarning
from tapegrad.data.aliases import PlainData
from tapegrad.models import training_state
from tapegrad.models.aliases import Model
from tapegrad.models.description import REMEDY, Describer, Maker
from tapegrad.models.file_names import check_name
from tapegrad.models.registry import find, registered_name
from tapegrad.models.resuming import NOTHING, progress_of
from tapegrad.models.sequential import Sequential


def save(model: Model, path: str | Path, metadata: dict[str, str], training: bool = True) -> None:
    if "model" in metadata:
        raise ValueError("save: metadata: the name 'model' is taken by the model itself: choose another one")
    check_name(path, "save")
    description, tensors = described(model, training)
    state = model.state_dict()
    if description["training"] is None:  # a loss may have tensors, too
        state = {name: value for name, value in state.items() if not name.startswith("loss.")}
    tensors |= {f"weights.{name}": value for name, value in state.items()}
    if description["training"] is not None and model.optimizer.groups:
        state = training_state.optimizer_state(model)
        tensors |= {f"optimizer.{name}": value for name, value in state.items()}
    # By name: the order in which things were made is no part of a model.
    tensors = {name: tensors[name] for name in sorted(tensors)}
    files.save(path, tensors, metadata={**metadata, "model": json.dumps(description)})


def check_savable(model: Model) -> None:
    """Raise what `save` would raise, where the model has its weights already."""
    if model.layers and all(module.built for _, module in model.named_modules()):
        described(model, True)


def described(model: Model, training: bool) -> tuple[PlainData, dict[str, Tensor | np.ndarray]]:
    """(the description, the tensors among the options), checked to make this model again."""
    describer = Describer()
    structure = described_structure(model, describer)
    training_part = training_state.described_training(model, describer) if training else None
    verify(model, structure, training_part, describer)
    stood = NOTHING if training_part is None else progress_of(model)
    description = structure | {
        "training": training_part,
        "fit": {"epoch": stood["epoch"], "epochs": stood["epochs"]},
        "callbacks": training_state.described_callbacks(stood["callbacks"], describer),
        "random": where_streams_stand(model),
    }
    return description, dict(describer.tensors)


def where_streams_stand(model: Model) -> PlainData:
    """The random streams, and the seed of a fit that has streams of its own."""
    if model.fitting is not None and model.fitting.seed is not None:
        return random.get_state() | {"fit_seed": model.fitting.seed}
    if model.interrupted is not None and model.interrupted["seed"] is not None:
        return model.interrupted["random"] | {"fit_seed": model.interrupted["seed"]}
    return random.get_state()


def described_structure(model: Model, describer: Describer) -> PlainData:
    kind: PlainData = {}
    if type(model) is not Sequential:
        name = registered_name(type(model))
        if name is None:
            raise TypeError(f"save: the model is a {type(model).__name__}, a class of your own: {REMEDY}")
        kind = {"class": {"name": name}}
        if not takes_layers(type(model)):
            kind["class"]["config"] = describer.config(model, "the model")
    parameters = model.named_parameters()
    return {
        **kind,
        "layers": describer.layers(model.layers),
        "input": model.input_shape and list(model.input_shape),
        "tied": tied(model),
        "frozen": [path for path, p in parameters if not p.requires_grad],
        "columns": model.feature_names,
    }


def takes_layers(kind: type) -> bool:
    """Whether a class of models is made from its layers, as Sequential is."""
    parameters = list(signature_of(kind).parameters.values())
    return bool(parameters) and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL


def tied(model: Model) -> dict[str, str]:
    """Each further place of a parameter or buffer -> its first one."""
    first: dict[int, str] = {id(t): path for path, t in model._tensors()}
    found = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            here = f"{path}.{name}" if path else name
            if isinstance(value, Tensor) and first.get(id(value), here) != here:
                found[here] = first[id(value)]
    return found


def verify(model: Model, structure: PlainData, training: PlainData | None, describer: Describer) -> None:
    """Raise TypeError if the description does not make this model again. Done once for each structure."""
    settings = None if training is None else {k: v for k, v in training.items() if k != "steps"}
    said = json.dumps([structure, settings])
    if model.verified == said:
        return
    try:
        twin = remade("save", type(model), json.loads(json.dumps(structure)), describer.tensors, TypeError)
    except Exception as error:
        raise TypeError(
            f"save: this model cannot be made again from what a file holds of it: {error}"
        ) from error
    kept: PlainData = {"frozen": [], "columns": None}
    if described_structure(twin, Describer()) | kept != structure | kept:
        raise TypeError(
            f"save: a layer of this model changes its config() when it is made again from it: {twin!r}"
        )
    shapes = [
        {path: (t.shape, name_of(t.dtype)) for path, t in m._tensors() if not path.startswith("loss.")}
        for m in (model, twin)
    ]
    if shapes[0] != shapes[1]:
        odd = sorted({*shapes[0].items()} ^ {*shapes[1].items()})[0][0]
        raise TypeError(
            f"save: the parameter {odd!r} would be missing or have another shape after loading: a layer that brings it "
            "needs a class whose constructor makes it from config(), or save the weights with tg.save"
        )
    model.verified = said


def remade(
    who: object, kind: type, structure: PlainData, tensors: Mapping[str, Tensor | np.ndarray], error: Function
) -> Any:
    """The model of a description, with weights of its own."""
    maker = Maker({name: t if isinstance(t, Tensor) else Tensor(t) for name, t in tensors.items()}, error)
    with random.own_streams(0):  # for initial weights, which are replaced later
        layers = maker.layers(structure["layers"])
        named = structure.get("class")
        if named is not None:
            own = find("model", named["name"], {}, error)
            if kind not in (Sequential, own):
                raise error(f"{who}: the model is a {named['name']}: load it as {named['name']}.load(path)")
            kind = own
        if named is not None and "config" in named:
            model = kind(**maker.value(named["config"]))
        else:
            model = kind()
            for layer in layers:
                model.append(layer)
        if structure.get("input"):
            model.build(tuple(structure["input"]))  # and look whether layers of the user's run
        elif "input" in structure:  # a model that was called before its layers knew their input
            model.input_shape = None
    modules = dict(model.named_modules())
    for place, first in structure.get("tied", {}).items():
        path, _, name = place.rpartition(".")
        at, _, attribute = first.rpartition(".")
        setattr(modules[path], name, getattr(modules[at], attribute))
    return model


def load(kind: type, path: str | Path, resume: bool) -> Any:
    metadata, tensors = files.read_metadata(path), files.load(path)
    if "model" not in metadata:
        raise files.FileError(f"{path}: this file holds tensors, not a model that Sequential.save wrote")
    description = json.loads(metadata["model"])
    values = {name: t for name, t in tensors.items() if name.startswith("values.")}
    error = lambda message: files.FileError(f"{path}: {message}")
    model = remade(path, kind, description, values, error)
    if (training := description["training"]) is not None:
        compile_as_saved(model, training, Maker(values, error), path)
    model.load_state_dict(part(tensors, "weights."))
    if training is not None:
        bind_as_saved(model, training, part(tensors, "optimizer."))
        if resume and "steps" in training:
            model.steps().restore(training["steps"])
    parameters = dict(model.named_parameters())
    for frozen in description.get("frozen", ()):
        parameters[frozen].requires_grad_(False)
    model.feature_names = description.get("columns")
    if resume:
        stood = dict(description["random"])
        seed = stood.pop("fit_seed", None)
        if seed is None:
            random.set_state(stood)
        maker = Maker(values, error)
        seen = [maker.value(callback) for callback in description.get("callbacks", ())]
        stage = description.get("fit", {"epoch": None, "epochs": None})
        frozen = description.get("frozen", ())
        model.interrupted = {"seed": seed, "random": stood, **stage, "callbacks": seen, "frozen": frozen}
    return model


def compile_as_saved(model: Model, training: PlainData, maker: Maker, path: Any) -> None:
    model.compile(
        training_state.made_optimizer(training["optimizer"], maker),
        training_state.made_loss(training["loss"], maker),
        [training_state.made_metric(metric, maker) for metric in training["metrics"]],
        run_eagerly=training.get("run_eagerly", False),
        emitter=emitter_here(path, training.get("emitter")),
    )


def bind_as_saved(model: Model, training: PlainData, state: dict[str, Tensor]) -> None:
    """Give the optimizer its parameters and its state. Files of before have no groups."""
    if "groups" in training["optimizer"]:
        training_state.bind(model, training["optimizer"]["groups"], state)
    elif state:
        model.bind_optimizer().load_state_dict(state)


def emitter_here(path: str | Path, emitter: str | None) -> str | None:
    """The emitter that a file names, or None, with a warning, where it cannot be used."""
    if emitter is None or emitter not in EMITTERS:
        return emitter  # which `compile` looks at
    try:
        return checked(emitter)
    except (ValueError, ImportError, RuntimeError) as error:
        warn_user(
            f"{path}: this model was compiled with emitter={emitter!r}, which cannot be used here: {error}. It goes on "
            'with "auto", whose numbers may differ in the last bits',
            JitWarning,
        )
        return None


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
