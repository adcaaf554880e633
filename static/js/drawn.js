// Which parts of a run's panel have come since the last look, and whether they are the latest. No DOM.
//
// A part says of which revision of the run it is (data-drawn), and whether the socket sent it (data-live) or it was in the
// answer to a request.

export class Drawn {
  constructor() {
    this.known = new WeakSet();
    this.revision = -1;
  }

  /**
   * Take the parts that are on the page now. Returns {isDoubtful, opened}: whether the socket has to compare them anew, and
   * the part that says what is open, if it has just been asked for; a frame can be older than the row that was clicked.
   */
  take(parts) {
    const shown = this.revision;
    const fresh = parts.filter((part) => !this.known.has(part));
    for (const part of fresh) {
      this.known.add(part);
      this.revision = Math.max(this.revision, Number(part.dataset.drawn));
    }
    const answers = fresh.filter(({dataset}) => !("live" in dataset));
    // An answer can be older than the frames before it; its rows can be others than theirs at the same revision.
    const isDoubtful = answers.some(({id, dataset}) => id === "run-rows" || Number(dataset.drawn) < shown);
    return {isDoubtful, opened: answers.find(({id}) => id === "run-opened") ?? null};
  }
}
