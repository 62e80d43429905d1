"""Where the CuPy emitter's tests run: on a stand-in for CuPy that compiles the source of each kernel with a C compiler
(gpu_standin, gpu_kernels), and, marked gpu, on the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import gpu_kernels
import tapegrad as tg
from gpu_standin import standin
from tapegrad.autograd import creation
from tapegrad.backends import BackendError, get_backend
from tapegrad.compiler.watch import listen


@pytest.fixture(scope="module", params=["stand-in", pytest.param("device", marks=pytest.mark.gpu)])
def gpu(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The stand-in's counters, or None on a device."""
    if request.param == "device":
        try:
            get_backend("cupy")
        except BackendError as error:
            pytest.skip(str(error))
        yield None
        return
    if gpu_kernels.COMPILER is None:
        pytest.skip(gpu_kernels.MISSING)
    with pytest.MonkeyPatch.context() as patch, standin() as state:
        ours = {"gpu_standin", "gpu_kernels", "gpu_nvmath", "gpu_stream"}
        patch.setattr(listen, "ARRAY_LIBRARIES", listen.ARRAY_LIBRARIES | ours)
        yield state


@contextmanager
def on_gpu() -> Iterator[None]:
    """Every new tensor is made there, those of NumPy's arrays as well: the tests of other modules run as they are."""
    place = creation.place
    with pytest.MonkeyPatch.context() as patch, tg.use_backend("cupy"):
        patch.setattr(creation, "place", lambda device, owner=None, array=None: place(device))
        yield


def without_numpy(cases: dict[str, Any]) -> list[str]:
    """The names of the cases without calls of NumPy on a tensor's array, and without `array op= tensor`."""
    names = {name: case.__code__.co_names for name, case in cases.items()}
    return [
        n for n, used in names.items() if "asfortranarray" not in used and n != "training_by_hand_in_place"
    ]
