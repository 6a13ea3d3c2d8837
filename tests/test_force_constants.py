"""Force constants and D(q) against independent routes, on crystals where each convention can fail."""

import jax
import numpy as np
import pytest
from ase import Atoms

from ase_phonax import PhonaxCalculator
from ase_phonax.derivatives import conventions, stars
from ase_phonax.derivatives.compiled import reference, responses
from ase_phonax.derivatives.compiled.graphs import build_graph, pad
from ase_phonax.derivatives.compiled.reference import extended_graph
from ase_phonax.phonons.supercell import checks as supercell_checks
from ase_phonax.phonons.supercell import constants as supercell_constants
from ase_phonax.phonons.supercell.objects import build_phonopy
from ase_phonax.structures import space_groups

from .crystals import CRYSTALS, triclinic

pytestmark = [
    pytest.mark.filterwarnings("ignore:The cell is kept:ase_phonax.base.errors.UnstableWarning"),
    # Some supercells here have less symmetry than their crystals, on purpose.
    pytest.mark.filterwarnings("ignore:The supercell keeps:ase_phonax.base.errors.UnstableWarning"),
]
DOUBLE = np.dtype("float64")


@pytest.fixture(scope="module")
def calc(untrained):
    return PhonaxCalculator(untrained)


def as_atoms(cell) -> Atoms:
    return Atoms(numbers=cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)


def richardson(calc, atoms: Atoms, direction: np.ndarray) -> np.ndarray:
    """-dF along a direction, three central differences extrapolated: error O(h^6), rounding about 1e-10."""

    def central(h):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions += sign * h * direction
            moved.calc = calc
            forces.append(moved.get_forces())
        return -(forces[0] - forces[1]) / (2 * h)

    d = [central(h) for h in (4e-3, 2e-3, 1e-3)]
    first = [(4 * d[1] - d[0]) / 3, (4 * d[2] - d[1]) / 3]
    return (16 * first[1] - first[0]) / 15


@pytest.mark.parametrize("name", CRYSTALS)
def test_constants_equal_richardson_differences_of_the_forces(name, calc):
    atoms, matrix = CRYSTALS[name]
    phonopy = build_phonopy(atoms, matrix)
    constants = calc.get_force_constants(phonopy)
    supercell = as_atoms(phonopy.supercell)
    rng = np.random.default_rng(3)
    # Random displacements of the home atoms probe every column at once.
    weights = rng.standard_normal((len(phonopy.primitive), 3))
    direction = np.zeros((len(supercell), 3))
    direction[phonopy.primitive.p2s_map] = weights
    expected = np.einsum("ia,ikab->kb", weights, constants)
    largest = np.abs(constants).max()
    assert largest > 0.1, "a potential that feels nothing tests nothing"
    error = np.abs(richardson(calc, supercell, direction) - expected).max() / largest
    # The promise is 1e-7; the extrapolated differences themselves reach about 1e-9.
    assert error < 1e-7
    checks = supercell_checks.checks(
        phonopy, lambda q, **how: calc.get_dynamical_matrix(as_atoms(phonopy.primitive), q, **how)
    )
    print(f"{name}: differences {error:.0e},", ", ".join(f"{k} {v:.0e}" for k, v in checks.items()))
    assert checks["acoustic_sum_rule"] < 1e-10
    assert checks["hermiticity"] < 1e-10
    # Lattice constants carry rounding only, but spglib's translations are good to its symprec of 1e-5.
    assert checks["space_group_residual"] < 1e-4


def test_the_three_routes_agree(calc, untrained):
    atoms = triclinic()[[0, 1, 3]]
    graph = build_graph(atoms, untrained.cutoff, untrained.numbers)
    qpoints = np.array([[0, 0, 0], [0.5, 0, 0.5], [0.21, 0.37, -0.13]])
    expansion = calc.evaluator.lattice_matrices(atoms, qpoints)
    function, cutoff, weights = untrained.node_energies, untrained.cutoff, untrained.parameters
    with jax.enable_x64(True):
        padded = responses.cast(pad(graph), DOUBLE)
        twisted = np.array(responses.dynamical_matrices(function, cutoff, weights, padded, qpoints))
        big, home, cells = extended_graph(graph, untrained.n_layers)
        by_shift = reference.extended_force_constants(
            function, cutoff, weights, responses.cast(big, DOUBLE), len(atoms), home, cells
        )
    n = 3 * len(atoms)
    extended = [
        sum(np.exp(2j * np.pi * (q @ shift)) * phi for shift, phi in by_shift.items()).reshape(n, n) for q in qpoints
    ]
    scale = np.abs(twisted).max()
    print(f"twisted {np.abs(twisted - expansion).max() / scale:.0e}")
    print(f"extended {np.abs(np.array(extended) - expansion).max() / scale:.0e}")
    assert np.abs(twisted - expansion).max() < 1e-9 * scale
    assert np.abs(np.array(extended) - expansion).max() < 1e-9 * scale
    # Range: atoms couple up to twice the reach of a node energy, and not beyond.
    reach = untrained.n_layers * untrained.cutoff
    far = [
        (np.linalg.norm(atoms.positions[j] + shift @ atoms.cell.array - atoms.positions[i]), np.abs(phi[i, :, j]).max())
        for shift, phi in by_shift.items()
        for i in range(len(atoms))
        for j in range(len(atoms))
    ]
    assert max(value for length, value in far if length > reach) > 1e-9
    assert all(length <= 2 * reach for length, value in far if value > 0)


def test_operations_that_phonopy_has_found_are_not_looked_for_again(calc, monkeypatch):
    # Kills: a Phonopy object that was told not to look, taken for a crystal without symmetry.
    atoms, matrix = CRYSTALS["perovskite"]
    asked, search = [], space_groups.get_operations
    monkeypatch.setattr(stars, "get_operations", lambda *given: asked.append(1) or search(*given))
    constants = []
    for symmetric in (True, False):
        calc._forget()
        constants.append(calc.get_force_constants(build_phonopy(atoms, matrix, is_symmetry=symmetric)))
        assert len(calc._crystals.stars.last.operations.rotations) == 48
        assert len(asked) == (not symmetric)
    assert np.abs(constants[0] - constants[1]).max() < 1e-12 * np.abs(constants[0]).max()


def test_real_phases_take_the_short_way_to_the_same_matrix(calc, untrained):
    # All q with components 0 or 1/2 together drop the sine copies; mixed with another q they do not.
    atoms, real = triclinic(), np.array([[0, 0, 0], [0.5, 0, 0.5], [0, -0.5, 0]])
    alone = calc.get_dynamical_matrix(atoms, real)
    mixed = calc.get_dynamical_matrix(atoms, np.vstack([real, [[0.1, 0.2, 0.3]]]))[:3]
    assert np.abs(alone - mixed).max() < 1e-13 * np.abs(alone).max() + 1e-13


def test_dynamical_matrix_equals_phonopys_at_commensurate_q_where_the_conjugate_fails(calc):
    phonopy = build_phonopy(triclinic(), np.array([[2, 0, 0], [0, 3, 0], [1, 0, 2]]))
    calc.get_force_constants(phonopy)
    qpoints, _ = supercell_constants.commensurate_qpoints(phonopy.primitive.cell, phonopy.supercell.cell)
    exact = calc.get_dynamical_matrix(as_atoms(phonopy.primitive), qpoints)
    interpolated = supercell_constants.interpolated_dynamical_matrices(phonopy, qpoints)
    scale = np.abs(exact).max()
    print(f"commensurate q {np.abs(exact - interpolated).max() / scale:.0e}")
    assert np.abs(exact - interpolated).max() < 1e-9 * scale
    assert np.abs(exact.conj() - interpolated).max() > 1e-3 * scale


def test_time_reversal_and_lattice_periodicity_of_the_exact_matrix(calc):
    q = np.array([[0.21, 0.37, -0.13]])
    exact = calc.get_dynamical_matrix(triclinic(), np.vstack([q, -q]))
    assert np.abs(exact[1] - exact[0].conj()).max() < 1e-13
    shifted = calc.get_dynamical_matrix(triclinic(), q + [1, 0, -2])
    # D(q+G) differs by the phase of the positions, so only its eigenvalues repeat.
    assert np.allclose(np.linalg.eigvalsh(shifted), np.linalg.eigvalsh(exact[:1]), atol=1e-12)


def test_interpolation_converges_to_the_exact_matrix_as_the_supercell_grows(calc):
    atoms, errors = CRYSTALS["zincblende, no inversion"][0], []
    for n in (1, 2, 3, 5):
        phonopy = build_phonopy(atoms, n)
        calc.get_force_constants(phonopy)
        errors.append(
            supercell_checks.checks(phonopy, lambda q, **how: calc.get_dynamical_matrix(atoms, q, **how))[
                "interpolation_error_thz"
            ]
        )
    print("interpolation error in THz for 1, 2, 3, 5 repeats:", errors)
    assert errors[1] < errors[0]
    assert errors[2] < errors[1]
    # Constants fade towards their range of 14.4 Å; 5 repeats are 12.4 Å high.
    assert errors[3] < 1e-4 * errors[0]


def test_masses_of_the_atoms_reach_the_frequencies(calc):
    # Trap: phonopy's own mass table differs from ASE's for 16 elements, and isotopes are in neither.
    heavy = triclinic()
    heavy.set_masses([28.0, 18.0, 13.0, 18.0])
    phonopy = build_phonopy(heavy, 1)
    calc.get_force_constants(phonopy)
    gamma = conventions.frequencies_thz(supercell_constants.interpolated_dynamical_matrices(phonopy, [[0, 0, 0]]))
    direct = conventions.frequencies_thz(calc.get_dynamical_matrix(heavy, [[0, 0, 0]]))
    assert np.allclose(gamma, direct, atol=1e-6)
    phonopy.run_qpoints([[0, 0, 0]])
    assert np.allclose(phonopy.qpoints.frequencies, direct, atol=1e-6)


@pytest.mark.parametrize("scale", ["fewer atoms", "not finite"])
def test_constants_that_phonopy_would_swallow_are_refused(calc, scale):
    phonopy = build_phonopy(triclinic(), 1)
    constants = calc.get_force_constants(phonopy)
    bad = constants[:, :2] if scale == "fewer atoms" else constants * np.nan
    with pytest.raises(ValueError, match="have shape" if scale == "fewer atoms" else "are not finite"):
        supercell_constants.validate_constants(bad, phonopy)
