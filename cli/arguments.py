"""What can be written after `tapegrad`."""

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from tapegrad.optim import BY_NAME

Commands: TypeAlias = Any  # what argparse's `add_subparsers` returns, a class without a public name

MODELS = ("logistic", "linear", "mlp")
COMPARED = ("logistic", "linear", "svm", "neighbours", "forest", "mlp")
FILES = (*(f"{model}.safetensors" for model in MODELS), "history.csv", "history.png")  # what train writes
# The others are solved to the end.
ONLY_MLP = (
    "hidden",
    "epochs",
    "batch_size",
    "lr",
    "optimizer",
    "run_eagerly",
)


class Mistake(ValueError):
    """The user asked for something that cannot be; the message is one line."""


class Once(argparse.Action):
    """Keeps the value of an option. Given twice, it is a mistake, where argparse would take the last one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if option_string:
            if self.dest in parser.given:
                parser.error(f"argument {option_string}: give it once")
            parser.given.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """Complains in one line. An option that takes a value may be given once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("action", None, Once)

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        self.given: set[str] = set()
        return super().parse_known_args(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            name = message.removeprefix("argument ").partition(":")[0]
            message += f", and what begins with a dash is none: write {name}=-…"
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def whole(above: int, below: float = math.inf) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()) or int(text) <= above:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {above + 1}, got {text!r}")
        if int(text) >= below:
            raise argparse.ArgumentTypeError(f"expected a whole number below {below}, got {text!r}")
        return int(text)

    return read


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def widths(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"expected widths such as 64,32, got {text!r}")
    return tuple(int(p) for p in parts)


def words(text: str) -> tuple[str, ...]:
    parts = tuple(word.strip() for word in text.split(","))
    if not all(parts):
        raise argparse.ArgumentTypeError(f"expected words separated by commas, got {text!r}")
    return parts


def parser() -> Parser:
    from tapegrad import __version__

    top = Parser(
        prog="tapegrad", description="Train and use models on tables, and look after the installation."
    )
    top.add_argument("--version", action="version", version=f"tapegrad {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    add_train(commands)
    add_predict(commands)
    add_evaluate(commands)
    add_compare(commands)
    add_source(commands)
    add_tape(commands)
    commands.add_parser(
        "doctor",
        help="versions, backends, speed, and remedies for what is slow or missing",
        description="Show the versions of the packages, the CPU and the speed of its matrix products, the threads, and "
        "whether a GPU can be used. A line with ! names what is missing or slow, and what mends it.",
    )
    return top


def add_train(commands: Commands) -> None:
    train = commands.add_parser(
        "train",
        help="train on a CSV file, or on the built-in data",
        description="Train on a CSV file, or without one on the Wisconsin breast cancer data. One fifth of the rows is "
        "kept for the test, of each class its share. What is done with each column, --dry-run shows; all of it is "
        "learned from the training rows and stored with the model.",
    )
    add_table(train)
    train.add_argument(
        "--model", choices=MODELS, help="default: logistic (for classes) or linear (for numbers), and mlp"
    )
    train.add_argument("--hidden", type=widths, metavar="N,…", help="mlp: widths of the hidden layers (100)")
    train.add_argument(
        "--epochs",
        type=whole(0),
        metavar="N",
        help="mlp: most passes over the data (by the number of rows; the best weights are kept)",
    )
    train.add_argument(
        "--batch-size", type=whole(0), metavar="N", help="mlp: rows per step (32; more of many rows)"
    )
    train.add_argument("--lr", type=positive, metavar="X", help="mlp: learning rate (the optimizer's own)")
    train.add_argument("--optimizer", metavar="NAME", help="mlp: adam, sgd, rmsprop, … (adam)")
    train.add_argument(
        "--run-eagerly", action="store_const", const=True, help="mlp: layer by layer, without compiled steps"
    )
    train.add_argument("--out", metavar="DIR", help="where to write (runs/<name of the data>)")
    train.add_argument(
        "--overwrite",
        action="store_true",
        help="also replace models of another target or kind, and remove those of earlier trainings",
    )
    train.add_argument(
        "--dry-run", action="store_true", help="show what would be done with each column, and train nothing"
    )
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with a training that was stopped, from its last checkpoint",
    )
    add_backend(train)


def add_table(command: argparse.ArgumentParser) -> None:
    """What says how a table is read and learned from."""
    command.add_argument("data", nargs="?", metavar="DATA.csv", help="with a header line")
    command.add_argument("--target", metavar="NAME", help="the column to predict")
    command.add_argument(
        "--drop", action="append", default=[], metavar="NAME,…", help="columns to leave out (may be repeated)"
    )
    command.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAME,…",
        help="columns to learn from though they count the rows, or tell the target",
    )
    command.add_argument(
        "--task", choices=("classification", "regression"), help="default: by the target's type"
    )
    command.add_argument(
        "--missing",
        action="extend",
        type=words,
        default=[],
        metavar="WORD,…",
        help="words that mean a missing value, None,-999 (may be repeated)",
    )
    command.add_argument(
        "--no-header", action="store_true", help="the first line is data; columns are called 1, 2, …"
    )
    command.add_argument("--day-first", action="store_true", help="3/4/2025 is the 3rd of April")
    add_encoding(command)
    command.add_argument(
        "--seed",
        type=whole(-1, 2**32),
        default=42,
        metavar="N",
        help="of split, weights and shuffling (42)",
    )


def add_encoding(command: argparse.ArgumentParser) -> None:
    command.add_argument("--encoding", metavar="NAME", help="of the file: utf-8 (the default), cp1252, …")


def add_predict(commands: Commands) -> None:
    predict = commands.add_parser(
        "predict",
        help="apply a trained model to a CSV file",
        description="Apply a model that `tapegrad train` wrote to the rows of a CSV file, and write the predictions as "
        "CSV: for classes the most probable one and the probability of each, else the number.",
    )
    predict.add_argument("model", metavar="MODEL", help="a .safetensors file that train wrote")
    predict.add_argument("data", metavar="DATA.csv", help="with the columns the model was trained on")
    predict.add_argument("--out", metavar="PRED.csv", help="default: standard output")
    add_encoding(predict)
    add_backend(predict)


def add_evaluate(commands: Commands) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="score a trained model on a CSV file that has the target",
        description="Apply a model that `tapegrad train` wrote to a CSV file, and score it against the target there: "
        "accuracy, precision, recall, F1, AUC and the confusion matrix, or R2, MAE and RMSE.",
    )
    evaluate.add_argument("model", metavar="MODEL", help="a .safetensors file that train wrote")
    evaluate.add_argument(
        "data", metavar="DATA.csv", help="with the columns the model was trained on, and the target"
    )
    add_encoding(evaluate)
    add_backend(evaluate)


def add_compare(commands: Commands) -> None:
    compare = commands.add_parser(
        "compare",
        help="compare five kinds of model on a CSV file by cross-validation",
        description="Score scikit-learn's linear models, support vector machine, nearest neighbours and random forest, "
        "and the MLP of tapegrad, on the same folds: a table of scores with mean and standard deviation, and pictures.",
    )
    add_table(compare)
    compare.add_argument(
        "--models", type=words, default=(), metavar="NAME,…", help=f"some of {', '.join(COMPARED)}"
    )
    compare.add_argument("--folds", type=whole(1), default=5, metavar="N", help="of the cross-validation (5)")
    compare.add_argument(
        "--search",
        choices=("grid", "random", "halving"),
        help="choose each model's settings on the training rows of each fold first",
    )
    compare.add_argument("--out", metavar="DIR", help="where to write (runs/<name of the data>-compare)")


def add_source(commands: Commands) -> None:
    source = commands.add_parser(
        "source",
        help="show the program that trains a model, or predicts with it",
        description="Print the program that one step of a saved model is compiled to, line by line: forward pass, "
        "gradients and update, or the prediction alone. It is written for one size of batch.",
    )
    source.add_argument(
        "model", metavar="MODEL", help="a .safetensors file that train or Sequential.save wrote"
    )
    source.add_argument("--what", choices=("train", "predict"), help="default: train, if the file says how")
    source.add_argument(
        "--emitter",
        choices=("numpy", "native"),
        default="numpy",
        help="what it is written for (numpy)",
    )
    source.add_argument("--batch-size", type=whole(0), default=32, metavar="N", help="rows of a batch (32)")
    source.add_argument(
        "--save",
        metavar="STEP.py",
        help="write it with the weights (STEP.npz) to a file that runs without tapegrad",
    )


def add_tape(commands: Commands) -> None:
    tape = commands.add_parser(
        "tape",
        help="run a program up to a backward pass, and write its tape as a page",
        description="Run a Python program as it is until its first backward pass, by loss.backward(), tg.grad or fit, "
        "and write what was recorded as one page of HTML: each call with its line, value, cotangent and gradient rule. "
        "The program stops there.",
    )
    tape.add_argument("program", metavar="PROGRAM.py", help="what `python PROGRAM.py` would run")
    tape.add_argument("--args", default="", metavar="TEXT", help="its arguments, as in --args '--epochs 3'")
    tape.add_argument("--out", metavar="TAPE.html", help="where to write (PROGRAM.html, here)")
    tape.add_argument(
        "--backward", type=whole(0), default=1, metavar="N", help="stop at the N-th backward pass (1)"
    )
    tape.add_argument("--open", action="store_true", help="show it in the browser")


def add_backend(command: argparse.ArgumentParser) -> None:
    command.add_argument("--backend", metavar="NAME", help="numpy or cupy (TAPEGRAD_BACKEND, else numpy)")


def check_together(options: argparse.Namespace) -> None:
    """Raise Mistake for options of `train` that do not go together."""
    check_table(options)
    if options.model in ("logistic", "linear"):
        for name in (*ONLY_MLP, "resume"):
            if getattr(options, name) not in (None, False):
                raise Mistake(
                    f"--{name.replace('_', '-')} is for --model mlp: a {options.model} model is solved to the end"
                )
    if options.optimizer is not None and options.optimizer.lower() not in BY_NAME:
        raise Mistake(f"--optimizer {options.optimizer}: unknown; known are {', '.join(BY_NAME)}")


def check_table(options: argparse.Namespace) -> None:
    if options.data is None:
        for name in ("target", "drop", "keep", "task", "missing", "no_header", "day_first", "encoding"):
            if getattr(options, name):
                option = name.replace("_", "-")
                raise Mistake(
                    f"--{option} needs a CSV file to look into: tapegrad {options.command} data.csv --{option} …"
                )
