// An answer's text while it streams: closed blocks as the server's HTML, the open one as plain text in its final frame.

/** @typedef {{index: number, kind: string, info: string, start: number}} OpenBlock */

export class Blocks {
  /** @param {HTMLElement} prose */
  constructor(prose) {
    this.prose = prose;
    this.reset();
  }

  /** Drop everything that was shown. */
  reset() {
    this.raw = "";
    /** @type {Map<number, HTMLElement>} */
    this.frames = new Map();
    /** @type {Set<number>} */
    this.closed = new Set();
    /** @type {OpenBlock & {text: Text, shown: string}|null} */
    this.current = null;
    this.hasBlocks = false;
    /** Nothing will tell blocks apart: the text is shown as it comes. */
    this.isPlain = false;
    this.prose.replaceChildren();
  }

  /** @param {string} text */
  append(text) {
    this.raw += text;
  }

  /** @param {OpenBlock} block */
  open({ index, kind, info, start }) {
    const isKnown = this.closed.has(index) || (this.hasBlocks && this.current && index <= this.current.index);
    if (isKnown) return;
    this.hasBlocks = true;
    this.#begin({ index, kind, info: info || "", start });
  }

  /** @param {{index: number, html: string}} block */
  close({ index, html }) {
    if (this.closed.has(index)) return;
    this.hasBlocks = true;
    const block = document.createElement("div");
    block.className = "block";
    block.innerHTML = html;
    this.#place(index, block);
    this.closed.add(index);
    if (this.current && this.current.index <= index) this.current = null;
  }

  /** @param {string} raw @param {string|undefined} html all blocks at once */
  replace(raw, html) {
    this.reset();
    this.raw = raw;
    this.isPlain = html === undefined;
    if (this.isPlain) return;
    this.hasBlocks = true;
    this.prose.innerHTML = html;
  }

  /**
   * Show what has arrived since the last call. An answer's first words wait until it is told what they open: shown as a
   * paragraph, the marks of a fence or a table would flicker by.
   * @param {boolean} isFinal nothing more will come
   */
  paint(isFinal = false) {
    if (!this.current && !this.hasBlocks && (this.isPlain || isFinal) && this.raw.trim()) {
      this.#begin({ index: 0, kind: "paragraph", info: "", start: 0 });
    }
    const block = this.current;
    if (!block) return;
    const text = visible(block.kind, this.raw.slice(block.start));
    if (text === block.shown) return;
    if (text.startsWith(block.shown)) block.text.appendData(text.slice(block.shown.length));
    else block.text.data = text;
    block.shown = text;
  }

  /** @param {OpenBlock} block */
  #begin(block) {
    const { frame, text } = frameFor(block.kind, block.info);
    this.#place(block.index, frame);
    this.current = { ...block, text, shown: "" };
  }

  /** Blocks stand in the order of their index, whatever order they came in. */
  #place(index, element) {
    const old = this.frames.get(index);
    if (old) {
      old.replaceWith(element);
    } else {
      const later = [...this.frames.keys()].filter((other) => other > index);
      const next = later.length ? this.frames.get(Math.min(...later)) : null;
      this.prose.insertBefore(element, next);
    }
    this.frames.set(index, element);
  }
}

/**
 * What of an open block is shown. The line that will end a fence or a formula is not part of it, so it never flickers by.
 * @param {string} kind @param {string} text
 */
function visible(kind, text) {
  if (kind === "fence") return text.replace(/(^|\n) {0,3}(`+|~+)[ \t]*$/, "");
  if (kind === "rule") return "";
  return text.replace(/\s+$/, (space) => (kind === "paragraph" || kind === "heading" ? "" : space.replace(/\n+$/, "")));
}

/**
 * @param {string} kind @param {string} info the language of a fence
 * @returns {{frame: HTMLElement, text: Text}}
 */
function frameFor(kind, info) {
  const text = document.createTextNode("");
  const frame = document.createElement("div");
  frame.className = "block";
  if (kind === "fence") {
    frame.append(codeFrame(info, text));
  } else {
    const [tag, className] = FRAMES[kind] || FRAMES.paragraph;
    const element = document.createElement(tag);
    element.className = `open-text ${className}`.trim();
    element.append(text);
    frame.append(element);
  }
  return { frame, text };
}

/** @type {Record<string, [string, string]>} */
const FRAMES = {
  paragraph: ["p", ""],
  html: ["p", ""],
  heading: ["h3", ""],
  list: ["div", "open-list"],
  quote: ["blockquote", ""],
  table: ["div", "table open-table"],
  math: ["div", "math-source"],
  rule: ["hr", ""],
};

/** @param {string} info @param {Text} text */
function codeFrame(info, text) {
  const figure = document.createElement("figure");
  figure.className = "code";
  const head = document.createElement("figcaption");
  head.className = "code-head";
  const language = document.createElement("span");
  language.className = "code-lang";
  language.textContent = info || "Text";
  head.append(language);
  const pre = document.createElement("pre");
  const code = document.createElement("code");
  code.className = "open-text";
  code.append(text);
  pre.append(code);
  figure.append(head, pre);
  return figure;
}
