// Scrolling of a log: which rows are in view, following the end, and going to a line.

// Firefox stops at 17.9 million pixels and Chromium at 33.5; above this the scroll bar stands for a fraction.
const MAX_HEIGHT_PX = 8e6;
const OVERSCAN_ROWS = 40;

/** Owns the scroll position of the element. onMove is called when a person scrolled, onFollow when following changed. */
export class LogScroll {
  constructor({root, spacer, rows, onMove, onFollow}) {
    Object.assign(this, {root, spacer, rows, onFollow, isFollowing: true, ownTop: NaN});
    this.rowHeight = parseFloat(getComputedStyle(root).lineHeight) || 18;
    root.addEventListener("scroll", () => {
      const {scrollTop, clientHeight, scrollHeight} = root;
      // Our own scrolling must not be taken for a person's, or following would stop itself. Told by the place: one event
      // may stand for both, and a flag would swallow the person's.
      if (Math.abs(scrollTop - this.ownTop) <= 1) return;
      this.ownTop = NaN;
      this.follow(scrollTop + clientHeight >= scrollHeight - this.rowHeight * 1.5);
      onMove();
    }, {passive: true});
  }

  get isWrapped() {
    return this.root.classList.contains("log--wrap");
  }

  get visibleRows() {
    return Math.ceil(this.root.clientHeight / this.rowHeight);
  }

  follow(isOn) {
    if (this.isFollowing === isOn) return;
    this.isFollowing = isOn;
    this.onFollow();
  }

  /** Return which rows of `count` are to exist: {mode, from, upto}. mode "whole" has no window, nor a fixed height. */
  window(count, isWhole) {
    if (isWhole) return {mode: "whole", from: 0, upto: count};
    const height = this.root.clientHeight;
    const total = this.totalHeight(count);
    // Wrapped rows have no known height, a shortened scroll bar no exact place: both go by fraction.
    const mode = this.isWrapped || total === MAX_HEIGHT_PX ? "fraction" : "exact";
    this.spacer.style.height = `${Math.max(total, height)}px`;
    if (this.isFollowing) this.to(total);
    const fraction = total > height ? Math.min(1, this.root.scrollTop / (total - height)) : 0;
    if (mode === "fraction") {
      const from = Math.round(fraction * Math.max(0, count - this.visibleRows));
      return {mode, from, upto: Math.min(count, from + this.visibleRows + 2)};
    }
    const top = Math.floor(this.root.scrollTop / this.rowHeight);
    return {mode, from: Math.max(0, top - OVERSCAN_ROWS), upto: Math.min(count, top + this.visibleRows + OVERSCAN_ROWS)};
  }

  /** Put the rows that exist where they belong. */
  place({mode, from}) {
    this.rows.classList.toggle("log__lines--whole", mode === "whole");
    if (mode === "whole") {
      this.spacer.style.height = this.rows.style.transform = "";
      if (this.isFollowing) this.to(this.root.scrollHeight);
      return;
    }
    const {scrollTop, clientHeight} = this.root;
    const top =
      mode === "exact" ? from * this.rowHeight
      : this.isFollowing ? scrollTop + clientHeight - this.rows.offsetHeight
      : scrollTop;
    this.rows.style.transform = `translateY(${top}px)`;
  }

  totalHeight(count) {
    return Math.min(count * this.rowHeight, MAX_HEIGHT_PX);
  }

  to(top) {
    const bounded = Math.max(0, Math.min(top, this.root.scrollHeight - this.root.clientHeight));
    if (Math.abs(this.root.scrollTop - bounded) <= 1) return;
    this.root.scrollTop = bounded;
    this.ownTop = this.root.scrollTop;
  }

  /** Keep what is read where it is when rows appeared (or went) above it. */
  shift(rowCount) {
    if (!this.isFollowing && rowCount) this.to(this.root.scrollTop + rowCount * this.rowHeight);
  }

  /** Bring one of `count` rows into view. */
  toRow(place, count, isWhole) {
    const row = isWhole ? this.rows.children[place] : null;
    const total = this.totalHeight(count);
    if (row) this.to(row.offsetTop - 4 * this.rowHeight);
    else if (total < MAX_HEIGHT_PX && !this.isWrapped) this.to((place - 4) * this.rowHeight);
    else this.to((place / count) * (total - this.root.clientHeight));
  }

  /** The first row that is seen. */
  get topRow() {
    const edge = this.root.getBoundingClientRect().top + 1;
    return [...this.rows.children].find((row) => row.getBoundingClientRect().bottom > edge);
  }
}
