/* <time datetime data-relative>: how long ago, by the server's clock; the full time stays in the title. */
"use strict";
(() => {
  const served = Date.parse(hotline.meta("now"));
  const drift = Number.isNaN(served) ? 0 : served - Date.now();
  const words = (seconds) => {
    const past = seconds >= 0;
    const size = Math.abs(seconds);
    const tail = past ? "前" : "后";
    if (size < 60) return past ? "刚刚" : "马上";
    if (size < 3600) return `${Math.floor(size / 60)} 分钟${tail}`;
    if (size < 86400) return `${Math.floor(size / 3600)} 小时${tail}`;
    if (size < 8 * 86400) return `${Math.floor(size / 86400)} 天${tail}`;
    return null;
  };
  const show = (element) => {
    const at = Date.parse(element.dateTime);
    if (Number.isNaN(at)) return;
    element.dataset.absolute ??= element.textContent.trim();
    const relative = words((Date.now() + drift - at) / 1000);
    element.textContent = relative ?? element.dataset.absolute;
    element.title = relative ? element.dataset.absolute : "";
  };
  hotline.onEveryPart((root) => hotline.all(root, "time[data-relative]").forEach(show));
  setInterval(() => document.hidden || document.querySelectorAll("time[data-relative]").forEach(show), 30000);
})();
