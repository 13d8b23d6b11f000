/* Days and times are written as 2026-11-24 18:00 in every browser: the browser's own field speaks the browser's language.
   With a mouse the field becomes text, with the browser's calendar behind a button where it can be opened from a script;
   on phones (and without a script) the browser's own field stays. What is short is completed when one leaves the field:
   11-24, 20261124, 2026/11/24 9:30 and 2026年11月24日 are all understood; the server has the last word. */
"use strict";
(() => {
  const two = (figure) => String(figure).padStart(2, "0");
  const today = () => {
    const now = new Date(hotline.meta("now") || Date.now());
    return new Intl.DateTimeFormat("en-CA", { timeZone: "Asia/Shanghai" }).format(now);
  };

  /* Returns the usual writing of what was typed, or just what was typed where it is not a day. */
  const written = (typed, timed) => {
    const words = typed.trim().replace(/[年月./]/g, "-").replace(/日/g, " ").replace(/：/g, ":").replace(/[T\s]+/g, " ").trim();
    const found = /^(?:(\d{4})-?)?(\d{1,2})-?(\d{1,2})(?: (\d{1,2}):(\d{2})(?::\d{2})?)?$/.exec(words);
    if (!found) return typed.trim();
    const [, year, month, day, hour, minute] = found;
    const date = `${year ?? today().slice(0, 4)}-${two(month)}-${two(day)}`;
    if (!timed) return date;
    return hour === undefined ? date : `${date} ${two(hour)}:${minute}`;
  };

  const settle = (field, timed) => {
    const before = field.value;
    field.value = written(before, timed);
    if (field.value !== before) field.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const calendar = (field, timed) => {
    const own = document.createElement("input");
    if (typeof own.showPicker !== "function") return;
    own.type = timed ? "datetime-local" : "date";
    own.className = "date-own";
    own.tabIndex = -1;
    own.setAttribute("aria-hidden", "true");
    for (const limit of ["min", "max"]) if (field.hasAttribute(limit)) own.setAttribute(limit, field.getAttribute(limit));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "date-button";
    button.setAttribute("aria-label", `从日历选择${field.labels[0]?.firstChild?.textContent.trim() ?? ""}`);
    button.addEventListener("click", () => {
      own.value = field.value.replace(" ", "T");
      own.showPicker();
    });
    own.addEventListener("change", () => {
      field.value = own.value.replace("T", " ");
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.dispatchEvent(new Event("change", { bubbles: true }));
      field.focus();
    });
    const row = document.createElement("span");
    row.className = "date-field";
    field.before(row);
    row.append(field, own, button);
  };

  hotline.onEveryPart((root) => {
    if (window.matchMedia("(pointer: coarse)").matches) return;
    for (const field of hotline.all(root, 'input[type="date"], input[type="datetime-local"]')) {
      if (field.classList.contains("date-own")) continue;
      const timed = field.type === "datetime-local";
      const value = field.getAttribute("value") ?? "";
      field.type = "text";
      field.value = value.replace("T", " ").slice(0, timed ? 16 : 10);
      field.placeholder = timed ? "年-月-日 时:分" : "年-月-日";
      field.autocomplete = "off";
      field.addEventListener("blur", () => settle(field, timed));
      field.addEventListener("keydown", (event) => {
        if (event.key === "Enter") settle(field, timed);
      });
      calendar(field, timed);
    }
  });
})();
