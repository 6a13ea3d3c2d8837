"""Which molecules the molecular model learns from, and which are kept to test it.

All connected ones of up to five atoms besides hydrogen among C, N, O and F that chemists would put in a bottle, some
of six, common larger ones, and kinds that these lack. Needs `pip install rdkit`.
"""

import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem
from tested import TESTED, TESTED_KINDS

VALENCES = {6: 4, 7: 3, 8: 2, 9: 1}
BONDS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
LARGEST, OF_FIVE, OF_SIX = 6, 300, 1000
HELD_OUT = 0.05  # part of the molecules, besides those named below

LARGER = Path(__file__).with_name("larger.smi")  # common molecules of more atoms, by hand
# By hand, too: nitro groups and other bonds of N and O, peroxides, esters, dienes, isobutene's like, aromatics, rings.
KINDS = Path(__file__).with_name("kinds.smi")
# By hand, too: small ones with soft torsions, amides and ethers first, which few of the others say anything about.
SOFT = Path(__file__).with_name("soft.smi")
# What has no place in a bottle: bonds among O, N and F that break at a look, strained multiple bonds, crowded carbons.
UNWANTED = [
    Chem.MolFromSmarts(pattern)
    for pattern in (
        *("[#8]~[#8]", "[#7,#8]-[#9]", "[#7]~[#7]~[#7]", "[#7]~[#7]~[#8]", "[#7]-[#8]", "*=*=*=*", "[#7]=[#6]=[#7]"),
        *("[r3]=*", "[r3]#*", "[r4]#*", "[r4]=*=*", "[r5]#*", "[r5]=*=[r5]", "[r3][r3;R2]", "[r4;R2]", "[#7;r3]=*"),
        *("[OX2;!r]-[#6]-[OX2;!r]", "[#8]-[#6]=[#6]", "[NX3;H2,H1]-[#6;X3]=[#6]", "[#6;X4]([OH])[#7]"),
        *("[#9]-[#6]([#8])", "[#9]-[#6]([#7])", "[CX3]=[#7;H1]", "[#6](=[#8])-[#6]#*"),
    )
]
RDLogger.DisableLog("rdApp.*")


def molecules(quick: bool = False) -> list[str]:
    """SMILES, each once, in a fixed order.

    Small ones, some of five atoms besides hydrogen, named ones; then for breadth all others of five and some of six in
    random order, so that labelling may stop anywhere among them.
    """
    by_size = _enumerated(3 if quick else LARGEST)
    if quick:
        return [s for size in by_size for s in size][:8]
    *small, five, six = by_size
    chosen = [smiles for size in small for smiles in size]
    chosen += random.Random(0).sample(five, OF_FIVE)
    chosen += [canonical(smiles) for smiles in (*LARGER.read_text().split(), *TESTED.values())]
    breadth = five + random.Random(1).sample(six, OF_SIX)
    random.Random(2).shuffle(breadth)
    return list(dict.fromkeys(["[H][H]", *chosen, *breadth, *kinds(), *soft()]))


def kinds() -> list[str]:
    """Those of `KINDS`, and those tested of them."""
    return [canonical(smiles) for smiles in (*KINDS.read_text().split(), *TESTED_KINDS.values())]


def soft() -> list[str]:
    """Those of `SOFT`."""
    return [canonical(smiles) for smiles in SOFT.read_text().split()]


def split_of(smiles: str) -> str:
    """ "tested", "held out" or "train"."""
    if smiles in {*TESTED.values(), *TESTED_KINDS.values()}:
        return "tested"
    return "held out" if zlib.crc32(smiles.encode()) % 1000 < 1000 * HELD_OUT else "train"


def geometry(smiles: str, seed: int = 0) -> Atoms | None:
    """A first guess by distance geometry and MMFF; None where there is none."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=seed) != 0:
        return None
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        AllChem.MMFFOptimizeMolecule(molecule)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    atoms = Atoms(numbers, positions=molecule.GetConformer().GetPositions())
    atoms.info = {"smiles": smiles, "split": split_of(smiles), "bonds": _bonds(molecule)}
    return atoms


def still_bonded(atoms: Atoms) -> bool:
    """The bonds of the molecule are where they were, and no new ones."""
    from ase.neighborlist import natural_cutoffs, neighbor_list

    i, j = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.2))
    found = {(int(a), int(b)) for a, b in zip(i, j, strict=True) if a < b}
    return found == {tuple(sorted(b)) for b in np.reshape(atoms.info["bonds"], (-1, 2)).tolist()}


def _bonds(molecule: Chem.Mol) -> list[list[int]]:
    return [[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] for bond in molecule.GetBonds()]


def canonical(smiles: str) -> str:
    """The SMILES that stands for all of a molecule."""
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles))


def _enumerated(largest: int) -> list[list[str]]:
    """SMILES by number of atoms besides hydrogen: each molecule grown by one atom, with or without closing a ring."""
    sizes = [{"C", "N", "O", "F"}]
    while len(sizes) < largest:
        sizes.append({smiles for parent in sorted(sizes[-1]) for smiles in _children(parent)})
    return [sorted(size) for size in sizes]


def _children(smiles: str) -> Iterator[str]:
    parent = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(parent, clearAromaticFlags=True)
    bonds = [sum(int(bond.GetBondTypeAsDouble()) for bond in atom.GetBonds()) for atom in parent.GetAtoms()]
    free = [VALENCES[atom.GetAtomicNum()] - n for atom, n in zip(parent.GetAtoms(), bonds, strict=True)]
    for place, room in enumerate(free):
        for number, valence in VALENCES.items():
            for order in range(1, min(room, valence, 3) + 1):
                grown = Chem.RWMol(parent)
                new = grown.AddAtom(Chem.Atom(number))
                grown.AddBond(place, new, BONDS[order])
                yield from _wanted(grown)
                for other, there in enumerate(free):
                    for closing in (1, 2):
                        if other != place and min(there, valence - order) >= closing:
                            ring = Chem.RWMol(grown)
                            ring.AddBond(other, new, BONDS[closing])
                            yield from _wanted(ring)


def _wanted(molecule: Chem.RWMol) -> Iterator[str]:
    found = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
    if found is not None and not any(found.HasSubstructMatch(pattern) for pattern in UNWANTED):
        yield Chem.MolToSmiles(found)
