// Browser of completions. It shows text of models and data sets, which is only ever inserted as text.
{
  const root = document.getElementById("browser");
  const VERDICTS = { any: "any verdict", correct: "correct", incorrect: "incorrect", undecided: "undecided", length: "truncated" };
  let data, rows, chosen = { cell: "", beside: "", benchmark: "", verdict: "any", text: "", problem: "" };
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

  const of = (cell, item) => rows.get(cell + " " + item) ?? [];
  const name = item => data.problems.benchmark[item] + ": " + data.problems.problem[item];
  const is = row => chosen.verdict === "any" || data.rows.status[row] === chosen.verdict || data.rows.finish[row] === chosen.verdict;

  function has(row, text) {
    const { prompt_id, completion, item } = data.rows;
    return [name(item[row]), data.prompts[prompt_id[row]], completion[row]].some(part => part.toLowerCase().includes(text));
  }

  function matching() {
    const cell = data.cells.indexOf(chosen.cell), text = chosen.text.toLowerCase();
    return data.problems.problem.map((_, item) => item).filter(item =>
      (!chosen.benchmark || data.problems.benchmark[item] === chosen.benchmark) &&
      of(cell, item).some(row => is(row) && (!text || has(row, text))));
  }

  function options(select, choices) { // [value, text]
    select.replaceChildren(...choices.map(([value, text]) => { const o = element("option", "", text); o.value = value; return o; }));
  }

  function control(key, title, node) {
    controls[key] = node;
    node.addEventListener(key === "text" ? "input" : "change", () => { chosen[key] = node.value; update(); });
    return element("label", "", title, node);
  }

  function build() {
    const search = element("input");
    search.type = "search";
    const step = (title, by) => {
      const button = element("button", "", title);
      button.type = "button";
      button.addEventListener("click", () => {
        const found = matching(), at = found.map(name).indexOf(chosen.problem);
        chosen.problem = name(found[(at + by + found.length) % found.length]);
        update();
      });
      return button;
    };
    controls.steps = [step("← previous", -1), step("next →", 1)];
    root.querySelector(".filters").append(
      control("cell", "Cell", element("select")), control("beside", "Compare with", element("select")),
      control("benchmark", "Benchmark", element("select")), control("verdict", "Verdict", element("select")),
      control("text", "Contains", search), control("problem", "Problem", element("select")), ...controls.steps);
    const cells = data.cells.map(cell => [cell, cell]);
    options(controls.cell, cells);
    options(controls.beside, [["", "none"], ...cells]);
    options(controls.benchmark, [["", "all"], ...[...new Set(data.problems.benchmark)].map(b => [b, b])]);
    options(controls.verdict, Object.entries(VERDICTS));
  }

  function update() {
    const found = matching().map(name);
    if (!found.includes(chosen.problem)) chosen.problem = found[0] ?? "";
    options(controls.problem, found.map(problem => [problem, problem]));
    for (const key of ["cell", "beside", "benchmark", "verdict", "text", "problem"])
      if (controls[key].value !== chosen[key]) controls[key].value = chosen[key];
    for (const button of controls.steps) button.disabled = found.length < 2;
    document.getElementById("matching").textContent =
      found.length ? `Problem ${found.indexOf(chosen.problem) + 1} of ${found.length}` : "No completion in this page matches.";
    const item = data.problems.problem.findIndex((_, item) => name(item) === chosen.problem);
    const cells = [chosen.cell, chosen.beside].filter(Boolean);
    root.querySelector(".panes").replaceChildren(...(item < 0 ? [] : cells.map(cell => pane(cell, item))));
    const kept = Object.entries(chosen).filter(([key, value]) => value && !(key === "verdict" && value === "any"));
    try { history.replaceState(null, "", "#" + new URLSearchParams(kept)); } catch { /* some viewers keep the address */ }
  }

  function pane(cell, item) {
    const found = of(data.cells.indexOf(cell), item);
    const shown = found.map(completion);
    if (!found.length) shown.push(element("p", "muted", "This page has no completion of this cell for the problem."));
    return element("section", "pane", element("h3", "", cell), ...shown);
  }

  function completion(row) {
    const r = data.rows, finish = r.finish[row] === "length" ? "truncated" : r.finish[row];
    const rule = data.rules[r.rule[row]], why = [r.rule[row] + (rule ? ` (${rule})` : ""), r.reason[row]];
    const facts = [
      ["gold", data.problems.gold[r.item[row]]], ["answer", r.answer[row] ?? "none found"], ["rule", why.filter(Boolean).join(": ")],
      ["length", r.tokens[row] === null ? "not recorded" : `${r.tokens[row].toLocaleString("en")} tokens, ${finish}`],
    ];
    if (r.score[row] % 1) facts.push(["score", r.score[row].toFixed(3)]);
    if (r.samples[row] > 1) facts.push(["sample", `${r.sample[row]} of ${r.samples[row]}, whose mean score is ${r.mean[row].toFixed(3)}`]);
    const list = element("dl", "facts", ...facts.flatMap(([title, value]) => [element("dt", "", title), element("dd", "", String(value))]));
    const prompt = element("details", "", element("summary", "", "Prompt"), element("pre", "prompt", data.prompts[r.prompt_id[row]]));
    const text = element("pre", "", r.completion[row]);
    text.tabIndex = 0;
    return element("article", r.status[row], element("p", "status", r.status[row]), list, prompt, text);
  }

  async function show() {
    if (!data) {
      data = await unpack();
      rows = index();
      build();
    }
    if (!data.cells.includes(chosen.cell)) chosen.cell = data.cells[0];
    if (!data.cells.includes(chosen.beside)) chosen.beside = "";
    update();
  }

  function follow() { // reads #cell=..&problem=.. from the address
    const query = new URLSearchParams(location.hash.slice(1));
    if (!root || !query.has("cell")) return;
    for (const key of Object.keys(chosen)) chosen[key] = query.get(key) ?? (key === "verdict" ? "any" : "");
    if (root.open) show(); else root.open = true;
    root.scrollIntoView();
  }

  root?.addEventListener("toggle", () => { if (root.open) show(); });
  addEventListener("hashchange", follow);
  follow();
}
