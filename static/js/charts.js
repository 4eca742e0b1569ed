// Charts, drawn by uPlot from the table under them: a column's heading names the chart and how it
// is drawn (data-series="level:line"), its cells hold the numbers (data-value). Colours come from
// the page's style; a line's dashes and points and a bar's hatching tell the series apart without.

const TONES = { line: "--talk", dash: "--ring", goal: "--soft", bar: "--free-solid", hatch: "--bad" };
const DASHES = { dash: [8, 5], goal: [2, 5] };
const STEPS = [1, 2, 3, 4, 6, 7, 12, 14, 24, 28, 48, 96, 192, 384, 768];
const WRITE = {
  share: (value) => `${Math.round(value * 1000) / 10} %`,
  count: (value) => `${value}`,
  money: (value) => (value / 100).toLocaleString(document.documentElement.lang, { minimumFractionDigits: 2 }),
};

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function read(figure) {
  const table = document.getElementById(figure.dataset.table);
  const rows = [...table.tBodies[0].rows];
  const series = [...table.tHead.rows].at(-1).querySelectorAll("[data-series]");
  const found = [...series].map((th) => {
    const [chart, kind] = th.dataset.series.split(":"), column = th.dataset.column ?? th.cellIndex;
    const values = rows.map((row) => row.cells[column].dataset.value);
    return { chart, kind, name: th.firstChild.firstChild?.textContent ?? th.textContent, texts: rows.map((row) => row.cells[column].innerText.trim()),
      values: values.map((value) => (value ? Number(value) : null)) };
  });
  return { labels: rows.map((row) => row.cells[0].dataset.label), names: rows.map((row) => row.cells[0].innerText.trim()),
    series: found.filter((one) => one.chart === figure.dataset.chart) };
}

function hatched(colour) {
  const tile = document.createElement("canvas"), pen = tile.getContext("2d");
  tile.width = tile.height = 8;
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  for (const x of [-8, 0, 8]) { pen.moveTo(x, 8); pen.lineTo(x + 8, 0); }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

// Squares, where uPlot would draw circles.
function squares(plot, index, from, to) {
  const path = new Path2D(), half = 4 * devicePixelRatio;
  for (let place = from; place <= to; place++) {
    const value = plot.data[index][place];
    if (value == null) continue;
    path.rect(plot.valToPos(place, "x", true) - half, plot.valToPos(value, "y", true) - half, 2 * half, 2 * half);
  }
  return { stroke: path, fill: path, flags: 3 };
}

function look({ kind, name }, isBar) {
  const colour = css(TONES[kind]);
  if (isBar) return { label: name, stroke: colour, width: 1, points: { show: false },
    fill: kind === "hatch" ? hatched(colour) : colour, paths: uPlot.paths.bars({ size: [0.7, 48], gap: 1 }) };
  return { label: name, stroke: colour, width: 2, dash: DASHES[kind], spanGaps: kind === "goal",
    points: kind === "goal" ? { show: false } : { show: true, size: 9, width: 2, fill: css("--card"), ...(kind === "dash" && { paths: squares }) } };
}

function draw(figure) {
  const { labels, names, series } = read(figure), place = figure.querySelector(".plot"), at = figure.querySelector(".at");
  const { unit } = figure.dataset, isBar = ["bar", "hatch"].includes(series[0].kind);
  const axis = { stroke: css("--soft"), font: `12px ${css("--text")}`, ticks: { show: false } };
  let values = series.map((one) => one.values), order = series;
  if (isBar) { // stacked: the sum is drawn first, and what is under it over that
    values = series.map((_, last) => labels.map((_, row) => series.slice(0, last + 1).reduce((sum, one) => sum + (one.values[row] ?? 0), 0))).reverse();
    order = [...series].reverse();
  }
  place.replaceChildren();
  return new uPlot({
    width: place.clientWidth, height: place.clientHeight, padding: [10, 12, 0, 0], legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: false, range: (_, min, max) => [min - 0.6, max + 0.6] },
      y: { range: (_, min, max) => [0, unit === "share" ? 1.02 : Math.max(max * 1.08, unit === "count" ? 4 : 100)] },
    },
    series: [{}, ...order.map((one) => look(one, isBar))],
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 56, incrs: STEPS, values: (_, places) => places.map((one) => labels[one] ?? "") },
      { ...axis, grid: { stroke: css("--rule"), width: 1 }, size: unit === "money" ? 76 : 52,
        ...(unit === "share" ? { incrs: [0.1, 0.2, 0.25, 0.5] } : unit === "count" ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5] } : {}),
        values: (_, marks) => marks.map(WRITE[unit]) },
    ],
    hooks: { setCursor: [({ cursor }) => {
      const row = cursor.idx;
      at.textContent = row == null ? "" : `${names[row]}: ${series.map((one) => `${one.name} ${one.texts[row] || "–"}`).join(" · ")}`;
    }] },
  }, [labels.map((_, row) => row), ...values], place);
}

const figures = [...document.querySelectorAll("[data-chart]")];
const drawn = new Map();
function again() {
  for (const figure of figures) {
    drawn.get(figure)?.destroy();
    drawn.set(figure, draw(figure));
  }
}

let width = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (contentRect.width !== width) requestAnimationFrame(again);
  width = contentRect.width;
}).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
