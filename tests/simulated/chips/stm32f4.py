"""STM32F4: RM0090 (F405, F407), RM0368 (F401), RM0383 (F411), RM0390 (F446), and datasheets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from exporter.board import Board
from tests.simulated.chips.stm32 import Gate, Gated, Pin, Pins, PortReset, Rcc, Stm32
from tests.simulated.chips.stm32_devices import TimerF4, Usart, UsartV1
from tests.simulated.peripheral import Peripheral, Register, Table, bits, field
from tests.simulated.serial_line import SerialLine

HSI_HZ = 16_000_000
_HSE_SECONDS = 0.002  # DS8626, 5.3.8: t_SU(HSE)
_PLL_SECONDS = 0.0002  # DS8626, 5.3.10: 75 to 200 us
_AHB = {8: 2, 9: 4, 10: 8, 11: 16, 12: 64, 13: 128, 14: 256, 15: 512}
_APB = {4: 2, 5: 4, 6: 8, 7: 16}
_ENABLES = (0x30, 0x34, 0x38, 0x40, 0x44)


@dataclass(frozen=True)
class Part:
    """What the parts differ in."""

    wait_states_mhz: tuple[int, ...]
    """The highest HCLK for 0, 1, 2 ... wait states at 2.7 to 3.6 V."""
    scales_mhz: dict[int, int]
    """The highest HCLK for each value of PWR_CR.VOS."""
    overdrive_mhz: dict[int, int]
    vos_bits: int
    vos_reset: int
    latency_bits: int
    apb_mhz: tuple[int, int]
    has_pll_r: bool
    lowest_n: int
    lowest_vco_mhz: int
    ports: str
    clocks: tuple[int, int, int, int, int]
    """What there is of AHB1ENR, AHB2ENR, AHB3ENR, APB1ENR, APB2ENR; 0: no such register."""
    irq_count: int


F405 = Part(
    (30, 60, 90, 120, 150, 168),
    {0: 144, 1: 168},
    {},
    1,
    0x4000,
    3,
    (42, 84),
    False,
    50,
    100,
    "ABCDEFGHI",
    (0x7E7411FF, 0xC1, 1, 0x36FEC9FF, 0x00075F33),
    82,
)
"""RM0090, tables 10 and 5.4.1."""
F401 = Part(
    (30, 60, 84),
    {1: 60, 2: 84},
    {},
    2,
    0x8000,
    4,
    (42, 84),
    False,
    192,
    192,
    "ABCDEH",
    (0x0060109F, 0x80, 0, 0x10E2C80F, 0x00077931),
    85,
)
"""RM0368, table 6 and 5.4.1."""
F411 = Part(
    (30, 64, 90, 100),
    {1: 64, 2: 84, 3: 100},
    {},
    2,
    0x8000,
    4,
    (50, 100),
    False,
    50,
    100,
    "ABCDEH",
    (0x0060109F, 0x80, 0, 0x10E2C80F, 0x00177931),
    86,
)
"""RM0383, table 5 and 5.4.1."""
F446 = Part(
    (30, 60, 90, 120, 150, 180),
    {1: 120, 2: 144, 3: 168},
    {2: 168, 3: 180},
    2,
    0xC000,
    4,
    (45, 90),
    True,
    50,
    100,
    "ABCDEFGH",
    (0x606410FF, 0x81, 3, 0x3FFFC9FF, 0x00C77F33),
    97,
)
"""RM0390, table 5 and 5.1.3."""

_TX_RX: dict[str, Pins] = {
    "USART1": {"tx": (Pin("A", 9, 7), Pin("B", 6, 7)), "rx": (Pin("A", 10, 7), Pin("B", 7, 7))},
    "USART2": {"tx": (Pin("A", 2, 7), Pin("D", 5, 7)), "rx": (Pin("A", 3, 7), Pin("D", 6, 7))},
    "USART3": {
        "tx": (Pin("B", 10, 7), Pin("C", 10, 7), Pin("D", 8, 7)),
        "rx": (Pin("B", 11, 7), Pin("C", 11, 7), Pin("D", 9, 7)),
    },
    "USART6": {"tx": (Pin("C", 6, 8), Pin("G", 14, 8)), "rx": (Pin("C", 7, 8), Pin("G", 9, 8))},
}
"""DS8626, table 9; the same in the smaller parts, which lack some."""


class RccF4(Rcc):
    """RM0090, 7.3."""

    machine: F4
    registers: ClassVar[Table] = {
        0x00: Register(
            "CR",
            defined=bits((27, 24), (19, 16), (15, 3), 1, 0),
            reset=0x83,
            read_only=bits(27, 25, 17, (15, 8), 1),
        ),
        0x04: Register("PLLCFGR", defined=bits((27, 24), 22, (17, 16), (14, 0)), reset=0x24003010),
        0x08: Register("CFGR", read_only=0xC, defined=bits((31, 10), (7, 0))),
        0x0C: Register(
            "CIR",
            defined=bits(23, (21, 16), (13, 8), 7, (5, 0)),
            read_only=bits(7, (5, 0)),
            write_one=bits(23, (21, 16)),
        ),
        0x70: Register("BDCR", defined=0x18307, read_only=2),
        0x74: Register("CSR", defined=0xFF000003, reset=0x0E000000, read_only=2),
        0x80: Register("SSCGR", defined=0xCFFFFFFF),
        0x84: Register("PLLI2SCFGR", defined=0x70007FC0, reset=0x20003000),
    }

    def __init__(self, machine: F4, hse_hz: int, hse_is_crystal: bool) -> None:
        self._hse_hz, self._hse_is_crystal = hse_hz, hse_is_crystal
        self._pll_begun = False
        super().__init__(machine, "RCC", 0x40023800)

    def make_table(self) -> Table:
        part = self.machine.part
        table = dict(self.registers)
        for n, (offset, mask) in enumerate(zip(_ENABLES, part.clocks, strict=True)):
            if mask:
                name = ("AHB1", "AHB2", "AHB3", "APB1", "APB2")[n]
                reset = 0 if n else 0x00100000
                table[offset] = Register(f"{name}ENR", defined=mask, reset=reset)
                table[offset - 0x20] = Register(f"{name}RSTR", defined=mask)
        if part.has_pll_r:  # RM0390, 6.3: and a PLLSAI
            fields = bits((30, 28), (27, 24), 22, (17, 16), (14, 0))
            table[0x00] = Register(
                "CR",
                defined=bits((29, 24), (19, 16), (15, 3), 1, 0),
                reset=0x83,
                read_only=bits(29, 27, 25, 17, (15, 8), 1),
            )
            table[0x04] = Register("PLLCFGR", defined=fields, reset=0x24003010)
            table[0x0C] = Register(
                "CIR",
                defined=bits((23, 16), (14, 0)) & ~(1 << 15),
                read_only=0xFF,
                write_one=0xFF0000,
            )
            table[0x70] = Register("BDCR", defined=0x1830F, read_only=2)
            table[0x84] = Register("PLLI2SCFGR", defined=0x7F037FFF, reset=0x24003000)
        return table

    # Rates.

    def _pll_hz(self) -> float:
        cfg = self.values["PLLCFGR"]
        source = self._hse_hz if cfg >> 22 & 1 else HSI_HZ
        return source / max(field(cfg, 5, 0), 1) * field(cfg, 14, 6) / (2 * field(cfg, 17, 16) + 2)

    def _system_hz(self) -> float:
        source = field(self.values["CFGR"], 3, 2)
        return (HSI_HZ, self._hse_hz, self._pll_hz())[source]

    def clock(self, name: str) -> float:
        """Timers get twice their bus' clock where the bus is divided, 7.2."""
        cfg = self.values["CFGR"]
        core = self._system_hz() / _AHB.get(field(cfg, 7, 4), 1)
        if name == "core":
            return core
        divider = _APB.get(field(cfg, 12, 10) if name.endswith("1") else field(cfg, 15, 13), 1)
        return core / divider * (2 if name.startswith("tim") and divider > 1 else 1)

    # Effects.

    def write_cr(self, old: int, value: int) -> None:
        """Oscillators and PLL get ready some time after they were switched on."""
        rising, falling = value & ~old, old & ~value
        if (value ^ old) & 1 << 18 and old & value & 1 << 16:
            self.violation("HSEBYP changes while HSE is on (7.3.1)")
        if rising & 1 << 16:
            if bool(value & 1 << 18) == self._hse_is_crystal:
                self.violation(
                    "HSEBYP is for boards that feed a clock, and this one does not, or does"
                )
            self.becomes_ready("CR", 1 << 16, 1 << 17, _HSE_SECONDS)
        if rising & 1 << 24:
            self._start_pll()
        source = field(self.values["CFGR"], 3, 2)
        for bit, number, what in ((0, 0, "HSI"), (16, 1, "HSE"), (24, 2, "PLL")):
            if falling & 1 << bit:
                if source == number:
                    self.violation(f"{what} is switched off while it is the system clock (7.3.1)")
                self.values["CR"] &= ~(2 << bit)

    def _start_pll(self) -> None:
        cfg = self.values["PLLCFGR"]
        m, n, q = field(cfg, 5, 0), field(cfg, 14, 6), field(cfg, 27, 24)
        from_hse = cfg >> 22 & 1
        if from_hse and not self.values["CR"] & 1 << 17:
            self.violation("the PLL is switched on before its source HSE is ready (7.2.3)")
        if m < 2 or not self.machine.part.lowest_n <= n <= 432 or q < 2:
            self.violation(f"PLL factors M {m}, N {n}, Q {q}: M from 2, N to 432, Q from 2 (7.3.2)")
        source = (self._hse_hz if from_hse else HSI_HZ) / max(m, 1)
        if not 0.95e6 <= source <= 2.1e6:
            self.violation(f"the PLL's input is {source / 1e6:g} MHz: 1 to 2 are allowed (7.3.2)")
        lowest = self.machine.part.lowest_vco_mhz
        if not lowest * 1e6 <= source * n <= 432e6:
            self.violation(
                f"the VCO is at {source * n / 1e6:g} MHz: {lowest} to 432 are allowed (7.3.2)"
            )
        self.becomes_ready("CR", 1 << 24, 1 << 25, _PLL_SECONDS)
        self.machine.pwr.pll_started()

    def write_pllcfgr(self, old: int, value: int) -> None:
        """7.3.2: only while the PLL is off."""
        if self.values["CR"] & 1 << 24:
            self.violation("PLLCFGR is written while the PLL is on (7.3.2)")
        if self.machine.part.has_pll_r and field(value, 30, 28) < 2:
            self.violation("PLLR is below 2 (RM0390, 6.3.2)")

    def write_cfgr(self, old: int, value: int) -> None:
        """The switch takes effect where the source is ready."""
        wanted = value & 3
        ready = {0: 1 << 1, 1: 1 << 17, 2: 1 << 25}.get(wanted)
        if ready is None:
            self.violation("SW = 3 is not allowed (7.3.3)")
        elif self.values["CR"] & ready:
            self.values["CFGR"] = self.values["CFGR"] & ~0xC | wanted << 2
        elif wanted != field(old, 3, 2):
            self.violation(f"SW selects source {wanted}, which is not ready (7.2.6)")
        self.check_rates()

    def check_rates(self) -> None:
        """Wait states (3.5.1), voltage scale (5.4.1), buses (7.2)."""
        part, mhz = self.machine.part, self.clock("core") / 1e6
        states = self.machine.flash.values["ACR"] & 0xF
        if states >= len(part.wait_states_mhz) or mhz > part.wait_states_mhz[states]:
            needs = next((i for i, most in enumerate(part.wait_states_mhz) if mhz <= most), None)
            if needs is None or needs > states:
                self.violation(
                    f"HCLK is {mhz:g} MHz with {states} wait states of the flash (3.5.1)"
                )
        most = self.machine.pwr.most_mhz()
        if mhz > most:
            self.violation(f"HCLK is {mhz:g} MHz where the voltage allows {most} (5.1.3)")
        for bus, limit in zip(("pclk1", "pclk2"), part.apb_mhz, strict=True):
            if self.clock(bus) / 1e6 > limit:
                self.violation(f"{bus} is {self.clock(bus) / 1e6:g} MHz: at most {limit} (7.2)")


class PwrF4(Gated):
    """RM0090, 5.4; RM0390, 5.4."""

    machine: F4
    gate = Gate("APB1ENR", 28)

    def __init__(self, machine: F4) -> None:
        self._vos = bits((13 + machine.part.vos_bits, 14))
        super().__init__(machine, "PWR", 0x40007000)

    def make_table(self) -> Table:
        part, more = self.machine.part, 0
        if part.vos_bits == 2:
            more = bits(13, 11, 10)
        if part.overdrive_mhz:
            more |= bits((21, 18), 17, 16)
        flags = bits(14, (3, 0))
        enables = bits(9, 8)
        if part.overdrive_mhz:
            flags |= bits((19, 16))
            enables |= bits(7)
        return {
            0x00: Register("CR", defined=bits((9, 0)) | self._vos | more, reset=part.vos_reset),
            0x04: Register("CSR", defined=flags | enables, read_only=flags),
        }

    def most_mhz(self) -> int:
        """The highest HCLK."""
        part = self.machine.part
        scale = (self.values["CR"] & self._vos) >> 14
        if part.overdrive_mhz and self.values["CSR"] & 1 << 17:
            return part.overdrive_mhz.get(scale, 0)
        return part.scales_mhz.get(scale, 0)

    def pll_started(self) -> None:
        """VOS takes effect with the PLL, 5.4.1."""
        self.values["CSR"] |= 1 << 14

    def write_cr(self, old: int, value: int) -> None:
        """VOS only while the PLL is off; overdrive in two steps, RM0390, 5.1.4."""
        if (old ^ value) & self._vos and self.machine.rcc.values["CR"] & 1 << 24:
            self.violation("VOS changes while the PLL is on (5.4.1)")
        if not self.machine.part.overdrive_mhz:
            return
        rising = value & ~old
        if rising & 1 << 16:
            self._later(1 << 16)
        if rising & 1 << 17:
            if not self.values["CSR"] & 1 << 16:
                self.violation("ODSWEN is set before ODRDY (RM0390, 5.1.4)")
            self._later(1 << 17)

    def _later(self, flag: int) -> None:
        def ready() -> None:
            if self.machine.ready:
                self.values["CSR"] |= flag

        self.machine.after(0.00004, ready)


class FlashF4(Peripheral):
    """RM0090, 3.9. Only the access control is for firmware; programming it is a violation here."""

    machine: F4

    def __init__(self, machine: F4) -> None:
        super().__init__(machine, "FLASH", 0x40023C00)

    def make_table(self) -> Table:
        latency = bits((self.machine.part.latency_bits - 1, 0))
        return {0x00: Register("ACR", defined=latency | bits((12, 8)))}

    def write_acr(self, old: int, value: int) -> None:
        """Fewer wait states than the clock needs."""
        self.machine.rcc.check_rates()


class F4(Stm32):
    """The parts of this family with the peripherals that a link needs."""

    rcc: RccF4

    def __init__(
        self, board: Board, line: SerialLine, part: Part, hse_hz: int, hse_is_crystal: bool
    ) -> None:
        self.part = part
        super().__init__(board, line, part.irq_count)
        self.rcc = RccF4(self, hse_hz, hse_is_crystal)
        self.pwr, self.flash = PwrF4(self), FlashF4(self)
        for peripheral in (self.rcc, self.pwr, self.flash):
            self.add(peripheral)
        self.add_ports(
            0x40020000,
            part.ports,
            {
                "A": PortReset(0xA8000000, 0, 0x64000000),
                "B": PortReset(0x00000280, 0xC0, 0x100),
                "?": PortReset(0),
            },
            "AHB1ENR",
            has_brr=False,
        )
        self.usarts: dict[str, Usart] = {}
        for name, base, irq, gate, clock in (
            ("USART1", 0x40011000, 37, Gate("APB2ENR", 4), "pclk2"),
            ("USART2", 0x40004400, 38, Gate("APB1ENR", 17), "pclk1"),
            ("USART3", 0x40004800, 39, Gate("APB1ENR", 18), "pclk1"),
            ("USART6", 0x40011400, 71, Gate("APB2ENR", 5), "pclk2"),
        ):
            if name == "USART3" and not part.clocks[3] & 1 << 18:
                continue
            usart = UsartV1(self, name, base, irq, gate, _TX_RX[name])
            usart.clock_name = clock
            self.usarts[name] = usart
            self.add(usart)
        for name, base, irq, bit, width in (
            ("TIM2", 0x40000000, 28, 0, 32),
            ("TIM3", 0x40000400, 29, 1, 16),
            ("TIM4", 0x40000800, 30, 2, 16),
            ("TIM5", 0x40000C00, 50, 3, 32),
        ):
            self.add(TimerF4(self, name, base, irq, Gate("APB1ENR", bit), "tim1", width))
        self.add_system_memory(0x1FFF0000, 0x8000, 0x1FFF7A10)


def build(
    board: Board,
    line: SerialLine,
    elf: Path,
    *,
    part: Part,
    hse_hz: int,
    crystal: bool,
    link: tuple[str, str, str],
) -> F4:
    """A board: the part, its oscillator, and USART, TX and RX pin that its link is wired to."""
    usart, tx, rx = link
    machine = F4(board, line, part, hse_hz, crystal)
    machine.load_elf(elf)
    machine.usarts[usart].wire(tx, rx)
    line.attach(machine.usarts[usart], machine.after)
    return machine
