"""Charges of crystals from their structure: what holds exactly, what DFPT says, and what is refused."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import write
from ase.spacegroup import crystal

from ase_phonax import (
    Frame,
    PhonaxCalculator,
    PhononSettings,
    PolarCalculator,
    exact_matrices,
    fine_tune,
    load_model,
    phonon_study,
    predict_charges,
    read_frames,
    train,
)
from ase_phonax.base.errors import InputError, ModelError, StructureError
from ase_phonax.cli import main
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.derivatives.stars import exact_operations
from ase_phonax.models.polarity import as_charges, dielectric_tensor, log_susceptibility, tensors
from ase_phonax.models.registry import find_card
from ase_phonax.phonons.polar import width_of
from ase_phonax.phonons.polar.prediction import _doubt
from ase_phonax.studies import charges
from ase_phonax.studies.section import Context
from ase_phonax.studies.sections import polar
from ase_phonax.training.targets import CRYSTAL_CHARGES

from .pair_potential import PairCalculator
from .test_dipoles import sheet
from .typed import typed

MAGNESIA = bulk("MgO", "rocksalt", a=4.21)


def quartz() -> Atoms:
    """Alpha quartz near its geometry by PBEsol."""
    return crystal(
        ("Si", "O"), [(0.47, 0, 1 / 3), (0.414, 0.268, 0.119)], spacegroup=154, cellpar=[4.91, 4.91, 5.43, 90, 90, 120]
    )


def test_charges_add_up_to_zero_and_have_the_symmetry_of_their_sites():
    atoms = quartz()
    found = predict_charges(atoms)
    assert np.abs(found.charges.sum(axis=0)).max() < 1e-12
    operations = exact_operations(atoms, 1e-5)
    assert len(operations.rotations) == 6
    for rotation, images in zip(operations.cartesian, operations.images, strict=True):
        np.testing.assert_allclose(found.charges[images], rotation @ found.charges @ rotation.T, atol=1e-6)
        np.testing.assert_allclose(found.dielectric, rotation @ found.dielectric @ rotation.T, atol=1e-6)
    assert np.linalg.eigvalsh(found.dielectric).min() > 1


@pytest.mark.parametrize("improper", [False, True])
def test_they_turn_with_the_crystal_and_an_inversion_leaves_them(improper):
    rng = np.random.default_rng(0)
    atoms = Atoms(
        "MgOSiO", scaled_positions=rng.random((4, 3)), cell=[[4.2, 0, 0], [0.6, 4.6, 0], [0.2, 0.9, 5.1]], pbc=True
    )
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation) * (-1 if improper else 1)
    turned = Atoms(atoms.numbers, atoms.positions @ rotation.T, cell=atoms.cell.array @ rotation.T, pbc=True)
    before, after = predict_charges(atoms), predict_charges(turned)
    # Antisymmetric parts are axial vectors, and turn as such.
    assert np.abs(before.charges - before.charges.swapaxes(1, 2)).max() > 1e-3
    np.testing.assert_allclose(after.charges, rotation @ before.charges @ rotation.T, atol=1e-9)
    np.testing.assert_allclose(after.dielectric, rotation @ before.dielectric @ rotation.T, atol=1e-8)


def test_they_are_near_dfpts():
    """PBEsol DFPT (Petretto et al.) of MgO, at their lattice: Z* 1.95 e, eps 3.2; both are in what was learned from."""
    found = predict_charges(MAGNESIA)
    assert found.doubt is None
    assert found.charges[0, 0, 0] == pytest.approx(1.96, abs=0.1)
    assert found.dielectric[0, 0] == pytest.approx(3.2, abs=0.3)
    polar = PolarCalculator(PhonaxCalculator("phonax-small"), MAGNESIA, found)
    assert polar.charges_from == "phonax-polar"
    lo = frequencies_thz(polar.get_dynamical_matrix(MAGNESIA, [0, 0, 0], direction=[1, 0, 0]))[0, -1]
    assert lo == pytest.approx(20.5, abs=1.5)  # measured: 21.5 THz


def test_components_and_tensors_are_one_another():
    assert tensors().shape == (9, 3, 3)
    np.testing.assert_allclose(np.einsum("kab,lab->kl", tensors(), tensors()), np.eye(9), atol=1e-12)
    eps = np.array([[3.0, 0.2, 0.0], [0.2, 2.5, -0.4], [0.0, -0.4, 6.0]])
    from ase_phonax.models.fields import as_components

    np.testing.assert_allclose(dielectric_tensor(as_components(log_susceptibility(eps))), eps, atol=1e-12)
    assert as_charges(np.eye(9)).shape == (9, 3, 3)
    with pytest.raises(ValueError, match=r"principal value 0\.9"):
        log_susceptibility(np.diag([2.0, 0.9, 3.0]))


def test_metals_are_doubted_and_what_is_no_crystal_of_known_elements_is_refused():
    assert "an odd number" in predict_charges(bulk("Al")).doubt
    assert "an odd number" in predict_charges(bulk("Al", cubic=True)).doubt  # of 52, but of the primitive cell's 13
    with pytest.raises(StructureError, match="of a layer"):
        predict_charges(sheet())
    with pytest.raises(StructureError, match="does not know"):
        predict_charges(bulk("UO", "rocksalt", a=4.9))
    with pytest.raises(InputError, match="gives no charges"):
        predict_charges(MAGNESIA, "phonax-small")


def test_a_metal_that_is_predicted_to_be_negative_among_oxygen_is_doubted():
    """Iron of FeO had -1.2 e, and nothing was said."""
    doubt = _doubt(MAGNESIA, np.array([-0.3, 0.3])[:, None, None] * np.eye(3), 3 * np.eye(3))
    assert "Mg has -0.3 e, and only positive oxidation states" in doubt
    assert _doubt(MAGNESIA, np.array([0.3, -0.3])[:, None, None] * np.eye(3), 3 * np.eye(3)) is None


def test_a_model_of_charges_has_no_energies_and_says_so():
    with pytest.raises(ModelError, match="has no energies"):
        PhonaxCalculator("phonax-polar")
    card = find_card("phonax-polar")
    assert card.purpose == "charges"
    assert len(card.elements) == 64
    assert load_model("phonax-polar").n_parameters == card.n_parameters


def test_labels_of_crystals_are_read_under_other_names_and_checked(tmp_path):
    atoms = MAGNESIA.copy()
    atoms.arrays["becs"] = np.array([1.9, -1.9])[:, None] * np.eye(3).ravel()
    atoms.info["eps"] = 3.1 * np.eye(3)
    write(tmp_path / "crystals.xyz", [atoms], format="extxyz")
    keys = {"crystal_charges": "becs", "dielectric_tensor": "eps"}
    (frame,) = read_frames(tmp_path / "crystals.xyz", keys=keys)
    np.testing.assert_allclose(frame.crystal_charges[0], 1.9 * np.eye(3))
    np.testing.assert_allclose(frame.log_susceptibility, np.log(2.1) * np.eye(3), atol=1e-12)
    atoms.info["eps"] = np.eye(3)
    write(tmp_path / "metal.xyz", [atoms], format="extxyz")
    with pytest.raises(InputError, match="principal value 1"):
        read_frames(tmp_path / "metal.xyz", keys=keys)
    charged = Frame(MAGNESIA, crystal_charges=np.array([1.9, -1.0])[:, None, None] * np.eye(3))
    molecule = Frame(Atoms("MgO", [[0, 0, 0], [0, 0, 1.8]]), crystal_charges=frame.crystal_charges)
    sums_up, is_periodic = CRYSTAL_CHARGES.checks[1], CRYSTAL_CHARGES.checks[0]
    with pytest.raises(InputError, match=r"add up to 0\.9 e"):
        sums_up([charged])
    with pytest.raises(InputError, match="is no crystal"):
        is_periodic([molecule])


def test_of_several_networks_the_mean_is_taken_and_the_spread_is_theirs():
    first = load_model("phonax-polar")
    rng = np.random.default_rng(3)
    moved = {
        module: {name: value * (1 + 0.02 * rng.normal(size=np.shape(value))) for name, value in own.items()}
        for module, own in first.parameters.items()
    }
    second = replace(first, name="another", parameters=moved)
    one, two, both = (predict_charges(quartz(), members) for members in (first, second, [first, second]))
    assert one.charges_spread is None
    assert one.expected_error is None
    assert both.expected_error[0] == pytest.approx(1.3 * np.abs(one.charges - two.charges).mean() / 2**0.5)
    assert both.model == "phonax-polar, another"
    assert both.charges == pytest.approx((one.charges + two.charges) / 2, abs=1e-12)
    assert both.charges_spread == pytest.approx(np.abs(one.charges - two.charges) / 2**0.5, abs=1e-12)
    assert np.abs(both.charges.sum(axis=0)).max() < 1e-12
    low, high = np.sort([np.linalg.eigvalsh(own.dielectric) for own in (one, two)], axis=0)
    assert (np.linalg.eigvalsh(both.dielectric) > 1).all()
    assert (low - 1e-9 <= np.linalg.eigvalsh(both.dielectric)).all()
    assert (np.linalg.eigvalsh(both.dielectric) <= high + 1e-9).all()


def test_a_network_learns_them(tmp_path):
    """Two rock salts, whose charges and tensors differ, by a small network: the loss falls by a factor of ten."""
    frames = [
        Frame(
            bulk(f"Mg{anion}", "rocksalt", a=a),
            crystal_charges=np.array([z, -z])[:, None, None] * np.eye(3),
            log_susceptibility=log_susceptibility(eps * np.eye(3)),
        )
        for anion, a, z, eps in (("O", 4.2, 1.95, 3.1), ("S", 5.2, 2.35, 5.0))
    ]
    settings = {
        "network": {
            "cutoff": 4.0,
            "hidden_irreps": "4x0e + 4x1o + 4x1e",
            "n_layers": 2,
            "l_max": 2,
            "radial_sizes": [8],
        },
        "loss": {"energy": 0, "forces": 0, "stress": 0, "curvature": 0, "crystal_charges": 1, "log_susceptibility": 1},
        "optimiser": {"epochs": 60, "batch_size": 2, "learning_rate": 3e-2},
        "run": {"output": str(tmp_path / "run"), "validate_every": 60, "dipole_width": 0.12},
        "data": {"valid": 0},
    }
    losses = []
    result = train(settings, frames=(frames, []), report=lambda row: losses.append(row.get("loss")))
    assert losses[-1] < 0.1 * losses[0]
    found = [predict_charges(frame.atoms, result.potential) for frame in frames]
    assert found[0].charges[0, 0, 0] < found[1].charges[0, 0, 0]
    assert np.trace(found[0].dielectric) < np.trace(found[1].dielectric)
    assert np.abs(found[0].charges.sum(axis=0)).max() < 1e-12
    # Where its reach ends is in its file, and in that of a model that begins as it, unless that says another.
    assert width_of(load_model(tmp_path / "run/model.h5")) == 0.12
    settings.pop("network")
    settings["optimiser"]["epochs"] = 1
    for stated, width in ((0.0, 0.12), (0.2, 0.2)):
        settings["run"] |= {"output": str(tmp_path / f"tuned{stated}"), "dipole_width": stated}
        assert width_of(fine_tune(result.potential, settings, frames=(frames, [])).potential) == width


def test_crystals_have_charges_by_default_where_the_model_and_the_crystal_allow():
    known, unknown = PhonaxCalculator("phonax-small"), PairCalculator()
    salt, metal = bulk("NaCl", "rocksalt", a=5.69), bulk("Al")
    charged, _ = charges.with_charges(known, salt, typed())
    assert isinstance(charged, PolarCalculator)
    assert charged.charges_from == "phonax-polar"
    assert charged.width == width_of(known.potential)
    for calc, atoms, typing, reason in [
        (known, salt, ["--born", "none"], "as asked"),
        (known, metal, [], "13 electrons in the primitive cell"),
        (known, sheet(), [], "a layer: they are predicted of crystals in three dimensions alone"),
        (unknown, salt, [], "where the reach of 'pair-potential' ends was not measured"),
    ]:
        settings = typed(*typing)
        found, because = charges.with_charges(calc, atoms, settings)
        assert found is calc
        section = polar.compute(Context(settings, SimpleNamespace(primitive=atoms), calc, charges_because=because))
        assert reason in section.because
        assert section.summary()["charges_from"] is None
    # Given, they are compared with what is predicted.
    predicted = predict_charges(salt)
    right = charged.correction
    assert charges.doubt_of_given(salt, right) is None
    turned = charges.doubt_of_given(salt, replace(right, charges=-predicted.charges))
    assert re.fullmatch(r"Na has -1\.\d\d e, where \+1\.\d\d is predicted", turned)
    assert "13 electrons" in charges.doubt_of_given(metal, right)
    # Asked for, the metal has some, with the doubt.
    assert "an odd number" in charges.with_charges(known, metal, typed("--born", "predict"))[0].doubt


def test_a_study_gives_the_calculator_with_its_charges():
    calc = PhonaxCalculator("phonax-small")
    study = phonon_study(MAGNESIA, calc, PhononSettings(supercell=2, mesh=(2, 2, 2), no_exact=True))
    polar = study.calculator(calc)
    with exact_matrices(study.phonopy, polar):
        found = study.phonopy.run_qpoints([[0.5, 0, 0.5]]).frequencies[0]  # fits the supercell
    assert found == pytest.approx(study.phonopy.run_qpoints([[0.5, 0, 0.5]]).frequencies[0], abs=1e-6)
    plain = phonon_study(MAGNESIA, calc, PhononSettings(supercell=2, mesh=(2, 2, 2), no_exact=True, born="none"))
    assert plain.calculator(calc) is calc


def test_the_command_predicts_says_where_charges_come_from_and_writes_infrared_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    MAGNESIA.write("magnesia.extxyz")
    assert main(["phonons", "magnesia.extxyz", "--supercell", "3", "--exact", "--output", "out"]) == 0
    printed = capsys.readouterr().out
    assert "charges of phonax-polar" in printed
    assert "nothing speaks for a metal" in printed
    assert "static ε" in printed
    assert "expected error" in printed
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["charges_from"] == "phonax-polar"
    assert summary["charges_doubted"] is None
    assert np.shape(summary["born_charges"]) == (2, 3, 3)
    assert 0 < summary["charges_expected_error_e"] < 0.1
    assert 0 < summary["dielectric_expected_error"] < 0.2
    lo = max(summary["gamma_directions"][0]["frequencies_thz"])
    assert lo > max(summary["gamma_frequencies_thz"]) + 5
    assert summary["infrared"]["modes"][0]["label"] == "T1u"
    # Bands are exact, with LO at Gamma.
    bands = yaml.safe_load((tmp_path / "out/band.yaml").read_text())
    assert bands["phonon"][0]["band"][-1]["frequency"] == pytest.approx(lo, abs=1e-4)
    assert {"infrared.yaml", "infrared.csv", "infrared.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert main(["phonons", "magnesia.extxyz", "--infrared-damping", "0.1", "--born", "none"]) == 2
    assert "--infrared-damping is given for a crystal without charges" in capsys.readouterr().err
