/* data-dismiss: closes the notice that it stands in. */
"use strict";
document.addEventListener("click", (event) => {
  event.target.closest?.("[data-dismiss]")?.closest(".notice")?.remove();
});
