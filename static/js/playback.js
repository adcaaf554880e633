// Plays a recording on a screen: at a speed, from any time on. No DOM.
import {readSize} from "./cast.js";

export const IDLE_S = 2;
const WRITE = 512 * 1024;
const TICK_MS = 33;
// A tab that slept goes on where it was.
const LONGEST_TICK_S = 0.5;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Playback {
  /**
   * cast: a Cast. screen: {reset(), resize(columns, rows), write(text) → promise once it is drawn}.
   * onChange(): something about it changed. now(), wait(ms): the clock.
   */
  constructor(cast, screen, {onChange = () => {}, now = () => performance.now(), wait = pause} = {}) {
    Object.assign(this, {cast, screen, onChange, now, wait});
    Object.assign(this, {position: 0, drawn: null, speed: 1, skipsIdle: false});
    Object.assign(this, {isPlaying: false, isSeeking: false, isEnded: false, turn: 0, error: null});
    this.work = Promise.resolve();
  }

  /** Show the beginning, or what was there at a time. */
  start(at = 0) {
    return this.seek(at);
  }

  play() {
    if (this.isPlaying) return;
    this.isPlaying = true;
    if (this.isEnded) this.seek(0);
    else this.enter((isOurs) => this.run(isOurs));
  }

  pause() {
    this.isPlaying = false;
    this.onChange();
  }

  /** Go to a time: on from here, or from the start when it lies behind. What was drawn once is not kept. */
  seek(time) {
    this.isSeeking = true;
    this.isEnded = false;
    this.position = Math.max(0, time);
    return this.enter(async (isOurs) => {
      if (this.drawn === null || this.position < this.drawn) await this.restart();
      await this.drawUpto(this.position, isOurs);
      if (!isOurs()) return;
      this.isSeeking = false;
      if (this.isPlaying) await this.run(isOurs);
    });
  }

  /** How much of the way to where it is sought is done, in tenths. */
  get progress() {
    return this.position ? Math.floor((10 * (this.drawn ?? 0)) / this.position) : 0;
  }

  /** Do one thing at a time; a later one makes the earlier leave off. */
  enter(what) {
    const turn = ++this.turn;
    const isOurs = () => turn === this.turn;
    this.onChange();
    this.work = this.work.then(async () => {
      if (!isOurs()) return;
      try {
        await what(isOurs);
      } catch (error) {
        Object.assign(this, {error, isPlaying: false, isSeeking: false});
      }
      this.onChange();
    });
    return this.work;
  }

  /** Stop for good. */
  close() {
    this.turn++;
    this.isPlaying = false;
  }

  async restart() {
    this.cast.rewind();
    const {width, height} = await this.cast.open();
    this.drawn = 0;
    this.screen.reset();
    this.screen.resize(width, height);
  }

  async run(isOurs) {
    let before = this.now();
    while (this.isPlaying && isOurs()) {
      await this.drawUpto(this.position, isOurs);
      this.isSeeking = false;
      const next = await this.cast.peek();
      if (!isOurs()) return;
      if (!next) {
        Object.assign(this, {isPlaying: false, isEnded: true});
        return;
      }
      this.onChange();
      await this.wait(TICK_MS);
      const now = this.now();
      this.position += Math.min(LONGEST_TICK_S, (now - before) / 1000) * this.speed;
      before = now;
      if (this.skipsIdle && this.position > this.drawn + IDLE_S) this.position = Math.max(this.position, next.time);
    }
  }

  /** Draw everything up to a time, in parts that the screen takes at once. */
  async drawUpto(time, isOurs) {
    let text = "";
    const flush = async () => {
      if (text) await this.screen.write(text);
      text = "";
      if (this.isSeeking) this.onChange();
    };
    for (;;) {
      const event = await this.cast.peek();
      if (!isOurs() || !event || event.time > time) break;
      this.cast.take();
      this.drawn = event.time;
      const size = event.kind === "r" && readSize(event.data);
      if (size || text.length > WRITE) await flush();
      if (size) this.screen.resize(size.columns, size.rows);
      else if (event.kind === "o") text += event.data;
    }
    await flush();
  }
}
