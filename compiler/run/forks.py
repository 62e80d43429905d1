"""Functions under `tg.jit` in a forked child."""

import os
import threading
from typing import Any
from weakref import WeakSet

LIVE: WeakSet[Any] = WeakSet()  # those that there are


def renew_locks() -> None:
    """Another thread's hold on a function is not there any more."""
    for compiled in list(LIVE):
        compiled.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_locks)
