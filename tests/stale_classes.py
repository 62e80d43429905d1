"""What the language allows of classes: that they change, and methods that lie."""

from typing import Any

import tapegrad as tg
from surroundings import T, Table, change, x2

nn = tg.nn
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager


# ---- classes ----
@compiled
def another_class_of_an_object(J: Any) -> Any:
    class A:
        def scale(self) -> float:
            return 2.0

    class B(A):
        def scale(self) -> float:
            return 3.0

    a = A()
    act, back = (lambda: setattr(a, "__class__", B)), (lambda: setattr(a, "__class__", A))
    return change(J, lambda x: x * a.scale(), act, back=back)


@compiled
def a_method_that_shadows_and_an_attribute_that_goes(J: Any) -> Any:
    """In one breath: the number of attributes stays."""

    class A:
        def __init__(self) -> None:
            self.unused = 1

        def scale(self) -> float:
            return 2.0

    a = A()

    def act() -> None:
        del a.unused
        a.scale = lambda: 9.0

    return change(J, lambda x: x * a.scale(), act)


@compiled
def a_base_class_that_is_changed(J: Any) -> Any:
    class Base:
        scale = 2.0

    class A(Base):
        pass

    a = A()
    return change(J, lambda x: x * a.scale, lambda: setattr(Base, "scale", 3.0))


@compiled
def an_attribute_that_hides_the_bases(J: Any) -> Any:
    class Base:
        scale = 2.0

    class A(Base):
        pass

    a = A()
    return change(
        J, lambda x: x * a.scale, lambda: setattr(A, "scale", 3.0), back=lambda: delattr(A, "scale")
    )


@compiled
def bases_that_are_exchanged(J: Any) -> Any:
    class Two:
        scale = 2.0

    class Three:
        scale = 3.0

    class A(Two):
        pass

    a = A()
    return change(J, lambda x: x * a.scale, lambda: setattr(A, "__bases__", (Three,)))


@compiled
def a_descriptor(J: Any) -> Any:
    class Doubled:
        def __set_name__(self, owner: Any, name: str) -> None:
            self.name = "_" + name

        def __get__(self, obj: Any, owner: Any = None) -> Any:
            return getattr(obj, self.name) * 2

        def __set__(self, obj: Any, value: Any) -> None:
            setattr(obj, self.name, value)

    class A:
        scale = Doubled()

    a = A()
    a.scale = 2.0
    return change(J, lambda x: x * a.scale, lambda: setattr(a, "scale", 3.0))


@compiled
def a_property_that_is_replaced(J: Any) -> Any:
    class A:
        k = 2.0

        @property
        def scale(self) -> float:
            return self.k

    a = A()
    return change(J, lambda x: x * a.scale, lambda: setattr(A, "scale", property(lambda self: self.k * 10)))


@compiled
def a_class_decorated_with_defaults(J: Any) -> Any:
    defaults = {"scale": 2.0}

    def with_defaults(cls: Any) -> Any:
        cls.__getattr__ = lambda self, name: defaults[name]
        return cls

    @with_defaults
    class A:
        pass

    a = A()
    return change(J, lambda x: x * a.scale, lambda: defaults.update(scale=3.0))


@compiled
def truth_length_and_equality_of_an_object(J: Any) -> Any:
    class A:
        def __init__(self) -> None:
            self.items = [1.0]

        def __bool__(self) -> bool:
            return sum(self.items) > 2

        def __len__(self) -> int:
            return len(self.items)

        def __eq__(self, other: object) -> bool:
            return len(self.items) == other

        def __hash__(self) -> int:
            return len(self.items)

    a = A()
    f = lambda x: x * (2.0 if a else 3.0) * len(a) * (5.0 if a == 2 else 7.0) + hash(a)
    return change(J, f, lambda: a.items.append(4.0), back=lambda: a.items.pop())


@compiled
def an_object_that_is_called_and_indexed(J: Any) -> Any:
    class A:
        def __init__(self) -> None:
            self.table = {"a": 2.0}

        def __getitem__(self, name: str) -> float:
            return self.table[name]

        def __contains__(self, name: str) -> bool:
            return name in self.table

        def __call__(self, x: Any) -> Any:
            return x * self["a"] * (10.0 if "b" in self else 1.0)

    a = A()
    return change(J, a, lambda: a.table.update(b=1.0), back=lambda: a.table.pop("b"))


@compiled
def an_object_that_holds_tensors_with_operators(J: Any) -> Any:
    class Interval:
        def __init__(self, low: Any, high: Any) -> None:
            self.low, self.high = low, high

        def __mul__(self, x: Any) -> Any:
            return Interval(self.low * x, self.high * x)

        __rmul__ = __mul__

    i = Interval(T([1.0, 2.0]), T([3.0, 4.0]))

    def f(x: Any) -> Any:
        r = i * x
        return r.low, r.high

    return change(J, f, lambda: setattr(i, "high", T([30.0, 40.0])))


@compiled
def a_jitted_method_of_several_instances(J: Any) -> Any:
    class A:
        def __init__(self, k: float) -> None:
            self.k = k

        def times(self, x: Any) -> Any:
            return x * self.k

    A.times = J(A.times)  # as `@tg.jit` in the class body
    a, b = A(2.0), A(3.0)
    for i in range(16):
        if i == 8:
            a.k = 5.0
        yield a.times(x2()), b.times(x2())


@compiled
def a_static_method(J: Any) -> Any:
    class A:
        scale = 2.0

        @staticmethod
        def times(x: Any) -> Any:
            return x * A.scale

    f = J(A.times)
    for i in range(8):
        if i == 3:
            A.scale = 3.0
        yield f(x2())


@compiled
def a_static_method_that_is_replaced(J: Any) -> Any:
    class A:
        @staticmethod
        def times(x: Any) -> Any:
            return x * 2.0

    a = A()
    return change(J, lambda x: a.times(x), lambda: setattr(A, "times", staticmethod(lambda x: x * 9.0)))
