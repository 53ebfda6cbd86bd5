// The list of chats: refreshed on hints, renamed in place, deleted with a way back. htmx does the requests.
import { fetchFragment, post } from "./request.js";
import { showToast, takeLaterToast, toastLater } from "./toast.js";

const REFRESH_MS = 150;
const LONGEST = 200;

export class Sidebar {
  /** @param {() => string|null} openId the id of the chat on the page */
  constructor(openId) {
    this.openId = openId;
    this.list = document.getElementById("chats");
    this.menu = document.getElementById("chat-menu");
    /** @type {HTMLElement|null} the row whose menu is open */
    this.row = null;
    this.timer = 0;
  }

  start() {
    this.list.addEventListener("click", (event) => this.#remember(event));
    this.menu.addEventListener("toggle", (event) => this.#menuToggled(event));
    this.menu.querySelector("[data-action=rename-chat]").addEventListener("click", () => this.#rename());
    this.menu.querySelector("[data-action=delete-chat]").addEventListener("click", () => this.#delete());
    this.list.addEventListener("htmx:afterSettle", () => this.#markOpen());
    this.list.addEventListener("htmx:responseError", () => showToast({ text: "That did not work. Try again.", failed: true }));
    const notice = takeLaterToast();
    if (notice) this.#offerUndo(notice);
  }

  /** Fetch the list anew, soon; hints often come in bunches. */
  refresh() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#load(), REFRESH_MS);
  }

  /** A button that goes while it is pressed is never clicked. */
  get #isInUse() {
    return this.list.querySelector(".chat-rename, :active") !== null || this.menu.matches(":popover-open");
  }

  async #load() {
    if (this.#isInUse) return this.refresh();
    const count = Math.min(LONGEST, this.list.querySelectorAll(".chat-row").length);
    const focused = document.activeElement?.closest?.(".chat-row")?.id;
    try {
      const fragment = await fetchFragment(`${document.body.dataset.listUrl}?count=${count}`);
      if (this.#isInUse) return this.refresh(); // somebody began to rename while it was on its way
      const top = this.list.scrollTop;
      this.list.replaceChildren(fragment);
      window.htmx?.process(this.list);
      this.list.scrollTop = top;
    } catch {
      return; // the list stays as it was; the next hint tries again
    }
    this.#markOpen();
    if (focused) document.getElementById(focused)?.querySelector("a")?.focus({ preventScroll: true });
  }

  #markOpen() {
    const id = this.openId();
    for (const link of this.list.querySelectorAll(".chat[aria-current]")) link.removeAttribute("aria-current");
    const link = id && document.querySelector(`#chat-${CSS.escape(id)} .chat`);
    if (!link) return;
    link.setAttribute("aria-current", "page");
    showTitle(link.querySelector(".chat-title").textContent);
  }

  /** @param {MouseEvent} event */
  #remember(event) {
    const button = /** @type {Element} */ (event.target).closest(".chat-more");
    if (button) this.row = button.closest(".chat-row");
  }

  /** @param {ToggleEvent} event */
  #menuToggled(event) {
    this.row?.toggleAttribute("data-menu-open", event.newState === "open");
  }

  #rename() {
    const row = this.row;
    this.menu.hidePopover();
    const blueprint = /** @type {HTMLTemplateElement} */ (document.getElementById("rename-form"));
    const form = /** @type {HTMLFormElement} */ (blueprint.content.firstElementChild.cloneNode(true));
    const input = form.querySelector("input");
    const title = row.querySelector(".chat-title").textContent;
    const kept = [...row.childNodes];
    let isDone = false;
    const cancel = () => !isDone && (isDone = true, row.replaceChildren(...kept));
    form.setAttribute("hx-post", `${document.body.dataset.chatUrl}${row.dataset.chatId}/rename`);
    form.setAttribute("hx-target", `#${row.id}`);
    form.addEventListener("submit", () => (isDone = true));
    form.addEventListener("htmx:responseError", () => row.replaceChildren(...kept));
    input.value = title;
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") event.stopPropagation(), cancel(), row.querySelector("a").focus();
    });
    input.addEventListener("blur", () => {
      if (isDone) return;
      if (input.value.trim() && input.value !== title) form.requestSubmit();
      else cancel();
    });
    row.replaceChildren(form);
    window.htmx.process(form);
    input.focus();
    input.select();
  }

  async #delete() {
    const { row } = this;
    const id = row.dataset.chatId;
    const notice = { text: `“${row.querySelector(".chat-title").textContent}” is deleted.`, kind: "deleted", id };
    this.menu.hidePopover();
    try {
      await post(`${document.body.dataset.chatUrl}${id}/delete`);
    } catch {
      showToast({ text: "The chat could not be deleted. Try again.", failed: true });
      return;
    }
    if (id === this.openId()) {
      toastLater(notice);
      location.assign(document.body.dataset.chatUrl);
      return;
    }
    row.remove();
    this.#offerUndo(notice);
  }

  /** @param {{text: string, id: string}} notice */
  #offerUndo({ text, id }) {
    showToast({ text, action: "Undo", onAction: () => this.#restore(id) });
  }

  /** @param {string} id */
  async #restore(id) {
    try {
      await post(`${document.body.dataset.chatUrl}${id}/restore`);
      this.refresh();
    } catch {
      showToast({ text: "The chat could not be brought back. Try again.", failed: true });
    }
  }
}

/** @param {string} title of the open chat */
export function showTitle(title) {
  const heading = document.getElementById("chat-title");
  if (!heading || heading.textContent === title) return;
  heading.textContent = title;
  document.title = `${title} · Switchboard`;
}
