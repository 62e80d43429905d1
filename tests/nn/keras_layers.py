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
    """

    name: str
    make: Any
    theirs: Any
    shape: tuple[int, ...]
    weights: tuple[str, ...] = ()
    integers: int = 0


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
]
