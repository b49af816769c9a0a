// Figures to try. A place `<div class="live" data-live="KIND">` is filled when the reader comes near: live/KIND.data.js
// has the data, live/KIND.js draws. Controls are the browser's own, so that the keyboard and screen readers have them.
window.xferkitLive = (() => {
  const home = document.currentScript.src.replace(/[^/]*$/, "") + "live/";
  const data = {};
  const drawers = {};
  const asked = {};

  const script = (name) => (asked[name] ??= new Promise((done, fail) => {
    const tag = document.createElement("script");
    tag.src = home + name;
    tag.onload = done;
    tag.onerror = () => fail(new Error(`${name} is missing`));
    document.head.append(tag);
  }));

  const el = (name, said = {}, ...inside) => {
    const made = name.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
      : document.createElement(name);
    for (const [key, value] of Object.entries(said)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  };

  const kit = {
    el,
    home,
    number: (value, digits = 1) => value.toFixed(digits).replace("-", "−"),
    percent: (value, digits = 1) => `${value.toFixed(digits).replace("-", "−")}\u202f%`,
    colour: (place, name) => getComputedStyle(place).getPropertyValue(`--live-${name}`).trim(),

    // A slider over a list; arrow keys move it. `words` names an entry.
    slider(label, list, start, words, changed) {
      const said = el("output", {}, words(list[start]));
      const input = el("input", { type: "range", min: 0, max: list.length - 1, step: 1, value: start, "aria-valuetext": words(list[start]) });
      input.addEventListener("input", () => {
        said.textContent = words(list[input.value]);
        input.setAttribute("aria-valuetext", words(list[input.value]));
        changed();
      });
      return { part: el("label", { class: "live-control" }, el("span", {}, label), input, said), get: () => list[input.value] };
    },

    choice(label, list, words, changed) {
      const input = el("select", {}, ...list.map((entry, i) => el("option", { value: i }, words(entry))));
      input.addEventListener("change", changed);
      return { part: el("label", { class: "live-control" }, el("span", {}, label), input), get: () => list[input.value] };
    },

    // Draw again when the theme or the width changes.
    watch(place, draw) {
      new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
      let width = place.clientWidth;
      new ResizeObserver(() => { if (place.clientWidth !== width) { width = place.clientWidth; draw(); } }).observe(place);
    },
  };

  const fill = (place) => {
    const kind = place.dataset.live;
    return (place.filled ??= script(`${kind}.data.js`).then(() => script(`${kind}.js`)).then(() => {
      const title = el("p", { class: "live-title", id: `live-${kind}-title` },
        el("strong", {}, `Figure ${place.dataset.figure}, to try. `), place.dataset.title);
      const said = el("p", { class: "live-said", role: "status" });
      const controls = el("div", { class: "live-controls" });
      const stage = el("div", { class: "live-stage" });
      place.setAttribute("role", "group");
      place.setAttribute("aria-labelledby", title.id);
      place.classList.add("live-filled");
      place.prepend(title, controls, stage, said);
      drawers[kind]({ place, controls, stage, say: (text) => { said.textContent = text; } }, data[kind], kit);
    }));
  };

  document.addEventListener("DOMContentLoaded", () => {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); fill(entry.target); }
    }, { rootMargin: "800px" });
    document.querySelectorAll(".live").forEach((place) => seen.observe(place));
  });

  return {
    give: (kind, value) => { data[kind] = value; },
    add: (kind, draw) => { drawers[kind] = draw; },
    all: () => Promise.all([...document.querySelectorAll(".live")].map(fill)),
  };
})();
