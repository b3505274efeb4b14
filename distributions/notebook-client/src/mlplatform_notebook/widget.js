// The part of the widget that runs in the browser. Text from the API is set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const ROW = 30, LEFT = 110, PANEL = 270, GAP = 140, TOP = 26;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// The end of a scale: one estimate that is far off must not flatten all others.
export function scaleEnd(highs) {
  const sorted = highs.filter((value) => value > 0).sort((a, b) => a - b);
  if (!sorted.length) return 1;
  return Math.min(sorted[sorted.length - 1], 4 * sorted[Math.floor((sorted.length - 1) / 2)]);
}

function total(estimate, name) {
  return estimate.prepare[name] + estimate.run[name];
}

function plot(estimates) {
  const width = LEFT + 2 * PANEL + GAP + 80, height = TOP + ROW * estimates.length + 8;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img", class: "mlp-plot" });
  svg.append(shape("title", {}, "Time and cost of each place, with their ranges"));
  const times = scaleEnd(estimates.map((each) => total(each, "high")));
  const costs = scaleEnd(estimates.map((each) => each.cost.high));
  const second = LEFT + PANEL + GAP;
  svg.append(shape("text", { x: LEFT, y: 14 }, "time: preparation, run"), shape("text", { x: second, y: 14 }, "cost"));
  estimates.forEach((each, number) => {
    const y = TOP + number * ROW, middle = y + ROW / 2 - 4;
    const along = (start, end) => (value) => start + (PANEL * Math.min(value, end)) / end;
    const time = along(LEFT, times), cost = along(second, costs);
    svg.append(shape("text", { x: 0, y: middle + 4 }, each.title));
    const prepared = time(each.prepare.expected), ended = time(total(each, "expected"));
    svg.append(
      shape("rect", { x: LEFT, y, width: prepared - LEFT, height: ROW - 10, class: "mlp-prepare" }),
      shape("rect", { x: prepared, y, width: ended - prepared, height: ROW - 10, class: "mlp-run" }),
      shape("rect", { x: second, y, width: cost(each.cost.expected) - second, height: ROW - 10, class: "mlp-cost" }),
    );
    const whisker = (from, to) => shape("line", { x1: from, x2: to, y1: middle, y2: middle, class: "mlp-whisker" });
    svg.append(whisker(time(total(each, "low")), time(total(each, "high"))));
    svg.append(whisker(cost(each.cost.low), cost(each.cost.high)));
    const label = (x, text) => shape("text", { x: x + 4, y: middle + 4 }, text);
    const beyond = total(each, "expected") > times ? " (beyond the scale)" : "";
    svg.append(label(time(total(each, "high")), duration(total(each, "expected")) + beyond));
    svg.append(label(cost(each.cost.high), each.cost.expected ? `$${each.cost.expected.toFixed(2)}` : "no charge"));
  });
  return svg;
}

function advice(document_) {
  const data = document_.input;
  const size = (data.bytes / 1024 ** 3).toFixed(2);
  const about = data.at_least ? "at least " : "";
  const kinds = data.kinds.map((each) => each.kind).join(", ");
  const box = element("div", { className: "mlp-advice" });
  box.append(element("p", {}, `${about}${data.objects} objects, ${size} GiB, ${kinds}`));
  box.append(plot(document_.estimates));
  const lines = [
    ...document_.proposals.map(
      (each) =>
        `${each.action}: ${each.why}; saves ${duration(each.saves_seconds.expected)} and ` +
        `$${each.saves_dollars.expected.toFixed(2)} a run`,
    ),
    ...document_.estimates.flatMap((each) => each.notes.map((note) => `${each.title}: ${note}`)),
    ...document_.warnings,
  ];
  box.append(element("ul", {}, ...lines.map((line) => element("li", {}, line))));
  const prices = document_.prices;
  box.append(element("p", { className: "mlp-note" }, `prices of ${prices.region}, compared ${prices.compared}`));
  return box;
}

function progress(found) {
  const bar = element("progress", { max: 1 });
  if (found.share !== null) bar.value = found.share;
  const phases = found.phases.map((each) => {
    const phase = element("span", { className: "mlp-phase" }, each.name);
    phase.dataset.state = each.state;
    return phase;
  });
  const where = found.where === "aws" ? "in AWS" : "locally";
  const status = element("span", { className: "mlp-status" }, `${found.status} ${where}`);
  const box = element("div", { className: "mlp-row mlp-progress" }, bar, ...phases, status);
  return found.error ? element("div", {}, box, element("div", { className: "mlp-error" }, found.error)) : box;
}

let count = 0;

function render({ model, el }) {
  const id = `mlp-${(count += 1)}`;
  const inputs = model.get("inputs");
  const input = element("input", { type: "text", className: "mlp-input", value: inputs[0] ?? "", list: `${id}-inputs` });
  const known = element("datalist", { id: `${id}-inputs` }, ...inputs.map((each) => element("option", { value: each })));
  const ask = element("button", { className: "mlp-ask" }, "Get advice");
  const output = element("input", { type: "text", className: "mlp-output", value: model.get("output") });
  const choice = (value, text, checked) => {
    const radio = element("input", { type: "radio", name: `${id}-where`, value, checked });
    return [radio, element("label", {}, radio, text)];
  };
  const [aws, awsLabel] = choice("aws", "run on AWS", true);
  const [, localLabel] = choice("local", "run locally", false);
  const options = ["gzip", "parquet"].map((each) => element("option", { value: each }, each));
  const format = element("select", { className: "mlp-format" }, ...options);
  const start = element("button", { className: "mlp-start" }, "Prepare data");
  const stop = element("button", { className: "mlp-stop" }, "Cancel");
  const found = element("div"), state = element("div"), error = element("div", { className: "mlp-error" });

  ask.onclick = () => model.send({ action: "advise", input: input.value });
  start.onclick = () =>
    model.send({
      action: "run",
      input: input.value,
      output: output.value,
      where: aws.checked ? "aws" : "local",
      format: format.value,
    });
  stop.onclick = () => model.send({ action: "cancel" });

  const update = () => {
    const run = model.get("progress");
    const running = run?.status === "running";
    ask.disabled = model.get("busy") === "advise";
    start.disabled = running;
    stop.disabled = !running;
    error.textContent = model.get("error");
    found.replaceChildren(...(model.get("advice") ? [advice(model.get("advice"))] : []));
    state.replaceChildren(...(run ? [progress(run)] : []));
  };
  const names = ["advice", "progress", "error", "busy"].map((name) => `change:${name}`);
  for (const name of names) model.on(name, update);
  el.append(
    element(
      "div",
      { className: "mlp" },
      element("div", { className: "mlp-row" }, "data", input, known, ask),
      found,
      element("div", { className: "mlp-row" }, "output", output, format, awsLabel, localLabel, start, stop),
      state,
      error,
    ),
  );
  update();
  return () => {
    for (const name of names) model.off(name, update);
  };
}

export default { render };
