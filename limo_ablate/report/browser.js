// Browser of completions. It shows text of models and data sets, which is only ever inserted as text.
{
  const root = document.getElementById("browser");
  const VERDICTS = { any: "any verdict", correct: "correct", incorrect: "incorrect", undecided: "undecided", length: "truncated" };
  const MOST = 1000; // rows of the list that are drawn
  const NOTHING = { cell: "", beside: "", benchmark: "", verdict: "any", text: "", differ: "", sort: "", problem: "", seed: "", sample: "" };
  let data, rows, chosen = { ...NOTHING };
  const controls = {};

  async function unpack() {
    const bytes = Uint8Array.from(atob(document.getElementById("packed").textContent), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function element(tag, name, ...children) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    node.append(...children); // a string becomes a text node
    return node;
  }

  function index() {
    const found = new Map();
    data.rows.cell.forEach((cell, row) => {
      const key = cell + " " + data.rows.item[row];
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(row);
    });
    return found;
  }

  const of = (cell, item) => rows.get(data.cells.indexOf(cell) + " " + item) ?? [];
  const problem = row => data.problems.benchmark[data.rows.item[row]] + ": " + data.problems.problem[data.rows.item[row]];
  const is = row => chosen.verdict === "any" || data.rows.status[row] === chosen.verdict || data.rows.finish[row] === chosen.verdict;

  // The same problem's completion in the other cell: of the same seed and sample, if it is there.
  function twin(row) {
    const { item, seed, sample } = data.rows, others = of(chosen.beside, item[row]);
    return others.find(other => seed[other] === seed[row] && sample[other] === sample[row])
      ?? others.find(other => seed[other] === seed[row]) ?? others[0];
  }

  function differs(row) {
    const other = twin(row);
    return other !== undefined && data.rows.status[other] !== data.rows.status[row];
  }

  function has(row, text) {
    const { prompt_id, thinking, completion, answer, reason } = data.rows;
    const parts = [problem(row), data.prompts[prompt_id[row]], thinking[row], completion[row], answer[row], reason[row]];
    return parts.some(part => part?.toLowerCase().includes(text));
  }

  const COLUMNS = {
    problem: { title: "Problem", of: problem },
    seed: { title: "Seed", of: row => data.rows.seed[row], number: true },
    status: { title: "Verdict", of: row => data.rows.status[row] },
    other: { title: "Verdict beside", of: row => data.rows.status[twin(row)] ?? null },
    tokens: { title: "Tokens", of: row => data.rows.tokens[row], number: true },
    answer: { title: "Answer", of: row => data.rows.answer[row] },
    reason: { title: "Reason", of: row => data.rows.reason[row] ?? data.rules[data.rows.rule[row]] ?? data.rows.rule[row] },
  };
  const shown = () => Object.entries(COLUMNS).filter(([key]) => key !== "other" || chosen.beside);

  function matching() {
    const cell = data.cells.indexOf(chosen.cell), text = chosen.text.toLowerCase();
    const found = [...data.rows.cell.keys()].filter(row => data.rows.cell[row] === cell && is(row) &&
      (!chosen.benchmark || data.problems.benchmark[data.rows.item[row]] === chosen.benchmark) &&
      (!chosen.differ || !chosen.beside || differs(row)) && (!text || has(row, text)));
    const down = chosen.sort.startsWith("-"), column = COLUMNS[chosen.sort.replace("-", "")];
    if (!column) return found;
    const order = (a, b) => a === null || b === null ? (a === null) - (b === null) : (down ? -1 : 1) * (column.number ? a - b : a.localeCompare(b, "en", { numeric: true }));
    return found.sort((a, b) => order(column.of(a), column.of(b)) || a - b);
  }

  const isChosen = row => problem(row) === chosen.problem &&
    ["seed", "sample"].every(key => !chosen[key] || String(data.rows[key][row]) === chosen[key]);

  function choose(row) {
    chosen.problem = row === undefined ? "" : problem(row);
    for (const key of ["seed", "sample"]) chosen[key] = row === undefined ? "" : String(data.rows[key][row]);
  }

  function options(select, choices) { // [value, text]
    select.replaceChildren(...choices.map(([value, text]) => { const o = element("option", "", text); o.value = value; return o; }));
  }

  function control(key, title, node) {
    controls[key] = node;
    node.addEventListener(key === "text" ? "input" : "change", () => {
      chosen[key] = node.type === "checkbox" ? (node.checked ? "yes" : "") : node.value;
      update();
    });
    return element("label", node.type === "checkbox" ? "check" : "", title, node);
  }

  function build() {
    const search = element("input"), differ = element("input");
    search.type = "search";
    differ.type = "checkbox";
    const step = (title, by) => {
      const button = element("button", "", title);
      button.type = "button";
      button.addEventListener("click", () => move(by));
      return button;
    };
    controls.steps = [step("← previous", -1), step("next →", 1)];
    root.querySelector(".filters").append(
      control("cell", "Cell", element("select")), control("beside", "Compare with", element("select")),
      control("benchmark", "Benchmark", element("select")), control("verdict", "Verdict", element("select")),
      control("text", "Contains", search), control("differ", "only where they differ", differ), ...controls.steps);
    const cells = data.cells.map(cell => [cell, cell]);
    options(controls.cell, cells);
    options(controls.beside, [["", "none"], ...cells]);
    options(controls.benchmark, [["", "all"], ...[...new Set(data.problems.benchmark)].map(b => [b, b])]);
    options(controls.verdict, Object.entries(VERDICTS));
    root.querySelector(".list").addEventListener("keydown", event => {
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
      if (by === undefined || event.target.tagName !== "TR") return;
      event.preventDefault();
      move(by, true);
    });
  }

  function move(by, focus) {
    const lines = [...root.querySelectorAll(".list tbody tr")], at = lines.findIndex(line => line.ariaSelected === "true");
    const next = Math.abs(by) === 1 && !focus ? (at + by + lines.length) % lines.length : Math.max(0, Math.min(lines.length - 1, at + by));
    select(lines[next], focus);
  }

  function select(line, focus) {
    for (const other of root.querySelectorAll(".list tbody tr")) {
      other.ariaSelected = String(other === line);
      other.tabIndex = other === line ? 0 : -1;
    }
    if (focus) line.focus();
    line?.scrollIntoView({ block: "nearest" });
    choose(line && Number(line.dataset.row));
    panes(line && Number(line.dataset.row));
    remember();
  }

  function update() {
    const found = matching();
    for (const key of ["cell", "beside", "benchmark", "verdict", "text"])
      if (controls[key].value !== chosen[key]) controls[key].value = chosen[key];
    controls.differ.checked = Boolean(chosen.differ);
    controls.differ.disabled = !chosen.beside;
    for (const button of controls.steps) button.disabled = found.length < 2;
    const drawn = Math.min(found.length, MOST), total = found.length.toLocaleString("en");
    document.getElementById("matching").textContent = !found.length ? "No completion in this page matches."
      : `${total} completion${found.length === 1 ? "" : "s"} of ${chosen.cell}` + (drawn < found.length ? `; the first ${drawn.toLocaleString("en")} are listed` : "") + ".";
    const lines = found.slice(0, MOST).map(line);
    root.querySelector(".list").replaceChildren(element("table", "", heading(), element("tbody", "", ...lines)));
    select(lines.find(one => isChosen(Number(one.dataset.row))) ?? lines[0]);
  }

  function heading() {
    const cells = shown().map(([key, { title, number }]) => {
      const button = element("button", "", title), cell = element("th", number ? "number" : "", button);
      button.type = "button";
      cell.scope = "col";
      const [way, sorted] = chosen.sort.startsWith("-") ? ["descending", chosen.sort.slice(1)] : ["ascending", chosen.sort];
      if (sorted === key) cell.setAttribute("aria-sort", way);
      button.addEventListener("click", () => { chosen.sort = chosen.sort === key ? "-" + key : key; update(); });
      return cell;
    });
    return element("thead", "", element("tr", "", ...cells));
  }

  function line(row) {
    const cells = shown().map(([key, column]) => {
      const value = column.of(row), cell = element("td", column.number ? "number" : "", String(value ?? "–").slice(0, 120));
      if (key === "status" || key === "other") cell.classList.add("verdict", value ?? "none");
      return cell;
    });
    const made = element("tr", "", ...cells);
    made.dataset.row = row;
    made.addEventListener("click", () => select(made, true));
    return made;
  }

  function panes(row) {
    const cells = row === undefined ? [] : [[chosen.cell, row], [chosen.beside, twin(row)]].filter(([cell]) => cell);
    root.querySelector(".panes").replaceChildren(...cells.map(([cell, own]) => pane(cell, data.rows.item[row], own)));
  }

  function pane(cell, item, row) {
    const others = of(cell, item).filter(other => other !== row);
    const parts = row === undefined ? [element("p", "muted", "This page has no completion of this cell for the problem.")] : [completion(row)];
    if (others.length) {
      const fold = element("details", "", element("summary", "", `${others.length} more of this cell for the problem`));
      fold.addEventListener("toggle", () => { if (fold.open && fold.children.length === 1) fold.append(...others.map(completion)); });
      parts.push(fold);
    }
    return element("section", "pane", element("h3", "", cell), ...parts);
  }

  function completion(row) {
    const r = data.rows, finish = r.finish[row] === "length" ? "truncated" : r.finish[row];
    const rule = data.rules[r.rule[row]], why = [r.rule[row] + (rule ? ` (${rule})` : ""), r.reason[row]];
    const facts = [
      ["gold", data.problems.gold[r.item[row]]], ["answer", r.answer[row] ?? "none found"], ["rule", why.filter(Boolean).join(": ")],
      ["length", r.tokens[row] === null ? "not recorded" : `${r.tokens[row].toLocaleString("en")} tokens, ${finish}`],
      ["seed", String(r.seed[row])],
    ];
    if (r.score[row] % 1) facts.push(["score", r.score[row].toFixed(3)]);
    if (r.samples[row] > 1) facts.push(["sample", `${r.sample[row]} of ${r.samples[row]}, whose mean score is ${r.mean[row].toFixed(3)}`]);
    const list = element("dl", "facts", ...facts.flatMap(([title, value]) => [element("dt", "", title), element("dd", "", String(value))]));
    const parts = [["Prompt", data.prompts[r.prompt_id[row]]], ["Reasoning", r.thinking[row]]].filter(([, text]) => text)
      .map(([title, text]) => element("details", "", element("summary", "", title), element("pre", "prompt", text)));
    const text = element("pre", "", r.completion[row]);
    text.tabIndex = 0;
    return element("article", r.status[row], element("p", "status", r.status[row]), list, ...parts, text);
  }

  function remember() {
    const kept = Object.entries(chosen).filter(([key, value]) => value && !(key === "verdict" && value === "any"));
    try { history.replaceState(null, "", "#" + new URLSearchParams(kept)); } catch { /* some viewers keep the address */ }
  }

  async function show() {
    if (!data) {
      data = await unpack();
      rows = index();
      build();
    }
    if (!data.cells.includes(chosen.cell)) {
      [chosen.cell, chosen.beside = ""] = data.opens;
      chosen.differ = chosen.beside && "yes";
      if (!matching().length) chosen.differ = "";
    }
    if (!data.cells.includes(chosen.beside)) chosen.beside = "";
    update();
  }

  function follow() { // reads #cell=..&problem=.. from the address
    const query = new URLSearchParams(location.hash.slice(1));
    if (!root || !query.has("cell")) return;
    for (const [key, nothing] of Object.entries(NOTHING)) chosen[key] = query.get(key) ?? nothing;
    if (root.open) show(); else root.open = true;
    root.scrollIntoView();
  }

  root?.addEventListener("toggle", () => { if (root.open) show(); });
  addEventListener("hashchange", follow);
  follow();
}
