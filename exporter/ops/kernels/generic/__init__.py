"""C99 kernels, for any core."""
