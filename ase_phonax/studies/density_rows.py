"""One structure of a study of densities of states: what is said of it, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.data import atomic_masses

from ..base.errors import InputError, StructureError
from ..phonons.densities.alloys import alloy_formula, mixed_on, stated_mixtures
from ..phonons.densities.formulas import debye_temperature
from ..phonons.densities.from_modes import exact_density
from ..phonons.densities.heat import density_heat, mean_frequency
from ..phonons.densities.prediction import DensityOfStates, Mixture, predict_density
from ..structures.checks import check_structure
from ..structures.formulas import crystal_formula

if TYPE_CHECKING:
    from ..calculator import PhonaxCalculator
    from ..models.committee import Model


@dataclass(frozen=True)
class DensityRow:
    """One structure with its density.

    Attributes:
        name: of the file it came from.
        sites: what is on each site: a symbol, or shares such as "K0.6Na0.4".
        numbers: (n,) atomic numbers; of shared sites those of the atoms in the file.
        formula: reduced; of an alloy with shares: K0.4Na0.6Cl.
        isotopes: masses that are not those of the elements, "H 2.014"; empty where there are none.
        density: of the network.
        exact: of a potential, where one was to be compared with.
        uncompared: why there is none though one was asked for.
        facts: what follows from its density, and how far it is from the exact one; units are in the names.
    """

    name: str
    sites: tuple[str, ...]
    numbers: tuple[int, ...]
    formula: str
    isotopes: str
    density: DensityOfStates
    exact: DensityOfStates | None
    uncompared: str
    facts: dict[str, Any]


def facts_of(density: DensityOfStates, temperature_k: float) -> dict[str, Any]:
    """What follows from a density, per mole of atoms; units are in the names."""
    along = density.frequencies_thz, density.total
    heat = density_heat(*along, temperature_k)
    try:
        debye = debye_temperature(*along, temperature_k)
    except InputError:  # heat says nothing of it at this temperature
        debye = None
    return {
        "mean_frequency_thz": mean_frequency(*along),
        "mean_log_frequency_thz": mean_frequency(*along, logarithmic=True),
        "heat_capacity_J_K_mol": float(heat.heat_capacity[0]),
        "entropy_J_K_mol": float(heat.entropy[0]),
        "free_energy_kJ_mol": float(heat.free_energy[0]),
        "zero_point_kJ_mol": heat.zero_point,
        "debye_temperature_K": debye,
        "expected_error": density.expected_error,
    }


def _beside(density: DensityOfStates, exact: DensityOfStates | None, temperature_k: float) -> dict[str, Any]:
    """What an exact density says instead, and how far it is; empty without one."""
    if exact is None:
        return {}
    facts = facts_of(exact, temperature_k)
    return {
        "misplaced": density.misplaced(exact),
        "exact_mean_frequency_thz": facts["mean_frequency_thz"],
        "exact_heat_capacity_J_K_mol": facts["heat_capacity_J_K_mol"],
        "exact_imaginary": exact.imaginary,
    }


def density_row(
    name: str,
    atoms: Atoms,
    model: Model,
    *,
    temperature_k: float,
    mixture: Mixture | None = None,
    stand_ins: bool = False,
    judge: PhonaxCalculator | None = None,
) -> DensityRow:
    """What a network says of a structure, and a potential where one is to be compared with.

    Args:
        mixture: on every site of its elements.
        judge: the potential.

    Raises:
        StructureError, InputError: as of `predict_density`, and sites that are empty in part.
    """
    mixtures = stated_mixtures(atoms)
    plain = without_occupancies(atoms)
    check_structure(plain)
    if mixture is not None:
        mixtures |= mixed_on(plain, mixture)
    density = predict_density(plain, model, mixtures or None, stand_ins=stand_ins)
    exact, uncompared = _judged(plain, bool(mixtures), judge)
    return DensityRow(
        name=name,
        sites=tuple(_site(mixtures.get(k), symbol) for k, symbol in enumerate(plain.get_chemical_symbols())),
        numbers=tuple(plain.numbers.tolist()),
        formula=alloy_formula(plain, mixtures) if mixtures else crystal_formula(plain),
        isotopes=_isotopes(plain),
        density=density,
        exact=exact,
        uncompared=uncompared,
        facts=facts_of(density, temperature_k) | _beside(density, exact, temperature_k),
    )


def without_occupancies(atoms: Atoms) -> Atoms:
    """The atoms without what their file said of shared sites."""
    plain = atoms.copy()
    plain.info.pop("occupancy", None)
    return plain


def _site(mixture: Mixture | None, symbol: str) -> str:
    return symbol if mixture is None else "".join(f"{element}{x:.3g}" for element, x in mixture.items() if x)


def _isotopes(atoms: Atoms) -> str:
    """Masses that are not those of the elements."""
    pairs = zip(atoms.get_chemical_symbols(), atoms.numbers, atoms.get_masses(), strict=True)
    strange = [f"{symbol} {mass:g}" for symbol, z, mass in pairs if abs(mass / atomic_masses[z] - 1) > 1e-4]
    return ", ".join(dict.fromkeys(strange))


def _judged(atoms: Atoms, shared: bool, judge: PhonaxCalculator | None) -> tuple[DensityOfStates | None, str]:
    """The exact density, or why there is none: that costs the comparison, and not the density at hand."""
    if judge is None:
        return None, ""
    if shared:
        return None, "sites are shared, and a potential takes whole atoms"
    try:
        return exact_density(atoms, judge), ""
    except StructureError as error:
        return None, error.what
