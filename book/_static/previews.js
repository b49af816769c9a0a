// What a link leads to, shown beside it to the pointer and to the keyboard: a citation, a term, a function, a figure or
// table of this page. The words are the link's own title; without scripts the browser shows them.
document.addEventListener("DOMContentLoaded", () => {
  const links = document.querySelectorAll("article :is(a.citation, a.term, a.api, a.place)[title]");
  if (!links.length) return;
  const box = document.createElement("div");
  box.className = "preview";
  box.id = "preview";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  document.body.append(box);
  let shown = null;
  let waiting = 0;

  // The picture or the table itself, above its caption's words.
  const thing = (link) => {
    if (!link.matches(".place")) return [];
    const caption = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    const table = link.hash.startsWith("#table");
    const all = [...document.querySelectorAll(table ? "article table" : "article .cell_output img")];
    const lies = (side) => (one) => caption.compareDocumentPosition(one) & side;
    const one = table ? all.find(lies(Node.DOCUMENT_POSITION_FOLLOWING)) : all.findLast(lies(Node.DOCUMENT_POSITION_PRECEDING));
    if (!one) return [];
    const copy = one.cloneNode(true);
    copy.removeAttribute("id");
    copy.loading = "eager";
    return [copy];
  };

  const hide = () => {
    clearTimeout(waiting);
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    box.hidden = true;
  };
  const show = (link) => {
    clearTimeout(waiting);
    if (shown === link) return;
    hide();
    shown = link;
    box.replaceChildren(...thing(link), link.dataset.preview);
    link.setAttribute("aria-describedby", box.id);
    box.hidden = false;
    const place = link.getClientRects()[0];
    const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - box.offsetWidth - 8));
    const above = place.bottom + box.offsetHeight + 8 > innerHeight && place.top > box.offsetHeight + 8;
    box.style.left = `${left + scrollX}px`;
    box.style.top = `${(above ? place.top - box.offsetHeight - 4 : place.bottom + 4) + scrollY}px`;
  };
  for (const link of links) {
    link.dataset.preview = link.title;
    link.removeAttribute("title");
    link.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "touch") waiting = setTimeout(() => show(link), 150);
    });
    link.addEventListener("pointerleave", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { if (!box.matches(":hover") && document.activeElement !== link) hide(); }, 200);
    });
    link.addEventListener("focus", () => show(link));
    link.addEventListener("blur", hide);
  }
  box.addEventListener("pointerleave", () => { if (document.activeElement !== shown) hide(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
});
