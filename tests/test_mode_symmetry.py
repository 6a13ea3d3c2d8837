"""Labels and activities that textbooks print: they follow from the group, whatever the potential."""

from collections import Counter

import numpy as np
import phonopy.phonon.character_table
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from ase_phonax import PolarCalculator, predict_charges
from ase_phonax.base.errors import InputError, UnstableWarning
from ase_phonax.cli.tables import Table
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.phonons.symmetry.irreps import find_irreps, write_irreps
from ase_phonax.structures import space_groups
from ase_phonax.studies.section import Context
from ase_phonax.studies.sections import symmetry
from ase_phonax.studies.settings import PhononSettings

from .crystals import CRYSTALS
from .pair_potential import PairCalculator
from .typed import typed

pytestmark = pytest.mark.filterwarnings("ignore:The supercell keeps")

R_CORNER, X_FACE = (0.5, 0.5, 0.5), (0.5, 0, 0)


def perovskite() -> Atoms:
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms("CaTiO3", scaled_positions=sites, cell=[3.9] * 3, pbc=True)


def oxide(spacegroup, cellpar, metal, oxygen, symbol="Ti") -> Atoms:
    return space_groups.reduce_to_primitive(
        crystal((symbol, "O"), [metal, oxygen], spacegroup=spacegroup, cellpar=cellpar)
    )


def rutile() -> Atoms:
    return oxide(136, [4.6, 4.6, 2.95, 90, 90, 90], (0, 0, 0), (0.305, 0.305, 0))


def quartz() -> Atoms:
    return oxide(152, [4.91, 4.91, 5.4, 90, 90, 120], (0.47, 0, 1 / 3), (0.41, 0.27, 0.12), "Si")


def chiral(spacegroup: int, angle: float) -> Atoms:
    """General positions in a small group."""
    return oxide(spacegroup, [4.91, 4.91, 5.4, 90, 90, angle], (0.2, 0.1, 0.3), (0.41, 0.27, 0.45), "Si")


def phonopy_of(atoms: Atoms, supercell=1):
    return get_phonopy(atoms, PairCalculator(like=0.0), supercell)


def counted(atoms: Atoms, qpoint=(0, 0, 0)) -> Counter:
    """How often each "label activity" occurs."""
    return Counter(f"{s.label} {s.activity}".strip() for s in find_irreps(phonopy_of(atoms), qpoint).sets)


# From the site symmetries (Rousseau, Bauman and Porto, J. Raman Spectrosc. 10, 253 (1981)).
TEXTBOOK = {
    "diamond": (bulk("Si", "diamond", 5.43), {"T1u acoustic": 1, "T2g Raman": 1}),
    "rock salt": (bulk("NaCl", "rocksalt", 5.6), {"T1u acoustic": 1, "T1u IR": 1}),
    "zincblende": (bulk("ZnS", "zincblende", 5.4), {"T2 acoustic": 1, "T2 IR + Raman": 1}),
    "wurtzite": (
        bulk("ZnO", "wurtzite", 3.25, 5.2),
        {"A1 acoustic": 1, "E1 acoustic": 1, "A1 IR + Raman": 1, "E1 IR + Raman": 1, "E2 Raman": 2, "B1 silent": 2},
    ),
    "rutile": (
        rutile(),
        {"A2u acoustic": 1, "Eu acoustic": 1, "A1g Raman": 1, "B1g Raman": 1, "B2g Raman": 1, "Eg Raman": 1}
        | {"A2u IR": 1, "Eu IR": 3, "A2g silent": 1, "B1u silent": 2},
    ),
    "anatase": (
        oxide(141, [3.78, 3.78, 9.51, 90, 90, 90], (0, 0, 0), (0, 0, 0.208)),
        {"A2u acoustic": 1, "Eu acoustic": 1, "A1g Raman": 1, "B1g Raman": 2, "Eg Raman": 3}
        | {"A2u IR": 1, "Eu IR": 2, "B2u silent": 1},
    ),
    "perovskite": (perovskite(), {"T1u acoustic": 1, "T1u IR": 3, "T2u silent": 1}),
    "corundum": (
        oxide(167, [4.76, 4.76, 12.99, 90, 90, 120], (0, 0, 0.352), (0.306, 0, 0.25), "Al"),
        {"A2u acoustic": 1, "Eu acoustic": 1, "A1g Raman": 2, "Eg Raman": 5, "A2u IR": 2, "Eu IR": 4}
        | {"A1u silent": 2, "A2g silent": 3},
    ),
    "quartz": (
        quartz(),
        {"A2 acoustic": 1, "E acoustic": 1, "A1 Raman": 4, "A2 IR": 4, "E IR + Raman": 8},
    ),
    "triclinic": (CRYSTALS["triclinic, no symmetry"][0], {"A acoustic": 3, "A IR + Raman": 9}),
}


@pytest.mark.parametrize("name", TEXTBOOK)
def test_modes_at_gamma_are_those_of_the_textbooks(name):
    atoms, expected = TEXTBOOK[name]
    assert counted(atoms) == expected


@pytest.mark.parametrize(
    ("spacegroup", "angle", "expected"),
    [
        (143, 120, {"A acoustic": 1, "E acoustic": 1, "A IR + Raman": 5, "E IR + Raman": 5}),
        (76, 90, {"A acoustic": 1, "E acoustic": 1, "A IR + Raman": 5, "E IR + Raman": 5, "B Raman": 6}),
        # phonopy's own labels raise here: its table of 32 knows the axes of 321 only.
        (149, 120, {"A2 acoustic": 1, "E acoustic": 1, "A1 Raman": 6, "A2 IR": 5, "E IR + Raman": 11}),
    ],
    ids=["P3", "P4_1", "P312"],
)
def test_pairs_of_complex_representations_are_one_set(spacegroup, angle, expected):
    """Atoms in general positions carry the regular representation: dim copies of each, times three.

    Kills sets taken from complex characters, where E falls apart into two, each active half as often.
    """
    assert counted(chiral(spacegroup, angle)) == expected


def test_labels_do_not_need_the_noise_that_a_tolerance_would():
    """Kills degenerate sets by closeness: noise splits the acoustic three and Eg alike, and labels vanish."""
    noisy = phonopy_of(rutile())
    clean = find_irreps(noisy)
    rng = np.random.default_rng(3)
    noisy.force_constants = noisy.force_constants + 1e-4 * rng.normal(size=noisy.force_constants.shape)
    noise = max(abs(f) for f in noisy.run_qpoints([[0, 0, 0]]).frequencies[0] if abs(f) < 0.5)
    found = find_irreps(noisy, noise_thz=noise)
    assert clean.splitting_thz < 1e-5 < found.splitting_thz < 3 * noise
    assert Counter((s.label, s.activity) for s in found.sets) == Counter((s.label, s.activity) for s in clean.sets)
    assert None in noisy.run_irreps([0, 0, 0])._ir_labels, "a tolerance would have done here"
    noisy.force_constants = noisy.force_constants + 0.3 * rng.normal(size=noisy.force_constants.shape)
    with pytest.warns(UnstableWarning, match=r"differ by up to .* THz from those that the symmetry 4/mmm allows"):
        find_irreps(noisy, noise_thz=noise)


def test_labels_equal_phonopys_where_its_tolerance_finds_the_sets():
    for name in ("diamond", "perovskite", "anatase"):
        phonopy = phonopy_of(TEXTBOOK[name][0])
        theirs = phonopy.run_irreps([0, 0, 0])
        sets = [tuple(band + 1 for band in bands) for bands in theirs.band_indices]
        labels = dict(zip(sets, theirs._ir_labels, strict=True))
        ours = {s.modes: s.label for s in find_irreps(phonopy).sets if not s.acoustic}
        assert ours.items() <= labels.items()


def test_labels_at_the_corner_of_the_perovskite_zone_are_the_published_ones():
    """R1+ + R3+ + R4+ + 2 R5+ + R4- with Ti at the origin; all times A2u with Ca there, as here.

    Kills phonopy's `is_little_cogroup`, whose characters at a zone boundary are not those of
    representations: mean |chi|² of 0.33 to 0.97 instead of 1.
    """
    phonopy = phonopy_of(perovskite(), 2)
    found = find_irreps(phonopy, R_CORNER)
    assert Counter(s.label for s in found.sets) == {"A2u": 1, "Eu": 1, "T2u": 1, "T1u": 2, "T2g": 1}
    assert {(s.infrared, s.raman, s.activity) for s in found.sets} == {(None, None, "")}
    np.testing.assert_allclose(np.mean(np.abs(found.characters) ** 2, axis=1), 1, atol=1e-9)
    theirs = phonopy.run_irreps(R_CORNER, is_little_cogroup=True)
    assert np.mean(np.abs(theirs.characters) ** 2, axis=1).min() < 0.9


def test_labels_do_not_depend_on_where_the_atoms_were_put():
    """Kills characters about the user's origin, for which exp(2 pi i q.t) is anything."""
    for atoms, q in ((bulk("Si", "diamond", 5.43), R_CORNER), (perovskite(), R_CORNER), (perovskite(), X_FACE)):
        moved = atoms.copy()
        moved.positions += [0.11, 0.23, 0.37]
        assert counted(moved, q) == counted(atoms, q)
    assert counted(TEXTBOOK["diamond"][0], R_CORNER) == {"A1g": 1, "A2u": 1, "Eg": 1, "Eu": 1}  # L1, L2', L3, L3'


def test_a_screw_axis_pairs_modes_at_the_zone_boundary_and_splits_pairs_on_the_way():
    wurtzite = TEXTBOOK["wurtzite"][0]
    assert counted(wurtzite, (0, 0, 0.5)) == {"E1+E2": 2, "A1+B1": 2}
    assert counted(quartz(), (0, 0, 0.25)) == {"A": 9, "half of E": 18}


def test_without_a_symbol_there_is_a_reason(monkeypatch):
    found = find_irreps(phonopy_of(rutile()), X_FACE)
    assert {s.label for s in found.sets} == {None}
    assert "projective representations of mmm" in found.note
    monkeypatch.setitem(phonopy.phonon.character_table.character_table, "4/mmm", None)
    found = find_irreps(phonopy_of(rutile()))
    assert {s.label for s in found.sets} == {None}
    assert found.note == "phonopy has no character table for point group 4/mmm in this setting"
    assert Counter(s.activity for s in found.sets) == {"IR": 4, "Raman": 4, "silent": 3, "acoustic": 2}


def test_a_reciprocal_lattice_vector_is_gamma():
    assert counted(rutile(), (1, 0, -1)) == TEXTBOOK["rutile"][1]


@pytest.mark.parametrize("qpoint", [(0, 0), (0, np.nan, 0), (0, 0, np.inf)], ids=str)
def test_wave_vectors_that_are_none_are_refused(qpoint):
    with pytest.raises(InputError, match="not three finite numbers"):
        find_irreps(phonopy_of(bulk("NaCl", "rocksalt", 5.6)), qpoint)


# ---- file and table --------------------------------------------------------------------------------


def test_an_object_without_symmetry_has_the_modes_of_a_crystal_without():
    """phonopy's substitute for a dataset has no origin."""
    irreps = find_irreps(get_phonopy(bulk("ZnS", "zincblende", 5.4), PairCalculator(like=0.0), 1, is_symmetry=False))
    assert irreps.little_cogroup == "1"
    assert [(s.label, s.activity) for s in irreps.sets] == [("A", "acoustic")] * 3 + [("A", "IR + Raman")] * 3


def test_the_file_has_phonopys_fields_and_the_activities(tmp_path, monkeypatch):
    phonopy = phonopy_of(TEXTBOOK["anatase"][0])
    write_irreps([find_irreps(phonopy), find_irreps(phonopy, (0.5, 0.5, 0))], tmp_path / "irreps.yaml")
    gamma, other = yaml.safe_load((tmp_path / "irreps.yaml").read_text())["qpoints"]
    monkeypatch.chdir(tmp_path)
    phonopy.run_irreps([0, 0, 0]).write_yaml()
    theirs = yaml.safe_load((tmp_path / "irreps.yaml").read_text())
    assert theirs.keys() <= gamma.keys()
    assert gamma["rotations"] == theirs["rotations"]
    assert gamma["point_group"] == theirs["point_group"]
    by_bands = {tuple(mode["band_indices"]): mode for mode in gamma["normal_modes"]}
    for mode in theirs["normal_modes"]:
        if mode["ir_label"] != "None":  # phonopy's word for the acoustic three
            ours = by_bands[tuple(mode["band_indices"])]
            assert ours["ir_label"] == mode["ir_label"]
            assert ours["frequency"] == pytest.approx(mode["frequency"], abs=1e-6)
            signed = [a * np.cos(np.radians(b)) for a, b in ours["characters"]]
            np.testing.assert_allclose(signed, [a * np.cos(np.radians(b)) for a, b in mode["characters"]], atol=1e-4)
    assert other["q-position"] == [0.5, 0.5, 0]
    assert {mode["infrared"] for mode in other["normal_modes"]} == {None}


def test_the_section_prints_gamma_always_and_other_points_on_request(tmp_path):
    phonopy = phonopy_of(bulk("NaCl", "rocksalt", 5.6), 2)
    section = symmetry.compute(Context(typed("--irreps-q", "0.5", "0", "0.5"), phonopy))
    text = Table("title")
    section.describe(text)
    assert "at Γ, m-3m            T1u 0.000 (3) acoustic;  T1u " in str(text)
    assert "at q, 4/mmm           q = (0.5, 0, 0.5):  Eu " in str(text)
    section.write(tmp_path)
    assert section.files() == ("irreps.yaml",)
    assert (tmp_path / "irreps.yaml").exists()
    gamma = section.summary()["irreps"][0]
    assert [mode["label"] for mode in gamma["modes"]] == ["T1u", "T1u"]
    assert [mode["infrared"] for mode in gamma["modes"]] == [False, True]
    assert len(symmetry.compute(Context(typed(), phonopy)).irreps) == 1


def test_infrared_modes_without_charges_are_said_to_be_unsplit():
    words = "without charges (--born)"
    salt, diamond = phonopy_of(bulk("NaCl", "rocksalt", 5.6), 2), phonopy_of(bulk("C", "diamond", 5.0), 2)
    layer = {"repeated": (True, True, False)}  # in two dimensions they coincide with charges, too
    atoms = bulk("NaCl", "rocksalt", 5.6)
    charged = PolarCalculator(PairCalculator(), atoms, predict_charges(atoms), width=0.1)
    for filled, context, said in [
        (salt, {}, True),
        (salt, {"calc": charged}, False),
        (salt, layer, False),
        (diamond, {}, False),
    ]:
        text = Table("title")
        symmetry.compute(Context(PhononSettings(), filled, **context)).describe(text)
        assert (words in str(text)) == said


def test_the_section_refuses_wave_vectors_before_anything_is_computed():
    with pytest.raises(InputError, match="not three finite numbers"):
        symmetry.check(typed("--irreps-q", "0.5", "nan", "0"), bulk("NaCl", "rocksalt", 5.6))


def test_operations_that_form_no_group_have_no_labels():
    """At the edge of a tolerance some operations are found and others are not: that is no reason to fail."""
    from ase_phonax.phonons.symmetry.character_tables import NO_GROUP, find_table

    some = np.array([np.eye(3), np.diag([-1, -1, 1]), np.diag([1, -1, -1])], int)  # their product is missing
    found = find_table(np.eye(3), some)
    assert (found.symbol, found.rotation_symbols, found.rows) == (NO_GROUP, None, {})
