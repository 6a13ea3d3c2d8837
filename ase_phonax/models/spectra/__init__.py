"""Networks that give spectra of a structure directly, without second derivatives."""
