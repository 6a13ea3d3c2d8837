"""MACE: configuration, and the irreps and the shapes of parameters that follow from it.

Batatia, Kovács, Simm, Ortner, Csányi, NeurIPS 2022, arXiv:2206.07697; options of the foundation models:
Batatia et al., arXiv:2401.00096.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from ...base.errors import InputError
from ..blocks.checks import check_sizes
from ..blocks.shapes import Shapes, linear_shapes, output_shapes, radial_shapes
from ..o3.irreps import EVEN_SCALAR, Irrep, Irreps, parse_irreps
from ..o3.paths import plan_convolution
from ..o3.symmetric_products import symmetric_couplings
from ..outputs import Output, check_outputs, unreachable

# What each choice may be.
CHOICES = {
    "basis": ("bessel", "gaussian"),
    "distance_transform": ("none", "agnesi", "soft"),
    "envelope_on": ("basis", "weights"),
    "readouts": ("all", "last"),
    "activation": ("silu", "tanh", "none"),
}
INTERACTIONS = ("plain", "residual", "density", "density residual")
LEAST = {
    "n_layers": 1,
    "l_max": 0,
    "n_basis": 1,
    "envelope_p": 2,
    "readout_size": 1,
    "radial_sizes": 1,
    "correlation": 1,
}


@dataclass(frozen=True)
class MACEConfig:
    """Choices that fix the network; hashable, stored with the parameters.

    Attributes:
        n_species: number of elements.
        cutoff: [Å].
        hidden_irreps: features between layers, every irrep with as many channels as the even scalars.
        n_layers: message-passing layers.
        l_max: highest degree of the edge harmonics.
        correlation: how many features are multiplied (body order less one), one number for each layer or one for all.
        n_basis: radial functions; basis: "bessel" or "gaussian".
        envelope_p: power of the polynomial envelope.
        envelope_on: whether it multiplies the "basis" or the radial "weights".
        distance_transform: of the distance in the basis, by the covalent radii: "none", "agnesi" or "soft".
        transform_constants: (a, q, p) of Agnesi's, (steepness,) of the soft one; empty for the usual ones.
        radial_sizes: hidden widths of the radial network.
        edge_irreps: what senders pass on, in all layers but the first; empty for the features' own.
        first_edge_irreps: the same in the first layer, scalars.
        interactions: of the first layer and of the others: "plain" (no connection past the product), "residual"
            (one, with weights per element), "density" or "density residual" (sums divided by a learned density).
        readouts: of "all" layers, or of the "last" only.
        readout_size: hidden width of the last readout; activation: in it. One layer has a linear readout.
        pair_repulsion: add that of Ziegler, Biersack and Littmark between nuclei.
        repulsion_constants: (four weights, exponent, prefactor); empty for the usual ones.
        repulsion_p: power of its envelope, which ends it at the sum of the covalent radii.
        numbers, radii: atomic numbers and covalent radii [Å] of the elements, where distances or repulsion need them.
        average_neighbors: sums over neighbours are divided by it; kinds with densities divide by those instead.
        scale, shift: node energy = scale * (readouts + repulsion) + shift + energy of the isolated atom [eV].
        outputs: what is read besides the energy, from the same features of the same layers, linearly.
    """

    n_species: int
    cutoff: float
    hidden_irreps: str = "32x0e + 32x1o"
    n_layers: int = 2
    l_max: int = 3
    correlation: tuple[int, ...] = (3,)
    n_basis: int = 8
    basis: str = "bessel"
    envelope_p: int = 5
    envelope_on: str = "basis"
    distance_transform: str = "none"
    transform_constants: tuple[float, ...] = ()
    radial_sizes: tuple[int, ...] = (64, 64, 64)
    edge_irreps: str = ""
    first_edge_irreps: str = ""
    interactions: tuple[str, ...] = ("residual", "residual")
    readouts: str = "all"
    readout_size: int = 16
    activation: str = "silu"
    pair_repulsion: bool = False
    repulsion_constants: tuple[float, ...] = ()
    repulsion_p: int = 6
    numbers: tuple[int, ...] = ()
    radii: tuple[float, ...] = ()
    average_neighbors: float = 1.0
    scale: float = 1.0
    shift: float = 0.0
    outputs: tuple[Output, ...] = ()

    def __post_init__(self):
        self._check_sizes()
        self._check_choices()
        self._check_irreps()
        if self.needs_radii and not len(self.numbers) == len(self.radii) == self.n_species:
            raise InputError(
                f"numbers and radii are {self.numbers} and {self.radii}, for {self.n_species} elements",
                "distances and repulsion are taken relative to the covalent radii",
                "give the atomic number and the covalent radius of every element",
            )
        self._check_outputs()

    @property
    def needs_radii(self) -> bool:
        """Whether edges know their elements."""
        return self.pair_repulsion or self.distance_transform != "none"

    def correlation_of(self, layer: int) -> int:
        """How many features one layer multiplies."""
        return self.correlation[layer if len(self.correlation) > 1 else 0]

    def interaction_of(self, layer: int) -> str:
        """Kind of interaction of one layer."""
        return self.interactions[min(layer, len(self.interactions) - 1)]

    def has_readout(self, layer: int) -> bool:
        """Whether the features of a layer are read."""
        return self.readouts == "all" or layer == self.n_layers - 1

    def is_nonlinear(self, layer: int) -> bool:
        """Whether they are read through a hidden layer."""
        return 0 < layer == self.n_layers - 1

    def _check_sizes(self) -> None:
        check_sizes(self, LEAST)
        if len(self.correlation) not in (1, self.n_layers):
            raise InputError(
                f"correlation is {self.correlation}, for {self.n_layers} layers",
                "every layer needs one",
                "give one number for all layers, or one for each",
            )

    def _check_choices(self) -> None:
        choices_made = [(name, getattr(self, name), choices) for name, choices in CHOICES.items()]
        choices_made += [("interactions", kind, INTERACTIONS) for kind in self.interactions]
        for name, value, choices in choices_made:
            if value not in choices:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}",
                    "it decides what the network computes",
                    f"use {', '.join(map(repr, choices))}",
                )
        if len(self.interactions) not in (1, 2):
            raise InputError(
                f"interactions is {self.interactions}", "there is a first layer and others", "give one or two kinds"
            )

    def _check_irreps(self) -> None:
        for name in ("hidden_irreps", "edge_irreps", "first_edge_irreps"):
            text = getattr(self, name)
            blocks = parse_irreps(text) if text else ()
            muls = dict((ir, mul) for mul, ir in blocks)
            if text and (EVEN_SCALAR not in muls or len(muls) < len(blocks)):
                raise InputError(
                    f"{name} are {text!r}", "energies are read from even scalars", "add a block of 0e; name none twice"
                )
            if name == "hidden_irreps" and len(set(muls.values())) > 1:
                raise InputError(
                    f"{name} are {text!r}",
                    "products are taken channel by channel, of all irreps together",
                    f"give each irrep {muls[EVEN_SCALAR]} channels",
                )

    def _check_outputs(self) -> None:
        check_outputs(self.outputs)
        if not self.outputs:
            return
        read = [irreps for layer, irreps in enumerate(mace_irreps(self)) if self.has_readout(layer)]
        present = {ir for irreps in read for _, ir in irreps.out}
        for output in self.outputs:
            for _, ir in output.blocks:
                if ir not in present:
                    raise unreachable(output, ir, "raise l_max or correlation, or add 0o to hidden_irreps")


class LayerIrreps(NamedTuple):
    """What enters a layer, what senders pass on, what is multiplied, what leaves."""

    features: Irreps
    senders: Irreps
    factors: Irreps
    out: Irreps


def mace_irreps(config: MACEConfig) -> list[LayerIrreps]:
    """Irreps of every layer; the last keeps what is read: even scalars, and what outputs beside the energy need."""
    hidden = parse_irreps(config.hidden_irreps)
    channels = next(mul for mul, ir in hidden if ir == EVEN_SCALAR)
    scalars: Irreps = ((channels, EVEN_SCALAR),)
    natural = [Irrep(l, (-1) ** l) for l in range(config.l_max + 1)]
    every = sorted([*natural, *(Irrep(ir.l, -ir.p) for ir in natural)], key=lambda ir: ir.rank)
    features, result = scalars, []
    for layer in range(config.n_layers):
        passed = config.edge_irreps if layer else config.first_edge_irreps
        present = {ir for _, ir in features}
        senders = tuple((mul, ir) for mul, ir in parse_irreps(passed) if ir in present) if passed else features
        # Without odd scalars in the features only natural parities are multiplied, as in the reference.
        kinds = every if layer and any(ir == Irrep(0, -1) for _, ir in hidden) else natural
        factors = tuple((channels, ir) for ir in kinds)
        out = hidden if layer < config.n_layers - 1 else (*scalars, *_further_irreps(config, features, factors))
        result.append(LayerIrreps(features, senders, factors, out))
        features = out
    return result


def energy_irreps(config: MACEConfig) -> list[LayerIrreps]:
    """Irreps of every layer, without what only outputs beside the energy need."""
    return mace_irreps(replace(config, outputs=()))


def _further_irreps(config: MACEConfig, features: Irreps, factors: Irreps) -> Irreps:
    """What the last layer keeps for outputs besides even scalars, as far as something can fill it."""
    last, kinds = config.n_layers - 1, tuple(ir for _, ir in factors)
    carried = {ir for _, ir in features} if config.interaction_of(last).endswith("residual") else set()

    def is_filled(irrep: Irrep) -> bool:
        degrees = range(1, config.correlation_of(last) + 1)
        return irrep in carried or any(symmetric_couplings(kinds, irrep, d).shape[-1] for d in degrees)

    needed = {ir for output in config.outputs for _, ir in output.blocks} - {EVEN_SCALAR}
    return tuple((factors[0][0], ir) for ir in sorted(needed, key=lambda ir: ir.rank) if is_filled(ir))


def mace_shapes(config: MACEConfig) -> dict[str, Shapes]:
    """Shapes of all parameters: module -> name -> shape."""
    c, layers = config, mace_irreps(config)
    channels = layers[0].features[0][0]
    result: dict[str, Shapes] = {"~": {"embedding": (c.n_species, channels), "atom_energies": (c.n_species,)}}
    for i, irreps in enumerate(layers):
        result[f"layer_{i}"] = _mace_layer(c, i, irreps)
    return result


def _mace_layer(config: MACEConfig, index: int, irreps: LayerIrreps) -> Shapes:
    c, (features, senders, factors, out) = config, irreps
    species, kind = (c.n_species,), c.interaction_of(index)
    plan = plan_convolution(senders, c.l_max, tuple(ir for _, ir in factors))
    own = radial_shapes((c.n_basis, *c.radial_sizes, plan.n_weights))
    if kind.startswith("density"):
        own["density"] = (c.n_basis, 1)
    own |= linear_shapes("mix", features, senders) | linear_shapes("collect", plan.irreps_out, factors)
    if kind.endswith("residual"):
        own |= linear_shapes("skip", features, out, species)
    else:
        own |= linear_shapes("select", factors, factors, species)
    own |= linear_shapes("after", out, out)
    kinds = tuple(ir for _, ir in factors)
    for mul, ir in out:
        for degree in range(1, c.correlation_of(index) + 1):
            if n := symmetric_couplings(kinds, ir, degree).shape[-1]:
                own[f"product_{ir}_{degree}"] = (c.n_species, n, mul)
    if c.has_readout(index):
        width = next(mul for mul, ir in out if ir == EVEN_SCALAR)
        if c.is_nonlinear(index):
            own["readout_hidden"] = (width, c.readout_size)
            width = c.readout_size
        own["readout"] = (width, 1)
        own |= output_shapes(c.outputs, out)
    return own
