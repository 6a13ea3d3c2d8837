"""Lines of a vibrational spectrum as labels: whose modes they are, by symmetry species and by nearness.

A line is assigned once, to modes of the model that is corrected by it. In training it is then compared with the mode
at the same place of the same species: frequencies of one species do not cross, those of different ones may.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from ...base.errors import InputError
from ...base.settings import check_fields
from ...base.units import FREQUENCY_UNITS
from ...structures.commensurate_cells import FITS, LARGEST_DENOMINATOR
from ..values import Spectrum

HIGHEST_THZ = 160.0  # H2 has 132
# A line is in another unit where its mode is farther than one of these factors, and nearer than the other in that unit.
FAR, AS_NEAR = 2.5, 1.3
LARGEST_WEIGHT = 100.0  # of a line beside a typical one, however certain it is


@dataclass(frozen=True)
class Line:
    """One line of a spectrum.

    Attributes:
        at: frequency in the unit of the list.
        species: symmetry species of its modes, such as "B1u", in any case; None where the list does not say.
        mode: the mode it belongs to, or one of its modes, counted from 1 in ascending frequency of the starting model,
            whole-body motions of a molecule not among them; None where the list does not say.
        uncertainty: standard deviation in the unit of the list; lines weigh by its inverse square. None: that of the
            list.
        intensity: infrared absorption of a molecule, of all its modes together [km/mol]; None where it is not known.
        q: (3,) wave vector in a crystal, reduced coordinates of the cell; brought into (-1/2, 1/2], and to the fraction
            that a typed 0.3333 means.
    """

    at: float
    species: str | None = None
    mode: int | None = None
    uncertainty: float | None = None
    intensity: float | None = None
    q: tuple[float, ...] = (0.0, 0.0, 0.0)

    def __post_init__(self):
        check_fields(self, "a line")
        wrong = len(self.q) != 3 or (self.uncertainty is not None and self.uncertainty <= 0)
        if wrong or (self.intensity is not None and self.intensity < 0):
            raise InputError(
                f"a line at {self.at:g} with uncertainty {self.uncertainty}, intensity {self.intensity} and q {self.q}",
                "an uncertainty is positive, an intensity not negative, and a wave vector has three components",
                "correct or leave them out",
            )
        object.__setattr__(self, "q", tuple(_snapped(x) for x in self.q))


def _snapped(x: float) -> float:
    """A component of a wave vector in (-1/2, 1/2], a fraction where it is near one."""
    fraction = float(Fraction(x).limit_denominator(LARGEST_DENOMINATOR))
    exact = fraction if abs(fraction - x) < FITS else round(x, 9)
    return exact - float(np.ceil(exact - 0.5)) + 0.0


@dataclass(frozen=True)
class Level:
    """Modes of one frequency.

    Attributes:
        places: (dimension,) of its modes, in ascending frequency of all, whole-body motions among them.
        modes: the same as people count them, from 1.
        frequency: mean [THz].
        label: of its species; "" where it has no name.
        species: number of its species.
    """

    places: tuple[int, ...]
    modes: tuple[int, ...]
    frequency: float
    label: str
    species: int


@dataclass(frozen=True, eq=False)
class Levels:
    """All levels at one wave vector, of the model that is to be corrected.

    Attributes:
        vectors: (3n, 3n) orthonormal modes in columns, displacements times square roots of masses.
        levels: ascending; whole-body motions are none.
    """

    vectors: np.ndarray
    levels: tuple[Level, ...]

    def species_of_places(self) -> np.ndarray:
        """(3n,) number of the species of each mode; whole-body motions are one more."""
        species = np.full(len(self.vectors), 1 + max(level.species for level in self.levels))
        for level in self.levels:
            species[list(level.places)] = level.species
        return species


@dataclass(frozen=True)
class Assignment:
    """A line and the modes it was given to.

    Attributes:
        which: number of its wave vector.
        places: of its modes, among the frequencies of the label.
    """

    line: Line
    level: Level
    which: int
    places: tuple[int, ...]


def spectrum_of_lines(
    lines: Sequence[Line],
    levels: Sequence[Levels],
    qpoints: np.ndarray,
    *,
    unit: str,
    uncertainty: float | None = None,
    transport: bool = False,
    source: str = "the spectrum",
) -> tuple[Spectrum, list[Assignment]]:
    """The label that lines are, and which level each was assigned to.

    Lines weigh by the inverse square of their uncertainties relative to the median of the list, LARGEST_WEIGHT at most.

    Args:
        lines: in any order.
        levels: of each wave vector.
        qpoints: (n_q, 3) those of the lines, each once.
        unit: of the lines, one of "cm-1", "THz", "meV".
        uncertainty: of lines that state none.
        transport: lines without species and mode go to the levels that are left, so that the sum of squared distances
            is least; without, such lines are refused.
        source: for messages.

    Raises:
        InputError: a unit that is none, or not that of the numbers; species that the structure lacks; more lines than
            levels, two lines of one level, and lines of one species in the other order than its levels.
    """
    if unit not in FREQUENCY_UNITS:
        raise InputError(
            f"{source}: unit {unit!r}", "lines cannot be read without", f"give one of {', '.join(FREQUENCY_UNITS)}"
        )
    per_thz = FREQUENCY_UNITS[unit][0]
    _check_size(lines, unit, source)
    n_q, n = len(qpoints), len(levels[0].vectors)
    frequencies, weights, absorbed, of_absorbed = np.zeros((4, n_q, n))
    species = np.zeros((n_q, n, n), complex)
    known = [spread for line in lines if (spread := line.uncertainty or uncertainty) is not None]
    typical = float(np.median(known)) if known else 1.0
    assigned: list[Assignment] = []
    for which, q in enumerate(qpoints):
        pairs = _assigned(
            [line for line in lines if np.array_equal(line.q, q)],
            levels[which].levels,
            per_thz,
            transport,
            f"{source}{_at(q)}",
        )
        _check_unit(pairs, unit, source)
        _check_order(pairs, f"{source}{_at(q)}")
        numbers, vectors = levels[which].species_of_places(), levels[which].vectors
        order = np.argsort(numbers, kind="stable")  # species after species, and ascending within each
        place = np.empty(n, int)
        place[order] = np.arange(n)
        for line, level in pairs:
            own, dimension = place[list(level.places)], len(level.places)
            frequencies[which, own] = line.at / per_thz
            spread = line.uncertainty or uncertainty or typical
            weights[which, own] = min((typical / spread) ** 2, LARGEST_WEIGHT) / dimension
            if line.intensity is not None:
                absorbed[which, own] = line.intensity / dimension
                of_absorbed[which, own] = 1 / dimension
            assigned.append(Assignment(line, level, which, tuple(own.tolist())))
        species[which] = (vectors * numbers) @ vectors.conj().T
    intensities = {"intensities": absorbed, "intensity_weights": of_absorbed} if of_absorbed.any() else {}
    return Spectrum(np.asarray(qpoints, float), frequencies, weights, species, **intensities), assigned


def _assigned(
    lines: Sequence[Line], levels: Sequence[Level], per_thz: float, transport: bool, source: str
) -> list[tuple[Line, Level]]:
    """Each line with its level: those that name a mode, those that name a species, and the others."""
    free, pairs = list(levels), []
    by_mode = {mode: level for level in levels for mode in level.modes}
    for line in lines:
        if line.mode is None:
            continue
        level = by_mode.get(line.mode)
        if level is None:
            raise InputError(
                f"{source}: a line at {line.at:g} is of mode {line.mode}",
                f"there are modes {min(by_mode)} to {max(by_mode)}",
                "modes are counted in ascending frequency of the starting model",
            )
        if line.species is not None and level.label and _plain(line.species) != _plain(level.label):
            raise InputError(
                f"{source}: a line at {line.at:g} is of mode {line.mode} and species {line.species}",
                f"that mode is {level.label}",
                "leave one of the two out",
            )
        if level not in free:
            raise InputError(
                f"{source}: two lines are of {_modes(level)}, the second at {line.at:g}",
                "a mode has one frequency, and degenerate ones share it",
                "leave one of them out",
            )
        free.remove(level)
        pairs.append((line, level))
    labels = sorted({level.label for level in levels if level.label})
    named = [line for line in lines if line.mode is None and line.species is not None]
    for name in dict.fromkeys(_plain(str(line.species)) for line in named):
        own = [line for line in named if _plain(str(line.species)) == name]
        if name not in map(_plain, labels):
            raise InputError(
                f"{source}: a line at {own[0].at:g} is of species {own[0].species}",
                "no mode of the structure is",
                f"there are {', '.join(labels)}" if labels else "its modes have no names here: number them by mode",
            )
        pairs += _nearest(own, [level for level in free if _plain(level.label) == name], per_thz, f"{source}, {name}")
    free = [level for level in free if all(level is not taken for _, taken in pairs)]
    nameless = [line for line in lines if line.mode is None and line.species is None]
    if nameless and not transport:
        raise InputError(
            f"{source}: {len(nameless)} lines name neither species nor mode, the first at {nameless[0].at:g}",
            "which modes they are would be a guess",
            "name them, or let them go to the nearest modes that are left: assign: transport",
        )
    return pairs + _nearest(nameless, free, per_thz, source)


def _nearest(lines: Sequence[Line], levels: Sequence[Level], per_thz: float, source: str) -> list[tuple[Line, Level]]:
    """Lines on levels, each on its own, so that the sum of squared distances is least: they do not cross."""
    if len(lines) > len(levels):
        raise InputError(
            f"{source}: {len(lines)} lines for {len(levels)} levels that have none yet",
            "each is a mode, or a degenerate set, of its own",
            "leave out overtones, combinations and lines that are given twice",
        )
    if not lines:
        return []
    distances = np.subtract.outer([line.at / per_thz for line in lines], [level.frequency for level in levels])
    rows, columns = linear_sum_assignment(distances**2)
    return [(lines[i], levels[j]) for i, j in zip(rows, columns, strict=True)]


def _check_size(lines: Sequence[Line], unit: str, source: str) -> None:
    if not lines:
        raise InputError(f"{source} has no lines", "there is nothing to learn from", "give lines")
    top, per_thz = max(line.at for line in lines), FREQUENCY_UNITS[unit][0]
    if not 0 < top < HIGHEST_THZ * per_thz or min(line.at for line in lines) <= 0:
        fits = [name for name, (factor, _) in FREQUENCY_UNITS.items() if 1 < top / factor < HIGHEST_THZ]
        raise InputError(
            f"{source}: lines from {min(line.at for line in lines):g} to {top:g}, read as {unit}",
            f"frequencies are positive, and nothing vibrates faster than {HIGHEST_THZ * per_thz:.0f} {unit}",
            f"set unit to one of {', '.join(fits)}" if fits else "look at the numbers",
        )


def _check_unit(pairs: Sequence[tuple[Line, Level]], unit: str, source: str) -> None:
    """Refuse lines whose modes they are near to in another unit alone."""
    per_thz = FREQUENCY_UNITS[unit][0]
    for other, (factor, _) in FREQUENCY_UNITS.items():
        ratios = [line.at / level.frequency if level.frequency > 0 else 0.0 for line, level in pairs]
        wrong = [
            line
            for (line, _), ratio in zip(pairs, ratios, strict=True)
            if 1 / AS_NEAR < ratio / factor < AS_NEAR and not 1 / FAR < ratio / per_thz < FAR
        ]
        if wrong:
            raise InputError(
                f"{source}: {len(wrong)} of {len(pairs)} lines, the first at {wrong[0].at:g}, are far from their modes "
                f"as {unit} and near them as {other}",
                "units are mixed" if len(wrong) < len(pairs) else "the unit is another",
                f"give all in one unit and name it, such as unit: {other}",
            )


def _check_order(pairs: Sequence[tuple[Line, Level]], source: str) -> None:
    """Refuse lines of one species that are in the other order than their levels: those repel and never cross."""
    by_species: dict[int, list[tuple[Line, Level]]] = {}
    for line, level in sorted(pairs, key=lambda pair: pair[1].places):
        by_species.setdefault(level.species, []).append((line, level))
    for own in by_species.values():
        for (lower, below), (upper, above) in pairwise(own):
            if upper.at < lower.at:
                raise InputError(
                    f"{source}: a line at {lower.at:g} is of {_modes(below)}, one at {upper.at:g} of {_modes(above)}",
                    "modes of one species do not cross: the upper one has the upper line",
                    "exchange them",
                )


def _plain(label: str) -> str:
    """A species as it is compared: A1g and a1g, Σ and S, quotes of any kind are the same."""
    plain = label.strip().lower().replace("″", "''").replace('"', "''").replace("′", "'").replace("’", "'")
    return plain.replace("σ", "s").replace("π", "p").replace("δ", "d")


def _modes(level: Level) -> str:
    """A level as messages name it."""
    modes = f"mode {level.modes[0]}" if len(level.modes) == 1 else f"modes {level.modes[0]} to {level.modes[-1]}"
    return f"{modes} ({level.label})" if level.label else modes


def _at(q: np.ndarray) -> str:
    """A wave vector in words; nothing at Γ."""
    return f", q = ({', '.join(f'{x:g}' for x in q)})" if np.any(q) else ""
