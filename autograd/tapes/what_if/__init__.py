"""`Tape.what_if`: the calls of a tape, run again on other numbers, or an error where the program would do other things.

again      the calls in order, on new values of leaves
values     these new values: which leaf each is for, and whether it can hold it
watched    functions under checkpoint and custom_gradient, which run again as a whole, watched for what they use besides
           their arguments
kept       what such a function may have kept from one call to the next, put back after it
refusal    the error
"""
