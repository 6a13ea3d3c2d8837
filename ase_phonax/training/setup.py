"""From configuration and frames to a network, its first parameters, and what residuals are divided by."""

import fnmatch
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from ..base.errors import InputError
from ..derivatives.evaluator import Evaluator
from ..models.architectures import ARCHITECTURES, is_of_elements, make_potential
from ..models.potential import Potential
from ..structures.neighbours import find_neighbours
from .config import LossConfig, NetworkConfig, TrainingConfig
from .first_parameters import first_parameters
from .labels.frames import Frame, count_labels, find_elements
from .periodic_table import likeness

FITTED = 500  # frames that reference energies are fitted to, spread through all
# Residuals are divided by the labels' own size; where that vanishes (a single frame, a crystal at rest), by this.
SMALLEST = {"energy": 1e-3, "forces": 0.05, "stress": 1e-3, "curvature": 0.1, "spectrum": 1.0}
# Energies of a few frames are fitted by their references alone, and what is left says nothing of their size: they are
# not divided by less than forces over this distance [Å], which large cells at rest come to.
ENERGY_DISTANCE = 0.01
# Reference energies further from the labels' than this are somebody else's [eV/atom].
FAR_REFERENCES = 0.3


def check_labels(frames: Sequence[Frame], loss: LossConfig) -> None:
    """Refuse a weight for which no training frame has a label, and frames whose own weights leave nothing.

    Raises:
        InputError: with what the frames have.
    """
    counts = count_labels(frames)
    # Stress and curvature count by default and may be absent; the others are there or were asked for by name.
    needed = {
        "energy": counts["energy"],
        "forces": counts["forces"],
        "projections": counts["curvature"],
        "spectrum": counts["curvature"] + counts["spectrum"],
    }
    for label, count in needed.items():
        if getattr(loss, label) and not count:
            raise InputError(
                f"loss.{label} is {getattr(loss, label):g}, but no training frame has that label",
                "the weight would do nothing",
                f"set loss.{label}: 0, or add frames; there are "
                + (", ".join(f"{n} with {name}" for name, n in counts.items() if n) or "none with any label"),
            )
    weights = {name: getattr(loss, name) for name in ("energy", "forces", "stress")}
    weights |= {"curvature": loss.curvature or loss.projections or loss.spectrum, "spectrum": loss.spectrum}
    if not any(
        weights[name] and frame.weight(name) for frame in frames for name, n in count_labels([frame]).items() if n
    ):
        raise InputError(
            "every label of the training frames has the weight 0, its own or that of the loss",
            "there is nothing to learn",
            "set the weights of the frames (info['weight'] and its like), or those under loss; there are "
            + ", ".join(f"{n} with {name}" for name, n in counts.items() if n),
        )


def new_potential(config: TrainingConfig, frames: Sequence[Frame]) -> Potential:
    """A network with random parameters, fitted to the data in what is fixed before training.

    Raises:
        InputError: elements that the network was told not to have, wrong options.
    """
    network = config.network
    numbers = _numbers(network, frames)
    architecture = ARCHITECTURES[network.architecture]
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in network.options.items()}
    options.setdefault("cutoff", 5.0)
    known = {f.name for f in fields(architecture.config)}
    if "radii" in known:  # some networks see which elements an edge joins
        options |= {"numbers": numbers, "radii": tuple(float(covalent_radii[z]) for z in numbers)}
    if "scale" in known:
        options["scale"] = _scale(frames) if network.scale == "auto" else float(network.scale)
    made = architecture.config(n_species=len(numbers), **options)  # refuses what makes no network
    automatic = network.average_neighbors == "auto"
    neighbors = average_neighbors(frames, made.cutoff, numbers) if automatic else float(network.average_neighbors)
    made = replace(made, average_neighbors=neighbors)
    parameters = first_parameters(network.architecture, made, config.run.seed)
    if network.alike:
        parameters = _alike(parameters, likeness(numbers, network.alike))
    parameters["~"]["atom_energies"] = reference_energies(network, frames, numbers).astype(np.float32)
    potential = make_potential(network.architecture, made, parameters, numbers, config.run.name or "trained")
    # A random network has an energy of its own, which the first epochs would be spent on.
    return shifted(potential, frames) if network.energies == "fit" else potential


def _alike(parameters: dict, root: np.ndarray) -> dict:
    """Parameters of which each element has its own row, made alike."""

    def changed(name: str, x: np.ndarray) -> np.ndarray:
        return np.einsum("ij,j...->i...", root, x).astype(x.dtype) if is_of_elements(name, x) else x

    return {module: {name: changed(name, x) for name, x in own.items()} for module, own in parameters.items()}


def _numbers(network: NetworkConfig, frames: Sequence[Frame]) -> tuple[int, ...]:
    found = find_elements(frames)
    if network.elements == "auto":
        return found
    unknown = [s for s in network.elements if s not in atomic_numbers]
    if unknown or isinstance(network.elements, str):
        raise InputError(
            f"network.elements is {network.elements!r}", "these are no chemical symbols", "give a list such as [Si, O]"
        )
    numbers = tuple(sorted({atomic_numbers[s] for s in network.elements}))
    outside = [chemical_symbols[z] for z in found if z not in numbers]
    if outside:
        raise InputError(
            f"the frames hold {', '.join(outside)}, which network.elements lacks",
            "the network has no place for them",
            "add them, or write elements: auto",
        )
    return numbers


def average_neighbors(frames: Sequence[Frame], cutoff: float, numbers: tuple[int, ...]) -> float:
    """Mean number of edges of an atom, over at most 200 frames spread through all."""
    some = list(frames)[:: max(1, len(frames) // 200)]
    edges = sum(len(find_neighbours(f.atoms, cutoff, numbers).senders) for f in some)
    if not edges and max(len(f.atoms) for f in some) > 1:
        raise InputError(
            f"no atom of the frames has another within network.cutoff, {cutoff:g} Å",
            "without neighbours there is nothing to learn",
            "raise the cutoff, or check the unit of the positions",
        )
    return max(1.0, edges / sum(len(f.atoms) for f in some))


def _scale(frames: Sequence[Frame]) -> float:
    known = [f.forces for f in frames if f.forces is not None]
    return float(max(0.1, np.sqrt(np.mean(np.concatenate(known) ** 2)))) if known else 1.0


def reference_energies(network: NetworkConfig, frames: Sequence[Frame], numbers: tuple[int, ...]) -> np.ndarray:
    """Energy of each element [eV]: given, zero, or by least squares over the frames."""
    if isinstance(network.energies, dict):
        missing = [chemical_symbols[z] for z in numbers if chemical_symbols[z] not in network.energies]
        if missing:
            raise InputError(
                f"network.energies lacks {', '.join(missing)}",
                "every element needs one",
                "add them, or write energies: fit",
            )
        return np.array([network.energies[chemical_symbols[z]] for z in numbers])
    if network.energies not in ("fit", "zero"):
        raise InputError(
            f"network.energies is {network.energies!r}",
            "it says where reference energies come from",
            "use fit, zero, or a list symbol: eV",
        )
    if network.energies == "zero":
        return np.zeros(len(numbers))
    return _least_squares([f for f in frames if f.energy is not None], numbers, None)


def _least_squares(frames: Sequence[Frame], numbers: tuple[int, ...], predicted: np.ndarray | None) -> np.ndarray:
    if not frames:
        return np.zeros(len(numbers))
    counts = _composition(frames, numbers)
    energies = np.array([f.energy for f in frames], float) - (0 if predicted is None else predicted)
    return np.linalg.lstsq(counts, energies, rcond=1e-6)[0]


def _composition(frames: Sequence[Frame], numbers: tuple[int, ...]) -> np.ndarray:
    """(n_frames, n_elements) how many atoms of each element."""
    return np.array([[np.count_nonzero(f.atoms.numbers == z) for z in numbers] for f in frames], float)


def check_references(potential: Potential, frames: Sequence[Frame]) -> None:
    """Refuse to go on from a model whose energies lie at another level than the labels.

    Raises:
        InputError: by more than FAR_REFERENCES; the parameters would spend themselves on learning that.
    """
    known = [f for f in frames if f.energy is not None]
    if not known:
        return
    moved = shifted(potential, known[:: max(1, len(known) // 20)])
    change = moved.parameters["~"]["atom_energies"] - potential.parameters["~"]["atom_energies"]
    counts = _composition(known, potential.numbers)
    offset = float(np.sqrt(np.mean((counts @ change / counts.sum(1)) ** 2)))
    if offset > FAR_REFERENCES:
        raise InputError(
            f"the energies of the labels lie {offset:.2f} eV/atom from those of {potential.name}",
            "that is another functional, pseudopotential or zero of energy, and training would spend itself on it",
            "set fine_tune.energies: shift, or loss.energy: 0 to learn forces alone",
        )


def shifted(potential: Potential, frames: Sequence[Frame]) -> Potential:
    """Reference energies moved by least squares, so that the model's energies lie at the labels' level.

    Functionals and pseudopotentials differ by electronvolts per atom; parameters should not have to learn that.
    Elements that do not occur keep theirs.
    """
    known = [f for f in frames if f.energy is not None]
    known = known[:: max(1, len(known) // FITTED)]
    evaluator = Evaluator(potential, np.dtype(np.float64))
    predicted = np.array([float(evaluator.energy_forces_stress(f.atoms)[0].sum()) for f in known])
    change = _least_squares(known, potential.numbers, predicted)
    old = potential.parameters["~"]["atom_energies"]
    top = {**potential.parameters["~"], "atom_energies": (old + change).astype(old.dtype)}
    return replace(potential, parameters={**potential.parameters, "~": top})


def label_scales(config: LossConfig, frames: Sequence[Frame], numbers: tuple[int, ...]) -> dict[str, float]:
    """Root mean square of each label [eV, eV/Å, eV/Å³, eV/Å², THz]; energies per atom, without references.

    Energies not below ENERGY_DISTANCE times the forces.
    """
    unknown = set(config.scales) - set(SMALLEST)
    if unknown or any(not value > 0 for value in config.scales.values()):
        raise InputError(
            f"loss.scales is {config.scales}",
            "residuals are divided by them",
            f"give positive sizes of {', '.join(SMALLEST)}",
        )
    known = [f for f in frames if f.energy is not None]
    values: dict[str, list[np.ndarray]] = {name: [] for name in SMALLEST}
    if known:
        counts = _composition(known, numbers)
        rest = np.array([f.energy for f in known], float) - counts @ _least_squares(known, numbers, None)
        values["energy"] = [rest / counts.sum(1)]
    for frame in frames:
        if frame.forces is not None:
            values["forces"].append(frame.forces.ravel())
        if frame.stress is not None:
            values["stress"].append(frame.stress.ravel())
        if frame.second is not None:
            m = frame.second.matrices
            # Of a product with a direction whose components have mean square 1.
            values["curvature"].append(np.sqrt(np.sum(np.abs(m) ** 2, (1, 2)) / m.shape[1]))
        if frame.spectrum is not None:
            values["spectrum"].append(frame.spectrum.frequencies.ravel())
    found = {
        name: float(np.sqrt(np.mean(np.concatenate(value) ** 2))) if value else 0.0 for name, value in values.items()
    }
    scales = {name: config.scales.get(name, max(found[name], least)) for name, least in SMALLEST.items()}
    if "energy" not in config.scales:
        scales["energy"] = max(scales["energy"], ENERGY_DISTANCE * scales["forces"])
    return scales


def frozen_names(patterns: Sequence[str], parameters: Any) -> tuple[str, ...]:
    """Names module/array of the parameters that the patterns select.

    Raises:
        InputError: a pattern that selects nothing, or nothing left to train.
    """
    names = [f"{module}/{name}" for module, arrays in parameters.items() for name in arrays]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise InputError(
                f"fine_tune.frozen: {pattern!r} selects no parameters",
                "what was meant to stay would be trained",
                f"names are {', '.join(names)}",
            )
    chosen = tuple(sorted({n for p in patterns for n in fnmatch.filter(names, p)}))
    if len(chosen) == len(names):
        raise InputError("fine_tune.frozen selects every parameter", "nothing is left to train", "freeze fewer")
    return chosen
