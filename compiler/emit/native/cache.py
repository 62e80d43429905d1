"""Machine code on disk, so that the next process need not compile it again.

A file is named by the hash of the text it was compiled from, of the processor and of the compiler; no address stands in
either. Before one is loaded it must be a plain file of this user's that nobody else may write to, in a folder of which
the same is true, and its checksum must agree, which covers its name, too: what does not pass is compiled again and
replaced, never run.
"""

import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import get_ident
from time import time

HEAD = b"tapegrad machine code 3\n"
MOST_FILES = 256
DAY = 86400  # seconds
LARGEST = 1 << 26  # bytes of one file
# Follow no link, wait for no pipe, change no byte.
CAREFULLY = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


def folder() -> Path:
    """$TAPEGRAD_CACHE, or tapegrad/ in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TAPEGRAD_CACHE") or Path(home) / "tapegrad") / "native"


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """The code for a key: from its file, or made, and put there."""
    try:
        where = folder()
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        ours(where.lstat(), stat.S_ISDIR)
    except (OSError, RuntimeError):  # the second: there is no home folder
        return make()
    path = where / f"{sha256(key.encode()).hexdigest()}.o"
    code = read(path)
    if code is None:
        code = make()
        write(path, code)
    return code


def ours(found: os.stat_result, kind: Callable[[int], bool]) -> None:
    """Raises PermissionError unless it is of this kind, this user's, and closed to other writers."""
    if not kind(found.st_mode):
        raise PermissionError("another kind of file")
    if sys.platform != "win32" and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        raise PermissionError("others can write there")


def read(path: Path) -> bytes | None:
    """The code in a file; None if there is none that may be run."""
    try:
        handle = os.open(path, os.O_RDONLY | CAREFULLY)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            ours(found, stat.S_ISREG)
            content = file.read(LARGEST + 1)
        os.utime(path)
    except OSError:
        return None
    head, checksum, code = content[: len(HEAD)], content[len(HEAD) :][:32], content[len(HEAD) + 32 :]
    whole = head == HEAD and len(content) <= LARGEST and checksum == checksum_of(path, code)
    return code if whole else None


def checksum_of(path: Path, code: bytes) -> bytes:
    """Of the code as that of this name: another program's, or processor's, is none of it."""
    return sha256(path.name.encode() + code).digest()


def write(path: Path, code: bytes) -> None:
    """Put the code there as a whole, or leave it."""
    part = path.with_suffix(f".{os.getpid()}-{get_ident()}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | CAREFULLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(HEAD + checksum_of(path, code) + code)
        os.replace(part, path)
        delete_oldest(path.parent)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def delete_oldest(where: Path) -> None:
    """Of more than MOST_FILES those that were not used for longest, and what was left by a process that ended."""
    for path in where.glob("*.part"):
        if path.stat().st_mtime < time() - DAY:
            path.unlink(missing_ok=True)
    files = list(where.glob("*.o"))
    if len(files) > MOST_FILES:
        files.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in files[: len(files) - MOST_FILES]:
            path.unlink(missing_ok=True)
