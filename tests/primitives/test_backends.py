"""Every row on each backend: the value and the gradients are NumPy's, and stay on the device.

array-api-strict stands in for a GPU on any machine. The rows marked gpu run on CuPy, without TensorFlow.
"""

from typing import Any

import pytest

import tapegrad as tg
from primitives.harness import close, run
from primitives.table import FLOATS, Case, cases
from tapegrad.autograd import ops
from tapegrad.autograd.dtypes import name_of
from tapegrad.backends import BackendError, get_backend


@pytest.fixture(scope="module")
def strict() -> str:
    pytest.importorskip("array_api_strict")
    import strict_backend

    strict_backend.register()
    return "strict:2"


def cases_for_cupy() -> list[Any]:
    """The cases, or one that is skipped and says why."""
    try:
        get_backend("cupy")
    except BackendError as error:
        return [pytest.param(None, marks=pytest.mark.skip(reason=str(error)), id="none")]
    return [pytest.param(case, id=case.id) for case in cases()]


def check(case: Case, device: str, dtype: str, slack: float) -> None:
    there, here = run(case, dtype, device), run(case, dtype)
    for got, want in zip([there.y, *there.grads], [here.y, *here.grads], strict=True):
        assert got.device == device
        assert name_of(got.dtype) == want.dtype.name
        if case.row.ref is not None:
            close(got, want, dtype, slack)


def check_bounds(device: str) -> None:
    """An index out of bounds is an IndexError wherever the data are, in reading, writing and adding."""
    x = tg.ones((2, 3), device=device)
    for index in (2, -3, [0, 2], [-3], ([0], [3]), (slice(None), [5]), tg.tensor([[9]], device=device)):
        for f in (lambda i: x[i], lambda i: tg.index_update(x, i, 1.0), lambda i: tg.index_add(x, i, 1.0)):
            with pytest.raises(IndexError, match=r"out of bounds for axis \d with size"):
                f(index)
    for labels in ([0, 3], [-1, 0]):
        with pytest.raises(IndexError, match="from 0 to 2"):
            ops.sparse_cross_entropy_p(x, tg.tensor(labels, device=device))


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype:UserWarning:.*primitive")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_strict(case: Case, strict: str):
    check(case, strict, "float64", 1e-3)


def test_strict_bounds(strict: str):
    check_bounds(strict)


@pytest.mark.gpu
@pytest.mark.parametrize("case", cases_for_cupy())
def test_cupy(case: Case):
    for dtype in FLOATS:
        check(case, "cuda:0", dtype, 2)


@pytest.mark.gpu
def test_cupy_bounds():
    try:
        get_backend("cupy")
    except BackendError as error:
        pytest.skip(str(error))
    check_bounds("cuda:0")
