"""What the emitter writes for vectors of 128 bits is code for ARM64, too: it is verified and compiled, not run."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
from tapegrad.compiler.emit.native import machine, parts, pool

TRIPLES = ("aarch64-unknown-linux-gnu", "arm64-apple-darwin")
ARM64 = 183  # the number of the processor in an ELF file
RNG = np.random.default_rng(0)


def tensor(*shape: int, dtype: str = "float32") -> Any:
    return tg.tensor(RNG.normal(size=shape).astype(dtype))


def training() -> Any:
    model = tg.nn.Sequential(tg.nn.Dense(96, "tanh", in_features=70), tg.nn.Dropout(0.2), tg.nn.Dense(5))
    optimizer = tg.optim.Adam(model.parameters())
    x, y = tensor(64, 70), tg.tensor(RNG.integers(0, 5, size=64))

    def step() -> Any:
        optimizer.zero_grad()
        loss = tg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def functions() -> Any:
    x, d, k = tensor(33, 7), tensor(33, 7, dtype="float64"), tg.tensor(np.arange(40, dtype="int32"))
    return lambda: [
        *(f(a * a) for a in (x, d) for f in (tg.exp, tg.sin, tg.erf, tg.tanh, tg.log1p, tg.sqrt)),
        tg.where(x > 0, x, -x).sum(axis=0), x.max(), (k // 3 + k % 5).sum(), x.T @ x, d @ d.T, x[0] @ x.T,
    ]  # fmt: skip


PROGRAMS = {"a training": training, "functions": functions}


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that are compiled, for vectors of 128 bits."""
    found: list[str] = []
    compiled = machine.object_code

    def object_code(text: str) -> bytes:
        found.append(text)
        return compiled(text)

    monkeypatch.setattr(machine, "object_code", object_code)
    monkeypatch.setattr(parts, "vector_bits", lambda: 128)
    monkeypatch.setattr(parts, "fused", lambda: True)
    monkeypatch.setenv("TAPEGRAD_CACHE", "/dev/null")
    for cached in (parts.kernel, parts.panels):
        cached.cache_clear()
    yield found
    for cached in (parts.kernel, parts.panels):
        cached.cache_clear()


@pytest.mark.parametrize("triple", TRIPLES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_compiles_for_arm64(program: str, triple: str, texts: list[str]) -> None:
    f = tg.jit(PROGRAMS[program](), emitter="native")
    for _ in range(4):
        f()
    assert f.stats()["programs"][0].startswith("native") and texts
    binding = machine.llvm()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    for text in (*texts, pool.TEXT):
        module = binding.parse_assembly(text)
        module.verify()
        assert "<16 x float> @llvm.fma" not in text and "<8 x float> @llvm.fma" not in text
        try:
            target = binding.Target.from_triple(triple)
        except RuntimeError as reason:
            pytest.skip(f"verified, but this llvmlite does not compile for it: {reason}")
        compiled = target.create_target_machine(cpu="generic", features="+neon", opt=2, reloc="pic")
        module.triple, module.data_layout = triple, str(compiled.target_data)
        code = compiled.emit_object(module)
        assert len(code) > 1000
        if "linux" in triple:
            assert code[:4] == b"\x7fELF" and code[18] == ARM64
