"""A structure and a model give energies, forces, Hessians and D(q), by arrays or compiled."""
