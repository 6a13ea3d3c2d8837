"""One crystal of a screening, as a pure function: what is computed depends on nothing but its arguments."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ...base.errors import InputError, PhonaxError, is_failure
from ...base.hdf5 import pack
from ..notes import collected_warnings
from ..settings import check_supercell
from .quantities import arrays, plain_summary, quantities

if TYPE_CHECKING:
    from ...calculator import PhonaxCalculator
    from ..options import Settings

DIED = "its worker died"
# Name: module and function of the study, module and class of its settings.
STUDIES = {
    "phonons": ("phonon_study", "phonon_study", "settings", "PhononSettings"),
    "elastic": ("elastic_study", "elastic_study", "elastic_settings", "ElasticSettings"),
    "gruneisen": ("gruneisen_study", "gruneisen_study", "settings", "GruneisenSettings"),
    "expansion": ("expansion_study", "expansion_study", "expansion_settings", "ExpansionSettings"),
    "conductivity": ("conductivity_study", "conductivity_study", "conductivity_settings", "ConductivitySettings"),
}


@dataclass(frozen=True)
class Job:
    """What is asked of every crystal.

    Attributes:
        study: one of `STUDIES`.
        settings: those of the study, as `to_dict` gives them.
    """

    study: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, study: str, settings: Settings | dict[str, Any] | None) -> Job:
        """A job whose settings are checked.

        Raises:
            InputError: no such study, or settings that are none of it.
        """
        if study not in STUDIES:
            raise InputError(
                f"{study!r} is no study of many crystals",
                "each has its own settings",
                f"give one of {', '.join(STUDIES)}",
            )
        kind = _settings_of(study)
        checked = kind.from_dict(settings) if isinstance(settings, dict) else kind.checked(settings)
        check_supercell(checked)  # it would be a fault of every crystal
        return cls(study, checked.to_dict())

    def __call__(self, atoms: Atoms, calc: PhonaxCalculator) -> Any:
        """The study of one crystal."""
        module, function, *_ = STUDIES[self.study]
        run = getattr(import_module(f"..{module}", __package__), function)
        return run(atoms, calc, _settings_of(self.study).from_dict(self.settings))


@dataclass(frozen=True)
class Outcome:
    """What came of one crystal.

    Attributes:
        reason: why nothing came of it; "" where it did.
        quantities: numbers and short texts to select by.
        summary: all numbers of the study, in built-in types.
        arrays: the bytes of a sealed HDF5 file; empty where there are none.
        atoms: at rest; as given where nothing came of it.
        seconds: it took.
    """

    reason: str
    quantities: dict[str, float | int | str]
    summary: dict[str, Any]
    arrays: bytes
    atoms: Atoms
    seconds: float


def key_of(atoms: Atoms, job: Job, model: str) -> str:
    """32 hexadecimal digits of all that decides the result: crystal, model, study and its settings.

    Args:
        model: fingerprint of the model and precision of the calculator.
    """
    digest = hashlib.sha256(json.dumps([model, job.study, job.settings], sort_keys=True).encode())
    for values in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses()):
        digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(repr(atoms.info.get("occupancy")).encode())  # of sites that elements share, which are refused
    return digest.hexdigest()[:32]


def computed(atoms: Atoms, calc: PhonaxCalculator, job: Job) -> Outcome:
    """The study of one crystal; whatever goes wrong is its result."""
    start = time.perf_counter()
    try:
        with collected_warnings():  # which its summary has, and nobody at a terminal wants of thousands
            study = job(atoms, calc)
        content = arrays(study)
        return Outcome(
            "",
            quantities(study),
            plain_summary(study),
            pack(content) if content else b"",
            getattr(study, "atoms", atoms),
            time.perf_counter() - start,
        )
    except PhonaxError as error:
        reason = f"{error.what}: {error.why}; {error.remedy}"
    except BaseException as error:  # a fault of ours in one of thousands must not end the others
        if not is_failure(error):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"unexpected {type(error).__name__} in {last.name}: {error}"
    return Outcome(reason, {}, {}, b"", atoms, time.perf_counter() - start)


def failure(atoms: Atoms, reason: str) -> Outcome:
    """Of a crystal whose worker did not come back."""
    return Outcome(reason, {}, {}, b"", atoms, 0.0)


def _settings_of(study: str) -> type[Settings]:
    *_, module, name = STUDIES[study]
    found: type[Settings] = getattr(import_module(f"..{module}", __package__), name)
    return found
