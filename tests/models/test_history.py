"""The record of a training: as numbers, as CSV, as a picture, and on the terminal."""

import csv
import io
import re

import numpy as np
import pytest

from tapegrad import nn
from tapegrad.models import History, Sequential
from tapegrad.models.progress import Progress, number


@pytest.fixture
def history():
    history = History()
    for epoch in range(3):
        history.append(epoch, {"loss": 1 / (epoch + 3), "val_loss": 0.5})
    return history


def test_csv_keeps_every_digit(history, tmp_path):
    text = history.to_csv(tmp_path / "history.csv")
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["epoch", "loss", "val_loss"]
    assert [float(row[1]) for row in rows[1:]] == history.history["loss"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    assert (tmp_path / "history.csv").read_text() == text
    assert repr(history) == "<History of 3 epochs: loss 0.2, val_loss 0.5>"


def test_picture_shows_every_curve(history, tmp_path):
    pytest.importorskip("matplotlib")
    history.history["accuracy"] = [0.5, 0.75, 1.0]
    figure = history.plot(tmp_path / "history.png", "a title")
    loss, accuracy = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [history.history["loss"], [0.5] * 3]
    assert [text.get_text() for text in loss.get_legend().texts] == ["training", "validation"]
    assert accuracy.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    history.append(3, {"loss": 0.1, "nowhere": float("nan"), "val_alone": 2.0})
    assert [axes.get_title("left") for axes in history.plot().axes] == ["loss", "accuracy", "alone"]
    with pytest.raises(ValueError, match="plot: there is nothing to show: no epoch was trained"):
        History().plot()
    history = History()
    history.append(0, {"loss": float("nan"), "mae": float("inf")})
    with pytest.raises(ValueError, match="no number of loss, mae is finite"):
        history.plot()


def test_picture_joins_the_epochs_that_were_validated():
    pytest.importorskip("matplotlib")
    history = History()
    for epoch in range(60):
        history.append(epoch, {"loss": 1.0, **({"val_loss": float(epoch)} if epoch % 5 == 4 else {})})
    _, validation = history.plot().axes[0].lines
    assert validation.get_xdata().tolist() == [*range(5, 61, 5)]
    assert validation.get_ydata().tolist() == [*range(4, 60, 5)] and validation.get_marker() == "o"


def test_picture_of_one_epoch_has_its_number_on_the_axis():
    pytest.importorskip("matplotlib")
    history = History()
    history.append(3, {"loss": 1.0})
    (axes,) = history.plot().axes
    assert axes.get_xlim() == (3.5, 4.5)
    assert [tick for tick in axes.get_xticks() if 3.5 <= tick <= 4.5] == [4]


def test_picture_of_many_metrics_has_rows_of_panels():
    pytest.importorskip("matplotlib")
    history = History()
    history.append(0, {f"m{k}": float(k) for k in range(11)})
    figure = history.plot()
    assert len(figure.axes) == 11 and len({axes.get_position().y0 for axes in figure.axes}) == 3


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch):
    for variable in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def fit(monkeypatch, stream, columns=120, **options):
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr(
        "shutil.get_terminal_size", lambda fallback=(80, 24): type("Size", (), {"columns": columns})
    )
    monkeypatch.setattr("tapegrad.models.progress.REDRAW_SECONDS", 0.0)
    model = Sequential(nn.Dense(1, in_features=2))
    model.compile("sgd", "mse", ["mae"])
    model.fit(np.ones((64, 2)), np.ones(64), epochs=2, batch_size=16, **options)
    return stream.getvalue()


def test_a_file_gets_one_plain_line_per_epoch(monkeypatch):
    lines = fit(monkeypatch, io.StringIO()).splitlines()
    assert [line.split()[:3] for line in lines] == [["epoch", "1/2", "loss"], ["epoch", "2/2", "loss"]]
    assert not any("\r" in line or "\x1b" in line for line in lines)


# what the surroundings say -> the escapes there are, and whether the line is drawn over
SURROUNDINGS = {
    "a terminal": ({"TERM": "xterm"}, {"\x1b[36m", "\x1b[2m", "\x1b[0m", "\x1b[K"}, True),
    "no TERM": ({}, {"\x1b[36m", "\x1b[2m", "\x1b[0m", "\x1b[K"}, True),
    "NO_COLOR": ({"NO_COLOR": "1"}, {"\x1b[K"}, True),
    "NO_COLOR, empty": ({"NO_COLOR": ""}, {"\x1b[36m", "\x1b[2m", "\x1b[0m", "\x1b[K"}, True),
    "a dumb terminal": ({"TERM": "dumb"}, set(), False),
}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_colours_and_escapes_are_those_that_are_wanted(name, encoding, monkeypatch):
    variables, escapes, redrawn = SURROUNDINGS[name]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    stream = Terminal()
    monkeypatch.setattr(Terminal, "encoding", encoding)
    text = fit(monkeypatch, stream)
    assert set(re.findall(r"\x1b\[\d*[A-Za-z]", text)) == escapes
    assert ("\r" in text) == redrawn
    assert text.count("\n") == 2
    if name == "NO_COLOR":
        half = {"utf-8": "━" * 10 + "╌" * 10, "ascii": "=" * 10 + "-" * 10}[encoding]
        assert f"{half} 2/4" in text


def test_a_terminal_gets_a_bar_that_is_redrawn(monkeypatch):
    text = fit(monkeypatch, Terminal(), validation_split=0.25)
    epochs = text.rstrip("\n").split("\n")
    assert len(epochs) == 2
    assert epochs[0].count("\r") == 4  # three steps and the end
    assert "━" in epochs[0]
    assert epochs[1].split("\r")[-1].find("val_loss") > 0


@pytest.mark.parametrize("columns", [100, 80, 40])
def test_a_narrow_terminal_is_not_overrun_while_it_runs(columns, monkeypatch):
    text = fit(monkeypatch, Terminal(), columns=columns)
    for epoch in text.rstrip("\n").split("\n"):
        for drawn in epoch.split("\r")[1:-1]:
            plain = (
                drawn.replace("\x1b[36m", "")
                .replace("\x1b[2m", "")
                .replace("\x1b[0m", "")
                .replace("\x1b[K", "")
            )
            assert len(plain) < columns


def test_silence(monkeypatch):
    assert fit(monkeypatch, Terminal(), verbose=0) == ""
    assert "\r" not in fit(monkeypatch, Terminal(), verbose=2)


def test_an_error_leaves_the_cursor_on_a_new_line(monkeypatch):
    def broken(y_true, y_pred):
        raise KeyError("mine")

    monkeypatch.setattr("sys.stdout", stream := Terminal())
    model = Sequential(nn.Dense(1, in_features=2))
    model.compile("sgd", "mse", [broken])
    with pytest.raises(KeyError):
        model.fit(np.ones((4, 2)), np.ones(4))
    assert stream.getvalue().endswith("\n")


def test_numbers_stay_short():
    assert [number(v) for v in (0.0, 0.12345, 12.5, 1e-5, -3.14159, 123456.0, float("nan"))] == [
        *("0.0000", "0.1235", "12.5000", "1.0e-05", "-3.1416", "1.2e+05", "nan"),
    ]
    with pytest.raises(ValueError, match="verbose"):
        Progress("loud", 1)
