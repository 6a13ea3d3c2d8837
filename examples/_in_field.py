"""A molecule by PBE/def2-SVP in uniform electric fields, which give dipoles, polarizabilities and Born charges.

Needs `pip install pyscf ase`. The field enters the core Hamiltonian: H = H0 - mu F, with mu = sum_A Z_A R_A - sum_e r_e
in atomic units. Differences of forces in opposite fields give Born charges, those of dipoles the polarizability, second
differences of forces the derivatives of the polarizability.
"""

import os
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import _molecular_dft as molecular_dft
import numpy as np
from ase import Atoms
from pyscf import dft, gto
from pyscf.dft import numint

FIELD_UNIT = molecular_dft.EV_PER_HARTREE / molecular_dft.ANGSTROM_PER_BOHR  # V/Å per atomic unit: eV/(e Å)

PAIRS = ((0, 1), (0, 2), (1, 2))  # of axes
TRIES = 3  # rounding of the grid's sums is near the tolerance: where the last cycle falls beyond it, another goes on


class InField:
    """One molecule by PBE/def2-SVP with density fitting, in one field after the other.

    Args:
        atoms: neutral and closed-shell.
        grid_level: PySCF's size of the integration grid. Against 3, level 1 changes ethanol's Born charges by 3e-4 e
            and its polarizability by 1e-5 e²Å²/eV, in 0.4 of the time; level 0 by 0.015 and 5e-4.
    """

    def __init__(self, atoms: Atoms, grid_level: int) -> None:
        self.molecule = gto.M(
            atom=list(zip(atoms.numbers.tolist(), atoms.positions, strict=True)),
            unit="Ang",
            basis="def2-svp",
            verbose=0,
        )
        self.grid_level = grid_level
        self.positions_au = self.molecule.atom_coords()
        self.charges = self.molecule.atom_charges()
        with self.molecule.with_common_orig((0.0, 0.0, 0.0)):
            self.r = self.molecule.intor("int1e_r")  # (3, n, n)
            self.gradient_r = self.molecule.intor("int1e_irp").reshape(3, 3, *self.r.shape[1:])  # <mu| r_a d_b |nu>
        self.densities: dict[tuple[float, ...], np.ndarray] = {}
        self.fitting = None
        self.integrator = _KeptOrbitals()

    def __call__(self, field: np.ndarray) -> dict[str, np.ndarray]:
        """Energy, forces and dipole in a field given in atomic units.

        Raises:
            RuntimeError: the self-consistent field did not converge.
        """
        mean_field, density = self._solved(field)
        gradient = mean_field.nuc_grad_method()
        gradient.grid_response = True
        forces = -gradient.kernel() + self._forces_of_the_field(field, density)
        return {
            "field": field * FIELD_UNIT,
            "energy": np.array(mean_field.e_tot * molecular_dft.EV_PER_HARTREE),
            "forces": forces * molecular_dft.FORCE_UNIT,
            "dipole": self._dipole(density),
        }

    def dipole(self) -> np.ndarray:
        """(3,) without a field [eÅ]: a fraction of the time, since no forces are computed."""
        _, density = self._solved(np.zeros(3))
        return self._dipole(density)

    def _dipole(self, density: np.ndarray) -> np.ndarray:
        electrons = np.einsum("aij,ji->a", self.r, density)
        return (self.charges @ self.positions_au - electrons) * molecular_dft.ANGSTROM_PER_BOHR

    def _solved(self, field: np.ndarray) -> tuple[dft.rks.RKS, np.ndarray]:
        """The self-consistent field and its density matrix."""
        mean_field = dft.RKS(self.molecule, xc="pbe").density_fit()
        if self.fitting is None:
            self.fitting, self.grids = mean_field.with_df.build(), mean_field.grids
            self.grids.level = self.grid_level
        mean_field.with_df, mean_field.grids, mean_field._numint = self.fitting, self.grids, self.integrator
        mean_field.conv_tol = molecular_dft.CONVERGENCE["conv_tol"]
        mean_field.conv_tol_grad = molecular_dft.CONVERGENCE["conv_tol_grad"]
        core = mean_field.get_hcore() + np.einsum("a,aij->ij", field, self.r)
        mean_field.get_hcore = lambda *_: core
        nuclear = self.molecule.energy_nuc() - np.einsum("k,kx,x->", self.charges, self.positions_au, field)
        mean_field.energy_nuc = lambda *_: nuclear
        guess = self._guess(field)
        for _ in range(TRIES):
            mean_field.kernel(dm0=guess)
            if mean_field.converged:
                break
            guess = mean_field.make_rdm1()
        if not mean_field.converged:
            raise RuntimeError("no self-consistency: its forces would be wrong")
        density = mean_field.make_rdm1()
        self.densities[tuple(field)] = density
        return mean_field, density

    def _guess(self, field: np.ndarray) -> np.ndarray | None:
        """The density linear in the field, from those known along each axis: 6 cycles in place of 10."""
        none = self.densities.get((0.0, 0.0, 0.0))
        if none is None:
            return None
        guess = none.copy()
        for a, size in enumerate(field):
            along = {
                known[a]: density for known, density in self.densities.items() if known[a] and known == _only(known, a)
            }
            if size and along:
                nearest = min(along, key=lambda there: abs(there - size))
                guess += (along[nearest] - none) * (size / nearest)
        return guess

    def _forces_of_the_field(self, field: np.ndarray, density: np.ndarray) -> np.ndarray:
        """(n, 3) what PySCF's gradient lacks: nuclei, and basis functions that move with them, in the field."""
        forces = np.outer(self.charges, field)
        # d<mu|r_a|nu>/dR_b of a function mu at R is -<d_b mu|r_a|nu>; r_a d_b acts on the right function here.
        along = np.einsum("a,abij->bij", field, self.gradient_r)
        for k, (_, _, begin, end) in enumerate(self.molecule.aoslice_by_atom()):
            forces[k] += 2 * np.einsum("bij,ji->b", along[:, :, begin:end], density[begin:end])
        return forces


class _KeptOrbitals(numint.NumInt):
    """PySCF's integrator, which keeps the basis functions on the grid: a quarter of the time of a label."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple, np.ndarray] = {}

    def eval_ao(self, mol, coords, deriv=0, shls_slice=None, non0tab=None, cutoff=None, out=None, **options):
        compute = partial(numint.eval_ao, mol, coords, deriv, shls_slice, non0tab, cutoff, **options)
        if deriv != 1 or shls_slice is not None:
            return compute(out=out)
        key = len(coords), coords[0].tobytes(), coords[-1].tobytes()
        if key not in self.known:
            self.known[key] = compute(out=None)
        return self.known[key]


def _only(field: tuple[float, ...], a: int) -> tuple[float, ...]:
    return tuple(size if b == a else 0.0 for b, size in enumerate(field))


def axes(step: float) -> np.ndarray:
    """(7, 3) none, and ±step along each axis [atomic units]."""
    return np.concatenate([np.zeros((1, 3)), np.kron(step * np.eye(3), [[1], [-1]])])


def axes_and_diagonals(step: float) -> np.ndarray:
    """(19, 3) `axes`, then ±(along one axis + along another), ±(along one - along another) [atomic units]."""
    unit = np.eye(3) * step
    diagonal = [sign * (unit[a] + other * unit[b]) for a, b in PAIRS for other in (1, -1) for sign in (1, -1)]
    return np.concatenate([axes(step), diagonal])


def polarizability_gradient(forces: np.ndarray, step: float) -> np.ndarray:
    """(n, 3, 3, 3) from forces in the fields of `axes_and_diagonals`, displacement last [e²Å/eV]."""
    gradient = np.zeros((forces.shape[1], 3, 3, 3))
    for a in range(3):
        gradient[:, a, a] = forces[1 + 2 * a] + forces[2 + 2 * a] - 2 * forces[0]
    for k, (a, b) in enumerate(PAIRS):
        along, against = forces[7 + 4 * k : 9 + 4 * k].sum(0), forces[9 + 4 * k : 11 + 4 * k].sum(0)
        gradient[:, a, b] = gradient[:, b, a] = (along - against) / 4
    return gradient / (step * FIELD_UNIT) ** 2


def born_charges(forces: np.ndarray, step: float) -> np.ndarray:
    """(n, 3, 3) from forces in the fields of `axes`, field first, displacement second [e]."""
    return np.stack([(forces[1 + 2 * a] - forces[2 + 2 * a]) / (2 * step * FIELD_UNIT) for a in range(3)], axis=1)


def polarizability(dipoles: np.ndarray, step: float) -> np.ndarray:
    """(3, 3) from dipoles in the fields of `axes` [e²Å²/eV]."""
    return np.array([(dipoles[1 + 2 * a] - dipoles[2 + 2 * a]) / (2 * step * FIELD_UNIT) for a in range(3)])


def responses(points: list[dict[str, np.ndarray]], step: float) -> dict[str, np.ndarray]:
    """energy, forces, dipole, polarizability and born_charges without a field, from answers in the fields of `axes`.

    From those in the fields of `axes_and_diagonals` polarizability_gradient, too.
    """
    forces, dipoles = (np.array([point[name] for point in points]) for name in ("forces", "dipole"))
    second = {"polarizability_gradient": polarizability_gradient(forces, step)} if len(points) == 19 else {}
    return second | {
        "energy": points[0]["energy"],
        "forces": forces[0],
        "dipole": dipoles[0],
        "polarizability": polarizability(dipoles, step),
        "born_charges": born_charges(forces, step),
    }
