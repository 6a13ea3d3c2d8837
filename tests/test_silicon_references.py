"""The committed reference data of silicon agree with themselves, and are made as their description says."""

import itertools
import json
import lzma
import sys
from pathlib import Path

import ase.io
import numpy as np
import phonopy
import pytest
from ase.build import bulk

SILICON = Path(__file__).resolve().parents[1] / "examples/silicon"
DATA = SILICON / "data"


@pytest.fixture(scope="module")
def scripts():
    """The modules of the example, which are no package."""
    sys.path.insert(0, str(SILICON))
    try:
        import _abinit
        import _dfpt
        import generate
    finally:
        sys.path.remove(str(SILICON))
    return {"abinit": _abinit, "dfpt": _dfpt, "generate": generate}


@pytest.fixture(scope="module")
def hessian():
    return phonopy.load(DATA / "phonopy_params.yaml", symmetrize_fc=False, log_level=0)


def frames(repeat):
    return ase.io.read(DATA / f"frames_{repeat}x{repeat}x{repeat}.extxyz", ":")


@pytest.mark.parametrize(("repeat", "n_frames"), [(1, 60), (2, 30), (3, 10)])
def test_frames_are_those_of_their_seeds(scripts, repeat, n_frames):
    found = frames(repeat)
    assert len(found) == n_frames
    atoms = bulk("Si", a=5.4349)
    for number, frame in enumerate(found):
        made = scripts["generate"].perturbed_cell(atoms, repeat, number)
        np.testing.assert_allclose(frame.cell.array, made.cell.array, atol=1e-7)
        np.testing.assert_allclose(frame.positions, made.positions, atol=1e-7)
        assert np.abs(frame.get_forces().sum(axis=0)).max() < 1e-6


def test_energies_of_frames_belong_to_their_forces_and_stresses():
    """Differences of energies by the mean gradients of both ends, which leave a rest of third order in the step.

    Only pairs with bonds within 0.2 Å of each other: further apart that rest is not small. Kills a stress or force of
    the other sign, another unit, or mixed rows and columns, and energies that are not those the forces derive from."""
    found, gradients = [], []
    for a, b in itertools.combinations(frames(1), 2):
        bonds = [frame.positions[1] - frame.positions[0] for frame in (a, b)]
        if np.linalg.norm(bonds[1] - bonds[0]) > 0.2:
            continue
        cell = (a.cell.array + b.cell.array) / 2
        strain = np.linalg.solve(cell, b.cell.array - a.cell.array)
        steps = (b.get_scaled_positions(wrap=False) - a.get_scaled_positions(wrap=False)) @ cell
        virial = sum(frame.get_stress(voigt=False) * frame.get_volume() for frame in (a, b)) / 2
        found.append(b.get_potential_energy() - a.get_potential_energy())
        gradients.append([np.sum(virial * strain), -np.sum((a.get_forces() + b.get_forces()) / 2 * steps)])
    factors, rest, *_ = np.linalg.lstsq(np.array(gradients), np.array(found))
    assert len(found) > 200
    np.testing.assert_allclose(factors, 1, atol=0.1)
    assert rest[0] < 0.01 * np.sum(np.square(found))


def test_constants_give_back_the_matrices_they_are_made_of(hessian):
    matrices = json.loads((DATA / "dynamical_matrices.json").read_text())
    computed = hessian.run_qpoints(matrices["q"], with_dynamical_matrices=True).dynamical_matrices
    np.testing.assert_allclose(computed, np.array(matrices["real"]) + 1j * np.array(matrices["imaginary"]), atol=5e-6)
    assert len(matrices["q"]) == 8


def test_silicon_has_the_frequencies_of_the_literature(hessian):
    """Inelastic neutrons, 300 K: 15.5 at Γ; 4.5, 12.3 and 13.9 at X; 3.4, 11.4, 12.6 and 14.7 THz at L."""
    gamma, x, l_point = hessian.run_qpoints([[0, 0, 0], [0.5, 0, 0.5], [0.5, 0, 0]]).frequencies
    np.testing.assert_allclose(gamma[3:], 15.5, atol=0.3)
    np.testing.assert_allclose(x, [4.5, 4.5, 12.3, 12.3, 13.9, 13.9], atol=0.6)
    np.testing.assert_allclose(l_point, [3.4, 3.4, 11.4, 12.6, 14.7, 14.7], atol=0.6)


def test_constants_fall_off_from_the_nearest_neighbours(hessian):
    """The matrices of -q in place of q would put the bonds on the wrong side of the atom."""
    supercell, first = hessian.supercell, hessian.primitive.p2s_map[0]
    apart = supercell.scaled_positions - supercell.scaled_positions[first]
    apart -= np.rint(apart)
    images = (apart[:, None] + np.array(list(itertools.product((-1, 0, 1), repeat=3)))) @ supercell.cell
    distances = np.linalg.norm(images, axis=2).min(axis=1)
    sizes = np.linalg.norm(hessian.force_constants[0], axis=(1, 2))
    bonds = np.isclose(distances, 5.4349 * np.sqrt(3) / 4, atol=1e-3)
    assert bonds.sum() == 4
    assert sizes[bonds].min() > 10 * sizes[~bonds & (distances > 0.1)].max()


def test_irreducible_matrices_give_the_whole_grid(scripts):
    """Random constants of a crystal without inversion, with the symmetry of its group and no other."""
    dfpt = scripts["dfpt"]
    crystal = dfpt.phonopy_of(bulk("GaAs", "zincblende", a=5.6))
    noise = np.random.default_rng(0).standard_normal((128, 128, 3, 3))
    crystal.force_constants = noise + noise.transpose(1, 0, 3, 2)
    crystal.symmetrize_force_constants_by_space_group()
    waves = dfpt.irreducible_waves(crystal)
    matrices = crystal.run_qpoints(waves, with_dynamical_matrices=True).dynamical_matrices
    assert np.abs(matrices.imag).max() > 0.1 * np.abs(matrices.real).max()
    found = dfpt.whole_grid(crystal, waves, matrices)
    np.testing.assert_allclose(found, crystal.force_constants[crystal.primitive.p2s_map], atol=1e-8)


def _program(folder, body):
    """A stand-in for abinit, which counts how often it is started."""
    program = folder / "program"
    program.write_text(f'#!/bin/sh\necho started >> "{folder}/starts"\n{body}\n')
    program.chmod(0o755)
    (folder / "Si.psp8.xz").write_bytes(lzma.compress(b"nothing"))
    return program


def test_finished_runs_are_kept_and_others_are_made_again(scripts, tmp_path):
    program = _program(tmp_path, "echo result > run.abo; echo Calculation completed.")
    abinit = scripts["abinit"].Abinit(str(program), tmp_path / "runs", tmp_path / "Si.psp8.xz")
    assert [abinit.run("a", "input 1"), abinit.run("a", "input 1")] == ["result\n"] * 2
    assert (tmp_path / "starts").read_text().count("started") == 1
    abinit.run("a", "input 2")
    assert (tmp_path / "starts").read_text().count("started") == 2


def test_runs_that_stopped_are_said_and_made_again(scripts, tmp_path):
    program = _program(tmp_path, "exit 3")
    abinit = scripts["abinit"].Abinit(str(program), tmp_path / "runs", tmp_path / "Si.psp8.xz")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="abinit stopped"):
            abinit.run("a", "input 1")
    assert (tmp_path / "starts").read_text().count("started") == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nstep 60 was not enough SCF cycles", "did not converge"),
        ("ITER STEP NUMBER 9 The minimal occupation factor is: 0.9", "highest band is not empty"),
    ],
)
def test_results_that_are_not_to_be_used_are_said_and_not_kept(scripts, tmp_path, line, said):
    program = _program(tmp_path, f"echo result > run.abo; echo {line}; echo Calculation completed.")
    abinit = scripts["abinit"].Abinit(str(program), tmp_path / "runs", tmp_path / "Si.psp8.xz")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=said):
            abinit.run("a", scripts["abinit"].SMEARED)
    assert not (tmp_path / "runs/a/finished.abi").exists()
