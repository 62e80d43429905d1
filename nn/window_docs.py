"""The docstrings of convolution and pooling layers, for each number of axes."""

from collections.abc import Callable
from typing import TypeVar

Kind = TypeVar("Kind", bound=type)
AXES = {1: "one axis", 2: "two axes", 3: "three axes"}
LAST = {
    1: "(batch, length, channels)",
    2: "(batch, height, width, channels)",
    3: "(batch, *3 lengths, channels)",
}
FIRST = {
    1: "(batch, channels, length)",
    2: "(batch, channels, height, width)",
    3: "(batch, channels, *3 lengths)",
}


# ---- convolution, Keras's ----
SHARED = """strides: How far apart the windows are; one number, or one for each axis.
        padding: "valid": no zeros around x; "same": ceil(length / stride) windows{causal}. Or numbers: one for all,
            or a number or a pair (before, after) for each axis."""
TAIL = """activation: A name from `nn.activations`, a function x -> y, or None for none.
        use_bias: Whether there is a bias.
        {initializers}: Names from `nn.init`, or functions shape -> array.
        {regularizers}: Penalties of the weights, as of `nn.Dense`; in a loop of your own, `loss + model.penalty()`.
        {constraints}: What an optimizer's step leaves of the weights, as of `nn.Dense`.
        in_features: The number of channels of the input. With None the weights are made at the first call, or by
            `build(shape)`.
        input_shape: Keras's form of in_features: the shape of one sample.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The input has another number of axes or channels, or no window fits into it."""
DILATION = "dilation_rate: How far apart the elements of a window are; one number, or one for each axis."


def _tail(*weights: str) -> str:
    """The options that each weight has, and those after them."""
    kinds = ("initializer", "regularizer", "constraint")
    return TAIL.format(**{f"{kind}s": ", ".join(f"{w}_{kind}" for w in weights) for kind in kinds})


TAILS = {
    "kernel": _tail("kernel", "bias"),
    "depthwise": _tail("depthwise", "bias"),
    "separable": _tail("depthwise", "pointwise", "bias"),
}
CONV = """activation(convolution of x with kernel + bias) over {axes}, as `nn.functional.conv`

    x has the shape {shape} and any floating dtype; y has `filters` channels. `kernel` is a Parameter of shape
    (*window, channels / groups, filters), `bias` one of shape (filters,), or None. Definition and defaults: Keras's
    {name}, channels last. `nn.{torch}` is PyTorch's, channels first.

    Args:
        filters: The number of channels of the result.
        kernel_size: The lengths of a window; one number, or one for each axis.
        {shared}
        {dilation}
        groups: In how many groups channels and filters are; a filter sees the channels of its group.
        {tail}
    """
TRANSPOSE = """activation(transposed convolution of x with kernel + bias) over {axes}, as `F.conv_transpose`

    x has the shape {shape} and any floating dtype; y has `filters` channels. `kernel` is a Parameter of shape
    (*window, filters, channels), `bias` one of shape (filters,), or None. Definition and defaults: Keras's {name},
    channels last. `nn.{torch}` is PyTorch's, channels first.

    Args:
        filters: The number of channels of the result.
        kernel_size: The lengths of a window; one number, or one for each axis.
        strides: How far apart the windows are in the result; one number, or one for each axis.
        padding: "valid": y has length * stride + max(window - stride, 0) elements; "same": length * stride.
        output_padding: Another length of the result, as of `nn.functional.conv_transpose`; None: the lengths above.
        {dilation}
        {tail}
    """
DEPTHWISE = """activation(each channel convolved with kernels of its own + bias) over {axes}

    x has the shape {shape} and any floating dtype; y has channels * depth_multiplier channels. `kernel` is a
    Parameter of shape (*window, channels, depth_multiplier), `bias` one for each channel of y, or None. Definition and
    defaults: Keras's {name}, channels last.

    Args:
        kernel_size: The lengths of a window; one number, or one for each axis.
        {shared}
        depth_multiplier: How many kernels each channel has.
        {dilation}
        {tail}
    """
SEPARABLE = """activation(depthwise convolution of x, its channels mixed + bias) over {axes} (Chollet 2017, "Xception")

    x has the shape {shape} and any floating dtype; y has `filters` channels. `depthwise_kernel` is a Parameter of shape
    (*window, channels, depth_multiplier), `pointwise_kernel` one of shape (1, …, 1, channels * depth_multiplier,
    filters), `bias` one of shape (filters,), or None. Definition and defaults: Keras's {name}, channels last.

    Args:
        filters: The number of channels of the result.
        kernel_size: The lengths of a window; one number, or one for each axis.
        {shared}
        {dilation}
        depth_multiplier: How many kernels each channel has.
        {tail}
    """

# ---- convolution, PyTorch's ----
TAIL_FIRST = """bias: Whether there is a bias.
        {modes}
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.

    Raises:
        ValueError: The input has another number of axes or channels, or no window fits into it."""
TAIL_CONV = TAIL_FIRST.format(
    modes='padding_mode: What is around x: "zeros", "reflect", "replicate" or "circular".'
)
TAIL_TRANSPOSE = TAIL_FIRST.format(
    modes=f'{DILATION.replace("dilation_rate", "dilation")}\n        padding_mode: "zeros".'
)
CONV_FIRST = """convolution of x with weight + bias over {axes}, channels first

    x has the shape {shape}, y (batch, out_channels, *counts). `weight` is a Parameter of shape (out_channels,
    in_channels / groups, *window), `bias` one of shape (out_channels,), or None; both are drawn uniformly between
    ±1/sqrt(in_channels / groups * elements of the window). Order, defaults and names are PyTorch's. `nn.{keras}` is
    Keras's, channels last.

    Args:
        in_channels: The number of channels of x.
        out_channels: The number of channels of y.
        kernel_size: The lengths of a window; one number, or one for each axis.
        stride: How far apart the windows are; one number, or one for each axis.
        padding: The elements around x: one number, one for each axis, "valid" for none, or "same", with stride 1.
        dilation: How far apart the elements of a window are; one number, or one for each axis.
        groups: In how many groups the channels are; a channel of y sees those of its group.
        {tail}
    """
TRANSPOSE_FIRST = """transposed convolution of x with weight + bias over {axes}, channels first

    x has the shape {shape}, y (batch, out_channels, *lengths), of (length - 1) * stride - 2 * padding + dilation *
    (window - 1) + output_padding + 1. `weight` is a Parameter of shape (in_channels, out_channels / groups, *window),
    `bias` one of shape (out_channels,), or None; both are drawn uniformly between ±1/sqrt(out_channels / groups *
    elements of the window). Order, defaults and names are PyTorch's. `nn.{keras}` is Keras's, channels last.

    Args:
        in_channels: The number of channels of x.
        out_channels: The number of channels of y.
        kernel_size: The lengths of a window; one number, or one for each axis.
        stride: How far apart the windows are in y; one number, or one for each axis.
        padding: How many elements y has less at each end; one number, or one for each axis.
        output_padding: How many elements y has more at the end; one number, or one for each axis.
        groups: In how many groups the channels are.
        {tail}
    """

# ---- pooling, Keras's ----
POOL = """{what} of each window, channel by channel, over {axes}, as `nn.functional.{function}`

    x has the shape {shape}, y (batch, *counts, channels). Definition and defaults: Keras's {name}, channels last.

    Args:
        pool_size: The lengths of a window; one number, or one for each axis.
        strides: How far apart the windows are; None: as far as they are long.
        padding: "valid": windows inside x; "same": ceil(length / stride) windows, of the elements that are in x.

    Raises:
        ValueError: The input has another number of axes, or no window fits into it.
    """
GLOBAL = """{what} of each channel, over {axes}

    x has the shape {shape}, y (batch, channels). Definition: Keras's {name}, channels last.

    Args:
        keepdims: Whether the axes stay, with length 1.
    """
ADAPTIVE = """{what} of as many windows as y is to have, over {axes}

    x has the shape {shape}, y (batch, *output_size, channels). Window i of n goes from floor(i * length / n) to
    ceil((i + 1) * length / n). Definition: Keras's {name}, channels last, and PyTorch's.

    Args:
        output_size: The number of windows; one number, or one for each axis.
    """
PAD = """{what} {axes}

    x has the shape {shape}. Definition: Keras's {name}, channels last.

    Args:
        {option}: How many elements; one number for all{forms}.
    """

# ---- pooling, PyTorch's ----
MAX_FIRST = """The largest element of each window, channel by channel, over {axes}, channels first

    x has the shape {shape}, y (batch, channels, *counts). Order, defaults and names are PyTorch's.

    Args:
        kernel_size: The lengths of a window; one number, or one for each axis.
        stride: How far apart the windows are; None: as far as they are long.
        padding: How far windows may reach over the ends; at most half of their length.
        dilation: How far apart the elements of a window are.
        ceil_mode: Whether there is one more window that reaches over the end.

    Raises:
        ValueError: The input has another number of axes, or no window fits into it.
    """
AVERAGE_FIRST = """The mean of each window, channel by channel, over {axes}, channels first

    x has the shape {shape}, y (batch, channels, *counts). Order, defaults and names are PyTorch's.

    Args:
        kernel_size: The lengths of a window; one number, or one for each axis.
        stride: How far apart the windows are; None: as far as they are long.
        padding: The zeros around x; at most half of the window.
        ceil_mode: Whether there is one more window that reaches over the end.
        count_include_pad: Whether the zeros of the padding count.

    Raises:
        ValueError: The input has another number of axes, or no window fits into it.
    """
ADAPTIVE_FIRST = """{what} of as many windows as y is to have, over {axes}, channels first

    x has the shape {shape}, y (batch, channels, *output_size). Window i of n goes from floor(i * length / n) to
    ceil((i + 1) * length / n). Order and definition are PyTorch's.

    Args:
        output_size: The number of windows; one number, or for each axis one or None, for as many as x has elements.
    """


def described(text: str, shapes: dict[int, str] = LAST, **words: str) -> Callable[[Kind], Kind]:
    """Decorator: the docstring of a layer for its number of axes, `axes`."""

    def with_docstring(kind: Kind) -> Kind:
        n = kind.axes  # type: ignore[attr-defined]
        shared = SHARED.format(causal=', "causal": all of them before' if n == 1 else "")
        forms = ", or a pair (before, after)" + (" or a number for each axis" if n > 1 else "")
        said = {"axes": AXES[n], "shape": shapes[n], "shared": shared, "dilation": DILATION, "forms": forms}
        kind.__doc__ = text.format(name=kind.__name__, **said, **words)
        return kind

    return with_docstring
