// Reads a recording (asciicast v2: a header, then one JSON array a line) in parts, so that its size does not matter.

const PART = 1024 * 1024;
const NEWLINE = 10;

/** What a line of a recording says: {time, kind, data}; kind is "o" (output) or "r" (a size). Null for any other. */
export function readEvent(line) {
  const event = parse(line);
  if (!Array.isArray(event)) return null;
  const [time, kind, data] = event;
  if (!Number.isFinite(time) || typeof data !== "string" || (kind !== "o" && kind !== "r")) return null;
  return {time, kind, data};
}

/** The size an "r" event names, or null. */
export function readSize(data) {
  const match = /^(\d{1,4})x(\d{1,4})$/.exec(data);
  return match && {columns: Number(match[1]), rows: Number(match[2])};
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    // The last line of a recording that was cut off; nothing can be made of it.
    return null;
  }
}

export class Cast {
  /** address: of the recording; request: as fetch. */
  constructor(address, request = (...args) => fetch(...args)) {
    Object.assign(this, {address, request});
    this.rewind();
  }

  /** Read from the beginning (again). */
  rewind() {
    Object.assign(this, {at: 0, total: Infinity, tail: new Uint8Array(), lines: [], line: 0});
    this.body?.cancel();
    Object.assign(this, {header: null, event: null, body: null});
  }

  /** Return the header: {width, height}. Throws when it is none of a recording. */
  async open() {
    if (!this.header) {
      const header = parse((await this.nextLine()) ?? "");
      if (header?.version !== 2) throw new Error("This is not a recording.");
      this.header = header;
    }
    return this.header;
  }

  /** Return the next event without taking it, or null at the end. */
  async peek() {
    await this.open();
    while (!this.event) {
      const line = await this.nextLine();
      if (line === null) return null;
      this.event = readEvent(line);
    }
    return this.event;
  }

  take() {
    this.event = null;
  }

  async nextLine() {
    while (this.line >= this.lines.length) {
      const bytes = await this.nextPart();
      if (bytes) this.split(bytes);
      else if (!this.tail.length) return null;
      else this.split(Uint8Array.of(NEWLINE));
    }
    return this.lines[this.line++];
  }

  split(bytes) {
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    const whole = join(this.tail, bytes.subarray(0, end));
    this.tail = end ? bytes.slice(end) : join(this.tail, bytes);
    this.lines = end ? new TextDecoder().decode(whole).split("\n").filter(Boolean) : [];
    this.line = 0;
  }

  /** Return the next bytes, or null at the end. */
  async nextPart() {
    if (this.body) return this.nextOfBody();
    if (this.at >= this.total) return null;
    const answer = await this.request(this.address, {headers: {Range: `bytes=${this.at}-${this.at + PART - 1}`}});
    if (answer.status === 416) return null;
    if (answer.status === 200 && this.at === 0) {
      // A server that sends it as a whole: taken as it comes.
      this.body = answer.body.getReader();
      return this.nextOfBody();
    }
    if (answer.status !== 206) throw new Error(`The console answered with status ${answer.status}.`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const total = /\/(\d+)$/.exec(answer.headers.get("Content-Range") ?? "")?.[1];
    this.total = total ? Number(total) : Infinity;
    this.at += bytes.length;
    return bytes.length ? bytes : null;
  }

  async nextOfBody() {
    const {value, done} = await this.body.read();
    return done ? null : value;
  }
}

function join(one, other) {
  if (!one.length) return other;
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}
