"""Checkpoints: one HDF5 file with everything a run needs to go on as if nothing had happened."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from ..data.seals import BLOCK, check_seal, seal
from ..errors import InputError, OutputError

FORMAT = "ase-phonax checkpoint"
VERSION = 1
NAME, PREVIOUS = "checkpoint.h5", "checkpoint-previous.h5"


def save_checkpoint(folder: Path, header: dict[str, Any], trees: dict[str, Any]) -> None:
    """Write a checkpoint; at every moment a whole one, this or the one before, lies in the folder.

    It is written under another name, forced to the disk, and renamed; the one before is kept beside it.

    Args:
        header: built-in types.
        trees: name -> tree of arrays.

    Raises:
        OutputError: it cannot be written (a full disk, say); earlier checkpoints are untouched.
    """
    path, part = folder / NAME, folder / (NAME + ".part")
    try:
        with h5py.File(part, "w", userblock_size=BLOCK) as file:
            # A data set: attributes hold 64 kB, which the rows of some hundred epochs fill.
            file["header"] = json.dumps({"format": FORMAT, "version": VERSION, **header})
            for name, tree in trees.items():
                leaves = jax.tree.leaves(tree)
                file.attrs[f"n_{name}"] = len(leaves)
                for k, leaf in enumerate(leaves):
                    file.create_dataset(f"{name}/{k}", data=np.asarray(leaf))
        seal(part)
        if path.exists():
            previous = folder / (PREVIOUS + ".part")
            previous.unlink(missing_ok=True)
            os.link(path, previous)
            os.replace(previous, folder / PREVIOUS)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"the checkpoint {path} cannot be written: {getattr(error, 'strerror', None) or error}",
            "what was learned since the last one would be lost; earlier checkpoints are untouched",
            "free some space and go on with --resume",
        ) from error


def read_checkpoint(folder: Path, templates: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and trees of the last checkpoint.

    Args:
        templates: name -> tree of the same structure, shapes and precisions.

    Raises:
        InputError: there is none, or it is damaged, or of another network.
    """
    path = folder / NAME
    if not path.is_file():
        raise InputError(f"there is no checkpoint in {folder}", "there is nothing to resume", "start without --resume")
    try:
        check_seal(path)
        with h5py.File(path, "r") as file:
            header = json.loads(file["header"].asstr()[()])
            trees = {name: _tree(file, name, template) for name, template in templates.items()}
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        before = folder / PREVIOUS
        raise InputError(
            f"the checkpoint {path} is damaged or of another run ({error})",
            "going on from it would train something else",
            f"put the one before in its place: mv {before} {path}" if before.is_file() else "start without --resume",
        ) from error
    if header.get("format") != FORMAT or header.get("version", 0) > VERSION:
        raise InputError(
            f"{path} says {header.get('format')!r}, version {header.get('version')}",
            "it is not a checkpoint of this version",
            "update ase-phonax, or start without --resume",
        )
    return header, trees


def _tree(file: h5py.File, name: str, template: Any) -> Any:
    leaves, structure = jax.tree.flatten(template)
    if file.attrs[f"n_{name}"] != len(leaves):
        raise ValueError(f"{name} has {file.attrs[f'n_{name}']} arrays, {len(leaves)} expected")
    found = []
    for k, leaf in enumerate(leaves):
        array = file[f"{name}/{k}"][()]
        wanted = np.asarray(leaf)
        if np.shape(array) != wanted.shape or np.asarray(array).dtype != wanted.dtype:
            raise ValueError(f"{name}/{k} is {np.shape(array)}, {wanted.shape} expected")
        found.append(array)
    return jax.tree.unflatten(structure, found)
