"""Tests of exporter/build."""
