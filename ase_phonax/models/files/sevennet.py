"""Reader of SevenNet checkpoints (.pth), NequIP networks of Park et al., J. Chem. Theory Comput. 20, 4857 (2024).

They are read without PyTorch and without sevenn (`torch_archives`), in double precision: single-precision parameters
as they are, Bessel frequencies and couplings among them. What sevenn itself evaluates in double precision is the same
network to rounding.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...base.errors import InputError, ModelError, why_unread
from ..architectures import make_potential
from ..blocks.checks import MOST
from ..downloads import sha256_of
from ..nequip.config import NequIPConfig, layer_irreps
from ..o3.irreps import EVEN_SCALAR, HIGHEST_DEGREE, MOST_CHANNELS, Irrep, Irreps, harmonics, parse_irreps
from ..potential import Potential, Provenance
from .checks import check_config, count_of
from .e3nn_weights import linear_matrices, product_matrices, radial_matrices
from .nequip_training import is_state, read_training
from .nequip_translation import (
    ACTIVATIONS,
    LayerWeights,
    State,
    layer_parameters,
    pre_gate,
    two_maps_readout,
    unsupported,
    version_of,
)
from .torch_archives import read_archive

SUFFIX = ".pth"
_SORTED_SINCE = (0, 11)  # version from which radial weights stand in the order of what comes out
_unsupported = partial(unsupported, package="sevenn")


def read_pth(path: Path) -> Potential:
    """What ends in .pth: a checkpoint of SevenNet, or a training of NequIP 0.5 or 0.6.

    Raises:
        ModelError: as `read_sevennet` and `read_training`.
    """
    content = read_archive(path)
    return read_training(path, content) if is_state(content) else read_sevennet(path, content)


def read_sevennet(path: Path, content: Any = None) -> Potential:
    """A `Potential` in double precision.

    Args:
        content: of the file, where it has been read.

    Raises:
        ModelError: no checkpoint of SevenNet, damaged, or with an option that no network here has.
    """
    content = read_archive(path) if content is None else content
    if not isinstance(content, dict) or not {"config", "model_state_dict"} <= content.keys():
        raise _foreign(path, "it holds numbers, but not what a checkpoint of SevenNet does")
    given, state = content["config"], content["model_state_dict"]
    try:
        _refuse_unknown(given)
        numbers, order = _elements(given)
        config = _config(given, state, len(numbers))
        check_config(path, config, numbers)
        parameters = _parameters(config, given, state, order)
    except ModelError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, InputError) as error:
        raise _foreign(path, f"its modules are not as SevenNet's own are: {why_unread(error)}") from error
    return make_potential(
        "nequip",
        config,
        parameters,
        numbers,
        path.stem,
        Provenance(
            citation="SevenNet: Park et al., J. Chem. Theory Comput. 20, 4857 (2024)",
            source=f"{path.name}, sha256 {sha256_of(path)}",
        ),
    )


def _foreign(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        "its numbers cannot be brought into a network of this package",
        "give the checkpoint_*.pth that sevenn writes, or that was published",
    )


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    """Refuse what a configuration asks for that no network here has."""
    if given.get("use_modality", False):
        levels = ", ".join(map(str, given.get("_modal_map", {})))
        raise _unsupported(f"several levels of theory ({levels})", "networks of one, such as SevenNet-l3i5")
    if not given.get("_normalize_sph", False):
        what = "harmonics of vectors of their own length, as SevenNet-0 of May 2024"
        raise _unsupported(what, "harmonics of directions, as SevenNet-0 of July 2024 has them")
    basis, closing = given["radial_basis"], given["cutoff_function"]
    kinds = _listed(given["self_connection_type"])
    wanted: dict[str, tuple[Any, list[Any]]] = {
        "interactions": (given["interaction_type"], ["nequip"]),
        "a radial basis": (basis["radial_basis_name"], ["bessel"]),
        "an envelope": (closing["cutoff_function_name"], ["poly_cut", "XPLOR"]),
        "a radial activation": (given["act_radial"], ["silu"]),
        "activations of scalars": (given["act_scalar"], [ACTIVATIONS]),
        "activations of gates": (given["act_gate"], [ACTIVATIONS]),
        "biases": (given.get("use_bias_in_linear", False), [False]),
        "a readout of several layers": (given.get("readout_as_fcn", False), [False]),
        "sums over halves of edges": (given.get("optimize_by_reduce", True), [True]),
        "the layout of cuEquivariance": (given.get("cuequivariance_config", {}).get("use", False), [False]),
        "self-connections": (kinds, [["linear"] * len(kinds), ["nequip"] * len(kinds)]),
    }
    for what, (value, known) in wanted.items():
        if value not in known:
            raise _unsupported(f"{what} ({value!r})", ", ".join(map(repr, known)))
    if any(given.get(f"lmax_{where}", -1) not in (-1, given["lmax"]) for where in ("edge", "node")):
        raise _unsupported("other degrees of features than of harmonics", "lmax alone")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _elements(given: Mapping[str, Any]) -> tuple[list[int], np.ndarray]:
    """Atomic numbers, ascending, and the index of each in the checkpoint."""
    index = {int(z): int(k) for z, k in given["_type_map"].items()}
    numbers = sorted(index)
    return numbers, np.array([index[z] for z in numbers])


def _irreps_of_layers(given: Mapping[str, Any]) -> list[Irreps]:
    """Irreps that enter the first layer, and that leave each."""
    manual, n_layers = given.get("irreps_manual"), count_of(given["num_convolution_layer"], MOST["n_layers"], "layers")
    mul, l_max = count_of(given["channel"], MOST_CHANNELS, "channels"), count_of(given["lmax"], HIGHEST_DEGREE, "lmax")
    if manual:
        return [parse_irreps(str(irreps)) for irreps in manual]
    parities = (1, -1) if given["is_parity"] else (1,)
    every = [Irrep(l, p) for l in range(l_max + 1) for p in parities]
    result: list[Irreps] = [((mul, EVEN_SCALAR),)]
    for layer in range(n_layers):
        there = _reached(result[-1], l_max, bool(given["is_parity"]))
        last = layer == n_layers - 1
        wanted = [ir for ir in every if ir in there and (not last or ir == EVEN_SCALAR)]
        result.append(tuple((mul, ir) for ir in sorted(wanted)))
    return result


def _reached(irreps: Irreps, l_max: int, parity: bool) -> set[Irrep]:
    """What products of irreps with harmonics give."""
    return {ir for _, ir_in in irreps for harmonic in harmonics(l_max, parity) for ir in ir_in.times(harmonic)}


def _config(given: Mapping[str, Any], state: State, n_species: int) -> NequIPConfig:
    first, *between, last = _irreps_of_layers(given)
    hidden = max(between, key=len, default=last)
    closing, n_basis = given["cutoff_function"], len(state["edge_embedding.basis_function.coeffs"])
    switched = closing["cutoff_function_name"] == "XPLOR"
    scales = np.unique(_per_element(state["rescale_atomic_energy.scale"], n_species))
    config = NequIPConfig(
        n_species=n_species,
        cutoff=float(given["cutoff"]),
        hidden_irreps=" + ".join(f"{mul}x{ir}" for mul, ir in hidden),
        n_layers=int(given["num_convolution_layer"]),
        l_max=int(given["lmax"]),
        n_basis=n_basis,
        radial_sizes=tuple(int(n) for n in given["weight_nn_hidden_neurons"]),
        envelope_p=6 if switched else int(closing.get("poly_cut_p_value", 6)),
        envelope="switch" if switched else "polynomial",
        switch_on=float(closing["cutoff_on"]) if switched else 0.0,
        trained_basis=True,  # rounded to single precision, where they are not trained
        embedding=first[0][0],
        self_connection="species" if "nequip" in _listed(given["self_connection_type"]) else "shared",
        average_neighbors=float(state["0_convolution.denominator"][0]) ** 2,
        scale=float(scales[0]) if len(scales) == 1 else 1.0,
        scale_elements=len(scales) > 1,
        parity=bool(given["is_parity"]),
    )
    if len(first) > 1 or [irreps for _, irreps in layer_irreps(config)] != [*between, last]:
        known = "scalars first, then all that can be reached of the same ones, and their even scalars at the end"
        raise _unsupported(f"the irreps {given.get('irreps_manual')}", known)
    return config


def _per_element(values: np.ndarray, n_species: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(values, float).ravel(), n_species)


def _parameters(
    config: NequIPConfig, given: Mapping[str, Any], state: State, order: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """All parameters, elements in ascending order."""
    numbers = {name: np.asarray(value, float) for name, value in state.items()}
    (embedding,) = linear_matrices(
        numbers["onehot_to_feature_x.linear.weight"],
        ((config.n_species, EVEN_SCALAR),),
        ((config.embedding, EVEN_SCALAR),),
    ).values()
    top = {
        "embedding": embedding[order],
        "frequencies": numbers["edge_embedding.basis_function.coeffs"],
        "atom_energies": _per_element(numbers["rescale_atomic_energy.shift"], config.n_species)[order],
    }
    if config.scale_elements:
        top["atom_scales"] = _per_element(numbers["rescale_atomic_energy.scale"], config.n_species)[order]
    result = {"~": top}
    for index in range(config.n_layers):
        weights = _weights(config, index, numbers, order, version_of(given["version"]) >= _SORTED_SINCE)
        result[f"layer_{index}"] = layer_parameters(config, index, weights)
    down, up = (numbers[f"{name}.linear.weight"] for name in ("reduce_input_to_hidden", "reduce_hidden_to_energy"))
    top["readout"] = two_maps_readout(down, up, layer_irreps(config)[-1][1])
    return result


def _weights(config: NequIPConfig, index: int, state: State, order: np.ndarray, sorted_weights: bool) -> LayerWeights:
    """What a layer of the checkpoint holds."""
    irreps_in, irreps_out = layer_irreps(config)[index]
    entering = pre_gate(irreps_out)
    if config.self_connection == "shared":
        skip = linear_matrices(state[f"{index}_self_connection_intro.linear.weight"], irreps_in, entering)
    else:
        product = state[f"{index}_self_connection_intro.fc_tensor_product.weight"]
        every = np.eye(config.n_species)[order]
        skip = product_matrices(product, irreps_in, every, entering)
    names = [f"{index}_convolution.weight_nn.layer{k}.weight" for k in range(len(config.radial_sizes) + 1)]
    convolution = f"{index}_convolution.convolution._compiled_main_left_right."
    return LayerWeights(
        mix=state[f"{index}_self_interaction_1.linear.weight"],
        skip=skip,
        radial=radial_matrices([state[name] for name in names]),
        collect=state[f"{index}_self_interaction_2.linear.weight"],
        products=_products(config, irreps_in, irreps_out),
        couplings={name.removeprefix(convolution): x for name, x in state.items() if name.startswith(convolution)},
        scale=config.average_neighbors**0.5 / float(state[f"{index}_convolution.denominator"][0]),
        sorted_weights=sorted_weights,
    )


def _products(config: NequIPConfig, irreps_in: Irreps, irreps_out: Irreps) -> set[Irrep]:
    """All that can be reached up to the highest degree that is wanted; at the end, even scalars alone."""
    highest = max(ir.l for _, ir in irreps_out)
    reached = _reached(irreps_in, config.l_max, config.parity)
    return {ir for ir in reached if ir.l <= highest and (highest or ir.p == 1)}
