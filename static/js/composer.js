// Where a question is written: keys, growth, draft, Send and Stop. It does not know how a question travels.
import { Lineup } from "./lineup.js";
import { recall, remember } from "./storage.js";

/** @typedef {{message: string, models: string[], clientId: string}} Draft */
/** @typedef {{onSend: (draft: Draft) => void, onStop: () => void}} ComposerWatcher */

const SAVE_MS = 250;

export class Composer {
  /** @param {string|null} conversationId @param {ComposerWatcher} watcher */
  constructor(conversationId, watcher) {
    this.conversationId = conversationId;
    this.watcher = watcher;
    this.form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
    this.text = /** @type {HTMLTextAreaElement} */ (document.getElementById("message"));
    this.sendButton = /** @type {HTMLButtonElement} */ (document.getElementById("send"));
    this.stopButton = document.getElementById("stop");
    this.note = document.getElementById("not-sent");
    this.lineup = new Lineup(conversationId, () => this.#show());
    this.isStreaming = false;
    /** What was sent and not yet accepted; the same words go out again under the same id. @type {Draft|null} */
    this.unsettled = null;
    this.timer = 0;
    this.#restore();
    this.#listen();
    this.#show();
  }

  get #key() {
    return `draft:${this.conversationId ?? "new"}`;
  }

  #restore() {
    const saved = recall(this.#key);
    if (!saved || typeof saved.text !== "string") return;
    // What was typed before this script was there is newer than the draft.
    this.text.value ||= saved.text;
    if (saved.unsettled) this.unsettled = saved.unsettled;
    this.#grow();
  }

  #listen() {
    this.form.addEventListener("submit", (event) => (event.preventDefault(), this.send()));
    this.text.addEventListener("keydown", (event) => this.#pressed(event));
    this.text.addEventListener("input", () => this.#typed());
    this.stopButton.addEventListener("click", () => this.watcher.onStop());
    this.note.querySelector("[data-action=resend]").addEventListener("click", () => this.send());
    document.addEventListener("keydown", (event) => this.#escape(event));
    addEventListener("pagehide", () => this.#save());
    this.form.dataset.listens = "";
    // Sent before this script was there: see early.js. By then the page can hear of it.
    if (this.form.dataset.held !== undefined) setTimeout(() => this.send());
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    // 229 is what Safari reports for the Enter that ends a composition.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.send();
  }

  /** @param {KeyboardEvent} event */
  #escape(event) {
    const isBusy = event.defaultPrevented || event.isComposing || document.querySelector(":popover-open, .chat-rename");
    if (event.key === "Escape" && this.isStreaming && !isBusy) this.watcher.onStop();
  }

  #typed() {
    this.#grow();
    this.#show();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#save(), SAVE_MS);
  }

  #save() {
    clearTimeout(this.timer);
    const text = this.text.value;
    remember(this.#key, text || this.unsettled ? { text: text || this.unsettled.message, unsettled: this.unsettled } : null);
  }

  /** Send what is written, if it can be sent. */
  send() {
    const message = this.text.value;
    if (this.isStreaming || !message.trim() || !this.lineup.slugs.length) return;
    const draft = this.#draft(message);
    this.note.hidden = true;
    this.unsettled = draft;
    this.text.value = "";
    this.#grow();
    this.#save();
    this.#show();
    this.watcher.onSend(draft);
  }

  /** @param {string} message @returns {Draft} */
  #draft(message) {
    const models = [...this.lineup.slugs];
    const last = this.unsettled;
    const isSame = last && last.message === message && last.models.join() === models.join();
    return isSame ? last : { message, models, clientId: crypto.randomUUID() };
  }

  /** The question was accepted. @param {string} conversationId */
  settled(conversationId) {
    const oldKey = this.#key;
    this.unsettled = null;
    if (conversationId !== this.conversationId) {
      remember(oldKey, null);
      this.conversationId = conversationId;
      this.lineup.settle(conversationId);
    }
    this.#save();
  }

  /**
   * The question was not accepted: its text comes back.
   * @param {Draft} draft @param {string} reason @param {boolean} mayRepeat whether the very same may be accepted another time
   */
  failed(draft, reason, mayRepeat) {
    if (!this.text.value) this.text.value = draft.message;
    this.note.querySelector("[data-part=title]").textContent = `Not sent: ${reason}`;
    /** @type {HTMLElement} */ (this.note.querySelector(".note-acts")).hidden = !mayRepeat;
    this.note.hidden = false;
    this.#grow();
    this.#save();
    this.#show();
    this.text.focus();
  }

  /** @param {boolean} isStreaming Send becomes Stop */
  setStreaming(isStreaming) {
    if (this.isStreaming === isStreaming) return;
    const hadFocus = [this.sendButton, this.stopButton].includes(document.activeElement);
    this.isStreaming = isStreaming;
    this.#show();
    if (hadFocus) this.text.focus();
  }

  /** @param {string} message @param {number} lanes */
  fill(message, lanes) {
    this.text.value = message;
    this.lineup.atLeast(lanes);
    this.#typed();
    this.text.focus();
    this.text.setSelectionRange(message.length, message.length);
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
  }

  #show() {
    const chosen = this.lineup.chosen;
    this.stopButton.hidden = !this.isStreaming;
    this.sendButton.hidden = this.isStreaming;
    this.sendButton.disabled = !this.text.value.trim() || !chosen.length;
    const names = chosen.map((box) => box.dataset.name);
    this.text.placeholder = placeholder(names, this.conversationId !== null, this.isStreaming);
    document.getElementById("composer-cost").replaceChildren(...costWords(chosen));
    document.getElementById("composer-hint").textContent =
      this.isStreaming && this.text.value ? "Send when the answers are complete, or press Esc to stop them" : "Enter sends, Shift+Enter breaks the line";
  }
}

/** @param {string[]} names @param {boolean} isReply @param {boolean} isStreaming */
function placeholder(names, isReply, isStreaming) {
  if (!names.length) return "Choose a model first";
  if (isStreaming) return "Write the next message";
  if (!isReply) return "Ask anything";
  return names.length === 1 ? `Reply to ${names[0]}` : `Reply to all ${names.length}`;
}

/** Only what is known for certain before sending. @param {HTMLInputElement[]} chosen @returns {(Node|string)[]} */
function costWords(chosen) {
  if (!chosen.length || !chosen.every((box) => "simulated" in box.dataset)) return [];
  const word = document.createElement("b");
  const isFree = chosen.every((box) => "free" in box.dataset);
  word.textContent = isFree ? "Free" : "Simulated";
  return isFree ? [word, ", simulated"] : [word];
}
