const data = JSON.parse(document.getElementById("data").textContent);
const controls = document.getElementById("controls");
const list = document.getElementById("list");
const large = document.getElementById("large");
const OUTLIER = 0.15; // |dz| / (1 + z), the usual limit of outliers of photometric redshifts
const HEIGHT = 132; // of a plot in a row, pixels
const LARGE_HEIGHT = 240;

for (const galaxy of data.galaxies)
  galaxy.offset =
    galaxy.known === null || galaxy.z === null ? null : Math.abs(galaxy.z - galaxy.known) / (1 + galaxy.known);
const byId = new Map(data.galaxies.map((galaxy) => [galaxy.id, galaxy]));
let shown = []; // galaxies in their order on the page

function made(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// --- one galaxy ---------------------------------------------------------------------------------

/** A number with as many decimals as its error deserves. */
function rounded(value, error) {
  const decimals = error > 0 ? Math.min(Math.max(1 - Math.floor(Math.log10(error)), 2), 6) : 4;
  return value.toFixed(decimals);
}

function picture(id) {
  const source = data.images[id];
  return source ? made("img", { src: source, alt: `image of ${id}` }) : made("span", { class: "absent" }, "no image");
}

function redshift(galaxy) {
  if (galaxy.z === null) return made("p", {}, "no redshift");
  if (galaxy.low === null) return made("p", {}, `z = ${galaxy.z.toFixed(4)}`);
  const error = Math.max(galaxy.high - galaxy.low, 0) / 2;
  const errors = `+${rounded(galaxy.high - galaxy.z, error)} −${rounded(galaxy.z - galaxy.low, error)}`;
  return made("p", {}, `z = ${rounded(galaxy.z, error)} `, made("span", { class: "errors" }, errors));
}

function facts(galaxy) {
  const node = made("div", { class: "facts" }, made("h2", {}, galaxy.id), redshift(galaxy));
  if (galaxy.known !== null) {
    const wrong = galaxy.offset > OUTLIER ? `, off by ${galaxy.offset.toFixed(2)} (1+z)` : "";
    node.append(made("p", wrong ? { class: "wrong" } : {}, `known z = ${galaxy.known.toFixed(4)}${wrong}`));
  }
  if (galaxy.width !== null) node.append(made("p", {}, `width of p(z) ${galaxy.width.toPrecision(2)} (1+z)`));
  if (galaxy.anomaly !== null) node.append(made("p", {}, `anomaly ${galaxy.anomaly.toFixed(2)}`));
  node.append(made("p", { class: "quiet" }, `${galaxy.ra.toFixed(5)} ${galaxy.dec.toFixed(5)}`));
  for (const flag of data.flags) {
    const attributes = { class: "badge flag", title: flag.meaning };
    if (galaxy.flags & flag.bit) node.append(made("span", attributes, flag.name));
  }
  if (galaxy.training) node.append(made("span", { class: "badge flag" }, "in training"));
  for (const reason of galaxy.reasons) node.append(made("span", { class: "badge" }, reason));
  return node;
}

/** A place for a plot, which `redraw` fills when the width is known. */
function holder(kind, height, paint) {
  const node = made("div", { class: `plot ${kind}` });
  node.paint = paint;
  node.style.minHeight = `${height}px`;
  return node;
}

function redraw(root) {
  const todo = [...root.querySelectorAll(".plot")].map((node) => [node, Math.floor(node.clientWidth)]);
  for (const [node, width] of todo) {
    if (!width || node.drawnWidth === width) continue;
    node.drawnWidth = width;
    node.replaceChildren(node.paint(width));
  }
}

function pzHolder(galaxy, height, range, logarithmic) {
  if (galaxy.pz === null) return made("div", { class: "absent" }, "no p(z)");
  return holder("pz", height, (width) => pzPlot(galaxy, width, height, range, logarithmic));
}

function spectrumHolder(galaxy, height) {
  if (galaxy.flux === null) return made("div", { class: "absent spectrum" }, "no spectrum");
  return holder("spectrum", height, (width) => spectrumPlot(galaxy, width, height));
}

function near(galaxy) {
  const node = made("div", { class: "near" });
  for (const one of galaxy.near) {
    const z = one.z === null ? "" : `z = ${one.z.toFixed(3)}`;
    const title = `${one.id}, ${z || "no redshift"}, cosine ${one.cosine}`;
    const there = byId.has(one.id);
    const part = made(there ? "button" : "div", { class: there ? "image" : "picture", title }, picture(one.id));
    if (there) part.addEventListener("click", () => enlarge(byId.get(one.id)));
    node.append(made("figure", {}, part, made("figcaption", {}, z)));
  }
  return node;
}

const some = (name) => document.body.classList.contains(name);

function row(galaxy) {
  const node = made("article", { "data-id": galaxy.id });
  if (some("has-images")) {
    const image = made("button", { class: "image", title: "enlarge" }, picture(galaxy.id));
    image.addEventListener("click", () => enlarge(galaxy));
    node.append(image);
  }
  node.append(facts(galaxy), pzHolder(galaxy, HEIGHT, [0, data.x_max], false));
  if (some("has-spectra")) node.append(spectrumHolder(galaxy, HEIGHT));
  if (some("has-near")) node.append(near(galaxy));
  return node;
}

/** Show one galaxy in the dialog: p(z) zoomed and with a logarithmic axis. */
function enlarge(galaxy) {
  const node = made("article", {}, made("div", { class: "image" }, picture(galaxy.id)), facts(galaxy));
  const plots = made("div", {});
  if (galaxy.pz !== null) {
    plots.append(pzHolder(galaxy, LARGE_HEIGHT * 0.8, zoomed(galaxy), false));
    plots.append(pzHolder(galaxy, LARGE_HEIGHT * 0.8, [0, data.x_max], true));
  }
  node.append(plots);
  if (some("has-spectra")) node.append(spectrumHolder(galaxy, LARGE_HEIGHT));
  if (some("has-near")) node.append(near(galaxy));
  large.replaceChildren(node);
  large.current = galaxy;
  if (!large.open) large.showModal();
  redraw(large);
}

large.addEventListener("click", (event) => {
  if (event.target === large) large.close();
});
large.addEventListener("keydown", (event) => {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const next = shown[shown.indexOf(large.current) + move];
  if (next) enlarge(next);
});

// --- sorting and filters ------------------------------------------------------------------------

const rows = new Map(data.galaxies.map((galaxy) => [galaxy, row(galaxy)]));
list.append(...rows.values());

function passes(galaxy, chosen) {
  const has = (which, wanted) => !wanted || which === (wanted === "only");
  const z = galaxy.z === null ? NaN : galaxy.z;
  return (
    (!chosen.reason || galaxy.reasons.includes(chosen.reason)) &&
    data.flags.every((flag) => has(Boolean(galaxy.flags & flag.bit), chosen[`flag${flag.bit}`])) &&
    has(galaxy.training === true, chosen.training) &&
    (!chosen.from || z >= Number(chosen.from)) &&
    (!chosen.to || z <= Number(chosen.to)) &&
    galaxy.id.includes((chosen.text || "").trim())
  );
}

/** The galaxies in the order of a value; those without it are last. */
function sorted(galaxies, key, order) {
  const sign = order === "up" ? 1 : -1;
  const without = galaxies.filter((galaxy) => galaxy[key] === null);
  return galaxies
    .filter((galaxy) => galaxy[key] !== null)
    .sort((a, b) => sign * (a[key] - b[key]))
    .concat(without);
}

function update() {
  const chosen = Object.fromEntries(new FormData(controls));
  const all = chosen.sort ? sorted(data.galaxies, chosen.sort, chosen.order) : data.galaxies;
  shown = all.filter((galaxy) => passes(galaxy, chosen));
  const visible = new Set(shown);
  for (const [galaxy, node] of rows) node.hidden = !visible.has(galaxy);
  list.append(...all.map((galaxy) => rows.get(galaxy)));
  document.getElementById("count").textContent = `${shown.length} of ${data.galaxies.length} galaxies`;
  document.getElementById("none").hidden = shown.length > 0;
  const set = Object.entries(chosen).filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(set)}`); // a reload or a link keeps the choice
  redraw(list);
}

/** Set the controls from the address: page.html#sort=z&order=up */
function restore() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1)))
    if (controls.elements[name]) controls.elements[name].value = value;
}

function csv() {
  const columns = ["id", "ra", "dec", "z", "low", "high", "width", "anomaly", "flags", "training", "known"];
  const cell = (value) => (typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : (value ?? ""));
  const lines = shown.map((galaxy) => columns.map((name) => cell(galaxy[name])).join(","));
  const file = new Blob([[columns.join(","), ...lines].join("\n") + "\n"], { type: "text/csv" });
  made("a", { href: URL.createObjectURL(file), download: "galaxies.csv" }).click();
}

controls.addEventListener("input", update);
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("reset", () => setTimeout(update));
document.getElementById("csv").addEventListener("click", csv);
new ResizeObserver(() => redraw(document)).observe(document.body);
restore();
update();
