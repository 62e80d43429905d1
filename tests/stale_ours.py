"""Objects of ours that a step reads by hand: schedules, and the modules in a module."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table
from tapegrad.optim import schedules

CASES = Table()
compiled, eager = CASES.compiled, CASES.eager
X = np.array([1.0, -2.0], "f4")


@compiled
def a_schedule_bound_anew(J: Any) -> Iterator[Any]:
    schedule: schedules.Schedule = schedules.Exponential(2.0, 0.5)
    f = J(lambda x: x * schedule(3))
    for rate in (2.0, 2.0, 5.0, 5.0, 5.0, 5.0):
        schedule = schedules.Exponential(rate, 0.5)
        yield f(tg.tensor(X))


@compiled
def a_schedule_in_a_list_of_settings(J: Any) -> Iterator[Any]:
    settings = {"scales": [schedules.Cosine(1.0, 10), schedules.Constant(2.0)]}
    f = J(lambda x: x * settings["scales"][0](2) + settings["scales"][1](2))
    for last in (10, 10, 20, 20, 20, 20):
        settings["scales"][0] = schedules.Cosine(1.0, last)
        yield f(tg.tensor(X))


@compiled
def a_schedule_inside_the_function_that_is_the_schedule(J: Any) -> Iterator[Any]:
    base: schedules.Schedule = schedules.Constant(0.1)
    w = tg.nn.Parameter(np.ones(2, "f4"))
    opt = tg.optim.SGD([w], lr=lambda n: base(n) * 0.5)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    f = J(step)
    for rate in (0.1, 0.1, 0.4, 0.4, 0.4, 0.4):
        base = schedules.Constant(rate)
        f(tg.tensor(X))
        yield w


@compiled
def a_schedule_that_a_layer_calls(J: Any) -> Iterator[Any]:
    class Warm(tg.nn.Module):
        def __init__(self):
            super().__init__()
            self.temperature = schedules.Warmup(schedules.Constant(2.0), 4)

        def forward(self, x):
            return x * self.temperature(2)

    layer = Warm()
    f = J(layer)
    for steps in (4, 4, 8, 8, 8, 8):
        layer.temperature = schedules.Warmup(schedules.Constant(2.0), steps)
        yield f(tg.tensor(X))


@compiled
def a_schedule_of_the_user_that_gives_one_number_in_an_array(J: Any) -> Iterator[Any]:
    base = tg.tensor([0.1])
    w = tg.nn.Parameter(np.ones(2, "f4"))
    opt = tg.optim.SGD([w], lr=lambda n: base * 0.5)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    f = J(step)
    for _ in range(5):
        f(tg.tensor(X))
        yield w


def reading(J: Any, read: Any, change: Any) -> Iterator[Any]:
    """A step that reads a model it does not call, which changes after the third call."""
    model = tg.nn.Sequential(tg.nn.Dense(2, in_features=2), tg.nn.Dropout(0.5), tg.nn.Dropout(0.25))
    for _, layer in model.named_modules():
        layer.decay = 0.5
    f = J(lambda x: x * read(model))
    for call in range(8):
        if call == 3:
            change(model)
        yield f(tg.tensor(X))


@compiled
def a_layer_appended_to_a_model_whose_modules_are_counted(J: Any) -> Any:
    yield from reading(J, lambda m: len(m.named_modules()), lambda m: m.append(tg.nn.Identity()))


@compiled
def a_module_given_to_a_model_that_is_summed_up(J: Any) -> Any:
    yield from reading(J, lambda m: len(m.summary()), lambda m: setattr(m, "extra", tg.nn.Identity()))


@compiled
def a_layer_of_another_class_among_the_modules(J: Any) -> Any:
    yield from reading(
        J,
        lambda m: sum(isinstance(part, tg.nn.Dropout) for _, part in m.named_modules()),
        lambda m: m.layers.__setitem__(1, tg.nn.Identity()),
    )


@compiled
def rates_of_the_dropouts_among_the_modules(J: Any) -> Any:
    def rates(model):
        return sum(part.rate for _, part in model.named_modules() if isinstance(part, tg.nn.Dropout))

    yield from reading(J, rates, lambda m: setattr(m.layers[1], "rate", 0.125))


@compiled
def training_flags_of_the_modules(J: Any) -> Any:
    yield from reading(
        J, lambda m: sum(part.training for _, part in m.named_modules()), lambda m: m.layers[1].eval()
    )


@compiled
def a_number_that_the_user_gave_to_every_module(J: Any) -> Any:
    yield from reading(
        J,
        lambda m: m.named_modules()[1][1].decay + dict(m.named_modules())["layers.2"].decay,
        lambda m: setattr(m.layers[0], "decay", 5.0),
    )


@eager("LBFGS.step")
def a_step_of_l_bfgs_inside(J: Any) -> Iterator[Any]:
    layer = tg.nn.Dense(1, in_features=2, kernel_initializer="ones")
    opt = tg.optim.LBFGS(layer, max_iter=3)

    def step(x):
        def closure():
            opt.zero_grad()
            loss = (layer(x) ** 2).mean()
            loss.backward()
            return loss

        return opt.step(closure)

    f = J(step)
    for _ in range(5):
        yield f(tg.tensor([X]))
        yield layer.kernel


def penalized(J: Any, change: Any) -> Iterator[Any]:
    """A step that adds the penalties of a model to its loss, whose rules change after the third call."""
    model = tg.nn.Sequential(tg.nn.Dense(2, in_features=2, kernel_regularizer=tg.nn.L2(0.5)), tg.nn.Dense(2))
    model.build((2,))
    f = J(lambda x: (x * model.penalty()).detach())
    for call in range(8):
        if call == 3:
            change(model.layers)
        yield f(tg.tensor(X))


@compiled
def the_factor_of_a_regularizer(J: Any) -> Any:
    yield from penalized(J, lambda layers: setattr(layers[0].kernel_regularizer, "l2", 0.25))


@compiled
def a_regularizer_replaced(J: Any) -> Any:
    yield from penalized(J, lambda layers: setattr(layers[0], "kernel_regularizer", tg.nn.L1(0.5)))


@compiled
def a_regularizer_given_to_another_layer(J: Any) -> Any:
    yield from penalized(J, lambda layers: setattr(layers[1], "kernel_regularizer", tg.nn.L1(0.5)))


@compiled
def a_regularizer_taken_away(J: Any) -> Any:
    yield from penalized(J, lambda layers: setattr(layers[0], "kernel_regularizer", None))


@compiled
def a_regularizer_of_a_weight_that_is_frozen(J: Any) -> Any:
    yield from penalized(J, lambda layers: layers[0].kernel.requires_grad_(False))


@compiled
def the_limit_of_a_constraint(J: Any) -> Iterator[Any]:
    layer = tg.nn.Dense(2, in_features=2, kernel_constraint=tg.nn.MaxNorm(0.9))
    layer.kernel.assign(np.full((2, 2), 3.0, "f4"))

    def step(x):
        layer.constrain()
        return (layer(x[None]) + 0.0).detach()

    f = J(step)
    for limit in (0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5):
        layer.kernel_constraint.max_value = limit
        yield f(tg.tensor(X))


def asking(J: Any, ask: Any, made: Any, change: Any) -> Iterator[Any]:
    """A step that asks a tensor for its shape or dtype alone, and whose contents become another array."""
    t = made(np.ones((2, 3), "f4"))
    f = J(lambda x: x * ask(t))
    for call in range(8):
        if call == 3:
            change(t)
        yield f(tg.tensor(X))


def grown(t: Any) -> None:
    t.data = np.ones((5, 3), "f4")


@compiled
def the_shape_of_a_tensor(J: Any) -> Any:
    yield from asking(J, lambda t: t.shape[0], tg.tensor, grown)


@compiled
def the_length_of_a_parameter(J: Any) -> Any:
    yield from asking(J, len, tg.nn.Parameter, grown)


@compiled
def the_shape_of_a_buffer_by_another_function(J: Any) -> Any:
    yield from asking(J, lambda t: tg.ones_like(t).sum(), tg.nn.Buffer, grown)


@compiled
def the_dtype_of_a_tensor(J: Any) -> Any:
    yield from asking(
        J,
        lambda t: tg.finfo(t.dtype).bits,
        tg.tensor,
        lambda t: setattr(t, "data", t.data.astype("float64")),
    )


@compiled
def the_shape_of_a_tensor_whose_numbers_lead_to_nothing(J: Any) -> Any:
    def ask(t):
        t.sum()
        return t.shape[0]

    yield from asking(J, ask, tg.tensor, grown)


LABELLED = {
    "nll": lambda p, t: tg.nn.losses.nll_loss(p, t),
    "nll with weights": lambda p, t: tg.nn.losses.nll_loss(p, t, class_weight=[1.0, 2.0, 1.0]),
    "cross-entropy": lambda p, t: tg.nn.losses.cross_entropy(p, t),
    "smoothed": lambda p, t: tg.nn.losses.cross_entropy(p, t, label_smoothing=0.1),
    "PyTorch's": lambda p, t: tg.nn.CrossEntropyLoss()(p, t),
    "PyTorch's nll": lambda p, t: tg.nn.NLLLoss()(p, t),
    "Keras's": lambda p, t: tg.nn.losses.sparse_categorical_crossentropy(tg.softmax(p), t),
}


@compiled
def class_numbers_that_become_wrong(J: Any) -> Iterator[Any]:
    p, t = tg.tensor(np.eye(4, 3, dtype="f4")), tg.tensor([0, 1, 2, 0])
    for loss in LABELLED.values():
        f = J(lambda p, loss=loss: loss(p, t))
        for labels in (
            [0, 1, 2, 0],
            [2, 1, 2, 0],
            [2, 1, 0, 0],
            [0, 1, 3, 0],
            [0, 1, -1, 0],
            *([[1, 1, 1, 0]] * 3),
        ):
            t.assign(tg.tensor(labels))
            try:
                yield f(p)
            except (ValueError, IndexError) as error:
                yield type(error).__name__


@eager("_version")
def how_often_a_tensor_was_written(J: Any) -> Iterator[Any]:
    w = tg.nn.Parameter(X)
    start = w._version
    f = J(lambda x: x * (2.0 if w._version > start else 1.0))
    for i in range(6):
        if i == 2:
            w.assign(w * 2)
        yield f(tg.tensor(X))


@compiled
def whether_a_gradient_is_retained(J: Any) -> Iterator[Any]:
    w = tg.nn.Parameter(X)
    f = J(lambda x: x * 2 if w.retains_grad else x)
    for i in range(6):
        if i == 2:
            w.retains_grad = True
        yield f(tg.tensor(X))
