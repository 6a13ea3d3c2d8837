"""Units, signs and order of what molecules have of a uniform field: dipoles, polarizabilities, Born charges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import InputError
from ..models.fields import ATOMIC_UNIT, CUBIC_ANGSTROM, DEBYE
from .consistency import ASYMMETRY, BOHR, compare, neighbouring_pairs
from .field_checks import pairs_in_fields

if TYPE_CHECKING:
    from .labels.frames import Frame

CUBIC_BOHR = CUBIC_ANGSTROM / BOHR**3  # bohr³ per e²Å²/eV
COULOMB_METRE = 1.602176634e-29  # per eÅ
# What an atom adds to the mean polarizability of a molecule, roughly [Å³]. H, C, N, O, S, Cl, Br, I: after K. J.
# Miller, J. Am. Chem. Soc. 112, 8533 (1990), hybrids averaged and rounded; B, F, Si, P, Ge, As, Se, Te: so that their
# hydrides, fluorides and chlorides come out; rare gases: P. Schwerdtfeger and J. K. Nagle, Mol. Phys. 117, 1200 (2019).
ATOMIC_POLARIZABILITIES = {
    **{1: 0.4, 5: 1.5, 6: 1.2, 7: 1.0, 8: 0.7, 9: 0.4, 14: 3.0, 15: 2.5, 16: 3.0, 17: 2.3},
    **{32: 3.5, 33: 3.5, 34: 4.0, 35: 3.0, 52: 5.5, 53: 5.4},
    **{2: 0.2, 10: 0.4, 18: 1.6, 36: 2.5, 54: 4.0},
}
MOST_OF_A_METAL = 60.0  # Å³, a free atom of caesium; a cation has next to nothing
# Small and large molecules of these elements have 0.7 to 1.9 times their sum. Between bohr³ and Å³ lies 6.7.
TOLERATED = 2.6
LIKELY_POLARIZABILITIES = {
    CUBIC_ANGSTROM: "Å³",
    CUBIC_BOHR: "bohr³",
    CUBIC_BOHR / CUBIC_ANGSTROM: "bohr³ divided by the factor of Å³",
    CUBIC_ANGSTROM / CUBIC_BOHR: "Å³ divided by the factor of bohr³",
    1 / CUBIC_ANGSTROM: "e²Å²/eV divided by the factor of Å³",
}
TO_POLARIZABILITY = f"convert to e²Å²/eV: divide Å³ by {CUBIC_ANGSTROM:.5f}, bohr³ by {CUBIC_BOHR:.4f}"
LIKELY_INDUCED = {
    -1.0: "fields or dipoles of the opposite sign",
    1 / CUBIC_ANGSTROM: "polarizabilities in Å³",
    1 / CUBIC_BOHR: "polarizabilities in bohr³",
    1 / DEBYE: "dipoles in Debye",
    1 / BOHR: "dipoles in e bohr",
    1000.0: "dipoles in 10⁻³ eÅ",
    ATOMIC_UNIT: "fields in atomic units",
    COULOMB_METRE: "dipoles in C m",
}
LIKELY_DIPOLES = {
    -1.0: "dipoles of the opposite sign",
    1 / DEBYE: "dipoles in Debye",
    1 / BOHR: "dipoles in e bohr",
    1000.0: "dipoles in 10⁻³ eÅ",
    1 / 1000.0: "dipoles in keÅ",
    COULOMB_METRE: "dipoles in C m",
}
LIKELY_SLOPES = {
    -1.0: "derivatives of the opposite sign",
    1 / CUBIC_ANGSTROM: "derivatives in Å²",
    CUBIC_ANGSTROM: "polarizabilities in Å³",
    1 / BOHR: "derivatives by displacements in bohr",
    1 / (BOHR * CUBIC_BOHR): "derivatives in bohr²",
}
TO_SLOPES = f"convert to e²Å/eV: divide Å² by {CUBIC_ANGSTROM:.5f}, bohr² by {CUBIC_BOHR * BOHR:.4f}"
TO_DIPOLE = (
    f"convert to eÅ: multiply Debye by {DEBYE:.5f}, e bohr by {BOHR:.6f}; it points from negative to positive charge"
)
LARGEST_DIPOLE = 2.0  # eÅ per atom: of two atoms CsI has the most, 1.3
LEAST_DIPOLE = 1e-20  # eÅ; rounding of a dipole that vanishes leaves 1e-17
BORN_SUM_RULE = 0.5  # of their root mean square


def check_polarizabilities(frames: Sequence[Frame]) -> None:
    """Refuse polarizabilities that no molecule has: not symmetric, not positive, or of the size of another unit."""
    known = [(frame, frame.polarizability) for frame in frames if frame.polarizability is not None]
    # Signs and units of all are looked at first: they explain what is wrong with one.
    ratios = [_times_expected(frame, float(np.trace(tensor)) / 3) for frame, tensor in known]
    ratio = float(np.median(ratios)) if ratios else 1.0
    if ratio > 0 and not 1 / TOLERATED < ratio < TOLERATED:
        frame, tensor = known[int(np.argmin(np.abs(np.array(ratios) - ratio)))]
        likely = min(LIKELY_POLARIZABILITIES, key=lambda factor: abs(np.log(factor / ratio)))
        raise InputError(
            f"{frame.origin or 'a frame'} ({frame.atoms.get_chemical_formula()}): the mean polarizability is "
            f"{np.trace(tensor) / 3:.4g}; the median of {len(known)} is {ratio:.3g} times the sum over their atoms",
            f"in e²Å²/eV it lies within a factor of {TOLERATED:g}; this looks like {LIKELY_POLARIZABILITIES[likely]}",
            f"{TO_POLARIZABILITY}; or leave it out by naming the labels to read in keys",
        )
    for frame, tensor in known:
        _check_tensor(frame, tensor)


def _times_expected(frame: Frame, mean: float) -> float:
    """A mean polarizability [e²Å²/eV] divided by the sum over atoms; 1 anywhere in the range that metals leave."""
    of_atoms = [ATOMIC_POLARIZABILITIES.get(int(z)) for z in frame.atoms.numbers]
    least = sum(size for size in of_atoms if size is not None) / CUBIC_ANGSTROM
    most = least + of_atoms.count(None) * MOST_OF_A_METAL / CUBIC_ANGSTROM
    if mean > most:
        return mean / most
    return min(1.0, mean / least) if least else float(np.sign(mean))


def _check_tensor(frame: Frame, tensor: np.ndarray) -> None:
    where = f"{frame.origin or 'a frame'} ({frame.atoms.get_chemical_formula()}): its polarizability"
    asymmetry, size = np.abs(tensor - tensor.T).max(), np.abs(tensor).max()
    if asymmetry > ASYMMETRY * size:
        raise InputError(
            f"{where} is not symmetric: {asymmetry:.3g} of {size:.3g} e²Å²/eV",
            "it is a second derivative by the field, which does not depend on the order",
            "check the order of the nine numbers: xx, xy, xz, yx, yy, yz, zx, zy, zz",
        )
    values = np.linalg.eigvalsh((tensor + tensor.T) / 2)
    if values[0] <= 0:
        raise InputError(
            f"{where} has the eigenvalues {', '.join(f'{value:.4g}' for value in values)} e²Å²/eV",
            "a field lowers the energy of a ground state, so all are positive; this looks like "
            + ("the opposite sign" if values[-1] <= 0 else "another order of its numbers"),
            "multiply by -1" if values[-1] <= 0 else "six numbers are xx, yy, zz, yz, xz, xy; nine are row by row",
        )


def check_induced_dipoles(frames: Sequence[Frame]) -> None:
    """Refuse polarizabilities that are not the slope of the dipole: one structure in two fields has dmu = alpha.dF."""
    known = [frame for frame in frames if frame.dipole is not None]
    changes: list[float] = []
    induced: list[float] = []
    for a, b, moved in pairs_in_fields(known):
        assert a.dipole is not None
        assert b.dipole is not None
        tensors = [frame.polarizability for frame in (a, b) if frame.polarizability is not None]
        if tensors and moved.any():
            changes.extend(b.dipole - a.dipole)
            induced.extend(np.mean(tensors, axis=0) @ moved)
    what = "changes of the dipole and polarizabilities times changes of the field"
    compare(changes, induced, what, known, LIKELY_INDUCED, f"{TO_POLARIZABILITY}; {TO_DIPOLE}")


def check_sizes_of_dipoles(frames: Sequence[Frame]) -> None:
    """Refuse dipoles of a size that charges within a molecule do not have."""
    known = [(frame.origin, frame.dipole / len(frame.atoms)) for frame in frames if frame.dipole is not None]
    sizes = [float(np.linalg.norm(dipole)) for _, dipole in known]
    largest, median = max(sizes, default=0.0), float(np.median(sizes)) if sizes else 0.0
    if median <= LARGEST_DIPOLE and not 0 < largest < LEAST_DIPOLE:
        return
    likely = "10⁻³ eÅ" if median > LARGEST_DIPOLE else "C m (divide by 1.602177e-29)"
    raise InputError(
        f"{known[0][0] or 'the frames'}: the dipole per atom is {median:.3g} (median of {len(sizes)})",
        f"in eÅ no molecule has more than {LARGEST_DIPOLE:g}, nor less than rounding; this looks like {likely}",
        f"{TO_DIPOLE}; or leave it out by naming the labels to read in keys",
    )


def check_slopes_of_dipoles(frames: Sequence[Frame]) -> None:
    """Refuse Born charges that are not the slope of the dipole: neighbouring frames must obey dmu = Z* dx."""
    what = "changes of the dipole and Born charges times displacements"
    remedy = f"{TO_DIPOLE}; Born charges are in e, field first"
    _compare_slopes(frames, ("dipole", "born_charges"), what, LIKELY_DIPOLES, remedy)


def check_born_charges(frames: Sequence[Frame]) -> None:
    """Refuse Born charges that do not add up to zero: moving all atoms of a neutral molecule changes no dipole."""
    known = [(frame.origin, frame.born_charges) for frame in frames if frame.born_charges is not None]
    sums = [float(np.abs(charges.sum(0)).max()) for _, charges in known]
    size = float(np.sqrt(np.mean([np.mean(charges**2) for _, charges in known]))) if known else 0.0
    if known and max(sums) > BORN_SUM_RULE * max(size, 0.1):
        raise InputError(
            f"{known[int(np.argmax(sums))][0] or 'a frame'}: its Born charges add up to {max(sums):.3g} e",
            "those of a neutral molecule add up to zero: the molecule is charged, or the charges are something else",
            "leave out ions; check the order of indices and the unit (e); or name the other labels in keys",
        )


def check_crystal_charges(frames: Sequence[Frame]) -> None:
    """Refuse charges of a crystal that do not add up to zero: a network's do."""
    for frame in frames:
        if frame.crystal_charges is None:
            continue
        size = max(float(np.sqrt(np.mean(frame.crystal_charges**2))), 0.1)
        off = float(np.abs(frame.crystal_charges.sum(0)).max())
        if off > BORN_SUM_RULE * size:
            raise InputError(
                f"{frame.origin or 'a frame'}: its Born charges add up to {off:.3g} e",
                "those of a crystal add up to zero, and so do what a network says: the rest could not be learned",
                "spread the sum over the atoms, as every code does that uses charges; check the unit (e)",
            )


def check_slopes_of_polarizabilities(frames: Sequence[Frame]) -> None:
    """Refuse derivatives that are not the slope of the polarizability: neighbours must obey dalpha = alpha' dx."""
    what = "changes of the polarizability and its derivatives times displacements"
    _compare_slopes(frames, ("polarizability", "polarizability_gradient"), what, LIKELY_SLOPES, TO_SLOPES)


def _compare_slopes(
    frames: Sequence[Frame], names: tuple[str, str], what: str, usual: dict[float, str], remedy: str
) -> None:
    """Refuse a label, the second of `names`, that is not the derivative of the first, displacement last."""
    value, slope = names
    known = [frame for frame in frames if getattr(frame, value) is not None]
    changes: list[float] = []
    products: list[float] = []
    for a, b, moved in neighbouring_pairs(known, lambda frame: getattr(frame, slope) is not None):
        slopes = [own for frame in (a, b) if (own := getattr(frame, slope)) is not None]
        changes.extend(np.ravel(getattr(b, value) - getattr(a, value)))
        products.extend(np.ravel(np.tensordot(moved, np.mean(slopes, axis=0), axes=((0, 1), (0, -1)))))
    compare(changes, products, what, known, usual, remedy)


def check_gradients_of_polarizabilities(frames: Sequence[Frame]) -> None:
    """Refuse derivatives that do not add up to zero over atoms, or are not symmetric in the first two indices."""
    for frame in frames:
        gradient = frame.polarizability_gradient
        if gradient is None:
            continue
        size = max(float(np.sqrt(np.mean(gradient**2))), 0.01)
        total, skew = (np.abs(x).max() for x in (gradient.sum(0), gradient - gradient.swapaxes(1, 2)))
        if max(total, skew) > BORN_SUM_RULE * size:
            raise InputError(
                f"{frame.origin or 'a frame'}: its derivatives of the polarizability add up to {total:.3g} e²Å/eV over "
                f"atoms, and are {skew:.3g} from symmetric in the first two indices",
                "moving the whole molecule changes nothing, and a polarizability is symmetric",
                "check the order of indices, atom, two of the tensor, then the displacement",
            )
