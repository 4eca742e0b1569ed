// The time of day on a wall screen, by the server's clock; live.js does the rest.
const view = document.getElementById("live"), time = document.getElementById("time");
let skew = 0;
const learn = () => { skew = Date.parse(document.getElementById("moment").dataset.now) - Date.now(); };
const tick = () => {
  time.textContent = new Date(Date.now() + skew).toLocaleTimeString("en-GB", { timeZone: view.dataset.zone, hour: "2-digit", minute: "2-digit" });
};
view.addEventListener("htmx:afterSwap", learn);
view.addEventListener("again", () => setTimeout(() => view.dispatchEvent(new Event("live:refresh")), 1000));
learn();
tick();
setInterval(tick, 1000);
