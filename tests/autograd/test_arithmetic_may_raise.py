"""Whether arithmetic raises here: asked at each compiled step, so the answer is kept until NumPy's settings or Python's
filters of warnings are others."""

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread
from typing import Any

import numpy as np
import pytest

from tapegrad.autograd.whole import arithmetic_may_raise


def set_for_good(scope: ExitStack) -> None:
    scope.callback(lambda before: np.seterr(**before), np.seterr(over="raise"))


def filters(*rows: tuple[Any, ...]) -> Callable[[ExitStack], None]:
    """Catch warnings, and add these filters: (where in the list, action, category)."""

    def enter(scope: ExitStack) -> None:
        scope.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for append, action, kind in rows:
            warnings.simplefilter(action, kind, append=append)

    return enter


def emptied(scope: ExitStack) -> None:
    scope.enter_context(warnings.catch_warnings())
    warnings.resetwarnings()


SURROUNDINGS: dict[str, tuple[Callable[[ExitStack], Any], bool]] = {
    "errstate raise": (lambda scope: scope.enter_context(np.errstate(divide="raise")), True),
    "errstate call": (lambda scope: scope.enter_context(np.errstate(all="call")), True),
    "errstate log": (lambda scope: scope.enter_context(np.errstate(over="log")), True),
    "errstate print": (lambda scope: scope.enter_context(np.errstate(under="print")), True),
    "errstate ignore": (lambda scope: scope.enter_context(np.errstate(all="ignore")), False),
    "seterr": (set_for_good, True),
    "warnings are errors": (filters((False, "error", RuntimeWarning)), True),
    "others are errors": (filters((False, "error", DeprecationWarning)), False),
    "an error behind what ignores": (filters((True, "error", RuntimeWarning)), False),
    "two filters": (filters((False, "error", Warning), (False, "default", UserWarning)), True),
    "no filter": (emptied, False),
}


@pytest.fixture(autouse=True)
def usual() -> Any:
    """No warning is an error, as pytest has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_the_answer_follows_the_settings(name: str) -> None:
    enter, raises = SURROUNDINGS[name]
    for _ in range(2):
        assert not arithmetic_may_raise()
        with ExitStack() as scope:
            enter(scope)
            assert [arithmetic_may_raise() for _ in range(2)] == [raises] * 2
            with np.errstate(all="raise"):
                assert arithmetic_may_raise()
            assert arithmetic_may_raise() is raises
    assert not arithmetic_may_raise()


def test_a_filter_at_either_end_of_the_list_counts() -> None:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        assert not arithmetic_may_raise()
        warnings.simplefilter("error", RuntimeWarning, append=True)
        assert arithmetic_may_raise()
        warnings.simplefilter("ignore", RuntimeWarning)
        assert not arithmetic_may_raise()


def test_numpy_is_not_asked_again_for_what_did_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not arithmetic_may_raise()
    monkeypatch.setattr(np, "geterr", lambda: pytest.fail("asked again"))
    assert not arithmetic_may_raise()


def test_each_thread_has_settings_of_its_own() -> None:
    answers = []
    with np.errstate(all="raise"):
        thread = Thread(target=lambda: answers.append(arithmetic_may_raise()))
        thread.start()
        thread.join()
        assert answers == [False] and arithmetic_may_raise()
