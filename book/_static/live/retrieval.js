// Retrieval: a query, the style it is drawn in and a layer, and the five nearest emoji of the gallery's style.
xferkitLive.add("retrieval", ({ place, controls, stage, say }, data, kit) => {
  const { el } = kit;
  const styles = Object.keys(data.styles), layers = data.layers;
  const query = kit.choice("query", data.queries, (q) => q.name, () => draw());
  const style = kit.choice("drawn in", styles, (s) => data.styles[s], () => draw());
  const layer = kit.slider("layer", layers, layers.indexOf(data.start), String, () => draw());
  controls.append(query.part, style.part, layer.part);
  style.part.querySelector("select").value = styles.indexOf("twemoji");
  const hits = el("ol", { class: "live-hits" });
  stage.append(hits);

  const sprite = (sheet, at, words) => {
    const [column, row] = [at % data.columns, Math.floor(at / data.columns)];
    return el("span", { class: "live-sprite", role: "img", "aria-label": words,
      style: `background-image: url(${kit.home}${sheet}.webp); background-position: -${64 * column}px -${64 * row}px` });
  };

  function draw() {
    const [asked, drawn, at] = [query.get(), styles.indexOf(style.get()), layers.indexOf(layer.get())];
    const found = data.hits[data.queries.indexOf(asked)][drawn][at];
    const shown = el("li", { class: "is-query" }, sprite("queries", data.queries.indexOf(asked) * styles.length + drawn, asked.name), "query: ", asked.name);
    hits.replaceChildren(shown, ...found.map((i) => {
      const hit = data.gallery[i], same = hit.class === asked.class;
      return el("li", { class: same ? "is-hit" : "is-miss" }, sprite("gallery", i, hit.name), `${same ? "✓" : "✗"} ${hit.name}`);
    }));
    const right = found.filter((i) => data.gallery[i].class === asked.class).length;
    say(`${asked.name} in ${data.styles[style.get()]} by ${layer.get()}: ${right} of ${found.length} have the query's class, ${data.classes[asked.class]}. `
      + `Over all ${data.asked} queries in this style at this layer: ${kit.percent(data.shares[drawn][at])}; by chance ${kit.percent(data.chance)}.`);
  }
  place.append(el("p", { class: "live-key" }, data.credit));
  draw();
});
