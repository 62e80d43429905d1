"""The error of `Tape.what_if` where it cannot know what the program would do on other numbers."""

INSTEAD = "run the program itself on the new numbers"


class Refusal(RuntimeError):
    """A RuntimeError that says why, and what to do instead; an error of the program is none."""


def refusal_in(error: BaseException | None) -> Refusal | None:
    """The refusal that an error is, or that it was raised from."""
    while error is not None and not isinstance(error, Refusal):
        error = error.__cause__
    return error
