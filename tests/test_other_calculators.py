"""Calculators that know no second derivatives: by displacements through the same commands, checks and refusals."""

import json
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.io import write
from ase.units import GPa
from ase.vibrations import Vibrations
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import (
    PhonaxCalculator,
    PhononSettings,
    elastic_study,
    get_phono3py,
    get_phonopy,
    gruneisen_study,
    molecule_study,
    phonon_study,
)
from ase_phonax.base.errors import InputError
from ase_phonax.cli import main
from ase_phonax.cli.entries import Entry
from ase_phonax.phonons.finite_differences import DisplacementCalculator
from ase_phonax.phonons.supercell.checks import PROBES
from ase_phonax.phonons.supercell.comparison import choose_by_comparison, errors_by_comparison

EMT_ENTRY = "ase.calculators.emt:EMT"


@pytest.mark.parametrize("symbol", ["Cu", "Al"])
def test_the_command_gives_what_phonopy_by_hand_gives(symbol, tmp_path):
    # Kills: another step, another symmetry, constants changed afterwards.
    atoms = bulk(symbol)
    write(tmp_path / "x.extxyz", atoms)  # a CIF would turn the crystal
    how = ["--calculator", EMT_ENTRY, "--no-relax", "--supercell", "4", "--quiet"]
    command = ["phonons", str(tmp_path / "x.extxyz"), *how]
    assert main([*command, "--output", str(tmp_path / "out"), "--mesh-length", "20", "--path", "GX"]) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["model"], summary["second_derivatives"]) == ("EMT", "displacements of 0.01 Å")
    import h5py

    with h5py.File(tmp_path / "out/force_constants.hdf5") as file:
        found = file["force_constants"][()]
    by_hand = Phonopy(
        PhonopyAtoms(symbols=[symbol], cell=atoms.cell[:], scaled_positions=[[0, 0, 0]]), 4 * np.eye(3, dtype=int)
    )
    by_hand.generate_displacements(distance=0.01)
    forces = []
    for cell in by_hand.supercells_with_displacements:
        moved = Atoms(cell.symbols, cell=cell.cell, positions=cell.positions, pbc=True, calculator=EMT())
        forces.append(moved.get_forces())
    by_hand.forces = forces
    by_hand.produce_force_constants(calculate_full_force_constants=False)
    assert np.abs(found - by_hand.force_constants).max() < 1e-8


def test_displacements_of_a_network_are_its_exact_constants_to_their_noise():
    atoms, exact = bulk("Si", a=5.45), PhonaxCalculator()
    displaced = DisplacementCalculator(exact, way="displacements")
    one, other = (get_phonopy(atoms, calc, 2) for calc in (exact, displaced))
    off = np.abs(one.force_constants - other.force_constants).max()
    assert 0 < off < 3e-4 * np.abs(one.force_constants).max()  # the square of 0.01 Å
    noise = displaced.noise(other, PROBES)
    assert 1e-5 < noise < 0.02
    halved = DisplacementCalculator(exact, step=0.005, way="displacements")
    finer = get_phonopy(atoms, halved, 2)
    assert np.abs(one.force_constants - finer.force_constants).max() < off / 3
    assert halved.noise(finer, PROBES) < noise / 3


class WithHessian(Calculator):
    """A calculator of another package that has second derivatives of its own."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self):
        super().__init__()
        self.inner = PhonaxCalculator()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        for name in ("energy", "forces", "stress"):
            self.results[name] = self.inner.get_property(name, self.atoms)

    def get_hessian(self, atoms):
        n = 3 * len(atoms)
        return self.inner.get_hessian(atoms).reshape(n, n)


def test_a_hessian_of_its_own_is_taken_and_has_no_noise():
    atoms = bulk("Si", a=5.45)
    exact, own = get_phonopy(atoms, PhonaxCalculator(), 2), DisplacementCalculator(WithHessian())
    assert own.way == "hessian"
    found = get_phonopy(atoms, own, 2)
    assert np.abs(found.force_constants - exact.force_constants).max() < 1e-12 * np.abs(exact.force_constants).max()
    assert own.noise(found, PROBES) == 0
    assert DisplacementCalculator(WithHessian(), way="displacements").way == "displacements"


def test_supercells_are_compared_and_the_estimate_is_the_error():
    """Of a network both are known: what comparison says, and how far frequencies are from exact ones."""
    atoms, exact = bulk("Si", a=5.45), PhonaxCalculator()
    displaced = DisplacementCalculator(exact, way="displacements")
    choice = choose_by_comparison(atoms, displaced, 0.1, 130)
    assert choice.reached
    assert choice.against == choice.tried[-1][1] < choice.n_atoms
    phonopy = get_phonopy(atoms, displaced, choice.matrix)
    errors, n_atoms = errors_by_comparison(phonopy, displaced, smaller=choice.tried[-1][0])
    assert n_atoms == choice.against
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(choice.error_thz, rel=1e-9)
    from ase_phonax.phonons.supercell.constants import interpolation_errors

    true = interpolation_errors(phonopy, exact.get_dynamical_matrix(atoms, PROBES), PROBES)
    assert np.sqrt(np.mean(true**2)) < 1.5 * choice.error_thz
    impossible = choose_by_comparison(atoms, displaced, 1e-9, 60)
    assert not impossible.reached
    assert impossible.n_atoms <= 60


def test_a_sum_of_calculators_has_the_second_derivatives_of_its_parts():
    # Kills: a part left out; the pair term has to come by displacements.
    atoms, network = bulk("Si", a=5.45), PhonaxCalculator()
    pair = LennardJones(sigma=2.1, epsilon=0.02, rc=5.0, smooth=True)
    parts = [get_phonopy(atoms, calc, 2).force_constants for calc in (network, DisplacementCalculator(pair))]
    study = phonon_study(
        atoms,
        SumCalculator([network, pair]),
        PhononSettings(no_relax=True, supercell=(2, 2, 2), mesh_length=15.0, path="GX"),
    )
    found = study.phonopy.force_constants
    assert np.abs(parts[1]).max() > 0.02 * np.abs(parts[0]).max()
    assert np.abs(found - sum(parts)).max() < 3e-4 * np.abs(found).max()
    assert study.model["model"] == "SumCalculator"
    assert study.checks["displacement_noise_thz"] < 0.02
    assert "displacements of 0.01 Å" in str(study.report())


def test_elastic_constants_are_differences_of_energies():
    study = elastic_study(bulk("Cu"), EMT())
    atoms = study.atoms.copy()
    atoms.calc = EMT()
    volume, h = atoms.get_volume(), 2e-3

    def energy(strain):
        moved = atoms.copy()
        moved.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
        moved.calc = atoms.calc
        return moved.get_potential_energy()

    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = h / 2
    along = np.diag([h, 0, 0])
    for strain, index in ((along, 0), (shear, 3)):
        second = (energy(strain) + energy(-strain) - 2 * energy(0 * strain)) / h**2 / volume / GPa
        assert study.constants.relaxed_ion[index, index] == pytest.approx(second, rel=2e-3)


def test_gruneisen_parameters_come_by_two_volumes():
    study = gruneisen_study(bulk("Al"), EMT())
    assert not study.gruneisen.exact
    assert 1 < study.gruneisen.average(300.0) < 2


def test_a_molecule_vibrates_as_by_ase(tmp_path):
    study = molecule_study(molecule("H2O"), EMT())
    atoms = study.atoms.copy()
    atoms.calc = EMT()
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"), delta=0.01)
    vibrations.run()
    expected = np.sort(vibrations.get_frequencies().real)[-3:]
    found = study.modes.wavenumbers
    assert np.allclose(found, expected, rtol=2e-3)
    assert study.model["second_derivatives"] == "displacements of 0.01 Å"


def test_what_displacements_do_not_know_is_refused():
    atoms = bulk("Al")
    with pytest.raises(InputError, match=r"exact D\(q\) is asked for"):
        phonon_study(atoms, EMT(), PhononSettings(exact=True))
    with pytest.raises(InputError, match="charges are given"):
        phonon_study(bulk("Cu"), EMT(), PhononSettings(born="predict", no_relax=True, supercell=(2, 2, 2)))
    with pytest.raises(InputError, match=r"has no get_third_order[\s\S]*DisplacementCalculator\(calc\)"):
        get_phono3py(atoms, EMT(), 2)


def test_pickles_hold_how_a_calculator_was_made():
    entry = Entry("ase.calculators.lj:LennardJones", {"epsilon": 0.5})
    calc = DisplacementCalculator(entry(), 0.02, title="LJ", maker=entry)
    again = pickle.loads(pickle.dumps(calc))
    assert (again.step, again.way, again.title, again.inner.parameters.epsilon) == (0.02, "displacements", "LJ", 0.5)
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [1.2, 0, 0]])
    assert again.get_potential_energy(atoms) == calc.get_potential_energy(atoms)


class Broken(Calculator):
    """What a failed run leaves."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, what):
        super().__init__()
        self.what = what

    def get_property(self, name, atoms=None, allow_calculation=True):
        n = len(atoms)
        if self.what == "no forces" and name == "forces":
            raise PropertyNotImplementedError(name)
        if self.what == "unknown element":
            raise KeyError("Xx")
        forces = np.zeros((n + (self.what == "other atoms"), 3))
        if self.what == "not finite":
            forces[0, 0] = np.nan
        return {"energy": 0.0, "forces": forces, "stress": np.zeros(6)}[name]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("no forces", "gives no forces"),
        ("not finite", "not finite, asked for"),
        ("other atoms", r"of the shape \(2, 3\), asked for 1 atom"),
        ("unknown element", "gives no (energy|forces) of .*KeyError"),
    ],
)
def test_results_that_are_none_are_refused(what, text):
    with pytest.raises(InputError, match=text):
        phonon_study(bulk("Al"), Broken(what))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["ase.calculators.emt"], "write it like ase.calculators.emt:EMT"),
        (["no.such.module:X"], "cannot be imported: ModuleNotFoundError"),
        (["ase.calculators.emt:NoSuch"], "cannot be imported: AttributeError"),
        (["ase.calculators.emt:parameters"], "is of the type dict"),
        (["ase.calculators.lj:LennardJones", "--calculator-arguments", "[1, 2]"], "give a mapping"),
        (["ase.calculators.lj:LennardJones", "--calculator-arguments", "{a: [}"], "cannot be read"),
        (["ase.build:bulk"], "cannot be called with"),
        (["builtins:dict"], "energies and forces are asked of an ASE calculator"),
        ([EMT_ENTRY, "--model", "phonax-small"], "are given"),
        ([EMT_ENTRY, "--second-derivatives", "hessian"], "has no get_hessian"),
        ([EMT_ENTRY, "--supercell", "1"], "the supercell has one atom"),
        ([EMT_ENTRY, "--displacement", "2"], "step of displacements is 2.0 Å"),
    ],
)
def test_entries_that_are_none_are_refused_and_nothing_is_written(words, text, tmp_path, capsys):
    write(tmp_path / "x.cif", bulk("Al"))
    out = tmp_path / "out"
    assert main(["phonons", str(tmp_path / "x.cif"), "--output", str(out), "--calculator", *words]) != 0
    assert text in capsys.readouterr().err.replace("\n", " ")
    assert not out.exists()


def test_an_entry_may_lie_in_the_folder_of_the_shell(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_potential.py").write_text(
        "from ase.calculators.lj import LennardJones\n\n\ndef make(scale):\n"
        "    return LennardJones(sigma=3.4, epsilon=0.0103 * scale, rc=8.0, smooth=True)\n"
    )
    (tmp_path / "arguments.yaml").write_text("scale: 1.0\n")
    monkeypatch.chdir(tmp_path)
    write("Ar.cif", bulk("Ar", "fcc", 5.25))
    command = ["phonons", "Ar.cif", "--calculator", "my_potential:make", "--calculator-arguments", "arguments.yaml"]
    assert main([*command, "--supercell", "3", "--path", "GX", "--mesh-length", "20"]) == 0
    printed = capsys.readouterr().out
    assert "make" in printed
    assert "no imaginary modes" in printed


def test_options_about_a_calculator_that_is_not_named_are_refused(tmp_path, capsys):
    """Who forgets --calculator would get the numbers of another model."""
    write(tmp_path / "x.cif", bulk("Al"))
    assert main(["phonons", str(tmp_path / "x.cif"), "--displacement", "0.02", "--output", str(tmp_path / "o")]) == 2
    assert "no calculator" in capsys.readouterr().err


def test_crystals_are_screened_by_any_calculator(tmp_path, monkeypatch):
    # Kills: results of another calculator, or of another step, taken for its own.
    pytest.importorskip("distributed")
    import ase.db

    monkeypatch.chdir(tmp_path)
    write("two.extxyz", [bulk("Cu"), bulk("Al")])
    command = ["screen", "two.extxyz", "--output", "out", "--workers", "1", "--calculator", EMT_ENTRY, "--quiet"]
    few = ["--set", "supercell=[3,3,3]", "mesh_length=15", "path=GX"]
    assert main([*command, *few]) == 0
    with ase.db.connect("out/screening.db") as database:
        rows = {row.symbols[0]: row for row in database.select()}
    alone = phonon_study(bulk("Cu"), EMT(), PhononSettings(supercell=(3, 3, 3), mesh_length=15.0, path="GX"))
    assert rows["Cu"].max_frequency_thz == pytest.approx(alone.sampling.frequencies.maximum_thz, rel=1e-6)
    one, again, other = (
        DisplacementCalculator(EMT(), step, maker=Entry(EMT_ENTRY)).fingerprint() for step in (0.01, 0.01, 0.02)
    )
    assert one == again != other
    assert one != DisplacementCalculator(EMT(), maker=Entry(EMT_ENTRY, {"asap_cutoff": True})).fingerprint()
    with pytest.raises(InputError, match="cannot be told from others"):
        DisplacementCalculator(EMT()).fingerprint()
