"""Normal modes of molecules: what textbooks say of them, and what holds exactly."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms, FixBondLength
from ase.io import read, write
from ase.vibrations import VibrationsData

from ase_phonax import PhonaxCalculator, Potential
from ase_phonax.base.errors import InputError, RelaxationError, StructureError
from ase_phonax.cli import main
from ase_phonax.molecules.axial_tables import axial_table
from ase_phonax.molecules.mode_files import mode_frames, write_molden
from ase_phonax.molecules.normal_modes import modes_of_vibrations, normal_modes
from ase_phonax.molecules.pictures import draw_sticks
from ase_phonax.molecules.point_groups import find_point_group
from ase_phonax.molecules.representations import character_table, representations
from ase_phonax.molecules.stationary import follow_imaginary, stationary_modes
from ase_phonax.molecules.thermochemistry import gas_properties
from ase_phonax.studies.molecule_report import molecule_report

from .molecules import deuterated, get_molecule, product_rule, richardson_row, springs, turned
from .pair_potential import PairCalculator

# Point group, vibrations, infrared, Raman: Herzberg, Infrared and Raman Spectra (1945); Wilson, Decius, Cross (1955);
# axes of Mulliken (1955).
TEXTBOOK = {
    "CH4": ("Td", "A1 + E + 2 T2", "T2", "A1 E T2"),
    "CO2": ("D∞h", "Σg+ + Σu+ + Πu", "Πu Σu+", "Σg+"),
    "H2O": ("C2v", "2 A1 + B2", "A1 B2", "A1 B2"),
    "NH3": ("C3v", "2 A1 + 2 E", "A1 E", "A1 E"),
    "C2H2": ("D∞h", "2 Σg+ + Πg + Σu+ + Πu", "Πu Σu+", "Πg Σg+"),
    "C2H4": ("D2h", "3 Ag + B2g + 2 B3g + Au + 2 B1u + 2 B2u + B3u", "B1u B2u B3u", "Ag B2g B3g"),
    "C2H6": ("D3d", "3 A1g + 3 Eg + A1u + 2 A2u + 3 Eu", "A2u Eu", "A1g Eg"),
    "C6H6": (
        "D6h",
        "2 A1g + A2g + 2 B2g + E1g + 4 E2g + A2u + 2 B1u + 2 B2u + 3 E1u + 2 E2u",
        "A2u E1u",
        "A1g E1g E2g",
    ),
    "C2H2F2": ("C2h", "5 Ag + Bg + 2 Au + 4 Bu", "Au Bu", "Ag Bg"),
    "SF6": ("Oh", "A1g + Eg + T2g + 2 T1u + T2u", "T1u", "A1g Eg T2g"),
    "BF3": ("D3h", "A1' + 2 E' + A2''", "A2'' E'", "A1' E'"),
    "C3H4_D2d": ("D2d", "3 A1 + B1 + 3 B2 + 4 E", "B2 E", "A1 B1 B2 E"),
    "H2O2": ("C2", "4 A + 2 B", "A B", "A B"),
    "HCN": ("C∞v", "2 Σ+ + Π", "Π Σ+", "Π Σ+"),
    "CH3CH2OH": ("Cs", "13 A' + 8 A''", "A' A''", "A' A''"),
    "CH3CONH2": ("C1", "21 A", "A", "A"),
    "I12": ("Ih", "Ag + Gg + 2 Hg + T1u + T2u + Gu + Hu", "T1u", "Ag Hg"),
    "N2": ("D∞h", "Σg+", "", "Σg+"),
}


def labels(sets):
    return set(" ".join(s.label for s in sets).split())


@pytest.mark.parametrize("name", TEXTBOOK)
@pytest.mark.parametrize("seed", [0, 1])
def test_point_groups_representations_and_activities_are_those_of_textbooks(name, seed):
    """In any orientation and order of atoms; a wrong choice of axes would exchange B1 and B2, B1u and B2u."""
    symbol, representation, infrared, raman = TEXTBOOK[name]
    modes = modes_of_vibrations(springs(turned(get_molecule(name), seed)))
    assert modes.point_group.symbol == symbol
    assert modes.representation == representation
    assert labels(s for s in modes.sets if s.infrared) == set(infrared.split())
    assert labels(s for s in modes.sets if s.raman) == set(raman.split())
    # Degenerate modes have one frequency, and every mode is of one kind.
    assert all(np.ptp(s.wavenumbers) < 1e-6 * max(s.wavenumbers) for s in modes.sets)
    assert min(s.purity for s in modes.sets) > 1 - 1e-9
    assert sorted(k for s in modes.sets for k in s.modes) == list(range(1, len(modes.wavenumbers) + 1))


def test_mutual_exclusion_where_there_is_an_inversion():
    for name in ("C2H4", "C6H6", "SF6", "CO2", "C2H2F2"):
        modes = modes_of_vibrations(springs(get_molecule(name)))
        assert not any(s.infrared and s.raman for s in modes.sets)


def test_the_symmetry_of_each_mode_is_what_the_operations_do_to_it():
    """Independent of projectors: operations act on the displacements, and the trace over a set is its character."""
    atoms = turned(molecule("C6H6"))
    modes = modes_of_vibrations(springs(atoms))
    group = modes.point_group
    table = character_table(group)
    roots = np.sqrt(atoms.get_masses())[:, None]
    for found in modes.sets:
        vectors = modes.displacements[[k - 1 for k in found.modes]] * roots
        traces = np.zeros(len(group.rotations))
        for g, (rotation, permutation) in enumerate(zip(group.rotations, group.permutations, strict=True)):
            moved = np.zeros_like(vectors)
            moved[:, permutation] = vectors @ rotation.T
            traces[g] = np.sum(moved * vectors)
        assert traces == pytest.approx(table[found.label], abs=1e-5)


@pytest.mark.parametrize("name", ["CH4", "C6H6", "C2H6", "SF6", "I12", "C3H4_D2d", "C2H4"])
def test_representations_are_complete_and_orthogonal(name):
    atoms = turned(get_molecule(name))
    found = representations(find_point_group(atoms))
    total = sum(r.projector for r in found)
    assert total == pytest.approx(np.eye(3 * len(atoms)), abs=1e-12)
    for a in found:
        for b in found:
            expected = a.projector if a is b else 0 * a.projector
            assert a.projector @ b.projector == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "symbol", "sigma"),
    [
        *(("CH4", "Td", 12), ("C6H6", "D6h", 12), ("C2H6", "D3d", 6), ("NH3", "C3v", 3), ("H2O", "C2v", 2)),
        *(("CO2", "D∞h", 2), ("HCN", "C∞v", 1), ("SF6", "Oh", 24), ("I12", "Ih", 60), ("C60", "Ih", 60)),
        *(("N2H4", "C2", 2), ("cyclobutane", "D2d", 4), ("C2F4", "D2h", 4), ("BF3", "D3h", 6), ("Si", "Kh", 1)),
        ("trans-butane", "C2h", 2),
    ],
)
def test_point_groups_and_symmetry_numbers(name, symbol, sigma):
    atoms = turned(get_molecule(name))
    atoms.set_initial_magnetic_moments(None)  # of radicals and atoms, which would be said
    group = find_point_group(atoms)
    assert (group.symbol, group.symmetry_number) == (symbol, sigma)


@pytest.mark.parametrize(
    ("n", "make", "symbol"),
    [
        (5, lambda ring: ring, "D5h"),
        (7, lambda ring: ring, "D7h"),
        (8, lambda ring: ring, "D8h"),
        (5, lambda ring: ring + twisted(5, np.pi / 5, 1.6), "D5d"),
        (4, lambda ring: ring + twisted(4, np.pi / 4, 1.6), "D4d"),
        (3, lambda ring: ring + twisted(3, 0.3, 1.6), "D3"),
        (6, lambda ring: ring + Atoms("O", positions=[[0, 0, 0.7]]), "C6v"),
        (3, lambda ring: ring + vanes(3), "C3h"),
        (3, lambda ring: ring + vanes(3) + Atoms("O", positions=[[0, 0, 1.0]]), "C3"),
        (4, lambda ring: puckered(4), "S4"),
        (2, lambda ring: Atoms("HFClBrHFClBr", positions=inverted()), "Ci"),
        # Of higher order than tables are printed for.
        (6, lambda ring: ring + vanes(6), "C6h"),
        (8, lambda ring: ring + twisted(8, np.pi / 8, 1.6), "D8d"),
        (12, lambda ring: scaled(ring, 2.0), "D12h"),
        (18, lambda ring: scaled(ring, 3.0), "D18h"),
        (8, lambda ring: puckered(8), "S8"),
        (7, lambda ring: ring + vanes(7) + Atoms("O", positions=[[0, 0, 1.0]]), "C7"),
    ],
)
def test_rare_groups(n, make, symbol):
    """Rings, crowns, propellers: groups that no common molecule has."""
    group = find_point_group(turned(make(twisted(n, 0.0, 0.0))))
    assert group.symbol == symbol
    table = character_table(group)
    traces = np.trace(group.rotations, axis1=1, axis2=2)
    # Rows are orthogonal, their norms are 1, or 2 where a complex pair counts as one; the vector is made of them.
    gram = np.array(list(table.values())) @ np.array(list(table.values())).T / len(traces)
    assert gram == pytest.approx(np.diag(np.diag(gram)), abs=1e-9)
    assert set(np.rint(np.diag(gram))) <= {1, 2}
    parts = [np.mean(traces * row) / norm for row, norm in zip(table.values(), np.diag(gram), strict=True)]
    assert parts == pytest.approx(np.rint(parts), abs=1e-9)
    assert sum(p * row for p, row in zip(parts, table.values(), strict=True)) == pytest.approx(traces, abs=1e-9)
    complete = sum(r.projector for r in representations(group))
    assert complete == pytest.approx(np.eye(3 * len(group.numbers)), abs=1e-9)


def twisted(n, angle, height):
    phi = 2 * np.pi * np.arange(n) / n + angle
    return Atoms(f"C{n}", positions=np.column_stack([1.5 * np.cos(phi), 1.5 * np.sin(phi), np.full(n, height)]))


def scaled(atoms, factor):
    atoms.positions *= factor
    return atoms


def vanes(n):
    blades = twisted(n, 0.5, 0.0)
    blades.positions *= 1.6
    return Atoms(f"F{n}", positions=blades.positions)


def puckered(n):
    ring = twisted(n, 0.0, 0.4)
    ring.positions[1::2, 2] *= -1
    other = twisted(n, 0.4, 1.0)
    other.positions[1::2, 2] *= -1
    return ring + Atoms(f"F{n}", positions=1.7 * other.positions)


def inverted():
    half = np.array([[0.9, 0.1, 0.2], [-0.3, 1.4, 0.5], [0.2, -0.4, 2.0], [1.9, 1.1, -1.0]])
    return np.concatenate([half, -half])


@pytest.mark.parametrize(
    "symbol", ["C3v", "C4v", "C6v", "C3h", "C4h", "D3", "D4", "D6", "D3h", "D4h", "D6h", "D2d", "D3d"]
)
def test_tables_from_the_formula_are_those_of_posym(symbol):
    """Rows as sets: which of two kinds of axes comes first is not the table's to say."""
    from posym import PointGroup as PosymGroup

    table = PosymGroup(symbol).ir_table
    classes = table.get_all_operations()
    rotations = np.array([o.matrix_representation for operations in classes.values() for o in operations])
    group = SimpleNamespace(symbol=symbol, rotations=rotations, positions=np.zeros((1, 3)), numbers=np.array([1]))
    theirs = {
        name: np.repeat(table[name].to_numpy(float), [len(o) for o in classes.values()]) for name in table.columns
    }
    ours = axial_table(group)
    assert set(ours) == set(theirs)
    for name, row in theirs.items():
        same = [other for other, mine in ours.items() if np.allclose(mine, row, atol=1e-6)]
        assert len(same) == 1
        # B1 and B2, and E1 and E2 with their signs, may be exchanged between the kinds only.
        assert same[0] == name or (name[0], same[0][0]) == ("B", "B")


def test_names_do_not_depend_on_orientation_where_as_many_atoms_lie_on_both_planes():
    """CH2Cl2: three atoms on each mirror. The heavier ones decide, whatever the order they come in."""
    for name in ("H2CCl2", "H2CF2"):
        found = set()
        for seed in range(4):
            modes = modes_of_vibrations(springs(turned(molecule(name), seed)))
            found.add(" ".join(f"{s.label} {s.wavenumber:.3f}" for s in modes.sets))
        assert len(found) == 1


@pytest.mark.parametrize(
    ("bend", "symbol", "others"), [(0.0, "D∞h", []), (0.012, "D∞h", ["C2v"]), (0.04, "C2v", ["D∞h"])]
)
def test_a_bent_line_is_named_with_what_else_it_could_be(bend, symbol, others):
    carbon_dioxide = Atoms("OCO", positions=[[0, 0, -1.16], [bend, 0, 0], [0, 0, 1.16]])
    group = find_point_group(turned(carbon_dioxide))
    assert group.symbol == symbol
    assert [other for _, other in group.neighbours] == others
    assert find_point_group(Atoms("OCO", positions=[[0, 0, -1.16], [5e-4, 0, 0], [0, 0, 1.16]]), 1e-4).symbol == "C2v"


def test_a_slightly_asymmetric_molecule_keeps_its_group_within_the_tolerance():
    """Modes are those of the Hessian as it is; labels say how well they fit."""
    bent = molecule("C6H6")
    bent.positions += np.random.default_rng(3).normal(scale=0.002, size=bent.positions.shape)
    modes = modes_of_vibrations(springs(bent))
    assert modes.point_group.symbol == "D6h"
    assert 1e-3 < modes.point_group.deviation < 0.02
    assert modes.representation == TEXTBOOK["C6H6"][1]
    assert 0.9 < min(s.purity for s in modes.sets) < 1 - 1e-9
    strict = modes_of_vibrations(springs(bent), tolerance=1e-4)
    assert strict.point_group.symbol == "C1"
    assert strict.wavenumbers == pytest.approx(modes.wavenumbers, abs=1e-9)


def test_a_tolerance_that_decides_the_group_is_reported():
    radical = molecule("CH3S")
    radical.set_initial_magnetic_moments(None)  # which would be said
    group = find_point_group(radical, tolerance=0.04)  # nearly C3v
    assert group.symbol == "Cs"
    assert [symbol for _, symbol in group.neighbours] == ["C3v"]
    assert not find_point_group(molecule("CH4")).neighbours
    with pytest.raises(InputError, match=r"tolerance of symmetry is 0\.5"):
        find_point_group(molecule("CH4"), 0.5)


def test_isotopes_lower_the_symmetry():
    atoms = molecule("CH4")
    masses = atoms.get_masses()
    masses[1] = 2.014
    atoms.set_masses(masses)
    modes = modes_of_vibrations(springs(atoms))
    assert modes.point_group.symbol == "C3v"
    assert modes.representation == "3 A1 + 3 E"


# ---- exact relations -------------------------------------------------------------------------------


def bond_energies(parameters, edge_vectors, species, exchange):
    """Morse bonds, and what holds angles: the length of the sum of the directions to the neighbours."""
    r = jnp.sqrt(jnp.sum(edge_vectors**2, axis=-1))
    x = jnp.clip((r - 3.0) / 3.0, 0.0, 1.0)
    fade = 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)
    other = exchange.gather(species)
    strength, length = parameters["strength"][other], parameters["length"][other]
    well = strength * ((1 - jnp.exp(-1.9 * (r - length))) ** 2 - 1)
    near = jnp.exp(-1.5 * (r - 1.1)) * fade
    bonds = exchange.aggregate(0.5 * well * fade)
    sums = exchange.aggregate(near[:, None] * edge_vectors / r[:, None])
    return bonds + 1.5 * jnp.sum(sums**2, axis=-1)


@pytest.fixture(scope="module")
def hydrocarbon():
    """A smooth force field with three-body forces; what it says of chemistry does not matter."""
    parameters = {"strength": np.array([2.0, 5.0]), "length": np.array([1.15, 1.25])}
    potential = Potential.from_function(
        bond_energies, cutoff=6.0, n_layers=1, numbers=[1, 6], parameters=parameters, name="bonds"
    )
    return PhonaxCalculator(potential)


@pytest.mark.parametrize("name", ["CH4", "C6H6"])
def test_the_product_rule_of_teller_and_redlich_is_exact(hydrocarbon, name):
    """prod(ω'/ω) = prod (m/m')^3/2 (M'/M)^3/2 (I'/I)^1/2 over all vibrations, whatever the potential (Redlich 1935)."""
    light, _ = stationary_modes(molecule(name), hydrocarbon)
    assert product_rule(light, normal_modes(deuterated(light.atoms), hydrocarbon)) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("name", ["CH4", "C2H2", "C2H4"])
def test_at_a_stationary_point_whole_body_motions_have_no_frequency(hydrocarbon, name):
    modes, report = stationary_modes(molecule(name), hydrocarbon)
    assert report.max_force < 1e-7
    assert len(modes.whole_body_cm1) == (5 if name == "C2H2" else 6)
    assert np.abs(modes.whole_body_cm1).max() < 0.1
    assert len(modes.wavenumbers) == 3 * len(modes.atoms) - len(modes.whole_body_cm1)


def test_a_soft_vibration_is_not_taken_for_a_rotation(hydrocarbon):
    """Far from a minimum rotations have frequencies above some vibration's: dropping the six lowest would be wrong."""
    atoms = molecule("C2H6")
    atoms.positions *= 1.03
    modes = normal_modes(atoms, hydrocarbon)
    assert np.abs(modes.whole_body_cm1).max() > np.abs(modes.wavenumbers).min()
    masses = np.sqrt(atoms.get_masses())[:, None]
    arms = atoms.positions - atoms.get_center_of_mass()
    for axis in np.eye(3):
        turn = np.cross(axis, arms) * masses
        overlaps = np.einsum("kia,ia->k", modes.displacements * masses, turn / np.linalg.norm(turn))
        assert np.abs(overlaps).max() < 1e-10


def test_hessians_equal_richardson_differences(hydrocarbon):
    """Extrapolated central differences of forces: truncation of order h^6."""
    atoms = molecule("C2H4")
    atoms.positions += np.random.default_rng(0).normal(scale=0.03, size=atoms.positions.shape)
    exact = hydrocarbon.get_hessian(atoms)
    for i, x in ((0, 0), (3, 2)):
        row = richardson_row(atoms, hydrocarbon, i, x)
        assert np.abs(row - exact[i, x]).max() < 1e-7 * np.abs(exact).max()


def test_modes_solve_the_equations_of_motion(hydrocarbon):
    modes, _ = stationary_modes(molecule("C2H4"), hydrocarbon)
    hessian = modes.vibrations.get_hessian_2d()
    masses = np.repeat(modes.atoms.get_masses(), 3)
    flat = modes.displacements.reshape(len(modes.wavenumbers), -1)
    assert (flat * masses) @ flat.T == pytest.approx(np.eye(len(flat)), abs=1e-10)
    eigenvalues = np.sign(modes.wavenumbers) * (modes.wavenumbers / (15.633302 * 33.35640952)) ** 2
    assert flat @ hessian @ flat.T == pytest.approx(np.diag(eigenvalues), abs=1e-6)


# ---- saddle points, gases, files -------------------------------------------------------------------


def square(side=2.75):
    return Atoms("Cu4", positions=side * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]))


def test_both_sides_of_a_saddle_point():
    """A square of atoms that attract each other folds, up or down, into one and the same tetrahedron."""
    calc = PairCalculator()
    modes, _ = stationary_modes(square(), calc)
    assert modes.point_group.symbol == "D4h"
    named = {k: s.label for s in modes.sets for k in s.modes}
    folding = [k for k in modes.imaginary if named[k] == "B2u"]
    assert len(folding) == 1
    up, down = follow_imaginary(modes, calc, folding[0])
    assert up.energy == pytest.approx(down.energy, abs=1e-6)
    assert up.energy < 0
    assert find_point_group(up.atoms).symbol == "Td"
    with pytest.raises(InputError, match="not imaginary"):
        follow_imaginary(modes, calc, len(modes.wavenumbers))


def test_an_atom_has_no_vibrations_and_is_a_gas_all_the_same():
    calc = PairCalculator()
    modes, _ = stationary_modes(Atoms("Cu"), calc)
    assert modes.point_group.symbol == "Kh"
    assert len(modes.wavenumbers) == 0
    assert len(modes.whole_body_cm1) == 3
    gas = gas_properties(modes, 0.0)
    # Sackur and Tetrode, spin 1/2 for an odd number of electrons.
    k, h, amu, t, p = 1.380649e-23, 6.62607015e-34, 1.66053906660e-27, 298.15, 101325
    volume = (2 * np.pi * modes.atoms.get_masses()[0] * amu * k * t / h**2) ** 1.5 * k * t / p
    assert gas.entropy * 1.602176634e-19 / k == pytest.approx(np.log(volume) + 2.5 + np.log(2), rel=1e-5)


def test_the_symmetry_number_lowers_the_entropy():
    """Found from the point group: sigma = 12 of methane, and 1 where a strict tolerance sees that it is bent."""
    bent = molecule("CH4")
    bent.positions += np.random.default_rng(0).normal(scale=1e-3, size=bent.positions.shape)
    symmetric, strict = (modes_of_vibrations(springs(bent), tolerance) for tolerance in (0.02, 1e-5))
    assert (symmetric.point_group.symbol, strict.point_group.symbol) == ("Td", "C1")
    difference = gas_properties(strict, 0.0).entropy - gas_properties(symmetric, 0.0).entropy
    assert difference == pytest.approx(8.617333262e-5 * np.log(12), rel=1e-6)


def test_frames_of_a_mode_move_along_it_and_come_back():
    modes = modes_of_vibrations(springs(molecule("H2O")))
    frames = mode_frames(modes, 2, amplitude=0.25, n_frames=8)
    assert frames[0].positions == pytest.approx(modes.atoms.positions)
    largest = np.linalg.norm(frames[2].positions - modes.atoms.positions, axis=1).max()
    assert largest == pytest.approx(0.25)
    assert frames[0].info["label"] == next(s.label for s in modes.sets if 2 in s.modes)
    with pytest.raises(InputError, match="there is no mode 4"):
        mode_frames(modes, 4)


def test_a_molden_file_holds_the_modes(tmp_path):
    modes = modes_of_vibrations(springs(molecule("NH3")))
    write_molden(modes, tmp_path / "modes.molden")
    sections = {}
    for line in (tmp_path / "modes.molden").read_text().splitlines():
        if line.startswith("["):
            sections[name := line.split("]")[0][1:]] = []
        else:
            sections[name].append(line)
    assert [float(x) for x in sections["FREQ"]] == pytest.approx(modes.wavenumbers, abs=1e-5)
    positions = np.array([line.split()[1:] for line in sections["FR-COORD"]], float)
    assert positions * 0.529177210903 == pytest.approx(modes.atoms.positions, abs=1e-6)
    third = np.array([line.split() for line in sections["FR-NORM-COORD"][11:15]], float)
    expected = modes.displacements[2] / np.linalg.norm(modes.displacements[2])
    assert sections["FR-NORM-COORD"][10] == "vibration 3"
    assert third == pytest.approx(expected, abs=1e-8)


def test_sticks_stand_where_the_activities_say():
    modes = modes_of_vibrations(springs(molecule("C6H6")))
    figure = draw_sticks(modes)
    for axes, wanted in zip(
        figure.axes,
        (
            [s for s in modes.sets if s.infrared],
            [s for s in modes.sets if s.raman],
            [s for s in modes.sets if not (s.infrared or s.raman)],
        ),
        strict=True,
    ):
        sticks = [line.get_xdata()[0] for line in axes.lines if line.get_ydata()[0] == 0]
        assert sticks == pytest.approx([s.wavenumber for s in wanted])


# ---- the door --------------------------------------------------------------------------------------


def test_what_is_no_neutral_molecule_is_refused(hydrocarbon):
    periodic = molecule("CH4", vacuum=5.0)
    periodic.pbc = True
    with pytest.raises(StructureError, match=r"set atoms\.pbc = False"):
        normal_modes(periodic, hydrocarbon)
    ion = molecule("CH4")
    ion.info["charge"] = 1
    with pytest.raises(StructureError, match="charge 1"):
        normal_modes(ion, hydrocarbon)
    pair = molecule("CH4") + molecule("CH4")
    pair.positions[5:] += 12
    with pytest.raises(StructureError, match="2 pieces, of 5, 5 atoms"):
        normal_modes(pair, hydrocarbon)
    with pytest.raises(InputError, match="no calculator"):
        normal_modes(molecule("CH4"))


@pytest.fixture
def metal(monkeypatch):
    calc = PairCalculator()
    monkeypatch.setattr("ase_phonax.cli.loading.load_calculator", lambda model, dtype: calc)
    return calc


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_a_dimer_has_one_vibration_and_five_whole_body_motions(metal, inside, capsys):
    write("dimer.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 1.5, 2.2]]))
    assert main(["molecule", "dimer.xyz", "--animate", "1"]) == 0
    names = {"summary.json", "vibrations.json", "relaxed.extxyz", "modes.molden", "sticks.png", "sticks.pdf"}
    assert {path.name for path in (inside / "dimer-molecule").iterdir()} == names | {"mode_1.extxyz"}
    found = summary_of(inside / "dimer-molecule")
    _, _, curvature = metal._derivatives(np.array([2.79992]), True)
    expected = np.sqrt(2 * curvature[0] / 63.546) * 15.633302 * 33.35641
    assert found["wavenumbers_cm1"] == pytest.approx([expected], rel=1e-3)
    assert found["whole_body_motions"] == 5
    assert found["point_group"] == "D∞h"
    assert found["ideal_gas"]["symmetry_number"] == 2
    vibrations = VibrationsData.read(inside / "dimer-molecule" / "vibrations.json")
    assert vibrations.get_frequencies()[-1].real == pytest.approx(expected, rel=1e-3)
    assert len(read(inside / "dimer-molecule" / "mode_1.extxyz", ":")) == 24
    assert "5 projected out" in capsys.readouterr().out


def test_accidental_degeneracies_are_named_by_their_modes_and_not_all_of_many():
    sets = [
        {
            "modes": [k + 1],
            "wavenumbers_cm1": [1000.0 + k],
            "label": "A",
            "infrared": True,
            "raman": True,
            "purity": 1.0,
        }
        for k in range(9)
    ]
    summary = {"formula": "X", "model": "m", "relaxed": False, "max_force": 0.0, "unrelaxed_max_force": 0.0}
    summary |= {"level_of_theory": "none", "model_errors": "", "licence": "MIT"}
    summary |= {"point_group": "C1", "symmetry_deviation": 0.0, "symmetry_tolerance": 0.02, "other_point_groups": []}
    summary |= {"representation": "9 A", "sets": sets, "whole_body_cm1": [0.0], "imaginary_modes": 0, "warnings": []}
    text = molecule_report(summary).text()
    assert "modes 1 (A) and 2 (A): 1.0 cm⁻¹ apart" in text
    assert text.count("near degeneracy") == 6
    assert "and 2 more pairs" in text


def test_a_saddle_point_is_named_and_followed(metal, inside, capsys):
    write("square.xyz", square())
    assert main(["molecule", "square.xyz"]) == 0
    found = summary_of(inside / "square-molecule")
    assert found["imaginary_modes"] >= 1
    assert len(found["wavenumbers_cm1"]) == 6
    text = capsys.readouterr().out
    assert "(B2u)" in text
    assert "Not a minimum" in text
    folding = next(k for s in found["sets"] if s["label"] == "B2u" for k in s["modes"])
    assert main(["molecule", "square.xyz", "--overwrite", "--follow", str(folding)]) == 0
    followed = summary_of(inside / "square-molecule")["followed"]
    assert [side["point_group"] for side in followed] == ["Td", "Td"]
    assert (inside / "square-molecule" / f"follow_{folding}_minus.extxyz").exists()


def test_atoms_that_do_not_move(metal, inside):
    """By a constraint in the file, or by --atoms; nothing is projected out then, and there is no symmetry."""
    chain = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.8]])
    write("free.xyz", chain)
    chain.set_constraint(FixAtoms([0]))
    write("fixed.traj", chain)
    assert main(["molecule", "fixed.traj", "--no-relax"]) == 0
    assert main(["molecule", "free.xyz", "--no-relax", "--atoms", "2"]) == 0
    for name in ("fixed", "free"):
        found = summary_of(inside / f"{name}-molecule")
        assert len(found["wavenumbers_cm1"]) == 3
        assert found["whole_body_motions"] == 0
        assert "point_group" not in found


def test_atoms_left_out_stay_in_relaxation_too(metal, inside):
    stretched = Atoms("Cu3", positions=[[0, 0, 0], [0, 0, 2.6], [0, 2.6, 1.3]])
    write("three.xyz", stretched)
    assert main(["molecule", "three.xyz", "--atoms", "3"]) == 0
    there = read(inside / "three-molecule" / "relaxed.extxyz")
    assert there.positions[:2] == pytest.approx(stretched.positions[:2], abs=1e-12)
    assert np.abs(there.positions[2] - stretched.positions[2]).max() > 0.05
    found = summary_of(inside / "three-molecule")
    assert found["max_force"] < 1e-6
    # Held at two atoms it turns about their axis freely, which is no saddle point.
    assert found["imaginary_modes"] == 0
    assert len(found["wavenumbers_cm1"]) == 3


def test_numbers_that_mean_nothing_are_refused(metal, inside, capsys):
    write("dimer.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 1.5, 2.2]]))
    for options, words in (
        (["--spin", "-1"], "total spin"),
        (["--spin", "0.3"], "total spin"),
        (["--atoms", "2-1"], "runs backwards"),
        (["--follow"], "leave it out"),
    ):
        assert main(["molecule", "dimer.xyz", *options]) == 2
        assert words in capsys.readouterr().err
        assert not (inside / "dimer-molecule").exists()
    for charge in ("1+", "plus"):
        write("ion.extxyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 1.5, 2.2]], info={"charge": charge}))
        assert main(["molecule", "ion.extxyz"]) == 2
        assert f"has charge {charge}" in capsys.readouterr().err


def test_constraints_other_than_held_atoms_are_refused():
    bound = molecule("CH4")
    bound.set_constraint(FixBondLength(0, 1))
    with pytest.raises(InputError, match="FixBondLength"):
        normal_modes(bound, PairCalculator())
    for indices in ([7], [-1], [], [0.5]):
        with pytest.raises(InputError, match="atoms that move"):
            normal_modes(molecule("CH4"), PairCalculator(), indices=indices)


def test_isotopes_on_the_command_line(metal, inside, capsys):
    write("dimer.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 1.5, 2.2]]))
    assert main(["molecule", "dimer.xyz"]) == 0
    assert main(["molecule", "dimer.xyz", "--mass", "Cu=254.184", "--output", "heavy"]) == 0
    light, heavy = (summary_of(inside / name)["wavenumbers_cm1"][0] for name in ("dimer-molecule", "heavy"))
    assert light / heavy == pytest.approx(2, rel=1e-4)
    assert main(["molecule", "dimer.xyz", "--mass", "2=65", "--output", "mixed"]) == 0
    assert summary_of(inside / "mixed")["point_group"] == "C∞v"
    assert main(["molecule", "dimer.xyz", "--mass", "H=2", "--output", "none"]) == 2
    assert "a mass is given for H" in capsys.readouterr().err
    assert main(["molecule", "dimer.xyz", "--atoms", "3", "--output", "none"]) == 2
    assert "names atom 3 of 2" in capsys.readouterr().err


def test_a_box_is_refused_and_forgotten_on_request(metal, inside, capsys):
    write("box.extxyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.8]], cell=[9, 9, 9], pbc=True))
    assert main(["molecule", "box.extxyz"]) == 2
    assert "--no-cell" in capsys.readouterr().err
    assert not (inside / "box-molecule").exists()
    assert main(["molecule", "box.extxyz", "--no-cell"]) == 0


def test_the_earlier_name_of_the_command_still_works(metal, inside):
    write("dimer.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 1.5, 2.2]]))
    assert main(["hessian", "dimer.xyz"]) == 0
    assert (inside / "dimer-molecule" / "summary.json").exists()


def test_a_molecule_that_comes_apart_is_refused():
    """Kills: the words for two molecules given, where one was."""
    apart = PairCalculator(turn=0.0, strength=1e8)  # repels at every distance
    with pytest.raises(RelaxationError, match="came apart while it was relaxed: there are 2 pieces"):
        stationary_modes(Atoms("Na2", positions=[[0, 0, 0], [0, 0, 4.4]]), apart)
