"""Whatever is wrong is one line on stderr and exit status 2; nothing is written."""

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tables import people, write

from tapegrad.cli.scores import shown, with_deviations
from tapegrad.cli.train import last_word
from tapegrad.models import Sequential
from tapegrad.nn import Dense


def changed(**columns):
    """people() with a function applied to each cell of a column: f(row number, cell)."""
    header, *rows = people()
    for name, f in columns.items():
        at = header.index(name)
        for i, row in enumerate(rows):
            row[at] = f(i, row[at])
    return [header, *rows]


def prepare():
    write("hdr.csv", people()[:1])
    write("few.csv", people()[:6])
    write("one_class.csv", changed(buys=lambda i, c: "yes"))
    write("rare.csv", changed(buys=lambda i, c: "yes" if i == 0 else "no"))
    write("holes.csv", changed(buys=lambda i, c: "NaN" if i in (3, 9) else c))
    write("words.csv", changed(income=lambda i, c: "much" if i == 4 else c))
    write("typo.csv", changed(age=lambda i, c: "4O" if i == 4 else c))
    write("ids.csv", changed(city=lambda i, c: f"street {i}"))
    write("ragged.csv", [*people()[:5], ["1", "2"], *people()[5:]])
    write("twice.csv", [["a", "a"], ["1", "2"]])
    write("alone.csv", [["y"], *([i % 2] for i in range(20))])
    write("const.csv", [["a", "y"], *([5, i % 2] for i in range(20))])
    write("names.csv", [["a", "y"], *([f"u{i}", i % 2] for i in range(40))])
    write("huge.csv", [["a", "y"], *([f"{i + 1}e300", i % 2] for i in range(20))])
    write("data.csv", [["0.5", "0.5", "1"], *([i / 7, i / 3, i % 2] for i in range(20))])
    Path("quote.csv").write_text('a,b\n1,2\n3,4\n5,"6\n' + "7,8\n" * 20)
    Path("nul.csv").write_bytes(bytes(4096))
    Path("nul2.csv").write_bytes(b"a,b\n" + b"1,2\n" * 20000 + b"\0,1\n")
    Path("empty.csv").touch()
    Path("blank.csv").write_text("\n\n")
    Path("picture.csv").write_bytes(b"a,b\n\x89PNG\r\n\x1a\n\xff\xfe,1\n")
    Path("latin.csv").write_bytes("caf\u00e9,b\n1,2\n".encode("latin-1"))
    Path("folder").mkdir()


TRAIN = {
    "absent target, near name": (
        "people.csv --target bys",
        "people.csv has no column 'bys': did you mean 'buys'?",
    ),
    "absent target": ("people.csv --target zzz", "it has 'age', 'city', 'income', 'buys'"),
    "no target": ("people.csv", "name the column to predict with --target; people.csv has 'age', 'city'"),
    "a word with a dash": (
        "people.csv --target buys --missing -999,NA",
        "--missing: expected one argument, and what begins with a dash is none: write --missing=-…",
    ),
    "no such file": ("none.csv --target a", "none.csv: there is no such file"),
    "a folder": ("folder --target a", "folder cannot be read: "),
    "empty file": (
        "empty.csv --target a",
        "empty.csv is empty: it needs a header line with column names, and rows",
    ),
    "blank lines": ("blank.csv --target a", "is empty"),
    "header only": (
        "hdr.csv --target buys",
        "hdr.csv has a header ('age', 'city', 'income', 'buys') and no rows",
    ),
    "five rows": ("few.csv --target buys", "few.csv has 5 rows, and at least 10 are needed"),
    "no other column": ("alone.csv --target y", "no column is left to learn from"),
    "one class": ("one_class.csv --target buys", "the target 'buys' has the one value 'yes' in all 120 rows"),
    "text target": (
        "words.csv --target income --task regression",
        "the target 'income' has 'much', no number, on line 6: regression needs numbers",
    ),
    "classes without end": (
        "words.csv --target income",
        "120 different values in 120 rows, too many for classes",
    ),
    "ragged": ("ragged.csv --target buys", "ragged.csv, line 6: 2 fields where the header has 4"),
    "two columns of one name": ("twice.csv --target a", "the header names 'a' twice"),
    "not text": ("picture.csv --target a", "picture.csv is not UTF-8 text (byte 0x89)"),
    "Latin-1": ("latin.csv --target b", "latin.csv is not UTF-8 text (byte 0xe9): save it as CSV in UTF-8"),
    "drop of the target": ("people.csv --target buys --drop buys", "--drop 'buys': this is the target"),
    "keep and drop of one column": (
        "people.csv --target buys --keep age --drop age",
        "--keep and --drop both name 'age': leave one away",
    ),
    "drop of nothing": ("people.csv --target buys --drop zip", "people.csv has no column 'zip'"),
    "target without a file": ("--target buys", "--target needs a CSV file"),
    "linear for classes": (
        "people.csv --target buys --model linear",
        "--model linear is for numbers, and 'buys' holds",
    ),
    "logistic for numbers": (
        "people.csv --target income --model logistic",
        "--model logistic is for classes, and",
    ),
    "epochs of a solved model": ("--model logistic --epochs 3", "--epochs is for --model mlp"),
    "batch size of a solved model": ("--model logistic --batch-size 3", "--batch-size is for --model mlp"),
    "running eagerly a solved model": ("--model linear --run-eagerly", "--run-eagerly is for --model mlp"),
    "unknown model": ("--model forest", "--model: invalid choice: 'forest' (choose from"),
    "unknown optimizer": ("--optimizer adm", "--optimizer adm: unknown; known are"),
    "unknown option": ("--bogus", "unrecognized arguments: --bogus"),
    "unknown backend": ("--backend torch", "unknown backend 'torch'; known backends: cupy"),
    "negative lr": ("--lr -1", "--lr: expected a number above 0, got '-1'"),
    "lr in words": ("--lr fast", "--lr: expected a number above 0, got 'fast'"),
    "no epochs": ("--epochs 0", "--epochs: expected a whole number of at least 1, got '0'"),
    "half a batch": ("--batch-size 0.5", "--batch-size: expected a whole number of at least 1, got '0.5'"),
    "a seed beyond all": (
        "--seed 99999999999999999999",
        "--seed: expected a whole number below 4294967296, got",
    ),
    "unknown encoding": (
        "people.csv --target buys --encoding utf9",
        "--encoding utf9: unknown for text; usual",
    ),
    **{
        f"{name}, no encoding of text": (
            f"people.csv --target buys --encoding {name}",
            f"--encoding {name}: unknown for text; usual are utf-8, cp1252, latin-1, utf-16",
        )
        for name in ("rot13", "base64", "hex", "undefined")
    },
    **{
        f"UTF-{bits} without a mark": (
            f"people.csv --target buys --encoding utf-{bits}",
            f"people.csv is not utf-{bits} text",
        )
        for bits in (16, 32)
    },
    "an empty word": (
        "people.csv --target buys --missing NA,",
        "--missing: expected words separated by commas",
    ),
    "an unclosed quote": (
        "quote.csv --target b",
        "quote.csv, line 4: a quote opens here and is never closed",
    ),
    "NUL bytes": ("nul.csv --target b", "nul.csv is no text (byte 1 is NUL): save the table as CSV in UTF-8"),
    "a NUL byte far down": ("nul2.csv --target b", "nul2.csv is no text (byte 80005 is NUL)"),
    "nothing to go on from": (
        "people.csv --target buys --resume",
        "--resume: there is no checkpoint in runs/people",
    ),
    "resume of a solved model": ("--model logistic --resume", "--resume is for --model mlp"),
    "only constants": ("const.csv --target y", "no column is left to learn from: 'a' has the one value 5"),
    "only names": ("names.csv --target y", "'a' has 32 different texts in 32 training rows"),
    "numbers near the end": ("huge.csv --target y", "column 'a' has numbers beyond 1e+100, as on line"),
    "a target near the end": ("huge.csv --target a", "the target 'a' is infinite or beyond 1e+100 on line"),
    "keep of nothing": ("people.csv --target buys --keep zip", "people.csv has no column 'zip'"),
    "keep without a file": (
        "--keep a",
        "--keep needs a CSV file to look into: tapegrad train data.csv --keep",
    ),
    "a header of data, twice": (
        "data.csv --target 1",
        "the first line looks like data, not like a header (0.5, 0.5, 1)",
    ),
    "negative seed": ("--seed -3", "--seed: expected a whole number of at least 0, got '-3'"),
    "no width": ("--hidden 64,,1", "--hidden: expected widths such as 64,32, got '64,,1'"),
    "out is a file": ("--out people.csv", "--out people.csv: people.csv is a file, not a folder"),
    "out is in a file": ("--out people.csv/a/b", "people.csv is a file, not a folder: choose another"),
    "diverging": (
        "people.csv --target income --model mlp --optimizer sgd --lr 1e30",
        "the training diverged, its loss is nan: choose a smaller learning rate with --lr",
    ),
}


@pytest.mark.parametrize("row", TRAIN)
def test_train(row, folder, run):
    prepare()
    before = sorted(folder.rglob("*"))
    line, words = TRAIN[row]
    status, _, err = run("train", *line.split())
    assert status == 2
    assert words in err
    assert err.startswith("tapegrad")
    assert err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


PREDICT = {
    "no such model": ("none people.csv", "none: No such file or directory"),
    "a folder of models": ("runs/people people.csv", "name one of its models, linear.safetensors"),
    "not a model": ("people.csv people.csv", "people.csv: not a file written by tapegrad.save"),
    "a model of one's own": (
        "own.safetensors people.csv",
        "was not written by `tapegrad train` and knows no columns",
    ),
    "no such data": ("runs/people/linear.safetensors none.csv", "none.csv: there is no such file"),
    "a missing column": (
        "runs/people/linear.safetensors no_city.csv",
        "lacks 1 of the 2 columns the model was trained on: 'city'",
    ),
    "text for numbers": (
        "runs/people/linear.safetensors words.csv",
        "column 'age' has 'old', no number, on lines 2, 3, 4 and 117 more, and",
    ),
    "dates in another form": (
        "runs/days/linear.safetensors days_first.csv",
        "column 'day' has '1/1/2024' on lines 2, 3, 4 and 37 more, and the model was trained on dates of the form",
    ),
    "no folder for out": (
        "runs/people/linear.safetensors people.csv --out no/where.csv",
        "tapegrad predict: --out: there is no folder",
    ),
    "no folder for out, before the table is read": (
        "runs/people/linear.safetensors words.csv --out no/where.csv",
        "tapegrad predict: --out: there is no folder",
    ),
    "out over the data": (
        "runs/people/linear.safetensors people.csv --out ./people.csv",
        "--out ./people.csv: this is the table itself",
    ),
    "out over the model": (
        "runs/people/linear.safetensors people.csv --out runs/people/linear.safetensors",
        "this is the model itself",
    ),
    "a pipe": (
        "runs/people/linear.safetensors pipe",
        "pipe is no file but a pipe or a device, and a table is read more than once: write what comes of it to a file",
    ),
    "out to a pipe": ("runs/people/linear.safetensors people.csv --out pipe", "'pipe' is no file"),
    "a cut file": ("cut.safetensors people.csv", "cut.safetensors: cut short"),
}


@pytest.mark.parametrize("row", PREDICT)
def test_predict(row, folder, run):
    prepare()
    run("train", "people.csv", "--target", "income", "--drop", "buys", "--model", "linear")
    write("days.csv", [["day", "y"], *([f"2024-01-{1 + i % 28:02}", i / 7] for i in range(40))])
    write("days_first.csv", [["day"], *([f"{1 + i % 28}/1/2024"] for i in range(40))])
    run("train", "days.csv", "--target", "y", "--model", "linear")
    os.mkfifo("pipe")
    write("words.csv", changed(age=lambda i, c: "old"))
    write("no_city.csv", [[r[0], r[2]] for r in people()])
    Path("cut.safetensors").write_bytes(Path("runs/people/linear.safetensors").read_bytes()[:-9])
    Sequential(Dense(1, in_features=2)).save("own.safetensors")
    before = sorted(folder.rglob("*"))
    line, words = PREDICT[row]
    status, out, err = run("predict", *line.split())
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who can be denied")
def test_a_folder_that_cannot_be_written(folder, run):
    Path("folder").mkdir(mode=0o500)
    status, out, err = run("train", "--model", "logistic", "--out", "folder/x")
    assert (status, out) == (2, "")  # said before the training
    assert "no permission to write in" in err


@pytest.mark.parametrize("at", ["model", "picture", "move"])
@pytest.mark.parametrize("existed", [False, True])
def test_a_full_disk_leaves_what_was_there(at, existed, folder, run, monkeypatch):
    """While a model is saved, while the picture is, or when the files take their places: the old ones stay, or none."""
    if existed:
        run("train", "people.csv", "--target", "buys", "--model", "logistic", "--seed", 1)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    folders = sorted(p for p in folder.rglob("*") if p.is_dir())

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    def move(source, target, replace=os.replace):
        return full() if Path(target).parent.name == "people" else replace(source, target)

    name = {
        "model": "tapegrad.models.sequential.Sequential.save",
        "picture": "tapegrad.models.history.History.plot",
        "move": "os.replace",
    }[at]
    monkeypatch.setattr(name, move if at == "move" else full)
    status, _, err = run("train", "people.csv", "--target", "buys", "--model", "logistic")
    assert status == 2
    assert "No space left on device" in err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert sorted(p for p in folder.rglob("*") if p.is_dir()) == folders


def test_a_process_says_it_in_one_line_too(folder):
    command = [sys.executable, "-m", "tapegrad", "train", "people.csv", "--target", "bys"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "tapegrad train: people.csv has no column 'bys': did you mean 'buys'?\n"


def test_stopping_by_hand(folder, run, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("tapegrad.cli.train.fit", stop)
    assert run("train")[::2] == (130, "stopped\n")
    assert not Path("runs").exists()


def test_names_of_any_script_print_anywhere(folder):
    rows = changed(city=lambda i, c: ["東京", "Αθήνα", "Zürich"][i % 3])
    write("cities.csv", rows)
    command = [
        sys.executable,
        "-m",
        "tapegrad",
        "train",
        "cities.csv",
        "--target",
        "city",
        "--model",
        "logistic",
    ]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert "3 classes" in done.stdout
    model = Sequential.load("runs/cities/logistic.safetensors")
    assert np.isfinite(model.parameters()[0].numpy()).all()


def test_a_warning_is_a_note_without_a_line_of_source(folder):
    """As of R² on the one row that the network's validation has."""
    write("few.csv", [["a", "y"], *([i, 1.5 * i] for i in range(10))])
    command = [sys.executable, "-m", "tapegrad", "train", "few.csv", "--target", "y", "--epochs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    assert done.stderr.splitlines() == ["note: r2: R² is not defined for one row: NaN"]


def test_predictions_to_a_pipe_without_a_name(folder):
    run = [sys.executable, "-m", "tapegrad"]
    subprocess.run([*run, "train", "people.csv", "--target", "buys", "--model", "logistic"], check=True)
    command = [*run, "predict", "runs/people/logistic.safetensors", "people.csv", "--out", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--out /dev/stdout: this is no file: leave --out away" in done.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.8036e-05, "1.8036e-05"), (-2e-16, "-0.0000"), (0.5, "0.5000"), (12345.678, "12346")],
)
def test_the_digits_of_a_score(value, text):
    assert shown(value) == text


# Columns of (mean, deviation) and how they are shown: with the decimals that the least deviation needs.
COLUMNS = {
    "small": ([(0.9998, 0.0004329), (0.9, 0.02)], ["0.99980 ± 0.00043", "0.90000 ± 0.02000"]),
    "usual": ([(0.96491, 0.0123), (0.5, 0.1)], ["0.9649 ± 0.0123", "0.5000 ± 0.1000"]),
    "large": ([(9622.0, 2785.2), (9206.1, 2762.9)], ["9622 ± 2785", "9206 ± 2763"]),
    "large and sure": ([(9622.04, 0.31), (912.0, 2.0)], ["9622.04 ± 0.31", "912.00 ± 2.00"]),
    "none": ([(1.0, 0.0), (math.nan, math.nan)], ["1.0000 ± 0.0000", "-"]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_decimals_of_a_column(name):
    pairs, texts = COLUMNS[name]
    assert with_deviations([m for m, _ in pairs], [d for _, d in pairs]) == texts


def test_a_model_is_compared_by_its_scores_not_by_their_texts(capsys):
    problem = SimpleNamespace(classes=2)
    base = {"model": "always 'a'", "test accuracy": 0.964912, "test loss": 0.1, "seconds": ""}
    scores = [
        base | {"model": name, "test accuracy": value} for name, value in (("one", 0.964935), ("two", 0.9649))
    ]
    last_word(scores, base, problem)
    said = capsys.readouterr().out
    assert "the two is no better than to guess 'a' (test accuracy 0.9649, 0.9649)" in said
    assert "the one" not in said
