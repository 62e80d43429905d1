"""`tapegrad doctor`, `--version`, and the choice of OpenBLAS's kernels."""

import os
import re

import pytest

import tapegrad
from tapegrad.backends import install
from tapegrad.cli import blas, doctor


def test_doctor_reports(run):
    status, out, err = run("doctor")
    assert (status, err) == (0, "")
    titles = [line.split()[0] for line in out.splitlines() if line and not line.startswith(" ")]
    assert titles == [
        "tapegrad",
        "python",
        "packages",
        "cpu",
        "blas",
        "threads",
        "native",
        "numpy",
        "cupy",
        "default",
    ]
    assert f"tapegrad   {tapegrad.__version__}" in out
    assert "GFLOP/s" in out
    if install.found("llvmlite"):
        assert re.search(r"vectors of \d+ bits.*; steps on \d+ threads?\b", out)
        assert re.search(r"float32 products on one core: \d+ GFLOP/s, BLAS \d+", out)


def test_doctor_sees_slow_kernels_and_names_the_variable(run, monkeypatch):
    monkeypatch.setattr(blas, "cpu", lambda: ("AMD Zen 5", set(blas.NEEDED)))
    monkeypatch.setattr(blas, "library", lambda: {"internal_api": "openblas", "architecture": "Haswell"})
    monkeypatch.setattr(
        blas, "gflops", lambda **env: 225.0 if env == {"OPENBLAS_CORETYPE": "SkylakeX"} else 121.0
    )
    out = run("doctor")[1]
    assert "! OpenBLAS chose its Haswell kernels though this CPU has AVX-512" in out
    assert "OPENBLAS_CORETYPE=SkylakeX" in out
    assert "225 GFLOP/s, 1.9 times as fast" in out


def test_doctor_names_what_is_missing_and_too_many_threads(run, monkeypatch):
    there = lambda name: None if name in ("numpy", *doctor.OPTIONAL) else "1.0"
    monkeypatch.setattr(doctor, "found", there)
    monkeypatch.setattr(install, "found", there)
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    monkeypatch.setenv("TAPEGRAD_BACKEND", "torch")
    monkeypatch.setattr("tapegrad.backends._process_default", None)  # as in a process of its own
    out = run("doctor")[1]
    assert '! no pictures without matplotlib: pip install "matplotlib>=3.9"' in out
    assert (
        '! train, predict, evaluate and compare read no CSV file without pandas: pip install "pandas' in out
    )
    assert '! data.ParquetRows reads no Parquet file without pyarrow: pip install "pandas' in out
    assert "! numpy is missing" in out
    assert '! compiled steps run 2 to 10 times as fast with llvmlite: pip install "llvmlite>=0.48"' in out
    assert "! OMP_NUM_THREADS=4096 is more than the" in out
    assert "! TAPEGRAD_BACKEND=torch does not work: unknown backend 'torch'; known backends: cupy" in out


def test_doctor_names_what_is_too_old(run, monkeypatch):
    there = lambda name: "0.47.0" if name == "llvmlite" else "99.0"
    monkeypatch.setattr(doctor, "found", there)
    monkeypatch.setattr(install, "found", there)
    out = run("doctor")[1]
    assert "native     not ready: it needs llvmlite 0.48 or later, and 0.47.0 is installed" in out
    assert '! tapegrad needs llvmlite 0.48 or later, and 0.47.0 is installed: pip install "llvmlite' in out


def test_doctor_counts_one_thread_as_one(run, monkeypatch):
    monkeypatch.setattr(blas, "library", lambda: {"internal_api": "openblas", "num_threads": 1})
    monkeypatch.setattr("tapegrad.compiler.emit.native.pool.threads", lambda: 1)
    out = run("doctor")[1]
    assert "1 thread," in out
    assert not re.search(r"\b1 (threads|cores)", out)


@pytest.mark.parametrize(
    ("slow", "size", "variable", "restarted"),
    [(True, 9, None, True), (False, 9, None, False), (True, 1, None, False), (True, 9, "Haswell", False)],
)
def test_a_large_job_starts_anew_only_where_that_helps(
    slow, size, variable, restarted, monkeypatch, tmp_path
):
    path = tmp_path / "data.csv"
    path.write_bytes(b"x" * size)
    calls = []
    monkeypatch.setattr(blas, "LARGE_FILE", 5)
    monkeypatch.setattr(blas, "picked_slow_kernels", lambda: slow)
    monkeypatch.setattr(
        os, "execve", lambda program, command, env: calls.append((command, env[blas.VARIABLE]))
    )
    monkeypatch.delenv(blas.VARIABLE, raising=False)
    if variable:
        monkeypatch.setenv(blas.VARIABLE, variable)
    blas.restart_if_slow(["train", str(path)], str(path))
    assert [c[0][1:] for c in calls] == ([["-m", "tapegrad", "train", str(path)]] if restarted else [])
    assert [c[1] for c in calls] == (["SkylakeX"] if restarted else [])


def test_the_measured_kernels_are_the_loaded_ones():
    name, flags = blas.cpu()
    assert name
    if blas.library().get("internal_api") == "openblas":
        assert blas.library()["architecture"]
    assert blas.gflops(OMP_NUM_THREADS="1") > 0.1
    assert isinstance(flags, set)


def test_version_and_help(run):
    assert run("--version")[:2] == (0, f"tapegrad {tapegrad.__version__}\n")
    status, out, _ = run("train", "--help")
    assert status == 0
    for option in ("--target", "--model", "--hidden", "--epochs", "--batch-size", "--lr", "--seed", "--out"):
        assert option in out
    assert "--run-eagerly" in out
    out = run("source", "--help")[1]
    for option in ("MODEL", "--what", "--emitter", "--batch-size", "--save"):
        assert option in out
    assert run()[0] == 2
    assert run("trane")[0] == 2
