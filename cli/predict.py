"""`tapegrad predict`: a model that `train` wrote, applied to the rows of a table."""

import argparse
import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np

from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.files import read_metadata
from tapegrad.autograd.replacing import check_replaceable, replacing
from tapegrad.backends import set_backend
from tapegrad.cli.arguments import Mistake
from tapegrad.data.aliases import PlainData
from tapegrad.data.features import FeatureEncoder
from tapegrad.data.reading import read_csv
from tapegrad.data.table import Table, TableError
from tapegrad.data.target import TargetEncoder
from tapegrad.models.sequential import Sequential


def predict(options: argparse.Namespace) -> int:
    if options.out is not None:
        # Before the work, not after it. A pipe such as /dev/stdout may have no other name.
        if os.path.exists(options.out) and not os.path.exists(os.path.realpath(options.out)):
            raise Mistake(
                f"--out {options.out}: this is no file: leave --out away to write to the terminal or a pipe"
            )
        check_replaceable(options.out, "--out")
        for path, what in ((options.data, "table"), (options.model, "model")):
            if os.path.realpath(options.out) == os.path.realpath(path):
                raise Mistake(f"--out {options.out}: this is the {what} itself: give the name of a new file")
    if options.backend:
        set_backend(options.backend)
    known = read_known(Path(options.model))
    features, target = FeatureEncoder(known["features"]), TargetEncoder(known["target"])
    table = read_known_columns(options, known, features, target)
    x = features.transform(table)
    text = as_csv(Sequential.load(options.model).predict(x), target)
    if options.out is None:
        sys.stdout.write(text)
    else:
        with replacing(options.out, "--out") as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
        print(f"wrote {plural(table.rows, 'prediction')} of {target.name!r} to {options.out}")
    for note in [*table.notes, *features.notes]:
        print(f"note: {note}", file=sys.stderr)
    return 0


def read_known(path: Path) -> PlainData:
    """What the model knows of tables: its columns, how they become numbers, and the target."""
    if path.is_dir():
        models = sorted(p.name for p in path.glob("*.safetensors"))
        raise Mistake(
            f"{path} is a folder: name one of its models, {', '.join(models) or 'but there are none'}"
        )
    metadata = read_metadata(path)
    if "table" not in metadata:
        raise Mistake(
            f"{path} was not written by `tapegrad train` and knows no columns: use Sequential.load in a program"
        )
    return json.loads(metadata["table"])


def read_known_columns(
    options: argparse.Namespace, known: PlainData, features: FeatureEncoder, target: TargetEncoder
) -> Table:
    """The columns of a table that the model knows, read as they were read in training."""
    header = known.get("header", True)
    table = read_csv(
        options.data,
        header=header,
        encoding=options.encoding,
        as_text=[*features.as_text, target.name],
    )
    names = known.get("columns", list(table.columns))
    if not header and len(table.columns) != len(names):
        rest = [name for name in names if name != target.name]
        if len(table.columns) != len(rest):
            raise TableError(
                f"{table.title} has {len(table.columns)} columns; the model learned {len(names)} without header, "
                f"of which {target.name!r}, the target, may be left out"
            )
        # The target stood in the middle: read again, by the names of the others.
        if rest != list(table.columns):
            moved = dict(zip(rest, table.columns))
            text = [moved[name] for name in features.as_text]
            table = read_csv(options.data, header=False, encoding=options.encoding, as_text=text)
            columns = dict(zip(rest, table.columns.values()))
            table = Table(table.title, columns, table.rows, table.notes, header=False)
    return table.without(known.get("missing", ()))


def as_csv(outputs: np.ndarray, target: TargetEncoder) -> str:
    """One line per row: the class, its probability and that of each class; or the number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if target.classes is None:
        writer.writerow(["prediction"])
        values = target.decode(outputs[:, 0].astype(np.float64))
        writer.writerows([repr(value)] for value in values.tolist())
        return text.getvalue()
    p = probabilities(outputs)
    writer.writerow(["prediction", "probability", *(f"p_{name}" for name in target.classes)])
    for row in p.tolist():
        best = row.index(max(row))
        writer.writerow([target.classes[best], *(repr(value) for value in (row[best], *row))])
    return text.getvalue()


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """float64, (rows, classes); a model of two classes has one output, that of the second."""
    p = outputs.astype(np.float64)
    return np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 else p
