"""`tapegrad evaluate`: a model that `train` wrote, scored on a table that has the target."""

import argparse
from pathlib import Path

import numpy as np

from tapegrad.autograd.diagnostics import plural
from tapegrad.backends import set_backend
from tapegrad.cli.arguments import Mistake
from tapegrad.cli.predict import probabilities, read_known, read_known_columns
from tapegrad.cli.preparing import printable
from tapegrad.cli.scores import class_scores, confusion_lines, number_scores, print_table, shown
from tapegrad.data.features import FeatureEncoder
from tapegrad.data.number_columns import LARGEST
from tapegrad.data.table import Column, Table, listed
from tapegrad.data.target import TargetEncoder, usable_rows
from tapegrad.models.sequential import Sequential

MOST_SHOWN = 12  # classes of a confusion matrix on a terminal


def evaluate(options: argparse.Namespace) -> int:
    if options.backend:
        set_backend(options.backend)
    known = read_known(Path(options.model))
    features, target = FeatureEncoder(known["features"]), TargetEncoder(known["target"])
    table = read_known_columns(options, known, features, target)
    if target.name not in table.columns:
        raise Mistake(
            f"{table.title} has no column {target.name!r}, the target, to score against: for predictions alone use "
            f"tapegrad predict {options.model} {options.data}"
        )
    column = scorable(table, target)
    rows, notes = usable_rows(table, column)
    table, column = table.take(rows), column.take(rows)
    outputs = Sequential.load(options.model).predict(features.transform(table))
    print(f"{table.title}: {plural(table.rows, 'row')}")
    for note in [*table.notes, *notes, *features.notes]:
        print(f"note: {note}")
    print()
    if target.classes is None:
        report_numbers(column, target, outputs)
    else:
        report_classes(column, target, outputs)
    return 0


def scorable(table: Table, target: TargetEncoder) -> Column:
    """The target, with the cells empty that are missing. Mistake where there is nothing to score against."""
    column = target.with_gaps(table.columns[target.name])
    there = ~column.empty
    if not there.any():
        cells = sorted(set(table.columns[target.name].cells) - {""})
        hold = f" (its cells hold {listed(cells)}, for a missing value)" if cells else ""
        rows = plural(table.rows, "row")
        raise Mistake(
            f"0 of the {rows} of {table.title} have a value in {target.name!r}, the target{hold}: there is nothing to "
            "score against; for predictions alone use tapegrad predict"
        )
    if target.classes is not None:
        if (target.encode(column)[there] < 0).all():
            rows, cells = plural(int(there.sum()), "row"), sorted(set(column.cells) - {""})
            raise Mistake(
                f"none of the {rows} with a value in the target {target.name!r} has a class that the model knows "
                f"({listed(target.classes)}): the file has {listed(cells)}; write its classes as in the training file"
            )
        return column
    truth = target.numbers(column)
    if (bad := np.isnan(truth) & there).any():
        raise Mistake(
            f"the target {target.name!r} has text on {column.on(np.flatnonzero(bad))}, and the model gives numbers: "
            "fix or empty these cells"
        )
    if (bad := np.abs(truth) > LARGEST).any():
        raise Mistake(
            f"the target {target.name!r} is infinite or beyond {LARGEST:g} on {column.on(np.flatnonzero(bad))}: fix or "
            "empty these cells"
        )
    return column


def report_numbers(column: Column, target: TargetEncoder, outputs: np.ndarray) -> None:
    truth = target.numbers(column)
    scores = number_scores(truth, target.decode(outputs[:, 0].astype(np.float64)))
    base = number_scores(truth, np.full(len(truth), target.mean))
    rows = [["", *scores], ["model", *map(shown, scores.values())]]
    print_table([*rows, ["always the training mean", *map(shown, base.values())]])
    if scores["RMSE"] >= base["RMSE"]:
        print("\nnote: the model is no better than to guess the mean")


def report_classes(column: Column, target: TargetEncoder, outputs: np.ndarray) -> None:
    assert target.classes is not None
    truth, p = target.encode(column), probabilities(outputs)
    best = p.argmax(axis=1)
    names = [printable(name) for name in target.classes]
    if (strange := truth < 0).any():
        cells = sorted({cell for cell, there in zip(column.cells, strange) if there})
        unknown = plural(int(strange.sum()), "row")
        verb = "is" if strange.sum() == 1 else "are"
        print(f"note: {unknown} {verb} of unknown classes ({listed(cells)}): counted as wrong")
    scores = class_scores(truth, best, p, len(names))
    most = int(np.bincount(truth[truth >= 0], minlength=len(names)).argmax())
    base = class_scores(truth, np.full(len(truth), most), None, len(names))
    rows = [["", *scores], ["model", *map(shown, scores.values())]]
    print_table([*rows, [f"always {names[most]!r}", *map(shown, base.values())]])
    if len(names) <= MOST_SHOWN:
        print()
        print_table(confusion_lines(truth, best, names))
    if scores["accuracy"] <= base["accuracy"]:
        print(f"\nnote: the model is no better than to guess {names[most]!r}")
