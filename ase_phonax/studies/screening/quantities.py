"""What a study of one crystal leaves in a database: numbers to select by, and arrays beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...phonons.bands.paths import joint_names
from ...phonons.sampling.meshes import ZERO_THZ

if TYPE_CHECKING:
    from ..phonon_results import PhononStudy
    from ..study import Study
    from ..summary_units import Summary

# What differs between two runs of the same, and what is the same for all crystals of a screening.
_LEFT_OUT = {"provenance", "units", "timings_s", "files", "structure_file", "version"}
# The model is the same for all of them, and described in the database's metadata.
_OF_THE_MODEL = {"level_of_theory", "model_errors", "model_symmetry", "licence", "training_set", "citation", "dtype"}
# Columns that ASE computes of a row, besides its reserved keys.
_TAKEN = {"mass", "volume", "charge", "natoms", "masses", "tags", "constrained_forces", "name", "place", "reason"}
_WORDS = 200  # letters of a text to select by
N_ACOUSTIC = 3


def plain_summary(study: Study) -> Summary:
    """Its summary without dates, seconds and files: the same for the same crystal, whoever computes it."""
    return {name: value for name, value in study.to_dict().items() if name not in _LEFT_OUT}


def quantities(study: Study) -> dict[str, float | int | str]:
    """Numbers and short texts by names that ASE's databases take: "thermal_temperature_K", "checks_hermiticity"."""
    summary = {name: value for name, value in plain_summary(study).items() if name not in _OF_THE_MODEL}
    found = {name: value for name, value in _flat(summary, "") if _can_be_kept(name, value)}
    found["n_warnings"] = len(summary.get("warnings", ()))
    return found | {"version": __version__} | (_of_phonons(study) if hasattr(study, "sampling") else {})


def arrays(study: Study) -> dict[str, Any]:
    """Bands, densities and heat of phonons; nothing of other studies, whose summaries hold all they have."""
    return _arrays_of_phonons(study) if hasattr(study, "sampling") else {}


def band_extremes(frequencies: NDArray[np.float64]) -> dict[str, float]:
    """The widest gap between two bands, and the optical band whose width is least, relative to its mean.

    Args:
        frequencies: (points, bands), ascending [THz].
    """
    found: dict[str, float] = {}
    gaps = frequencies[:, 1:].min(axis=0) - frequencies[:, :-1].max(axis=0)
    if len(gaps):
        widest = int(gaps.argmax())
        found["band_gap_thz"] = float(max(gaps[widest], 0.0))
        if gaps[widest] > 0:
            found["band_gap_from_thz"] = float(frequencies[:, widest].max())
    optical = frequencies[:, N_ACOUSTIC:]
    means = optical.mean(axis=0)
    real = means > ZERO_THZ
    if real.any():
        relative = np.where(real, np.ptp(optical, axis=0) / np.where(real, means, 1), np.inf)
        flattest = int(relative.argmin())
        found["flattest_band"] = flattest + N_ACOUSTIC
        found["flattest_mean_thz"] = float(means[flattest])
        found["flattest_width"] = float(relative[flattest])
    return found


def _of_phonons(study: Any) -> dict[str, float | int | str]:
    """What one looks for among the phonons of many crystals."""
    from ...base.errors import InputError
    from ...phonons.densities.formulas import debye_temperature

    results: PhononStudy = study
    sampling = results.sampling
    found: dict[str, float | int | str] = {"stable": int(not sampling.unstable)}
    found |= band_extremes(np.concatenate([np.asarray(own) for own in sampling.bands.frequencies]))
    if not sampling.unstable:
        points, density = (np.asarray(own) for own in (sampling.total_dos.frequency_points, sampling.total_dos.dos))
        with suppress(InputError):  # heat at room temperature may say nothing of it
            found["debye_temperature_K"] = debye_temperature(points, np.maximum(density, 0))
    return found


def _arrays_of_phonons(study: Any) -> dict[str, Any]:
    sampling = study.sampling
    bands, thermal = sampling.bands, sampling.thermal
    return {
        "bands/qpoints": np.concatenate([np.asarray(own) for own in bands.qpoints]),
        "bands/distances": np.concatenate([np.asarray(own) for own in bands.distances]),
        "bands/frequencies_thz": np.concatenate([np.asarray(own) for own in bands.frequencies]),
        "bands/segments": np.cumsum([0, *(len(own) for own in bands.distances)]),
        # Of the ends of segments, one on a line.
        "bands/labels": "\n".join(joint_names(list(bands.labels or []), list(bands.path_connections))),
        "density/frequencies_thz": np.asarray(sampling.total_dos.frequency_points),
        "density/total": np.asarray(sampling.total_dos.dos),
        "heat/temperatures_K": np.asarray(thermal.temperatures),
        "heat/free_energy_kJ_mol": np.asarray(thermal.free_energy),
        "heat/entropy_J_K_mol": np.asarray(thermal.entropy),
        "heat/heat_capacity_J_K_mol": np.asarray(thermal.heat_capacity),
    }


def _flat(values: Mapping[str, Any], begin: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        whole = f"{begin}_{name}" if begin else str(name)
        if isinstance(value, Mapping):
            yield from _flat(value, whole)
        elif isinstance(value, bool):
            yield whole, int(value)
        elif isinstance(value, (int, float, str)):
            yield whole, value


def _can_be_kept(name: str, value: Any) -> bool:
    """Whether ASE takes it as a key and its value."""
    from ase.db.core import reserved_keys

    if name in _TAKEN or name in reserved_keys or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        return False
    if isinstance(value, str):
        return 0 < len(value) <= _WORDS and not _is_number(value)
    return math.isfinite(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True
