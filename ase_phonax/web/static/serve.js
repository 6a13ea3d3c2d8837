"use strict";
// All text that comes from structures or results is set as text, never as markup.
const at = (id) => document.getElementById(id);
const made = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  return element;
};
async function asked(path, how) {
  let answer;
  try {
    answer = await fetch(path, how);
  } catch (problem) {
    throw new Error("the application does not answer: has it been ended?");
  }
  const content = await answer.json().catch(() => ({ error: `it answered ${answer.status}` }));
  if (!answer.ok) throw new Error(content.error);
  return content;
}

// ---- the form ----
let forms = null;
const chosenForm = () => forms.commands.find((own) => own.name === at("command").value);
function showFields() {
  const form = chosenForm(), groups = new Map();
  at("what").textContent = form.help;
  at("model").value = form.default_model;
  at("fields").replaceChildren();
  for (const field of form.fields) {
    if (!groups.has(field.group)) {
      const box = made("fieldset");
      box.append(made("legend", field.group));
      at("fields").append(box);
      groups.set(field.group, box);
    }
    groups.get(field.group).append(fieldOf(field));
  }
}
function fieldOf(field) {
  const box = made("div", null, "field"), label = made("label", field.label), id = `field-${field.name}`;
  let input;
  if (field.choices.length) {
    input = made("select");
    ["", ...field.choices].forEach((value) => {
      const option = made("option", value || "(default)");
      option.value = value;
      input.append(option);
    });
  } else {
    input = made("input");
    input.type = field.is_flag ? "checkbox" : "text";
    if (field.hint) input.placeholder = field.hint;
  }
  input.id = label.htmlFor = id;
  input.dataset.name = field.name;
  const help = made("small", field.help);
  help.id = `${id}-help`;
  input.setAttribute("aria-describedby", help.id);
  box.append(...(field.is_flag ? [input, " ", label] : [label, input]), help);
  return box;
}
function given() {
  const options = {};
  at("fields").querySelectorAll("[data-name]").forEach((input) => {
    if (input.type === "checkbox" ? input.checked : input.value.trim())
      options[input.dataset.name] = input.type === "checkbox" ? true : input.value;
  });
  return options;
}
at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("refused").textContent = "";
  at("start").disabled = true;
  try {
    const file = at("file").files[0];
    if (file && at("text").value.trim()) throw new Error("a file and a text are given: empty one of the two");
    if (file && file.size > forms.largest_bytes) throw new Error(
      `${file.name} has ${(file.size / 1e6).toFixed(1)} MB: at most ${forms.largest_bytes / 1e6} are taken (--largest)`);
    const text = file ? await file.text() : at("text").value;
    if (!text.trim()) throw new Error("no structure is given: choose a file, or paste one");
    const body = JSON.stringify({ command: at("command").value, model: at("model").value, name: file ? file.name : "", text, options: given() });
    const { key } = await asked("api/runs", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    awaited = key;
    await refresh();
  } catch (problem) {
    at("refused").textContent = problem.message;
  } finally {
    at("start").disabled = false;
  }
});

// ---- runs ----
let awaited = null, shown = null, runs = [], timer = null;
async function refresh() {
  clearTimeout(timer);
  try {
    runs = await asked("api/runs");
    if (at("runs").dataset.lost) { at("refused").textContent = ""; delete at("runs").dataset.lost; }
    listRuns();
    const over = runs.find((own) => own.key === awaited && own.state !== "waiting" && own.state !== "running");
    if (over) {
      awaited = null;
      if (over.state === "done") show(over);
    }
  } catch (problem) {
    at("refused").textContent = problem.message;
    at("runs").dataset.lost = "yes";
  }
  const busy = runs.some((own) => own.state === "running" || own.state === "waiting");
  timer = setTimeout(refresh, busy ? 500 : 5000);
}
const items = new Map();  // of runs that are listed: what is there stays, or a click on it could be lost
function listRuns() {
  at("none").hidden = runs.length > 0;
  const keys = new Set(runs.map((run) => run.key));
  for (const [key, item] of items) if (!keys.has(key)) { item.remove(); items.delete(key); }
  runs.forEach((run, place) => {
    if (!items.has(run.key)) items.set(run.key, madeItem(run));
    const item = items.get(run.key);
    if (at("runs").children[place] !== item) at("runs").insertBefore(item, at("runs").children[place] || null);
    const [name, , state, buttons] = item.children, over = run.state !== "waiting" && run.state !== "running";
    if (run.key === shown) name.setAttribute("aria-current", "true"); else name.removeAttribute("aria-current");
    const failed = run.state === "failed", words = failed ? run.words
      : `${run.state}${run.words ? `: ${run.words}` : ""}${run.seconds ? `, ${run.seconds.toFixed(1)} s` : ""}`;
    if (state.textContent !== words) state.textContent = words;
    state.className = failed ? "failed" : "";
    const [showing, ending] = buttons.children;
    showing.hidden = !run.files.length;
    if (ending.textContent !== (over ? "Remove" : "Stop")) ending.textContent = over ? "Remove" : "Stop";
  });
}
function madeItem(run) {
  const item = made("li"), buttons = made("div"), current = () => runs.find((own) => own.key === run.key) || run;
  const options = Object.entries(run.options).map(([n, v]) => `${n.replaceAll("_", " ")} ${v === true ? "" : [v].flat(2).join(" ")}`.trim());
  buttons.append(button(`show-${run.key}`, "Show", () => show(current())),
    button(`stop-${run.key}`, "Stop", () => stop(current())));
  item.append(made("div", `${run.command} of ${run.structure}`, "name"),
    made("div", [run.model.split("/").pop(), run.begun.slice(0, 16).replace("T", " "), ...options].join(", "), "quiet"),
    made("div"), buttons);
  return item;
}
function button(id, text, action) {
  const found = made("button", text);
  found.type = "button";
  found.id = id;
  found.addEventListener("click", action);
  return found;
}
async function stop(run) {
  const over = run.state !== "waiting" && run.state !== "running";
  if (over && !confirm(`Remove the results of ${run.command} of ${run.structure}?`)) return;
  try {
    await asked(`api/runs/${run.key}`, { method: "DELETE" });
    if (over && shown === run.key) { shown = null; at("result").hidden = true; }
  } catch (problem) {
    at("refused").textContent = problem.message;
  }
  await refresh();
}
function show(run) {
  shown = run.key;
  at("result").hidden = false;
  at("result-heading").textContent = `${run.command} of ${run.structure}`;
  const base = `runs/${run.key}`;
  openReport(`${base}/report.html`, [["all files as ZIP", `${base}.zip`]]);
  at("files").replaceChildren(...run.files.map((name) => {
    const item = made("li"), link = made("a", name);
    link.href = `${base}/${encodeURIComponent(name)}`;
    link.target = "_blank";
    item.append(link);
    return item;
  }));
  at("files").parentElement.hidden = false;
  listRuns();
}
function openReport(address, more) {
  at("report").src = address;
  at("links").replaceChildren(...[["on a page of its own", address], ...more].flatMap(([text, href], k) => {
    const link = made("a", text);
    link.href = href;
    link.target = "_blank";
    return k ? [", ", link] : [link];
  }));
  at("result-heading").focus();
}

// ---- screening ----
const PAGE = 100, FOLLOWED_MS = 5000;
let table = null, columns = [], order = null, ascending = true, first = 0;
async function loadTable() {
  table = await asked("api/screening");
  columns = table.shown.slice();
  at("screening").hidden = false;
  offerColumns();
  drawTable();
}
async function followTable() {  // while it grows
  const found = await asked(`api/screening?version=${table.version}`).catch(() => table);
  if (found.rows && found.version !== table.version) {
    const same = found.columns.join() === table.columns.join();
    table = found;
    if (!same) offerColumns();
    drawTable();
  }
}
function offerColumns() {
  at("columns").replaceChildren(...table.columns.map((name) => {
    const label = made("label"), box = made("input");
    box.type = "checkbox";
    box.checked = columns.includes(name);
    box.addEventListener("change", () => {
      columns = table.columns.filter((own) => (own === name ? box.checked : columns.includes(own)));
      drawTable();
    });
    label.append(box, ` ${name}`);
    return label;
  }));
}
function conditions() {
  return at("filter").value.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
    const match = part.match(/^(\w+)\s*(<=|>=|!=|=|<|>)\s*(.*)$/);
    if (!match) return (row) => row.some((value) => typeof value === "string" && value.toLowerCase().includes(part.toLowerCase()));
    const [, name, sign, text] = match, k = table.columns.indexOf(name);
    if (k < 0) throw new Error(`there is no column ${name}`);
    const number = Number(text), compare = {
      "<": (x) => x < number, ">": (x) => x > number, "<=": (x) => x <= number, ">=": (x) => x >= number,
      "=": (x) => (typeof x === "string" ? x === text : x === number), "!=": (x) => (typeof x === "string" ? x !== text : x !== number),
    }[sign];
    return (row) => row[k] !== null && compare(row[k]);
  });
}
function drawTable() {
  let wanted;
  try {
    wanted = conditions();
  } catch (problem) {
    at("count").textContent = problem.message;
    return;
  }
  let places = table.rows.map((_, k) => k).filter((k) => wanted.every((fits) => fits(table.rows[k])));
  const by = table.columns.indexOf(order);
  if (by >= 0) places = places.map((k) => [table.rows[k][by], k]).sort(([x, j], [y, k]) => {
    if (x === null || y === null) return (x === null) - (y === null) || j - k;  // what is missing comes last
    const difference = typeof x === "string" ? x.localeCompare(String(y)) : x - y;
    return (ascending ? difference : -difference) || j - k;
  }).map(([, k]) => k);
  first = Math.min(first, Math.max(0, Math.floor((places.length - 1) / PAGE) * PAGE));
  const seen = places.slice(first, first + PAGE);
  at("count").textContent = `${places.length} of ${table.rows.length} crystals`
    + (places.length > PAGE ? `, ${first + 1} to ${first + seen.length} shown` : "");
  const head = made("tr");
  for (const name of columns) {
    const cell = made("th");
    cell.scope = "col";
    if (name === order) cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    cell.append(button(`sort-${name}`, `${name}${name === order ? (ascending ? " ↑" : " ↓") : ""}`, () => {
      ascending = name === order ? !ascending : true;
      order = name;
      first = 0;
      drawTable();
      at(`sort-${name}`).focus();
    }));
    head.append(cell);
  }
  const places_of = columns.map((name) => table.columns.indexOf(name)), where = columns.indexOf("formula");
  at("rows").replaceChildren(head, ...seen.map((k) => {
    const line = made("tr");
    places_of.forEach((place, column) => {
      const value = table.rows[k][place], cell = made("td", null, typeof value === "string" ? "text" : "");
      const text = value === null || value === undefined ? "" : typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(5) : String(value);
      if (column === Math.max(where, 0)) {
        cell.append(button(`row-${table.keys[k]}`, text || "show", () => {
          at("result").hidden = false;
          at("result-heading").textContent = text;
          at("files").parentElement.hidden = true;
          shown = null;
          openReport(`screening/${table.keys[k]}`, []);
        }));
      } else cell.textContent = text;
      if (cell.className) cell.title = text;
      line.append(cell);
    });
    return line;
  }));
  at("before").disabled = first === 0;
  at("after").disabled = first + PAGE >= places.length;
}
at("filter").addEventListener("input", () => { if (table) { first = 0; drawTable(); } });
at("choose").addEventListener("submit", (event) => event.preventDefault());
at("before").addEventListener("click", () => { first -= PAGE; drawTable(); });
at("after").addEventListener("click", () => { first += PAGE; drawTable(); });

// ---- begin ----
(async () => {
  forms = await asked("api/forms");
  at("formats").textContent = `POSCAR, ${forms.formats.join(", ")}; at most ${forms.largest_bytes / 1e6} MB`;
  forms.commands.forEach((own) => { const option = made("option", own.name); option.value = own.name; at("command").append(option); });
  forms.models.forEach((name) => { const option = made("option", name.split("/").pop()); option.value = name; at("model").append(option); });
  at("command").addEventListener("change", showFields);
  showFields();
  await refresh();
  if (forms.has_screening) {
    await loadTable();
    setInterval(() => { if (!document.hidden) followTable(); }, FOLLOWED_MS);
  }
})().catch((problem) => { at("refused").textContent = problem.message; });
