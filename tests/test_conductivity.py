"""Thermal conductivity: interactions against phono3py's own, its solutions, supercells by their errors, the command."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from ase.build import bulk, molecule
from ase.io import read, write

from ase_phonax import (
    ConductivitySettings,
    PhonaxCalculator,
    choose_third_order_supercell,
    get_phono3py,
    get_thermal_conductivity,
    relax,
)
from ase_phonax.base.errors import InputError, StructureError, UnstableWarning
from ase_phonax.cli import main
from ase_phonax.phonons.anharmonic import conductivity, solution
from ase_phonax.phonons.anharmonic.interactions import MeshInteraction
from ase_phonax.phonons.anharmonic.interpolation import exact_triplets, interpolated_triplets, third_order_error
from ase_phonax.phonons.supercell.objects import build_phonopy

CALC = PhonaxCalculator()
KINDS = {"rta": {}, "lbte": {"is_LBTE": True}, "wigner": {"transport_type": "smm19"}}


@pytest.fixture(scope="module")
def magnesia():
    return relax(bulk("MgO", "rocksalt", a=4.2), CALC)[0]


@pytest.fixture(scope="module")
def of_magnesia(magnesia):
    return get_phono3py(magnesia, CALC, 2, 3)


@pytest.fixture(scope="module")
def of_wurtzite():
    return get_phono3py(relax(bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38), CALC)[0], CALC, [2, 2, 1], [3, 3, 2])


@pytest.mark.parametrize(
    ("name", "mesh"), [("of_magnesia", [4, 4, 4]), ("of_magnesia", [5, 5, 5]), ("of_wurtzite", [3, 3, 2])]
)
def test_interactions_are_phono3py_s(name, mesh, request):
    """Kills: a leg of the mean over three atoms left out, a phase of a boundary, cells that fold on coarse meshes."""
    phono3py = request.getfixturevalue(name)
    phono3py.mesh_numbers = mesh
    phono3py.init_phph_interaction()
    phono3py.run_phonon_solver()
    interaction = phono3py.phph_interaction
    ours = MeshInteraction(interaction)
    for point in phono3py.grid.grg2bzg[[0, 1, 7]]:
        interaction.set_grid_point(point)
        interaction.run()
        expected = interaction.interaction_strength.copy()
        interaction._interaction_strength[:] = 0
        ours()
        found = interaction.interaction_strength
        assert expected.max() > 0
        # Near Gamma acoustic strengths are differences over small frequencies.
        assert np.abs(found - expected).max() < 1e-9 * expected.max()


def test_a_mask_and_full_constants_count(of_magnesia):
    from phono3py.phonon3.fc3 import compact_fc3_to_full_fc3

    of_magnesia.mesh_numbers = [3, 3, 3]
    of_magnesia.init_phph_interaction()
    of_magnesia.run_phonon_solver()
    compact = _strengths(of_magnesia.phph_interaction)
    constants = of_magnesia.fc3
    try:
        of_magnesia.fc3 = compact_fc3_to_full_fc3(of_magnesia.primitive, constants)
        of_magnesia.init_phph_interaction()
        of_magnesia.run_phonon_solver()
        assert _strengths(of_magnesia.phph_interaction) == pytest.approx(compact, rel=1e-9, abs=1e-9 * compact.max())
    finally:
        of_magnesia.fc3 = constants


def _strengths(interaction) -> np.ndarray:
    interaction.set_grid_point(1)
    interaction.run()
    MeshInteraction(interaction)()
    return interaction.interaction_strength.copy()


@pytest.mark.parametrize("method", KINDS)
def test_solutions_are_phono3py_s(of_magnesia, method):
    found = get_thermal_conductivity(of_magnesia, [4, 4, 4], [200, 300], method=method, boundary_um=10.0)
    # The object is phono3py's again: no tensors of ours are left on it.
    assert not {"_run_c", "_run_rust"} & set(vars(of_magnesia.phph_interaction))
    of_magnesia.mesh_numbers = [4, 4, 4]
    of_magnesia.init_phph_interaction()
    of_magnesia.run_thermal_conductivity(temperatures=[200, 300], is_isotope=True, boundary_mfp=10.0, **KINDS[method])
    expected = of_magnesia.thermal_conductivity.kappa[0]
    assert found.kappa[:, 0, 0] == pytest.approx(expected[:, 0], rel=1e-8)
    assert np.abs(found.kappa - np.swapaxes(found.kappa, 1, 2)).max() < 1e-8 * expected.max()
    assert found.at(300.0)[1, 1] == pytest.approx(expected[1, 1], rel=1e-8)
    if method == "wigner":
        assert 0 < np.trace(found.coherence[1]) < 0.1 * np.trace(found.kappa[1])
    frequencies, parts = found.cumulative()
    assert np.all(np.diff(frequencies) >= 0)
    assert parts[-1] == pytest.approx(np.trace(found.kappa[1]) / 3, rel=1e-6)


@pytest.mark.parametrize("method", ["rta", "wigner"])
def test_an_interrupted_solution_goes_on_where_it_was(of_magnesia, tmp_path, monkeypatch, method):
    monkeypatch.setattr(solution, "_PART", 3)
    ask = {"mesh": [5, 5, 5], "temperatures": [200, 300], "method": method, "boundary_um": 10.0}
    expected = get_thermal_conductivity(of_magnesia, **ask)
    computed = []

    def until_the_seventh(done, total):
        computed.append(done)
        if len(computed) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_thermal_conductivity(of_magnesia, **ask, keep=tmp_path, progress=lambda what: until_the_seventh)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1  # three wave vectors, each told once, and the whole part once more, of two parts
    before = files[0].stat().st_mtime_ns
    told = []
    found = get_thermal_conductivity(of_magnesia, **ask, keep=tmp_path, progress=lambda what: lambda *x: told.append(x))
    assert files[0].stat().st_mtime_ns == before
    assert told[0] == (3, 10)
    assert told[-1] == (10, 10)
    for name in ("kappa", "modes", "weights", "qpoints", "frequencies", "linewidths", "coherence"):
        first, second = getattr(found, name), getattr(expected, name)
        assert (first is None and second is None) or np.allclose(first, second, rtol=1e-9, atol=1e-12)
    # What belongs to another solution, or is damaged, is computed anew.
    ask["boundary_um"] = 1.0
    short = get_thermal_conductivity(of_magnesia, **ask, keep=tmp_path)
    assert short.kappa[0, 0, 0] == pytest.approx(get_thermal_conductivity(of_magnesia, **ask).kappa[0, 0, 0], rel=1e-9)
    assert short.kappa[0, 0, 0] < 0.99 * expected.kappa[0, 0, 0]
    files[0].write_bytes(files[0].read_bytes()[:1000])
    again = get_thermal_conductivity(of_magnesia, **ask, keep=tmp_path)
    assert again.kappa == pytest.approx(short.kappa, rel=1e-9, abs=1e-9)


def test_a_given_mesh_has_not_been_shown_to_settle(of_magnesia):
    assert get_thermal_conductivity(of_magnesia, [3, 3, 3]).settled is None


def test_what_nothing_scatters_carries_no_number(of_magnesia):
    """Third-order constants that vanish, but for a rounding error: lives would be those of the universe."""
    from copy import copy

    free = copy(of_magnesia)
    free.fc3 = 1e-12 * of_magnesia.fc3
    with pytest.raises(StructureError, match=r"modes of the mesh \(3, 3, 3\) are scattered by nothing at 300 K"):
        get_thermal_conductivity(free, [3, 3, 3], isotopes=False)


@pytest.mark.data
def test_dft_s_silicon_has_its_conductivity(data):
    """PBEsol by VASP, the example of phono3py: 109.0 W/m/K on a mesh of 11, whatever potential is at hand here."""
    import phono3py

    folder = data / "data/phono3py/Si-PBEsol"
    loaded = phono3py.load(
        folder / "phono3py_disp.yaml", forces_fc3_filename=folder / "FORCES_FC3", is_compact_fc=True, log_level=0
    )
    found = get_thermal_conductivity(loaded, [11, 11, 11], isotopes=False)
    assert np.trace(found.at(300)) / 3 == pytest.approx(109.0, abs=0.1)


def test_the_mesh_grows_until_the_conductivity_has_settled(of_magnesia, monkeypatch):
    monkeypatch.setattr(conductivity, "_FIRST_LENGTH", 10.0)
    monkeypatch.setattr(conductivity, "_LENGTH_STEP", 4.0)
    asked = []
    found = get_thermal_conductivity(of_magnesia, tolerance=0.5, progress=lambda what: asked.append(what))
    assert len(found.convergence) > 1
    assert found.mesh == found.convergence[-1].numbers
    assert abs(found.convergence[-1].kappa / found.convergence[-2].kappa - 1) < 0.5
    assert np.trace(found.at(300)) / 3 == pytest.approx(found.convergence[-1].kappa, rel=1e-9)
    assert len(asked) == len(found.convergence) + 1
    assert found.settled
    with pytest.warns(UnstableWarning, match="has not settled"):
        small = get_thermal_conductivity(of_magnesia, tolerance=1e-9, max_qpoints=100)
    assert np.prod(small.mesh) <= 100
    assert small.settled is False


def test_interpolation_is_exact_at_wave_vectors_that_fit(magnesia):
    cells = build_phonopy(magnesia, 2)
    constants = CALC.get_third_order(cells)
    fits = np.array([[[0.5, 0, 0], [0, 0.5, 0], [-0.5, -0.5, 0]], [[0.5, 0.5, 0.5], [0, 0, 0.5], [-0.5, -0.5, -1]]])
    exact = exact_triplets(magnesia, CALC, fits)
    assert np.abs(interpolated_triplets(constants, cells, fits) - exact).max() < 1e-9 * np.abs(exact).max()
    between = fits + np.array([0.1, 0.05, 0])[None, None] * np.array([1, 0, -1])[None, :, None]
    exact = exact_triplets(magnesia, CALC, between)
    assert 1e-3 < third_order_error(constants, cells, exact, between) < 1


def test_the_supercell_is_the_first_that_is_good_enough(magnesia):
    choice = choose_third_order_supercell(magnesia, CALC, 0.1)
    assert choice.reached
    errors = [error for _, _, error in choice.tried]
    assert errors[-1] == choice.error <= 0.1
    assert all(error > 0.1 for error in errors[:-1])
    cells = build_phonopy(magnesia, choice.matrix)
    assert np.abs(choice.constants - CALC.get_third_order(cells)).max() < 1e-10 * np.abs(choice.constants).max()
    small = choose_third_order_supercell(magnesia, CALC, 1e-6, max_atoms=20)
    assert not small.reached
    assert small.n_atoms <= 20
    with pytest.raises(InputError, match="a relative error"):
        choose_third_order_supercell(magnesia, CALC, -1.0)
    with pytest.raises(StructureError, match="periodic"):
        choose_third_order_supercell(molecule("H2O"), CALC)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mesh": [1, 1, 1]}, "one wave vector"),
        ({"mesh": [3, 3]}, "three directions"),
        ({"mesh": [3, 4, 5]}, "lacks symmetry: the crystal turns a and b, a and c, b and c into each other"),
        ({"mesh": [3000, 3000, 3000]}, "GB"),
        ({"temperatures": [0, 300]}, "at 0 K nothing"),
        ({"temperatures": [300, 200]}, "they ascend"),
        ({"method": "exact"}, "which equation"),
        ({"boundary_um": -1}, "mean free path"),
    ],
)
def test_what_cannot_be_solved_is_refused(of_magnesia, change, text):
    with pytest.raises(InputError, match=text):
        get_thermal_conductivity(of_magnesia, **({"mesh": [3, 3, 3]} | change))


def test_collision_matrices_beyond_the_memory_are_refused_before_they_are_filled(of_magnesia, monkeypatch):
    """They grow with the square of the modes, once for each temperature, as phono3py holds them."""
    monkeypatch.setattr(solution, "memory_bytes", lambda: 2**24)
    with pytest.raises(InputError, match=r"collision matrices of 144 x 144 at 80 temperatures take 0\.0 GB"):
        get_thermal_conductivity(of_magnesia, [4, 4, 4], np.arange(100, 900, 10), method="lbte")


def test_modes_are_known_at_temperatures_that_were_solved(of_magnesia):
    found = get_thermal_conductivity(of_magnesia, [3, 3, 3], [200, 600])
    assert found.kappa[1, 0, 0] < found.at(400)[0, 0] < found.kappa[0, 0, 0]
    for ask in (found.cumulative, lambda t: found.at(2 * t)):
        with pytest.raises(InputError, match="K"):
            ask(400)


def test_temperatures_of_the_command_ascend():
    with pytest.raises(InputError, match="are no series"):
        ConductivitySettings(temperatures=(100, -100, -50))
    assert ConductivitySettings(temperatures=(200, 400, 100)).temperatures_k == [200, 300, 400]


def test_constants_must_be_there_and_modes_real(of_magnesia):
    from copy import copy

    empty = copy(of_magnesia)
    empty.fc3 = None
    with pytest.raises(InputError, match="no force constants of both orders"):
        get_thermal_conductivity(empty, [3, 3, 3])
    unstable = copy(of_magnesia)
    unstable.fc2 = -of_magnesia.fc2
    with pytest.raises(StructureError, match="imaginary modes, down to"):
        get_thermal_conductivity(unstable, [3, 3, 3])


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


FEW = ["--supercell", "3", "3", "3", "--third-supercell", "2", "2", "2", "--mesh", "4", "4", "4", "--born", "none"]


def test_the_command_writes_what_it_prints_and_what_phono3py_reads(inside, capsys):
    write("MgO.cif", bulk("MgO", "rocksalt", a=4.2, cubic=True))
    assert main(["conductivity", "MgO.cif", *FEW, "--temperatures", "200", "400", "100"]) == 0
    shown = capsys.readouterr().out
    assert "thermal conductivity" in shown
    folder = Path("MgO-conductivity")
    names = {path.name for path in folder.iterdir()}
    summary = json.loads((folder / "summary.json").read_text())
    assert names == set(summary["files"])
    assert summary["mesh"] == [4, 4, 4]
    assert "not stated" not in summary["units"].values()
    # What the stated supercell misses between its wave vectors is told as of one that was chosen.
    assert 0.01 < summary["third_order_error"] < 1
    assert not summary["third_order_reached_tolerance"]
    assert "it misses the 1 % wanted" in shown
    assert summary["mesh_settled"] is None
    # So is what that of second order misses.
    assert 0 < summary["interpolation_error_thz"] < summary["interpolation_error_max_thz"] < 2
    assert "second-order error" in shown
    assert "phono3py" in summary["provenance"]["versions"]
    kappa = np.array(summary["kappa_300K_W_mK"])
    assert kappa == pytest.approx(kappa[0, 0] * np.eye(3), abs=1e-6 * kappa[0, 0])
    table = yaml.safe_load((folder / "conductivity.yaml").read_text())
    assert [row["temperature"] for row in table["conductivities"]] == [200, 300, 400]
    assert table["conductivities"][1]["kappa"][0][0] == pytest.approx(kappa[0, 0], rel=1e-8)
    import phono3py

    again = phono3py.load(
        folder / "phono3py_params.yaml", fc3_filename=folder / "fc3.hdf5", fc2_filename=folder / "fc2.hdf5", log_level=0
    )
    again.mesh_numbers = [4, 4, 4]
    again.init_phph_interaction()
    again.run_thermal_conductivity(temperatures=[300], is_isotope=True)
    assert again.thermal_conductivity.kappa[0, 0, 0] == pytest.approx(kappa[0, 0], rel=1e-6)
    with h5py.File(folder / "kappa-m444.hdf5") as file:
        assert file["kappa"][1, 0] == pytest.approx(kappa[0, 0], rel=1e-8)
        assert file["gamma"].shape == (3, *file["frequency"].shape)
        # Every mode's part: its heat capacity, velocity and life.
        total = file["mode_kappa"][1].sum(axis=(0, 1)) / file["weight"][:].sum()
        assert total[0] == pytest.approx(kappa[0, 0], rel=1e-8)
    assert len(read(folder / "relaxed.extxyz")) == 2


def test_the_command_goes_on_after_an_interruption(inside, monkeypatch, capsys):
    write("MgO.extxyz", bulk("MgO", "rocksalt", a=4.2))
    monkeypatch.setattr(solution, "_PART", 3)
    ask = ["conductivity", "MgO.extxyz", *FEW, "--quiet"]
    whole, run = solution._kept, MeshInteraction.__call__
    calls = []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return run(self, *args)

    monkeypatch.setattr(MeshInteraction, "__call__", interrupted)
    assert main(ask) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert not Path("MgO-conductivity").exists()
    kept = list(Path(".MgO-conductivity.unfinished").iterdir())
    assert len(kept) == 1
    found = []
    monkeypatch.setattr(solution, "_kept", lambda *args: found.append(whole(*args)) or found[-1])
    assert main(ask) == 0
    assert [part is not None for part in found] == [True, False, False]
    assert json.loads(Path("MgO-conductivity/summary.json").read_text())["n_qpoints_resumed"] == 3
    assert {path.name for path in Path().iterdir()} == {"MgO.extxyz", "MgO-conductivity"}


def test_what_is_refused_in_the_end_leaves_nothing_and_stress_is_told(inside, monkeypatch, capsys):
    write("MgO.extxyz", bulk("MgO", "rocksalt", a=4.1))
    ask = ["conductivity", "MgO.extxyz", *FEW, "--no-relax"]
    with monkeypatch.context() as within:
        within.setattr(conductivity, "_LONGEST", 1e-3)  # every life counts as endless
        assert main(ask) == 2
    assert "scattered by nothing" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["MgO.extxyz"]
    assert main(ask) == 0
    assert "GPa are left" in capsys.readouterr().out
    assert json.loads(Path("MgO-conductivity/summary.json").read_text())["max_stress"] > 0.01


def test_the_command_refuses_early(inside, capsys, monkeypatch):
    slab = bulk("MgO", "rocksalt", a=4.2) * (1, 1, 2)
    slab.center(vacuum=10, axis=2)
    write("slab.extxyz", slab)
    assert main(["conductivity", "slab.extxyz"]) == 2
    assert "layer with vacuum" in capsys.readouterr().err
    write("MgO.extxyz", bulk("MgO", "rocksalt", a=4.2))
    assert main(["conductivity", "MgO.extxyz", "--mesh", "1", "1", "1"]) == 2
    assert "one wave vector" in capsys.readouterr().err
    assert main(["conductivity", "MgO.extxyz", "--mesh", "3", "4", "5"]) == 2
    assert "lacks symmetry" in capsys.readouterr().err
    box = molecule("H2O", vacuum=8.0, pbc=True)
    write("H2O.extxyz", box)
    for command in ("conductivity", "expansion"):
        assert main([command, "H2O.extxyz"]) == 2
        assert "the structure is a molecule with vacuum" in capsys.readouterr().err
        # Nobody is told which supercell of a layer would do, and then that none does.
        assert main([command, "slab.extxyz", "--supercell", "3"]) == 2
        assert "layer with vacuum" in capsys.readouterr().err
    assert main(["conductivity", "MgO.extxyz", "--third-supercell", "40"]) == 2
    assert "--third-tolerance" in capsys.readouterr().err
    write("bcc.extxyz", bulk("Al", "bcc", a=3.2))
    assert main(["conductivity", "bcc.extxyz", *FEW]) == 2
    assert "imaginary modes" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "phono3py", None)
    assert main(["conductivity", "MgO.extxyz", *FEW]) == 2
    assert "ase-phonax[conductivity]" in capsys.readouterr().err
    assert not list(Path().glob("*-conductivity"))
