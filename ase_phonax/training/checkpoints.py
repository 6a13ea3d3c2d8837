"""Checkpoints: one HDF5 file with everything a run needs to go on as if nothing had happened."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..base import hdf5
from ..base.errors import InputError, why_unread
from ..base.files import write_whole
from ..base.input_files import parse_json
from ..derivatives.compiled.responses import Tree

FORMAT = "ase-phonax checkpoint"
VERSION = 1
NAME, PREVIOUS = "checkpoint.h5", "checkpoint-previous.h5"


def save_checkpoint(folder: Path, header: dict[str, Any], trees: dict[str, Tree]) -> None:
    """Write a checkpoint; at every moment a whole one, this or the one before, lies in the folder.

    It is written under another name, forced to the disk, and renamed; the one before is kept beside it.

    Args:
        header: built-in types.
        trees: name -> tree of arrays.

    Raises:
        OutputError: it cannot be written (a full disk, say); earlier checkpoints are untouched.
    """
    path = folder / NAME
    # An array: attributes hold 64 kB, which the rows of some hundred epochs fill.
    arrays: dict[str, Any] = {"header": json.dumps({"format": FORMAT, "version": VERSION, **header})}
    counts = {}
    for name, tree in trees.items():
        leaves = jax.tree.leaves(tree)
        counts[f"n_{name}"] = len(leaves)
        arrays |= {f"{name}/{k}": np.asarray(leaf) for k, leaf in enumerate(leaves)}
    content = hdf5.pack(arrays, {"": counts})
    write_whole(
        path,
        content,
        to_disk=True,
        keep=folder / PREVIOUS,
        loss="what was learned since the last one would be lost; earlier checkpoints are untouched",
        remedy="free some space and go on with `resume=True`",
    )


def read_checkpoint(folder: Path, templates: dict[str, Tree]) -> tuple[dict[str, Any], dict[str, Tree]]:
    """Header and trees of the last checkpoint.

    Args:
        templates: name -> tree of the same structure, shapes and precisions.

    Raises:
        InputError: there is none, or it is damaged, or of another network.
    """
    path = folder / NAME
    if not path.is_file():
        raise InputError(f"there is no checkpoint in {folder}", "there is nothing to resume", "start without `resume`")
    try:
        content = hdf5.read(path)
        header = parse_json(content.arrays["header"])
        trees = {name: _tree(content, name, template) for name, template in templates.items()}
    except (OSError, KeyError, ValueError, TypeError) as error:
        before = folder / PREVIOUS
        raise InputError(
            f"the checkpoint {path} is damaged or of another run: {why_unread(error)}",
            "going on from it would train something else",
            f"put the one before in its place: mv {before} {path}" if before.is_file() else "start without `resume`",
        ) from error
    if header.get("format") != FORMAT or header.get("version", 0) > VERSION:
        raise InputError(
            f"{path} says {header.get('format')!r}, version {header.get('version')}",
            "it is not a checkpoint of this version",
            "update ase-phonax, or start without `resume`",
        )
    return header, trees


def _tree(content: hdf5.Content, name: str, template: Tree) -> Tree:
    leaves, structure = jax.tree.flatten(template)
    if (count := content.attributes[""][f"n_{name}"]) != len(leaves):
        raise ValueError(f"{name} has {count} arrays, {len(leaves)} expected")
    arrays = []
    for k, leaf in enumerate(leaves):
        array, wanted = content.arrays[f"{name}/{k}"], np.asarray(leaf)
        if np.shape(array) != wanted.shape or np.asarray(array).dtype != wanted.dtype:
            raise ValueError(f"{name}/{k} is {np.shape(array)}, {wanted.shape} expected")
        arrays.append(array)
    return jax.tree.unflatten(structure, arrays)
