"""The inferences of a failed test, run again and compared with what was recorded and is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exporter.errors import CheckFailed
from exporter.hil.bundle import Bundle
from exporter.hil.recording import Array, Inference
from exporter.hil.session import conduct, open_image
from exporter.hil.verify import SHORTEST_DEADLINE_SECONDS
from exporter.link.device import Device, require_identity
from exporter.oracle.oracle import Oracle

Progress = Callable[[int, int], None]
DEADLINE_SECONDS = 10 * SHORTEST_DEADLINE_SECONDS


@dataclass(frozen=True)
class Replayed:
    """One inference. None where there is nothing to compare with: outputs that the test did not
    read, or inputs that it did not write.
    """

    number: int
    as_recorded: bool | None
    as_reference: bool | None
    differences: tuple[str, ...]


def replay(
    bundle: Bundle, *, port: str | None = None, progress: Progress | None = None
) -> list[Replayed]:
    """Run the recorded inferences on the board, in order.

    Raises:
        LinkFailed, MissingTool: the board. BadInput, CheckFailed: the model's host reference.
    """
    with (
        Oracle(bundle.model, bundle.dialect, name="model.tflite") as oracle,
        open_image(bundle.board, bundle.elf, port) as line,
        Device(
            line.transport,
            reopen=line.reopen,
            **conduct(bundle.board, bundle.elf, port),
        ) as device,
    ):
        require_identity(device.identity, bundle.expected)
        replayed = []
        for done, inference in enumerate(bundle.inferences, 1):
            replayed.append(_again(device, oracle, inference))
            if progress is not None:
                progress(done, len(bundle.inferences))
        return replayed


def check_replayed(replayed: list[Replayed]) -> None:
    """Raises CheckFailed where the board differs from the host reference, or nothing says so."""
    if all(one.as_reference is None for one in replayed):
        raise CheckFailed(
            "no inference could be compared with the host reference",
            value=f"{len(replayed)} inferences, none with all inputs written by the test",
            allowed="one inference of which the bundle has all inputs",
            next_step="failure.txt in the bundle says how the test failed; run the test again",
        )
    wrong = [one for one in replayed if one.as_reference is False]
    if wrong:
        raise CheckFailed(
            f"{len(wrong)} of {len(replayed)} inferences differ from the host reference",
            value="; ".join(difference for one in wrong for difference in one.differences[:3]),
            allowed="equal outputs",
            next_step="the same again on another board, and with --board host in verify, tells "
            "the board from the firmware",
        )


def _again(device: Device, oracle: Oracle, inference: Inference) -> Replayed:
    if inference.poison is not None:
        device.poison(inference.poison)
    for index, values in sorted(inference.inputs.items()):
        device.write_input(index, values)
    if inference.kind == "profile":
        device.profile(DEADLINE_SECONDS)
    else:
        device.invoke(DEADLINE_SECONDS)
    found = [device.read_output(index) for index in range(len(device.outputs))]
    return _compared(device, oracle, inference, found)


def _compared(device: Device, oracle: Oracle, inference: Inference, found: list[Array]) -> Replayed:
    as_recorded = as_reference = None
    differences: list[str] = []
    if inference.outputs:
        as_recorded = all(np.array_equal(found[i], v) for i, v in inference.outputs.items())
    if len(inference.inputs) == len(oracle.inputs):
        right = oracle.run([values for _, values in sorted(inference.inputs.items())])
        for tensor, e, f in zip(device.outputs, right, found, strict=True):
            if not np.array_equal(e, f):
                differences.append(
                    f"inference {inference.number}: {_difference(tensor.name, e, f)}"
                )
        as_reference = not differences
    return Replayed(inference.number, as_recorded, as_reference, tuple(differences))


def _difference(name: str, expected: Array, found: Array) -> str:
    position = tuple(int(i) for i in np.argwhere(expected != found)[0])
    return (
        f"output '{name}' {list(position)} is {found[position]}, expected {expected[position]}; "
        f"{int((expected != found).sum())} elements differ"
    )
