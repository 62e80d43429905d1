"""Type checkers accept ordinary user code (user_code.py), and infer what it asserts."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SRC = HERE.parents[1] / "src"
CODE = HERE / "user_code.py"


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(CODE))
    assert names["step"].stats()["calls"] == 1 and (tmp_path / "weights.safetensors").exists()


def test_mypy_strict(tmp_path: Path) -> None:
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}", "--config-file=", str(CODE)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options], capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(SRC)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright(tmp_path: Path) -> None:
    pyright = shutil.which("pyright", path=Path(sys.executable).parent) or shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not installed: pip install 'pyright[nodejs]'")
    shutil.copy(CODE, tmp_path)
    config = {
        "include": [CODE.name],
        "extraPaths": [str(SRC)],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [pyright, "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip("pyright, which is fetched when it is first run, did not come within 5 minutes")
    if not done.stdout.lstrip().startswith("{"):  # it is fetched when it is first run
        pytest.skip(f"pyright does not run here: {(done.stderr or done.stdout).strip()[-200:]}")
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert not found, "\n".join(f"{d['range']['start']['line'] + 1}: {d['message']}" for d in found)
