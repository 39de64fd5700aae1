"""A little of the fuzzing in each run; `python -m tests.bridge.fuzzing` is the whole of it."""

from __future__ import annotations

import pytest

from tests.bridge.fuzzing import main


def test_no_exception_escapes_and_nothing_piles_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["6000"]) == 0
    assert "none escaped" in capsys.readouterr().out
