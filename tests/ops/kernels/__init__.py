"""Kernels of one instruction set: packing and drivers on the host, assembly on emulated boards."""
