"""A CSV file as columns: which texts they have, in which order, whatever stands in the first rows; and quartiles."""

import numpy as np
import pytest

from tapegrad.data.numbers import quartiles
from tapegrad.data.reading import read_csv
from tapegrad.data.table import TableError

# cells from the first row on -> (the different texts, the place of each cell among them)
TEXTS = {
    "text": (["b", "a", "", "b"], ["b", "a"], [0, 1, -1, 0]),
    "blanks around": ([" b", "b ", '" b "', "a"], ["b", "a"], [0, 0, 0, 1]),
    "a blank cell": (["b", '" "', "a"], ["b", "a"], [0, -1, 1]),
    "numbers and text": (["1", "1.0", "x", "007"], ["1", "1.0", "x", "007"], [0, 1, 2, 3]),
    "truth words and text": (["True", "true", "x"], ["True", "true", "x"], [0, 1, 2]),
    "truth words": (["True", "false", "TRUE"], ["False", "True"], [1, 0, 1]),
    "truth words late": (["True"] * 60 + ["x"], ["True", "x"], [0] * 60 + [1]),
    "text late": (["1"] * 60 + ["x", ""], ["1", "x"], [0] * 60 + [1, -1]),
    "numbers after text": (["x", *["2"] * 60], ["x", "2"], [0, *[1] * 60]),
    "no number of Python's": (["1_0", "2"], ["1_0", "2"], [0, 1]),
    "more than 64 bits": (["9" * 25, "x"], ["9" * 25, "x"], [0, 1]),
    "texts that come late": (["b"] * 30_000 + ["z", "a", ""], ["b", "z", "a"], [0] * 30_000 + [1, 2, -1]),
    "texts that hardly repeat": (
        [f"t{i}" for i in range(60)] + ["t1"],
        [f"t{i}" for i in range(60)],
        [*range(60), 1],
    ),
    "the header again": (["b", "x", "a"], ["b", "a"], [0, 1]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_texts_of_a_column(name, tmp_path):
    cells, texts, codes = TEXTS[name]
    if name == "the header again":
        (tmp_path / "a.csv").write_text("x,m\n" + "".join(f"{c},{'m' if c == 'x' else 'c'}\n" for c in cells))
    else:
        (tmp_path / "a.csv").write_text("n,m\n" + "".join(f"{cell},c\n" for cell in cells))
    column = next(iter(read_csv(tmp_path / "a.csv").columns.values()))
    assert (column.texts, column.values.tolist()) == (texts, codes)


@pytest.mark.parametrize("cells", [["1", "1.0"], ["True", "TRUE"], ["007", "x"], ["b", "b"]])
def test_a_column_as_it_is_written(cells, tmp_path):
    (tmp_path / "a.csv").write_text("n,m\n" + "".join(f"{cell},c\n" for cell in cells))
    column = read_csv(tmp_path / "a.csv", as_text=["n"]).columns["n"]
    assert column.texts == list(dict.fromkeys(cells))


VALUES = {
    "normal": lambda n: np.random.default_rng(0).normal(size=n),
    "few different": lambda n: np.arange(n) % 3.0,
    "equal": np.zeros,
    "sorted": lambda n: np.arange(float(n)),
    "steep": lambda n: np.random.default_rng(1).normal(size=n) ** 9,
    "unlike every seventh": lambda n: np.where(np.arange(n) % 7 == 0, -5.0, np.arange(n) % 100),
}


@pytest.mark.parametrize("name", VALUES)
def test_quartiles_are_numpys(name):
    for n in (1, 2, 3, 4, 999, 5000, 5001, 9999, 35_001, 100_000):
        values = VALUES[name](n)
        assert quartiles(values) == tuple(np.percentile(values, (25, 50, 75)).tolist())


def test_empty_cells_beside_numbers_of_more_than_64_bits(tmp_path):
    """pandas gives them as texts."""
    (tmp_path / "a.csv").write_text(f"n,m\n1,{'9' * 25}\n2,2024-01-01\n,\n,\n")
    table = read_csv(tmp_path / "a.csv")
    assert (table.rows, table.notes) == (2, ["skipped 2 empty rows at the end"])
    (tmp_path / "a.csv").write_text(f"n,m\n1,{'9' * 25}\n2,2024-01-01\n3\n4,x\n")
    with pytest.raises(TableError, match="line 4: 1 fields where the header has 2"):
        read_csv(tmp_path / "a.csv")
