/* data-count="2000" on a textarea: how many characters are left. Counted as the server counts: code points, a line end is one.
   There is no maxlength on purpose: it would cut a pasted text without a word. */
"use strict";
(() => {
  const count = (area) => {
    const words = document.querySelector(`[data-count-words="${CSS.escape(area.id)}"]`);
    if (!words) return;
    const left = Number(area.dataset.count) - [...area.value].length;
    words.textContent = left >= 0 ? `还可输入 ${left} 字` : `超出 ${-left} 字，请删减`;
    words.classList.toggle("field-count-over", left < 0);
    if (left < 50) words.setAttribute("aria-live", "polite");
    else words.removeAttribute("aria-live");
  };
  hotline.onEveryPart((root) => hotline.all(root, "textarea[data-count]").forEach((area) => area.value && count(area)));
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("textarea[data-count]")) count(event.target);
  });
})();
