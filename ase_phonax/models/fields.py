"""Potentials in a uniform electric field: U(x, F) = E(x) - mu(x).F - 1/2 F.alpha(x).F.

F in V/Å, so that a charge times F is in eV/Å; mu in eÅ, alpha in e²Å²/eV (times 14.39964 in Å³). Signs, units and index
orders: docs/conventions.md, "Electric field".
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..base.errors import InputError
from .functionals import functional
from .o3.spherical import clebsch_gordan
from .outputs import Output
from .potential import Potential
from .registry import FOR_OUTPUTS

DIPOLE = Output("dipole", "1o", per="structure", unit="eÅ")
POLARIZABILITY = Output("polarizability", "0e + 2e", per="structure", unit="e²Å²/eV")
CUBIC_ANGSTROM = 14.399645  # Å³ per e²Å²/eV: e²/(4 pi epsilon_0) in eV Å
DEBYE = 0.20819433  # eÅ
ATOMIC_UNIT = 51.42206747632590  # V/Å, CODATA 2018
STRONGEST = 3.0  # V/Å; molecules ionise well below


@cache
def symmetric_tensors() -> np.ndarray:
    """(6, 3, 3) symmetric tensors of unit Frobenius norm: the components of "0e + 2e", in their order."""
    # Two vectors couple to degree 2 by tensors whose squares add up to one for each component.
    tensors = np.concatenate([np.eye(3)[None] / 3**0.5, clebsch_gordan(1, 1, 2).transpose(2, 0, 1)])
    tensors.setflags(write=False)
    return tensors


def as_tensor(components: Any) -> Any:
    """(..., 6) components of "0e + 2e" as symmetric tensors (..., 3, 3)."""
    tensors = components @ symmetric_tensors().reshape(6, 9)  # as operators have it: arrays may be JAX's
    return tensors.reshape(*components.shape[:-1], 3, 3)


def as_components(tensors: np.ndarray) -> np.ndarray:
    """Symmetric tensors (..., 3, 3) as components (..., 6) of "0e + 2e"."""
    return np.einsum("...ab,kab->...k", tensors, symmetric_tensors())


class Giving(Protocol):
    """It says which outputs it gives, as a potential does."""

    @property
    def outputs(self) -> tuple[Output, ...]: ...


def has_output(potential: Giving, output: Output) -> bool:
    """Whether a potential gives this quantity: an output of this name, these irreps and this unit, at any scale."""
    return any(replace(own, scale=output.scale) == output for own in potential.outputs)


def require_output(potential: Potential, output: Output) -> None:
    """Refuse a potential that does not give a quantity.

    Raises:
        InputError: none of its outputs is this one.
    """
    if not has_output(potential, output):
        raise not_given(potential, output)


def not_given(potential: Potential, output: Output) -> InputError:
    """What to say of a quantity that a potential does not give."""
    shipped = FOR_OUTPUTS.get(output.name)
    return InputError(
        f"the model {potential.name!r} gives no {output.name}",
        f"it knows nothing of the {output.name}: no label of it was among what it learned from",
        (f"take {shipped}, which ships; or " if shipped else "")
        + "train one with that label (docs/training.md); `calc.potential.outputs` lists what a model gives",
    )


def checked_field(field: ArrayLike) -> np.ndarray:
    """(3,) the field [V/Å], which cannot be written to.

    Raises:
        InputError: another shape, or too strong for a molecule.
    """
    try:
        vector = np.array(field, float)  # a copy: nobody else changes it
    except (TypeError, ValueError):
        vector = np.array(np.nan)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise InputError(
            f"the field is {field!r}"[:200],
            "a uniform field is a vector",
            "give three numbers in V/Å, along x, y and z: field=(0, 0, 0.1)",
        )
    size = np.linalg.norm(vector)
    if size > STRONGEST:
        raise InputError(
            f"the field has {size:.3g} V/Å",
            f"above {STRONGEST:g} V/Å molecules are ionised, and an expansion to second order means nothing",
            f"give it in V/Å: an atomic unit of field is {ATOMIC_UNIT:.2f} V/Å, 1 V/m is 1e-10 V/Å",
        )
    vector.setflags(write=False)
    return vector


def shares_in_field(outputs: Mapping[str, Any], field: Any) -> tuple[Any, dict[str, Any]]:
    """What a field adds to the energies of atoms, and the outputs with the dipoles that are there in it.

    Args:
        outputs: name -> (n, components) shares of atoms, of NumPy or JAX; `DIPOLE` among them, and `POLARIZABILITY` for
            the second order.
        field: (n, 3) at each atom [V/Å].

    Returns:
        (n,) -mu.F - 1/2 F.alpha.F [eV]; outputs with mu + alpha.F in the place of mu.
    """
    dipole = outputs[DIPOLE.name]
    induced = 0 * dipole
    if POLARIZABILITY.name in outputs:
        induced = (as_tensor(outputs[POLARIZABILITY.name]) * field[..., None, :]).sum(-1)
    return -((dipole + induced / 2) * field).sum(-1), {**outputs, DIPOLE.name: dipole + induced}


def in_field(potential: Potential, field: ArrayLike) -> Potential:
    """The potential U(x, F) at one F: forces and second derivatives of it are those in the field.

    The second-order term is there if the model has a polarizability.

    Args:
        potential: with an output `DIPOLE`, and `POLARIZABILITY` for the second order.
        field: (3,) [V/Å].

    Raises:
        InputError: no field, or a model without a dipole.
    """
    vector = checked_field(field)
    require_output(potential, DIPOLE)
    weights = {DIPOLE.name: -vector}
    if has_output(potential, POLARIZABILITY):
        weights[POLARIZABILITY.name] = -as_components(np.outer(vector, vector)) / 2
    return functional(potential, weights, energy=1.0)
