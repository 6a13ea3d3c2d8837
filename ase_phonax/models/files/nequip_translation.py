"""Layers of NequIP as PyTorch packages hold them, brought into the network of this package.

NequIP's own package and SevenNet build a layer of the same modules of e3nn: two linear maps around a convolution, a
self-connection, a gate. Irreps stand there in the order (l, parity), products in the order of their input blocks and
harmonics. What differs between the packages is in their readers.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...base.errors import ModelError
from ..blocks.gates import pre_gate_irreps
from ..nequip.config import NequIPConfig, layer_irreps
from ..o3.irreps import EVEN_SCALAR, Irrep, Irreps, harmonics
from ..o3.paths import plan_convolution
from ..o3.spherical import clebsch_gordan
from .e3nn_weights import SILU_RATIO, TANH_RATIO, Matrices, linear_matrices, stored

ACTIVATIONS = {"e": "silu", "o": "tanh"}  # of scalars and gates, by parity
State = Mapping[str, np.ndarray]
_Slot = tuple[int, int, Irrep]  # input block, degree of the harmonics, irrep that comes out


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """What a layer holds, in double precision.

    Attributes:
        mix, collect: flat weights of the linear maps before and behind the convolution.
        skip: matrices of the self-connection as they act, shared or of each element; none where there is no such.
        radial: matrices of the radial network, for `radial.perceptron`, the last with a column for each weight.
        products: irreps that the convolution gives; `collect` may read some of them not at all.
        couplings: e3nn's, under its names "_w3j_1_1_2", (i, m, k) each; none where they are those of e3nn 0.5 or
            later, which have the signs of ours.
        scale: of what is collected.
        leaving: irreps that leave the layer there, where they are more than the network here needs.
        sorted_weights: columns of the last radial matrix stand in the order of what comes out.
    """

    mix: np.ndarray
    skip: Matrices
    radial: list[np.ndarray]
    collect: np.ndarray
    products: Set[Irrep]
    couplings: Mapping[str, np.ndarray]
    scale: float = 1.0
    sorted_weights: bool = False
    leaving: Irreps | None = None


def unsupported(what: str, known: str, package: str) -> ModelError:
    """The error of an option that no network here has; `package` evaluates it."""
    return ModelError(
        f"the model has {what}",
        "leaving it out would give other energies",
        f"supported: {known}. Use this model through `--calculator`, with {package}'s own",
    )


def version_of(text: Any) -> tuple[int, ...]:
    """(major, minor) of a version such as "0.12.1"."""
    return tuple(int(part) for part in str(text).split(".")[:2])


def two_maps_readout(down: np.ndarray, up: np.ndarray, leaving: Irreps) -> np.ndarray:
    """Weights (channels,) that read energies out of the even scalars, of two linear maps one behind the other.

    Args:
        down, up: their flat weights.
        leaving: irreps that leave the last layer.
    """
    between = ((up.size, EVEN_SCALAR),)
    first = linear_matrices(down, leaving, between)[EVEN_SCALAR]
    second = linear_matrices(up, between, ((1, EVEN_SCALAR),))[EVEN_SCALAR]
    return np.asarray((first @ second)[:, 0] * len(first) ** 0.5 * SILU_RATIO)


def scalars_first(irreps: Irreps) -> Irreps:
    """In the order in which they leave a gate."""
    return tuple(sorted(irreps, key=lambda block: block[1].l > 0))


def pre_gate(irreps_out: Irreps) -> Irreps:
    """What enters the gate, in the packages' order."""
    return tuple(sorted(pre_gate_irreps(irreps_out), key=lambda block: block[1]))


def layer_parameters(config: NequIPConfig, index: int, weights: LayerWeights) -> dict[str, np.ndarray]:
    """Parameters of layer `index`, under the names of `nequip.config.nequip_shapes`.

    Raises:
        KeyError, ValueError: weights are missing, or not as many as the layer has.
    """
    c, (irreps_in, irreps_out) = config, layer_irreps(config)[index]
    there, larger = pre_gate(weights.leaving or irreps_out), _larger(irreps_in, not index)
    entering = pre_gate(irreps_out)
    mix = linear_matrices(weights.mix, irreps_in, irreps_in)
    result = stored("mix", {ir: larger[ir] * matrix for ir, matrix in mix.items()}, irreps_in)
    skip = {ir: larger[ir] * matrix for ir, matrix in _needed(weights.skip, entering).items()}
    result |= _skip(config, irreps_in, entering, skip)
    slots = _slots(c, irreps_in, weights.products)
    # Where each of our paths lies among theirs: columns of the radial weights, rows of what is collected.
    in_order = sorted(slots, key=lambda slot: slot[2]) if weights.sorted_weights else slots
    columns, n_weights = _places(irreps_in, in_order, lambda slot: None)
    rows, channels = _places(irreps_in, slots, lambda slot: slot[2])
    collected_there = tuple((channels[ir], ir) for ir in sorted({slot[2] for slot in slots}))
    collect = _needed(linear_matrices(weights.collect, collected_there, there), entering)
    plan = plan_convolution(irreps_in, c.l_max, tuple(ir for _, ir in irreps_out), c.parity)
    last = weights.radial[-1]
    if last.shape[1] != n_weights[None]:
        raise ValueError(f"{last.shape[1]} radial weights of layer {index + 1}, expected {n_weights[None]}")
    picked = np.full((len(last), plan.n_weights), np.nan)  # a path without weights would be noticed
    collected: dict[Irrep, list[np.ndarray]] = {}
    for path in plan.paths:
        ir_out = plan.irreps_out[path.out][1]
        slot = path.block, path.degree, ir_out
        sign = _sign(weights.couplings, irreps_in[path.block][1].l, path.degree, ir_out.l)
        picked[:, path.weights] = last[:, columns[slot]] * sign
        collected.setdefault(ir_out, []).append(collect[ir_out][rows[slot]])
    joined = {ir: weights.scale * np.concatenate(own) for ir, own in collected.items()}
    result |= stored("collect", joined, entering)
    return result | {f"radial_{k}": matrix for k, matrix in enumerate([*weights.radial[:-1], picked])}


def _needed(matrices: Matrices, entering: Irreps) -> Matrices:
    """Of matrices into all that enters a gate, those into what is needed: gates stand behind the other scalars."""
    wanted = {ir: mul for mul, ir in entering}
    return {ir: matrix[..., : wanted[ir]] for ir, matrix in matrices.items() if ir in wanted}


def _larger(irreps: Irreps, first: bool) -> dict[Irrep, float]:
    """By how much features that enter a layer are larger there than here: activations have other factors."""
    return {ir: 1.0 if first else TANH_RATIO if ir == Irrep(0, -1) else SILU_RATIO for _, ir in irreps}


def _skip(config: NequIPConfig, irreps_in: Irreps, entering: Irreps, matrices: Matrices) -> dict[str, np.ndarray]:
    """The self-connection; zero where there is none."""
    channels = {ir: mul for mul, ir in irreps_in}
    per_element = (config.n_species,) if config.self_connection == "species" else ()
    none = {ir: np.zeros((*per_element, channels[ir], mul)) for mul, ir in entering if ir in channels}
    return stored("skip", none | matrices, entering)


def _slots(config: NequIPConfig, irreps_in: Irreps, wanted: Set[Irrep]) -> list[_Slot]:
    """Products into the wanted irreps, in the packages' order."""
    return [
        (block, l, ir_out)
        for block, (_, ir_in) in enumerate(irreps_in)
        for l, harmonic in enumerate(harmonics(config.l_max, config.parity))
        for ir_out in ir_in.times(harmonic)
        if ir_out in wanted
    ]


def _places(
    irreps_in: Irreps, slots: list[_Slot], group: Callable[[_Slot], Irrep | None]
) -> tuple[dict[_Slot, slice], dict[Irrep | None, int]]:
    """Where the channels of each product lie, one behind the other within its group, and how many each group has."""
    result: dict[_Slot, slice] = {}
    ends: dict[Irrep | None, int] = {}
    for slot in slots:
        start = ends.get(group(slot), 0)
        ends[group(slot)] = start + irreps_in[slot[0]][0]
        result[slot] = slice(start, ends[group(slot)])
    return result, ends


def _sign(couplings: Mapping[str, np.ndarray], l_in: int, degree: int, l_out: int) -> float:
    """1 or -1: couplings of e3nn and ours differ by it, in some of its versions; none of scalars does."""
    if not (l_in and degree and l_out and couplings):
        return 1.0
    theirs, ours = couplings[f"_w3j_{l_in}_{degree}_{l_out}"], clebsch_gordan(l_in, degree, l_out)
    overlap = float(np.sum(theirs * ours) / (np.linalg.norm(theirs) * np.linalg.norm(ours)))
    if not abs(abs(overlap) - 1) < 1e-4:
        raise ValueError(f"the coupling {l_in}, {degree}, {l_out} of layers is no Clebsch-Gordan tensor")
    return float(np.sign(overlap))
