"""The passport of a running unit: who it is, what it carries, and what that was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exporter.build.compile import Firmware
from exporter.build.identity import elf_build_id
from exporter.console import cell
from exporter.errors import BadInput, CheckFailed
from exporter.link.device import Device, differing_fields
from exporter.link.messages import ExpectedIdentity, Identity, MemoryReport

Say = Callable[[str], None]
NO_TEXT = "none"
HASH_DIGITS = 16
"""So many of a hash are shown to people; documents have all of it."""


def expected_of_project(firmware: Firmware, *, chip_id: str | None = None) -> ExpectedIdentity:
    """What a device with the image of a built project says of itself.

    Raises BadInput where its application does not serve the link.
    """
    manifest = firmware.manifest
    if manifest.get("app") != "hil":
        raise BadInput(
            f"the firmware in '{firmware.project}' cannot say what it is",
            value=f"application {manifest.get('app')}, which has no link",
            allowed="application hil",
            next_step="render it anew with --app hil",
        )
    return ExpectedIdentity(
        model_sha256=_stated(firmware, "model_sha256"),
        build_id=_stated(firmware, "build_id"),
        dialect=_stated(firmware, "dialect"),
        board=_stated(firmware, "board"),
        chip_id=chip_id,
        toolchain=_stated(firmware, "compiler"),
        templates_sha256=_stated(firmware, "templates_sha256"),
        elf_build_id=elf_build_id(firmware.elf),
    )


def _stated(firmware: Firmware, key: str) -> str:
    if not isinstance(firmware.manifest.get(key), str):
        raise BadInput(
            f"the manifest of '{firmware.project}' does not state its {key}",
            value=firmware.manifest.get(key),
            next_step="render and build it anew with this nanoexport",
        )
    return str(firmware.manifest[key])


def read_passport(device: Device) -> dict[str, Any]:
    """The passport as a document. A fault that the unit remembers stays with it."""
    return passport(device.identity) | memory_part(device.memory())


def passport(identity: Identity) -> dict[str, Any]:
    """What a unit says when it is asked who it is."""
    return {
        "board": identity.board,
        "chip_id": identity.chip_id or None,
        "model": identity.model_name,
        "model_sha256": identity.model_sha256,
        "build_id": identity.build_id,
        "templates_sha256": identity.templates_sha256,
        "elf_build_id": identity.elf_build_id,
        "toolchain": identity.toolchain,
        "dialect": identity.dialect,
        "protocol": identity.protocol_version,
        "boot_nonce": f"{identity.boot_nonce:08x}",
        "ticks_hz": identity.ticks_hz,
        "max_payload_bytes": identity.max_payload,
        "inputs": identity.input_count,
        "outputs": identity.output_count,
        "steps": identity.step_count,
        "arena_bytes": identity.arena_bytes,
    }


def memory_part(memory: MemoryReport) -> dict[str, Any]:
    """What it measures of itself."""
    return {
        "image_bytes": memory.image_bytes,
        "image_crc32": f"{memory.image_crc32:08x}" if memory.image_crc32 else None,
        "guards_intact": memory.guards_intact,
        "stack_bytes": memory.stack_bytes,
        "bad_frames": memory.bad_frames,
    }


def show_passport(
    say: Say,
    document: Mapping[str, Any],
    expected: ExpectedIdentity | None = None,
    differing: tuple[str, ...] = (),
) -> None:
    """A line for each field; with `expected`, whether it is that one."""
    for key, value in document.items():
        wanted = getattr(expected, key, None)
        verdict = "" if wanted is None else "  as expected"
        if key in differing:
            verdict = f"  DIFFERENT: {wanted} is expected"
        say(f"{key:<18} {NO_TEXT if value is None else cell(value)}{verdict}")


def differences(identity: Identity, expected: ExpectedIdentity) -> tuple[str, ...]:
    """Names of the fields that are not as expected."""
    return tuple(differing_fields(identity, expected))


def check_passport(identity: Identity, expected: ExpectedIdentity) -> None:
    """Raises CheckFailed where the unit is not the expected one, with every field that differs."""
    wrong = differences(identity, expected)
    if wrong:
        raise CheckFailed(
            f"the unit is another one: {', '.join(wrong)} differ"
            if len(wrong) > 1
            else f"the unit is another one: its {wrong[0]} differs",
            value=", ".join(f"{name} {_short(getattr(identity, name))}" for name in wrong),
            allowed=", ".join(f"{name} {_short(getattr(expected, name))}" for name in wrong),
            next_step="flash the firmware anew, or name the right port",
        )


def _short(text: str) -> str:
    """A text as it is, a hash by its beginning."""
    is_hash = len(text) >= 2 * HASH_DIGITS and " " not in text
    return (text[:HASH_DIGITS] if is_hash else text) or NO_TEXT
