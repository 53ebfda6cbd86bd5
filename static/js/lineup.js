// Which models will answer: the catalogue's checkboxes are the truth, the pills above the text show them.
import { recall, remember } from "./storage.js";

const MOST = 8;

export class Lineup {
  /** @param {string|null} conversationId @param {() => void} onChange */
  constructor(conversationId, onChange) {
    this.conversationId = conversationId;
    this.onChange = onChange;
    this.list = document.getElementById("lineup");
    /** @type {HTMLInputElement[]} */
    this.boxes = [...document.querySelectorAll("#catalogue input[name=model]")];
    /** Slugs in the order they were chosen. @type {string[]} */
    this.slugs = [];
    const server = (document.getElementById("composer").dataset.models || "").split(" ").filter(Boolean);
    this.#set(this.#known(recall(this.#key)) ?? server);
    for (const box of this.boxes) box.addEventListener("change", () => this.#toggle(box.value, box.checked));
    this.list.addEventListener("click", (event) => {
      const pill = /** @type {Element} */ (event.target).closest("[data-action=drop-model]")?.closest(".pill");
      if (pill instanceof HTMLElement) this.#drop(pill);
    });
  }

  get #key() {
    return `models:${this.conversationId ?? "new"}`;
  }

  /** @returns {HTMLInputElement[]} the chosen boxes, in order */
  get chosen() {
    return this.slugs.map((slug) => this.boxes.find((box) => box.value === slug));
  }

  /** @param {number} count take up to this many lanes, the chosen ones first */
  atLeast(count) {
    const others = this.boxes.map((box) => box.value).filter((slug) => !this.slugs.includes(slug));
    const wanted = Math.max(this.slugs.length, Math.min(count, MOST));
    this.#choose([...this.slugs, ...others].slice(0, wanted));
  }

  /** The chat that was new has an id now; its choice stays with it. @param {string} conversationId */
  settle(conversationId) {
    this.conversationId = conversationId;
    remember(this.#key, this.slugs);
  }

  /** @param {any} slugs @returns {string[]|null} those that are still offered */
  #known(slugs) {
    if (!Array.isArray(slugs)) return null;
    const offered = slugs.filter((slug) => this.boxes.some((box) => box.value === slug));
    return offered.length ? offered.slice(0, MOST) : null;
  }

  #toggle(slug, isOn) {
    this.#choose(isOn ? [...this.slugs, slug] : this.slugs.filter((other) => other !== slug));
  }

  /** @param {HTMLElement} pill */
  #drop(pill) {
    const next = pill.nextElementSibling ?? pill.previousElementSibling;
    const model = next instanceof HTMLElement ? next.dataset.model : undefined;
    this.#toggle(pill.dataset.model, false);
    // The keyboard's place moves on to the neighbour instead of falling to the page's start.
    const neighbour = model && this.list.querySelector(`[data-model="${CSS.escape(model)}"] [data-action]`);
    (neighbour instanceof HTMLElement ? neighbour : document.getElementById("add-model")).focus();
  }

  /** @param {string[]} slugs */
  #choose(slugs) {
    this.#set(slugs);
    remember(this.#key, this.slugs);
    this.onChange();
  }

  /** @param {string[]} slugs */
  #set(slugs) {
    this.slugs = slugs.filter((slug) => this.boxes.some((box) => box.value === slug));
    const isLast = this.slugs.length === 1;
    const isFull = this.slugs.length >= MOST;
    for (const box of this.boxes) {
      box.checked = this.slugs.includes(box.value);
      box.disabled = box.checked ? isLast : isFull;
    }
    this.list.querySelectorAll(".pill[data-model]").forEach((pill) => pill.remove());
    this.list.prepend(...this.chosen.map((box) => pillFor(box, isLast)));
    const count = document.getElementById("catalogue-count");
    count.textContent = isFull ? "Eight is the most" : isLast ? "One at least" : `${this.slugs.length} of at most ${MOST}`;
  }
}

/** @param {HTMLInputElement} box @param {boolean} isLast the last one cannot be removed */
function pillFor(box, isLast) {
  const blueprint = /** @type {HTMLTemplateElement} */ (document.getElementById("pill-blueprint"));
  const pill = /** @type {HTMLElement} */ (blueprint.content.cloneNode(true)).firstElementChild;
  const name = box.dataset.name;
  pill.dataset.model = box.value;
  pill.querySelector(".bar").dataset.hue = box.dataset.hue;
  pill.querySelector("[data-part=name]").textContent = name;
  const remove = pill.querySelector("[data-action]");
  remove.setAttribute("aria-label", `Remove ${name}`);
  remove.hidden = isLast;
  return pill;
}
