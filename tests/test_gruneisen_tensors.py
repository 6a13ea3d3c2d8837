"""Mode Grüneisen tensors by exact derivatives, against frequencies of strained crystals whose atoms have followed."""

import numpy as np
import pytest
from ase.build import bulk

from ase_phonax import PhonaxCalculator, frequencies_thz, gruneisen_tensors, relax
from ase_phonax.base.errors import StructureError

CALC = PhonaxCalculator()
QPOINTS = np.array([[0.1, 0.2, 0.35], [0.5, 0, 0], [0.3, 0.3, 0.3], [0, 0, 0]])
STEP = 1e-4  # errors go with its third power, and rounding is 1e-12 / STEP


@pytest.fixture(scope="module")
def silicon():
    atoms = relax(bulk("Si", a=5.43), CALC, fmax=1e-7, smax=1e-9)[0]
    atoms.calc = None
    return atoms


def frequencies(atoms, strain: np.ndarray, clamped: bool) -> np.ndarray:
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    for _ in range(0 if clamped else 3):
        moved.calc = CALC
        hessian = CALC.get_hessian(moved).reshape(3 * len(moved), -1)
        push = np.linalg.lstsq(hessian, moved.get_forces().ravel(), rcond=1e-8)[0]
        moved.positions += push.reshape(-1, 3)
    moved.calc = None
    return frequencies_thz(CALC.get_dynamical_matrix(moved, QPOINTS))


@pytest.mark.parametrize("clamped", [False, True])
@pytest.mark.parametrize(
    "strain", [np.eye(3) / 3, np.diag([0, 0, 1.0]), np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])]
)
def test_they_are_how_frequencies_change(silicon, strain, clamped):
    found = gruneisen_tensors(silicon, CALC, QPOINTS, clamped=clamped)
    # From one side, in which modes that share a frequency keep their order while they part.
    one, two, three = (frequencies(silicon, k * STEP * strain, clamped) for k in (1, 2, 3))
    change = (-11 * found.frequencies_thz + 18 * one - 9 * two + 2 * three) / 6 / STEP
    with np.errstate(all="ignore"):
        expected = -change / found.frequencies_thz
    expected[3, :3] = np.nan  # the translations at Gamma
    mine = found.along(strain)
    assert np.isnan(mine[3, :3]).all()
    # Frequencies ascend within a level, and gammas descend.
    for k in range(len(QPOINTS)):
        assert np.sort(mine[k]) == pytest.approx(np.sort(expected[k]), abs=2e-5, nan_ok=True)


def test_levels_have_the_symmetry_of_the_crystal_and_the_trace_is_that_of_the_volume(silicon):
    found = gruneisen_tensors(silicon, CALC, QPOINTS)
    tensors = found.tensors
    assert tensors[3, 3:] == pytest.approx(tensors[3, 3, 0, 0] * np.tile(np.eye(3), (3, 1, 1)), abs=1e-6)
    assert found.volumetric[3, 3:] == pytest.approx(tensors[3, 3, 0, 0], abs=1e-6)
    # At a general wave vector, where no modes share a frequency, the tensor says all.
    assert found.volumetric[0] == pytest.approx(np.trace(tensors[0], axis1=1, axis2=2) / 3, abs=1e-9)
    assert tensors[0] == pytest.approx(tensors[0].swapaxes(1, 2))
    # Another wave vector of the star has the tensor turned.
    turned = gruneisen_tensors(silicon, CALC, -QPOINTS[:1]).tensors
    assert turned[0] == pytest.approx(tensors[0], abs=1e-8)


def test_what_is_not_at_rest_is_refused():
    with pytest.raises(StructureError, match="relax cell and positions first"):
        gruneisen_tensors(bulk("Si", a=5.2), CALC, [0.1, 0, 0])
