"use strict";
// All text of the data is set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const made = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const FRAMES = 24;

// ---- table ----
at("title").textContent = data.title;
for (const group of data.groups) {
  const section = made("section");
  if (group.name) section.append(made("h2", group.name));
  let list = null;
  for (const row of group.rows) {
    if (row.head) {
      list = null;
      const table = made("table"), head = made("tr"), box = made("div", null, "scroll");
      row.head.forEach((name) => { const cell = made("th", name); cell.scope = "col"; head.append(cell); });
      table.append(head);
      row.rows.forEach((own) => {
        const line = made("tr");
        own.forEach((text) => line.append(made("td", text)));
        table.append(line);
      });
      box.append(table);
      section.append(box);
    } else if (row.label === null) {
      list = null;
      section.append(made("p", row.text, row.doubt ? "doubt" : ""));
    } else {
      if (!list) { list = made("dl"); section.append(list); }
      list.append(made("dt", row.label), made("dd", row.text, row.doubt ? "doubt" : ""));
    }
  }
  at("table").append(section);
}

// ---- files ----
function offer(name, text, kind) {
  const link = made("a", name);
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  const item = made("li");
  item.append(link);
  at("files").append(item);
}
offer("summary.json", JSON.stringify(data.summary, null, 1), "application/json");

// ---- structure ----
let viewer = null;
const images = [];  // of the drawn atoms: primitive atom, cell
function drawStructure() {
  const { symbols, positions, cell, repeats, periodic } = data.structure;
  at("crystal").hidden = false;
  for (let a = 0; a < repeats[0]; a++) for (let b = 0; b < repeats[1]; b++) for (let c = 0; c < repeats[2]; c++)
    symbols.forEach((symbol, atom) => images.push({ symbol, atom, cell: [a, b, c],
      place: [0, 1, 2].map((x) => positions[atom][x] + a * cell[0][x] + b * cell[1][x] + c * cell[2][x]) }));
  viewer = $3Dmol.createViewer(at("viewer"), { backgroundColor: "white" });
  showFrames([images.map((own) => own.place)]);
  const corner = (n) => [0, 1, 2].map((x) => n[0] * cell[0][x] + n[1] * cell[1][x] + n[2] * cell[2][x]);
  const point = (n) => { const [x, y, z] = corner(n); return { x, y, z }; };
  for (const axis of [0, 1, 2]) for (const u of [0, 1]) for (const v of [0, 1]) {
    const from = [u, v], start = [0, 0, 0], end = [0, 0, 0];
    [0, 1, 2].filter((x) => x !== axis).forEach((x, k) => { start[x] = end[x] = from[k]; });
    end[axis] = 1;
    viewer.addLine({ start: point(start), end: point(end), color: "gray" });
  }
  viewer.zoomTo();
  viewer.render();
  const lattice = cell.flat().join(" ");
  offer("crystal.extxyz", `${symbols.length}\nLattice="${lattice}" Properties=species:S:1:pos:R:3 pbc="${periodic.map((x) => (x ? "T" : "F")).join(" ")}"\n`
    + symbols.map((s, k) => `${s} ${positions[k].join(" ")}`).join("\n") + "\n", "chemical/x-xyz");
}
function showFrames(frames) {
  const view = viewer.getView();
  const first = viewer.getModel() === null || viewer.getModel() === undefined;
  viewer.stopAnimate();
  viewer.removeAllModels();
  const text = frames.map((places) => `${places.length}\n\n` + places.map((place, k) =>
    `${images[k].symbol} ${place.map((x) => x.toFixed(4)).join(" ")}`).join("\n")).join("\n");
  viewer.addModelsAsFrames(text, "xyz");
  viewer.setStyle({}, { sphere: { scale: 0.28 }, stick: { radius: 0.1 } });
  if (!first) viewer.setView(view);
  viewer.render();
}

// ---- motion ----
let moves = null, playing = false;
function setUpMotion() {
  const { points, qpoints, displacements } = data.motions;
  const bytes = Uint8Array.from(atob(displacements), (c) => c.charCodeAt(0));
  moves = new Int16Array(bytes.buffer);
  const n = 3 * data.structure.symbols.length;
  points.forEach((place, k) => {
    const option = made("option", `${nameOf(place)}(${qpoints[k].map((x) => +x.toFixed(4)).join(", ")})`);
    option.value = k;
    at("point").append(option);
  });
  at("motion").hidden = false;
  const listModes = () => {
    const chosen = at("mode").value || "0", place = points[+at("point").value];
    at("mode").replaceChildren();
    frequenciesAt(place).forEach((f, band) => {
      const option = made("option", `${band + 1}: ${f.toFixed(3)} THz`);
      option.value = band;
      at("mode").append(option);
    });
    at("mode").value = Math.min(+chosen, n - 1);
  };
  at("point").addEventListener("change", () => { listModes(); play(true); });
  at("mode").addEventListener("change", () => play(true));
  at("amplitude").addEventListener("change", () => { if (playing) play(true); });
  at("play").addEventListener("click", () => play(!playing));
  at("motion").addEventListener("submit", (event) => event.preventDefault());
  listModes();
  setUpMotion.listModes = listModes;
}
function play(on) {
  playing = on;
  at("play").setAttribute("aria-pressed", on);
  at("play").textContent = on ? "Stop" : "Move";
  if (!on) {
    showFrames([images.map((own) => own.place)]);
    at("moving").textContent = "";
    return;
  }
  const k = +at("point").value, band = +at("mode").value, q = data.motions.qpoints[k];
  const n = 3 * data.structure.symbols.length, begin = 2 * n * (k * n + band), amplitude = +at("amplitude").value / 32767;
  const inverse = inverted(data.structure.cell);
  const phases = images.map((own) => {
    const reduced = [0, 1, 2].map((i) => own.place.reduce((sum, x, j) => sum + x * inverse[j][i], 0));
    return 2 * Math.PI * reduced.reduce((sum, f, i) => sum + f * q[i], 0);
  });
  const frames = [];
  for (let t = 0; t < FRAMES; t++) frames.push(images.map((own, m) => own.place.map((x, axis) => {
    const angle = phases[m] - 2 * Math.PI * t / FRAMES, where = begin + 2 * (3 * own.atom + axis);
    return x + amplitude * (moves[where] * Math.cos(angle) - moves[where + 1] * Math.sin(angle));
  })));
  showFrames(frames);
  viewer.animate({ loop: "forward", interval: 50, reps: 0 });
  const f = frequenciesAt(data.motions.points[k])[band];
  at("moving").textContent = `Mode ${band + 1} at q = (${q.map((x) => +x.toFixed(4)).join(", ")}): `
    + (f < 0 ? `imaginary, ${(-f).toFixed(3)} THz` : `${f.toFixed(3)} THz, ${(f * 33.35641).toFixed(1)} cm⁻¹`);
  mark(data.motions.points[k], f);
}
function inverted(m) {
  const [a, b, c] = m, cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  const columns = [cross(b, c), cross(c, a), cross(a, b)];
  const volume = a.reduce((sum, x, i) => sum + x * columns[0][i], 0);
  return [0, 1, 2].map((j) => columns.map((own) => own[j] / volume));
}

// ---- bands and density ----
const segments = data.bands ? data.bands.distances : [];
const starts = [];
segments.reduce((sum, own) => { starts.push(sum); return sum + own.length; }, 0);
const segmentOf = (place) => starts.findLastIndex((begin) => begin <= place);
function frequenciesAt(place) {
  const s = segmentOf(place);
  return data.bands.frequencies[s].map((band) => band[place - starts[s]]);
}
function distanceAt(place) {
  const s = segmentOf(place);
  return segments[s][place - starts[s]];
}
function nameOf(place) {
  const k = data.bands.ticks.findIndex((x) => Math.abs(x - distanceAt(place)) < 2e-5);
  return k < 0 ? "" : `${data.bands.labels[k]} `;
}
function mark(place, f) {
  Plotly.restyle("plot", { x: [[distanceAt(place)]], y: [[f]] }, [data.bands.frequencies[0].length]);
}
function drawBands() {
  at("phonons").hidden = false;
  const { ticks, labels, frequencies } = data.bands, INK = "#1f4e8c";
  const traces = frequencies[0].map((_, band) => {
    const x = [], y = [], places = [];
    segments.forEach((own, s) => {
      own.forEach((d, k) => { x.push(d); y.push(frequencies[s][band][k]); places.push(starts[s] + k); });
      x.push(null); y.push(null); places.push(null);
    });
    return { x, y, customdata: places, mode: "lines", line: { color: INK, width: 1.4 }, showlegend: false,
      hovertemplate: `band ${band + 1}, %{y:.3f} THz<extra></extra>` };
  });
  traces.push({ x: [null], y: [null], mode: "markers", marker: { color: "#c0392b", size: 9 }, showlegend: false, hoverinfo: "skip" });
  traces.push({ x: data.density.values, y: data.density.frequencies, xaxis: "x2", mode: "lines", fill: "tozerox",
    line: { color: INK, width: 1.2 }, showlegend: false, hovertemplate: "%{y:.3f} THz, %{x:.3g} states/THz<extra></extra>" });
  const walls = ticks.map((x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color: "#bbb", width: 1 } }));
  const zero = { type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { color: "#bbb", width: 1 } };
  const layout = {
    margin: { l: 52, r: 8, t: 8, b: 42 }, hovermode: "closest", dragmode: "zoom", paper_bgcolor: "white", plot_bgcolor: "white",
    font: { family: "system-ui, sans-serif", size: 13 },
    xaxis: { domain: [0, 0.76], tickvals: ticks, ticktext: labels, zeroline: false, showgrid: false,
      range: [ticks[0], ticks[ticks.length - 1]] },
    xaxis2: { domain: [0.79, 1], title: { text: "states/THz" }, zeroline: false, showgrid: false, rangemode: "tozero" },
    yaxis: { title: { text: "Frequency (THz)" }, zeroline: false, gridcolor: "#eee" },
    shapes: [...walls, zero],
  };
  Plotly.newPlot("plot", traces, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  const plot = at("plot");
  // One frequency, seen in both.
  plot.on("plotly_hover", (event) => {
    const f = event.points[0].y;
    const line = { type: "line", xref: "paper", x0: 0, x1: 1, y0: f, y1: f, line: { color: "#c0392b", width: 1, dash: "dot" } };
    Plotly.relayout("plot", { shapes: [...walls, zero, line] });
  });
  plot.on("plotly_unhover", () => Plotly.relayout("plot", { shapes: [...walls, zero] }));
  plot.on("plotly_click", (event) => {
    const { curveNumber, customdata } = event.points[0];
    if (customdata === undefined || customdata === null || !data.motions) return;
    let nearest = 0;
    data.motions.points.forEach((place, k) => {
      if (Math.abs(place - customdata) < Math.abs(data.motions.points[nearest] - customdata)) nearest = k;
    });
    at("point").value = nearest;
    setUpMotion.listModes();
    at("mode").value = curveNumber;
    play(true);
  });
  const rows = [["segment", "distance", ...frequencies[0].map((_, k) => `band_${k + 1}_THz`)].join(",")];
  segments.forEach((own, s) => own.forEach((d, k) => rows.push([s + 1, d, ...frequencies[s].map((band) => band[k])].join(","))));
  offer("bands.csv", rows.join("\n") + "\n", "text/csv");
  offer("density.csv", ["frequency_THz,states_per_THz", ...data.density.frequencies.map((f, k) => `${f},${data.density.values[k]}`)].join("\n") + "\n", "text/csv");
}

if (data.bands) drawBands();
try {
  if (data.structure) drawStructure();
  if (data.motions) setUpMotion();
} catch (problem) {  // a browser without WebGL
  at("motion").hidden = true;
  data.motions = null;
  at("viewer").textContent = `The crystal cannot be drawn here: ${problem}`;
}
if (data.bands && !data.motions) at("hint").textContent = "Point at a band to find its frequency in the density of states.";
