"""Noise, containers, Embedding and the shapes' layers: what their tables against Keras and PyTorch do not say."""

import copy
import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

RNG = np.random.default_rng(2)
N = 40_000

# layer, mean and standard deviation of its output in training for an input of 2 everywhere
NOISY = [
    (lambda: nn.GaussianNoise(0.5), 2.0, 0.5),
    (lambda: nn.GaussianDropout(0.2), 2.0, 2.0 * math.sqrt(0.25)),
    (lambda: nn.Dropout(0.2), 2.0, 2.0 * math.sqrt(0.25)),
]


@pytest.mark.parametrize(("make", "mean", "deviation"), NOISY)
@pytest.mark.parametrize("compiled", [False, True])
def test_noise_has_its_mean_and_deviation(make: Any, mean: float, deviation: float, compiled: bool) -> None:
    layer = make()
    call = tg.jit(layer, strict=True) if compiled else layer
    for _ in range(3):
        y = call(tg.full((N,), 2.0)).numpy()
    assert abs(y.mean() - mean) < 5 * deviation / math.sqrt(N)
    assert abs(y.std() - deviation) < 0.03
    assert not np.array_equal(y, call(tg.full((N,), 2.0)).numpy()), "new draws at each call"
    x = tg.full((3,), 2.0)
    layer.eval()
    assert layer(x) is x and call(x).tolist() == [2.0, 2.0, 2.0]


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = RNG.normal(size=(N,)).astype("float32")
    layer = nn.AlphaDropout(0.3)
    given = tg.tensor(x, requires_grad=True)
    y = layer(given)
    assert abs(y.numpy().mean()) < 0.03 and abs(y.numpy().std() - 1) < 0.03
    counts = np.unique(np.round(y.numpy(), 4), return_counts=True)[1]
    assert abs(counts.max() / N - 0.3) < 0.02, "the dropped ones have one value"
    y.sum().backward()
    slopes = np.unique(given.grad.numpy())
    floor = -1.6732632423543772 * 1.0507009873554805
    np.testing.assert_allclose(slopes, [0.0, ((1 - 0.3) * (1 + 0.3 * floor**2)) ** -0.5], rtol=1e-6)
    assert layer.eval()(given) is given


@pytest.mark.tensorflow
def test_alpha_dropout_has_kerass_two_values(reference: Any) -> None:
    ones = np.ones((N,), "float32")
    theirs = np.unique(reference.keras.layers.AlphaDropout(0.3)(ones, training=True).numpy())
    np.testing.assert_allclose(np.unique(nn.AlphaDropout(0.3)(ones).numpy()), theirs, rtol=1e-6)


@pytest.mark.parametrize("kind", ["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Dropout1d", "Dropout2d",
                                  "Dropout3d"])  # fmt: skip
def test_whole_channels_are_dropped(kind: str) -> None:
    layer, axes = getattr(nn, kind)(0.4), int(kind[-2]) + 2
    first = kind.startswith("Dropout")
    shape = (200, 50, *(3,) * (axes - 2)) if first else (200, *(3,) * (axes - 2), 50)
    y = layer(tg.ones(shape)).numpy()
    by_channel = np.moveaxis(y, 1, -1) if first else y
    by_channel = by_channel.reshape(200, -1, 50)
    assert (by_channel == by_channel[:, :1]).all(), "a channel is kept or dropped as a whole"
    values, counts = np.unique(by_channel[:, 0], return_counts=True)
    np.testing.assert_allclose(values, [0.0, 1 / 0.6], rtol=1e-6)
    assert abs(counts[0] / 10_000 - 0.4) < 0.02
    x = tg.ones(shape)
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match=f"{kind}.*expected an input of {axes} axes, got shape"):
        layer(tg.ones((2, 3, 4, 5, 6, 7)))


@pytest.mark.parametrize(
    "f", [nn.functional.hard_tanh, lambda x: nn.functional.dropout(x, 0.5), nn.Dropout(0.5)]
)
def test_integers_become_the_default_float_dtype(f: Any) -> None:
    assert f(tg.tensor([1, 2])).dtype == tg.get_default_dtype() == tg.float32


# ---- Embedding ----
def test_embedding_adds_the_gradients_of_equal_integers() -> None:
    layer = nn.Embedding(4, 2)
    layer(tg.tensor([[1, 1], [3, 1]])).sum().backward()
    assert layer.embeddings.grad.tolist() == [[0, 0], [3, 3], [0, 0], [1, 1]]


def test_the_padding_row_starts_at_0_and_stays() -> None:
    layer = nn.Embedding(4, 2, padding_idx=-2, embeddings_initializer="ones")
    assert layer.padding_idx == 2 and layer.embeddings.tolist() == [[1, 1], [1, 1], [0, 0], [1, 1]]
    layer(tg.tensor([2, 2, 3])).sum().backward()
    assert layer.embeddings.grad.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1]]
    layer.embeddings.assign(tg.full((4, 2), 5.0))  # loaded weights count as they are
    assert layer(tg.tensor([2])).tolist() == [[5.0, 5.0]]


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [
        *((dtype, wrong) for dtype in ("int64", "int32", "int8") for wrong in (-1, 4, 100)),
        *(("uint64", wrong) for wrong in (4, 2**63, 2**64 - 1)), ("uint8", 255),
    ],
)  # fmt: skip
def test_embedding_refuses_what_is_no_row(emitter: str | None, wrong: int, dtype: str) -> None:
    layer = nn.Embedding(4, 2)
    call = tg.jit(lambda x: layer(x).detach(), strict=True, emitter=emitter) if emitter else layer
    for _ in range(3):
        assert call(tg.tensor([3, 0], dtype=dtype)).shape == (2, 2)
    with pytest.raises(IndexError, match=r"expected integers from 0 to 3, got|out of bounds"):
        call(tg.tensor(np.array([0, wrong], dtype)))


def test_embedding_takes_lists_arrays_and_unsigned_integers() -> None:
    layer = nn.Embedding(300, 2)
    for given in ([[1, 2]], np.array([[1, 2]]), tg.tensor([[1, 2]], dtype="uint8")):
        np.testing.assert_array_equal(layer(given).numpy(), layer.embeddings.numpy()[[[1, 2]]])


def test_a_model_that_begins_with_an_embedding_takes_whole_numbers(capsys: Any) -> None:
    model = tg.models.Sequential([nn.Embedding(9, 2), nn.Flatten(), nn.Dense(1)])
    model.compile("sgd", "mse")
    x, y = RNG.integers(0, 9, (40, 3)), RNG.normal(size=(40, 1))
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    model.summary((3,))
    assert "(batch, 3, 2)" in capsys.readouterr().out
    assert model.source("train")
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype("float64")))
    np.testing.assert_array_equal(model.predict(x), model(tg.tensor(x)).numpy())
    with pytest.raises(
        ValueError, match=r"x: the model's first layer takes integers; some here are not whole"
    ):
        model.predict(x + 0.5)
    with pytest.raises(IndexError, match="expected integers from 0 to 8, got 9"):
        model.predict(x * 0 + 9)


# ---- containers ----
def test_residual_adds_its_input() -> None:
    inner = nn.Dense(3, "tanh", in_features=3)
    layer = nn.Residual(inner)
    x = tg.tensor(RNG.normal(size=(4, 3)).astype("float32"))
    np.testing.assert_array_equal(layer(x).numpy(), (x + inner(x)).numpy())
    assert nn.Residual(nn.Dense(3)).build((3,)) == (3,)
    with pytest.raises(ValueError, match=r"Residual: its layers must keep the shape \(3,\), and made \(4,\)"):
        nn.Residual(nn.Dense(4)).build((3,))
    with pytest.raises(ValueError, match=r"must keep the shape \(5, 3\), and made \(5, 1\)"):
        nn.Residual(nn.Dense(1))(tg.ones((5, 3)))  # which would broadcast


def test_parallel_joins_its_branches() -> None:
    a, b = nn.Dense(3, in_features=2), nn.Dense(3, in_features=2)
    x = tg.tensor(RNG.normal(size=(4, 2)).astype("float32"))
    u, v = a(x).numpy(), b(x).numpy()
    joined = {
        "concat": np.concatenate([u, v], -1), "sum": u + v, "product": u * v, "mean": (u + v) / 2,
        "max": np.maximum(u, v), "min": np.minimum(u, v),
    }  # fmt: skip
    for join, want in joined.items():
        layer = nn.Parallel(a, b, join=join)
        np.testing.assert_allclose(layer(x).numpy(), want, rtol=1e-6)
        assert layer.build((2,)) == want.shape[1:]
    assert nn.Parallel(a, b, axis=0)(x).shape == (8, 3)
    model = nn.Sequential(nn.Parallel(nn.Dense(3), nn.Dense(4), nn.Identity()), nn.Dense(1))
    assert model.build((5,)) == (1,) and model[1].kernel.shape == (12, 1)
    with pytest.raises(ValueError, match='join="sum" needs outputs of one shape'):
        nn.Parallel(nn.Dense(3), nn.Dense(1), join="sum")(tg.ones((4, 2)))  # which would broadcast
    with pytest.raises(ValueError, match="Parallel: join must be 'concat'"):
        nn.Parallel(a, join="add")
    with pytest.raises(ValueError, match="there are no layers to call"):
        nn.Parallel()(x)


def test_lists_and_dicts_of_modules() -> None:
    blocks = nn.ModuleList(nn.Dense(n, in_features=2) for n in (1, 2, 3))
    assert [layer.units for layer in blocks] == [1, 2, 3] and len(blocks) == 3 and blocks[-1].units == 3
    blocks.append(nn.Dense(4, in_features=2)).extend([nn.ReLU()])
    blocks.insert(0, nn.Dense(9, in_features=2))
    del blocks[1]
    blocks[1] = nn.Dense(7, in_features=2)
    assert [getattr(layer, "units", None) for layer in blocks] == [9, 7, 3, 4, None]
    assert [path for path, _ in blocks.named_parameters()][:3] == ["0.kernel", "0.bias", "1.kernel"]
    assert len(blocks[1:3]) == 2 and blocks[1:3][0] is blocks[1] and blocks[1] in blocks
    assert not blocks.eval()[2].training and len(blocks) == 5  # `training` is no item
    last, first = blocks[-1], blocks[0]
    assert blocks.pop() is last and blocks.pop(0) is first and len(blocks) == 3
    heads = nn.ModuleDict({"left": nn.Dense(1, in_features=2)})
    heads["right"] = nn.ReLU()
    heads.update([("third", nn.ReLU())])
    assert (
        list(heads) == list(heads.keys()) == ["left", "right", "third"]
        and len(heads) == 3
        and "left" in heads
    )
    assert [path for path, _ in heads.named_parameters()] == ["left.kernel", "left.bias"]
    del heads["right"]
    assert "right" not in heads and [type(m).__name__ for m in heads.values()] == ["Dense", "ReLU"]
    twin = copy.deepcopy(heads)
    assert twin["left"] is not heads["left"] and dict(twin.items()).keys() == {"left", "third"}
    with pytest.raises(KeyError):
        heads["right"]
    third = heads["third"]
    assert heads.pop("third") is third and list(heads) == ["left"]
    with pytest.raises(KeyError, match="third"):
        heads.pop("third")
    for call in (lambda: blocks.append(tg.relu), lambda: heads.update({"f": tg.relu})):
        with pytest.raises(
            TypeError, match=r"expected a module, got <primitive relu>: wrap a function as nn.Activation"
        ):
            call()
    for name in ("a.b", "", 3):
        with pytest.raises(KeyError, match="cannot be the name of a module"):
            heads[name] = nn.ReLU()
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        blocks(1.0)


CHANGES = {
    "a module appended": lambda net: net.blocks.append(nn.Dense(2, in_features=2, kernel_initializer="ones")),
    "a module replaced": lambda net: net.blocks.__setitem__(0, nn.Dense(2, in_features=2, kernel_initializer="ones")),
    "a module inserted": lambda net: net.blocks.insert(0, nn.Activation("tanh")),
    "a module removed": lambda net: net.blocks.__delitem__(0),
    "a head replaced": lambda net: net.heads.__setitem__("a", nn.Activation("tanh")),
    "a head added": lambda net: net.heads.update({"b": nn.Activation("tanh")}),
    "another join": lambda net: setattr(net.both, "join", "max"),
    "another momentum": lambda net: setattr(net.norm, "momentum", 0.5),
    "another epsilon": lambda net: setattr(net.norm, "epsilon", 0.5),
    "no gamma": lambda net: setattr(net.norm, "gamma", None),
    "another statistic": lambda net: setattr(net.norm, "moving_mean", nn.Buffer(tg.ones(2))),
    "evaluation": lambda net: net.eval(),
    "one frozen": lambda net: setattr(net.norm, "trainable", False),
    "evaluation of one": lambda net: net.norm.eval(),
    "another rate": lambda net: setattr(net.drop, "rate", 0.9),
}  # fmt: skip


class Net(nn.Module):
    def __init__(self) -> None:
        self.blocks = nn.ModuleList(nn.Dense(2, "tanh", in_features=2) for _ in range(2))
        self.heads = nn.ModuleDict({"a": nn.Dense(2, in_features=2)})
        self.both = nn.Parallel(nn.Identity(), nn.Dense(2, in_features=2), join="sum")
        self.norm = nn.BatchNormalization(in_features=2)
        self.drop = nn.GaussianDropout(0.1)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        for name in self.heads:
            x = self.heads[name](x)
        return self.drop(self.norm(self.both(x)))


def no_graph(net: Any) -> Any:
    return lambda x: net(x).detach()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_compiled_step_sees_the_change(change: Any) -> None:
    outcomes = []
    for compiled in (False, True):
        tg.manual_seed(0)
        net = Net()
        step: Any = no_graph(net)
        step = tg.jit(step, strict=True) if compiled else step
        seen = []
        for call in range(8):
            if call == 4:
                tg.manual_seed(7)
                change(net)
            x = tg.tensor(np.random.default_rng(call).normal(size=(5, 2)).astype("float32"))
            seen += [step(x).numpy(), net.norm.moving_mean.numpy(), net.norm.moving_variance.numpy()]
        outcomes.append(seen)
    for a, b in zip(*outcomes, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_containers_are_saved_and_loaded(tmp_path: Any) -> None:
    model = tg.models.Sequential([
        nn.Residual(nn.Dense(3, "tanh", in_features=3), nn.Dropout(0.1)),
        nn.Parallel(nn.Dense(2), nn.Sequential(nn.Dense(4), nn.LayerNorm(4)), join="concat"),
        nn.Parallel(nn.Identity(), nn.Dense(6), join="mean"),
        nn.Dense(1),
    ])  # fmt: skip
    model.compile("adam", "mse")
    x, y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 1))
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model")
    again = tg.models.Sequential.load(tmp_path / "model")
    assert repr(again) == repr(model) and again.layers[2].join == "mean"
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_a_container_of_ones_own_is_not_saved_as_another(tmp_path: Any) -> None:
    class Doubled(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2.0

    for model in (tg.models.Sequential([Doubled(nn.Dense(1, in_features=2))]),
                  tg.models.Sequential([nn.Residual(Doubled(nn.Dense(2, in_features=2)))])):  # fmt: skip
        with pytest.raises(TypeError, match=r"is a Doubled, which is not one of tapegrad.nn's layers"):
            model.save(tmp_path / "model")


# ---- what is refused ----
REFUSED = [
    (lambda: nn.BatchNormalization(in_features=3)(np.ones((2, 4))), "expected an input with 3 features along axis -1"),
    (lambda: nn.BatchNormalization(in_features=3)(np.ones((0, 3))), "an empty batch .* has no statistics"),
    (lambda: nn.BatchNormalization(axis=0)(np.ones((2, 4))), "axis 0 is the batch"),
    (lambda: nn.BatchNormalization(momentum=1.5), "BatchNormalization: momentum must be a number from 0 to 1"),
    (lambda: nn.BatchNormalization(epsilon=0), "BatchNormalization: epsilon must be a finite number above 0"),
    (lambda: nn.BatchNormalization(dtype="int32"), "dtype must be float16, float32 or float64"),
    (lambda: nn.BatchNormalization(in_features=3, input_shape=(3,)), "give in_features or input_shape, not both"),
    (lambda: nn.LayerNormalization(axis=[1, 2], in_features=3), "in_features must be one length for each axis"),
    (lambda: nn.GroupNormalization(4, in_features=6), "6 channels do not divide into groups=4"),
    (lambda: nn.GroupNorm(4, 6), "6 channels do not divide into num_groups=4"),
    (lambda: nn.GroupNorm(2, 6)(np.ones((2, 4))), "expected an input with 6 channels on axis 1"),
    (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), "expected more than one value for each channel in training"),
    (lambda: nn.BatchNorm2d(3)(np.ones((4, 3))), "expected an input of 4 axes with 3 channels on axis 1"),
    (lambda: nn.InstanceNorm1d(3)(np.ones((4, 3, 1))), "expected more than one value for each sample and channel"),
    (lambda: nn.InstanceNorm1d(3, momentum=None), "InstanceNorm1d: momentum must be a number"),
    (lambda: nn.LayerNorm((4, 5))(np.ones((2, 5))), r"expected an input whose last lengths are \(4, 5\)"),
    (lambda: nn.Reshape((-1, -1)), "may have one -1"),
    (lambda: nn.Reshape((4,))(np.ones((2, 3))), "have 3 elements, which do not fit"),
    (lambda: nn.Permute((0, 1)), "dims must be the numbers from 1 to 2"),
    (lambda: nn.Permute((2, 1))(np.ones((2, 3))), "expected samples of 2 axes"),
    (lambda: nn.RepeatVector(2)(np.ones((2, 3, 4))), "expected samples of one axis"),
    (lambda: nn.Dense(2, nn.LeakyReLU), r"Dense: activation: .* got the class LeakyReLU: write LeakyReLU\(\)"),
    (lambda: nn.Embedding(4, 2)(np.ones(3)), "expected integers, got float64"),
    (lambda: nn.Embedding(4, 2, padding_idx=4), "padding_idx must be one of 4 rows"),
    (lambda: nn.GaussianNoise(-1.0), "GaussianNoise: stddev must be a finite number of at least 0"),
    (lambda: nn.GaussianNoise(1.0)(np.ones(3, int)), "expected a floating-point input"),
    (lambda: nn.AlphaDropout(1.0), "AlphaDropout: rate must be at least 0 and below 1"),
    (lambda: nn.Dropout2d(p=1.0), "Dropout2d: p must be at least 0 and below 1"),
    (lambda: nn.BatchNorm1d(3, epsilon=1e-3), "BatchNorm1d: tapegrad's word for epsilon is eps"),
    (lambda: nn.LayerNormalization(eps=1e-3), "LayerNormalization: tapegrad's word for eps is epsilon"),
    (lambda: nn.Embedding(num_embeddings=3, embedding_dim=2), "tapegrad's word for num_embeddings is input_dim"),
    (lambda: nn.Embedding(3, 2, mask_zero=True), "there are no masks"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.tensorflow
def test_a_frozen_batch_normalization_stays_in_evaluation_as_kerass(reference: Any) -> None:
    x = RNG.normal(3, 2, (6, 4)).astype("float32")
    theirs, ours = reference.keras.layers.BatchNormalization(), nn.BatchNormalization()
    for layer in (ours, theirs):
        layer.trainable = False
    want = theirs(x, training=True).numpy()
    np.testing.assert_allclose(ours.train()(x).numpy(), want, rtol=1e-5)
    np.testing.assert_array_equal(ours.moving_mean.numpy(), theirs.moving_mean.numpy())
    assert not any(p.requires_grad for p in ours.parameters())
    ours.requires_grad_(True)
    ours.trainable = True
    ours(x)
    assert ours.moving_mean.numpy().any()


def test_norms_make_their_weights_at_the_first_call_and_along_a_chain() -> None:
    for kind in ("BatchNormalization", "LayerNormalization", "RMSNormalization"):
        layer = getattr(nn, kind)()
        assert not layer.built
        layer(tg.ones((4, 3)))
        assert layer.built and layer.in_features == 3 and layer.config()["in_features"] == 3
        model = nn.Sequential(
            getattr(nn, kind)(input_shape=(4, 3)), nn.Flatten(), nn.Dense(2), getattr(nn, kind)()
        )
        assert model.build((4, 3)) == (2,) and model[0].in_features == 3 and model[-1].in_features == 2
        assert type(layer)(**model[0].config()).config() == model[0].config()
