// Schedules: the Send Command form goes to their page, and a new one is on the clock of this browser.
import {find, onAct, onContent} from "./dom.js";

export function startSchedules() {
  onAct("schedule", (button, event) => {
    // Past htmx, which would put the page into the run's panel.
    event.preventDefault();
    button.form.action = button.formAction;
    button.form.submit();
  });
  onContent(() => {
    const zone = find("[data-time-zone=here]");
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!zone || !here) return;
    zone.dataset.timeZone = "";
    zone.value = here;
  });
}
