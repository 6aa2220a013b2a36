"use strict";
const figures = () => document.querySelectorAll(".figure");

figures().forEach((place) => {
  const figure = JSON.parse(document.getElementById(place.dataset.from).textContent);
  const layout = { ...figure.layout, dragmode: false };
  Plotly.newPlot(place, figure.data, layout, { responsive: true, displayModeBar: false });
});
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
  figures().forEach((place) => Plotly.relayout(place, { width: 660 }));
});
addEventListener("afterprint", () => figures().forEach(
  (place) => Plotly.relayout(place, { width: null, autosize: true })));
