"""The table of layers: how each is made, and the shape of what it is called on."""

from typing import Any, NamedTuple

from activation_rows import ROWS as ACTIVATIONS
from keras_layers import KERAS, TORCH

from tapegrad import nn

# Options of Dense.
DENSE = [
    {"activation": None},
    {"activation": "relu"},
    {"activation": "softmax"},
    {"activation": "gelu"},
    {"activation": "tanh", "use_bias": False},
]


class Row(NamedTuple):
    name: str
    make: Any  # (dtype) -> the layer
    shape: tuple[int, ...]
    integers: int = 0  # the input is integers below this, if it is not 0


class Blocks(nn.Module):
    """Modules in a list and in a dict."""

    def __init__(self, dtype: str) -> None:
        self.blocks = nn.ModuleList(nn.Dense(5, "tanh", in_features=5, dtype=dtype) for _ in range(2))
        self.heads = nn.ModuleDict({"left": nn.Dense(2, in_features=5, dtype=dtype), "right": nn.Identity()})

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.heads["left"](x).sum() + self.heads["right"](x)


def options(given: dict[str, Any]) -> str:
    return ",".join(f"{k}={v}" for k, v in given.items())


ROWS = [
    *(
        Row(f"Dense({options(o)})", lambda dtype, o=o: nn.Dense(4, in_features=5, dtype=dtype, **o), (6, 5))
        for o in DENSE
    ),
    Row("Dense of more axes", lambda dtype: nn.Dense(4, in_features=5, dtype=dtype), (2, 3, 5)),
    Row("Linear", lambda dtype: nn.Linear(5, 4, dtype=dtype), (6, 5)),
    Row("Linear(bias=False)", lambda dtype: nn.Linear(5, 4, bias=False, dtype=dtype), (6, 5)),
    Row("Flatten", lambda dtype: nn.Flatten(), (2, 3, 4)),
    Row("Dropout", lambda dtype: nn.Dropout(0.4), (6, 5)),
    Row("Dropout(0)", lambda dtype: nn.Dropout(0), (6, 5)),
    Row("Activation", lambda dtype: nn.Activation("gelu"), (6, 5)),
    *(
        Row(
            f"{r.layer}({options(r.options)})",
            lambda dtype, r=r: getattr(nn, r.layer)(**r.options),
            (3, 4, 5),
        )
        for r in ACTIVATIONS
        if r.layer
    ),
    # Of Keras's and PyTorch's layers the first row of each class: test_same_layers.py compiles all of them.
    *{type(r.make("float32")): Row(r.name, r.make, r.shape, r.integers) for r in [*KERAS, *TORCH][::-1]}.values(),
    Row("Embedding with padding", lambda dtype: nn.Embedding(7, 3, padding_idx=2, dtype=dtype), (4, 5), 7),
    *(Row(kind, lambda dtype, kind=kind: getattr(nn, kind)(0.4), (3, *(4,) * (int(kind[-2]) + 1)))
      for kind in ("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Dropout1d", "Dropout2d", "Dropout3d")),
    *(Row(kind, lambda dtype, kind=kind: getattr(nn, kind)(0.4), (6, 5))
      for kind in ("AlphaDropout", "GaussianDropout", "GaussianNoise")),
    Row("Residual", lambda dtype: nn.Residual(nn.Dense(5, "tanh", in_features=5, dtype=dtype), nn.Dropout(0.3)),
        (6, 5)),
    *(Row(f"Parallel {join}", lambda dtype, join=join: nn.Parallel(
        nn.Dense(5, "tanh", in_features=5, dtype=dtype), nn.Identity(), join=join), (6, 5))
      for join in ("concat", "sum", "product", "mean", "max", "min")),
    Row("MultiHeadAttention", lambda dtype: nn.MultiHeadAttention(2, 3, in_features=4, dtype=dtype), (2, 3, 4)),
    Row("TransformerEncoderLayer", lambda dtype: nn.TransformerEncoderLayer(
        4, 2, 5, 0.1, "gelu", batch_first=True, dtype=dtype), (2, 3, 4)),
    Row("SinePositionEncoding", lambda dtype: nn.Residual(nn.SinePositionEncoding()), (2, 3, 4)),
    Row("PositionEmbedding", lambda dtype: nn.Residual(nn.PositionEmbedding(5, in_features=4, dtype=dtype)), (2, 3, 4)),
    Row("ModuleList and ModuleDict", Blocks, (6, 5)),
    Row(
        "Sequential",
        lambda dtype: nn.Sequential(
            nn.Dense(4, "tanh", in_features=3, dtype=dtype),
            nn.Dropout(0.3),
            nn.Sequential(nn.Dense(5, "relu", in_features=4, dtype=dtype), nn.Softmax()),
            nn.Flatten(),
        ),
        (6, 2, 3),
    ),
]  # fmt: skip
