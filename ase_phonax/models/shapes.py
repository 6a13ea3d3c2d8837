"""Which arrays a configuration asks for: what a model file has to hold, known without making a network.

The function forms make the same arrays when they are initialised, and a test compares the two.
"""

from collections.abc import Sequence

from .blocks.gates import pre_gate_irreps
from .mace.config import LayerIrreps, MACEConfig, mace_irreps
from .nequip.config import NequIPConfig, layer_irreps, output_irreps
from .o3.irreps import EVEN_SCALAR, Irreps
from .o3.paths import plan_convolution
from .o3.symmetric_products import symmetric_couplings
from .outputs import Output

Shapes = dict[str, tuple[int, ...]]


def nequip_shapes(config: NequIPConfig) -> dict[str, Shapes]:
    """Module -> name -> shape."""
    c, layers = config, [*layer_irreps(config), *([output_irreps(config)] if config.outputs else [])]
    top: Shapes = {"readout": (sum(mul for mul, _ in layers[c.n_layers - 1][1]),), "atom_energies": (c.n_species,)}
    if c.embedding:
        top["embedding"] = (c.n_species, c.embedding)
    top |= _readouts(c.outputs, layers[-1][1])
    result = {"~": top}
    for i, (irreps_in, irreps_out) in enumerate(layers):
        plan = plan_convolution(irreps_in, c.l_max, tuple(ir for _, ir in irreps_out))
        irreps_pre = pre_gate_irreps(irreps_out)
        species = (c.n_species,) if c.self_connection == "species" else ()
        own = _radial((c.n_basis, *c.radial_sizes, plan.n_weights))
        if c.radial_elements:
            own["radial_elements"] = (c.n_species, own["radial_0"][1])
        own |= _linear("mix", irreps_in, irreps_in)
        own |= _linear("collect", plan.irreps_out, irreps_pre)
        own |= _linear("skip", irreps_in, irreps_pre, species)
        if c.layer_norm:
            own |= {f"norm_{ir}": (mul,) for mul, ir in irreps_pre}
        result[f"layer_{i}" if i < c.n_layers else "outputs"] = own
    return result


def mace_shapes(config: MACEConfig) -> dict[str, Shapes]:
    """Module -> name -> shape."""
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
    own = _radial((c.n_basis, *c.radial_sizes, plan.n_weights))
    if kind.startswith("density"):
        own["density"] = (c.n_basis, 1)
    own |= _linear("mix", features, senders) | _linear("collect", plan.irreps_out, factors)
    if kind.endswith("residual"):
        own |= _linear("skip", features, out, species)
    else:
        own |= _linear("select", factors, factors, species)
    own |= _linear("after", out, out)
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
        own |= _readouts(c.outputs, out)
    return own


def _readouts(outputs: Sequence[Output], features: Irreps) -> Shapes:
    """Of `read_outputs`: linear maps of features."""
    return {k: v for o in outputs for k, v in _linear(f"output_{o.name}", features, o.blocks).items()}


def _radial(sizes: tuple[int, ...]) -> Shapes:
    return {f"radial_{k}": sizes[k : k + 2] for k in range(len(sizes) - 1)}


def _linear(name: str, irreps_in: Irreps, irreps_out: Irreps, species: tuple[int, ...] = ()) -> Shapes:
    """Of `equivariant_linear`: a matrix for each irrep that enters and leaves, or one for each element."""
    entering = {ir: mul for mul, ir in irreps_in}
    return {f"{name}_{ir}": (*species, entering[ir], mul) for mul, ir in irreps_out if ir in entering}
