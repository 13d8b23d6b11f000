/* data-menu="side": on narrow screens the side menu comes and goes. The page one is on is in sight in a long menu. */
"use strict";
(() => {
  const set = (open) => {
    document.body.classList.toggle("menu-open", open);
    document.querySelectorAll("[data-menu]").forEach((button) => button.setAttribute("aria-expanded", String(open)));
    if (open) document.querySelector("#side a")?.focus();
  };
  document.addEventListener("DOMContentLoaded", () => {
    const side = document.getElementById("side");
    const here = side?.querySelector('[aria-current="page"]');
    if (here && side.scrollHeight > side.clientHeight) side.scrollTop = here.offsetTop - side.clientHeight / 2;
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-menu]")) set(!document.body.classList.contains("menu-open"));
    else if (document.body.classList.contains("menu-open") && !event.target.closest?.("#side")) set(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !document.body.classList.contains("menu-open")) return;
    set(false);
    document.querySelector("[data-menu]")?.focus();
  });
})();
