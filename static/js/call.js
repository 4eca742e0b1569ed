// The picture of a call that goes on: its open stretches grow between two fetches, the axis stays.
const view = document.getElementById("live");
let told = "", skew = 0;

setInterval(() => {
  const moment = document.getElementById("moment").dataset.now;
  if (moment !== told) { told = moment; skew = Date.parse(moment) - Date.now(); }
  const lanes = view.querySelector(".lanes");
  if (!lanes || document.hidden) return;
  const passed = (Date.now() + skew - Date.parse(lanes.dataset.began)) / 10 / Number(lanes.dataset.seconds);
  for (const bar of lanes.querySelectorAll("[data-open]")) {
    const left = Number(bar.dataset.open);
    bar.setAttribute("width", `${Math.max(0.6, Math.min(passed, 100) - left)}%`);
  }
  if (passed >= 100) htmx.trigger(view, "refresh"); // the axis is full: a longer one
}, 1000);
