// Reads the binary frames of the socket. No DOM.
//
// A frame holds many records, big endian: u8 kind | u32 channel | u64 offset | u32 length | bytes.

export const STDOUT = 1;
export const STDERR = 2;
export const GAP = 3;
const HEADER = 17;

/** Return the records of a frame: {kind, channel, offset, bytes}. Throws RangeError when it is cut short. */
export function readRecords(buffer) {
  const view = new DataView(buffer);
  const records = [];
  let at = 0;
  while (at < buffer.byteLength) {
    const length = view.getUint32(at + 13);
    if (at + HEADER + length > buffer.byteLength) throw new RangeError("A record is longer than its frame.");
    records.push({
      kind: view.getUint8(at),
      channel: view.getUint32(at + 1),
      offset: Number(view.getBigUint64(at + 5)),
      bytes: new Uint8Array(buffer, at + HEADER, length),
    });
    at += HEADER + length;
  }
  return records;
}

/** Return how many bytes of the log a record stands for: a gap says so itself. */
export function spanOf({kind, bytes}) {
  if (kind !== GAP) return bytes.length;
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
}
