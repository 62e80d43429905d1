"""One kind of call: what must hold for it, and the program for it, or why it runs as Python."""

from typing import TYPE_CHECKING, Any

from tapegrad.autograd.whole import uninterrupted
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.collection import no_collection
from tapegrad.compiler.watch.guards import MOVED, Line
from tapegrad.compiler.watch.lines import it_changes
from tapegrad.compiler.watch.shared_memory import memory

if TYPE_CHECKING:
    from tapegrad.compiler.record.recording import Recording
    from tapegrad.compiler.run.runner import Runner


class OtherCase(Exception):
    """A check inside the program failed, or it raised: the function itself is to run. Everything is as before the call.

    line   that of the program that raised, "" if it is not known; None: a check failed
    error  what it raised, in words; "" where that may be a warning of Python's
    """

    def __init__(self, line: str | None = None, error: str = "") -> None:
        self.line, self.error = line, error


class NoCase:
    """A call that could not be recorded, or of a function that is recorded no more, and ran as Python."""

    ready = False

    def __init__(self, reason: str) -> None:
        self.reason = self.why_python = reason

    def status_line(self) -> str:
        return f"Python: {self.reason}"


class Case:
    """A recording and what became of it.

    runner   the program, once two runs came to the same; before that it is made when somebody wants to read it
    reason   why calls of this kind run as Python, or None
    restless   how many runs in a row each did something else than the one before
    disturbed   how many runs of its kind another thread may have disturbed
    contradicted   how many calls the program raised in and Python did not
    """

    def __init__(self, recording: "Recording", name: str, emitter: str, grad: bool) -> None:
        self.recording, self.name, self.emitter, self.grad = recording, name, emitter, grad
        self.guards = recording.guards
        self.reason: str | None = None
        self.ready, self.restless, self.disturbed, self.contradicted = False, 0, 0, 0
        self.check: Any = None  # the guards as one function, when there is a program
        self._runner: Runner | None = None

    @property
    def why_python(self) -> str | None:
        """Why its last call ran as Python, though a second one may yet come to a program."""
        return self.reason or self.recording.reason

    def match(self, args: Args, kwargs: Kwargs) -> Any:
        """The arrays of the inputs, if this call is of the kind; None if not."""
        arrays = (self.check or self.guards.match)(args, kwargs)
        return self.follow(args, kwargs) if arrays is MOVED else arrays

    @property
    def runner(self) -> "Runner":
        if self._runner is None:
            from tapegrad.compiler.run.runner import Runner  # slow to import, and few programs are made

            with no_collection():
                self._runner = Runner(self.recording, self.name, self.emitter)
        return self._runner

    def settle(self) -> None:
        """Two runs came to the same: from now on the program runs."""
        runner = self.runner
        with uninterrupted():
            self.hold(runner)
            self.guards.compile()
            self.check = self.guards.match
            self.ready = True

    def hold(self, runner: "Runner") -> None:
        """From now on the check asks whether tensors have the contents that the program is bound to."""
        if self.guards.program_memory:
            self.guards.program_memory[:] = memory(runner.bound)
        guards, local_of = self.guards, self.recording.local_of
        for t, array in zip(runner.captured, runner.bound):
            guards.hold(local_of[id(t)], array)
        captured = set(map(id, runner.captured))
        # Of these the program reads no number, but may follow their shape.
        others = {id(t): t for t in (*self.recording.asked, *self.recording.captured)}
        for t in others.values():
            if id(t) not in captured:
                guards.hold(local_of[id(t)], t.data)

    def follow(self, args: Args, kwargs: Kwargs) -> Any:
        """Captured tensors have their contents elsewhere now: bind the program to these, if it can be."""
        runner = self.runner
        asked = self.recording.asked
        moved = any(
            leaf._data is not a for leaf, a in zip(asked, self.guards.held(self.recording.local_of, asked))
        )
        if runner.why_not_follow() is not None or (moved and not set(asked) <= set(runner.captured)):
            return None
        if self.guards.program_memory:  # an array of the user's may lie where the new contents are
            return None
        runner.bind([t.data for t in runner.captured])
        self.guards.hold_again({self.recording.local_of[id(t)]: t.data for t in runner.captured})
        arrays = self.guards.match(args, kwargs)
        return None if arrays is MOVED else arrays

    def why_not(self, args: Args, kwargs: Kwargs) -> list[Any]:
        """What does not hold for this call, by the user's names."""
        failures = self.guards.failures(args, kwargs)
        if not failures and self.ready and (moved := self.runner.why_not_follow()):
            return [Line("", moved)]
        return failures

    def compared(
        self,
        made: "Recording",
        args: Args,
        kwargs: Kwargs,
        places: dict[str, object],
    ) -> str | None:
        """What keeps a second run from being the same as this one. places: what was in its places before it."""
        from tapegrad.compiler.record.difference import difference

        if self.recording.reason or made.reason:
            return made.reason or self.recording.reason
        if self.guards.match(args, kwargs, after=True):
            now = self.guards.places(args, kwargs)
            changed = [name for name, t in places.items() if now.get(name) is not t]
        else:
            changed = [line.subject for line in self.guards.failures(args, kwargs, after=True)]
        if changed:
            return it_changes(changed)
        if line := made.ran_more_than(self.recording):
            return (
                f"other code ran than before at {line}, though nothing that it can reach by name had changed"
            )
        return difference(self.recording, made)

    def status_line(self) -> str:
        if self.reason is not None:
            return f"Python: {self.reason}"
        return self.runner.status_line() if self.ready else "Python: recorded once so far"
