// Other thresholds to try. Without this script the page is complete; with it #sliders is shown, and its two
// sliders move the shares, the curve, the histograms and the examples beside the thresholds.
// What it knows stands in #slider-data; memgen_jax/report/sliders.py says how.
"use strict";
(() => {
  const given = JSON.parse(document.getElementById("slider-data").textContent);
  const PHASES = ["memorized", "spurious", "generalized"];
  const part = (name) => document.getElementById(`slider-${name}`);
  const places = given.m.at.length; // the bin behind the last place is what no place reaches
  const several = given.sets.length > 1;
  const sets = given.sets.map((set) => ({
    size: set.num_train,
    total: set.total,
    ends: set.ends,
    cells: Uint8Array.from(atob(set.cells), (letter) => letter.charCodeAt(0)),
  }));
  const space = part("curve").firstElementChild.namespaceURI; // that of SVG
  const start = { m: given.m.start, s: given.s.start };

  // Label of a sample by its two places: as phases.classify.
  const label = (m, s, at) => (m <= at.m ? 0 : s <= at.s ? 1 : 2);

  function counts(set, at) {
    const found = [0, 0, 0];
    for (let i = 0; i < set.cells.length; i += 3) {
      found[label(set.cells[i], set.cells[i + 1], at)] += set.cells[i + 2];
    }
    return found;
  }

  function shares(at) {
    return sets.map((set) => counts(set, at).map((count) => count / set.total));
  }

  // One decimal, a tie to the even digit: as Python writes the page's tables.
  function percent(share) {
    const value = 100 * share;
    const quarter = value * 4; // .25 and .75 alone can be ties
    return `${Number.isInteger(quarter) && quarter % 4 === 1 ? Math.floor(value * 10) / 10 : value.toFixed(1)}%`;
  }

  const grouped = (value) => value.toLocaleString("en-US");

  function svg(kind, attributes, text) {
    const made = document.createElementNS(space, kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function html(kind, attributes, ...children) {
    const made = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // An empty drawing over the place's whole breadth: texts keep their size on a phone.
  function drawing(place, height, words) {
    const width = Math.max(place.clientWidth, 260);
    const made = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words });
    place.replaceChildren(made);
    return [made, width];
  }

  function axis(made, left, right, top, bottom, highest) {
    for (const share of [0, 0.5, 1].map((part) => part * highest)) {
      const y = bottom - ((bottom - top) * share) / highest;
      made.append(svg("line", { x1: left, x2: right, y1: y, y2: y, class: "grid" }));
      const digits = highest < 0.3 && share > 0 ? 1 : 0;
      made.append(svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, `${(100 * share).toFixed(digits)}%`));
    }
  }

  const MARKS = [
    (x, y) => svg("circle", { cx: x, cy: y, r: 4 }),
    (x, y) => svg("path", { d: `M${x} ${y - 5}l5 9h-10z` }),
    (x, y) => svg("rect", { x: x - 3.5, y: y - 3.5, width: 7, height: 7 }),
  ];

  // Shares against K; of a single set, against the places of δ_m.
  function drawCurve(at) {
    const inUse = shares(several ? start : { m: start.m, s: start.s });
    const now = shares(at);
    const words = several
      ? "Shares of the three phases against K at these thresholds; the table below has the numbers. Dotted: at the thresholds in use."
      : "Shares of the three phases against δₘ, at this δₛ; the line marks the slider's place.";
    const [made, width] = drawing(part("curve"), 230, words);
    const [left, right, top, bottom] = [44, width - 14, 12, 190];
    const up = (share) => bottom - (bottom - top) * share;
    axis(made, left, right, top, bottom, 1);
    const line = (points, phase, kind) =>
      made.append(svg("polyline", { points: points.map((p) => p.join(",")).join(" "), class: `${PHASES[phase]} ${kind}` }));
    if (several) {
      const logs = sets.map((set) => Math.log(set.size));
      const across = logs.map((log) => left + 8 + ((right - left - 16) * (log - logs[0])) / (logs.at(-1) - logs[0]));
      PHASES.forEach((name, phase) => {
        line(across.map((x, i) => [x, up(inUse[i][phase])]), phase, "in-use");
        line(across.map((x, i) => [x, up(now[i][phase])]), phase, "now");
        across.forEach((x, i) => {
          const mark = MARKS[phase](x, up(now[i][phase]));
          mark.setAttribute("class", `${name} mark`);
          made.append(mark);
        });
      });
      let free = -Infinity;
      sets.forEach((set, i) => {
        const text = grouped(set.size);
        if (across[i] - 4 * text.length < free) return;
        free = across[i] + 4 * text.length + 6;
        made.append(svg("text", { x: across[i], y: bottom + 17, "text-anchor": "middle" }, text));
      });
      made.append(svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, "training-set size K"));
    } else {
      const x = (m) => left + ((right - left) * m) / (places - 1);
      const along = given.m.at.map((_, m) => shares({ m, s: at.s })[0]);
      PHASES.forEach((_, phase) => line(along.map((found, m) => [x(m), up(found[phase])]), phase, "now"));
      made.append(svg("line", { x1: x(at.m), x2: x(at.m), y1: top, y2: bottom, class: "threshold" }));
      ends(made, left, right, bottom, given.m.at);
      made.append(svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, "δₘ"));
    }
  }

  function ends(made, left, right, bottom, texts) {
    made.append(svg("text", { x: left, y: bottom + 17, "text-anchor": "start" }, texts[0]));
    made.append(svg("text", { x: right, y: bottom + 17, "text-anchor": "end" }, texts.at(-1)));
  }

  // The samples of one set by their place, three places a bar, in the colours of their phases.
  function drawHistogram(which, title, at, set) {
    const bars = Array.from({ length: Math.ceil((places + 1) / 3) }, () => [0, 0, 0]);
    for (let i = 0; i < set.cells.length; i += 3) {
      const [m, s, count] = set.cells.subarray(i, i + 3);
      bars[Math.floor((which === "m" ? m : s) / 3)][label(m, s, at)] += count;
    }
    const highest = Math.max(...bars.map((bar) => bar[0] + bar[1] + bar[2])) / set.total;
    const [made, width] = drawing(part(`histogram-${which}`), 150, `Histogram of ${title}, in the colours of the phases.`);
    const [left, right, top, bottom] = [44, width - 14, 12, 116];
    axis(made, left, right, top, bottom, highest);
    const step = (right - left) / bars.length;
    bars.forEach((bar, i) => {
      let y = bottom;
      bar.forEach((count, phase) => {
        const height = ((bottom - top) * count) / set.total / highest;
        y -= height;
        if (count) made.append(svg("rect", { x: left + i * step, y, width: Math.max(step - 1, 1), height, class: PHASES[phase] }));
      });
    });
    const x = left + ((at[which] + 1) * step) / 3;
    made.append(svg("line", { x1: x, x2: x, y1: top - 8, y2: bottom, class: "threshold" }));
    ends(made, left, right, bottom, which === "m" ? given.m.at : set.ends);
    made.append(svg("text", { x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle" }, title));
  }

  // The two examples nearest to the threshold on either side.
  function showExamples(which, neighbor, at) {
    const place = part(`beside-${which}`);
    const all = given[`beside_${which}`];
    if (!place) return;
    const within = all.filter((one) => one[which] <= at[which]).slice(-2);
    const beyond = all.filter((one) => one[which] > at[which]).slice(0, 2);
    const side = (title, chosen) => {
      const row = html("div", { class: "pairs-row" });
      for (const one of chosen) {
        const images = one.images.map((src, i) =>
          html("img", { src, alt: i ? neighbor : `sample${several ? `, K = ${grouped(one.num_train)}` : ""}` }));
        const size = several ? `K = ${grouped(one.num_train)}, ` : "";
        const name = PHASES[label(one.m, one.s, at)];
        const badge = html("span", { class: `badge ${name}` }, name);
        row.append(html("figure", {}, ...images, html("figcaption", {}, `${size}${one.distance}`, html("br", {}), badge)));
      }
      if (!chosen.length) row.append(html("p", { class: "muted" }, "no example there"));
      return html("div", {}, html("p", { class: "muted" }, title), row);
    };
    place.replaceChildren(side("within", within), side("beyond", beyond));
  }

  function showTable(now) {
    const body = part("rows");
    body.replaceChildren(...sets.map((set, i) =>
      html("tr", {},
        html("th", { scope: "row", class: "num" }, grouped(set.size)),
        html("td", { class: "num extra" }, grouped(set.total)),
        ...now[i].map((share) => html("td", { class: "num" }, percent(share))))));
  }

  // In words: where memorization ends, and where repeats peak.
  function sentence(at, now) {
    const where = `At δₘ = ${given.m.at[at.m]} and δₛ = ${given.s.at[at.s]}`;
    if (!several) {
      const [memorized, spurious, generalized] = now[0].map(percent);
      return `${where}: ${memorized} memorized, ${spurious} spurious, ${generalized} generalized.`;
    }
    const half = now.findIndex((found, i) => i && found[0] < 0.5 && now[i - 1][0] >= 0.5);
    const turn = half > 0
      ? `memorized falls below one half between K = ${grouped(sets[half - 1].size)} and ${grouped(sets[half].size)}`
      : "memorized does not fall through one half";
    const peak = now.reduce((best, found, i) => (found[1] > now[best][1] ? i : best), 0);
    const most = now[peak][1] > 0
      ? `spurious is largest at K = ${grouped(sets[peak].size)}, ${percent(now[peak][1])}`
      : "no sample is spurious";
    return `${where}, ${turn}; ${most}.`;
  }

  function show() {
    const at = { m: Number(part("m").value), s: Number(part("s").value) };
    const now = shares(at);
    for (const which of ["m", "s"]) {
      const text = given[which].at[at[which]];
      part(which).setAttribute("aria-valuetext", text);
      part(`value-${which}`).textContent = at[which] === start[which] ? `${text} (in use)` : text;
    }
    part("words").textContent = sentence(at, now);
    showTable(now);
    drawCurve(at);
    const set = sets[several ? Number(part("set").value) : 0];
    drawHistogram("m", "distance to the nearest item of S", at, set);
    drawHistogram("s", "distance to the nearest other sample of S′", at, set);
    showExamples("m", "its nearest training item", at);
    showExamples("s", "its nearest other sample", at);
  }

  function reset() {
    for (const which of ["m", "s"]) part(which).value = start[which];
    show();
  }

  for (const which of ["m", "s"]) {
    part(which).max = places - 1;
    part(which).addEventListener("input", show);
  }
  if (several) part("set").addEventListener("change", show);
  part("reset").addEventListener("click", reset);
  document.getElementById("sliders").hidden = false;
  reset();
  let width = 0;
  new ResizeObserver(() => {
    if (width !== part("curve").clientWidth) {
      width = part("curve").clientWidth;
      show();
    }
  }).observe(part("curve"));
})();
