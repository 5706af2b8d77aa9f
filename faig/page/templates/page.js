"use strict";

// Before and after: one image over another, cut off at the divider.
(() => {
  const stage = document.getElementById("divider-stage");
  if (!stage) return;
  const part = (name) => document.getElementById(`divider-${name}`);
  const range = part("range");
  const found = (column) => document.querySelector(`.strip img[data-row="${CSS.escape(part("row").value)}"][data-column="${CSS.escape(column)}"]`);
  const caption = (image) => image.closest("figure").querySelector("figcaption").innerText.replace("\n", ", ");
  const move = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % of the image from the left image`);
  };
  const show = () => {
    for (const [side, layer] of [["left", "under"], ["right", "over"]]) {
      const image = found(part(side).value);
      if (!image) continue;
      part(layer).src = image.src;
      part(layer).alt = `${side === "left" ? "Left" : "Right"}: ${image.alt}`;
      part(`${side}-text`).textContent = caption(image);
    }
    const shown = found(part("left").value);
    const ratio = () => stage.style.setProperty("--ratio", `${shown.naturalWidth} / ${shown.naturalHeight}`);
    if (shown) shown.complete ? ratio() : shown.addEventListener("load", ratio, { once: true });
  };
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = Math.round(100 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    move();
  };
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener("pointermove", (event) => { if (stage.hasPointerCapture(event.pointerId)) drag(event); });
  range.addEventListener("input", move);
  for (const name of ["row", "left", "right"]) part(name).addEventListener("change", show);
  part("row").addEventListener("change", () => {
    const own = [...part("right").options].find((option) => option.value.endsWith(`/${part("row").value}`));
    if (own) { part("right").value = own.value; show(); }
  });
  show();
  move();
})();

// The confusion matrix: a cell shows its crops.
(() => {
  const place = document.getElementById("confusion");
  if (!place) return;
  const crops = [...document.querySelectorAll("#crops figure")].map((figure) => ({
    figure, actual: figure.dataset.actual, named: JSON.parse(figure.dataset.named),
  }));
  const text = document.getElementById("crops-text");
  const choose = (matrix, button) => {
    for (const other of place.querySelectorAll(".cells button")) other.setAttribute("aria-pressed", String(other === button));
    const { actual, named } = button.dataset;
    let shown = 0;
    for (const crop of crops) {
      crop.figure.hidden = !(crop.actual === actual && crop.named[matrix.dataset.predictor] === named);
      shown += !crop.figure.hidden;
    }
    const all = Number(button.textContent);
    const kept = shown < all ? ` ${shown} of them ${shown === 1 ? "is" : "are"} kept in this page.` : "";
    text.textContent = `${button.getAttribute("aria-label")}.${kept}`;
  };
  const open = (matrix) => {
    for (const other of place.querySelectorAll(".matrix")) other.hidden = other !== matrix;
    const buttons = [...matrix.querySelectorAll(".cells button")];
    const worst = buttons.filter((button) => button.classList.contains("wrong"));
    choose(matrix, worst.sort((a, b) => Number(b.textContent) - Number(a.textContent))[0] ?? buttons[0]);
  };
  for (const matrix of place.querySelectorAll(".matrix")) {
    for (const button of matrix.querySelectorAll(".cells button")) button.addEventListener("click", () => choose(matrix, button));
  }
  for (const radio of place.querySelectorAll("input[name=predictor]")) {
    radio.addEventListener("change", () => open(place.querySelector(`.matrix[data-predictor="${CSS.escape(radio.value)}"]`)));
  }
  open(place.querySelector(".matrix:not([hidden])"));
})();

// Charts, in the colours of the scheme; drawn when they come into view, and again when the scheme changes.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const LIGHTER = { "#000000": "#f7ecd8", "#0072b2": "#3f8ae0", "#d55e00": "#f08a4b", "#56b4e9": "#6fc8f7", "#009e73": "#3cc79b" };
  const page = document.documentElement;
  const isDark = () => dark.matches && !page.classList.contains("printing");
  const inScheme = (colour) => (isDark() ? LIGHTER[colour] ?? colour : colour);
  const variable = (name) => getComputedStyle(page).getPropertyValue(`--${name}`).trim();
  const specs = new Map([...document.querySelectorAll("script[data-chart]")].map((each) => [each.dataset.chart, each.textContent]));
  const views = new Map();
  const config = () => {
    const [ink, muted, line] = ["ink", "muted", "line"].map(variable);
    return {
      background: null, font: getComputedStyle(document.body).fontFamily, aria: false,
      view: { stroke: null },
      axis: { domainColor: muted, gridColor: line, gridOpacity: 0.8, tickColor: muted, labelColor: muted, titleColor: muted, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelFlush: false },
      text: { color: ink },
    };
  };
  const shownIn = (id) => {
    const legend = [...document.querySelectorAll("fieldset.legend")].find((each) => each.dataset.charts.split(" ").includes(id));
    return legend && [...legend.querySelectorAll("input:checked")].map((box) => box.value);
  };
  const draw = async (id) => {
    const text = specs.get(id).replace(/#[0-9a-f]{6}/g, inScheme);
    const options = { actions: false, renderer: "svg", ast: true, config: config(), tooltip: { theme: isDark() ? "dark" : "light" } };
    const result = await vegaEmbed(document.getElementById(id), JSON.parse(text), options);
    views.get(id)?.finalize();
    views.set(id, result);
    filter(id);
  };
  const filter = (id) => {
    const shown = shownIn(id);
    if (shown && views.has(id)) views.get(id).view.signal("shown", shown).runAsync();
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      watcher.unobserve(entry.target);
      draw(entry.target.id);
    }
  }, { rootMargin: "600px" });
  for (const id of specs.keys()) {
    const place = document.getElementById(id);
    watcher.observe(place);
    // Vega's tooltips follow a moving pointer, which a tap is not.
    place.addEventListener("click", (event) => event.target.dispatchEvent(new PointerEvent("pointermove", event)));
  }
  for (const legend of document.querySelectorAll("fieldset.legend")) {
    legend.addEventListener("change", () => legend.dataset.charts.split(" ").forEach(filter));
  }
  const paint = () => {
    for (const swatch of document.querySelectorAll(".swatch[data-colour]")) swatch.style.background = inScheme(swatch.dataset.colour);
  };
  const repaint = (ids) => { paint(); [...ids].forEach(draw); };
  paint();
  dark.addEventListener("change", () => repaint(views.keys()));
  addEventListener("beforeprint", () => { page.classList.add("printing"); repaint(specs.keys()); });
  addEventListener("afterprint", () => { page.classList.remove("printing"); repaint(views.keys()); });
})();
