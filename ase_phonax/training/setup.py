"""From configuration and frames to a network, its first parameters, and what residuals are divided by."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from ..base.errors import InputError
from ..derivatives.evaluator import Evaluator
from ..models.architectures import ARCHITECTURES, element_parameters, make_potential
from ..models.fields import DIPOLE, has_output
from ..models.potential import Potential
from ..structures.neighbours import find_neighbours
from ..structures.periodic_table import likeness
from .answers import Answers, Respondent
from .config import LossConfig, NetworkConfig, TrainingConfig
from .first_parameters import Parameters, first_parameters, with_outputs
from .labels.frames import Frame, count_labels, find_elements
from .targets import LABELS, TARGETS, TERMS, wanted_outputs

FITTED = 500  # frames that reference energies are fitted to, spread through all
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
    weights = {term.name: getattr(loss, term.name) for term in TERMS}
    for term in TERMS:
        if weights[term.name] and not term.may_lack and not any(counts[name] for name in term.taken_from):
            raise InputError(
                f"loss.{term.name} is {weights[term.name]:g}, but no training frame has that label",
                "the weight would do nothing",
                f"set loss.{term.name}: 0, or add frames; there are "
                + (", ".join(f"{n} with {name}" for name, n in counts.items() if n) or "none with any label"),
            )
    used = {name for term in TERMS if weights[term.name] for name in term.taken_from}
    if not any(
        name in used and frame.weight(name) for frame in frames for name, n in count_labels([frame]).items() if n
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
    of_data = {
        "n_species": len(numbers),
        "numbers": numbers,
        "radii": tuple(float(covalent_radii[z]) for z in numbers),
        "scale": _scale(frames) if network.scale == "auto" else float(network.scale),
    }
    options |= {name: of_data[name] for name in architecture.from_data if name != "average_neighbors"}
    made = architecture.config(**options)  # refuses what makes no network
    if "average_neighbors" in architecture.from_data:
        automatic = network.average_neighbors == "auto"
        neighbors = average_neighbors(frames, made.cutoff, numbers) if automatic else float(network.average_neighbors)
        made = replace(made, average_neighbors=neighbors)
    parameters = first_parameters(network.architecture, made, config.run.seed)
    if network.alike:
        of_elements = element_parameters(network.architecture, made, parameters)
        parameters = _alike(parameters, of_elements, likeness(numbers, network.alike))
    potential = make_potential(network.architecture, made, parameters, numbers, config.run.name or "trained")
    potential = with_references(potential, reference_energies(network, frames, numbers).astype(np.float32))
    # A random network has an energy of its own, which the first epochs would be spent on.
    return shifted(potential, frames) if network.energies == "fit" else potential


def with_wanted_outputs(potential: Potential, loss: LossConfig, seed: int, in_fields: bool = False) -> Potential:
    """A network with an output, random at first, for every part of the loss that compares one and counts.

    Args:
        in_fields: frames are in electric fields, where energies and forces need a dipole and a polarizability.

    Raises:
        InputError: its network cannot have them.
    """
    there = {output.name for output in potential.outputs}
    missing = [output for output in wanted_outputs(loss, in_fields) if output.name not in there]
    return with_outputs(potential, missing, seed) if missing else potential


def _alike(parameters: Parameters, of_elements: frozenset[str], root: np.ndarray) -> Parameters:
    """The parameters; those with a row for each element made alike by a matrix (`periodic_table.likeness`)."""

    def changed(name: str, x: np.ndarray) -> np.ndarray:
        return np.einsum("ij,j...->i...", root, x).astype(x.dtype) if name in of_elements else x

    return {
        module: {name: changed(f"{module}/{name}", x) for name, x in own.items()} for module, own in parameters.items()
    }


def references(potential: Potential) -> np.ndarray:
    """(n_species,) energies of isolated atoms that node energies are counted from [eV]."""
    assert potential.architecture
    module, name = ARCHITECTURES[potential.architecture].references
    return potential.parameters[module][name]


def with_references(potential: Potential, energies: np.ndarray) -> Potential:
    """The same network, its node energies counted from others."""
    assert potential.architecture
    module, name = ARCHITECTURES[potential.architecture].references
    own = {**potential.parameters[module], name: energies}
    return replace(potential, parameters={**potential.parameters, module: own})


def _numbers(network: NetworkConfig, frames: Sequence[Frame]) -> tuple[int, ...]:
    occurring = find_elements(frames)
    if network.elements == "auto":
        return occurring
    unknown = [s for s in network.elements if s not in atomic_numbers]
    if unknown or isinstance(network.elements, str):
        raise InputError(
            f"network.elements is {network.elements!r}", "these are no chemical symbols", "give a list such as [Si, O]"
        )
    numbers = tuple(sorted({atomic_numbers[s] for s in network.elements}))
    outside = [chemical_symbols[z] for z in occurring if z not in numbers]
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
    change = references(moved) - references(potential)
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
    Elements that do not occur keep theirs. What an electric field adds is known to models with a dipole alone; the
    hundredths of an eV per atom that others leave to the shift are less than what they are away from the labels.
    """
    known = [f for f in frames if f.energy is not None]
    known = known[:: max(1, len(known) // FITTED)]
    knows_fields = has_output(potential, DIPOLE)
    respondent = Respondent(Evaluator(potential, np.dtype(np.float64)))
    asked = [f if knows_fields or f.field is None else replace(f, field=None) for f in known]
    predicted = np.array([Answers(respondent, frame).energy for frame in asked])
    change = _least_squares(known, potential.numbers, predicted)
    old = references(potential)
    return with_references(potential, (old + change).astype(old.dtype))


def label_scales(config: LossConfig, frames: Sequence[Frame], numbers: tuple[int, ...]) -> dict[str, float]:
    """Root mean square of each label in its unit; energies per atom, without references.

    Not below `Target.smallest`, which counts where there is a single frame, or a crystal at rest; energies not below
    ENERGY_DISTANCE times the forces.
    """
    if set(config.scales) - set(LABELS) or any(not value > 0 for value in config.scales.values()):
        raise InputError(
            f"loss.scales is {config.scales}",
            "residuals are divided by them",
            f"give positive sizes of {', '.join(LABELS)}",
        )
    scales = {}
    for target in TARGETS:
        known = [frame for frame in frames if target.of(frame) is not None]
        if target.extensive and known:
            counts = _composition(known, numbers)
            rest = np.array([target.of(f) for f in known], float) - counts @ _least_squares(known, numbers, None)
            sizes = [rest / counts.sum(1)]
        else:
            sizes = [target.typical(target.of(frame)) for frame in known]
        size = float(np.sqrt(np.mean(np.concatenate(sizes) ** 2))) if sizes else 0.0
        scales[target.name] = config.scales.get(target.name, max(size, target.smallest))
    if "energy" not in config.scales:
        scales["energy"] = max(scales["energy"], ENERGY_DISTANCE * scales["forces"])
    return scales


def frozen_names(patterns: Sequence[str], parameters: Parameters) -> tuple[str, ...]:
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
