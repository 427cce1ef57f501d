"""What a board's file says of the ways to flash it: the settings of each flasher.

The behaviour is in `exporter/flash`, one file for each `name`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from exporter.board.parts import Address, ChipId, CoreId, Data, UsbId, Word


class NativeSettings(Data):
    """The image is a program of this machine."""

    name: Literal["native"]


class EmulatorSettings(Data):
    """QEMU, as the board's entry `emulator` says."""

    name: Literal["emulator"]


class Rp2040jsSettings(Data):
    """The emulator rp2040js, on Node.js."""

    name: Literal["rp2040js"]


class Stm32RomSettings(Data):
    """The boot loader in ROM of an STM32, or one that speaks its protocol (AN3155), over UART."""

    name: Literal["stm32_rom"]
    family: str = pydantic.Field(description="as stm32loader calls it: F1, F4, G0, L4 ...")
    product_id: Word = pydantic.Field(description="the answer to Get ID: AN2606, table of PIDs")
    parity: Literal["even", "none"] = "even"
    first_page: int = pydantic.Field(
        default=0, ge=0, description="the number that the loader gives the region's first page"
    )
    requires: tuple[ChipId, ...] = pydantic.Field(
        default=(),
        description="words that must read so before anything is erased: options of the chip by "
        "which its pages have the board's sizes",
    )
    entry: str = pydantic.Field(description="what a person does to enter the loader")


class EspRomSettings(Data):
    """The boot loader in ROM of an ESP chip, over its serial port."""

    name: Literal["esp_rom"]
    chip: str = pydantic.Field(description="as esptool calls it: esp32c3 ...")
    image: Literal["bin", "esp"] = pydantic.Field(
        description="bin: raw, from the start of the flash region; esp: made by elf2image"
    )
    offset: int = pydantic.Field(ge=0, description="of the image in the flash")
    least_revision: str = pydantic.Field(
        default="0.0",
        pattern=r"^\d+\.\d+$",
        description="of the chip, as esptool tells it: ROMs before it do not start such an image",
    )


class Uf2Settings(Data):
    """A boot loader that shows a drive and takes UF2 files."""

    name: Literal["uf2"]
    family_id: Word = pydantic.Field(description="microsoft/uf2, utils/uf2families.json")
    board_id: str = pydantic.Field(description="Board-ID in the drive's INFO_UF2.TXT begins so")
    volume: str = pydantic.Field(description="label of the drive")
    entry: str = pydantic.Field(description="what a person does to enter the loader")


class DaplinkSettings(Data):
    """A debug probe that shows a drive and takes HEX files."""

    name: Literal["daplink"]
    volume: str = pydantic.Field(description="label of the drive")
    unique_id_prefixes: tuple[str, ...] = pydantic.Field(
        min_length=1, description="Unique ID in DETAILS.TXT begins with one of the board's numbers"
    )


class GdbRemoteSettings(Data):
    """A server of GDB's remote protocol: OpenOCD, Black Magic Probe, a J-Link server, QEMU."""

    name: Literal["gdb_remote"]
    gdb: str = "gdb-multiarch"
    chip_id: ChipId | CoreId | None = None
    monitor_reset: str = pydantic.Field(
        default="reset",
        description="the command, after `monitor`, of a server that is none of those",
    )


class PyocdSettings(Data):
    """pyOCD, for CMSIS-DAP, ST-LINK and J-Link probes."""

    name: Literal["pyocd"]
    target: str = pydantic.Field(description="as pyocd list --targets has it")
    chip_id: ChipId | None = None


class OpenocdSettings(Data):
    """OpenOCD."""

    name: Literal["openocd"]
    config: tuple[str, ...] = pydantic.Field(min_length=1, description="its scripts, in order")
    chip_id: ChipId | None = None


class NrfDfuSettings(Data):
    """A serial DFU boot loader of the kind of Nordic's SDK 11, as Adafruit's for nRF52."""

    name: Literal["nrf_dfu"]
    application_origin: Address = pydantic.Field(
        description="what the loader starts: 0x1000, behind the MBR, or the end of the SoftDevice"
    )
    device_type: int = pydantic.Field(
        default=0x52, ge=0, lt=2**16, description="the loader refuses a package for another one"
    )
    softdevice_ids: tuple[Annotated[int, pydantic.Field(ge=0, lt=2**16)], ...] = pydantic.Field(
        default=(0xFFFE,), min_length=1, description="one of them must be there; 0xFFFE: any"
    )
    entry: str = pydantic.Field(description="what a person does to enter the loader")


class BossaSettings(Data):
    """Arduino's boot loader of the Nano 33 BLE, which speaks SAM-BA over USB."""

    name: Literal["bossa"]
    offset: int = pydantic.Field(ge=0, description="bossac --offset: from the flash it sees")
    loader_usb: tuple[UsbId, ...] = pydantic.Field(min_length=1, description="in boot loader mode")
    flash_origin: Address = 0
    entry: str = pydantic.Field(description="what a person does to enter the loader")


FlasherSettings = Annotated[
    NativeSettings
    | EmulatorSettings
    | Rp2040jsSettings
    | Stm32RomSettings
    | EspRomSettings
    | Uf2Settings
    | DaplinkSettings
    | GdbRemoteSettings
    | PyocdSettings
    | OpenocdSettings
    | NrfDfuSettings
    | BossaSettings,
    pydantic.Field(discriminator="name"),
]
