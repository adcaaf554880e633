// The page of a recording: plays it in a terminal that nothing can be typed into.
import {Cast} from "./cast.js";
import {find, findAll, onContent} from "./dom.js";
import {clock} from "./durations.js";
import {Playback} from "./playback.js";
import {changeSize, openTerminal} from "./terminal-look.js";

const STEP_S = 5;

class Player {
  constructor(root) {
    this.root = root;
    this.look = openTerminal(find("[data-player-screen]", root), {cursorBlink: false, disableStdin: true});
    const {terminal} = this.look;
    this.duration = Number(root.dataset.duration) || 0;
    this.bar = find("[data-player-bar]", root);
    this.time = find("[data-player-time]", root);
    const screen = {
      reset: () => terminal.reset(),
      resize: (columns, rows) => terminal.resize(columns, rows),
      write: (text) => new Promise((done) => terminal.write(text, done)),
    };
    this.playback = new Playback(new Cast(root.dataset.src), screen, {onChange: () => this.show()});
    this.connect(terminal);
    this.playback.start(Number(new URLSearchParams(location.search).get("at")) || 0);
  }

  connect(terminal) {
    const {playback, root, bar} = this;
    const act = (name, callback) => find(`[data-act=player-${name}]`, root).addEventListener("click", callback);
    act("play", () => this.toggle());
    act("larger", () => changeSize(terminal, 1));
    act("smaller", () => changeSize(terminal, -1));
    find("[data-player-speed]", root).addEventListener("change", ({target}) => (playback.speed = Number(target.value)));
    find("[data-player-idle]", root).addEventListener("change", ({target}) => (playback.skipsIdle = target.checked));
    bar.addEventListener("input", () => {
      this.isDragging = true;
      this.showTime(Number(bar.value));
    });
    bar.addEventListener("change", () => {
      this.isDragging = false;
      playback.seek(Number(bar.value));
    });
    const keys = {
      " ": () => this.toggle(),
      ArrowLeft: () => playback.seek(playback.position - STEP_S),
      ArrowRight: () => playback.seek(Math.min(this.duration, playback.position + STEP_S)),
      PageUp: () => terminal.scrollPages(-1),
      PageDown: () => terminal.scrollPages(1),
    };
    // No key is the terminal's: Tab leaves it, and the browser copies.
    terminal.attachCustomKeyEventHandler((event) => {
      const action = !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
      if (action) event.preventDefault();
      if (action && event.type === "keydown") action();
      return false;
    });
  }

  toggle() {
    if (this.playback.isPlaying) this.playback.pause();
    else this.playback.play();
  }

  show() {
    const {isPlaying, isEnded, position} = this.playback;
    for (const element of findAll("[data-player-shows]", this.root)) {
      element.hidden = (element.dataset.playerShows === "playing") !== isPlaying;
    }
    const state = this.state();
    const said = find("[data-player-said]", this.root);
    if (said.textContent !== state) said.textContent = state;
    if (!this.isDragging) this.showTime(isEnded ? this.duration : position);
  }

  state() {
    const {error, isEnded, isSeeking, progress} = this.playback;
    if (error) return `It could not be read: ${error.message}`;
    // Tenths: it is also read out.
    if (isSeeking) return progress ? `Seeking… ${progress}0 %` : "Seeking…";
    return isEnded ? "The end." : "";
  }

  showTime(seconds) {
    const shown = Math.min(seconds, this.duration);
    if (!this.isDragging) this.bar.value = shown;
    const text = `${clock(shown)} / ${clock(this.duration)}`;
    if (this.time.textContent === text) return;
    this.time.textContent = text;
    this.bar.setAttribute("aria-valuetext", text.replace("/", "of"));
  }

  close() {
    this.playback.close();
    this.look.dispose();
  }
}

let player = null;

onContent(() => {
  const root = find("[data-player]");
  if (player && player.root !== root) {
    player.close();
    player = null;
  }
  if (root && !player) player = new Player(root);
});
