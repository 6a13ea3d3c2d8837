"""Atoms come in: can they be computed, which cell and which symmetry have they, who are their neighbours?

Structure files are read here, and structures relaxed.
"""
