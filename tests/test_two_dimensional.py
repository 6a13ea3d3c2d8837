"""Layers: the vacuum found, the plane's own path and mesh, a cell that relaxes in its plane only."""

from itertools import permutations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, make_supercell, molecule, mx2
from ase.lattice import CRECT, OBL, RECT, SQR

from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.phonons.bands.plane_paths import layer_path
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.sampling.meshes import get_mesh
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.structures.layers import (
    VACUUM,
    as_layer,
    empty_gaps,
    in_plane_repeats,
    reduce_layer,
    require_single_layer,
    vacuum_axis,
)
from ase_phonax.structures.relaxation import relax

from .pair_potential import CUTOFF, PairCalculator

BORON_NITRIDE = graphene("BN", a=2.51)
CHOICES = {
    "as built": [[1, 0], [0, 1]],
    "60 degrees": [[1, 0], [1, 1]],
    "left-handed": [[0, 1], [1, 0]],
    "oblique": [[2, 1], [1, 1]],
    "reversed": [[-1, -1], [1, 0]],
    "long": [[1, 3], [0, 1]],
}


def close_packed(vacuum: float = 6.0) -> Atoms:
    """One hexagonal sheet for the pair potential, near its equilibrium."""
    sheet = fcc111("Cu", (1, 1, 1), a=2.75 * np.sqrt(2), vacuum=vacuum)
    sheet.set_constraint()
    return sheet


def with_vectors(atoms: Atoms, choice, order=(0, 1, 2), turn=None) -> Atoms:
    """The same layer with other in-plane vectors, cell vectors in another order, turned in space."""
    cell = atoms.cell.array.copy()
    cell[:2] = np.array(choice) @ cell[:2]
    result = Atoms(atoms.numbers, positions=atoms.positions, cell=cell[list(order)], pbc=atoms.pbc[list(order)])
    if turn is not None:
        result.rotate(*turn, rotate_cell=True)
    return result


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("layer", [graphene(a=2.46), BORON_NITRIDE, mx2("MoS2"), close_packed()], ids=str)
def test_the_axis_that_is_not_periodic_is_the_vacuum_wherever_it_stands(layer, order):
    given = with_vectors(layer, [[1, 0], [0, 1]], order)
    assert vacuum_axis(given) == order.index(2)
    found = as_layer(given, 6.0)
    assert all(found.atoms.pbc)
    assert found.axis == order.index(2)
    assert found.vacuum >= 8.0
    assert "treated as periodic" in found.note
    plane = [i for i in range(3) if i != found.axis]
    np.testing.assert_array_equal(found.atoms.cell[plane], given.cell[plane])
    np.testing.assert_allclose(found.atoms.get_all_distances(), given.get_all_distances(), atol=1e-12)


def test_periodic_cells_are_layers_by_their_vacuum_alone():
    layer = mx2("MoS2", vacuum=10.0)
    layer.pbc = True
    assert vacuum_axis(layer) == 2
    assert empty_gaps(layer)[2] == pytest.approx(20.0)
    assert as_layer(layer, 6.0).note == ""
    layer.positions[:, 2] += 11.0  # across the face of the cell: torn once wrapped
    layer.wrap()
    assert np.ptp(layer.positions[:, 2]) > 15
    assert vacuum_axis(layer) == 2
    graphite = bulk("C", "hcp", a=2.46, c=6.70)
    assert empty_gaps(graphite)[2] == pytest.approx(3.35)
    assert vacuum_axis(graphite) is None
    assert vacuum_axis(bulk("Si")) is None


def test_chains_molecules_and_crystals_are_no_layers():
    box = molecule("CH4", vacuum=6.0)
    assert vacuum_axis(box) is None
    box.pbc = True
    assert vacuum_axis(box) is None
    chain = Atoms("C", cell=[1.3, 12, 12], pbc=True)
    assert vacuum_axis(chain) is None
    with pytest.raises(StructureError, match="not a layer"):
        as_layer(chain, 6.0)
    flat = Atoms("C", cell=[[2, 0, 0], [4, 0, 0], [0, 0, 9]], pbc=(True, True, False))
    with pytest.raises(StructureError, match="span no plane"):
        as_layer(flat, 6.0)


@pytest.mark.parametrize("height", [0.0, 4.0, 9.0])
def test_a_vacuum_too_small_is_widened_and_the_layer_left_in_one_piece(height):
    layer = mx2("MoS2")
    layer.cell[2] = [0, 0, height]
    found = as_layer(layer, 6.0)
    assert found.vacuum == pytest.approx(VACUUM)
    assert "the vacuum is set to 15 Å" in found.note
    assert found.thickness == pytest.approx(np.ptp(layer.positions[:, 2]))
    np.testing.assert_allclose(found.atoms.get_all_distances(), layer.get_all_distances(), atol=1e-12)
    assert np.mean(found.atoms.get_scaled_positions()[:, 2]) == pytest.approx(0.5)


def test_the_vacuum_of_a_layer_torn_at_the_face_of_its_cell_is_measured_right():
    """Kills: the thickness taken between the smallest and the largest coordinate, here nearly the whole cell."""
    layer = mx2("MoS2", vacuum=4.5)
    layer.pbc = True
    layer.positions[:, 2] -= layer.positions[:, 2].mean()
    layer.wrap()
    found = as_layer(layer, 7.5)
    assert found.thickness == pytest.approx(3.19)
    assert found.vacuum == pytest.approx(VACUUM)
    assert np.ptp(found.atoms.positions[:, 2]) == pytest.approx(3.19)


def test_energies_do_not_depend_on_the_vacuum_nor_on_a_tilt_of_its_vector():
    calc = PairCalculator()
    straight = as_layer(close_packed(), CUTOFF)
    tilted = close_packed()
    tilted.pbc = True
    tilted.cell[2] += [3.0, 1.0, 4.0]
    found = as_layer(tilted, CUTOFF)
    assert "perpendicular" in found.note
    np.testing.assert_allclose(found.atoms.cell[:2] @ found.atoms.cell[2], 0, atol=1e-12)
    assert calc.get_potential_energy(found.atoms) == pytest.approx(calc.get_potential_energy(straight.atoms), abs=1e-12)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_k_and_m_of_a_hexagonal_lattice_lie_where_geometry_puts_them(choice, order):
    """K is equally far from three points of the reciprocal lattice and M from two, by hand, in any basis."""
    layer = as_layer(with_vectors(BORON_NITRIDE, choice, order, turn=(40, (1, 2, 3))), 6.0)
    path = layer_path(layer.atoms.cell[:], layer.axis)
    assert path.path == "GMKG"
    reciprocal = layer.atoms.cell.reciprocal()[:]
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), -1).reshape(-1, 3)
    steps = steps[steps[:, layer.axis] == 0]
    for name, count in (("G", 1), ("M", 2), ("K", 3)):
        q = path.special_points[name]
        assert q[layer.axis] == 0
        distances = np.linalg.norm((q - steps) @ reciprocal, axis=1)
        assert np.count_nonzero(distances < distances.min() + 1e-9) == count, name
    # A third of two reciprocal vectors, whatever they are: three times K is a reciprocal lattice vector, and K is not.
    np.testing.assert_allclose(3 * path.special_points["K"], np.rint(3 * path.special_points["K"]), atol=1e-9)
    # One corner of the zone in a straight line: M to K is half an edge of the hexagon, a third of |K| times 3/2.
    m, k = (path.special_points[name] @ reciprocal for name in "MK")
    assert np.linalg.norm(k - m) == pytest.approx(np.linalg.norm(k) / 2)


def test_k_of_the_standard_cell_is_one_third_one_third():
    layer = as_layer(graphene(a=2.46), 6.0)
    path = layer_path(layer.atoms.cell[:], 2)
    np.testing.assert_allclose(path.special_points["K"], [1 / 3, 1 / 3, 0], atol=1e-12)
    np.testing.assert_allclose(path.special_points["M"], [0.5, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("lattice", "expected"),
    [
        (SQR(3.0), "GXMG"),
        (RECT(3.0, 4.1), "GXSYG"),
        (CRECT(3.0, 70.0), "GXA1YG"),
        (OBL(3.0, 4.0, 75.0), "GYHCH1XG"),
    ],
    ids=str,
)
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_points_of_the_other_lattices_are_the_same_in_every_basis(lattice, expected, choice):
    """Each keeps its distances from the reciprocal lattice when the vectors are chosen anew, and is what it is
    called: the middle of a face of the zone lies as far from two lattice points, a corner from three (four).
    """
    cell = lattice.tocell().array
    cell[2] = [0, 0, 20]
    other = cell.copy()
    other[:2] = np.array(choice) @ cell[:2]
    assert layer_path(other, 2).path == expected

    def shells(cell):
        steps = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10), [0]), -1).reshape(-1, 3)
        reciprocal = np.linalg.inv(cell).T
        points = layer_path(cell, 2).special_points
        return {name: np.sort(np.linalg.norm((q - steps) @ reciprocal, axis=1))[:6] for name, q in points.items()}

    reference, found = shells(cell), shells(other)
    assert reference.keys() == found.keys()
    corners = {"SQR": "M", "RECT": "S", "CRECT": ("X", "A1"), "OBL": ("H", "H1")}[lattice.name]
    for name, distances in reference.items():
        np.testing.assert_allclose(found[name], distances, atol=1e-9, err_msg=name)
        nearest = np.count_nonzero(found[name] < found[name][0] + 1e-9)
        rectangular = lattice.name in ("SQR", "RECT")
        assert nearest == (1 if name == "G" else 2 if name not in corners else 4 if rectangular else 3), name


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_frequencies_at_k_do_not_depend_on_the_choice_of_vectors(choice):
    """The whole way through phonopy: coordinates read in the wrong basis give other frequencies."""
    frequencies = []
    for vectors in (CHOICES["as built"], choice):
        layer = as_layer(with_vectors(close_packed(), vectors), CUTOFF)
        phonopy = get_phonopy(layer.atoms, PairCalculator(), np.where(in_plane_repeats(2), 9, 1))
        bands = get_band_structure(phonopy, layer_path(layer.atoms.cell[:], 2, "GK", spacing=0.5))
        frequencies.append(bands.frequencies[0][-1])
    np.testing.assert_allclose(frequencies[1], frequencies[0], atol=1e-6)


def test_the_mesh_has_one_point_along_the_vacuum_and_the_supercell_one_cell():
    layer = as_layer(with_vectors(close_packed(), [[1, 0], [0, 1]], (2, 0, 1)), CUTOFF)
    repeated = in_plane_repeats(layer.axis)
    assert repeated == (False, True, True)
    phonopy = get_phonopy(layer.atoms, PairCalculator(), np.where(repeated, 4, 1))
    assert get_mesh(phonopy, 100.0, repeated=repeated).mesh_numbers.tolist() == [1, 42, 42]  # 100 Å / (2.75 Å cos 30°)
    require_single_layer(np.array([[1, 0, 0], [0, 3, 1], [0, 0, 3]]), 0)
    for matrix in (np.diag([2, 3, 3]), np.array([[1, 1, 0], [0, 3, 0], [0, 0, 3]])):
        with pytest.raises(InputError, match="crosses vacuum"):
            require_single_layer(matrix, 0)


@pytest.mark.parametrize("path", ["GQ", "GX", "M,K"])
def test_paths_with_unknown_points_are_refused(path):
    cell = as_layer(graphene(a=2.46), 6.0).atoms.cell[:]
    with pytest.raises(InputError, match=r"two-dimensional lattice|fewer than two points"):
        layer_path(cell, 2, path)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("transform", [[[2, 0], [0, 2]], [[1, 1], [-1, 2]], [[1, 0], [1, 2]]], ids=str)
def test_a_repeated_layer_reduces_to_its_primitive_cell_with_the_vacuum_kept(transform, order):
    matrix = np.eye(3, dtype=int)
    matrix[:2, :2] = transform
    single = as_layer(mx2("MoS2"), 6.0)
    repeated = with_vectors(make_supercell(single.atoms, matrix), [[1, 0], [0, 1]], order, turn=(25, (1, 1, 0)))
    layer = as_layer(repeated, 6.0)
    reduced = reduce_layer(layer)
    assert len(reduced.atoms) == 3
    assert reduced.axis == layer.axis
    np.testing.assert_array_equal(reduced.atoms.cell[layer.axis], layer.atoms.cell[layer.axis])
    assert reduced.atoms.cell.volume == pytest.approx(single.atoms.cell.volume)
    assert reduced.atoms.cell.handedness == layer.atoms.cell.handedness
    assert vacuum_axis(reduced.atoms) == layer.axis
    assert layer_path(reduced.atoms.cell[:], reduced.axis).path == "GMKG"
    # The atoms are those of the layer: each has its neighbours at the same distances.
    bonds = np.sort(reduced.atoms.get_all_distances(mic=True)[np.triu_indices(3, 1)])
    np.testing.assert_allclose(
        bonds, np.sort(single.atoms.get_all_distances(mic=True)[np.triu_indices(3, 1)]), atol=1e-6
    )


@pytest.mark.parametrize("turn", [None, (37, (1, 2, 3))])
def test_a_layer_relaxes_in_its_plane_and_keeps_the_vector_across_it(turn):
    """The equilibrium of a hexagonal sheet is that of one length; a filter's mask would fail once turned."""
    from scipy.optimize import minimize_scalar

    calc = PairCalculator()

    def sheet(length):
        cell = [[length, 0, 0], [-length / 2, length * np.sqrt(3) / 2, 0], [0, 0, 20.0]]
        return Atoms("Cu", cell=cell, pbc=True)

    best = minimize_scalar(
        lambda a: calc.get_potential_energy(sheet(a)), bounds=(2.5, 3.0), method="bounded", options={"xatol": 1e-9}
    )
    start = sheet(best.x + 0.06)
    if turn is not None:
        start.rotate(*turn, rotate_cell=True)
    relaxed, report = relax(start, calc, vacuum_axis=2)
    np.testing.assert_allclose(relaxed.cell.lengths()[:2], best.x, atol=1e-4)
    np.testing.assert_allclose(relaxed.cell[2], start.cell[2], atol=1e-12)
    assert report.max_stress < 1e-4
    assert relaxed.constraints == []
