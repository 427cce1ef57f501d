"""What STM32 families share: clock gates, GPIO, system memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from unicorn import UC_HOOK_CODE

from exporter.board import Board
from tests.simulated.cortex_m import CortexM
from tests.simulated.machine import Memory
from tests.simulated.peripheral import Peripheral, Register, Table, field
from tests.simulated.serial_line import SerialLine

LOADER_ENTRY = 0x101
UNIQUE_ID = bytes(range(0x30, 0x3C))


class Gate(NamedTuple):
    """The bit of the RCC that gives a peripheral its clock."""

    register: str
    bit: int


class PortReset(NamedTuple):
    """What a port's registers are after reset, where that is not 0."""

    moder: int
    ospeedr: int = 0
    pupdr: int = 0


class Pin(NamedTuple):
    """A pin with the alternate function that connects it to something, of the part's datasheet."""

    port: str
    number: int
    function: int


Pins = Mapping[str, tuple[Pin, ...]]


class Stm32(CortexM):
    """A part: `clock_of` says what runs at which rate, `gate_of` what the RCC lets through."""

    def __init__(self, board: Board, line: SerialLine, irq_count: int) -> None:
        super().__init__(board.core, line, board.region("flash").origin, irq_count)
        self.gpio: dict[str, Gpio] = {}
        self.rcc: Rcc
        self.map_memory(*(Memory(r.origin, r.bytes, r.kind) for r in board.memory))
        self.map_bus(0x40000000, 0x20000000)

    def core_hz(self) -> float:
        return self.rcc.clock("core")

    def add_ports(
        self,
        first: int,
        names: str,
        resets: Mapping[str, PortReset],
        gate: str,
        *,
        has_brr: bool = True,
    ) -> None:
        """GPIO, a KB apart; `resets` has the values after reset, the others' in `?`."""
        for name in names:
            place = ord(name) - ord("A")
            base = first + 0x400 * place
            port = Gpio(self, name, base, resets.get(name, resets["?"]), has_brr=has_brr)
            port.gate = Gate(gate, place)
            self.gpio[name] = port
            self.add(port)

    def add_system_memory(
        self, origin: int, size: int, unique_id: int, *, table: int | None = None
    ) -> None:
        """The boot loader in ROM, entered by a jump to what its vector table names (AN2606)."""
        table = origin if table is None else table
        self.map_memory(Memory(origin, size, "flash"))
        self.uc.mem_write(table, (0x20001000).to_bytes(4, "little"))
        self.uc.mem_write(table + 4, (table + LOADER_ENTRY).to_bytes(4, "little"))
        self.uc.mem_write(unique_id, UNIQUE_ID)
        entry = table + LOADER_ENTRY - 1
        self.uc.hook_add(UC_HOOK_CODE, self._enter_loader, begin=entry, end=entry)

    def _enter_loader(self, uc: Any, address: int, size: int, _: object) -> None:
        self.in_loader = True
        self.interrupted = True
        self.check_loader()
        uc.emu_stop()

    def check_loader(self) -> None:
        """What the boot loader in ROM finds the chip in."""
        if any(self.rcc.values[r.name] != r.reset for r in self.rcc.table.values()):
            self.violation(
                "the boot loader is entered with clocks other than after reset (AN2606, 4)"
            )
        if self.scs.enabled:
            self.violation("the boot loader is entered with interrupts enabled")

    def is_routed(self, pins: tuple[Pin, ...]) -> str | None:
        """None where one of the pins has the function; else what is wrong."""
        for pin in pins:
            port = self.gpio.get(pin.port)
            if port is not None and port.function(pin.number) == pin.function:
                return port.unusable(pin.number)
        return "no pin has its function: " + ", ".join(
            f"P{p.port}{p.number} AF{p.function}" for p in pins
        )


class Rcc(Peripheral):
    """Reset and clock control, as far as families agree."""

    machine: Stm32

    @abstractmethod
    def clock(self, name: str) -> float:
        """The rate of `core`, `pclk1`, `pclk2`, `tim1`, `tim2`, or of a peripheral's own, in Hz."""

    def is_open(self, gate: Gate) -> bool:
        """Whether the peripheral has its clock."""
        return bool(self.values[gate.register] >> gate.bit & 1)

    def becomes_ready(self, name: str, on: int, ready: int, seconds: float) -> None:
        """Sets the bits `ready` of a register after `seconds`, where those of `on` still are."""

        def finish() -> None:
            if self.values[name] & on == on and self.machine.ready:
                self.values[name] |= ready

        self.machine.after(seconds, finish)


class Gated(Peripheral):
    """A peripheral behind a gate of the RCC."""

    machine: Stm32
    gate: Gate | None = None

    def sleeping(self) -> str | None:
        if self.gate is not None and not self.machine.rcc.is_open(self.gate):
            return f"its clock is off ({self.gate.register} bit {self.gate.bit})"
        return None


class Gpio(Gated):
    """RM0090, 8.4; of all families but F1. L4 and G0 have BRR, too (RM0351, 8.5.11)."""

    narrow = True
    registers: ClassVar[Table] = {
        0x00: Register("MODER"),
        0x04: Register("OTYPER", defined=0xFFFF),
        0x08: Register("OSPEEDR"),
        0x0C: Register("PUPDR"),
        0x10: Register("IDR", defined=0xFFFF, read_only=0xFFFF),
        0x14: Register("ODR", defined=0xFFFF),
        0x18: Register("BSRR", write_one=0xFFFFFFFF),
        0x1C: Register("LCKR", defined=0x1FFFF),
        0x20: Register("AFRL"),
        0x24: Register("AFRH"),
    }

    def __init__(
        self, machine: Stm32, port: str, base: int, after_reset: PortReset, *, has_brr: bool
    ) -> None:
        self.port, self._after_reset, self._has_brr = port, after_reset, has_brr
        self.supply_missing: Callable[[], bool] = bool
        super().__init__(machine, f"GPIO{port}", base)

    def make_table(self) -> Table:
        brr = {0x28: Register("BRR", defined=0xFFFF, write_one=0xFFFF)} if self._has_brr else {}
        return {**self.registers, **brr}

    def reset(self) -> None:
        super().reset()
        self.values["MODER"], self.values["OSPEEDR"], self.values["PUPDR"] = self._after_reset

    def write_moder(self, old: int, value: int) -> None:
        """PA13 and PA14 are the debug port: whoever takes it cannot be flashed by a probe."""
        debug = 0xF << 26
        if self.port == "A" and (value ^ self._after_reset.moder) & debug:
            self.violation("the pins of the debug port are given another mode")

    def function(self, number: int) -> int | None:
        """The alternate function that a pin has."""
        if field(self.values["MODER"], 2 * number + 1, 2 * number) != 2:
            return None
        register = self.values["AFRL" if number < 8 else "AFRH"]
        return field(register, number % 8 * 4 + 3, number % 8 * 4)

    def unusable(self, number: int) -> str | None:
        """Why a pin with the right function does not work."""
        if self.supply_missing() and number >= 2:
            return "the supply of PG2 to PG15 is not declared valid (PWR_CR2.IOSV)"
        if field(self.values["PUPDR"], 2 * number + 1, 2 * number) == 3:
            return f"PUPDR of P{self.port}{number} is 3, which is reserved"
        return None
