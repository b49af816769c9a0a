// Number of labels against accuracy: what fine-tuning, a probe and training from scratch reach.
xferkitLive.add("labels", ({ place, controls, stage, say }, data, kit) => {
  const { el } = kit;
  const words = { mnist: "MNIST", syn_digits: "SynDigits" };
  const looks = [["blue", ""], ["green", "7 4"], ["orange", "2 4"]];
  const target = kit.choice("digits", Object.keys(data.targets), (name) => words[name] ?? name, () => draw());
  const labels = kit.slider("labels a class", data.counts, 0, String, () => draw());
  controls.append(target.part, labels.part);
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

  function draw() {
    const found = data.targets[target.get()], here = data.counts.indexOf(labels.get());
    const width = Math.max(240, stage.clientWidth), height = 270, [left, right, top, bottom] = [44, 12, 12, 40];
    const logs = data.counts.map(Math.log), low = Math.floor(10 * Math.min(...Object.values(found).flat(2))) / 10;
    const x = (i) => left + ((logs[i] - logs[0]) / (logs.at(-1) - logs[0])) * (width - left - right - 10) + 5;
    const y = (v) => top + ((1 - v) / (1 - low)) * (height - top - bottom);
    const chart = el("svg:svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    for (let v = low; v <= 1.0001; v += 0.1) {
      chart.append(el("svg:line", { x1: left, x2: width - right, y1: y(v), y2: y(v), stroke: "var(--live-soft)", "stroke-opacity": 0.35 }),
        el("svg:text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, Math.round(100 * v)));
    }
    data.counts.forEach((count, i) => chart.append(el("svg:text", { x: x(i), y: height - bottom + 18, "text-anchor": "middle" }, count)));
    chart.append(el("svg:text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "labels a class"),
      el("svg:line", { x1: x(here), x2: x(here), y1: top, y2: height - bottom, stroke: "var(--live-ink)", "stroke-width": 1.5, "stroke-dasharray": "1 3" }));
    const lines = Object.entries(found).map(([name, all], k) => {
      const [colour, dash] = [`var(--live-${looks[k][0]})`, looks[k][1]];
      const band = [...all.map((v, i) => [x(i), y(Math.max(...v))]), ...all.map((v, i) => [x(i), y(Math.min(...v))]).reverse()];
      chart.append(el("svg:polygon", { points: band.join(" "), fill: colour, "fill-opacity": 0.15 }),
        el("svg:polyline", { points: all.map((v, i) => [x(i), y(mean(v))]).join(" "), fill: "none", stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash }),
        el("svg:circle", { cx: x(here), cy: y(mean(all[here])), r: 5, fill: colour }));
      return [name, `${kit.number(100 * mean(all[here]))}\u202f% (${kit.number(100 * Math.min(...all[here]))}–${kit.number(100 * Math.max(...all[here]))})`, colour, dash];
    });
    const text = `${words[target.get()] ?? target.get()}, ${labels.get()} labels a class: ${lines.map(([name, value]) => `${name} ${value}`).join("; ")}.`;
    chart.setAttribute("aria-label", `Test accuracy in per cent against labels a class. ${text}`);
    const key = el("div", { class: "live-key" }, ...lines.map(([name, , colour, dash]) => el("span", {},
      el("svg:svg", { width: 34, height: 10, "aria-hidden": "true", style: "display: inline-block; margin-right: 0.3rem" },
        el("svg:line", { x1: 1, x2: 33, y1: 5, y2: 5, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash })), name)));
    stage.replaceChildren(chart, key);
    say(`${text} Mean of ${data.seeds} seeds and what they range over.`);
  }
  draw();
  kit.watch(stage, draw);
});
