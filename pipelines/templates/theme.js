// The button between light and dark. In the head, so that a page opens in the colours that were chosen last.
// "themechange" is sent to the document when colours change, by the button or by the system.
(() => {
  "use strict";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  function remembered(value) {
    try {
      if (value) localStorage.setItem("glip-theme", value);
      return localStorage.getItem("glip-theme");
    } catch { return null; } // storage may be switched off for pages from disk
  }

  const last = remembered();
  if (last === "dark" || last === "light") root.dataset.theme = last;

  function changed() {
    const button = document.getElementById("theme");
    if (button) button.setAttribute("aria-pressed", String(dark()));
    document.dispatchEvent(new Event("themechange"));
  }

  system.addEventListener("change", changed);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      remembered(root.dataset.theme);
      changed();
    });
    changed();
  });
})();
