"""Where elements stand in the periodic table, and which are alike."""

import numpy as np

NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)  # the last element of each period
# Distances at which elements are alike by exp(-1/2): periods, and groups of the main table. The ten groups of
# transition metals, alike among themselves, take up the room of five.
PERIODS, GROUPS = 2.0, 1.5


def place(number: int) -> tuple[float, float]:
    """Period, and position along it: groups 1 and 2 at 1 and 2, 3 to 12 at 2.5 to 7, 13 to 18 at 8 to 13.

    Lanthanides and actinides stand with group 3.
    """
    period = next(k for k, last in enumerate(NOBLE) if number <= last)
    from_start, to_end = number - NOBLE[period - 1], NOBLE[period] - number
    if from_start <= 2 and number != 2:
        return period, from_start
    group = 18 - to_end
    if group > 12:
        return period, group - 5
    return period, 2 + (max(group, 3) - 2) / 2


def likeness(numbers: tuple[int, ...], share: float) -> np.ndarray:
    """(n, n) matrix that makes independent rows of normal numbers, one for each element, alike for similar elements.

    Its rows have length 1, so that each row of the product is distributed as before.

    Args:
        numbers: atomic numbers.
        share: correlation of elements in the same place, 0 to below 1: the rest stays each one's own.
    """
    places = np.array([place(z) for z in numbers])
    steps = (places[:, None] - places) / (PERIODS, GROUPS)
    return np.linalg.cholesky(share * np.exp(-np.sum(steps**2, -1) / 2) + (1 - share) * np.eye(len(numbers)))


def nearest(number: int, known: tuple[int, ...]) -> int:
    """Of the elements that are known the one that is most alike: of the same group first, then by distance."""
    period, position = place(number)

    def distance(other: int) -> tuple[bool, float, int]:
        own_period, own_position = place(other)
        apart = ((own_period - period) / PERIODS) ** 2 + ((own_position - position) / GROUPS) ** 2
        return own_position != position, apart, abs(other - number)

    return min(known, key=distance)
