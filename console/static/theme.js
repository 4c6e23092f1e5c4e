// Before anything is drawn: the theme that was chosen here earlier, else the system's.
(() => {
  const chosen = localStorage.getItem("scrip-theme");
  const light = chosen ? chosen === "light" : matchMedia("(prefers-color-scheme: light)").matches;
  document.documentElement.dataset.theme = light ? "light" : "dark";
})();
