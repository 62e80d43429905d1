"""What the tests of the command line share."""

import sys
from pathlib import Path

import pytest

from tapegrad.cli import main

sys.path.insert(0, str(Path(__file__).parent))  # for tables.py: `cli` itself is the name of a room

from tables import people, write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, with people.csv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tapegrad.backends._process_default", None)
    write("people.csv", people())
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run a command line; (exit status, stdout, stderr)."""

    def run(*arguments):
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as stop:  # argparse's way
            status = stop.code
        return status, *capsys.readouterr()

    return run
