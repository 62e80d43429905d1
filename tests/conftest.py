"""A shell has what it runs in the background ignore Ctrl-C, which some tests press: here it is heard all the same."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
