"""`tapegrad train` and `tapegrad predict`, from a table to predictions."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tables import people, read, write

import tapegrad as tg
from tapegrad.cli.compare import Steps
from tapegrad.cli.train import heading
from tapegrad.data.table import breast_cancer
from tapegrad.models import Sequential


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def row_of(out, label):
    return next(line for line in out.splitlines() if line.startswith(label)).removeprefix(label).split()


# --- the built-in job ---


def test_without_arguments_it_trains_on_the_builtin_data(folder, run):
    status, out, err = run("train")
    assert (status, err) == (0, "")
    assert "Wisconsin breast cancer: 569 rows, 30 columns as 30 numbers" in out
    assert "2 classes, benign (357), malignant (212)" in out
    assert "455 rows to train on, 114 to test on (seed 42)" in out
    assert float(row_of(out, "logistic regression ")[0]) > 0.95
    assert float(row_of(out, "MLP 100-1 ")[0]) > 0.95
    assert files(folder / "runs") == [
        f"breast_cancer/{name}"
        for name in ("history.csv", "history.png", "logistic.safetensors", "mlp.safetensors")
    ]
    history = read(folder / "runs/breast_cancer/history.csv")
    assert history[0] == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert 11 < len(history) < 300  # it stopped when the validation loss fell no more


def test_the_logistic_regression_is_scikit_learns(folder, run):
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = load_breast_cancer(return_X_y=True)
    names = np.array(["malignant", "benign"])[y]
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42, stratify=names)
    scaler = StandardScaler().fit(x_train)
    theirs = LogisticRegression(tol=1e-8).fit(scaler.transform(x_train), y_train)
    accuracy = theirs.score(scaler.transform(x_test), y_test)
    loss = log_loss(y_test, theirs.predict_proba(scaler.transform(x_test)))

    _, out, _ = run("train", "--model", "logistic")
    assert row_of(out, "logistic regression ")[:2] == [f"{accuracy:.4f}", f"{loss:.4f}"]
    weights = Sequential.load(folder / "runs/breast_cancer/logistic.safetensors").parameters()[0].numpy()
    # Classes are sorted by name here and numbered in the data there.
    assert np.allclose(-weights[:, 0], theirs.coef_[0], atol=1e-5)


def test_the_same_seed_writes_the_same_model(folder, run):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("train", "--model", "mlp", "--epochs", 2, "--seed", seed, "--out", out)[0] == 0
    a, b, c = ((folder / out / "mlp.safetensors") for out in "abc")
    same = [tg.load(path)["weights.layers.0.kernel"].numpy() for path in (a, b, c)]
    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])
    assert (folder / "a/history.csv").read_bytes() == (folder / "b/history.csv").read_bytes()


def test_running_eagerly_writes_the_same_model(folder, run, monkeypatch):
    monkeypatch.setattr("tapegrad.models.compiled_step.PATIENCE", 1)
    ran, save = [], Sequential.save
    monkeypatch.setattr("tapegrad.cli.checkpoints.Checkpoints.write", lambda *args: None)
    monkeypatch.setattr(Sequential, "save", lambda self, *args: (ran.append(self.stats()), save(self, *args)))
    for out, *how in (("a",), ("b", "--run-eagerly")):
        assert run("train", "--model", "mlp", "--epochs", 3, "--out", out, *how)[0] == 0
    assert [step["train"]["compiled"] > 0 for step in ran] == [True, False]
    a, b = (tg.load(folder / out / "mlp.safetensors") for out in "ab")
    assert {name: t.tolist() for name, t in a.items()} == {name: t.tolist() for name, t in b.items()}
    assert (folder / "a/history.csv").read_bytes() == (folder / "b/history.csv").read_bytes()


# --- a table of one's own ---


def test_classification_of_a_table(folder, run):
    status, out, err = run("train", "people.csv", "--target", "buys", "--epochs", 30)
    assert (status, err) == (0, "")
    assert "3 columns as 7 numbers" in out
    assert "note: column 'age': filled 8 missing with the median" in out
    assert "note: column 'city': 'NA' (" in out
    assert files(folder / "runs") == [
        f"people/{name}" for name in ("history.csv", "history.png", "logistic.safetensors", "mlp.safetensors")
    ]
    known = json.loads(tg.read_metadata(folder / "runs/people/mlp.safetensors")["table"])
    assert known["target"] == {"name": "buys", "classes": ["no", "yes"], "fold": True}
    assert [c["name"] for c in known["features"]] == ["age", "city", "income"]


def test_regression_of_a_table(folder, run):
    status, out, _ = run("train", "people.csv", "--target", "income", "--drop", "buys", "--epochs", 60)
    assert status == 0
    assert "target 'income': numbers from" in out
    assert float(row_of(out, "linear regression ")[0]) > 0.8
    assert float(row_of(out, "MLP 100-1 ")[0]) > 0.7


def test_a_model_predicts_what_it_learned(folder, run):
    """Predictions of the rows it was trained on: nearly all right, and those of the saved model itself."""
    run("train", "people.csv", "--target", "buys", "--epochs", 60)
    rows = people()
    write("new.csv", [row[:3][::-1] for row in rows])  # columns in another order, and without the target
    status, out, err = run("predict", "runs/people/mlp.safetensors", "new.csv", "--out", "pred.csv")
    assert status == 0
    assert "wrote 120 predictions of 'buys' to pred.csv" in out
    assert "filled 8 missing with the median" in err
    predictions = read("pred.csv")
    assert predictions[0] == ["prediction", "probability", "p_no", "p_yes"]
    truth = [row[3] for row in rows[1:]]
    assert np.mean([p[0] == t for p, t in zip(predictions[1:], truth)]) > 0.9
    for name, probability, *each in predictions[1:]:
        assert float(probability) == max(map(float, each)) >= 0.5
        assert name == ["no", "yes"][np.argmax([float(p) for p in each])]
        assert sum(map(float, each)) == pytest.approx(1, abs=1e-5)
    assert run("predict", "runs/people/mlp.safetensors", "new.csv")[1] == (folder / "pred.csv").read_text()


def test_predictions_of_numbers_are_in_the_targets_unit(folder, run):
    run("train", "people.csv", "--target", "income", "--drop", "buys", "--model", "linear")
    run("predict", "runs/people/linear.safetensors", "people.csv", "--out", "pred.csv")
    predictions = np.array([float(row[0]) for row in read("pred.csv")[1:]])
    truth = np.array([float(row[2]) for row in people()[1:]])
    assert np.corrcoef(predictions, truth)[0, 1] > 0.9
    assert abs(predictions.mean() - truth.mean()) < 1000


def test_an_unknown_category_counts_as_none_and_is_reported(folder, run):
    run("train", "people.csv", "--target", "income", "--drop", "buys", "--model", "linear")
    write("new.csv", [["age", "city"], ["40", "Atlantis"]])
    status, out, err = run("predict", "runs/people/linear.safetensors", "new.csv")
    assert status == 0
    assert len(out.splitlines()) == 2
    assert err == "note: column 'city': not seen in training, taken as none: 'Atlantis'\n"


def test_three_classes_and_every_option(folder, run):
    generator = np.random.default_rng(1)
    x = generator.normal(size=(90, 2)).round(3)
    write("three.csv", [["a", "b", "c"], *([*r, int(r[0] > 0) + int(r[1] > 0)] for r in x)])
    status, out, _ = run(
        *(
            "train",
            "three.csv",
            "--target",
            "c",
            "--model",
            "mlp",
            "--hidden",
            "16,8",
            "--epochs",
            40,
            "--seed",
            3,
        ),
        *(
            "--batch-size",
            8,
            "--lr",
            0.02,
            "--optimizer",
            "RMSprop",
            "--backend",
            "numpy",
            "--out",
            "deep/er",
        ),
    )
    assert status == 0
    assert "3 classes, 0 (" in out
    assert float(row_of(out, "MLP 16-8-3 ")[0]) > 0.6
    run("predict", "deep/er/mlp.safetensors", "three.csv", "--out", "pred.csv")
    assert read("pred.csv")[0] == ["prediction", "probability", "p_0", "p_1", "p_2"]


def test_numbers_can_be_taken_as_classes_and_classes_as_numbers(folder, run):
    rows = [["x", "y"], *([i, 0.5 + i % 2] for i in range(40))]
    write("two.csv", rows)
    assert "numbers from 0.5 to 1.5" in run("train", "two.csv", "--target", "y", "--model", "linear")[1]
    status, out, _ = run(
        "train", "two.csv", "--target", "y", "--task", "classification", "--model", "logistic", "--overwrite"
    )
    assert (status, "2 classes, 0.5 (20), 1.5 (20)" in out) == (0, True)
    write("ints.csv", [["x", "y"], *([i, i % 3] for i in range(40))])
    assert "3 classes" in run("train", "ints.csv", "--target", "y", "--model", "logistic", "--overwrite")[1]
    assert (
        "numbers from 0 to 2"
        in run("train", "ints.csv", "--target", "y", "--task", "regression", "--overwrite")[1]
    )


def test_models_in_a_folder_belong_together(folder, run):
    run("train", "people.csv", "--target", "buys", "--epochs", 1)
    (folder / "runs/people/notes.txt").write_text("mine")
    run("train", "people.csv", "--target", "income", "--drop", "buys", "--model", "linear", "--overwrite")
    assert files(folder / "runs/people") == ["history.csv", "history.png", "linear.safetensors", "notes.txt"]


def test_training_on_another_device(folder, run, monkeypatch):
    import strict_backend

    strict_backend.register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *a, **k: None)  # array-api-strict's, on comparing dtypes
        status, out, _ = run("train", "people.csv", "--target", "buys", "--epochs", 2, "--backend", "strict")
    assert status == 0
    assert "tapegrad 0.1.0 on strict" in out
    monkeypatch.setattr("tapegrad.backends._process_default", None)
    assert run("predict", "runs/people/mlp.safetensors", "people.csv")[0] == 0


@pytest.mark.parametrize(("terminal", "escapes"), [("dumb", False), ("xterm", True)])
def test_a_terminal_that_knows_no_escapes(terminal, escapes, monkeypatch, capsys):
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    steps = Steps(2)
    steps.step("mlp")
    steps.end()
    heading("neural network")
    assert ("\x1b" in capsys.readouterr().out) is escapes


def test_without_matplotlib_it_says_how_to_get_pictures(folder, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, _ = run("train", "people.csv", "--target", "buys", "--model", "logistic")
    assert status == 0
    assert 'no picture: pictures need matplotlib: pip install "matplotlib>=3.9"' in out
    assert files(folder / "runs") == ["people/history.csv", "people/logistic.safetensors"]


@pytest.mark.parametrize(("found", "called", "said"), [
    ("/usr/bin/tapegrad", "/usr/bin/tapegrad", "tapegrad"),
    (None, ".venv/bin/tapegrad", ".venv/bin/tapegrad"),
    (None, "my env/bin/tapegrad", "'my env/bin/tapegrad'"),
    (None, "site-packages/tapegrad/__main__.py", "python -m tapegrad"),
])  # fmt: skip
def test_its_last_line_can_be_typed_where_the_environment_is_not_active(
    found, called, said, folder, run, monkeypatch
):
    monkeypatch.setattr("shutil.which", lambda name: found)
    monkeypatch.setattr(sys, "argv", [called])
    out = run("train", "people.csv", "--target", "buys", "--model", "logistic")[1]
    assert f"to use it: {said} predict runs/people/logistic.safetensors new.csv\n" in out


# --- as a process ---


def test_the_job_imports_only_what_it_needs(folder):
    """What makes it fast: neither scikit-learn nor SciPy nor pandas is loaded, and pyplot is not."""
    code = "import sys, tapegrad.cli; tapegrad.cli.main(['train']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    heavy = {"sklearn", "scipy", "pandas", "matplotlib.pyplot", "llvmlite", "tensorflow", "torch"}
    assert heavy & set(done.stderr.split()) == set()


def test_a_closed_pipe_is_no_error(folder, run):
    write("one.csv", [["age", "city"], *([40, "Rome"] for _ in range(20000))])
    run("train", "people.csv", "--target", "income", "--drop", "buys", "--model", "linear")
    command = f"{sys.executable} -m tapegrad predict runs/people/linear.safetensors one.csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=folder)
    assert (done.stdout, done.stderr) == ("prediction\n", "")


def test_the_table_is_read_to_its_last_row(folder, run):
    table = breast_cancer()
    rows = [[*table.columns], *zip(*(column.cells for column in table.columns.values()))]
    write("cancer.csv", rows)
    _, ours, _ = run("train", "cancer.csv", "--target", "diagnosis", "--model", "logistic")
    _, builtin, _ = run("train", "--model", "logistic")
    assert row_of(ours, "logistic regression ")[:2] == row_of(builtin, "logistic regression ")[:2]
