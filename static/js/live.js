// A live page: fetches its parts again when the server says "stale", keeps the clocks running,
// and says so when what it shows is old. The server renders everything; nothing is kept here.

const view = document.getElementById("live");
const banner = document.getElementById("old");
const unsent = document.getElementById("unsent");
const spoken = document.getElementById("spoken");
const SPACING = 1000; // ms between two fetches
const OLD = 8000; // ms after which unconfirmed figures are called old
const POLL = 5000, SAFETY = 30000; // ms between fetches that nobody asked for: without and with the stream
const awake = "awake" in view.dataset; // works in a hidden tab too
let stream, fetched = 0, asked = 0, skew = 0, open = 0, failed = false, timer = null, reopen = null;

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
}

htmx.defineExtension("parts", {
  isInlineSwap: () => false,
  handleSwap(style, target, fragment) {
    if (style !== "parts") return false;
    const fresh = [...fragment.children], changed = [];
    const ids = new Set(fresh.map((part) => part.id));
    for (const old of [...target.children]) if (!ids.has(old.id)) old.remove();
    fresh.forEach((part, place) => {
      const old = target.children[place];
      if (old?.id === part.id && pristine.get(old)?.isEqualNode(essence(part))) return;
      pristine.set(part, essence(part));
      if (old?.id === part.id) old.replaceWith(part);
      else target.insertBefore(part, old ?? null);
      changed.push(part);
    });
    learn();
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

view.addEventListener("htmx:beforeRequest", () => { open += 1; });
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
  stream.addEventListener("stale", refresh);
  stream.onopen = watch;
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
  const sure = isUp() && !failed, old = !sure && Date.now() - fetched > OLD;
  if (Date.now() - asked > (sure ? SAFETY : POLL)) refresh();
  const from = new Date(fetched + skew).toLocaleTimeString("en-GB", { timeZone: view.dataset.zone });
  if (old) document.getElementById("old-since").textContent = from;
  banner.hidden = !old;
  view.toggleAttribute("data-old", old);
  view.toggleAttribute("data-up", sure);
}

for (const part of view.children) pristine.set(part, essence(part));
learn();
asked = Date.now();
listen();
setInterval(() => { tick(); watch(); }, 1000);
