// Draws each chart when it scrolls near, in the reader's colours; sorts tables; tracks the contents.
const charts = JSON.parse(document.getElementById("charts").textContent);
const system = matchMedia("(prefers-color-scheme: dark)");
const wide = matchMedia("(min-width: 78rem)");
const NARROW = 480; // pixels: below this width labels are broken into lines and views stacked
const LEAST = 240; // minimum width in pixels of a view beside others
const LINE = 14; // height in pixels of a line of a label
const drawn = new Map(); // id -> { width, done }
let theme = "system", printing = false;

const isDark = () => !printing && (theme === "system" ? system.matches : theme === "dark");
const boxes = () => [...document.querySelectorAll(".chart")];

// Draws a chart once at a time: a redraw requested meanwhile follows.
function draw(box) {
  const last = drawn.get(box.id)?.done ?? Promise.resolve();
  const chart = { width: box.clientWidth };
  chart.done = last.then(before => { before?.finalize(); return paint(box); });
  drawn.set(box.id, chart);
}

async function paint(box) {
  const width = box.clientWidth, dark = isDark();
  const config = structuredClone(dark ? charts.dark : charts.light);
  if (width < NARROW) config.legend.columns = Math.max(2, Math.floor(width / 110));
  const options = { config, tooltip: { theme: dark ? "dark" : "light" }, renderer: "svg", actions: false, ast: true };
  try {
    const result = await vegaEmbed(box, fit(structuredClone(charts.specs[box.id]), width), options);
    await share(result.view, box);
    return result;
  } catch (error) {
    box.textContent = "This chart can't be drawn here: " + error.message;
  }
}

// Vega-Lite's "container" works for a single view only; several views share the width.
function fit(spec, width, data = spec) {
  const narrow = width < NARROW;
  if (spec.spec) {
    const columns = across(spec, data, width);
    if (spec.facet.field) spec.columns = columns;
    fit(spec.spec, Math.floor(width / columns) - 24, data);
    spec.spec.width ??= Math.floor(width / columns) - 24;
  } else if (spec.hconcat || spec.vconcat || spec.concat) {
    const beside = spec.hconcat && !(width / spec.hconcat.length < LEAST);
    if (spec.hconcat && !beside) { spec.vconcat = spec.hconcat; delete spec.hconcat; }
    const views = spec.hconcat ?? spec.vconcat ?? spec.concat;
    if (spec.concat) spec.columns = Math.max(1, Math.min(spec.columns ?? views.length, Math.floor(width / LEAST)));
    const each = width / (beside ? views.length : spec.concat ? spec.columns : 1);
    for (const view of views) { fit(view, each, data); if (!view.spec) view.width = Math.floor(each) - 90; }
  } else if (spec === data) spec.width = "container";
  if (narrow) breakLabels(spec, width, data);
  return spec;
}

function across(spec, data, width) {
  const field = spec.facet.field ?? spec.facet.column?.field;
  if (!field) return 1;
  const rows = data.datasets?.[data.data?.name] ?? [];
  const levels = new Set(rows.map(row => row[field])).size || 1;
  if (!spec.facet.field) return levels; // a grid of rows and columns stays one
  return Math.max(1, Math.min(levels, spec.columns ?? levels, Math.floor(width / LEAST)));
}

// Long names on a vertical axis get two fifths of the width, and several lines if a row has room for them.
function breakLabels(spec, width, data) {
  const pixels = Math.floor(width * 0.4), letters = Math.max(10, Math.floor(pixels / 7));
  for (const layer of [spec, ...(spec.layer ?? [])]) {
    const y = layer.encoding?.y;
    if (!y || y.axis === null || !["nominal", "ordinal"].includes(y.type) || y.axis?.labelExpr) continue;
    y.axis = { ...y.axis, labelLimit: pixels };
    if (step(spec, layer, y.field, data) < 3 * LINE) continue;
    const lines = `replace(datum.label, regexp('(.{1,${letters}})(\\\\s+|$)', 'g'), '$1\\n')`;
    y.axis.labelExpr = `split(trim(${lines}), '\\n')`;
  }
}

// Height in pixels of a row.
function step(spec, layer, field, data) {
  if (spec.height?.step) return spec.height.step;
  const rows = data.datasets?.[(layer.data ?? spec.data ?? data.data)?.name] ?? [];
  return (spec.height ?? 20) / (new Set(rows.map(row => row[field])).size || 1);
}

// Sizes the views of a facet so that the whole is as wide as its box.
async function share(view, box) {
  const size = box.querySelector("svg")?.getBoundingClientRect();
  let own;
  try { own = view.signal("child_width"); } catch { return; }
  if (typeof own !== "number" || !size) return;
  const columns = Math.max(1, Math.round(size.width / (own + 40)));
  const better = Math.floor(own - (size.width - box.clientWidth) / columns);
  if (Math.abs(better - own) > 2) await view.signal("child_width", Math.max(70, better)).runAsync();
}

const near = new IntersectionObserver(entries => {
  for (const { isIntersecting, target } of entries)
    if (isIntersecting && !drawn.has(target.id)) draw(target);
}, { rootMargin: "600px" });

function redraw() {
  for (const box of boxes()) if (drawn.has(box.id)) draw(box);
}

let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => {
    for (const box of boxes()) if (drawn.has(box.id) && drawn.get(box.id).width !== box.clientWidth) draw(box);
  }, 200);
});

function setTheme(chosen) {
  theme = chosen;
  document.documentElement.style.colorScheme = theme === "system" ? "" : theme;
  document.getElementById("theme").textContent = "Theme: " + theme;
}

document.getElementById("theme").addEventListener("click", () => {
  setTheme({ system: "light", light: "dark", dark: "system" }[theme]);
  try { localStorage.setItem("theme", theme); } catch { /* a page without storage forgets it */ }
  redraw();
});
try { setTheme(localStorage.getItem("theme") ?? "system"); } catch { /* as above */ }
system.addEventListener("change", redraw);

// In print all charts are drawn, in light colours.
addEventListener("beforeprint", () => {
  printing = true;
  document.documentElement.style.colorScheme = "light";
  for (const fold of document.querySelectorAll(".fold, .more")) fold.open = true;
  boxes().forEach(draw);
});
addEventListener("afterprint", () => { printing = false; setTheme(theme); redraw(); });

function key(row, column) {
  const text = row.cells[column].textContent;
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1;
}

function sort(heading) {
  const column = heading.cellIndex, body = heading.closest("table").tBodies[0];
  const upwards = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", upwards ? "ascending" : "descending");
  const rows = [...body.rows].sort((a, b) => compare(key(a, column), key(b, column)));
  body.append(...(upwards ? rows : rows.reverse()));
}

for (const heading of document.querySelectorAll(".sortable th")) {
  const button = document.createElement("button");
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => sort(heading));
}

for (const button of document.querySelectorAll(".copy"))
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.nextElementSibling.textContent);
    button.textContent = "Copied";
  });

// The contents are shown beside the page if there is room, else in a menu that closes after a choice.
const contents = document.querySelector(".contents");
const place = () => { contents.open = wide.matches; };
wide.addEventListener("change", place);
place();
contents.addEventListener("click", event => {
  if (event.target.closest("a") && !wide.matches) contents.open = false;
});

const links = new Map([...contents.querySelectorAll("a")].map(link => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(() => {
  const begun = id => document.getElementById(id).getBoundingClientRect().top < innerHeight * .2;
  const current = [...links.keys()].filter(begun).pop();
  for (const [id, link] of links)
    if (id === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
}, { rootMargin: "-10% 0px -80% 0px" });
for (const id of links.keys()) seen.observe(document.getElementById(id));

function unfold() {
  let part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (const fold of part?.querySelectorAll(":scope > .fold") ?? []) fold.open = true;
  for (; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
}
addEventListener("hashchange", unfold);
unfold();
boxes().forEach(box => near.observe(box));
