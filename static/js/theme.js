// Light or dark: the system's choice unless a person made one here. A plain script in the head, not a module,
// so that the page is never painted in the other theme first.
(() => {
  const root = document.documentElement;
  const KEY = "muster.theme";
  root.dataset.js = "";
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen) root.dataset.theme = chosen;
    if (sessionStorage.getItem("muster.maximised")) root.dataset.run = "maximised";
  } catch {
    // Storage is refused in some private windows; the system's theme will do.
  }
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-act=theme]")) return;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // Then it lasts as long as the page.
    }
  });
})();
