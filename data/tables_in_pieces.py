"""Tables in CSV and Parquet files, read in pieces: as sources of a DataLoader, when they do not fit into memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.autograd.arguments import positive_integer
from tapegrad.autograd.dtypes import get_default_dtype, name_of


class _TableRows:
    """Rows of columns of numbers: (features, target) or (features,) for each piece."""

    def __init__(
        self,
        path: str | Path,
        target: str | None,
        features: Sequence[str] | None,
        rows_per_piece: int,
        dtype: Any,
    ) -> None:
        self.path, self.target = Path(path), target
        self.features = None if features is None else list(features)
        self.rows_per_piece = positive_integer(f"{type(self).__name__}: rows_per_piece", rows_per_piece)
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

    def _arrays(self, frame: Any, wanted: list[str], start: int) -> tuple[np.ndarray, ...]:
        """The columns of a frame as arrays; ValueError for what is no number, or missing."""
        parts = []
        for names in (wanted, None if self.target is None else self.target):
            if names is None:
                continue
            try:
                values = frame[names].to_numpy()
                # Class numbers stay whole.
                values = (
                    values
                    if names is self.target and values.dtype.kind in "iu"
                    else values.astype(self.dtype)
                )
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{type(self).__name__}: {self.path}, rows from {start}: {error}: leave columns of text out with "
                    "features=[…], or write numbers in their place"
                ) from None
            if values.dtype.kind == "f" and np.isnan(values).any():
                raise ValueError(
                    f"{type(self).__name__}: {self.path}, rows from {start}: there are empty cells: fill them first"
                )
            parts.append(values)
        return tuple(parts)


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
        rows_per_piece: int = 65536, dtype: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise ImportError('CsvRows needs pandas: pip install "tapegrad[data]"') from None
        super().__init__(path, target, features, rows_per_piece, dtype)
        self.options = options

    def pieces(self, order: np.random.Generator | None) -> Iterator[tuple[np.ndarray, ...]]:
        """The pieces of the file, one after the other.

        Args:
            order: Not used: the file is read from its beginning.
        """
        import pandas as pd

        start = 0
        with pd.read_csv(self.path, chunksize=self.rows_per_piece, **self.options) as reader:
            for frame in reader:
                yield self._arrays(frame, self._columns(list(frame.columns)), start)
                start += len(frame)


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
        dtype: Any = None,
    ) -> None:  # fmt: skip
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ImportError(
                'ParquetRows needs pyarrow and pandas: pip install "tapegrad[parquet]"'
            ) from None
        super().__init__(path, target, features, 1, dtype)

    def pieces(self, order: np.random.Generator | None) -> Iterator[tuple[np.ndarray, ...]]:
        """The row groups of the file.

        Args:
            order: Draws the order of the row groups; None keeps it.
        """
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(self.path) as file:
            wanted = self._columns(file.schema_arrow.names)
            names = [*wanted, *((self.target,) if self.target else ())]
            groups = range(file.num_row_groups)
            for group in groups if order is None else order.permutation(len(groups)).tolist():
                yield self._arrays(file.read_row_group(group, columns=names).to_pandas(), wanted, 0)
