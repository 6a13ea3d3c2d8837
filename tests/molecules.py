"""Molecules of known symmetry, and Hessians that have it."""

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.vibrations import VibrationsData


def turned(atoms: Atoms, seed: int = 0) -> Atoms:
    """Anywhere, in any orientation, its atoms in any order: nothing may depend on these."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    copy = atoms[rng.permutation(len(atoms))]
    copy.positions = copy.positions @ turn.T + rng.normal(scale=3, size=3)
    return copy


def sulphur_hexafluoride() -> Atoms:
    return Atoms("SF6", positions=1.56 * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]))


def trans_difluoroethene() -> Atoms:
    """C2h: bond lengths and angles of ethene and vinyl fluoride."""
    half = np.array([[0.665, 0, 0], [1.36, 1.16, 0], [1.24, -0.92, 0]])
    return Atoms("CFHCFH", positions=np.concatenate([half, -half]))


def adamantane_like_cluster(symbol: str = "C") -> Atoms:
    """Twelve atoms of an icosahedron."""
    golden = (1 + 5**0.5) / 2
    corners = [p for s in (1, -1) for t in (golden, -golden) for p in ((0, s, t), (s, t, 0), (t, 0, s))]
    return Atoms(f"{symbol}12", positions=1.7 / 2 * np.array(corners))


def springs(atoms: Atoms) -> VibrationsData:
    """Springs between all pairs, stiffer where they are short, stiff across too: generic but for the symmetry.

    Across a bond there is a restoring force as well, so nothing but symmetry makes two frequencies equal. The
    energy is then not invariant under rotations, which are projected out as from any Hessian.
    """
    n = len(atoms)
    hessian = np.zeros((n, 3, n, 3))
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            bond = atoms.positions[j] - atoms.positions[i]
            r = np.linalg.norm(bond)
            stiffness = 40 * np.exp(-r) * (1 + 0.01 * (atoms.numbers[i] + atoms.numbers[j]))
            block = stiffness * (np.outer(bond, bond) / r**2 + 0.13 * np.exp(-0.3 * r) * np.eye(3))
            hessian[i, :, j] -= block
            hessian[i, :, i] += block
    return VibrationsData(atoms, hessian)


MOLECULES = {
    "SF6": sulphur_hexafluoride,
    "C2H2F2": trans_difluoroethene,
    "I12": adamantane_like_cluster,
}


def get_molecule(name: str) -> Atoms:
    return MOLECULES[name]() if name in MOLECULES else molecule(name)


def richardson_row(atoms: Atoms, calc, i: int, x: int) -> np.ndarray:
    """Row (n, 3) of the Hessian from central differences of forces, extrapolated: truncation of order h^6."""
    levels = []
    for step in (0.02, 0.01, 0.005):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, x] += sign * step
            moved.calc = calc
            forces.append(moved.get_forces())
        levels.append((forces[1] - forces[0]) / (2 * step))
    first = [(4 * levels[k + 1] - levels[k]) / 3 for k in range(2)]
    return (16 * first[1] - first[0]) / 15


def deuterated(atoms: Atoms) -> Atoms:
    """The same with deuterium for hydrogen."""
    heavy = atoms.copy()
    heavy.set_masses(np.where(heavy.numbers == 1, 2.014101778, heavy.get_masses()))
    return heavy


def product_rule(light, heavy) -> float:
    """prod(ω'/ω) over prod (m/m')^3/2 (M'/M)^3/2 (I'/I)^1/2 of two isotopologues: one (Redlich 1935)."""
    logarithm = np.sum(np.log(np.abs(heavy.wavenumbers / light.wavenumbers)))
    for atoms, sign in ((light.atoms, 1), (heavy.atoms, -1)):
        masses, inertia = atoms.get_masses(), atoms.get_moments_of_inertia()
        logarithm += sign * (1.5 * np.log(masses.sum()) + 0.5 * np.log(inertia).sum() - 1.5 * np.log(masses).sum())
    return float(np.exp(logarithm))
