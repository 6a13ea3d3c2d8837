"""Exact phonons from E(3)-equivariant machine-learned potentials, as an ASE calculator.

The names in `__all__` are the public ones; everything else is internal. They are imported when first
used, so that `import ase_phonax` and `ase-phonax --help` do not wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base.drawing import save_figure
    from .base.errors import PhonaxError
    from .calculator import PhonaxCalculator
    from .derivatives.conventions import frequencies_thz
    from .models.files.native import save_model
    from .models.loading import load_model
    from .models.outputs import Output
    from .models.potential import Potential
    from .models.registry import download_model, list_models
    from .molecules.normal_modes import modes_of_vibrations, normal_modes
    from .molecules.pictures import draw_sticks
    from .molecules.point_groups import find_point_group
    from .molecules.stationary import follow_imaginary, stationary_modes
    from .molecules.thermochemistry import gas_properties
    from .phonons.bands.plane_paths import layer_path
    from .phonons.bands.structure import get_band_structure
    from .phonons.bands.velocities import get_group_velocities
    from .phonons.formats import phonon_website, to_ase_bands, to_crystal_thermo
    from .phonons.instabilities.frozen import follow_mode
    from .phonons.instabilities.imaginary import find_imaginary_modes
    from .phonons.motion.animations import animate, modulate
    from .phonons.motion.displacements import get_directional_densities, get_participation, get_thermal_motion
    from .phonons.pictures import bands_and_dos, draw_bands, draw_densities
    from .phonons.polar import get_gamma_splitting, set_nac
    from .phonons.sampling.heat import converge_mesh, get_thermal_properties
    from .phonons.sampling.meshes import get_densities, get_mesh
    from .phonons.supercell.choice import choose_supercell
    from .phonons.supercell.objects import get_phonopy
    from .phonons.supercell.patches import exact_matrices
    from .phonons.symmetry.irreps import find_irreps, write_irreps
    from .phonons.volumes import get_gruneisen, get_quasi_harmonic, phonons_at_volumes
    from .phonons.volumes.pictures import draw_gruneisen, draw_quasi_harmonic
    from .structures.layers import as_layer
    from .structures.relaxation import relax
    from .studies.evaluation import evaluation_study
    from .studies.gruneisen_study import gruneisen_study
    from .studies.labelling import label_structures
    from .studies.molecule_settings import MoleculeSettings
    from .studies.molecule_study import molecule_study
    from .studies.phonon_study import phonon_study
    from .studies.quasi_harmonic_study import quasi_harmonic_study
    from .studies.settings import GruneisenSettings, PhononSettings, QuasiHarmonicSettings
    from .studies.watch import Watch
    from .training import Scores, TrainingConfig, evaluate, fine_tune, train
    from .training.imitation.student import imitate
    from .training.labels import Frame, frame_of_atoms, frame_of_hessian, frame_of_phonopy, read_frames, save_frames
    from .training.labels.teacher import LabelRecipe

__version__ = "0.1.0"

__all__ = [
    "Frame",
    "GruneisenSettings",
    "LabelRecipe",
    "MoleculeSettings",
    "Output",
    "PhonaxCalculator",
    "PhonaxError",
    "PhononSettings",
    "Potential",
    "QuasiHarmonicSettings",
    "Scores",
    "TrainingConfig",
    "Watch",
    "__version__",
    "animate",
    "as_layer",
    "bands_and_dos",
    "choose_supercell",
    "converge_mesh",
    "download_model",
    "draw_bands",
    "draw_densities",
    "draw_gruneisen",
    "draw_quasi_harmonic",
    "draw_sticks",
    "evaluate",
    "evaluation_study",
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
    "gruneisen_study",
    "imitate",
    "label_structures",
    "layer_path",
    "list_models",
    "load_model",
    "modes_of_vibrations",
    "modulate",
    "molecule_study",
    "normal_modes",
    "phonon_study",
    "phonon_website",
    "phonons_at_volumes",
    "quasi_harmonic_study",
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
    "Frame": "training.labels",
    "LabelRecipe": "training.labels.teacher",
    "MoleculeSettings": "studies.molecule_settings",
    "Output": "models.outputs",
    "GruneisenSettings": "studies.settings",
    "PhonaxCalculator": "calculator",
    "PhonaxError": "base.errors",
    "PhononSettings": "studies.settings",
    "Potential": "models.potential",
    "QuasiHarmonicSettings": "studies.settings",
    "Scores": "training",
    "TrainingConfig": "training",
    "Watch": "studies.watch",
    "animate": "phonons.motion.animations",
    "as_layer": "structures.layers",
    "bands_and_dos": "phonons.pictures",
    "choose_supercell": "phonons.supercell.choice",
    "converge_mesh": "phonons.sampling.heat",
    "download_model": "models.registry",
    "draw_bands": "phonons.pictures",
    "draw_densities": "phonons.pictures",
    "draw_gruneisen": "phonons.volumes.pictures",
    "draw_quasi_harmonic": "phonons.volumes.pictures",
    "draw_sticks": "molecules.pictures",
    "evaluate": "training",
    "evaluation_study": "studies.evaluation",
    "exact_matrices": "phonons.supercell.patches",
    "find_imaginary_modes": "phonons.instabilities.imaginary",
    "find_irreps": "phonons.symmetry.irreps",
    "find_point_group": "molecules.point_groups",
    "fine_tune": "training",
    "follow_imaginary": "molecules.stationary",
    "follow_mode": "phonons.instabilities.frozen",
    "frame_of_atoms": "training.labels",
    "frame_of_hessian": "training.labels",
    "frame_of_phonopy": "training.labels",
    "frequencies_thz": "derivatives.conventions",
    "gas_properties": "molecules.thermochemistry",
    "get_band_structure": "phonons.bands.structure",
    "get_densities": "phonons.sampling.meshes",
    "get_directional_densities": "phonons.motion.displacements",
    "get_gamma_splitting": "phonons.polar",
    "get_group_velocities": "phonons.bands.velocities",
    "get_gruneisen": "phonons.volumes",
    "get_mesh": "phonons.sampling.meshes",
    "get_participation": "phonons.motion.displacements",
    "get_phonopy": "phonons.supercell.objects",
    "get_quasi_harmonic": "phonons.volumes",
    "get_thermal_motion": "phonons.motion.displacements",
    "get_thermal_properties": "phonons.sampling.heat",
    "gruneisen_study": "studies.gruneisen_study",
    "imitate": "training.imitation.student",
    "label_structures": "studies.labelling",
    "layer_path": "phonons.bands.plane_paths",
    "list_models": "models.registry",
    "load_model": "models.loading",
    "modes_of_vibrations": "molecules.normal_modes",
    "modulate": "phonons.motion.animations",
    "molecule_study": "studies.molecule_study",
    "normal_modes": "molecules.normal_modes",
    "phonon_study": "studies.phonon_study",
    "phonon_website": "phonons.formats",
    "phonons_at_volumes": "phonons.volumes",
    "quasi_harmonic_study": "studies.quasi_harmonic_study",
    "read_frames": "training.labels",
    "relax": "structures.relaxation",
    "save_figure": "base.drawing",
    "save_frames": "training.labels",
    "save_model": "models.files.native",
    "set_nac": "phonons.polar",
    "stationary_modes": "molecules.stationary",
    "to_ase_bands": "phonons.formats",
    "to_crystal_thermo": "phonons.formats",
    "train": "training",
    "write_irreps": "phonons.symmetry.irreps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
