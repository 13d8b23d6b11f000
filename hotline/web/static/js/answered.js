/* A page that answers a form cannot be come back to: the browser would have to send the form once more, and shows an
   error of its own. So whoever goes on from such a page leaves the page on which the form stood in its place; as long
   as nobody does, reloading still offers to send again, and nothing that was typed is lost. */
"use strict";
(() => {
  const stood = document.querySelector('meta[name="form-stood-on"]')?.content;
  if (!stood) return;
  const leave = () => history.replaceState(history.state, "", stood);
  document.addEventListener("submit", leave);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (link && !link.getAttribute("href").startsWith("#")) leave();
  });
})();
