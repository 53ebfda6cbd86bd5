// The lanes of a chat as columns: their heads, their tabs on a phone, and a cell for each in every turn.
import { showStatus } from "./status.js";

/** @typedef {{slug: string, name: string, hue: string, position: number}} Column */

export class Columns {
  /** @param {HTMLElement} timeline @param {HTMLElement} turns */
  constructor(timeline, turns) {
    this.timeline = timeline;
    this.turns = turns;
    this.heads = document.getElementById("lane-heads");
    this.tabs = document.getElementById("lane-tabs");
    this.tabs.addEventListener("click", (event) => this.#jump(event));
    timeline.addEventListener("scroll", () => this.#followScroll(), { passive: true });
    this.refresh();
    this.#followScroll();
  }

  /** @returns {HTMLElement[]} */
  get all() {
    return /** @type {HTMLElement[]} */ ([...this.heads.children]);
  }

  /** @param {string} slug */
  forModel(slug) {
    return this.all.find((head) => head.dataset.model === slug);
  }

  /** Add a column at the right, with an empty cell in each turn there is. @param {Column} column */
  add({ slug, name, hue, position }) {
    for (const [list, blueprint] of [[this.heads, "head-blueprint"], [this.tabs, "tab-blueprint"]]) {
      const element = clone(blueprint);
      Object.assign(element.dataset, { model: slug, hue, lane: String(position) });
      element.querySelector("[data-part=name]").textContent = name;
      element.querySelector("[data-action=stop]")?.setAttribute("aria-label", `Stop ${name}`);
      list.append(element);
    }
    for (const cells of this.turns.querySelectorAll(".turn > .lanes")) cells.append(this.#absent(position, hue, name));
    this.refresh();
  }

  /** @param {number} position @param {string} hue @param {string} name */
  #absent(position, hue, name) {
    const cell = clone("absent-blueprint");
    Object.assign(cell.dataset, { lane: String(position), hue });
    cell.setAttribute("aria-label", name);
    return cell;
  }

  /** A column without any answer goes again (its question was never accepted). */
  prune() {
    for (const head of this.all) {
      const cells = [...this.turns.querySelectorAll(`.turn .lane[data-lane="${head.dataset.lane}"]`)];
      if (cells.some((cell) => cell.dataset.state !== "absent")) continue;
      cells.forEach((cell) => cell.remove());
      this.tabs.querySelector(`[data-lane="${head.dataset.lane}"]`)?.remove();
      head.remove();
    }
    this.refresh();
  }

  /** The server named another position than this page guessed. @param {string} from @param {string} to */
  renumber(from, to) {
    if (from === to) return;
    for (const root of [this.heads, this.tabs, this.turns]) {
      for (const element of root.querySelectorAll(`[data-lane="${from}"]`)) element.dataset.lane = to;
    }
  }

  /** Bring count and states of heads and tabs in line with the cells. */
  refresh() {
    const count = String(Math.max(1, this.heads.children.length));
    if (this.timeline.dataset.lanes !== count) {
      this.timeline.dataset.lanes = count;
      this.tabs.dataset.lanes = count;
    }
    document.querySelector(".app").toggleAttribute("data-wide", Number(count) >= 3);
    for (const head of this.all) this.showState(head.dataset.lane);
    this.#followScroll();
  }

  /** Head and tab tell the state of the lane's last answer. @param {string} position */
  showState(position) {
    const cells = [...this.turns.querySelectorAll(`.turn .lane[data-lane="${position}"]`)];
    const last = cells.filter((cell) => cell.dataset.state !== "absent").at(-1);
    const state = last?.dataset.word || last?.dataset.state || "absent";
    const head = this.heads.querySelector(`[data-lane="${position}"]`);
    if (!head) return;
    const seconds = last?.dataset.seconds;
    showStatus(head.querySelector("[data-part=status]"), state, { seconds });
    const isLive = ["waiting", "thinking", "streaming"].includes(state);
    head.querySelector("[data-action=stop]").hidden = !isLive;
    const tab = this.tabs.querySelector(`[data-lane="${position}"] [data-part=status]`);
    showStatus(tab, state, { seconds, brief: true });
  }

  /** @param {MouseEvent} event */
  #jump(event) {
    const tab = /** @type {Element} */ (event.target).closest("a");
    if (!tab) return;
    event.preventDefault();
    const index = [...this.tabs.children].indexOf(tab);
    const smooth = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    this.timeline.scrollTo({ left: index * this.#width, behavior: smooth });
  }

  get #width() {
    return this.timeline.scrollWidth / Math.max(1, this.tabs.children.length);
  }

  #followScroll() {
    const index = Math.round(this.timeline.scrollLeft / this.#width);
    [...this.tabs.children].forEach((tab, position) => {
      if (position !== index) tab.removeAttribute("aria-current");
      else if (!tab.hasAttribute("aria-current")) tab.setAttribute("aria-current", "true");
    });
  }
}

/** @param {string} id of a `<template>` @returns {HTMLElement} */
export function clone(id) {
  const blueprint = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (blueprint.content.firstElementChild.cloneNode(true));
}
