"""What a board's file says of memory, devices, compilers and cables: the parts of a `Board`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import pydantic

Placeable = Literal["arena", "weights"]
Bytes = Annotated[int, pydantic.Field(gt=0)]
Address = Annotated[int, pydantic.Field(ge=0, lt=2**32)]
Word = Annotated[int, pydantic.Field(ge=0, lt=2**32)]
ParameterName = Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Data(pydantic.BaseModel):
    """A frozen record; a name that is not its own is refused."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=False)


class Pages(Data):
    """A run of pages (sectors) of one size: what the flash can erase by itself."""

    count: int = pydantic.Field(gt=0)
    bytes: Bytes


class MemoryRegion(Data):
    """A range of addresses.

    The first region of kind flash has the program and the initial values of data, the first of kind
    ram has stack and data. `exporter.plan.placement` gives arena and weights their regions.
    """

    name: str = pydantic.Field(description="as the datasheet calls it")
    kind: Literal["flash", "ram"] = pydantic.Field(
        description="flash: what a loader writes and a reset keeps, even where the chip is a RAM"
    )
    origin: Address
    bytes: Bytes
    data_origin: Address | None = pydantic.Field(
        default=None,
        description="where loads see the same bytes, where that is not the origin: a chip whose "
        "instruction bus and data bus have addresses of their own for one flash",
    )
    pages: tuple[Pages, ...] = pydantic.Field(
        default=(),
        description="from the origin on: what is erased at once. Needed to flash a real board",
    )
    access_cost: int = pydantic.Field(
        default=0, ge=0, description="orders the regions by time to read a word: 0 is the fastest"
    )
    holds: tuple[Placeable, ...] | None = pydantic.Field(
        default=None,
        description="what may be placed here beside what the first of its kind has; by default "
        "weights in flash, the arena in ram. Weights in ram are copied there at start.",
    )

    def may_hold(self, what: Placeable) -> bool:
        """Whether the board lets `what` be placed here."""
        usual: Placeable = "weights" if self.kind == "flash" else "arena"
        return what in (self.holds if self.holds is not None else (usual,))

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.origin + self.bytes

    def has(self, start: int, size: int) -> bool:
        """Whether these bytes lie in it, at the addresses of instructions or of loads."""
        origins = (self.origin,) if self.data_origin is None else (self.origin, self.data_origin)
        return any(one <= start <= start + size <= one + self.bytes for one in origins)

    @pydantic.model_validator(mode="after")
    def _arena_can_be_written(self) -> Self:
        if self.kind == "flash" and self.may_hold("arena"):
            raise ValueError(
                f"region {self.name} of kind flash holds the arena; allowed: weights; "
                "say kind: ram where it can be written to"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _pages_cover_it(self) -> Self:
        covered = sum(run.count * run.bytes for run in self.pages)
        if self.pages and (self.kind != "flash" or covered != self.bytes):
            raise ValueError(
                f"the pages of region {self.name} have {covered} bytes; allowed: {self.bytes}, "
                "all of a region of kind flash"
            )
        return self


class Device(Data):
    """A peripheral with the file of platform/<family>/drivers that drives it."""

    driver: str = pydantic.Field(description="a file of platform/<family>/drivers")
    parameters: dict[ParameterName, Word] = pydantic.Field(
        default_factory=dict,
        description="what the driver asks for beyond the rest: `pll_n` of the clock is its "
        "BOARD_CLOCK_PLL_N",
    )


class Boot(Device):
    """What the chip's boot ROM asks for before it starts an image: a stage of its own, or a block
    that describes the image. Absent where a vector table is enough.
    """


class Clock(Device):
    """What sets the clocks up; absent where they are right after reset."""

    core_hz: int = pydantic.Field(gt=0, description="once set up")
    reset_hz: int = pydantic.Field(
        gt=0, description="after reset, and where an oscillator or PLL does not start in time"
    )


class InterruptController(Device):
    """What brings the interrupts of devices to a core that has no controller of its own."""

    base_address: Address


class Uart(Device):
    """The serial port of the link."""

    base_address: Address
    irqs: tuple[int, ...] = pydantic.Field(min_length=1, max_length=2)
    clock_hz: int = pydantic.Field(gt=0, description="once the clocks are set up")
    baud: int = pydantic.Field(gt=0)
    receive_ring_bytes: Bytes

    @pydantic.field_validator("receive_ring_bytes")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("the receive ring's indices wrap: its size is a power of two")
        return value


class Timer(Device):
    """A timer whose interrupt stands for the other work of a product: docs/budgets.md."""

    base_address: Address
    irq: int | None = pydantic.Field(
        default=None, ge=0, description="absent where the core has an interrupt for it alone"
    )
    clock_hz: int = pydantic.Field(gt=0)


class Ticks(Data):
    """What `platform_ticks` counts."""

    source: str = pydantic.Field(description="a file of platform/<family>/drivers")
    hz: int = pydantic.Field(gt=0, description="once the clocks are set up")
    base_address: Address | None = pydantic.Field(
        default=None, description="absent where the core itself counts"
    )
    irq: int | None = pydantic.Field(default=None, ge=0)
    parameters: dict[ParameterName, Word] = pydantic.Field(default_factory=dict)


class Watchdog(Device):
    """What ends a run that hangs, with a report of where it hung."""

    base_address: Address | None = None
    irq: int | None = pydantic.Field(
        default=None, ge=0, description="absent where its end is a non-maskable interrupt or trap"
    )
    clock_hz: int = pydantic.Field(ge=1000)


class Chip(Device):
    """What only this chip has: its unique id, and the way into its boot loader."""


class BootLoader(Data):
    """Our own serial boot loader: docs/boot_loader.md. Its drivers serve it alone."""

    flash_driver: str = pydantic.Field(description="a file of boot_loader/drivers")
    uart_driver: str = pydantic.Field(description="a file of boot_loader/drivers")
    timer_driver: str = pydantic.Field(description="a file of boot_loader/drivers")
    product_id: int = pydantic.Field(
        ge=0x1000, lt=2**16, description="its answer to Get ID; those of ST's chips have 12 bits"
    )
    window_ms: int = pydantic.Field(
        default=800,
        ge=100,
        le=5000,
        description="how long it listens at each reset before it starts the application; "
        "stm32loader calls 500 ms after it lets go of the reset line",
    )
    parameters: dict[ParameterName, Word] = pydantic.Field(
        default_factory=dict, description="what the drivers ask for: `gpio` is LOADER_GPIO"
    )


class ChipId(Data):
    """A register that says what chip it is: read over a debug probe before anything is written."""

    address: Address
    mask: Word = 0xFFFFFFFF
    value: Word

    @property
    def place(self) -> str:
        """For people: where it is read."""
        return f"its register 0x{self.address:08X}"


class CoreId(Data):
    """A register of the core that tells it from others, where the chip has no `ChipId`."""

    register_name: str = pydantic.Field(pattern=r"^[a-z][a-z0-9]*$", description="as GDB has it")
    mask: Word = 0xFFFFFFFF
    value: Word

    @property
    def place(self) -> str:
        """For people: where it is read."""
        return f"its register {self.register_name}"


class Compiler(Data):
    """How one toolchain compiles for this board."""

    program: str
    flags: tuple[str, ...] = ()


class Emulator(Data):
    """The program that runs the image where there is no hardware."""

    program: str
    machine: str
    arguments: tuple[str, ...] = ()


class UsbId(Data):
    """How a board, its debug probe or its boot loader shows on USB."""

    vid: int = pydantic.Field(ge=0, lt=2**16)
    pid: int = pydantic.Field(ge=0, lt=2**16)
    product: str | None = pydantic.Field(
        default=None, description="part of the product string, where others share vid and pid"
    )
    shared: bool = pydantic.Field(
        default=False,
        description="a bridge that other devices have, too: asked only where its port is named",
    )


class Link(Data):
    """Which cable carries the link of a real board."""

    kind: Literal["vcp", "usb_cdc", "uart_pins"] = pydantic.Field(
        description="vcp: the board's own USB-to-UART; usb_cdc: the chip's USB; uart_pins: an "
        "adapter of yours on two pins"
    )
    tx: str | None = pydantic.Field(default=None, description="the board's pin that sends")
    rx: str | None = pydantic.Field(default=None, description="the board's pin that receives")
    usb: tuple[UsbId, ...] = pydantic.Field(
        default=(), description="ids of the port; only such ports are ever asked who they are"
    )

    @pydantic.model_validator(mode="after")
    def _pins_named(self) -> Self:
        if self.kind == "uart_pins" and not (self.tx and self.rx):
            raise ValueError("a link over uart_pins names tx and rx")
        if self.kind != "uart_pins" and not self.usb:
            raise ValueError(f"a link over {self.kind} names the usb ids of its port")
        return self
