// λ and training step: the label's boundary in the plane and the features of both domains, from stored weights.
xferkitLive.add("moons", ({ place, controls, stage, say }, data, kit) => {
  const { el } = kit;
  const [LOW, HIGH] = [-3.4, 3.4];
  const read = (text) => text.split(" ").map(Number);
  const pairs = (text) => { const n = read(text); return Array.from({ length: n.length / 2 }, (_, i) => [n[2 * i], n[2 * i + 1]]); };
  const points = Object.fromEntries(Object.entries(data.points).map(([seed, sides]) => [seed, sides.map(pairs)]));
  const stops = Object.keys(data.runs[`${data.lams[0]}|${data.seeds[0]}`]).sort((a, b) => (a === "averaged") - (b === "averaged") || a - b);

  const lam = kit.slider("λ", data.lams, data.lams.indexOf(6), String, () => draw());
  const stop = kit.slider("step", stops, stops.length - 1, (s) => (s === "averaged" ? "averaged" : s), () => draw());
  const seed = kit.choice("seed", data.seeds, String, () => draw());
  controls.append(lam.part, stop.part, seed.part);
  const canvas = () => el("canvas", { role: "img" });
  const [plane, cloud] = [canvas(), canvas()];
  stage.append(el("div", { class: "live-pair" },
    el("figure", {}, plane, el("figcaption", {}, "The plane: x₁ across, x₂ up, −3.4 to 3.4. Line: where the label changes.")),
    el("figure", {}, cloud, el("figcaption", {}, `The ${data.hidden} features in their two main directions, turned to follow the stop before.`))));
  const marks = [["blue", "−", "source, class 0"], ["orange", "+", "source, class 1"], ["ink", "•", "target, no labels"]];
  stage.append(el("div", { class: "live-key" }, ...marks.map(([colour, sign, words]) =>
    el("span", {}, el("i", { style: `color: var(--live-${colour})`, "aria-hidden": "true" }, sign), words))));

  const network = (state) => {
    const [hidden, label, main] = [read(state.hidden), read(state.label), read(state.plane)];
    const units = data.hidden;
    const features = ([x, y]) => Array.from({ length: units }, (_, i) => 1 / (1 + Math.exp(-(hidden[3 * i] * x + hidden[3 * i + 1] * y + hidden[3 * i + 2]))));
    const score = (z) => z.reduce((sum, value, i) => sum + value * label[i], label[units]);
    const project = (z, mean) => [0, 1].map((k) => z.reduce((sum, value, i) => sum + (value - mean[i]) * main[2 * i + k], 0));
    return { features, score, project };
  };
  const embedded = (net, sides) => {
    const z = sides.flat().map(net.features);
    const mean = z[0].map((_, i) => z.reduce((sum, row) => sum + row[i], 0) / z.length);
    return z.map((row) => net.project(row, mean));
  };

  const open = (target) => {
    const side = target.clientWidth, scale = window.devicePixelRatio || 1;
    target.width = target.height = Math.round(side * scale);
    const pen = target.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = kit.colour(place, "paper");
    pen.fillRect(0, 0, side, side);
    return [pen, side];
  };
  const cross = (pen, [x, y], plus) => {
    pen.beginPath();
    pen.moveTo(x - 4, y); pen.lineTo(x + 4, y);
    if (plus) { pen.moveTo(x, y - 4); pen.lineTo(x, y + 4); }
    pen.stroke();
  };
  // Half of each side's points are class 0, the first half.
  const scatter = (pen, all, count, at) => {
    pen.lineWidth = 1.4;
    all.forEach((point, i) => {
      if (i < count) {
        pen.strokeStyle = kit.colour(place, i < count / 2 ? "blue" : "orange");
        cross(pen, at(point), i >= count / 2);
      } else {
        pen.fillStyle = kit.colour(place, "ink");
        const [x, y] = at(point);
        pen.fillRect(x - 1.25, y - 1.25, 2.5, 2.5);
      }
    });
  };

  const drawPlane = (net, sides) => {
    const [pen, side] = open(plane);
    const cells = 96, step = side / cells, scale = window.devicePixelRatio || 1;
    const at = ([x, y]) => [((x - LOW) / (HIGH - LOW)) * side, ((HIGH - y) / (HIGH - LOW)) * side];
    const value = (i, j) => net.score(net.features([LOW + ((HIGH - LOW) * i) / cells, HIGH - ((HIGH - LOW) * j) / cells]));
    const grid = Array.from({ length: cells + 1 }, (_, i) => Array.from({ length: cells + 1 }, (__, j) => value(i, j)));
    for (let i = 0; i < cells; i += 1) {
      for (let j = 0; j < cells; j += 1) {
        const mean = grid[i][j] + grid[i + 1][j] + grid[i][j + 1] + grid[i + 1][j + 1];
        pen.globalAlpha = 0.2;
        pen.fillStyle = kit.colourNow[mean > 0 ? "orange" : "blue"];
        const edge = (k) => Math.round(k * step * scale) / scale; // whole pixels, so that no seams show
        pen.fillRect(edge(i), edge(j), edge(i + 1) - edge(i), edge(j + 1) - edge(j));
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = kit.colourNow.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    for (let i = 0; i < cells; i += 1) {
      for (let j = 0; j < cells; j += 1) { // where the line crosses a cell's four sides
        const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
        const hits = corners.flatMap(([a, b], k) => {
          const [c, d] = corners[(k + 1) % 4];
          const [p, q] = [grid[a][b], grid[c][d]];
          return p > 0 === q > 0 ? [] : [[(a + ((c - a) * p) / (p - q)) * step, (b + ((d - b) * p) / (p - q)) * step]];
        });
        for (let k = 0; k + 1 < hits.length; k += 2) { pen.moveTo(...hits[k]); pen.lineTo(...hits[k + 1]); }
      }
    }
    pen.stroke();
    scatter(pen, sides.flat(), sides[0].length, at);
  };

  const reach = {}; // one scale for all stops of a run, so that clouds are seen to move and shrink
  function draw() {
    kit.colourNow = Object.fromEntries(["blue", "orange", "ink"].map((name) => [name, kit.colour(place, name)]));
    const key = `${lam.get()}|${seed.get()}`, run = data.runs[key], state = run[stop.get()], sides = points[seed.get()];
    const net = network(state);
    drawPlane(net, sides);
    reach[key] ??= 1.05 * Math.max(...stops.flatMap((s) => embedded(network(run[s]), sides).flat().map(Math.abs)));
    const [pen, side] = open(cloud);
    scatter(pen, embedded(net, sides), sides[0].length, ([x, y]) => [(0.5 + x / reach[key] / 2) * side, (0.5 - y / reach[key] / 2) * side]);
    const when = stop.get() === "averaged" ? "weights averaged over the second half" : `step ${stop.get()}`;
    const words = `λ up to ${lam.get()}, ${when}, seed ${seed.get()}: source error ${kit.percent(state.source_error)}, target error ${kit.percent(state.target_error)}, `
      + `discriminator right for ${kit.percent(state.discriminator)}, A-distance ${kit.number(state.a_distance, 2)}.`;
    say(words);
    plane.setAttribute("aria-label", `Boundary of the labels over source and target points. ${words}`);
    cloud.setAttribute("aria-label", `Features of source and target. ${words}`);
    // What is drawn, for a test: errors by the weights that drew it.
    const wrong = (part) => part.filter((p, i) => (net.score(net.features(p)) > 0) !== i >= part.length / 2).length / part.length;
    place.dataset.drawn = JSON.stringify(sides.map((part) => +(100 * wrong(part)).toFixed(2)));
  }
  draw();
  kit.watch(stage, draw);
});
