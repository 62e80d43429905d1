"""`tg.keep_lines()`: each recorded call keeps the user's line, the modules that ran, and the names of its arguments."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from tapegrad.autograd.diagnostics import user_line
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.ops.indexing import getitem_p
from tapegrad.autograd.recorder import Recorder, Steps
from tapegrad.autograd.tapes.births import Births
from tapegrad.autograd.tapes.origins import BACKWARD, Origin, hand_on, note, notes_on
from tapegrad.autograd.tapes.variables import Block, names_in
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.autograd.whole import arithmetic_may_raise, kinds_heard
from tapegrad.autograd.writes import next_serial, owner
from tapegrad.backends.aliases import Array

if TYPE_CHECKING:
    from tapegrad.autograd.aliases import ModuleLike, Params, Result, Value
    from tapegrad.autograd.primitive import Primitive


class Run(NamedTuple):
    """One call of a module. number: another one for each call."""

    module: "ModuleLike"
    number: int


VALUES, SHAPE, FINITE, CHECKED = "values", "shape", "finite", "checked"


class Read(NamedTuple):
    """A tensor that the program may have looked at, with what it may know of it; where, and when.

    VALUES   its numbers, as `if t > 0:` and `float(t)` do
    SHAPE    how many a mask has picked
    FINITE   whether all numbers are, where those that are not may raise
    CHECKED  that `wrong`, a condition of the elements, holds for none
    """

    tensor: Tensor
    line: str
    serial: int
    known: str = VALUES
    wrong: Callable[[Array], Array] | None = None


class Site(NamedTuple):
    """Where a call was recorded.

    runs    the modules whose forward was running, the outermost first
    names   what the user's code calls each argument that is a leaf, the best name first
    root    what it calls the outermost module; "" where that is in no variable
    steps   of the outermost `tg.scan` that was running, whose steps ran one after another; None outside of one
    reads   what the program has read since its `with tg.keep_lines():` began; the list is that of all its calls
    begun   when that was
    errors  what `np.errstate` raised at some call: {"divide": "raise"}; the dict is that of all calls
    """

    runs: tuple[Run, ...]
    names: tuple[tuple[str, ...], ...]
    root: str
    steps: Steps | None
    reads: deque[Read]
    begun: int
    errors: dict[str, Any]


NOWHERE = Site((), (), "", None, deque(), 0, {})
MOST_READS = 1000  # are kept, the newest ones


def site_of(node: Node) -> Site:
    """The site of a call; without modules and names where none was kept."""
    return getattr(node, "site", NOWHERE)


def outputs_of(node: Node) -> "tuple[Array, ...]":
    """The raw outputs of a call."""
    return node.out if isinstance(node.out, tuple) else (node.out,)


# The modules whose forward is running, and what the outermost one is called.
running: ContextVar[tuple[tuple[Run, ...], str]] = ContextVar("tapegrad_running_modules", default=((), ""))
number = count(1)


class Sites(Recorder):
    """Notes the site of each recorded call at its node, and for other tensors how they came about (`origins`)."""

    def __init__(self, begun: int) -> None:
        self.reads: deque[Read] = deque(maxlen=MOST_READS)
        self.errors: dict[str, Any] = {}
        self.begun = begun
        self.block = Block()
        self.inside: Steps | None = None  # of the outermost scan that is running
        self.passes = 0  # backward passes that are running, one in a rule of another

    def primitive(
        self,
        primitive: "Primitive",
        args: "tuple[Value, ...]",
        params: "Params",
        result: "Result",
    ) -> None:
        results = result if isinstance(result, tuple) else (result,)
        node = results[0].node
        if node is None:
            # Gradients that are not differentiated are on no tape: their arguments would only hold memory.
            is_gradient = self.passes > 0 and not current.get().grad
            # A draw depends on nothing that is noted.
            for r in results:
                r._version = max(r._version, 0)
            if is_gradient or any(isinstance(a, Tensor) for a in args):
                for i, r in enumerate(results):
                    note(r, BACKWARD if is_gradient else primitive, () if is_gradient else args, params, i)
        elif node.primitive is primitive:
            node.line = user_line()
            runs, root = running.get()
            scopes = self.block.scopes()
            leaves = (isinstance(a, Tensor) and a.node is None for a in node.inputs)
            names = tuple(names_in(a, scopes) if leaf else () for a, leaf in zip(node.inputs, leaves))
            node.site = Site(runs, names, root, self.inside, self.reads, self.begun, self.errors)
        if primitive is getitem_p and any(
            isinstance(a, Tensor) and name_of(a.dtype) == "bool" for a in args[1:]
        ):
            self.know(results[0], SHAPE)
        heard = kinds_heard() if arithmetic_may_raise() else []
        if current.get().anomaly or heard:
            self.errors.update((kind, "raise") for kind in heard)
            for r in results:
                self.know(r, FINITE)

    def detached(self, tensor: Tensor, result: Tensor) -> None:
        note(result, None, (tensor,))

    def succeeds(self, old: Tensor, tensor: Tensor) -> None:
        hand_on(tensor, old)

    def holds(self, home: Array) -> tuple[list[Origin], list[Tensor]]:
        return notes_on(home), [read.tensor for read in self.reads if owner(read.tensor.data) is home]

    def write(self, tensor: Tensor, value: Tensor) -> None:
        note(tensor, None, (value,), written=True)

    def failed(self, primitive: "Primitive", args: "tuple[Value, ...]") -> None:
        for a in args:
            if isinstance(a, Tensor):
                self.read(a)

    def into_array(self, value: Tensor) -> None:
        self.read(value)

    def read(self, tensor: Tensor, what: str = "", remedy: str = "") -> None:
        self.know(tensor, VALUES)

    def checked(self, tensor: Tensor, wrong: Callable[[Array], Array], repeated: bool = False) -> None:
        # What the operation checks once more raises when it runs again: to keep the tensor would hold its notes.
        if not repeated:
            self.know(tensor, CHECKED, wrong)

    def know(self, tensor: Tensor, what: str, wrong: Callable[[Array], Array] | None = None) -> None:
        self.reads.append(Read(tensor, user_line(), next_serial(), what, wrong))

    def backward(self, outputs: "list[tuple[Tensor, Value]]") -> None:
        self.passes += 1

    def rule(self, node: Node | None) -> None:
        self.passes -= node is None

    @contextmanager
    def steps(self, steps: Steps) -> Iterator[None]:
        before = self.inside
        self.inside = before or steps
        try:
            yield
        finally:
            self.inside = before

    def module(self, module: "ModuleLike") -> "Running":
        runs, root = running.get()
        if not runs:
            root = next(iter(names_in(module, self.block.scopes())), "")
        return Running(((*runs, Run(module, next(number))), root))


class Running:
    """`with Running(modules):` these run."""

    def __init__(self, modules: tuple[tuple[Run, ...], str]) -> None:
        self.modules = modules

    def __enter__(self) -> None:
        self.before = running.set(self.modules)

    def __exit__(self, *error: object) -> None:
        running.reset(self.before)


listening: list[Sites] = []  # those of all threads
here: ContextVar[Sites | None] = ContextVar("tapegrad_sites_of_this_thread", default=None)


def read_elsewhere(t: Tensor) -> None:
    """A read in a thread or context where nothing listens: whoever listens may be given the number."""
    for sites in listening:
        if sites is not here.get():  # it has chosen not to hear this one
            sites.read(t)


class LineScope(changed_flags):
    """The scope of `keep_lines`. Where something else listens, as `tg.jit` does, it changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[tuple[Sites, Births, Sites | None] | None] = []

    def again(self) -> "LineScope":
        return LineScope()

    def __enter__(self) -> None:
        entered, self.changes = None, {}
        if current.get().recorder is None:
            births = Births()
            sites = Sites(births.__enter__())
            listening.append(sites)
            entered, self.changes = (sites, births, here.get()), {"recorder": sites}
            here.set(sites)
        self.inside.append(entered)
        super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if (entered := self.inside.pop()) is not None:
            sites, births, before = entered
            here.set(before)
            sites.block.end()
            listening.remove(sites)
            births.__exit__()


F = TypeVar("F")


@overload
def keep_lines() -> LineScope: ...
@overload
def keep_lines(f: F, /) -> F: ...
def keep_lines(f: Any = None, /) -> Any:
    """`with tg.keep_lines():`: each recorded call keeps the line of your code and the modules that it ran in, which
    `tg.tape(loss).html("tape.html")` shows as headings and folds, and what the tape's `what_if` needs. Calls of
    compiled functions run as Python inside. For looking, not for training: each call takes some microseconds more. A
    decorator as well, as `no_grad`.

    Args:
        f: The function to decorate; left out, the scope for `with`.
    """
    scope = LineScope()
    if f is None:
        return scope
    if not callable(f):
        raise TypeError(f"tg.keep_lines: write `with tg.keep_lines():` or `@tg.keep_lines()`, got {f!r}")
    return scope(f)
