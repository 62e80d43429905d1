"""The recorded calls behind a tensor, to look at. Computing a gradient needs nothing of it, and a write in place asks
`origins` alone which notes hold its memory.

tape        `tg.tape(t)`: the calls in order, as text, Mermaid or DOT
adjoint     the backward pass of a tape, run once, call by call;  repeats: its text, of many steps alike in few lines
sites       `tg.keep_lines()`: the line, the modules and the names of each call;  variables: those names
names       what the leaves and calls of a tape are called
origins     how tensors came about that a graph takes as given;  births: which were made while something ran
what_if/    the calls of a tape, run again on other numbers
"""
