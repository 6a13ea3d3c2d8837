"""Exact phonons from E(3)-equivariant machine-learned potentials, as an ASE calculator.

The names in `__all__` are the public ones; everything else is internal. They are imported when first
used, so that `import ase_phonax` and `ase-phonax --help` do not wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calculator import PhonaxCalculator
    from .densities import get_densities, get_mesh
    from .errors import PhonaxError
    from .figures import bands_and_dos, save_figure
    from .force_constants import frequencies_thz
    from .phonons import get_band_structure, get_phonopy
    from .potential import Potential
    from .relaxation import relax
    from .weights import list_models, load_model, save_model

__version__ = "0.1.0"

__all__ = [
    "PhonaxCalculator",
    "PhonaxError",
    "Potential",
    "__version__",
    "bands_and_dos",
    "frequencies_thz",
    "get_band_structure",
    "get_densities",
    "get_mesh",
    "get_phonopy",
    "list_models",
    "load_model",
    "relax",
    "save_figure",
    "save_model",
]

_HOMES = {
    "PhonaxCalculator": "calculator",
    "PhonaxError": "errors",
    "Potential": "potential",
    "bands_and_dos": "figures",
    "frequencies_thz": "force_constants",
    "get_band_structure": "phonons",
    "get_densities": "densities",
    "get_mesh": "densities",
    "get_phonopy": "phonons",
    "list_models": "weights",
    "load_model": "weights",
    "relax": "relaxation",
    "save_figure": "figures",
    "save_model": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
