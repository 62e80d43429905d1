"""The kinds of data that a DataLoader takes, each with the rows 0 … n-1, for test_loader."""

from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.data import CsvRows, ParquetRows

N = 23
X = np.arange(N * 2, dtype=np.float32).reshape(N, 2)
Y = np.arange(N)


class Squares:
    """A data set that is indexed."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        if not 0 <= i < N:
            raise IndexError(i)
        return X[i], int(Y[i])


class Again:
    """An iterable that begins again."""

    def __iter__(self) -> Any:
        return ((X[i], int(Y[i])) for i in range(N))


def mapped(path: Path) -> tuple[Any, ...]:
    np.save(path / "x.npy", X)
    return np.load(path / "x.npy", mmap_mode="r"), Y


def csv(path: Path) -> tuple[Any, ...]:
    lines = [f"{a:g},{b:g},{t}" for (a, b), t in zip(X, Y, strict=True)]
    (path / "rows.csv").write_text("\n".join(["a,b,t", *lines]))
    return (CsvRows(path / "rows.csv", target="t", rows_per_piece=5),)


def parquet(path: Path) -> tuple[Any, ...]:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"a": X[:, 0], "b": X[:, 1], "t": Y})
    pyarrow.parquet.write_table(table, path / "rows.parquet", row_group_size=5)
    return (ParquetRows(path / "rows.parquet", target="t"),)


# name -> what a loader is given; whether it can be shuffled; whether it tells its length
SOURCES: dict[str, tuple[Any, bool, bool]] = {
    "arrays": (lambda path: (X, Y), True, True),
    "memory-mapped": (mapped, True, True),
    "indexed": (lambda path: (Squares(),), True, True),
    "iterated": (lambda path: (Again(),), False, False),
    "csv": (csv, True, False),
    "parquet": (parquet, True, False),
}
