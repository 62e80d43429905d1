"""Tables in CSV and Parquet files, read in pieces: as sources of a DataLoader, when they do not fit into memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import DTypeLike
from tapegrad.autograd.arguments import positive_integer
from tapegrad.autograd.attributes import Options
from tapegrad.autograd.dtypes import get_default_dtype, name_of
from tapegrad.backends.install import install_line
from tapegrad.data.aliases import Frame


class _TableRows(Options):
    """Rows of columns of numbers: (features, target) or (features,) for each piece."""

    def __init__(
        self,
        path: str | Path,
        target: str | None,
        features: Sequence[str] | None,
        dtype: DTypeLike | None,
    ) -> None:
        self.path, self.target = Path(path), target
        self.features = None if features is None else list(features)
        self.dtype = np.dtype(name_of(get_default_dtype() if dtype is None else dtype))
        if not self.path.exists():
            raise FileNotFoundError(f"{type(self).__name__}: there is no file {self.path}")

    def _columns(self, names: list[str]) -> list[str]:
        """The columns of the features."""
        wanted = [n for n in names if n != self.target] if self.features is None else self.features
        missing = [n for n in (*wanted, *((self.target,) if self.target else ())) if n not in names]
        if missing:
            raise ValueError(
                f"{type(self).__name__}: {self.path} has no column {missing[0]!r}; it has {names}"
            )
        return wanted

    def _pieces(self, frames: Iterable[tuple[str, Frame]]) -> Iterator[tuple[np.ndarray, ...]]:
        """The arrays of frames, each with where it stands. A target that is whole numbers in the first is so in all:
        a batch has the dtype of the one before."""
        kind: np.dtype[Any] | None = None
        for where, frame in frames:
            x = self._numbers(frame[self._columns(list(frame.columns))], self.dtype, where)
            if self.target is None:
                yield (x,)
                continue
            values = frame[self.target].to_numpy()
            if kind is None:
                kind = values.dtype if values.dtype.kind in "iu" else self.dtype
            y = self._numbers(frame[self.target], kind, where)
            if kind.kind in "iu" and not np.array_equal(y, values):
                raise ValueError(
                    f"{type(self).__name__}: {self.path}, {where}: {self.target!r} has fractions here, and whole "
                    "numbers before: write these as 1.0, the first of them at least"
                )
            yield x, y

    def _numbers(self, columns: Frame, dtype: np.dtype, where: str) -> np.ndarray:
        """Columns as an array; ValueError for what is no number, or missing."""
        at = f"{type(self).__name__}: {self.path}, {where}"
        try:
            values = columns.to_numpy()
            if values.dtype.kind not in "biuf":
                values = values.astype(self.dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{at}: {error}: leave columns of text out with features=[…], or write numbers in their place"
            ) from None
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ValueError(f"{at}: there are empty cells: fill them first")
        return np.asarray(values, dtype)


class CsvRows(_TableRows):
    """The rows of a CSV file, read in pieces by pandas: `DataLoader(CsvRows("rows.csv", target="y"), batch_size=64)`.

    A CSV file is read from its beginning. Shuffled, the rows of each piece come in another order.

    Args:
        path: The file, with a header line.
        target: The column that comes second in each batch; None gives batches of the features alone.
        features: The columns that make the first part of each batch; None takes all others.
        rows_per_piece: How many rows are in memory at once.
        dtype: The dtype of the features, and of a target of fractions; None is the default float dtype.
        **options: Further options of `pandas.read_csv`, such as sep.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: pandas is absent.
        ValueError: A column is missing, or holds text or empty cells; raised in the loop.
    """

    def __init__(
        self, path: str | Path, target: str | None = None, features: Sequence[str] | None = None, *,
        rows_per_piece: int = 65536, dtype: DTypeLike | None = None, **options: object,
    ) -> None:  # fmt: skip
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise ImportError(f"CsvRows needs pandas: {install_line('data')}") from None
        super().__init__(path, target, features, dtype)
        self.rows_per_piece = positive_integer("CsvRows: rows_per_piece", rows_per_piece)
        self.options = options

    def pieces(self, order: np.random.Generator | None) -> Iterator[tuple[np.ndarray, ...]]:
        """The pieces of the file, one after the other.

        Args:
            order: Not used: the file is read from its beginning.
        """
        import pandas as pd

        with pd.read_csv(self.path, chunksize=self.rows_per_piece, **self.options) as reader:
            size = self.rows_per_piece
            yield from self._pieces((f"rows from {n * size}", frame) for n, frame in enumerate(reader))


class ParquetRows(_TableRows):
    """The rows of a Parquet file, read by row groups with pyarrow. Shuffled, the row groups come in another order, and
    the rows of each.

    Args:
        path: The file.
        target: The column that comes second in each batch; None gives batches of the features alone.
        features: The columns that make the first part of each batch; None takes all others.
        dtype: The dtype of the features, and of a target of fractions; None is the default float dtype.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: pyarrow is absent.
        ValueError: A column is missing, or holds text or empty cells; raised in the loop.
    """

    def __init__(
        self, path: str | Path, target: str | None = None, features: Sequence[str] | None = None, *,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ImportError(f"ParquetRows needs pyarrow and pandas: {install_line('parquet')}") from None
        super().__init__(path, target, features, dtype)

    def pieces(self, order: np.random.Generator | None) -> Iterator[tuple[np.ndarray, ...]]:
        """The row groups of the file.

        Args:
            order: Draws the order of the row groups; None keeps it.
        """
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(self.path) as file:
            names = [*self._columns(file.schema_arrow.names), *((self.target,) if self.target else ())]
            groups = (
                np.arange(file.num_row_groups) if order is None else order.permutation(file.num_row_groups)
            )
            yield from self._pieces(
                (f"row group {n}", file.read_row_group(n, columns=names).to_pandas()) for n in groups.tolist()
            )
