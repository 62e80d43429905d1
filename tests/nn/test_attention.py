"""Attention and transformer layers, against Keras and PyTorch from equal weights, with their masks."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import attention

F = nn.functional
RNG = np.random.default_rng(12)


def close(got: Any, want: Any) -> None:
    np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-11)


def test_scaled_dot_product_attention_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    q, k, v = (RNG.normal(size=s) for s in ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7)))
    seen = RNG.random((4, 6)) < 0.6
    seen[1] = False  # a place that sees none
    added = RNG.normal(size=(2, 1, 4, 6))
    theirs = torch.nn.functional.scaled_dot_product_attention
    for options in ({}, {"is_causal": True}, {"scale": 0.7}, {"attn_mask": seen}, {"attn_mask": added}):
        xs = [tg.tensor(a, requires_grad=True) for a in (q, k, v)]
        ts = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
        given: Any = {n: torch.tensor(o) if isinstance(o, np.ndarray) else o for n, o in options.items()}
        got, want = F.scaled_dot_product_attention(*xs, **options), theirs(*ts, **given)
        close(got, want)
        w = RNG.normal(size=want.shape)
        got.backward(tg.tensor(w))
        want.backward(torch.tensor(w))
        for a, b in zip(xs, ts, strict=True):
            close(a.grad, b.grad)


def test_attention_weights_are_dropped() -> None:
    q = tg.ones((1, 2, 1))
    y = F.scaled_dot_product_attention(q, tg.ones((1, 500, 1)), tg.ones((1, 500, 1)), dropout_p=0.5)
    assert 0.8 < y.numpy().mean() < 1.2 and not np.array_equal(y.numpy(), np.ones((1, 2, 1)))


@pytest.mark.tensorflow
def test_multi_head_attention_is_kerass(reference: Any) -> None:
    tf, keras = reference.tf, reference.keras
    x, y = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 5, 6))
    mask = RNG.random((2, 3, 5)) < 0.6
    mask[..., 0] = True
    cases: Any = [
        ({}, (x, y), {}),
        ({"value_dim": 2, "output_shape": 3, "use_bias": False}, (x, y, RNG.normal(size=(2, 5, 3))), {}),
        ({}, (x, y), {"attention_mask": mask}),
        ({}, (x, x), {"use_causal_mask": True, "return_attention_scores": True}),
    ]
    for options, inputs, call in cases:
        ours = nn.MultiHeadAttention(2, 4, bias_initializer="random_normal", dtype="float64", **options)
        theirs = keras.layers.MultiHeadAttention(2, 4, dtype="float64", **options)
        ours(*inputs)
        theirs.build(*(a.shape for a in inputs))
        theirs.set_weights(ours.get_weights())
        given = [tf.constant(a) for a in inputs]
        with tf.GradientTape() as tape:
            want = theirs(
                *given, **{n: tf.constant(o) if n == "attention_mask" else o for n, o in call.items()}
            )
            first = want[0] if isinstance(want, tuple) else want
            total = tf.reduce_sum(tf.sin(first))
        slopes = tape.gradient(total, theirs.trainable_variables)
        got = ours(*inputs, **call)
        for a, b in zip(*((p if isinstance(p, tuple) else (p,)) for p in (got, want)), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)
        tg.sin(got[0] if isinstance(got, tuple) else got).sum().backward()
        for p, slope in zip(ours.parameters(), slopes, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), slope.numpy(), rtol=1e-8, atol=1e-10)


def copied(ours: Any, theirs: Any, torch: Any) -> None:
    """Draw the weights of one and load them into the other."""
    state = {name: RNG.normal(size=t.shape) * 0.5 for name, t in theirs.state_dict().items()}
    theirs.load_state_dict({name: torch.tensor(a) for name, a in state.items()})
    ours.load_state_dict(state)


PADDING = np.array([[False, False, True], [False, True, True]])
LATER = np.triu(np.ones((3, 3), bool), 1)


@pytest.mark.parametrize("batch_first", [False, True])
def test_multihead_attention_is_pytorchs(batch_first: bool) -> None:
    torch = pytest.importorskip("torch")
    ours = nn.MultiheadAttention(4, 2, batch_first=batch_first, dtype="float64")
    theirs = torch.nn.MultiheadAttention(4, 2, batch_first=batch_first, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    copied(ours, theirs, torch)
    q, k = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 4))
    q, k = (a if batch_first else a.transpose(1, 0, 2) for a in (q, k))
    added = np.where(PADDING, -2.0, 0.5)
    cases: Any = [
        {}, {"key_padding_mask": PADDING}, {"attn_mask": LATER}, {"attn_mask": LATER, "key_padding_mask": PADDING},
        {"attn_mask": np.repeat(LATER[None], 4, 0), "average_attn_weights": False}, {"need_weights": False},
        {"attn_mask": RNG.normal(size=(3, 3)), "key_padding_mask": added},
    ]  # fmt: skip
    for options in cases:
        given = {n: torch.tensor(o) if isinstance(o, np.ndarray) else o for n, o in options.items()}
        want = theirs(torch.tensor(q), torch.tensor(k), torch.tensor(k), **given)
        got = ours(q, k, k, **options)
        close(got[0], want[0])
        assert (got[1] is None) == (want[1] is None)
        if got[1] is not None:
            close(got[1], want[1])


@pytest.mark.parametrize("options", [{}, {"batch_first": True, "norm_first": True, "activation": "gelu"},
                                     {"bias": False}], ids=str)  # fmt: skip
def test_transformer_layers_are_pytorchs(options: Any) -> None:
    torch = pytest.importorskip("torch")
    x, m = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 4))
    x, m = (a if options.get("batch_first") else a.transpose(1, 0, 2) for a in (x, m))
    for kind, inputs, masks in (
        ("Encoder", (x,), {"src_mask": LATER, "src_key_padding_mask": PADDING}),
        ("Decoder", (x, m), {"tgt_mask": LATER, "memory_key_padding_mask": PADDING}),
    ):
        ours = getattr(nn, f"Transformer{kind}Layer")(4, 2, 6, 0.0, dtype="float64", **options)
        theirs = getattr(torch.nn, f"Transformer{kind}Layer")(4, 2, 6, 0.0, dtype=torch.float64, **options)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        copied(ours, theirs, torch)
        for given in ({}, masks):
            want = theirs(*map(torch.tensor, inputs), **{n: torch.tensor(a) for n, a in given.items()})
            got = ours(*inputs, **given)
            close(got, want)
            theirs.zero_grad()
            ours.zero_grad()
            torch.sin(want).sum().backward()
            tg.sin(got).sum().backward()
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                close(a.grad, b.grad)
    causal = ours(x, m, tgt_is_causal=True)
    np.testing.assert_allclose(causal.numpy(), ours(x, m, tgt_mask=LATER).numpy(), rtol=1e-12)


def test_derivatives_are_differences_and_steps_are_compiled() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 5, 0.0, activation="gelu", batch_first=True, dtype="float64")
    keras_like = nn.MultiHeadAttention(2, 3, in_features=4, dtype="float64")
    x = tg.tensor(RNG.normal(size=(2, 3, 4)))
    for f in (lambda x: layer(x, is_causal=True), lambda x: keras_like(x, use_causal_mask=True)):
        tg.check_grads(f, [x], order=2)
    for module in (layer, keras_like):
        module.requires_grad_(False)

        def step(x: Any, module: Any = module) -> Any:
            return tg.value_and_grad(lambda x: tg.sin(module(x)).sum())(x)

        compiled = tg.jit(step, strict=True)
        for n in range(4):
            given = x + 0.1 * n
            for a, b in zip(compiled(given), step(given), strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_a_model_with_attention_is_saved(tmp_path: Any) -> None:
    model = tg.models.Sequential([
        nn.Embedding(9, 4), nn.Residual(nn.SinePositionEncoding()), nn.Residual(nn.PositionEmbedding(5)),
        nn.MultiHeadAttention(2, 3), nn.TransformerEncoderLayer(4, 2, 5, batch_first=True), nn.Flatten(), nn.Dense(1),
    ])  # fmt: skip
    model.build((5,))
    model.compile("sgd", "mse")
    x = RNG.integers(0, 9, (8, 5))
    model.fit(x, RNG.normal(size=(8, 1)), epochs=1, verbose=0)
    model.save(tmp_path / "model")
    again = tg.models.Sequential.load(tmp_path / "model")
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_sine_positions_are_vaswanis() -> None:
    y = nn.SinePositionEncoding(100)(tg.ones((2, 7, 5), dtype="float64")).numpy()
    for t in range(7):
        for i in range(5):
            angle = t / 100 ** ((i // 2 * 2) / 5)
            np.testing.assert_allclose(y[:, t, i], np.cos(angle) if i % 2 else np.sin(angle), atol=1e-12)


REFUSED = [
    (lambda: nn.MultiHeadAttention(0, 3), "num_heads must be a positive integer"),
    (lambda: nn.MultiHeadAttention(2, 3, in_features=4)(np.ones((2, 3))), r"expected query of shape \(batch, length,"),
    (lambda: nn.MultiheadAttention(5, 2), "num_heads=2 does not divide embed_dim=5"),
    (lambda: nn.MultiheadAttention(4, 2)(np.ones((2, 3, 5))), "with 4 features in the last"),
    (lambda: F.scaled_dot_product_attention(np.ones((2, 3)), np.ones((4, 2)), np.ones((4, 2))), "expected query"),
    (lambda: nn.PositionEmbedding(3, in_features=2)(np.ones((1, 4, 2))), "at most 3, 2"),
    (lambda: nn.TransformerEncoderLayer(4, 2, 0), "dim_feedforward must be a positive integer"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


# ---- long inputs, by blocks of rows ----
@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """blocks(True): attention goes by blocks of two rows from now on; blocks(False): never."""

    def choose(on: bool) -> None:
        monkeypatch.setattr(attention, "LONG", 0 if on else 1 << 60)
        monkeypatch.setattr(attention, "ROWS", 2)

    return choose


NONE_SEEN = np.array([[True] * 7, [False] * 7, *([[False, True] * 3 + [True]] * 3)])
MASKS: Any = [
    {}, {"is_causal": True}, {"scale": 0.3, "is_causal": True}, {"attn_mask": NONE_SEEN},
    {"attn_mask": NONE_SEEN, "is_causal": True}, {"attn_mask": RNG.normal(size=(3, 1, 5, 7))},
    {"attn_mask": RNG.normal(size=(2, 1, 7)), "is_causal": True}, {"attn_mask": RNG.normal(size=7)},
    {"attn_mask": RNG.normal(size=(5, 1)), "is_causal": True},
]  # fmt: skip


CASES = [*((5, 7, options) for options in MASKS), (7, 5, {}), (7, 5, {"is_causal": True})]


@pytest.mark.parametrize("rows, places, options", CASES)
def test_blocks_are_the_whole(rows: int, places: int, options: Any, blocks: Any) -> None:
    shapes = ((3, 2, rows, 4), (3, 2, places, 4), (3, 2, places, 3))
    xs = [tg.tensor(np.random.default_rng(i).normal(size=s)) for i, s in enumerate(shapes)]
    f = lambda *xs: F.scaled_dot_product_attention(*xs, **options)
    total = lambda *xs: tg.sin(f(*xs)).sum()
    found = []
    for on in (False, True):
        blocks(on)
        slopes = tg.grad(total, argnums=(0, 1, 2))(*xs)
        curved = tg.hvp(total, tuple(xs), tuple(tg.ones_like(x) for x in xs))[1]
        found.append([f(*xs), *slopes, *curved])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_layers_go_by_blocks_unless_they_return_weights(blocks: Any) -> None:
    x = tg.tensor(RNG.normal(size=(2, 5, 4)))
    keras_like = nn.MultiHeadAttention(2, 3, in_features=4, dtype="float64")
    torch_like = nn.MultiheadAttention(4, 2, batch_first=True, dtype="float64")
    calls: Any = [
        lambda **o: keras_like(x, use_causal_mask=True, **({"return_attention_scores": True} if o else {})),
        lambda **o: torch_like(x, x, x, key_padding_mask=np.eye(2, 5, dtype=bool), need_weights=bool(o)),
    ]
    for call in calls:
        blocks(True)
        short = call()
        whole = call(weights=True)
        short, whole = (y[0] if isinstance(y, tuple) else y for y in (short, whole))
        np.testing.assert_allclose(short.numpy(), whole.numpy(), rtol=1e-12)
        assert "checkpoint(block)" in str(tg.tape(short)) and "checkpoint(block)" not in str(tg.tape(whole))


def test_blocks_drop_the_same_weights_in_both_passes(blocks: Any) -> None:
    """The output is linear in v: the gradient for it, times v, is the output again."""
    blocks(True)
    q, v = tg.tensor(RNG.normal(size=(5, 3))), tg.tensor(RNG.normal(size=(6, 1)), requires_grad=True)
    y = F.scaled_dot_product_attention(q, tg.tensor(RNG.normal(size=(6, 3))), v, dropout_p=0.5).sum()
    y.backward()
    np.testing.assert_allclose((v.grad * v).sum().item(), y.item(), rtol=1e-12)


@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_blocks_in_compiled_steps(emitter: str, blocks: Any) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    blocks(True)
    x = tg.tensor(RNG.normal(size=(2, 5, 4)))
    slope = tg.grad(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True).sum())
    compiled = tg.jit(slope, emitter=emitter, strict=True)
    for _ in range(3):
        np.testing.assert_allclose(compiled(x).numpy(), slope(x).numpy(), rtol=1e-12, atol=1e-14)


def test_memory_grows_with_the_length() -> None:
    peaks = []
    for length in (1024, 2048):
        q = tg.tensor(RNG.normal(size=(1, 1, length, 8)).astype("float32"), requires_grad=True)
        tracemalloc.start()
        F.scaled_dot_product_attention(q, q, q).sum().backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    matrix = 4 * 1024 * 1024  # bytes of the weights at length 1,024
    assert peaks[1] < 2.5 * peaks[0] < 2 * matrix, peaks


def test_a_row_that_a_mask_of_numbers_hides_is_0_as_by_booleans() -> None:
    q, k, v = (tg.tensor(np.random.default_rng(n).normal(size=(3, 4)), requires_grad=True) for n in range(3))
    sees = np.array([[True, False, True], [False] * 3, [True] * 3])
    by_numbers, by_booleans = (
        F.scaled_dot_product_attention(q, k, v, tg.tensor(mask))
        for mask in (np.where(sees, 0.0, -np.inf), sees)
    )
    np.testing.assert_allclose(by_numbers.detach().numpy(), by_booleans.detach().numpy(), rtol=1e-12)
    assert by_numbers[1].tolist() == [0.0] * 4
    by_numbers.sum().backward()
    assert all(np.isfinite(x.grad.numpy()).all() for x in (q, k, v))
