"""Units and signs of labels, tested against each other: a wrong one is learned as readily as a right one.

Each check takes all frames, looks at those that have its label, and raises an InputError with the factor or the size
that was measured and what it usually means. `targets` says which label is checked by which of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import InputError
from ..base.units import THZ_PER_SQRT_EV_A2_AMU
from .values import SecondOrder, Spectrum

if TYPE_CHECKING:
    from .labels.frames import Frame

# Pairs of frames farther apart are not joined: the trapezoid would not hold, or an atom was wrapped.
FARTHEST = 0.4  # Å, any atom
ENOUGH_PAIRS = 3
COMPARED = 300  # frames of one kind, of more than that every n-th
# Factors this far from the one that was measured, on a logarithmic scale, are named.
ALIKE = 0.15
# One Hessian is a tangent where two make a trapezoid: not trusted as far.
FARTHEST_OF_ONE = 0.15  # Å, any atom
# Below this correlation nothing is concluded; above it the factor must be one within TOLERATED.
CORRELATION = 0.9
TOLERATED = 1.4
HARTREE, BOHR, RYDBERG = 27.211386, 0.529177, 13.605693
# Factor by which labels would be wrong -> what was likely done.
LIKELY_FORCES = {
    -1.0: "the opposite sign (gradients in place of forces)",
    1 / BOHR: "energies in Hartree and forces in Hartree/Bohr, positions in Å",
    HARTREE / BOHR: "forces in Hartree/Bohr, energies in eV",
    HARTREE: "one of them in Hartree",
    1 / HARTREE: "one of them in Hartree",
    RYDBERG: "one of them in Rydberg",
    RYDBERG / BOHR: "forces in Rydberg/Bohr, energies in eV",
    23.0605: "one of them in kcal/mol",
    1 / 23.0605: "one of them in kcal/mol",
    96.4853: "one of them in kJ/mol",
    1 / 96.4853: "one of them in kJ/mol",
    1000.0: "one of them in meV",
    1 / 1000.0: "one of them in meV",
}
LIKELY_HESSIANS = {
    -1.0: "the opposite sign (gradients in place of forces, or force derivatives in place of second derivatives)",
    HARTREE / BOHR**2: "second derivatives in Hartree/Bohr², forces in eV/Å",
    HARTREE / BOHR**2 / 2: "second derivatives in Rydberg/Bohr², forces in eV/Å",
    1 / BOHR: "second derivatives in Hartree/Bohr² and forces in Hartree/Bohr, positions in Å",
    BOHR / HARTREE: "forces in Hartree/Bohr, second derivatives in eV/Å²",
    1 / 1000.0: "forces in meV/Å or second derivatives in meV/Å²",
    1000.0: "forces in meV/Å or second derivatives in meV/Å²",
}
CONVERT = "convert to eV and Å; forces are minus the gradient, second derivatives plus the curvature"
LARGEST_STRESS = 3.0  # eV/Å³, 480 GPa
ENOUGH_STRAINED, CORRELATION_OF_STRESSES = 10, 0.7
LARGEST_MODULUS = 6.0  # eV/Å³, 960 GPa: twice diamond's
FREQUENCY_RANGE = (0.5, 200.0)  # THz, of the stiffest mode
BOUND_HYDROGEN, BOUND_FREQUENCY = 1.15, 45.0  # Å, THz: whatever holds a hydrogen that close is stiffer than that
SQUEEZED_HYDROGEN = 600.0  # THz, of a bond to hydrogen 0.3 Å too short; a wrong unit makes ten times the right 110
ASYMMETRY = 0.02
SUM_RULE = 0.1
# Strongest force that pulls back over the strongest that drives away, below which the sign of all is taken to be wrong.
# Of 3266 crystals labelled by a universal potential 16 have a negative trace: 13 with 0.34 or more, and three with 0.12
# to 0.27, which nobody will miss. Wrong signs of crystals with a few soft modes have 0.1.
RESTORING = 1 / 3


def neighbouring_pairs(
    frames: Sequence[Frame], wanted: Callable[[Frame], bool] = lambda frame: True
) -> Iterator[tuple[Frame, Frame, np.ndarray]]:
    """Each wanted frame with the nearest of the same atoms, cell and field, and the displacement (n, 3) from it."""
    groups: dict[tuple, list[Frame]] = {}
    for frame in frames:
        atoms = frame.atoms
        field = b"" if frame.field is None else np.round(frame.field, 9).tobytes()  # elsewhere is another energy
        key = (atoms.numbers.tobytes(), atoms.pbc.tobytes(), np.round(atoms.cell.array, 6).tobytes(), field)
        groups.setdefault(key, []).append(frame)
    for group in groups.values():
        # Wanted ones last, so that each of them finds the others before it; thinned out apart, so that none is lost
        # for being rare.
        others, chosen = ([f for f in group if wanted(f) is which] for which in (False, True))
        others, chosen = (some[:: max(1, len(some) // COMPARED)] for some in (others, chosen))
        group = others + chosen
        positions = np.array([f.atoms.positions for f in group])
        for k in range(max(1, len(others)), len(group)):
            moved = positions[k] - positions[:k]
            near = int(np.abs(moved).max((1, 2)).argmin())
            if 0 < np.abs(moved[near]).max() < FARTHEST:
                yield group[near], group[k], moved[near]


def compare(
    labels: list[float],
    derived: list[float],
    what: str,
    frames: Sequence[Frame],
    usual: dict[float, str],
    remedy: str = CONVERT,
) -> None:
    """Refuse labels that are a factor times what other labels say of them, with a factor that is clearly not one."""
    x, y = np.array(derived), np.array(labels)
    if len(x) < ENOUGH_PAIRS or not x.any() or not y.any():
        return
    correlation = x @ y / np.sqrt((x @ x) * (y @ y))
    factor = x @ y / (x @ x)
    if abs(correlation) < CORRELATION or 1 / TOLERATED < factor < TOLERATED:
        return
    off = {k: abs(np.log(k / factor)) for k in usual if k * factor > 0}
    near = [usual[k] for k in sorted(off, key=lambda k: off[k]) if off[k] < ALIKE]
    likely = ", or ".join(dict.fromkeys(near)) or "another unit or sign"
    raise InputError(
        f"{frames[0].origin or 'the frames'}: {what} disagree by a factor of {factor:.4g} "
        f"(correlation {correlation:.3f} over {len(x)} pairs)",
        f"they were to be one another's derivative; this looks like {likely}",
        remedy,
    )


def check_forces(frames: Sequence[Frame]) -> None:
    """Refuse forces that are not minus the slope of the energy: neighbouring frames must obey dE = -F.dx."""
    known = [f for f in frames if f.energy is not None and f.forces is not None]
    changes, works = [], []
    for a, b, moved in neighbouring_pairs(known):
        assert a.energy is not None
        assert b.energy is not None
        assert a.forces is not None
        assert b.forces is not None
        changes.append(b.energy - a.energy)
        works.append(-0.5 * float(np.sum((a.forces + b.forces) * moved)))
    compare(changes, works, "changes of the energy and forces times displacements", known, LIKELY_FORCES)


def check_hessians(frames: Sequence[Frame]) -> None:
    """Refuse Hessians that are not minus the slope of the forces: neighbouring frames must obey dF = -H dx."""
    known = [f for f in frames if f.forces is not None]
    changes: list[float] = []
    products: list[float] = []
    for a, b, moved in neighbouring_pairs(known, _has_hessian):
        assert a.forces is not None
        assert b.forces is not None
        hessians = [f.second.matrices[0].real for f in (a, b) if _has_hessian(f) and f.second is not None]
        if len(hessians) == 1 and np.abs(moved).max() > FARTHEST_OF_ONE:
            continue
        products.extend(-(np.mean(hessians, axis=0) @ moved.ravel()))
        changes.extend((b.forces - a.forces).ravel())
    what = "changes of the forces and second derivatives times displacements"
    compare(changes, products, what, known, LIKELY_HESSIANS)


def _has_hessian(frame: Frame) -> bool:
    return frame.second is not None and frame.second.is_real


def check_stresses(frames: Sequence[Frame]) -> None:
    """Refuse stresses without a volume, of a size that no solid survives, or that fall as the volume grows."""
    known = [f for f in frames if f.stress is not None]
    if not known:
        return
    open_ones = [f for f in known if not f.atoms.pbc.all()]
    if open_ones:
        raise InputError(
            f"{open_ones[0].origin} has a stress but pbc {open_ones[0].atoms.pbc.tolist()}",
            "only a crystal that is periodic in three directions has a volume to divide by",
            "remove the stress, or set pbc",
        )
    size = float(np.median([np.abs(np.asarray(f.stress)).max() for f in known]))
    if size > LARGEST_STRESS:
        raise InputError(
            f"{known[0].origin}: the median of the largest stress components is {size:.3g}",
            f"in eV/Å³ that is {size * 160.2:.0f} GPa; the file probably has GPa or kbar",
            "divide by 160.21766 (GPa) or 1602.1766 (kbar), and mind the sign: positive under tension",
        )
    groups: dict[bytes, list[Frame]] = {}
    for frame in known:
        groups.setdefault(np.sort(frame.atoms.numbers).tobytes(), []).append(frame)
    strained: list[tuple[np.ndarray, np.ndarray]] = []
    for group in groups.values():
        volumes = np.array([f.atoms.get_volume() / len(f.atoms) for f in group])
        traces = np.array([np.trace(np.asarray(f.stress)) for f in group])
        if len(group) < 3 or np.std(volumes) < 0.01 * volumes.mean() or not np.std(traces):
            continue
        strained.append((_standardised(volumes), _standardised(traces)))
        modulus = float(np.polyfit(np.log(volumes), traces / 3, 1)[0])
        if len(group) >= 5 and np.corrcoef(volumes, traces)[0, 1] > 0.8 and modulus > LARGEST_MODULUS:
            raise InputError(
                f"{group[0].origin}: stresses grow with the volume as for a bulk modulus of {modulus:.3g}",
                f"in eV/Å³ that is {modulus * 160.2:.0f} GPa, and diamond has 440; the file probably has GPa or kbar",
                "divide by 160.21766 (GPa) or 1602.1766 (kbar)",
            )
    volumes, traces = (np.concatenate([pair[k] for pair in strained]) if strained else np.zeros(0) for k in (0, 1))
    # Of five frames one in twenty has such a correlation by chance: atoms move and cells are sheared as well.
    if len(volumes) >= ENOUGH_STRAINED and np.mean(volumes * traces) < -CORRELATION_OF_STRESSES:
        raise InputError(
            f"{known[0].origin}: stresses fall as the volume grows (correlation {np.mean(volumes * traces):.2f} over "
            f"{len(volumes)} frames)",
            "a solid pulls back when it is stretched: the sign is that of a pressure",
            "multiply the stresses by -1: here they are positive under tension, as in ASE",
        )


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def check_matrices(frames: Sequence[Frame]) -> None:
    """Refuse second derivatives that are not Hermitian, feel a translation, or vibrate as nothing does."""
    for frame in frames:
        if frame.second is not None:
            _check_matrices(frame, frame.second)


def _check_matrices(frame: Frame, second: SecondOrder) -> None:
    masses = np.repeat(frame.atoms.get_masses(), 3)
    # Of all wave vectors: at q = 0 of one atom to a cell nothing but noise is left.
    size = np.abs(second.matrices).max()
    for q, matrix in zip(second.qpoints, second.matrices, strict=True):
        where = f"{frame.origin or 'a frame'}: the second derivatives at q = {np.round(q, 4).tolist()}"
        if np.abs(matrix - matrix.conj().T).max() > ASYMMETRY * size:
            raise InputError(
                f"{where} are not Hermitian: {np.abs(matrix - matrix.conj().T).max():.3g} of {size:.3g} eV/Å²",
                "second derivatives do not depend on their order; the axes are probably transposed",
                "the order is atom, axis, atom, axis",
            )
        if not q.any() and len(matrix) > 3:
            rest = np.abs(matrix.reshape(len(matrix), -1, 3).sum(1)).max()
            if rest > SUM_RULE * size:
                raise InputError(
                    f"{where} change under translation by {rest:.3g} of {size:.3g} eV/Å²",
                    "moving everything costs nothing; the order of the indices or of the atoms is probably wrong",
                    "the order is atom, axis, atom, axis, in the order of the structure",
                )
    weighted = second.matrices / np.sqrt(np.outer(masses, masses))
    top = float(np.sqrt(max(np.linalg.eigvalsh(weighted).max(), 0)) * THZ_PER_SQRT_EV_A2_AMU)
    bound = _has_bound_hydrogen(frame)
    least = BOUND_FREQUENCY if bound and second.is_real else FREQUENCY_RANGE[0]
    if not least < top < (SQUEEZED_HYDROGEN if bound else FREQUENCY_RANGE[1]):
        raise InputError(
            f"{frame.origin or 'a frame'}: the highest frequency of the second derivatives is {top:.3g} THz",
            "nothing vibrates like that: the unit is not eV/Å²",
            "from Hartree/Bohr² multiply by 97.17, from Rydberg/Bohr² by 48.59, from mdyn/Å by 6.24",
        )


def check_sign(frames: Sequence[Frame]) -> None:
    """Refuse matrices that hold nothing in place.

    A crystal far from any minimum has a negative trace too, but what pulls back is as strong as what drives away.
    """
    known = [(frame, frame.second.matrices) for frame in frames if frame.second is not None]
    traces = [float(np.trace(m, axis1=1, axis2=2).real.mean()) for _, m in known]
    if sum(t / m.shape[-1] for t, (_, m) in zip(traces, known, strict=True)) >= 0:
        return
    spectra = [np.linalg.eigvalsh(m) for _, m in known]
    if max(v.max() for v in spectra) < RESTORING * -min(v.min() for v in spectra):
        worst = int(np.argmin(traces))
        raise InputError(
            f"{known[worst][0].origin or 'a frame'}: the second derivatives have the trace {traces[worst]:.3g} eV/Å²",
            "it is positive for anything near a minimum: the sign is that of force derivatives",
            "multiply by -1",
        )


def check_spectra(frames: Sequence[Frame]) -> None:
    """Refuse frequencies in another unit."""
    for frame in frames:
        if frame.spectrum is not None:
            _check_spectrum(frame, frame.spectrum)


def _check_spectrum(frame: Frame, spectrum: Spectrum) -> None:
    where, is_known = frame.origin or "a frame", spectrum.is_known
    if spectrum.weights is not None and (np.min(spectrum.weights) < 0 or not is_known.any()):
        raise InputError(
            f"{where}: of {is_known.size} frequencies of the spectrum {is_known.sum()} have a positive weight",
            "a negative one would drive the model away, and of none it learns nothing",
            "give each known frequency a positive weight, and zero to the others",
        )
    for which, (frequencies, known) in enumerate(zip(spectrum.in_order, is_known, strict=True)):
        for species in np.unique(spectrum.order[which]):
            own = frequencies[known & (spectrum.order[which] == species)]
            if np.any(np.diff(own) < 0):
                raise InputError(
                    f"{where}: frequencies of species {species:.0f} at wave vector {which} do not ascend: {own}",
                    "each is compared with the model's own at its place",
                    "sort them within each species",
                )
    top = float(np.max(spectrum.frequencies[is_known]))
    # Of a few lines the highest may be a torsion, or an acoustic mode.
    if not (FREQUENCY_RANGE[0] if spectrum.weights is None else 0.0) < top < FREQUENCY_RANGE[1]:
        raise InputError(
            f"{where}: the highest frequency of the spectrum is {top:.4g}, read as THz",
            "nothing vibrates like that: the unit is probably 1/cm, meV or eV",
            "from 1/cm divide by 33.35641, from meV by 4.135668",
        )


def _has_bound_hydrogen(frame: Frame) -> bool:
    distances = frame.atoms.get_all_distances(mic=bool(frame.atoms.pbc.any()))
    np.fill_diagonal(distances, np.inf)
    return bool((distances[frame.atoms.numbers == 1] < BOUND_HYDROGEN).any())


def check_crystals(frames: Sequence[Frame]) -> None:
    """Refuse what crystals have of their charges, of what is not periodic in three directions."""
    for frame in frames:
        known = frame.crystal_charges is not None or frame.log_susceptibility is not None
        if known and not frame.atoms.pbc.all():
            raise InputError(
                f"{frame.origin or 'a frame'} is no crystal (pbc={frame.atoms.pbc.tolist()}) and has a dielectric"
                " tensor or Born charges of one",
                "a molecule or a layer has no dielectric tensor, and its charges are derivatives of a dipole",
                "name charges of molecules born_effective_charges; leave layers out",
            )


def check_molecules(frames: Sequence[Frame]) -> None:
    """Refuse what molecules have of a uniform field, dipoles and their like, of periodic structures."""
    for frame in frames:
        labels = (frame.dipole, frame.polarizability, frame.born_charges, frame.polarizability_gradient)
        if frame.atoms.pbc.any() and any(label is not None for label in labels):
            raise InputError(
                f"{frame.origin or 'a frame'} is periodic and has a label of its answer to a uniform field",
                "the energy of a crystal in a uniform field has no minimum, and its dipole depends on the cell",
                "set pbc=False if it is a molecule; leave the label out if it is a crystal",
            )
