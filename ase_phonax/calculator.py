"""The ASE face: energies, forces and stress like any calculator, and exact second derivatives."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.constraints import FixAtoms
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress
from ase.vibrations import VibrationsData

from . import derivatives, force_constants
from .errors import InputError
from .graph import MARGIN, build_graph, check_atoms, pad, size_class
from .potential import Potential
from .weights import load_model

Progress = Callable[[int, int], None]


class PhonaxCalculator(Calculator):
    """ASE calculator of a message-passing potential, with exact second derivatives.

    >>> from ase.build import bulk
    >>> from ase_phonax import PhonaxCalculator
    >>> atoms = bulk("Si")
    >>> atoms.calc = PhonaxCalculator("interim")
    >>> forces = atoms.get_forces()
    >>> hessian = atoms.calc.get_hessian(atoms)  # (n, 3, n, 3) eV/Å²

    Everything is evaluated in `dtype`. float64 is entered with JAX's scoped `enable_x64` inside each
    call and left again with NumPy arrays: no global JAX setting is changed.

    A run at a fixed number of atoms compiles once, and again only when the number of neighbours
    outgrows the padded capacity (at least 10 % above the first structure, never shrinking).

    Args:
        model: path of a model file, a name of `list_models()`, or a `Potential`.
        dtype: "float64" (default) or "float32" (faster; noise about 1e-6 of the largest constant).
        **kwargs: passed to ASE's Calculator (`atoms`, `directory`, ...).

    Raises:
        ModelError: the model cannot be found or read.
        InputError: another dtype.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "hessian"]  # noqa: RUF012 - ASE's interface
    default_parameters: dict[str, Any] = {}  # noqa: RUF012 - ASE's interface
    nolabel = True  # `ase run` would pass a label otherwise

    def __init__(self, model: Any, dtype: str = "float64", **kwargs: Any):
        if np.dtype(dtype).name not in ("float64", "float32"):
            raise InputError(f"dtype is {dtype!r}", "second derivatives need real numbers of known noise", 'use "float64" or "float32"')
        self.potential: Potential = load_model(model)
        self.dtype = np.dtype(dtype)
        self._capacity: dict[int, int] = {}
        super().__init__(model=model if not isinstance(model, Potential) else self.potential.name, dtype=self.dtype.name, **kwargs)
