"""What the language allows: nested functions, numbers of every type, iterators, jit in jit."""

import contextlib
import types
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, change, each_call, ones_layer, x2

nn = tg.nn
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager


# ---- functions ----
@compiled
def a_recursive_function(J: Any) -> Any:
    depth = [3]

    def power(x: Any, n: int) -> Any:
        return x if n == 0 else power(x, n - 1) * x

    return change(J, lambda x: power(x, depth[0]), lambda: depth.__setitem__(0, 2))


@compiled
def a_function_made_at_each_call(J: Any) -> Any:
    scale = 2.0

    def f(x: Any) -> Any:
        k = scale * 2

        def inner(y: Any) -> Any:
            return y * k

        return inner(x)

    g = J(f)
    for i in range(8):
        if i == 3:
            scale = 3.0
        yield g(x2())


@compiled
def a_comprehension_over_a_global_of_a_closure(J: Any) -> Any:
    scales = {"a": 1.0, "b": 2.0}
    f = lambda x: sum([x * v for v in scales.values()], tg.zeros(2))
    return change(J, f, lambda: scales.update(c=4.0), back=lambda: scales.pop("c"))


@compiled
def jit_in_jit(J: Any) -> Any:
    k = 2.0
    inner = J(lambda x: x * k)
    outer = J(lambda x: inner(x) + 1.0)
    for i in range(9):
        if i == 4:
            k = 3.0
        yield outer(x2()), inner(x2())


@compiled
def an_exception_for_control_flow(J: Any) -> Any:
    table = {"a": 2.0}

    def f(x: Any) -> Any:
        try:
            return x * table["b"]
        except KeyError:
            return x * table["a"]

    return change(J, f, lambda: table.update(b=5.0), back=lambda: table.pop("b"))


@compiled
def an_exception_that_the_user_sees(J: Any) -> Any:
    limits = {"most": 10.0}

    def f(x: Any) -> Any:
        if limits["most"] < 5.0:
            raise ValueError(f"too small: {limits['most']}")
        return x * limits["most"]

    f = J(f)
    for i in range(12):
        limits["most"] = 1.0 if 3 <= i < 6 else 10.0
        try:
            yield f(x2())
        except ValueError as error:
            yield str(error)


@compiled
def a_finally_and_a_context_manager(J: Any) -> Any:
    stack = [2.0]

    @contextlib.contextmanager
    def scaled(v: float) -> Any:
        stack.append(v)
        try:
            yield stack
        finally:
            stack.pop()

    def f(x: Any) -> Any:
        with scaled(stack[0] + 1) as s:
            return x * s[-1]

    return change(J, f, lambda: stack.__setitem__(0, 7.0))


@compiled
def a_generator_expression_inside(J: Any) -> Any:
    numbers = [1.0, 2.0]
    f = lambda x: x * sum(n for n in numbers if n > 1.5)
    return change(J, f, lambda: numbers.append(3.0))


@compiled
def an_attribute_by_a_computed_name(J: Any) -> Any:
    state = types.SimpleNamespace(which="a", scale_a=2.0, scale_b=3.0)
    f = lambda x: x * getattr(state, "scale_" + state.which)
    return change(J, f, lambda: setattr(state, "scale_a", 5.0), back=lambda: setattr(state, "which", "b"))


@compiled
def a_deleted_attribute(J: Any) -> Any:
    class A:
        scale = 2.0

    a = A()
    a.scale = 5.0
    return change(J, lambda x: x * a.scale, lambda: delattr(a, "scale"))


@compiled
def an_equal_number_of_another_type(J: Any) -> Any:
    state = types.SimpleNamespace(k=1)
    f = lambda x: x.astype("int64") * state.k
    return change(J, f, lambda: setattr(state, "k", 1.0), back=lambda: setattr(state, "k", True))


@compiled
def a_negative_zero_and_a_nan(J: Any) -> Any:
    state = types.SimpleNamespace(k=0.0)
    f = J(lambda x: tg.atan2(x * 0.0 + state.k, -x))
    for k in (0.0, -0.0, float("nan"), -float("nan"), 0.0, -0.0):
        state.k = k
        for _ in range(4):
            yield f(x2())


@compiled
def numpy_numbers(J: Any) -> Any:
    state = types.SimpleNamespace(a=np.float64(2.0), b=np.array(3.0, "f"), c=np.int8(2))
    f = J(lambda x: x * state.a * state.b + state.c)
    for i in range(16):
        if i == 4:
            state.a = np.float64(4.0)
        if i == 8:
            state.b[...] = 5.0
        if i == 12:
            state.c = np.int8(3)
        yield f(x2())


@compiled
def a_view_of_an_array_of_the_host(J: Any) -> Any:
    whole = np.arange(6.0, dtype="f")
    view = whole[::3]
    return change(J, lambda x: x * view, lambda: whole.__setitem__(3, 50.0))


@compiled
def a_large_array_that_a_helper_sums(J: Any) -> Any:
    table = np.ones(5000)
    f = lambda x: x * float(table.sum())
    return change(J, f, lambda: table.__setitem__(4999, 100.0))


@either("Decimal", "decimal")
def numbers_of_the_decimal_context(J: Any) -> Any:
    import decimal

    context = decimal.getcontext()
    old = context.prec
    f = lambda x: x * float(decimal.Decimal(1) / decimal.Decimal(3))
    try:
        yield from change(J, f, lambda: setattr(context, "prec", 2))
    finally:
        context.prec = old


@either("bytearray", "numbers")
def a_bytearray_and_a_tuple_of_lists(J: Any) -> Any:
    numbers, nested = bytearray([2, 3]), ([1.0], [2.0])
    f = lambda x: x * numbers[0] * nested[1][0]
    return change(J, f, lambda: numbers.__setitem__(0, 9), back=lambda: nested[1].__setitem__(0, 5.0))


@either("memoryview")
def a_memoryview(J: Any) -> Any:
    buffer = bytearray([2, 3])
    view = memoryview(buffer)
    return change(J, lambda x: x * view[0], lambda: buffer.__setitem__(0, 9))


@either("struct", "record")
def a_struct_unpacked(J: Any) -> Any:
    import struct

    record = bytearray(struct.pack("d", 2.0))
    f = lambda x: x * struct.unpack("d", record)[0]
    return change(J, f, lambda: struct.pack_into("d", record, 0, 5.0))


# ---- modules of tapegrad that are changed in odd ways ----
@compiled
def sublayers_in_a_dict_of_a_module(J: Any) -> Any:
    class M(nn.Module):
        def __init__(self) -> None:
            self.heads = {"a": ones_layer(), "b": ones_layer(kernel="zeros")}
            self.head = "a"

        def forward(self, x: Any) -> Any:
            return self.heads[self.head](x)

    m = M()
    f = J(lambda x: m(x).detach())
    for i in range(16):
        if i == 4:
            m.head = "b"
        if i == 8:
            m.heads["b"] = ones_layer()
        if i == 12:
            m.heads["b"].activation = tg.tanh
        yield f(tg.ones((1, 2)))


@compiled
def a_layer_that_is_built_at_its_first_call(J: Any) -> Any:
    m = nn.Sequential(nn.Dense(3, kernel_initializer="ones"), nn.Dense(1, kernel_initializer="ones"))
    f = J(lambda x: m(x).detach())
    for _ in range(7):
        yield f(tg.ones((1, 2)))


@compiled
def a_bias_that_is_removed(J: Any) -> Any:
    class M(nn.Module):
        def __init__(self) -> None:
            self.bias = nn.Parameter(T([1.0, 2.0]))

        def forward(self, x: Any) -> Any:
            return x if self.bias is None else x + self.bias.detach()

    m = M()
    return change(J, lambda x: m(x), lambda: setattr(m, "bias", None))


@eager("print")
def a_print_of_a_plain_text(J: Any) -> Any:
    def f(x: Any) -> Any:
        print("step")
        return x * 2

    return each_call(J, f)


@eager("yield", "generator", "send", "iterator", "total")
def a_generator_that_is_the_step(J: Any) -> Any:
    def trainer() -> Any:
        total = tg.zeros(2)
        while True:
            x = yield total * 1.0
            total = total + x

    t = trainer()
    next(t)
    return each_call(J, lambda x: t.send(x))


@eager("coroutine", "async", "generator")
def an_async_function(J: Any) -> Any:
    scale = 2.0

    async def f(x: Any) -> Any:
        return x * scale

    def result(c: Any) -> Any:
        try:
            c.send(None)
        except StopIteration as stop:
            return stop.value

    g = J(f)
    for i in range(7):
        if i == 4:
            scale = 3.0
        yield result(g(x2()))
