"""`Scope`: a block in which something is set, which decorates functions of every kind."""

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar

from tapegrad.backends.aliases import Function

F = TypeVar("F", bound=Callable[..., Any])


class Scope:
    """The base of context managers: `@scope` runs a function inside the scope, each time it is called.

    A generator function runs each of its steps inside, and what its caller does between them is outside. So does a
    coroutine function. Decorating anything else raises TypeError.
    """

    __slots__ = ()

    def again(self) -> AbstractContextManager[object]:
        """A scope like this one: a decorated function may run in two threads at once."""
        raise NotImplementedError

    def title(self) -> str:
        """What the user calls it."""
        return type(self).__name__

    def __call__(self, f: F) -> F:
        return self._decorated(f)

    def _decorated(self, f: Function) -> Any:
        if isinstance(f, type) or not callable(f) or isinstance(f, (staticmethod, classmethod)):
            raise TypeError(
                f"{self.title()}: expected a function to decorate, got {f!r}: decorate the methods of a class, "
                "and put this decorator below @classmethod, @staticmethod and @property"
            )
        if inspect.isasyncgenfunction(f):
            raise TypeError(f"{f.__name__} is an asynchronous generator: write `with` inside it")
        if inspect.isgeneratorfunction(f):
            return _each_step(self, f)
        if inspect.iscoroutinefunction(f):

            @wraps(f)
            async def coroutine(*args: object, **kwargs: object) -> object:
                with self.again():
                    return await f(*args, **kwargs)

            return coroutine

        @wraps(f)
        def function(*args: object, **kwargs: object) -> object:
            with self.again():
                return f(*args, **kwargs)

        return function


def _each_step(scope: Scope, f: Function) -> Any:
    """A generator function whose code runs inside the scope, from each `next` to the `yield` that follows."""

    def steps(generator: Generator[Any, Any, Any]) -> Iterator[object]:
        resume, given = generator.send, None
        try:
            while True:
                with scope.again():
                    try:
                        item = resume(given)
                    except StopIteration as end:
                        return end.value
                try:
                    resume, given = generator.send, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # the caller's, by generator.throw
                    resume, given = generator.throw, error
        finally:
            with scope.again():
                generator.close()

    @wraps(f)
    def function(*args: object, **kwargs: object) -> object:
        return steps(f(*args, **kwargs))

    return function
