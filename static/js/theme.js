// Runs before the first paint, so that the page never flashes in the other theme.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const apply = () => { root.dataset.bsTheme = stored() ?? (system.matches ? "dark" : "light"); };
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  apply();
})();
