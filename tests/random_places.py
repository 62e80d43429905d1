"""What random worlds are made of: places that hold values, uses of them, and what a function does to its world."""

from dataclasses import dataclass

VALUES = ["2.0", "0.5", "1.5", "2", "-0.75", "1.0"]
PRELUDE = """
import collections, contextlib, dataclasses, functools, itertools, operator, random, types
import numpy as np
import tapegrad as tg
def T(*v): return tg.tensor(np.array(v, "float32"))
def layer(c=0.5):
    made = tg.nn.Dense(2, in_features=2, kernel_initializer="ones")
    made.kernel.assign(tg.full((2, 2), c))
    return made
def layered(*layers): return tg.nn.Sequential(*layers)
"""


@dataclass(frozen=True)
class Kind:
    """A kind of place. {p} is its name, {v} a value. `hard`: a function that reads it may run eagerly."""

    setup: str
    reads: list[str]
    changes: list[str]
    hard: bool = False


@dataclass(frozen=True)
class Habit:
    """Something that a function does to the world itself; `seen` is what can be observed of it."""

    setup: str
    line: str
    seen: str


KINDS = {
    "a global": Kind("{p} = 2.0", ["{p}", "float({p} > 1.0)"], ["{p} = {v}"]),
    "a global tensor": Kind(
        "{p} = T(1.0, 2.0)",
        ["{p}", "{p}.sum()", "tg.tensor({p})"],
        ["{p} = T({v}, 3.0)", "{p}.assign({p} * {v})", "{p} = T({v})", "{p}.data = {p}.data * np.float32({v})"],
    ),
    "a closure": Kind(
        "def make_{p}(cell=2.0):\n    def put(v):\n        nonlocal cell\n        cell = v\n"
        "    return (lambda: cell), put\n"
        "{p}, put_{p} = make_{p}()",
        ["{p}()"],
        ["put_{p}({v})", "{p}, put_{p} = make_{p}({v})", "put_{p}(T({v}, 1.0))"],
    ),
    "an object": Kind(
        "class {p}_base:\n    shared = 2.0\n    def __init__(self): self.a, self.unused = 2.0, 0\n"
        "    @property\n    def twice(self): return self.a * 2\n"
        "    def method(self, k=1.5): return self.a * k\n"
        "    @classmethod\n    def of_class(cls): return cls.shared\n"
        "class {p}_other({p}_base):\n    shared = 0.25\n    def method(self, k=0.5): return self.a + k\n"
        "{p} = {p}_base()",
        ["{p}.a", "{p}.shared", "{p}.twice", "{p}.method()", "{p}.of_class()", "getattr({p}, 'a')",
         "operator.attrgetter('a')({p})", "vars({p})['a']", "getattr({p}, 'later', 1.25)",
         "float(hasattr({p}, 'later'))",
         "operator.methodcaller('method')({p})"],
        ["{p}.a = {v}", "{p}_base.shared = {v}", "{p}.shared = {v}", "vars({p}).pop('shared', None)",
         "{p} = {p}_base()",
         "{p}.__class__ = {p}_other", "{p}_base.method = lambda self: {v}",
         "{p}_base.method.__defaults__ = ({v},)",
         "object.__setattr__({p}, 'a', {v})", "{p}.later = {v}", "del {p}.later", "{p}.unused += 1",
         "{p}_base.twice = property(lambda self: {v})", "{p}.method = lambda: {v}", "{p}.a = T({v}, 1.0)",
         "del {p}.unused; {p}.method = lambda: {v}"],
    ),
    "slots": Kind(
        "class {p}_class:\n    __slots__ = ('a', 'b')\n{p} = {p}_class()\n{p}.a = 2.0",
        ["getattr({p}, 'a', 3.0)", "getattr({p}, 'b', 1.5)"],
        ["{p}.a = {v}", "del {p}.a", "{p}.b = {v}", "del {p}.b"],
    ),
    "a dict": Kind(
        "{p} = {{'a': 2.0, 'b': {{'c': 1.5}}, 'n': 1}}",
        ["{p}['a']", "{p}['b']['c']", "{p}.get('z', 1.25)", "len({p})", "float('z' in {p})",
         "sum(v for v in {p}.values() if not isinstance(v, dict))", "float(next(iter({p})) == 'a')",
         "{p}['z']"],
        ["{p}['a'] = {v}", "{p}['b']['c'] = {v}", "{p}['z'] = {v}", "{p}.pop('z')", "{p}.update(a={v}, z=1.0)",
         "{p} = dict({p})", "{p}['a'] = {p}.pop('a')", "{p}['b'] = {{'c': {v}}}", "{p}['a'] = T({v}, 1.0)"],
    ),
    "a list": Kind(
        "{p} = [2.0, [1.5, 1.0], T(1.0, 2.0)]",
        ["{p}[0]", "sum({p}[1])", "{p}[2]", "len({p})", "{p}[-1]", "max(v for v in {p}[1])"],
        ["{p}[0] = {v}", "{p}[1].append({v})", "{p}[1].pop()", "{p}[2] = T({v}, 4.0)", "{p} = {p}[:]",
         "{p}.append({v})",
         "{p}.pop()", "{p}[1].reverse()", "{p}[1][0] = {v}"],
    ),
    "a deque": Kind(
        "{p} = collections.deque([1.0, 2.0], maxlen=3)", ["{p}[0]", "sum({p})", "{p}[-1]"],
        ["{p}.append({v})", "{p}.rotate()", "{p}.appendleft({v})", "{p}[0] = {v}"],
    ),
    "a set": Kind(
        "{p} = {{1.0, 2.0}}", ["sum({p})", "len({p})", "float(0.5 in {p})"],
        ["{p}.add({v})", "{p}.discard({v})", "{p} = set({p})", "{p}.clear()"],
    ),
    "a dataclass": Kind(
        "@dataclasses.dataclass\nclass {p}_class:\n    a: float = 2.0\n"
        "    b: list = dataclasses.field(default_factory=lambda: [1.5])\n"
        "{p} = {p}_class()",
        ["{p}.a", "{p}.b[0]", "dataclasses.astuple({p})[0]", "float({p} == {p}_class())"],
        ["{p}.a = {v}", "{p}.b[0] = {v}", "{p} = dataclasses.replace({p}, a={v})", "{p}.b = [{v}]"],
    ),
    "namespaces": Kind(
        "{p} = types.SimpleNamespace(s=types.SimpleNamespace(t=types.SimpleNamespace(k=2.0)))",
        ["{p}.s.t.k", "operator.attrgetter('s.t.k')({p})"],
        ["{p}.s.t.k = {v}", "{p}.s.t = types.SimpleNamespace(k={v})",
         "{p}.s = types.SimpleNamespace(t={p}.s.t)"],
    ),
    "a function": Kind(
        "def {p}_one(k=2.0): return k\ndef {p}_two(k=0.5): return k * 3\n{p} = {p}_one\n"
        "{p}_part = functools.partial({p}_one, 1.5)\n"
        "{p}_one.attribute = 2.0",
        ["{p}()", "{p}_part()", "{p}_one.attribute", "list(map({p}, [0.5, 1.5]))[1]"],
        ["{p} = {p}_two", "{p} = {p}_one", "{p}_one.__defaults__ = ({v},)",
         "{p}_one.__code__ = {p}_two.__code__",
         "{p}_one.attribute = {v}", "{p}_part = functools.partial({p}_two, {v})", "{p} = lambda k=1: {v}"],
    ),
    "a module": Kind(
        "{p} = types.ModuleType('user_{p}'); {p}.__file__ = '/opt/user_{p}.py'; {p}.K = 2.0",
        ["{p}.K", "getattr({p}, 'L', 1.25)"], ["{p}.K = {v}", "{p}.L = {v}", "del {p}.L"],
    ),
    "a network": Kind(
        "{p} = tg.nn.Sequential(layer(), layer(0.25)); {p}.extra = []",
        ["{p}(y.reshape(1, 2)).reshape(2).detach()", "{p}.layers[0].kernel.detach().sum()", "len({p}.layers)",
         "float({p}.training)", "len({p}.parameters())"],
        ["{p}.layers[0].activation = tg.tanh", "{p}.layers.append(layer())", "{p}.layers.pop()",
         "{p}.eval()", "{p}.train()",
         "{p}.layers[0].kernel = tg.nn.Parameter(tg.full((2, 2), {v}))",
         "{p}.layers[0].kernel.assign(tg.full((2, 2), {v}))",
         "{p}.layers[0] = layer({v})", "{p}.layers[-1].forward = lambda x: x * {v}",
         "{p} = tg.nn.Sequential(layer({v}))",
         "{p}.layers[0].kernel.data = {p}.layers[0].kernel.data * 2",
         "{p}.layers[0].kernel.requires_grad_(False)",
         "{p}.extra.append(tg.nn.Parameter(T({v})))",
         "{p}.load_state_dict(layered(layer({v}), layer()).state_dict())"],
    ),
    "a leaf": Kind(
        "{p} = T(1.0, 2.0).requires_grad_()",
        ["(1.0 if {p}.grad is None else {p}.grad)", "(1.0 if {p}.requires_grad else 2.0)", "{p}.detach()"],
        ["{p}.grad = None", "{p}.grad = T({v}, 1.0)", "{p}.requires_grad_(not {p}.requires_grad)",
         "({p} * {v}).sum().backward()",
         "{p}.assign(T({v}, 1.0))", "{p} = T({v}, 2.0).requires_grad_()"],
    ),
    "a NumPy array": Kind(
        "{p} = np.array([1.0, 2.0], 'f')", ["{p}", "float({p}[0])", "float({p}.sum())", "tg.tensor({p})"],
        ["{p}[0] = {v}", "{p} = {p}.copy()", "{p} *= 2", "{p} = np.array([{v}, 1.0], 'f')"],
    ),
    "a setting": Kind(
        "tg.set_default_dtype('float32')", ["tg.ones(2)", "tg.tensor([0.5, 1.5])"],
        ["tg.set_default_dtype('float64')", "tg.set_default_dtype('float32')"],
    ),
    "a cell at each call": Kind("{p} = T(1.0, 1.0)", ["{p}"], ["{p} = {p} * 0.5 + {v}"]),
    "an odd object": Kind(
        "{p} = types.MappingProxyType(inner_{p} := {{'a': 2.0}}); chain_{p} = collections.ChainMap({{}}, inner_{p})",
        ["{p}['a']", "chain_{p}['a']", "len({p})"], ["inner_{p}['a'] = {v}", "inner_{p}['b'] = {v}",
         "chain_{p}['a'] = {v}"],
        hard=True,
    ),
}  # fmt: skip
HABITS = [
    Habit("{p} = types.SimpleNamespace(n=0)", "{p}.n += 1", "{p}.n"),
    Habit("{p} = types.SimpleNamespace(n=0)", "{p}.n += 1; y = y * {p}.n", "{p}.n"),
    Habit("{p} = []", "{p}.append(1.0)", "len({p})"),
    Habit(
        "{p} = {{'h': T(0.0, 0.0)}}", "{p}['h'] = {p}['h'] + y.detach(); y = y + {p}['h']", "{p}['h'] * 1.0"
    ),
    Habit("{p} = itertools.cycle([1.0, 1.0, 1.0, 4.0])", "y = y * next({p})", "0"),
    Habit("{p} = 0", "y = y * random.random()", "0"),
    Habit("{p} = 0", "y = y * np.random.random()", "0"),
    Habit("{p} = np.random.default_rng(3)", "y = y * float({p}.random())", "0"),
    Habit("{p} = set()", "{p}.add(len({p}) % 3)", "sorted({p})"),
    Habit("{p} = {{'n': 0.0}}", "{p}['n'] = min(3.0, {p}['n'] + 1.0); y = y * {p}['n']", "{p}['n']"),
    Habit("{p} = T(0.0, 0.0)", "{p}.assign({p} + y.detach())", "{p} * 1.0"),
    Habit("{p} = T(0.0, 0.0)", "{p}[0] = y[0].detach()", "{p} * 1.0"),
    Habit("{p} = 0", "print('step')", "0"),
]
KEEPS = {"{p}.assign({p} + y.detach())", "{p}[0] = y[0].detach()"}  # habits that a program has as well
USES = ["y = tg.sin(y * ({r}) + 0.1)", "y = y + ({r})", "y = y * ({r}) if len(y.shape) == 1 else y"]
FORMS = [
    ["{use}"],
    ["r = {r}", "{use_r}"],
    ["r = [{r} for _ in range(2)][0]", "{use_r}"],
    ["with contextlib.nullcontext({r}) as r:", "    {use_r}"],
    ["try:", "    r = {r}", "except (KeyError, AttributeError, IndexError):", "    r = 0.25", "{use_r}"],
    ["def inner(): return {r}", "r = inner()", "{use_r}"],
    ["r = (lambda: {r})()", "{use_r}"],
    ["for r in ({r},):", "    {use_r}"],
]  # fmt: skip
