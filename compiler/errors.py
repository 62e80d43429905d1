"""What `tg.jit` raises and warns of."""


class TraceError(RuntimeError):
    """The function does something that cannot be recorded."""


class JitWarning(UserWarning):
    """A function under `tg.jit` runs as Python."""
