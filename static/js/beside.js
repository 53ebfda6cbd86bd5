// Tells each lane's style how tall its answer is, so that a short one can stay in view beside a long one.

/** @param {HTMLElement} turns whose lanes are watched, those that come later too */
export function keepBeside(turns) {
  const sizes = new ResizeObserver((entries) => {
    for (const { target, borderBoxSize } of entries) {
      /** @type {HTMLElement} */ (target).style.setProperty("--tall", `${Math.ceil(borderBoxSize[0].blockSize)}px`);
    }
  });
  // Lists of turns and of cells alone: a look at every word that comes would cost more than drawing it.
  const lists = new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(watch)));

  /** @param {Node} node a turn or a lane */
  function watch(node) {
    if (!(node instanceof HTMLElement)) return;
    if (node.matches(".lane")) sizes.observe(node);
    for (const cells of node.querySelectorAll(":scope > .lanes")) {
      lists.observe(cells, { childList: true });
      cells.childNodes.forEach(watch);
    }
  }

  lists.observe(turns, { childList: true });
  turns.childNodes.forEach(watch);
}
