"""Training on labels, from nothing or from a model, and the model at the end."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..base.errors import InputError
from ..base.progress import Progress
from ..derivatives.compiled.responses import cast
from ..models.elements import restricted
from ..models.potential import Potential, Provenance
from ..phonons.polar.widths import DIPOLE_WIDTH, width_of
from . import partition, placement, setup
from .answers import check_fields
from .batches import Item, Planner, iterate, prepare
from .config import Config, NetworkConfig, TrainingConfig, as_config, as_dict
from .first_parameters import Parameters
from .folders import MODEL, working_in
from .history import FIGURE, draw, write_csv
from .labels.frames import Frame, count_labels, find_elements, fingerprint
from .targets import wanted_outputs
from .trainer import FROM_A_MODEL, FROM_NOTHING, Report, Trainer, as_arrays


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves behind.

    Attributes:
        potential: the best by validation, or the last without one or by `run.keep`; also in `folder/model.h5`.
        history: a row for each epoch.
        folder: of model, log, figure and checkpoint.
    """

    potential: Potential
    history: tuple[Mapping[str, Any], ...]
    folder: Path


def train(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    frames: tuple[Sequence[Frame], Sequence[Frame]] | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a potential from nothing.

    Args:
        config: a `TrainingConfig`, the same as nested mappings, or the path of a YAML file.
        resume: go on from the last checkpoint in the output folder; the result is the same, bit for bit on the same
            machine, versions and number of threads, as if it had never stopped.
        overwrite: start anew where the folder holds an earlier run.
        frames: training and validation frames in place of the files of `config.data`.
        report: called with the row of each epoch.
        progress: called with (done, total) steps.

    Raises:
        InputError: configuration, data or checkpoint cannot be used; nothing was changed.
        TrainingError: loss or gradient not finite; the frames of the batch are named.
        OutputError: the folder holds an earlier run, cannot be written, or another run is writing there.
    """
    return _run(as_config(config), None, None, resume, overwrite, frames, report, progress)


def fine_tune(
    model: str | os.PathLike | Potential,
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    frames: tuple[Sequence[Frame], Sequence[Frame]] | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train on from any model that can be loaded; the network is the model's: leave `config.network` out.

    Args:
        model: a `Potential`, a registered name, or a model file (Nequix checkpoints included).
        config: as for `train`, without the section network.

    The other arguments, and the errors, are those of `train`.
    """
    from ..models.loading import load_model

    potential = load_model(model)
    if potential.architecture is None:
        raise InputError(
            f"the potential {potential.name!r} is a plain function",
            "its parameters are not known by name, and the result could not be stored",
            "start from a model file",
        )
    settings = as_config(config)
    if settings.network != NetworkConfig():
        raise InputError(
            "the configuration describes a network",
            f"in fine-tuning the network is that of {potential.name}, and the description would be ignored",
            "leave out the section network; `ase-phonax fine-tune MODEL --template` prints what counts",
        )
    return _run(settings, potential, model, resume, overwrite, frames, report, progress)


def _run(
    config: TrainingConfig,
    base: Potential | None,
    model: str | os.PathLike | Potential | None,
    resume: bool,
    overwrite: bool,
    frames: tuple[Sequence[Frame], Sequence[Frame]] | None,
    report: Report | None,
    progress: Progress | None,
) -> TrainingResult:
    folder = Path(config.run.output)
    with working_in(folder, model, resume=resume, overwrite=overwrite) as replaces:
        training, valid = frames or partition.load_frames(config.data, config.run.seed)
        if not training:
            raise InputError("there are no training frames", "there is nothing to learn from", "check data.train")
        setup.check_labels(training, config.loss)
        with jax.enable_x64(config.run.precision == "float64"):
            run = Run(config, base, list(training), list(valid))
            run.replaces = replaces
            if resume:
                run.load(folder)
            run.go(folder, report, progress, base is not None)
            return run.finish(folder)


class Run(Trainer):
    """A training run on labels: what its `Trainer` needs is made here from configuration and frames."""

    def __init__(self, config: TrainingConfig, base: Potential | None, training: list[Frame], valid: list[Frame]):
        from . import steps

        self.config, self.training = config, training
        dtype = np.dtype(config.run.precision)
        start = None if base is None else base.fingerprint()
        if base is not None and config.fine_tune.elements == "frames":
            base = restricted(base, find_elements([*training, *valid]))
        if base is not None and config.fine_tune.energies == "shift":
            base = setup.shifted(base, training)
        elif base is not None and config.loss.energy:
            setup.check_references(base, training)
        potential = base or setup.new_potential(config, training)
        in_fields = any(frame.field is not None for frame in training)
        self.potential = setup.with_wanted_outputs(potential, config.loss, config.run.seed, in_fields)
        check_fields(self.potential, [*training, *valid])
        self.base = None if base is None else base.name
        self.base_width = None if base is None else width_of(base)
        frozen = setup.frozen_names(config.fine_tune.frozen, self.potential.parameters)
        scales = setup.label_scales(config.loss, training, self.potential.numbers)
        n_devices = placement.n_devices(config.run.devices)
        items = self._items(training)
        pieces = placement.n_pieces(config.optimiser, items, n_devices)
        in_fields = in_fields or any(frame.field is not None for frame in valid)
        asked = in_fields or wanted_outputs(config.loss)
        self.function = self.potential.node_outputs if asked else self.potential.node_energies
        self.rules = steps.Rules.of(config.loss, config.optimiser, frozen, pieces, self.potential)
        planner = self._planner(items, dtype, n_devices * pieces)
        self.valid = self._planner(self._items(partition.validated(valid)), dtype, 1) if valid else None
        high = config.optimiser.learning_rate
        if high == "auto":
            high = FROM_NOTHING if base is None else FROM_A_MODEL
        total = len(planner.epoch(config.run.seed, 0)) * config.optimiser.epochs
        self.counts = {"train": count_labels(training), "valid": count_labels(valid)}
        super().__init__(
            self._step,
            planner,
            steps.learning_rates(config.optimiser, float(high), total, dtype),
            self._validate if valid else None,
            state=steps.start(self.rules, cast(self.potential.parameters, dtype)),
            scales={name: dtype.type(value) for name, value in scales.items()},
            optimiser=config.optimiser,
            run=config.run,
            n_devices=n_devices,
            identity={"config": as_dict(config), "base": start, "data": fingerprint([*training, *valid])},
        )

    def _items(self, frames: Sequence[Frame]) -> list[Item]:
        loss = self.config.loss
        return prepare(
            frames,
            self.potential.cutoff,
            self.potential.numbers,
            self.potential.name,
            curvature=bool(loss.curvature or loss.projections),
            spectrum=bool(loss.spectrum),
        )

    def _planner(self, items: list[Item], dtype: np.dtype, n_stacked: int) -> Planner:
        loss, run = self.config.loss, self.config.run
        return Planner(
            items,
            self.config.optimiser.batch_size,
            n_shapes=run.n_shapes,
            n_columns=loss.columns,
            directions=loss.directions,
            dtype=dtype,
            n_stacked=n_stacked,
        )

    def _step(self, kind: str) -> Callable[..., Any]:
        from . import steps

        return steps.training_step(self.function, self.potential.cutoff, self.rules, kind)

    def _validate(self, parameters: Parameters) -> dict[str, float]:
        """Weighted loss and errors over the validation frames, always in the same directions."""
        from . import steps

        assert self.valid is not None
        total, count = 0.0, 0
        sums: dict[str, np.ndarray] = {}
        plan = self.valid.in_order()
        for shape, members, batch in iterate(self.valid, plan, (self.config.run.seed, 2**31)):
            step = steps.validation_step(self.function, self.potential.cutoff, self.rules, shape.kind)
            loss, errors = step(parameters, batch, self.scales)
            total, count = total + float(loss) * len(members), count + len(members)
            for name, values in errors.items():
                sums[name] = sums.get(name, np.zeros(3)) + np.array([float(v) for v in values])
        result = {"valid_loss": total / count}
        for name, (absolute, square, n) in sums.items():
            if n:
                result |= {f"{name}_mae": absolute / n, f"{name}_rmse": float(np.sqrt(square / n))}
        return result

    def finish(self, folder: Path) -> TrainingResult:
        """The model that is kept, its history and the picture of it."""
        from ..models.files.native import save_model

        parameters, epoch = self.chosen()
        config = self.config
        base = f", from {self.base}" if self.base else ""
        width = config.run.dipole_width or self.base_width
        described = ", ".join(f"{n} with {label}" for label, n in self.counts["train"].items() if n)
        provenance = Provenance(
            level_of_theory=config.run.level_of_theory,
            training_set=f"{len(self.training)} frames ({described}){base}",
            licence=config.run.licence,
            citation=config.run.citation,
            source="ase-phonax train" if self.base is None else "ase-phonax fine-tune",
            training={
                "configuration": as_dict(config),
                "data_sha256": self.identity["data"],
                "labels": self.counts,
                "scales": {name: float(value) for name, value in self.scales.items()},
                "best_epoch": epoch,
                "metrics": next((r for r in self.rows if r["epoch"] == epoch), self.rows[-1]),
                **({DIPOLE_WIDTH: width} if width else {}),
            },
        )
        name = config.run.name or (f"{self.base}-tuned" if self.base else "trained")
        potential = replace(self.potential, parameters=as_arrays(parameters), name=name, provenance=provenance)
        save_model(potential, folder / MODEL, overwrite=True)
        write_csv(folder, self.rows)
        draw(self.rows, folder / FIGURE)
        return TrainingResult(potential, tuple(self.rows), folder)
