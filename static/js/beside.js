// Says which answers are taller than the view, so that a short one can stay in it beside a long one (timeline.css).

/** @param {HTMLElement} view what scrolls @param {HTMLElement} turns whose lanes are watched, those that come later too */
export function keepBeside(view, turns) {
  const heads = document.getElementById("lane-heads");
  const sizes = new ResizeObserver((entries) => {
    const hasView = entries.some((entry) => entry.target === view);
    const lanes = hasView ? turns.querySelectorAll(".turn .lane") : entries.map((entry) => entry.target);
    const room = view.clientHeight - heads.offsetHeight;
    const isTall = [...lanes].map((lane) => /** @type {HTMLElement} */ (lane).offsetHeight > room);
    [...lanes].forEach((lane, place) => lane.toggleAttribute("data-tall", isTall[place]));
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

  sizes.observe(view);
  lists.observe(turns, { childList: true });
  turns.childNodes.forEach(watch);
}
