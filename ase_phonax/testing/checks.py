"""The checks: of a bare function by trials on three atoms, of a potential by what a calculator gives with it."""

import dataclasses

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ..base.errors import ContractError, InputError
from ..calculator import PhonaxCalculator
from ..derivatives.compiled import contract
from ..derivatives.compiled.probes import BOND, improper_turn
from ..models.potential import Potential
from .structures import cluster, face_centred, some_numbers, triclinic

# Relative to the largest entry. Honest float64 has 1e-13 to 1e-12; what is wrong is wrong by much more than 1e-9.
TOLERANCE = 1e-9
# Two of its wave vectors fit three cells along the first vector; the others fit nothing.
QPOINTS = np.array([[1 / 3, 0, 0], [0, 0, 0], [0.21, -0.37, 0.13], [-0.21, 0.37, -0.13]])
CELLS = 3


def check_potential(potential: Potential, *, tolerance: float = TOLERANCE) -> None:
    """All checks, on structures of the potential's elements (at most three of them).

    Args:
        potential: a network, or a plain function by `Potential.from_function`.
        tolerance: of equalities, relative to the largest entry compared.

    Raises:
        ContractError: of the first check that fails.
    """
    potential = _checked(potential)
    check_shape(potential)
    check_isolated_atoms(potential)
    check_repeatability(potential)
    check_exchange(potential)
    check_cutoff(potential)
    check_invariance(potential, tolerance=tolerance)
    check_dynamical_matrix(potential, tolerance=tolerance)
    check_stars(potential, tolerance=tolerance)
    if potential.parts is not None:
        check_arrays(potential, tolerance=tolerance)


def check_shape(potential: Potential) -> None:
    """One real energy comes out for each atom."""
    contract.one_energy_per_atom(_trial(potential))


def check_repeatability(potential: Potential) -> None:
    """The function is the same whenever it is asked: no random numbers, clocks or counters are in it."""
    trial = _trial(potential)
    contract.one_energy_per_atom(trial)
    contract.repeatable(trial)


def check_exchange(potential: Potential) -> None:
    """Nothing passes between atoms but along edges, and the bare function knows no axes, hand or order."""
    trial = _trial(potential)
    contract.local(trial)
    contract.isotropic(trial)


def check_isolated_atoms(potential: Potential) -> None:
    """Atoms without neighbours have an energy and no force; nor is one halfway between two others a special case."""
    potential = _checked(potential)
    contract.finite(_trial(potential))
    calc = PhonaxCalculator(potential)
    for number in some_numbers(potential):
        atom = Atoms(numbers=[number])
        energy, forces = calc.get_potential_energy(atom), calc.get_forces(atom)
        force = float(np.abs(forces).max())
        if not (np.isfinite(energy) and force == 0):
            raise _broken(
                potential,
                "isolated atoms",
                force if np.isfinite(energy) else energy,
                0.0,
                f"gives an isolated {chemical_symbols[number]} the energy {energy} eV and a force of {force} eV/Å",
                "nothing pulls at it, and NaN in a derivative begins where an atom has no neighbours",
                "look for norms and square roots of sums that are zero there",
            )


def check_cutoff(potential: Potential) -> float:
    """Energies touch the cutoff with two continuous derivatives, for every pair of elements.

    A network is asked as arrays, through neighbours that are searched; a plain function by graphs.

    Returns:
        the least power p of (cutoff - r)^p with which the energy ends; infinite where it is told from zero nowhere.
    """
    potential = _checked(potential)
    if potential.parts is None:
        trial = _trial(potential)
        contract.fading(trial)
        return min(contract.order_at_cutoff(trial, a, b) for i, a in enumerate(trial.kinds) for b in trial.kinds[i:])
    numbers = some_numbers(potential)
    calc, orders = PhonaxCalculator(potential), []
    for i, one in enumerate(numbers):
        for other in numbers[i:]:
            orders.append(_order(calc, one, other))
            if orders[-1] < contract.LEAST_ORDER:
                raise _broken(
                    potential,
                    "smooth at the cutoff",
                    orders[-1],
                    contract.LEAST_ORDER,
                    f"does not fade between {chemical_symbols[one]} and {chemical_symbols[other]}: its energy ends as"
                    f" (cutoff - r)^{orders[-1]:.2g}, and the power must be {contract.LEAST_ORDER} or more",
                    "forces or force constants jump where a neighbour crosses the cutoff",
                    "look at the envelope of the radial functions, and for biases that do not vanish with it",
                )
    return min(orders)


def _order(calc: PhonaxCalculator, one: int, other: int) -> float:
    """The power of (cutoff - r) with which an energy ends, in structures whose neighbours are searched.

    It is found as `contract.order_at_cutoff` finds that of graphs.
    """
    cutoff = calc.potential.cutoff
    bond, axis = BOND * cutoff, np.array([2.0, -1.0, 2.0]) / 3

    def energy(length: float) -> float:
        """Energy of a row of atoms in which short edges and edges of this length take turns [eV]."""
        cell = np.array([(bond + length) * axis, [0.0, 0, 0], [0, 0, 0]])
        return calc.get_potential_energy(
            Atoms(numbers=[one, other], positions=[0 * axis, bond * axis], cell=cell, pbc=[True, False, False])
        )

    beyond, inner = energy(1.01 * cutoff), 0.0
    floor = contract.ROUNDING * abs(beyond)
    if abs(energy(cutoff + 5) - beyond) > floor:
        return 0.0
    for step in contract.STEPS:
        contact = abs(energy((1 - step) * cutoff) - beyond)
        if inner > 0:
            return float(np.log(max(contact, floor) / inner) / np.log(contract.STEPS[1] / contract.STEPS[0]))
        inner = contact if contact > floor else 0.0
    return np.inf


def check_invariance(
    potential: Potential, atoms: Atoms | None = None, *, tolerance: float = TOLERANCE
) -> tuple[float, np.ndarray]:
    """Energies stay and forces turn with a structure that is turned, mirrored, moved and numbered anew.

    Args:
        potential: to be checked.
        atoms: without periodicity and, to see anything, without symmetry; six atoms in disorder when None.
        tolerance: relative to the energy (or 1 eV) and to the largest force.

    Returns:
        the energy [eV] and forces (n, 3) [eV/Å] of the structure.
    """
    potential = _checked(potential)
    atoms, calc = cluster(potential) if atoms is None else atoms, PhonaxCalculator(potential)
    energy, forces = calc.get_potential_energy(atoms), calc.get_forces(atoms)
    turn = -improper_turn()
    order = np.random.default_rng(0).permutation(len(atoms))
    same = np.arange(len(atoms))
    cases = {
        "turned": (turn, 0.0, same),
        "mirrored and turned": (-turn, 0.0, same),
        "moved": (np.eye(3), np.array([1.0, -2.0, 3.0]), same),
        "numbered anew": (np.eye(3), 0.0, order),
        "mirrored, moved and numbered anew": (-turn, np.array([1.0, -2.0, 3.0]), order),
    }
    for what, (rotation, shift, places) in cases.items():
        moved = Atoms(numbers=atoms.numbers[places], positions=(atoms.positions @ rotation.T)[places] + shift)
        other, other_forces = calc.get_potential_energy(moved), calc.get_forces(moved)
        expected = (forces @ rotation.T)[places]
        off = max(
            abs(other - energy) / max(1.0, abs(energy)),
            float(np.abs(other_forces - expected).max() / max(np.abs(forces).max(), np.finfo(float).tiny)),
        )
        _require(
            potential,
            "invariance",
            off,
            tolerance,
            f"energies or forces of {len(atoms)} atoms when they are {what}",
            "an odd scalar where an even one is meant (a gate, a readout), components that are mixed without a"
            " coupling, or the order of atoms",
        )
    return energy, forces


def check_dynamical_matrix(
    potential: Potential, crystal: Atoms | None = None, *, tolerance: float = TOLERANCE
) -> np.ndarray:
    """D(q) is Hermitian, D(-q) is its conjugate, and at q = 1/3 it is the sum over a supercell's Hessian.

    Args:
        potential: to be checked.
        crystal: periodic in three directions; two atoms without symmetry when None.
        tolerance: relative to the largest entry.

    Returns:
        (4, 3n, 3n) complex D(q) at `QPOINTS` [eV/Å²/amu].
    """
    potential = _checked(potential)
    atoms, calc = triclinic(potential) if crystal is None else crystal, PhonaxCalculator(potential)
    matrices = calc.get_dynamical_matrix(atoms, QPOINTS, symmetry=False)
    beyond = "something passes between atoms beside the exchange, or n_layers is too small"
    hermitian = matrices.conj().swapaxes(1, 2)
    _require_equal(potential, "D(q) Hermitian", matrices, hermitian, tolerance, "D(q) and its adjoint", beyond)
    _require_equal(
        potential,
        "D(-q) = D(q)*",
        matrices[3],
        matrices[2].conj(),
        tolerance,
        "D(-q) and the conjugate of D(q)",
        beyond,
    )
    n, repeated = len(atoms), atoms.repeat((CELLS, 1, 1))
    hessian = calc.get_hessian(repeated).reshape(CELLS, n, 3, CELLS, n, 3)[0]
    scaled, masses = atoms.get_scaled_positions(wrap=False), np.repeat(np.sqrt(atoms.get_masses()), 3)
    cells = np.arange(CELLS)[:, None] * np.eye(3)[0]
    for q, matrix in zip(QPOINTS[:2], matrices[:2], strict=True):
        apart = cells[None, :, None] + scaled[None, None] - scaled[:, None, None]  # (n, cells, n, 3)
        phases = np.exp(2j * np.pi * apart @ q)
        folded = np.einsum("iaRjb,iRj->iajb", hessian, phases).reshape(3 * n, -1) / np.outer(masses, masses)
        what = f"D(q) at q = {q.round(4).tolist()} and the fold of the Hessian of {CELLS} cells"
        _require_equal(potential, "D(q) = supercell", matrix, folded, tolerance, what, beyond)
    return matrices


def check_stars(potential: Potential, crystal: Atoms | None = None, *, tolerance: float = TOLERANCE) -> None:
    """D(q) has the symmetry of the crystal: turned from one member of its star, it is what is computed there.

    Args:
        potential: to be checked.
        crystal: with symmetry; face-centred with one or two atoms when None.
        tolerance: relative to the largest entry.
    """
    potential = _checked(potential)
    atoms, calc = face_centred(potential) if crystal is None else crystal, PhonaxCalculator(potential)
    q = np.array([0.11, 0.27, -0.38])
    star = np.array([q, q[[1, 2, 0]], -q[[1, 0, 2]]])
    turned = calc.get_dynamical_matrix(atoms, star)
    computed = calc.get_dynamical_matrix(atoms, star, symmetry=False)
    what = "D(q) computed directly, and turned from another member of its star"
    _require_equal(
        potential, "D(q) symmetric", turned, computed, tolerance, what, "energies change when the crystal is turned"
    )


def check_arrays(potential: Potential, atoms: Atoms | None = None, *, tolerance: float = TOLERANCE) -> None:
    """A network as arrays gives what its function gives: energies, forces, stress, Hessian and D(q).

    Args:
        potential: with both forms.
        atoms: crystal; two atoms without symmetry when None.
        tolerance: relative to the largest entry.

    Raises:
        InputError: the potential has no form as arrays.
    """
    if _checked(potential).parts is None:
        raise InputError(
            f"the potential {potential.name!r} is a plain function",
            "there are no arrays that could differ from it",
            "leave this check out; check_potential does so by itself",
        )
    atoms = triclinic(potential) if atoms is None else atoms
    arrays, function = PhonaxCalculator(potential), PhonaxCalculator(dataclasses.replace(potential, parts=None))

    def results(calc: PhonaxCalculator) -> dict[str, np.ndarray]:
        return {
            "energies of atoms": calc.get_property("energies", atoms),
            "forces": calc.get_forces(atoms),
            "stress": calc.get_stress(atoms),
            "Hessian": calc.get_hessian(atoms),
            "D(q)": calc.get_dynamical_matrix(atoms, QPOINTS, symmetry=False),
        }

    of_arrays, of_function = results(arrays), results(function)
    for name, values in of_arrays.items():
        _require_equal(
            potential,
            "arrays equal to the function",
            values,
            of_function[name],
            tolerance,
            f"the {name} by arrays and by the function",
            "a radial function, a gate or a coupling that only one form has, or its derivatives",
        )


def _require_equal(
    potential: Potential, check: str, one: np.ndarray, other: np.ndarray, tolerance: float, what: str, cause: str
) -> None:
    scale = max(float(np.abs(other).max()), np.finfo(float).tiny)
    _require(potential, check, float(np.abs(one - other).max()) / scale, tolerance, what, cause)


def _require(potential: Potential, check: str, measured: float, tolerance: float, what: str, cause: str) -> None:
    if not measured <= tolerance:
        why = "phonons rest on it: they would be wrong without a sign of it"
        text = f"fails the check {check!r}: {what} differ by {measured:.3g} of the largest (allowed: {tolerance:.1g})"
        raise _broken(potential, check, measured, tolerance, text, why, f"usual causes: {cause}")


def _broken(
    potential: Potential, check: str, measured: float, tolerance: float, what: str, why: str, remedy: str
) -> ContractError:
    return ContractError(f"the potential {potential.name!r} {what}", why, remedy, check, measured, tolerance)


def _checked(potential: Potential) -> Potential:
    """A potential as it is, without the calculator's own trials: here they are asked for by name."""
    if not isinstance(potential, Potential):
        raise InputError(
            f"{potential!r} is checked, which is no Potential",
            "a function alone has no cutoff, elements and number of hops",
            "wrap a function by Potential.from_function; load a model by load_model",
        )
    return dataclasses.replace(potential, check=False) if potential.check else potential


def _trial(potential: Potential) -> contract.Trial:
    numbers = potential.numbers
    return contract.Trial(_checked(potential), [numbers.index(number) for number in some_numbers(potential)])
