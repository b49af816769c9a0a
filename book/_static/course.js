// What scrolls sideways inside a page can be reached and moved with the keyboard: it takes part in the tab order as long
// as it is wider than its place, and no longer.
document.addEventListener("DOMContentLoaded", () => {
  const names = [
    [".pst-scrollable-table-container", "Table that scrolls sideways"],
    [".math .katex-display", "Formula that scrolls sideways"],
    ["dt.sig", "Signature that scrolls sideways"],
    ["div.highlight pre, .output pre", "Code that scrolls sideways"],
  ];
  const fit = (place, name) => {
    const wide = place.scrollWidth > place.clientWidth + 1;
    if (wide && !place.hasAttribute("data-scrolls")) {
      place.dataset.scrolls = "";
      place.tabIndex = 0;
      if (!place.hasAttribute("role") && place.tagName !== "DT") {
        place.setAttribute("role", "group");
        place.setAttribute("aria-label", name);
      }
    } else if (!wide && place.hasAttribute("data-scrolls")) {
      for (const attribute of ["data-scrolls", "tabindex"]) place.removeAttribute(attribute);
      if (place.getAttribute("aria-label") === name) {
        for (const attribute of ["role", "aria-label"]) place.removeAttribute(attribute);
      }
    }
  };
  const watched = new Map();
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const place = watched.has(target) ? target : target.parentElement;
      if (watched.has(place)) fit(place, watched.get(place));
    }
  });
  const watch = () => {
    for (const [selector, name] of names) {
      for (const place of document.querySelectorAll(selector)) {
        if (watched.has(place)) continue;
        watched.set(place, name);
        observer.observe(place);
        // A formula or a table grows inside a place that keeps its size.
        if (place.firstElementChild) observer.observe(place.firstElementChild);
      }
    }
  };
  watch();
  window.addEventListener("load", watch); // formulas are set by then
});
