// What the page does more with scripts than without: hops without a jump, keys, copying, progress. All text comes
// from the server, escaped; what is fetched is a page of our own, and its parts are moved, never made from words.
"use strict";
(() => {
  const PARTS = ["picture", "hop", "path"];
  let asked = 0;

  const scrollOf = () => document.querySelector("#picture .scroll");

  async function show(href, { push, focus, reveal }) {
    const ticket = ++asked;
    let fresh;
    try {
      const answer = await fetch(href, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(String(answer.status));
      fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      location.assign(href);
      return;
    }
    if (ticket !== asked) return;
    const at = scrollOf() && [scrollOf().scrollLeft, scrollOf().scrollTop];
    for (const id of PARTS) {
      const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
      if (!old || !now) { location.assign(href); return; }
      old.replaceWith(document.adoptNode(now));
    }
    document.title = fresh.title;
    if (at) [scrollOf().scrollLeft, scrollOf().scrollTop] = at;
    if (push) history.pushState(null, "", href);
    const target = focus && document.querySelector(focus);
    if (target) target.focus({ preventScroll: true });
    const top = document.getElementById("hop").getBoundingClientRect().top;
    if (reveal && (top < -40 || top > innerHeight - 120)) document.getElementById("hop").scrollIntoView();
  }

  function kept(link) {
    if (link.closest("#picture")) return "#picture a[aria-current]";
    if (link.closest("#path .ways")) return "#path .ways a[aria-current]";
    if (link.closest("#path")) return "#path .station a[aria-current]";
    return link.rel ? `#hop a[rel=${link.rel}]` : "";
  }

  function hopLink(target) {
    const link = target instanceof Element && target.closest("#picture a.hop, #path .station a.hop, #hop .steps a, #path .ways a");
    return link || null;
  }

  const hrefOf = (link) => link.getAttribute("href");

  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = hopLink(event.target);
    if (!link) return;
    event.preventDefault();
    // A click without a pointer (Enter) keeps the focus in sight; a pointer's shows what was asked for.
    show(hrefOf(link), { push: true, focus: kept(link), reveal: event.detail > 0 && !link.closest(".ways") });
  });

  // Arrows go from hop to hop where a hop has the focus; '/' searches. Nothing is taken from fields.
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.target instanceof Element && event.target.closest("input, select, textarea")) return;
    if (event.key === "/") {
      const field = document.querySelector("input[type=search]");
      if (field) { event.preventDefault(); field.focus(); }
      return;
    }
    const rel = { ArrowDown: "next", ArrowRight: "next", ArrowUp: "prev", ArrowLeft: "prev" }[event.key];
    const link = rel && hopLink(event.target);
    if (!link) return;
    event.preventDefault();
    const next = document.querySelector(`#hop a[rel=${rel}]`);
    if (next) show(hrefOf(next), { push: true, focus: kept(link) });
  });

  addEventListener("popstate", () => show(location.href, { push: false, focus: "" }));

  const said = document.body.dataset;

  async function copy(code, button) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = said.copied;
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = document.execCommand("copy") ? said.copied : said.selected;
    }
    setTimeout(() => { button.textContent = said.copy; }, 2000);
  }

  for (const code of document.querySelectorAll(".command .copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = said.copy;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", () => copy(code, button));
    code.closest(".command").append(button);
  }

  const progress = document.getElementById("progress");
  async function poll() {
    try {
      const now = await (await fetch("/progress", { credentials: "same-origin" })).json();
      if (!now.running) { location.reload(); return; }
      progress.querySelector(".done").textContent = progress.dataset.answered
        .replace("{done}", now.done).replace("{total}", now.total || "?");
    } catch { /* the server is away, or busy: ask again */ }
    setTimeout(poll, 700);
  }
  if (progress) poll();
})();
