// The machine: rp2040js, and what it leaves out of an RP2040 that firmware relies on.
//
// rp2040js executes Armv6-M and counts its cycles, with UART, TIMER, WATCHDOG, SysTick and the
// registers of the clocks. Added here: the boot ROM's start of the second stage, a flash that is read
// in place only once it is set up (flash.mjs), a few functions of the ROM (rom.mjs), HardFault and
// lockup, interrupts as NMI, wake-up by an interrupt that is masked, resets. Left out: the memory
// protection unit (it reads as absent) and the cache of the flash, whose every access takes a cycle. A
// wrap of SysTick is one clock short.

import { Flash } from './flash.mjs';
import { connectMemory, Fault, SRAM } from './memory.mjs';
import { ROM_BYTES, ROM_CALLS, romImage } from './rom.mjs';

// RP2040 datasheet, 2.8.1.3: the ROM copies the second stage here, with its stack just below.
const BOOT_STAGE = 0x20041f00;
const BOOT_STAGE_BYTES = 256;

// Armv6-M Architecture Reference Manual (DDI 0419), B3.2.
const AIRCR = 0xd0c;
const AIRCR_SYSRESETREQ = 0x05fa0004;
const CCR = 0xd14;
const CCR_VALUE = 0x208; // STKALIGN, UNALIGN_TRP: both always set
const MPU_TYPE = 0xd90;

const NMI = 2;
const HARDFAULT = 3;

// Where they are in the machine of rp2040js: the address without its last 12 bits.
const SSI = 0x18000;
const IO_QSPI = 0x40018;
const WATCHDOG = 0x40058;

const UNIQUE_ID = [0xe6, 0x61, 0x34, 0x50, 0x82, 0x3a, 0x55, 0x27];

/** CRC-32 of the second stage: most significant bit first, neither reflected nor inverted. */
function bootCrc(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) {
      crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
    }
  }
  return crc >>> 0;
}

/** One RP2040 with an image in its flash. `onByte` is given each byte that UART0 sends. */
export class Machine {
  constructor(RP2040, image, onByte) {
    this.RP2040 = RP2040;
    this.onByte = onByte;
    this.received = []; // bytes on their way to UART0, the next one first
    this.resetRequest = null;
    this.lockedUp = false;
    this.pushes = false; // of the frame of a HardFault, which may fail
    this.powerUp(null);
    this.rp2040.flash.set(image);
    this.startBootStage();
  }

  /** A new chip; memory is kept from `before`, as a reset by the watchdog keeps it. */
  powerUp(before) {
    this.rp2040 = new this.RP2040();
    if (before !== null) {
      this.rp2040.flash.set(before.flash);
      this.rp2040.sram.set(before.sram);
    }
    this.rp2040.logger = new FaultingLogger();
    this.rp2040.bootrom.set(romImage());
    this.rp2040.onBreak = (number) => this.trap(number);
    const { peripherals } = this.rp2040;
    this.flash = new Flash(peripherals[SSI], peripherals[IO_QSPI], UNIQUE_ID);
    this.clock = this.rp2040.clock;
    this.core = this.rp2040.core;
    connectMemory(this);
    this.connectInterrupts();
    this.connectUart();
    const watchdog = peripherals[WATCHDOG];
    watchdog.onWatchdogTrigger = () => {
      watchdog.timer.enable = false; // else its alarm comes again and again at this moment
      this.resetRequest = 'watchdog';
    };
  }

  // --- interrupts -------------------------------------------------------------------------------

  connectInterrupts() {
    const { core, rp2040 } = this;
    const { ppb } = rp2040;
    const read = ppb.readUint32.bind(ppb);
    const write = ppb.writeUint32.bind(ppb);
    ppb.readUint32 = (offset) => {
      if (offset === MPU_TYPE || offset === AIRCR) {
        return 0;
      }
      return offset === CCR ? CCR_VALUE : read(offset);
    };
    ppb.writeUint32 = (offset, value) => {
      if (offset !== AIRCR) {
        write(offset, value);
      } else if (value >>> 0 === AIRCR_SYSRESETREQ) {
        this.resetRequest = 'core';
      }
    };
    core.setInterrupt = (irq, on) => {
      const bit = 1 << irq;
      if (!on) {
        core.pendingInterrupts &= ~bit;
      } else if (core.interruptNMIMask & bit) {
        core.pendingNMI = true;
        core.interruptsUpdated = true;
      } else if (!(core.pendingInterrupts & bit)) {
        core.pendingInterrupts |= bit;
        core.interruptsUpdated = true;
      }
    };
  }

  /** Whether WFI ends: also by an interrupt that PRIMASK holds back (DDI 0419, B1.5.19). */
  get wakes() {
    const { core } = this;
    return (
      core.pendingNMI ||
      core.pendingSystick ||
      (core.pendingInterrupts & core.enabledInterrupts) !== 0
    );
  }

  /** A function of the ROM, an undefined instruction, or a breakpoint without a debugger. */
  trap(number) {
    const call = this.core.PC < ROM_BYTES ? ROM_CALLS[number] : undefined;
    if (call === undefined) {
      throw new Fault('undefined instruction');
    }
    if (call === 'EX') {
      this.flash.leaveInPlace();
    } else if (call === 'FC') {
      this.flash.select(0);
    } else if (call === 'UB') {
      console.error('the board is in its boot loader, BOOTSEL');
      this.lockedUp = true;
    }
  }

  // --- UART0 ------------------------------------------------------------------------------------

  connectUart() {
    const uart = this.rp2040.uart[0];
    const read = uart.readUint32.bind(uart);
    uart.onByte = this.onByte;
    uart.readUint32 = (offset) => {
      const value = read(offset);
      if (offset === 0) {
        this.feedUart(); // a place in the FIFO is free
      }
      return value;
    };
  }

  receive(bytes) {
    for (const byte of bytes) {
      this.received.push(byte);
    }
    this.feedUart();
  }

  /** Bytes wait outside while the FIFO of 32 is full, or the UART is not set up yet. */
  feedUart() {
    const uart = this.rp2040.uart[0];
    while (this.received.length > 0 && uart.enabled && !uart.rxFIFO.full) {
      uart.feedByte(this.received.shift());
    }
  }

  // --- start and resets -------------------------------------------------------------------------

  /** What the boot ROM does at each reset of the core; without a valid stage it stays in BOOTSEL. */
  startBootStage() {
    const { core, rp2040 } = this;
    const stage = rp2040.flash.subarray(0, BOOT_STAGE_BYTES);
    const stated = rp2040.flashView.getUint32(BOOT_STAGE_BYTES - 4, true);
    if (bootCrc(stage.subarray(0, BOOT_STAGE_BYTES - 4)) !== stated) {
      throw new Error('the second stage of the image has a wrong CRC: an RP2040 would not start it');
    }
    rp2040.sram.set(stage, BOOT_STAGE - SRAM);
    this.flash.leaveInPlace();
    core.registers.fill(0);
    core.VTOR = 0;
    core.PM = false;
    core.IPSR = 0;
    core.currentMode = 0;
    core.SPSEL = 0;
    core.pendingInterrupts = 0;
    core.enabledInterrupts = 0;
    core.pendingNMI = false;
    core.pendingSystick = false;
    core.pendingSVCall = false;
    core.pendingPendSV = false;
    core.waiting = false;
    rp2040.ppb.reset();
    core.SP = BOOT_STAGE;
    core.PC = BOOT_STAGE;
    this.lockedUp = false;
  }

  /** AIRCR resets the core alone (2.4.2.9), the watchdog all but memory and oscillators. */
  reset() {
    const kind = this.resetRequest;
    this.resetRequest = null;
    if (kind === 'watchdog') {
      this.powerUp(this.rp2040);
    }
    this.startBootStage();
    this.feedUart();
  }

  // --- execution --------------------------------------------------------------------------------

  /**
   * A fault in the handler of NMI or HardFault locks the core up, and one in reading the vector.
   * Elsewhere the handler is entered, also where its frame cannot be pushed, as on a stack that has
   * overflowed (DDI 0337E, 5.12.1).
   */
  takeFault(pc) {
    const { core } = this;
    if (core.IPSR === NMI || core.IPSR === HARDFAULT) {
      this.lockedUp = true;
      return;
    }
    core.PC = pc;
    this.pushes = true;
    try {
      core.exceptionEntry(HARDFAULT);
    } catch (error) {
      if (!(error instanceof Fault)) {
        throw error;
      }
      this.lockedUp = true;
    }
    this.pushes = false;
  }

  /** Executes up to `instructions`; false where the core waits for an interrupt, or is locked up. */
  run(instructions) {
    let left = instructions;
    while (left > 0) {
      if (this.resetRequest !== null) {
        this.reset();
      }
      if (this.core.waiting && this.wakes) {
        this.core.waiting = false;
      }
      if (this.core.waiting || this.lockedUp) {
        return false;
      }
      left = this.runUntilStopped(left);
    }
    return true;
  }

  runUntilStopped(instructions) {
    const { core, clock, rp2040 } = this;
    let pc = 0;
    let left = instructions;
    try {
      while (left > 0 && !core.waiting && !this.lockedUp && this.resetRequest === null) {
        left--;
        pc = core.registers[15];
        clock.tick((core.executeInstruction() * 1e9) / rp2040.clkSys);
      }
    } catch (error) {
      if (!(error instanceof Fault)) {
        throw error;
      }
      this.takeFault(pc);
    }
    return left;
  }

  /** Lets time pass without instructions, up to the next alarm. */
  sleep(nanos) {
    const { clock } = this;
    clock.tick(clock.nextAlarm === null ? nanos : Math.min(nanos, clock.nanosToNextAlarm));
  }
}

/** The emulator tells of instructions that it does not know; of registers that it ignores. */
class FaultingLogger {
  debug() {}
  info() {}
  warn(component, message) {
    if (component === 'CortexM0Core') {
      throw new Fault(message);
    }
    console.error(`${component}: ${message}`);
  }
  error(component, message) {
    console.error(`${component}: ${message}`);
  }
}
