"""What every way to second derivatives offers."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
