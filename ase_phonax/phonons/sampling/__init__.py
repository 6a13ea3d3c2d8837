"""Meshes of wave vectors: densities of states, heat, the lowest frequency."""
