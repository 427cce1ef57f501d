"""nRF52833 and nRF52840: their Product Specifications (v1.5, v1.1), by chapter.

Tasks and events are registers of one bit: a task is written with 1, an event cleared with 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from exporter.board import Board
from tests.simulated.cortex_m import CortexM
from tests.simulated.machine import Memory
from tests.simulated.peripheral import Peripheral, Register, Table, bits
from tests.simulated.serial_line import SerialLine

CORE_HZ = 64_000_000
_TIMER_HZ = 16_000_000
_CRYSTAL_SECONDS = 0.00036  # CLOCK, electrical specification: t_START_HFXO
_DEVICE_ID = bytes(range(0x40, 0x48))
_FIFO_BYTES = 6
_UICR_APPROTECT = 0x10001208
_HARDWARE_DISABLED = 0xFFFFFF5A
_DEBUG_PORT_SECONDS = 0.001


def task(name: str) -> Register:
    """A register that is written with 1 to make something happen."""
    return Register(name, defined=1, write_one=1)


def event(name: str) -> Register:
    """A register that the hardware sets and firmware clears."""
    return Register(name, defined=1)


class Nordic(Peripheral):
    """What tasks, events and interrupts are like in all of them (chapter Peripheral interface)."""

    machine: Nrf52
    irq: int | None = None
    events: ClassVar[Mapping[str, int]] = {}
    """The place of each event in INTEN."""

    def happens(self, name: str) -> None:
        """An event; and the interrupt, where it is enabled."""
        self.values[name] = 1
        self.check_interrupt()

    def check_interrupt(self) -> None:
        """An interrupt is there as long as an enabled event is set."""
        enabled = self.values.get("INTENSET", 0)
        if self.irq is not None and any(
            self.values[n] and enabled >> b & 1 for n, b in self.events.items()
        ):
            self.machine.pend_irq(self.irq)

    def store(self, offset: int, size: int, value: int) -> None:
        register = self.table.get(offset)
        if register is not None and register.defined == 1:
            is_task = register.write_one == 1
            if value != int(is_task):
                kind = "task" if is_task else "event"
                self.violation(f"{kind} {register.name} is written with {value}")
        super().store(offset, size, value)

    def write_intenset(self, old: int, value: int) -> None:
        """Ones enable."""
        self.values["INTENSET"] = old | value
        self.check_interrupt()

    def write_intenclr(self, old: int, value: int) -> None:
        """Ones disable."""
        self.values["INTENSET"] &= ~value

    def read_intenclr(self) -> int:
        """Both read as what is enabled."""
        return self.values["INTENSET"]


class ClockPower(Nordic):
    """CLOCK and POWER share 0x40000000."""

    registers: ClassVar[Table] = {
        0x000: task("HFCLKSTART"),
        0x004: task("HFCLKSTOP"),
        0x008: task("LFCLKSTART"),
        0x00C: task("LFCLKSTOP"),
        0x100: event("HFCLKSTARTED"),
        0x104: event("LFCLKSTARTED"),
        0x304: Register("INTENSET", defined=0x1B),
        0x308: Register("INTENCLR", defined=0x1B, write_one=0x1B),
        0x408: Register("HFCLKRUN", defined=1, read_only=1),
        0x40C: Register("HFCLKSTAT", defined=0x10001, read_only=0x10001),
        0x51C: Register("GPREGRET", defined=0xFF),
        0x558: Register("DISABLE", defined=0xFF),  # of APPROTECT, which lies here, too
    }

    def reset(self) -> None:
        kept = self.values.get("GPREGRET", 0)  # survives a reset from software: POWER, 5.3.7
        super().reset()
        self.values["GPREGRET"] = kept

    def write_hfclkstart(self, old: int, value: int) -> None:
        """The crystal takes some time."""

        def started() -> None:
            if self.machine.ready:
                self.values["HFCLKSTAT"] = 0x10001
                self.happens("HFCLKSTARTED")

        self.values["HFCLKRUN"] = 1
        self.machine.after(_CRYSTAL_SECONDS, started)


class FlashController(Nordic):
    """NVMC: the cache only; programming is not for firmware here."""

    registers: ClassVar[Table] = {
        0x400: Register("READY", defined=1, reset=1, read_only=1),
        0x540: Register("ICACHECNF", defined=bits(8, 0)),
    }


class Port(Nordic):
    """GPIO, one port: 0x300 bytes apart, registers from 0x500 on."""

    registers: ClassVar[Table] = {
        0x504: Register("OUT"),
        0x508: Register("OUTSET", write_one=0xFFFFFFFF),
        0x50C: Register("OUTCLR", write_one=0xFFFFFFFF),
        0x510: Register("IN", read_only=0xFFFFFFFF),
        0x514: Register("DIR"),
        0x518: Register("DIRSET", write_one=0xFFFFFFFF),
        0x51C: Register("DIRCLR", write_one=0xFFFFFFFF),
    } | {
        0x700 + 4 * n: Register(f"PIN_CNF{n}", defined=bits((17, 16), (10, 8), (3, 0)), reset=2)
        for n in range(32)
    }

    def write_outset(self, old: int, value: int) -> None:
        """Ones set."""
        self.values["OUT"] |= value

    def write_outclr(self, old: int, value: int) -> None:
        """Ones clear."""
        self.values["OUT"] &= ~value


class Uart(Nordic):
    """UART, the registers that UARTE0 shares with it. Six bytes wait for the program."""

    events: ClassVar[Mapping[str, int]] = {
        "CTS": 0,
        "NCTS": 1,
        "RXDRDY": 2,
        "TXDRDY": 7,
        "ERROR": 9,
        "RXTO": 17,
    }
    registers: ClassVar[Table] = {
        0x000: task("STARTRX"),
        0x004: task("STOPRX"),
        0x008: task("STARTTX"),
        0x00C: task("STOPTX"),
        0x01C: task("SUSPEND"),
        0x100: event("CTS"),
        0x104: event("NCTS"),
        0x108: event("RXDRDY"),
        0x11C: event("TXDRDY"),
        0x124: event("ERROR"),
        0x144: event("RXTO"),
        0x200: Register("SHORTS", defined=0x18),
        0x304: Register("INTENSET", defined=0x20287),
        0x308: Register("INTENCLR", defined=0x20287, write_one=0x20287),
        0x480: Register("ERRORSRC", defined=0xF, write_one=0xF),
        0x500: Register("ENABLE", defined=0xF),
        0x508: Register("PSELRTS", defined=0x8000003F, reset=0xFFFFFFFF),
        0x50C: Register("PSELTXD", defined=0x8000003F, reset=0xFFFFFFFF),
        0x510: Register("PSELCTS", defined=0x8000003F, reset=0xFFFFFFFF),
        0x514: Register("PSELRXD", defined=0x8000003F, reset=0xFFFFFFFF),
        0x518: Register("RXD", defined=0xFF, read_only=0xFF),
        0x51C: Register("TXD", defined=0xFF),
        0x524: Register("BAUDRATE", reset=0x04000000),
        0x56C: Register("CONFIG", defined=0x1F),
    }

    def __init__(self, machine: Nrf52, tx: int, rx: int) -> None:
        self._wired = {"PSELTXD": tx, "PSELRXD": rx}
        super().__init__(machine, "UART0", 0x40002000, 0x1000)
        self.irq = 2

    def reset(self) -> None:
        super().reset()
        self._receiving = self._sending = False
        self._fifo: deque[int] = deque()
        self._busy = False

    def store(self, offset: int, size: int, value: int) -> None:
        configuration = self.table.get(offset)
        if configuration is not None and configuration.name.startswith("PSEL"):
            if self.values["ENABLE"]:
                self.violation(
                    f"{configuration.name} is written while the UART is enabled (Pin configuration)"
                )
            value |= ~0x8000003F & 0xFFFFFFFF  # the bits between are no part of the number
        super().store(offset, size, value)

    def _passes(self, select: str) -> bool:
        """Whether bytes get to the pin that the board wires, at the right rate."""
        pin = self.values[select] & 0x3F
        if self.values[select] & 1 << 31 or pin != self._wired[select]:
            self.violation(
                f"{select} is 0x{self.values[select]:X}: the board wires {self._wired[select]}"
            )
            return False
        configured = self.machine.ports[pin // 32].values[f"PIN_CNF{pin % 32}"]
        is_output = select == "PSELTXD"
        if (configured & 1) != is_output or (not is_output and configured & 2):
            self.violation(
                f"the pin of {select} is set up as 0x{configured:X} (table GPIO configuration)"
            )
        baud = self.values["BAUDRATE"] * _TIMER_HZ / 2**32
        if self.machine.line.is_off(baud):
            self.violation(f"BAUDRATE 0x{self.values['BAUDRATE']:08X} is {baud:.0f} baud")
            return False
        if self.values["CONFIG"]:
            self.violation(f"CONFIG 0x{self.values['CONFIG']:X} is not 8N1 without flow control")
            return False
        return True

    def write_startrx(self, old: int, value: int) -> None:
        """Reception begins."""
        self._receiving = True

    def write_starttx(self, old: int, value: int) -> None:
        """Transmission begins with the next TXD."""
        self._sending = True

    def receive(self, byte: int) -> None:
        """RXDRDY comes when a byte gets to RXD, and for the next one when that was read."""
        if self.values["ENABLE"] != 4 or not self._receiving or not self._passes("PSELRXD"):
            return
        if len(self._fifo) == _FIFO_BYTES:
            self.machine.note("UART0: overrun")
            self.happens("ERROR")
            return
        self._fifo.append(byte)
        if len(self._fifo) == 1:
            self.happens("RXDRDY")

    def read_rxd(self) -> int:
        """The first of those that wait; the second moves up."""
        if not self._fifo:
            return self.values["RXD"]
        self.values["RXD"] = self._fifo.popleft()
        if self._fifo:
            self.happens("RXDRDY")
        return self.values["RXD"]

    def write_txd(self, old: int, value: int) -> None:
        """A byte to send; TXDRDY tells that it has gone."""
        if self.values["ENABLE"] != 4 or not self._sending:
            self.violation("a byte is sent by a UART that is not enabled and started")
            return
        if self._busy:
            self.violation("a byte is sent before TXDRDY came for the one before")
        self._busy = True

        def sent() -> None:
            self._busy = False
            if self._passes("PSELTXD"):
                self.machine.line.send(value & 0xFF)
            self.happens("TXDRDY")

        self.machine.after(10 / max(self.values["BAUDRATE"] * _TIMER_HZ / 2**32, 1), sent)

    def read_txdrdy(self) -> int:
        """A loop that waits for it takes until something happens."""
        if self._busy and not self.values["TXDRDY"]:
            self.machine.skip_to(self.machine.seconds + 1.0)
        return self.values["TXDRDY"]


class Timer(Nordic):
    """TIMER: counts at 16 MHz divided by two to the power of PRESCALER."""

    events: ClassVar[Mapping[str, int]] = {f"COMPARE{n}": 16 + n for n in range(4)}
    registers: ClassVar[Table] = (
        {
            0x000: task("START"),
            0x004: task("STOP"),
            0x008: task("COUNT"),
            0x00C: task("CLEAR"),
            0x010: task("SHUTDOWN"),
            0x200: Register("SHORTS", defined=0xF0F),
            0x304: Register("INTENSET", defined=0xF0000),
            0x308: Register("INTENCLR", defined=0xF0000, write_one=0xF0000),
            0x504: Register("MODE", defined=3),
            0x508: Register("BITMODE", defined=3),
            0x510: Register("PRESCALER", defined=0xF, reset=4),
        }
        | {0x040 + 4 * n: task(f"CAPTURE{n}") for n in range(4)}
        | {0x140 + 4 * n: event(f"COMPARE{n}") for n in range(4)}
        | {0x540 + 4 * n: Register(f"CC{n}") for n in range(4)}
    )

    def __init__(self, machine: Nrf52, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base, 0x1000)
        self.irq = irq
        for n in range(4):
            self._writers[f"CAPTURE{n}"] = partial(self._capture, n)
            self._writers[f"CC{n}"] = self._write_cc

    def reset(self) -> None:
        super().reset()
        self._running = False
        self._count = 0
        self._since = 0.0
        self._round = 0

    def store(self, offset: int, size: int, value: int) -> None:
        if offset in (0x508, 0x510) and self._running:
            self.violation(f"{self.table[offset].name} is written while the timer runs")
        super().store(offset, size, value)

    def _bits(self) -> int:
        return (16, 8, 24, 32)[self.values["BITMODE"]]

    def _hz(self) -> float:
        return _TIMER_HZ / (1 << min(self.values["PRESCALER"], 9))

    def _now(self) -> int:
        if not self._running:
            return self._count
        passed = int((self.machine.seconds - self._since) * self._hz() + 1e-6)
        return (self._count + passed) % (1 << self._bits())

    def _write_cc(self, old: int, value: int) -> None:
        self._plan()

    def _capture(self, n: int, old: int, value: int) -> None:
        self.values[f"CC{n}"] = self._now()
        self._plan()

    def _rebase(self, count: int, running: bool) -> None:
        self._count, self._since, self._running = count, self.machine.seconds, running
        self._plan()

    def write_start(self, old: int, value: int) -> None:
        """Count on."""
        self._rebase(self._now(), True)

    def write_stop(self, old: int, value: int) -> None:
        """Stand still."""
        self._rebase(self._now(), False)

    def write_clear(self, old: int, value: int) -> None:
        """From 0."""
        self._rebase(0, self._running)

    def _plan(self) -> None:
        """The next time that a compare register is reached."""
        self._round += 1
        if not self._running:
            return
        this, span = self._round, 2 ** self._bits()
        waits = {n: (self.values[f"CC{n}"] - self._now() - 1) % span + 1 for n in range(4)}
        soonest = min(waits.values())

        def reached() -> None:
            if this != self._round:
                return
            for n in (n for n, wait in waits.items() if wait == soonest):
                self.happens(f"COMPARE{n}")
                if self.values["SHORTS"] >> n & 1:
                    self._count, self._since = 0, self.machine.seconds
            self._plan()

        self.machine.after(soonest / self._hz(), reached)


class Nrf52(CortexM):
    """Either chip: what differs here is the board's memory and wiring."""

    priority_bits = 3

    def __init__(self, board: Board, line: SerialLine, tx: int, rx: int) -> None:
        super().__init__(board.core, line, board.region("flash").origin, 48)
        self.map_memory(*(Memory(r.origin, r.bytes, r.kind) for r in board.memory))
        self.map_memory(Memory(0x10000000, 0x1000, "flash"))  # FICR
        self.uc.mem_write(0x10000060, _DEVICE_ID)
        self.map_memory(Memory(0x10001000, 0x1000, "flash"))  # UICR
        self.uc.mem_write(_UICR_APPROTECT, _HARDWARE_DISABLED.to_bytes(4, "little"))
        self.map_bus(0x40000000, 0x20000000)
        self.power = ClockPower(self, "CLOCK", 0x40000000, 0x1000)
        self.add(self.power)
        self.add(FlashController(self, "NVMC", 0x4001E000, 0x1000))
        # Ports share a page: each begins where its first register is.
        self.ports = [Port(self, f"P{n}", 0x50000000 + 0x300 * n, 0x1000) for n in range(2)]
        self.uart = Uart(self, tx, rx)
        self.add(self.uart)
        self.add(PortPair(self, self.ports))
        for number, base, irq in ((0, 0x40008000, 8), (1, 0x40009000, 9), (2, 0x4000A000, 10)):
            self.add(Timer(self, f"TIMER{number}", base, irq))
        line.attach(self.uart, self.after)

    def core_hz(self) -> float:
        return CORE_HZ

    def boot(self) -> None:
        """A boot loader, where there is one, stays when it is asked to by GPREGRET."""
        super().boot()
        self.after(_DEBUG_PORT_SECONDS, self._check_debug_port)
        self.in_loader = self.power.values["GPREGRET"] != 0

    def _check_debug_port(self) -> None:
        """Of the later revisions: open where the UICR and the firmware say so."""
        if self.power.values["DISABLE"] != _HARDWARE_DISABLED & 0xFF:
            self.violation("the debug port stays closed until the chip is erased (APPROTECT)")


class PortPair(Peripheral):
    """P0 from 0x50000500 on, P1 from 0x50000800 on: 0x300 apart, each from 0x500 to 0x7FF."""

    def __init__(self, machine: Nrf52, ports: list[Port]) -> None:
        self._ports = ports
        super().__init__(machine, "GPIO", 0x50000000, 0x1000)

    def reset(self) -> None:
        for port in self._ports:
            port.reset()

    def _of(self, offset: int) -> tuple[Port, int]:
        return (self._ports[0], offset) if offset < 0x800 else (self._ports[1], offset - 0x300)

    def load(self, offset: int, size: int) -> int:
        port, offset = self._of(offset)
        return port.load(offset, size)

    def store(self, offset: int, size: int, value: int) -> None:
        port, offset = self._of(offset)
        port.store(offset, size, value)


def build(
    board: Board,
    line: SerialLine,
    elf: Path,
    *,
    tx: int,
    rx: int,
    regions_left: Mapping[int, int] | None = None,
) -> Nrf52:
    """A board that wires these pins (32 more on port 1) to where its link comes from."""
    machine = Nrf52(board, line, tx, rx)
    machine.scs.regions_left = dict(regions_left or {})
    machine.load_elf(elf)
    return machine
