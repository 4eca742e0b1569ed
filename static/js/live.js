// A live page: fetches its parts again when the server says "stale", keeps the clocks running,
// and says so when what it shows is old. The server renders everything; nothing is kept here.
//
// Parts are the children of #live, each with an id; of a part with `data-parts`, its children are.
// A part that somebody uses is left alone until they have done: focus in one of its fields, an open
// dialog or popover, a form with `data-dirty` (desk.js). Only the answer to its own form replaces it.
// A part with `data-linger` stays for so many seconds after the server has done with it.
// To others #live says `live:fresh` (new content) and `live:alive`; `live:refresh` it obeys.

const view = document.getElementById("live");
const banner = document.getElementById("old");
const unsent = document.getElementById("unsent");
const spoken = document.getElementById("spoken");
const SPACING = 1000; // ms between two fetches
const OLD = 8000; // ms after which unconfirmed figures are called old
const POLL = 5000, SAFETY = 30000; // ms between fetches that nobody asked for: without and with the stream
const SILENCE = 40000; // ms of silence after which an open stream is taken for dead
const awake = "awake" in view.dataset; // works in a hidden tab too
let stream, spoke = 0, fetched = 0, asked = 0, skew = 0, open = 0, failed = false, timer = null, reopen = null;

// --- Parts: replace only what has changed, so that focus, selection and hover stay ---------------
const pristine = new WeakMap();

function essence(part) {
  const copy = part.cloneNode(true);
  for (const clock of copy.querySelectorAll("[data-since], [data-until]")) clock.textContent = "";
  for (const token of copy.querySelectorAll("[name=csrfmiddlewaretoken]")) token.remove();
  return copy;
}

function learn() {
  const moment = document.getElementById("moment").dataset;
  skew = Date.parse(moment.now) - Date.now();
  fetched = Date.now();
  failed = false;
  document.title = moment.title || document.title;
  if (moment.spoken && spoken.textContent !== moment.spoken) spoken.textContent = moment.spoken;
  tick();
  view.dispatchEvent(new CustomEvent("live:fresh", { detail: moment }));
}

const FIELDS = "textarea, select, input:not([type=radio], [type=checkbox], [type=hidden])";
const partOf = (element) => {
  let part = element;
  while (part && part.parentElement !== view && !("parts" in (part.parentElement?.dataset ?? {}))) part = part.parentElement;
  return part;
};
const lingers = new WeakMap();
let acted = null; // the part whose form has been sent and is being answered

function inUse(part) {
  if (part === acted) return false;
  if (lingers.get(part) > Date.now()) return true;
  const focus = document.activeElement;
  return (part.contains(focus) && focus.matches(FIELDS))
    || Boolean(part.querySelector("[data-dirty], dialog[open], :popover-open"));
}

function merge(target, fresh, changed) {
  const ids = new Set(fresh.map((part) => part.id));
  for (const old of [...target.children]) if (!ids.has(old.id) && !inUse(old)) old.remove();
  let next = target.firstElementChild;
  for (const part of fresh) {
    while (next && !ids.has(next.id)) next = next.nextElementSibling; // one that is still in use
    if (next?.id !== part.id) {
      target.querySelector(`:scope > [id="${part.id}"]`)?.remove(); // it was elsewhere
      target.insertBefore(part, next);
    } else {
      const old = next;
      next = old.nextElementSibling;
      if ("parts" in part.dataset && "parts" in old.dataset) {
        merge(old, [...part.children], changed);
        continue;
      }
      if (inUse(old) || (old !== acted && pristine.get(old)?.isEqualNode(essence(part)))) continue;
      old.replaceWith(part);
    }
    know(part);
    changed.push(part);
  }
}

function know(part) {
  if ("parts" in part.dataset) return [...part.children].forEach(know);
  pristine.set(part, essence(part));
  if (part.dataset.linger) lingers.set(part, Date.now() + part.dataset.linger * 1000);
}

htmx.defineExtension("parts", {
  isInlineSwap: () => false,
  handleSwap(style, target, fragment) {
    if (style !== "parts") return false;
    const changed = [];
    merge(target, [...fragment.children], changed);
    learn();
    const wrong = acted && changed.map((part) => part.querySelector("[aria-invalid=true]")).find(Boolean);
    if (wrong) setTimeout(() => wrong.focus());
    return changed;
  },
});

// --- Fetching ------------------------------------------------------------------------------------
function refresh() {
  if (timer) return;
  const wait = open ? 200 : Math.max(0, asked + SPACING - Date.now());
  timer = setTimeout(() => {
    timer = null;
    if (open) return refresh();
    asked = Date.now();
    htmx.trigger(view, "refresh");
  }, wait);
}

view.addEventListener("live:refresh", refresh);
view.addEventListener("htmx:beforeRequest", () => { open += 1; });
view.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const form = detail.requestConfig.verb === "post" && detail.requestConfig.elt.closest("form");
  acted = form ? partOf(form) : null;
});
view.addEventListener("htmx:afterSwap", () => { acted = null; });
view.addEventListener("htmx:afterRequest", ({ detail }) => {
  open = Math.max(0, open - 1);
  const acted = detail.requestConfig.verb === "post";
  if (acted) unsent.hidden = detail.successful || detail.xhr.status === 403;
  if (acted && !detail.successful) refresh();
  failed ||= !detail.successful;
});
view.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, pathInfo } = event.detail;
  const elsewhere = xhr.responseURL && new URL(xhr.responseURL).pathname !== pathInfo.requestPath.split("?")[0];
  if (!elsewhere && xhr.status !== 403) return;
  event.detail.shouldSwap = false; // signed out meanwhile: the page itself leads to the sign-in
  if (Date.now() - Number(sessionStorage.reloaded || 0) < 10000) return;
  sessionStorage.reloaded = Date.now();
  location.reload();
});

// --- The stream ----------------------------------------------------------------------------------
const isUp = () => stream?.readyState === EventSource.OPEN;

function listen() {
  clearTimeout(reopen);
  stream?.close();
  stream = new EventSource(view.dataset.stream);
  const heard = () => { spoke = Date.now(); };
  heard();
  stream.addEventListener("stale", () => { heard(); refresh(); });
  stream.addEventListener("alive", () => { heard(); view.dispatchEvent(new Event("live:alive")); });
  stream.onopen = () => { heard(); watch(); };
  stream.onerror = () => {
    refresh(); // is the server there?
    if (stream.readyState === EventSource.CLOSED) reopen = setTimeout(listen, 3000);
  };
}

function wake() {
  if (!isUp()) listen();
  refresh();
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) wake();
  else if (!awake) stream.close(); // browsers allow few connections to one site
});
addEventListener("online", wake);
addEventListener("offline", () => { failed = true; });
addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
addEventListener("pagehide", () => stream.close());

// --- Clocks --------------------------------------------------------------------------------------
function text(seconds) {
  const whole = Math.max(0, Math.floor(seconds)), pad = (n) => String(n).padStart(2, "0");
  const h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60, s = pad(whole % 60);
  return h ? `${h}:${pad(m)}:${s}` : `${m}:${s}`;
}

function tick() {
  const now = Date.now() + skew;
  for (const clock of view.querySelectorAll("[data-since]")) {
    const seconds = (now - Date.parse(clock.dataset.since)) / 1000;
    clock.textContent = text(seconds);
    if (seconds > Number(clock.dataset.lateAfter || Infinity)) clock.closest("[data-wait]").dataset.late = "";
  }
  for (const clock of view.querySelectorAll("[data-until]")) {
    const seconds = (Date.parse(clock.dataset.until) - now) / 1000;
    clock.textContent = text(Math.ceil(seconds));
    if (seconds < 0 && Date.now() - asked > 2000) refresh();
  }
}

function watch() {
  if (document.hidden && !awake) return;
  if (isUp() && Date.now() - spoke > SILENCE) listen(); // this machine has slept, or the way is cut
  const sure = isUp() && !failed, old = !sure && Date.now() - fetched > OLD;
  if (Date.now() - asked > (sure ? SAFETY : POLL)) refresh();
  const from = new Date(fetched + skew).toLocaleTimeString("en-GB", { timeZone: view.dataset.zone });
  if (old) document.getElementById("old-since").textContent = from;
  banner.hidden = !old;
  view.toggleAttribute("data-old", old);
  view.toggleAttribute("data-up", sure);
}

[...view.children].forEach(know);
learn();
asked = Date.now();
listen();
setInterval(() => { tick(); watch(); }, 1000);
