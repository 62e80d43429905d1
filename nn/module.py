"""`Module`, what layers and models are made of: plain attributes that are found by walking them."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeAlias

from tapegrad.autograd import foreign, writes
from tapegrad.autograd.aliases import Array, DTypeLike, TensorLike
from tapegrad.autograd.arguments import state_given, truth
from tapegrad.autograd.attributes import KnownAttributes
from tapegrad.autograd.copies import copied
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.diagnostics import is_own
from tapegrad.autograd.dtypes import DTYPE_NAMES, as_dtype, get_default_dtype, is_floating, name_of
from tapegrad.autograd.filled import zeros
from tapegrad.autograd.flags import current, no_grad
from tapegrad.autograd.gradients import drop_gradients
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.nn.aliases import Config, State
from tapegrad.nn.buffer import Buffer as Buffer
from tapegrad.nn.constructors import built_after, constructor_options
from tapegrad.nn.copying import Copies
from tapegrad.nn.lookup import NAMES, hint, snake_case
from tapegrad.nn.made_of import MADE_OF
from tapegrad.nn.shapes import Shape, ShapeLike, sample_shape
from tapegrad.nn.weight_rules import Ruled


class Module(Copies, Ruled, KnownAttributes):
    """The base of layers and models. Write a `forward`; call the module.

        class Net(nn.Module):
            def __init__(self):
                self.first = nn.Dense(64, "relu", in_features=30)
                self.scale = nn.Parameter(tg.ones(1))

            def forward(self, x):
                return self.scale * self.first(x)

    Attributes are plain ones: nothing is registered, no `super().__init__()` is needed. A Parameter is trained, a
    Buffer saved and moved, a Module, or a list, tuple or dict of these, searched in turn; others are left alone.

    A constructor that keeps each argument under its own name gets `config()` for nothing. A module that makes weights
    in `build(self, shape)`, shape being that of one sample, has it called before its first forward.
    """

    training = True  # set by train() and eval(); dropout reads it
    checks = {"training": truth}
    made_of = MADE_OF
    _saved = (Parameter, Buffer)
    built = True  # False while a layer waits for its input's shape to make its weights
    input_shape: Shape | None = None  # of one sample, where a layer knows it
    takes_integers = False  # whether the input is integers, as an Embedding's is
    builds = False  # whether the class brings a `build` of its own
    _trainable = True
    _name: str | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls) and not is_own(inspect.getfile(cls.build)):
            cls.build, cls.builds = built_after(cls.build), True  # type: ignore[method-assign]
            cls.built = vars(cls).get("built", False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call of the module gives, the output for its input: write it in a subclass.

        Args:
            *args: What the module is called with.
            **kwargs: What the module is called with by name.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if type(self).builds:
            self._build_for(args)
        try:
            if (recorder := current.get().recorder) is not None:
                with recorder.module(self):
                    return self.forward(*args, **kwargs)
            return self.forward(*args, **kwargs)
        except TypeError as error:
            said = foreign.error_of_call(self, self.forward, error, args, kwargs)
            if said is error:
                raise
            raise said from None

    def _build_for(self, args: tuple[object, ...]) -> None:
        """Call the user's `build`, if it was not called yet, with the shape of one sample.

        A method of its own: where code of a class ran that asks for attributes by `hasattr`, the check of a compiled
        step compares all of them.
        """
        if self.built:
            return
        shape = tuple(args[0].shape) if args and hasattr(args[0], "shape") else ()
        self.build(shape[1:] if len(shape) > 1 else shape)

    # ---- what is inside ----
    def parameters(self) -> list[Parameter]:
        """All parameters, in the order they were defined, shared ones once. Raises RuntimeError if some layer has not
        made its weights yet."""
        return [p for _, p in self.named_parameters()]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """As `parameters`, each with its path, such as "layers.0.kernel"."""
        return [(path, t) for path, t in self._tensors() if isinstance(t, Parameter)]

    def named_buffers(self) -> list[tuple[str, Buffer]]:
        """All buffers, each with its path."""
        return [(path, t) for path, t in self._tensors() if isinstance(t, Buffer)]

    def named_modules(self) -> "list[tuple[str, Module]]":
        """This module (path "") and all modules inside, in the order they were defined, shared ones once."""
        return [(path, part) for path, part in walk(self, "", set()) if isinstance(part, Module)]

    def _tensors(self) -> list[tuple[str, Parameter | Buffer]]:
        found: dict[str, Parameter | Buffer] = {}
        for path, part in walk(self, "", set()):
            if not isinstance(part, Module):
                if path in found:
                    raise ValueError(f"two tensors of this {type(self).__name__} have the path {path!r}")
                found[path] = part
            elif not part.built:
                where = f" at {path!r}" if path else ""
                raise RuntimeError(
                    f"{part!r}{where} has not made its weights yet, since it does not know the size of its input: "
                    f"call the model on data once, or {type(self).__name__}.build(shape of one sample), or give the "
                    "layer in_features="
                )
        return list(found.items())

    # ---- its state ----
    def state_dict(self) -> State:
        """A copy of every parameter and buffer by path, for `tg.save` and `load_state_dict`."""
        return {path: copied(t) for path, t in self._tensors()}

    @foreign.answering
    def load_state_dict(self, state: Mapping[str, TensorLike]) -> None:
        """Write the values of a state into this module's parameters and buffers, in place.

        Args:
            state: Tensors or arrays by path, as `state_dict` gives them.

        Raises:
            ValueError: A path is missing or unexpected, or a shape or dtype differs. Then nothing is loaded.
        """
        own, state = dict(self._tensors()), state_given("load_state_dict", state)
        faults = [f"missing: {path}" for path in own if path not in state]
        faults += [f"unexpected: {path}{hint(path, own)}" for path in state if path not in own]
        given = {path: v if isinstance(v, Tensor) else tensor(v) for path, v in state.items() if path in own}
        for path, value in given.items():
            for what, of in (("shape", lambda t: t.shape), ("dtype", lambda t: name_of(t.dtype))):
                if of(own[path]) != of(value):
                    faults.append(f"{what} of {path}: expected {of(own[path])}, got {of(value)}")
        if faults:
            raise ValueError(
                f"load_state_dict: this state is not of this {type(self).__name__}, and nothing was loaded:\n  "
                + "\n  ".join(faults)
            )
        moved = {path: value.detach().to(own[path].device) for path, value in given.items()}
        with uninterrupted():
            for path, value in moved.items():
                own[path].assign(value)

    # ---- its modes and its place ----
    def train(self, mode: bool = True) -> "Module":
        """Switch this module and all inside to training (dropout drops, …); returns the module.

        Args:
            mode: True for training, False for evaluation.
        """
        mode = truth(f"{type(self).__name__}.train: mode", mode)
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Switch this module and all inside to evaluation: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, value: bool = True) -> "Module":
        """Freeze (False) or unfreeze all parameters; returns the module.

        Args:
            value: Whether the parameters require grad.
        """
        for parameter in self.parameters():
            parameter.requires_grad_(value)
        return self

    @property
    def trainable(self) -> bool:
        """Keras's word for `requires_grad_`: set it to False to freeze all parameters inside, before or after they are
        made. True if one of them is trained. After a change, compile the model again."""
        parameters = [t for _, t in walk(self, "", set()) if isinstance(t, Parameter)]
        return any(p.requires_grad for p in parameters) if parameters else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = truth(f"{type(self).__name__}.trainable", value)
        for _, part in walk(self, "", set()):
            if isinstance(part, Module):
                part._trainable = value
            elif isinstance(part, Parameter):
                part.requires_grad_(value)

    def keep_frozen(self) -> None:
        """Freeze parameters that were made just now in a module that was frozen before."""
        if not self._trainable:
            self.trainable = False

    @property
    def name(self) -> str:
        """What `Sequential.get_layer` and Keras call it: "dense", in a Sequential "dense_1", …; it may be set."""
        return self._name or snake_case(type(self).__name__)

    @name.setter
    def name(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise TypeError(f"{type(self).__name__}.name: expected a text, got {value!r}")
        self._name = value

    def get_weights(self) -> list[Array]:
        """Copies of all parameters and buffers as NumPy arrays, in the order they were defined."""
        return [t.numpy().copy() for _, t in self._tensors()]

    def set_weights(self, weights: Sequence[TensorLike]) -> None:
        """Write what `get_weights` gave into the parameters and buffers, in place.

        Args:
            weights: An array for each parameter and buffer. Of another number or shape: ValueError, nothing is written.
        """
        tensors = self._tensors()
        given = [w if isinstance(w, Tensor) else tensor(w) for w in weights]
        if len(given) != len(tensors):
            paths = ", ".join(path for path, _ in tensors)
            raise ValueError(f"set_weights: expected {len(tensors)} arrays ({paths}), got {len(given)}")
        self.load_state_dict({path: new.astype(t.dtype) for (path, t), new in zip(tensors, given)})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters.

        Args:
            set_to_none: PyTorch's. Must be True: gradients are dropped and never filled with 0.
        """
        drop_gradients(self.parameters(), set_to_none)

    def to(self, place: str | DTypeLike) -> "Module":
        """Move or convert all parameters and buffers in place: they stay the objects they are. Returns the module.

        Args:
            place: A backend or device, "cupy", "cpu", "cuda:1", or a floating dtype.
        """
        to_dtype = not isinstance(place, str) or place in DTYPE_NAMES
        if to_dtype and not is_floating(as_dtype(place, "to")):
            raise TypeError(f"to: parameters are floating-point numbers and cannot become {place!r}")
        tensors = [t for _, t in self._tensors() if is_floating(t.dtype) or not to_dtype]
        grads = [None if t.grad is None else t.grad.to(place) for t in tensors]
        moved = [(t, t.detach().to(place).data, grad) for t, grad in zip(tensors, grads, strict=True)]
        with uninterrupted():
            for t, data, grad in moved:
                if data is not t.data:
                    t._grad = None  # for a moment the two would not fit
                    t.data, t.grad, t._version = data, grad, writes.next_serial()
                    writes.happened(t._version)
        return self

    # ---- shapes ----
    def build(self, shape: ShapeLike) -> Shape:
        """Have every layer inside make its weights for samples of this shape; returns the shape of the output.

        Args:
            shape: The shape of one sample; a leading None is dropped.
        """
        return self.infer_shape(sample_shape("build: shape", shape))

    def infer_shape(self, shape: Shape) -> Shape:
        """The output's shape for one sample of `shape`, making the weights that wait for it. Here by a forward pass of
        one sample of zeros, in evaluation mode; layers that know better override this.

        Args:
            shape: The shape of one sample.
        """
        modes = [(module, module.training) for _, module in self.named_modules()]
        place = next((t.device for _, t in walk(self, "", set()) if isinstance(t, Tensor)), None)
        try:
            self.eval()
            with no_grad():
                out = self(zeros((1, *shape), dtype="int64" if self.takes_integers else None, device=place))
        finally:
            for module, mode in modes:
                module.training = mode
        return tuple(out.shape[1:])

    # ---- to be read ----
    def config(self) -> Config:
        """The constructor's arguments that make this layer again, by name; callables known by name as that name."""
        values = {}
        for name in constructor_options(type(self)):
            if name not in vars(self) and not hasattr(type(self), name):
                raise AttributeError(
                    f"config: the constructor of {type(self).__name__} takes {name!r}, and the module keeps no "
                    f"attribute of that name: write self.{name} = {name} in it, or a config() of your own"
                )
            values[name] = getattr(self, name)
        return {name: NAMES.get(v, v) if callable(v) else v for name, v in values.items()}

    def summary(self, shape: ShapeLike | None = None) -> str:
        """A table of the layers with their output shapes and numbers of parameters; print it.

        Args:
            shape: The shape of one sample; None is the input_shape, where known.
        """
        from tapegrad.nn.summary import summary

        return summary(self, self.input_shape if shape is None else sample_shape("summary: shape", shape))

    def _shown(self) -> Iterator[tuple[str, object]]:
        """The constructor's arguments that differ from the defaults and that the module keeps under their names."""
        try:
            values = self.config()
        except AttributeError:
            values = vars(self)
        for name, option in constructor_options(type(self)).items():
            if name not in values:
                continue
            value, usual = values[name], option.default
            usual = name_of(get_default_dtype()) if name == "dtype" and usual is None else usual
            same = value is usual or (isinstance(value, (str, int, float, tuple)) and value == usual)
            if not same and not isinstance(value, (Module, Tensor)):
                yield name, value

    @recursive_repr("(the module around this one)")
    def __repr__(self) -> str:
        from tapegrad.nn.summary import children

        args = [f"{name}={v!r}" for name, v in self._shown()]
        parts = [
            f"  {name}: {line}"
            for name, part in children(self)
            for line in [repr(part).replace("\n", "\n  ")]
        ]
        inside = ", ".join(args) + ("\n" + "\n".join(parts) + "\n" if parts else "")
        return f"{type(self).__name__}({inside})"

    def _repr_html_(self) -> str:
        from tapegrad.nn.summary import as_html

        return as_html(self)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            known = [*vars(self), *dir(type(self))]
            raise foreign.no_attribute(type(self).__name__, "module", name, known)


def walk(value: object, path: str, seen: set[int], found: "Found | None" = None) -> "Found":
    """Every Module, Parameter and Buffer in a value, itself included, with its path; each object once."""
    found = [] if found is None else found
    if isinstance(value, WALKED) and id(value) not in seen:
        seen.add(id(value))
        inside: Any = ()
        if isinstance(value, Module):
            inside = getattr(type(value), "_named_parts", lambda m: vars(m).items())(value)
        elif not isinstance(value, Tensor):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
        if isinstance(value, (Module, Parameter, Buffer)):
            found.append((path, value))
        for name, part in inside:
            if type(part) not in PLAIN and isinstance(part, WALKED):
                walk(part, f"{path}.{name}" if path else str(name), seen, found)
    return found


foreign.answering_methods(
    Module, "parameters", "named_parameters", "named_buffers", "named_modules", "state_dict", "train", "eval",
    "requires_grad_", "to", "build", "summary",
)  # fmt: skip
WALKED = (Module, Parameter, Buffer, list, tuple, dict)
# Most attributes: it takes less time to see that than that they are none of WALKED.
PLAIN = frozenset((str, int, float, bool, type(None)))
Found: TypeAlias = list[tuple[str, Module | Parameter | Buffer]]
if TYPE_CHECKING:

    class Layer(Module):
        """What a type checker knows of our own layers: a tensor in, a tensor out."""

        def __call__(self, x: TensorLike, /) -> Tensor: ...
else:
    Layer = Module
