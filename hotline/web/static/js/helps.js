/* data-tasks in a bulk form: says how many tasks of co-handlers it will give, those ticked on each chosen row ([data-help]) and
   those named for all (name "assist"), the lead itself not counted. What is ticked on a row is sent along as ticket:department,
   and the number that stood there for everybody to see as well, so that the server can refuse when it finds another one. */
"use strict";
(() => {
  const fields = (form, name) => [...form.elements].filter((one) => one.name === name && (one.type !== "checkbox" || one.checked) && one.value);

  const rowsOf = (form) => {
    const lead = form.elements.namedItem("department_id")?.value;
    const all = fields(form, "assist").map((one) => one.value);
    return fields(form, "ids").map((one) => {
      const boxes = [...one.closest("tr, li").querySelectorAll("[data-help]:checked")];
      const helping = new Set([...boxes.map((box) => box.dataset.help), ...all].filter((id) => id !== lead));
      return { ticket: one.value.split(":")[0], boxes, helping };
    });
  };
  const forms = () => [...document.querySelectorAll("[data-tasks]")].map((place) => [place, place.closest("form")]);
  const count = () => {
    for (const [place, form] of forms()) place.textContent = String(rowsOf(form).reduce((sum, row) => sum + row.helping.size, 0));
  };

  document.addEventListener("change", count);
  document.addEventListener("click", (event) => event.target.closest?.("[data-bulk], [data-bulk-bar]") && count());
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      const place = form.querySelector?.("[data-tasks]");
      if (!place) return;
      form.querySelectorAll("[data-copied]").forEach((one) => one.remove());
      for (const { ticket, boxes } of rowsOf(form)) {
        for (const box of boxes.filter((one) => one.form !== form)) {
          const copy = document.createElement("input");
          Object.assign(copy, { type: "hidden", name: "helps", value: `${ticket}:${box.dataset.help}` });
          copy.dataset.copied = "";
          form.append(copy);
        }
      }
      form.querySelector("[data-seen-tasks]").value = place.textContent;
    },
    true,
  );
  hotline.onEveryPart(count);
})();
