"""Other projects' converters, each in a process of its own, and the door to them.

A worker here turns a model into a float flatbuffer and imports of this package no more than
`exporter.worker` and what that needs (numpy): PyTorch's may run in an environment of its own, which
has neither TensorFlow nor our other dependencies.
"""

from exporter.foreign.client import foreign

__all__ = ["foreign"]
