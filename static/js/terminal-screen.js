// Draws a terminal's output in order: bytes, changes of size and new starts. Says what was drawn.

export class Screen {
  /**
   * terminal: an xterm.js Terminal. onDrawn(upto, isIdle): everything before this offset is on the screen; isIdle:
   * nothing more is waiting to be. isHidden(): the page is.
   */
  constructor(terminal, onDrawn, isHidden = () => false) {
    Object.assign(this, {terminal, onDrawn, isHidden, steps: [], writing: 0, received: null});
    // Up to where output is replayed: of what is drawn now, and of what arrives now.
    Object.assign(this, {drawn: 0, replayUpto: 0, cut: 0, isPrefix: false});
  }

  /** Start anew: what follows, up to an offset, is what the host printed before (scroll-back). */
  reset(from, replayUpto) {
    this.received = from;
    this.cut = replayUpto;
    this.replayUpto = Infinity;
    this.between(() => {
      this.terminal.reset();
      [this.drawn, this.replayUpto] = [from, replayUpto];
    });
  }

  /** Draw output. Bytes that were there already are passed over. Returns the count of bytes missing before these. */
  write(offset, bytes) {
    const missing = Math.max(0, offset - this.received);
    const fresh = bytes.subarray(Math.max(0, this.received - offset));
    if (!fresh.length) return 0;
    const end = offset + bytes.length;
    const old = Math.max(0, Math.min(fresh.length, this.cut - (end - fresh.length)));
    if (old) this.steps.push({bytes: fresh.subarray(0, old), upto: end - fresh.length + old});
    if (old < fresh.length) this.steps.push({bytes: fresh.subarray(old), upto: end});
    this.received = end;
    this.pump();
    return missing;
  }

  /** Draw bytes that are no part of the output: they bring back modes that were set before it begins. */
  prefix(bytes) {
    this.between(() => {
      this.isPrefix = true;
      this.put(bytes, () => (this.isPrefix = false));
    });
  }

  /** From here on the host draws for this size. */
  resize(columns, rows) {
    this.between(() => this.terminal.resize(columns, rows));
  }

  /** Whether what is drawn now is new, and not what was printed before this page attached. */
  get isLive() {
    return !this.isPrefix && this.drawn >= this.replayUpto;
  }

  /** Do something after all before it was drawn and before anything after it is. */
  between(step) {
    this.steps.push({step});
    this.pump();
  }

  pump() {
    while (this.steps.length) {
      const [{bytes, upto, step}] = this.steps;
      if (step && this.writing) return;
      this.steps.shift();
      if (step) step();
      else this.put(bytes, () => this.tell(upto));
    }
  }

  put(bytes, done) {
    this.writing++;
    // xterm.js draws from timers, which hardly run in a hidden page: the host would be held back, and programs with it.
    // After a key it does not wait; there is no public word for that.
    if (this.isHidden()) this.terminal._core._writeBuffer.handleUserInput();
    this.terminal.write(bytes, () => {
      this.writing--;
      done();
      // Not from inside xterm's own loop: a step may resize or reset the screen that is being written.
      if (!this.writing && this.steps.length) queueMicrotask(() => this.pump());
    });
  }

  tell(upto) {
    this.drawn = upto;
    this.onDrawn(upto, !this.writing && !this.steps.length);
  }
}
