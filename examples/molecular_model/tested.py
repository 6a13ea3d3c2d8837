"""Molecules that no model is trained on, by canonical SMILES: ten common ones, and ten of kinds that they lack."""

TESTED = {
    "acetaldehyde": "CC=O",
    "acetonitrile": "CC#N",
    "acetone": "CC(C)=O",
    "dimethyl ether": "COC",
    "fluoroethane": "CCF",
    "formamide": "NC=O",
    "furan": "c1ccoc1",
    "methylamine": "CN",
    "propene": "C=CC",
    "vinyl fluoride": "C=CF",
}
TESTED_KINDS = {
    "nitromethane": "C[N+](=O)[O-]",
    "N-methylhydroxylamine": "CNO",
    "isoxazole": "c1cnoc1",
    "dimethyl peroxide": "COOC",
    "gamma-butyrolactone": "O=C1CCCO1",
    "1,3-cyclohexadiene": "C1=CCCC=C1",
    "3-methyl-3-butenenitrile": "C=C(C)CC#N",
    "1,3-difluorobenzene": "Fc1cccc(F)c1",
    "2-aminopyridine": "Nc1ccccn1",
    "3,4-dihydropyran": "C1=COCCC1",
}
