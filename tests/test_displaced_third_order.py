"""Third order, strain and labels by displacements of any calculator: phono3py by hand, and what exact ones give."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.io import write
from ase.spacegroup import crystal
from phono3py import Phono3py
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import (
    ConductivitySettings,
    DisplacementCalculator,
    ExpansionSettings,
    PhonaxCalculator,
    PhononSettings,
    choose_supercell,
    conductivity_study,
    evaluate,
    expansion_study,
    get_phono3py,
    get_thermal_conductivity,
    label_structures,
    phonon_study,
    relax,
)
from ase_phonax.base.errors import InputError, StructureError, UnstableWarning
from ase_phonax.base.sharing import ignored_warnings
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
    assert "not stated" not in summary["units"].values()
    assert "third-order noise" in shown
    assert "against a supercell of" in shown
    kappa = np.array(summary["kappa_W_mK"])
    assert kappa[1] == pytest.approx(kappa[1, 0, 0] * np.eye(3), abs=1e-4 * kappa[1, 0, 0])
    assert 1 < kappa[2, 0, 0] < kappa[1, 0, 0] < kappa[0, 0, 0]


class _Stopping(EMT):
    """It is stopped after some calculations."""

    left = 10**9

    def calculate(self, *arguments, **others):
        _Stopping.left -= 1
        if _Stopping.left < 0:
            raise KeyboardInterrupt
        super().calculate(*arguments, **others)


def test_forces_of_an_interrupted_run_are_not_computed_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("Cu.extxyz", bulk("Cu", a=3.6))
    entry = ["--calculator", f"{__name__}:_Stopping", "--no-relax", "--quiet"]
    few = ["--supercell", "2", "--third-supercell", "3", "--mesh", "6", "6", "6", "--temperatures", "300", "300", "100"]
    command = ["conductivity", "Cu.extxyz", *entry, *few]
    assert main([*command, "--output", "whole"]) == 0
    needed = 10**9 - _Stopping.left
    _Stopping.left = needed - 5
    assert main([*command, "--output", "parts"]) == 130
    assert "goes on from there" in capsys.readouterr().err
    assert not (tmp_path / "parts").exists()
    _Stopping.left = 10**9
    assert main([*command, "--output", "parts"]) == 0
    assert 10**9 - _Stopping.left < needed / 2
    one, other = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "parts"))
    assert one["kappa_W_mK"] == other["kappa_W_mK"]
    assert not list(tmp_path.glob(".parts*"))


class _Noisy(EMT):
    """Forces with noise of 1e-4 eV/Å, the same for the same structure."""

    def calculate(self, atoms=None, *arguments, **others):
        super().calculate(atoms, *arguments, **others)
        seed = int(abs(atoms.positions).sum() * 1e9) % 2**32
        noise = np.random.default_rng(seed).normal(scale=1e-4, size=(len(atoms), 3))
        self.results["forces"] = self.results["forces"] + noise


def test_noise_is_told_and_moves_no_crystal_as_a_whole():
    atoms = bulk("Al")
    quiet, noisy = (DisplacementCalculator(own()) for own in (EMT, _Noisy))
    cells = build_phonopy(atoms, 3, is_symmetry=False)
    for calc in (quiet, noisy):
        constants = calc.get_force_constants(cells)
        # What symmetry makes of one displaced atom sums to zero where its forces do.
        assert np.abs(constants.sum(axis=1)).max() < 1e-9
    stated = 3 * np.eye(3, dtype=int)
    choices = [stated_third_order_supercell(atoms, calc, stated) for calc in (quiet, noisy)]
    assert choices[0].noise < 0.05
    triplets = probe_triplets()
    right = interpolated_triplets(choices[0].constants, cells, triplets)
    off = third_order_error(choices[1].constants, cells, right, triplets)
    # The smaller of fcc's has no constants at all: noise is that of the larger.
    assert off / 3 < choices[1].noise < 5 * off


class _WithoutStress(EMT):
    implemented_properties = ("energy", "forces")


def test_a_cell_that_is_kept_needs_no_stress():
    settings = PhononSettings(fix_cell=True, supercell=(2, 2, 2), mesh_length=10.0)
    study = phonon_study(bulk("Cu", a=3.59), _WithoutStress(), settings)
    assert study.relaxation.max_stress is None
    assert "unknown eV/Å³" in study.report().text()
    with pytest.raises(InputError, match=r"gives no stress[\s\S]*fix_cell"):
        phonon_study(bulk("Cu"), _WithoutStress(), PhononSettings(supercell=(2, 2, 2)))
    with pytest.raises(InputError, match="gives no stress"):
        expansion_study(bulk("Cu"), _WithoutStress(), ExpansionSettings(supercell=(2, 2, 2)))


def _raises(error):
    class Failing(EMT):
        def calculate(self, *arguments, **others):
            raise error

    return Failing()


def test_what_calculators_of_others_do_is_told_in_words(tmp_path, monkeypatch, capsys):
    settings = PhononSettings(supercell=(2, 2, 2), no_relax=True)
    with pytest.raises(InputError, match="SCF did not converge"):
        phonon_study(bulk("Cu"), _raises(RuntimeError("SCF did not converge")), settings)
    with pytest.raises(InputError, match="give an ASE calculator: an object, not its class"):
        phonon_study(bulk("Cu"), EMT, settings)
    with pytest.raises(InputError, match=r"step of displacements is '0\.01'"):
        DisplacementCalculator(EMT(), step="0.01")
    magnetic = bulk("Ni")
    magnetic.set_initial_magnetic_moments([0.6])
    moments = ignored_warnings("The structure has magnetic moments", UnstableWarning)  # said once in a process
    with moments, pytest.raises(StructureError, match="displaced supercells"):
        phonon_study(magnetic, EMT(), settings)
    for maker in (lambda: EMT(), bulk("Cu").copy):
        with pytest.raises(InputError, match="does not tell it from others"):
            DisplacementCalculator(EMT(), maker=maker).fingerprint()
    with pytest.raises(InputError, match="has no get_dynamical_matrix"):
        choose_supercell(bulk("Cu"), EMT())
    # Parameters that are changed are another calculator.
    inner = LennardJones(sigma=2.3, epsilon=0.4, rc=5.0)
    calc, cells = DisplacementCalculator(inner), build_phonopy(bulk("Cu"), 2, is_symmetry=False)
    before = calc.get_force_constants(cells)
    energy = calc.get_potential_energy(bulk("Cu"))
    inner.set(epsilon=0.8)
    inner.reset()  # which ASE leaves to whoever sets them
    assert calc.get_force_constants(cells) == pytest.approx(2 * before, rel=1e-6)
    assert calc.get_potential_energy(bulk("Cu")) == pytest.approx(2 * energy)
    inner.set(epsilon=0.4)
    inner.reset()
    for _ in range(2):  # a question changes no answer
        assert calc.calculation_required(bulk("Cu"), ["energy"])
    assert calc.get_potential_energy(bulk("Cu")) == pytest.approx(energy)
    monkeypatch.chdir(tmp_path)
    write("Cu.extxyz", bulk("Cu"))
    for words, text in (
        (["--calculator", "sys:exit"], "cannot be called with"),
        (["--calculator", "builtins:dict"], "makes {}, of the type dict"),
        ([*EMT_ENTRY, "--dtype", "float32"], "its precision is its own"),
    ):
        assert main(["phonons", "Cu.extxyz", *words]) == 2
        assert text in capsys.readouterr().err


def test_what_has_no_conductivity_is_refused_in_the_words_of_its_supercell():
    atoms = bulk("Cu", "bcc", a=2.9)
    settings = ConductivitySettings(no_relax=True, supercell=(2, 2, 2), third_supercell=(2, 2, 2), mesh=(3, 3, 3))
    with pytest.raises(StructureError, match=r"imaginary modes, down to .* in the supercell of second order"):
        conductivity_study(atoms, EMT(), settings)
    # CuAu by EMT is soft at the edge of its zone, where coarse meshes have no wave vector.
    tetragonal = crystal(
        ["Cu", "Au"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=123, cellpar=[2.75, 2.75, 3.7, 90, 90, 90]
    )
    with pytest.raises(StructureError, match="imaginary modes, down to"):
        expansion_study(tetragonal, EMT(), ExpansionSettings(supercell=(3, 3, 3), mesh_length=10.0))


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
    assert evaluate(SumCalculator([EMT()]), frames).mae == same.mae  # whatever ASE takes for a calculator
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
