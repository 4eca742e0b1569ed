// The agent's desk beside live.js: notes that are never lost, keys, sounds, notifications, the icon,
// what happened while nobody looked, and the sign of life. Without it every button still works.

const view = document.getElementById("live");
const words = document.getElementById("desk").dataset;
const spoken = document.getElementById("spoken");
const FIELDS = "textarea, select, input:not([type=radio], [type=checkbox])";
const byId = (id) => document.getElementById(id);
const last = (selector) => [...document.querySelectorAll(selector)].at(-1);

function post(url, body = new URLSearchParams()) {
  const headers = { ...JSON.parse(document.body.getAttribute("hx-headers")), "HX-Request": "true" };
  return fetch(url, { method: "POST", body, headers, redirect: "manual", keepalive: true });
}

// --- Notes and disposition: saved as they are typed, and kept here until they are ----------------
const timers = new WeakMap();

function typed(form) {
  const body = new URLSearchParams(new FormData(form));
  body.delete("csrfmiddlewaretoken");
  return body;
}

function touched(form, wait = 800) {
  form.dataset.dirty = "";
  const kept = { url: form.dataset.autosave, body: String(typed(form)) };
  sessionStorage[`notes:${form.dataset.offer}`] = JSON.stringify(kept);
  say(form, words.saving);
  clearTimeout(timers.get(form));
  timers.set(form, setTimeout(() => save(form), wait));
}

function say(form, text, isBad = false) {
  const line = form.querySelector("[data-saved]");
  if (line.textContent !== text) line.textContent = text;
  line.toggleAttribute("data-bad", isBad);
}

function settled(form) {
  clearTimeout(timers.get(form));
  delete form.dataset.dirty;
  sessionStorage.removeItem(`notes:${form.dataset.offer}`);
}

async function save(form) {
  const sent = String(typed(form));
  const answer = await post(form.dataset.autosave, new URLSearchParams(sent)).catch(() => null);
  if (!("dirty" in form.dataset)) return; // “Done” was quicker
  if (answer?.status === 409) return say(form, (await answer.json()).why, true);
  if (!answer?.ok) {
    say(form, words.unsaved, true);
    timers.set(form, setTimeout(() => save(form), 3000));
  } else if (String(typed(form)) === sent) {
    settled(form);
    say(form, words.saved);
  } else touched(form);
}

view.addEventListener("input", ({ target }) => {
  const form = target.closest("[data-autosave]");
  if (form) touched(form, target.type === "radio" ? 100 : 800);
});
view.addEventListener("htmx:afterRequest", ({ detail }) => {
  const form = detail.requestConfig.elt;
  if (form.dataset.autosave && detail.successful) settled(form);
});
view.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const form = detail.requestConfig.elt; // its answer may replace the part: it is not in use any more
  if (form.dataset.autosave && detail.xhr.status < 300) settled(form);
});

function restore() {
  for (const name of Object.keys(sessionStorage).filter((key) => key.startsWith("notes:"))) {
    const { url, body } = JSON.parse(sessionStorage[name]);
    const form = view.querySelector(`[data-offer="${name.slice(6)}"]`), kept = new URLSearchParams(body);
    if (!form) {
      post(url, kept).then((answer) => { if (answer.ok || answer.status === 409) sessionStorage.removeItem(name); }, () => {});
      continue;
    }
    form.elements.notes.value = kept.get("notes");
    const chosen = kept.get("disposition");
    if (chosen) form.querySelector(`[name=disposition][value="${chosen}"]`)?.click();
    touched(form, 0);
  }
}

// --- Keys (WCAG 2.1.4: they can be switched off) -------------------------------------------------
const dialog = byId("keys"), keysOn = byId("keys-on");
let armed = 0;

function setKeys(on) {
  keysOn.checked = on;
  document.documentElement.dataset.keys = on ? "on" : "off";
}
setKeys(localStorage["desk-keys"] !== "off");
keysOn.addEventListener("change", () => {
  localStorage["desk-keys"] = keysOn.checked ? "on" : "off";
  setKeys(keysOn.checked);
});
byId("show-keys").addEventListener("click", () => dialog.showModal());

function press(element) {
  if (!element || element.disabled) return false;
  if (element.matches(FIELDS)) element.focus();
  else if (!("twice" in element.dataset) || Date.now() - armed < 3000) {
    armed = 0;
    element.click();
  } else {
    armed = Date.now();
    const label = element.querySelector("span"), text = label.textContent;
    label.textContent = spoken.textContent = words.again;
    setTimeout(() => { label.textContent = text; }, 3000);
  }
  return true;
}

function wanted(event) {
  const { key, target } = event;
  if (key === "Enter") {
    const isFree = event.ctrlKey || event.metaKey || !target.closest("a, button, input, select, textarea, summary");
    return isFree ? byId("done") : null;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (key === "Escape" && target.matches(FIELDS)) target.blur();
  if (target.closest(FIELDS) || document.documentElement.dataset.keys === "off") return null;
  if (key === "?") return byId("show-keys");
  if (/^[1-9]$/.test(key)) return document.querySelector(`:popover-open [data-pick="${key}"]`) ?? last(`[data-digit="${key}"]`);
  return /^[a-z]$/i.test(key) ? last(`[data-key="${key.toLowerCase()}"]`) : null;
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.isComposing || event.defaultPrevented || dialog.open) return;
  if (event.key === "Enter" && document.documentElement.dataset.keys === "off" && !event.ctrlKey) return;
  if (press(wanted(event))) event.preventDefault();
});
view.addEventListener("submit", ({ target }) => target.closest("[popover]")?.hidePopover(), true);
view.addEventListener("toggle", ({ target, newState }) => { // the first reason has the focus
  if (newState === "open") target.querySelector("button")?.focus();
}, true);

// --- Somebody calls: sound, notification, icon ---------------------------------------------------
const sounds = byId("sounds"), notify = byId("notify"), tap = byId("tap");
let audio = null, rings = "", ringer = null, notice = null;

function mayPlay() {
  audio ??= new AudioContext();
  audio.resume();
  tap.hidden = true;
}
for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, mayPlay, { once: true });

function tone() {
  if (sounds.ariaPressed !== "true" || audio?.state !== "running") return;
  [[0, 660], [0.2, 880]].forEach(([after, pitch]) => {
    const from = audio.currentTime + after, wave = audio.createOscillator(), loud = audio.createGain();
    wave.frequency.value = pitch;
    loud.gain.setValueAtTime(0, from);
    loud.gain.linearRampToValueAtTime(0.25, from + 0.02);
    loud.gain.linearRampToValueAtTime(0, from + 0.18);
    wave.connect(loud).connect(audio.destination);
    wave.start(from);
    wave.stop(from + 0.2);
  });
  view.dataset.sounded = Number(view.dataset.sounded || 0) + 1;
}

function ring(moment) {
  const now = "rings" in moment ? moment.offer : "";
  if (now === rings) return;
  rings = now;
  clearInterval(ringer);
  notice?.close();
  if (!now) return;
  tone();
  ringer = setInterval(tone, 2500);
  if (document.hasFocus() || !("Notification" in window) || Notification.permission !== "granted") return;
  try {
    notice = new Notification(moment.title, { body: moment.who, tag: "call", requireInteraction: true });
    notice.onclick = () => { window.focus(); notice.close(); };
  } catch { /* some phones have notifications for installed pages only */ }
}

sounds.addEventListener("click", () => {
  const on = sounds.ariaPressed !== "true";
  sounds.ariaPressed = String(on);
  if (on) tone();
  post(words.soundsAt, new URLSearchParams({ sounds: on ? "on" : "off" })).catch(() => {});
});
const asks = () => { notify.hidden = !("Notification" in window) || Notification.permission !== "default"; };
notify.addEventListener("click", () => Notification.requestPermission().then(asks));

function icon({ icon: address }) {
  const link = document.querySelector("link[rel=icon]");
  if (address && link.getAttribute("href") !== address) link.href = address;
}

// --- What happened while the page was not in touch -----------------------------------------------
const SEEN = `desk-seen:${view.dataset.agent}`;
const AWAY = 45000; // ms without contact, after which the agent is told what they missed
let away = JSON.parse(sessionStorage[SEEN] || "null");

function inTouch({ now }) {
  const before = localStorage[SEEN];
  localStorage[SEEN] = now;
  if (away?.sent && !byId("away")) setAway(null);
  if (!before || Date.parse(now) - Date.parse(before) < AWAY) return;
  setAway({ since: away?.since ?? before, until: now });
  view.dispatchEvent(new Event("live:refresh"));
}

function setAway(stretch) {
  away = stretch;
  if (away) sessionStorage[SEEN] = JSON.stringify(away);
  else sessionStorage.removeItem(SEEN);
}

view.addEventListener("htmx:configRequest", ({ detail }) => {
  if (!away) return;
  detail.parameters.since = away.since;
  detail.parameters.until = away.until;
  away.sent = true;
});

// --- The page is open ----------------------------------------------------------------------------
const BEAT = 20000, SOON = 10000; // ms between two signs of life; when somebody may wait for one
let beaten = 0;

function beat(every) {
  if (Date.now() - beaten < every) return;
  beaten = Date.now();
  post(words.seen).catch(() => { beaten = 0; });
}

// --- Together ------------------------------------------------------------------------------------
function fresh(moment) {
  icon(moment);
  ring(moment);
  inTouch(moment);
  beat(SOON);
}

view.addEventListener("live:fresh", ({ detail }) => fresh(detail));
view.addEventListener("live:alive", () => beat(SOON));
setInterval(() => beat(BEAT), 5000);
view.addEventListener("click", (event) => {
  const number = event.target.closest("[data-number]");
  if (number) {
    event.preventDefault();
    byId("dial-to").value = number.dataset.number;
    byId("dial-go").focus();
  } else if (event.target.closest("#away-read")) {
    setAway(null);
    byId("away").remove();
    byId("content").focus();
  }
});

tap.textContent = words.tap;
tap.hidden = sounds.ariaPressed !== "true" || Boolean(navigator.userActivation?.hasBeenActive);
asks();
restore();
fresh(byId("moment").dataset);
