/* The dials: controls in the page, the network in a worker. Of the requests that come while it runs, the last counts. */
(function () {
  "use strict";
  const board = document.getElementById("dial-board");
  if (board === null) return;
  const MAX_PIXELS = 2 ** 24; // of the reader's picture; a larger one is shrunk
  const MAX_BYTES = 2 ** 28;
  const TILE = 64; // input pixels a side
  const MIN_TILE = 8;
  const THUMB = 320; // CSS pixels
  const data = JSON.parse(document.getElementById("dials-data").textContent);
  const network = makeNetwork();
  const { scale } = data;
  const border = scale > 1 ? scale : 0; // cut before PSNR is taken
  const find = (name) => board.querySelector(".dial-" + name);
  const ranges = Array.from(board.querySelectorAll(".dial-row .dial-range"));
  const ones = ranges.map(() => 1);
  const lambdas = () => ranges.map((range) => Number(range.value));
  const isTarget = (values) => values.every((value) => value === 1);

  let shown = null; // the input: { image, original or null, enlarged, now, target }, images; now and target once restored
  let running = false;
  let wanted = false;
  let picture = null; // canvas of the reader's picture
  let frame = { x: 0, y: 0, width: 0, height: 0 }; // in its pixels

  /* The worker */

  const code = `${makeNetwork}
    const network = makeNetwork();
    let loaded = null;
    onmessage = async ({ data: { data, image, lambdas } }) => {
      try {
        if (data) { loaded = network.load(data); loaded.catch(() => {}); return; }
        const weights = await loaded;
        const start = performance.now();
        const result = network.restore(weights, network.modulate(weights, lambdas), image);
        postMessage({ result, time: performance.now() - start }, [result.planes.buffer]);
      } catch (error) { postMessage({ error: String(error) }); }
    };`;
  let worker = null;
  try {
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    worker = new Worker(url);
    worker.onmessage = ({ data: answer }) => receive(answer);
    worker.onerror = (event) => { event.preventDefault(); fail(); };
    worker.postMessage({ data: { ...data, tiles: null } });
  } catch {
    fail();
  }

  function fail() {
    worker = null;
    find("status").textContent = "The network cannot be run: this browser lets the page start no worker, or is too old.";
  }

  let asked = null; // { input, lambdas } that the worker is restoring

  function request() {
    if (shown === null || worker === null) return;
    wanted = true;
    board.setAttribute("aria-busy", "true");
    next();
  }

  function next() {
    if (running || worker === null || shown === null) return;
    const target = !wanted && shown.target === null;
    if (!wanted && !target) return;
    asked = { input: shown, lambdas: target ? ones : lambdas(), quiet: target };
    wanted = false;
    running = true;
    worker.postMessage({ image: shown.image, lambdas: asked.lambdas });
  }

  function receive({ result, time, error }) {
    running = false;
    if (error !== undefined) return fail();
    const { input, lambdas: values, quiet } = asked;
    if (isTarget(values)) input.target = result;
    if (!quiet) input.now = result;
    if (input === shown) {
      if (!quiet) {
        find("status").textContent = `Restored ${result.width} x ${result.height} pixels in ${Math.round(time)} ms.`;
        board.dataset.milliseconds = time.toFixed(1);
      }
      draw();
    }
    if (!wanted) board.setAttribute("aria-busy", "false");
    next();
  }

  /* What is shown */

  const NAMES = { nearest: "input", bicubic: "input", target: "target", original: "original" };

  function draw() {
    const { image, original, enlarged, now, target } = shown;
    const choice = find("left-choice");
    choice.querySelector("[value=original]").disabled = original === null;
    if (original === null && choice.value === "original") choice.value = "nearest";
    const left = { nearest: nearest(image), bicubic: enlarged, target, original }[choice.value];
    if (left !== null) paint(find("left"), left);
    if (now !== null) paint(find("right"), now);
    find("left").setAttribute("aria-label", `Left of the divider: ${choice.selectedOptions[0].textContent}`);
    find("right").setAttribute("aria-label", `Right of the divider: restored with ${words()}`);
    find("tag-left").textContent = NAMES[choice.value];
    find("tag-right").textContent = isTarget(lambdas()) ? "restored" : "restored, dials turned";
    const quality = (restored) => (original === null || restored === null ? null : network.psnr(restored, original, border));
    const best = quality(target);
    const current = quality(now);
    find("target").textContent = decibels(best, original);
    find("input").textContent = decibels(quality(enlarged), original);
    find("now").textContent = decibels(current, original);
    if (best !== null && current !== null && now !== target)
      find("now").textContent += ` (${signed(current - best)})`;
  }

  const words = () =>
    data.dials.map(({ label }, dial) => `${label} at ${Number(ranges[dial].value).toFixed(2)}`).join(", ") || "no dial";
  const decibels = (value, original) =>
    original === null ? "no original to compare" : value === null ? "…" : `${value.toFixed(2)} dB`;
  const signed = (value) => (value < -0.005 ? "−" : value > 0.005 ? "+" : "±") + Math.abs(value).toFixed(2);

  function nearest({ width, height, planes }) {
    const size = { width: width * scale, height: height * scale };
    const result = new Float32Array(3 * size.width * size.height);
    for (let row = 0; row < 3 * size.height; row++)
      for (let x = 0; x < size.width; x++)
        result[row * size.width + x] = planes[Math.floor(row / scale) * width + Math.floor(x / scale)];
    return { ...size, planes: result };
  }

  function paint(canvas, { width, height, planes }) {
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pixels = new ImageData(width, height);
    for (let n = 0; n < width * height; n++) {
      for (let colour = 0; colour < 3; colour++)
        pixels.data[4 * n + colour] = network.level(planes[colour * width * height + n]);
      pixels.data[4 * n + 3] = 255;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  function cut(canvas, { x, y, width, height }) {
    const pixels = canvas.getContext("2d", { willReadFrequently: true }).getImageData(x, y, width, height).data;
    const planes = new Float32Array(3 * width * height);
    for (let n = 0; n < width * height; n++)
      for (let colour = 0; colour < 3; colour++) planes[colour * width * height + n] = pixels[4 * n + colour] / 255;
    return { width, height, planes };
  }

  function show(image, original) {
    shown = { image, original, enlarged: network.enlarge(image, scale), now: null, target: null };
    request();
  }

  /* The run's own tiles */

  async function decoded(uri) {
    const image = new Image();
    image.src = uri;
    await image.decode();
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
    return cut(canvas, { x: 0, y: 0, width: canvas.width, height: canvas.height });
  }

  let choices = 0;

  function addChoice(name, mark, choose) {
    const label = document.createElement("label");
    label.className = "dial-choice";
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "dial-input", autocomplete: "off" });
    radio.value = String(choices++);
    radio.addEventListener("change", choose);
    const text = document.createElement("span");
    text.textContent = name;
    label.append(radio, mark, text);
    find("inputs").append(label);
    return radio;
  }

  let chosen = 0; // counts choices, so that a tile that is decoded late is not shown

  async function chooseTile(uri) {
    const mine = ++chosen;
    find("own").hidden = true;
    const [image, original] = await Promise.all([decoded(uri), decoded(data.tiles.hr)]);
    if (mine === chosen) show(image, original);
  }

  const tiles = (data.tiles === null ? [] : data.tiles.inputs).map(({ label, lr }) => {
    const mark = Object.assign(document.createElement("img"), { src: lr, alt: "", width: 64, height: 64 });
    return [addChoice(label, mark, () => chooseTile(lr)), lr];
  });
  const blank = Object.assign(document.createElement("span"), { className: "dial-blank", textContent: "+" });
  blank.setAttribute("aria-hidden", "true");
  const own = addChoice("your own picture", blank, chooseOwn);
  if (tiles.length) {
    const first = tiles.find(([, uri], n) => data.tiles.inputs[n].name === (data.dials[0] || {}).name) || tiles[0];
    first[0].checked = true;
    chooseTile(first[1]);
  } else {
    own.checked = true;
    chooseOwn();
  }

  /* The reader's own picture */

  function chooseOwn() {
    chosen++;
    find("own").hidden = false;
    if (picture !== null) useFrame();
  }

  function say(sentence) {
    find("message").textContent = sentence;
  }

  async function open(file) {
    own.checked = true;
    chooseOwn();
    const mine = chosen;
    say("");
    if (file.size > MAX_BYTES) return say("This file is larger than 256 MiB: choose a smaller picture.");
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      return say(`“${file.name}” cannot be read as a picture: it is none, is damaged, or is larger than this browser can open.`);
    }
    if (mine !== chosen) return undefined;
    const { width, height } = bitmap;
    if (Math.min(width, height) < MIN_TILE * scale)
      return say(`This picture has ${width} x ${height} pixels: at least ${MIN_TILE * scale} are needed on each side.`);
    const factor = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: Math.max(Math.floor(width * factor), 1), height: Math.max(Math.floor(height * factor), 1) });
    if (Math.min(canvas.width, canvas.height) < MIN_TILE * scale)
      return say(`This picture of ${width} x ${height} pixels is too long and thin.`);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff"; // behind what is transparent
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    if (factor < 1)
      say(`The picture of ${width} x ${height} pixels was shrunk to ${canvas.width} x ${canvas.height}, which are enough here.`);
    picture = canvas;
    find("chooser").hidden = false;
    const thumb = find("picture");
    const ratio = THUMB / Math.max(canvas.width, canvas.height);
    Object.assign(thumb, {
      width: Math.max(Math.round(canvas.width * ratio), 1),
      height: Math.max(Math.round(canvas.height * ratio), 1),
    });
    sizeFrame();
    return moveTo((canvas.width - frame.width) / 2, (canvas.height - frame.height) / 2);
  }

  const degrades = () => board.querySelector("[name=dial-treatment]:checked").value === "degrade";

  function sizeFrame() {
    const factor = degrades() ? scale : 1;
    for (const [side, place] of [["width", "x"], ["height", "y"]]) {
      const size = Math.floor(Math.min(TILE * factor, picture[side]) / factor) * factor;
      frame[place] += Math.floor((frame[side] - size) / 2); // its middle stays
      frame[side] = size;
    }
  }

  function moveTo(x, y) {
    frame.x = Math.round(Math.min(Math.max(x, 0), picture.width - frame.width));
    frame.y = Math.round(Math.min(Math.max(y, 0), picture.height - frame.height));
    drawFrame();
    useFrame();
  }

  function drawFrame() {
    const thumb = find("picture");
    const context = thumb.getContext("2d");
    const across = thumb.width / picture.width, down = thumb.height / picture.height;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, thumb.width, thumb.height);
    const place = [frame.x * across, frame.y * down, Math.max(frame.width * across, 3), Math.max(frame.height * down, 3)];
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: width });
      context.strokeRect(...place);
    }
    find("thumb").nextElementSibling.textContent =
      `The tile is ${frame.width} x ${frame.height} pixels, from column ${frame.x} and row ${frame.y} of ` +
      `${picture.width} x ${picture.height}. Click or drag on the picture, or use the arrow keys, to move it.`;
  }

  function useFrame() {
    const tile = cut(picture, frame);
    if (!degrades()) return show(tile, null);
    const filter = find("filter");
    const settings = {
      filter: filter === null ? "" : filter.value,
      sigma: Number(find("sigma").value),
      noise: Number(find("noise").value),
    };
    return show(network.degrade(tile, scale, settings), tile);
  }

  /* Events */

  ranges.forEach((range) => {
    const output = range.parentElement.querySelector(".dial-value");
    range.addEventListener("input", () => {
      output.textContent = Number(range.value).toFixed(2);
      request();
    });
    range.value = "1";
  });
  find("reset").addEventListener("click", () => {
    ranges.forEach((range) => {
      range.value = "1";
      range.dispatchEvent(new Event("input"));
    });
  });
  find("divider").addEventListener("input", () => {
    board.querySelector(".dial-frame").style.setProperty("--dial-split", `${find("divider").value}%`);
  });
  find("left-choice").addEventListener("change", () => shown !== null && draw());
  find("picker").addEventListener("change", () => {
    const [file] = find("picker").files;
    if (file) open(file);
  });
  const thumb = find("thumb");
  const point = (event) => {
    const box = find("picture").getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * picture.width;
    const y = ((event.clientY - box.top) / box.height) * picture.height;
    moveTo(x - frame.width / 2, y - frame.height / 2);
  };
  thumb.addEventListener("pointerdown", (event) => {
    thumb.setPointerCapture(event.pointerId);
    point(event);
  });
  thumb.addEventListener("pointermove", (event) => thumb.hasPointerCapture(event.pointerId) && point(event));
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  thumb.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    const [x, y] = ARROWS[event.key].map((way) => way * (event.shiftKey ? 1 : 8));
    moveTo(frame.x + x, frame.y + y);
  });
  board.querySelectorAll("[name=dial-treatment]").forEach((radio) =>
    radio.addEventListener("change", () => {
      find("degrade").hidden = !degrades();
      sizeFrame();
      moveTo(frame.x, frame.y);
    })
  );
  for (const [name, digits] of [["sigma", 1], ["noise", 2]])
    find(name).addEventListener("input", () => {
      find(`${name}-value`).textContent = Number(find(name).value).toFixed(digits);
      useFrame();
    });
  if (find("filter") !== null) find("filter").addEventListener("change", useFrame);
  const files = (transfer) => Array.from((transfer && transfer.files) || []);
  const dropping = (on) => (event) => {
    event.preventDefault();
    board.classList.toggle("dial-dropping", on);
  };
  board.addEventListener("dragover", dropping(true));
  board.addEventListener("dragleave", dropping(false));
  board.addEventListener("drop", (event) => {
    dropping(false)(event);
    const [file] = files(event.dataTransfer);
    if (file) open(file);
  });
  document.addEventListener("paste", (event) => {
    const [file] = files(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    open(file);
  });
})();
