// The turns of the open chat. Draws what this tab asked, takes over what the server drew, and follows what runs.
import { announce } from "./announce.js";
import { keepBeside } from "./beside.js";
import { clone, Columns } from "./columns.js";
import { Lane } from "./lane.js";
import { fetchFragment } from "./request.js";
import { showStatus } from "./status.js";

/** @typedef {import("./transport.js").Transport} Transport */
/** @typedef {import("./transport.js").Accepted} Accepted */

export class Timeline {
  /** @param {Transport} transport @param {(isStreaming: boolean) => void} onStreaming */
  constructor(transport, onStreaming) {
    this.transport = transport;
    this.onStreaming = onStreaming;
    this.view = document.getElementById("timeline");
    this.turns = document.getElementById("turns");
    this.columns = new Columns(this.view, this.turns);
    keepBeside(this.view, this.turns);
    /** @type {Map<string, Lane>} by generation id */
    this.live = new Map();
    this.pendingTurns = 0;
  }

  /** Follow what was running when the server drew the page. */
  start() {
    for (const cell of this.turns.querySelectorAll(".lane[data-generation-id]")) this.#adopt(cell);
    this.#tellStreaming();
  }

  /** @returns {string|null} */
  get lastTurnId() {
    const turns = [...this.turns.querySelectorAll(".turn[data-turn-id]")].filter((turn) => turn.dataset.turnId);
    return turns.at(-1)?.dataset.turnId ?? null;
  }

  /** @param {string} turnId */
  turn(turnId) {
    return document.getElementById(`turn-${turnId}`);
  }

  /**
   * One's own question, before the server has seen it.
   * @param {string} message @param {HTMLInputElement[]} models the catalogue's boxes
   * @returns {HTMLElement} the turn
   */
  addQuestion(message, models) {
    this.reveal();
    for (const box of models) this.#ensureColumn(box.value, box.dataset.name, box.dataset.hue);
    const turn = clone("turn-blueprint");
    turn.removeAttribute("id");
    turn.querySelector("[data-part=question]").textContent = message;
    const asked = new Set(models.map((box) => this.columns.forModel(box.value)));
    turn.querySelector(".lanes").replaceChildren(...this.columns.all.map((head) => cellFor(head, asked.has(head))));
    this.turns.append(turn);
    this.pendingTurns += 1;
    this.columns.refresh();
    this.#tellStreaming();
    return turn;
  }

  /** The server has accepted the question. @param {HTMLElement} turn @param {Accepted} accepted */
  confirm(turn, accepted) {
    this.pendingTurns -= 1;
    if (this.turn(accepted.turn_id)) {
      turn.remove(); // a hint was faster and the turn stands here already
      return this.#tellStreaming();
    }
    turn.id = `turn-${accepted.turn_id}`;
    turn.dataset.turnId = accepted.turn_id;
    for (const generation of accepted.generations) {
      const cell = turn.querySelector(`.lane[data-model="${CSS.escape(generation.model)}"]:not([data-generation-id])`);
      if (!cell) continue;
      this.columns.renumber(cell.dataset.lane, String(generation.lane));
      this.#identify(cell, generation.generation_id, generation.message_id);
      this.#adopt(cell, true);
    }
    this.#tellStreaming();
  }

  /** The question was refused. @param {HTMLElement} turn */
  withdraw(turn) {
    this.pendingTurns -= 1;
    turn.remove();
    this.columns.prune();
    this.#tellStreaming();
  }

  /** Draw what another tab or device did. @param {string} url of turns as HTML */
  async merge(url) {
    const fragment = await fetchFragment(url);
    for (const head of fragment.querySelectorAll(".lane-head")) this.#ensureHead(head);
    for (const turn of fragment.querySelectorAll(".turn")) this.#mergeTurn(turn);
    this.columns.refresh();
    this.#tellStreaming();
    return fragment;
  }

  /** Put earlier turns above. @param {HTMLElement} button */
  async showOlder(button) {
    const place = document.getElementById("older");
    button.setAttribute("disabled", "");
    const fragment = await fetchFragment(button.dataset.url);
    place.replaceWith(...fragment.querySelectorAll("#older, .turn"));
  }

  /** @param {string} [generationId] one lane, or all */
  stop(generationId) {
    const lanes = generationId ? [this.live.get(generationId)] : [...this.live.values()];
    for (const lane of lanes) {
      if (!lane) continue;
      lane.markStopping();
      this.transport.cancel(lane.generationId).catch(() => this.transport.resubscribe(lane.generationId));
    }
  }

  /** A fresh answer takes the cell's place. @param {HTMLElement} cell @param {{generation_id: string, message_id: string}} accepted */
  restart(cell, accepted) {
    const head = this.columns.all.find((other) => other.dataset.lane === cell.dataset.lane);
    const fresh = cellFor(head, true);
    this.#identify(fresh, accepted.generation_id, accepted.message_id);
    cell.replaceWith(fresh);
    this.#adopt(fresh);
    this.columns.refresh();
    this.#tellStreaming();
  }

  /** Show the timeline in the place of the greeting. */
  reveal() {
    document.getElementById("hello")?.remove();
    this.view.hidden = false;
  }

  #ensureColumn(slug, name, hue) {
    if (this.columns.forModel(slug)) return;
    const positions = this.columns.all.map((head) => Number(head.dataset.lane));
    this.columns.add({ slug, name, hue, position: Math.max(0, ...positions) + 1 });
  }

  /** @param {HTMLElement} head drawn by the server */
  #ensureHead(head) {
    const { lane, model, hue } = head.dataset;
    if (this.columns.all.some((other) => other.dataset.lane === lane)) return;
    const name = head.querySelector("[data-part=name]").textContent;
    this.columns.add({ slug: model, name, hue, position: Number(lane) });
  }

  /** @param {HTMLElement} turn drawn by the server */
  #mergeTurn(turn) {
    const here = this.turn(turn.dataset.turnId);
    if (!here) {
      this.reveal();
      this.turns.append(turn);
      for (const cell of turn.querySelectorAll(".lane[data-generation-id]")) this.#adopt(cell);
      return;
    }
    for (const cell of turn.querySelectorAll(".lane[data-generation-id]")) {
      const old = here.querySelector(`.lane[data-lane="${cell.dataset.lane}"]`);
      if (!old || !isNewer(cell, old)) continue;
      this.#forget(old);
      old.replaceWith(cell);
      this.#adopt(cell);
    }
  }

  /** @param {HTMLElement} cell */
  #forget(cell) {
    const { generationId } = cell.dataset;
    if (!generationId || !this.live.delete(generationId)) return;
    this.transport.unfollow(generationId);
  }

  /** @param {HTMLElement} cell @param {string} generationId @param {string} messageId */
  #identify(cell, generationId, messageId) {
    Object.assign(cell.dataset, { generationId, messageId });
  }

  /** Follow a running answer from its start. @param {HTMLElement} cell */
  #adopt(cell, isSubscribed = false) {
    const { generationId } = cell.dataset;
    if (cell.dataset.state !== "waiting" || this.live.has(generationId)) return;
    const lane = new Lane(cell, {
      onChange: (changed) => this.#changed(changed),
      onGap: (gapped) => this.transport.resubscribe(gapped.generationId),
    });
    this.live.set(generationId, lane);
    this.#changed(lane);
    this.transport.follow(generationId, lane, { isSubscribed });
  }

  /** @param {Lane} lane */
  #changed(lane) {
    const cell = lane.element;
    cell.dataset.word = lane.state;
    const single = lane.isLive && lane.state !== "streaming" ? lane.state : "absent";
    showStatus(cell.querySelector(".answer-head [data-part=status]"), single);
    this.columns.showState(cell.dataset.lane);
    if (lane.isLive) return;
    this.live.delete(lane.generationId);
    announce(ENDINGS[lane.state](lane.name));
    this.#tellStreaming();
  }

  #tellStreaming() {
    this.onStreaming(this.live.size > 0 || this.pendingTurns > 0);
  }
}

/** @type {Record<string, (name: string) => string>} */
const ENDINGS = {
  done: (name) => `Answer from ${name} finished`,
  stopped: (name) => `Answer from ${name} stopped`,
  partial: (name) => `Answer from ${name} broke off`,
  failed: (name) => `${name} could not answer`,
};

/** @param {HTMLElement} head @param {boolean} isAsked */
function cellFor(head, isAsked) {
  const cell = clone(isAsked ? "lane-blueprint" : "absent-blueprint");
  const { lane, model, hue } = head.dataset;
  const name = head.querySelector("[data-part=name]").textContent;
  Object.assign(cell.dataset, { lane, model, hue });
  cell.setAttribute("aria-label", name);
  const place = cell.querySelector("[data-part=name]");
  if (place) place.textContent = name;
  return cell;
}

/** Generation ids grow with time. @param {HTMLElement} cell @param {HTMLElement} old */
function isNewer(cell, old) {
  return (cell.dataset.generationId || "") > (old.dataset.generationId || "");
}
