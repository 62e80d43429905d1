"""What is written to an optimizer, a group or the room: it does something, or the error says what to write."""

import copy

import pytest
from optimizer_rows import leaf

import tapegrad as tg
from tapegrad import models, nn, optim
from tapegrad.optim.options import FOREIGN_ATTRIBUTES, FOREIGN_OPTIONS


@pytest.mark.parametrize("kind", optim.BY_NAME.values(), ids=list(optim.BY_NAME))
@pytest.mark.parametrize(
    "name", ["learning_rate", "lerning_rate", "wieght_decay", "param_groups", "iterations", "q"]
)
def test_an_attribute_that_nothing_reads(kind, name):
    opt = kind([leaf(1.0)])
    for target in (opt, opt.groups[0], kind()):
        with pytest.raises(AttributeError, match=f"nothing reads the attribute '{name}'"):
            setattr(target, name, 0.5)
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            getattr(target, name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("learning_rate", "tapegrad's name for learning_rate is lr"),
        ("epsilon", "tapegrad's name for epsilon is eps"),
        ("betas", "tapegrad's name for betas is beta_1 and beta_2"),
        ("b1", "tapegrad's name for b1 is beta_1"),
        ("wieght_decay", "did you mean 'weight_decay'"),
        ("global_clip_norm", "tapegrad's name for global_clip_norm is global_clipnorm"),
        ("fused", "tapegrad has no fused: parameters are always updated together"),
        ("rho", "known are lr, beta_1"),
        ("alpha", "known are lr, beta_1"),  # Adam has no rho
        ("lr_decay", "opt.lr = …"),
    ],
)
def test_a_foreign_or_misspelt_option(name, hint):
    with pytest.raises(TypeError, match=f"Adam: unknown option '{name}'.*{hint}"):
        optim.Adam([leaf(1.0)], **{name: 0.5})
    with pytest.raises(TypeError, match=f"unknown option '{name}' of group 0"):
        optim.Adam([{"params": [leaf(1.0)], name: 0.5}])


def test_tables_name_only_what_is_there():
    options = set().union(*(kind.option_kinds() for kind in optim.BY_NAME.values()))
    assert not options & FOREIGN_OPTIONS.keys()
    for name, here in (FOREIGN_OPTIONS | FOREIGN_ATTRIBUTES).items():
        assert not hasattr(optim.Adam, name)
        first = here.split(",")[0].split(" ")[0].split("(")[0].removeprefix("opt.")
        known = (
            first in options
            or first in ("none:", "loss.backward", "p.grad", "groups")
            or hasattr(optim.Adam, first)
        )
        assert known, (name, here)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("AdaGrad", "Adagrad"), ("RMSProp", "RMSprop"), ("lr_scheduler", "optim.schedules"),
     ("Adm", "did you mean 'Adam'"), ("Rprop", "RMSprop"), ("clip_grad_norm_", "clip_by_global_norm")],
)  # fmt: skip
def test_a_foreign_name_of_the_room(name, hint):
    with pytest.raises(AttributeError, match=hint):
        getattr(optim, name)


# An object, a name of another library, and the whole of what is said.
SAID = (
    (optim.SGD([leaf(1.0)]), "add_param_group", "SGD has no attribute 'add_param_group' (tapegrad has no "
     "add_param_group: give the constructor, or bind, a list of all groups)"),
    (optim.SGD([leaf(1.0)]), "param_groups", "SGD has no attribute 'param_groups' (tapegrad's name for param_groups is "
     "groups)"),
    (optim, "StepLR", "module 'tapegrad.optim' has no attribute 'StepLR': tapegrad's name for StepLR is "
     "schedules.StepDecay(value, every, factor=gamma)"),
    (optim.schedules, "LambdaLR", "module 'tapegrad.optim.schedules' has no attribute 'LambdaLR': tapegrad has no "
     "LambdaLR: give the function itself, as in lr=lambda step: 0.1 * 0.95**step"),
    (models, "SGDClassifier", "module 'tapegrad.models' has no attribute 'SGDClassifier': tapegrad's name for "
     "SGDClassifier is LogisticRegression or LinearSVC (which find the minimum)"),
)  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "said"), SAID, ids=range(len(SAID)))
def test_the_answer_is_a_sentence(owner, name, said):
    with pytest.raises(AttributeError) as error:
        getattr(owner, name)
    assert str(error.value) == said


def test_items_of_a_group():
    group = optim.SGD([leaf(1.0)]).groups[0]
    with pytest.raises(TypeError, match=r"write group\.lr = …, not group"):
        group["lr"] = 0.1
    with pytest.raises(TypeError, match=r"write group\.lr, not group"):
        group["lr"]


def test_an_optimizer_of_the_users_own_takes_any_attribute():
    class Own(optim.SGD):
        pass

    opt = Own([leaf(1.0)])
    opt.history = []
    assert opt.history == []
    with pytest.raises(AttributeError, match="tapegrad's name for learning_rate is lr"):
        opt.learning_rate = 0.1


def test_an_optimizer_before_its_parameters():
    for opt in (
        optim.Adam(1e-2),
        optim.Adam(learning_rate=1e-2),
        optim.Adam(lr=1e-2),
        optim.get("adam", learning_rate=1e-2),
    ):
        assert opt.lr == 1e-2
        assert copy.deepcopy(opt).lr == 1e-2
        with pytest.raises(RuntimeError, match="call bind"):
            opt.step()


def test_values_are_checked_when_they_are_set():
    opt = optim.SGD([leaf(1.0)], momentum=0.9, nesterov=True)
    bad = [
        ("lr", -1, ValueError),
        ("lr", "1", TypeError),
        ("momentum", 2, ValueError),
        ("momentum", 0, ValueError),
    ]
    for name, value, kind in [*bad, ("nesterov", 1, TypeError), ("maximize", None, TypeError)]:
        with pytest.raises(kind):
            setattr(opt, name, value)
        with pytest.raises(kind):
            setattr(opt.groups[0], name, value)
    opt.clipnorm = 1.0
    with pytest.raises(ValueError, match="only one of"):
        opt.clipvalue = 1.0
    assert (opt.lr, opt.momentum, opt.clipvalue, opt.clipnorm) == (0.01, 0.9, None, 1.0)


@pytest.mark.parametrize("owner", ["SGD", "LBFGS", "Module"])
def test_zero_grad_as_in_pytorch(owner):
    module = nn.Dense(1, in_features=1)
    owner = module if owner == "Module" else getattr(optim, owner)(module)
    module.kernel.grad = tg.ones((1, 1))
    owner.zero_grad(set_to_none=True)
    assert module.kernel.grad is None
    with pytest.raises(ValueError, match="set_to_none: expected True"):
        owner.zero_grad(set_to_none=False)


def test_a_closure_is_answered():
    opt = optim.SGD([leaf(1.0)])
    with pytest.raises(
        TypeError, match=r"SGD\.step: expected no closure.*optim\.LBFGS is the optimizer that takes"
    ):
        opt.step(lambda: None)
