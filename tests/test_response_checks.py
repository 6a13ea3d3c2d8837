"""Units, signs and order of dipoles, polarizabilities and Born charges, told from the numbers alone."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ase_phonax.base.errors import InputError
from ase_phonax.models.fields import CUBIC_ANGSTROM, DEBYE
from ase_phonax.training.consistency import BOHR
from ase_phonax.training.labels import Frame
from ase_phonax.training.labels.checks import check_frames
from ase_phonax.training.response_checks import COULOMB_METRE, CUBIC_BOHR, check_polarizabilities

# Mean polarizabilities [Å³], CRC Handbook of Chemistry and Physics.
MEASURED = {"H2": 0.80, "H2O": 1.45, "NH3": 2.2, "CH4": 2.6, "CO2": 2.9, "N2": 1.74, "HF": 0.8, "HCl": 2.6, "F2": 1.38}
MEASURED |= {"C6H6": 10.3, "CH3OH": 3.3, "SO2": 3.8, "PH3": 4.8, "SiH4": 5.4, "SiCl4": 11.3, "CF4": 3.8, "Cl2": 4.6}
MEASURED |= {"Xe": 4.04, "He": 0.205, "SF6": 6.5, "I2": 10.5, "BF3": 3.3, "LiH": 4.0, "NaCl": 4.5, "TiCl4": 16.4}


def of_size(formula: str, mean: float) -> Frame:
    return Frame(Atoms(formula), polarizability=mean * np.eye(3))


@pytest.mark.parametrize("formula", MEASURED)
def test_measured_polarizabilities_pass_in_the_right_unit_alone(formula):
    mean = MEASURED[formula] / CUBIC_ANGSTROM
    check_polarizabilities([of_size(formula, mean)])
    if formula in ("LiH", "NaCl"):
        return  # metals leave too wide a range for so few atoms
    for factor, unit in ((CUBIC_ANGSTROM, "Å³"), (CUBIC_BOHR, "bohr³")):
        with pytest.raises(InputError, match=f"looks like {unit}" if formula != "TiCl4" else "looks like"):
            check_polarizabilities([of_size(formula, factor * mean)])


def test_following_the_advice_for_another_unit_does_not_pass():
    """Kills: bohr³ divided by 14.4, and Å³ by 97.2."""
    for factor in (CUBIC_BOHR / CUBIC_ANGSTROM, CUBIC_ANGSTROM / CUBIC_BOHR):
        with pytest.raises(InputError, match="divided by the factor of"):
            check_polarizabilities([of_size("C2H6O", factor * 5.1 / CUBIC_ANGSTROM)])


def test_polarizabilities_of_one_frame_that_are_not_positive_or_symmetric_are_refused():
    good = [of_size("H2O", 0.1) for _ in range(5)]
    for tensor, text in (
        (np.diag([0.1, 0.1, -0.05]), "another order of its numbers"),
        (-0.1 * np.eye(3), "the opposite sign"),
        (0.1 * np.eye(3) + np.eye(3, k=1) * 0.02, "is not symmetric"),
    ):
        with pytest.raises(InputError, match=text):
            check_frames([*good, replace(good[0], polarizability=tensor)])


CHARGES = np.array([[-0.6, 0.1, 0], [0, -0.5, 0.2], [0.1, 0, -0.4]])


def neighbours(of_dipoles: float = 1.0, charges: bool = True) -> list[Frame]:
    """Water whose atoms are displaced, with a dipole that is linear in displacements."""
    rest, frames = molecule("H2O"), []
    born = np.array([CHARGES, -CHARGES / 2, -CHARGES / 2])
    for seed in range(4):
        atoms = rest.copy()
        atoms.rattle(0.05, seed=seed)
        dipole = np.array([0, 0, 0.4]) + np.einsum("iab,ib->a", born, atoms.positions - rest.positions)
        frames.append(Frame(atoms, dipole=of_dipoles * dipole, born_charges=born if charges else None))
    return frames


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (1 / DEBYE, "in Debye"),
        (1 / BOHR, "in e bohr"),
        (-1.0, "opposite sign"),
        (1e3, "10⁻³ eÅ"),
        (COULOMB_METRE, "in C m"),
    ],
)
def test_dipoles_that_are_not_what_born_charges_say_name_their_unit(factor, text):
    check_frames(neighbours())
    with pytest.raises(InputError, match=f"looks like dipoles.*{text}"):
        check_frames(neighbours(factor))


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (CUBIC_ANGSTROM, "in Å²"),
        (CUBIC_BOHR * BOHR, "in bohr²"),
        (BOHR, "displacements in bohr"),
        (-1.0, "opposite sign"),
    ],
)
def test_derivatives_of_polarizabilities_that_are_not_their_slope_name_their_unit(factor, text):
    slope = np.einsum("i,ab,c->iabc", [0.05, -0.02, -0.03], np.diag([1.0, 0.7, 0.4]), [0.6, 0.5, -0.4])
    rest, frames = molecule("H2O"), []
    for seed in range(4):
        atoms = rest.copy()
        atoms.rattle(0.05, seed=seed)
        alpha = 0.1 * np.eye(3) + np.einsum("iabc,ic->ab", slope, atoms.positions - rest.positions)
        frames.append(Frame(atoms, polarizability=alpha, polarizability_gradient=slope))
    check_frames(frames)
    with pytest.raises(InputError, match=f"looks like derivatives.*{text}"):
        check_frames([replace(frame, polarizability_gradient=factor * slope) for frame in frames])


def test_dipoles_alone_of_a_size_that_nothing_has_are_refused():
    check_frames(neighbours(charges=False))
    for factor, text in ((1e3, "10⁻³ eÅ"), (COULOMB_METRE, "C m")):
        with pytest.raises(InputError, match=f"looks like {text}"):
            check_frames(neighbours(factor, charges=False))


def test_a_dipole_that_vanishes_by_symmetry_passes():
    for dipole in (np.zeros(3), np.full(3, 1e-17)):
        check_frames([Frame(molecule("CH4"), dipole=dipole)])


def test_one_structure_in_several_fields_tells_the_unit_of_its_polarizability():
    tensor, rng = np.diag([0.08, 0.1, 0.12]), np.random.default_rng(0)
    fields = 0.2 * rng.normal(size=(4, 3))

    def frames(of_tensors, of_dipoles):
        dipoles = np.array([0, 0, 0.4]) + fields @ tensor
        return [
            Frame(molecule("H2O"), dipole=of_dipoles * mu, polarizability=of_tensors * tensor, field=field)
            for mu, field in zip(dipoles, fields, strict=True)
        ]

    check_frames(frames(1.0, 1.0))
    for of_tensors, of_dipoles, text in (
        (CUBIC_ANGSTROM, 1.0, "polarizabilities in Å³"),
        (CUBIC_BOHR, 1.0, "polarizabilities in bohr³"),
        (1.0, 1 / DEBYE, "dipoles in Debye"),
    ):
        with pytest.raises(InputError, match=text):
            check_frames(frames(of_tensors, of_dipoles))
