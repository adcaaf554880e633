// What is typed into a terminal, in order and exactly once. No DOM.
//
// Bytes are numbered from the opening of the terminal on. They are kept here until the host has them: after a lost
// connection the host says how far it came, and the rest is sent again from there.

/** Bytes in one record, on the way at a time, and waiting at most. */
export const RECORD = 16 * 1024;
export const IN_FLIGHT = 64 * 1024;
export const WAITING = 8 * 1024 * 1024;

export class Input {
  /** send(offset, bytes): put one record on the wire. */
  constructor(send) {
    this.send = send;
    this.begin(0);
    this.isOpen = false;
  }

  /**
   * Count from an offset on: a new writer. taken: up to where the host took what was typed before, which it does not
   * acknowledge byte for byte. written: up to where it was handed to the instance; the rest is still on its way.
   * Returns how many bytes the host did not take; they are thrown away.
   */
  begin(upto, taken = 0, written = upto) {
    const lost = this.records ? Math.max(0, this.end - Math.max(this.acked, taken)) : 0;
    Object.assign(this, {records: [], acked: written, sent: upto, end: upto, isOpen: true});
    return lost;
  }

  /** The same writer is connected again: the host has everything before this offset, the rest is sent (again). */
  resume(upto, written = upto) {
    if (upto < this.acked || upto > this.end) return this.begin(upto, 0, written);
    this.isOpen = true;
    this.sent = upto;
    this.acknowledge(written);
    return 0;
  }

  /** There is no connection: keep what is typed. */
  pause() {
    this.isOpen = false;
  }

  /** Not the writer any more. Returns how many bytes the host did not take; they are thrown away. */
  stop(taken) {
    const lost = this.begin(this.end, taken);
    this.isOpen = false;
    return lost;
  }

  get waiting() {
    return this.end - this.acked;
  }

  /** Take what was typed; false, and nothing of it is taken, when too much waits already. */
  type(bytes) {
    if (this.waiting + bytes.length > WAITING) return false;
    for (let at = 0; at < bytes.length; at += RECORD) {
      const part = bytes.slice(at, at + RECORD);
      this.records.push({offset: this.end, bytes: part});
      this.end += part.length;
    }
    this.pump();
    return true;
  }

  /** The host has everything before this offset. */
  acknowledge(upto) {
    if (upto > this.end) return;
    this.acked = Math.max(this.acked, upto);
    this.sent = Math.max(this.sent, this.acked);
    const done = this.records.findIndex(({offset, bytes}) => offset + bytes.length > this.acked);
    this.records.splice(0, done < 0 ? this.records.length : done);
    this.pump();
  }

  pump() {
    if (!this.isOpen) return;
    for (const {offset, bytes} of this.records) {
      const end = offset + bytes.length;
      if (end <= this.sent) continue;
      if (end - this.acked > IN_FLIGHT) break;
      // A record the host had the beginning of: only the rest.
      const from = Math.max(offset, this.sent);
      this.sent = end;
      this.send(from, bytes.subarray(from - offset));
    }
  }
}
