"""The table of layers: how each is made, and the shape of what it is called on."""

from typing import Any, NamedTuple

from activation_rows import ROWS as ACTIVATIONS

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
]
