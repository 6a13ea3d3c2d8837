"""Imaginary modes: where they are, which way they lead, and what a crystal falls into."""
