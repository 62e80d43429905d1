"""Training loops as people write them: averages, targets, clipping, schedules."""

import copy
import math
from types import SimpleNamespace
from typing import Any

import tapegrad as tg
from small_training import Trainer, batch, trained
from surroundings import T, Table, x2

nn, optim, F = tg.nn, tg.optim, tg.nn.functional
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
LEARNING_RATE = 0.1


# ---- averages and targets ----
@compiled
def an_average_of_weights_that_assigns(J: Any) -> Any:
    t = Trainer()
    average = [nn.Buffer(p.detach() * 1.0) for p in t.m.parameters()]

    def step(x: Any) -> Any:
        loss = t.step(x)
        for a, p in zip(average, t.m.parameters()):
            a.assign(0.9 * a + 0.1 * p.detach())
        return loss

    f = J(step)
    for i in range(8):
        yield f(batch(i)), [a * 1.0 for a in average]


@either("average")
def an_average_of_weights_that_is_bound_anew(J: Any) -> Any:
    t = Trainer()
    average = {str(i): p.detach() * 1.0 for i, p in enumerate(t.m.parameters())}

    def step(x: Any) -> Any:
        loss = t.step(x)
        for i, p in enumerate(t.m.parameters()):
            average[str(i)] = 0.9 * average[str(i)] + 0.1 * p.detach()
        return loss

    f = J(step)
    for i in range(7):
        yield f(batch(i)), [a * 1.0 for a in average.values()]


@compiled
def an_average_whose_decay_warms_up(J: Any) -> Any:
    """The decay is an attribute that is set outside, a few times."""
    t = Trainer()
    average, t.decay = nn.Buffer(t.m.layers[0].kernel.detach() * 1.0), 0.5

    def step(x: Any) -> Any:
        loss = t.step(x)
        average.assign(t.decay * average + (1 - t.decay) * t.m.layers[0].kernel.detach())
        return loss

    f = J(step)
    for i in range(14):
        t.decay = 0.5 if i < 4 else 0.9 if i < 9 else 0.99
        yield f(batch(i)), average * 1.0


@compiled
def a_target_network_copied_every_few_steps(J: Any) -> Any:
    t = Trainer(lambda self, x: ((self.m(x) - self.target(x).detach() - 1.0) ** 2).mean())
    t.target = copy.deepcopy(t.m)

    def before(i: int) -> None:
        if i in (5, 10):
            t.target = copy.deepcopy(t.m)

    return trained(J, t, before, 15)


@compiled
def a_target_network_loaded_every_few_steps(J: Any) -> Any:
    t = Trainer(lambda self, x: ((self.m(x) - self.target(x).detach() - 1.0) ** 2).mean())
    t.target = copy.deepcopy(t.m)
    return trained(J, t, lambda i: t.target.load_state_dict(t.m.state_dict()) if i % 4 == 3 else None, 10)


@compiled
def a_soft_update_of_the_target(J: Any) -> Any:
    t = Trainer()
    target = copy.deepcopy(t.m)

    def update(tau: Any) -> None:
        for a, b in zip(target.parameters(), t.m.parameters()):
            a.assign((1 - tau) * a.detach() + tau * b.detach())

    f, g = J(t.step), J(update)
    for i in range(8):
        f(batch(i)), g(0.5)
        yield [p.numpy() for p in target.parameters()]


# ---- clipping ----
@compiled
def gradients_clipped_by_hand(J: Any) -> Any:
    t = Trainer()

    def step(x: Any) -> Any:
        t.o.zero_grad()
        loss = (t.m(x) ** 2).mean()
        loss.backward()
        norm = tg.sqrt(sum((p.grad * p.grad).sum() for p in t.m.parameters()))
        for p in t.m.parameters():
            p.grad = p.grad * tg.minimum(1.0, t.limit / (norm + 1e-6))
        t.o.step()
        return loss.detach(), norm

    t.limit, f = 0.1, J(step)
    for i in range(9):
        t.limit = 0.1 if i < 4 else 10.0
        yield f(batch(i)), [p.numpy() for p in t.m.parameters()]


@eager("float", "item", "norm")
def gradients_clipped_by_a_branch(J: Any) -> Any:
    t = Trainer()

    def step(x: Any) -> Any:
        t.o.zero_grad()
        loss = (t.m(x) ** 2).mean()
        loss.backward()
        norm = math.sqrt(sum(float((p.grad * p.grad).sum()) for p in t.m.parameters()))
        if norm > 0.05:
            for p in t.m.parameters():
                p.grad = p.grad * (0.05 / norm)
        t.o.step()
        return loss.detach()

    f = J(step)
    for i in range(8):
        yield f(batch(i)), [p.numpy() for p in t.m.parameters()]


# ---- schedules ----
@compiled
def a_warmup_by_a_list(J: Any) -> Any:
    """The list is longer than the training, the position is set outside: inputs or a few programs, then one."""
    t, rates = Trainer(), [0.01, 0.02, 0.04]
    state = SimpleNamespace(at=0)

    def step(x: Any) -> Any:
        loss = (t.m(x) ** 2).mean()
        t.m.zero_grad()
        loss.backward()
        for p in t.m.parameters():
            p.assign((p - rates[state.at] * p.grad).detach())
        return loss.detach()

    f = J(step)
    for i in range(14):
        state.at = min(i, 2) if i != 9 else 0
        yield f(batch(i)), t.m.layers[0].kernel.numpy()


@either("lr")
def a_rate_by_hand_that_changes_at_each_call(J: Any) -> Any:
    """A number of the user's at each call: at most some recordings, then an input, or eagerly with one warning."""
    t = Trainer()
    t.lr = 0.1

    def step(x: Any) -> Any:
        loss = (t.m(x) ** 2).mean()
        t.m.zero_grad()
        loss.backward()
        for p in t.m.parameters():
            p.assign((p - t.lr * p.grad).detach())
        return loss.detach()

    f = J(step)
    for i in range(150):
        t.lr = 0.1 / (i + 1)
        yield f(batch(i))


@eager("step_count")
def a_warmup_by_a_counter_of_the_step(J: Any) -> Any:
    def loss_of(self: Any, x: Any) -> Any:
        self.step_count += 1
        return (self.m(x) ** 2).mean() * min(1.0, self.step_count / 5)

    return trained(J, Trainer(loss_of))


@compiled
def a_global_learning_rate_from_the_notebook(J: Any) -> Any:
    global LEARNING_RATE
    LEARNING_RATE = 0.1
    w = T([1.0, 2.0]).requires_grad_()

    def step(x: Any) -> Any:
        w.grad = None
        loss = ((w * x) ** 2).sum()
        loss.backward()
        w.assign((w - LEARNING_RATE * w.grad).detach())
        return loss.detach()

    f = J(step)
    for i in range(10):
        if i == 5:
            LEARNING_RATE = 0.01
        yield f(x2() / 4)


@compiled
def a_dropout_rate_on_a_schedule(J: Any) -> Any:
    m = nn.Sequential(nn.Dense(8, in_features=2), nn.Dropout(0.5))
    m.build((2,))
    f = J(lambda x: m(x).detach())
    for i in range(15):
        m.layers[1].rate = 0.5 if i < 5 else 0.25 if i < 10 else 0.0
        yield f(batch(0))


@compiled
def an_optimizer_that_is_replaced(J: Any) -> Any:
    t = Trainer()

    def before(i: int) -> None:
        if i == 4:
            t.o = optim.SGD(t.m, lr=0.01, momentum=0.9)

    return trained(J, t, before, 11)


@compiled
def options_of_the_optimizer_are_changed(J: Any) -> Any:
    t = Trainer()
    t.o = optim.SGD(t.m, lr=0.05, momentum=0.5)

    def before(i: int) -> None:
        if i == 4:
            t.o.groups[0].momentum = 0.9
        if i == 9:
            t.o.groups[0].weight_decay = 0.1

    return trained(J, t, before, 15)


@compiled
def weights_of_losses_in_a_curriculum(J: Any) -> Any:
    weights = {"fit": 1.0, "size": 0.0}

    def loss_of(self: Any, x: Any) -> Any:
        parts = {"fit": (self.m(x) - 1.0) ** 2, "size": sum((p * p).sum() for p in self.m.parameters())}
        return sum(w * parts[k].mean() for k, w in weights.items() if w)

    return trained(J, Trainer(loss_of), lambda i: weights.update(size=0.1) if i == 5 else None, 11)


@compiled
def tasks_of_a_curriculum(J: Any) -> Any:
    tasks = [lambda y: (y - 1.0) ** 2]

    def loss_of(self: Any, x: Any) -> Any:
        y = self.m(x)
        return sum(task(y).mean() for task in tasks)

    return trained(J, Trainer(loss_of), lambda i: tasks.append(lambda y: tg.abs(y)) if i == 5 else None, 11)
