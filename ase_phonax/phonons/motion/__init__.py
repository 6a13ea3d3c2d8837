"""How atoms move: in a mode, and at a temperature."""
