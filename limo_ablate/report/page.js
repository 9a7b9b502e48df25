// Draws the charts in the reader's colour scheme, and sorts tables by a tap on a heading.
const charts = JSON.parse(document.getElementById("charts").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function draw() {
  const options = {
    config: dark.matches ? charts.dark : charts.light,
    tooltip: { theme: dark.matches ? "dark" : "light" },
    renderer: "svg",
    actions: false,
  };
  for (const [id, spec] of Object.entries(charts.specs)) vegaEmbed("#" + id, spec, options);
}

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

for (const heading of document.querySelectorAll(".sortable th")) heading.addEventListener("click", () => sort(heading));
dark.addEventListener("change", draw);
draw();
