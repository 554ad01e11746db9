(() => {
  "use strict";
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const plots = [...document.querySelectorAll(".plot")].filter((plot) => plot.id in figures);
  const colourKeys = new Set(["color", "fillcolor", "gridcolor", "linecolor", "tickcolor", "arrowcolor", "bgcolor"]);
  const config = {
    responsive: true,
    displayModeBar: false,
  };

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  /* A copy in which the names of colours are the style's colours. */
  function coloured(value, key, style) {
    if (Array.isArray(value)) return value.map((item) => coloured(item, key, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, coloured(item, name, style)]));
    }
    if (typeof value === "string" && value[0] === "@" && colourKeys.has(key)) {
      return style.getPropertyValue("--" + value.slice(1)).trim();
    }
    return value;
  }

  /* On a narrow screen names beside marks would cover the marks. */
  function small(trace) {
    if (!trace.marker) return trace;
    return { ...trace, mode: trace.mode.replace("+text", ""), marker: { ...trace.marker, size: trace.marker.size * 0.75 } };
  }

  function drawing(plot) {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue("--" + name).trim();
    const { data, layout } = coloured(figures[plot.id], "", style);
    const narrow = plot.clientWidth < 520;
    return [narrow ? data.map(small) : data, {
      ...layout,
      uirevision: "kept",
      annotations: layout.annotations.filter((note) => !(narrow && note.name === "wide")),
      dragmode: coarse ? false : "zoom",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: of("ink") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { ...layout.hoverlabel, bgcolor: of("raised"), bordercolor: of("quiet"), font: { color: of("ink") } },
    }];
  }

  /* Words where a table goes on, as many screens hide their scrollbars. */
  function hinted(region) {
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.setAttribute("aria-hidden", "true");
    region.before(hint);
    const columns = region.querySelectorAll("thead th").length;
    return () => {
      hint.hidden = region.scrollWidth <= region.clientWidth + 1;
      hint.textContent = `${columns} columns: scroll sideways →`;
    };
  }
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => hints.get(entry.target)()));
  const hints = new Map([...document.querySelectorAll(".scroll")].map((region) => [region, hinted(region)]));
  hints.forEach((_, region) => sizes.observe(region));

  const idle = window.requestIdleCallback || ((call) => setTimeout(call, 0));

  /* One after the other, so that the page answers in between. */
  async function draw() {
    for (const plot of plots) {
      try {
        await Plotly.newPlot(plot, ...drawing(plot), config);
      } catch (error) {
        console.error(plot.id, error);
      }
      await new Promise((next) => idle(next, { timeout: 50 }));
    }
    root.dataset.drawn = String(Math.round(performance.now()));
  }

  function redraw() {
    for (const plot of plots) if (plot.data) Plotly.react(plot, ...drawing(plot), config);
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  }

  function keep(theme) {
    root.dataset.theme = theme;
    try { localStorage.setItem("evalharness-theme", theme); } catch { /* a file may have no storage */ }
    redraw();
  }

  let beforePrint;
  window.addEventListener("beforeprint", () => {
    beforePrint = root.dataset.theme;
    root.dataset.theme = "light";
    redraw();
    for (const plot of plots) if (plot.data) Plotly.relayout(plot, { autosize: false, width: 680 });
  });
  window.addEventListener("afterprint", () => {
    if (beforePrint) root.dataset.theme = beforePrint; else delete root.dataset.theme;
    redraw();
    for (const plot of plots) if (plot.data) Plotly.relayout(plot, { autosize: true, width: null });
  });

  try {
    const kept = localStorage.getItem("evalharness-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* the same */ }
  button.hidden = false;
  button.addEventListener("click", () => keep(isDark() ? "light" : "dark"));
  dark.addEventListener("change", redraw);
  redraw();
  draw();
})();
