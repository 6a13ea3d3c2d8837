"""Third order, strain and labels by displacements of any calculator: phono3py by hand, and what exact ones give."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import write
from phono3py import Phono3py
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import (
    ConductivitySettings,
    DisplacementCalculator,
    ExpansionSettings,
    PhonaxCalculator,
    conductivity_study,
    evaluate,
    expansion_study,
    get_phono3py,
    get_thermal_conductivity,
    label_structures,
    relax,
)
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.cli import main
from ase_phonax.cli.entries import Entry
from ase_phonax.phonons.anharmonic.choice import choose_third_order_supercell, stated_third_order_supercell
from ase_phonax.phonons.anharmonic.interpolation import (
    interpolated_triplets,
    probe_triplets,
    third_order_error,
    triplets_error,
)
from ase_phonax.phonons.anharmonic.strained_constants import invariant_strains, strained_constants
from ase_phonax.phonons.elastic.constants import internal_strain
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy
from ase_phonax.phonons.volumes import get_quasi_harmonic, phonons_at_volumes

EXACT = PhonaxCalculator()
DISPLACED = DisplacementCalculator(EXACT, way="displacements")
EMT_ENTRY = ["--calculator", "ase.calculators.emt:EMT"]


@pytest.fixture(scope="module")
def magnesia():
    return relax(bulk("MgO", "rocksalt", a=4.2), EXACT)[0]


@pytest.fixture(scope="module")
def wurtzite():
    return relax(bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38), EXACT)[0]


def test_third_order_constants_are_phono3py_s_by_hand():
    # Kills: another step, another symmetry, drift left in.
    atoms = bulk("Cu", a=3.6)
    cells = build_phonopy(atoms, 3, is_symmetry=False)
    found = DisplacementCalculator(EMT()).get_third_order(cells)
    cell = PhonopyAtoms(symbols=["Cu"], cell=atoms.cell[:], scaled_positions=[[0, 0, 0]])
    by_hand = Phono3py(cell, 3 * np.eye(3, dtype=int), primitive_matrix="P", log_level=0)
    by_hand.generate_displacements(distance=0.03)
    forces = []
    for moved in by_hand.supercells_with_displacements:
        forces.append(
            Atoms(moved.symbols, cell=moved.cell, positions=moved.positions, pbc=True, calculator=EMT()).get_forces()
        )
    by_hand.forces = forces
    by_hand.produce_fc3(is_compact_fc=True)
    by_hand.symmetrize_fc3()
    assert np.abs(found - by_hand.fc3).max() < 1e-8 * np.abs(found).max()


def test_third_order_constants_are_exact_in_the_limit_of_short_steps(magnesia):
    cells = build_phonopy(magnesia, 2, is_symmetry=False)
    triplets = probe_triplets()
    exact = interpolated_triplets(EXACT.get_third_order(cells), cells, triplets)
    off = [
        third_order_error(DISPLACED.get_third_order(cells, step=step), cells, exact, triplets) for step in (0.04, 0.02)
    ]
    # phono3py moves atoms to one side where symmetry does not give it the other: the error is of first order.
    assert off[1] < off[0] / 1.8
    assert off[1] < 2e-3


def test_supercells_of_third_order_are_compared_and_noise_is_what_the_step_does():
    silicon = bulk("Si", a=5.45)
    found = stated_third_order_supercell(silicon, DISPLACED, 2 * np.eye(3, dtype=int))
    assert found.n_atoms == 16
    assert found.against == found.tried[0][1] == 8
    smaller, larger = (build_phonopy(silicon, own, is_symmetry=False) for own in (found.tried[0][0], found.matrix))
    triplets, masses = probe_triplets(), silicon.get_masses()
    both = [interpolated_triplets(EXACT.get_third_order(own), own, triplets) for own in (smaller, larger)]
    assert found.error == pytest.approx(triplets_error(*both, masses), rel=0.02)
    # Up to four times the error of the step itself, less it: a bound of what displacements have wrong.
    own = third_order_error(found.constants, larger, both[1], triplets)
    assert own < found.noise < 5 * own
    alone = stated_third_order_supercell(silicon, DISPLACED, np.eye(3, dtype=int))
    assert alone.error == np.inf
    assert not alone.reached


def test_the_supercell_of_third_order_is_the_larger_of_two_that_agree():
    atoms, calc = bulk("Cu", a=3.6), DisplacementCalculator(EMT())
    rough = choose_third_order_supercell(atoms, calc, 0.6, 64)
    assert rough.reached
    assert (rough.against, rough.n_atoms) == (27, 64)
    with pytest.raises(InputError, match="the tolerance is 0"):
        choose_third_order_supercell(atoms, calc, 0.0)


def test_conductivities_by_displacements_are_those_of_exact_constants(magnesia):
    one, other = (get_phono3py(magnesia, calc, 2, 3) for calc in (EXACT, DISPLACED))
    first, second = (get_thermal_conductivity(own, [5, 5, 5]).kappa[0] for own in (one, other))
    assert np.abs(second - first).max() < 0.01 * first[0, 0]


def test_constants_change_with_strain_as_exact_ones(wurtzite):
    # A crystal of two strains, whose atoms follow both.
    phonopy = get_phonopy(wurtzite, EXACT, 2)
    strains = invariant_strains(wurtzite)
    assert len(strains) == 2
    exact, by_differences = (
        strained_constants(phonopy, calc, strains, internal_strain(wurtzite, calc)) for calc in (EXACT, DISPLACED)
    )
    assert np.abs(by_differences - exact).max() < 2e-3 * np.abs(exact).max()


def test_copper_swells_as_by_volumes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    calc = DisplacementCalculator(EMT())
    atoms = relax(bulk("Cu"), calc, fmax=1e-5, smax=1e-6)[0]
    write("Cu.extxyz", atoms)
    short = ["--supercell", "2", "--mesh-length", "15", "--max-temperature", "400"]
    assert main(["expansion", "Cu.extxyz", *EMT_ENTRY, *short]) == 0
    assert "with slopes, by differences, of free energies" in capsys.readouterr().out
    found = json.loads((tmp_path / "Cu-expansion/summary.json").read_text())
    points = phonons_at_volumes(atoms, calc, 2, [0.99, 1.0, 1.01, 1.02, 1.03, 1.04, 1.05])
    expected = get_quasi_harmonic(points, t_max=400.0, mesh_length=15.0).at(400.0)
    assert found["volumes_angstrom3"][-1] == pytest.approx(expected["volume"], rel=2e-4)
    by_volumes = expected["thermal_expansion_per_k"]
    assert np.trace(found["expansion_tensors_per_k"][-1]) == pytest.approx(by_volumes, rel=0.03)


def test_copper_by_emt_from_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("Cu.extxyz", bulk("Cu"))
    few = ["--supercell", "3", "--third-supercell", "3", "--mesh", "6", "6", "6", "--temperatures", "200", "400", "100"]
    assert main(["conductivity", "Cu.extxyz", *EMT_ENTRY, *few]) == 0
    shown = capsys.readouterr().out
    summary = json.loads((tmp_path / "Cu-conductivity/summary.json").read_text())
    assert summary["second_derivatives"] == "displacements of 0.01 Å"
    assert summary["third_order_error_against"].startswith("a supercell of")
    assert 0 < summary["third_order_noise"] < 0.2
    assert "third-order noise" in shown
    assert "against a supercell of" in shown
    kappa = np.array(summary["kappa_W_mK"])
    assert kappa[1] == pytest.approx(kappa[1, 0, 0] * np.eye(3), abs=1e-4 * kappa[1, 0, 0])
    assert 1 < kappa[2, 0, 0] < kappa[1, 0, 0] < kappa[0, 0, 0]


def test_what_has_no_conductivity_is_refused_in_the_words_of_its_supercell():
    atoms = bulk("Cu", "bcc", a=2.9)
    settings = ConductivitySettings(no_relax=True, supercell=(2, 2, 2), third_supercell=(2, 2, 2), mesh=(3, 3, 3))
    with pytest.raises(StructureError, match=r"imaginary modes, down to .* in the supercell of second order"):
        conductivity_study(atoms, EMT(), settings)
    with pytest.raises(InputError, match="gives no stress"):
        expansion_study(bulk("Cu"), _WithoutStress(), ExpansionSettings(supercell=(2, 2, 2)))


class _WithoutStress(EMT):
    implemented_properties = ("energy", "forces")


def test_labels_of_any_calculator_are_its_own(tmp_path, monkeypatch):
    recipe = {"relax": False, "perturbations": [{"waves": 3}, {"repeat": 2, "positions": 0.05}]}
    calc = DisplacementCalculator(EMT(), maker=Entry("ase.calculators.emt:EMT"))
    study = label_structures([bulk("Cu"), molecule("H2O")], calc, tmp_path / "out", recipe, n_workers=1)
    assert not study.failures
    first, second, water = study.frames()
    # One cell is known at q = 0 alone, where an atom has translations alone.
    assert first.second is None
    assert water.second.qpoints.tolist() == second.second.qpoints.tolist() == [[0, 0, 0]]
    assert len(second.atoms) == 8
    again = second.atoms.copy()
    again.calc = EMT()
    assert second.energy == pytest.approx(again.get_potential_energy(), abs=1e-9)
    assert np.abs(second.forces - again.get_forces()).max() < 1e-9
    again.positions[3, 1] += 1e-3
    pull = again.get_forces().ravel()
    again.positions[3, 1] -= 2e-3
    column = (again.get_forces().ravel() - pull) / 2e-3
    assert np.abs(second.second.matrices[0].real[:, 10] - column).max() < 2e-3 * np.abs(column).max()
    assert study.model["second_derivatives"] == "displacements of 0.01 Å"
    with pytest.raises(InputError, match="cannot be told from others"):
        label_structures([bulk("Cu")], EMT(), tmp_path / "other", recipe)
    # The command, whose labels are those of Python, and do not mix with those of another calculator.
    monkeypatch.chdir(tmp_path)
    write("Cu.extxyz", bulk("Cu"))
    quick = ["--quiet", "--workers", "1", "--output", "labels"]
    assert main(["label", "Cu.extxyz", *EMT_ENTRY, *quick]) == 0
    note = json.loads((tmp_path / "labels/labels.json").read_text())
    assert note["model"] == "EMT"
    assert main(["label", "Cu.extxyz", "--calculator", "ase.calculators.lj:LennardJones", *quick]) == 2


def test_any_calculator_is_compared_with_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    calc = DisplacementCalculator(EMT(), maker=Entry("ase.calculators.emt:EMT"))
    recipe = {"relax": False, "perturbations": [{"repeat": 2, "positions": 0.05, "count": 2}]}
    study = label_structures([bulk("Cu")], calc, "labels", recipe, n_workers=1)
    frames = study.frames()
    same = evaluate(EMT(), frames)
    assert set(same.mae) == {"energy", "forces", "stress", "curvature", "frequency"}
    assert max(same.mae[name] for name in ("energy", "forces", "stress", "curvature")) < 1e-9
    shifted = evaluate(LennardJones(sigma=2.3, epsilon=0.4, rc=5.0), frames)
    assert shifted.mae["forces"] > 0.01
    # A network inside its calculator is the network.
    salt = bulk("MgO", "rocksalt", a=4.2)
    of_network = label_structures([salt], EXACT, "exact", {"perturbations": [{"waves": 2}]}, n_workers=1).frames()
    assert evaluate(EXACT, of_network).mae == evaluate("phonax-small", of_network).mae
    with pytest.raises(InputError, match="at wave vectors other than zero"):
        evaluate(DISPLACED, of_network)
    files = [str(path) for path in (tmp_path / "labels/frames").iterdir()]
    assert main(["evaluate", *files, *EMT_ENTRY, "--json", "scores.json"]) == 0
    assert "EMT" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["model"] == "EMT"
    assert scores["mae"]["forces"] < 1e-9
    assert main(["evaluate", "phonax-small"]) == 2
    assert "no labelled structures" in capsys.readouterr().err
