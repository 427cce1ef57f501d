"""Host references, one per numeric dialect, each in a process of its own."""

from exporter.oracle.backends import DIALECTS, Backend, find_backend
from exporter.oracle.oracle import Oracle, TensorInfo, check_inputs

__all__ = ["DIALECTS", "Backend", "Oracle", "TensorInfo", "check_inputs", "find_backend"]
