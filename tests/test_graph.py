"""Graphs: neighbours against a search by hand, padding that changes nothing, the extended graph."""

import itertools

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import complete_cell

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import StructureError
from ase_phonax.derivatives.compiled import responses
from ase_phonax.derivatives.compiled.graphs import build_graph, pad, size_class
from ase_phonax.derivatives.compiled.reference import extended_graph
from ase_phonax.structures.neighbours import check_atoms, neighbour_list

from .crystals import CRYSTALS, triclinic

CUTOFF = 3.6
NUMBERS = (1, 6, 8, 14)
DOUBLE = np.dtype("float64")
SKEWED = [[3.0, 0, 0], [2.7, 1.6, 0], [-2.2, 2.9, 2.5]]


def outside_the_cell() -> Atoms:
    atoms = triclinic()
    atoms.positions += np.array([[2, -1, 0], [0, 0, 3], [-2, 0, 1], [0, 1, 0]]) @ atoms.cell.array
    return atoms


NASTY = {
    "molecule": Atoms("COH2", positions=[[0, 0, 0], [1.2, 0, 0], [-0.6, 0.9, 0], [-0.6, -0.9, 0.1]]),
    "one atom": Atoms("Si"),
    "left-handed": CRYSTALS["left-handed rutile"][0],
    "skewed triclinic": Atoms("SiO", scaled_positions=[[0, 0, 0], [0.3, 0.6, 0.45]], cell=SKEWED, pbc=True),
    "smaller than the cutoff": Atoms("H", cell=[0.9, 1.1, 1.3], pbc=True),
    "atoms outside the cell": outside_the_cell(),
    "pairs at exactly the cutoff": Atoms("SiO", positions=[[0.1, 0.2, 0.7], [1.9, 2.0, 2.5]], cell=[3.6] * 3, pbc=True),
    "slab, zero vector": Atoms(
        "SiO", positions=[[0, 0, 0], [1, 1, 1.5]], cell=[[2.4, 0, 0], [1.1, 2.5, 0], [0, 0, 0]], pbc=(1, 1, 0)
    ),
    "slab, vector shorter than the cutoff": Atoms(
        "SiO", positions=[[0, 0, -3], [1, 1, 9]], cell=[2.4, 2.5, 1.0], pbc=(1, 1, 0)
    ),
    "wire along y": Atoms("C2", positions=[[0, 0.1, 0], [0.3, 1.2, -1]], cell=[0, 2.3, 0], pbc=(0, 1, 0)),
}


def edges_by_hand(atoms: Atoms) -> set[tuple[int, ...]]:
    """(receiver, sender, shift) of every pair within the cutoff, by trying all cells that could reach."""
    cell = complete_cell(atoms.cell.array)
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    spread = np.ptp(np.linalg.solve(cell.T, atoms.positions.T), axis=1)
    reach = np.where(atoms.pbc, np.ceil(CUTOFF / heights + spread), 0).astype(int)
    found = set()
    for shift in itertools.product(*(range(-k, k + 1) for k in reach)):
        vectors = atoms.positions[None] + shift @ cell - atoms.positions[:, None]
        # Pairs at exactly the cutoff, where all is zero, do not count: rounding would find them from one end only.
        near = np.linalg.norm(vectors, axis=-1) < CUTOFF - 1e-9
        if shift == (0, 0, 0):
            np.fill_diagonal(near, False)
        found.update((i, j, *shift) for i, j in np.argwhere(near).tolist())
    return found


@pytest.mark.parametrize("name", NASTY)
def test_neighbours_equal_a_search_by_hand(name):
    receivers, senders, shifts = neighbour_list(NASTY[name], CUTOFF)
    rows = list(map(tuple, np.column_stack([receivers, senders, shifts]).tolist()))
    assert len(set(rows)) == len(rows), "an edge is listed twice"
    assert set(rows) == edges_by_hand(NASTY[name])
    assert rows == sorted(rows), "the order must not depend on how the list was found"


def test_atoms_without_neighbours_stay_in_the_graph():
    # Trap: a graph built from its edges alone loses them, and an empty one fails.
    atoms = Atoms("HSi", positions=[[0, 0, 0], [0, 0, 50]])
    graph = pad(build_graph(atoms, CUTOFF, NUMBERS))
    assert graph.n_node.tolist()[0] == 2
    assert graph.nodes["species"][:2].tolist() == [0, 3]
    assert graph.n_edge.tolist()[0] == 0


def test_size_classes_hold_what_is_asked_and_waste_at_most_a_quarter():
    classes = [size_class(n) for n in range(3000)]
    assert all(size >= n for n, size in enumerate(classes))
    assert all(a <= b for a, b in itertools.pairwise(classes))
    assert all(size_class(size) == size for size in classes)
    assert all(size < 1.25 * n for n, size in enumerate(classes) if n > 4)
    assert len(set(classes)) < 45


def test_padding_leaves_room_and_joins_padding_with_padding_only():
    for atoms in (*NASTY.values(), *(atoms for atoms, _ in CRYSTALS.values())):
        graph = build_graph(atoms, CUTOFF, NUMBERS)
        padded = pad(graph)
        n, n_edges = len(atoms), len(graph.senders)
        assert len(padded.nodes["species"]) > n
        assert len(padded.senders) >= 1.1 * n_edges, "a moving structure compiles again only beyond 10 %"
        assert np.array_equal(padded.senders[:n_edges], graph.senders)
        assert min(padded.senders[n_edges:].min(), padded.receivers[n_edges:].min()) >= n


def test_energies_and_forces_of_padded_graph_equal_unpadded(untrained):
    graph = build_graph(triclinic(), CUTOFF, NUMBERS)
    with jax.enable_x64(True):
        results = [
            responses.energy_forces_stress(
                untrained.node_energies, CUTOFF, untrained.parameters, responses.cast(g, DOUBLE)
            )
            for g in (graph, pad(graph, 20, 3 * len(graph.senders)))
        ]
    n, (plain, (energies, forces, virial)) = len(triclinic()), results
    assert np.abs(energies[:n] - plain[0]).max() < 1e-14
    assert np.abs(forces[:n] - plain[1]).max() < 1e-13
    assert np.abs(virial - plain[2]).max() < 1e-12
    # Exact zeros, never NaN: padding edges of zero length would show here.
    assert not np.any(energies[n:])
    assert not np.any(forces[n:])


def test_hessian_of_padded_graph_equals_unpadded(untrained):
    # Kills 0 * NaN: padding edges of zero length, whose second derivatives are infinite.
    atoms = triclinic()[[0, 1, 2]]
    graph = build_graph(atoms, CUTOFF, NUMBERS)
    rows = np.arange(3)
    with jax.enable_x64(True):
        plain, padded = (
            responses.hessian(untrained.node_energies, CUTOFF, untrained.parameters, responses.cast(g, DOUBLE), rows)
            for g in (graph, pad(graph))
        )
    # The edge expansion pads differently: the edges of each pair of atoms.
    slots = PhonaxCalculator(untrained).get_hessian(atoms)
    assert np.abs(padded - plain).max() < 1e-13 * np.abs(plain).max()
    assert np.abs(slots - plain).max() < 1e-12 * np.abs(plain).max()


def test_the_extended_graph_of_silicon_has_the_known_size():
    # Counted independently: 2 atoms, r_c = 5 Å, two hops reach 172 atoms.
    atoms = bulk("Si", "diamond", 5.431)
    extended, home, cells = extended_graph(build_graph(atoms, 5.0, (14,)), 2)
    assert len(home) == 172
    assert home[:2].tolist() == [0, 1]
    assert not cells[:2].any()
    positions = atoms.positions[home] + cells @ atoms.cell.array
    assert np.abs(extended.nodes["positions"] - positions).max() < 1e-14
    assert len({(h, *c) for h, c in zip(home.tolist(), cells.tolist(), strict=True)}) == 172
    lengths = np.linalg.norm(positions[extended.senders] - positions[extended.receivers], axis=1)
    assert lengths.max() < 5.0
    # Atoms within one hop have all their neighbours: 28 within 5 Å.
    one_hop = len(extended_graph(build_graph(atoms, 5.0, (14,)), 1)[1])
    counts = np.bincount(extended.receivers, minlength=172)
    assert (counts[:one_hop] == 28).all()
    assert not counts[one_hop:].any()


BAD = {
    "no atoms": (Atoms(), "the structure has no atoms"),
    "position": (Atoms("HO", positions=[[0, 0, 0], [0, np.nan, 1]]), "the position 1 is not a finite number"),
    "infinite cell": (Atoms("H", cell=[3, np.inf, 3], pbc=True), "the cell vector 1 is not a finite number"),
    "element": (Atoms("HUO", positions=np.eye(3) * 2), "the model 'tiny' does not know U\n"),
    "no cell": (Atoms("Si", pbc=True), "has no volume but pbc is"),
    "flat cell": (Atoms("Si", cell=[[2, 0, 0], [0, 2, 0], [2, 2, 0]], pbc=True), "has no volume but pbc is"),
    "half a cell": (Atoms("Si", cell=[3, 3, 0], pbc=(0, 1, 1)), "has no volume but pbc is"),
}


@pytest.mark.parametrize("name", BAD)
def test_structures_that_cannot_be_computed_are_refused(name):
    atoms, text = BAD[name]
    with pytest.raises(StructureError, match=text) as error:
        check_atoms(atoms, NUMBERS, "tiny")
    assert error.value.why
    assert error.value.remedy


@pytest.mark.parametrize(
    ("atoms", "text"),
    [
        (Atoms("HO", positions=[[0, 0, 0], [0, 0, 0]]), r"atoms 0 and 1 \(image \[0, 0, 0\]\) are 0.0000 Å apart"),
        (Atoms("H", cell=[0.2, 3, 3], pbc=True), r"atoms 0 and 0 \(image \[-1, 0, 0\]\) are 0.2000 Å apart"),
    ],
    ids=["twice the same atom", "its own image"],
)
def test_atoms_on_top_of_each_other_are_named(atoms, text):
    with pytest.raises(StructureError, match=text):
        build_graph(atoms, CUTOFF, NUMBERS)
