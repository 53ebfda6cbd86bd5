// One polite live region: what a person who cannot see the page should hear. Never tokens.

let pending = [];
let timer = 0;

/** @param {string} text */
export function announce(text) {
  pending.push(text);
  clearTimeout(timer);
  timer = setTimeout(() => {
    // Lanes that end together are told in one breath.
    document.getElementById("announcer").textContent = pending.join(". ");
    pending = [];
  }, 300);
}
