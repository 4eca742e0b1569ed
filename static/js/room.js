// The supervisor's room: menus filled from the row they belong to, and what came of an action.
// The menus stand outside of what live.js fetches again, so they stay open while the board goes on.

const view = document.getElementById("live");
const toasts = document.getElementById("toasts");
const unsent = document.getElementById("unsent");
const SHOWN = 8000, SHOWN_REFUSED = 15000; // ms
let row = {}, opener = ""; // what the open menu is about: its row's data, and its button's id

// What is pressed among the further alerts closes them: an open popover is not fetched again.
view.addEventListener("click", ({ target }) => target.closest("#more-alerts button")?.closest("[popover]").hidePopover());

// --- Menus ---------------------------------------------------------------------------------------
function option(value, text) {
  return new Option(text, value);
}

const agents = () => [...view.querySelectorAll("[data-agent-pk]")].map((button) => button.dataset);
const queues = () => [...view.querySelectorAll("[data-open=menu-queue]")].map((button) => button.dataset);

function fillSelect(select) {
  const { agents: wanted, queues: isQueues, none, nobody, everybody, ofQueue } = select.dataset;
  if (everybody) {
    select.replaceChildren(option("all", everybody), ...queues().map((q) => option(q.to, `${ofQueue}: ${q.name}`)),
      ...agents().map((agent) => option(agent.to, agent.name)));
    select.value = row.to ?? "all";
  } else if (isQueues !== undefined) {
    select.replaceChildren(...queues().filter((q) => q.key !== row.queue).map((q) => option(q.key, q.name)));
  } else if (wanted) {
    const fit = agents().filter((agent) => wanted === "all" || agent.state === wanted);
    select.replaceChildren(...(nobody ? [option("", nobody)] : []), ...fit.map((agent) => option(agent.key, agent.name)));
    if (!select.options.length) select.append(option("", none));
  }
  if (select.name === "reason") select.value = row.reason || "";
}

function fill(menu) {
  for (const part of menu.querySelectorAll("[data-fill]")) part.textContent = row[part.dataset.fill] ?? "";
  for (const part of menu.querySelectorAll("[data-when]")) part.hidden = !part.dataset.when.split(" ").includes(row.state);
  for (const part of menu.querySelectorAll("[data-if]")) part.hidden = !row[part.dataset.if];
  for (const select of menu.querySelectorAll("select")) fillSelect(select);
  for (const details of menu.querySelectorAll("details")) details.open = false;
  for (const button of menu.querySelectorAll(".modes button")) {
    button.setAttribute("aria-pressed", button.value === (row.mode || row.presence));
  }
  for (const error of menu.querySelectorAll(".error")) error.textContent = "";
}

function place(menu, button) {
  const near = button.getBoundingClientRect(), { offsetWidth: across, offsetHeight: down } = menu;
  const left = Math.min(Math.max(8, near.right - across), innerWidth - across - 8);
  const top = near.bottom + 4 + down < innerHeight ? near.bottom + 4 : Math.max(8, innerHeight - down - 8);
  menu.style.setProperty("--left", `${left}px`);
  menu.style.setProperty("--top", `${top}px`);
}

function open(button) {
  const menu = document.getElementById(button.dataset.open), within = button.closest("dialog");
  if (within) within.close();
  else { row = { ...button.dataset }; opener = button.id; }
  fill(menu);
  menu.showModal();
  place(menu, document.getElementById(opener) ?? button);
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-open]");
  if (button) return open(button);
  if (target.closest("[data-close]") || target.matches("dialog")) return target.closest("dialog").close();
  if (target.closest(".toast .close")) target.closest(".toast").remove();
});
for (const menu of document.querySelectorAll("dialog")) {
  menu.addEventListener("toggle", () => { // a part of it was opened: it must not leave the window
    const button = document.getElementById(opener);
    if (menu.open && button) place(menu, button);
  }, true);
  menu.addEventListener("close", () => document.getElementById(opener)?.focus());
}

// --- Actions -------------------------------------------------------------------------------------
document.addEventListener("submit", (event) => {
  const form = event.target, { submitter } = event;
  if (!form.hasAttribute("data-act")) return;
  event.preventDefault();
  const address = new URL(submitter?.hasAttribute("formaction") ? submitter.formAction : form.action).pathname;
  const key = encodeURIComponent(row.key ?? "");
  const path = form.id === "act" ? address : address.replace("/KEY/", `/${key}/`).replace("/agents/0/", `/agents/${key}/`);
  const values = Object.fromEntries(new FormData(form, submitter));
  if (!form.hasAttribute("data-stay")) form.closest("dialog")?.close();
  htmx.ajax("POST", path, { source: form, target: view, swap: "parts", values });
});

document.addEventListener("htmx:afterRequest", ({ detail }) => {
  const form = detail.elt;
  if (!form.matches("form[data-act]")) return;
  unsent.hidden = detail.successful || detail.xhr.status === 403;
  setTimeout(() => view.dispatchEvent(new Event("live:refresh")), 1000); // what was asked for meanwhile was dropped
  if (!form.hasAttribute("data-stay") || !detail.successful) return;
  const told = document.getElementById("told").dataset;
  if (told.tone === "bad") return void (form.querySelector(".error").textContent = told.text);
  form.reset();
  form.closest("dialog").close();
});

// --- What came of it -----------------------------------------------------------------------------
function say(text, tone) {
  const toast = document.getElementById("toast").content.firstElementChild.cloneNode(true);
  toast.classList.add(`tone-${tone}`);
  toast.querySelector("use").setAttribute("href", tone === "bad" ? "#s-warning" : "#s-check");
  toast.querySelector("span").textContent = text;
  toasts.replaceChildren(toast);
  setTimeout(() => toast.remove(), tone === "bad" ? SHOWN_REFUSED : SHOWN);
}

view.addEventListener("htmx:afterSwap", () => {
  const { text, tone } = document.getElementById("told").dataset;
  if (text && !(tone === "bad" && document.querySelector("dialog[open] [data-stay]"))) say(text, tone);
});

// Answered with what others were shown a moment ago, while something has happened since.
view.addEventListener("again", () => setTimeout(() => view.dispatchEvent(new Event("live:refresh")), 1000));
