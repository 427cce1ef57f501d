// Runs an image on an emulated RP2040: node bridge.mjs MODULES SERIAL CONTROL
//
// MODULES is the folder with rp2040js; SERIAL and CONTROL are descriptors of connected stream sockets.
// CONTROL brings the length of the flash's content, four bytes, little endian, then the content; once
// the machine is complete it takes the line "ready". SERIAL is UART0. The end of SERIAL is the end.

import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { join } from 'node:path';

import { Machine } from './machine.mjs';

const SLICE_INSTRUCTIONS = 50_000; // between two looks at the sockets: some milliseconds
const LONGEST_SLEEP_MS = 1000;

function connect(descriptor) {
  const socket = new Socket({ fd: Number(descriptor), readable: true, writable: true });
  socket.on('error', () => process.exit(1));
  return socket;
}

/** The content of the flash, from CONTROL. */
function readImage(control) {
  const giveUp = () => process.exit(0);
  return new Promise((resolve) => {
    let data = Buffer.alloc(0);
    control.on('data', (chunk) => {
      data = Buffer.concat([data, chunk]);
      if (data.length >= 4 && data.length >= 4 + data.readUInt32LE(0)) {
        control.off('end', giveUp);
        resolve(data.subarray(4));
      }
    });
    control.on('end', giveUp);
  });
}

/** Runs the machine whenever it has something to do; asleep, its time is ours. */
class Runner {
  constructor(serial, RP2040, image) {
    this.serial = serial;
    this.sent = [];
    this.asleepSince = null;
    this.timeout = null;
    this.machine = new Machine(RP2040, image, (byte) => this.sent.push(byte));
    serial.on('data', (chunk) => this.receive(chunk));
    serial.on('end', () => process.exit(0));
    setImmediate(() => this.step());
  }

  receive(chunk) {
    this.wake();
    this.machine.receive(chunk);
  }

  step() {
    const busy = this.machine.run(SLICE_INSTRUCTIONS);
    if (this.sent.length > 0) {
      this.serial.write(Buffer.from(this.sent));
      this.sent.length = 0;
    }
    if (busy) {
      setImmediate(() => this.step());
    } else {
      this.fallAsleep();
    }
  }

  fallAsleep() {
    const { clock } = this.machine;
    const nanos = clock.nextAlarm === null ? Infinity : clock.nanosToNextAlarm;
    this.asleepSince = process.hrtime.bigint();
    const milliseconds = Math.min(Math.ceil(nanos / 1e6), LONGEST_SLEEP_MS);
    this.timeout = setTimeout(() => this.wake(), milliseconds);
  }

  wake() {
    if (this.asleepSince !== null) {
      const nanos = Number(process.hrtime.bigint() - this.asleepSince);
      this.asleepSince = null;
      clearTimeout(this.timeout);
      this.machine.sleep(nanos);
      setImmediate(() => this.step());
    }
  }
}

const [modules, serialDescriptor, controlDescriptor] = process.argv.slice(2);
const { RP2040 } = createRequire(join(modules, 'index.js'))('rp2040js');
const control = connect(controlDescriptor);
const image = await readImage(control);
new Runner(connect(serialDescriptor), RP2040, image);
control.end('ready\n');
