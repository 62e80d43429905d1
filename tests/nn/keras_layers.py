"""The table of layers that Keras or PyTorch has under the same name: how each side makes it."""

from typing import Any, NamedTuple

from tapegrad import nn


class Same(NamedTuple):
    """
    make      (dtype) -> our layer
    theirs    (keras, dtype) -> Keras's layer; of PyTorch's, (torch.nn, dtype) -> its layer
    shape     of the input, the batch first
    weights   our names for their weights, in the order in which they have them
    integers  the input is integers below this, if it is not 0
    dtypes    in which they have it
    """

    name: str
    make: Any
    theirs: Any
    shape: tuple[int, ...]
    weights: tuple[str, ...] = ()
    integers: int = 0
    dtypes: tuple[str, ...] = ("float64", "float32")


def norm(name: str, shape: Any, weights: tuple[str, ...], **options: Any) -> Same:
    """A layer of one name and the same options on both sides, its weights drawn, so that each of them counts."""
    known = {k: v for k, v in options.items() if k != "in_features"}
    shown = ",".join(f"{k}={v}" for k, v in known.items())
    return Same(
        f"{name}({shown})-{'x'.join(map(str, shape))}",
        lambda dtype: getattr(nn, name)(dtype=dtype, **options),
        lambda keras, dtype: getattr(keras.layers, name)(dtype=dtype, **known),
        shape, weights,
    )  # fmt: skip


def plain(name: str, shape: Any, **options: Any) -> Same:
    """A layer without weights, of the same options on both sides."""
    shown = ",".join(f"{k}={v}" for k, v in options.items())
    return Same(
        f"{name}({shown})-{'x'.join(map(str, shape))}",
        lambda dtype: getattr(nn, name)(**options),
        lambda keras, dtype: getattr(keras.layers, name)(dtype=dtype, **options),
        shape,
        # TensorFlow pools over three axes, and interpolates, in float32.
        dtypes=("float32",) if "3D" in name or "interpolation" in options else ("float64", "float32"),
    )  # fmt: skip


KERNEL = ("kernel", "bias")
SEPARABLE = ("depthwise_kernel", "pointwise_kernel", "bias")
WINDOWS = [
    norm("Conv1D", (2, 5, 3), KERNEL, filters=2, kernel_size=3, padding="causal", dilation_rate=2, in_features=3),
    norm("Conv2D", (2, 5, 4, 2), KERNEL, filters=3, kernel_size=3, strides=2, padding="same", activation="tanh",
         in_features=2),
    norm("Conv2D", (1, 5, 4, 4), ("kernel",), filters=2, kernel_size=(2, 3), groups=2, use_bias=False, in_features=4),
    norm("Conv3D", (1, 3, 4, 3, 1), KERNEL, filters=2, kernel_size=(2, 1, 2), in_features=1),
    norm("Conv1DTranspose", (2, 3, 2), KERNEL, filters=3, kernel_size=2, strides=3, in_features=2),
    norm("Conv2DTranspose", (1, 3, 2, 2), KERNEL, filters=2, kernel_size=3, strides=2, padding="same", in_features=2),
    norm("Conv2DTranspose", (1, 2, 3, 2), KERNEL, filters=2, kernel_size=3, strides=2, padding="same",
         output_padding=1, in_features=2),
    norm("Conv3DTranspose", (1, 2, 1, 2, 2), KERNEL, filters=1, kernel_size=2, strides=2, in_features=2),
    norm("DepthwiseConv1D", (2, 5, 3), KERNEL, kernel_size=3, padding="same", in_features=3),
    norm("DepthwiseConv2D", (1, 4, 5, 2), KERNEL, kernel_size=2, depth_multiplier=2, in_features=2),
    norm("SeparableConv1D", (2, 4, 2), SEPARABLE, filters=3, kernel_size=3, depth_multiplier=2, in_features=2),
    norm("SeparableConv2D", (1, 4, 3, 2), SEPARABLE, filters=2, kernel_size=2, padding="same", in_features=2),
    plain("MaxPooling1D", (2, 5, 3), pool_size=3, strides=2),
    plain("MaxPooling2D", (2, 5, 4, 2), pool_size=(3, 2), strides=2, padding="same"),
    plain("MaxPooling3D", (1, 4, 2, 3, 2)),
    plain("AveragePooling1D", (2, 5, 3), pool_size=2),
    plain("AveragePooling2D", (2, 5, 4, 2), pool_size=3, strides=2, padding="same"),
    plain("AveragePooling3D", (1, 4, 2, 3, 2), pool_size=(2, 1, 3), strides=1),
    *(plain(f"Global{kind}Pooling{n}D", (2, 3, 2, 4)[:n + 1] + (2,), **({"keepdims": True} if n == 2 else {}))
      for kind in ("Max", "Average") for n in (1, 2, 3)),
    *(plain(f"Adaptive{kind}Pooling{n}D", (2, 5, 4, 3)[:n + 1] + (2,), output_size=2)
      for kind in ("Max", "Average") for n in (1, 2, 3)),
    plain("UpSampling1D", (2, 3, 2), size=3),
    plain("UpSampling2D", (2, 3, 2, 2), size=(2, 3)),
    plain("UpSampling2D", (1, 3, 2, 2), size=2, interpolation="bilinear"),
    plain("UpSampling3D", (1, 2, 1, 3, 2)),
    plain("ZeroPadding1D", (2, 3, 2), padding=(2, 1)),
    plain("ZeroPadding2D", (2, 3, 2, 1), padding=((1, 0), (2, 3))),
    plain("ZeroPadding3D", (1, 2, 1, 2, 2), padding=2),
    plain("Cropping1D", (2, 5, 2), cropping=2),
    plain("Cropping2D", (1, 4, 5, 2), cropping=((1, 0), (2, 1))),
    plain("Cropping3D", (1, 4, 3, 4, 1), cropping=(1, 1, 0)),
]  # fmt: skip
RECURRENT = ("kernel", "recurrent_kernel", "bias")


def both_ways(mode: str) -> Same:
    """A layer in both directions."""
    return Same(
        f"Bidirectional({mode})",
        lambda dtype: nn.Bidirectional(nn.GRU(2, return_sequences=mode == "sum", in_features=2, dtype=dtype), mode),
        lambda keras, dtype: keras.layers.Bidirectional(
            keras.layers.GRU(2, return_sequences=mode == "sum", dtype=dtype), mode, dtype=dtype),
        (2, 3, 2),
        tuple(f"{way}_layer.{name}" for way in ("forward", "backward") for name in RECURRENT),
    )  # fmt: skip


STEPS = [
    norm("SimpleRNN", (2, 3, 2), RECURRENT, units=2, activation="relu", in_features=2),
    norm("SimpleRNN", (2, 3, 2), RECURRENT[:2], units=2, use_bias=False, return_sequences=True, in_features=2),
    norm("LSTM", (2, 3, 2), RECURRENT, units=3, in_features=2),
    norm("LSTM", (2, 3, 2), RECURRENT, units=2, return_sequences=True, go_backwards=True,
         recurrent_activation="hard_sigmoid", in_features=2),
    norm("GRU", (2, 3, 2), RECURRENT, units=2, return_sequences=True, in_features=2),
    norm("GRU", (2, 3, 2), RECURRENT, units=2, reset_after=False, in_features=2),
    *(norm(kind, (2, 3, 2), RECURRENT, units=3, recurrent_activation="softmax", in_features=2)
      for kind in ("LSTM", "GRU")),
    norm("GRU", (2, 2, 2), RECURRENT[:2], units=2, use_bias=False, in_features=2),
    both_ways("concat"),
    both_ways("sum"),
]  # fmt: skip
BATCH = ("gamma", "beta", "moving_mean", "moving_variance")
KERAS = [
    norm("BatchNormalization", (6, 5), BATCH, in_features=5),
    norm("BatchNormalization", (4, 3, 5), BATCH, momentum=0.6, epsilon=0.1, in_features=5),
    norm("BatchNormalization", (4, 3, 2, 5), BATCH, axis=1, in_features=3),
    norm("BatchNormalization", (6, 5), BATCH[2:], center=False, scale=False, in_features=5),
    norm("LayerNormalization", (6, 5), ("gamma", "beta"), in_features=5),
    norm("LayerNormalization", (3, 4, 5), ("gamma", "beta"), axis=[1, 2], epsilon=0.2, in_features=[4, 5]),
    norm("LayerNormalization", (3, 4, 5), ("gamma",), axis=1, center=False, in_features=4),
    norm("RMSNormalization", (6, 5), ("scale",), in_features=5),
    norm("RMSNormalization", (3, 4, 5), ("scale",), axis=[1, 2], epsilon=0.1, in_features=[4, 5]),
    norm("GroupNormalization", (3, 4, 6), ("gamma", "beta"), groups=2, in_features=6),
    norm("GroupNormalization", (3, 6, 2, 2), ("gamma", "beta"), groups=3, axis=1, in_features=6),
    norm("GroupNormalization", (3, 4, 6), ("beta",), groups=-1, scale=False, in_features=6),
    *WINDOWS,
    *STEPS,
    Same("UnitNormalization", lambda dtype: nn.UnitNormalization(),
         lambda keras, dtype: keras.layers.UnitNormalization(dtype=dtype), (3, 4, 5)),
    Same("Embedding", lambda dtype: nn.Embedding(7, 3, dtype=dtype),
         lambda keras, dtype: keras.layers.Embedding(7, 3, dtype=dtype), (4, 5), ("embeddings",), 7),
    Same("Reshape", lambda dtype: nn.Reshape((5, -1)),
         lambda keras, dtype: keras.layers.Reshape((5, -1), dtype=dtype), (3, 2, 10)),
    Same("Permute", lambda dtype: nn.Permute((3, 1, 2)),
         lambda keras, dtype: keras.layers.Permute((3, 1, 2), dtype=dtype), (2, 3, 4, 5)),
    Same("RepeatVector", lambda dtype: nn.RepeatVector(3),
         lambda keras, dtype: keras.layers.RepeatVector(3, dtype=dtype), (4, 5)),
    Same("Identity", lambda dtype: nn.Identity(), lambda keras, dtype: keras.layers.Identity(dtype=dtype), (4, 5)),
]  # fmt: skip


def torchs(name: str, shape: Any, weights: tuple[str, ...], *args: Any, **options: Any) -> Same:
    shown = ",".join([*map(str, args), *(f"{k}={v}" for k, v in options.items())])
    return Same(
        f"{name}({shown})-{'x'.join(map(str, shape))}",
        lambda dtype: getattr(nn, name)(*args, dtype=dtype, **options),
        lambda torch, dtype: getattr(torch.nn, name)(*args, dtype=getattr(torch, dtype), **options),
        shape, weights,
    )  # fmt: skip


def bare(name: str, shape: Any, *args: Any, **options: Any) -> Same:
    """A layer without weights, which takes no dtype."""
    shown = ",".join([*map(str, args), *(f"{k}={v}" for k, v in options.items())])
    return Same(
        f"{name}({shown})-{'x'.join(map(str, shape))}",
        lambda dtype: getattr(nn, name)(*args, **options),
        lambda torch, dtype: getattr(torch.nn, name)(*args, **options),
        shape,
    )  # fmt: skip


PAIR = ("weight", "bias")
TRACKED = ("running_mean", "running_var", "num_batches_tracked")
TORCH = [
    torchs("BatchNorm1d", (6, 5), PAIR + TRACKED, 5),
    torchs("BatchNorm1d", (4, 5, 3), PAIR + TRACKED, 5, momentum=None, eps=0.1),
    torchs("BatchNorm1d", (6, 5), TRACKED, 5, affine=False),
    torchs("BatchNorm1d", (6, 5), PAIR, 5, track_running_stats=False),
    torchs("BatchNorm2d", (4, 3, 2, 5), PAIR + TRACKED, 3, momentum=0.3),
    torchs("BatchNorm3d", (2, 3, 2, 2, 3), PAIR + TRACKED, 3),
    torchs("LayerNorm", (6, 5), PAIR, 5),
    torchs("LayerNorm", (3, 4, 5), PAIR, (4, 5), eps=0.1),
    torchs("LayerNorm", (3, 4, 5), ("weight",), 5, bias=False),
    torchs("LayerNorm", (3, 4, 5), (), 5, elementwise_affine=False),
    torchs("RMSNorm", (6, 5), ("weight",), 5),
    torchs("RMSNorm", (3, 4, 5), ("weight",), [4, 5], eps=0.1),
    torchs("GroupNorm", (3, 6), PAIR, 2, 6),
    torchs("GroupNorm", (3, 6, 2, 2), PAIR, 3, 6, eps=0.1),
    torchs("GroupNorm", (3, 6, 4), (), 3, 6, affine=False),
    torchs("InstanceNorm1d", (4, 5, 3), (), 5),
    torchs("InstanceNorm1d", (4, 5, 3), PAIR + TRACKED, 5, affine=True, track_running_stats=True),
    torchs("InstanceNorm2d", (4, 3, 2, 5), TRACKED, 3, momentum=0.4, track_running_stats=True),
    torchs("InstanceNorm3d", (2, 3, 2, 2, 3), PAIR, 3, affine=True),
    torchs("Conv1d", (2, 3, 5), PAIR, 3, 2, 3, padding="same", dilation=2),
    torchs("Conv2d", (2, 2, 5, 4), PAIR, 2, 4, 3, stride=2, padding=1, groups=2),
    torchs("Conv2d", (1, 2, 4, 3), ("weight",), 2, 1, 2, padding=1, padding_mode="circular", bias=False),
    torchs("Conv2d", (1, 1, 4, 4), PAIR, 1, 2, 3, padding=(2, 1), padding_mode="reflect"),
    torchs("Conv3d", (1, 1, 3, 2, 4), PAIR, 1, 2, (2, 1, 3)),
    torchs("ConvTranspose1d", (2, 2, 3), PAIR, 2, 3, 3, stride=3, padding=1, output_padding=2),
    # More results than the last window reaches.
    torchs("ConvTranspose1d", (2, 2, 3), PAIR, 2, 3, 3, output_padding=1, dilation=2),
    torchs("ConvTranspose2d", (2, 2, 3, 2), PAIR, 2, 4, 2, output_padding=2, dilation=3, groups=2),
    torchs("ConvTranspose2d", (1, 4, 2, 3), PAIR, 4, 2, 2, stride=2, groups=2, dilation=2),
    torchs("ConvTranspose3d", (1, 2, 1, 2, 2), PAIR, 2, 1, 2, padding=(0, 1, 1), stride=2),
    bare("MaxPool1d", (2, 2, 6), 3, stride=2, padding=1),
    bare("MaxPool2d", (2, 2, 5, 6), 2, dilation=2, stride=1),
    bare("MaxPool3d", (1, 1, 3, 4, 5), 2, ceil_mode=True),
    bare("AvgPool1d", (2, 2, 6), 3, stride=2, padding=1, ceil_mode=True),
    bare("AvgPool2d", (2, 2, 5, 4), 3, 2, 1, count_include_pad=False),
    bare("AvgPool3d", (1, 1, 3, 4, 5), 2, padding=1, ceil_mode=True),
    *(
        bare(f"Adaptive{kind}Pool{n}d", (2, 2, 5, 4, 3)[: n + 2], 2)
        for kind in ("Avg", "Max")
        for n in (1, 2, 3)
    ),
    bare("AdaptiveAvgPool2d", (1, 2, 3, 4), (None, 3)),
    bare("Upsample", (2, 2, 3), scale_factor=1.7),
    bare("Upsample", (1, 2, 3, 2), size=(5, 3), mode="bilinear"),
    bare("Upsample", (2, 2, 5), scale_factor=1.1, mode="linear"),
    bare("Upsample", (1, 2, 5, 20), scale_factor=1.1, mode="bilinear"),
    bare("Upsample", (1, 2, 5, 20), scale_factor=1.1),
    bare("Upsample", (1, 2, 3, 2), scale_factor=2, mode="bilinear", align_corners=True),
]
