"""From the modules of a PyTorch MACE model to our configuration and parameters.

Normalisations of e3nn (path weights, second moments of activations) are multiplied into the weights, signs as
well: edge vectors there point the other way, and a few couplings have the other sign. Weights of symmetric products
are projected from the tensors stored in the checkpoint, whatever their basis, onto ours.
Nothing of torch is imported here; the modules are read through their attributes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...base.errors import ModelError
from ..blocks.activations import SILU_NORM, TANH_NORM
from ..mace.config import LayerIrreps, MACEConfig, mace_irreps
from ..o3.irreps import Irrep
from ..o3.paths import plan_convolution
from ..o3.symmetric_products import polynomials_of, symmetric_couplings
from .e3nn_weights import stored

KINDS = {
    "RealAgnosticInteractionBlock": "plain",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density residual",
}
# Not Chebyshev polynomials: through them PyTorch gives forces that are no slopes of the energy.
_BASES = {"BesselBasis": "bessel", "GaussianBasis": "gaussian"}
_TRANSFORMS = {"AgnesiTransform": ("agnesi", "aqp"), "SoftTransform": ("soft", ("alpha",))}
_NORMS = {"silu": SILU_NORM, "tanh": TANH_NORM}


def unsupported(what: str, known: str) -> ModelError:
    """The error of an option that no network here has."""
    return ModelError(
        f"the model has {what}",
        "leaving it out would give other energies",
        f"supported: {known}. Use this model through its own package, or ask for the option to be added",
    )


def array(tensor: Any) -> np.ndarray:
    """A tensor in double precision."""
    return tensor.detach().cpu().double().numpy()


def config_of(model: Any, head: int) -> MACEConfig:
    """The configuration, every option named or refused."""
    embedding, layers = model.radial_embedding, list(model.interactions)
    numbers = np.array([int(z) for z in model.atomic_numbers])
    order = np.argsort(numbers)
    kinds = tuple(named(KINDS, layer, "the interaction block") for layer in layers)
    if len(set(kinds[1:])) > 1:
        raise unsupported(f"interaction blocks {kinds}", "one kind in the first layer and one in all others")
    sizes = {tuple(layer.conv_tp_weights.hs[1:-1]) for layer in layers}
    if len(sizes) > 1:
        raise unsupported(f"radial networks of sizes {sorted(sizes)}", "one size for all layers")
    basis = embedding.bessel_fn
    transform = getattr(embedding, "distance_transform", None)
    name, constants = _TRANSFORMS.get(type(transform).__name__, ("none", ()))
    if transform is not None and name == "none":
        raise unsupported(f"the distance transform {type(transform).__name__}", ", ".join(_TRANSFORMS))
    repulsion = getattr(model, "pair_repulsion_fn", None)
    radii = next((array(m.covalent_radii) for m in (transform, repulsion) if m is not None), None)
    scaled = getattr(model, "scale_shift", None)
    n_readouts = len(model.readouts)
    return MACEConfig(
        n_species=len(numbers),
        cutoff=float(model.r_max),
        hidden_irreps=_hidden(model),
        n_layers=len(layers),
        l_max=max(ir.l for _, ir in model.spherical_harmonics.irreps_out),
        correlation=tuple(int(p.symmetric_contractions.contractions[0].correlation) for p in model.products),
        n_basis=int(embedding.out_dim),
        basis=named(_BASES, basis, "the radial basis"),
        envelope_p=int(embedding.cutoff_fn.p),
        envelope_on="basis" if getattr(embedding, "apply_cutoff", True) else "weights",
        distance_transform=name,
        transform_constants=tuple(float(getattr(transform, c)) for c in constants),
        radial_sizes=tuple(int(size) for size in next(iter(sizes))),
        edge_irreps=_edge_irreps(layers[-1]) if len(layers) > 1 else "",
        first_edge_irreps=_edge_irreps(layers[0]),
        interactions=(kinds[0], kinds[-1]),
        readouts="all" if n_readouts == len(layers) else "last",
        readout_size=_readout_size(model) if len(layers) > 1 else 16,
        activation=_activation(model.readouts[-1])[0] if len(layers) > 1 else "silu",
        pair_repulsion=repulsion is not None,
        repulsion_constants=()
        if repulsion is None
        else (*map(float, repulsion.c), float(repulsion.a_exp), float(repulsion.a_prefactor)),
        repulsion_p=6 if repulsion is None else int(repulsion.p),
        numbers=() if radii is None else tuple(int(z) for z in numbers[order]),
        radii=() if radii is None else tuple(float(r) for r in radii[numbers[order]]),
        average_neighbors=float(layers[0].avg_num_neighbors),
        scale=1.0 if scaled is None else float(np.atleast_1d(array(scaled.scale))[head]),
        shift=0.0 if scaled is None else float(np.atleast_1d(array(scaled.shift))[head]),
    )


def named(table: Mapping[str, str], module: Any, what: str) -> str:
    """What a module is called here.

    Raises:
        ModelError: it is of a type that is not supported.
    """
    name = type(module).__name__
    if name not in table:
        raise unsupported(f"{what} {name}", ", ".join(table))
    return table[name]


def _hidden(model: Any) -> str:
    """Irreps between layers; of a single layer, its scalars."""
    irreps = (
        model.interactions[1].node_feats_irreps if len(model.interactions) > 1 else model.products[0].linear.irreps_out
    )
    return str(irreps)


def _edge_irreps(layer: Any) -> str:
    """What senders pass on, where that is not the features' own."""
    up, own = str(layer.linear_up.irreps_out), str(layer.linear_up.irreps_in)
    return "" if up == own else up


def _readout_size(model: Any) -> int:
    n_heads = len(getattr(model, "heads", None) or ["Default"])
    return model.readouts[-1].hidden_irreps.num_irreps // n_heads


def _activation(readout: Any) -> tuple[str, float]:
    """Name and e3nn's factor of the activation of a readout."""
    acted = readout.non_linearity.acts[0]
    if acted is None:
        return "none", 1.0
    return _function(acted)


def _function(acted: Any) -> tuple[str, float]:
    function = getattr(acted, "f", acted)
    name = getattr(function, "__name__", type(function).__name__).lower()
    if name not in _NORMS:
        raise unsupported(f"the activation {name}", ", ".join(_NORMS))
    return name, float(getattr(acted, "cst", 1.0))


def parameters_of(model: Any, config: MACEConfig, head: int, wigner_3j: Any) -> dict[str, dict[str, np.ndarray]]:
    """All parameters, elements in ascending order.

    Args:
        wigner_3j: (l1, l2, l3) -> tensor, of the e3nn that evaluates the model: its signs depend on the version.
    """
    order = np.argsort([int(z) for z in model.atomic_numbers])
    energies = np.atleast_2d(array(model.atomic_energies_fn.atomic_energies))[head]
    (embedding,) = _matrices(model.node_embedding.linear).values()
    result = {"~": {"embedding": embedding[order], "atom_energies": energies[order]}}
    for index, irreps in enumerate(mace_irreps(config)):
        own = _interaction(config, model.interactions[index], irreps, order, wigner_3j)
        own |= _product(config, index, model.products[index], irreps, order)
        if config.has_readout(index):
            own |= _readout(config, index, model.readouts[index if config.readouts == "all" else -1], head)
        result[f"layer_{index}"] = own
    return result


def _irrep(ir: Any) -> Irrep:
    return Irrep(int(ir.l), int(ir.p))


def _matrices(linear: Any) -> dict[Irrep, np.ndarray]:
    """Matrices (channels in, channels out) of an e3nn Linear as they act, blocks of an irrep one below the other."""
    blocks: dict[Irrep, dict[int, np.ndarray]] = {}
    for _, instruction, view in linear.weight_views(yield_instruction=True):
        ir = _irrep(linear.irreps_out[instruction.i_out].ir)
        blocks.setdefault(ir, {})[instruction.i_in] = array(view) * float(instruction.path_weight)
    return {ir: np.concatenate([own[place] for place in sorted(own)]) for ir, own in blocks.items()}


def _channels(irreps: Any) -> list[slice]:
    """Where the channels of each block lie among all those of its irrep.

    Linear maps of 2022 read what a product gives with the blocks of an irrep joined, later ones block by block.
    """
    result, ends = [], dict.fromkeys({_irrep(ir) for _, ir in irreps}, 0)
    for mul, ir in irreps:
        start = ends[_irrep(ir)]
        ends[_irrep(ir)] = start + mul
        result.append(slice(start, start + mul))
    return result


def _by_element(product: Any, order: np.ndarray, wigner_3j: Any) -> dict[Irrep, np.ndarray]:
    """Matrices (elements, channels in, channels out) of a product with the one-hot element."""
    result = {}
    for _, instruction, view in product.weight_views(yield_instruction=True):
        ir = _irrep(product.irreps_out[instruction.i_out].ir)
        unit = float(wigner_3j(ir.l, 0, ir.l)[0, 0, 0]) * float(instruction.path_weight)
        result[ir] = array(view).transpose(1, 0, 2)[order] * unit
    return result


def _interaction(
    config: MACEConfig, block: Any, irreps: LayerIrreps, order: np.ndarray, wigner_3j: Any
) -> dict[str, np.ndarray]:
    plan = plan_convolution(irreps.senders, config.l_max, tuple(ir for _, ir in irreps.factors))
    result = stored("mix", _matrices(block.linear_up), irreps.senders)
    skip = _by_element(block.skip_tp, order, wigner_3j)
    residual = "residual" in KINDS[type(block).__name__]
    result |= stored("skip" if residual else "select", skip, irreps.out if residual else irreps.factors)
    # Where each of our paths lies among theirs: columns of the radial weights, blocks of what is collected.
    product, linear = block.conv_tp, _matrices(block.linear)
    rows = _channels(product.irreps_out)
    columns = np.cumsum([0] + [int(np.prod(i.path_shape)) for i in product.instructions])
    products: dict[tuple[Irrep, int, Irrep], tuple[Any, slice]] = {}
    for k, instruction in enumerate(product.instructions):
        ends = (product.irreps_in1[instruction.i_in1].ir, product.irreps_out[instruction.i_out].ir)
        degree = product.irreps_in2[instruction.i_in2].ir.l
        products[_irrep(ends[0]), degree, _irrep(ends[1])] = instruction, slice(columns[k], columns[k + 1])
    radial = _perceptron(block.conv_tp_weights, config)
    last, picked = radial[-1], np.empty((len(radial[-1]), plan.n_weights))
    collected: dict[Irrep, list[np.ndarray]] = {}
    for path in plan.paths:
        ir_in, ir_out = irreps.senders[path.block][1], plan.irreps_out[path.out][1]
        instruction, place = products[ir_in, path.degree, ir_out]
        ours, theirs = path.coupling, array(wigner_3j(ir_in.l, path.degree, ir_out.l))
        ratio = (ours * theirs).sum() / (ours**2).sum() * float(instruction.path_weight)
        picked[:, path.weights] = last[:, place] * ratio * (-1) ** path.degree
        collected.setdefault(ir_out, []).append(linear[ir_out][rows[instruction.i_out]])
    radial[-1] = picked
    scale = (
        1.0 if "density" in KINDS[type(block).__name__] else config.average_neighbors / float(block.avg_num_neighbors)
    )
    result |= stored("collect", {ir: np.concatenate(m) * scale for ir, m in collected.items()}, irreps.factors)
    if "density" in KINDS[type(block).__name__]:
        (result["density"],) = _perceptron(block.density_fn, config)
    return result | {f"radial_{i}": matrix for i, matrix in enumerate(radial)}


def _perceptron(network: Any, config: MACEConfig) -> list[np.ndarray]:
    """Matrices for our basis and normalised silu."""
    matrices, factor = [], (config.cutoff / 2) ** 0.5 if config.basis == "bessel" else 1.0
    for layer in network:
        matrices.append(array(layer.weight) * factor * (layer.var_out / (layer.h_in * layer.var_in)) ** 0.5)
        if layer.act is not None:
            name, constant = _function(layer.act)
            if name != "silu":
                raise unsupported(f"the activation {name} in a radial network", "silu")
            factor = constant * SILU_NORM
    return matrices


def _product(
    config: MACEConfig, index: int, block: Any, irreps: LayerIrreps, order: np.ndarray
) -> dict[str, np.ndarray]:
    result = stored("after", _matrices(block.linear), irreps.out)
    products = block.symmetric_contractions
    theirs = [_irrep(ir) for _, ir in products.irreps_in]
    kinds = tuple(ir for _, ir in irreps.factors)
    starts = np.cumsum([0] + [ir.dim for ir in theirs])
    # Their variables in our order.
    variables = np.concatenate([np.arange(starts[b], starts[b] + ir.dim) for ir in kinds for b in [theirs.index(ir)]])
    for (_, ir), part in zip(products.irreps_out, products.contractions, strict=True):
        ir = _irrep(ir)
        if ir not in {kind for _, kind in irreps.out}:
            continue  # of a last layer that keeps what nothing reads
        for degree in range(1, part.correlation + 1):
            couplings = symmetric_couplings(kinds, ir, degree)
            if not couplings.shape[-1]:
                continue
            place = part.correlation - 1 - degree
            weights = array(part.weights_max if place < 0 else part.weights[place])
            tensors = array(part.U_tensors(degree)).reshape(ir.dim, *[len(variables)] * degree, -1)
            for axis in range(1, degree + 1):
                tensors = np.take(tensors, variables, axis)
            weights = _projected(couplings, np.moveaxis(tensors, 0, degree), weights)
            if len(weights) == 1 and config.n_species > 1:  # the same for all elements
                weights = np.repeat(weights, config.n_species, 0)
            result[f"product_{ir}_{degree}"] = weights[order]
    return result


def _projected(couplings: np.ndarray, tensors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights (elements, K, channels) of tensors (D, ..., m, K) as weights of our couplings."""
    degree = tensors.ndim - 2
    theirs = polynomials_of(tensors, degree)
    ours = couplings.reshape(-1, couplings.shape[-1])
    theirs = theirs.reshape(-1, theirs.shape[-1])
    change, *_ = np.linalg.lstsq(ours, theirs, rcond=None)
    # Tensors stored in single precision are equivariant to that precision only.
    if np.abs(ours @ change - theirs).max() > 1e-5 * max(1.0, np.abs(theirs).max()):
        raise unsupported(
            f"products of degree {degree} that are not equivariant polynomials of their features", "MACE's"
        )
    return np.einsum("ab,ebu->eau", change, weights)


def _readout(config: MACEConfig, index: int, block: Any, head: int) -> dict[str, np.ndarray]:
    expected = "NonLinearReadoutBlock" if config.is_nonlinear(index) else "LinearReadoutBlock"
    if type(block).__name__ != expected:
        raise unsupported(f"the readout {type(block).__name__} in layer {index + 1}", expected)
    scalar = Irrep(0, 1)
    if not config.is_nonlinear(index):
        return {"readout": _matrices(block.linear)[scalar][:, head, None]}
    own = slice(head * config.readout_size, (head + 1) * config.readout_size)
    name, constant = _activation(block)
    return {
        "readout_hidden": _matrices(block.linear_1)[scalar][:, own],
        "readout": _matrices(block.linear_2)[scalar][own, head, None] * constant * _NORMS.get(name, 1.0),
    }
