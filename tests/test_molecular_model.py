"""The molecular model that ships: textbook molecules, its own exactness, and its level of theory."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.vibrations import VibrationsData

from ase_phonax import PhonaxCalculator, modes_of_vibrations, normal_modes, stationary_modes
from ase_phonax.base.errors import UnstableWarning
from ase_phonax.cli import main
from ase_phonax.models.registry import FOR_MOLECULES

from .molecules import deuterated, get_molecule, product_rule, richardson_row
from .test_molecules import TEXTBOOK, labels

# Harmonic wavenumbers by PBE/def2-SVP at its own minimum [1/cm]: examples/molecular_model/pbe.py with PySCF 2.14.
METHANE = {"T2": (1261.4, 3112.3), "E": (1484.0,), "A1": (2967.6,)}
WITHIN = 40.0  # cm⁻¹ RMS on unseen molecules
LABELS = Path(__file__).resolve().parents[1] / "examples/molecular_model/data"


@pytest.fixture(scope="module")
def calc():
    return PhonaxCalculator(FOR_MOLECULES)


@pytest.fixture(scope="module")
def modes_of(calc):
    found = {}

    def modes(name):
        if name not in found:
            found[name] = stationary_modes(get_molecule(name), calc)
        return found[name]

    return modes


@pytest.mark.parametrize("name", ["CH4", "CO2", "H2O", "NH3", "C2H2", "C2H4", "C2H6", "C6H6", "C2H2F2"])
def test_molecules_of_textbooks_are_minima_of_their_symmetry(modes_of, name):
    """Relaxed with the model: the point group stays, nothing is imaginary, rotations have no frequency."""
    modes, report = modes_of(name)
    symbol, representation, infrared, raman = TEXTBOOK[name]
    assert modes.point_group.symbol == symbol
    assert modes.representation == representation
    assert labels(s for s in modes.sets if s.infrared) == set(infrared.split())
    assert labels(s for s in modes.sets if s.raman) == set(raman.split())
    assert not modes.imaginary
    assert report.max_force < 1e-7
    assert np.abs(modes.whole_body_cm1).max() < 0.1


def test_methane_is_that_of_its_level_of_theory(modes_of):
    modes, _ = modes_of("CH4")
    for label, expected in METHANE.items():
        found = [s.wavenumber for s in modes.sets if s.label == label]
        assert found == pytest.approx(expected, abs=WITHIN)


def test_unseen_molecules_are_those_of_its_level_of_theory(calc):
    """Each at its own minimum, by the model and by PBE/def2-SVP; frequencies in ascending order."""
    splits, differences = json.loads((LABELS / "splits.json").read_text()), []
    with np.load(LABELS / "pbe.npz") as file:
        names = [key.split("/")[0] for key in file if key.endswith("/smiles")]
        for name in (n for n in names if splits[str(file[f"{n}/smiles"])] == "tested"):
            atoms = Atoms(file[f"{name}/numbers"][0], file[f"{name}/positions"][0])
            theirs = modes_of_vibrations(VibrationsData(atoms, file[f"{name}/hessian"][0]))
            modes, _ = stationary_modes(atoms, calc)
            assert modes.point_group.symbol == theirs.point_group.symbol
            assert not modes.imaginary
            differences.append(modes.wavenumbers - theirs.wavenumbers)
    assert len(differences) == 10
    assert np.sqrt(np.mean(np.concatenate(differences) ** 2)) < WITHIN


@pytest.mark.parametrize(("name", "symbol"), [("CH4", "Td"), ("C6H6", "D6h")])
def test_the_product_rule_holds_for_the_network(calc, modes_of, name, symbol):
    """Teller and Redlich, as in test_molecules: exact for harmonic frequencies at a stationary point."""
    light, _ = modes_of(name)
    heavy = normal_modes(deuterated(light.atoms), calc)
    assert heavy.point_group.symbol == symbol
    assert product_rule(light, heavy) == pytest.approx(1, abs=1e-8)


def test_hessians_of_the_network_equal_richardson_differences(calc):
    """Differences of forces extrapolated to order h^6."""
    atoms = molecule("CH3CH2OH")
    atoms.positions += np.random.default_rng(0).normal(scale=0.03, size=atoms.positions.shape)
    exact = calc.get_hessian(atoms)
    for i, x in ((0, 1), (4, 2)):
        row = richardson_row(atoms, calc, i, x)
        assert np.abs(row - exact[i, x]).max() < 1e-7 * np.abs(exact).max()


def test_what_is_no_longer_the_molecule_given_is_said(calc):
    """Kills: a heap of atoms that relaxes to something, and passes for the molecule asked about."""
    atoms = molecule("CH4")
    atoms.positions[1] *= 1.6  # a bond stretched until it counts as none; it closes again
    with pytest.warns(UnstableWarning, match=r"C1–H2 formed"):
        stationary_modes(atoms, calc)


def test_a_radical_is_remarked_on(tmp_path, capsys):
    """Neither spin nor charge is known to the model."""
    molecule("CH3").write(tmp_path / "methyl.xyz")
    assert main(["molecule", str(tmp_path / "methyl.xyz"), "--output", str(tmp_path / "out")]) == 0
    assert "9 electrons, an odd number" in capsys.readouterr().out
