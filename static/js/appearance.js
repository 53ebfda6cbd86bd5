// The theme switch of the account menu, and the sidebar's width. Applied before paint by theme.js.

const root = document.documentElement;
const WIDE = matchMedia("(width >= 860px)");

/** @param {string} key @param {string|null} value */
function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // The choice then lasts as long as the page.
  }
}

/** @param {string} theme "system", "light" or "dark" */
function setTheme(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  keep("switchboard:theme", theme === "system" ? null : theme);
}

function toggleSidebar() {
  const sidebar = document.getElementById("sidebar");
  if (!WIDE.matches) {
    sidebar.togglePopover();
    return;
  }
  const isRail = sidebar.getBoundingClientRect().width < 100;
  root.dataset.sidebar = isRail ? "open" : "rail";
  keep("switchboard:sidebar", root.dataset.sidebar);
}

export function startAppearance() {
  const current = root.dataset.theme || "system";
  for (const radio of document.querySelectorAll("input[name=theme]")) {
    radio.checked = radio.value === current;
    radio.addEventListener("change", () => setTheme(radio.value));
  }
  document.querySelector("[data-action=toggle-sidebar]")?.addEventListener("click", toggleSidebar);
  addEventListener("storage", (event) => {
    if (event.key !== "switchboard:theme") return;
    if (event.newValue) root.dataset.theme = event.newValue;
    else delete root.dataset.theme;
  });
}
