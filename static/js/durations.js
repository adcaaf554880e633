// How durations look, as the filter "took" of the server has it. No DOM.

const [MINUTE, HOUR, DAY] = [60, 3600, 86400];
const two = (number) => String(number).padStart(2, "0");

/** Return whole seconds in the two units that matter: 7 s, 3 min 04 s, 2 h 10 min, 1 d 3 h. */
export function duration(seconds) {
  const whole = (unit, of = seconds) => Math.floor(of / unit);
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${whole(MINUTE)} min ${two(seconds % MINUTE)} s`;
  if (seconds < DAY) return `${whole(HOUR)} h ${two(whole(MINUTE, seconds % HOUR))} min`;
  return `${whole(DAY)} d ${whole(HOUR, seconds % DAY)} h`;
}

/** Return a time in a recording as clocks show it: 0:07, 1:02:03. */
export function clock(seconds) {
  const all = Math.floor(seconds);
  const minutes = Math.floor((all % HOUR) / MINUTE);
  return all < HOUR ? `${minutes}:${two(all % MINUTE)}` : `${Math.floor(all / HOUR)}:${two(minutes)}:${two(all % MINUTE)}`;
}
