"""`with no_collection():` Python's garbage collector waits until the end of the block."""

import gc


class no_collection:
    """For work that makes many objects and hardly any garbage: there the collector looks through all of them again and
    again, and finds nothing."""

    __slots__ = ("collects",)

    def __enter__(self) -> None:
        self.collects = gc.isenabled()
        gc.disable()

    def __exit__(self, *error: object) -> None:
        if self.collects:
            gc.enable()
