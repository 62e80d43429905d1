"""save and load: every dtype and layout, kills at any moment, every changed byte, cut and foreign files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd import files, replacing

DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
]
GRID = np.arange(24.0).reshape(2, 3, 4)
LAYOUTS = {
    "contiguous": GRID,
    "transposed": GRID.T,
    "permuted": GRID.transpose(1, 0, 2),
    "strided": GRID[:, ::2, 1::2],
    "reversed": GRID[::-1, :, ::-1],
    "broadcast": np.broadcast_to(GRID[0, 0], (3, 4)),
    "fortran": np.asfortranarray(GRID),
    "number": np.array(2.5),
    "scalar": np.float32(2.5),
    "empty": np.zeros((0, 3)),
    "big endian": GRID.astype(">f8"),
    "read-only": np.frombuffer(GRID.tobytes()),
}


# ---- what comes back ----
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype: str, tmp_path: Path) -> None:
    a = np.array([[0, 1, 5], [1, 0, 120]]).astype(dtype)
    tg.save(tmp_path / "f", {"a": tg.tensor(a), "b": a})
    back = tg.load(tmp_path / "f")
    for t in back.values():
        assert type(t) is tg.Tensor and t.dtype == dtype
        np.testing.assert_array_equal(t.numpy(), a)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_memory_layout(layout: str, tmp_path: Path) -> None:
    """safetensors' own writer gives wrong values for most of these."""
    a = LAYOUTS[layout]
    tg.save(tmp_path / "f", {"a": a})
    back = tg.load(tmp_path / "f")["a"]
    assert back.shape == a.shape
    np.testing.assert_array_equal(back.numpy(), a)


def test_special_values_bit_for_bit(tmp_path: Path) -> None:
    a = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324, np.finfo(float).max])
    tg.save(tmp_path / "f", {"a": a})
    assert tg.load(tmp_path / "f")["a"].numpy().tobytes() == a.tobytes()


def test_names_and_metadata(tmp_path: Path) -> None:
    names = ["layers.0.kernel", "a/b", "ü — 重み", 'quote " and \\', " "]
    metadata = {"config": json.dumps({"units": [1, 2]}), "ü": '"\\\n', "sha256": "0" * 64, "": ""}
    tg.save(tmp_path / "f", {n: np.array(float(i)) for i, n in enumerate(names)}, metadata=metadata)
    assert {n: t.item() for n, t in tg.load(tmp_path / "f").items()} == {n: i for i, n in enumerate(names)}
    assert tg.read_metadata(tmp_path / "f") == metadata
    tg.save(tmp_path / "none", {})
    assert tg.load(tmp_path / "none") == {} == tg.read_metadata(tmp_path / "none")


def test_a_whole_model(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Dense(5, "relu", in_features=3), nn.Dense(1))
    tg.save(str(tmp_path / "model.safetensors"), model.state_dict())
    x = tg.ones((2, 3))
    want = model(x).numpy()
    other = nn.Sequential(nn.Dense(5, "relu", in_features=3), nn.Dense(1))
    other.load_state_dict(tg.load(str(tmp_path / "model.safetensors")))
    np.testing.assert_array_equal(other(x).numpy(), want)


def test_other_programs_can_read_it_and_the_bytes_repeat(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    tensors = {"flags": np.ones(3, bool), "b": GRID, "n": np.arange(3)}
    for name in ("one", "two"):
        tg.save(tmp_path / name, tensors, metadata={"k": "v", "j": "w"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    header = files.verify(tmp_path / "one")
    assert all(e["data_offsets"][0] % 8 == 0 for name, e in header.items() if name in "bn"), "aligned"
    theirs = load_file(tmp_path / "one")
    assert {n: a.tolist() for n, a in theirs.items()} == {n: a.tolist() for n, a in tensors.items()}


def test_on_another_device(elsewhere: str, tmp_path: Path) -> None:
    tg.save(tmp_path / "f", {"a": tg.tensor(GRID, device=elsewhere)})
    with tg.use_backend(elsewhere):
        back = tg.load(tmp_path / "f")["a"]
    assert back.device == elsewhere
    np.testing.assert_array_equal(back.numpy(), GRID)
    assert tg.load(tmp_path / "f")["a"].device == "cpu"


# ---- damage ----
@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    tg.save(
        path, {"w": np.arange(6, dtype="float32"), "odd": np.arange(3, dtype="int8")}, metadata={"k": "value"}
    )
    return path


def test_every_changed_byte_is_noticed(small: Path) -> None:
    """Each byte of the file, through its length, header, checksum, padding and data, in every bit and to a blank."""
    good = small.read_bytes()
    for at in range(len(good)):
        for new in {good[at] ^ (1 << bit) for bit in range(8)} | {good[at] ^ 0xFF, 0x09, 0x20, 0x00} - {
            good[at]
        }:
            small.write_bytes(good[:at] + bytes([new]) + good[at + 1 :])
            for read in (tg.load, tg.read_metadata):
                with pytest.raises(tg.FileError, match=r"not a file written by|cut short|SHA-256"):
                    read(small)
    small.write_bytes(good)
    tg.load(small)


def test_every_cut_is_noticed(small: Path) -> None:
    good = small.read_bytes()
    for length in range(len(good)):
        small.write_bytes(good[:length])
        message = r"not a file written by tapegrad.save \(it is empty\)" if length == 0 else "cut short"
        with pytest.raises(tg.FileError, match=message):
            tg.load(small)
    small.write_bytes(good + b"\0")
    with pytest.raises(tg.FileError, match="damaged: its contents do not match its SHA-256 checksum"):
        tg.load(small)


def foreign_files(folder: Path) -> dict[str, Path]:
    import pickle

    from safetensors.numpy import save_file

    files = {name: folder / name for name in ("text", "npz", "pickle", "safetensors", "zeros")}
    files["text"].write_text("a,b\n1,2\n" * 100)
    with files["npz"].open("wb") as file:
        np.savez(file, a=GRID)
    files["pickle"].write_bytes(pickle.dumps({"a": GRID}))
    save_file({"a": GRID}, files["safetensors"])
    files["zeros"].write_bytes(bytes(1000))
    return files


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    for path in foreign_files(tmp_path).values():
        with pytest.raises(tg.FileError, match=f"{path}: not a file written by tapegrad.save"):
            tg.load(path)


def signed(header: dict[str, Any], data: bytes) -> bytes:
    """A file with a right checksum around any header: what a forger can make."""
    text = json.dumps({"sha256": "0" * 64, "metadata": {}}, separators=(",", ":"))
    blob = json.dumps({"__metadata__": {"tapegrad": text}, **header}, separators=(",", ":")).encode()
    content = bytearray(len(blob).to_bytes(8, "little") + blob + data)
    at = slice(files.DIGEST_AT, files.DIGEST_AT + files.DIGITS)
    from hashlib import sha256

    content[at] = sha256(content[: at.start] + content[at.stop :]).hexdigest().encode()
    return bytes(content)


FORGED = [
    {"a": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8]}},
    {"a": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8 << 40]}},
    {"a": {"dtype": "F64", "shape": [1], "data_offsets": [8, 16]}},
    {"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 4]}},
    {"a": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}},
    {"a": {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 8]}},
    {"a": "F64"},
    {},
]


@pytest.mark.parametrize("header", FORGED, ids=str)
def test_lying_sizes_are_refused_before_anything_is_allocated(header: Any, tmp_path: Path) -> None:
    path = tmp_path / "forged"
    path.write_bytes(signed({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)))
    assert tg.load(path)["a"].tolist() == [0.0]  # the forger's hand is good enough to be believed
    path.write_bytes(signed(header, bytes(8)))
    with pytest.raises(tg.FileError, match=f"{path}: "):
        tg.load(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tg.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"save: there is no folder .*nowhere' to write 'f' to"):
        tg.save(tmp_path / "nowhere" / "f", {})
    with pytest.raises(IsADirectoryError):
        tg.load(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ([GRID], None, "expected a dict of them by name, got a list"),
        ({"a": [1.0, 2.0]}, None, "'a' must be a Tensor or an array, got list"),
        ({"a": np.array(["x"])}, None, "'a' must hold floats, integers or booleans, got <U1"),
        ({"a": np.array([None])}, None, "'a' must hold floats, integers or booleans, got object"),
        ({"a": np.zeros(2, complex)}, None, "'a' must hold floats, .* got complex128"),
        ({3: GRID}, None, "names are non-empty texts other than '__metadata__', got 3"),
        ({"": GRID}, None, "names are non-empty texts"),
        ({"__metadata__": GRID}, None, "names are non-empty texts"),
        ({}, "x", "save: metadata: expected a dict of texts by name, got 'x'"),
        ({}, {"k": 3}, "metadata are texts by name, got 'k': 3"),
    ],
)
def test_save_refuses_and_writes_nothing(tensors: Any, metadata: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        tg.save(tmp_path / "f", tensors, metadata=metadata)
    assert not list(tmp_path.iterdir())


# ---- the file is replaced as a whole ----
def test_an_error_while_writing_leaves_the_old_file(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: whichever step fails, the old file stays and no other is left."""
    before = small.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, full)
            with pytest.raises(OSError, match="No space left"):
                tg.save(small, {"w": GRID})
        assert small.read_bytes() == before and [p.name for p in small.parent.iterdir()] == ["small"]


def test_a_link_is_followed_and_permissions_are_the_users(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "f")
    old = os.umask(0o027)
    try:
        tg.save(tmp_path / "link", {"a": GRID})
    finally:
        os.umask(old)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "f").stat().st_mode & 0o777 == 0o640


def test_left_overs_of_dead_processes_are_removed(small: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = replacing._host()
    keep = [
        f".small.{host}.{os.getpid()}.ab.tmp",
        f".small.elsewhere.{dead.pid}.ab.tmp",
        f".other.{host}.{dead.pid}.ab.tmp",
    ]
    for name in [*keep, f".small.{host}.{dead.pid}.ab.tmp"]:
        (small.parent / name).write_text("")
    tg.save(small, {"w": GRID})
    assert sorted(p.name for p in small.parent.iterdir()) == sorted([*keep, "small"])


SAVER = """
import sys
import numpy as np
import tapegrad as tg
for i in range(10**6):
    tg.save(sys.argv[1], {"a": np.full(300_000, float(i)), "b": np.array(i)}, metadata={"i": str(i)})
    if i == 0:
        print("ready", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_any_moment_the_file_loads(tmp_path: Path) -> None:
    """A process that saves without pause is killed 25 times; each time the file is complete, of one of its rounds."""
    path, rng, left_over = tmp_path / "f", np.random.default_rng(0), 0
    for _ in range(25):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE, text=True)
        assert saver.stdout is not None and saver.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.05))
        saver.send_signal(signal.SIGKILL)
        saver.communicate()
        left_over += any(p != path for p in tmp_path.iterdir())
        back = tg.load(path)
        i = back["b"].item()
        assert (back["a"].numpy() == i).all() and tg.read_metadata(path) == {"i": str(i)}
    assert left_over > 0, "no kill fell within a save: this test has shown nothing"
    tg.save(path, {})
    assert list(tmp_path.iterdir()) == [path]
