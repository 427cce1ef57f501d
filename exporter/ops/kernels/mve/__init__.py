"""Kernels for Helium, the M-profile vector extension."""
