"""The house: the package map, the links, which room may import which, what tests share, what importing it costs."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from tapegrad.backends.install import EXTRAS, install_line

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
FACE = ROOT / "src" / "tapegrad"

# A room imports from its own floor or a lower one.
FLOORS = (("backends",), ("autograd",), ("compiler", "nn", "optim", "data"), ("models",), ("cli",))
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ROOMS = [room for room in FLOOR if (ROOT / room / "__init__.py").exists()]
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]

HEAVY = {
    *("array_api_compat", "cupy", "dask", "h5py", "jax", "joblib", "keras", "matplotlib", "onnx"),
    *("pandas", "safetensors", "scipy", "sklearn", "tensorflow", "torch", "tqdm"),
}
MAX_LINES = 400
MAX_IMPORT_RATIO = 2.0  # `python -m benchmarks import_time` holds it to 1.4


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path, when_loaded: bool = False) -> set[str]:
    """What a file imports, anywhere in it or only at its top level, by its full name; ours as tapegrad.<room>…"""
    package = ("tapegrad", *path.relative_to(ROOT).parts[:-1])
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if when_loaded else ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*start, *filter(None, [node.module])))
            # `from tapegrad import nn` and `from .. import nn` name a room as much as `import tapegrad.nn`.
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


# What a package is imported as, where that is not its name.
IMPORTED_AS = {
    "cupy-cuda12x": "cupy",
    "cupy-cuda13x": "cupy",
    "nvmath-python": "nvmath",
    "scikit-learn": "sklearn",
}
TOOLS = {"test", "bench", "docs"}  # extras of those who work on tapegrad


@pytest.mark.parametrize("extra", sorted(PYPROJECT["project"]["optional-dependencies"].keys() - TOOLS))
def test_every_extra_is_imported(extra: str) -> None:
    """By the package, or by an example that a user runs."""
    files = [*FILES, *(ROOT / "examples").glob("*.py")]
    roots = {name.partition(".")[0] for path in files for name in imported(path)}
    for requirement in PYPROJECT["project"]["optional-dependencies"][extra]:
        package = re.split(r"[<>=\[; ]", requirement)[0]
        assert IMPORTED_AS.get(package, package) in roots, (
            f"{package} is in [{extra}], and nothing imports it"
        )


def test_everything_imported_is_declared() -> None:
    """What a module needs is a dependency of tapegrad or in an extra, not what a dependency happens to bring."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    declared = PYPROJECT["project"]["dependencies"] + [
        r for name in extras.keys() - TOOLS for r in extras[name]
    ]
    names = {IMPORTED_AS.get(name, name) for name in (re.split(r"[<>=\[; ]", r)[0] for r in declared)}
    roots = {name.partition(".")[0] for path in FILES for name in imported(path)}
    assert roots - sys.stdlib_module_names - {"annotationlib"} == names | {"cupyx", "tapegrad"}


def test_the_install_lines_are_those_of_pyproject() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert {name: tuple(extras[name]) for name in extras.keys() - TOOLS} == EXTRAS
    assert install_line("parquet") == f'pip install "{extras["data"][0]}" "{extras["parquet"][1]}"'


SHOWN = [
    *FILES,
    *(path for folder in ("tests", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "site").rglob("*.md"),
]


def test_no_line_installs_tapegrad_by_name() -> None:
    """It is not on PyPI. Where a page or an example names a package, it is the one of pyproject.toml."""
    known = {requirement for requirements in EXTRAS.values() for requirement in requirements}
    for path in SHOWN:
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"pip install [^`\n]*", text):
            assert not re.search(r"['\" ]tapegrad\b", command), short(path)
            named = re.findall(r'"([\w-]+>=[\d.]+)"', command)
            assert {*named} <= known, f"{short(path)}: {command}"


def python(*args: str, executable: str | Path = sys.executable, cwd: Path | None = None, **env: str) -> str:
    """The output of a fresh Python process, without the variables that change what it imports or how fast."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and not k.endswith("_NUM_THREADS")
    }
    done = subprocess.run([executable, *args], cwd=cwd, env={**kept, **env}, capture_output=True, text=True)
    assert done.returncode == 0, f"{args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# --- the map and the links ---


def test_packages_are_the_folders_with_an_init():
    folders = {"tapegrad"}
    for room in ROOMS:
        inits = (ROOT / room).rglob("__init__.py")
        folders.update(".".join(("tapegrad", *init.parent.relative_to(ROOT).parts)) for init in inits)
    assert set(SETUPTOOLS["packages"]) == folders
    assert len(SETUPTOOLS["packages"]) == len(folders), "a package is listed twice"


def test_package_map_names_every_package():
    expected = {name: name.removeprefix("tapegrad.").replace(".", "/") for name in SETUPTOOLS["packages"]}
    assert SETUPTOOLS["package-dir"] == {**expected, "tapegrad": "src/tapegrad"}


def test_every_folder_with_an_init_is_a_known_room():
    strangers = {path.parent.name for path in ROOT.glob("*/__init__.py")} - set(ROOMS)
    assert not strangers, "a new room needs its place in FLOORS"
    assert not (ROOT / "__init__.py").exists()


def test_each_room_has_one_relative_link():
    links = {path.name: os.readlink(path) for path in FACE.iterdir() if path.is_symlink()}
    assert links == {room: f"../../{room}" for room in ROOMS}
    assert all((FACE / name / "__init__.py").exists() for name in links)


def test_no_module_is_loaded_twice():
    """Imports every module, then looks for a file that two entries of sys.modules share."""
    code = (
        "import collections, importlib, json, os, pkgutil, sys, tapegrad\n"
        "names = [m.name for m in pkgutil.walk_packages(tapegrad.__path__, 'tapegrad.')]\n"
        "[importlib.import_module(n) for n in names if not n.endswith('__main__')]\n"
        "files = collections.defaultdict(list)\n"
        "for name, module in list(sys.modules.items()):\n"
        "    if getattr(module, '__file__', None): files[os.path.realpath(module.__file__)].append(name)\n"
        "print(json.dumps({f: n for f, n in files.items() if any(x.startswith('tapegrad') for x in n)}))"
    )
    files = json.loads(python("-c", code, cwd=ROOT))
    assert {f: names for f, names in files.items() if len(names) != 1} == {}
    ours = {str(path) for path in (*FILES, *FACE.glob("*.py")) if path.name != "__main__.py"}
    assert ours <= set(files), f"never imported: {sorted(ours - set(files))}"


def test_version_is_the_same_everywhere():
    import tapegrad

    assert tapegrad.__version__ == PYPROJECT["project"]["version"] == importlib.metadata.version("tapegrad")


# --- the rooms ---


@pytest.mark.parametrize("path", FILES, ids=short)
def test_file_is_readable_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


TORN = re.compile(r"^\s*[\])}]+[:,]?\s+# (?!fmt:|type:|noqa|pragma)")


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "tests").rglob("*.py"))], ids=short)
def test_comments_stand_above_a_statement_of_several_lines(path):
    """The formatter breaks a line that is too long for its comment, and hangs the comment on the closing bracket."""
    torn = [line for line in path.read_text(encoding="utf-8").splitlines() if TORN.match(line)]
    assert not torn, f"put this above the statement: {torn}"


@pytest.mark.parametrize("path", sorted((ROOT / "autograd" / "ops").rglob("*.py")), ids=short)
def test_rules_import_no_array_library(path):
    """Rules reach arrays through `xp` only; this is what keeps each of them working on the GPU."""
    assert {name.split(".")[0] for name in imported(path)} & {"numpy", "cupy", "scipy"} == set()


@pytest.mark.parametrize("path", FILES, ids=short)
def test_imports_go_down(path):
    room = path.relative_to(ROOT).parts[0]
    named = [name.split(".") for name in imported(path)]
    assert not any(name[0] in FLOOR for name in named), "import rooms as tapegrad.<room>"
    targets = {name[1] for name in named if name[0] == "tapegrad" and len(name) > 1}
    upward = {target for target in targets if FLOOR.get(target, 0) > FLOOR[room]}
    assert not upward, f"{room} imports {sorted(upward)}, which stand above it"
    # The face imports every room; a function may still hand it out when it is called (`__array_namespace__` does).
    loaded = [name.split(".") for name in imported(path, when_loaded=True)]
    face = [name for name in loaded if name[0] == "tapegrad" and (len(name) == 1 or name[1] not in FLOOR)]
    assert room == "cli" or not face, f"{room} needs the package's face to load: {face}"


def test_rooms_of_one_floor_import_in_no_circle():
    arrows = {room: set() for room in ROOMS}
    for path in FILES:
        room = path.relative_to(ROOT).parts[0]
        targets = {name.split(".")[1] for name in imported(path) if name.startswith("tapegrad.")}
        arrows[room] |= (targets & arrows.keys()) - {room}
    while leaves := [room for room, targets in arrows.items() if not targets]:
        for leaf in leaves:
            del arrows[leaf]
        for targets in arrows.values():
            targets.difference_update(leaves)
    assert arrows == {}, f"these rooms import each other in a circle: {arrows}"


# --- the tests ---


def test_what_tests_share_stands_in_no_test_module():
    """Test modules of two rooms may have one name, and which of them an import finds depends on what else is run."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    modules = {path.stem for path in tests if path.stem.startswith("test_")}
    found = {short(path): {part for name in imported(path) for part in name.split(".")} for path in tests}
    wrong = {path: sorted(parts & modules) for path, parts in found.items() if parts & modules}
    assert wrong == {}, "these import from a test module: move what they share into a helper module"


# --- what `import tapegrad` loads and costs ---


def test_import_loads_numpy_and_nothing_heavy():
    loaded = python("-c", "import sys, tapegrad; print(*sys.modules)", cwd=ROOT).split()
    assert "numpy" in loaded
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    assert not [name for name in loaded if name.startswith("tapegrad.compiler")], "it comes with tg.jit"


def test_the_compiler_comes_when_it_is_asked_for():
    code = (
        "import sys, tapegrad as tg; listed = {'jit', 'JitWarning', 'TraceError'} <= {*dir(tg)}; "
        "from tapegrad import TraceError; "
        "print(listed, tg.compiler.TraceError is TraceError, tg.jit is sys.modules['tapegrad.compiler'].jit, "
        "hasattr(tg, 'nothing'))"
    )
    assert python("-c", code, cwd=ROOT).split() == ["True", "True", "True", "False"]


def test_import_costs_little_more_than_numpy(tmp_path):
    """Fresh processes, taken in turn, with the bytecode cached as it usually is; the ratio of their medians.

    Processor time, which other work on the machine disturbs less than it does the wall clock.
    """
    code = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"
    times = {"tapegrad": [], "numpy": []}
    for _ in range(12):
        for name, spent in times.items():
            output = python("-c", code.format(name), cwd=ROOT, PYTHONPYCACHEPREFIX=str(tmp_path))
            spent.append(float(output))
    ours, numpy = (statistics.median(spent[1:]) for spent in times.values())  # the first ones fill the cache
    assert ours / numpy <= MAX_IMPORT_RATIO, times


# --- the wheel ---


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory) -> Path:
    """The Python of a new environment that holds the built wheel and, of this one, only the third parties.

    The wheel is made from the source archive, which is made from a copy of the tree without its links: so the archive
    is complete, and the build needs no link.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        FACE, source / "src" / "tapegrad", ignore=lambda _, names: {*ROOMS, "__pycache__"} & {*names}
    )
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    python("-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source))

    # This environment's packages are appended by a line in a .pth file, which does not read the .pth files there: the
    # editable install of the source tree stays out of reach.
    venv.create(folder / "venv", with_pip=False)
    executable = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    (wheel,) = (folder / "dist").glob("*.whl")
    python(
        "-m", "pip", "--python", str(executable), "install", "--quiet", "--no-deps", "--no-index", str(wheel)
    )
    site = python(
        "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", executable=executable
    ).strip()
    Path(site, "third_parties.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return executable


@pytest.mark.xdist_group("wheel")
def test_wheel_holds_what_the_tree_holds(clean_python, tmp_path):
    code = "import pathlib, tapegrad; print(pathlib.Path(tapegrad.__file__).parent)"
    installed = Path(python("-c", code, executable=clean_python, cwd=tmp_path).strip())
    assert clean_python.parents[1] in installed.parents
    modules = {
        path.relative_to(installed).as_posix() for path in installed.rglob("*.py*") if path.suffix != ".pyc"
    }
    stubs = {short(path) for room in ROOMS for path in (ROOT / room).rglob("*.pyi")}
    expected = {short(path) for path in FILES} | {path.name for path in FACE.glob("*.py*")} | stubs
    assert modules - {"py.typed"} == expected - {"py.typed"}
    assert (installed / "py.typed").exists()
    tables = {path.name for path in (installed / "autograd" / "foreign").glob("*.txt")}
    assert tables == {path.name for path in (ROOT / "autograd" / "foreign").glob("*.txt")} != set()
    files = ("autograd", "pages", "files")
    pages = {path.name for path in installed.joinpath(*files).iterdir()}
    assert pages == {path.name for path in ROOT.joinpath(*files).iterdir()} != set()


@pytest.mark.xdist_group("wheel")
def test_wheel_trains_from_another_folder(clean_python, tmp_path):
    code = """
import tapegrad as tg
tg.manual_seed(0)
x = tg.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = tg.tensor([[0.0], [1.0], [1.0], [0.0]])
model = tg.nn.Sequential(tg.nn.Dense(8, activation="tanh", in_features=2), tg.nn.Dense(1, in_features=8))
opt = tg.optim.Adam(model.parameters(), lr=0.1)
for _ in range(100):
    loss = tg.nn.functional.binary_cross_entropy_with_logits(model(x), y)
    opt.zero_grad(); loss.backward(); opt.step()
print(loss.item())
"""
    assert float(python("-c", code, executable=clean_python, cwd=tmp_path)) < 0.05


@pytest.mark.xdist_group("wheel")
def test_wheel_installs_the_command(clean_python, tmp_path):
    command = clean_python.with_name("tapegrad")
    done = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout
    assert "train" in python("-m", "tapegrad", "--help", executable=clean_python, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_wheel_passes_tests_from_another_folder(clean_python, tmp_path):
    """The tests of the core but its three largest tables, which need no TensorFlow, on what a user would have
    installed."""
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    modules = [f"tests/nn/test_module{topic}.py" for topic in ("", "_build", "_state", "_text")]
    rooms = ("tests/autograd", *modules, "tests/models/test_sequential.py")
    large = [
        f"--ignore=tests/autograd/test_{name}.py" for name in ("foreign_names", "foreign_meaning", "writes")
    ]
    output = python(
        "-m", "pytest", "-q", "-m", "not gpu", *large, *rooms, executable=clean_python, cwd=tmp_path
    )
    assert "passed" in output
