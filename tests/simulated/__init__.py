"""Simulated boards: the real image on Unicorn, among peripherals written from manuals."""
