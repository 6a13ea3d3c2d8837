"""Infrared light on a crystal: strengths of its modes, dielectric function, reflectivity.

    eps(f) = eps_inf + 4 pi F / V  sum_m S_m / (f_m² - f² - i gamma f)
    S_m,ab = p_ma p_mb,     p_m = sum_i Z_i e_im / sqrt(m_i)

over transverse modes at Gamma (X. Gonze and C. Lee, Phys. Rev. B 55, 10355 (1997), section VIII), with S in e²/amu,
squares of frequencies as eigenvalues of D, and a damping that all modes share, which harmonic phonons do not know.
Zeros of n.eps.n without damping are the LO frequencies along n, and sums of S over all modes those of Z_i Z_i^T / m_i.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from phonopy.structure.atoms import PhonopyAtoms

from ...base.errors import InputError
from ...base.files import write_whole
from ...base.units import CM1_PER_THZ, THZ_PER_SQRT_EV_A2_AMU
from ...derivatives.conventions import signed_roots_thz
from ..supercell.constants import crystal_atoms
from .calculator import PolarCalculator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAMPING = 0.15  # THz, 5 1/cm: a crystal of middling quality at room temperature
SAME_THZ = 1e-3  # sets of modes within it are one, where symmetry is not asked
_DARK = 1e-8  # of the strongest: no oscillator


@dataclass(frozen=True)
class PolarMode:
    """Degenerate modes at Gamma that carry a dipole.

    Attributes:
        modes: counted from 1 in ascending frequency, as in phonopy's files.
        frequency_thz: transverse, imaginary as negative [THz].
        strength: (3, 3) sum of p p^T over the set [e²/amu].
    """

    modes: tuple[int, ...]
    frequency_thz: float
    strength: NDArray[np.float64]


@dataclass(frozen=True)
class InfraredResponse:
    """A crystal in infrared light.

    Attributes:
        modes: those that light moves, ascending.
        high_frequency: (3, 3) electronic dielectric tensor.
        coupling: 4 pi F / V times THz² per eV/Å²/amu: strengths times it are THz².
        damping_thz: full width of every line [THz].
        axes: (3, 3) in rows, along which light is polarized: principal axes of the static tensor.
    """

    modes: tuple[PolarMode, ...]
    high_frequency: NDArray[np.float64]
    coupling: float
    damping_thz: float
    axes: NDArray[np.float64]

    def dielectric(self, frequencies_thz: ArrayLike, damping_thz: float | None = None) -> NDArray[np.complex128]:
        """eps (n, 3, 3) at frequencies (n,) [THz]; its imaginary part is positive where light is absorbed.

        Args:
            damping_thz: that of the response unless given [THz].
        """
        f = np.atleast_1d(np.asarray(frequencies_thz, float)).astype(complex)
        width = self.damping_thz if damping_thz is None else checked_damping(damping_thz)
        result = np.tile(self.high_frequency.astype(complex), (len(f), 1, 1))
        for mode in self.modes:
            square = np.sign(mode.frequency_thz) * mode.frequency_thz**2
            result += (self.coupling / (square - f**2 - 1j * width * f))[:, None, None] * mode.strength
        return result

    @property
    def is_stable(self) -> bool:
        """Whether no polar mode is imaginary: otherwise there is no static tensor."""
        return all(mode.frequency_thz > 0 for mode in self.modes)

    @property
    def static(self) -> NDArray[np.float64] | None:
        """(3, 3) dielectric tensor of a clamped cell at zero frequency; None of an unstable crystal."""
        return self.dielectric([0.0])[0].real if self.is_stable else None

    def along_axes(self, frequencies_thz: ArrayLike) -> NDArray[np.complex128]:
        """(n, 3) eps of light polarized along each of `axes`."""
        return np.einsum("xa,nab,xb->nx", self.axes, self.dielectric(frequencies_thz), self.axes)

    def reflectivity(self, frequencies_thz: ArrayLike) -> NDArray[np.float64]:
        """(n, 3) reflected part of light that falls straight on a face, polarized along each of `axes`.

        Exact where these are principal axes at every frequency, as symmetry makes them from orthorhombic crystals up.
        """
        index = np.sqrt(self.along_axes(frequencies_thz))
        return np.asarray(np.abs((index - 1) / (index + 1)) ** 2)

    def grid(self) -> NDArray[np.float64]:
        """(n,) frequencies that show all of it [THz]."""
        highest = max((abs(mode.frequency_thz) for mode in self.modes), default=10.0)
        strengths = sum((np.linalg.eigvalsh(mode.strength)[-1] for mode in self.modes), 0.0)
        # LO² is below the largest TO² and the sum of S / eps over modes.
        beyond = self.coupling * strengths / np.linalg.eigvalsh(self.high_frequency)[0]
        return np.linspace(0.0, 1.1 * np.sqrt(highest**2 + beyond), 2001)


def get_infrared_response(
    polar: PolarCalculator,
    atoms: Atoms | PhonopyAtoms,
    damping_thz: float = DAMPING,
    sets: Sequence[Sequence[int]] | None = None,
) -> InfraredResponse:
    """Modes at Gamma that infrared light moves, and the dielectric function that they make.

    Args:
        polar: of this crystal.
        atoms: relaxed, primitive.
        damping_thz: full width of all lines [THz].
        sets: modes, counted from 1, that symmetry keeps degenerate (`find_irreps`); by their frequencies unless given.

    Raises:
        InputError: a damping that is none; another crystal.
    """
    width = checked_damping(damping_thz)
    crystal = crystal_atoms(atoms)
    matrix = polar.get_dynamical_matrix(crystal, [0.0, 0.0, 0.0])[0]
    values, vectors = np.linalg.eigh((matrix + matrix.conj().T).real / 2)
    frequencies = signed_roots_thz(values)
    used, n = polar.correction, len(crystal)
    displacements = vectors.reshape(n, 3, -1) / np.sqrt(crystal.get_masses())[:, None, None]
    dipoles = np.einsum("iab,ibm->am", used.charges, displacements)
    if sets is None:
        places = np.split(np.arange(3 * n), np.flatnonzero(np.diff(frequencies) > SAME_THZ) + 1)
    else:
        places = [np.array(some) - 1 for some in sets]
    brightest = np.square(dipoles).sum(axis=0).max(initial=0.0)
    modes = tuple(
        PolarMode(
            tuple(int(m) + 1 for m in some),
            float(np.mean(frequencies[some])),
            dipoles[:, some] @ dipoles[:, some].T,
        )
        for some in places
        if np.square(dipoles[:, some]).sum() > _DARK * brightest
    )
    coupling = 4 * np.pi * used.factor / crystal.cell.volume * THZ_PER_SQRT_EV_A2_AMU**2
    response = InfraredResponse(modes, used.dielectric, coupling, width, np.eye(3))
    static = response.dielectric([0.0])[0].real
    return InfraredResponse(modes, used.dielectric, coupling, width, _principal_axes(static))


def checked_damping(damping_thz: float) -> float:
    """A width of lines [THz] that can be one.

    Raises:
        InputError: no number, or a negative one.
    """
    if not (isinstance(damping_thz, int | float | np.number) and 0 <= damping_thz < np.inf):
        raise InputError(
            f"the damping is {damping_thz!r}",
            "it is the width of every line in the dielectric function",
            f"give a width in THz, such as {DAMPING:g}",
        )
    return float(damping_thz)


def _principal_axes(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) principal axes in rows: x, y and z themselves where they are, and else in that order where they can be."""
    scale = np.abs(tensor).max()
    off = tensor - np.diag(np.diag(tensor))
    if np.abs(off).max() < 1e-6 * scale:
        return np.eye(3)
    axes = np.linalg.eigh(tensor)[1].T
    order = [int(np.abs(axes[:, x]).argmax()) for x in range(3)]
    axes = axes[order] if len(set(order)) == 3 else axes
    return np.asarray(axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])[:, None])


def write_infrared(response: InfraredResponse, path: str | PathLike, labels: Sequence[str | None] = ()) -> None:
    """Write infrared.yaml: modes with oscillator strengths, tensors at high and at zero frequency.

    Args:
        labels: Mulliken symbols of the modes, where they are known.
    """
    static = response.static
    lines = [
        "# frequencies and damping in THz, imaginary ones negative; strengths in e^2/amu; tensors by x, y, z",
        f"damping: {response.damping_thz:g}",
        f"high_frequency_dielectric_tensor: {json.dumps((np.round(response.high_frequency, 8) + 0.0).tolist())}",
        f"axes_of_light: {json.dumps((np.round(response.axes, 8) + 0.0).tolist())}",
        f"static_dielectric_tensor: {json.dumps(None if static is None else (np.round(static, 8) + 0.0).tolist())}",
        "modes:",
    ]
    for mode, label in zip(response.modes, labels or [None] * len(response.modes), strict=True):
        lines += [
            f"- band_indices: {json.dumps(mode.modes)}",
            f"  frequency: {mode.frequency_thz:.10f}",
            f"  ir_label: {json.dumps(label)}",
            f"  oscillator_strength: {json.dumps((np.round(mode.strength, 10) + 0.0).tolist())}",
        ]
    write_whole(path, "\n".join(lines) + "\n")


def write_dielectric_function(response: InfraredResponse, path: str | PathLike) -> None:
    """A table (CSV) of eps, reflectivity and energy loss -Im 1/eps along the three `axes`, by frequency."""
    grid = response.grid()
    eps, reflected = response.along_axes(grid), response.reflectivity(grid)
    names = ["frequency (THz)", "wavenumber (1/cm)"]
    columns = [grid, CM1_PER_THZ * grid]
    for axis in range(3):
        names += [f"{what} {axis + 1}" for what in ("Re eps", "Im eps", "reflectivity", "loss")]
        columns += [eps[:, axis].real, eps[:, axis].imag, reflected[:, axis], 0.0 - (1 / eps[:, axis]).imag]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[f"{x:.8g}" for x in row] for row in np.column_stack(columns)])
    write_whole(path, text.getvalue())


def draw_infrared(response: InfraredResponse, title: str = "", unit: str = "cm-1") -> Figure:
    """Reflectivity above, absorption and energy loss below, for light along each axis that differs from the others.

    Args:
        title: above the picture; may hold mathtext.
        unit: of frequencies, "THz", "cm-1" or "meV".

    Returns:
        matplotlib Figure, 7 by 5 inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ...base.drawing import ELEMENTS, QUIET, STYLE, frequency_unit

    factor, printed = frequency_unit(unit)
    grid = response.grid()
    eps, reflected = response.along_axes(grid), response.reflectivity(grid)
    shown: list[tuple[int, str]] = []
    for axis in range(3):
        alike = [i for i, _ in shown if np.abs(eps[:, i] - eps[:, axis]).max() < 1e-3 * np.abs(eps).max()]
        words = "(" + ", ".join(f"{x:g}" for x in np.round(response.axes[axis], 2) + 0.0) + ")"
        shown = [(i, f"{w}, {words}" if i in alike else w) for i, w in shown] if alike else [*shown, (axis, words)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 5.0))  # without a layout that is searched for: it would cost a fifth of a second
        figure.subplots_adjust(left=0.09, right=0.98, bottom=0.1, top=0.91, hspace=0.07)
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True)
        for (axis, words), colour in zip(shown, ELEMENTS, strict=False):
            above.plot(factor * grid, reflected[:, axis], color=colour, lw=1.2, label=f"light along {words}")
            # Both are drawn to their own heights: one is hundreds, the other of order one.
            for values, style in ((eps[:, axis].imag, "-"), (-(1 / eps[:, axis]).imag, "--")):
                below.plot(factor * grid, values / (values.max() or 1.0), color=colour, lw=1.1, ls=style)
        for axes in (above, below):
            for mode in (mode for mode in response.modes if mode.frequency_thz > 0):
                axes.axvline(factor * mode.frequency_thz, color=QUIET, lw=0.6, ls=":")
        below.plot([], [], color=QUIET, ls="-", label="absorption, Im ε")
        below.plot([], [], color=QUIET, ls="--", label="loss, -Im 1/ε")
        above.set(ylabel="reflectivity", ylim=(0, 1.02), xlim=(0, factor * grid[-1]))
        below.set(xlabel=f"frequency ({printed})", ylabel="relative to its maximum", ylim=(0, 1.05))
        above.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderpad=0)
        below.legend(frameon=False, fontsize=8)
        if any(mode.frequency_thz <= 0 for mode in response.modes):
            title = f"{title}   (imaginary polar modes are left out)".strip()
        if title:
            above.set_title(title, loc="left", pad=18)  # above the names of axes
    return figure
