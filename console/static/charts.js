// Charts by Chart.js from the figures in the page, in the colours of the theme. The library is fetched where it is needed.
const drawn = new Map();
const SERIES = ["--accent", "--calm", "--warn", "--bad", "--link", "--dim"];
let library;

function load() {
  library ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/static/vendor/chart.js-4.6.1/chart.umd.min.js?v=4.6.1";
    script.onload = () => done(window.Chart);
    script.onerror = failed;
    document.head.append(script);
  });
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function draw(Chart, canvas) {
  const { kind, labels, series, stacked, unit } = JSON.parse(canvas.dataset.chart);
  drawn.get(canvas)?.destroy();
  const grid = { color: colour("--line") };
  const ticks = { color: colour("--dim") };
  drawn.set(canvas, new Chart(canvas, {
    type: kind,
    data: {
      labels,
      datasets: series.map(({ label, values }, at) => ({
        label,
        data: values.map(Number),
        backgroundColor: colour(SERIES[at % SERIES.length]),
        borderColor: colour(SERIES[at % SERIES.length]),
        borderWidth: kind === "line" ? 2 : 0,
        pointRadius: 2,
        tension: 0.25,
        maxBarThickness: 56,
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      plugins: {
        legend: { display: series.length > 1, labels: { color: colour("--text") } },
        tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${item.formattedValue}${unit ? ` ${unit}` : ""}` } },
      },
      scales: { x: { stacked, grid, ticks }, y: { stacked, grid, ticks, beginAtZero: true } },
    },
  }));
  canvas.dataset.drawn = "yes";
}

export async function drawCharts(root) {
  const canvases = [...root.querySelectorAll("canvas[data-chart]")];
  if (!canvases.length) return;
  const Chart = await load();
  canvases.forEach((canvas) => draw(Chart, canvas));
}

document.addEventListener("scrip-theme", () => [...drawn.keys()].forEach((canvas) => draw(window.Chart, canvas)));
