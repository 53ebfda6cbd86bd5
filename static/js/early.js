// Runs while the page is still being read: a question that is sent before the composer listens is held for it.
(() => {
  /** @param {Event} event */
  const hold = (event) => {
    const form = /** @type {HTMLElement|null} */ (event.target)?.closest?.("#composer");
    if (!form || form.dataset.listens !== undefined) return;
    event.preventDefault();
    form.dataset.held = "";
  };
  document.addEventListener("submit", hold);
  document.addEventListener("keydown", (event) => {
    const typed = event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
    if (typed && /** @type {HTMLElement} */ (event.target).id === "message") hold(event);
  });
})();
