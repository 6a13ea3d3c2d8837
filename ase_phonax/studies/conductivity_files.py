"""Files of a study of the thermal conductivity that phono3py and its tools read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ..base.hdf5 import pack
from ..phonons.defaults import WIGNER

if TYPE_CHECKING:
    from phono3py import Phono3py

    from ..phonons.anharmonic import ThermalConductivity

FIRST_FILES = ("phono3py_params.yaml", "fc2.hdf5", "fc3.hdf5")
YAML = "conductivity.yaml"


def kappa_file(mesh: tuple[int, int, int]) -> str:
    """The name that phono3py gives to results on a mesh."""
    return f"kappa-m{''.join(map(str, mesh))}.hdf5"


def write_files(folder: Path, phono3py: Phono3py, found: ThermalConductivity) -> None:
    """Cells, constants and results, as phono3py's commands read them, and a table for people and programs."""
    from phono3py.file_IO import write_fc2_to_hdf5, write_fc3_to_hdf5

    phono3py.save(folder / FIRST_FILES[0], settings={"force_constants": False, "displacements": False})
    primitive = phono3py.primitive
    write_fc2_to_hdf5(phono3py.fc2, filename=folder / FIRST_FILES[1], p2s_map=phono3py.phonon_primitive.p2s_map)
    write_fc3_to_hdf5(phono3py.fc3, filename=folder / FIRST_FILES[2], p2s_map=primitive.p2s_map)
    (folder / kappa_file(found.mesh)).write_bytes(_kappa(found))
    (folder / YAML).write_text(yaml.safe_dump(table(found), sort_keys=False, allow_unicode=True))


def table(found: ThermalConductivity) -> dict[str, Any]:
    """Conductivities by temperature, and how they were solved."""
    return {
        "method": found.method,
        "mesh": list(found.mesh),
        "isotopes": found.isotopes,
        "boundary_um": found.boundary_um,
        "units": {"temperature": "K", "kappa": "W/m/K", "boundary_um": "µm"},
        "conductivities": [
            {"temperature": float(t), "kappa": [[round(float(x), 9) for x in row] for row in own]}
            for t, own in zip(found.temperatures, found.kappa, strict=True)
        ],
    }


def _kappa(found: ThermalConductivity) -> bytes:
    """The bytes of a file with the names that phono3py gives to its results; of relaxation times for every method."""
    solved = found.solution
    arrays = {
        "temperature": found.temperatures,
        "mesh": np.array(found.mesh),
        "frequency": found.frequencies,
        "gamma": solved.gamma,
        "gamma_isotope": solved.gamma_isotope,
        "group_velocity": solved.velocities,
        "heat_capacity": solved.heat_capacities,
        "kappa": solved.kappa,
        "mode_kappa": None if found.method == WIGNER else solved.modes,
        "qpoint": found.qpoints,
        "weight": found.weights,
        "kappa_unit_conversion": solved.unit_conversion,
    }
    return pack({name: values for name, values in arrays.items() if values is not None})
