"""Reader of trainings of NequIP 0.5 and 0.6: best_model.pth, a state, beside config.yaml, how the network was built."""

from collections.abc import Mapping
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase.data import atomic_numbers

from ...base.errors import InputError, ModelError, why_unread
from ...base.input_files import require_file
from ..architectures import make_potential
from ..downloads import sha256_of
from ..nequip.config import NequIPConfig, layer_irreps
from ..o3.irreps import HIGHEST_DEGREE, MOST_CHANNELS, Irreps, parse_irreps, reachable
from ..potential import Potential, Provenance
from .checks import check_config, count_of
from .e3nn_weights import product_matrices, radial_matrices
from .nequip_translation import (
    ACTIVATIONS,
    LayerWeights,
    State,
    layer_parameters,
    pre_gate,
    scalars_first,
    two_maps_readout,
    unsupported,
)
from .plain_pickles import counted
from .torch_archives import MOST_TEXT

CONFIG = "config.yaml"
_FREQUENCIES = "radial_basis.basis.bessel_weights"
Given = Mapping[str, Any]
_unsupported = partial(unsupported, package="NequIP")


def is_state(content: Any) -> bool:
    """Whether a file of PyTorch's holds the state of such a network."""
    return isinstance(content, dict) and any(str(name).endswith(f"func.{_FREQUENCIES}") for name in content)


def read_training(path: Path, content: Mapping[str, np.ndarray]) -> Potential:
    """A `Potential` in double precision.

    Args:
        path: of the state; config.yaml lies beside it.
        content: of that file.

    Raises:
        ModelError: no configuration, or with an option that no network here has.
    """
    beside = path.with_name(CONFIG)
    require_file(beside, "the configuration of the training", "the state does not say how it was built", ModelError)
    try:
        if beside.stat().st_size > MOST_TEXT:
            raise ValueError(f"{CONFIG} is longer than any configuration")
        given = counted(yaml.safe_load(beside.read_text(encoding="utf-8")), 100_000)
        state, factor = _network(content)
        _refuse_unknown(given)
        symbols = _symbols(given)
        order = np.argsort([atomic_numbers[symbol] for symbol in symbols])
        numbers = sorted(atomic_numbers[symbol] for symbol in symbols)
        config, hidden = _config(given, state, len(numbers), factor)
        check_config(path, config, numbers)
        parameters = _parameters(config, hidden, state, order, factor)
    except ModelError:
        raise
    except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError, InputError, yaml.YAMLError) as error:
        raise ModelError(
            f"{path}: state and {CONFIG} are not as NequIP 0.5 and 0.6 have them: {why_unread(error)}",
            "its numbers cannot be brought into a network of this package",
            "give best_model.pth in the folder of its training",
        ) from error
    return make_potential(
        "nequip",
        config,
        parameters,
        numbers,
        str(given.get("run_name", path.parent.name or path.stem)),
        Provenance(
            citation="NequIP: Batzner et al., Nat. Commun. 13, 2453 (2022)",
            source=f"{path.name}, sha256 {sha256_of(path)}",
        ),
    )


def _network(content: State) -> tuple[dict[str, np.ndarray], float]:
    """Numbers of the network in double precision, and what its energies are multiplied with."""
    factor, network = 1.0, {}
    for name, value in content.items():
        if inside := name.partition("func.")[2]:
            network[inside] = np.asarray(value, float)
        elif name.endswith("scale_by") and value.size:
            factor *= float(value)
        elif name.endswith("shift_by") and value.size and np.any(value):
            raise _unsupported(f"a shift of all energies ({float(np.ravel(value)[0]):g})", "shifts by element")
    return network, factor


def _refuse_unknown(given: Given) -> None:
    """Refuse what a configuration asks for that no network here has."""
    wanted: dict[str, list[Any]] = {
        "resnet": [False],
        "nonlinearity_type": ["gate"],
        "nonlinearity_scalars": [ACTIVATIONS],
        "nonlinearity_gates": [ACTIVATIONS],
        "edge_sh_normalize": [True],
        "edge_sh_normalization": ["component"],
    }
    for option, known in wanted.items():
        if given.get(option, known[0]) not in known:
            raise _unsupported(f"{option} {given[option]!r}", str(known[0]))
    builders = [str(name).rpartition(".")[2] for name in given.get("model_builders", ["EnergyModel"])]
    known_builders = {"SimpleIrrepsConfig", "EnergyModel", "PerSpeciesRescale", "RescaleEnergyEtc"}
    known_builders |= {"ForceOutput", "StressForceOutput", "PartialForceOutput", "initialize_from_state"}
    if unknown := [name for name in builders if name not in known_builders]:
        what = "Allegro" if any("allegro" in name.lower() for name in unknown) else f"builders {', '.join(unknown)}"
        raise _unsupported(what, ", ".join(sorted(known_builders)))


def _symbols(given: Given) -> list[str]:
    """Chemical symbols by type."""
    if "type_names" in given and all(str(name) in atomic_numbers for name in given["type_names"]):
        return [str(name) for name in given["type_names"]]
    if "chemical_symbols" in given:  # sorted by atomic number into types
        return sorted(map(str, given["chemical_symbols"]), key=lambda symbol: atomic_numbers[symbol])
    types = given["chemical_symbol_to_type"]
    return sorted(map(str, types), key=lambda symbol: types[symbol])


def _irreps(given: Given) -> tuple[int, bool, Irreps]:
    """Highest degree of the harmonics, whether parities count, and what is wanted behind each layer."""
    if "feature_irreps_hidden" in given:
        harmonics = parse_irreps(str(given["irreps_edge_sh"]))
        parity = any(ir.p < 0 for _, ir in harmonics)
        return (
            max(ir.l for _, ir in harmonics),
            parity,
            scalars_first(parse_irreps(str(given["feature_irreps_hidden"]))),
        )
    l_max, parity = count_of(given["l_max"], HIGHEST_DEGREE, "l_max"), bool(given["parity"])
    channels = count_of(given["num_features"], MOST_CHANNELS, "num_features")
    text = " + ".join(f"{channels}x{l}{p}" for p in ("eo" if parity else "e") for l in range(l_max + 1))
    return l_max, parity, scalars_first(parse_irreps(text))


def _config(given: Given, state: State, n_species: int, factor: float) -> tuple[NequIPConfig, Irreps]:
    l_max, parity, hidden = _irreps(given)
    n_layers = sum(name.endswith("_convnet.conv.linear_1.weight") for name in state)
    sizes = {tuple(len(state[name]) for name in _radial(state, index))[1:] for index in range(n_layers)}
    if len(sizes) > 1:
        raise _unsupported("radial networks of several sizes", "one size for all layers")
    neighbours, scales = given.get("avg_num_neighbors"), state.get("per_species_rescale.scales", np.ones(1))
    if isinstance(neighbours, str):
        raise _unsupported(f"avg_num_neighbors {neighbours!r}", "the number that the training found")
    config = NequIPConfig(
        n_species=n_species,
        cutoff=float(given["r_max"]),
        hidden_irreps=" + ".join(f"{mul}x{ir}" for mul, ir in hidden),
        n_layers=n_layers,
        l_max=l_max,
        n_basis=len(state[_FREQUENCIES]),
        radial_sizes=sizes.pop(),
        envelope_p=int(given.get("PolynomialCutoff_p", 6)),
        trained_basis=True,
        embedding=state["chemical_embedding.linear.weight"].size // n_species,
        average_neighbors=float(neighbours) if neighbours else 1.0,
        scale=factor * (float(scales.ravel()[0]) if scales.size == 1 else 1.0),
        scale_elements=scales.size > 1,
        parity=parity,
    )
    return config, hidden


def _radial(state: State, index: int) -> list[str]:
    """Names of the weights of a radial network, in order."""
    names = (f"layer{index}_convnet.conv.fc.layer{k}.weight" for k in count())
    return list(takewhile(state.__contains__, names))


def _parameters(
    config: NequIPConfig, hidden: Irreps, state: State, order: np.ndarray, factor: float
) -> dict[str, dict[str, np.ndarray]]:
    """All parameters, elements in ascending order."""
    one_hot, n = np.eye(config.n_species)[order], config.n_species
    embedding = state["chemical_embedding.linear.weight"].reshape(n, config.embedding) / n**0.5
    shifts = state.get("per_species_rescale.shifts", np.zeros(1)).ravel()
    top = {
        "embedding": embedding[order],
        "atom_energies": factor * np.broadcast_to(shifts, n)[order],
        "frequencies": state[_FREQUENCIES] / config.cutoff,
    }
    if config.scale_elements:
        top["atom_scales"] = state["per_species_rescale.scales"].ravel()[order]
    result = {"~": top}
    for index, (irreps_in, _) in enumerate(layer_irreps(config)):
        leaving = reachable(irreps_in, config.l_max, hidden, config.parity)  # the last keeps all as well
        entering = pre_gate(leaving)
        own = {name.partition("_convnet.conv.")[2]: x for name, x in state.items() if name.startswith(f"layer{index}_")}
        skip = own.get("sc.weight")
        weights = LayerWeights(
            mix=own["linear_1.weight"],
            skip={} if skip is None else product_matrices(skip, irreps_in, one_hot, entering),
            radial=radial_matrices([state[name] for name in _radial(state, index)]),
            collect=own["linear_2.weight"],
            products={ir for _, ir in entering},
            couplings={name.rsplit(".", 1)[1]: x for name, x in own.items() if "._w3j_" in name},
            leaving=leaving,
        )
        result[f"layer_{index}"] = layer_parameters(config, index, weights)
    down, up = (state[f"{name}.linear.weight"] for name in ("conv_to_output_hidden", "output_hidden_to_scalar"))
    top["readout"] = two_maps_readout(down, up, leaving)
    return result
