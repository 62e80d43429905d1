"""`tapegrad predict`: a model that `train` wrote, applied to the rows of a table."""

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.autograd.files import read_metadata
from tapegrad.autograd.replacing import replacing
from tapegrad.backends import set_backend
from tapegrad.cli.arguments import Mistake
from tapegrad.data.features import FeatureEncoder
from tapegrad.data.table import read_csv
from tapegrad.data.target import TargetEncoder
from tapegrad.models.sequential import Sequential


def predict(options: argparse.Namespace) -> int:
    if options.backend:
        set_backend(options.backend)
    known = read_known(Path(options.model))
    table = read_csv(options.data)
    features, target = FeatureEncoder(known["features"]), TargetEncoder(known["target"])
    x = features.transform(table)
    text = as_csv(Sequential.load(options.model).predict(x), target)
    if options.out is None:
        sys.stdout.write(text)
    else:
        with replacing(options.out) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
        print(f"wrote {table.rows} predictions of {target.name!r} to {options.out}")
    for note in features.notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def read_known(path: Path) -> dict[str, Any]:
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


def as_csv(outputs: np.ndarray, target: TargetEncoder) -> str:
    """One line per row: the class, its probability and that of each class; or the number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if target.classes is None:
        writer.writerow(["prediction"])
        writer.writerows([f"{value:.7g}"] for value in target.decode(outputs[:, 0].astype(np.float64)))
        return text.getvalue()
    p = np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs
    writer.writerow(["prediction", "probability", *(f"p_{name}" for name in target.classes)])
    for row in p:
        best = int(row.argmax())
        writer.writerow([target.classes[best], *(f"{value:.6g}" for value in (row[best], *row))])
    return text.getvalue()
