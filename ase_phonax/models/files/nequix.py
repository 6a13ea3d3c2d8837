"""Reader of Nequix checkpoints (.nqx) with NumPy alone.

A checkpoint is one line of JSON, then the leaves of the model as plain `.npy` blocks one after another,
in tree order: isolated-atom energies, per layer the radial network, linear_1, linear_2, skip and norm
weights, then the readout. Nothing in it can run code, and no pickled array is accepted.
Architecture and weights: Koker, Kotak, Smidt, arXiv:2508.16067 (MIT licence).
"""

from pathlib import Path

import numpy as np

from ...base.errors import ModelError, why_unread
from ...base.input_files import parse_json
from ..architectures import make_potential
from ..nequip.config import NequIPConfig
from ..o3.irreps import parse_irreps
from ..o3.paths import plan_convolution
from ..potential import Potential, Provenance
from .checks import check_config

SUFFIX = ".nqx"


def read_nequix(path: Path) -> Potential:
    """A `Potential` in the checkpoint's own precision (float32).

    Raises:
        ModelError: not such a checkpoint, truncated, or of a variant this reader does not know.
    """
    try:
        with open(path, "rb") as file:
            header = _header(path, file.readline(1 << 22))
            leaves = _leaves(path, file)
    except OSError as error:
        raise _foreign(path, f"it cannot be read ({error.strerror})") from error
    config = _config(path, header)
    check_config(path, config, header["atomic_numbers"])
    return make_potential(
        "nequip",
        config,
        _parameters(path, config, leaves),
        header["atomic_numbers"],
        name=path.stem,
        provenance=Provenance(
            level_of_theory="PBE / PBE+U (Materials Project settings)"
            if "-mp-" in path.stem
            else "see the Nequix documentation",
            training_set="see the Nequix documentation",
            licence="MIT",
            citation="Koker, Kotak, Smidt, arXiv:2508.16067",
            source=path.name,
        ),
    )


def _foreign(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        "it is not a complete Nequix checkpoint, so its numbers cannot be trusted",
        "download it again and compare its sha256, or convert it with the package that wrote it",
    )


def _header(path: Path, line: bytes) -> dict:
    try:
        header = parse_json(line)
    except ValueError as error:
        raise _foreign(path, f"its first line is not JSON: {why_unread(error)}") from error
    missing = {"atomic_numbers", "hidden_irreps", "lmax", "cutoff", "n_layers", "scale", "shift"} - set(
        header if isinstance(header, dict) else ()
    )
    if missing:
        raise _foreign(path, f"its header lacks {', '.join(sorted(missing))}")
    return header


def _leaves(path: Path, file) -> list[np.ndarray]:
    leaves = []
    # Some published files end in a line feed after the last block.
    while file.peek(2)[:2] not in (b"", b"\n"):
        try:
            leaves.append(np.lib.format.read_array(file, allow_pickle=False))
        except Exception as error:  # NumPy answers a damaged header by whatever it ran into
            raise _foreign(path, f"block {len(leaves)} is damaged or cut off: {why_unread(error)}") from error
    return leaves


def _config(path: Path, header: dict) -> NequIPConfig:
    try:
        return NequIPConfig(
            n_species=len(header["atomic_numbers"]),
            cutoff=float(header["cutoff"]),
            hidden_irreps=header["hidden_irreps"],
            n_layers=int(header["n_layers"]),
            l_max=int(header["lmax"]),
            n_basis=int(header["radial_basis_size"]),
            radial_sizes=(int(header["radial_mlp_size"]),) * int(header["radial_mlp_layers"]),
            envelope_p=int(header["radial_polynomial_p"]),
            embedding=0,
            self_connection="species" if header["index_weights"] else "shared",
            layer_norm=bool(header["layer_norm"]),
            average_neighbors=float(header["avg_n_neighbors"]),
            scale=float(header["scale"]),
            shift=float(header["shift"]),
            radial_init=float(header["mlp_init_scale"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
        raise _foreign(path, f"its header does not describe a network ({error!r})") from error


def _parameters(path: Path, config: NequIPConfig, leaves: list[np.ndarray]) -> dict:
    """Name the leaves in tree order; every shape is checked against the configuration."""
    rest = iter(leaves)
    count = 0

    def take(shape: tuple[int, ...]) -> np.ndarray:
        nonlocal count
        leaf = next(rest, None)
        if leaf is None or leaf.shape != shape:
            raise _foreign(path, f"block {count} is {'missing' if leaf is None else leaf.shape}, expected {shape}")
        count += 1
        return leaf

    parameters: dict = {"~": {"atom_energies": take((config.n_species,))}}
    hidden = parse_irreps(config.hidden_irreps)
    scalars = tuple(b for b in hidden if str(b[1]) == "0e")
    irreps_in = parse_irreps(f"{config.n_species}x0e")
    for i in range(config.n_layers):
        irreps_out = hidden if i < config.n_layers - 1 else scalars
        plan = plan_convolution(irreps_in, config.l_max, tuple(ir for _, ir in irreps_out))
        n_gates = sum(mul for mul, ir in irreps_out if ir.l > 0)
        pre = [(mul + n_gates if str(ir) == "0e" else mul, ir) for mul, ir in irreps_out]
        layer = {}
        sizes = (config.n_basis, *config.radial_sizes, plan.n_weights)
        for k in range(len(sizes) - 1):
            layer[f"radial_{k}"] = take(sizes[k : k + 2])
        for mul, ir in irreps_in:
            layer[f"mix_{ir}"] = take((mul, mul))
        width_in = {ir: mul for mul, ir in plan.irreps_out}
        for mul, ir in pre:
            layer[f"collect_{ir}"] = take((width_in[ir], mul))
        skip_in = {ir: mul for mul, ir in irreps_in}
        for mul, ir in pre:
            if ir in skip_in:
                shape = (skip_in[ir], mul)
                layer[f"skip_{ir}"] = take((config.n_species, *shape) if config.self_connection == "species" else shape)
        if config.layer_norm:
            for mul, ir in pre:
                layer[f"norm_{ir}"] = take((mul,))
        parameters[f"layer_{i}"] = layer
        irreps_in = irreps_out
    parameters["~"]["readout"] = take((sum(mul for mul, _ in scalars), 1))[:, 0]
    if next(rest, None) is not None:
        raise _foreign(path, f"it holds {len(leaves)} blocks, {count} expected")
    return parameters
