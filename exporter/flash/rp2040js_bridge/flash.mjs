// The flash beside an RP2040, a W25Q16JV, and what of the interface to it decides whether it can be
// read in place: rp2040js answers every access to the flash, set up or not.

// RP2040 datasheet, 4.10.13.
const CTRLR0 = 0x00;
const SSIENR = 0x08;
const SR = 0x28;
const DR0 = 0x60;
const SPI_CTRLR0 = 0xf4;
const SR_BITS = { txNotFull: 1 << 1, txEmpty: 1 << 2, rxNotEmpty: 1 << 3 };
const FIFO_FRAMES = 16;
const FRAME_OF_8_BITS = 7;
const QUAD_READ_32 = 0x005f0300; // quad, a read after a command, frames of 32 bits
const COMMAND_OF_8_BITS = 0x00002221; // then 32 bits of address and mode on four lines, 4 clocks
const NO_COMMAND = 0xa0002022; // mode bits, address and data on four lines

const SS_CTRL = 0x0c; // 2.19.6.2
const SS_FORCED = 3 << 8;
const SS_LOW = 2 << 8;

// W25Q16JV datasheet, 8.1.2.
const READ_STATUS_1 = 0x05;
const READ_STATUS_2 = 0x35;
const ENABLE_VOLATILE_WRITE = 0x50;
const WRITE_STATUS_2 = 0x31;
const READ_UNIQUE_ID = 0x4b;
const FAST_READ_QUAD = 0xeb;
const CONTINUOUS = 0xa0;
const QUAD_ENABLED = 2;

/** Replaces the registers of the interface, which rp2040js takes without effect. */
export class Flash {
  constructor(ssi, ioQspi, uniqueId) {
    this.uniqueId = uniqueId;
    this.status2 = 0;
    this.registers = new Map([[SSIENR, 0]]);
    this.selected = 0; // GPIO_QSPI_SS_CTRL
    this.command = []; // bytes since the chip was selected
    this.answers = [];
    this.volatileWrite = false;
    this.continuous = false;
    this.readable = false; // in place
    ssi.readUint32 = (offset) => this.read(offset);
    ssi.writeUint32 = (offset, value) => this.write(offset, value >>> 0);
    ioQspi.readUint32 = () => this.selected;
    ioQspi.writeUint32 = (offset, value) => {
      if (offset === SS_CTRL) {
        this.select(value & SS_FORCED);
      }
    };
  }

  select(value) {
    this.selected = value;
    this.command = [];
  }

  /** As the boot ROM leaves it for the second stage: frames of a byte, the flash awaits commands. */
  leaveInPlace() {
    this.continuous = false;
    this.readable = false;
    this.registers.set(SSIENR, 1).set(CTRLR0, FRAME_OF_8_BITS << 16);
    this.command = [];
    this.answers = [];
  }

  read(offset) {
    if (offset === DR0) {
      return this.answers.shift() ?? 0;
    }
    if (offset !== SR) {
      return this.registers.get(offset) ?? 0;
    }
    if (this.selected !== SS_LOW) {
      this.command = []; // all is sent: the interface has deselected the chip
    }
    const waits = this.answers.length > 0 ? SR_BITS.rxNotEmpty : 0;
    return SR_BITS.txNotFull | SR_BITS.txEmpty | waits;
  }

  write(offset, value) {
    if (offset === DR0) {
      this.send(value);
      return;
    }
    this.registers.set(offset, value);
    if (offset === SSIENR) {
      this.answers = []; // disabling it clears the FIFOs
      this.readable = value === 1 && this.continuous && this.isSetUp(NO_COMMAND);
    }
  }

  isSetUp(control) {
    return this.registers.get(CTRLR0) === QUAD_READ_32 && this.registers.get(SPI_CTRLR0) === control;
  }

  send(value) {
    if (this.registers.get(SSIENR) !== 1) {
      return;
    }
    if (this.isSetUp(COMMAND_OF_8_BITS)) {
      this.command.push(value);
      const quad = (this.status2 & QUAD_ENABLED) !== 0;
      const [command, mode] = this.command;
      this.continuous = quad && command === FAST_READ_QUAD && (mode & 0xff) === CONTINUOUS;
    } else if (this.answers.length < FIFO_FRAMES) {
      this.answers.push(this.exchange(value & 0xff));
    }
  }

  /** One byte there, one back; in continuous mode the flash takes commands for addresses. */
  exchange(byte) {
    if (this.continuous) {
      return 0xff;
    }
    this.command.push(byte);
    const [command] = this.command;
    const at = this.command.length - 1;
    if (at === 0) {
      const enabled = this.volatileWrite && command === WRITE_STATUS_2; // by the command before
      this.volatileWrite = enabled || command === ENABLE_VOLATILE_WRITE;
      return 0xff;
    }
    if (command === WRITE_STATUS_2 && at === 1 && this.volatileWrite) {
      this.status2 = byte;
    }
    if (command === READ_STATUS_1) {
      return 0;
    }
    if (command === READ_STATUS_2) {
      return this.status2;
    }
    return command === READ_UNIQUE_ID && at >= 5 ? (this.uniqueId[at - 5] ?? 0xff) : 0xff;
  }
}
