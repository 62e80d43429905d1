"""What becomes of the calls of a compiled function that no program fits: recorded, how often, and until when."""

import sys
import warnings
from typing import TYPE_CHECKING, Any

from tapegrad.autograd.arguments import truth
from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.emit.available import checked, why_not_compiled
from tapegrad.compiler.errors import JitWarning, TraceError
from tapegrad.compiler.record.tree import take_apart
from tapegrad.compiler.run.case import Case, NoCase
from tapegrad.compiler.run.messages import frames_inside, log
from tapegrad.compiler.run.readable import Readable
from tapegrad.compiler.watch.lines import it_changes, with_line
from tapegrad.compiler.watch.parameters import lazy_code

if TYPE_CHECKING:
    from tapegrad.compiler.record.recording import Recording

PROGRAMS = 64  # of one function at most: each holds buffers of its own
RESTLESS = 2  # runs of one kind in a row that each did something else than the last: then it runs as Python
# Recordings in a row without a program that could be used: then it runs as Python. Shapes may come in many kinds, each
# for the first time; what else is new each time will be new the next time, too.
UNSETTLED, UNSETTLED_SHAPES = 12, 32
PAID_BACK = 10  # calls of programs for which one more recording is forgotten
RECORDINGS = 2 * PROGRAMS  # of one function, if its programs ran less often than that
DISTURBED = 10  # runs of one kind during which another thread may have drawn from the host's random streams
CONTRADICTED = 3  # calls in which a program raised and Python did not: then that kind runs as Python
HOPELESS = 3  # kinds of call in a row that no program can have: then none is recorded any more


class Recorded(Readable):
    """The part of a compiled function that records it for each kind of call.

    unsettled   recordings in a row without a program that could be used
    changing    recordings in a row that each changed an argument
    paid        how many calls of programs have been set against recordings
    replaced    places that are inputs, since they held one tensor and then another
    captured    places that are no inputs though they did: a program writes to them
    warned      whether it was said that calls run as Python
    """

    f: Function
    lock: Any
    unsettled: int
    changing: int
    paid: int
    replaced: set[str]
    captured: set[str]
    warned: bool

    @property
    def emitter(self) -> str:
        """What writes the programs. Who sets it has each kind of call recorded for the new one."""
        found: str = vars(self)["emitter"]
        return found

    @emitter.setter
    def emitter(self, emitter: str) -> None:
        checked(emitter)
        with self.lock:
            self.write_by(emitter)
            self.cases.clear()
            self.last = None if self.refused is None else self.last

    @property
    def strict(self) -> bool:
        """Whether what cannot be compiled raises TraceError. Who sets it has what runs as Python recorded once more."""
        found: bool = vars(self)["strict"]
        return found

    @strict.setter
    def strict(self, strict: bool) -> None:
        vars(self)["strict"] = truth("tg.jit: strict", strict)
        if strict:
            self.refused, self.last, self.unsettled = None, None, 0
            self.cases[:] = [case for case in self.cases if case.reason is None]

    def write_by(self, emitter: str) -> None:
        """Have an emitter write the programs to come; those that are there stay."""
        vars(self)["emitter"] = emitter

    def begin(self, args: Args, kwargs: Kwargs) -> bool:
        """Count a new kind of call, and why it is new. False, with a warning: it cannot be recorded."""
        if (why := self.why_not_recorded(args, kwargs)) is not None:
            self.last = NoCase(why)
            self.warn(why)
            return False
        reason = self.news(args, kwargs)
        self.unsettled = max(self.unsettled - (self.compiled - self.paid) // PAID_BACK, 0) + 1
        self.paid = self.compiled
        if self.unsettled > (UNSETTLED_SHAPES if ": a tensor of shape " in reason else UNSETTLED):
            why = self.why_unsettled(reason)
            self.unsettled -= 1  # this call is not recorded
            self.give_up(why)
            return False
        if len(self.reasons) >= max(RECORDINGS, self.compiled):
            self.give_up(
                f"it was recorded {len(self.reasons)} times for {self.compiled} calls of a program, the last time for "
                f"{reason}. Keep what is replaced, and write into it"
            )
            return False
        self.reasons.append(reason)
        return True

    def why_unsettled(self, reason: str) -> str:
        made = self.cases[0].recording if self.cases else None
        if made is not None and made.changed and self.changing:
            return with_line(it_changes(made.changed), made.code)
        why = f"it was recorded {self.unsettled - 1} times in a row and a guard failed each time: {reason}"
        why = with_line(why, made.code if made is not None else (), at_end=True)
        return f"{why}. Hold what differs at each call in a tensor, as in tg.tensor(0.1), or keep it outside"

    def why_not_recorded(self, args: Args, kwargs: Kwargs) -> str | None:
        if sys.getprofile() is not None:
            return "a profiler is on: it is recorded when none is"
        if (code := lazy_code(self.f)) is not None:
            return with_line("it is a generator or async function: compile what it calls", [code])
        return why_not_compiled(
            self.emitter, [t for t in take_apart((args, kwargs))[0] if isinstance(t, Tensor)]
        )

    def attempt(self, args: Args, kwargs: Kwargs, before: Case | None, keep: bool = True) -> Any:
        """Run f and record it; if `before`, the case that matched, came to the same, it has its program now.

        keep   whether what f did to tensors, gradients, optimizers and random streams is to stay
        """
        from tapegrad.compiler.record.recording import record  # slow to import, and few recordings are made

        places = {} if before is None or before.recording.reason else before.guards.places(args, kwargs)
        try:
            made, result = record(self.f, args, kwargs, self.replaced, self.strict)
        except BaseException:
            if before is None:  # f raised: that says nothing about its programs
                self.unsettled -= 1
                self.reasons.pop()
            raise
        if made.written_places:
            return self.without_case(made, result, keep)
        case = Case(made, self.__name__, self.emitter, current.get().grad)
        why = made.reason if before is None else before.compared(made, args, kwargs, places)
        hopeless, given_up = self.judged(case, before, why)
        self.changing = self.changing + 1 if before is None and made.changed else 0
        if self.changing >= HOPELESS and not made.final:
            why, hopeless = it_changes(made.changed), True
        if hopeless or given_up:
            why = with_line(str(why), made.code)
            made.turned_down(lambda: self.warn(str(why)))
        made.stay() if keep else made.take_back()
        if before is not None:
            self.cases[:] = [c for c in self.cases if c is not before]
        if before is not None and why is None:
            self.settle(case)
        elif hopeless or given_up:
            self.turn_down(case, str(why), given_up)
        self.cases.insert(0, case)
        self.last = case
        del self.cases[PROGRAMS:]
        if self.refused is not None:
            self.release()
        return result

    def judged(self, case: Case, before: Case | None, why: str | None) -> tuple[bool, bool]:
        """Whether calls of this kind will come to no program, and whether no call will. Counts for the next one.

        why   what keeps the recording from being a program, or from being the same as the one before
        """
        made = case.recording
        again = before is not None and before.recording.reason is not None
        case.disturbed = made.disturbed + (before.disturbed if before is not None else 0)
        if made.disturbed:
            again = case.disturbed >= DISTURBED
        hopeless = made.reason is not None and (made.final or again)
        if before is not None and why is not None and not (again or hopeless or made.disturbed):
            case.restless = before.restless + 1
        return hopeless, case.restless >= RESTLESS

    def turn_down(self, case: Case, reason: str, all_calls: bool) -> None:
        """Calls of this kind run as Python from now on; or all calls, also where no kind comes to a program."""
        if all_calls or (self.unsettled >= HOPELESS and not any(c.ready for c in self.cases)):
            self.refused = reason
        else:
            case.reason = reason

    def without_case(self, made: "Recording", result: object, keep: bool) -> Any:
        """A run that took for an input what it writes to: the next one of its kind does not."""
        again = [name for name in made.written_places if name in self.captured]
        self.captured |= {*made.written_places}
        self.replaced -= self.captured
        if again:
            why = f"it writes into {', '.join(again)}, where another tensor may be at each call. Keep one there, or "
            made.turned_down(
                lambda: self.give_up(f"{why}set a new one, as in p.grad = p.grad * 0.5 or = None")
            )
        if keep:
            made.stay()
        else:
            made.take_back()
        return result

    def settle(self, case: Case) -> None:
        self.unsettled = 0
        case.settle()
        number, reason = len(self.reasons), self.reasons[-1]
        log("%s: recording %d (%s), run by %s", self.__name__, number, reason, case.runner.emitter)

    def give_up(self, reason: str) -> None:
        """All calls run as Python from now on."""
        if self.strict:  # the next call is told what differs from the last one: the others' arguments go
            self.cases[:] = [case for n, case in enumerate(self.cases) if case.ready or n == 0]
        else:
            self.refused = reason
            self.release()
        self.warn(reason)

    def contradict(self, case: Case, raised: str) -> None:
        """Count a call in which the program raised and Python did not; the last of several that may be: no more."""
        case.contradicted += 1
        if case.contradicted == CONTRADICTED:
            case.ready = False
            case.reason = (
                f"its program raised in {CONTRADICTED} calls what Python did not raise, {raised}. That is a fault of "
                "tapegrad: please report it"
            )
            # The call is done, so that under strict, too, this is a warning.
            warnings.warn(self.warning(case.reason), JitWarning, stacklevel=frames_inside())

    def release(self) -> None:
        """No program runs any more: what the recordings keep alive, such as arguments, goes."""
        self.cases.clear()
        self.last = NoCase(str(self.refused))

    def warn(self, reason: str) -> None:
        """Say that a call runs as Python, as a warning the first time; TraceError if strict."""
        if self.strict:
            raise TraceError(f"tg.jit: {reason}")
        log("%s: runs as Python: %s", self.__name__, reason)
        if not self.warned:
            self.warned = True
            warnings.warn(self.warning(reason), JitWarning, stacklevel=frames_inside())

    def warning(self, reason: str) -> str:
        return f"tg.jit: {self.__name__} runs as Python: {reason} (strict=True raises instead)"

    def news(self, args: Args, kwargs: Kwargs) -> str:
        """What is new about a call, beside the case that is most like it."""
        if not self.cases:
            return "the first call"
        if not (alike := [case for case in self.cases if case.grad is current.get().grad]):
            return "gradients are on" if current.get().grad else "gradients are off"
        lines = min((case.why_not(args, kwargs) for case in alike[:8]), key=len)
        self.replaced |= {line.name for line in lines if line.place} - self.captured
        return lines[0].name if lines else "a check inside the program failed"
