"""The state of an optimizer: there from the start, keyed by path, saved and loaded, and whether it can be copied."""

import copy
import pickle

import numpy as np
import pytest
from optimizer_rows import leaf, step_with

import tapegrad as tg
from tapegrad import optim


def test_state_is_there_from_the_start_and_is_a_copy():
    p = leaf(1.0, 2.0)
    opt = optim.Adam({"w": p}, amsgrad=True)
    state = opt.state_dict()
    assert list(state) == ["steps", *optim.Adam.option_kinds(), "w.m", "w.v", "w.v_max"]
    state["w.m"].assign([5.0, 5.0])
    assert opt.state_dict()["w.m"].tolist() == [0.0, 0.0]
    opt.load_state_dict(state)
    state["w.m"].assign([7.0, 7.0])
    assert opt.state_dict()["w.m"].tolist() == [5.0, 5.0]


def test_state_holds_the_learning_rates_and_the_steps():
    def two_groups():
        a, b = leaf(1.0), leaf(2.0)
        return a, b, optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)

    a, b, first = two_groups()
    first.groups[0].lr = 0.03
    step_with(first, (a, [1.0]), (b, [1.0]))
    _, _, second = two_groups()
    second.load_state_dict(first.state_dict())
    assert [group.lr for group in second.groups] == [0.03, 0.5]
    assert second.steps == 1


def test_state_is_keyed_by_path():
    model = tg.nn.Sequential(tg.nn.Dense(2, in_features=3), tg.nn.Dense(1, in_features=2))
    opt = optim.RMSprop(model)
    assert {n for n in opt.state_dict() if "." in n} == {
        f"{n}.mean_square" for n, _ in model.named_parameters()
    }


def test_state_loads_across_devices(elsewhere):
    here, there = leaf(1.0, 2.0), leaf(1.0, 2.0, device=elsewhere)
    a, b = optim.Adam([here]), optim.Adam([there])
    step_with(a, (here, [1.0, 2.0]))
    b.load_state_dict(a.state_dict())
    assert b.state_dict()["0.m"].device == elsewhere
    a.load_state_dict(b.state_dict())
    np.testing.assert_array_equal(a.state_dict()["0.m"].numpy(), b.state_dict()["0.m"].numpy())


def test_all_that_does_not_fit_is_listed_and_nothing_loaded():
    p, q = leaf(1.0, 2.0), leaf(3.0)
    opt = optim.Adam({"p": p, "q": q})
    state = opt.state_dict()
    del state["q.v"]
    state |= {
        "p.m": tg.zeros((1,), dtype="float64"),
        "q.m": tg.ones((1,)),
        "r.m": tg.ones((1,)),
        "lr": tg.zeros((1,)),
    }
    with pytest.raises(ValueError) as caught:
        opt.load_state_dict(state)
    for line in (
        "missing: q.v",
        "unknown: r.m",
        "p.m: expected float64[2], got float64[1]",
        "q.m: expected float64[1], got float32[1]",
        "lr: expected float64[], got float32[1]",
    ):
        assert line in str(caught.value)
    assert opt.state_dict()["q.m"].tolist() == [0.0]
    with pytest.raises(ValueError, match="lr of the state"):
        opt.load_state_dict(opt.state_dict() | {"lr": tg.tensor(-1.0, dtype="float64")})


def test_copies_only_without_parameters():
    opt = optim.Adam(lr=0.5)
    for twin in (copy.copy(opt), copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        assert repr(twin) == repr(opt)
        twin.bind([leaf(1.0)])
        for refused in (copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="neither copied nor pickled"):
                refused(twin)
    assert opt.groups == ()


def one(kind, **options):
    return kind([leaf(0.0)], **options)


@pytest.mark.parametrize(
    ("saved", "into", "message"),
    [
        (one(optim.Adam, beta_1=0.5), one(optim.AdamW), "beta_1: the state was saved with 0.5, .* has 0.9"),
        (one(optim.Adam), one(optim.AdamW), "weight_decay: the state was saved with None, .* has 0.004"),
        (one(optim.SGD, momentum=0.9), one(optim.SGD), "unknown: 0.velocity"),
        (one(optim.SGD), one(optim.RMSprop), "missing: 0.mean_square"),
        (
            one(optim.Adam, amsgrad=True),
            one(optim.Adam),
            "amsgrad: the state was saved with True, .* has False",
        ),
        (one(optim.Adam, form="torch"), one(optim.Adam, eps=1e-8), "form: the state was saved with 'torch'"),
        (one(optim.RMSprop), one(optim.Adagrad), "unknown: rho"),
    ],
)
def test_the_state_of_another_configuration_is_refused(saved, into, message):
    with pytest.raises(ValueError, match=message):
        into.load_state_dict(saved.state_dict())


def test_an_option_left_out_of_the_state_is_the_optimizers_own():
    state = one(optim.Adam, beta_1=0.5).state_dict()
    del state["beta_1"]
    opt = one(optim.Adam)
    opt.load_state_dict(state)
    assert opt.beta_1 == 0.9


def test_a_scheduled_option_is_given_before_loading():
    first = one(optim.Adam)
    first.beta_1 = 0.5
    second = one(optim.Adam, **first.config())
    second.load_state_dict(first.state_dict())
    assert second.beta_1 == 0.5
