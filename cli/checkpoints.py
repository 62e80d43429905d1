"""The training of a network that can be stopped at any moment and gone on with: `train --resume`."""

import contextlib
import hashlib
import json
import math
import re
import sys
import time
from pathlib import Path

import numpy as np

from tapegrad.autograd import files
from tapegrad.autograd.aliases import Array
from tapegrad.cli.arguments import Mistake
from tapegrad.data.aliases import PlainData
from tapegrad.models.callbacks import Callback
from tapegrad.models.progress import columns, is_terminal, number
from tapegrad.models.sequential import Sequential

FOLDER = "checkpoint"
LAST, BEST = "last.safetensors", r"best-\d+\.safetensors"
WORTH = 0.01  # of the validation loss: less is no reason to wait longer
SHOWN = (1, 2, 3, 5, 10, 15, 20, 30, 40)  # epochs
SHARE = 20  # a checkpoint is written when that many times its own time has passed


class Checkpoints(Callback):
    """Keeps the best weights, stops when `patience` epochs brought no better ones, and writes to a folder what a
    training needs to go on with the same bytes. Without a validation loss the last weights stay.

    folder    out/checkpoint
    settings  what the training was started with; one with others does not go on from it
    best, best_epoch   the lowest validation loss, and its epoch from 0
    mark, wait         a validation loss that was a hundredth lower than the mark before, and the epochs since
    """

    def __init__(self, folder: Path, settings: PlainData, patience: int) -> None:
        self.folder, self.settings, self.patience = folder, settings, patience
        self.best, self.best_epoch, self.mark, self.wait = math.inf, -1, math.inf, 0
        self.best_weights: dict[str, Array] = {}
        self.logs: list[dict[str, float]] = []
        self.written: int | None = None  # epochs in the last checkpoint
        self.due = 0.0
        self.best_file = ""
        self.made: list[Path] = []  # folders that were not there before

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        self.logs.append(dict(logs))
        self.show(epoch)
        if "val_loss" in logs:
            self.watch(epoch, logs["val_loss"])
        if time.perf_counter() >= self.due and math.isfinite(logs["loss"]):
            start = time.perf_counter()
            self.write(epoch + 1)
            self.due = time.perf_counter() + SHARE * (time.perf_counter() - start)

    def watch(self, epoch: int, loss: float) -> None:
        """Keep the weights of the lowest validation loss, and end the training when it falls no more."""
        self.wait += 1
        if loss < self.mark * (1 - WORTH):
            self.mark, self.wait = loss, 0
        if self.wait >= self.patience:
            self.model.stop_training = True
        if loss < self.best:
            self.best, self.best_epoch = loss, epoch
            self.best_weights = {name: t.numpy().copy() for name, t in self.model.state_dict().items()}
            self.best_file = ""

    def show(self, epoch: int) -> None:
        """A line that is redrawn on a terminal; elsewhere some lines, ever further apart."""
        epochs = self.settings["epochs"]
        logs = "  ".join(f"{name} {number(value)}" for name, value in self.logs[-1].items())
        line = f"epoch {epoch + 1:>{len(str(epochs))}}/{epochs}  {logs}"
        if is_terminal(sys.stdout):
            sys.stdout.write(f"\r{line[: columns() - 1]}\x1b[K")
            sys.stdout.flush()
        elif epoch + 1 in SHOWN or (epoch + 1) % 50 == 0:
            print(line)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if is_terminal(sys.stdout):
            print()

    def write(self, epochs: int) -> None:
        """The best weights first: each file names the one it belongs to."""
        self.made += [folder for folder in self.folder.parents if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.best_weights and not self.best_file:
            self.best_file = f"best-{self.best_epoch + 1}.safetensors"
            files.save(self.folder / self.best_file, self.best_weights)
        state = {
            **{"settings": self.settings, "epochs": epochs, "logs": self.logs, "best": self.best},
            **{"best_epoch": self.best_epoch, "mark": self.mark, "wait": self.wait},
            "best_file": self.best_file,
        }
        self.model.save(self.folder / LAST, {"checkpoint": json.dumps(state)})
        self.written = epochs
        for path in files_of(self.folder):
            if path.name not in (LAST, self.best_file):
                path.unlink()

    def in_file(self) -> int | None:
        """The epochs in the last checkpoint, also where a signal came between its writing and the note of that."""
        path = self.folder / LAST
        if path.exists():
            state = json.loads(files.read_metadata(path)["checkpoint"])
            if state["settings"] == self.settings and state["epochs"] == len(self.logs):
                return len(self.logs)
        return self.written

    def resume(self) -> tuple[Sequential, int]:
        """(the model, the epochs it has done). Mistake where there is no checkpoint of this training."""
        path = self.folder / LAST
        if not path.exists():
            raise Mistake(
                f"--resume: there is no checkpoint in {self.folder}: leave --resume out to begin, or name its folder "
                "with --out"
            )
        state = json.loads(files.read_metadata(path)["checkpoint"])
        if different := [
            name for name, value in state["settings"].items() if self.settings.get(name) != value
        ]:
            now, then = self.settings.get(different[0]), state["settings"][different[0]]
            raise Mistake(
                f"--resume: the checkpoint in {self.folder} is of another training ({different[0]}: {then!r} there, "
                f"{now!r} now): repeat its command, or leave --resume out to begin anew"
            )
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.mark, self.wait = state["mark"], state["wait"]
        self.logs, self.written, self.best_file = state["logs"], state["epochs"], state["best_file"]
        if self.best_file:
            best = files.load(self.folder / self.best_file)
            self.best_weights = {name: t.numpy().copy() for name, t in best.items()}
        return Sequential.load(path, resume=True), state["epochs"]

    def restore_best(self) -> None:
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)

    def remove(self) -> None:
        remove_checkpoint(self.folder)
        for folder in self.made:
            with contextlib.suppress(OSError):  # it holds something else
                folder.rmdir()


def files_of(folder: Path) -> list[Path]:
    """The files of a checkpoint, by their names."""
    return [path for path in folder.glob("*") if path.name == LAST or re.fullmatch(BEST, path.name)]


def remove_checkpoint(folder: Path) -> None:
    """Remove the files of a checkpoint, and their folder if it holds nothing else."""
    for path in files_of(folder):
        path.unlink()
    with contextlib.suppress(OSError):  # it holds something else, or is none
        folder.rmdir()


def fingerprint(*arrays: np.ndarray) -> str:
    """Of the data that a training sees."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
