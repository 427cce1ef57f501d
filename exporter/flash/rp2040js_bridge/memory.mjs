// What an access of the core reaches: flash, memory, peripherals, or nothing, which is a fault.
// rp2040js answers what is nowhere with ones, and takes accesses that are not aligned.

import { ROM_BYTES } from './rom.mjs';

const FLASH = 0x10000000;
const FLASH_ALIASES = 0x04000000; // cached or not, allocating or not: all read the same bytes
const FLASH_OFFSET = 0x00ffffff;
export const SRAM = 0x20000000;
const USB_MEMORY = 0x50100000;
const USB_MEMORY_BYTES = 0x1000;
const SIO = 0xd0000000;
const SIO_BYTES = 0x1000;
const PPB_PAGE = 0xe000e;

/** Thrown where the core would take a HardFault; the instruction has no further effect. */
export class Fault extends Error {}

/** Gives the core of `machine` its six accesses, reads and writes of one, two and four bytes. */
export function connectMemory(machine) {
  const { core, rp2040 } = machine;
  const { flash, flashView, sram, sramView } = rp2040;
  const ofFlash = [
    (at) => flash[at],
    (at) => flashView.getUint16(at, true),
    (at) => flashView.getUint32(at, true),
  ];
  const ofSram = [
    (at) => sram[at],
    (at) => sramView.getUint16(at, true),
    (at) => sramView.getUint32(at, true),
  ];
  const toSram = [
    (at, value) => sramView.setUint8(at, value),
    (at, value) => sramView.setUint16(at, value, true),
    (at, value) => sramView.setUint32(at, value, true),
  ];
  [8, 16, 32].forEach((bits, index) => {
    core[`readUint${bits}`] = reader(machine, bits / 8, ofFlash[index], ofSram[index]);
    core[`writeUint${bits}`] = writer(machine, bits / 8, toSram[index]);
  });
}

function isFlash(address) {
  return address >= FLASH && address - FLASH < FLASH_ALIASES;
}

/** Whether a peripheral, or the core itself, is at an address. */
function isDevice(rp2040, address) {
  return (
    rp2040.findPeripheral(address) !== undefined ||
    address >>> 12 === PPB_PAGE ||
    (address >= SIO && address < SIO + SIO_BYTES) ||
    (address >= USB_MEMORY && address < USB_MEMORY + USB_MEMORY_BYTES)
  );
}

function refuse(what, address) {
  throw new Fault(`${what} at 0x${address.toString(16)}`);
}

function reader(machine, bytes, ofFlash, ofSram) {
  const { rp2040 } = machine;
  const device = rp2040[`readUint${8 * bytes}`].bind(rp2040);
  return (at) => {
    const address = at >>> 0;
    if (address & (bytes - 1)) {
      refuse('unaligned read', address);
    }
    if (isFlash(address)) {
      if (!machine.flash.readable) {
        refuse('read of a flash that is not set up', address);
      }
      return ofFlash(address & FLASH_OFFSET);
    }
    const place = address - SRAM;
    if (place >= 0 && place < rp2040.sram.length) {
      return ofSram(place);
    }
    if (!isDevice(rp2040, address) && address >= ROM_BYTES) {
      refuse('read', address);
    }
    return device(address);
  };
}

function writer(machine, bytes, toSram) {
  const { rp2040 } = machine;
  const device = rp2040[`writeUint${8 * bytes}`].bind(rp2040);
  return (at, value) => {
    const address = at >>> 0;
    const place = address - SRAM;
    if (address & (bytes - 1)) {
      refuse('unaligned write', address);
    } else if (place >= 0 && place < rp2040.sram.length) {
      toSram(place, value);
    } else if (isDevice(rp2040, address)) {
      device(address, value);
    } else if (!machine.pushes) {
      refuse('write', address);
    }
  };
}
