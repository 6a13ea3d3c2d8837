"""Elastic constants: against differences of stresses, sound in exact D(q), central forces, symmetry."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.optimize import BFGS
from ase.spacegroup import crystal
from ase.stress import voigt_6_to_full_3x3_stress

from ase_phonax import PhonaxCalculator, elastic_constants, elastic_study, frequencies_thz, relax
from ase_phonax.base.errors import StructureError
from ase_phonax.cli import main
from ase_phonax.phonons.elastic.moduli import (
    VOIGT,
    Moduli,
    as_tensor,
    as_voigt,
    hill_moduli,
    mean_velocity,
    reuss_moduli,
    sound_waves,
    universal_anisotropy,
    voigt_moduli,
    young_moduli,
)

from .analytic import silicon_potential
from .test_arrays import crystal as any_crystal
from .test_networks import CASES
from .test_perturbations import random_weights

CALC = PhonaxCalculator()


def corundum() -> Atoms:
    return crystal(
        ("Al", "O"), [(0, 0, 0.352), (0.306, 0, 0.25)], spacegroup=167, cellpar=[4.76, 4.76, 12.99, 90, 90, 120]
    )


@pytest.fixture(scope="module", params=["Si", "MgO", "Al2O3"])
def rest(request):
    """A crystal at rest, tighter than needed, and its constants."""
    atoms = {
        "Si": lambda: bulk("Si", a=5.43),
        "MgO": lambda: bulk("MgO", "rocksalt", a=4.21),
        "Al2O3": lambda: corundum(),
    }[request.param]()
    atoms = relax(atoms, CALC, fmax=1e-7, smax=1e-9)[0]
    atoms.calc = None
    return atoms, elastic_constants(atoms, CALC)


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return moved


def test_constants_are_differences_of_the_stress_with_atoms_held_and_let_go(rest):
    atoms, found = rest
    step = 2e-4
    for column, (x, y) in enumerate(VOIGT):
        if len(atoms) > 10 and column not in (0, 3):
            continue  # of corundum one strain of each kind
        along = np.zeros((3, 3))
        along[x, y] += 0.5
        along[y, x] += 0.5
        held, free = [], []
        for sign in (1, -1):
            moved = strained(atoms, sign * step * along)
            moved.calc = CALC
            held.append(moved.get_stress())
            # One step of Newton's from exact constants, and another: as good as any relaxation.
            for _ in range(2):
                hessian = CALC.get_hessian(moved).reshape(3 * len(moved), -1)
                push = np.linalg.lstsq(hessian, moved.get_forces().ravel(), rcond=1e-8)[0]
                moved.positions += push.reshape(-1, 3)
            free.append(moved.get_stress())
        for stresses, matrix in ((held, found.clamped_ion), (free, found.relaxed_ion)):
            slope = (stresses[0] - stresses[1]) / (2 * step) / units.GPa
            # Truncation goes with the square of the step; what is left of stress at rest is 1e-7 GPa.
            assert slope == pytest.approx(matrix[:, column], abs=2e-4 * np.abs(matrix).max())


def test_sound_is_the_slope_of_exact_acoustic_branches(rest):
    atoms, found = rest
    directions = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0.3, -0.5, 0.8]])
    velocities, _ = found.sound_waves(directions)
    for direction, expected in zip(directions / np.linalg.norm(directions, axis=1)[:, None], velocities, strict=True):
        k = 2e-3  # 1/Å, without 2 pi
        q = atoms.cell.array @ (k * direction)
        frequencies = frequencies_thz(CALC.get_dynamical_matrix(atoms, q[None]))[0][:3]
        # Dispersion bends branches by about (k a)².
        assert frequencies * 1e12 / (k * 1e10) == pytest.approx(expected, rel=3e-4)


def test_symmetry_turns_and_cells(rest):
    atoms, found = rest
    c = found.relaxed_ion
    scale = np.abs(c).max()
    assert c == pytest.approx(c.T, abs=1e-9 * scale)
    if len(atoms) > 10:  # trigonal, 3 along z and 2 along x
        assert c[5, 5] == pytest.approx((c[0, 0] - c[0, 1]) / 2, abs=1e-6 * scale)
        assert c[0, 3] == pytest.approx(-c[1, 3], abs=1e-6 * scale)
        assert c[0, 3] == pytest.approx(c[4, 5], abs=1e-6 * scale)
        assert abs(c[0, 3]) > 0.01 * scale
    else:  # cubic
        assert c[0, 0] == pytest.approx(c[2, 2], abs=1e-6 * scale)
        assert np.abs(c[:3, 3:]).max() < 1e-6 * scale
    turned = atoms.copy()
    turned.rotate(40, (1, 2, -1), rotate_cell=True)
    rotation = np.linalg.solve(atoms.cell.array, turned.cell.array)  # rows: r' = r R
    expected = np.einsum("ijkl,ia,jb,kc,ld->abcd", as_tensor(c), *[rotation] * 4, optimize=True)
    after = elastic_constants(turned, CALC)
    assert after.relaxed_ion == pytest.approx(as_voigt(expected), abs=1e-6 * scale)
    assert after.eigenvalues == pytest.approx(found.eigenvalues, abs=1e-6 * scale)
    larger = elastic_constants(atoms * (2, 1, 1), CALC)
    assert larger.relaxed_ion == pytest.approx(c, abs=1e-6 * scale)
    assert larger.debye_temperature == pytest.approx(found.debye_temperature, rel=1e-6)


def test_the_mean_displacement_is_none_and_inversion_centres_stay(rest):
    atoms, found = rest
    assert np.abs(found.internal_strain.sum(axis=0)).max() < 1e-9
    if str(atoms.symbols) == "MgO":
        assert found.internal_strain == pytest.approx(0, abs=1e-6)
        assert found.relaxed_ion == pytest.approx(found.clamped_ion, abs=1e-6)
    else:
        assert np.abs(found.internal_strain).max() > 0.1


@pytest.mark.parametrize("name", CASES)
def test_arrays_and_jax_give_the_same_derivatives_by_strain(name):
    potential = random_weights(*CASES[name][:2])
    atoms = any_crystal()
    by_arrays, by_jax = (
        PhonaxCalculator(potential, route=route).evaluator.strain_derivatives(atoms) for route in ("arrays", "compiled")
    )
    for part in ("of_strains", "of_positions_and_strains"):
        first, second = getattr(by_arrays, part), getattr(by_jax, part)
        assert np.abs(first - second).max() < 1e-9 * np.abs(second).max()


def test_moduli_of_a_solid_without_direction_are_those_it_was_made_from():
    bulk_modulus, shear = 70.0, 26.0
    c = np.zeros((6, 6))
    c[:3, :3] = bulk_modulus - 2 * shear / 3
    c += np.diag([2 * shear] * 3 + [shear] * 3)
    for moduli in (voigt_moduli(c), reuss_moduli(c), hill_moduli(c)):
        assert (moduli.bulk, moduli.shear) == pytest.approx((bulk_modulus, shear))
    whole = Moduli(bulk_modulus, shear)
    directions = np.random.default_rng(0).normal(size=(5, 3))
    assert young_moduli(c, directions) == pytest.approx(whole.young)
    assert whole.poisson == pytest.approx(whole.young / 2 / shear - 1)
    assert universal_anisotropy(c) == pytest.approx(0, abs=1e-9)
    transverse, longitudinal = np.sqrt(shear * 1e9 / 2700), np.sqrt((bulk_modulus + 4 * shear / 3) * 1e9 / 2700)
    velocities, polarizations = sound_waves(c, 2700.0, directions)
    assert velocities == pytest.approx(np.tile([transverse, transverse, longitudinal], (5, 1)))
    along = np.einsum("ai,ai->a", polarizations[:, :, 2], directions / np.linalg.norm(directions, axis=1)[:, None])
    assert np.abs(along) == pytest.approx(1)
    mean = ((2 / transverse**3 + 1 / longitudinal**3) / 3) ** (-1 / 3)
    assert mean_velocity(c, 2700.0) == pytest.approx(mean, rel=1e-9)


def test_bounds_of_a_cubic_crystal_are_written_down():
    c11, c12, c44 = 168.0, 121.0, 75.0  # copper, GPa
    c = np.full((6, 6), 0.0)
    c[:3, :3] = c12
    c += np.diag([c11 - c12] * 3 + [c44] * 3)
    upper, lower = voigt_moduli(c), reuss_moduli(c)
    assert upper.bulk == pytest.approx((c11 + 2 * c12) / 3)
    assert lower.bulk == pytest.approx(upper.bulk)
    assert upper.shear == pytest.approx((c11 - c12 + 3 * c44) / 5)
    assert lower.shear == pytest.approx(5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12)))
    s11, s12, s44 = (c11 + c12) / (c11 - c12) / (c11 + 2 * c12), -c12 / (c11 - c12) / (c11 + 2 * c12), 1 / c44
    expected = [1 / s11, 1 / (s11 - 2 * (s11 - s12 - s44 / 2) / 3)]
    assert young_moduli(c, [[1, 0, 0], [1, 1, 1]]) == pytest.approx(expected)


def test_what_is_not_at_rest_or_no_crystal_is_refused():
    with pytest.raises(StructureError, match="relax cell and positions first"):
        elastic_constants(bulk("MgO", "rocksalt", a=4.3), CALC)
    slab = bulk("MgO", "rocksalt", a=4.2) * (1, 1, 2)
    slab.center(vacuum=10, axis=2)
    with pytest.raises(StructureError, match="a layer with vacuum"):
        elastic_constants(slab, CALC)
    with pytest.raises(StructureError, match="the structure is a str"):
        elastic_constants("MgO.cif", CALC)


def test_a_crystal_that_gives_way_says_so():
    """Body-centred aluminium is a saddle of Bain's path."""
    atoms = bulk("Al", "bcc", a=3.2)
    atoms.calc = CALC
    atoms.set_constraint(FixSymmetry(atoms))
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=100)
    atoms.set_constraint()
    assert np.abs(voigt_6_to_full_3x3_stress(atoms.get_stress())).max() < 1e-4
    found = elastic_constants(atoms, CALC)
    assert not found.is_stable
    assert found.eigenvalues[0] < 0
    for ask in ("hill", "reuss", "debye_temperature", "universal_anisotropy"):
        with pytest.raises(StructureError, match="gives way"):
            getattr(found, ask)
    assert found.voigt.bulk > 0


def test_silicon_of_stillinger_and_weber_has_its_published_constants():
    """H. Balamane, T. Halicioglu and W. A. Tiller, Phys. Rev. B 46, 2250 (1992): 151.4, 76.4 and 56.4 GPa."""
    calc = PhonaxCalculator(silicon_potential())
    found = elastic_constants(relax(bulk("Si", a=5.431), calc, fmax=1e-6, smax=1e-8)[0], calc)
    c = found.relaxed_ion
    assert [c[0, 0], c[0, 1], c[3, 3]] == pytest.approx([151.4, 76.4, 56.4], abs=0.06)
    assert found.clamped_ion[3, 3] > 1.5 * c[3, 3]


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_what_it_prints_in_the_axes_of_its_structure(inside, capsys):
    write("Al2O3.cif", corundum())
    assert main(["elastic", "Al2O3.cif"]) == 0
    shown = capsys.readouterr().out
    assert "bulk modulus" in shown
    assert {path.name for path in Path("Al2O3-elastic").iterdir()} == {
        "summary.json",
        "relaxed.extxyz",
        "elastic.png",
        "elastic.pdf",
    }
    summary = json.loads(Path("Al2O3-elastic/summary.json").read_text())
    again = elastic_constants(read("Al2O3-elastic/relaxed.extxyz"), CALC)
    # The file's positions have eight digits.
    assert np.array(summary["elastic_constants_GPa"]) == pytest.approx(again.relaxed_ion, abs=1e-3)
    assert np.array(summary["clamped_ion_GPa"]) == pytest.approx(again.clamped_ion, abs=1e-3)
    assert summary["bulk_modulus_vrh_GPa"] == pytest.approx(again.hill.bulk, abs=1e-3)
    assert summary["units"]["elastic_constants_GPa"] == "GPa"
    assert "not stated" not in summary["units"].values()
    assert len(summary["sound"]) == 5


def test_the_command_draws_what_is_left_of_a_crystal_that_gives_way(inside, capsys):
    """Body-centred aluminium: along some directions one wave grows instead of moving."""
    write("Al.extxyz", bulk("Al", "bcc", a=3.2))
    assert main(["elastic", "Al.extxyz"]) == 0
    assert "UNSTABLE" in capsys.readouterr().out
    assert Path("Al-elastic/elastic.png").stat().st_size > 10000


def test_the_command_refuses_what_is_not_at_rest_and_layers(inside, capsys):
    write("MgO.extxyz", bulk("MgO", "rocksalt", a=4.3))
    assert main(["elastic", "MgO.extxyz", "--no-relax"]) == 2
    assert "relax cell and positions first" in capsys.readouterr().err
    slab = bulk("MgO", "rocksalt", a=4.2) * (1, 1, 2)
    slab.center(vacuum=10, axis=2)
    write("slab.extxyz", slab)
    assert main(["elastic", "slab.extxyz"]) == 2
    assert "mostly vacuum" in capsys.readouterr().err
    assert not Path("MgO-elastic").exists()


def test_a_study_is_what_the_command_does_and_can_be_pickled():
    found = elastic_study(bulk("MgO", "rocksalt", a=4.21), CALC)
    again = pickle.loads(pickle.dumps(found))
    assert again.to_dict() == found.to_dict()
    assert found.to_dict()["stable"] is True
    assert "every strain costs energy" in str(found.report())
