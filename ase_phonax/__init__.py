"""Exact phonons from E(3)-equivariant machine-learned potentials, as an ASE calculator.

The names in `__all__` are the public ones; everything else is internal. They are imported when first
used, so that `import ase_phonax` and `ase-phonax --help` do not wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .animations import animate, modulate
    from .atomic_motion import get_directional_densities, get_participation, get_thermal_motion
    from .calculator import PhonaxCalculator
    from .data import Frame, frame_of_atoms, frame_of_hessian, frame_of_phonopy, read_frames, save_frames
    from .densities import converge_mesh, get_densities, get_mesh, get_thermal_properties
    from .errors import PhonaxError
    from .exact import exact_matrices
    from .figures import bands_and_dos, save_figure
    from .force_constants import frequencies_thz
    from .frozen_modes import follow_mode
    from .group_velocities import get_group_velocities
    from .in_plane_paths import layer_path
    from .instabilities import find_imaginary_modes
    from .interchange import phonon_website, to_ase_bands, to_crystal_thermo
    from .mode_symmetry import find_irreps, write_irreps
    from .molecules.normal_modes import modes_of_vibrations, normal_modes
    from .molecules.pictures import draw_sticks
    from .molecules.point_groups import find_point_group
    from .molecules.stationary import follow_imaginary, stationary_modes
    from .molecules.thermochemistry import gas_properties
    from .phonons import get_band_structure, get_phonopy
    from .polar import get_gamma_splitting, set_nac
    from .potential import Potential
    from .relaxation import relax
    from .supercells import choose_supercell
    from .training import Scores, TrainingConfig, evaluate, fine_tune, train
    from .training.imitation import imitate
    from .two_dimensional import as_layer
    from .volumes import get_gruneisen, get_quasi_harmonic, phonons_at_volumes
    from .volumes.pictures import draw_gruneisen, draw_quasi_harmonic
    from .weights import download_model, list_models, load_model, save_model

__version__ = "0.1.0"

__all__ = [
    "Frame",
    "PhonaxCalculator",
    "PhonaxError",
    "Potential",
    "Scores",
    "TrainingConfig",
    "__version__",
    "animate",
    "as_layer",
    "bands_and_dos",
    "choose_supercell",
    "converge_mesh",
    "download_model",
    "draw_gruneisen",
    "draw_quasi_harmonic",
    "draw_sticks",
    "evaluate",
    "exact_matrices",
    "find_imaginary_modes",
    "find_irreps",
    "find_point_group",
    "fine_tune",
    "follow_imaginary",
    "follow_mode",
    "frame_of_atoms",
    "frame_of_hessian",
    "frame_of_phonopy",
    "frequencies_thz",
    "gas_properties",
    "get_band_structure",
    "get_densities",
    "get_directional_densities",
    "get_gamma_splitting",
    "get_group_velocities",
    "get_gruneisen",
    "get_mesh",
    "get_participation",
    "get_phonopy",
    "get_quasi_harmonic",
    "get_thermal_motion",
    "get_thermal_properties",
    "imitate",
    "layer_path",
    "list_models",
    "load_model",
    "modes_of_vibrations",
    "modulate",
    "normal_modes",
    "phonon_website",
    "phonons_at_volumes",
    "read_frames",
    "relax",
    "save_figure",
    "save_frames",
    "save_model",
    "set_nac",
    "stationary_modes",
    "to_ase_bands",
    "to_crystal_thermo",
    "train",
    "write_irreps",
]

_HOMES = {
    "Frame": "data",
    "PhonaxCalculator": "calculator",
    "PhonaxError": "errors",
    "Potential": "potential",
    "Scores": "training",
    "TrainingConfig": "training",
    "animate": "animations",
    "as_layer": "two_dimensional",
    "bands_and_dos": "figures",
    "choose_supercell": "supercells",
    "converge_mesh": "densities",
    "download_model": "weights",
    "draw_gruneisen": "volumes.pictures",
    "draw_quasi_harmonic": "volumes.pictures",
    "draw_sticks": "molecules.pictures",
    "evaluate": "training",
    "exact_matrices": "exact",
    "find_imaginary_modes": "instabilities",
    "find_irreps": "mode_symmetry",
    "find_point_group": "molecules.point_groups",
    "fine_tune": "training",
    "follow_imaginary": "molecules.stationary",
    "follow_mode": "frozen_modes",
    "frame_of_atoms": "data",
    "frame_of_hessian": "data",
    "frame_of_phonopy": "data",
    "frequencies_thz": "force_constants",
    "gas_properties": "molecules.thermochemistry",
    "get_band_structure": "phonons",
    "get_densities": "densities",
    "get_directional_densities": "atomic_motion",
    "get_gamma_splitting": "polar",
    "get_group_velocities": "group_velocities",
    "get_gruneisen": "volumes",
    "get_mesh": "densities",
    "get_participation": "atomic_motion",
    "get_phonopy": "phonons",
    "get_quasi_harmonic": "volumes",
    "get_thermal_motion": "atomic_motion",
    "get_thermal_properties": "densities",
    "imitate": "training.imitation",
    "layer_path": "in_plane_paths",
    "list_models": "weights",
    "load_model": "weights",
    "modes_of_vibrations": "molecules.normal_modes",
    "modulate": "animations",
    "normal_modes": "molecules.normal_modes",
    "phonon_website": "interchange",
    "phonons_at_volumes": "volumes",
    "read_frames": "data",
    "relax": "relaxation",
    "save_figure": "figures",
    "save_frames": "data",
    "save_model": "weights",
    "set_nac": "polar",
    "stationary_modes": "molecules.stationary",
    "to_ase_bands": "interchange",
    "to_crystal_thermo": "interchange",
    "train": "training",
    "write_irreps": "mode_symmetry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
