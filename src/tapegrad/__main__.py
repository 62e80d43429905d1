"""`python -m tapegrad` is the `tapegrad` command."""

from tapegrad.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
