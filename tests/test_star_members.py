"""Labels belong to a star of wave vectors: whichever member is named, B1 is B1."""

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal

from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.phonons.symmetry.irreps import find_irreps
from ase_phonax.structures.space_groups import get_operations

from .pair_potential import PairCalculator
from .test_mode_symmetry import oxide, perovskite, rutile

pytestmark = pytest.mark.filterwarnings("ignore:The supercell keeps")

CRYSTALS = {
    "CsCl": bulk("CsCl", "cesiumchloride", 4.1),
    "rutile": rutile(),
    "wurtzite, no inversion": bulk("ZnO", "wurtzite", 3.25, 5.2),
    "diamond, glides": bulk("Si", "diamond", 5.43),
    "zincblende": bulk("ZnS", "zincblende", 5.4),
    "perovskite": perovskite(),
    "anatase, body-centred": oxide(141, [3.78, 3.78, 9.51, 90, 90, 90], (0, 0, 0), (0, 0, 0.208)),
}
# Lines, planes and general points, some on the surface of a zone.
WAVES = [(0, 0.2, 0.2), (0.3, 0, 0), (0, 0, 0.3), (0.2, 0.2, 0.2), (0.1, 0.2, 0), (0.5, 0.2, 0), (0.375, 0.375, 0.75)]
MEMBERS = 5


def star(atoms, q, rng) -> list[np.ndarray]:
    """Some images of q and -q, some of them moved by a reciprocal lattice vector."""
    rotations, _ = get_operations(atoms)
    images = np.unique(np.round(np.concatenate([q @ rotations, -q @ rotations]), 9) + 0.0, axis=0)
    chosen = images[rng.choice(len(images), min(MEMBERS, len(images)), replace=False)]
    return [q, *(member + rng.integers(-1, 2, 3) for member in chosen)]


@pytest.mark.parametrize("name", CRYSTALS)
def test_every_member_of_a_star_has_the_same_labels_at_the_same_frequencies(name):
    """Kills tables looked up in the axes of the crystal, where mirror planes change names among members."""
    rng = np.random.default_rng(0)
    phonopy = get_phonopy(CRYSTALS[name], PairCalculator(like=0.0), 2)
    named = 0
    for q in np.array(WAVES, float):
        found = [find_irreps(phonopy, member) for member in star(CRYSTALS[name], q, rng)]
        for other in found[1:]:
            assert [(s.label, s.modes) for s in other.sets] == [(s.label, s.modes) for s in found[0].sets], other.qpoint
            assert other.note == found[0].note
            np.testing.assert_allclose(
                [s.frequency_thz for s in other.sets], [s.frequency_thz for s in found[0].sets], atol=1e-5
            )
        named += found[0].note is None or found[0].note.startswith("projective")
    assert named == len(WAVES), "a point group has no table in any setting"


def test_a_table_of_mm2_is_found_about_every_axis():
    """CsCl has B1, B2, A1 twice on the line from Gamma to M, rutile has A1, A2, B1, B2 on those along its edges."""
    phonopy = get_phonopy(bulk("CsCl", "cesiumchloride", 4.1), PairCalculator(like=0.0), 2)
    for q in ((0, 0.2, 0.2), (0, 0.2, -0.2), (0.2, 0.2, 0), (-0.2, 0, 0.2)):
        assert sorted(str(s.label) for s in find_irreps(phonopy, q).sets) == ["A1", "A1", "B1", "B1", "B2", "B2"]
    phonopy = get_phonopy(rutile(), PairCalculator(like=0.0), 2)
    for q in ((0.3, 0, 0), (0, 0.3, 0), (0.2, -0.2, 0)):
        assert {s.label for s in find_irreps(phonopy, q).sets} == {"A1", "A2", "B1", "B2"}


def test_rotations_of_the_table_are_those_of_the_wave_vector_in_other_axes():
    """transformation R transformation^-1 leads from the operations that keep q to the table's, for every member."""
    phonopy = get_phonopy(bulk("CsCl", "cesiumchloride", 4.1), PairCalculator(like=0.0), 2)
    for q in ((0, 0.2, 0.2), (0.2, -0.2, 0), (0.1, 0, -0.2)):
        found = find_irreps(phonopy, q)
        back = np.linalg.inv(found.transformation)
        for rotation in back @ found.rotations @ found.transformation:
            np.testing.assert_allclose(q @ rotation, q, atol=1e-9)


def test_labels_of_a_turned_and_shifted_crystal_are_the_same():
    """A cell of other vectors, turned, its origin elsewhere, is the same crystal."""
    atoms = crystal("SiO", [(0, 0, 0), (0.31, 0.31, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90])
    other = atoms.copy()
    other.rotate(37, (1, 2, 3), rotate_cell=True)
    other.positions += [0.3, 0.1, -0.2]
    first, second = (get_phonopy(x, PairCalculator(like=0.0), 2) for x in (atoms, other))
    for q in ((0.2, 0.2, 0), (0.3, 0, 0), (0, 0, 0.2)):
        labels = [[s.label for s in find_irreps(phonopy, q).sets] for phonopy in (first, second)]
        assert labels[0] == labels[1]
