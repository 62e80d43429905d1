"""Training loops as people write them: counters, buffers, modes, freezing, hooks."""

import collections
import math
import weakref
from typing import Any

import numpy as np

import tapegrad as tg
from small_training import Trainer, batch, model, trained
from surroundings import T, Table, ones_layer, x2

nn, optim, F = tg.nn, tg.optim, tg.nn.functional
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager


# ---- counters, histories, buffers ----
@compiled
def early_stopping_outside(J: Any) -> Any:
    t = Trainer()
    t.best, t.bad, t.history = math.inf, 0, []
    f = J(t.step)
    for i in range(9):
        value = f(batch(i)).item()
        t.history.append(value)
        t.bad = 0 if value < t.best else t.bad + 1
        t.best = min(t.best, value)
        yield value, t.bad


@eager("best", "float", "item")
def early_stopping_inside(J: Any) -> Any:
    t = Trainer()
    t.best, t.bad = math.inf, 0

    def step(x: Any) -> Any:
        loss = t.step(x)
        value = loss.item()
        t.best, t.bad = (value, 0) if value < t.best else (t.best, t.bad + 1)
        return loss

    f = J(step)
    for i in range(7):
        yield f(batch(i)), t.bad, t.best


@either("memory")
def a_replay_buffer_read_inside(J: Any) -> Any:
    memory: Any = collections.deque(maxlen=4)
    t = Trainer(lambda self, x: (self.m(tg.concat(list(memory))) ** 2).mean())
    return trained(J, t, lambda i: memory.append(batch(i)), 14)


@compiled
def a_batch_in_an_attribute(J: Any) -> Any:
    """As in Lightning: the step reads self.batch, which is bound at each call."""
    t = Trainer(lambda self, x: (self.m(self.batch) ** 2).mean())
    return trained(J, t, lambda i: setattr(t, "batch", batch(i)), 14)


@either("total")
def a_running_total_of_losses(J: Any) -> Any:
    t = Trainer()
    t.total = tg.zeros(())

    def step(x: Any) -> Any:
        loss = t.step(x)
        t.total = t.total + loss
        return loss

    f = J(step)
    for i in range(7):
        yield f(batch(i)), t.total * 1.0


@eager("losses")
def a_list_of_losses_of_the_step(J: Any) -> Any:
    losses: list[Any] = []
    t = Trainer()

    def step(x: Any) -> Any:
        losses.append(t.step(x))
        return losses[-1] * 1.0

    f = J(step)
    for i in range(7):
        yield f(batch(i)), len(losses)


@compiled
def statistics_of_batches_by_hand(J: Any) -> Any:
    class Norm(nn.Module):
        def __init__(self) -> None:
            self.mean, self.var = nn.Buffer(tg.zeros(2)), nn.Buffer(tg.ones(2))

        def forward(self, x: Any) -> Any:
            if not self.training:
                return (x - self.mean) / tg.sqrt(self.var + 1e-3)
            mean = x.mean(axis=0)
            self.mean.assign(0.9 * self.mean + 0.1 * mean.detach())
            return x - mean

    m = Norm()
    f = J(lambda x: m(x) * 1.0)
    for i in range(20):
        m.train(i % 8 < 4)
        yield f(tg.concat([batch(i), batch(i + 1)])), m.mean * 1.0


# ---- modes, freezing, hooks ----
@compiled(programs=2)
def training_and_evaluation_in_turn(J: Any) -> Any:
    m = nn.Sequential(nn.Dense(4, in_features=2), nn.Dropout(0.5))
    m.build((2,))
    f = J(lambda x: m(x).detach())
    for i in range(16):
        m.train(i % 2 == 0)
        yield f(batch(i))


@eager("differentiated")
def gradients_off_and_on(J: Any) -> Any:
    m = model()
    f = J(lambda x: m(x) * 2.0)
    for i in range(13):
        with tg.no_grad() if i % 2 else tg.enable_grad():
            y = f(batch(i))
        yield y.detach(), y.requires_grad if i % 2 else True


@compiled(programs=2)
def halves_that_are_trained_in_turn(J: Any) -> Any:
    t = Trainer()

    def before(i: int) -> None:
        t.m.layers[0].requires_grad_(i % 2 == 0)
        t.m.layers[1].requires_grad_(i % 2 == 1)

    return trained(J, t, before, 18)


@compiled
def a_backbone_that_is_thawed(J: Any) -> Any:
    t = Trainer()
    t.m.layers[0].requires_grad_(False)
    return trained(J, t, lambda i: t.m.layers[0].requires_grad_(True) if i == 5 else None, 12)


@compiled
def hooks_in_a_registry(J: Any) -> Any:
    class Hooked(nn.Module):
        def __init__(self) -> None:
            self.inner, self.hooks = ones_layer(), collections.OrderedDict()

        def forward(self, x: Any) -> Any:
            y = self.inner(x)
            for hook in self.hooks.values():
                y = hook(self, x, y)
            return y

    m = Hooked()
    f = J(lambda x: m(x).detach())
    for i in range(16):
        if i == 4:
            m.hooks["double"] = lambda m, x, y: y * 2
        if i == 8:
            m.hooks["shift"] = lambda m, x, y: y + 1
        if i == 12:
            del m.hooks["double"]
        yield f(batch(i))


@eager("seen")
def a_hook_that_collects_activations(J: Any) -> Any:
    m, seen = ones_layer(), {}

    def forward(x: Any) -> Any:
        y = m(x)
        seen["y"] = y.detach()
        return y.detach() * 1.0

    f = J(forward)
    for i in range(6):
        yield f(batch(i)), seen["y"] * 1.0


@compiled
def callbacks_of_weak_references_outside(J: Any) -> Any:
    t = Trainer()
    registry = weakref.WeakSet([t])
    f = J(t.step)
    for i in range(8):
        yield f(batch(i)), len(registry)


@compiled
def a_parameter_shared_by_two_layers_is_untied(J: Any) -> Any:
    a, b = ones_layer(), ones_layer(kernel="zeros")
    b.kernel = a.kernel
    f = J(lambda x: b(a(x)).detach())
    for i in range(9):
        if i == 4:
            b.kernel = nn.Parameter(tg.full((2, 2), 3.0))
        yield f(batch(i))


@compiled
def parameters_given_by_groups(J: Any) -> Any:
    """A list of parameters by hand grows: the new one is trained."""
    a, b = T([1.0, 2.0]).requires_grad_(), T([3.0, 4.0]).requires_grad_()
    parameters = [a]

    def step(x: Any) -> Any:
        a.grad = b.grad = None
        loss = ((a * x + b) ** 2).sum()
        loss.backward()
        for p in parameters:
            p.assign((p - 0.1 * p.grad).detach())
        return loss.detach()

    f = J(step)
    for i in range(10):
        if i == 5:
            parameters.append(b)
        yield f(x2() / 4), b.numpy()


@compiled
def an_empty_list_that_gets_a_parameter(J: Any) -> Any:
    """Only `parameters()` walks it."""

    class M(nn.Module):
        def __init__(self) -> None:
            self.inner, self.extra = ones_layer(1), []

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    m = M()
    f = J(lambda x: m(x).detach().sum() + sum((p.detach() * p.detach()).sum() for p in m.parameters()))
    for i in range(9):
        if i == 4:
            m.extra.append(nn.Parameter(T([5.0])))
        yield f(batch(i))


@compiled
def a_model_that_is_loaded(J: Any) -> Any:
    t = Trainer()
    saved = {k: v.numpy().copy() for k, v in t.m.state_dict().items()}
    return trained(
        J,
        t,
        lambda i: t.m.load_state_dict({k: tg.tensor(v) for k, v in saved.items()}) if i == 5 else None,
        10,
    )


@compiled
def weights_replaced_by_raw_arrays_outside(J: Any) -> Any:
    t = Trainer()

    def before(i: int) -> None:
        if i in (4, 8):
            for p in t.m.parameters():
                p.data = p.data * np.float32(0.5)

    return trained(J, t, before, 13)


@compiled
def a_gan_of_two_steps(J: Any) -> Any:
    g, d = Trainer(), Trainer()

    def discriminator(x: Any, z: Any) -> Any:
        loss = ((d.m(x) - 1.0) ** 2).mean() + (d.m(tg.concat([g.m(z)] * 2, axis=1).detach()) ** 2).mean()
        d.o.zero_grad()
        loss.backward()
        d.o.step()
        return loss.detach()

    def generator(z: Any) -> Any:
        loss = ((d.m(tg.concat([g.m(z)] * 2, axis=1)) - 1.0) ** 2).mean()
        g.o.zero_grad()
        loss.backward()
        g.o.step()
        return loss.detach()

    discriminator, generator = J(discriminator), J(generator)
    for i in range(9):
        yield discriminator(batch(i), batch(i + 1)), generator(batch(i + 2))


@compiled
def a_step_called_by_two_trainers(J: Any) -> Any:
    a, b = Trainer(), Trainer(lr=0.01)
    f = J(lambda t, x: Trainer.step(t, x))
    for i in range(16):
        yield f(a if i % 2 else b, batch(i))


def mean_square(y: Any) -> Any:
    return (y**2).mean()


@compiled
def a_default_that_is_replaced(J: Any) -> Any:
    def loss_of(y: Any, scale: Any = 1.0) -> Any:
        return mean_square(y) * scale

    t = Trainer(lambda self, x: loss_of(self.m(x)))
    return trained(J, t, lambda i: setattr(loss_of, "__defaults__", (2.0,)) if i == 5 else None, 11)


@compiled
def a_loss_of_another_class(J: Any) -> Any:
    class L1:
        def __call__(self, y: Any) -> Any:
            return tg.abs(y).mean()

    class L2(L1):
        def __call__(self, y: Any) -> Any:
            return (y**2).mean()

    loss = L2()
    t = Trainer(lambda self, x: loss(self.m(x)))
    return trained(J, t, lambda i: setattr(loss, "__class__", L1) if i == 5 else None, 11)


@compiled
def noise_of_tapegrads_own_stream(J: Any) -> Any:
    """Seeded again outside; draws go on as they do without."""
    f = J(lambda x: F.dropout(x, 0.5))
    for i in range(9):
        if i in (4, 7):
            tg.manual_seed(i)
        yield f(tg.ones(20))
