"""Whatever a model is made of: fit, save, load in a new process and fit give the bytes of one fit; or save refuses."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_ways as ways

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.autograd.files import FileError
from tapegrad.models import LambdaCallback, ModelCheckpoint, Sequential
from tapegrad.models.registry import REGISTERED

RESUME = "import sys; sys.path.insert(0, sys.argv[1]); import saved_ways; saved_ways.resume(sys.argv[2])"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of trainings that ran through, of halves, and of those that another process went on with."""
    folder = tmp_path_factory.mktemp("saved")
    for number, name in enumerate(ways.WAYS):
        ways.trained(ways.start(name), name, 0, 2).save(folder / f"half{number}")
        model = ways.trained(ways.start(name), name, 0, 2)
        ways.trained(model, name, 2, 4).save(folder / f"whole{number}")
    for number, name in enumerate(ways.CALLBACKS):
        model = ways.made()
        cut = LambdaCallback(
            on_epoch_end=lambda e, logs, m=model, n=number: e == 2 and m.save(folder / f"cut{n}")
        )
        ways.trained(model, "plain", 0, 8, [*ways.CALLBACKS[name](), cut]).save(folder / f"ran{number}")
    subprocess.run(
        [sys.executable, "-c", RESUME, Path(__file__).parent, folder], check=True, env={**os.environ}
    )
    return folder


@pytest.mark.parametrize(("number", "name"), list(enumerate(ways.WAYS)), ids=list(ways.WAYS))
def test_a_new_process_goes_on_to_the_same_bytes(number: int, name: str, folder: Path) -> None:
    assert (folder / f"resumed{number}").read_bytes() == (folder / f"whole{number}").read_bytes()


@pytest.mark.parametrize(("number", "name"), list(enumerate(ways.CALLBACKS)), ids=list(ways.CALLBACKS))
def test_a_fit_that_was_cut_off_goes_on_with_its_callbacks(number: int, name: str, folder: Path) -> None:
    assert (folder / f"went on{number}").read_bytes() == (folder / f"ran{number}").read_bytes()


def test_a_seeded_fit_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    whole = ways.made()
    cut = LambdaCallback(on_epoch_end=lambda e, logs: e == 1 and whole.save(tmp_path / "cut"))
    whole.fit(ways.X, ways.Y, epochs=4, verbose=0, seed=3, callbacks=cut)
    half = Sequential.load(tmp_path / "cut", resume=True)
    half.fit(ways.X, ways.Y, epochs=4, initial_epoch=2, verbose=0, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), half.get_weights()))


def test_the_same_training_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ways.trained(ways.made(), "plain", 0, 2).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---- what save refuses ----
class Stranger(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


class Unlike(Sequential):
    def forward(self, x: Any) -> Any:
        return 2.0 * super().forward(x)


def with_a_parameter(model: Any) -> None:
    model.layers[0].extra = nn.Parameter(tg.ones(3))


def with_a_forward(model: Any) -> None:
    model.layers[0].forward = lambda x: x[:, :1] * 2.0


def elsewhere(model: Any) -> Any:
    return optim.SGD([*model.parameters(), tg.ones(2).requires_grad_()], lr=0.1)


REFUSED: dict[str, tuple[Any, str]] = {
    "a layer of one's own": (lambda: ways.made([Stranger(), *ways.dense()]), "layer 0 is a Stranger.*register"),
    "inside a Sequential": (lambda: ways.made([nn.Sequential(Stranger()), *ways.dense()]), "layer 0 of layer 0"),
    "a class of models": (lambda: ways.made(Unlike(ways.dense())), "the model is a Unlike.*register"),
    "a nested class of models": (lambda: ways.made([Unlike(ways.dense())]), "layer 0 is a Unlike"),
    "a loss": (lambda: ways.made(loss=lambda a, b: a * b), "the loss is the function.*register.*training=False"),
    "a metric": (lambda: ways.made(measured=[lambda a, b: 1.0]), "the metric '<lambda>' is the function"),
    "an activation": (lambda: ways.made([nn.Dense(1, lambda x: x)]), "activation of layer 0, Dense, is the function"),
    "an optimizer": (lambda: ways.made(optimizer=type("Mine", (optim.SGD,), {})()), "the optimizer is a Mine"),
    "a parameter put into a layer": (lambda: ways.made(prepare=with_a_parameter), "'layers.0.extra' would be missing"),
    "a forward put into a layer": (lambda: ways.made([nn.Dense(1)], prepare=with_a_forward), "a forward of its own"),
    "an optimizer of other parameters": (lambda: ways.made(bind=elsewhere), "trains '6'|trains '4'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_loaded_is_refused_before_writing(name: str, tmp_path: Path) -> None:
    model, words = REFUSED[name][0](), REFUSED[name][1]
    with pytest.raises(TypeError, match=words):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_refuses_before_the_training(tmp_path: Path) -> None:
    model = ways.made(loss=lambda a, b: (a - b) ** 2)
    before = model.get_weights()
    with pytest.raises(TypeError, match="register"):
        model.fit(ways.X, ways.Y, verbose=0, callbacks=ModelCheckpoint(tmp_path / "m"))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    saved = ModelCheckpoint(tmp_path / "weights", save_weights_only=True)
    model.fit(ways.X, ways.Y, verbose=0, callbacks=saved)
    model.load_state_dict(tg.load(tmp_path / "weights"))


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.pt", "m.PKL", "m.onnx", "m.npz"])
def test_a_name_that_promises_another_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written as a safetensors file.*name it 'm\.safetensors'"):
        ways.made().save(tmp_path / name)
    with pytest.raises(ValueError, match=r"ModelCheckpoint.*safetensors"):
        ModelCheckpoint(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_not_registered_where_the_file_is_loaded(tmp_path: Path, monkeypatch: Any) -> None:
    ways.WAYS["a loss of one's own"]().save(tmp_path / "loss")
    ways.WAYS["a layer of one's own"]().save(tmp_path / "layer")
    ways.made(ways.Net()).save(tmp_path / "model")
    with pytest.raises(FileError, match=r"the model is a Net: load it as Net\.load"):
        ways.Doubled.load(tmp_path / "model")
    for name, file in {"pinball": "loss", "Scale": "layer", "Net": "model"}.items():
        monkeypatch.delitem(REGISTERED, name)
        with pytest.raises(FileError, match=f"unknown [a-z]+ '{name}'.*register"):
            Sequential.load(tmp_path / file)


def test_names_that_are_taken_are_refused() -> None:
    from tapegrad.models import register

    for name in ("Dense", "Huber", "Adam", "pinball"):
        with pytest.raises(ValueError, match=f"the name '{name}' is taken"):
            register(lambda x: x, name=name)
    with pytest.raises(ValueError, match="has no name"):
        register(lambda x: x)
    assert register(ways.pinball) is ways.pinball
