"""Pooling, up-sampling, padding and cropping under Keras's names, channels last."""

from functools import partial

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import one_of, truth
from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.ops import broadcast_p, pad, reshape_p
from tapegrad.autograd.ops.windows import Border, window_counts
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn import window_docs as docs
from tapegrad.nn import windows as w
from tapegrad.nn.aliases import BorderLike, Sizes
from tapegrad.nn.checks import sizes
from tapegrad.nn.module import Layer
from tapegrad.nn.resizing import adaptive_average, adaptive_max, resized
from tapegrad.nn.shapes import Shape
from tapegrad.nn.window_docs import described


class _ByAxis(Layer):
    """Of inputs with a number of axes between the batch and the channels."""

    axes = 2

    def _input(self, x: TensorLike) -> Tensor:
        return w.as_floats(repr(self), x, self.axes)

    def _lengths(self, shape: Shape) -> Shape:
        if len(shape) != self.axes + 1:
            raise ValueError(
                f"{self!r}: expected samples of {self.axes + 1} axes, (*lengths, channels), got shape {tuple(shape)}"
            )
        return shape[:-1]


class _Pool(_ByAxis):
    made_of: frozenset[str] = frozenset()  # there are no weights
    checks = {"pool_size": sizes, "strides": sizes, "padding": partial(one_of, known=("valid", "same"))}

    def __init__(self, pool_size: Sizes = 2, strides: Sizes | None = None, padding: str = "valid") -> None:
        self.pool_size, self.strides, self.padding = pool_size, strides, padding

    def agree(self) -> None:
        name = type(self).__name__
        w.per_axis(f"{name}: pool_size", self.pool_size, self.axes)
        if self.strides is not None:
            w.per_axis(f"{name}: strides", self.strides, self.axes)

    def infer_shape(self, shape: Shape) -> Shape:
        lengths, name = self._lengths(shape), type(self).__name__
        window = w.per_axis(name, self.pool_size, self.axes)
        strides = window if self.strides is None else w.per_axis(name, self.strides, self.axes)
        ones = (1,) * self.axes
        border = w.border_of(name, self.padding, lengths, window, strides, ones)
        counts = window_counts(lengths, window, strides, border, ones)
        w.need_windows(name, lengths, counts, window)
        return (*counts, shape[-1])


class _MaxPooling(_Pool):
    def forward(self, x: TensorLike) -> Tensor:
        return w.max_pool(self._input(x), self.pool_size, self.strides, self.padding)


class _AveragePooling(_Pool):
    def forward(self, x: TensorLike) -> Tensor:
        return w.average_pool(self._input(x), self.pool_size, self.strides, self.padding)


class _Global(_ByAxis):
    checks = {"keepdims": truth}

    def __init__(self, keepdims: bool = False) -> None:
        self.keepdims = keepdims

    def infer_shape(self, shape: Shape) -> Shape:
        self._lengths(shape)
        return (*((1,) * self.axes if self.keepdims else ()), shape[-1])


class _GlobalAverage(_Global):
    def forward(self, x: TensorLike) -> Tensor:
        return self._input(x).mean(axis=tuple(range(1, self.axes + 1)), keepdims=self.keepdims)


class _GlobalMax(_Global):
    def forward(self, x: TensorLike) -> Tensor:
        return self._input(x).max(axis=tuple(range(1, self.axes + 1)), keepdims=self.keepdims)


class _Adaptive(_ByAxis):
    checks = {"output_size": sizes}

    def __init__(self, output_size: Sizes) -> None:
        self.output_size = output_size

    def agree(self) -> None:
        self._sizes()

    def _sizes(self) -> Shape:
        return w.per_axis(f"{type(self).__name__}: output_size", self.output_size, self.axes)

    def infer_shape(self, shape: Shape) -> Shape:
        self._lengths(shape)
        return (*self._sizes(), shape[-1])


class _AdaptiveAverage(_Adaptive):
    def forward(self, x: TensorLike) -> Tensor:
        return adaptive_average(self._input(x), self._sizes())


class _AdaptiveMax(_Adaptive):
    def forward(self, x: TensorLike) -> Tensor:
        return adaptive_max(self._input(x), self._sizes())


class _UpSampling(_ByAxis):
    size: Sizes
    interpolation = "nearest"
    checks = {"size": sizes}

    def agree(self) -> None:
        self._sizes()

    def _sizes(self) -> Shape:
        return w.per_axis(f"{type(self).__name__}: size", self.size, self.axes)

    def infer_shape(self, shape: Shape) -> Shape:
        return (*(n * s for n, s in zip(self._lengths(shape), self._sizes(), strict=True)), shape[-1])

    def forward(self, x: TensorLike) -> Tensor:
        x = self._input(x)
        if self.interpolation == "bilinear":
            return resized(x, self.infer_shape(x.shape[1:])[:-1], "linear")
        pairs = [*zip(x.shape[1:-1], self._sizes(), strict=True)]
        between = [n for pair in pairs for n in pair]
        ones = [n for length in x.shape[1:-1] for n in (length, 1)]
        deep = reshape_p(x, shape=(x.shape[0], *ones, x.shape[-1]))
        spread = broadcast_p(deep, shape=(x.shape[0], *between, x.shape[-1]))
        larger = reshape_p(spread, shape=(x.shape[0], *self.infer_shape(x.shape[1:])))
        # Of these lengths the reshape needs no copy, and gives a view of x.
        return recorded_copy(larger) if all(1 in pair for pair in pairs) else larger


class UpSampling1D(_UpSampling):
    """(batch, length, channels) -> (batch, length * size, channels): each element `size` times

    Definition: Keras's UpSampling1D.

    Args:
        size: How often.
    """

    axes = 1

    def __init__(self, size: Sizes = 2) -> None:
        self.size = size


class UpSampling2D(_UpSampling):
    """(batch, height, width, channels) -> (batch, height * size, width * size, channels)

    Definition: Keras's UpSampling2D, channels last.

    Args:
        size: The factor; one number, or one for each axis.
        interpolation: "nearest": each element repeated; "bilinear": between the four nearest elements.
    """

    checks = {"size": sizes, "interpolation": partial(one_of, known=("nearest", "bilinear"))}

    def __init__(self, size: Sizes = 2, interpolation: str = "nearest") -> None:
        self.size, self.interpolation = size, interpolation


class UpSampling3D(_UpSampling):
    """(batch, *3 lengths, channels) -> (batch, *lengths * size, channels): each element repeated

    Definition: Keras's UpSampling3D, channels last.

    Args:
        size: How often; one number, or one for each axis.
    """

    axes = 3

    def __init__(self, size: Sizes = 2) -> None:
        self.size = size


class _AtEnds(_ByAxis):
    """What padding and cropping share: `option` is the name of how many elements."""

    option = ""

    def agree(self) -> None:
        self._pairs()

    def _pairs(self) -> Border:
        name, given = f"{type(self).__name__}: {self.option}", getattr(self, self.option)
        return (w.pair(name, given),) if self.axes == 1 else w.pairs(name, given, self.axes)

    def _tensor(self, x: TensorLike) -> Tensor:
        """The input, of a shape that `infer_shape` takes."""
        x = x if isinstance(x, Tensor) else tensor(x)
        self.infer_shape(x.shape[1:])
        return x


class _Padding(_AtEnds):
    option = "padding"
    checks = {"padding": sizes}

    def __init__(self, padding: BorderLike = 1) -> None:
        self.padding = padding

    def infer_shape(self, shape: Shape) -> Shape:
        each = zip(self._lengths(shape), self._pairs(), strict=True)
        return (*(n + a + b for n, (a, b) in each), shape[-1])

    def forward(self, x: TensorLike) -> Tensor:
        return pad(self._tensor(x), ((0, 0), *self._pairs(), (0, 0)))


class _Cropping(_AtEnds):
    option = "cropping"
    checks = {"cropping": sizes}

    def __init__(self, cropping: BorderLike = 1) -> None:
        self.cropping = cropping

    def infer_shape(self, shape: Shape) -> Shape:
        lengths, pairs = self._lengths(shape), self._pairs()
        if any(a + b >= n for n, (a, b) in zip(lengths, pairs, strict=True)):
            raise ValueError(f"{self!r}: nothing is left of an input of lengths {tuple(lengths)}")
        return (*(n - a - b for n, (a, b) in zip(lengths, pairs, strict=True)), shape[-1])

    def forward(self, x: TensorLike) -> Tensor:
        x = self._tensor(x)
        each = zip(x.shape[1:-1], self._pairs(), strict=True)
        return x[(slice(None), *(slice(a, n - b) for n, (a, b) in each))]


# ---- the public classes, one for each number of axes ----
@described(docs.POOL, what="The largest element", function="max_pool")
class MaxPooling1D(_MaxPooling):
    axes = 1


@described(docs.POOL, what="The largest element", function="max_pool")
class MaxPooling2D(_MaxPooling):
    axes = 2


@described(docs.POOL, what="The largest element", function="max_pool")
class MaxPooling3D(_MaxPooling):
    axes = 3


@described(docs.POOL, what="The mean", function="average_pool")
class AveragePooling1D(_AveragePooling):
    axes = 1


@described(docs.POOL, what="The mean", function="average_pool")
class AveragePooling2D(_AveragePooling):
    axes = 2


@described(docs.POOL, what="The mean", function="average_pool")
class AveragePooling3D(_AveragePooling):
    axes = 3


@described(docs.GLOBAL, what="The largest element")
class GlobalMaxPooling1D(_GlobalMax):
    axes = 1


@described(docs.GLOBAL, what="The largest element")
class GlobalMaxPooling2D(_GlobalMax):
    axes = 2


@described(docs.GLOBAL, what="The largest element")
class GlobalMaxPooling3D(_GlobalMax):
    axes = 3


@described(docs.GLOBAL, what="The mean")
class GlobalAveragePooling1D(_GlobalAverage):
    axes = 1


@described(docs.GLOBAL, what="The mean")
class GlobalAveragePooling2D(_GlobalAverage):
    axes = 2


@described(docs.GLOBAL, what="The mean")
class GlobalAveragePooling3D(_GlobalAverage):
    axes = 3


@described(docs.ADAPTIVE, what="The largest element")
class AdaptiveMaxPooling1D(_AdaptiveMax):
    axes = 1


@described(docs.ADAPTIVE, what="The largest element")
class AdaptiveMaxPooling2D(_AdaptiveMax):
    axes = 2


@described(docs.ADAPTIVE, what="The largest element")
class AdaptiveMaxPooling3D(_AdaptiveMax):
    axes = 3


@described(docs.ADAPTIVE, what="The mean")
class AdaptiveAveragePooling1D(_AdaptiveAverage):
    axes = 1


@described(docs.ADAPTIVE, what="The mean")
class AdaptiveAveragePooling2D(_AdaptiveAverage):
    axes = 2


@described(docs.ADAPTIVE, what="The mean")
class AdaptiveAveragePooling3D(_AdaptiveAverage):
    axes = 3


@described(docs.PAD, what="Zeros around x, along", option="padding")
class ZeroPadding1D(_Padding):
    axes = 1


@described(docs.PAD, what="Zeros around x, along", option="padding")
class ZeroPadding2D(_Padding):
    axes = 2


@described(docs.PAD, what="Zeros around x, along", option="padding")
class ZeroPadding3D(_Padding):
    axes = 3


@described(docs.PAD, what="x without its ends, along", option="cropping")
class Cropping1D(_Cropping):
    axes = 1


@described(docs.PAD, what="x without its ends, along", option="cropping")
class Cropping2D(_Cropping):
    axes = 2


@described(docs.PAD, what="x without its ends, along", option="cropping")
class Cropping3D(_Cropping):
    axes = 3
