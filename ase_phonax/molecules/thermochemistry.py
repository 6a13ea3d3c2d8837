"""Heat, entropy and free energy of a molecule as an ideal gas, through ASE's IdealGasThermo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..base.errors import InputError
from ..base.sharing import ignored_warnings
from ..base.units import CM1_PER_THZ, MEV_PER_THZ
from .defaults import PRESSURE, TEMPERATURE
from .normal_modes import NormalModes


@dataclass(frozen=True)
class GasProperties:
    """An ideal gas of rigid, harmonic molecules.

    Attributes:
        temperature: [K].
        pressure: [Pa].
        zero_point_energy: [eV].
        enthalpy: [eV], the potential energy included.
        entropy: [eV/K].
        gibbs_energy: [eV].
        symmetry_number: from the point group.
        spin: total electronic spin.
        left_out: imaginary modes, which have no partition function.
    """

    temperature: float
    pressure: float
    zero_point_energy: float
    enthalpy: float
    entropy: float
    gibbs_energy: float
    symmetry_number: int
    spin: float
    left_out: int


def gas_properties(
    modes: NormalModes,
    energy: float,
    temperature: float = TEMPERATURE,
    pressure: float = PRESSURE,
    spin: float | None = None,
) -> GasProperties:
    """Thermochemistry of `IdealGasThermo`, with the symmetry number of the point group.

    Args:
        modes: of a whole molecule.
        energy: potential energy [eV].
        temperature: [K].
        pressure: [Pa].
        spin: total electronic spin; unless given 0 for an even number of electrons, else 1/2.

    Raises:
        InputError: only some atoms move; a temperature or pressure that is not positive.
    """
    from ase.thermochemistry import IdealGasThermo

    group = modes.point_group
    if group is None:
        raise InputError("only some of the atoms move", "a molecule held by others is no gas", "let all of them move")
    if not (temperature > 0 and pressure > 0):
        raise InputError(
            f"the temperature is {temperature:g} K and the pressure {pressure:g} Pa",
            "a gas has both above zero",
            "give something like 298.15 K and 101325 Pa",
        )
    if spin is not None:
        check_spin(spin)
    atoms = modes.atoms
    spin = int(atoms.numbers.sum()) % 2 / 2 if spin is None else spin
    energies = np.abs(modes.wavenumbers) / CM1_PER_THZ * MEV_PER_THZ / 1000
    shape: Literal["monatomic", "linear", "nonlinear"] = "nonlinear"
    if len(atoms) == 1:
        shape = "monatomic"
    elif group.is_linear:
        shape = "linear"
    with ignored_warnings(".*imag modes removed"):  # `left_out` says it
        thermo = IdealGasThermo(
            vib_energies=(np.where(modes.wavenumbers < 0, 1j, 1) * energies).tolist(),
            geometry=shape,
            potentialenergy=energy,
            atoms=atoms,
            symmetrynumber=group.symmetry_number,
            spin=spin,
            ignore_imag_modes=True,
        )
    return GasProperties(
        temperature,
        pressure,
        float(thermo.get_ZPE_correction()),
        float(thermo.get_enthalpy(temperature, verbose=False)),
        float(thermo.get_entropy(temperature, pressure, verbose=False)),
        float(thermo.get_gibbs_energy(temperature, pressure, verbose=False)),
        group.symmetry_number,
        float(spin),
        int(np.sum(modes.wavenumbers < 0)),
    )


def check_spin(spin: float) -> None:
    """Refuse a number that is no total electronic spin, with an InputError."""
    if not (spin >= 0 and float(2 * spin).is_integer()):
        raise InputError(
            f"the spin is {spin:g}",
            "a total spin is 0, 1/2, 1, ...: 2S + 1 states share the entropy",
            "give half the number of unpaired electrons",
        )
