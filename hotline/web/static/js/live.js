/* data-live="/live/counters" on body: figures that stay true. The server sends event `counters` with {"name": figure};
   every [data-counter="name"] shows it. Event `later` with milliseconds: the server has no room to hold us, come back then.
   Closed while nobody looks, opened again quietly, later and later while the server is away. */
"use strict";
(() => {
  let source = null;
  let timer = 0;
  let failures = 0;
  let later = 0;

  const show = (figures) => {
    for (const [name, figure] of Object.entries(figures)) {
      for (const element of document.querySelectorAll(`[data-counter="${CSS.escape(name)}"]`)) {
        const words = String(figure);
        if (element.textContent === words) continue;
        const first = element.textContent === "";
        element.textContent = words;
        element.classList.toggle("is-zero", figure === 0);
        if (first) continue;
        element.classList.remove("just-changed");
        void element.offsetWidth; // Reading it makes the browser start the animation anew.
        element.classList.add("just-changed");
      }
    }
  };
  const hear = (event) => {
    failures = 0;
    later = 0;
    try {
      show(JSON.parse(event.data));
    } catch {
      // Not ours to read: the next message repeats every figure.
    }
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const open = () => {
    const address = document.body.dataset.live;
    if (!address || source || document.hidden || !document.querySelector("[data-counter]")) return;
    source = new EventSource(address);
    source.addEventListener("counters", hear);
    source.addEventListener("message", hear);
    source.addEventListener("later", (event) => {
      later = Math.min(60000, Number(event.data) || 0);
    });
    source.addEventListener("error", () => {
      // Our own patience instead of the browser's three seconds: a hundred desks must not knock at once.
      close();
      failures += 1;
      timer = setTimeout(open, (later || Math.min(60000, 2000 * 2 ** Math.min(failures, 5))) * (0.5 + Math.random() / 2));
    });
  };
  document.addEventListener("DOMContentLoaded", open);
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && open());
})();
