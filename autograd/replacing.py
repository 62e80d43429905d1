"""Atomic writes: every file of the package is written through `replacing` or `put`."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tapegrad.autograd.aliases import PathName


@contextmanager
def replacing(path: PathName, who: str = "save") -> Iterator[str]:
    """`with replacing(path) as temporary:` gives a temporary name to write to, in the path's folder.

    At the end of the block the temporary file takes the path's place in one step. It gets the permissions of the old
    file, or those of the umask if there was none. After an error it is removed, and the old file stays.

    who   what the messages begin with

    Raises before the block FileNotFoundError for a missing folder, PermissionError for a read-only file, and OSError
    for what is no file (a folder, a device).
    """
    target, kept = check_replaceable(path, who)
    folder, name = os.path.split(target)
    _remove_left_overs(folder, name)
    temporary = os.path.join(folder, f".{name}.{_host()}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    # A private file is private from the first byte on. The others get what the umask leaves.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if kept is None else 0o600))
    try:
        yield temporary
        _move(temporary, target, kept)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def put(written: PathName, path: PathName, who: str = "save") -> None:
    """Have a finished file take the place of a path of the same disk, as `replacing` does."""
    target, kept = check_replaceable(path, who)
    _move(os.fspath(written), target, kept)


def check_replaceable(path: PathName, who: str = "save") -> tuple[str, os.stat_result | None]:
    """(where a path leads, what the file there is like, if there is one), for one that may be replaced; else raises as
    `replacing` says."""
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{who}: there is no folder {folder!r} to write {name!r} to")
    try:
        kept = os.stat(target)
    except FileNotFoundError:
        return target, None
    if not stat.S_ISREG(kept.st_mode):
        raise OSError(
            f"{who}: {os.fspath(path)!r} is no file: give the name of a new file, or of one to replace"
        )
    # By its bits too: the administrator may write to every file.
    if not kept.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(target, os.W_OK):
        raise PermissionError(
            f"{who}: {os.fspath(path)!r} is read-only and stays as it is: choose another name, or make it writable"
        )
    return target, kept


def _move(written: str, target: str, kept: os.stat_result | None) -> None:
    if kept is not None:
        if os.name == "posix" and (kept.st_uid, kept.st_gid) != (os.geteuid(), os.getegid()):
            with suppress(PermissionError):  # only the administrator may give a file to somebody
                os.chown(written, kept.st_uid, kept.st_gid)
        os.chmod(written, stat.S_IMODE(kept.st_mode))
    os.replace(written, target)
    if os.name == "posix":  # the new name itself must reach the disk, too
        handle = os.open(os.path.dirname(target), os.O_RDONLY)
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
