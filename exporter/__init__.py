"""nanoexport: trained nano models on microcontrollers, proven bit for bit."""

__version__ = "0.1.0"
