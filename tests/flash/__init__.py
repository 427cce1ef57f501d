"""Tests of exporter/flash."""
