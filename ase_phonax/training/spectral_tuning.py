"""A model corrected by spectra: its frequencies to lines, while what it says of other structures is kept.

After the fourth figure of Fang, Geiger, Checkelsky, Smidt, arXiv:2403.11347: a potential is trained on until its
frequencies are those of a spectrum. Energies and forces of other structures, labelled by the model as it was, are
learned beside (replay), so that it forgets nothing; how far they drift is measured on some that were held out.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from ..base.errors import InputError, PhonaxError
from ..base.progress import Progress
from ..base.units import CM1_PER_THZ, FREQUENCY_UNITS
from ..calculator import PhonaxCalculator
from ..derivatives.evaluator import Evaluator
from ..models.fields import DIPOLE, has_output
from ..models.loading import load_model
from ..models.potential import Potential
from .answers import Answers, Respondent
from .config import Config, TrainingConfig, as_config, as_dict
from .labels.frames import Frame
from .labels.line_lists import AssignedLines, LineList, assigned, read_lines
from .labels.lines import Line
from .labels.teacher import LabelRecipe, Perturbation, label
from .loop import TrainingResult, fine_tune
from .trainer import Report

# What of each structure is replayed: its minimum with its Hessian, and draws about it.
REPLAY = LabelRecipe(perturbations=(Perturbation(), Perturbation(positions=0.06, count=3, waves=0)))
HELD_OUT = 5  # every so many structures of the replay judge the drift
OF_INTENSITIES = 10.0  # weight of intensities where there are some, in units of the strongest line of each molecule
BATCHES = 20  # of spectra in an epoch, at least
LARGEST_REPLAYED = 10  # atoms of those that are replayed by default
DEFAULTS: dict[str, Any] = {
    "loss": {
        "energy": 1.0,
        "forces": 10.0,
        "curvature": 20.0,
        "directions": "thermal",
        "spectrum": 1.0,
        "scales": {"spectrum": 0.6, "forces": 1.0},
    },
    "optimiser": {"epochs": 8, "batch_size": 8, "learning_rate": 1e-3, "ema": 0.98},
    "run": {"keep": "last", "validate_every": 10, "n_shapes": 1},
}


@dataclass(frozen=True)
class LineError:
    """One line before and after.

    Attributes:
        structure: formula.
        line: as it was given.
        species: of the modes it was assigned to; "" where they have no name.
        modes: of the starting model, counted from 1.
        known, before, after: frequency of the line, and of the model's modes before and after [1/cm].
    """

    structure: str
    line: Line
    species: str
    modes: tuple[int, ...]
    known: float
    before: float
    after: float


@dataclass(frozen=True)
class SpectralResult:
    """What fine-tuning to spectra leaves behind.

    Attributes:
        training: of `fine_tune`: the potential, its history and folder.
        lines: each line before and after, at the minimum of the model before and after.
        drift: "energy_mae" [eV/atom], "forces_mae" and "forces_rms" (their size) [eV/Å] of structures held out from the
            replay, the model now against the model as it was; empty without a replay.
        n_replayed: structures that were learned, and held out.
    """

    training: TrainingResult
    lines: tuple[LineError, ...]
    drift: dict[str, float]
    n_replayed: tuple[int, int]

    def rms(self, when: str = "after") -> float:
        """Root mean square difference of the lines from the model's modes, "before" or "after" [1/cm]."""
        return float(np.sqrt(np.mean([(getattr(row, when) - row.known) ** 2 for row in self.lines])))


def fine_tune_to_spectra(
    model: str | os.PathLike | Potential,
    spectra: Sequence[str | os.PathLike | tuple[LineList, Atoms]],
    config: Config | None = None,
    *,
    replay: Sequence[Atoms] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
    progress: Progress | None = None,
) -> SpectralResult:
    """Train on until a model's frequencies are those of spectra.

    Args:
        model: a `Potential`, a registered name, or a model file; it is left as it is.
        spectra: files of lines (`labels.line_lists`), or lists with their structures.
        config: as for `fine_tune`, without data; what is left out is that of `DEFAULTS`.
        replay: structures whose energies, forces and Hessians are to stay; None: small molecules of the G2 set whose
            elements the model knows, where a spectrum is of a molecule, and nothing where all are of crystals.
        resume, overwrite, report, progress: as for `fine_tune`.

    Raises:
        InputError: lines that cannot be assigned; settings or frames as for `fine_tune`.
        StructureError: a structure that the model cannot compute, or that is at no minimum of it.
        RelaxationError: a structure that does not relax.
    """
    potential = load_model(model)
    calc = PhonaxCalculator(potential)
    given = [(*read_lines(s), os.fspath(s)) if isinstance(s, (str, os.PathLike)) else (*s, "") for s in spectra]
    if not given:
        raise InputError("no spectrum is given", "there is nothing to learn from", "name at least one list of lines")
    found = [assigned(lines, atoms, calc, source) for lines, atoms, source in given]
    chosen = default_replay(potential, [lines.atoms for lines in found]) if replay is None else replay
    learned, held = _replayed(chosen, calc)
    settings = settings_of(config)
    if any(line.intensity is not None for lines, _, _ in given for line in lines.lines):
        if not has_output(potential, DIPOLE):
            raise InputError(
                f"lines have intensities, and the model {potential.name!r} gives no dipole",
                "absorption is its derivative",
                "leave intensities out, or start from a model that gives one",
            )
        if not settings.loss.intensities:
            settings = replace(settings, loss=replace(settings.loss, intensities=OF_INTENSITIES))
    training = _as_often([frame for lines in found for frame in lines.frames], learned, settings.optimiser.batch_size)
    result = fine_tune(
        potential,
        settings,
        frames=(training, held),
        resume=resume,
        overwrite=overwrite,
        report=report,
        progress=progress,
    )
    after = PhonaxCalculator(result.potential)
    rows = [_errors(own, lines, after, source) for own, (lines, _, source) in zip(found, given, strict=True)]
    n_learned, n_held = (len({frame.origin for frame in frames}) for frames in (learned, held))
    return SpectralResult(
        training=result,
        lines=tuple(row for own in rows for row in own),
        drift=_drift(result.potential, held),
        n_replayed=(n_learned, n_held),
    )


def default_replay(potential: Potential, targets: Sequence[Atoms]) -> list[Atoms]:
    """Molecules of the G2 set of the potential's elements, those of the spectra left out; none for crystals alone.

    Closed shells of three to LARGEST_REPLAYED atoms (Curtiss et al., J. Chem. Phys. 106, 1063 (1997)), as ASE has them.
    """
    from ase.collections import g2

    if all(atoms.pbc.any() for atoms in targets):
        return []
    formulas = {atoms.get_chemical_formula() for atoms in targets}
    molecules = [g2[name] for name in g2.names]
    return [
        atoms
        for atoms in molecules
        if set(atoms.numbers) <= set(potential.numbers)
        and 3 <= len(atoms) <= LARGEST_REPLAYED
        and atoms.numbers.sum() % 2 == 0
        and not atoms.get_initial_magnetic_moments().any()
        and atoms.get_chemical_formula() not in formulas
    ]


def _replayed(structures: Sequence[Atoms], calc: PhonaxCalculator) -> tuple[list[Frame], list[Frame]]:
    """Frames of the model's own, to learn and to judge by; structures that it does not hold together are left out."""
    learned: list[Frame] = []
    held: list[Frame] = []
    for number, atoms in enumerate(structures):
        try:
            frames = label(atoms, calc, REPLAY, number, f"replay {number} {atoms.get_chemical_formula()}")
        except PhonaxError:
            continue
        # Products with the Hessian will do: whole ones would take most of the time.
        own = [replace(frame, weights=(("spectrum", 0.0),)) for frame in frames]
        (held if number % HELD_OUT == HELD_OUT - 1 else learned).extend(own)
    return learned, held


def _as_often(spectra: Sequence[Frame], replay: Sequence[Frame], batch_size: int) -> list[Frame]:
    """Frames of an epoch: spectra are repeated until there are BATCHES of them, or as many as of what is replayed."""
    n_batches = -(-len(spectra) // batch_size)
    times = max(1, BATCHES // n_batches, -(-len(replay) // batch_size) // n_batches)
    return [*replay, *(frame for _ in range(times) for frame in spectra)]


def settings_of(config: Config | None) -> TrainingConfig:
    """Settings completed by `DEFAULTS`, and without data."""
    own = {} if config is None else as_dict(as_config(config)) if not isinstance(config, Mapping) else config
    return as_config({**own, **{name: merged(section, own.get(name, {})) for name, section in DEFAULTS.items()}})


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, and those inside them, over defaults."""
    inner = {k: merged(v, own.get(k, {})) for k, v in defaults.items() if isinstance(v, Mapping)}
    return {**defaults, **own, **inner}


def _errors(before: AssignedLines, lines: LineList, calc: PhonaxCalculator, source: str) -> list[LineError]:
    """Lines against the modes that they are of, at the minimum of the model before and after."""
    after = assigned(lines, before.atoms, calc, source)
    rows = []
    for line, level in before.pairs:
        now = next(own for mine, own in after.pairs if mine is line)
        rows.append(
            LineError(
                structure=before.atoms.get_chemical_formula(),
                line=line,
                species=level.label,
                modes=level.modes,
                known=CM1_PER_THZ * line.at / FREQUENCY_UNITS[lines.unit][0],
                before=CM1_PER_THZ * level.frequency,
                after=CM1_PER_THZ * now.frequency,
            )
        )
    return rows


def _drift(potential: Potential, held: Sequence[Frame]) -> dict[str, float]:
    """How far energies and forces are from what they were."""
    if not held:
        return {}
    respondent = Respondent(Evaluator(potential, np.dtype(np.float64)))
    energies, forces = [], []
    for frame in held:
        answers = Answers(respondent, frame)
        energies.append(abs(answers.energy - float(frame.energy or 0.0)) / len(frame.atoms))
        forces.append(answers.forces - frame.forces)
    return {
        "energy_mae": float(np.mean(energies)),
        "forces_mae": float(np.mean(np.abs(np.concatenate(forces)))),
        "forces_rms": float(np.sqrt(np.mean(np.concatenate([frame.forces for frame in held]) ** 2))),
    }
