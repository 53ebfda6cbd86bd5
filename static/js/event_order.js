// Puts one generation's events in order. Ids are `<fence>-<seq>`, contiguous within a fence: what was seen before is
// dropped, what comes early waits, and a gap that stays is reported.

const TERMINAL = new Set(["message.completed", "message.error"]);
const DERIVED = new Set(["block.open", "block.html"]);
const GAP_MS = 1500;

/** @typedef {{type: string, id: string, [field: string]: any}} StreamEvent */

export class EventOrder {
  /**
   * @param {(event: StreamEvent) => void} apply called once per event, in order
   * @param {() => void} onGap something is missing after `lastId`
   */
  constructor(apply, onGap) {
    this.apply = apply;
    this.onGap = onGap;
    this.fence = 0;
    this.seq = -1;
    this.finished = false;
    /** Derived events at or before this seq belong to text that was dropped. */
    this.restartSeq = -1;
    /** @type {StreamEvent[]} */
    this.waiting = [];
    this.timer = 0;
    this.reportedGap = "";
  }

  /** @returns {string|null} the last id that was applied */
  get lastId() {
    return this.fence > 0 ? `${this.fence}-${this.seq}` : null;
  }

  /** @param {StreamEvent} event */
  accept(event) {
    if (this.finished) return;
    const [fence, seq] = event.id.split("-").map(Number);
    if (!this.#take(event, fence, seq)) return;
    this.#drain();
  }

  /** @returns {boolean} whether it moved the position */
  #take(event, fence, seq) {
    if (fence < this.fence) return false;
    if (event.type === "message.snapshot") return this.#snapshot(event, fence, seq);
    if (event.type === "message.started" && fence > this.fence) return this.#advance(event, fence, seq);
    if (fence > this.fence) return this.#hold(event);
    if (DERIVED.has(event.type)) return this.#derived(event, seq);
    // After a snapshot the terminal event may carry the snapshot's own id.
    if (TERMINAL.has(event.type) && seq === this.seq) return this.#advance(event, fence, seq);
    if (seq <= this.seq) return false;
    return seq === this.seq + 1 ? this.#advance(event, fence, seq) : this.#hold(event);
  }

  #advance(event, fence, seq) {
    const isNewFence = fence > this.fence;
    this.fence = fence;
    this.seq = seq;
    if (isNewFence) this.restartSeq = -1;
    if (event.type === "message.restarted") this.restartSeq = seq;
    if (TERMINAL.has(event.type)) this.finished = true;
    this.apply(event);
    return true;
  }

  #snapshot(event, fence, seq) {
    if (fence === this.fence && seq < this.seq) return false;
    return this.#advance(event, fence, seq);
  }

  /** Blocks are told by index and may be told twice; they come with the id of the delta that follows them. */
  #derived(event, seq) {
    if (seq <= this.restartSeq) return false;
    if (seq > this.seq + 1) return this.#hold(event);
    this.apply(event);
    return false;
  }

  #hold(event) {
    this.waiting.push(event);
    if (!this.timer) this.timer = setTimeout(() => this.#gap(), GAP_MS);
    return false;
  }

  #drain() {
    let moved = true;
    while (moved && this.waiting.length && !this.finished) {
      moved = false;
      const held = this.waiting.sort(byId);
      this.waiting = [];
      for (const event of held) {
        const [fence, seq] = event.id.split("-").map(Number);
        if (this.finished) break;
        if (this.#take(event, fence, seq)) moved = true;
      }
    }
    if (!this.waiting.length || this.finished) {
      clearTimeout(this.timer);
      this.timer = 0;
      this.waiting = [];
    }
  }

  #gap() {
    this.timer = 0;
    if (!this.waiting.length || this.finished) return;
    if (this.reportedGap !== this.lastId) {
      this.reportedGap = this.lastId;
      this.timer = setTimeout(() => this.#gap(), 2 * GAP_MS);
      this.onGap();
      return;
    }
    // Asked again and still not there: go on with what there is rather than stand still.
    const next = this.waiting.sort(byId)[0];
    const [fence, seq] = next.id.split("-").map(Number);
    this.fence = fence;
    this.seq = seq - 1;
    this.#drain();
  }
}

/** @param {StreamEvent} a @param {StreamEvent} b */
function byId(a, b) {
  const [fenceA, seqA] = a.id.split("-").map(Number);
  const [fenceB, seqB] = b.id.split("-").map(Number);
  return fenceA - fenceB || seqA - seqB || Number(DERIVED.has(b.type)) - Number(DERIVED.has(a.type));
}
