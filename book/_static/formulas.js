// Sets the formulas that Sphinx wrote as \(…\) and \[…\]. What KaTeX cannot read stays as text and is an error in the
// console, which the browser tests see.
document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".math")) {
    // A display formula may carry its number beside the text.
    for (const node of [...place.childNodes].filter((child) => child.nodeType === Node.TEXT_NODE)) {
      const found = /^\s*(\\\(|\\\[)([\s\S]*)(\\\)|\\\])\s*$/.exec(node.textContent);
      if (!found) continue;
      const set = document.createElement("span");
      try {
        katex.render(found[2], set, { displayMode: found[1] === "\\[", strict: "warn" });
        node.replaceWith(set);
      } catch (error) {
        console.error(`formula not set: ${error.message}`);
      }
    }
  }
});
