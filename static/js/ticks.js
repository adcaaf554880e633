// Counts the time of what runs on, and of what is awaited down, between the frames of the server, which come only when something changed.
import {findAll, onContent} from "./dom.js";
import {duration} from "./durations.js";

const EVERY_MS = 1000;
// When each began, or is over, by this page's clock: the server's clock may be another.
const began = new WeakMap();

export function startTicks() {
  onContent(() => {
    for (const place of leaving()) if (!began.has(place)) began.set(place, now() + Number(place.dataset.leftS));
    for (const place of running()) if (!began.has(place)) began.set(place, now() - Number(place.dataset.runningS));
  });
  setInterval(() => {
    for (const place of running()) {
      const text = duration(Math.floor(now() - began.get(place)));
      if (place.textContent !== text) place.textContent = text;
    }
    for (const place of leaving()) {
      const text = duration(Math.max(0, Math.ceil(began.get(place) - now())));
      if (place.textContent !== text) place.textContent = text;
    }
  }, EVERY_MS);
}

const now = () => performance.now() / 1000;
const leaving = () => findAll("[data-left-s]");
const running = () => findAll("[data-running-s]");
