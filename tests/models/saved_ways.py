"""Ways to make a model, each to be saved and gone on with in another process: the rows of test_saved.py, which both
processes import."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import metrics
from tapegrad.models import (
    Callback,
    EarlyStopping,
    LearningRateScheduler,
    ReduceLROnPlateau,
    Sequential,
    register,
)
from tapegrad.nn import losses

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
CLASSES = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0)


# ---- code of a user's own ----
@register
class Scale(nn.Module):
    """With a parameter, a buffer that training changes, and an option that is an array."""

    def __init__(self, features: int, start: Any) -> None:
        self.features, self.start = features, start
        self.scale, self.seen = nn.Parameter(tg.tensor(start)), nn.Buffer(tg.zeros(1))

    def forward(self, x: Any) -> Any:
        if self.training:
            self.seen.assign(self.seen + 1.0)
        return x * self.scale


@register
class Block(nn.Module):
    """Holds layers, of which one makes its weights later."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside
        self.last = nn.Dense(4, "tanh")

    def forward(self, x: Any) -> Any:
        return self.last(self.inside(x))


@register
class Late(nn.Module):
    def __init__(self, units: int) -> None:
        self.units = units

    def build(self, shape: Any) -> None:
        self.kernel = nn.Parameter(0.1 * tg.ones((shape[-1], self.units)))

    def forward(self, x: Any) -> Any:
        return x @ self.kernel


@register
def pinball(y_true: Any, y_pred: Any, q: float = 0.9) -> Any:
    e = y_true - y_pred
    return tg.maximum(q * e, (q - 1) * e)


@register
class Focal(losses.Loss):
    def __init__(self, power: float, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.power = power

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return tg.abs(y_true - y_pred) ** self.power

    def config(self) -> dict[str, Any]:
        return {"power": self.power, "reduction": self.reduction}


@register
def largest(y_true: Any, y_pred: Any) -> Any:
    return tg.max(tg.abs(y_true - y_pred))


@register
class Hits:
    """A metric as Keras's are."""

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self.reset_state()

    def reset_state(self) -> None:
        self.hits = self.rows = 0

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        self.hits += int(((y_pred.numpy() > self.threshold) == (y_true.numpy() > 0.5)).sum())
        self.rows += len(y_true)

    def result(self) -> float:
        return self.hits / self.rows

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold}


@register
class Slow(optim.SGD):
    """An optimizer of one's own."""


@register
class Net(Sequential):
    """A model with options."""

    def __init__(self, hidden: int = 5) -> None:
        self.hidden = hidden
        super().__init__(nn.Dense(hidden, "relu", in_features=6), nn.Dense(1, "sigmoid"))


@register
class Doubled(Sequential):
    """A model with another forward, and a train step of its own."""

    def forward(self, x: Any) -> Any:
        return 0.5 * (super().forward(x) + super().forward(-x))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        loss = nn.functional.binary_cross_entropy(self(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}


register(lambda x: x * tg.sigmoid(1.5 * x), name="swish15")


# ---- the ways ----
def dense(last: Any = "sigmoid", units: int = 1) -> list[Any]:
    return [nn.Dense(8, "relu", in_features=6), nn.Dropout(0.2), nn.Dense(units, last)]


def made(
    layers: Any = None, optimizer: Any = "adam", loss: Any = "binary_crossentropy", measured: Any = ("accuracy",),
    prepare: Callable[[Any], Any] = lambda model: None, bind: Any = None, **options: Any,
) -> Sequential:  # fmt: skip
    tg.manual_seed(5)
    model = layers if isinstance(layers, Sequential) else Sequential(dense() if layers is None else layers)
    model.build((6,))
    prepare(model)
    model.compile(optimizer if bind is None else bind(model), loss, list(measured), **options)
    return model


def shared() -> list[Any]:
    layer = nn.Dense(6, "tanh", in_features=6)
    return [layer, nn.Dropout(0.1), layer, nn.Sequential(layer, nn.Dense(1, "sigmoid"))]


def called(layers: list[Any]) -> Sequential:
    """A model whose layers got their weights by a call, and that has not been told its input."""
    model = Sequential(layers)
    model(X[:2])
    model.compile("adam", "binary_crossentropy", ["accuracy"])
    return model


def tie(model: Any) -> None:
    model.layers[2].kernel = model.layers[0].kernel


def groups(model: Any) -> Any:
    first, *others = (layer.parameters() for layer in model.layers if layer.parameters())
    return optim.SGD(
        [{"params": first, "lr": 0.01, "momentum": 0.5}, {"params": [p for ps in others for p in ps]}], lr=0.1
    )


def switched(model: Any) -> Any:
    """An option that was on for a while leaves its part of the state."""
    optimizer = optim.Adam(model.parameters(), amsgrad=True)
    optimizer.amsgrad = False
    return optimizer


def frozen(model: Any) -> None:
    model.layers[0].requires_grad_(False)


def named(model: Any) -> None:
    model.layers[0].name = "first"


class Note(Callback):
    """Without a state: it counts in the model's learning rate."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.lr = 0.01 / (epoch + 1)


WAYS: dict[str, Callable[[], Sequential]] = {
    "plain": made,
    "frozen, Adam": lambda: made(prepare=frozen),
    "frozen, SGD": lambda: made(prepare=frozen, optimizer="sgd"),
    "trainable=False": lambda: made(prepare=lambda m: setattr(m.layers[2], "trainable", False)),
    "frozen before it was built": lambda: made(late_frozen()),
    "one parameter frozen": lambda: made(prepare=lambda m: m.layers[0].bias.requires_grad_(False)),
    "a shared layer": lambda: made(shared()),
    "tied weights": lambda: made(
        [nn.Dense(6, "relu", in_features=6), nn.Dropout(0.2), nn.Dense(6), nn.Dense(1, "sigmoid")], prepare=tie
    ),
    "named layers": lambda: made(prepare=named),
    "nested": lambda: made([nn.Flatten(), nn.Sequential(*dense(units=4)), Sequential(nn.Dense(1, "sigmoid"))]),
    "float64": lambda: made(prepare=lambda m: m.to("float64")),
    "torch's names": lambda: made([nn.Linear(6, 4), nn.LeakyReLU(0.1), nn.Linear(4, 1), nn.Sigmoid()]),
    "activation with options": lambda: made(
        [nn.Dense(8, partial(nn.activations.leaky_relu, negative_slope=0.4), in_features=6), nn.Dense(1, "sigmoid")]
    ),
    "bound by a list": lambda: made(bind=lambda m: optim.Adam(m.parameters(), lr=0.01)),
    "bound by names": lambda: made(bind=lambda m: optim.RMSprop(m.named_parameters())),
    "bound to the module": lambda: made(bind=lambda m: optim.Adam(m)),
    "parameter groups": lambda: made(bind=groups),
    "an option switched off": lambda: made(bind=switched),
    "PyTorch's form": lambda: made(optimizer=optim.SGD(lr=0.1, momentum=0.9, form="torch", weight_decay=1e-3)),
    "clipping": lambda: made(optimizer=optim.Adam(global_clipnorm=0.5)),
    "a loss object": lambda: made(loss=losses.BinaryCrossentropy()),
    "a loss with options": lambda: made(loss=losses.Huber(delta=0.3, reduction="sum")),
    "a loss in a partial": lambda: made(loss=partial(losses.binary_cross_entropy, label_smoothing=0.1)),
    "PyTorch's loss": lambda: made(dense(None), loss=nn.BCEWithLogitsLoss(pos_weight=np.array([2.0], "f"))),
    "a loss of one's own": lambda: made(loss=pinball),
    "a partial of one's own": lambda: made(loss=partial(pinball, q=0.2)),
    "a loss class of one's own": lambda: made(loss=Focal(1.5)),
    "metrics with options": lambda: made(
        measured=[metrics.get("accuracy", threshold=0.3, name="low"), "accuracy", metrics.get("auc"), "huber"]
    ),
    "logits": lambda: made(dense(None), loss=losses.BinaryCrossentropy(from_logits=True), measured=["accuracy", "f1"]),
    "metrics of one's own": lambda: made(measured=[largest, Hits(0.3), losses.Huber(delta=0.1)]),
    "a layer of one's own": lambda: made([Scale(6, np.linspace(1, 2, 6).astype("f")), *dense()]),
    "layers inside one's own": lambda: made([Block(nn.Sequential(nn.Dense(3, "gelu"))), nn.Dense(1, "sigmoid")]),
    "a layer that builds": lambda: made([Late(4), nn.ReLU(), nn.Dense(1, "sigmoid")]),
    "a function of one's own": lambda: made([nn.Dense(4, SWISH, in_features=6), nn.Dense(1, "sigmoid")]),
    "an initializer with options": lambda: made(
        [nn.Dense(4, bias_initializer=partial(nn.init.random_uniform, minval=-0.3, maxval=0.3)), nn.Dense(1, "sigmoid")]
    ),
    "an initializer of one's own": lambda: made(
        [nn.Dense(4, kernel_initializer=lambda shape: np.full(shape, 0.1)), nn.Dense(1, "sigmoid")]
    ),
    "an optimizer of one's own": lambda: made(optimizer=Slow(lr=0.05, momentum=0.9)),
    "called first": lambda: called([nn.Dense(4, "relu"), nn.Dropout(0.2), nn.Dense(1, "sigmoid")]),
    "called first, nested": lambda: called([nn.Residual(nn.Dense(6)), nn.Sequential(nn.Dense(1, "sigmoid"))]),
    "a model with options": lambda: made(Net(7)),
    "a model with its own forward and step": lambda: made(Doubled(dense()), measured=[]),
    "run eagerly": lambda: made(run_eagerly=True),
    "an emitter": lambda: made(emitter="numpy"),
    "many classes": lambda: made(dense("softmax", 3), loss="sparse_categorical_crossentropy"),
}  # fmt: skip


def late_frozen() -> list[Any]:
    first = nn.Dense(8, "relu")
    first.trainable = False
    return [first, nn.Dense(1, "sigmoid")]


SWISH = register.__globals__["REGISTERED"]["swish15"]
CALLBACKS: dict[str, Callable[[], list[Any]]] = {
    "no callback": list,
    "a schedule": lambda: [LearningRateScheduler(lambda epoch, lr: 0.7 * lr)],
    "a schedule of the epoch": lambda: [LearningRateScheduler(lambda epoch: 0.01 / (1 + epoch))],
    "one's own": lambda: [Note()],
    "early stopping": lambda: [EarlyStopping("loss", min_delta=1e-3, patience=4, restore_best_weights=True)],
    "a plateau": lambda: [ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05)],
}


def start(name: str) -> Sequential:
    """The model of a row, with the same initial weights each time."""
    tg.manual_seed(5)
    return WAYS[name]()


def targets(name: str) -> Any:
    return CLASSES if name == "many classes" else Y


def trained(model: Any, name: str, start: int, end: int, callbacks: Any = ()) -> Any:
    model.fit(
        X, targets(name), epochs=end, initial_epoch=start, batch_size=16, verbose=0, callbacks=list(callbacks),
        validation_split=0.2,
    )  # fmt: skip
    return model


def resume(folder: str) -> None:
    """In the other process: go on with every file, and save it again."""
    for number, name in enumerate(WAYS):
        model = Sequential.load(f"{folder}/half{number}", resume=True)
        trained(model, name, 2, 4).save(f"{folder}/resumed{number}")
    for number, name in enumerate(CALLBACKS):
        model = Sequential.load(f"{folder}/cut{number}", resume=True)
        trained(model, "plain", 3, 8, CALLBACKS[name]()).save(f"{folder}/went on{number}")
