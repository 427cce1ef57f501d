"""The serial link to a board: frames, messages, transports, and a typed device. See PROTOCOL.md."""

from exporter.link.device import Device, require_identity
from exporter.link.history import LinkCounts
from exporter.link.messages import (
    ExpectedIdentity,
    Identity,
    InvokeResult,
    LogLine,
    MemoryReport,
    ProfileResult,
    StepDescription,
    TensorDescription,
)
from exporter.link.pacing import Timing
from exporter.link.session import DeviceRestarted
from exporter.link.transport import SerialTransport, SocketTransport, Transport, open_port

__all__ = [
    "Device",
    "DeviceRestarted",
    "ExpectedIdentity",
    "Identity",
    "InvokeResult",
    "LinkCounts",
    "LogLine",
    "MemoryReport",
    "ProfileResult",
    "SerialTransport",
    "SocketTransport",
    "StepDescription",
    "TensorDescription",
    "Timing",
    "Transport",
    "open_port",
    "require_identity",
]
