"""The platforms, on the boards that run here."""
