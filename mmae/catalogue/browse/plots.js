"use strict";
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 8, right: 8, top: 14, bottom: 28 }; // pixels
const FAINTEST = 1e-4; // of the peak of p(z), on a logarithmic axis
const LINES_BELOW = 0.003; // width of p(z), above which its median is too uncertain to mark lines
const UNIT = "10⁻¹⁷ erg/s/cm²/Å";

function drawn(tag, attributes, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

/** Round numbers between two values, at most `most` or one more, and their decimals. */
function steps(low, high, most) {
  const raw = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { values: Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step), decimals };
}

/** A plot with its x axis: `x` and `y` are functions from values to pixels, `add` draws into the frame. */
function frame(width, height, xs, ys, left = MARGIN.left) {
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const svg = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const x = (value) => left + ((value - xs[0]) / (xs[1] - xs[0])) * (right - left);
  const y = (value) => bottom - ((value - ys[0]) / (ys[1] - ys[0])) * (bottom - MARGIN.top);
  const add = (...parts) => svg.append(drawn(...parts));
  const vertical = (value, kind) => add("line", { class: kind, x1: x(value), x2: x(value), y1: MARGIN.top, y2: bottom });
  const box = { class: "axis", x: left, y: MARGIN.top, width: right - left, height: bottom - MARGIN.top };
  add("rect", box);
  return { svg, x, y, add, vertical, left, right, bottom, inside: (value) => value >= xs[0] && value <= xs[1] };
}

function label(plot, text) {
  plot.add("text", { x: (plot.left + plot.right) / 2, y: plot.bottom + 25, "text-anchor": "middle" }, text);
}

/** Ticks below the x axis, left out where they would overlap. */
function ticks(plot, values, place, decimals, room) {
  let last = -Infinity;
  for (const value of values) {
    const at = plot.x(place(value));
    if (at - last < room || at < plot.left - 1 || at > plot.right + 1) continue;
    plot.add("line", { class: "axis", x1: at, x2: at, y1: plot.bottom, y2: plot.bottom + 3 });
    plot.add("text", { x: at, y: plot.bottom + 13, "text-anchor": "middle" }, value.toFixed(decimals));
    last = at;
  }
}

/** ln(1+z) with 0.1% and 99.9% of p(z) below, and some room, for the enlarged plot of a narrow p(z). */
function zoomed(galaxy) {
  const [x, cdf] = galaxy.pz;
  const first = cdf.findIndex((value) => value > 0.001);
  const last = cdf.findIndex((value) => value >= 0.999);
  const [low, high] = [x[Math.max(first - 1, 0)], x[last]];
  const room = 0.25 * (high - low);
  return [Math.max(low - room, 0), high + room];
}

/**
 * p(z), the median and the 68% interval, and the known redshift. The axis is linear in ln(1+z).
 * logarithmic: a logarithmic axis of p(z), which shows small second peaks.
 */
function pzPlot(galaxy, width, height, range, logarithmic) {
  const [x, cdf] = galaxy.pz;
  const density = x.slice(1).map((end, i) => (cdf[i + 1] - cdf[i]) / (end - x[i]));
  const peak = Math.max(...density);
  const level = (value) => (logarithmic ? Math.log10(Math.max(value / peak, FAINTEST)) : value / peak);
  const base = logarithmic ? Math.log10(FAINTEST) : 0;
  const plot = frame(width, height, range, [base, logarithmic ? 0.2 : 1.06]);
  const within = (value) => Math.min(Math.max(value, range[0]), range[1]);
  if (galaxy.low !== null) {
    const [low, high] = [galaxy.low, galaxy.high].map((z) => plot.x(within(Math.log1p(z))));
    const band = { class: "band", x: low, y: MARGIN.top, width: Math.max(high - low, 1), height: plot.bottom - MARGIN.top };
    plot.add("rect", band);
  }
  let path = `M${plot.x(within(x[0]))} ${plot.bottom}`;
  density.forEach((value, i) => {
    if (x[i + 1] <= range[0] || x[i] >= range[1]) return;
    const y = plot.y(level(value)).toFixed(1);
    path += `L${plot.x(within(x[i])).toFixed(1)} ${y}L${plot.x(within(x[i + 1])).toFixed(1)} ${y}`;
  });
  plot.add("path", { class: "density", d: `${path}L${plot.right} ${plot.bottom}` });
  const median = Math.log1p(galaxy.z);
  if (plot.inside(median)) plot.vertical(median, "median");
  const known = galaxy.known === null ? -1 : Math.log1p(galaxy.known);
  if (plot.inside(known)) {
    plot.vertical(known, "known");
    const anchor = plot.x(known) > (plot.left + plot.right) / 2 ? "end" : "start";
    plot.add("text", { class: "known", x: plot.x(known), y: MARGIN.top - 3, "text-anchor": anchor }, "known");
  }
  const [low, high] = range.map(Math.expm1);
  const { values, decimals } = steps(low, high, (plot.right - plot.left) / 50);
  ticks(plot, values, Math.log1p, decimals, 14 + 6 * decimals);
  label(plot, logarithmic ? "z (logarithmic p)" : "z");
  return plot.svg;
}

/** The flux in bins with line positions; the wavelength under the pointer is named. */
function spectrumPlot(galaxy, width, height) {
  const { start, step } = data.wavelength;
  const [least, most] = galaxy.range;
  const room = most - least || 1;
  const xs = [start - step, start + step * galaxy.flux.length];
  const plot = frame(width, height, xs, [least - 0.06 * room, most + 0.3 * room], 34);
  const marks = steps(least, most, 3);
  for (const value of marks.values)
    plot.add("text", { x: plot.left - 4, y: plot.y(value) + 4, "text-anchor": "end" }, value.toFixed(marks.decimals));
  if (least < 0 || plot.y(0) < plot.bottom)
    plot.add("line", { class: "zero", x1: plot.left, x2: plot.right, y1: plot.y(0), y2: plot.y(0) });
  const z = lineRedshift(galaxy);
  let last = -Infinity;
  for (const line of z === null ? [] : data.lines) {
    const wavelength = line.wavelength * (1 + z);
    if (!plot.inside(wavelength)) continue;
    const at = plot.x(wavelength);
    plot.vertical(wavelength, "line");
    if (at - last < 11) continue;
    last = at;
    const turned = `translate(${at - 3} ${MARGIN.top + 3}) rotate(-90)`;
    plot.add("text", { class: "line", transform: turned, "text-anchor": "end" }, line.name);
  }
  let path = "";
  let pen = "M";
  const [floor, ceiling] = [plot.bottom, MARGIN.top];
  galaxy.flux.forEach((flux, i) => {
    if (flux === null) {
      pen = "M";
      return;
    }
    const y = Math.min(Math.max(plot.y(flux), ceiling), floor);
    path += `${pen}${plot.x(start + i * step).toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  plot.add("path", { class: "flux", d: path });
  const { values } = steps(xs[0], xs[1], (plot.right - plot.left) / 70);
  ticks(plot, values, (value) => value, 0, 40);
  label(plot, "observed wavelength [Å], vacuum");
  plot.add("text", { x: plot.left, y: MARGIN.top - 4 }, UNIT);
  const where = { class: "readout", x: plot.right, y: MARGIN.top - 4, "text-anchor": "end" };
  const readout = drawn("text", where);
  plot.svg.append(readout);
  plot.svg.addEventListener("pointermove", (event) => {
    const share = (event.clientX - plot.svg.getBoundingClientRect().left - plot.left) / (plot.right - plot.left);
    const wavelength = xs[0] + share * (xs[1] - xs[0]);
    const rest = z === null ? "" : `, at rest ${(wavelength / (1 + z)).toFixed(0)} Å`;
    readout.textContent = plot.inside(wavelength) ? `${wavelength.toFixed(0)} Å${rest}` : "";
  });
  return plot.svg;
}

/** The redshift at which lines are marked; null: none is known well enough. */
function lineRedshift(galaxy) {
  if (galaxy.known !== null) return galaxy.known;
  return galaxy.width !== null && galaxy.width < LINES_BELOW ? galaxy.z : null;
}
