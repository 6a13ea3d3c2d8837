"""Exact phonons from E(3)-equivariant machine-learned potentials, as an ASE calculator.

The names in `__all__` are the public ones; everything else is internal. They are imported when first
used, so that `import ase_phonax` and `ase-phonax --help` do not wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# For type checkers, which read this list; Python reads the one below. A test holds them equal.
if TYPE_CHECKING:
    from .base.drawing import save_figure as save_figure
    from .base.errors import PhonaxError as PhonaxError
    from .calculator import PhonaxCalculator as PhonaxCalculator
    from .derivatives.conventions import frequencies_thz as frequencies_thz
    from .models.files.native import save_model as save_model
    from .models.loading import load_model as load_model
    from .models.outputs import Output as Output
    from .models.potential import Potential as Potential
    from .models.registry import download_model as download_model
    from .models.registry import list_models as list_models
    from .molecules.intensities import Intensities as Intensities
    from .molecules.intensities import vibrational_intensities as vibrational_intensities
    from .molecules.normal_modes import modes_of_vibrations as modes_of_vibrations
    from .molecules.normal_modes import normal_modes as normal_modes
    from .molecules.pictures import draw_sticks as draw_sticks
    from .molecules.point_groups import find_point_group as find_point_group
    from .molecules.spectra import Spectrum as Spectrum
    from .molecules.spectra import infrared_spectrum as infrared_spectrum
    from .molecules.spectra import raman_spectrum as raman_spectrum
    from .molecules.spectrum_files import read_spectrum as read_spectrum
    from .molecules.spectrum_files import write_spectrum as write_spectrum
    from .molecules.spectrum_pictures import draw_spectra as draw_spectra
    from .molecules.stationary import follow_imaginary as follow_imaginary
    from .molecules.stationary import stationary_modes as stationary_modes
    from .molecules.thermochemistry import gas_properties as gas_properties
    from .phonons.anharmonic import GruneisenTensors as GruneisenTensors
    from .phonons.anharmonic import ThermalConductivity as ThermalConductivity
    from .phonons.anharmonic import choose_third_order_supercell as choose_third_order_supercell
    from .phonons.anharmonic import get_phono3py as get_phono3py
    from .phonons.anharmonic import get_thermal_conductivity as get_thermal_conductivity
    from .phonons.anharmonic import gruneisen_tensors as gruneisen_tensors
    from .phonons.anharmonic.pictures import draw_conductivity as draw_conductivity
    from .phonons.bands.plane_paths import layer_path as layer_path
    from .phonons.bands.structure import get_band_structure as get_band_structure
    from .phonons.bands.velocities import get_group_velocities as get_group_velocities
    from .phonons.densities import AlloySeries as AlloySeries
    from .phonons.densities import DensityHeat as DensityHeat
    from .phonons.densities import DensityOfStates as DensityOfStates
    from .phonons.densities import LayerFeatures as LayerFeatures
    from .phonons.densities import alloy_series as alloy_series
    from .phonons.densities import debye_temperature as debye_temperature
    from .phonons.densities import density_heat as density_heat
    from .phonons.densities import draw_features as draw_features
    from .phonons.densities import exact_density as exact_density
    from .phonons.densities import kinetic_conductivity as kinetic_conductivity
    from .phonons.densities import learned_features as learned_features
    from .phonons.densities import mean_frequency as mean_frequency
    from .phonons.densities import phonopy_density as phonopy_density
    from .phonons.densities import predict_density as predict_density
    from .phonons.densities import spectral_overlap as spectral_overlap
    from .phonons.densities import superconductivity as superconductivity
    from .phonons.elastic import ElasticConstants as ElasticConstants
    from .phonons.elastic import elastic_constants as elastic_constants
    from .phonons.finite_differences import DisplacementCalculator as DisplacementCalculator
    from .phonons.formats import phonon_website as phonon_website
    from .phonons.formats import to_ase_bands as to_ase_bands
    from .phonons.formats import to_crystal_thermo as to_crystal_thermo
    from .phonons.instabilities.frozen import follow_mode as follow_mode
    from .phonons.instabilities.imaginary import find_imaginary_modes as find_imaginary_modes
    from .phonons.motion.animations import animate as animate
    from .phonons.motion.animations import modulate as modulate
    from .phonons.motion.displacements import get_directional_densities as get_directional_densities
    from .phonons.motion.displacements import get_participation as get_participation
    from .phonons.motion.displacements import get_thermal_motion as get_thermal_motion
    from .phonons.pictures import bands_and_dos as bands_and_dos
    from .phonons.pictures import draw_bands as draw_bands
    from .phonons.pictures import draw_densities as draw_densities
    from .phonons.polar import PolarCalculator as PolarCalculator
    from .phonons.polar import PolarLayerCalculator as PolarLayerCalculator
    from .phonons.polar import get_gamma_splitting as get_gamma_splitting
    from .phonons.polar import predict_charges as predict_charges
    from .phonons.polar import set_nac as set_nac
    from .phonons.polar.infrared import draw_infrared as draw_infrared
    from .phonons.polar.infrared import get_infrared_response as get_infrared_response
    from .phonons.sampling.heat import converge_mesh as converge_mesh
    from .phonons.sampling.heat import get_thermal_properties as get_thermal_properties
    from .phonons.sampling.meshes import get_densities as get_densities
    from .phonons.sampling.meshes import get_mesh as get_mesh
    from .phonons.supercell.choice import choose_supercell as choose_supercell
    from .phonons.supercell.objects import get_phonopy as get_phonopy
    from .phonons.supercell.patches import exact_matrices as exact_matrices
    from .phonons.supercell.rotations import RotationalInvariance as RotationalInvariance
    from .phonons.supercell.rotations import impose_rotations as impose_rotations
    from .phonons.supercell.rotations import measure_rotations as measure_rotations
    from .phonons.symmetry.irreps import find_irreps as find_irreps
    from .phonons.symmetry.irreps import write_irreps as write_irreps
    from .phonons.volumes import AnisotropicExpansion as AnisotropicExpansion
    from .phonons.volumes import get_anisotropic_expansion as get_anisotropic_expansion
    from .phonons.volumes import get_exact_gruneisen as get_exact_gruneisen
    from .phonons.volumes import get_gruneisen as get_gruneisen
    from .phonons.volumes import get_quasi_harmonic as get_quasi_harmonic
    from .phonons.volumes import phonons_at_volumes as phonons_at_volumes
    from .phonons.volumes.pictures import draw_expansion as draw_expansion
    from .phonons.volumes.pictures import draw_gruneisen as draw_gruneisen
    from .phonons.volumes.pictures import draw_quasi_harmonic as draw_quasi_harmonic
    from .structures.layers import as_layer as as_layer
    from .structures.relaxation import relax as relax
    from .studies.conductivity_settings import ConductivitySettings as ConductivitySettings
    from .studies.conductivity_study import conductivity_study as conductivity_study
    from .studies.density_settings import DensitySettings as DensitySettings
    from .studies.density_study import density_study as density_study
    from .studies.elastic_settings import ElasticSettings as ElasticSettings
    from .studies.elastic_study import elastic_study as elastic_study
    from .studies.evaluation import evaluation_study as evaluation_study
    from .studies.expansion_settings import ExpansionSettings as ExpansionSettings
    from .studies.expansion_study import expansion_study as expansion_study
    from .studies.gruneisen_study import gruneisen_study as gruneisen_study
    from .studies.labelling import label_structures as label_structures
    from .studies.molecule_settings import MoleculeSettings as MoleculeSettings
    from .studies.molecule_study import molecule_study as molecule_study
    from .studies.phonon_study import phonon_study as phonon_study
    from .studies.quasi_harmonic_study import quasi_harmonic_study as quasi_harmonic_study
    from .studies.screening import Screening as Screening
    from .studies.screening import screen as screen
    from .studies.settings import GruneisenSettings as GruneisenSettings
    from .studies.settings import PhononSettings as PhononSettings
    from .studies.settings import QuasiHarmonicSettings as QuasiHarmonicSettings
    from .studies.watch import Watch as Watch
    from .training import Scores as Scores
    from .training import TrainingConfig as TrainingConfig
    from .training import evaluate as evaluate
    from .training import fine_tune as fine_tune
    from .training import train as train
    from .training.imitation.student import imitate as imitate
    from .training.labels import Frame as Frame
    from .training.labels import frame_of_atoms as frame_of_atoms
    from .training.labels import frame_of_hessian as frame_of_hessian
    from .training.labels import read_frames as read_frames
    from .training.labels import save_frames as save_frames
    from .training.labels.density_labels import frame_of_density as frame_of_density
    from .training.labels.dipoles import without_dipoles as without_dipoles
    from .training.labels.line_lists import LineList as LineList
    from .training.labels.line_lists import read_lines as read_lines
    from .training.labels.lines import Line as Line
    from .training.labels.phonopy_labels import frame_of_phonopy as frame_of_phonopy
    from .training.labels.teacher import LabelRecipe as LabelRecipe
    from .training.spectral_tuning import SpectralResult as SpectralResult
    from .training.spectral_tuning import fine_tune_to_spectra as fine_tune_to_spectra
    from .web import write_page as write_page

__version__ = "0.1.0"

# Modules, and the public names that each defines.
_PUBLIC = {
    "base.drawing": "save_figure",
    "base.errors": "PhonaxError",
    "calculator": "PhonaxCalculator",
    "derivatives.conventions": "frequencies_thz",
    "models.files.native": "save_model",
    "models.loading": "load_model",
    "models.outputs": "Output",
    "models.potential": "Potential",
    "models.registry": "download_model list_models",
    "molecules.intensities": "Intensities vibrational_intensities",
    "molecules.normal_modes": "modes_of_vibrations normal_modes",
    "molecules.pictures": "draw_sticks",
    "molecules.point_groups": "find_point_group",
    "molecules.spectra": "Spectrum infrared_spectrum raman_spectrum",
    "molecules.spectrum_files": "read_spectrum write_spectrum",
    "molecules.spectrum_pictures": "draw_spectra",
    "molecules.stationary": "follow_imaginary stationary_modes",
    "molecules.thermochemistry": "gas_properties",
    "phonons.anharmonic": "GruneisenTensors ThermalConductivity choose_third_order_supercell get_phono3py"
    " get_thermal_conductivity gruneisen_tensors",
    "phonons.anharmonic.pictures": "draw_conductivity",
    "phonons.bands.plane_paths": "layer_path",
    "phonons.bands.structure": "get_band_structure",
    "phonons.bands.velocities": "get_group_velocities",
    "phonons.elastic": "ElasticConstants elastic_constants",
    "phonons.finite_differences": "DisplacementCalculator",
    "phonons.formats": "phonon_website to_ase_bands to_crystal_thermo",
    "phonons.instabilities.frozen": "follow_mode",
    "phonons.instabilities.imaginary": "find_imaginary_modes",
    "phonons.motion.animations": "animate modulate",
    "phonons.motion.displacements": "get_directional_densities get_participation get_thermal_motion",
    "phonons.pictures": "bands_and_dos draw_bands draw_densities",
    "phonons.polar": "PolarCalculator PolarLayerCalculator get_gamma_splitting predict_charges set_nac",
    "phonons.polar.infrared": "draw_infrared get_infrared_response",
    "phonons.sampling.heat": "converge_mesh get_thermal_properties",
    "phonons.sampling.meshes": "get_densities get_mesh",
    "phonons.densities": (
        "AlloySeries DensityHeat DensityOfStates LayerFeatures alloy_series debye_temperature density_heat"
        " draw_features exact_density kinetic_conductivity learned_features mean_frequency phonopy_density"
        " predict_density spectral_overlap superconductivity"
    ),
    "phonons.supercell.choice": "choose_supercell",
    "phonons.supercell.objects": "get_phonopy",
    "phonons.supercell.patches": "exact_matrices",
    "phonons.supercell.rotations": "RotationalInvariance impose_rotations measure_rotations",
    "phonons.symmetry.irreps": "find_irreps write_irreps",
    "phonons.volumes": "AnisotropicExpansion get_anisotropic_expansion get_exact_gruneisen get_gruneisen"
    " get_quasi_harmonic phonons_at_volumes",
    "phonons.volumes.pictures": "draw_expansion draw_gruneisen draw_quasi_harmonic",
    "structures.layers": "as_layer",
    "structures.relaxation": "relax",
    "studies.conductivity_settings": "ConductivitySettings",
    "studies.conductivity_study": "conductivity_study",
    "studies.density_settings": "DensitySettings",
    "studies.density_study": "density_study",
    "studies.elastic_settings": "ElasticSettings",
    "studies.elastic_study": "elastic_study",
    "studies.evaluation": "evaluation_study",
    "studies.expansion_settings": "ExpansionSettings",
    "studies.expansion_study": "expansion_study",
    "studies.gruneisen_study": "gruneisen_study",
    "studies.labelling": "label_structures",
    "studies.molecule_settings": "MoleculeSettings",
    "studies.molecule_study": "molecule_study",
    "studies.phonon_study": "phonon_study",
    "studies.quasi_harmonic_study": "quasi_harmonic_study",
    "studies.screening": "Screening screen",
    "studies.settings": "GruneisenSettings PhononSettings QuasiHarmonicSettings",
    "studies.watch": "Watch",
    "training": "Scores TrainingConfig evaluate fine_tune train",
    "training.imitation.student": "imitate",
    "training.labels": "Frame frame_of_atoms frame_of_hessian read_frames save_frames",
    "training.labels.density_labels": "frame_of_density",
    "training.labels.dipoles": "without_dipoles",
    "training.labels.line_lists": "LineList read_lines",
    "training.labels.lines": "Line",
    "training.labels.phonopy_labels": "frame_of_phonopy",
    "training.labels.teacher": "LabelRecipe",
    "training.spectral_tuning": "SpectralResult fine_tune_to_spectra",
    "web": "write_page",
}
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = sorted({"__version__", *_HOMES})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
