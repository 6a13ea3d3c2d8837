"""The attack of `benchmarks/attack.py`: a few dozen of its cases, and all of them where there is time."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks/attack.py"


def attack(*argv: str, seconds: float) -> None:
    """Run it; what is bad stands in its table, with how to repeat it."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *argv], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_damaged_inputs_are_refused_in_words():
    """Three in a hundred of the cases of the kinds that need no training."""
    kinds = ("structure", "molecule", "label", "model", "frames", "config", "recipe", "born", "spectrum")
    attack("fuzz", "--fraction", "0.03", "--workers", "1", "--kinds", *kinds, seconds=300)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["fuzz", "kills", "disk"])
def test_nothing_is_lost_and_nothing_wrong_is_silent(what):
    attack(what, seconds=3600)
