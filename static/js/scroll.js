// Keeps the newest words in view while the reader is at the end, and never otherwise.

const NEAR_PX = 6;

export class Scroller {
  /** @param {HTMLElement} view the scrolling element @param {HTMLElement} content @param {HTMLElement} jump */
  constructor(view, content, jump) {
    this.view = view;
    this.jump = jump;
    this.isPinned = true;
    this.lastTop = view.scrollTop;
    view.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    view.addEventListener("wheel", (event) => event.deltaY < 0 && this.#reachUp(), { passive: true });
    view.addEventListener("keydown", (event) => UP_KEYS.has(event.key) && this.#reachUp());
    jump.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#grown()).observe(content);
    new ResizeObserver(() => this.#grown()).observe(view);
  }

  /** Go to the newest words and stay with them. */
  toEnd() {
    this.isPinned = true;
    this.#follow();
    this.#showJump();
  }

  get #gap() {
    return this.view.scrollHeight - this.view.clientHeight - this.view.scrollTop;
  }

  /** The reader wants to go up: let go at once, before the first pixel. */
  #reachUp() {
    if (this.view.scrollTop <= 0) return;
    this.isPinned = false;
    this.#showJump();
  }

  #scrolled() {
    const { scrollTop } = this.view;
    const wentUp = scrollTop < this.lastTop;
    const isNear = this.#gap <= NEAR_PX;
    this.lastTop = scrollTop;
    // Going up lets go, however slowly; shrinking content at the end does not, and only going down takes hold again.
    if (wentUp && !isNear) this.isPinned = false;
    else if (!wentUp && isNear) this.isPinned = true;
    this.#showJump();
  }

  #grown() {
    if (this.isPinned) this.#follow();
    this.#showJump();
  }

  #follow() {
    this.view.scrollTop = this.view.scrollHeight;
    this.lastTop = this.view.scrollTop;
  }

  #showJump() {
    this.jump.hidden = this.isPinned || this.#gap <= NEAR_PX;
  }
}

const UP_KEYS = new Set(["PageUp", "ArrowUp", "Home"]);
