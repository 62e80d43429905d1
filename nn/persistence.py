"""`save` and `load`: named tensors in one file that is read as data alone (no pickle), cannot be half-written, and
notices any changed byte.

The file is a safetensors file, so other programs can read it. Its header has one metadata entry, "tapegrad": a JSON
object of the checksum and the user's metadata. The checksum is the SHA-256 of the whole file but for its own 64 digits.
Being first in the header it stands at a fixed place.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np

from tapegrad.autograd.creation import tensor
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, default_place

PREFIX = rb'{"__metadata__":{"tapegrad":"{\"sha256\":\"'  # what follows the 8 bytes of the header's length
DIGEST_AT = 8 + len(PREFIX)
DIGITS = 64
KINDS = "fiub"  # of NumPy dtypes: floats, integers, booleans


class FileError(ValueError):
    """A file is not one that `save` wrote: of another kind, cut short, or changed."""


def save(path: Any, tensors: Mapping[str, Any], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors to one file.

    path       the file; replaced as a whole if it exists: whenever the process or the machine is stopped, the path
               holds the complete old file or the complete new one
    tensors    by name, Tensors and NumPy or CuPy arrays of floats, integers or booleans, of any memory layout
    metadata   texts by name to store beside them, for `read_metadata`

    Raises TypeError for what is none of these, FileNotFoundError for a missing folder, OSError for a full disk.
    """
    from safetensors.numpy import save_file

    arrays = {_checked_name(name): _host_array(name, value) for name, value in tensors.items()}
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"save: metadata are texts by name, got {key!r}: {text!r}")
    header = json.dumps({"sha256": "0" * DIGITS, "metadata": dict(metadata or {})}, separators=(",", ":"))
    with replacing(os.fspath(path)) as temporary:
        save_file(arrays, temporary, metadata={"tapegrad": header})
        with open(temporary, "r+b") as file:
            digest = _digest(file)
            file.seek(8)
            if file.read(len(PREFIX)) != PREFIX:
                raise RuntimeError("save: this version of safetensors lays its header out in another way")
            file.write(digest.encode())
            file.flush()
            os.fsync(file.fileno())


def load(path: Any) -> dict[str, Tensor]:
    """The tensors of a file written by `save`, by name, on the default device.

    Raises FileNotFoundError, and FileError for a file of another kind, one cut short, or one with a changed byte.
    Nothing is allocated before the sizes in the file were compared with the size of the file.
    """
    from safetensors import safe_open

    verify(path)
    with safe_open(os.fspath(path), framework="numpy") as file:
        return {name: tensor(file.get_tensor(name), device=default_place()) for name in file.keys()}  # noqa: SIM118


def read_metadata(path: Any) -> dict[str, str]:
    """The metadata given to `save`. The whole file is verified, as by `load`."""
    header = verify(path)
    return dict(json.loads(header["__metadata__"]["tapegrad"])["metadata"])


def verify(path: Any) -> dict[str, Any]:
    """The header of a file, once its checksum is found to be right."""
    name = os.fspath(path)
    with open(name, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(DIGEST_AT + DIGITS)
        length = int.from_bytes(start[:8], "little")
        if start[8:DIGEST_AT] != PREFIX[: len(start[8:DIGEST_AT])] or size == 0:
            raise FileError(
                f"{name}: not a file written by tapegrad.save" + (" (it is empty)" if not size else "")
            )
        if len(start) < DIGEST_AT + DIGITS or 8 + length > size:
            raise FileError(f"{name}: cut short: it has {size} bytes and ends within its header")
        file.seek(8)
        header = file.read(length)
        if _digest(file) != start[DIGEST_AT:].decode("latin-1"):
            raise FileError(f"{name}: {_what_is_wrong(header, size - 8 - length)}")
    return dict(json.loads(header))


def _what_is_wrong(header: bytes, found: int) -> str:
    """Whether data are missing at the end or something was changed; for a file whose checksum is wrong."""
    try:
        expected = max(
            (e["data_offsets"][1] for k, e in json.loads(header).items() if k != "__metadata__"), default=0
        )
        if found < expected:
            return f"cut short: {expected} bytes of data were written and {found} are left"
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        pass  # the header itself was changed
    return "damaged: its contents do not match its SHA-256 checksum"


def _digest(file: BinaryIO) -> str:
    """SHA-256, in hexadecimal, of an open file without the digits of the checksum."""
    from hashlib import sha256

    total = sha256()
    file.seek(0)
    total.update(file.read(DIGEST_AT))
    file.seek(DIGEST_AT + DIGITS)
    while block := file.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not name or name == "__metadata__":
        raise TypeError(f"save: names are non-empty texts other than '__metadata__', got {name!r}")
    return name


def _host_array(name: str, value: Any) -> np.ndarray:
    """A contiguous array on the host, in its byte order. safetensors writes the memory of other layouts as if it were
    contiguous, which changes the values."""
    value = value.data if isinstance(value, Tensor) else value
    owner = BY_TYPE.get(type(value))
    if owner is None:
        raise TypeError(f"save: {name!r} must be a Tensor or an array, got {type(value).__name__}")
    array = np.asarray(owner.to_numpy(value))
    if array.dtype.kind not in KINDS or array.dtype.itemsize > 8:
        raise TypeError(f"save: {name!r} must hold floats, integers or booleans, got {array.dtype}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


# ---- a file is replaced as a whole ----
@contextmanager
def replacing(path: str) -> Iterator[str]:
    """`with replacing(path) as temporary:` a name beside the path to write to. At the end the file of that name takes
    the path's place in one step; after an error it is removed, and the old file stays."""
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"save: there is no folder {folder!r} to write {name!r} to")
    _remove_left_overs(folder, name)
    temporary = os.path.join(folder, f".{name}.{_host()}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
    if os.name == "posix":  # the new name itself must reach the disk, too
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _host() -> str:
    import platform

    return platform.node().replace(".", "-") or "host"


def _remove_left_overs(folder: str, name: str) -> None:
    """Remove the temporary files of this path whose process, on this machine, was killed."""
    if os.name != "posix":
        return
    for entry in os.listdir(folder):
        if entry.startswith(f".{name}.{_host()}.") and entry.endswith(".tmp"):
            pid = entry.removeprefix(f".{name}.{_host()}.").partition(".")[0]
            if pid.isdigit() and not _alive(int(pid)):
                with suppress(FileNotFoundError):  # another process may be faster
                    os.remove(os.path.join(folder, entry))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
