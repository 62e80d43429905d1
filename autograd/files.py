"""`save` and `load`: named tensors in one file, without pickle. Writes are atomic, and a checksum detects any changed
byte.

It is a safetensors file, which other programs can read: the length of the header (8 bytes), the header (JSON: dtype,
shape and place of each tensor), the data. The header begins with one metadata entry, "tapegrad", a JSON text of the
checksum and the user's metadata; so the checksum, the SHA-256 of the whole file but for its own 64 digits, stands at a
fixed place. The file is written here, tensor by tensor, because safetensors' writer takes the memory of an array that
is not contiguous as if it were, and keeps two more copies of everything; safetensors reads it, and checks each size.
"""

import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from tapegrad.autograd.aliases import Array, PathName
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.flags import outside
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.replacing import replacing
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, default_place

PREFIX = rb'{"__metadata__":{"tapegrad":"{\"sha256\":\"'  # what follows the 8 bytes of the header's length
DIGEST_AT = 8 + len(PREFIX)
DIGITS = 64
LONGEST_HEADER = 100_000_000  # bytes, which safetensors reads
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


class FileError(ValueError):
    """A file is not one that `save` wrote: of another kind, cut short, or changed."""


def save(
    path: PathName, tensors: Mapping[str, Tensor | Array], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors to one file.

    Args:
        path: The file; replaced as a whole if it exists: whenever the process or the machine is stopped, the path holds
            the complete old file or the complete new one. It keeps its permissions; a new one has the umask's.
        tensors: By name, Tensors and NumPy or CuPy arrays of floats, integers or booleans, of any memory layout.
        metadata: Texts by name to store beside them, for `read_metadata`.

    Raises:
        TypeError: What is none of these.
        ValueError: Names that a file cannot hold.
        FileNotFoundError: A missing folder.
        PermissionError: A read-only file.
        OSError: A full disk.
    """
    from hashlib import sha256

    outside("tg.save")
    first: object = path
    second: object = tensors
    if isinstance(second, (str, os.PathLike)) and not isinstance(first, (str, os.PathLike)):
        what = "tensors" if isinstance(first, Mapping) else "module.state_dict()"
        raise TypeError(
            f"save: path: expected a text, got a {type(first).__name__}: the path comes first, save({second!r}, {what})"
        )
    if not isinstance(tensors, Mapping):
        raise TypeError(f"save: tensors: expected a dict of them by name, got a {type(tensors).__name__}")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"save: metadata: expected a dict of texts by name, got {metadata!r}")
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"save: metadata are texts by name, got {key!r}: {text!r}")
    head, arrays = _header({_name(n): _array(n, value) for n, value in tensors.items()}, dict(metadata or {}))
    with replacing(os.fspath(path)) as temporary, open(temporary, "wb") as file:
        total = sha256()

        def put(block: bytes | Array) -> None:
            file.write(block)
            total.update(block)

        put(head[:DIGEST_AT])
        file.write(b"0" * DIGITS)
        put(head[DIGEST_AT + DIGITS :])
        for array in arrays:
            put(_bytes(array))
        file.seek(DIGEST_AT)
        file.write(total.hexdigest().encode())
        file.flush()
        os.fsync(file.fileno())


def _header(arrays: dict[str, Array], metadata: dict[str, str]) -> tuple[bytes, list[Array]]:
    """The length and the header of a file, and the arrays in the order of their data: the widest dtypes first, which
    keeps all of them aligned."""
    import json

    order = sorted(arrays, key=lambda name: -_itemsize(arrays[name]))
    text = json.dumps({"sha256": "0" * DIGITS, "metadata": metadata}, separators=(",", ":"))
    entries: dict[str, object] = {"__metadata__": {"tapegrad": text}}
    end = 0
    for name in order:
        start, end = end, end + arrays[name].size * _itemsize(arrays[name])
        entries[name] = {
            "dtype": DTYPES[name_of(arrays[name].dtype)],
            "shape": list(arrays[name].shape),
            "data_offsets": [start, end],
        }
    blob = json.dumps(entries, separators=(",", ":")).encode()
    blob += b" " * (-len(blob) % 8)
    if len(blob) > LONGEST_HEADER:
        raise ValueError(
            f"save: the names and metadata take {len(blob):,} bytes, and a file can hold {LONGEST_HEADER:,} of them"
        )
    return len(blob).to_bytes(8, "little") + blob, [arrays[name] for name in order]


def _itemsize(array: Array) -> int:
    return np.dtype(name_of(array.dtype)).itemsize


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or name == "__metadata__":
        raise TypeError(f"save: names are non-empty texts other than '__metadata__', got {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"save: the name {name!r} has half of a surrogate pair, which no file can hold"
        ) from None
    return name


def _array(name: str, value: Tensor | Array) -> Array:
    if isinstance(value, Tensor):
        value._read("tg.save", "Save it outside.")
    array = value.data if isinstance(value, Tensor) else value
    if type(array) not in BY_TYPE:
        raise TypeError(f"save: {name!r} must be a Tensor or an array, got {type(value).__name__}")
    if name_of(array.dtype) not in DTYPES:
        raise TypeError(f"save: {name!r} must hold floats, integers or booleans, got {array.dtype}")
    return array


def _bytes(array: Array) -> np.ndarray:
    """The elements of an array of any backend, memory layout and byte order, as the file has them."""
    host = np.asarray(BY_TYPE[type(array)].to_numpy(array))
    return np.ascontiguousarray(host, dtype=host.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


@answering
def load(path: PathName) -> dict[str, Tensor]:
    """The tensors of a file written by `save`, by name, on the default device.

    Raises FileNotFoundError, and FileError for a file of another kind, one cut short, or one with a changed byte.
    Nothing is allocated before the sizes in the file were compared with the size of the file.

    Args:
        path: A file that `save` wrote.
    """
    from safetensors import SafetensorError, safe_open

    verify(path)
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return {name: tensor(file.get_tensor(name), device=default_place()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise FileError(f"{os.fspath(path)}: its header does not fit its contents: {error}") from error


def read_metadata(path: PathName) -> dict[str, str]:
    """The metadata given to `save`. The whole file is verified, as by `load`.

    Args:
        path: A file that `save` wrote.
    """
    import json

    header = verify(path)
    return dict(json.loads(header["__metadata__"]["tapegrad"])["metadata"])


def verify(path: PathName) -> dict[str, Any]:
    """The header of a file, once its checksum is found to be right."""
    import json

    outside("tg.load or tg.read_metadata")

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
    import json

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
