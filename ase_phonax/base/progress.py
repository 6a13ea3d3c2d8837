"""Who is told how far something long has come."""

from collections.abc import Callable

# Called with (done, total): of what, says whoever takes it. The total is 0 where nobody knows it.
Progress = Callable[[int, int], None]
