"""Chips: their memory, their peripherals, and where the manuals say what."""
