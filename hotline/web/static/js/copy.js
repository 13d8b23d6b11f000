/* data-copy="text": copies it. Offices often run without TLS, where only the old way of copying is allowed. */
"use strict";
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const words = button.dataset.copy;
  let copied = false;
  try {
    await navigator.clipboard.writeText(words);
    copied = true;
  } catch {
    const area = document.createElement("textarea");
    area.className = "visually-hidden";
    area.value = words;
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  hotline.say(copied ? "success" : "danger", copied ? `已复制 ${words}` : "没有复制成功，请手动选取。");
});
