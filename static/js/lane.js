// One answer on its way: takes its generation's events, each once and in order, and draws them.
import { Blocks } from "./blocks.js";
import { EventOrder } from "./event_order.js";
import { facts, seconds } from "./facts.js";

/** @typedef {import("./event_order.js").StreamEvent} StreamEvent */
/** @typedef {import("./status.js").LaneState} LaneState */
/** @typedef {{onChange: (lane: Lane) => void, onGap: (lane: Lane) => void}} LaneWatcher */

const BROKE_OFF = "The answer broke off here. What arrived is kept.";
const HELD_BACK =
  "Your workspace’s safety rules hold back the rest of this answer. “Why this model” names the rule.";
const STOPPED = "Stopped by you, partial answer kept.";
const STOPPED_EARLY = "Stopped before the first word.";

export class Lane {
  /** @param {HTMLElement} element a `.lane` that waits @param {LaneWatcher} watcher */
  constructor(element, watcher) {
    this.element = element;
    this.watcher = watcher;
    this.generationId = element.dataset.generationId || "";
    this.name = element.getAttribute("aria-label") || "";
    /** @type {LaneState} */
    this.state = "waiting";
    this.seconds = "";
    this.reasoning = "";
    this.tools = new Map();
    this.hadText = false;
    this.frame = 0;
    this.blocks = new Blocks(this.part("prose"));
    this.order = new EventOrder(
      (event) => this.#apply(event),
      () => watcher.onGap(this),
    );
  }

  /** @param {string} name @returns {HTMLElement} */
  part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }

  /** @returns {boolean} whether more may come */
  get isLive() {
    return !this.order.finished;
  }

  /** @returns {string|null} */
  get lastId() {
    return this.order.lastId;
  }

  /** @param {StreamEvent} event */
  deliver(event) {
    this.order.accept(event);
  }

  /** Stop was asked for; the stream itself says when it has stopped. */
  markStopping() {
    if (this.isLive) this.#enter("stopping");
  }

  /** The stream cannot be had any more. @param {string} reason */
  abandon(reason) {
    if (!this.isLive) return;
    this.order.finished = true;
    this.#fail({ type: "message.error", id: "", message: reason });
  }

  /** @param {StreamEvent} event */
  #apply(event) {
    switch (event.type) {
      case "message.started":
        return this.#restart(this.hadText ? "The answer was lost on its way and begins again." : "");
      case "message.restarted":
        return this.#restart("This provider gave up in mid-answer. Another one begins again.");
      case "token.delta":
        return this.#text(event.text);
      case "reasoning.delta":
        return this.#think(event.text);
      case "tool.call.started":
      case "tool.call.completed":
        return this.#tool(event);
      case "block.open":
        this.blocks.open(event);
        return this.#paintSoon();
      case "block.html":
        this.blocks.close(event);
        return this.#paintSoon();
      case "message.snapshot":
        return this.#snapshot(event);
      case "message.completed":
        return this.#complete(event);
      case "message.error":
        return this.#fail(event);
    }
  }

  /** @param {string} note why the text so far is gone; empty on a first start */
  #restart(note) {
    this.blocks.reset();
    this.reasoning = "";
    this.tools.clear();
    const place = this.part("restart");
    place.textContent = note;
    place.hidden = !note;
    this.part("reasoning").hidden = true;
    this.part("tools").hidden = true;
    if (this.state !== "stopping") this.#enter("waiting");
  }

  /** @param {string} text */
  #text(text) {
    this.hadText = true;
    this.blocks.append(text);
    if (this.state === "waiting" || this.state === "thinking") {
      this.part("restart").hidden = true;
      this.part("reasoning-label").textContent = "Thought first";
      this.#enter("streaming");
    }
    this.#paintSoon();
  }

  /** @param {string} text */
  #think(text) {
    this.reasoning += text;
    if (this.state === "waiting") {
      this.part("reasoning-label").textContent = "Thinking";
      this.#enter("thinking");
    }
    this.part("reasoning").hidden = false;
    this.#paintSoon();
  }

  /** @param {StreamEvent} event */
  #tool({ call_id: callId, name, arguments: given }) {
    this.tools.set(callId, `${name}(${given ?? "…"})`);
    this.part("tools").hidden = false;
    this.part("tools-label").textContent =
      this.tools.size === 1 ? `Called ${name}` : `Called ${this.tools.size} tools`;
    this.part("tools-text").textContent = [...this.tools.values()].join("\n");
  }

  /** @param {StreamEvent} event */
  #snapshot({ text, reasoning, html }) {
    this.blocks.replace(text, html);
    this.hadText = this.hadText || text !== "";
    this.reasoning = reasoning || "";
    this.part("reasoning").hidden = !this.reasoning;
    this.part("restart").hidden = true;
    if (text && this.state !== "stopping") this.#enter("streaming");
    this.#paintSoon();
  }

  /** @param {StreamEvent} event */
  #complete(event) {
    const state = { completed: "done", cancelled: "stopped", partial: "partial" }[event.state] || "done";
    if (event.timings?.total_ms != null) this.seconds = seconds(event.timings.total_ms);
    this.#end(/** @type {LaneState} */ (state));
    if (state === "stopped") this.#outcome("stopped", this.blocks.raw ? STOPPED : STOPPED_EARLY);
    if (state === "partial") this.#outcome("partial", event.finish_reason === "content_filter" ? HELD_BACK : BROKE_OFF);
    this.#facts(event);
  }

  /** @param {StreamEvent} event */
  #fail(event) {
    this.#end("failed");
    this.#outcome("failed", `${this.name} could not answer.`, event.message);
    this.#facts(event);
  }

  /** @param {LaneState} state */
  #end(state) {
    this.paint(true);
    this.part("restart").hidden = true;
    this.part("reasoning-label").textContent = "Thought first";
    this.part("raw").content.textContent = this.blocks.raw;
    this.element.removeAttribute("aria-busy");
    this.element.querySelector("[data-action=copy-answer]").hidden = !this.blocks.raw;
    this.#enter(state);
  }

  /** @param {string} kind @param {string} title @param {string} [text] */
  #outcome(kind, title, text = "") {
    const blueprint = /** @type {HTMLTemplateElement} */ (document.getElementById(`${kind}-blueprint`));
    const outcome = this.part("outcome");
    outcome.replaceChildren(blueprint.content.cloneNode(true));
    outcome.querySelector("[data-part=outcome-title]").textContent = title;
    const place = outcome.querySelector("[data-part=outcome-text]");
    if (place) place.textContent = text;
  }

  /** @param {StreamEvent} event */
  #facts(event) {
    const spans = facts(event).map((line) => {
      const span = document.createElement("span");
      span.textContent = line;
      return span;
    });
    this.part("facts").replaceChildren(...spans);
    if (event.route?.cache) this.part("facts").append(linkTo("retry", "Ask anew"));
    // The explanation itself is drawn by the server; it is fetched when somebody asks.
    if (event.route && Object.keys(event.route).length) this.part("facts").append(linkTo("why", "Why this model"));
  }

  /** @param {LaneState} state */
  #enter(state) {
    if (this.state === state && this.element.dataset.state === shown(state)) return;
    this.state = state;
    this.element.dataset.state = shown(state);
    if (this.seconds) this.element.dataset.seconds = this.seconds;
    this.watcher.onChange(this);
  }

  #paintSoon() {
    if (this.frame) return;
    // A hidden tab gets no animation frames, and must still hold all text when it is looked at.
    if (document.hidden) this.frame = setTimeout(() => this.paint(), 200);
    else this.frame = requestAnimationFrame(() => this.paint());
  }

  /** Draw what has arrived. @param {boolean} isFinal nothing more will come */
  paint(isFinal = false) {
    this.frame = 0;
    this.blocks.paint(isFinal);
    const place = this.part("reasoning-text");
    if (place.textContent !== this.reasoning) appendText(place, this.reasoning);
  }
}

/** What the style sheet knows: finer states are words only. @param {LaneState} state */
function shown(state) {
  return { thinking: "waiting", stopping: "streaming", partial: "stopped" }[state] || state;
}

/** @param {string} action as chat.js knows it @param {string} words */
function linkTo(action, words) {
  const button = document.createElement("button");
  button.className = "link";
  button.type = "button";
  button.dataset.action = action;
  button.textContent = words;
  return button;
}

/** @param {HTMLElement} place @param {string} text */
function appendText(place, text) {
  const node = place.firstChild;
  if (node instanceof Text && text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else place.textContent = text;
}
