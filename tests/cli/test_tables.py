"""Tables as people have them: what `train` says of each, and what its model then predicts. A row per table."""

import subprocess
import sys

import pytest
from attacked_rows import ATTACKED
from date_rows import DATES, NOTED_DATES, PREDICTED_DATES
from predicted_rows import NOTED, PREDICTED
from spelled_rows import PREDICTED_WORDS, SPELLED
from table_rows import GENERATOR, TABLES, E, both, csv

from tapegrad.data.reading import read_csv

TABLES = {**TABLES, **ATTACKED, **DATES, **SPELLED}
PREDICTED, NOTED = {**PREDICTED, **PREDICTED_DATES, **PREDICTED_WORDS}, {**NOTED, **NOTED_DATES}


@pytest.mark.parametrize("name", TABLES)
def test_train(name, folder, run):
    text, words, has, has_not = TABLES[name]
    (folder / "a.csv").write_text(text, encoding="utf-8")
    options = [
        word.replace("_", " ") if word.startswith(("name,", "column")) else word for word in words.split()
    ]
    if name in ("a name with a comma", "an index that is kept"):
        options = words.split()
    command = ["train", "a.csv", "--target", *options, "--out", "out"]
    status, out, err = run(*command, "--model", "logistic")
    if "--model logistic is for classes" in err:
        status, out, err = run(*command, "--model", "linear")
    assert status in (0, 2)
    assert err.count("\n") == (status == 2)
    for part in has:
        assert part in out + err
    for part in has_not:
        assert part not in out + err
    # Every file that was trained on is predicted, a line for each row.
    if status == 0 and "--dry-run" not in words:
        model = next((folder / "out").glob("l*.safetensors"))
        status, out, err = run("predict", model, "a.csv")
        assert status == 0, err
        assert len(out.splitlines()) == 1 + read_csv("a.csv", header="--no-header" not in words).rows


def test_names_with_commas(folder, run):
    (folder / "a.csv").write_text(csv('"name, full",x,y', both(lambda i, z: f"n{i},{z:.2f},{int(z > 0)}")))
    for how in ("name, full", '"name, full"', '"name, full",x', "x,name, full"):
        status, out, err = run("train", "a.csv", "--target", "y", "--drop", how, "--dry-run", "--keep", "y")
        assert ("'name, full' is left out" in out) is False
        assert (status, "no column is left" in err) == ((2, True) if "x" in how else (0, False))


@pytest.mark.parametrize("name", PREDICTED)
def test_predict(name, folder, run):
    text, words, new, right = PREDICTED[name]
    (folder / "a.csv").write_text(text, encoding="utf-8")
    (folder / "n.csv").write_text(new, encoding="utf-8")
    model = "logistic" if isinstance(right[0], str) else "linear"
    status, _, err = run("train", "a.csv", "--target", *words.split(), "--model", model, "--out", "out")
    assert status == 0, err
    status, out, err = run("predict", f"out/{model}.safetensors", "n.csv")
    assert status == 0, err
    cells = [line.split(",")[0] for line in out.splitlines()[1:]]
    if model == "logistic":
        assert cells == right
    else:
        assert [float(cell) for cell in cells] == pytest.approx(right, rel=1e-3, abs=0.01)
        assert all(len(cell) > 7 for cell in cells if float(cell) % 1)


@pytest.mark.parametrize("name", NOTED)
def test_notes_of_predict(name, folder):
    """In a process of its own, which shows warnings of NumPy's."""
    text, new, has, has_not = NOTED[name]
    (folder / "a.csv").write_text(text)
    (folder / "n.csv").write_text(new)
    for words in (
        ["train", "a.csv", "--target", "y", "--model", "linear", "--out", "out"],
        ["predict", "out/linear.safetensors", "n.csv"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tapegrad", *words], capture_output=True, text=True, check=True
        )
    assert len(done.stderr.splitlines()) == len(has[:1])
    for part in has:
        assert part in done.stderr
    for part in has_not:
        assert part not in done.stderr


@pytest.mark.parametrize("cells", ["1.5K\n1500", "1500\n2000"])
def test_numbers_that_lack_what_all_had_in_training(cells, folder, run):
    """1500 among thousands that are written 1.5K may be 1500K, and may be 1.5K."""
    (folder / "a.csv").write_text(
        csv("x,y", both(lambda i, z: f"{2 + abs(z):.3f}K,{2000 + 1000 * abs(z):.1f}"))
    )
    run("train", "a.csv", "--target", "y", "--model", "linear", "--keep", "x", "--out", "out")
    (folder / "n.csv").write_text(f"x\n{cells}\n")
    status, out, err = run("predict", "out/linear.safetensors", "n.csv")
    assert (status, out) == (2, "") and "a number without 'K'" in err
    (folder / "n.csv").write_text("x\n2.5K\n")
    status, out, err = run("predict", "out/linear.safetensors", "n.csv")
    assert float(out.splitlines()[1]) == pytest.approx(2500, rel=1e-3), err


def test_the_missing_column_had_no_name(folder, run):
    (folder / "a.csv").write_text(csv(",x,y", both(lambda i, z: f"{z:.4f},{E[i]:.2f},{3 * z:.2f}")))
    run("train", "a.csv", "--target", "y", "--model", "linear", "--out", "out")
    (folder / "n.csv").write_text("x\n1\n")
    err = run("predict", "out/linear.safetensors", "n.csv")[2]
    assert "'column 1' ('column 1' had no name in the header of the training file)" in err


def test_that_a_text_is_missing_says_something(folder, run):
    rows = [f"{'' if i % 2 else 'ABC'[i // 2 % 3]},{e + 10 * (i % 2):.3f}" for i, e in enumerate(E)]
    (folder / "a.csv").write_text(csv("deck,y", rows))
    out = run("train", "a.csv", "--target", "y", "--model", "linear")[1]
    row = next(line for line in out.splitlines() if line.startswith("linear regression "))
    assert float(row.split()[2]) > 0.94


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig", "cp1252"]
)
def test_encodings(encoding, folder, run):
    text = csv("größe,y", both(lambda i, z: f"{z:.2f},{'jä' if z > 0 else 'nein'}", 40))
    (folder / "a.csv").write_bytes(text.encode(encoding))
    more = ["--encoding", "cp1252"] if encoding == "cp1252" else []
    status, out, err = run("train", "a.csv", "--target", "y", "--model", "logistic", *more)
    assert status == 0, err
    assert "2 classes, jä" in out
    assert run("predict", "runs/a/logistic.safetensors", "a.csv", *more)[0] == 0


def test_a_wide_table_is_read_in_time(folder, run):
    """Linear in the columns: 20,000 of 12 rows took 9 s, and five times as many never ended."""
    columns = 2000
    values = GENERATOR.integers(0, 9, (12, columns))
    rows = [",".join(map(str, row)) + f",{i % 2}" for i, row in enumerate(values)]
    (folder / "a.csv").write_text(csv(",".join(f"c{i}" for i in range(columns)) + ",y", rows))
    status, out, err = run("train", "a.csv", "--target", "y", "--dry-run")
    assert status == 0, err
    assert "12 rows" in out
