"""Each guard and each refusal of `tg.jit`, switched off once: some case of the tables must go wrong without it.

    PYTHONPATH=src:tests python tests/switched_off.py          all of them: some three minutes
    PYTHONPATH=src:tests python tests/switched_off.py array    those whose place in the code has this word

Prints a line for each place that asks for a guard or refuses: the first case that sees it gone, "NOBODY" where none
does, or "never" where no case comes there.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import tapegrad as tg
from surroundings import Case, difference, run, truth, wrong_end
from tapegrad.compiler.record.recording import Recording
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.watch import listen
from tapegrad.compiler.watch.guards import Guards
from tapegrad.compiler.watch.walk import Walk

SWITCHES = ((Guards, "need"), (Walk, "refuse"), (Trace, "refuse"), (Recording, "fail"))
ROOMS = ("watch", "record")

Place = tuple[str, int]  # a file's name and a line


def places() -> dict[Place, str]:
    """Every call of a switch in the compiler's code, with the text of the line."""
    names = {name for _, name in SWITCHES} | {"setdefault"}
    found = {}
    root = Path(listen.__file__).parents[1]
    for path in sorted(p for room in ROOMS for p in (root / room).glob("*.py")):
        tree = ast.parse(path.read_text())
        # A call of `need` inside `need` is no place of its own.
        handed_on = {n for f in ast.walk(tree) if getattr(f, "name", "") == "need" for n in ast.walk(f)}
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) and node not in handed_on else None
            name = getattr(called, "attr", getattr(called, "id", ""))
            if name in names and (name != "setdefault" or "impure" in ast.unparse(node)):
                found[path.name, node.lineno] = " ".join(ast.unparse(node).split())[:90]
    return found


class Switchboard:
    """While it is on: which places are called, and that the calls of one of them do nothing.

    off     the place whose calls do nothing
    met     the places that were called
    """

    def __init__(self, known: dict[Place, str]) -> None:
        self.known = known
        self.off: Place | None = None
        self.met: set[Place] = set()

    def place(self, frame: FrameType | None) -> Place | None:
        """Where the calls of `need` that lie inside one another begin."""
        while frame is not None and frame.f_code.co_name == "need":
            frame = frame.f_back
        at = (Path(frame.f_code.co_filename).name, frame.f_lineno) if frame else ("", 0)
        return at if at in self.known else None

    def lets_pass(self) -> bool:
        at = self.place(sys._getframe(2))
        if at is not None:
            self.met.add(at)
        return at is None or at != self.off

    @contextmanager
    def on(self) -> Iterator[None]:
        board, made = self, listen.Listener.__init__

        class Heard(dict[Any, None]):
            def setdefault(self, key: Any, default: Any = None) -> Any:
                return super().setdefault(key, default) if board.lets_pass() else default

        def init(listener: Any, meet: Any) -> None:
            made(listener, meet)
            listener.impure = Heard()

        with ExitStack() as patches:
            for owner, name in SWITCHES:
                patches.enter_context(mock.patch.object(owner, name, self.switch(owner, name)))
            patches.enter_context(mock.patch.object(listen.Listener, "__init__", init))
            # What this module does while a function is recorded is not the function's.
            patches.enter_context(mock.patch.object(listen, "TOOLS", listen.TOOLS | {__name__}))
            yield

    def switch(self, owner: type, name: str) -> Any:
        call = getattr(owner, name)

        def switched(*args: Any, **kwargs: Any) -> Any:
            return call(*args, **kwargs) if self.lets_pass() else None

        return switched


def goes_wrong(case: Case) -> bool:
    want = truth(case)
    got = run(case, lambda f: tg.jit(f, emitter="numpy"))
    return difference(got, want) is not None or wrong_end(case, got) is not None


def main(words: list[str]) -> int:
    cases: dict[str, Case] = {}
    for path in sorted(Path(__file__).parent.glob("stale_*.py")):
        cases |= import_module(path.stem).CASES
    board = Switchboard(places())
    come_to: dict[Place, list[str]] = defaultdict(list)
    with board.on():
        for name, case in cases.items():
            board.met.clear()
            if goes_wrong(case):
                print(f"goes wrong with everything on: {name}")
            for place in board.met:
                come_to[place].append(name)
        unseen = 0
        for place, text in board.known.items():
            if words and not any(word in f"{place[0]}:{place[1]} {text}" for word in words):
                continue
            board.off = place
            found = next((name for name in come_to[place] if goes_wrong(cases[name])), None)
            unseen += found is None
            seen = found or ("NOBODY" if come_to[place] else "never")
            print(f"{place[0]}:{place[1]:<4} {seen:50} {len(come_to[place]):4}  {text}", flush=True)
    print(f"{len(board.known)} places, {unseen} of which no case sees gone")
    return unseen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
