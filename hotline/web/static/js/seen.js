/* data-seen on a hidden field of a bulk bar: sends along the number of chosen rows that stood there for everybody to see,
   so that the server can refuse when it finds another one. */
"use strict";
document.addEventListener(
  "submit",
  (event) => {
    const field = event.target.querySelector?.("[data-seen]");
    if (field) field.value = event.target.querySelector("[data-bulk-count]")?.textContent ?? "";
  },
  true,
);
