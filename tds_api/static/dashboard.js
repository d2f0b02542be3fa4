"use strict";
/* What the pages do beyond reading: polls that take nothing away, moments in the reader's zone, keys, copies. */
(() => {
  const main = () => document.getElementById("main");
  const RETRY_LIMIT_SECONDS = 60;
  let answeredAt = Date.now(), polledAt = Date.now(), unchanged = 0, isPolling = false;

  /* Polls. A page is not read again while the reader has something in hand, or does not look. */
  const isTyped = (input) => input.type === "checkbox" || input.type === "radio" ? input.checked !== input.defaultChecked
    : input.tagName === "SELECT" ? ![...input.options].every((each) => each.selected === each.defaultSelected || !each.hasAttribute("selected") && !each.selected) && input.matches(":focus")
    : input.value !== input.defaultValue;
  const isBusy = () => document.hidden
    || document.querySelector("dialog[open], main details.act[open]") !== null
    || [...document.querySelectorAll("main input:not([type=hidden]), main textarea, main select")].some((each) => isTyped(each) || each.matches(":focus") && each.type !== "checkbox");
  const every = () => Number(main().dataset.refresh || 0) * Math.min(1 + unchanged / 4, 4);
  const isStale = () => main().dataset.refresh && Date.now() - answeredAt > Math.max(3 * every(), 15) * 1000 && !isBusy();

  setInterval(() => {
    const seconds = every();
    if (seconds && !isPolling && !isBusy() && Date.now() - polledAt >= Math.min(seconds, RETRY_LIMIT_SECONDS) * 1000) {
      polledAt = Date.now();
      htmx.trigger(main(), "refresh");
    }
    document.body.classList.toggle("is-stale", Boolean(isStale()));
    document.getElementById("stale").hidden = !isStale();
    document.querySelectorAll(".asof").forEach((each) => each.textContent = clock(new Date(answeredAt)) + age(answeredAt));
  }, 1000);

  const isPoll = (event) => event.detail.elt === main();
  document.addEventListener("htmx:configRequest", (event) => {
    if (isPoll(event) && main().dataset.tag) event.detail.headers["If-None-Match"] = main().dataset.tag;
  });
  document.addEventListener("htmx:beforeRequest", (event) => { if (isPoll(event)) isPolling = true; });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // What the reader began while the answer was on its way stays in hand, too; and no refusal takes the page away.
    if (isPoll(event) && (isBusy() || event.detail.xhr.status !== 200)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const answer = event.detail.xhr;
    if (answer.status === 401) location.reload();
    if (!isPoll(event)) return;
    isPolling = false;
    if (answer.status !== 200 && answer.status !== 304) return;
    answeredAt = Date.now();
    unchanged = answer.status === 304 ? unchanged + 1 : 0;
    if (answer.status === 200 && !isBusy()) main().dataset.tag = answer.getResponseHeader("ETag") || "";
  });
  document.addEventListener("htmx:afterSwap", () => show(document));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { unchanged = 0; polledAt = 0; } });

  /* Moments: absolute in the reader's zone, and how long ago. */
  const language = document.documentElement.lang || "en";
  const day = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  const hour = new Intl.DateTimeFormat(language, { timeStyle: "medium" });
  const distance = new Intl.RelativeTimeFormat(language, { style: "narrow", numeric: "always" });
  const clock = (at) => at.toDateString() === new Date().toDateString() ? hour.format(at) : day.format(at);
  const age = (at) => {
    const seconds = (at - Date.now()) / 1000;
    const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"]].find(([each]) => Math.abs(seconds) >= each) || [1, "second"];
    return Math.abs(seconds) < 2 ? "" : ` · ${distance.format(Math.round(seconds / size), unit)}`;
  };
  const show = (root) => root.querySelectorAll("time[datetime]:not(.asof)").forEach((each) => {
    const at = new Date(each.dateTime);
    if (isNaN(at)) return;
    const text = clock(at) + age(at.getTime());
    if (each.textContent !== text) each.textContent = text;
    each.title = each.dateTime;
  });
  setInterval(() => show(document), 10000);

  /* Forms that act: a repeat of one press is one action. */
  document.addEventListener("submit", (event) => {
    const key = event.target.querySelector("input[name=_key]");
    if (key && !key.value) key.value = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`;
  }, true);

  /* Rows: selecting, moving, opening. */
  const rows = () => [...main().querySelectorAll("tbody tr")].filter((row) => row.querySelector("a[href], input[type=checkbox]"));
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("at"));
    const next = all[Math.min(Math.max(now + by, 0), all.length - 1)];
    all.forEach((row) => row.classList.toggle("at", row === next));
    (next.querySelector("a[href]") || next.querySelector("input")).focus();
    next.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-select-all]")) {
      event.target.closest("table").querySelectorAll("tbody input[type=checkbox]").forEach((each) => each.checked = event.target.checked);
    }
  });
  document.addEventListener("click", (event) => {
    const id = event.target.closest("[data-copy]");
    if (id && !String(getSelection()) && !id.closest("a") && navigator.clipboard) {
      navigator.clipboard.writeText(id.dataset.copy).then(() => {
        id.title = "✓";
        setTimeout(() => id.removeAttribute("title"), 1500);
      });
    }
    const person = document.querySelector("details.person[open]");
    if (person && !person.contains(event.target)) person.open = false;
  });

  /* Keys. */
  let isGoing = false;
  const open = (id) => { const dialog = document.getElementById(id); if (!dialog.open) dialog.showModal(); };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open("finder");
      document.getElementById("finder-input").select();
      return;
    }
    const question = document.querySelector("main details.act[open]");
    if (event.key === "Escape" && question && !document.querySelector("dialog[open]")) {
      question.open = false;
      question.querySelector("summary").focus();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (isGoing) {
      isGoing = false;
      const link = document.querySelector(`a[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const keys = {
      g: () => { isGoing = true; setTimeout(() => { isGoing = false; }, 1500); },
      j: () => move(1), k: () => move(-1),
      x: () => { const box = document.querySelector("tr.at input[type=checkbox]"); if (box) box.click(); },
      "/": () => (document.querySelector(".filters input, .filters select") || document.getElementById("find")).focus(),
      "?": () => open("keys"),
    };
    if (keys[event.key] && !document.querySelector("dialog[open]")) { event.preventDefault(); keys[event.key](); }
  });

  const start = () => {
    show(document);
    const button = document.getElementById("keys-button");
    button.hidden = false;
    button.addEventListener("click", () => open("keys"));
    if (matchMedia("(max-width: 56rem)").matches) document.getElementById("pages").open = false;
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
