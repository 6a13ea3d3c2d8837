"""Constants of a supercell under rotations: the two conditions, and what they do to the bending branch of layers."""

import json

import numpy as np
import pytest
from ase.build import bulk, graphene
from ase.io import write

from ase_phonax import PhonaxCalculator, get_phonopy, impose_rotations, measure_rotations, relax
from ase_phonax.base.errors import InputError
from ase_phonax.cli import main
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.phonons.supercell.checks import checks
from ase_phonax.phonons.supercell.constants import compact_constants

from .pair_potential import PairCalculator

NEAR_GAMMA = np.outer([0.01, 0.02, 0.04], [1.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def calc() -> PhonaxCalculator:
    return PhonaxCalculator("phonax-small")


@pytest.fixture(scope="module")
def sheet(calc):
    atoms = graphene("C2", a=2.46, vacuum=8.0)
    atoms.pbc = True
    return relax(atoms, calc, vacuum_axis=2)[0]


def bending(phonopy) -> np.ndarray:
    return np.asarray(phonopy.run_qpoints(NEAR_GAMMA).frequencies)[:, 0]


def exponents(frequencies: np.ndarray) -> np.ndarray:
    """Of q, where q doubles from one to the next."""
    return np.log2(frequencies[1:] / frequencies[:-1])


def test_the_bending_branch_becomes_quadratic_in_a_supercell_that_made_it_imaginary(calc, sheet):
    phonopy = get_phonopy(sheet, calc, [4, 4, 1])
    assert bending(phonopy)[0] < -0.01
    found = impose_rotations(phonopy)
    assert found.huang > 1e-5
    # Of constants that reach 40 eV/Å².
    assert 0 < found.changed_by < 0.1
    assert exponents(bending(phonopy)) == pytest.approx(2.0, abs=0.01)
    after = measure_rotations(phonopy)
    assert max(after.born_huang, after.huang) < 1e-14
    # Exact D(q) needs nothing of it; that one it comes near to. What a small supercell cannot know is its stiffness.
    exact = frequencies_thz(calc.get_dynamical_matrix(sheet, NEAR_GAMMA))[:, 0]
    assert exponents(exact) == pytest.approx(2.0, abs=0.01)
    assert bending(phonopy) == pytest.approx(exact, rel=0.1)


def test_constants_of_a_supercell_that_holds_their_whole_reach_are_invariant_by_themselves(calc, sheet):
    phonopy = get_phonopy(sheet, calc, [9, 9, 1])
    found = measure_rotations(phonopy)
    assert found.born_huang < 1e-12
    assert found.huang < 1e-7  # of what is left of stress, and of constants across the wall
    assert impose_rotations(phonopy).changed_by < 1e-5


def test_symmetry_permutations_and_translations_survive(calc, sheet):
    phonopy = get_phonopy(sheet, calc, [4, 4, 1])
    impose_rotations(phonopy)
    probes = [[0.11, 0.23, 0.0], [0.4, -0.2, 0.0]]
    residuals = checks(phonopy, lambda q, symmetry=True: calc.get_dynamical_matrix(sheet, q, symmetry=symmetry), probes)
    for name in ("acoustic_sum_rule", "hermiticity", "space_group_residual"):
        assert residuals[name] < 1e-12


def test_a_crystal_in_three_dimensions_is_changed_by_little_and_only_once():
    atoms, _ = relax(bulk("NaCl", "rocksalt", a=5.2), PairCalculator())
    phonopy = get_phonopy(atoms, PairCalculator(), 2)
    first = impose_rotations(phonopy)
    constants = compact_constants(phonopy)
    assert 0 < first.changed_by < 0.1 * np.abs(constants).max()
    again = impose_rotations(phonopy)
    assert again.huang < 1e-14
    assert np.abs(compact_constants(phonopy) - constants).max() < 1e-12 * np.abs(constants).max()


def test_a_crystal_with_charges_is_refused():
    phonopy = get_phonopy(bulk("NaCl", "rocksalt", a=5.6), PairCalculator(), 2)
    phonopy.nac_params = {
        "born": np.array([1.0, -1.0])[:, None, None] * np.eye(3),
        "dielectric": 2 * np.eye(3),
        "factor": 14.4,
    }
    with pytest.raises(InputError, match="with the interaction of dipoles"):
        impose_rotations(phonopy)


def test_the_command_measures_layers_and_imposes_by_request(tmp_path, monkeypatch, capsys, sheet):
    monkeypatch.chdir(tmp_path)
    write("graphene.extxyz", sheet)
    options = ["--supercell", "4", "4", "1", "--no-exact", "--mesh", "6", "6", "1", "--overwrite", "--output", "out"]
    assert main(["phonons", "graphene.extxyz", *options]) == 0
    printed = capsys.readouterr().out
    assert "low bending modes of the supercell feel it: --impose-rotations, or --exact" in printed
    found = json.loads((tmp_path / "out/summary.json").read_text())
    assert found["checks"]["rotations_huang"] > 1e-5
    assert found["checks"]["rotations_changed_constants_by"] == 0
    assert main(["phonons", "graphene.extxyz", "--impose-rotations", *options]) == 0
    assert "and then imposed: constants changed by" in " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "out/summary.json").read_text())
    assert found["checks"]["rotations_changed_constants_by"] > 0
    assert found["units"]["checks.rotations_changed_constants_by"] == "eV/Å²"
    strained = sheet.copy()
    strained.set_cell(strained.cell.array * [1.05, 1.05, 1], scale_atoms=True)
    write("strained.extxyz", strained)
    assert main(["phonons", "strained.extxyz", "--no-relax", *options]) == 0
    assert "as the layer is under stress" in capsys.readouterr().out
    assert main(["phonons", "strained.extxyz", "--no-relax", "--impose-rotations", *options]) == 2
    assert "the crystal is under a stress of" in capsys.readouterr().err
    write("salt.extxyz", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.extxyz", "--impose-rotations", *options[:5]]) == 2
    assert "--impose-rotations is given for a crystal with charges" in capsys.readouterr().err
