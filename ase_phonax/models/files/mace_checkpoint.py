"""Reader of PyTorch MACE models (.model), which are pickles.

Opening a pickle runs whatever code its writer put into it. So nothing here is called by `load_model`; whoever
converts a model says that they trust its source, and what is converted is a file of plain numbers. Before it is opened,
the names of what a pickle would import are read, without importing anything: what is no MACE model is refused unopened.
torch, e3nn and mace-torch are imported here and nowhere else.
"""

import io
import os
import re
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...base.errors import InputError, ModelError, why_unread
from ..architectures import make_potential
from ..downloads import sha256_of
from ..potential import Potential, Provenance
from .checks import check_arrays
from .mace_pickles import MODELS, check_unopened, foreign
from .mace_translation import KINDS, array, config_of, named, parameters_of, unsupported

INSTALL = 'pip install ".[mace]" in the checkout of ase-phonax'

# Modules of which every number is translated, or known to follow from the rest.
_MODULES = {
    "model": {
        *("node_embedding", "radial_embedding", "pair_repulsion_fn", "spherical_harmonics", "atomic_energies_fn"),
        *("interactions", "products", "readouts", "scale_shift"),
    },
    "radial_embedding": {"bessel_fn", "distance_transform", "cutoff_fn"},
    "interactions": {"linear_up", "conv_tp", "conv_tp_weights", "linear", "skip_tp", "density_fn", "reshape"},
    "products": {"symmetric_contractions", "linear"},
    "readouts": {"linear", "linear_1", "linear_2", "non_linearity"},
}
# Plain attributes of the model that are translated, or do not change its energies.
_ATTRIBUTES = {
    *("heads", "lammps_mliap", "apply_cutoff", "edge_irreps", "use_reduced_cg", "use_agnostic_product", "use_so3"),
    *("use_last_readout_only", "use_edge_irreps_first", "pair_repulsion", "training", "embedding_specs"),
}
_BUFFERS = {"atomic_numbers", "r_max", "num_interactions"}  # plain attributes in some files of 2022


def read_mace(path: str | os.PathLike, *, trust: bool = False, head: str | None = None) -> Potential:
    """A `Potential` from a PyTorch MACE model, in double precision.

    Args:
        path: usually ends in .model.
        trust: whether the file may run code when it is opened. Only for files from a source you trust.
        head: which one of several.

    Raises:
        ModelError: not trusted, no MACE model, an option or field that is not known here, no such head; or torch
            and mace-torch are not installed.
    """
    path = Path(path)
    check_unopened(path)
    if not trust:
        raise ModelError(
            f"{path} is a pickle",
            "opening it runs whatever code its writer put into it, with your rights",
            "if you trust where it comes from, say so: --trust, in Python trust=True",
        )
    model, wigner_3j = _open(path)
    number, heads = head_number(model, head, path), heads_of(model)
    try:
        check_fields(model)
        config = config_of(model, number)
        parameters = parameters_of(model, config, number, wigner_3j)
    except ModelError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, InputError) as error:
        raise foreign(path, f"its modules are not as MACE's own are: {why_unread(error)}") from error
    potential = make_potential(
        "mace",
        config,
        parameters,
        sorted(int(z) for z in model.atomic_numbers),
        path.stem if len(heads) == 1 else f"{path.stem}, {heads[number]}",
        Provenance(citation="MACE: Batatia et al., arXiv:2206.07697", source=f"{path.name}, sha256 {sha256_of(path)}"),
    )
    check_arrays(potential, path)
    return potential


def _open(path: Path) -> tuple[Any, Any]:
    """The model, and e3nn's couplings."""
    before = os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    try:
        # What packages say that are none of ours.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            import mace  # first: e3nn's constants can be read only after it
            import torch
            from e3nn import o3

            assert mace
            model = torch.load(path, map_location="cpu", weights_only=False)
    except ImportError as error:
        raise ModelError(
            f"{path} cannot be opened: {error}",
            "PyTorch models are opened by the package that wrote them; the converted file needs none of it",
            f"install it beside ase-phonax: {INSTALL}",
        ) from error
    except Exception as error:  # unpickling raises whatever it ran into
        raise ModelError(
            f"{path} cannot be opened: {why_unread(error)}",
            "it is damaged, or was written with a version of mace-torch whose classes are no longer there",
            "open it with the mace-torch that wrote it, and save it again with the installed one",
        ) from error
    finally:
        # mace-torch lets every later torch.load of this process run code: not beyond this one.
        if before is None:
            os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    if isinstance(model, (list, tuple)):
        raise foreign(path, f"it holds {len(model)} objects at once; save and convert models one at a time")
    if type(model).__name__ not in MODELS:
        raise foreign(path, f"it holds the type {type(model).__name__}, and not {' or '.join(MODELS)}")
    return model, partial(o3.wigner_3j, dtype=torch.float64)


def heads_of(model: Any) -> list[str]:
    """Names of the heads."""
    return list(getattr(model, "heads", None) or ["Default"])


def head_number(model: Any, head: str | None, path: Path) -> int:
    """The number of the head that is meant.

    Raises:
        ModelError: none was named and there are several, or there is none of that name.
    """
    heads = heads_of(model)
    if head is None and len(heads) == 1:
        return 0
    if head not in heads:
        heads_there = "several heads" if head is None else f"no head {head!r}"
        raise ModelError(
            f"{path} has {heads_there}: there are {', '.join(heads)}",
            "each imitates another level of theory",
            f"name one: --head {heads[0]}",
        )
    return heads.index(head)


def check_fields(model: Any) -> None:
    """Refuse whatever a model has that is not translated.

    Raises:
        ModelError: with the name.
    """
    for block in model.interactions:
        named(KINDS, block, "the interaction block")
    if getattr(model, "embedding_specs", None):
        raise unsupported(f"inputs besides the atoms: {', '.join(model.embedding_specs)}", "elements and positions")
    unknown = set(model._modules) - _MODULES["model"] | set(model._parameters)
    unknown |= set(model._buffers) - _BUFFERS
    public = {name for name in vars(model) if not name.startswith("_")}
    unknown |= public - _ATTRIBUTES - _BUFFERS
    for part in ("interactions", "products", "readouts"):
        for index, module in enumerate(getattr(model, part)):
            unknown |= {f"{part}[{index}].{name}" for name in set(module._modules) - _MODULES[part]}
            unknown |= {f"{part}[{index}].{name}" for name in module._parameters}
    unknown |= {
        f"radial_embedding.{name}" for name in set(model.radial_embedding._modules) - _MODULES["radial_embedding"]
    }
    if unknown:
        raise unsupported(
            f"fields that are not known here: {', '.join(sorted(unknown))}",
            "the options of MACE listed in docs/mace.md; a newer mace-torch may have written others",
        )
    if getattr(model, "use_so3", False):
        raise unsupported("use_so3", "parities as O(3) has them")
    for index, module in enumerate(model.modules()):
        config = getattr(module, "cueq_config", None)
        if config is not None and getattr(config, "enabled", False):
            raise unsupported(
                f"the layout of cuEquivariance (module {index})", "e3nn's; mace_cueq_to_e3nn converts a model"
            )
    _check_constants(model)


def _check_constants(model: Any) -> None:
    """Bessel's frequencies, Gaussian centres and other constants follow from the cutoff: trained ones are refused."""
    import torch

    basis, cutoff = model.radial_embedding.bessel_fn, float(model.r_max)
    tolerance = max(1e-5, 2 * max(torch.finfo(p.dtype).eps for p in model.parameters()))
    n_basis = int(model.radial_embedding.out_dim)
    constants = {
        "a cutoff of its own in the envelope": (getattr(model.radial_embedding.cutoff_fn, "r_max", cutoff), cutoff),
        "a prefactor of the Bessel basis": (getattr(basis, "prefactor", (2 / cutoff) ** 0.5), (2 / cutoff) ** 0.5),
    }
    if hasattr(basis, "coeff"):
        constants["a width of the Gaussian basis"] = basis.coeff, -0.5 * ((n_basis - 1) / cutoff) ** 2
    for what, (value, expected) in constants.items():
        if abs(float(value) - expected) > tolerance * abs(expected):
            raise unsupported(f"{what} ({float(value):g})", f"that of the cutoff ({expected:g})")
    tables: list[Any] = [m.covalent_radii for m in model.modules() if hasattr(m, "covalent_radii")]
    if any((table != tables[0]).any() for table in tables):
        raise unsupported("several tables of covalent radii", "one for distances and repulsion")
    for index, (block, product) in enumerate(zip(model.interactions, model.products, strict=True)):
        if "residual" in KINDS[type(block).__name__] and not product.use_sc:
            raise unsupported(
                f"a residual interaction whose connection layer {index + 1} drops", "residuals that are added"
            )
    for name, first in (("bessel_weights", np.pi / cutoff), ("gaussian_weights", 0.0)):
        weights = getattr(basis, name, None)
        if weights is None:
            continue
        stored = array(weights).ravel()
        expected = first * np.arange(1, len(stored) + 1) if first else np.linspace(0, cutoff, len(stored))
        if np.abs(stored - expected).max() > tolerance * np.abs(expected).max():
            raise unsupported(f"trained {re.sub('_', ' ', name)}", "those that follow from the cutoff")
