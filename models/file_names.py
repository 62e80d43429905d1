"""Names of model files: endings that promise another format, and fields that an epoch fills in."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tapegrad.autograd.aliases import PathName
from tapegrad.autograd.replacing import check_replaceable

OTHER_FORMATS = {
    ".keras": "Keras's", ".h5": "HDF5", ".hdf5": "HDF5", ".tf": "TensorFlow's", ".pb": "TensorFlow's",
    ".tflite": "TensorFlow's", ".pt": "PyTorch's", ".pth": "PyTorch's", ".ckpt": "PyTorch's", ".onnx": "ONNX",
    ".pkl": "pickle's", ".pickle": "pickle's", ".joblib": "joblib's", ".npz": "NumPy's", ".npy": "NumPy's",
    ".json": "JSON", ".yaml": "YAML", ".csv": "CSV", ".zip": "ZIP",
}  # fmt: skip


def check_name(path: PathName, who: str) -> None:
    """Raise ValueError for a path whose ending promises another format than safetensors."""
    suffix = Path(path).suffix.lower()
    if suffix in OTHER_FORMATS:
        name = Path(path).with_suffix(".safetensors").name
        raise ValueError(
            f"{who}: {str(path)!r}: a model is written as a safetensors file, and {suffix} is {OTHER_FORMATS[suffix]} "
            f"format: name it {name!r}"
        )


def make_folder(path: PathName, who: str) -> None:
    """Make the folder of a file, and look at the file that it replaces. A part of the path that an epoch fills in, and
    what lies below it, is left to later.

    Raises:
        OSError: Nothing can be written there: FileExistsError, NotADirectoryError, PermissionError.
    """
    folder = Path(path).parent
    while "{" in str(folder):
        folder = folder.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"{who}: the folder {str(folder)!r} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{who}: the folder {str(folder)!r} is read-only: choose another one")
    if "{" not in str(path):
        check_replaceable(path, who)


class SomeLog:
    """Stands for a number of the logs: a float, or what a callback added."""

    def __format__(self, spec: str) -> str:
        for sample in (0.5, 1, "text"):
            try:
                return format(sample, spec)
            except ValueError:
                continue
        raise ValueError(f"no number has the format {spec!r}")


class SomeLogs(dict[str, Any]):
    """The logs of an epoch before there are any."""

    def __missing__(self, name: str) -> SomeLog:
        return SomeLog()


def check_fields(path: str, who: str) -> None:
    """Raise ValueError for a path whose fields, such as {epoch:02d}, no logs can fill in."""
    filled_in(path, who, SomeLogs(epoch=1, loss=0.5, val_loss=0.5))


def filled_in(path: str, who: str, numbers: Mapping[str, Any]) -> str:
    """A path with the number of an epoch, from 1, and its logs in its fields."""
    try:
        return path.format_map(numbers)
    except KeyError as error:
        raise ValueError(f"{who}: {path!r} names {error}, known are {', '.join(numbers)}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{who}: filepath={path!r}: {error}: write fields as in "
            "'model-{epoch:02d}-{val_loss:.3f}.safetensors', and {{ and }} for braces"
        ) from None
