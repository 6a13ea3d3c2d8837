"""Everything a training run can be told, as frozen dataclasses that a YAML file maps to."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..base.errors import InputError
from ..base.settings import build, check_fields, convert, read_yaml, unknown_key
from .config_checks import check_architecture, check_config


@dataclass(frozen=True)
class DataConfig:
    """Where the labels are.

    Attributes:
        train: files of `labels.read_frames`.
        valid: files, or the part of the training frames (0 to 1) held out at random.
        keys: names of labels in ASE's files, e.g. {energy: REF_energy}.
        repeat: file -> how many times its frames count in an epoch.
    """

    train: tuple[str, ...] = ()
    valid: tuple[str, ...] | float = 0.1
    keys: dict[str, str] = field(default_factory=dict)
    repeat: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LossConfig:
    """What is compared, and how much it counts. Residuals are divided by `scales` first.

    Its weights are the parts of the loss of `targets.TERMS`.

    Attributes:
        energy, forces, stress: weights; energy is that per atom.
        curvature: weight of products of second derivatives with directions.
        projections: weight of u† D v with random u.
        spectrum: weight of sorted frequencies (needs whole matrices: as many products as coordinates).
        intensities: weight of infrared intensities that come with frequencies of molecules.
        dipole, polarizability, born_charges, polarizability_gradient: weights, of molecules; the network is given the
            outputs that they need.
        crystal_charges, log_susceptibility: weights, of crystals, with outputs of their own.
        partial_densities, density_of_states: weights of densities of states, of atoms and of structures.
        integrated_density: weight of the density integrated up to each frequency.
        penalty: "squared" or "huber" (pseudo-Huber of each vector's length).
        huber_delta: where it turns linear, in units of the scale.
        directions: "columns" of the second derivatives, "random" normal directions, or "thermal" ones, along which
            heat moves atoms: errors of soft and stiff modes then count alike.
        columns: directions of each frame in a step.
        scales: label -> size [eV, eV/Å, eV/Å³, eV/Å², THz, eÅ, e²Å²/eV, e, e²Å/eV, e, 1, 1, 1]; those left out are the
            root mean squares of the labels.
    """

    energy: float = 0.1
    forces: float = 1.0
    stress: float = 0.1
    curvature: float = 10.0
    projections: float = 0.0
    spectrum: float = 0.0
    intensities: float = 0.0
    dipole: float = 0.0
    polarizability: float = 0.0
    born_charges: float = 0.0
    polarizability_gradient: float = 0.0
    crystal_charges: float = 0.0
    log_susceptibility: float = 0.0
    partial_densities: float = 0.0
    density_of_states: float = 0.0
    integrated_density: float = 0.0
    penalty: str = "squared"
    huber_delta: float = 1.0
    directions: str = "random"
    columns: int = 1
    scales: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkConfig:
    """The network to make; "auto" is taken from the data.

    Attributes:
        architecture: a key of `architectures.ARCHITECTURES`.
        elements: chemical symbols; "auto" for those of the training frames.
        average_neighbors: "auto" or a number.
        scale: size of the node energies' changes [eV], "auto" for the root mean square of the forces in eV/Å.
        alike: correlation of the first parameters of elements that stand in the same place of the periodic table, 0 to
            below 1; it falls with the distance there (`periodic_table.likeness`). 0: independent of each other.
        energies: per-element reference energies [eV]: "fit" by least squares, "zero", or symbol -> eV.
        options: the architecture's own configuration, e.g. cutoff, hidden_irreps, n_layers; in YAML these
            stand beside the others.
    """

    architecture: str = "nequip"
    elements: tuple[str, ...] | str = "auto"
    average_neighbors: float | str = "auto"
    scale: float | str = "auto"
    alike: float = 0.0
    energies: dict[str, float] | str = "fit"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FineTuneConfig:
    """What stays of the model one starts from (`fine-tune` only).

    Attributes:
        frozen: patterns of parameters that keep their values, such as "layer_0/*" or "*/radial_*".
        energies: "keep" the model's reference energies, or "shift" them by least squares to the labels' level.
        elements: "keep" all that the model knows, or those of the "frames" alone: no label holds up what the tuned
            model says of the others.
    """

    frozen: tuple[str, ...] = ()
    energies: str = "keep"
    elements: str = "keep"


@dataclass(frozen=True)
class OptimiserConfig:
    """How parameters are moved: by optax, with decoupled weight decay.

    Attributes:
        method: "adam"; or "muon", which orthogonalises the steps of matrices.
        epochs: passes through the training frames.
        batch_size: frames in a step.
        accumulate: pieces of a batch that are taken one after the other: memory of one piece, the same gradient. "auto"
            cuts them so small on processors that they fit the cache, and not at all on accelerators.
        learning_rate: highest; "auto" is 1e-2 from nothing and 2e-5 for a model that knows something already.
        schedule: "cosine", "linear", "exponential" or "constant".
        warmup: part of all steps in which the rate rises from zero.
        final: the last learning rate as a part of the highest.
        weight_decay: decoupled.
        clip: largest norm of the gradient; 0 for none.
        ema: decay of the running average of parameters that is validated and saved; 0 for none.
        patience: epochs without a better validation before it stops; 0 to go on.
    """

    method: str = "adam"
    epochs: int = 100
    batch_size: int = 8
    accumulate: int | str = "auto"
    learning_rate: float | str = "auto"
    schedule: str = "cosine"
    warmup: float = 0.02
    final: float = 0.01
    weight_decay: float = 0.0
    clip: float = 10.0
    ema: float = 0.99
    patience: int = 0


@dataclass(frozen=True)
class RunConfig:
    """Where and how it runs.

    Attributes:
        output: folder of checkpoints, log, figure and model.
        name: of the model.
        precision: "float32" or "float64".
        seed: of parameters, data order, held-out frames and directions.
        n_shapes: compiled sizes for each kind of label.
        validate_every: epochs.
        keep: the "best" model by validation, or the "last": where so few frames are held out that one of them rules.
        checkpoint_seconds: a checkpoint is written after each epoch when the last is older, and inside long ones.
        devices: number of devices that share a batch; "all" takes what JAX finds.
        level_of_theory, licence, citation: go into the model file.
        dipole_width: L where the model's reach ends, as labels `without_dipoles` have it [1/Å]; 0 for the one of the
            model that is fine-tuned, if that is known.
    """

    output: str = "training"
    name: str = ""
    precision: str = "float32"
    seed: int = 0
    n_shapes: int = 3
    validate_every: int = 1
    keep: str = "best"
    checkpoint_seconds: float = 30.0
    devices: int | str = 1
    level_of_theory: str = "not stated"
    licence: str = "not stated"
    citation: str = ""
    dipole_width: float = 0.0


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training run."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    fine_tune: FineTuneConfig = field(default_factory=FineTuneConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self):
        check_fields(self, "the configuration", _with_options)
        check_config(self)


def read_config(path: Path) -> TrainingConfig:
    """A configuration from a YAML file; paths in it are relative to the file.

    Raises:
        InputError: not readable, not YAML, an unknown key (the nearest known one is named), a wrong value.
    """
    return relative_to(config_from(read_yaml(path), str(path)), Path(path).parent)


def relative_to(config: TrainingConfig, folder: Path) -> TrainingConfig:
    """The same with every path taken from a folder."""

    def move(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(folder / name) for name in names)

    data = dataclasses.replace(
        config.data,
        train=move(config.data.train),
        valid=config.data.valid if isinstance(config.data.valid, (int, float)) else move(config.data.valid),
        repeat={str(folder / name): count for name, count in config.data.repeat.items()},
    )
    run = dataclasses.replace(config.run, output=str(folder / config.run.output))
    return dataclasses.replace(config, data=data, run=run)


Config = TrainingConfig | Mapping[str, Any] | str | Path


def as_config(config: Config) -> TrainingConfig:
    """What a user gave: a `TrainingConfig`, the same as nested mappings, or the path of a YAML file."""
    if isinstance(config, TrainingConfig):
        return config
    return config_from(config) if isinstance(config, Mapping) else read_config(Path(config))


def config_from(values: Mapping[str, Any], source: str = "the configuration") -> TrainingConfig:
    """A configuration from nested mappings, as YAML has them.

    Raises:
        InputError: an unknown key, or a value of a wrong kind.
    """
    return build(TrainingConfig, values, source, _with_options)


def _with_options(kind: Any, values: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """Settings of the architecture itself, written beside the others, moved into `options`."""
    if kind is not NetworkConfig:
        return values
    architecture = check_architecture(values.get("architecture", NetworkConfig.architecture))
    own = {f.name: f for f in dataclasses.fields(NetworkConfig)}
    inner = {f.name: f for f in dataclasses.fields(architecture.config)}
    hints = typing.get_type_hints(architecture.config)
    from_data = set(architecture.from_data) - set(own)  # what follows from the elements, and cannot be chosen
    options = values.get("options", {})
    if not isinstance(options, Mapping):
        raise InputError(
            f"network.options is {options!r}", "it has named settings inside", "write them beside the others"
        )
    result: dict[str, Any] = {"options": {}}
    for key, value in [*options.items(), *((k, v) for k, v in values.items() if k != "options")]:
        if key in own and key not in options:
            result[key] = value
        elif key in inner and key not in from_data:
            result["options"][key] = convert(hints[key], value, source, f"network.{key}")
        else:
            raise unknown_key(source, f"network.{key}", str(key), {*own, *inner} - from_data)
    return result


def as_dict(config: TrainingConfig) -> dict[str, Any]:
    """Nested built-in types, as `config_from` takes them."""
    return dataclasses.asdict(config)
