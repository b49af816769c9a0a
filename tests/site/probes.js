// What the tests ask a page. Put into every page before its own scripts; `browser.py` calls these and notes the answers.
window.probes = (() => {
  const short = (el) => {
    const text = (el.getAttribute("aria-label") || el.textContent || el.getAttribute("src") || "").trim();
    const cls = typeof el.className === "string" && el.className ? "." + el.className.trim().split(/\s+/)[0] : "";
    return `${el.tagName.toLowerCase()}${el.id ? "#" + el.id : cls} “${text.replace(/\s+/g, " ").slice(0, 40)}”`;
  };
  const shown = (el) => {
    if (!el.getClientRects().length) return false;
    const style = getComputedStyle(el);
    return style.visibility !== "hidden" && style.display !== "none";
  };
  const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const still = () => {
    if (document.getElementById("probe-still")) return;
    const style = document.createElement("style");
    style.id = "probe-still";
    style.textContent = "*, ::before, ::after { transition: none !important; animation: none !important; "
      + "scroll-behavior: auto !important; caret-color: transparent !important; }";
    document.head.append(style);
  };

  return {
    frames,

    async settle() {
      still();
      const waited = performance.now();
      while (document.readyState !== "complete" && performance.now() - waited < 10000) await frames();
      await window.xferkitLive?.all(); // figures to try, which wait until a reader comes near
      // Ask for the pictures further down, as a reader does who scrolls.
      const pictures = [...document.images].filter((img) => img.getAttribute("src"));
      pictures.forEach((img) => { img.dataset.probeLoading = img.loading; img.loading = "eager"; });
      await Promise.all(pictures.map((img) => img.decode().catch(() => {})));
      await document.fonts.ready;
      await frames();
    },

    theme(mode) {
      document.documentElement.dataset.mode = mode;
      document.documentElement.dataset.theme = mode;
    },

    // Open everything that is folded, so that what lies inside is looked at too.
    open() {
      document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
      document.querySelectorAll(".toggle-hidden").forEach((el) => el.classList.remove("toggle-hidden"));
    },

    focused: () => (document.activeElement ? short(document.activeElement) : "nothing"),

    overflow() {
      const width = document.documentElement.clientWidth;
      const faults = [];
      if (document.documentElement.scrollWidth > width) {
        faults.push(`the page is ${document.documentElement.scrollWidth} px wide`);
        const inside = (el) => {
          for (let up = el.parentElement; up; up = up.parentElement) {
            if (up !== document.body && getComputedStyle(up).overflowX !== "visible") return true;
          }
          return false;
        };
        for (const el of document.querySelectorAll("body *")) {
          const box = el.getBoundingClientRect();
          if (box.width && box.right > width + 1 && shown(el) && !inside(el)) {
            faults.push(`${short(el)} ends at ${Math.round(box.right)}`);
            if (faults.length > 5) break;
          }
        }
      }
      return faults;
    },

    // A table scrolls sideways rather than break a number or a word in two.
    broken() {
      const faults = [];
      for (const cell of document.querySelectorAll("article table:not(.indextable) :is(td, th)")) {
        const words = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        for (let node = words.nextNode(); node; node = words.nextNode()) {
          if (!/^\s*[\p{L}\p{N}.,_]{2,}\s*$/u.test(node.data) || node.parentElement.closest(".katex")) continue;
          const range = document.createRange();
          range.selectNodeContents(node);
          const lines = new Set([...range.getClientRects()].filter((r) => r.width > 1).map((r) => Math.round(r.top)));
          if (lines.size > 1) faults.push(`“${node.data.trim()}” stands on ${lines.size} lines of its cell`);
        }
      }
      return faults.slice(0, 6);
    },

    // What scrolls inside itself begins at its beginning: its left end can be reached.
    cut() {
      const faults = [];
      for (const place of document.querySelectorAll(".math, .katex-display, pre, .pst-scrollable-table-container, dt.sig")) {
        if (!shown(place)) continue;
        const left = place.getBoundingClientRect().left;
        const inside = [...place.querySelectorAll(".katex-html .base, table, code, span")].slice(0, 3);
        for (const el of inside) {
          const box = el.getBoundingClientRect();
          if (box.width > 1 && box.left < left - 2) { faults.push(`${short(place)} begins ${Math.round(left - box.left)} px outside`); break; }
        }
      }
      return faults.slice(0, 6);
    },

    pictures() {
      const faults = [];
      const content = document.querySelector("article") || document.body;
      let first = true;
      for (const img of document.images) {
        const name = short(img) + " " + (img.getAttribute("src") || "").slice(0, 60);
        if (!img.hasAttribute("alt")) faults.push(`no alternative text: ${name}`);
        else if (!img.alt.trim() && content.contains(img)) faults.push(`empty alternative text: ${name}`);
        if (img.complete && !img.naturalWidth) faults.push(`not shown: ${name}`);
        if (!content.contains(img)) continue;
        if (!img.hasAttribute("width") || !img.hasAttribute("height")) faults.push(`no width and height: ${name}`);
        else {
          const said = img.getAttribute("width") / img.getAttribute("height");
          if (Math.abs(said / (img.naturalWidth / img.naturalHeight) - 1) > 0.02) faults.push(`wrong shape: ${name}`);
        }
        // The first picture is in sight at once; waiting for it would only delay it.
        if (!first && img.dataset.probeLoading !== "lazy") faults.push(`not lazy: ${name}`);
        first = false;
      }
      for (const svg of content.querySelectorAll("svg")) {
        const named = svg.getAttribute("aria-label") || svg.getAttribute("aria-labelledby") || svg.querySelector("title");
        const hidden = svg.closest('[aria-hidden="true"]');
        if (!named && !hidden && svg.getAttribute("role") === "img") faults.push(`drawing without words: ${short(svg)}`);
      }
      return faults;
    },

    formulas() {
      const all = [...document.querySelectorAll(".math")];
      const unset = all.filter((el) => !el.querySelector("math, mjx-container") || el.querySelector(".katex-error, mjx-merror"));
      return [all.length, unset.map((el) => el.textContent.trim().slice(0, 80))];
    },

    headings() {
      const faults = [];
      const main = document.querySelector("article") || document.body;
      const all = [...main.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(shown);
      const tops = all.filter((el) => el.tagName === "H1").length;
      if (tops !== 1) faults.push(`${tops} headings of the first level`);
      let last = 0;
      for (const el of all) {
        const level = Number(el.tagName[1]);
        if (level > last + 1 && last) faults.push(`h${last} is followed by ${short(el)}`);
        last = level;
      }
      return faults;
    },

    // Signs that only an icon font draws show as empty boxes without it.
    glyphs() {
      const faults = new Set();
      for (const el of document.querySelectorAll("body *")) {
        for (const part of ["::before", "::after"]) {
          const style = getComputedStyle(el, part);
          if (style.content === "none" || style.content === "normal" || style.content === '""') continue;
          if (/[\ue000-\uf8ff]/.test(style.content)) faults.add(`${short(el)} ${part}`);
        }
      }
      return [...faults].slice(0, 10);
    },

    focus() {
      const faults = [];
      const look = (el) => {
        const s = getComputedStyle(el);
        return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor,
                s.textDecorationLine, s.textDecorationThickness].join("|");
      };
      const reach = 'a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex="-1"])';
      for (const el of document.querySelectorAll(reach)) {
        if (el.disabled || el.tabIndex < 0 || !shown(el) || el.closest("dialog:not([open])")) continue;
        el.blur();
        const before = look(el);
        el.focus({ focusVisible: true, preventScroll: true });
        if (document.activeElement !== el) continue;
        const style = getComputedStyle(el);
        const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1
          && !/, 0\)$|transparent/.test(style.outlineColor);
        if (!outlined && look(el) === before) faults.push(short(el));
      }
      document.activeElement?.blur();
      return faults;
    },

    // Code is coloured by a handful of classes; a chapter repeats them ten thousand times. One word of each class in
    // each kind of place stays, the others become plain text in their places, so that the rules run over a page of
    // ordinary size and still see every pair of colours.
    thin() {
      const seen = new Set();
      const places = [...document.querySelectorAll("div.highlight")];
      const spare = [];
      // First look at all, then change all: changing in between would style the page anew ten thousand times.
      for (const place of places) {
        const kind = (place.closest("[class*='highlight-'], .output") || place).className;
        for (const word of place.querySelectorAll("pre span")) {
          const { color, backgroundColor, fontSize } = getComputedStyle(word);
          const key = [kind, word.className, word.parentElement.className, color, backgroundColor, fontSize].join("|");
          if (seen.has(key)) spare.push(word);
          else seen.add(key);
        }
      }
      spare.forEach((word) => word.replaceWith(...word.childNodes));
      places.forEach((place) => place.normalize());
    },

    async axe() {
      const result = await axe.run({ exclude: [[".katex-html"]] }, { resultTypes: ["violations"], elementRef: false });
      const rows = [];
      for (const rule of result.violations) {
        for (const node of rule.nodes) {
          const why = [...node.any, ...node.all, ...node.none].map((check) => check.message).join("; ");
          rows.push([rule.id, rule.impact, node.target.join(" "), why.slice(0, 160)]);
        }
      }
      return rows;
    },
  };
})();
