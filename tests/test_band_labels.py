"""Labels along a band path, on the lattices where seekpath's primitive cell is not the one given.

Everything runs over real supercells: the crystal's own on one side, one of seekpath's standard primitive
cell on the other. The potential reaches 4.5 Å and both supercells repeat after more than twice that, so
that both interpolations are exact and must agree to rounding.
"""

import numpy as np
import pytest
from ase import Atoms

from ase_phonax.phonons.bands.paths import mathtext_label, plain_label
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.structures.supercells import supercell_for_height

from .pair_potential import CUTOFF, PairCalculator
from .test_phonons import TOLERANCE_THZ, base_centred, gallium_oxide, standard_primitive, triclinic

pytestmark = pytest.mark.filterwarnings("ignore:The supercell keeps")
WRONG_THZ = 1.0  # below which a wrong path could pass for noise


def exact_phonopy(atoms: Atoms):
    return get_phonopy(atoms, PairCalculator(like=0.0), supercell_for_height(atoms.cell[:], 2.05 * CUTOFF))


def frequencies_at(phonopy, qpoints) -> np.ndarray:
    return np.sort(phonopy.run_qpoints(qpoints).frequencies, axis=1)


def at_labels(bands) -> list[tuple[str, np.ndarray]]:
    """(label, frequencies) of both ends of each segment, in order."""
    segments = bands.frequencies
    ends = [end for segment in segments for end in (segment[0], segment[-1])]
    connected = [False, *bands.path_connections[:-1]]  # segment i carries on from segment i - 1
    labels, names = list(bands.labels), []
    for carries_on in connected:
        names.append(names[-1] if carries_on else plain_label(labels.pop(0)))
        names.append(plain_label(labels.pop(0)))
    assert not labels
    return [(name, np.sort(end)) for name, end in zip(names, ends, strict=True)]


@pytest.fixture(params=[gallium_oxide, triclinic, base_centred], ids=["C2/m", "P1", "Amm2"], scope="module")
def case(request):
    """The crystal's phonopy, that of seekpath's standard primitive cell, and seekpath's table."""
    atoms = request.param()
    standard, found = standard_primitive(atoms)
    return exact_phonopy(atoms), exact_phonopy(standard), found


def test_every_label_has_the_frequencies_of_seekpaths_own_cell(case):
    mine, standard, found = case
    expected = [name for segment in found["path"] for name in segment]
    labelled = at_labels(get_band_structure(mine, spacing=0.5))
    assert [name for name, _ in labelled] == [plain_label(mathtext_label(name)) for name in expected]
    right = frequencies_at(standard, [found["point_coords"][name] for name in expected])
    for (name, frequencies), wanted in zip(labelled, right, strict=True):
        np.testing.assert_allclose(frequencies, wanted, atol=TOLERANCE_THZ, err_msg=name)


def test_every_point_between_labels_lies_on_the_line_in_seekpaths_own_cell(case):
    """Kills a path whose ends are equivalent to the right ones by a reciprocal vector, but not the way between."""
    mine, standard, found = case
    for (start, end), frequencies in zip(found["path"], get_band_structure(mine, spacing=0.2).frequencies, strict=True):
        line = np.linspace(found["point_coords"][start], found["point_coords"][end], len(frequencies))
        wanted = frequencies_at(standard, line)
        np.testing.assert_allclose(np.sort(frequencies, axis=1), wanted, atol=TOLERANCE_THZ, err_msg=f"{start}-{end}")


def test_phonopys_automatic_path_is_wrong_on_these_lattices(case):
    """The wrong implementation that the two tests above kill: seekpath's coordinates in another cell's basis.

    Where this fails phonopy has been repaired, and its path could be used.
    """
    mine, standard, found = case
    mine.auto_band_structure(npoints=3)
    labelled = at_labels(mine.band_structure)
    right = frequencies_at(standard, [found["point_coords"][name] for segment in found["path"] for name in segment])
    assert max(np.abs(f - wanted).max() for (_, f), wanted in zip(labelled, right, strict=True)) > WRONG_THZ
