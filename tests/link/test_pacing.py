"""Time-outs that follow the round trips, and portions that follow the losses."""

from __future__ import annotations

import random

import pytest

from exporter.link.messages import Command
from exporter.link.pacing import LEAST_PORTION_BYTES, PortionSize, RoundTrip, Timing
from exporter.link.session import Session
from tests.link.devices import SilentTransport


def test_the_first_round_trip_counts_half_as_its_deviation() -> None:
    trip = RoundTrip()
    assert trip.pause() is None
    trip.add(0.4)
    assert trip.pause() == pytest.approx(0.4 + 4 * 0.2)


def test_steady_round_trips_leave_twice_their_mean() -> None:
    trip = RoundTrip()
    for _ in range(100):
        trip.add(3.0)
    assert trip.pause() == pytest.approx(6.0)


def test_a_slow_reply_makes_the_next_wait_longer() -> None:
    trip = RoundTrip()
    for _ in range(100):
        trip.add(1.0)
    before = trip.pause()
    trip.add(5.0)
    assert before is not None and trip.pause() == pytest.approx(1.5 + 4 * 1.0)


@pytest.mark.parametrize(
    ("measured", "pause"), [([], 2.5), ([0.001] * 9, 1.0), ([4.0] * 90, 8.0), ([60.0], 16.0)]
)
def test_pauses_have_bounds(measured: list[float], pause: float) -> None:
    session = Session(SilentTransport(), Timing())
    for seconds in measured:
        session._round_trips[Command.INVOKE].add(seconds)
    assert session.pause(Command.INVOKE, 500) == pytest.approx(pause)
    assert session.pause(Command.READ, 500) == 2.5  # each command has its own


def test_portions_shrink_with_losses_and_grow_again() -> None:
    portion = PortionSize(1024)
    portion.lost(1024)
    portion.lost(490)
    assert portion.bytes == 245
    portion.lost(12)  # so small a frame says nothing of larger ones
    assert portion.bytes == 245
    portion.arrived(12)
    assert portion.bytes == 245
    for _ in range(20):
        portion.arrived(portion.bytes)
    assert portion.bytes == 1024
    for _ in range(20):
        portion.lost(portion.bytes)
    assert portion.bytes == LEAST_PORTION_BYTES


@pytest.mark.parametrize(("rate", "least", "most"), [(1e-4, 300, 1024), (1e-3, 64, 400)])
def test_portions_settle_where_frames_arrive(rate: float, least: int, most: int) -> None:
    rng = random.Random(4)
    portion, sizes = PortionSize(1024), []
    for _ in range(4000):
        arrives = rng.random() < (1 - rate) ** (portion.bytes + 40)
        (portion.arrived if arrives else portion.lost)(portion.bytes)
        sizes.append(portion.bytes)
    assert least < sum(sizes) / len(sizes) < most
