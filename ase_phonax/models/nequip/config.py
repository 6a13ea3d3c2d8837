"""What a NequIP network is made of: its settings, the irreps of its layers, and the shapes of its parameters."""

from dataclasses import dataclass

from ...base.errors import InputError
from ..blocks.checks import check_envelope, check_sizes
from ..blocks.gates import pre_gate_irreps
from ..blocks.shapes import Shapes, linear_shapes, output_shapes, radial_shapes
from ..o3.irreps import EVEN_SCALAR, Irreps, parse_irreps, reachable
from ..o3.paths import plan_convolution
from ..outputs import Output, check_outputs, unreachable

LEAST = {"n_layers": 1, "l_max": 0, "n_basis": 1, "envelope_p": 2, "embedding": 0, "radial_sizes": 1}


@dataclass(frozen=True)
class NequIPConfig:
    """Choices that fix the network; hashable, stored with the parameters.

    Attributes:
        n_species: number of elements.
        cutoff: [Å].
        hidden_irreps: features between layers, even and odd, e.g. "16x0e + 16x0o + 12x1o + 12x1e".
        n_layers: message-passing layers.
        l_max: highest degree of the edge harmonics.
        n_basis: Bessel functions.
        radial_sizes: hidden widths of the radial network.
        radial_elements: the radial network sees the elements at both ends: its first linear map is multiplied by the
            product of a trained row for each, near 1.
        envelope: "polynomial", or "switch": 1 up to `switch_on`, then falling to zero (SevenNet).
        envelope_p: power of the polynomial envelope.
        switch_on: where the other one begins to fall [Å]; second derivatives jump there.
        trained_basis: the frequencies of the Bessel functions are parameters.
        parity: irreps are those of O(3). False: of rotations alone, all written as even (SevenNet): energies of mirror
            images may then differ.
        embedding: channels of the first features; 0 takes the one-hot species itself (Nequix).
        self_connection: "species" (weights per element, NequIP) or "shared" (Nequix).
        layer_norm: RMS layer norm before the gate (Nequix).
        average_neighbors: sums over neighbours are divided by its square root.
        scale, shift: node energy = scale * output + shift + energy of the isolated atom [eV].
        scale_elements: outputs are multiplied by a parameter of each element besides.
        repulsion_numbers: atomic numbers of the elements, where the repulsion of nuclei is added that Ziegler, Biersack
            and Littmark give (`blocks.repulsion`), closed at the cutoff; empty for none.
        repulsion_p: power of its envelope.
        radial_init: variance scale of the radial network's hidden layers at initialisation.
        outputs: what is read besides the energy, from a layer of its own beside the last (`output_irreps`).
    """

    n_species: int
    cutoff: float
    hidden_irreps: str = "16x0e + 16x0o + 12x1o + 12x1e + 8x2e + 8x2o"
    n_layers: int = 2
    l_max: int = 2
    n_basis: int = 8
    radial_sizes: tuple[int, ...] = (64, 64)
    envelope_p: int = 6
    embedding: int = 16
    self_connection: str = "species"
    layer_norm: bool = False
    average_neighbors: float = 1.0
    scale: float = 1.0
    shift: float = 0.0
    radial_init: float = 2.0
    radial_elements: bool = False
    envelope: str = "polynomial"
    switch_on: float = 0.0
    trained_basis: bool = False
    parity: bool = True
    scale_elements: bool = False
    repulsion_numbers: tuple[int, ...] = ()
    repulsion_p: int = 6
    outputs: tuple[Output, ...] = ()

    def __post_init__(self):
        check_sizes(self, LEAST)
        if self.self_connection not in ("species", "shared"):
            raise InputError(
                f"self_connection is {self.self_connection!r}",
                "it decides the shape of the parameters",
                'use "species" or "shared"',
            )
        check_envelope(self.envelope, self.switch_on, self.cutoff)
        if self.repulsion_numbers and len(self.repulsion_numbers) != self.n_species:
            raise InputError(
                f"repulsion_numbers are {len(self.repulsion_numbers)}, and the network has {self.n_species} elements",
                "nuclei repel each other by their charges",
                "give the atomic number of each element, or none",
            )
        hidden = parse_irreps(self.hidden_irreps)
        irreps = [ir for _, ir in hidden]
        if not self.parity and any(ir.p < 0 for ir in irreps):
            raise InputError(
                f"hidden_irreps are {self.hidden_irreps!r}, of a network without parity",
                "it knows rotations alone, whose irreps are all written as even",
                "write e behind every degree, or set parity to true",
            )
        if len(set(irreps)) < len(irreps):
            raise InputError(
                f"hidden_irreps are {self.hidden_irreps!r}",
                "parameters are stored under the names of irreps, and one of the two blocks would be lost",
                "name each irrep once, with all its channels: 8x0e in place of 4x0e + 4x0e",
            )
        if any(ir.l for ir in irreps) and EVEN_SCALAR not in irreps:
            raise InputError(
                f"hidden_irreps {self.hidden_irreps!r} have no even scalars",
                "the gates of the higher irreps are even scalars",
                "add a block of 0e, for example 16x0e",
            )
        self._check_outputs()

    def _check_outputs(self) -> None:
        check_outputs(self.outputs)
        if not self.outputs:
            return
        present = {ir for _, ir in output_irreps(self)[1]}
        for output in self.outputs:
            for _, ir in output.blocks:
                if ir not in present:
                    remedy = "give l_max or hidden_irreps higher degrees, hidden_irreps both parities, or add a layer"
                    raise unreachable(output, ir, remedy)


def layer_irreps(config: NequIPConfig) -> list[tuple[Irreps, Irreps]]:
    """Input and output irreps of every layer; the last keeps even scalars only, all that is read."""
    hidden = parse_irreps(config.hidden_irreps)
    scalars = tuple(block for block in hidden if block[1] == EVEN_SCALAR)
    irreps: Irreps = ((config.embedding or config.n_species, EVEN_SCALAR),)
    result = []
    for i in range(config.n_layers):
        wanted = hidden if i < config.n_layers - 1 else scalars
        result.append((irreps, reachable(irreps, config.l_max, wanted, config.parity)))
        irreps = result[-1][1]
    return result


def output_irreps(config: NequIPConfig) -> tuple[Irreps, Irreps]:
    """Input and output irreps of the layer that outputs beside the energy are read from.

    It stands beside the last layer and hears the same atoms. The last layer stays as it is without outputs, so that
    energies do not depend on them, and a network that has learned energies can be given more outputs.
    An irrep has as many channels as in the hidden irreps; one that is not among them has the fewest there.
    """
    irreps_in, _ = layer_irreps(config)[-1]
    channels = {ir: mul for mul, ir in parse_irreps(config.hidden_irreps)}
    needed = {ir for output in config.outputs for _, ir in output.blocks}
    wanted = [(channels.get(ir, min(channels.values())), ir) for ir in needed]
    if EVEN_SCALAR not in needed:
        wanted.append((1, EVEN_SCALAR))  # gates of the others stand behind the even scalars
    ranked = tuple(sorted(wanted, key=lambda block: block[1].rank))
    return irreps_in, reachable(irreps_in, config.l_max, ranked, config.parity)


def nequip_shapes(config: NequIPConfig) -> dict[str, Shapes]:
    """Shapes of all parameters: module -> name -> shape."""
    c, layers = config, [*layer_irreps(config), *([output_irreps(config)] if config.outputs else [])]
    top: Shapes = {"readout": (sum(mul for mul, _ in layers[c.n_layers - 1][1]),), "atom_energies": (c.n_species,)}
    if c.embedding:
        top["embedding"] = (c.n_species, c.embedding)
    if c.trained_basis:
        top["frequencies"] = (c.n_basis,)
    if c.scale_elements:
        top["atom_scales"] = (c.n_species,)
    top |= output_shapes(c.outputs, layers[-1][1])
    result = {"~": top}
    for i, (irreps_in, irreps_out) in enumerate(layers):
        plan = plan_convolution(irreps_in, c.l_max, tuple(ir for _, ir in irreps_out), c.parity)
        irreps_pre = pre_gate_irreps(irreps_out)
        species = (c.n_species,) if c.self_connection == "species" else ()
        own = radial_shapes((c.n_basis, *c.radial_sizes, plan.n_weights))
        if c.radial_elements:
            own["radial_elements"] = (c.n_species, own["radial_0"][1])
        own |= linear_shapes("mix", irreps_in, irreps_in)
        own |= linear_shapes("collect", plan.irreps_out, irreps_pre)
        own |= linear_shapes("skip", irreps_in, irreps_pre, species)
        if c.layer_norm:
            own |= {f"norm_{ir}": (mul,) for mul, ir in irreps_pre}
        result[f"layer_{i}" if i < c.n_layers else "outputs"] = own
    return result
