"""A model corrected by spectra: its frequencies to lines, while what it says of other structures is kept.

After the fourth figure of Fang, Geiger, Checkelsky, Smidt, arXiv:2403.11347: a potential is trained on until its
frequencies are those of a spectrum. Energies and forces of other structures, labelled by the model as it was, are
learned beside (`replay`), so that it forgets nothing; how far they drift is measured on some that were held out.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..base.errors import InputError, PhonaxError, UnstableWarning
from ..base.progress import Progress
from ..base.settings import read_yaml
from ..base.units import CM1_PER_THZ, FREQUENCY_UNITS
from ..calculator import PhonaxCalculator
from ..models.fields import DIPOLE, has_output
from ..models.loading import load_model
from ..models.potential import Potential
from .config import Config, TrainingConfig, as_config, relative_to
from .folders import working_in
from .labels import read_frames, save_frames
from .labels.frames import Frame
from .labels.line_lists import AssignedLines, LineList, assigned, read_lines
from .labels.lines import Line
from .loop import TrainingResult, fine_tune
from .replay import default_replay, drift, replayed
from .trainer import Report

OF_INTENSITIES = 10.0  # weight of intensities where there are some, in units of the strongest line of each molecule
LEAST_BATCHES = 20  # of spectra in an epoch
FRAMES = ("spectra.h5", "replay.h5", "held_out.h5")  # in the folder of a run, so that it goes on with the same
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
        structure: its name.
        line: as it was given.
        species: of the modes it was assigned to; "" where they have no name.
        modes: of the starting model, counted from 1.
        known, before, after: frequency of the line, and of the model's modes before and after, at its own minimum each
            time [1/cm]; NaN where there is none.
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
        lines: each line before and after.
        drift: "energy_mae" [eV/atom], "forces_mae" and "forces_rms" (their size) [eV/Å] of structures held out from the
            replay, the model now against the model as it was; empty where none was.
        n_replayed: structures that were learned, and held out.
    """

    training: TrainingResult
    lines: tuple[LineError, ...]
    drift: dict[str, float]
    n_replayed: tuple[int, int]

    def rms(self, when: str = "after") -> float:
        """Root mean square difference of the lines from the model's modes, "before" or "after" [1/cm]."""
        return float(np.sqrt(np.nanmean([(getattr(row, when) - row.known) ** 2 for row in self.lines])))


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
        config: as for `fine_tune`, without data. Of a mapping or a file, what is left out is that of `DEFAULTS`; a
            `TrainingConfig` is taken as it is.
        replay: structures whose energies, forces and Hessians are to stay; None: small molecules of the G2 set whose
            elements the model knows, where a spectrum is of a molecule, and nothing where all are of crystals.
        resume, overwrite, report, progress: as for `fine_tune`.

    Raises:
        InputError: lines that cannot be assigned; settings or frames as for `fine_tune`.
        StructureError: a structure that the model cannot compute, or that is at no minimum of it.
        RelaxationError: a structure that does not relax.
        OutputError: as for `fine_tune`.
    """
    potential, settings = load_model(model), settings_of(config)
    folder = Path(settings.run.output)
    with working_in(folder, model, resume=resume, overwrite=overwrite):
        pass  # whatever forbids it is said now, and not after the structures have been relaxed
    given = [(*read_lines(s), os.fspath(s)) if isinstance(s, (str, os.PathLike)) else (*s, "") for s in spectra]
    if not given:
        raise InputError("no spectrum is given", "there is nothing to learn from", "name at least one list of lines")
    calc = PhonaxCalculator(potential)
    found = [assigned(lines, atoms, calc, source) for lines, atoms, source in given]
    paths = [folder / name for name in FRAMES]
    if resume and paths[0].exists():
        frames, learned, held = (read_frames(path) if path.exists() else [] for path in paths)
    else:
        chosen = default_replay(potential, [own.atoms for own in found]) if replay is None else replay
        frames = [frame for own in found for frame in own.frames]
        learned, held = replayed(chosen, calc, given=replay is not None)
        _keep(dict(zip(paths, (frames, learned, held), strict=True)))
    settings = _fitting(settings, potential, given, bool(learned))
    training = _as_often(frames, learned, settings.optimiser.batch_size)
    result = fine_tune(
        model, settings, frames=(training, held), resume=resume, overwrite=overwrite, report=report, progress=progress
    )
    n_learned, n_held = (len({frame.origin for frame in part}) for part in (learned, held))
    after = PhonaxCalculator(result.potential)
    rows = [_errors(own, calc, after, lines) for own, (lines, _, _) in zip(found, given, strict=True)]
    return SpectralResult(
        training=result,
        lines=tuple(row for own in rows for row in own),
        drift=drift(result.potential, held),
        n_replayed=(n_learned, n_held),
    )


def _keep(frames: Mapping[Path, Sequence[Frame]]) -> None:
    """Write the frames of a run, so that it can go on with the same."""
    for path, own in frames.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if own:
            save_frames(own, path)


def settings_of(config: Config | None) -> TrainingConfig:
    """Settings completed by `DEFAULTS`; a `TrainingConfig` as it is.

    Raises:
        InputError: an unknown or wrong setting; data, which spectra are here; no weight for the spectrum.
    """
    settings = config if isinstance(config, TrainingConfig) else _completed(config)
    if not settings.loss.spectrum:
        raise InputError("loss.spectrum is 0", "the lines would not be learned", "give it a weight, such as 1")
    return settings


def _completed(config: Mapping[str, Any] | str | os.PathLike | None) -> TrainingConfig:
    is_path = isinstance(config, (str, os.PathLike))
    own: Mapping[str, Any] = read_yaml(Path(config)) if is_path else config or {}  # type: ignore[arg-type, assignment]
    as_config(own)  # names whatever is wrong
    if "data" in own:
        raise InputError(
            "the configuration has a section data",
            "frames are those of the spectra and of the replay, and others would be left out unseen",
            "leave data out; structures whose labels are to stay are the replay",
        )
    settings = as_config({**own, **{name: _merged(section, own.get(name, {})) for name, section in DEFAULTS.items()}})
    return relative_to(settings, Path(config).parent) if is_path else settings  # type: ignore[arg-type]


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, and those inside them, over defaults."""
    inner = {k: _merged(v, own.get(k, {})) for k, v in defaults.items() if isinstance(v, Mapping)}
    return {**defaults, **own, **inner}


def _fitting(
    settings: TrainingConfig, potential: Potential, given: Sequence[tuple[LineList, Atoms, str]], with_replay: bool
) -> TrainingConfig:
    """Weights of what is there to be learned: energies and Hessians of a replay, intensities of lines."""
    loss = settings.loss if with_replay else replace(settings.loss, energy=0.0, curvature=0.0)
    if any(line.intensity is not None for lines, _, _ in given for line in lines.lines):
        if not has_output(potential, DIPOLE):
            raise InputError(
                f"lines have intensities, and the model {potential.name!r} gives no dipole",
                "absorption is its derivative",
                "leave intensities out, or start from a model that gives one",
            )
        loss = replace(loss, intensities=loss.intensities or OF_INTENSITIES)
    return replace(settings, loss=loss)


def _as_often(spectra: Sequence[Frame], replay: Sequence[Frame], batch_size: int) -> list[Frame]:
    """Frames of an epoch: spectra are repeated until there are LEAST_BATCHES of them, or as many as of the replay."""
    n_batches = -(-len(spectra) // batch_size)
    times = max(1, LEAST_BATCHES // n_batches, -(-len(replay) // batch_size) // n_batches)
    return [*replay, *(frame for _ in range(times) for frame in spectra)]


def _errors(
    found: AssignedLines, before: PhonaxCalculator, after: PhonaxCalculator, lines: LineList
) -> list[LineError]:
    """Lines against the modes that they are of, at the minimum of the model before and after."""
    try:
        now = found.frequencies(after)
    except PhonaxError as error:
        warnings.warn(f"{found.name} has no minimum any more: {error.what}", UnstableWarning, stacklevel=3)
        now = [np.nan] * len(found.assignments)
    return [
        LineError(
            structure=found.name,
            line=own.line,
            species=own.level.label,
            modes=own.level.modes,
            known=CM1_PER_THZ * own.line.at / FREQUENCY_UNITS[lines.unit][0],
            before=CM1_PER_THZ * then,
            after=CM1_PER_THZ * frequency,
        )
        for own, then, frequency in zip(found.assignments, found.frequencies(before), now, strict=True)
    ]
