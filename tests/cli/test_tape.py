"""`tapegrad tape`: programs of three styles, as they are, and what goes wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tapegrad.cli import main

HEAD = "import tapegrad as tg\ntg.manual_seed(0)\nx, y = tg.ones((8, 3)), tg.ones((8, 1))\n"
MODEL = HEAD + "model = tg.nn.Sequential(tg.nn.Dense(4, 'tanh', in_features=3), tg.nn.Dense(1))\n"
STYLES = {
    "a loop": MODEL + "opt = tg.optim.SGD(model.parameters())\nfor _ in range(3):\n"
    "    loss = ((model(x) - y) ** 2).mean()\n    loss.backward()\n    opt.step()\nraise SystemExit('too far')\n",
    "a compiled loop": MODEL + "opt = tg.optim.SGD(model.parameters())\n@tg.jit\ndef step(x, y):\n"
    "    loss = ((model(x) - y) ** 2).mean()\n    opt.zero_grad(); loss.backward(); opt.step()\n    return loss\n"
    "for _ in range(3):\n    step(x, y)\n",
    "functions": HEAD + "params = {'w': tg.ones((3, 1))}\ndef loss_of(params):\n"
    "    return ((x @ params['w'] - y) ** 2).mean()\nloss, g = tg.value_and_grad(loss_of)(params)\n",
    "fit": HEAD + "from tapegrad.models import Sequential\n"
    "model = Sequential([tg.nn.Dense(4, 'tanh'), tg.nn.Dense(1)])\n"
    "model.compile(optimizer='sgd', loss='mse')\nmodel.fit(x.numpy(), y.numpy(), epochs=2, verbose=0)\n",
}  # fmt: skip
SHOWN = {
    "a loop": "layers.0.kernel",
    "a compiled loop": "layers.1.bias",
    "functions": "params['w']",
    "fit": "model.fit(",
}


@pytest.mark.parametrize("style", STYLES)
def test_a_program_as_it_is(style: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("program.py").write_text(STYLES[style])
    assert main(["tape", "program.py"]) == 0
    page = Path("program.html").read_text(encoding="utf-8")
    assert SHOWN[style] in page and "program.py:" in page and '"kept":true' in page
    assert "wrote program.html" in capsys.readouterr().out


def test_a_later_backward_pass_and_arguments(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text(
        "import sys, tapegrad as tg\nfor k in range(3):\n    w = tg.tensor(float(k), requires_grad=True)\n"
        "    (w * float(sys.argv[1])).backward()\n"
    )
    assert main(["tape", "p.py", "--backward", "2", "--out", "t.html", "--args", "7"]) == 0
    page = Path("t.html").read_text(encoding="utf-8")
    w, product = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])["rows"]
    assert w[0] == "w" and w[5][0][1] == 1, "the second of 0, 1, 2"
    assert product[2] == "multiply(w, 7.0)" and product[5][0][1] == 7


HEAD_2 = "import tapegrad as tg\nx = tg.tensor([1.0, 2.0], requires_grad=True)\n"
# What the program is, and the cotangents of x that its page shows.
GIVEN = {
    "backward": ("y = x * x\ny.backward(tg.tensor([1.0, 5.0]))\n", "2 20"),
    "a list": ("y = x * x\ny.backward([1.0, 5.0])\n", "2 20"),
    "a number": ("(x * x).sum().backward(3.0)\n", "6 12"),
    "a pullback": ("y, back = tg.vjp(lambda x: x * x, x)\nback(tg.tensor([1.0, 5.0]))\n", "2 20"),
    "two outputs": ("_, back = tg.vjp(lambda x: (x * x, 3 * x), x)\n"
                    "back((tg.tensor([1.0, 5.0]), tg.tensor([7.0, 1.0])))\n", "23 23"),
    "one output twice": ("def f(x):\n    y = x * x\n    return y, y\n_, back = tg.vjp(f, x)\n"
                         "back((tg.tensor([1.0, 5.0]), tg.tensor([7.0, 1.0])))\n", "16 24"),
    "an argument among the outputs": ("_, back = tg.vjp(lambda x: (x**3, x), x.detach())\n"
                                      "back((tg.tensor([1.0, 10.0]), tg.tensor([5.0, 7.0])))\n", "8 127"),
    "an argument that is an output alone": ("_, back = tg.vjp(lambda x, y: (y * 2, x), x.detach(), tg.ones(2))\n"
                                            "back((tg.ones(2), tg.tensor([5.0, 7.0])))\n", "5 7"),
    "a checkpoint": ("tg.checkpoint(lambda x: x * x)(x).backward([1.0, 5.0])\n", "2 20"),
    "a leaf first": ("x.backward([1.0, 5.0])\n(x * x).backward([1.0, 5.0])\n", "2 20"),
}  # fmt: skip


@pytest.mark.parametrize("case", GIVEN)
def test_the_page_starts_with_the_cotangent_that_the_program_gives(
    case: str, tmp_path: Path, monkeypatch: Any
) -> None:
    text, shown = GIVEN[case]
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text(HEAD_2 + text)
    assert main(["tape", "p.py"]) == 0
    page = Path("p.html").read_text(encoding="utf-8")
    rows = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])["rows"]
    # No call takes the argument that is an output alone: p1 has no name of its own.
    assert next(row for row in rows if row[0] in ("x", "p1"))[6][0][6] == shown


# Programs that leave the process in another state than they found it in.
MOVED = {
    "another folder": "import os\nos.makedirs('there')\nos.chdir('there')\n",
    "a folder that is gone": "import os\nos.makedirs('gone')\nos.chdir('gone')\nos.rmdir('../gone')\n",
    "another output": "import io, sys\nsys.stdout = sys.stderr = io.StringIO()\n",
}  # fmt: skip


@pytest.mark.parametrize("out", ["", "pages/shown.html"])
@pytest.mark.parametrize("case", MOVED)
def test_the_page_is_where_the_command_was_typed(
    case: str, out: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pages").mkdir()
    Path("p.py").write_text(MOVED[case] + HEAD_2 + "(x * x).sum().backward()\n")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["tape", "p.py", "--open", *(["--out", out] if out else [])]) == 0
    out = out or "p.html"
    assert opened == [(tmp_path / out).as_uri()]
    assert f"wrote {out}: " in capsys.readouterr().out
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.html")] == [Path(out)]


def test_a_missing_folder_is_told_before_the_program_runs(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text("import os\nos.makedirs('no')\nprint('ran')\n")
    assert main(["tape", "p.py", "--out", "no/t.html"]) == 2
    said = capsys.readouterr()
    assert "ran" not in said.out and "--out: there is no folder" in said.err


WRONG = {
    "no backward": ("print(1)\n", [], 2, "no backward pass"),
    "in a thread": (HEAD_2 + "import threading\nt = threading.Thread(target=lambda: x.sum().backward())\n"
                    "t.start(); t.join()\n", [], 2, "no backward pass in its main thread"),
    "too few": ("import tapegrad as tg\nw = tg.ones((), requires_grad=True)\n(w * w).backward()\n",
                ["--backward", "5"], 2, "1 of the 5"),
    "it fails": ("1 / 0\n", [], 1, "ZeroDivisionError"),
    "it ends with a message": ("import sys\nsys.exit('no data')\n", [], 1, "no data"),
    "it ends too early": (HEAD_2 + "import sys\n(x * x).sum().backward()\nsys.exit(3)\n", ["--backward", "2"], 3,
                          "p.py: it ended with the status 3 after 1 of the 2 backward passes"),
    "it ends well and too early": (HEAD_2 + "import sys\nsys.exit(0)\n", [], 2, "no backward pass"),
    "it ends with a status": ("import sys\nprint('bad', file=sys.stderr)\nsys.exit(3)\n", [], 3, "bad"),
    "a quote in its arguments": ("print(1)\n", ["--args", "'"], 2, "--args ': No closing quotation"),
    "written to before": (HEAD_2 + "y = (x + 1.0).sum()\nwith tg.no_grad(): x += 100.0\ny.backward()\n", [], 2,
                          "p.py: no page of its tape: an argument of add, float32[2], was written to"),
    "no page": ("print(1)\n", ["--out", "t.txt"], 2, "expected the name of a page"),
    "no folder": ("print(1)\n", ["--out", "no/t.html"], 2, "no folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_goes_wrong(case: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    text, options, status, message = WRONG[case]
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text(text)
    assert main(["tape", "p.py", *options]) == status
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.parametrize("closed", ["sys.stdout", "sys.stdout, sys.stderr"])
def test_a_program_that_closes_what_it_prints_to(closed: str, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        f"import sys\n{HEAD_2}for stream in ({closed},): stream.close()\n(x * x).sum().backward()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "tapegrad", "tape", "p.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ran.returncode, (tmp_path / "p.html").exists()) == (0, True)
    assert ran.stdout == "" and ran.stderr.startswith("" if "stderr" in closed else "wrote p.html: 2 calls")


# A forked process is none of the command's: it runs as with plain Python, and writes no page.
FORKS = {
    "a pool": "import multiprocessing\ndef work(k):\n    (x * k).sum().backward()\n    return x.grad.tolist()\n"
    "with multiprocessing.get_context('fork').Pool(1) as pool:\n    print(pool.map(work, [3]))\n"
    "    pool.close()\n    pool.join()\n",
    "os.fork": "import os, sys\nchild = os.fork()\nif not child:\n    (x * 3).sum().backward()\n"
    "    print([x.grad.tolist()], flush=True)\n    sys.exit(5)\n"
    "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5\n",
    "os.fork, to its end": "import os\nchild = os.fork()\nif not child:\n    print('[[3.0, 3.0]]', flush=True)\nelse:\n"
    "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n    (x * x).sum().backward()\n",
}  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize("case", FORKS)
def test_a_forked_process_runs_as_it_does(case: str, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(HEAD_2 + FORKS[case] + "(x * x).sum().backward()\n")
    ran = subprocess.run(
        [sys.executable, "-m", "tapegrad", "tape", "p.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "[[3.0, 3.0]]", "wrote p.html: 2 calls, up to backward pass 1 of p.py"
    ]  # fmt: skip


@pytest.mark.parametrize("out", [[], ["--out", os.fsdecode(b"page-\xe9.html")]], ids=["", "out"])
def test_a_name_that_is_no_utf_8(out: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9.py")
    try:
        Path(name).write_text(HEAD_2 + "(x * x).sum().backward()\n")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    assert main(["tape", name, *out]) == 0
    page = Path(out[-1] if out else os.fsdecode(b"caf\xe9.html")).read_bytes().decode("utf-8")
    assert "<title>caf\N{REPLACEMENT CHARACTER}.py</title>" in page


# Programs that catch what ends them, and then write to what the page shows.
CATCHING = {
    "except": "try:\n    y.backward()\nexcept:\n    with tg.no_grad(): x += 100.0\n",
    "finally": "try:\n    y.backward()\nfinally:\n    with tg.no_grad(): x += 100.0\n",
    "a later pass": (
        "try:\n    y.backward()\nexcept:\n    pass\n(x * x * x).sum().backward()\nraise SystemExit('too far')\n"
    ),
    "errors of arithmetic": "import numpy\nwith numpy.errstate(all='raise'), tg.detect_anomaly():\n    y.backward()\n",
}  # fmt: skip


@pytest.mark.parametrize("case", CATCHING)
def test_the_page_is_made_where_the_pass_begins(case: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text(HEAD_2 + "y = (x * x).sum()\n" + CATCHING[case])
    assert main(["tape", "p.py"]) == 0
    page = Path("p.html").read_text(encoding="utf-8")
    rows = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])["rows"]
    assert (rows[0][0], rows[0][5][0][6], rows[0][6][0][6]) == ("x", "1 2", "2 4") and len(rows) == 3


WROTE = "wrote p.html: 2 calls, up to backward pass 1 of p.py\n"
DELETED = "class A:\n    def __del__(self): y.backward()\n"
# Programs that the pass cannot end, or that end the process: the status, what is printed, and the last line of errors.
GOING_ON: dict[str, tuple[str, int, str, str]] = {
    "__del__": (f"{DELETED}a = A()\ndel a\nprint('on')\n", 0, WROTE + "on\n", ""),
    "a finalizer": (
        "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, y.backward)\ndel a\nprint('on')\n",
        0, WROTE + "on\n", ""),
    "another error in __del__": (
        "class A:\n    def __del__(self): 1 / 0\na = A()\ndel a\ny.backward()\n",
        0, WROTE, "ZeroDivisionError: division by zero"),
    "os._exit": ("import os\ntry: y.backward()\nfinally: os._exit(3)\n", 3, WROTE, ""),
    "except BaseException": (
        "try: y.backward()\nexcept BaseException as error: print(error)\n",
        0, WROTE + "tapegrad tape ends the program at this backward pass\n", ""),
    "an error in finally": ("try: y.backward()\nfinally: 1 / 0\n", 0, WROTE, "ZeroDivisionError: division by zero"),
}  # fmt: skip


@pytest.mark.parametrize("case", GOING_ON)
def test_the_page_is_there_however_the_program_goes_on(case: str, tmp_path: Path) -> None:
    text, status, out, error = GOING_ON[case]
    (tmp_path / "p.py").write_text(HEAD_2 + "y = (x * x).sum()\n" + text)
    ran = subprocess.run(
        [sys.executable, "-m", "tapegrad", "tape", "p.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, (tmp_path / "p.html").exists()) == (status, out, True)
    assert ran.stderr.strip().split("\n")[-1] == error and "Reached" not in ran.stderr


def test_a_missing_program(capsys: Any) -> None:
    assert main(["tape", "nowhere.py"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_folder_is_no_program(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("print(1)")
    assert main(["tape", str(tmp_path)]) == 2
    assert (
        f"{tmp_path} is a folder: give the file to run, as in {tmp_path / '__main__.py'}"
        in capsys.readouterr().err
    )
