"""Reader of checkpoints (.ckpt) and packages (.nequip.zip) of NequIP's own package, version 0.7 and later.

Both state how their network was built, and hold its numbers, which are read without PyTorch and without running
anything (`torch_archives`). Batzner et al., Nat. Commun. 13, 2453 (2022); Tan et al., arXiv:2504.16068.
"""

import re
from collections.abc import Mapping
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from ...base.errors import InputError, ModelError, why_unread
from ..architectures import make_potential
from ..downloads import sha256_of
from ..nequip.config import NequIPConfig, layer_irreps
from ..o3.irreps import HIGHEST_DEGREE, parse_irreps
from ..potential import Potential, Provenance
from .checks import check_config, count_of
from .e3nn_weights import SILU_RATIO, product_matrices
from .nequip_translation import (
    ACTIVATIONS,
    LayerWeights,
    State,
    layer_parameters,
    pre_gate,
    scalars_first,
    unsupported,
    version_of,
)
from .torch_archives import read_archive, read_package

CHECKPOINT, PACKAGE = ".ckpt", ".zip"
_NETWORK = "model.sole_model.model.func."
_MODELS = ("NequIPGNNModel", "PresetNequIPGNNModel", "FullNequIPGNNModel")
# Sizes of the published ones by name (nequip 0.19).
_PRESETS: dict[str, dict[str, Any]] = {
    "S": {"num_layers": 2, "l_max": 1, "num_features": [128, 64]},
    "M": {"num_layers": 4, "l_max": 2, "num_features": [128, 64, 32]},
    "L": {"num_layers": 6, "l_max": 3, "num_features": [128, 64, 32, 32]},
    "XL": {"num_layers": 6, "l_max": 4, "num_features": [320, 96, 64, 32, 32]},
}
_PRESET = {"parity": False}
_TODAYS_IRREPS = (0, 16)  # version from which degrees come first, and which has parities in any case
# Parameters, whatever was asked for; averages of them lie beside the state, in its order.
_WEIGHTS = re.compile(r"\.(embed_module|linear_1|linear_2|sc|mlp\.\d+)\.weight$")
Given = Mapping[str, Any]
_unsupported = partial(unsupported, package="NequIP")


def read_nequip(path: Path) -> Potential:
    """A `Potential` in double precision, of averaged weights where the training kept them.

    Raises:
        ModelError: no such file, damaged, of another architecture, or with an option that no network here has.
    """
    try:
        given, versions, state = _package(path) if path.suffix.lower() == PACKAGE else _checkpoint(path)
        symbols = [str(name) for name in given["type_names"]]
        if unknown := [name for name in symbols if name not in atomic_numbers]:
            raise _unsupported(f"types {', '.join(unknown)}, which are no elements", "one type for each element")
        order = np.argsort([atomic_numbers[name] for name in symbols])
        numbers = sorted(atomic_numbers[name] for name in symbols)
        config = _config(given, version_of(versions["nequip"]), state, numbers)
        check_config(path, config, numbers)
        parameters = _parameters(config, state, order)
    except ModelError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, InputError) as error:
        raise _foreign(path, f"its modules are not as NequIP's own are: {why_unread(error)}") from error
    return make_potential(
        "nequip",
        config,
        parameters,
        numbers,
        path.name.removesuffix(".nequip.zip").removesuffix(CHECKPOINT),
        Provenance(
            citation="NequIP: Batzner et al., Nat. Commun. 13, 2453 (2022); Tan et al., arXiv:2504.16068",
            source=f"{path.name}, sha256 {sha256_of(path)}",
        ),
    )


def _foreign(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        "its numbers cannot be brought into a network of this package",
        "give a checkpoint (.ckpt) that nequip-train writes, or what nequip-package build makes of it (.nequip.zip)",
    )


def _checkpoint(path: Path) -> tuple[Given, Given, State]:
    """How the network was built, versions of packages, and its state."""
    content = read_archive(path)
    if not isinstance(content, dict) or not {"hyper_parameters", "state_dict"} <= content.keys():
        raise _foreign(path, "it holds numbers, but not what a checkpoint of NequIP does")
    given = _arguments(content["hyper_parameters"]["model"])
    every = content["state_dict"]
    state = _of_network(every)
    averages = [name for name in every if name.startswith("ema.ema_weight_")]
    if averages:
        trained = [name for name in state if _is_trained(name, given)]
        if [state[name].shape for name in trained] != [
            every[f"ema.ema_weight_{k}"].shape for k in range(len(averages))
        ]:
            raise ValueError("averaged weights that are not those of the network")
        state |= {name: every[f"ema.ema_weight_{k}"] for k, name in enumerate(trained)}
    return given, content["hyper_parameters"]["info_dict"]["versions"], state


def _package(path: Path) -> tuple[Given, Given, State]:
    """The same of a package, in which averages have taken the place of weights."""
    config, facts, state = read_package(path)
    versions = facts["versions"]
    if version_of(versions["e3nn"]) < (0, 5):
        raise _unsupported(f"couplings of e3nn {versions['e3nn']}, whose signs it does not hold", "e3nn 0.5 or later")
    state = _of_network({f"model.{name}": x for name, x in state.items()})
    return _arguments(config["training_module"]["model"]), versions, state


def _of_network(every: State) -> dict[str, np.ndarray]:
    state = {name.removeprefix(_NETWORK): x for name, x in every.items() if name.startswith(_NETWORK)}
    if not state:
        raise ValueError(f"no network {_NETWORK[:-1]} among its numbers")
    return state


def _is_trained(name: str, given: Given) -> bool:
    """Whether it is a parameter, and not a constant."""
    if name.endswith("bessel_weights"):
        return bool(given.get("bessel_trainable", False))
    if name.endswith((".scales", ".shifts")):
        return bool(given.get(f"per_type_energy_{name.rsplit('.', 1)[1]}_trainable", False))
    return _WEIGHTS.search(name) is not None


def _arguments(model: Given) -> Given:
    """What the builder of the network was given.

    Raises:
        ModelError: it is no builder of NequIP's, or changes the network in a way that is not known here.
    """
    if "_target_" not in model and "sole_model" in model:
        model = model["sole_model"]
    if str(model.get("_target_", "")).endswith(".modify"):
        changes = [str(change.get("modifier")) for change in model["modifiers"]]
        if unknown := [name for name in changes if not name.startswith("enable_")]:
            raise _unsupported(f"the modifiers {', '.join(unknown)}", "those that make it faster (enable_...)")
        return _arguments(model["model"])
    package, _, builder = str(model.get("_target_", "nothing")).rpartition(".")
    if builder not in _MODELS:
        what = "Allegro" if package.startswith("allegro") else f"a network built by {package}.{builder}"
        raise _unsupported(what, ", ".join(_MODELS))
    preset = str(model.get("preset", "")).upper()
    return {**_PRESET, **_PRESETS[preset], **model} if preset else model


def _config(given: Given, version: tuple[int, ...], state: State, numbers: list[int]) -> NequIPConfig:
    """The configuration, every option named or refused."""
    _refuse_unknown(given)
    n_layers = sum(name.endswith("conv.linear_1.weight") for name in state)
    l_max, irreps, parity = _irreps_of_layers(given, version, n_layers)
    sizes = {_radial_sizes(state, index) for index in range(n_layers)}
    if len(sizes) > 1:
        raise _unsupported("radial networks of several sizes", "one size for all layers")
    neighbours = given.get("avg_num_neighbors")
    neighbours = set(neighbours.values() if isinstance(neighbours, Mapping) else [neighbours])
    if len(neighbours) > 1:
        raise _unsupported("numbers of neighbours of each element", "one for all")
    scales = state["per_type_energy_scale_shift.scales"]
    repulsion = given.get("pair_potential")
    hidden = max(irreps, key=lambda text: len(parse_irreps(text)))
    config = NequIPConfig(
        n_species=len(numbers),
        cutoff=float(given["r_max"]),
        hidden_irreps=hidden,
        n_layers=n_layers,
        l_max=l_max,
        n_basis=int(given.get("num_bessels", 8)),
        radial_sizes=sizes.pop(),
        envelope_p=int(given.get("polynomial_cutoff_p", 6)),
        trained_basis=bool(given.get("bessel_trainable", False)),
        embedding=state["type_embed.embed_module.weight"].shape[1],
        average_neighbors=float(neighbours.pop()),
        scale=float(scales.ravel()[0]) if scales.size == 1 else 1.0,
        scale_elements=scales.size > 1,
        parity=parity,
        repulsion_numbers=tuple(numbers) if repulsion else (),
        repulsion_p=int(repulsion.get("polynomial_cutoff_p", 6)) if repulsion else 6,
    )
    reached = [own for _, own in layer_irreps(config)]
    wanted = [parse_irreps(text) for text in irreps]
    if any([block for block in own if block in mine] != list(mine) for own, mine in zip(wanted, reached, strict=True)):
        raise _unsupported(f"the irreps {irreps}", "the same between all layers, and their even scalars at the end")
    return config


def _refuse_unknown(given: Given) -> None:
    """Refuse what a builder was asked for that no network here has."""
    repulsion = given.get("pair_potential") or {}
    known = {
        "per_edge_type_cutoff": (None,),
        "categorical_graph_field_embed": (None,),
        "readout_mlp_hidden_layers_depth": (None, 0),
        "convnet_resnet": (None, False),
        "convnet_nonlinearity_type": (None, "gate"),
        "convnet_nonlinearity_scalars": (None, ACTIVATIONS),
        "convnet_nonlinearity_gates": (None, ACTIVATIONS),
    }
    for option, values in known.items():
        if given.get(option) not in values:
            raise _unsupported(f"{option} {given[option]!r}", " or ".join(str(value) for value in values[-1:]))
    if repulsion and (not str(repulsion.get("_target_")).endswith(".ZBL") or repulsion.get("units") != "metal"):
        raise _unsupported(f"the pair potential {dict(repulsion)}", "ZBL in metal units")


def _radial_sizes(state: State, index: int) -> tuple[int, ...]:
    names = (f"layer{index}_convnet.conv.edge_mlp.mlp.{2 * k}.weight" for k in count(1))
    return tuple(len(state[name]) for name in takewhile(state.__contains__, names))


def _irreps_of_layers(given: Given, version: tuple[int, ...], n_layers: int) -> tuple[int, list[str], bool]:
    """The highest degree of the harmonics, what is wanted behind each layer, and whether parities count.

    Scalars come first behind a layer.
    """
    if "feature_irreps_hidden" in given:
        harmonics = given["irreps_edge_sh"]
        natural = " + ".join(f"1x{l}{'eo'[l % 2]}" for l in range(1 + _highest(harmonics)))
        if not isinstance(harmonics, int) and parse_irreps(str(harmonics)) != parse_irreps(natural):
            raise _unsupported(f"the harmonics {harmonics}", "one of each degree, odd ones of odd parity")
        return _highest(harmonics), [_scalars_first(str(irreps)) for irreps in given["feature_irreps_hidden"]], True
    l_max, features = count_of(given.get("l_max", 1), HIGHEST_DEGREE, "l_max"), given.get("num_features", 32)
    channels = [features] * (l_max + 1) if isinstance(features, int) else list(features)
    both, degrees = bool(given.get("parity", True)), range(l_max + 1)
    if version >= _TODAYS_IRREPS:
        hidden = [f"{channels[l]}x{l}{p}" for l in degrees for p in ("eo" if both else "eo"[l % 2])]
    else:
        hidden = [f"{channels[l]}x{l}{p}" for p in ("eo" if both else "e") for l in degrees]
    layers = [_scalars_first(" + ".join(hidden))] * (n_layers - 1) + [f"{channels[0]}x0e"]
    return l_max, layers, both or version >= _TODAYS_IRREPS


def _scalars_first(irreps: str) -> str:
    return " + ".join(f"{mul}x{ir}" for mul, ir in scalars_first(parse_irreps(irreps)))


def _highest(harmonics: Any) -> int:
    if isinstance(harmonics, int):
        return count_of(harmonics, HIGHEST_DEGREE, "degrees of harmonics")
    return max(ir.l for _, ir in parse_irreps(str(harmonics)))


def _parameters(config: NequIPConfig, state: State, order: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """All parameters, elements in ascending order."""
    numbers = {name: np.asarray(value, float) for name, value in state.items()}
    shifts = numbers["per_type_energy_scale_shift.shifts"].ravel()
    top = {
        "embedding": numbers["type_embed.embed_module.weight"][order],
        "atom_energies": np.broadcast_to(shifts if shifts.size else 0.0, config.n_species)[order],
        "readout": numbers["per_atom_energy_readout.mlp_module.mlp.0.weight"][:, 0] * SILU_RATIO,
    }
    if config.scale_elements:
        top["atom_scales"] = numbers["per_type_energy_scale_shift.scales"].ravel()[order]
    if config.trained_basis:
        top["frequencies"] = numbers["bessel_encode.bessel_weights"].ravel() * (np.pi / config.cutoff)
    result = {"~": top}
    for index, (irreps_in, irreps_out) in enumerate(layer_irreps(config)):
        names = f"layer{index}_convnet.conv."
        own = {name.removeprefix(names): x for name, x in numbers.items() if name.startswith(names)}
        entering = pre_gate(irreps_out)
        skip = own.get("sc.weight")
        weights = LayerWeights(
            mix=own["linear_1.weight"],
            skip={} if skip is None else product_matrices(skip, irreps_in, top["embedding"], entering),
            radial=[_radial(own[f"edge_mlp.mlp.{2 * k}.weight"], k) for k in range(len(config.radial_sizes) + 1)],
            collect=own["linear_2.weight"],
            products={ir for _, ir in entering},
            couplings={name.rsplit(".", 1)[1]: x for name, x in own.items() if "._w3j_" in name},
        )
        result[f"layer_{index}"] = layer_parameters(config, index, weights)
    return result


def _radial(weights: np.ndarray, number: int) -> np.ndarray:
    """Matrix of a radial network whose silu is not normalised; its gain stands in the maps behind it."""
    return weights * ((2.0 if number else 1.0) / len(weights)) ** 0.5
