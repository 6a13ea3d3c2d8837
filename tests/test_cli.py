"""The command line as a user meets it, on a potential that needs no network."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import phonopy
import pytest
import yaml
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io import read, write

from ase_phonax.base.errors import ModelError, OutputError, UnstableWarning
from ase_phonax.cli import loading, main
from ase_phonax.cli.wording import as_typed
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.models.potential import Provenance
from ase_phonax.models.registry import DEFAULT, list_models
from ase_phonax.phonons.supercell import checks as supercell_checks
from ase_phonax.studies.options import coordinate
from ase_phonax.studies.output import atomic_directory
from ase_phonax.studies.phonon_results import FILES
from ase_phonax.studies.settings import MAX_ATOMS, TOLERANCE_THZ
from ase_phonax.studies.words import frequencies_in_words, interpolation_in_words, matrix_in_words, vector_in_words

from .pair_potential import PairCalculator

KEYS = {
    "model",
    "level_of_theory",
    "model_errors",
    "model_symmetry",
    "second_derivatives",
    "interpolation_error_against",
    "licence",
    "training_set",
    "citation",
    "dtype",
    "formula",
    "space_group",
    "n_atoms_primitive",
    "supercell_matrix",
    "max_force",
    "gamma_frequencies_thz",
    "min_frequency_thz",
    "max_frequency_thz",
    "imaginary_modes",
    "thermal",
    "checks",
    "timings_s",
}


def use(calc: PairCalculator, monkeypatch) -> None:
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: calc)


@pytest.fixture
def ionic(monkeypatch):
    calc = PairCalculator(like=0.0)
    use(calc, monkeypatch)
    return calc


@pytest.fixture
def metal(monkeypatch):
    calc = PairCalculator()
    use(calc, monkeypatch)
    return calc


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def salt(tmp_path_factory):
    """One complete run on a conventional, turned, unrelaxed cell: (folder, text printed, calculator)."""
    folder = tmp_path_factory.mktemp("salt")
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.rotate(20, (1, 1, 0), rotate_cell=True)
    write(folder / "salt.extxyz", atoms)
    calc = PairCalculator(like=0.0)
    with pytest.MonkeyPatch.context() as patch:
        use(calc, patch)
        printed = []
        patch.setattr("builtins.print", lambda *texts, **options: printed.append(" ".join(map(str, texts))))
        code = main(
            ["phonons", str(folder / "salt.extxyz"), "--output", str(folder / "out"), "--supercell", "3", "3", "3"]
        )
    assert code == 0, printed
    return folder, "\n".join(printed), calc


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


# ---- phonons: what is written ----------------------------------------------------------------------


def test_exactly_the_promised_files_are_written_and_nothing_beside_them(salt):
    folder, _, _ = salt
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted([*FILES, "irreps.yaml"])
    assert sorted(path.name for path in folder.iterdir()) == ["out", "salt.extxyz"]


def test_the_summary_holds_every_promised_key_and_means_it(salt):
    folder, _, calc = salt
    found = summary_of(folder / "out")
    assert found.keys() >= KEYS
    assert found["formula"] == "NaCl"
    assert (found["space_group"], found["space_group_number"]) == ("Fm-3m", 225)
    assert (found["n_atoms_given"], found["n_atoms_primitive"]) == (8, 2)
    assert found["supercell_matrix"] == [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    assert (found["model"], found["level_of_theory"]) == ("pair-potential", "written down")
    assert found["max_force"] <= 1e-4
    assert found["relaxed"]
    assert not found["imaginary_modes"]
    assert found["warnings"] == []
    gamma = found["gamma_frequencies_thz"]
    assert gamma == sorted(gamma)
    relaxed = read(folder / "out" / "relaxed.extxyz")
    exact = np.linalg.eigvalsh(calc.get_dynamical_matrix(relaxed, [[0, 0, 0]])[0])[3:]
    np.testing.assert_allclose(gamma[3:], np.sqrt(exact) * 15.633302, atol=1e-5)
    heat = {"free_energy_kJ_mol", "entropy_J_K_mol", "heat_capacity_J_K_mol"}
    assert set(found["thermal"]) == {"temperature_K", "per_formula_unit"} | heat
    assert set(found["thermal"]["per_formula_unit"]) == heat
    assert found["thermal"]["heat_capacity_J_K_mol"] == pytest.approx(6 * 8.314, rel=0.1)
    checks = found["checks"]
    errors = {"interpolation_error_thz", "interpolation_error_max_thz"}
    assert set(checks) == {"acoustic_sum_rule", "hermiticity", "space_group_residual"} | errors
    assert max(checks[name] for name in ("acoustic_sum_rule", "hermiticity", "space_group_residual")) < 1e-9
    assert checks["interpolation_error_thz"] < 1e-6  # the potential ends within half the supercell
    assert found["timings_s"]["total"] > 0


def test_phonopy_reads_the_yaml_and_gives_the_same_frequencies(salt):
    folder, _, _ = salt
    found = summary_of(folder / "out")
    again = phonopy.load(folder / "out" / "phonopy_params.yaml", primitive_matrix="P", log_level=0)
    gamma = np.sort(again.run_qpoints([[0, 0, 0]]).frequencies[0])
    np.testing.assert_allclose(gamma[3:], found["gamma_frequencies_thz"][3:], atol=1e-6)
    with h5py.File(folder / "out" / "force_constants.hdf5") as file:
        np.testing.assert_allclose(file["force_constants"][:], again.force_constants, atol=1e-12)
        np.testing.assert_array_equal(file["p2s_map"][:], again.primitive.p2s_map)
        assert file["physical_unit"][0] == b"eV/angstrom^2"


def test_the_text_files_hold_what_their_names_say(salt):
    folder, _, _ = salt
    found = summary_of(folder / "out")
    bands = yaml.safe_load((folder / "out" / "band.yaml").read_text())
    highest = max(band["frequency"] for point in bands["phonon"] for band in point["band"])
    assert highest <= found["max_frequency_thz"] + 1e-6
    assert bands["labels"][0] == [r"$\Gamma$", r"$\mathrm{X}$"]
    heat = yaml.safe_load((folder / "out" / "thermal_properties.yaml").read_text())["thermal_properties"]
    at_300 = next(entry for entry in heat if entry["temperature"] == 300.0)
    assert at_300["heat_capacity"] == pytest.approx(found["thermal"]["heat_capacity_J_K_mol"], abs=1e-6)
    total = np.loadtxt(folder / "out" / "total_dos.dat")
    projected = np.loadtxt(folder / "out" / "projected_dos.dat")
    assert total.shape[1] == 2
    assert projected.shape[1] == 3
    relaxed = read(folder / "out" / "relaxed.extxyz")
    assert np.abs(relaxed.get_forces()).max() < 1e-4
    assert (folder / "out" / "bands.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "out" / "bands.pdf").read_bytes().startswith(b"%PDF")


def test_the_primitive_cell_keeps_the_orientation_of_the_file(salt):
    folder, _, _ = salt
    given, relaxed = read(folder / "salt.extxyz"), read(folder / "out" / "relaxed.extxyz")
    halves = 2 * relaxed.cell[:] @ np.linalg.inv(given.cell[:])
    np.testing.assert_allclose(halves / np.abs(halves).max(), np.rint(halves / np.abs(halves).max()), atol=1e-9)


def test_the_table_says_what_a_person_wants_to_know(salt):
    _, text, _ = salt
    for pattern in (
        r"^NaCl   Fm-3m \(225\)   pair-potential, float64",
        r"reduced from 8 atoms to the primitive 2, orientation kept",
        r"relaxation\s+\d+ steps, symmetry kept, volume [+-]\d",
        r"supercell\s+3 × 3 × 3, 54 atoms",
        r"at Γ\s+0\.000 \(3\)  \d+\.\d+ \(3\)",
        r"lowest\s+0\.000 at q = \(0, 0, 0\)",
        r"band path\s+Γ–X–U\|K–Γ–L–W–X",
        r"no imaginary modes \(beyond 0\.05 THz",
        r"acoustic sum rule\s+\d\.\de-\d+   rounding",
        r"against exact D\(q\)\s+the supercell is large enough",
        r"heat capacity\s+\d+\.\d+ J/K/mol",
        r"results in .*out",
    ):
        assert re.search(pattern, text, re.MULTILINE), f"{pattern}\n{text}"
    assert max(map(len, text.splitlines())) <= 100


# ---- phonons: options ------------------------------------------------------------------------------


def test_options_reach_the_calculation(metal, inside, capsys):
    """One run with everything turned: cell kept, not relaxed, own path, nine integers, own folder."""
    atoms = bulk("Cu", "fcc", a=3.9, cubic=True)
    atoms.set_constraint(FixAtoms([0]))
    write("POSCAR", atoms, format="vasp")
    supercell = ["--supercell", *"200020002"]
    flags = ["--keep-cell", "--no-relax", "--path", "GX,MG", "--dtype", "float32"]
    assert main(["phonons", "POSCAR", *flags, *supercell]) == 0
    found = summary_of(inside / "POSCAR-phonons")
    assert found["n_atoms_primitive"] == 4
    assert not found["relaxed"]
    assert found["relaxation_steps"] == 0
    assert found["dtype"] == "float32"
    assert found["band_path"] == "Γ–X|M–Γ"
    np.testing.assert_allclose(found["cell"], np.eye(3) * 3.9, atol=1e-12)
    assert any("kept with 4 atoms" in note for note in found["warnings"])
    text = capsys.readouterr().out
    assert "relaxation            none, as asked" in text
    assert "constraints           those of the file are dropped" in text
    assert "4 atoms as given; a primitive cell has 1" in text


def test_the_supercell_is_the_smallest_that_meets_the_tolerance(ionic, inside, capsys):
    """The potential reaches 4.5 Å: from some supercell on interpolation is exact, and the next smaller one is not."""
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.cif", "--tolerance", "1e-3"]) == 0
    found = summary_of(inside / "salt-phonons")
    assert found["supercell_reached_tolerance"]
    tried = {entry["n_atoms"]: entry["error_thz"] for entry in found["supercells_tried"]}
    assert tried[found["n_atoms_supercell"]] < 1e-3
    assert found["checks"]["interpolation_error_thz"] == pytest.approx(tried[found["n_atoms_supercell"]], abs=1e-9)
    assert any(error > 1e-3 for n, error in tried.items() if n < found["n_atoms_supercell"])
    text = capsys.readouterr().out
    assert "the smallest within 0.001 THz" in text
    assert "interpolated from the supercell" in text


def test_at_the_cap_the_error_is_said_and_the_bands_are_exact(ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.cif", "--tolerance", "1e-3", "--max-atoms", "10"]) == 0
    found = summary_of(inside / "salt-phonons")
    assert not found["supercell_reached_tolerance"]
    assert found["n_atoms_supercell"] <= 10
    assert found["bands_exact"]
    assert not found["mesh_exact"]
    text = " ".join(capsys.readouterr().out.split())
    assert "the largest allowed; it misses the 0.001 THz wanted" in text
    bands = yaml.safe_load((inside / "salt-phonons" / "band.yaml").read_text())
    relaxed = read(inside / "salt-phonons" / "relaxed.extxyz")
    point = bands["phonon"][20]
    exact = np.linalg.eigvalsh(ionic.get_dynamical_matrix(relaxed, point["q-position"])[0])
    frequencies = [band["frequency"] for band in point["band"]]
    # band.yaml has ten digits of a frequency, seven of q.
    np.testing.assert_allclose(np.square(frequencies), exact * 15.633302**2, atol=1e-4)


def test_exact_everything_with_a_mesh_that_has_converged(ionic, inside, capsys):
    """Exact on a tiny supercell equals interpolated on one that holds all constants."""
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.cif", "--exact", "--supercell", "1", "--output", "exact"]) == 0
    assert main(["phonons", "salt.cif", "--supercell", "4", "--output", "large"]) == 0
    exact, large = summary_of(inside / "exact"), summary_of(inside / "large")
    assert exact["bands_exact"]
    assert exact["mesh_exact"]
    assert len(exact["mesh_convergence"]) > 1
    assert exact["max_frequency_thz"] == pytest.approx(large["max_frequency_thz"], abs=1e-6)
    for name in ("entropy_J_K_mol", "heat_capacity_J_K_mol"):
        assert exact["thermal"][name] == pytest.approx(large["thermal"][name], rel=2e-3)
    for name in ("exact", "large"):
        dos = np.loadtxt(inside / name / "projected_dos.dat")
        # Two atoms, three modes each; what the coarse grid of frequencies loses is below a percent.
        assert dos[:, 1:].sum() * (dos[1, 0] - dos[0, 0]) == pytest.approx(6, rel=0.01)
    assert "changed by" in capsys.readouterr().out


class Misfolded(PairCalculator):
    """Constants of a supercell that are wrong between its wave vectors, beside exact matrices that are right."""

    def get_force_constants(self, phonopy, *, progress=None):
        constants = super().get_force_constants(phonopy)
        own = phonopy.primitive.p2s_map
        weak = 0.2 * constants
        # Same sums, so the acoustic modes at Gamma stay zero; neighbours now pull the wrong way.
        weak[np.arange(len(own)), own] = 0
        weak[np.arange(len(own)), own] = -weak.sum(axis=1)
        return -weak


def test_imaginary_modes_of_interpolation_alone_are_not_the_crystals(inside, monkeypatch, capsys):
    use(Misfolded(like=0.0), monkeypatch)
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.cif", "--supercell", "3"]) == 0
    found = summary_of(inside / "salt-phonons")
    assert found["interpolation_has_imaginary_modes"]
    assert found["min_frequency_thz"] < -1.0
    assert found["exact_minimum_thz"] > 0.05
    assert not found["imaginary_modes"]
    assert found["bands_exact"]
    assert "errors of interpolation" in " ".join(capsys.readouterr().out.split())


class RightAtGamma(PairCalculator):
    """Constants of a supercell that are right at Gamma and too soft elsewhere, beside exact matrices."""

    def get_force_constants(self, phonopy, *, progress=None):
        constants = super().get_force_constants(phonopy)
        for i, own in enumerate(phonopy.primitive.p2s_map):
            images = np.flatnonzero(phonopy.primitive.s2p_map == own)
            # Each atom is bound to its images and, as much, less to its place: the sums stay.
            constants[i, images] += 0.5 * np.eye(3)
            constants[i, own] -= 0.5 * len(images) * np.eye(3)
        return constants


def test_a_dip_that_only_the_band_path_meets_is_said(inside, monkeypatch, capsys):
    """The mesh is Gamma alone, and the ten wave vectors of the check are taken to be right as well."""
    checks = supercell_checks.checks
    monkeypatch.setattr(supercell_checks, "checks", lambda *a, **k: checks(*a, **k) | {"interpolation_error_thz": 0.01})
    use(RightAtGamma(like=0.0), monkeypatch)
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.cif", "--supercell", "3", "--mesh", "1", "1", "1"]) == 0
    found = summary_of(inside / "salt-phonons")
    assert found["min_frequency_thz"] > -0.05  # of the mesh
    assert found["interpolation_has_imaginary_modes"]
    assert not found["imaginary_modes"]
    assert "errors of interpolation" in " ".join(capsys.readouterr().out.split())


def test_real_instabilities_stay_so_after_the_exact_matrices_are_asked(metal, inside):
    write("sc.cif", bulk("Po", "sc", a=2.9))
    assert main(["phonons", "sc.cif", "--supercell", "2"]) == 0
    found = summary_of(inside / "sc-phonons")
    assert found["imaginary_modes"]
    assert found["exact_minimum_thz"] < -1.0
    assert found["bands_exact"]


def test_labels_are_exact_where_the_bands_are(ionic, inside):
    """At L, which one cell does not hold: interpolated frequencies there are far off."""
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    where = ["--irreps-q", "1/2", "0.5", "0.5", "--mesh", "3", "3", "3"]
    for flags in (["--exact"], []):  # asked for, and because the supercell misses the tolerance
        assert main(["phonons", "salt.cif", "--supercell", "1", *flags, *where, "--overwrite"]) == 0
        found = summary_of(inside / "salt-phonons")
        assert found["bands_exact_because"]
        relaxed = read(inside / "salt-phonons" / "relaxed.extxyz")
        exact = frequencies_thz(ionic.get_dynamical_matrix(relaxed, [0.5, 0.5, 0.5]))[0]
        sets = found["irreps"][1]["modes"]
        ours = sorted(f for entry in sets for f in [entry["frequency_thz"]] * len(entry["modes"]))
        np.testing.assert_allclose(ours, exact, atol=1e-6)


def test_interpolated_bands_can_be_had_where_exact_ones_would_be_drawn(inside):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.cif", "--supercell", "1", "--no-exact", "--mesh", "3", "3", "3"]) == 0
    found = summary_of(inside / "salt-phonons")
    assert found["checks"]["interpolation_error_thz"] > 0.05
    assert not found["bands_exact"]


@pytest.mark.parametrize(("text", "value"), [("1/3", 1 / 3), ("0.3333", 1 / 3), ("-0.25", -0.25), ("0.123", 0.123)])
def test_simple_fractions_are_what_they_mean(text, value):
    assert coordinate(text) == value


def test_units_change_what_is_printed_and_drawn_not_what_is_written(ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    flags = ["--supercell", "2", "--mesh", "4", "4", "4", "--temperatures", "0", "600", "200"]
    assert main(["phonons", "salt.cif", *flags, "--unit", "cm-1"]) == 0
    found = summary_of(inside / "salt-phonons")
    assert found["mesh"] == [4, 4, 4]
    assert found["thermal"]["temperature_K"] in (200, 400)
    text = capsys.readouterr().out
    assert "frequencies (cm⁻¹; imaginary as negative)" in text
    highest = float(re.search(r"highest\s+(\S+)", text)[1])
    assert highest == pytest.approx(found["max_frequency_thz"] * 33.35641, abs=0.06)
    heat = yaml.safe_load((inside / "salt-phonons" / "thermal_properties.yaml").read_text())["thermal_properties"]
    assert [entry["temperature"] for entry in heat] == [0, 200, 400, 600]


def test_a_configuration_file_takes_every_option_and_the_command_line_wins(ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    Path("run.yaml").write_text(
        "supercell: [2, 2, 2]\nno_relax: true\nmesh: [3, 3, 3]\nunit: meV\noutput: there\nirreps-q: [[0.5, 0.5, 0]]\n"
    )
    assert main(["phonons", "salt.cif", "--config", "run.yaml", "--unit", "THz"]) == 0
    found = summary_of(inside / "there")
    assert found["supercell_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    assert not found["relaxed"]
    assert found["mesh"] == [3, 3, 3]
    assert "frequencies (THz" in capsys.readouterr().out
    # A supercell in the file gives way to a tolerance on the command line.
    flags = ["--config", "run.yaml", "--tolerance", "0.3", "--output", "other"]
    assert main(["phonons", "salt.cif", *flags]) == 0
    assert summary_of(inside / "other")["supercells_tried"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tolerence: 0.1\n", "did you mean 'tolerance'?"),
        ("quiet: 3\n", "switched on or off"),
        ("- 1\n", "holds a list"),
        ("a: [\n", "is not YAML"),
        ("tolerance: never\n", "is not a positive number"),
        ("mesh: [1, 2]\n", "error: the configuration run.yaml: argument --mesh: expected 3 arguments"),
        ("mesh: banana\n", "error: the configuration run.yaml: argument --mesh: expected 3 arguments"),
        ("unit: [THz, meV]\n", "error: the configuration run.yaml: unrecognized arguments: meV"),
        ("exact: true\nno_exact: true\n", "error: the configuration run.yaml: argument --no-exact: not allowed"),
        ("model_file_of_mine: x\n", "unknown option"),
    ],
)
def test_a_configuration_with_a_mistake_is_refused(text, message, ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    Path("run.yaml").write_text(text)
    assert main(["phonons", "salt.cif", "--config", "run.yaml"]) == 2
    assert message in capsys.readouterr().err
    assert not list(inside.glob("*phonons*"))


@pytest.mark.parametrize(
    "words", [["--conf", "run.yaml"], ["--conf=run.yaml"], ["--config", "no.yaml", "--config=run.yaml"]]
)
def test_a_configuration_counts_however_its_option_is_written(words, ionic, inside):
    """Kills: an abbreviated --config that is understood and left out; the first of two, where the last one counts."""
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    Path("run.yaml").write_text("supercell: 2\nmesh: [2, 2, 2]\nno_relax: true\nexact: true\n")
    assert main(["phonons", "salt.cif", *words, "--no-ex"]) == 0  # which excludes the file's `exact`
    summary = summary_of(inside / "salt-phonons")
    assert summary["mesh"] == [2, 2, 2]
    assert not summary["bands_exact"]


def test_route_and_device_reach_the_calculator_of_every_command_that_makes_one(inside, monkeypatch, capsys):
    """What is not asked for is not passed on, so that the calculator's own defaults hold."""
    made = []

    class Made(Exception):
        pass

    def calculator(model, *data, **arguments):
        made.append(arguments)
        raise Made

    monkeypatch.setattr("ase_phonax.calculator.PhonaxCalculator", calculator)
    monkeypatch.setattr("ase_phonax.studies.evaluation.evaluate", calculator)
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    write("H2.xyz", molecule("H2"))
    asked = {"route": "compiled", "device": "cpu"}
    for command in ("phonons salt.cif", "gruneisen salt.cif", "qha salt.cif", "molecule H2.xyz", "label salt.cif"):
        assert main([*command.split(), "--route", "compiled", "--device", "cpu"]) == 1
        assert made[-1] == {"dtype": "float64", **asked}
        assert main(command.split()) == 1
        assert made[-1] == {"dtype": "float64"}
    assert main(["evaluate", "phonax-small", "salt.cif", "--route", "compiled", "--device", "cpu"]) == 1
    assert made[-1].items() >= asked.items()
    assert len(made) == 11
    capsys.readouterr()
    assert main(["phonons", "salt.cif", "--route", "fast"]) == 2
    assert "argument --route: invalid choice: 'fast'" in capsys.readouterr().err


def test_routes_are_those_of_the_calculator_and_a_device_that_is_none_is_refused(inside, capsys):
    from ase_phonax.cli.options import CalculatorOptions
    from ase_phonax.derivatives.route import ROUTES
    from ase_phonax.studies.options import options_of

    choices = {field.name: setting.choices for field, setting in options_of(CalculatorOptions)}
    assert choices["route"] == ROUTES
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    for command in (["phonons", "salt.cif"], ["label", "salt.cif"], ["evaluate", "phonax-small", "salt.cif"]):
        assert main([*command, "--device", "moon:9x"]) == 2
        assert "the device is 'moon:9x'" in capsys.readouterr().err
        assert main([*command, "--route", "arrays", "--device", "gpu"]) == 2
    assert sorted(path.name for path in inside.iterdir()) == ["salt.cif"]


def test_quiet_says_nothing_and_the_log_everything(ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    flags = ["--supercell", "2", "--mesh", "3", "3", "3", "--quiet", "--log", "run.jsonl"]
    assert main(["phonons", "salt.cif", *flags]) == 0
    assert capsys.readouterr() == ("", "")
    lines = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines][-2:] == ["results", "finished"]
    assert {"begin", "end"} <= {line["event"] for line in lines}
    assert lines[-2]["n_atoms_supercell"] == 16
    Path("bad.cif").write_text("nothing\n")
    assert main(["phonons", "bad.cif", "--log", "bad.jsonl"]) == 2
    assert json.loads(Path("bad.jsonl").read_text().splitlines()[-1])["event"] == "failed"


def test_defaults_of_the_parser_are_those_of_the_library():
    from ase_phonax.phonons.supercell import choice

    assert (TOLERANCE_THZ, MAX_ATOMS) == (choice.TOLERANCE_THZ, choice.MAX_ATOMS)


def test_an_unstable_crystal_is_a_result_with_exit_code_zero(metal, inside, capsys):
    """The supercell reaches the length asked for; a warning becomes a note instead of noise."""
    write("sc.cif", bulk("Po", "sc", a=2.9))
    assert main(["phonons", "sc.cif", "--min-length", "10"]) == 0
    found = summary_of(inside / "sc-phonons")
    assert found["imaginary_modes"]
    assert found["min_frequency_thz"] < -1.0
    assert found["supercell_matrix"] == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert 0.1 < found["thermal_fraction_of_modes_left_out"] < 0.5
    assert any("volume changed" in note for note in found["warnings"])
    text, errors = capsys.readouterr()
    assert errors == ""
    assert "- The volume changed by" in text
    assert "UNSTABLE: there are imaginary modes" in text
    assert "% of the modes, being imaginary or zero" in text
    assert "imitates another" not in text
    assert "\n  errors" not in text  # a potential without a card


def test_the_table_says_what_the_card_knows_of_errors_and_what_to_do_about_instabilities(metal, inside, capsys):
    metal.potential.name = DEFAULT
    metal.potential.provenance = Provenance(level_of_theory="imitates a teacher")
    write("sc.cif", bulk("Po", "sc", a=2.9))
    assert main(["phonons", "sc.cif", "--supercell", "2", "--mesh", "3", "3", "3"]) == 0
    errors = list_models()[0].errors
    assert summary_of(inside / "sc-phonons")["model_errors"] == errors
    text = " ".join(capsys.readouterr().out.split())
    assert f"level of theory imitates a teacher errors {errors} structure" in text
    assert "left aside); this model imitates another: compare with a larger one" in text


# ---- phonons: bad input ----------------------------------------------------------------------------


CIF_OF_SITES = """data_salt
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 5.9
_cell_length_b 5.9
_cell_length_c 5.9
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cl1 Cl 0.5 0.5 0.5 1.0
"""


def broken_files(folder: Path) -> None:
    """Files a user may give by mistake."""
    good = bulk("NaCl", "rocksalt", a=5.65, cubic=True)
    write(folder / "good.cif", good)
    (folder / "empty.cif").touch()
    (folder / "poem.txt").write_text("Shall I compare thee to a summer's day?\n")
    (folder / "damaged.cif").write_text("data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\nNa1 0.0 0.0\n")
    (folder / "junk.cif").write_text("this is not a crystal\n")
    (folder / "noatoms.xyz").write_text("0\n\n")
    (folder / "folder.cif").mkdir()
    write(folder / "water.xyz", molecule("H2O"))
    nan = good.copy()
    nan.positions[3, 1] = np.nan
    write(folder / "nan.extxyz", nan)
    for name, sites in {"mixed": "Na1 Na 0 0 0 0.4\nK1 K 0 0 0 0.6", "vacant": "Na1 Na 0 0 0 0.6"}.items():
        (folder / f"{name}.cif").write_text(CIF_OF_SITES + sites + "\n")
    near = good.copy()
    near.positions[1] = near.positions[0] + [0.1, 0, 0]
    write(folder / "near.extxyz", near)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["missing.cif"], "the structure file missing.cif does not exist"),
        (["folder.cif"], "is a folder"),
        (["empty.cif"], "is empty"),
        (["poem.txt"], "the format of poem.txt is not known"),
        (["damaged.cif"], "damaged.cif cannot be read"),
        (["junk.cif"], "junk.cif cannot be read: something else stands in it than its reader looks for"),
        (["noatoms.xyz"], "noatoms.xyz cannot be read|has no atoms"),
        (["water.xyz"], r"not periodic in three directions \(pbc = F F F\)"),
        (["nan.extxyz"], "position 3 is not a finite number"),
        (["near.extxyz"], r"atoms 0 \(Na\) and 1 \(Cl\), counted from 0, are 0\.1 Å apart"),
        (["mixed.cif"], r"occupied in part .*: atoms 4, 5, 6, 7: 0\.4 Na \+ 0\.6 K\n"),
        (["vacant.cif"], r"occupied in part .*: atoms 4, 5, 6, 7: 0\.6 Na\n"),
        (["good.cif", "--supercell", "2", "2"], "has 2 entries"),
        (["good.cif", "--supercell", "2", "2", "0"], "is singular"),
        (["good.cif", "--supercell", "-1", "1", "1"], "negative determinant"),
        (["good.cif", "--supercell", "100", "100", "100"], "has 2000000 atoms"),
        (["good.cif", "--path", "GQ"], "names the point 'Q'"),
    ],
)
def test_bad_structures_and_options_are_clear_errors_before_anything_is_computed(
    ionic, inside, capsys, arguments, text
):
    broken_files(inside)
    before = sorted(inside.iterdir())
    assert main(["phonons", *arguments]) == 2
    printed = capsys.readouterr()
    assert re.search(text, printed.err), printed.err
    assert re.fullmatch(r"error: .*\n  why it matters: .*\n  what to do: .*\n", printed.err), printed.err
    assert printed.out == ""
    assert ionic.n_calls == 0
    assert sorted(inside.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["phonons"], "required: STRUCTURE"),
        (["phonons", "--supercell", "2", "2", "2", "x.cif"], "'x.cif' is not an integer"),
        (["phonons", "x.cif", "--min-length", "-3"], "'-3' is not a positive number"),
        (["phonons", "x.cif", "--supercell", "2", "2", "2", "--min-length", "10"], "not allowed with"),
        (["phonons", "x.cif", "--dtype", "float16"], "invalid choice"),
        ([], "required: COMMAND"),
    ],
)
def test_a_wrong_command_line_exits_with_two(arguments, text, capsys):
    assert main(arguments) == 2
    assert text in capsys.readouterr().err


def test_full_sites_of_a_cif_are_no_matter(inside):
    (inside / "full.cif").write_text(CIF_OF_SITES + "Na1 Na 0 0 0 0.9995\n")
    assert loading.read_structure("full.cif").get_chemical_formula() == "Cl4Na4"


def test_of_several_structures_the_last_is_taken_and_that_is_said(inside):
    write("run.xyz", [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7)], format="extxyz")
    with pytest.warns(UnstableWarning, match=r"run\.xyz holds several structures: the last was taken") as caught:
        atoms = loading.read_structure("run.xyz")
    assert len(caught) == 1
    assert atoms.cell.cellpar()[0] == pytest.approx(3.7 / np.sqrt(2))
    # Where one was named, or there is one, there is nothing to say: a warning would be an error here.
    assert loading.read_structure("run.xyz@0").cell.cellpar()[0] == pytest.approx(3.5 / np.sqrt(2))
    write("one.xyz", bulk("Cu"), format="extxyz")
    loading.read_structure("one.xyz")


def test_a_crystal_beyond_the_models_reach_is_refused(inside, capsys):
    """Its energy is constant: it relaxes in no step, and all its frequencies would be zero."""
    write("cs.cif", bulk("Cs", "bcc", a=6.05))  # neighbours at 5.24 Å
    assert main(["phonons", "cs.cif"]) == 2
    assert "no atom has a neighbour within 5 Å, the cutoff of the model" in capsys.readouterr().err
    assert [path.name for path in inside.iterdir()] == ["cs.cif"]


def test_a_structure_that_does_not_relax_leaves_nothing(ionic, inside, capsys, monkeypatch):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.2))
    monkeypatch.setattr("ase_phonax.structures.relaxation._optimize", lambda *arguments: (500, False))
    assert main(["phonons", "salt.cif"]) == 4
    assert "did not relax in 500 steps" in capsys.readouterr().err
    assert [path.name for path in inside.iterdir()] == ["salt.cif"]


def test_an_existing_folder_is_kept_unless_told_otherwise(ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.65))
    (inside / "salt-phonons").mkdir()
    (inside / "salt-phonons" / "summary.json").write_text("old")
    assert main(["phonons", "salt.cif"]) == 5
    assert "exists already" in capsys.readouterr().err
    assert ionic.n_calls == 0
    assert (inside / "salt-phonons" / "summary.json").read_text() == "old"
    assert main(["phonons", "salt.cif", "--overwrite", "--fix-cell", "--supercell", "2", "2", "2"]) == 0
    found = summary_of(inside / "salt-phonons")
    assert found["fixed_cell"]
    assert found["volume_change"] == pytest.approx(0.0, abs=1e-9)
    assert sorted(path.name for path in inside.iterdir()) == ["salt-phonons", "salt.cif"]


def test_overwrite_never_deletes_what_is_not_ours(ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.65))
    assert main(["phonons", "salt.cif", "--overwrite", "--output", "."]) == 5
    assert "salt.cif, which this command reads, lies in" in capsys.readouterr().err
    (inside / "mine").mkdir()
    (inside / "mine" / "notes.txt").touch()
    assert main(["phonons", "salt.cif", "--overwrite", "--output", "mine"]) == 5
    assert "holds files that are not results of this command: notes.txt" in capsys.readouterr().err
    (inside / "taken").write_text("a file")
    assert main(["phonons", "salt.cif", "--overwrite", "--output", "taken"]) == 5
    assert "is not a folder" in capsys.readouterr().err


def test_an_unwritable_place_is_found_before_the_computation(ionic, inside, capsys):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.65))
    assert main(["phonons", "salt.cif", "--output", "no/such/parent"]) == 5
    assert "results cannot be written" in capsys.readouterr().err
    assert main(["phonons", "salt.cif", "--output", "salt.cif/below"]) == 5
    assert ionic.n_calls == 0


@pytest.mark.parametrize("command", ["phonons", "gruneisen", "molecule"])
def test_a_misspelt_model_is_found_before_an_existing_folder(inside, capsys, command):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.65))
    (inside / f"salt-{command}").mkdir()
    assert main([command, "salt.cif", "--model", "phonax-smal"]) == 3
    assert "did you mean 'phonax-small'?" in capsys.readouterr().err


def test_a_model_error_passes_through_with_its_code(inside, capsys, monkeypatch):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.65))

    def no_model(model, dtype):
        raise ModelError(f"there is no model {model!r}", "nothing can be computed", "name another")

    monkeypatch.setattr(loading, "load_calculator", no_model)
    assert main(["phonons", "salt.cif", "--model", "nonsense"]) == 3
    assert "there is no model 'nonsense'" in capsys.readouterr().err
    assert [path.name for path in inside.iterdir()] == ["salt.cif"]


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143), (ZeroDivisionError(), 1)]
)
def test_whatever_stops_the_computation_nothing_half_written_stays(ionic, inside, capsys, monkeypatch, stop, code):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.65))

    def interrupted(*arguments, **options):
        assert any(path.name.startswith(".salt-phonons.partial") for path in inside.iterdir())
        raise stop

    monkeypatch.setattr(ionic, "get_force_constants", interrupted)
    assert main(["phonons", "salt.cif", "--no-relax"]) == code
    assert [path.name for path in inside.iterdir()] == ["salt.cif"]
    if code == 1:
        assert capsys.readouterr().err.splitlines()[-1].startswith("unexpected error: ZeroDivisionError")


def test_a_disk_that_fills_up_while_writing_is_named(ionic, inside, capsys, monkeypatch):
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.65))

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ase_phonax.base.drawing.save_figure", full)
    assert main(["phonons", "salt.cif", "--no-relax", "--supercell", "2", "2", "2"]) == 5
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in inside.iterdir()] == ["salt.cif"]


def test_an_earlier_result_survives_a_failed_replacement(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    renames = []
    rename = Path.rename

    def second_fails(self, other):
        renames.append(self)
        if len(renames) == 2:
            raise OSError(5, "Input/output error")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", second_fails)
    with (
        pytest.raises(OutputError, match="Input/output error"),
        atomic_directory(target, overwrite=True, own_files=("old",)) as folder,
    ):
        (folder / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in target.iterdir()] == ["old"]


# ---- models, help, and the process as a whole ------------------------------------------------------


def test_models_are_listed_with_what_decides_between_them(capsys, monkeypatch):
    from ase_phonax.models.registry import ModelCard

    card = ModelCard(
        "tiny", ("Si", "O"), "PBE", 58920, "seven crystals", "MIT", "For tests.", "0.3 THz", "models/tiny.h5"
    )
    monkeypatch.setattr("ase_phonax.models.registry.list_models", lambda: [card])
    assert main(["models"]) == 0
    assert re.search(r"tiny  both +2  shipped  PBE\n", capsys.readouterr().out)
    assert main(["models", "tiny"]) == 0
    text = capsys.readouterr().out
    for part in (
        "tiny\n",
        "2: Si O",
        "PBE",
        "58,920",
        "seven crystals",
        "MIT",
        "For tests.",
        "0.3 THz",
        "models/tiny.h5",
    ):
        assert part in text
    monkeypatch.setattr("ase_phonax.models.registry.list_models", list)
    assert main(["models"]) == 0
    assert "No models are registered" in capsys.readouterr().out


def test_the_list_of_models_is_a_page_and_can_be_narrowed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    cards = list_models()
    assert len(text.splitlines()) <= len(cards) + 8  # a line for each, a heading, and what more there is
    assert max(map(len, text.splitlines())) <= 80
    assert all(re.search(rf"^  {card.name} ", text, re.MULTILINE) for card in cards)

    def named(*options):
        assert main(["models", *options]) == 0
        text = capsys.readouterr().out
        return {card.name for card in cards if re.search(rf"^  {card.name} ", text, re.MULTILINE)}

    assert DEFAULT not in named("--elements", "H,C,O")
    assert named("--elements", "H,C,O") == named("--elements", "H", "C", "O") == named("--elements", "C2H5OH")
    assert named("--elements", "NaCl") == {c.name for c in cards if {"Na", "Cl"} <= set(c.elements)}
    assert "phonax-molecules" not in named("--elements", "H", "--for", "crystals")
    assert DEFAULT not in named("--for", "molecules")
    assert main(["models", "--elements", "Q"]) == 2
    assert "'Q' is neither an element nor a formula" in capsys.readouterr().err


def test_a_model_for_molecules_is_not_proposed_for_a_crystal(inside, capsys):
    """Kills: hydrogen in a crystal, answered with the model of organic molecules because it knows hydrogen."""
    write("LiH.cif", bulk("LiH", "rocksalt", a=4.08))
    ice = bulk("HF", "zincblende", a=4.0)  # elements that the model for molecules knows
    write("HF.cif", ice)
    for name in ("LiH.cif", "HF.cif"):
        assert main(["phonons", name]) == 2
        text = capsys.readouterr().err
        assert "does not know H" in text
        assert "nequix-mp-1-pft" in text
        assert "phonax-molecules" not in text
    write("SiH4.xyz", molecule("SiH4"))
    assert main(["molecule", "SiH4.xyz"]) == 2
    text = capsys.readouterr().err
    assert "does not know Si" in text
    assert "phonax-small" not in text.split("; this one has")[0]


@pytest.mark.parametrize("command", [[], ["phonons"], ["molecule"], ["models"]])
def test_help_of_every_command_is_there(command, capsys):
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: ase-phonax")
    if not command:
        for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "130"):
            assert re.search(rf"^  {code}", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["phonon", "x.cif"], ("there is no command phonon", "did you mean phonons?")),
        (["phonons", "x.cif", "--tolerence", "0.1"], ("there is no option --tolerence", "did you mean --tolerance?")),
        (["phonons", "x.cif", "--zone", "Γ"], ("there is no option --zone", "--help` lists what there is")),
        (["phonons", "x.cif", "--tolerence=0.1"], ("there is no option --tolerence", "did you mean --tolerance?")),
        (["--quite", "phonons", "x.cif"], ("there is no option --quite", "ase-phonax --help")),
        (["phonons", "x.cif", "y.cif"], ("y.cif", "one value too many")),
        (["phonons", "x.cif", "--unit", "THZ"], ("--unit", "THZ", "`ase-phonax phonons --help`")),
        (["phonons", "x.cif", "--temperatures", "300"], ("--temperatures", "`ase-phonax phonons --help`")),
        (
            ["phonons", "x.cif", "--temperature", "300"],
            ("argument --temperatures: expected 3 arguments, FROM TO STEP; without it they are 0 1000 10",),
        ),
        # A step of 300 K was taken for what it is called.
        (["qha", "x.cif", "--temperature", "300"], ("could match --temperature-step, --max-temperature",)),
        (["qha", "x.cif", "--temperature=300"], ("could match --temperature-step, --max-temperature",)),
        ([], ("COMMAND", "`ase-phonax --help`")),
    ],
)
def test_what_the_command_line_does_not_know_is_said_as_other_errors_are(arguments, said, capsys):
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    for part in (*said, "why it matters", "what to do"):
        assert part in text
    assert "usage:" not in text


def test_an_abbreviation_that_means_one_option_only_is_taken(inside, capsys):
    words = ["--no-rel", "--super", "1", "--temperature", "0", "300", "100", "--mesh", *"222"]
    assert main(["phonons", "salt.cif", *words]) == 2
    assert "the structure file salt.cif does not exist" in capsys.readouterr().err  # the next thing looked at


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess:
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


def test_help_and_version_import_nothing_heavy_and_are_quick(tmp_path):
    code = """
import sys, time
start = time.perf_counter()
from ase_phonax.cli import main
codes = [main(["--help"]), main(["phonons", "--help"]), main(["--version"])]
assert codes == [0, 0, 0]
heavy = {"numpy", "ase", "jax", "phonopy", "scipy", "matplotlib", "spglib"} & set(sys.modules)
assert not heavy, heavy
assert time.perf_counter() - start < 1.0
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_in_the_real_process_exits_with_130_and_cleans_up(tmp_path):
    """Sent to a process that is in the middle of its force constants."""
    write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", a=5.65))
    code = """
import signal, sys, time
from pathlib import Path
from ase_phonax.cli import loading, main
from tests.pair_potential import PairCalculator
# Tests started in the background of a shell without job control ignore Ctrl-C, and their children with them.
signal.signal(signal.SIGINT, signal.default_int_handler)
class Slow(PairCalculator):
    def get_force_constants(self, *arguments, **options):
        Path("ready").touch()
        time.sleep(60)
loading.load_calculator = lambda model, dtype: Slow(like=0.0)
sys.argv = ["ase-phonax", "phonons", "salt.cif", "--no-relax"]
sys.exit(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.time() + 60
    while not (tmp_path / "ready").exists() and process.poll() is None and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=50)
    finally:
        process.kill()  # one that does not stop must not be left to the tests that follow
        process.wait()
    assert process.returncode == 130, errors
    assert "no results were written" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ready", "salt.cif"]


def test_numbers_read_well():
    assert frequencies_in_words([-1e-7, 0.0, 1e-7, 4.5, 4.5001, 9.0]) == "0.000 (3)  4.500 (2)  9.000"
    assert frequencies_in_words([-2.0, 1.0]) == "-2.000  1.000"
    assert vector_in_words([-0.0, 0.5, 1 / 3]) == "(0, 0.5, 0.3333)"
    assert matrix_in_words([[2, 0, 0], [0, 2, 0], [0, 0, 3]]) == "2 × 2 × 3"
    assert matrix_in_words([[2, 1, 0], [0, 2, 0], [0, 0, 3]]) == "2 1 0, 0 2 0, 0 0 3"


def test_a_tolerance_that_is_much_of_the_highest_frequency_is_said():
    here = "(0.1, 0.2, 0.3)"
    assert interpolation_in_words(0.04, 0.1, 0.05, 5.0, here)[0].startswith("the supercell is large enough")
    coarse = interpolation_in_words(0.04, 0.1, 0.05, 0.2, here)[0]
    assert coarse.startswith("within the tolerance of 0.05 THz, but that is 25 %")
    assert "take a larger supercell" in interpolation_in_words(0.06, 0.1, 0.05, 0.2, here)[0]


def test_one_mode_that_is_far_off_is_not_called_large_enough():
    """The mean of many small errors hides a large one; both limits are said."""
    near, too_large = interpolation_in_words(0.04, 0.2, 0.05, 15.0, "(0.1, 0.2, 0.3)")
    assert not too_large
    assert near == "the supercell is large enough (RMS up to 0.05, largest up to 0.2 THz)"
    off, too_large = interpolation_in_words(0.04, 0.61, 0.05, 15.0, "(0.1, 0.2, 0.3)")
    assert too_large
    assert off == (
        "large enough by RMS (up to 0.05 THz), but one mode is off by 0.61 THz at q = (0.1, 0.2, 0.3), more than 0.2"
        " THz: `exact=True`, or a smaller `tolerance`"
    )
    assert as_typed(off).endswith(" THz: --exact, or a smaller --tolerance")
    # Studies at several volumes take nothing from exact D(q): they have no such option.
    assert "exact" not in interpolation_in_words(0.04, 0.61, 0.05, 15.0, "(0.1, 0.2, 0.3)", may_be_exact=False)[0]


def test_the_wave_vector_of_the_largest_error_is_told(inside, ionic):
    """By an independent route: that probe by itself, interpolated by phonopy from the files."""
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.6))
    assert main(["phonons", "salt.cif", "--supercell", "1", "--no-exact", "--mesh", "3", "3", "3"]) == 0
    found = summary_of(inside / "salt-phonons")
    again = phonopy.load(inside / "salt-phonons" / "phonopy_params.yaml", primitive_matrix="P", log_level=0)
    relaxed = read(inside / "salt-phonons" / "relaxed.extxyz")
    q = found["interpolation_error_max_qpoint"]
    interpolated = np.sort(again.run_qpoints([q]).frequencies[0])
    exact = frequencies_thz(ionic.get_dynamical_matrix(relaxed, q))[0]
    largest = np.abs(interpolated - exact).max()
    assert largest == pytest.approx(found["checks"]["interpolation_error_max_thz"], abs=1e-6)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_learns_commands_and_options(shell, capsys, tmp_path):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("phonons", "fine-tune", "--irreps-q", "--amplitudes"):
        assert word.replace("-", "_") in script or word in script
    if shell == "bash" and shutil.which("bash"):
        (tmp_path / "script").write_text(script)
        assert subprocess.run(["bash", "-n", str(tmp_path / "script")], check=False).returncode == 0


def test_completion_without_its_package_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert 'pip install "ase-phonax[completion]"' in capsys.readouterr().err
