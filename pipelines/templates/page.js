// The page's behaviour: plots in the page's colours, and phrases and boxes that point at each other.
(() => {
  "use strict";
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("plots").textContent);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function axis(own) {
    return {
      gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), tickcolor: colour("--line"),
      fixedrange: true, automargin: true, ...own,
      title: { ...(own && own.title), font: { size: 12, color: colour("--faint") }, standoff: 8 },
    };
  }

  function draw(element) {
    const figure = figures[element.dataset.plot];
    const accent = colour("--accent");
    const data = figure.data.map((trace) => ({
      ...trace,
      marker: { color: trace.meta === "accent" ? colour("--no") : accent, size: trace.meta === "accent" ? 9 : 5 },
      line: { color: accent, width: 2 },
      textfont: { size: 12, color: colour("--ink") },
    }));
    const layout = {
      ...figure.layout,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--soft") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 8, r: 8, t: 8, b: 8 }, showlegend: false, dragmode: false, bargap: 0.1,
      xaxis: axis({ showgrid: false, ...figure.layout.xaxis }), yaxis: axis({ nticks: 5, ...figure.layout.yaxis }),
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { size: 13, color: colour("--ink") } },
    };
    Plotly.react(element, data, layout, { displayModeBar: false });
  }

  const plots = [...document.querySelectorAll("[data-plot]")];
  const drawAll = () => plots.forEach((element) => element.classList.contains("js-plotly-plot") && draw(element));
  // A plot is drawn when it comes near the screen, so that the page shows at once.
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }), { rootMargin: "600px" });
  plots.forEach((element) => seen.observe(element));
  const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.classList.contains("js-plotly-plot")) Plotly.Plots.resize(target);
  }));
  plots.forEach((element) => resized.observe(element));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { root.dataset.print = ""; plots.forEach(draw); });
  addEventListener("afterprint", () => { delete root.dataset.print; drawAll(); });

  for (const card of document.querySelectorAll(".picture")) {
    const point = (phrase) => {
      card.classList.toggle("pointed", phrase !== undefined);
      for (const part of card.querySelectorAll("[data-phrase]")) part.classList.toggle("on", part.dataset.phrase === phrase);
    };
    for (const part of card.querySelectorAll("mark, .score")) {
      part.addEventListener("pointerenter", () => point(part.dataset.phrase));
      part.addEventListener("pointerleave", () => point(undefined));
      part.addEventListener("focus", () => point(part.dataset.phrase));
      part.addEventListener("blur", () => point(undefined));
    }
  }
})();
