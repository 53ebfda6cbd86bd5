// Runs before the first paint: theme and sidebar as this person left them, and the clock's zone for the server.
(() => {
  const root = document.documentElement;
  const read = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage may be forbidden; the system's theme is fine
    }
  };
  const theme = read("switchboard:theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const sidebar = read("switchboard:sidebar");
  if (sidebar === "open" || sidebar === "rail") root.dataset.sidebar = sidebar;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  // Over HTTPS under a name that no neighbouring host can plant.
  const [name, only] = location.protocol === "https:" ? ["__Host-timezone", ";secure"] : ["timezone", ""];
  if (zone) document.cookie = `${name}=${encodeURIComponent(zone)};path=/;max-age=31536000;samesite=lax${only}`;
})();
