/* The layers: how many of each one's filters were discovered, where they lie, and the best ones' kernels. */
(function () {
  "use strict";
  const board = document.getElementById("layer-board");
  if (board === null) return;
  const COLOURS = ["#3b82c4", "#c96f1a", "#2f8f57", "#9467bd", "#c2528b"]; // seen on white and on black
  const ENDS = { low: [33, 102, 172], middle: [245, 245, 245], high: [178, 24, 43] }; // of the scale of weights
  const PANEL = 36; // CSS pixels of a kernel's longer side
  const MAP = 420; // and of the map's
  const THICK = 14; // of one of its filters, at most
  const GAP = 6;
  const FIRST = 14; // filters shown before all are asked for
  const data = JSON.parse(document.getElementById("layers-data").textContent);
  const { unpack } = makeNetwork();
  const find = (name) => board.querySelector(".layer-" + name);
  const number = (value) => value.toLocaleString("en-US");
  const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  const sizes = data.layers.map(({ rows, columns }) => rows * columns);
  const colour = (degradation) => {
    const own = getComputedStyle(document.documentElement).getPropertyValue(`--of-${CSS.escape(degradation)}`).trim();
    return own || COLOURS[data.degradations.indexOf(degradation) % COLOURS.length];
  };

  const label = (name) => data.labels[name];

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /* By degradation and layer, the filters of the chosen method, counted from the layer's first. */
  let found = {};
  let kernels = null; // a promise of all kernels, once a row has been opened
  let places = null; // and where each group's begin in it

  async function choose(method) {
    const lists = Object.entries(data.methods[method]);
    let unpacked;
    try {
      unpacked = await Promise.all(lists.map(([, packed]) => unpack(packed)));
    } catch {
      find("list").replaceWith(element("p", "layer-sentence", "The layers cannot be shown: this browser is too old to unpack them."));
      return;
    }
    if (find("method").value !== method) return;
    found = {};
    lists.forEach(([degradation], n) => {
      const layers = data.layers.map(() => []);
      let layer = 0;
      for (const filter of unpacked[n]) {
        while (filter >= data.layers[layer].first + sizes[layer]) layer++;
        layers[layer].push(filter - data.layers[layer].first);
      }
      found[degradation] = layers;
    });
    show();
  }

  function show() {
    const shares = data.degradations.flatMap((degradation) => sizes.map((size, n) => found[degradation][n].length / size));
    const longest = Math.max(...shares, 2 * data.ratio);
    legend(longest);
    rows.forEach(({ button, name, bars, panel }, layer) => {
      const counts = data.degradations.map((degradation) => found[degradation][layer].length);
      name.replaceChildren(element("b", "", data.layers[layer].name), `: ${words(counts, sizes[layer])}`);
      bars.replaceChildren(
        ...data.degradations.map((degradation, n) => {
          const bar = element("span", "layer-bar");
          const fill = element("span", "layer-fill");
          fill.style.width = `${(100 * counts[n]) / sizes[layer] / longest}%`;
          fill.style.background = colour(degradation);
          const chance = element("span", "layer-chance");
          chance.style.left = `${(100 * data.ratio) / longest}%`;
          bar.append(fill, chance);
          return bar;
        })
      );
      if (button.getAttribute("aria-expanded") === "true") fillPanel(panel, layer);
    });
  }

  const words = (counts, size) =>
    data.degradations
      .map((degradation, n) => `${number(counts[n])}${n === 0 ? ` of ${number(size)} filters` : ""} for ${label(degradation)}`)
      .join(", ");

  function legend(longest) {
    const entries = data.degradations.map((degradation) => {
      const swatch = element("span", "layer-swatch");
      swatch.style.background = colour(degradation);
      return [swatch, `filters for ${label(degradation)}`];
    });
    entries.push([element("span", "layer-swatch layer-swatch-chance"), `what chance would give: ${percent(data.ratio)}`]);
    find("legend").replaceChildren(
      ...entries.map((parts) => {
        const item = element("li");
        item.append(...parts);
        return item;
      }),
      element("li", "", `a full bar: ${percent(longest)} of the layer's filters`)
    );
  }

  /* What a row opens */

  function fillPanel(panel, layer) {
    const { rows: outputs, columns, groups, channel } = data.layers[layer];
    const inputs = channel ? "all of its inputs together" : `${number(columns * groups)} input channels`;
    const shares = data.degradations.map((degradation) => {
      const share = found[degradation][layer].length / sizes[layer];
      return `${percent(share)} of them are discovered for ${label(degradation)} (${(share / data.ratio).toFixed(1)} times chance)`;
    });
    panel.replaceChildren(
      element("p", "", `This layer has ${number(sizes[layer])} filters, of ${number(outputs)} output channels and ${inputs}: ${shares.join(", ")}.`)
    );
    if (data.degradations.some((degradation) => found[degradation][layer].length)) panel.append(...map(layer));
    if (find("method").value === data.method) drawKernels(panel, layer);
    else panel.append(element("p", "", `Kernels are drawn of the filters that ${label(data.method)} found: choose it above to see them.`));
  }

  /* A matrix of all filters, outputs by inputs, the larger number across, the discovered ones in their colours. */
  function map(layer) {
    const { rows: outputs, columns } = data.layers[layer];
    const turned = columns > outputs;
    const [across, down] = turned ? [columns, outputs] : [outputs, columns];
    const cell = Math.min(Math.max(Math.floor(MAP / across), 1), THICK);
    const thick = down === 1 ? THICK : cell;
    const canvas = element("canvas", "layer-map");
    Object.assign(canvas, { width: across * cell, height: down * thick });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Map of the layer's filters: ${words(data.degradations.map((each) => found[each][layer].length), sizes[layer])}`);
    const context = canvas.getContext("2d");
    const seen = new Set();
    for (const degradation of data.degradations)
      for (const filter of found[degradation][layer]) {
        const place = [Math.floor(filter / columns), filter % columns];
        const [x, y] = turned ? place.reverse() : place;
        context.fillStyle = colour(degradation);
        const width = seen.has(filter) ? Math.max(cell / 2, 1) : cell; // of two degradations: half and half
        context.fillRect(x * cell, y * thick, width, thick);
        seen.add(filter);
      }
    const names = turned ? ["input", "output"] : ["output", "input"];
    const below = down === 1 ? "" : `, from top to bottom its ${names[1]} channels`;
    return [canvas, element("p", "", `Where they lie: from left to right the layer's ${names[0]} channels${below}.`)];
  }

  function drawKernels(panel, layer) {
    const { shown } = data.layers[layer];
    const groups = data.groups.map((group, n) => ({ ...group, place: n })).filter((group) => group.layer === layer);
    if (!shown) {
      panel.append(element("p", "", "The weights of this layer cannot be told apart by filter, so there is no kernel to draw."));
      return;
    }
    if (!groups.length) {
      panel.append(element("p", "", "None of this layer's filters is among the discovered ones, or none fitted into this page."));
      return;
    }
    if (kernels === null) {
      kernels = unpack(data.kernels);
      let start = 0;
      places = data.groups.map((group) => {
        const begin = start;
        start += 2 * group.filters.length * values(group.layer);
        return begin;
      });
    }
    const holder = element("div");
    panel.append(holder);
    kernels.then((all) => {
      const parts = groups.map((group) => read(group, all));
      const limits = {
        weight: Math.max(...parts.flatMap(({ before, after }) => [extent(before), extent(after)])),
        change: Math.max(...parts.map(({ change }) => extent(change))),
      };
      holder.append(scale(limits));
      holder.append(element("p", "", explanation(layer)));
      parts.forEach((part, n) => holder.append(...list(groups[n], part, limits, layer)));
    });
  }

  const values = (layer) => data.layers[layer].shown * data.layers[layer].height * data.layers[layer].width;
  const extent = (numbers) => numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);

  function read({ place, layer, filters, steps }, all) {
    const count = filters.length * values(layer);
    const part = (n) => Float32Array.from(all.subarray(places[place] + n * count, places[place] + (n + 1) * count), (value) => value * steps[n]);
    const before = part(0), change = part(1);
    return { before, change, after: before.map((value, n) => value + change[n]) };
  }

  function explanation(layer) {
    const { channel, shown, inputs, height, width } = data.layers[layer];
    const order = stacked(layer) ? "from top to bottom" : "from left to right";
    const what = `For each filter, ${order}: its weights in the baseline, in the target, and their change, whose norm is written below.`;
    if (channel) return `${what} A filter is a whole output channel here: its kernels for ${shown < inputs ? `the first ${shown} of ` : "all "}${number(inputs)} input channels are drawn.`;
    return height * width === 1 ? `${what} A filter of this layer is one weight.` : what;
  }

  const stacked = (layer) => data.layers[layer].shown > 1;

  function scale({ weight, change }) {
    const bar = element("p", "layer-scale");
    for (const [limit, name] of [[weight, "weight"], [change, "change"]]) {
      const part = element("span");
      const strip = element("i");
      part.append(`${name} −${limit.toPrecision(2)}`, strip, `+${limit.toPrecision(2)}`);
      bar.append(part);
    }
    return bar;
  }

  function list(group, part, limits, layer) {
    const total = found[group.degradation][layer].length;
    const count = group.filters.length;
    const heading = element("h3", "", `Filters for ${label(group.degradation)}, best first${count < total ? `: the best ${number(count)} of ${number(total)} are shown` : ""}`);
    const items = element("ol", `layer-kernels${stacked(layer) ? " layer-wide" : ""}`);
    group.filters.forEach((filter, n) => {
      const item = element("li");
      const canvas = element("canvas");
      const size = values(layer);
      const cut = (numbers) => numbers.subarray(n * size, (n + 1) * size);
      draw(canvas, [[cut(part.before), limits.weight], [cut(part.after), limits.weight], [cut(part.change), limits.change]], layer);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", "Kernel before, after, and change");
      item.append(canvas, name(filter, layer), document.createElement("br"), element("span", "", `change ${group.norms[n]}`));
      item.hidden = n >= FIRST;
      items.append(item);
    });
    return count > FIRST ? [heading, items, more(items, count)] : [heading, items];
  }

  function more(items, count) {
    const button = Object.assign(element("button", "layer-more", `Show all ${count}`), { type: "button" });
    button.addEventListener("click", () => {
      for (const item of items.children) item.hidden = false;
      items.children[FIRST].tabIndex = -1; // the button goes; the keyboard's place is kept
      items.children[FIRST].focus();
      button.remove();
    });
    return button;
  }

  function name(filter, layer) {
    const { rows: outputs, columns, groups, channel } = data.layers[layer];
    const output = Math.floor(filter / columns);
    if (channel) return `output channel ${output}`;
    const input = Math.floor(output / (outputs / groups)) * columns + (filter % columns);
    return `input ${input} → output ${output}`;
  }

  /* Three panels of a filter: side by side, or, of a whole channel, one below the other. */
  function draw(canvas, panels, layer) {
    const { shown, height, width } = data.layers[layer];
    const cell = Math.max(Math.floor(PANEL / Math.max(height, width)), 2);
    const side = shown > 1 && height * width === 1 ? 6 : cell;
    const gap = shown > 1 && height * width === 1 ? 0 : GAP;
    const across = shown * (width * side + gap) - gap + 2, down = height * side + 2; // with an outline
    canvas.width = shown > 1 ? across : 3 * (across + GAP) - GAP;
    canvas.height = shown > 1 ? 3 * (down + GAP) - GAP : down;
    const context = canvas.getContext("2d");
    panels.forEach(([numbers, limit], panel) => {
      const [left, top] = shown > 1 ? [0, panel * (down + GAP)] : [panel * (across + GAP), 0];
        context.strokeStyle = "#8a8a8a"; // seen on white and on black
        for (let kernel = 0; kernel < (side === cell ? shown : 0); kernel++)
          context.strokeRect(left + kernel * (width * side + gap) + 0.5, top + 0.5, width * side + 1, height * side + 1);
      numbers.forEach((value, n) => {
        const kernel = Math.floor(n / (height * width)), row = Math.floor(n / width) % height;
        context.fillStyle = shade(value / limit);
        context.fillRect(left + kernel * (width * side + gap) + (n % width) * side + 1, top + row * side + 1, side, side);
      });
    });
  }

  function shade(value) {
    const end = value < 0 ? ENDS.low : ENDS.high;
    const strength = Math.min(Math.abs(value), 1);
    return `rgb(${ENDS.middle.map((middle, n) => Math.round(middle + strength * (end[n] - middle))).join(" ")})`;
  }

  /* The rows */

  const rows = data.layers.map((layer, n) => {
    const item = element("li");
    const button = Object.assign(element("button", "layer-row"), { type: "button" });
    const name = element("span", "layer-name");
    const bars = element("span", "layer-bars");
    const panel = element("div", "layer-panel");
    panel.id = `layer-panel-${n}`;
    panel.hidden = true;
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", panel.id);
    bars.setAttribute("aria-hidden", "true");
    button.append(name, bars);
    button.addEventListener("click", () => {
      panel.hidden = !panel.hidden;
      button.setAttribute("aria-expanded", String(!panel.hidden));
      if (panel.hidden) panel.replaceChildren();
      else fillPanel(panel, n);
    });
    item.append(button, panel);
    return { item, button, name, bars, panel };
  });
  find("list").append(...rows.map(({ item }) => item));
  find("method").addEventListener("change", () => choose(find("method").value));
  choose(find("method").value);
})();
