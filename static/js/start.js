// The first steps: buttons that copy an address, and steps that tick themselves off.
const EVERY = 5000; // milliseconds

function ready() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.textContent;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = button.dataset.copied;
  document.getElementById("said").textContent = button.dataset.copied;
  setTimeout(() => (button.textContent = label), 2000);
});

async function look() {
  if (document.hidden) return;
  const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (reply.redirected) return location.reload(); // signed out
  if (!reply.ok) return;
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const step of document.querySelectorAll("[data-step]")) {
    const now = page.getElementById(step.id);
    if (!now || now.dataset.step === step.dataset.step) continue;
    const focused = document.activeElement?.id;
    step.replaceWith(now);
    if (focused) document.getElementById(focused)?.focus();
  }
  document.getElementById("finished").hidden = page.getElementById("finished").hidden;
  ready();
}

ready();
setInterval(() => look().catch(() => {}), EVERY); // away: the next look may get through
