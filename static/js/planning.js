// Sliders beside the numbers of a plan, and a plan that is made anew while they move (htmx).
// The address follows, so that a plan can be sent to somebody.
const form = document.getElementById("plan-form");

for (const slider of form.querySelectorAll("[data-for]")) {
  const number = document.getElementById(slider.dataset.for);
  slider.hidden = false;
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value.replace(",", "."); });
}

// Another queue has other measured numbers: its plan begins with them.
const queue = document.getElementById("p-queue");
queue.addEventListener("input", (event) => event.stopPropagation());
queue.addEventListener("change", (event) => {
  event.stopPropagation();
  const show = document.getElementById("p-show").value;
  location.assign(`?${new URLSearchParams({ queue: queue.value, show })}`);
});

form.addEventListener("htmx:afterSwap", ({ detail }) => {
  history.replaceState(null, "", detail.pathInfo.finalRequestPath);
  for (const told of form.querySelectorAll("[id^=e-]")) {
    const field = document.getElementById(told.id.replace("e-", "p-"));
    if (told.textContent.trim()) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
});
