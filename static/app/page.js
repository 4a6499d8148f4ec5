// Small things every page needs: times in the reader's own zone, and questions before what can't be undone.
(() => {
  "use strict";
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const zoned = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

  function ago(date) {
    const seconds = (date - Date.now()) / 1000;
    const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS[3];
    return relative.format(Math.round(seconds / length), unit);
  }

  function showTimes(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const date = new Date(element.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      const text = element.hasAttribute("data-relative") ? ago(date) : exact.format(date);
      if (element.textContent !== text) element.textContent = text;
      element.title = zoned.format(date);
    }
  }

  // What a live region says, whatever its tokens and however long ago; live.js compares by it.
  const essence = (region) => region.innerHTML
    .replace(/(name="csrfmiddlewaretoken" value=")[^"]*/g, "$1")
    .replace(/(<time[^>]*?)( title="[^"]*")?>[^<]*/g, "$1>");
  const shown = new WeakMap();
  for (const region of document.querySelectorAll("[data-live][id]")) shown.set(region, essence(region));

  window.backupPage = { showTimes, essence, shown };
  showTimes(document);
  setInterval(() => showTimes(document), 30000);

  // A date and time that is asked for: shown and taken in the reader's zone, sent without doubt.
  const twoDigits = (number) => String(number).padStart(2, "0");
  function localText(date) {
    const day = [date.getFullYear(), twoDigits(date.getMonth() + 1), twoDigits(date.getDate())];
    return `${day.join("-")}T${[date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(":")}`;
  }
  for (const input of document.querySelectorAll("input[type=datetime-local]")) {
    const sent = input.getAttribute("value") || "";
    const moment = new Date(input.dataset.moment || (sent.endsWith("Z") ? sent : ""));
    if (!Number.isNaN(moment.getTime())) input.value = localText(moment);
    for (const zone of input.form.querySelectorAll("[data-zone]")) zone.textContent = "yours";
    input.form.addEventListener("formdata", ({ formData }) => {
      if (input.value) formData.set(input.name, new Date(input.value).toISOString());
    });
  }

  // Forms in which days are typed say in which zone they are meant.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const input of document.querySelectorAll("[data-zone-name]")) input.value = zone || "";

  // Nothing chosen would mean everything, so these buttons wait for a choice.
  for (const form of document.querySelectorAll("form[data-choose]")) {
    const boxes = [...form.querySelectorAll('input[type="checkbox"][name]')];
    const all = form.querySelector("input[data-choose-all]");
    const update = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      for (const button of form.querySelectorAll("button[data-needs-choice]")) button.disabled = !chosen;
      if (!all) return;
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    };
    form.addEventListener("change", (event) => {
      if (event.target === all) for (const box of boxes) box.checked = all.checked;
      update();
    });
    update();
  }

  // What the browser can't show is not left as an empty frame; it may have failed before this runs.
  for (const shown of document.querySelectorAll(".preview :is(img, video, audio)")) {
    const failed = () => { document.getElementById("not-shown").hidden = false; };
    shown.addEventListener("error", failed);
    if (shown.error || (shown.complete && !shown.naturalWidth)) failed();
  }

  // The menu of a narrow screen closes by Escape, and whoever opened it is where they were.
  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector(".navbar-collapse.show");
    if (event.key !== "Escape" || !menu) return;
    window.bootstrap.Collapse.getOrCreateInstance(menu).hide();
    document.querySelector(".navbar-toggler").focus();
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
})();
