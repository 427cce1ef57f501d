// A stand-in for the boot ROM: its table of functions, found as the real one's are, and the four that
// firmware here calls. Each is a trap that the machine serves.

// RP2040 datasheet, 2.8.3: magic "Mu", 1 and a version; pointers of 16 bits.
const MAGIC_AT = 0x10;
const FUNCTION_TABLE_AT = 0x14;
const LOOKUP_AT = 0x18;
const LOOKUP = 0x40;
const TABLE = 0x80;
const FIRST_FUNCTION = 0x100;
const UDF = 0xde00;
const BX_LR = 0x4770;

export const ROM_BYTES = 0x4000;

/** The functions by the numbers of their traps. */
export const ROM_CALLS = ['IF', 'EX', 'FC', 'UB'];

// r0: the table, r1: two letters; r0 then is the function, 0 where there is none.
const LOOKUP_CODE = [
  0x8802, // 1: ldrh r2, [r0]
  0x2a00, //    cmp r2, #0
  0xd005, //    beq 3f
  0x428a, //    cmp r2, r1
  0xd001, //    beq 2f
  0x3004, //    adds r0, #4
  0xe7f8, //    b 1b
  0x8840, // 2: ldrh r0, [r0, #2]
  0x4770, //    bx lr
  0x2000, // 3: movs r0, #0
  0x4770, //    bx lr
];

/** The ROM's content. */
export function romImage() {
  const rom = new DataView(new ArrayBuffer(ROM_BYTES));
  const put = (address, halfword) => rom.setUint16(address, halfword, true);
  rom.setUint32(MAGIC_AT, 0x0301754d, true);
  put(FUNCTION_TABLE_AT, TABLE);
  put(LOOKUP_AT, LOOKUP | 1);
  LOOKUP_CODE.forEach((halfword, index) => put(LOOKUP + 2 * index, halfword));
  ROM_CALLS.forEach((name, index) => {
    const address = FIRST_FUNCTION + 4 * index;
    put(TABLE + 4 * index, name.charCodeAt(0) | (name.charCodeAt(1) << 8));
    put(TABLE + 4 * index + 2, address | 1);
    put(address, UDF | index);
    put(address + 2, BX_LR);
  });
  return new Uint32Array(rom.buffer);
}
