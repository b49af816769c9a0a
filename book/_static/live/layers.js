// A tour of one network: shape, parameters and receptive field of each part.
xferkitLive.add("layers", ({ controls, stage, say }, data, kit) => {
  const { el } = kit;
  const thousands = (n) => n.toLocaleString("en-US");
  const all = data.parts.reduce((sum, part) => sum + part.parameters, 0);
  const most = Math.max(...data.parts.map((part) => part.parameters));
  const part = kit.slider("part", data.parts, 0, (p) => p.name, () => draw());
  controls.append(part.part);
  const frame = el("span", { "aria-hidden": "true" });
  const picture = el("img", { src: `${kit.home}layers.webp`, width: data.side, height: data.side, loading: "lazy", alt: `The emoji ${data.emoji}` });
  const field = el("div", { class: "live-field" }, picture, frame);
  const bars = el("div", { class: "live-bars" });
  stage.append(el("div", { class: "live-pair" }, el("figure", {}, field,
    el("figcaption", {}, "Frame: what one place in the middle of the output can see.")), el("figure", {}, bars, el("figcaption", {}, "Parameters of each part."))));

  function draw() {
    const here = part.get();
    bars.replaceChildren(...data.parts.flatMap((p) => {
      const mark = p === here ? { class: "is-here" } : {};
      const bar = el("b", { ...mark, style: `width: ${(100 * p.parameters) / most}%` });
      return [el("span", mark, p.name), el("span", {}, bar), el("span", { ...mark, style: "text-align: right" }, thousands(p.parameters))];
    }));
    const share = Math.min(100, (100 * here.field) / data.side); // of the picture's side
    frame.style.width = frame.style.height = `${share}%`;
    frame.style.left = frame.style.top = `${50 - share / 2}%`;
    const numbers = here.shape.reduce((a, b) => a * b, 1);
    const sees = here.field >= data.side
      ? `its receptive field, ${thousands(here.field)} pixels wide, is larger than the picture`
      : `one place sees ${here.field}×${here.field} of ${data.side}×${data.side} pixels`;
    say(`${here.name}: output ${here.shape.join("×")}, ${thousands(numbers)} numbers; ${thousands(here.parameters)} parameters, `
      + `${kit.percent((100 * here.parameters) / all)} of all; ${here.whole ? "it sees the whole picture" : sees}.`);
  }
  draw();
});
