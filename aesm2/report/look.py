"""The look of a written report: its styles, and the script that draws its figures.

The script draws each figure with plotly.js from the JSON beside it, in the colours of light or dark
that the reader's system prefers, and in those of light on paper.
"""

STYLES = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --page: #ffffff;
  --line: #d5dbe1; --block: #f4f6f8; --mark: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #a3adb8; --page: #0f1419;
  --line: #323c47; --block: #1a2129; --mark: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--page);
  color: var(--ink); line-height: 1.5; overflow-wrap: anywhere;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { line-height: 1.2; } h2 { margin: 0 0 .5rem; font-size: 1.25em; }
a { color: var(--mark); }
nav, .comment { background: var(--block); border-left: .25rem solid var(--mark);
  padding: .5rem 1rem; margin: 1rem 0; border-radius: .25rem; }
nav ol { margin: .25rem 0; padding-left: 1.5rem; }
section { margin: 2.5rem 0; padding-top: 1rem; border-top: 1px solid var(--line); }
.comment { white-space: pre-wrap; }
.chart { min-height: 6rem; width: 100%; }
.soft, dl, summary, .failed { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .75rem 0;
  font-size: .875em; }
dt { font-weight: 600; } dd { margin: 0; }
details { margin: .5rem 0; } summary { cursor: pointer; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875em; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  white-space: nowrap; }
td.number { text-align: right; }
pre, code { font-family: ui-monospace, "SFMono-Regular", Consolas, monospace; font-size: .875em; }
pre { background: var(--block); padding: .75rem 1rem; overflow-x: auto; border-radius: .25rem; }
@media print {
  :root { --ink: #000000; --soft: #444444; --page: #ffffff; --line: #bbbbbb; --block: #f4f6f8;
    --mark: #0072b2; color-scheme: light; }
  body { max-width: none; padding: 0; } section { break-inside: avoid; }
  .modebar, details:not([open]) { display: none !important; } pre { white-space: pre-wrap; }
}
"""

SCRIPT = """
"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const size = parseFloat(getComputedStyle(document.body).fontSize) - 3;
  const look = (night) => {
    const ink = night ? "#e6eaf0" : "#1b1f24", line = night ? "#323c47" : "#d5dbe1";
    const bar = {outlinewidth: 0, thickness: 14, tickcolor: line};
    const axis = {automargin: true, gridcolor: line, zerolinecolor: line, linecolor: line,
      tickcolor: line, title: {standoff: 12}};
    return {
      layout: {
        font: {color: ink, size, family: "system-ui, sans-serif"},
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        colorway: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999"],
        xaxis: {...axis, showgrid: false, zeroline: false}, yaxis: axis, coloraxis: {colorbar: bar},
        modebar: {bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink},
        hoverlabel: {font: {size}}
      },
      data: {heatmap: [{colorbar: bar}], bar: [{marker: {line: {width: 0}}}]}
    };
  };
  const boxes = [...document.querySelectorAll(".chart")];
  const draw = (box, night) => {
    const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
    const failed = () => {
      box.textContent = "This chart could not be drawn; its numbers are below.";
      box.classList.add("failed");
    };
    figure.layout.template = look(night);
    delete figure.layout.width;
    if (figure.layout.height) box.style.height = `${figure.layout.height}px`;
    try {
      return Plotly.react(box, figure.data, figure.layout, {responsive: true, displaylogo: false,
        toImageButtonOptions: {format: "svg", filename: box.dataset.name}}).catch(failed);
    } catch (error) { return failed(); }
  };
  // All at once where paper waits for them; else one after the other, so that the first show early.
  const all = (night) => boxes.forEach((box) => draw(box, night));
  const start = async () => {
    for (const box of boxes) {
      draw(box, dark.matches);
      await new Promise((next) => setTimeout(next));
    }
    document.body.dataset.drawn = "all";
  };
  start();
  dark.addEventListener("change", () => all(dark.matches));
  window.addEventListener("beforeprint", () => { if (dark.matches) all(false); });
  window.addEventListener("afterprint", () => { if (dark.matches) all(true); });
})();
"""
