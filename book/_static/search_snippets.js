// Gives each result of the search page the passage where it was found, with the words marked, and a link to the
// section. The text comes from searchtext.js, so that this works from a file:// address too.
document.addEventListener("DOMContentLoaded", () => {
  const results = document.getElementById("search-results");
  const query = new URLSearchParams(window.location.search).get("q");
  if (!results || !query || !window.searchText) return;

  const wanted = splitQuery(query.toLowerCase().trim());
  const stemmer = new Stemmer();
  const stems = wanted.map((word) => stemmer.stemWord(word));
  // The words as typed first; their stems find “features” for “feature” and the other way round.
  const findWord = (text, word) => {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (at === 0 || !/[\p{Letter}\p{Number}]/u.test(text[at - 1])) return at;
    }
    return -1;
  };
  const positions = (text) => {
    const low = text.toLowerCase();
    return wanted.map((word, i) => {
      const at = findWord(low, word);
      return at >= 0 ? [at, word.length] : [findWord(low, stems[i]), stems[i].length];
    }).filter(([at]) => at >= 0);
  };

  const passage = (text) => {
    const found = positions(text).sort((a, b) => a[0] - b[0]);
    const from = found.length ? Math.max(0, found[0][0] - 80) : 0;
    const start = from ? text.indexOf(" ", from) + 1 : 0;
    const end = text.length > start + 240 ? text.lastIndexOf(" ", start + 240) : text.length;
    const piece = text.slice(start, end > start ? end : start + 240);
    const out = document.createElement("p");
    out.className = "context";
    if (start) out.append("… ");
    let at = 0;
    for (const [place, length] of found) {
      const here = place - start;
      if (here < at || here >= piece.length) continue;
      // The whole word, not only its stem.
      const whole = length + (/^[\p{Letter}\p{Number}_]*/u.exec(piece.slice(here + length))[0].length);
      out.append(piece.slice(at, here));
      const mark = document.createElement("mark");
      mark.textContent = piece.slice(here, here + whole);
      out.append(mark);
      at = here + whole;
    }
    out.append(piece.slice(at));
    if (start + piece.length < text.length) out.append(" …");
    return out;
  };

  const explain = (item) => {
    const link = item.querySelector("a");
    if (!link || item.querySelector(".context")) return;
    const [page, anchor] = link.getAttribute("href").split("#");
    const places = window.searchText[page.replace(/\.html$/, "")];
    if (!places) return;
    // A place that has the words as they were typed comes before one that has them in another form.
    const score = ([, title, text]) => {
      const low = `${title} ${text}`.toLowerCase();
      return positions(low).length + wanted.filter((word) => findWord(low, word) >= 0).length;
    };
    const named = anchor && places.find(([id]) => id === anchor);
    const best = named || places.reduce((a, b) => (score(b) > score(a) ? b : a), places[0]);
    if (!best) return;
    if (best !== places[0] && !link.textContent.includes(best[1])) {
      const inside = document.createElement("a");
      inside.href = `${page}#${best[0]}`;
      inside.textContent = best[1];
      item.append(" › ", inside);
    }
    if (best[2]) item.append(passage(best[2]));
  };

  new MutationObserver(() => results.querySelectorAll("ul.search > li").forEach(explain))
    .observe(results, { childList: true, subtree: true });
  results.querySelectorAll("ul.search > li").forEach(explain);
});
