"use strict";
// Logs and names come as JSON and become text nodes: none of it is ever parsed as HTML.
const PACE = 2000;
const name = (location.pathname.match(/^\/study\/([\w.-]+)$/) || [])[1];
const main = document.getElementById("main");
const pulse = document.getElementById("pulse");
const open = new Set(); // ids of unfolded details, which stay unfolded
let seen = 0;

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function span(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const percent = (share) => (100 * share).toFixed(1);
const hours = (value) => (value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString("en"));

function part(share, kind) {
  const node = el("i", { class: kind });
  node.style.width = `${100 * share}%`;
  return node;
}

function bar(study) {
  const kinds = ["finished", "running", "failed"];
  return el("div", { class: "progress", role: "img", "aria-label": counts(study) },
    ...kinds.map((kind) => part(study[`${kind}_trials`] / Math.max(1, study.trials), kind)));
}

function counts(study) {
  const kinds = ["finished", "running", "waiting", "failed"].filter((kind) => study[`${kind}_trials`]);
  return kinds.map((kind) => `${study[`${kind}_trials`]} ${kind}`).join(", ");
}

function key(study) {
  const kinds = ["finished", "running", "waiting", "failed"].filter((kind) => study[`${kind}_trials`]);
  return el("p", { class: "key muted" }, ...kinds.map((kind) => el("span", { class: kind }, `${study[`${kind}_trials`]} ${kind}`)));
}

function overview(studies) {
  if (!studies.length) return [el("p", {}, "No studies yet: limo-ablate sweep NAME starts one.")];
  return studies.map((study) => el("article", { class: "card" },
    el("h2", {}, el("a", { href: `/study/${study.study}` }, study.study)),
    ...(study.error ? [el("p", { class: "warning" }, study.error)] : [
      study.question ? el("p", {}, study.question) : null,
      bar(study), key(study),
      el("p", { class: "muted" }, [
        study.left === null ? "" : `about ${span(study.left)} left`,
        `${hours(study.device_hours)} device-hours`,
      ].filter(Boolean).join(" · "), " · ",
      study.report.stamp ? el("a", { href: `/study/${study.study}/report` }, "report") : "no report yet"),
    ])));
}

function tile(value, label, kind) {
  return el("li", kind ? { class: kind } : {}, el("b", {}, value), el("span", {}, label));
}

function tiles(study) {
  const spent = hours(study.device_hours) + (study.budget_hours ? ` of ${hours(study.budget_hours)}` : "");
  const slots = study.slots ? ` of ${study.slots} slots` : "";
  return el("ul", { class: "tiles" },
    tile(`${study.finished_trials} of ${study.trials}`, "trials finished"),
    tile(`${study.running_trials}`, `running${study.runners.length === 1 ? slots : ""}`),
    tile(study.left === null ? "–" : span(study.left), "estimated time left"),
    tile(spent, "device-hours"),
    tile(`${study.failed_trials}`, "failed", study.failed_trials ? "bad" : ""));
}

function running(trial) {
  const share = trial.total ? trial.done / trial.total : 0;
  const facts = [
    trial.stage ? trial.stage + (trial.done === null ? "" : ` ${trial.done} of ${trial.total}`) : "starting",
    trial.left === null ? "" : `${span(trial.left)} left in this stage`,
    trial.speed === null ? "" : `${Math.round(trial.speed).toLocaleString("en")} tokens/s`,
    trial.seconds === null ? "" : `running for ${span(trial.seconds)}`,
    trial.score === null ? "" : `score so far ${percent(trial.score)} % on ${trial.scored} problems`,
  ].filter(Boolean).join(" · ");
  return el("article", { class: "card" }, el("h3", {}, trial.trial),
    el("div", { class: "progress", role: "img", "aria-label": facts }, part(share, "running")),
    el("p", { class: "muted" }, facts),
    curve(trial.losses),
    trial.tail ? unfolds(`${trial.trial} log`, el("span", { class: "line" }, trial.tail.split("\n").pop()), el("pre", {}, trial.tail)) : null);
}

function curve(losses) {
  if (losses.length < 2) return null;
  const [steps, values] = [losses.map((one) => one[0]), losses.map((one) => one[1])];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (step) => 300 * (step - steps[0]) / (steps.at(-1) - steps[0]);
  const y = (loss) => 29 - 28 * (loss - low) / ((high - low) || 1);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", losses.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" "));
  const said = `Training loss: ${values[0]} at step ${steps[0]}, ${values.at(-1)} at step ${steps.at(-1)}`;
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 300 30", preserveAspectRatio: "none", class: "curve", role: "img", "aria-label": said })) drawing.setAttribute(key, value);
  drawing.append(line);
  return el("div", {}, drawing, el("p", { class: "muted" }, said));
}

function unfolds(id, summary, ...children) {
  const node = el("details", {}, el("summary", {}, summary), ...children);
  node.open = open.has(id);
  node.addEventListener("toggle", () => { if (node.open) open.add(id); else open.delete(id); });
  return node;
}

function failed(trial) {
  return el("div", { class: "failure" },
    el("p", {}, el("b", {}, trial.trial), `: ${trial.reason} (${trial.failures} attempt${trial.failures === 1 ? "" : "s"})`),
    trial.tail ? unfolds(trial.trial, "End of the log", el("pre", {}, trial.tail)) : null,
    el("p", { class: "muted" }, "Log: ", el("code", {}, trial.log), el("br"), "Rerun: ", el("code", {}, trial.command)));
}

function results(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.scores)))].slice(0, 6);
  const cell = (score) => (score ? percent(score.accuracy) + (score.stderr === null ? "" : ` ± ${percent(score.stderr)}`) : "–");
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", {}, "trial"), ...names.map((n) => el("th", { class: "number" }, n)), el("th", { class: "number" }, "finished"))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, el("td", {}, row.trial),
      ...names.map((n) => el("td", { class: "number" }, cell(row.scores[n]))),
      el("td", { class: "number" }, `${span(row.ago)} ago`))))));
}

function one(study) {
  if (study.error) return [el("p", { class: "warning" }, study.error)];
  const runners = study.runners.map((runner) => runner.id + (runner.silent > 60 ? ` (silent for ${span(runner.silent)})` : ""));
  return [
    study.question ? el("p", {}, study.question) : "",
    tiles(study), bar(study), key(study),
    el("p", { class: "muted" }, runners.length ? `Run by ${runners.join(", ")}` : "No runner is active."),
    ...(study.running.length ? [el("h2", {}, "Running"), ...study.running.map(running)] : []),
    ...(study.failed.length ? [el("h2", {}, "Failed"), ...study.failed.map(failed),
      el("p", { class: "muted" }, "Retry: ", el("code", {}, `limo-ablate retry ${study.study}`))] : []),
    ...(study.results.length ? [el("h2", {}, "Latest results"), el("p", { class: "muted" }, "Accuracy in per cent, ± standard error over problems.",
      ...(study.finished_trials > study.results.length ? [" All trials: ", el("a", { href: "#report" }, "the report"), "."] : [])), results(study.results)] : []),
  ];
}

const frame = document.getElementById("page");
let shown = null;
function load(stamp) {
  shown = stamp;
  document.getElementById("newer").hidden = true;
  frame.src = `/study/${name}/report?${stamp}`;
}

function report(study) {
  const state = study.report;
  if (!state) return;
  const section = document.getElementById("report");
  section.hidden = !state.stamp && !state.error;
  const parts = [state.stamp ? `Drawn ${span(Math.max(0, study.at - state.stamp))} ago` : "", state.drawing ? "being redrawn" : "", state.error || ""];
  document.getElementById("drawn").textContent = parts.filter(Boolean).join("; ") + ".";
  document.getElementById("alone").href = `/study/${name}/report`;
  frame.hidden = !state.stamp;
  if (!state.stamp || state.stamp === shown) return;
  // don't replace the report while somebody is reading it
  const reading = shown !== null && (document.activeElement === frame || frame.matches(":hover"));
  if (!reading) return load(state.stamp);
  const button = document.getElementById("newer");
  button.hidden = false;
  button.onclick = () => load(state.stamp);
}

function show(content) {
  if (name) {
    document.title = `${content.finished_trials ?? "?"}/${content.trials ?? "?"} ${content.study} · limo-ablate`;
    document.getElementById("title").textContent = content.study;
    if (!main.contains(getSelection().anchorNode) || getSelection().isCollapsed) main.replaceChildren(...one(content));
    report(content);
  } else {
    main.replaceChildren(...overview(content));
  }
}

async function look() {
  try {
    const answer = await fetch(name ? `/api/study/${name}` : "/api/studies");
    if (!answer.ok) throw new Error(answer.status === 404 ? "no such study" : await answer.text());
    show(await answer.json());
    seen = Date.now();
    pulse.className = "";
    pulse.textContent = `· ${new Date(seen).toLocaleTimeString()}`;
  } catch (error) {
    pulse.className = "lost";
    const what = error instanceof TypeError ? "no answer from the server" : error.message;
    pulse.textContent = `· ${what}${seen ? `, since ${span((Date.now() - seen) / 1000)}` : ""}`;
  }
  setTimeout(look, document.hidden ? 5 * PACE : PACE);
}

look();
