"""numba's threads, set so that they do not fight with those of OpenBLAS, which compute the products in between.

Both kinds keep spinning for a while after their work, and with numba's OpenMP layer a step was seen to take 20 times as
long. The layer called workqueue sleeps instead. It may be entered by one thread at a time, which `turn` sees to.
"""

import threading
from importlib import import_module
from typing import Any

turn = threading.Lock()


def cores() -> int:
    """Among how many cores numba shares a loop: $NUMBA_NUM_THREADS, or those that this process may run on."""
    config: Any = import_module("numba.core.config")
    if config.THREADING_LAYER == "default":  # the user did not choose one
        config.THREADING_LAYER = "workqueue"
    return int(config.NUMBA_NUM_THREADS)
