"""Names bound to other objects between calls: arguments that alias, globals, cells, parameters, functions, modules."""

import copy
import functools
import operator
import os
import random
import sys
import types
from typing import Any

import tapegrad as tg
from surroundings import T, Table, change, each_call, ones_layer, x2

nn = tg.nn
CASES = Table()
compiled, either = CASES.compiled, CASES.either

W = T([1.0, 2.0, 3.0])
G1 = T([1.0])
NUM = 2.0
NET: Any = None
OPT: Any = None
# A module of the user's, as `import usermod` finds it.
MODS = types.ModuleType("usermod")
MODS.__file__ = os.path.join(os.path.dirname(os.path.abspath(__file__)), "usermod.py")
sys.modules["usermod"] = MODS


def helper(x: Any) -> Any:
    return x * W


def deep(x: Any) -> Any:
    return x * NUM


# ---- arguments ----
@compiled
def one_tensor_bare_and_in_a_list(J: Any) -> Any:
    f = J(lambda a, b: a + b[0] * 10)
    for t in (T([1.0]), T([5.0]), T([7.0]), T([9.0])):
        yield f(t, [t])


@compiled
def an_argument_in_a_list_that_is_a_global(J: Any) -> Any:
    W.assign(T([1.0, 2.0, 3.0]))
    f = J(lambda b: helper(b[0]))
    yield f([W])
    for k in (10.0, 20.0, 30.0, 40.0):
        yield f([tg.full((3,), k)])


@compiled
def an_argument_in_a_dict_that_is_a_global(J: Any) -> Any:
    W.assign(T([1.0, 2.0, 3.0]))
    f = J(lambda b: helper(b["x"]))
    yield f({"x": W})
    for k in (10.0, 20.0, 30.0, 40.0):
        yield f({"x": tg.full((3,), k)})


@compiled
def an_argument_with_a_detached_alias(J: Any) -> Any:
    x = x2()
    ref = x.detach()
    f = J(lambda b: b[0] * ref)
    yield f([x])
    for k in (10.0, 20.0, 30.0, 40.0):
        yield f([tg.full((2,), k)])


# ---- copies ----
@compiled
def a_copy_of_the_argument(J: Any) -> Any:
    m = ones_layer()
    f = J(lambda x: m(tg.tensor(x)).detach())
    for k in (1.0, 100.0, 3.0, 4.0):
        yield f(tg.full((1, 2), k))


def snapshot(J: Any, kernel_of: Any) -> Any:
    m = ones_layer()
    o = tg.optim.SGD(m, lr=0.1)

    def step(x: Any) -> Any:
        old = kernel_of(m)
        loss = (m(x) ** 2).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return (m.kernel - old).detach()

    f = J(step)
    for k in range(7):
        yield f(tg.full((1, 2), (k + 1.0) / 4))


@compiled
def a_state_dict_inside(J: Any) -> Any:
    return snapshot(J, lambda m: m.state_dict()["kernel"])


@compiled
def a_deepcopy_of_the_model_inside(J: Any) -> Any:
    return snapshot(J, lambda m: copy.deepcopy(m).kernel)


# ---- globals and cells ----
@compiled
def a_model_and_an_optimizer_made_again(J: Any) -> Any:
    """The cell of a notebook that makes both, run twice."""

    def make() -> None:
        global NET, OPT
        NET = ones_layer(1)
        OPT = tg.optim.SGD(NET, lr=0.1)

    def train(x: Any) -> Any:
        loss = ((NET(x) - 3.0) ** 2).mean()
        OPT.zero_grad()
        loss.backward()
        OPT.step()
        return loss.detach()

    make()
    f = J(train)
    for _ in range(5):
        yield f(tg.ones((1, 2)))
    make()
    for _ in range(6):
        yield f(tg.ones((1, 2)))
        yield NET.kernel.numpy()


@compiled
def a_cell(J: Any) -> Any:
    h = x2()
    f = J(lambda x: x * h)
    for k in range(8):
        if k == 3:
            h = T([5.0, 6.0])
        yield f(x2())


@compiled
def a_cell_at_each_call(J: Any) -> Any:
    """The place becomes an input."""
    h = x2()
    f = J(lambda x: x * h)
    for _ in range(14):
        h = h + 1
        yield f(x2())


@compiled
def functional_parameters_in_a_cell(J: Any) -> Any:
    params, X, Y = {"w": T([[0.0]])}, T([[1.0], [2.0]]), T([[3.0], [5.0]])
    loss = lambda p: ((X @ p["w"] - Y) ** 2).mean()
    g = J(lambda: tg.value_and_grad(loss)(params))
    for _ in range(14):
        v, d = g()
        yield v
        params = {k: p - 0.1 * d[k] for k, p in params.items()}


@compiled
def data_of_a_differentiated_loss(J: Any) -> Any:
    p, X, Y = {"w": T([[1.0]])}, T([[1.0], [2.0]]), T([[3.0], [5.0]])

    def loss(p: Any) -> Any:
        return ((X @ p["w"] - Y) ** 2).mean()

    g = J(tg.value_and_grad(loss))
    for k in range(8):
        if k == 3:
            X = T([[10.0], [20.0]])
        yield g(p)[0]


@compiled
def a_global_tensor(J: Any) -> Any:
    def act() -> None:
        global G1
        G1 = T([5.0])

    def before() -> None:
        global G1
        G1 = T([1.0])

    before()
    return change(J, lambda x: x * G1, act)


def renumbered(value: Any) -> Any:
    def act() -> None:
        global NUM
        NUM = value

    return act


@compiled
def a_global_number_of_a_helper(J: Any) -> Any:
    renumbered(2.0)()
    return change(J, lambda x: deep(x), renumbered(3.0))


@either("globals")
def a_global_number_through_globals(J: Any) -> Any:
    renumbered(2.0)()
    return change(J, lambda x: x * globals()["NUM"], renumbered(3.0))


@compiled
def a_global_function(J: Any) -> Any:
    global deep
    old = deep
    renumbered(2.0)()
    f = J(lambda x: deep(x))
    try:
        for i in range(8):
            if i == 3:
                deep = lambda x: x * 50
            yield f(x2())
    finally:
        deep = old


@compiled
def a_builtin_that_is_shadowed(J: Any) -> Any:
    def act() -> None:
        globals()["sum"] = lambda numbers: 50.0

    try:
        yield from change(J, lambda x: x * sum([1.0, 2.0]), act)
    finally:
        globals().pop("sum", None)


@compiled
def a_closure_that_two_functions_share(J: Any) -> Any:
    def make() -> Any:
        k = 2.0

        def put(v: Any) -> None:
            nonlocal k
            k = v

        return (lambda: k), put

    get, put = make()
    return change(J, lambda x: x * get(), lambda: put(3.0))


# ---- functions and modules ----
@compiled
def an_attribute_of_a_function(J: Any) -> Any:
    def h(x: Any) -> Any:
        return x * h.k

    h.k = 2.0
    return change(J, lambda x: h(x), lambda: setattr(h, "k", 3.0))


@compiled
def a_registry_of_functions(J: Any) -> Any:
    registry = {"a": lambda x: x * 2}
    return change(J, lambda x: registry["a"](x), lambda: registry.update(a=lambda x: x * 3))


@compiled
def a_dict_in_a_partial(J: Any) -> Any:
    c = {"k": 2.0}
    return change(J, functools.partial(lambda c, x: x * c["k"], c), lambda: c.update(k=3.0))


@compiled
def a_list_that_a_mapped_function_reads(J: Any) -> Any:
    k = [2.0]

    def h(v: Any) -> Any:
        return v * k[0]

    f = lambda x: functools.reduce(operator.add, map(h, [x, x]))
    return change(J, f, lambda: k.__setitem__(0, 3.0))


@compiled
def a_cached_function(J: Any) -> Any:
    @functools.cache
    def table(n: Any) -> Any:
        return n * 2.0

    return each_call(J, lambda x: x * table(3))


@compiled
def a_bound_method_that_is_kept(J: Any) -> Any:
    class A:
        k = 2.0

        def get(self) -> Any:
            return self.k

    a = A()
    get = a.get
    return change(J, lambda x: x * get(), lambda: setattr(a, "k", 3.0))


@compiled
def a_module_inside_a_module(J: Any) -> Any:
    a, b = types.ModuleType("pk"), types.ModuleType("pk.cfg")
    a.__file__, b.__file__ = "/opt/pk.py", "/opt/pk/cfg.py"
    a.cfg, b.K = b, 2.0
    return change(J, lambda x: x * a.cfg.K, lambda: setattr(b, "K", 3.0))


@either("sys.modules", "usermod")
def a_module_through_sys_modules(J: Any) -> Any:
    MODS.LR = 2.0
    return change(J, lambda x: x * sys.modules["usermod"].LR, lambda: setattr(MODS, "LR", 7.0))


@compiled
def a_name_imported_inside(J: Any) -> Any:
    MODS.LR = 2.0

    def f(x: Any) -> Any:
        from usermod import LR  # type: ignore[import-not-found]

        return x * LR

    return change(J, f, lambda: setattr(MODS, "LR", 7.0))


@either("eval")
def a_string_of_code(J: Any) -> Any:
    c = types.SimpleNamespace(k=2.0)
    code = compile("c.k", "", "eval")
    return change(J, lambda x: x * eval(code, {"c": c}), lambda: setattr(c, "k", 3.0))


# ---- random numbers of the host ----
eager = CASES.eager


@eager("random")
def a_random_number(J: Any) -> Any:
    return each_call(J, lambda x: x * random.random())


@eager("random")
def a_random_branch_that_is_rarely_taken(J: Any) -> Any:
    return each_call(J, lambda x: x * 5 if random.random() < 0.1 else x, 60)


@either("random", "init")
def an_initializer_called_inside(J: Any) -> Any:
    initializer = nn.init.get("glorot_uniform")
    f = J(lambda x: x + initializer((2, 2)))
    for _ in range(5):
        yield f(tg.zeros((2, 2)))
