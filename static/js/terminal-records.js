// The binary frames of a terminal's socket, one record each, big endian: u8 kind | u64 offset | bytes. No DOM.

/** What is typed goes to the host and output comes from it; a frame's direction says which it is. */
export const BYTES = 1;
const HEADER = 9;

/** Return the frame that carries bytes from this offset on. */
export function makeRecord(offset, bytes) {
  const frame = new Uint8Array(HEADER + bytes.length);
  const head = new DataView(frame.buffer);
  head.setUint8(0, BYTES);
  head.setBigUint64(1, BigInt(offset));
  frame.set(bytes, HEADER);
  return frame;
}

/** Return {kind, offset, bytes}. Throws RangeError when the frame is cut short. */
export function readRecord(buffer) {
  const head = new DataView(buffer);
  return {kind: head.getUint8(0), offset: Number(head.getBigUint64(1)), bytes: new Uint8Array(buffer, HEADER)};
}
