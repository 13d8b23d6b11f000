/* data-sieve="承办单位" on a select: a box above it narrows a long list while one types; every typed part (split by spaces) must occur.
   The box has no name, so it is never sent; what is sent stays the select's own choice. */
"use strict";
(() => {
  const fit = (words, parts) => parts.every((part) => words.includes(part));

  const build = (select) => {
    if (select.dataset.sieveReady !== undefined) return;
    select.dataset.sieveReady = "";
    const every = [...select.children].map((child) => child.cloneNode(true));
    const box = document.createElement("input");
    box.type = "search";
    box.className = "form-control sieve";
    box.placeholder = "输入几个字筛选";
    box.autocomplete = "off";
    box.setAttribute("aria-label", `筛选${select.dataset.sieve}`);
    if (select.dataset.key) {
      // The key leads to where one types.
      box.dataset.key = select.dataset.key;
      box.dataset.keyWords = select.dataset.sieve;
      delete select.dataset.key;
    }
    select.before(box);

    const narrow = () => {
      const parts = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = select.value;
      const kept = every.map((child) => child.cloneNode(true)).filter((child) => {
        if (child.tagName === "OPTGROUP") {
          for (const option of [...child.children]) if (!fit(option.textContent.toLowerCase(), parts) && option.value !== chosen) option.remove();
          return child.children.length > 0;
        }
        return child.value === "" || child.value === chosen || fit(child.textContent.toLowerCase(), parts);
      });
      select.replaceChildren(...kept);
      select.value = chosen;
      const first = parts.length ? [...select.options].find((option) => option.value && fit(option.textContent.toLowerCase(), parts)) : null;
      if (first && first.value !== chosen) {
        select.value = first.value;
        select.dispatchEvent(new Event("change", { bubbles: true }));
      }
    };
    box.addEventListener("input", (event) => event.isComposing || narrow());
    box.addEventListener("compositionend", narrow);
    box.addEventListener("keydown", (event) => {
      if (event.isComposing || event.ctrlKey || event.altKey || (event.key !== "Enter" && event.key !== "ArrowDown")) return;
      event.preventDefault(); // Enter here means "that one", not "send the form".
      select.focus();
    });
  };
  hotline.onEveryPart((root) => hotline.all(root, "select[data-sieve]").forEach(build));
})();
