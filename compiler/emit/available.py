"""The names of the emitters, and whether one can be used here."""

from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import get_backend
from tapegrad.backends.install import install_line, lacking

EMITTERS = ("auto", "numpy", "native", "cupy")


def checked(emitter: str) -> str:
    """The name of an emitter, if it can be used here."""
    if not isinstance(emitter, str) or emitter not in EMITTERS:
        raise ValueError(f"tg.jit: emitter must be one of {', '.join(map(repr, EMITTERS))}, got {emitter!r}")
    if emitter == "native" and (wrong := lacking("jit")):
        raise ValueError(f"tg.jit: the emitter 'native' needs {wrong}: {install_line('jit')}")
    if emitter == "cupy":
        get_backend("cupy")  # or the remedy, if it cannot be used
    return emitter


def native_at_hand() -> bool:
    """Whether there is an llvmlite for the emitter 'native'. Older ones do not know its code: they end the process."""
    return not lacking("jit")


def why_not_compiled(emitter: str, tensors: list[Tensor]) -> str | None:
    """The reason why a function on these tensors cannot be compiled, or None."""
    places = sorted({t.device for t in tensors})
    kinds = {t.backend.name for t in tensors}
    if emitter == "cupy" and kinds - {"cupy"}:
        raise ValueError(
            f"tg.jit: the emitter 'cupy' is for tensors on a GPU, and one is on {places[0]}: move the model and the "
            f"arguments there with .to('cupy'), or choose emitter='auto'"
        )
    if kinds <= {"numpy"}:
        return None
    if len(places) > 1:
        return f"its arrays are on {' and '.join(places)}"
    if kinds == {"cupy"} and emitter in ("auto", "cupy"):
        return None
    what = "knows these arrays" if emitter == "auto" else f"called {emitter!r} writes for a GPU"
    return f"its arrays are on {places[0]}, and no emitter {what}"
