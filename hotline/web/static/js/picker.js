/* data-picker="输入几个字" on a select: one box instead, in which one types parts of a long path and picks with the arrows.
   Every part (split by spaces) must occur, or at least its characters in that order. What is sent is still the select. */
"use strict";
(() => {
  const MOST = 60;
  let made = 0;

  const inOrder = (words, part) => {
    let at = 0;
    for (const character of words) if (character === part[at]) at += 1;
    return at >= part.length;
  };
  /* 0: does not fit; the bigger the better. The last step of a path counts most. */
  const fitness = (words, parts) => {
    const last = words.slice(words.lastIndexOf(" / ") + 1);
    let sum = 1;
    for (const part of parts) {
      if (last.includes(part)) sum += 3;
      else if (words.includes(part)) sum += 2;
      else if (!inOrder(words, [...part])) return 0;
    }
    return sum;
  };

  const build = (select) => {
    if (select.dataset.pickerReady !== undefined) return;
    select.dataset.pickerReady = "";
    made += 1;
    const words = select.labels[0]?.cloneNode(true);
    words?.querySelectorAll("kbd, .must, .visually-hidden").forEach((part) => part.remove());
    const box = document.createElement("input");
    box.type = "text";
    box.className = "form-control picker-box";
    box.id = select.id;
    box.placeholder = select.dataset.picker;
    box.autocomplete = "off";
    box.setAttribute("role", "combobox");
    box.setAttribute("aria-autocomplete", "list");
    box.setAttribute("aria-expanded", "false");
    box.setAttribute("aria-controls", `picker-${made}`);
    for (const name of ["aria-describedby", "aria-invalid", "aria-required", "data-key", "data-key-words"]) {
      if (select.hasAttribute(name)) box.setAttribute(name, select.getAttribute(name));
      select.removeAttribute(name);
    }
    select.id = `${select.id}-value`;
    select.hidden = true;
    const list = document.createElement("ul");
    list.className = "picker-list";
    list.id = `picker-${made}`;
    list.hidden = true;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", words?.textContent.trim() || "可选项");
    const place = document.createElement("div");
    place.className = "picker";
    select.before(place);
    place.append(box, list, select);

    let active = -1;
    const items = () => [...list.children].filter((item) => item.dataset.value !== undefined);
    const chosenWords = () => (select.value ? select.selectedOptions[0].textContent : "");
    const show = () => {
      box.value = chosenWords();
      box.title = box.value;
    };
    const close = () => {
      list.hidden = true;
      active = -1;
      box.setAttribute("aria-expanded", "false");
      box.removeAttribute("aria-activedescendant");
    };
    const point = (at) => {
      const every = items();
      active = every.length ? (at + every.length) % every.length : -1;
      every.forEach((item, index) => item.setAttribute("aria-selected", String(index === active)));
      if (active < 0) return box.removeAttribute("aria-activedescendant");
      box.setAttribute("aria-activedescendant", every[active].id);
      every[active].scrollIntoView({ block: "nearest" });
    };
    const open = (typed) => {
      const parts = typed.toLowerCase().split(/\s+/).filter(Boolean);
      const found = [...select.options]
        .filter((option) => option.value)
        .map((option, index) => ({ option, index, fit: fitness(option.textContent.toLowerCase(), parts) }))
        .filter((one) => one.fit)
        .sort((one, other) => other.fit - one.fit || one.index - other.index)
        .slice(0, MOST);
      list.replaceChildren(
        ...found.map(({ option }, index) => {
          const item = document.createElement("li");
          item.id = `${list.id}-${index}`;
          item.setAttribute("role", "option");
          item.dataset.value = option.value;
          item.textContent = option.textContent;
          return item;
        }),
      );
      if (!found.length) {
        const none = document.createElement("li");
        none.className = "picker-none";
        none.setAttribute("role", "option");
        none.setAttribute("aria-disabled", "true");
        none.textContent = "没有符合的选项";
        list.append(none);
      }
      list.hidden = false;
      box.setAttribute("aria-expanded", "true");
      point(parts.length ? 0 : Math.max(0, items().findIndex((item) => item.dataset.value === select.value)));
    };
    const choose = (value) => {
      close();
      if (select.value !== value) {
        select.value = value;
        select.dispatchEvent(new Event("change", { bubbles: true }));
      }
      show();
    };

    box.addEventListener("input", (event) => event.isComposing || open(box.value));
    box.addEventListener("compositionend", () => open(box.value));
    box.addEventListener("focus", () => box.select());
    box.addEventListener("blur", () => {
      const emptied = !box.value.trim();
      close();
      if (emptied) choose("");
      show();
    });
    box.addEventListener("keydown", (event) => {
      if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
      const shown = !list.hidden;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (shown) point(active + (event.key === "ArrowDown" ? 1 : -1));
        else open("");
      } else if (event.key === "Enter" && shown && active >= 0) choose(items()[active].dataset.value);
      else if (event.key === "Escape" && shown) {
        close();
        show();
        box.select();
      } else {
        if (event.key === "Tab" && shown && active >= 0 && box.value.trim() && box.value !== chosenWords()) choose(items()[active].dataset.value);
        return;
      }
      event.preventDefault();
    });
    box.addEventListener("click", () => list.hidden && open(""));
    list.addEventListener("mousedown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const item = event.target.closest("[data-value]");
      if (item) choose(item.dataset.value);
    });
    select.addEventListener("change", show);
    show();
  };
  hotline.onEveryPart((root) => hotline.all(root, "select[data-picker]").forEach(build));
})();
