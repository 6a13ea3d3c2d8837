"""Grüneisen parameters and thermal expansion from exact derivatives by strain."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from ase_phonax import PhonaxCalculator, get_exact_gruneisen, get_gruneisen, phonons_at_volumes, relax
from ase_phonax.base.errors import StructureError
from ase_phonax.cli import main
from ase_phonax.phonons.anharmonic.strained_constants import invariant_strains, strained_constants
from ase_phonax.phonons.elastic.constants import elastic_constants
from ase_phonax.phonons.sampling.heat import mode_heat_capacities
from ase_phonax.phonons.supercell.objects import get_phonopy

from .crystals import CRYSTALS, triclinic

CALC = PhonaxCalculator()
TIGHT = {"fmax": 1e-7, "smax": 1e-9}


@pytest.fixture(scope="module")
def magnesia():
    return relax(bulk("MgO", "rocksalt", a=4.2), CALC, **TIGHT)[0]


@pytest.fixture(scope="module")
def of_magnesia(magnesia):
    return get_exact_gruneisen(phonons_at_volumes(magnesia, CALC, 2, [1.0], **TIGHT)[0], CALC, mesh_length=15.0)


def test_they_are_the_limit_of_two_volumes(magnesia, of_magnesia):
    """Richardson's extrapolation of central differences over 0.4 and 0.2 % of the volume."""
    first, second = (
        get_gruneisen(phonons_at_volumes(magnesia, CALC, 2, [1 - s, 1, 1 + s], **TIGHT), mesh_length=15.0)
        for s in (4e-3, 2e-3)
    )
    expected = (4 * second.gamma - first.gamma) / 3
    assert np.array_equal(np.isnan(expected), np.isnan(of_magnesia.gamma))
    assert np.nanmax(np.abs(of_magnesia.gamma - expected)) < 1e-6
    assert np.nanmax(np.abs(of_magnesia.gamma - first.gamma)) > 1e-5
    for own, other in zip(of_magnesia.bands.get_gruneisen(), second.bands.get_gruneisen(), strict=True):
        # Branches may be joined differently; their sum is not. At Γ it is 0/0.
        assert np.abs((own - other).sum(axis=1)[2:-2]).max() < 1e-3
    assert of_magnesia.exact
    assert not first.exact
    assert len(of_magnesia.points) == 1


@pytest.mark.filterwarnings("ignore:At . of . volumes the supercell gives imaginary modes")
def test_shape_and_atoms_follow_the_pressure():
    """Wurtzite: volumes relaxed in shape, differences of the second order in the step."""
    atoms = relax(bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38), CALC, **TIGHT)[0]
    points = [phonons_at_volumes(atoms, CALC, [3, 3, 2], [1 - s, 1, 1 + s], **TIGHT) for s in (0.012, 0.006)]
    first, second = (get_gruneisen(own, mesh_length=10.0) for own in points)
    exact = get_exact_gruneisen(points[0][1], CALC, mesh_length=10.0)
    errors = [np.nanmax(np.abs(own.gamma - exact.gamma)) for own in (first, second)]
    # What is left after the second order is the shape, relaxed to 1e-9 eV.
    assert np.nanmax(np.abs((4 * second.gamma - first.gamma) / 3 - exact.gamma)) < 0.05 * errors[1] + 1e-5
    alpha = exact.strained.expansion([300.0])[0]
    assert alpha[0, 0] == pytest.approx(alpha[1, 1], rel=1e-6)
    assert abs(alpha[0, 0] - alpha[2, 2]) > 0.05 * abs(alpha[0, 0])
    assert np.abs(alpha - np.diag(np.diag(alpha))).max() < 1e-6 * alpha[0, 0]


def test_expansion_of_a_cubic_crystal_is_that_of_its_average(of_magnesia):
    """alpha_V = gamma C / (B V), with the mean gamma weighted by heat."""
    temperatures = np.array([100.0, 300.0, 900.0])
    modes = of_magnesia.strained
    found = modes.expansion(temperatures)
    for temperature, alpha in zip(temperatures, found, strict=True):
        heat = mode_heat_capacities(of_magnesia.frequencies_thz, temperature) * of_magnesia.weights[:, None]
        capacity = heat[np.isfinite(of_magnesia.gamma)].sum() / of_magnesia.weights.sum() * 8.617333e-5  # eV/K
        bulk_modulus = modes.elastic.hill.bulk / 160.21766
        expected = of_magnesia.average(temperature) * capacity / bulk_modulus / modes.volume
        assert np.trace(alpha) == pytest.approx(expected, rel=1e-5)
        assert np.abs(alpha - np.eye(3) * alpha[0, 0]).max() < 1e-9 * alpha[0, 0]


def test_symmetry_allows_so_many_strains():
    counts = {
        "diamond": 1,
        "wurtzite, polar": 2,
        "left-handed rutile": 2,
        "quartz, chiral": 2,
        "monoclinic": 4,
        "perovskite": 1,
    }
    for name, count in counts.items():
        strains = invariant_strains(CRYSTALS[name][0])
        assert len(strains) == count, name
        assert np.einsum("kxy,lxy->kl", strains, strains) == pytest.approx(np.eye(count), abs=1e-12)
    assert len(invariant_strains(triclinic())) == 6


def test_constants_of_a_strained_crystal_are_those_of_derivatives(magnesia):
    phonopy = get_phonopy(magnesia, CALC, 2)
    elastic = elastic_constants(magnesia, CALC)
    strains = invariant_strains(magnesia)
    found = strained_constants(phonopy, CALC, strains, elastic.internal_strain)[0]

    def strained(step: float) -> np.ndarray:
        atoms = magnesia.copy()
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + step * strains[0]), scale_atoms=True)
        return CALC.get_force_constants(get_phonopy(atoms, CALC, 2))

    expected = (8 * (strained(1e-3) - strained(-1e-3)) - (strained(2e-3) - strained(-2e-3))) / 12e-3
    assert np.abs(found - expected).max() < 1e-7 * np.abs(expected).max()


def test_the_command_is_exact_unless_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("MgO.cif", bulk("MgO", "rocksalt", a=4.2, cubic=True))
    few = ["--supercell", "2", "2", "2", "--mesh-length", "15"]
    results = []
    for more in ([], ["--finite"]):
        assert main(["gruneisen", "MgO.cif", *few, *more, "--overwrite"]) == 0
        shown = capsys.readouterr().out
        assert ("exact dD/dε" in shown) == (not more)
        results.append(json.loads(Path("MgO-gruneisen/summary.json").read_text()))
    exact, finite = results
    assert exact["exact"]
    assert not finite["exact"]
    assert len(exact["volumes"]) == 1
    assert len(finite["volumes"]) == 3
    assert exact["gruneisen_average"] == pytest.approx(finite["gruneisen_average"], rel=1e-3)
    alpha = np.array(exact["thermal_expansion_tensor_per_k"])
    assert alpha == pytest.approx(alpha[0, 0] * np.eye(3), abs=1e-9)
    assert 3e-6 < alpha[0, 0] < 3e-5  # measured: 1.05e-5/K
    assert "not stated" not in exact["units"].values()
    write("stretched.extxyz", bulk("MgO", "rocksalt", a=4.4))
    assert main(["gruneisen", "stretched.extxyz", *few, "--keep-volume"]) == 0
    assert "two volumes" in capsys.readouterr().out


def test_a_crystal_under_stress_is_refused():
    atoms = bulk("MgO", "rocksalt", a=4.3)
    point = phonons_at_volumes(atoms, CALC, 2, [1.0])[0]
    with pytest.raises(StructureError, match="relax cell and positions first"):
        get_exact_gruneisen(point, CALC, mesh_length=10.0)
