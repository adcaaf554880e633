// Calls back once before the next painting, however often it was asked to.

const HIDDEN_MS = 250;

export class Frame {
  constructor(callback) {
    this.callback = callback;
    this.leaving = new AbortController();
    // A frame asked for before the tab was hidden would only come when it is shown again.
    document.addEventListener("visibilitychange", () => this.restart(), {signal: this.leaving.signal});
  }

  soon() {
    if (this.cancel) return;
    const call = () => {
      this.cancel = null;
      this.callback();
    };
    // Animation frames stop in a hidden tab; output that is not drawn there is not acknowledged, and the server gives up.
    if (document.hidden) {
      const timer = setTimeout(call, HIDDEN_MS);
      this.cancel = () => clearTimeout(timer);
    } else {
      const frame = requestAnimationFrame(call);
      this.cancel = () => cancelAnimationFrame(frame);
    }
  }

  restart() {
    if (!this.cancel) return;
    this.cancel();
    this.cancel = null;
    this.soon();
  }

  /** Never call back again. */
  close() {
    this.leaving.abort();
    this.cancel?.();
    this.soon = () => {};
  }
}
