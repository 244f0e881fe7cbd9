// The figures of the report in the page's colours. The library stands in the page compressed and is unpacked after the
// page is on the screen; a figure is drawn when it comes near. Every figure has its numbers in a table as well.
(() => {
  "use strict";
  const root = document.documentElement;
  const places = [...document.querySelectorAll("[data-plot]")];
  if (!places.length) return;
  const figures = JSON.parse(document.getElementById("plots").textContent);

  // A colour of the style sheet as the browser resolves it, for the scheme that is on now.
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  probe.style.forcedColorAdjust = "none"; // in the reader's own colours all would be one, and parts of figures alike
  const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };

  function axis(own) {
    return {
      gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), tickcolor: colour("line"),
      fixedrange: true, automargin: true, ...own,
      title: { ...own?.title, font: { size: 12, color: colour("faint") }, standoff: 8 },
    };
  }

  // "meta" of a trace names its part in the figure: main, other, mark (one point), fit (a law), even (the diagonal).
  const PARTS = { main: "plot", other: "plot-other", mark: "plot-mark", fit: "plot-other", even: "faint" };

  function dressed(trace) {
    if (trace.type === "heatmap") {
      return { ...trace, colorscale: [[0, colour("wash")], [1, colour("plot")]], showscale: false };
    }
    const own = colour(PARTS[trace.meta] ?? "plot");
    return {
      ...trace,
      marker: { size: trace.meta === "mark" ? 11 : 5, ...trace.marker, color: own, line: { width: 0 } },
      line: { ...trace.line, color: own, width: trace.meta === "even" ? 1 : 2 },
      textfont: { size: 12, color: colour("ink") },
    };
  }

  // A figure on paper, of which two stand in a row; its true width there is known to no script.
  const PAPER = { width: 320, height: 250 };

  function draw(place) {
    const figure = figures[place.dataset.plot];
    const layout = {
      ...figure.layout, ...("print" in root.dataset ? PAPER : {}),
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("soft") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 8, r: 8, t: 8, b: 8 }, dragmode: false, bargap: 0.1,
      showlegend: Boolean(figure.layout.showlegend),
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
      xaxis: axis({ showgrid: false, ...figure.layout.xaxis }), yaxis: axis({ nticks: 5, ...figure.layout.yaxis }),
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { size: 13, color: colour("ink") } },
    };
    Plotly.react(place, figure.data.map(dressed), layout, { displayModeBar: false });
  }

  const drawn = () => places.filter((place) => place.classList.contains("js-plotly-plot"));

  // Whether figures are scaled to their places, as on paper.
  function scaled(yes) {
    for (const svg of document.querySelectorAll("[data-plot] .main-svg")) {
      if (yes) svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
      else svg.removeAttribute("viewBox");
    }
  }

  function begin() {
    const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
    }), { rootMargin: "600px" });
    const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => {
      if (target.classList.contains("js-plotly-plot")) Plotly.Plots.resize(target);
    }));
    for (const place of places) { seen.observe(place); resized.observe(place); }
    document.addEventListener("themechange", () => drawn().forEach(draw));
    addEventListener("beforeprint", () => { root.dataset.print = ""; places.forEach(draw); scaled(true); });
    addEventListener("afterprint", () => { delete root.dataset.print; scaled(false); drawn().forEach(draw); });
  }

  // The script is allowed by the digest of its text, so that what was unpacked is what was packed.
  async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    begin();
  }

  function openTables() {
    for (const place of places) { place.hidden = true; place.parentElement.querySelector("details").open = true; }
  }

  const start = () => unpack().catch((error) => { console.error("the figures cannot be drawn:", error); openTables(); });
  requestAnimationFrame(() => setTimeout(start));
})();
