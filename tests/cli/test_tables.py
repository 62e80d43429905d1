"""Tables as people have them: what `train` says of each, and what its model then predicts. A row per table."""

import numpy as np
import pytest

from tapegrad.data.reading import read_csv

GENERATOR = np.random.default_rng(0)
Z = GENERATOR.normal(size=400)
E = GENERATOR.normal(size=400)
SMALL = slice(0, 80)


def csv(header, rows):
    return "\n".join([header, *rows]) + "\n"


def both(form, rows=400):
    """Rows made by a function of the number of the row, and a normal variate."""
    return [form(i, z) for i, z in enumerate(Z[:rows])]


def month(i):
    return f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}"


# name: (file, target and options, what the output has, what it has not)
TABLES = {
    # --- words for what is missing ---
    "None is a class": (
        csv("x,disorder", both(lambda i, z: f"{z:.3f},{'None' if z < 0 else 'Apnea'}")),
        "disorder",
        [
            "2 classes, Apnea (189), None (211)",
            "'None' (211 rows) is a class of its own; if it means missing",
        ],
        [],
    ),
    "none is a category": (
        csv("debtors,y", both(lambda i, z: f"{'none' if z < 0 else 'guarantor'},{int(z < 0)}")),
        "y",
        ["'none' (169) kept as a category", "tells 'y' of every row: a copy of the target; kept", "1.0000"],
        ["filled"],
    ),
    "NA in a column of states": (
        csv("x,state,y", both(lambda i, z: f"{z:.2f},{('NA', 'DE', 'FR')[i % 3]},{int(z > 0)}")),
        "y",
        ["2 columns as 4 numbers", "'NA' ("],
        ["missing with"],
    ),
    "NA among numbers": (
        csv("x,y", both(lambda i, z: f"{'NA' if i % 9 == 0 else format(z, '.2f')},{int(z > 0)}")),
        "y",
        ["filled 45 missing with the median", "marked in a 0/1 column"],
        ["category"],
    ),
    "NA in a target of numbers": (
        csv("x,y", both(lambda i, z: f"{z:.2f},{'NA' if i < 5 else format(2 * z + 1, '.2f')}")),
        "y",
        ["395 rows", "5 rows have no 'y' (lines 2, 3, 4 and 2 more) and are left out", "numbers from"],
        [],
    ),
    "a word that is said to be missing": (
        csv("x,kind", both(lambda i, z: f"{z:.3f},{'None' if i % 4 == 0 else 'ab'[int(z > 0)]}")),
        "kind --missing None",
        ["300 rows", "100 rows have no 'kind'", "2 classes, a"],
        [],
    ),
    "a number that is said to be missing": (
        csv("x,y", both(lambda i, z: f"{-999 if i % 9 == 0 else format(z, '.2f')},{int(z > 0)}")),
        "y --missing -999",
        ["filled 45 missing"],
        [],
    ),
    # --- one cell and its column ---
    "one word among numbers": (
        csv("age,bought", [f"{'unknown' if i == 5 else 20 + i % 40},{int(i % 40 > 20)}" for i in range(400)]),
        "bought",
        ["1 columns as 1 numbers", "is numbers but for 'unknown' on line 7: taken as missing", "median, 39"],
        [],
    ),
    "a frequent word among numbers": (
        csv("age,y", both(lambda i, z: f"{'retired' if i % 9 == 0 else 20 + i % 40},{int(z > 0)}")),
        "y",
        ["'retired' (45) on lines 2, 11, 20 and 42 more: each has a 0/1 column", "as 2 numbers"],
        [],
    ),
    "digits among codes": (
        csv("size,y", both(lambda i, z: f"{('S', 'M', 'L', '38', '40')[i % 5]},{int(z > 0)}")),
        "y",
        ["1 columns as 5 numbers"],
        ["numbers but for"],
    ),
    # --- numbers written in another way ---
    "decimal commas": (
        csv("x;y", both(lambda i, z: f"{round(2 * z) / 2:.1f};{int(z > 0)}".replace(".", ","))),
        "y",
        ["1 columns as 1 numbers", "the comma is the decimal mark"],
        [],
    ),
    "a target with decimal commas": (
        csv("x;y", both(lambda i, z: f"{z:.2f};{3 * z:.2f}".replace(".", ","))),
        "y",
        [
            "numbers from -11.32 to 9.2",
            "target 'y': ",
            "the comma is the decimal mark",
            "1.0000",
        ],
        [],
    ),
    "thousands and a currency": (
        csv("price,y", both(lambda i, z: f'"${1e6 + 1e5 * z:,.0f}",{int(z > 0)}')),
        "y",
        ["1 columns as 1 numbers", "the comma separates thousands, '$' is left away"],
        [],
    ),
    "thousands as in Germany": (
        csv(
            "price;y",
            both(lambda i, z: f"{30000 + 9000 * z:,.2f} €;{int(z > 0)}".translate(str.maketrans(",.", ".,"))),
        ),
        "y",
        ["1 columns as 1 numbers", "the comma is the decimal mark, the dot separates thousands, '€'"],
        [],
    ),
    "percent": (
        csv("rate,y", both(lambda i, z: f"{50 + 9 * z:.1f}%,{int(z > 0)}")),
        "y",
        ["1 columns as 1 numbers", "'%' is left away"],
        [],
    ),
    "a unit": (
        csv("term,y", both(lambda i, z: f"{(36, 60)[int(z > 0)]} months,{i % 2}")),
        "y",
        ["1 columns as 1 numbers", "'months' is left away"],
        [],
    ),
    "losses in brackets": (
        csv("gain,y", both(lambda i, z: f"{f'({-z:.2f})' if z < 0 else format(z, '.2f')},{int(z > 0)}")),
        "y",
        ["1 columns as 1 numbers"],
        ["category", "but for"],
    ),
    # --- dates and text ---
    "dates": (
        csv("day,y", both(lambda i, z: f"{month(i)},{i % 12}")),
        "y --task regression",
        ["1 columns as 5 numbers"],
        ["left out"],
    ),
    "dates that may be read in two ways": (
        csv("day,x,y", both(lambda i, z: f"{1 + i % 12}/{1 + i % 11}/2024,{z:.2f},{int(z > 0)}")),
        "y",
        ["'1/1/2024' is read with the month first (if not: --day-first)"],
        [],
    ),
    "many categories": (
        csv("zip,x,y", both(lambda i, z: f"z{i % 90},{z:.2f},{int(z > 0)}")),
        "y",
        ["90 different texts: the 50 most frequent have a 0/1 column each", "2 columns as 52 numbers"],
        [],
    ),
    "names with titles": (
        csv(
            "name,y",
            both(
                lambda i, z: (
                    f'"Name{i}, {("Mr", "Mister", "Miss")[i % 3]} {chr(97 + i % 26) * 9}",{i % 3 % 2}'
                )
            ),
        ),
        "y",
        ["1 columns as"],
        ["left out"],
    ),
    # --- the header, and columns that are no data ---
    "no header": (
        csv("6,148,1", both(lambda i, z: f"{i % 7},{90 + 9 * z:.0f},{int(z > 0)}")),
        "1",
        ["the first line looks like data, not like a header (6, 148, 1): if it is, use --no-header"],
        [],
    ),
    "no header, as said": (
        csv("6,148,1", both(lambda i, z: f"{i % 7},{90 + 9 * z:.0f},{int(z > 0)}")),
        "3 --no-header",
        ["401 rows", "target 'column 3': 2 classes"],
        ["looks like data"],
    ),
    "a header of years": (
        csv("2001,2002,2003,y", both(lambda i, z: f"{z:.2f},{z:.1f},{i % 9},{int(z > 0)}")),
        "y",
        ["3 columns as 3"],
        ["looks like data"],
    ),
    "an index": (
        csv(",x,kind", [f"{i},{e:.2f},{'abc'[i // 134]}" for i, e in enumerate(E)]),
        "kind",
        ["column 'column 1' is left out: counts the rows: an index (to use it: --keep 'column 1')"],
        ["0.9875"],
    ),
    "an index that is kept": (
        csv(",x,kind", [f"{i},{e:.2f},{'abc'[i // 134]}" for i, e in enumerate(E)]),
        "kind --keep column\u00a01".replace("\u00a0", "_"),
        ["has no column 'column_1': did you mean 'column 1'?"],
        [],
    ),
    "customer numbers": (
        csv("CustomerID,x,y", both(lambda i, z: f"{i * 7919 % 9973},{z:.2f},{int(z > 0)}")),
        "y",
        ["column 'CustomerID' is left out: differs in every row: an ID"],
        [],
    ),
    "row names, as R writes them": (
        csv("x,y", both(lambda i, z: f"r{i},{z:.2f},{int(z > 0)}")),
        "y",
        ["their first one is taken as the rows' name", "1 columns as 1 numbers"],
        [],
    ),
    "names and tickets": (
        csv("name,ticket,x,y", both(lambda i, z: f"n{i},t{i},{z:.2f},{int(z > 0)}")),
        "y",
        ["column 'name' is left out: has 320 different texts", "column 'ticket' is left out", "1 columns"],
        [],
    ),
    "nothing but names": (
        csv("name,ticket,cabin,y", both(lambda i, z: f"n{i},t{i},c{i},{int(z > 0)}")),
        "y",
        ["no column is left to learn from: 'name' has 320", "'ticket' has 320", "'cabin' has 320"],
        [],
    ),
    "a copy of the target": (
        csv("alive,x,survived", both(lambda i, z: f"{('no', 'yes')[int(z > 0)]},{E[i]:.2f},{int(z > 0)}")),
        "survived",
        ["column 'alive' is left out: tells 'survived' of every row: a copy of the target"],
        [],
    ),
    "the target in another unit": (
        csv("celsius,x,y", both(lambda i, z: f"{round(z, 2)},{E[i]:.2f},{round(z, 2) * 1.8 + 32:.3f}")),
        "y",
        ["column 'celsius' is left out: is the target itself, in another unit"],
        [],
    ),
    "constants": (
        csv("a,b,x,y", both(lambda i, z: f"5,usd,{z:.2f},{int(z > 0)}")),
        "y",
        ["column 'a' is left out: has the one value 5", "column 'b' is left out: has the one value 'usd'"],
        [],
    ),
    "a name with a comma": (
        csv('"name, full",x,y', both(lambda i, z: f"n{i},{z:.2f},{int(z > 0)}")),
        "y --drop name,_full",
        ["has no column 'name': did you mean 'name, full'?"],
        [],
    ),
    "the mark of Excel": (
        csv("sep=,\nx,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y",
        ["1 columns"],
        [],
    ),
    "a comment first": (
        csv("# mine\nx,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y",
        ["as a title: '# mine'"],
        [],
    ),
    "a title first": (
        csv("Sales 2024\n\nx,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y",
        ["as a title: 'Sales"],
        [],
    ),
    "a column called #": (
        csv("#,x,y", both(lambda i, z: f"{i},{z:.2f},{int(z > 0)}")),
        "y",
        ["'#' is left out"],
        [],
    ),
    "rows of commas at the end": (
        csv("x,y", [*both(lambda i, z: f"{z:.2f},{int(z > 0)}"), ",", ",", ","]),
        "y",
        ["400 rows", "skipped 3 empty rows at the end"],
        [],
    ),
    "a name twice": (
        csv("x,x,y", both(lambda i, z: f"{z:.2f},{E[i]:.2f},{int(z > 0)}")),
        "y",
        ["the header names 'x' twice", "2 columns as 2"],
        [],
    ),
    # --- the target ---
    "grades": (
        csv("x,grade", both(lambda i, z: f"{z:.2f},{round(10 + 2 * z)}")),
        "grade",
        ["14 classes", "(for numbers: --task regression)", "class '4' has 2 rows: its scores mean little"],
        [],
    ),
    "spellings of true": (
        csv("x,ok", both(lambda i, z: f"{z:.2f},{('True', 'true', 'TRUE')[i % 3] if z > 0 else 'False'}")),
        "ok",
        ["2 classes, False (211), TRUE (189)", "'TRUE', 'True', 'true' are one class"],
        [],
    ),
    "classes that differ in case": (
        csv("x,sex", both(lambda i, z: f"{z:.2f},{('Male', 'male')[i % 2] if z > 0 else 'Female'}")),
        "sex",
        ["3 classes", "'Male', 'male' differ only in upper and lower case"],
        [],
    ),
    "a class of one row": (
        csv("x,kind", both(lambda i, z: f"{z:.2f},{'c' if i == 399 else 'ab'[int(z > 0)]}")),
        "kind",
        ["class 'c' has 1 row, which is in training: nothing tests it"],
        [],
    ),
    "rows without a target": (
        csv("x,y", both(lambda i, z: f"{z:.2f},{'' if i in (3, 9) else int(z > 0)}")),
        "y",
        ["398 rows", "2 rows have no 'y' (lines 5, 11) and are left out"],
        [],
    ),
    "a class with an escape sequence": (
        csv("x,y", both(lambda i, z: f"{z:.2f},{'a' if z > 0 else chr(27) + '[31mb'}")),
        "y",
        ["\\x1b[31mb (211)"],
        ["\x1b"],
    ),
    "the two forms of é": (
        csv("cafe\u0301,y", both(lambda i, z: f"{z:.2f},{int(z > 0)}")),
        "y --keep caf\u00e9",
        ["1 columns as 1 numbers"],
        [],
    ),
    # --- the training ---
    "numbers near the end": (
        csv("x,y", both(lambda i, z: f"{z:.3f},{z * 1e200:.3e}")),
        "y",
        ["the target 'y' is infinite or beyond 1e+100 on lines 2, 3, 4"],
        ["nan"],
    ),
    "an outlier": (
        csv("x,y", both(lambda i, z: f"{'1e300' if i == 7 else format(z, '.2f')},{int(z > 0)}")),
        "y",
        ["1e+300 on line 9 is so far from all others that it is taken as", "1.0000"],
        [],
    ),
    "a median": (
        csv("x,y", [*[f"{1.234 + i / 1000:.3f},{e:.2f}" for i, e in enumerate(E)], ",1.0", ",1.0"]),
        "y --seed 1",
        ["filled 2 missing with the median, 1."],
        ["00000"],
    ),
    "noise": (
        csv("x,y", both(lambda i, z: f"{E[i]:.2f},{int(i % 5 == 0)}")),
        "y",
        ["always '0'", "is no better than to guess '0' (test accuracy 0.8000, 0.8000)"],
        [],
    ),
    "numbers nobody can tell": (
        csv("x,y", both(lambda i, z: f"{E[i]:.2f},{z:.2f}")),
        "y",
        ["always the mean", "is no better than to guess the mean (test R2 -"],
        [],
    ),
}


def model_for(out):
    return "logistic" if "numbers from" not in out else "linear"


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
    if status == 0:  # and every file that was trained on is predicted, a line for each row
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


# training file, target and options; file to predict; the lines that come out
PREDICTED = {
    "an age with a stray word": (
        csv("age,bought", [f"{'unknown' if i == 5 else 20 + i % 40},{int(i % 40 > 20)}" for i in range(400)]),
        "bought",
        "age\n25\n25.0\n61\n75\n",
        ["0", "0", "1", "1"],
    ),
    "labels as they are written": (
        csv("x,code", both(lambda i, z: f"{z:.2f},{'1e5' if z > 0 else '00123'}")),
        "code",
        "x\n1\n-1\n",
        ["1e5", "00123"],
    ),
    "all digits": (
        csv("x,price", both(lambda i, z: f"{z:.4f},{123456789 + 50 * z:.2f}")),
        "price",
        "x\n-2\n-1\n0\n1\n2\n",
        [123456689, 123456739, 123456789, 123456839, 123456889],
    ),
    "a cell far out": (
        csv("x,y", both(lambda i, z: f"{z:.4f},{3 * z:.3f}")),
        "y",
        "x\n1\n1e300\n2\n",
        [3.0, 3.0488e6, 6.0],
    ),
    "numbers with commas": (
        csv("x;y", both(lambda i, z: f"{z:.3f};{3 * z:.3f}".replace(".", ","))),
        "y",
        "x\n1,5\n2\n".replace(",", ",").replace("x", '"x"').replace("1,5", '"1,5"'),
        [4.5, 6.0],
    ),
    "a dot that separates thousands": (
        csv(
            "x;y", both(lambda i, z: f"{10000 * z + 50000:,.1f};{z:.3f}".translate(str.maketrans(",.", ".,")))
        ),
        "y",
        "x\n50.000\n60.000,0\n".replace("60.000,0", '"60.000,0"'),
        [0.0, 1.0],
    ),
    "codes that look like numbers": (
        csv("code,y", both(lambda i, z: f"{('A', 'B', '7')[i % 3]},{i % 3}")),
        "y --task regression",
        "code\n7\n7.0\n",
        [2.0, 2.0],
    ),
    "no header, the target in the middle": (
        "\n".join(both(lambda i, z: f"{E[i]:.3f},{3 * z:.3f},{z:.4f}")) + "\n",
        "2 --no-header",
        "0,1\n0,2\n",
        [3.0, 6.0],
    ),
    "an index that only the training had": (
        csv(",x,y", both(lambda i, z: f"{i},{z:.3f},{3 * z:.3f}")),
        "y",
        "x\n1\n2\n",
        [3.0, 6.0],
    ),
    "an empty cell": (
        csv("deck,y", [f"{'' if i % 2 else 'ABC'[i // 2 % 3]},{10 * (i % 2)}.5" for i in range(400)]),
        "y",
        "deck,more\nA,1\n,2\n",
        [0.5, 10.5],
    ),
}


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "cp1252"])
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
    columns = 5000
    values = GENERATOR.integers(0, 9, (12, columns))
    rows = [",".join(map(str, row)) + f",{i % 2}" for i, row in enumerate(values)]
    (folder / "a.csv").write_text(csv(",".join(f"c{i}" for i in range(columns)) + ",y", rows))
    status, out, err = run("train", "a.csv", "--target", "y", "--dry-run")
    assert status == 0, err
    assert "12 rows" in out
