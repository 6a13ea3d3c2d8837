"""Others read our results, and find what we found."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.dft.kpoints import BandPath, parse_path_string
from ase.io import read, write
from ase.spectrum.band_structure import BandStructure as AseBandStructure

from ase_phonax.base.errors import InputError, UnstableWarning
from ase_phonax.base.units import THZ_PER_SQRT_EV_A2_AMU
from ase_phonax.cli import loading, main
from ase_phonax.cli.tables import Table
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.phonons.bands.paths import mathtext_label
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.formats import (
    EV_PER_THZ,
    _ase_name,
    phonon_website,
    to_ase_bands,
    to_crystal_thermo,
    write_json,
)
from ase_phonax.phonons.polar import set_nac
from ase_phonax.phonons.sampling.heat import get_thermal_properties
from ase_phonax.phonons.sampling.meshes import get_densities, get_mesh
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.studies.section import Context
from ase_phonax.studies.sections import formats

from .crystals import triclinic
from .pair_potential import PairCalculator
from .typed import typed

QPOINTS = [[0.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.13, 0.27, -0.41]]


def salt(repeats: int = 3):
    return get_phonopy(bulk("NaCl", "rocksalt", a=5.6), PairCalculator(like=0.0), repeats)


# ---- ASE ---------------------------------------------------------------------------------------------


def test_bands_reach_ase_with_its_names_lengths_and_units(tmp_path):
    phonopy = salt()
    bands = get_band_structure(phonopy, spacing=0.1)
    ours = to_ase_bands(bands, phonopy.primitive.cell)
    assert ours.path.path == "GXU,KGLWX"
    assert ours.reference == 0
    x, special_x, labels = ours.path.get_linear_kpoint_axis()
    assert labels == ["G", "X", "U", "K", "G", "L", "W", "X"]
    ends = [0.0] + [float(piece[-1]) for piece in bands.distances]
    ends.insert(3, ends[2])  # U and K stand at one place
    np.testing.assert_allclose(special_x, 2 * np.pi * np.array(ends), atol=1e-9)
    # Straight from phonopy's own q-points, for every point that is left.
    h = 4.135667696923859e-15  # eV s
    again = phonopy.run_qpoints(ours.path.kpts).frequencies
    np.testing.assert_allclose(ours.energies[0], h * 1e12 * again, atol=1e-9)
    assert len(x) == sum(map(len, bands.distances)) - 4  # six segments, one jump: four shared ends
    ours.write(tmp_path / "bands.json")
    assert isinstance(AseBandStructure.read(tmp_path / "bands.json"), AseBandStructure)


def test_indices_and_greek_letters_become_names_that_ase_can_parse():
    """Body-centred tetragonal: has the points Γ, G, S and S₀, or Σ and Σ₀ where it is flat."""
    for c, expected in ((3.1, {"G", "Gp", "S", "S0"}), (1.9, {"G", "Z0"})):
        phonopy = get_phonopy(bulk("Si", "bct", a=2.6, c=c), PairCalculator(), 2)
        found = to_ase_bands(get_band_structure(phonopy, spacing=0.3), phonopy.primitive.cell)
        names = {name for section in parse_path_string(found.path.path) for name in section}
        assert names == set(found.path.special_points)
        assert names >= expected
        _, _, labels = found.path.get_linear_kpoint_axis()
        assert set(labels) == names
    assert _ase_name(mathtext_label("SIGMA_0")) == "Sigma0"


def test_a_path_without_names_keeps_its_points():
    phonopy = salt()
    line = np.linspace([0.1, 0, 0], [0.3, 0.2, 0.1], 7)
    bands = get_band_structure(phonopy, BandPath(phonopy.primitive.cell, kpts=line))
    found = to_ase_bands(bands, phonopy.primitive.cell)
    assert found.path.path == ""
    np.testing.assert_allclose(found.path.kpts, line)


def test_lo_and_to_at_gamma_are_both_kept():
    """Kills: joints merged where the two sides differ."""
    phonopy = salt()
    plain = to_ase_bands(get_band_structure(phonopy, "XGL", spacing=0.2), phonopy.primitive.cell)
    charges = np.array([1.1, -1.1])[:, None, None] * np.eye(3)
    set_nac(phonopy, {"born": charges, "dielectric": np.diag([2.4, 2.4, 2.4])})
    split = to_ase_bands(get_band_structure(phonopy, "XGL", spacing=0.2), phonopy.primitive.cell)
    assert len(split.path.kpts) == len(plain.path.kpts)  # cubic: the same frequencies from every side
    tetragonal = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[3.3, 3.3, 3.1], pbc=True)
    phonopy = get_phonopy(tetragonal, PairCalculator(like=0.0), 2)
    charges[:, 2, 2] *= 2
    set_nac(phonopy, {"born": charges, "dielectric": np.diag([2.4, 2.4, 2.4])})
    bands = get_band_structure(phonopy, "XGZ", spacing=0.2)
    assert len(to_ase_bands(bands, phonopy.primitive.cell).path.kpts) == sum(map(len, bands.distances))


@pytest.fixture(scope="module")
def densities():
    phonopy = salt()
    get_mesh(phonopy)
    thermal = get_thermal_properties(phonopy, [300.0])
    total, _ = get_densities(phonopy)
    return total, thermal.thermal_properties


def test_ases_thermochemistry_agrees_with_phonopys_to_a_millielectronvolt(densities):
    total, (_, free_energy, entropy, _) = densities
    thermo = to_crystal_thermo(total, 2)
    kilojoule = 1 / 96.48533212331  # eV of one kJ/mol
    assert thermo.get_helmholtz_energy(300.0, verbose=False) == pytest.approx(free_energy[0] * kilojoule, abs=1e-3)
    assert 300 * thermo.get_entropy(300.0, verbose=False) == pytest.approx(0.3 * entropy[0] * kilojoule, abs=1e-3)
    per_unit = to_crystal_thermo(total, 2, potential_energy=-3.0, formula_units=1)
    shifted = per_unit.get_internal_energy(300.0, verbose=False) - thermo.get_internal_energy(300.0, verbose=False)
    assert shifted == pytest.approx(-3.0)


def test_a_density_of_any_normalisation_gives_the_classical_limit(densities):
    """U -> 3 n k_B T: kills a density that is not brought to three modes per atom, or stays per THz."""
    total, _ = densities
    half = SimpleNamespace(frequency_points=total.frequency_points, dos=total.dos / 2)
    energy = to_crystal_thermo(half, 2).get_internal_energy(5000.0, verbose=False)
    assert energy == pytest.approx(6 * 8.617333262e-5 * 5000, rel=1e-3)


def test_imaginary_modes_are_left_out_with_a_warning():
    frequencies = np.linspace(-1, 3, 401)
    unstable = SimpleNamespace(frequency_points=frequencies, dos=np.ones(401))
    with pytest.warns(UnstableWarning, match="25 % of the density"):
        thermo = to_crystal_thermo(unstable, 1)
    assert np.all(thermo.phonon_energies > 0)
    assert np.trapezoid(thermo.phonon_DOS, thermo.phonon_energies) == pytest.approx(0.75 * 3, rel=1e-2)
    with pytest.raises(InputError, match="no modes"):
        to_crystal_thermo(SimpleNamespace(frequency_points=frequencies, dos=np.zeros(401)), 1)
    with pytest.raises(InputError, match="formula units"):
        to_crystal_thermo(unstable, 1, formula_units=0)


# ---- phonon website ------------------------------------------------------------------------------------


def test_the_motion_on_the_page_is_a_solution_of_newtons_equations(tmp_path):
    """The page's own recipe (getVibrations of phononwebpage.js, no phase of atoms added), put into m u'' = -Phi u.

    Kills: the phase of the atoms forgotten or conjugate, masses forgotten, eigenvectors in rows.
    """
    atoms = triclinic()
    phonopy = get_phonopy(atoms, PairCalculator(like=0.0, turn=0.7), 3)
    bands = phonopy.run_band_structure([[[0, 0, 0], [1 / 3, 1 / 3, 0]], [[1 / 3, 0, -1 / 3], [0, 0, 0]]])
    write_json(phonon_website(phonopy, bands, "test"), tmp_path / "page.json")
    page = json.loads((tmp_path / "page.json").read_text(encoding="utf-8"))
    supercell, primitive = phonopy.supercell, phonopy.primitive
    j = np.array([primitive.p2p_map[s] for s in primitive.s2p_map])
    cells = np.rint((supercell.positions - primitive.positions[j]) @ np.linalg.inv(primitive.cell))
    home = cells[primitive.p2s_map]
    for k in (1, 2):
        q = np.array(page["qpoints"][k])
        for n, wavenumber in enumerate(page["eigenvalues"][k]):
            vec = np.array(page["vectors"][k][n])[..., 0] + 1j * np.array(page["vectors"][k][n])[..., 1]
            u = vec[j] * np.exp(2j * np.pi * cells @ q)[:, None]
            force = np.einsum("ikab,kb->ia", phonopy.force_constants, u)
            scale = wavenumber / 33.35640952 / THZ_PER_SQRT_EV_A2_AMU
            own = vec * np.exp(2j * np.pi * home @ q)[:, None]
            expected = np.sign(scale) * scale**2 * primitive.masses[:, None] * own
            # Five decimals of a mode of norm 1, times constants of up to 100 eV/Å².
            np.testing.assert_allclose(force, expected, atol=1e-3 * np.abs(phonopy.force_constants).max())
            assert np.linalg.norm(expected) > 30 * np.linalg.norm(force - expected) or abs(wavenumber) < 20


def test_the_page_finds_every_entry_it_reads_in_segments_with_names():
    phonopy = salt()
    bands = get_band_structure(phonopy)
    page = phonon_website(phonopy, bands, "NaCl", points=11)
    n_q = len(page["qpoints"])
    assert page["natoms"] == 2
    assert page["atom_types"] == ["Na", "Cl"]
    assert page["atom_numbers"] == [11, 17]
    assert np.shape(page["eigenvalues"]) == (n_q, 6)
    assert np.shape(page["vectors"]) == (n_q, 6, 2, 3, 2)
    assert [label for _, label in page["highsym_qpts"]] == ["Γ", "X", "U|K", "Γ", "L", "W", "X"]
    np.testing.assert_allclose(np.array(page["atom_pos_red"]) @ page["lattice"], page["atom_pos_car"], atol=1e-12)
    breaks = page["line_breaks"]
    assert breaks[0][0] == 0
    assert breaks[-1][1] == n_q
    assert all(end == start for (_, end), (start, _) in pairwise(breaks))
    for (start, end), piece in zip(breaks, bands.qpoints, strict=True):
        assert end - start <= 11
        np.testing.assert_allclose(page["qpoints"][start], piece[0], atol=1e-9)
        np.testing.assert_allclose(page["qpoints"][end - 1], piece[-1], atol=1e-9)
    assert np.all(np.diff(page["distances"]) >= 0)
    assert phonopy.band_structure is bands  # thinned bands are the page's own


def test_a_layer_is_shown_once_across_its_vacuum():
    cell = [[2.75, 0, 0], [-1.375, 2.75 * np.sqrt(0.75), 0], [0, 0, 15]]
    phonopy = get_phonopy(Atoms("Cu", cell=cell, pbc=True), PairCalculator(), [3, 3, 1])
    bands = phonopy.run_band_structure([[[0, 0, 0], [0.5, 0, 0]]])
    assert phonon_website(phonopy, bands, "Cu")["repetitions"] == [4, 4, 1]


# ---- phonopy's command and Euphonic, on the files of the command line -------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A polar, turned, low-symmetry crystal through the whole command: its folder and its calculator."""
    folder = tmp_path_factory.mktemp("written")
    atoms = bulk("ZnO", "wurtzite", a=3.4, c=5.5, u=0.38)
    atoms.rotate(33, (1, 2, 1), rotate_cell=True)
    atoms.rattle(0.05, seed=3)
    write(folder / "crystal.extxyz", atoms)
    calc = PairCalculator(like=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_calculator", lambda model, dtype: calc)
        options = [
            "--no-relax",
            "--supercell",
            "2",
            "2",
            "2",
            "--path",
            "GM",
            "--mesh",
            "2",
            "2",
            "2",
            "--output",
            str(folder / "out"),
        ]
        assert main(["phonons", str(folder / "crystal.extxyz"), *options]) == 0
    return folder / "out"


def frequencies_in(folder: Path, *options: str) -> np.ndarray:
    """What the `phonopy` command finds at QPOINTS."""
    command = [str(Path(sys.executable).with_name("phonopy")), "phonopy_params.yaml", "--no-fc-symmetry", *options]
    found = subprocess.run(
        [*command, "--qpoints", *(str(x) for q in QPOINTS for x in q)], cwd=folder, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    entries = yaml.safe_load((folder / "qpoints.yaml").read_text())["phonon"]
    return np.array([[band["frequency"] for band in entry["band"]] for entry in entries])


def in_memory(folder: Path) -> np.ndarray:
    """Frequencies from the two files in Python, nothing symmetrised."""
    import h5py
    import phonopy

    loaded = phonopy.load(folder / "phonopy_params.yaml", primitive_matrix="P", symmetrize_fc=False, log_level=0)
    with h5py.File(folder / "force_constants.hdf5") as file:
        loaded.force_constants = file["force_constants"][:]
    return loaded.run_qpoints(QPOINTS).frequencies


@pytest.mark.filterwarnings("ignore::ase_phonax.base.errors.UnstableWarning")
def test_the_phonopy_command_gives_our_frequencies(written):
    ours, theirs = in_memory(written), frequencies_in(written)
    np.testing.assert_allclose(theirs[1:], ours[1:], atol=1e-6)
    np.testing.assert_allclose(theirs[0] * np.abs(theirs[0]), ours[0] * np.abs(ours[0]), atol=1e-6)
    # The second fits the supercell: there the exact matrix has the same; the structure file has eight decimals.
    exact = PairCalculator(like=0.0).get_dynamical_matrix(read(written / "relaxed.extxyz"), [QPOINTS[1]])
    np.testing.assert_allclose(np.sort(theirs[1]), frequencies_thz(exact)[0], atol=1e-5)


def test_the_phonopy_command_keeps_charges_and_method(tmp_path):
    """The file says "Wang": with the default method the second q-point differs by 0.1 THz."""
    phonopy = salt(2)
    charges = np.array([1.1, -1.1])[:, None, None] * np.eye(3)
    set_nac(phonopy, {"born": charges, "dielectric": np.diag([2.4, 2.4, 2.4])})
    ours = phonopy.run_qpoints(QPOINTS).frequencies
    phonopy.save(tmp_path / "phonopy_params.yaml")
    theirs = frequencies_in(tmp_path)
    np.testing.assert_allclose(theirs[1:], ours[1:], atol=1e-6)
    set_nac(phonopy, {"born": charges, "dielectric": np.diag([2.4, 2.4, 2.4])}, "gonze")
    assert np.abs(phonopy.run_qpoints(QPOINTS).frequencies[2] - ours[2]).max() > 0.01


@pytest.mark.parametrize("with_hdf5", [False, True])
def test_euphonic_gives_our_frequencies(written, tmp_path, with_hdf5):
    euphonic = pytest.importorskip("euphonic")
    folder, name = written, "phonopy_params.yaml"
    ours = in_memory(written)
    if with_hdf5:  # constants from the second file, as where the yaml has none
        folder = tmp_path
        text = yaml.safe_load((written / name).read_text())
        del text["force_constants"]
        (tmp_path / name).write_text(yaml.safe_dump(text))
        (tmp_path / "force_constants.hdf5").write_bytes((written / "force_constants.hdf5").read_bytes())
    constants = euphonic.ForceConstants.from_phonopy(
        path=folder, summary_name=name, fc_name="force_constants.hdf5" if with_hdf5 else "FORCE_CONSTANTS"
    )
    # In Python: its C extension counts the OpenMP libraries of others, and warns.
    modes = constants.calculate_qpoint_phonon_modes(np.array(QPOINTS), asr=None, use_c=False)
    theirs = modes.frequencies.to("meV").magnitude / (1000 * EV_PER_THZ)
    # Constants of another CODATA set: 1e-7 of the frequency.
    np.testing.assert_allclose(theirs[1:], ours[1:], atol=1e-5)


# ---- the section ---------------------------------------------------------------------------------------


def test_the_section_writes_what_was_asked_for_and_nothing_else(tmp_path):
    phonopy = salt(2)
    formats.check(typed(), bulk("NaCl", "rocksalt", a=5.6))
    assert formats.compute(Context(typed(), phonopy)) is None
    section = formats.compute(Context(typed("--phononwebsite", "--ase-bands"), phonopy))
    section.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(section.files())
    assert section.files() == ("phononwebsite.json", "bands_ase.json")
    page = json.loads((tmp_path / "phononwebsite.json").read_text(encoding="utf-8"))
    assert (page["name"], page["formula"]) == ("NaCl", "NaCl")
    bands = AseBandStructure.read(tmp_path / "bands_ase.json")
    assert bands.energies.max() == pytest.approx(phonopy.band_structure.frequencies[0].max() * EV_PER_THZ, rel=0.5)
    text = Table("")
    section.describe(text)
    assert "ase band-structure bands_ase.json" in str(text)
    assert section.summary() == {}
    assert formats.compute(Context(typed("--ase-bands"), phonopy)).files() == ("bands_ase.json",)
